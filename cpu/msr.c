/* Model-specific registers: SDM vol. 4, chapter 2; AMD64 manual vol. 2, appendix A. */
#include "cpu/sys.h"

#include <inttypes.h>

enum {
    MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_MTRRCAP = 0xfe, MSR_PAT = 0x277, MSR_MISC_ENABLE = 0x1a0,
    MSR_MTRR_PHYSBASE0 = 0x200, MSR_MTRR_PHYSMASK7 = 0x20f, MSR_MTRR_DEF_TYPE = 0x2ff,
};
#define MSR_EFER UINT32_C(0xc0000080)

#define MTRRCAP 0x508 /* 8 variable ranges, fixed ranges, write combining */
#define MISC_ENABLE_WRITABLE 0x9
#define PHYS_MASK MASK(40)

/* What a value must be like, else #GP(0). */
enum msr_check { CHECK_NONE, CHECK_CANONICAL, CHECK_LOW32, CHECK_PAT };

struct msr_field {
    uint32_t index;
    uint32_t offset;    /* uint64_t in struct cpu */
    uint8_t feature;
    uint8_t check;
};
#define FIELD(index, field, feature, check) \
    { index, offsetof(struct cpu, field), FEAT_##feature, CHECK_##check }

static const struct msr_field fields[] = {
    FIELD(0x174, sysenter_cs, SEP, LOW32),
    FIELD(0x175, sysenter_esp, SEP, CANONICAL),
    FIELD(0x176, sysenter_eip, SEP, CANONICAL),
    FIELD(MSR_PAT, pat, PAT, PAT),
    FIELD(0xc0000081, star, SYSCALL, NONE),
    FIELD(0xc0000082, lstar, LM, CANONICAL),
    FIELD(0xc0000083, cstar, LM, CANONICAL),
    FIELD(0xc0000084, sfmask, LM, LOW32),
    FIELD(0xc0000100, seg[S_FS].base, LM, CANONICAL),
    FIELD(0xc0000101, seg[S_GS].base, LM, CANONICAL),
    FIELD(0xc0000102, kernel_gs_base, LM, CANONICAL),
    FIELD(0xc0000103, tsc_aux, RDTSCP, LOW32),
};

/* Registers that read as 0 and take writes without effect. */
struct msr_range { uint32_t first, last; };

static const struct msr_range inert[] = {
    { 0x0, 0x1 },               /* P5_MC_ADDR, P5_MC_TYPE */
    { 0x17, 0x17 },             /* IA32_PLATFORM_ID */
    { 0x2a, 0x2a },             /* EBL_CR_POWERON */
    { 0x79, 0x79 },             /* IA32_BIOS_UPDT_TRIG */
    { 0x8b, 0x8b },             /* IA32_BIOS_SIGN_ID: no microcode update */
    { 0x179, 0x17b },           /* IA32_MCG_CAP (no banks), STATUS, CTL */
    { 0x1d9, 0x1d9 },           /* IA32_DEBUGCTL */
    { 0x1db, 0x1de },           /* last branch and last exception records */
};
static const struct msr_range inert_amd[] = {
    { 0xc0010000, 0xc0010007 }, /* PERF_CTL, PERF_CTR */
    { 0xc0010010, 0xc0010010 }, /* SYSCFG */
    { 0xc0010015, 0xc0010015 }, /* HWCR */
    { 0xc0010016, 0xc001001d }, /* IORR, TOP_MEM, TOM2 */
    { 0xc001001f, 0xc001001f }, /* NB_CFG */
    { 0xc0010055, 0xc0010055 }, /* interrupt pending message */
    { 0xc0011020, 0xc0011029 }, /* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
};

static _Noreturn void raise_unknown(struct cpu *cpu, const char *what, uint32_t index)
{
    log_guest(cpu->log, "cpu: %s of unknown MSR %08" PRIx32 "\n", what, index);
    cpu_raise_error(cpu, EX_GP, 0);
}

static const struct msr_field *find_field(const struct cpu *cpu, uint32_t index)
{
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].index == index && cpu_has(cpu, fields[i].feature))
            return &fields[i];
    return NULL;
}

static bool in_ranges(const struct msr_range *r, unsigned n, uint32_t index)
{
    for (unsigned i = 0; i < n; i++)
        if (index >= r[i].first && index <= r[i].last)
            return true;
    return false;
}

static bool is_inert(const struct cpu *cpu, uint32_t index)
{
    return in_ranges(inert, ARRAY_LEN(inert), index) ||
           (cpu->model->vendor == VENDOR_AMD && in_ranges(inert_amd, ARRAY_LEN(inert_amd), index));
}

/* ---- memory types ---- */

static bool valid_mtrr_type(uint64_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/* Eight types of eight bits; PAT also knows UC- (7). */
static bool valid_types(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t type = value >> i & 0xff;
        if (!valid_mtrr_type(type) && !(pat && type == 7))
            return false;
    }
    return true;
}

/* Number of a fixed-range MTRR, -1: none. */
static int mtrr_fixed(uint32_t index)
{
    static const uint16_t fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                      0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++)
        if (fixed[i] == index)
            return (int)i;
    return -1;
}

/* The field of a memory type range register, NULL: none. *mask: its valid bits. */
static uint64_t *mtrr_field(struct cpu *cpu, uint32_t index, uint64_t *mask)
{
    struct mtrr_state *m = &cpu->mtrr;
    int fixed = mtrr_fixed(index);
    unsigned i = (index - MSR_MTRR_PHYSBASE0) / 2;

    if (!cpu_has(cpu, FEAT_MTRR))
        return NULL;
    *mask = UINT64_MAX;
    if (fixed >= 0)
        return &m->cap_fixed[fixed];
    if (index == MSR_MTRR_DEF_TYPE) {
        *mask = 0xcff;
        return &m->def_type;
    }
    if (index < MSR_MTRR_PHYSBASE0 || index > MSR_MTRR_PHYSMASK7)
        return NULL;
    *mask = (PHYS_MASK & ~MASK(12)) | (index & 1 ? BIT(11) : 0xff);
    return index & 1 ? &m->mask[i] : &m->base[i];
}

static bool mtrr_valid(uint32_t index, uint64_t value)
{
    bool is_mask = index >= MSR_MTRR_PHYSBASE0 && index <= MSR_MTRR_PHYSMASK7 && (index & 1);

    return mtrr_fixed(index) >= 0 ? valid_types(value, false) : is_mask || valid_mtrr_type(value & 0xff);
}

/* ---- registers of their own kind ---- */

static bool has_efer(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_SYSCALL) || cpu_has(cpu, FEAT_NX) || cpu_has(cpu, FEAT_LM);
}

static void write_efer(struct cpu *cpu, uint64_t value)
{
    uint64_t writable = (cpu_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0) | (cpu_has(cpu, FEAT_LM) ? EFER_LME : 0) |
                        (cpu_has(cpu, FEAT_NX) ? EFER_NXE : 0);
    uint64_t changed = (cpu->efer ^ value) & writable;

    if (value & ~(writable | EFER_LMA))
        cpu_raise_error(cpu, EX_GP, 0);
    if ((changed & EFER_LME) && (cpu->cr0 & CR0_PG))
        cpu_raise_error(cpu, EX_GP, 0);
    cpu->efer ^= changed;
    if (changed & EFER_NXE)
        mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

static uint64_t read_apic_base(struct cpu *cpu)
{
    uint64_t v;

    pthread_mutex_lock(cpu->bus.lock);
    v = cpu->bus.apic_base(cpu->bus.opaque);
    pthread_mutex_unlock(cpu->bus.lock);
    return v;
}

static void write_apic_base(struct cpu *cpu, uint64_t value)
{
    bool ok;

    pthread_mutex_lock(cpu->bus.lock);
    ok = cpu->bus.set_apic_base(cpu->bus.opaque, value);
    pthread_mutex_unlock(cpu->bus.lock);
    if (!ok)
        cpu_raise_error(cpu, EX_GP, 0);
}

uint64_t cpu_read_msr(struct cpu *cpu, uint32_t index)
{
    const struct msr_field *f = find_field(cpu, index);
    uint64_t mask, *mtrr = mtrr_field(cpu, index, &mask);

    if (f)
        return *(uint64_t *)((char *)cpu + f->offset);
    if (mtrr)
        return *mtrr;
    if (index == MSR_TSC)
        return cpu_tsc(cpu);
    if (index == MSR_APIC_BASE && cpu_has(cpu, FEAT_APIC))
        return read_apic_base(cpu);
    if (index == MSR_MTRRCAP && cpu_has(cpu, FEAT_MTRR))
        return MTRRCAP;
    if (index == MSR_MISC_ENABLE)
        return cpu->misc_enable;
    if (index == MSR_EFER && has_efer(cpu))
        return cpu->efer;
    if (!is_inert(cpu, index))
        raise_unknown(cpu, "read", index);
    return 0;
}

static bool field_valid(const struct msr_field *f, uint64_t value)
{
    switch (f->check) {
    case CHECK_CANONICAL:
        return canonical(value);
    case CHECK_LOW32:
        return !(value >> 32);
    case CHECK_PAT:
        return valid_types(value, true);
    default:
        return true;
    }
}

static void write_checked(struct cpu *cpu, uint64_t *field, uint64_t value, bool valid)
{
    if (!valid)
        cpu_raise_error(cpu, EX_GP, 0);
    *field = value;
}

void cpu_write_msr(struct cpu *cpu, uint32_t index, uint64_t value)
{
    const struct msr_field *f = find_field(cpu, index);
    uint64_t mask = 0, *mtrr = mtrr_field(cpu, index, &mask);

    if (f)
        write_checked(cpu, (uint64_t *)((char *)cpu + f->offset), value, field_valid(f, value));
    else if (mtrr)
        write_checked(cpu, mtrr, value, !(value & ~mask) && mtrr_valid(index, value));
    else if (index == MSR_TSC)
        cpu->tsc_offset += value - cpu_tsc(cpu);
    else if (index == MSR_APIC_BASE && cpu_has(cpu, FEAT_APIC))
        write_apic_base(cpu, value);
    else if (index == MSR_MISC_ENABLE)
        cpu->misc_enable =
            (cpu->misc_enable & ~(uint64_t)MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
    else if (index == MSR_EFER && has_efer(cpu))
        write_efer(cpu, value);
    else if (!is_inert(cpu, index))
        raise_unknown(cpu, "write", index);
}
