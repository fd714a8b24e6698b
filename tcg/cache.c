/* The cache of blocks: finding by key, pages that hold code, chaining, dropping.
 *
 * Laws:
 * - A live block that is not one_insn is in the hash once and in the list of each
 *   RAM page that it touches once. A one_insn block is in none, and never chained.
 * - A dropped block is in no list, no exit leads to it and its own exits lead to
 *   the run loop; its memory and code stay until the next flush, because it may
 *   be the one that is running. */
#include <string.h>

#include "base/bits.h"
#include "tcg/cache.h"

#define PAGE_SIZE (UINT64_C(1) << TCG_PAGE_BITS)
#define GRANULE_BITS 6
_Static_assert(TCG_PAGE_BITS - GRANULE_BITS == 6, "one bit of a uint64_t per granule");

/* ---- keys and ranges ---- */

static uint64_t page_of(uint64_t ram_off)
{
    return ram_off >> TCG_PAGE_BITS;
}

static uint32_t mix(uint64_t v, unsigned bits)
{
    return (uint32_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

static uint32_t hash_key(uint64_t phys, uint32_t mode)
{
    return mix(phys ^ (uint64_t)mode << 40 ^ mode, TCG_HASH_BITS);
}

static uint64_t page_start(uint64_t phys2)
{
    return phys2 == UINT64_MAX ? phys2 : align_down(phys2, PAGE_SIZE);
}

/* Bytes that lie in the page of the first byte. A block without bytes still stands on one. */
static unsigned head_size(const struct tcg_block *blk)
{
    uint64_t left = PAGE_SIZE - (blk->phys & (PAGE_SIZE - 1));

    return (unsigned)MAX_OF(1u, MIN_OF((uint64_t)blk->size, left));
}

static bool has_tail(const struct tcg_block *blk)
{
    return blk->phys2 != UINT64_MAX;
}

static unsigned tail_size(const struct tcg_block *blk)
{
    unsigned head = head_size(blk);

    return blk->size > head ? blk->size - head : 1;
}

static bool overlaps(const struct tcg_block *blk, uint64_t first, uint64_t last)
{
    return (first < blk->phys + head_size(blk) && last >= blk->phys) ||
           (has_tail(blk) && first < blk->phys2 + tail_size(blk) && last >= blk->phys2);
}

/* Granules of bytes [first, last] of one page. */
static uint64_t granules(uint64_t first, uint64_t last)
{
    unsigned lo = (first >> GRANULE_BITS) & 63, hi = (last >> GRANULE_BITS) & 63;

    return MASK(hi + 1) & ~MASK(lo);
}

static uint64_t block_granules(const struct tcg_block *blk, uint64_t page)
{
    uint64_t g = 0;

    if (page_of(blk->phys) == page)
        g |= granules(blk->phys, blk->phys + head_size(blk) - 1);
    if (has_tail(blk) && page_of(blk->phys2) == page)
        g |= granules(blk->phys2, blk->phys2 + tail_size(blk) - 1);
    return g;
}

/* ---- memory ---- */

void *tcg_arena_alloc(struct tcg_arena *a, size_t size)
{
    uint8_t *p = a->at;

    size = align_up(size, 64);
    if (size > (size_t)(a->end - p))
        return NULL;
    a->at += size;
    return memset(p, 0, size);
}

/* ---- pages ---- */

static struct tcg_page *find_page(const struct tcg *t, uint64_t number)
{
    struct tcg_page *p = t->page[mix(number, TCG_PAGE_HASH_BITS)];

    while (p && p->number != number)
        p = p->next;
    return p;
}

static struct tcg_page *get_page(struct tcg *t, uint64_t number)
{
    struct tcg_page **head = &t->page[mix(number, TCG_PAGE_HASH_BITS)], *p = find_page(t, number);

    if (p || !(p = tcg_arena_alloc(&t->data, sizeof(*p))))
        return p;
    p->number = number;
    p->next = *head;
    *head = p;
    t->num_pages++;
    return p;
}

/* Which of its links a block uses in the list of a page. */
static unsigned link_no(const struct tcg_block *blk, uint64_t page)
{
    return page_of(blk->phys) == page ? 0 : 1;
}

static void page_add(struct tcg_page *p, struct tcg_block *blk)
{
    blk->next_page[link_no(blk, p->number)] = p->blocks;
    p->blocks = blk;
    p->granules |= block_granules(blk, p->number);
}

static void page_remove(struct tcg *t, uint64_t number, struct tcg_block *blk)
{
    struct tcg_page *p = find_page(t, number);
    struct tcg_block **at = &p->blocks;

    while (*at != blk)
        at = &(*at)->next_page[link_no(*at, number)];
    *at = blk->next_page[link_no(blk, number)];
}

/* Two guest pages may be the same page of RAM: then the block is in its list once. */
static bool in_two_pages(const struct tcg_block *blk)
{
    return has_tail(blk) && page_of(blk->phys2) != page_of(blk->phys);
}

/* ---- hash ---- */

struct tcg_block *tcg_find(struct tcg *t, uint64_t phys, uint64_t phys2, uint32_t mode)
{
    struct tcg_block *blk = t->hash[hash_key(phys, mode)];

    phys2 = page_start(phys2);
    while (blk && (blk->phys != phys || blk->mode != mode || blk->phys2 != phys2))
        blk = blk->next_hash;
    return blk;
}

static void hash_remove(struct tcg *t, struct tcg_block *blk)
{
    struct tcg_block **at = &t->hash[hash_key(blk->phys, blk->mode)];

    while (*at != blk)
        at = &(*at)->next_hash;
    *at = blk->next_hash;
}

int tcg_cache_insert(struct tcg *t, struct tcg_block *blk)
{
    struct tcg_page *head, *tail = NULL;
    struct tcg_block **slot = &t->hash[hash_key(blk->phys, blk->mode)];

    blk->phys2 = page_start(blk->phys2);
    head = get_page(t, page_of(blk->phys));
    if (in_two_pages(blk))
        tail = get_page(t, page_of(blk->phys2));
    if (!head || (in_two_pages(blk) && !tail))
        return -1;
    page_add(head, blk);
    if (tail)
        page_add(tail, blk);
    blk->next_hash = *slot;
    *slot = blk;
    return 0;
}

void tcg_cache_clear(struct tcg *t)
{
    memset(t->hash, 0, sizeof(t->hash));
    memset(t->page, 0, sizeof(t->page));
    t->num_blocks = t->num_pages = 0;
}

/* ---- chains: a list of (block, exit) per target, the exit number in the pointer's low bit ---- */

static struct tcg_block *tagged(struct tcg_block *blk, unsigned n)
{
    return (struct tcg_block *)((uintptr_t)blk | n);
}

static struct tcg_block *untagged(struct tcg_block *link, unsigned *n)
{
    *n = (uintptr_t)link & 1;
    return (struct tcg_block *)((uintptr_t)link & ~(uintptr_t)1);
}

static void unchain(struct tcg *t, struct tcg_block *from, unsigned n)
{
    struct tcg_block *self = tagged(from, n), **at;

    if (!from->target[n])
        return;
    at = &from->target[n]->incoming;
    while (*at != self) {
        unsigned k;
        struct tcg_block *other = untagged(*at, &k);
        at = &other->next_in[k];
    }
    *at = from->next_in[n];
    from->next_in[n] = NULL;
    from->target[n] = NULL;
    if (t->host)
        t->host->link(t->host_state, from, n, NULL);
}

void tcg_chain(struct tcg *t, struct tcg_block *from, unsigned n, struct tcg_block *to)
{
    if (from->dropped || to->dropped || from->one_insn || to->one_insn || has_tail(to) ||
        from->target[n] == to)
        return;
    if (t->host && from->jump_at[n] == UINT32_MAX)
        return;
    unchain(t, from, n);
    from->target[n] = to;
    from->next_in[n] = to->incoming;
    to->incoming = tagged(from, n);
    if (t->host)
        t->host->link(t->host_state, from, n, to->code);
    t->stats.chains++;
}

/* ---- dropping ---- */

static void drop(struct tcg *t, struct tcg_block *blk)
{
    blk->dropped = true;
    hash_remove(t, blk);
    page_remove(t, page_of(blk->phys), blk);
    if (in_two_pages(blk))
        page_remove(t, page_of(blk->phys2), blk);
    unchain(t, blk, 0);
    unchain(t, blk, 1);
    while (blk->incoming) {
        unsigned n;
        struct tcg_block *from = untagged(blk->incoming, &n);
        unchain(t, from, n);
    }
    t->stats.invalidations++;
}

/* Bytes [first, last] as far as they lie in this page; its granules are counted afresh from the blocks that
 * stay. */
static unsigned drop_in_page(struct tcg *t, struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint64_t start = p->number << TCG_PAGE_BITS, kept = 0;
    struct tcg_block *blk, *next;
    unsigned dropped = 0;

    first = MAX_OF(first, start);
    last = MIN_OF(last, start + PAGE_SIZE - 1);
    if (!(p->granules & granules(first, last)))
        return 0;
    for (blk = p->blocks; blk; blk = next) {
        next = blk->next_page[link_no(blk, p->number)];
        if (overlaps(blk, first, last)) {
            drop(t, blk);
            dropped++;
        } else {
            kept |= block_granules(blk, p->number);
        }
    }
    p->granules = kept;
    return dropped;
}

static uint64_t last_byte(uint64_t ram_off, uint64_t len)
{
    return len - 1 > UINT64_MAX - ram_off ? UINT64_MAX : ram_off + len - 1;
}

/* A range of more pages than there are pages with code: look at those instead. */
static unsigned drop_in_all_pages(struct tcg *t, uint64_t first, uint64_t last)
{
    unsigned dropped = 0;

    for (unsigned i = 0; i < ARRAY_LEN(t->page); i++)
        for (struct tcg_page *p = t->page[i]; p; p = p->next)
            if (p->number >= page_of(first) && p->number <= page_of(last))
                dropped += drop_in_page(t, p, first, last);
    return dropped;
}

unsigned tcg_invalidate(struct tcg *t, uint64_t ram_off, uint64_t len)
{
    uint64_t last;
    unsigned dropped = 0;

    if (!len || !t->num_pages)
        return 0;
    last = last_byte(ram_off, len);
    if (page_of(last) - page_of(ram_off) >= ARRAY_LEN(t->page))
        return drop_in_all_pages(t, ram_off, last);
    for (uint64_t n = page_of(ram_off); n <= page_of(last); n++) {
        struct tcg_page *p = find_page(t, n);
        if (p)
            dropped += drop_in_page(t, p, ram_off, last);
    }
    return dropped;
}

static bool page_has(const struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint64_t start = p->number << TCG_PAGE_BITS;

    if (!(p->granules & granules(MAX_OF(first, start), MIN_OF(last, start + PAGE_SIZE - 1))))
        return false;
    for (struct tcg_block *blk = p->blocks; blk; blk = blk->next_page[link_no(blk, p->number)])
        if (overlaps(blk, first, last))
            return true;
    return false;
}

bool tcg_has_code(struct tcg *t, uint64_t ram_off, uint64_t len)
{
    uint64_t last;

    if (!len)
        return false;
    last = last_byte(ram_off, len);
    for (uint64_t n = page_of(ram_off); n <= page_of(last); n++) {
        struct tcg_page *p = find_page(t, n);
        if (p && page_has(p, ram_off, last))
            return true;
    }
    return false;
}

bool tcg_page_has_code(struct tcg *t, uint64_t ram_off)
{
    struct tcg_page *p = find_page(t, page_of(ram_off));

    return p && p->blocks;
}
