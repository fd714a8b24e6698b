/* The IR builder's inside, shared by ir_build.c (appending, numbering, forwarding) and ir_fold.c (rules). */
#ifndef MIMUS_TCG_BUILD_H
#define MIMUS_TCG_BUILD_H

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

struct ir_builder {
    const struct tcg_guest *guest;
    bool fold;
    struct ir_block blk;
    ir_ref fl;                         /* the guest's flags as a value; 0: not known */
    struct ir_known_reg reg[TCG_NUM_REGS];
    struct ir_known_field field[IR_FIELDS];
    unsigned next_field;
    ir_ref untrapped;                  /* the condition of the last TRAPIF, which is 0 since then */
    uint32_t regs_lo, regs_hi;         /* CPU struct range that holds all guest registers */
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
