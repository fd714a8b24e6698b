/* Virtual time and timers. Time is `base` while the clock stands and
 * `base` + CLOCK_MONOTONIC while it runs; of a counted clock it is `base` and
 * the time of what was counted. Readers take no lock: a sequence
 * counter, odd during a change, tells them to look again. */
#include "base/clock.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

struct clock {
    uint32_t seq; /* guards base and running; odd: changing */
    int64_t base;
    bool running;
    bool manual;
    int64_t (*count)(void *opaque); /* of a counted clock, else NULL */
    void *counter;
    unsigned shift;   /* ns for each unit: 1 << shift */
    bool firing;      /* in clock_run_timers(): one notification at its end */
    int64_t notified; /* earliest deadline at the last notification */
    struct timer *head;
    void (*changed)(void *opaque);
    void *opaque;
};

static int64_t host_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* Open a change of the time. The full barrier of the exchange puts the counter's
 * odd value before whatever the caller then reads from the host's clock. */
static void clock_begin(struct clock *clock)
{
    __atomic_fetch_add(&clock->seq, 1, __ATOMIC_SEQ_CST);
}

/* Publish both halves of the time. The release stores keep the odd counter
 * visible to whoever sees one of the new halves. */
static void clock_end(struct clock *clock, int64_t base, bool running)
{
    __atomic_store_n(&clock->base, base, __ATOMIC_RELEASE);
    __atomic_store_n(&clock->running, running, __ATOMIC_RELEASE);
    __atomic_fetch_add(&clock->seq, 1, __ATOMIC_SEQ_CST);
}

static void clock_set(struct clock *clock, int64_t base)
{
    clock_begin(clock);
    clock_end(clock, base, false);
}

struct clock *clock_new(void)
{
    struct clock *clock = calloc(1, sizeof(*clock));
    assert(clock);
    clock->notified = INT64_MAX;
    return clock;
}

struct clock *clock_new_manual(void)
{
    struct clock *clock = clock_new();
    clock->manual = true;
    return clock;
}

void clock_free(struct clock *clock)
{
    free(clock);
}

/* The host's clock is read before the second look at the counter, and by
 * clock_stop() after it has made the counter odd: nobody gets a time behind the
 * one at which the clock stops. */
int64_t clock_now(struct clock *clock)
{
    for (;;) {
        uint32_t seq = __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE);
        int64_t now = __atomic_load_n(&clock->base, __ATOMIC_ACQUIRE);
        if (clock->count)
            now += clock->count(clock->counter) * (INT64_C(1) << clock->shift);
        else if (__atomic_load_n(&clock->running, __ATOMIC_ACQUIRE))
            now += host_now();
        if (!(seq & 1) && seq == __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE))
            return now;
    }
}

/* ---- between two looks at the host's clock ---- */

#if defined(__x86_64__)
static uint64_t host_ticks(void) { return __builtin_ia32_rdtsc(); }

/* CPUID leaf 80000007H: the counter has one rate, whatever the processor does. */
static bool host_has_ticks(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
}
#else
static uint64_t host_ticks(void) { return 0; }
static bool host_has_ticks(void) { return false; }
#endif

#define CALIBRATE_NS 10000000    /* that it takes to know the rate */
#define RECALIBRATE_NS 1000000000
#define WINDOW_NS 20000
#define TOGETHER_TICKS 300       /* in these both clocks were read: the thread was not taken away in between */
#define SLOWEST (UINT64_C(10) << 32) /* rates that are believed: 10 ns for a tick, ... */
#define FASTEST (UINT64_C(1) << 28)  /* ... 1/16 ns */

/* The rate since the first sample; false: not to be believed, the counter was changed. */
static bool reader_calibrate(struct clock_reader *r)
{
    int64_t ns = r->ns - r->first_ns;
    uint64_t ticks = r->ticks - r->first_ticks, old = r->rate;

    if (ns < CALIBRATE_NS)
        return true;
    r->rate = ticks ? (uint64_t)(((unsigned __int128)ns << 32) / ticks) : 0;
    if (r->rate < FASTEST || r->rate > SLOWEST || (old && (r->rate > old ? r->rate - old : old - r->rate) > old / 256))
        return false;
    r->window = ((uint64_t)WINDOW_NS << 32) / r->rate;
    if (ns >= RECALIBRATE_NS) {
        r->first_ticks = r->ticks;
        r->first_ns = r->ns;
    }
    return true;
}

static void reader_begin(struct clock *clock, struct clock_reader *r, uint32_t seq)
{
    bool known = r->first_ticks; /* CPUID takes long in a virtual machine */

    r->useless = !known && !host_has_ticks();
    r->seq = seq;
    r->rate = r->window = 0;
    r->ticks = r->first_ticks = host_ticks();
    r->ns = r->first_ns = clock_now(clock);
}

/* By the host's clock, which the counter goes on from. */
static int64_t reader_look(struct clock *clock, struct clock_reader *r)
{
    uint32_t seq = __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE);
    uint64_t before = host_ticks(), ticks;
    int64_t now = clock_now(clock);

    ticks = host_ticks();
    if (seq != r->seq || !r->first_ticks || !__atomic_load_n(&clock->running, __ATOMIC_ACQUIRE)) {
        reader_begin(clock, r, seq);
    } else if (ticks - before < TOGETHER_TICKS) {
        r->ticks = ticks;
        r->ns = now;
        if (!reader_calibrate(r))
            reader_begin(clock, r, seq);
    } else {
        r->ticks = ticks - r->window; /* nothing goes on from here */
    }
    return now;
}

int64_t clock_now_quickly(struct clock *clock, struct clock_reader *r)
{
    uint64_t since;
    int64_t now;

    if (r->useless || clock->count)
        return clock_now(clock);
    since = host_ticks() - r->ticks;
    if (since < r->window && __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE) == r->seq)
        now = r->ns + (int64_t)(since * r->rate >> 32);
    else
        now = reader_look(clock, r);
    if (now < r->last)
        now = r->last;
    r->last = now;
    return now;
}

bool clock_running(struct clock *clock)
{
    return __atomic_load_n(&clock->running, __ATOMIC_RELAXED);
}

static void clock_notify(struct clock *clock)
{
    clock->notified = clock_deadline(clock);
    if (clock->changed)
        clock->changed(clock->opaque);
}

/* After a change of the timer list. */
static void clock_list_changed(struct clock *clock)
{
    if (!clock->firing && clock->notified != clock_deadline(clock))
        clock_notify(clock);
}

void clock_start(struct clock *clock)
{
    if (clock->running || clock->manual || clock->count)
        return;
    clock_begin(clock);
    clock_end(clock, clock->base - host_now(), true);
    clock_notify(clock);
}

void clock_stop(struct clock *clock)
{
    if (!clock->running)
        return;
    clock_begin(clock);
    clock_end(clock, clock->base + host_now(), false);
    clock_notify(clock);
}

void clock_set_notify(struct clock *clock, void (*changed)(void *opaque), void *opaque)
{
    clock->changed = changed;
    clock->opaque = opaque;
}

void clock_set_counter(struct clock *clock, int64_t (*count)(void *opaque), void *opaque, unsigned shift)
{
    assert(!clock->running && !clock->manual);
    clock->count = count;
    clock->counter = opaque;
    clock->shift = shift;
}

int64_t clock_units_until(struct clock *clock, int64_t when)
{
    int64_t ns = when == INT64_MAX ? INT64_MAX : when - clock_now(clock);

    if (ns == INT64_MAX || ns <= 0)
        return ns <= 0 ? 0 : INT64_MAX;
    return ((ns - 1) >> clock->shift) + 1;
}

void clock_jump(struct clock *clock, int64_t ns)
{
    int64_t now = clock_now(clock);

    assert(clock->count);
    if (ns > now)
        clock_set(clock, clock->base + (ns - now));
}

void timer_init(struct timer *t, struct clock *clock, void (*fire)(void *opaque), void *opaque)
{
    *t = (struct timer){ .clock = clock, .deadline = INT64_MAX, .fire = fire, .opaque = opaque };
}

static void timer_unlink(struct timer *t)
{
    struct timer **link = &t->clock->head;
    if (!timer_armed(t))
        return;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    t->next = NULL;
    t->deadline = INT64_MAX;
}

void timer_arm(struct timer *t, int64_t deadline)
{
    timer_unlink(t);
    if (deadline != INT64_MAX) {
        struct timer **link = &t->clock->head;
        while (*link && (*link)->deadline <= deadline)
            link = &(*link)->next;
        t->deadline = deadline;
        t->next = *link;
        *link = t;
    }
    clock_list_changed(t->clock);
}

void timer_cancel(struct timer *t)
{
    timer_unlink(t);
    clock_list_changed(t->clock);
}

int64_t clock_deadline(struct clock *clock)
{
    return clock->head ? clock->head->deadline : INT64_MAX;
}

/* Fire timers up to `limit`, in order. A manual clock moves along with them. */
static void clock_fire_until(struct clock *clock, int64_t limit)
{
    bool outer = clock->firing;
    clock->firing = true;
    while (clock->head && clock->head->deadline <= limit) {
        struct timer *t = clock->head;
        if (clock->manual && t->deadline > clock->base)
            clock_set(clock, t->deadline);
        timer_unlink(t);
        t->fire(t->opaque);
    }
    clock->firing = outer;
    clock_list_changed(clock);
}

void clock_run_timers(struct clock *clock)
{
    clock_fire_until(clock, clock_now(clock));
}

void clock_advance(struct clock *clock, int64_t ns)
{
    int64_t target = clock_now(clock) + ns;
    assert(clock->manual && ns >= 0);
    clock_fire_until(clock, target);
    clock_set(clock, target);
}
