/* SMBIOS: the entry point, the walk from structure to structure, and some fields. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "hw/misc/fw_cfg.h"
#include "machine/smbios.h"

struct fixture {
    struct log log;
    struct hw_env env;
    struct fw_cfg *fw;
};

static const struct smbios_config config = {
    .topology = { 2, 3, 4 }, .below_4g = 0xC0000000, .above_4g = UINT64_C(0x540000000), .version = "0.1",
    .cpu_name = "a processor", .cpuid_eax = 0x6F8, .cpuid_edx = 0x178BFBFF,
    .uuid = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
              0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF },
};

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    log_init(&f->log);
    f->env.log = &f->log;
    f->env.io_root = mem_container_new("ports", 65536);
    f->fw = fw_cfg_new(&f->env);
    smbios_setup(f->fw, &config);
    return f;
}

static void teardown(struct fixture *f)
{
    fw_cfg_free(f->fw);
    mem_region_free(f->env.io_root);
    free(f);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s += *p++;
    return s;
}

/* The structure behind `p`: strings end with an empty one. */
static const uint8_t *next(const uint8_t *p)
{
    p += p[1];
    while (p[0] || p[1])
        p++;
    return p + 2;
}

static const uint8_t *find(struct fixture *f, uint8_t type)
{
    size_t len;
    const uint8_t *p = fw_cfg_file(f->fw, "etc/smbios/smbios-tables", &len);

    while (*p != type && *p != 127)
        p = next(p);
    ck_assert_uint_eq(*p, type);
    return p;
}

static const char *string(const uint8_t *p, unsigned number)
{
    const char *s = (const char *)p + p[1];

    ck_assert_uint_gt(number, 0);
    while (--number)
        s += strlen(s) + 1;
    return s;
}

START_TEST(entry_point)
{
    struct fixture *f = setup();
    size_t len, anchor_len;
    const uint8_t *anchor = fw_cfg_file(f->fw, "etc/smbios/smbios-anchor", &anchor_len);
    const uint8_t *tables = fw_cfg_file(f->fw, "etc/smbios/smbios-tables", &len), *p = tables, *start;
    unsigned count = 0, largest = 0;

    ck_assert_uint_eq(anchor_len, 31);
    ck_assert_mem_eq(anchor, "_SM_", 4);
    ck_assert_mem_eq(anchor + 16, "_DMI_", 5);
    ck_assert_uint_eq(sum(anchor, 31), 0);
    ck_assert_uint_eq(sum(anchor + 16, 15), 0);
    ck_assert_uint_eq(load_le(anchor + 22, 2), len);
    do {
        start = p;
        p = next(p);
        count++;
        largest = MAX_OF(largest, (unsigned)(p - start));
    } while (*start != 127);
    ck_assert_ptr_eq(p, tables + len);
    ck_assert_uint_eq(load_le(anchor + 28, 2), count);
    ck_assert_uint_eq(load_le(anchor + 8, 2), largest);
    ck_assert_uint_eq(anchor[30], 0x28);
    teardown(f);
}
END_TEST

START_TEST(structures)
{
    static const struct { uint8_t type, len; } lengths[] = {
        { 0, 0x18 }, { 1, 0x1B }, { 3, 0x16 }, { 4, 0x2A }, { 16, 0x17 }, { 17, 0x28 }, { 19, 0x1F },
        { 32, 0x0B },
    };
    struct fixture *f = setup();

    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++)
        ck_assert_uint_eq(find(f, lengths[i].type)[1], lengths[i].len);
    ck_assert_mem_eq(find(f, 1) + 8, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99", 10);
    const uint8_t *cpu = find(f, 4);
    ck_assert_str_eq(string(cpu, cpu[4]), "CPU 0");
    ck_assert_str_eq(string(cpu, cpu[0x10]), "a processor");
    ck_assert_uint_eq(load_le(cpu + 8, 4), 0x6F8);
    /* cores, those enabled, logical processors of the socket */
    ck_assert_mem_eq(cpu + 0x23, "\3\3\x0C", 3);
    cpu = next(cpu);
    ck_assert_uint_eq(cpu[0], 4);
    ck_assert_str_eq(string(cpu, cpu[4]), "CPU 1");
    ck_assert_uint_ne(next(cpu)[0], 4);
    /* 24 GiB: two modules */
    ck_assert_uint_eq(load_le(find(f, 16) + 7, 4), UINT64_C(24) << 20);
    ck_assert_uint_eq(load_le(find(f, 16) + 0x0D, 2), 2);
    ck_assert_uint_eq(load_le(find(f, 17) + 0x0C, 2), 16384);
    ck_assert_uint_eq(load_le(next(find(f, 17)) + 0x0C, 2), 8192);
    ck_assert_uint_eq(load_le(find(f, 19) + 8, 4), 0xC0000000u / 1024 - 1);
    teardown(f);
}
END_TEST

Suite *smbios_suite(void)
{
    Suite *s = suite_create("smbios");
    TCase *tc = tcase_create("smbios");

    tcase_add_test(tc, entry_point);
    tcase_add_test(tc, structures);
    suite_add_tcase(s, tc);
    return s;
}
