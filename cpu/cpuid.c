/* CPUID: SDM vol. 2; AMD64 manual vol. 3, appendix E. Only what works is shown. */
#include "cpu/sys.h"

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
    cpu_lock(cpu);
    base = cpu->bus.apic_base(cpu->bus.opaque);
    cpu_unlock(cpu);
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

/* ---- topology: SDM vol. 3, 9.9; AMD64 manual vol. 3, E.5 ---- */

static unsigned threads_per_core(const struct cpu *cpu)
{
    return MAX_OF(cpu->opt.topology.threads, 1u);
}

static unsigned threads_per_package(const struct cpu *cpu)
{
    return threads_per_core(cpu) * MAX_OF(cpu->opt.topology.cores, 1u);
}

static uint32_t apic_id(const struct cpu *cpu)
{
    return cpu_apic_id(&cpu->opt.topology, cpu->opt.index);
}

/* APIC ids set aside for a core and for a package, used or not: where those of the next one begin. */
static uint32_t ids_per_core(const struct cpu *cpu)
{
    return cpu_apic_id(&cpu->opt.topology, threads_per_core(cpu));
}

static uint32_t ids_per_package(const struct cpu *cpu)
{
    return cpu_apic_id(&cpu->opt.topology, threads_per_package(cpu));
}

static unsigned id_bits(uint32_t ids)
{
    return (unsigned)__builtin_ctz(ids);
}

/* HTT: a package of several logical processors. Models without the leaf that tells cores from threads are
 * older than the bit: to them each logical processor is a package. */
static bool shows_htt(const struct cpu *cpu)
{
    const struct cpu_model *m = cpu->model;
    bool leaf = m->vendor == VENDOR_AMD ? m->max_extended >= 0x80000008 : m->max_basic >= 4;

    return leaf && threads_per_package(cpu) > 1;
}

#define HTT BIT(28)
#define CMP_LEGACY BIT(1)

/* Leaf 1 EBX: the initial APIC id, its low 8 bits; how many logical processors a package has ids for (Intel)
 * or has (AMD), where HTT says that this counts. */
static uint32_t processor_ids(const struct cpu *cpu)
{
    uint32_t count = cpu->model->vendor == VENDOR_AMD ? threads_per_package(cpu) : ids_per_package(cpu);

    return (apic_id(cpu) & 0xff) << 24 | (shows_htt(cpu) ? MIN_OF(count, 255u) << 16 : 0);
}

/* Leaf 4, caches: level, type (1 data, 2 instruction, 3 unified), ways, sets; lines of 64 bytes. A core has
 * level 1 of its own, the package shares level 2. */
static void cache_leaf(const struct cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    static const struct { uint8_t level, type, ways; uint16_t sets; } cache[] = {
        { 1, 1, 8, 64 }, { 1, 2, 8, 64 }, { 2, 3, 8, 4096 },
    };
    uint32_t core = ids_per_core(cpu), package = ids_per_package(cpu);

    if (subleaf >= ARRAY_LEN(cache))
        return;
    out[0] = cache[subleaf].type | (uint32_t)cache[subleaf].level << 5 | 1u << 8;
    out[0] |= (cache[subleaf].level == 1 ? core - 1 : package - 1) << 14; /* ids that share it */
    out[0] |= (package / core - 1) << 26;                                 /* ids of cores */
    out[1] = (cache[subleaf].ways - 1u) << 22 | 63;
    out[2] = cache[subleaf].sets - 1u;
}

/* Leaf 0BH, one level of threads, one of cores in the package: bits of the x2APIC id up to there, logical
 * processors, type of the level. A subleaf behind the last tells only its number and, like all, the id. */
static void topology_leaf(const struct cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    enum { LEVEL_THREAD = 1, LEVEL_CORE = 2 };
    const struct { uint32_t ids, processors, type; } levels[] = {
        { ids_per_core(cpu), threads_per_core(cpu), LEVEL_THREAD },
        { ids_per_package(cpu), threads_per_package(cpu), LEVEL_CORE },
    };

    out[2] = subleaf & 0xff;
    out[3] = apic_id(cpu);
    if (subleaf >= ARRAY_LEN(levels))
        return;
    out[0] = id_bits(levels[subleaf].ids);
    out[1] = levels[subleaf].processors;
    out[2] |= levels[subleaf].type << 8;
}

/* ---- leaves ---- */

/* Bits of leaf 1 ECX and leaf 7 ECX that show what CR4 enables. */
#define OSXSAVE BIT(27)
#define OSPKE BIT(4)

/* Leaf 0DH: the areas of XSAVE. */
static void xstate_leaf(struct cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    uint64_t supported = xstate_supported(cpu);

    if (subleaf == 0) {
        out[0] = (uint32_t)supported;
        out[1] = xstate_size(cpu->xcr0, false);
        out[2] = xstate_size(supported, false);
    } else if (subleaf == 1) {
        add_features(cpu, 0xd, 1, out);
        if (out[0] & (BIT(1) | BIT(3)))
            out[1] = xstate_size(cpu->xcr0 | cpu->xss, true);
    }
    for (unsigned i = 0; i < xstate_num_components; i++) {
        const struct xstate_component *c = &xstate_components[i];
        if (subleaf < 32 && c->bit == 1u << subleaf && (supported & c->bit)) {
            out[0] = c->size;
            out[1] = c->offset;
        }
    }
}

#define BUS_MHZ 100

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
        out[1] = processor_ids(cpu) | (cpu_has(cpu, FEAT_CLFSH) ? 8 << 8 : 0);
        add_features(cpu, 1, 0, out);
        out[2] |= cpu->cr4 & CR4_OSXSAVE ? OSXSAVE : 0;
        out[3] |= shows_htt(cpu) ? HTT : 0;
        break;
    case 2:
        if (m->vendor == VENDOR_INTEL) {
            out[0] = 0x00b0b301; /* 4 KiB data and instruction TLBs */
            out[3] = 0x002c307d; /* L1 data 32 KiB, L1 instruction 32 KiB, L2 2 MiB, lines of 64 bytes */
        }
        break;
    case 4:
        if (m->vendor == VENDOR_INTEL)
            cache_leaf(cpu, subleaf, out);
        break;
    case 5:
        if (cpu_has(cpu, FEAT_MONITOR)) {
            out[0] = out[1] = 64;   /* bytes of the monitored line */
            out[2] = 3;             /* extensions are told; masked interrupts may end MWAIT */
            out[3] = 1 << 4;        /* one kind of C1 */
        }
        break;
    case 6:
        out[0] = 1 << 2; /* the APIC timer never stops */
        break;
    case 7:
        add_features(cpu, 7, subleaf, out);
        out[2] |= subleaf == 0 && (cpu->cr4 & CR4_PKE) ? OSPKE : 0;
        break;
    case 0xb:
        topology_leaf(cpu, subleaf, out);
        break;
    case 0xd:
        if (cpu_has(cpu, FEAT_XSAVE))
            xstate_leaf(cpu, subleaf, out);
        break;
    case 0x15:
        out[0] = out[1] = 1; /* TSC = crystal clock, which also drives the APIC timer */
        out[2] = (uint32_t)CPU_TSC_HZ;
        break;
    case 0x16:
        out[0] = out[1] = (uint32_t)(CPU_TSC_HZ / 1000000); /* base and maximum frequency in MHz */
        out[2] = BUS_MHZ;
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
            out[2] |= shows_htt(cpu) ? CMP_LEGACY : 0;
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
        add_features(cpu, leaf, 0, out);
        break;
    case 0x80000008:
        out[0] = (cpu_has(cpu, FEAT_LA57) ? 57u : 48u) << 8 | 40; /* linear and physical address bits */
        if (amd)
            out[2] = id_bits(ids_per_package(cpu)) << 12 | (threads_per_package(cpu) - 1);
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

/* The model and the topology decide: unlike cpu_cpuid() this looks at no register. */
void cpu_identify(struct cpu *cpu, uint32_t *eax, uint32_t *edx)
{
    uint32_t out[4] = { 0 };

    *eax = cpu_signature(cpu->model);
    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++)
        if (feature_bits[f].leaf == 1 && cpu_has(cpu, f))
            out[feature_bits[f].reg] |= UINT32_C(1) << feature_bits[f].bit;
    *edx = out[3] | (shows_htt(cpu) ? (uint32_t)HTT : 0);
}
