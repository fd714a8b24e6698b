/* Fields, operands and floating-point exceptions of vector instructions: what their emitters share. */
#include "cpu/emit_vec.h"

/* ---- values ---- */

ir_ref emit_vec_const(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

ir_ref emit_vec_pair(struct emit *e, unsigned a, unsigned b)
{
    return emit_vec_const(e, a | b << 16);
}

uint8_t emit_vec_imm8(const struct emit *e)
{
    return (uint8_t)e->insn->imm;
}

ir_ref emit_vec_get64(struct emit *e, unsigned field)
{
    return ir_lde(e->b, IR_I64, field);
}

void emit_vec_put64(struct emit *e, unsigned field, ir_ref v)
{
    ir_ste(e->b, IR_I64, field, v);
}

void emit_vec_copy64(struct emit *e, unsigned dst, unsigned src)
{
    emit_vec_put64(e, dst, emit_vec_get64(e, src));
}

void emit_vec_copy(struct emit *e, unsigned dst, unsigned src)
{
    if (dst != src)
        ir_vop(e->b, TCG_V_MOVDQA, dst, src, src);
}

void emit_vec_zero(struct emit *e, unsigned field)
{
    ir_vop(e->b, TCG_V_PXOR, field, field, field);
}

void emit_vec_put_flags(struct emit *e, ir_ref word)
{
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

/* ---- operands ---- */

unsigned emit_vec_field(const struct operand *o)
{
    return o->class == OC_XMM ? XMM(o->reg) : MMXREG(o->reg & 7);
}

static unsigned vector_mem_flags(const struct emit *e)
{
    return emit_mem_flags(e) | (e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0);
}

void emit_vec_load(struct emit *e, unsigned field, unsigned size)
{
    ir_ref addr = emit_mem(e, 0, size, false);

    if (size == 16)
        ir_ldv(e->b, IR_V16, addr, field, vector_mem_flags(e));
    else
        ir_ste(e->b, emit_type(size), field, ir_ld(e->b, emit_type(size), addr, emit_mem_flags(e)));
}

void emit_vec_store(struct emit *e, unsigned field, unsigned size)
{
    ir_ref addr = emit_mem(e, 0, size, true);

    if (size == 16)
        ir_stv(e->b, IR_V16, addr, field, vector_mem_flags(e));
    else if (size >= 4 && field % 16 == 0)
        ir_stv(e->b, size == 8 ? IR_V8 : IR_V4, addr, field, emit_mem_flags(e));
    else
        ir_st(e->b, emit_type(size), addr, ir_lde(e->b, emit_type(size), field), emit_mem_flags(e));
}

void emit_vec_load_scalar(struct emit *e, unsigned field, unsigned size)
{
    ir_ldv(e->b, size == 8 ? IR_V8 : IR_V4, emit_mem(e, 0, size, false), field, emit_mem_flags(e));
}

unsigned emit_vec_source(struct emit *e, unsigned n)
{
    const struct operand *o = &e->insn->op[n];

    if (o->class != OC_MEM)
        return emit_vec_field(o);
    if (o->size == 4 || o->size == 8)
        emit_vec_load_scalar(e, VTMP(0), o->size);
    else
        emit_vec_load(e, VTMP(0), o->size);
    return VTMP(0);
}

void emit_mmx_enter(struct emit *e)
{
    ir_ste(e->b, IR_I8, offsetof(struct cpu, fpu.top), ir_const(e->b, IR_I8, 0));
    ir_ste(e->b, IR_I8, offsetof(struct cpu, fpu.empty), ir_const(e->b, IR_I8, 0));
}

void emit_mmx_written(struct emit *e, unsigned reg)
{
    ir_ste(e->b, IR_I16, (unsigned)offsetof(struct cpu, fpu.st[reg & 7].exp), ir_const(e->b, IR_I16, 0xffff));
}

/* ---- floating-point exceptions ---- */

void emit_xm_begin(struct emit *e)
{
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
}

unsigned emit_xm_dest(struct emit *e, unsigned dst)
{
    if (!(e->mode & MODE_XM))
        return dst;
    emit_xm_begin(e);
    emit_vec_copy(e, VTMP(2), dst);
    return VTMP(2);
}

void emit_xm_check_vop(struct emit *e, unsigned vop, unsigned a, unsigned b)
{
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end, emit_vec_const(e, vop), emit_vec_pair(e, a, b), emit_vec_const(e, 0), 0);
}

void emit_xm_check(struct emit *e)
{
    emit_xm_check_vop(e, TCG_NUM_VOPS, 0, 0);
}

void emit_xm_result(struct emit *e, unsigned dst)
{
    if (e->mode & MODE_XM)
        emit_vec_copy(e, dst, VTMP(2));
}

void emit_xm_done(struct emit *e, unsigned dst)
{
    emit_xm_check(e);
    emit_xm_result(e, dst);
}
