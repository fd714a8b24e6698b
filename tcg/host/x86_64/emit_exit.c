/* Entry and ends of a block. */
#include <assert.h>

#include "base/bits.h"
#include "tcg/host/x86_64/emit.h"

/* Two calls that leave stand in front of a block: of one that was entered often enough, and of any. What their return
 * addresses are made to be: behind the block's first byte, in front of all exits. */
enum { CALL_SIZE = 5, LEFT_HOT = LEFT_BIAS - CALL_SIZE, LEFT_NONE = LEFT_BIAS };
_Static_assert(FRONT_SIZE == 2 * CALL_SIZE && LEFT_HOT > 0, "calls in front of a block");

void emit_front(struct emit *c)
{
    c->enc.at = c->start - FRONT_SIZE;
    enc_call_to(&c->enc, c->thunks.leave_front);
    enc_call_to(&c->enc, c->thunks.leave_front);
}

/* A prefix that says nothing. */
#define EMPTY_REX 0x40

static void leave_if(struct emit *c, enum x86_cc cc, int32_t call_at)
{
    enc_patch8(enc_jcc8(&c->enc, cc), c->start + call_at);
}

/* A count below 0 stays there, and the block leaves each time, until the run loop has set it anew. */
static void count_entry(struct emit *c)
{
    uint32_t heat = c->guest->off_heat + 4 * c->blk->heat;

    enc_alu_mi(&c->enc, ALU_SUB, W32, env_mem(heat), 1);
    leave_if(c, CC_S, -FRONT_SIZE);
}

/* The first instruction has five bytes or more within eight aligned ones, so that closing the block replaces one whole
 * instruction by another with one store, whoever is executing here. A block for which too few instructions are left is
 * not begun. */
void emit_entry(struct emit *c)
{
    struct x86_mem budget = env_mem(c->guest->off_budget);

    if (fits_int8(env_mem(c->guest->off_exit_request).disp))
        enc_imm8(&c->enc, EMPTY_REX);
    enc_alu_mi(&c->enc, ALU_CMP, W32, env_mem(c->guest->off_exit_request), 0);
    leave_if(c, CC_NE, -CALL_SIZE);
    if (c->blk->warm)
        count_entry(c);
    if (!c->blk->counted)
        return;
    enc_alu_mi(&c->enc, ALU_CMP, W64, budget, c->blk->insns);
    leave_if(c, CC_L, -CALL_SIZE);
    enc_alu_mi(&c->enc, ALU_SUB, W64, budget, c->blk->insns);
}

/* By its return address, the call of an exit that is not chained, or one in front of the block. */
unsigned x86_left(void *host, void *env, const struct tcg_block *blk, uintptr_t ret)
{
    const struct emit *c = host;
    uint64_t *pc = (uint64_t *)(void *)((uint8_t *)env + c->guest->off_pc);
    uint32_t off = (uint32_t)(ret - (uintptr_t)blk->code);

    if (off <= LEFT_NONE) {
        *pc += blk->page_off;
        return off == LEFT_NONE ? TCG_EXIT_NONE : TCG_EXIT_HOT;
    }
    for (unsigned n = 0; n < blk->num_exits; n++) {
        const struct tcg_exit *x = &blk->exit[n];
        if (!x->jump_at || (uint32_t)x->jump_at + CALL_SIZE != off)
            continue;
        *pc = (*pc + blk->page_off + (uint64_t)x->delta) & MASK(IR_BITS(x->type));
        return n;
    }
    assert(!"every call is an exit");
    return TCG_EXIT_NONE;
}

/* Five bytes within eight aligned ones become a jump or a call, whoever is executing here. */
static void patch_whole(uint8_t *at, uint8_t opcode, const uint8_t *target)
{
    unsigned shift = 8 * ((uintptr_t)at & 7);
    uint64_t *word = (uint64_t *)(void *)(at - ((uintptr_t)at & 7));
    uint64_t code = opcode | (uint64_t)(uint32_t)(int32_t)(target - (at + CALL_SIZE)) << 8;
    uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

    __atomic_store_n(word, (old & ~(MASK(40) << shift)) | code << shift, __ATOMIC_RELEASE);
}

void x86_link(void *host, struct tcg_block *from, unsigned n, const void *to)
{
    const struct emit *c = host;

    if (from->exit[n].jump_at)
        patch_whole((uint8_t *)(uintptr_t)from->code + from->exit[n].jump_at, to ? OP_JMP : OP_CALL,
                    to ? to : c->thunks.leave_here);
}

/* The entry becomes a jump to what leaves; a jump for the next turn goes on to the entry. */
void x86_close(void *host, struct tcg_block *blk)
{
    uint8_t *entry = (uint8_t *)(uintptr_t)blk->code;

    (void)host;
    if (blk->loop_at)
        __atomic_store_n((int32_t *)(void *)(entry + blk->loop_at), 0, __ATOMIC_RELEASE);
    patch_whole(entry, OP_JMP, entry - CALL_SIZE);
}

/* rax := the pc `delta` behind the block's first byte, as wide as T. */
static void compute_pc(struct emit *c, unsigned type, int32_t delta)
{
    unsigned w = reg_width(type);

    enc_load(&c->enc, w, RAX, env_mem(c->guest->off_pc));
    enc_alu_ri(&c->enc, ALU_ADD, w, RAX, (int32_t)((uint32_t)delta + c->blk->page_off));
    if (type == IR_I16)
        enc_zext(&c->enc, W16, RAX, RAX);
}

/* From the pc of the page to that one. */
static void set_pc(struct emit *c, unsigned type, int32_t delta)
{
    compute_pc(c, type, delta);
    enc_store(&c->enc, W64, env_mem(c->guest->off_pc), RAX);
}

/* To what the jump cache has for the pc in rax. Hot blocks look themselves: each has an indirect jump of its own then,
 * whose targets the host's processor learns. */
static void look_up(struct emit *c, uint32_t note)
{
    const uint8_t *thunk = note ? c->thunks.lookup_noted : c->thunks.lookup_rax;
    uint8_t *miss[2];

    if (note)
        enc_mov_ri(&c->enc, RDI, note);
    if (!c->ir->hot) {
        enc_jmp_to(&c->enc, thunk);
        return;
    }
    x86_find_jump(&c->enc, c->guest, miss);
    for (unsigned k = 0; k < 2; k++)
        enc_patch32(miss[k], thunk);
    enc_alu_ri(&c->enc, ALU_AND, W64, RAX, -(1 << TCG_PAGE_BITS));
    enc_store(&c->enc, W64, env_mem(c->guest->off_pc), RAX);
    x86_jump_found(&c->enc, c->guest);
}

/* Unchained, an exit is a call that leaves. */
static void exit_chained(struct emit *c, unsigned type, int32_t delta, unsigned n)
{
    struct tcg_exit *x = &c->blk->exit[n];
    unsigned at = (unsigned)((uintptr_t)c->enc.at & 7);

    if (at + CALL_SIZE > 8)
        enc_nops(&c->enc, 8 - at);
    x->jump_at = (uint32_t)(c->enc.at - c->start) & TCG_JUMP_MASK;
    x->type = type & 3;
    x->delta = delta;
    enc_call_to(&c->enc, c->thunks.leave_here);
}

static void exit_to(struct emit *c, unsigned type, int32_t delta, bool far_exit, unsigned n)
{
    if (far_exit && !c->ir->hot) {
        enc_mov_ri(&c->enc, RAX, (uint32_t)delta + c->blk->page_off);
        enc_jmp_to(&c->enc, c->thunks.lookup_far[type]);
    } else if (far_exit) {
        compute_pc(c, type, delta);
        look_up(c, 0);
    } else {
        exit_chained(c, type, delta, n);
    }
}

/* Exit n of a block end. */
static void emit_exit_to(struct emit *c, const struct ir_insn *in, int32_t delta, unsigned n)
{
    exit_to(c, in->type, delta, in->aux & IR_FAR(n), c->blk->num_exits - 2 + n);
}

void emit_side_exit(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    enum x86_cc cc = emit_test_bool(c, in->a);
    struct stub *s = stub_new(c, STUB_EXIT);

    ra_unlock(&c->ra);
    s->insn = (ir_ref)i;
    s->scratch = NO_REG;
    if (in->op == IR_GOTOIF)
        s->addr = (uint8_t)ra_use(&c->ra, in->b);
    s->flags = flags_locate(c, in->fl);
    if (flags_need_scratch(&s->flags)) {
        s->scratch = (uint8_t)ra_temp(&c->ra);
        s->flags = flags_locate(c, in->fl);
    }
    s->vectors = (uint16_t)vec_snapshot(c);
    s->from[s->num_from++] = enc_jcc32(&c->enc, cc);
    ra_kill(&c->ra, i);
}

void emit_side_exit_taken(struct emit *c, const struct stub *s)
{
    const struct ir_insn *in = &c->insn[s->insn];

    if (in->op == IR_GOTOIF) {
        enc_mov_rr(&c->enc, W64, RAX, s->addr);
        look_up(c, (uint32_t)in->imm);
    } else {
        exit_to(c, in->type, (int32_t)in->imm, in->aux & IR_FAR(0), (unsigned)(in->imm >> 32));
    }
}

/* ---- loops ---- */

/* Does exit n of a block end lead to the block's own beginning? */
static bool leads_back(const struct ir_insn *in, unsigned n)
{
    if (in->op != IR_GOTO && in->op != IR_BR)
        return false;
    return !(int32_t)(in->imm >> 32 * n) && !(in->aux & IR_FAR(n)) && (in->op == IR_BR || n == 0);
}

/* Blocks whose entries are counted, or that would lose their registers in a call, are no loops. */
static struct vec_state plan_loop(struct emit *c)
{
    const struct ir_insn *end = &c->insn[c->ir->num - 1];
    bool loop = (leads_back(end, 0) || leads_back(end, 1)) && !c->blk->warm && !c->blk->counted &&
                c->ir->phys2 == UINT64_MAX;

    for (unsigned i = 1; i < c->ir->num && loop; i++)
        loop = c->insn[i].op != IR_CALL;
    return loop ? vec_plan_loop(c) : (struct vec_state){ .num = 0 };
}

/* The next turn, or, when somebody wants the processor or the block was closed (its jump goes to the next instruction
 * then), the entry. */
static void next_turn(struct emit *c)
{
    uint8_t *disp;

    vec_next_turn(c, &c->loop);
    enc_alu_mi(&c->enc, ALU_CMP, W32, env_mem(c->guest->off_exit_request), 0);
    enc_nops(&c->enc, (unsigned)-(uintptr_t)(c->enc.at + 2) & 3);
    disp = enc_jcc32(&c->enc, CC_E);
    enc_patch32(disp, c->loop_at);
    c->blk->loop_at = (uint32_t)(disp - c->start);
    vec_flush_end(c);
    enc_jmp_to(&c->enc, c->start);
}

/* The end of a loop: one exit is the next turn. */
static void end_turn(struct emit *c, const struct ir_insn *in)
{
    unsigned back = leads_back(in, 0) ? 0 : 1;
    enum x86_cc cc;
    struct vec_state now;
    uint8_t *other;

    if (in->op == IR_GOTO) {
        next_turn(c);
        return;
    }
    cc = emit_test_bool(c, in->a);
    other = enc_jcc32(&c->enc, back ? cc : cc ^ 1);
    now = c->vec.now;
    next_turn(c);
    enc_patch32(other, c->enc.at);
    c->vec.now = now;
    c->vec.upper = c->isa & TCG_ISA_AVX;
    vec_flush_end(c);
    emit_exit_to(c, in, (int32_t)(back ? in->imm : in->imm >> 32), 1 - back);
}

static void emit_br(struct emit *c, const struct ir_insn *in)
{
    enum x86_cc cc = emit_test_bool(c, in->a);
    uint8_t *taken = enc_jcc32(&c->enc, cc);

    emit_exit_to(c, in, (int32_t)(in->imm >> 32), 1);
    enc_patch32(taken, c->enc.at);
    emit_exit_to(c, in, (int32_t)in->imm, 0);
}

void emit_end(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];

    if (c->loop.num) {
        end_turn(c, in);
        return;
    }
    c->loop = plan_loop(c);
    vec_flush_end(c);
    switch (in->op) {
    case IR_GOTO:
        emit_exit_to(c, in, (int32_t)in->imm, 0);
        break;
    case IR_BR:
        emit_br(c, in);
        break;
    case IR_GOTOI:
        enc_mov_rr(&c->enc, W64, RAX, ra_use(&c->ra, in->a));
        look_up(c, (uint32_t)in->imm);
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
