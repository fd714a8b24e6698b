/* The page walk, SDM vol. 3, chapter 4: 32-bit, PAE, 4-level and 5-level paging. */
#include "cpu/walk.h"

#include "memory/memory.h"

enum {
    PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_A = 1 << 5, PTE_D = 1 << 6,
    PTE_PS = 1 << 7, PTE_G = 1 << 8,
};
#define PTE_NX BIT(63)
#define PHYS_BITS 40
#define PTE_ADDR (MASK(PHYS_BITS) & ~MASK(12))

/* Where an entry lives: RAM is updated atomically, anything else by plain bus accesses. */
struct entry {
    uint64_t value;
    uint64_t addr;
    unsigned size;    /* 4 or 8 */
    uint8_t *host;
    uint64_t ram_off;
};

static void entry_read(struct cpu *cpu, struct entry *e, uint64_t addr, unsigned size)
{
    const struct mem_range *r;

    e->addr = addr & cpu->a20_mask;
    e->size = size;
    e->host = NULL;
    r = mmu_range(cpu, e->addr);
    if (r->host && e->addr + size - 1 <= r->last) {
        uint8_t *p = r->host + (e->addr - r->start);
        if (r->writable) {
            e->host = p;
            e->ram_off = r->ram_off + (e->addr - r->start);
        }
        e->value = size == 8 ? __atomic_load_n((uint64_t *)p, __ATOMIC_RELAXED)
                             : __atomic_load_n((uint32_t *)p, __ATOMIC_RELAXED);
        return;
    }
    cpu_lock(cpu);
    e->value = mem_read(cpu->bus.memory, e->addr, size);
    cpu_unlock(cpu);
}

/* Set bits in an entry unless it changed since it was read. False: read it again. */
static bool entry_set(struct cpu *cpu, struct entry *e, uint64_t bits)
{
    bool ok;

    if ((e->value & bits) == bits || !e->host)
        return true;
    if (e->size == 8) {
        uint64_t old = e->value;
        ok = __atomic_compare_exchange_n((uint64_t *)e->host, &old, old | bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t old = (uint32_t)e->value;
        ok = __atomic_compare_exchange_n((uint32_t *)e->host, &old, old | (uint32_t)bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (ok && __atomic_load_n(&memory_page_flags(cpu->bus.ram)[e->ram_off >> MEM_PAGE_SHIFT], __ATOMIC_SEQ_CST))
        mem_ram_written(cpu->bus.ram, e->ram_off, e->size);
    e->value |= bits;
    return ok;
}

/* The shape of a paging mode: levels from the root down. */
struct level {
    uint8_t shift;      /* of the linear address */
    uint8_t index_bits;
    bool may_be_page;   /* PS is honoured */
};

static const struct level levels_32[] = { { 22, 10, true }, { 12, 10, false } };
static const struct level levels_pae[] = { { 21, 9, true }, { 12, 9, false } };
static const struct level levels_long[] = {
    { 48, 9, false }, { 39, 9, false }, { 30, 9, true }, { 21, 9, true }, { 12, 9, false }
};
#define MAX_LEVELS WALK_MAX_LEVELS

struct walk_mode {
    const struct level *level;
    unsigned num_levels;
    unsigned entry_size;
    uint64_t root;
    bool nx;
};

/* Root and shape for the current mode. False: a PAE directory pointer is not present. */
static bool walk_mode_of(const struct cpu *cpu, uint64_t linear, struct walk_mode *m)
{
    m->nx = (cpu->efer & EFER_NXE) && (cpu->cr4 & CR4_PAE);
    m->entry_size = 8;
    if (!(cpu->cr4 & CR4_PAE)) {
        *m = (struct walk_mode){ levels_32, 2, 4, cpu->cr3 & UINT32_C(0xfffff000), false };
        return true;
    }
    if (cpu->efer & EFER_LMA) {
        m->num_levels = cpu->cr4 & CR4_LA57 ? MAX_LEVELS : MAX_LEVELS - 1;
        m->level = levels_long + MAX_LEVELS - m->num_levels;
        m->root = cpu->cr3 & PTE_ADDR;
        return true;
    }
    uint64_t pdpte = cpu->pdpte[(linear >> 30) & 3];
    m->level = levels_pae;
    m->num_levels = 2;
    m->root = pdpte & PTE_ADDR;
    return pdpte & PTE_P;
}

/* May an entry of this level be a page by its PS bit? */
static bool has_pages(const struct cpu *cpu, const struct level *l)
{
    return l->may_be_page && (l->shift < 30 || cpu_has(cpu, FEAT_PDPE1GB));
}

/* Reserved bits of a present entry (SDM vol. 3, 4.3-4.5: figures 4-4, 4-7, 4-11). */
static uint64_t reserved_bits(const struct cpu *cpu, const struct walk_mode *m, const struct level *l, bool page)
{
    uint64_t r;

    if (m->entry_size == 4) /* PSE-36 uses bits 20:13 for 40 physical bits */
        return !page ? 0 : cpu_has(cpu, FEAT_PSE36) ? BIT(21) : MASK(22) & ~MASK(13);
    r = MASK(52) & ~MASK(PHYS_BITS);
    if (!m->nx)
        r |= PTE_NX;
    if (!(cpu->efer & EFER_LMA))
        r |= MASK(63) & ~MASK(52);
    if (page)
        r |= MASK(l->shift) & ~MASK(13);
    else if (l->shift > 12 && !has_pages(cpu, l))
        r |= PTE_PS;
    return r;
}

static uint64_t page_base(const struct cpu *cpu, const struct walk_mode *m, const struct level *l,
                          uint64_t pte)
{
    uint64_t base = pte & PTE_ADDR & ~MASK(l->shift);

    if (m->entry_size == 4) {
        base = pte & UINT32_C(0xfffff000) & ~MASK(l->shift);
        if (l->shift == 22 && cpu_has(cpu, FEAT_PSE36))
            base |= bits_extract(pte, 13, 8) << 32;
    }
    return base;
}

enum { ALLOW_READ = 1 << ACC_READ, ALLOW_WRITE = 1 << ACC_WRITE, ALLOW_FETCH = 1 << ACC_FETCH };

/* What the protection key lets through, SDM vol. 3, 4.6.2: it says nothing of fetches. */
static unsigned key_allows(const struct cpu *cpu, const struct walk *w, bool write_protect)
{
    unsigned rights = w->key == WALK_NO_KEY ? 0 : cpu->pkru >> (2 * w->key) & 3;

    if (rights & 1)
        return ALLOW_FETCH;
    return rights & 2 && write_protect ? ALLOW_READ | ALLOW_FETCH : ALLOW_READ | ALLOW_WRITE | ALLOW_FETCH;
}

/* What U/S, R/W and XD of the path let through, SDM vol. 3, 4.6.1. */
static unsigned path_allows(const struct cpu *cpu, const struct walk *w, unsigned mmu, bool write_protect)
{
    bool data = mmu == MMU_USER ? w->user : mmu != MMU_SMAP || !w->user;
    bool fetch = mmu == MMU_USER ? w->user : !w->user || !(cpu->cr4 & CR4_SMEP);

    return (data ? ALLOW_READ : 0) | (data && (w->write || !write_protect) ? ALLOW_WRITE : 0) |
           (fetch && w->exec ? ALLOW_FETCH : 0);
}

/* Fills in w->allowed. False with *error: not this access. */
static bool check_rights(const struct cpu *cpu, struct walk *w, enum mmu_access acc, unsigned mmu,
                         uint32_t *error)
{
    bool write_protect = mmu == MMU_USER || (cpu->cr0 & CR0_WP);
    unsigned by_key = key_allows(cpu, w, write_protect);

    w->allowed = (uint8_t)(path_allows(cpu, w, mmu, write_protect) & by_key);
    if (w->allowed >> acc & 1)
        return true;
    *error |= PFEC_P | (by_key >> acc & 1 ? 0 : PFEC_PK);
    return false;
}

unsigned mmu_walk_allows(const struct cpu *cpu, const struct walk *w, unsigned mmu)
{
    bool write_protect = mmu == MMU_USER || (cpu->cr0 & CR0_WP);

    return path_allows(cpu, w, mmu, write_protect) & key_allows(cpu, w, write_protect);
}

static uint32_t error_code(const struct cpu *cpu, enum mmu_access acc, bool user)
{
    bool fetch_bit = ((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE)) || (cpu->cr4 & CR4_SMEP);

    return (acc == ACC_WRITE ? PFEC_W : 0) | (user ? PFEC_U : 0) | (acc == ACC_FETCH && fetch_bit ? PFEC_I : 0);
}

enum step { STEP_DOWN, STEP_DONE, STEP_FAULT, STEP_AGAIN };

/* Look at one level's entry. Accessed bits are set only when the whole
 * translation succeeds, so the path is remembered in path[]. */
static enum step walk_level(struct cpu *cpu, const struct walk_mode *m, unsigned i, uint64_t linear,
                            uint64_t table, struct entry *e, struct walk *w, uint32_t *error)
{
    const struct level *l = &m->level[i];
    uint64_t index = (linear >> l->shift) & MASK(l->index_bits);
    bool page;

    entry_read(cpu, e, table + index * m->entry_size, m->entry_size);
    if (!(e->value & PTE_P))
        return STEP_FAULT;
    page = i == m->num_levels - 1 ||
           (has_pages(cpu, l) && (e->value & PTE_PS) && (m->entry_size == 8 || (cpu->cr4 & CR4_PSE)));
    if (e->value & reserved_bits(cpu, m, l, page && l->shift > 12)) {
        *error |= PFEC_P | PFEC_RSVD;
        return STEP_FAULT;
    }
    w->user &= (e->value & PTE_U) != 0;
    w->write &= (e->value & PTE_W) != 0;
    w->exec &= !(m->nx && (e->value & PTE_NX));
    if (!page)
        return STEP_DOWN;
    w->page_size = BIT(l->shift);
    w->phys = (page_base(cpu, m, l, e->value) | (linear & MASK(l->shift))) & cpu->a20_mask;
    w->global = (e->value & PTE_G) && (cpu->cr4 & CR4_PGE);
    if (w->user && (cpu->cr4 & CR4_PKE) && (cpu->efer & EFER_LMA))
        w->key = (uint8_t)bits_extract(e->value, 59, 4);
    return STEP_DONE;
}

/* Set the accessed bits of the path from the root down, and the dirty bit of the last entry for a write. */
static bool walk_update(struct cpu *cpu, struct entry *path, unsigned n, enum mmu_access acc)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t bits = PTE_A | (i == n - 1 && acc == ACC_WRITE ? PTE_D : 0);
        if (!entry_set(cpu, &path[i], bits))
            return false;
    }
    return true;
}

static enum step walk_once(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, bool update,
                           struct walk *w, uint32_t *error, struct entry path[MAX_LEVELS], unsigned *n)
{
    struct walk_mode m;
    enum step s = STEP_DOWN;
    unsigned i = 0;

    *n = 0;
    *error = error_code(cpu, acc, mmu == MMU_USER);
    *w = (struct walk){ .user = true, .write = true, .exec = true, .key = WALK_NO_KEY };
    if (!walk_mode_of(cpu, linear, &m))
        return STEP_FAULT;
    for (uint64_t table = m.root; s == STEP_DOWN; i++) {
        s = walk_level(cpu, &m, i, linear, table, &path[i], w, error);
        table = m.entry_size == 4 ? path[i].value & UINT32_C(0xfffff000) : path[i].value & PTE_ADDR;
    }
    *n = i;
    if (s == STEP_FAULT)
        return s;
    if (!check_rights(cpu, w, acc, mmu, error))
        return STEP_FAULT;
    if (update && !walk_update(cpu, path, i, acc))
        return STEP_AGAIN;
    w->dirty = path[i - 1].value & PTE_D;
    return STEP_DONE;
}

/* ---- the caches of last-level tables and of large pages ---- */

#define PIECE_SHIFT 21 /* of large pages */

static struct large_page *large_slot(struct cpu *cpu, uint64_t linear)
{
    return &cpu->large_page[(linear >> PIECE_SHIFT) % CPU_LARGE_PAGES];
}

void mmu_forget_walk(struct cpu *cpu, uint64_t linear)
{
    large_slot(cpu, linear)->valid = false;
    cpu->leaf_table[(linear >> cpu->leaf_shift) % CPU_LEAF_TABLES].generation = 0;
}

static void large_remember(struct cpu *cpu, uint64_t linear, const struct walk *w)
{
    cpu->large_local |= !w->global;
    *large_slot(cpu, linear) = (struct large_page){
        .tag = linear >> PIECE_SHIFT, .phys = align_down(w->phys, BIT(PIECE_SHIFT)), .size = w->page_size,
        .valid = (cpu->a20_mask & BIT(20)), .user = w->user, .write = w->write, .exec = w->exec, .global = w->global,
        .dirty = w->dirty, .key = w->key };
}

/* A walk came to a page of the last level by `path` of n entries, and the accessed bits are set. */
static void leaf_remember(struct cpu *cpu, uint64_t linear, const struct entry *path, unsigned n)
{
    const struct entry *last = &path[n - 1];
    struct leaf_table *t;
    struct walk_mode m;

    walk_mode_of(cpu, linear, &m);
    cpu->leaf_shift = m.level[m.num_levels - 2].shift;
    cpu->leaf_entry = m.entry_size;
    cpu->leaf_reserved = reserved_bits(cpu, &m, &m.level[m.num_levels - 1], false);
    t = &cpu->leaf_table[(linear >> cpu->leaf_shift) % CPU_LEAF_TABLES];
    *t = (struct leaf_table){ .tag = linear >> cpu->leaf_shift, .generation = cpu->leaf_generation,
                              .host = last->host - (last->addr & MASK(12)),
                              .ram_off = last->ram_off - (last->addr & MASK(12)),
                              .user = true, .write = true, .exec = true };
    for (unsigned i = 0; i < n - 1; i++) {
        t->user &= (path[i].value & PTE_U) != 0;
        t->write &= (path[i].value & PTE_W) != 0;
        t->exec &= !(m.nx && (path[i].value & PTE_NX));
    }
}

static void remember(struct cpu *cpu, uint64_t linear, const struct walk *w, const struct entry *path, unsigned n)
{
    if (w->page_size > MEM_PAGE_SIZE)
        large_remember(cpu, linear, w);
    else if (path[n - 1].host)
        leaf_remember(cpu, linear, path, n);
}

/* From a remembered translation. */
static bool walk_large(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, struct walk *w,
                       uint32_t *error)
{
    const struct large_page *l = large_slot(cpu, linear);

    if (!l->valid || l->tag != linear >> PIECE_SHIFT || (acc == ACC_WRITE && !l->dirty))
        return false;
    *w = (struct walk){ .phys = l->phys | (linear & MASK(PIECE_SHIFT)), .page_size = l->size, .user = l->user,
                        .write = l->write, .exec = l->exec, .global = l->global, .dirty = l->dirty, .key = l->key };
    return check_rights(cpu, w, acc, mmu, error);
}

/* The walk from a remembered table. What faults here has to go the whole way: entries above may allow more than they
 * did. */
static bool walk_leaf(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, struct walk *w,
                      uint32_t *error)
{
    uint64_t tag = linear >> cpu->leaf_shift, offset = (linear & MASK(cpu->leaf_shift)) >> 12;
    const struct leaf_table *t = &cpu->leaf_table[tag % CPU_LEAF_TABLES];
    struct entry e;

    if (t->tag != tag || t->generation != cpu->leaf_generation || !cpu->leaf_generation)
        return false;
    offset *= cpu->leaf_entry;
    e = (struct entry){ .size = cpu->leaf_entry, .host = t->host + offset, .ram_off = t->ram_off + offset };
    e.value = e.size == 8 ? __atomic_load_n((uint64_t *)e.host, __ATOMIC_RELAXED)
                          : __atomic_load_n((uint32_t *)e.host, __ATOMIC_RELAXED);
    if (!(e.value & PTE_P) || (e.value & cpu->leaf_reserved))
        return false;
    *w = (struct walk){ .phys = ((e.value & PTE_ADDR) | (linear & MASK(12))) & cpu->a20_mask,
                        .page_size = MEM_PAGE_SIZE, .user = t->user && (e.value & PTE_U),
                        .write = t->write && (e.value & PTE_W),
                        .exec = t->exec && !(e.size == 8 && (e.value & PTE_NX)),
                        .global = (e.value & PTE_G) && (cpu->cr4 & CR4_PGE), .key = WALK_NO_KEY };
    if (w->user && (cpu->cr4 & CR4_PKE) && (cpu->efer & EFER_LMA))
        w->key = (uint8_t)bits_extract(e.value, 59, 4);
    if (!check_rights(cpu, w, acc, mmu, error) || !walk_update(cpu, &e, 1, acc))
        return false;
    w->dirty = e.value & PTE_D;
    return true;
}

int mmu_walk(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, bool update,
             struct walk *w, uint32_t *error)
{
    bool cached = update && !cpu->strict; /* the strict log models the TLB alone */
    struct entry path[MAX_LEVELS];
    enum step s;
    unsigned n;

    if (!(cpu->cr0 & CR0_PG)) {
        *w = (struct walk){ .phys = linear & UINT32_MAX & cpu->a20_mask, .page_size = MEM_PAGE_SIZE,
                            .user = true, .write = true, .exec = true, .dirty = true, .key = WALK_NO_KEY,
                            .allowed = ALLOW_READ | ALLOW_WRITE | ALLOW_FETCH };
        return 0;
    }
    if (cached && (walk_leaf(cpu, linear, acc, mmu, w, error) || walk_large(cpu, linear, acc, mmu, w, error)))
        return 0;
    do
        s = walk_once(cpu, linear, acc, mmu, update, w, error, path, &n);
    while (s == STEP_AGAIN);
    if (cached && s == STEP_DONE)
        remember(cpu, linear, w, path, n);
    return s == STEP_DONE ? 0 : -1;
}

int mmu_walk_path(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu, struct walk *w,
                  struct walk_path *path)
{
    struct entry entries[MAX_LEVELS];
    uint32_t error;
    enum step s = walk_once(cpu, linear, acc, mmu, false, w, &error, entries, &path->n);

    for (unsigned i = 0; i < path->n; i++) {
        path->host[i] = entries[i].host;
        path->value[i] = entries[i].value;
        path->size = (uint8_t)entries[i].size;
    }
    return s == STEP_DONE ? 0 : -1;
}

bool cpu_translate(struct cpu *cpu, uint64_t linear, uint64_t *phys)
{
    struct walk w;
    uint32_t error;

    /* A page that only its protection key forbids is translated all the same. */
    if (mmu_walk(cpu, linear, ACC_READ, MMU_SUPER, false, &w, &error) && !w.page_size)
        return false;
    *phys = w.phys;
    return true;
}

/* Reserved bits of a PAE directory-pointer entry, SDM vol. 3, table 4-8. */
#define PDPTE_RESERVED ((MASK(63) & ~MASK(PHYS_BITS)) | BIT(63) | 0x1e6)

bool mmu_try_load_pdptes(struct cpu *cpu, uint64_t cr3)
{
    uint64_t table = cr3 & UINT32_C(0xffffffe0), new_pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        struct entry e;
        entry_read(cpu, &e, table + 8 * i, 8);
        new_pdpte[i] = e.value;
        if ((e.value & PTE_P) && (e.value & PDPTE_RESERVED))
            return false;
    }
    memcpy(cpu->pdpte, new_pdpte, sizeof(new_pdpte));
    return true;
}

void mmu_load_pdptes(struct cpu *cpu, uint64_t cr3)
{
    if (!mmu_try_load_pdptes(cpu, cr3))
        cpu_raise_error(cpu, EX_GP, 0);
}
