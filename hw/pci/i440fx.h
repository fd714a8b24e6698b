/* The 82441FX host bridge and the memory map that it decodes. */
#ifndef MIMUS_HW_PCI_I440FX_H
#define MIMUS_HW_PCI_I440FX_H

#include "hw/pci/pci.h"

struct i440fx;

/* Builds the map in env->mem_root and PCI bus 0 with the bridge at slot 0. `ram` is all of the machine's RAM
 * (a MEM_RAM region of at least 1 MiB), `bios` the firmware ROM (64 KiB to 16 MiB): it ends at 4 GiB and its
 * last 128 KiB appear below 1 MiB. Both stay the caller's, who frees them after i440fx_free(). NULL when out
 * of memory. */
struct i440fx *i440fx_new(struct hw_env *env, struct mem_region *ram, struct mem_region *bios);
void i440fx_free(struct i440fx *f);
struct pci_bus *i440fx_bus(struct i440fx *f);
/* Container of the whole address space as PCI sees it, where RAM does not answer: legacy VGA memory goes to
 * 0xA0000 in it, option ROMs to 0xC0000. Low priority 0 is free; the firmware's low alias has -1. */
struct mem_region *i440fx_pci_memory(struct i440fx *f);
/* What a processor in system management mode sees: everything, and SMRAM at 0xA0000 while it is enabled. */
struct mem_space *i440fx_smm_memory(struct i440fx *f);
/* Bytes of RAM below 4 GiB, and above. */
uint64_t i440fx_ram_below_4g(uint64_t ram_size);
uint64_t i440fx_ram_above_4g(uint64_t ram_size);

#endif
