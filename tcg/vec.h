/* The C meaning of every vector operation: vec_<function>(dst, a, b[, imm]). Fields are the same or do not
 * overlap; a function reads all before it writes. */
#ifndef MIMUS_TCG_VEC_H
#define MIMUS_TCG_VEC_H

#define VOP(name, fn, kind, host, prefix, opcode) void vec_##fn(void *dst, const void *a, const void *b);
#define VOPI(name, fn, kind, host, prefix, opcode) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm);
#include "tcg/vec.def"

#include <stdbool.h>
#include <stdint.h>

/* VFROMI, VTOI, VCOM on 16-byte fields; `wide`: the integer has 64 bits; what: IR_VF_*. */
void vec_from_int(void *dst, const void *rest, uint64_t v, bool wide, unsigned what);
uint64_t vec_to_int(const void *src, bool wide, unsigned what);
uint32_t vec_compare(const void *a, const void *b, unsigned what);

#endif
