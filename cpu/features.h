/* CPUID feature bits that opcode rows and models name. */
#ifndef MIMUS_CPU_FEATURES_H
#define MIMUS_CPU_FEATURES_H

/* FEAT(name, leaf, register index a=0 b=1 c=2 d=3, bit) */
#define CPU_FEATURES(FEAT) \
    FEAT(FPU, 1, 3, 0) FEAT(VME, 1, 3, 1) FEAT(DE, 1, 3, 2) FEAT(PSE, 1, 3, 3) FEAT(TSC, 1, 3, 4) \
    FEAT(MSR, 1, 3, 5) FEAT(PAE, 1, 3, 6) FEAT(MCE, 1, 3, 7) FEAT(CX8, 1, 3, 8) FEAT(APIC, 1, 3, 9) \
    FEAT(SEP, 1, 3, 11) FEAT(MTRR, 1, 3, 12) FEAT(PGE, 1, 3, 13) FEAT(MCA, 1, 3, 14) FEAT(CMOV, 1, 3, 15) \
    FEAT(PAT, 1, 3, 16) FEAT(PSE36, 1, 3, 17) FEAT(CLFSH, 1, 3, 19) FEAT(MMX, 1, 3, 23) FEAT(FXSR, 1, 3, 24) \
    FEAT(SSE, 1, 3, 25) FEAT(SSE2, 1, 3, 26) FEAT(CX16, 1, 2, 13) FEAT(HYPERVISOR, 1, 2, 31) \
    FEAT(SYSCALL, 0x80000001, 3, 11) FEAT(NX, 0x80000001, 3, 20) FEAT(RDTSCP, 0x80000001, 3, 27) \
    FEAT(LM, 0x80000001, 3, 29) FEAT(LAHF_LM, 0x80000001, 2, 0)

enum cpu_feature {
    FEAT_NONE, /* every model */
    FEAT_486,  /* CPUID, XADD, CMPXCHG, BSWAP, INVLPG, WBINVD: every model that exists */
#define FEAT_ENUM(name, leaf, reg, bit) FEAT_##name,
    CPU_FEATURES(FEAT_ENUM)
#undef FEAT_ENUM
    FEAT_NUM
};

#endif
