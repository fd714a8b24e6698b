/* Writes of the guest's flags and registers, delayed or dropped while a block is built.
 *
 * Flags are written only where something can see them. `pending` is the value of the last PUTFL that is not committed
 * yet.
 * - A PUTFL is not appended but becomes pending; what was pending before is dead.
 * - An E_FAULT instruction other than CALL gets `fl` = pending: its slow path
 *   commits it, its straight way does not. The slow path may come back, so from
 *   there on the guest's flags are either the old ones or those.
 * - A helper that reads flags, may fault or never returns, a GETFL, and the
 *   block's end get a PUTFL of pending right before them.
 * - A helper that only writes flags kills pending.
 * - A PUTFLIF is pending upon what was pending before it; but it is appended before another one, and before what would
 *   have to carry both.
 * - INC and DEC whose C is that of the guest's flags, and nothing has changed it since, need not know it: who commits
 *   them leaves C alone (IR_KEEPS_C). Such a commit does not change C for those that follow.
 * - A PUTFL of a GETFL with no change of the guest's flags since then is nothing.
 * A GETFL never moves and no commit moves across one: it is evaluated where it stands.
 *
 * A PUT is dropped when a later one of the same register follows and nothing between can see its value. Every PUT
 * covers all 64 bits: an I32 one clears the upper half. What sees registers: a GET of that register; a block end; every
 * instruction that may leave the block by an exception, and helpers that read registers, see them all. A dropped PUT
 * becomes a constant that nobody uses. */
#include "tcg/build.h"

/* ---- flags ---- */

/* `fl` may become the guest's flags at the next instruction. */
static void note_change(struct ir_builder *b, ir_ref fl)
{
    const struct ir_insn *in = &b->insn[fl];

    b->sink.changed = (ir_ref)b->blk.num;
    if (!((in->op == IR_FL_INC || in->op == IR_FL_DEC) && in->aux == IR_KEEPS_C))
        b->sink.carry_changed = b->sink.changed;
}

void ir_sink_commit(struct ir_builder *b)
{
    struct ir_sink *s = &b->sink;

    if (s->pending) {
        note_change(b, s->pending);
        ir_append(b, ir_low(IR_PUTFL, IR_I32, 0, 0, s->pending, 0), 0, 0);
    }
    if (s->maybe) {
        s->changed = s->carry_changed = (ir_ref)b->blk.num;
        ir_append(b, ir_low(IR_PUTFLIF, IR_I32, 0, 0, s->maybe, s->cond), 0, 0);
    }
    s->pending = s->maybe = 0;
}

/* Decides once: flags that are put again after C has changed know their C. */
static void keep_carry(struct ir_builder *b, struct ir_insn *in)
{
    enum { COND_B = 2 };
    const struct ir_insn *c = &b->insn[in->b];
    bool keeps = c->op == IR_COND && c->cc == COND_B && b->insn[c->a].op == IR_GETFL && c->a > b->sink.carry_changed;

    in->aux = keeps && in->aux != IR_CHANGES_C ? IR_KEEPS_C : IR_CHANGES_C;
}

void ir_sink_flags(struct ir_builder *b, ir_ref fl)
{
    struct ir_insn *in = &b->insn[fl];

    if (in->op == IR_FL_INC || in->op == IR_FL_DEC)
        keep_carry(b, in);
    b->sink.pending = in->op == IR_GETFL && fl > b->sink.changed ? 0 : fl;
    b->sink.maybe = 0;
}

void ir_sink_flags_if(struct ir_builder *b, ir_ref fl, ir_ref cond)
{
    if (b->sink.maybe)
        ir_sink_commit(b);
    b->sink.maybe = fl;
    b->sink.cond = cond;
}

ir_ref ir_sink_fault(struct ir_builder *b)
{
    if (b->sink.maybe)
        ir_sink_commit(b);
    if (b->sink.pending)
        note_change(b, b->sink.pending);
    b->sink.seen = (ir_ref)b->blk.num;
    return b->sink.pending;
}

void ir_sink_call(struct ir_builder *b, uint32_t effects)
{
    struct ir_sink *s = &b->sink;

    if (effects & (H_RFLAGS | H_FAULT | H_NORETURN))
        ir_sink_commit(b);
    if (effects & H_WFLAGS) {
        s->pending = s->maybe = 0;
        s->changed = s->carry_changed = (ir_ref)b->blk.num;
    }
    if (effects & (H_RREGS | H_FAULT | H_NORETURN))
        s->seen = (ir_ref)b->blk.num;
}

/* ---- registers ---- */

void ir_sink_put(struct ir_builder *b, unsigned reg)
{
    enum { NOT_SHARED = 1 }; /* cc: an old hint does not find it */
    ir_ref *put = &b->sink.put[reg];

    if (*put > b->sink.seen)
        ir_write_words(&b->insn[*put], ir_low(IR_CONST, IR_I32, NOT_SHARED, 0, 0, 0), 0, 0);
    *put = (ir_ref)b->blk.num;
}
