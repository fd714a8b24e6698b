/* The strict log's view of the TLB: the translations that hardware may still hold, compared with the guest's
 * paging structures at each use. SDM vol. 3, 4.10.
 *
 * What a processor may cache is any translation that was used and not invalidated since. A use whose outcome
 * under one of those differs from the outcome under the structures in memory has an undefined result: it is
 * reported, and goes on with what the software TLB holds. A translation that forbids what memory now allows
 * gives a spurious fault at most, which is legal (4.10.4.3), and so it is not reported. Not modelled: what
 * processors cache without a use, and entries of upper levels cached by themselves. */
#include "cpu/strict_internal.h"

#include <stdlib.h>

#include "memory/memory.h"

#define SETS 8192
#define WAYS 4
#define NUM_SHIFTS 4
#define NUM_CHECKED 4096

static const uint8_t shifts[NUM_SHIFTS] = { 12, 21, 22, 30 };

struct translation {
    uint64_t linear;  /* of the page's first byte */
    uint64_t flushes; /* strict_tlb.flushes when it was made; another value: dropped */
    uint64_t pcid_flushes;
    struct walk w; /* phys: of the page's first byte; page_size 0: empty */
    uint16_t pcid;
};

/* A use that was in order, and what it depended on: repeated, it is in order without a walk. */
struct checked {
    uint64_t page; /* linear, with the kind of access and the set in its low bits */
    uint64_t tlb_flushes, invalidations;
    uint32_t cr0, cr4, pkru;
    struct walk_path path; /* n = 0: empty */
};

struct strict_tlb {
    uint64_t invalidations; /* of any kind, so far */
    uint64_t flushes;       /* of everything, so far */
    uint64_t pcid_flushes[4096];
    uint8_t shifts_used; /* bit i: pages of size 1 << shifts[i] are there */
    unsigned next_way;
    struct translation t[SETS][WAYS];
    struct checked checked[NUM_CHECKED];
};

struct strict_tlb *strict_tlb_new(void) { return calloc(1, sizeof(struct strict_tlb)); }

static unsigned current_pcid(const struct cpu *cpu) { return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0; }

static struct translation *set_of(struct strict_tlb *tlb, uint64_t linear, unsigned shift)
{
    uint64_t page = linear >> shift;

    return tlb->t[(page ^ page >> 13 ^ shift) % SETS];
}

static bool alive(const struct strict_tlb *tlb, const struct translation *t)
{
    return t->w.page_size && t->flushes == tlb->flushes &&
           (t->w.global || t->pcid_flushes == tlb->pcid_flushes[t->pcid]);
}

/* The translation of the page of 1 << shift bytes that holds `linear`, NULL: none. */
static struct translation *find(struct strict_tlb *tlb, uint64_t linear, unsigned shift, unsigned pcid)
{
    struct translation *set = set_of(tlb, linear, shift);

    for (unsigned i = 0; i < WAYS; i++)
        if (alive(tlb, &set[i]) && (set[i].w.global || set[i].pcid == pcid) &&
            set[i].w.page_size == BIT(shift) && set[i].linear == align_down(linear, BIT(shift)))
            return &set[i];
    return NULL;
}

static struct translation *free_way(struct strict_tlb *tlb, uint64_t linear, unsigned shift)
{
    struct translation *set = set_of(tlb, linear, shift);

    for (unsigned i = 0; i < WAYS; i++)
        if (!alive(tlb, &set[i]))
            return &set[i];
    return &set[tlb->next_way++ % WAYS];
}

/* Of a page that is known, both the old and the new translation may be cached: the rights add up. */
static void add_rights(struct translation *t, const struct walk *w)
{
    t->w.user |= w->user;
    t->w.write |= w->write;
    t->w.exec |= w->exec;
    t->w.key = w->key;
}

static void remember(struct strict_tlb *tlb, uint64_t linear, const struct walk *w, unsigned pcid)
{
    unsigned shift = (unsigned)__builtin_ctzll(w->page_size);
    struct translation *t = find(tlb, linear, shift, pcid);

    if (t && t->w.phys == align_down(w->phys, w->page_size)) {
        add_rights(t, w);
        return;
    }
    if (!t)
        t = free_way(tlb, linear, shift);
    *t = (struct translation){ .linear = align_down(linear, w->page_size),
                               .flushes = tlb->flushes,
                               .pcid_flushes = tlb->pcid_flushes[pcid],
                               .w = *w,
                               .pcid = (uint16_t)pcid };
    t->w.phys = align_down(w->phys, w->page_size);
    for (unsigned i = 0; i < NUM_SHIFTS; i++)
        if (shifts[i] == shift)
            tlb->shifts_used |= (uint8_t)(1u << i);
}

/* ---- use ---- */

static const char *size_name(uint64_t size)
{
    return size == BIT(12) ? "4K" : size == BIT(21) ? "2M" : size == BIT(22) ? "4M" : "1G";
}

/* What an entry means, as "0000000000123000 4K user rw-". */
static void describe(char *text, size_t size, uint64_t phys, const struct walk *w)
{
    if (!w->page_size)
        snprintf(text, size, "not present or malformed");
    else
        snprintf(text, size, "%016llx %s %s r%c%c", (unsigned long long)align_down(phys, MEM_PAGE_SIZE),
                 size_name(w->page_size), w->user ? "user" : "supervisor", w->write ? 'w' : '-',
                 w->exec ? 'x' : '-');
}

static void report_stale(struct cpu *cpu, uint64_t linear, enum mmu_access acc, uint64_t old_phys,
                         const struct walk *old, const struct walk *now)
{
    static const char *const verb[] = { "read", "write", "fetch" };
    char was[64], is[64];

    describe(was, sizeof(was), old_phys, old);
    describe(is, sizeof(is), now->phys, now);
    strict_report_place(
        cpu, STRICT_STALE, align_down(linear, MEM_PAGE_SIZE),
        "%s of linear %016llx by a translation that was changed and not invalidated: was %s; is %s",
        verb[acc], (unsigned long long)linear, was, is);
}

static struct checked *checked_of(struct strict_tlb *tlb, uint64_t page)
{
    return &tlb->checked[(page >> MEM_PAGE_SHIFT ^ page >> (MEM_PAGE_SHIFT + 12) ^ (page & 15) << 8) %
                         NUM_CHECKED];
}

static bool still_good(const struct cpu *cpu, const struct strict_tlb *tlb, const struct checked *c,
                       uint64_t page)
{
    if (c->page != page || !c->path.n || c->tlb_flushes != cpu->tlb_flushes ||
        c->invalidations != tlb->invalidations || c->cr0 != (uint32_t)cpu->cr0 ||
        c->cr4 != (uint32_t)cpu->cr4 || c->pkru != cpu->pkru)
        return false;
    for (unsigned i = 0; i < c->path.n; i++)
        if (load_shared_le(c->path.host[i], c->path.size) != c->path.value[i])
            return false;
    return true;
}

static void note_checked(const struct cpu *cpu, const struct strict_tlb *tlb, struct checked *c,
                         uint64_t page, const struct walk_path *path)
{
    *c = (struct checked){
        page, cpu->tlb_flushes, tlb->invalidations, (uint32_t)cpu->cr0, (uint32_t)cpu->cr4, cpu->pkru, *path
    };
    for (unsigned i = 0; i < path->n; i++)
        if (!path->host[i])
            c->path.n = 0;
}

/* Compare what memory says with what may be cached, and note that it may be cached now. */
static void check_use(struct cpu *cpu, struct strict_tlb *tlb, uint64_t linear, enum mmu_access acc,
                      unsigned mmu, struct checked *c, uint64_t page)
{
    unsigned pcid = current_pcid(cpu);
    struct walk_path path;
    struct walk now;
    bool allowed = !mmu_walk_path(cpu, linear, acc, mmu, &now, &path);

    for (unsigned i = 0; i < NUM_SHIFTS; i++) {
        struct translation *t = tlb->shifts_used >> i & 1 ? find(tlb, linear, shifts[i], pcid) : NULL;
        uint64_t phys = t ? t->w.phys + (linear - t->linear) : 0;
        bool differs = t && (mmu_walk_allows(cpu, &t->w, mmu) >> acc & 1) && (!allowed || phys != now.phys);
        if (!differs)
            continue;
        report_stale(cpu, linear, acc, phys, &t->w, &now);
        t->w.page_size = 0;
    }
    if (!allowed)
        return;
    remember(tlb, linear, &now, pcid);
    note_checked(cpu, tlb, c, page, &path);
}

void strict_use(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu)
{
    struct strict_tlb *tlb = cpu->strict ? cpu->strict->tlb : NULL;
    uint64_t page = align_down(linear, MEM_PAGE_SIZE) | acc | mmu << 2;
    struct checked *c;

    if (!tlb || !(cpu->cr0 & CR0_PG))
        return;
    c = checked_of(tlb, page);
    if (!still_good(cpu, tlb, c, page))
        check_use(cpu, tlb, linear, acc, mmu, c, page);
}

/* ---- invalidation ---- */

void strict_flush(struct cpu *cpu)
{
    if (!cpu->strict || !cpu->strict->tlb)
        return;
    cpu->strict->tlb->flushes++;
    cpu->strict->tlb->invalidations++;
}

void strict_flush_pcid(struct cpu *cpu, unsigned pcid)
{
    if (!cpu->strict || !cpu->strict->tlb)
        return;
    cpu->strict->tlb->pcid_flushes[pcid & 0xfff]++;
    cpu->strict->tlb->invalidations++;
}

void strict_flush_page(struct cpu *cpu, uint64_t linear, unsigned pcid, bool global)
{
    if (!cpu->strict || !cpu->strict->tlb)
        return;
    cpu->strict->tlb->invalidations++;
    for (unsigned i = 0; i < NUM_SHIFTS; i++) {
        struct translation *t = find(cpu->strict->tlb, linear, shifts[i], pcid & 0xfff);
        if (t && (global || !t->w.global))
            t->w.page_size = 0;
    }
}

void strict_invlpg(struct cpu *cpu, uint64_t linear)
{
    strict_flush_page(cpu, linear, current_pcid(cpu), true);
}

/* Types of INVPCID: an address of a PCID, all of a PCID, everything, everything but global pages. */
void strict_invpcid(struct cpu *cpu, unsigned type, unsigned pcid, uint64_t linear)
{
    if (type == 0)
        strict_flush_page(cpu, linear, pcid, false);
    else if (type == 1)
        strict_flush_pcid(cpu, pcid);
    else if (type == 2)
        strict_flush(cpu);
    for (unsigned i = 0; type == 3 && i < 4096; i++)
        strict_flush_pcid(cpu, i);
}

#define CR3_KEEP BIT(63)

void strict_cr3(struct cpu *cpu, uint64_t value)
{
    if (!(cpu->cr4 & CR4_PCIDE) || !(value & CR3_KEEP))
        strict_flush_pcid(cpu, current_pcid(cpu));
}

void strict_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
    if (!cpu->strict || !cpu->strict->tlb)
        return;
    if (error & PFEC_RSVD)
        strict_report_place(cpu, STRICT_PAGING, align_down(linear, MEM_PAGE_SIZE),
                            "reserved bits in the paging entries of linear %016llx: #PF(%x) delivered",
                            (unsigned long long)linear, error);
    strict_invlpg(cpu, linear);
}
