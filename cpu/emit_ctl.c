/* Emission of near control transfers. A target outside CS's limit, or not canonical, is #GP(0) at the
 * branch. */
#include "cpu/emit.h"

#include "cpu/helper_int.h"

enum { CC_Z = 4 };

static bool code64(const struct emit *e)
{
    return e->mode & MODE_CODE64;
}

static int64_t wide_delta(const struct emit *e)
{
    return (int64_t)e->pc_off + e->insn->len + e->insn->imm;
}

static int32_t target_delta(const struct emit *e)
{
    return (int32_t)wide_delta(e);
}

/* Does the operand size cut the target to less than the code size? Then it is not a fixed distance away. */
static bool target_is_cut(const struct emit *e)
{
    return emit_ip_type(e) == IR_I32 && e->insn->opsize == 2;
}

/* Is the target no delta of the IR? In 64-bit code it may be almost 2 GiB from the branch, and more from the page. */
static bool target_is_value(const struct emit *e)
{
    int64_t off = wide_delta(e) + e->block_page_off;

    return target_is_cut(e) || (code64(e) && off != (int32_t)off);
}

/* Such a target, I64. */
static ir_ref target_value(struct emit *e)
{
    ir_ref pc;

    if (code64(e))
        return ir_pc(e->b, IR_I64, wide_delta(e));
    pc = ir_pc(e->b, IR_I32, target_delta(e));
    return ir_zext(e->b, IR_I64, ir_bini(e->b, IR_AND, IR_I32, pc, 0xffff));
}

static ir_ref and_cond(struct emit *e, ir_ref cond, ir_ref x)
{
    return cond ? ir_bin(e->b, IR_AND, IR_I32, cond, x) : x;
}

static ir_ref beyond_limit(struct emit *e, ir_ref pc)
{
    size_t limit = offsetof(struct cpu, seg[S_CS].limit);

    return ir_cmp(e->b, IR_CMP_GTU, IR_I32, pc, ir_lde(e->b, IR_I32, (unsigned)limit));
}

/* #GP(0) when the branch is taken (`cond`, 0: always) and its target outside CS's limit. A target of 16-bit
 * code that wraps is not `delta` away: the helper then has the instruction translated alone, and its exits
 * looked up. */
static void check_target(struct emit *e, ir_ref cond)
{
    int32_t delta = target_delta(e);
    bool wraps = e->insn->opsize == 2, alone = e->single || target_is_cut(e);
    ir_ref pc;

    if (code64(e) || (e->mode & MODE_FLAT_CS))
        return;
    pc = ir_pc(e->b, IR_I32, delta);
    if (wraps && alone)
        pc = ir_bini(e->b, IR_AND, IR_I32, pc, 0xffff);
    cond = and_cond(e, cond, beyond_limit(e, pc));
    if (wraps && !alone)
        ir_trapif(e->b, cond, HELP_cs_target, (uint32_t)delta - (uint32_t)e->pc_off);
    else
        ir_trapif(e->b, cond, HELP_raise, raise_arg_code(EX_GP, 0));
}

/* Jump to the checked target if `cond`, else to the next instruction. */
static void branch_if(struct emit *e, ir_ref cond)
{
    if (target_is_value(e))
        emit_goto_indirect(e, ir_select(e->b, IR_I64, cond, target_value(e), emit_next_pc(e)));
    else
        emit_branch(e, cond, target_delta(e));
}

static void branch_always(struct emit *e)
{
    if (target_is_value(e))
        emit_goto_indirect(e, target_value(e));
    else
        emit_jump(e, target_delta(e));
}

void emit_jcc(struct emit *e)
{
    ir_ref cond = ir_cond(e->b, e->insn->row->arg, ir_getfl(e->b));

    check_target(e, cond);
    branch_if(e, cond);
}

void emit_jmp(struct emit *e)
{
    check_target(e, 0);
    branch_always(e);
}

static void push_next(struct emit *e)
{
    unsigned size = e->insn->opsize;

    emit_push(e, size, ir_zext(e->b, emit_type(size), emit_next_pc(e)));
}

void emit_call(struct emit *e)
{
    check_target(e, 0);
    push_next(e);
    if (e->trace && !target_is_value(e) && !emit_is_far(e, target_delta(e)))
        trace_call(e, e->pc_off + e->insn->len);
    branch_always(e);
}

void emit_jmp_indirect(struct emit *e)
{
    ir_ref pc = ir_zext(e->b, IR_I64, emit_load(e, 0));

    emit_goto_noted(e, pc, emit_check_pc_late(e, pc, 0));
}

void emit_call_indirect(struct emit *e)
{
    ir_ref pc = ir_zext(e->b, IR_I64, emit_load(e, 0));

    emit_check_pc(e, pc);
    push_next(e);
    emit_goto_indirect(e, pc);
}

void emit_ret(struct emit *e)
{
    unsigned size = e->insn->opsize, popped = size + (uint16_t)e->insn->imm;
    ir_ref pc = ir_zext(e->b, IR_I64, emit_pop(e, size));
    uint32_t note = emit_check_pc_late(e, pc, popped);

    emit_pop_done(e, popped);
    emit_return(e, pc, note);
}

/* rCX at the address size. */
static ir_ref is_zero(struct emit *e, ir_ref v)
{
    enum ir_type t = emit_type(e->insn->addrsize);

    return ir_cmp(e->b, IR_CMP_EQ, t, v, ir_const(e->b, t, 0));
}

void emit_jcxz(struct emit *e)
{
    ir_ref cond = is_zero(e, emit_get_reg(e, R_CX, e->insn->addrsize));

    check_target(e, cond);
    branch_if(e, cond);
}

/* LOOPNE, LOOPE, LOOP. */
void emit_loop(struct emit *e)
{
    enum { LOOPNE, LOOPE, LOOP };
    unsigned size = e->insn->addrsize, kind = e->insn->row->arg;
    ir_ref count = ir_bini(e->b, IR_SUB, emit_type(size), emit_get_reg(e, R_CX, size), 1);
    ir_ref cond = ir_bini(e->b, IR_XOR, IR_I32, is_zero(e, count), 1);

    if (kind != LOOP)
        cond = and_cond(e, cond, ir_cond(e->b, kind == LOOPE ? CC_Z : CC_Z + 1, ir_getfl(e->b)));
    check_target(e, cond);
    emit_put_reg(e, R_CX, size, count);
    branch_if(e, cond);
}
