/* What the files of the strict log share. */
#ifndef MIMUS_CPU_STRICT_INTERNAL_H
#define MIMUS_CPU_STRICT_INTERNAL_H

#include "cpu/strict.h"

#define STRICT_MAX_PLACES 4096

/* Where something was reported: an empty slot has kind 0. */
struct strict_place {
    uint64_t place, detail;
    uint32_t kind; /* enum strict_kind + 1 */
};

struct strict {
    struct strict_tlb *tlb; /* NULL: only -d uninit */
    bool uninit;
    unsigned num_places;
    struct strict_place place[2 * STRICT_MAX_PLACES];
};

/* No translation known. NULL: out of memory. */
struct strict_tlb *strict_tlb_new(void);

#endif
