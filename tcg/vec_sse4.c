/* Integer vector operations of SSE3 to SSE4.2 in plain C: the interpreter's meaning, and the reference for
 * hosts that do them in one instruction. */
#include "tcg/vec_lanes.h"

/* ---- SSE3 ---- */

LANES_WIDE(movddup, uint64_t, y[0])
LANES_WIDE(movsldup, uint32_t, y[i & 2])
LANES_WIDE(movshdup, uint32_t, y[i | 1])

/* ---- SSSE3 ---- */

static inline void shuffle_bytes(uint8_t *r, const uint8_t *x, const uint8_t *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        r[i] = y[i] & 0x80 ? 0 : x[y[i] & (n - 1)];
}
VEC_BOTH(pshufb, uint8_t, shuffle_bytes)

/* Lanes 2k and 2k + 1 of a, then those of b; expr of their values v and w. */
#define PAIRS(fn, T, expr) \
    static inline void pairs_##fn(T *r, const T *x, const T *y, unsigned n) \
    { \
        for (unsigned i = 0; i < n; i++) { \
            const T *s = (i < n / 2 ? x : y) + 2 * i % n; \
            T v = s[0], w = s[1]; \
            r[i] = (T)(expr); \
        } \
    } \
    VEC_BOTH(fn, T, pairs_##fn)

PAIRS(phaddw, uint16_t, v + w)
PAIRS(phaddd, uint32_t, v + w)
PAIRS(phaddsw, int16_t, vec_clamp(v + w, INT16_MIN, INT16_MAX))
PAIRS(phsubw, uint16_t, v - w)
PAIRS(phsubd, uint32_t, v - w)
PAIRS(phsubsw, int16_t, vec_clamp(v - w, INT16_MIN, INT16_MAX))

static inline void madd_bytes(int16_t *r, const int16_t *x, const int16_t *y, unsigned n)
{
    uint8_t a[16];
    int8_t b[16];

    memcpy(a, x, 2 * n);
    memcpy(b, y, 2 * n);
    for (unsigned i = 0; i < n; i++)
        r[i] = (int16_t)vec_clamp(a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1], INT16_MIN, INT16_MAX);
}
VEC_BOTH(pmaddubsw, int16_t, madd_bytes)

#define SIGN(x, y) ((y) < 0 ? -(x) : (y) ? (x) : 0)
LANES(psignb, int8_t, SIGN(x[i], y[i]))
LANES(psignw, int16_t, SIGN(x[i], y[i]))
LANES(psignd, int32_t, SIGN((int64_t)x[i], y[i]))
LANES(pabsb, int8_t, y[i] < 0 ? -y[i] : y[i])
LANES(pabsw, int16_t, y[i] < 0 ? -y[i] : y[i])
LANES(pabsd, int32_t, y[i] < 0 ? -(int64_t)y[i] : y[i])
LANES(pmulhrsw, int16_t, ((x[i] * y[i] >> 14) + 1) >> 1)

/* Bytes `shift` and up of a:b, zeros from above. */
static void align_right(void *dst, const void *a, const void *b, unsigned n, unsigned shift)
{
    uint8_t v[48] = { 0 };

    memcpy(v, b, n);
    memcpy(v + n, a, n);
    memcpy(dst, v + (shift < 2 * n ? shift : 2 * n), n);
}

void vec_palignr(void *dst, const void *a, const void *b, unsigned imm)
{
    align_right(dst, a, b, 16, imm);
}

void vec_palignr_q(void *dst, const void *a, const void *b, unsigned imm)
{
    align_right(dst, a, b, 8, imm);
}

/* ---- selections ---- */

/* dst = sign of dst's lane ? b : a. */
#define SELECT(fn, T) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        T m[16 / sizeof(T)], x[16 / sizeof(T)], y[16 / sizeof(T)]; \
        memcpy(m, dst, 16); \
        memcpy(x, a, 16); \
        memcpy(y, b, 16); \
        for (unsigned i = 0; i < 16 / sizeof(T); i++) \
            m[i] = m[i] < 0 ? y[i] : x[i]; \
        memcpy(dst, m, 16); \
    }

SELECT(pblendvb, int8_t)
SELECT(blendvps, int32_t)
SELECT(blendvpd, int64_t)

/* Bit i of the immediate ? b : a. */
LANES_IMM(pblendw, uint16_t, imm >> i & 1 ? y[i] : x[i])
LANES_IMM(blendps, uint32_t, imm >> i & 1 ? y[i] : x[i])
LANES_IMM(blendpd, uint64_t, imm >> i & 1 ? y[i] : x[i])

/* Immediate: 7:6 lane of b, 5:4 where it goes in a, 3:0 lanes cleared. */
void vec_insertps(void *dst, const void *a, const void *b, unsigned imm)
{
    uint32_t x[4], y[4];

    memcpy(x, a, 16);
    memcpy(y, b, 16);
    x[imm >> 4 & 3] = y[imm >> 6 & 3];
    for (unsigned i = 0; i < 4; i++)
        x[i] = imm >> i & 1 ? 0 : x[i];
    memcpy(dst, x, 16);
}

/* ---- SSE4 lanes ---- */

/* The low lanes of b, widened. */
#define EXTEND(fn, FROM, TO) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        FROM y[16 / sizeof(TO)]; \
        TO r[16 / sizeof(TO)]; \
        (void)a; \
        memcpy(y, b, sizeof(y)); \
        for (unsigned i = 0; i < 16 / sizeof(TO); i++) \
            r[i] = (TO)y[i]; \
        memcpy(dst, r, 16); \
    }

EXTEND(pmovsxbw, int8_t, int16_t)
EXTEND(pmovsxbd, int8_t, int32_t)
EXTEND(pmovsxbq, int8_t, int64_t)
EXTEND(pmovsxwd, int16_t, int32_t)
EXTEND(pmovsxwq, int16_t, int64_t)
EXTEND(pmovsxdq, int32_t, int64_t)
EXTEND(pmovzxbw, uint8_t, uint16_t)
EXTEND(pmovzxbd, uint8_t, uint32_t)
EXTEND(pmovzxbq, uint8_t, uint64_t)
EXTEND(pmovzxwd, uint16_t, uint32_t)
EXTEND(pmovzxwq, uint16_t, uint64_t)
EXTEND(pmovzxdq, uint32_t, uint64_t)

LANES_WIDE(pminsb, int8_t, x[i] < y[i] ? x[i] : y[i])
LANES_WIDE(pminsd, int32_t, x[i] < y[i] ? x[i] : y[i])
LANES_WIDE(pminuw, uint16_t, x[i] < y[i] ? x[i] : y[i])
LANES_WIDE(pminud, uint32_t, x[i] < y[i] ? x[i] : y[i])
LANES_WIDE(pmaxsb, int8_t, x[i] > y[i] ? x[i] : y[i])
LANES_WIDE(pmaxsd, int32_t, x[i] > y[i] ? x[i] : y[i])
LANES_WIDE(pmaxuw, uint16_t, x[i] > y[i] ? x[i] : y[i])
LANES_WIDE(pmaxud, uint32_t, x[i] > y[i] ? x[i] : y[i])
LANES_WIDE(pmulld, uint32_t, x[i] * y[i])
LANES_WIDE(pmuldq, int64_t, (int64_t)(int32_t)x[i] * (int32_t)y[i])
LANES_WIDE(pcmpeqq, int64_t, x[i] == y[i] ? -1 : 0)
LANES_WIDE(pcmpgtq, int64_t, x[i] > y[i] ? -1 : 0)

void vec_packusdw(void *dst, const void *a, const void *b)
{
    int32_t in[8];
    uint16_t r[8];

    memcpy(in, a, 16);
    memcpy(in + 4, b, 16);
    for (unsigned i = 0; i < 8; i++)
        r[i] = (uint16_t)vec_clamp(in[i], 0, UINT16_MAX);
    memcpy(dst, r, 16);
}

void vec_phminposuw(void *dst, const void *a, const void *b)
{
    uint16_t y[8], r[8] = { 0 };
    unsigned least = 0;

    (void)a;
    memcpy(y, b, 16);
    for (unsigned i = 1; i < 8; i++)
        least = y[i] < y[least] ? i : least;
    r[0] = y[least];
    r[1] = (uint16_t)least;
    memcpy(dst, r, 16);
}

/* Eight sums of four differences: b's four bytes at 4 * imm[1:0] against a's from 4 * imm[2] on. */
void vec_mpsadbw(void *dst, const void *a, const void *b, unsigned imm)
{
    uint8_t x[16], y[4];
    uint16_t r[8];

    memcpy(x, a, 16);
    memcpy(y, (const char *)b + 4 * (imm & 3), 4);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *s = x + (imm & 4) + i;
        r[i] = 0;
        for (unsigned k = 0; k < 4; k++)
            r[i] = (uint16_t)(r[i] + (s[k] > y[k] ? s[k] - y[k] : y[k] - s[k]));
    }
    memcpy(dst, r, 16);
}
