/* The jump cache over changes of address translation (SDM vol. 3, 4.10.4): loops with indirect calls of code that is
 * mapped elsewhere each time, on both engines. */
#include <check.h>

#include "cpu_fixture.h"

/* A function at linear L, whose page is A or B in memory; the loop at C is the same in all spaces. */
enum { C = CF_CODE, L = 0x300800, A = 0x400000, B = 0x500000, OTHER_DIR = 0x600000, TABLE = OTHER_DIR + 0x1000 };
enum { G = 0x100, ROUNDS = 100 };

static uint64_t pte_in_other(uint64_t linear) { return TABLE + (linear >> 12) * 4; }

/* A second space like the first. */
static void make_other_space(void)
{
    cf_poke(OTHER_DIR, TABLE | 7, 4);
    for (uint64_t page = 0; page < 0x400000; page += 0x1000)
        cf_poke(TABLE + (page >> 12) * 4, page | 7, 4);
}

static void engine(int i)
{
    cf_setup_engine(i & 1);
    cf_page_32();
    make_other_space();
    cf.cpu->gpr[R_BX] = CF_TABLES;
    cf.cpu->gpr[R_DI] = OTHER_DIR;
    cf.cpu->gpr[R_SI] = L;
    cf.cpu->gpr[R_CX] = 2 * ROUNDS;
    CF_CODE_AT(A + (L & 0xfff), 0x83, 0xc0, 1, 0xc3);    /* add eax, 1; ret */
    CF_CODE_AT(B + (L & 0xfff), 0x83, 0xc0, 16, 0xc3);   /* add eax, 16; ret */
}

static void check_sum(unsigned expected)
{
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], expected);
}

/* 1: mov cr3, ebx; call esi; xchg ebx, edi; dec ecx; jnz 1b */
static void put_switching_loop(void)
{
    CF_CODE_AT(C, 0x0f, 0x22, 0xdb, 0xff, 0xd6, 0x87, 0xdf, 0x49, 0x75, 0xf6, CF_STOP);
}

START_TEST(test_spaces_to_and_fro)
{
    engine(_i);
    cf_poke(CF_PTE(L), A | 7, 4);
    cf_poke(pte_in_other(L), B | 7, 4);
    put_switching_loop();
    check_sum(ROUNDS * 17);
}
END_TEST

/* The loop is in a global page, what it calls is not. */
START_TEST(test_global_caller)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_PGE);
    cf_poke(CF_PTE(C), C | 7 | G, 4);
    cf_poke(pte_in_other(C), C | 7 | G, 4);
    cf_poke(CF_PTE(L), A | 7, 4);
    cf_poke(pte_in_other(L), B | 7, 4);
    put_switching_loop();
    check_sum(ROUNDS * 17);
}
END_TEST

/* 1: xor dword [pte], A ^ B; invlpg [page]; call esi; dec ecx; jnz 1b */
static void put_remapping_loop(uint64_t page)
{
    CF_CODE_AT(C, 0x81, 0x35);
    cf_poke(C + 2, CF_PTE(page), 4);
    cf_poke(C + 6, A ^ B, 4);
    CF_CODE_AT(C + 10, 0x0f, 0x01, 0x3d);
    cf_poke(C + 13, page, 4);
    CF_CODE_AT(C + 17, 0xff, 0xd6, 0x49, 0x75, 0xea, CF_STOP);
}

START_TEST(test_invlpg)
{
    engine(_i);
    cf_poke(CF_PTE(L), A | 7, 4);
    put_remapping_loop(L);
    check_sum(ROUNDS * 17);
}
END_TEST

START_TEST(test_invlpg_of_global_page)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_PGE);
    cf_poke(CF_PTE(L), A | 7 | G, 4);
    put_remapping_loop(L);
    check_sum(ROUNDS * 17);
}
END_TEST

/* jmp rel32 whose last two bytes are in the page that changes, where nothing else runs. */
START_TEST(test_invlpg_of_second_page)
{
    engine(_i);
    CF_CODE_AT(0x300ffd, 0xe9, 0xfe, 0x0f);
    CF_CODE_AT(A, 1, 0);
    CF_CODE_AT(B, 2, 0);
    CF_CODE_AT(0x312000, 0x83, 0xc0, 1, 0xc3);
    CF_CODE_AT(0x322000, 0x83, 0xc0, 16, 0xc3);
    cf_poke(CF_PTE(0x301000), A | 7, 4);
    cf.cpu->gpr[R_SI] = 0x300ffd;
    put_remapping_loop(0x301000);
    check_sum(ROUNDS * 17);
}
END_TEST

/* The first page is global, the second is not: a write to CR3 forgets the block across them. */
START_TEST(test_second_page_not_global)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_PGE);
    CF_CODE_AT(0x300ffd, 0x05, 2, 0);
    CF_CODE_AT(A, 1, 0, 0xc3);
    CF_CODE_AT(B, 16, 0, 0xc3);
    cf_poke(CF_PTE(0x300000), 0x300000 | 7 | G, 4);
    cf_poke(pte_in_other(0x300000), 0x300000 | 7 | G, 4);
    cf_poke(CF_PTE(0x301000), A | 7, 4);
    cf_poke(pte_in_other(0x301000), B | 7, 4);
    cf.cpu->gpr[R_SI] = 0x300ffd;
    put_switching_loop();
    check_sum(ROUNDS * (2 * 2 + (17 << 16)));
}
END_TEST

/* The page of the function is taken away by INVLPG: the call faults there. */
START_TEST(test_page_that_went)
{
    engine(_i);
    cf_poke(CF_PTE(L), A | 7, 4);
    cf.cpu->gpr[R_CX] = 2;
    /* 1: call esi; mov dword [pte], 0; invlpg [L]; dec ecx; jnz 1b */
    CF_CODE_AT(C, 0xff, 0xd6, 0xc7, 0x05);
    cf_poke(C + 4, CF_PTE(L), 4);
    cf_poke(C + 8, 0, 4);
    CF_CODE_AT(C + 12, 0x0f, 0x01, 0x3d);
    cf_poke(C + 15, L, 4);
    CF_CODE_AT(C + 19, 0x49, 0x75, 0xea, CF_STOP);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, L);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
}
END_TEST

/* ---- what is kept and what goes ---- */

static struct tcg_jump_entry *entry(uint64_t pc)
{
    struct tcg_jump_entry *j = &cf.cpu->jump_cache[tcg_jump_slot(pc)];

    return j->pc == pc && j->key == cf.cpu->jump_key ? j : NULL;
}

static void run_and_return_to(uint64_t pc)
{
    cf_poke(pc, 0xc3, 1);
    cf.cpu->gpr[R_SI] = pc;
    CF_CODE_AT(C, 0xff, 0xd6, CF_STOP); /* call esi */
    cf_run(C);
    ck_assert_ptr_nonnull(entry(pc));
}

START_TEST(test_what_survives)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_PGE);
    cf_poke(CF_PTE(0x310000), 0x310000 | 7 | G, 4);
    mmu_flush(cf.cpu, true);
    run_and_return_to(0x310010);
    run_and_return_to(0x311020);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    ck_assert_ptr_nonnull(entry(0x310010));
    ck_assert_ptr_null(entry(0x311020));
    run_and_return_to(0x311020);
    run_and_return_to(0x312030);
    mmu_invlpg(cf.cpu, 0x311fff);
    ck_assert_ptr_null(entry(0x311020));
    ck_assert_ptr_nonnull(entry(0x310010));
    ck_assert_ptr_nonnull(entry(0x312030));
    mmu_invlpg(cf.cpu, 0x312000); /* known to the filter after the first one, too */
    ck_assert_ptr_null(entry(0x312030));
    mmu_flush(cf.cpu, true);
    ck_assert_ptr_null(entry(0x310010));
}
END_TEST

/* Two addresses of one slot: both are kept, and each goes with its page. */
START_TEST(test_two_ways)
{
    enum { ONE = 0x300800, TWO = ONE ^ 1 << TCG_JC_BITS ^ 1 };
    struct tcg_jump_entry *slot, *other;

    engine(_i);
    slot = &cf.cpu->jump_cache[tcg_jump_slot(ONE)];
    other = &cf.cpu->jump_cache[tcg_jump_slot(ONE) ^ 1];
    cpu_write_cr4(cf.cpu, CR4_PGE);
    cf_poke(CF_PTE(ONE), (ONE & ~0xfff) | 7 | G, 4);
    mmu_flush(cf.cpu, true);
    for (unsigned i = 0; i < 3; i++) {
        run_and_return_to(ONE);
        run_and_return_to(TWO);
        ck_assert(entry(TWO) == slot && other->pc == ONE && other->key == cf.cpu->jump_key);
        cf.cpu->rip = ONE;
        ck_assert_ptr_eq(jumps_find(cf.cpu, 0, 0), slot->code);
        ck_assert(entry(ONE) == slot && other->pc == TWO && other->key == cf.cpu->jump_key);
        if (i == 0)
            cpu_write_cr3(cf.cpu, CF_TABLES);
        else
            mmu_invlpg(cf.cpu, i == 1 ? TWO : ONE);
        ck_assert_uint_eq(entry(ONE) != NULL, i != 2);
        ck_assert_uint_eq(other->key == cf.cpu->jump_key, i == 2);
    }
}
END_TEST

/* Pages wrap at 4 GiB. */
START_TEST(test_page_zero_is_behind_the_last)
{
    engine(_i);
    cf_poke(CF_TABLES + 4 * 1023, (CF_TABLES + 0x1000) | 7, 4);
    cf_poke(CF_PTE(0x3ff000), A | 7, 4);
    CF_CODE_AT(A + 0xffd, 0x05, 2, 0);
    CF_CODE_AT(A + 0x1000, 1, 0, 0xc3);
    CF_CODE_AT(B + 0x1000, 16, 0, 0xc3);
    cf_poke(CF_PTE(0), (A + 0x1000) | 7, 4);
    cf.cpu->gpr[R_SI] = 0xfffffffd;
    put_remapping_loop(0);
    cf_poke(C + 6, (A + 0x1000) ^ (B + 0x1000), 4);
    check_sum(ROUNDS * (2 * 2 + (17 << 16)));
}
END_TEST

/* ---- random life: what is found was added and not forgotten since ---- */

enum { PLACES = 64, STEPS = 20000 };

struct place {
    uint64_t pc;
    struct tcg_block blk;
    bool there[2], global;      /* by level */
};

static uint64_t seed;

static unsigned random_below(unsigned n)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % n;
}

static bool touches(const struct place *p, uint64_t page)
{
    return align_down(p->pc, MEM_PAGE_SIZE) == page ||
           (p->blk.phys2 != UINT64_MAX && align_down((uint32_t)(p->pc + 14), MEM_PAGE_SIZE) == page);
}

/* Few pages, many of whose places share slots; some of those near the end of a page reach into the next. */
static void make_places(struct place *p)
{
    for (unsigned i = 0; i < PLACES; i++) {
        unsigned off = i & 2 ? 0xff2 + i / 4 % 14 : i / 4 % 4 * 3;
        p[i] = (struct place){ .pc = (i / 16 % 4 - 2) * 0x10000 + (i & 1) * 0xf000 + off };
        p[i].blk.phys2 = off > 0xff1 && random_below(2) ? 0 : UINT64_MAX;
        p[i].global = p[i].pc >> 12 & 1;
        for (unsigned m = 0; p[i].global && m < MMU_NUM; m++)
            cf.cpu->tlb_global[m][tlb_index(m, p[i].pc) / 64] |= BIT(tlb_index(m, p[i].pc) % 64);
    }
}

static void set_level(unsigned level)
{
    cf.cpu->mode = (cf.cpu->mode & ~(uint32_t)MODE_CPL) | (level ? MODE_CPL : 0);
    jumps_set_mode(cf.cpu, cf.cpu->mode);
}

static void forget_places(struct place *p, unsigned what)
{
    uint64_t page = align_down(p[random_below(PLACES)].pc + 14 * random_below(2), MEM_PAGE_SIZE) & UINT32_MAX;

    if (what < 2)
        jumps_flush(cf.cpu, what);
    else
        jumps_drop_page(cf.cpu, page);
    for (unsigned i = 0; i < PLACES; i++)
        for (unsigned level = 0; level < 2; level++)
            if (what == 0 ? level || !p[i].global || p[i].blk.phys2 != UINT64_MAX : what == 1 || touches(&p[i], page))
                p[i].there[level] = false;
}

/* Both ways. Returns how many are found that should be, and fails for others. */
static unsigned count_found(const struct place *p)
{
    unsigned found = 0;

    for (unsigned i = 0; i < PLACES; i++)
        for (unsigned way = 0; way < 2; way++) {
            const struct tcg_jump_entry *j = &cf.cpu->jump_cache[tcg_jump_slot(p[i].pc) ^ way];
            if (j->pc != p[i].pc || j->key != cf.cpu->jump_key)
                continue;
            ck_assert(p[i].there[cpu_cpl(cf.cpu) == 3]);
            found++;
        }
    return found;
}

START_TEST(test_random_life)
{
    static struct place p[PLACES];
    unsigned found = 0;

    engine(_i);
    seed = 1 + (unsigned)_i;
    make_places(p);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = random_below(PLACES), level = random_below(2);
        if (step == STEPS / 2) {
            cf.cpu->latest_epoch[0] = cf.cpu->latest_epoch[1] = UINT32_MAX - 20; /* comes around soon */
            forget_places(p, 1);
        }
        set_level(level);
        jumps_add(cf.cpu, p[i].pc, &p[i].blk);
        p[i].there[level] = true;
        if (!random_below(16))
            forget_places(p, random_below(8));
        found += count_found(p);
    }
    ck_assert_uint_gt(found, STEPS);
}
END_TEST

/* More than the list of those that a write to CR3 forgets one by one holds. */
START_TEST(test_many_local)
{
    struct tcg_block blk = { .phys2 = UINT64_MAX };
    enum { MANY = CPU_LOCAL_JUMPS + 10 };

    engine(_i);
    cf.cpu->tlb_global[cpu_mmu_set(cf.cpu)][0] = 2;
    for (unsigned num = CPU_LOCAL_JUMPS - 2; num <= MANY; num++) {
        jumps_add(cf.cpu, 0x1000, &blk);
        for (unsigned i = 0; i < num; i++)
            jumps_add(cf.cpu, 0x2000 + 2 * i, &blk);
        jumps_flush(cf.cpu, false);
        for (unsigned i = 0; i < num; i++)
            ck_assert_ptr_null(entry(0x2000 + 2 * i));
        ck_assert_uint_eq(entry(0x1000) != NULL, num <= CPU_LOCAL_JUMPS);
    }
}
END_TEST

Suite *jumps_suite(void)
{
    Suite *s = suite_create("jumps");
    TCase *t = tcase_create("both engines");
    const TTest *const tests[] = {
        test_spaces_to_and_fro, test_global_caller, test_invlpg, test_invlpg_of_global_page,
        test_invlpg_of_second_page, test_second_page_not_global, test_page_that_went, test_what_survives,
        test_page_zero_is_behind_the_last, test_two_ways, test_random_life, test_many_local,
    };

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    tcase_set_timeout(t, 10);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    suite_add_tcase(s, t);
    return s;
}
