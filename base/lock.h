/* The machine lock: a mutex that nobody waits long for, whoever else asks for it all the time. Who has waited for a
 * millisecond stands in a queue, and as long as there is one newcomers wait before the door. */
#ifndef MIMUS_BASE_LOCK_H
#define MIMUS_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lock_waiter;

struct lock {
    pthread_mutex_t mutex;              /* held by the owner */
    pthread_mutex_t queue_lock;         /* for what follows; taken alone or after `mutex` */
    struct lock_waiter *first, **last;  /* those who get it next, in this order */
    unsigned queued;                    /* how many they are; may be read without the lock */
    pthread_cond_t open;                /* queued has become 0 */
    const char *holder;                 /* debug builds: who took it, when, and what its thread had used then */
    int64_t since, busy, slept;
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);
/* Debug builds tell on stderr about each hold of more than 10 ms, unless the host just did not let the thread run. */
#define lock_take(l) lock_take_as((l), __func__)
void lock_take_as(struct lock *l, const char *holder);
/* False: somebody has it, or has waited long for it. */
#define lock_try(l) lock_try_as((l), __func__)
bool lock_try_as(struct lock *l, const char *holder);
void lock_release(struct lock *l);
/* With the lock held: go without it until lock_wake() with the same `cond`. May return without. */
#define lock_wait(l, cond) lock_wait_as((l), (cond), __func__)
void lock_wait_as(struct lock *l, pthread_cond_t *cond, const char *holder);
/* With the lock held: all who wait for `cond` go on when they get the lock. */
void lock_wake(struct lock *l, pthread_cond_t *cond);

#endif
