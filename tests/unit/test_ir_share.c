/* Shared translations of addresses: which accesses ir_opt_share() gives an XLATE, and of what range. */
#include <check.h>

#include "base/bits.h"
#include "tests/unit/fake_guest.h"

static struct ir_builder *b;

static void setup_folding(void)
{
    b = ir_builder_new(&fake_guest, IR_FOLD | IR_SINK);
    ir_start(b);
}

static void teardown(void)
{
    ir_builder_free(b);
}

static unsigned count(unsigned op) { return block_count(ir_block(b), op); }
static const struct ir_insn *find(unsigned op) { return block_find(ir_block(b), op); }

static ir_ref base_plus(ir_ref base, int64_t disp)
{
    return ir_bini(b, IR_ADD, ir_type_of(b, base), base, (uint64_t)disp);
}

static void load(ir_ref base, int64_t disp)
{
    ir_put(b, IR_I64, 9, ir_ld(b, IR_I64, base_plus(base, disp), 0));
}

static void store(ir_ref base, int64_t disp)
{
    ir_st(b, IR_I64, base_plus(base, disp), ir_const(b, IR_I64, 1), 0);
}

/* Ends the block, runs the pass, and tells how many XLATEs there are. */
static unsigned shared(void)
{
    char err[128];
    const char *wrong;

    ir_lookup(b);
    ir_opt_share(ir_block(b), &fake_guest);
    wrong = ir_verify(ir_block(b), &fake_guest, err, sizeof(err));
    ck_assert_msg(!wrong, "%s", wrong);
    return count(IR_XLATE);
}

/* The nth access of the block, from 0. */
static const struct ir_insn *access_no(unsigned n)
{
    const struct ir_block *blk = ir_block(b);

    for (unsigned i = 1; i < blk->num; i++)
        if (ir_ops[blk->insn[i].op].d == 'X' && !n--)
            return &blk->insn[i];
    ck_abort_msg("no such access");
}

static const struct ir_insn *xlate_of(unsigned n)
{
    return &ir_block(b)->insn[access_no(n)->d];
}

static void assert_range(const struct ir_insn *x, int32_t lo, int32_t hi, bool writes)
{
    ck_assert_uint_eq(x->op, IR_XLATE);
    ck_assert_int_eq((int32_t)x->imm, lo);
    ck_assert_int_eq((int32_t)(x->imm >> 32), hi);
    ck_assert_uint_eq(x->aux, writes);
}

START_TEST(loads_share)
{
    ir_ref x = ir_get(b, IR_I64, 1), y = ir_get(b, IR_I64, 2);

    load(x, 16);
    load(y, 0);
    load(x, -8);
    ck_assert_uint_eq(shared(), 1);
    ck_assert_ptr_eq(access_no(0), xlate_of(0) + 1); /* right before the first */
    assert_range(xlate_of(0), -8, 23, false);
    ck_assert_ptr_eq(xlate_of(2), xlate_of(0));
    ck_assert_uint_eq(access_no(1)->d, 0);
    ck_assert_uint_eq(xlate_of(0)->a, access_no(0)->a);
}
END_TEST

START_TEST(single_accesses_probe)
{
    load(ir_get(b, IR_I64, 1), 8);
    store(ir_get(b, IR_I64, 2), 8);
    load(ir_get(b, IR_I32, 3), 8);
    ck_assert_uint_eq(shared(), 0);
}
END_TEST

/* From first to last byte at most 256. */
START_TEST(range_is_limited)
{
    ir_ref x = ir_get(b, IR_I64, 1);

    load(x, 0);
    load(x, 248);
    load(x, 249);
    load(x, -1);
    load(x, -7);
    ck_assert_uint_eq(shared(), 2);
    assert_range(xlate_of(0), 0, 255, false);
    ck_assert_uint_eq(access_no(1)->d, access_no(0)->d);
    ck_assert_uint_eq(access_no(2)->d, 0); /* cannot reach down to -1 */
    assert_range(xlate_of(3), -7, 6, false);
    ck_assert_uint_eq(access_no(4)->d, access_no(3)->d);
}
END_TEST

START_TEST(a_store_makes_a_group_one_for_writing)
{
    ir_ref x = ir_get(b, IR_I64, 1), y = ir_get(b, IR_I64, 2);

    load(x, 0);
    load(y, 0);
    store(x, 8);
    load(x, 16);
    load(y, 8);
    ck_assert_uint_eq(shared(), 2);
    assert_range(xlate_of(0), 0, 23, true);
    ck_assert_uint_eq(access_no(2)->d, access_no(0)->d);
    ck_assert_uint_eq(access_no(3)->d, access_no(0)->d);
    assert_range(xlate_of(1), 0, 15, false);
    ck_assert_uint_eq(access_no(4)->d, access_no(1)->d);
}
END_TEST

START_TEST(a_store_joins_what_it_reaches)
{
    ir_ref x = ir_get(b, IR_I64, 1);

    load(x, 0);
    load(x, 8);
    store(x, 0x100);
    load(x, 16); /* in reach of both: the latest */
    store(x, 24);
    ck_assert_uint_eq(shared(), 2);
    assert_range(xlate_of(0), 0, 15, false);
    ck_assert_uint_eq(access_no(1)->d, access_no(0)->d);
    assert_range(xlate_of(2), 16, 0x107, true);
    ck_assert_uint_eq(access_no(4)->d, access_no(2)->d);
}
END_TEST

/* A load that a store will follow counts as one. */
START_TEST(read_modify_write)
{
    ir_ref x = ir_get(b, IR_I64, 1), at = base_plus(x, 4);

    load(x, 0);
    ir_ld(b, IR_I32, at, IR_MEM_RMW);
    ck_assert_uint_eq(shared(), 1);
    assert_range(xlate_of(0), 0, 7, true);
    ck_assert_uint_eq(access_no(1)->d, access_no(0)->d);
}
END_TEST

/* Those near each other share, and all have the first one as base; that has no end of the address space between. */
START_TEST(pcs_have_one_base)
{
    load(ir_pc(b, IR_I64, 0x1000), 0);
    load(ir_pc(b, IR_I64, 0x100000), 0);
    store(ir_pc(b, IR_I64, 0x0ff0), 0);
    load(ir_pc(b, IR_I64, 0x1000 + INT64_C(0x7fffffc1)), 0);
    load(ir_pc(b, IR_I64, 0x1000 - INT64_C(0x80000000)), 0);
    load(ir_zext(b, IR_I64, ir_pc(b, IR_I32, 0x1000)), 0);
    ck_assert_uint_eq(shared(), 1);
    assert_range(xlate_of(0), -16, 7, true);
    ck_assert_uint_eq(access_no(2)->d, access_no(0)->d);
    ck_assert_uint_eq(access_no(1)->a, access_no(0)->a);
    ck_assert_uint_eq(access_no(1)->imm >> 32, 0xff000);
    ck_assert_uint_ne(access_no(3)->a, access_no(0)->a);
    ck_assert_uint_eq(access_no(4)->a, access_no(0)->a);
    ck_assert_uint_eq(access_no(4)->imm >> 32, 0x80000000);
    ck_assert_uint_ne(access_no(5)->a, access_no(0)->a);
}
END_TEST

/* Indices that are small by themselves: bytes, some bits, scaled. */
START_TEST(tables_share)
{
    ir_ref x = ir_get(b, IR_I64, 1), y = ir_get(b, IR_I64, 2), z = ir_get(b, IR_I64, 3);
    ir_ref byte = ir_zext(b, IR_I64, ir_zext(b, IR_I8, y)), bits = ir_bini(b, IR_AND, IR_I64, y, 0x70);

    load(ir_bin(b, IR_ADD, IR_I64, x, ir_bini(b, IR_SHL, IR_I64, byte, 1)), 2);
    load(ir_bin(b, IR_ADD, IR_I64, x, ir_bini(b, IR_SHL, IR_I64, byte, 2)), 0); /* 1028 bytes: not a table */
    load(ir_bin(b, IR_ADD, IR_I64, z, bits), 0);
    load(ir_bin(b, IR_ADD, IR_I64, x, bits), -4);
    store(z, 8); /* at its beginning, and a group of its own */
    store(z, 16);
    load(ir_bin(b, IR_ADD, IR_I64, x, y), 0);
    ck_assert_uint_eq(shared(), 2);
    assert_range(xlate_of(0), -4, 510 + 9, false);
    ck_assert_uint_eq(access_no(3)->d, access_no(0)->d);
    ck_assert_uint_eq(access_no(1)->d | access_no(2)->d | access_no(6)->d, 0);
    assert_range(xlate_of(4), 8, 23, true);
    ck_assert_uint_eq(access_no(5)->d, access_no(4)->d);
}
END_TEST

START_TEST(vectors_share)
{
    ir_ref x = ir_get(b, IR_I64, 1);

    ir_ldv(b, IR_V32, base_plus(x, 16), FAKE_FIELD(2), 0);
    ir_ldv(b, IR_V16, base_plus(x, 32), FAKE_FIELD(4), 0);
    ck_assert_uint_eq(shared(), 1);
    assert_range(xlate_of(0), 16, 47, false);
    ck_assert_uint_eq((uint32_t)access_no(1)->imm, FAKE_FIELD(4));
}
END_TEST

/* What takes the slow path always, or looks at the address itself. */
START_TEST(others_do_not_share)
{
    ir_ref x = ir_get(b, IR_I64, 1);

    ir_ldv(b, IR_V16, x, FAKE_FIELD(2), IR_MEM_ALIGN);
    ir_ldv(b, IR_V16, x, FAKE_FIELD(4), IR_MEM_ALIGN);
    ir_put(b, IR_I64, 9, ir_ld(b, IR_I64, x, IR_MEM_SUPER));
    ir_put(b, IR_I64, 9, ir_ld(b, IR_I64, x, IR_MEM_SUPER));
    ir_put(b, IR_I64, 9, ir_atomic(b, IR_ATOMIC_ADD, IR_I64, x, x, 0));
    load(x, 0);
    ck_assert_uint_eq(shared(), 0);
}
END_TEST

/* An I32 base and its extension are different values. */
START_TEST(bases_are_values)
{
    ir_ref x = ir_get(b, IR_I32, 1), wide = ir_zext(b, IR_I64, x);

    load(x, 0);
    load(wide, 0);
    load(base_plus(ir_get(b, IR_I64, 2), 0), 0);
    load(ir_get(b, IR_I64, 2), 8);
    ck_assert_uint_eq(shared(), 1);
    ck_assert_uint_eq(access_no(0)->d + access_no(1)->d, 0);
    ck_assert_uint_eq(access_no(2)->d, access_no(3)->d);
}
END_TEST

static void call(unsigned helper)
{
    ir_ref x = ir_get(b, IR_I64, 3), w = ir_get(b, IR_I32, 4);

    switch (helper) {
    case FAKE_SUM: ir_put(b, IR_I64, 9, ir_call(b, helper, x, x, 0, 0)); break;
    case FAKE_LOW: case FAKE_WRITE_FLAGS: case FAKE_MAYBE: ir_call(b, helper, w, 0, 0, 0); break;
    case FAKE_SET_REG0: case FAKE_SET_FIELD0: ir_call(b, helper, x, 0, 0, 0); break;
    case FAKE_FOUR: ir_call(b, helper, x, w, x, w); break;
    default: ir_call(b, helper, 0, 0, 0, 0); break;
    }
}

START_TEST(helpers_end_groups)
{
    static const struct {
        uint8_t helper;
        bool ends;
    } calls[] = { { FAKE_SUM, false }, { FAKE_LOW, false }, { FAKE_FOUR, false }, { FAKE_READ_FLAGS, false },
                  { FAKE_SUM_REGS, false }, { FAKE_WRITE_FLAGS, true }, { FAKE_SET_REG0, true },
                  { FAKE_SET_FIELD0, true }, { FAKE_MAYBE, true } };
    ir_ref x = ir_get(b, IR_I64, 1);

    load(x, 0);
    load(x, 8);
    call(calls[_i].helper);
    load(x, 16);
    load(x, 24);
    ck_assert_uint_eq(shared(), calls[_i].ends ? 2 : 1);
    ck_assert_uint_eq(access_no(1)->d, access_no(0)->d);
    ck_assert_uint_eq(access_no(3)->d, access_no(2)->d);
    ck_assert_uint_eq(access_no(2)->d == access_no(0)->d, !calls[_i].ends);
}
END_TEST

/* A group gets no members when as many others have begun since. */
START_TEST(open_groups_are_few)
{
    unsigned more = IR_OPEN_XLATES - 1 + (unsigned)_i;

    load(ir_get(b, IR_I64, 0), 0);
    for (unsigned r = 1; r <= more; r++)
        load(ir_get(b, IR_I64, r), 0);
    for (unsigned r = 0; r <= more; r++)
        load(ir_get(b, IR_I64, r), 8);
    ck_assert_uint_eq(shared(), _i ? 0 : IR_OPEN_XLATES);
}
END_TEST

/* The largest displacement there is does not overflow. */
START_TEST(far_displacements)
{
    ir_ref x = ir_get(b, IR_I64, 1);

    load(x, IR_MAX_DISP);
    load(x, IR_MAX_DISP - 248);
    load(x, INT32_MIN);
    ir_ldv(b, IR_V32, base_plus(x, INT32_MIN + 8), FAKE_FIELD(0), 0);
    ck_assert_uint_eq(shared(), 2);
    assert_range(xlate_of(0), IR_MAX_DISP - 248, IR_MAX_DISP + 7, false);
    assert_range(xlate_of(2), INT32_MIN, INT32_MIN + 39, false);
}
END_TEST

/* Every kind of operand behind an XLATE gets its new number. */
START_TEST(operands_are_renumbered)
{
    ir_ref x = ir_get(b, IR_I64, 1), w = ir_get(b, IR_I32, 2), v, sum;
    const struct ir_insn *insn = ir_block(b)->insn;

    load(x, 0);
    sum = ir_bin(b, IR_ADD, IR_I64, ir_get(b, IR_I64, 5), ir_get(b, IR_I64, 6));
    v = ir_select(b, IR_I64, ir_cmp(b, IR_CMP_EQ, IR_I32, w, ir_const(b, IR_I32, 7)), sum, x);
    ir_putfl(b, ir_flags(b, IR_FL_ADD, IR_I64, sum, v, 0));
    store(x, 8);
    ir_call(b, FAKE_FOUR, v, w, sum, ir_get(b, IR_I32, 7));
    store(x, 16);
    ck_assert_uint_eq(shared(), 1);
    ck_assert_uint_eq(insn[find(IR_PUT)->a].op, IR_LD);
    ck_assert(insn[find(IR_SELECT)->a].op == IR_CMP && insn[find(IR_SELECT)->b].op == IR_ADD &&
              insn[find(IR_SELECT)->c].op == IR_GET && insn[find(IR_SELECT)->c].imm == 1);
    ck_assert(insn[find(IR_CALL)->a].op == IR_SELECT && insn[find(IR_CALL)->b].imm == 2 &&
              insn[find(IR_CALL)->c].op == IR_ADD && insn[find(IR_CALL)->d].imm == 7);
    ck_assert_uint_eq(insn[access_no(1)->fl].op, IR_FL_ADD);
    ck_assert_uint_eq(insn[insn[access_no(1)->fl].a].op, IR_ADD);
    ck_assert_uint_eq(insn[access_no(1)->b].op, IR_CONST);
    ck_assert(access_no(1)->d == access_no(2)->d && access_no(1)->d);
    ir_opt_dead(ir_block(b), &fake_guest);
    ck_assert_uint_eq(find(IR_XLATE)->uses, 3);
    ck_assert_uint_eq(insn[access_no(2)->d].op, IR_XLATE);
}
END_TEST

/* All the XLATEs fit, or none comes in. */
START_TEST(full_blocks)
{
    ir_ref x, y;

    for (unsigned free = 0; free < 3; free++) {
        ir_start(b);
        x = ir_get(b, IR_I64, 1);
        y = ir_get(b, IR_I64, 2);
        load(x, 0);
        load(x, 8);
        store(y, 0);
        store(y, 8);
        while (ir_block(b)->num < IR_MAX_INSNS - 1 - free)
            ir_insn_start(b, 0, 1);
        ck_assert_uint_eq(shared(), free < 2 ? 0 : 2);
        ck_assert_uint_le(ir_block(b)->num, IR_MAX_INSNS);
    }
}
END_TEST

Suite *ir_share_suite(void);
Suite *ir_share_suite(void)
{
    Suite *s = suite_create("ir_share");
    TCase *tc = tcase_create("share");

    tcase_add_checked_fixture(tc, setup_folding, teardown);
    tcase_add_test(tc, loads_share);
    tcase_add_test(tc, single_accesses_probe);
    tcase_add_test(tc, range_is_limited);
    tcase_add_test(tc, a_store_makes_a_group_one_for_writing);
    tcase_add_test(tc, a_store_joins_what_it_reaches);
    tcase_add_test(tc, read_modify_write);
    tcase_add_test(tc, pcs_have_one_base);
    tcase_add_test(tc, tables_share);
    tcase_add_test(tc, vectors_share);
    tcase_add_test(tc, others_do_not_share);
    tcase_add_test(tc, bases_are_values);
    tcase_add_loop_test(tc, helpers_end_groups, 0, 9);
    tcase_add_loop_test(tc, open_groups_are_few, 0, 2);
    tcase_add_test(tc, far_displacements);
    tcase_add_test(tc, operands_are_renumbered);
    tcase_add_test(tc, full_blocks);
    suite_add_tcase(s, tc);
    return s;
}
