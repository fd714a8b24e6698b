/* memory.c: loads and stores: pointers, streams, a hash table, block moves of C library and processor. */

#include "bench.h"

#include <string.h>

/* ---- one load after the other ---- */

enum { LINE = 64 };

/* A ring of pointers through all lines of the memory, in random order (Sattolo). */
static void **make_ring(char *memory, size_t lines)
{
    for (size_t i = 0; i < lines; i++)
        *(size_t *)(memory + i * LINE) = i;
    uint32_t x = 1;
    for (size_t i = lines - 1; i > 0; i--) {
        x = bench_next(x);
        size_t *one = (size_t *)(memory + i * LINE), *other = (size_t *)(memory + (x >> 4) % i * LINE);
        size_t index = *one;
        *one = *other;
        *other = index;
    }
    for (size_t i = 0; i < lines; i++)
        *(void **)(memory + i * LINE) = memory + *(size_t *)(memory + i * LINE) * LINE;
    return (void **)memory;
}

/* A unit is a step through SIZE bytes. */
static void run_chase(struct bench *b)
{
    char *memory = bench_memory(b, b->size);
    void **p = make_ring(memory, b->size / LINE);
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        p = *p;
    bench_end(b, (uint64_t)((char *)p - memory));
}

/* A unit is an addition to an element of a table of SIZE bytes (a power of 2). */
static void run_hash(struct bench *b)
{
    uint32_t *table = bench_memory(b, b->size), mask = (uint32_t)(b->size / sizeof(*table)) - 1, x = 1;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        x = bench_next(x);
        table[(x ^ x >> 15) & mask] += x;
    }
    bench_end(b, table[(x ^ x >> 15) & mask]);
}

/* ---- whole blocks: a unit is a block of SIZE bytes ---- */

static uint64_t sum_block(const uint64_t *p, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i];
    return sum;
}

static void run_stream(struct bench *b)
{
    uint64_t *memory = bench_memory(b, b->size), sum = 0;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        memory[0] = (uint64_t)i;
        sum += sum_block(memory, b->size / sizeof(*memory));
    }
    bench_end(b, sum);
}

static void run_memcpy(struct bench *b)
{
    char *from = bench_memory(b, b->size), *to = bench_memory(b, b->size);
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        from[0] = (char)i;
        memcpy(to, from, b->size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    bench_end(b, (uint8_t)to[0]);
}

static void run_memset(struct bench *b)
{
    char *to = bench_memory(b, b->size);
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        memset(to, (int)i, b->size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    bench_end(b, (uint8_t)to[b->size - 1]);
}

static void run_rep_movs(struct bench *b)
{
    char *from = bench_memory(b, b->size), *to = bench_memory(b, b->size);
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        void *source = from, *destination = to;
        size_t left = b->size;
        from[0] = (char)i;
        __asm__ volatile("rep movsb" : "+S"(source), "+D"(destination), "+c"(left) : : "memory");
    }
    bench_end(b, (uint8_t)to[0]);
}

static void run_rep_stos(struct bench *b)
{
    char *to = bench_memory(b, b->size);
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        void *destination = to;
        size_t left = b->size / 4;
        __asm__ volatile("rep stosl" : "+D"(destination), "+c"(left) : "a"((int)i) : "memory");
    }
    bench_end(b, (uint8_t)to[0]);
}

const struct bench_row memory_rows[] = {
    { "chase", run_chase },
    { "hash", run_hash },
    { "stream", run_stream },
    { "memcpy", run_memcpy },
    { "memset", run_memset },
    { "rep-movs", run_rep_movs },
    { "rep-stos", run_rep_stos },
    { NULL, NULL },
};
