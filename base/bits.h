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

/* The first of `num` bits at or behind number `from` that is set; `num`: there is none. Bit n is n % 64 of map[n / 64]. */
static inline unsigned bits_next(const uint64_t *map, unsigned num, unsigned from)
{
    for (uint64_t mask = UINT64_MAX << from % 64; from < num; mask = UINT64_MAX, from = (from | 63) + 1)
        if (map[from / 64] & mask)
            return (from & ~63u) + (unsigned)__builtin_ctzll(map[from / 64] & mask);
    return num;
}

static inline uint64_t align_down(uint64_t v, uint64_t pow2) { return v & ~(pow2 - 1); }
static inline uint64_t align_up(uint64_t v, uint64_t pow2) { return (v + pow2 - 1) & ~(pow2 - 1); }
static inline bool is_pow2(uint64_t v) { return v && !(v & (v - 1)); }

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BITS_LE(n, v) __builtin_bswap##n(v)
#else
#define BITS_LE(n, v) (v)
#endif

/* Little-endian access to `size` (1..8) bytes at any alignment, on any host; one access of the host where the size is
 * a constant. */
static inline uint64_t load_le(const void *p, unsigned size)
{
    const uint8_t *b = p;
    uint16_t v16;
    uint32_t v32;
    uint64_t v = 0;

    switch (__builtin_constant_p(size) ? size : 0) {
    case 1: return *b;
    case 2: return memcpy(&v16, p, 2), BITS_LE(16, v16);
    case 4: return memcpy(&v32, p, 4), BITS_LE(32, v32);
    case 8: return memcpy(&v, p, 8), BITS_LE(64, v);
    default: break;
    }
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

static inline void store_le(void *p, unsigned size, uint64_t v)
{
    uint16_t v16 = BITS_LE(16, (uint16_t)v);
    uint32_t v32 = BITS_LE(32, (uint32_t)v);
    uint64_t v64 = BITS_LE(64, v);
    uint8_t *b = p;

    switch (__builtin_constant_p(size) ? size : 0) {
    case 1: *b = (uint8_t)v; return;
    case 2: memcpy(p, &v16, 2); return;
    case 4: memcpy(p, &v32, 4); return;
    case 8: memcpy(p, &v64, 8); return;
    default: break;
    }
    for (unsigned i = 0; i < size; i++)
        b[i] = (uint8_t)(v >> (8 * i));
}

/* ---- guest RAM ----
 *
 * Translated code, helpers and devices use it at the same time, as the guest has arranged it or not; nothing of ours
 * depends on an order of these accesses. ThreadSanitizer sees only some of them and would report each disagreement of
 * the guest's own, so it does not look at these functions, nor do they call what it intercepts. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define BITS_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define BITS_TSAN 1
#endif
#ifdef BITS_TSAN
#define SHARED_ACCESS __attribute__((no_sanitize("thread"), noinline, unused))
#else
#define SHARED_ACCESS inline
#endif

/* As load_le and store_le: 1, 2, 4 and 8 bytes are one access of the host, so that where they are naturally aligned
 * the others see all of it or nothing. */
static SHARED_ACCESS uint64_t load_shared_le(const void *p, unsigned size)
{
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (size) {
    case 1: return *(const uint8_t *)p;
    case 2: return memcpy(&v16, p, 2), BITS_LE(16, v16);
    case 4: return memcpy(&v32, p, 4), BITS_LE(32, v32);
    case 8: return memcpy(&v64, p, 8), BITS_LE(64, v64);
    default: break;
    }
    v64 = 0;
    for (unsigned i = 0; i < size; i++)
        v64 |= (uint64_t)((const uint8_t *)p)[i] << (8 * i);
    return v64;
}

static SHARED_ACCESS void store_shared_le(void *p, unsigned size, uint64_t v)
{
    uint16_t v16 = BITS_LE(16, (uint16_t)v);
    uint32_t v32 = BITS_LE(32, (uint32_t)v);
    uint64_t v64 = BITS_LE(64, v);

    switch (size) {
    case 1: *(uint8_t *)p = (uint8_t)v; break;
    case 2: memcpy(p, &v16, 2); break;
    case 4: memcpy(p, &v32, 4); break;
    case 8: memcpy(p, &v64, 8); break;
    default:
        for (unsigned i = 0; i < size; i++)
            ((uint8_t *)p)[i] = (uint8_t)(v >> (8 * i));
        break;
    }
}

/* Copy `n` bytes from, to or within guest RAM; they may overlap. */
static SHARED_ACCESS void copy_shared(void *to, const void *from, size_t n)
{
#ifdef BITS_TSAN
    volatile uint8_t *d = to;
    const volatile uint8_t *s = from;

    if ((uintptr_t)d - (uintptr_t)s >= n)
        for (size_t i = 0; i < n; i++)
            d[i] = s[i];
    else
        while (n--)
            d[n] = s[n];
#else
    memmove(to, from, n);
#endif
}

static SHARED_ACCESS void fill_shared(void *to, uint8_t value, size_t n)
{
#ifdef BITS_TSAN
    for (volatile uint8_t *d = to; n; n--)
        *d++ = value;
#else
    memset(to, value, n);
#endif
}

/* Does guest RAM hold these bytes? */
static SHARED_ACCESS bool equal_shared(const void *ram, const void *bytes, size_t n)
{
#ifdef BITS_TSAN
    const volatile uint8_t *a = ram;
    const uint8_t *b = bytes;

    while (n && *a == *b)
        a++, b++, n--;
    return !n;
#else
    return !memcmp(ram, bytes, n);
#endif
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
