/* The IR interpreter (tcg/interp.c) on hand-built blocks: state, memory, exits, chains, precise faults. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "tests/unit/fake_guest.h"

static struct tcg *t;
static struct ir_builder *b;
static struct fake_env *env;
static struct log log_;
static jmp_buf jmp;

static void setup(void)
{
    struct tcg_options opt = { .engine = TCG_INTERP, .optimise = true, .verify = true };

    log_init(&log_);
    t = tcg_new(&fake_guest, &opt, &log_, NULL);
    b = tcg_builder(t);
    env = fake_new();
    env->fault = &jmp;
    env->tcg = t;
}

static void teardown(void)
{
    tcg_free(t);
    free(env);
}

static void start(void)
{
    ir_start(b);
    ir_insn_start(b, 0, 1);
}

static struct tcg_block *finish(uint64_t phys)
{
    struct ir_block *ir = ir_block(b);
    enum tcg_miss why;

    ir->phys = phys;
    ir->guest_size = ir->guest_insns = 4;
    return tcg_translate(t, ir, false, NULL, &why);
}

static struct tcg_block *run(struct tcg_block *blk, unsigned *exit_no)
{
    return tcg_run(t, env, blk, exit_no);
}

/* Translate what was built, run it, ignore how it leaves. */
static void run_once(void)
{
    unsigned n;

    ir_exit(b, IR_I32, 4);
    run(finish(0), &n);
    tcg_invalidate(t, 0, 4); /* the next one has the same key */
}

START_TEST(registers_and_fields)
{
    start();
    env->reg[1] = UINT64_MAX;
    env->field[0] = 0x1122334455667788;
    ir_put(b, IR_I32, 1, ir_bini(b, IR_ADD, IR_I32, ir_get(b, IR_I32, 1), 3));
    ir_put(b, IR_I64, 2, ir_zext(b, IR_I64, ir_lde(b, IR_I16, FAKE_FIELD(0) + 2)));
    ir_ste(b, IR_I8, FAKE_FIELD(1) + 1, ir_get(b, IR_I32, 1) ? ir_const(b, IR_I8, 0xab) : 0);
    run_once();
    ck_assert_uint_eq(env->reg[1], 2);
    ck_assert_uint_eq(env->reg[2], 0x5566);
    ck_assert_uint_eq(env->field[1], 0xab00);
    ck_assert_uint_eq(env->pc, 4);
}
END_TEST

START_TEST(pc_wraps_at_its_width)
{
    unsigned n;

    env->pc = 0xfffe;
    start();
    ir_goto(b, IR_I16, 4, false);
    run(finish(0), &n);
    ck_assert_uint_eq(env->pc, 2);
    env->pc = 2;
    start();
    ir_put(b, IR_I32, 0, ir_pc(b, IR_I32, -3));
    ir_exit(b, IR_I64, -3);
    run(finish(8), &n);
    ck_assert_uint_eq(env->pc, UINT64_MAX);
    ck_assert_uint_eq(env->reg[0], UINT32_MAX);
}
END_TEST

START_TEST(fast_and_slow_memory)
{
    ir_ref a;

    fake_map(env, 0, false);
    memcpy(env->ram + 0x0ffc, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    start();
    env->reg[1] = 0xffffffff00000ffc;
    a = ir_get(b, IR_I32, 1); /* an I32 address is zero-extended */
    ir_put(b, IR_I32, 2, ir_ld(b, IR_I32, a, 0));
    run_once();
    ck_assert_uint_eq(env->reg[2], 0x04030201);
    ck_assert_uint_eq(env->slow_loads, 0);
    start();
    ir_put(b, IR_I64, 2, ir_ld(b, IR_I64, ir_get(b, IR_I32, 1), 0)); /* crosses the page */
    run_once();
    ck_assert_uint_eq(env->reg[2], 0x0807060504030201);
    ck_assert_uint_eq(env->slow_loads, 1);
    start();
    ir_st(b, IR_I16, ir_get(b, IR_I32, 1), ir_const(b, IR_I16, 0xbeef), 0); /* tag says: watched */
    run_once();
    ck_assert_uint_eq(env->slow_stores, 1);
    ck_assert_uint_eq(env->ram[0xffc] | env->ram[0xffd] << 8, 0xbeef);
}
END_TEST

START_TEST(slow_when_asked)
{
    ir_ref a;

    fake_map(env, 0, true);
    start();
    a = ir_get(b, IR_I64, 1);
    ir_ld(b, IR_I8, a, IR_MEM_SUPER);
    ir_ldv(b, IR_V16, ir_bini(b, IR_ADD, IR_I64, a, 8), FAKE_FIELD(0), IR_MEM_ALIGN);
    ir_ldv(b, IR_V16, ir_bini(b, IR_ADD, IR_I64, a, 16), FAKE_FIELD(2), IR_MEM_ALIGN);
    ir_stv(b, IR_V16, ir_bini(b, IR_ADD, IR_I64, a, 0xff1), FAKE_FIELD(2), 0); /* crosses */
    run_once();
    ck_assert_uint_eq(env->slow_loads, 2);
    ck_assert_uint_eq(env->slow_stores, 1);
    fake_map(env, 0, false);
    start();
    ir_ld(b, IR_I8, ir_get(b, IR_I64, 1), IR_MEM_RMW); /* checked for writing */
    run_once();
    ck_assert_uint_eq(env->slow_loads, 3);
}
END_TEST

/* The address and its displacement are cut to the address's width: a slow access to what it gives faults or not. */
static bool reaches(unsigned type, uint64_t base, uint64_t disp, uint64_t *value)
{
    unsigned n;
    ir_ref sum;

    env->reg[1] = base;
    start();
    sum = ir_bini(b, IR_ADD, type, ir_get(b, type, 1), disp);
    ir_put(b, IR_I64, 2, ir_zext(b, IR_I64, ir_ld(b, IR_I16, sum, 0)));
    ck_assert(ir_block(b)->insn[ir_block(b)->num - 3].imm == disp << 32);
    ir_exit(b, IR_I32, 4);
    if (setjmp(jmp)) {
        *value = env->raised;
        tcg_fault_offset(t, env, &(struct tcg_block *){ NULL });
        tcg_invalidate(t, 0, 4);
        return false;
    }
    run(finish(0), &n);
    tcg_invalidate(t, 0, 4);
    *value = env->reg[2];
    return true;
}

START_TEST(displacements_wrap)
{
    uint64_t v;

    env->ram[0x18] = 0x34;
    env->ram[0x19] = 0x12;
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        ck_assert(reaches(IR_I32, 0xfffffff8, 0x20, &v) && v == 0x1234);
        ck_assert(reaches(IR_I32, UINT64_C(0x55fffffff8), 0x20, &v) && v == 0x1234);
        ck_assert(reaches(IR_I32, UINT64_C(0x5500000020), UINT64_C(-8), &v) && v == 0x1234);
        ck_assert(reaches(IR_I64, -(uint64_t)8, 0x20, &v) && v == 0x1234);
        ck_assert(reaches(IR_I64, 0x20, -(uint64_t)8, &v) && v == 0x1234);
        ck_assert(!reaches(IR_I64, 0xfffffff8, 0x20, &v) && v == UINT64_C(0x100000018));
        ck_assert(!reaches(IR_I64, 8, -(uint64_t)0x10, &v) && v == -(uint64_t)8);
        ck_assert(!reaches(IR_I32, 8, -(uint64_t)0x10, &v) && v == 0xfffffff8);
        fake_map(env, 0, true);
    }
}
END_TEST

START_TEST(vector_displacements)
{
    fake_map(env, 0, false);
    for (unsigned i = 0; i < 16; i++)
        env->ram[0x1000 + i] = (uint8_t)(i + 1);
    env->reg[1] = 0xffffffff00000ff0;
    start();
    ir_ldv(b, IR_V16, ir_bini(b, IR_ADD, IR_I32, ir_get(b, IR_I32, 1), 0x10), FAKE_FIELD(2), 0);
    ir_stv(b, IR_V16, ir_bini(b, IR_ADD, IR_I32, ir_get(b, IR_I32, 1), 0x1010), FAKE_FIELD(2), 0);
    run_once();
    ck_assert_mem_eq(&env->field[2], env->ram + 0x1000, 16);
    ck_assert_mem_eq(env->ram + 0x2000, env->ram + 0x1000, 16);
    ck_assert_uint_eq(env->slow_stores, 1);
}
END_TEST

START_TEST(helpers_get_extended_arguments)
{
    ir_ref wide;

    env->reg[1] = UINT64_MAX;
    start();
    wide = ir_get(b, IR_I64, 1);
    ir_put(b, IR_I64, 2, ir_call(b, FAKE_FOUR, wide, ir_zext(b, IR_I32, wide), ir_const(b, IR_I64, 1),
                                 ir_bini(b, IR_ADD, IR_I32, ir_zext(b, IR_I32, wide), 2)));
    run_once();
    ck_assert_uint_eq(env->reg[2], UINT64_MAX ^ (UINT64_C(0xffffffff) << 1) ^ 4 ^ 8);
}
END_TEST

/* r1 counts down to 0; the block is chained to itself. */
static struct tcg_block *counting_loop(void)
{
    ir_ref res;

    start();
    res = ir_bini(b, IR_SUB, IR_I32, ir_get(b, IR_I32, 1), 1);
    ir_put(b, IR_I32, 1, res);
    ir_putfl(b, ir_flags(b, IR_FL_SUB, IR_I32, res, ir_const(b, IR_I32, 1), 0));
    ir_br(b, IR_I32, ir_cond(b, 5, ir_getfl(b)), 0, false, 4, false);
    return finish(0x100);
}

START_TEST(chained_loop)
{
    struct tcg_block *loop = counting_loop();
    unsigned n = 9;

    env->reg[1] = 10;
    ck_assert_ptr_eq(run(loop, &n), loop);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(env->reg[1], 9);
    tcg_chain(t, loop, 0, loop);
    ck_assert_ptr_eq(run(loop, &n), loop);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(env->reg[1], 0);
    ck_assert_uint_eq(env->pc, 4);
    ck_assert_uint_eq(fake_flags(env), IR_ZF | IR_PF);
}
END_TEST

START_TEST(exit_request_stops_at_entry)
{
    struct tcg_block *loop = counting_loop();
    unsigned n;

    env->reg[1] = 10;
    env->exit_request = 1;
    ck_assert_ptr_null(run(loop, &n));
    ck_assert_uint_eq(env->reg[1], 10);
}
END_TEST

START_TEST(look_up_goes_through_the_jump_cache)
{
    struct tcg_block *first, *second;
    unsigned n;

    start();
    ir_put(b, IR_I64, 2, ir_const(b, IR_I64, 7));
    ir_exit(b, IR_I32, 1);
    second = finish(0x200);
    start();
    ir_gotoi(b, ir_get(b, IR_I64, 1), 0);
    first = finish(0x100);
    env->reg[1] = 0x5000;
    env->code_base = 0x10000;
    env->key = 3;
    ck_assert_ptr_null(run(first, &n));
    ck_assert_uint_eq(env->pc, 0x5000);
    ck_assert_uint_eq(env->reg[2], 0);
    env->jump[tcg_jump_slot(0x15000)] =
        (struct tcg_jump_entry){ .pc = 0x15000, .key = 3, .code = second };
    run(first, &n);
    ck_assert_uint_eq(env->reg[2], 7);
    env->reg[2] = 0;
    env->key = 4;
    run(first, &n);
    ck_assert_uint_eq(env->reg[2], 0);
}
END_TEST

START_TEST(far_exit_is_looked_up)
{
    struct tcg_block *blk;
    unsigned n;

    start();
    ir_goto(b, IR_I32, 0x40, true);
    blk = finish(0x100);
    ck_assert_ptr_null(run(blk, &n));
    ck_assert_uint_eq(env->pc, 0x40);
}
END_TEST

/* Register 1 is decremented and its flags are pending; ways out 0 at 0, 1 (far) at 1, a GOTOIF to register 2 at 2. */
static struct tcg_block *side_exits(void)
{
    ir_ref res, one = 0, fl;

    start();
    one = ir_const(b, IR_I32, 1);
    res = ir_bin(b, IR_SUB, IR_I32, ir_get(b, IR_I32, 1), one);
    ir_put(b, IR_I32, 1, res);
    fl = ir_flags(b, IR_FL_SUB, IR_I32, res, one, 0);
    ir_putfl(b, fl);
    ir_exitif(b, IR_I32, ir_cmp(b, IR_CMP_EQ, IR_I32, res, ir_const(b, IR_I32, 0)), 0x10, false);
    ir_put(b, IR_I64, 9, ir_const(b, IR_I64, 1));
    ir_exitif(b, IR_I16, ir_cmp(b, IR_CMP_EQ, IR_I32, res, ir_const(b, IR_I32, 1)), -0x10, true);
    ir_put(b, IR_I64, 9, ir_const(b, IR_I64, 2));
    ir_gotoif(b, ir_cmp(b, IR_CMP_EQ, IR_I32, res, ir_const(b, IR_I32, 2)), ir_get(b, IR_I64, 2), 0);
    ir_put(b, IR_I64, 9, ir_const(b, IR_I64, 3));
    ir_putfl(b, ir_flags(b, IR_FL_LOGIC, IR_I32, one, 0, 0));
    ir_br(b, IR_I32, ir_cmp(b, IR_CMP_EQ, IR_I32, res, ir_const(b, IR_I32, 3)), 0x20, false, 0x30, false);
    return finish(0x200);
}

START_TEST(side_exits_leave)
{
    static const struct { unsigned no; uint64_t pc, r9; uint32_t fl; } expect[] = {
        { 0, 0x10, 0, IR_ZF | IR_PF }, { 0, 0xfff0, 1, 0 }, { 0, UINT64_C(0xffff800000001234), 2, 0 },
        { 2, 0x20, 3, 0 }, { 3, 0x30, 3, 0 },
    };
    struct tcg_block *blk = side_exits(), *loop = counting_loop(), *target;
    unsigned n;

    ck_assert_uint_eq(blk->num_exits, 4);
    for (unsigned i = 0; i < ARRAY_LEN(expect); i++) {
        env->pc = env->reg[9] = 0;
        env->reg[1] = UINT64_C(0xabc00000000) + i + 1;
        env->reg[2] = UINT64_C(0xffff800000001234);
        target = run(blk, &n);
        ck_assert_ptr_eq(target, i == 1 || i == 2 ? NULL : blk);
        ck_assert(!target || n == expect[i].no);
        ck_assert_uint_eq(env->pc, expect[i].pc);
        ck_assert_uint_eq(env->reg[9], expect[i].r9);
        ck_assert_uint_eq(env->reg[1], i);
        ck_assert_uint_eq(fake_flags(env), expect[i].fl);
    }
    /* Chained, and through the jump cache. */
    tcg_chain(t, blk, 0, loop);
    env->reg[1] = 1;
    ck_assert_ptr_eq(run(blk, &n), loop);
    ck_assert_uint_eq(env->reg[1], UINT32_MAX);
    env->pc = env->reg[1] = 3;
    env->reg[2] = 0x5000;
    env->jump[tcg_jump_slot(0x5000)] = (struct tcg_jump_entry){ .pc = 0x5000, .code = loop };
    ck_assert_ptr_eq(run(blk, &n), loop);
    ck_assert_uint_eq(env->reg[1], 1);
    ck_assert_uint_eq(env->pc, 0x5000);
}
END_TEST

/* add r1, r2; load faults: the sum and its flags are committed, the later write is not. */
START_TEST(fault_is_precise)
{
    struct tcg_block *blk, *where = NULL;
    ir_ref sum;
    unsigned n;

    start();
    sum = ir_bin(b, IR_ADD, IR_I8, ir_zext(b, IR_I8, ir_get(b, IR_I64, 1)), ir_const(b, IR_I8, 1));
    ir_put(b, IR_I64, 1, ir_zext(b, IR_I64, sum));
    ir_putfl(b, ir_flags(b, IR_FL_ADD, IR_I8, sum, ir_const(b, IR_I8, 1), 0));
    ir_insn_start(b, 2, 3);
    ir_ld(b, IR_I32, ir_get(b, IR_I64, 3), 0);
    ir_insn_start(b, 5, 2);
    ir_putfl(b, ir_flags(b, IR_FL_LOGIC, IR_I64, ir_get(b, IR_I64, 3), 0, 0));
    ir_put(b, IR_I64, 1, ir_const(b, IR_I64, 99));
    ir_exit(b, IR_I32, 7);
    blk = finish(0x100);
    env->reg[1] = 0xff;
    env->reg[3] = FAKE_RAM;
    if (!setjmp(jmp)) {
        run(blk, &n);
        ck_abort_msg("no fault");
    }
    ck_assert_ptr_eq(tcg_current(t, env), blk);
    ck_assert_uint_eq(tcg_fault_offset(t, env, &where), 2);
    ck_assert_ptr_eq(where, blk);
    ck_assert_ptr_null(tcg_current(t, env));
    ck_assert_uint_eq(env->reg[1], 0);
    ck_assert_uint_eq(fake_flags(env), IR_ZF | IR_PF | IR_AF | IR_CF);
    ck_assert_uint_eq(env->pc, 0);
}
END_TEST

START_TEST(old_flags_survive_a_commit)
{
    ir_ref old;

    env->flags = (struct tcg_flags){ .a = IR_CF | IR_OF, .op = IR_FL_RAW, .type = IR_I32 };
    start();
    old = ir_getfl(b);
    ir_putfl(b, ir_flags(b, IR_FL_LOGIC, IR_I32, ir_get(b, IR_I32, 1), 0, 0));
    ir_put(b, IR_I32, 2, ir_call(b, FAKE_READ_FLAGS, 0, 0, 0, 0));
    ir_put(b, IR_I32, 3, ir_eflags(b, old));
    ir_putfl(b, ir_flags(b, IR_FL_SETC, IR_I32, old, ir_const(b, IR_I32, 0), 0));
    run_once();
    ck_assert_uint_eq(env->reg[2], IR_ZF | IR_PF);
    ck_assert_uint_eq(env->reg[3], IR_CF | IR_OF);
    ck_assert_uint_eq(fake_flags(env), IR_OF);
}
END_TEST

static uint32_t bound_trips(uint64_t addr, unsigned size)
{
    unsigned n;
    struct tcg_block *blk;

    start();
    ir_insn_start(b, 6, 1);
    ir_bound(b, ir_get(b, IR_I32, 1), offsetof(struct fake_env, bound), size, FAKE_RAISE_AT, 5);
    ir_exit(b, IR_I32, 7);
    blk = finish(0x100);
    env->reg[1] = addr;
    if (!setjmp(jmp)) {
        run(blk, &n);
        return 0;
    }
    ck_assert_uint_eq(env->raised, (uint32_t)addr << 16 | 5);
    return tcg_fault_offset(t, env, &blk);
}

START_TEST(bounds)
{
    env->bound[0] = 0x10;
    env->bound[1] = 0x1f;
    ck_assert_uint_eq(bound_trips(0x10, 4), 0);
    ck_assert_uint_eq(bound_trips(0xffffffff0000001c, 4), 0);
    ck_assert_uint_eq(bound_trips(0x1d, 4), 6);
    ck_assert_uint_eq(bound_trips(0x0f, 1), 6);
    ck_assert_uint_eq(bound_trips(0x20, 1), 6);
}
END_TEST

START_TEST(vectors)
{
    uint8_t *field = (uint8_t *)env->field;

    memset(field, 0x0f, 16);
    memset(field + 16, 0x35, 16);
    start();
    ir_vop(b, 0, FAKE_FIELD(0), FAKE_FIELD(0), FAKE_FIELD(2));
    run_once();
    uint8_t a[16], c[16], d[16];
    memset(a, 0x0f, 16);
    memset(c, 0x35, 16);
    tcg_vops[0].fn(d, a, c);
    ck_assert_mem_eq(field, d, 16);
}
END_TEST

Suite *tcg_interp_suite(void);
Suite *tcg_interp_suite(void)
{
    Suite *s = suite_create("tcg_interp");
    TCase *tc = tcase_create("interp");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, registers_and_fields);
    tcase_add_test(tc, pc_wraps_at_its_width);
    tcase_add_test(tc, fast_and_slow_memory);
    tcase_add_test(tc, slow_when_asked);
    tcase_add_test(tc, displacements_wrap);
    tcase_add_test(tc, vector_displacements);
    tcase_add_test(tc, helpers_get_extended_arguments);
    tcase_add_test(tc, chained_loop);
    tcase_add_test(tc, exit_request_stops_at_entry);
    tcase_add_test(tc, look_up_goes_through_the_jump_cache);
    tcase_add_test(tc, far_exit_is_looked_up);
    tcase_add_test(tc, side_exits_leave);
    tcase_add_test(tc, fault_is_precise);
    tcase_add_test(tc, old_flags_survive_a_commit);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, vectors);
    suite_add_tcase(s, tc);
    return s;
}
