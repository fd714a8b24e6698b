/* Registers of a block being compiled: which value is where.
 *
 * rbp points into the CPU struct, rsp the frame. Guest registers 0..7 are pinned to
 * host registers in all translated code; the rest are temporaries. A value may
 * share a pinned register with the guest register that it was read from or
 * written to, until that one is overwritten. All code emitted here is moves,
 * so that the host's flags survive it. */
#ifndef MIMUS_TCG_HOST_X86_64_REGALLOC_H
#define MIMUS_TCG_HOST_X86_64_REGALLOC_H

#include <assert.h>

#include "tcg/host/x86_64/enc.h"
#include "tcg/tcg.h"

#define NUM_PINNED 8
#define NUM_CALLER_PINNED 3
#define NUM_TEMPS 6
#define BIT_REG(r) (1u << (r))

/* Host register of guest register 0..7. The first three are lost by C calls; none is an argument register
 * that calls use, so that they can be stored when the arguments are in place. */
extern const uint8_t x86_pinned[NUM_PINNED];
#define PINNED_MASK (0xfe00u | BIT_REG(RBX))
#define TEMP_MASK (BIT_REG(RAX) | BIT_REG(RCX) | BIT_REG(RDX) | BIT_REG(RSI) | BIT_REG(RDI) | BIT_REG(R8))
extern const uint8_t x86_temps[NUM_TEMPS];

/* The frame of translated code, at rsp. Arguments and result of the thunks, then spilled values, as many
 * as a block can have, and the vector registers during slow paths. Its size keeps rsp a multiple of 16 after six
 * pushes and the return address. */
enum {
    FRAME_ARG0 = 0, FRAME_ARG1 = 8, FRAME_ARG2 = 16, FRAME_WORD = 24, FRAME_RESULT = 32,
    FRAME_HOST_MXCSR = 40, FRAME_SPILL = 48, FRAME_VECTORS = FRAME_SPILL + 8 * IR_MAX_INSNS,
    FRAME_SIZE = FRAME_VECTORS + 16 * 32 + 8,
};

#define NO_SLOT 0xffff

enum ra_mark {
    RA_DEFERRED = 1,    /* CMP, COND; sum that only a PUT wants: made by its only user */
    RA_WORD = 2,        /* GETFL, SETC: kept as the six bits in an I32 */
    RA_FLAGS_WANTED = 4 /* a condition looks at the flags of this result: make it with flags */
};

struct ra_value {
    uint8_t reg;        /* NO_REG: in its slot, or a constant, or not made */
    uint8_t zbits;      /* bits from here up are known to be zero */
    uint8_t hint;       /* host register of the guest register that it will be written to, or NO_REG */
    uint8_t mark;       /* enum ra_mark */
    uint16_t slot;      /* of the frame, or NO_SLOT */
    uint16_t last_use;  /* instruction; 0: unused */
    ir_ref next;        /* next value in the same register */
    ir_ref dies_next;   /* next value with the same last use */
    uint16_t hint_of;   /* that guest register */
    uint16_t pad;       /* 16 bytes: a value is made ready by two stores */
};

struct regalloc {
    struct enc *enc;
    const struct ir_insn *insn;
    unsigned num;
    uint32_t locked;                            /* registers in use by the current instruction */
    ir_ref head[16];                            /* values in each register */
    uint16_t num_slots;                         /* slots ever used */
    uint16_t num_free;
    uint16_t free_slot[IR_MAX_INSNS];
    uint16_t slot_users[IR_MAX_INSNS];
    ir_ref dies[IR_MAX_INSNS + 1];              /* values whose last use is this instruction */
    struct ra_value val[IR_MAX_INSNS + 1];
    unsigned first;                             /* instructions that have code, in order: made[first .. IR_MAX_INSNS) */
    ir_ref made[IR_MAX_INSNS];
};

/* ---- analysis of a block (live.c) ---- */

/* Start a block: uses, last uses, hints, marks of insn[1 .. num), and which of them have code. */
void ra_analyse(struct regalloc *ra, struct enc *enc, const struct ir_insn *insn, unsigned num);
/* Where condition cc of flags *f really comes from: walks *f through FL_SETC. Returns the boolean
 * that equals (cc even) or is the opposite of (cc odd) the condition, or 0: look at *f. */
ir_ref flags_resolve(const struct ir_insn *insn, ir_ref *f, unsigned cc);
/* Has instruction i no code of its own? A value that nobody uses, flags, or what its only consumer makes. */
static inline bool ra_is_silent(const struct regalloc *ra, unsigned i)
{
    const struct ir_op_info *info = &ir_ops[ra->insn[i].op];

    if (info->effects & (E_WRITE | E_FAULT | E_END))
        return false;
    if (info->result == 'F')
        return !(ra->val[i].mark & RA_WORD);
    return !ra->val[i].last_use;
}
/* Is v = x << 1, 2 or 3 of the width of addresses, which an addition to it makes itself? */
static inline bool is_scaled(const struct ir_insn *insn, ir_ref v)
{
    const struct ir_insn *in = &insn[v];

    return in->op == IR_SHL && in->type >= IR_I32 && insn[in->b].op == IR_CONST && insn[in->b].imm - 1 < 3;
}
/* Operand b of ADD i is such a value: that addition looks at the operand of the shift. */
static inline bool adds_scaled(const struct regalloc *ra, unsigned i)
{
    const struct ir_insn *in = &ra->insn[i];

    return in->op == IR_ADD && is_scaled(ra->insn, in->b) && ra->insn[in->a].op != IR_CONST &&
           !(ra->val[i].mark & RA_FLAGS_WANTED);
}
/* The count of shift `in`: the host takes it modulo the width, too, so that nobody has to for it. */
static inline ir_ref shift_count(const struct ir_insn *insn, const struct ir_insn *in)
{
    const struct ir_insn *n = &insn[in->b];
    unsigned mask = IR_BITS(in->type) - 1;

    return in->type >= IR_I32 && n->op == IR_AND && insn[n->b].op == IR_CONST && (insn[n->b].imm & mask) == mask ? n->a
                                                                                                            : in->b;
}
/* Operand b of the flags of a shift is itself a shift by a constant, which only conditions on C and O want as a value:
 * who writes the flags, mostly a slow path, makes it of its operand. */
static inline bool flags_late(const struct ir_insn *insn, const struct ir_insn *f)
{
    const struct ir_insn *x = &insn[f->b];

    return (f->op == IR_FL_SHL || f->op == IR_FL_SHR) && x->op >= IR_SHL && x->op <= IR_SAR && x->type >= IR_I32 &&
           insn[x->b].op == IR_CONST && insn[x->a].op != IR_CONST;
}
/* Flags operation that is kept as a word when its bits are needed. */
static inline bool flags_in_word(const struct ir_insn *f) { return f->op == IR_GETFL || f->op == IR_FL_SETC; }

/* Flags of which a commit leaves C as it is, so that it needs no operand. */
static inline bool flags_keep_carry(const struct ir_insn *f)
{
    return (f->op == IR_FL_INC || f->op == IR_FL_DEC) && f->aux == IR_KEEPS_C;
}

/* ---- allocation (regalloc.c) ---- */

/* Value v, which is in none, in a register, locked. */
unsigned ra_fetch(struct regalloc *ra, ir_ref v);
/* Value v in a register, locked until ra_unlock. */
static inline unsigned ra_use(struct regalloc *ra, ir_ref v)
{
    unsigned reg = ra->val[v].reg;

    if (reg == NO_REG)
        return ra_fetch(ra, v);
    ra->locked |= BIT_REG(reg);
    return reg;
}
/* Constant v as an immediate sign-extended from 32 bits; false: not a constant or does not fit. */
bool ra_imm(const struct regalloc *ra, ir_ref v, int32_t *imm);
/* A free temporary, locked. */
unsigned ra_temp(struct regalloc *ra);
/* The values in this register, which is not empty, go elsewhere. */
void ra_empty(struct regalloc *ra, unsigned reg);
/* Empty this temporary and lock it. Values in it go elsewhere. */
static inline void ra_take(struct regalloc *ra, unsigned reg)
{
    assert(!(ra->locked & BIT_REG(reg)));
    ra->locked |= BIT_REG(reg);
    if (ra->head[reg])
        ra_empty(ra, reg);
}
/* Value v in exactly this temporary, for reading only; locked. Values that were in it go elsewhere. */
void ra_use_in(struct regalloc *ra, ir_ref v, unsigned reg);
/* The values that die at instruction i leave their registers. */
void ra_kill(struct regalloc *ra, unsigned i);
/* A register for new value v: the pinned one that it is to be written to if that is free, else `prefer`
 * (or NO_REG) if it is an empty temporary, else any temporary; none of `avoid` (mask). Locked. */
unsigned ra_def(struct regalloc *ra, ir_ref v, unsigned prefer, uint32_t avoid, unsigned zbits);
/* New value v is in `reg`, an empty register, or one whose content it shares. */
void ra_attach(struct regalloc *ra, ir_ref v, unsigned reg, unsigned zbits);
/* New value v is the same bits as value `of`. Kills what dies at v. */
void ra_alias(struct regalloc *ra, ir_ref v, ir_ref of, unsigned zbits);
/* The guest register in pinned `reg` is about to change: other values in it that live after instruction i
 * move away. */
void ra_overwrite(struct regalloc *ra, unsigned reg, unsigned i);
/* Value v, if in a temporary, moves house to pinned `reg`, which was made equal to it. */
void ra_rehouse(struct regalloc *ra, ir_ref v, unsigned reg);
/* Write every value in the registers of `mask` that lives after instruction i to its slot. They stay in
 * the registers. */
void ra_save(struct regalloc *ra, uint32_t mask, unsigned i);
/* The registers of `mask` have lost their content. */
void ra_lose(struct regalloc *ra, uint32_t mask);
static inline void ra_unlock(struct regalloc *ra) { ra->locked = 0; }
static inline void ra_unlock_reg(struct regalloc *ra, unsigned reg) { ra->locked &= ~BIT_REG(reg); }
static inline struct x86_mem slot_mem(unsigned slot) { return mem_at(RSP, FRAME_SPILL + 8 * (int32_t)slot); }

#endif
