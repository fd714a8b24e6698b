/* The builder's rules: constants, identities, and conditions on flags whose maker is known.
 *
 * A rule sees one pure instruction whose operands are already simplified, and
 * looks at most one definition deep. It returns an equal value, or rewrites the
 * instruction, or leaves it. */
#include "base/bits.h"
#include "tcg/build.h"

typedef ir_ref rule(struct ir_builder *b, struct ir_insn *in);

static const struct ir_insn *def(const struct ir_builder *b, ir_ref v)
{
    return &b->insn[v];
}

static bool is_op(const struct ir_builder *b, ir_ref v, unsigned op)
{
    return b->insn[v].op == op;
}

static bool is_value(const struct ir_builder *b, ir_ref v, uint64_t value)
{
    return b->insn[v].op == IR_CONST && b->insn[v].imm == value;
}

/* Bits of v within its type that may be 1, looking `depth` definitions deep. */
static uint64_t maybe_bits(const struct ir_insn *insn, ir_ref v, unsigned depth)
{
    const struct ir_insn *d = &insn[v];
    uint64_t mask = MASK(IR_BITS(ir_result_type(d)));

    switch (d->op) {
    case IR_CONST:
        return d->imm;
    case IR_CMP:
    case IR_COND:
        return 1;
    case IR_EFLAGS:
        return IR_FLAGS6;
    case IR_EXTRACT:
        return MASK(d->imm & 0xff);
    case IR_ZEXT:
        return depth ? maybe_bits(insn, d->a, depth - 1) : MASK(IR_BITS(ir_result_type(&insn[d->a])));
    case IR_AND:
        return depth ? maybe_bits(insn, d->a, depth - 1) & maybe_bits(insn, d->b, depth - 1) : mask;
    case IR_OR:
    case IR_XOR:
        return depth ? maybe_bits(insn, d->a, depth - 1) | maybe_bits(insn, d->b, depth - 1) : mask;
    case IR_SELECT:
        return depth ? maybe_bits(insn, d->b, depth - 1) | maybe_bits(insn, d->c, depth - 1) : mask;
    case IR_SHR:
        return insn[d->b].op == IR_CONST ? mask >> (insn[d->b].imm & 63) : mask;
    case IR_SHL:
        return depth && insn[d->b].op == IR_CONST ? maybe_bits(insn, d->a, depth - 1) << (insn[d->b].imm & 63) & mask
                                                  : mask;
    default:
        return mask;
    }
}

static uint64_t maybe(const struct ir_builder *b, ir_ref v)
{
    return maybe_bits(b->insn, v, 2);
}

uint64_t ir_maybe_bits(const struct ir_insn *insn, ir_ref v)
{
    return maybe_bits(insn, v, 4);
}

/* 1 - v of a boolean. */
static ir_ref invert(struct ir_builder *b, ir_ref v)
{
    const struct ir_insn *d = def(b, v);

    if (d->op == IR_CMP || d->op == IR_COND) {
        static const uint8_t opposite[] = { IR_CMP_NE, IR_CMP_EQ, IR_CMP_GEU, IR_CMP_GTU, IR_CMP_LEU,
                                            IR_CMP_LTU, IR_CMP_GES, IR_CMP_GTS, IR_CMP_LES, IR_CMP_LTS };
        unsigned cc = d->op == IR_CMP ? opposite[d->cc] : d->cc ^ 1u;
        return ir_value(b, ir_low(d->op, d->type, cc, 0, d->a, d->b), 0, 0);
    }
    return ir_bini(b, IR_XOR, IR_I32, v, 1);
}

static ir_ref invert_if(struct ir_builder *b, bool yes, ir_ref v)
{
    return yes ? invert(b, v) : v;
}

/* ---- arithmetic and logic ---- */

/* (x op c1) op c2 = x op (c1 op c2). */
static void reassociate(struct ir_builder *b, struct ir_insn *in, uint64_t c)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c1;

    if (d->op != in->op || !ir_is_const(b, d->b, &c1))
        return;
    in->a = d->a;
    in->b = ir_const(b, in->type, ir_eval(in->op, in->type, 0, 0, 0, c1, c, 0));
}

static ir_ref fold_add(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d;
    uint64_t c, c1;

    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!c)
        return in->a;
    d = def(b, in->a);
    if (d->op == IR_PC && in->type >= IR_I32)
        return ir_pc(b, in->type, (int64_t)(d->imm + (uint64_t)bits_sext(c, IR_BITS(in->type))));
    if (d->op == IR_SUB && ir_is_const(b, d->b, &c1))
        return ir_bini(b, IR_ADD, in->type, d->a, c - c1);
    reassociate(b, in, c);
    return is_value(b, in->b, 0) ? in->a : 0;
}

static ir_ref fold_sub(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c, c1;

    if (in->a == in->b)
        return ir_const(b, in->type, 0);
    if (is_value(b, in->a, 0))
        return ir_un(b, IR_NEG, in->type, in->b);
    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!c)
        return in->a;
    if (d->op == IR_ADD && ir_is_const(b, d->b, &c1))
        return ir_bini(b, IR_ADD, in->type, d->a, c1 - c);
    if (d->op == IR_SUB && ir_is_const(b, d->b, &c1))
        return ir_bini(b, IR_SUB, in->type, d->a, c1 + c);
    return 0;
}

static ir_ref fold_and(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c;

    if (in->a == in->b)
        return in->a;
    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!(maybe(b, in->a) & c))
        return ir_const(b, in->type, 0);
    if (!(maybe(b, in->a) & ~c))
        return in->a;
    if (d->op == IR_EXTRACT && !(d->imm >> 8) && !(c & ~MASK(d->imm & 0xff)))
        in->a = d->a;
    reassociate(b, in, c);
    return 0;
}

static ir_ref fold_or(struct ir_builder *b, struct ir_insn *in)
{
    uint64_t c;

    if (in->a == in->b)
        return in->a;
    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!c)
        return in->a;
    if (c == MASK(IR_BITS(in->type)))
        return in->b;
    reassociate(b, in, c);
    return 0;
}

static ir_ref fold_xor(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c;

    if (in->a == in->b)
        return ir_const(b, in->type, 0);
    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!c)
        return in->a;
    if (c == MASK(IR_BITS(in->type)))
        return ir_un(b, IR_NOT, in->type, in->a);
    if (c == 1 && (d->op == IR_CMP || d->op == IR_COND))
        return invert(b, in->a);
    reassociate(b, in, c);
    return is_value(b, in->b, 0) ? in->a : 0;
}

static ir_ref fold_mul(struct ir_builder *b, struct ir_insn *in)
{
    uint64_t c;

    if (!ir_is_const(b, in->b, &c))
        return 0;
    if (!c)
        return in->b;
    if (c == 1)
        return in->a;
    return is_pow2(c) ? ir_bini(b, IR_SHL, in->type, in->a, (unsigned)__builtin_ctzll(c)) : 0;
}

static ir_ref fold_mulh(struct ir_builder *b, struct ir_insn *in)
{
    if (is_value(b, in->b, 0))
        return in->b;
    return in->op == IR_MULHU && is_value(b, in->b, 1) ? ir_const(b, in->type, 0) : 0;
}

/* op(op(x)) = x */
static ir_ref fold_involution(struct ir_builder *b, struct ir_insn *in)
{
    return is_op(b, in->a, in->op) ? def(b, in->a)->a : 0;
}

static ir_ref fold_shift(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    unsigned bits = IR_BITS(in->type);
    uint64_t n, n1;

    if (is_value(b, in->a, 0))
        return in->a;
    if (!ir_is_const(b, in->b, &n))
        return 0;
    if (!n)
        return in->a;
    if (d->op != in->op || !ir_is_const(b, d->b, &n1))
        return 0;
    n += n1;
    if (in->op == IR_ROL || in->op == IR_ROR)
        n &= bits - 1;
    else if (n >= bits && in->op == IR_SAR)
        n = bits - 1;
    else if (n >= bits)
        return ir_const(b, in->type, 0);
    return ir_bini(b, in->op, in->type, d->a, n);
}

/* ---- sizes and fields ---- */

static ir_ref fold_zext(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    unsigned from = ir_result_type(d);

    if (d->op == IR_ZEXT)
        in->a = d->a;
    else if (d->op == IR_TRUNC && ir_type_of(b, d->a) == in->type && in->type >= IR_I32)
        return ir_extract(b, in->type, d->a, 0, IR_BITS(from));
    return 0;
}

static ir_ref fold_sext(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);

    if (d->op == IR_ZEXT) /* its top bit is 0 */
        return ir_un(b, IR_ZEXT, in->type, d->a);
    if (d->op == IR_SEXT)
        in->a = d->a;
    return 0;
}

/* The low `len` bits of v, without what only changes the bits above. Types may get wider or narrower. */
static ir_ref low_bits_source(const struct ir_builder *b, ir_ref v, unsigned len)
{
    const struct ir_insn *d = def(b, v);
    uint64_t c;

    switch (d->op) {
    case IR_ZEXT:
    case IR_SEXT:
        return IR_BITS(ir_type_of(b, d->a)) >= len ? d->a : v;
    case IR_TRUNC:
        return d->a;
    case IR_AND:
        return ir_is_const(b, d->b, &c) && (c & MASK(len)) == MASK(len) ? d->a : v;
    case IR_OR:
    case IR_XOR:
        return ir_is_const(b, d->b, &c) && !(c & MASK(len)) ? d->a : v;
    case IR_EXTRACT:
        return !(d->imm >> 8) && (d->imm & 0xff) >= len ? d->a : v;
    case IR_DEPOSIT:
        if (d->imm >> 8 >= len)
            return d->a;
        return !(d->imm >> 8) && (d->imm & 0xff) >= len ? d->b : v;
    default:
        return v;
    }
}

static ir_ref fold_trunc(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    unsigned bits = IR_BITS(in->type);
    ir_ref v = low_bits_source(b, in->a, bits);

    if (v != in->a)
        return ir_zext(b, in->type, v);
    if (d->op == IR_ZEXT || d->op == IR_SEXT) /* of something narrower still */
        return ir_un(b, d->op, in->type, d->a);
    return 0;
}

static ir_ref fold_extract(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    unsigned pos = (unsigned)(in->imm >> 8), len = in->imm & 0xff, bits = IR_BITS(in->type);
    unsigned dpos = (unsigned)(d->imm >> 8), dlen = d->imm & 0xff;

    if (!pos && (len == bits || !(maybe(b, in->a) & ~MASK(len))))
        return in->a;
    if (!(maybe(b, in->a) >> pos & MASK(len)))
        return ir_const(b, in->type, 0);
    if (d->op == IR_EXTRACT && pos < dlen)
        return ir_extract(b, in->type, d->a, dpos + pos, MIN_OF(len, dlen - pos));
    if (d->op == IR_DEPOSIT && (pos + len <= dpos || pos >= dpos + dlen))
        return ir_extract(b, in->type, d->a, pos, len);
    if (d->op == IR_DEPOSIT && pos >= dpos && pos + len <= dpos + dlen)
        return ir_extract(b, in->type, d->b, pos - dpos, len);
    return 0;
}

static ir_ref fold_deposit(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    unsigned pos = (unsigned)(in->imm >> 8), len = in->imm & 0xff;
    ir_ref v;

    if (len == IR_BITS(in->type))
        return in->b;
    if (is_op(b, in->b, IR_EXTRACT) && def(b, in->b)->a == in->a && def(b, in->b)->imm == in->imm)
        return in->a;
    if (d->op == IR_DEPOSIT && d->imm >> 8 >= pos && (d->imm >> 8) + (d->imm & 0xff) <= pos + len)
        in->a = d->a; /* overwritten whole */
    v = low_bits_source(b, in->b, len);
    if (v != in->b && ir_type_of(b, v) == in->type)
        in->b = v;
    return 0;
}

/* ---- comparisons and selection ---- */

static uint8_t swapped(unsigned cc)
{
    static const uint8_t swap[] = { IR_CMP_EQ, IR_CMP_NE, IR_CMP_GTU, IR_CMP_GEU, IR_CMP_LTU,
                                    IR_CMP_LEU, IR_CMP_GTS, IR_CMP_GES, IR_CMP_LTS, IR_CMP_LES };
    return swap[cc];
}

/* Comparisons with 0, b being 0. */
static ir_ref fold_cmp_zero(struct ir_builder *b, struct ir_insn *in)
{
    switch (in->cc) {
    case IR_CMP_LTU:
        return ir_const(b, IR_I32, 0);
    case IR_CMP_GEU:
        return ir_const(b, IR_I32, 1);
    case IR_CMP_GTU:
        in->cc = IR_CMP_NE;
        break;
    case IR_CMP_LEU:
        in->cc = IR_CMP_EQ;
        break;
    }
    if (in->cc > IR_CMP_NE || maybe(b, in->a) > 1 || ir_type_of(b, in->a) != IR_I32)
        return 0;
    return invert_if(b, in->cc == IR_CMP_EQ, in->a);
}

static ir_ref fold_cmp(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d;
    uint64_t c;

    if (in->a == in->b)
        return ir_const(b, IR_I32, ir_eval(IR_CMP, IR_I64, in->cc, 0, 0, 0, 0, 0));
    if (is_op(b, in->a, IR_CONST)) {
        ir_ref x = in->a;
        in->a = in->b;
        in->b = x;
        in->cc = swapped(in->cc);
    }
    if (!ir_is_const(b, in->b, &c))
        return 0;
    d = def(b, in->a);
    if (d->op == IR_ZEXT && in->cc <= IR_CMP_GEU && c <= MASK(IR_BITS(ir_type_of(b, d->a))))
        return ir_cmp(b, in->cc, ir_type_of(b, d->a), d->a, ir_const(b, ir_type_of(b, d->a), c));
    if (!c)
        return fold_cmp_zero(b, in);
    if (c == 1 && (in->cc == IR_CMP_LTU || in->cc == IR_CMP_GEU))
        return ir_cmp(b, in->cc == IR_CMP_LTU ? IR_CMP_EQ : IR_CMP_NE, in->type, in->a,
                      ir_const(b, in->type, 0));
    if (c == 1 && in->cc <= IR_CMP_NE && in->type == IR_I32 && maybe(b, in->a) <= 1)
        return invert_if(b, in->cc == IR_CMP_NE, in->a);
    return 0;
}

/* Nothing but the carry is what programs make of it by adding it to 0. */
static ir_ref fold_adc(struct ir_builder *b, struct ir_insn *in)
{
    if (is_value(b, in->c, 0))
        return ir_bin(b, IR_ADD, in->type, in->a, in->b);
    if (is_value(b, in->a, 0) && is_value(b, in->b, 0))
        return ir_zext(b, in->type, in->c);
    return 0;
}

static ir_ref fold_sbb(struct ir_builder *b, struct ir_insn *in)
{
    if (is_value(b, in->c, 0))
        return ir_bin(b, IR_SUB, in->type, in->a, in->b);
    if (in->a == in->b)
        return ir_un(b, IR_NEG, in->type, ir_zext(b, in->type, in->c));
    return 0;
}

static ir_ref fold_select(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c;

    if (ir_is_const(b, in->a, &c))
        return c ? in->b : in->c;
    if (in->b == in->c)
        return in->b;
    if (in->type == IR_I32 && maybe(b, in->a) <= 1) {
        if (is_value(b, in->b, 1) && is_value(b, in->c, 0))
            return in->a;
        if (is_value(b, in->b, 0) && is_value(b, in->c, 1))
            return invert(b, in->a);
    }
    if (d->op == IR_XOR && is_value(b, d->b, 1) && maybe(b, d->a) <= 1)
        return ir_select(b, in->type, d->a, in->c, in->b);
    return 0;
}

/* ---- flags ---- */

/* x86 conditions, by number / 2. */
enum { CC_O, CC_B, CC_Z, CC_BE, CC_S, CC_P, CC_L, CC_LE };

/* Are these flags known when building? */
static bool flags_const(const struct ir_builder *b, ir_ref fl, uint32_t *value)
{
    const struct ir_insn *d = def(b, fl);
    uint64_t v[3] = { 0 };
    ir_ref ref[3] = { d->a, d->b, d->c };

    if (d->op < IR_FL_ADD || d->op > IR_FL_RAW)
        return false;
    for (unsigned i = 0; i < 3; i++)
        if (ref[i] && !ir_is_const(b, ref[i], &v[i]))
            return false;
    *value = ir_flags_eval(d->op, d->type, v[0], v[1], v[2]);
    return true;
}

/* Conditions Z and S of a result, of every kind that has one. 0: neither. */
static ir_ref cond_of_result(struct ir_builder *b, unsigned cc, unsigned t, ir_ref res)
{
    ir_ref zero;

    if (cc >> 1 != CC_Z && cc >> 1 != CC_S)
        return 0;
    zero = ir_const(b, t, 0);
    if (cc >> 1 == CC_Z)
        return ir_cmp(b, cc & 1 ? IR_CMP_NE : IR_CMP_EQ, t, res, zero);
    return ir_cmp(b, cc & 1 ? IR_CMP_GES : IR_CMP_LTS, t, res, zero);
}

/* Conditions after x - y. O, S and P have no comparison. */
static ir_ref cond_of_cmp(struct ir_builder *b, unsigned cc, unsigned t, ir_ref x, ir_ref y)
{
    static const int8_t cmp[16] = { -1, -1, IR_CMP_LTU, IR_CMP_GEU, IR_CMP_EQ, IR_CMP_NE, IR_CMP_LEU,
                                    IR_CMP_GTU, -1, -1, -1, -1, IR_CMP_LTS, IR_CMP_GES, IR_CMP_LES,
                                    IR_CMP_GTS };

    return cmp[cc] < 0 ? 0 : ir_cmp(b, (enum ir_cmp)cmp[cc], t, x, y);
}

/* C = O = A = 0: unsigned conditions are about zero, signed ones about the sign. */
static ir_ref cond_of_logic(struct ir_builder *b, unsigned cc, unsigned t, ir_ref res)
{
    if (cc >> 1 == CC_P)
        return 0;
    if (cc >> 1 == CC_O)
        return ir_const(b, IR_I32, cc & 1);
    return cond_of_cmp(b, cc >> 1 == CC_S ? CC_L << 1 | (cc & 1) : cc, t, res, ir_const(b, t, 0));
}

/* The x of FL_SUB x - y is at hand when res is that subtraction (NEG: x is 0). */
static ir_ref cond_of_sub(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    const struct ir_insn *res = def(b, fl->a);
    ir_ref v = cond_of_result(b, cc, fl->type, fl->a);

    if (!v && res->op == IR_SUB && res->b == fl->b)
        return cond_of_cmp(b, cc, fl->type, res->a, res->b);
    if (!v && res->op == IR_NEG && res->a == fl->b)
        return cond_of_cmp(b, cc, fl->type, ir_const(b, fl->type, 0), res->a);
    return v;
}

/* A comparison of vector elements leaves the host's flags, which the backend looks at. */
static ir_ref cond_of_raw(struct ir_builder *b, unsigned cc, ir_ref raw)
{
    static const uint8_t bit[8] = { [CC_O] = 11, [CC_Z] = 6, [CC_S] = 7, [CC_P] = 2 };
    unsigned pos = bit[cc >> 1];

    if ((!pos && cc >> 1 != CC_B) || is_op(b, raw, IR_VCOM))
        return 0;
    return invert_if(b, cc & 1, ir_extract(b, IR_I32, raw, pos, 1));
}

static ir_ref cond_of_setc(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    if (cc >> 1 == CC_B)
        return invert_if(b, cc & 1, fl->b);
    if (cc >> 1 != CC_BE)
        return ir_cond(b, cc, fl->a);
    return invert_if(b, cc & 1, ir_bin(b, IR_OR, IR_I32, fl->b, ir_cond(b, CC_Z << 1, fl->a)));
}

/* Kinds whose carry is an operand. */
static ir_ref cond_with_carry(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    if (cc >> 1 == CC_B || (cc >> 1 == CC_O && fl->op == IR_FL_MUL))
        return invert_if(b, cc & 1, fl->b);
    return cond_of_result(b, cc, fl->type, fl->a);
}

/* The other bits of the word but C and O, whose conditions are operands. */
static ir_ref cond_of_co(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    ir_ref word;

    if (cc >> 1 == CC_B || cc >> 1 == CC_O)
        return invert_if(b, cc & 1, cc >> 1 == CC_B ? fl->b : fl->c);
    if (fl->type != IR_I32 || cc >> 1 == CC_L || cc >> 1 == CC_LE)
        return 0;
    if (cc >> 1 != CC_BE)
        return cond_of_raw(b, cc, fl->a);
    word = ir_flags(b, IR_FL_RAW, IR_I32, fl->a, 0, 0);
    return invert_if(b, cc & 1, ir_bin(b, IR_OR, IR_I32, fl->b, ir_cond(b, CC_Z << 1, word)));
}

static ir_ref cond_of_shift(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    if (cc >> 1 != CC_B)
        return cond_of_result(b, cc, fl->type, fl->a);
    if (fl->op == IR_FL_SHL)
        return ir_cmp(b, cc & 1 ? IR_CMP_GES : IR_CMP_LTS, fl->type, fl->b, ir_const(b, fl->type, 0));
    if (fl->type == IR_I32)
        return invert_if(b, cc & 1, ir_bini(b, IR_AND, IR_I32, fl->b, 1));
    return 0;
}

static ir_ref cond_of_add(struct ir_builder *b, unsigned cc, const struct ir_insn *fl)
{
    if (cc >> 1 == CC_B)
        return ir_cmp(b, cc & 1 ? IR_CMP_GEU : IR_CMP_LTU, fl->type, fl->a, fl->b);
    return cond_of_result(b, cc, fl->type, fl->a);
}

static ir_ref fold_cond(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *fl = def(b, in->a);
    unsigned cc = in->cc;
    uint32_t value;

    if (flags_const(b, in->a, &value))
        return ir_const(b, IR_I32, ir_cond_eval(cc, value));
    switch (fl->op) {
    case IR_FL_ADD: return cond_of_add(b, cc, fl);
    case IR_FL_SUB: return cond_of_sub(b, cc, fl);
    case IR_FL_CMP: return cond_of_cmp(b, cc, fl->type, fl->a, fl->b);
    case IR_FL_LOGIC: return cond_of_logic(b, cc, fl->type, fl->a);
    case IR_FL_ADC:
    case IR_FL_SBB: return cond_of_result(b, cc, fl->type, fl->a);
    case IR_FL_INC:
    case IR_FL_DEC:
    case IR_FL_BITS:
    case IR_FL_MUL: return cond_with_carry(b, cc, fl);
    case IR_FL_CO: return cond_of_co(b, cc, fl);
    case IR_FL_SHL:
    case IR_FL_SHR: return cond_of_shift(b, cc, fl);
    case IR_FL_RAW: return cond_of_raw(b, cc, fl->a);
    case IR_FL_SETC: return cond_of_setc(b, cc, fl);
    default: return 0;
    }
}

static ir_ref fold_eflags(struct ir_builder *b, struct ir_insn *in)
{
    uint32_t value;

    if (flags_const(b, in->a, &value))
        return ir_const(b, IR_I32, value);
    return is_op(b, in->a, IR_FL_RAW) ? ir_bini(b, IR_AND, IR_I32, def(b, in->a)->a, IR_FLAGS6) : 0;
}

/* Adding, subtracting and comparing with 0 leave C, O and A clear, and so does x - x. */
static ir_ref fold_fl_add(struct ir_builder *b, struct ir_insn *in)
{
    return is_value(b, in->b, 0) ? ir_flags(b, IR_FL_LOGIC, in->type, in->a, 0, 0) : 0;
}

static ir_ref fold_fl_sub(struct ir_builder *b, struct ir_insn *in)
{
    if (is_value(b, in->b, 0) || (in->op == IR_FL_SUB && is_value(b, in->a, 0)))
        return ir_flags(b, IR_FL_LOGIC, in->type, in->a, 0, 0);
    if (in->op == IR_FL_CMP && in->a == in->b)
        return ir_flags(b, IR_FL_LOGIC, in->type, ir_const(b, in->type, 0), 0, 0);
    return 0;
}

static ir_ref fold_fl_carry(struct ir_builder *b, struct ir_insn *in)
{
    if (!is_value(b, in->c, 0))
        return 0;
    return ir_flags(b, in->op == IR_FL_ADC ? IR_FL_ADD : IR_FL_SUB, in->type, in->a, in->b, 0);
}

/* C and O of the word do not count: what has replaced them before is left out. */
static ir_ref fold_fl_co(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *word = def(b, in->a), *fl = def(b, word->a);

    if (word->op == IR_EFLAGS && fl->op == IR_FL_CO && fl->type == in->type)
        in->a = fl->a;
    else if (word->op == IR_EFLAGS && fl->op == IR_FL_SETC)
        in->a = ir_eflags(b, fl->a);
    return 0;
}

/* Only the six bits of the word count. */
static ir_ref fold_raw(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->a);
    uint64_t c;

    while ((d->op == IR_AND && ir_is_const(b, d->b, &c) && (c & IR_FLAGS6) == IR_FLAGS6) ||
           ((d->op == IR_OR || d->op == IR_XOR) && ir_is_const(b, d->b, &c) && !(c & IR_FLAGS6))) {
        in->a = d->a;
        d = def(b, in->a);
    }
    return d->op == IR_EFLAGS ? d->a : 0;
}

/* A later C replaces an earlier one; the C that is there already changes nothing. */
static ir_ref fold_setc(struct ir_builder *b, struct ir_insn *in)
{
    const struct ir_insn *d = def(b, in->b), *fl;
    uint32_t value;
    uint64_t c;

    if (d->op == IR_COND && d->cc == CC_B << 1 && d->a == in->a)
        return in->a;
    if (is_op(b, in->a, IR_FL_SETC))
        in->a = def(b, in->a)->a;
    fl = def(b, in->a);
    if (fl->op == IR_FL_CO)
        return ir_flags(b, IR_FL_CO, fl->type, fl->a, in->b, fl->c);
    if (!ir_is_const(b, in->b, &c) || !flags_const(b, in->a, &value))
        return 0;
    value = (value & ~(uint32_t)IR_CF) | (uint32_t)c;
    return ir_flags(b, IR_FL_RAW, IR_I32, ir_const(b, IR_I32, value), 0, 0);
}

/* ---- dispatch ---- */

static rule *const rules[IR_NUM_OPS] = {
    [IR_ADD] = fold_add, [IR_SUB] = fold_sub, [IR_AND] = fold_and, [IR_OR] = fold_or, [IR_XOR] = fold_xor,
    [IR_MUL] = fold_mul, [IR_MULHU] = fold_mulh, [IR_MULHS] = fold_mulh, [IR_NOT] = fold_involution,
    [IR_NEG] = fold_involution, [IR_BSWAP] = fold_involution, [IR_SHL] = fold_shift, [IR_SHR] = fold_shift,
    [IR_SAR] = fold_shift, [IR_ROL] = fold_shift, [IR_ROR] = fold_shift, [IR_ZEXT] = fold_zext,
    [IR_SEXT] = fold_sext, [IR_TRUNC] = fold_trunc, [IR_EXTRACT] = fold_extract, [IR_DEPOSIT] = fold_deposit,
    [IR_CMP] = fold_cmp, [IR_SELECT] = fold_select, [IR_FL_ADD] = fold_fl_add, [IR_FL_ADC] = fold_fl_carry,
    [IR_FL_SUB] = fold_fl_sub, [IR_FL_SBB] = fold_fl_carry, [IR_FL_CMP] = fold_fl_sub, [IR_FL_RAW] = fold_raw,
    [IR_FL_SETC] = fold_setc, [IR_FL_CO] = fold_fl_co, [IR_ADC] = fold_adc, [IR_SBB] = fold_sbb,
    [IR_EFLAGS] = fold_eflags, [IR_COND] = fold_cond,
};

/* Integer operations whose operands are all constants. */
static ir_ref fold_constants(struct ir_builder *b, const struct ir_insn *in)
{
    const struct ir_insn *x = def(b, in->a), *y = def(b, in->b), *z = def(b, in->c);

    if (x->op != IR_CONST || (in->b && y->op != IR_CONST) || (in->c && z->op != IR_CONST))
        return 0;
    return ir_const(b, ir_ops[in->op].result == '4' ? IR_I32 : in->type,
                    ir_eval(in->op, in->type, in->cc, in->imm, x->type, x->imm, y->imm, z->imm));
}

static bool commutative(unsigned op)
{
    return op == IR_ADD || (op >= IR_AND && op <= IR_MULHS);
}

ir_ref ir_simplify(struct ir_builder *b, struct ir_insn *in)
{
    ir_ref v;

    if (in->op >= IR_ADD && in->op <= IR_SELECT && (v = fold_constants(b, in)))
        return v;
    if (commutative(in->op) && is_op(b, in->a, IR_CONST)) {
        v = in->a;
        in->a = in->b;
        in->b = v;
    }
    return rules[in->op] ? rules[in->op](b, in) : 0;
}
