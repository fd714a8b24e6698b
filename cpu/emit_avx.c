/* IR for the VEX forms of MMX, SSE to SSE4.2, AES and PCLMULQDQ: one vector operation for each half of the
 * destination (SDM vol. 2, the VEX.128 and VEX.256 forms). */
#include "cpu/emit_avx.h"

/* ---- operands ---- */

ir_ref avx_const(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static ir_ref get64(struct emit *e, unsigned field)
{
    return ir_lde(e->b, IR_I64, field);
}

static void put64(struct emit *e, unsigned field, ir_ref v)
{
    ir_ste(e->b, IR_I64, field, v);
}

void avx_clear_high(struct emit *e, unsigned reg)
{
    emit_zero128(e, YMMH(reg));
}

static unsigned vector_flags(const struct emit *e, unsigned size)
{
    return emit_mem_flags(e) | (e->insn->row->flags & OPF_ALIGN ? IR_MEM_ALIGN : 0) |
           (size == 32 ? IR_MEM_PAIR : 0);
}

/* The upper half of an access that IR_MEM_PAIR has checked. */
static ir_ref second_half(struct emit *e, ir_ref addr)
{
    return ir_bini(e->b, IR_ADD, ir_type_of(e->b, addr), addr, 16);
}

void avx_load(struct emit *e, unsigned field, unsigned high, unsigned size)
{
    ir_ref addr = emit_mem(e, 0, size, false);

    if (size < 16) {
        ir_ste(e->b, emit_type(size), field, ir_ld(e->b, emit_type(size), addr, emit_mem_flags(e)));
        return;
    }
    ir_ldv(e->b, addr, field, vector_flags(e, size));
    if (size == 32)
        ir_ldv(e->b, second_half(e, addr), high, emit_mem_flags(e));
}

void avx_store(struct emit *e, const struct avx_operand *src, unsigned size)
{
    ir_ref addr = emit_mem(e, 0, size, true);

    ir_stv(e->b, addr, src->half[0], vector_flags(e, size));
    if (size == 32)
        ir_stv(e->b, second_half(e, addr), src->half[1], emit_mem_flags(e));
}

static struct avx_operand reg_operand(unsigned reg)
{
    return (struct avx_operand){ { avx_half(reg, 0), avx_half(reg, 1) } };
}

struct avx_operand avx_source(struct emit *e, unsigned n, unsigned tmp)
{
    const struct operand *o = &e->insn->op[n];

    if (o->class != OC_MEM)
        return reg_operand(o->reg);
    avx_load(e, VTMP(tmp), VTMP(tmp + 1), o->size);
    return (struct avx_operand){ { VTMP(tmp), VTMP(tmp + 1) } };
}

unsigned avx_halves(const struct emit *e, unsigned n)
{
    return e->insn->op[n].size == 32 ? 2 : 1;
}

void avx_put(struct emit *e, const struct avx_operand *from)
{
    unsigned reg = e->insn->op[0].reg;

    emit_copy128(e, avx_half(reg, 0), from->half[0]);
    if (avx_halves(e, 0) == 2)
        emit_copy128(e, avx_half(reg, 1), from->half[1]);
    else
        avx_clear_high(e, reg);
}

/* ---- floating-point exceptions ---- */

struct avx_operand avx_float_begin(struct emit *e)
{
    if (!(e->mode & MODE_XM))
        return reg_operand(e->insn->op[0].reg);
    ir_call(e->b, HELP_xm_begin, 0, 0, 0, 0);
    return (struct avx_operand){ { VTMP(2), VTMP(3) } };
}

void avx_float_end(struct emit *e, unsigned vop, const struct avx_operand *to, const struct avx_operand *a,
                   const struct avx_operand *b)
{
    uint32_t high = avx_halves(e, 1) == 2 ? a->half[1] | b->half[1] << 16 : 0;

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_pair, avx_const(e, vop), avx_const(e, a->half[0] | b->half[0] << 16),
                avx_const(e, high), 0);
    avx_put(e, to);
}

/* ---- plain operations ----
 *
 * arg: the vector operation. Both halves of the sources are read before the low half of the destination is
 * written, or are different fields: halves never mix but where it is said. */

/* dst := a op b, by halves, with an immediate for each. */
static void halves_op(struct emit *e, const struct avx_operand *a, const struct avx_operand *b, uint8_t low,
                      uint8_t high)
{
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg & 0xffff;

    ir_vopi(e->b, vop, avx_half(dst, 0), a->half[0], b->half[0], low);
    if (avx_halves(e, 0) == 2)
        ir_vopi(e->b, vop, avx_half(dst, 1), a->half[1], b->half[1], high);
    else
        avx_clear_high(e, dst);
}

static uint8_t imm8(const struct emit *e)
{
    return (uint8_t)e->insn->imm;
}

/* The immediate of the high half: arg's upper 16 bits tell how far its bits stand above the low one's. */
static uint8_t high_imm8(const struct emit *e)
{
    return (uint8_t)(imm8(e) >> (e->insn->row->arg >> 16));
}

/* Vx, Hx, Wx and, where there is one, Ib. */
void emit_avx_op(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);

    halves_op(e, &a, &b, imm8(e), high_imm8(e));
}

/* Vx, Wx and, where there is one, Ib. */
void emit_avx_op1(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);

    halves_op(e, &b, &b, imm8(e), high_imm8(e));
}

/* The same in floating point. Comparisons have five bits of predicate, roundings four of control. */
static void float_op(struct emit *e, const struct avx_operand *a, const struct avx_operand *b)
{
    unsigned vop = e->insn->row->arg;
    struct avx_operand to = avx_float_begin(e);

    for (unsigned h = 0; h < avx_halves(e, 0); h++)
        ir_vopi(e->b, vop, to.half[h], a->half[h], b->half[h], imm8(e));
    avx_float_end(e, vop, &to, a, b);
}

void emit_avx_float(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);

    float_op(e, &a, &b);
}

void emit_avx_float1(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);

    float_op(e, &b, &b);
}

/* Shift by a count that is 128 bits wide in either form. The high half comes first, because the count may
 * be in the destination. */
void emit_avx_shift(struct emit *e)
{
    struct avx_operand count = avx_source(e, 2, 0), a = avx_source(e, 1, 0);
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg;

    if (avx_halves(e, 0) == 2)
        ir_vop(e->b, vop, avx_half(dst, 1), a.half[1], count.half[0]);
    ir_vop(e->b, vop, avx_half(dst, 0), a.half[0], count.half[0]);
    if (avx_halves(e, 0) == 1)
        avx_clear_high(e, dst);
}

/* Hx, Ux, Ib. */
void emit_avx_shift_imm(struct emit *e)
{
    struct avx_operand a = avx_source(e, 1, 0), count = { { VTMP(0), VTMP(0) } };

    put64(e, VTMP(0), ir_const(e->b, IR_I64, imm8(e)));
    emit_zero64(e, VTMP(0) + 8);
    halves_op(e, &a, &count, 0, 0);
}

/* Blend under the signs of a register (Vx, Hx, Wx, Lx): the operation takes the mask in its destination. */
void emit_avx_blendv(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0), mask = avx_source(e, 3, 0);
    struct avx_operand to = { { VTMP(2), VTMP(3) } };

    for (unsigned h = 0; h < avx_halves(e, 0); h++) {
        emit_copy128(e, to.half[h], mask.half[h]);
        ir_vop(e->b, e->insn->row->arg, to.half[h], a.half[h], b.half[h]);
    }
    avx_put(e, &to);
}

/* The second `size` bytes of `src` into vtmp[1]: what the high half of a widening operation reads. */
static void upper_source(struct emit *e, unsigned src, unsigned size)
{
    ir_ste(e->b, emit_type(size), VTMP(1), ir_lde(e->b, emit_type(size), src + size));
}

/* VPMOVSX, VPMOVZX: the high half comes from the upper half of the source's bytes. */
void emit_avx_extend(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg;

    if (avx_halves(e, 0) == 2) {
        upper_source(e, b.half[0], e->insn->op[1].size / 2);
        ir_vop(e->b, vop, avx_half(dst, 1), VTMP(1), VTMP(1));
    }
    ir_vop(e->b, vop, avx_half(dst, 0), b.half[0], b.half[0]);
    if (avx_halves(e, 0) == 1)
        avx_clear_high(e, dst);
}

/* VCVTPS2PD, VCVTDQ2PD. */
void emit_avx_widen(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);
    unsigned vop = e->insn->row->arg;
    struct avx_operand to = avx_float_begin(e);

    if (avx_halves(e, 0) == 2) {
        upper_source(e, b.half[0], 8);
        ir_vop(e->b, vop, to.half[1], VTMP(1), VTMP(1));
    }
    ir_vop(e->b, vop, to.half[0], b.half[0], b.half[0]);
    avx_float_end(e, vop, &to, &b, &b);
}

/* VCVTPD2PS, VCVTPD2DQ, VCVTTPD2DQ: each half makes eight bytes. */
void emit_avx_narrow(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);
    unsigned vop = e->insn->row->arg;
    struct avx_operand to;

    avx_float_begin(e);
    to = (struct avx_operand){ { VTMP(2), VTMP(3) } };
    ir_vop(e->b, vop, to.half[0], b.half[0], b.half[0]);
    if (avx_halves(e, 1) == 2) {
        ir_vop(e->b, vop, to.half[1], b.half[1], b.half[1]);
        ir_vop(e->b, TCG_V_PUNPCKLQDQ, to.half[0], to.half[0], to.half[1]);
    }
    avx_float_end(e, vop, &to, &b, &b);
}

/* ---- moves ---- */

/* The whole register, either direction. */
void emit_avx_mov(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];
    struct avx_operand from = reg_operand(src->reg);

    if (dst->class == OC_MEM) {
        avx_store(e, &from, src->size);
        return;
    }
    if (src->class == OC_MEM) {
        from = reg_operand(dst->reg);
        avx_load(e, from.half[0], from.half[1], dst->size);
    }
    avx_put(e, &from);
}

/* Operand 0 := 128 bits, upper bits cleared. */
static void put128(struct emit *e, ir_ref low, ir_ref high)
{
    unsigned reg = e->insn->op[0].reg;

    put64(e, avx_half(reg, 0), low);
    put64(e, avx_half(reg, 0) + 8, high);
    avx_clear_high(e, reg);
}

static ir_ref zero(struct emit *e)
{
    return ir_const(e->b, IR_I64, 0);
}

static ir_ref load_mem(struct emit *e, unsigned size)
{
    return ir_ld(e->b, emit_type(size), emit_mem(e, 0, size, false), emit_mem_flags(e));
}

static void store_low(struct emit *e, unsigned field, unsigned size)
{
    ir_ref v = ir_lde(e->b, emit_type(size), field);

    ir_st(e->b, emit_type(size), emit_mem(e, 0, size, true), v, emit_mem_flags(e));
}

/* VMOVSS, VMOVSD, VMOVQ between register and memory, of the memory operand's size. */
void emit_avx_mov_scalar(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0], *src = &e->insn->op[1];

    if (dst->class == OC_MEM)
        store_low(e, avx_half(src->reg, 0), dst->size);
    else if (src->class == OC_MEM)
        put128(e, ir_zext(e->b, IR_I64, load_mem(e, src->size)), zero(e));
    else
        put128(e, get64(e, avx_half(src->reg, 0)), zero(e));
}

/* VMOVSS, VMOVSD Vdq, Hdq, Udq: arg bytes from the last, the rest from the middle. */
void emit_avx_merge_scalar(struct emit *e)
{
    unsigned dst = avx_half(e->insn->op[0].reg, 0);
    enum ir_type t = emit_type(e->insn->row->arg);
    ir_ref v = ir_lde(e->b, t, avx_half(e->insn->op[2].reg, 0));

    emit_copy128(e, dst, avx_half(e->insn->op[1].reg, 0));
    ir_ste(e->b, t, dst, v);
    avx_clear_high(e, e->insn->op[0].reg);
}

/* VMOVLPS, VMOVHPS and PD forms, loads (Vdq, Hdq, Mq) and stores (Mq, Vdq): arg is the half's byte offset. */
void emit_avx_mov_half(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned half = i->row->arg;
    ir_ref v, rest;

    if (i->op[0].class == OC_MEM) {
        store_low(e, avx_half(i->op[1].reg, 0) + half, 8);
        return;
    }
    v = load_mem(e, 8);
    rest = get64(e, avx_half(i->op[1].reg, 0) + 8 - half);
    put128(e, half ? rest : v, half ? v : rest);
}

/* VMOVHLPS (arg 0: high to low), VMOVLHPS (8: low to high). */
void emit_avx_mov_cross(struct emit *e)
{
    unsigned half = e->insn->row->arg;
    ir_ref rest = get64(e, avx_half(e->insn->op[1].reg, 0) + 8 - half);
    ir_ref v = get64(e, avx_half(e->insn->op[2].reg, 0) + 8 - half);

    put128(e, half ? rest : v, half ? v : rest);
}

/* VMOVD, VMOVQ from a general register or memory. */
void emit_avx_from_gpr(struct emit *e)
{
    put128(e, ir_zext(e->b, IR_I64, emit_load(e, 1)), zero(e));
}

/* VPINSRB, VPINSRW, VPINSRD, VPINSRQ Vdq, Hdq, E, Ib: arg is the element's size, 0: operand 2's. */
void emit_avx_insert(struct emit *e)
{
    const struct insn *i = e->insn;
    unsigned dst = avx_half(i->op[0].reg, 0), size = i->row->arg ? i->row->arg : i->op[2].size;
    ir_ref v = emit_load(e, 2);

    emit_copy128(e, dst, avx_half(i->op[1].reg, 0));
    v = ir_zext(e->b, emit_type(size), v);
    ir_ste(e->b, emit_type(size), dst + size * (imm8(e) & (16 / size - 1)), v);
    avx_clear_high(e, i->op[0].reg);
}

/* VINSERTPS: a memory operand is the one element there is. */
void emit_avx_insertps(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0);
    unsigned dst = e->insn->op[0].reg, imm = imm8(e) & (e->insn->op[2].class == OC_MEM ? 0x3f : 0xff);

    ir_vopi(e->b, TCG_V_INSERTPS, avx_half(dst, 0), avx_half(e->insn->op[1].reg, 0), b.half[0], (uint8_t)imm);
    avx_clear_high(e, dst);
}

/* ---- masks, comparisons, conversions ---- */

/* VMOVMSKPS, VMOVMSKPD, VPMOVMSKB: arg is the helper for a half, the bits of a half in its upper 16. */
void emit_avx_mask(struct emit *e)
{
    unsigned helper = e->insn->row->arg & 0xffff, bits = e->insn->row->arg >> 16, reg = e->insn->op[1].reg;
    ir_ref high, v = ir_call(e->b, helper, avx_const(e, avx_half(reg, 0)), 0, 0, 0);

    if (avx_halves(e, 1) == 2) {
        high = ir_call(e->b, helper, avx_const(e, avx_half(reg, 1)), 0, 0, 0);
        v = ir_bin(e->b, IR_OR, IR_I32, v, ir_bini(e->b, IR_SHL, IR_I32, high, bits));
    }
    emit_put_reg(e, e->insn->op[0].reg, 4, v);
}

void emit_avx_ptest(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0), a = avx_source(e, 0, 0);
    ir_ref high = avx_const(e, avx_halves(e, 0) == 2 ? a.half[1] | b.half[1] << 16 : 0);
    ir_ref word = ir_call(e->b, HELP_vptest, avx_const(e, a.half[0] | b.half[0] << 16), high, 0, 0);

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

/* VDPPS, VDPPD: with an exception unmasked each step is checked before the next one. */
void emit_avx_dot(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);
    uint32_t high = avx_halves(e, 0) == 2 ? a.half[1] | b.half[1] << 16 : 0;

    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_dot, avx_const(e, e->insn->row->arg), avx_const(e, a.half[0] | b.half[0] << 16),
                avx_const(e, high), avx_const(e, imm8(e)));
    halves_op(e, &a, &b, imm8(e), imm8(e));
}

/* VPCMPESTRM, VPCMPISTRM. */
void emit_avx_pcmpstrm(struct emit *e)
{
    emit_pcmpstrm(e);
    avx_clear_high(e, 0);
}

/* VCVTSI2SS, VCVTSI2SD: the helper leaves the upper lanes of its destination alone. */
void emit_avx_cvt_from_gpr(struct emit *e)
{
    const struct insn *i = e->insn;
    struct avx_operand to, a = avx_source(e, 1, 0);
    ir_ref v = ir_zext(e->b, IR_I64, emit_load(e, 2));

    to = avx_float_begin(e);
    emit_copy128(e, to.half[0], a.half[0]);
    ir_call(e->b, i->row->arg, avx_const(e, to.half[0]), v, avx_const(e, i->op[2].size), 0);
    avx_float_end(e, TCG_NUM_VOPS, &to, &a, &a);
}
