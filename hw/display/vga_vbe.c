/* VGA core: the dispi registers of the Bochs VBE interface (its published register list; SeaBIOS and Linux's
 * bochs-drm are its drivers), and the memory BAR of the PCI variant. */
#include "hw/display/vga_internal.h"

enum {
    MMIO_VGA = 0x400, MMIO_VGA_END = 0x420,
    MMIO_DISPI = 0x500, MMIO_DISPI_END = MMIO_DISPI + 2 * VBE_COUNT,
};

/* Bytes of VRAM that `pixels` (a multiple of 8 at 4 bits) take; 15 bits per pixel are stored as 16. */
static uint32_t vram_bytes(unsigned bpp, unsigned pixels)
{
    return bpp == 4 ? pixels / 2 : pixels * ((bpp + 7) / 8);
}

static uint16_t virt_height(const struct vga_regs *r)
{
    uint32_t pitch = vram_bytes(r->vbe[VBE_BPP], r->vbe[VBE_VIRT_WIDTH]);

    return pitch ? (uint16_t)MIN_OF(VGA_VRAM_SIZE / pitch, 0xFFFF) : 0;
}

bool vga_vbe_picture(const struct vga *v, struct vbe_picture *pic)
{
    const uint16_t *vbe = v->regs.vbe;
    unsigned bpp = vbe[VBE_BPP];

    if (!vga_vbe_on(&v->regs))
        return false;
    *pic = (struct vbe_picture){ .width = vbe[VBE_XRES], .height = vbe[VBE_YRES], .bpp = bpp };
    pic->pitch = vram_bytes(bpp, vbe[VBE_VIRT_WIDTH]);
    pic->line_bytes = vram_bytes(bpp, vbe[VBE_XRES]);
    uint64_t start = (uint64_t)vbe[VBE_Y_OFFSET] * pic->pitch;
    start += vram_bytes(bpp, vbe[VBE_X_OFFSET] & (bpp == 4 ? ~7u : ~0u));
    if (start + (uint64_t)(pic->height - 1) * pic->pitch + pic->line_bytes > VGA_VRAM_SIZE)
        pic->height = 0;
    pic->start = (uint32_t)start;
    return true;
}

uint16_t vga_vbe_read(struct vga *v, unsigned index)
{
    const struct vga_regs *r = &v->regs;
    bool caps = r->vbe[VBE_ENABLE] & VBE_GETCAPS;

    switch (index) {
    case VBE_XRES: return caps ? VBE_MAX_XRES : r->vbe[index];
    case VBE_YRES: return caps ? VBE_MAX_YRES : r->vbe[index];
    case VBE_BPP: return caps ? VBE_MAX_BPP : r->vbe[index];
    case VBE_VIRT_HEIGHT: return virt_height(r);
    default: return index < VBE_COUNT ? r->vbe[index] : 0;
    }
}

/* A change of the DAC's width keeps the colours. */
static void convert_palette(struct vga_regs *r, bool to_8_bits)
{
    for (unsigned i = 0; i < sizeof(r->palette); i++)
        r->palette[i] = (uint8_t)(to_8_bits ? r->palette[i] << 2 | r->palette[i] >> 4 : r->palette[i] >> 2);
}

static void clear_vram(struct vga *v)
{
    uint64_t ram_off = mem_region_ram_off(v->vram);

    fill_shared(v->host, 0, VGA_VRAM_SIZE);
    mem_ram_written(v->env->mem, ram_off, VGA_VRAM_SIZE);
}

/* Turn the mode on with the sizes set so far: the whole picture is on screen. */
static bool enter_mode(struct vga *v, uint16_t enable)
{
    uint16_t *vbe = v->regs.vbe;

    if (!vbe[VBE_XRES] || !vbe[VBE_YRES] ||
        vram_bytes(vbe[VBE_BPP], vbe[VBE_XRES]) * vbe[VBE_YRES] > VGA_VRAM_SIZE) {
        log_guest(v->env->log, "vga: dispi mode %ux%ux%u is not possible\n", vbe[VBE_XRES], vbe[VBE_YRES],
                  vbe[VBE_BPP]);
        return false;
    }
    vbe[VBE_VIRT_WIDTH] = vbe[VBE_XRES];
    vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = 0;
    if (!(enable & VBE_NOCLEARMEM))
        clear_vram(v);
    return true;
}

static void enable_write(struct vga *v, uint16_t value)
{
    struct vga_regs *r = &v->regs;
    uint16_t old = r->vbe[VBE_ENABLE];

    if ((old ^ value) & VBE_8BIT_DAC)
        convert_palette(r, value & VBE_8BIT_DAC);
    if ((value & VBE_ENABLED) && !(old & VBE_ENABLED) && !enter_mode(v, value))
        value &= (uint16_t)~VBE_ENABLED;
    if (!(value & VBE_ENABLED))
        r->vbe[VBE_BANK] = 0;
    r->vbe[VBE_ENABLE] = value & VBE_ENABLE_BITS;
}

static bool bpp_valid(uint16_t bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Is the value one that the register can take now? */
static bool value_valid(const struct vga_regs *r, unsigned index, uint16_t value)
{
    uint16_t bpp = r->vbe[VBE_BPP];

    switch (index) {
    case VBE_ID: return value >= 0xB0C0 && value <= 0xB0C5;
    case VBE_XRES: return value <= VBE_MAX_XRES;
    case VBE_YRES: return value <= VBE_MAX_YRES;
    case VBE_BPP: return bpp_valid(value);
    case VBE_BANK: return (uint32_t)value << 16 < (bpp == 4 ? VGA_VRAM_SIZE / 4 : VGA_VRAM_SIZE);
    case VBE_VIRT_WIDTH:
        return value >= r->vbe[VBE_XRES] && vram_bytes(bpp, value) * r->vbe[VBE_YRES] <= VGA_VRAM_SIZE;
    case VBE_ENABLE: case VBE_X_OFFSET: case VBE_Y_OFFSET: return true;
    default: return false;
    }
}

void vga_vbe_write(struct vga *v, unsigned index, uint16_t value)
{
    struct vga_regs *r = &v->regs;

    if (index == VBE_VIRT_HEIGHT || index == VBE_VIDEO_MEMORY_64K)
        return;
    if (!value_valid(r, index, value)) {
        log_guest(v->env->log, "vga: dispi register %u cannot be 0x%04x\n", index, value);
        return;
    }
    if (index == VBE_XRES)
        value &= (uint16_t)~7u;
    if (index == VBE_ENABLE)
        enable_write(v, value);
    else
        r->vbe[index] = value;
    if (index == VBE_XRES || index == VBE_BPP)
        r->vbe[VBE_VIRT_WIDTH] = r->vbe[VBE_XRES];
    v->redraw |= index != VBE_BANK;
    vga_update_window(v);
}

/* 0x1CE is the index, 0x1CF the data; hosts that need alignment find the data at 0x1D0 too. */
static uint64_t dispi_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *v = opaque;

    (void)size;
    return offset ? vga_vbe_read(v, v->regs.vbe_index) : v->regs.vbe_index;
}

static void dispi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;

    if (!offset)
        v->regs.vbe_index = (uint16_t)value;
    else if (size == 2)
        vga_vbe_write(v, v->regs.vbe_index, (uint16_t)value);
    else
        log_guest(v->env->log, "vga: byte write to the dispi data port ignored\n");
}

const struct mem_ops vga_dispi_ops = { dispi_read, dispi_write, { 1, 4, true }, { 1, 2, true } };

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *v = opaque;
    uint64_t value = 0;

    if (offset >= MMIO_DISPI && offset < MMIO_DISPI_END)
        return vga_vbe_read(v, (unsigned)(offset - MMIO_DISPI) / 2) >> (8 * (offset & 1));
    for (unsigned i = 0; i < size; i++) {
        uint64_t at = offset + i;
        if (at >= MMIO_VGA && at < MMIO_VGA_END)
            value |= (uint64_t)vga_port_read(v, 0x3C0 + (unsigned)(at - MMIO_VGA)) << (8 * i);
        else if (at < MMIO_VGA)
            value |= (uint64_t)vga_edid_byte((unsigned)at) << (8 * i);
    }
    return value;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;

    if (offset >= MMIO_DISPI && offset < MMIO_DISPI_END && size == 2) {
        vga_vbe_write(v, (unsigned)(offset - MMIO_DISPI) / 2, (uint16_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        if (offset + i >= MMIO_VGA && offset + i < MMIO_VGA_END)
            vga_port_write(v, 0x3C0 + (unsigned)(offset + i - MMIO_VGA), (uint8_t)(value >> (8 * i)));
}

const struct mem_ops vga_mmio_ops = { mmio_read, mmio_write, { 1, 8, false }, { 1, 2, false } };
