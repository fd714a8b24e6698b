/* Sink flag writes: the guest's flags are written only where something can see them.
 *
 * One pass forward carries `pending`, the value of the last PUTFL that is not
 * committed yet.
 * - A PUTFL disappears and becomes pending; what was pending before is dead.
 * - An E_FAULT instruction other than CALL gets `fl` = pending: its slow path
 *   commits it, its straight way does not. The slow path may come back, so from
 *   there on the guest's flags are either the old ones or those.
 * - A helper that reads flags, may fault or never returns, a GETFL, and the
 *   block's end get a PUTFL of pending right before them.
 * - A helper that only writes flags kills pending.
 * - A PUTFLIF disappears too and is pending upon what was pending before it; but it is put back before another one,
 *   and before what would have to carry both.
 * - INC and DEC whose C is that of the guest's flags, and nothing has changed it since, need not know it: who commits
 *   them leaves C alone (IR_KEEPS_C). Such a commit does not change C for those that follow.
 * - A PUTFL of a GETFL with no change of the guest's flags since then is nothing.
 * A GETFL never moves and no commit moves across one: it is evaluated where it stands.
 * Each PUTFL put in stands for one taken out before, so the block never grows. */
#include "tcg/tcg.h"

#include <string.h>

struct sink {
    struct ir_insn *insn;
    unsigned out;       /* next instruction to be written; never ahead of the one being read */
    ir_ref pending;     /* in new numbers; 0: the guest's flags are up to date */
    ir_ref maybe, cond; /* operands of a PUTFLIF that comes after that one; 0: none */
    ir_ref changed;     /* the last instruction that may have changed the guest's flags */
    ir_ref carry_changed;       /* and their C */
    ir_ref map[IR_MAX_INSNS];   /* old number -> new number */
};

/* `fl` may become the guest's flags at the next instruction. */
static void note_change(struct sink *s, ir_ref fl)
{
    const struct ir_insn *in = &s->insn[fl];

    s->changed = (ir_ref)s->out;
    if (!((in->op == IR_FL_INC || in->op == IR_FL_DEC) && in->aux == IR_KEEPS_C))
        s->carry_changed = s->changed;
}

static void commit(struct sink *s)
{
    if (s->pending) {
        note_change(s, s->pending);
        s->insn[s->out++] = (struct ir_insn){ .op = IR_PUTFL, .type = IR_I32, .a = s->pending };
    }
    if (s->maybe) {
        s->changed = s->carry_changed = (ir_ref)s->out;
        s->insn[s->out++] = (struct ir_insn){ .op = IR_PUTFLIF, .type = IR_I32, .a = s->maybe, .b = s->cond };
    }
    s->pending = s->maybe = 0;
}

/* Decides once: flags that are put again after C has changed know their C. */
static void keep_carry(struct sink *s, ir_ref fl)
{
    enum { COND_B = 2 };
    struct ir_insn *in = &s->insn[fl];
    const struct ir_insn *c = &s->insn[in->b];
    bool keeps = c->op == IR_COND && c->cc == COND_B && s->insn[c->a].op == IR_GETFL && c->a > s->carry_changed;

    if (in->op == IR_FL_INC || in->op == IR_FL_DEC)
        in->aux = keeps && in->aux != IR_CHANGES_C ? IR_KEEPS_C : IR_CHANGES_C;
}

static void put(struct sink *s, ir_ref fl)
{
    keep_carry(s, fl);
    s->pending = s->insn[fl].op == IR_GETFL && fl > s->changed ? 0 : fl;
    s->maybe = 0;
}

static void put_if(struct sink *s, ir_ref fl, ir_ref cond)
{
    if (s->maybe)
        commit(s);
    s->maybe = fl;
    s->cond = cond;
}

static ir_ref carry(struct sink *s)
{
    if (s->maybe)
        commit(s);
    if (s->pending)
        note_change(s, s->pending);
    return s->pending;
}

static void before_call(struct sink *s, uint32_t effects)
{
    if (effects & (H_RFLAGS | H_FAULT | H_NORETURN))
        commit(s);
    if (effects & H_WFLAGS) {
        s->pending = s->maybe = 0;
        s->changed = s->carry_changed = (ir_ref)s->out;
    }
}

void ir_opt_flags(struct ir_block *blk, const struct tcg_guest *guest)
{
    struct sink s;

    s.insn = blk->insn;
    s.out = 1;
    s.pending = s.maybe = s.changed = s.carry_changed = s.map[0] = 0;
    for (unsigned i = 1; i < blk->num; i++) {
        const struct ir_insn *in = &blk->insn[i];
        uint8_t effects = ir_ops[in->op].effects;
        struct ir_insn *to;
        ir_ref fl = 0;

        if (in->op == IR_PUTFL) {
            put(&s, s.map[in->a]);
            s.map[i] = 0;
            continue;
        }
        if (in->op == IR_PUTFLIF) {
            put_if(&s, s.map[in->a], s.map[in->b]);
            s.map[i] = 0;
            continue;
        }
        if (effects & (E_FAULT | E_END)) {
            if (in->op == IR_CALL)
                before_call(&s, guest->helpers[in->imm].effects);
            else if (effects & E_END)
                commit(&s);
            else
                fl = carry(&s);
        } else if (in->op == IR_GETFL) {
            commit(&s);
        }
        s.map[i] = (ir_ref)s.out;
        to = &s.insn[s.out++];
        memmove(to, in, 4);
        to->a = s.map[in->a];
        to->b = s.map[in->b];
        to->c = s.map[in->c];
        to->d = s.map[in->d];
        to->fl = fl;
        to->imm = in->imm;
    }
    blk->num = s.out;
}
