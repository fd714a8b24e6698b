/* All processors on one host thread, in turn by counted instructions: -accel thread=single and -icount.
 *
 * A processor's turn is a slice of so many instructions, fewer when a timer of a counted clock is due
 * before. Between slices, and nowhere else, work of the disks ends and timers of a counted clock fire, on
 * this thread. So with -icount all that the guest sees comes after a number of instructions that is the
 * same in each run. A stop may interrupt a slice anywhere: its rest comes first when the machine goes on,
 * so that a stop leaves no trace. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"
#include "base/clock.h"
#include "machine/machine.h"

#define QUANTUM 20000

struct roundrobin {
    struct machine *m;
    unsigned current;           /* processor of the latest slice */
    bool in_slice;
    int64_t given;              /* instructions of that slice */
    int64_t rest;               /* what a stop has left of it; 0: it is over */
    int64_t executed;           /* in slices that are over, or interrupted */
    _Atomic int64_t latest;     /* count that somebody has seen */
    pthread_t thread;
    _Atomic bool begun;         /* `thread` is known */
    pthread_mutex_t lock;       /* of the rest */
    pthread_cond_t cond;
    bool woken;                 /* something has changed since the processors were looked at */
};

static bool on_own_thread(struct roundrobin *rr)
{
    return atomic_load(&rr->begun) && pthread_equal(rr->thread, pthread_self());
}

/* ---- time ---- */

/* For the clock. Other threads see what this one has seen last: for no device time goes back. */
static int64_t count_instructions(void *opaque)
{
    struct roundrobin *rr = opaque;
    int64_t n;

    if (!on_own_thread(rr))
        return atomic_load(&rr->latest);
    n = rr->executed;
    if (rr->in_slice)
        n += rr->given - cpu_slice_left(rr->m->cpu[rr->current]);
    atomic_store(&rr->latest, n);
    return n;
}

/* The earliest deadline is another one, maybe due within the slice. */
static void deadline_changed(void *opaque)
{
    struct roundrobin *rr = opaque;
    struct clock *clock = rr->m->clock;

    if (!on_own_thread(rr))
        roundrobin_wake(rr);
    else if (rr->in_slice)
        rr->given -= cpu_slice_cut(rr->m->cpu[rr->current], clock_units_until(clock, clock_deadline(clock)));
}

/* ---- waiting ---- */

void roundrobin_wake(struct roundrobin *rr)
{
    pthread_mutex_lock(&rr->lock);
    rr->woken = true;
    pthread_cond_signal(&rr->cond);
    pthread_mutex_unlock(&rr->lock);
}

static struct timespec host_time_after(int64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ns / NS_PER_SEC);
    t.tv_nsec += (long)(ns % NS_PER_SEC);
    t.tv_sec += t.tv_nsec / NS_PER_SEC;
    t.tv_nsec %= NS_PER_SEC;
    return t;
}

/* Sleep until woken, at most `ns` of the host's time; INT64_MAX: for ever. False: the time is over. */
static bool sleep_host(struct roundrobin *rr, int64_t ns)
{
    struct timespec until = host_time_after(ns == INT64_MAX ? 0 : ns);
    int ret = 0;
    bool woken;

    pthread_mutex_lock(&rr->lock);
    while (!rr->woken && !ret) {
        if (ns == INT64_MAX)
            pthread_cond_wait(&rr->cond, &rr->lock);
        else
            ret = pthread_cond_timedwait(&rr->cond, &rr->lock, &until);
    }
    woken = rr->woken;
    pthread_mutex_unlock(&rr->lock);
    return woken;
}

/* No processor can run. What a counted clock shows afterwards is the deadline, however long the host has
 * slept; one that is woken before has seen no time pass. */
static void wait_for_event(struct roundrobin *rr)
{
    struct machine *m = rr->m;
    int64_t deadline, wait = INT64_MAX;

    lock_take(&m->lock);
    deadline = m->opt->icount ? clock_deadline(m->clock) : INT64_MAX;
    if (deadline != INT64_MAX)
        wait = m->opt->icount_sleep ? deadline - clock_now(m->clock) : 0;
    lock_release(&m->lock);
    if (sleep_host(rr, wait))
        return;
    lock_take(&m->lock);
    clock_jump(m->clock, deadline);
    lock_release(&m->lock);
}

/* ---- turns ---- */

/* What happens between slices, with the machine lock. Returns the length of the next one. */
static int64_t between_slices(struct machine *m)
{
    if (!m->opt->icount)
        return QUANTUM;
    pc_drain(m);
    clock_run_timers(m->clock);
    return MIN_OF(QUANTUM, MAX_OF(clock_units_until(m->clock, clock_deadline(m->clock)), 1));
}

/* Whose turn it is: the next that can run after the latest; false: nobody's. */
static bool next_turn(struct roundrobin *rr, unsigned *index, int64_t *insns)
{
    struct machine *m = rr->m;
    bool found = false;

    pthread_mutex_lock(&rr->lock);
    rr->woken = false;
    pthread_mutex_unlock(&rr->lock);
    lock_take(&m->lock);
    *insns = between_slices(m);
    for (unsigned i = 1; i <= m->num_cpus && !found; i++) {
        *index = (rr->current + i) % m->num_cpus;
        found = cpu_can_run(m->cpu[*index]);
    }
    lock_release(&m->lock);
    return found;
}

/* A slice that is stopped before it has begun has not been. */
static enum cpu_slice run_slice(struct roundrobin *rr, unsigned index, int64_t insns)
{
    unsigned before = rr->current;
    bool begun = rr->rest;
    enum cpu_slice why;
    int64_t left;

    rr->current = index;
    rr->given = insns;
    rr->in_slice = true;
    why = cpu_run_slice(rr->m->cpu[index], insns);
    rr->in_slice = false;
    left = cpu_slice_left(rr->m->cpu[index]);
    rr->executed += rr->given - left;
    atomic_store(&rr->latest, rr->executed);
    rr->rest = 0;
    if (why == CPU_SLICE_STOPPED && (begun || left < rr->given))
        rr->rest = left;
    else if (why == CPU_SLICE_STOPPED)
        rr->current = before;
    return why;
}

/* Until a stop. Without the machine lock. */
static void run_in_turn(struct roundrobin *rr)
{
    enum cpu_slice why = CPU_SLICE_USED;

    while (why != CPU_SLICE_STOPPED) {
        unsigned index = rr->current;
        int64_t insns = rr->rest;

        if (insns || next_turn(rr, &index, &insns))
            why = run_slice(rr, index, insns);
        else
            wait_for_event(rr);
    }
}

void *roundrobin_thread(void *opaque)
{
    struct vcpu_thread *t = opaque;
    struct machine *m = t->machine;

    m->rr->thread = pthread_self();
    atomic_store(&m->rr->begun, true);
    lock_take(&m->lock);
    while (machine_enter_run(m)) {
        lock_release(&m->lock);
        run_in_turn(m->rr);
        lock_take(&m->lock);
        machine_leave_run(m);
    }
    lock_release(&m->lock);
    return NULL;
}

/* ---- life ---- */

struct roundrobin *roundrobin_new(struct machine *m)
{
    struct roundrobin *rr = calloc(1, sizeof(*rr));
    pthread_condattr_t attr;

    if (!rr)
        abort();
    rr->m = m;
    pthread_mutex_init(&rr->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rr->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (m->opt->icount) {
        clock_set_counter(m->clock, count_instructions, rr, m->opt->icount_shift);
        clock_set_notify(m->clock, deadline_changed, rr);
    }
    return rr;
}

void roundrobin_free(struct roundrobin *rr)
{
    if (!rr)
        return;
    if (rr->m->opt->icount)
        clock_set_notify(rr->m->clock, NULL, NULL);
    pthread_cond_destroy(&rr->cond);
    pthread_mutex_destroy(&rr->lock);
    free(rr);
}
