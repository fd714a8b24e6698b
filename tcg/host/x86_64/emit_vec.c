/* Vector operations on fields that are in host vector registers; between them and integers. */
#include "tcg/host/x86_64/emit.h"

/* The operation at hand. */
struct vop {
    const struct tcg_vop_info *op;
    unsigned num;           /* enum tcg_vop */
    uint32_t dst, a, b;     /* fields */
    uint8_t imm;
    unsigned size, b_size, dst_size;    /* of the fields */
    bool clear;             /* of 16 bytes; the second half becomes 0 */
    uint8_t prefix;
    unsigned flags, opcode;
};

static bool is_across(const struct tcg_vop_info *op)
{
    return op->kind == VK_L || op->kind == VK_L1;
}

static void vop_c(struct emit *c, const struct vop *v, unsigned i)
{
    const struct tcg_vop_info *op = v->op;
    const void *fn = op->fn_imm ? (const void *)(uintptr_t)op->fn_imm : (const void *)(uintptr_t)op->fn;

    vec_before_call(c);
    ra_save(&c->ra, TEMP_MASK, i);
    enc_lea(&c->enc, W64, RDI, env_mem(v->dst));
    enc_lea(&c->enc, W64, RSI, env_mem(v->a));
    enc_lea(&c->enc, W64, RDX, env_mem(v->b));
    enc_mov_ri(&c->enc, RCX, v->imm);
    if (is_across(op)) {
        fn = (const void *)(uintptr_t)tcg_vop_across;
        enc_mov_ri(&c->enc, RCX, v->num | (unsigned)v->imm << 16);
        enc_mov_ri(&c->enc, R8, c->guest->vec_high);
    }
    emit_c_call(c, fn, c->thunks.call_plain);
    ra_lose(&c->ra, TEMP_MASK);
    c->flags_owner = 0;
}

/* In map 0F, 0F38 or 0F3A. */
static unsigned host_opcode(const struct tcg_vop_info *op)
{
    return op->opcode > 0xff ? 0x0f0000u | op->opcode : 0x0f00u | op->opcode;
}

/* Does the VEX form of this operation on one source take lanes that it leaves alone from another one? */
static bool merges(const struct tcg_vop_info *op)
{
    bool scalar = (op->prefix & 0xff) == 0xf2 || (op->prefix & 0xff) == 0xf3;

    if (op->kind != VK_XF1)
        return false;
    return op->opcode == 0x3a0a || op->opcode == 0x3a0b || (scalar && op->opcode < 0x5b);
}

/* dst := op(b). Each of these returns the register of the result. */
static unsigned vop_unary(struct emit *c, const struct vop *v)
{
    unsigned b = vec_use(c, v->b, v->b_size), dst = vec_reg_for(c, v->dst, v->dst_size, 0);

    if (v->op->kind == VK_V1R)
        vec_op2(c, v->prefix, v->flags, v->opcode, b, dst);
    else
        vec_op2(c, v->prefix, v->flags, v->opcode, dst, b);
    return dst;
}

/* The destination's place in the encoding is part of the opcode. */
static unsigned vop_group(struct emit *c, const struct vop *v)
{
    unsigned b = vec_use(c, v->b, v->b_size), dst = vec_reg_for(c, v->dst, v->dst_size, 0);

    if (c->isa & TCG_ISA_AVX) {
        enc_vex_rr(&c->enc, v->prefix, v->flags, v->opcode, v->op->kind - VK_GROUP, dst, b);
    } else {
        vec_move(c, 16, dst, b);
        enc_sse_rr(&c->enc, v->prefix, W32, v->opcode, v->op->kind - VK_GROUP, dst);
    }
    return dst;
}

static unsigned vop_legacy(struct emit *c, const struct vop *v, unsigned a, unsigned b)
{
    unsigned dst = vec_reg_for(c, v->dst, v->dst_size, a == b ? 0 : BIT_REG(b));

    vec_move(c, 16, dst, a);
    enc_sse_rr(&c->enc, v->prefix, W32, v->opcode, dst, b);
    return dst;
}

/* dst := a op b. */
static unsigned vop_binary(struct emit *c, const struct vop *v)
{
    unsigned a = vec_use(c, v->a, v->size), b = vec_use(c, v->b, v->b_size), dst;

    if (v->op->isa & TCG_ISA_SHA)
        return vop_legacy(c, v, a, b);
    dst = vec_reg_for(c, v->dst, v->dst_size, vec_avoid(c, a, b));
    vec_op3(c, v->prefix, v->flags, v->opcode, dst, a, b);
    return dst;
}

/* dst := op(dst, a, b). */
static unsigned vop_ternary(struct emit *c, const struct vop *v)
{
    unsigned old = vec_use(c, v->dst, v->size), a = vec_use(c, v->a, v->size), b = vec_use(c, v->b, v->b_size);
    unsigned dst = vec_reg_for(c, v->dst, v->dst_size, 0);

    vec_move(c, v->size, dst, old);
    enc_vex_rr(&c->enc, v->prefix, v->flags, v->opcode, dst, a, b);
    return dst;
}

/* The old value is the mask, in XMM0. */
static unsigned vop_mask0(struct emit *c, const struct vop *v)
{
    unsigned a, b;

    vec_take(c, 0);
    vec_move(c, 16, 0, vec_use(c, v->dst, 16));
    a = vec_use(c, v->a, 16);
    b = vec_use(c, v->b, 16);
    return vop_legacy(c, v, a, b);
}

static unsigned vop_zero(struct emit *c, const struct vop *v)
{
    unsigned dst = vec_reg_for(c, v->dst, v->dst_size, 0);

    vec_op3(c, v->prefix, v->flags, v->opcode, dst, dst, dst);
    return dst;
}

static unsigned vop_registers(struct emit *c, const struct vop *v)
{
    switch (v->op->kind) {
    case VK_X1: case VK_Q1: case VK_V1: case VK_V1R: case VK_L1:
        return vop_unary(c, v);
    case VK_GROUP ... VK_GROUP + 7:
        return vop_group(c, v);
    case VK_XF1:
        return merges(v->op) ? vop_binary(c, v) : vop_unary(c, v);
    case VK_V3:
        return vop_ternary(c, v);
    case VK_MASK0:
        return vop_mask0(c, v);
    default:
        return v->opcode == OP_PXOR && v->a == v->b ? vop_zero(c, v) : vop_binary(c, v);
    }
}

/* ---- 32 bytes ---- */

/* Operations whose 256-bit form takes the second source of both halves from its first half: shifts by a register and
 * broadcasts. */
static bool takes_low_b(const struct tcg_vop_info *op)
{
    unsigned n = op->opcode;

    if (op->kind == VK_V1)
        return n == 0x3878 || n == 0x3879 || n == 0x3858 || n == 0x3859;
    return op->kind == VK_X && ((n >= 0xd1 && n <= 0xd3) || n == 0xe1 || n == 0xe2 || (n >= 0xf1 && n <= 0xf3));
}

/* Integer operations with one source whose 256-bit form reads 16 bytes or has none. */
static bool widens(const struct tcg_vop_info *op)
{
    unsigned n = op->opcode;

    return (n >= 0x3820 && n <= 0x3825) || (n >= 0x3830 && n <= 0x3835) || n == 0x3841 || n == 0x7e;
}

/* Has the row a 256-bit form that does the same to both halves (or goes across them)? */
static bool has_wide_form(const struct tcg_vop_info *op)
{
    bool scalar = (op->prefix & 0xff) >= 0xf2;
    unsigned n = op->opcode;

    switch (op->kind) {
    case VK_L: case VK_L1: case VK_GROUP ... VK_GROUP + 7:
        return true;
    case VK_X:
        return !(op->isa & (TCG_ISA_SHA | TCG_ISA_AES | TCG_ISA_PCLMUL)) && n != 0x3a21 && n != 0x10 && n != 0x12 &&
               n != 0x16;
    case VK_X1:
        return !(op->isa & TCG_ISA_AES) && !widens(op);
    case VK_XF: /* additions of neighbours have the prefix of scalars; DPPD has 128 bits alone */
        return n != 0x3a41 && (!scalar || n == 0x7c || n == 0x7d || n == 0xd0);
    case VK_XF1:
        return n < 0x100 ? !scalar && n != 0x5a && n != 0xe6 : n == 0x3a08 || n == 0x3a09;
    case VK_V:
        return n != 0xc2 || !scalar;
    case VK_V1:
        return !(op->isa & TCG_ISA_F16C);
    case VK_V3: /* scalar forms have odd opcodes from xx99 on */
        return !(n & 1) || (n & 15) < 8;
    default:
        return false;
    }
}

static bool is_one_instruction(const struct emit *c, const struct vop *v, unsigned cc)
{
    return (c->isa & TCG_ISA_AVX2) && !(v->op->isa & ~c->isa) && has_wide_form(v->op) &&
           takes_low_b(v->op) == !!(cc & IR_V_LOW_B);
}

/* ---- any size ---- */

static bool has_instruction(const struct emit *c, const struct tcg_vop_info *op)
{
    return op->kind != VK_C && op->opcode && !(op->isa & ~c->isa) && !is_across(op);
}

/* Has an instruction cleared the second half of its destination? */
static bool clears_high(const struct emit *c, const struct vop *v)
{
    return (c->isa & TCG_ISA_AVX) && v->op->kind != VK_MASK0 && !(v->op->isa & TCG_ISA_SHA);
}

/* One instruction on registers, of v->size. */
static void vop_host(struct emit *c, struct vop *v)
{
    unsigned dst;

    v->dst_size = v->clear && clears_high(c, v) ? 32 : v->size;
    dst = vop_registers(c, v);
    if (v->op->fn_imm)
        enc_imm8(&c->enc, v->imm);
    vec_bind(c, v->dst, v->dst_size, dst);
}

/* 8 or 16 bytes. */
static void vop_narrow(struct emit *c, struct vop *v, unsigned i)
{
    if (v->num == TCG_V_MOVDQA) {
        vec_copy(c, v->dst, v->b, 16, v->clear);
        return;
    }
    if (has_instruction(c, v->op))
        vop_host(c, v);
    else
        vop_c(c, v, i);
    if (v->clear && (!has_instruction(c, v->op) || !clears_high(c, v)))
        vec_clear_high(c, v->dst);
}

/* 32 bytes: at once, or the second half first, because the first half of b may be in the destination. */
static void vop_wide(struct emit *c, struct vop *v, unsigned cc, unsigned i)
{
    struct vop high = *v;

    if (is_one_instruction(c, v, cc)) {
        v->size = 32;
        v->b_size = cc & IR_V_LOW_B || v->num == TCG_V_VINSERTI128 ? 16 : 32;
        v->flags |= VEX_L;
        if (v->num == TCG_V_MOVDQA)
            vec_copy(c, v->dst, v->b, 32, false);
        else
            vop_host(c, v);
        return;
    }
    if (is_across(v->op)) {
        vop_c(c, v, i);
        return;
    }
    high.dst += c->guest->vec_high;
    high.a += c->guest->vec_high;
    high.b += cc & IR_V_LOW_B ? 0 : c->guest->vec_high;
    high.imm = tcg_vop_high_imm(v->num, v->imm);
    vop_narrow(c, &high, i);
    vec_unlock(c);
    vop_narrow(c, v, i);
}

void emit_vop(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    const struct tcg_vop_info *op = &tcg_vops[in->imm & 0xffff];
    unsigned size = op->kind == VK_Q || op->kind == VK_Q1 ? 8 : 16;
    struct vop v = { .op = op, .num = in->imm & 0xffff, .dst = in->imm >> 16 & 0xffff, .a = in->imm >> 32 & 0xffff,
                     .b = (uint32_t)(in->imm >> 48), .imm = in->aux, .size = size, .b_size = size,
                     .clear = in->cc & IR_V_CLEAR, .prefix = (uint8_t)op->prefix,
                     .flags = op->prefix & TCG_VEX_W ? VEX_W : 0, .opcode = host_opcode(op) };

    if ((in->cc & IR_V_SIZE) == IR_V32)
        vop_wide(c, &v, in->cc, i);
    else
        vop_narrow(c, &v, i);
}

void emit_clear_high(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned count = in->imm >> 32 & 0xffff;

    if (count == 1)
        vec_clear_high(c, in->imm >> 16 & 0xffff);
    else
        vec_clear_all_high(c, in->imm >> 16 & 0xffff, count);
}

static void signs(struct emit *c, const struct ir_insn *in, uint32_t field, unsigned size, unsigned dst)
{
    unsigned src = vec_use(c, field, size);

    vec_op2(c, in->type == IR_I32 ? 0 : 0x66, size == 32 ? VEX_L : 0, in->type == IR_I8 ? OP_PMOVMSKB : OP_MOVMSK, dst,
            src);
}

/* Of 16 bytes, or with AVX2: moves only, the host's flags survive. */
void emit_vmask(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, 32), high;
    bool wide = (in->cc & IR_V_SIZE) == IR_V32, whole = c->isa & TCG_ISA_AVX2;

    signs(c, in, (uint32_t)in->imm, wide && whole ? 32 : 16, dst);
    if (!wide || whole)
        return;
    high = ra_temp(&c->ra);
    signs(c, in, (uint32_t)in->imm + c->guest->vec_high, 16, high);
    enc_shift_ri(&c->enc, SH_SHL, W32, high, 16 / IR_BYTES(in->type));
    enc_alu_rr(&c->enc, ALU_OR, W32, dst, high);
    c->flags_owner = 0;
}

static uint32_t field_of(const struct ir_insn *in, unsigned n)
{
    return in->imm >> (16 * n) & 0xffff;
}

/* 16 bytes, and the second half if it is to be cleared: with AVX the instruction itself does that. */
static unsigned narrow_size(const struct emit *c, const struct ir_insn *in)
{
    return in->cc & IR_V_CLEAR && c->isa & TCG_ISA_AVX ? 32 : 16;
}

static void bind_narrow(struct emit *c, const struct ir_insn *in, uint32_t field, unsigned reg)
{
    vec_bind(c, field, narrow_size(c, in), reg);
    if (in->cc & IR_V_CLEAR && !(c->isa & TCG_ISA_AVX))
        vec_clear_high(c, field);
}

void emit_vset(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned src = ra_use(&c->ra, in->a), dst = vec_reg_for(c, field_of(in, 1), narrow_size(c, in), 0);

    vec_op2(c, 0x66, in->type == IR_I64 ? VEX_W : 0, OP_VMOVD_LOAD, dst, src);
    bind_narrow(c, in, field_of(in, 1), dst);
    ra_kill(&c->ra, i);
}

static uint8_t scalar_prefix(const struct ir_insn *in)
{
    return in->aux & IR_VF_DOUBLE ? 0xf2 : 0xf3;
}

void emit_vfromi(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned src = ra_use(&c->ra, in->a), rest = vec_use(c, field_of(in, 2), 16);
    unsigned dst = vec_reg_for(c, field_of(in, 1), narrow_size(c, in), 0);

    vec_op3(c, scalar_prefix(in), in->type == IR_I64 ? VEX_W : 0, OP_CVTSI2S, dst, rest, src);
    bind_narrow(c, in, field_of(in, 1), dst);
    ra_kill(&c->ra, i);
}

void emit_vtoi(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned src = vec_use(c, field_of(in, 2), 16), dst;

    dst = c->ra.val[i].last_use ? ra_def(&c->ra, (ir_ref)i, NO_REG, 0, IR_BITS(in->type)) : ra_temp(&c->ra);
    vec_op2(c, scalar_prefix(in), in->type == IR_I64 ? VEX_W : 0,
            in->aux & IR_VF_TRUNCATE ? OP_CVTTS2SI : OP_CVTS2SI, dst, src);
}

/* The comparison leaves O, S, A clear: its flags in the host's form are the guest's, and LAHF makes the word. Moves
 * follow, so that a condition right behind takes them from the host. */
void emit_vcom(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned a = vec_use(c, field_of(in, 2), 16), b = vec_use(c, field_of(in, 3), 16);

    ra_take(&c->ra, RAX);
    vec_op2(c, in->aux & IR_VF_DOUBLE ? 0x66 : 0, 0, in->aux & IR_VF_QUIET ? OP_UCOMIS : OP_COMIS, a, b);
    c->flags_owner = (ir_ref)i;
    if (!c->ra.val[i].last_use)
        return;
    enc_lahf(&c->enc);
    ra_attach(&c->ra, (ir_ref)i, RAX, 8);
}
