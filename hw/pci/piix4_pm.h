/* The 82371AB power management function: ACPI registers, PM timer, SMI command port, SMBus host. */
#ifndef MIMUS_HW_PCI_PIIX4_PM_H
#define MIMUS_HW_PCI_PIIX4_PM_H

#include "hw/pci/pci.h"

struct piix4_pm;
extern const struct state_table piix4_pm_state_table;

/* ISA devices that the board has; the firmware's ACPI tables read it from DEVRESA..C. */
enum piix4_isa_device { PIIX4_LPT = 1, PIIX4_COMA = 2, PIIX4_COMB = 4 };

/* Function 1:0.3 of `bus`. `sci` is the level-triggered interrupt (ISA 9), `poweroff` is driven to 1 when the
 * guest enters S4 or S5, `smi` is pulsed by writes to the command port 0xB2 while APMC_EN and
 * SMI_EN are set; unconnected, the chip comes up with APMC_EN set, which tells the firmware not to install an
 * SMM handler. */
struct piix4_pm *piix4_pm_new(struct hw_env *env, struct pci_bus *bus, struct irq_line sci,
                              struct irq_line poweroff, struct irq_line smi, unsigned isa_devices);
void piix4_pm_free(struct piix4_pm *s);
/* The user pressed the power button. */
void piix4_pm_power_button(struct piix4_pm *s);

#endif
