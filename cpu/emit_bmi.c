/* Emission of the integer extensions: bit counts, BMI1, BMI2, ADX, MOVBE, CRC32, random numbers. */
#include "cpu/emit.h"

#include "cpu/features.h"

enum { CC_O = 0, CC_B = 2 };

void emit_bsf(struct emit *e); /* in emit_int.c */

static enum ir_type op_type(const struct emit *e)
{
    return emit_type(e->insn->op[0].size);
}

static bool host_has(const struct emit *e, uint32_t isa)
{
    return e->cpu->host_isa & isa;
}

/* Where narrow operands are worked on. */
static enum ir_type wide_type(enum ir_type t)
{
    return t == IR_I64 ? IR_I64 : IR_I32;
}

static ir_ref is_zero(struct emit *e, enum ir_type t, ir_ref v)
{
    return ir_cmp(e->b, IR_CMP_EQ, t, v, ir_const(e->b, t, 0));
}

/* S and Z of `res`, C as told, O = 0. A and P are undefined in all instructions that use this. */
static void put_flags_carry(struct emit *e, enum ir_type t, ir_ref res, ir_ref c)
{
    ir_putfl(e->b, ir_flags(e->b, IR_FL_BITS, t, res, c, 0));
}

/* ---- counting bits ---- */

/* TZCNT, LZCNT (arg 1) of any width; without the feature the prefix is ignored and it is BSF, BSR. */
void emit_zero_count(struct emit *e)
{
    bool leading = e->insn->row->arg;
    enum ir_type t = op_type(e), wide = wide_type(t);
    ir_ref src, v, n;

    if (!cpu_has(e->cpu, leading ? FEAT_LZCNT : FEAT_BMI1)) {
        emit_bsf(e);
        return;
    }
    src = emit_load(e, 1);
    v = ir_zext(e->b, wide, src);
    if (!leading && t == IR_I16)
        v = ir_bini(e->b, IR_OR, wide, v, 1 << 16);
    n = ir_un(e->b, leading ? IR_CLZ : IR_CTZ, wide, v);
    if (leading && t == IR_I16)
        n = ir_bini(e->b, IR_SUB, wide, n, 16);
    n = ir_zext(e->b, t, n);
    emit_store(e, 0, n);
    put_flags_carry(e, t, n, is_zero(e, t, src));
}

/* Z: the source is 0; the other flags are cleared. */
void emit_popcnt(struct emit *e)
{
    enum ir_type t = op_type(e), wide = wide_type(t);
    ir_ref src = emit_load(e, 1), n, word;

    if (host_has(e, TCG_ISA_POPCNT))
        n = ir_un(e->b, IR_POPCNT, wide, ir_zext(e->b, wide, src));
    else
        n = ir_call(e->b, HELP_popcnt, ir_zext(e->b, IR_I64, src), 0, 0, 0);
    emit_store(e, 0, ir_zext(e->b, t, n));
    word = ir_bini(e->b, IR_SHL, IR_I32, is_zero(e, t, src), (unsigned)__builtin_ctz(FL_ZF));
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, word, 0, 0));
}

/* ---- bit fields ---- */

void emit_andn(struct emit *e)
{
    enum ir_type t = op_type(e);
    ir_ref mask = emit_load(e, 2), res;

    res = ir_bin(e->b, IR_AND, t, ir_un(e->b, IR_NOT, t, emit_load(e, 1)), mask);
    emit_store(e, 0, res);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, t, res, 0, 0));
}

/* BLSR, BLSMSK, BLSI by their number in ModRM.reg (arg). */
void emit_bls(struct emit *e)
{
    enum { BLSR = 1, BLSMSK, BLSI };
    enum ir_type t = op_type(e);
    unsigned kind = e->insn->row->arg;
    ir_ref v = emit_load(e, 1), c = is_zero(e, t, v), res;

    if (kind == BLSI) {
        res = ir_bin(e->b, IR_AND, t, v, ir_un(e->b, IR_NEG, t, v));
        c = ir_bini(e->b, IR_XOR, IR_I32, c, 1);
    } else {
        res = ir_bin(e->b, kind == BLSR ? IR_AND : IR_XOR, t, v, ir_bini(e->b, IR_SUB, t, v, 1));
    }
    emit_store(e, 0, res);
    put_flags_carry(e, t, res, c);
}

/* Byte `n` of a register operand as I32. */
static ir_ref byte_of(struct emit *e, ir_ref v, unsigned n)
{
    return ir_extract(e->b, IR_I32, ir_zext(e->b, IR_I32, v), 8 * n, 8);
}

/* v with the bits from number `n` (I32, 0..255) up cleared. *beyond: n is past the width. */
static ir_ref keep_low(struct emit *e, enum ir_type t, ir_ref v, ir_ref n, ir_ref *beyond)
{
    unsigned top = IR_BITS(t) - 1;
    ir_ref count = ir_bini(e->b, IR_AND, IR_I32, n, top), one = ir_const(e->b, t, 1);
    ir_ref mask = ir_bini(e->b, IR_SUB, t, ir_bin(e->b, IR_SHL, t, one, count), 1);

    *beyond = ir_cmp(e->b, IR_CMP_GTU, IR_I32, n, ir_const(e->b, IR_I32, top));
    return ir_select(e->b, t, *beyond, v, ir_bin(e->b, IR_AND, t, v, mask));
}

void emit_bzhi(struct emit *e)
{
    enum ir_type t = op_type(e);
    ir_ref v = emit_load(e, 1), index = emit_load(e, 2), number = byte_of(e, index, 0), beyond, res;

    res = keep_low(e, t, v, number, &beyond);
    if (host_has(e, TCG_ISA_BMI2))
        res = ir_bin(e->b, IR_BZHI, t, v, index);
    emit_store(e, 0, res);
    put_flags_carry(e, t, res, beyond);
}

/* Of the control operand, byte 0 is the first bit and byte 1 the number of bits. */
void emit_bextr(struct emit *e)
{
    enum ir_type t = op_type(e);
    unsigned top = IR_BITS(t) - 1;
    ir_ref v = emit_load(e, 1), control = emit_load(e, 2), start = byte_of(e, control, 0);
    ir_ref outside, beyond, res;

    if (host_has(e, TCG_ISA_BMI1)) {
        res = ir_bin(e->b, IR_BEXTR, t, v, control);
        emit_store(e, 0, res);
        ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, t, res, 0, 0));
        return;
    }
    outside = ir_cmp(e->b, IR_CMP_GTU, IR_I32, start, ir_const(e->b, IR_I32, top));
    res = ir_bin(e->b, IR_SHR, t, v, ir_bini(e->b, IR_AND, IR_I32, start, top));
    res = keep_low(e, t, res, byte_of(e, control, 1), &beyond);
    res = ir_select(e->b, t, outside, ir_const(e->b, t, 0), res);
    emit_store(e, 0, res);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_LOGIC, t, res, 0, 0));
}

/* PDEP, PEXT (arg 1): bits operand 1, mask operand 2. */
void emit_pdep(struct emit *e)
{
    enum ir_type t = op_type(e);
    bool gather = e->insn->row->arg;
    ir_ref mask = emit_load(e, 2), v = emit_load(e, 1);

    if (host_has(e, TCG_ISA_BMI2)) {
        v = ir_bin(e->b, gather ? IR_PEXT : IR_PDEP, t, v, mask);
    } else {
        mask = ir_zext(e->b, IR_I64, mask);
        v = ir_call(e->b, gather ? HELP_pext : HELP_pdep, ir_zext(e->b, IR_I64, v), mask, 0, 0);
    }
    emit_store(e, 0, ir_zext(e->b, t, v));
}

/* ---- arithmetic that leaves flags alone ---- */

/* Operand 0 is the upper half and wins when both are the same register. */
void emit_mulx(struct emit *e)
{
    enum ir_type t = op_type(e);
    ir_ref x = emit_load(e, 2), y = emit_get_reg(e, R_DX, e->insn->op[0].size);
    ir_ref low = ir_bin(e->b, IR_MUL, t, x, y), high = ir_bin(e->b, IR_MULHU, t, x, y);

    emit_store(e, 1, low);
    emit_store(e, 0, high);
}

/* SHLX, SARX, SHRX, RORX; arg is the IR operation. */
void emit_shift_x(struct emit *e)
{
    enum ir_type t = op_type(e);
    ir_ref v = emit_load(e, 1), n = ir_zext(e->b, IR_I32, emit_load(e, 2));

    n = ir_bini(e->b, IR_AND, IR_I32, n, IR_BITS(t) - 1);
    emit_store(e, 0, ir_bin(e->b, e->insn->row->arg, t, v, n));
}

/* Operand 0 := operand 0 + operand 1 + C or (`of`) O, which then is the carry; all other flags stay. Such additions
 * come in chains, so both are kept as booleans. */
static void add_with(struct emit *e, bool of)
{
    enum ir_type t = op_type(e);
    ir_ref fl = ir_getfl(e->b), c = ir_cond(e->b, CC_B, fl), o = ir_cond(e->b, CC_O, fl);
    ir_ref y = emit_load(e, 1), sum = ir_tri(e->b, IR_ADC, t, emit_load(e, 0), y, of ? o : c), out;

    out = ir_cond(e->b, CC_B, ir_flags(e->b, IR_FL_ADC, t, sum, y, of ? o : c));
    emit_store(e, 0, sum);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_CO, IR_I32, ir_eflags(e->b, fl), of ? c : out, of ? out : o));
}

void emit_adcx(struct emit *e)
{
    add_with(e, false);
}

void emit_adox(struct emit *e)
{
    add_with(e, true);
}

/* ---- others ---- */

void emit_movbe(struct emit *e)
{
    enum ir_type t = op_type(e);
    ir_ref v = emit_load(e, 1);

    if (t == IR_I16)
        v = ir_bini(e->b, IR_ROL, t, v, 8);
    else
        v = ir_un(e->b, IR_BSWAP, t, v);
    emit_store(e, 0, v);
}

/* The upper half of a 64-bit destination is cleared. */
void emit_crc32(struct emit *e)
{
    unsigned reg = e->insn->op[0].reg, size = e->insn->op[1].size;
    ir_ref v = emit_load(e, 1), crc = emit_get_reg(e, reg, 4);

    if (host_has(e, TCG_ISA_SSE42))
        crc = ir_bin(e->b, IR_CRC32, emit_type(size), crc, v);
    else
        crc = ir_call(e->b, HELP_crc32, crc, ir_zext(e->b, IR_I64, v), ir_const(e->b, IR_I32, size), 0);
    emit_put_reg(e, reg, 4, crc);
}

/* RDRAND, RDSEED. */
void emit_random(struct emit *e)
{
    emit_store(e, 0, ir_zext(e->b, op_type(e), ir_call(e->b, HELP_random, 0, 0, 0, 0)));
}

/* PREFETCHW and its kin do nothing that can be seen. Processors that have neither them nor long mode do not
 * know the opcode. */
void emit_prefetchw(struct emit *e)
{
    if (!cpu_has(e->cpu, FEAT_PREFETCHW) && !cpu_has(e->cpu, FEAT_LM))
        emit_raise(e, EX_UD);
}
