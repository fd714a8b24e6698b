/* Raising exceptions: what happened is noted in cpu->ex, and control leaves to the run loop. */
#include "cpu/strict.h"

enum { JMP_EXCEPTION = 1 };

static _Noreturn void raise(struct cpu *cpu, unsigned vector, bool has_code, uint32_t code)
{
    if (cpu->in_block)
        tcg_commit_flags(cpu->tcg, cpu);
    strict_exception(cpu, vector, code);
    cpu->ex.vector = (uint8_t)vector;
    cpu->ex.has_code = has_code;
    cpu->ex.soft = false;
    cpu->ex.soft_len = 0;
    cpu->ex.code = code;
    longjmp(*cpu->fault_jmp, JMP_EXCEPTION);
}

_Noreturn void cpu_raise_exception(struct cpu *cpu, unsigned vector)
{
    raise(cpu, vector, false, 0);
}

_Noreturn void cpu_raise_error(struct cpu *cpu, unsigned vector, uint32_t code)
{
    raise(cpu, vector, true, code);
}

/* CR2 itself is written at delivery. */
_Noreturn void cpu_raise_pf(struct cpu *cpu, uint64_t linear, uint32_t code)
{
    cpu->ex.cr2 = linear;
    raise(cpu, EX_PF, true, code);
}

/* DR7: L0 G0 L1 G1 ... in bits 7:0, R/W and LEN of each in four bits from bit 16 on; 0 means: execution. */
uint32_t cpu_check_code_breakpoint(const struct cpu *cpu, uint64_t linear)
{
    uint32_t hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        bool enabled = cpu->dr[7] >> (2 * i) & 3;
        bool execution = !(cpu->dr[7] >> (16 + 4 * i) & 15);
        if (enabled && execution && cpu->dr[i] == linear)
            hit |= 1u << i;
    }
    return hit;
}
