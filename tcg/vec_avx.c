/* Comparisons with AVX's 32 predicates (SDM vol. 2, CMPPD, table 3-1), composed of SSE's eight. They run
 * under the host's MXCSR, which is the guest's while guest code runs. */
#include "tcg/vec.h"

#ifndef __x86_64__
#error "floating-point vector operations need an x86-64 host"
#endif

#include <emmintrin.h>
#include <stdint.h>

/* Relations of two numbers. */
enum { GT = 1, LT = 2, EQ = 4, UN = 8 };

/* The relations in which a predicate holds. Those from 16 on are the first 16 with the other answer to quiet
 * NaNs. */
static const unsigned char holds[16] = {
    EQ, LT, LT | EQ, UN, GT | LT | UN, GT | EQ | UN, GT | UN, GT | LT | EQ,
    EQ | UN, LT | UN, LT | EQ | UN, 0, GT | LT, GT | EQ, GT, GT | LT | EQ | UN,
};
/* Bit n: predicate n raises the invalid exception for a quiet NaN too. */
#define SIGNALLING UINT32_C(0x99996666)

struct relations { __m128 lt, eq, un; };

/* The lanes where the predicate holds, of lanes that are all ones or zero. */
static __m128 combine(const struct relations *in, unsigned imm)
{
    const __m128 zero = _mm_setzero_ps(), ones = _mm_castsi128_ps(_mm_set1_epi32(-1));
    unsigned where = holds[imm & 15];
    __m128 gt = _mm_andnot_ps(_mm_or_ps(_mm_or_ps(in->lt, in->eq), in->un), ones);
    __m128 lg = _mm_or_ps(where & LT ? in->lt : zero, where & GT ? gt : zero);
    __m128 eu = _mm_or_ps(where & EQ ? in->eq : zero, where & UN ? in->un : zero);

    return _mm_or_ps(lg, eu);
}

/* EQ and UNORD raise the invalid exception for signalling NaNs alone, LT for all; each sees denormals. The
 * LT of the result gets zeroes in place of NaNs. PLACE: the result's lanes into a's. */
#define COMPARE(fn, sse, PLACE) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        __m128 x = _mm_loadu_ps(a), y = _mm_loadu_ps(b), probe = x; \
        struct relations is = { .eq = x, .un = x }; \
        __asm__ volatile(sse " $0, %1, %0" : "+x"(is.eq) : "x"(y)); \
        __asm__ volatile(sse " $3, %1, %0" : "+x"(is.un) : "x"(y)); \
        is.lt = _mm_andnot_ps(is.un, x); \
        __asm__ volatile(sse " $1, %1, %0" : "+x"(is.lt) : "x"(_mm_andnot_ps(is.un, y))); \
        if (SIGNALLING >> (imm & 31) & 1) \
            __asm__ volatile(sse " $1, %1, %0" : "+x"(probe) : "x"(y)); \
        _mm_storeu_ps(dst, PLACE(x, combine(&is, imm))); \
    }
#define ALL(x, r) (r)
#define LOW_SS(x, r) _mm_move_ss(x, r)
#define LOW_SD(x, r) _mm_castpd_ps(_mm_move_sd(_mm_castps_pd(x), _mm_castps_pd(r)))
COMPARE(vcmpps, "cmpps", ALL)
COMPARE(vcmppd, "cmppd", ALL)
COMPARE(vcmpss, "cmpss", LOW_SS)
COMPARE(vcmpsd, "cmpsd", LOW_SD)
