/* What the emitters of VEX instructions share: a vector register is two fields of 16 bytes, its low half in
 * xmm[] and its high half in ymmh[]; memory operands pass through vtmp[]. */
#ifndef MIMUS_CPU_EMIT_AVX_H
#define MIMUS_CPU_EMIT_AVX_H

#include "cpu/emit_vec.h"

/* Field of the low (0) or high (1) half of vector register `reg`. */
static inline unsigned avx_half(unsigned reg, unsigned half)
{
    return half ? YMMH(reg) : XMM(reg);
}

/* The fields of an operand's halves; half[1] is of no use for an operand of 16 bytes and less. */
struct avx_operand { unsigned half[2]; };

/* A 32-bit constant: helper arguments. */
ir_ref avx_const(struct emit *e, uint32_t v);
/* Bits 255:128 of register `reg` := 0: what every VEX instruction with a 128-bit destination does last. */
void avx_clear_high(struct emit *e, unsigned reg);
/* The memory operand, `size` bytes (1, 2, 4, 8, 16, 32), into `field` and, with 32, into `high`. All 32
 * bytes are read or nothing is changed. Rows with the flag ALIGN raise #GP(0) unless the address is a
 * multiple of the size. */
void avx_load(struct emit *e, unsigned field, unsigned high, unsigned size);
/* 16 or 32 bytes from these fields to the memory operand; a fault changes nothing. ALIGN as in avx_load(). */
void avx_store(struct emit *e, const struct avx_operand *src, unsigned size);
/* Operand n, register or memory; memory goes to vtmp[tmp] and vtmp[tmp + 1]. */
struct avx_operand avx_source(struct emit *e, unsigned n, unsigned tmp);
/* Halves of operand n: 2 when it has 32 bytes, else 1. */
unsigned avx_halves(const struct emit *e, unsigned n);
/* End of an instruction whose destination, operand 0, was computed in `from`: it takes effect, and the
 * high half is cleared when the destination has 16 bytes. */
void avx_put(struct emit *e, const struct avx_operand *from);

/* A floating-point operation begins: where its result goes, which is operand 0 itself unless an exception is
 * unmasked; then it is vtmp[2] and vtmp[3]. */
struct avx_operand avx_float_begin(struct emit *e);
/* #XM, if it is unmasked, of operation `vop` (TCG_NUM_VOPS: one that can neither overflow nor underflow)
 * on both halves together, if operand 1 has 32 bytes; then the result takes effect. */
void avx_float_end(struct emit *e, unsigned vop, const struct avx_operand *to, const struct avx_operand *a,
                   const struct avx_operand *b);

#endif
