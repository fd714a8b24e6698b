/* What the string comparisons of SSE4.2 and their emitters agree on. */
#ifndef MIMUS_CPU_HELPER_SSE4_H
#define MIMUS_CPU_HELPER_SSE4_H

enum {
    STRING_LENGTH64 = 1 << 8,   /* with the immediate: lengths are RAX and RDX, not EAX and EDX */
    STRING_INDEX_SHIFT = 16,    /* in the result: the index, above the flags */
};

#endif
