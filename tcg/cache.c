/* The cache of blocks: finding by key, pages that hold code, chaining, dropping.
 *
 * Laws:
 * - A live block is in the hash once and in the list of each RAM page that it touches once; but a one_insn block
 *   that is not to be kept is in none. No one_insn block is ever chained.
 * - A dropped block cannot be entered: its first instruction leads to the run loop, whoever jumps to it (the
 *   interpreter looks at `dropped`). So chains and jump caches that still name it do no harm. It is not in the hash;
 *   its memory and code stay until the next flush, because somebody may be running it. One that a hot block has
 *   replaced is in its page's list until somebody goes through that anyway: a page with dropped blocks has live ones.
 * - Finding, chaining and running take no lock. Lists change under the lock of their page or of their part of the
 *   hash; a reader that stands on an element that is taken out goes on along the old way.
 * - A page's blocks and a store to it: the writer stores, then looks for blocks; who enters a block makes it
 *   visible, then compares the bytes with those that were translated. Between each two steps is a full barrier, so
 *   one of them sees the other. For this all stores must be told: the page is `watched`. Of a page that was quiet the
 *   second one makes the barrier in all threads: the writer's two steps are before or behind it, and need none.
 * - Lock order: pages by number, then the hash. */
#include <string.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/spin.h"
#include "tcg/cache.h"

#define PAGE_SIZE (UINT64_C(1) << TCG_PAGE_BITS)
_Static_assert(TCG_PAGE_BITS == 12, "one bit of a uint64_t per granule");

/* Loads and stores of what others change at the same time. */
#define GET(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define SET(p, v) __atomic_store_n(&(p), v, __ATOMIC_RELEASE)

/* ---- keys and ranges ---- */

static uint64_t page_of(uint64_t ram_off)
{
    return ram_off >> TCG_PAGE_BITS;
}

static uint32_t mix(uint64_t v, unsigned bits)
{
    return (uint32_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

/* Blocks of a page that are neighbours are neighbours here: code that runs for the first time meets cache lines that
 * it has just met. */
static uint32_t hash_key(uint64_t phys, uint32_t mode)
{
    uint32_t start = mix(page_of(phys) ^ (uint64_t)mode << 32, TCG_HASH_BITS);

    return (start + (uint32_t)(phys >> 2 & (PAGE_SIZE / 4 - 1))) & (uint32_t)MASK(TCG_HASH_BITS);
}

static uint64_t page_start(uint64_t phys2)
{
    return phys2 == UINT64_MAX ? phys2 : align_down(phys2, PAGE_SIZE);
}

/* The lowest byte in the page of the first one. */
static uint64_t head_start(const struct tcg_block *blk)
{
    return blk->phys - blk->before;
}

/* Bytes from the first one on that lie in its page. A block without bytes still stands on one. */
static unsigned rest_size(const struct tcg_block *blk)
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
    unsigned rest = rest_size(blk);

    return blk->size > rest ? blk->size - rest : 1;
}

/* Are these bytes nothing but what the block reads when it runs? */
static bool reads_live(const struct tcg_block *blk, uint64_t first, uint64_t last)
{
    for (unsigned n = 0; n < blk->num_live; n++) {
        uint64_t start = blk->phys + (uint64_t)(int64_t)blk->live[n].off;
        if (first >= start && last < start + blk->live[n].len)
            return true;
    }
    return false;
}

static bool overlaps(const struct tcg_block *blk, uint64_t first, uint64_t last)
{
    return ((first < blk->phys + rest_size(blk) && last >= head_start(blk)) ||
            (has_tail(blk) && first < blk->phys2 + tail_size(blk) && last >= blk->phys2)) &&
           !(blk->num_live && reads_live(blk, first, last));
}

bool tcg_block_holds(const struct tcg_block *blk, uint64_t ram_off, uint64_t len)
{
    return overlaps(blk, ram_off, ram_off + len - 1);
}

static uint64_t block_granules(const struct tcg_block *blk, uint64_t page)
{
    uint64_t g = 0;

    if (page_of(blk->phys) == page)
        g |= tcg_granules(head_start(blk), blk->phys + rest_size(blk) - 1);
    if (has_tail(blk) && page_of(blk->phys2) == page)
        g |= tcg_granules(blk->phys2, blk->phys2 + tail_size(blk) - 1);
    return g;
}

/* ---- pages ---- */

static struct tcg_page *find_page(const struct tcg_cache *c, uint64_t number)
{
    struct tcg_page *p = GET(c->page[mix(number, TCG_PAGE_HASH_BITS)]);

    while (p && p->number != number)
        p = p->next;
    return p;
}

/* NULL: no memory. */
static struct tcg_page *get_page(struct tcg_cache *c, uint64_t number)
{
    struct tcg_page **head = &c->page[mix(number, TCG_PAGE_HASH_BITS)], *p = find_page(c, number);

    if (p)
        return p;
    spin_lock(&c->page_lock);
    p = find_page(c, number);
    if (!p && (p = tcg_arena_alloc(&c->pages, sizeof(*p)))) {
        p->number = number;
        p->next = *head;
        SET(*head, p);
    }
    spin_unlock(&c->page_lock);
    return p;
}

/* Which of its links a block uses in the list of a page. */
static unsigned link_no(const struct tcg_block *blk, uint64_t page)
{
    return page_of(blk->phys) == page ? 0 : 1;
}

static struct tcg_block *next_in_page(const struct tcg_page *p, const struct tcg_block *blk)
{
    return GET(blk->next_page[link_no(blk, p->number)]);
}

static void set_granules(const struct tcg_cache *c, struct tcg_page *p, uint64_t g)
{
    SET(p->granules, g);
    if (c->opt.code_map)
        SET(c->opt.code_map[p->number], g);
}

static void page_add(const struct tcg_cache *c, struct tcg_page *p, struct tcg_block *blk)
{
    SET(blk->next_page[link_no(blk, p->number)], p->blocks);
    SET(p->blocks, blk);
    SET(p->gap[0], 0);
    SET(p->gap[1], 0);
    for (unsigned n = 0; n < IR_LIVES; n++)
        SET(p->rewritten[n], p->rewritten[n] & ~PLACE_FREE);
    p->idle = p->losses = 0;
    __atomic_store_n(&p->beside, 0, __ATOMIC_RELAXED);
    set_granules(c, p, p->granules | block_granules(blk, p->number));
}

/* With the page's lock held: take `blk` and all that were dropped out of its list. */
static void page_remove(struct tcg_page *p, const struct tcg_block *blk)
{
    struct tcg_block **at = &p->blocks;

    while (*at)
        if (*at == blk || tcg_is_dropped(*at))
            SET(*at, next_in_page(p, *at));
        else
            at = &(*at)->next_page[link_no(*at, p->number)];
}

/* Two guest pages may be the same page of RAM: then the block is in its list once. */
static bool in_two_pages(const struct tcg_block *blk)
{
    return has_tail(blk) && page_of(blk->phys2) != page_of(blk->phys);
}

/* ---- hash ---- */

static struct tcg_block *hash_find(const struct tcg_cache *c, uint64_t phys, uint64_t phys2, uint32_t mode)
{
    struct tcg_block *blk = GET(c->hash[hash_key(phys, mode)]);

    while (blk && (blk->phys != phys || blk->mode != mode || blk->phys2 != phys2 || tcg_is_dropped(blk)))
        blk = GET(blk->next_hash);
    return blk;
}

struct tcg_block *tcg_find(struct tcg *t, uint64_t phys, uint64_t phys2, uint32_t mode)
{
    return hash_find(t->cache, phys, page_start(phys2), mode);
}

static void hash_add(struct tcg_cache *c, struct tcg_block *blk)
{
    uint32_t key = hash_key(blk->phys, blk->mode);
    uint8_t *lock = &c->hash_lock[key % TCG_HASH_LOCKS];

    spin_lock(lock);
    blk->next_hash = c->hash[key];
    SET(c->hash[key], blk);
    spin_unlock(lock);
}

static void hash_remove(struct tcg_cache *c, struct tcg_block *blk)
{
    uint32_t key = hash_key(blk->phys, blk->mode);
    uint8_t *lock = &c->hash_lock[key % TCG_HASH_LOCKS];
    struct tcg_block **at = &c->hash[key];

    spin_lock(lock);
    while (*at && *at != blk)
        at = &(*at)->next_hash;
    if (*at)
        SET(*at, blk->next_hash);
    spin_unlock(lock);
}

/* ---- watching ---- */

uint32_t tcg_watch(struct tcg *t, uint64_t ram_off)
{
    struct tcg_page *p = get_page(t->cache, page_of(ram_off));
    uint8_t *flags = t->cache->opt.page_flags;
    uint32_t ticket = 0;

    if (!p || !flags || GET(p->watched))
        return 0;
    spin_lock(&p->lock);
    if (!p->watched) {
        __atomic_or_fetch(&flags[p->number], TCG_PAGE_CODE, __ATOMIC_SEQ_CST);
        while (!(ticket = __atomic_add_fetch(&t->cache->tickets, 1, __ATOMIC_RELAXED)))
            ;
        p->watch = ticket;
    }
    spin_unlock(&p->lock);
    return ticket;
}

void tcg_watch_done(struct tcg *t, uint64_t ram_off, uint32_t ticket)
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));

    if (!p)
        return; /* it went with a flush */
    spin_lock(&p->lock);
    if (p->watch == ticket)
        SET(p->watched, true);
    spin_unlock(&p->lock);
}

void tcg_unwatch(struct tcg *t, uint64_t ram_off)
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));
    uint8_t *flags = t->cache->opt.page_flags;

    if (!p) /* its blocks went with a flush */
        p = get_page(t->cache, page_of(ram_off));
    if (!p || !flags)
        return;
    spin_lock(&p->lock);
    if (!p->blocks && ++p->idle >= TCG_WATCH_IDLE) {
        SET(p->watched, false);
        p->watch = 0;
        __atomic_and_fetch(&flags[p->number], (uint8_t)~(TCG_PAGE_CODE | TCG_PAGE_QUIET), __ATOMIC_SEQ_CST);
    }
    spin_unlock(&p->lock);
}

/* ---- stores beside the code ---- */

void tcg_beside(struct tcg *t, uint64_t ram_off)
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));
    uint8_t times;

    if (!p || !t->cache->may_be_quiet)
        return;
    times = (uint8_t)(__atomic_load_n(&p->beside, __ATOMIC_RELAXED) + 1); /* others count too: it need not be exact */
    __atomic_store_n(&p->beside, times, __ATOMIC_RELAXED);
    if (times < TCG_QUIET_AFTER)
        return;
    spin_lock(&p->lock);
    if (p->watched)
        __atomic_or_fetch(&t->cache->opt.page_flags[p->number], TCG_PAGE_QUIET, __ATOMIC_SEQ_CST);
    __atomic_store_n(&p->beside, 0, __ATOMIC_RELAXED);
    spin_unlock(&p->lock);
}

/* The page is going to have one more block: was it quiet? With its lock held. */
static bool end_quiet(const struct tcg_cache *c, const struct tcg_page *p)
{
    uint8_t *flags = c->opt.page_flags;

    if (!p || !flags || !(GET(flags[p->number]) & TCG_PAGE_QUIET))
        return false;
    __atomic_and_fetch(&flags[p->number], (uint8_t)~TCG_PAGE_QUIET, __ATOMIC_SEQ_CST);
    return true;
}

/* ---- clearing ---- */

void tcg_cache_clear(struct tcg_cache *c)
{
    for (unsigned i = 0; i < ARRAY_LEN(c->page); i++)
        for (struct tcg_page *p = c->page[i]; p; p = p->next)
            set_granules(c, p, 0);
    memset(c->hash, 0, sizeof(c->hash));
    memset(c->page, 0, sizeof(c->page));
}

/* ---- chains: a list of (block, exit) per target, the exit number in the pointer's low bits.
 *
 * An exit belongs to whoever has set its target: it is put into the target's list, and taken out when the target is
 * dropped. A dropped block's own exits stay where they are. ---- */

static struct tcg_block *tagged(struct tcg_block *blk, unsigned n)
{
    return (struct tcg_block *)((uintptr_t)blk | n);
}

static struct tcg_block *untagged(struct tcg_block *link, unsigned *n)
{
    *n = (uintptr_t)link & MASK(TCG_EXIT_BITS);
    return (struct tcg_block *)((uintptr_t)link & ~(uintptr_t)MASK(TCG_EXIT_BITS));
}

/* Instead of a list: nobody may chain here any more. */
#define CLOSED tagged(NULL, 1)

static void link_exit(struct tcg *t, struct tcg_block *from, unsigned n, const void *to)
{
    if (t->host)
        t->host->link(t->host_state, from, n, to);
}

static void unchain(struct tcg *t, struct tcg_block *from, unsigned n)
{
    link_exit(t, from, n, NULL);
    SET(from->exit[n].target, NULL);
}

void tcg_chain(struct tcg *t, struct tcg_block *from, unsigned n, struct tcg_block *to)
{
    struct tcg_block *none = NULL, *head;

    if (tcg_is_dropped(from) || from->one_insn || to->one_insn || has_tail(to) ||
        (t->host && !from->exit[n].jump_at))
        return;
    if (!__atomic_compare_exchange_n(&from->exit[n].target, &none, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return;
    link_exit(t, from, n, to->code);
    head = GET(to->incoming);
    do {
        if (head == CLOSED) {
            unchain(t, from, n);
            return;
        }
        SET(from->exit[n].next_in, head);
    } while (!__atomic_compare_exchange_n(&to->incoming, &head, tagged(from, n), false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    t->stats.chains++;
}

/* ---- closing ---- */

/* Its pages are the caller's work, or that of who goes through their lists next. */
static void drop(struct tcg *t, struct tcg_block *blk)
{
    struct tcg_block *link, *next;
    unsigned n;

    hash_remove(t->cache, blk);
    for (link = __atomic_exchange_n(&blk->incoming, CLOSED, __ATOMIC_ACQ_REL); link && link != CLOSED; link = next) {
        struct tcg_block *from = untagged(link, &n);
        next = GET(from->exit[n].next_in);
        unchain(t, from, n);
    }
}

/* From now on it cannot be entered. False: somebody else said so before, and does the rest. Counted before it leaves
 * any list: tcg_runs_at(). */
static bool close_block(struct tcg *t, struct tcg_block *blk)
{
    if (t->host)
        t->host->close(t->host_state, blk);
    if (__atomic_exchange_n(&blk->dropped, true, __ATOMIC_ACQ_REL))
        return false;
    __atomic_fetch_add(&t->cache->invalidations, 1, __ATOMIC_SEQ_CST);
    return true;
}

/* Take it out of its other page, if there is one. */
static void leave_other_page(struct tcg *t, const struct tcg_page *p, struct tcg_block *blk)
{
    uint64_t number = page_of(blk->phys) == p->number ? page_of(blk->phys2) : page_of(blk->phys);
    struct tcg_page *other;

    if (!in_two_pages(blk) || !(other = find_page(t->cache, number)))
        return;
    spin_lock(&other->lock);
    page_remove(other, blk);
    spin_unlock(&other->lock);
}

/* ---- entering ---- */

static bool is_watched(const struct tcg_cache *c, const struct tcg_page *p)
{
    return !c->opt.page_flags || p->watched;
}

static bool same(const uint8_t *live, const uint8_t *copy, unsigned n)
{
    while (n && __atomic_load_n(live, __ATOMIC_RELAXED) == *copy)
        live++, copy++, n--;
    return !n;
}

/* Are the bytes in memory still those that were translated? */
static bool bytes_same(const struct tcg_block *blk, const struct tcg_source *src)
{
    unsigned rest = MIN_OF(rest_size(blk), (unsigned)blk->size);

    return !src || (same(src->host[0], src->copy[0], blk->before + rest) &&
                    (!has_tail(blk) || same(src->host[1], src->copy[1], blk->size - rest)));
}

/* With both pages locked. */
static struct tcg_block *enter(struct tcg *t, struct tcg_block *blk, struct tcg_page *head, struct tcg_page *tail,
                               const struct tcg_source *src, enum tcg_miss *why)
{
    struct tcg_block *other = hash_find(t->cache, blk->phys, blk->phys2, blk->mode);
    bool quiet;

    if (other && (other->hot || !blk->hot))
        return other;
    *why = TCG_STALE;
    if (!is_watched(t->cache, head) || (tail && !is_watched(t->cache, tail)))
        return NULL;
    quiet = end_quiet(t->cache, head);
    quiet |= end_quiet(t->cache, tail);
    page_add(t->cache, head, blk);
    if (tail)
        page_add(t->cache, tail, blk);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (quiet)
        barrier_reach_all();
    if (!bytes_same(blk, src)) {
        page_remove(head, blk);
        if (tail)
            page_remove(tail, blk);
        return NULL;
    }
    hash_add(t->cache, blk);
    if (other && close_block(t, other))
        drop(t, other);
    return blk;
}

struct tcg_block *tcg_cache_insert(struct tcg *t, struct tcg_block *blk, const struct tcg_source *src,
                                   enum tcg_miss *why)
{
    struct tcg_page *head, *tail = NULL, *first, *second;

    blk->phys2 = page_start(blk->phys2);
    head = get_page(t->cache, page_of(blk->phys));
    if (in_two_pages(blk))
        tail = get_page(t->cache, page_of(blk->phys2));
    *why = TCG_FULL;
    if (!head || (in_two_pages(blk) && !tail))
        return NULL;
    first = tail && tail->number < head->number ? tail : head;
    second = first == head ? tail : head;
    spin_lock(&first->lock);
    if (second)
        spin_lock(&second->lock);
    blk = enter(t, blk, head, tail, src, why);
    if (second)
        spin_unlock(&second->lock);
    spin_unlock(&first->lock);
    return blk;
}

/* ---- dropping what was written to ---- */

/* Make the gap [lo, hi) around bytes [first, last] end where bytes [from, to] are. */
static void narrow(uint64_t *lo, uint64_t *hi, uint64_t first, uint64_t last, uint64_t from, uint64_t to)
{
    if (to >= first)
        *hi = MIN_OF(*hi, from);
    if (from <= last)
        *lo = MAX_OF(*lo, to + 1);
}

/* Bytes of one page that are rewritten at once, at most TCG_REWRITE_LEN of them. */
static uint16_t place_of(uint64_t first, uint64_t last)
{
    return (uint16_t)((first & (PAGE_SIZE - 1)) | (last - first) << TCG_PAGE_BITS);
}

static unsigned place_len(uint16_t place)
{
    return ((place & PLACE_LEN) >> TCG_PAGE_BITS) + 1;
}

/* With the page's lock held. */
static void note_free(struct tcg_page *p, uint64_t first, uint64_t last)
{
    for (unsigned n = 0; n < IR_LIVES; n++)
        if (last - first < TCG_REWRITE_LEN && p->rewrites[n] && p->rewritten[n] == place_of(first, last))
            SET(p->rewritten[n], p->rewritten[n] | PLACE_FREE);
}

/* No block of the page holds these bytes: what there is around them is remembered, the latest first, until a block is
 * added. Bytes that blocks read when they run leave no gap: lo > first, or hi <= last. They are free as a place that is
 * rewritten, as long as no block is added. With the page's lock held. */
static void note_gap(struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint64_t start = p->number << TCG_PAGE_BITS, lo = start, hi = start + PAGE_SIZE;

    for (const struct tcg_block *blk = p->blocks; blk; blk = next_in_page(p, blk)) {
        if (tcg_is_dropped(blk))
            continue;
        if (page_of(blk->phys) == p->number)
            narrow(&lo, &hi, first, last, head_start(blk), blk->phys + rest_size(blk) - 1);
        if (has_tail(blk) && page_of(blk->phys2) == p->number)
            narrow(&lo, &hi, first, last, blk->phys2, blk->phys2 + tail_size(blk) - 1);
    }
    if (lo > first || hi <= last) {
        note_free(p, first, last);
        return;
    }
    SET(p->gap[1], p->gap[0]);
    SET(p->gap[0], (uint32_t)(lo - start) | (uint32_t)(hi - start) << 16);
}

static bool in_gap(const struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint32_t from = first & (PAGE_SIZE - 1), to = last & (PAGE_SIZE - 1);

    for (unsigned n = 0; n < ARRAY_LEN(p->gap); n++) {
        uint32_t gap = GET(p->gap[n]);
        if (from >= (gap & UINT16_MAX) && to < gap >> 16)
            return true;
    }
    return false;
}

static bool is_free(const struct tcg_page *p, uint64_t first, uint64_t last)
{
    if (last - first >= TCG_REWRITE_LEN)
        return false;
    for (unsigned n = 0; n < IR_LIVES; n++)
        if (GET(p->rewritten[n]) == (place_of(first, last) | PLACE_FREE))
            return true;
    return false;
}

/* Bytes [first, last] as far as they lie in this page. */
static bool page_has(struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint64_t start = p->number << TCG_PAGE_BITS;
    bool found = false;

    first = MAX_OF(first, start);
    last = MIN_OF(last, start + PAGE_SIZE - 1);
    if (!(GET(p->granules) & tcg_granules(first, last)) || in_gap(p, first, last) || is_free(p, first, last))
        return false;
    spin_lock(&p->lock);
    for (const struct tcg_block *blk = p->blocks; blk && !found; blk = next_in_page(p, blk))
        found = overlaps(blk, first, last) && !tcg_is_dropped(blk);
    if (!found)
        note_gap(p, first, last);
    spin_unlock(&p->lock);
    return found;
}

/* Blocks were dropped because of a store to these bytes. What is rewritten least makes room. With the page's lock
 * held. */
static void note_rewrite(struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint16_t place = place_of(first, last);
    unsigned least = 0;

    for (unsigned n = 0; n < IR_LIVES; n++) {
        if (p->rewrites[n] && (p->rewritten[n] & ~PLACE_FREE) == place) {
            p->rewrites[n] += p->rewrites[n] < UINT8_MAX;
            return;
        }
        if (p->rewrites[n] < p->rewrites[least])
            least = n;
    }
    SET(p->rewritten[least], place);
    p->rewrites[least] = 1;
}

unsigned tcg_rewritten(struct tcg *t, uint64_t ram_off, struct ir_live live[IR_LIVES])
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));
    unsigned num = 0, start = ram_off & (PAGE_SIZE - 1);

    if (!p)
        return 0;
    spin_lock(&p->lock);
    for (unsigned n = 0; n < IR_LIVES; n++) {
        unsigned off = p->rewritten[n] & (PAGE_SIZE - 1);
        if (p->rewrites[n] >= TCG_REWRITE_OFTEN && off >= start)
            live[num++] = (struct ir_live){ (int16_t)(off - start), (uint8_t)place_len(p->rewritten[n]) };
    }
    spin_unlock(&p->lock);
    return num;
}

/* Bytes [first, last] as far as they lie in this page; its granules are counted afresh from the blocks that
 * stay. A page that is overwritten bit by bit loses the rest of its blocks at once: looking for the next ones to be
 * dropped among all the others, for each store, costs more than the page is worth. */
static unsigned drop_in_page(struct tcg *t, struct tcg_page *p, uint64_t first, uint64_t last)
{
    uint64_t start = p->number << TCG_PAGE_BITS, kept = 0;
    struct tcg_block *blk, **at = &p->blocks, *gone = NULL;
    unsigned dropped = 0;
    bool all;

    first = MAX_OF(first, start);
    last = MIN_OF(last, start + PAGE_SIZE - 1);
    if (!page_has(p, first, last))
        return 0;
    spin_lock(&p->lock);
    all = p->losses >= TCG_MAX_LOSSES;
    while ((blk = *at)) {
        if (!tcg_is_dropped(blk) && (all || overlaps(blk, first, last)) && close_block(t, blk)) {
            blk->next_gone = gone;
            gone = blk;
        }
        if (tcg_is_dropped(blk)) {
            SET(*at, next_in_page(p, blk));
            continue;
        }
        kept |= block_granules(blk, p->number);
        at = &blk->next_page[link_no(blk, p->number)];
    }
    set_granules(t->cache, p, kept);
    p->losses += gone && !all;
    if (gone && last - first < TCG_REWRITE_LEN)
        note_rewrite(p, first, last);
    spin_unlock(&p->lock);
    for (; gone; gone = gone->next_gone, dropped++) {
        leave_other_page(t, p, gone);
        drop(t, gone);
    }
    return dropped;
}

static uint64_t last_byte(uint64_t ram_off, uint64_t len)
{
    return len - 1 > UINT64_MAX - ram_off ? UINT64_MAX : ram_off + len - 1;
}

/* A range of more pages than there are pages with code: look at those instead. */
static unsigned drop_in_all_pages(struct tcg *t, uint64_t first, uint64_t last)
{
    struct tcg_cache *c = t->cache;
    unsigned dropped = 0;

    for (unsigned i = 0; i < ARRAY_LEN(c->page); i++)
        for (struct tcg_page *p = GET(c->page[i]); p; p = p->next)
            if (p->number >= page_of(first) && p->number <= page_of(last))
                dropped += drop_in_page(t, p, first, last);
    return dropped;
}

unsigned tcg_invalidate(struct tcg *t, uint64_t ram_off, uint64_t len)
{
    uint64_t last;
    unsigned dropped = 0;

    if (!len)
        return 0;
    last = last_byte(ram_off, len);
    if (page_of(last) - page_of(ram_off) >= ARRAY_LEN(t->cache->page))
        return drop_in_all_pages(t, ram_off, last);
    for (uint64_t n = page_of(ram_off); n <= page_of(last); n++) {
        struct tcg_page *p = find_page(t->cache, n);
        if (p)
            dropped += drop_in_page(t, p, ram_off, last);
    }
    return dropped;
}

bool tcg_has_code(struct tcg *t, uint64_t ram_off, uint64_t len)
{
    uint64_t last;

    if (!len)
        return false;
    last = last_byte(ram_off, len);
    for (uint64_t n = page_of(ram_off); n <= page_of(last); n++) {
        struct tcg_page *p = find_page(t->cache, n);
        if (p && page_has(p, ram_off, last))
            return true;
    }
    return false;
}

bool tcg_none_dropped(const struct tcg *t)
{
    return GET(t->cache->invalidations) == t->drops_seen;
}

bool tcg_runs_at(struct tcg *t, void *env, uint64_t ram_off, unsigned size)
{
    bool listed = tcg_has_code(t, ram_off, size);
    uint64_t drops = GET(t->cache->invalidations);
    struct tcg_block *blk;

    if ((!listed && drops == t->drops_seen) || !(blk = tcg_current(t, env)) || blk->one_insn)
        return false;
    if (!tcg_is_dropped(blk))
        t->drops_seen = drops;
    return tcg_block_holds(blk, ram_off, size);
}

enum tcg_near tcg_near(struct tcg *t, uint64_t ram_off, unsigned size)
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));
    uint64_t used = p ? GET(p->granules) : 0;

    if (used & tcg_granules(ram_off, ram_off + size - 1))
        return TCG_NEAR_BLOCKS;
    return used ? TCG_NEAR_OTHERS : TCG_NEAR_NOTHING;
}

bool tcg_page_has_code(struct tcg *t, uint64_t ram_off)
{
    struct tcg_page *p = find_page(t->cache, page_of(ram_off));

    return p && GET(p->blocks);
}
