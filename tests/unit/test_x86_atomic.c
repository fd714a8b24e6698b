/* x86-64 backend: atomic operations, of every kind, width and way to memory, and by two threads at once. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/x86_fixture.h"

/* Kinds of IR_ATOMIC, then CAS. */
enum { CAS = IR_NUM_ATOMICS, NUM_OPS };

static const uint64_t addresses[] = {
    BT_BASE + 0x100, BT_BASE + 0x103, /* direct */
    BT_BASE + 0x2100,                 /* read-only in the TLB */
    BT_BASE + 0x1100,                 /* not in it */
    BT_BASE + 0xfff,                  /* may cross a page */
};
static const uint64_t operands[] = { 0, 1, 0x80, 0xff, 0x8000, 0x7fffffff, 0x80000000, UINT64_C(1) << 63,
                                     UINT64_C(0x123456789abcdef0), ~UINT64_C(0) };

static ir_ref operation(unsigned op, unsigned t, ir_ref addr, ir_ref b, ir_ref c)
{
    return op == CAS ? bt_add(IR_CAS, t, addr, b, c, 0) : bt_add(IR_ATOMIC, t, addr, b, 0, op);
}

/* A narrow value with rubbish above its width. */
static ir_ref dirty(unsigned t, unsigned field)
{
    ir_ref v = bt_field(IR_I64, field);

    return t == IR_I64 ? v : bt_add(IR_TRUNC, t, v, 0, 0, 0);
}

/* Flags pend over it, guest registers change around it; its result is looked at, or not. */
static void build(unsigned op, unsigned t, uint64_t addr, bool used, bool constant, uint64_t value)
{
    ir_ref a, b, c, fl, v;

    bt_ir.num = 1;
    bt_add(IR_INSN, IR_I64, 0, 0, 0, UINT64_C(1) << 32);
    fl = bt_add(IR_FL_SUB, IR_I32, dirty(IR_I32, 3), dirty(IR_I32, 4), 0, 0);
    a = constant ? bt_const(IR_I32, addr) : dirty(IR_I32, 5);
    b = constant ? bt_const(t, value) : dirty(t, 0);
    c = dirty(t, 1);
    bt_add(IR_PUT, IR_I64, bt_field(IR_I64, 6), 0, 0, 1);
    bt_add(IR_INSN, IR_I64, 0, 0, 0, 7 | UINT64_C(1) << 32);
    v = operation(op, t, a, b, c);
    bt_code[v].fl = fl;
    if (used) {
        bt_set_field(t, 2, v);
        if (t >= IR_I32)
            bt_add(IR_PUT, t, v, 0, 0, 3);
    }
    bt_set_field(IR_I32, 7, bt_add(IR_EFLAGS, IR_I32, fl, 0, 0, 0)); /* operands are what they were */
    bt_set_field(t, 8, b);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
}

static void run_one(uint64_t addr, uint64_t value, uint64_t desired, uint64_t seed)
{
    struct bt_env *env[2] = { bt_jit, bt_reader };
    struct tcg_block blk;

    bt_compile(&blk);
    for (unsigned i = 0; i < 2; i++) {
        bt_reset(env[i], seed);
        env[i]->field[0] = value;
        env[i]->field[1] = desired;
        env[i]->field[5] = addr | UINT64_C(0xabcd) << 32;
        if (seed & 1)
            memcpy(env[i]->mem + addr % BT_MEM_SIZE, &value, 8); /* equal */
    }
    bt_run(&blk);
    bt_read(bt_reader);
    bt_compare((unsigned long)seed);
    bt_buf.at = (uint8_t *)(uintptr_t)blk.code;
}

START_TEST(every_kind)
{
    unsigned op = (unsigned)_i / 4, t = (unsigned)_i % 4;

    for (unsigned i = 0; i < ARRAY_LEN(addresses) * ARRAY_LEN(operands) * 8; i++) {
        uint64_t addr = addresses[i / 8 % ARRAY_LEN(addresses)];
        uint64_t value = operands[i / 8 / ARRAY_LEN(addresses)];

        build(op, t, addr, i & 1, i & 2, value);
        run_one(addr, value, ~value, i >> 2);
    }
}
END_TEST

/* Everything lives on behind it: all temporaries are taken. */
START_TEST(under_pressure)
{
    unsigned op = (unsigned)_i / 4, t = (unsigned)_i % 4;
    ir_ref live[24], v;

    bt_ir.num = 1;
    for (unsigned i = 0; i < ARRAY_LEN(live); i++)
        live[i] = dirty(t, i % NUM_FIELDS);
    for (unsigned i = 0; i < 8; i++) {
        ir_ref a = bt_const(IR_I64, BT_BASE + 0x200 + 0xffe * i);
        v = operation(op, t, a, live[i], live[i + 8]);
        bt_set_field(t, i, v);
        live[i] = bt_add(IR_ADD, t, v, live[i + 16], 0, 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(live); i++)
        bt_set_field(t, i % NUM_FIELDS, bt_add(IR_XOR, t, live[i], bt_field(t, i % NUM_FIELDS), 0, 0));
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    for (uint64_t seed = 0; seed < 8; seed++)
        bt_run_both(seed);
}
END_TEST

START_TEST(fence_is_a_full_barrier)
{
    static const uint8_t locked_or[] = { 0xf0, 0x83, 0x4c, 0x24 };
    struct tcg_block blk;

    bt_ir.num = 1;
    bt_add(IR_FENCE, IR_I64, 0, 0, 0, 0);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(&blk);
    ck_assert_ptr_nonnull(memmem(blk.code, blk.code_size, locked_or, sizeof(locked_or)));
    bt_reset(bt_jit, 1);
    bt_run(&blk);
}
END_TEST

/* ---- two threads ---- */

#define ROUNDS 10000
#define DENSITY 64      /* operations in a block, so that two threads meet often */
#define PLACE 0x340

struct runner {
    struct bt_env *env;
    const void *code;
    pthread_barrier_t *start;
    uint64_t sum;       /* of field 2 after each round */
    pthread_t thread;
};

static void *run_rounds(void *opaque)
{
    struct runner *r = opaque;

    pthread_barrier_wait(r->start);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bt_host->enter(bt_state, r->env, r->code);
        r->sum += r->env->field[2];
    }
    return NULL;
}

/* Both environments get one memory and their own operands. */
static void race(struct runner r[2], const struct tcg_block *blk, uint64_t start, uint64_t first,
                 uint64_t second)
{
    pthread_barrier_t together;

    pthread_barrier_init(&together, NULL, 2);
    bt_reset(bt_jit, 1);
    bt_reset(bt_reader, 1);
    memcpy(bt_reader->tlb, bt_jit->tlb, sizeof(bt_jit->tlb));
    memcpy(bt_jit->mem + PLACE, &start, 8);
    r[0] = (struct runner){ .env = bt_jit, .code = blk->code, .start = &together };
    r[1] = (struct runner){ .env = bt_reader, .code = blk->code, .start = &together };
    bt_jit->field[0] = first;
    bt_reader->field[0] = second;
    bt_jit->field[2] = bt_reader->field[2] = 0;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&r[i].thread, NULL, run_rounds, &r[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(r[i].thread, NULL);
    pthread_barrier_destroy(&together);
}

/* Field 2: the sum of the old values. */
static void many_operations(struct tcg_block *blk, unsigned op, unsigned t, bool used)
{
    bt_ir.num = 1;
    ir_ref b = bt_field(t, 0), a = bt_const(IR_I64, BT_BASE + PLACE), sum = bt_const(IR_I64, 0);
    for (unsigned i = 0; i < DENSITY; i++) {
        ir_ref v = bt_add(IR_ATOMIC, t, a, b, 0, op);
        if (used)
            sum = bt_add(IR_ADD, IR_I64, sum, t == IR_I64 ? v : bt_add(IR_ZEXT, IR_I64, v, 0, 0, 0), 0, 0);
    }
    bt_set_field(IR_I64, 2, sum);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(blk);
}

static uint64_t shared(unsigned t)
{
    return load_le(bt_jit->mem + PLACE, IR_BYTES(t));
}

/* No addition is lost, and each of them saw another old value. */
START_TEST(additions_add_up)
{
    unsigned t = (unsigned)_i / 2, used = (unsigned)_i % 2;
    const uint64_t n = UINT64_C(2) * ROUNDS * DENSITY;
    struct tcg_block blk;
    struct runner r[2];

    many_operations(&blk, IR_ATOMIC_ADD, t, used);
    race(r, &blk, 0, 1, 1);
    ck_assert_uint_eq(shared(t), n & MASK(IR_BITS(t)));
    if (used && t >= IR_I32)
        ck_assert_uint_eq(r[0].sum + r[1].sum, n * (n - 1) / 2);
}
END_TEST

/* Each thread inverts its own bits of one unit, an even number of times. */
START_TEST(bits_stay_apart)
{
    unsigned t = (unsigned)_i / 2, used = (unsigned)_i % 2;
    const uint64_t start = UINT64_C(0xa5c3a5c3a5c3a5c3);
    struct tcg_block blk;
    struct runner r[2];

    many_operations(&blk, IR_ATOMIC_XOR, t, used);
    race(r, &blk, start, UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0xf0f0f0f0f0f0f0f0));
    ck_assert_uint_eq(shared(t), start & MASK(IR_BITS(t)));
}
END_TEST

/* Two negations are nothing. */
START_TEST(negations)
{
    struct tcg_block blk;
    struct runner r[2];

    many_operations(&blk, IR_ATOMIC_NEG, IR_I32, _i);
    race(r, &blk, 12345, 0, 0);
    ck_assert_uint_eq(shared(IR_I32), 12345);
}
END_TEST

/* A loop of compare and exchange that adds: the sum of all successes is in memory. */
START_TEST(compare_and_exchange_adds)
{
    unsigned t = (unsigned)_i;
    struct tcg_block blk;
    struct runner r[2];

    bt_ir.num = 1;
    ir_ref a = bt_const(IR_I64, BT_BASE + PLACE), b = bt_field(t, 0), done = bt_const(IR_I32, 0);
    for (unsigned i = 0; i < DENSITY; i++) {
        ir_ref old = bt_add(IR_LD, t, a, 0, 0, 0), sum = bt_add(IR_ADD, t, old, b, 0, 0);
        ir_ref seen = bt_add(IR_CAS, t, a, old, sum, 0);
        done = bt_add(IR_ADD, IR_I32, done, bt_add(IR_CMP, t, seen, old, 0, 0), 0, 0); /* cc 0: EQ */
    }
    bt_set_field(IR_I32, 2, done);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(&blk);
    race(r, &blk, 0, 1, 3);
    ck_assert_uint_gt(r[0].sum, 0);
    ck_assert_uint_gt(r[1].sum, 0);
    ck_assert_uint_eq(shared(t), (r[0].sum + 3 * r[1].sum) & MASK(IR_BITS(t)));
}
END_TEST

Suite *x86_atomic_suite(void);

Suite *x86_atomic_suite(void)
{
    Suite *s = suite_create("x86_atomic");
    TCase *t = tcase_create("atomic");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, bt_setup, bt_teardown);
    tcase_add_loop_test(t, every_kind, 0, 4 * NUM_OPS);
    tcase_add_loop_test(t, under_pressure, 0, 4 * NUM_OPS);
    tcase_add_test(t, fence_is_a_full_barrier);
    tcase_add_loop_test(t, additions_add_up, 0, 8);
    tcase_add_loop_test(t, bits_stay_apart, 0, 8);
    tcase_add_loop_test(t, negations, 0, 2);
    tcase_add_loop_test(t, compare_and_exchange_adds, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
