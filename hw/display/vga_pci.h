/* The PCI display adapter 1234:1111 that `-vga std` names. */
#ifndef MIMUS_HW_DISPLAY_VGA_PCI_H
#define MIMUS_HW_DISPLAY_VGA_PCI_H

#include "hw/pci/pci.h"

struct display_source;
struct error;
struct vga_pci;

/* A VGA core as function `devfn` of `bus`: BAR 0 is video memory, BAR 2 the MMIO registers, the ROM base
 * address shows the `rom_len` (at most 1 MiB) bytes of video BIOS at `rom` (copied; NULL: no ROM).
 * `memory` is the container of the PCI memory space, for the window at 0xA0000. NULL with `err` set on
 * failure. */
struct vga_pci *vga_pci_new(struct hw_env *env, struct pci_bus *bus, unsigned devfn,
                            struct mem_region *memory, const void *rom, size_t rom_len, struct error *err);
void vga_pci_free(struct vga_pci *p);
const struct display_source *vga_pci_display(struct vga_pci *p);

#endif
