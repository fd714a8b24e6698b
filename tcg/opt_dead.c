/* Drop values that nobody uses, count the uses of the others, and close the gaps.
 *
 * One pass backward counts references (`fl` is one of them): an instruction that
 * has no use when it is reached, and no effect but reading, disappears and its
 * operands are not counted. One pass forward renumbers. */
#include "tcg/tcg.h"

#include <string.h>

static bool has_effect(const struct ir_insn *in, const struct tcg_guest *guest)
{
    if (in->op == IR_CALL)
        return !tcg_helper_only_reads(&guest->helpers[in->imm]);
    return ir_ops[in->op].effects & (E_WRITE | E_FAULT | E_END);
}

/* Counting on insn[0] instead of branching would make every instruction wait for the one before. */
static inline void use(struct ir_insn *insn, ir_ref v)
{
    if (v)
        insn[v].uses++;
}

/* Operands beyond the second are rare: one question for all of them. */
static inline bool has_more(const struct ir_insn *in)
{
    return in->c | in->d | in->fl;
}

static void count_uses(struct ir_block *blk, const struct tcg_guest *guest)
{
    struct ir_insn *insn = blk->insn;

    for (unsigned i = 0; i < blk->num; i++)
        insn[i].uses = 0;
    for (unsigned i = blk->num - 1; i > 0; i--) {
        if (!insn[i].uses && !has_effect(&insn[i], guest))
            continue;
        use(insn, insn[i].a);
        use(insn, insn[i].b);
        if (has_more(&insn[i])) {
            use(insn, insn[i].c);
            use(insn, insn[i].d);
            use(insn, insn[i].fl);
        }
    }
}

void ir_opt_dead(struct ir_block *blk, const struct tcg_guest *guest)
{
    ir_ref map[IR_MAX_INSNS];
    unsigned out = 1;

    count_uses(blk, guest);
    map[0] = 0;
    for (unsigned i = 1; i < blk->num; i++) {
        const struct ir_insn *in = &blk->insn[i];
        struct ir_insn *to = &blk->insn[out];

        if (!in->uses && !has_effect(in, guest))
            continue;
        memmove(to, in, 4);
        to->a = map[in->a];
        to->b = map[in->b];
        to->c = map[in->c];
        to->d = map[in->d];
        to->fl = map[in->fl];
        to->uses = in->uses;
        to->imm = in->imm;
        map[i] = (ir_ref)out++;
    }
    blk->num = out;
}
