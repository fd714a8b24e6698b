/* Atomic accesses of the guest that translated code does not do itself (SDM vol. 3, 9.1.2), while processors
 * run at the same time. What the host cannot do atomically this processor does alone, all others standing. */
#include "cpu/helpers.h"
#include "tcg/atomic.h"

/* All checks of the access, and the place for an operation of the host. False: no other processor runs, so a
 * load and a store do. */
static bool find_place(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem, struct atomic_place *p)
{
    if (cpu->exclusive)
        return false;
    if (!mmu_atomic_begin(cpu, addr, size, mem, p))
        cpu_restart_exclusive(cpu);
    return true;
}

uint64_t mmu_atomic(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t what)
{
    enum ir_atomic kind = (enum ir_atomic)(what >> 8);
    uint32_t mem = what & 0xff;
    struct cpu *cpu = env;
    struct atomic_place p;
    uint64_t old;

    if (find_place(cpu, addr, size, mem, &p)) {
        old = atomic_rmw(p.host, size, kind, value);
        mmu_atomic_end(cpu, &p, size);
        return old;
    }
    old = mmu_load(cpu, addr, size, mem | IR_MEM_RMW);
    mmu_store(cpu, addr, atomic_result(kind, old, value) & MASK(8 * size), size, mem);
    return old;
}

uint64_t mmu_cas(void *env, uint64_t addr, uint64_t expected, uint64_t desired, uint32_t size, uint32_t mem)
{
    struct cpu *cpu = env;
    struct atomic_place p;
    uint64_t old;

    if (find_place(cpu, addr, size, mem, &p)) {
        old = atomic_cas(p.host, size, expected, desired);
        mmu_atomic_end(cpu, &p, size);
        return old;
    }
    old = mmu_load(cpu, addr, size, mem | IR_MEM_RMW);
    mmu_store(cpu, addr, old == expected ? desired : old, size, mem);
    return old;
}

/* The old value in old[]; 1: it was RDX:RAX and is RCX:RBX now. */
static uint64_t cas16_alone(struct cpu *cpu, uint64_t addr, uint32_t mem, uint64_t old[2])
{
    bool equal;

    old[0] = mmu_load(cpu, addr, 8, mem | IR_MEM_RMW);
    old[1] = mmu_load(cpu, addr + 8, 8, mem | IR_MEM_RMW);
    equal = old[0] == cpu->gpr[R_AX] && old[1] == cpu->gpr[R_DX];
    mmu_store(cpu, addr, equal ? cpu->gpr[R_BX] : old[0], 8, mem);
    mmu_store(cpu, addr + 8, equal ? cpu->gpr[R_CX] : old[1], 8, mem);
    return equal;
}

/* LOCK CMPXCHG16B; the address is a multiple of 16. */
uint64_t helper_cmpxchg16b(struct cpu *cpu, uint64_t addr, uint64_t mem)
{
    uint64_t old[2] = { cpu->gpr[R_AX], cpu->gpr[R_DX] };
    const uint64_t desired[2] = { cpu->gpr[R_BX], cpu->gpr[R_CX] };
    struct atomic_place p;
    uint64_t equal;

    if (find_place(cpu, addr, 16, (uint32_t)mem, &p)) {
        equal = atomic_cas16(p.host, old, desired);
        mmu_atomic_end(cpu, &p, 16);
    } else {
        equal = cas16_alone(cpu, addr, (uint32_t)mem, old);
    }
    cpu->gpr[R_AX] = old[0];
    cpu->gpr[R_DX] = old[1];
    return equal;
}

/* Where the host cannot do it atomically nobody else changes the byte: ROM. */
void mmu_change_super(struct cpu *cpu, uint64_t addr, enum ir_atomic kind, uint8_t value)
{
    struct atomic_place p;

    if (cpu->opt.parallel && mmu_atomic_begin(cpu, addr, 1, IR_MEM_SUPER, &p)) {
        atomic_rmw(p.host, 1, kind, value);
        mmu_atomic_end(cpu, &p, 1);
        return;
    }
    mmu_store_super(cpu, addr, atomic_result(kind, mmu_load_super(cpu, addr, 1), value), 1);
}
