/* Declarations of all helpers, derived from helpers.def: every helper takes
 * struct cpu * and as many uint64_t as its row has argument letters. */
#ifndef MIMUS_CPU_HELPERS_H
#define MIMUS_CPU_HELPERS_H

#include "cpu/state.h"

#define HELPER_ARGS_0(n) uint64_t n(struct cpu *cpu);
#define HELPER_ARGS_1(n) uint64_t n(struct cpu *cpu, uint64_t a);
#define HELPER_ARGS_2(n) uint64_t n(struct cpu *cpu, uint64_t a, uint64_t b);
#define HELPER_ARGS_3(n) uint64_t n(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c);
#define HELPER_ARGS_4(n) uint64_t n(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

#define HELPER(name, n, result, args, effects) HELPER_ARGS_##n(helper_##name)
#include "cpu/helpers.def"

#endif
