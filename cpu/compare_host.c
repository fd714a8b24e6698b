/* The string comparisons of SSE4.2 by the host's (SDM vol. 2, 4.1), which take their kind as an immediate operand: one
 * instruction for each. PCMPxSTRM alone is used, because its mask says all that PCMPxSTRI's index does. */
#include "cpu/helper_sse4.h"

#if defined(__x86_64__)

typedef long long host_vec __attribute__((vector_size(16)));

#define KINDS 64 /* bits 5:0; bit 6 is the form of the result */
#define FOUR(row, n) row((n)) row((n) + 1) row((n) + 2) row((n) + 3)
#define SIXTEEN(row, n) FOUR(row, n) FOUR(row, (n) + 4) FOUR(row, (n) + 8) FOUR(row, (n) + 12)
#define ALL(row) SIXTEEN(row, 0) SIXTEEN(row, 16) SIXTEEN(row, 32) SIXTEEN(row, 48)

#define BY_ZERO(n) \
    case n: \
        __asm__("pcmpistrm %[imm], %[b], %[a]" \
                : "=Yz"(mask), "=@ccz"(zf), "=@ccs"(sf) : [a] "x"(x), [b] "x"(y), [imm] "i"(n)); \
        break;
#define BY_LENGTH(n) \
    case n: \
        __asm__("pcmpestrm %[imm], %[b], %[a]" \
                : "=Yz"(mask), "=@ccz"(zf), "=@ccs"(sf) \
                : [a] "x"(x), [b] "x"(y), [imm] "i"(n), "a"(length_a), "d"(length_b)); \
        break;

static host_vec to_host(const union vec128 *v)
{
    return (host_vec){ (long long)v->u64[0], (long long)v->u64[1] };
}

static struct string_result string_result(host_vec mask, bool zf, bool sf)
{
    return (struct string_result){ (uint32_t)mask[0], (zf ? FL_ZF : 0) | (sf ? FL_SF : 0) };
}

struct string_result compare_by_zero(const union vec128 *a, const union vec128 *b, unsigned imm)
{
    host_vec x = to_host(a), y = to_host(b), mask = { 0 };
    bool zf = false, sf = false;

    switch (imm % KINDS) {
        ALL(BY_ZERO)
    }
    return string_result(mask, zf, sf);
}

struct string_result compare_by_length(const union vec128 *a, const union vec128 *b, unsigned imm, int length_a,
                                       int length_b)
{
    host_vec x = to_host(a), y = to_host(b), mask = { 0 };
    bool zf = false, sf = false;

    switch (imm % KINDS) {
        ALL(BY_LENGTH)
    }
    return string_result(mask, zf, sf);
}

#else /* never called: cpu->host_isa is 0 */

struct string_result compare_by_zero(const union vec128 *a, const union vec128 *b, unsigned imm)
{
    (void)a, (void)b, (void)imm;
    return (struct string_result){ 0 };
}

struct string_result compare_by_length(const union vec128 *a, const union vec128 *b, unsigned imm, int length_a,
                                       int length_b)
{
    (void)a, (void)b, (void)imm, (void)length_a, (void)length_b;
    return (struct string_result){ 0 };
}

#endif
