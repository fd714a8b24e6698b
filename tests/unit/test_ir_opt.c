/* The optimiser: what each pass promises, and random blocks that must do the same with and without it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "tests/unit/fake_guest.h"

static struct ir_builder *b;

static void setup(void)
{
    b = ir_builder_new(&fake_guest, IR_SINK);
}

static void teardown(void)
{
    ir_builder_free(b);
}

static unsigned count(unsigned op) { return block_count(ir_block(b), op); }
static const struct ir_insn *find(unsigned op) { return block_find(ir_block(b), op); }

static ir_ref some_flags(void)
{
    return ir_flags(b, IR_FL_LOGIC, IR_I32, ir_get(b, IR_I32, 1), 0, 0);
}

/* ---- flags ---- */

START_TEST(overwritten_flags_vanish)
{
    ir_putfl(b, some_flags());
    ir_putfl(b, some_flags());
    ir_lookup(b);
    ir_opt_dead(ir_block(b), &fake_guest);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
    ck_assert_uint_eq(count(IR_FL_LOGIC), 1);
    ck_assert_uint_eq(ir_block(b)->insn[ir_block(b)->num - 2].op, IR_PUTFL);
}
END_TEST

START_TEST(faulting_instructions_carry_flags)
{
    ir_ref addr = ir_get(b, IR_I64, 2);

    ir_ld(b, IR_I8, addr, 0);
    ir_putfl(b, some_flags());
    ir_st(b, IR_I32, addr, ir_get(b, IR_I32, 3), 0);
    ir_putfl(b, some_flags());
    ir_lookup(b);
    ir_opt_dead(ir_block(b), &fake_guest);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
    ck_assert_uint_eq(count(IR_FL_LOGIC), 2);
    ck_assert_uint_eq(find(IR_LD)->fl, 0);
    ck_assert_uint_eq(ir_block(b)->insn[find(IR_ST)->fl].op, IR_FL_LOGIC);
    ck_assert_uint_eq(ir_block(b)->insn[find(IR_ST)->fl].uses, 1);
}
END_TEST

/* As what may fault: flags are carried, and stay pending; registers are seen. */
START_TEST(side_exits_carry_flags)
{
    ir_ref no = ir_lde(b, IR_I32, FAKE_FIELD(0)), one = ir_const(b, IR_I64, 1);

    ir_putfl(b, some_flags());
    ir_put(b, IR_I64, 1, one);
    ir_exitif(b, IR_I64, no, 0x10, false);
    ir_put(b, IR_I64, 1, ir_get(b, IR_I64, 2));
    ir_gotoif(b, no, ir_get(b, IR_I64, 3), 0);
    ir_put(b, IR_I64, 1, ir_get(b, IR_I64, 4));
    ir_putfl(b, some_flags());
    ir_lookup(b);
    ir_opt_dead(ir_block(b), &fake_guest);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
    ck_assert_uint_eq(count(IR_PUT), 3);
    ck_assert_uint_eq(ir_block(b)->insn[find(IR_EXITIF)->fl].op, IR_FL_LOGIC);
    ck_assert_uint_eq(find(IR_EXITIF)->fl, find(IR_GOTOIF)->fl);
    ck_assert_uint_eq(ir_block(b)->insn[find(IR_EXITIF)->fl].uses, 2);
    ck_assert_uint_eq(count(IR_FL_LOGIC), 2);
}
END_TEST

START_TEST(calls_and_flags)
{
    ir_putfl(b, some_flags());
    ir_call(b, FAKE_SUM_REGS, 0, 0, 0, 0);      /* neither reads nor writes: stays pending */
    ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0);    /* committed before */
    ir_putfl(b, some_flags());
    ir_call(b, FAKE_WRITE_FLAGS, ir_const(b, IR_I32, 1), 0, 0, 0); /* killed */
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
    ck_assert_uint_eq(find(IR_PUTFL)[1].op, IR_CALL);
    ck_assert_uint_eq(find(IR_PUTFL)[1].imm, FAKE_READ_FLAGS);
}
END_TEST

START_TEST(unchanged_flags_are_not_written)
{
    ir_ref old = ir_getfl(b);

    ir_putfl(b, some_flags());
    ir_putfl(b, old);
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), 0);
}
END_TEST

START_TEST(changed_flags_are_written_back)
{
    ir_ref old = ir_getfl(b);

    ir_putfl(b, some_flags());
    ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0);
    ir_putfl(b, old);
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), 2);
}
END_TEST

/* The slow path of the load may have committed the new flags and come back. */
START_TEST(perhaps_changed_flags_are_written_back)
{
    ir_ref old = ir_getfl(b);

    ir_putfl(b, some_flags());
    ir_ld(b, IR_I8, ir_get(b, IR_I64, 2), 0);
    ir_putfl(b, old);
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
}
END_TEST

static ir_ref some_inc(ir_ref carry)
{
    return ir_flags(b, IR_FL_INC, IR_I32, ir_get(b, IR_I32, 1), carry, 0);
}

/* INC at the beginning leaves C alone, whatever may have written such flags; after others it is known (_i). */
START_TEST(increments_keep_carry)
{
    ir_ref c = ir_cond(b, 2, ir_getfl(b));

    ir_putfl(b, some_inc(c));
    ir_ld(b, IR_I8, ir_get(b, IR_I64, 2), 0);
    if (_i == 1)
        ir_putfl(b, some_flags());
    if (_i == 1)
        ir_ld(b, IR_I8, ir_get(b, IR_I64, 3), 0);
    if (_i == 2)
        ir_call(b, FAKE_WRITE_FLAGS, ir_const(b, IR_I32, 1), 0, 0, 0);
    ir_putfl(b, ir_flags(b, IR_FL_DEC, IR_I32, ir_get(b, IR_I32, 2), c, 0));
    ir_ld(b, IR_I8, ir_get(b, IR_I64, 4), 0);
    ir_lookup(b);
    ck_assert_uint_eq(find(IR_FL_INC)->aux, IR_KEEPS_C);
    ck_assert_uint_eq(find(IR_FL_DEC)->aux, _i ? IR_CHANGES_C : IR_KEEPS_C);
}
END_TEST

/* Flags that are put again when C is another one know theirs. */
START_TEST(increments_put_again)
{
    ir_ref inc = some_inc(ir_cond(b, 2, ir_getfl(b)));

    ir_putfl(b, inc);
    ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0);
    ir_putfl(b, some_flags());
    ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0);
    ir_putfl(b, inc);
    ir_lookup(b);
    ck_assert_uint_eq(find(IR_FL_INC)->aux, IR_CHANGES_C);
}
END_TEST

static ir_ref some_condition(void)
{
    return ir_cmp(b, IR_CMP_NE, IR_I32, ir_get(b, IR_I32, 3), ir_const(b, IR_I32, 0));
}

/* Flags that are written only if: with those before them they vanish when overwritten, and are put back, in order,
 * before what would have to carry both. */
START_TEST(conditional_flags_sink)
{
    ir_putfl(b, some_flags());
    ir_putflif(b, some_flags(), some_condition());
    if (_i)
        ir_ld(b, IR_I8, ir_get(b, IR_I64, 2), 0);
    ir_putfl(b, ir_flags(b, IR_FL_LOGIC, IR_I32, ir_get(b, IR_I32, 4), 0, 0));
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), _i ? 2 : 1);
    ck_assert_uint_eq(count(IR_PUTFLIF), _i ? 1 : 0);
    if (_i) {
        ck_assert_uint_eq(find(IR_PUTFLIF)[-1].op, IR_PUTFL);
        ck_assert_uint_eq(find(IR_PUTFLIF)[1].op, IR_LD);
        ck_assert_uint_eq(find(IR_LD)->fl, 0);
    }
}
END_TEST

START_TEST(conditional_flags_stay_in_order)
{
    ir_putflif(b, some_flags(), some_condition());
    ir_putflif(b, ir_flags(b, IR_FL_LOGIC, IR_I32, ir_get(b, IR_I32, 4), 0, 0), some_condition());
    ir_ste(b, IR_I32, FAKE_FIELD(0), ir_eflags(b, ir_getfl(b)));
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFLIF), 2);
    ck_assert_uint_eq(find(IR_GETFL)[-1].op, IR_PUTFLIF);
}
END_TEST

START_TEST(reading_commits_first)
{
    ir_putfl(b, some_flags());
    ir_ste(b, IR_I32, FAKE_FIELD(0), ir_eflags(b, ir_getfl(b)));
    ir_lookup(b);
    ck_assert_uint_eq(count(IR_PUTFL), 1);
    ck_assert_uint_eq(find(IR_GETFL)[-1].op, IR_PUTFL);
}
END_TEST

/* ---- registers ---- */

static unsigned puts_left(void)
{
    ir_lookup(b);
    ir_opt_dead(ir_block(b), &fake_guest);
    return count(IR_PUT);
}

START_TEST(overwritten_registers_vanish)
{
    ir_put(b, IR_I64, 1, ir_const(b, IR_I64, 1));
    ir_put(b, IR_I32, 1, ir_const(b, IR_I32, 2));
    ir_put(b, IR_I64, 2, ir_const(b, IR_I64, 1));
    ck_assert_uint_eq(puts_left(), 2);
}
END_TEST

START_TEST(seen_registers_stay)
{
    ir_ref one = ir_const(b, IR_I64, 1);

    ir_put(b, IR_I64, 1, one);
    ir_ld(b, IR_I8, one, 0);
    ir_put(b, IR_I64, 1, one);
    ir_call(b, FAKE_SUM_REGS, 0, 0, 0, 0);
    ir_put(b, IR_I64, 1, one);
    ir_ste(b, IR_I64, FAKE_FIELD(0), ir_get(b, IR_I64, 1));
    ir_put(b, IR_I64, 1, one);
    ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0);
    ir_put(b, IR_I64, 1, one);
    ck_assert_uint_eq(puts_left(), 4);
}
END_TEST

/* What is found out later of a value's aux does not hide it from those that ask for an equal one. */
START_TEST(increments_stay_shared)
{
    struct ir_builder *all = ir_builder_new(&fake_guest, IR_FOLD | IR_SINK);
    ir_ref c = ir_cond(all, 2, ir_getfl(all)), x = ir_get(all, IR_I32, 1), fl = ir_flags(all, IR_FL_INC, IR_I32, x, c, 0);

    ir_putfl(all, fl);
    ck_assert_uint_eq(ir_block(all)->insn[fl].aux, IR_KEEPS_C);
    ck_assert_uint_eq(ir_flags(all, IR_FL_INC, IR_I32, x, c, 0), fl);
    ir_builder_free(all);
}
END_TEST

/* A constant of the block before stood where this one has a dropped write: what is built depends on the code alone. */
START_TEST(dropped_writes_are_no_constants)
{
    struct ir_builder *all = ir_builder_new(&fake_guest, IR_FOLD | IR_SINK);
    ir_ref x = ir_get(all, IR_I32, 1), y = ir_get(all, IR_I32, 2), zero = ir_const(all, IR_I32, 0);

    ir_start(all);
    ck_assert_uint_eq(ir_get(all, IR_I32, 1), x);
    ck_assert_uint_eq(ir_get(all, IR_I32, 2), y);
    ir_put(all, IR_I32, 3, x);
    ir_put(all, IR_I32, 3, y);
    ck_assert_uint_eq(ir_block(all)->insn[zero].op, IR_CONST);
    ck_assert_uint_ne(ir_const(all, IR_I32, 0), zero);
    ir_builder_free(all);
}
END_TEST

/* ---- dead values ---- */

START_TEST(dead_values_vanish)
{
    ir_ref x = ir_get(b, IR_I64, 1), y = ir_get(b, IR_I64, 2);
    const struct ir_block *blk = ir_block(b);

    ir_bin(b, IR_MUL, IR_I64, x, y);
    ir_lde(b, IR_I32, FAKE_FIELD(0));
    ir_call(b, FAKE_SUM, x, y, 0, 0);
    ir_call(b, FAKE_MAYBE, ir_const(b, IR_I32, 0), 0, 0, 0);
    ir_ld(b, IR_I8, x, 0);
    ir_put(b, IR_I64, 3, ir_bin(b, IR_ADD, IR_I64, x, x));
    ir_lookup(b);
    ir_opt_dead(ir_block(b), &fake_guest);
    ck_assert_uint_eq(count(IR_MUL) + count(IR_LDE), 0);
    ck_assert_uint_eq(count(IR_CALL), 1);
    ck_assert_uint_eq(count(IR_LD), 1);
    ck_assert_uint_eq(count(IR_GET), 1);
    ck_assert_uint_eq(find(IR_GET)->uses, 3);
    ck_assert_uint_eq(blk->insn[find(IR_PUT)->a].op, IR_ADD);
}
END_TEST

/* ---- random blocks: plain on the interpreter against optimised and against host code ---- */

enum { POOL = 24, STEPS = 120 };

/* Random use of the builder: the same seed makes the same calls whatever the builder does with them. */
struct gen {
    struct ir_builder *b;
    uint64_t seed;
    ir_ref pool[4][POOL];  /* values by type */
    unsigned num[4];
    ir_ref fl[POOL];
    unsigned num_fl, num_exits;
    bool hot;
};

static unsigned pick(struct gen *g, unsigned n)
{
    return (unsigned)(fake_random(&g->seed) >> 11) % n;
}

static void keep(struct gen *g, unsigned t, ir_ref v)
{
    unsigned at = g->num[t] < POOL ? g->num[t]++ : pick(g, POOL);

    g->pool[t][at] = v;
}

static void keep_fl(struct gen *g, ir_ref v)
{
    unsigned at = g->num_fl < POOL ? g->num_fl++ : pick(g, POOL);

    g->fl[at] = v;
}

static ir_ref value(struct gen *g, unsigned t)
{
    if (!g->num[t] || !pick(g, 6))
        keep(g, t, ir_const(g->b, t, fake_operand(&g->seed)));
    return g->pool[t][pick(g, g->num[t])];
}

static ir_ref boolean(struct gen *g)
{
    unsigned t = pick(g, 4), cc = pick(g, 10);
    ir_ref x = value(g, t), y = value(g, t);

    if (pick(g, 2))
        return ir_cond(g->b, pick(g, 16), g->fl[pick(g, g->num_fl)]);
    return ir_cmp(g->b, (enum ir_cmp)cc, t, x, y);
}

static ir_ref field(struct gen *g)
{
    return ir_bini(g->b, IR_AND, IR_I32, value(g, IR_I32), 1);
}

static void gen_flags(struct gen *g)
{
    static const enum ir_op kinds[] = { IR_FL_ADD, IR_FL_ADC, IR_FL_SUB, IR_FL_SBB, IR_FL_CMP, IR_FL_LOGIC,
                                        IR_FL_INC, IR_FL_DEC, IR_FL_SHL, IR_FL_SHR, IR_FL_MUL, IR_FL_BITS, IR_FL_CO };
    unsigned op = kinds[pick(g, ARRAY_LEN(kinds))], t = pick(g, 4);
    ir_ref x = value(g, t), y = value(g, t), bit = pick(g, 2) ? boolean(g) : field(g), v = 0;

    if (op == IR_FL_SUB && pick(g, 2))
        v = ir_flags(g->b, op, t, ir_bin(g->b, IR_SUB, t, x, y), y, 0);
    else if (ir_ops[op].b == '4')
        v = ir_flags(g->b, op, t, x, bit, ir_ops[op].c == '-' ? 0 : bit);
    else
        v = ir_flags(g->b, op, t, x, ir_ops[op].b == '-' ? 0 : y, ir_ops[op].c == '-' ? 0 : bit);
    keep_fl(g, v);
    if (!pick(g, 4)) {
        bit = ir_cond(g->b, 2, pick(g, 4) ? ir_getfl(g->b) : g->fl[pick(g, g->num_fl)]);
        v = ir_flags(g->b, pick(g, 2) ? IR_FL_INC : IR_FL_DEC, t, x, bit, 0);
        keep_fl(g, v);
        ir_putfl(g->b, v);
    }
    if (!pick(g, 4))
        keep_fl(g, ir_flags(g->b, IR_FL_RAW, IR_I32, value(g, IR_I32), 0, 0));
    if (!pick(g, 4))
        keep_fl(g, ir_flags(g->b, IR_FL_RAW, IR_I32, ir_eflags(g->b, g->fl[pick(g, g->num_fl)]), 0, 0));
    if (!pick(g, 3))
        keep_fl(g, ir_flags(g->b, IR_FL_SETC, IR_I32, g->fl[pick(g, g->num_fl)], bit, 0));
}

/* The divisor is not 0 and the quotient fits. */
static void gen_division(struct gen *g, unsigned t)
{
    uint64_t top = (uint64_t)1 << (IR_BITS(t) - 1);
    ir_ref x = value(g, t), y = value(g, t), high;

    if (pick(g, 2)) {
        high = pick(g, 2) ? ir_const(g->b, t, 0) : ir_bini(g->b, IR_SHR, t, value(g, t), 1);
        y = ir_bini(g->b, IR_OR, t, y, top);
        keep(g, t, ir_tri(g->b, IR_DIVU, t, x, y, high));
        keep(g, t, ir_tri(g->b, IR_REMU, t, x, y, high));
    } else {
        y = ir_bini(g->b, IR_AND, t, ir_bini(g->b, IR_OR, t, y, 2), top - 1);
        keep(g, t, ir_tri(g->b, IR_DIVS, t, x, y, 0));
        keep(g, t, ir_tri(g->b, IR_REMS, t, x, y, 0));
    }
}

static void gen_arith(struct gen *g)
{
    unsigned op = IR_ADD + pick(g, pick(g, 2) ? IR_XOR - IR_ADD + 1 : IR_ROR - IR_ADD + 1), t = pick(g, 4);
    ir_ref x = value(g, t), y = value(g, t);

    if (!pick(g, 8)) {
        keep(g, t, ir_tri(g->b, pick(g, 2) ? IR_ADC : IR_SBB, t, x, y, boolean(g)));
    } else if (t >= IR_I32 && !pick(g, 8)) {
        gen_division(g, t);
    } else if (op <= IR_XOR && pick(g, 2)) { /* chains of constants */
        x = ir_bini(g->b, IR_ADD + pick(g, IR_XOR - IR_ADD + 1), t, x, fake_operand(&g->seed));
        keep(g, t, ir_bini(g->b, op, t, x, fake_operand(&g->seed)));
    } else if (op == IR_NOT || op == IR_NEG)
        keep(g, t, ir_un(g->b, op, t, x));
    else if (op < IR_SHL)
        keep(g, t, pick(g, 3) ? ir_bin(g->b, op, t, x, y) : ir_bini(g->b, op, t, x, fake_operand(&g->seed)));
    else if (pick(g, 2))
        keep(g, t, ir_bini(g->b, op, t, x, pick(g, IR_BITS(t))));
    else
        keep(g, t, ir_bin(g->b, op, t, x, ir_bini(g->b, IR_AND, IR_I32, value(g, IR_I32), IR_BITS(t) - 1)));
}

static void gen_shape(struct gen *g)
{
    unsigned t = IR_I32 + pick(g, 2), from = pick(g, 4), to = pick(g, 4), pos = pick(g, IR_BITS(t));
    unsigned len = 1 + pick(g, IR_BITS(t) - pos);
    ir_ref x = value(g, t), y = value(g, t), z = value(g, from);

    if (pick(g, 2)) { /* the fields that x86 has */
        pos = pick(g, 2) * 8;
        len = pos ? 8 : 8u << pick(g, 2);
    }
    switch (pick(g, 7)) {
    case 0: keep(g, t, ir_extract(g->b, t, x, pos, len)); break;
    case 1: keep(g, t, ir_deposit(g->b, t, x, pos, len, y)); break;
    case 2: keep(g, to, ir_zext(g->b, to, z)); break;
    case 3: keep(g, to, ir_sext(g->b, to, z)); break;
    case 4: keep(g, t, ir_un(g->b, IR_BSWAP, t, x)); break;
    case 5: keep(g, t, ir_select(g->b, t, boolean(g), x, y)); break;
    default: keep(g, IR_I32, boolean(g)); break;
    }
}

static ir_ref address(struct gen *g)
{
    ir_ref a = ir_bini(g->b, IR_AND, IR_I64, value(g, IR_I64), FAKE_RAM - 1);

    if (g->hot && pick(g, 2)) /* near a register */
        return ir_bini(g->b, IR_ADD, IR_I64, ir_bini(g->b, IR_AND, IR_I64, ir_get(g->b, IR_I64, pick(g, 2)), 0x7ff8),
                       (uint64_t)(int64_t)(int)(pick(g, 64) - 16));
    if (g->hot && pick(g, 2)) /* in a table at a register */
        return ir_bin(g->b, IR_ADD, IR_I64, ir_bini(g->b, IR_AND, IR_I64, ir_get(g->b, IR_I64, pick(g, 2)), 0x7e00),
                      ir_bini(g->b, IR_SHL, IR_I64, ir_zext(g->b, IR_I64, value(g, IR_I8)), pick(g, 2)));
    /* one in sixteen may fault */
    return pick(g, 16) ? ir_bini(g->b, IR_AND, IR_I64, a, 0x3fff) : ir_bini(g->b, IR_ADD, IR_I64, a, 0x8000);
}

static void gen_state(struct gen *g)
{
    unsigned t = pick(g, 4), w = IR_I32 + pick(g, 2), reg = pick(g, 5);
    unsigned off = FAKE_FIELD(pick(g, 3)) + pick(g, 4) * 2;
    ir_ref x = value(g, t), y = value(g, w), fl = g->fl[pick(g, g->num_fl)];

    switch (pick(g, 10)) {
    case 0: case 1: keep(g, w, ir_get(g->b, w, reg)); break;
    case 2: case 3: ir_put(g->b, w, reg, y); break;
    case 4: keep(g, t, ir_lde(g->b, t, off)); break;
    case 5: ir_ste(g->b, t, off, x); break;
    case 6: ir_putfl(g->b, fl); break;
    case 7: ir_putflif(g->b, fl, boolean(g)); break;
    case 8: keep_fl(g, ir_getfl(g->b)); break;
    default: keep(g, w, ir_pc(g->b, w, pick(g, 100))); break;
    }
}

static void gen_memory(struct gen *g)
{
    unsigned t = pick(g, 4);
    ir_ref a = address(g), x = value(g, t);

    switch (pick(g, 8)) {
    case 0: case 1: case 2: keep(g, t, ir_ld(g->b, t, a, 0)); break;
    case 3: case 4: ir_st(g->b, t, a, x, 0); break;
    case 5: ir_ldv(g->b, IR_V16, a, FAKE_FIELD(pick(g, 4)), 0); break;
    case 6: ir_stv(g->b, IR_V16, a, FAKE_FIELD(pick(g, 4)), 0); break;
    default:
        ir_bound(g->b, a, offsetof(struct fake_env, bound), 1u << t, FAKE_RAISE_AT, t);
        break;
    }
}

static void gen_call(struct gen *g)
{
    ir_ref x = value(g, IR_I64), y = value(g, IR_I64), w = value(g, IR_I32);

    switch (pick(g, 10)) {
    case 0: keep(g, IR_I64, ir_call(g->b, FAKE_SUM, x, y, 0, 0)); break;
    case 1: keep(g, IR_I32, ir_call(g->b, FAKE_LOW, w, 0, 0, 0)); break;
    case 2: keep(g, IR_I32, ir_call(g->b, FAKE_READ_FLAGS, 0, 0, 0, 0)); break;
    case 3: ir_call(g->b, FAKE_WRITE_FLAGS, w, 0, 0, 0); break;
    case 4: keep(g, IR_I64, ir_call(g->b, FAKE_SUM_REGS, 0, 0, 0, 0)); break;
    case 5: ir_call(g->b, FAKE_SET_REG0, x, 0, 0, 0); break;
    case 6: ir_call(g->b, FAKE_SET_FIELD0, x, 0, 0, 0); break;
    case 7: ir_call(g->b, FAKE_MAYBE, ir_bini(g->b, IR_AND, IR_I32, w, pick(g, 8) ? 2 : 3), 0, 0, 0); break;
    case 8: keep(g, IR_I64, ir_call(g->b, FAKE_FOUR, x, w, y, w)); break;
    default:
        if (!pick(g, 4))
            ir_trapif(g->b, ir_bini(g->b, IR_AND, IR_I32, w, 0x11), FAKE_RAISE, pick(g, 99));
        break;
    }
}

/* Each leads elsewhere. */
static void gen_side_exit(struct gen *g)
{
    unsigned t = pick(g, 4);
    ir_ref x = value(g, t), y = value(g, t), cond = pick(g, 4) ? ir_cmp(g->b, IR_CMP_EQ, t, x, y) : boolean(g);

    if (g->num_exits + 2 >= TCG_MAX_EXITS)
        return;
    g->num_exits++;
    if (pick(g, 3))
        ir_exitif(g->b, IR_I16 + pick(g, 3), cond, 0x1000 + 16 * (int32_t)g->num_exits, pick(g, 2));
    else
        ir_gotoif(g->b, cond, value(g, IR_I64), 0);
}

static struct ir_block *generate(struct ir_builder *builder, uint64_t seed)
{
    static void (*const steps[])(struct gen *) = { gen_flags, gen_arith, gen_arith, gen_shape, gen_shape,
                                                   gen_state, gen_state, gen_state, gen_memory, gen_call,
                                                   gen_side_exit };
    struct gen g = { .b = builder, .seed = seed, .hot = seed % 2 };
    struct ir_block *blk = ir_start(builder);

    ir_insn_start(builder, 0, 1);
    for (unsigned r = 0; r < 4; r++)
        keep(&g, IR_I64, ir_get(builder, IR_I64, r));
    keep_fl(&g, ir_getfl(builder));
    keep_fl(&g, ir_flags(builder, IR_FL_LOGIC, IR_I64, g.pool[IR_I64][0], 0, 0));
    for (unsigned n = 1; n < STEPS; n++) {
        ir_insn_start(builder, n, 1);
        steps[pick(&g, ARRAY_LEN(steps))](&g);
    }
    for (unsigned t = 0; t < 4; t++)
        ir_put(builder, IR_I64, 8 + t, ir_zext(builder, IR_I64, value(&g, t)));
    ir_br(builder, IR_I32, boolean(&g), 0x100, false, 0x200, false);
    blk->guest_size = blk->guest_insns = STEPS;
    blk->hot = g.hot;
    blk->mmu = 1;
    return blk;
}

struct outcome {
    struct fake_env *env;
    bool faulted;
    uint32_t offset;
};

/* How a block is treated; the first is the reference. A host without a backend interprets. */
static const struct variant {
    enum tcg_engine engine;
    bool optimise;
    bool passes;     /* sinking and passes alone, without folding */
} variants[] = {
    { TCG_INTERP, false, false }, { TCG_INTERP, false, true }, { TCG_INTERP, true, false },
    { TCG_JIT, false, false },    { TCG_JIT, false, true },    { TCG_JIT, true, false },
};

static void run_random(struct outcome *o, uint64_t seed, const struct variant *how, struct log *log)
{
    struct tcg_options opt = { .engine = how->engine, .optimise = how->optimise, .verify = true,
                               .cache_size = 1 << 20 };
    struct tcg *t = tcg_new(&fake_guest, &opt, log, NULL);
    struct ir_builder *sinking;
    struct tcg_block *blk;
    struct ir_block *ir;
    uint64_t s = seed ^ 0x5555;
    unsigned exit_no;
    enum tcg_miss why;
    jmp_buf jmp;

    o->env = fake_new();
    for (unsigned r = 0; r < TCG_NUM_REGS; r++)
        o->env->reg[r] = fake_operand(&s);
    for (unsigned i = 0; i < FAKE_RAM; i++)
        o->env->ram[i] = (uint8_t)fake_random(&s);
    o->env->flags = (struct tcg_flags){ .a = fake_operand(&s), .b = 1, .op = IR_FL_ADD, .type = IR_I16 };
    o->env->bound[1] = 0xefff;
    if (seed & 1)
        fake_map(o->env, 1, seed & 2);
    o->env->fault = &jmp;
    o->env->tcg = t;
    sinking = ir_builder_new(&fake_guest, IR_SINK);
    ir = generate(how->passes ? sinking : tcg_builder(t), seed);
    if (how->passes)
        ir_opt_share(ir, &fake_guest);
    blk = tcg_translate(t, ir, false, NULL, &why);
    ir_builder_free(sinking);
    o->faulted = setjmp(jmp) != 0;
    if (o->faulted)
        o->offset = tcg_fault_offset(t, o->env, &blk);
    else
        tcg_run(t, o->env, blk, &exit_no);
    tcg_free(t);
}

static void assert_same(const struct outcome *x, const struct outcome *y, unsigned seed)
{
    ck_assert_msg(x->faulted == y->faulted && x->offset == y->offset, "seed %u: left at +%u, optimised +%u",
                  seed, x->offset, y->offset);
    ck_assert_msg(x->env->raised == y->env->raised, "seed %u: raised", seed);
    ck_assert_msg(fake_flags(x->env) == fake_flags(y->env), "seed %u: flags %x, optimised %x at +%u", seed,
                  fake_flags(x->env), fake_flags(y->env), y->offset);
    ck_assert_msg(!memcmp(x->env->reg, y->env->reg, sizeof(x->env->reg)), "seed %u: registers", seed);
    ck_assert_msg(!memcmp(x->env->field, y->env->field, sizeof(x->env->field)), "seed %u: fields", seed);
    ck_assert_msg(!memcmp(x->env->ram, y->env->ram, FAKE_RAM), "seed %u: memory", seed);
    ck_assert_uint_eq(x->env->pc, y->env->pc);
    ck_assert_uint_eq(x->env->slow_stores, y->env->slow_stores);
}

START_TEST(random_blocks)
{
    struct log log;
    unsigned faults = 0;

    log_init(&log);
    for (unsigned seed = (unsigned)_i * 300; seed < (unsigned)_i * 300 + 300; seed++) {
        struct outcome o[ARRAY_LEN(variants)] = { 0 };
        for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
            run_random(&o[v], seed, &variants[v], &log);
            assert_same(&o[0], &o[v], seed);
        }
        faults += o[0].faulted;
        for (unsigned v = 0; v < ARRAY_LEN(variants); v++)
            free(o[v].env);
    }
    ck_assert(faults > 0 && faults < 300);
}
END_TEST

Suite *ir_opt_suite(void);
Suite *ir_opt_suite(void)
{
    Suite *s = suite_create("ir_opt");
    TCase *tc = tcase_create("passes"), *rnd = tcase_create("random");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, overwritten_flags_vanish);
    tcase_add_test(tc, faulting_instructions_carry_flags);
    tcase_add_test(tc, side_exits_carry_flags);
    tcase_add_test(tc, calls_and_flags);
    tcase_add_test(tc, unchanged_flags_are_not_written);
    tcase_add_test(tc, changed_flags_are_written_back);
    tcase_add_test(tc, perhaps_changed_flags_are_written_back);
    tcase_add_loop_test(tc, increments_keep_carry, 0, 3);
    tcase_add_test(tc, increments_put_again);
    tcase_add_loop_test(tc, conditional_flags_sink, 0, 2);
    tcase_add_test(tc, conditional_flags_stay_in_order);
    tcase_add_test(tc, reading_commits_first);
    tcase_add_test(tc, overwritten_registers_vanish);
    tcase_add_test(tc, seen_registers_stay);
    tcase_add_test(tc, increments_stay_shared);
    tcase_add_test(tc, dropped_writes_are_no_constants);
    tcase_add_test(tc, dead_values_vanish);
    tcase_add_loop_test(rnd, random_blocks, 0, 8);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, rnd);
    return s;
}
