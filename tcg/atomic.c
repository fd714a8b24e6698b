/* Atomic operations on host memory; see atomic.h. */
#include "tcg/atomic.h"

#include "base/bits.h"

bool atomic_possible(const void *p, unsigned size)
{
#if defined(__x86_64__) || defined(__i386__)
    if (size <= 8)
        return true;
#endif
#if !defined(__x86_64__)
    if (size > 8)
        return false;
#endif
    return !((uintptr_t)p & (size - 1));
}

uint64_t atomic_result(enum ir_atomic kind, uint64_t old, uint64_t value)
{
    switch (kind) {
    case IR_ATOMIC_ADD: return old + value;
    case IR_ATOMIC_AND: return old & value;
    case IR_ATOMIC_OR: return old | value;
    case IR_ATOMIC_XOR: return old ^ value;
    case IR_ATOMIC_NEG: return -old;
    default: return value;
    }
}

/* Compare and exchange of one unit: the old value. */
#define SAME(n, v) (v)
#define CAS(bits, le, p, expected, desired) \
    do { \
        uint##bits##_t old = le(bits, (uint##bits##_t)(expected)); \
        uint##bits##_t new = le(bits, (uint##bits##_t)(desired)); \
        __atomic_compare_exchange_n((uint##bits##_t *)(p), &old, new, false, __ATOMIC_SEQ_CST, \
                                    __ATOMIC_SEQ_CST); \
        return le(bits, old); \
    } while (0)

uint64_t atomic_cas(void *p, unsigned size, uint64_t expected, uint64_t desired)
{
    switch (size) {
    case 1: CAS(8, SAME, p, expected, desired);
    case 2: CAS(16, BITS_LE, p, expected, desired);
    case 4: CAS(32, BITS_LE, p, expected, desired);
    default: CAS(64, BITS_LE, p, expected, desired);
    }
}

uint64_t atomic_rmw(void *p, unsigned size, enum ir_atomic kind, uint64_t value)
{
    uint64_t old = load_shared_le(p, size), seen;

    while ((seen = atomic_cas(p, size, old, atomic_result(kind, old, value))) != old)
        old = seen;
    return old;
}

#if defined(__x86_64__)
bool atomic_cas16(void *p, uint64_t expected[2], const uint64_t desired[2])
{
    bool equal;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(equal), "+m"(*(uint64_t(*)[2])p), "+a"(expected[0]), "+d"(expected[1])
                     : "b"(desired[0]), "c"(desired[1])
                     : "memory");
    return equal;
}
#else
/* atomic_possible() says no. */
bool atomic_cas16(void *p, uint64_t expected[2], const uint64_t desired[2])
{
    (void)p;
    (void)expected;
    (void)desired;
    return false;
}
#endif

void atomic_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
