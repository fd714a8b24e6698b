/* fw_cfg: items, the sorted directory, data port, DMA and its errors. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/misc/fw_cfg.h"

struct fixture {
    struct log log;
    struct hw_env env;
    struct mem_region *ram;
    struct fw_cfg *fw;
    int selected;
};

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error err = { "" };

    log_init(&f->log);
    f->env.log = &f->log;
    f->env.clock = clock_new_manual();
    f->env.mem = memory_new(1 << 20, &f->log, &err);
    f->env.mem_root = mem_container_new("memory", UINT64_C(1) << 32);
    f->env.io_root = mem_container_new("ports", 65536);
    f->env.memory = mem_space_new("memory", f->env.mem_root, &f->log);
    f->env.ports = mem_space_new("ports", f->env.io_root, &f->log);
    f->ram = mem_ram_new(f->env.mem, "ram", 65536, &err);
    mem_region_add(f->env.mem_root, 0, f->ram, 0);
    f->fw = fw_cfg_new(&f->env);
    return f;
}

static void teardown(struct fixture *f)
{
    fw_cfg_free(f->fw);
    mem_space_free(f->env.memory);
    mem_space_free(f->env.ports);
    mem_region_free(f->ram);
    mem_region_free(f->env.mem_root);
    mem_region_free(f->env.io_root);
    memory_free(f->env.mem);
    clock_free(f->env.clock);
    free(f);
}

static void read_item(struct fixture *f, unsigned key, uint8_t *out, unsigned len)
{
    mem_write(f->env.ports, 0x510, key, 2);
    for (unsigned i = 0; i < len; i++)
        out[i] = (uint8_t)mem_read(f->env.ports, 0x511, 1);
}

/* Runs a DMA command whose structure is at 0x1000; returns the control word afterwards. */
static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t addr)
{
    uint8_t *at = mem_region_host(f->ram) + 0x1000;

    store_be(at, 4, control);
    store_be(at + 4, 4, len);
    store_be(at + 8, 8, addr);
    mem_write(f->env.ports, 0x514, 0, 4);
    mem_write(f->env.ports, 0x518, 0x00100000, 4); /* 0x1000 in big-endian order */
    return (uint32_t)load_be(at, 4);
}

START_TEST(signature_and_id)
{
    struct fixture *f = setup();
    uint8_t buf[8];

    ck_assert_int_eq(state_table_gap(&fw_cfg_state_table), -1);
    read_item(f, 0, buf, 6);
    ck_assert_mem_eq(buf, "QEMU\0\0", 6);
    read_item(f, 1, buf, 4);
    ck_assert_uint_eq(load_le(buf, 4), 3);
    ck_assert_uint_eq(mem_read(f->env.ports, 0x514, 4), 0x554D4551); /* "QEMU" as bytes */
    ck_assert_uint_eq(mem_read(f->env.ports, 0x518, 4), 0x47464320);
    read_item(f, 0x4711, buf, 2);
    ck_assert_uint_eq(load_le(buf, 2), 0);
    fw_cfg_add_u16(f->fw, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_u16(f->fw, FW_CFG_NB_CPUS, 2);
    read_item(f, 5, buf, 2);
    ck_assert_uint_eq(load_le(buf, 2), 2);
    f->env.devices->reset(f->env.devices->opaque);
    ck_assert_uint_eq(mem_read(f->env.ports, 0x511, 1), 'Q');
    teardown(f);
}
END_TEST

START_TEST(directory_is_sorted)
{
    struct fixture *f = setup();
    uint8_t dir[4 + 3 * 64];

    fw_cfg_add_file(f->fw, "etc/b", "bb", 2);
    fw_cfg_add_file(f->fw, "bootorder", "", 1);
    fw_cfg_add_file(f->fw, "etc/a", "aaa", 3);
    fw_cfg_add_file(f->fw, "etc/b", "four", 4);
    read_item(f, 0x19, dir, sizeof(dir));
    ck_assert_uint_eq(load_be(dir, 4), 3);
    ck_assert_str_eq((char *)dir + 4 + 8, "bootorder");
    ck_assert_uint_eq(load_be(dir + 4 + 64, 4), 3);
    ck_assert_uint_eq(load_be(dir + 4 + 64 + 4, 2), 0x21);
    ck_assert_str_eq((char *)dir + 4 + 64 + 8, "etc/a");
    ck_assert_uint_eq(load_be(dir + 4 + 128, 4), 4);
    ck_assert_uint_eq(load_be(dir + 4 + 128 + 4, 2), 0x22);
    read_item(f, 0x22, dir, 4);
    ck_assert_mem_eq(dir, "four", 4);
    teardown(f);
}
END_TEST

static void on_select(void *opaque)
{
    struct fixture *f = opaque;
    char text[2] = { (char)('0' + ++f->selected), 0 };

    fw_cfg_add_file(f->fw, "live", text, 1);
}

START_TEST(contents_made_at_selection)
{
    struct fixture *f = setup();
    uint8_t c;

    fw_cfg_add_file(f->fw, "live", "", 1);
    fw_cfg_set_select(f->fw, "live", on_select, f);
    read_item(f, 0x20, &c, 1);
    ck_assert_uint_eq(c, '1');
    read_item(f, 0x20, &c, 1);
    ck_assert_uint_eq(c, '2');
    teardown(f);
}
END_TEST

START_TEST(dma_reads)
{
    struct fixture *f = setup();
    uint8_t *ram = mem_region_host(f->ram);

    fw_cfg_add_bytes(f->fw, FW_CFG_CMDLINE_DATA, "hello world", 11);
    memset(ram + 0x2000, 0xEE, 32);
    ck_assert_uint_eq(dma(f, 0x15 << 16 | 0x0A, 5, 0x2000), 0);
    ck_assert_mem_eq(ram + 0x2000, "hello\xEE", 6);
    ck_assert_uint_eq(dma(f, 0x04, 1, 0), 0);              /* skip */
    ck_assert_uint_eq(dma(f, 0x02, 8, 0x2010), 0);         /* goes on; zeros behind the end */
    ck_assert_mem_eq(ram + 0x2010, "world\0\0\0\xEE", 9);
    ck_assert_uint_eq(dma(f, 0x10, 4, 0x2000), 1);         /* nothing is writable */
    ck_assert_uint_eq(dma(f, 0x15 << 16 | 0x0A, 5, 0x80000000), 1);
    ck_assert_uint_eq(dma(f, 0x02, UINT32_MAX, 0xF000), 1); /* runs off the end of RAM */
    teardown(f);
}
END_TEST

Suite *fw_cfg_suite(void)
{
    Suite *s = suite_create("fw_cfg");
    TCase *tc = tcase_create("fw_cfg");

    tcase_add_test(tc, signature_and_id);
    tcase_add_test(tc, directory_is_sorted);
    tcase_add_test(tc, contents_made_at_selection);
    tcase_add_test(tc, dma_reads);
    suite_add_tcase(s, tc);
    return s;
}
