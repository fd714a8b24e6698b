/* -smp: how many processors, and how they make up threads, cores and sockets. */
#ifndef MIMUS_MACHINE_TOPOLOGY_H
#define MIMUS_MACHINE_TOPOLOGY_H

#include "cpu/cpu.h"

struct error;

/* `text` is the argument of -smp. The product of the three is the number of processors, 1 to CPU_MAX. 0, or -EINVAL
 * with one line in `err` and *t left alone. */
int topology_parse(struct cpu_topology *t, const char *text, struct error *err);
unsigned topology_cpus(const struct cpu_topology *t);

#endif
