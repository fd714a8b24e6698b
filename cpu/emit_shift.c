/* Emission of shifts and rotates. Counts are taken modulo 32, 64 for 64-bit operands; count 0 changes no
 * flag. */
#include "cpu/emit.h"

enum { CC_B = 2 };
/* Numbers as in ModRM.reg of C0, C1, D0..D3. */
enum { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAL, SH_SAR };

/* The masked count operand, I32. */
static ir_ref shift_count(struct emit *e, unsigned n, unsigned size)
{
    ir_ref count = ir_zext(e->b, IR_I32, emit_load(e, n));

    return ir_bini(e->b, IR_AND, IR_I32, count, size == 8 ? 63 : 31);
}

/* Set the flags to `fl` unless `count` is 0. */
static void put_flags_counted(struct emit *e, ir_ref count, ir_ref fl)
{
    uint64_t n;

    if (!ir_is_const(e->b, count, &n))
        ir_putflif(e->b, fl, ir_cmp(e->b, IR_CMP_NE, IR_I32, count, ir_const(e->b, IR_I32, 0)));
    else if (n)
        ir_putfl(e->b, fl);
}

/* count - 1, any value within the width when count is 0. */
static ir_ref count_less_one(struct emit *e, ir_ref count, unsigned size)
{
    return ir_bini(e->b, IR_AND, IR_I32, ir_bini(e->b, IR_SUB, IR_I32, count, 1), size == 8 ? 63 : 31);
}

/* `v` shifted in a type that is wide enough for every count. */
static ir_ref shift_wide(struct emit *e, unsigned kind, enum ir_type t, ir_ref v, ir_ref count)
{
    enum ir_type wide = t == IR_I64 ? IR_I64 : IR_I32;
    enum ir_op op = kind == SH_SHL ? IR_SHL : kind == SH_SHR ? IR_SHR : IR_SAR;

    v = kind == SH_SAR ? ir_sext(e->b, wide, v) : ir_zext(e->b, wide, v);
    return ir_zext(e->b, t, ir_bin(e->b, op, wide, v, count));
}

/* SHL, SHR, SAR. */
void emit_shift(struct emit *e)
{
    unsigned kind = e->insn->row->arg, size = e->insn->op[0].size;
    enum ir_type t = emit_type(size);
    ir_ref addr, v = emit_load_rmw(e, 0, &addr), count = shift_count(e, 1, size);
    ir_ref res = shift_wide(e, kind, t, v, count);
    ir_ref last = shift_wide(e, kind, t, v, count_less_one(e, count, size));

    emit_store_rmw(e, 0, addr, res);
    put_flags_counted(e, count, ir_flags(e->b, kind == SH_SHL ? IR_FL_SHL : IR_FL_SHR, t, res, last, 0));
}

/* The current flags with C and O replaced by two booleans. */
static ir_ref flags_with_co(struct emit *e, ir_ref c, ir_ref o)
{
    ir_ref word = ir_bini(e->b, IR_AND, IR_I32, ir_eflags(e->b, ir_getfl(e->b)),
                          IR_FLAGS6 & ~(IR_CF | IR_OF));

    word = ir_bin(e->b, IR_OR, IR_I32, word, c);
    word = ir_bin(e->b, IR_OR, IR_I32, word, ir_bini(e->b, IR_SHL, IR_I32, o, 11));
    return ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0);
}

/* Bit `pos` of a value, as a boolean. */
static ir_ref bit_of(struct emit *e, enum ir_type t, ir_ref v, unsigned pos)
{
    return ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, ir_bini(e->b, IR_SHR, t, v, pos)), 1);
}

/* ROL and RCL: O = msb ^ C; ROR and RCR: O = the two upper bits differ. */
static ir_ref rotate_flags(struct emit *e, bool left, enum ir_type t, ir_ref res, ir_ref c)
{
    unsigned top = IR_BITS(t) - 1;
    ir_ref other = left ? c : bit_of(e, t, res, top - 1);

    return flags_with_co(e, c, ir_bin(e->b, IR_XOR, IR_I32, bit_of(e, t, res, top), other));
}

/* ROL, ROR. */
void emit_rotate(struct emit *e)
{
    bool left = e->insn->row->arg == SH_ROL;
    unsigned size = e->insn->op[0].size;
    enum ir_type t = emit_type(size);
    ir_ref addr, v = emit_load_rmw(e, 0, &addr), count = shift_count(e, 1, size);
    ir_ref turn = ir_bini(e->b, IR_AND, IR_I32, count, 8 * size - 1);
    ir_ref res = ir_bin(e->b, left ? IR_ROL : IR_ROR, t, v, turn);
    ir_ref c = bit_of(e, t, res, left ? 0 : 8 * size - 1);

    emit_store_rmw(e, 0, addr, res);
    put_flags_counted(e, count, rotate_flags(e, left, t, res, c));
}

/* RCL, RCR by 1: the common case of multi-word shifts. */
static ir_ref rotate_carry_one(struct emit *e, bool left, enum ir_type t, ir_ref v, ir_ref cin, ir_ref *cout)
{
    unsigned top = IR_BITS(t) - 1;
    ir_ref in = ir_zext(e->b, t, cin);

    *cout = bit_of(e, t, v, left ? top : 0);
    if (left)
        return ir_bin(e->b, IR_OR, t, ir_bini(e->b, IR_SHL, t, v, 1), in);
    return ir_bin(e->b, IR_OR, t, ir_bini(e->b, IR_SHR, t, v, 1), ir_bini(e->b, IR_SHL, t, in, top));
}

static ir_ref rotate_carry_many(struct emit *e, bool left, unsigned size, ir_ref v, ir_ref count, ir_ref cin,
                                ir_ref *cout)
{
    ir_ref desc = ir_bini(e->b, IR_OR, IR_I32, ir_bini(e->b, IR_SHL, IR_I32, count, 16), left | size << 8);

    v = ir_zext(e->b, IR_I64, v);
    *cout = ir_call(e->b, HELP_rotate_carry_out, v, desc, cin, 0);
    return ir_zext(e->b, emit_type(size), ir_call(e->b, HELP_rotate_carry, v, desc, cin, 0));
}

/* RCL, RCR. */
void emit_rotate_carry(struct emit *e)
{
    bool left = e->insn->row->arg == SH_RCL;
    unsigned size = e->insn->op[0].size;
    enum ir_type t = emit_type(size);
    ir_ref addr, v = emit_load_rmw(e, 0, &addr), count = shift_count(e, 1, size);
    ir_ref cin = ir_cond(e->b, CC_B, ir_getfl(e->b)), cout, res;
    uint64_t n;

    if (ir_is_const(e->b, count, &n) && n == 1)
        res = rotate_carry_one(e, left, t, v, cin, &cout);
    else
        res = rotate_carry_many(e, left, size, v, count, cin, &cout);
    emit_store_rmw(e, 0, addr, res);
    put_flags_counted(e, count, rotate_flags(e, left, t, res, cout));
}

/* SHLD and SHRD up to 32 bits: a field of dst:src. 16-bit counts above 16 are undefined; processors go on
 * with the source once more. */
static ir_ref double_shift(struct emit *e, bool right, unsigned size, ir_ref dst, ir_ref src, ir_ref count)
{
    unsigned bits = 8 * size;
    ir_ref cat;

    dst = ir_zext(e->b, IR_I64, dst);
    src = ir_zext(e->b, IR_I64, src);
    if (size == 2) {
        ir_ref edge = right ? src : dst, low = right ? dst : src;
        cat = ir_bin(e->b, IR_OR, IR_I64, low, ir_bini(e->b, IR_SHL, IR_I64, src, 16));
        cat = ir_bin(e->b, IR_OR, IR_I64, cat, ir_bini(e->b, IR_SHL, IR_I64, edge, 32));
    } else if (right) {
        cat = ir_bin(e->b, IR_OR, IR_I64, dst, ir_bini(e->b, IR_SHL, IR_I64, src, bits));
    } else {
        cat = ir_bin(e->b, IR_OR, IR_I64, src, ir_bini(e->b, IR_SHL, IR_I64, dst, bits));
    }
    if (right)
        cat = ir_bin(e->b, IR_SHR, IR_I64, cat, count);
    else
        cat = ir_bini(e->b, IR_SHR, IR_I64, ir_bin(e->b, IR_SHL, IR_I64, cat, count), 32);
    return ir_zext(e->b, emit_type(size), cat);
}

/* At 64 bits the other operand moves by 64 - count, which is done as 1 and 63 - count. */
static ir_ref double_shift64(struct emit *e, bool right, ir_ref dst, ir_ref src, ir_ref count)
{
    enum ir_op there = right ? IR_SHR : IR_SHL, back = right ? IR_SHL : IR_SHR;
    ir_ref rest = ir_bini(e->b, IR_XOR, IR_I32, count, 63);
    ir_ref in = ir_bin(e->b, back, IR_I64, ir_bini(e->b, back, IR_I64, src, 1), rest);

    return ir_bin(e->b, IR_OR, IR_I64, ir_bin(e->b, there, IR_I64, dst, count), in);
}

/* SHLD, SHRD (arg 1). */
void emit_double_shift(struct emit *e)
{
    bool right = e->insn->row->arg;
    unsigned size = e->insn->op[0].size;
    enum ir_type t = emit_type(size);
    ir_ref addr, dst = emit_load_rmw(e, 0, &addr), src = emit_load(e, 1), count = shift_count(e, 2, size);
    ir_ref before = count_less_one(e, count, size), res, last;

    if (size == 8) {
        res = double_shift64(e, right, dst, src, count);
        last = double_shift64(e, right, dst, src, before);
    } else {
        res = double_shift(e, right, size, dst, src, count);
        last = double_shift(e, right, size, dst, src, before);
    }
    emit_store_rmw(e, 0, addr, res);
    put_flags_counted(e, count, ir_flags(e->b, right ? IR_FL_SHR : IR_FL_SHL, t, res, last, 0));
}
