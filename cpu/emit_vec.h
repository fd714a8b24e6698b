/* What the emitters of MMX, SSE and AVX share. Vector registers are fields of struct cpu, named by their byte
 * offset; a vector operation (ir_vop, ir_vopi) takes three fields of 16 bytes. */
#ifndef MIMUS_CPU_EMIT_VEC_H
#define MIMUS_CPU_EMIT_VEC_H

#include "cpu/emit.h"

/* Fields of 16 bytes: XMM registers, the upper halves of the YMM registers, temporaries. No value in a
 * temporary lives longer than the instruction. emit_vec_source() uses VTMP(0), emit_xm_dest() VTMP(2). */
#define XMM(n) ((unsigned)offsetof(struct cpu, xmm[n]))
#define YMMH(n) ((unsigned)offsetof(struct cpu, ymmh[n]))
#define VTMP(n) ((unsigned)offsetof(struct cpu, vtmp[n]))
#define VTMPH(n) ((unsigned)offsetof(struct cpu, vtmph[n]))
/* MMX register: the first 8 bytes of a 16-byte field, whose others are not to be touched. */
#define MMXREG(n) ((unsigned)offsetof(struct cpu, fpu.st[n]))

/* ---- values ---- */

/* A 32-bit constant: what helpers take. Two fields make one: `a` in bits 15:0, `b` in bits 31:16. */
ir_ref emit_vec_const(struct emit *e, uint32_t v);
ir_ref emit_vec_pair(struct emit *e, unsigned a, unsigned b);
uint8_t emit_vec_imm8(const struct emit *e);

/* 8 bytes at `field`. */
ir_ref emit_vec_get64(struct emit *e, unsigned field);
void emit_vec_put64(struct emit *e, unsigned field, ir_ref v);
void emit_vec_copy64(struct emit *e, unsigned dst, unsigned src);
/* 16 bytes. Source and destination may be the same. */
void emit_vec_copy(struct emit *e, unsigned dst, unsigned src);
void emit_vec_zero(struct emit *e, unsigned field);

/* The arithmetic flags := the six bits at their EFLAGS places in `word`. */
void emit_vec_put_flags(struct emit *e, ir_ref word);

/* ---- operands ---- */

/* Field of a register operand, XMM or MMX. */
unsigned emit_vec_field(const struct operand *o);
/* `size` bytes (1, 2, 4, 8, 16) of the memory operand to `field`, whose other bytes stay, or from it. May
 * fault. 16 bytes must be aligned if the row has ALIGN. */
void emit_vec_load(struct emit *e, unsigned field, unsigned size);
void emit_vec_store(struct emit *e, unsigned field, unsigned size);
/* 4 or 8 bytes; the field's others are cleared. */
void emit_vec_load_scalar(struct emit *e, unsigned field, unsigned size);
/* Field of operand n of at most 16 bytes: the register's, or VTMP(0), into which memory is loaded. */
unsigned emit_vec_source(struct emit *e, unsigned n);

/* An MMX instruction enters MMX state (all registers valid, TOP 0) after what may fault, and marks the
 * register that it writes (exponent FFFF). */
void emit_mmx_enter(struct emit *e);
void emit_mmx_written(struct emit *e, unsigned reg);

/* ---- floating-point exceptions ----
 *
 * When an exception is unmasked (MODE_XM), the operation writes a temporary, then its exception flags are
 * looked at, and only without a fault the result takes effect. In other modes these do nothing and the
 * operation writes `dst` itself. The order is
 *     to = emit_xm_dest(e, dst);        the field to write, which holds dst's old value
 *     ir_vop(e->b, vop, to, ...);
 *     emit_xm_check_vop(e, vop, a, b);  or emit_xm_check(e)
 *     emit_xm_result(e, dst);
 * All that may fault otherwise stands before emit_xm_dest. An operation on several fields calls emit_xm_begin
 * instead, writes temporaries of its own if e->mode & MODE_XM, and checks once after all of them. */
unsigned emit_xm_dest(struct emit *e, unsigned dst);
void emit_xm_begin(struct emit *e);
/* Of `vop` that may overflow or underflow, with its source fields. */
void emit_xm_check_vop(struct emit *e, unsigned vop, unsigned a, unsigned b);
/* Of operations that cannot. */
void emit_xm_check(struct emit *e);
void emit_xm_result(struct emit *e, unsigned dst);
/* emit_xm_check and emit_xm_result. */
void emit_xm_done(struct emit *e, unsigned dst);

/* PCMPESTRM, PCMPISTRM: of both encodings (emit_sse4.c). */
void emit_pcmpstrm(struct emit *e);

#endif
