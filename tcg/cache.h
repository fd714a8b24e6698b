/* The inside of the translator, shared by tcg.c (life, translation, running), cache.c (finding and dropping
 * blocks), space.c (memory for code and data) and interp.c. */
#ifndef MIMUS_TCG_CACHE_H
#define MIMUS_TCG_CACHE_H

#include <pthread.h>

#include "tcg/tcg.h"

#define TCG_HASH_BITS 20
#define TCG_PAGE_HASH_BITS 14
#define TCG_HASH_LOCKS 256
#define TCG_MAX_PAGES (UINT64_C(1) << 20)

/* Host code is given to views in spans of units. A unit knows the blocks that begin in it. */
#define TCG_UNIT_BITS 16
#define TCG_UNIT_SIZE ((size_t)1 << TCG_UNIT_BITS)
#define TCG_UNIT_BLOCKS (TCG_UNIT_SIZE / 32)   /* no block is shorter */

#define TCG_REWRITE_LEN 8     /* bytes that are rewritten at once and remembered: no immediate is longer */
#define TCG_REWRITE_OFTEN 2
#define PLACE_LEN 0x7000
#define PLACE_FREE 0x8000     /* no block of the page holds the bytes, but those that read them when they run */
#define TCG_MAX_LOSSES 32     /* so many stores in a row that drop blocks: a page becomes something else */

/* A RAM page that has or had blocks. */
struct tcg_page {
    uint64_t number;          /* RAM offset >> TCG_PAGE_BITS */
    uint64_t granules;        /* which 64-byte granules blocks touch; may say too many, never too few */
    /* linked by next_page[0] if their first byte is in this page, else by next_page[1] */
    struct tcg_block *blocks;
    struct tcg_page *next;    /* in the hash */
    uint32_t watch;           /* ticket of the tcg_watch() that was begun last, 0: none; under lock, as the rest */
    bool watched;             /* every store to the page is told */
    uint8_t idle;             /* how many were told since it had blocks */
    uint8_t losses;           /* how many have dropped blocks since one was added */
    uint8_t beside;           /* how many have gone beside the blocks since then, about */
    uint8_t lock;             /* base/spin.h */
    /* Bytes whose rewriting has dropped blocks, and how often: offset in the page | length - 1 << 12 | PLACE_FREE. */
    uint8_t rewrites[IR_LIVES];
    uint16_t rewritten[IR_LIVES];
    /* Bytes of the page that no block touches, where data beside code were stored last: the first one | the one behind
     * the last << 16; 0: nothing. */
    uint32_t gap[2];
};
_Static_assert(sizeof(struct tcg_page) == 64, "one cache line; TCG_MAX_PAGES of them are reserved");

/* Memory handed out upwards and given back all at once. */
struct tcg_arena {
    uint8_t *start, *at, *end;
};

/* What the interpreter is doing: read by tcg_fault_offset and tcg_current. */
struct tcg_interp {
    struct tcg_block *block;   /* NULL: not running */
    uint32_t insn;             /* index of the instruction that may be calling out */
    uint32_t host_mxcsr;       /* to be restored when it stops */
    uint64_t value[IR_MAX_INSNS];
};

/* What all processors have in common. Whatever is reached from hash and pages stays in memory until the next flush,
 * for which everybody stands still: so look-ups need no lock. */
struct tcg_cache {
    const struct tcg_guest *guest;
    struct tcg_options opt;
    struct log *log;
    const struct tcg_host *host;   /* NULL: interpreter */
    struct tcg_arena code;         /* executable; unit 0 holds the thunks */
    struct tcg_arena data;         /* blocks, the interpreter's IR */
    struct tcg_arena pages;        /* struct tcg_page */
    struct tcg_arena index;        /* block pointers: TCG_UNIT_BLOCKS for each unit, by address of their code */
    uint32_t *unit_blocks;         /* how many begin in a unit */
    uint32_t num_units, next_unit;
    uint32_t generation;           /* counts flushes */
    uint32_t next_heat;            /* warm blocks count where the ones made before and after them do, in the same lines */
    uint32_t tickets;              /* of tcg_watch(), never the same for two: a page of another life has none of them */
    uint64_t invalidations;
    bool may_be_quiet;             /* a barrier can reach all threads */
    pthread_mutex_t views_lock;
    struct tcg *views;
    struct tcg_block *hash[1u << TCG_HASH_BITS];
    uint8_t hash_lock[TCG_HASH_LOCKS];
    struct tcg_page *page[1u << TCG_PAGE_HASH_BITS];
    uint8_t page_lock;             /* adding to `page` */
};

/* One processor's view: its workshop and where it puts what it makes. */
struct tcg {
    struct tcg_cache *cache;
    const struct tcg_guest *guest;
    const struct tcg_host *host;
    void *host_state;
    struct ir_builder *builder;
    uint32_t generation;           /* of the cache when the spans below were taken */
    struct tcg_code_buf code;
    struct tcg_arena data;
    bool running;                  /* in host code */
    struct tcg_interp interp;
    uint64_t drops_seen;           /* invalidations when the block that ran was found in the lists: tcg_runs_at() */
    struct tcg_stats stats;
    struct tcg *next;              /* of the cache's views */
};

/* ---- space.c ---- */

/* Reserve everything. 0 or -errno with `err`. */
int tcg_space_init(struct tcg_cache *c, struct error *err);
void tcg_space_free(struct tcg_cache *c);
/* Everything is free again; `pages` too. */
void tcg_space_clear(struct tcg_cache *c);
/* Zeroed memory, or NULL when it is used up. */
void *tcg_space_alloc(struct tcg *t, size_t size);
/* A new span of at least `units` for this view's code. False: used up. */
bool tcg_space_span(struct tcg *t, unsigned units);
/* A block was compiled. */
void tcg_space_enter(struct tcg *t, struct tcg_block *blk);
/* The block whose code holds `pc`, or NULL. */
struct tcg_block *tcg_space_block_at(const struct tcg_cache *c, uintptr_t pc);
/* Zeroed, from arena `a`, by any thread under a lock. NULL: used up. */
void *tcg_arena_alloc(struct tcg_arena *a, size_t size);

/* ---- cache.c ---- */

/* Enter a compiled block where tcg_find and the page functions see it, unless the pages are no longer watched or the
 * bytes have changed (TCG_STALE), or there is no memory (TCG_FULL). Returns the block to be used: another one if
 * somebody was faster. */
struct tcg_block *tcg_cache_insert(struct tcg *t, struct tcg_block *blk, const struct tcg_source *src,
                                   enum tcg_miss *why);
/* Forget all blocks and pages. */
void tcg_cache_clear(struct tcg_cache *c);

static inline bool tcg_is_dropped(const struct tcg_block *blk)
{
    return __atomic_load_n(&blk->dropped, __ATOMIC_ACQUIRE);
}

/* Flags of instruction `fl` of the interpreter's block become the guest's flags. */
void tcg_interp_commit(struct tcg *t, void *env, ir_ref fl);
/* The interpreter was left by an exception or stops: give the guest's vector control word back, restore the
 * host's. */
void tcg_interp_leave(struct tcg *t, void *env);

static inline void *tcg_field(void *env, uint64_t offset)
{
    return (uint8_t *)env + offset;
}

#endif
