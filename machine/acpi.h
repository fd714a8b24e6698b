/* ACPI tables of the PC, handed to the firmware through fw_cfg, which places them in guest memory. */
#ifndef MIMUS_MACHINE_ACPI_H
#define MIMUS_MACHINE_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/cpu.h"

struct fw_cfg;

/* The tables name a processor by its index, the processor's ACPI id and _UID. An APIC id from 255 on does not
 * fit the 8 bits of the old structures: such a processor is a device, with the structures of the x2APIC. */
enum { ACPI_X2APIC_FIRST = 255 };

struct acpi_config {
    struct cpu_topology topology;  /* at most 4095 processors */
    uint32_t pci_hole;         /* first address of the PCI memory window, from the end of low RAM on */
    bool hpet, floppy, com1, com2, lpt, fw_cfg;
};

/* Adds the files etc/acpi/rsdp, etc/acpi/tables and etc/table-loader. */
void acpi_setup(struct fw_cfg *fw, const struct acpi_config *config);

#endif
