/* The sum of a run for -d digest: equal in two runs that count instructions, on whatever engine, as long
 * as all processors do the same in the same order. A block that was entered and completed an instruction
 * adds its place, the budget and the registers that it found. What depends on the host's time adds
 * nothing: a block that was left at its entry for a request, a repetition that goes on after one. */
#include "cpu/digest.h"

#include <inttypes.h>
#include <stdlib.h>

#define REPORT_EVERY (UINT64_C(1) << 24) /* instructions */

struct cpu_digest {
    uint64_t sum, insns;
    uint64_t entry;      /* of the block that runs */
    int64_t budget;      /* before it */
    bool goes_on;        /* it begins within a repeated instruction */
    bool open;           /* between digest_enter() and digest_leave() */
};

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum ^= word;
    sum = sum << 27 | sum >> 37;
    return sum * UINT64_C(0x9e3779b185ebca87);
}

static uint64_t state_sum(struct cpu *cpu)
{
    uint64_t sum = mix(cpu->opt.index, cpu->rip);

    sum = mix(sum, (uint64_t)cpu_get_eflags(cpu) << 32 | cpu->mode);
    sum = mix(sum, cpu->code_base);
    sum = mix(sum, (uint64_t)cpu->budget);
    for (unsigned i = 0; i < ARRAY_LEN(cpu->gpr); i++)
        sum = mix(sum, cpu->gpr[i]);
    for (unsigned i = 0; i < ARRAY_LEN(cpu->xmm); i++)
        sum = mix(mix(sum, cpu->xmm[i].u64[0]), cpu->xmm[i].u64[1]);
    return sum;
}

static void report(const struct cpu *cpu)
{
    log_printf(cpu->log, "digest: %" PRIu64 " instructions 0x%016" PRIx64 "\n", cpu->digest->insns,
               cpu->digest->sum);
}

void digest_enter(struct cpu *cpu)
{
    struct cpu_digest *d = cpu->digest;

    d->entry = state_sum(cpu);
    d->budget = cpu->budget;
    d->goes_on = cpu->rep_partial;
    d->open = true;
}

void digest_leave(struct cpu *cpu)
{
    struct cpu_digest *d = cpu->digest;
    uint64_t done = (uint64_t)(d->budget - cpu->budget), before = d->insns;

    if (!d->open)
        return;
    d->open = false;
    if (!d->goes_on && (done || cpu->rep_partial))
        d->sum = mix(d->sum, d->entry);
    d->insns += done;
    if (before / REPORT_EVERY != d->insns / REPORT_EVERY)
        report(cpu);
}

void digest_init(struct cpu *cpu)
{
    if (!log_enabled(cpu->log, LOG_DIGEST) || !cpu->opt.counted)
        return;
    cpu->digest = cpu->opt.first ? cpu->opt.first->digest : calloc(1, sizeof(*cpu->digest));
    if (!cpu->digest)
        abort();
}

void digest_free(struct cpu *cpu)
{
    if (!cpu->digest || cpu->opt.first)
        return;
    report(cpu);
    free(cpu->digest);
}
