/* Timer of the local APIC: Intel SDM volume 3A, 11.5.4. Its input clock is 1 GHz: one tick before division is
 * one nanosecond. A timer that is masked counts without a timer of the host: what it has done is worked out
 * when somebody looks. */
#include "hw/intc/lapic_internal.h"

/* No host delivers faster; a guest that asks for it must not starve everything else. */
#define LAPIC_MIN_PERIOD_NS 10000

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

static enum timer_mode timer_mode(const struct lapic *l)
{
    return (enum timer_mode)bits_extract(l->regs.lvt[LVT_TIMER], 17, 2);
}

/* Nanoseconds per count: bits 3, 1, 0 of the divide register select 2, 4, ..., 128, 1 (SDM figure 11-10). */
static int64_t timer_tick(const struct lapic *l)
{
    unsigned sel = (l->regs.divide & 3) | (l->regs.divide >> 1 & 4);
    return INT64_C(1) << ((sel + 1) & 7);
}

static uint32_t timer_count(const struct lapic *l, int64_t now)
{
    if (!l->regs.initial_count || timer_mode(l) == TIMER_TSC_DEADLINE)
        return 0;
    uint64_t ticks = (uint64_t)((now - l->regs.timer_start) / timer_tick(l));
    if (timer_mode(l) == TIMER_PERIODIC)
        return l->regs.initial_count - (uint32_t)(ticks % l->regs.initial_count);
    return ticks >= l->regs.initial_count ? 0 : l->regs.initial_count - (uint32_t)ticks;
}

/* The next time after `now` at which the count reaches zero, or INT64_MAX. */
static int64_t timer_next(const struct lapic *l, int64_t now)
{
    if (timer_mode(l) == TIMER_TSC_DEADLINE)
        return l->regs.tsc_deadline ? l->regs.tsc_when : INT64_MAX;
    int64_t period = l->regs.initial_count * timer_tick(l);
    int64_t next = l->regs.timer_start + period;
    if (!period || (next <= now && timer_mode(l) != TIMER_PERIODIC))
        return INT64_MAX;
    if (next <= now) {
        next += (now - l->regs.timer_start) / period * period;
        next = MAX_OF(next, now + LAPIC_MIN_PERIOD_NS);
    }
    return next;
}

void lapic_timer_arm(struct lapic *l, int64_t now)
{
    if (l->regs.lvt[LVT_TIMER] & LVT_MASKED || !lapic_hw_enabled(l))
        timer_cancel(&l->timer);
    else
        timer_arm(&l->timer, timer_next(l, now));
}

static void timer_expire(struct lapic *l, int64_t now)
{
    l->regs.tsc_deadline = 0;
    lapic_lvt_fire(l, LVT_TIMER);
    lapic_timer_arm(l, now);
}

static void timer_fire(void *opaque)
{
    struct lapic *l = opaque;
    timer_expire(l, clock_now(l->clock));
}

static bool deadline_passed(const struct lapic *l, int64_t now)
{
    return timer_mode(l) == TIMER_TSC_DEADLINE && l->regs.tsc_deadline && l->regs.tsc_when <= now;
}

/* An expiry that is due but not yet served happens before the timer is written. Returns the time of the look.
 * */
static int64_t timer_sync(struct lapic *l)
{
    int64_t now = clock_now(l->clock);
    if (l->timer.deadline <= now || deadline_passed(l, now)) {
        timer_cancel(&l->timer);
        timer_expire(l, now);
    }
    return now;
}

uint64_t lapic_get_tsc_deadline(const struct lapic *l)
{
    return deadline_passed(l, clock_now(l->clock)) ? 0 : l->regs.tsc_deadline;
}

void lapic_set_tsc_deadline(struct lapic *l, uint64_t tsc, int64_t when)
{
    if (timer_mode(l) != TIMER_TSC_DEADLINE)
        return;
    int64_t now = timer_sync(l);
    l->regs.tsc_deadline = tsc;
    l->regs.tsc_when = MAX_OF(when, 0);
    if (deadline_passed(l, now))
        timer_expire(l, now);
    else
        lapic_timer_arm(l, now);
}

uint32_t lapic_timer_current(const struct lapic *l)
{
    return timer_count(l, clock_now(l->clock));
}

uint32_t lapic_timer_initial(const struct lapic *l)
{
    return timer_mode(l) == TIMER_TSC_DEADLINE ? 0 : l->regs.initial_count;
}

/* Entering or leaving TSC-deadline mode disarms the timer (SDM 11.5.4.1). */
void lapic_timer_write_lvt(struct lapic *l, uint32_t v)
{
    enum timer_mode old = timer_mode(l);
    int64_t now = timer_sync(l);
    l->regs.lvt[LVT_TIMER] = v;
    if ((old == TIMER_TSC_DEADLINE) != (timer_mode(l) == TIMER_TSC_DEADLINE)) {
        l->regs.tsc_deadline = 0;
        l->regs.initial_count = 0;
    }
    lapic_timer_arm(l, now);
}

void lapic_timer_write_initial(struct lapic *l, uint32_t v)
{
    if (timer_mode(l) == TIMER_TSC_DEADLINE)
        return;
    l->regs.timer_start = timer_sync(l);
    l->regs.initial_count = v;
    lapic_timer_arm(l, l->regs.timer_start);
}

/* The count goes on from where it is, at the new pace. */
void lapic_timer_write_divide(struct lapic *l, uint32_t v)
{
    int64_t now = timer_sync(l);
    uint32_t done = l->regs.initial_count - timer_count(l, now);
    l->regs.divide = v & 0xb;
    l->regs.timer_start = now - done * timer_tick(l);
    lapic_timer_arm(l, now);
}

void lapic_timer_init(struct lapic *l)
{
    timer_init(&l->timer, l->clock, timer_fire, l);
}
