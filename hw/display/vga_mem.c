/* VGA core: the CPU's window on video memory, 0xA0000-0xBFFFF (IBM VGA reference; FreeVGA). */
#include "hw/display/vga_internal.h"

enum { BANK_SHIFT = 16, WINDOW_64K = 0x10000, WINDOW_128K = 0x20000 };

/* The four ways to place video memory in the window; offsets are from 0xA0000. */
static const struct { uint32_t first, size; } window_map[4] = {
    { 0, WINDOW_128K }, { 0, WINDOW_64K }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 },
};

/* Four bits, one a plane, as four bytes. */
static uint32_t expand(unsigned planes)
{
    return ((planes & 1) | (planes & 2) << 7 | (planes & 4) << 14 | (planes & 8) << 21) * 0xFFu;
}

static unsigned window_number(const struct vga_regs *r)
{
    return r->gc[GC_MISC] >> GC_MISC_MAP_SHIFT & 3;
}

/* Byte address that the window's `offset` selects, before chaining; false when nothing answers there. */
static bool decode(const struct vga *v, uint64_t offset, uint32_t *addr)
{
    const struct vga_regs *r = &v->regs;
    unsigned map = window_number(r);

    if (!(r->misc & MISC_RAM_ENABLE) || offset - window_map[map].first >= window_map[map].size)
        return false;
    *addr = (uint32_t)(offset - window_map[map].first);
    if (vga_vbe_on(r))
        *addr += (uint32_t)r->vbe[VBE_BANK] << BANK_SHIFT;
    return true;
}

/* The four planes' bytes at plane address `a`. */
static uint8_t *planes_at(const struct vga *v, uint32_t a)
{
    return v->host + ((a * 4) & (VGA_VRAM_SIZE - 1));
}

static uint8_t read_compare(const struct vga_regs *r)
{
    uint32_t differ = ((uint32_t)load_le(r->latch, 4) ^ expand(r->gc[GC_COLOR_COMPARE])) &
                      expand(r->gc[GC_COLOR_DONT_CARE]);

    return (uint8_t)~(differ | differ >> 8 | differ >> 16 | differ >> 24);
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *v = opaque;
    struct vga_regs *r = &v->regs;
    unsigned plane = r->gc[GC_READ_MAP] & 3;
    uint32_t addr;

    (void)size;
    if (!decode(v, offset, &addr))
        return 0xFF;
    if (r->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
        plane = addr & 3;
        addr >>= 2;
    } else if (r->gc[GC_MODE] & GC_ODD_EVEN) {
        plane = (plane & 2) | (addr & 1);
        addr &= ~1u;
    }
    copy_shared(r->latch, planes_at(v, addr), 4);
    return r->gc[GC_MODE] & GC_READ_COMPARE ? read_compare(r) : r->latch[plane];
}

/* Function select: the new data meets the latches. */
static uint32_t alu(const struct vga_regs *r, uint32_t data, uint32_t latch)
{
    switch (r->gc[GC_ROTATE] >> 3) {
    case 1: return data & latch;
    case 2: return data | latch;
    case 3: return data ^ latch;
    default: return data;
    }
}

/* What the write mode makes of the CPU's byte: four planes' worth. */
static uint32_t write_data(const struct vga_regs *r, uint8_t value)
{
    uint32_t latch = (uint32_t)load_le(r->latch, 4), data, mask;
    unsigned rotate = r->gc[GC_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
    uint32_t set = expand(r->gc[GC_SET_RESET]), enable = expand(r->gc[GC_ENABLE_SET_RESET]);

    mask = r->gc[GC_BIT_MASK] * 0x01010101u;
    switch (r->gc[GC_MODE] & GC_WRITE_MODE) {
    case 0:
        data = alu(r, (rotated * 0x01010101u & ~enable) | (set & enable), latch);
        break;
    case 1:
        return latch;
    case 2:
        data = alu(r, expand(value & 0x0F), latch);
        break;
    default:
        data = set;
        mask &= rotated * 0x01010101u;
        break;
    }
    return (data & mask) | (latch & ~mask);
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;
    const struct vga_regs *r = &v->regs;
    unsigned planes = r->seq[SEQ_MAP_MASK];
    uint32_t addr;

    (void)size;
    if (!decode(v, offset, &addr))
        return;
    if (r->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
        planes &= 1u << (addr & 3);
        addr >>= 2;
    } else if (!(r->seq[SEQ_MEMORY_MODE] & MEMORY_NO_ODD_EVEN)) {
        planes &= addr & 1 ? 0x0A : 0x05;
        addr &= ~1u;
    }
    uint8_t *at = planes_at(v, addr);
    uint32_t mask = expand(planes);
    uint32_t data = (write_data(r, (uint8_t)value) & mask) | ((uint32_t)load_shared_le(at, 4) & ~mask);
    uint64_t ram_off = mem_region_ram_off(v->vram) + (uint64_t)(at - v->host);
    store_shared_le(at, 4, data);
    mem_ram_written(v->env->mem, ram_off, 4);
}

const struct mem_ops vga_window_ops = { window_read, window_write, { 1, 8, true }, { 1, 1, false } };

/* Chain-4 with everything else passing bytes through: the window then is video memory itself. */
static bool access_is_plain(const struct vga_regs *r)
{
    return (r->misc & MISC_RAM_ENABLE) && (r->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) &&
           r->seq[SEQ_MAP_MASK] == 0x0F && !(r->gc[GC_MODE] & (GC_WRITE_MODE | GC_READ_COMPARE)) &&
           !r->gc[GC_ENABLE_SET_RESET] && !r->gc[GC_ROTATE] && r->gc[GC_BIT_MASK] == 0xFF;
}

void vga_update_window(struct vga *v)
{
    unsigned map = window_number(&v->regs);
    uint32_t offset = 0, size = access_is_plain(&v->regs) ? window_map[map].size : 0;

    if (vga_vbe_on(&v->regs))
        offset = (uint32_t)v->regs.vbe[VBE_BANK] << BANK_SHIFT;
    if (offset >= VGA_VRAM_SIZE || size > VGA_VRAM_SIZE - offset)
        size = 0;
    if (size == v->linear_size &&
        (!size || (offset == v->linear_offset && window_map[map].first == v->linear_start)))
        return;
    mem_space_begin(v->env->memory);
    mem_region_free(v->linear);
    v->linear = size ? mem_alias_new("vga-linear", v->vram, offset, size) : NULL;
    if (v->linear)
        mem_region_add(v->window, window_map[map].first, v->linear, 1);
    v->linear_offset = offset;
    v->linear_start = window_map[map].first;
    v->linear_size = size;
    mem_space_commit(v->env->memory);
}
