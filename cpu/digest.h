/* The sum of a run for -d digest. Private to cpu/. */
#ifndef MIMUS_CPU_DIGEST_H
#define MIMUS_CPU_DIGEST_H

#include "cpu/state.h"

/* cpu->digest: of the first processor, or one of its own for the first; NULL when it is not asked for. */
void digest_init(struct cpu *cpu);
/* The first processor's, the last to go, prints the sum. */
void digest_free(struct cpu *cpu);
/* A block is about to be entered / was left, by its end or by a fault, and the budget is what it is to be;
 * nothing when none was entered. */
void digest_enter(struct cpu *cpu);
void digest_leave(struct cpu *cpu);

#endif
