/* Frames of interrupts and IRET wherever they lie: at the end of a page and across it, on memory that the TLB does not
 * know yet, over translated code, on a page that is not there (SDM vol. 3, 6.12 to 6.15). */
#include <check.h>

#include "cpu_fixture.h"

enum { C = CF_CODE, PAGE = 0x600000, ENGINES = 2 };

static void setup(int i)
{
    cf_setup_engine(i % ENGINES);
}

static uint64_t item(unsigned n, unsigned size)
{
    return cf_peek(cf.cpu->gpr[R_SP] + n * size, size);
}

/* Long mode: SS:RSP is always pushed, the frame begins at a multiple of 16. */
START_TEST(test_long_frame)
{
    uint64_t sp = PAGE - 64 + (uint64_t)(_i / ENGINES % 96), top = align_down(sp, 16);
    bool known = _i / ENGINES / 96;

    setup(_i);
    cf_enter_long();
    CF_CODE_AT(C, 0x9c, 0x58, 0xcc); /* pushf; pop rax; int3 */
    CF_CODE_AT(C + 0x100, 0x0f, 0x0b);
    cf.cpu->gpr[R_SP] = sp;
    if (known) {
        cf_run(C);
        cf.cpu->gpr[R_SP] = sp;
    }
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_BP);
    ck_assert_uint_eq(cf.cpu->gpr[R_SP], top - 40);
    ck_assert_uint_eq(item(0, 8), C + 3);
    ck_assert_uint_eq(item(1, 8), CF_CODE64);
    ck_assert_uint_eq(item(2, 8) & ~0xffull, cf.cpu->gpr[R_AX] & ~0xffull);
    ck_assert_uint_eq(item(3, 8), sp);
    ck_assert_uint_eq(item(4, 8), CF_KDATA);
}
END_TEST

/* Code that a frame overwrites is translated no more. */
START_TEST(test_frame_over_code)
{
    const uint64_t at = C + 0x400;

    setup(_i);
    cf_enter_long();
    for (unsigned k = 0; k < 64; k++)
        cf_poke(at + k, 0x90, 1);
    CF_CODE_AT(at + 64, CF_STOP);
    CF_CODE_AT(C, 0xcc);
    for (unsigned k = 0; k < 2; k++) {
        cf_run(at + 8 * k);
        ck_assert(tcg_has_code(cf.cpu->tcg, at + 16, 1));
        cf.cpu->gpr[R_SP] = at + 48;
        cf_run(C);
        ck_assert_uint_eq(item(0, 8), C + 1);
        ck_assert(!tcg_has_code(cf.cpu->tcg, at + 8, 40));
        for (unsigned n = 8; n < 48; n++)
            cf_poke(at + n, 0x90, 1);
    }
}
END_TEST

/* A stack pointer at the edge of canonical space: #SS, which has no stack either, and so a shutdown. */
START_TEST(test_edge_of_canonical)
{
    setup(_i);
    cf_enter_long();
    CF_CODE_AT(C, 0xcc);
    cf.cpu->gpr[R_SP] = UINT64_C(0xffff800000000010);
    cf_run(C);
    ck_assert_uint_eq(cf.shutdowns, 1);
}
END_TEST

/* 32-bit frames at the end of a page whose neighbour is not there: a double fault for want of a stack ends in a
 * shutdown, CR2 tells the first byte that could not be written. */
START_TEST(test_absent_page)
{
    unsigned room = (unsigned)_i / ENGINES * 4;

    setup(_i);
    cf_page_32();
    cf_poke(CF_PTE(PAGE - 0x1000), 0, 4);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    CF_CODE_AT(C, 0xcc);
    cf.cpu->gpr[R_SP] = PAGE + room;
    cf_run(C);
    if (room >= 12) {
        ck_assert_int_eq(cf_last_vector(), EX_BP);
        ck_assert_uint_eq(cf.cpu->gpr[R_SP], PAGE + room - 12);
        ck_assert_uint_eq(item(0, 4), C + 1);
        ck_assert_uint_eq(item(1, 4), CF_KCODE);
    } else {
        ck_assert_uint_eq(cf.shutdowns, 1);
        ck_assert_uint_eq(cf.cpu->cr2, PAGE - 4);
        ck_assert_uint_eq(cf.cpu->gpr[R_SP], PAGE + room);
        ck_assert_uint_eq(cf.cpu->rip, C);
    }
}
END_TEST

/* A read-only page with CR0.WP, which reads have made known to the TLB. */
START_TEST(test_read_only_page)
{
    setup(_i);
    cf_page_32();
    cf_poke(CF_PTE(PAGE), PAGE | 5, 4);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    CF_CODE_AT(C, 0xa1, 0x00, 0x00, 0x60, 0x00, 0xcc); /* mov eax,[PAGE]; int3 */
    cf.cpu->gpr[R_SP] = PAGE + 0x100;
    cf_run(C);
    ck_assert_uint_eq(cf.shutdowns, 1);
    ck_assert_uint_eq(cf.cpu->cr2, PAGE + 0xfc);
}
END_TEST

/* IRET reads its frame across a page, cold and warm. */
START_TEST(test_iret_across_pages)
{
    uint64_t sp = PAGE - 40 + 4 * (uint64_t)(_i / ENGINES % 12);

    setup(_i);
    cf_page_32();
    if (_i / ENGINES / 12)
        cpu_write_cr3(cf.cpu, CF_TABLES); /* nothing known */
    cf_poke(sp, C + 0x80, 4);
    cf_poke(sp + 4, CF_KCODE, 4);
    cf_poke(sp + 8, 2 | FL_DF, 4);
    CF_CODE_AT(C, 0xcf);
    CF_CODE_AT(C + 0x80, CF_STOP);
    cf.cpu->gpr[R_SP] = sp;
    cf_run(C);
    ck_assert_uint_eq(cf.cpu->gpr[R_SP], sp + 12);
    ck_assert(cf.cpu->eflags & FL_DF);
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

Suite *frame_suite(void)
{
    Suite *s = suite_create("frame");
    TCase *tc = tcase_create("frame");

    tcase_add_checked_fixture(tc, NULL, cf_teardown);
    tcase_add_loop_test(tc, test_long_frame, 0, ENGINES * 96 * 2);
    tcase_add_loop_test(tc, test_frame_over_code, 0, ENGINES);
    tcase_add_loop_test(tc, test_edge_of_canonical, 0, ENGINES);
    tcase_add_loop_test(tc, test_absent_page, 0, ENGINES * 5);
    tcase_add_loop_test(tc, test_read_only_page, 0, ENGINES);
    tcase_add_loop_test(tc, test_iret_across_pages, 0, ENGINES * 24);
    suite_add_tcase(s, tc);
    return s;
}
