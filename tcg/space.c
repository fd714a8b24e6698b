/* Memory of the cache: host code in spans that belong to one view until the next flush, so that two views never
 * write into each other's; descriptions of blocks alike; and the index from host address to block. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/error.h"
#include "tcg/cache.h"

#define DEFAULT_CACHE ((size_t)256 << 20)
#define MIN_CACHE ((size_t)5 << 19)   /* room for the thunks and a largest possible block */
#define DATA_SPAN ((size_t)64 << 10)

/* Address space that costs memory only where it is touched. */
static int reserve(struct tcg_arena *a, size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    a->start = a->at = p;
    a->end = a->start + size;
    return 0;
}

static void release(struct tcg_arena *a)
{
    if (a->start)
        munmap(a->start, (size_t)(a->end - a->start));
}

int tcg_space_init(struct tcg_cache *c, struct error *err)
{
    size_t size = align_up(c->opt.cache_size ? MAX_OF(c->opt.cache_size, MIN_CACHE) : DEFAULT_CACHE, TCG_UNIT_SIZE);
    int ret = reserve(&c->data, size, PROT_READ | PROT_WRITE);

    c->num_units = (uint32_t)(size >> TCG_UNIT_BITS);
    c->opt.cache_size = size;
    if (!ret)
        ret = reserve(&c->pages, TCG_MAX_PAGES * 64, PROT_READ | PROT_WRITE);
    if (!ret && c->host)
        ret = reserve(&c->index, c->num_units * TCG_UNIT_BLOCKS * sizeof(struct tcg_block *), PROT_READ | PROT_WRITE);
    c->unit_blocks = calloc(c->num_units, sizeof(*c->unit_blocks));
    if (ret || !c->unit_blocks)
        return error_set(err, -ENOMEM, "tcg: no memory for the translation cache");
    ret = c->host ? reserve(&c->code, size, PROT_READ | PROT_WRITE | PROT_EXEC) : 0;
    return ret ? error_set(err, ret, "tcg: the host refuses executable memory: %s", strerror(-ret)) : 0;
}

static struct tcg_block **unit_index(const struct tcg_cache *c, uint32_t unit)
{
    return (struct tcg_block **)(void *)c->index.start + (size_t)unit * TCG_UNIT_BLOCKS;
}

void tcg_space_free(struct tcg_cache *c)
{
    free(c->unit_blocks);
    release(&c->code);
    release(&c->data);
    release(&c->pages);
    release(&c->index);
}

void tcg_space_clear(struct tcg_cache *c)
{
    memset(c->unit_blocks, 0, c->num_units * sizeof(*c->unit_blocks));
    c->next_unit = 1;
    c->data.at = c->data.start;
    c->pages.at = c->pages.start;
}

void *tcg_arena_alloc(struct tcg_arena *a, size_t size)
{
    uint8_t *p = a->at;

    size = align_up(size, 64);
    if (size > (size_t)(a->end - p))
        return NULL;
    a->at += size;
    return memset(p, 0, size);
}

/* A piece of the shared arena for this view alone. */
static bool take_data(struct tcg *t, size_t size)
{
    struct tcg_arena *a = &t->cache->data;
    uint8_t *at = __atomic_load_n(&a->at, __ATOMIC_RELAXED);

    size = align_up(size, DATA_SPAN);
    do {
        if (size > (size_t)(a->end - at))
            return false;
    } while (!__atomic_compare_exchange_n(&a->at, &at, at + size, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    t->data = (struct tcg_arena){ at, at, at + size };
    return true;
}

void *tcg_space_alloc(struct tcg *t, size_t size)
{
    void *p = tcg_arena_alloc(&t->data, size);

    return p || !take_data(t, size) ? p : tcg_arena_alloc(&t->data, size);
}

bool tcg_space_span(struct tcg *t, unsigned units)
{
    struct tcg_cache *c = t->cache;
    uint32_t unit = __atomic_load_n(&c->next_unit, __ATOMIC_RELAXED);

    do {
        if (units > c->num_units - unit)
            return false;
    } while (!__atomic_compare_exchange_n(&c->next_unit, &unit, unit + units, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    t->code.start = t->code.at = c->code.start + ((size_t)unit << TCG_UNIT_BITS);
    t->code.end = t->code.start + ((size_t)units << TCG_UNIT_BITS);
    return true;
}

static uint32_t unit_of(const struct tcg_cache *c, uintptr_t pc)
{
    return (uint32_t)((pc - (uintptr_t)c->code.start) >> TCG_UNIT_BITS);
}

void tcg_space_enter(struct tcg *t, struct tcg_block *blk)
{
    struct tcg_cache *c = t->cache;
    uint32_t unit = unit_of(c, (uintptr_t)blk->code), n = c->unit_blocks[unit];

    assert(n < TCG_UNIT_BLOCKS);
    unit_index(c, unit)[n] = blk;
    __atomic_store_n(&c->unit_blocks[unit], n + 1, __ATOMIC_RELEASE);
}

/* The last block that begins in `unit` at or below `pc`. */
static struct tcg_block *last_below(const struct tcg_cache *c, uint32_t unit, uintptr_t pc)
{
    struct tcg_block **block = unit_index(c, unit);
    uint32_t lo = 0, hi = __atomic_load_n(&c->unit_blocks[unit], __ATOMIC_ACQUIRE);

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((uintptr_t)block[mid]->code <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? block[lo - 1] : NULL;
}

struct tcg_block *tcg_space_block_at(const struct tcg_cache *c, uintptr_t pc)
{
    struct tcg_block *blk = NULL;
    uint32_t unit;

    if (pc < (uintptr_t)c->code.start || pc >= (uintptr_t)c->code.end)
        return NULL;
    unit = unit_of(c, pc);
    do
        blk = last_below(c, unit, pc);
    while (!blk && unit--);
    return blk && pc - (uintptr_t)blk->code < blk->code_size ? blk : NULL;
}
