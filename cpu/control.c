/* Control registers: SDM vol. 3, 2.5, 4.1, 4.10.4.1 (what flushes the TLB) and 10.8.5 (switching IA-32e
 * mode); MOV CR in vol. 2. */
#include "cpu/helpers.h"
#include "cpu/strict.h"
#include "cpu/x87.h"

#define CR0_WRITABLE \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | (uint64_t)CR0_PG)
#define PHYS_BITS 40
#define CR3_PCID MASK(12)
#define CR3_KEEP BIT(63) /* of the value written: with CR4.PCIDE, the TLB need not be flushed */

static _Noreturn void raise_gp(struct cpu *cpu)
{
    cpu_raise_error(cpu, EX_GP, 0);
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME);
}

/* A 16-bit TSS cannot be used in long mode. */
static bool tr_is_16bit(const struct cpu *cpu)
{
    const struct segment *tr = &cpu->seg[S_TR];

    return (tr->attr & ATTR_P) && !(tr->attr & 8);
}

static void check_paging_on(struct cpu *cpu, uint64_t value)
{
    if (cpu->efer & EFER_LME) {
        if (!(cpu->cr4 & CR4_PAE) || (cpu->seg[S_CS].attr & ATTR_L) || tr_is_16bit(cpu))
            raise_gp(cpu);
    } else if (pae_paging(value, cpu->cr4, cpu->efer)) {
        mmu_load_pdptes(cpu, cpu->cr3);
    }
}

static void check_cr0(struct cpu *cpu, uint64_t value, uint64_t changed)
{
    strict_reserved(cpu, "CR0", value, ~(CR0_WRITABLE | CR0_ET), value >> 32);
    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        raise_gp(cpu);
    if ((changed & CR0_PG) && !(value & CR0_PG) && (cpu_code64(cpu) || (cpu->cr4 & CR4_PCIDE)))
        raise_gp(cpu);
    if (changed & value & CR0_PG)
        check_paging_on(cpu, value);
    else if ((changed & (CR0_CD | CR0_NW)) && pae_paging(value, cpu->cr4, cpu->efer))
        mmu_load_pdptes(cpu, cpu->cr3);
}

void cpu_write_cr0(struct cpu *cpu, uint64_t value)
{
    uint64_t old = cpu->cr0, changed = (old ^ value) & CR0_WRITABLE;

    check_cr0(cpu, value, changed);
    value = (value & CR0_WRITABLE) | CR0_ET;
    cpu->cr0 = value;
    if ((value & CR0_PG) && (cpu->efer & EFER_LME))
        cpu->efer |= EFER_LMA;
    else
        cpu->efer &= ~(uint64_t)EFER_LMA;
    if (changed & old & CR0_PE)
        seg_enter_real(cpu);
    if ((changed & CR0_PG) || ((value & CR0_PG) && (changed & CR0_WP)))
        mmu_flush(cpu, true);
    if (changed & CR0_PG)
        strict_flush(cpu);
    cpu_update_mode(cpu);
    fpu_update_pending(cpu); /* CR0.NE */
}

void cpu_write_cr3(struct cpu *cpu, uint64_t value)
{
    uint64_t written = value;

    if (!cpu_long_mode(cpu))
        value &= UINT32_MAX;
    if (cpu->cr4 & CR4_PCIDE)
        value &= ~CR3_KEEP;
    strict_reserved(cpu, "CR3", value, ~MASK(PHYS_BITS), true);
    if (value & ~MASK(PHYS_BITS))
        raise_gp(cpu);
    if (pae_paging(cpu->cr0, cpu->cr4, cpu->efer))
        mmu_load_pdptes(cpu, value);
    if (cpu->cr4 & CR4_PCIDE) {
        spaces_switch(cpu, value, written & CR3_KEEP);
    } else {
        cpu->cr3 = value;
        mmu_flush(cpu, false);
    }
    strict_cr3(cpu, written);
}

uint64_t cpu_cr4_writable(const struct cpu *cpu)
{
    static const struct { uint8_t feature; uint32_t bits; } map[] = {
        { FEAT_VME, CR4_VME | CR4_PVI }, { FEAT_TSC, CR4_TSD }, { FEAT_DE, CR4_DE }, { FEAT_PSE, CR4_PSE },
        { FEAT_PAE, CR4_PAE }, { FEAT_MCE, CR4_MCE }, { FEAT_PGE, CR4_PGE }, { FEAT_MMX, CR4_PCE },
        { FEAT_FXSR, CR4_OSFXSR }, { FEAT_SSE, CR4_OSXMMEXCPT }, { FEAT_UMIP, CR4_UMIP },
        { FEAT_LA57, CR4_LA57 }, { FEAT_FSGSBASE, CR4_FSGSBASE }, { FEAT_PCID, CR4_PCIDE },
        { FEAT_XSAVE, CR4_OSXSAVE }, { FEAT_SMEP, CR4_SMEP }, { FEAT_SMAP, CR4_SMAP }, { FEAT_PKU, CR4_PKE },
    };
    uint64_t bits = 0;

    for (unsigned i = 0; i < ARRAY_LEN(map); i++)
        if (cpu_has(cpu, map[i].feature))
            bits |= map[i].bits;
    return bits;
}

/* What the paging mode forbids, MOV to control registers in vol. 2. */
static bool cr4_forbidden(const struct cpu *cpu, uint64_t value, uint64_t changed)
{
    if (cpu_long_mode(cpu))
        return !(value & CR4_PAE) || (changed & CR4_LA57) ||
               ((changed & value & CR4_PCIDE) && (cpu->cr3 & CR3_PCID));
    return changed & value & CR4_PCIDE;
}

void cpu_write_cr4(struct cpu *cpu, uint64_t value)
{
    const uint64_t loads_pdptes = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP;
    const uint64_t flushes = loads_pdptes | CR4_SMAP | CR4_PKE | CR4_LA57 | CR4_PCIDE;
    uint64_t changed = cpu->cr4 ^ value;

    strict_reserved(cpu, "CR4", value, ~cpu_cr4_writable(cpu), true);
    if ((value & ~cpu_cr4_writable(cpu)) || cr4_forbidden(cpu, value, changed))
        raise_gp(cpu);
    if ((changed & loads_pdptes) && pae_paging(cpu->cr0, value, cpu->efer))
        mmu_load_pdptes(cpu, cpu->cr3);
    cpu->cr4 = value;
    if (changed & flushes)
        mmu_flush(cpu, true);
    if ((changed & (loads_pdptes | CR4_LA57)) || (changed & ~value & CR4_PCIDE))
        strict_flush(cpu);
    cpu_update_mode(cpu);
}

/* ---- INVPCID, protection keys ---- */

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

/* Of an address in another context all that is kept of that context goes. */
uint64_t helper_invpcid(struct cpu *cpu, uint64_t type, uint64_t low, uint64_t linear)
{
    uint64_t current = cpu->cr4 & CR4_PCIDE ? cpu->cr3 & CR3_PCID : 0;
    bool by_pcid = type == INVPCID_ADDRESS || type == INVPCID_CONTEXT;

    if (type > INVPCID_ALL_BUT_GLOBAL || (low & ~CR3_PCID) || (by_pcid && low && !(cpu->cr4 & CR4_PCIDE)))
        raise_gp(cpu);
    if (type == INVPCID_ADDRESS && !cpu_canonical_base(cpu, linear))
        raise_gp(cpu);
    strict_invpcid(cpu, (unsigned)type, (unsigned)low, linear);
    if (type == INVPCID_ALL_BUT_GLOBAL)
        spaces_forget_all(cpu);
    if (by_pcid && low != current)
        spaces_forget(cpu, (unsigned)low);
    else if (type == INVPCID_ADDRESS)
        mmu_invlpg(cpu, linear);
    else
        mmu_flush(cpu, type == INVPCID_ALL);
    return 0;
}

static void check_pkru_access(struct cpu *cpu, uint64_t ecx, uint64_t edx)
{
    if (!(cpu->cr4 & CR4_PKE))
        cpu_raise_exception(cpu, EX_UD);
    if (ecx || edx)
        raise_gp(cpu);
}

uint64_t helper_rdpkru(struct cpu *cpu, uint64_t ecx)
{
    check_pkru_access(cpu, ecx, 0);
    return cpu->pkru;
}

uint64_t helper_wrpkru(struct cpu *cpu, uint64_t eax, uint64_t ecx, uint64_t edx)
{
    check_pkru_access(cpu, ecx, edx);
    cpu_set_pkru(cpu, (uint32_t)eax);
    return 0;
}
