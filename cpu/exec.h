/* What the files of the run loop share: events.c, blocks.c, exec.c. */
#ifndef MIMUS_CPU_EXEC_H
#define MIMUS_CPU_EXEC_H

#include "cpu/digest.h"
#include "cpu/state.h"

static inline uint64_t linear_pc(const struct cpu *cpu)
{
    uint64_t pc = cpu->code_base + cpu->rip;
    return cpu_code64(cpu) ? pc : pc & UINT32_MAX;
}

/* With blocks logged one by one, each must come back to the run loop. */
static inline bool logging_blocks(const struct cpu *cpu)
{
    return log_enabled(cpu->log, LOG_EXEC | LOG_CPU);
}

/* The run loop has something to do after each block, in a stepped mode or before it: translated code must not find its
 * way into this one by itself. */
static inline bool watching_blocks(const struct cpu *cpu)
{
    return (cpu->mode & MODE_STEPPED) || logging_blocks(cpu) || cpu->strict || cpu->digest;
}

/* ---- events.c ---- */

/* NOTHING: the processor is where it was. EVENT: it may be elsewhere, and may be halted. */
enum served { SERVED_NOTHING, SERVED_EVENT, SERVED_STOP };
enum served cpu_serve_events(struct cpu *cpu);
/* Is there anything for it to do? */
static inline bool something_waits(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) || cpu->halted || cpu->shutdown ||
           atomic_load_explicit(&cpu->pins, memory_order_relaxed);
}
/* Of a processor in MWAIT: has what ends the wait happened? And go on behind it. */
bool cpu_mwait_over(struct cpu *cpu);
void cpu_leave_mwait(struct cpu *cpu);
/* In the middle of a block, of a processor that is alone: let up to `ns` (less than a second) go by, or less if
 * somebody wants it. */
void cpu_doze(struct cpu *cpu, int64_t ns);

/* ---- blocks.c ---- */

/* The block to run next. Raises what fetching its first instruction raises. */
struct tcg_block *cpu_find_block(struct cpu *cpu);

#endif
