/* IR for what SSE3 to SSE4.2, AES and SHA have beyond plain vector operations. */
#include "cpu/emit_vec.h"
#include "cpu/helper_sse4.h"

static ir_ref c32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

/* Row's operation with XMM0 as its implied third operand. */
void emit_sse_mask0(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);

    emit_copy128(e, VTMP(1), XMM(0));
    ir_vop(e->b, e->insn->row->arg, VTMP(1), dst, src);
    emit_copy128(e, dst, VTMP(1));
}

/* ROUNDPS and friends: they neither overflow nor underflow. */
void emit_sse_round(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = emit_xm_dest(e, dst);

    ir_vopi(e->b, e->insn->row->arg, to, to, src, (uint8_t)e->insn->imm);
    emit_xm_done(e, dst);
}

/* DPPS, DPPD: with an exception unmasked each step is checked before the next one. */
void emit_sse_dot(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_dot, c32(e, e->insn->row->arg), c32(e, dst | src << 16), c32(e, 0),
                c32(e, e->insn->imm & 0xff));
    ir_vopi(e->b, e->insn->row->arg, dst, dst, src, (uint8_t)e->insn->imm);
}

/* INSERTPS: a memory operand is the one element there is. */
void emit_insertps(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned imm = e->insn->imm & (e->insn->op[1].class == OC_MEM ? 0x3f : 0xff);

    ir_vopi(e->b, TCG_V_INSERTPS, dst, dst, src, (uint8_t)imm);
}

/* Offset of the element of `size` bytes that the immediate selects. */
static unsigned element(const struct emit *e, unsigned size)
{
    return ((unsigned)e->insn->imm & (16 / size - 1)) * size;
}

/* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS: arg bytes, 0: as many as operand 0 has. */
void emit_pextr(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0];
    unsigned size = e->insn->row->arg ? e->insn->row->arg : dst->size;
    ir_ref v = ir_lde(e->b, emit_type(size), emit_vec_field(&e->insn->op[1]) + element(e, size));

    emit_store(e, 0, size < dst->size ? ir_zext(e->b, emit_type(dst->size), v) : v);
}

/* PINSRB, PINSRD, PINSRQ: arg bytes, 0: as many as operand 1 has. */
void emit_pinsr(struct emit *e)
{
    unsigned size = e->insn->row->arg ? e->insn->row->arg : e->insn->op[1].size;
    ir_ref v = ir_zext(e->b, emit_type(size), emit_load(e, 1));

    ir_ste(e->b, emit_type(size), XMM(e->insn->op[0].reg) + element(e, size), v);
}

static void put_flags(struct emit *e, ir_ref word)
{
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

void emit_ptest(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1);

    put_flags(e, ir_call(e->b, HELP_ptest, c32(e, XMM(e->insn->op[0].reg) | src << 16), 0, 0, 0));
}

/* The comparison by the row's helper; its flags take effect. Returns the index. */
static ir_ref compare_strings(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), wide = e->insn->opsize == 8 ? STRING_LENGTH64 : 0;
    ir_ref word = ir_call(e->b, e->insn->row->arg, c32(e, XMM(e->insn->op[0].reg) | src << 16),
                          c32(e, (e->insn->imm & 0xff) | wide), 0, 0);

    put_flags(e, ir_bini(e->b, IR_AND, IR_I32, word, IR_FLAGS6));
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
