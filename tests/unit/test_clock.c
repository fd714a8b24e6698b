/* base/clock.h: order and moment of timers, standing and running time. */
#include <check.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"

struct probe {
    struct timer timer;
    int64_t fired_at[8];
    int count;
    int64_t period; /* arm again this much later; 0: no */
    char *order;    /* may be NULL: shared, gets `letter` appended */
    char letter;
};

static void fire(void *opaque)
{
    struct probe *p = opaque;
    ck_assert(!timer_armed(&p->timer));
    p->fired_at[p->count++] = clock_now(p->timer.clock);
    if (p->order) {
        while (*p->order)
            p->order++;
        *p->order = p->letter;
    }
    if (p->period && p->count < 4)
        timer_arm(&p->timer, p->fired_at[p->count - 1] + p->period);
}

static void count_call(void *opaque)
{
    ++*(int *)opaque;
}

START_TEST(fires_at_its_time)
{
    struct clock *clock = clock_new_manual();
    struct probe p = { 0 };
    timer_init(&p.timer, clock, fire, &p);
    ck_assert_int_eq(clock_deadline(clock), INT64_MAX);
    timer_arm(&p.timer, 100);
    ck_assert_int_eq(clock_deadline(clock), 100);
    clock_advance(clock, 99);
    ck_assert_int_eq(p.count, 0);
    clock_advance(clock, 50);
    ck_assert_int_eq(p.count, 1);
    ck_assert_int_eq(p.fired_at[0], 100);
    ck_assert_int_eq(clock_now(clock), 149);
    clock_advance(clock, 1000);
    ck_assert_int_eq(p.count, 1);
    clock_free(clock);
}
END_TEST

START_TEST(order)
{
    struct clock *clock = clock_new_manual();
    struct probe p[4] = { 0 };
    char order[8] = "";
    static const int64_t when[4] = { 30, 10, 20, 10 };
    for (int i = 0; i < 4; i++) {
        p[i].order = order;
        p[i].letter = (char)('a' + i);
        timer_init(&p[i].timer, clock, fire, &p[i]);
        timer_arm(&p[i].timer, when[i]);
    }
    clock_advance(clock, 100);
    ck_assert_str_eq(order, "bdca");
    clock_free(clock);
}
END_TEST

START_TEST(move_and_cancel)
{
    struct clock *clock = clock_new_manual();
    struct probe p = { 0 };
    timer_init(&p.timer, clock, fire, &p);
    timer_arm(&p.timer, 10);
    timer_arm(&p.timer, 40);
    clock_advance(clock, 20);
    ck_assert_int_eq(p.count, 0);
    timer_cancel(&p.timer);
    timer_cancel(&p.timer);
    clock_advance(clock, 100);
    ck_assert_int_eq(p.count, 0);
    timer_arm(&p.timer, 5);
    clock_run_timers(clock);
    ck_assert_int_eq(p.fired_at[0], 120);
    clock_free(clock);
}
END_TEST

START_TEST(periodic)
{
    struct clock *clock = clock_new_manual();
    struct probe p = { .period = 7 };
    timer_init(&p.timer, clock, fire, &p);
    timer_arm(&p.timer, 7);
    clock_advance(clock, 100);
    ck_assert_int_eq(p.count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(p.fired_at[i], 7 * (i + 1));
    clock_free(clock);
}
END_TEST

START_TEST(notify_when_earliest_changes)
{
    struct clock *clock = clock_new_manual();
    struct probe a = { 0 }, b = { 0 };
    int calls = 0;
    clock_set_notify(clock, count_call, &calls);
    timer_init(&a.timer, clock, fire, &a);
    timer_init(&b.timer, clock, fire, &b);
    timer_arm(&a.timer, 100);
    ck_assert_int_eq(calls, 1);
    timer_arm(&b.timer, 200);
    ck_assert_int_eq(calls, 1);
    timer_arm(&b.timer, 50);
    ck_assert_int_eq(calls, 2);
    timer_cancel(&b.timer);
    ck_assert_int_eq(calls, 3);
    clock_advance(clock, 100);
    ck_assert_int_eq(calls, 4);
    clock_free(clock);
}
END_TEST

START_TEST(stands_and_runs)
{
    struct clock *clock = clock_new();
    int calls = 0;
    clock_set_notify(clock, count_call, &calls);
    usleep(2000);
    ck_assert_int_eq(clock_now(clock), 0);
    ck_assert(!clock_running(clock));
    clock_start(clock);
    ck_assert(clock_running(clock));
    usleep(2000);
    clock_stop(clock);
    int64_t stopped = clock_now(clock);
    ck_assert_int_ge(stopped, 2000000);
    usleep(2000);
    ck_assert_int_eq(clock_now(clock), stopped);
    clock_start(clock);
    ck_assert_int_ge(clock_now(clock), stopped);
    ck_assert_int_lt(clock_now(clock), stopped + NS_PER_SEC);
    ck_assert_int_eq(calls, 3);
    clock_free(clock);
}
END_TEST

static void *read_clock(void *opaque)
{
    struct clock *clock = opaque;
    int64_t last = 0;
    for (int i = 0; i < 200000; i++) {
        int64_t now = clock_now(clock);
        if (now < last || now > 100 * NS_PER_SEC)
            return opaque;
        last = now;
    }
    return NULL;
}

START_TEST(monotonic_for_other_threads)
{
    struct clock *clock = clock_new();
    pthread_t thread;
    void *bad;
    pthread_create(&thread, NULL, read_clock, clock);
    for (int i = 0; i < 20000; i++) {
        clock_start(clock);
        clock_stop(clock);
    }
    pthread_join(thread, &bad);
    ck_assert_ptr_null(bad);
    clock_free(clock);
}
END_TEST

static int64_t counted;

static int64_t read_counter(void *opaque)
{
    (void)opaque;
    return counted;
}

static struct clock *counted_clock(unsigned shift)
{
    struct clock *clock = clock_new();

    counted = 0;
    clock_set_counter(clock, read_counter, NULL, shift);
    clock_start(clock);
    return clock;
}

/* Time is what was counted, whatever the host's clock says. */
START_TEST(counted_time)
{
    struct clock *clock = counted_clock(3);

    ck_assert(!clock_running(clock));
    ck_assert_int_eq(clock_now(clock), 0);
    usleep(2000);
    ck_assert_int_eq(clock_now(clock), 0);
    counted = 5;
    ck_assert_int_eq(clock_now(clock), 40);
    clock_stop(clock);
    counted = 6;
    ck_assert_int_eq(clock_now(clock), 48);
    clock_free(clock);
}
END_TEST

/* A jump sets the time exactly and moves what is counted afterwards; none goes back. */
START_TEST(counted_jump)
{
    struct clock *clock = counted_clock(2);

    counted = 10;
    clock_jump(clock, 1001);
    ck_assert_int_eq(clock_now(clock), 1001);
    counted = 11;
    ck_assert_int_eq(clock_now(clock), 1005);
    clock_jump(clock, 500);
    ck_assert_int_eq(clock_now(clock), 1005);
    clock_free(clock);
}
END_TEST

/* The first unit at which the time has come: rounded up. */
START_TEST(counted_units)
{
    struct clock *clock = counted_clock(2);

    ck_assert_int_eq(clock_units_until(clock, 8), 2);
    ck_assert_int_eq(clock_units_until(clock, 9), 3);
    ck_assert_int_eq(clock_units_until(clock, 0), 0);
    ck_assert_int_eq(clock_units_until(clock, -5), 0);
    ck_assert_int_eq(clock_units_until(clock, INT64_MAX), INT64_MAX);
    counted = 2;
    ck_assert_int_eq(clock_units_until(clock, 9), 1);
    ck_assert_int_eq(clock_units_until(clock, 8), 0);
    clock_free(clock);
}
END_TEST

/* Timers fire when they are asked to, those that are due, in order. */
START_TEST(counted_timers)
{
    struct clock *clock = counted_clock(1);
    struct probe p[2] = { 0 };
    char order[8] = "";

    for (int i = 0; i < 2; i++) {
        timer_init(&p[i].timer, clock, fire, &p[i]);
        p[i].order = order;
        p[i].letter = (char)('a' + i);
    }
    timer_arm(&p[0].timer, 100);
    timer_arm(&p[1].timer, 60);
    counted = 29;
    clock_run_timers(clock);
    ck_assert_str_eq(order, "");
    counted = 30;
    clock_run_timers(clock);
    ck_assert_str_eq(order, "b");
    ck_assert_int_eq(p[1].fired_at[0], 60);
    clock_jump(clock, 100);
    clock_run_timers(clock);
    ck_assert_str_eq(order, "ba");
    ck_assert_int_eq(p[0].fired_at[0], 100);
    clock_free(clock);
}
END_TEST

/* A quick reading is at most `near` ns before what the clock said before it, or behind what it says after it. */
static int64_t check_reading(struct clock *clock, struct clock_reader *r, int64_t near)
{
    int64_t before = clock_now(clock), now = clock_now_quickly(clock, r), after = clock_now(clock);

    ck_assert_int_ge(now, before - near);
    ck_assert_int_le(now, after + near);
    return now;
}

/* For 30 ms, and until the host's counter is in use. */
static void check_readings(struct clock *clock, struct clock_reader *r, int64_t near)
{
    int64_t end = clock_now(clock) + 30000000, last = 0;

    while (clock_now(clock) < end || !(r->useless || r->window)) {
        int64_t now = check_reading(clock, r, near);
        ck_assert_int_ge(now, last);
        last = now;
    }
}

START_TEST(quick_readings)
{
    struct clock *clock = clock_new();
    struct clock_reader r = { 0 };
    int64_t stopped;

    ck_assert_int_eq(clock_now_quickly(clock, &r), 0);
    for (unsigned round = 0; round < 3; round++) {
        clock_start(clock);
        check_readings(clock, &r, 1000);
        clock_stop(clock);
        usleep(2000);
        stopped = check_reading(clock, &r, 1000);
        ck_assert_int_eq(clock_now_quickly(clock, &r), stopped);
    }
    clock_free(clock);
}
END_TEST

/* The host's counter was changed, as by a move to another host. */
START_TEST(counter_that_jumps)
{
    const uint64_t by[] = { (uint64_t)1 << 40, -((uint64_t)1 << 40), (uint64_t)1 << 32, 1 << 12 };
    struct clock *clock = clock_new();
    struct clock_reader r = { 0 };

    clock_start(clock);
    check_readings(clock, &r, 1000);
    for (unsigned i = 0; i < 4; i++) {
        r.ticks += by[i];
        r.first_ticks += by[i];
        check_readings(clock, &r, 1000000);
        check_reading(clock, &r, 1000);
    }
    clock_free(clock);
}
END_TEST

static int64_t count_seven(void *opaque)
{
    return *(int *)opaque += 7;
}

START_TEST(quick_readings_of_counted_time)
{
    struct clock *clock = clock_new();
    struct clock_reader r = { 0 };
    int count = 0;

    clock_set_counter(clock, count_seven, &count, 2);
    clock_start(clock);
    for (int64_t i = 0, last = 0; i < 100; i++) {
        int64_t now = clock_now_quickly(clock, &r);
        ck_assert_int_gt(now, last);
        ck_assert_int_eq(now, 4 * count);
        last = now;
    }
    clock_free(clock);
}
END_TEST

START_TEST(muldiv)
{
    ck_assert_int_eq(muldiv64(INT64_MAX, 1000, 1000), INT64_MAX);
    ck_assert_int_eq(muldiv64(1193182, NS_PER_SEC, 1193182), NS_PER_SEC);
}
END_TEST

Suite *clock_suite(void)
{
    Suite *s = suite_create("clock");
    TCase *tc = tcase_create("clock");
    tcase_add_test(tc, fires_at_its_time);
    tcase_add_test(tc, order);
    tcase_add_test(tc, move_and_cancel);
    tcase_add_test(tc, periodic);
    tcase_add_test(tc, notify_when_earliest_changes);
    tcase_add_test(tc, stands_and_runs);
    tcase_add_test(tc, monotonic_for_other_threads);
    tcase_add_test(tc, counted_time);
    tcase_add_test(tc, counted_jump);
    tcase_add_test(tc, counted_units);
    tcase_add_test(tc, counted_timers);
    tcase_add_test(tc, quick_readings);
    tcase_add_test(tc, counter_that_jumps);
    tcase_add_test(tc, quick_readings_of_counted_time);
    tcase_add_test(tc, muldiv);
    suite_add_tcase(s, tc);
    return s;
}
