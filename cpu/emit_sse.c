/* IR for MMX, SSE and SSE2: registers live in the CPU struct, operations are
 * vector operations on its fields, memory operands pass through vtmp. */
#include "cpu/emit_vec.h"

static ir_ref c32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

unsigned emit_vec_field(const struct operand *o)
{
    return o->class == OC_XMM ? XMM(o->reg) : MMXREG(o->reg & 7);
}

void emit_copy64(struct emit *e, unsigned dst, unsigned src)
{
    ir_ste(e->b, IR_I64, dst, ir_lde(e->b, IR_I64, src));
}

void emit_copy128(struct emit *e, unsigned dst, unsigned src)
{
    if (dst != src)
        ir_vop(e->b, TCG_V_POR, dst, src, src);
}

void emit_zero64(struct emit *e, unsigned field)
{
    ir_ste(e->b, IR_I64, field, ir_const(e->b, IR_I64, 0));
}

void emit_zero128(struct emit *e, unsigned field)
{
    emit_zero64(e, field);
    emit_zero64(e, field + 8);
}

void emit_vec_load_mem(struct emit *e, unsigned field, unsigned size)
{
    unsigned align = e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0;

    if (size == 16)
        ir_ldv(e->b, emit_mem(e, 0, 16, false), field, emit_mem_flags(e) | align);
    else
        ir_ste(e->b, emit_type(size), field,
               ir_ld(e->b, emit_type(size), emit_mem(e, 0, size, false), emit_mem_flags(e)));
}

unsigned emit_vec_source(struct emit *e, unsigned n)
{
    const struct operand *o = &e->insn->op[n];

    if (o->class != OC_MEM)
        return emit_vec_field(o);
    emit_vec_load_mem(e, VTMP(0), o->size);
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
    emit_copy128(e, VTMP(2), dst);
    return VTMP(2);
}

void emit_xm_check_vop(struct emit *e, unsigned vop, unsigned a, unsigned b)
{
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end, c32(e, vop), c32(e, a | b << 16), 0, 0);
}

void emit_xm_check(struct emit *e)
{
    emit_xm_check_vop(e, TCG_NUM_VOPS, 0, 0);
}

void emit_xm_result(struct emit *e, unsigned dst)
{
    if (e->mode & MODE_XM)
        emit_copy128(e, dst, VTMP(2));
}

void emit_xm_done(struct emit *e, unsigned dst)
{
    emit_xm_check(e);
    emit_xm_result(e, dst);
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
    ir_vopi(e->b, e->insn->row->arg, dst, dst, src, (uint8_t)e->insn->imm);
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

/* Comparisons: only three bits of the immediate count. */
void emit_sse_compare(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = emit_xm_dest(e, dst);

    ir_vopi(e->b, e->insn->row->arg, to, to, src, e->insn->imm & 7);
    emit_xm_done(e, dst);
}

/* The count becomes an operand. */
void emit_mmx_shift_imm(struct emit *e)
{
    unsigned dst = MMXREG(e->insn->op[0].reg & 7);

    emit_mmx_enter(e);
    ir_ste(e->b, IR_I64, VTMP(0), ir_const(e->b, IR_I64, e->insn->imm & 0xff));
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
    unsigned align = e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0;

    if (dst->class == OC_MEM)
        ir_stv(e->b, emit_mem(e, 0, 16, true), XMM(src->reg), emit_mem_flags(e) | align);
    else if (src->class == OC_MEM)
        emit_vec_load_mem(e, XMM(dst->reg), 16);
    else
        emit_copy128(e, XMM(dst->reg), XMM(src->reg));
}

void emit_sse_mov_nt(struct emit *e)
{
    ir_stv(e->b, emit_mem(e, 0, 16, true), XMM(e->insn->op[1].reg), emit_mem_flags(e) | IR_MEM_ALIGN);
}

static void store_low(struct emit *e, unsigned field, unsigned size)
{
    ir_ref v = ir_lde(e->b, emit_type(size), field);

    ir_st(e->b, emit_type(size), emit_mem(e, 0, size, true), v, emit_mem_flags(e));
}

/* MOVSS, MOVSD: from memory the rest is cleared, between registers it stays. */
void emit_sse_mov_scalar(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    unsigned size = e->insn->row->op[0] == O_Wd || e->insn->row->op[1] == O_Wd ? 4 : 8;
    ir_ref v;

    if (dst->class == OC_MEM) {
        store_low(e, XMM(src->reg), size);
    } else if (src->class == OC_MEM) {
        v = ir_ld(e->b, emit_type(size), emit_mem(e, 0, size, false), emit_mem_flags(e));
        ir_ste(e->b, IR_I64, XMM(dst->reg), ir_zext(e->b, IR_I64, v));
        emit_zero64(e, XMM(dst->reg) + 8);
    } else {
        ir_ste(e->b, emit_type(size), XMM(dst->reg), ir_lde(e->b, emit_type(size), XMM(src->reg)));
    }
}

/* MOVLPS, MOVHPS and the PD forms: arg is the byte offset of the half. */
void emit_sse_mov_half(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    unsigned half = e->insn->row->arg;

    if (dst->class == OC_MEM)
        store_low(e, XMM(src->reg) + half, 8);
    else
        emit_vec_load_mem(e, XMM(dst->reg) + half, 8);
}

/* MOVHLPS (arg 0: high to low), MOVLHPS (8: low to high). */
void emit_sse_mov_cross(struct emit *e)
{
    unsigned half = e->insn->row->arg;

    emit_copy64(e, XMM(e->insn->op[0].reg) + half, XMM(e->insn->op[1].reg) + 8 - half);
}

void emit_sse_movq(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM) {
        store_low(e, XMM(src->reg), 8);
        return;
    }
    if (src->class == OC_MEM)
        emit_vec_load_mem(e, XMM(dst->reg), 8);
    else
        emit_copy64(e, XMM(dst->reg), XMM(src->reg));
    emit_zero64(e, XMM(dst->reg) + 8);
}

void emit_mmx_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    ir_ref v;

    if (dst->class == OC_MEM) {
        store_low(e, MMXREG(src->reg & 7), 8);
        emit_mmx_enter(e);
        return;
    }
    v = src->class == OC_MEM ? ir_ld(e->b, IR_I64, emit_mem(e, 0, 8, false), emit_mem_flags(e))
                             : ir_lde(e->b, IR_I64, MMXREG(src->reg & 7));
    emit_mmx_enter(e);
    ir_ste(e->b, IR_I64, MMXREG(dst->reg & 7), v);
    emit_mmx_written(e, dst->reg);
}

static ir_ref load_gpr_or_mem(struct emit *e, unsigned n)
{
    return ir_zext(e->b, IR_I64, emit_load(e, n));
}

void emit_sse_from_gpr(struct emit *e)
{
    ir_ref v = load_gpr_or_mem(e, 1);
    unsigned dst = XMM(e->insn->op[0].reg);

    ir_ste(e->b, IR_I64, dst, v);
    emit_zero64(e, dst + 8);
}

void emit_mmx_from_gpr(struct emit *e)
{
    ir_ref v = load_gpr_or_mem(e, 1);

    emit_mmx_enter(e);
    ir_ste(e->b, IR_I64, MMXREG(e->insn->op[0].reg & 7), v);
    emit_mmx_written(e, e->insn->op[0].reg);
}

void emit_vec_to_gpr(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];

    emit_store(e, 0, ir_lde(e->b, emit_type(e->insn->op[0].size), emit_vec_field(src)));
    if (src->class == OC_MMX)
        emit_mmx_enter(e);
}

void emit_sse_movq2dq(struct emit *e)
{
    emit_mmx_enter(e);
    emit_copy64(e, XMM(e->insn->op[0].reg), MMXREG(e->insn->op[1].reg & 7));
    emit_zero64(e, XMM(e->insn->op[0].reg) + 8);
}

void emit_sse_movdq2q(struct emit *e)
{
    emit_mmx_enter(e);
    emit_copy64(e, MMXREG(e->insn->op[0].reg & 7), XMM(e->insn->op[1].reg));
    emit_mmx_written(e, e->insn->op[0].reg);
}

/* MASKMOVQ, MASKMOVDQU: arg bytes at DS:rDI (or the override). */
void emit_maskmov(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned seg = i->prefix & PFX_SEG ? i->seg : S_DS;
    ir_ref ea = emit_get_reg(e, R_DI, i->addrsize);
    ir_ref addr;

    if (i->addrsize == 2)
        ea = ir_zext(e->b, IR_I32, ea);
    addr = ir_zext(e->b, IR_I64, emit_linear(e, seg, ea, i->row->arg, true));
    ir_call(e->b, HELP_maskmov, c32(e, emit_vec_field(&i->op[0]) | emit_vec_field(&i->op[1]) << 16), addr,
            c32(e, i->row->arg | emit_seg_flags(e, seg) << 8), 0);
    if (i->row->arg == 8)
        emit_mmx_enter(e);
}

static void mask_to_gpr(struct emit *e)
{
    ir_ref v = ir_call(e->b, e->insn->row->arg, c32(e, emit_vec_field(&e->insn->op[1])), 0, 0, 0);

    emit_put_reg(e, e->insn->op[0].reg, 4, v);
}

void emit_sse_mask(struct emit *e)
{
    mask_to_gpr(e);
}

void emit_mmx_mask(struct emit *e)
{
    emit_mmx_enter(e);
    mask_to_gpr(e);
}

void emit_pinsrw(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0];
    bool mmx = dst->class == OC_MMX;
    ir_ref v = emit_load(e, 1);

    if (mmx)
        emit_mmx_enter(e);
    ir_ste(e->b, IR_I16, emit_vec_field(dst) + 2 * ((unsigned)e->insn->imm & (mmx ? 3 : 7)), v);
    if (mmx)
        emit_mmx_written(e, dst->reg);
}

void emit_pextrw(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];
    bool mmx = src->class == OC_MMX;
    ir_ref v = ir_lde(e->b, IR_I16, emit_vec_field(src) + 2 * ((unsigned)e->insn->imm & (mmx ? 3 : 7)));

    if (mmx)
        emit_mmx_enter(e);
    emit_put_reg(e, e->insn->op[0].reg, 4, ir_zext(e->b, IR_I32, v));
}

/* ---- conversions and comparisons ---- */

void emit_cvt_from_gpr(struct emit *e)
{
    unsigned size = e->insn->op[1].size, dst = XMM(e->insn->op[0].reg), to;
    ir_ref v = load_gpr_or_mem(e, 1);

    to = emit_xm_dest(e, dst);
    ir_call(e->b, e->insn->row->arg, c32(e, to), v, c32(e, size), 0);
    emit_xm_done(e, dst);
}

static void cvt_to_gpr(struct emit *e, bool truncate)
{
    unsigned size = e->insn->op[0].size, src = emit_vec_source(e, 1);
    ir_ref v;

    emit_xm_begin(e);
    v = ir_call(e->b, e->insn->row->arg, c32(e, src), c32(e, size), c32(e, truncate), 0);
    emit_xm_check(e);
    emit_put_reg(e, e->insn->op[0].reg, size, ir_zext(e->b, emit_type(size), v));
}

void emit_cvt_to_gpr(struct emit *e)
{
    cvt_to_gpr(e, false);
}

void emit_cvtt_to_gpr(struct emit *e)
{
    cvt_to_gpr(e, true);
}

void emit_cvt_from_mmx(struct emit *e)
{
    unsigned src = emit_vec_source(e, 1), dst = XMM(e->insn->op[0].reg), to;

    if (e->insn->op[1].class == OC_MMX)
        emit_mmx_enter(e);
    to = emit_xm_dest(e, dst);
    ir_call(e->b, e->insn->row->arg, c32(e, to | src << 16), 0, 0, 0);
    emit_xm_done(e, dst);
}

/* An unmasked exception finds MMX state entered and the register as it was. */
static void cvt_to_mmx(struct emit *e, bool truncate)
{
    unsigned src = emit_vec_source(e, 1), dst = MMXREG(e->insn->op[0].reg & 7);

    emit_xm_begin(e);
    ir_call(e->b, e->insn->row->arg, c32(e, VTMP(2) | src << 16), c32(e, truncate), 0, 0);
    emit_mmx_enter(e);
    emit_xm_check(e);
    emit_copy64(e, dst, VTMP(2));
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

static void compare(struct emit *e, bool unordered)
{
    unsigned src = emit_vec_source(e, 1);
    ir_ref word;

    emit_xm_begin(e);
    word = ir_call(e->b, e->insn->row->arg, c32(e, XMM(e->insn->op[0].reg) | src << 16), c32(e, unordered),
                   0, 0);
    emit_xm_check(e);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

void emit_comi(struct emit *e)
{
    compare(e, false);
}

void emit_ucomi(struct emit *e)
{
    compare(e, true);
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

/* One processor, host memory order at least as strong: nothing to do. */
void emit_fence(struct emit *e)
{
    (void)e;
}
