/* Bit, alignment and byte-order helpers shared by every room. */
#ifndef MIMUS_BASE_BITS_H
#define MIMUS_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (UINT64_C(1) << (n))
#define MASK(n) ((n) >= 64 ? ~UINT64_C(0) : BIT(n) - 1)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* Bits [pos, pos+len) of `v`; len is 1..64. */
static inline uint64_t bits_extract(uint64_t v, unsigned pos, unsigned len)
{
    return (v >> pos) & MASK(len);
}

/* `v` with bits [pos, pos+len) replaced by the low bits of `field`. */
static inline uint64_t bits_deposit(uint64_t v, unsigned pos, unsigned len, uint64_t field)
{
    return (v & ~(MASK(len) << pos)) | ((field & MASK(len)) << pos);
}

/* The low `len` bits (1..64) of `v`, sign-extended. */
static inline int64_t bits_sext(uint64_t v, unsigned len)
{
    return (int64_t)(v << (64 - len)) >> (64 - len);
}

static inline uint64_t align_down(uint64_t v, uint64_t pow2) { return v & ~(pow2 - 1); }
static inline uint64_t align_up(uint64_t v, uint64_t pow2) { return (v + pow2 - 1) & ~(pow2 - 1); }
static inline bool is_pow2(uint64_t v) { return v && !(v & (v - 1)); }

/* Little-endian access to `size` (1..8) bytes at any alignment, on any host. */
static inline uint64_t load_le(const void *p, unsigned size)
{
    const uint8_t *b = p;
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

static inline void store_le(void *p, unsigned size, uint64_t v)
{
    uint8_t *b = p;
    for (unsigned i = 0; i < size; i++)
        b[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t load_be(const void *p, unsigned size)
{
    const uint8_t *b = p;
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v = v << 8 | b[i];
    return v;
}

static inline void store_be(void *p, unsigned size, uint64_t v)
{
    uint8_t *b = p;
    for (unsigned i = 0; i < size; i++)
        b[i] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

#endif
