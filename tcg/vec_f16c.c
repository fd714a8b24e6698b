/* Conversions between half and single precision in integer arithmetic: SDM vol. 1, 14.4; vol. 2, VCVTPH2PS,
 * VCVTPS2PH. */
#include "tcg/vec_f16c.h"

#include <emmintrin.h>
#include <stdbool.h>
#include <string.h>

#include "tcg/vec.h"

enum {
    CSR_IE = 0x01, CSR_DE = 0x02, CSR_OE = 0x08, CSR_UE = 0x10, CSR_PE = 0x20, CSR_DAZ = 0x40,
    CSR_OM = 0x400, CSR_UM = 0x800, CSR_RC_SHIFT = 13,
};
enum rounding { RC_NEAREST, RC_DOWN, RC_UP, RC_ZERO };
/* Immediate: rounding, or as MXCSR says. */
enum { IMM_RC = 3, IMM_MXCSR = 4 };

#define HALF_INFINITY 0x7c00u
#define HALF_QUIET 0x200u
#define SINGLE_INFINITY 0x7f800000u
#define SINGLE_QUIET 0x400000u

/* ---- half to single: always exact ---- */

static uint32_t to_single(uint16_t h, uint32_t *flags)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    unsigned lead;

    if (magnitude > HALF_INFINITY) {
        *flags |= magnitude & HALF_QUIET ? 0 : CSR_IE;
        return sign | SINGLE_INFINITY | SINGLE_QUIET | (magnitude & 0x3ff) << 13;
    }
    if (magnitude == HALF_INFINITY)
        return sign | SINGLE_INFINITY;
    if (magnitude >= 0x400)
        return sign | ((magnitude << 13) + ((127u - 15) << 23));
    if (!magnitude)
        return sign;
    lead = 31 - (unsigned)__builtin_clz(magnitude); /* magnitude * 2^-24 */
    return sign | (127 - 24 + lead) << 23 | (magnitude << (23 - lead) & 0x7fffff);
}

void vec_vcvtph2ps(void *dst, const void *a, const void *b)
{
    uint32_t flags = 0, out[4];
    uint16_t in[4];

    (void)a;
    memcpy(in, b, 8);
    for (unsigned i = 0; i < 4; i++)
        out[i] = to_single(in[i], &flags);
    _mm_setcsr(_mm_getcsr() | flags);
    memcpy(dst, out, 16);
}

/* ---- single to half ---- */

/* m without its lowest n bits (1 <= n <= 31). */
static uint32_t round_off(uint32_t m, unsigned n, bool sign, unsigned rc, bool *inexact)
{
    uint32_t rest = m & ((1u << n) - 1), half = 1u << (n - 1);
    bool up;

    m >>= n;
    *inexact = rest != 0;
    switch (rc) {
    case RC_NEAREST: up = rest > half || (rest == half && (m & 1)); break;
    case RC_DOWN: up = sign && rest; break;
    case RC_UP: up = !sign && rest; break;
    default: up = false;
    }
    return m + up;
}

/* 0x800000 <= m < 0x1000000, exponent of its leading one below -14. Tiny unless it rounds up to 2^-14 with
 * unlimited range. MXCSR.FTZ does not count. */
static uint32_t small_half(uint32_t m, int exponent, bool sign, unsigned rc, uint32_t csr, uint32_t *flags)
{
    unsigned shift = 13 + (unsigned)(-14 - exponent);
    bool inexact, inexact_wide, carry = round_off(m, 13, sign, rc, &inexact_wide) >> 11;
    bool tiny = exponent < -15 || !carry;
    uint32_t r = round_off(shift > 25 ? 1 : m, shift > 25 ? 25 : shift, sign, rc, &inexact);

    if (tiny && !(csr & CSR_UM))
        *flags |= CSR_UE | (inexact_wide ? CSR_PE : 0);
    else if (inexact)
        *flags |= CSR_PE | (tiny ? CSR_UE : 0);
    return r;
}

static uint32_t large_half(bool inexact, bool sign, unsigned rc, uint32_t csr, uint32_t *flags)
{
    bool infinite = rc == RC_NEAREST || rc == (sign ? RC_DOWN : RC_UP);

    *flags |= CSR_OE | (inexact || (csr & CSR_OM) ? CSR_PE : 0);
    return HALF_INFINITY - !infinite;
}

/* A finite number that is not 0. */
static uint32_t finite_half(uint32_t magnitude, bool sign, unsigned rc, uint32_t csr, uint32_t *flags)
{
    int exponent = (int)(magnitude >> 23) - 127;
    uint32_t m = (magnitude & 0x7fffff) | 0x800000, r;
    bool inexact;

    if (magnitude < 0x800000) {
        unsigned up = (unsigned)__builtin_clz(magnitude) - 8;
        m = magnitude << up;
        exponent = -126 - (int)up;
    }
    if (exponent < -14)
        return small_half(m, exponent, sign, rc, csr, flags);
    r = round_off(m, 13, sign, rc, &inexact) + ((uint32_t)(exponent + 14) << 10);
    if (exponent > 15 || r >= HALF_INFINITY)
        return large_half(inexact, sign, rc, csr, flags);
    *flags |= inexact ? CSR_PE : 0;
    return r;
}

static uint32_t to_half(uint32_t v, unsigned rc, uint32_t csr, uint32_t *flags)
{
    uint32_t sign = v >> 16 & 0x8000, magnitude = v & 0x7fffffff;

    if (magnitude > SINGLE_INFINITY) {
        *flags |= magnitude & SINGLE_QUIET ? 0 : CSR_IE;
        return sign | HALF_INFINITY | HALF_QUIET | (magnitude >> 13 & 0x3ff);
    }
    if (magnitude == SINGLE_INFINITY)
        return sign | HALF_INFINITY;
    if (magnitude && magnitude < 0x800000) {
        if (csr & CSR_DAZ)
            return sign;
        *flags |= CSR_DE;
    }
    return magnitude ? sign | finite_half(magnitude, sign, rc, csr, flags) : sign;
}

uint32_t vec_f16c_flags(uint32_t csr, const void *src, unsigned imm, uint16_t out[4])
{
    unsigned rc = imm & IMM_MXCSR ? csr >> CSR_RC_SHIFT & 3 : imm & IMM_RC;
    uint32_t in[4], flags = 0;

    memcpy(in, src, 16);
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint16_t)to_half(in[i], rc, csr, &flags);
    return flags;
}

void vec_vcvtps2ph(void *dst, const void *a, const void *b, unsigned imm)
{
    uint16_t out[8] = { 0 };
    uint32_t csr = _mm_getcsr();

    (void)a;
    _mm_setcsr(csr | vec_f16c_flags(csr, b, imm, out));
    memcpy(dst, out, 16);
}
