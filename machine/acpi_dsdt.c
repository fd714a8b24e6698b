/* The DSDT of the PC: processors, host bridge with its windows, interrupt links of the PIIX3, ISA devices
 * (ACPI specification 5.0; PCI firmware specification 3.0; data sheet of the 82371SB, 4.1.10). */
#include "machine/acpi_dsdt.h"

#include <stdio.h>

#include "base/bits.h"
#include "machine/acpi.h"
#include "machine/aml.h"
#include "machine/topology.h"

enum {
    PCI_SLOTS = 32, PCI_PINS = 4, NUM_LINKS = 4,
    PIRQRC = 0x60,              /* first of the four route control registers of the ISA bridge */
    PIRQ_DISABLED = 0x80,
    HPET_BASE = 0xFED00000, HPET_SIZE = 0x400,
    PCI_WINDOW_END = 0xFEBFFFFF,
};

static const uint32_t link_irqs[] = { 5, 10, 11 };

static void name_int(struct aml *a, const char *name, uint32_t value)
{
    aml_name(a, name);
    aml_int(a, value);
}

static void name_eisaid(struct aml *a, const char *name, const char *id)
{
    aml_name(a, name);
    aml_eisaid(a, id);
}

/* ---- processors, sleep states ---- */

static bool has_x2apic_id(const struct acpi_config *config, unsigned index)
{
    return cpu_apic_id(&config->topology, index) >= ACPI_X2APIC_FIRST;
}

/* Processor objects, which every system knows, for those that their 8 bits suffice for: the first ones, as
 * APIC ids rise. Returns how many. */
static unsigned build_processors(struct aml *a, const struct acpi_config *config)
{
    unsigned cpus = topology_cpus(&config->topology), i;
    char name[5];

    aml_scope(a, "\\_PR");
    for (i = 0; i < cpus && !has_x2apic_id(config, i); i++) {
        snprintf(name, sizeof(name), "CP%02X", i & 0xFF);
        aml_processor(a, name, (uint8_t)i);
    }
    aml_end(a);
    return i;
}

static void build_processor_devices(struct aml *a, unsigned first, unsigned cpus)
{
    char name[5];

    for (unsigned i = first; i < cpus; i++) {
        snprintf(name, sizeof(name), "C%03X", i & 0xFFF);
        aml_device(a, name);
        aml_name(a, "_HID");
        aml_string(a, "ACPI0007");
        name_int(a, "_UID", i);
        aml_end(a);
    }
}

/* The two values go to SLP_TYP of PM1a and PM1b. */
static void build_sleep_state(struct aml *a, const char *name, unsigned type)
{
    aml_name(a, name);
    aml_package(a, 4);
    aml_int(a, type);
    aml_int(a, type);
    aml_int(a, 0);
    aml_int(a, 0);
    aml_end(a);
}

/* ---- host bridge ---- */

static void build_prt(struct aml *a)
{
    char link[5];

    aml_name(a, "_PRT");
    aml_package(a, PCI_SLOTS * PCI_PINS);
    for (uint32_t i = 0; i < PCI_SLOTS * PCI_PINS; i++) {
        uint32_t slot = i / PCI_PINS, pin = i % PCI_PINS;
        snprintf(link, sizeof(link), "LNK%c", 'A' + (slot + pin + PCI_PINS - 1) % NUM_LINKS);
        aml_package(a, 4);
        aml_int(a, slot << 16 | 0xFFFF); /* all functions */
        aml_int(a, pin);
        aml_path(a, link);
        aml_int(a, 0);
        aml_end(a);
    }
    aml_end(a);
}

static void build_host_resources(struct aml *a, const struct acpi_config *config)
{
    aml_name(a, "_CRS");
    aml_resources(a);
    aml_res_bus_window(a, 0, 255);
    aml_res_io(a, 0x0CF8, 8);
    aml_res_io_window(a, 0x0000, 0x0CF7);
    aml_res_io_window(a, 0x0D00, 0xFFFF);
    aml_res_memory_window(a, 0x000A0000, 0x000BFFFF, true);
    aml_res_memory_window(a, config->pci_hole, PCI_WINDOW_END, false);
    aml_end(a);
}

/* ---- interrupt links: \_SB.LNKx route through PRQx of the ISA bridge ---- */

static void build_link_status(struct aml *a, const char *reg)
{
    aml_method(a, "_STA", 0, false);
    aml_if(a);
    aml_and(a);
    aml_path(a, reg);
    aml_int(a, PIRQ_DISABLED);
    aml_null(a);
    aml_return(a);
    aml_int(a, 0x09);
    aml_end(a);
    aml_return(a);
    aml_int(a, 0x0B);
    aml_end(a);
}

static void build_link_current(struct aml *a, const char *reg)
{
    static const uint32_t none[] = { 0 };

    aml_name(a, "PRR0");
    aml_resources(a);
    aml_res_interrupts(a, none, 1);
    aml_end(a);
    aml_method(a, "_CRS", 0, true);
    aml_create_dword(a); /* the interrupt number is at byte 5 of the descriptor */
    aml_path(a, "PRR0");
    aml_int(a, 5);
    aml_path(a, "PRRI");
    aml_if(a);
    aml_less(a);
    aml_path(a, reg);
    aml_int(a, PIRQ_DISABLED);
    aml_store(a);
    aml_path(a, reg);
    aml_path(a, "PRRI");
    aml_end(a);
    aml_return(a);
    aml_path(a, "PRR0");
    aml_end(a);
}

static void build_link_set(struct aml *a, const char *reg)
{
    aml_method(a, "_SRS", 1, true);
    aml_create_dword(a);
    aml_local(a, AML_ARG0);
    aml_int(a, 5);
    aml_path(a, "PRRI");
    aml_store(a);
    aml_path(a, "PRRI");
    aml_path(a, reg);
    aml_end(a);

    aml_method(a, "_DIS", 0, false);
    aml_or(a);
    aml_path(a, reg);
    aml_int(a, PIRQ_DISABLED);
    aml_path(a, reg);
    aml_end(a);
}

static void build_link(struct aml *a, unsigned n)
{
    char name[5], reg[24];

    snprintf(name, sizeof(name), "LNK%c", 'A' + (int)n);
    snprintf(reg, sizeof(reg), "\\_SB.PCI0.ISA.PRQ%u", n);
    aml_device(a, name);
    name_eisaid(a, "_HID", "PNP0C0F");
    name_int(a, "_UID", n + 1);
    aml_name(a, "_PRS");
    aml_resources(a);
    aml_res_interrupts(a, link_irqs, ARRAY_LEN(link_irqs));
    aml_end(a);
    build_link_status(a, reg);
    build_link_current(a, reg);
    build_link_set(a, reg);
    aml_end(a);
}

/* ---- ISA devices ---- */

struct isa_device {
    const char *name, *hid;
    unsigned uid;
    struct { uint16_t base; uint8_t len; } io[2];
    int irq, dma; /* -1: none */
};

static const struct isa_device isa_rtc = { "RTC", "PNP0B00", 0, { { 0x70, 2 } }, 8, -1 };
static const struct isa_device isa_timer = { "TMR", "PNP0100", 0, { { 0x40, 4 } }, 0, -1 };
static const struct isa_device isa_speaker = { "SPKR", "PNP0800", 0, { { 0x61, 1 } }, -1, -1 };
static const struct isa_device isa_keyboard = { "KBD", "PNP0303", 0, { { 0x60, 1 }, { 0x64, 1 } }, 1, -1 };
static const struct isa_device isa_mouse = { "MOU", "PNP0F13", 0, { { 0, 0 } }, 12, -1 };
static const struct isa_device isa_floppy = { "FDC0", "PNP0700", 0, { { 0x3F2, 4 }, { 0x3F7, 1 } }, 6, 2 };
static const struct isa_device isa_com1 = { "COM1", "PNP0501", 1, { { 0x3F8, 8 } }, 4, -1 };
static const struct isa_device isa_com2 = { "COM2", "PNP0501", 2, { { 0x2F8, 8 } }, 3, -1 };
static const struct isa_device isa_lpt = { "LPT", "PNP0400", 1, { { 0x378, 8 } }, 7, -1 };

static void build_isa_device(struct aml *a, const struct isa_device *d)
{
    aml_device(a, d->name);
    name_eisaid(a, "_HID", d->hid);
    if (d->uid)
        name_int(a, "_UID", d->uid);
    aml_name(a, "_CRS");
    aml_resources(a);
    for (unsigned i = 0; i < ARRAY_LEN(d->io); i++)
        if (d->io[i].len)
            aml_res_io(a, d->io[i].base, d->io[i].len);
    if (d->irq >= 0)
        aml_res_irq(a, (unsigned)d->irq);
    if (d->dma >= 0)
        aml_res_dma(a, (unsigned)d->dma);
    aml_end(a);
    aml_end(a);
}

static void build_isa_bridge(struct aml *a, const struct acpi_config *config)
{
    const struct { bool present; const struct isa_device *device; } devices[] = {
        { true, &isa_rtc }, { true, &isa_timer }, { true, &isa_speaker }, { true, &isa_keyboard },
        { true, &isa_mouse }, { config->floppy, &isa_floppy }, { config->com1, &isa_com1 },
        { config->com2, &isa_com2 }, { config->lpt, &isa_lpt },
    };

    aml_device(a, "ISA");
    name_int(a, "_ADR", 0x00010000);
    aml_region(a, "P40C", AML_PCI_CONFIG, PIRQRC, NUM_LINKS);
    aml_field(a, "P40C");
    for (unsigned i = 0; i < NUM_LINKS; i++) {
        char name[5] = { 'P', 'R', 'Q', (char)('0' + i), 0 };
        aml_field_unit(a, name, 8);
    }
    aml_end(a);
    for (unsigned i = 0; i < ARRAY_LEN(devices); i++)
        if (devices[i].present)
            build_isa_device(a, devices[i].device);
    aml_end(a);
}

static void build_host_bridge(struct aml *a, const struct acpi_config *config)
{
    aml_device(a, "PCI0");
    name_eisaid(a, "_HID", "PNP0A03");
    name_int(a, "_UID", 0);
    name_int(a, "_BBN", 0);
    build_host_resources(a, config);
    build_prt(a);
    build_isa_bridge(a, config);
    aml_end(a);
}

/* ---- the rest of the board ---- */

static void build_hpet(struct aml *a)
{
    aml_device(a, "HPET");
    name_eisaid(a, "_HID", "PNP0103");
    name_int(a, "_UID", 0);
    aml_name(a, "_CRS");
    aml_resources(a);
    aml_res_memory(a, HPET_BASE, HPET_SIZE);
    aml_end(a);
    aml_end(a);
}

static void build_fw_cfg(struct aml *a)
{
    aml_device(a, "FWCF");
    aml_name(a, "_HID");
    aml_string(a, "QEMU0002");
    name_int(a, "_STA", 0x0B);
    aml_name(a, "_CRS");
    aml_resources(a);
    aml_res_io(a, 0x510, 12);
    aml_end(a);
    aml_end(a);
}

GByteArray *acpi_dsdt_body(const struct acpi_config *config)
{
    struct aml a;

    aml_init(&a);
    unsigned objects = build_processors(&a, config);
    aml_scope(&a, "\\_SB");
    build_processor_devices(&a, objects, topology_cpus(&config->topology));
    build_host_bridge(&a, config);
    for (unsigned n = 0; n < NUM_LINKS; n++)
        build_link(&a, n);
    if (config->hpet)
        build_hpet(&a);
    if (config->fw_cfg)
        build_fw_cfg(&a);
    aml_end(&a);
    build_sleep_state(&a, "\\_S4", 2);
    build_sleep_state(&a, "\\_S5", 0);
    return aml_finish(&a);
}
