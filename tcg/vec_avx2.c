/* Vector operations of AVX and AVX2 without an SSE counterpart, in plain C: SDM vol. 2, chapter 5. */
#include "tcg/vec_lanes.h"

/* A count for each lane; those beyond the lane clear it or fill it with the sign. */
LANES_WIDE(vpsllvd, uint32_t, y[i] < 32 ? x[i] << y[i] : 0)
LANES_WIDE(vpsllvq, uint64_t, y[i] < 64 ? x[i] << y[i] : 0)
LANES_WIDE(vpsrlvd, uint32_t, y[i] < 32 ? x[i] >> y[i] : 0)
LANES_WIDE(vpsrlvq, uint64_t, y[i] < 64 ? x[i] >> y[i] : 0)
LANES_WIDE(vpsravd, uint32_t, (int32_t)x[i] >> (y[i] < 32 ? y[i] : 31))

LANES_WIDE(vpermilps_v, uint32_t, x[y[i] & 3])
LANES_WIDE(vpermilpd_v, uint64_t, x[y[i] >> 1 & 1])

LANES_IMM(vpblendd, uint32_t, imm >> i & 1 ? y[i] : x[i])

/* One source. */
LANES_IMM(vpermilps, uint32_t, y[imm >> 2 * i & 3])
LANES_IMM(vpermilpd, uint64_t, y[imm >> i & 1])
LANES_WIDE(vpbroadcastb, uint8_t, y[0])
LANES_WIDE(vpbroadcastw, uint16_t, y[0])
LANES_WIDE(vpbroadcastd, uint32_t, y[0])
LANES_WIDE(vpbroadcastq, uint64_t, y[0])

/* Across the halves of 32 bytes. */

void vec_vpermq(void *dst, const void *a, const void *b, unsigned imm)
{
    uint64_t r[4], y[4];

    (void)a;
    memcpy(y, b, 32);
    for (unsigned i = 0; i < 4; i++)
        r[i] = y[imm >> 2 * i & 3];
    memcpy(dst, r, 32);
}

void vec_vpermd(void *dst, const void *a, const void *b)
{
    uint32_t r[8], x[8], y[8];

    memcpy(x, a, 32);
    memcpy(y, b, 32);
    for (unsigned i = 0; i < 8; i++)
        r[i] = y[x[i] & 7];
    memcpy(dst, r, 32);
}

/* Each half of the result is one of four halves, or zero. */
void vec_vperm2i128(void *dst, const void *a, const void *b, unsigned imm)
{
    uint8_t r[32] = { 0 }, from[4][16];

    memcpy(from[0], a, 32);
    memcpy(from[2], b, 32);
    for (unsigned h = 0; h < 2; h++)
        if (!(imm >> 4 * h & 8))
            memcpy(r + 16 * h, from[imm >> 4 * h & 3], 16);
    memcpy(dst, r, 32);
}

void vec_vinserti128(void *dst, const void *a, const void *b, unsigned imm)
{
    uint8_t r[32];

    memcpy(r, a, 32);
    memcpy(r + 16 * (imm & 1), b, 16);
    memcpy(dst, r, 32);
}
