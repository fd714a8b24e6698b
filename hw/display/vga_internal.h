/* What the files of the VGA core share. Register names as in the IBM VGA documentation. */
#ifndef MIMUS_HW_DISPLAY_VGA_INTERNAL_H
#define MIMUS_HW_DISPLAY_VGA_INTERNAL_H

#include "base/bits.h"
#include "hw/display/vga.h"
#include "ui/display.h"

enum misc_output_bit { MISC_IOAS = 0x01, MISC_RAM_ENABLE = 0x02, MISC_CLOCK = 0x0C };

enum seq_reg { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_CHAR_MAP, SEQ_MEMORY_MODE, SEQ_COUNT = 8 };
enum seq_clocking_bit { CLOCKING_8_DOTS = 0x01, CLOCKING_HALF = 0x08, CLOCKING_SCREEN_OFF = 0x20 };
enum seq_memory_bit { MEMORY_EXTENDED = 0x02, MEMORY_NO_ODD_EVEN = 0x04, MEMORY_CHAIN4 = 0x08 };

enum gc_reg {
    GC_SET_RESET, GC_ENABLE_SET_RESET, GC_COLOR_COMPARE, GC_ROTATE, GC_READ_MAP, GC_MODE, GC_MISC,
    GC_COLOR_DONT_CARE, GC_BIT_MASK, GC_COUNT = 16
};
enum gc_mode_bit {
    GC_WRITE_MODE = 0x03, GC_READ_COMPARE = 0x08, GC_ODD_EVEN = 0x10, GC_SHIFT_INTERLEAVED = 0x20,
    GC_SHIFT_256 = 0x40
};
enum { GC_MISC_GRAPHICS = 0x01, GC_MISC_MAP_SHIFT = 2 };

enum crtc_reg {
    CR_H_TOTAL = 0x00, CR_H_DISPLAY_END = 0x01, CR_V_TOTAL = 0x06, CR_OVERFLOW = 0x07, CR_PRESET_ROW = 0x08,
    CR_MAX_SCAN_LINE = 0x09, CR_CURSOR_START = 0x0A, CR_CURSOR_END = 0x0B, CR_START_HIGH = 0x0C,
    CR_START_LOW = 0x0D, CR_CURSOR_HIGH = 0x0E, CR_CURSOR_LOW = 0x0F, CR_V_RETRACE_START = 0x10,
    CR_V_RETRACE_END = 0x11, CR_V_DISPLAY_END = 0x12, CR_OFFSET = 0x13, CR_UNDERLINE = 0x14, CR_MODE = 0x17,
    CR_LINE_COMPARE = 0x18, CR_COUNT = 0x19
};
enum crtc_mode_bit { CR_MODE_A13 = 0x01, CR_MODE_A14 = 0x02, CR_MODE_WRAP = 0x20, CR_MODE_BYTE = 0x40,
                     CR_MODE_SYNC = 0x80 };
enum { CR_UNDERLINE_DWORD = 0x40, CR_PROTECT = 0x80, CR_DOUBLE_SCAN = 0x80 };

enum attr_reg { AR_MODE = 0x10, AR_OVERSCAN, AR_PLANE_ENABLE, AR_PAN, AR_COLOR_SELECT, AR_COUNT = 0x15 };
enum attr_mode_bit { AR_MODE_LINE_GRAPHICS = 0x04, AR_MODE_BLINK = 0x08, AR_MODE_PAN_COMPAT = 0x20,
                     AR_MODE_P54 = 0x80 };
enum { AR_INDEX_PAS = 0x20 }; /* palette address source: the picture is on */

/* The dispi registers, as the Bochs VBE interface numbers them. */
enum vbe_reg {
    VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT, VBE_X_OFFSET,
    VBE_Y_OFFSET, VBE_VIDEO_MEMORY_64K, VBE_COUNT
};
enum vbe_enable_bit { VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB_ENABLED = 0x40,
                      VBE_NOCLEARMEM = 0x80, VBE_ENABLE_BITS = 0xE3 };
enum { VBE_MAX_XRES = 2560, VBE_MAX_YRES = 1600, VBE_MAX_BPP = 32 };

struct vga_regs {
    uint16_t vbe[VBE_COUNT];
    uint16_t vbe_index;
    uint8_t misc, feature;
    uint8_t seq_index, seq[SEQ_COUNT];
    uint8_t gc_index, gc[GC_COUNT];
    uint8_t crtc_index, crtc[CR_COUNT];
    uint8_t attr_index, attr[AR_COUNT];
    uint8_t attr_data_next;          /* the flip-flop of port 0x3C0: the next write is data */
    uint8_t dac_mask, dac_read, dac_write, dac_component, dac_state;
    uint8_t dac_latch[3];
    uint8_t palette[768];            /* red, green, blue of 256 colours, in the DAC's width */
    uint8_t latch[4];                /* one byte of each plane */
    uint8_t pad[1];
};

/* Video memory holds the four planes interleaved: byte `a` of plane `p` is at 4 * a + p. So a linear
 * (chain-4, LFB) pixel array and the planes are two views of the same bytes. */
struct vga {
    struct vga_regs regs;
    struct hw_env *env;
    struct mem_region *vram, *mmio;
    uint8_t *host;                       /* of VRAM */
    struct mem_region *window;           /* container at 0xA0000: the I/O region, above it maybe `linear` */
    struct mem_region *window_io;
    struct mem_region *linear;           /* alias of VRAM while the window is plain memory, or NULL */
    uint32_t linear_offset, linear_start, linear_size;
    struct mem_region *ports_mono, *ports, *ports_dispi;
    struct display_surface surface;
    bool redraw;                         /* a register that shapes the picture has changed */
    unsigned drawn_phase;                /* blink phases in the picture */
    struct display_source source;
    struct device dev;
};

/* A VBE picture in VRAM; 4 bits per pixel is planar, so a byte of the pitch is a quarter of eight pixels. */
struct vbe_picture {
    unsigned width, height, bpp;
    uint32_t start, pitch, line_bytes; /* bytes of VRAM */
};

/* vga_mem.c: the window 0xA0000-0xBFFFF */
extern const struct mem_ops vga_window_ops;
/* Map VRAM into the window where an access has no side effect; called after any change that decides on it. */
void vga_update_window(struct vga *v);

/* vga_vbe.c */
uint16_t vga_vbe_read(struct vga *v, unsigned index);
void vga_vbe_write(struct vga *v, unsigned index, uint16_t value);
extern const struct mem_ops vga_dispi_ops, vga_mmio_ops;
/* The picture that the dispi registers describe; false when VBE is off. Lies within VRAM, or has height 0. */
bool vga_vbe_picture(const struct vga *v, struct vbe_picture *pic);

/* vga.c */
uint8_t vga_port_read(struct vga *v, unsigned port);
void vga_port_write(struct vga *v, unsigned port, uint8_t value);

/* vga_edid.c: byte `offset` of the monitor's description. */
uint8_t vga_edid_byte(unsigned offset);

/* vga_raster.c: what the CRT controller makes of the planes. */
struct vga_raster {
    unsigned chars, char_dots, repeat;  /* character clocks a line, dots each, times each dot is drawn */
    unsigned lines, cell_lines;         /* scan lines of the picture, of a character row */
    bool double_scan, text;
    uint32_t start, offset;             /* address counter of the picture's start, its step a row */
    unsigned preset, split;             /* first scan line within the row; line compare */
};
void vga_raster_get(const struct vga_regs *r, struct vga_raster *raster);
/* Dword of VRAM that the address counter `c` fetches in scan line `scan` of a row. */
uint32_t vga_fetch(const struct vga *v, uint32_t c, unsigned scan);
void vga_raster_draw(struct vga *v, const struct vga_raster *raster, const uint32_t *dac);
/* Which blink phases show now: bit 0 the cursor, bit 1 blinking characters. */
unsigned vga_blink_phase(const struct vga *v);
/* The 16 colours behind the attribute controller. */
void vga_attr_colors(const struct vga_regs *r, const uint32_t *dac, uint32_t *colors);

/* vga_render.c */
const struct display_surface *vga_render(void *opaque);
/* vga_text.c */
int vga_text(void *opaque, char *buf, size_t size);

static inline bool vga_vbe_on(const struct vga_regs *r)
{
    return r->vbe[VBE_ENABLE] & VBE_ENABLED;
}

#endif
