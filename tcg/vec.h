/* The C meaning of every vector operation: vec_<function>(dst, a, b). */
#ifndef MIMUS_TCG_VEC_H
#define MIMUS_TCG_VEC_H

#define VOP(name, fn, kind, prefix, opcode) void vec_##fn(void *dst, const void *a, const void *b);
#include "tcg/vec.def"

#endif
