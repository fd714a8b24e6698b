/* FMA, half precision and the vector operations of AVX2 in C against the same instructions of the host's
 * processor: results and MXCSR flags in all rounding modes, with and without DAZ and FTZ. */
#include <check.h>
#include <emmintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "base/bits.h"
#include "tcg/tcg.h"
#include "tcg/vec_f16c.h"
#include "tcg/vec_fma.h"

enum { MASKS = 0x1f80, FLAGS = 0x3f, DAZ = 0x40, FTZ = 0x8000, RC_SHIFT = 13 };
enum { IE = 1, DE = 2, OE = 8, UE = 16, PE = 32 };

union vec {
    uint8_t u8[16];
    uint32_t u32[4];
    uint64_t u64[2];
    __m128i m;
};

static uint64_t random_state = 1;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* ---- operands ---- */

static const uint32_t edges32[] = {
    0, 1, 2, 0x00400000, 0x007fffff, 0x00800000, 0x00800001, 0x3f7fffff, 0x3f800000, 0x3f800001, 0x40000000,
    0x34000000, 0x33800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff,
    0x1fffffff, 0x20000000, 0x5f800000, 0x47800000, 0x477fefff, 0x477ff000, 0x387fffff, 0x387fe000,
    0x387ff000, 0x38800000, 0x33000000, 0x33000001, 0x32ffffff,
};
static const uint64_t edges64[] = {
    0, 1, UINT64_C(0x8000000000000), UINT64_C(0xfffffffffffff), UINT64_C(0x10000000000000),
    UINT64_C(0x10000000000001), UINT64_C(0x3fefffffffffffff), UINT64_C(0x3ff0000000000000),
    UINT64_C(0x3ff0000000000001), UINT64_C(0x3cb0000000000000), UINT64_C(0x7fefffffffffffff),
    UINT64_C(0x7ff0000000000000), UINT64_C(0x7ff0000000000001), UINT64_C(0x7ff8000000000000),
    UINT64_C(0x7fffffffffffffff), UINT64_C(0x1ff0000000000000), UINT64_C(0x5ff0000000000000),
    UINT64_C(0x1fffffffffffffff), UINT64_C(0x2000000000000000),
};

/* Exponents near each other or such that products are near either end of the range; few or many ones. */
static uint64_t random_number(unsigned frac, unsigned exp_bits)
{
    static const unsigned centre[4] = { 4, 2, 2, 4 }, numerator[4] = { 2, 1, 0, 3 };
    uint64_t r = random64(), fraction = random64() & MASK(frac), max = MASK(exp_bits), exponent;
    unsigned which = r & 3;

    exponent = max * numerator[which] / centre[which] + (r >> 8 & 63) - 32;
    if (r & 16)
        fraction &= fraction >> 3 & (random64() << 20);
    if (r & 32)
        fraction = ~fraction & MASK(frac);
    return (r >> 63) << (frac + exp_bits) | (exponent & max) << frac | fraction;
}

static uint32_t operand32(void)
{
    uint64_t r = random64();

    if (r & 1)
        return edges32[(r >> 8) % ARRAY_LEN(edges32)] | (uint32_t)(r >> 1 & 1) << 31;
    return r & 6 ? (uint32_t)random_number(23, 8) : (uint32_t)(r >> 32);
}

static uint64_t operand64(void)
{
    uint64_t r = random64();

    if (r & 1)
        return edges64[(r >> 8) % ARRAY_LEN(edges64)] | (r >> 1 & 1) << 63;
    return r & 6 ? random_number(52, 11) : random64();
}

static union vec operand(bool wide)
{
    union vec v;

    for (unsigned i = 0; i < (wide ? 2 : 4); i++) {
        if (wide)
            v.u64[i] = operand64();
        else
            v.u32[i] = operand32();
    }
    return v;
}

/* ---- comparison ---- */

struct outcome {
    union vec result;
    uint32_t flags;
};

static uint32_t control(unsigned n)
{
    return MASKS | (n & 3) << RC_SHIFT | (n & 4 ? DAZ : 0) | (n & 8 ? FTZ : 0);
}

static void check_equal(const struct outcome *got, const struct outcome *expected, const char *name,
                        uint32_t csr, const union vec in[3])
{
    if (!memcmp(&got->result, &expected->result, 16) && got->flags == expected->flags)
        return;
    ck_abort_msg("%s mxcsr %04x of %016llx%016llx, %016llx%016llx, %016llx%016llx: "
                 "%016llx%016llx flags %02x, processor %016llx%016llx flags %02x", name, csr,
                 (unsigned long long)in[0].u64[1], (unsigned long long)in[0].u64[0],
                 (unsigned long long)in[1].u64[1], (unsigned long long)in[1].u64[0],
                 (unsigned long long)in[2].u64[1], (unsigned long long)in[2].u64[0],
                 (unsigned long long)got->result.u64[1], (unsigned long long)got->result.u64[0], got->flags,
                 (unsigned long long)expected->result.u64[1], (unsigned long long)expected->result.u64[0],
                 expected->flags);
}

/* The processor's instruction: in[0] is the destination's old value. */
typedef __m128i host_op(__m128i d, __m128i a, __m128i b);

static struct outcome on_host(host_op *op, uint32_t csr, const union vec in[3])
{
    struct outcome o;
    uint32_t old = _mm_getcsr();

    _mm_setcsr(csr);
    o.result.m = op(in[0].m, in[1].m, in[2].m);
    o.flags = _mm_getcsr() & FLAGS;
    _mm_setcsr(old);
    return o;
}

static struct outcome in_c(unsigned vop, unsigned imm, uint32_t csr, const union vec in[3])
{
    struct outcome o = { .result = in[0] };
    uint32_t old = _mm_getcsr();

    _mm_setcsr(csr);
    if (tcg_vops[vop].fn_imm)
        tcg_vops[vop].fn_imm(&o.result, &in[1], &in[2], imm);
    else
        tcg_vops[vop].fn(&o.result, &in[1], &in[2]);
    o.flags = _mm_getcsr() & FLAGS;
    _mm_setcsr(old);
    return o;
}

static void compare(unsigned vop, unsigned imm, host_op *op, uint32_t csr, const union vec in[3])
{
    struct outcome host = on_host(op, csr, in), c = in_c(vop, imm, csr, in);

    check_equal(&c, &host, tcg_vops[vop].name, csr, in);
}

/* ---- FMA ---- */

#define HOST3(fn) \
    static __m128i host_##fn(__m128i d, __m128i a, __m128i b) \
    { \
        __asm__ volatile(#fn " %2, %1, %0" : "+x"(d) : "x"(a), "x"(b)); \
        return d; \
    }
#define VOP(NAME, fn, kind, host, prefix, opcode) HOST3(fn)
#include "tcg/vec_fma.def"
#undef VOP

static const struct { unsigned vop; host_op *op; } fma_ops[] = {
#define VOP(NAME, fn, kind, host, prefix, opcode) { TCG_V_##NAME, host_##fn },
#include "tcg/vec_fma.def"
#undef VOP
};

START_TEST(test_fma_as_host)
{
    if (!(tcg_host_isa() & TCG_ISA_FMA))
        return;
    for (unsigned n = 0; n < 200 * 16; n++) {
        const struct tcg_vop_info *info = &tcg_vops[fma_ops[_i].vop];
        bool wide = info->prefix & TCG_VEX_W;
        union vec in[3] = { operand(wide), operand(wide), operand(wide) };

        compare(fma_ops[_i].vop, 0, fma_ops[_i].op, control(n), in);
    }
}
END_TEST

/* Products that nearly cancel the addend: all of the product's bits count. */
START_TEST(test_fma_cancellation)
{
    if (!(tcg_host_isa() & TCG_ISA_FMA))
        return;
    for (unsigned n = 0; n < 20000; n++) {
        double x, y, z;
        union vec in[3] = { operand(true), operand(true), operand(true) };

        in[1].u64[0] = (in[1].u64[0] & MASK(52)) | UINT64_C(0x3ff) << 52;
        in[2].u64[0] = (in[2].u64[0] & MASK(52)) | UINT64_C(0x3fe) << 52;
        memcpy(&x, &in[1], 8);
        memcpy(&y, &in[2], 8);
        z = -(x * y);
        memcpy(&in[0], &z, 8);
        in[0].u64[0] += n % 5;
        compare(TCG_V_VFMADD231SD, 0, host_vfmadd231sd, control(n), in);
    }
}
END_TEST

/* What table 14-17 of SDM vol. 1 says of NaNs, on any host. */
START_TEST(test_fma_nans)
{
    static const struct { unsigned vop; uint32_t d, a, b, result, flags; } cases[] = {
        { TCG_V_VFMADD132SS, 0x7fc00001, 0x7fc00002, 0x7fc00003, 0x7fc00001, 0 }, /* d * b + a */
        { TCG_V_VFMADD132SS, 0x3f800000, 0x7fc00002, 0x7fc00003, 0x7fc00003, 0 },
        { TCG_V_VFMADD213SS, 0x7fc00001, 0x7fc00002, 0x7fc00003, 0x7fc00002, 0 }, /* a * d + b */
        { TCG_V_VFMADD213SS, 0x7fc00001, 0x3f800000, 0x7fc00003, 0x7fc00001, 0 },
        { TCG_V_VFMADD231SS, 0x7fc00001, 0x3f800000, 0x7fc00003, 0x7fc00003, 0 }, /* a * b + d */
        { TCG_V_VFMADD231SS, 0x7f800001, 0x3f800000, 0x7fc00003, 0x7fc00003, IE },
        { TCG_V_VFMADD231SS, 0x7fc00001, 0x7f800000, 0x00000000, 0x7fc00001, 0 }, /* no IE: inf * 0 + NaN */
        { TCG_V_VFMADD231SS, 0x3f800000, 0x7f800000, 0x00000000, 0xffc00000, IE },
        { TCG_V_VFNMSUB231SS, 0x7fc00001, 0x3f800000, 0x3f800000, 0x7fc00001, 0 }, /* its sign stays */
        { TCG_V_VFMSUB231SS, 0x7f800000, 0x7f800000, 0x3f800000, 0xffc00000, IE },
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        union vec in[3] = { { .u32 = { cases[i].d, 1, 2, 3 } }, { .u32 = { cases[i].a, 4, 5, 6 } },
                            { .u32 = { cases[i].b, 7, 8, 9 } } };
        struct outcome c = in_c(cases[i].vop, 0, MASKS, in);
        ck_assert_msg(c.result.u32[0] == cases[i].result && c.flags == cases[i].flags, "case %u: %08x %02x",
                      i, c.result.u32[0], c.flags);
        ck_assert_uint_eq(c.result.u32[1], 1);
        ck_assert_uint_eq(c.result.u64[1], UINT64_C(0x300000002));
    }
}
END_TEST

/* Unmasked: an exact tiny result underflows, an exact too large one is not inexact (SDM vol. 1, 4.9.1). */
START_TEST(test_fma_unmasked)
{
    static const union vec min = { .u32 = { 0x00800000 } }, max = { .u32 = { 0x7f000000 } },
                           half = { .u32 = { 0x3f000000 } }, two = { .u32 = { 0x40000000 } },
                           zero = { .u32 = { 0 } };

    ck_assert_uint_eq(vec_fma_flags(TCG_V_VFMADD231SS, MASKS, &zero, &min, &half), 0);
    ck_assert_uint_eq(vec_fma_flags(TCG_V_VFMADD231SS, MASKS & ~(UE << 7), &zero, &min, &half), UE);
    ck_assert_uint_eq(vec_fma_flags(TCG_V_VFMADD231SS, MASKS, &zero, &max, &two), OE | PE);
    ck_assert_uint_eq(vec_fma_flags(TCG_V_VFMADD231SS, MASKS & ~(OE << 7), &zero, &max, &two), OE);
}
END_TEST

/* ---- half precision ---- */

static __m128i host_vcvtph2ps(__m128i d, __m128i a, __m128i b)
{
    (void)a;
    __asm__ volatile("vcvtph2ps %1, %0" : "=x"(d) : "x"(b));
    return d;
}

#define HOST_PS2PH(imm) \
    static __m128i host_ps2ph_##imm(__m128i d, __m128i a, __m128i b) \
    { \
        (void)a; \
        __asm__ volatile("vcvtps2ph $" #imm ", %1, %0" : "=x"(d) : "x"(b)); \
        return d; \
    }
HOST_PS2PH(0)
HOST_PS2PH(1)
HOST_PS2PH(2)
HOST_PS2PH(3)
HOST_PS2PH(4)
HOST_PS2PH(7)

START_TEST(test_half_to_single)
{
    union vec in[3] = { { .u64 = { 0 } }, { .u64 = { 0 } }, { .u64 = { 0 } } };

    if (!(tcg_host_isa() & TCG_ISA_F16C))
        return;
    for (unsigned h = 0; h < 0x10000; h++) {
        in[2].u64[0] = h | UINT64_C(0x3c0000000000);
        compare(TCG_V_VCVTPH2PS, 0, host_vcvtph2ps, control(h & 15), in);
        compare(TCG_V_VCVTPH2PS, 0, host_vcvtph2ps, control(4), in);
    }
}
END_TEST

START_TEST(test_single_to_half)
{
    static const struct { unsigned imm; host_op *op; } ops[] = {
        { 0, host_ps2ph_0 }, { 1, host_ps2ph_1 }, { 2, host_ps2ph_2 }, { 3, host_ps2ph_3 },
        { 4, host_ps2ph_4 }, { 7, host_ps2ph_7 },
    };

    if (!(tcg_host_isa() & TCG_ISA_F16C))
        return;
    for (unsigned n = 0; n < 100000; n++) {
        unsigned k = n % ARRAY_LEN(ops);
        union vec in[3] = { operand(false), operand(false), operand(false) };

        if (n & 1) /* near the ends of the half's range */
            for (unsigned i = 0; i < 4; i++)
                in[2].u32[i] = (in[2].u32[i] & 0x807fffff) |
                               ((n & 2 ? 100 : 138) + (uint32_t)(random64() % 14)) << 23;
        compare(TCG_V_VCVTPS2PH, ops[k].imm, ops[k].op, control((unsigned)(random64() & 15)), in);
    }
}
END_TEST

START_TEST(test_half_unmasked)
{
    static const uint32_t exact_tiny[4] = { 0x38000000 }, tiny[4] = { 0x38000001 }, large[4] = { 0x47800000 },
                          denormal[4] = { 0x00400000 };
    uint16_t out[4];

    ck_assert_uint_eq(vec_f16c_flags(MASKS, exact_tiny, 0, out), 0);
    ck_assert_uint_eq(vec_f16c_flags(MASKS & ~(UE << 7), exact_tiny, 0, out), UE);
    ck_assert_uint_eq(vec_f16c_flags(MASKS & ~(UE << 7), tiny, 0, out), UE | PE);
    ck_assert_uint_eq(vec_f16c_flags(MASKS & ~(UE << 7), denormal, 0, out), DE | UE);
    ck_assert_uint_eq(vec_f16c_flags(MASKS & ~(OE << 7), large, 0, out), OE);
}
END_TEST

/* ---- unmasked exceptions ---- */

static sigjmp_buf trap;
static volatile uint32_t trap_csr;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    trap_csr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
    siglongjmp(trap, 1);
}

/* Flags that the processor leaves, trapping or not. */
static uint32_t host_flags(host_op *op, uint32_t csr, const union vec in[3])
{
    if (!sigsetjmp(trap, 1)) {
        _mm_setcsr(csr);
        op(in[0].m, in[1].m, in[2].m);
        trap_csr = _mm_getcsr();
    }
    _mm_setcsr(MASKS);
    return trap_csr & FLAGS;
}

/* What is found before the computation prevents it, and the flags of the rest. */
static uint32_t settled(uint32_t flags, uint32_t csr)
{
    return flags & ~(csr >> 7) & (IE | DE) ? flags & (IE | DE) : flags;
}

START_TEST(test_unmasked_as_host)
{
    struct sigaction action = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO };
    uint16_t out[4];

    if ((tcg_host_isa() & (TCG_ISA_FMA | TCG_ISA_F16C)) != (TCG_ISA_FMA | TCG_ISA_F16C))
        return;
    sigaction(SIGFPE, &action, NULL);
    for (unsigned n = 0; n < 60000; n++) {
        union vec s[3] = { operand(false), operand(false), operand(false) };
        union vec d[3] = { operand(true), operand(true), operand(true) };
        uint32_t csr = (uint32_t)(random64() & 0xffc0) | (n & 1 ? (IE | DE) << 7 : 0);

        ck_assert_uint_eq(settled(vec_fma_flags(TCG_V_VFMADD231PS, csr, &s[0], &s[1], &s[2]), csr),
                          host_flags(host_vfmadd231ps, csr, s));
        ck_assert_uint_eq(settled(vec_fma_flags(TCG_V_VFNMSUB132SD, csr, &d[0], &d[1], &d[2]), csr),
                          host_flags(host_vfnmsub132sd, csr, d));
        ck_assert_uint_eq(settled(vec_f16c_flags(csr, &s[2], 4, out), csr), host_flags(host_ps2ph_4, csr, s));
    }
}
END_TEST

/* ---- AVX and AVX2 ---- */

#define HOST_V(fn) \
    static __m128i host_##fn(__m128i d, __m128i a, __m128i b) \
    { \
        __asm__ volatile(#fn " %2, %1, %0" : "=x"(d) : "x"(a), "x"(b)); \
        return d; \
    }
#define HOST_V1(fn) \
    static __m128i host_##fn(__m128i d, __m128i a, __m128i b) \
    { \
        (void)a; \
        __asm__ volatile(#fn " %1, %0" : "=x"(d) : "x"(b)); \
        return d; \
    }
HOST_V(vpsllvd)
HOST_V(vpsllvq)
HOST_V(vpsrlvd)
HOST_V(vpsrlvq)
HOST_V(vpsravd)
HOST_V(vpermilps)
HOST_V(vpermilpd)
HOST_V1(vpbroadcastb)
HOST_V1(vpbroadcastw)
HOST_V1(vpbroadcastd)
HOST_V1(vpbroadcastq)
#define HOST_IMM(fn, imm) \
    static __m128i host_##fn##_##imm(__m128i d, __m128i a, __m128i b) \
    { \
        (void)a; \
        __asm__ volatile(#fn " $" #imm ", %1, %0" : "=x"(d) : "x"(b)); \
        return d; \
    }
HOST_IMM(vpermilps, 0x1b)
HOST_IMM(vpermilps, 0xd2)
HOST_IMM(vpermilpd, 0)
HOST_IMM(vpermilpd, 1)
HOST_IMM(vpermilpd, 2)

static __m128i host_vpblendd_6(__m128i d, __m128i a, __m128i b)
{
    __asm__ volatile("vpblendd $6, %2, %1, %0" : "=x"(d) : "x"(a), "x"(b));
    return d;
}

START_TEST(test_avx2_as_host)
{
    static const struct { unsigned vop, imm; host_op *op; } ops[] = {
        { TCG_V_VPSLLVD, 0, host_vpsllvd }, { TCG_V_VPSLLVQ, 0, host_vpsllvq },
        { TCG_V_VPSRLVD, 0, host_vpsrlvd }, { TCG_V_VPSRLVQ, 0, host_vpsrlvq },
        { TCG_V_VPSRAVD, 0, host_vpsravd },
        { TCG_V_VPERMILPS_V, 0, host_vpermilps }, { TCG_V_VPERMILPD_V, 0, host_vpermilpd },
        { TCG_V_VPBROADCASTB, 0, host_vpbroadcastb }, { TCG_V_VPBROADCASTW, 0, host_vpbroadcastw },
        { TCG_V_VPBROADCASTD, 0, host_vpbroadcastd }, { TCG_V_VPBROADCASTQ, 0, host_vpbroadcastq },
        { TCG_V_VPERMILPS, 0x1b, host_vpermilps_0x1b }, { TCG_V_VPERMILPS, 0xd2, host_vpermilps_0xd2 },
        { TCG_V_VPERMILPD, 0, host_vpermilpd_0 }, { TCG_V_VPERMILPD, 1, host_vpermilpd_1 },
        { TCG_V_VPERMILPD, 2, host_vpermilpd_2 }, { TCG_V_VPBLENDD, 6, host_vpblendd_6 },
    };

    if (!(tcg_host_isa() & TCG_ISA_AVX2))
        return;
    for (unsigned n = 0; n < 2000; n++)
        for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
            union vec in[3] = { operand(true), operand(true), operand(true) };

            for (unsigned k = 0; k < 4 && (n & 1); k++) /* counts about the width */
                in[2].u32[k] &= k & 1 && (n & 2) ? 0 : 127;
            compare(ops[i].vop, ops[i].imm, ops[i].op, MASKS, in);
        }
}
END_TEST

Suite *fma_suite(void)
{
    Suite *s = suite_create("fma");
    TCase *t = tcase_create("against the host");

    tcase_add_loop_test(t, test_fma_as_host, 0, ARRAY_LEN(fma_ops));
    tcase_add_test(t, test_fma_cancellation);
    tcase_add_test(t, test_fma_nans);
    tcase_add_test(t, test_fma_unmasked);
    tcase_add_test(t, test_half_to_single);
    tcase_add_test(t, test_single_to_half);
    tcase_add_test(t, test_half_unmasked);
    tcase_add_test(t, test_unmasked_as_host);
    tcase_add_test(t, test_avx2_as_host);
    suite_add_tcase(s, t);
    return s;
}
