/* The cache of blocks (tcg/cache.c, tcg/tcg.c) on the interpreter engine. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/log.h"
#include "tests/unit/fake_guest.h"

static struct tcg *t;
static struct log log_;

static void setup(void)
{
    struct tcg_options opt = { .engine = TCG_INTERP, .optimise = true, .verify = true,
                               .cache_size = 1 << 20 };

    log_init(&log_);
    t = tcg_new(&fake_guest, &opt, &log_, NULL);
}

static void teardown(void)
{
    tcg_free(t);
}

static struct ir_block *make_ir(struct tcg *view, uint64_t phys, uint64_t phys2, uint32_t mode, unsigned size)
{
    struct ir_builder *b = tcg_builder(view);
    struct ir_block *ir = ir_start(b);

    ir_insn_start(b, 0, size);
    ir_br(b, IR_I32, ir_get(b, IR_I32, 1), 0, false, 8, false);
    ir->phys = phys;
    ir->phys2 = phys2;
    ir->mode = mode;
    ir->guest_size = size;
    ir->guest_insns = 1;
    return ir;
}

static struct tcg_block *block(uint64_t phys, uint64_t phys2, uint32_t mode, unsigned size, bool one_insn)
{
    enum tcg_miss why;

    return tcg_translate(t, make_ir(t, phys, phys2, mode, size), one_insn, NULL, &why);
}

static struct tcg_block *simple(uint64_t phys, unsigned size)
{
    return block(phys, UINT64_MAX, 0, size, false);
}

START_TEST(finds_by_whole_key)
{
    struct tcg_block *a = block(0x1000, UINT64_MAX, 1, 4, false), *m = block(0x1000, UINT64_MAX, 2, 4, false);
    struct tcg_block *c = block(0x1ffe, 0x5000, 1, 4, false), *d = block(0x1ffe, 0x6000, 1, 4, false);

    ck_assert_ptr_eq(tcg_find(t, 0x1000, UINT64_MAX, 1), a);
    ck_assert_ptr_eq(tcg_find(t, 0x1000, UINT64_MAX, 2), m);
    ck_assert_ptr_null(tcg_find(t, 0x1000, UINT64_MAX, 3));
    ck_assert_ptr_null(tcg_find(t, 0x1001, UINT64_MAX, 1));
    ck_assert_ptr_eq(tcg_find(t, 0x1ffe, 0x5000, 1), c);
    ck_assert_ptr_eq(tcg_find(t, 0x1ffe, 0x6000, 1), d);
    ck_assert_ptr_null(tcg_find(t, 0x1ffe, UINT64_MAX, 1));
}
END_TEST

START_TEST(one_insn_blocks_are_not_found)
{
    struct tcg_block *a = block(0x1000, UINT64_MAX, 0, 4, true), *plain = simple(0x2000, 4);

    ck_assert(a->one_insn);
    ck_assert_ptr_null(tcg_find(t, 0x1000, UINT64_MAX, 0));
    ck_assert(!tcg_has_code(t, 0x1000, 4));
    tcg_chain(t, a, 0, plain);
    tcg_chain(t, plain, 0, a);
    ck_assert_ptr_null(a->exit[0].target);
    ck_assert_ptr_null(plain->exit[0].target);
}
END_TEST

START_TEST(invalidates_exactly)
{
    struct tcg_block *a = simple(0x1000, 0x10), *c = simple(0x1010, 0x10), *far = simple(0x1800, 4);

    ck_assert_uint_eq(tcg_invalidate(t, 0x1020, 0x7e0), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0xff0, 0x10), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1000, 0), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x100f, 1), 1);
    ck_assert(a->dropped && !c->dropped && !far->dropped);
    ck_assert_ptr_null(tcg_find(t, 0x1000, UINT64_MAX, 0));
    ck_assert(tcg_has_code(t, 0x1000, 0x11));
    ck_assert(!tcg_has_code(t, 0x1000, 0x10));
    ck_assert(!tcg_has_code(t, 0x1020, 0x7e0));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1010, 0x1000), 2);
    ck_assert(!tcg_page_has_code(t, 0x1fff));
    ck_assert_uint_eq(tcg_get_stats(t).invalidations, 3);
}
END_TEST

/* Stores that drop one block after the other, with and without others that are made in between. */
START_TEST(page_that_is_overwritten_loses_the_rest)
{
    for (unsigned i = 0; i < 60; i++)
        simple(0x1000 + 16 * i, 8);
    for (unsigned i = 0; i < 32; i++)
        ck_assert_uint_eq(tcg_invalidate(t, 0x1000 + 16 * i, 1), 1);
    simple(0x1ff0, 8);
    for (unsigned i = 32; i < 59; i++)
        ck_assert_uint_eq(tcg_invalidate(t, 0x1000 + 16 * i, 1), 1);
    ck_assert(tcg_find(t, 0x1ff0, UINT64_MAX, 0));
    for (unsigned i = 0; i < 60; i++)
        simple(0x2000 + 16 * i, 8);
    for (unsigned i = 0; i < 32; i++)
        ck_assert_uint_eq(tcg_invalidate(t, 0x2000 + 16 * i, 1), 1);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2800, 8), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000 + 16 * 40, 1), 28);
    ck_assert(!tcg_page_has_code(t, 0x2000));
}
END_TEST

START_TEST(cross_page_blocks_are_in_both_pages)
{
    struct tcg_block *a = block(0x1ffe, 0x5000, 0, 6, false);

    ck_assert(tcg_page_has_code(t, 0x1000) && tcg_page_has_code(t, 0x5800));
    ck_assert(tcg_has_code(t, 0x5003, 1) && !tcg_has_code(t, 0x5004, 1) && !tcg_has_code(t, 0x2000, 4));
    ck_assert_uint_eq(tcg_invalidate(t, 0x5003, 1), 1);
    ck_assert(a->dropped);
    ck_assert(!tcg_page_has_code(t, 0x1000) && !tcg_page_has_code(t, 0x5000));
}
END_TEST

/* Two linear pages, one page of RAM. */
START_TEST(block_that_wraps_into_its_own_page)
{
    struct tcg_block *a = block(0x1ffc, 0x1000, 0, 8, false), *c = simple(0x1100, 4);

    ck_assert(tcg_has_code(t, 0x1003, 1) && tcg_has_code(t, 0x1fff, 1));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1000, 1), 1);
    ck_assert(a->dropped && !c->dropped);
    ck_assert(tcg_page_has_code(t, 0x1000));
}
END_TEST

/* What is known of bytes between blocks is true no longer when a block is added, also by the tail of one. */
START_TEST(gaps_between_blocks)
{
    simple(0x1000, 0x10);
    simple(0x1020, 0x10);
    simple(0x1034, 0x8);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert(!tcg_has_code(t, 0x1014, 4) && !tcg_has_code(t, 0x1010, 16) && !tcg_has_code(t, 0x1030, 4));
        ck_assert(tcg_has_code(t, 0x100f, 2) && tcg_has_code(t, 0x101f, 2) && tcg_has_code(t, 0x1010, 0x20));
        ck_assert(tcg_has_code(t, 0x1030, 5) && !tcg_has_code(t, 0x103c, 4) && !tcg_has_code(t, 0x103c, 0xfc4));
        ck_assert(tcg_has_code(t, 0xfff, 2) && !tcg_has_code(t, 0xfff, 1) && !tcg_has_code(t, 0x103c, 0x1000));
    }
    simple(0x1016, 1);
    ck_assert(tcg_has_code(t, 0x1014, 4) && !tcg_has_code(t, 0x1014, 2) && !tcg_has_code(t, 0x1017, 9));
    block(0x5ffe, 0x1000, 1, 0x16, false);
    ck_assert(tcg_has_code(t, 0x1013, 1) && !tcg_has_code(t, 0x1014, 2));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1014, 2), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1013, 4), 2);
    ck_assert(!tcg_has_code(t, 0x1010, 16));
}
END_TEST

/* A store to nothing but bytes that a block reads when it runs leaves the block alone. */
START_TEST(live_bytes)
{
    struct ir_block *ir = make_ir(t, 0x1000, UINT64_MAX, 0, 12);
    struct tcg_block *a;
    enum tcg_miss why;

    ir->num_live = 2;
    ir->live[0] = (struct ir_live){ 1, 4 };
    ir->live[1] = (struct ir_live){ 7, 1 };
    a = tcg_translate(t, ir, false, NULL, &why);
    ck_assert(!tcg_has_code(t, 0x1001, 4) && !tcg_has_code(t, 0x1002, 1) && !tcg_has_code(t, 0x1007, 1));
    ck_assert(!tcg_block_holds(a, 0x1001, 4) && tcg_block_holds(a, 0x1000, 4));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1001, 4) + tcg_invalidate(t, 0x1007, 1), 0);
    ck_assert(tcg_has_code(t, 0x1004, 2) && tcg_has_code(t, 0x1000, 2) && tcg_has_code(t, 0x1001, 7));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1004, 2), 1);
    ck_assert(a->dropped);
}
END_TEST

static void rewrite(uint64_t phys, unsigned len)
{
    simple(phys & ~UINT64_C(15), 16);
    ck_assert_uint_eq(tcg_invalidate(t, phys, len), 1);
}

/* Bytes whose rewriting drops blocks again and again are known. */
START_TEST(rewritten_bytes)
{
    struct ir_live live[IR_LIVES];

    ck_assert_uint_eq(tcg_rewritten(t, 0x1000, live), 0);
    rewrite(0x1021, 4);
    rewrite(0x1022, 1);
    ck_assert_uint_eq(tcg_rewritten(t, 0x1000, live), 0);
    rewrite(0x1021, 4);
    rewrite(0x1031, 16); /* no immediate */
    rewrite(0x1031, 16);
    ck_assert_uint_eq(tcg_rewritten(t, 0x1020, live), 1);
    ck_assert(live[0].off == 1 && live[0].len == 4);
    ck_assert_uint_eq(tcg_rewritten(t, 0x1022, live) + tcg_rewritten(t, 0x2000, live), 0);
    for (unsigned i = 0; i < 2 * IR_LIVES; i++)
        rewrite(0x1100 + 16 * i, 1); /* each once: no reason to forget what happens more often */
    ck_assert_uint_eq(tcg_rewritten(t, 0x1020, live), 1);
}
END_TEST

/* That only blocks which read the bytes at run time hold them is known until a block is added, also by its tail. */
START_TEST(rewritten_live_bytes)
{
    struct ir_block *ir;
    enum tcg_miss why;

    rewrite(0x1021, 4);
    rewrite(0x1021, 4);
    ir = make_ir(t, 0x1020, UINT64_MAX, 0, 12);
    ir->num_live = 1;
    ir->live[0] = (struct ir_live){ 1, 4 };
    tcg_translate(t, ir, false, NULL, &why);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert(!tcg_has_code(t, 0x1021, 4) && !tcg_has_code(t, 0x1022, 2));
        ck_assert(tcg_has_code(t, 0x1021, 5) && tcg_has_code(t, 0x1020, 4) && tcg_has_code(t, 0x1022, 4));
    }
    simple(0x1024, 4);
    ck_assert(tcg_has_code(t, 0x1021, 4) && !tcg_has_code(t, 0x1021, 3));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1021, 4), 1);
    ck_assert(!tcg_has_code(t, 0x1021, 4) && !tcg_has_code(t, 0x1021, 4));
    block(0x5ffe, 0x1000, 1, 0x24, false);
    ck_assert(tcg_has_code(t, 0x1021, 4));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1021, 4), 1);
    ck_assert(!tcg_has_code(t, 0x1021, 4) && tcg_has_code(t, 0x1020, 1));
}
END_TEST

START_TEST(huge_ranges)
{
    simple(0x1000, 4);
    simple(UINT64_C(0x123456000), 4);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1000, UINT64_C(0x123455001)), 2);
    simple(0x1000, 4);
    ck_assert_uint_eq(tcg_invalidate(t, 4, UINT64_MAX), 1);
}
END_TEST

START_TEST(dropping_unchains)
{
    struct tcg_block *a = simple(0x1000, 4), *c = simple(0x2000, 4), *d = simple(0x3000, 4);

    tcg_chain(t, a, 0, c);
    tcg_chain(t, a, 1, c);
    tcg_chain(t, d, 1, c);
    tcg_chain(t, c, 0, d);
    tcg_chain(t, c, 1, c);
    ck_assert_ptr_eq(a->exit[0].target, c);
    ck_assert_uint_eq(tcg_get_stats(t).chains, 5);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000, 1), 1);
    ck_assert(!a->exit[0].target && !a->exit[1].target && !d->exit[1].target && !c->exit[1].target);
    tcg_chain(t, a, 0, c);
    ck_assert_ptr_null(a->exit[0].target);
    tcg_chain(t, c, 1, a);
    ck_assert_ptr_null(c->exit[1].target);
    /* c's exit still is in d's list. */
    ck_assert_uint_eq(tcg_invalidate(t, 0x3000, 1), 1);
    ck_assert_ptr_null(c->exit[0].target);
}
END_TEST

START_TEST(an_exit_stays_where_it_is_chained)
{
    struct tcg_block *a = simple(0x1000, 4), *c = simple(0x2000, 4), *d = simple(0x3000, 4);
    struct tcg_block *cross = block(0x4ffe, 0x9000, 0, 4, false);

    tcg_chain(t, a, 0, c);
    tcg_chain(t, a, 0, d);
    ck_assert_ptr_eq(a->exit[0].target, c);
    ck_assert_ptr_null(d->incoming);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000, 1), 1);
    tcg_chain(t, a, 0, d);
    ck_assert_ptr_eq(a->exit[0].target, d);
    tcg_chain(t, a, 1, cross);
    ck_assert_ptr_null(a->exit[1].target);
}
END_TEST

/* ---- hot blocks ---- */

static struct tcg_block *hot(struct tcg *view, uint64_t phys, unsigned before, unsigned size,
                             const struct tcg_source *src)
{
    struct ir_block *ir = make_ir(view, phys, UINT64_MAX, 0, size);
    enum tcg_miss why;

    ir->hot = true;
    ir->guest_before = (uint16_t)before;
    return tcg_translate(view, ir, false, src, &why);
}

START_TEST(hot_takes_the_place)
{
    struct tcg_block *a = simple(0x1100, 4), *c = simple(0x1200, 4), *h = hot(t, 0x1100, 0x20, 8, NULL);

    ck_assert(h != a && h->hot && a->dropped && !h->dropped && !c->dropped);
    ck_assert_ptr_eq(tcg_find(t, 0x1100, UINT64_MAX, 0), h);
    /* Only once, and nothing takes its place but another life. */
    ck_assert_ptr_eq(hot(t, 0x1100, 0, 8, NULL), h);
    ck_assert_ptr_eq(simple(0x1100, 4), h);
    ck_assert_uint_eq(tcg_get_stats(t).hot_blocks, 2);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1100, 1), 1);
    ck_assert_ptr_null(tcg_find(t, 0x1100, UINT64_MAX, 0));
    ck_assert(!simple(0x1100, 4)->hot);
}
END_TEST

/* What was replaced does not count, wherever its bytes are, and goes with the last that lives. */
START_TEST(replaced_blocks_are_gone)
{
    for (unsigned i = 0; i < 8; i++) {
        simple(0x1100 + 0x40 * i, 0x20);
        hot(t, 0x1100 + 0x40 * i, 0, 4, NULL);
    }
    ck_assert(!tcg_has_code(t, 0x1104, 0x1c));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1104, 0x1c), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1100, 0x100), 4);
    ck_assert(tcg_page_has_code(t, 0x1000) && !tcg_has_code(t, 0x1000, 0x200));
    block(0x1ffe, 0x2000, 0, 6, false);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1200, 0x100), 4);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1100, 0x100), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000, 1), 1);
    ck_assert(!tcg_page_has_code(t, 0x1000) && !tcg_page_has_code(t, 0x2000));
}
END_TEST

START_TEST(hot_undoes_chains)
{
    struct tcg_block *a = simple(0x1100, 4), *c = simple(0x1200, 4), *h;

    tcg_chain(t, c, 0, a);
    tcg_chain(t, a, 0, a);
    tcg_chain(t, a, 1, c);
    h = hot(t, 0x1100, 0, 8, NULL);
    ck_assert(!c->exit[0].target && !a->exit[0].target);
    tcg_chain(t, c, 0, a);
    tcg_chain(t, a, 0, h);
    ck_assert(!c->exit[0].target && !a->exit[0].target);
    tcg_chain(t, c, 0, h);
    tcg_chain(t, h, 1, h);
    ck_assert(c->exit[0].target == h && h->exit[1].target == h);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1200, 1), 1);
    ck_assert_ptr_eq(h->exit[1].target, h);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1107, 1), 1);
    ck_assert_ptr_null(h->exit[1].target);
}
END_TEST

/* Bytes in front of the first one belong to it: exactly these, also in other granules. */
START_TEST(hot_with_bytes_in_front)
{
    struct tcg_block *h = hot(t, 0x1900, 0x110, 0x20, NULL);

    ck_assert(tcg_has_code(t, 0x17f0, 1) && tcg_has_code(t, 0x191f, 1) && tcg_has_code(t, 0x1850, 1));
    ck_assert(!tcg_has_code(t, 0x17ef, 1) && !tcg_has_code(t, 0x1920, 1) && !tcg_has_code(t, 0x1000, 0x7f0));
    ck_assert(tcg_block_holds(h, 0x17f0, 1) && tcg_block_holds(h, 0x1000, 0x7f1) && tcg_block_holds(h, 0x191f, 8));
    ck_assert(!tcg_block_holds(h, 0x1000, 0x7f0) && !tcg_block_holds(h, 0x1920, 8));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1000, 0x7f0), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x1920, 0x100), 0);
    ck_assert_uint_eq(tcg_invalidate(t, 0x17f0, 1), 1);
    ck_assert(h->dropped && !tcg_page_has_code(t, 0x1000));
    h = hot(t, 0x1900, 0x900, 0x700, NULL);
    ck_assert(tcg_has_code(t, 0x1000, 1) && tcg_has_code(t, 0x1fff, 1) && !tcg_has_code(t, 0x2000, 1) &&
              !tcg_has_code(t, 0xfff, 1));
    ck_assert_uint_eq(tcg_invalidate(t, 0x1fff, 1), 1);
}
END_TEST

/* What changed in front of the first byte while it was translated counts as well; the old block stays then. */
START_TEST(hot_of_changed_bytes)
{
    struct tcg_block *a = simple(0x1100, 4);
    uint8_t live[12] = { 0 }, copy[12] = { 0 };
    struct tcg_source src = { { live, NULL }, { copy, NULL } };

    live[0] = 1;
    ck_assert_ptr_null(hot(t, 0x1100, 8, 4, &src));
    live[0] = 0;
    live[11] = 1;
    ck_assert_ptr_null(hot(t, 0x1100, 8, 4, &src));
    ck_assert_ptr_eq(tcg_find(t, 0x1100, UINT64_MAX, 0), a);
    ck_assert(!a->dropped && !tcg_has_code(t, 0x10f8, 8));
    live[11] = 0;
    ck_assert_ptr_nonnull(hot(t, 0x1100, 8, 4, &src));
    ck_assert(a->dropped);
}
END_TEST

static struct tcg_block *warm(struct tcg *view, uint64_t phys)
{
    struct ir_block *ir = make_ir(view, phys, UINT64_MAX, 0, 4);
    enum tcg_miss why;

    ir->warm = true;
    return tcg_translate(view, ir, false, NULL, &why);
}

/* Warm blocks of all views count beside each other, each in a place of its own until all places are in use. */
START_TEST(heat_is_dense)
{
    struct tcg *other = tcg_join(t, NULL);
    unsigned first = warm(t, 0x1000)->heat;

    ck_assert_ptr_nonnull(simple(0x2000, 4));
    ck_assert_uint_eq(warm(other, 0x3000)->heat, first + 1);
    for (unsigned n = 2; n <= TCG_HEAT_SIZE; n++) {
        if (n % 512 == 0)
            tcg_flush(t);
        ck_assert_uint_eq(warm(t, 0x4000 + 0x10 * (n % 512))->heat, (first + n) % TCG_HEAT_SIZE);
    }
    tcg_free(other);
}
END_TEST

START_TEST(flush_forgets_all)
{
    simple(0x1000, 4);
    tcg_flush(t);
    ck_assert_ptr_null(tcg_find(t, 0x1000, UINT64_MAX, 0));
    ck_assert(!tcg_has_code(t, 0, UINT32_MAX));
    ck_assert_uint_eq(tcg_get_stats(t).cache_used, 0);
    ck_assert_ptr_nonnull(simple(0x1000, 4));
}
END_TEST

START_TEST(full_cache_asks_for_a_flush)
{
    struct ir_builder *b = tcg_builder(t);
    struct tcg_block *blk = (struct tcg_block *)b;
    enum tcg_miss why = TCG_STALE;
    unsigned n;

    for (n = 0; n < 100000 && blk; n++) {
        struct ir_block *ir = ir_start(b);
        ir_insn_start(b, 0, 1);
        for (unsigned r = 0; r < 64; r++)
            ir_st(b, IR_I32, ir_get(b, IR_I64, r & 15), ir_const(b, IR_I32, r), 0);
        ir_exit(b, IR_I32, 1);
        ir->phys = 0x10 * n;
        ir->guest_size = 1;
        blk = tcg_translate(t, ir, false, NULL, &why);
    }
    ck_assert(!blk && n > 100);
    ck_assert_int_eq(why, TCG_FULL);
    ck_assert_ptr_nonnull(tcg_find(t, 0, UINT64_MAX, 0));
    tcg_flush(t);
    ck_assert_ptr_null(tcg_find(t, 0, UINT64_MAX, 0));
    ck_assert_ptr_nonnull(simple(0, 1));
    ck_assert_uint_eq(tcg_get_stats(t).flushes, 1);
    ck_assert_uint_eq(tcg_generation(t), 1);
}
END_TEST

START_TEST(unknown_host_falls_back)
{
    struct tcg_options opt = { .engine = TCG_JIT };
    struct error err = { "" };
    struct tcg *jit = tcg_new(&fake_guest, &opt, &log_, &err);

    ck_assert_ptr_nonnull(jit);
    ck_assert(tcg_opts(jit)->engine == (tcg_host_native() ? TCG_JIT : TCG_INTERP));
    tcg_free(jit);
}
END_TEST

/* ---- several views ---- */

START_TEST(views_share_blocks)
{
    struct tcg *other = tcg_join(t, NULL);
    struct tcg_block *a = simple(0x1000, 4), *c;
    enum tcg_miss why;

    ck_assert_ptr_eq(tcg_find(other, 0x1000, UINT64_MAX, 0), a);
    /* Who comes second takes the first one's. */
    ck_assert_ptr_eq(tcg_translate(other, make_ir(other, 0x1000, UINT64_MAX, 0, 4), false, NULL, &why), a);
    c = tcg_translate(other, make_ir(other, 0x2000, UINT64_MAX, 0, 4), false, NULL, &why);
    tcg_chain(other, a, 0, c);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000, 1), 1);
    ck_assert(c->dropped && !a->exit[0].target);
    ck_assert_uint_eq(tcg_get_stats(t).blocks, 3);
    tcg_flush(other);
    ck_assert_ptr_null(tcg_find(t, 0x1000, UINT64_MAX, 0));
    ck_assert_ptr_nonnull(simple(0x1000, 4));
    tcg_free(other);
}
END_TEST

/* Pages are watched before their blocks are kept, and bytes that changed meanwhile are not kept. */
START_TEST(watched_pages_and_changed_bytes)
{
    static uint8_t flags[16];
    struct tcg_options opt = { .engine = TCG_INTERP, .optimise = true, .cache_size = 1 << 20, .page_flags = flags };
    struct tcg *w = tcg_new(&fake_guest, &opt, &log_, NULL);
    uint8_t live[4] = { 1, 2, 3, 4 }, copy[4] = { 1, 2, 3, 4 };
    struct tcg_source src = { { live, NULL }, { copy, NULL } };
    uint32_t ticket, late;
    enum tcg_miss why;

    ck_assert_ptr_null(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, &src, &why));
    ck_assert_int_eq(why, TCG_STALE);
    late = tcg_watch(w, 0x1000);
    ck_assert(late && flags[1] == TCG_PAGE_CODE);
    ck_assert_ptr_null(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, &src, &why));
    ticket = tcg_watch(w, 0x1fff);
    ck_assert(ticket && ticket != late);
    tcg_watch_done(w, 0x1000, late); /* of an older watch: says nothing */
    ck_assert_ptr_null(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, &src, &why));
    tcg_watch_done(w, 0x1000, ticket);
    ck_assert_uint_eq(tcg_watch(w, 0x1000), 0);
    live[3] = 5;
    ck_assert_ptr_null(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, &src, &why));
    ck_assert_int_eq(why, TCG_STALE);
    ck_assert(!tcg_has_code(w, 0x1000, 4) && !tcg_find(w, 0x1000, UINT64_MAX, 0));
    copy[3] = 5;
    ck_assert_ptr_nonnull(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, &src, &why));
    tcg_unwatch(w, 0x1000); /* has a block */
    ck_assert_uint_eq(flags[1], TCG_PAGE_CODE);
    ck_assert_int_eq(tcg_near(w, 0x103c, 4), TCG_NEAR_BLOCKS); /* within 64 bytes */
    ck_assert_int_eq(tcg_near(w, 0x1040, 4), TCG_NEAR_OTHERS);
    ck_assert_int_eq(tcg_near(w, 0x2000, 4), TCG_NEAR_NOTHING);
    tcg_invalidate(w, 0x1000, 4);
    ck_assert_int_eq(tcg_near(w, 0x1000, 4), TCG_NEAR_NOTHING);
    for (unsigned n = 0; n < TCG_WATCH_IDLE; n++) {
        ck_assert_uint_eq(flags[1], TCG_PAGE_CODE);
        tcg_unwatch(w, 0x1000);
    }
    ck_assert_uint_eq(flags[1], 0);
    ck_assert_uint_ne(tcg_watch(w, 0x1000), 0);
    tcg_free(w);
}
END_TEST

/* Many stores beside blocks make a page quiet, if there are several views; a new block ends that, and so does the end
 * of the last block. The map says where blocks are. */
START_TEST(pages_get_quiet)
{
    static uint8_t flags[16];
    static uint64_t map[16];
    struct tcg_options opt = { .engine = TCG_INTERP, .optimise = true, .cache_size = 1 << 20, .page_flags = flags,
                               .code_map = map };
    struct tcg *w = tcg_new(&fake_guest, &opt, &log_, NULL), *other;
    enum tcg_miss why;

    tcg_watch_done(w, 0x1000, tcg_watch(w, 0x1000));
    ck_assert_ptr_nonnull(tcg_translate(w, make_ir(w, 0x1000, UINT64_MAX, 0, 4), false, NULL, &why));
    for (unsigned n = 0; n < 2 * TCG_QUIET_AFTER; n++)
        tcg_beside(w, 0x1800);
    ck_assert_uint_eq(flags[1], TCG_PAGE_CODE);
    other = tcg_join(w, NULL);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned n = 0; n < TCG_QUIET_AFTER; n++) {
            ck_assert_uint_eq(flags[1], TCG_PAGE_CODE);
            tcg_beside(w, 0x1800);
        }
        ck_assert_uint_eq(flags[1], TCG_PAGE_CODE | TCG_PAGE_QUIET);
        ck_assert_ptr_nonnull(tcg_translate(other, make_ir(other, 0x1100 + 64 * turn, UINT64_MAX, 0, 4), false, NULL,
                                            &why));
    }
    ck_assert_uint_eq(flags[1], TCG_PAGE_CODE);
    ck_assert_uint_eq(map[1], BIT(0) | BIT(4) | BIT(5));
    tcg_invalidate(w, 0x1100, 4);
    ck_assert_uint_eq(map[1], BIT(0) | BIT(5));
    for (unsigned n = 0; n < TCG_QUIET_AFTER; n++)
        tcg_beside(w, 0x1800);
    tcg_invalidate(w, 0x1000, 0x1000);
    ck_assert_uint_eq(map[1], 0);
    for (unsigned n = 0; n < TCG_WATCH_IDLE; n++)
        tcg_unwatch(w, 0x1000);
    ck_assert_uint_eq(flags[1], 0);
    tcg_beside(w, 0x1800);
    tcg_watch_done(w, 0x2000, tcg_watch(w, 0x2000));
    ck_assert_ptr_nonnull(tcg_translate(w, make_ir(w, 0x2fc0, UINT64_MAX, 0, 4), false, NULL, &why));
    ck_assert_uint_eq(map[2], BIT(63));
    tcg_flush(w);
    ck_assert_uint_eq(map[2], 0);
    tcg_free(other);
    tcg_free(w);
}
END_TEST

/* Threads translate, chain, find and drop in the same few pages. */
enum { CROWD = 4, CROWD_ROUNDS = 20000, CROWD_BLOCKS = 64 };

static void *crowd_member(void *opaque)
{
    struct tcg *view = opaque;
    struct tcg_block *last = NULL;
    uint64_t seed = (uintptr_t)view;
    enum tcg_miss why;

    for (unsigned n = 0; n < CROWD_ROUNDS; n++) {
        uint64_t phys = fake_random(&seed) % CROWD_BLOCKS * 0x40;
        uint64_t phys2 = (phys & 0xfff) == 0xfc0 ? (phys & ~UINT64_C(0xfff)) ^ 0x1000 : UINT64_MAX;
        unsigned size = phys2 == UINT64_MAX ? 0x30 : 0x60;
        struct tcg_block *blk = tcg_find(view, phys, phys2, 0);

        if (!blk && fake_random(&seed) % 4)
            blk = tcg_translate(view, make_ir(view, phys, phys2, 0, size), false, NULL, &why);
        else if (blk && !blk->hot && phys2 == UINT64_MAX && fake_random(&seed) % 4 == 0)
            blk = hot(view, phys, (unsigned)(phys & 0x3ff) / 2, size, NULL);
        if (blk && last)
            tcg_chain(view, last, n & 1, blk);
        last = blk;
        if (fake_random(&seed) % 8 == 0)
            tcg_invalidate(view, fake_random(&seed) % (CROWD_BLOCKS * 0x40), 0x41);
    }
    return NULL;
}

START_TEST(crowd)
{
    struct tcg_options opt = { .engine = _i ? TCG_JIT : TCG_INTERP, .optimise = true, .cache_size = 128 << 20 };
    struct tcg *view[CROWD];
    pthread_t thread[CROWD];

    view[0] = tcg_new(&fake_guest, &opt, &log_, NULL);
    for (unsigned i = 1; i < CROWD; i++)
        view[i] = tcg_join(view[0], NULL);
    for (unsigned i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, crowd_member, view[i]), 0);
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < CROWD_BLOCKS; i++) {
        uint64_t phys2 = i % 64 == 63 ? 0x1000 : UINT64_MAX;
        struct tcg_block *blk = tcg_find(view[0], i * 0x40, phys2, 0);
        for (unsigned e = 0; blk && e < 2; e++)
            ck_assert(!blk->exit[e].target || !blk->exit[e].target->dropped);
    }
    tcg_invalidate(view[0], 0, 0x2000);
    ck_assert(!tcg_page_has_code(view[0], 0) && !tcg_page_has_code(view[0], 0x1000));
    for (unsigned i = 0; i < CROWD_BLOCKS; i++)
        ck_assert_ptr_null(tcg_find(view[0], i * 0x40, i % 64 == 63 ? 0x1000 : UINT64_MAX, 0));
    for (unsigned i = 0; i < CROWD; i++)
        tcg_free(view[i]);
}
END_TEST

/* Random life against a list of what must be there. */
START_TEST(random_life)
{
    enum { SLOTS = 200 };
    struct tcg_block *live[SLOTS] = { 0 };
    uint64_t seed = 11;

    for (unsigned n = 0; n < 3000; n++) {
        unsigned i = fake_random(&seed) % SLOTS, j = fake_random(&seed) % SLOTS;
        uint64_t phys = i * 0x35, lo = fake_random(&seed) % (SLOTS * 0x35);
        uint64_t len = fake_random(&seed) % 0x80 + 1;
        unsigned expect = 0;

        if (!live[i])
            live[i] = block(phys, (phys & 0xfff) > 0xff0 ? (phys & ~0xfffull) + 0x1000 : UINT64_MAX, 0, 0x10,
                            false);
        if (live[j])
            tcg_chain(t, live[i], n & 1, live[j]);
        ck_assert_ptr_eq(tcg_find(t, live[i]->phys, live[i]->phys2, 0), live[i]);
        for (unsigned k = 0; k < SLOTS; k++)
            expect += live[k] && lo < live[k]->phys + 0x10 && lo + len > live[k]->phys;
        ck_assert_int_eq(tcg_has_code(t, lo, len), expect > 0);
        if (n % 4)
            continue;
        ck_assert_uint_eq(tcg_invalidate(t, lo, len), expect);
        for (unsigned k = 0; k < SLOTS; k++)
            if (live[k] && live[k]->dropped)
                live[k] = NULL;
        for (unsigned k = 0; k < SLOTS; k++)
            for (unsigned e = 0; e < 2; e++)
                ck_assert(!live[k] || !live[k]->exit[e].target || !live[k]->exit[e].target->dropped);
    }
}
END_TEST

Suite *tcg_cache_suite(void);
Suite *tcg_cache_suite(void)
{
    Suite *s = suite_create("tcg_cache");
    TCase *tc = tcase_create("cache");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, finds_by_whole_key);
    tcase_add_test(tc, one_insn_blocks_are_not_found);
    tcase_add_test(tc, invalidates_exactly);
    tcase_add_test(tc, page_that_is_overwritten_loses_the_rest);
    tcase_add_test(tc, cross_page_blocks_are_in_both_pages);
    tcase_add_test(tc, block_that_wraps_into_its_own_page);
    tcase_add_test(tc, gaps_between_blocks);
    tcase_add_test(tc, live_bytes);
    tcase_add_test(tc, rewritten_bytes);
    tcase_add_test(tc, rewritten_live_bytes);
    tcase_add_test(tc, huge_ranges);
    tcase_add_test(tc, dropping_unchains);
    tcase_add_test(tc, an_exit_stays_where_it_is_chained);
    tcase_add_test(tc, hot_takes_the_place);
    tcase_add_test(tc, replaced_blocks_are_gone);
    tcase_add_test(tc, hot_undoes_chains);
    tcase_add_test(tc, hot_with_bytes_in_front);
    tcase_add_test(tc, hot_of_changed_bytes);
    tcase_add_test(tc, heat_is_dense);
    tcase_add_test(tc, flush_forgets_all);
    tcase_add_test(tc, full_cache_asks_for_a_flush);
    tcase_add_test(tc, unknown_host_falls_back);
    tcase_add_test(tc, random_life);
    tcase_add_test(tc, views_share_blocks);
    tcase_add_test(tc, watched_pages_and_changed_bytes);
    tcase_add_test(tc, pages_get_quiet);
    tcase_add_loop_test(tc, crowd, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
