/* Integer vector operations of MMX to SSE2 in plain C: the interpreter's meaning, and the reference for hosts
 * that do them in one instruction. */
#include "tcg/vec_lanes.h"

LANES(paddb, uint8_t, x[i] + y[i])
LANES(paddw, uint16_t, x[i] + y[i])
LANES(paddd, uint32_t, x[i] + y[i])
LANES(paddq, uint64_t, x[i] + y[i])
LANES(psubb, uint8_t, x[i] - y[i])
LANES(psubw, uint16_t, x[i] - y[i])
LANES(psubd, uint32_t, x[i] - y[i])
LANES(psubq, uint64_t, x[i] - y[i])
LANES(paddsb, int8_t, vec_clamp(x[i] + y[i], INT8_MIN, INT8_MAX))
LANES(paddsw, int16_t, vec_clamp(x[i] + y[i], INT16_MIN, INT16_MAX))
LANES(paddusb, uint8_t, vec_clamp(x[i] + y[i], 0, UINT8_MAX))
LANES(paddusw, uint16_t, vec_clamp(x[i] + y[i], 0, UINT16_MAX))
LANES(psubsb, int8_t, vec_clamp(x[i] - y[i], INT8_MIN, INT8_MAX))
LANES(psubsw, int16_t, vec_clamp(x[i] - y[i], INT16_MIN, INT16_MAX))
LANES(psubusb, uint8_t, vec_clamp(x[i] - y[i], 0, UINT8_MAX))
LANES(psubusw, uint16_t, vec_clamp(x[i] - y[i], 0, UINT16_MAX))
LANES(pcmpeqb, uint8_t, x[i] == y[i] ? -1 : 0)
LANES(pcmpeqw, uint16_t, x[i] == y[i] ? -1 : 0)
LANES(pcmpeqd, uint32_t, x[i] == y[i] ? -1 : 0)
LANES(pcmpgtb, int8_t, x[i] > y[i] ? -1 : 0)
LANES(pcmpgtw, int16_t, x[i] > y[i] ? -1 : 0)
LANES(pcmpgtd, int32_t, x[i] > y[i] ? -1 : 0)
LANES(pmullw, uint16_t, (uint32_t)x[i] * y[i])
LANES(pmulhw, int16_t, (x[i] * y[i]) >> 16)
LANES(pmulhuw, uint16_t, ((uint32_t)x[i] * y[i]) >> 16)
LANES(pmuludq, uint64_t, (x[i] & UINT32_MAX) * (y[i] & UINT32_MAX))
LANES(pavgb, uint8_t, (x[i] + y[i] + 1) >> 1)
LANES(pavgw, uint16_t, (x[i] + y[i] + 1) >> 1)
LANES(pminub, uint8_t, x[i] < y[i] ? x[i] : y[i])
LANES(pmaxub, uint8_t, x[i] > y[i] ? x[i] : y[i])
LANES(pminsw, int16_t, x[i] < y[i] ? x[i] : y[i])
LANES(pmaxsw, int16_t, x[i] > y[i] ? x[i] : y[i])
LANES(pand, uint64_t, x[i] & y[i])
LANES(pandn, uint64_t, ~x[i] & y[i])
LANES(por, uint64_t, x[i] | y[i])
LANES(pxor, uint64_t, x[i] ^ y[i])
LANES_WIDE(movdqa, uint64_t, y[i])
LANES_WIDE(movq, uint64_t, i ? 0 : y[0])
LANES_WIDE(movss, uint32_t, i ? x[i] : y[0])
LANES_WIDE(movsd, uint64_t, i ? x[i] : y[0])
LANES_WIDE(movhlps, uint64_t, i ? x[1] : y[1])
LANES_WIDE(movlhps, uint64_t, i ? y[0] : x[0])

/* Shifts: the count is the low 64 bits of b; counts beyond the lane clear it, or fill it with the sign. */
#define SHIFT(fn, T, U, expr_in, expr_out) \
    static inline void shift_##fn(U *r, const U *x, const U *y, unsigned n) \
    { \
        uint64_t count; \
        memcpy(&count, y, 8); \
        for (unsigned i = 0; i < n; i++) { \
            T v = (T)x[i]; \
            r[i] = (U)(count < sizeof(T) * 8 ? (expr_in) : (expr_out)); \
        } \
    } \
    VEC_BOTH(fn, U, shift_##fn)

SHIFT(psllw, uint16_t, uint16_t, v << count, 0)
SHIFT(pslld, uint32_t, uint32_t, v << count, 0)
SHIFT(psllq, uint64_t, uint64_t, v << count, 0)
SHIFT(psrlw, uint16_t, uint16_t, v >> count, 0)
SHIFT(psrld, uint32_t, uint32_t, v >> count, 0)
SHIFT(psrlq, uint64_t, uint64_t, v >> count, 0)
SHIFT(psraw, int16_t, uint16_t, v >> count, v < 0 ? -1 : 0)
SHIFT(psrad, int32_t, uint32_t, v >> count, v < 0 ? -1 : 0)

/* Interleave the low or high halves of a and b. */
#define UNPACK(fn, T, from_high) \
    static inline void unpack_##fn(T *r, const T *x, const T *y, unsigned n) \
    { \
        unsigned base = (from_high) ? n / 2 : 0; \
        for (unsigned i = 0; i < n / 2; i++) { \
            r[2 * i] = x[base + i]; \
            r[2 * i + 1] = y[base + i]; \
        } \
    } \
    VEC_BOTH(fn, T, unpack_##fn)

UNPACK(punpcklbw, uint8_t, 0)
UNPACK(punpcklwd, uint16_t, 0)
UNPACK(punpckldq, uint32_t, 0)
UNPACK(punpckhbw, uint8_t, 1)
UNPACK(punpckhwd, uint16_t, 1)
UNPACK(punpckhdq, uint32_t, 1)

void vec_punpcklqdq(void *dst, const void *a, const void *b)
{
    uint64_t r[2];
    memcpy(&r[0], a, 8);
    memcpy(&r[1], b, 8);
    memcpy(dst, r, 16);
}

void vec_punpckhqdq(void *dst, const void *a, const void *b)
{
    uint64_t r[2];
    memcpy(&r[0], (const char *)a + 8, 8);
    memcpy(&r[1], (const char *)b + 8, 8);
    memcpy(dst, r, 16);
}

/* Narrow a's lanes into the low half and b's into the high half, with saturation. */
#define PACK(fn, FROM, TO, lo, hi) \
    static inline void pack_##fn(FROM *r, const FROM *x, const FROM *y, unsigned n) \
    { \
        TO out[32 / sizeof(FROM)]; \
        for (unsigned i = 0; i < n; i++) { \
            out[i] = (TO)vec_clamp(x[i], lo, hi); \
            out[n + i] = (TO)vec_clamp(y[i], lo, hi); \
        } \
        memcpy(r, out, n * sizeof(FROM)); \
    } \
    VEC_BOTH(fn, FROM, pack_##fn)

PACK(packsswb, int16_t, int8_t, INT8_MIN, INT8_MAX)
PACK(packuswb, int16_t, uint8_t, 0, UINT8_MAX)
PACK(packssdw, int32_t, int16_t, INT16_MIN, INT16_MAX)

static inline void madd(int32_t *r, const int32_t *x, const int32_t *y, unsigned n)
{
    int16_t a[8], b[8];
    memcpy(a, x, n * 4);
    memcpy(b, y, n * 4);
    for (unsigned i = 0; i < n; i++)
        r[i] = (int32_t)((uint32_t)(a[2 * i] * b[2 * i]) + (uint32_t)(a[2 * i + 1] * b[2 * i + 1]));
}
VEC_BOTH(pmaddwd, int32_t, madd)

static inline void sad(uint64_t *r, const uint64_t *x, const uint64_t *y, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t a[8], b[8];
        uint64_t sum = 0;
        memcpy(a, &x[i], 8);
        memcpy(b, &y[i], 8);
        for (unsigned k = 0; k < 8; k++)
            sum += a[k] > b[k] ? a[k] - b[k] : b[k] - a[k];
        r[i] = sum;
    }
}
VEC_BOTH(psadbw, uint64_t, sad)

/* ---- by an immediate ---- */

/* Shift of b. */
#define SHIFT_IMM(fn) \
    void vec_##fn##_i(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        uint64_t count[2] = { imm, 0 }; \
        (void)a; \
        vec_##fn(dst, b, count); \
    }

SHIFT_IMM(psllw)
SHIFT_IMM(pslld)
SHIFT_IMM(psllq)
SHIFT_IMM(psrlw)
SHIFT_IMM(psrld)
SHIFT_IMM(psrlq)
SHIFT_IMM(psraw)
SHIFT_IMM(psrad)

LANES_IMM(pshufd, uint32_t, y[imm >> (2 * i) & 3])
LANES_IMM(shufps, uint32_t, (i < 2 ? x : y)[imm >> (2 * i) & 3])
LANES_IMM(shufpd, uint64_t, (i ? y : x)[imm >> i & 1])
LANES_IMM(pshuflw, uint16_t, i < 4 ? y[imm >> (2 * i) & 3] : y[i])
LANES_IMM(pshufhw, uint16_t, i < 4 ? y[i] : y[4 + (imm >> (2 * i - 8) & 3)])

void vec_pshufw_q(void *dst, const void *a, const void *b, unsigned imm)
{
    uint16_t r[4], y[4];

    (void)a;
    memcpy(y, b, 8);
    for (unsigned i = 0; i < 4; i++)
        r[i] = y[imm >> (2 * i) & 3];
    memcpy(dst, r, 8);
}

void vec_pslldq(void *dst, const void *a, const void *b, unsigned imm)
{
    uint8_t r[32] = { 0 };

    (void)a;
    memcpy(r + 16, b, 16);
    memcpy(dst, r + 16 - (imm < 16 ? imm : 16), 16);
}

void vec_psrldq(void *dst, const void *a, const void *b, unsigned imm)
{
    uint8_t r[32] = { 0 };

    (void)a;
    memcpy(r, b, 16);
    memcpy(dst, r + (imm < 16 ? imm : 16), 16);
}
