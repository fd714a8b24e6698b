/* The 82371SB PCI-to-ISA bridge: PCI interrupt routing and the reset control register. */
#ifndef MIMUS_HW_PCI_PIIX3_H
#define MIMUS_HW_PCI_PIIX3_H

#include "hw/pci/pci.h"

struct piix3;
extern const struct state_table piix3_state_table;

/* Function 1:0.0 of `bus`. `isa_irq` are the 16 interrupt lines of the board (each feeds the 8259 and the I/O
 * APIC pin of that number); only 3-7, 9-12, 14, 15 are driven. `reset` is pulsed (1, 0) when the guest asks
 * for a reset through port 0xCF9. */
struct piix3 *piix3_new(struct hw_env *env, struct pci_bus *bus, const struct irq_line isa_irq[16],
                        struct irq_line reset);
void piix3_free(struct piix3 *s);
/* A level-triggered input that shares ISA interrupt `irq` with the PCI interrupts routed there (SCI). */
struct irq_line piix3_shared_irq(struct piix3 *s, int irq);

#endif
