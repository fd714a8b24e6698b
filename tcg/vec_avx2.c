/* Vector operations of AVX and AVX2 without an SSE counterpart, in plain C: SDM vol. 2, chapter 5. */
#include <stdint.h>
#include <string.h>

#include "tcg/vec.h"

/* Lane-wise: r[i] = expr of x[i], y[i]; x and y are whole operands. */
#define LANES(fn, T, expr) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        T r[16 / sizeof(T)], x[16 / sizeof(T)], y[16 / sizeof(T)]; \
        memcpy(x, a, 16); \
        memcpy(y, b, 16); \
        for (unsigned i = 0; i < 16 / sizeof(T); i++) \
            r[i] = (T)(expr); \
        memcpy(dst, r, 16); \
    }

/* A count for each lane; those beyond the lane clear it or fill it with the sign. */
LANES(vpsllvd, uint32_t, y[i] < 32 ? x[i] << y[i] : 0)
LANES(vpsllvq, uint64_t, y[i] < 64 ? x[i] << y[i] : 0)
LANES(vpsrlvd, uint32_t, y[i] < 32 ? x[i] >> y[i] : 0)
LANES(vpsrlvq, uint64_t, y[i] < 64 ? x[i] >> y[i] : 0)
LANES(vpsravd, uint32_t, (int32_t)x[i] >> (y[i] < 32 ? y[i] : 31))

LANES(vpermilps_v, uint32_t, x[y[i] & 3])
LANES(vpermilpd_v, uint64_t, x[y[i] >> 1 & 1])

void vec_vpblendd(void *dst, const void *a, const void *b, unsigned imm)
{
    uint32_t r[4], y[4];

    memcpy(r, a, 16);
    memcpy(y, b, 16);
    for (unsigned i = 0; i < 4; i++)
        r[i] = imm >> i & 1 ? y[i] : r[i];
    memcpy(dst, r, 16);
}

/* One source, an immediate. */

#define PERMUTE_IMM(fn, T, expr) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm) \
    { \
        T r[16 / sizeof(T)], y[16 / sizeof(T)]; \
        (void)a; \
        memcpy(y, b, 16); \
        for (unsigned i = 0; i < 16 / sizeof(T); i++) \
            r[i] = (T)(expr); \
        memcpy(dst, r, 16); \
    }

PERMUTE_IMM(vpermilps, uint32_t, y[imm >> 2 * i & 3])
PERMUTE_IMM(vpermilpd, uint64_t, y[imm >> i & 1])

#define BROADCAST(fn, T) \
    void vec_##fn(void *dst, const void *a, const void *b) \
    { \
        T r[16 / sizeof(T)], v; \
        (void)a; \
        memcpy(&v, b, sizeof(v)); \
        for (unsigned i = 0; i < 16 / sizeof(T); i++) \
            r[i] = v; \
        memcpy(dst, r, 16); \
    }

BROADCAST(vpbroadcastb, uint8_t)
BROADCAST(vpbroadcastw, uint16_t)
BROADCAST(vpbroadcastd, uint32_t)
BROADCAST(vpbroadcastq, uint64_t)
