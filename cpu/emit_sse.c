/* IR for MMX, SSE and SSE2: registers are fields of the CPU struct, operations are vector operations on them,
 * memory operands pass through vtmp. */
#include "cpu/emit_vec.h"

/* ---- plain operations ---- */

void emit_sse_op(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);

    ir_vop(e->b, e->insn->row->arg, dst, dst, src);
}

void emit_mmx_op(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = MMXREG(e->insn->op[0].reg & 7);

    emit_mmx_enter(e);
    ir_vop(e->b, e->insn->row->arg, dst, dst, src);
    emit_mmx_written(e, e->insn->op[0].reg);
}

void emit_sse_float(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = emit_xm_dest(e, dst);

    ir_vop(e->b, e->insn->row->arg, to, to, src);
    emit_xm_check_vop(e, e->insn->row->arg, dst, src);
    emit_xm_result(e, dst);
}

static void vec_imm(struct emit *e, unsigned dst, unsigned src)
{
    ir_vopi(e->b, e->insn->row->arg, dst, dst, src, emit_vec_imm8(e));
}

void emit_sse_imm(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1);

    vec_imm(e, XMM(e->insn->op[0].reg), src);
}

void emit_mmx_imm(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1);

    emit_mmx_enter(e);
    vec_imm(e, MMXREG(e->insn->op[0].reg & 7), src);
    emit_mmx_written(e, e->insn->op[0].reg);
}

static void float_imm(struct emit *e, uint8_t imm)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = emit_xm_dest(e, dst);

    ir_vopi(e->b, e->insn->row->arg, to, to, src, imm);
    emit_xm_done(e, dst);
}

/* Only three bits of the immediate count. */
void emit_sse_compare(struct emit *e)
{
    float_imm(e, emit_vec_imm8(e) & 7);
}

/* ROUNDPS and its kin. */
void emit_sse_round(struct emit *e)
{
    float_imm(e, emit_vec_imm8(e));
}

/* The count becomes an operand: an operation by the immediate would write 16 bytes. */
void emit_mmx_shift_imm(struct emit *e)
{
    unsigned dst = MMXREG(e->insn->op[0].reg & 7);

    emit_mmx_enter(e);
    ir_vset(e->b, IR_V16, VTMP(0), ir_const(e->b, IR_I32, emit_vec_imm8(e)));
    ir_vop(e->b, e->insn->row->arg, dst, dst, VTMP(0));
    emit_mmx_written(e, e->insn->op[0].reg);
}

void emit_sse_shift_imm(struct emit *e)
{
    vec_imm(e, XMM(e->insn->op[0].reg), XMM(e->insn->op[0].reg));
}

/* ---- moves ---- */

/* 16 bytes between registers and memory, either direction. */
void emit_sse_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM)
        emit_vec_store(e, XMM(src->reg), 16);
    else if (src->class == OC_MEM)
        emit_vec_load(e, XMM(dst->reg), 16);
    else
        emit_vec_copy(e, XMM(dst->reg), XMM(src->reg));
}

/* MOVSS, MOVSD: from memory the rest is cleared, between registers it stays. */
void emit_sse_mov_scalar(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    unsigned size = e->insn->row->op[0] == O_Wd || e->insn->row->op[1] == O_Wd ? 4 : 8;

    if (dst->class == OC_MEM) {
        emit_vec_store(e, XMM(src->reg), size);
    } else if (src->class == OC_MEM) {
        emit_vec_load_scalar(e, XMM(dst->reg), size);
    } else {
        ir_vop(e->b, size == 4 ? TCG_V_MOVSS : TCG_V_MOVSD, XMM(dst->reg), XMM(dst->reg), XMM(src->reg));
    }
}

/* MOVLPS, MOVHPS and the PD forms: arg is the byte offset of the half. */
void emit_sse_mov_half(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    unsigned half = e->insn->row->arg, reg;

    if (dst->class == OC_MEM) {
        emit_vec_store(e, XMM(src->reg) + half, 8);
        return;
    }
    reg = XMM(dst->reg);
    emit_vec_load_scalar(e, VTMP(0), 8);
    ir_vop(e->b, half ? TCG_V_MOVLHPS : TCG_V_MOVSD, reg, reg, VTMP(0));
}

/* MOVHLPS (arg 0: high to low), MOVLHPS (8: low to high). */
void emit_sse_mov_cross(struct emit *e)
{
    unsigned dst = XMM(e->insn->op[0].reg);

    ir_vop(e->b, e->insn->row->arg ? TCG_V_MOVLHPS : TCG_V_MOVHLPS, dst, dst, XMM(e->insn->op[1].reg));
}

/* 8 bytes; a register that receives them is cleared above. */
void emit_sse_movq(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM)
        emit_vec_store(e, XMM(src->reg), 8);
    else if (src->class == OC_MEM)
        emit_vec_load_scalar(e, XMM(dst->reg), 8);
    else
        ir_vop(e->b, TCG_V_MOVQ, XMM(dst->reg), XMM(src->reg), XMM(src->reg));
}

/* An MMX register := the low 8 bytes of a field. What loads a field writes all 16, which would be the exponent, too. */
static void put_mmx(struct emit *e, unsigned src)
{
    unsigned reg = e->insn->op[0].reg & 7;

    emit_mmx_enter(e);
    ir_vop(e->b, TCG_V_POR_Q, MMXREG(reg), src, src);
    emit_mmx_written(e, reg);
}

void emit_mmx_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM) {
        emit_vec_store(e, MMXREG(src->reg & 7), 8);
        emit_mmx_enter(e);
        return;
    }
    put_mmx(e, emit_vec_source(e, 1));
}

void emit_sse_from_gpr(struct emit *e)
{
    unsigned dst = XMM(e->insn->op[0].reg);

    if (e->insn->op[1].class == OC_MEM)
        emit_vec_load_scalar(e, dst, e->insn->op[1].size);
    else
        ir_vset(e->b, IR_V16, dst, emit_load(e, 1));
}

void emit_mmx_from_gpr(struct emit *e)
{
    if (e->insn->op[1].class == OC_MEM)
        emit_vec_load_scalar(e, VTMP(0), e->insn->op[1].size);
    else
        ir_vset(e->b, IR_V16, VTMP(0), emit_load(e, 1));
    put_mmx(e, VTMP(0));
}

void emit_vec_to_gpr(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];

    if (e->insn->op[0].class == OC_MEM && src->class == OC_XMM) {
        emit_vec_store(e, XMM(src->reg), e->insn->op[0].size);
        return;
    }
    emit_store(e, 0, ir_lde(e->b, emit_type(e->insn->op[0].size), emit_vec_field(src)));
    if (src->class == OC_MMX)
        emit_mmx_enter(e);
}

void emit_sse_movq2dq(struct emit *e)
{
    ir_ref v = emit_vec_get64(e, MMXREG(e->insn->op[1].reg & 7));

    emit_mmx_enter(e);
    ir_vset(e->b, IR_V16, XMM(e->insn->op[0].reg), v);
}

void emit_sse_movdq2q(struct emit *e)
{
    emit_mmx_enter(e);
    emit_vec_copy64(e, MMXREG(e->insn->op[0].reg & 7), XMM(e->insn->op[1].reg));
    emit_mmx_written(e, e->insn->op[0].reg);
}

/* MASKMOVQ, MASKMOVDQU: arg bytes at DS:rDI (or the override). The helper checks the bytes that it writes. */
void emit_maskmov(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned seg = i->prefix & PFX_SEG ? i->seg : S_DS;
    ir_ref ea = ir_zext(e->b, IR_I64, emit_get_reg(e, R_DI, i->addrsize));

    ir_call(e->b, HELP_maskmov, emit_vec_pair(e, emit_vec_field(&i->op[0]), emit_vec_field(&i->op[1])), ea,
            emit_vec_const(e, i->row->arg | seg << 8), 0);
    if (i->row->arg == 8)
        emit_mmx_enter(e);
}

/* ---- elements ---- */

/* Offset of the element of `size` bytes of register operand `o` that the immediate selects. */
static unsigned element(const struct emit *e, const struct operand *o, unsigned size)
{
    unsigned elements = (o->class == OC_MMX ? 8 : 16) / size;

    return emit_vec_field(o) + (emit_vec_imm8(e) & (elements - 1)) * size;
}

/* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS: arg bytes, 0: as many as operand 0 has. */
void emit_pextr(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    unsigned size = e->insn->row->arg ? e->insn->row->arg : dst->size;
    ir_ref v = ir_lde(e->b, emit_type(size), element(e, src, size));

    if (src->class == OC_MMX)
        emit_mmx_enter(e);
    emit_store(e, 0, size < dst->size ? ir_zext(e->b, emit_type(dst->size), v) : v);
}

/* PINSRB, PINSRW, PINSRD, PINSRQ: arg bytes, 0: as many as operand 1 has. */
void emit_pinsr(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0];
    unsigned size = e->insn->row->arg ? e->insn->row->arg : e->insn->op[1].size;
    ir_ref v = ir_zext(e->b, emit_type(size), emit_load(e, 1));

    if (dst->class == OC_MMX)
        emit_mmx_enter(e);
    ir_ste(e->b, emit_type(size), element(e, dst, size), v);
    if (dst->class == OC_MMX)
        emit_mmx_written(e, dst->reg);
}

/* ---- conversions and comparisons ---- */

void emit_cvt_from_gpr(struct emit *e)
{
    unsigned dst = XMM(e->insn->op[0].reg), to;
    ir_ref v = emit_load(e, 1);

    to = emit_xm_dest(e, dst);
    ir_vfromi(e->b, IR_V16, to, to, v, e->insn->row->arg);
    emit_xm_done(e, dst);
}

static void cvt_to_gpr(struct emit *e, unsigned truncate)
{
    unsigned size = e->insn->op[0].size, src = emit_vec_source(e, 1);
    ir_ref v;

    emit_xm_begin(e);
    v = ir_vtoi(e->b, emit_type(size), src, e->insn->row->arg | truncate);
    emit_xm_check(e);
    emit_put_reg(e, e->insn->op[0].reg, size, v);
}

void emit_cvt_to_gpr(struct emit *e)
{
    cvt_to_gpr(e, 0);
}

void emit_cvtt_to_gpr(struct emit *e)
{
    cvt_to_gpr(e, IR_VF_TRUNCATE);
}

void emit_cvt_from_mmx(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg), to;

    if (e->insn->op[1].class == OC_MMX)
        emit_mmx_enter(e);
    to = emit_xm_dest(e, dst);
    ir_call(e->b, e->insn->row->arg, emit_vec_pair(e, to, src), 0, 0, 0);
    emit_xm_done(e, dst);
}

/* An unmasked exception finds MMX state entered and the register as it was. */
static void cvt_to_mmx(struct emit *e, bool truncate)
{
    unsigned src = emit_vec_source(e, 1), dst = MMXREG(e->insn->op[0].reg & 7);

    emit_xm_begin(e);
    ir_call(e->b, e->insn->row->arg, emit_vec_pair(e, VTMP(2), src), emit_vec_const(e, truncate), 0, 0);
    emit_mmx_enter(e);
    emit_xm_check(e);
    emit_vec_copy64(e, dst, VTMP(2));
    emit_mmx_written(e, e->insn->op[0].reg);
}

void emit_cvt_to_mmx(struct emit *e)
{
    cvt_to_mmx(e, false);
}

void emit_cvtt_to_mmx(struct emit *e)
{
    cvt_to_mmx(e, true);
}

static void compare(struct emit *e, unsigned quiet)
{
    unsigned src = emit_vec_source(e, 1);
    ir_ref word;

    emit_xm_begin(e);
    word = ir_vcom(e->b, XMM(e->insn->op[0].reg), src, e->insn->row->arg | quiet);
    emit_xm_check(e);
    emit_vec_put_flags(e, word);
}

void emit_comi(struct emit *e)
{
    compare(e, 0);
}

void emit_ucomi(struct emit *e)
{
    compare(e, IR_VF_QUIET);
}

/* ---- state ---- */

void emit_ldmxcsr(struct emit *e)
{
    ir_ref v = ir_ld(e->b, IR_I32, emit_mem(e, 0, 4, false), emit_mem_flags(e));

    ir_call(e->b, HELP_ldmxcsr, v, 0, 0, 0);
    emit_end_next(e); /* the masks are part of the mode */
}

void emit_stmxcsr(struct emit *e)
{
    ir_ref addr = emit_mem(e, 0, 4, true);

    ir_st(e->b, IR_I32, addr, ir_call(e->b, HELP_stmxcsr, 0, 0, 0, 0), emit_mem_flags(e));
}

/* Faults like a load of the byte. */
void emit_clflush(struct emit *e)
{
    ir_ld(e->b, IR_I8, emit_mem(e, 0, 1, false), emit_mem_flags(e));
}

/* Loads stay in order among themselves, and stores too. MFENCE is OPF_SERIAL. */
void emit_fence(struct emit *e)
{
    (void)e;
}
