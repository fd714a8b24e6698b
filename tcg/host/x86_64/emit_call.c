/* Calls of helpers by the System V ABI. */
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
    enc_lea(&c->enc, W64, RDI, env_mem(0));
}

void emit_c_call(struct emit *c, const void *fn, const uint8_t *thunk)
{
    enc_mov_ri(&c->enc, RAX, (uintptr_t)fn);
    enc_call_to(&c->enc, thunk);
    emit_map(c, c->guest_off, c->guest_insn, 0);
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

    vec_before_call(c);
    ra_save(&c->ra, lost, i);
    pass_args(c, in, h->args);
    emit_c_call(c, h->fn, call_thunk(c, h->effects));
    ra_kill(&c->ra, i);
    ra_lose(&c->ra, lost);
    if (h->result != 'v' && c->ra.val[i].last_use)
        ra_attach(&c->ra, (ir_ref)i, RAX, 64);
}
