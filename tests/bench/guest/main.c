/* main.c: the program that is measured. It finds its row, and prints when a measurement starts and ends. */

#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

static double cpu_of(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void bench_begin(struct bench *b)
{
    printf("bench: begin %s\n", b->name);
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
    b->cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
    clock_gettime(CLOCK_MONOTONIC, &b->started);
}

void bench_end(struct bench *b, uint64_t check)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double cpu = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) - b->cpu;
    double seconds = (double)(now.tv_sec - b->started.tv_sec);
    seconds += (double)(now.tv_nsec - b->started.tv_nsec) * 1e-9;
    printf("bench: end %s %ld %.6f %.6f %llx\n", b->name, b->count, seconds, cpu, (unsigned long long)check);
    fflush(stdout);
}

void bench_fail(const struct bench *b, const char *what)
{
    printf("bench: failed %s: %s: %s\n", b->name, what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

void *bench_memory(const struct bench *b, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail(b, "mmap");
    memset(memory, 1, size);
    return memory;
}

static const struct bench_row *find(const char *name)
{
    const struct bench_row *tables[] = { integer_rows, memory_rows, float_rows,
                                         system_rows,  code_rows,   smp_rows };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct bench_row *row = tables[i]; row->name; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return NULL;
}

int main(int argc, char **argv)
{
    const struct bench_row *row = argc >= 2 ? find(argv[1]) : NULL;
    struct bench b = { .name = argc >= 2 ? argv[1] : "", .words = argv + argc };
    if (argc >= 2 && strcmp(b.name, "nothing") == 0)
        return 0;
    if (argc >= 3)
        b.count = strtol(argv[2], NULL, 0);
    if (argc >= 4)
        b.size = strtoul(argv[3], NULL, 0);
    if (argc >= 5)
        b.words = argv + 4;
    errno = EINVAL;
    if (!row || b.count < 1)
        bench_fail(&b, "usage: bench ROW COUNT [SIZE [WORD...]]");
    row->run(&b);
    return 0;
}
