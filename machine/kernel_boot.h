/* The kernel of -kernel, whatever kind it is. */
#ifndef MIMUS_MACHINE_KERNEL_BOOT_H
#define MIMUS_MACHINE_KERNEL_BOOT_H

#include <stdint.h>

struct error;
struct firmware_search;
struct fw_cfg;

/* RAM that the firmware keeps at the end of RAM below 4 GiB for its tables (ACPI): SeaBIOS takes 256 KiB. */
enum { KERNEL_BOOT_RESERVED = 512 << 10 };

/* Put a Multiboot kernel or a Linux kernel with its initrd (modules) and command line, each of which may
 * be NULL, into fw_cfg, add the option ROM that starts it (file genroms/NAME) and make it the first boot
 * device (file bootorder). Returns 0 or -errno with one line in `err`. */
int kernel_boot_setup(struct fw_cfg *fw, const struct firmware_search *search, const char *kernel,
                      const char *initrd, const char *cmdline, uint64_t ram_below_4g, struct error *err);

#endif
