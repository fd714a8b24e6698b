/* Vector operations on fields that are in host vector registers; between them and integers. */
#include "tcg/host/x86_64/emit.h"

struct fields {
    uint32_t dst, a, b;
};

static void vop_c(struct emit *c, const struct tcg_vop_info *op, const struct fields *f, unsigned i)
{
    const void *fn = op->fn_imm ? (const void *)(uintptr_t)op->fn_imm : (const void *)(uintptr_t)op->fn;

    vec_flush(c);
    vec_lose(c);
    ra_save(&c->ra, TEMP_MASK, i);
    enc_lea(&c->enc, W64, RDI, env_mem(f->dst));
    enc_lea(&c->enc, W64, RSI, env_mem(f->a));
    enc_lea(&c->enc, W64, RDX, env_mem(f->b));
    if (op->fn_imm)
        enc_mov_ri(&c->enc, RCX, c->insn[i].aux);
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

/* The instruction of a row at hand. */
struct vop {
    const struct tcg_vop_info *op;
    uint32_t dst, a, b;     /* fields */
    unsigned size;
    uint8_t prefix;
    unsigned flags, opcode;
};

/* dst := op(b). Each of these returns the register of the result. */
static unsigned vop_unary(struct emit *c, const struct vop *v)
{
    unsigned b = vec_use(c, v->b, v->size), dst = vec_reg_for(c, v->dst, v->size, 0);

    if (v->op->kind == VK_V1R)
        vec_op2(c, v->prefix, v->flags, v->opcode, b, dst);
    else
        vec_op2(c, v->prefix, v->flags, v->opcode, dst, b);
    return dst;
}

/* The destination's place in the encoding is part of the opcode. */
static unsigned vop_group(struct emit *c, const struct vop *v)
{
    unsigned b = vec_use(c, v->b, v->size), dst = vec_reg_for(c, v->dst, v->size, 0);

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
    unsigned dst = vec_reg_for(c, v->dst, v->size, a == b ? 0 : BIT_REG(b));

    vec_move(c, 16, dst, a);
    enc_sse_rr(&c->enc, v->prefix, W32, v->opcode, dst, b);
    return dst;
}

/* dst := a op b. */
static unsigned vop_binary(struct emit *c, const struct vop *v)
{
    unsigned a = vec_use(c, v->a, v->size), b = vec_use(c, v->b, v->size), dst;

    if (v->op->isa & TCG_ISA_SHA)
        return vop_legacy(c, v, a, b);
    dst = vec_reg_for(c, v->dst, v->size, vec_avoid(c, a, b));
    vec_op3(c, v->prefix, v->flags, v->opcode, dst, a, b);
    return dst;
}

/* dst := op(dst, a, b). */
static unsigned vop_ternary(struct emit *c, const struct vop *v)
{
    unsigned old = vec_use(c, v->dst, v->size), a = vec_use(c, v->a, v->size), b = vec_use(c, v->b, v->size);
    unsigned dst = vec_reg_for(c, v->dst, v->size, 0);

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
    unsigned dst = vec_reg_for(c, v->dst, v->size, 0);

    vec_op3(c, v->prefix, v->flags, v->opcode, dst, dst, dst);
    return dst;
}

static unsigned vop_registers(struct emit *c, const struct vop *v)
{
    switch (v->op->kind) {
    case VK_X1: case VK_Q1: case VK_V1: case VK_V1R:
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

/* On registers, with the immediate. */
static void vop_host(struct emit *c, const struct tcg_vop_info *op, const struct fields *f, uint8_t imm)
{
    struct vop v = { .op = op, .dst = f->dst, .a = f->a, .b = f->b, .prefix = (uint8_t)op->prefix,
                     .size = op->kind == VK_Q || op->kind == VK_Q1 ? 8 : 16,
                     .flags = op->prefix & TCG_VEX_W ? VEX_W : 0, .opcode = host_opcode(op) };
    unsigned dst = vop_registers(c, &v);

    if (op->fn_imm)
        enc_imm8(&c->enc, imm);
    vec_bind(c, v.dst, v.size, dst);
}

void emit_vop(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned vop = in->imm & 0xffff;
    const struct tcg_vop_info *op = &tcg_vops[vop];
    struct fields f = { in->imm >> 16 & 0xffff, in->imm >> 32 & 0xffff, (uint32_t)(in->imm >> 48) };

    if (op->kind == VK_C || !op->opcode || (op->isa & ~c->isa))
        vop_c(c, op, &f, i);
    else if (vop == TCG_V_MOVDQA)
        vec_copy(c, f.dst, f.b, 16);
    else
        vop_host(c, op, &f, in->aux);
}

/* Moves only: the host's flags survive. */
void emit_vmask(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, 16), src = vec_use(c, (uint32_t)in->imm, 16);

    vec_op2(c, in->type == IR_I32 ? 0 : 0x66, 0, in->type == IR_I8 ? OP_PMOVMSKB : OP_MOVMSK, dst, src);
}

static uint32_t field_of(const struct ir_insn *in, unsigned n)
{
    return in->imm >> (16 * n) & 0xffff;
}

void emit_vset(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned src = ra_use(&c->ra, in->a), dst = vec_reg_for(c, field_of(in, 1), 16, 0);

    vec_op2(c, 0x66, in->type == IR_I64 ? VEX_W : 0, OP_VMOVD_LOAD, dst, src);
    vec_bind(c, field_of(in, 1), 16, dst);
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
    unsigned dst = vec_reg_for(c, field_of(in, 1), 16, 0);

    vec_op3(c, scalar_prefix(in), in->type == IR_I64 ? VEX_W : 0, OP_CVTSI2S, dst, rest, src);
    vec_bind(c, field_of(in, 1), 16, dst);
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
