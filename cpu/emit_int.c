/* Emission of the general instructions: arithmetic, moves, bits, stack, flags. */
#include "cpu/emit.h"

#include "cpu/features.h"
#include "cpu/helper_int.h"

enum { CC_B = 2 };

static unsigned op_size(const struct emit *e)
{
    return e->insn->op[0].size;
}

static ir_ref carry(struct emit *e)
{
    return ir_cond(e->b, CC_B, ir_getfl(e->b));
}

/* ---- group 1 ---- */

/* Numbers as in ModRM.reg of 80..83. */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* `c`: the carry for ADC and SBB. */
static ir_ref alu(struct emit *e, enum ir_type t, enum alu op, ir_ref x, ir_ref y, ir_ref c, ir_ref *fl)
{
    static const uint8_t logic[8] = { [ALU_OR] = IR_OR, [ALU_AND] = IR_AND, [ALU_XOR] = IR_XOR };
    ir_ref res;

    switch (op) {
    case ALU_ADC:
    case ALU_SBB:
        res = ir_tri(e->b, op == ALU_SBB ? IR_SBB : IR_ADC, t, x, y, c);
        *fl = ir_flags(e->b, op == ALU_SBB ? IR_FL_SBB : IR_FL_ADC, t, res, y, c);
        return res;
    case ALU_ADD:
    case ALU_SUB:
        res = ir_bin(e->b, op == ALU_SUB ? IR_SUB : IR_ADD, t, x, y);
        *fl = ir_flags(e->b, op == ALU_SUB ? IR_FL_SUB : IR_FL_ADD, t, res, y, 0);
        return res;
    default:
        res = ir_bin(e->b, logic[op], t, x, y);
        *fl = ir_flags(e->b, IR_FL_LOGIC, t, res, 0, 0);
        return res;
    }
}

/* x before the locked x op y; the old value of the destination is all that result and flags need. */
static ir_ref alu_locked(struct emit *e, enum ir_type t, enum alu op, ir_ref y, ir_ref c)
{
    static const uint8_t kind[8] = { [ALU_OR] = IR_ATOMIC_OR, [ALU_AND] = IR_ATOMIC_AND,
                                     [ALU_XOR] = IR_ATOMIC_XOR };

    if (op == ALU_ADC || op == ALU_SBB)
        y = ir_bin(e->b, IR_ADD, t, y, ir_zext(e->b, t, c));
    if (op == ALU_SUB || op == ALU_SBB)
        y = ir_un(e->b, IR_NEG, t, y);
    _Static_assert(IR_ATOMIC_ADD == 0, "ADD, ADC, SUB, SBB");
    return emit_atomic(e, (enum ir_atomic)kind[op], y);
}

/* The carry is asked for first: before an access to memory it still is in the host's flags. */
void emit_alu(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    enum alu op = e->insn->row->arg;
    ir_ref c = op == ALU_ADC || op == ALU_SBB ? carry(e) : 0, y = emit_load(e, 1), x, addr, fl, res;

    if (op == ALU_CMP) {
        ir_putfl(e->b, ir_flags(e->b, IR_FL_CMP, t, emit_load(e, 0), y, 0));
        return;
    }
    if (emit_locked(e)) {
        alu(e, t, op, alu_locked(e, t, op, y, c), y, c, &fl);
    } else {
        x = emit_load_rmw(e, 0, &addr);
        res = alu(e, t, op, x, y, c, &fl);
        emit_store_rmw(e, 0, addr, res);
    }
    ir_putfl(e->b, fl);
}

void emit_test(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    ir_ref res = ir_bin(e->b, IR_AND, t, emit_load(e, 0), emit_load(e, 1));

    ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, t, res, 0, 0));
}

/* INC, DEC (arg 1). */
void emit_inc(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    bool dec = e->insn->row->arg, locked = emit_locked(e);
    ir_ref addr, x, res, fl;

    if (locked)
        x = emit_atomic(e, IR_ATOMIC_ADD, ir_const(e->b, t, dec ? UINT64_MAX : 1));
    else
        x = emit_load_rmw(e, 0, &addr);
    res = ir_bini(e->b, dec ? IR_SUB : IR_ADD, t, x, 1);
    fl = ir_flags(e->b, dec ? IR_FL_DEC : IR_FL_INC, t, res, carry(e), 0);
    if (!locked)
        emit_store_rmw(e, 0, addr, res);
    ir_putfl(e->b, fl);
}

void emit_not(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    ir_ref addr, x;

    if (emit_locked(e)) {
        emit_atomic(e, IR_ATOMIC_XOR, ir_const(e->b, t, UINT64_MAX));
        return;
    }
    x = emit_load_rmw(e, 0, &addr);
    emit_store_rmw(e, 0, addr, ir_un(e->b, IR_NOT, t, x));
}

void emit_neg(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    bool locked = emit_locked(e);
    ir_ref addr, x, res;

    x = locked ? emit_atomic(e, IR_ATOMIC_NEG, ir_const(e->b, t, 0)) : emit_load_rmw(e, 0, &addr);
    res = ir_un(e->b, IR_NEG, t, x);
    if (!locked)
        emit_store_rmw(e, 0, addr, res);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_SUB, t, res, x, 0));
}

/* ---- multiplication and division ---- */

/* AX := AL * src. */
static void emit_mul8(struct emit *e, bool is_signed)
{
    ir_ref x = emit_get_reg(e, R_AX, 1), y = emit_load(e, 0), product, low, wide;

    x = is_signed ? ir_sext(e->b, IR_I16, x) : ir_zext(e->b, IR_I16, x);
    y = is_signed ? ir_sext(e->b, IR_I16, y) : ir_zext(e->b, IR_I16, y);
    product = ir_bin(e->b, IR_MUL, IR_I16, x, y);
    low = ir_zext(e->b, IR_I8, product);
    wide = is_signed ? ir_sext(e->b, IR_I16, low) : ir_zext(e->b, IR_I16, low);
    emit_put_reg(e, R_AX, 2, product);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_MUL, IR_I8, low, ir_cmp(e->b, IR_CMP_NE, IR_I16, wide, product), 0));
}

/* Flags of a product: C and O say that the upper half is more than the lower one's extension. */
static ir_ref mul_flags(struct emit *e, enum ir_type t, bool is_signed, ir_ref low, ir_ref high)
{
    ir_ref ext = is_signed ? ir_bini(e->b, IR_SAR, t, low, IR_BITS(t) - 1) : ir_const(e->b, t, 0);

    return ir_flags(e->b, IR_FL_MUL, t, low, ir_cmp(e->b, IR_CMP_NE, t, high, ext), 0);
}

/* MUL, IMUL (arg 1) of the accumulator. */
void emit_mul(struct emit *e)
{
    bool is_signed = e->insn->row->arg;
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    ir_ref x, y, low, high;

    if (size == 1) {
        emit_mul8(e, is_signed);
        return;
    }
    x = emit_get_reg(e, R_AX, size);
    y = emit_load(e, 0);
    low = ir_bin(e->b, IR_MUL, t, x, y);
    high = ir_bin(e->b, is_signed ? IR_MULHS : IR_MULHU, t, x, y);
    emit_put_reg(e, R_AX, size, low);
    emit_put_reg(e, R_DX, size, high);
    ir_putfl(e->b, mul_flags(e, t, is_signed, low, high));
}

/* IMUL with two or three operands. */
void emit_imul(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    bool three = e->insn->op[2].class != OC_NONE;
    ir_ref x = emit_load(e, 1), y = emit_load(e, three ? 2 : 0);
    ir_ref low = ir_bin(e->b, IR_MUL, t, x, y);

    emit_store(e, 0, low);
    ir_putfl(e->b, mul_flags(e, t, true, low, ir_bin(e->b, IR_MULHS, t, x, y)));
}

/* #DE if the boolean is true. */
static void trap_divide(struct emit *e, ir_ref v)
{
    ir_trapif(e->b, v, HELP_raise, raise_arg(EX_DE));
}

/* high:low of type t in twice the width, at least I32. */
static ir_ref dividend(struct emit *e, enum ir_type t, ir_ref low, ir_ref high)
{
    enum ir_type wide = t == IR_I32 ? IR_I64 : IR_I32;

    return ir_bin(e->b, IR_OR, wide, ir_zext(e->b, wide, low),
                  ir_bini(e->b, IR_SHL, wide, ir_zext(e->b, wide, high), IR_BITS(t)));
}

struct division {
    ir_ref quotient, rest;
};

/* The quotient fits if the upper half of the dividend is less than the divisor, which then is not 0. */
static struct division divide(struct emit *e, enum ir_type t, ir_ref low, ir_ref high, ir_ref divisor)
{
    enum ir_type at = t < IR_I32 ? IR_I32 : t;

    trap_divide(e, ir_cmp(e->b, IR_CMP_GEU, t, high, divisor));
    if (t < IR_I32) {
        low = dividend(e, t, low, high);
        high = ir_const(e->b, at, 0);
        divisor = ir_zext(e->b, at, divisor);
    }
    return (struct division){ ir_tri(e->b, IR_DIVU, at, low, divisor, high),
                              ir_tri(e->b, IR_REMU, at, low, divisor, high) };
}

/* x / y in type `at`; the quotient must fit in t. */
static struct division divide_signed(struct emit *e, enum ir_type t, enum ir_type at, ir_ref x, ir_ref y)
{
    ir_ref least = ir_bini(e->b, IR_XOR, at, x, (uint64_t)1 << (IR_BITS(at) - 1));
    ir_ref over = ir_bin(e->b, IR_OR, at, least, ir_un(e->b, IR_NOT, at, y));
    struct division d;

    trap_divide(e, ir_cmp(e->b, IR_CMP_EQ, at, y, ir_const(e->b, at, 0)));
    trap_divide(e, ir_cmp(e->b, IR_CMP_EQ, at, over, ir_const(e->b, at, 0)));
    d.quotient = ir_tri(e->b, IR_DIVS, at, x, y, 0);
    d.rest = ir_tri(e->b, IR_REMS, at, x, y, 0);
    if (t != at)
        trap_divide(e, ir_cmp(e->b, IR_CMP_NE, at, d.quotient,
                              ir_sext(e->b, at, ir_zext(e->b, t, d.quotient))));
    return d;
}

/* Is `high` known to be the sign of `low`? So it is behind CWD and its kin. */
static bool is_extended(struct emit *e, enum ir_type t, ir_ref low, ir_ref high)
{
    uint64_t same;
    ir_ref sign = ir_bini(e->b, IR_SAR, t, low, IR_BITS(t) - 1);

    return ir_is_const(e->b, ir_cmp(e->b, IR_CMP_EQ, t, high, sign), &same) && same;
}

/* IDIV. A dividend of 128 bits is divided by C. */
static bool emit_idiv(struct emit *e, enum ir_type t, ir_ref low, ir_ref high, ir_ref divisor, struct division *d)
{
    enum ir_type at = t == IR_I32 ? IR_I64 : IR_I32;

    if (t >= IR_I32 && is_extended(e, t, low, high)) {
        *d = divide_signed(e, t, t, low, divisor);
    } else if (t == IR_I64) {
        ir_call(e->b, HELP_idiv64, divisor, 0, 0, 0);
        return false;
    } else {
        ir_ref x = dividend(e, t, low, high);
        x = t == IR_I8 ? ir_sext(e->b, at, ir_zext(e->b, IR_I16, x)) : x;
        *d = divide_signed(e, t, at, x, ir_sext(e->b, at, divisor));
    }
    return true;
}

/* DIV, IDIV (arg 1) of AX, DX:AX, EDX:EAX, RDX:RAX. */
void emit_div(struct emit *e)
{
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    ir_ref divisor = emit_load(e, 0), low = emit_get_reg(e, R_AX, size), high;
    struct division d;

    if (size == 1)
        high = ir_zext(e->b, t, ir_bini(e->b, IR_SHR, IR_I16, emit_get_reg(e, R_AX, 2), 8));
    else
        high = emit_get_reg(e, R_DX, size);
    if (!e->insn->row->arg)
        d = divide(e, t, low, high, divisor);
    else if (!emit_idiv(e, t, low, high, divisor, &d))
        return;
    if (size == 1) {
        d.quotient = ir_deposit(e->b, IR_I32, d.quotient, 8, 8, d.rest);
        emit_put_reg(e, R_AX, 2, ir_zext(e->b, IR_I16, d.quotient));
        return;
    }
    emit_put_reg(e, R_AX, size, ir_zext(e->b, t, d.quotient));
    emit_put_reg(e, R_DX, size, ir_zext(e->b, t, d.rest));
}

/* ---- moves ---- */

void emit_mov(struct emit *e)
{
    emit_store(e, 0, emit_load(e, 1));
}

void emit_lea(struct emit *e)
{
    unsigned size = op_size(e);

    emit_store(e, 0, ir_zext(e->b, emit_type(size), size < 8 ? emit_ea_low(e) : emit_ea(e)));
}

/* MOVZX, MOVSX (arg 1). */
void emit_movx(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    ir_ref v = emit_load(e, 1);

    emit_store(e, 0, e->insn->row->arg ? ir_sext(e->b, t, v) : ir_zext(e->b, t, v));
}

/* MOVSXD reads no more than its operand size. */
void emit_movsxd(struct emit *e)
{
    unsigned size = op_size(e);
    ir_ref v;

    if (size == 2 && e->insn->has_mem)
        v = ir_ld(e->b, IR_I16, emit_mem(e, 0, 2, false), emit_mem_flags(e));
    else
        v = emit_load(e, 1);
    emit_store(e, 0, ir_sext(e->b, emit_type(size), v));
}

/* With memory it is locked without a prefix. A memory operand is stored to first, so that the register
 * survives a fault. The no-operation 90 with prefix 48 or 66 needs no care: the exchange of a register with
 * itself at 64 or 16 bits changes nothing. */
void emit_xchg(struct emit *e)
{
    ir_ref addr, x, y;

    if (e->insn->has_mem && emit_parallel(e)) {
        emit_store(e, 1, emit_atomic(e, IR_ATOMIC_XCHG, emit_load(e, 1)));
        return;
    }
    x = emit_load_rmw(e, 0, &addr);
    y = emit_load(e, 1);
    emit_store_rmw(e, 0, addr, y);
    emit_store(e, 1, x);
}

void emit_xlat(struct emit *e)
{
    unsigned size = e->insn->addrsize;
    enum ir_type t = emit_type(size), wide = size == 8 ? IR_I64 : IR_I32;
    ir_ref al = ir_zext(e->b, t, emit_get_reg(e, R_AX, 1));
    ir_ref ea = ir_bin(e->b, IR_ADD, t, emit_get_reg(e, R_BX, size), al);
    ir_ref addr = emit_linear(e, e->insn->seg, ir_zext(e->b, wide, ea), 1, false);

    emit_put_reg(e, R_AX, 1, ir_ld(e->b, IR_I8, addr, emit_mem_flags(e)));
}

/* The memory operand is read whatever the condition, and a 32-bit destination is always written. */
void emit_cmov(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    ir_ref v = emit_load(e, 1);
    ir_ref cond = ir_cond(e->b, e->insn->row->arg, ir_getfl(e->b));

    emit_store(e, 0, ir_select(e->b, t, cond, v, emit_load(e, 0)));
}

void emit_setcc(struct emit *e)
{
    emit_store(e, 0, ir_zext(e->b, IR_I8, ir_cond(e->b, e->insn->row->arg, ir_getfl(e->b))));
}

/* CBW, CWDE, CDQE. */
void emit_cbw(struct emit *e)
{
    unsigned size = e->insn->opsize;

    emit_put_reg(e, R_AX, size, ir_sext(e->b, emit_type(size), emit_get_reg(e, R_AX, size / 2)));
}

/* CWD, CDQ, CQO. */
void emit_cwd(struct emit *e)
{
    unsigned size = e->insn->opsize;
    enum ir_type t = emit_type(size);

    emit_put_reg(e, R_DX, size, ir_bini(e->b, IR_SAR, t, emit_get_reg(e, R_AX, size), 8 * size - 1));
}

/* At 16 bits the manual leaves the result undefined; processors write 0. */
void emit_bswap(struct emit *e)
{
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);

    emit_store(e, 0, size == 2 ? ir_const(e->b, t, 0) : ir_un(e->b, IR_BSWAP, t, emit_load(e, 0)));
}

void emit_nop(struct emit *e)
{
    (void)e;
}

/* Who pauses waits for another processor, a device or for time to go by: one that takes turns with it gets its turn.
 * Alone with a clock that counts instructions there is nothing to be done. */
void emit_pause(struct emit *e)
{
    const struct cpu_options *opt = &e->cpu->opt;
    bool turns = opt->counted && opt->topology.sockets * opt->topology.cores * opt->topology.threads > 1;

    if (!opt->counted || turns)
        ir_call(e->b, HELP_pause, 0, 0, 0, 0);
    if (turns)
        emit_exit_next(e);
}

void emit_ud(struct emit *e)
{
    emit_raise(e, EX_UD);
}

/* ---- exchanges with arithmetic ---- */

void emit_xadd(struct emit *e)
{
    enum ir_type t = emit_type(op_size(e));
    ir_ref addr = 0, x, y, sum;

    if (emit_locked(e)) {
        y = emit_load(e, 1);
        x = emit_atomic(e, IR_ATOMIC_ADD, y);
    } else {
        x = emit_load_rmw(e, 0, &addr);
        y = emit_load(e, 1);
    }
    sum = ir_bin(e->b, IR_ADD, t, x, y);
    if (emit_locked(e)) {
        emit_store(e, 1, x);
    } else if (addr) {
        emit_store_rmw(e, 0, addr, sum);
        emit_store(e, 1, x);
    } else {
        emit_store(e, 1, x);
        emit_store(e, 0, sum);
    }
    ir_putfl(e->b, ir_flags(e->b, IR_FL_ADD, t, sum, y, 0));
}

/* reg := keep ? reg : v. Keeping leaves all 64 bits of the register alone. */
static void put_unless(struct emit *e, unsigned reg, unsigned size, ir_ref keep, ir_ref v)
{
    bool wide = size == 4 && (e->mode & MODE_CODE64);
    unsigned full = wide ? 8 : size;
    enum ir_type t = emit_type(full);

    emit_put_reg(e, reg, full, ir_select(e->b, t, keep, emit_get_reg(e, reg, full), ir_zext(e->b, t, v)));
}

static void cmpxchg_locked(struct emit *e)
{
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    ir_ref addr = emit_mem(e, 0, size, true), src = emit_load(e, 1), acc = emit_get_reg(e, R_AX, size);
    ir_ref dst = ir_cas(e->b, t, addr, acc, src, emit_mem_flags(e));

    put_unless(e, R_AX, size, ir_cmp(e->b, IR_CMP_EQ, t, acc, dst), dst);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_CMP, t, acc, dst, 0));
}

/* A memory destination is written in either case, a register destination only when equal. */
static void cmpxchg(struct emit *e)
{
    const struct operand *op = &e->insn->op[0];
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    ir_ref addr, dst = emit_load_rmw(e, 0, &addr), src = emit_load(e, 1), acc = emit_get_reg(e, R_AX, size);
    ir_ref equal = ir_cmp(e->b, IR_CMP_EQ, t, acc, dst), differ = ir_bini(e->b, IR_XOR, IR_I32, equal, 1);
    ir_ref res = ir_select(e->b, t, equal, src, dst);

    if (addr)
        emit_store_rmw(e, 0, addr, res);
    put_unless(e, R_AX, size, equal, dst);
    if (!addr && size == 4)
        put_unless(e, op->reg, size, differ, src);
    else if (!addr)
        emit_store(e, 0, res);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_CMP, t, acc, dst, 0));
}

void emit_cmpxchg(struct emit *e)
{
    if (emit_locked(e))
        cmpxchg_locked(e);
    else
        cmpxchg(e);
}

/* Only ZF changes. */
static void put_zero_flag(struct emit *e, ir_ref zero)
{
    ir_ref rest = ir_bini(e->b, IR_AND, IR_I32, ir_eflags(e->b, ir_getfl(e->b)), IR_FLAGS6 & ~IR_ZF);
    ir_ref word = ir_bin(e->b, IR_OR, IR_I32, rest, ir_bini(e->b, IR_SHL, IR_I32, zero, 6));

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

/* hi:lo of two 32-bit registers. */
static ir_ref reg_pair(struct emit *e, unsigned hi, unsigned lo)
{
    ir_ref low = ir_zext(e->b, IR_I64, emit_get_reg(e, lo, 4));
    ir_ref high = ir_zext(e->b, IR_I64, emit_get_reg(e, hi, 4));

    return ir_bin(e->b, IR_OR, IR_I64, low, ir_bini(e->b, IR_SHL, IR_I64, high, 32));
}

static void emit_cmpxchg16b(struct emit *e)
{
    ir_ref addr, addr_hi, lo, hi, equal;

    addr = emit_mem(e, 0, 16, true);
    ir_trapif(e->b, ir_zext(e->b, IR_I32, ir_bini(e->b, IR_AND, IR_I64, addr, 15)), HELP_raise,
              raise_arg_code(EX_GP, 0));
    if (emit_locked(e)) {
        equal = ir_call(e->b, HELP_cmpxchg16b, addr, ir_const(e->b, IR_I32, emit_mem_flags(e)), 0, 0);
        put_zero_flag(e, equal);
        return;
    }
    addr_hi = ir_bini(e->b, IR_ADD, IR_I64, addr, 8);
    lo = ir_ld(e->b, IR_I64, addr, IR_MEM_RMW | emit_mem_flags(e));
    hi = ir_ld(e->b, IR_I64, addr_hi, IR_MEM_RMW | emit_mem_flags(e));
    equal = ir_bin(e->b, IR_AND, IR_I32, ir_cmp(e->b, IR_CMP_EQ, IR_I64, lo, emit_get_reg(e, R_AX, 8)),
                   ir_cmp(e->b, IR_CMP_EQ, IR_I64, hi, emit_get_reg(e, R_DX, 8)));
    ir_st(e->b, IR_I64, addr, ir_select(e->b, IR_I64, equal, emit_get_reg(e, R_BX, 8), lo),
          emit_mem_flags(e));
    ir_st(e->b, IR_I64, addr_hi, ir_select(e->b, IR_I64, equal, emit_get_reg(e, R_CX, 8), hi),
          emit_mem_flags(e));
    put_unless(e, R_AX, 8, equal, lo);
    put_unless(e, R_DX, 8, equal, hi);
    put_zero_flag(e, equal);
}

void emit_cmpxchg8b(struct emit *e)
{
    ir_ref addr, old, equal, high;

    if (e->insn->opsize == 8) {
        if (cpu_has(e->cpu, FEAT_CX16))
            emit_cmpxchg16b(e);
        else
            emit_raise(e, EX_UD);
        return;
    }
    addr = emit_mem(e, 0, 8, true);
    if (emit_locked(e)) {
        ir_ref acc = reg_pair(e, R_DX, R_AX);
        old = ir_cas(e->b, IR_I64, addr, acc, reg_pair(e, R_CX, R_BX), emit_mem_flags(e));
        equal = ir_cmp(e->b, IR_CMP_EQ, IR_I64, old, acc);
    } else {
        old = ir_ld(e->b, IR_I64, addr, IR_MEM_RMW | emit_mem_flags(e));
        equal = ir_cmp(e->b, IR_CMP_EQ, IR_I64, old, reg_pair(e, R_DX, R_AX));
        ir_st(e->b, IR_I64, addr, ir_select(e->b, IR_I64, equal, reg_pair(e, R_CX, R_BX), old),
              emit_mem_flags(e));
    }
    high = ir_bini(e->b, IR_SHR, IR_I64, old, 32);
    put_unless(e, R_AX, 4, equal, ir_zext(e->b, IR_I32, old));
    put_unless(e, R_DX, 4, equal, ir_zext(e->b, IR_I32, high));
    put_zero_flag(e, equal);
}

/* ---- bits ---- */

enum { BT_TEST, BT_SET, BT_RESET, BT_COMPLEMENT };

static ir_ref bt_result(struct emit *e, enum ir_type t, ir_ref v, ir_ref mask)
{
    switch (e->insn->row->arg) {
    case BT_SET: return ir_bin(e->b, IR_OR, t, v, mask);
    case BT_RESET: return ir_bin(e->b, IR_AND, t, v, ir_un(e->b, IR_NOT, t, mask));
    default: return ir_bin(e->b, IR_XOR, t, v, mask);
    }
}

/* The operand-sized unit of a bit string that holds the bit with signed number `index`. */
static ir_ref bt_address(struct emit *e, unsigned size, ir_ref index, bool write)
{
    enum ir_type t = emit_type(size), at = e->insn->addrsize == 8 ? IR_I64 : IR_I32;
    unsigned shift = (unsigned)__builtin_ctz(8 * size);
    ir_ref unit = ir_sext(e->b, at, ir_bini(e->b, IR_SAR, t, index, shift));
    ir_ref ea = ir_bin(e->b, IR_ADD, at, emit_ea(e),
                       ir_bini(e->b, IR_SHL, at, unit, (unsigned)__builtin_ctz(size)));

    if (e->insn->addrsize == 2)
        ea = ir_bini(e->b, IR_AND, IR_I32, ea, 0xffff);
    return emit_linear(e, e->insn->seg, ea, size, write);
}

/* The number of bit `index` in its unit. */
static ir_ref bt_count(struct emit *e, ir_ref index)
{
    return ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, index), 8 * op_size(e) - 1);
}

static ir_ref bt_mask(struct emit *e, enum ir_type t, ir_ref count)
{
    return ir_bin(e->b, IR_SHL, t, ir_const(e->b, t, 1), count);
}

static ir_ref bt_bit(struct emit *e, enum ir_type t, ir_ref v, ir_ref count)
{
    return ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, ir_bin(e->b, IR_SHR, t, v, count)), 1);
}

/* The unit's value before. */
static ir_ref bt_locked(struct emit *e, ir_ref index, ir_ref count)
{
    static const uint8_t kind[] = { [BT_SET] = IR_ATOMIC_OR, [BT_RESET] = IR_ATOMIC_AND,
                                    [BT_COMPLEMENT] = IR_ATOMIC_XOR };
    unsigned size = op_size(e), op = e->insn->row->arg;
    enum ir_type t = emit_type(size);
    ir_ref mask = bt_mask(e, t, count), addr;

    if (op == BT_RESET)
        mask = ir_un(e->b, IR_NOT, t, mask);
    addr = e->insn->op[1].class == OC_REG ? bt_address(e, size, index, true) : emit_mem(e, 0, size, true);
    return emit_atomic_at(e, (enum ir_atomic)kind[op], addr, mask);
}

/* BT, BTS, BTR, BTC: a register as bit number reaches beyond a memory operand. */
void emit_bt(struct emit *e)
{
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    bool write = e->insn->row->arg != BT_TEST, locked = emit_locked(e);
    ir_ref index = emit_load(e, 1), addr = 0, v, bit, count;

    if (locked) {
        v = bt_locked(e, index, bt_count(e, index));
    } else if (e->insn->has_mem && e->insn->op[1].class == OC_REG) {
        addr = bt_address(e, size, index, write);
        v = ir_ld(e->b, t, addr, (write ? IR_MEM_RMW : 0) | emit_mem_flags(e));
    } else {
        v = write ? emit_load_rmw(e, 0, &addr) : emit_load(e, 0);
    }
    count = bt_count(e, index);
    bit = bt_bit(e, t, v, count);
    if (write && !locked)
        emit_store_rmw(e, 0, addr, bt_result(e, t, v, bt_mask(e, t, count)));
    ir_putfl(e->b, ir_flags(e->b, IR_FL_SETC, IR_I32, ir_getfl(e->b), bit, 0));
}

/* BSF, BSR (arg 1). With source 0 the whole destination register stays. */
void emit_bsf(struct emit *e)
{
    bool reverse = e->insn->row->arg;
    unsigned size = op_size(e), full = e->mode & MODE_CODE64 ? 8 : 4;
    enum ir_type t = emit_type(size), wide = size == 8 ? IR_I64 : IR_I32, ft = emit_type(full);
    ir_ref src = emit_load(e, 1), v = ir_zext(e->b, wide, src), pos, zero, old, res;

    pos = ir_un(e->b, reverse ? IR_CLZ : IR_CTZ, wide, v);
    if (reverse)
        pos = ir_bini(e->b, IR_XOR, wide, pos, IR_BITS(wide) - 1);
    zero = ir_cmp(e->b, IR_CMP_EQ, t, src, ir_const(e->b, t, 0));
    old = emit_get_reg(e, e->insn->op[0].reg, full);
    res = ir_zext(e->b, ft, pos);
    if (size == 2)
        res = ir_deposit(e->b, ft, old, 0, 16, res);
    emit_put_reg(e, e->insn->op[0].reg, full, ir_select(e->b, ft, zero, old, res));
    ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, t, src, 0, 0));
}

/* ---- flags ---- */

/* CLC, STC, CMC. */
void emit_carry(struct emit *e)
{
    enum { CLEAR, SET, COMPLEMENT };
    unsigned op = e->insn->row->arg;
    ir_ref c;

    if (op == COMPLEMENT)
        c = ir_bini(e->b, IR_XOR, IR_I32, carry(e), 1);
    else
        c = ir_const(e->b, IR_I32, op == SET);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_SETC, IR_I32, ir_getfl(e->b), c, 0));
}

/* CLD, STD (arg 1). */
void emit_direction(struct emit *e)
{
    unsigned off = offsetof(struct cpu, eflags);
    ir_ref old = ir_lde(e->b, IR_I32, off);
    bool set = e->insn->row->arg;

    ir_ste(e->b, IR_I32, off, set ? ir_bini(e->b, IR_OR, IR_I32, old, FL_DF)
                                  : ir_bini(e->b, IR_AND, IR_I32, old, (uint32_t)~FL_DF));
}

/* 64-bit code needs the feature bit for SAHF and LAHF. */
static bool has_ah_flags(struct emit *e)
{
    if (!(e->mode & MODE_CODE64) || cpu_has(e->cpu, FEAT_LAHF_LM))
        return true;
    emit_raise(e, EX_UD);
    return false;
}

static ir_ref flag_word(struct emit *e)
{
    return ir_eflags(e->b, ir_getfl(e->b));
}

void emit_sahf(struct emit *e)
{
    ir_ref ah, keep, take;

    if (!has_ah_flags(e))
        return;
    ah = ir_extract(e->b, IR_I32, ir_get(e->b, IR_I32, R_AX), 8, 8);
    keep = ir_bini(e->b, IR_AND, IR_I32, flag_word(e), IR_OF);
    take = ir_bini(e->b, IR_AND, IR_I32, ah, IR_FLAGS6 & 0xff);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, ir_bin(e->b, IR_OR, IR_I32, keep, take), 0, 0));
}

/* Bit 1 of EFLAGS is always set. */
void emit_lahf(struct emit *e)
{
    ir_ref word, ax;

    if (!has_ah_flags(e))
        return;
    word = ir_bini(e->b, IR_OR, IR_I32, flag_word(e), 2);
    ax = ir_deposit(e->b, IR_I32, ir_zext(e->b, IR_I32, emit_get_reg(e, R_AX, 2)), 8, 8, word);
    emit_put_reg(e, R_AX, 2, ir_zext(e->b, IR_I16, ax));
}

/* AL := CF ? FF : 0. */
void emit_salc(struct emit *e)
{
    emit_put_reg(e, R_AX, 1, ir_un(e->b, IR_NEG, IR_I8, ir_zext(e->b, IR_I8, carry(e))));
}

/* ---- decimal ---- */

static void emit_adjust(struct emit *e, enum cpu_helper helper)
{
    ir_ref ax = ir_zext(e->b, IR_I32, emit_get_reg(e, R_AX, 2));
    ir_ref both = ir_call(e->b, helper, ax, flag_word(e), 0, 0);

    emit_put_reg(e, R_AX, 2, ir_zext(e->b, IR_I16, both));
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, ir_bini(e->b, IR_SHR, IR_I32, both, 16), 0, 0));
}

void emit_decimal(struct emit *e)
{
    emit_adjust(e, e->insn->row->arg ? HELP_das : HELP_daa);
}

void emit_ascii(struct emit *e)
{
    emit_adjust(e, e->insn->row->arg ? HELP_aas : HELP_aaa);
}

static void put_al_flags(struct emit *e, ir_ref al)
{
    ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, IR_I8, al, 0, 0));
}

void emit_aam(struct emit *e)
{
    uint8_t base = (uint8_t)e->insn->imm;
    ir_ref al, ax;

    if (!base) {
        emit_raise(e, EX_DE);
        return;
    }
    al = ir_zext(e->b, IR_I32, emit_get_reg(e, R_AX, 1));
    ax = ir_call(e->b, HELP_aam, al, ir_const(e->b, IR_I32, base), 0, 0);
    emit_put_reg(e, R_AX, 2, ir_zext(e->b, IR_I16, ax));
    put_al_flags(e, ir_zext(e->b, IR_I8, ax));
}

void emit_aad(struct emit *e)
{
    ir_ref ax = ir_zext(e->b, IR_I32, emit_get_reg(e, R_AX, 2));
    ir_ref high = ir_bini(e->b, IR_MUL, IR_I32, ir_bini(e->b, IR_SHR, IR_I32, ax, 8), (uint8_t)e->insn->imm);
    ir_ref al = ir_bini(e->b, IR_AND, IR_I32, ir_bin(e->b, IR_ADD, IR_I32, ax, high), 0xff);

    emit_put_reg(e, R_AX, 2, ir_zext(e->b, IR_I16, al));
    put_al_flags(e, ir_zext(e->b, IR_I8, al));
}

/* ---- stack ---- */

void emit_push_op(struct emit *e)
{
    emit_push(e, op_size(e), emit_load(e, 0));
}

/* A destination addressed through rSP uses its value after the pop. POP rSP keeps the popped value. */
void emit_pop_op(struct emit *e)
{
    const struct insn *insn = e->insn;
    struct insn moved = *insn;
    unsigned size = op_size(e);
    ir_ref v = emit_pop(e, size);

    if (!insn->has_mem) {
        emit_pop_done(e, size);
        emit_store(e, 0, v);
        return;
    }
    if (insn->base == R_SP)
        moved.disp += size;
    e->insn = &moved;
    emit_store(e, 0, v);
    e->insn = insn;
    emit_pop_done(e, size);
}

void emit_pusha(struct emit *e)
{
    ir_call(e->b, HELP_pusha, ir_const(e->b, IR_I32, e->insn->opsize), 0, 0, 0);
}

void emit_popa(struct emit *e)
{
    ir_call(e->b, HELP_popa, ir_const(e->b, IR_I32, e->insn->opsize), 0, 0, 0);
}

void emit_enter(struct emit *e)
{
    ir_ref size = ir_const(e->b, IR_I32, e->insn->opsize);
    ir_ref locals = ir_const(e->b, IR_I32, (uint16_t)e->insn->imm);

    ir_call(e->b, HELP_enter, size, locals, ir_const(e->b, IR_I32, e->insn->imm2 & 31), 0);
}

/* rSP := rBP at the stack's width, then POP rBP. */
void emit_leave(struct emit *e)
{
    unsigned size = e->insn->opsize;
    unsigned width = e->mode & MODE_CODE64 ? 8 : e->mode & MODE_SS32 ? 4 : 2;
    enum ir_type t = width == 8 ? IR_I64 : IR_I32;
    ir_ref bp = ir_zext(e->b, t, emit_get_reg(e, R_BP, width));
    ir_ref v = ir_ld(e->b, emit_type(size), emit_linear(e, S_SS, bp, size, false), emit_seg_flags(e, S_SS));

    emit_put_reg(e, R_SP, width, ir_zext(e->b, emit_type(width), ir_bini(e->b, IR_ADD, t, bp, size)));
    emit_put_reg(e, R_BP, size, v);
}

/* #BR unless lower <= index <= upper, all signed. */
void emit_bound(struct emit *e)
{
    unsigned size = op_size(e);
    enum ir_type t = emit_type(size);
    unsigned flags = emit_mem_flags(e);
    ir_ref index = emit_load(e, 0);
    ir_ref lower = ir_ld(e->b, t, emit_mem(e, 0, size, false), flags);
    ir_ref upper = ir_ld(e->b, t, emit_mem(e, size, size, false), flags);
    ir_ref outside = ir_bin(e->b, IR_OR, IR_I32, ir_cmp(e->b, IR_CMP_LTS, t, index, lower),
                            ir_cmp(e->b, IR_CMP_GTS, t, index, upper));

    ir_trapif(e->b, outside, HELP_raise, raise_arg(EX_BR));
}
