/* The main thread's event loop: a GMainContext of its own, a timerfd for the
 * clock's deadlines, and the machine lock around every callback. */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"

struct loop {
    GMainContext *context;
    struct clock *clock;
    struct lock *lock;
    int timer_fd;
    unsigned timer_watch;
    int64_t armed; /* virtual time the timerfd waits for; INT64_MAX: disarmed */
    int quit;      /* 0, 2 while the first caller of loop_quit() stores the status, then 1 */
    int status;
};

struct watch {
    struct loop *loop;
    void (*cb)(void *opaque, unsigned events);
    void *opaque;
};

struct post {
    struct loop *loop;
    void (*cb)(void *opaque);   /* written last, read first: hands over the rest, whatever GLib does in between */
    void *opaque;
};

/* Set the timerfd for the clock's earliest deadline. One that waits for an
 * earlier time is left alone: it wakes the loop for nothing once, which is
 * cheaper than a system call each time a device moves its timer ahead. */
static void loop_arm_timer(void *opaque)
{
    struct loop *loop = opaque;
    int64_t deadline = clock_running(loop->clock) ? clock_deadline(loop->clock) : INT64_MAX;
    struct itimerspec spec = { 0 };
    if (deadline == loop->armed || (deadline > loop->armed && clock_running(loop->clock)))
        return;
    if (deadline != INT64_MAX) {
        int64_t wait = deadline - clock_now(loop->clock);
        if (wait < 1)
            wait = 1; /* zero would disarm it */
        spec.it_value.tv_sec = wait / NS_PER_SEC;
        spec.it_value.tv_nsec = wait % NS_PER_SEC;
    }
    timerfd_settime(loop->timer_fd, 0, &spec, NULL);
    loop->armed = deadline;
}

static void loop_timer_expired(void *opaque, unsigned events)
{
    struct loop *loop = opaque;
    uint64_t expirations;
    (void)events;
    if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0)
        return; /* disarmed or moved between poll and here */
    loop->armed = INT64_MAX;
    if (clock_running(loop->clock))
        clock_run_timers(loop->clock);
    loop_arm_timer(loop);
}

struct loop *loop_new(struct clock *clock, struct lock *lock)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    assert(loop);
    loop->context = g_main_context_new();
    loop->clock = clock;
    loop->lock = lock;
    loop->armed = INT64_MAX;
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    assert(loop->timer_fd >= 0);
    loop->timer_watch = loop_watch(loop, loop->timer_fd, LOOP_READ, loop_timer_expired, loop);
    clock_set_notify(clock, loop_arm_timer, loop);
    loop_arm_timer(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    clock_set_notify(loop->clock, NULL, NULL);
    loop_unwatch(loop, loop->timer_watch);
    g_main_context_unref(loop->context);
    close(loop->timer_fd);
    free(loop);
}

int loop_run(struct loop *loop)
{
    while (__atomic_load_n(&loop->quit, __ATOMIC_ACQUIRE) != 1)
        g_main_context_iteration(loop->context, TRUE);
    int status = __atomic_load_n(&loop->status, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->quit, 0, __ATOMIC_RELEASE);
    return status;
}

void loop_quit(struct loop *loop, int status)
{
    int idle = 0;
    if (__atomic_compare_exchange_n(&loop->quit, &idle, 2, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        __atomic_store_n(&loop->status, status, __ATOMIC_RELAXED);
        __atomic_store_n(&loop->quit, 1, __ATOMIC_RELEASE);
    }
    g_main_context_wakeup(loop->context);
}

/* A watch removed by another thread while this one waited for the lock must not fire any more. */
static gboolean watch_ready(gint fd, GIOCondition cond, gpointer data)
{
    struct watch *w = data;
    unsigned events = (cond & G_IO_IN ? LOOP_READ : 0) | (cond & G_IO_OUT ? LOOP_WRITE : 0) |
                      (cond & (G_IO_HUP | G_IO_ERR | G_IO_NVAL) ? LOOP_HUP : 0);
    (void)fd;
    lock_take(w->loop->lock);
    if (!g_source_is_destroyed(g_main_current_source()))
        w->cb(w->opaque, events);
    lock_release(w->loop->lock);
    return G_SOURCE_CONTINUE;
}

unsigned loop_watch(struct loop *loop, int fd, unsigned events,
                    void (*cb)(void *opaque, unsigned events), void *opaque)
{
    unsigned cond = (events & LOOP_READ ? G_IO_IN : 0) | (events & LOOP_WRITE ? G_IO_OUT : 0) |
                    (events & LOOP_HUP ? G_IO_HUP | G_IO_ERR : 0);
    struct watch *w = malloc(sizeof(*w));
    assert(w);
    *w = (struct watch){ loop, cb, opaque };
    GSource *source = g_unix_fd_source_new(fd, (GIOCondition)cond);
    g_source_set_callback(source, G_SOURCE_FUNC(watch_ready), w, free);
    unsigned id = g_source_attach(source, loop->context);
    g_source_unref(source);
    return id;
}

void loop_unwatch(struct loop *loop, unsigned id)
{
    GSource *source = g_main_context_find_source_by_id(loop->context, id);
    if (source)
        g_source_destroy(source);
}

static gboolean post_run(gpointer data)
{
    struct post *p = data;
    void (*cb)(void *opaque) = __atomic_load_n(&p->cb, __ATOMIC_ACQUIRE);
    lock_take(p->loop->lock);
    cb(p->opaque);
    lock_release(p->loop->lock);
    return G_SOURCE_REMOVE;
}

void loop_post(struct loop *loop, void (*cb)(void *opaque), void *opaque)
{
    struct post *p = malloc(sizeof(*p));
    assert(p);
    *p = (struct post){ .loop = loop, .opaque = opaque };
    __atomic_store_n(&p->cb, cb, __ATOMIC_RELEASE);
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, post_run, p, free);
    g_source_attach(source, loop->context);
    g_source_unref(source);
}
