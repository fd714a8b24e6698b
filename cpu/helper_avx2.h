/* Registers and sizes of masked accesses and gathers as one word: what emitters hand to helpers. */
#ifndef MIMUS_CPU_HELPER_AVX2_H
#define MIMUS_CPU_HELPER_AVX2_H

#include <stdbool.h>
#include <stdint.h>

/* VMASKMOV, VPMASKMOV. */
struct mask_word {
    unsigned reg, mask;      /* vector registers: data, mask */
    unsigned seg;            /* enum seg_reg */
    unsigned size;           /* bytes of an element: 4, 8 */
    bool wide_vector;        /* 32 bytes */
};

static inline uint32_t mask_word_pack(const struct mask_word *w)
{
    return w->reg | w->mask << 4 | w->seg << 8 | w->size << 12 | (uint32_t)w->wide_vector << 16;
}

static inline struct mask_word mask_word_unpack(uint32_t v)
{
    return (struct mask_word){ v & 15, v >> 4 & 15, v >> 8 & 15, v >> 12 & 15, v >> 16 & 1 };
}

/* VPGATHER, VGATHER. */
struct gather_word {
    unsigned reg, index, mask;
    unsigned seg;
    unsigned shift;             /* log2 of the scale */
    unsigned size, index_size;  /* bytes of an element and of an index: 4, 8 */
    bool wide_vector, address64;
};

static inline uint32_t gather_word_pack(const struct gather_word *w)
{
    return w->reg | w->index << 4 | w->mask << 8 | w->seg << 12 | w->shift << 16 | w->size << 18 |
           w->index_size << 22 | (uint32_t)w->wide_vector << 26 | (uint32_t)w->address64 << 27;
}

static inline struct gather_word gather_word_unpack(uint32_t v)
{
    return (struct gather_word){ v & 15, v >> 4 & 15, v >> 8 & 15, v >> 12 & 15, v >> 16 & 3, v >> 18 & 15,
                                 v >> 22 & 15, v >> 26 & 1, v >> 27 & 1 };
}

#endif
