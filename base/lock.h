/* The machine lock: a mutex that nobody waits long for, whoever else asks for it all the time. */
#ifndef MIMUS_BASE_LOCK_H
#define MIMUS_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

struct lock {
    pthread_mutex_t mutex;
};

void lock_init(struct lock *l);
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
/* False: somebody has it. */
bool lock_try(struct lock *l);
void lock_release(struct lock *l);
/* Wait for `cond` without the lock, as pthread_cond_wait(). */
void lock_wait(struct lock *l, pthread_cond_t *cond);

#endif
