/* What the string comparisons of SSE4.2 and their emitters agree on. */
#ifndef MIMUS_CPU_HELPER_SSE4_H
#define MIMUS_CPU_HELPER_SSE4_H

#include "cpu/state.h"

enum {
    STRING_LENGTH64 = 1 << 8,   /* with the immediate: lengths are RAX and RDX, not EAX and EDX */
    STRING_INDEX_SHIFT = 16,    /* in the result: the index, above the flags */
};

/* A bit for each element of the second operand, and of the flags ZF and SF: the second, the first string ends within its
 * register. */
struct string_result { uint32_t bits, ends; };

/* By a host that has SSE4.2: strings that end with a zero element, and of 0 to 16 elements. */
struct string_result compare_by_zero(const union vec128 *a, const union vec128 *b, unsigned imm);
struct string_result compare_by_length(const union vec128 *a, const union vec128 *b, unsigned imm, int length_a,
                                       int length_b);

#endif
