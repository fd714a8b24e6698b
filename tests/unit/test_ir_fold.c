/* The builder's folding, sharing and forwarding (tcg/ir_build.c, tcg/ir_fold.c). */
#include <check.h>

#include "base/bits.h"
#include "tests/unit/fake_guest.h"

static struct ir_builder *b;

static void setup(void)
{
    b = ir_builder_new(&fake_guest, IR_FOLD);
}

static void teardown(void)
{
    ir_builder_free(b);
}

static const struct ir_insn *def(ir_ref v)
{
    return &ir_block(b)->insn[v];
}

static void assert_const(ir_ref v, uint64_t value)
{
    uint64_t c = 0;

    ck_assert(ir_is_const(b, v, &c));
    ck_assert_uint_eq(c, value);
}

/* Every integer operation on constants is what ir_eval says. */
START_TEST(constants_fold)
{
    uint64_t seed = 7;

    for (unsigned n = 0; n < 20000; n++) {
        unsigned op = IR_ADD + fake_random(&seed) % (IR_ROR - IR_ADD + 1), t = fake_random(&seed) & 3;
        uint64_t x = fake_operand(&seed), y = fake_operand(&seed);
        bool shift = op >= IR_SHL, unary = op == IR_NOT || op == IR_NEG;
        ir_ref v;

        if (n % 64 == 0)
            ir_start(b);
        if (shift)
            y &= IR_BITS(t) - 1;
        v = unary ? ir_un(b, op, t, ir_const(b, t, x))
                  : ir_bin(b, op, t, ir_const(b, t, x), ir_const(b, shift ? IR_I32 : t, y));
        assert_const(v, ir_eval(op, t, 0, 0, 0, x, y, 0));
    }
}
END_TEST

START_TEST(flags_of_constants_fold)
{
    uint64_t seed = 8;

    for (unsigned n = 0; n < 20000; n++) {
        unsigned op = IR_FL_ADD + fake_random(&seed) % (IR_FL_RAW - IR_FL_ADD), t = fake_random(&seed) & 3;
        unsigned cc = fake_random(&seed) & 15;
        uint64_t v[3] = { fake_operand(&seed), fake_operand(&seed), fake_random(&seed) & 1 };
        char letter = ir_ops[op].b;
        uint32_t f;
        ir_ref fl;

        if (n % 32 == 0)
            ir_start(b);
        if (letter == '4')
            v[1] &= 1;
        fl = ir_flags(b, op, t, ir_const(b, t, v[0]),
                      letter == '-' ? 0 : ir_const(b, letter == '4' ? IR_I32 : t, v[1]),
                      ir_ops[op].c == '-' ? 0 : ir_const(b, IR_I32, v[2]));
        f = ir_flags_eval(op, t, v[0], letter == '-' ? 0 : v[1], ir_ops[op].c == '-' ? 0 : v[2]);
        assert_const(ir_cond(b, cc, fl), ir_cond_eval(cc, f));
        assert_const(ir_eflags(b, fl), f);
    }
}
END_TEST

/* The displacement of a load at x + `imm`, 0: the sum is the address. */
static uint64_t load_at(unsigned t, uint64_t imm, unsigned mem)
{
    ir_ref x = ir_get(b, t, 1), sum = ir_bini(b, IR_ADD, t, x, imm);
    const struct ir_insn *in = def(ir_ld(b, IR_I32, sum, mem));

    ck_assert_uint_eq(in->a, in->imm ? x : sum);
    ck_assert_uint_eq((uint32_t)in->imm, 0);
    return in->imm >> 32;
}

START_TEST(displacements)
{
    ir_start(b);
    ck_assert_uint_eq(load_at(IR_I64, 8, 0), 8);
    ck_assert_uint_eq(load_at(IR_I64, -(uint64_t)8, 0), (uint32_t)-8);
    ck_assert_uint_eq(load_at(IR_I64, IR_MAX_DISP, IR_MEM_SUPER), IR_MAX_DISP);
    ck_assert_uint_eq(load_at(IR_I64, IR_MAX_DISP + UINT64_C(1), 0), 0);
    ck_assert_uint_eq(load_at(IR_I64, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(load_at(IR_I64, UINT64_C(0xffffffff80000000), IR_MEM_RMW), 0x80000000);
    ck_assert_uint_eq(load_at(IR_I64, UINT64_C(0xffffffff7fffffff), 0), 0);
    ck_assert_uint_eq(load_at(IR_I32, 8, IR_MEM_STACK), 8);
    ck_assert_uint_eq(load_at(IR_I32, 0x80000000, 0), 0x80000000);
    ck_assert_uint_eq(load_at(IR_I32, UINT32_MAX, 0), UINT32_MAX);
    ck_assert_uint_eq(load_at(IR_I32, IR_MAX_DISP + UINT64_C(1), 0), 0);
    ck_assert_uint_eq(load_at(IR_I64, 16, IR_MEM_ALIGN), 0);
}
END_TEST

START_TEST(displacements_of_every_access)
{
    const struct ir_block *blk = ir_start(b);
    ir_ref x = ir_get(b, IR_I64, 1), y = ir_get(b, IR_I64, 2);
    ir_ref sum = ir_bini(b, IR_ADD, IR_I64, ir_bini(b, IR_ADD, IR_I64, x, 0x30), -(uint64_t)0x40);
    ir_ref values = ir_bin(b, IR_ADD, IR_I64, x, y), diff = ir_bin(b, IR_SUB, IR_I64, x, y);
    const struct ir_insn *in = &blk->insn[blk->num];

    ir_st(b, IR_I8, sum, ir_const(b, IR_I8, 3), 0);
    in = &blk->insn[blk->num - 1];
    ck_assert(in->op == IR_ST && in->a == x && in->imm == UINT64_C(0xfffffff0) << 32);
    ir_ldv(b, IR_V32, sum, FAKE_FIELD(2), 0);
    in = &blk->insn[blk->num - 1];
    ck_assert(in->op == IR_LDV && in->a == x && in->imm == (UINT64_C(0xfffffff0) << 32 | FAKE_FIELD(2)));
    ir_stv(b, IR_V16, sum, FAKE_FIELD(4), 0);
    in = &blk->insn[blk->num - 1];
    ck_assert(in->op == IR_STV && in->a == x && in->imm == (UINT64_C(0xfffffff0) << 32 | FAKE_FIELD(4)));
    ir_stv(b, IR_V16, sum, FAKE_FIELD(4), IR_MEM_ALIGN);
    in = &blk->insn[blk->num - 1];
    ck_assert(in->op == IR_STV && in->a == sum && in->imm == FAKE_FIELD(4));
    in = def(ir_ld(b, IR_I64, values, 0));
    ck_assert(in->a == values && !in->imm);
    in = def(ir_ld(b, IR_I64, diff, 0));
    ck_assert(in->a == diff && !in->imm);
    in = def(ir_ld(b, IR_I64, ir_const(b, IR_I64, 0x1000), 0));
    ck_assert(def(in->a)->op == IR_CONST && !in->imm);
    in = def(ir_atomic(b, IR_ATOMIC_ADD, IR_I64, sum, x, 0));
    ck_assert(in->a == sum && in->imm == IR_ATOMIC_ADD);
}
END_TEST

/* opt=off */
START_TEST(no_displacement_without_folding)
{
    ir_builder_free(b);
    b = ir_builder_new(&fake_guest, IR_PLAIN);
    ir_start(b);
    ck_assert_uint_eq(load_at(IR_I64, 8, 0), 0);
    ck_assert_uint_eq(load_at(IR_I32, 8, 0), 0);
}
END_TEST

START_TEST(identities)
{
    ir_ref x = ir_get(b, IR_I64, 1), zero = ir_const(b, IR_I64, 0), ones = ir_const(b, IR_I64, UINT64_MAX);

    ck_assert_uint_eq(ir_bin(b, IR_ADD, IR_I64, x, zero), x);
    ck_assert_uint_eq(ir_bin(b, IR_ADD, IR_I64, zero, x), x);
    ck_assert_uint_eq(ir_bin(b, IR_SUB, IR_I64, x, x), zero);
    ck_assert_uint_eq(ir_bin(b, IR_AND, IR_I64, x, zero), zero);
    ck_assert_uint_eq(ir_bin(b, IR_AND, IR_I64, ones, x), x);
    ck_assert_uint_eq(ir_bin(b, IR_OR, IR_I64, x, ones), ones);
    ck_assert_uint_eq(ir_bin(b, IR_XOR, IR_I64, x, x), zero);
    ck_assert_uint_eq(ir_un(b, IR_NOT, IR_I64, ir_un(b, IR_NOT, IR_I64, x)), x);
    ck_assert_uint_eq(ir_bini(b, IR_SHL, IR_I64, x, 0), x);
    ck_assert_uint_eq(ir_bini(b, IR_XOR, IR_I64, ir_bini(b, IR_XOR, IR_I64, x, 5), 5), x);
    ck_assert_uint_eq(ir_bini(b, IR_ADD, IR_I64, ir_bini(b, IR_SUB, IR_I64, x, 8), 8), x);
    ck_assert_uint_eq(ir_bini(b, IR_MUL, IR_I64, x, 8), ir_bini(b, IR_SHL, IR_I64, x, 3));
    ck_assert_uint_eq(ir_select(b, IR_I64, ir_const(b, IR_I32, 1), x, zero), x);
    ck_assert_uint_eq(ir_select(b, IR_I64, ir_get(b, IR_I32, 2), x, x), x);
}
END_TEST

START_TEST(chains_of_constants_meet)
{
    ir_ref x = ir_get(b, IR_I64, 4), p = x;

    for (unsigned i = 0; i < 3; i++)
        p = ir_bini(b, IR_SUB, IR_I64, p, 8);
    ck_assert_uint_eq(def(p)->a, x);
    assert_const(def(p)->b, 24);
    p = ir_bini(b, IR_ADD, IR_I64, ir_pc(b, IR_I64, 5), 0x10);
    ck_assert_uint_eq(def(p)->op, IR_PC);
    ck_assert_uint_eq(def(p)->imm, 0x15);
}
END_TEST

START_TEST(equal_values_are_shared)
{
    ir_ref x = ir_get(b, IR_I32, 1), y = ir_get(b, IR_I32, 2);

    ck_assert_uint_eq(ir_bin(b, IR_ADD, IR_I32, x, y), ir_bin(b, IR_ADD, IR_I32, x, y));
    ck_assert_uint_ne(ir_bin(b, IR_ADD, IR_I32, x, y), ir_bin(b, IR_MUL, IR_I32, x, y));
    ck_assert_uint_eq(ir_const(b, IR_I8, 0x1ff), ir_const(b, IR_I8, 0xff));
    ck_assert_uint_ne(ir_const(b, IR_I8, 1), ir_const(b, IR_I16, 1));
    ck_assert_uint_eq(ir_bin(b, IR_ADD, IR_I32, ir_const(b, IR_I32, 7), x), ir_bini(b, IR_ADD, IR_I32, x, 7));
}
END_TEST

START_TEST(sizes)
{
    ir_ref x = ir_get(b, IR_I64, 1), low = ir_zext(b, IR_I8, x), wide = ir_zext(b, IR_I64, low), m;

    ck_assert_uint_eq(def(low)->op, IR_TRUNC);
    ck_assert_uint_eq(def(wide)->op, IR_EXTRACT);
    ck_assert_uint_eq(def(wide)->imm, 8);
    ck_assert_uint_eq(ir_zext(b, IR_I8, wide), low);
    ck_assert_uint_eq(ir_bini(b, IR_AND, IR_I64, wide, 0xffff), wide);
    ck_assert_uint_eq(ir_bini(b, IR_AND, IR_I64, wide, 0x3f), ir_bini(b, IR_AND, IR_I64, x, 0x3f));
    ck_assert_uint_eq(ir_sext(b, IR_I32, ir_zext(b, IR_I16, low)), ir_zext(b, IR_I32, low));
    /* al := v; read back; ah and the whole stay apart */
    m = ir_deposit(b, IR_I64, x, 0, 8, ir_zext(b, IR_I64, ir_get(b, IR_I32, 2)));
    ck_assert_uint_eq(ir_zext(b, IR_I8, m), ir_zext(b, IR_I8, ir_get(b, IR_I32, 2)));
    ck_assert_uint_eq(ir_extract(b, IR_I64, m, 8, 8), ir_extract(b, IR_I64, x, 8, 8));
    ck_assert_uint_eq(ir_extract(b, IR_I64, ir_extract(b, IR_I64, x, 8, 16), 8, 8),
                      ir_extract(b, IR_I64, x, 16, 8));
    ck_assert_uint_eq(ir_deposit(b, IR_I64, x, 8, 8, ir_extract(b, IR_I64, x, 8, 8)), x);
    ck_assert_uint_eq(def(ir_deposit(b, IR_I64, m, 0, 16, wide))->a, x);
}
END_TEST

START_TEST(comparisons)
{
    ir_ref x = ir_get(b, IR_I32, 1), zero = ir_const(b, IR_I32, 0);
    ir_ref lt = ir_cmp(b, IR_CMP_LTS, IR_I32, x, zero), byte = ir_zext(b, IR_I32, ir_ld(b, IR_I8, x, 0));

    assert_const(ir_cmp(b, IR_CMP_LTU, IR_I32, x, zero), 0);
    assert_const(ir_cmp(b, IR_CMP_GEU, IR_I32, x, zero), 1);
    assert_const(ir_cmp(b, IR_CMP_LES, IR_I32, x, x), 1);
    ck_assert_uint_eq(ir_cmp(b, IR_CMP_NE, IR_I32, lt, zero), lt);
    ck_assert_uint_eq(ir_cmp(b, IR_CMP_EQ, IR_I32, lt, zero), ir_cmp(b, IR_CMP_GES, IR_I32, x, zero));
    ck_assert_uint_eq(ir_cmp(b, IR_CMP_GTS, IR_I32, zero, x), lt);
    ck_assert_uint_eq(ir_bini(b, IR_XOR, IR_I32, ir_bini(b, IR_XOR, IR_I32, lt, 1), 1), lt);
    ck_assert_uint_eq(ir_select(b, IR_I32, lt, ir_const(b, IR_I32, 1), zero), lt);
    ck_assert_uint_eq(def(ir_cmp(b, IR_CMP_EQ, IR_I32, byte, zero))->type, IR_I8);
}
END_TEST

START_TEST(carries)
{
    ir_ref x = ir_get(b, IR_I32, 1), y = ir_get(b, IR_I32, 2), zero = ir_const(b, IR_I32, 0);
    ir_ref c = ir_cmp(b, IR_CMP_LTU, IR_I32, x, y), o = ir_cmp(b, IR_CMP_EQ, IR_I32, x, y), fl, co, two;

    ck_assert_uint_eq(ir_tri(b, IR_ADC, IR_I32, x, y, zero), ir_bin(b, IR_ADD, IR_I32, x, y));
    ck_assert_uint_eq(ir_tri(b, IR_SBB, IR_I32, x, y, zero), ir_bin(b, IR_SUB, IR_I32, x, y));
    ck_assert_uint_eq(ir_tri(b, IR_ADC, IR_I32, zero, zero, c), c);
    ck_assert_uint_eq(ir_tri(b, IR_SBB, IR_I32, x, x, c), ir_un(b, IR_NEG, IR_I32, c));
    ck_assert_uint_eq(def(ir_tri(b, IR_ADC, IR_I32, x, zero, c))->op, IR_ADC);
    assert_const(ir_tri(b, IR_ADC, IR_I32, ir_const(b, IR_I32, 7), ir_const(b, IR_I32, 8), ir_const(b, IR_I32, 1)), 16);
    assert_const(ir_tri(b, IR_DIVU, IR_I32, ir_const(b, IR_I32, 7), ir_const(b, IR_I32, 2), ir_const(b, IR_I32, 1)),
                 0x80000003);
    assert_const(ir_tri(b, IR_REMS, IR_I64, ir_const(b, IR_I64, -(uint64_t)7), ir_const(b, IR_I64, 2), 0), UINT64_MAX);
    fl = ir_flags(b, IR_FL_ADC, IR_I32, x, y, c);
    co = ir_flags(b, IR_FL_CO, IR_I32, ir_eflags(b, fl), c, o);
    ck_assert_uint_eq(ir_cond(b, 0x2, co), c);
    ck_assert_uint_eq(ir_cond(b, 0x0, co), o);
    two = ir_flags(b, IR_FL_CO, IR_I32, ir_eflags(b, co), o, c);
    ck_assert_uint_eq(def(two)->a, def(co)->a);
    two = ir_flags(b, IR_FL_SETC, IR_I32, two, c, 0);
    ck_assert(def(two)->op == IR_FL_CO && def(two)->a == def(co)->a && def(two)->b == c && def(two)->c == c);
}
END_TEST

START_TEST(conditions_become_comparisons)
{
    ir_ref x = ir_get(b, IR_I32, 1), y = ir_get(b, IR_I32, 2), diff = ir_bin(b, IR_SUB, IR_I32, x, y);
    ir_ref carry = ir_cmp(b, IR_CMP_EQ, IR_I32, x, y), fl = ir_flags(b, IR_FL_CMP, IR_I32, x, y, 0);
    ir_ref zero = ir_const(b, IR_I32, 0), cond, inc;

    ck_assert_uint_eq(ir_cond(b, 0xc, fl), ir_cmp(b, IR_CMP_LTS, IR_I32, x, y));
    ck_assert_uint_eq(ir_cond(b, 0x7, fl), ir_cmp(b, IR_CMP_GTU, IR_I32, x, y));
    ck_assert_uint_eq(def(ir_cond(b, 0x0, fl))->op, IR_COND);
    fl = ir_flags(b, IR_FL_SUB, IR_I32, diff, y, 0);
    ck_assert_uint_eq(ir_cond(b, 0x2, fl), ir_cmp(b, IR_CMP_LTU, IR_I32, x, y));
    ck_assert_uint_eq(ir_cond(b, 0x4, fl), ir_cmp(b, IR_CMP_EQ, IR_I32, diff, zero));
    fl = ir_flags(b, IR_FL_LOGIC, IR_I32, x, 0, 0);
    ck_assert_uint_eq(ir_cond(b, 0xf, fl), ir_cmp(b, IR_CMP_GTS, IR_I32, x, zero));
    assert_const(ir_cond(b, 0x2, fl), 0);
    assert_const(ir_cond(b, 0x1, fl), 1);
    ck_assert_uint_eq(ir_cond(b, 0x8, fl), ir_cmp(b, IR_CMP_LTS, IR_I32, x, zero));
    cond = ir_cond(b, 0x4, fl);
    fl = ir_flags(b, IR_FL_SETC, IR_I32, fl, carry, 0);
    ck_assert_uint_eq(ir_cond(b, 0x2, fl), carry);
    ck_assert_uint_eq(ir_cond(b, 0x4, fl), cond);
    inc = ir_flags(b, IR_FL_INC, IR_I32, x, carry, 0);
    ck_assert_uint_eq(ir_cond(b, 0x2, inc), carry);
    fl = ir_flags(b, IR_FL_RAW, IR_I32, x, 0, 0);
    ck_assert_uint_eq(ir_cond(b, 0x4, fl), ir_extract(b, IR_I32, x, 6, 1));
    ck_assert_uint_eq(ir_eflags(b, fl), ir_bini(b, IR_AND, IR_I32, x, IR_FLAGS6));
    ck_assert_uint_eq(ir_flags(b, IR_FL_RAW, IR_I32, ir_eflags(b, inc), 0, 0), inc);
}
END_TEST

START_TEST(registers_are_forwarded)
{
    ir_ref x = ir_get(b, IR_I32, 3), v, wide;

    ir_put(b, IR_I32, 5, x);
    ck_assert_uint_eq(ir_get(b, IR_I32, 5), x);
    wide = ir_get(b, IR_I64, 5);
    ck_assert_uint_eq(def(wide)->op, IR_ZEXT);
    v = ir_get(b, IR_I64, 3);
    ck_assert_uint_eq(def(v)->op, IR_GET); /* an I32 read says nothing of the upper half */
    ir_put(b, IR_I64, 5, v);
    ck_assert_uint_eq(ir_get(b, IR_I64, 5), v);
    ck_assert_uint_eq(def(ir_get(b, IR_I32, 5))->op, IR_TRUNC);
    ir_call(b, FAKE_SET_REG0, v, 0, 0, 0);
    ck_assert_uint_ne(ir_get(b, IR_I64, 5), v);
}
END_TEST

START_TEST(flags_are_forwarded)
{
    ir_ref fl = ir_getfl(b), add;
    unsigned num;

    ck_assert_uint_eq(ir_getfl(b), fl);
    num = ir_block(b)->num;
    ir_putfl(b, fl);
    ck_assert_uint_eq(ir_block(b)->num, num);
    add = ir_flags(b, IR_FL_ADD, IR_I32, ir_get(b, IR_I32, 0), ir_get(b, IR_I32, 1), 0);
    ir_putfl(b, add);
    ck_assert_uint_eq(ir_getfl(b), add);
    ir_call(b, FAKE_WRITE_FLAGS, ir_const(b, IR_I32, 1), 0, 0, 0);
    ck_assert_uint_ne(ir_getfl(b), add);
}
END_TEST

/* What a field has already is not stored again, nor a condition trapped that has not been true. */
START_TEST(what_is_known_is_not_done)
{
    ir_ref one = ir_const(b, IR_I16, 1), bad = ir_cmp(b, IR_CMP_EQ, IR_I32, ir_get(b, IR_I32, 0), ir_get(b, IR_I32, 1));
    unsigned num;

    ir_ste(b, IR_I16, FAKE_FIELD(0) + 8, one);
    num = ir_block(b)->num;
    ir_ste(b, IR_I16, FAKE_FIELD(0) + 8, one);
    ck_assert_uint_eq(ir_block(b)->num, num);
    ir_vop(b, TCG_V_POR_Q, FAKE_FIELD(0), FAKE_FIELD(2), FAKE_FIELD(2)); /* writes 8 bytes */
    ir_ste(b, IR_I16, FAKE_FIELD(0) + 8, one);
    ck_assert_uint_eq(ir_block(b)->num, num + 1);
    ir_vop(b, TCG_V_POR, FAKE_FIELD(0), FAKE_FIELD(2), FAKE_FIELD(2));
    ir_ste(b, IR_I16, FAKE_FIELD(0) + 8, one);
    ck_assert_uint_eq(ir_block(b)->num, num + 3);
    ir_trapif(b, bad, FAKE_SET_REG0, 0);
    ir_trapif(b, bad, FAKE_SET_REG0, 0);
    ck_assert_uint_eq(ir_block(b)->num, num + 4);
    ir_start(b);
    ir_const(b, IR_I16, 1);
    ir_ste(b, IR_I16, FAKE_FIELD(0) + 8, 1);
    ck_assert_uint_eq(ir_block(b)->insn[2].op, IR_STE);
}
END_TEST

START_TEST(fields_are_forwarded)
{
    ir_ref v = ir_lde(b, IR_I64, FAKE_FIELD(0)), w;

    ck_assert_uint_eq(ir_lde(b, IR_I64, FAKE_FIELD(0)), v);
    ir_ste(b, IR_I16, FAKE_FIELD(0) + 6, ir_const(b, IR_I16, 1));
    w = ir_lde(b, IR_I64, FAKE_FIELD(0));
    ck_assert_uint_ne(w, v);
    ir_ste(b, IR_I64, FAKE_FIELD(1), v);
    ck_assert_uint_eq(ir_lde(b, IR_I64, FAKE_FIELD(1)), v);
    ck_assert_uint_eq(ir_lde(b, IR_I64, FAKE_FIELD(0)), w);
    ir_vop(b, 0, FAKE_FIELD(0), FAKE_FIELD(2), FAKE_FIELD(4));
    ck_assert_uint_ne(ir_lde(b, IR_I64, FAKE_FIELD(1)), v);
    w = ir_lde(b, IR_I64, FAKE_FIELD(3));
    ir_call(b, FAKE_SET_FIELD0, w, 0, 0, 0);
    ck_assert_uint_ne(ir_lde(b, IR_I64, FAKE_FIELD(3)), w);
}
END_TEST

START_TEST(known_branches_become_jumps)
{
    ir_br(b, IR_I32, ir_const(b, IR_I32, 0), 0x10, false, 0x20, true);
    ck_assert_uint_eq(def(1)->op, IR_CONST);
    ck_assert_uint_eq(def(2)->op, IR_GOTO);
    ck_assert_uint_eq(def(2)->imm, 0x20);
    ck_assert_uint_eq(def(2)->aux, IR_FAR(0));
}
END_TEST

/* A way out that is never taken is none, and the others are numbered without it. */
START_TEST(known_side_exits)
{
    ir_ref no = ir_const(b, IR_I32, 0), yes = ir_const(b, IR_I32, 1), pc = ir_get(b, IR_I64, 1);
    ir_ref some = ir_lde(b, IR_I32, FAKE_FIELD(0));
    unsigned from = ir_block(b)->num;

    ir_exitif(b, IR_I32, no, 0x10, false);
    ir_gotoif(b, no, pc, 0);
    ck_assert_uint_eq(ir_block(b)->num, from);
    ck_assert_uint_eq(ir_block(b)->num_exits, 0);
    ir_exitif(b, IR_I32, yes, -0x10, true);
    ir_exitif(b, IR_I64, some, 0x20, false);
    ir_gotoif(b, yes, pc, 0);
    ck_assert_uint_eq(ir_block(b)->num_exits, 2);
    ck_assert_uint_eq(def((ir_ref)from)->op, IR_EXITIF);
    ck_assert_uint_eq(def((ir_ref)from)->imm, 0xfffffff0);
    ck_assert_uint_eq(def((ir_ref)from)->aux, IR_FAR(0));
    ck_assert_uint_eq(def((ir_ref)(from + 1))->imm, 0x20 | UINT64_C(1) << 32);
    ck_assert_uint_eq(def((ir_ref)(from + 1))->aux, 0);
    ck_assert_uint_eq(def((ir_ref)(from + 2))->op, IR_GOTOIF);
    ck_assert_uint_eq(def((ir_ref)(from + 2))->b, pc);
}
END_TEST

/* What is known of registers, flags and fields before a way out holds behind it. */
START_TEST(side_exits_forget_nothing)
{
    ir_ref some = ir_lde(b, IR_I32, FAKE_FIELD(0)), x = ir_get(b, IR_I64, 1), fl = ir_getfl(b);

    ir_put(b, IR_I64, 2, x);
    ir_exitif(b, IR_I32, some, 0x10, false);
    ir_gotoif(b, some, x, 0);
    ck_assert_uint_eq(ir_get(b, IR_I64, 2), x);
    ck_assert_uint_eq(ir_get(b, IR_I64, 1), x);
    ck_assert_uint_eq(ir_getfl(b), fl);
    ck_assert_uint_eq(ir_lde(b, IR_I32, FAKE_FIELD(0)), some);
}
END_TEST

START_TEST(without_fold_nothing_is_changed)
{
    struct ir_builder *plain = ir_builder_new(&fake_guest, IR_PLAIN);
    ir_ref x = ir_get(plain, IR_I64, 1), y = ir_get(plain, IR_I64, 1);

    ck_assert_uint_ne(x, y);
    ck_assert_uint_eq(ir_block(plain)->insn[ir_bini(plain, IR_ADD, IR_I64, x, 0)].op, IR_ADD);
    ck_assert_uint_ne(ir_getfl(plain), ir_getfl(plain));
    ir_exitif(plain, IR_I32, ir_const(plain, IR_I32, 0), 0x10, false);
    ck_assert_uint_eq(ir_block(plain)->num_exits, 1);
    ir_builder_free(plain);
}
END_TEST

Suite *ir_fold_suite(void);
Suite *ir_fold_suite(void)
{
    Suite *s = suite_create("ir_fold");
    TCase *tc = tcase_create("fold");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, constants_fold);
    tcase_add_test(tc, flags_of_constants_fold);
    tcase_add_test(tc, displacements);
    tcase_add_test(tc, displacements_of_every_access);
    tcase_add_test(tc, no_displacement_without_folding);
    tcase_add_test(tc, identities);
    tcase_add_test(tc, chains_of_constants_meet);
    tcase_add_test(tc, equal_values_are_shared);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, comparisons);
    tcase_add_test(tc, conditions_become_comparisons);
    tcase_add_test(tc, carries);
    tcase_add_test(tc, registers_are_forwarded);
    tcase_add_test(tc, flags_are_forwarded);
    tcase_add_test(tc, fields_are_forwarded);
    tcase_add_test(tc, what_is_known_is_not_done);
    tcase_add_test(tc, known_branches_become_jumps);
    tcase_add_test(tc, known_side_exits);
    tcase_add_test(tc, side_exits_forget_nothing);
    tcase_add_test(tc, without_fold_nothing_is_changed);
    suite_add_tcase(s, tc);
    return s;
}
