/* The meaning of the IR's pure operations in C: arithmetic flags, x86 conditions, integer operations. */
#include "base/bits.h"
#include "tcg/ir.h"

/* Bit n of v at the place of flag f. */
static uint32_t flag_at(uint32_t f, uint64_t v, unsigned n)
{
    return (uint32_t)(v >> n & 1) * f;
}

/* S, Z and P of a result: Z of all bits of the width, P of the low byte alone (SDM vol. 1, 3.4.3.1). */
static uint32_t flags_szp(uint64_t res, unsigned bits)
{
    return flag_at(IR_SF, res, bits - 1) | (uint32_t)!(res & MASK(bits)) * IR_ZF |
           (uint32_t)!__builtin_parity((unsigned)res & 0xff) * IR_PF;
}

static uint32_t flag_if(uint32_t flag, uint64_t condition)
{
    return condition ? flag : 0;
}

/* x + y (+ carry in) = res, with the carry out of each bit. */
static uint32_t flags_add(uint64_t res, uint64_t x, uint64_t y, unsigned bits)
{
    uint64_t carry = (x & y) | ((x | y) & ~res);

    return flags_szp(res, bits) | flag_at(IR_CF, carry, bits - 1) | flag_at(IR_AF, carry, 3) |
           flag_at(IR_OF, (x ^ res) & (y ^ res), bits - 1);
}

/* x - y (- borrow in) = res, with the borrow of each bit. */
static uint32_t flags_sub(uint64_t res, uint64_t x, uint64_t y, unsigned bits)
{
    uint64_t borrow = (~x & y) | ((~x | y) & res);

    return flags_szp(res, bits) | flag_at(IR_CF, borrow, bits - 1) | flag_at(IR_AF, borrow, 3) |
           flag_at(IR_OF, (x ^ y) & (x ^ res), bits - 1);
}

uint32_t ir_flags_eval(unsigned op, unsigned t, uint64_t a, uint64_t b, uint64_t c)
{
    unsigned bits = IR_BITS(t);
    uint64_t min = BIT(bits - 1);

    switch (op) {
    case IR_FL_ADD:
        return flags_add(a, a - b, b, bits);
    case IR_FL_ADC:
        return flags_add(a, a - b - (c & 1), b, bits);
    case IR_FL_SUB:
        return flags_sub(a, a + b, b, bits);
    case IR_FL_SBB:
        return flags_sub(a, a + b + (c & 1), b, bits);
    case IR_FL_CMP:
        return flags_sub(a - b, a, b, bits);
    case IR_FL_LOGIC:
        return flags_szp(a, bits);
    case IR_FL_INC:
        return flags_szp(a, bits) | flag_if(IR_CF, b & 1) | flag_if(IR_AF, (a & 15) == 0) |
               flag_if(IR_OF, (a & MASK(bits)) == min);
    case IR_FL_DEC:
        return flags_szp(a, bits) | flag_if(IR_CF, b & 1) | flag_if(IR_AF, (a & 15) == 15) |
               flag_if(IR_OF, (a & MASK(bits)) == min - 1);
    case IR_FL_SHL:
        return flags_szp(a, bits) | flag_if(IR_CF, b & min) | flag_if(IR_OF, (a ^ b) & min);
    case IR_FL_SHR:
        return flags_szp(a, bits) | flag_if(IR_CF, b & 1) | flag_if(IR_OF, (a ^ b) & min);
    case IR_FL_MUL:
        return flags_szp(a, bits) | flag_if(IR_CF | IR_OF, b & 1);
    case IR_FL_BITS:
        return flags_szp(a, bits) | flag_if(IR_CF, b & 1);
    case IR_FL_CO:
        return ((uint32_t)a & IR_FLAGS6 & ~(uint32_t)(IR_CF | IR_OF)) | flag_if(IR_CF, b & 1) | flag_if(IR_OF, c & 1);
    default:
        return (uint32_t)a & IR_FLAGS6;
    }
}

/* SDM vol. 1, appendix B: the low bit of the condition number negates. */
bool ir_cond_eval(unsigned cc, uint32_t f)
{
    bool less = !(f & IR_SF) != !(f & IR_OF);
    bool holds;

    switch (cc >> 1) {
    case 0: holds = f & IR_OF; break;
    case 1: holds = f & IR_CF; break;
    case 2: holds = f & IR_ZF; break;
    case 3: holds = f & (IR_CF | IR_ZF); break;
    case 4: holds = f & IR_SF; break;
    case 5: holds = f & IR_PF; break;
    case 6: holds = less; break;
    default: holds = less || (f & IR_ZF); break;
    }
    return holds != (cc & 1);
}

static bool eval_cmp(unsigned cc, unsigned bits, uint64_t a, uint64_t b)
{
    uint64_t ua = a & MASK(bits), ub = b & MASK(bits);
    int64_t sa = bits_sext(a, bits), sb = bits_sext(b, bits);

    switch (cc) {
    case IR_CMP_EQ: return ua == ub;
    case IR_CMP_NE: return ua != ub;
    case IR_CMP_LTU: return ua < ub;
    case IR_CMP_LEU: return ua <= ub;
    case IR_CMP_GTU: return ua > ub;
    case IR_CMP_GEU: return ua >= ub;
    case IR_CMP_LTS: return sa < sb;
    case IR_CMP_LES: return sa <= sb;
    case IR_CMP_GTS: return sa > sb;
    default: return sa >= sb;
    }
}

static uint64_t eval_shift(unsigned op, unsigned bits, uint64_t a, unsigned n)
{
    uint64_t v = a & MASK(bits);

    n &= bits - 1;
    switch (op) {
    case IR_SHL: return v << n;
    case IR_SHR: return v >> n;
    case IR_SAR: return (uint64_t)(bits_sext(a, bits) >> n);
    case IR_ROL: return n ? v << n | v >> (bits - n) : v;
    default: return n ? v >> n | v << (bits - n) : v;
    }
}

/* High half of the product; signed operands are corrected from the unsigned product, modulo 2^64. */
static uint64_t eval_mulh(unsigned op, unsigned bits, uint64_t a, uint64_t b)
{
    uint64_t x = a & MASK(bits), y = b & MASK(bits), x1 = x >> 32, y1 = y >> 32, high;

    if (bits < 64)
        return op == IR_MULHU ? x * y >> bits : (uint64_t)(bits_sext(a, bits) * bits_sext(b, bits)) >> bits;
    x &= UINT32_MAX;
    y &= UINT32_MAX;
    uint64_t mid = x1 * y + (x * y >> 32), mid2 = x * y1 + (mid & UINT32_MAX);
    high = x1 * y1 + (mid >> 32) + (mid2 >> 32);
    if (op == IR_MULHS)
        high -= ((int64_t)a < 0 ? b : 0) + ((int64_t)b < 0 ? a : 0);
    return high;
}

__extension__ typedef unsigned __int128 uint128;

/* Where the result is not defined: 0. */
static uint64_t eval_div(unsigned op, unsigned bits, uint64_t a, uint64_t b, uint64_t c)
{
    uint128 x = (uint128)(c & MASK(bits)) << bits | (a & MASK(bits));
    int64_t sx = bits_sext(a, bits), sy = bits_sext(b, bits);

    b &= MASK(bits);
    if (op == IR_DIVU || op == IR_REMU)
        return (c & MASK(bits)) >= b ? 0 : (uint64_t)(op == IR_DIVU ? x / b : x % b);
    if (!sy || (sy == -1 && (a & MASK(bits)) == BIT(bits - 1)))
        return 0;
    return (uint64_t)(op == IR_DIVS ? sx / sy : sx % sy);
}

static uint64_t eval_deposit(uint64_t v, uint64_t mask)
{
    uint64_t res = 0;

    for (; mask; mask &= mask - 1, v >>= 1)
        if (v & 1)
            res |= mask & -mask;
    return res;
}

static uint64_t eval_gather(uint64_t v, uint64_t mask)
{
    uint64_t res = 0;

    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        if (v & mask & -mask)
            res |= BIT(n);
    return res;
}

/* PDEP PEXT BZHI BEXTR, by SDM vol. 2. */
static uint64_t eval_field(unsigned op, unsigned bits, uint64_t a, uint64_t b)
{
    unsigned n = b & 0xff;

    a &= MASK(bits);
    switch (op) {
    case IR_PDEP: return eval_deposit(a, b & MASK(bits));
    case IR_PEXT: return eval_gather(a, b & MASK(bits));
    case IR_BZHI: return a & MASK(n);
    default: return n < bits ? a >> n & MASK((unsigned)(b >> 8 & 0xff)) : 0;
    }
}

/* The polynomial 11EDC6F41h of the manual with its bits reversed, as data and remainder have theirs; what
 * four bits of data do to the remainder. */
#define CRC_BIT(r) ((r) >> 1 ^ ((r) & 1 ? UINT32_C(0x82f63b78) : 0))
#define CRC_4BITS(n) CRC_BIT(CRC_BIT(CRC_BIT(CRC_BIT(UINT32_C(n)))))
static const uint32_t crc_table[16] = {
    CRC_4BITS(0), CRC_4BITS(1), CRC_4BITS(2), CRC_4BITS(3), CRC_4BITS(4), CRC_4BITS(5), CRC_4BITS(6),
    CRC_4BITS(7), CRC_4BITS(8), CRC_4BITS(9), CRC_4BITS(10), CRC_4BITS(11), CRC_4BITS(12), CRC_4BITS(13),
    CRC_4BITS(14), CRC_4BITS(15),
};

static uint32_t eval_crc32(unsigned bits, uint32_t crc, uint64_t v)
{
    for (unsigned n = 0; n < bits; n += 4, v >>= 4)
        crc = crc >> 4 ^ crc_table[(crc ^ v) & 15];
    return crc;
}

static uint64_t eval_un(unsigned op, unsigned bits, unsigned src_bits, uint64_t a)
{
    uint64_t v = a & MASK(bits);

    switch (op) {
    case IR_NOT: return ~a;
    case IR_NEG: return 0 - a;
    case IR_BSWAP: return bits == 64 ? __builtin_bswap64(a) : __builtin_bswap32((uint32_t)a);
    case IR_CTZ: return v ? (unsigned)__builtin_ctzll(v) : bits;
    case IR_CLZ: return v ? (unsigned)__builtin_clzll(v) - (64 - bits) : bits;
    case IR_POPCNT: return (unsigned)__builtin_popcountll(v);
    case IR_ZEXT: return a & MASK(src_bits);
    case IR_SEXT: return (uint64_t)bits_sext(a, src_bits);
    default: return a; /* TRUNC */
    }
}

uint64_t ir_eval(unsigned op, unsigned t, unsigned cc, uint64_t imm, unsigned src_type, uint64_t a,
                 uint64_t b, uint64_t c)
{
    unsigned bits = IR_BITS(t), pos = (imm >> 8) & 63, len = imm & 0xff;
    uint64_t v;

    switch (op) {
    case IR_CONST: v = imm; break;
    case IR_ADD: v = a + b; break;
    case IR_SUB: v = a - b; break;
    case IR_AND: v = a & b; break;
    case IR_OR: v = a | b; break;
    case IR_XOR: v = a ^ b; break;
    case IR_ADC: v = a + b + (c & 1); break;
    case IR_SBB: v = a - b - (c & 1); break;
    case IR_MUL: v = a * b; break;
    case IR_DIVU:
    case IR_REMU:
    case IR_DIVS:
    case IR_REMS: v = eval_div(op, bits, a, b, c); break;
    case IR_MULHU:
    case IR_MULHS: v = eval_mulh(op, bits, a, b); break;
    case IR_SHL:
    case IR_SHR:
    case IR_SAR:
    case IR_ROL:
    case IR_ROR: v = eval_shift(op, bits, a, (unsigned)b); break;
    case IR_EXTRACT: v = bits_extract(a, pos, len); break;
    case IR_DEPOSIT: v = bits_deposit(a, pos, len, b); break;
    case IR_PDEP:
    case IR_PEXT:
    case IR_BZHI:
    case IR_BEXTR: v = eval_field(op, bits, a, b); break;
    case IR_CRC32: return eval_crc32(bits, (uint32_t)a, b);
    case IR_CMP: return eval_cmp(cc, bits, a, b);
    case IR_SELECT: v = (uint32_t)a ? b : c; break;
    default: v = eval_un(op, bits, IR_BITS(src_type), a); break;
    }
    return v & MASK(bits);
}
