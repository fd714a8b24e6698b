/* Linux direct boot: where the parts of an image go, the header fields that are filled in, damaged files; the
 * option ROM's seal and the search for firmware. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/misc/fw_cfg.h"
#include "machine/kernel_boot.h"
#include "machine/linux_boot.h"
#include "roms/firmware.h"

enum { RAM = 128 << 20, SETUP = 3 * 512, KERNEL = 5000 };

struct fixture {
    struct log log;
    struct hw_env env;
    struct fw_cfg *fw;
    struct error err;
    char dir[64], kernel[96], initrd[96];
    uint8_t image[SETUP + KERNEL];
};

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    fclose(f);
}

/* A bzImage of protocol 2.15 as its header goes; the kernel's bytes are 'K'. */
static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint8_t *h = f->image;

    log_init(&f->log);
    f->env.log = &f->log;
    f->env.io_root = mem_container_new("ports", 65536);
    f->fw = fw_cfg_new(&f->env);
    strcpy(f->dir, "/tmp/mimus-linux.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->kernel, sizeof(f->kernel), "%s/bzImage", f->dir);
    snprintf(f->initrd, sizeof(f->initrd), "%s/initrd", f->dir);
    h[0x1F1] = 2;
    store_le(h + 0x1F4, 4, (KERNEL + 15) / 16);
    store_le(h + 0x1FE, 2, 0xAA55);
    memcpy(h + 0x202, "HdrS", 4);
    store_le(h + 0x206, 2, 0x20F);
    h[0x211] = 1;
    store_le(h + 0x22C, 4, 0x7FFFFFFF);
    store_le(h + 0x238, 4, 2047);
    store_le(h + 0x258, 8, 0x1000000);
    store_le(h + 0x260, 4, 0x800000);
    memset(h + SETUP, 'K', KERNEL);
    return f;
}

static void teardown(struct fixture *f)
{
    unlink(f->kernel);
    unlink(f->initrd);
    rmdir(f->dir);
    fw_cfg_free(f->fw);
    mem_region_free(f->env.io_root);
    free(f);
}

static int boot_len(struct fixture *f, size_t len, const char *initrd, const char *cmdline, uint64_t ram)
{
    f->err.msg[0] = '\0';
    write_file(f->kernel, f->image, len);
    return linux_boot_setup(f->fw, f->kernel, initrd, cmdline, ram, &f->err);
}

static int boot(struct fixture *f, const char *initrd, const char *cmdline, uint64_t ram)
{
    return boot_len(f, sizeof(f->image), initrd, cmdline, ram);
}

static uint32_t item(struct fixture *f, unsigned key)
{
    size_t len;
    const void *p = fw_cfg_bytes(f->fw, key, &len);

    ck_assert_uint_eq(len, 4);
    return (uint32_t)load_le(p, 4);
}

START_TEST(places)
{
    struct fixture *f = setup();
    size_t len;

    write_file(f->initrd, "initramfs", 9);
    ck_assert_int_eq(boot(f, f->initrd, "console=ttyS0 vga=0x317 quiet", RAM), 0);
    const uint8_t *h = fw_cfg_bytes(f->fw, FW_CFG_SETUP_DATA, &len);
    ck_assert_uint_eq(len, SETUP);
    ck_assert_uint_eq(item(f, FW_CFG_SETUP_ADDR), 0x10000);
    ck_assert_uint_eq(item(f, FW_CFG_SETUP_SIZE), SETUP);
    ck_assert_uint_eq(h[0x210], 0xFF);
    ck_assert_uint_eq(h[0x211], 0x81);
    ck_assert_uint_eq(load_le(h + 0x1FA, 2), 0x317);
    ck_assert_uint_eq(load_le(h + 0x228, 4), item(f, FW_CFG_CMDLINE_ADDR));
    ck_assert_uint_eq(load_le(h + 0x224, 2), 0x20000 - 0x10000 - 0x200);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ADDR), 0x100000);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_SIZE), KERNEL);
    ck_assert_uint_eq(*(const uint8_t *)fw_cfg_bytes(f->fw, FW_CFG_KERNEL_DATA, &len), 'K');
    ck_assert_uint_eq(len, KERNEL);
    ck_assert_str_eq(fw_cfg_bytes(f->fw, FW_CFG_CMDLINE_DATA, &len), "console=ttyS0 vga=0x317 quiet");
    ck_assert_uint_eq(item(f, FW_CFG_CMDLINE_SIZE), len);
    ck_assert_uint_eq(load_le(h + 0x218, 4), RAM - KERNEL_BOOT_RESERVED - 4096);
    ck_assert_uint_eq(load_le(h + 0x21C, 4), 9);
    ck_assert_uint_eq(item(f, FW_CFG_INITRD_ADDR), RAM - KERNEL_BOOT_RESERVED - 4096);
    ck_assert_mem_eq(fw_cfg_bytes(f->fw, FW_CFG_INITRD_DATA, &len), "initramfs", 9);
    store_le(f->image + 0x22C, 4, 0x3FFFFFF);     /* the kernel's own limit */
    ck_assert_int_eq(boot(f, f->initrd, NULL, RAM), 0);
    ck_assert_uint_eq(item(f, FW_CFG_INITRD_ADDR), 0x3FFF000);
    teardown(f);
}
END_TEST

START_TEST(old_protocols)
{
    struct fixture *f = setup();
    size_t len;

    store_le(f->image + 0x206, 2, 0x201);
    ck_assert_int_eq(boot(f, NULL, "x", RAM), 0);
    const uint8_t *h = fw_cfg_bytes(f->fw, FW_CFG_SETUP_DATA, &len);
    ck_assert_uint_eq(item(f, FW_CFG_SETUP_ADDR), 0x90000);
    ck_assert_uint_eq(item(f, FW_CFG_CMDLINE_ADDR), 0x9A000);
    ck_assert_uint_eq(load_le(h + 0x20, 2), 0xA33F);
    ck_assert_uint_eq(load_le(h + 0x22, 2), 0xA000);
    f->image[0x211] = 0;                          /* zImage */
    ck_assert_int_eq(boot(f, NULL, "x", RAM), 0);
    ck_assert_uint_eq(item(f, FW_CFG_KERNEL_ADDR), 0x10000);
    store_le(f->image + 0x206, 2, 0x105);
    ck_assert_int_eq(boot(f, NULL, "x", RAM), -ENOEXEC);
    teardown(f);
}
END_TEST

/* Each failure names the file in one line. */
static void expect(struct fixture *f, int ret, int code, const char *file, const char *why)
{
    ck_assert_int_eq(ret, code);
    ck_assert_msg(strstr(f->err.msg, file) && strstr(f->err.msg, why), "%s", f->err.msg);
    ck_assert_ptr_null(strchr(f->err.msg, '\n'));
}

START_TEST(damaged_files)
{
    struct fixture *f = setup();
    static const uint8_t elf_arm[64] = "\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\x28";
    uint8_t byte = f->image[0x202];
    char line[3000];

    expect(f, boot_len(f, 0, NULL, NULL, RAM), -ENOEXEC, f->kernel, "not a Linux");
    expect(f, boot_len(f, 600, NULL, NULL, RAM), -ENOEXEC, f->kernel, "truncated");
    expect(f, boot_len(f, SETUP, NULL, NULL, RAM), -ENOEXEC, f->kernel, "truncated");
    expect(f, boot_len(f, SETUP + KERNEL - 100, NULL, NULL, RAM), -ENOEXEC, f->kernel, "truncated");
    expect(f, boot(f, NULL, NULL, 16 << 20), -EFBIG, f->kernel, "25 MiB");
    expect(f, boot(f, f->initrd, NULL, RAM), -ENOENT, f->initrd, "No such file");
    expect(f, boot(f, f->dir, NULL, RAM), -EISDIR, f->dir, "directory");
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    expect(f, boot(f, NULL, line, RAM), -E2BIG, f->kernel, "2047");
    f->image[0x202] = 'h';
    expect(f, boot(f, NULL, NULL, RAM), -ENOEXEC, f->kernel, "not a Linux");
    f->image[0x202] = byte;
    f->image[0x1F1] = 255;
    expect(f, boot(f, NULL, NULL, RAM), -ENOEXEC, f->kernel, "truncated");
    write_file(f->kernel, elf_arm, sizeof(elf_arm));
    f->err.msg[0] = '\0';
    expect(f, linux_boot_setup(f->fw, f->kernel, NULL, NULL, RAM, &f->err), -ENOEXEC, f->kernel,
           "another machine");
    f->err.msg[0] = '\0';
    expect(f, linux_boot_setup(f->fw, f->dir, NULL, NULL, RAM, &f->err), -EISDIR, f->dir, "directory");
    teardown(f);
}
END_TEST

START_TEST(initrd_too_large)
{
    struct fixture *f = setup();

    write_file(f->initrd, "", 0);
    ck_assert_int_eq(truncate(f->initrd, RAM - (24 << 20)), 0);
    expect(f, boot(f, f->initrd, NULL, RAM), -EFBIG, f->initrd, "do not fit");
    ck_assert_int_eq(truncate(f->initrd, RAM - (25 << 20)), 0);
    ck_assert_int_eq(boot(f, f->initrd, NULL, RAM), 0);
    teardown(f);
}
END_TEST

START_TEST(option_rom)
{
    struct fixture *f = setup();
    uint8_t rom[600] = { 0x55, 0xAA }, sum = 0;
    const char *dirs[] = { f->dir };
    struct firmware_search s = { dirs, 1, false };
    size_t len;

    rom[0x1A] = 0x20;
    memcpy(rom + 0x20, "$PnP\1\2", 6);
    snprintf(f->initrd, sizeof(f->initrd), "%s/mimus-linux.bin", f->dir);
    write_file(f->initrd, rom, sizeof(rom));
    write_file(f->kernel, f->image, sizeof(f->image));
    ck_assert_int_eq(kernel_boot_setup(f->fw, &s, f->kernel, NULL, NULL, RAM, &f->err), 0);
    const uint8_t *p = fw_cfg_file(f->fw, "genroms/mimus-linux.bin", &len);
    ck_assert_uint_eq(len, 1024);
    ck_assert_uint_eq(p[2], 2);
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    ck_assert_uint_eq(sum, 0);
    for (size_t i = 0x20; i < 0x40; i++)
        sum += p[i];
    ck_assert_uint_eq(sum, 0);
    ck_assert_str_eq(fw_cfg_file(f->fw, "bootorder", &len), "/rom@genroms/mimus-linux.bin");
    teardown(f);
}
END_TEST

START_TEST(firmware_search_order)
{
    struct fixture *f = setup();
    const char *dirs[] = { "/nonexistent", f->dir };
    struct firmware_search s = { dirs, 2, false };
    uint8_t *data;
    size_t len;

    snprintf(f->initrd, sizeof(f->initrd), "%s/fw-test.bin", f->dir);
    write_file(f->initrd, "0123456789", 10);
    ck_assert_int_eq(firmware_load(&s, "fw-test.bin", 10, &data, &len, &f->err), 0);
    ck_assert_uint_eq(len, 10);
    ck_assert_mem_eq(data, "0123456789", 10);
    free(data);
    ck_assert_int_eq(firmware_load(&s, f->initrd, 100, &data, &len, &f->err), 0);
    free(data);
    expect(f, firmware_load(&s, "fw-test.bin", 9, &data, &len, &f->err), -EFBIG, "fw-test.bin", "too large");
    f->err.msg[0] = '\0';
    expect(f, firmware_load(&s, "fw-none.bin", 9, &data, &len, &f->err), -ENOENT, "fw-none.bin", f->dir);
    ck_assert_ptr_nonnull(strstr(f->err.msg, "seabios"));
    ck_assert_ptr_nonnull(strstr(f->err.msg, "/usr/share/qemu"));
    teardown(f);
}
END_TEST

Suite *linux_boot_suite(void)
{
    Suite *s = suite_create("linux_boot");
    TCase *tc = tcase_create("linux_boot");

    tcase_add_test(tc, places);
    tcase_add_test(tc, old_protocols);
    tcase_add_test(tc, damaged_files);
    tcase_add_test(tc, initrd_too_large);
    tcase_add_test(tc, option_rom);
    tcase_add_test(tc, firmware_search_order);
    suite_add_tcase(s, tc);
    return s;
}
