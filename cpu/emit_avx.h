/* What the emitters of VEX instructions share: a vector register is two fields of 16 bytes, its low half in
 * xmm[] and its high half in ymmh[]; memory operands pass through vtmp[] and vtmph[]. IR knows the distance. */
#ifndef MIMUS_CPU_EMIT_AVX_H
#define MIMUS_CPU_EMIT_AVX_H

#include "cpu/emit_vec.h"

/* The fields of an operand's halves; half[1] is of no use for an operand of 16 bytes and less. */
struct ymm { unsigned half[2]; };

static inline struct ymm emit_ymm_reg(unsigned reg)
{
    return (struct ymm){ { XMM(reg), YMMH(reg) } };
}

/* Halves of operand n: 2 when it has 32 bytes, else 1. */
unsigned emit_ymm_halves(const struct emit *e, unsigned n);
/* enum ir_vec of an instruction that writes operand 0: 32 bytes, or 16 and the high half is cleared. */
unsigned emit_ymm_form(const struct emit *e);
/* The high halves of two operands as emit_vec_pair() makes it, 0 when operand n has only low ones. */
ir_ref emit_ymm_high_pair(struct emit *e, unsigned n, const struct ymm *a, const struct ymm *b);

/* Bits 255:128 of register `reg` := 0: what every VEX instruction with a 128-bit destination does. */
void emit_ymm_clear_high(struct emit *e, unsigned reg);
/* 32 bytes between these fields and the memory operand. All may be accessed or nothing is changed. Rows with
 * the flag ALIGN raise #GP(0) unless the address is a multiple of 32. */
void emit_ymm_load(struct emit *e, const struct ymm *dst);
void emit_ymm_store(struct emit *e, const struct ymm *src);
/* Operand n of any size, register or memory; memory goes to VTMP(0) and VTMPH(0). */
struct ymm emit_ymm_source(struct emit *e, unsigned n);
/* End of an instruction whose destination, operand 0, was computed in `from` in the form of emit_ymm_form(), or is
 * another register: it takes effect, and the high half is cleared when the destination has 16 bytes. */
void emit_ymm_put(struct emit *e, const struct ymm *from);

/* A floating-point operation begins: where its result goes, which is operand 0 itself unless an exception is
 * unmasked; then it is VTMP(2) and VTMPH(2). */
struct ymm emit_ymm_xm_dest(struct emit *e);
/* #XM, if it is unmasked, of operation `vop` (TCG_NUM_VOPS: one that can neither overflow nor underflow)
 * on both halves together, if operand 1 has 32 bytes; then the result takes effect. */
void emit_ymm_xm_done(struct emit *e, unsigned vop, const struct ymm *to, const struct ymm *a,
                      const struct ymm *b);

#endif
