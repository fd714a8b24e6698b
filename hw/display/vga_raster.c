/* VGA core: what the CRT controller and the attribute controller make of the planes, scan line by scan
 * line, in text and graphics modes alike (IBM VGA reference; FreeVGA). The picture is as large as a
 * monitor shows it. */
#include "hw/display/vga_internal.h"

enum {
    MAX_DOTS = 257 * 9,          /* one character more than a line shows, for panning */
    CURSOR_OFF = 0x20,
    FONT_PLANE = 2,
    FONT_HEIGHT = 32,
};

/* The cursor changes every 16 frames, characters every 32, of a monitor at 70 Hz. */
static const int64_t cursor_ns = 16 * NS_PER_SEC / 70;

unsigned vga_blink_phase(const struct vga *v)
{
    int64_t phase = clock_now(v->env->clock) / cursor_ns;

    return (phase & 1 ? 0 : 1) | (phase & 2 ? 0 : 2);
}

void vga_raster_get(const struct vga_regs *r, struct vga_raster *t)
{
    const uint8_t *cr = r->crtc;
    uint8_t overflow = cr[CR_OVERFLOW], max_scan = cr[CR_MAX_SCAN_LINE];

    *t = (struct vga_raster){
        .chars = cr[CR_H_DISPLAY_END] + 1u,
        .repeat = r->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1,
        .lines = (cr[CR_V_DISPLAY_END] | (overflow & 0x02u) << 7 | (overflow & 0x40u) << 3) + 1,
        .cell_lines = (max_scan & 0x1F) + 1u,
        .double_scan = max_scan & CR_DOUBLE_SCAN,
        .text = !(r->gc[GC_MISC] & GC_MISC_GRAPHICS),
        .start = (cr[CR_START_HIGH] << 8 | cr[CR_START_LOW]) + (cr[CR_PRESET_ROW] >> 5 & 3u),
        .offset = cr[CR_OFFSET] * 2u,
        .preset = cr[CR_PRESET_ROW] & 0x1F,
        .split = cr[CR_LINE_COMPARE] | (overflow & 0x10u) << 4 | (max_scan & 0x40u) << 3,
    };
    t->char_dots = t->text && !(r->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS) ? 9 : 8;
}

void vga_attr_colors(const struct vga_regs *r, const uint32_t *dac, uint32_t *colors)
{
    uint8_t select = r->attr[AR_COLOR_SELECT];

    for (unsigned i = 0; i < 16; i++) {
        uint8_t c = r->attr[i & r->attr[AR_PLANE_ENABLE]];
        if (r->attr[AR_MODE] & AR_MODE_P54)
            c = (uint8_t)((c & 0x0F) | (select & 0x03) << 4);
        colors[i] = dac[(c & 0x3F) | (select & 0x0C) << 4];
    }
}

/* Byte, word or doubleword addressing; CGA and Hercules layouts put row-scan bits into the address. */
static uint32_t plane_address(const struct vga_regs *r, uint32_t c, unsigned scan)
{
    uint8_t mode = r->crtc[CR_MODE];
    uint32_t a = c;

    if (r->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4)
        a = c; /* four pixels of a chained access are one step of the counter */
    else if (r->crtc[CR_UNDERLINE] & CR_UNDERLINE_DWORD)
        a = c << 2 | (c >> 14 & 3);
    else if (!(mode & CR_MODE_BYTE))
        a = c << 1 | (c >> (mode & CR_MODE_WRAP ? 15 : 13) & 1);
    if (!(mode & CR_MODE_A13))
        a = (a & ~0x2000u) | (scan & 1) << 13;
    if (!(mode & CR_MODE_A14))
        a = (a & ~0x4000u) | (scan & 2) << 13;
    return a & 0xFFFF;
}

uint32_t vga_fetch(const struct vga *v, uint32_t c, unsigned scan)
{
    return (uint32_t)load_shared_le(v->host + 4 * plane_address(&v->regs, c & 0xFFFF, scan), 4);
}

/* ---- one scan line ---- */

struct line_context {
    struct vga *v;
    const struct vga_raster *raster;
    const uint32_t *dac;
    uint32_t colors[16];
    uint32_t font[2];     /* plane 2 addresses: attribute bit 3 clear, set */
    uint32_t cursor;
    unsigned phase;
};

static uint8_t glyph_bits(const struct line_context *ctx, uint8_t ch, uint8_t attr, unsigned scan)
{
    uint32_t at = ctx->font[attr >> 3 & 1] + ch * FONT_HEIGHT + scan;

    return (uint8_t)load_shared_le(&ctx->v->host[4 * at + FONT_PLANE], 1);
}

static bool cursor_shows(const struct line_context *ctx, uint32_t c, unsigned scan)
{
    const uint8_t *cr = ctx->v->regs.crtc;

    return c == ctx->cursor && (ctx->phase & 1) && !(cr[CR_CURSOR_START] & CURSOR_OFF) &&
           scan >= (cr[CR_CURSOR_START] & 0x1F) && scan <= (cr[CR_CURSOR_END] & 0x1F);
}

static void text_cell(const struct line_context *ctx, uint32_t c, unsigned scan, uint32_t *out)
{
    const struct vga_regs *r = &ctx->v->regs;
    uint32_t word = vga_fetch(ctx->v, c, scan);
    uint8_t ch = (uint8_t)word, attr = (uint8_t)(word >> 8), mode = r->attr[AR_MODE];
    uint8_t fore = attr & 0x0F, back = attr >> 4;
    unsigned bits = glyph_bits(ctx, ch, attr, scan) << 1;

    if ((mode & AR_MODE_LINE_GRAPHICS) && ch >= 0xC0 && ch <= 0xDF)
        bits |= bits >> 1 & 1; /* line drawing characters go on into the ninth dot */
    if (mode & AR_MODE_BLINK) {
        back &= 7;
        if ((attr & 0x80) && !(ctx->phase & 2))
            bits = 0;
    }
    if ((attr & 0x77) == 0x01 && scan == (r->crtc[CR_UNDERLINE] & 0x1F) && (mode & 2))
        bits = 0x1FF;
    if (cursor_shows(ctx, c, scan))
        bits = 0x1FF;
    for (unsigned i = 0; i < ctx->raster->char_dots; i++)
        out[i] = ctx->colors[bits >> (8 - i) & 1 ? fore : back];
}

static void planar_cell(const struct line_context *ctx, uint32_t planes, uint32_t *out)
{
    for (unsigned i = 0; i < 8; i++) {
        uint32_t b = planes >> (7 - i);
        out[i] = ctx->colors[(b & 1) | (b >> 7 & 2) | (b >> 14 & 4) | (b >> 21 & 8)];
    }
}

/* Two bits a pixel: planes 0 and 2 give the first four pixels, planes 1 and 3 the others. */
static void interleaved_cell(const struct line_context *ctx, uint32_t planes, uint32_t *out)
{
    for (unsigned i = 0; i < 8; i++) {
        uint32_t b = planes >> (i < 4 ? 0 : 8) >> (6 - 2 * (i & 3));
        out[i] = ctx->colors[(b & 3) | (b >> 14 & 0x0C)];
    }
}

static void chunky_cell(const struct line_context *ctx, uint32_t planes, uint32_t *out)
{
    for (unsigned i = 0; i < 4; i++)
        out[2 * i] = out[2 * i + 1] = ctx->dac[planes >> (8 * i) & 0xFF];
}

static void draw_cell(const struct line_context *ctx, uint32_t c, unsigned scan, uint32_t *out)
{
    uint8_t mode = ctx->v->regs.gc[GC_MODE];

    if (ctx->raster->text)
        text_cell(ctx, c & 0xFFFF, scan, out);
    else if (mode & GC_SHIFT_256)
        chunky_cell(ctx, vga_fetch(ctx->v, c, scan), out);
    else if (mode & GC_SHIFT_INTERLEAVED)
        interleaved_cell(ctx, vga_fetch(ctx->v, c, scan), out);
    else
        planar_cell(ctx, vga_fetch(ctx->v, c, scan), out);
}

static void draw_line(const struct line_context *ctx, uint32_t row, unsigned scan, unsigned pan,
                      uint32_t *out)
{
    const struct vga_raster *t = ctx->raster;
    uint32_t dots[MAX_DOTS];

    for (unsigned i = 0; i < t->chars + (pan ? 1 : 0); i++)
        draw_cell(ctx, row + i, scan, dots + i * t->char_dots);
    for (unsigned i = 0; i < t->chars * t->char_dots; i++)
        for (unsigned k = 0; k < t->repeat; k++)
            *out++ = dots[i + pan];
}

/* ---- the picture ---- */

/* Dots that the picture is shifted to the left. With nine dots a character, 8 means none, n means n + 1. */
static unsigned panning(const struct vga_regs *r, const struct vga_raster *t)
{
    unsigned pan = r->attr[AR_PAN];

    if (t->char_dots == 9)
        return pan >= 8 ? 0 : pan + 1;
    return pan & 7;
}

/* Eight fonts of 8 KiB; bit 2 of a selector moves it up by 8 KiB, the others count 16 KiB. */
static uint32_t font_address(unsigned selector)
{
    return (selector & 3) << 14 | (selector & 4) << 11;
}

static void context_init(struct line_context *ctx, struct vga *v, const struct vga_raster *t,
                         const uint32_t *dac)
{
    const struct vga_regs *r = &v->regs;
    uint8_t map = r->seq[SEQ_CHAR_MAP];

    *ctx = (struct line_context){ .v = v, .raster = t, .dac = dac, .phase = vga_blink_phase(v) };
    ctx->cursor = (uint32_t)(r->crtc[CR_CURSOR_HIGH] << 8 | r->crtc[CR_CURSOR_LOW]);
    if (r->seq[SEQ_MEMORY_MODE] & MEMORY_EXTENDED) {
        ctx->font[0] = font_address((map & 3) | (map >> 2 & 4));
        ctx->font[1] = font_address((map >> 2 & 3) | (map >> 3 & 4));
    }
    vga_attr_colors(r, dac, ctx->colors);
}

void vga_raster_draw(struct vga *v, const struct vga_raster *t, const uint32_t *dac)
{
    struct line_context ctx;
    unsigned scan = t->preset, pan = panning(&v->regs, t);
    uint32_t row = t->start, *out = v->surface.pixels;

    context_init(&ctx, v, t, dac);
    for (unsigned y = 0; y < t->lines; y++, out += v->surface.width) {
        draw_line(&ctx, row, scan, pan, out);
        if (y == t->split) { /* the address counter starts again from 0 */
            row = scan = 0;
            if (v->regs.attr[AR_MODE] & AR_MODE_PAN_COMPAT)
                pan = 0;
        } else if (!t->double_scan || (y & 1)) {
            scan = (scan + 1) & 0x1F;
            if (scan == t->cell_lines) {
                scan = 0;
                row += t->offset;
            }
        }
    }
}
