/* The C meaning of every vector operation: vec_<function>(dst, a, b[, imm]). Fields are the same or do not
 * overlap; a function reads all before it writes. */
#ifndef MIMUS_TCG_VEC_H
#define MIMUS_TCG_VEC_H

#define VOP(name, fn, kind, host, prefix, opcode) void vec_##fn(void *dst, const void *a, const void *b);
#define VOPI(name, fn, kind, host, prefix, opcode) \
    void vec_##fn(void *dst, const void *a, const void *b, unsigned imm);
#include "tcg/vec.def"

#endif
