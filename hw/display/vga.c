/* VGA core: registers and ports (IBM PS/2 Hardware Interface Technical Reference; FreeVGA). */
#include "hw/display/vga_internal.h"

#include <glib.h>

#include "base/error.h"

enum input_status_1_bit { DISPLAY_DISABLED = 0x01, V_RETRACE = 0x08 };
enum { INPUT_STATUS_0_SENSE = 0x10, DAC_STATE_READ = 3 };
enum { WINDOW_BASE = 0xA0000, WINDOW_SIZE = 0x20000 };

static const struct state_field vga_fields[] = {
    STATE_ARRAY(struct vga_regs, vbe, uint16_t),
    STATE_FIELD(struct vga_regs, vbe_index),
    STATE_FIELD(struct vga_regs, misc),
    STATE_FIELD(struct vga_regs, feature),
    STATE_FIELD(struct vga_regs, seq_index),
    STATE_ARRAY(struct vga_regs, seq, uint8_t),
    STATE_FIELD(struct vga_regs, gc_index),
    STATE_ARRAY(struct vga_regs, gc, uint8_t),
    STATE_FIELD(struct vga_regs, crtc_index),
    STATE_ARRAY(struct vga_regs, crtc, uint8_t),
    STATE_FIELD(struct vga_regs, attr_index),
    STATE_ARRAY(struct vga_regs, attr, uint8_t),
    STATE_FIELD(struct vga_regs, attr_data_next),
    STATE_FIELD(struct vga_regs, dac_mask),
    STATE_FIELD(struct vga_regs, dac_read),
    STATE_FIELD(struct vga_regs, dac_write),
    STATE_FIELD(struct vga_regs, dac_component),
    STATE_FIELD(struct vga_regs, dac_state),
    STATE_ARRAY(struct vga_regs, dac_latch, uint8_t),
    STATE_ARRAY(struct vga_regs, palette, uint8_t),
    STATE_ARRAY(struct vga_regs, latch, uint8_t),
    STATE_PAD(struct vga_regs, pad),
};
const struct state_table vga_state_table = STATE_TABLE("vga", 1, struct vga_regs, vga_fields);

static const struct vga_regs vga_power_on = {
    .vbe = { [VBE_ID] = 0xB0C5, [VBE_BPP] = 8, [VBE_VIDEO_MEMORY_64K] = VGA_VRAM_SIZE >> 16 },
    .seq = { [SEQ_RESET] = 0x03 },
    .gc = { [GC_BIT_MASK] = 0xFF, [GC_COLOR_DONT_CARE] = 0x0F },
    .dac_mask = 0xFF,
};

/* Bits that exist in each indexed register. */
static const uint8_t seq_mask[SEQ_COUNT] = { 0x03, 0x3D, 0x0F, 0x3F, 0x0E };
static const uint8_t gc_mask[GC_COUNT] = { 0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF };
static const uint8_t attr_mask[AR_COUNT] = {
    0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
    [AR_MODE] = 0xEF, [AR_OVERSCAN] = 0xFF, [AR_PLANE_ENABLE] = 0x3F, [AR_PAN] = 0x0F,
    [AR_COLOR_SELECT] = 0x0F,
};

/* ---- derived values ---- */

/* A 10-bit vertical count: eight bits in `reg`, bit 8 and bit 9 in the overflow register. */
static unsigned vertical(const struct vga_regs *r, unsigned reg, unsigned bit8, unsigned bit9)
{
    uint8_t overflow = r->crtc[CR_OVERFLOW];

    return r->crtc[reg] | (overflow >> bit8 & 1) << 8 | (overflow >> bit9 & 1) << 9;
}

/* Where the beam is follows from virtual time and the programmed totals. */
static uint8_t input_status_1(const struct vga *v)
{
    static const int64_t dot_hz[4] = { 25175000, 28322000, 25175000, 25175000 };
    const struct vga_regs *r = &v->regs;
    unsigned chars = r->crtc[CR_H_TOTAL] + 5u, lines = vertical(r, CR_V_TOTAL, 0, 5) + 2;
    unsigned dots = r->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
    unsigned retrace = vertical(r, CR_V_RETRACE_START, 2, 7);
    unsigned retrace_lines = (r->crtc[CR_V_RETRACE_END] - retrace) & 0x0F;

    if (r->seq[SEQ_CLOCKING] & CLOCKING_HALF)
        dots *= 2;
    if (retrace >= lines) { /* a mode that was set through dispi leaves the totals alone */
        retrace = lines - 1;
        retrace_lines = 1;
    }
    int64_t hz = dot_hz[(r->misc & MISC_CLOCK) >> 2];
    int64_t clocks = muldiv64(clock_now(v->env->clock), hz, NS_PER_SEC * dots);
    unsigned at = (unsigned)(clocks % (chars * lines));
    unsigned line = at / chars, column = at % chars;
    uint8_t status = 0;

    if (line > vertical(r, CR_V_DISPLAY_END, 1, 6) || column > r->crtc[CR_H_DISPLAY_END])
        status |= DISPLAY_DISABLED;
    if (line >= retrace && line - retrace < MAX_OF(retrace_lines, 1))
        status |= DISPLAY_DISABLED | V_RETRACE;
    return status;
}

/* ---- palette ---- */

static uint8_t dac_data_read(struct vga_regs *r)
{
    uint8_t value = r->palette[r->dac_read * 3 + r->dac_component];

    if (++r->dac_component == 3) {
        r->dac_component = 0;
        r->dac_read++;
    }
    return value;
}

static void dac_data_write(struct vga *v, uint8_t value)
{
    struct vga_regs *r = &v->regs;

    r->dac_latch[r->dac_component++] = r->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? value : value & 0x3F;
    if (r->dac_component < 3)
        return;
    r->dac_component = 0;
    memcpy(&r->palette[r->dac_write++ * 3], r->dac_latch, 3);
    v->redraw = true;
}

static void dac_start(struct vga_regs *r, uint8_t *index, uint8_t value, uint8_t state)
{
    *index = value;
    r->dac_component = 0;
    r->dac_state = state;
}

/* ---- writes ---- */

/* Store into a register that shapes the picture. */
static void set_reg(struct vga *v, uint8_t *reg, uint8_t value)
{
    if (*reg == value)
        return;
    *reg = value;
    v->redraw = true;
}

static void attr_write(struct vga *v, uint8_t value)
{
    struct vga_regs *r = &v->regs;
    unsigned index = r->attr_index & 0x1F;

    r->attr_data_next ^= 1;
    if (r->attr_data_next)
        set_reg(v, &r->attr_index, value & 0x3F);
    else if (index < AR_MODE && (r->attr_index & AR_INDEX_PAS))
        log_guest(v->env->log, "vga: palette register %u written while the picture is on\n", index);
    else if (index < AR_COUNT)
        set_reg(v, &r->attr[index], value & attr_mask[index]);
}

static void crtc_write(struct vga *v, uint8_t value)
{
    struct vga_regs *r = &v->regs;
    unsigned index = r->crtc_index;

    if (index >= CR_COUNT)
        return;
    if (index <= CR_OVERFLOW && (r->crtc[CR_V_RETRACE_END] & CR_PROTECT)) {
        if (index != CR_OVERFLOW)
            return;
        value = (r->crtc[index] & ~0x10) | (value & 0x10); /* line compare bit 8 is not protected */
    }
    set_reg(v, &r->crtc[index], value);
}

static void seq_write(struct vga *v, uint8_t value)
{
    set_reg(v, &v->regs.seq[v->regs.seq_index], value & seq_mask[v->regs.seq_index]);
    if (v->regs.seq_index == SEQ_MAP_MASK || v->regs.seq_index == SEQ_MEMORY_MODE)
        vga_update_window(v);
}

/* Only mode and miscellaneous shape the picture; the others just steer accesses. */
static void gc_write(struct vga *v, uint8_t value)
{
    struct vga_regs *r = &v->regs;
    uint8_t *reg = &r->gc[r->gc_index];

    value &= gc_mask[r->gc_index];
    if (*reg == value)
        return;
    *reg = value;
    v->redraw |= r->gc_index == GC_MODE || r->gc_index == GC_MISC;
    vga_update_window(v);
}

/* The CRT controller answers at 0x3Bx or 0x3Dx, whichever the I/O address select says. */
static bool port_hidden(const struct vga_regs *r, unsigned port)
{
    return port < 0x3C0 ? r->misc & MISC_IOAS : port >= 0x3D0 && !(r->misc & MISC_IOAS);
}

void vga_port_write(struct vga *v, unsigned port, uint8_t value)
{
    struct vga_regs *r = &v->regs;

    if (port_hidden(r, port))
        return;
    switch (port) {
    case 0x3C0: attr_write(v, value); break;
    case 0x3C2:
        set_reg(v, &r->misc, value & 0xEF);
        vga_update_window(v);
        break;
    case 0x3C4: r->seq_index = value & 7; break;
    case 0x3C5: seq_write(v, value); break;
    case 0x3C6: set_reg(v, &r->dac_mask, value); break;
    case 0x3C7: dac_start(r, &r->dac_read, value, DAC_STATE_READ); break;
    case 0x3C8: dac_start(r, &r->dac_write, value, 0); break;
    case 0x3C9: dac_data_write(v, value); break;
    case 0x3CE: r->gc_index = value & 0x0F; break;
    case 0x3CF: gc_write(v, value); break;
    case 0x3B4: case 0x3D4: r->crtc_index = value & 0x3F; break;
    case 0x3B5: case 0x3D5: crtc_write(v, value); break;
    case 0x3BA: case 0x3DA: r->feature = value & 0x0B; break;
    }
}

uint8_t vga_port_read(struct vga *v, unsigned port)
{
    struct vga_regs *r = &v->regs;
    unsigned attr = r->attr_index & 0x1F;

    if (port_hidden(r, port))
        return 0xFF;
    switch (port) {
    case 0x3C0: return r->attr_index;
    case 0x3C1: return attr < AR_COUNT ? r->attr[attr] : 0;
    case 0x3C2: return INPUT_STATUS_0_SENSE;
    case 0x3C4: return r->seq_index;
    case 0x3C5: return r->seq[r->seq_index];
    case 0x3C6: return r->dac_mask;
    case 0x3C7: return r->dac_state;
    case 0x3C8: return r->dac_write;
    case 0x3C9: return dac_data_read(r);
    case 0x3CA: return r->feature;
    case 0x3CC: return r->misc;
    case 0x3CE: return r->gc_index;
    case 0x3CF: return r->gc[r->gc_index];
    case 0x3B4: case 0x3D4: return r->crtc_index;
    case 0x3B5: case 0x3D5: return r->crtc_index < CR_COUNT ? r->crtc[r->crtc_index] : 0;
    case 0x3BA: case 0x3DA:
        r->attr_data_next = 0;
        return input_status_1(v);
    default: return 0xFF;
    }
}

static uint64_t mono_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_port_read(opaque, 0x3B0 + (unsigned)offset);
}

static void mono_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_port_write(opaque, 0x3B0 + (unsigned)offset, (uint8_t)value);
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_port_read(opaque, 0x3C0 + (unsigned)offset);
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_port_write(opaque, 0x3C0 + (unsigned)offset, (uint8_t)value);
}

static const struct mem_ops mono_ops = { mono_read, mono_write, { 1, 4, true }, { 1, 1, false } };
static const struct mem_ops ports_ops = { ports_read, ports_write, { 1, 4, true }, { 1, 1, false } };

/* ---- life ---- */

static void vga_loaded(void *opaque)
{
    struct vga *v = opaque;

    v->redraw = true;
    vga_update_window(v);
}

static void vga_reset(void *opaque)
{
    struct vga *v = opaque;

    v->regs = vga_power_on;
    vga_loaded(v);
}

static void vga_place(struct vga *v, struct mem_region *memory)
{
    struct hw_env *env = v->env;

    v->window = mem_container_new("vga-window", WINDOW_SIZE);
    v->window_io = mem_io_new("vga-planes", WINDOW_SIZE, &vga_window_ops, v);
    v->mmio = mem_io_new("vga-mmio", VGA_MMIO_SIZE, &vga_mmio_ops, v);
    v->ports_mono = mem_io_new("vga-mono", 0x0C, &mono_ops, v);
    v->ports = mem_io_new("vga", 0x20, &ports_ops, v);
    v->ports_dispi = mem_io_new("vga-dispi", 4, &vga_dispi_ops, v);
    mem_region_add(v->window, 0, v->window_io, 0);
    mem_region_add(memory, WINDOW_BASE, v->window, 1);
    mem_region_add(env->io_root, 0x3B0, v->ports_mono, 0);
    mem_region_add(env->io_root, 0x3C0, v->ports, 0);
    mem_region_add(env->io_root, 0x1CE, v->ports_dispi, 0);
}

struct vga *vga_new(struct hw_env *env, struct mem_region *memory, struct error *err)
{
    struct mem_region *vram = mem_ram_new(env->mem, "vga-vram", VGA_VRAM_SIZE, err);

    if (!vram)
        return NULL;
    struct vga *v = g_new0(struct vga, 1);
    v->env = env;
    v->vram = vram;
    v->host = mem_region_host(vram);
    v->regs = vga_power_on;
    v->redraw = true;
    vga_place(v, memory);
    v->source = (struct display_source){ .render = vga_render, .text = vga_text, .opaque = v };
    v->dev = (struct device){ .name = "vga", .reset = vga_reset, .state = &vga_state_table, .regs = &v->regs,
                              .loaded = vga_loaded, .opaque = v };
    device_register(env, &v->dev);
    return v;
}

void vga_free(struct vga *v)
{
    if (!v)
        return;
    mem_region_free(v->linear);
    mem_region_free(v->window_io);
    mem_region_free(v->window);
    mem_region_free(v->ports_mono);
    mem_region_free(v->ports);
    mem_region_free(v->ports_dispi);
    mem_region_free(v->mmio);
    mem_region_free(v->vram);
    g_free(v->surface.pixels);
    g_free(v);
}

struct mem_region *vga_vram(struct vga *v)
{
    return v->vram;
}

struct mem_region *vga_mmio(struct vga *v)
{
    return v->mmio;
}

const struct display_source *vga_display(struct vga *v)
{
    return &v->source;
}
