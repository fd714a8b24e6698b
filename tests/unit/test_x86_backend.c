/* x86-64 backend: every operation, flag and exit, and random blocks, run as host code and by a direct reading
 * of ir.def; registers, fields, memory, flags, order and state of slow paths must agree. */
#include <check.h>
#include <string.h>
#include <xmmintrin.h>

#include "tests/unit/x86_fixture.h"

/* ---- random blocks ---- */

struct gen {
    uint64_t rnd;
    ir_ref v[4][IR_MAX_INSNS], bools[IR_MAX_INSNS], fl[IR_MAX_INSNS];
    unsigned num[4], num_bools, num_fl;
    ir_ref pending;     /* flags that the record does not have yet */
    unsigned recent;    /* prefer the latest so many values: pressure on registers when large */
    ir_ref xlate[IR_OPEN_XLATES];   /* that accesses may use */
    unsigned num_xlates;
    bool memory;        /* much of it, with shared translations */
};
static struct gen g;

static unsigned rnd(unsigned n)
{
    g.rnd = bt_hash(g.rnd + 1, 77);
    return (unsigned)(g.rnd >> 33) % n;
}

static ir_ref latest(const ir_ref *list, unsigned num)
{
    unsigned span = num < g.recent ? num : g.recent;
    return list[num - 1 - rnd(span)];
}

static uint64_t random_imm(void)
{
    static const uint64_t odd[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000,
                                    0xffffffff, UINT64_C(0x8000000000000000), ~UINT64_C(0), 0x10, 0xf };
    return rnd(3) ? odd[rnd(ARRAY_LEN(odd))] : bt_hash(g.rnd, 5);
}

static ir_ref keep(ir_ref v)
{
    unsigned t = bt_type(v);
    g.v[t][g.num[t]++] = v;
    return v;
}

static ir_ref any(unsigned t)
{
    if (!g.num[t] || !rnd(6))
        return keep(bt_const(t, random_imm()));
    return latest(g.v[t], g.num[t]);
}

static ir_ref boolean(void)
{
    if (!g.num_bools || !rnd(4)) {
        unsigned t = rnd(4);
        ir_ref a = any(t), b = any(t), v = bt_add(IR_CMP, t, a, b, 0, 0);
        bt_code[v].cc = (uint8_t)rnd(10);
        g.bools[g.num_bools++] = v;
        return v;
    }
    return latest(g.bools, g.num_bools);
}

static ir_ref flags(void)
{
    return g.num_fl ? latest(g.fl, g.num_fl) : (g.fl[g.num_fl++] = bt_add(IR_GETFL, 0, 0, 0, 0, 0));
}

static void with_pending(ir_ref v) { bt_code[v].fl = g.pending; }

static void put_flags(ir_ref f)
{
    bt_add(IR_PUTFL, 0, f, 0, 0, 0);
    g.pending = 0;
}

static void gen_arith(void)
{
    static const uint8_t ops[] = { IR_ADD, IR_ADD, IR_SUB, IR_SUB, IR_AND, IR_OR, IR_XOR, IR_MUL, IR_MULHU,
                                   IR_MULHS };
    unsigned t = rnd(4), op = ops[rnd(ARRAY_LEN(ops))];
    ir_ref a = any(t), b = any(t);

    keep(bt_add(op, t, a, b, 0, 0));
}

/* Additions or subtractions with carry in a row; something may come between, and somebody look at their flags. */
static void gen_carry_chain(void)
{
    bool add = rnd(2);
    unsigned t = rnd(4) ? 2 + rnd(2) : rnd(4), reg = rnd(16);
    ir_ref carry = boolean();

    for (unsigned n = 1 + rnd(4); n; n--) {
        ir_ref a = t >= IR_I32 && rnd(2) ? bt_add(IR_GET, t, 0, 0, 0, reg) : any(t), b = any(t);
        ir_ref res = keep(bt_add(add ? IR_ADC : IR_SBB, t, a, b, carry, 0));
        ir_ref f = bt_add(add ? IR_FL_ADC : IR_FL_SBB, t, res, b, carry, 0);
        if (t >= IR_I32 && rnd(2))
            bt_add(IR_PUT, t, res, 0, 0, reg);
        g.pending = rnd(3) ? g.pending : f;
        carry = bt_add(IR_COND, 0, f, 0, 0, 0);
        bt_code[carry].cc = rnd(8) ? 2 : (uint8_t)rnd(16);
        if (!rnd(4))
            keep(bt_add(rnd(2) ? IR_XOR : IR_MUL, t, a, b, 0, 0));
    }
    g.bools[g.num_bools++] = carry;
}

/* The carry of an addition or subtraction as a comparison, which the host's flags may have. */
static void gen_carry_compare(void)
{
    unsigned t = rnd(4);
    bool add = rnd(2);
    ir_ref a = any(t), b = any(t), res = keep(bt_add(add ? IR_ADD : IR_SUB, t, a, b, 0, 0));
    ir_ref v = add ? bt_add(IR_CMP, t, res, rnd(2) ? a : b, 0, 0) : bt_add(IR_CMP, t, a, b, 0, 0);

    bt_code[v].cc = (uint8_t)rnd(10);
    if (rnd(2))
        keep(bt_add(rnd(2) ? IR_ADC : IR_SBB, t, any(t), any(t), v, 0));
    else
        g.bools[g.num_bools++] = v;
}

/* Both results of one multiplication or division, or one of them. The divisor is not 0 and the quotient fits. */
static void gen_two_results(void)
{
    static const uint8_t first[] = { IR_MUL, IR_DIVU, IR_REMU, IR_DIVS, IR_REMS };
    static const uint8_t second[] = { IR_MULHU, IR_REMU, IR_DIVU, IR_REMS, IR_DIVS };
    unsigned k = rnd(5), t = 2 + rnd(2), which = 1 + rnd(3);
    ir_ref a = any(t), b = any(t), high = 0;

    if (k >= 3) {
        b = bt_add(IR_OR, t, b, bt_const(t, 0x40000000), 0, 0);
        b = bt_add(IR_AND, t, b, bt_const(t, MASK(IR_BITS(t) - 1)), 0, 0);
    } else if (k) {
        b = bt_add(IR_OR, t, b, bt_const(t, UINT64_C(1) << (IR_BITS(t) - 1)), 0, 0);
        high = rnd(2) ? bt_const(t, rnd(2)) : bt_add(IR_SHR, t, any(t), bt_const(IR_I32, 1 + rnd(20)), 0, 0);
    }
    if (which & 1)
        keep(bt_add(first[k], t, a, b, high, 0));
    if (which & 2)
        keep(bt_add(k || rnd(2) ? second[k] : IR_MULHS, t, a, b, high, 0));
}

static void gen_shift(void)
{
    static const uint8_t ops[] = { IR_SHL, IR_SHR, IR_SAR, IR_ROL, IR_ROR };
    unsigned t = rnd(4), op = ops[rnd(5)];
    ir_ref a = any(t), n;

    if (rnd(2)) {
        n = bt_const(IR_I32, rnd(IR_BITS(t)));
    } else {
        ir_ref x = any(IR_I32), m = bt_const(IR_I32, IR_BITS(t) - 1);
        n = bt_add(IR_AND, IR_I32, x, m, 0, 0);
    }
    keep(bt_add(op, t, a, n, 0, 0));
}

/* An address with a scaled index: the shift may have other users. */
static void gen_scaled(void)
{
    unsigned t = 1 + rnd(3);
    ir_ref a = any(t), x = any(t), n = bt_const(IR_I32, 1 + rnd(4)), s = bt_add(IR_SHL, t, x, n, 0, 0);

    if (rnd(3) == 0)
        keep(s);
    keep(rnd(4) ? bt_add(IR_ADD, t, a, s, 0, 0) : bt_add(IR_ADD, t, s, a, 0, 0));
}

static void gen_unary(void)
{
    static const uint8_t ops[] = { IR_NOT, IR_NEG, IR_BSWAP, IR_CTZ, IR_CLZ };
    unsigned op = ops[rnd(5)], t = op == IR_NOT || op == IR_NEG ? rnd(4) : 2 + rnd(2);

    keep(bt_add(op, t, any(t), 0, 0, 0));
}

static bool bt_host_has(unsigned op)
{
    static const uint32_t isa[IR_NUM_OPS] = {
        [IR_POPCNT] = TCG_ISA_POPCNT, [IR_PDEP] = TCG_ISA_BMI2, [IR_PEXT] = TCG_ISA_BMI2, [IR_BZHI] = TCG_ISA_BMI2,
        [IR_BEXTR] = TCG_ISA_BMI1, [IR_CRC32] = TCG_ISA_SSE42,
    };
    return !(isa[op] & ~tcg_host_isa());
}

/* What the host may not have. */
static void gen_bits(void)
{
    static const uint8_t ops[] = { IR_POPCNT, IR_PDEP, IR_PEXT, IR_BZHI, IR_BEXTR, IR_CRC32 };
    unsigned op = ops[rnd(ARRAY_LEN(ops))], t = op == IR_CRC32 ? rnd(4) : 2 + rnd(2);
    ir_ref a = any(op == IR_CRC32 ? IR_I32 : t);

    if (bt_host_has(op))
        keep(bt_add(op, t, a, op == IR_POPCNT ? 0 : any(t), 0, 0));
}

static void gen_resize(void)
{
    unsigned from = rnd(4), to = rnd(4);
    ir_ref a = any(from);

    if (from != to)
        keep(bt_add(from > to ? IR_TRUNC : rnd(2) ? IR_ZEXT : IR_SEXT, to, a, 0, 0, 0));
}

static void gen_field(void)
{
    unsigned t = 2 + rnd(2), bits = IR_BITS(t), len = rnd(3) ? 8u << rnd(2) : 1 + rnd(bits), pos;
    ir_ref a = any(t), b = any(t);

    pos = rnd(2) ? (len == 8 ? 8 : 0) : rnd(bits - len + 1);
    if (rnd(2))
        keep(bt_add(IR_EXTRACT, t, a, 0, 0, pos << 8 | len));
    else
        keep(bt_add(IR_DEPOSIT, t, a, b, 0, pos << 8 | len));
}

static void gen_select(void)
{
    unsigned t = rnd(4);
    ir_ref c = boolean(), a = any(t), b = any(t);

    keep(bt_add(IR_SELECT, t, c, a, b, 0));
}

static void gen_regs(void)
{
    unsigned t = 2 + rnd(2), r = rnd(rnd(3) ? 8 : 16);

    if (rnd(2)) {
        keep(bt_add(IR_GET, t, 0, 0, 0, r));
    } else {
        ir_ref v = any(t);
        bt_add(IR_PUT, t, v, 0, 0, r);
    }
}

static void gen_env(void)
{
    unsigned t = rnd(4);

    if (rnd(2)) {
        keep(bt_field(t, rnd(NUM_FIELDS)));
    } else if (rnd(4)) {
        bt_set_field(t, rnd(NUM_FIELDS), any(t));
    } else {
        keep(bt_add(IR_PC, 2 + rnd(2), 0, 0, 0, random_imm()));
    }
}

static void gen_flags(void)
{
    static const uint8_t ops[] = { IR_FL_ADD, IR_FL_ADC, IR_FL_SUB, IR_FL_SBB, IR_FL_CMP, IR_FL_LOGIC,
                                   IR_FL_INC, IR_FL_DEC, IR_FL_SHL, IR_FL_SHR, IR_FL_MUL, IR_FL_BITS,
                                   IR_FL_CO, IR_FL_RAW, IR_FL_SETC };
    unsigned op = ops[rnd(ARRAY_LEN(ops))], t = op == IR_FL_RAW ? IR_I32 : rnd(4);
    const struct ir_op_info *info = &ir_ops[op];
    ir_ref x[3] = { 0 };
    const char letter[3] = { info->a, info->b, info->c };

    for (unsigned k = 0; k < 3; k++)
        x[k] = letter[k] == 'F' ? flags() : letter[k] == '-' ? 0
             : letter[k] == 'T' || !k ? any(t) : boolean();
    g.fl[g.num_fl++] = bt_add(op, t, x[0], x[1], x[2], 0);
}

/* An operation with its flags at once, as an instruction makes them. */
static void gen_alu_insn(void)
{
    static const uint8_t ops[] = { IR_ADD, IR_SUB, IR_AND, IR_XOR, IR_ADD, IR_SUB, IR_NEG };
    static const uint8_t kinds[] = { IR_FL_ADD, IR_FL_SUB, IR_FL_LOGIC, IR_FL_LOGIC, IR_FL_INC, IR_FL_DEC,
                                     IR_FL_SUB };
    unsigned k = rnd(7), t = rnd(4), reg = rnd(8);
    ir_ref a = t >= IR_I32 ? keep(bt_add(IR_GET, t, 0, 0, 0, reg)) : any(t);
    ir_ref b = kinds[k] == IR_FL_INC || kinds[k] == IR_FL_DEC ? bt_const(t, 1) : any(t), f;
    ir_ref c = boolean(), res = keep(bt_add(ops[k], t, a, k == 6 ? 0 : b, 0, 0));

    if (kinds[k] == IR_FL_INC || kinds[k] == IR_FL_DEC)
        b = c;
    f = bt_add(kinds[k], t, res, kinds[k] == IR_FL_LOGIC ? 0 : k == 6 ? a : b, 0, 0);
    g.fl[g.num_fl++] = f;
    if (t >= IR_I32 && rnd(2))
        bt_add(IR_PUT, t, res, 0, 0, reg);
    g.pending = rnd(2) ? f : g.pending;
}

/* A shift by a constant with its flags. */
static void gen_shift_insn(void)
{
    static const uint8_t ops[] = { IR_SHL, IR_SHR, IR_SAR };
    unsigned t = rnd(8) ? 2 + rnd(2) : rnd(2), reg = rnd(16), op = ops[rnd(3)], n = 1 + rnd(IR_BITS(t) - 2);
    ir_ref a = t >= IR_I32 ? keep(bt_add(IR_GET, t, 0, 0, 0, reg)) : any(t);
    ir_ref x = bt_add(op, t, a, bt_const(IR_I32, n), 0, 0), res = keep(bt_add(op, t, a, bt_const(IR_I32, n + 1), 0, 0));
    ir_ref f = bt_add(op == IR_SHL ? IR_FL_SHL : IR_FL_SHR, t, res, x, 0, 0);

    g.fl[g.num_fl++] = f;
    if (!rnd(4))
        keep(x);
    if (t >= IR_I32 && rnd(4))
        bt_add(IR_PUT, t, res, 0, 0, reg);
    g.pending = rnd(4) ? f : g.pending;
}

static void gen_flag_use(void)
{
    unsigned k = rnd(8);

    if (k == 0 && !g.pending) {
        g.fl[g.num_fl++] = bt_add(IR_GETFL, 0, 0, 0, 0, 0);
    } else if (k <= 1) {
        put_flags(flags());
    } else if (k == 2) {
        g.pending = flags();
    } else if (k == 3) {
        ir_ref f = flags();
        keep(bt_add(IR_EFLAGS, 0, f, 0, 0, 0));
    } else {
        ir_ref f = flags(), v = bt_add(IR_COND, 0, f, 0, 0, 0);
        bt_code[v].cc = (uint8_t)rnd(16);
        g.bools[g.num_bools++] = v;
        if (rnd(2)) {
            ir_ref a = any(IR_I64), b = any(IR_I64);
            keep(bt_add(IR_SELECT, IR_I64, v, a, b, 0));
        }
    }
}

static ir_ref address(void)
{
    bool wide = rnd(2);
    uint64_t near = BT_BASE + rnd(16) * 0x1000 + (rnd(3) ? rnd(0x1000) : 0xff0 + rnd(16));
    ir_ref a = any(IR_I64), low = bt_const(IR_I64, 0xffff), base = bt_const(IR_I64, BT_BASE);

    if (rnd(2))
        return rnd(2) ? bt_const(IR_I64, near) : bt_const(IR_I32, near);
    if (!wide) /* bits above 32 are the address's undefined ones */
        low = bt_const(IR_I64, UINT64_C(0xffffffff0000ffff));
    a = bt_add(IR_AND, IR_I64, a, low, 0, 0);
    a = bt_add(IR_ADD, IR_I64, a, base, 0, 0);
    return wide ? a : bt_add(IR_TRUNC, IR_I32, a, 0, 0, 0);
}

/* Where a displacement leads into the memory: known before the block runs, or not; I32 with or without bits above. */
static ir_ref base_of(int32_t disp)
{
    uint64_t to = BT_BASE + rnd(BT_MEM_SIZE) - (uint64_t)(int64_t)disp;
    unsigned how = rnd(5);
    ir_ref a, none;

    if (how == 0)
        return bt_const(IR_I64, to);
    if (how == 1)
        return bt_const(IR_I32, (uint32_t)to);
    a = any(IR_I64);
    none = bt_const(IR_I64, how == 2 ? UINT64_C(0xffffffff00000000) : 0);
    a = bt_add(IR_AND, IR_I64, a, none, 0, 0);
    none = bt_const(IR_I64, to);
    a = bt_add(IR_ADD, IR_I64, a, none, 0, 0);
    return how == 4 ? a : bt_add(IR_TRUNC, IR_I32, a, 0, 0, 0);
}

static int32_t displacement(void)
{
    static const int32_t odd[] = { 0, 0, 0, 8, -8, 0x1000, -0x20000, INT32_MIN, IR_MAX_DISP - 16, 0x7fff0000 };

    return rnd(2) ? odd[rnd(ARRAY_LEN(odd))] : (int32_t)rnd(256) - 128;
}

/* The access that a translation stands in front of takes over its slow path. */
static void gen_xlate(void)
{
    unsigned t = rnd(4);
    int64_t lo = displacement(), hi = lo + rnd(rnd(4) ? 128 : 1 << TCG_PAGE_BITS);
    ir_ref a = base_of((int32_t)lo), v;

    v = bt_add(IR_XLATE, IR_I64, a, 0, 0, (uint32_t)lo | (uint64_t)(hi > INT32_MAX ? INT32_MAX : hi) << 32);
    bt_code[v].aux = (uint8_t)rnd(2);
    g.xlate[g.num_xlates++ % IR_OPEN_XLATES] = v;
    if (rnd(2) || hi - lo < 8 || hi > INT32_MAX)
        return;
    a = bt_add(IR_LD, t, a, 0, 0, (uint64_t)(uint32_t)lo << 32);
    bt_code[a].d = v;
    with_pending(a);
    keep(a);
}

/* Let access v, of any address so far, take one of the translations. */
static void share(ir_ref v, bool writes, unsigned size)
{
    unsigned n = g.num_xlates < IR_OPEN_XLATES ? g.num_xlates : IR_OPEN_XLATES;
    ir_ref d = n ? g.xlate[rnd(n)] : 0;
    int64_t lo = (int32_t)bt_code[d].imm, room = (int64_t)(int32_t)(bt_code[d].imm >> 32) - lo + 2 - size;

    if (!d || room <= 0 || (writes && !bt_code[d].aux) || (bt_code[v].aux & (IR_MEM_ALIGN | IR_MEM_SUPER)) ||
        lo + room - 1 > IR_MAX_DISP)
        return;
    bt_code[v].a = bt_code[d].a;
    bt_code[v].imm = (uint32_t)bt_code[v].imm | (uint64_t)(lo + rnd((unsigned)room)) << 32;
    if (rnd(8))
        bt_code[v].d = d;
}

static void gen_memory(void)
{
    unsigned t = rnd(4), aux = rnd(6) ? 0 : rnd(16);
    int32_t disp = rnd(2) ? 0 : displacement();
    ir_ref a = disp ? base_of(disp) : address(), v;

    switch (rnd(6)) {
    case 0:
    case 1:
    case 2:
        v = bt_add(IR_LD, t, a, 0, 0, 0);
        keep(v);
        aux |= rnd(4) ? 0 : IR_MEM_RMW;
        break;
    case 3:
    case 4:
        v = any(t);
        v = bt_add(IR_ST, t, a, v, 0, 0);
        break;
    default:
        v = bt_add(rnd(2) ? IR_LDV : IR_STV, 0, a, 0, 0, BT_OFF(vec) + 16 * rnd(8));
        bt_code[v].cc = rnd(4) ? IR_V16 : IR_V32;
        bt_code[v].aux = (uint8_t)aux;
        with_pending(v);
        if (!(aux & IR_MEM_ALIGN))
            bt_code[v].imm |= (uint64_t)disp << 32;
        share(v, bt_code[v].op == IR_STV || (aux & IR_MEM_RMW), ir_access_size(&bt_code[v]));
        return;
    }
    bt_code[v].aux = (uint8_t)(aux & ~(unsigned)IR_MEM_ALIGN);
    bt_code[v].imm = (uint64_t)disp << 32;
    with_pending(v);
    share(v, bt_code[v].op == IR_ST || (aux & IR_MEM_RMW), IR_BYTES(t));
}

static void gen_atomic(void)
{
    bool cas = rnd(3) == 0;
    unsigned t = rnd(4);
    ir_ref a = address(), x = any(t), y = cas ? any(t) : 0, v;

    if (rnd(8) == 0)
        bt_add(IR_FENCE, IR_I64, 0, 0, 0, 0);
    v = keep(bt_add(cas ? IR_CAS : IR_ATOMIC, t, a, x, y, cas ? 0 : rnd(IR_NUM_ATOMICS)));
    bt_code[v].aux = rnd(4) ? 0 : (uint8_t)(rnd(2) ? IR_MEM_STACK : IR_MEM_FLAT);
    with_pending(v);
}

/* All by C. */
static void gen_x87(void)
{
    ir_ref v;

    if (rnd(2)) {
        v = bt_add(IR_X87, IR_I32, 0, 0, 0, IR_X87_IMM(0xdb, 0xf0 + rnd(8), HELP_FAULT, rnd(100)));
        with_pending(v);
        keep(v);
    } else {
        v = bt_add(IR_X87M, IR_I64, address(), 0, 0, IR_X87_IMM(0xd9, 0, HELP_X87M, rnd(100)));
        bt_code[v].cc = 4;
        bt_code[v].aux = rnd(2) ? IR_MEM_RMW : 0;
        with_pending(v);
    }
}

static void gen_call(void)
{
    unsigned n = rnd(NUM_FUZZ_HELPERS), k = 0;
    ir_ref x[4] = { 0 };

    for (const char *p = bt_helpers[n].args; *p; p++)
        x[k++] = any(*p == '4' ? IR_I32 : IR_I64);
    if (g.pending && (bt_helpers[n].effects & H_FAULT))
        put_flags(g.pending);
    ir_ref v = bt_add(IR_CALL, bt_helpers[n].result == '8' ? IR_I64 : IR_I32, x[0], x[1], x[2], n);
    bt_code[v].d = x[3];
    if (bt_helpers[n].result != 'v')
        keep(v);
    if (!tcg_helper_only_reads(&bt_helpers[n]))
        g.num_xlates = 0;
}

static void gen_check(void)
{
    if (rnd(2)) {
        ir_ref v = rnd(2) ? bt_const(IR_I32, rnd(0x20000)) : any(2 + rnd(2));
        uint64_t size = rnd(2) ? 0 : 7, helper = HELP_RAISE | 9 << 16;
        with_pending(bt_add(IR_BOUND, 0, v, 0, 0, BT_OFF(bounds) | size << 16 | helper << 32));
    } else {
        ir_ref v = boolean();
        with_pending(bt_add(IR_TRAPIF, 0, v, 0, 0, HELP_RAISE1 | UINT64_C(0xfedcba98) << 32));
    }
}

/* Most of those in longer blocks are not taken. */
static void gen_side_exit(void)
{
    static const uint8_t ips[] = { IR_I16, IR_I32, IR_I64 };
    unsigned t = rnd(4), delta = rnd(8000);
    ir_ref cond, v;

    if (bt_ir.num_exits + 2 >= TCG_MAX_EXITS)
        return;
    if (rnd(4)) {
        ir_ref a = any(t);
        cond = bt_add(IR_CMP, t, a, bt_const(t, random_imm()), 0, 0);
        g.bools[g.num_bools++] = cond;
    } else {
        cond = boolean();
    }
    if (rnd(3)) {
        v = bt_add(IR_EXITIF, ips[rnd(3)], cond, 0, 0, (uint32_t)(delta - 4000) | (uint64_t)bt_ir.num_exits++ << 32);
        bt_code[v].aux = (uint8_t)(rnd(3) ? 0 : IR_FAR(0));
    } else {
        ir_ref pc = any(IR_I64);
        v = bt_add(IR_GOTOIF, IR_I64, cond, pc, 0, 0);
    }
    with_pending(v);
}

static void gen_vop(void)
{
    unsigned n = rnd(TCG_NUM_VOPS), kind = tcg_vops[n].kind;
    uint64_t dst = BT_OFF(vec) + 16 * rnd(8), a = BT_OFF(vec) + 16 * rnd(8), b = BT_OFF(vec) + 16 * rnd(8);

    if (kind != VK_XF && kind != VK_XF1 && kind != VK_L && kind != VK_L1)
        bt_add(IR_VOP, 0, 0, 0, 0, n | dst << 16 | a << 32 | b << 48);
}

static void gen_vmask(void)
{
    static const uint8_t elements[] = { IR_I8, IR_I32, IR_I64 };

    keep(bt_add(IR_VMASK, elements[rnd(3)], 0, 0, 0, BT_OFF(vec) + 16 * rnd(8)));
}

static void gen_insn(void)
{
    static void (*const gens[])(void) = {
        gen_arith, gen_arith, gen_arith, gen_scaled, gen_shift, gen_shift_insn, gen_unary, gen_bits, gen_resize, gen_resize,
        gen_field, gen_select, gen_carry_chain, gen_carry_compare, gen_two_results,
        gen_regs, gen_regs, gen_regs, gen_env, gen_flags, gen_alu_insn, gen_alu_insn, gen_flag_use,
        gen_flag_use, gen_memory, gen_memory, gen_atomic, gen_x87, gen_call, gen_vop, gen_vmask, gen_side_exit,
    };
    static void (*const memory[])(void) = { gen_xlate, gen_memory, gen_memory, gen_memory, gen_memory, gen_memory,
                                            gen_x87 };

    if (g.memory && rnd(2))
        memory[rnd(ARRAY_LEN(memory))]();
    else
        gens[rnd(ARRAY_LEN(gens))]();
}

static void gen_end(unsigned len)
{
    ir_ref b;

    for (unsigned k = 0; k < 12 && len > 40; k++)
        bt_set_field(IR_I64, k, any(IR_I64));
    if (g.pending)
        put_flags(g.pending);
    if (rnd(2)) {
        b = boolean();
        bt_add(IR_BR, IR_I64, b, 0, 0, (1 + rnd(5000)) | (uint64_t)-(1 + (int64_t)rnd(3000)) << 32); /* no loop */
    } else {
        bt_add(IR_EXIT, IR_I64, 0, 0, 0, (uint32_t)((int32_t)random_imm() / 2));
    }
}

static void random_block(uint64_t seed, unsigned len, unsigned recent, bool raises)
{
    bool memory = g.memory;

    memset(&g, 0, sizeof(g));
    g.rnd = seed;
    g.recent = recent;
    g.memory = memory;
    bt_ir.num = 1;
    bt_ir.num_exits = 0;
    bt_ir.page_off = (uint16_t)rnd(4096);
    while (bt_ir.num < len) {
        if (!rnd(8))
            bt_add(IR_INSN, 0, 0, 0, 0, bt_ir.num | UINT64_C(1) << 32);
        gen_insn();
        if (raises && !rnd(40))
            gen_check();
    }
    gen_end(len);
}

static void fuzz(unsigned from, unsigned count, unsigned len, unsigned recent, bool raises)
{
    for (unsigned n = from; n < from + count; n++) {
        random_block(n, len, recent, raises);
        bt_ir.warm = n & 1;
        bt_reset(bt_jit, n);
        bt_jit->bounds[0] = bt_reader->bounds[0] = 16;
        bt_jit->bounds[1] = bt_reader->bounds[1] = 0x1ffff;
        bt_run_both(n);
    }
}

START_TEST(test_fuzz_short) { fuzz(1, 3000, 12, 4, false); } END_TEST
START_TEST(test_fuzz_medium) { fuzz(100000, 1500, 80, 8, true); } END_TEST
START_TEST(test_fuzz_pressure) { fuzz(200000, 300, 400, 60, false); } END_TEST
START_TEST(test_fuzz_long) { fuzz(300000, 40, 1900, 300, false); } END_TEST

static void fuzz_shared(unsigned from, unsigned count, unsigned len, unsigned recent, bool raises)
{
    g.memory = bt_jit->restless = bt_reader->restless = true;
    fuzz(from, count, len, recent, raises);
}

START_TEST(test_fuzz_shared_short) { fuzz_shared(400000, 1500, 16, 4, true); } END_TEST
START_TEST(test_fuzz_shared) { fuzz_shared(500000, 600, 120, 12, true); } END_TEST
START_TEST(test_fuzz_shared_pressure) { fuzz_shared(600000, 100, 400, 60, false); } END_TEST

/* ---- every pure operation, type and operand, one at a time ---- */

static const uint64_t operands[] = {
    0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
    UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), ~UINT64_C(0), UINT64_C(0x123456789abcdef0),
};

static void one_op(unsigned op, unsigned t, unsigned cc, uint64_t imm, bool second_const, uint64_t b)
{
    unsigned shift = op == IR_SHL || op == IR_SHR || op == IR_SAR || op == IR_ROL || op == IR_ROR;
    unsigned bt = shift ? IR_I32 : t;

    bt_ir.num = 1;
    ir_ref x = bt_field(op == IR_CRC32 ? IR_I32 : t, 0), y = second_const ? bt_const(bt, b) : bt_field(bt, 1);
    ir_ref v = bt_add(op, t, x, ir_ops[op].b == '-' ? 0 : y, 0, imm);
    bt_code[v].cc = (uint8_t)cc;
    bt_set_field(bt_type(v), 2, v);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
}

static void run_one_op(uint64_t a, uint64_t b)
{
    struct tcg_block blk;

    bt_compile(&blk);
    bt_reset(bt_jit, 1);
    bt_reset(bt_reader, 1);
    bt_jit->field[0] = bt_reader->field[0] = a;
    bt_jit->field[1] = bt_reader->field[1] = b;
    bt_run(&blk);
    bt_read(bt_reader);
    bt_compare((unsigned long)a);
    bt_buf.at = (uint8_t *)(uintptr_t)blk.code;
}

START_TEST(test_operations)
{
    static const uint8_t ops[] = { IR_ADD, IR_SUB, IR_AND, IR_OR, IR_XOR, IR_MUL, IR_MULHU, IR_MULHS, IR_NOT,
                                   IR_NEG, IR_SHL, IR_SHR, IR_SAR, IR_ROL, IR_ROR, IR_CTZ, IR_CLZ, IR_POPCNT,
                                   IR_PDEP, IR_PEXT, IR_BZHI, IR_BEXTR, IR_CRC32 };
    unsigned op = ops[_i / 4], t = (unsigned)_i % 4;
    bool shift = op >= IR_SHL && op <= IR_ROR;

    if ((op >= IR_CTZ && op < IR_CRC32 && t < IR_I32) || !bt_host_has(op))
        return;

    for (unsigned i = 0; i < ARRAY_LEN(operands); i++)
        for (unsigned k = 0; k < ARRAY_LEN(operands); k++)
            for (unsigned constant_b = 0; constant_b < 2; constant_b++) {
                uint64_t b = shift ? operands[k] % IR_BITS(t) : operands[k];
                one_op(op, t, 0, 0, constant_b, b);
                run_one_op(operands[i], b);
            }
}
END_TEST

/* As on a host without TZCNT and LZCNT, which leave BSF and BSR, that say nothing of 0. */
START_TEST(test_zero_counts)
{
    bt_teardown();
    bt_setup_isa(0);
    for (unsigned t = IR_I32; t <= IR_I64; t++)
        for (unsigned i = 0; i < ARRAY_LEN(operands); i++) {
            one_op(_i ? IR_CLZ : IR_CTZ, t, 0, 0, false, 0);
            run_one_op(operands[i], 0);
        }
}
END_TEST

/* Division, with and without its partner; the helper of a fault is not the host's business. */
START_TEST(test_divide)
{
    static const uint8_t ops[] = { IR_DIVU, IR_REMU, IR_DIVS, IR_REMS };
    static const uint64_t divisors[] = { 1, 3, 10, 0x7fffffff, 0xfffffffe, UINT64_C(0x8000000000000001) };
    unsigned op = ops[_i / 2], t = IR_I32 + (unsigned)_i % 2;
    bool with_high = _i < 4;
    struct tcg_block blk;

    bt_ir.num = 1;
    ir_ref a = bt_field(t, 0), d = bt_field(t, 1), high = with_high ? bt_field(t, 2) : 0;
    bt_set_field(t, 4, bt_add(op, t, a, d, high, 0));
    bt_set_field(t, 5, bt_add(ops[_i / 2 ^ 1], t, a, d, high, 0));
    bt_set_field(t, 6, bt_add(op, t, a, d, high, 0));
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(&blk);
    for (unsigned n = 0; n < ARRAY_LEN(operands) * ARRAY_LEN(divisors); n++) {
        uint64_t y = divisors[n % ARRAY_LEN(divisors)] & MASK(IR_BITS(t));
        bt_reset(bt_jit, n);
        bt_reset(bt_reader, n);
        bt_jit->field[0] = bt_reader->field[0] = operands[n / ARRAY_LEN(divisors)];
        bt_jit->field[1] = bt_reader->field[1] = y;
        bt_jit->field[2] = bt_reader->field[2] = y - 1;
        bt_run(&blk);
        bt_read(bt_reader);
        bt_compare(n);
    }
}
END_TEST

START_TEST(test_compare)
{
    for (unsigned i = 0; i < ARRAY_LEN(operands); i++)
        for (unsigned k = 0; k < ARRAY_LEN(operands); k++)
            for (unsigned t = 0; t < 4; t++) {
                one_op(IR_CMP, t, (unsigned)_i, 0, k & 1, operands[k]);
                run_one_op(operands[i], operands[k]);
            }
}
END_TEST

/* ---- flags: every kind, condition, width ---- */

static void flags_block(unsigned op, unsigned t, bool at_record)
{
    bt_ir.num = 1;
    ir_ref x = bt_field(op == IR_FL_RAW ? IR_I32 : t, 0), y = bt_field(t, 1);
    ir_ref c = bt_field(IR_I32, 2);
    const struct ir_op_info *info = &ir_ops[op];
    ir_ref b = info->b == '-' ? 0 : info->b == '4' ? c : y;
    ir_ref f = bt_add(op, t, x, b, info->c == '-' ? 0 : c, 0);

    if (at_record) {
        bt_add(IR_PUTFL, 0, f, 0, 0, 0);
        f = bt_add(IR_GETFL, 0, 0, 0, 0, 0);
    }
    for (unsigned cc = 0; cc < 16; cc++) {
        ir_ref v = bt_add(IR_COND, 0, f, 0, 0, 0);
        bt_code[v].cc = (uint8_t)cc;
        v = bt_add(IR_TRUNC, IR_I8, v, 0, 0, 0);
        bt_add(IR_STE, IR_I8, v, 0, 0, BT_OFF(vec) + cc);
        v = bt_add(IR_COND, 0, f, 0, 0, 0);
        bt_code[v].cc = (uint8_t)cc;
        v = bt_add(IR_SELECT, IR_I8, v, bt_const(IR_I8, 3), bt_const(IR_I8, 4), 0);
        bt_add(IR_STE, IR_I8, v, 0, 0, BT_OFF(vec) + 16 + cc);
    }
    ir_ref w = bt_add(IR_EFLAGS, 0, f, 0, 0, 0);
    bt_add(IR_STE, IR_I32, w, 0, 0, BT_OFF(field) + 24);
    f = bt_add(IR_FL_SETC, 0, f, c, 0, 0);
    bt_add(IR_PUTFL, 0, f, 0, 0, 0);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
}

static void check_flags(unsigned op, unsigned t, uint64_t a, uint64_t b, unsigned c)
{
    uint32_t word = ir_flags_eval(op, t, a, ir_ops[op].b == '4' ? c : b, c);

    for (unsigned cc = 0; cc < 16; cc++) {
        bool holds = ir_cond_eval(cc, word);
        ck_assert_msg(bt_jit->vec[0][cc] == holds && bt_jit->vec[1][cc] == (holds ? 3 : 4),
                      "%s type %u cc %u a %llx b %llx c %u", ir_ops[op].name, t, cc,
                      (unsigned long long)a, (unsigned long long)b, c);
    }
    ck_assert_uint_eq(bt_jit->field[3] & UINT32_MAX, word);
    ck_assert_uint_eq(bt_flags(bt_jit), (word & ~(uint32_t)IR_CF) | c);
}

START_TEST(test_flags)
{
    struct tcg_block blk;
    unsigned op = IR_FL_ADD + (unsigned)_i / 4, t = op == IR_FL_RAW ? IR_I32 : (unsigned)_i % 4;

    for (unsigned record = 0; record < 2; record++) {
        flags_block(op, t, record);
        bt_compile(&blk);
        for (unsigned n = 0; n < 2 * ARRAY_LEN(operands) * ARRAY_LEN(operands); n++) {
            bt_reset(bt_jit, n);
            bt_jit->field[0] = operands[n / 2 % ARRAY_LEN(operands)];
            bt_jit->field[1] = operands[n / 2 / ARRAY_LEN(operands)];
            bt_jit->field[2] = n & 1;
            uint64_t a = bt_jit->field[0], b = bt_jit->field[1];
            bt_run(&blk);
            check_flags(op, t, a, b, n & 1);
        }
    }
}
END_TEST

/* A vector operation sees and accumulates in the guest's MXCSR; the host's own comes back. */
START_TEST(test_mxcsr)
{
    struct tcg_block blk;
    uint64_t dst = BT_OFF(vec), a = BT_OFF(vec) + 16, b = BT_OFF(vec) + 32;
    const float one = 1, three = 3;

    bt_ir.num = 1;
    bt_add(IR_VOP, 0, 0, 0, 0, TCG_V_DIVSS | dst << 16 | a << 32 | b << 48);
    bt_add(IR_EXIT, IR_I64, 0, 0, 0, 0);
    bt_compile(&blk);
    for (unsigned round = 0; round < 2; round++) {
        uint32_t before = _mm_getcsr();
        bt_reset(bt_jit, 3);
        memcpy(bt_jit->vec[1], &one, 4);
        memcpy(bt_jit->vec[2], &three, 4);
        bt_jit->mxcsr = round ? 0x5f80 : 0x3f80; /* up, down */
        bt_run(&blk);
        ck_assert_uint_eq(_mm_getcsr(), before);
        ck_assert_uint_eq(bt_jit->mxcsr & 0x3f, 0x20);
        ck_assert_uint_eq(load_le(bt_jit->vec[0], 4), round ? 0x3eaaaaab : 0x3eaaaaaa);
        ck_assert_mem_eq(bt_jit->vec[0] + 4, bt_jit->vec[1] + 4, 12);
    }
}
END_TEST

Suite *x86_backend_suite(void)
{
    Suite *s = suite_create("x86_backend");
    TCase *t = tcase_create("blocks");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, bt_setup, bt_teardown);
    tcase_add_loop_test(t, test_operations, 0, 4 * 23);
    tcase_add_loop_test(t, test_zero_counts, 0, 2);
    tcase_add_loop_test(t, test_compare, 0, 10);
    tcase_add_loop_test(t, test_divide, 0, 8);
    tcase_add_loop_test(t, test_flags, 0, 56);
    tcase_add_test(t, test_fuzz_short);
    tcase_add_test(t, test_fuzz_medium);
    tcase_add_test(t, test_fuzz_pressure);
    tcase_add_test(t, test_fuzz_long);
    tcase_add_test(t, test_fuzz_shared_short);
    tcase_add_test(t, test_fuzz_shared);
    tcase_add_test(t, test_fuzz_shared_pressure);
    tcase_add_test(t, test_mxcsr);
    suite_add_tcase(s, t);
    return s;
}
