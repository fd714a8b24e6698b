/* What processors of one machine have to do with each other.
 *
 * Each runs on a thread of its own, with a TLB of its own. `where` says what others may count on:
 *   RUNS     guest code and helpers, with what the TLB held at the latest look at the requests;
 *   WAITS    within a helper, for the machine lock: touches no guest memory, and looks at the requests before it does;
 *   OUTSIDE  in the run loop, halted or stopped: holds no pointer to a block either.
 * So who wants something of all others asks (cpu_sync_others) or wants the machine for himself (cpu_exclusive_begin),
 * and waits only for those that run; they look after each block. A thread that waits for others is outside itself. */
#ifndef MIMUS_CPU_SMP_H
#define MIMUS_CPU_SMP_H

#include "cpu/state.h"

struct cpu_group {
    struct cpu *cpu[CPU_MAX];      /* by index; NULL: not there */
    unsigned num;
    unsigned cores;                /* of the host */
    _Atomic uint32_t looking;      /* halted processors that look for events instead of sleeping */
    pthread_mutex_t lock;
    pthread_cond_t changed;        /* somebody stands, has served a request, or has ended his exclusive section */
    _Atomic uint32_t waiters;      /* threads that wait for `changed` */
    /* Under the machine lock: the processor that has it, NULL: none; and a bit for each that is to be woken when it lets
     * go. */
    struct cpu *lock_owner;
    uint64_t to_wake;
    struct cpu *exclusive;         /* who wants or has the machine for himself; under lock, as the rest */
    /* Those who sat a section out enter a block before the next one begins: else processors that want the machine again
     * and again would keep the one they wait for from ever running. */
    uint32_t sections, sitting, turns;
    _Atomic uint32_t held;         /* enum cpu_exclusive: of that section */
};

enum cpu_where { CPU_OUTSIDE, CPU_WAITS, CPU_RUNS };

/* For one instruction that the host cannot do atomically; others may wait within helpers. For a change of the cache:
 * others are outside. */
enum cpu_exclusive { EXCLUSIVE_NONE, EXCLUSIVE_INSN, EXCLUSIVE_CACHE };

/* Join the group of opt.first, or found one. 0 or -ENOMEM. */
int cpu_group_join(struct cpu *cpu);
void cpu_group_leave(struct cpu *cpu);

/* The processor's thread stops running guest code / begins again, when nobody has the machine for himself. */
void cpu_go_outside(struct cpu *cpu);
void cpu_come_back(struct cpu *cpu);
/* It enters a block, for the first time since it came back with cpu->turn set, or will not enter one: other exclusive
 * sections may begin. */
void cpu_end_turn(struct cpu *cpu);
/* To be called in the run loop when exit_request is set: stand while somebody wants it. */
void cpu_safe_point(struct cpu *cpu);

/* May this processor, one of those that are `looking`, burn time to see what others do? When one runs, and the host has
 * a core for each that runs or looks. */
bool cpu_may_look(const struct cpu *cpu);

/* All others look at the page flags before their next store: returns when they have, or will before they run. Called in
 * the run loop. */
void cpu_sync_others(struct cpu *cpu);
/* Called in the run loop. */
void cpu_exclusive_begin(struct cpu *cpu, enum cpu_exclusive why);
void cpu_exclusive_end(struct cpu *cpu);

#endif
