/* x86-64 backend: the room that it asks for before it compiles a block. */
#include <check.h>

#include "tcg/host/x86_64/vecregs.h"
#include "tests/unit/x86_fixture.h"

START_TEST(test_no_room)
{
    struct tcg_block blk;
    struct tcg_code_buf small = { bt_buf.at, bt_buf.at, bt_buf.at + 2000 };

    bt_ir.num = 1;
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    ck_assert_int_eq(bt_host->compile(bt_state, &bt_ir, &small, &blk), -1);
    ck_assert_ptr_eq(small.at, small.start);
}
END_TEST

static const struct ir_insn crowd[] = {
    { .op = IR_LD, .type = IR_I64 }, { .op = IR_LD, .type = IR_I8 }, { .op = IR_ST, .type = IR_I64 },
    { .op = IR_LDV, .type = IR_I64, .cc = IR_V4 | IR_V_CLEAR }, { .op = IR_STV, .type = IR_I64, .cc = IR_V8 },
    { .op = IR_LDV, .type = IR_I64, .cc = IR_V16 }, { .op = IR_LDV, .type = IR_I64, .cc = IR_V_CLEAR },
    { .op = IR_STV, .type = IR_I64, .cc = IR_V16 }, { .op = IR_LDV, .type = IR_I64, .cc = IR_V32 },
    { .op = IR_STV, .type = IR_I64, .cc = IR_V32 }, { .op = IR_ATOMIC, .type = IR_I64, .imm = IR_ATOMIC_XOR },
    { .op = IR_ATOMIC, .type = IR_I64, .imm = IR_ATOMIC_ADD }, { .op = IR_CAS, .type = IR_I64 },
    { .op = IR_X87, .type = IR_I32, .imm = IR_X87_IMM(0xdb, 0xf0, HELP_FAULT, UINT32_MAX) },
    { .op = IR_X87M, .type = IR_I64, .cc = 10, .aux = IR_MEM_RMW,
      .imm = IR_X87_IMM(0xdb, 7 << 3, HELP_X87M, UINT32_MAX) },
};

static ir_ref add_crowd(const struct ir_insn *like, unsigned k, ir_ref base, ir_ref xlate, ir_ref wide)
{
    bool shares = like->op == IR_LD || like->op == IR_ST || like->op == IR_LDV || like->op == IR_STV;
    bool vector = like->op == IR_LDV || like->op == IR_STV;
    ir_ref v = bt_add(like->op, like->type, like->op == IR_X87 ? 0 : base, ir_ops[like->op].b == '-' ? 0 : wide,
                      ir_ops[like->op].c == '-' ? 0 : wide, like->imm);

    bt_code[v].cc = like->cc;
    bt_code[v].aux = like->aux;
    if (shares) {
        bt_code[v].imm = UINT64_C(0x1010) << 32 | (vector ? BT_OFF(vec) + 16 * k : 0);
        bt_code[v].d = xlate;
    }
    return v;
}

/* Accesses where nothing is at hand: base, value, flags and XLATE come from their slots, all vector fields that fit
 * are dirty, and the XLATEs live on. Bytes that they take, with their entries in the map. */
static size_t crowded_size(const struct ir_insn *like, unsigned accesses)
{
    ir_ref base[IR_OPEN_XLATES], xlate[IR_OPEN_XLATES], fl, v, wide;
    struct tcg_block blk;

    bt_ir.num = 1;
    wide = bt_const(IR_I64, UINT64_C(0x123456789abcdef0));
    for (unsigned k = 0; k < VEC_ENTRIES; k++) {
        v = bt_add(IR_VOP, 0, 0, 0, 0, TCG_V_PADDB | (BT_OFF(vec) + 16 * k) << 16 | BT_OFF(vec) << 32 |
                   (uint64_t)BT_OFF(vec) << 48);
        bt_code[v].cc = IR_V32;
    }
    fl = bt_add(IR_FL_ADC, IR_I64, wide, wide, bt_field(IR_I32, 15), 0);
    for (unsigned k = 0; k < IR_OPEN_XLATES; k++)
        base[k] = bt_field(IR_I32, k);
    for (unsigned k = 0; k < IR_OPEN_XLATES; k++) {
        xlate[k] = bt_add(IR_XLATE, IR_I64, base[k], 0, 0, 0x1000 | UINT64_C(0x10ff) << 32);
        bt_code[xlate[k]].aux = 1;
    }
    for (unsigned n = 0; n < accesses + IR_OPEN_XLATES; n++) {
        unsigned k = n % IR_OPEN_XLATES;
        v = add_crowd(n < accesses ? like : &crowd[0], k, base[k], xlate[k], wide);
        bt_code[v].fl = fl;
        if (ir_ops[bt_code[v].op].result != '-')
            bt_set_field(bt_type(v), k, v);
    }
    bt_add(IR_PUTFL, 0, fl, 0, 0, 0);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(&blk);
    return blk.code_size + blk.num_map * sizeof(*blk.map);
}

START_TEST(test_crowd)
{
    static const uint32_t hosts[] = { UINT32_MAX, 0, TCG_ISA_SSE41 | TCG_ISA_AVX };
    size_t more;

    for (unsigned n = 0; n < ARRAY_LEN(hosts); n++) {
        bt_teardown();
        bt_setup_isa(hosts[n]);
        more = crowded_size(&crowd[_i], 200) - crowded_size(&crowd[_i], 100);
        ck_assert_uint_le(more, 100 * X86_ROOM_PER_ACCESS);
    }
}
END_TEST

Suite *x86_room_suite(void);

Suite *x86_room_suite(void)
{
    Suite *s = suite_create("x86_room");
    TCase *t = tcase_create("blocks");

    tcase_add_checked_fixture(t, bt_setup, bt_teardown);
    tcase_add_test(t, test_no_room);
    tcase_add_loop_test(t, test_crowd, 0, (int)ARRAY_LEN(crowd));
    suite_add_tcase(s, t);
    return s;
}
