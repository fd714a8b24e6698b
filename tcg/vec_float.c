/* Floating-point vector operations under the host's MXCSR, which is the guest's
 * while guest code runs. The host instruction itself is the meaning: results,
 * NaN choice and exception flags are the processor's. */
#include "tcg/vec.h"

#ifndef __x86_64__
#error "floating-point vector operations need an x86-64 host"
#endif

#include <emmintrin.h>

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
