/* What the helpers of vector instructions share: emitters hand them fields of struct cpu by offset, two in
 * one argument (emit_vec_pair). */
#ifndef MIMUS_CPU_HELPER_VEC_H
#define MIMUS_CPU_HELPER_VEC_H

#include "cpu/state.h"

/* The field at bits 15:0 of `fields`, and the one at bits 31:16. */
static inline union vec128 *cpu_vec_first(struct cpu *cpu, uint64_t fields)
{
    return (union vec128 *)((char *)cpu + (fields & 0xffff));
}

static inline union vec128 *cpu_vec_second(struct cpu *cpu, uint64_t fields)
{
    return cpu_vec_first(cpu, fields >> 16);
}

/* IR_MEM_* of accesses through `seg` whose limit the helper has looked at. */
static inline uint32_t cpu_vec_mem(unsigned seg)
{
    return seg == S_SS ? IR_MEM_STACK : 0;
}

#endif
