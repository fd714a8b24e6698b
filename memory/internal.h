/* What the files of memory/ share. */
#ifndef MIMUS_MEMORY_INTERNAL_H
#define MIMUS_MEMORY_INTERNAL_H

#include "memory/memory.h"

#define MEM_TREE_DEPTH 32 /* deeper nesting (an alias of its own ancestor) is not followed */

struct memory {
    uint8_t *base;
    uint64_t max_size;
    uint64_t used; /* bytes handed out */
    uint8_t *page_flags;
    uint64_t *code_map;
    uint8_t *written;           /* a bit for each byte from written_off on; NULL: nothing is tracked */
    uint64_t written_off, written_len;
    struct log *log;
    void (*code_written)(void *opaque, uint64_t ram_off, uint64_t len);
    void *code_opaque;
    void (*cleaned)(void *opaque, uint64_t ram_off, uint64_t len);
    void *cleaned_opaque;
};

struct mem_region {
    enum mem_kind kind;
    char *name;
    uint64_t size;
    bool readonly;
    bool enabled;
    int priority;
    uint64_t addr;               /* within parent */
    struct mem_region *parent;
    struct mem_region *children; /* strongest first */
    struct mem_region *next;     /* sibling */
    struct mem_space *spaces;    /* spaces that have this region as their root */

    struct memory *mem;          /* RAM, ROM */
    uint64_t ram_off;
    uint8_t *host;

    struct mem_ops ops;          /* I/O, with the defaults of the access sizes filled in */
    void *opaque;

    struct mem_region *target;   /* alias: what it shows */
    uint64_t offset;             /* alias: from where */
    struct mem_region *aliases;  /* aliases that show this region */
    struct mem_region *next_alias;
};

/* A flat view covers all 2^64 addresses: holes are ranges without a region. Constant once published. */
struct mem_flat {
    struct mem_flat *retired; /* next on the retire list */
    uint32_t hint;            /* index of the last hit; any value is correct */
    uint32_t count;
    struct mem_range ranges[];
};

struct mem_space {
    char *name;
    struct mem_region *root;
    struct log *log;
    struct mem_flat *flat;    /* published by an atomic store */
    struct mem_flat *retired; /* views that a reader may still hold */
    uint32_t readers;         /* threads inside mem_space_find() */
    unsigned nesting;         /* begin without commit */
    bool stale;
    void (*changed)(void *opaque);
    void *opaque;
    struct mem_space *next;   /* of the same root */
};

/* Hand out `size` bytes (rounded up to pages). 0 or -ENOMEM with `err` set. */
int memory_alloc(struct memory *mem, const char *name, uint64_t size, uint64_t *ram_off, struct error *err);
/* A region changed: rebuild (or mark) every space that can show it. */
void mem_region_changed(struct mem_region *r);
/* Rebuild now, or at the commit when inside begin ... commit. */
void mem_space_touch(struct mem_space *s);

#endif
