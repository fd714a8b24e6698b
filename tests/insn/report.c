/* What was covered. */
#include "tests/insn/insn.h"

static void print_row(FILE *out, const struct plan *plan, const struct results *res, unsigned n)
{
    const struct opcode *row = &cpu_opcodes[n];

    fprintf(out, "%06x %-28s", row->opcode, row->mnemonic);
    for (unsigned env = 0; env < ENV_NUM; env++) {
        const char *why = row_excluded(&plan->cpu, row, env_bits(env));
        uint32_t cases = res->units[unit_of(n, env)].cases;
        if (cases)
            fprintf(out, " %7u", cases);
        else
            fprintf(out, " %7s", why ? "-" : !(plan->envs >> env & 1) || !plan->rows[n] ? "." : "none");
    }
    if (row_excluded(&plan->cpu, row, 64) && row_excluded(&plan->cpu, row, 32))
        fprintf(out, "  %s", row_excluded(&plan->cpu, row, row->flags & OPF_I64 ? 32 : 64));
    fputc('\n', out);
}

static void print_sequences(FILE *out, const struct results *res)
{
    fprintf(out, "%-35s", "sequences");
    for (unsigned env = 0; env < ENV_NUM; env++) {
        uint32_t cases = 0;
        for (unsigned i = 0; i < SEQUENCE_UNITS; i++)
            cases += res->units[unit_of(cpu_num_opcodes + i, env)].cases;
        fprintf(out, " %7u", cases);
    }
    fputc('\n', out);
}

static bool is_covered(const struct results *res, unsigned n)
{
    for (unsigned env = 0; env < ENV_NUM; env++)
        if (res->units[unit_of(n, env)].cases)
            return true;
    return false;
}

void report_coverage(FILE *out, const struct plan *plan, const struct results *res)
{
    unsigned covered = 0;

    fprintf(out, "Cases of each row; -: the row is excluded or does not exist there, .: not asked for, "
                 "none: no encoding was found.\n%-35s", "");
    for (unsigned env = 0; env < ENV_NUM; env++)
        fprintf(out, " %7.7s", env == ENV_32_SEGMENTED ? "32-seg" : env_name(env));
    fputc('\n', out);
    for (unsigned n = 0; n < cpu_num_opcodes; n++) {
        print_row(out, plan, res, n);
        covered += is_covered(res, n);
    }
    print_sequences(out, res);
    fprintf(out, "%u of %u rows covered\n", covered, cpu_num_opcodes);
}
