/* What is cached of address spaces that are not the current one: SDM vol. 3, 4.10.1 (PCIDs), 4.10.4.1 (what forgets
 * them), 4.6.2 (protection keys). */
#include <check.h>

#include "cpu/helpers.h"
#include "cpu/smp.h"
#include "cpu_fixture.h"

/* Spaces A and B, PCIDs 1 and 2: page X is XA and XB in memory, through tables of 4 KiB pages of their own. */
enum { A = CF_TABLES, B = 0x600000, TABLE_A = 0x700000, TABLE_B = 0x701000, X = 0x200000, XA = 0x400000, XB = 0x401000 };
enum { U = 7, G = 0x100, DIR = 0x2000 };
#define KEEP BIT(63)

static uint64_t load(uint64_t addr) { return mmu_load(cf.cpu, addr, 4, 0); }
static void go(uint64_t cr3) { cpu_write_cr3(cf.cpu, cr3); }
static void map(uint64_t table, unsigned page, uint64_t pte) { cf_poke(table + 8 * page, pte, 8); }

static void setup(void)
{
    cf_setup(NULL);
    cf_enter_long();
    for (unsigned i = 0; i < 0x6000; i += 8)
        cf_poke(B + i, cf_peek(A + i, 8), 8);
    cf_poke(B, (B + 0x1000) | U, 8);
    cf_poke(B + 0x1000, (B + DIR) | U, 8);
    cf_poke(A + DIR + 8, TABLE_A | U, 8);
    cf_poke(B + DIR + 8, TABLE_B | U, 8);
    for (unsigned i = 0; i < 512; i++) {
        map(TABLE_A, i, (XA + 0x2000 * (i & 1)) | U);
        map(TABLE_B, i, (XB + 0x2000 * (i & 1)) | U);
    }
    cf_poke(XA, 0xa, 4);
    cf_poke(XB, 0xb, 4);
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PCIDE | CR4_PGE);
    go(A | 1);
}

/* Walks that it takes to read X. */
static uint64_t walks_for(uint64_t value)
{
    uint64_t before = cf.cpu->tlb_fills;

    ck_assert_uint_eq(load(X), value);
    return cf.cpu->tlb_fills - before;
}

START_TEST(test_to_and_fro)
{
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(walks_for(0xa), i == 0);
        go(B | 2 | KEEP);
        ck_assert_uint_eq(walks_for(0xb), i == 0);
        go(A | 1 | KEEP);
    }
    go(A | 1 | KEEP);
    ck_assert_uint_eq(walks_for(0xa), 0);
}
END_TEST

/* Without bit 63 nothing stays of the new PCID, and all of others. */
START_TEST(test_flushing_write)
{
    load(X);
    go(B | 2);
    load(X);
    map(TABLE_A, 0, XB | U);
    go(A | 1);
    ck_assert_uint_eq(walks_for(0xb), 1);
    go(B | 2 | KEEP);
    ck_assert_uint_eq(walks_for(0xb), 0);
    go(B | 2);
    ck_assert_uint_eq(walks_for(0xb), 1);
}
END_TEST

START_TEST(test_other_table_under_the_pcid)
{
    load(X);
    go(B | 2 | KEEP);
    load(X);
    go(B | 1 | KEEP);
    ck_assert_uint_eq(load(X), 0xb);
    go(A | 1 | KEEP);
    ck_assert_uint_eq(load(X), 0xa);
}
END_TEST

/* Each way to forget, while B is current: 0-3 types of INVPCID, 4 PCIDE, 5 PGE, 6 a request. */
START_TEST(test_what_forgets)
{
    load(X);
    go(B | 2 | KEEP);
    map(TABLE_A, 0, XB | U);
    if (_i < 4)
        helper_invpcid(cf.cpu, (unsigned)_i, _i < 2 ? 1 : 0, X + 0x123);
    if (_i == 4) {
        go(B);
        cpu_write_cr4(cf.cpu, cf.cpu->cr4 & ~(uint64_t)CR4_PCIDE);
        cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PCIDE);
    }
    if (_i == 5)
        cpu_write_cr4(cf.cpu, cf.cpu->cr4 & ~(uint64_t)CR4_PGE);
    if (_i == 6)
        mmu_flush(cf.cpu, true);
    go(A | 1 | KEEP);
    ck_assert_uint_eq(walks_for(0xb), 1);
}
END_TEST

/* ---- the jump cache, of programs ---- */

static struct tcg_block blk = { .phys2 = UINT64_MAX };

static bool found(uint64_t pc)
{
    const struct tcg_jump_entry *j = &cf.cpu->jump_cache[tcg_jump_slot(pc) & ~1u];

    return (j[0].pc == pc && j[0].key == cf.cpu->jump_key) || (j[1].pc == pc && j[1].key == cf.cpu->jump_key);
}

static void become_program(void)
{
    cf.cpu->mode |= MODE_CPL;
    jumps_set_mode(cf.cpu, cf.cpu->mode);
}

START_TEST(test_jumps_come_back)
{
    become_program();
    jumps_add(cf.cpu, X + 1, &blk);
    for (unsigned i = 0; i < 3; i++) {
        go(B | 2 | KEEP);
        ck_assert(!found(X + 1) && found(X + 2) == (i > 0));
        jumps_add(cf.cpu, X + 2, &blk);
        go(A | 1 | KEEP);
        ck_assert(found(X + 1) && !found(X + 2));
    }
    mmu_invlpg(cf.cpu, X);
    ck_assert(!found(X + 1));
    jumps_add(cf.cpu, X + 1, &blk);
    go(B | 2);
    ck_assert(!found(X + 2));
    go(A | 1 | KEEP);
    ck_assert(found(X + 1));
}
END_TEST

/* While B is current: 0-3 types of INVPCID, 4 a full flush, 5 INVLPG of a global page and 6 of the second page of a
 * block, which may be one, 7 blocks are no more, 8 epochs come around, 9 the space with another table, 10 a write to CR3
 * that keeps nothing. */
START_TEST(test_jumps_that_went)
{
    uint64_t pc = _i == 6 ? X - 2 : X + 1;

    become_program();
    blk.phys2 = _i == 6 ? XA : UINT64_MAX;
    if (_i == 5)
        cf.cpu->tlb_global[MMU_USER][tlb_index(MMU_USER, X) / 64] |= BIT(tlb_index(MMU_USER, X) % 64);
    jumps_add(cf.cpu, pc, &blk);
    blk.phys2 = UINT64_MAX;
    cf.cpu->latest_epoch[1] = _i == 8 ? UINT32_MAX - 1 : cf.cpu->latest_epoch[1];
    go(B | 2 | KEEP);
    if (_i < 4)
        helper_invpcid(cf.cpu, (unsigned)_i, _i < 2 ? 1 : 0, X + 0x123);
    if (_i == 4)
        mmu_flush(cf.cpu, true);
    if (_i == 5 || _i == 6)
        mmu_invlpg(cf.cpu, X);
    if (_i == 7)
        mmu_forget_blocks(cf.cpu);
    if (_i == 8)
        go(B | 3 | KEEP);
    if (_i == 9)
        go(B | 1 | KEEP);
    go(A | 1 | (_i == 10 ? 0 : KEEP));
    ck_assert(!found(pc));
}
END_TEST

/* INVPCID of a third context and INVLPG, which is for the current one, leave it alone. */
START_TEST(test_what_does_not)
{
    load(X);
    go(B | 2 | KEEP);
    helper_invpcid(cf.cpu, 1, 3, 0);
    helper_invpcid(cf.cpu, 0, 2, X);
    mmu_invlpg(cf.cpu, X);
    go(A | 1 | KEEP);
    ck_assert_uint_eq(walks_for(0xa), 0);
}
END_TEST

/* A global page is in no space: INVLPG finds it under any PCID, and so does what comes back. */
START_TEST(test_global)
{
    map(TABLE_A, 0, XA | U | G);
    load(X);
    go(B | 2 | KEEP);
    ck_assert_uint_eq(walks_for(0xa), 0);
    mmu_invlpg(cf.cpu, X);
    ck_assert_uint_eq(walks_for(0xb), 1);
    go(A | 1 | KEEP);
    ck_assert_uint_eq(walks_for(0xa), 1);
    map(TABLE_A, 0, XA | U);
    mmu_invlpg(cf.cpu, X);
    load(X);
    go(B | 2);
    map(TABLE_B, 0, XB | U | G);
    ck_assert_uint_eq(load(X), 0xb);
    go(A | 1 | KEEP);
    ck_assert_uint_eq(walks_for(0xb), 0);
}
END_TEST

/* A program's pages 16 MiB apart, of which every other one is global: what a flush of each kind leaves. */
START_TEST(test_far_apart)
{
    enum { PAGES = 8, APART = 0x1000000 };
    uint64_t walks[PAGES];

    for (unsigned i = 0; i < PAGES; i++) {
        cf_poke(A + DIR + 8 + 64 * i, (TABLE_A + 0x2000 * (i & 1)) | U, 8);
        map(TABLE_A + 0x2000 * (i & 1), 0, XA | U | (i & 1 ? G : 0));
    }
    become_program();
    for (unsigned turn = 0; turn < 6; turn++) {
        if (turn == 2)
            go(B | 2 | KEEP);
        if (turn == 2)
            go(A | 1 | KEEP);
        if (turn == 3)
            go(A | 1);
        if (turn == 4)
            mmu_invlpg(cf.cpu, X + APART);
        if (turn == 5)
            mmu_flush(cf.cpu, true);
        for (unsigned i = 0; i < PAGES; i++) {
            walks[i] = cf.cpu->tlb_fills;
            ck_assert_uint_eq(load(X + APART * i), 0xa);
            walks[i] = cf.cpu->tlb_fills - walks[i];
            ck_assert_uint_eq(walks[i], turn == 0 || turn == 5 || (turn == 3 && !(i & 1)) || (turn == 4 && i == 1));
        }
    }
}
END_TEST

/* Rights of keys are PKRU's of the moment. */
START_TEST(test_keys)
{
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PKE);
    map(TABLE_A, 0, XA | U | 5ULL << 59);
    map(TABLE_A, 1, XA | U | 6ULL << 59);
    load(X);
    load(X + 0x1000);
    go(B | 2 | KEEP);
    cpu_set_pkru(cf.cpu, 1u << 10);
    go(A | 1 | KEEP);
    ck_assert_int_eq(CF_RAISED(load(X)), EX_PF);
    ck_assert_int_eq(CF_RAISED(load(X + 0x1000)), -1);
    go(B | 2 | KEEP);
    cpu_set_pkru(cf.cpu, 0);
    go(A | 1 | KEEP);
    ck_assert_int_eq(CF_RAISED(load(X)), -1);
}
END_TEST

/* A page that got code while its space was away: the store drops the block. */
START_TEST(test_code_came)
{
    mmu_store(cf.cpu, X, 0x90909090, 4, 0);
    ck_assert_ptr_nonnull(mmu_direct(cf.cpu, MMU_SUPER, X, 4, true));
    go(B | 2 | KEEP);
    CF_CODE_AT(XA, 0x90, CF_STOP);
    cf_run(XA);
    go(A | 1 | KEEP);
    ck_assert_ptr_null(mmu_direct(cf.cpu, MMU_SUPER, X, 4, true));
    mmu_store(cf.cpu, X + 2, 0x12, 1, 0);
    cf.num_out = 0;
    CF_CODE_AT(XA + 1, CF_OUT_AL, CF_STOP);
    cf_run(X);
    ck_assert_uint_eq(cf.num_out, 1);
}
END_TEST

/* ---- entries that go while the display waits to be told of stores ---- */

static void go_by_flush(void) { mmu_flush(cf.cpu, true); }
static void go_by_cr3(void) { go(A | 1); }
static void go_by_pcid(void) { go(B | 2 | KEEP); }
static void go_by_invlpg(void) { mmu_invlpg(cf.cpu, X); }
static void go_by_other_page(void) { load(X + TCG_TLB_SIZE * 0x1000); }
static void go_by_key(void) { cpu_set_pkru(cf.cpu, 2u << 10); }

static void go_by_fault(void)
{
    cpu_set_cpl(cf.cpu, 3);
    cpu_update_mode(cf.cpu);
    ck_assert_int_eq(CF_RAISED(load(X)), EX_PF);
}

/* A page has turned clean and the processor was asked to tell of its stores; before it does, it stores once more and
 * the entry that it stored through goes. In every other round the page has code, whose stores look at nothing. */
START_TEST(test_display_is_told)
{
    void (*const ways[])(void) = { go_by_flush, go_by_cr3, go_by_pcid, go_by_invlpg, go_by_other_page, go_by_key,
                                   go_by_fault };
    uint8_t *flags = &memory_page_flags(cf.mem)[XA >> 12];
    uint8_t *host;

    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PKE);
    map(TABLE_A, 0, XA | (ways[_i / 2] == go_by_fault ? 3 : U | 5ULL << 59));
    mmu_store(cf.cpu, X, 1, 4, 0);
    host = mmu_direct(cf.cpu, MMU_SUPER, X, 4, true);
    ck_assert_ptr_nonnull(host);
    if (_i & 1) {
        *flags = MEM_PAGE_CODE;
        mmu_revoke_stores(cf.cpu);
    }
    *flags |= MEM_PAGE_CLEAN_VGA;
    cpu_watch_async(cf.cpu);
    *host = 2;
    ways[_i / 2]();
    cpu_safe_point(cf.cpu);
    ck_assert_uint_eq(*flags, _i & 1 ? MEM_PAGE_CODE : 0);
}
END_TEST

/* More pages than are kept, and more spaces than there are places. */
START_TEST(test_more_than_fits)
{
    for (unsigned i = 0; i < 512; i++)
        load(X + 0x1000 * i);
    for (unsigned pcid = 2; pcid < 20; pcid++) {
        go(B | pcid | KEEP);
        for (unsigned i = 0; i < 16; i++)
            ck_assert_uint_eq(load(X + 0x2000 * i), 0xb);
    }
    go(A | 1 | KEEP);
    for (unsigned i = 0; i < 256; i++)
        ck_assert_uint_eq(load(X + 0x2000 * i), 0xa);
    go(B | 19 | KEEP);
    ck_assert_uint_eq(walks_for(0xb), 0);
    go(A | 1 | KEEP);
    for (unsigned i = 0; i < 256; i++)
        ck_assert_uint_eq(load(X + 0x2000 * i), 0xa);
}
END_TEST

Suite *spaces_suite(void)
{
    Suite *s = suite_create("spaces");
    TCase *t = tcase_create("spaces");
    const TTest *const tests[] = {
        test_to_and_fro, test_flushing_write, test_other_table_under_the_pcid, test_what_does_not, test_global,
        test_far_apart, test_keys, test_code_came, test_more_than_fits, test_jumps_come_back,
    };

    tcase_add_checked_fixture(t, setup, cf_teardown);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(t, tests[i]);
    tcase_add_loop_test(t, test_what_forgets, 0, 7);
    tcase_add_loop_test(t, test_jumps_that_went, 0, 11);
    tcase_add_loop_test(t, test_display_is_told, 0, 14);
    suite_add_tcase(s, t);
    return s;
}
