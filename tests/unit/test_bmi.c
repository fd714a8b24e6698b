/* Integer extensions through short programs on both engines: SDM vol. 2 (POPCNT, LZCNT, TZCNT, MOVBE, CRC32,
 * ADCX, ADOX, RDRAND, BMI1, BMI2), what is left of them on models without, and encodings that are none. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/decode.h"
#include "cpu_fixture.h"

enum { REAL_CODE = 0xa000, AREA = 0x20000 };

/* Engine i: 0 the backend with all that the host has, 1 the interpreter with nothing of it. */
static void setup_model(const char *model, int i)
{
    struct cpu_options opt = { .model = model, .interp = i & 1, .optimise = true, .verify = true,
                               .without_isa = i & 1 ? ~0u : 0 };

    cf_setup(&opt);
}

/* Run the instruction `hex` at linear address `at`. */
static void run_at(uint32_t at, const char *hex)
{
    uint8_t code[INSN_MAX_LEN + 4] = { 0 };
    static const uint8_t stop[] = { CF_STOP };
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
        code[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    memcpy(code + n, stop, sizeof(stop));
    cf_code(at, code, sizeof(code));
    cf_run(at);
}

static void run(const char *hex)
{
    run_at(CF_CODE, hex);
}

/* ---- results and flags ---- */

#define CF FL_CF
#define ZF FL_ZF
#define SF FL_SF
#define OF FL_OF
#define ALL IR_FLAGS6

/* In: RAX, RCX, RDX; out: RAX and RCX. */
struct sample {
    const char *hex;
    unsigned bits;
    uint64_t ax, cx, dx, ax_out, cx_out;
    uint32_t fl_in, fl_out, fl_mask;
};

static const struct sample samples[] = {
    /* popcnt */
    { "f30fb8c1", 32, 0, 0xffff0001, 0, 17, 0xffff0001, ALL, 0, ALL },
    { "f3480fb8c1", 64, 0, UINT64_MAX, 0, 64, UINT64_MAX, ALL, 0, ALL },
    { "66f30fb8c1", 32, 0xaaaa0000, 0x10000, 0, 0xaaaa0000, 0x10000, 0, ZF, ALL },
    /* tzcnt, lzcnt: width and C with source 0, Z with result 0 */
    { "f30fbcc1", 32, 7, 0, 0, 32, 0, ZF, CF, CF | ZF },
    { "66f30fbcc1", 32, 7, 0x10000, 0, 16, 0x10000, 0, CF, CF | ZF },
    { "f3480fbcc1", 64, 7, BIT(40), 0, 40, BIT(40), CF | ZF, 0, CF | ZF },
    { "f30fbcc1", 64, UINT64_MAX, 1, 0, 0, 1, CF, ZF, CF | ZF },
    { "f30fbdc1", 32, 7, 1, 0, 31, 1, CF, 0, CF | ZF },
    { "66f30fbdc1", 32, 7, 0x10080, 0, 8, 0x10080, CF, 0, CF | ZF },
    { "66f30fbdc1", 32, 7, 0x10000, 0, 16, 0x10000, 0, CF, CF | ZF },
    { "f3480fbdc1", 64, 7, 0, 0, 64, 0, 0, CF, CF | ZF },
    { "f3480fbdc1", 64, 7, UINT64_MAX, 0, 0, UINT64_MAX, 0, ZF, CF | ZF },
    /* crc32: the manual's polynomial; an upper half is cleared */
    { "f20f38f0c1", 32, 0, 1, 0, 0xf26b8303, 1, ALL, ALL, ALL },
    { "f2480f38f0c1", 64, UINT64_C(0xffffffff00000000), 1, 0, 0xf26b8303, 1, 0, 0, ALL },
    { "66f20f38f1c1", 32, 0, 0x10000, 0, 0, 0x10000, 0, 0, ALL },
    /* adcx, adox: of the flags only C, only O */
    { "660f38f6c1", 32, UINT32_MAX, 0, 0, 0, 0, ALL, ALL, ALL },
    { "660f38f6c1", 32, UINT32_MAX, UINT32_MAX, 0, UINT32_MAX, UINT32_MAX, CF, CF, ALL },
    { "660f38f6c1", 32, 1, 2, 0, 4, 2, CF | OF, OF, ALL },
    { "66480f38f6c1", 64, UINT64_MAX, 1, 0, 0, 1, 0, CF, ALL },
    { "f30f38f6c1", 32, UINT32_MAX, 0, 0, 0, 0, OF, OF, ALL },
    { "f30f38f6c1", 32, UINT32_MAX, 0, 0, UINT32_MAX, 0, CF | SF, CF | SF, ALL },
    { "f3480f38f6c1", 64, 1, 2, 0, 4, 2, ALL, ALL & ~OF, ALL },
    /* andn eax, ecx, edx */
    { "c4e270f2c2", 32, 0, 0x0fffffff, 0xf0000001, 0xf0000000, 0x0fffffff, ALL, SF, CF | ZF | SF | OF },
    { "c4e2f0f2c2", 64, 0, 1, 1, 0, 1, 0, ZF, CF | ZF | SF | OF },
    /* blsr, blsmsk, blsi eax, ecx */
    { "c4e278f3c9", 32, 0, 0x50, 0, 0x40, 0x50, CF, 0, CF | ZF | SF | OF },
    { "c4e278f3c9", 32, 7, 0, 0, 0, 0, 0, CF | ZF, CF | ZF | SF | OF },
    { "c4e278f3d1", 32, 0, 0x50, 0, 0x1f, 0x50, CF, 0, CF | ZF | SF | OF },
    { "c4e2f8f3d1", 64, 0, 0, 0, UINT64_MAX, 0, 0, CF | SF, CF | ZF | SF | OF },
    { "c4e278f3d9", 32, 0, 0x50, 0, 0x10, 0x50, 0, CF, CF | ZF | SF | OF },
    { "c4e2f8f3d9", 64, 7, 0, 0, 0, 0, CF, ZF, CF | ZF | SF | OF },
    /* bzhi eax, ecx, edx: the index is a byte */
    { "c4e268f5c1", 32, 0, 0xabcdef12, 0x108, 0x12, 0xabcdef12, CF, 0, CF | ZF | SF | OF },
    { "c4e268f5c1", 32, 0, 0xabcdef12, 32, 0xabcdef12, 0xabcdef12, 0, CF | SF, CF | ZF | SF | OF },
    { "c4e268f5c1", 32, 0, 0xabcdef12, 31, 0x2bcdef12, 0xabcdef12, CF, 0, CF | ZF | SF | OF },
    { "c4e2e8f5c1", 64, 0, UINT64_MAX, 0, 0, UINT64_MAX, CF, ZF, CF | ZF | SF | OF },
    /* bextr eax, ecx, edx */
    { "c4e268f7c1", 32, 0, 0x12345678, 0x0c08, 0x456, 0x12345678, ALL, 0, CF | ZF | OF },
    { "c4e268f7c1", 32, 0, 0x12345678, 0xff1c, 1, 0x12345678, ALL, 0, CF | ZF | OF },
    { "c4e268f7c1", 32, 0, 0x12345678, 0xff20, 0, 0x12345678, ALL, ZF, CF | ZF | OF },
    { "c4e2e8f7c1", 64, 0, UINT64_MAX, 0x4000, UINT64_MAX, UINT64_MAX, ALL, 0, CF | ZF | OF },
    /* pdep, pext eax, ecx, edx */
    { "c4e273f5c2", 32, 0, 0x1d, 0xf0f0, 0x10d0, 0x1d, ALL, ALL, ALL },
    { "c4e272f5c2", 32, 0, 0x10d0, 0xf0f0, 0x1d, 0x10d0, 0, 0, ALL },
    { "c4e2f2f5c2", 64, 0, BIT(63), BIT(63) | 1, 2, BIT(63), 0, 0, ALL },
    /* mulx: eax the upper, ecx the lower half of edx * ecx; both ecx: the upper half */
    { "c4e273f6c1", 32, 0, 0x80000001, 6, 3, 6, ALL, ALL, ALL },
    { "c4e273f6c9", 32, 7, 0x80000001, 6, 7, 3, ALL, ALL, ALL },
    { "c4e2f3f6c1", 64, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, 1, 0, 0, ALL },
    /* shlx, sarx, shrx eax, ecx, edx; rorx eax, ecx, imm8: counts modulo the width */
    { "c4e269f7c1", 32, 0, 0x12, 0x24, 0x120, 0x12, ALL, ALL, ALL },
    { "c4e26af7c1", 32, 0, 0x80000000, 4, 0xf8000000, 0x80000000, ALL, ALL, ALL },
    { "c4e26bf7c1", 32, 0, 0x80000000, 4, 0x08000000, 0x80000000, ALL, ALL, ALL },
    { "c4e2ebf7c1", 64, 0, BIT(63), 0x7f, 1, BIT(63), 0, 0, ALL },
    { "c4e37bf0c124", 32, 0, 0x12345678, 0, 0x81234567, 0x12345678, ALL, ALL, ALL },
    /* VEX.W is ignored outside 64-bit code */
    { "c4e2e8f5c1", 32, 0, 0xabcdef12, 32, 0xabcdef12, 0xabcdef12, 0, CF | SF, CF | ZF | SF | OF },
};

START_TEST(test_results)
{
    const struct sample *s = &samples[_i / 2];
    struct cpu *cpu;

    setup_model("max", _i);
    cpu = cf.cpu;
    if (s->bits == 64)
        cf_enter_long();
    cpu->gpr[R_AX] = s->ax;
    cpu->gpr[R_CX] = s->cx;
    cpu->gpr[R_DX] = s->dx;
    cpu_set_flags6(cpu, s->fl_in);
    run(s->hex);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_msg(cpu->gpr[R_AX] == s->ax_out && cpu->gpr[R_CX] == s->cx_out &&
                      (cpu_get_eflags(cpu) & s->fl_mask) == s->fl_out,
                  "%s: ax %" PRIx64 " cx %" PRIx64 " flags %x", s->hex, cpu->gpr[R_AX], cpu->gpr[R_CX],
                  cpu_get_eflags(cpu) & s->fl_mask);
    cf_teardown();
}
END_TEST

/* ---- memory ---- */

START_TEST(test_movbe)
{
    setup_model("max", _i);
    cf_enter_long();
    cf.cpu->gpr[R_BX] = AREA;
    cf.cpu->gpr[R_AX] = UINT64_MAX;
    cf_poke(AREA, UINT64_C(0x0102030405060708), 8);
    run("660f38f003");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], UINT64_C(0xffffffffffff0807));
    run("0f38f003");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x08070605);
    run("480f38f003");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], UINT64_C(0x0807060504030201));
    cf_poke(AREA, 0, 8);
    run("660f38f103");
    ck_assert_uint_eq(cf_peek(AREA, 8), 0x0102);
    run("480f38f103");
    ck_assert_uint_eq(cf_peek(AREA, 8), UINT64_C(0x0102030405060708));
    cf_teardown();
}
END_TEST

/* The check value of CRC-32C: of "123456789", from all ones and inverted. */
START_TEST(test_crc32)
{
    setup_model("max", _i);
    cf_enter_long();
    cf.cpu->gpr[R_BX] = AREA;
    cf.cpu->gpr[R_AX] = UINT32_MAX;
    cf_code(AREA, "123456789", 9);
    run("f2480f38f103");
    run("f20f38f04308");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], UINT64_C(0xe3069283) ^ UINT32_MAX);
    cf.cpu->gpr[R_AX] = UINT32_MAX;
    run("f20f38f103");
    run("66f20f38f14304");
    run("66f20f38f14306");
    run("f20f38f04308");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], UINT64_C(0xe3069283) ^ UINT32_MAX);
    cf_teardown();
}
END_TEST

/* ---- random numbers ---- */

START_TEST(test_random)
{
    static const char *const insns[] = { "480fc7f0", "480fc7f8" };
    uint64_t ones = 0, zeros = 0;

    setup_model("max", _i);
    cf_enter_long();
    for (unsigned i = 0; i < 40; i++) {
        cpu_set_flags6(cf.cpu, IR_FLAGS6);
        run(insns[i & 1]);
        ck_assert_int_eq(cf_last_vector(), -1);
        ck_assert_uint_eq(cpu_get_eflags(cf.cpu) & IR_FLAGS6, FL_CF);
        ones |= cf.cpu->gpr[R_AX];
        zeros |= ~cf.cpu->gpr[R_AX];
    }
    ck_assert_uint_eq(ones, UINT64_MAX);
    ck_assert_uint_eq(zeros, UINT64_MAX);
    cf.cpu->gpr[R_AX] = UINT64_MAX;
    run("0fc7f0");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] >> 32, 0);
    cf.cpu->gpr[R_AX] = 0;
    run("660fc7f0");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] >> 16, 0);
    cf_teardown();
}
END_TEST

/* ---- what is not there ---- */

struct absent { const char *model, *hex; int vector; };

static const struct absent absents[] = {
    { "qemu64", "f30fb8c1", EX_UD }, { "qemu64", "0f38f003", EX_UD }, { "qemu64", "f20f38f0c1", EX_UD },
    { "qemu64", "660f38f6c1", EX_UD }, { "qemu64", "f30f38f6c1", EX_UD }, { "qemu64", "0fc7f0", EX_UD },
    { "qemu64", "0fc7f8", EX_UD }, { "qemu64", "c4e270f2c2", EX_UD }, { "qemu64", "c4e268f5c1", EX_UD },
    /* PREFETCHW came with long mode, the other hints and the long NOP with the P6. */
    { "qemu64", "0f0d0b", -1 }, { "pentium3", "0f0d0b", EX_UD }, { "pentium2", "0f1803", -1 },
    { "pentium2", "0f1f03", -1 }, { "pentium", "0f1803", EX_UD }, { "486", "0f1f03", EX_UD },
    /* Without F3, without a memory operand, with one, with a wrong prefix, with VEX.L. */
    { "max", "0fb8c1", EX_UD }, { "max", "0f38f0c1", EX_UD }, { "max", "0fc733", EX_UD },
    { "max", "f20fc7f0", EX_UD }, { "max", "f30fc7f0", EX_UD }, { "max", "f30f38f003", EX_UD },
    { "max", "0f38f6c1", EX_UD }, { "max", "c4e274f2c2", EX_UD }, { "max", "c4e268f3c1", EX_UD },
    { "max", "66c4e270f2c2", EX_UD }, { "max", "f0c4e270f2c2", EX_UD },
};

START_TEST(test_absent)
{
    const struct absent *a = &absents[_i / 2];

    setup_model(a->model, _i);
    cf.cpu->gpr[R_BX] = AREA;
    run(a->hex);
    ck_assert_msg(cf_last_vector() == a->vector, "%s %s: %d", a->model, a->hex, cf_last_vector());
    cf_teardown();
}
END_TEST

/* A model without them ignores F3 before BSF and BSR. */
START_TEST(test_bsf_bsr)
{
    setup_model("qemu64", _i);
    cf.cpu->gpr[R_AX] = 7;
    cf.cpu->gpr[R_CX] = 0;
    run("f30fbcc1");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 7);
    ck_assert(cpu_get_eflags(cf.cpu) & FL_ZF);
    cf.cpu->gpr[R_CX] = 0x100;
    run("f30fbcc1");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 8);
    cf.cpu->gpr[R_CX] = 0x200;
    run("f30fbdc1");
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 9);
    ck_assert(!(cpu_get_eflags(cf.cpu) & FL_ZF));
    cf_teardown();
}
END_TEST

/* VEX is for protected mode alone; the others are for all. */
START_TEST(test_real_mode)
{
    setup_model("max", _i);
    cf_enter_real();
    cf.cpu->gpr[R_CX] = 0x70003;
    run_at(REAL_CODE, "f30fb8c1");
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 2);
    run_at(REAL_CODE, "c4e278f3c9");
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    cf_teardown();
}
END_TEST

START_TEST(test_cpuid)
{
    uint32_t out[4];

    setup_model("max", _i);
    cpu_cpuid(cf.cpu, 1, 0, out);
    ck_assert_uint_eq(out[2] & (BIT(22) | BIT(23) | BIT(30)), BIT(22) | BIT(23) | BIT(30));
    cpu_cpuid(cf.cpu, 7, 0, out);
    ck_assert_uint_eq(out[1] & (BIT(3) | BIT(8) | BIT(18) | BIT(19)), BIT(3) | BIT(8) | BIT(18) | BIT(19));
    cpu_cpuid(cf.cpu, 0x80000001, 0, out);
    ck_assert_uint_eq(out[2] & (BIT(5) | BIT(8)), BIT(5) | BIT(8));
    cf_teardown();
}
END_TEST

Suite *bmi_suite(void)
{
    Suite *s = suite_create("bmi");
    TCase *tc = tcase_create("results");

    tcase_add_loop_test(tc, test_results, 0, 2 * (int)ARRAY_LEN(samples));
    tcase_add_loop_test(tc, test_movbe, 0, 2);
    tcase_add_loop_test(tc, test_crc32, 0, 2);
    tcase_add_loop_test(tc, test_random, 0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("models");
    tcase_add_loop_test(tc, test_absent, 0, 2 * (int)ARRAY_LEN(absents));
    tcase_add_loop_test(tc, test_bsf_bsr, 0, 2);
    tcase_add_loop_test(tc, test_real_mode, 0, 2);
    tcase_add_test(tc, test_cpuid);
    suite_add_tcase(s, tc);
    return s;
}
