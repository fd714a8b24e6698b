/* The meaning of flags and conditions (tcg/flags.c) against the processor the test runs on. */
#include <check.h>

#include "tests/unit/fake_guest.h"

#define ROUNDS 4000

#ifdef __x86_64__

/* S Z A P C from LAHF and O from SETO, after setting C to `carry` (ADD of -1 carries unless it is to 0). */
#define HOST_FLAGS2(type, insn, res, operand, carry) __extension__({ \
    uint64_t ax_; \
    uint8_t c_ = (carry); \
    type r_ = (type)(res), o_ = (type)(operand); \
    __asm__ volatile("addb $-1, %[c]\n\t" insn "\n\tlahf\n\tseto %%al" \
                     : "=&a"(ax_), [c] "+&r"(c_), [r] "+&r"(r_) : [o] "r"(o_) : "cc"); \
    (res) = r_; \
    (uint32_t)((ax_ >> 8 & (IR_SF | IR_ZF | IR_AF | IR_PF | IR_CF)) | (ax_ & 1 ? IR_OF : 0)); })

#define BY_WIDTH(out, t, op, res, operand, carry) \
    switch (t) { \
    case IR_I8: out = HOST_FLAGS2(uint8_t, op "b %[o], %[r]", res, operand, carry); break; \
    case IR_I16: out = HOST_FLAGS2(uint16_t, op "w %[o], %[r]", res, operand, carry); break; \
    case IR_I32: out = HOST_FLAGS2(uint32_t, op "l %[o], %[r]", res, operand, carry); break; \
    default: out = HOST_FLAGS2(uint64_t, op "q %[o], %[r]", res, operand, carry); break; \
    }
#define BY_WIDTH1(out, t, op, res, carry) \
    switch (t) { \
    case IR_I8: out = HOST_FLAGS2(uint8_t, op "b %[r]", res, 0, carry); break; \
    case IR_I16: out = HOST_FLAGS2(uint16_t, op "w %[r]", res, 0, carry); break; \
    case IR_I32: out = HOST_FLAGS2(uint32_t, op "l %[r]", res, 0, carry); break; \
    default: out = HOST_FLAGS2(uint64_t, op "q %[r]", res, 0, carry); break; \
    }

#define FLAGS_TEST(name, body) \
    START_TEST(name) \
    { \
        uint64_t seed = (uint64_t)_i + 1; \
        unsigned t = (unsigned)_i; \
        for (unsigned n = 0; n < ROUNDS; n++) { \
            uint64_t a = fake_operand(&seed), b = fake_operand(&seed), res = a, garbage; \
            uint32_t host, ours, defined = IR_FLAGS6; \
            bool c = fake_random(&seed) & 1; \
            garbage = t == IR_I64 ? 0 : fake_random(&seed) << IR_BITS(t); \
            body \
            ck_assert_msg(!((host ^ ours) & defined), "width %u a %llx b %llx c %d: host %x ours %x", \
                          IR_BITS(t), \
                          (unsigned long long)a, (unsigned long long)b, c, host, ours); \
        } \
    } \
    END_TEST

FLAGS_TEST(add, BY_WIDTH(host, t, "add", res, b, c); ours = ir_flags_eval(IR_FL_ADD, t, res + garbage, b, 0);)
FLAGS_TEST(adc, BY_WIDTH(host, t, "adc", res, b, c); ours = ir_flags_eval(IR_FL_ADC, t, res + garbage, b, c);)
FLAGS_TEST(sub, BY_WIDTH(host, t, "sub", res, b, c); ours = ir_flags_eval(IR_FL_SUB, t, res + garbage, b, 0);)
FLAGS_TEST(sbb, BY_WIDTH(host, t, "sbb", res, b, c); ours = ir_flags_eval(IR_FL_SBB, t, res + garbage, b, c);)
FLAGS_TEST(cmp, BY_WIDTH(host, t, "cmp", res, b, c); ours = ir_flags_eval(IR_FL_CMP, t, a + garbage, b, 0);)
FLAGS_TEST(neg, BY_WIDTH1(host, t, "neg", res, c); ours = ir_flags_eval(IR_FL_SUB, t, res + garbage, a, 0);)
FLAGS_TEST(inc, BY_WIDTH1(host, t, "inc", res, c); ours = ir_flags_eval(IR_FL_INC, t, res + garbage, c, 0);)
FLAGS_TEST(dec, BY_WIDTH1(host, t, "dec", res, c); ours = ir_flags_eval(IR_FL_DEC, t, res + garbage, c, 0);)
/* A is undefined after logic and shifts; Mimus clears it. */
FLAGS_TEST(logic, BY_WIDTH(host, t, "xor", res, b, c);
           ours = ir_flags_eval(IR_FL_LOGIC, t, res + garbage, 0, 0);
           defined &= ~(uint32_t)IR_AF; ck_assert(!(ours & IR_AF));)

/* By 1, where O is defined. */
FLAGS_TEST(shl_1, BY_WIDTH1(host, t, "shl", res, c); ours = ir_flags_eval(IR_FL_SHL, t, res + garbage, a, 0);
           defined &= ~(uint32_t)IR_AF;)
FLAGS_TEST(shr_1, BY_WIDTH1(host, t, "shr", res, c); ours = ir_flags_eval(IR_FL_SHR, t, res + garbage, a, 0);
           defined &= ~(uint32_t)IR_AF;)
FLAGS_TEST(sar_1, BY_WIDTH1(host, t, "sar", res, c); ours = ir_flags_eval(IR_FL_SHR, t, res + garbage, a, 0);
           defined &= ~(uint32_t)IR_AF;)

/* A multi-bit shift is one-bit shifts in turn: the last one makes C. */
FLAGS_TEST(shl_n, uint64_t last = a;
           for (unsigned k = b % (IR_BITS(t) - 1) + 1; k; k--) {
               last = res;
               BY_WIDTH1(host, t, "shl", res, c);
           }
           ours = ir_flags_eval(IR_FL_SHL, t, res + garbage, last, 0); defined &= ~(uint32_t)IR_AF;)

/* MUL and IMUL: C = O = the high half matters; here that of the signed product. */
START_TEST(mul)
{
    uint64_t seed = 99;

    for (unsigned n = 0; n < ROUNDS; n++) {
        int32_t a = (int32_t)fake_operand(&seed), b = (int32_t)fake_operand(&seed);
        int64_t wide = (int64_t)a * b;
        uint64_t res = (uint32_t)a;
        uint32_t host = HOST_FLAGS2(uint32_t, "imull %[o], %[r]", res, b, 0);
        uint32_t ours = ir_flags_eval(IR_FL_MUL, IR_I32, res, wide != (int32_t)wide, 0);
        ck_assert_uint_eq(host & (IR_CF | IR_OF), ours & (IR_CF | IR_OF));
    }
}
END_TEST

#define HOST_COND(name) \
    static bool host_##name(uint32_t f) \
    { \
        uint64_t ax = (f & 0xff) << 8 | (f & IR_OF ? 1 : 0); \
        uint8_t r; \
        __asm__ volatile("addb $127, %%al\n\tsahf\n\tset" #name " %0" : "=r"(r), "+a"(ax) : : "cc"); \
        return r; \
    }
HOST_COND(o) HOST_COND(no) HOST_COND(b) HOST_COND(nb) HOST_COND(z) HOST_COND(nz) HOST_COND(be) HOST_COND(a)
HOST_COND(s) HOST_COND(ns) HOST_COND(p) HOST_COND(np) HOST_COND(l) HOST_COND(nl) HOST_COND(le) HOST_COND(g)

START_TEST(conditions)
{
    static bool (*const host[16])(uint32_t) = {
        host_o, host_no, host_b, host_nb, host_z, host_nz, host_be, host_a,
        host_s, host_ns, host_p, host_np, host_l, host_nl, host_le, host_g,
    };

    for (uint32_t f = 0; f <= IR_FLAGS6; f++)
        if (!(f & ~(uint32_t)IR_FLAGS6))
            ck_assert_msg(host[_i](f) == ir_cond_eval((unsigned)_i, f), "condition %d flags %x", _i, f);
}
END_TEST

static void add_host_tests(TCase *tc)
{
    tcase_add_loop_test(tc, add, 0, 4);
    tcase_add_loop_test(tc, adc, 0, 4);
    tcase_add_loop_test(tc, sub, 0, 4);
    tcase_add_loop_test(tc, sbb, 0, 4);
    tcase_add_loop_test(tc, cmp, 0, 4);
    tcase_add_loop_test(tc, neg, 0, 4);
    tcase_add_loop_test(tc, inc, 0, 4);
    tcase_add_loop_test(tc, dec, 0, 4);
    tcase_add_loop_test(tc, logic, 0, 4);
    tcase_add_loop_test(tc, shl_1, 0, 4);
    tcase_add_loop_test(tc, shr_1, 0, 4);
    tcase_add_loop_test(tc, sar_1, 0, 4);
    tcase_add_loop_test(tc, shl_n, 0, 4);
    tcase_add_test(tc, mul);
    tcase_add_loop_test(tc, conditions, 0, 16);
}
#else
static void add_host_tests(TCase *tc)
{
    (void)tc;
}
#endif

START_TEST(raw_keeps_six_bits)
{
    ck_assert_uint_eq(ir_flags_eval(IR_FL_RAW, IR_I32, UINT64_MAX, 0, 0), 0x8d5);
    ck_assert_uint_eq(ir_flags_eval(IR_FL_RAW, IR_I32, 0x246, 0, 0), IR_ZF | IR_PF);
}
END_TEST

/* Operations against their definition, garbage above the width included. */
START_TEST(integer_operations)
{
    const uint64_t g = UINT64_C(0xdeadbeef00000000);

    ck_assert_uint_eq(ir_eval(IR_ADD, IR_I8, 0, 0, 0, 0x1ff, 1, 0), 0);
    ck_assert_uint_eq(ir_eval(IR_SAR, IR_I16, 0, 0, 0, 0x58000, 15, 0), 0xffff);
    ck_assert_uint_eq(ir_eval(IR_SHR, IR_I32, 0, 0, 0, g | 0x80000000, 31, 0), 1);
    ck_assert_uint_eq(ir_eval(IR_ROL, IR_I8, 0, 0, 0, 0x81, 1, 0), 3);
    ck_assert_uint_eq(ir_eval(IR_ROR, IR_I64, 0, 0, 0, 1, 1, 0), UINT64_C(1) << 63);
    ck_assert_uint_eq(ir_eval(IR_MULHU, IR_I64, 0, 0, 0, UINT64_MAX, UINT64_MAX, 0), UINT64_MAX - 1);
    ck_assert_uint_eq(ir_eval(IR_MULHS, IR_I64, 0, 0, 0, UINT64_MAX, UINT64_MAX, 0), 0);
    ck_assert_uint_eq(ir_eval(IR_MULHS, IR_I64, 0, 0, 0, UINT64_C(1) << 63, 2, 0), UINT64_MAX);
    ck_assert_uint_eq(ir_eval(IR_MULHS, IR_I8, 0, 0, 0, 0x80, 0x80, 0), 0x40);
    ck_assert_uint_eq(ir_eval(IR_MULHU, IR_I32, 0, 0, 0, g | UINT32_MAX, UINT32_MAX, 0), 0xfffffffe);
    ck_assert_uint_eq(ir_eval(IR_BSWAP, IR_I32, 0, 0, 0, 0x12345678, 0, 0), 0x78563412);
    ck_assert_uint_eq(ir_eval(IR_CLZ, IR_I32, 0, 0, 0, g | 1, 0, 0), 31);
    ck_assert_uint_eq(ir_eval(IR_CTZ, IR_I64, 0, 0, 0, 0x100, 0, 0), 8);
    ck_assert_uint_eq(ir_eval(IR_CTZ, IR_I32, 0, 0, 0, g, 0, 0), 32);
    ck_assert_uint_eq(ir_eval(IR_CLZ, IR_I64, 0, 0, 0, 0, 0, 0), 64);
    ck_assert_uint_eq(ir_eval(IR_POPCNT, IR_I32, 0, 0, 0, g | 0x81, 0, 0), 2);
    ck_assert_uint_eq(ir_eval(IR_PDEP, IR_I32, 0, 0, 0, 5, g | 0x8110, 0), 0x8010);
    ck_assert_uint_eq(ir_eval(IR_PEXT, IR_I64, 0, 0, 0, 0x8010, 0x8110, 0), 5);
    ck_assert_uint_eq(ir_eval(IR_BZHI, IR_I32, 0, 0, 0, g | 0xffff, 0x104, 0), 15);
    ck_assert_uint_eq(ir_eval(IR_BZHI, IR_I32, 0, 0, 0, g | 0xffff, 0xff, 0), 0xffff);
    ck_assert_uint_eq(ir_eval(IR_BEXTR, IR_I32, 0, 0, 0, g | 0x12345678, 8 << 8 | 4, 0), 0x67);
    ck_assert_uint_eq(ir_eval(IR_BEXTR, IR_I32, 0, 0, 0, g | 0x12345678, 8 << 8 | 32, 0), 0);
    /* The check value of CRC-32C: of "123456789". */
    uint64_t crc = ir_eval(IR_CRC32, IR_I64, 0, 0, 0, UINT32_MAX, UINT64_C(0x3837363534333231), 0);
    ck_assert_uint_eq(ir_eval(IR_CRC32, IR_I8, 0, 0, 0, crc, 0x139, 0), ~UINT32_C(0xe3069283));
    ck_assert_uint_eq(ir_eval(IR_SEXT, IR_I32, 0, 0, IR_I8, 0x180, 0, 0), 0xffffff80);
    ck_assert_uint_eq(ir_eval(IR_ZEXT, IR_I64, 0, 0, IR_I16, g | 0x18000, 0, 0), 0x8000);
    ck_assert_uint_eq(ir_eval(IR_EXTRACT, IR_I64, 0, 8 << 8 | 8, 0, 0x1234, 0, 0), 0x12);
    ck_assert_uint_eq(ir_eval(IR_DEPOSIT, IR_I32, 0, 8 << 8 | 8, 0, 0x1234, 0xfab, 0), 0xab34);
    ck_assert_uint_eq(ir_eval(IR_CMP, IR_I8, IR_CMP_LTS, 0, 0, 0x80, 0x17f, 0), 1);
    ck_assert_uint_eq(ir_eval(IR_CMP, IR_I8, IR_CMP_LTU, 0, 0, 0x80, 0x17f, 0), 0);
    ck_assert_uint_eq(ir_eval(IR_SELECT, IR_I16, 0, 0, 0, 1, 0x12345, 7), 0x2345);
}
END_TEST

Suite *ir_flags_suite(void);
Suite *ir_flags_suite(void)
{
    Suite *s = suite_create("ir_flags");
    TCase *tc = tcase_create("flags");

    add_host_tests(tc);
    tcase_add_test(tc, raw_keeps_six_bits);
    tcase_add_test(tc, integer_operations);
    suite_add_tcase(s, tc);
    return s;
}
