/* The inside of struct tcg, shared by tcg.c (life, translation, running), cache.c (finding and dropping
 * blocks) and interp.c. */
#ifndef MIMUS_TCG_CACHE_H
#define MIMUS_TCG_CACHE_H

#include "tcg/tcg.h"

#define TCG_HASH_BITS 16
#define TCG_PAGE_HASH_BITS 14
#define TCG_MAX_BLOCKS (1u << 20)

/* A RAM page that has or had blocks. */
struct tcg_page {
    uint64_t number;          /* RAM offset >> TCG_PAGE_BITS */
    uint64_t granules;        /* which 64-byte granules blocks touch; may say too many, never too few */
    /* linked by next_page[0] if their first byte is in this page, else by next_page[1] */
    struct tcg_block *blocks;
    struct tcg_page *next;    /* in the hash */
};

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

struct tcg {
    const struct tcg_guest *guest;
    struct tcg_options opt;
    struct log *log;
    struct ir_builder *builder;
    const struct tcg_host *host;   /* NULL: interpreter */
    void *host_state;
    struct tcg_code_buf code;      /* host code of blocks; `start` is behind the thunks */
    struct tcg_arena code_map;     /* the whole executable mapping */
    struct tcg_arena data;         /* blocks, pages, the interpreter's IR */
    struct tcg_block **block;      /* [TCG_MAX_BLOCKS] in order of allocation, so also of code address */
    uint32_t num_blocks;
    uint32_t num_pages;
    bool running;                  /* in host code */
    struct tcg_interp interp;
    struct tcg_stats stats;
    struct tcg_block *hash[1u << TCG_HASH_BITS];
    struct tcg_page *page[1u << TCG_PAGE_HASH_BITS];
};

/* Zeroed memory from the arena, or NULL when it is used up. */
void *tcg_arena_alloc(struct tcg_arena *a, size_t size);
/* Enter a compiled block where tcg_find and the page functions see it. -1: the arena is used up. */
int tcg_cache_insert(struct tcg *t, struct tcg_block *blk);
/* Forget all blocks: hash, pages, block array. */
void tcg_cache_clear(struct tcg *t);

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
