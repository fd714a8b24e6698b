/* The kernel of -kernel: chooses the loader and the option ROM. */
#include "machine/kernel_boot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/misc/fw_cfg.h"
#include "machine/linux_boot.h"
#include "machine/multiboot.h"
#include "roms/firmware.h"

enum { MAX_ROM = 32 << 10 };

static int add_option_rom(struct fw_cfg *fw, const struct firmware_search *search, const char *name,
                          struct error *err)
{
    char file[FW_CFG_NAME_MAX + 1], entry[FW_CFG_NAME_MAX + 1];
    uint8_t *rom;
    size_t len;
    int ret = firmware_load(search, name, MAX_ROM, &rom, &len, err);

    if (ret)
        return ret;
    ret = firmware_seal_option_rom(&rom, &len, name, err);
    if (!ret) {
        snprintf(file, sizeof(file), "genroms/%s", name);
        snprintf(entry, sizeof(entry), "/rom@%.40s", file);
        fw_cfg_add_file(fw, file, rom, len);
        fw_cfg_add_file(fw, "bootorder", entry, strlen(entry) + 1);
    }
    free(rom);
    return ret;
}

int kernel_boot_setup(struct fw_cfg *fw, const struct firmware_search *search, const char *kernel,
                      const char *initrd, const char *cmdline, uint64_t ram_below_4g, struct error *err)
{
    bool multiboot = multiboot_probe(kernel);
    int ret = multiboot ? multiboot_setup(fw, kernel, initrd, cmdline, ram_below_4g, err)
                        : linux_boot_setup(fw, kernel, initrd, cmdline, ram_below_4g, err);

    return ret ? ret : add_option_rom(fw, search, multiboot ? "mimus-multiboot.bin" : "mimus-linux.bin", err);
}
