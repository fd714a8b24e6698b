/* VGA core: brings the picture up to date. Linear modes are redrawn line by line where VRAM was written,
 * the VGA's own modes as a whole when anything changed. */
#include "hw/display/vga_internal.h"

#include <glib.h>

enum {
    NUM_PAGES = VGA_VRAM_SIZE >> MEM_PAGE_SHIFT,
    PLANES_SIZE = 256 * 1024, /* what the VGA's own modes can show */
    BLANK_WIDTH = 640, BLANK_HEIGHT = 480,
};

/* The DAC's 256 colours behind the pixel mask, as 0x00RRGGBB. */
static void dac_colors(const struct vga_regs *r, uint32_t *dac)
{
    bool wide = r->vbe[VBE_ENABLE] & VBE_8BIT_DAC;

    for (unsigned i = 0; i < 256; i++) {
        const uint8_t *p = &r->palette[(i & r->dac_mask) * 3];
        dac[i] = 0;
        for (unsigned k = 0; k < 3; k++)
            dac[i] = dac[i] << 8 | (wide ? p[k] : (uint8_t)(p[k] << 2 | p[k] >> 4));
    }
}

/* Returns true when the surface is new and has to be filled. */
static bool surface_resize(struct vga *v, unsigned width, unsigned height)
{
    struct display_surface *s = &v->surface;

    if (s->pixels && s->width == width && s->height == height)
        return false;
    g_free(s->pixels);
    *s = (struct display_surface){ g_new0(uint32_t, (size_t)width * height), width, height };
    return true;
}

static bool test_dirty(struct vga *v, uint32_t first, uint32_t size)
{
    return mem_test_and_clear_dirty(v->env->mem, mem_region_ram_off(v->vram) + first, size);
}

static void draw_blank(struct vga *v)
{
    unsigned width = v->surface.pixels ? v->surface.width : BLANK_WIDTH;
    unsigned height = v->surface.pixels ? v->surface.height : BLANK_HEIGHT;

    surface_resize(v, width, height);
    memset(v->surface.pixels, 0, (size_t)width * height * sizeof(uint32_t));
}

/* ---- linear modes ---- */

static uint32_t rgb_from(uint32_t p, unsigned green_bits)
{
    uint32_t r = p >> (5 + green_bits) & 0x1F, g = p >> 5 & (uint32_t)MASK(green_bits), b = p & 0x1F;

    r = r << 3 | r >> 2;
    g = g << (8 - green_bits) | g >> (2 * green_bits - 8);
    b = b << 3 | b >> 2;
    return r << 16 | g << 8 | b;
}

static uint32_t planar_pixel(const uint8_t *line, unsigned x, const uint32_t *colors)
{
    uint32_t b = (uint32_t)load_shared_le(line + 4 * (x / 8), 4) >> (7 - x % 8);

    return colors[(b & 1) | (b >> 7 & 2) | (b >> 14 & 4) | (b >> 21 & 8)];
}

/* `palette` is the DAC's, or at 4 bits the attribute controller's. */
static void draw_linear_line(const struct vbe_picture *pic, const uint8_t *line, const uint32_t *palette,
                             uint32_t *out)
{
    for (unsigned x = 0; x < pic->width; x++) {
        switch (pic->bpp) {
        case 4: out[x] = planar_pixel(line, x, palette); break;
        case 8: out[x] = palette[load_shared_le(line + x, 1)]; break;
        case 15: out[x] = rgb_from((uint32_t)load_shared_le(line + 2 * x, 2), 5); break;
        case 16: out[x] = rgb_from((uint32_t)load_shared_le(line + 2 * x, 2), 6); break;
        case 24: out[x] = (uint32_t)load_shared_le(line + 3 * x, 3); break;
        default: out[x] = (uint32_t)load_shared_le(line + 4 * x, 4) & 0xFFFFFF; break;
        }
    }
}

/* Note which pages of the picture were written, and mark them seen before they are read. */
static void collect_dirty(struct vga *v, const struct vbe_picture *pic, bool *dirty)
{
    uint32_t end = pic->start + (pic->height - 1) * pic->pitch + pic->line_bytes;

    for (uint32_t page = pic->start >> MEM_PAGE_SHIFT; page <= (end - 1) >> MEM_PAGE_SHIFT; page++)
        dirty[page] = test_dirty(v, page << MEM_PAGE_SHIFT, MEM_PAGE_SIZE);
}

static bool line_dirty(const bool *dirty, uint32_t first, uint32_t size)
{
    for (uint32_t page = first >> MEM_PAGE_SHIFT; page <= (first + size - 1) >> MEM_PAGE_SHIFT; page++)
        if (dirty[page])
            return true;
    return false;
}

static void render_linear(struct vga *v, const struct vbe_picture *pic)
{
    bool dirty[NUM_PAGES], all = surface_resize(v, pic->width, pic->height) || v->redraw;
    uint32_t dac[256], colors[16];

    collect_dirty(v, pic, dirty);
    dac_colors(&v->regs, dac);
    vga_attr_colors(&v->regs, dac, colors);
    for (unsigned y = 0; y < pic->height; y++) {
        uint32_t at = pic->start + y * pic->pitch;
        if (all || line_dirty(dirty, at, pic->line_bytes))
            draw_linear_line(pic, v->host + at, pic->bpp == 4 ? colors : dac,
                             v->surface.pixels + (size_t)y * pic->width);
    }
}

/* ---- the VGA's own modes ---- */

static bool screen_on(const struct vga_regs *r)
{
    return (r->attr_index & AR_INDEX_PAS) && !(r->seq[SEQ_CLOCKING] & CLOCKING_SCREEN_OFF) &&
           (r->crtc[CR_MODE] & CR_MODE_SYNC);
}

static void render_raster(struct vga *v)
{
    struct vga_raster raster;
    uint32_t dac[256];
    unsigned phase = vga_blink_phase(v);
    bool changed = test_dirty(v, 0, PLANES_SIZE) || v->redraw;

    vga_raster_get(&v->regs, &raster);
    if (raster.text)
        changed |= phase != v->drawn_phase;
    changed |= surface_resize(v, raster.chars * raster.char_dots * raster.repeat, raster.lines);
    if (!changed)
        return;
    v->drawn_phase = phase;
    dac_colors(&v->regs, dac);
    vga_raster_draw(v, &raster, dac);
}

const struct display_surface *vga_render(void *opaque)
{
    struct vga *v = opaque;
    struct vbe_picture pic;
    bool vbe = vga_vbe_picture(v, &pic);

    if (vbe ? !pic.height || !pic.width || !(v->regs.attr_index & AR_INDEX_PAS) : !screen_on(&v->regs))
        draw_blank(v);
    else if (vbe)
        render_linear(v, &pic);
    else
        render_raster(v);
    v->redraw = false;
    return &v->surface;
}
