/* The PIIX3's IDE controller with its two channels. */
#ifndef MIMUS_HW_IDE_PIIX_IDE_H
#define MIMUS_HW_IDE_PIIX_IDE_H

#include "block/block.h"
#include "hw/pci/pci.h"

struct piix_ide;
extern const struct state_table piix_ide_state_table;

/* Function 1:0.1 of `bus`; the interrupts are ISA 14 (primary channel) and 15. The channels answer at their
 * legacy ports once the firmware has set IDE decode enable in IDETIM. */
struct piix_ide *piix_ide_new(struct hw_env *env, struct pci_bus *bus, struct irq_line irq14,
                              struct irq_line irq15);
/* To be called while the images are still open. */
void piix_ide_free(struct piix_ide *s);
/* Plug a disk or a CD drive in at channel 0..1, unit 0 (master) or 1. `block` is not owned; NULL: a CD drive
 * without medium. `serial` of up to 20 characters is copied; NULL: one is made up. */
void ide_attach(struct piix_ide *s, int channel, int unit, struct block *block, bool cdrom,
                const char *serial);
/* Change the medium of a CD drive; NULL takes it out. The image before may be closed afterwards. */
void ide_set_media(struct piix_ide *s, int channel, int unit, struct block *block);

#endif
