/* Fused multiply-add in integer arithmetic: SDM vol. 1, 14.5 and 4.9; vol. 2, VFMADD132PD and neighbours. */
#include "tcg/vec_fma.h"

#include <emmintrin.h>
#include <stdbool.h>
#include <string.h>

#include "tcg/tcg.h"
#include "tcg/vec.h"

enum {
    CSR_IE = 0x01, CSR_DE = 0x02, CSR_OE = 0x08, CSR_UE = 0x10, CSR_PE = 0x20, CSR_DAZ = 0x40,
    CSR_UM = 0x800, CSR_OM = 0x400, CSR_RC_SHIFT = 13, CSR_FTZ = 0x8000,
};
enum rounding { RC_NEAREST, RC_DOWN, RC_UP, RC_ZERO };

typedef unsigned __int128 u128;

/* A binary format: bits of the significand with its leading one, and of the exponent. */
struct format {
    unsigned precision, exp_bits;
};
static const struct format format32 = { 24, 8 }, format64 = { 53, 11 };

struct operation {
    const struct format *f;
    uint32_t csr, flags;
};

/* A finite number: (-1)^sign * m * 2^exp. */
struct number {
    bool sign;
    int exp;
    u128 m;
};

/* Products and sums have their leading one here, which leaves room for a carry. */
#define TOP 125

/* ---- encodings ---- */

static unsigned fraction_bits(const struct format *f)
{
    return f->precision - 1;
}

static uint64_t sign_bit(const struct format *f)
{
    return UINT64_C(1) << (fraction_bits(f) + f->exp_bits);
}

/* Also the greatest biased exponent in place: infinity. */
static uint64_t infinity(const struct format *f)
{
    return sign_bit(f) - (UINT64_C(1) << fraction_bits(f));
}

static uint64_t quiet_bit(const struct format *f)
{
    return UINT64_C(1) << (fraction_bits(f) - 1);
}

static uint64_t magnitude(const struct format *f, uint64_t v)
{
    return v & (sign_bit(f) - 1);
}

static bool is_nan(const struct format *f, uint64_t v)
{
    return magnitude(f, v) > infinity(f);
}

static bool is_infinite(const struct format *f, uint64_t v)
{
    return magnitude(f, v) == infinity(f);
}

static bool is_denormal(const struct format *f, uint64_t v)
{
    return magnitude(f, v) && !(v & infinity(f));
}

static int max_exponent(const struct format *f)
{
    return (1 << (f->exp_bits - 1)) - 1;
}

static struct number unpack(const struct format *f, uint64_t v)
{
    uint64_t fraction = v & ((UINT64_C(1) << fraction_bits(f)) - 1);
    int biased = (int)(magnitude(f, v) >> fraction_bits(f));
    struct number n = { .sign = v & sign_bit(f), .m = fraction };

    if (biased)
        n.m |= UINT64_C(1) << fraction_bits(f);
    n.exp = (biased ? biased : 1) - max_exponent(f) - (int)fraction_bits(f);
    return n;
}

/* ---- arithmetic ---- */

/* Shift right; bits that are lost leave a one in the lowest place. */
static u128 shift_jam(u128 m, unsigned n)
{
    if (n > TOP + 2)
        return m != 0;
    return n ? m >> n | ((m & (((u128)1 << n) - 1)) != 0) : m;
}

/* Leading one to TOP; m is not 0 and has none above it but a carry. */
static void normalise(struct number *n)
{
    uint64_t high = (uint64_t)(n->m >> 64);
    int lead = high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)n->m);

    n->m = lead > TOP ? shift_jam(n->m, (unsigned)(lead - TOP)) : n->m << (TOP - lead);
    n->exp += lead - TOP;
}

/* The sum of normalised numbers that are not 0. m = 0: they cancel. Lost bits stay in the lowest place. */
static struct number add(struct number x, struct number y)
{
    struct number t;

    if (x.exp < y.exp || (x.exp == y.exp && x.m < y.m)) {
        t = x;
        x = y;
        y = t;
    }
    y.m = shift_jam(y.m, (unsigned)(x.exp - y.exp));
    x.m = x.sign == y.sign ? x.m + y.m : x.m - y.m;
    if (x.m)
        normalise(&x);
    return x;
}

/* Drop the lowest n bits (2 <= n <= TOP + 1). */
static u128 round_off(const struct operation *op, u128 m, unsigned n, bool sign, bool *inexact)
{
    u128 rest = m & (((u128)1 << n) - 1), half = (u128)1 << (n - 1);
    bool up;

    m >>= n;
    *inexact = rest != 0;
    switch (op->csr >> CSR_RC_SHIFT & 3) {
    case RC_NEAREST: up = rest > half || (rest == half && (m & 1)); break;
    case RC_DOWN: up = sign && rest; break;
    case RC_UP: up = !sign && rest; break;
    default: up = false;
    }
    return m + up;
}

static uint64_t signed_value(const struct operation *op, bool sign, uint64_t v)
{
    return sign ? v | sign_bit(op->f) : v;
}

static uint64_t overflow(struct operation *op, bool sign, bool inexact)
{
    unsigned rc = op->csr >> CSR_RC_SHIFT & 3;
    bool infinite = rc == RC_NEAREST || rc == (sign ? RC_DOWN : RC_UP);

    op->flags |= CSR_OE;
    if (inexact || (op->csr & CSR_OM))
        op->flags |= CSR_PE;
    return signed_value(op, sign, infinity(op->f) - !infinite);
}

/* A result below the smallest normal number. */
static uint64_t underflow(struct operation *op, const struct number *n, unsigned drop, int lead, bool inexact)
{
    int min = 1 - max_exponent(op->f);
    uint64_t m;

    if (!(op->csr & CSR_UM)) {
        op->flags |= CSR_UE | (inexact ? CSR_PE : 0);
        return signed_value(op, n->sign, 0);
    }
    if (op->csr & CSR_FTZ) {
        op->flags |= CSR_UE | CSR_PE;
        return signed_value(op, n->sign, 0);
    }
    m = (uint64_t)round_off(op, shift_jam(n->m, (unsigned)(min - lead)), drop, n->sign, &inexact);
    if (inexact)
        op->flags |= CSR_UE | CSR_PE;
    return signed_value(op, n->sign, m);
}

/* A normalised number to the format. Tininess is detected after rounding. */
static uint64_t pack(struct operation *op, const struct number *n)
{
    unsigned precision = op->f->precision, drop = TOP + 1 - precision;
    int lead = n->exp + TOP, rounded = lead, bias = max_exponent(op->f);
    bool inexact;
    uint64_t m = (uint64_t)round_off(op, n->m, drop, n->sign, &inexact);

    if (m >> precision) {
        m >>= 1;
        rounded++;
    }
    if (rounded < 1 - bias)
        return underflow(op, n, drop, lead, inexact);
    if (rounded > bias)
        return overflow(op, n->sign, inexact);
    if (inexact)
        op->flags |= CSR_PE;
    return signed_value(op, n->sign, m + ((uint64_t)(rounded + bias - 1) << fraction_bits(op->f)));
}

/* ---- one lane ---- */

static uint64_t default_nan(const struct operation *op)
{
    return sign_bit(op->f) | infinity(op->f) | quiet_bit(op->f);
}

static uint64_t invalid(struct operation *op)
{
    op->flags |= CSR_IE;
    return default_nan(op);
}

/* The first NaN of multiplicand, multiplier and addend, made quiet: SDM vol. 1, table 14-17 (the forms differ
 * in which operand is which). */
static uint64_t nan_result(struct operation *op, const uint64_t v[3])
{
    uint64_t quiet = quiet_bit(op->f), result = 0;

    for (unsigned i = 3; i-- > 0;)
        if (is_nan(op->f, v[i])) {
            if (!(v[i] & quiet))
                op->flags |= CSR_IE;
            result = v[i] | quiet;
        }
    return result;
}

/* An infinity among the operands, none of which is a NaN. */
static uint64_t infinite_result(struct operation *op, const uint64_t v[3], bool product_sign,
                                bool addend_sign)
{
    const struct format *f = op->f;
    bool product = is_infinite(f, v[0]) || is_infinite(f, v[1]), addend = is_infinite(f, v[2]);

    if (product && (!magnitude(f, v[0]) || !magnitude(f, v[1])))
        return invalid(op);
    if (product && addend && product_sign != addend_sign)
        return invalid(op);
    return signed_value(op, product ? product_sign : addend_sign, infinity(f));
}

/* Finite operands. */
static uint64_t finite_result(struct operation *op, const uint64_t v[3], bool product_sign, bool addend_sign)
{
    struct number x = unpack(op->f, v[0]), y = unpack(op->f, v[1]), z = unpack(op->f, v[2]);
    struct number product = { product_sign, x.exp + y.exp, x.m * y.m };

    z.sign = addend_sign;
    if (product.m)
        normalise(&product);
    if (z.m)
        normalise(&z);
    if (product.m && z.m)
        product = add(product, z);
    else if (z.m)
        product = z;
    else if (!product.m && product_sign == addend_sign)
        return signed_value(op, product_sign, 0);
    if (!product.m)
        return signed_value(op, (op->csr >> CSR_RC_SHIFT & 3) == RC_DOWN, 0);
    return pack(op, &product);
}

/* Multiplicand, multiplier, addend; the product or the addend may be taken negative, NaNs are not. */
static uint64_t multiply_add(struct operation *op, uint64_t v[3], bool negate_product, bool negate_addend)
{
    const struct format *f = op->f;
    bool product_sign, addend_sign, denormal = false;

    if (is_nan(f, v[0]) || is_nan(f, v[1]) || is_nan(f, v[2]))
        return nan_result(op, v);
    for (unsigned i = 0; i < 3; i++)
        if (is_denormal(f, v[i])) {
            if (op->csr & CSR_DAZ)
                v[i] &= sign_bit(f);
            else
                denormal = true;
        }
    product_sign = (((v[0] ^ v[1]) & sign_bit(f)) != 0) != negate_product;
    addend_sign = ((v[2] & sign_bit(f)) != 0) != negate_addend;
    if (is_infinite(f, v[0]) || is_infinite(f, v[1]) || is_infinite(f, v[2])) {
        uint64_t r = infinite_result(op, v, product_sign, addend_sign);
        if (denormal && !(op->flags & CSR_IE))
            op->flags |= CSR_DE;
        return r;
    }
    if (denormal)
        op->flags |= CSR_DE;
    return finite_result(op, v, product_sign, addend_sign);
}

/* ---- vectors ---- */

/* Low digit of the opcode: 6 and 7 alternate between the signs of the addend; from 8 on bit 0: scalar, bit 1:
 * subtract, bit 2: negative product. High digit, the form: 9: 132, a: 213, b: 231. */
static bool is_scalar(unsigned opcode)
{
    return (opcode & 9) == 9;
}

static bool subtracts(unsigned opcode, unsigned lane)
{
    return opcode & 8 ? opcode & 2 : (opcode & 1) == (lane & 1);
}

/* The lane of dst := its result; returns its flags. */
static uint32_t fma_lane(unsigned opcode, bool wide, uint32_t csr, unsigned lane, void *dst, const void *a,
                         const void *b)
{
    static const uint8_t order[3][3] = { { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 } };
    struct operation op = { wide ? &format64 : &format32, csr, 0 };
    const uint8_t *form = order[(opcode >> 4 & 15) - 9];
    unsigned size = wide ? 8 : 4, at = lane * size;
    uint64_t in[3] = { 0 }, v[3], r;

    memcpy(&in[0], (char *)dst + at, size);
    memcpy(&in[1], (const char *)a + at, size);
    memcpy(&in[2], (const char *)b + at, size);
    for (unsigned i = 0; i < 3; i++)
        v[i] = in[form[i]];
    r = multiply_add(&op, v, (opcode & 12) == 12, subtracts(opcode, lane));
    memcpy((char *)dst + at, &r, size);
    return op.flags;
}

/* Returns the flags of all lanes. */
static uint32_t fma_lanes(unsigned opcode, bool wide, uint32_t csr, void *dst, const void *a, const void *b)
{
    unsigned lanes = is_scalar(opcode) ? 1 : wide ? 2 : 4;
    uint32_t flags = 0;

    for (unsigned i = 0; i < lanes; i++)
        flags |= fma_lane(opcode, wide, csr, i, dst, a, b);
    return flags;
}

static void fma_vector(unsigned opcode, bool wide, void *dst, const void *a, const void *b)
{
    uint32_t csr = _mm_getcsr();
    char x[16], y[16];

    memcpy(x, a, 16);
    memcpy(y, b, 16);
    _mm_setcsr(csr | fma_lanes(opcode, wide, csr, dst, x, y));
}

#define VOP(NAME, fn, kind, host, prefix, opcode) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        fma_vector(opcode, (prefix) & TCG_VEX_W, dst, a, b); \
    }
#include "tcg/vec_fma.def"
#undef VOP

uint32_t vec_fma_flags(unsigned vop, uint32_t csr, const void *dst, const void *a, const void *b)
{
    const struct tcg_vop_info *info = &tcg_vops[vop];
    char d[16];

    memcpy(d, dst, 16);
    return fma_lanes(info->opcode, info->prefix & TCG_VEX_W, csr, d, a, b);
}
