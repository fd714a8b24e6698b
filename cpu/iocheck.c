/* The I/O permission and interrupt redirection maps of the TSS: SDM vol. 1, 19.5.2; vol. 3, 21.3.3. */
#include "cpu/sys.h"

#define TSS_IOMAP 102 /* offset of the I/O map base address */

/* Offset of the I/O map in the TSS. False: the TSS has none. */
static bool iomap_base(struct cpu *cpu, unsigned *base)
{
    const struct segment *tr = &cpu->seg[S_TR];

    if (!(tr->attr & ATTR_P) || (tr->attr & (ATTR_TYPE & ~SYS_BUSY)) != SYS_TSS || tr->limit < TSS_IOMAP + 1)
        return false;
    *base = (unsigned)mmu_load_super(cpu, tr->base + TSS_IOMAP, 2);
    return true;
}

static bool iomap_allows(struct cpu *cpu, uint16_t port, unsigned size)
{
    const struct segment *tr = &cpu->seg[S_TR];
    unsigned base;
    uint64_t bits;

    if (!iomap_base(cpu, &base) || base + port / 8 + 1 > tr->limit)
        return false;
    bits = mmu_load_super(cpu, tr->base + base + port / 8, 2);
    return !(bits >> (port & 7) & MASK(size));
}

void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size)
{
    if (!(cpu->mode & MODE_PE))
        return;
    if (!(cpu->mode & MODE_VM) && cpu_cpl(cpu) <= cpu_iopl(cpu))
        return;
    if (!iomap_allows(cpu, port, size))
        cpu_raise_error(cpu, EX_GP, 0);
}

/* The redirection map is the 32 bytes below the I/O map; a clear bit sends INT n to the program itself. */
bool int_redirected(struct cpu *cpu, unsigned vector)
{
    const struct segment *tr = &cpu->seg[S_TR];
    unsigned base, at;

    if (!(cpu->cr4 & CR4_VME))
        return false;
    if (!iomap_base(cpu, &base) || base < 32 || base - 32 + vector / 8 > tr->limit)
        cpu_raise_error(cpu, EX_GP, 0);
    at = base - 32 + vector / 8;
    return !(mmu_load_super(cpu, tr->base + at, 1) >> (vector & 7) & 1);
}

/* SDM vol. 3, 21.3.2. VIF and VIP are in use with IOPL < 3 only. */
void check_virtual_interrupt(struct cpu *cpu)
{
    bool pending = (cpu->eflags & (FL_VIF | FL_VIP)) == (FL_VIF | FL_VIP);

    if (!pending || !(cpu->mode & MODE_VM) || !(cpu->cr4 & CR4_VME) || cpu_iopl(cpu) == 3)
        return;
    cpu_leave_block(cpu);
    cpu_raise_error(cpu, EX_GP, 0);
}
