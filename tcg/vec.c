/* vec.def as data: what the interpreter and the backends know about a vector operation. */
#include "tcg/tcg.h"
#include "tcg/vec.h"

const struct tcg_vop_info tcg_vops[TCG_NUM_VOPS + 1] = {
#define VOP(name, fn, kind, host, prefix, opcode) \
    [TCG_V_##name] = { #name, vec_##fn, NULL, kind, prefix, opcode, TCG_ISA_##host },
#define VOPI(name, fn, kind, host, prefix, opcode) \
    [TCG_V_##name] = { #name, NULL, vec_##fn, kind, prefix, opcode, TCG_ISA_##host },
#include "tcg/vec.def"
};
