/* What the board tells the firmware: ROM images, CMOS, fw_cfg. */
#include "machine/pc_firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "config.h"
#include "cpu/cpu.h"
#include "hw/block/fdc.h"
#include "hw/misc/fw_cfg.h"
#include "hw/pci/i440fx.h"
#include "hw/timer/mc146818.h"
#include "machine/acpi.h"
#include "machine/e820.h"
#include "machine/kernel_boot.h"
#include "machine/pc.h"
#include "machine/smbios.h"
#include "machine/topology.h"
#include "roms/firmware.h"

#define BIOS_NAME "bios-256k.bin"
#define VGA_BIOS_NAME "vgabios-stdvga.bin"
#define BIOS_MAX (16u << 20)
#define VGA_BIOS_MAX (256u << 10)

static struct firmware_search search_of(const struct machine *m)
{
    return (struct firmware_search){ m->opt->firmware_dirs, m->opt->num_firmware_dirs, false };
}

int pc_load_bios(struct machine *m, struct error *err)
{
    struct firmware_search s = search_of(m);
    const char *name = m->opt->bios ? m->opt->bios : BIOS_NAME;
    uint8_t *data;
    size_t len;
    int ret;

    s.user_named = m->opt->bios != NULL;
    ret = firmware_load(&s, name, BIOS_MAX, &data, &len, err);

    if (ret)
        return ret;
    if (!len || len % (64 << 10))
        ret = error_set(err, -EINVAL, "%s: a firmware image is a multiple of 64 KiB, this has %zu bytes", name, len);
    else
        m->pc->bios = mem_rom_new(m->env.mem, "bios", len, err);
    if (m->pc->bios)
        memcpy(mem_region_host(m->pc->bios), data, len);
    else if (!ret)
        ret = -ENOMEM;
    free(data);
    return ret;
}

void *pc_load_vga_bios(struct machine *m, size_t *len, struct error *err)
{
    struct firmware_search s = search_of(m);
    uint8_t *data;

    return firmware_load(&s, VGA_BIOS_NAME, VGA_BIOS_MAX, &data, len, err) ? NULL : data;
}

/* ---- CMOS: the places that firmware and old systems read ---- */

enum {
    CMOS_FLOPPY = 0x10, CMOS_EQUIPMENT = 0x14, CMOS_BASE_MEM = 0x15, CMOS_EXT_MEM = 0x17, CMOS_EXT_MEM2 = 0x30,
    CMOS_MEM_16M = 0x34, CMOS_BOOT3 = 0x38, CMOS_BOOT12 = 0x3d, CMOS_MEM_4G = 0x5b, CMOS_CPUS = 0x5f,
};
enum { EQUIP_FLOPPY = 0x01, EQUIP_FPU = 0x02, EQUIP_MOUSE = 0x04 };

static void cmos_put(struct machine *m, unsigned idx, unsigned bytes, uint64_t v)
{
    for (unsigned i = 0; i < bytes; i++)
        mc146818_set_cmos(m->pc->rtc, idx + i, (uint8_t)(v >> (8 * i)));
}

static void cmos_memory(struct machine *m, uint64_t below, uint64_t above)
{
    uint64_t ext = below > 1 << 20 ? MIN_OF((below - (1 << 20)) >> 10, UINT64_C(0xffff)) : 0;
    uint64_t over16 = below > 16 << 20 ? MIN_OF((below - (16 << 20)) >> 16, UINT64_C(0xffff)) : 0;

    cmos_put(m, CMOS_BASE_MEM, 2, 640);
    cmos_put(m, CMOS_EXT_MEM, 2, ext);
    cmos_put(m, CMOS_EXT_MEM2, 2, ext);
    cmos_put(m, CMOS_MEM_16M, 2, over16);
    cmos_put(m, CMOS_MEM_4G, 3, above >> 16);
}

/* Letters of -boot as the firmware's device numbers. */
static unsigned boot_code(char letter)
{
    static const char letters[] = " acd";
    const char *p = letter ? strchr(letters, letter) : NULL;

    return p ? (unsigned)(p - letters) : 0;
}

static void cmos_boot(struct machine *m, const char *order)
{
    unsigned code[3] = { 0 };

    for (unsigned i = 0; i < 3 && order[i]; i++)
        code[i] = boot_code(order[i]);
    cmos_put(m, CMOS_BOOT12, 1, code[0] | code[1] << 4);
    cmos_put(m, CMOS_BOOT3, 1, code[2] << 4);
}

static const char *boot_order(const struct machine *m)
{
    return *m->opt->boot_order ? m->opt->boot_order : "cad";
}

void pc_boot_again(struct machine *m)
{
    cmos_boot(m, boot_order(m));
}

static void cmos_equipment(struct machine *m)
{
    unsigned a = (unsigned)fdc_drive_type(m->pc->fdc, 0), b = (unsigned)fdc_drive_type(m->pc->fdc, 1);
    unsigned floppies = (a != 0) + (b != 0), equipment = EQUIP_FPU | EQUIP_MOUSE;

    if (floppies)
        equipment |= EQUIP_FLOPPY | (floppies - 1) << 6;
    cmos_put(m, CMOS_FLOPPY, 1, a << 4 | b);
    cmos_put(m, CMOS_EQUIPMENT, 1, equipment);
    cmos_put(m, CMOS_CPUS, 1, topology_cpus(&m->opt->topology) - 1);
}

/* ---- fw_cfg ---- */

static void add_smbios(struct machine *m, uint64_t below, uint64_t above)
{
    char model[32];
    struct smbios_config c = { .topology = m->opt->topology, .below_4g = below, .above_4g = above,
                               .version = MIMUS_VERSION, .cpu_name = model };

    snprintf(model, sizeof(model), "%.*s", (int)strcspn(m->opt->cpu_model, ","), m->opt->cpu_model);
    cpu_identify(m->cpu[0], &c.cpuid_eax, &c.cpuid_edx);
    smbios_setup(m->pc->fw_cfg, &c);
}

/* The firmware wants the number of processors, and takes the other item for the end of the APIC ids. */
static void add_cpus(struct fw_cfg *fw, const struct cpu_topology *topology)
{
    unsigned cpus = topology_cpus(topology);

    fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, (uint16_t)cpus);
    fw_cfg_add_u16(fw, FW_CFG_MAX_CPUS, (uint16_t)(cpu_apic_id(topology, cpus - 1) + 1));
}

int pc_setup_firmware(struct machine *m, struct error *err)
{
    struct fw_cfg *fw = m->pc->fw_cfg;
    uint64_t below = i440fx_ram_below_4g(m->opt->ram_size), above = i440fx_ram_above_4g(m->opt->ram_size);
    struct acpi_config acpi = { .topology = m->opt->topology, .pci_hole = (uint32_t)below, .hpet = true,
                                .floppy = fdc_drive_type(m->pc->fdc, 0) || fdc_drive_type(m->pc->fdc, 1),
                                .com1 = m->serial[0] != NULL, .com2 = m->serial[1] != NULL, .fw_cfg = true };
    struct firmware_search s = search_of(m);

    cmos_memory(m, below, above);
    cmos_boot(m, *m->opt->boot_once ? m->opt->boot_once : boot_order(m));
    cmos_equipment(m);
    fw_cfg_add_u64(fw, FW_CFG_RAM_SIZE, m->opt->ram_size);
    add_cpus(fw, &m->opt->topology);
    fw_cfg_add_u16(fw, FW_CFG_IRQ0_OVERRIDE, 1); /* the timer is on input 2 of the I/O APIC */
    fw_cfg_add_u16(fw, FW_CFG_NOGRAPHIC, m->opt->nographic && !m->pc->vga);
    fw_cfg_add_u16(fw, FW_CFG_BOOT_MENU, m->opt->boot_menu);
    e820_setup(fw, below, above);
    acpi_setup(fw, &acpi);
    add_smbios(m, below, above);
    if (!m->opt->kernel)
        return 0;
    return kernel_boot_setup(fw, &s, m->opt->kernel, m->opt->initrd, m->opt->append, below, err);
}
