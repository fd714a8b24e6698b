/* IR for the VEX forms of MMX, SSE to SSE4.2, AES and PCLMULQDQ: one vector operation for each half of the
 * destination (SDM vol. 2, the VEX.128 and VEX.256 forms). */
#include "cpu/emit_avx.h"

/* ---- operands ---- */

unsigned emit_ymm_halves(const struct emit *e, unsigned n)
{
    return e->insn->op[n].size == 32 ? 2 : 1;
}

ir_ref emit_ymm_high_pair(struct emit *e, unsigned n, const struct ymm *a, const struct ymm *b)
{
    return emit_ymm_halves(e, n) == 2 ? emit_vec_pair(e, a->half[1], b->half[1]) : emit_vec_const(e, 0);
}

unsigned emit_ymm_form(const struct emit *e)
{
    return emit_ymm_halves(e, 0) == 2 ? IR_V32 : IR_V16 | IR_V_CLEAR;
}

void emit_ymm_clear_high(struct emit *e, unsigned reg)
{
    ir_vzero(e->b, XMM(reg), 1);
}

static unsigned wide_flags(const struct emit *e)
{
    return emit_mem_flags(e) | (e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0);
}

void emit_ymm_load(struct emit *e, const struct ymm *dst)
{
    ir_ldv(e->b, IR_V32, emit_mem(e, 0, 32, false), dst->half[0], wide_flags(e));
}

void emit_ymm_store(struct emit *e, const struct ymm *src)
{
    ir_stv(e->b, IR_V32, emit_mem(e, 0, 32, true), src->half[0], wide_flags(e));
}

struct ymm emit_ymm_source(struct emit *e, unsigned n)
{
    const struct operand *o = &e->insn->op[n];
    struct ymm tmp = { { VTMP(0), VTMPH(0) } };

    if (o->class != OC_MEM)
        return emit_ymm_reg(o->reg);
    if (o->size == 32)
        emit_ymm_load(e, &tmp);
    else if (o->size == 4 || o->size == 8)
        emit_vec_load_scalar(e, tmp.half[0], o->size);
    else
        emit_vec_load(e, tmp.half[0], o->size);
    return tmp;
}

void emit_ymm_put(struct emit *e, const struct ymm *from)
{
    unsigned dst = XMM(e->insn->op[0].reg);

    if (dst != from->half[0])
        ir_vopw(e->b, emit_ymm_form(e), TCG_V_MOVDQA, dst, from->half[0], from->half[0], 0);
}

/* ---- floating-point exceptions ---- */

struct ymm emit_ymm_xm_dest(struct emit *e)
{
    if (!(e->mode & MODE_XM))
        return emit_ymm_reg(e->insn->op[0].reg);
    emit_xm_begin(e);
    return (struct ymm){ { VTMP(2), VTMPH(2) } };
}

void emit_ymm_xm_done(struct emit *e, unsigned vop, const struct ymm *to, const struct ymm *a,
                      const struct ymm *b)
{
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end, emit_vec_const(e, vop), emit_vec_pair(e, a->half[0], b->half[0]),
                emit_ymm_high_pair(e, 1, a, b), 0);
    emit_ymm_put(e, to);
}

/* ---- plain operations ----
 *
 * arg: the vector operation. A half of the result comes from the same halves of the sources, so the
 * destination may be a source. Where it does not, the high half is written first, or the result is built
 * elsewhere. */

/* dst := a op b, in all halves. */
static void halves_op(struct emit *e, const struct ymm *a, const struct ymm *b)
{
    ir_vopw(e->b, emit_ymm_form(e), e->insn->row->arg, XMM(e->insn->op[0].reg), a->half[0], b->half[0],
            emit_vec_imm8(e));
}

/* Vx, Hx, Wx and, where there is one, Ib. */
void emit_avx_op(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);

    halves_op(e, &a, &b);
}

/* Vx, Wx and, where there is one, Ib. */
void emit_avx_op1(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);

    halves_op(e, &b, &b);
}

/* The same in floating point. Comparisons have five bits of predicate, roundings four of control. */
static void float_op(struct emit *e, const struct ymm *a, const struct ymm *b)
{
    unsigned vop = e->insn->row->arg;
    struct ymm to = emit_ymm_xm_dest(e);

    ir_vopw(e->b, emit_ymm_form(e), vop, to.half[0], a->half[0], b->half[0], emit_vec_imm8(e));
    emit_ymm_xm_done(e, vop, &to, a, b);
}

void emit_avx_float(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);

    float_op(e, &a, &b);
}

void emit_avx_float1(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);

    float_op(e, &b, &b);
}

/* Shift by a count that is 128 bits wide in either form. */
void emit_avx_shift(struct emit *e)
{
    struct ymm count = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);
    unsigned form = emit_ymm_form(e);

    ir_vopw(e->b, form == IR_V32 ? form | IR_V_LOW_B : form, e->insn->row->arg, XMM(e->insn->op[0].reg), a.half[0],
            count.half[0], 0);
}

/* Blend under the signs of a register (Vx, Hx, Wx, Lx): the operation takes the mask in its destination. */
void emit_avx_blendv(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1), mask = emit_ymm_source(e, 3);
    struct ymm to = { { VTMP(2), VTMPH(2) } };
    unsigned form = emit_ymm_form(e);

    ir_vopw(e->b, form, TCG_V_MOVDQA, to.half[0], mask.half[0], mask.half[0], 0);
    ir_vopw(e->b, form, e->insn->row->arg, to.half[0], a.half[0], b.half[0], 0);
    emit_ymm_put(e, &to);
}

/* The second `size` bytes of `src` into vtmp[1]: what the high half of a widening operation reads. */
static void upper_source(struct emit *e, unsigned src, unsigned size)
{
    ir_ste(e->b, emit_type(size), VTMP(1), ir_lde(e->b, emit_type(size), src + size));
}

/* VPMOVSX, VPMOVZX: the high half comes from the upper half of the source's bytes. */
void emit_avx_extend(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg;

    if (emit_ymm_halves(e, 0) == 2) {
        upper_source(e, b.half[0], e->insn->op[1].size / 2);
        ir_vop(e->b, vop, YMMH(dst), VTMP(1), VTMP(1));
    }
    ir_vopw(e->b, emit_ymm_form(e) & IR_V_CLEAR, vop, XMM(dst), b.half[0], b.half[0], 0);
}

/* VCVTPS2PD, VCVTDQ2PD. */
void emit_avx_widen(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);
    unsigned vop = e->insn->row->arg;
    struct ymm to = emit_ymm_xm_dest(e);

    if (emit_ymm_halves(e, 0) == 2) {
        upper_source(e, b.half[0], 8);
        ir_vop(e->b, vop, to.half[1], VTMP(1), VTMP(1));
    }
    ir_vopw(e->b, emit_ymm_form(e) & IR_V_CLEAR, vop, to.half[0], b.half[0], b.half[0], 0);
    emit_ymm_xm_done(e, vop, &to, &b, &b);
}

/* VCVTPD2PS, VCVTPD2DQ, VCVTTPD2DQ: each half makes eight bytes. */
void emit_avx_narrow(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);
    struct ymm to = { { VTMP(2), VTMPH(2) } };
    unsigned vop = e->insn->row->arg;

    emit_xm_begin(e);
    ir_vop(e->b, vop, to.half[0], b.half[0], b.half[0]);
    if (emit_ymm_halves(e, 1) == 2) {
        ir_vop(e->b, vop, to.half[1], b.half[1], b.half[1]);
        ir_vop(e->b, TCG_V_PUNPCKLQDQ, to.half[0], to.half[0], to.half[1]);
    }
    emit_ymm_xm_done(e, vop, &to, &b, &b);
}

/* ---- moves ---- */

/* The whole register, either direction. */
void emit_avx_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    struct ymm reg = emit_ymm_reg(dst->class == OC_MEM ? src->reg : dst->reg);

    if (dst->class == OC_MEM && src->size == 32)
        emit_ymm_store(e, &reg);
    else if (dst->class == OC_MEM)
        emit_vec_store(e, reg.half[0], 16);
    else if (src->class == OC_MEM)
        ir_ldv(e->b, emit_ymm_form(e), emit_mem(e, 0, dst->size, false), reg.half[0], wide_flags(e));
    else
        ir_vopw(e->b, emit_ymm_form(e), TCG_V_MOVDQA, reg.half[0], XMM(src->reg), XMM(src->reg), 0);
}

/* Operand 0 := a op b of 16 bytes, upper bits cleared. */
static void put128(struct emit *e, unsigned vop, unsigned a, unsigned b)
{
    ir_vopw(e->b, IR_V16 | IR_V_CLEAR, vop, XMM(e->insn->op[0].reg), a, b, 0);
}

/* 4 or 8 bytes of memory; all above are cleared. */
static void load_scalar(struct emit *e, unsigned field, unsigned size)
{
    ir_ldv(e->b, (size == 8 ? IR_V8 : IR_V4) | IR_V_CLEAR, emit_mem(e, 0, size, false), field, emit_mem_flags(e));
}

/* VMOVSS, VMOVSD, VMOVQ between register and memory, of the memory operand's size. */
void emit_avx_mov_scalar(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM)
        emit_vec_store(e, XMM(src->reg), dst->size);
    else if (src->class == OC_MEM)
        load_scalar(e, XMM(dst->reg), src->size);
    else
        put128(e, TCG_V_MOVQ, XMM(src->reg), XMM(src->reg));
}

/* VMOVSS, VMOVSD Vdq, Hdq, Udq: arg bytes from the last, the rest from the middle. */
void emit_avx_merge_scalar(struct emit *e)
{
    put128(e, e->insn->row->arg == 4 ? TCG_V_MOVSS : TCG_V_MOVSD, XMM(e->insn->op[1].reg), XMM(e->insn->op[2].reg));
}

/* VMOVLPS, VMOVHPS and PD forms, loads (Vdq, Hdq, Mq) and stores (Mq, Vdq): arg is the half's byte offset. */
void emit_avx_mov_half(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned half = i->row->arg;

    if (i->op[0].class == OC_MEM) {
        emit_vec_store(e, XMM(i->op[1].reg) + half, 8);
        return;
    }
    emit_vec_load_scalar(e, VTMP(0), 8);
    put128(e, half ? TCG_V_MOVLHPS : TCG_V_MOVSD, XMM(i->op[1].reg), VTMP(0));
}

/* VMOVHLPS (arg 0: high to low), VMOVLHPS (8: low to high). */
void emit_avx_mov_cross(struct emit *e)
{
    put128(e, e->insn->row->arg ? TCG_V_MOVLHPS : TCG_V_MOVHLPS, XMM(e->insn->op[1].reg), XMM(e->insn->op[2].reg));
}

/* VMOVD, VMOVQ from a general register or memory. */
void emit_avx_from_gpr(struct emit *e)
{
    unsigned dst = XMM(e->insn->op[0].reg);

    if (e->insn->op[1].class == OC_MEM)
        load_scalar(e, dst, e->insn->op[1].size);
    else
        ir_vset(e->b, IR_V_CLEAR, dst, emit_load(e, 1));
}

/* VPINSRB, VPINSRW, VPINSRD, VPINSRQ Vdq, Hdq, E, Ib: arg is the element's size, 0: operand 2's. */
void emit_avx_insert(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned dst = XMM(i->op[0].reg), size = i->row->arg ? i->row->arg : i->op[2].size;
    ir_ref v = emit_load(e, 2);

    emit_vec_copy(e, dst, XMM(i->op[1].reg));
    v = ir_zext(e->b, emit_type(size), v);
    ir_ste(e->b, emit_type(size), dst + size * (emit_vec_imm8(e) & (16 / size - 1)), v);
    emit_ymm_clear_high(e, i->op[0].reg);
}

/* VINSERTPS: a memory operand is the one element there is. */
void emit_avx_insertps(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2);
    uint8_t imm = emit_vec_imm8(e) & (e->insn->op[2].class == OC_MEM ? 0x3f : 0xff);
    unsigned dst = e->insn->op[0].reg;

    ir_vopw(e->b, IR_V_CLEAR, TCG_V_INSERTPS, XMM(dst), XMM(e->insn->op[1].reg), b.half[0], imm);
}

/* ---- signs and tests, of legacy encodings too ---- */

/* MOVMSKPS, MOVMSKPD, PMOVMSKB: arg is the IR type of an element. */
void emit_vec_mask(struct emit *e)
{
    const struct operand *src = &e->insn->op[1];
    enum ir_type t = e->insn->row->arg;
    ir_ref v = ir_vmask(e->b, src->size == 32 ? IR_V32 : IR_V16, t, emit_vec_field(src));

    if (src->class == OC_MMX) {
        v = ir_bini(e->b, IR_AND, IR_I32, v, 0xff);
        emit_mmx_enter(e);
    }
    emit_put_reg(e, e->insn->op[0].reg, 4, v);
}

/* PTEST, VTESTPS, VTESTPD: ZF = no bit of a & b is set, CF = no bit of ~a & b; the others are cleared. arg is
 * the size of the elements whose signs alone count, 0: all bits do. */
void emit_vec_test(struct emit *e)
{
    static const uint64_t counts[] = { [0] = UINT64_MAX, [4] = UINT64_C(0x8000000080000000),
                                       [8] = UINT64_C(0x8000000000000000) };
    struct ymm b = emit_ymm_source(e, 1), a = emit_ymm_reg(e->insn->op[0].reg);
    ir_ref none = ir_const(e->b, IR_I64, 0), both = none, rest = none, x, y;

    for (unsigned at = 0; at < e->insn->op[0].size; at += 8) {
        x = emit_vec_get64(e, a.half[at / 16] + at % 16);
        y = emit_vec_get64(e, b.half[at / 16] + at % 16);
        y = ir_bini(e->b, IR_AND, IR_I64, y, counts[e->insn->row->arg]);
        both = ir_bin(e->b, IR_OR, IR_I64, both, ir_bin(e->b, IR_AND, IR_I64, x, y));
        x = ir_un(e->b, IR_NOT, IR_I64, x);
        rest = ir_bin(e->b, IR_OR, IR_I64, rest, ir_bin(e->b, IR_AND, IR_I64, x, y));
    }
    both = ir_cmp(e->b, IR_CMP_EQ, IR_I64, both, none);
    both = ir_bini(e->b, IR_SHL, IR_I32, both, (unsigned)__builtin_ctz(FL_ZF));
    emit_vec_put_flags(e, ir_bin(e->b, IR_OR, IR_I32, both, ir_cmp(e->b, IR_CMP_EQ, IR_I64, rest, none)));
}

/* ---- dot products, string comparisons, conversions ---- */

/* VDPPS, VDPPD: with an exception unmasked each step is checked before the next one. */
void emit_avx_dot(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_dot, emit_vec_const(e, e->insn->row->arg),
                emit_vec_pair(e, a.half[0], b.half[0]), emit_ymm_high_pair(e, 0, &a, &b),
                emit_vec_const(e, emit_vec_imm8(e)));
    halves_op(e, &a, &b);
}

/* VPCMPESTRM, VPCMPISTRM. */
void emit_avx_pcmpstrm(struct emit *e)
{
    emit_pcmpstrm(e);
    emit_ymm_clear_high(e, 0);
}

/* VCVTSI2SS, VCVTSI2SD. */
void emit_avx_cvt_from_gpr(struct emit *e)
{
    const struct insn *i = e->insn;
    struct ymm to, a = emit_ymm_source(e, 1);
    ir_ref v = emit_load(e, 2);

    to = emit_ymm_xm_dest(e);
    ir_vfromi(e->b, IR_V_CLEAR, to.half[0], a.half[0], v, i->row->arg);
    emit_ymm_xm_done(e, TCG_NUM_VOPS, &to, &a, &a);
}
