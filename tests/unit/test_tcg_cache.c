/* The cache of blocks (tcg/cache.c, tcg/tcg.c) on the interpreter engine. */
#include <check.h>
#include <stdlib.h>

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

static struct tcg_block *block(uint64_t phys, uint64_t phys2, uint32_t mode, unsigned size, bool one_insn)
{
    struct ir_builder *b = tcg_builder(t);
    struct ir_block *ir = ir_start(b);
    bool flushed;

    ir_insn_start(b, 0, size);
    ir_br(b, IR_I32, ir_get(b, IR_I32, 1), 0, false, 8, false);
    ir->phys = phys;
    ir->phys2 = phys2;
    ir->mode = mode;
    ir->guest_size = size;
    ir->guest_insns = 1;
    return tcg_translate(t, ir, one_insn, &flushed);
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
    ck_assert_ptr_null(a->target[0]);
    ck_assert_ptr_null(plain->target[0]);
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
    ck_assert_ptr_eq(a->target[0], c);
    ck_assert_uint_eq(tcg_get_stats(t).chains, 5);
    ck_assert_uint_eq(tcg_invalidate(t, 0x2000, 1), 1);
    ck_assert(!a->target[0] && !a->target[1] && !d->target[1] && !c->target[0] && !c->target[1]);
    ck_assert(!d->incoming && !c->incoming);
    tcg_chain(t, a, 0, c);
    ck_assert_ptr_null(a->target[0]);
    tcg_chain(t, c, 0, a);
    ck_assert_ptr_null(c->target[0]);
}
END_TEST

START_TEST(rechaining_moves_the_exit)
{
    struct tcg_block *a = simple(0x1000, 4), *c = simple(0x2000, 4), *d = simple(0x3000, 4);
    struct tcg_block *cross = block(0x4ffe, 0x9000, 0, 4, false);

    tcg_chain(t, a, 0, c);
    tcg_chain(t, a, 0, d);
    ck_assert_ptr_eq(a->target[0], d);
    ck_assert_ptr_null(c->incoming);
    tcg_chain(t, a, 1, cross);
    ck_assert_ptr_null(a->target[1]);
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

START_TEST(full_cache_flushes_itself)
{
    struct ir_builder *b = tcg_builder(t);
    struct tcg_block *blk = NULL;
    bool flushed = false;
    unsigned n;

    for (n = 0; n < 100000 && !flushed; n++) {
        struct ir_block *ir = ir_start(b);
        ir_insn_start(b, 0, 1);
        for (unsigned r = 0; r < 64; r++)
            ir_st(b, IR_I32, ir_get(b, IR_I64, r & 15), ir_const(b, IR_I32, r), 0);
        ir_exit(b, IR_I32, 1);
        ir->phys = 0x10 * n;
        ir->guest_size = 1;
        blk = tcg_translate(t, ir, false, &flushed);
    }
    ck_assert(flushed && n > 100);
    ck_assert_ptr_null(tcg_find(t, 0, UINT64_MAX, 0));
    ck_assert_ptr_eq(tcg_find(t, 0x10 * (n - 1), UINT64_MAX, 0), blk);
    ck_assert_uint_eq(tcg_get_stats(t).flushes, 1);
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
                ck_assert(!live[k] || !live[k]->target[e] || !live[k]->target[e]->dropped);
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
    tcase_add_test(tc, cross_page_blocks_are_in_both_pages);
    tcase_add_test(tc, block_that_wraps_into_its_own_page);
    tcase_add_test(tc, huge_ranges);
    tcase_add_test(tc, dropping_unchains);
    tcase_add_test(tc, rechaining_moves_the_exit);
    tcase_add_test(tc, flush_forgets_all);
    tcase_add_test(tc, full_cache_flushes_itself);
    tcase_add_test(tc, unknown_host_falls_back);
    tcase_add_test(tc, random_life);
    suite_add_tcase(s, tc);
    return s;
}
