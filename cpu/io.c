/* Port accesses and the time-stamp counter. */
#include "cpu/state.h"

#include "memory/memory.h"

uint64_t cpu_port_in(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint64_t v;

    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_io_breakpoints(cpu, port, size);
    cpu_lock(cpu);
    v = mem_read(cpu->bus.ports, port, size);
    cpu_unlock(cpu);
    return v;
}

void cpu_port_out(struct cpu *cpu, uint16_t port, uint64_t value, unsigned size)
{
    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_io_breakpoints(cpu, port, size);
    cpu_lock(cpu);
    mem_write(cpu->bus.ports, port, value, size);
    cpu_unlock(cpu);
}

uint64_t cpu_tsc(struct cpu *cpu)
{
    return (uint64_t)cpu->bus.now(cpu->bus.opaque) + cpu->tsc_offset;
}
