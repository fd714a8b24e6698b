/* VGA core with the "dispi" mode-setting interface of Bochs and 16 MiB of video memory. The PCI function that
 * carries it is hw/display/vga_pci.h. */
#ifndef MIMUS_HW_DISPLAY_VGA_H
#define MIMUS_HW_DISPLAY_VGA_H

#include "hw/device.h"

struct display_source;
struct error;
struct vga;

enum { VGA_VRAM_SIZE = 16 << 20, VGA_MMIO_SIZE = 4096 };

extern const struct state_table vga_state_table;

/* Ports 0x3B0-0x3BB, 0x3C0-0x3DF and 0x1CE-0x1D1 in env's port space; the window 0xA0000-0xBFFFF in
 * `memory`, the container of the PCI memory space. NULL with `err` set when there is no room for the video
 * memory. */
struct vga *vga_new(struct hw_env *env, struct mem_region *memory, struct error *err);
void vga_free(struct vga *v);
/* All video memory, linear (VGA_VRAM_SIZE bytes); not placed anywhere yet. */
struct mem_region *vga_vram(struct vga *v);
/* EDID at 0, ports 0x3C0-0x3DF at 0x400, the dispi registers at 0x500 (VGA_MMIO_SIZE bytes); not placed. */
struct mem_region *vga_mmio(struct vga *v);
/* Valid as long as the adapter; its calls need the machine lock. */
const struct display_source *vga_display(struct vga *v);

#endif
