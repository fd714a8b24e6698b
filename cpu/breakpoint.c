/* Breakpoints on data and ports (SDM vol. 3, 17.2): traps after the instruction that hit them.
 *
 * Pages with a data breakpoint are kept off the fast path of memory accesses.
 * A hit inside a longer block leaves it before the access: the instruction runs
 * again as a block of its own, after which the run loop raises #DB. */
#include "cpu/state.h"

enum { RW_EXECUTE, RW_WRITE, RW_IO, RW_ACCESS };

static unsigned dr7_rw(const struct cpu *cpu, unsigned i)
{
    return cpu->dr[7] >> (16 + 4 * i) & 3;
}

/* LEN field: 1, 2, 8 or 4 bytes. */
static uint64_t dr7_len(const struct cpu *cpu, unsigned i)
{
    static const uint8_t len[4] = { 1, 2, 8, 4 };
    return len[cpu->dr[7] >> (18 + 4 * i) & 3];
}

static bool enabled(const struct cpu *cpu, unsigned i)
{
    return cpu->dr[7] >> (2 * i) & 3;
}

static bool overlaps(const struct cpu *cpu, unsigned i, uint64_t addr, uint64_t size)
{
    uint64_t len = dr7_len(cpu, i), at = cpu->dr[i] & ~(len - 1);

    return addr < at + len && addr + size > at;
}

bool cpu_data_breakpoint_in(const struct cpu *cpu, uint64_t addr, uint64_t size)
{
    for (unsigned i = 0; i < 4; i++)
        if (enabled(cpu, i) && (dr7_rw(cpu, i) & RW_WRITE) && overlaps(cpu, i, addr, size))
            return true;
    return false;
}

/* The #DB comes after this instruction; alone in its block it ends at once. */
static void hit_breakpoints(struct cpu *cpu, uint32_t hit)
{
    struct tcg_block *blk = cpu->in_block ? tcg_current(cpu->tcg, cpu) : NULL;

    if (blk && !blk->one_insn)
        cpu_restart_one(cpu);
    cpu->dr6_pending |= hit;
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_RELAXED);
}

void cpu_check_data_breakpoints(struct cpu *cpu, uint64_t addr, uint64_t size, bool write)
{
    uint32_t hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned rw = dr7_rw(cpu, i);
        if (enabled(cpu, i) && (rw == RW_ACCESS || (rw == RW_WRITE && write)) && overlaps(cpu, i, addr, size))
            hit |= 1u << i;
    }
    if (hit)
        hit_breakpoints(cpu, hit);
}

void cpu_check_io_breakpoints(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint32_t hit = 0;

    if (!(cpu->cr4 & CR4_DE))
        return;
    for (unsigned i = 0; i < 4; i++)
        if (enabled(cpu, i) && dr7_rw(cpu, i) == RW_IO && overlaps(cpu, i, port, size))
            hit |= 1u << i;
    if (hit)
        hit_breakpoints(cpu, hit);
}
