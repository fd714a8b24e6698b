/* The IR builder's inside, shared by ir_build.c (appending, numbering, forwarding), ir_fold.c (rules) and ir_sink.c
 * (delayed writes). */
#ifndef MIMUS_TCG_BUILD_H
#define MIMUS_TCG_BUILD_H

#include <assert.h>
#include <string.h>

#include "tcg/tcg.h"

#define IR_NUMBER_BITS 11
#define IR_FIELDS 12 /* CPU fields whose value is remembered */

/* What is known of a guest register. 0: nothing. */
struct ir_known_reg {
    ir_ref v64, v32;   /* all of it as I64; its low half as I32 */
    bool upper_zero;   /* bits 63..32 are 0 (only said together with v32) */
};

/* A CPU field whose value is known. ref 0: unused. */
struct ir_known_field {
    uint32_t offset;
    uint8_t type;
    ir_ref ref;
};

/* Writes of the guest's flags and registers that nobody has seen yet (ir_sink.c). */
struct ir_sink {
    ir_ref pending;             /* to become the guest's flags; 0: these are up to date */
    ir_ref maybe, cond;         /* operands of a PUTFLIF that comes after that; 0: none */
    ir_ref changed;             /* the last instruction that may have changed the guest's flags */
    ir_ref carry_changed;       /* and their C */
    ir_ref seen;                /* the last instruction that sees all registers */
    ir_ref put[TCG_NUM_REGS];   /* the latest PUT of each that no GET has seen; 0: none */
};

struct ir_builder {
    const struct tcg_guest *guest;
    bool fold, sinks;
    struct ir_block blk;
    ir_ref fl;                         /* the guest's flags as a value; 0: not known */
    struct ir_known_reg reg[TCG_NUM_REGS];
    struct ir_known_field field[IR_FIELDS];
    unsigned next_field;
    ir_ref untrapped;                  /* the condition of the last TRAPIF, which is 0 since then */
    uint32_t regs_lo, regs_hi;         /* CPU struct range that holds all guest registers */
    struct ir_sink sink;
    /* Value numbering. An entry is only a hint: the instruction that it names is
     * compared as a whole. A block is straight-line, so any equal pure instruction
     * before is the same value; therefore nothing is ever cleared. */
    ir_ref number[1u << IR_NUMBER_BITS];
    struct ir_insn insn[IR_MAX_INSNS];
};

/* An instruction's first and second word. The builder makes instructions as words in registers: one that is written
 * field by field and read as a whole right after makes the host's processor wait for its own stores. */
static inline uint64_t ir_low(unsigned op, unsigned type, unsigned cc, unsigned aux, ir_ref a, ir_ref b)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint64_t)(op << 24 | type << 16 | cc << 8 | aux) << 32 | (uint32_t)a << 16 | b;
#else
    return (op | type << 8 | cc << 16 | aux << 24) | (uint64_t)(a | (uint32_t)b << 16) << 32;
#endif
}

static inline uint64_t ir_high(ir_ref c, ir_ref d)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint64_t)((uint32_t)c << 16 | d) << 32;
#else
    return c | (uint32_t)d << 16;
#endif
}

/* The flags that a faulting instruction commits, in its second word. */
static inline uint64_t ir_high_fl(ir_ref fl)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint64_t)fl << 16;
#else
    return (uint64_t)fl << 32;
#endif
}

static inline void ir_write_words(struct ir_insn *to, uint64_t low, uint64_t high, uint64_t imm)
{
    _Static_assert(sizeof(*to) == 24 && offsetof(struct ir_insn, c) == 8 && offsetof(struct ir_insn, imm) == 16,
                   "three words, no padding");
    memcpy(to, &low, 8);
    memcpy((uint8_t *)to + 8, &high, 8);
    to->imm = imm;
}

/* An instruction as it is. */
static inline ir_ref ir_append(struct ir_builder *b, uint64_t low, uint64_t high, uint64_t imm)
{
    assert(b->blk.num < IR_MAX_INSNS);
    ir_write_words(&b->insn[b->blk.num], low, high, imm);
    return (ir_ref)b->blk.num++;
}

/* ---- delayed writes (ir_sink.c), if the builder sinks them; each before the instruction is appended ---- */

/* The guest's flags are `fl` from here on, or if `cond`. */
void ir_sink_flags(struct ir_builder *b, ir_ref fl);
void ir_sink_flags_if(struct ir_builder *b, ir_ref fl, ir_ref cond);
/* Write what is pending. */
void ir_sink_commit(struct ir_builder *b);
/* An instruction that may leave the block and come back: the flags that it carries; 0: none. It sees all registers. */
ir_ref ir_sink_fault(struct ir_builder *b);
/* A helper with these effects. */
void ir_sink_call(struct ir_builder *b, uint32_t effects);
/* A PUT. */
void ir_sink_put(struct ir_builder *b, unsigned reg);

/* Simplify, share or append a pure instruction. */
ir_ref ir_value(struct ir_builder *b, uint64_t low, uint64_t high, uint64_t imm);
/* The rules for `in`: an existing or new value that equals it, or 0. May rewrite `in` to an equal form.
 * Law above the rules: they only shrink. What a rule makes has fewer instructions, fewer operands or a
 * shorter way to its sources than what it replaces, or differs from it by a one-way canonical order; so
 * rules end. */
ir_ref ir_simplify(struct ir_builder *b, struct ir_insn *in);
/* Type of a non-flags value of this block. */
enum ir_type ir_result_type(const struct ir_insn *in);

#endif
