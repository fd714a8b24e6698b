/* Accesses: RAM directly, I/O through callbacks of the sizes that they are written for.
 *
 * A callback may change the tree (a BAR write moves its own window). An access
 * works on a copy of its range, and the bytes after a callback are looked up
 * anew; but a callback must not free its own region. */
#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "memory/internal.h"

/* Bytes of the next callback for an access that has `len` bytes to go at `offset`. */
static unsigned io_piece(const struct mem_access *impl, uint64_t offset, unsigned len)
{
    unsigned piece = impl->max;
    while (piece > len || (!impl->unaligned && offset % piece))
        piece /= 2;
    return piece;
}

static uint64_t io_call_read(const struct mem_region *r, uint64_t offset, unsigned size)
{
    return r->ops.read ? r->ops.read(r->opaque, offset, size) & MASK(8 * size) : MASK(8 * size);
}

static void io_call_write(const struct mem_region *r, uint64_t offset, uint64_t value, unsigned size)
{
    if (r->ops.write)
        r->ops.write(r->opaque, offset, value & MASK(8 * size), size);
}

/* An access that the bus accepts, in pieces of `impl` sizes. */
static uint64_t io_read_pieces(const struct mem_region *r, uint64_t offset, unsigned size)
{
    const struct mem_access *impl = &r->ops.impl;
    uint64_t value = 0;
    for (unsigned pos = 0, piece; pos < size; pos += piece) {
        uint64_t at = offset + pos, part;
        piece = io_piece(impl, at, size - pos);
        if (piece >= impl->min) {
            part = io_call_read(r, at, piece);
        } else {
            unsigned skip = at % impl->min;
            piece = MIN_OF(size - pos, impl->min - skip);
            part = bits_extract(io_call_read(r, at - skip, impl->min), 8 * skip, 8 * piece);
        }
        value |= part << (8 * pos);
    }
    return value;
}

static void io_write_pieces(const struct mem_region *r, uint64_t offset, uint64_t value, unsigned size)
{
    const struct mem_access *impl = &r->ops.impl;
    for (unsigned pos = 0, piece; pos < size; pos += piece) {
        uint64_t at = offset + pos, part = value >> (8 * pos);
        piece = io_piece(impl, at, size - pos);
        if (piece >= impl->min) {
            io_call_write(r, at, part, piece);
        } else {
            unsigned skip = at % impl->min;
            piece = MIN_OF(size - pos, impl->min - skip);
            uint64_t whole = io_call_read(r, at - skip, impl->min);
            io_call_write(r, at - skip, bits_deposit(whole, 8 * skip, 8 * piece, part), impl->min);
        }
    }
}

/* Does the bus accept the size? */
static bool io_size_ok(struct mem_space *s, const struct mem_region *r, uint64_t offset, unsigned size,
                       const char *what)
{
    if (size >= r->ops.valid.min && size <= r->ops.valid.max)
        return true;
    log_guest(s->log, "%s: %s of %u bytes at %s+0x%" PRIx64 " is not accepted\n", s->name, what, size,
              r->name, offset);
    return false;
}

static bool io_must_split(const struct mem_region *r, uint64_t offset, unsigned size)
{
    return offset % size && !r->ops.valid.unaligned;
}

static uint64_t io_read(struct mem_space *s, const struct mem_region *r, uint64_t offset, unsigned size)
{
    return io_size_ok(s, r, offset, size, "read") ? io_read_pieces(r, offset, size) : MASK(8 * size);
}

static void io_write(struct mem_space *s, const struct mem_region *r, uint64_t offset, uint64_t value,
                     unsigned size)
{
    if (io_size_ok(s, r, offset, size, "write"))
        io_write_pieces(r, offset, value, size);
}

static void log_readonly(struct mem_space *s, const struct mem_range *range, uint64_t addr, uint64_t len)
{
    log_guest(s->log, "%s: write of %" PRIu64 " bytes to read-only %s at 0x%" PRIx64 "\n", s->name, len,
              range->region->name, addr);
}

uint64_t mem_read(struct mem_space *s, uint64_t addr, unsigned size)
{
    struct mem_range range = mem_space_find(s, addr);
    uint64_t skip = addr - range.start;
    bool whole = size - 1 <= range.last - addr;
    if (whole && range.host)
        return load_shared_le(range.host + skip, size);
    if (whole && !range.region)
        return MASK(8 * size);
    if (whole && !io_must_split(range.region, range.offset + skip, size))
        return io_read(s, range.region, range.offset + skip, size);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= mem_read(s, addr + i, 1) << (8 * i);
    return value;
}

static void write_ram(struct mem_space *s, const struct mem_range *range, uint64_t addr, uint64_t value,
                      unsigned size)
{
    uint64_t ram_off = range->ram_off + (addr - range->start);
    if (!range->writable) {
        log_readonly(s, range, addr, size);
        return;
    }
    store_shared_le(range->host + (addr - range->start), size, value);
    mem_ram_written(range->region->mem, ram_off, size);
}

void mem_write(struct mem_space *s, uint64_t addr, uint64_t value, unsigned size)
{
    struct mem_range range = mem_space_find(s, addr);
    uint64_t offset = range.offset + (addr - range.start);
    bool whole = size - 1 <= range.last - addr;
    if (whole && range.host)
        write_ram(s, &range, addr, value, size);
    else if (whole && !range.region)
        return;
    else if (whole && !io_must_split(range.region, offset, size))
        io_write(s, range.region, offset, value, size);
    else
        for (unsigned i = 0; i < size; i++)
            mem_write(s, addr + i, (uint8_t)(value >> (8 * i)), 1);
}

/* The largest I/O access, up to 4 bytes, that fits at `addr`. */
static unsigned buf_piece(uint64_t addr, uint64_t len)
{
    unsigned piece = 4;
    while (piece > len || addr % piece)
        piece /= 2;
    return piece;
}

bool mem_read_buf(struct mem_space *s, uint64_t addr, void *buf, uint64_t len)
{
    uint8_t *out = buf;
    bool ok = true;
    for (uint64_t n; len; addr += n, out += n, len -= n) {
        struct mem_range range = mem_space_find(s, addr);
        n = MIN_OF(len - 1, range.last - addr) + 1;
        if (range.host) {
            copy_shared(out, range.host + (addr - range.start), n);
        } else if (range.region) {
            n = buf_piece(addr, n);
            store_le(out, (unsigned)n, mem_read(s, addr, (unsigned)n));
        } else {
            memset(out, 0xff, n);
            ok = false;
        }
    }
    return ok;
}

bool mem_write_buf(struct mem_space *s, uint64_t addr, const void *buf, uint64_t len)
{
    const uint8_t *in = buf;
    bool ok = true;
    for (uint64_t n; len; addr += n, in += n, len -= n) {
        struct mem_range range = mem_space_find(s, addr);
        n = MIN_OF(len - 1, range.last - addr) + 1;
        if (range.writable) {
            uint64_t ram_off = range.ram_off + (addr - range.start);
            copy_shared(range.host + (addr - range.start), in, n);
            mem_ram_written(range.region->mem, ram_off, n);
        } else if (range.host) {
            log_readonly(s, &range, addr, n);
        } else if (range.region) {
            n = buf_piece(addr, n);
            mem_write(s, addr, load_le(in, (unsigned)n), (unsigned)n);
        } else {
            ok = false;
        }
    }
    return ok;
}
