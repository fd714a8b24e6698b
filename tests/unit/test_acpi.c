/* ACPI tables: the loader's script is executed as the firmware does it, then structure and checksums are
 * checked. */
#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "hw/misc/fw_cfg.h"
#include "machine/acpi.h"
#include "machine/aml.h"
#include "machine/e820.h"

enum { RSDP_AT = 0xF0000, TABLES_AT = 0x7FE0000, COMMAND = 128 };

struct fixture {
    struct log log;
    struct hw_env env;
    struct fw_cfg *fw;
    uint8_t *rsdp, *tables;
    size_t rsdp_len, tables_len;
};

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s += *p++;
    return s;
}

static uint8_t *file_of(struct fixture *f, const char *name, size_t *len, uint32_t *base)
{
    bool rsdp = !strcmp(name, "etc/acpi/rsdp");

    ck_assert(rsdp || !strcmp(name, "etc/acpi/tables"));
    *len = rsdp ? f->rsdp_len : f->tables_len;
    *base = rsdp ? RSDP_AT : TABLES_AT;
    return rsdp ? f->rsdp : f->tables;
}

static void run_command(struct fixture *f, const uint8_t *c)
{
    size_t len, src_len;
    uint32_t base, src_base, at;
    uint8_t *data = file_of(f, (const char *)c + 4, &len, &base);

    switch (load_le(c, 4)) {
    case 1:
        ck_assert_uint_eq(c[64], base == RSDP_AT ? 2 : 1);
        break;
    case 2:
        file_of(f, (const char *)c + 60, &src_len, &src_base);
        at = (uint32_t)load_le(c + 116, 4);
        ck_assert_uint_le(at + c[120], len);
        ck_assert_uint_lt(load_le(data + at, c[120]), src_len);
        store_le(data + at, c[120], load_le(data + at, c[120]) + src_base);
        break;
    case 3:
        at = (uint32_t)load_le(c + 60, 4);
        ck_assert_uint_le(load_le(c + 64, 4) + load_le(c + 68, 4), len);
        data[at] -= sum(data + load_le(c + 64, 4), load_le(c + 68, 4));
        break;
    default:
        ck_abort();
    }
}

static uint8_t *copy_file(struct fw_cfg *fw, const char *name, size_t *len)
{
    const void *data = fw_cfg_file(fw, name, len);

    return g_memdup2(data, *len);
}

static struct fixture *setup_topology(struct cpu_topology topology)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct acpi_config config = { .topology = topology, .pci_hole = 0x8000000, .hpet = true, .floppy = true,
                                  .com1 = true, .com2 = true, .lpt = true, .fw_cfg = true };
    size_t len;

    log_init(&f->log);
    f->env.log = &f->log;
    f->env.io_root = mem_container_new("ports", 65536);
    f->fw = fw_cfg_new(&f->env);
    acpi_setup(f->fw, &config);
    f->rsdp = copy_file(f->fw, "etc/acpi/rsdp", &f->rsdp_len);
    f->tables = copy_file(f->fw, "etc/acpi/tables", &f->tables_len);
    const uint8_t *script = fw_cfg_file(f->fw, "etc/table-loader", &len);
    ck_assert_uint_eq(len % COMMAND, 0);
    for (size_t i = 0; i < len; i += COMMAND)
        run_command(f, script + i);
    return f;
}

static struct fixture *setup(unsigned sockets)
{
    return setup_topology((struct cpu_topology){ sockets, 1, 1 });
}

static void teardown(struct fixture *f)
{
    fw_cfg_free(f->fw);
    mem_region_free(f->env.io_root);
    g_free(f->rsdp);
    g_free(f->tables);
    free(f);
}

static const uint8_t *at(const struct fixture *f, uint64_t addr)
{
    ck_assert(addr >= TABLES_AT && addr < TABLES_AT + f->tables_len);
    return f->tables + (addr - TABLES_AT);
}

/* The table with that signature in the RSDT, its checksum tested. */
static const uint8_t *table(const struct fixture *f, const char *signature)
{
    const uint8_t *rsdt = at(f, load_le(f->rsdp + 16, 4));

    ck_assert_mem_eq(rsdt, "RSDT", 4);
    ck_assert_uint_eq(sum(rsdt, load_le(rsdt + 4, 4)), 0);
    for (unsigned i = 36; i < load_le(rsdt + 4, 4); i += 4) {
        const uint8_t *t = at(f, load_le(rsdt + i, 4));
        ck_assert_uint_eq(sum(t, load_le(t + 4, 4)), 0);
        if (!memcmp(t, signature, 4))
            return t;
    }
    ck_abort_msg("no %s", signature);
    return NULL;
}

START_TEST(roots_and_fadt)
{
    struct fixture *f = setup(1);
    const uint8_t *fadt = table(f, "FACP");
    const uint8_t *facs = at(f, load_le(fadt + 36, 4)), *dsdt = at(f, load_le(fadt + 40, 4));

    ck_assert_mem_eq(f->rsdp, "RSD PTR ", 8);
    ck_assert_uint_eq(f->rsdp_len, 20);
    ck_assert_uint_eq(sum(f->rsdp, 20), 0);
    ck_assert_mem_eq(facs, "FACS", 4);
    ck_assert_uint_eq(load_le(facs + 4, 4), 64);
    ck_assert_uint_eq((uint64_t)(facs - f->tables) % 64, 0);
    ck_assert_mem_eq(dsdt, "DSDT", 4);
    ck_assert_uint_eq(sum(dsdt, load_le(dsdt + 4, 4)), 0);
    ck_assert_uint_eq(load_le(fadt + 4, 4), 244);
    ck_assert_uint_eq(fadt[8], 3);
    ck_assert_uint_eq(load_le(fadt + 46, 2), 9);
    ck_assert_uint_eq(load_le(fadt + 48, 4), 0xB2);
    ck_assert_uint_eq(fadt[52], 0xF1);
    ck_assert_uint_eq(fadt[53], 0xF0);
    ck_assert_uint_eq(load_le(fadt + 56, 4), 0x600);
    ck_assert_uint_eq(load_le(fadt + 64, 4), 0x604);
    ck_assert_uint_eq(load_le(fadt + 76, 4), 0x608);
    ck_assert_uint_eq(load_le(fadt + 80, 4), 0xAFE0);
    ck_assert_mem_eq(fadt + 88, "\4\2\0\4\4\0", 6);
    ck_assert_uint_eq(fadt[108], 0x32);
    ck_assert_uint_eq(load_le(fadt + 109, 2), 3);
    ck_assert_uint_eq(load_le(fadt + 112, 4) & 1 << 10, 1 << 10);
    ck_assert_mem_eq(fadt + 116, "\1\10\0\1\xF9\x0C", 6);
    ck_assert_uint_eq(fadt[128], 0x0F);
    ck_assert_uint_eq(load_le(fadt + 140, 8), load_le(fadt + 40, 4));
    ck_assert_uint_eq(load_le(fadt + 152, 8), 0x600);
    teardown(f);
}
END_TEST

START_TEST(madt_and_hpet)
{
    struct fixture *f = setup(3);
    const uint8_t *madt = table(f, "APIC"), *hpet = table(f, "HPET");
    unsigned count[8] = { 0 };

    ck_assert_uint_eq(load_le(madt + 36, 4), 0xFEE00000);
    for (unsigned i = 44; i < load_le(madt + 4, 4); i += madt[i + 1]) {
        count[madt[i] & 7]++;
        if (madt[i] == 2 && madt[i + 3] == 0)
            ck_assert_uint_eq(load_le(madt + i + 4, 4), 2);
        if (madt[i] == 2 && madt[i + 3] == 9)
            ck_assert_uint_eq(load_le(madt + i + 8, 2), 0x0D);
    }
    ck_assert_uint_eq(count[0], 3);
    ck_assert_uint_eq(count[1], 1);
    ck_assert_uint_eq(count[2], 5);
    ck_assert_uint_eq(count[4], 1);
    ck_assert_uint_eq(load_le(hpet + 4, 4), 56);
    ck_assert_uint_eq(load_le(hpet + 44, 8), 0xFED00000);
    teardown(f);
}
END_TEST

/* APIC ids as SDM vol. 3, 9.9.3 composes them: cores and packages begin at powers of two. The I/O APIC:
 * the first free one of 4 bits. */
static const struct {
    struct cpu_topology topology;
    unsigned ioapic;
    uint8_t ids[20]; /* those that are not their index; all zero: none */
} madt_rows[] = {
    { { 1, 1, 1 }, 1, { 0 } },
    { { 1, 4, 1 }, 4, { 0 } },
    { { 2, 2, 2 }, 8, { 0 } },
    { { 1, 3, 2 }, 6, { 0 } },
    { { 2, 3, 1 }, 3, { 0, 1, 2, 4, 5, 6 } },
    { { 2, 1, 3 }, 3, { 0, 1, 2, 4, 5, 6 } },
    { { 2, 3, 3 }, 3, { 0, 1, 2, 4, 5, 6, 8, 9, 10, 16, 17, 18, 20, 21, 22, 24, 25, 26 } },
    { { 14, 1, 1 }, 14, { 0 } },
    { { 15, 1, 1 }, 0, { 0 } },
    { { 64, 1, 1 }, 0, { 0 } },
};

/* Each processor in turn, with the object of the same number in the DSDT. */
START_TEST(madt_processors)
{
    const struct cpu_topology *topology = &madt_rows[_i].topology;
    const uint8_t *ids = madt_rows[_i].ids;
    struct fixture *f = setup_topology(*topology);
    const uint8_t *madt = table(f, "APIC"), *dsdt = at(f, load_le(table(f, "FACP") + 40, 4));
    unsigned count = 0, ioapics = 0, nmis = 0;

    for (unsigned i = 44; i < load_le(madt + 4, 4); i += madt[i + 1]) {
        const uint8_t *e = madt + i;
        char object[] = "\x5B\x83\x0B" "CPxx\0\0\0\0\0"; /* Processor (CPxx, xx, 0, 0) */
        ck_assert_uint_gt(e[1], 1);
        ck_assert_uint_ne(e[0], 9);
        if (e[0] == 1) {
            ck_assert_uint_eq(e[2], madt_rows[_i].ioapic);
            ioapics++;
        } else if (e[0] == 4) {
            ck_assert_mem_eq(e, "\4\6\xFF\0\0\1", 6);
            nmis++;
        } else if (e[0] == 0) {
            snprintf(object + 3, 5, "CP%02X", e[2]);
            object[7] = (char)e[2];
            ck_assert_uint_eq(e[2], count);
            ck_assert_uint_eq(e[3], ids[1] ? ids[count] : count);
            ck_assert_uint_eq(load_le(e + 4, 4), 1);
            ck_assert_ptr_nonnull(memmem(dsdt, load_le(dsdt + 4, 4), object, 13));
            count++;
        }
    }
    ck_assert_uint_eq(count, topology->sockets * topology->cores * topology->threads);
    ck_assert(ioapics == 1 && nmis == 1);
    teardown(f);
}
END_TEST

/* Nine packages with 64 ids each for 33 cores: ids from 255 on need structures of the x2APIC. */
START_TEST(madt_x2apic)
{
    struct fixture *f = setup_topology((struct cpu_topology){ 9, 33, 1 });
    const uint8_t *madt = table(f, "APIC"), *dsdt = at(f, load_le(table(f, "FACP") + 40, 4));
    unsigned count[11] = { 0 };

    ck_assert_uint_ge(madt[8], 3);
    for (unsigned i = 44; i < load_le(madt + 4, 4); i += madt[i + 1]) {
        const uint8_t *e = madt + i;
        unsigned uid = e[0] == 9 ? (unsigned)load_le(e + 12, 4) : e[2];
        ck_assert_uint_le(e[0], 10);
        count[e[0]]++;
        if (e[0] == 0)
            ck_assert_uint_eq(e[3], uid / 33 * 64 + uid % 33);
        if (e[0] == 9) {
            ck_assert_uint_eq(load_le(e + 4, 4), uid / 33 * 64 + uid % 33);
            ck_assert_uint_eq(load_le(e + 8, 4), 1);
        }
        if (e[0] == 10)
            ck_assert_mem_eq(e, "\x0A\x0C\0\0\xFF\xFF\xFF\xFF\1\0\0\0", 12);
    }
    ck_assert(count[0] == 4 * 33 && count[9] == 5 * 33 && count[4] == 1 && count[10] == 1);
    /* Device (C084) { Name (_HID, "ACPI0007") Name (_UID, 0x84) }: the first behind the 4 * 33 objects */
    ck_assert_ptr_nonnull(memmem(dsdt, load_le(dsdt + 4, 4),
                                 "C084\x08_HID\x0D" "ACPI0007\0\x08_UID\x0A\x84", 26));
    ck_assert_ptr_null(memmem(dsdt, load_le(dsdt + 4, 4), "CP84", 4));
    ck_assert_ptr_null(memmem(dsdt, load_le(dsdt + 4, 4), "C083", 4));
    teardown(f);
}
END_TEST

/* Encodings from section 20 of the specification. */
START_TEST(aml_encoding)
{
    static const uint8_t expect[] = {
        0x10, 0x19, 0x5C, '_', 'S', 'B', '_',                         /* Scope (\_SB) */
        0x08, '_', 'H', 'I', 'D', 0x0C, 0x41, 0xD0, 0x0A, 0x03,       /* Name (_HID, EisaId ("PNP0A03")) */
        0x08, 'A', '_', '_', '_', 0x12, 0x03, 0x01, 0x01,       /* Name (A, Package (1) { One }) */
    };
    struct aml a;

    aml_init(&a);
    aml_scope(&a, "\\_SB");
    aml_name(&a, "_HID");
    aml_eisaid(&a, "PNP0A03");
    aml_name(&a, "A");
    aml_package(&a, 1);
    aml_int(&a, 1);
    aml_end(&a);
    aml_end(&a);
    GByteArray *b = aml_finish(&a);
    ck_assert_uint_eq(b->len, sizeof(expect));
    ck_assert_mem_eq(b->data, expect, sizeof(expect));
    g_byte_array_free(b, TRUE);
}
END_TEST

/* A length of 2 bytes holds its low nibble in the first. */
START_TEST(aml_long_package)
{
    struct aml a;

    aml_init(&a);
    aml_package(&a, 100);
    for (unsigned i = 0; i < 100; i++)
        aml_int(&a, 0x42);
    aml_end(&a);
    GByteArray *b = aml_finish(&a);
    ck_assert_uint_eq(b->len, 1 + 2 + 1 + 200);
    ck_assert_uint_eq(b->data[1], 0x40 | (203 & 0x0F));
    ck_assert_uint_eq(b->data[2], 203 >> 4);
    g_byte_array_free(b, TRUE);
}
END_TEST

/* Where Debian's acpica-tools is installed, its disassembler must take the table, and its compiler the
 * result. */
static void check_by_iasl(const uint8_t *t)
{
    char dir[] = "/tmp/mimus-acpi.XXXXXX", command[256];

    if (system("command -v iasl > /dev/null 2>&1"))
        return;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(command, sizeof(command), "%s/table.aml", dir);
    ck_assert(g_file_set_contents(command, (const char *)t, (gssize)load_le(t + 4, 4), NULL));
    snprintf(command, sizeof(command),
             "cd %s && iasl -d table.aml > log 2>&1 && iasl -ve table.dsl >> log 2>&1", dir);
    int status = system(command);
    snprintf(command, sizeof(command), "[ %d = 0 ] || tail -n 40 %s/log; rm -rf %s", status, dir, dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(status, 0);
}

START_TEST(tables_by_iasl)
{
    static const struct cpu_topology topologies[] = { { 1, 1, 1 }, { 2, 5, 3 }, { 64, 1, 1 }, { 9, 33, 1 } };
    static const char tables[][5] = { "FACP", "APIC", "HPET" };
    struct fixture *f = setup_topology(topologies[_i]);

    for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
        check_by_iasl(table(f, tables[i]));
    check_by_iasl(at(f, load_le(table(f, "FACP") + 40, 4)));
    teardown(f);
}
END_TEST

START_TEST(e820_entries)
{
    struct fixture *f = setup(1);
    size_t len;

    e820_setup(f->fw, 0xC0000000, 0x40000000);
    const uint8_t *map = fw_cfg_file(f->fw, "etc/e820", &len);
    ck_assert_uint_eq(len, 40);
    ck_assert_uint_eq(load_le(map + 8, 8), 0xC0000000);
    ck_assert_uint_eq(load_le(map + 16, 4), 1);
    ck_assert_uint_eq(load_le(map + 20, 8), UINT64_C(1) << 32);
    e820_setup(f->fw, 0x8000000, 0);
    fw_cfg_file(f->fw, "etc/e820", &len);
    ck_assert_uint_eq(len, 20);
    teardown(f);
}
END_TEST

Suite *acpi_suite(void)
{
    Suite *s = suite_create("acpi");
    TCase *tc = tcase_create("acpi");

    tcase_add_test(tc, roots_and_fadt);
    tcase_add_test(tc, madt_and_hpet);
    tcase_add_loop_test(tc, madt_processors, 0, ARRAY_LEN(madt_rows));
    tcase_add_test(tc, madt_x2apic);
    tcase_add_test(tc, aml_encoding);
    tcase_add_test(tc, aml_long_package);
    tcase_add_loop_test(tc, tables_by_iasl, 0, 4);
    tcase_add_test(tc, e820_entries);
    suite_add_tcase(s, tc);
    return s;
}
