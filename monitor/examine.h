/* `x` and `xp`: memory as numbers, characters or instructions. */
#ifndef MIMUS_MONITOR_EXAMINE_H
#define MIMUS_MONITOR_EXAMINE_H

#include <stdbool.h>

struct cpu;
struct mem_space;

/* `spec` is "[/FMT] ADDR" as typed. Errors are printed as lines. The processor is stopped. */
void examine_memory(struct cpu *cpu, struct mem_space *memory, const char *spec, bool physical,
                    void (*print)(void *opaque, const char *line), void *opaque);

#endif
