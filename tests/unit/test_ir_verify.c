/* The verifier (tcg/ir_verify.c): a good block passes, and each broken rule is found. */
#include <check.h>
#include <string.h>

#include "tests/unit/fake_guest.h"

static struct ir_insn insn[TCG_MAX_EXITS + 16];
static struct ir_block blk;
static char err[128];

static ir_ref add(struct ir_insn in)
{
    insn[blk.num] = in;
    return (ir_ref)blk.num++;
}

/* v1 = GET.64, v2 = GET.32, v3 = FL_LOGIC.32 v2, v4 = CONST.32 3 */
static void setup(void)
{
    memset(insn, 0, sizeof(insn));
    blk = (struct ir_block){ .insn = insn, .num = 1 };
    add((struct ir_insn){ .op = IR_GET, .type = IR_I64, .imm = 1 });
    add((struct ir_insn){ .op = IR_GET, .type = IR_I32, .imm = 2 });
    add((struct ir_insn){ .op = IR_FL_LOGIC, .type = IR_I32, .a = 2 });
    add((struct ir_insn){ .op = IR_CONST, .type = IR_I32, .imm = 3 });
}

static const char *verify_with_end(void)
{
    add((struct ir_insn){ .op = IR_LOOKUP, .type = IR_I64 });
    return ir_verify(&blk, &fake_guest, err, sizeof(err));
}

START_TEST(good_block)
{
    add((struct ir_insn){ .op = IR_LD, .type = IR_I8, .a = 1, .fl = 3 });
    add((struct ir_insn){ .op = IR_SHL, .type = IR_I64, .a = 1, .b = 4 });
    add((struct ir_insn){ .op = IR_CALL, .type = IR_I64, .a = 1, .b = 6, .imm = FAKE_SUM });
    add((struct ir_insn){ .op = IR_PUT, .type = IR_I64, .a = 7, .imm = 15 });
    add((struct ir_insn){ .op = IR_TRAPIF, .type = IR_I32, .a = 2, .imm = FAKE_RAISE, .fl = 3 });
    add((struct ir_insn){ .op = IR_BOUND, .type = IR_I64, .a = 2, .imm = (uint64_t)FAKE_RAISE_AT << 32 });
    add((struct ir_insn){ .op = IR_ZEXT, .type = IR_I32, .a = 5 });
    blk.num_exits = 2;
    add((struct ir_insn){ .op = IR_EXITIF, .type = IR_I64, .a = 2, .aux = IR_FAR(0), .imm = 0xfffffff0, .fl = 3 });
    add((struct ir_insn){ .op = IR_GOTOIF, .type = IR_I64, .a = 2, .b = 1, .fl = 3 });
    add((struct ir_insn){ .op = IR_EXITIF, .type = IR_I16, .a = 2, .imm = UINT64_C(1) << 32 });
    ck_assert_ptr_null(verify_with_end());
}
END_TEST

static const struct {
    struct ir_insn in;
    const char *says;
} broken[] = {
    { { .op = IR_NUM_OPS }, "no such operation" },
    { { .op = IR_ADD, .type = 4, .a = 1, .b = 1 }, "no such type" },
    { { .op = IR_ADD, .type = IR_I64, .a = 1 }, "missing" },
    { { .op = IR_ADD, .type = IR_I64, .a = 1, .b = 9 }, "not defined before" },
    { { .op = IR_ADD, .type = IR_I64, .a = 1, .b = 2 }, "not of the instruction's type" },
    { { .op = IR_ADD, .type = IR_I32, .a = 2, .b = 3 }, "no integer value" },
    { { .op = IR_NOT, .type = IR_I32, .a = 2, .b = 2 }, "where none belongs" },
    { { .op = IR_SHL, .type = IR_I64, .a = 1, .b = 1 }, "not I32" },
    { { .op = IR_SHL, .type = IR_I32, .a = 2, .b = 2, .c = 1 }, "where none belongs" },
    { { .op = IR_GOTOI, .type = IR_I64, .a = 1 }, "block end before" },
    { { .op = IR_ZEXT, .type = IR_I32, .a = 1 }, "not of the other size" },
    { { .op = IR_TRUNC, .type = IR_I64, .a = 2 }, "not of the other size" },
    { { .op = IR_COND, .type = IR_I32, .a = 2 }, "no flags value" },
    { { .op = IR_COND, .type = IR_I32, .cc = 16, .a = 3 }, "no such condition" },
    { { .op = IR_CMP, .type = IR_I32, .cc = 10, .a = 2, .b = 2 }, "no such comparison" },
    { { .op = IR_GET, .type = IR_I64, .imm = 16 }, "no such register" },
    { { .op = IR_PUT, .type = IR_I8, .imm = 1, .a = 2 }, "type" },
    { { .op = IR_GET, .type = IR_I16, .imm = 1 }, "neither I32 nor I64" },
    { { .op = IR_LDE, .type = IR_I8, .imm = offsetof(struct fake_env, reg) + 7 }, "guest register" },
    { { .op = IR_STE, .type = IR_I32, .a = 2, .imm = offsetof(struct fake_env, flags) - 2 },
      "guest's flags" },
    { { .op = IR_LDE, .type = IR_I64, .imm = UINT64_C(1) << 31 }, "out of range" },
    { { .op = IR_VMASK, .type = IR_I16, .imm = UINT64_C(1) << 20 }, "elements" },
    { { .op = IR_VMASK, .type = IR_I8, .imm = UINT64_C(1) << 31 }, "out of range" },
    { { .op = IR_EXTRACT, .type = IR_I32, .a = 2, .imm = 25 << 8 | 8 }, "bit field" },
    { { .op = IR_EXTRACT, .type = IR_I32, .a = 2, .imm = 0 }, "bit field" },
    { { .op = IR_LD, .type = IR_I32, .a = 3 }, "no integer value" },
    { { .op = IR_LD, .type = IR_I32, .a = 2, .aux = 16 }, "unknown memory flags" },
    { { .op = IR_ATOMIC, .type = IR_I32, .a = 2 }, "missing" },
    { { .op = IR_ATOMIC, .type = IR_I64, .a = 1, .b = 2 }, "not of the instruction's type" },
    { { .op = IR_ATOMIC, .type = IR_I32, .a = 3, .b = 2 }, "no integer value" },
    { { .op = IR_ATOMIC, .type = IR_I32, .a = 2, .b = 2, .imm = IR_NUM_ATOMICS }, "no such atomic operation" },
    { { .op = IR_ATOMIC, .type = IR_I32, .a = 2, .b = 2, .aux = IR_MEM_SUPER }, "unknown memory flags" },
    { { .op = IR_CAS, .type = IR_I32, .a = 2, .b = 2 }, "missing" },
    { { .op = IR_CAS, .type = IR_I32, .a = 2, .b = 2, .c = 2, .aux = IR_MEM_RMW }, "unknown memory flags" },
    { { .op = IR_FENCE, .type = IR_I32, .a = 2 }, "where none belongs" },
    { { .op = IR_NOT, .type = IR_I32, .a = 2, .fl = 3 }, "fl on what does not fault" },
    { { .op = IR_LD, .type = IR_I32, .a = 2, .fl = 4 }, "no flags value" },
    { { .op = IR_CALL, .imm = FAKE_NUM_HELPERS }, "no such helper" },
    { { .op = IR_CALL, .type = IR_I64, .a = 1, .imm = FAKE_SUM }, "missing" },
    { { .op = IR_CALL, .type = IR_I64, .a = 1, .b = 2, .imm = FAKE_SUM }, "not I64" },
    { { .op = IR_CALL, .type = IR_I64, .a = 1, .b = 1, .c = 1, .imm = FAKE_SUM }, "where none belongs" },
    { { .op = IR_CALL, .type = IR_I32, .a = 1, .b = 1, .imm = FAKE_SUM }, "call's type" },
    { { .op = IR_TRAPIF, .type = IR_I32, .a = 2, .imm = FAKE_MAYBE }, "returns" },
    { { .op = IR_TRAPIF, .type = IR_I32, .a = 2, .imm = FAKE_RAISE_AT }, "other arguments" },
    { { .op = IR_BOUND, .type = IR_I64, .a = 2, .imm = UINT64_C(0xffff) << 32 }, "no such helper" },
    { { .op = IR_VOP, .type = IR_I64, .imm = 0xffff }, "no such vector operation" },
    { { .op = IR_LD, .type = IR_I32, .a = 2, .imm = UINT64_C(0x7fffffc1) << 32 }, "displacement too large" },
    { { .op = IR_LDV, .type = IR_I64, .a = 1, .aux = IR_MEM_ALIGN, .imm = UINT64_C(16) << 32 | FAKE_FIELD(0) },
      "displacement of an aligned access" },
    { { .op = IR_STV, .type = IR_I64, .a = 1, .imm = offsetof(struct fake_env, reg) }, "guest register" },
    { { .op = IR_ST, .type = IR_I32, .a = 2, .b = 4, .d = 4 }, "no XLATE" },
    { { .op = IR_ST, .type = IR_I32, .a = 2, .b = 4, .d = 6 }, "no XLATE" },
    { { .op = IR_ATOMIC, .type = IR_I32, .a = 2, .b = 4, .d = 4 }, "where none belongs" },
    { { .op = IR_XLATE, .type = IR_I64 }, "missing" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 3 }, "no integer value" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .b = 2 }, "where none belongs" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .aux = 2 }, "unknown memory flags" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .fl = 3 }, "fl on what does not fault" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .imm = 1 }, "range is empty" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .imm = UINT64_C(0x0fff) << 32 | 0xffffffff },
      "larger than a page" },
    { { .op = IR_XLATE, .type = IR_I64, .a = 1, .imm = UINT64_C(0x7fffffff) << 32 | 0x80000000 },
      "larger than a page" },
    { { .op = IR_LDV, .type = IR_I64, .cc = IR_V_LOW_B, .a = 2, .imm = UINT64_C(1) << 20 }, "vector form" },
    { { .op = IR_STV, .type = IR_I64, .cc = IR_V_CLEAR, .a = 2, .imm = UINT64_C(1) << 20 }, "vector form" },
    { { .op = IR_VOP, .type = IR_I64, .cc = IR_V32 | IR_V_CLEAR }, "nothing is left" },
    { { .op = IR_VOP, .type = IR_I64, .cc = IR_V_LOW_B }, "that has none" },
    { { .op = IR_VOP, .type = IR_I64, .imm = TCG_V_VPERMQ }, "across halves" },
    { { .op = IR_VOP, .type = IR_I64, .cc = IR_V32, .imm = TCG_V_PADDB_Q }, "halves of 8 bytes" },
    { { .op = IR_VTOI, .type = IR_I16 }, "neither I32 nor I64" },
    { { .op = IR_VTOI, .type = IR_I64, .aux = 4 }, "unknown conversion" },
    { { .op = IR_VCOM, .type = IR_I32, .aux = 8 }, "unknown conversion" },
    { { .op = IR_X87, .type = IR_I32, .imm = IR_X87_IMM(0xd7, 0xc0, FAKE_LOW, 0) }, "no x87 opcode" },
    { { .op = IR_X87, .type = IR_I32, .imm = IR_X87_IMM(0xd8, 0xc0, 0xffff, 0) }, "no such helper" },
    { { .op = IR_X87, .type = IR_I32, .imm = IR_X87_IMM(0xd8, 0xc0, FAKE_SUM, 0) }, "do not fit the helper" },
    { { .op = IR_X87V, .type = IR_I32, .a = 2, .imm = IR_X87_IMM(0xd9, 0x28, FAKE_LOW, 0) }, "do not fit the helper" },
    { { .op = IR_X87M, .type = IR_I64, .cc = 4, .a = 2, .imm = IR_X87_IMM(0xd8, 0, FAKE_SUM, 0) }, "do not fit" },
    { { .op = IR_X87M, .type = IR_I64, .cc = 4, .imm = IR_X87_IMM(0xd8, 0, FAKE_SUM, 0) }, "missing" },
    { { .op = IR_EXITIF, .type = IR_I32 }, "missing" },
    { { .op = IR_EXITIF, .type = IR_I32, .a = 1 }, "not I32" },
    { { .op = IR_EXITIF, .type = IR_I32, .a = 2, .b = 2 }, "where none belongs" },
    { { .op = IR_EXITIF, .type = IR_I8, .a = 2 }, "pc is not" },
    { { .op = IR_EXITIF, .type = IR_I32, .a = 2, .aux = IR_FAR(1) }, "unknown exit flags" },
    { { .op = IR_EXITIF, .type = IR_I32, .a = 2, .imm = UINT64_C(1) << 32 }, "not numbered in order" },
    { { .op = IR_EXITIF, .type = IR_I32, .a = 2 }, "too many exits" },
    { { .op = IR_GOTOIF, .type = IR_I64, .a = 2 }, "missing" },
    { { .op = IR_GOTOIF, .type = IR_I64, .a = 1, .b = 1 }, "not I32" },
    { { .op = IR_GOTOIF, .type = IR_I64, .a = 2, .b = 2 }, "not I64" },
    { { .op = IR_GOTOIF, .type = IR_I64, .a = 2, .b = 1, .fl = 4 }, "no flags value" },
};

START_TEST(broken_rule)
{
    const char *bad;

    add(broken[_i].in);
    bad = verify_with_end();
    ck_assert_msg(bad && strstr(bad, broken[_i].says), "'%s' instead of '%s'", bad ? bad : "(passes)",
                  broken[_i].says);
    ck_assert(!strncmp(bad, "v5 ", 3));
}
END_TEST

/* Of v5 = XLATE v1 -8 .. 7, v6 = XLATE v2 0 .. 31 for writing. */
#define DISP(d) ((uint64_t)(uint32_t)(d) << 32)
static const struct {
    struct ir_insn in;
    const char *says;   /* NULL: good */
} shared[] = {
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(-8) }, NULL },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(0), .fl = 3 }, NULL },
    { { .op = IR_LDV, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(-8) | FAKE_FIELD(0) }, NULL },
    { { .op = IR_STV, .type = IR_I64, .cc = IR_V32, .a = 2, .d = 6, .imm = FAKE_FIELD(0) }, NULL },
    { { .op = IR_ST, .type = IR_I32, .a = 2, .b = 4, .d = 6, .imm = DISP(28), .aux = IR_MEM_STACK | IR_MEM_FLAT },
      NULL },
    { { .op = IR_LD, .type = IR_I32, .a = 2, .d = 6, .aux = IR_MEM_RMW }, NULL },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(-9) }, "not in the XLATE's range" },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(1) }, "not in the XLATE's range" },
    { { .op = IR_LDV, .type = IR_I64, .cc = IR_V32, .a = 1, .d = 5, .imm = DISP(-8) | FAKE_FIELD(0) },
      "not in the XLATE's range" },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 6 }, "another address" },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .aux = IR_MEM_RMW }, "not for writing" },
    { { .op = IR_ST, .type = IR_I64, .a = 1, .b = 1, .d = 5 }, "not for writing" },
    { { .op = IR_STV, .type = IR_I64, .a = 1, .d = 5, .imm = DISP(-8) | FAKE_FIELD(0) }, "not for writing" },
    { { .op = IR_LD, .type = IR_I64, .a = 1, .d = 5, .aux = IR_MEM_SUPER }, "never uses one" },
    { { .op = IR_LDV, .type = IR_I64, .a = 2, .d = 6, .aux = IR_MEM_ALIGN, .imm = FAKE_FIELD(0) },
      "never uses one" },
    { { .op = IR_NOT, .type = IR_I64, .a = 5 }, "operand is an XLATE" },
    { { .op = IR_LD, .type = IR_I8, .a = 5 }, "operand is an XLATE" },
    { { .op = IR_CALL, .type = IR_I64, .a = 1, .b = 5, .imm = FAKE_SUM }, "operand is an XLATE" },
};

static void add_xlates(void)
{
    add((struct ir_insn){ .op = IR_XLATE, .type = IR_I64, .a = 1, .imm = DISP(7) | (uint32_t)-8 });
    add((struct ir_insn){ .op = IR_XLATE, .type = IR_I64, .a = 2, .aux = 1, .imm = DISP(31) });
}

START_TEST(use_of_an_xlate)
{
    const char *bad;

    add_xlates();
    add(shared[_i].in);
    bad = verify_with_end();
    ck_assert_msg(shared[_i].says ? bad && strstr(bad, shared[_i].says) && !strncmp(bad, "v7 ", 3) : !bad,
                  "'%s' instead of '%s'", bad ? bad : "(passes)", shared[_i].says ? shared[_i].says : "(passes)");
}
END_TEST

/* Of v5 = XLATE v1 -8 .. 7: at v1 + index, where only some bits of the index may be 1. */
START_TEST(use_for_a_table)
{
    static const struct { uint64_t bits; int32_t disp; const char *says; } tables[] = {
        { 7, -8, NULL }, { 8, -8, NULL }, { 4, -4, NULL }, { 5, -4, "not in the XLATE's range" },
        { 9, -8, "not in the XLATE's range" }, { UINT64_MAX, 0, "not in the XLATE's range" },
    };
    const char *bad;

    for (unsigned n = 0; n < sizeof(tables) / sizeof(tables[0]); n++) {
        blk.num = 5;
        add_xlates();
        add((struct ir_insn){ .op = IR_CONST, .type = IR_I64, .imm = tables[n].bits });
        add((struct ir_insn){ .op = IR_AND, .type = IR_I64, .a = 1, .b = 7 });
        add((struct ir_insn){ .op = IR_ADD, .type = IR_I64, .a = n % 2 ? 8 : 1, .b = n % 2 ? 1 : 8 });
        add((struct ir_insn){ .op = IR_LD, .type = IR_I64, .a = 9, .d = 5, .imm = DISP(tables[n].disp) });
        bad = verify_with_end();
        ck_assert_msg(tables[n].says ? bad && strstr(bad, tables[n].says) : !bad, "%u: '%s'", n,
                      bad ? bad : "(passes)");
    }
}
END_TEST

/* Which helpers end it. */
START_TEST(xlate_and_helpers)
{
    static const struct ir_insn calls[] = {
        { .op = IR_CALL, .type = IR_I64, .a = 1, .b = 1, .imm = FAKE_SUM },
        { .op = IR_CALL, .type = IR_I64, .imm = FAKE_SUM_REGS },
        { .op = IR_CALL, .type = IR_I32, .imm = FAKE_READ_FLAGS },
        { .op = IR_CALL, .type = IR_I32, .a = 2, .imm = FAKE_WRITE_FLAGS },
        { .op = IR_CALL, .type = IR_I32, .a = 1, .imm = FAKE_SET_REG0 },
        { .op = IR_CALL, .type = IR_I32, .a = 1, .imm = FAKE_SET_FIELD0 },
        { .op = IR_CALL, .type = IR_I32, .a = 2, .imm = FAKE_MAYBE },
    };
    const char *bad;

    add_xlates();
    add(calls[_i]);
    add(shared[0].in);
    bad = verify_with_end();
    ck_assert(_i < 3 ? !bad : bad && strstr(bad, "from before a helper"));
}
END_TEST

START_TEST(xlates_at_the_same_time)
{
    add_xlates();
    for (unsigned k = 2; k < IR_OPEN_XLATES; k++)
        add(insn[6]);
    add(shared[0].in);
    add(insn[6]);
    add(shared[4].in);
    ck_assert_ptr_null(verify_with_end());
    insn[blk.num - 1] = shared[0].in;
    ck_assert(strstr(verify_with_end(), "too many XLATEs"));
}
END_TEST

START_TEST(shift_by_too_much)
{
    add((struct ir_insn){ .op = IR_CONST, .type = IR_I32, .imm = 32 });
    add((struct ir_insn){ .op = IR_SHR, .type = IR_I32, .a = 2, .b = 5 });
    ck_assert(strstr(verify_with_end(), "shift count"));
}
END_TEST

START_TEST(value_of_a_void_helper)
{
    add((struct ir_insn){ .op = IR_CALL, .type = IR_I32, .a = 2, .imm = FAKE_MAYBE });
    add((struct ir_insn){ .op = IR_NOT, .type = IR_I32, .a = 5 });
    ck_assert(strstr(verify_with_end(), "no integer value"));
}
END_TEST

/* v5, v6, ...: exits 0, 1, ... */
static const char *verify_exits(unsigned num, unsigned said)
{
    blk.num = 5;
    blk.num_exits = said;
    for (unsigned n = 0; n < num; n++)
        add((struct ir_insn){ .op = IR_EXITIF, .type = IR_I32, .a = 2, .imm = (uint64_t)n << 32 });
    return verify_with_end();
}

START_TEST(number_of_exits)
{
    ck_assert_ptr_null(verify_exits(3, 3));
    ck_assert(strstr(verify_exits(3, 2), "v7 EXITIF: too many exits"));
    /* Two are the end's. */
    ck_assert_ptr_null(verify_exits(TCG_MAX_EXITS - 2, TCG_MAX_EXITS - 2));
    ck_assert(strstr(verify_exits(TCG_MAX_EXITS - 1, TCG_MAX_EXITS - 1), "too many exits"));
    verify_exits(3, 3);
    insn[6].imm = 0;
    ck_assert(strstr(ir_verify(&blk, &fake_guest, err, sizeof(err)), "v6 EXITIF: exits are not numbered"));
}
END_TEST

START_TEST(no_end)
{
    ck_assert(strstr(ir_verify(&blk, &fake_guest, err, sizeof(err)), "no block end"));
    blk.num = 1;
    ck_assert_ptr_nonnull(ir_verify(&blk, &fake_guest, err, sizeof(err)));
}
END_TEST

START_TEST(bad_ends)
{
    add((struct ir_insn){ .op = IR_GOTO, .type = IR_I8 });
    ck_assert(strstr(ir_verify(&blk, &fake_guest, err, sizeof(err)), "pc is not"));
    insn[5] = (struct ir_insn){ .op = IR_GOTO, .type = IR_I16, .aux = 4 };
    ck_assert(strstr(ir_verify(&blk, &fake_guest, err, sizeof(err)), "exit flags"));
    insn[5] = (struct ir_insn){ .op = IR_BR, .type = IR_I32, .a = 1 };
    ck_assert(strstr(ir_verify(&blk, &fake_guest, err, sizeof(err)), "not I32"));
}
END_TEST

Suite *ir_verify_suite(void);
Suite *ir_verify_suite(void)
{
    Suite *s = suite_create("ir_verify");
    TCase *tc = tcase_create("verify");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, good_block);
    tcase_add_loop_test(tc, broken_rule, 0, (int)(sizeof(broken) / sizeof(broken[0])));
    tcase_add_test(tc, use_for_a_table);
    tcase_add_loop_test(tc, use_of_an_xlate, 0, (int)(sizeof(shared) / sizeof(shared[0])));
    tcase_add_loop_test(tc, xlate_and_helpers, 0, 7);
    tcase_add_test(tc, xlates_at_the_same_time);
    tcase_add_test(tc, shift_by_too_much);
    tcase_add_test(tc, value_of_a_void_helper);
    tcase_add_test(tc, number_of_exits);
    tcase_add_test(tc, no_end);
    tcase_add_test(tc, bad_ends);
    suite_add_tcase(s, tc);
    return s;
}
