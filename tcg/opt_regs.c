/* Drop register writes that are overwritten before anything can see them.
 *
 * One pass backward. A register is `covered` where a later PUT writes it and
 * nothing between can see its value. Every PUT covers all 64 bits: an I32 one
 * clears the upper half. What sees registers: a GET of that register; a block
 * end; every instruction that may leave the block by an exception, and helpers
 * that read registers, see them all. A dropped PUT becomes an unused constant,
 * which opt_dead removes. */
#include "tcg/tcg.h"

static bool sees_registers(const struct ir_insn *in, const struct tcg_guest *guest)
{
    if (in->op == IR_CALL)
        return guest->helpers[in->imm].effects & (H_RREGS | H_FAULT | H_NORETURN);
    return ir_ops[in->op].effects & (E_FAULT | E_END);
}

void ir_opt_regs(struct ir_block *blk, const struct tcg_guest *guest)
{
    uint32_t covered = 0;

    for (unsigned i = blk->num - 1; i > 0; i--) {
        struct ir_insn *in = &blk->insn[i];

        if (in->op == IR_PUT) {
            if (covered >> in->imm & 1)
                *in = (struct ir_insn){ .op = IR_CONST, .type = IR_I32 };
            else
                covered |= 1u << in->imm;
        } else if (in->op == IR_GET) {
            covered &= ~(1u << in->imm);
        } else if (sees_registers(in, guest)) {
            covered = 0;
        }
    }
}
