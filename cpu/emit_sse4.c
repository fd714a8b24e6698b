/* IR for what SSE3 to SSE4.2, AES and SHA have beyond plain vector operations. */
#include "cpu/emit_vec.h"
#include "cpu/helper_sse4.h"

/* Row's operation with XMM0 as its implied third operand. */
void emit_sse_mask0(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);

    emit_vec_copy(e, VTMP(1), XMM(0));
    ir_vop(e->b, e->insn->row->arg, VTMP(1), dst, src);
    emit_vec_copy(e, dst, VTMP(1));
}

/* DPPS, DPPD: with an exception unmasked each step is checked before the next one. */
void emit_sse_dot(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_dot, emit_vec_const(e, e->insn->row->arg), emit_vec_pair(e, dst, src),
                emit_vec_const(e, 0), emit_vec_const(e, emit_vec_imm8(e)));
    ir_vopi(e->b, e->insn->row->arg, dst, dst, src, emit_vec_imm8(e));
}

/* INSERTPS: a memory operand is the one element there is. */
void emit_insertps(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    uint8_t imm = emit_vec_imm8(e) & (e->insn->op[1].class == OC_MEM ? 0x3f : 0xff);

    ir_vopi(e->b, TCG_V_INSERTPS, dst, dst, src, imm);
}

/* The comparison by the row's helper; its flags take effect. Returns the index. */
static ir_ref compare_strings(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), wide = e->insn->opsize == 8 ? STRING_LENGTH64 : 0;
    ir_ref word = ir_call(e->b, e->insn->row->arg, emit_vec_pair(e, XMM(e->insn->op[0].reg), src),
                          emit_vec_const(e, emit_vec_imm8(e) | wide), 0, 0);

    emit_vec_put_flags(e, ir_bini(e->b, IR_AND, IR_I32, word, IR_FLAGS6));
    return ir_bini(e->b, IR_SHR, IR_I32, word, STRING_INDEX_SHIFT);
}

/* PCMPESTRM, PCMPISTRM: the helper writes XMM0. */
void emit_pcmpstrm(struct emit *e)
{
    compare_strings(e);
}

/* PCMPESTRI, PCMPISTRI: index to ECX. */
void emit_pcmpstri(struct emit *e)
{
    emit_put_reg(e, R_CX, 4, compare_strings(e));
}
