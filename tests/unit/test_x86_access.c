/* x86-64 backend: accesses to guest memory that go by thunks, and flags that are pending at an access. */
#include <check.h>

#include "tests/unit/x86_fixture.h"

/* ---- accesses, from every register and of every kind ---- */

enum how { HOW_LOAD, HOW_MODIFY, HOW_STORE };

struct variant {
    unsigned type, how, mem, reg, value;    /* reg: the address's; value: the value's */
    int32_t disp;
    bool narrow;            /* an address of 32 bits, above which are others */
    bool across;            /* near the end of a page */
};

static ir_ref address_in(const struct variant *v)
{
    ir_ref a = bt_add(IR_GET, IR_I64, 0, 0, 0, v->reg);

    a = bt_add(IR_AND, IR_I64, a, bt_const(IR_I64, 0xffff), 0, 0);
    if (v->across)
        a = bt_add(IR_OR, IR_I64, a, bt_const(IR_I64, 0xff8), 0, 0);
    a = bt_add(IR_ADD, IR_I64, a, bt_const(IR_I64, BT_BASE - (uint64_t)(int64_t)v->disp), 0, 0);
    if (v->narrow) {
        a = bt_add(IR_ADD, IR_I64, a, bt_const(IR_I64, 0x7fff00000000), 0, 0);
        a = bt_add(IR_TRUNC, IR_I32, a, 0, 0, 0);
    } else {
        bt_add(IR_PUT, IR_I64, a, 0, 0, v->reg);
    }
    return a;
}

static void access_block(const struct variant *v)
{
    ir_ref a, value, in;

    bt_ir.num = 1;
    bt_add(IR_INSN, 0, 0, 0, 0, UINT64_C(1) << 32);
    a = address_in(v);
    value = bt_add(IR_GET, IR_I64, 0, 0, 0, v->value);
    if (v->type != IR_I64)
        value = bt_add(IR_TRUNC, v->type, value, 0, 0, 0);
    in = v->how == HOW_STORE ? bt_add(IR_ST, v->type, a, value, 0, (uint64_t)(uint32_t)v->disp << 32)
                             : bt_add(IR_LD, v->type, a, 0, 0, (uint64_t)(uint32_t)v->disp << 32);
    bt_code[in].aux = (uint8_t)(v->mem | (v->how == HOW_MODIFY ? IR_MEM_RMW : 0u));
    if (v->how != HOW_STORE) {
        if (v->type != IR_I64)
            in = bt_add(IR_ZEXT, IR_I64, in, 0, 0, 0);
        bt_add(IR_PUT, IR_I64, in, 0, 0, v->value);
    }
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 4);
}

START_TEST(test_accesses)
{
    static const int32_t disps[] = { 0, 8, -0x200, 0x123456 };
    static const uint8_t mems[] = { 0, IR_MEM_STACK, IR_MEM_FLAT, IR_MEM_STACK | IR_MEM_FLAT };
    struct variant v = { .type = (unsigned)_i % 4, .how = (unsigned)_i / 4 % 3 };

    bt_ir.warm = _i < 12;
    for (unsigned n = 0; n < 16 * 16 * 8; n++) {
        v.reg = n % 16;
        v.value = n / 16 % 16;
        v.disp = disps[n / 256 % 4];
        v.mem = mems[bt_hash(1, n) % 4];
        v.narrow = n / 1024;
        v.across = bt_hash(2, n) & 1;
        access_block(&v);
        bt_run_both(n);
    }
}
END_TEST

/* ---- pending flags ---- */

enum place { IN_FIELD, IN_PINNED, SPILLED, SMALL, MEDIUM, LARGE, NUM_PLACES };

static ir_ref operand(enum place place, unsigned type, unsigned n)
{
    static const uint64_t value[] = { [SMALL] = ~UINT64_C(4), [MEDIUM] = 0x12345678,
                                      [LARGE] = UINT64_C(0x8123456789abcdef) };
    ir_ref v;

    if (place >= SMALL)
        return bt_const(type, value[place] & MASK(IR_BITS(type)));
    if (place != IN_PINNED)
        return bt_field(type, n);
    v = bt_add(IR_GET, IR_I64, 0, 0, 0, 1 + 3 * n);
    return type == IR_I64 ? v : bt_add(IR_TRUNC, type, v, 0, 0, 0);
}

static const struct ir_insn access_like[] = {
    { .op = IR_LD, .type = IR_I64 }, { .op = IR_LD, .type = IR_I8, .aux = IR_MEM_RMW }, { .op = IR_ST, .type = IR_I32 },
    { .op = IR_ATOMIC, .type = IR_I64, .imm = IR_ATOMIC_OR }, { .op = IR_CAS, .type = IR_I32 },
    { .op = IR_LDV, .type = IR_I64, .cc = IR_V16, .imm = BT_OFF(vec) },
    { .op = IR_STV, .type = IR_I64, .cc = IR_V32, .imm = BT_OFF(vec) },
    { .op = IR_X87M, .type = IR_I64, .cc = 10, .imm = IR_X87_IMM(0xdb, 5 << 3, HELP_X87M, 0) },
};

/* In an odd page, which is not in the TLB. */
static void add_access(const struct ir_insn *like, ir_ref fl, bool used)
{
    ir_ref value = like->op == IR_ST || like->op == IR_ATOMIC || like->op == IR_CAS ? bt_field(like->type, 6) : 0;
    ir_ref v = bt_add(like->op, like->type, bt_const(IR_I64, BT_BASE + 0x1230), value, like->op == IR_CAS ? value : 0,
                      like->imm);

    bt_code[v].aux = like->aux;
    bt_code[v].cc = like->cc;
    bt_code[v].fl = fl;
    if (used && ir_ops[like->op].result != '-')
        bt_set_field(like->type, 7, v);
}

/* Operands die at the second access, or live on; what the first has done to the flags is seen by nobody. */
static void pending_block(unsigned op, unsigned t, const struct ir_insn *like, enum place place, bool lives)
{
    const struct ir_op_info *info = &ir_ops[op];
    ir_ref x = operand(place, t, 0), y = operand(place, t, 1), c = bt_field(IR_I32, 2), live[14], f;

    f = bt_add(op, t, x, info->b == '-' ? 0 : info->b == '4' ? c : y, info->c == '-' ? 0 : c, 0);
    for (unsigned k = 0; place == SPILLED && k < ARRAY_LEN(live); k++)
        live[k] = bt_field(IR_I64, k);
    bt_add(IR_INSN, 0, 0, 0, 0, UINT64_C(1) << 32);
    add_access(like, f, lives);
    bt_add(IR_INSN, 0, 0, 0, 0, 1 | UINT64_C(1) << 32);
    add_access(like, f, true);
    for (unsigned k = 0; place == SPILLED && k < ARRAY_LEN(live); k++)
        bt_set_field(IR_I64, ARRAY_LEN(live) - 1 - k, live[k]);
    if (lives)
        bt_add(IR_PUTFL, 0, f, 0, 0, 0);
    else
        bt_add(IR_PUTFL, 0, bt_add(IR_FL_RAW, IR_I32, bt_const(IR_I32, IR_CF), 0, 0, 0), 0, 0, 0);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 2);
}

START_TEST(test_pending)
{
    unsigned op = IR_FL_ADD + (unsigned)_i / 4, t = op == IR_FL_RAW ? IR_I32 : (unsigned)_i % 4;

    for (unsigned n = 0; n < ARRAY_LEN(access_like) * NUM_PLACES * 4; n++) {
        bt_ir.num = 1;
        bt_ir.warm = n & 1;
        pending_block(op, t, &access_like[n / 4 % ARRAY_LEN(access_like)], n / 4 / ARRAY_LEN(access_like), n & 2);
        bt_run_both(n);
    }
}
END_TEST

/* The six bits as a word, of which one was replaced, and those that the guest had. */
START_TEST(test_pending_word)
{
    ir_ref f;

    for (unsigned n = 0; n < ARRAY_LEN(access_like) * 4; n++) {
        bt_ir.num = 1;
        bt_ir.warm = n & 1;
        f = bt_add(IR_GETFL, IR_I32, 0, 0, 0, 0);
        if (n & 2)
            f = bt_add(IR_FL_SETC, IR_I32, f, bt_add(IR_CMP, IR_I64, bt_field(IR_I64, 1), bt_field(IR_I64, 2), 0, 0),
                       0, 0);
        add_access(&access_like[n / 4], f, true);
        bt_add(IR_PUTFL, 0, f, 0, 0, 0);
        bt_add(IR_EXIT, IR_I64, 0, 0, 0, 2);
        bt_run_both(n);
    }
}
END_TEST

Suite *x86_access_suite(void);

Suite *x86_access_suite(void)
{
    Suite *s = suite_create("x86_access");
    TCase *t = tcase_create("blocks");

    tcase_add_checked_fixture(t, bt_setup, bt_teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_accesses, 0, 24);
    tcase_add_loop_test(t, test_pending, 0, 4 * (IR_FL_RAW - IR_FL_ADD + 1));
    tcase_add_test(t, test_pending_word);
    suite_add_tcase(s, t);
    return s;
}
