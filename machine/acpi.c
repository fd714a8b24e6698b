/* The static ACPI tables (ACPI specification 5.0, chapter 5; IA-PC HPET specification 3.2.4) and the script
 * by which the firmware relocates them. */
#include "machine/acpi.h"

#include <glib.h>

#include "base/bits.h"
#include "hw/misc/fw_cfg.h"
#include "machine/acpi_dsdt.h"
#include "machine/table_loader.h"
#include "machine/topology.h"

#define RSDP_FILE "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"

enum {
    HEADER_SIZE = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9, FACS_SIZE = 64, TABLES_ALIGN = 64,
    RSDP_SIZE = 20,
    SCI_INT = 9, PM1A_EVT = 0x600, PM1A_CNT = 0x604, PM_TMR = 0x608, GPE0 = 0xAFE0, SMI_CMD = 0xB2,
    RESET_PORT = 0xCF9, RESET_VALUE = 0x0F, RTC_CENTURY = 0x32,
    LOCAL_APIC = 0xFEE00000, IO_APIC = 0xFEC00000, HPET_BASE = 0xFED00000,
};

enum fadt_flag {
    WBINVD = 1 << 0, PROC_C1 = 1 << 2, SLP_BUTTON = 1 << 5, RTC_S4 = 1 << 7, RESET_REG_SUP = 1 << 10
};
enum iapc_boot_flag { LEGACY_DEVICES = 1, BOOT_8042 = 2 };
enum madt_type {
    MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_LOCAL_NMI = 4,
    MADT_LOCAL_X2APIC = 9, MADT_X2APIC_NMI = 10
};
enum { MADT_ENABLED = 1, PCAT_COMPAT = 1, MPS_HIGH_LEVEL = 0x0D };

/* The tables as they grow, and the loader's script beside them. */
struct tables {
    GByteArray *bytes;
    GByteArray *script;
};

static void put(GByteArray *b, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    store_le(bytes, size, value);
    g_byte_array_append(b, bytes, size);
}

/* Start a table: returns its offset. The length and the checksum are filled in by table_end(). */
static uint32_t table_begin(struct tables *t, const char *signature, uint8_t revision)
{
    uint32_t at = t->bytes->len;

    g_byte_array_append(t->bytes, (const uint8_t *)signature, 4);
    put(t->bytes, 4, 0);
    put(t->bytes, 1, revision);
    put(t->bytes, 1, 0);
    g_byte_array_append(t->bytes, (const uint8_t *)"MIMUS ", 6);
    g_byte_array_append(t->bytes, (const uint8_t *)"MIMUSPC ", 8);
    put(t->bytes, 4, 1);
    g_byte_array_append(t->bytes, (const uint8_t *)"MIMS", 4);
    put(t->bytes, 4, 1);
    return at;
}

static void table_end(struct tables *t, uint32_t at)
{
    uint32_t len = t->bytes->len - at;

    store_le(t->bytes->data + at + HEADER_LENGTH, 4, len);
    table_loader_checksum(t->script, TABLES_FILE, at + HEADER_CHECKSUM, at, len);
}

/* A pointer of `size` bytes to offset `target` of the tables, which the loader relocates. */
static void put_pointer(struct tables *t, unsigned size, uint32_t target)
{
    table_loader_pointer(t->script, TABLES_FILE, TABLES_FILE, t->bytes->len, (uint8_t)size);
    put(t->bytes, size, target);
}

/* ---- FACS, FADT ---- */

static uint32_t build_facs(struct tables *t)
{
    uint32_t at = t->bytes->len;
    uint8_t facs[FACS_SIZE] = "FACS";

    store_le(facs + 4, 4, FACS_SIZE);
    g_byte_array_append(t->bytes, facs, sizeof(facs));
    return at;
}

/* Generic address structure (5.2.3.2) of `bytes` ports; no ports: all zero. */
static void put_ports(GByteArray *b, unsigned bytes, uint16_t port)
{
    put(b, 1, bytes ? 1 : 0);
    put(b, 1, bytes * 8);
    put(b, 1, 0);
    put(b, 1, bytes == 1 ? 1 : 0); /* access size: undefined for register blocks */
    put(b, 8, port);
}

/* The fixed hardware, up to the boot flags (table 5-34). */
static void build_fadt_registers(GByteArray *b)
{
    static const uint32_t blocks[] = { PM1A_EVT, 0, PM1A_CNT, 0, 0, PM_TMR, GPE0, 0 };
    static const uint8_t lengths[] = { 4, 2, 0, 4, 4, 0, 0, 0 }; /* ..., GPE1 base, _CST command */

    put(b, 1, 1);            /* dual PIC */
    put(b, 1, 0);            /* profile: unspecified */
    put(b, 2, SCI_INT);
    put(b, 4, SMI_CMD);
    put(b, 4, 0x0000F0F1);   /* S4BIOS_REQ and PSTATE_CNT: none; ACPI_DISABLE F0, ACPI_ENABLE F1 */
    for (unsigned i = 0; i < ARRAY_LEN(blocks); i++)
        put(b, 4, blocks[i]);
    g_byte_array_append(b, lengths, sizeof(lengths));
    put(b, 2, 0xFFF);        /* P_LVL2_LAT: C2 is not supported */
    put(b, 2, 0xFFF);        /* P_LVL3_LAT: nor is C3 */
    put(b, 8, 0);            /* flush size and stride, duty offset and width, day and month alarm */
    put(b, 1, RTC_CENTURY);
    put(b, 2, LEGACY_DEVICES | BOOT_8042);
    put(b, 1, 0);
}

static uint32_t build_fadt(struct tables *t, uint32_t facs, uint32_t dsdt)
{
    uint32_t at = table_begin(t, "FACP", 3);
    GByteArray *b = t->bytes;

    put_pointer(t, 4, facs);
    put_pointer(t, 4, dsdt);
    build_fadt_registers(b);
    put(b, 4, WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4 | RESET_REG_SUP);
    put_ports(b, 1, RESET_PORT);
    put(b, 1, RESET_VALUE);
    put(b, 3, 0);
    put(b, 8, 0);            /* X_FIRMWARE_CTRL: the 32-bit one counts */
    put_pointer(t, 8, dsdt);
    put_ports(b, 4, PM1A_EVT);
    put_ports(b, 0, 0);
    put_ports(b, 2, PM1A_CNT);
    put_ports(b, 0, 0);
    put_ports(b, 0, 0);
    put_ports(b, 4, PM_TMR);
    put_ports(b, 4, GPE0);
    put_ports(b, 0, 0);
    table_end(t, at);
    return at;
}

/* ---- MADT, HPET, DSDT ---- */

static void put_override(GByteArray *b, uint8_t isa_irq, uint32_t gsi, uint16_t flags)
{
    put(b, 1, MADT_OVERRIDE);
    put(b, 1, 10);
    put(b, 1, 0);
    put(b, 1, isa_irq);
    put(b, 4, gsi);
    put(b, 2, flags);
}

static void put_processor(GByteArray *b, unsigned index, uint32_t apic_id)
{
    bool x2apic = apic_id >= ACPI_X2APIC_FIRST;

    put(b, 1, x2apic ? MADT_LOCAL_X2APIC : MADT_LOCAL_APIC);
    put(b, 1, x2apic ? 16 : 8);
    if (x2apic) {
        put(b, 2, 0);
        put(b, 4, apic_id);
        put(b, 4, MADT_ENABLED);
        put(b, 4, index);
    } else {
        put(b, 1, index);
        put(b, 1, apic_id);
        put(b, 4, MADT_ENABLED);
    }
}

static void put_ioapic(GByteArray *b, uint8_t id)
{
    put(b, 1, MADT_IO_APIC);
    put(b, 1, 12);
    put(b, 1, id);
    put(b, 1, 0);
    put(b, 4, IO_APIC);
    put(b, 4, 0);
}

/* NMI is LINT1 of every processor. */
static void put_nmi(GByteArray *b, bool x2apic)
{
    put(b, 1, MADT_LOCAL_NMI);
    put(b, 1, 6);
    put(b, 1, 0xFF);
    put(b, 2, 0);
    put(b, 1, 1);
    if (!x2apic)
        return;
    put(b, 1, MADT_X2APIC_NMI);
    put(b, 1, 12);
    put(b, 2, 0);
    put(b, 4, UINT32_MAX);
    put(b, 1, 1);
    put(b, 3, 0);
}

/* Old systems want an id of 4 bits, 15 excepted, that no local APIC has. Where none is free, 0, as after
 * reset: APICs that talk over the system bus do not mind. */
static uint8_t ioapic_id(const struct cpu_topology *topology)
{
    unsigned cpus = topology_cpus(topology), id = 0;

    while (id < cpus && cpu_apic_id(topology, id) == id)
        id++;
    return id < 15 ? (uint8_t)id : 0;
}

static uint32_t build_madt(struct tables *t, const struct cpu_topology *topology)
{
    static const uint8_t level_irqs[] = { 5, 9, 10, 11 }; /* what the interrupt links and SCI may use */
    unsigned cpus = topology_cpus(topology);
    bool x2apic = cpu_apic_id(topology, cpus - 1) >= ACPI_X2APIC_FIRST;
    uint32_t at = table_begin(t, "APIC", x2apic ? 3 : 1);
    GByteArray *b = t->bytes;

    put(b, 4, LOCAL_APIC);
    put(b, 4, PCAT_COMPAT);
    for (unsigned i = 0; i < cpus; i++)
        put_processor(b, i, cpu_apic_id(topology, i));
    put_ioapic(b, ioapic_id(topology));
    put_override(b, 0, 2, 0);
    for (unsigned i = 0; i < ARRAY_LEN(level_irqs); i++)
        put_override(b, level_irqs[i], level_irqs[i], MPS_HIGH_LEVEL);
    put_nmi(b, x2apic);
    table_end(t, at);
    return at;
}

static uint32_t build_hpet(struct tables *t)
{
    uint32_t at = table_begin(t, "HPET", 1);
    GByteArray *b = t->bytes;

    put(b, 4, 0x8086A201); /* as its capability register says */
    put(b, 4, 0);          /* memory space, 0 bits: as the specification writes it */
    put(b, 8, HPET_BASE);
    put(b, 1, 0);
    put(b, 2, 100);        /* shortest periodic tick without lost interrupts, in clocks */
    put(b, 1, 0);
    table_end(t, at);
    return at;
}

static uint32_t build_dsdt(struct tables *t, const struct acpi_config *config)
{
    uint32_t at = table_begin(t, "DSDT", 1);
    GByteArray *body = acpi_dsdt_body(config);

    g_byte_array_append(t->bytes, body->data, body->len);
    g_byte_array_free(body, TRUE);
    table_end(t, at);
    return at;
}

/* ---- the roots ---- */

static uint32_t build_rsdt(struct tables *t, const uint32_t *tables, unsigned count)
{
    uint32_t at = table_begin(t, "RSDT", 1);

    for (unsigned i = 0; i < count; i++)
        put_pointer(t, 4, tables[i]);
    table_end(t, at);
    return at;
}

/* Revision 0: 20 bytes, the RSDT only. */
static void add_rsdp(struct fw_cfg *fw, struct tables *t, uint32_t rsdt)
{
    uint8_t rsdp[RSDP_SIZE] = "RSD PTR ";

    memcpy(rsdp + 9, "MIMUS ", 6);
    store_le(rsdp + 16, 4, rsdt);
    table_loader_pointer(t->script, RSDP_FILE, TABLES_FILE, 16, 4);
    table_loader_checksum(t->script, RSDP_FILE, 8, 0, RSDP_SIZE);
    fw_cfg_add_file(fw, RSDP_FILE, rsdp, sizeof(rsdp));
}

void acpi_setup(struct fw_cfg *fw, const struct acpi_config *config)
{
    struct tables t = { g_byte_array_new(), g_byte_array_new() };
    uint32_t list[3], count = 0;

    table_loader_allocate(t.script, RSDP_FILE, 16, LOADER_ZONE_FSEG);
    table_loader_allocate(t.script, TABLES_FILE, TABLES_ALIGN, LOADER_ZONE_HIGH);
    uint32_t facs = build_facs(&t); /* first, so that it is aligned to 64 bytes */
    uint32_t dsdt = build_dsdt(&t, config);
    list[count++] = build_fadt(&t, facs, dsdt);
    list[count++] = build_madt(&t, &config->topology);
    if (config->hpet)
        list[count++] = build_hpet(&t);
    add_rsdp(fw, &t, build_rsdt(&t, list, count));
    fw_cfg_add_file(fw, TABLES_FILE, t.bytes->data, t.bytes->len);
    fw_cfg_add_file(fw, "etc/table-loader", t.script->data, t.script->len);
    g_byte_array_free(t.bytes, TRUE);
    g_byte_array_free(t.script, TRUE);
}
