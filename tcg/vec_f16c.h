/* Narrowing to half precision beyond its row in vec.def: the exceptions it raises when some are unmasked. */
#ifndef MIMUS_TCG_VEC_F16C_H
#define MIMUS_TCG_VEC_F16C_H

#include <stdint.h>

/* VCVTPS2PH of the four numbers at `src` with immediate `imm` under control word `csr` (DAZ, rounding and
 * masks count): results to `out`, returns the flags (MXCSR bits 5:0). An unmasked underflow is raised by an
 * exact tiny result too (SDM vol. 1, 4.9.1). */
uint32_t vec_f16c_flags(uint32_t csr, const void *src, unsigned imm, uint16_t out[4]);

#endif
