/* IR for AVX and AVX2 instructions without an SSE counterpart, FMA and F16C: SDM vol. 2, chapter 5. Where the
 * halves of a register mix, the high half is written first, or the result is built elsewhere. */
#include "cpu/emit_avx.h"

#include "base/bits.h"
#include "cpu/helper_avx2.h"

static ir_ref get64(struct emit *e, unsigned field)
{
    return ir_lde(e->b, IR_I64, field);
}

static void put64(struct emit *e, unsigned field, ir_ref v)
{
    ir_ste(e->b, IR_I64, field, v);
}

static unsigned pair(const struct avx_operand *o)
{
    return o->half[0] | o->half[1] << 16;
}

static struct avx_operand whole_register(unsigned reg)
{
    return (struct avx_operand){ { avx_half(reg, 0), avx_half(reg, 1) } };
}

/* ---- broadcasts ---- */

/* The first element of operand 1 everywhere; arg: the vector operation for 16 bytes. */
void emit_avx_broadcast(struct emit *e)
{
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg;
    struct avx_operand src = avx_source(e, 1, 0);

    ir_vop(e->b, vop, avx_half(dst, 0), src.half[0], src.half[0]);
    if (avx_halves(e, 0) == 2)
        emit_copy128(e, avx_half(dst, 1), avx_half(dst, 0));
    else
        avx_clear_high(e, dst);
}

/* 16 bytes of memory in both halves. */
void emit_avx_broadcast_128(struct emit *e)
{
    unsigned dst = e->insn->op[0].reg;

    avx_load(e, avx_half(dst, 0), 0, 16);
    emit_copy128(e, avx_half(dst, 1), avx_half(dst, 0));
}

/* ---- halves ---- */

void emit_avx_insert_128(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0);
    unsigned dst = e->insn->op[0].reg, a = e->insn->op[1].reg, half = e->insn->imm & 1;

    emit_copy128(e, avx_half(dst, 1), half ? b.half[0] : avx_half(a, 1));
    emit_copy128(e, avx_half(dst, 0), half ? avx_half(a, 0) : b.half[0]);
}

void emit_avx_extract_128(struct emit *e)
{
    const struct operand *dst = &e->insn->op[0];
    struct avx_operand from = { { avx_half(e->insn->op[1].reg, e->insn->imm & 1), 0 } };

    if (dst->class == OC_MEM)
        avx_store(e, &from, 16);
    else
        avx_put(e, &from);
}

/* Each half of the result is one of four halves, or zero. */
void emit_avx_perm_128(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);
    struct avx_operand to = { { VTMP(2), VTMP(3) } };

    for (unsigned h = 0; h < 2; h++) {
        unsigned control = (unsigned)e->insn->imm >> (4 * h);
        if (control & 8)
            emit_zero128(e, to.half[h]);
        else
            emit_copy128(e, to.half[h], (control & 2 ? &b : &a)->half[control & 1]);
    }
    avx_put(e, &to);
}

/* Elements of 4 bytes across the register: indices in operand 1. */
void emit_avx_perm8(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);
    struct avx_operand dst = whole_register(e->insn->op[0].reg);

    ir_call(e->b, HELP_vperm8, avx_const(e, pair(&dst)), avx_const(e, pair(&a)), avx_const(e, pair(&b)), 0);
}

/* Elements of 8 bytes across the register: two bits of the immediate each. */
void emit_avx_perm4(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0);
    unsigned dst = e->insn->op[0].reg;
    ir_ref v[4];

    for (unsigned i = 0; i < 4; i++)
        v[i] = get64(e, b.half[i >> 1] + 8 * (i & 1));
    for (unsigned i = 0; i < 4; i++)
        put64(e, avx_half(dst, i >> 1) + 8 * (i & 1), v[e->insn->imm >> (2 * i) & 3]);
}

void emit_vzero(struct emit *e)
{
    unsigned registers = e->mode & MODE_CODE64 ? 16 : 8;

    ir_call(e->b, HELP_vzero, avx_const(e, registers), avx_const(e, e->insn->row->arg), 0, 0);
}

/* VTESTPS, VTESTPD: arg is the element's size. */
void emit_avx_test_signs(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0), a = avx_source(e, 0, 0);
    uint32_t high = avx_halves(e, 0) == 2 ? a.half[1] | b.half[1] << 16 : 0;
    ir_ref word = ir_call(e->b, HELP_vtest_signs, avx_const(e, a.half[0] | b.half[0] << 16),
                          avx_const(e, high), avx_const(e, e->insn->row->arg), 0);

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

/* ---- masked accesses and gathers: helpers check each element's address ---- */

static void masked(struct emit *e, unsigned helper, const struct operand *data)
{
    const struct insn *i = e->insn;
    struct mask_word w = {
        .reg = data->reg, .mask = i->op[1].reg, .seg = i->seg, .size = i->row->arg, .wide_vector = i->vex_l,
    };

    ir_call(e->b, helper, avx_const(e, mask_word_pack(&w)), ir_zext(e->b, IR_I64, emit_ea(e)), 0, 0);
}

/* Vx, Hx, Mx; arg is the element's size. */
void emit_avx_mask_load(struct emit *e)
{
    masked(e, HELP_vmask_load, &e->insn->op[0]);
}

/* Mx, Hx, Vx. */
void emit_avx_mask_store(struct emit *e)
{
    masked(e, HELP_vmask_store, &e->insn->op[2]);
}

/* The part of a gather's addresses that all elements share. */
static ir_ref gather_base(struct emit *e)
{
    enum ir_type t = e->insn->addrsize == 8 ? IR_I64 : IR_I32;
    ir_ref base = e->insn->base == REG_NONE ? ir_const(e->b, t, 0) : ir_get(e->b, t, e->insn->base);

    return ir_zext(e->b, IR_I64, ir_bini(e->b, IR_ADD, t, base, (uint64_t)e->insn->disp));
}

/* Vx, MG, Hx: arg is the size of an index. Registers that meet: #UD. */
void emit_avx_gather(struct emit *e)
{
    const struct insn *i = e->insn;
    struct gather_word w = {
        .reg = i->op[0].reg, .index = i->index, .mask = i->op[2].reg, .seg = i->seg,
        .shift = (unsigned)__builtin_ctz(i->scale), .size = i->op[1].size, .index_size = i->row->arg,
        .wide_vector = i->vex_l, .address64 = i->addrsize == 8,
    };

    if (w.reg == w.index || w.reg == w.mask || w.index == w.mask)
        emit_raise(e, EX_UD);
    else
        ir_call(e->b, HELP_vgather, avx_const(e, gather_word_pack(&w)), gather_base(e), 0, 0);
}

/* ---- FMA ---- */

/* The old destination is the third operand. */
void emit_fma(struct emit *e)
{
    struct avx_operand b = avx_source(e, 2, 0), a = avx_source(e, 1, 0);
    struct avx_operand dst = whole_register(e->insn->op[0].reg), to = avx_float_begin(e);
    unsigned vop = e->insn->row->arg;
    uint32_t low = a.half[0] | b.half[0] << 16;
    uint32_t high = avx_halves(e, 0) == 2 ? a.half[1] | b.half[1] << 16 : 0;

    for (unsigned h = 0; h < avx_halves(e, 0); h++) {
        emit_copy128(e, to.half[h], dst.half[h]);
        ir_vop(e->b, vop, to.half[h], a.half[h], b.half[h]);
    }
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_fma, avx_const(e, vop), avx_const(e, low), avx_const(e, high),
                avx_const(e, pair(&dst)));
    avx_put(e, &to);
}

/* ---- F16C ---- */

/* Four numbers of each half come from eight bytes. */
void emit_vcvtph2ps(struct emit *e)
{
    struct avx_operand b = avx_source(e, 1, 0), to = avx_float_begin(e);

    if (avx_halves(e, 0) == 2) {
        put64(e, VTMP(1), get64(e, b.half[0] + 8));
        ir_vop(e->b, TCG_V_VCVTPH2PS, to.half[1], VTMP(1), VTMP(1));
    }
    ir_vop(e->b, TCG_V_VCVTPH2PS, to.half[0], b.half[0], b.half[0]);
    avx_float_end(e, TCG_NUM_VOPS, &to, &b, &b);
}

/* A store that faults leaves MXCSR alone, so it is tried first. */
static ir_ref half_address(struct emit *e, unsigned size)
{
    ir_ref addr;

    if (e->insn->op[0].class != OC_MEM)
        return 0;
    addr = emit_mem(e, 0, size, true);
    ir_call(e->b, HELP_probe_store, ir_zext(e->b, IR_I64, addr), avx_const(e, size),
            avx_const(e, emit_mem_flags(e)), 0);
    return addr;
}

void emit_vcvtps2ph(struct emit *e)
{
    struct avx_operand src = whole_register(e->insn->op[1].reg), to = { { VTMP(2), VTMP(3) } };
    unsigned halves = avx_halves(e, 1);
    uint8_t imm = (uint8_t)e->insn->imm;
    ir_ref addr = half_address(e, 8 * halves);

    avx_float_begin(e);
    for (unsigned h = 0; h < halves; h++)
        ir_vopi(e->b, TCG_V_VCVTPS2PH, to.half[h], src.half[h], src.half[h], imm);
    if (halves == 2)
        ir_vop(e->b, TCG_V_PUNPCKLQDQ, to.half[0], to.half[0], to.half[1]);
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_half, avx_const(e, src.half[0]),
                avx_const(e, halves == 2 ? src.half[1] : 0), avx_const(e, imm), 0);
    if (!addr)
        avx_put(e, &to);
    else if (halves == 2)
        ir_stv(e->b, addr, to.half[0], emit_mem_flags(e));
    else
        ir_st(e->b, IR_I64, addr, get64(e, to.half[0]), emit_mem_flags(e));
}
