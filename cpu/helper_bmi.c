/* Helpers of the integer extensions: bit counts, bit gathering, CRC32-C, random numbers. */
#include <sys/random.h>

#include "cpu/helpers.h"


/* ---- what the host has no instruction for ---- */

uint64_t helper_popcnt(struct cpu *cpu, uint64_t v)
{
    (void)cpu;
    return ir_eval(IR_POPCNT, IR_I64, 0, 0, 0, v, 0, 0);
}

uint64_t helper_pdep(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    (void)cpu;
    return ir_eval(IR_PDEP, IR_I64, 0, 0, 0, v, mask, 0);
}

uint64_t helper_pext(struct cpu *cpu, uint64_t v, uint64_t mask)
{
    (void)cpu;
    return ir_eval(IR_PEXT, IR_I64, 0, 0, 0, v, mask, 0);
}

uint64_t helper_crc32(struct cpu *cpu, uint64_t crc, uint64_t v, uint64_t size)
{
    (void)cpu;
    return ir_eval(IR_CRC32, size == 8 ? IR_I64 : size == 4 ? IR_I32 : size == 2 ? IR_I16 : IR_I8, 0, 0, 0, crc, v, 0);
}

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
