/* Entry and ends of a block. */
#include <assert.h>

#include "tcg/host/x86_64/emit.h"

/* The first instruction has five bytes or more within eight aligned ones, so that closing the block replaces one whole
 * instruction by another with one store, whoever is executing here. A block for which too few instructions are left is
 * not begun. */
void emit_entry(struct emit *c)
{
    struct x86_mem budget = env_mem(c->guest->off_budget);

    assert(c->guest->off_exit_request > INT8_MAX);
    enc_alu_mi(&c->enc, ALU_CMP, W32, env_mem(c->guest->off_exit_request), 0);
    c->leave_from[0] = enc_jcc32(&c->enc, CC_NE);
    c->leave_from[1] = NULL;
    if (!c->blk->counted)
        return;
    enc_alu_mi(&c->enc, ALU_CMP, W64, budget, c->blk->insns);
    c->leave_from[1] = enc_jcc32(&c->enc, CC_L);
    enc_alu_mi(&c->enc, ALU_SUB, W64, budget, c->blk->insns);
}

void emit_entry_leave(struct emit *c)
{
    for (unsigned k = 0; k < 2 && c->leave_from[k]; k++)
        enc_patch32(c->leave_from[k], c->enc.at);
    c->blk->leave_at = (uint32_t)(c->enc.at - c->start);
    if (c->blk->page_off)
        enc_alu_mi(&c->enc, ALU_ADD, W64, env_mem(c->guest->off_pc), c->blk->page_off);
    enc_jmp_to(&c->enc, c->thunks.leave_none);
}

/* From the pc of the page to that of `delta` behind the block's first byte, as wide as T. */
static void set_pc(struct emit *c, unsigned type, int32_t delta)
{
    struct x86_mem pc = env_mem(c->guest->off_pc);
    int32_t off = c->blk->page_off + delta;

    if (type == IR_I64) {
        if (off)
            enc_alu_mi(&c->enc, ALU_ADD, W64, pc, off);
        return;
    }
    enc_load(&c->enc, W32, RAX, pc);
    enc_alu_ri(&c->enc, ALU_ADD, W32, RAX, off);
    if (type == IR_I16)
        enc_zext(&c->enc, W16, RAX, RAX);
    enc_store(&c->enc, W64, pc, RAX);
}

/* A jump whose displacement can be patched while others execute it: it is four aligned bytes. Unchained, it
 * leads to the next instruction, its own leave stub. */
static void exit_chained(struct emit *c, unsigned type, int32_t delta, unsigned n)
{
    enc_nops(&c->enc, (unsigned)-(uintptr_t)(c->enc.at + 1) & 3);
    c->blk->jump_at[n] = (uint32_t)(c->enc.at - c->start);
    enc_jmp32(&c->enc);
    set_pc(c, type, delta);
    enc_mov_ri(&c->enc, RAX, (uintptr_t)c->blk | n);
    enc_jmp_to(&c->enc, c->thunks.leave);
}

static void emit_exit_to(struct emit *c, const struct ir_insn *in, int32_t delta, unsigned n)
{
    if (in->aux & IR_FAR(n)) {
        set_pc(c, in->type, delta);
        enc_jmp_to(&c->enc, c->thunks.lookup);
    } else {
        exit_chained(c, in->type, delta, n);
    }
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
        enc_mov_rr(&c->enc, W64, RAX, ra_use(&c->ra, in->a));
        enc_jmp_to(&c->enc, c->thunks.lookup_rax);
        break;
    case IR_LOOKUP:
        enc_jmp_to(&c->enc, c->thunks.lookup);
        break;
    default:
        if (!in->aux)
            set_pc(c, in->type, (int32_t)in->imm);
        enc_jmp_to(&c->enc, c->thunks.leave_none);
        break;
    }
}
