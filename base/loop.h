/* The main thread's event loop (GLib underneath) and the machine lock.
 * Every callback runs on the main thread with the machine lock held. */
#ifndef MIMUS_BASE_LOOP_H
#define MIMUS_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct clock;
struct lock;
struct loop;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };

/* A loop that drives `clock`'s timers and takes `lock` around every callback. */
struct loop *loop_new(struct clock *clock, struct lock *lock);
void loop_free(struct loop *loop);

/* Run until loop_quit(). Called without the lock. Returns the value given to loop_quit. */
int loop_run(struct loop *loop);
/* Any thread. The first call's status wins. */
void loop_quit(struct loop *loop, int status);

/* Watch `fd` for `events`; the callback gets the events that occurred. Returns
 * a watch id > 0. The watch stays until removed. Any thread. */
unsigned loop_watch(struct loop *loop, int fd, unsigned events,
                    void (*cb)(void *opaque, unsigned events), void *opaque);
void loop_unwatch(struct loop *loop, unsigned id);
/* Run `cb(opaque)` once on the main thread soon. Any thread. */
void loop_post(struct loop *loop, void (*cb)(void *opaque), void *opaque);

#endif
