/* x86-64 backend: ways out of a block. */
#include <check.h>

#include "tests/unit/x86_fixture.h"

/* The pc field is that of the page while blocks run: what enters gives it so, what leaves makes it the pc. */
static void goto_block(struct tcg_block *blk, uint16_t page_off, unsigned ip, int32_t delta, unsigned aux,
                       unsigned reg)
{
    bt_ir.num = 1;
    bt_ir.page_off = page_off;
    ir_ref v = bt_add(IR_GET, IR_I64, 0, 0, 0, reg);
    v = bt_add(IR_ADD, IR_I64, v, bt_const(IR_I64, 1), 0, 0);
    bt_add(IR_PUT, IR_I64, v, 0, 0, reg);
    ir_ref j = bt_add(IR_GOTO, ip, 0, 0, 0, (uint32_t)delta);
    bt_code[j].aux = (uint8_t)aux;
    bt_compile(blk);
    bt_ir.page_off = 0;
}

static uintptr_t enter_at(const struct tcg_block *blk, uint64_t pc)
{
    bt_jit->pc = pc - blk->page_off;
    return bt_enter(bt_jit, blk->code);
}

START_TEST(test_chaining)
{
    struct tcg_block a __attribute__((aligned(16))), b __attribute__((aligned(16)));

    goto_block(&a, 100, IR_I32, 16, 0, 0);
    goto_block(&b, 116, IR_I32, -8, 0, 9);
    bt_reset(bt_jit, 1);
    bt_jit->gpr[0] = bt_jit->gpr[9] = 0;
    ck_assert_uint_le(((uintptr_t)a.code + a.exit[0].jump_at) % 8, 3);
    ck_assert_uint_eq(enter_at(&a, 100), (uintptr_t)&a);
    bt_host->link(bt_state, &a, 0, b.code);
    ck_assert_uint_eq(enter_at(&a, 100), (uintptr_t)&b);
    ck_assert_uint_eq(bt_jit->pc, 108);
    ck_assert_uint_eq(bt_jit->gpr[0], 2);
    ck_assert_uint_eq(bt_jit->gpr[9], 1);
    bt_host->link(bt_state, &a, 0, NULL);
    ck_assert_uint_eq(enter_at(&a, 0xfffffff8), (uintptr_t)&a);
    ck_assert_uint_eq(bt_jit->pc, 8);
    bt_host->link(bt_state, &a, 0, b.code);
    bt_host->close(bt_state, &b);
    ck_assert_uint_eq(enter_at(&a, 100), 0);
    ck_assert_uint_eq(bt_jit->pc, 116);
    ck_assert_uint_eq(bt_jit->gpr[9], 1);
    bt_jit->exit_request = 1;
    ck_assert_uint_eq(enter_at(&a, 100), 0);
    ck_assert_uint_eq(bt_jit->pc, 100);
    ck_assert_uint_eq(bt_jit->gpr[0], 4);
}
END_TEST

static void cache_entry(uint64_t pc, uint64_t key, const struct tcg_block *blk)
{
    bt_jit->jump_cache[tcg_jump_slot(pc)] =
        (struct tcg_jump_entry){ .pc = pc, .key = key, .code = blk->code };
}

START_TEST(test_lookup)
{
    struct tcg_block a __attribute__((aligned(16))), b __attribute__((aligned(16)));

    goto_block(&a, 0xff8, IR_I16, 0x10, IR_FAR(0), 3);
    goto_block(&b, 0x008, IR_I64, 4, 0, 10);
    ck_assert_uint_eq(a.exit[0].jump_at, 0);
    bt_reset(bt_jit, 1);
    bt_jit->gpr[10] = 0;
    bt_jit->code_base = 0x123000;
    ck_assert_uint_eq(enter_at(&a, 0xfff8), 0);
    ck_assert_uint_eq(bt_jit->pc, 8);
    cache_entry(0x123008, 5, &b);
    ck_assert_uint_eq(enter_at(&a, 0xfff8), (uintptr_t)&b);
    ck_assert_uint_eq(bt_jit->pc, 12);
    ck_assert_uint_eq(bt_jit->gpr[10], 1);
    cache_entry(0x123008, 6, &b);
    ck_assert_uint_eq(enter_at(&a, 0xfff8), 0);
    cache_entry(0x123008, UINT64_C(0x100000005), &b);
    ck_assert_uint_eq(enter_at(&a, 0xfff8), 0);
}
END_TEST

/* To other pages, upwards and downwards, by every width of pc, which wraps. */
START_TEST(test_far_exits)
{
    static const struct { uint8_t ip; uint64_t from; int32_t delta; uint64_t to; } way[] = {
        { IR_I16, 0xfff8, 0x10, 8 }, { IR_I16, 0x8, -0x10, 0xfff8 }, { IR_I32, 0xfffffff8, 0x7fffffff, 0x7ffffff7 },
        { IR_I32, 0x10, -0x18, 0xfffffff8 }, { IR_I64, UINT64_C(0x7fff00000ff8), 0x10, UINT64_C(0x7fff00001008) },
        { IR_I64, UINT64_C(0xffffffff80000000), -0x1000, UINT64_C(0xffffffff7ffff000) },
        { IR_I64, 0x7ffff00c, INT32_MIN, UINT64_C(0xfffffffffffff00c) },
    };
    struct tcg_block a __attribute__((aligned(64)));

    bt_ir.hot = _i >= (int)ARRAY_LEN(way);
    _i %= (int)ARRAY_LEN(way);
    goto_block(&a, way[_i].from & 0xfff, way[_i].ip, way[_i].delta, IR_FAR(0), 3);
    bt_reset(bt_jit, 1);
    ck_assert_uint_eq(enter_at(&a, way[_i].from), 0);
    ck_assert_uint_eq(bt_jit->pc, way[_i].to);
}
END_TEST

/* ---- side exits ---- */

/* A side exit, taken if field 4 says so, with pending flags whose operands are in registers, spilled (`pressure`) or
 * constants; registers are written before and after it. */
static void side_exit_block(unsigned op, unsigned t, unsigned kind, bool pressure, bool constants)
{
    const struct ir_op_info *info = &ir_ops[op];
    ir_ref live[14], x, y, c, f, res, v;

    bt_ir.num = 1;
    bt_ir.num_exits = kind != 2;
    bt_ir.page_off = 0x123;
    x = constants ? bt_const(op == IR_FL_RAW ? IR_I32 : t, UINT64_C(0x8123456789abcdef) & MASK(IR_BITS(t)))
                  : bt_field(op == IR_FL_RAW ? IR_I32 : t, 0);
    y = bt_field(t, 1);
    c = bt_field(IR_I32, 2);
    f = bt_add(op, t, x, info->b == '-' ? 0 : info->b == '4' ? c : y, info->c == '-' ? 0 : c, 0);
    res = bt_add(IR_ADD, IR_I64, bt_add(IR_GET, IR_I64, 0, 0, 0, 3), bt_const(IR_I64, 5), 0, 0);
    bt_add(IR_PUT, IR_I64, res, 0, 0, 3);
    bt_add(IR_PUT, IR_I64, res, 0, 0, 12);
    for (unsigned k = 0; k < ARRAY_LEN(live); k++)
        live[k] = bt_field(IR_I64, k);
    v = bt_field(IR_I32, 4);
    if (kind == 2)
        v = bt_add(IR_GOTOIF, IR_I64, v, pressure ? live[2] : bt_const(IR_I64, UINT64_C(0xffff800012345678)), 0, 0);
    else
        v = bt_add(IR_EXITIF, kind ? IR_I16 : IR_I64, v, 0, 0, (uint32_t)-0x20);
    bt_code[v].aux = kind == 1 ? IR_FAR(0) : 0;
    bt_code[v].fl = f;
    for (unsigned k = 0; pressure && k < ARRAY_LEN(live); k++)
        bt_set_field(IR_I64, ARRAY_LEN(live) - 1 - k, live[k]);
    bt_add(IR_PUT, IR_I64, bt_add(IR_NOT, IR_I64, res, 0, 0, 0), 0, 0, 3);
    bt_add(IR_PUT, IR_I64, bt_const(IR_I64, 7), 0, 0, 12);
    bt_add(IR_PUTFL, 0, f, 0, 0, 0);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 16);
}

static void run_side_exit(bool taken, unsigned carry, uint64_t seed)
{
    struct tcg_block blk __attribute__((aligned(64)));
    const struct ir_insn *end;
    uintptr_t left;

    bt_compile(&blk);
    bt_reset(bt_jit, seed);
    bt_reset(bt_reader, seed);
    bt_jit->field[4] = bt_reader->field[4] = taken;
    bt_jit->field[2] = bt_reader->field[2] = carry;
    left = bt_enter(bt_jit, blk.code);
    end = bt_read(bt_reader);
    ck_assert_int_eq(end->op == IR_EXITIF || end->op == IR_GOTOIF, taken);
    ck_assert_uint_eq(left, taken && end->op == IR_EXITIF && !end->aux ? (uintptr_t)&blk : 0);
    bt_compare((unsigned long)seed);
    bt_buf.at = (uint8_t *)(uintptr_t)blk.code;
}

START_TEST(test_side_exit_flags)
{
    unsigned op = IR_FL_ADD + (unsigned)_i / 4, t = op == IR_FL_RAW ? IR_I32 : (unsigned)_i % 4;

    for (unsigned n = 0; n < 3 * 2 * 2 * 4; n++) {
        side_exit_block(op, t, n % 3, n / 3 & 1, n / 6 & 1);
        run_side_exit(n / 12 & 1, n / 24 & 1, (uint64_t)n + 1);
        run_side_exit(!(n / 12 & 1), n / 24 & 1, (uint64_t)n + 1);
    }
}
END_TEST

/* Three exits taken by bits of register 9, and the end's two by bit 3; r1 counts how far it came. */
static void many_exits_block(struct tcg_block *blk)
{
    ir_ref r, bit;

    bt_ir.num = 1;
    bt_ir.num_exits = 3;
    bt_ir.page_off = 0x800;
    r = bt_add(IR_GET, IR_I64, 0, 0, 0, 9);
    for (unsigned n = 0; n < 4; n++) {
        bt_add(IR_PUT, IR_I64, bt_const(IR_I64, n), 0, 0, 1);
        bit = bt_add(IR_EXTRACT, IR_I64, r, 0, 0, n << 8 | 1);
        bit = bt_add(IR_TRUNC, IR_I32, bit, 0, 0, 0);
        if (n < 3)
            bt_add(IR_EXITIF, IR_I64, bit, 0, 0, 0x10 * n | (uint64_t)n << 32);
        else
            bt_add(IR_BR, IR_I64, bit, 0, 0, 0x30 | UINT64_C(0x40) << 32);
    }
    bt_compile(blk);
    bt_ir.num_exits = 0;
    bt_ir.page_off = 0;
}

START_TEST(test_many_exits)
{
    struct tcg_block a __attribute__((aligned(64))), target[2] __attribute__((aligned(64)));
    static const uint8_t chosen[] = { 1, 2, 4, 8, 0 };

    many_exits_block(&a);
    goto_block(&target[0], 0x810, IR_I64, 0, 0, 3);
    goto_block(&target[1], 0x840, IR_I64, 1, 0, 10);
    bt_reset(bt_jit, 1);
    bt_jit->gpr[3] = bt_jit->gpr[10] = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned n = 0; n < 5; n++) {
            bool chained = round == 1 && (n == 1 || n == 4);
            ck_assert_uint_le(((uintptr_t)a.code + a.exit[n].jump_at) % 8, 3);
            bt_jit->gpr[9] = chosen[n];
            uintptr_t left = enter_at(&a, 0x7f0800);
            ck_assert_uint_eq(left, chained ? (uintptr_t)&target[n == 4] : (uintptr_t)&a | n);
            ck_assert_uint_eq(bt_jit->pc, 0x7f0800 + 0x10 * n + (chained && n == 4));
            ck_assert_uint_eq(bt_jit->gpr[1], MIN_OF(n, 3u));
        }
        ck_assert_uint_eq(bt_jit->gpr[3], round > 0);
        ck_assert_uint_eq(bt_jit->gpr[10], round > 0);
        bt_host->link(bt_state, &a, 1, round ? NULL : target[0].code);
        bt_host->link(bt_state, &a, 4, round ? NULL : target[1].code);
    }
}
END_TEST

/* GOTOIF finds its block in the jump cache, and a far EXITIF too. */
START_TEST(test_side_exits_look_up)
{
    struct tcg_block a __attribute__((aligned(64))), b __attribute__((aligned(64)));
    bool far_exit = _i;
    ir_ref v;

    goto_block(&b, 0x008, IR_I64, 4, 0, 10);
    bt_ir.num = 1;
    bt_ir.page_off = 0xff0;
    bt_ir.num_exits = far_exit;
    v = bt_add(IR_GET, IR_I32, 0, 0, 0, 1);
    v = far_exit ? bt_add(IR_EXITIF, IR_I64, v, 0, 0, 0x18)
                 : bt_add(IR_GOTOIF, IR_I64, v, bt_add(IR_GET, IR_I64, 0, 0, 0, 2), 0, 0);
    bt_code[v].aux = far_exit ? IR_FAR(0) : 0;
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 2);
    bt_compile(&a);
    bt_ir.num_exits = 0;
    bt_reset(bt_jit, 1);
    bt_jit->gpr[10] = 0;
    bt_jit->gpr[1] = 1;
    bt_jit->gpr[2] = 0x6008;
    ck_assert_uint_eq(enter_at(&a, 0x5ff0), 0);
    ck_assert_uint_eq(bt_jit->pc, 0x6008);
    cache_entry(0x6008, 5, &b);
    ck_assert_uint_eq(enter_at(&a, 0x5ff0), (uintptr_t)&b);
    ck_assert_uint_eq(bt_jit->pc, 0x600c);
    ck_assert_uint_eq(bt_jit->gpr[10], 1);
    bt_jit->gpr[1] = 0;
    ck_assert_uint_eq(enter_at(&a, 0x5ff0), 0);
    ck_assert_uint_eq(bt_jit->pc, 0x5ff2);
}
END_TEST

/* A warm block may be entered as often as its count says; then it leaves at its entry until somebody sets the count. */
START_TEST(test_warm)
{
    struct tcg_block a __attribute__((aligned(64)));
    uint32_t *heat = &bt_jit->heat[BT_HEAT];

    bt_ir.warm = true;
    goto_block(&a, 100, IR_I64, 16, 0, 9);
    bt_ir.warm = false;
    bt_reset(bt_jit, 1);
    bt_jit->gpr[9] = 0;
    for (unsigned round = 0; round < 2; round++) {
        *heat = 2;
        ck_assert_uint_eq(enter_at(&a, 100), (uintptr_t)&a);
        bt_jit->exit_request = 1;
        ck_assert_uint_eq(enter_at(&a, 100), 0);
        bt_jit->exit_request = 0;
        ck_assert_uint_eq(*heat, 1);
        ck_assert_uint_eq(enter_at(&a, 100), (uintptr_t)&a);
        for (unsigned n = 0; n < 3; n++) {
            ck_assert_uint_eq(enter_at(&a, 100), (uintptr_t)&a | TCG_EXIT_HOT);
            ck_assert_uint_eq(bt_jit->pc, 100);
        }
        ck_assert_uint_eq(bt_jit->gpr[9], 2 + 2 * round);
    }
    bt_host->close(bt_state, &a);
    ck_assert_uint_eq(enter_at(&a, 100), 0);
    ck_assert_uint_eq(bt_jit->pc, 100);
}
END_TEST

Suite *x86_exits_suite(void);

Suite *x86_exits_suite(void)
{
    Suite *s = suite_create("x86_exits");
    TCase *t = tcase_create("blocks");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, bt_setup, bt_teardown);
    tcase_add_test(t, test_chaining);
    tcase_add_test(t, test_lookup);
    tcase_add_loop_test(t, test_far_exits, 0, 14);
    tcase_add_loop_test(t, test_side_exit_flags, 0, 48);
    tcase_add_test(t, test_many_exits);
    tcase_add_loop_test(t, test_side_exits_look_up, 0, 2);
    tcase_add_test(t, test_warm);
    suite_add_tcase(s, t);
    return s;
}
