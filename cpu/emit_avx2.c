/* IR for AVX and AVX2 instructions without an SSE counterpart, FMA and F16C: SDM vol. 2, chapter 5. Where the
 * halves of a register mix, the high half is written first, or the result is built elsewhere. */
#include "cpu/emit_avx.h"
#include "cpu/helper_avx2.h"

/* Both fields of a register as a helper takes them. */
static ir_ref ymm_pair(struct emit *e, const struct ymm *o)
{
    return emit_vec_pair(e, o->half[0], o->half[1]);
}

/* ---- broadcasts ---- */

/* The first element of operand 1 everywhere; arg: the vector operation for 16 bytes. */
void emit_avx_broadcast(struct emit *e)
{
    unsigned dst = e->insn->op[0].reg, vop = e->insn->row->arg;
    struct ymm src = emit_ymm_source(e, 1);

    ir_vop(e->b, vop, XMM(dst), src.half[0], src.half[0]);
    if (emit_ymm_halves(e, 0) == 2)
        emit_vec_copy(e, YMMH(dst), XMM(dst));
    else
        emit_ymm_clear_high(e, dst);
}

/* 16 bytes of memory in both halves. */
void emit_avx_broadcast_128(struct emit *e)
{
    unsigned dst = e->insn->op[0].reg;

    emit_vec_load(e, XMM(dst), 16);
    emit_vec_copy(e, YMMH(dst), XMM(dst));
}

/* ---- halves ---- */

void emit_avx_insert_128(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2);
    unsigned dst = e->insn->op[0].reg, a = e->insn->op[1].reg, half = e->insn->imm & 1;

    emit_vec_copy(e, YMMH(dst), half ? b.half[0] : YMMH(a));
    emit_vec_copy(e, XMM(dst), half ? XMM(a) : b.half[0]);
}

void emit_avx_extract_128(struct emit *e)
{
    struct ymm from = emit_ymm_reg(e->insn->op[1].reg);
    unsigned half = from.half[e->insn->imm & 1];

    if (e->insn->op[0].class == OC_MEM)
        emit_vec_store(e, half, 16);
    else
        emit_ymm_put(e, &(struct ymm){ { half, 0 } });
}

/* Each half of the result is one of four halves, or zero. */
void emit_avx_perm_128(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);
    struct ymm to = { { VTMP(2), VTMP(3) } };

    for (unsigned h = 0; h < 2; h++) {
        unsigned control = (unsigned)e->insn->imm >> (4 * h);
        if (control & 8)
            emit_vec_zero(e, to.half[h]);
        else
            emit_vec_copy(e, to.half[h], (control & 2 ? &b : &a)->half[control & 1]);
    }
    emit_ymm_put(e, &to);
}

/* Elements of 4 bytes across the register: indices in operand 1. */
void emit_avx_perm8(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);
    struct ymm dst = emit_ymm_reg(e->insn->op[0].reg);

    ir_call(e->b, HELP_vperm8, ymm_pair(e, &dst), ymm_pair(e, &a), ymm_pair(e, &b), 0);
}

/* Elements of 8 bytes across the register: two bits of the immediate each. */
void emit_avx_perm4(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1), dst = emit_ymm_reg(e->insn->op[0].reg);
    ir_ref v[4];

    for (unsigned i = 0; i < 4; i++)
        v[i] = emit_vec_get64(e, b.half[i >> 1] + 8 * (i & 1));
    for (unsigned i = 0; i < 4; i++)
        emit_vec_put64(e, dst.half[i >> 1] + 8 * (i & 1), v[e->insn->imm >> (2 * i) & 3]);
}

void emit_vzero(struct emit *e)
{
    unsigned registers = e->mode & MODE_CODE64 ? 16 : 8;

    ir_call(e->b, HELP_vzero, emit_vec_const(e, registers), emit_vec_const(e, e->insn->row->arg), 0, 0);
}

/* ---- masked accesses and gathers: helpers check each element's address ---- */

static void masked(struct emit *e, unsigned helper, const struct operand *data)
{
    const struct insn *i = e->insn;
    struct mask_word w = {
        .reg = data->reg, .mask = i->op[1].reg, .seg = i->seg, .size = i->row->arg, .wide_vector = i->vex_l,
    };

    ir_call(e->b, helper, emit_vec_const(e, mask_word_pack(&w)), ir_zext(e->b, IR_I64, emit_ea(e)), 0, 0);
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
        ir_call(e->b, HELP_vgather, emit_vec_const(e, gather_word_pack(&w)), gather_base(e), 0, 0);
}

/* ---- FMA ---- */

/* The old destination is the third operand. */
void emit_fma(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);
    struct ymm dst = emit_ymm_reg(e->insn->op[0].reg), to = emit_ymm_xm_dest(e);
    unsigned vop = e->insn->row->arg;

    for (unsigned h = 0; h < emit_ymm_halves(e, 0); h++) {
        emit_vec_copy(e, to.half[h], dst.half[h]);
        ir_vop(e->b, vop, to.half[h], a.half[h], b.half[h]);
    }
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_fma, emit_vec_const(e, vop), emit_vec_pair(e, a.half[0], b.half[0]),
                emit_ymm_high_pair(e, 0, &a, &b), ymm_pair(e, &dst));
    emit_ymm_put(e, &to);
}

/* ---- F16C ---- */

/* Four numbers of each half come from eight bytes. */
void emit_vcvtph2ps(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1), to = emit_ymm_xm_dest(e);

    if (emit_ymm_halves(e, 0) == 2) {
        emit_vec_put64(e, VTMP(1), emit_vec_get64(e, b.half[0] + 8));
        ir_vop(e->b, TCG_V_VCVTPH2PS, to.half[1], VTMP(1), VTMP(1));
    }
    ir_vop(e->b, TCG_V_VCVTPH2PS, to.half[0], b.half[0], b.half[0]);
    emit_ymm_xm_done(e, TCG_NUM_VOPS, &to, &b, &b);
}

/* A store that faults leaves MXCSR alone, so it is tried first. */
static ir_ref half_address(struct emit *e, unsigned size)
{
    ir_ref addr;

    if (e->insn->op[0].class != OC_MEM)
        return 0;
    addr = emit_mem(e, 0, size, true);
    ir_call(e->b, HELP_probe_store, ir_zext(e->b, IR_I64, addr), emit_vec_const(e, size),
            emit_vec_const(e, emit_mem_flags(e)), 0);
    return addr;
}

void emit_vcvtps2ph(struct emit *e)
{
    struct ymm src = emit_ymm_reg(e->insn->op[1].reg), to = { { VTMP(2), VTMP(3) } };
    unsigned halves = emit_ymm_halves(e, 1);
    uint8_t imm = emit_vec_imm8(e);
    ir_ref addr = half_address(e, 8 * halves);

    emit_xm_begin(e);
    for (unsigned h = 0; h < halves; h++)
        ir_vopi(e->b, TCG_V_VCVTPS2PH, to.half[h], src.half[h], src.half[h], imm);
    if (halves == 2)
        ir_vop(e->b, TCG_V_PUNPCKLQDQ, to.half[0], to.half[0], to.half[1]);
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_half, emit_vec_const(e, src.half[0]),
                emit_vec_const(e, halves == 2 ? src.half[1] : 0), emit_vec_const(e, imm), 0);
    if (!addr)
        emit_ymm_put(e, &to);
    else if (halves == 2)
        ir_stv(e->b, IR_V16, addr, to.half[0], emit_mem_flags(e));
    else
        ir_st(e->b, IR_I64, addr, emit_vec_get64(e, to.half[0]), emit_mem_flags(e));
}
