/* The firmware configuration device: named and numbered data from the machine for the firmware. */
#ifndef MIMUS_HW_MISC_FW_CFG_H
#define MIMUS_HW_MISC_FW_CFG_H

#include "hw/device.h"

struct fw_cfg;

/* Items with fixed numbers; files get the numbers from FW_CFG_FILE_FIRST on, sorted by name. */
enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0A,
    FW_CFG_INITRD_SIZE = 0x0B,
    FW_CFG_BOOT_DEVICE = 0x0C,
    FW_CFG_NUMA = 0x0D,
    FW_CFG_BOOT_MENU = 0x0E,
    FW_CFG_MAX_CPUS = 0x0F,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ARCH_LOCAL = 0x8000,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
};
enum { FW_CFG_NAME_MAX = 55 };

extern const struct state_table fw_cfg_state_table;

/* Ports 0x510, 0x511 and 0x514-0x51B; DMA goes to env's memory space. Signature and ID are there already. */
struct fw_cfg *fw_cfg_new(struct hw_env *env);
void fw_cfg_free(struct fw_cfg *f);

/* Numbered items; a second call replaces the contents. `key` is no file's. The data are copied; integers are
 * stored little-endian. */
void fw_cfg_add_bytes(struct fw_cfg *f, unsigned key, const void *data, size_t len);
void fw_cfg_add_u16(struct fw_cfg *f, unsigned key, uint16_t value);
void fw_cfg_add_u32(struct fw_cfg *f, unsigned key, uint32_t value);
void fw_cfg_add_u64(struct fw_cfg *f, unsigned key, uint64_t value);
/* As add_bytes, but `data`, from malloc(), becomes the device's. */
void fw_cfg_take_bytes(struct fw_cfg *f, unsigned key, void *data, size_t len);

/* Files; a name has at most FW_CFG_NAME_MAX characters. A second call replaces the contents (the size changes
 * in the directory too). All files are there before the guest starts: numbers follow the sorted names. */
void fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t len);
/* `select(opaque)` runs each time the guest selects that file, before it reads; it may replace the contents
 * with fw_cfg_add_file(). */
void fw_cfg_set_select(struct fw_cfg *f, const char *name, void (*select)(void *opaque), void *opaque);

/* What is there now, for the machine and for tests; NULL when there is none. Valid until it is replaced. */
const void *fw_cfg_bytes(const struct fw_cfg *f, unsigned key, size_t *len);
const void *fw_cfg_file(const struct fw_cfg *f, const char *name, size_t *len);

#endif
