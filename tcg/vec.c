/* vec.def as data, and operations on 32 bytes: what the interpreter and the backends know about a vector operation. */
#include <string.h>

#include "tcg/tcg.h"
#include "tcg/vec.h"

const struct tcg_vop_info tcg_vops[TCG_NUM_VOPS + 1] = {
#define VOP(name, fn, kind, host, prefix, opcode) \
    [TCG_V_##name] = { #name, vec_##fn, NULL, kind, prefix, opcode, TCG_ISA_##host },
#define VOPI(name, fn, kind, host, prefix, opcode) \
    [TCG_V_##name] = { #name, NULL, vec_##fn, kind, prefix, opcode, TCG_ISA_##host },
#include "tcg/vec.def"
};

/* How far the bits for the second half stand above the first one's: SDM vol. 2, the VEX.256 forms. */
uint8_t tcg_vop_high_imm(unsigned vop, uint8_t imm)
{
    switch (vop) {
    case TCG_V_SHUFPD: case TCG_V_BLENDPD: case TCG_V_VPERMILPD: return imm >> 2;
    case TCG_V_MPSADBW: return imm >> 3;
    case TCG_V_BLENDPS: case TCG_V_VPBLENDD: return imm >> 4;
    default: return imm;
    }
}

static void run_half(const struct tcg_vop_info *op, uint8_t imm, void *dst, const void *a, const void *b)
{
    if (op->fn_imm)
        op->fn_imm(dst, a, b, imm);
    else
        op->fn(dst, a, b);
}

/* vop_imm: the operation, its immediate << 16. */
void tcg_vop_across(void *dst, const void *a, const void *b, unsigned vop_imm, size_t high)
{
    const struct tcg_vop_info *op = &tcg_vops[vop_imm & 0xffff];
    uint8_t d[32], x[32], y[32];

    memcpy(x, a, 16);
    memcpy(x + 16, (const uint8_t *)a + high, 16);
    memcpy(y, b, 16);
    memcpy(y + 16, (const uint8_t *)b + high, 16);
    run_half(op, (uint8_t)(vop_imm >> 16), d, x, y);
    memcpy(dst, d, 16);
    memcpy((uint8_t *)dst + high, d + 16, 16);
}

/* The second half first: the first half of b may be in dst. */
void tcg_vop_run(unsigned vop, unsigned cc, uint8_t imm, void *dst, const void *a, const void *b, uint32_t high)
{
    const struct tcg_vop_info *op = &tcg_vops[vop];
    bool wide = (cc & IR_V_SIZE) == IR_V32;

    if (op->kind == VK_L || op->kind == VK_L1) {
        tcg_vop_across(dst, a, b, vop | (unsigned)imm << 16, high);
        return;
    }
    if (wide)
        run_half(op, tcg_vop_high_imm(vop, imm), (uint8_t *)dst + high, (const uint8_t *)a + high,
                 (const uint8_t *)b + (cc & IR_V_LOW_B ? 0 : high));
    run_half(op, imm, dst, a, b);
    if (cc & IR_V_CLEAR)
        memset((uint8_t *)dst + high, 0, 16);
}
