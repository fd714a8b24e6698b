/* A lock of one byte for a few instructions: who waits for it burns time, and after a while gives its core away. Zero
 * is free. */
#ifndef MIMUS_BASE_SPIN_H
#define MIMUS_BASE_SPIN_H

#include <sched.h>
#include <stdint.h>

/* Tell the host's processor that this is a loop that waits. */
static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static inline void spin_lock(uint8_t *l)
{
    for (unsigned n = 1; __atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE); n++) {
        while (__atomic_load_n(l, __ATOMIC_RELAXED) && n % 128) {
            spin_pause();
            n++;
        }
        if (n % 128 == 0)
            sched_yield(); /* its holder may be waiting for a core */
    }
}

static inline void spin_unlock(uint8_t *l)
{
    __atomic_store_n(l, 0, __ATOMIC_RELEASE);
}

#endif
