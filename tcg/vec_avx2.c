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
