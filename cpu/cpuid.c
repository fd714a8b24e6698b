/* Processor models and CPUID: SDM vol. 2; AMD64 manual vol. 3, appendix E. Only what works is shown. */
#include "cpu/sys.h"

/* ---- models ---- */

#define F(name) FEAT_##name,
#define FEATURES_486 F(FPU) F(VME)
#define FEATURES_PENTIUM FEATURES_486 F(DE) F(PSE) F(TSC) F(MSR) F(MCE) F(CX8) F(APIC) F(MMX)
#define FEATURES_PENTIUM2 \
    FEATURES_PENTIUM F(PAE) F(SEP) F(MTRR) F(PGE) F(MCA) F(CMOV) F(PAT) F(PSE36) F(FXSR)
#define FEATURES_PENTIUM3 FEATURES_PENTIUM2 F(SSE)
#define FEATURES_32 FEATURES_PENTIUM3 F(SSE2) F(CLFSH) F(HYPERVISOR)
#define FEATURES_64_V1 FEATURES_32 F(SYSCALL) F(NX) F(LM)
#define FEATURES_QEMU64 FEATURES_64_V1 F(CX16) F(LAHF_LM)
/* Everything that works. */
#define FEATURES_MAX FEATURES_QEMU64 F(RDTSCP)

#define LIST(name) static const uint8_t list_##name[] = { FEATURES_##name FEAT_NONE }
LIST(486);
LIST(PENTIUM);
LIST(PENTIUM2);
LIST(PENTIUM3);
LIST(32);
LIST(64_V1);
LIST(QEMU64);
LIST(MAX);

/* The signature of "max" is that of an in-order processor (Atom): systems then leave out their costly
 * measures against speculation, which do not apply to translated code. */
static const struct cpu_model models[] = {
    { "486", NULL, VENDOR_INTEL, 4, 8, 0, 1, 0, list_486 },
    { "pentium", NULL, VENDOR_INTEL, 5, 4, 3, 1, 0, list_PENTIUM },
    { "pentium2", NULL, VENDOR_INTEL, 6, 5, 2, 2, 0, list_PENTIUM2 },
    { "pentium3", NULL, VENDOR_INTEL, 6, 8, 3, 2, 0, list_PENTIUM3 },
    { "qemu32", "Mimus 32-bit processor", VENDOR_INTEL, 6, 6, 3, 4, 0x80000004, list_32 },
    { "qemu64", "Mimus 64-bit processor", VENDOR_AMD, 15, 107, 1, 13, 0x80000008, list_QEMU64 },
    { "x86-64-v1", "Mimus x86-64-v1 processor", VENDOR_INTEL, 6, 28, 10, 13, 0x80000008, list_64_V1 },
    { "max", "Mimus virtual processor", VENDOR_INTEL, 6, 28, 10, 0x15, 0x80000008, list_MAX },
};

const struct cpu_model *cpu_model_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        if (!strcmp(models[i].name, name ? name : "max"))
            return &models[i];
    return NULL;
}

bool cpu_model_known(const char *name)
{
    return cpu_model_find(name);
}

void cpu_model_help(FILE *out)
{
    fprintf(out, "Available CPUs:\n");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        fprintf(out, "x86 %-12s %s\n", models[i].name, models[i].brand ? models[i].brand : "");
}

bool cpu_has(const struct cpu *cpu, unsigned feature)
{
    return feature <= FEAT_486 || cpu_features_has(&cpu->features, feature);
}

/* Reset and tests: the model's features become the processor's. */
void cpu_set_model(struct cpu *cpu, const struct cpu_model *model)
{
    cpu->model = model;
    cpu->features = (struct cpu_features){ { 0 } };
    for (const uint8_t *f = model->features; *f != FEAT_NONE; f++)
        cpu_features_set(&cpu->features, *f, true);
}

/* Families above 15 and models above 15 spill into the extended fields. */
uint32_t cpu_signature(const struct cpu_model *m)
{
    uint32_t base = MIN_OF(m->family, 15), extended = m->family - base;

    return extended << 20 | (uint32_t)(m->model >> 4) << 16 | base << 8 | (m->model & 15u) << 4 | m->stepping;
}

/* ---- leaves ---- */

static const struct { uint32_t leaf; uint8_t sub, reg, bit; } feature_bits[FEAT_NUM] = {
#define FEAT_ROW(name, spelling, leaf, sub, reg, bit) [FEAT_##name] = { leaf, sub, reg, bit },
    CPU_FEATURES(FEAT_ROW)
#undef FEAT_ROW
};

#define APIC_BASE_ENABLE BIT(11)

/* The APIC bit follows the enable bit of IA32_APIC_BASE. */
static bool apic_enabled(struct cpu *cpu)
{
    uint64_t base;

    if (!cpu->bus.apic_base)
        return true;
    pthread_mutex_lock(cpu->bus.lock);
    base = cpu->bus.apic_base(cpu->bus.opaque);
    pthread_mutex_unlock(cpu->bus.lock);
    return base & APIC_BASE_ENABLE;
}

/* Intel shows SYSCALL to 64-bit code only, where alone it exists. */
static bool feature_shown(struct cpu *cpu, unsigned feature)
{
    if (!cpu_has(cpu, feature))
        return false;
    if (feature == FEAT_APIC)
        return apic_enabled(cpu);
    return feature != FEAT_SYSCALL || cpu->model->vendor == VENDOR_AMD || cpu_code64(cpu);
}

static void add_features(struct cpu *cpu, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++)
        if (feature_bits[f].leaf == leaf && feature_bits[f].sub == sub && feature_shown(cpu, f))
            out[feature_bits[f].reg] |= UINT32_C(1) << feature_bits[f].bit;
}

/* Twelve characters in EBX, ECX, EDX or, as vendors are spelt, EBX, EDX, ECX. */
static void put_name(uint32_t out[4], const char *name, bool vendor)
{
    out[1] = (uint32_t)load_le(name, 4);
    out[vendor ? 3 : 2] = (uint32_t)load_le(name + 4, 4);
    out[vendor ? 2 : 3] = (uint32_t)load_le(name + 8, 4);
}

static const char *vendor_name(const struct cpu_model *m)
{
    return m->vendor == VENDOR_AMD ? "AuthenticAMD" : "GenuineIntel";
}

/* Leaf 4, caches: level, type (1 data, 2 instruction, 3 unified), ways, sets; lines of 64 bytes. */
static void cache_leaf(uint32_t subleaf, uint32_t out[4])
{
    static const struct { uint8_t level, type, ways; uint16_t sets; } cache[] = {
        { 1, 1, 8, 64 }, { 1, 2, 8, 64 }, { 2, 3, 8, 4096 },
    };

    if (subleaf >= ARRAY_LEN(cache))
        return;
    out[0] = cache[subleaf].type | (uint32_t)cache[subleaf].level << 5 | 1u << 8;
    out[1] = (cache[subleaf].ways - 1u) << 22 | 63;
    out[2] = cache[subleaf].sets - 1u;
}

static void basic_leaf(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *m = cpu->model;

    switch (leaf) {
    case 0:
        out[0] = m->max_basic;
        put_name(out, vendor_name(m), true);
        break;
    case 1:
        out[0] = cpu_signature(m);
        out[1] = cpu_has(cpu, FEAT_CLFSH) ? 8 << 8 : 0;
        add_features(cpu, 1, 0, out);
        break;
    case 2:
        if (m->vendor == VENDOR_INTEL) {
            out[0] = 0x00b0b301; /* 4 KiB data and instruction TLBs */
            out[3] = 0x002c307d; /* L1 data 32 KiB, L1 instruction 32 KiB, L2 2 MiB, lines of 64 bytes */
        }
        break;
    case 4:
        if (m->vendor == VENDOR_INTEL)
            cache_leaf(subleaf, out);
        break;
    case 6:
        out[0] = 1 << 2; /* the APIC timer never stops */
        break;
    case 0x15:
        out[0] = out[1] = 1; /* TSC = crystal clock, which also drives the APIC timer */
        out[2] = (uint32_t)CPU_TSC_HZ;
        break;
    }
}

static void brand_leaf(const struct cpu_model *m, unsigned part, uint32_t out[4])
{
    char brand[48] = { 0 };

    if (m->brand)
        memcpy(brand, m->brand, MIN_OF(strlen(m->brand), sizeof(brand) - 1));
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint32_t)load_le(brand + 16 * part + 4 * i, 4);
}

/* AMD repeats the bits that its leaf 1 shares with Intel's. */
#define AMD_SHARED_BITS 0x0183f3ffu

static void extended_leaf(struct cpu *cpu, uint32_t leaf, uint32_t out[4])
{
    const struct cpu_model *m = cpu->model;
    bool amd = m->vendor == VENDOR_AMD;
    uint32_t one[4] = { 0 };

    switch (leaf) {
    case 0x80000000:
        out[0] = m->max_extended;
        if (amd)
            put_name(out, vendor_name(m), true);
        break;
    case 0x80000001:
        add_features(cpu, leaf, 0, out);
        if (amd) {
            out[0] = cpu_signature(m);
            add_features(cpu, 1, 0, one);
            out[3] |= one[3] & AMD_SHARED_BITS;
        }
        break;
    case 0x80000002: case 0x80000003: case 0x80000004:
        brand_leaf(m, leaf - 0x80000002, out);
        break;
    case 0x80000005:
        if (amd)
            out[2] = out[3] = 0x20080140; /* L1: 32 KiB, 8 ways, lines of 64 bytes */
        break;
    case 0x80000006:
        out[2] = 0x08006040; /* L2: 2 MiB, 8 ways (encoded 6), lines of 64 bytes */
        break;
    case 0x80000007:
        out[3] = 1 << 8; /* invariant TSC */
        break;
    case 0x80000008:
        out[0] = 48 << 8 | 40; /* linear and physical address bits */
        break;
    }
}

#define HYPERVISOR_BASE UINT32_C(0x40000000)
#define HYPERVISOR_TIMING UINT32_C(0x40000010)

static void hypervisor_leaf(uint32_t leaf, uint32_t out[4])
{
    if (leaf == HYPERVISOR_BASE) {
        out[0] = HYPERVISOR_TIMING;
        put_name(out, "MimusMimusMi", false);
    } else if (leaf == HYPERVISOR_TIMING) {
        out[0] = out[1] = (uint32_t)(CPU_TSC_HZ / 1000); /* kHz of the TSC and of the APIC timer */
    }
}

/* Leaves beyond the last: AMD gives zeros, Intel the last basic leaf. */
void cpu_cpuid(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model *m = cpu->model;

    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf <= m->max_basic)
        basic_leaf(cpu, leaf, subleaf, out);
    else if (cpu_has(cpu, FEAT_HYPERVISOR) && leaf >= HYPERVISOR_BASE && leaf <= HYPERVISOR_TIMING)
        hypervisor_leaf(leaf, out);
    else if (leaf >= 0x80000000 && leaf <= m->max_extended)
        extended_leaf(cpu, leaf, out);
    else if (m->vendor == VENDOR_INTEL)
        basic_leaf(cpu, m->max_basic, subleaf, out);
}

/* The model alone decides: unlike cpu_cpuid() this looks at no register. */
void cpu_identify(struct cpu *cpu, uint32_t *eax, uint32_t *edx)
{
    uint32_t out[4] = { 0 };

    *eax = cpu_signature(cpu->model);
    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++)
        if (feature_bits[f].leaf == 1 && cpu_has(cpu, f))
            out[feature_bits[f].reg] |= UINT32_C(1) << feature_bits[f].bit;
    *edx = out[3];
}
