/* CPUID feature bits that opcode rows and models name. */
#ifndef MIMUS_CPU_FEATURES_H
#define MIMUS_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* FEAT(name, option's spelling, leaf, subleaf, register index a=0 b=1 c=2 d=3, bit) */
#define CPU_FEATURES(FEAT) \
    FEAT(FPU, "fpu", 1, 0, 3, 0) FEAT(VME, "vme", 1, 0, 3, 1) FEAT(DE, "de", 1, 0, 3, 2) \
    FEAT(PSE, "pse", 1, 0, 3, 3) FEAT(TSC, "tsc", 1, 0, 3, 4) FEAT(MSR, "msr", 1, 0, 3, 5) \
    FEAT(PAE, "pae", 1, 0, 3, 6) FEAT(MCE, "mce", 1, 0, 3, 7) FEAT(CX8, "cx8", 1, 0, 3, 8) \
    FEAT(APIC, "apic", 1, 0, 3, 9) FEAT(SEP, "sep", 1, 0, 3, 11) FEAT(MTRR, "mtrr", 1, 0, 3, 12) \
    FEAT(PGE, "pge", 1, 0, 3, 13) FEAT(MCA, "mca", 1, 0, 3, 14) FEAT(CMOV, "cmov", 1, 0, 3, 15) \
    FEAT(PAT, "pat", 1, 0, 3, 16) FEAT(PSE36, "pse36", 1, 0, 3, 17) FEAT(CLFSH, "clflush", 1, 0, 3, 19) \
    FEAT(MMX, "mmx", 1, 0, 3, 23) FEAT(FXSR, "fxsr", 1, 0, 3, 24) FEAT(SSE, "sse", 1, 0, 3, 25) \
    FEAT(SSE2, "sse2", 1, 0, 3, 26) \
    FEAT(SSE3, "sse3", 1, 0, 2, 0) FEAT(PCLMULQDQ, "pclmulqdq", 1, 0, 2, 1) \
    FEAT(MONITOR, "monitor", 1, 0, 2, 3) FEAT(SSSE3, "ssse3", 1, 0, 2, 9) FEAT(FMA, "fma", 1, 0, 2, 12) \
    FEAT(CX16, "cx16", 1, 0, 2, 13) FEAT(PCID, "pcid", 1, 0, 2, 17) FEAT(SSE41, "sse4.1", 1, 0, 2, 19) \
    FEAT(SSE42, "sse4.2", 1, 0, 2, 20) FEAT(X2APIC, "x2apic", 1, 0, 2, 21) \
    FEAT(MOVBE, "movbe", 1, 0, 2, 22) FEAT(POPCNT, "popcnt", 1, 0, 2, 23) \
    FEAT(TSC_DEADLINE, "tsc-deadline", 1, 0, 2, 24) FEAT(AES, "aes", 1, 0, 2, 25) \
    FEAT(XSAVE, "xsave", 1, 0, 2, 26) FEAT(AVX, "avx", 1, 0, 2, 28) FEAT(F16C, "f16c", 1, 0, 2, 29) \
    FEAT(RDRAND, "rdrand", 1, 0, 2, 30) FEAT(HYPERVISOR, "hypervisor", 1, 0, 2, 31) \
    FEAT(FSGSBASE, "fsgsbase", 7, 0, 1, 0) FEAT(TSC_ADJUST, "tsc-adjust", 7, 0, 1, 1) FEAT(BMI1, "bmi1", 7, 0, 1, 3) FEAT(AVX2, "avx2", 7, 0, 1, 5) \
    FEAT(SMEP, "smep", 7, 0, 1, 7) FEAT(BMI2, "bmi2", 7, 0, 1, 8) FEAT(ERMS, "erms", 7, 0, 1, 9) \
    FEAT(INVPCID, "invpcid", 7, 0, 1, 10) FEAT(RDSEED, "rdseed", 7, 0, 1, 18) FEAT(ADX, "adx", 7, 0, 1, 19) \
    FEAT(SMAP, "smap", 7, 0, 1, 20) FEAT(CLFLUSHOPT, "clflushopt", 7, 0, 1, 23) \
    FEAT(CLWB, "clwb", 7, 0, 1, 24) FEAT(SHA, "sha-ni", 7, 0, 1, 29) \
    FEAT(UMIP, "umip", 7, 0, 2, 2) FEAT(PKU, "pku", 7, 0, 2, 3) FEAT(LA57, "la57", 7, 0, 2, 16) \
    FEAT(RDPID, "rdpid", 7, 0, 2, 22) FEAT(FSRM, "fsrm", 7, 0, 3, 4) \
    FEAT(XSAVEOPT, "xsaveopt", 13, 1, 0, 0) FEAT(XSAVEC, "xsavec", 13, 1, 0, 1) \
    FEAT(XGETBV1, "xgetbv1", 13, 1, 0, 2) FEAT(XSAVES, "xsaves", 13, 1, 0, 3) \
    FEAT(SYSCALL, "syscall", 0x80000001, 0, 3, 11) FEAT(NX, "nx", 0x80000001, 0, 3, 20) \
    FEAT(PDPE1GB, "pdpe1gb", 0x80000001, 0, 3, 26) FEAT(RDTSCP, "rdtscp", 0x80000001, 0, 3, 27) \
    FEAT(LM, "lm", 0x80000001, 0, 3, 29) FEAT(LAHF_LM, "lahf-lm", 0x80000001, 0, 2, 0) \
    FEAT(LZCNT, "lzcnt", 0x80000001, 0, 2, 5) FEAT(PREFETCHW, "3dnowprefetch", 0x80000001, 0, 2, 8) \
    FEAT(INVTSC, "invtsc", 0x80000007, 0, 3, 8)

enum cpu_feature {
    FEAT_NONE, /* every model */
    FEAT_486,  /* CPUID, XADD, CMPXCHG, BSWAP, INVLPG, WBINVD: every model that exists */
#define FEAT_ENUM(name, spelling, leaf, sub, reg, bit) FEAT_##name,
    CPU_FEATURES(FEAT_ENUM)
#undef FEAT_ENUM
    FEAT_NUM
};

/* Bits by enum cpu_feature. */
struct cpu_features { uint64_t bits[2]; };

static inline bool cpu_features_has(const struct cpu_features *f, unsigned feature)
{
    return f->bits[feature >> 6] >> (feature & 63) & 1;
}

static inline void cpu_features_set(struct cpu_features *f, unsigned feature, bool on)
{
    uint64_t bit = UINT64_C(1) << (feature & 63);

    f->bits[feature >> 6] = on ? f->bits[feature >> 6] | bit : f->bits[feature >> 6] & ~bit;
}

#endif
