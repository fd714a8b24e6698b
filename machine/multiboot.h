/* Boots a Multiboot (version 1) kernel directly, with the option ROM roms/mimus-multiboot.S. */
#ifndef MIMUS_MACHINE_MULTIBOOT_H
#define MIMUS_MACHINE_MULTIBOOT_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct fw_cfg;

/* Is there a Multiboot header in the first 8 KiB of the file? False too when it cannot be read. */
bool multiboot_probe(const char *kernel);
/* Read the kernel and its modules ("FILE[ ARGUMENTS],FILE...", NULL: none; ",," is a comma) and put them
 * with the Multiboot information into fw_cfg. Returns 0 or -errno with one line in `err` that names the
 * file. */
int multiboot_setup(struct fw_cfg *fw, const char *kernel, const char *modules, const char *cmdline,
                    uint64_t ram_below_4g, struct error *err);

#endif
