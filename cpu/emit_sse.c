/* IR for MMX, SSE and SSE2: registers live in the CPU struct, operations are
 * vector operations on its fields, memory operands pass through vtmp. */
#include "cpu/emit.h"

#define XMM(n) ((unsigned)offsetof(struct cpu, xmm[n]))
#define MMXREG(n) ((unsigned)offsetof(struct cpu, fpu.st[n]))
#define VTMP(n) ((unsigned)offsetof(struct cpu, vtmp[n]))

static ir_ref c32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static unsigned reg_field(const struct operand *o)
{
    return o->class == OC_XMM ? XMM(o->reg) : MMXREG(o->reg & 7);
}

static void copy64(struct emit *e, unsigned dst, unsigned src)
{
    ir_ste(e->b, IR_I64, dst, ir_lde(e->b, IR_I64, src));
}

static void copy128(struct emit *e, unsigned dst, unsigned src)
{
    if (dst != src)
        ir_vop(e->b, TCG_V_POR, dst, src, src);
}

static void zero64(struct emit *e, unsigned field)
{
    ir_ste(e->b, IR_I64, field, ir_const(e->b, IR_I64, 0));
}

/* Bytes of memory operand n at its size into `field`. */
static void load_mem(struct emit *e, unsigned field, unsigned size)
{
    unsigned align = e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0;

    if (size == 16)
        ir_ldv(e->b, emit_mem(e, 0, 16, false), field, emit_mem_flags(e) | align);
    else
        ir_ste(e->b, emit_type(size), field, ir_ld(e->b, emit_type(size), emit_mem(e, 0, size, false), emit_mem_flags(e)));
}

/* Field that holds source operand n; memory is loaded into vtmp[0]. */
static unsigned source(struct emit *e, unsigned n)
{
    const struct operand *o = &e->insn->op[n];

    if (o->class != OC_MEM)
        return reg_field(o);
    load_mem(e, VTMP(0), o->size);
    return VTMP(0);
}

/* Entering MMX: all registers valid, TOP 0; a written register gets exponent FFFF. After what may fault. */
static void enter_mmx(struct emit *e)
{
    ir_ste(e->b, IR_I8, offsetof(struct cpu, fpu.top), ir_const(e->b, IR_I8, 0));
    ir_ste(e->b, IR_I8, offsetof(struct cpu, fpu.empty), ir_const(e->b, IR_I8, 0));
}

static void mmx_written(struct emit *e, unsigned reg)
{
    ir_ste(e->b, IR_I16, (unsigned)offsetof(struct cpu, fpu.st[reg & 7].exp), ir_const(e->b, IR_I16, 0xffff));
}

/* ---- plain operations ---- */

void emit_sse_op(struct emit *e)
{
    unsigned src = source(e, 1), dst = XMM(e->insn->op[0].reg);

    ir_vop(e->b, e->insn->row->arg, dst, dst, src);
}

void emit_mmx_op(struct emit *e)
{
    unsigned src = source(e, 1), dst = MMXREG(e->insn->op[0].reg & 7);

    enter_mmx(e);
    ir_vop(e->b, e->insn->row->arg, dst, dst, src);
    mmx_written(e, e->insn->op[0].reg);
}

/* A floating-point operation when an exception is unmasked: into vtmp[2], then
 * the check, then the result takes effect. */
static unsigned xm_dest(struct emit *e, unsigned dst)
{
    if (!(e->mode & MODE_XM))
        return dst;
    ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
    copy128(e, VTMP(2), dst);
    return VTMP(2);
}

/* Of an operation `vop` that may overflow or underflow with its operands, or of another one. */
static void xm_check_vop(struct emit *e, unsigned vop, unsigned dst, unsigned src)
{
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end, c32(e, vop), c32(e, dst | src << 16), 0, 0);
}

static void xm_check(struct emit *e)
{
    xm_check_vop(e, TCG_NUM_VOPS, 0, 0);
}

static void xm_result(struct emit *e, unsigned dst)
{
    if (e->mode & MODE_XM)
        copy128(e, dst, VTMP(2));
}

static void xm_done(struct emit *e, unsigned dst)
{
    xm_check(e);
    xm_result(e, dst);
}

void emit_sse_float(struct emit *e)
{
    unsigned src = source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = xm_dest(e, dst);

    ir_vop(e->b, e->insn->row->arg, to, to, src);
    xm_check_vop(e, e->insn->row->arg, dst, src);
    xm_result(e, dst);
}

static void imm_helper(struct emit *e, unsigned dst, unsigned src)
{
    ir_call(e->b, e->insn->row->arg, c32(e, dst | src << 16), c32(e, e->insn->imm & 0xff), 0, 0);
}

void emit_sse_imm(struct emit *e)
{
    unsigned src = source(e, 1);

    imm_helper(e, XMM(e->insn->op[0].reg), src);
}

void emit_mmx_imm(struct emit *e)
{
    unsigned src = source(e, 1);

    enter_mmx(e);
    imm_helper(e, MMXREG(e->insn->op[0].reg & 7), src);
    mmx_written(e, e->insn->op[0].reg);
}

void emit_sse_float_imm(struct emit *e)
{
    unsigned src = source(e, 1), dst = XMM(e->insn->op[0].reg);
    unsigned to = xm_dest(e, dst);

    imm_helper(e, to, src);
    xm_done(e, dst);
}

static void shift_imm(struct emit *e, unsigned dst)
{
    ir_ste(e->b, IR_I64, VTMP(0), ir_const(e->b, IR_I64, e->insn->imm & 0xff));
    zero64(e, VTMP(0) + 8);
    ir_vop(e->b, e->insn->row->arg, dst, dst, VTMP(0));
}

void emit_sse_shift_imm(struct emit *e)
{
    shift_imm(e, XMM(e->insn->op[0].reg));
}

void emit_mmx_shift_imm(struct emit *e)
{
    enter_mmx(e);
    shift_imm(e, MMXREG(e->insn->op[0].reg & 7));
    mmx_written(e, e->insn->op[0].reg);
}

void emit_sse_shift_bytes(struct emit *e)
{
    ir_call(e->b, e->insn->row->arg, c32(e, XMM(e->insn->op[0].reg)), c32(e, e->insn->imm & 0xff), 0, 0);
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
        load_mem(e, XMM(dst->reg), 16);
    else
        copy128(e, XMM(dst->reg), XMM(src->reg));
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
        zero64(e, XMM(dst->reg) + 8);
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
        load_mem(e, XMM(dst->reg) + half, 8);
}

/* MOVHLPS (arg 0: high to low), MOVLHPS (8: low to high). */
void emit_sse_mov_cross(struct emit *e)
{
    unsigned half = e->insn->row->arg;

    copy64(e, XMM(e->insn->op[0].reg) + half, XMM(e->insn->op[1].reg) + 8 - half);
}

void emit_sse_movq(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM) {
        store_low(e, XMM(src->reg), 8);
        return;
    }
    if (src->class == OC_MEM)
        load_mem(e, XMM(dst->reg), 8);
    else
        copy64(e, XMM(dst->reg), XMM(src->reg));
    zero64(e, XMM(dst->reg) + 8);
}

void emit_mmx_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    ir_ref v;

    if (dst->class == OC_MEM) {
        store_low(e, MMXREG(src->reg & 7), 8);
        enter_mmx(e);
        return;
    }
    v = src->class == OC_MEM ? ir_ld(e->b, IR_I64, emit_mem(e, 0, 8, false), emit_mem_flags(e))
                             : ir_lde(e->b, IR_I64, MMXREG(src->reg & 7));
    enter_mmx(e);
    ir_ste(e->b, IR_I64, MMXREG(dst->reg & 7), v);
    mmx_written(e, dst->reg);
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
    zero64(e, dst + 8);
}

void emit_mmx_from_gpr(struct emit *e)
{
    ir_ref v = load_gpr_or_mem(e, 1);

    enter_mmx(e);
    ir_ste(e->b, IR_I64, MMXREG(e->insn->op[0].reg & 7), v);
    mmx_written(e, e->insn->op[0].reg);
}

void emit_vec_to_gpr(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];

    emit_store(e, 0, ir_lde(e->b, emit_type(e->insn->op[0].size), reg_field(src)));
    if (src->class == OC_MMX)
        enter_mmx(e);
}

void emit_sse_movq2dq(struct emit *e)
{
    enter_mmx(e);
    copy64(e, XMM(e->insn->op[0].reg), MMXREG(e->insn->op[1].reg & 7));
    zero64(e, XMM(e->insn->op[0].reg) + 8);
}

void emit_sse_movdq2q(struct emit *e)
{
    enter_mmx(e);
    copy64(e, MMXREG(e->insn->op[0].reg & 7), XMM(e->insn->op[1].reg));
    mmx_written(e, e->insn->op[0].reg);
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
    ir_call(e->b, HELP_maskmov, c32(e, reg_field(&i->op[0]) | reg_field(&i->op[1]) << 16), addr, c32(e, i->row->arg), 0);
    if (i->row->arg == 8)
        enter_mmx(e);
}

static void mask_to_gpr(struct emit *e)
{
    ir_ref v = ir_call(e->b, e->insn->row->arg, c32(e, reg_field(&e->insn->op[1])), 0, 0, 0);

    emit_put_reg(e, e->insn->op[0].reg, 4, v);
}

void emit_sse_mask(struct emit *e)
{
    mask_to_gpr(e);
}

void emit_mmx_mask(struct emit *e)
{
    enter_mmx(e);
    mask_to_gpr(e);
}

void emit_pinsrw(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0];
    bool mmx = dst->class == OC_MMX;
    ir_ref v = emit_load(e, 1);

    if (mmx)
        enter_mmx(e);
    ir_ste(e->b, IR_I16, reg_field(dst) + 2 * ((unsigned)e->insn->imm & (mmx ? 3 : 7)), v);
    if (mmx)
        mmx_written(e, dst->reg);
}

void emit_pextrw(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];
    bool mmx = src->class == OC_MMX;
    ir_ref v = ir_lde(e->b, IR_I16, reg_field(src) + 2 * ((unsigned)e->insn->imm & (mmx ? 3 : 7)));

    if (mmx)
        enter_mmx(e);
    emit_put_reg(e, e->insn->op[0].reg, 4, ir_zext(e->b, IR_I32, v));
}

/* ---- conversions and comparisons ---- */

void emit_cvt_from_gpr(struct emit *e)
{
    unsigned size = e->insn->op[1].size, dst = XMM(e->insn->op[0].reg), to;
    ir_ref v = load_gpr_or_mem(e, 1);

    to = xm_dest(e, dst);
    ir_call(e->b, e->insn->row->arg, c32(e, to), v, c32(e, size), 0);
    xm_done(e, dst);
}

static void cvt_to_gpr(struct emit *e, bool truncate)
{
    unsigned size = e->insn->op[0].size, src = source(e, 1);
    ir_ref v;

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
    v = ir_call(e->b, e->insn->row->arg, c32(e, src), c32(e, size), c32(e, truncate), 0);
    xm_check(e);
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
    unsigned src = source(e, 1), dst = XMM(e->insn->op[0].reg), to;

    if (e->insn->op[1].class == OC_MMX)
        enter_mmx(e);
    to = xm_dest(e, dst);
    ir_call(e->b, e->insn->row->arg, c32(e, to | src << 16), 0, 0, 0);
    xm_done(e, dst);
}

static void cvt_to_mmx(struct emit *e, bool truncate)
{
    unsigned src = source(e, 1), dst = MMXREG(e->insn->op[0].reg & 7);

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
    ir_call(e->b, e->insn->row->arg, c32(e, VTMP(2) | src << 16), c32(e, truncate), 0, 0);
    xm_check(e);
    enter_mmx(e);
    copy64(e, dst, VTMP(2));
    mmx_written(e, e->insn->op[0].reg);
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
    unsigned src = source(e, 1);
    ir_ref word;

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
    word = ir_call(e->b, e->insn->row->arg, c32(e, XMM(e->insn->op[0].reg) | src << 16), c32(e, unordered), 0, 0);
    xm_check(e);
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
