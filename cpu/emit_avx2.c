/* IR for AVX and AVX2 instructions without an SSE counterpart, FMA and F16C: SDM vol. 2, chapter 5. Where the
 * halves of a register mix, the high half is written first, or the result is built elsewhere. */
#include "cpu/emit_avx.h"
#include "cpu/helper_avx2.h"

/* ---- broadcasts ---- */

/* The first element of operand 1 everywhere; arg: the vector operation for 16 bytes. */
void emit_avx_broadcast(struct emit *e)
{
    struct ymm src = emit_ymm_source(e, 1);
    unsigned form = emit_ymm_form(e);

    ir_vopw(e->b, form == IR_V32 ? form | IR_V_LOW_B : form, e->insn->row->arg, XMM(e->insn->op[0].reg), src.half[0],
            src.half[0], 0);
}

/* Operand 0 := 32 bytes made of a and b, whose halves mix. */
static void across(struct emit *e, unsigned vop, unsigned a, unsigned b)
{
    ir_vopw(e->b, IR_V32, vop, XMM(e->insn->op[0].reg), a, b, emit_vec_imm8(e));
}

/* 16 bytes of memory in both halves. */
void emit_avx_broadcast_128(struct emit *e)
{
    emit_vec_load(e, VTMP(0), 16);
    ir_vopw(e->b, IR_V32, TCG_V_VINSERTI128, XMM(e->insn->op[0].reg), VTMP(0), VTMP(0), 1);
}

/* ---- halves ---- */

void emit_avx_insert_128(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2);

    across(e, TCG_V_VINSERTI128, XMM(e->insn->op[1].reg), b.half[0]);
}

void emit_avx_extract_128(struct emit *e)
{
    struct ymm from = emit_ymm_reg(e->insn->op[1].reg);
    unsigned half = from.half[e->insn->imm & 1];

    if (e->insn->op[0].class == OC_MEM)
        emit_vec_store(e, half, 16);
    else
        ir_vopw(e->b, IR_V_CLEAR, TCG_V_MOVDQA, XMM(e->insn->op[0].reg), half, half, 0);
}

void emit_avx_perm_128(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);

    across(e, TCG_V_VPERM2I128, a.half[0], b.half[0]);
}

/* Elements of 4 bytes across the register: indices in operand 1. */
void emit_avx_perm8(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 2), a = emit_ymm_source(e, 1);

    across(e, TCG_V_VPERMD, a.half[0], b.half[0]);
}

/* Elements of 8 bytes across the register: two bits of the immediate each. */
void emit_avx_perm4(struct emit *e)
{
    struct ymm b = emit_ymm_source(e, 1);

    across(e, TCG_V_VPERMQ, b.half[0], b.half[0]);
}

/* VZEROUPPER, VZEROALL (arg 1). */
void emit_vzero(struct emit *e)
{
    unsigned registers = e->mode & MODE_CODE64 ? 16 : 8;

    for (unsigned n = 0; n < registers && e->insn->row->arg; n++)
        emit_vec_zero(e, XMM(n));
    ir_vzero(e->b, XMM(0), registers);
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
    unsigned vop = e->insn->row->arg, form = emit_ymm_form(e);

    if (to.half[0] != dst.half[0])
        ir_vopw(e->b, form, TCG_V_MOVDQA, to.half[0], dst.half[0], dst.half[0], 0);
    ir_vopw(e->b, form, vop, to.half[0], a.half[0], b.half[0], 0);
    if (e->mode & MODE_XM)
        ir_call(e->b, HELP_xm_end_fma, emit_vec_const(e, vop), emit_vec_pair(e, a.half[0], b.half[0]),
                emit_ymm_high_pair(e, 0, &a, &b), emit_vec_pair(e, dst.half[0], dst.half[1]));
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
    ir_vopw(e->b, emit_ymm_form(e) & IR_V_CLEAR, TCG_V_VCVTPH2PS, to.half[0], b.half[0], b.half[0], 0);
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
    struct ymm src = emit_ymm_reg(e->insn->op[1].reg), to = { { VTMP(2), VTMPH(2) } };
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
