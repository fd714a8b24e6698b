/* x86-64 backend: vector fields in host registers. Random blocks of vector operations, accesses to parts of their
 * fields, memory accesses with slow paths, helpers and faults, with more fields than registers, for hosts with and
 * without extensions; whoever looks at the CPU struct must find what a direct reading of ir.def finds. */
#include <check.h>
#include <string.h>

#include "tests/unit/x86_fixture.h"

static uint64_t state;
static unsigned num_fields;     /* in use: few meet often, many do not fit */

static unsigned rnd(unsigned n)
{
    state = bt_hash(state + 1, 91);
    return (unsigned)(state >> 33) % n;
}

/* Of two fields that are in use one may be the other's second half. */
static uint64_t field(void) { return BT_OFF(vec) + 16 * rnd(num_fields); }
static uint64_t high_field(void) { return field() + bt_guest.vec_high; }
static uint64_t any_field(void) { return rnd(4) ? field() : high_field(); }

/* Of floating point there is what gives the same bits everywhere. */
static unsigned random_vop(void)
{
    static const uint16_t common[] = { TCG_V_MOVDQA, TCG_V_MOVDQA, TCG_V_PXOR, TCG_V_PADDB, TCG_V_PSUBQ, TCG_V_PADDB_Q,
                                       TCG_V_PCMPEQB, TCG_V_PUNPCKLQDQ, TCG_V_PSLLD_I };
    unsigned n = rnd(3) ? common[rnd(ARRAY_LEN(common))] : rnd(TCG_NUM_VOPS);

    return tcg_vops[n].kind == VK_XF || tcg_vops[n].kind == VK_XF1 ? TCG_V_MOVDQA : n;
}

static void gen_vop(void)
{
    static const uint8_t forms[] = { IR_V16, IR_V32, IR_V32, IR_V32 | IR_V_LOW_B, IR_V_CLEAR };
    unsigned n = random_vop(), kind = tcg_vops[n].kind, form = forms[rnd(ARRAY_LEN(forms))];
    bool across = kind == VK_L || kind == VK_L1, small = kind == VK_Q || kind == VK_Q1;
    uint64_t dst, a, b;
    ir_ref v;

    form = across ? IR_V32 : small ? IR_V16 : form;
    dst = form == IR_V16 ? any_field() : field();
    a = rnd(2) ? dst : form == IR_V16 ? any_field() : field();
    b = !rnd(8) ? a : form == IR_V16 ? any_field() : field();
    v = bt_add(IR_VOP, IR_I64, 0, 0, 0, n | dst << 16 | a << 32 | b << 48);
    bt_code[v].aux = (uint8_t)rnd(256);
    bt_code[v].cc = (uint8_t)form;
}

static void gen_zero(void)
{
    uint64_t first = rnd(num_fields), count = rnd(2) ? 1 : 1 + rnd(num_fields - (unsigned)first);

    bt_add(IR_VZERO, IR_I64, 0, 0, 0, (BT_OFF(vec) + 16 * first) << 16 | count << 32);
}

static void keep(ir_ref v)
{
    bt_set_field(bt_type(v), rnd(NUM_FIELDS), v);
}

/* Aligned to its size or not. */
static void gen_part(void)
{
    unsigned t = rnd(4), size = IR_BYTES(t);
    uint64_t offset = any_field() + (rnd(4) ? rnd(16 / size) * size : rnd(17 - size));

    if (rnd(2))
        keep(bt_add(IR_LDE, t, 0, 0, 0, offset));
    else
        bt_add(IR_STE, t, bt_field(t, rnd(NUM_FIELDS)), 0, 0, offset);
}

/* Conditions of the flags that `word` has, kept as a field. */
static void gen_flags(ir_ref word)
{
    ir_ref f = bt_add(IR_FL_RAW, IR_I32, word, 0, 0, 0), v;

    if (rnd(2))
        gen_part();
    if (rnd(2)) {
        v = bt_add(IR_COND, IR_I32, f, 0, 0, 0);
        bt_code[v].cc = (uint8_t)rnd(16);
        keep(bt_add(IR_SELECT, IR_I32, v, bt_const(IR_I32, 7), bt_const(IR_I32, 9), 0));
    }
    if (rnd(2))
        bt_add(IR_PUTFL, 0, f, 0, 0, 0);
}

static void gen_mask(void)
{
    static const uint8_t elements[] = { IR_I8, IR_I32, IR_I64 };

    ir_ref v = bt_add(IR_VMASK, elements[rnd(3)], 0, 0, 0, field());

    bt_code[v].cc = rnd(2) ? IR_V16 : IR_V32;
    keep(v);
}

/* Numbers with a fraction are what the bits make them, not-numbers too. The comparison's flags are looked at at once,
 * later, or not. */
static void gen_convert(void)
{
    unsigned t = 2 + rnd(2), what = rnd(4);
    uint64_t fields = field() << 16 | field() << 32 | field() << 48;
    ir_ref v;

    switch (rnd(4)) {
    case 0:
        v = bt_add(IR_VSET, t, bt_field(t, rnd(NUM_FIELDS)), 0, 0, fields);
        bt_code[v].cc = rnd(2) ? IR_V_CLEAR : IR_V16;
        return;
    case 1:
        v = bt_add(IR_VFROMI, t, bt_field(t, rnd(NUM_FIELDS)), 0, 0, fields);
        break;
    case 2:
        v = bt_add(IR_VTOI, t, 0, 0, 0, fields);
        if (rnd(4))
            keep(v);
        break;
    default:
        v = bt_add(IR_VCOM, IR_I32, 0, 0, 0, fields);
        if (rnd(4))
            gen_flags(v);
        break;
    }
    bt_code[v].aux = (uint8_t)(bt_code[v].op == IR_VFROMI ? what & IR_VF_DOUBLE : what);
    bt_code[v].cc = bt_code[v].op == IR_VFROMI && rnd(2) ? IR_V_CLEAR : IR_V16;
}

/* Odd pages and some others are not in the TLB. */
static ir_ref address(void)
{
    return bt_const(IR_I64, BT_BASE + rnd(5) * 0x1000 + rnd(0x1000));
}

/* Accesses that share a translation, with vector operations in between. */
static void gen_shared(void)
{
    ir_ref base = address(), x = bt_add(IR_XLATE, IR_I64, base, 0, 0, UINT64_C(127) << 32), v;

    bt_code[x].aux = (uint8_t)rnd(2);
    for (unsigned n = rnd(4) + 1; n; n--) {
        uint64_t disp = (uint64_t)rnd(97) << 32;
        if (rnd(4))
            v = bt_add(bt_code[x].aux && rnd(2) ? IR_STV : IR_LDV, IR_I64, base, 0, 0, disp | field());
        else
            keep(v = bt_add(IR_LD, IR_I64, base, 0, 0, disp));
        bt_code[v].d = x;
        if (rnd(2))
            gen_vop();
    }
}

static void gen_memory(void)
{
    static const uint8_t flags[] = { 0, 0, 0, IR_MEM_ALIGN, IR_MEM_SUPER };
    static const uint8_t forms[] = { IR_V4, IR_V8, IR_V16, IR_V32, IR_V32, IR_V4 | IR_V_CLEAR, IR_V_CLEAR };
    ir_ref a = address(), v;

    switch (rnd(4)) {
    case 0:
        keep(bt_add(IR_LD, IR_I64, a, 0, 0, 0));
        break;
    case 1:
        bt_add(IR_ST, IR_I32, a, bt_field(IR_I32, 1), 0, 0);
        break;
    default:
        v = bt_add(rnd(2) ? IR_LDV : IR_STV, IR_I64, a, 0, 0, field());
        bt_code[v].cc = forms[rnd(ARRAY_LEN(forms))];
        if (bt_code[v].op == IR_STV)
            bt_code[v].cc &= IR_V_SIZE;
        if ((bt_code[v].cc & IR_V_SIZE) == IR_V16 || (bt_code[v].cc & IR_V_SIZE) == IR_V32)
            bt_code[v].aux = flags[rnd(ARRAY_LEN(flags))];
        break;
    }
}

static void gen_call(void)
{
    ir_ref v = bt_field(IR_I64, 3), w = bt_field(IR_I32, 4);

    switch (rnd(4)) {
    case 0:
        bt_add(IR_CALL, IR_I64, v, v, 0, HELP_WRITE);
        break;
    case 1:
        bt_add(IR_CALL, IR_I32, w, 0, 0, HELP_FAULT);
        break;
    default:
        v = bt_add(IR_GETFL, 0, 0, 0, 0, 0);
        keep(bt_add(IR_EFLAGS, IR_I32, v, 0, 0, 0));
        break;
    }
}

static void gen_trap(void)
{
    ir_ref v = bt_add(IR_AND, IR_I32, bt_field(IR_I32, rnd(NUM_FIELDS)), bt_const(IR_I32, 0x11), 0, 0);

    v = bt_add(IR_CMP, IR_I32, v, bt_const(IR_I32, 0x11), 0, 0);
    bt_add(IR_TRAPIF, 0, v, 0, 0, HELP_RAISE1);
}

static void random_block(unsigned len)
{
    static void (*const gens[])(void) = { gen_vop, gen_vop, gen_vop, gen_vop, gen_part, gen_part, gen_mask, gen_memory,
                                          gen_memory, gen_shared, gen_convert, gen_zero };

    bt_ir.num = 1;
    while (bt_ir.num < len) {
        if (!rnd(4))
            bt_add(IR_INSN, 0, 0, 0, 0, bt_ir.num | UINT64_C(1) << 32);
        gens[rnd(ARRAY_LEN(gens))]();
        if (!rnd(24))
            gen_call();
        if (!rnd(30))
            gen_trap();
    }
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
}

static const uint32_t hosts[] = { UINT32_MAX, 0, TCG_ISA_SSE3 | TCG_ISA_SSSE3 | TCG_ISA_SSE41 | TCG_ISA_SSE42,
                                  TCG_ISA_SSE41 | TCG_ISA_AVX };

static void fuzz(unsigned host, unsigned from, unsigned count, unsigned len, unsigned fields)
{
    bt_setup_isa(hosts[host]);
    num_fields = fields;
    bt_jit->restless = bt_reader->restless = from & 1;
    for (unsigned n = from; n < from + count; n++) {
        state = n;
        random_block(len);
        bt_run_both(n);
    }
    bt_teardown();
}

START_TEST(test_few) { fuzz((unsigned)_i, 1, 1500, 30, 3); } END_TEST
START_TEST(test_some) { fuzz((unsigned)_i, 10001, 800, 80, 10); } END_TEST
START_TEST(test_many) { fuzz((unsigned)_i, 20001, 400, 200, NUM_VECTORS / 2); } END_TEST
START_TEST(test_long) { fuzz((unsigned)_i, 30000, 20, 1900, NUM_VECTORS / 2); } END_TEST

/* Turns of a block that jumps to itself, until a count is 0, somebody wants the processor or the block is dropped:
 * what is in the struct then, and at every slow path before. */
static void random_loop(bool back)
{
    static void (*const gens[])(void) = { gen_vop, gen_vop, gen_vop, gen_part, gen_memory, gen_convert, gen_zero };
    unsigned len = 6 + rnd(50);
    ir_ref n, cond;

    bt_ir.num = 1;
    n = bt_add(IR_GET, IR_I64, 0, 0, 0, 0);
    n = bt_add(IR_SUB, IR_I64, n, bt_const(IR_I64, 1), 0, 0);
    bt_add(IR_PUT, IR_I64, n, 0, 0, 0);
    while (bt_ir.num < len) {
        if (!rnd(4))
            bt_add(IR_INSN, 0, 0, 0, 0, bt_ir.num | UINT64_C(1) << 32);
        gens[rnd(ARRAY_LEN(gens))]();
    }
    cond = bt_add(IR_CMP, IR_I64, n, bt_const(IR_I64, 0), 0, 0);
    bt_code[cond].cc = back ? IR_CMP_NE : IR_CMP_EQ;
    bt_add(IR_BR, IR_I64, cond, 0, 0, back ? UINT64_C(4) << 32 : 4);
}

/* Without fields that stay in registers it is no loop but an exit to itself. */
static uintptr_t all_turns(struct tcg_block *blk, bool back)
{
    uintptr_t left;

    do
        left = bt_enter(bt_jit, blk->code);
    while (!blk->loop_at && left == ((uintptr_t)blk | !back));
    return left;
}

/* Is it a loop? */
static bool run_loop(uint64_t seed, bool back)
{
    struct bt_env *both[] = { bt_jit, bt_reader };
    unsigned turns = 1 + rnd(6), stop_at = rnd(2) ? 1 + rnd(4) : 0;
    bool closes = rnd(2);
    struct tcg_block blk;
    uintptr_t left;

    for (unsigned k = 0; k < 2; k++) {
        bt_reset(both[k], seed);
        both[k]->gpr[0] = turns;
        both[k]->stop_at = stop_at;
        both[k]->closes = closes;
    }
    bt_compile(&blk);
    bt_jit->blk = &blk;
    left = all_turns(&blk, back);
    do {
        bt_reader->reader_off = 0;
        bt_read(bt_reader);
    } while (bt_taken() == back && !bt_reader->stopped);
    ck_assert_uint_eq(left, bt_taken() == back ? 0 : ((uintptr_t)&blk | back));
    bt_compare((unsigned long)seed);
    bt_buf.at = (uint8_t *)(uintptr_t)blk.code;
    return blk.loop_at;
}

START_TEST(test_loops)
{
    unsigned loops = 0;

    bt_setup_isa(hosts[_i]);
    for (unsigned n = 40000; n < 41200; n++) {
        state = n;
        num_fields = n % 3 ? 5 : NUM_VECTORS / 2;
        random_loop(n & 1);
        loops += run_loop(n, n & 1);
    }
    ck_assert_uint_gt(loops, 600);
    bt_teardown();
}
END_TEST

static unsigned code_size(void)
{
    struct tcg_block blk;

    bt_compile(&blk);
    return blk.code_size;
}

/* Values that nobody sees are not stored, copies are no instructions, what is in a register is not loaded. */
START_TEST(test_economy)
{
    uint64_t x = BT_OFF(vec), y = x + 16, add = TCG_V_PADDD | x << 16 | x << 32 | y << 48;
    unsigned one, ten, copies;

    bt_setup();
    for (unsigned round = 0; round < 3; round++) {
        bt_ir.num = 1;
        for (unsigned n = 0; n < (round ? 10 : 1); n++) {
            bt_add(IR_VOP, IR_I64, 0, 0, 0, add);
            if (round == 2)
                bt_add(IR_VOP, IR_I64, 0, 0, 0, TCG_V_MOVDQA | (y + 16) << 16 | x << 32 | x << 48);
        }
        bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
        *(round == 0 ? &one : round == 1 ? &ten : &copies) = code_size();
        bt_run_both(round);
    }
    ck_assert_uint_le(ten - one, 9 * 4);
    ck_assert_uint_le(copies - ten, 9 * 4 + 8); /* a copy parts registers; one store more at the end */
    bt_teardown();
}
END_TEST

Suite *x86_vec_suite(void)
{
    Suite *s = suite_create("x86_vec");
    TCase *t = tcase_create("fields in registers");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_few, 0, ARRAY_LEN(hosts));
    tcase_add_loop_test(t, test_some, 0, ARRAY_LEN(hosts));
    tcase_add_loop_test(t, test_many, 0, ARRAY_LEN(hosts));
    tcase_add_loop_test(t, test_long, 0, ARRAY_LEN(hosts));
    tcase_add_loop_test(t, test_loops, 0, ARRAY_LEN(hosts));
    tcase_add_test(t, test_economy);
    suite_add_tcase(s, t);
    return s;
}
