/* code.c: code that the program itself writes; it means the same to a 32-bit and a 64-bit processor. */

#include "bench.h"

#include <string.h>
#include <sys/mman.h>

typedef uint32_t code_fn(void);

static uint8_t *code_memory(const struct bench *b, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail(b, "executable memory");
    return memory;
}

/* One byte of operation and its immediate operand. */
static uint8_t *put32(uint8_t *p, uint8_t op, uint32_t immediate)
{
    *p++ = op;
    memcpy(p, &immediate, sizeof(immediate));
    return p + sizeof(immediate);
}

enum { MOV_EAX = 0xb8, ADD_EAX = 0x05, XOR_EAX = 0x35, TEST_EAX = 0xa9, RET = 0xc3, JNZ_SHORT = 0x75 };

/* A unit: the immediate of an instruction is rewritten and the instruction executed. */
static void run_rewrite(struct bench *b)
{
    uint8_t *code = code_memory(b, 4096);
    code_fn *function = (code_fn *)(void *)code;
    uint64_t sum = 0;
    *put32(code, MOV_EAX, 0) = RET;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        *(volatile uint32_t *)(void *)(code + 1) = (uint32_t)i;
        sum += function();
    }
    bench_end(b, sum);
}

/* A unit: a store into the page of a function that is called then. */
static void run_beside(struct bench *b)
{
    uint8_t *code = code_memory(b, 4096);
    code_fn *function = (code_fn *)(void *)code;
    volatile uint32_t *data = (volatile uint32_t *)(void *)(code + 2048);
    uint64_t sum = 0;
    *put32(code, MOV_EAX, 3) = RET;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        *data = (uint32_t)i;
        sum += function();
    }
    bench_end(b, sum);
}

enum { FRESH_PART = 5, FRESH_BYTES = 20 }; /* instructions and at most bytes of one part of the fresh code */

/* A unit is an instruction that was never executed before: short blocks that end in a branch. */
static void run_fresh(struct bench *b)
{
    uint8_t *code = code_memory(b, (size_t)(b->count / FRESH_PART + 1) * FRESH_BYTES + 16), *p = code;
    uint32_t x = 1;
    p = put32(p, MOV_EAX, 1);
    for (long i = 0; i < b->count; i += FRESH_PART) {
        x = bench_next(x);
        p = put32(p, ADD_EAX, x);
        p = put32(p, XOR_EAX, x >> 3);
        *p++ = 0xc1; /* rol eax, n */
        *p++ = 0xc0;
        *p++ = (uint8_t)(x >> 27);
        p = put32(p, TEST_EAX, 1u << (x >> 27));
        *p++ = JNZ_SHORT;
        *p++ = 0;
    }
    *p = RET;
    bench_begin(b);
    uint32_t result = ((code_fn *)(void *)code)();
    bench_end(b, result);
}

const struct bench_row code_rows[] = {
    { "rewrite", run_rewrite },
    { "beside", run_beside },
    { "fresh", run_fresh },
    { NULL, NULL },
};
