/* Guest-physical memory and port space: regions, address spaces, DMA.
 *
 * A region is RAM, ROM, I/O (callbacks), an alias of another region, or a
 * container of regions. An address space is a root container seen flat: a
 * sorted list of ranges that is rebuilt when the tree changes. Both the memory
 * space and the port space are address spaces.
 *
 * All RAM and ROM of a machine lives in one mapping, so that a page of it has a
 * number, its RAM offset (`ram_off`). Everything that is remembered about a page
 * (translated code, dirty bits) is kept by RAM offset, whatever guest address
 * it is seen at.
 *
 * Locking: changing the tree and I/O callbacks need the machine lock; plain RAM access needs none. */
#ifndef MIMUS_MEMORY_MEMORY_H
#define MIMUS_MEMORY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_PAGE_SHIFT 12
#define MEM_PAGE_SIZE (UINT64_C(1) << MEM_PAGE_SHIFT)

struct log;
struct error;
struct memory;     /* all RAM of one machine: the mapping and the page flags */
struct mem_region;
struct mem_space;

/* ---- RAM backing ---- */

/* Page flags, one byte per page of it. A page with any of them set must
 * not be written through a fast path: mem_ram_written() has to be told. */
enum mem_page_flag {
    MEM_PAGE_CODE = 1,        /* translations exist: the code listener is told of writes */
    MEM_PAGE_CLEAN_VGA = 2,   /* display has seen the page: the first write clears the flag */
    MEM_PAGE_QUIET = 4,       /* with MEM_PAGE_CODE: stores beside the code need no barrier before they look for it */
};

/* Reserve room for `max_size` bytes of RAM and ROM in all. NULL with `err` set on failure. */
struct memory *memory_new(uint64_t max_size, struct log *log, struct error *err);
void memory_free(struct memory *mem);
uint8_t *memory_host(struct memory *mem, uint64_t ram_off);  /* host pointer to a RAM offset */
uint8_t *memory_page_flags(struct memory *mem);              /* indexed by ram_off >> MEM_PAGE_SHIFT */
uint64_t *memory_code_map(struct memory *mem);               /* the same; the translator says there where code is */
uint64_t memory_size(struct memory *mem);                    /* bytes allocated so far */

/* From now on remember which bytes of [ram_off, ram_off+len) are written, and regard none as written yet. Once;
 * -ENOMEM or 0. */
int memory_track_writes(struct memory *mem, uint64_t ram_off, uint64_t len);
/* The processor writes bytes; everybody else calls mem_ram_written(), which notes it too. Any thread. */
void memory_mark_written(struct memory *mem, uint64_t ram_off, uint64_t len);
/* Has each of the bytes that are tracked been written? */
bool memory_was_written(const struct memory *mem, uint64_t ram_off, uint64_t len);

/* Told after bytes [ram_off, ram_off+len) that carry MEM_PAGE_CODE were
 * changed by somebody else than translated code. Called with any thread's
 * context; the CPU room drops its translations there. */
void memory_set_code_listener(struct memory *mem,
                              void (*written)(void *opaque, uint64_t ram_off, uint64_t len), void *opaque);
/* The range, of any length, was written: serve the page flags (code listener, dirty display). A full barrier stands
 * between the stores before the call and the look at the flags, so whoever sets a flag and then reads the page misses
 * nothing. */
void mem_ram_written(struct memory *mem, uint64_t ram_off, uint64_t len);
/* Display dirty tracking: returns true if any page of the range was written
 * since the last call and marks the range clean (the clean listener is called). */
bool mem_test_and_clear_dirty(struct memory *mem, uint64_t ram_off, uint64_t len);
/* Told when pages have just got MEM_PAGE_CLEAN_VGA (page-aligned range): the CPU
 * room revokes its fast write permissions. A vCPU that keeps one for a while
 * after the call must report the page with mem_ram_written() when it drops it,
 * or a write in between is never displayed. Called with the machine lock held. */
void memory_set_clean_listener(struct memory *mem,
                               void (*cleaned)(void *opaque, uint64_t ram_off, uint64_t len), void *opaque);

/* ---- regions ---- */

enum mem_kind { MEM_CONTAINER, MEM_RAM, MEM_ROM, MEM_IO, MEM_ALIAS };

/* Callbacks take the offset within the region and the size of the access in
 * bytes. `valid` is what the bus accepts (others read as all ones, writes are
 * dropped, both logged); `impl` is what the callbacks are written for: the
 * core splits or widens accesses in between (a write narrower than impl.min
 * reads, changes its bytes and writes the whole back). Zero means: valid 1..8 (ports:
 * 1..4), impl = valid. `unaligned` allows accesses not aligned to their size
 * (otherwise the core splits them into bytes for memory and ports alike). */
struct mem_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    struct mem_access {
        uint8_t min, max;
        bool unaligned;
    } valid, impl;
};

/* Creation. The region belongs to the caller until mem_region_free(); names
 * are copied. Sizes are in bytes; the port space is 65536 bytes. */
struct mem_region *mem_container_new(const char *name, uint64_t size);
struct mem_region *mem_io_new(const char *name, uint64_t size, const struct mem_ops *ops, void *opaque);
/* RAM, rounded up to pages, zeroed. NULL with err set when the reservation is exhausted. */
struct mem_region *mem_ram_new(struct memory *mem, const char *name, uint64_t size, struct error *err);
/* As RAM for reads and execution; guest writes are dropped and logged. */
struct mem_region *mem_rom_new(struct memory *mem, const char *name, uint64_t size, struct error *err);
struct mem_region *mem_alias_new(const char *name, struct mem_region *target, uint64_t offset, uint64_t size);
void mem_region_free(struct mem_region *r);
/* Of RAM, an alias or a container: writes to the RAM seen through it are dropped. */
void mem_region_set_readonly(struct mem_region *r, bool readonly);
uint8_t *mem_region_host(struct mem_region *r);      /* RAM, ROM: host pointer of its first byte */
uint64_t mem_region_ram_off(struct mem_region *r);   /* RAM, ROM: RAM offset of its first byte */
uint64_t mem_region_size(struct mem_region *r);

/* Placement: higher priority wins where regions overlap; among equals the later one. */
void mem_region_add(struct mem_region *parent, uint64_t addr, struct mem_region *child, int priority);
void mem_region_remove(struct mem_region *child);
void mem_region_move(struct mem_region *child, uint64_t addr);
void mem_region_set_enabled(struct mem_region *r, bool enabled);

/* ---- address spaces ---- */

struct mem_space *mem_space_new(const char *name, struct mem_region *root, struct log *log);
void mem_space_free(struct mem_space *s);
/* Several tree changes, one rebuild: begin ... commit. Nests. */
void mem_space_begin(struct mem_space *s);
void mem_space_commit(struct mem_space *s);
/* `changed(opaque)` after each rebuild: cached translations of addresses are stale. */
void mem_space_set_listener(struct mem_space *s, void (*changed)(void *opaque), void *opaque);

/* One range of the flat view. */
struct mem_range {
    uint64_t start, last;         /* inclusive addresses */
    struct mem_region *region;    /* RAM, ROM or I/O; NULL: nothing there */
    uint64_t offset;              /* offset of `start` within the region */
    uint8_t *host;                /* RAM, ROM: host pointer of `start`; else NULL */
    uint64_t ram_off;             /* RAM, ROM: RAM offset of `start` */
    bool writable;                /* RAM and not read-only */
};

/* The range that holds `addr`. For a hole, region is NULL and start/last bound
 * the hole. Valid until the next change of the tree. Any thread. */
struct mem_range mem_space_find(struct mem_space *s, uint64_t addr);

/* Guest access of 1, 2, 4 or 8 bytes at any alignment, dispatched to RAM or
 * callbacks. Holes read as all ones; writes to holes and ROM are dropped. I/O
 * regions need the machine lock held by the caller. */
uint64_t mem_read(struct mem_space *s, uint64_t addr, unsigned size);
void mem_write(struct mem_space *s, uint64_t addr, uint64_t value, unsigned size);
/* Bytes in and out, for DMA. Return false if any byte lay outside RAM/ROM/I/O (the rest is still done). */
bool mem_read_buf(struct mem_space *s, uint64_t addr, void *buf, uint64_t len);
bool mem_write_buf(struct mem_space *s, uint64_t addr, const void *buf, uint64_t len);

/* Print the flat view and the tree (`info mtree`) line by line through `print`. */
void mem_space_print(struct mem_space *s, void (*print)(void *opaque, const char *line), void *opaque);

#endif
