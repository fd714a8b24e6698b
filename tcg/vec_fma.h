/* FMA beyond its rows in vec.def: which exceptions an operation raises when some are unmasked. */
#ifndef MIMUS_TCG_VEC_FMA_H
#define MIMUS_TCG_VEC_FMA_H

#include <stdint.h>

/* Flags (MXCSR bits 5:0) that `vop`, a row of vec_fma.def, raises on these fields under control word `csr`,
 * of which DAZ, FTZ, rounding and masks count: an unmasked underflow is raised by an exact tiny result too,
 * and inexactness is then that of a result of unlimited range (SDM vol. 1, 4.9.1). */
uint32_t vec_fma_flags(unsigned vop, uint32_t csr, const void *dst, const void *a, const void *b);

#endif
