/* The machine lock. */
#include "base/lock.h"

void lock_init(struct lock *l)
{
    pthread_mutex_init(&l->mutex, NULL);
}

void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

void lock_take(struct lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

bool lock_try(struct lock *l)
{
    return !pthread_mutex_trylock(&l->mutex);
}

void lock_release(struct lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

void lock_wait(struct lock *l, pthread_cond_t *cond)
{
    pthread_cond_wait(cond, &l->mutex);
}
