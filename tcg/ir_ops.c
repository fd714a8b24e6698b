/* ir.def as data: what every pass and the verifier know about an operation. */
#include "tcg/ir.h"

const struct ir_op_info ir_ops[IR_NUM_OPS] = {
#define IR_OP(name, r, a, b, c, d, eff) [IR_##name] = { #name, #r[0], #a[0], #b[0], #c[0], #d[0], (eff) },
#include "tcg/ir.def"
};
