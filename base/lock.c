/* The machine lock: a mutex with a queue for those who have waited long.
 *
 * A mutex goes to whoever comes first when it is free. A processor that takes and releases it in a loop is always
 * there first, and a thread that has to be woken never. So each tries only for PATIENCE_NS. Then it joins the queue,
 * and from then on the lock goes to the queue in order: between its joining and its turn come those before it and, once
 * each, the threads that had passed the door already. */
#include "base/lock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define PATIENCE_NS 1000000
#define LONG_HOLD_NS 10000000
#define SECOND_NS 1000000000

/* On its thread's stack. `first`: the lock goes to it next. */
struct lock_waiter {
    struct lock_waiter *next;
    pthread_cond_t turn;
    bool first;
};

void lock_init(struct lock *l)
{
    *l = (struct lock){ .last = &l->first };
    pthread_mutex_init(&l->mutex, NULL);
    pthread_mutex_init(&l->queue_lock, NULL);
    pthread_cond_init(&l->open, NULL);
}

void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
    pthread_mutex_destroy(&l->queue_lock);
    pthread_cond_destroy(&l->open);
}

/* ---- debug builds: who holds it too long ---- */

#ifdef MIMUS_DEBUG
static int64_t now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

/* How often the calling thread has waited for something other than a processor of the host. */
static int64_t times_slept(void)
{
    struct rusage r;

    getrusage(RUSAGE_THREAD, &r);
    return r.ru_nvcsw;
}

static void begin_hold(struct lock *l, const char *holder)
{
    l->holder = holder;
    l->since = now(CLOCK_MONOTONIC);
    l->busy = now(CLOCK_THREAD_CPUTIME_ID);
    l->slept = times_slept();
}

static void end_hold(struct lock *l)
{
    int64_t held = now(CLOCK_MONOTONIC) - l->since, busy;
    char thread[16] = "";

    if (held <= LONG_HOLD_NS)
        return;
    busy = now(CLOCK_THREAD_CPUTIME_ID) - l->busy;
    if (busy <= LONG_HOLD_NS && times_slept() == l->slept)
        return;
    pthread_getname_np(pthread_self(), thread, sizeof(thread));
    fprintf(stderr, "mimus: %s of thread '%s' held the machine lock for %d ms, %d ms of them busy\n", l->holder, thread,
            (int)(held / 1000000), (int)(busy / 1000000));
}
#else
static void begin_hold(struct lock *l, const char *holder) { (void)l, (void)holder; }
static void end_hold(struct lock *l) { (void)l; }
#endif

/* ---- taking it ---- */

static bool somebody_queued(const struct lock *l)
{
    return __atomic_load_n(&l->queued, __ATOMIC_RELAXED);
}

static void set_queued(struct lock *l, unsigned n)
{
    __atomic_store_n(&l->queued, n, __ATOMIC_RELAXED);
}

/* Wait for the door to open, then for the lock; false when that takes too long. */
static bool take_at_the_door(struct lock *l)
{
    struct timespec end;
    bool open;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += PATIENCE_NS;
    if (end.tv_nsec >= SECOND_NS) {
        end.tv_nsec -= SECOND_NS;
        end.tv_sec++;
    }
    pthread_mutex_lock(&l->queue_lock);
    while (l->queued && pthread_cond_timedwait(&l->open, &l->queue_lock, &end) != ETIMEDOUT)
        ;
    open = !l->queued;
    pthread_mutex_unlock(&l->queue_lock);
    return open && !pthread_mutex_timedlock(&l->mutex, &end);
}

static void take_in_turn(struct lock *l)
{
    struct lock_waiter w = { .next = NULL };

    pthread_cond_init(&w.turn, NULL);
    pthread_mutex_lock(&l->queue_lock);
    w.first = !l->first;
    *l->last = &w;
    l->last = &w.next;
    set_queued(l, l->queued + 1);
    while (!w.first)
        pthread_cond_wait(&w.turn, &l->queue_lock);
    pthread_mutex_unlock(&l->queue_lock);
    pthread_mutex_lock(&l->mutex);
    pthread_mutex_lock(&l->queue_lock);
    l->first = w.next;
    set_queued(l, l->queued - 1);
    if (l->first) {
        l->first->first = true;
        pthread_cond_signal(&l->first->turn);
    } else {
        l->last = &l->first;
        pthread_cond_broadcast(&l->open);
    }
    pthread_mutex_unlock(&l->queue_lock);
    pthread_cond_destroy(&w.turn);
}

void lock_take_as(struct lock *l, const char *holder)
{
    if ((somebody_queued(l) || pthread_mutex_trylock(&l->mutex)) && !take_at_the_door(l))
        take_in_turn(l);
    begin_hold(l, holder);
}

bool lock_try_as(struct lock *l, const char *holder)
{
    if (somebody_queued(l) || pthread_mutex_trylock(&l->mutex))
        return false;
    begin_hold(l, holder);
    return true;
}

void lock_release(struct lock *l)
{
    end_hold(l);
    pthread_mutex_unlock(&l->mutex);
}

/* ---- waiting for others ---- */

/* Who wakes must have the lock, and then queue_lock: both are released in the opposite order only when this thread
 * sleeps, so no call is missed. */
void lock_wait_as(struct lock *l, pthread_cond_t *cond, const char *holder)
{
    pthread_mutex_lock(&l->queue_lock);
    lock_release(l);
    pthread_cond_wait(cond, &l->queue_lock);
    pthread_mutex_unlock(&l->queue_lock);
    lock_take_as(l, holder);
}

void lock_wake(struct lock *l, pthread_cond_t *cond)
{
    pthread_mutex_lock(&l->queue_lock);
    pthread_cond_broadcast(cond);
    pthread_mutex_unlock(&l->queue_lock);
}
