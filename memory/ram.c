/* RAM backing: one mapping, handed out page by page, and the page flags.
 * Pieces are never given back: a machine's RAM lives as long as the machine. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/error.h"
#include "memory/internal.h"

static int memory_map(struct memory *mem, struct error *err)
{
    /* Not shared, no file behind it: on Linux a page's first touch costs half as much. */
    void *p = mmap(NULL, mem->max_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return error_set(err, -errno, "cannot map %llu bytes of guest RAM: %s",
                         (unsigned long long)mem->max_size, strerror(errno));
    mem->base = p;
    mem->page_flags = calloc(1, mem->max_size >> MEM_PAGE_SHIFT);
    mem->code_map = calloc(sizeof(*mem->code_map), mem->max_size >> MEM_PAGE_SHIFT);
    if (!mem->page_flags || !mem->code_map)
        return error_set(err, -ENOMEM, "no memory for the page flags of guest RAM");
    return 0;
}

struct memory *memory_new(uint64_t max_size, struct log *log, struct error *err)
{
    struct memory *mem = calloc(1, sizeof(*mem));
    assert(mem && max_size && max_size < UINT64_C(1) << 52);
    mem->max_size = align_up(max_size, MEM_PAGE_SIZE);
    mem->log = log;
    if (memory_map(mem, err)) {
        memory_free(mem);
        return NULL;
    }
    return mem;
}

void memory_free(struct memory *mem)
{
    if (!mem)
        return;
    if (mem->base)
        munmap(mem->base, mem->max_size);
    free(mem->page_flags);
    free(mem->code_map);
    free(mem->written);
    free(mem);
}

int memory_alloc(struct memory *mem, const char *name, uint64_t size, uint64_t *ram_off, struct error *err)
{
    uint64_t rounded = align_up(size, MEM_PAGE_SIZE);
    if (rounded < size || rounded > mem->max_size - mem->used)
        return error_set(err, -ENOMEM, "%s: no room for %llu bytes of guest RAM", name,
                         (unsigned long long)size);
    *ram_off = mem->used;
    __atomic_store_n(&mem->used, mem->used + rounded, __ATOMIC_RELEASE);
    return 0;
}

uint8_t *memory_host(struct memory *mem, uint64_t ram_off)
{
    return mem->base + ram_off;
}

uint8_t *memory_page_flags(struct memory *mem)
{
    return mem->page_flags;
}

uint64_t *memory_code_map(struct memory *mem)
{
    return mem->code_map;
}

uint64_t memory_size(struct memory *mem)
{
    return __atomic_load_n(&mem->used, __ATOMIC_ACQUIRE);
}

/* ---- bytes ever written ---- */

int memory_track_writes(struct memory *mem, uint64_t ram_off, uint64_t len)
{
    mem->written = calloc(1, len / 8 + 1);
    mem->written_off = ram_off;
    mem->written_len = len;
    return mem->written ? 0 : -ENOMEM;
}

/* The part of [*off, *off+*len) that is tracked, relative to its start. */
static void clip_to_tracked(const struct memory *mem, uint64_t *off, uint64_t *len)
{
    uint64_t lo = MAX_OF(*off, mem->written_off);
    uint64_t hi = MIN_OF(*off + *len, mem->written_off + mem->written_len);

    *off = lo - mem->written_off;
    *len = hi > lo ? hi - lo : 0;
}

void memory_mark_written(struct memory *mem, uint64_t ram_off, uint64_t len)
{
    if (!mem->written)
        return;
    clip_to_tracked(mem, &ram_off, &len);
    for (uint64_t n; len; ram_off += n, len -= n) {
        n = MIN_OF(len, 8 - ram_off % 8);
        __atomic_fetch_or(&mem->written[ram_off / 8], (uint8_t)(MASK(n) << ram_off % 8), __ATOMIC_RELAXED);
    }
}

bool memory_was_written(const struct memory *mem, uint64_t ram_off, uint64_t len)
{
    if (!mem->written)
        return true;
    clip_to_tracked(mem, &ram_off, &len);
    for (; len; ram_off++, len--)
        if (!(__atomic_load_n(&mem->written[ram_off / 8], __ATOMIC_RELAXED) >> ram_off % 8 & 1))
            return false;
    return true;
}

void memory_set_code_listener(struct memory *mem,
                              void (*written)(void *opaque, uint64_t ram_off, uint64_t len), void *opaque)
{
    mem->code_written = written;
    mem->code_opaque = opaque;
}

void memory_set_clean_listener(struct memory *mem,
                               void (*cleaned)(void *opaque, uint64_t ram_off, uint64_t len), void *opaque)
{
    mem->cleaned = cleaned;
    mem->cleaned_opaque = opaque;
}

void mem_ram_written(struct memory *mem, uint64_t ram_off, uint64_t len)
{
    bool code = false;
    if (!len)
        return;
    assert(ram_off < mem->max_size && len <= mem->max_size - ram_off);
    memory_mark_written(mem, ram_off, len);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint64_t page = ram_off >> MEM_PAGE_SHIFT; page <= (ram_off + len - 1) >> MEM_PAGE_SHIFT; page++) {
        uint8_t flags = __atomic_load_n(&mem->page_flags[page], __ATOMIC_SEQ_CST);
        if (flags & MEM_PAGE_CLEAN_VGA)
            __atomic_fetch_and(&mem->page_flags[page], (uint8_t)~MEM_PAGE_CLEAN_VGA, __ATOMIC_SEQ_CST);
        code |= (flags & MEM_PAGE_CODE) != 0;
    }
    if (code && mem->code_written)
        mem->code_written(mem->code_opaque, ram_off, len);
}

bool mem_test_and_clear_dirty(struct memory *mem, uint64_t ram_off, uint64_t len)
{
    bool dirty = false;
    uint64_t run = 0; /* pages before `page` that have just turned clean */
    if (!len)
        return false;
    assert(ram_off < mem->max_size && len <= mem->max_size - ram_off);
    uint64_t page = ram_off >> MEM_PAGE_SHIFT, end = ((ram_off + len - 1) >> MEM_PAGE_SHIFT) + 1;
    for (;; page++) {
        bool turned = page < end && !(__atomic_fetch_or(&mem->page_flags[page], MEM_PAGE_CLEAN_VGA,
                                                        __ATOMIC_SEQ_CST) & MEM_PAGE_CLEAN_VGA);
        dirty |= turned;
        if (turned) {
            run++;
        } else if (run) {
            if (mem->cleaned)
                mem->cleaned(mem->cleaned_opaque, (page - run) << MEM_PAGE_SHIFT, run << MEM_PAGE_SHIFT);
            run = 0;
        }
        if (page >= end)
            return dirty;
    }
}
