/* What the board tells the firmware: ROM images, CMOS, fw_cfg. */
#ifndef MIMUS_MACHINE_PC_FIRMWARE_H
#define MIMUS_MACHINE_PC_FIRMWARE_H

#include <stddef.h>

struct error;
struct machine;

/* The system firmware into pc->bios. */
int pc_load_bios(struct machine *m, struct error *err);
/* The video BIOS, to be freed by the caller. NULL with `err`. */
void *pc_load_vga_bios(struct machine *m, size_t *len, struct error *err);
/* CMOS contents, fw_cfg items, ACPI and SMBIOS tables, the kernel of -kernel. Call when all devices are there. */
int pc_setup_firmware(struct machine *m, struct error *err);
/* After a reset: -boot once= no longer counts. */
void pc_boot_again(struct machine *m);

#endif
