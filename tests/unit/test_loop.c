/* base/loop.h: callbacks come on the main thread with the lock held. */
#include <check.h>
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/loop.h"

struct fixture {
    struct lock lock;
    struct clock *clock;
    struct loop *loop;
    struct timer timer;
    pthread_t main;
    int fds[2];
    unsigned watch;
    unsigned events;
    int calls;
    int order[4];
    int64_t fired_at;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){ .main = pthread_self() };
    lock_init(&f->lock);
    f->clock = clock_new();
    f->loop = loop_new(f->clock, &f->lock);
    ck_assert_int_eq(pipe(f->fds), 0);
}

static void teardown(struct fixture *f)
{
    loop_free(f->loop);
    clock_free(f->clock);
    close(f->fds[0]);
    close(f->fds[1]);
}

static void check_context(struct fixture *f)
{
    ck_assert(pthread_equal(pthread_self(), f->main));
    ck_assert(!lock_try(&f->lock));
}

static void posted_quit(void *opaque)
{
    struct fixture *f = opaque;
    check_context(f);
    f->calls++;
    loop_quit(f->loop, 7);
    loop_quit(f->loop, 8);
}

START_TEST(post_and_quit)
{
    struct fixture f;
    setup(&f);
    loop_post(f.loop, posted_quit, &f);
    ck_assert_int_eq(loop_run(f.loop), 7);
    ck_assert_int_eq(f.calls, 1);
    loop_quit(f.loop, 3);
    ck_assert_int_eq(loop_run(f.loop), 3);
    teardown(&f);
}
END_TEST

static void *poster(void *opaque)
{
    struct fixture *f = opaque;
    loop_post(f->loop, posted_quit, f);
    return NULL;
}

START_TEST(post_from_thread)
{
    struct fixture f;
    pthread_t thread;
    setup(&f);
    pthread_create(&thread, NULL, poster, &f);
    ck_assert_int_eq(loop_run(f.loop), 7);
    pthread_join(thread, NULL);
    teardown(&f);
}
END_TEST

static void add_one(void *opaque)
{
    ++*(int *)opaque;
}

static void post_second(void *opaque)
{
    struct fixture *f = opaque;
    f->order[1] = f->order[0];
    loop_quit(f->loop, 0);
}

START_TEST(posts_in_order)
{
    struct fixture f;
    setup(&f);
    loop_post(f.loop, add_one, &f.order[0]);
    loop_post(f.loop, post_second, &f);
    loop_run(f.loop);
    ck_assert_int_eq(f.order[1], 1);
    teardown(&f);
}
END_TEST

static void readable(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    char c;
    check_context(f);
    f->events |= events;
    if (events & LOOP_READ)
        ck_assert_int_eq(read(f->fds[0], &c, 1), 1);
    if (++f->calls == 2) {
        loop_unwatch(f->loop, f->watch);
        loop_quit(f->loop, 0);
    }
}

START_TEST(watch_stays_until_removed)
{
    struct fixture f;
    setup(&f);
    f.watch = loop_watch(f.loop, f.fds[0], LOOP_READ, readable, &f);
    ck_assert_uint_gt(f.watch, 0);
    ck_assert_int_eq(write(f.fds[1], "abc", 3), 3);
    loop_run(f.loop);
    ck_assert_int_eq(f.calls, 2);
    ck_assert_uint_eq(f.events, LOOP_READ);
    loop_post(f.loop, posted_quit, &f);
    loop_run(f.loop);
    ck_assert_int_eq(f.calls, 3);
    teardown(&f);
}
END_TEST

static void hung_up(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    f->events = events;
    loop_unwatch(f->loop, f->watch);
    loop_quit(f->loop, 0);
}

START_TEST(hang_up)
{
    struct fixture f;
    setup(&f);
    f.watch = loop_watch(f.loop, f.fds[0], LOOP_READ, hung_up, &f);
    close(f.fds[1]);
    loop_run(f.loop);
    ck_assert_uint_eq(f.events & LOOP_HUP, LOOP_HUP);
    f.fds[1] = dup(f.fds[0]);
    teardown(&f);
}
END_TEST

static void timer_fired(void *opaque)
{
    struct fixture *f = opaque;
    check_context(f);
    f->fired_at = clock_now(f->clock);
    loop_quit(f->loop, 0);
}

START_TEST(timer)
{
    struct fixture f;
    setup(&f);
    timer_init(&f.timer, f.clock, timer_fired, &f);
    clock_start(f.clock);
    timer_arm(&f.timer, clock_now(f.clock) + 500000000);
    timer_arm(&f.timer, clock_now(f.clock) + 3000000);
    int64_t due = f.timer.deadline;
    loop_run(f.loop);
    ck_assert_int_ge(f.fired_at, due);
    ck_assert_int_lt(f.fired_at, due + 400000000);
    teardown(&f);
}
END_TEST

START_TEST(timer_moved_later)
{
    struct fixture f;
    setup(&f);
    timer_init(&f.timer, f.clock, timer_fired, &f);
    clock_start(f.clock);
    timer_arm(&f.timer, clock_now(f.clock) + 1000000);
    timer_arm(&f.timer, clock_now(f.clock) + 20000000);
    int64_t due = f.timer.deadline;
    loop_run(f.loop);
    ck_assert_int_ge(f.fired_at, due);
    teardown(&f);
}
END_TEST

static void *restart_clock(void *opaque)
{
    struct fixture *f = opaque;
    usleep(20000);
    lock_take(&f->lock);
    f->calls = f->fired_at != 0;
    clock_start(f->clock);
    lock_release(&f->lock);
    return NULL;
}

START_TEST(no_timer_while_stopped)
{
    struct fixture f;
    pthread_t thread;
    setup(&f);
    timer_init(&f.timer, f.clock, timer_fired, &f);
    clock_start(f.clock);
    timer_arm(&f.timer, clock_now(f.clock) + 5000000);
    clock_stop(f.clock);
    pthread_create(&thread, NULL, restart_clock, &f);
    loop_run(f.loop);
    pthread_join(thread, NULL);
    ck_assert_int_eq(f.calls, 0);
    ck_assert_int_ge(f.fired_at, 5000000);
    teardown(&f);
}
END_TEST

Suite *loop_suite(void)
{
    Suite *s = suite_create("loop");
    TCase *tc = tcase_create("loop");
    tcase_add_test(tc, post_and_quit);
    tcase_add_test(tc, post_from_thread);
    tcase_add_test(tc, posts_in_order);
    tcase_add_test(tc, watch_stays_until_removed);
    tcase_add_test(tc, hang_up);
    tcase_add_test(tc, timer);
    tcase_add_test(tc, timer_moved_later);
    tcase_add_test(tc, no_timer_while_stopped);
    suite_add_tcase(s, tc);
    return s;
}
