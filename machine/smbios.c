/* SMBIOS 2.8 structures (DMTF DSP0134, version 2.8.0). */
#include "machine/smbios.h"

#include <glib.h>
#include <stdio.h>

#include "base/bits.h"
#include "hw/misc/fw_cfg.h"

enum {
    ANCHOR_SIZE = 31, VERSION_MAJOR = 2, VERSION_MINOR = 8,
    HANDLE_BIOS = 0x000, HANDLE_SYSTEM = 0x100, HANDLE_CHASSIS = 0x300, HANDLE_CPU = 0x400,
    HANDLE_MEMORY_ARRAY = 0x1000, HANDLE_MEMORY_DEVICE = 0x1100, HANDLE_MEMORY_MAPPED = 0x1300,
    HANDLE_BOOT = 0x2000, HANDLE_END = 0x7F00, HANDLE_NONE = 0xFFFF, HANDLE_NO_ERROR_INFO = 0xFFFE,
    DIMM_MAX_MIB = 16384, MAX_STRINGS = 6,
};
#define FOUR_GIB (UINT64_C(1) << 32)
#define MIB_SHIFT 20

/* All structures so far, and the one that is being written. */
struct builder {
    GByteArray *bytes;
    unsigned count, largest;
    uint32_t start;
    const char *strings[MAX_STRINGS];
    unsigned num_strings;
};

static void put(struct builder *b, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    store_le(bytes, size, value);
    g_byte_array_append(b->bytes, bytes, size);
}

/* A string of the structure: its number is stored here, the text behind the structure. */
static void put_string(struct builder *b, const char *s)
{
    if (!s || !*s) {
        put(b, 1, 0);
        return;
    }
    b->strings[b->num_strings++] = s;
    put(b, 1, b->num_strings);
}

static void begin(struct builder *b, uint8_t type, uint16_t handle)
{
    b->start = b->bytes->len;
    b->num_strings = 0;
    put(b, 1, type);
    put(b, 1, 0);
    put(b, 2, handle);
}

/* Fill in the length, append the strings; two zero bytes end a structure (6.1.3). */
static void end(struct builder *b)
{
    b->bytes->data[b->start + 1] = (uint8_t)(b->bytes->len - b->start);
    for (unsigned i = 0; i < b->num_strings; i++)
        g_byte_array_append(b->bytes, (const uint8_t *)b->strings[i], (guint)strlen(b->strings[i]) + 1);
    put(b, b->num_strings ? 1 : 2, 0);
    b->count++;
    b->largest = MAX_OF(b->largest, b->bytes->len - b->start);
}

static void build_bios(struct builder *b, const struct smbios_config *c)
{
    begin(b, 0, HANDLE_BIOS);
    put_string(b, "SeaBIOS");
    put_string(b, c->version);
    put(b, 2, 0xE800);
    put_string(b, "04/01/2014");
    put(b, 1, 0);
    put(b, 8, 0x08);   /* characteristics are not supported */
    put(b, 2, 0x1400); /* targeted content distribution; virtual machine */
    put(b, 4, 0xFFFF0000); /* release 0.0; no embedded controller */
    end(b);
}

/* The first three fields of a UUID are little-endian (7.2.1). */
static void put_uuid(struct builder *b, const uint8_t *uuid)
{
    put(b, 4, load_be(uuid, 4));
    put(b, 2, load_be(uuid + 4, 2));
    put(b, 2, load_be(uuid + 6, 2));
    g_byte_array_append(b->bytes, uuid + 8, 8);
}

static void build_system(struct builder *b, const struct smbios_config *c)
{
    begin(b, 1, HANDLE_SYSTEM);
    put_string(b, "Mimus");
    put_string(b, "Standard PC (i440FX + PIIX)");
    put_string(b, c->version);
    put_string(b, NULL); /* serial number */
    put_uuid(b, c->uuid);
    put(b, 1, 0x06);     /* woken by the power switch */
    put_string(b, NULL);
    put_string(b, NULL);
    end(b);
}

static void build_chassis(struct builder *b, const struct smbios_config *c)
{
    begin(b, 3, HANDLE_CHASSIS);
    put_string(b, "Mimus");
    put(b, 1, 0x01);     /* other */
    put_string(b, c->version);
    put_string(b, NULL);
    put_string(b, NULL);
    put(b, 4, 0x02030303); /* boot-up, supply, thermal state: safe; security: unknown */
    put(b, 4, 0);
    put(b, 4, 0);        /* height, power cords, contained elements and their size: unspecified */
    put_string(b, NULL);
    end(b);
}

static void build_processor(struct builder *b, const struct smbios_config *c, unsigned n)
{
    char socket[16];

    snprintf(socket, sizeof(socket), "CPU %u", n);
    begin(b, 4, (uint16_t)(HANDLE_CPU + n));
    put_string(b, socket);
    put(b, 1, 0x03);     /* central processor */
    put(b, 1, 0x01);     /* family: other */
    put_string(b, "Mimus");
    put(b, 4, c->cpuid_eax);
    put(b, 4, c->cpuid_edx);
    put_string(b, c->cpu_name);
    put(b, 1, 0);
    put(b, 2, 0);        /* external clock, maximum and current speed: unknown */
    put(b, 2, 0);
    put(b, 2, 0);
    put(b, 1, 0x41);     /* populated, enabled */
    put(b, 1, 0x01);     /* upgrade: other */
    for (unsigned i = 0; i < 3; i++)
        put(b, 2, HANDLE_NONE); /* caches */
    put_string(b, NULL);
    put_string(b, NULL);
    put_string(b, NULL);
    put(b, 1, c->topology.cores);
    put(b, 1, c->topology.cores); /* enabled */
    put(b, 1, c->topology.cores * c->topology.threads);
    put(b, 2, 0x02);     /* characteristics: unknown */
    put(b, 2, 0x01);     /* family 2: other */
    end(b);
}

static void build_memory_array(struct builder *b, uint64_t mib, unsigned devices)
{
    begin(b, 16, HANDLE_MEMORY_ARRAY);
    put(b, 1, 0x01);     /* location: other */
    put(b, 1, 0x03);     /* system memory */
    put(b, 1, 0x03);     /* no error correction */
    put(b, 4, mib < 2 << 20 ? mib << 10 : 0x80000000);
    put(b, 2, HANDLE_NO_ERROR_INFO);
    put(b, 2, devices);
    put(b, 8, mib < 2 << 20 ? 0 : mib << MIB_SHIFT);
    end(b);
}

/* Sizes from 32 GiB less 1 MiB on do not fit the old field; a module here has at most 16 GiB. */
static void build_memory_device(struct builder *b, unsigned n, uint64_t mib)
{
    char locator[16];

    snprintf(locator, sizeof(locator), "DIMM %u", n);
    begin(b, 17, (uint16_t)(HANDLE_MEMORY_DEVICE + n));
    put(b, 2, HANDLE_MEMORY_ARRAY);
    put(b, 2, HANDLE_NO_ERROR_INFO);
    put(b, 2, 64);
    put(b, 2, 64);
    put(b, 2, mib);
    put(b, 1, 0x09);     /* DIMM */
    put(b, 1, 0);
    put_string(b, locator);
    put_string(b, NULL);
    put(b, 1, 0x07);     /* RAM */
    put(b, 2, 0x02);     /* detail: other */
    put(b, 2, 0);
    put_string(b, "Mimus");
    put_string(b, NULL);
    put_string(b, NULL);
    put_string(b, NULL);
    put(b, 1, 0);
    put(b, 4, 0);
    put(b, 2, 0);
    for (unsigned i = 0; i < 3; i++)
        put(b, 2, 0);    /* voltages: unknown */
    end(b);
}

/* Addresses in KiB while they fit in 32 bits, else in bytes in the extended fields (7.20). */
static void build_memory_mapped(struct builder *b, unsigned n, uint64_t base, uint64_t size)
{
    uint64_t last = (base + size) / 1024 - 1;
    bool extended = last >= UINT32_MAX;

    begin(b, 19, (uint16_t)(HANDLE_MEMORY_MAPPED + n));
    put(b, 4, extended ? UINT32_MAX : base / 1024);
    put(b, 4, extended ? UINT32_MAX : last);
    put(b, 2, HANDLE_MEMORY_ARRAY);
    put(b, 1, 1);
    put(b, 8, extended ? base : 0);
    put(b, 8, extended ? base + size - 1 : 0);
    end(b);
}

static void build_memory(struct builder *b, const struct smbios_config *c)
{
    uint64_t mib = (c->below_4g + c->above_4g) >> MIB_SHIFT;
    unsigned devices = (unsigned)((mib + DIMM_MAX_MIB - 1) / DIMM_MAX_MIB);

    build_memory_array(b, mib, devices);
    for (unsigned i = 0; i < devices; i++)
        build_memory_device(b, i, MIN_OF(mib - (uint64_t)i * DIMM_MAX_MIB, DIMM_MAX_MIB));
    build_memory_mapped(b, 0, 0, c->below_4g);
    if (c->above_4g)
        build_memory_mapped(b, 1, FOUR_GIB, c->above_4g);
}

static void build_boot_and_end(struct builder *b)
{
    begin(b, 32, HANDLE_BOOT);
    put(b, 6, 0);
    put(b, 1, 0);        /* no errors */
    end(b);
    begin(b, 127, HANDLE_END);
    end(b);
}

static uint8_t negated_sum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum += *p++;
    return (uint8_t)-sum;
}

/* Entry point structure (5.2.1); the table address is 0 until the firmware has placed the tables. */
static void add_anchor(struct fw_cfg *fw, const struct builder *b)
{
    uint8_t anchor[ANCHOR_SIZE] = "_SM_";

    anchor[5] = ANCHOR_SIZE;
    anchor[6] = VERSION_MAJOR;
    anchor[7] = VERSION_MINOR;
    store_le(anchor + 8, 2, b->largest);
    memcpy(anchor + 16, "_DMI_", 5);
    store_le(anchor + 22, 2, b->bytes->len);
    store_le(anchor + 28, 2, b->count);
    anchor[30] = VERSION_MAJOR << 4 | VERSION_MINOR;
    anchor[21] = negated_sum(anchor + 16, ANCHOR_SIZE - 16);
    anchor[4] = negated_sum(anchor, ANCHOR_SIZE);
    fw_cfg_add_file(fw, "etc/smbios/smbios-anchor", anchor, sizeof(anchor));
}

void smbios_setup(struct fw_cfg *fw, const struct smbios_config *config)
{
    struct builder b = { .bytes = g_byte_array_new() };

    build_bios(&b, config);
    build_system(&b, config);
    build_chassis(&b, config);
    for (unsigned i = 0; i < config->topology.sockets; i++)
        build_processor(&b, config, i);
    build_memory(&b, config);
    build_boot_and_end(&b);
    add_anchor(fw, &b);
    fw_cfg_add_file(fw, "etc/smbios/smbios-tables", b.bytes->data, b.bytes->len);
    g_byte_array_free(b.bytes, TRUE);
}
