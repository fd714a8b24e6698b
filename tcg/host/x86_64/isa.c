/* Which instruction-set extensions the processor and the operating system of this host offer. */
#include "tcg/tcg.h"

#include <cpuid.h>

/* Bits that not every compiler's __builtin_cpu_supports() knows: SDM vol. 2, CPUID. F16C needs AVX state. */
static uint32_t more_isa(bool avx)
{
    unsigned a, b, c, d;
    uint32_t isa = 0;

    if (__get_cpuid(1, &a, &b, &c, &d) && avx && (c & bit_F16C))
        isa |= TCG_ISA_F16C;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA))
        isa |= TCG_ISA_SHA;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT))
        isa |= TCG_ISA_LZCNT;
    return isa;
}

uint32_t tcg_host_isa(void)
{
    uint32_t isa = 0;

    __builtin_cpu_init();
#define HAS(name, bit) isa |= __builtin_cpu_supports(name) ? TCG_ISA_##bit : 0
    HAS("sse3", SSE3);
    HAS("ssse3", SSSE3);
    HAS("sse4.1", SSE41);
    HAS("sse4.2", SSE42);
    HAS("aes", AES);
    HAS("pclmul", PCLMUL);
    HAS("avx", AVX);
    HAS("avx2", AVX2);
    HAS("fma", FMA);
    HAS("popcnt", POPCNT);
    HAS("bmi", BMI1);
    HAS("bmi2", BMI2);
#undef HAS
    return isa | more_isa(isa & TCG_ISA_AVX);
}
