/* A program whose output is the same on every level of x86-64: compiled for x86-64-v3 it consists of AVX2, FMA, BMI,
 * F16C, MOVBE and LZCNT instructions, compiled for the base level of none. Prints checksums. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 4096

static uint32_t ints[N];
static uint64_t longs[N];
static float floats[N];
static double doubles[N];
static uint8_t bytes[N];

static uint64_t state = 42;

static uint64_t next(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

static void fill(void)
{
    for (unsigned i = 0; i < N; i++) {
        longs[i] = next();
        ints[i] = (uint32_t)next();
        floats[i] = (float)(int32_t)next() / 1024;
        doubles[i] = (double)(int64_t)next() / 65536;
        bytes[i] = (uint8_t)next();
    }
}

static uint64_t sum(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void integers(void)
{
    static uint32_t out[N];
    static uint64_t wide[N];

    for (unsigned i = 0; i < N; i++)
        out[i] = (ints[i] << (ints[i] & 31)) ^ (ints[(i + 7) % N] >> (i & 31)) ^ ints[i] * ints[N - 1 - i];
    for (unsigned i = 0; i < N; i++)
        wide[i] = (longs[i] & ~longs[N - 1 - i]) + (longs[i] & -longs[i]) + (longs[i] & (longs[i] - 1)) +
                  (uint64_t)__builtin_clzll(longs[i] | 1) + (uint64_t)__builtin_ctzll(longs[i] | 1) +
                  (uint64_t)__builtin_popcountll(longs[i]) + __builtin_bswap64(longs[i]) +
                  (uint64_t)((unsigned __int128)longs[i] * longs[N - 1 - i] >> 64);
    printf("integers %016llx %016llx\n", (unsigned long long)sum(out, sizeof(out)),
           (unsigned long long)sum(wide, sizeof(wide)));
}

static void floating(void)
{
    static float f[N];
    static double d[N];

    for (unsigned i = 0; i < N; i++)
        f[i] = fmaf(floats[i], floats[N - 1 - i], floats[(i + 1) % N]) + sqrtf(fabsf(floats[i]));
    for (unsigned i = 0; i < N; i++)
        d[i] = fma(doubles[i], doubles[N - 1 - i], doubles[(i + 1) % N]) + floor(doubles[i]) +
               (doubles[i] < doubles[N - 1 - i] ? doubles[i] / 3 : -doubles[i]);
    printf("floating %016llx %016llx\n", (unsigned long long)sum(f, sizeof(f)),
           (unsigned long long)sum(d, sizeof(d)));
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void data(void)
{
    static uint8_t out[N];
    static uint32_t sorted[N];
    unsigned long found = 0;

    for (unsigned i = 0; i < N; i++)
        out[i] = (uint8_t)((bytes[i] > bytes[N - 1 - i] ? bytes[i] : bytes[N - 1 - i]) + (bytes[i] >> 1));
    memcpy(sorted, ints, sizeof(sorted));
    qsort(sorted, N, sizeof(sorted[0]), by_value);
    for (unsigned i = 0; i < N; i++)
        found += memchr(bytes, (int)(i & 255), N) != NULL;
    for (unsigned i = 0; i < N; i++)
        sorted[i] += ints[sorted[i] % N];
    printf("data %016llx %016llx %lu\n", (unsigned long long)sum(out, sizeof(out)),
           (unsigned long long)sum(sorted, sizeof(sorted)), found);
}

int main(void)
{
    fill();
    integers();
    floating();
    data();
    puts("levels: end");
    return 0;
}
