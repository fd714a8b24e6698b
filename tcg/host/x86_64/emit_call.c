/* Calls of helpers by the System V ABI, vector operations, masks of signs. */
#include "tcg/host/x86_64/emit.h"

#define MAX_ARGS 4

static const uint8_t arg_reg[MAX_ARGS] = { RSI, RDX, RCX, R8 }; /* after env in rdi */

struct move {
    uint8_t dst, src;   /* src NO_REG: from `loc` */
    bool zext;          /* an I32 whose upper half must be cleared */
    bool done;
    struct loc loc;
};

static bool is_pending_source(const struct move *m, unsigned num, unsigned except, unsigned reg)
{
    for (unsigned k = 0; k < num; k++)
        if (k != except && !m[k].done && m[k].src == reg)
            return true;
    return false;
}

/* One move whose destination nobody reads any more; false when only cycles are left. */
static bool move_one(struct emit *c, struct move *m, unsigned num)
{
    for (unsigned k = 0; k < num; k++) {
        if (m[k].done || is_pending_source(m, num, k, m[k].dst))
            continue;
        if (m[k].dst != m[k].src)
            enc_mov_rr(&c->enc, W64, m[k].dst, m[k].src);
        m[k].done = true;
        return true;
    }
    return false;
}

/* Turn a cycle by an exchange. */
static bool break_cycle(struct emit *c, struct move *m, unsigned num)
{
    for (unsigned k = 0; k < num; k++) {
        if (m[k].done)
            continue;
        unsigned dst = m[k].dst, src = m[k].src;
        enc_xchg(&c->enc, dst, src);
        for (unsigned n = 0; n < num; n++)
            if (!m[n].done && (m[n].src == dst || m[n].src == src))
                m[n].src = (uint8_t)(m[n].src == dst ? src : dst);
        return true;
    }
    return false;
}

static void move_args(struct emit *c, struct move *m, unsigned num)
{
    for (unsigned k = 0; k < num; k++)
        m[k].done = m[k].src == NO_REG;
    while (move_one(c, m, num) || break_cycle(c, m, num))
        continue;
    for (unsigned k = 0; k < num; k++) {
        if (m[k].src != NO_REG)
            continue;
        if (m[k].loc.slot != NO_SLOT)
            enc_load(&c->enc, m[k].zext ? W32 : W64, m[k].dst, slot_mem(m[k].loc.slot));
        else
            enc_mov_ri(&c->enc, m[k].dst, m[k].zext ? (uint32_t)m[k].loc.imm : m[k].loc.imm);
    }
    for (unsigned k = 0; k < num; k++)
        if (m[k].src != NO_REG && m[k].zext)
            enc_mov_rr(&c->enc, W32, m[k].dst, m[k].dst);
}

static void pass_args(struct emit *c, const struct ir_insn *in, const char *args)
{
    const ir_ref v[MAX_ARGS] = { in->a, in->b, in->c, in->d };
    struct move m[MAX_ARGS];
    unsigned num = 0;

    for (; args[num] && num < MAX_ARGS; num++) {
        m[num].dst = arg_reg[num];
        m[num].loc = loc_of(c, v[num]);
        m[num].src = m[num].loc.reg;
        m[num].zext = args[num] == '4' && (m[num].src == NO_REG || c->ra.val[v[num]].zbits > 32);
    }
    move_args(c, m, num);
    enc_mov_rr(&c->enc, W64, RDI, RBP);
}

static void call_c(struct emit *c, const void *fn, const uint8_t *thunk)
{
    enc_mov_ri(&c->enc, RAX, (uintptr_t)fn);
    enc_call_to(&c->enc, thunk);
    emit_map(c, c->guest_off, c->guest_insn);
}

/* Thunk by what the helper does to guest registers. Who writes some of them must find the others stored. */
static const uint8_t *call_thunk(const struct emit *c, uint32_t effects)
{
    if (effects & H_WREGS)
        return c->thunks.call_write;
    if (effects & (H_RREGS | H_FAULT | H_NORETURN))
        return c->thunks.call_read;
    return c->thunks.call_plain;
}

void emit_helper_call(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    const struct tcg_helper *h = &c->guest->helpers[in->imm];
    uint32_t lost = TEMP_MASK | (h->effects & H_WREGS ? PINNED_MASK : 0);

    ra_save(&c->ra, lost, i);
    pass_args(c, in, h->args);
    call_c(c, h->fn, call_thunk(c, h->effects));
    ra_kill(&c->ra, i);
    ra_lose(&c->ra, lost);
    if (h->result != 'v' && c->ra.val[i].last_use)
        ra_attach(&c->ra, (ir_ref)i, RAX, 64);
}

/* ---- vector operations ---- */

struct fields {
    uint32_t dst, a, b;
};

static void vop_c(struct emit *c, const struct tcg_vop_info *op, const struct fields *f, unsigned i)
{
    const void *fn = op->fn_imm ? (const void *)(uintptr_t)op->fn_imm : (const void *)(uintptr_t)op->fn;

    ra_save(&c->ra, TEMP_MASK, i);
    enc_lea(&c->enc, W64, RDI, env_mem(f->dst));
    enc_lea(&c->enc, W64, RSI, env_mem(f->a));
    enc_lea(&c->enc, W64, RDX, env_mem(f->b));
    if (op->fn_imm)
        enc_mov_ri(&c->enc, RCX, c->insn[i].aux);
    call_c(c, fn, c->thunks.call_plain);
    ra_lose(&c->ra, TEMP_MASK);
}

/* In map 0F, 0F38 or 0F3A. */
static unsigned host_opcode(const struct tcg_vop_info *op)
{
    return op->opcode > 0xff ? 0x0f0000u | op->opcode : 0x0f00u | op->opcode;
}

static void load_field(struct emit *c, unsigned xmm, uint32_t field)
{
    enc_sse_mem(&c->enc, 0, OP_MOVUPS_LOAD, xmm, env_mem(field));
}

/* The instruction itself on registers, with its immediate. Returns the register of the result. */
static unsigned vop_registers(struct emit *c, const struct tcg_vop_info *op, const struct fields *f,
                              uint8_t imm)
{
    bool w = op->prefix & TCG_VEX_W;
    uint8_t prefix = (uint8_t)op->prefix;
    unsigned result = 0;

    load_field(c, 1, f->b);
    switch (op->kind) {
    case VK_V3:
        load_field(c, 0, f->dst);
        load_field(c, 2, f->a);
        enc_vex_rr(&c->enc, prefix, w, host_opcode(op), 0, 2, 1);
        break;
    case VK_V:
        load_field(c, 0, f->a);
        enc_vex_rr(&c->enc, prefix, w, host_opcode(op), 0, 0, 1);
        break;
    case VK_X1:
        enc_sse_rr(&c->enc, prefix, host_opcode(op), 0, 1);
        break;
    case VK_V1:
        enc_vex_rr(&c->enc, prefix, w, host_opcode(op), 0, 0, 1);
        break;
    case VK_V1R:
        enc_vex_rr(&c->enc, prefix, w, host_opcode(op), 1, 0, 0);
        break;
    case VK_MASK0:
        load_field(c, 0, f->dst);
        load_field(c, 2, f->a);
        enc_sse_rr(&c->enc, prefix, host_opcode(op), result = 2, 1);
        break;
    case VK_GROUP ... VK_GROUP + 7:
        enc_sse_rr(&c->enc, prefix, host_opcode(op), op->kind - VK_GROUP, result = 1);
        break;
    default:
        load_field(c, 0, f->a);
        enc_sse_rr(&c->enc, prefix, host_opcode(op), 0, 1);
    }
    if (op->fn_imm)
        enc_imm8(&c->enc, imm);
    return result;
}

/* Register form, because scalar operations read no more than their lane either way. */
static void vop_wide(struct emit *c, const struct tcg_vop_info *op, const struct fields *f, uint8_t imm)
{
    unsigned result = vop_registers(c, op, f, imm);

    enc_sse_mem(&c->enc, 0, OP_MOVUPS_STORE, result, env_mem(f->dst));
}

/* The 64-bit form in the low half of the 128-bit one. */
static void vop_narrow(struct emit *c, const struct tcg_vop_info *op, const struct fields *f, uint8_t imm)
{
    if (op->kind == VK_Q)
        enc_sse_mem(&c->enc, 0xf3, OP_MOVQ_LOAD, 0, env_mem(f->a));
    enc_sse_mem(&c->enc, 0xf3, OP_MOVQ_LOAD, 1, env_mem(f->b));
    enc_sse_rr(&c->enc, (uint8_t)op->prefix, host_opcode(op), 0, 1);
    if (op->fn_imm)
        enc_imm8(&c->enc, imm);
    enc_sse_mem(&c->enc, 0x66, OP_MOVQ_STORE, 0, env_mem(f->dst));
}

void emit_vop(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    const struct tcg_vop_info *op = &tcg_vops[in->imm & 0xffff];
    struct fields f = { in->imm >> 16 & 0xffff, in->imm >> 32 & 0xffff, (uint32_t)(in->imm >> 48) };

    if (op->kind == VK_C || !op->opcode || (op->isa & ~c->isa))
        vop_c(c, op, &f, i);
    else if (op->kind == VK_Q || op->kind == VK_Q1)
        vop_narrow(c, op, &f, in->aux);
    else
        vop_wide(c, op, &f, in->aux);
}

/* Moves only: the host's flags survive. */
void emit_vmask(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, 16);

    load_field(c, 0, (uint32_t)in->imm);
    enc_sse_rr(&c->enc, in->type == IR_I32 ? 0 : 0x66, in->type == IR_I8 ? OP_PMOVMSKB : OP_MOVMSK, dst, 0);
}
