/* A barrier in all threads of the process at once, made by the one that needs it: a pair of threads that would need a
 * full barrier each then has none in the thread that comes there often. */
#ifndef MIMUS_BASE_BARRIER_H
#define MIMUS_BASE_BARRIER_H

#include <stdbool.h>

/* Can the host do it? To be called before the first barrier; costs a system call. */
bool barrier_can_reach_all(void);
/* Every thread of the process passes a full barrier between this call's begin and end. Takes some microseconds. */
void barrier_reach_all(void);
/* The half of the others: the compiler keeps the order of what is before and behind. */
static inline void barrier_be_reached(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
