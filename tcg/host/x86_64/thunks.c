/* Code that all blocks share: entering and leaving, look-up of the next block, calls of C functions. */
#include "tcg/host/x86_64/emit.h"

#include <stddef.h>

static const uint8_t callee_saved[] = { RBX, RBP, R12, R13, R14, R15 };
#define NUM_CALLEE_SAVED 6
/* rsp in translated code is a multiple of 16: return address, six pushes, frame. */
_Static_assert((8 + 8 * NUM_CALLEE_SAVED + FRAME_SIZE) % 16 == 0, "stack alignment of the ABI");

static void store_pinned(struct enc *e, const struct tcg_guest *g, unsigned num)
{
    for (unsigned k = 0; k < num; k++)
        enc_store(e, W64, env_mem(g->off_reg[k]), x86_pinned[k]);
}

static void load_pinned(struct enc *e, const struct tcg_guest *g, unsigned num)
{
    for (unsigned k = 0; k < num; k++)
        enc_load(e, W64, x86_pinned[k], env_mem(g->off_reg[k]));
}

static const uint8_t *align_entry(struct enc *e)
{
    enc_nops(e, (unsigned)-(uintptr_t)e->at & 15);
    return e->at;
}

/* uintptr_t enter(void *env, const void *code) */
static const uint8_t *make_enter(struct enc *e, const struct tcg_guest *g)
{
    const uint8_t *entry = align_entry(e);

    for (unsigned k = 0; k < NUM_CALLEE_SAVED; k++)
        enc_push(e, callee_saved[k]);
    enc_alu_ri(e, ALU_SUB, W64, RSP, FRAME_SIZE);
    enc_lea(e, W64, RBP, mem_at(RDI, ENV_BIAS));
    enc_store(e, W64, env_mem(g->off_spill), RSP);
    enc_stmxcsr(e, mem_at(RSP, FRAME_HOST_MXCSR));
    enc_ldmxcsr(e, env_mem(g->off_mxcsr));
    load_pinned(e, g, NUM_PINNED);
    enc_jmp_reg(e, RSI);
    return entry;
}

/* Bring the guest's x87 state back; keeps rax. */
static void leave_x87(struct enc *e, const struct tcg_guest *g)
{
    uint8_t *skip;

    enc_alu_mi(e, ALU_CMP, W8, env_mem(g->off_x87_live), 0);
    skip = enc_jcc8(e, CC_E);
    enc_store(e, W64, mem_at(RSP, FRAME_RESULT), RAX);
    enc_lea(e, W64, RDI, env_mem(0));
    enc_mov_ri(e, RAX, (uintptr_t)g->x87_leave);
    enc_call_reg(e, RAX);
    enc_load(e, W64, RAX, mem_at(RSP, FRAME_RESULT));
    enc_patch8(skip, e->at);
}

static void make_leave(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g)
{
    uint8_t *to_leave[2];

    t->leave_here = align_entry(e);
    enc_pop(e, RAX);
    to_leave[0] = enc_jmp32(e);
    t->leave_front = align_entry(e);
    enc_pop(e, RAX);
    enc_alu_ri(e, ALU_ADD, W64, RAX, LEFT_BIAS);
    to_leave[1] = enc_jmp32(e);
    t->leave_none = align_entry(e);
    enc_mov_ri(e, RAX, 0);
    for (unsigned k = 0; k < 2; k++)
        enc_patch32(to_leave[k], e->at);
    store_pinned(e, g, NUM_PINNED);
    if (g->x87_leave)
        leave_x87(e, g);
    enc_stmxcsr(e, env_mem(g->off_mxcsr));
    enc_ldmxcsr(e, mem_at(RSP, FRAME_HOST_MXCSR));
    enc_alu_ri(e, ALU_ADD, W64, RSP, FRAME_SIZE);
    for (unsigned k = NUM_CALLEE_SAVED; k-- > 0;)
        enc_pop(e, callee_saved[k]);
    enc_ret(e);
}

static void call_absolute(struct enc *e, const void *fn)
{
    enc_mov_ri(e, RAX, (uintptr_t)fn);
    enc_call_reg(e, RAX);
}

/* A block finds the pc of its page: from the pc, and its linear address, which is lost. */
static void enter_page(struct enc *e, const struct tcg_guest *g, unsigned pc, unsigned linear)
{
    enc_alu_ri(e, ALU_AND, W32, linear, (1 << TCG_PAGE_BITS) - 1);
    enc_alu_rr(e, ALU_SUB, W64, pc, linear);
    enc_store(e, W64, env_mem(g->off_pc), pc);
}

/* Where the jump cache does not know: ask the guest, who changes no register. edi: note, rdx: the pc field before. */
static const uint8_t *make_lookup_miss(struct enc *e, const struct tcg_guest *g, const uint8_t *leave_none)
{
    const uint8_t *entry = align_entry(e);

    if (!g->lookup)
        return leave_none;
    store_pinned(e, g, NUM_CALLER_PINNED);
    enc_mov_rr(e, W32, RSI, RDI);
    enc_lea(e, W64, RDI, env_mem(0));
    call_absolute(e, (const void *)(uintptr_t)g->lookup);
    load_pinned(e, g, NUM_CALLER_PINNED);
    enc_test_rr(e, W64, RAX, RAX);
    enc_jcc_to(e, CC_E, leave_none);
    enc_load(e, W64, RSI, env_mem(g->off_pc));
    enc_mov_rr(e, W64, RCX, RSI);
    enc_alu_rm(e, ALU_ADD, W64, RCX, env_mem(g->off_code_base));
    enter_page(e, g, RSI, RCX);
    enc_jmp_reg(e, RAX);
    return entry;
}

void x86_find_jump(struct enc *e, const struct tcg_guest *g, uint8_t *miss[2])
{
    uint32_t cache = g->off_jump_cache;

    _Static_assert(sizeof(struct tcg_jump_entry) == 32, "slots are scaled by shifting");
    _Static_assert(TCG_JC_BITS <= 16, "the slot comes from the low half of the pc");
    enc_mov_rr(e, W32, RCX, RAX);
    enc_shift_ri(e, SH_SHR, W32, RCX, TCG_JC_BITS);
    enc_alu_rr(e, ALU_XOR, W32, RCX, RAX);
    enc_alu_ri(e, ALU_AND, W32, RCX, TCG_JC_SIZE - 1);
    enc_shift_ri(e, SH_SHL, W32, RCX, 5);
    enc_alu_rm(e, ALU_CMP, W64, RAX,
               env_indexed(RCX, cache + offsetof(struct tcg_jump_entry, pc)));
    miss[0] = enc_jcc32(e, CC_NE);
    enc_load(e, W64, RDX, env_mem(g->off_jump_key));
    enc_alu_rm(e, ALU_CMP, W64, RDX,
               env_indexed(RCX, cache + offsetof(struct tcg_jump_entry, key)));
    miss[1] = enc_jcc32(e, CC_NE);
}

void x86_jump_found(struct enc *e, const struct tcg_guest *g)
{
    uint32_t code = g->off_jump_cache + (uint32_t)offsetof(struct tcg_jump_entry, code);

    enc_jmp_mem(e, env_indexed(RCX, code));
}

static const uint8_t *make_lookup_far(const struct x86_thunks *t, struct enc *e, const struct tcg_guest *g,
                                      unsigned type)
{
    const uint8_t *entry = align_entry(e);

    enc_sext(e, W32, W64, RAX, RAX);
    enc_alu_rm(e, ALU_ADD, W64, RAX, env_mem(g->off_pc));
    if (type != IR_I64)
        enc_zext(e, type, RAX, RAX);
    enc_jmp_to(e, t->lookup_rax);
    return entry;
}

static void make_lookup(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g, const uint8_t *ask)
{
    uint8_t *miss[2];

    t->lookup = align_entry(e);
    enc_load(e, W64, RAX, env_mem(g->off_pc));
    t->lookup_rax = e->at;
    enc_mov_ri(e, RDI, 0);
    t->lookup_noted = e->at;
    enc_mov_rr(e, W64, RSI, RAX);
    enc_alu_rm(e, ALU_ADD, W64, RAX, env_mem(g->off_code_base));
    x86_find_jump(e, g, miss);
    enter_page(e, g, RSI, RAX);
    x86_jump_found(e, g);
    for (unsigned k = 0; k < 2; k++)
        enc_patch32(miss[k], e->at);
    enc_load(e, W64, RDX, env_mem(g->off_pc));
    enc_store(e, W64, env_mem(g->off_pc), RSI);
    enc_jmp_to(e, ask);
    for (unsigned type = IR_I16; type <= IR_I64; type++)
        t->lookup_far[type] = make_lookup_far(t, e, g, type);
}

/* ---- thunks that keep every register ---- */

/* Saved below the return address; the size keeps the stack aligned at the call. */
static const uint8_t kept[] = { RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11 };
#define NUM_KEPT 9
#define KEPT_SIZE (8 * NUM_KEPT)
/* The frame as seen from inside such a thunk. */
#define IN_KEPT(field) mem_at(RSP, KEPT_SIZE + 8 + (field))
_Static_assert((8 + KEPT_SIZE) % 16 == 0, "stack alignment of the ABI");

int32_t x86_kept_at(unsigned reg)
{
    int32_t at = -KEPT_SIZE - 8;

    for (unsigned k = 0; k < NUM_KEPT && kept[k] != reg; k++)
        at += 8;
    return at;
}

static void keep_registers(struct enc *e)
{
    enc_alu_ri(e, ALU_SUB, W64, RSP, KEPT_SIZE);
    for (unsigned k = 0; k < NUM_KEPT; k++)
        enc_store(e, W64, mem_at(RSP, 8 * (int32_t)k), kept[k]);
}

static void restore_registers(struct enc *e)
{
    for (unsigned k = 0; k < NUM_KEPT; k++)
        enc_load(e, W64, kept[k], mem_at(RSP, 8 * (int32_t)k));
    enc_alu_ri(e, ALU_ADD, W64, RSP, KEPT_SIZE);
    enc_ret(e);
}

/* A memory slow path of `args` operands, the address among them. It may raise a guest exception: the return
 * address and all guest registers are stored. */
static const uint8_t *make_memory(struct enc *e, const struct tcg_guest *g, const void *fn, unsigned args,
                                  bool size)
{
    static const uint8_t regs[] = { RSI, RDX, RCX, R8, R9 };
    const uint8_t *entry = align_entry(e);
    unsigned n = 0;

    keep_registers(e);
    enc_load(e, W64, RAX, mem_at(RSP, KEPT_SIZE));
    enc_store(e, W64, env_mem(g->off_host_pc), RAX);
    store_pinned(e, g, NUM_PINNED);
    enc_lea(e, W64, RDI, env_mem(0));
    for (; n < args; n++)
        enc_load(e, W64, regs[n], IN_KEPT(FRAME_ARG0 + 8 * (int32_t)n));
    if (size)
        enc_load(e, W8, regs[n++], IN_KEPT(FRAME_WORD));
    enc_load(e, W16, regs[n], IN_KEPT(FRAME_WORD + 1));
    call_absolute(e, fn);
    enc_store(e, W64, IN_KEPT(FRAME_RESULT), RAX);
    restore_registers(e);
    return entry;
}

/* Of accesses that are thunks: address in rdi, a value to be stored in rax, size and IR_MEM_* in ecx; a result to rax. */
static const uint8_t *make_ask(struct enc *e, const struct tcg_guest *g, const void *fn, bool store)
{
    const uint8_t *entry = align_entry(e);
    unsigned size = store ? RCX : RDX, mem = store ? R8 : RCX;

    keep_registers(e);
    store_pinned(e, g, NUM_PINNED);
    enc_load(e, W64, R11, mem_at(RSP, KEPT_SIZE));
    enc_store(e, W64, env_mem(g->off_host_pc), R11);
    enc_mov_rr(e, W64, RSI, RDI);
    enc_lea(e, W64, RDI, env_mem(0));
    if (store)
        enc_mov_rr(e, W64, RDX, RAX);
    enc_mov_rr(e, W32, R11, RCX);
    enc_zext(e, W8, size, R11);
    enc_shift_ri(e, SH_SHR, W32, R11, 8);
    enc_mov_rr(e, W32, mem, R11);
    call_absolute(e, fn);
    enc_store(e, W64, mem_at(RSP, 0), RAX);
    restore_registers(e);
    return entry;
}

/* The record keeps its operation: who calls this replaces it next. */
static const uint8_t *make_carry(struct enc *e, const struct tcg_guest *g, const uint8_t *getfl)
{
    const uint8_t *entry = align_entry(e);

    enc_push(e, RAX);
    enc_push(e, RCX);
    enc_call_to(e, getfl);
    enc_store(e, W64, env_mem(g->off_flags + (uint32_t)offsetof(struct tcg_flags, b)), RAX);
    enc_pop(e, RCX);
    enc_pop(e, RAX);
    enc_ret(e);
    return entry;
}

/* ---- vector registers ---- */

static struct x86_mem saved_vector(unsigned reg)
{
    return mem_at(RSP, 8 + FRAME_VECTORS + 32 * (int32_t)reg);
}

/* move: OP_MOVUPS_STORE or OP_MOVUPS_LOAD. C code runs behind the stores. */
static const uint8_t *make_move_vectors(struct enc *e, unsigned move, bool avx)
{
    const uint8_t *entry = align_entry(e);

    for (unsigned r = 0; r < 16; r++)
        if (avx)
            enc_vex_mem(e, 0, VEX_L, move, r, 0, saved_vector(r));
        else
            enc_sse_mem(e, 0, move, r, saved_vector(r));
    if (avx && move == OP_MOVUPS_STORE)
        enc_vzeroupper(e);
    enc_ret(e);
    return entry;
}

/* ---- calls of helpers: rax = function, its arguments in place; temporaries are lost ---- */

static const uint8_t *make_call(struct enc *e, const struct tcg_guest *g, unsigned num_stored,
                                unsigned num_loaded)
{
    const uint8_t *entry = align_entry(e);

    store_pinned(e, g, num_stored);
    enc_load(e, W64, R11, mem_at(RSP, 0)); /* pinned, but stored and loaded again in every case */
    enc_store(e, W64, env_mem(g->off_host_pc), R11);
    enc_alu_ri(e, ALU_SUB, W64, RSP, 8);
    enc_call_reg(e, RAX);
    load_pinned(e, g, num_loaded);
    enc_alu_ri(e, ALU_ADD, W64, RSP, 8);
    enc_ret(e);
    return entry;
}

void x86_thunks_emit(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g, bool avx)
{
    t->save_vectors = make_move_vectors(e, OP_MOVUPS_STORE, avx);
    t->restore_vectors = make_move_vectors(e, OP_MOVUPS_LOAD, avx);
    t->enter = make_enter(e, g);
    make_leave(t, e, g);
    make_lookup(t, e, g, make_lookup_miss(e, g, t->leave_none));
    t->load = make_memory(e, g, (const void *)(uintptr_t)g->load, 1, true);
    t->store = make_memory(e, g, (const void *)(uintptr_t)g->store, 2, true);
    t->load16 = make_memory(e, g, (const void *)(uintptr_t)g->load16, 2, false);
    t->store16 = make_memory(e, g, (const void *)(uintptr_t)g->store16, 2, false);
    t->ask_load = make_ask(e, g, (const void *)(uintptr_t)g->load, false);
    t->ask_store = make_ask(e, g, (const void *)(uintptr_t)g->store, true);
    x86_probes_emit(t, e, g);
    t->atomic = make_memory(e, g, (const void *)(uintptr_t)g->atomic, 2, true);
    t->cas = make_memory(e, g, (const void *)(uintptr_t)g->cas, 3, true);
    t->x87 = make_memory(e, g, (const void *)(uintptr_t)g->x87, 2, false);
    t->flags = x86_flags_emit(e, mem_at(RSP, 8 + FRAME_ARG0));
    t->getfl = x86_flags_emit(e, env_mem(g->off_flags));
    t->carry = make_carry(e, g, t->getfl);
    t->call_plain = make_call(e, g, NUM_CALLER_PINNED, NUM_CALLER_PINNED);
    t->call_read = make_call(e, g, NUM_PINNED, NUM_CALLER_PINNED);
    t->call_write = make_call(e, g, NUM_PINNED, NUM_PINNED);
}
