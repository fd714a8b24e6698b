/* Address spaces: the flat view, how it is built, and how threads look at it.
 *
 * A rebuild publishes a new view with one atomic store. Readers take no lock:
 * they count themselves in `readers` for the length of a lookup and take away
 * a copy of the range. A replaced view goes to the retire list, which is freed
 * at a rebuild that sees no reader after it has published: whoever comes later
 * finds the new view, so nobody can hold an old one. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "memory/internal.h"

/* A view under construction: sorted ranges that do not overlap, without holes. */
struct flat_builder {
    struct mem_range *ranges;
    uint32_t count, room;
};

static void builder_insert(struct flat_builder *b, uint32_t at, const struct mem_range *range)
{
    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 64;
        b->ranges = realloc(b->ranges, b->room * sizeof(*b->ranges));
        assert(b->ranges);
    }
    memmove(&b->ranges[at + 1], &b->ranges[at], (b->count - at) * sizeof(*b->ranges));
    b->ranges[at] = *range;
    b->count++;
}

/* `range` cut to [start, last]. */
static struct mem_range range_cut(const struct mem_range *range, uint64_t start, uint64_t last)
{
    struct mem_range cut = *range;
    uint64_t skip = start - range->start;
    cut.start = start;
    cut.last = last;
    if (cut.region)
        cut.offset += skip;
    if (cut.host) {
        cut.host += skip;
        cut.ram_off += skip;
    }
    return cut;
}

/* Put `range` where nothing is yet: what is there came from a stronger region. */
static void builder_fill(struct flat_builder *b, const struct mem_range *range)
{
    uint64_t at = range->start;
    for (uint32_t i = 0;;) {
        while (i < b->count && b->ranges[i].last < at)
            i++;
        bool blocked = i < b->count && b->ranges[i].start <= range->last;
        if (!blocked || b->ranges[i].start > at) {
            struct mem_range cut = range_cut(range, at, blocked ? b->ranges[i].start - 1 : range->last);
            builder_insert(b, i++, &cut);
        }
        if (!blocked || b->ranges[i].last >= range->last)
            return;
        at = b->ranges[i].last + 1;
    }
}

/* Draw region `r`, whose offset 0 is at address `base`, within [lo, hi]. The
 * base of an alias's target may be negative, or beyond 2^64. */
static void builder_draw(struct flat_builder *b, const struct mem_region *r, __int128 base, uint64_t lo,
                         uint64_t hi, bool readonly, unsigned depth)
{
    __int128 end = base + (__int128)r->size - 1;
    if (!r->enabled || depth > MEM_TREE_DEPTH || base > (__int128)hi || end < (__int128)lo)
        return;
    lo = base > (__int128)lo ? (uint64_t)base : lo;
    hi = end < (__int128)hi ? (uint64_t)end : hi;
    readonly |= r->readonly;
    if (r->kind == MEM_ALIAS) {
        if (r->target)
            builder_draw(b, r->target, base - (__int128)r->offset, lo, hi, readonly, depth + 1);
    } else if (r->kind == MEM_CONTAINER) {
        for (const struct mem_region *c = r->children; c; c = c->next)
            builder_draw(b, c, base + (__int128)c->addr, lo, hi, readonly, depth + 1);
    } else {
        uint64_t offset = (uint64_t)((__int128)lo - base);
        struct mem_range range = {
            .start = lo,
            .last = hi,
            .region = (struct mem_region *)r,
            .offset = offset,
            .host = r->host ? r->host + offset : NULL,
            .ram_off = r->host ? r->ram_off + offset : 0,
            .writable = r->kind == MEM_RAM && !readonly,
        };
        builder_fill(b, &range);
    }
}

/* Join neighbours that show consecutive parts of one region. */
static void builder_join(struct flat_builder *b)
{
    uint32_t out = 0;
    for (uint32_t i = 1; i < b->count; i++) {
        struct mem_range *prev = &b->ranges[out], *r = &b->ranges[i];
        if (prev->region == r->region && prev->writable == r->writable && prev->last + 1 == r->start &&
            prev->offset + (r->start - prev->start) == r->offset)
            prev->last = r->last;
        else
            b->ranges[++out] = *r;
    }
    if (b->count)
        b->count = out + 1;
}

static struct mem_flat *flat_build(const struct mem_region *root)
{
    static const struct mem_range hole = { .start = 0, .last = UINT64_MAX };
    struct flat_builder b = { 0 };
    builder_draw(&b, root, 0, 0, UINT64_MAX, false, 0);
    builder_join(&b);
    builder_fill(&b, &hole);
    struct mem_flat *flat = calloc(1, sizeof(*flat) + b.count * sizeof(*b.ranges));
    assert(flat);
    flat->count = b.count;
    memcpy(flat->ranges, b.ranges, b.count * sizeof(*b.ranges));
    free(b.ranges);
    return flat;
}

static bool flat_equal(const struct mem_flat *a, const struct mem_flat *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct mem_range *x = &a->ranges[i], *y = &b->ranges[i];
        if (x->start != y->start || x->last != y->last || x->region != y->region || x->offset != y->offset ||
            x->ram_off != y->ram_off || x->writable != y->writable)
            return false;
    }
    return true;
}

static void flat_free_list(struct mem_flat *flat)
{
    while (flat) {
        struct mem_flat *next = flat->retired;
        free(flat);
        flat = next;
    }
}

/* A change that leaves the view as it was (a BAR written with its old value) is no change. */
static void space_rebuild(struct mem_space *s)
{
    struct mem_flat *old = s->flat, *flat = flat_build(s->root);
    s->stale = false;
    if (flat_equal(old, flat)) {
        free(flat);
        return;
    }
    __atomic_store_n(&s->flat, flat, __ATOMIC_SEQ_CST);
    old->retired = s->retired;
    s->retired = old;
    if (!__atomic_load_n(&s->readers, __ATOMIC_SEQ_CST)) {
        flat_free_list(s->retired);
        s->retired = NULL;
    }
    if (s->changed)
        s->changed(s->opaque);
}

struct mem_space *mem_space_new(const char *name, struct mem_region *root, struct log *log)
{
    struct mem_space *s = calloc(1, sizeof(*s));
    assert(s);
    s->name = strdup(name);
    s->root = root;
    s->log = log;
    s->flat = flat_build(root);
    s->next = root->spaces;
    root->spaces = s;
    assert(s->name);
    return s;
}

void mem_space_free(struct mem_space *s)
{
    if (!s)
        return;
    struct mem_space **link = &s->root->spaces;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    flat_free_list(s->retired);
    free(s->flat);
    free(s->name);
    free(s);
}

void mem_space_touch(struct mem_space *s)
{
    s->stale = true;
    if (!s->nesting)
        space_rebuild(s);
}

void mem_space_begin(struct mem_space *s)
{
    s->nesting++;
}

void mem_space_commit(struct mem_space *s)
{
    assert(s->nesting);
    if (!--s->nesting && s->stale)
        space_rebuild(s);
}

void mem_space_set_listener(struct mem_space *s, void (*changed)(void *opaque), void *opaque)
{
    s->changed = changed;
    s->opaque = opaque;
}

struct mem_range mem_space_find(struct mem_space *s, uint64_t addr)
{
    __atomic_fetch_add(&s->readers, 1, __ATOMIC_SEQ_CST);
    struct mem_flat *flat = __atomic_load_n(&s->flat, __ATOMIC_SEQ_CST);
    uint32_t at = __atomic_load_n(&flat->hint, __ATOMIC_RELAXED);
    if (addr < flat->ranges[at].start || addr > flat->ranges[at].last) {
        uint32_t lo = 0, hi = flat->count - 1;
        while (lo < hi) {
            at = (lo + hi) / 2;
            if (flat->ranges[at].last < addr)
                lo = at + 1;
            else
                hi = at;
        }
        at = lo;
        __atomic_store_n(&flat->hint, at, __ATOMIC_RELAXED);
    }
    struct mem_range range = flat->ranges[at];
    __atomic_fetch_sub(&s->readers, 1, __ATOMIC_RELEASE);
    return range;
}

static const char *kind_name(const struct mem_region *r)
{
    static const char *const names[] = { "container", "ram", "rom", "i/o", "alias" };
    return names[r->kind];
}

static void print_tree(const struct mem_region *r, uint64_t base, unsigned depth,
                       void (*print)(void *opaque, const char *line), void *opaque)
{
    char line[256], detail[128] = "";
    if (depth > MEM_TREE_DEPTH)
        return;
    if (r->kind == MEM_ALIAS)
        snprintf(detail, sizeof(detail), " @%s %016" PRIx64,
                 r->target ? r->target->name : "(gone)", r->offset);
    snprintf(line, sizeof(line), "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s%s): %s%s%s",
             2 + 2 * (int)depth, "", base, base + r->size - 1, r->priority, kind_name(r),
             r->readonly ? ", read-only" : "", r->name, detail, r->enabled ? "" : " [disabled]");
    print(opaque, line);
    for (const struct mem_region *c = r->children; c; c = c->next)
        print_tree(c, base + c->addr, depth + 1, print, opaque);
}

void mem_space_print(struct mem_space *s, void (*print)(void *opaque, const char *line), void *opaque)
{
    char line[256];
    snprintf(line, sizeof(line), "address-space: %s", s->name);
    print(opaque, line);
    print_tree(s->root, 0, 0, print, opaque);
    snprintf(line, sizeof(line), "flat view: %s", s->name);
    print(opaque, line);
    for (uint32_t i = 0; i < s->flat->count; i++) {
        const struct mem_range *r = &s->flat->ranges[i];
        if (!r->region)
            continue;
        snprintf(line, sizeof(line), "  %016" PRIx64 "-%016" PRIx64 " (%s%s): %s @%016" PRIx64,
                 r->start, r->last, kind_name(r->region),
                 r->region->kind == MEM_RAM && !r->writable ? ", read-only" : "", r->region->name, r->offset);
        print(opaque, line);
    }
}
