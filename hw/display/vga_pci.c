/* The VGA core on the PCI bus: 1234:1111, the adapter that the "dispi" drivers look for. */
#include "hw/display/vga_pci.h"

#include <errno.h>
#include <glib.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/display/vga.h"

enum { ROM_MIN = 2048, ROM_MAX = 1 << 20 };

struct vga_pci {
    struct pci_device pci;
    struct vga *core;
    struct mem_region *rom;
};

static int add_rom(struct vga_pci *p, struct hw_env *env, const void *rom, size_t len, struct error *err)
{
    uint64_t size = ROM_MIN;

    if (len > ROM_MAX)
        return error_set(err, -EFBIG, "video BIOS of %zu bytes is too large for the adapter (1 MiB)", len);
    while (size < len)
        size *= 2;
    p->rom = mem_rom_new(env->mem, "vga-rom", size, err);
    if (!p->rom)
        return -ENOMEM;
    memset(mem_region_host(p->rom), 0xFF, size);
    memcpy(mem_region_host(p->rom), rom, len);
    return 0;
}

struct vga_pci *vga_pci_new(struct hw_env *env, struct pci_bus *bus, unsigned devfn,
                            struct mem_region *memory, const void *rom, size_t rom_len, struct error *err)
{
    static const struct pci_id id = {
        .vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000,
        .subsystem_vendor = 0x1AF4, .subsystem = 0x1100,
    };
    struct vga_pci *p = g_new0(struct vga_pci, 1);

    if (rom && add_rom(p, env, rom, rom_len, err) < 0)
        goto fail;
    p->core = vga_new(env, memory, err);
    if (!p->core)
        goto fail;
    pci_device_init(&p->pci, env, bus, devfn, "vga-pci", &id);
    pci_device_add_bar(&p->pci, 0, PCI_BAR_MEM32_PREFETCH, vga_vram(p->core));
    pci_device_add_bar(&p->pci, 2, PCI_BAR_MEM32, vga_mmio(p->core));
    if (p->rom)
        pci_device_add_bar(&p->pci, PCI_ROM_BAR, PCI_BAR_MEM32, p->rom);
    return p;
fail:
    mem_region_free(p->rom);
    g_free(p);
    return NULL;
}

void vga_pci_free(struct vga_pci *p)
{
    if (!p)
        return;
    pci_device_remove(&p->pci);
    vga_free(p->core);
    mem_region_free(p->rom);
    g_free(p);
}

const struct display_source *vga_pci_display(struct vga_pci *p)
{
    return vga_display(p->core);
}
