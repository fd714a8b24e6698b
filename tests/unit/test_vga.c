/* VGA core: registers, the window's access modes, text and graphics pictures, dispi, MMIO, PCI. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/display/vga.h"
#include "hw/display/vga_pci.h"
#include "ui/display.h"

struct fixture {
    struct log log;
    struct hw_env env;
    struct vga *vga;
    uint8_t *vram;
};

static void env_init(struct hw_env *env, struct log *log)
{
    struct error err = { "" };

    log_init(log);
    env->log = log;
    env->clock = clock_new_manual();
    env->mem = memory_new(32 << 20, log, &err);
    env->mem_root = mem_container_new("memory", UINT64_C(1) << 32);
    env->io_root = mem_container_new("ports", 65536);
    env->memory = mem_space_new("memory", env->mem_root, log);
    env->ports = mem_space_new("ports", env->io_root, log);
}

static void env_done(struct hw_env *env)
{
    mem_space_free(env->memory);
    mem_space_free(env->ports);
    mem_region_free(env->mem_root);
    mem_region_free(env->io_root);
    memory_free(env->mem);
    clock_free(env->clock);
}

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error err = { "" };

    env_init(&f->env, &f->log);
    f->vga = vga_new(&f->env, f->env.mem_root, &err);
    ck_assert_ptr_nonnull(f->vga);
    f->vram = mem_region_host(vga_vram(f->vga));
    return f;
}

static void teardown(struct fixture *f)
{
    vga_free(f->vga);
    env_done(&f->env);
    free(f);
}

static void out(struct fixture *f, unsigned port, unsigned value)
{
    mem_write(f->env.ports, port, value, 1);
}

static unsigned in(struct fixture *f, unsigned port)
{
    return (unsigned)mem_read(f->env.ports, port, 1);
}

/* An indexed register. */
static void set(struct fixture *f, unsigned port, unsigned index, unsigned value)
{
    mem_write(f->env.ports, port, index | value << 8, 2);
}

static void poke(struct fixture *f, uint64_t addr, unsigned value)
{
    mem_write(f->env.memory, addr, value, 1);
}

static unsigned peek(struct fixture *f, uint64_t addr)
{
    return (unsigned)mem_read(f->env.memory, addr, 1);
}

static void dispi(struct fixture *f, unsigned index, unsigned value)
{
    mem_write(f->env.ports, 0x1CE, index, 2);
    mem_write(f->env.ports, 0x1CF, value, 2);
}

static unsigned dispi_get(struct fixture *f, unsigned index)
{
    mem_write(f->env.ports, 0x1CE, index, 2);
    return (unsigned)mem_read(f->env.ports, 0x1CF, 2);
}

struct mode { uint8_t misc, seq[5], crtc[25], attr[21], gc[9]; };

/* The register values of the IBM BIOS for modes 3 (text), 12h (planar), 13h (256 colours) and 4 (CGA). */
static const struct mode mode_3 = {
    0x67, { 0x03, 0x00, 0x03, 0x00, 0x02 },
    { 0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00,
      0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF },
    { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
      0x0C, 0x00, 0x0F, 0x08, 0x00 },
    { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x0F, 0xFF },
};
static const struct mode mode_12 = {
    0xE3, { 0x03, 0x01, 0x0F, 0x00, 0x06 },
    { 0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF },
    { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F,
      0x01, 0x00, 0x0F, 0x00, 0x00 },
    { 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF },
};
static const struct mode mode_13 = {
    0x63, { 0x03, 0x01, 0x0F, 0x00, 0x0E },
    { 0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF },
    { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F,
      0x41, 0x00, 0x0F, 0x00, 0x00 },
    { 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0F, 0xFF },
};
static const struct mode mode_4 = {
    0x63, { 0x03, 0x09, 0x03, 0x00, 0x02 },
    { 0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF },
    { 0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
      0x01, 0x00, 0x03, 0x00, 0x00 },
    { 0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0F, 0x0F, 0xFF },
};

/* Program the mode; DAC entry i becomes the grey of 6-bit value i, entry 1 pure red. */
static void set_mode(struct fixture *f, const struct mode *m)
{
    out(f, 0x3C2, m->misc);
    for (unsigned i = 0; i < 5; i++)
        set(f, 0x3C4, i, m->seq[i]);
    set(f, 0x3D4, 0x11, 0);
    for (unsigned i = 0; i < 25; i++)
        set(f, 0x3D4, i, m->crtc[i]);
    for (unsigned i = 0; i < 9; i++)
        set(f, 0x3CE, i, m->gc[i]);
    in(f, 0x3DA);
    for (unsigned i = 0; i < 21; i++) {
        out(f, 0x3C0, i);
        out(f, 0x3C0, m->attr[i]);
    }
    out(f, 0x3C0, 0x20);
    out(f, 0x3C8, 0);
    for (unsigned i = 0; i < 256 * 3; i++)
        out(f, 0x3C9, i / 3 == 1 ? (i % 3 ? 0 : 63) : i / 3 & 63);
}

static const struct display_surface *render(struct fixture *f)
{
    const struct display_source *d = vga_display(f->vga);

    return d->render(d->opaque);
}

static uint32_t pixel(const struct display_surface *s, unsigned x, unsigned y)
{
    ck_assert(x < s->width && y < s->height);
    return s->pixels[y * s->width + x];
}

static uint32_t grey(unsigned v)
{
    return (v << 2 | v >> 4) * 0x010101u;
}

/* ---- registers ---- */

START_TEST(registers)
{
    struct fixture *f = setup();

    ck_assert_int_eq(state_table_gap(&vga_state_table), -1);
    out(f, 0x3C2, 0x67);
    ck_assert_uint_eq(in(f, 0x3CC), 0x67);
    set(f, 0x3C4, 1, 0xFF);
    ck_assert_uint_eq(in(f, 0x3C5), 0x3D);
    set(f, 0x3D4, 0x11, 0x00);
    set(f, 0x3D4, 0x00, 0x5F);
    set(f, 0x3D4, 0x11, 0x80);
    set(f, 0x3D4, 0x00, 0x12); /* protected */
    out(f, 0x3D4, 0);
    ck_assert_uint_eq(in(f, 0x3D5), 0x5F);
    set(f, 0x3D4, 0x07, 0xFF); /* but for line compare bit 8 */
    ck_assert_uint_eq(in(f, 0x3D5), 0x10);
    ck_assert_uint_eq(in(f, 0x3B5), 0xFF);
    out(f, 0x3C2, 0x66);       /* monochrome addresses */
    ck_assert_uint_eq(in(f, 0x3D5), 0xFF);
    ck_assert_uint_eq(in(f, 0x3B5), 0x10);
    in(f, 0x3BA);
    out(f, 0x3C0, 0x13);
    out(f, 0x3C0, 0x08);
    ck_assert_uint_eq(in(f, 0x3C1), 0x08);
    out(f, 0x3C0, 0x20 | 0x03);
    out(f, 0x3C0, 0x3F);       /* palette: not while the picture is on */
    ck_assert_uint_eq(in(f, 0x3C1), 0x00);
    f->env.devices->reset(f->env.devices->opaque);
    ck_assert_uint_eq(in(f, 0x3CC), 0);
    teardown(f);
}
END_TEST

START_TEST(dac)
{
    struct fixture *f = setup();

    out(f, 0x3C8, 5);
    for (unsigned v = 1; v < 7; v++)
        out(f, 0x3C9, v | 0xC0); /* six bits count */
    out(f, 0x3C7, 5);
    ck_assert_uint_eq(in(f, 0x3C7), 3);
    for (unsigned v = 1; v < 7; v++)
        ck_assert_uint_eq(in(f, 0x3C9), v);
    dispi(f, 4, 0x20);           /* eight bits: the colours stay the same */
    out(f, 0x3C7, 5);
    ck_assert_uint_eq(in(f, 0x3C9), 1 << 2);
    teardown(f);
}
END_TEST

/* Mode 3: 449 lines at 70 Hz; retrace is lines 412 and 413, the picture lines 0 to 399. */
START_TEST(retrace)
{
    struct fixture *f = setup();
    int64_t line = NS_PER_SEC * 900 / 28322000;

    set_mode(f, &mode_3);
    clock_advance(f->env.clock, line / 2);
    ck_assert_uint_eq(in(f, 0x3DA) & 9, 0);
    clock_advance(f->env.clock, line * 45 / 100);
    ck_assert_uint_eq(in(f, 0x3DA) & 9, 1);
    clock_advance(f->env.clock, line * 412);
    ck_assert_uint_eq(in(f, 0x3DA) & 9, 9);
    clock_advance(f->env.clock, line * 4);
    ck_assert_uint_eq(in(f, 0x3DA) & 9, 1);
    teardown(f);
}
END_TEST

/* ---- the window ---- */

START_TEST(write_modes)
{
    struct fixture *f = setup();
    uint64_t a = 0xA0010;

    set_mode(f, &mode_12);
    poke(f, a, 0xA5);
    ck_assert_mem_eq(f->vram + 0x40, "\xA5\xA5\xA5\xA5", 4);
    set(f, 0x3C4, 2, 0x05);                       /* map mask */
    poke(f, a, 0x0F);
    ck_assert_mem_eq(f->vram + 0x40, "\x0F\xA5\x0F\xA5", 4);
    set(f, 0x3C4, 2, 0x0F);
    set(f, 0x3CE, 3, 0x08 | 4);                   /* rotate by 4, AND */
    ck_assert_uint_eq(peek(f, a), 0x0F);          /* loads the latches */
    poke(f, a, 0x3C);                             /* 0xC3 */
    ck_assert_mem_eq(f->vram + 0x40, "\x03\x81\x03\x81", 4);
    set(f, 0x3CE, 3, 0);
    set(f, 0x3CE, 1, 0x03);                       /* set/reset for planes 0, 1 */
    set(f, 0x3CE, 0, 0x02);
    set(f, 0x3CE, 8, 0xF0);                       /* bit mask */
    peek(f, a);
    poke(f, a, 0xFF);
    ck_assert_mem_eq(f->vram + 0x40, "\x03\xF1\xF3\xF1", 4);
    set(f, 0x3CE, 1, 0);
    set(f, 0x3CE, 5, 2);                          /* write mode 2: a colour */
    set(f, 0x3CE, 8, 0x0F);
    peek(f, a);
    poke(f, a, 0x09);
    ck_assert_mem_eq(f->vram + 0x40, "\x0F\xF0\xF0\xFF", 4);
    set(f, 0x3CE, 5, 3);                          /* write mode 3: data and bit mask select set/reset */
    set(f, 0x3CE, 0, 0x02);
    peek(f, a);
    poke(f, a, 0x3C);
    ck_assert_mem_eq(f->vram + 0x40, "\x03\xFC\xF0\xF3", 4);
    set(f, 0x3CE, 5, 1);                          /* write mode 1: latches */
    peek(f, a);
    poke(f, a + 1, 0);
    ck_assert_mem_eq(f->vram + 0x44, "\x03\xFC\xF0\xF3", 4);
    set(f, 0x3CE, 4, 2);                          /* read map */
    ck_assert_uint_eq(peek(f, a), 0xF0);
    set(f, 0x3CE, 5, 8);                          /* read mode 1: where planes 0 and 1 are 1 and 0 */
    set(f, 0x3CE, 2, 0x01);
    set(f, 0x3CE, 7, 0x03);
    ck_assert_uint_eq(peek(f, a), 0x03 & ~0xFC);
    teardown(f);
}
END_TEST

START_TEST(window_placement)
{
    struct fixture *f = setup();

    set_mode(f, &mode_3);
    poke(f, 0xB8000, 'A');                        /* odd/even: character and attribute planes */
    poke(f, 0xB8001, 0x1E);
    ck_assert_mem_eq(f->vram, "A\x1E\0\0", 4);
    poke(f, 0xB8002, 'B');
    ck_assert_uint_eq(f->vram[8], 'B');
    ck_assert_uint_eq(peek(f, 0xB8001), 0x1E);
    ck_assert_uint_eq(peek(f, 0xA0000), 0xFF);
    out(f, 0x3C2, 0x65);                          /* video memory off */
    ck_assert_uint_eq(peek(f, 0xB8000), 0xFF);
    set_mode(f, &mode_13);
    poke(f, 0xA0105, 0x77);
    ck_assert_uint_eq(f->vram[0x105], 0x77);
    ck_assert_ptr_eq(mem_space_find(f->env.memory, 0xA0105).region, vga_vram(f->vga));
    set(f, 0x3C4, 4, 0x06);                       /* unchained: planes again */
    set(f, 0x3C4, 2, 0x04);
    poke(f, 0xA0001, 0x55);
    ck_assert_uint_eq(f->vram[6], 0x55);
    teardown(f);
}
END_TEST

/* ---- pictures ---- */

static void put_text(struct fixture *f, unsigned cell, uint8_t ch, uint8_t attr)
{
    poke(f, 0xB8000 + 2 * cell, ch);
    poke(f, 0xB8001 + 2 * cell, attr);
}

/* Line `scan` of character `ch` in font 0. */
static void put_glyph(struct fixture *f, uint8_t ch, unsigned scan, uint8_t bits)
{
    f->vram[4 * (ch * 32 + scan) + 2] = bits;
}

START_TEST(text_mode)
{
    struct fixture *f = setup();
    char text[4096];

    set_mode(f, &mode_3);
    for (unsigned i = 0; i < 80 * 25; i++)
        put_text(f, i, ' ', 0x07);
    put_glyph(f, 'A', 0, 0x81);
    put_glyph(f, 0xC4, 0, 0xFF);
    put_text(f, 0, 'A', 0x14);
    put_text(f, 81, 0xC4, 0x02);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(s->width, 720);
    ck_assert_uint_eq(s->height, 400);
    ck_assert_uint_eq(pixel(s, 0, 0), grey(4));
    ck_assert_uint_eq(pixel(s, 1, 0), 0xFF0000);  /* attribute 1: background, entry 1 */
    ck_assert_uint_eq(pixel(s, 7, 0), grey(4));
    ck_assert_uint_eq(pixel(s, 8, 0), 0xFF0000);  /* the ninth dot */
    ck_assert_uint_eq(pixel(s, 0, 1), 0xFF0000);
    ck_assert_uint_eq(pixel(s, 9 + 8, 16), grey(2)); /* line drawing goes on */
    ck_assert_int_eq(vga_display(f->vga)->text(vga_display(f->vga)->opaque, text, sizeof(text)), 0);
    ck_assert_mem_eq(text, "A\n \xE2\x94\x80\n\n", 8);
    ck_assert_int_eq(vga_display(f->vga)->text(vga_display(f->vga)->opaque, text, 3), 0);
    ck_assert_str_eq(text, "A\n");
    set(f, 0x3D4, 0x0D, 80);                      /* start address: one row down */
    s = render(f);
    ck_assert_uint_eq(pixel(s, 9, 0), grey(2));
    teardown(f);
}
END_TEST

START_TEST(cursor_and_blink)
{
    struct fixture *f = setup();

    set_mode(f, &mode_3);
    for (unsigned i = 0; i < 80 * 25; i++)
        put_text(f, i, ' ', 0x07);
    put_glyph(f, 'X', 3, 0xFF);
    put_text(f, 0, 'X', 0x87);
    set(f, 0x3D4, 0x0F, 2);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(pixel(s, 18, 13), grey(7));
    ck_assert_uint_eq(pixel(s, 18, 12), 0);
    ck_assert_uint_eq(pixel(s, 0, 3), grey(7));
    clock_advance(f->env.clock, NS_PER_SEC * 17 / 70);
    s = render(f);
    ck_assert_uint_eq(pixel(s, 18, 13), 0);
    ck_assert_uint_eq(pixel(s, 0, 3), grey(7));
    clock_advance(f->env.clock, NS_PER_SEC * 16 / 70);
    s = render(f);
    ck_assert_uint_eq(pixel(s, 18, 13), grey(7));
    ck_assert_uint_eq(pixel(s, 0, 3), 0);
    set(f, 0x3D4, 0x0A, 0x2D);                    /* cursor off */
    s = render(f);
    ck_assert_uint_eq(pixel(s, 18, 13), 0);
    teardown(f);
}
END_TEST

START_TEST(graphics_modes)
{
    struct fixture *f = setup();
    char text[16];

    set_mode(f, &mode_12);
    set(f, 0x3C4, 2, 0x0A);                       /* colour 10: palette 3Ah */
    poke(f, 0xA0000 + 80, 0x40);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(s->width, 640);
    ck_assert_uint_eq(s->height, 480);
    ck_assert_uint_eq(pixel(s, 1, 1), grey(0x3A));
    ck_assert_uint_eq(pixel(s, 2, 1), 0);
    ck_assert_int_eq(vga_display(f->vga)->text(vga_display(f->vga)->opaque, text, sizeof(text)), -1);

    set_mode(f, &mode_13);
    memset(f->vram, 0, 65536);
    poke(f, 0xA0000 + 320 + 2, 0x25);
    s = render(f);
    ck_assert_uint_eq(s->width, 640);
    ck_assert_uint_eq(s->height, 400);
    ck_assert_uint_eq(pixel(s, 4, 2), grey(0x25));
    ck_assert_uint_eq(pixel(s, 5, 3), grey(0x25));
    ck_assert_uint_eq(pixel(s, 6, 3), 0);

    set(f, 0x3C4, 4, 0x06);                       /* mode X: byte addressing, planes */
    set(f, 0x3D4, 0x14, 0);
    set(f, 0x3D4, 0x17, 0xE3);
    set(f, 0x3C4, 2, 0x08);
    poke(f, 0xA0000 + 80, 0x11);                  /* pixel 3 of line 1 */
    s = render(f);
    ck_assert_uint_eq(pixel(s, 6, 2), grey(0x11));
    ck_assert_uint_eq(pixel(s, 4, 2), grey(0x25));

    set_mode(f, &mode_4);
    memset(f->vram, 0, 65536 * 4);
    poke(f, 0xB8001, 0x90);                       /* pixels 4, 5: colours 2, 1 */
    poke(f, 0xBA000, 0x40);                       /* line 1, pixel 0: colour 1 */
    s = render(f);
    ck_assert_uint_eq(s->width, 640);
    ck_assert_uint_eq(pixel(s, 8, 0), grey(0x15));
    ck_assert_uint_eq(pixel(s, 10, 0), grey(0x13));
    ck_assert_uint_eq(pixel(s, 1, 2), grey(0x13));
    ck_assert_uint_eq(pixel(s, 2, 2), 0);
    teardown(f);
}
END_TEST

START_TEST(split_and_panning)
{
    struct fixture *f = setup();

    set_mode(f, &mode_12);
    set(f, 0x3C4, 2, 0x01);
    poke(f, 0xA0000, 0x80);
    set(f, 0x3D4, 0x0C, 0x40);                    /* starts at 4000h; line 101 on shows address 0 */
    set(f, 0x3D4, 0x18, 100);
    set(f, 0x3D4, 0x07, 0x2E);
    set(f, 0x3D4, 0x09, 0x00);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(pixel(s, 0, 0), 0);
    ck_assert_uint_eq(pixel(s, 0, 101), 0xFF0000);
    poke(f, 0xA4000, 0x10);
    in(f, 0x3DA);
    out(f, 0x3C0, 0x33);
    out(f, 0x3C0, 3);
    s = render(f);
    ck_assert_uint_eq(pixel(s, 0, 0), 0xFF0000);
    teardown(f);
}
END_TEST

/* Registers of any value must neither read outside of video memory nor fail. */
START_TEST(hostile_registers)
{
    struct fixture *f = setup();
    uint32_t seed = 12345;

    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        static const uint16_t ports[] = { 0x3C0, 0x3C2, 0x3C4, 0x3CE, 0x3D4, 0x3B4, 0x3C8, 0x1CE };
        uint16_t port = ports[seed >> 29];
        if (port == 0x1CE)
            dispi(f, seed >> 8 & 15, seed >> 12 & 0xFFF);
        else
            mem_write(f->env.ports, port, seed >> 4, 2);
        poke(f, 0xA0000 + (seed >> 10 & 0x1FFFF), seed);
        peek(f, 0xA0000 + (seed >> 9 & 0x1FFFF));
        if (i % 64 == 0)
            ck_assert_ptr_nonnull(render(f));
    }
    teardown(f);
}
END_TEST

/* ---- dispi ---- */

static void dispi_mode(struct fixture *f, unsigned x, unsigned y, unsigned bpp)
{
    dispi(f, 4, 0);
    dispi(f, 1, x);
    dispi(f, 2, y);
    dispi(f, 3, bpp);
    dispi(f, 4, 0x41);
    out(f, 0x3C2, 0x63);
    in(f, 0x3DA);
    out(f, 0x3C0, 0x20);
}

START_TEST(dispi_registers)
{
    struct fixture *f = setup();

    ck_assert_uint_eq(dispi_get(f, 0), 0xB0C5);
    dispi(f, 0, 0xB0C0);
    ck_assert_uint_eq(dispi_get(f, 0), 0xB0C0);
    dispi(f, 0, 0x1234);
    ck_assert_uint_eq(dispi_get(f, 0), 0xB0C0);
    ck_assert_uint_eq(dispi_get(f, 10), 256);
    dispi(f, 4, 2);
    ck_assert_uint_eq(dispi_get(f, 1), 2560);
    ck_assert_uint_eq(dispi_get(f, 2), 1600);
    ck_assert_uint_eq(dispi_get(f, 3), 32);
    f->vram[0x12345] = 1;
    dispi_mode(f, 800, 600, 32);
    ck_assert_uint_eq(f->vram[0x12345], 0);
    ck_assert_uint_eq(dispi_get(f, 4), 0x41);
    ck_assert_uint_eq(dispi_get(f, 6), 800);
    ck_assert_uint_eq(dispi_get(f, 7), (16 << 20) / 3200);
    dispi(f, 6, 100);                             /* narrower than the picture */
    ck_assert_uint_eq(dispi_get(f, 6), 800);
    dispi(f, 5, 256);                             /* beyond video memory */
    ck_assert_uint_eq(dispi_get(f, 5), 0);
    dispi_mode(f, 0, 600, 32);
    ck_assert_uint_eq(dispi_get(f, 4) & 1, 0);
    teardown(f);
}
END_TEST

START_TEST(linear_modes)
{
    struct fixture *f = setup();
    uint64_t lfb = 0xE0000000;

    mem_region_add(f->env.mem_root, lfb, vga_vram(f->vga), 0);
    dispi_mode(f, 640, 480, 32);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(s->width, 640);
    ck_assert_uint_eq(s->height, 480);
    mem_write(f->env.memory, lfb + 2560 * 479 + 4 * 639, 0xFF123456, 4);
    ck_assert_uint_eq(pixel(render(f), 639, 479), 0x123456);
    f->vram[0] = 0xFF; /* behind the back of dirty tracking: not redrawn */
    ck_assert_uint_eq(pixel(render(f), 0, 0), 0);
    dispi(f, 6, 1000);
    dispi(f, 8, 4);
    dispi(f, 9, 2);
    mem_write(f->env.memory, lfb + 4000 * 2 + 4 * 4, 0xABCDEF, 4);
    ck_assert_uint_eq(pixel(render(f), 0, 0), 0xABCDEF);
    dispi(f, 9, 0xFFFF);                          /* beyond video memory: nothing to see */
    ck_assert_uint_eq(pixel(render(f), 0, 0), 0);

    dispi_mode(f, 640, 480, 16);
    mem_write(f->env.memory, lfb + 2, 0xF81F, 2);
    ck_assert_uint_eq(pixel(render(f), 1, 0), 0xFF00FF);
    dispi_mode(f, 640, 480, 15);
    mem_write(f->env.memory, lfb + 2, 0x03E0, 2);
    ck_assert_uint_eq(pixel(render(f), 1, 0), 0x00FF00);
    dispi_mode(f, 640, 480, 24);
    mem_write(f->env.memory, lfb + 3, 0x010203, 4);
    ck_assert_uint_eq(pixel(render(f), 1, 0), 0x010203);
    teardown(f);
}
END_TEST

START_TEST(banked_modes)
{
    struct fixture *f = setup();

    set_mode(f, &mode_13);
    dispi_mode(f, 640, 480, 8);
    dispi(f, 5, 2);
    poke(f, 0xA0007, 0x22);
    ck_assert_uint_eq(f->vram[0x20007], 0x22);
    const struct display_surface *s = render(f);
    ck_assert_uint_eq(pixel(s, 0x20007 % 640, 0x20007 / 640), grey(0x22));

    set_mode(f, &mode_12);                        /* 16 colours: the bank selects plane addresses */
    dispi_mode(f, 1024, 768, 4);
    dispi(f, 5, 1);
    set(f, 0x3C4, 2, 0x04);
    poke(f, 0xA0001, 0x80);
    ck_assert_uint_eq(f->vram[4 * 0x10001 + 2], 0x80);
    s = render(f);
    ck_assert_uint_eq(s->width, 1024);
    ck_assert_uint_eq(pixel(s, (0x10001 % 128) * 8, 0x10001 / 128), grey(4));
    teardown(f);
}
END_TEST

START_TEST(mmio)
{
    struct fixture *f = setup();
    uint8_t edid[128], total = 0;

    mem_region_add(f->env.mem_root, 0xE1000000, vga_mmio(f->vga), 0);
    mem_write(f->env.memory, 0xE1000502, 1024, 2);
    ck_assert_uint_eq(dispi_get(f, 1), 1024);
    ck_assert_uint_eq(mem_read(f->env.memory, 0xE1000500, 2), 0xB0C5);
    mem_write(f->env.memory, 0xE1000404, 0x0F02, 2); /* ports 0x3C4, 0x3C5 */
    ck_assert_uint_eq(in(f, 0x3C5), 0x0F);
    for (unsigned i = 0; i < 128; i++)
        total += edid[i] = (uint8_t)mem_read(f->env.memory, 0xE1000000 + i, 1);
    ck_assert_uint_eq(total, 0);
    ck_assert_mem_eq(edid, "\0\xFF\xFF\xFF\xFF\xFF\xFF\0", 8);
    teardown(f);
}
END_TEST

START_TEST(on_pci)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error err = { "" };
    uint8_t rom[3000] = { 0x55, 0xAA, 6 };

    env_init(&f->env, &f->log);
    struct pci_bus *bus = pci_bus_new(&f->env, f->env.mem_root);
    struct vga_pci *p = vga_pci_new(&f->env, bus, PCI_DEVFN(2, 0), f->env.mem_root, rom, sizeof(rom), &err);
    ck_assert_ptr_nonnull(p);
    struct pci_device *d = pci_bus_find(bus, PCI_DEVFN(2, 0));
    ck_assert_uint_eq(pci_config_read(d, PCI_VENDOR_ID, 4), 0x11111234);
    ck_assert_uint_eq(pci_config_read(d, PCI_CLASS_PROG, 4) & 0xFFFFFF, 0x030000);
    pci_config_write(d, PCI_BAR0, 0xE0000000, 4);
    pci_config_write(d, PCI_BAR0 + 8, 0xE1000000, 4);
    pci_config_write(d, PCI_ROM_ADDRESS, 0xE2000001, 4);
    pci_config_write(d, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
    ck_assert_uint_eq(pci_config_read(d, PCI_BAR0, 4), 0xE0000008);
    ck_assert_uint_eq(mem_read(f->env.memory, 0xE1000500, 2), 0xB0C5);
    ck_assert_uint_eq(mem_read(f->env.memory, 0xE2000000, 4), 0x0006AA55);
    ck_assert_uint_eq(mem_read(f->env.memory, 0xE2000FFF, 1), 0xFF);
    ck_assert_ptr_nonnull(vga_pci_display(p)->render(vga_pci_display(p)->opaque));
    vga_pci_free(p);
    pci_bus_free(bus);
    env_done(&f->env);
    free(f);
}
END_TEST

Suite *vga_suite(void)
{
    Suite *s = suite_create("vga");
    TCase *tc = tcase_create("vga");

    tcase_add_test(tc, registers);
    tcase_add_test(tc, dac);
    tcase_add_test(tc, retrace);
    tcase_add_test(tc, write_modes);
    tcase_add_test(tc, window_placement);
    tcase_add_test(tc, text_mode);
    tcase_add_test(tc, cursor_and_blink);
    tcase_add_test(tc, graphics_modes);
    tcase_add_test(tc, split_and_panning);
    tcase_add_test(tc, hostile_registers);
    tcase_add_test(tc, dispi_registers);
    tcase_add_test(tc, linear_modes);
    tcase_add_test(tc, banked_modes);
    tcase_add_test(tc, mmio);
    tcase_add_test(tc, on_pci);
    suite_add_tcase(s, tc);
    return s;
}
