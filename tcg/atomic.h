/* Atomic read-modify-write on host memory that other threads use at the same time: what IR_ATOMIC and IR_CAS
 * do. Units are little-endian and of 1, 2, 4 or 8 bytes; every operation is a full barrier. */
#ifndef MIMUS_TCG_ATOMIC_H
#define MIMUS_TCG_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tcg/ir.h"

/* Can the host do it at `p`? Hosts other than x86 want natural alignment; 16 bytes want it everywhere. */
bool atomic_possible(const void *p, unsigned size);
/* What is stored when `old` was there. */
uint64_t atomic_result(enum ir_atomic kind, uint64_t old, uint64_t value);
/* Both return the old value. */
uint64_t atomic_rmw(void *p, unsigned size, enum ir_atomic kind, uint64_t value);
uint64_t atomic_cas(void *p, unsigned size, uint64_t expected, uint64_t desired);
/* 16 bytes, low half first. True: they were equal to `expected` and are `desired` now; false: `expected` gets
 * what was there. */
bool atomic_cas16(void *p, uint64_t expected[2], const uint64_t desired[2]);
void atomic_fence(void);

#endif
