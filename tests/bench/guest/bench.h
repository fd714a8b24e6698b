/* bench.h: what the measured programs share: one measurement and the tables of rows. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* One measurement: `bench NAME COUNT [SIZE [WORD...]]`. */
struct bench {
    const char *name;
    long count;              /* units of work */
    size_t size;             /* bytes; a row may give it another meaning */
    char **words;            /* the rest of the command line, ends in NULL */
    struct timespec started; /* of CLOCK_MONOTONIC */
    double cpu;              /* processor seconds, own and of children, when it started */
};

/* A kind of work. The function prepares, calls bench_begin(), works, calls bench_end(). */
struct bench_row {
    const char *name; /* NULL ends a table */
    void (*run)(struct bench *b);
};

extern const struct bench_row integer_rows[], memory_rows[], float_rows[];
extern const struct bench_row system_rows[], code_rows[], smp_rows[];

/* Print the line that starts a measurement, wait until it is out, read the clock. */
void bench_begin(struct bench *b);

/* Read the clock and print the result. check: a value that every processor must find, 0 if there is none. */
void bench_end(struct bench *b, uint64_t check);

/* Say what failed, with errno, and exit with status 1. */
_Noreturn void bench_fail(const struct bench *b, const char *what);

/* size bytes of memory that have been written to; never fails. */
void *bench_memory(const struct bench *b, size_t size);

/* The next of a sequence of numbers that look random. */
static inline uint32_t bench_next(uint32_t x)
{
    return x * 1664525u + 1013904223u;
}

#endif
