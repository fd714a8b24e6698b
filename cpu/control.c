/* Control registers: SDM vol. 3, 2.5, 4.1 and 10.8.5 (switching IA-32e mode); MOV CR in vol. 2. */
#include "cpu/sys.h"
#include "cpu/x87.h"

#define CR0_WRITABLE \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | (uint64_t)CR0_PG)
#define PHYS_BITS 40

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

void cpu_write_cr0(struct cpu *cpu, uint64_t value)
{
    uint64_t old = cpu->cr0, changed;

    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        raise_gp(cpu);
    value = (value & CR0_WRITABLE) | CR0_ET;
    changed = old ^ value;
    if (changed & value & CR0_PG)
        check_paging_on(cpu, value);
    if ((changed & old & CR0_PG) && cpu_code64(cpu))
        raise_gp(cpu);
    cpu->cr0 = value;
    if ((value & CR0_PG) && (cpu->efer & EFER_LME))
        cpu->efer |= EFER_LMA;
    else
        cpu->efer &= ~(uint64_t)EFER_LMA;
    if (changed & old & CR0_PE)
        seg_enter_real(cpu);
    if ((changed & CR0_PG) || ((value & CR0_PG) && (changed & CR0_WP)))
        mmu_flush(cpu, true);
    cpu_update_mode(cpu);
    fpu_update_pending(cpu); /* CR0.NE */
}

void cpu_write_cr3(struct cpu *cpu, uint64_t value)
{
    if (!cpu_long_mode(cpu))
        value &= UINT32_MAX;
    if (value & ~MASK(PHYS_BITS))
        raise_gp(cpu);
    if (pae_paging(cpu->cr0, cpu->cr4, cpu->efer))
        mmu_load_pdptes(cpu, value);
    cpu->cr3 = value;
    mmu_flush(cpu, false);
}

static uint64_t cr4_writable(const struct cpu *cpu)
{
    static const struct { uint8_t feature; uint32_t bits; } map[] = {
        { FEAT_VME, CR4_VME | CR4_PVI }, { FEAT_TSC, CR4_TSD }, { FEAT_DE, CR4_DE }, { FEAT_PSE, CR4_PSE },
        { FEAT_PAE, CR4_PAE }, { FEAT_MCE, CR4_MCE }, { FEAT_PGE, CR4_PGE }, { FEAT_MMX, CR4_PCE },
        { FEAT_FXSR, CR4_OSFXSR }, { FEAT_SSE, CR4_OSXMMEXCPT },
    };
    uint64_t bits = 0;

    for (unsigned i = 0; i < ARRAY_LEN(map); i++)
        if (cpu_has(cpu, map[i].feature))
            bits |= map[i].bits;
    return bits;
}

void cpu_write_cr4(struct cpu *cpu, uint64_t value)
{
    uint64_t changed = cpu->cr4 ^ value;
    bool paging = changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP);

    if (value & ~cr4_writable(cpu))
        raise_gp(cpu);
    if (cpu_long_mode(cpu) && !(value & CR4_PAE))
        raise_gp(cpu);
    if (paging && pae_paging(cpu->cr0, value, cpu->efer))
        mmu_load_pdptes(cpu, cpu->cr3);
    cpu->cr4 = value;
    if (paging)
        mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}
