/* Hot paths: which way a block goes on at branches within its page, and what leaves it there. */
#include "cpu/emit.h"

void trace_start(struct trace *t)
{
    t->follows = false;
    t->lowest = t->end = 0;
    t->num_seen = t->num_calls = t->turns = 0;
}

static bool is_seen(const struct trace *t, int32_t delta)
{
    for (unsigned i = 0; i < t->num_seen; i++)
        if (t->seen[i] == delta)
            return true;
    return false;
}

bool trace_enter(struct emit *e)
{
    struct trace *t = e->trace;
    int32_t end = e->pc_off + e->insn->len;

    t->follows = false;
    if (is_seen(t, e->pc_off))
        return false;
    t->seen[t->num_seen++] = e->pc_off;
    t->lowest = e->pc_off < t->lowest ? e->pc_off : t->lowest;
    t->end = end > t->end ? end : t->end;
    return true;
}

/* Back at the beginning: is there room for a whole turn more? All turns are alike. */
static bool may_turn(const struct emit *e)
{
    const struct trace *t = e->trace;
    const struct ir_block *blk = ir_block(e->b);
    unsigned turns = t->turns + 1;

    return turns < TRACE_MAX_TURNS && (turns + 1) * t->num_seen <= TRACE_MAX_LOOP &&
           blk->num_exits / turns * (turns + 1) + 4 < TCG_MAX_EXITS &&
           blk->num / turns < ir_room(e->b) / 2;
}

/* Every instruction comes once in a turn: what leads to the middle ends the block. */
static bool may_follow(const struct emit *e, int32_t delta)
{
    return !emit_is_far(e, delta) && (delta ? !is_seen(e->trace, delta) : may_turn(e));
}

static void follow(struct emit *e, int32_t delta)
{
    struct trace *t = e->trace;

    t->follows = true;
    t->next = delta;
    if (!delta) {
        t->turns++;
        t->num_seen = 0;
    }
}

bool trace_goto(struct emit *e, int32_t delta)
{
    if (!may_follow(e, delta))
        return false;
    follow(e, delta);
    return true;
}

static ir_ref opposite(struct emit *e, ir_ref cond)
{
    return ir_bini(e->b, IR_XOR, IR_I32, cond, 1);
}

bool trace_branch(struct emit *e, ir_ref cond, int32_t taken, int32_t next)
{
    struct trace *t = e->trace;
    bool take = t->heat(t->opaque, taken) > t->heat(t->opaque, next);
    unsigned exits = ir_block(e->b)->num_exits;

    if (exits + 2 >= TCG_MAX_EXITS || !may_follow(e, take ? taken : next))
        return false;
    if (take)
        ir_exitif(e->b, emit_ip_type(e), opposite(e, cond), next, emit_is_far(e, next));
    else
        ir_exitif(e->b, emit_ip_type(e), cond, taken, emit_is_far(e, taken));
    follow(e, take ? taken : next);
    return true;
}

void trace_call(struct emit *e, int32_t delta)
{
    struct trace *t = e->trace;

    if (t->num_calls == TRACE_MAX_CALLS)
        t->num_calls = 0;
    t->call[t->num_calls++] = delta;
}

bool trace_return(struct emit *e, ir_ref pc, uint32_t note)
{
    struct trace *t = e->trace;
    int32_t delta;

    if (!t->num_calls)
        return false;
    delta = t->call[--t->num_calls];
    if (!may_follow(e, delta))
        return false;
    ir_gotoif(e->b, ir_cmp(e->b, IR_CMP_NE, IR_I64, pc, emit_pc_value(e, delta)), pc, note);
    follow(e, delta);
    return true;
}
