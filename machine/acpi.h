/* ACPI tables of the PC, handed to the firmware through fw_cfg, which places them in guest memory. */
#ifndef MIMUS_MACHINE_ACPI_H
#define MIMUS_MACHINE_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct fw_cfg;

struct acpi_config {
    unsigned num_cpus;         /* 1..255, APIC ids 0.. */
    uint32_t pci_hole;         /* first address of the PCI memory window, from the end of low RAM on */
    bool hpet, floppy, com1, com2, lpt, fw_cfg;
};

/* Adds the files etc/acpi/rsdp, etc/acpi/tables and etc/table-loader. */
void acpi_setup(struct fw_cfg *fw, const struct acpi_config *config);

#endif
