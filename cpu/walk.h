/* The page walk: linear to physical by the guest's page tables. Private to the MMU and the monitor's printers. */
#ifndef MIMUS_CPU_WALK_H
#define MIMUS_CPU_WALK_H

#include "cpu/state.h"

/* Page-fault error code, SDM vol. 3, 4.7. */
enum { PFEC_P = 1, PFEC_W = 2, PFEC_U = 4, PFEC_RSVD = 8, PFEC_I = 16, PFEC_PK = 32 };

#define WALK_NO_KEY 16

struct walk {
    uint64_t phys;        /* of the address asked for, A20 applied */
    uint64_t page_size;   /* bytes: 4 KiB .. 1 GiB */
    bool user, write, exec; /* what the entries of the whole path say */
    bool global, dirty;
    uint8_t key;          /* protection key that applies, WALK_NO_KEY: none */
    uint8_t allowed;      /* bit 1 << enum mmu_access: such an access by this set may be made */
};

/* Translate `linear` for an access of kind `acc` with the rights of TLB set `mmu` (enum cpu_mmu).
 * With `update`, sets accessed and dirty bits as the access does; without, has
 * no side effect. Returns 0, or -1 with the error code in *error. */
int mmu_walk(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, bool update,
             struct walk *w, uint32_t *error);
/* Forget what walks for accesses to `linear` have left for others. */
void mmu_forget_walk(struct cpu *cpu, uint64_t linear);
/* The entries that a walk read, from the root down. */
#define WALK_MAX_LEVELS 5
struct walk_path {
    unsigned n;
    uint8_t size;                          /* of an entry: 4 or 8 bytes */
    const uint8_t *host[WALK_MAX_LEVELS];  /* NULL: not in RAM */
    uint64_t value[WALK_MAX_LEVELS];
};
/* As mmu_walk() without `update`, with paging on; also says what it read. */
int mmu_walk_path(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, struct walk *w,
                  struct walk_path *path);
/* The accesses, bits 1 << enum mmu_access, that set `mmu` may make by the rights in *w as registers stand now. */
unsigned mmu_walk_allows(const struct cpu *cpu, const struct walk *w, unsigned mmu);

#endif
