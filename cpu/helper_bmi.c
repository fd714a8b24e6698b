/* Helpers of the integer extensions: bit counts, bit gathering, CRC32-C, random numbers. */
#include <sys/random.h>

#include "cpu/helpers.h"

#include "base/bits.h"

/* ---- by the manual ---- */

uint64_t helper_popcnt(struct cpu *cpu, uint64_t v)
{
    (void)cpu;
    return (uint64_t)__builtin_popcountll(v);
}

uint64_t helper_pdep(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    uint64_t res = 0;

    (void)cpu;
    for (; mask; mask &= mask - 1, v >>= 1)
        if (v & 1)
            res |= mask & -mask;
    return res;
}

uint64_t helper_pext(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    uint64_t res = 0;

    (void)cpu;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        if (v & mask & -mask)
            res |= BIT(n);
    return res;
}

/* The polynomial 11EDC6F41h of the manual with its bits reversed, as data and remainder have theirs; what
 * four bits of data do to the remainder. */
#define CRC_BIT(r) ((r) >> 1 ^ ((r) & 1 ? UINT32_C(0x82f63b78) : 0))
#define CRC_4BITS(n) CRC_BIT(CRC_BIT(CRC_BIT(CRC_BIT(UINT32_C(n)))))
static const uint32_t crc_table[16] = {
    CRC_4BITS(0), CRC_4BITS(1), CRC_4BITS(2), CRC_4BITS(3), CRC_4BITS(4), CRC_4BITS(5), CRC_4BITS(6),
    CRC_4BITS(7), CRC_4BITS(8), CRC_4BITS(9), CRC_4BITS(10), CRC_4BITS(11), CRC_4BITS(12), CRC_4BITS(13),
    CRC_4BITS(14), CRC_4BITS(15),
};

uint64_t helper_crc32(struct cpu *cpu, uint64_t crc64, uint64_t v, uint64_t size)
{
    uint32_t crc = (uint32_t)crc64;

    (void)cpu;
    for (unsigned i = 0; i < 2 * size; i++, v >>= 4)
        crc = crc >> 4 ^ crc_table[(crc ^ v) & 15];
    return crc;
}

/* ---- by the host's instructions: called only where cpu->host_isa has them ---- */

#if defined(__x86_64__)
uint64_t helper_popcnt_host(struct cpu *cpu, uint64_t v)
{
    (void)cpu;
    __asm__("popcntq %0, %0" : "+r"(v) : : "cc");
    return v;
}

uint64_t helper_pdep_host(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    (void)cpu;
    __asm__("pdepq %1, %0, %0" : "+r"(v) : "r"(mask));
    return v;
}

uint64_t helper_pext_host(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    (void)cpu;
    __asm__("pextq %1, %0, %0" : "+r"(v) : "r"(mask));
    return v;
}

uint64_t helper_crc32_host(struct cpu *cpu, uint64_t crc, uint64_t v, uint64_t size)
{
    (void)cpu;
    switch (size) {
    case 1: __asm__("crc32b %b1, %k0" : "+r"(crc) : "q"(v)); break;
    case 2: __asm__("crc32w %w1, %k0" : "+r"(crc) : "r"(v)); break;
    case 4: __asm__("crc32l %k1, %k0" : "+r"(crc) : "r"(v)); break;
    default: __asm__("crc32q %1, %0" : "+r"(crc) : "r"(v)); break;
    }
    return crc;
}
#else
uint64_t helper_popcnt_host(struct cpu *cpu, uint64_t v) { return helper_popcnt(cpu, v); }
uint64_t helper_pdep_host(struct cpu *cpu, uint64_t v, uint64_t mask) { return helper_pdep(cpu, v, mask); }
uint64_t helper_pext_host(struct cpu *cpu, uint64_t v, uint64_t mask) { return helper_pext(cpu, v, mask); }
uint64_t helper_crc32_host(struct cpu *cpu, uint64_t crc, uint64_t v, uint64_t size)
{
    return helper_crc32(cpu, crc, v, size);
}
#endif

/* ---- random numbers ---- */

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t next_of_sequence(uint64_t *state)
{
    uint64_t v = *state += UINT64_C(0x9e3779b97f4a7c15);

    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

uint64_t helper_random(struct cpu *cpu)
{
    uint64_t v = cpu->opt.seeded ? next_of_sequence(&cpu->random) : 0;
    bool got = cpu->opt.seeded || getrandom(&v, sizeof(v), 0) == sizeof(v);

    cpu_set_flags6(cpu, got ? FL_CF : 0);
    return got ? v : 0;
}
