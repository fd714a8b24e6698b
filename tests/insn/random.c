/* Random numbers and operands: edge cases more often than chance would have them. */
#include "tests/insn/insn.h"

uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned rng_below(struct rng *r, unsigned n)
{
    return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

bool rng_percent(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

uint64_t rng_int(struct rng *r)
{
    static const uint64_t edges[] = {
        0, 1, 2, UINT64_MAX, UINT64_MAX - 1, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
        0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0x100000000, INT64_MAX, UINT64_C(1) << 63,
        UINT64_C(0xffffffff80000000), UINT64_C(0xffffffff7fffffff), UINT64_C(0xffffffffffff8000),
        UINT64_C(0xffffffffffffff80), UINT64_C(0x8080808080808080), UINT64_C(0x7f7f7f7f7f7f7f7f),
        UINT64_C(0x8000800080008000), UINT64_C(0x8000000080000000), 0x99, 0x9a, 0x9999,
    };

    switch (rng_below(r, 8)) {
    case 0: case 1: case 2: return edges[rng_below(r, ARRAY_LEN(edges))];
    case 3: return rng_below(r, 70);
    case 4: return -(uint64_t)rng_below(r, 70);
    case 5: return UINT64_C(1) << rng_below(r, 64);
    case 6: return rng_next(r) >> rng_below(r, 64);
    default: return rng_next(r);
    }
}

/* A number in an IEEE format of `exp_bits` and `frac_bits` (without hidden bit). */
static uint64_t random_ieee(struct rng *r, unsigned exp_bits, unsigned frac_bits)
{
    uint64_t max = MASK(exp_bits), bias = max >> 1;
    uint64_t exp, frac = rng_next(r) & MASK(frac_bits);
    uint64_t sign = rng_next(r) & 1;

    switch (rng_below(r, 12)) {
    case 0: exp = 0; frac = 0; break;
    case 1: exp = 0; break;                                              /* denormal */
    case 2: exp = 0; frac = rng_percent(r, 50) ? 1 : MASK(frac_bits); break;
    case 3: exp = max; frac = 0; break;                                  /* infinity */
    case 4: exp = max; break;                                            /* NaN of either kind */
    case 5: exp = 1 + rng_below(r, 3); break;                            /* near underflow */
    case 6: exp = max - 1 - rng_below(r, 3); break;                      /* near overflow */
    case 7: exp = bias + rng_below(r, frac_bits + 12); frac &= ~MASK(frac_bits - rng_below(r, 8)); break;
    case 8: exp = bias + rng_below(r, 70); break;
    case 9: exp = bias - rng_below(r, 70); break;
    case 10: exp = bias; frac = 0; break;                                /* 1.0 */
    default: exp = rng_next(r) & max; break;
    }
    return sign << (exp_bits + frac_bits) | exp << frac_bits | frac;
}

void rng_f80(struct rng *r, uint8_t *p)
{
    uint64_t frac = rng_next(r), exp, integer = BIT(63);

    switch (rng_below(r, 12)) {
    case 0: exp = 0; frac = integer = 0; break;
    case 1: exp = 0; integer = 0; break;                     /* denormal */
    case 2: exp = 0; break;                                  /* pseudo-denormal */
    case 3: exp = 0x7fff; frac = 0; break;                   /* infinity */
    case 4: exp = 0x7fff; break;                             /* NaN */
    case 5: exp = 0x7fff; integer = 0; frac *= rng_below(r, 2); break;   /* pseudo-NaN, pseudo-infinity */
    case 6: exp = rng_below(r, 0x8000); integer = 0; break;  /* unnormal */
    case 7: exp = 1 + rng_below(r, 70); break;
    case 8: exp = 0x7ffe - rng_below(r, 70); break;
    case 9: exp = 0x3fff + rng_below(r, 66); frac &= ~MASK(rng_below(r, 64)); break;
    case 10: exp = 0x3fff - 40 + rng_below(r, 80); break;
    default: exp = rng_below(r, 0x7fff); break;
    }
    store_le(p, 8, (frac & MASK(63)) | integer);
    store_le(p + 8, 2, exp | (rng_next(r) & 0x8000));
}

static void fill_bcd(struct rng *r, uint8_t *p)
{
    for (unsigned i = 0; i < 9; i++)
        p[i] = (uint8_t)(rng_below(r, 10) << 4 | rng_below(r, 10));
    p[9] = rng_percent(r, 50) ? 0x80 : 0;
}

static void fill_16(struct rng *r, uint8_t *p)
{
    unsigned kind = rng_below(r, 10);

    store_le(p, 8, rng_next(r));
    store_le(p + 8, 8, rng_next(r));
    if (kind < 3)
        for (unsigned i = 0; i < 4; i++)
            store_le(p + 4 * i, 4, random_ieee(r, 8, 23));
    else if (kind < 6)
        for (unsigned i = 0; i < 2; i++)
            store_le(p + 8 * i, 8, random_ieee(r, 11, 52));
    else if (kind < 7)
        rng_f80(r, p);
    else if (kind < 8)
        for (unsigned i = 0; i < 2; i++)
            store_le(p + 8 * i, 8, rng_int(r));
    else if (kind < 9)
        fill_bcd(r, p);
}

void rng_fill(struct rng *r, uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += 16)
        fill_16(r, p + i);
}
