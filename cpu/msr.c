/* Model-specific registers: SDM vol. 4, chapter 2; AMD64 manual vol. 2, appendix A. */
#include "cpu/strict.h"

#include <inttypes.h>

enum {
    MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_APIC_BASE = 0x1b, MSR_MTRRCAP = 0xfe, MSR_PAT = 0x277,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff,
    MSR_MTRR_PHYSBASE0 = 0x200, MSR_MTRR_PHYSMASK7 = 0x20f, MSR_MTRR_DEF_TYPE = 0x2ff,
};
#define MSR_EFER UINT32_C(0xc0000080)

#define MTRRCAP 0x508 /* 8 variable ranges, fixed ranges, write combining */
#define MISC_ENABLE_WRITABLE 0x9
#define MISC_ENABLE_MONITOR BIT(18)
#define PHYS_MASK MASK(40)

/* What a value must be like, else #GP(0). */
enum msr_check {
    CHECK_NONE, CHECK_CANONICAL, CHECK_LOW32, CHECK_PAT, CHECK_ZERO, CHECK_LOW3, CHECK_ALL_OR_NONE,
    CHECK_READ_ONLY,
};

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
    FIELD(0x17a, mcg_status, MCA, LOW3),
    FIELD(0x17b, mcg_ctl, MCA, ALL_OR_NONE),
    FIELD(MSR_PAT, pat, PAT, PAT),
    FIELD(0x400, mc_ctl[0], MCA, ALL_OR_NONE),
    FIELD(0x404, mc_ctl[1], MCA, ALL_OR_NONE),
    FIELD(0x408, mc_ctl[2], MCA, ALL_OR_NONE),
    FIELD(0x40c, mc_ctl[3], MCA, ALL_OR_NONE),
    FIELD(0xda0, xss, XSAVES, ZERO), /* no supervisor state component exists */
    FIELD(0xc0000081, star, SYSCALL, NONE),
    FIELD(0xc0000082, lstar, LM, CANONICAL),
    FIELD(0xc0000083, cstar, LM, CANONICAL),
    FIELD(0xc0000084, sfmask, LM, LOW32),
    FIELD(0xc0000100, seg[S_FS].base, LM, CANONICAL),
    FIELD(0xc0000101, seg[S_GS].base, LM, CANONICAL),
    FIELD(0xc0000102, kernel_gs_base, LM, CANONICAL),
    FIELD(0xc0000103, tsc_aux, RDTSCP, LOW32),
    FIELD(0xc0000103, tsc_aux, RDPID, LOW32),
};

/* Registers whose value does not change. Writes that the check allows have no effect. */
enum { INTEL = 1 << VENDOR_INTEL, AMD = 1 << VENDOR_AMD, ANY_VENDOR = INTEL | AMD };

struct msr_fixed {
    uint32_t first, last;
    uint64_t value;
    uint8_t vendors;
    uint8_t feature;
    uint8_t check;
};

#define MCG_CAP (CPU_MC_BANKS | 0x100) /* IA32_MCG_CTL exists */

static const struct msr_fixed fixed[] = {
    { 0x0, 0x1, 0, INTEL, FEAT_MCE, CHECK_NONE },                   /* P5_MC_ADDR, P5_MC_TYPE */
    { 0x17, 0x17, 0, INTEL, FEAT_MTRR, CHECK_READ_ONLY },           /* IA32_PLATFORM_ID */
    { 0x2a, 0x2a, 0, INTEL, FEAT_MTRR, CHECK_NONE },                /* EBL_CR_POWERON */
    { 0x79, 0x79, 0, INTEL, FEAT_MTRR, CHECK_NONE },                /* IA32_BIOS_UPDT_TRIG */
    { 0x8b, 0x8b, 0, ANY_VENDOR, FEAT_MTRR, CHECK_NONE },           /* IA32_BIOS_SIGN_ID: no microcode */
    { 0xe2, 0xe2, 0, INTEL, FEAT_MONITOR, CHECK_NONE },             /* PKG_CST_CONFIG_CONTROL */
    { 0x179, 0x179, MCG_CAP, ANY_VENDOR, FEAT_MCA, CHECK_READ_ONLY },
    { 0x1d9, 0x1d9, 0, ANY_VENDOR, FEAT_MTRR, CHECK_ZERO },         /* IA32_DEBUGCTL */
    { 0x1db, 0x1de, 0, ANY_VENDOR, FEAT_MTRR, CHECK_READ_ONLY },    /* last branch and exception: none */
    { 0x1fc, 0x1fc, 0, INTEL, FEAT_MONITOR, CHECK_NONE },           /* POWER_CTL */
    { 0x401, 0x403, 0, ANY_VENDOR, FEAT_MCA, CHECK_ZERO },          /* IA32_MC0_STATUS, ADDR, MISC */
    { 0x405, 0x407, 0, ANY_VENDOR, FEAT_MCA, CHECK_ZERO },
    { 0x409, 0x40b, 0, ANY_VENDOR, FEAT_MCA, CHECK_ZERO },
    { 0x40d, 0x40f, 0, ANY_VENDOR, FEAT_MCA, CHECK_ZERO },
    { 0xc0010000, 0xc0010007, 0, AMD, FEAT_NONE, CHECK_NONE },      /* PERF_CTL, PERF_CTR */
    { 0xc0010010, 0xc0010010, 0, AMD, FEAT_NONE, CHECK_NONE },      /* SYSCFG */
    { 0xc0010015, 0xc0010015, 0, AMD, FEAT_NONE, CHECK_NONE },      /* HWCR */
    { 0xc0010016, 0xc001001d, 0, AMD, FEAT_NONE, CHECK_NONE },      /* IORR, TOP_MEM, TOM2 */
    { 0xc001001f, 0xc001001f, 0, AMD, FEAT_NONE, CHECK_NONE },      /* NB_CFG */
    { 0xc0010055, 0xc0010055, 0, AMD, FEAT_NONE, CHECK_NONE },      /* interrupt pending message */
    { 0xc0011020, 0xc0011029, 0, AMD, FEAT_NONE, CHECK_NONE },      /* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
};

static _Noreturn void raise_unknown(struct cpu *cpu, bool write, uint32_t index)
{
    log_guest(cpu->log, "cpu: %s of unknown MSR %08" PRIx32 "\n", write ? "write" : "read", index);
    strict_msr(cpu, index, write, "the processor does not have it");
    cpu_raise_error(cpu, EX_GP, 0);
}

static const struct msr_field *find_field(const struct cpu *cpu, uint32_t index)
{
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].index == index && cpu_has(cpu, fields[i].feature))
            return &fields[i];
    return NULL;
}

static const struct msr_fixed *find_fixed(const struct cpu *cpu, uint32_t index)
{
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++)
        if (index >= fixed[i].first && index <= fixed[i].last && cpu_has(cpu, fixed[i].feature) &&
            (fixed[i].vendors >> cpu->model->vendor & 1))
            return &fixed[i];
    return NULL;
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
    static const uint16_t number[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                       0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

    for (unsigned i = 0; i < ARRAY_LEN(number); i++)
        if (number[i] == index)
            return (int)i;
    return -1;
}

/* The field of a memory type range register, NULL: none. *mask: its valid bits. */
static uint64_t *mtrr_field(struct cpu *cpu, uint32_t index, uint64_t *mask)
{
    struct mtrr_state *m = &cpu->mtrr;
    int number = mtrr_fixed(index);
    unsigned i = (index - MSR_MTRR_PHYSBASE0) / 2;

    if (!cpu_has(cpu, FEAT_MTRR))
        return NULL;
    *mask = UINT64_MAX;
    if (number >= 0)
        return &m->cap_fixed[number];
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

static uint64_t read_efer(struct cpu *cpu, uint32_t index)
{
    (void)index;
    return cpu->efer;
}

static void write_efer(struct cpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t writable = (cpu_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0) | (cpu_has(cpu, FEAT_LM) ? EFER_LME : 0) |
                        (cpu_has(cpu, FEAT_NX) ? EFER_NXE : 0);
    uint64_t changed = (cpu->efer ^ value) & writable;

    (void)index;
    strict_reserved(cpu, "EFER", value, ~(writable | EFER_LMA), true);
    if (value & ~(writable | EFER_LMA))
        cpu_raise_error(cpu, EX_GP, 0);
    if ((changed & EFER_LME) && (cpu->cr0 & CR0_PG))
        cpu_raise_error(cpu, EX_GP, 0);
    cpu->efer ^= changed;
    if (changed & EFER_NXE)
        mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

#define APIC_BASE_EXTD BIT(10)

static bool has_apic(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_APIC);
}

static uint64_t read_apic_base(struct cpu *cpu, uint32_t index)
{
    uint64_t v;

    (void)index;
    cpu_lock(cpu);
    v = cpu->bus.apic_base(cpu->bus.opaque);
    cpu_unlock(cpu);
    return v;
}

static void write_apic_base(struct cpu *cpu, uint32_t index, uint64_t value)
{
    bool ok;

    (void)index;
    if ((value & APIC_BASE_EXTD) && !cpu_has(cpu, FEAT_X2APIC))
        cpu_raise_error(cpu, EX_GP, 0);
    cpu_lock(cpu);
    ok = cpu->bus.set_apic_base(cpu->bus.opaque, value);
    cpu_unlock(cpu);
    if (!ok)
        cpu_raise_error(cpu, EX_GP, 0);
}

static bool has_x2apic(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_X2APIC) && cpu->bus.read_x2apic;
}

static uint64_t read_x2apic(struct cpu *cpu, uint32_t index)
{
    uint64_t v;
    bool ok;

    cpu_lock(cpu);
    ok = cpu->bus.read_x2apic(cpu->bus.opaque, index - MSR_X2APIC, &v);
    cpu_unlock(cpu);
    if (!ok)
        cpu_raise_error(cpu, EX_GP, 0);
    return v;
}

static void write_x2apic(struct cpu *cpu, uint32_t index, uint64_t value)
{
    bool ok;

    cpu_lock(cpu);
    ok = cpu->bus.write_x2apic(cpu->bus.opaque, index - MSR_X2APIC, value);
    cpu_unlock(cpu);
    if (!ok)
        cpu_raise_error(cpu, EX_GP, 0);
}

static bool has_tsc_deadline(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_TSC_DEADLINE) && cpu->bus.tsc_deadline;
}

static uint64_t read_tsc_deadline(struct cpu *cpu, uint32_t index)
{
    uint64_t v;

    (void)index;
    cpu_lock(cpu);
    v = cpu->bus.tsc_deadline(cpu->bus.opaque);
    cpu_unlock(cpu);
    return v;
}

/* A deadline in the past is now; the counter takes longer to a far one than virtual time lasts. */
static void write_tsc_deadline(struct cpu *cpu, uint32_t index, uint64_t deadline)
{
    int64_t now = cpu->bus.now(cpu->bus.opaque);
    uint64_t tsc = (uint64_t)now + cpu->tsc_offset, left = deadline > tsc ? deadline - tsc : 0;

    (void)index;
    cpu_lock(cpu);
    cpu->bus.set_tsc_deadline(cpu->bus.opaque, deadline, now + (int64_t)MIN_OF(left, (uint64_t)(INT64_MAX - now)));
    cpu_unlock(cpu);
}

static bool has_tsc(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_TSC);
}

static uint64_t read_tsc(struct cpu *cpu, uint32_t index)
{
    (void)index;
    return cpu_tsc(cpu);
}

/* IA32_TSC_ADJUST follows (SDM vol. 3, 18.17.3). */
static void move_tsc(struct cpu *cpu, uint64_t delta)
{
    cpu->tsc_offset += delta;
    cpu->tsc_adjust += delta;
    if (has_tsc_deadline(cpu) && read_tsc_deadline(cpu, MSR_TSC_DEADLINE))
        write_tsc_deadline(cpu, MSR_TSC_DEADLINE, read_tsc_deadline(cpu, MSR_TSC_DEADLINE));
}

static void write_tsc(struct cpu *cpu, uint32_t index, uint64_t value)
{
    (void)index;
    move_tsc(cpu, value - cpu_tsc(cpu));
}

static bool has_tsc_adjust(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_TSC_ADJUST);
}

static uint64_t read_tsc_adjust(struct cpu *cpu, uint32_t index)
{
    (void)index;
    return cpu->tsc_adjust;
}

static void write_tsc_adjust(struct cpu *cpu, uint32_t index, uint64_t value)
{
    (void)index;
    move_tsc(cpu, value - cpu->tsc_adjust);
}

static bool has_mtrr(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_MTRR);
}

static uint64_t read_mtrr_cap(struct cpu *cpu, uint32_t index)
{
    (void)cpu, (void)index;
    return MTRRCAP;
}

static bool has_misc_enable(const struct cpu *cpu)
{
    return cpu->model->vendor == VENDOR_INTEL && cpu_has(cpu, FEAT_MTRR);
}

static uint64_t read_misc_enable(struct cpu *cpu, uint32_t index)
{
    (void)index;
    return cpu->misc_enable | (cpu_has(cpu, FEAT_MONITOR) ? MISC_ENABLE_MONITOR : 0);
}

static void write_misc_enable(struct cpu *cpu, uint32_t index, uint64_t value)
{
    strict_msr_ignored(cpu, index, value,
                       (value ^ read_misc_enable(cpu, index)) & ~(uint64_t)MISC_ENABLE_WRITABLE);
    cpu->misc_enable = (cpu->misc_enable & ~(uint64_t)MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
}

/* ---- any register ---- */

struct msr_special {
    uint32_t first, last;
    bool (*present)(const struct cpu *cpu);
    uint64_t (*read)(struct cpu *cpu, uint32_t index);
    void (*write)(struct cpu *cpu, uint32_t index, uint64_t value); /* NULL: #GP */
};

static const struct msr_special specials[] = {
    { MSR_TSC, MSR_TSC, has_tsc, read_tsc, write_tsc },
    { MSR_TSC_ADJUST, MSR_TSC_ADJUST, has_tsc_adjust, read_tsc_adjust, write_tsc_adjust },
    { MSR_APIC_BASE, MSR_APIC_BASE, has_apic, read_apic_base, write_apic_base },
    { MSR_X2APIC, MSR_X2APIC_LAST, has_x2apic, read_x2apic, write_x2apic },
    { MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, has_tsc_deadline, read_tsc_deadline, write_tsc_deadline },
    { MSR_MTRRCAP, MSR_MTRRCAP, has_mtrr, read_mtrr_cap, NULL },
    { MSR_MISC_ENABLE, MSR_MISC_ENABLE, has_misc_enable, read_misc_enable, write_misc_enable },
    { MSR_EFER, MSR_EFER, has_efer, read_efer, write_efer },
};

static const struct msr_special *find_special(const struct cpu *cpu, uint32_t index)
{
    for (unsigned i = 0; i < ARRAY_LEN(specials); i++)
        if (index >= specials[i].first && index <= specials[i].last && specials[i].present(cpu))
            return &specials[i];
    return NULL;
}

uint64_t cpu_read_msr(struct cpu *cpu, uint32_t index)
{
    const struct msr_field *f = find_field(cpu, index);
    const struct msr_special *special = f ? NULL : find_special(cpu, index);
    const struct msr_fixed *constant;
    uint64_t mask, *mtrr;

    if (f)
        return *(uint64_t *)((char *)cpu + f->offset);
    if (special)
        return special->read(cpu, index);
    mtrr = mtrr_field(cpu, index, &mask);
    if (mtrr)
        return *mtrr;
    constant = find_fixed(cpu, index);
    if (!constant)
        raise_unknown(cpu, false, index);
    return constant->value;
}

static bool value_valid(const struct cpu *cpu, enum msr_check check, uint64_t value)
{
    switch (check) {
    case CHECK_CANONICAL:
        return cpu_canonical_base(cpu, value);
    case CHECK_LOW32:
        return !(value >> 32);
    case CHECK_PAT:
        return valid_types(value, true);
    case CHECK_ZERO:
        return !value;
    case CHECK_LOW3:
        return !(value >> 3);
    case CHECK_ALL_OR_NONE:
        return !value || !~value;
    case CHECK_READ_ONLY:
        return false;
    default:
        return true;
    }
}

static _Noreturn void raise_value(struct cpu *cpu, uint32_t index, const char *why)
{
    strict_msr(cpu, index, true, why);
    cpu_raise_error(cpu, EX_GP, 0);
}

static void write_checked(struct cpu *cpu, uint32_t index, uint64_t *field, uint64_t value, bool valid)
{
    if (!valid)
        raise_value(cpu, index, "reserved bits, or a value that is not allowed");
    *field = value;
}

static void write_fixed(struct cpu *cpu, uint32_t index, const struct msr_fixed *constant, uint64_t value)
{
    if (constant->check == CHECK_READ_ONLY)
        raise_value(cpu, index, "it is read-only");
    if (!value_valid(cpu, constant->check, value))
        raise_value(cpu, index, "only 0 may be written");
    strict_msr_ignored(cpu, index, value, value ^ constant->value);
}

/* Those that are neither in a field nor of their own kind. */
static void write_other(struct cpu *cpu, uint32_t index, uint64_t value)
{
    const struct msr_fixed *constant = find_fixed(cpu, index);
    uint64_t mask = 0, *mtrr = mtrr_field(cpu, index, &mask);

    if (mtrr)
        write_checked(cpu, index, mtrr, value, !(value & ~mask) && mtrr_valid(index, value));
    else if (constant)
        write_fixed(cpu, index, constant, value);
    else
        raise_unknown(cpu, true, index);
}

void cpu_write_msr(struct cpu *cpu, uint32_t index, uint64_t value)
{
    const struct msr_field *f = find_field(cpu, index);
    const struct msr_special *special = f ? NULL : find_special(cpu, index);

    if (f)
        write_checked(cpu, index, (uint64_t *)((char *)cpu + f->offset), value, value_valid(cpu, f->check, value));
    else if (special && special->write)
        special->write(cpu, index, value);
    else if (special)
        raise_value(cpu, index, "it is read-only");
    else
        write_other(cpu, index, value);
}
