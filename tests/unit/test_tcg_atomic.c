/* ATOMIC, CAS and FENCE through both engines: results, order, slow paths, faults, two processors at once. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "tests/unit/fake_guest.h"

#define ADDR 0x2340

static struct log log_;
static jmp_buf jmp;

struct machine {
    struct tcg *t;
    struct ir_builder *b;
    struct fake_env *env;
};
static struct machine m;

static bool open_machine(struct machine *mach, bool jit)
{
    struct tcg_options opt = { .engine = jit ? TCG_JIT : TCG_INTERP, .optimise = true, .verify = true };

    if (jit && !tcg_host_native())
        return false;
    mach->t = tcg_new(&fake_guest, &opt, &log_, NULL);
    mach->b = tcg_builder(mach->t);
    mach->env = fake_new();
    mach->env->fault = &jmp;
    mach->env->tcg = mach->t;
    ir_start(mach->b);
    ir_insn_start(mach->b, 0, 1);
    return true;
}

static void close_machine(struct machine *mach)
{
    tcg_free(mach->t);
    free(mach->env);
}

static struct tcg_block *finish(struct machine *mach)
{
    struct ir_block *ir = ir_block(mach->b);
    enum tcg_miss why;

    ir_exit(mach->b, IR_I32, 4);
    ir->phys = 0x100;
    ir->guest_size = ir->guest_insns = 4;
    return tcg_translate(mach->t, ir, true, NULL, &why);
}

static void run(struct machine *mach)
{
    unsigned n;

    tcg_run(mach->t, mach->env, finish(mach), &n);
}

static ir_ref value(enum ir_type t, unsigned reg)
{
    return ir_zext(m.b, t, ir_get(m.b, IR_I64, reg));
}

/* To r3, extended. */
static void old_value(ir_ref v)
{
    ir_put(m.b, IR_I64, 3, ir_zext(m.b, IR_I64, v));
}

static uint64_t expected(unsigned kind, uint64_t old, uint64_t v)
{
    switch (kind) {
    case IR_ATOMIC_ADD: return old + v;
    case IR_ATOMIC_AND: return old & v;
    case IR_ATOMIC_OR: return old | v;
    case IR_ATOMIC_XOR: return old ^ v;
    case IR_ATOMIC_XCHG: return v;
    default: return 0 - old;
    }
}

/* r1: address, r2: operand; r3 := the old value, extended. What lies behind the unit stays. */
static void check_kind(bool jit, unsigned kind, enum ir_type t, bool mapped)
{
    uint64_t seed = 1000 * kind + t;

    for (unsigned i = 0; i < 8 && open_machine(&m, jit); i++) {
        uint64_t old = fake_operand(&seed), v = fake_operand(&seed), mask = MASK(IR_BITS(t));

        if (mapped)
            fake_map(m.env, 0, true);
        store_le(m.env->ram + ADDR + i, 8, old);
        m.env->reg[1] = ADDR + i;
        m.env->reg[2] = v;
        old_value(ir_atomic(m.b, kind, t, ir_get(m.b, IR_I64, 1), value(t, 2), 0));
        run(&m);
        ck_assert_uint_eq(m.env->reg[3], old & mask);
        ck_assert_uint_eq(load_le(m.env->ram + ADDR + i, 8), (expected(kind, old, v) & mask) | (old & ~mask));
        ck_assert_uint_eq(m.env->slow_atomics, !mapped);
        close_machine(&m);
    }
}

START_TEST(kinds)
{
    for (unsigned i = 0; i < 4; i++)
        check_kind(i & 1, (unsigned)_i / 4, (enum ir_type)(_i % 4), i & 2);
}
END_TEST

static void check_cas(bool jit, enum ir_type t, bool mapped, bool equal)
{
    uint64_t old = UINT64_C(0xfedcba9876543210), new = UINT64_C(0x0123456789abcdef), mask = MASK(IR_BITS(t));

    if (!open_machine(&m, jit))
        return;
    if (mapped)
        fake_map(m.env, 0, true);
    store_le(m.env->ram + ADDR, 8, old);
    m.env->reg[1] = ADDR;
    m.env->reg[2] = (old & mask) + (equal ? 0 : 1);
    m.env->reg[4] = new;
    old_value(ir_cas(m.b, t, ir_get(m.b, IR_I64, 1), value(t, 2), value(t, 4), 0));
    run(&m);
    ck_assert_uint_eq(m.env->reg[3], old & mask);
    ck_assert_uint_eq(load_le(m.env->ram + ADDR, 8), equal ? (new & mask) | (old & ~mask) : old);
    ck_assert_uint_eq(m.env->slow_atomics, !mapped);
    close_machine(&m);
}

START_TEST(compare_and_exchange)
{
    for (unsigned i = 0; i < 8; i++)
        check_cas(i & 1, (enum ir_type)_i, i & 2, i & 4);
}
END_TEST

/* Loads on both sides stay where they are; the operation stays though nobody looks at what it gives. */
START_TEST(order_and_effect)
{
    ir_ref a;

    if (!open_machine(&m, _i))
        return;
    fake_map(m.env, 0, true);
    a = ir_const(m.b, IR_I64, ADDR);
    ir_put(m.b, IR_I64, 1, ir_ld(m.b, IR_I64, a, 0));
    ir_atomic(m.b, IR_ATOMIC_ADD, IR_I64, a, ir_const(m.b, IR_I64, 5), 0);
    ir_put(m.b, IR_I64, 2, ir_ld(m.b, IR_I64, a, 0));
    ir_fence(m.b);
    ir_cas(m.b, IR_I64, a, ir_const(m.b, IR_I64, 5), ir_const(m.b, IR_I64, 9), 0);
    ir_put(m.b, IR_I64, 3, ir_ld(m.b, IR_I64, a, 0));
    run(&m);
    ck_assert_uint_eq(m.env->reg[1], 0);
    ck_assert_uint_eq(m.env->reg[2], 5);
    ck_assert_uint_eq(m.env->reg[3], 9);
    close_machine(&m);
}
END_TEST

/* Registers and flags written before a fault are the guest's, those written behind it are not. */
START_TEST(fault_is_precise)
{
    bool cas = _i & 2;
    unsigned n;
    ir_ref a, one;

    if (!open_machine(&m, _i & 1))
        return;
    one = ir_const(m.b, IR_I32, 1);
    ir_put(m.b, IR_I64, 1, ir_const(m.b, IR_I64, 7));
    ir_putfl(m.b, ir_flags(m.b, IR_FL_CMP, IR_I32, ir_const(m.b, IR_I32, 0), one, 0));
    ir_insn_start(m.b, 2, 2);
    a = ir_const(m.b, IR_I64, FAKE_RAM);
    if (cas)
        ir_cas(m.b, IR_I32, a, one, one, 0);
    else
        ir_atomic(m.b, IR_ATOMIC_OR, IR_I32, a, one, 0);
    ir_put(m.b, IR_I64, 1, ir_const(m.b, IR_I64, 8));
    ir_putfl(m.b, ir_flags(m.b, IR_FL_LOGIC, IR_I32, one, 0, 0));
    struct tcg_block *blk = finish(&m), *where;
    if (!setjmp(jmp)) {
        tcg_run(m.t, m.env, blk, &n);
        ck_abort_msg("no fault");
    }
    ck_assert_uint_eq(m.env->raised, FAKE_RAM);
    ck_assert_uint_eq(tcg_fault_offset(m.t, m.env, &where), 2);
    ck_assert_uint_eq(m.env->reg[1], 7);
    ck_assert_uint_eq(fake_flags(m.env), IR_CF | IR_SF | IR_AF | IR_PF);
    close_machine(&m);
}
END_TEST

/* ---- two processors ---- */

#define ROUNDS 3000
#define DENSITY 32      /* operations in a block, so that two processors meet often */

struct processor {
    struct machine m;
    pthread_barrier_t *start;
    uint64_t successes;
    pthread_t thread;
};

/* r1 := how many of the compare and exchanges at ADDR + 8 have added 1; ATOMIC adds 1 at ADDR. */
static struct tcg_block *build_hammer(struct machine *mach)
{
    struct ir_builder *b = mach->b;
    ir_ref a = ir_const(b, IR_I64, ADDR), a2 = ir_const(b, IR_I64, ADDR + 8), one = ir_const(b, IR_I64, 1);
    ir_ref done = ir_const(b, IR_I32, 0);

    for (unsigned i = 0; i < DENSITY; i++) {
        ir_ref old, seen;
        ir_atomic(b, IR_ATOMIC_ADD, IR_I64, a, one, 0);
        old = ir_ld(b, IR_I64, a2, 0);
        seen = ir_cas(b, IR_I64, a2, old, ir_bin(b, IR_ADD, IR_I64, old, one), 0);
        done = ir_bin(b, IR_ADD, IR_I32, done, ir_cmp(b, IR_CMP_EQ, IR_I64, seen, old));
    }
    ir_put(b, IR_I32, 1, done);
    return finish(mach);
}

static void *hammer(void *opaque)
{
    struct processor *p = opaque;
    struct tcg_block *blk = build_hammer(&p->m);
    unsigned n;

    pthread_barrier_wait(p->start);
    for (unsigned i = 0; i < ROUNDS; i++) {
        tcg_run(p->m.t, p->m.env, blk, &n);
        p->successes += p->m.env->reg[1];
    }
    return NULL;
}

/* One memory; both engines, together too. */
START_TEST(two_processors)
{
    struct processor p[2] = { 0 };
    pthread_barrier_t together;

    if (_i && !tcg_host_native())
        return;
    pthread_barrier_init(&together, NULL, 2);
    for (unsigned i = 0; i < 2; i++) {
        p[i].start = &together;
        open_machine(&p[i].m, _i >> i & 1);
        fake_map(p[i].m.env, 0, true);
    }
    for (unsigned i = 0; i < FAKE_RAM >> TCG_PAGE_BITS; i++)
        p[1].m.env->tlb[0][i].addend = (uintptr_t)p[0].m.env->ram;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&p[i].thread, NULL, hammer, &p[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(p[i].thread, NULL);
    pthread_barrier_destroy(&together);
    ck_assert_uint_eq(load_le(p[0].m.env->ram + ADDR, 8), 2 * ROUNDS * DENSITY);
    ck_assert_uint_eq(load_le(p[0].m.env->ram + ADDR + 8, 8), p[0].successes + p[1].successes);
    for (unsigned i = 0; i < 2; i++)
        close_machine(&p[i].m);
}
END_TEST

static void setup(void)
{
    log_init(&log_);
}

Suite *tcg_atomic_suite(void);

Suite *tcg_atomic_suite(void)
{
    Suite *s = suite_create("tcg_atomic");
    TCase *tc = tcase_create("atomic");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, kinds, 0, 4 * IR_NUM_ATOMICS);
    tcase_add_loop_test(tc, compare_and_exchange, 0, 4);
    tcase_add_loop_test(tc, order_and_effect, 0, 2);
    tcase_add_loop_test(tc, fault_is_precise, 0, 4);
    tcase_add_loop_test(tc, two_processors, 0, 4);
    suite_add_tcase(s, tc);
    return s;
}
