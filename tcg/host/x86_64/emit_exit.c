/* Entry and ends of a block. */
#include <assert.h>

#include "tcg/host/x86_64/emit.h"

/* The first instruction has five bytes or more within eight aligned ones, so that closing the block replaces one whole
 * instruction by another with one store, whoever is executing here. */
/* A block for which too few instructions are left is not begun. */
static void take_budget(struct emit *c)
{
    enc_alu_mi(&c->enc, ALU_CMP, W64, env_mem(c->guest->off_budget), c->blk->insns);
    enc_jcc_to(&c->enc, CC_L, c->thunks.leave_none);
    enc_alu_mi(&c->enc, ALU_SUB, W64, env_mem(c->guest->off_budget), c->blk->insns);
}

void emit_entry(struct emit *c)
{
    assert(c->guest->off_exit_request > INT8_MAX);
    enc_alu_mi(&c->enc, ALU_CMP, W32, env_mem(c->guest->off_exit_request), 0);
    enc_jcc_to(&c->enc, CC_NE, c->thunks.leave_none);
    if (c->blk->counted)
        take_budget(c);
}

/* The pc register is as wide as T; the bits above stay as they are (I32: zero). */
static void add_pc(struct emit *c, unsigned type, int32_t delta)
{
    if (delta)
        enc_alu_mi(&c->enc, ALU_ADD, type, env_mem(c->guest->off_pc), delta);
}

/* A jump whose displacement can be patched while others execute it: it is four aligned bytes. Unchained, it
 * leads to the next instruction, its own leave stub. */
static void exit_chained(struct emit *c, unsigned n)
{
    enc_nops(&c->enc, (unsigned)-(uintptr_t)(c->enc.at + 1) & 3);
    c->blk->jump_at[n] = (uint32_t)(c->enc.at - c->start);
    enc_jmp32(&c->enc);
    enc_mov_ri(&c->enc, RAX, (uintptr_t)c->blk | n);
    enc_jmp_to(&c->enc, c->thunks.leave);
}

static void emit_exit_to(struct emit *c, const struct ir_insn *in, int32_t delta, unsigned n)
{
    add_pc(c, in->type, delta);
    if (in->aux & IR_FAR(n))
        enc_jmp_to(&c->enc, c->thunks.lookup);
    else
        exit_chained(c, n);
}

static void emit_br(struct emit *c, const struct ir_insn *in)
{
    enum x86_cc cc = emit_test_bool(c, in->a);
    uint8_t *taken = enc_jcc8(&c->enc, cc);

    emit_exit_to(c, in, (int32_t)(in->imm >> 32), 1);
    enc_patch8(taken, c->enc.at);
    emit_exit_to(c, in, (int32_t)in->imm, 0);
}

void emit_end(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];

    switch (in->op) {
    case IR_GOTO:
        emit_exit_to(c, in, (int32_t)in->imm, 0);
        break;
    case IR_BR:
        emit_br(c, in);
        break;
    case IR_GOTOI:
        enc_store(&c->enc, W64, env_mem(c->guest->off_pc), ra_use(&c->ra, in->a));
        enc_jmp_to(&c->enc, c->thunks.lookup);
        break;
    case IR_LOOKUP:
        enc_jmp_to(&c->enc, c->thunks.lookup);
        break;
    default:
        if (!in->aux)
            add_pc(c, in->type, (int32_t)in->imm);
        enc_jmp_to(&c->enc, c->thunks.leave_none);
        break;
    }
}
