/* Boots a Linux kernel image directly: bzImage, initrd and command line for the option ROM
 * roms/mimus-linux.S. */
#ifndef MIMUS_MACHINE_LINUX_BOOT_H
#define MIMUS_MACHINE_LINUX_BOOT_H

#include <stdint.h>

struct error;
struct fw_cfg;

/* Read `kernel` (boot protocol 2.00 or later) and `initrd` (NULL: none) and put them with `cmdline`
 * (NULL: empty) into fw_cfg, ready to be copied to where they run. Returns 0 or -errno with one line in
 * `err` naming the file. */
int linux_boot_setup(struct fw_cfg *fw, const char *kernel, const char *initrd, const char *cmdline,
                     uint64_t ram_below_4g, struct error *err);

#endif
