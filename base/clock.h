/* Virtual time and timers of one machine. Time stops while the machine is
 * stopped. All device time comes from here.
 *
 * Timers run with the machine lock held, on the main thread; those of a counted
 * clock on the thread that counts. Every function but clock_now() needs the
 * machine lock. */
#ifndef MIMUS_BASE_CLOCK_H
#define MIMUS_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_SEC INT64_C(1000000000)

struct clock;

struct timer {
    struct clock *clock;
    int64_t deadline; /* virtual ns; INT64_MAX when not armed */
    void (*fire)(void *opaque);
    void *opaque;
    struct timer *next; /* sorted list of armed timers */
};

/* A clock that stands still at 0 ns until clock_start(). */
struct clock *clock_new(void);
void clock_free(struct clock *clock);

/* Virtual nanoseconds since power-on; monotonic. Any thread, no lock. */
int64_t clock_now(struct clock *clock);

/* What one thread knows of a clock that it reads often; zeroed memory at first. */
struct clock_reader {
    uint64_t ticks, first_ticks; /* the host's counter at `ns` and `first_ns` */
    int64_t ns, first_ns;        /* virtual */
    int64_t last;                /* told */
    uint64_t rate;               /* ns for each tick, times 2^32; 0: not known yet */
    uint64_t window;             /* ticks behind `ticks` for which it is used */
    uint32_t seq;                /* of the clock */
    bool useless;                /* there is no counter to use */
};

/* clock_now() by the host's own counter of ticks, in half the time: at most 20 us are counted so before the host's clock
 * is read again. Behind that by some ns; never goes back. */
int64_t clock_now_quickly(struct clock *clock, struct clock_reader *r);
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
/* Does time pass with the host's? Always false for a manual and for a counted clock. */
bool clock_running(struct clock *clock);

/* `fire(opaque)` runs once after each arming. The timer's storage is the caller's. */
void timer_init(struct timer *t, struct clock *clock, void (*fire)(void *opaque), void *opaque);
/* Arm (or move) the timer to absolute virtual time `deadline` in ns. */
void timer_arm(struct timer *t, int64_t deadline);
void timer_cancel(struct timer *t);
static inline bool timer_armed(const struct timer *t) { return t->deadline != INT64_MAX; }

/* Earliest armed deadline, or INT64_MAX. */
int64_t clock_deadline(struct clock *clock);
/* Fire all timers whose deadline has passed. */
void clock_run_timers(struct clock *clock);
/* `changed(opaque)` is called when the earliest deadline changes or the clock
 * starts or stops; the event loop re-arms its host timer there. */
void clock_set_notify(struct clock *clock, void (*changed)(void *opaque), void *opaque);

/* A counted clock: from now on time is what was shown so far and 2^shift ns for each unit of
 * `count(opaque)`, which never goes back and starts at 0. `count` is called by whoever asks for the time:
 * any thread, no lock. Nobody but the caller of clock_run_timers() fires its timers. Before clock_start(). */
void clock_set_counter(struct clock *clock, int64_t (*count)(void *opaque), void *opaque, unsigned shift);
/* How many units of the counter until `when` is reached, at least 0; INT64_MAX stays what it is. */
int64_t clock_units_until(struct clock *clock, int64_t when);
/* Move a counted clock forward to `ns` without counting. Fires nothing. */
void clock_jump(struct clock *clock, int64_t ns);

/* For unit tests: a clock whose time is set by hand. clock_advance fires timers on the way, in order. */
struct clock *clock_new_manual(void);
void clock_advance(struct clock *clock, int64_t ns);

/* a * b / c without overflow of the product; c > 0. */
static inline int64_t muldiv64(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((__int128)a * b / c);
}

#endif
