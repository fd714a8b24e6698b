/* The word of six flags of a record that is known only when it is looked at: one piece of code for each operation and
 * type, in which the host does the operation again. */
#include "tcg/host/x86_64/emit.h"

#include <assert.h>
#include <stddef.h>

/* Pieces stand in a table, by operation and type. */
#define PIECE_BITS 6
#define PIECE_SIZE (1 << PIECE_BITS)
/* Behind the place that the table is reckoned from: a move, an addition, a jump. */
#define MAX_MOVE 16
#define NUM_OPS (IR_FL_RAW - IR_FL_ADD + 1)
#define NUM_TYPES 4
#define SZP (IR_SF | IR_ZF | IR_PF)

/* Operands at three words of memory, the word to eax; ecx is free. */
struct piece {
    struct enc *e;
    struct x86_mem v[3];
    unsigned op, type;
};

static void take_flags(struct enc *e, uint32_t mask)
{
    enc_pushf(e);
    enc_pop(e, RAX);
    enc_alu_ri(e, ALU_AND, W32, RAX, (int32_t)mask);
}

/* Bit n of rcx, and nothing else, as the flag number `flag` of eax. */
static void add_bit(struct enc *e, unsigned n, unsigned flag)
{
    if (n)
        enc_shift_ri(e, SH_SHR, W64, RCX, n);
    enc_alu_ri(e, ALU_AND, W32, RCX, 1);
    if (flag)
        enc_shift_ri(e, SH_SHL, W32, RCX, flag);
    enc_alu_rr(e, ALU_OR, W32, RAX, RCX);
}

static void piece_add_sub(const struct piece *p)
{
    bool add = p->op == IR_FL_ADD;

    enc_load(p->e, W64, RAX, p->v[0]);
    if (p->op != IR_FL_CMP)
        enc_alu_rm(p->e, add ? ALU_SUB : ALU_ADD, W64, RAX, p->v[1]);
    enc_alu_rm(p->e, add ? ALU_ADD : ALU_CMP, p->type, RAX, p->v[1]);
    take_flags(p->e, IR_FLAGS6);
}

static void piece_with_carry(const struct piece *p)
{
    bool add = p->op == IR_FL_ADC;

    enc_load(p->e, W32, RCX, p->v[2]);
    enc_alu_ri(p->e, ALU_AND, W32, RCX, 1);
    enc_load(p->e, W64, RAX, p->v[0]);
    enc_alu_rr(p->e, add ? ALU_SUB : ALU_ADD, W64, RAX, RCX);
    enc_alu_rm(p->e, add ? ALU_SUB : ALU_ADD, W64, RAX, p->v[1]);
    enc_bt_ri(p->e, W32, RCX, 0);
    enc_alu_rm(p->e, add ? ALU_ADC : ALU_SBB, p->type, RAX, p->v[1]);
    take_flags(p->e, IR_FLAGS6);
}

static void piece_step(const struct piece *p)
{
    bool inc = p->op == IR_FL_INC;

    enc_load(p->e, W64, RAX, p->v[0]);
    enc_step(p->e, inc ? STEP_DEC : STEP_INC, W64, RAX);
    enc_step(p->e, inc ? STEP_INC : STEP_DEC, p->type, RAX);
    take_flags(p->e, IR_FLAGS6 & ~(uint32_t)IR_CF);
    enc_load(p->e, W32, RCX, p->v[1]);
    add_bit(p->e, 0, 0);
}

static void piece_shift(const struct piece *p)
{
    unsigned top = IR_BITS(p->type) - 1;

    enc_load(p->e, W64, RCX, p->v[1]);
    add_bit(p->e, p->op == IR_FL_SHL ? top : 0, 0);
    enc_load(p->e, W64, RCX, p->v[1]);
    enc_alu_rm(p->e, ALU_XOR, W64, RCX, p->v[0]);
    add_bit(p->e, top, (unsigned)__builtin_ctz(IR_OF));
}

/* S, Z and P of a result; then what is told otherwise. A is 0. */
static void piece_result(const struct piece *p)
{
    enc_load(p->e, W64, RAX, p->v[0]);
    enc_test_rr(p->e, p->type, RAX, RAX);
    take_flags(p->e, SZP);
    if (p->op == IR_FL_SHL || p->op == IR_FL_SHR)
        piece_shift(p);
    if (p->op != IR_FL_MUL && p->op != IR_FL_BITS)
        return;
    enc_load(p->e, W32, RCX, p->v[1]);
    add_bit(p->e, 0, 0);
    if (p->op == IR_FL_MUL)
        add_bit(p->e, 0, (unsigned)__builtin_ctz(IR_OF));
}

static void piece_word(const struct piece *p)
{
    uint32_t own = p->op == IR_FL_CO ? IR_CF | IR_OF : 0;

    enc_load(p->e, W32, RAX, p->v[0]);
    enc_alu_ri(p->e, ALU_AND, W32, RAX, (int32_t)(IR_FLAGS6 & ~own));
    if (!own)
        return;
    enc_load(p->e, W32, RCX, p->v[1]);
    add_bit(p->e, 0, 0);
    enc_load(p->e, W32, RCX, p->v[2]);
    add_bit(p->e, 0, (unsigned)__builtin_ctz(IR_OF));
}

static void emit_piece(const struct piece *p)
{
    switch (p->op) {
    case IR_FL_ADD:
    case IR_FL_SUB:
    case IR_FL_CMP: piece_add_sub(p); break;
    case IR_FL_ADC:
    case IR_FL_SBB: piece_with_carry(p); break;
    case IR_FL_INC:
    case IR_FL_DEC: piece_step(p); break;
    case IR_FL_CO:
    case IR_FL_RAW: piece_word(p); break;
    default: piece_result(p); break;
    }
    enc_ret(p->e);
}

/* A record that nothing was written to yet has no operation: its word is the first operand. */
const uint8_t *x86_flags_emit(struct enc *e, struct x86_mem record)
{
    struct x86_mem op = record, type = record;
    struct piece p = { .e = e };
    const uint8_t *entry;
    uint8_t *table, *raw;

    for (unsigned k = 0; k < 3; k++) {
        p.v[k] = record;
        p.v[k].disp += 8 * (int32_t)k;
    }
    enc_nops(e, (unsigned)-(uintptr_t)e->at & 15);
    entry = e->at;
    op.disp += (int32_t)offsetof(struct tcg_flags, op);
    type.disp += (int32_t)offsetof(struct tcg_flags, type);
    enc_load(e, W8, RCX, op);
    enc_load(e, W8, RAX, type);
    enc_alu_ri(e, ALU_SUB, W32, RCX, IR_FL_ADD);
    enc_alu_ri(e, ALU_CMP, W32, RCX, NUM_OPS);
    raw = enc_jcc32(e, CC_AE);
    enc_lea(e, W64, RCX, mem_scaled(RAX, RCX, 2));
    enc_shift_ri(e, SH_SHL, W32, RCX, PIECE_BITS);
    table = (uint8_t *)(((uintptr_t)e->at + MAX_MOVE + PIECE_SIZE - 1) & -(uintptr_t)PIECE_SIZE);
    enc_mov_ri(e, RAX, (uintptr_t)table);
    enc_alu_rr(e, ALU_ADD, W64, RAX, RCX);
    enc_jmp_reg(e, RAX);
    enc_patch32(raw, table + (NUM_OPS - 1) * NUM_TYPES * PIECE_SIZE);
    for (unsigned n = 0; n < NUM_OPS * NUM_TYPES; n++) {
        e->at = table + (size_t)n * PIECE_SIZE;
        p.op = IR_FL_ADD + n / NUM_TYPES;
        p.type = n % NUM_TYPES;
        emit_piece(&p);
        assert(e->at <= table + (size_t)(n + 1) * PIECE_SIZE);
    }
    return entry;
}
