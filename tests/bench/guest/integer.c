/* integer.c: arithmetic, calls, branches, a byte-code interpreter, a sort. */

#include "bench.h"

/* ---- arithmetic ---- */

static void run_alu(struct bench *b)
{
    uint32_t x = 1, y = 0x12345678;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        x += y;
        x ^= x >> 7;
        y = (y << 5 | y >> 27) - (x & 0xffff);
    }
    bench_end(b, x ^ y);
}

static void run_muldiv(struct bench *b)
{
    unsigned long x = 1, sum = 0;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        x = x * 0x9e3779b1 + (unsigned long)i;
        sum += x / ((sum >> 8 & 0xffff) + 3);
    }
    bench_end(b, sum);
}

/* ---- calls ---- */

enum { FIB_ARGUMENT = 20, FIB_CALLS = 21891 };

static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* A unit is a call. */
static void run_recursion(struct bench *b)
{
    uint64_t sum = 0;
    bench_begin(b);
    for (long i = 0; i < b->count; i += FIB_CALLS)
        sum += fib(FIB_ARGUMENT);
    bench_end(b, sum);
}

static unsigned op_add(unsigned x) { return x + 0x1234567; }
static unsigned op_xor(unsigned x) { return x ^ 0x55aa33; }
static unsigned op_not(unsigned x) { return ~x; }
static unsigned op_shift(unsigned x) { return x + (x << 3); }
static unsigned op_rotate(unsigned x) { return x << 7 | x >> 25; }
static unsigned op_multiply(unsigned x) { return x * 69069; }
static unsigned op_fold(unsigned x) { return x ^ x >> 11; }
static unsigned op_sub(unsigned x) { return x - 0x777; }

/* A unit is an indirect call; the targets have no pattern that a predictor could learn. */
static void run_indirect(struct bench *b)
{
    unsigned (*const table[])(unsigned) = { op_add,    op_xor,      op_not,  op_shift,
                                            op_rotate, op_multiply, op_fold, op_sub };
    unsigned x = 1;
    uint32_t which = 1;
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        which = bench_next(which);
        x = table[which >> 29](x);
    }
    bench_end(b, x);
}

/* ---- a byte-code interpreter ---- */

enum op { OP_PUSH, OP_LOAD, OP_STORE, OP_ADD, OP_MUL, OP_XOR, OP_SHR, OP_JNZ, OP_END };

/* v1 = hash of v0; v0 counts down. The jump counts from its operand. */
static const signed char program[] = {
    OP_LOAD, 1, OP_PUSH, 31, OP_MUL, OP_LOAD, 0, OP_ADD, OP_STORE, 1, /* v1 = v1 * 31 + v0 */
    OP_LOAD, 1, OP_PUSH, 5, OP_SHR, OP_LOAD, 1, OP_XOR, OP_STORE, 1,  /* v1 ^= v1 >> 5 */
    OP_LOAD, 0, OP_PUSH, -1, OP_ADD, OP_STORE, 0,                     /* v0 -= 1 */
    OP_LOAD, 0, OP_JNZ, -30, OP_LOAD, 1, OP_END,
};
enum { PROGRAM_OPS = 18 }; /* a turn of the loop */

static uint32_t interpret(const signed char *pc, uint32_t v0)
{
    uint32_t variable[4] = { v0, 1 }, stack[16], *top = stack;
    for (;;) {
        switch ((enum op)*pc++) {
        case OP_PUSH: *top++ = (uint32_t)*pc++; break;
        case OP_LOAD: *top++ = variable[*pc++]; break;
        case OP_STORE: variable[*pc++] = *--top; break;
        case OP_ADD: top--; top[-1] += top[0]; break;
        case OP_MUL: top--; top[-1] *= top[0]; break;
        case OP_XOR: top--; top[-1] ^= top[0]; break;
        case OP_SHR: top--; top[-1] >>= top[0] & 31; break;
        case OP_JNZ: pc += *--top ? *pc : 1; break;
        case OP_END: return top[-1];
        }
    }
}

/* A unit is an operation of the byte code. */
static void run_bytecode(struct bench *b)
{
    bench_begin(b);
    uint32_t result = interpret(program, (uint32_t)(b->count / PROGRAM_OPS) + 1);
    bench_end(b, result);
}

/* ---- a sort ---- */

static void sort(uint32_t *a, long n)
{
    while (n > 1) {
        uint32_t middle = a[n / 2];
        long i = 0, j = n - 1;
        while (i <= j) {
            while (a[i] < middle)
                i++;
            while (a[j] > middle)
                j--;
            if (i <= j) {
                uint32_t other = a[i];
                a[i++] = a[j];
                a[j--] = other;
            }
        }
        sort(a, j + 1);
        a += i;
        n -= i;
    }
}

/* A unit is a number that is sorted among SIZE bytes of numbers. */
static void run_sort(struct bench *b)
{
    uint32_t *numbers = bench_memory(b, b->size), x = 1;
    long n = (long)(b->size / sizeof(*numbers));
    uint64_t sum = 0;
    bench_begin(b);
    for (long done = 0; done < b->count; done += n) {
        for (long i = 0; i < n; i++)
            numbers[i] = x = bench_next(x);
        sort(numbers, n);
        sum = sum * 3 + numbers[n / 3];
    }
    bench_end(b, sum);
}

const struct bench_row integer_rows[] = {
    { "alu", run_alu },
    { "muldiv", run_muldiv },
    { "recursion", run_recursion },
    { "indirect", run_indirect },
    { "bytecode", run_bytecode },
    { "sort", run_sort },
    { NULL, NULL },
};
