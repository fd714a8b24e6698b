/* Floating-point vector operations under the host's MXCSR, which is the guest's
 * while guest code runs. The host instruction itself is the meaning: results,
 * NaN choice and exception flags are the processor's. */
#include "tcg/vec.h"

#include "tcg/ir.h"

#ifndef __x86_64__
#error "floating-point vector operations need an x86-64 host"
#endif

#include <emmintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* dst = a op b, lanes outside the operation from a. */
#define FOP(fn, mnemonic) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        __m128 x = _mm_loadu_ps(a), y = _mm_loadu_ps(b); \
        __asm__ volatile(mnemonic " %1, %0" : "+x"(x) : "x"(y)); \
        _mm_storeu_ps(dst, x); \
    }
#define FOP4(fn) FOP(fn##ps, #fn "ps") FOP(fn##pd, #fn "pd") FOP(fn##ss, #fn "ss") FOP(fn##sd, #fn "sd")

FOP4(add)
FOP4(mul)
FOP4(sub)
FOP4(min)
FOP4(div)
FOP4(max)
FOP4(sqrt)
FOP(rsqrtps, "rsqrtps")
FOP(rsqrtss, "rsqrtss")
FOP(rcpps, "rcpps")
FOP(rcpss, "rcpss")
FOP(cvtps2pd, "cvtps2pd")
FOP(cvtpd2ps, "cvtpd2ps")
FOP(cvtss2sd, "cvtss2sd")
FOP(cvtsd2ss, "cvtsd2ss")
FOP(cvtdq2ps, "cvtdq2ps")
FOP(cvtps2dq, "cvtps2dq")
FOP(cvttps2dq, "cvttps2dq")
FOP(cvttpd2dq, "cvttpd2dq")
FOP(cvtpd2dq, "cvtpd2dq")
FOP(cvtdq2pd, "cvtdq2pd")

/* The predicate is part of the instruction: one case each. */
#define COMPARE(fn) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        __m128 x = _mm_loadu_ps(a), y = _mm_loadu_ps(b); \
        switch (imm & 7) { \
        case 0: CASE(fn, 0); break; \
        case 1: CASE(fn, 1); break; \
        case 2: CASE(fn, 2); break; \
        case 3: CASE(fn, 3); break; \
        case 4: CASE(fn, 4); break; \
        case 5: CASE(fn, 5); break; \
        case 6: CASE(fn, 6); break; \
        default: CASE(fn, 7); \
        } \
        _mm_storeu_ps(dst, x); \
    }
#define CASE(fn, n) __asm__ volatile(#fn " $" #n ", %1, %0" : "+x"(x) : "x"(y))
COMPARE(cmpps)
COMPARE(cmppd)
COMPARE(cmpss)
COMPARE(cmpsd)

/* ---- SSE3: operations on neighbours ---- */

static __m128 load(const void *field)
{
    return _mm_loadu_ps(field);
}

#define HORIZONTAL(fn, mnemonic, first, second, shuffle) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        __m128 p = load(a), q = load(b), x = shuffle(p, q, first), y = shuffle(p, q, second); \
        __asm__ volatile(mnemonic " %1, %0" : "+x"(x) : "x"(y)); \
        _mm_storeu_ps(dst, x); \
    }
#define SHUFFLE_PD(p, q, n) _mm_castpd_ps(_mm_shuffle_pd(_mm_castps_pd(p), _mm_castps_pd(q), n))
HORIZONTAL(haddps, "addps", 0x88, 0xdd, _mm_shuffle_ps)
HORIZONTAL(hsubps, "subps", 0x88, 0xdd, _mm_shuffle_ps)
HORIZONTAL(haddpd, "addpd", 0, 3, SHUFFLE_PD)
HORIZONTAL(hsubpd, "subpd", 0, 3, SHUFFLE_PD)

/* Even lanes are subtracted, odd ones added. Zeros stand in for the others, so that they leave no flags. */
#define ALTERNATE(fn, sub, add, e0, e1, e2, e3) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        __m128 even = _mm_castsi128_ps(_mm_setr_epi32(e0, e1, e2, e3)); \
        __m128 x = _mm_and_ps(even, load(a)), y = _mm_and_ps(even, load(b)); \
        __m128 p = _mm_andnot_ps(even, load(a)), q = _mm_andnot_ps(even, load(b)); \
        __asm__ volatile(sub " %1, %0" : "+x"(x) : "x"(y)); \
        __asm__ volatile(add " %1, %0" : "+x"(p) : "x"(q)); \
        _mm_storeu_ps(dst, _mm_or_ps(_mm_and_ps(even, x), _mm_andnot_ps(even, p))); \
    }
ALTERNATE(addsubps, "subps", "addps", -1, 0, -1, 0)
ALTERNATE(addsubpd, "subpd", "addpd", -1, -1, 0, 0)

/* ---- SSE4.1: rounding to integers ---- */

enum { CSR_IE = 1, CSR_PE = 0x20, CSR_DAZ = 0x40, CSR_RC_SHIFT = 13 };
enum { TO_NEAREST, DOWN, UP, TO_ZERO };
enum { IMM_CSR_MODE = 4, IMM_NO_PE = 8 };

/* Bits of a floating-point number: fraction (their number), exponent field at its place. */
struct format { unsigned fraction; uint64_t exponent; };

/* Magnitude `v` below 1, not 0. */
static uint64_t round_small(const struct format *f, uint64_t v, unsigned mode, bool negative)
{
    uint64_t one = f->exponent >> 1 & f->exponent, half = one - (UINT64_C(1) << f->fraction);

    if (mode == TO_NEAREST)
        return v > half ? one : 0;
    return (mode == DOWN && negative) || (mode == UP && !negative) ? one : 0;
}

/* Magnitude `v` >= 1 with `below` bits behind the point. */
static uint64_t round_large(uint64_t v, unsigned below, unsigned mode, bool negative)
{
    uint64_t unit = UINT64_C(1) << below, rest = v & (unit - 1);
    bool up = (mode == DOWN && negative) || (mode == UP && !negative);

    if (mode == TO_NEAREST)
        up = rest > unit / 2 || (rest == unit / 2 && (v & unit));
    return v - rest + (up && rest ? unit : 0);
}

/* One number; *csr is MXCSR, whose flags accumulate. */
static uint64_t round_lane(const struct format *f, uint64_t v, unsigned imm, uint32_t *csr)
{
    unsigned mode = imm & IMM_CSR_MODE ? *csr >> CSR_RC_SHIFT & 3 : imm & 3, e;
    uint64_t sign = (f->exponent << 1) & ~f->exponent, magnitude = v & (sign - 1), r;
    int below;

    sign &= v;
    if (magnitude > f->exponent) {
        uint64_t quiet = UINT64_C(1) << (f->fraction - 1);
        *csr |= v & quiet ? 0 : CSR_IE;
        return v | quiet;
    }
    e = (unsigned)(magnitude >> f->fraction);
    if (!magnitude || (!e && (*csr & CSR_DAZ)))
        return sign;
    below = (int)(f->fraction + (f->exponent >> (f->fraction + 1))) - (int)e;
    if (below <= 0)
        return v;
    r = below > (int)f->fraction ? round_small(f, magnitude, mode, sign)
                                 : round_large(magnitude, (unsigned)below, mode, sign);
    if (r != magnitude && !(imm & IMM_NO_PE))
        *csr |= CSR_PE;
    return sign | r;
}

/* The lowest `lanes` numbers of b, the rest from a. */
#define ROUND(fn, T, lanes, ...) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        static const struct format format = { __VA_ARGS__ }; \
        uint32_t csr = _mm_getcsr(); \
        T r[16 / sizeof(T)], y[16 / sizeof(T)]; \
        memcpy(r, a, 16); \
        memcpy(y, b, 16); \
        for (unsigned i = 0; i < (lanes); i++) \
            r[i] = (T)round_lane(&format, y[i], imm, &csr); \
        _mm_setcsr(csr); \
        memcpy(dst, r, 16); \
    }
#define SINGLE 23, UINT64_C(0x7f800000)
#define DOUBLE 52, UINT64_C(0x7ff0000000000000)
ROUND(roundps, uint32_t, 4, SINGLE)
ROUND(roundss, uint32_t, 1, SINGLE)
ROUND(roundpd, uint64_t, 2, DOUBLE)
ROUND(roundsd, uint64_t, 1, DOUBLE)

/* ---- SSE4.1: dot products ---- */

/* Immediate: 7:4 products that count, 3:0 lanes of the result that get the sum; the others are +0. */
static __m128 lane_mask(unsigned bits)
{
    __m128i lanes = _mm_setr_epi32(1, 2, 4, 8);

    return _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)bits), lanes), lanes));
}

void vec_dpps(void *dst, const void *a, const void *b, unsigned imm)
{
    __m128 mask = lane_mask(imm >> 4), x = _mm_and_ps(mask, load(a)), y = _mm_and_ps(mask, load(b)), odd;

    __asm__ volatile("mulps %1, %0" : "+x"(x) : "x"(y));
    odd = _mm_shuffle_ps(x, x, 0xf5);
    x = _mm_shuffle_ps(x, x, 0xa0);
    __asm__ volatile("addps %1, %0" : "+x"(x) : "x"(odd));
    odd = _mm_movehl_ps(x, x);
    x = _mm_movelh_ps(x, x);
    __asm__ volatile("addps %1, %0" : "+x"(x) : "x"(odd));
    _mm_storeu_ps(dst, _mm_and_ps(lane_mask(imm), x));
}

void vec_dppd(void *dst, const void *a, const void *b, unsigned imm)
{
    __m128 mask = lane_mask((imm >> 4 & 1) * 3 | (imm >> 5 & 1) * 12);
    __m128 x = _mm_and_ps(mask, load(a)), y = _mm_and_ps(mask, load(b)), odd;

    __asm__ volatile("mulpd %1, %0" : "+x"(x) : "x"(y));
    odd = _mm_movehl_ps(x, x);
    x = _mm_movelh_ps(x, x);
    __asm__ volatile("addpd %1, %0" : "+x"(x) : "x"(odd));
    _mm_storeu_ps(dst, _mm_and_ps(lane_mask((imm & 1) * 3 | (imm >> 1 & 1) * 12), x));
}

/* ---- integers and flags ---- */

void vec_from_int(void *dst, const void *rest, uint64_t v, bool wide, unsigned what)
{
    __m128 single = _mm_loadu_ps(rest);
    __m128d number = _mm_loadu_pd(rest);

    if (what & IR_VF_DOUBLE)
        _mm_storeu_pd(dst, wide ? _mm_cvtsi64_sd(number, (int64_t)v) : _mm_cvtsi32_sd(number, (int32_t)v));
    else
        _mm_storeu_ps(dst, wide ? _mm_cvtsi64_ss(single, (int64_t)v) : _mm_cvtsi32_ss(single, (int32_t)v));
}

static uint64_t double_to_int(__m128d v, bool wide, bool truncate)
{
    if (wide)
        return (uint64_t)(truncate ? _mm_cvttsd_si64(v) : _mm_cvtsd_si64(v));
    return (uint32_t)(truncate ? _mm_cvttsd_si32(v) : _mm_cvtsd_si32(v));
}

static uint64_t single_to_int(__m128 v, bool wide, bool truncate)
{
    if (wide)
        return (uint64_t)(truncate ? _mm_cvttss_si64(v) : _mm_cvtss_si64(v));
    return (uint32_t)(truncate ? _mm_cvttss_si32(v) : _mm_cvtss_si32(v));
}

uint64_t vec_to_int(const void *src, bool wide, unsigned what)
{
    bool truncate = what & IR_VF_TRUNCATE;

    return what & IR_VF_DOUBLE ? double_to_int(_mm_load_sd(src), wide, truncate)
                               : single_to_int(_mm_load_ss(src), wide, truncate);
}

/* Z, P, C as the host's comparison leaves them. */
#define TO_FLAGS(mnemonic, a, b, zf, pf, cf) \
    __asm__ volatile(mnemonic " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(a), "x"(b))

uint32_t vec_compare(const void *a, const void *b, unsigned what)
{
    __m128 x = _mm_loadu_ps(a), y = _mm_loadu_ps(b);
    bool zf, pf, cf;

    switch (what) {
    case 0: TO_FLAGS("comiss", x, y, zf, pf, cf); break;
    case IR_VF_DOUBLE: TO_FLAGS("comisd", x, y, zf, pf, cf); break;
    case IR_VF_QUIET: TO_FLAGS("ucomiss", x, y, zf, pf, cf); break;
    default: TO_FLAGS("ucomisd", x, y, zf, pf, cf); break;
    }
    return (zf ? IR_ZF : 0) | (pf ? IR_PF : 0) | (cf ? IR_CF : 0);
}
