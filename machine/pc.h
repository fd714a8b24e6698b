/* What the files that build the board share: its parts. */
#ifndef MIMUS_MACHINE_PC_H
#define MIMUS_MACHINE_PC_H

#include <stdbool.h>

#include "base/clock.h"
#include "machine/machine.h"

struct pci_bus;

/* A processor and its local APIC. */
struct pc_cpu {
    struct pc *pc;
    struct cpu *cpu;
    struct lapic *lapic;
    struct clock_reader tsc; /* of the processor's thread */
};

struct pc {
    struct machine *m;
    struct pc_cpu cpu[CPU_MAX];
    struct mem_region *ram, *bios;
    struct lapic_bus *lapic_bus;
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

/* ---- pc_cpu.c ---- */

/* The processors, which stand. */
int pc_build_cpus(struct machine *m, struct error *err);
void pc_free_cpus(struct machine *m);
/* Their local APICs and the bus between them. */
void pc_build_lapics(struct machine *m);
void pc_free_lapics(struct machine *m);
/* The 8259 pair's output. */
void pc_set_pic_intr(struct pc *pc, int level);
/* Message-signalled interrupts of the bus go to the local APICs. */
void pc_connect_messages(struct pc *pc, struct pci_bus *bus);
/* The space of system management mode, for all processors. */
void pc_set_smm_memory(struct machine *m, struct mem_space *space);

/* ---- pc.c ---- */

/* The board's interrupt n (0..23). */
struct irq_line pc_gsi(struct pc *pc, int n);

#endif
