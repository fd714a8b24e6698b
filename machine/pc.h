/* What the files that build the board share: its parts. */
#ifndef MIMUS_MACHINE_PC_H
#define MIMUS_MACHINE_PC_H

#include <stdbool.h>

#include "machine/machine.h"

struct pc {
    struct machine *m;
    struct mem_region *ram, *bios;
    struct lapic_bus *lapic_bus;
    struct lapic *lapic;
    struct ioapic *ioapic;
    struct i8259 *pic;
    struct i8254 *pit;
    struct mc146818 *rtc;
    struct hpet *hpet;
    struct port61 *port61;
    struct i440fx *host;
    struct piix3 *isa;
    struct piix_ide *ide;
    struct piix4_pm *pm;
    struct i8042 *kbc;
    struct port92 *port92;
    struct ferr *ferr;
    struct i8237 *dma;
    struct fdc *fdc;
    struct fw_cfg *fw_cfg;
    struct serial *com[4];
    struct vga_pci *vga;
    struct block *image[OPT_MAX_DRIVES];
    unsigned num_images;
    struct debugcon *debugcon[OPT_MAX_LIST];
    struct debugexit *debugexit[OPT_MAX_LIST];
    struct testdev *testdev;
    struct serial *extra_serial[OPT_MAX_LIST];
};

/* The board's interrupt n (0..23). */
struct irq_line pc_gsi(struct pc *pc, int n);

#endif
