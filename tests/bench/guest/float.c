/* float.c: numbers with a fraction: scalar SSE2, packed SSE2, AVX2, x87. A unit is a turn of the loop. */

#include "bench.h"

#include <errno.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

static uint64_t bits(double value)
{
    uint64_t found;
    memcpy(&found, &value, sizeof(found));
    return found;
}

/* x walks through all numbers between 0 and 1 (the logistic map), y between 0 and 2. */
#define MIX(type, x, y)                            \
    do {                                           \
        x = (type)3.9375 * x * ((type)1.0 - x);    \
        y = (y + x) / (x + (type)0.625);           \
        if (y > (type)1.0)                         \
            y = y - (type)0.5;                     \
    } while (0)

static void run_double(struct bench *b)
{
    double x = 0.25, y = 0.5;
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        MIX(double, x, y);
    bench_end(b, bits(x + y));
}

static void run_x87(struct bench *b)
{
    long double x = 0.25L, y = 0.5L;
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        MIX(long double, x, y);
    bench_end(b, bits((double)(x + y)));
}

/* Floating point and integers in packed form, a shuffle, a comparison. */
static void run_sse2(struct bench *b)
{
    __m128 x = _mm_set_ps(0.125f, 0.25f, 0.375f, 0.4375f);
    const __m128 factor = _mm_set1_ps(3.9375f), one = _mm_set1_ps(1.0f), half = _mm_set1_ps(0.5f);
    __m128i sum = _mm_set_epi32(1, 2, 3, 4);
    float out[4];
    uint32_t words[4];
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        x = _mm_mul_ps(_mm_mul_ps(x, factor), _mm_sub_ps(one, x));
        __m128i low = _mm_and_si128(_mm_castps_si128(x), _mm_castps_si128(_mm_cmplt_ps(x, half)));
        sum = _mm_add_epi32(_mm_shuffle_epi32(sum, 0x39), _mm_xor_si128(low, _mm_slli_epi32(sum, 3)));
    }
    _mm_storeu_ps(out, x);
    _mm_storeu_si128((__m128i *)(void *)words, sum);
    bench_end(b, words[0] ^ words[1] ^ bits(out[0]));
}

__attribute__((target("avx2"))) static uint64_t avx2_loop(long count)
{
    __m256 x = _mm256_set_ps(0.125f, 0.25f, 0.375f, 0.4375f, 0.625f, 0.75f, 0.8125f, 0.875f);
    const __m256 factor = _mm256_set1_ps(3.9375f), one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    __m256i sum = _mm256_set_epi32(1, 2, 3, 4, 5, 6, 7, 8);
    float out[8];
    uint32_t words[8];
    for (long i = 0; i < count; i++) {
        x = _mm256_mul_ps(_mm256_mul_ps(x, factor), _mm256_sub_ps(one, x));
        __m256i low = _mm256_and_si256(_mm256_castps_si256(x), _mm256_castps_si256(_mm256_max_ps(x, half)));
        low = _mm256_xor_si256(low, _mm256_slli_epi32(sum, 3));
        sum = _mm256_add_epi32(_mm256_permute4x64_epi64(sum, 0x39), low);
    }
    _mm256_storeu_ps(out, x);
    _mm256_storeu_si256((__m256i *)(void *)words, sum);
    return words[0] ^ words[5] ^ bits(out[0]);
}

static void run_avx2(struct bench *b)
{
    errno = ENOTSUP;
    if (!__builtin_cpu_supports("avx2"))
        bench_fail(b, "AVX2");
    bench_begin(b);
    uint64_t check = avx2_loop(b->count);
    bench_end(b, check);
}

const struct bench_row float_rows[] = {
    { "double", run_double },
    { "sse2", run_sse2 },
    { "avx2", run_avx2 },
    { "x87", run_x87 },
    { NULL, NULL },
};
