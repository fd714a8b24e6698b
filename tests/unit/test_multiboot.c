/* Multiboot: header search, a.out and ELF images, modules, the information structure, damaged files. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/misc/fw_cfg.h"
#include "machine/kernel_boot.h"
#include "machine/multiboot.h"

enum { RAM = 64 << 20, IMAGE = 12288 };

struct fixture {
    struct log log;
    struct hw_env env;
    struct fw_cfg *fw;
    struct error err;
    char dir[64], kernel[96], module[96];
    uint8_t image[IMAGE];
};

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    log_init(&f->log);
    f->env.log = &f->log;
    f->env.io_root = mem_container_new("ports", 65536);
    f->fw = fw_cfg_new(&f->env);
    strcpy(f->dir, "/tmp/mimus-multi.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->dir);
    snprintf(f->module, sizeof(f->module), "%s/module", f->dir);
    for (unsigned i = 0; i < IMAGE; i++)
        f->image[i] = (uint8_t)(i * 13 >> 3);
    return f;
}

static void teardown(struct fixture *f)
{
    unlink(f->kernel);
    unlink(f->module);
    rmdir(f->dir);
    fw_cfg_free(f->fw);
    mem_region_free(f->env.io_root);
    free(f);
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, len, file), len);
    fclose(file);
}

static int boot(struct fixture *f, size_t len, const char *modules)
{
    f->err.msg[0] = '\0';
    write_file(f->kernel, f->image, len);
    return multiboot_setup(f->fw, f->kernel, modules, "one two", RAM, &f->err);
}

static void put_words(uint8_t *at, const uint32_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        store_le(at + 4 * i, 4, words[i]);
}

static void put_header(struct fixture *f, unsigned at, uint32_t flags)
{
    const uint32_t words[] = { 0x1BADB002, flags, -(0x1BADB002 + flags) };

    put_words(f->image + at, words, 3);
}

/* a.out: header at file offset 0x1010, loaded from offset 0x1000 to 2 MiB. */
static void make_aout(struct fixture *f)
{
    const uint32_t words[] = { 0x200010, 0x200000, 0x200800, 0x203000, 0x200123 };

    put_header(f, 0x1010, 0x10003);
    put_words(f->image + 0x1010 + 12, words, 5);
}

static uint32_t item(struct fixture *f, unsigned key)
{
    size_t len;

    return (uint32_t)load_le(fw_cfg_bytes(f->fw, key, &len), 4);
}

/* What is at guest address `addr` of the information blob. */
static const uint8_t *info(struct fixture *f, uint32_t addr)
{
    size_t len;
    const uint8_t *p = fw_cfg_bytes(f->fw, FW_CFG_SETUP_DATA, &len);
    uint32_t base = item(f, FW_CFG_SETUP_ADDR);

    ck_assert(addr >= base && addr < base + len);
    return p + (addr - base);
}

START_TEST(aout)
{
    struct fixture *f = setup();
    size_t len;

    ck_assert(!multiboot_probe(f->kernel));
    make_aout(f);
    ck_assert_int_eq(boot(f, IMAGE, NULL), 0);
    ck_assert(multiboot_probe(f->kernel));
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ADDR), 0x200000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_SIZE), 0x3000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ENTRY), 0x200123);
    const uint8_t *p = fw_cfg_bytes(f->fw, FW_CFG_KERNEL_DATA, &len);
    ck_assert_mem_eq(p, f->image + 0x1000, 0x800);
    for (unsigned i = 0x800; i < 0x3000; i++)
        ck_assert_uint_eq(p[i], 0);
    put_words(f->image + 0x1010 + 20, (const uint32_t[]){ 0, 0 }, 2); /* all of the file, no bss */
    ck_assert_int_eq(boot(f, IMAGE, NULL), 0);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_SIZE), IMAGE - 0x1000);
    teardown(f);
}
END_TEST

/* An ELF32 file: one segment of 0x100 bytes at offset 0x1000, linked high, loaded at 1 MiB. */
static void make_elf32(struct fixture *f, uint16_t machine)
{
    const uint32_t segment[] = { 1, 0x1000, 0xC0100000, 0x100000, 0x100, 0x2000, 7, 0x1000 };
    uint8_t *h = f->image;

    memset(h, 0, 0x100);
    memcpy(h, "\177ELF\1\1\1", 7);
    store_le(h + 16, 2, 2);
    store_le(h + 18, 2, machine);
    store_le(h + 24, 4, 0xC0100010);
    store_le(h + 28, 4, 52);
    store_le(h + 42, 2, 32);
    store_le(h + 44, 2, 1);
    put_words(h + 52, segment, 8);
    put_header(f, 0x80, 3);
}

START_TEST(elf32)
{
    struct fixture *f = setup();
    size_t len;

    make_elf32(f, 3);
    ck_assert_int_eq(boot(f, IMAGE, NULL), 0);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ADDR), 0x100000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_SIZE), 0x2000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ENTRY), 0x100010);
    const uint8_t *p = fw_cfg_bytes(f->fw, FW_CFG_KERNEL_DATA, &len);
    ck_assert_mem_eq(p, f->image + 0x1000, 0x100);
    ck_assert_uint_eq(p[0x100], 0);
    teardown(f);
}
END_TEST

START_TEST(elf64)
{
    struct fixture *f = setup();
    uint8_t *h = f->image;

    memset(h, 0, 0x100);
    memcpy(h, "\177ELF\2\1\1", 7);
    store_le(h + 18, 2, 62);
    store_le(h + 24, 8, 0x300040);
    store_le(h + 32, 8, 64);
    store_le(h + 54, 2, 56);
    store_le(h + 56, 2, 1);
    store_le(h + 64, 4, 1);
    store_le(h + 64 + 8, 8, 0x1000);
    store_le(h + 64 + 16, 8, 0x300000);
    store_le(h + 64 + 24, 8, 0x300000);
    store_le(h + 64 + 32, 8, 0x80);
    store_le(h + 64 + 40, 8, 0x80);
    put_header(f, 0x100, 0);
    ck_assert_int_eq(boot(f, IMAGE, NULL), 0);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ADDR), 0x300000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ENTRY), 0x300040);
    store_le(h + 64 + 40, 8, UINT64_MAX);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    store_le(h + 64 + 40, 8, 0x80);
    store_le(h + 64 + 8, 8, UINT64_MAX - 8);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    store_le(h + 32, 8, UINT64_MAX - 4);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    teardown(f);
}
END_TEST

START_TEST(modules)
{
    struct fixture *f = setup();
    char list[300], expect[120];
    size_t len;

    make_aout(f);
    write_file(f->module, "module data", 11);
    snprintf(list, sizeof(list), "%s a,,b,%s", f->module, f->module);
    ck_assert_int_eq(boot(f, IMAGE, list), 0);
    const uint8_t *mbi = info(f, item(f, FW_CFG_SETUP_ADDR));
    ck_assert_uint_eq(load_le(mbi, 4), 0x24D);
    snprintf(expect, sizeof(expect), "%s one two", f->kernel);
    ck_assert_str_eq((const char *)info(f, (uint32_t)load_le(mbi + 16, 4)), expect);
    ck_assert_str_eq((const char *)info(f, (uint32_t)load_le(mbi + 64, 4)), "mimus");
    ck_assert_uint_eq(load_le(mbi + 20, 4), 2);
    const uint8_t *mod = info(f, (uint32_t)load_le(mbi + 24, 4));
    ck_assert_uint_eq(load_le(mod, 4), 0x203000);
    ck_assert_uint_eq(load_le(mod + 4, 4), 0x20300B);
    snprintf(expect, sizeof(expect), "%s a,b", f->module);
    ck_assert_str_eq((const char *)info(f, (uint32_t)load_le(mod + 8, 4)), expect);
    ck_assert_uint_eq(load_le(mod + 16, 4), 0x204000);
    ck_assert_uint_eq(item(f, FW_CFG_INITRD_ADDR), 0x203000);
    const uint8_t *data = fw_cfg_bytes(f->fw, FW_CFG_INITRD_DATA, &len);
    ck_assert_uint_eq(len, 4096 + 11);
    ck_assert_mem_eq(data + 4096, "module data", 11);
    info(f, (uint32_t)load_le(mbi + 48, 4) + 64 * 24 - 1); /* room for the memory map */
    ck_assert_int_eq(boot(f, IMAGE, "/nonexistent x"), -ENOENT);
    ck_assert_ptr_nonnull(strstr(f->err.msg, "'/nonexistent'"));
    ck_assert_int_eq(truncate(f->module, RAM), 0);
    ck_assert_int_eq(boot(f, IMAGE, f->module), -EFBIG);
    teardown(f);
}
END_TEST

START_TEST(damaged_files)
{
    struct fixture *f = setup();

    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    ck_assert_ptr_nonnull(strstr(f->err.msg, f->kernel));
    put_header(f, 8192, 0x10003);                        /* too far behind */
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    make_aout(f);
    ck_assert_int_eq(boot(f, 0x1010 + 12, NULL), -ENOEXEC);
    ck_assert_int_eq(boot(f, 0x1010 + 32, NULL), -ENOEXEC);
    put_header(f, 0x1010, 0x18003);                      /* a feature that must be understood */
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    put_header(f, 0x1010, 3);                            /* neither a.out nor ELF */
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    put_header(f, 0x1010, 0);
    store_le(f->image + 0x1010, 4, 0);
    make_elf32(f, 40);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    ck_assert_ptr_nonnull(strstr(f->err.msg, "another machine"));
    make_elf32(f, 3);
    ck_assert_int_eq(boot(f, 0x1080, NULL), -ENOEXEC);   /* ends within the segment */
    store_le(f->image + 44, 2, 0xFFFF);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    store_le(f->image + 44, 2, 0);
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    make_elf32(f, 3);
    store_le(f->image + 52 + 20, 4, 0x7FFFFFFF);         /* more than memory */
    ck_assert_int_eq(boot(f, IMAGE, NULL), -EFBIG);
    make_elf32(f, 3);
    store_le(f->image + 52 + 12, 4, 0x7C00);             /* below 1 MiB */
    ck_assert_int_eq(boot(f, IMAGE, NULL), -ENOEXEC);
    teardown(f);
}
END_TEST

Suite *multiboot_suite(void)
{
    Suite *s = suite_create("multiboot");
    TCase *tc = tcase_create("multiboot");

    tcase_add_test(tc, aout);
    tcase_add_test(tc, elf32);
    tcase_add_test(tc, elf64);
    tcase_add_test(tc, modules);
    tcase_add_test(tc, damaged_files);
    suite_add_tcase(s, tc);
    return s;
}
