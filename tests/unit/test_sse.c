/* SSE state and exceptions through short programs on both engines: SDM vol. 1, 10.2.3 (MXCSR), 11.5
 * (exceptions), vol. 2 (alignment, MASKMOVDQU, COMISS). */
#include <check.h>

#include "cpu_fixture.h"

enum { C = CF_CODE, AREA = 0x20000 };
enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32, DAZ = 64, FTZ = 0x8000, DEFAULT = 0x1f80 };
#define F_ONE 0x3f800000u
#define F_MIN 0x00800000u    /* the smallest normal */
#define F_DENORMAL 0x00400000u
#define F_QNAN 0x7fc00000u

static void engine(int i)
{
    cf_setup_engine(i & 1);
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT);
    cf.cpu->gpr[R_BX] = AREA;
}

#define RUN(...) \
    do { \
        CF_CODE_AT(C, __VA_ARGS__, CF_STOP); \
        cf_run(C); \
    } while (0)

#define LDMXCSR 0x0f, 0xae, 0x13       /* ldmxcsr [ebx] */
#define STMXCSR 0x0f, 0xae, 0x5b, 0x04 /* stmxcsr [ebx+4] */
#define ADDSS 0xf3, 0x0f, 0x58, 0xc1   /* xmm0, xmm1 */
#define MULSS 0xf3, 0x0f, 0x59, 0xc1
#define DIVSS 0xf3, 0x0f, 0x5e, 0xc1

static void operands(uint32_t a, uint32_t b, uint32_t mxcsr)
{
    cf.cpu->xmm[0].u32[0] = a;
    cf.cpu->xmm[1].u32[0] = b;
    cf_poke(AREA, mxcsr, 4);
}

static void check(uint32_t result, uint32_t mxcsr)
{
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->xmm[0].u32[0], result);
    ck_assert_uint_eq(cf_peek(AREA + 4, 4), mxcsr);
}

START_TEST(test_mxcsr)
{
    engine(_i);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), DEFAULT);
    for (unsigned bit = 0; bit < 16; bit++) {
        cf_poke(AREA, DEFAULT | BIT(bit), 4);
        RUN(LDMXCSR, STMXCSR);
        ck_assert_uint_eq(cf_peek(AREA + 4, 4), DEFAULT | BIT(bit));
    }
    for (unsigned bit = 16; bit < 32; bit++) {
        cf_poke(AREA, DEFAULT | BIT(bit), 4);
        RUN(LDMXCSR);
        ck_assert_int_eq(cf_last_vector(), EX_GP);
        ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), 0);
    }
}
END_TEST

START_TEST(test_masked_exceptions)
{
    engine(_i);
    operands(F_ONE, 0, DEFAULT);
    RUN(LDMXCSR, DIVSS, STMXCSR);
    check(0x7f800000, DEFAULT | ZE);
    operands(0x7f7fffff, 0x7f7fffff, DEFAULT | ZE);
    RUN(LDMXCSR, ADDSS, STMXCSR);
    check(0x7f800000, DEFAULT | ZE | OE | PE); /* flags are sticky */
    operands(0x7f800000, 0xff800000, DEFAULT);
    RUN(LDMXCSR, ADDSS, STMXCSR);
    check(0xffc00000, DEFAULT | IE);
}
END_TEST

/* Unmasked: #XM, the operand stays, the flag is set. */
START_TEST(test_unmasked_exception)
{
    engine(_i);
    operands(F_ONE, 0, DEFAULT & ~(ZE << 7));
    RUN(LDMXCSR, 0x40, DIVSS);
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 4);
    ck_assert_uint_eq(cf.cpu->xmm[0].u32[0], F_ONE);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), (DEFAULT & ~(ZE << 7)) | ZE);
    RUN(ADDSS); /* a flag left behind raises nothing */
    ck_assert_int_eq(cf_last_vector(), -1);
    cpu_write_cr4(cf.cpu, CR4_OSFXSR);
    operands(F_ONE, 0, DEFAULT & ~(ZE << 7));
    RUN(LDMXCSR, DIVSS);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    ck_assert_uint_eq(cf.cpu->xmm[0].u32[0], F_ONE);
    operands(F_ONE, F_ONE, DEFAULT & ~(ZE << 7)); /* others go on */
    RUN(LDMXCSR, DIVSS, STMXCSR);
    check(F_ONE, DEFAULT & ~(ZE << 7));
}
END_TEST

/* An unmasked inexact result is a post-computation exception: no result either. */
START_TEST(test_unmasked_precision)
{
    engine(_i);
    operands(F_ONE, 0x40400000, DEFAULT & ~(PE << 7)); /* 1 / 3 */
    RUN(LDMXCSR, DIVSS);
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cf.cpu->xmm[0].u32[0], F_ONE);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu) & 0x3f, PE);
}
END_TEST

START_TEST(test_daz_and_ftz)
{
    engine(_i);
    operands(F_DENORMAL, 0, DEFAULT);
    RUN(LDMXCSR, ADDSS, STMXCSR);
    check(F_DENORMAL, DEFAULT | DE);
    operands(F_DENORMAL, 0, DEFAULT | DAZ);
    RUN(LDMXCSR, ADDSS, STMXCSR);
    check(0, DEFAULT | DAZ);
    operands(F_MIN, 0x3f000000, DEFAULT);
    RUN(LDMXCSR, MULSS, STMXCSR);
    check(F_DENORMAL, DEFAULT); /* exact: no underflow flag while masked */
    operands(F_MIN, 0x3f000000, DEFAULT | FTZ);
    RUN(LDMXCSR, MULSS, STMXCSR);
    check(0, DEFAULT | FTZ | UE | PE);
}
END_TEST

START_TEST(test_rounding)
{
    /* nearest, down, up, zero */
    static const int32_t expect[4][2] = { { 2, -2 }, { 2, -3 }, { 3, -2 }, { 2, -2 } };

    engine(_i);
    for (unsigned rc = 0; rc < 4; rc++)
        for (unsigned neg = 0; neg < 2; neg++) {
            operands(0x40200000 | neg << 31, 0, DEFAULT | rc << 13);
            /* cvtss2si eax; cvttss2si ecx */
            RUN(LDMXCSR, 0xf3, 0x0f, 0x2d, 0xc0, 0xf3, 0x0f, 0x2c, 0xc8, STMXCSR);
            ck_assert_int_eq((int32_t)cf.cpu->gpr[R_AX], expect[rc][neg]);
            ck_assert_int_eq((int32_t)cf.cpu->gpr[R_CX], neg ? -2 : 2);
            ck_assert_uint_eq(cf_peek(AREA + 4, 4), (DEFAULT | rc << 13) | PE);
        }
}
END_TEST

START_TEST(test_comiss)
{
    engine(_i);
    operands(F_QNAN, F_ONE, DEFAULT);
    RUN(LDMXCSR, 0x0f, 0x2e, 0xc1, STMXCSR); /* ucomiss: quiet */
    check(F_QNAN, DEFAULT);
    ck_assert_uint_eq(cpu_get_eflags(cf.cpu) & IR_FLAGS6, FL_ZF | FL_PF | FL_CF);
    RUN(LDMXCSR, 0x0f, 0x2f, 0xc1, STMXCSR); /* comiss */
    check(F_QNAN, DEFAULT | IE);
    operands(F_QNAN, F_ONE, DEFAULT & ~(IE << 7));
    cf.cpu->gpr[R_AX] = 0; /* 01 has odd parity: PF = 0 */
    RUN(LDMXCSR, 0x0c, 0x01, 0xf9, 0x0f, 0x2f, 0xc1); /* or al,1 (ZF = 0); stc; unmasked: flags stay */
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 8, 4) & (FL_CF | FL_ZF | FL_PF), FL_CF);
}
END_TEST

START_TEST(test_availability)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, 0);
    RUN(ADDSS);
    ck_assert_int_eq(cf_last_vector(), EX_UD); /* CR4.OSFXSR */
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_TS);
    RUN(ADDSS);
    ck_assert_int_eq(cf_last_vector(), EX_NM);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_EM);
    RUN(ADDSS);
    ck_assert_int_eq(cf_last_vector(), EX_UD); /* CR0.EM goes before TS */
    RUN(0x0f, 0x57, 0xc0);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

START_TEST(test_alignment)
{
    engine(_i);
    cf.cpu->gpr[R_BX] = AREA + 8;
    cf_poke(AREA + 8, 0x1122334455667788, 8);
    RUN(0x0f, 0x10, 0x03); /* movups */
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->xmm[0].u64[0], 0x1122334455667788);
    RUN(0x0f, 0x28, 0x03); /* movaps */
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    RUN(0x0f, 0x29, 0x03);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    RUN(0x66, 0x0f, 0xfc, 0x03); /* paddb xmm0,[ebx] */
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    RUN(0xf3, 0x0f, 0x58, 0x03); /* addss: scalars need none */
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

START_TEST(test_maskmov)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(AREA + 0x1000), 0, 4);
    cf.cpu->gpr[R_DI] = AREA + 0xff8;
    for (unsigned i = 0; i < 16; i++) {
        cf.cpu->xmm[0].u8[i] = (uint8_t)(0x10 + i);
        cf.cpu->xmm[1].u8[i] = i == 1 || i == 7 ? 0x80 : 0x7f;
    }
    RUN(0x66, 0x0f, 0xf7, 0xc1); /* maskmovdqu xmm0,xmm1: nothing beyond the page is selected */
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(AREA + 0xff8, 8), UINT64_C(0x1700000000001100));
    cf.cpu->xmm[1].u8[8] = 0xff;
    cf.cpu->xmm[0].u8[1] = 0x99;
    RUN(0x66, 0x0f, 0xf7, 0xc1);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, AREA + 0x1000);
    ck_assert_uint_eq(cf_peek(AREA + 0xff9, 1), 0x11); /* nothing was stored */
}
END_TEST

/* Limit and wrap are checked for the selected bytes. */
START_TEST(test_maskmov_limit)
{
    engine(_i);
    cf.cpu->gpr[R_DI] = 0xfffffff8;
    cf.cpu->xmm[1] = (union vec128){ .u8 = { [9] = 0x80 } };
    RUN(0x66, 0x0f, 0xf7, 0xc1);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cf.cpu->gpr[R_DI] = AREA;
    cf.cpu->xmm[0].u64[0] = UINT64_C(0x7700000000000000);
    cf.cpu->xmm[1] = (union vec128){ .u8 = { [7] = 0x80 } };
    seg_set_cache(cf.cpu, S_DS, CF_KDATA, 0, AREA + 7, ATTR_P | ATTR_S | ATTR_W | ATTR_A | ATTR_DB);
    cpu_update_mode(cf.cpu);
    RUN(0x66, 0x0f, 0xf7, 0xc1);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(AREA, 8), UINT64_C(0x7700000000000000));
    cf.cpu->xmm[1].u8[8] = 0x80;
    RUN(0x66, 0x0f, 0xf7, 0xc1);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    RUN(0x36, 0x66, 0x0f, 0xf7, 0xc1); /* through SS */
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

/* PADDQ mm came with SSE2, as PSUBQ mm (SDM vol. 1, 11.4.2). */
START_TEST(test_paddq)
{
    struct cpu_options opt = { .model = _i & 2 ? "pentium3,+sse2" : "pentium3", .interp = _i & 1,
                               .optimise = true };

    cf_setup(&opt);
    cf.cpu->fpu.st[1].mmx = 2;
    cf.cpu->fpu.st[0].mmx = 3;
    RUN(0x0f, 0xd4, 0xc1); /* paddq mm0,mm1 */
    ck_assert_int_eq(cf_last_vector(), _i & 2 ? -1 : EX_UD);
    ck_assert_uint_eq(cf.cpu->fpu.st[0].mmx, _i & 2 ? 5 : 3);
    RUN(0x0f, 0xfe, 0xc1); /* paddd is of MMX */
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

Suite *sse_suite(void)
{
    const TTest *const tests[] = {
        test_mxcsr, test_masked_exceptions, test_unmasked_exception, test_unmasked_precision,
        test_daz_and_ftz,
        test_rounding, test_comiss, test_availability, test_alignment, test_maskmov,
        test_maskmov_limit,
    };
    Suite *s = suite_create("sse");
    TCase *t = tcase_create("both engines");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    tcase_add_loop_test(t, test_paddq, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
