/* AVX instructions that are no plain vector operation. */
#include "cpu/helpers.h"

static const union vec128 *field(const struct cpu *cpu, uint64_t offset)
{
    return (const union vec128 *)((const char *)cpu + (offset & 0xffff));
}

/* ---- tests ---- */

/* Bits of a & b and of ~a & b of one half, each condensed to zero or not. */
static void test_half(const struct cpu *cpu, uint64_t fields, uint64_t *both, uint64_t *rest)
{
    const union vec128 *a = field(cpu, fields), *b = field(cpu, fields >> 16);

    *both |= (a->u64[0] & b->u64[0]) | (a->u64[1] & b->u64[1]);
    *rest |= (~a->u64[0] & b->u64[0]) | (~a->u64[1] & b->u64[1]);
}

/* VPTEST: ZF and CF (SDM vol. 2, PTEST). */
uint64_t helper_vptest(struct cpu *cpu, uint64_t low, uint64_t high)
{
    uint64_t both = 0, rest = 0;

    test_half(cpu, low, &both, &rest);
    if (high)
        test_half(cpu, high, &both, &rest);
    return (both ? 0 : IR_ZF) | (rest ? 0 : IR_CF);
}
