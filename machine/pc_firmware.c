/* What the board tells the firmware: ROM images, CMOS, fw_cfg. */
#include "machine/pc_firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/block/fdc.h"
#include "hw/misc/fw_cfg.h"
#include "hw/pci/i440fx.h"
#include "hw/timer/mc146818.h"
#include "machine/acpi.h"
#include "machine/pc.h"

static void *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    void *p;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    p = malloc(*len);
    if (fread(p, 1, *len, f) != *len) abort();
    fclose(f);
    return p;
}

int pc_load_bios(struct machine *m, struct error *err)
{
    size_t len;
    void *data = read_file("/usr/share/seabios/bios-256k.bin", &len);
    if (!data) return error_set(err, -ENOENT, "no bios");
    m->pc->bios = mem_rom_new(m->env.mem, "bios", len, err);
    memcpy(mem_region_host(m->pc->bios), data, len);
    free(data);
    return 0;
}

void *pc_load_vga_bios(struct machine *m, size_t *len, struct error *err)
{
    (void)m; (void)err;
    return read_file("/usr/share/seabios/vgabios-stdvga.bin", len);
}

int pc_setup_firmware(struct machine *m, struct error *err)
{
    struct fw_cfg *f = m->pc->fw_cfg;
    (void)err;
    fw_cfg_add_u64(f, FW_CFG_RAM_SIZE, m->opt->ram_size);
    fw_cfg_add_u16(f, FW_CFG_NB_CPUS, 1);
    fw_cfg_add_u16(f, FW_CFG_MAX_CPUS, 1);
    uint64_t below = i440fx_ram_below_4g(m->opt->ram_size);
    mc146818_set_cmos(m->pc->rtc, 0x34, (below - (16 << 20)) >> 16);
    mc146818_set_cmos(m->pc->rtc, 0x35, (below - (16 << 20)) >> 24);
    mc146818_set_cmos(m->pc->rtc, 0x3d, 0x12);
    struct acpi_config cfg = { .num_cpus = 1, .pci_hole = (uint32_t)below, .hpet = true, .floppy = true, .com1 = true, .fw_cfg = true };
    acpi_setup(f, &cfg);
    return 0;
}
