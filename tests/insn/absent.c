/* Every row on a processor that lacks the row's feature: #UD at the instruction, whatever its operands. */
#include <stdlib.h>

#include "cpu/features.h"
#include "tests/insn/insn.h"

/* The row's own encoding near the case's start: not spoiled, and not running out of the code's pages. */
static bool is_plain(const struct test_case *c, const struct opcode *row)
{
    return c->num_insns == 1 && c->insn[0].row == row && c->code_off + CASE_MAX_CODE < CODE_SIZE;
}

static bool gets_undefined(struct guest *g, const struct test_case *c)
{
    struct outcome got;

    guest_run(g, c, &got);
    return got.out.vector == EX_UD && got.out.rip == case_rip(c);
}

static void try_row(const struct plan *plan, struct guest *g, unsigned row, struct absent_results *res)
{
    const struct opcode *o = &cpu_opcodes[row];
    struct test_case *c = malloc(sizeof(*c));

    for (unsigned i = 0; i < plan->count * ENV_NUM; i++) {
        enum env env = i % ENV_NUM;
        if ((o->flags & (env_bits(env) == 64 ? OPF_I64 : OPF_O64)) || !(plan->envs >> env & 1))
            continue;
        uint64_t index = (uint64_t)i * num_units() + unit_of(row, env);
        if (!generate_case(c, &plan->cpu, plan->seed, index, o, env) || !is_plain(c, o))
            continue;
        res->cases++;
        if (gets_undefined(g, c))
            continue;
        if (!res->failed++) {
            printf("FAILED %s: no #UD on a processor without it\n", o->mnemonic);
            print_case(stdout, c);
        }
    }
    free(c);
}

struct absent_results absent_run(const struct plan *plan)
{
    struct absent_results res = { 0 };

    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++) {
        struct guest *g = NULL;
        for (unsigned row = 0; row < cpu_num_opcodes; row++) {
            if (cpu_opcodes[row].feature != f || !plan->rows[row])
                continue;
            if (!g) {
                g = guest_new(&engines[0]);
                guest_remove_feature(g, f);
            }
            try_row(plan, g, row, &res);
        }
        if (g)
            guest_free(g);
    }
    return res;
}
