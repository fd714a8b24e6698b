/* What processors of one machine have to do with each other: waiting for each other, start-up, topology. */
#include "cpu/smp.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/spin.h"
#include "cpu/sys.h"
#include "cpu/x87.h"

/* ---- the group ---- */

int cpu_group_join(struct cpu *cpu)
{
    struct cpu_group *g = cpu->opt.first ? cpu->opt.first->group : calloc(1, sizeof(*g));

    if (!g)
        return -ENOMEM;
    if (!cpu->opt.first) {
        pthread_mutex_init(&g->lock, NULL);
        pthread_cond_init(&g->changed, NULL);
        g->cores = (unsigned)MAX_OF(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    }
    cpu->group = g;
    g->cpu[cpu->opt.index] = cpu;
    g->num++;
    return 0;
}

void cpu_group_leave(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;

    g->cpu[cpu->opt.index] = NULL;
    if (--g->num)
        return;
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* ---- who stands where ---- */

static void tell(struct cpu_group *g)
{
    if (!atomic_load(&g->waiters))
        return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void stand(struct cpu *cpu, enum cpu_where where)
{
    atomic_store(&cpu->where, where);
    tell(cpu->group);
}

/* With the group's lock held. */
static void wait_for_change(struct cpu_group *g)
{
    atomic_fetch_add(&g->waiters, 1);
    pthread_cond_wait(&g->changed, &g->lock);
    atomic_fetch_sub(&g->waiters, 1);
}

/* The page flags have to be looked at again. */
static void serve_sync(struct cpu *cpu)
{
    uint32_t want;

    if (!(atomic_load(&cpu->requests) & REQ_WATCH))
        return;
    atomic_fetch_and(&cpu->requests, ~(uint32_t)REQ_WATCH);
    want = atomic_load(&cpu->sync_wanted);
    mmu_revoke_stores(cpu);
    atomic_store(&cpu->sync_done, want);
    tell(cpu->group);
}

void cpu_end_turn(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;

    if (!cpu->turn)
        return;
    cpu->turn = false;
    pthread_mutex_lock(&g->lock);
    if (!--g->turns)
        pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void cpu_go_outside(struct cpu *cpu)
{
    cpu_end_turn(cpu);
    stand(cpu, CPU_OUTSIDE);
}

/* Wait for the end of the exclusive section, after which this processor has its turn. False: there is none. */
static bool sit_out(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;
    uint32_t section;

    pthread_mutex_lock(&g->lock);
    if (!g->exclusive) {
        pthread_mutex_unlock(&g->lock);
        return false;
    }
    g->sitting++;
    for (section = g->sections; g->sections == section;)
        wait_for_change(g);
    atomic_store(&cpu->where, CPU_RUNS);
    cpu->turn = true;
    pthread_mutex_unlock(&g->lock);
    return true;
}

void cpu_come_back(struct cpu *cpu)
{
    do {
        atomic_store(&cpu->where, CPU_RUNS);
        if (!atomic_load(&cpu->group->held))
            break;
        stand(cpu, CPU_OUTSIDE);
    } while (!sit_out(cpu));
    serve_sync(cpu);
}

void cpu_safe_point(struct cpu *cpu)
{
    if (atomic_load(&cpu->group->held)) {
        cpu_go_outside(cpu);
        cpu_come_back(cpu);
    } else {
        serve_sync(cpu);
    }
}

/* ---- asking the others ---- */

static bool has_served(struct cpu *other, uint32_t ticket)
{
    return atomic_load(&other->where) != CPU_RUNS || (int32_t)(atomic_load(&other->sync_done) - ticket) >= 0;
}

#define SPINS 1000 /* about what a running processor needs to its next block */

static void wait_for_sync(struct cpu_group *g, struct cpu *other, uint32_t ticket)
{
    for (unsigned n = 0; n < SPINS; n++) {
        if (has_served(other, ticket))
            return;
        spin_pause();
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->waiters, 1);
    while (!has_served(other, ticket))
        pthread_cond_wait(&g->changed, &g->lock);
    atomic_fetch_sub(&g->waiters, 1);
    pthread_mutex_unlock(&g->lock);
}

void cpu_sync_others(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;
    uint32_t ticket[CPU_MAX];

    if (g->num == 1)
        return;
    for (unsigned i = 0; i < CPU_MAX; i++)
        if (g->cpu[i] && g->cpu[i] != cpu) {
            ticket[i] = atomic_fetch_add(&g->cpu[i]->sync_wanted, 1) + 1;
            atomic_fetch_or(&g->cpu[i]->requests, REQ_WATCH);
            __atomic_store_n(&g->cpu[i]->exit_request, 1, __ATOMIC_SEQ_CST);
        }
    if (cpu->exclusive)
        return; /* the others stand */
    cpu_go_outside(cpu);
    for (unsigned i = 0; i < CPU_MAX; i++)
        if (g->cpu[i] && g->cpu[i] != cpu)
            wait_for_sync(g, g->cpu[i], ticket[i]);
    cpu_come_back(cpu);
    cpu_end_turn(cpu); /* what runs next may be long */
}

bool cpu_may_look(const struct cpu *cpu)
{
    const struct cpu_group *g = cpu->group;
    unsigned running = 0;

    if (g->num == 1)
        return false;
    for (unsigned i = 0; i < CPU_MAX; i++)
        running += g->cpu[i] && g->cpu[i] != cpu && atomic_load(&g->cpu[i]->where) == CPU_RUNS;
    return running && running + atomic_load(&g->looking) <= g->cores;
}

/* ---- having the machine for oneself ---- */

static bool all_others_stand(const struct cpu *cpu, enum cpu_exclusive why)
{
    const struct cpu_group *g = cpu->group;

    for (unsigned i = 0; i < CPU_MAX; i++)
        if (g->cpu[i] && g->cpu[i] != cpu) {
            uint32_t where = atomic_load(&g->cpu[i]->where);
            if (where == CPU_RUNS || (where == CPU_WAITS && why == EXCLUSIVE_CACHE))
                return false;
        }
    return true;
}

void cpu_exclusive_begin(struct cpu *cpu, enum cpu_exclusive why)
{
    struct cpu_group *g = cpu->group;

    cpu_go_outside(cpu);
    pthread_mutex_lock(&g->lock);
    while (g->exclusive || g->turns)
        wait_for_change(g);
    g->exclusive = cpu;
    atomic_store(&g->held, why);
    for (unsigned i = 0; i < CPU_MAX; i++)
        if (g->cpu[i] && g->cpu[i] != cpu)
            __atomic_store_n(&g->cpu[i]->exit_request, 1, __ATOMIC_SEQ_CST);
    atomic_fetch_add(&g->waiters, 1);
    while (!all_others_stand(cpu, why))
        pthread_cond_wait(&g->changed, &g->lock);
    atomic_fetch_sub(&g->waiters, 1);
    atomic_store(&cpu->where, CPU_RUNS);
    pthread_mutex_unlock(&g->lock);
    serve_sync(cpu);
}

void cpu_exclusive_end(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;

    pthread_mutex_lock(&g->lock);
    atomic_store(&g->held, EXCLUSIVE_NONE);
    g->exclusive = NULL;
    g->sections++;
    g->turns = g->sitting;
    g->sitting = 0;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* ---- the machine lock ---- */

/* Take it while others need not wait for this processor. Who comes back into an exclusive section of an instruction
 * gives the lock away again: its owner may need it. */
static void wait_for_lock(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;

    for (;;) {
        stand(cpu, CPU_WAITS);
        lock_take(cpu->bus.lock);
        atomic_store(&cpu->where, CPU_RUNS);
        if (atomic_load(&g->held) != EXCLUSIVE_INSN || cpu->exclusive)
            break;
        stand(cpu, CPU_WAITS);
        lock_release(cpu->bus.lock);
        pthread_mutex_lock(&g->lock);
        while (atomic_load(&g->held) == EXCLUSIVE_INSN)
            wait_for_change(g);
        pthread_mutex_unlock(&g->lock);
    }
    serve_sync(cpu);
}

/* Holds are short: most end while another processor spins. */
#define LOCK_SPINS 100

static bool spin_for_lock(struct cpu *cpu)
{
    for (unsigned n = 0; n < LOCK_SPINS; n++) {
        if (lock_try(cpu->bus.lock))
            return true;
        spin_pause();
    }
    return false;
}

void cpu_lock(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;

    fpu_sync(cpu); /* devices run with a clean x87 unit */
    if (!lock_try(cpu->bus.lock)) {
        if (g->num == 1 || atomic_load(&cpu->where) != CPU_RUNS)
            lock_take(cpu->bus.lock);
        else if (!spin_for_lock(cpu))
            wait_for_lock(cpu);
    }
    g->lock_owner = cpu;
    if (cpu->bus.accessor)
        *cpu->bus.accessor = cpu->opt.index;
}

void cpu_unlock(struct cpu *cpu)
{
    struct cpu_group *g = cpu->group;
    uint64_t wake = g->to_wake & ~(UINT64_C(1) << cpu->opt.index); /* this one runs */

    g->lock_owner = NULL;
    g->to_wake = 0;
    lock_release(cpu->bus.lock);
    for (; wake; wake &= wake - 1)
        cpu_wake_sleeper(g->cpu[__builtin_ctzll(wake)]);
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
