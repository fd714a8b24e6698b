/* What processors of one machine have to do with each other: waiting, start-up, topology. */
#include <string.h>

#include "base/lock.h"
#include "cpu/sys.h"

/* ---- the machine lock ---- */

void cpu_lock(struct cpu *cpu)
{
    lock_take(cpu->bus.lock);
    if (cpu->bus.accessor)
        *cpu->bus.accessor = cpu->opt.index;
}

void cpu_unlock(struct cpu *cpu)
{
    lock_release(cpu->bus.lock);
}

/* ---- topology: SDM vol. 3, 9.9 ---- */

static unsigned bits_for(unsigned n)
{
    unsigned bits = 0;

    while (n > 1u << bits)
        bits++;
    return bits;
}

uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index)
{
    unsigned threads = MAX_OF(t->threads, 1u), cores = MAX_OF(t->cores, 1u);
    unsigned core_shift = bits_for(threads), package_shift = core_shift + bits_for(cores);

    return index / (threads * cores) << package_shift | index / threads % cores << core_shift | index % threads;
}

unsigned cpu_index(const struct cpu *cpu)
{
    return cpu->opt.index;
}

const char *cpu_state_name(const struct cpu *cpu)
{
    static const char *const waits[] = {
        [HALT_NONE] = "running", [HALT_HLT] = "halted", [HALT_MWAIT] = "halted", [HALT_MWAIT_MASKED] = "halted",
        [HALT_SIPI] = "waiting for SIPI",
    };

    return cpu->shutdown ? "shutdown" : waits[cpu->halted];
}
