/* SMBIOS tables, handed to the firmware through fw_cfg. */
#ifndef MIMUS_MACHINE_SMBIOS_H
#define MIMUS_MACHINE_SMBIOS_H

#include <stdint.h>

#include "cpu/cpu.h"

struct fw_cfg;

struct smbios_config {
    struct cpu_topology topology;
    uint64_t below_4g, above_4g;     /* bytes of RAM */
    const char *version;             /* of the machine: Mimus's version */
    const char *cpu_name;            /* processor version string */
    uint32_t cpuid_eax, cpuid_edx;   /* of CPUID leaf 1 */
    uint8_t uuid[16];                /* as printed: big-endian fields; all zero: none */
};

/* Adds etc/smbios/smbios-anchor and etc/smbios/smbios-tables; the firmware fills in the tables' address. */
void smbios_setup(struct fw_cfg *fw, const struct smbios_config *config);

#endif
