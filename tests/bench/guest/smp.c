/* smp.c: work on several processors at once. */

#include "bench.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t work(long count)
{
    uint32_t x = 1, table[1024] = { 0 };
    for (long i = 0; i < count; i++) {
        x = bench_next(x);
        table[x >> 22] += x;
    }
    return table[0];
}

static void work_on(const struct bench *b, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        bench_fail(b, "sched_setaffinity");
    volatile uint32_t sink = work(b->count);
    (void)sink;
    _exit(0);
}

/* SIZE independent processes, each on a processor of its own; a unit is a unit of work of each. */
static void run_parallel(struct bench *b)
{
    int status, failed = 0;
    bench_begin(b);
    for (int cpu = 0; cpu < (int)b->size; cpu++) {
        pid_t child = fork();
        if (child < 0)
            bench_fail(b, "fork");
        if (child == 0)
            work_on(b, cpu);
    }
    while (wait(&status) > 0)
        failed |= status;
    if (failed)
        bench_fail(b, "a process");
    bench_end(b, 0);
}

const struct bench_row smp_rows[] = {
    { "parallel", run_parallel },
    { NULL, NULL },
};
