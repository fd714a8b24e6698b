/* Loads a Linux kernel image as the x86 boot protocol says (Documentation/arch/x86/boot.rst), through the
 * fw_cfg items from which the option ROM copies its parts to their places. */
#include "machine/linux_boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/misc/fw_cfg.h"
#include "machine/kernel_boot.h"
#include "roms/firmware.h"

enum setup_header { /* offsets in the real-mode part */
    SETUP_SECTS = 0x1F1, SYSSIZE = 0x1F4, VID_MODE = 0x1FA, BOOT_FLAG = 0x1FE, HEADER = 0x202, VERSION =
    0x206, TYPE_OF_LOADER = 0x210, LOADFLAGS = 0x211, RAMDISK_IMAGE = 0x218, RAMDISK_SIZE = 0x21C,
    HEAP_END_PTR = 0x224, CMD_LINE_PTR = 0x228, INITRD_ADDR_MAX = 0x22C, CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258, INIT_SIZE = 0x260,
    HEADER_MIN = 0x230, /* bytes that every protocol version from 2.00 on may use */
};
enum loadflag { LOADED_HIGH = 0x01, CAN_USE_HEAP = 0x80 };
enum old_cmdline { CL_MAGIC_AT = 0x20, CL_OFFSET_AT = 0x22, CL_MAGIC = 0xA33F };
enum {
    SECTOR = 512, LOADER_UNDEFINED = 0xFF, HEAP_SLACK = 0x200, SETUP_MAX = 0x9000,
    REAL_MODE = 0x10000, CMDLINE = 0x20000,         /* protocol 2.02 and later, loaded high */
    REAL_MODE_OLD = 0x90000, CMDLINE_OLD = 0x9A000, /* otherwise */
    KERNEL_HIGH = 0x100000, KERNEL_LOW = 0x10000,
    CMDLINE_MAX_OLD = 255, CMDLINE_MAX = 0x10000,
    DEFAULT_INITRD_MAX = 0x37FFFFFF, PAGE = 4096,
};
#define FILE_MAX (UINT64_C(2) << 30)

struct linux_image {
    const char *path;
    uint8_t *file;
    size_t len, setup_len, kernel_len;
    unsigned version;     /* of the boot protocol */
    bool high, old;       /* loaded above 1 MiB; old layout of the low parts */
    uint64_t kernel_end;  /* first address that the running kernel does not need */
};

/* ---- what the file is ---- */

/* An ELF file gets a message of its own: people try vmlinux, or another machine's kernel. */
static int not_a_kernel(const struct linux_image *k, struct error *err)
{
    unsigned machine = k->len >= 20 ? (unsigned)load_le(k->file + 18, 2) : 0;

    if (k->len < 20 || memcmp(k->file, "\177ELF", 4))
        return error_set(err, -ENOEXEC, "kernel '%s': not a Linux bzImage or Multiboot kernel", k->path);
    if (k->file[5] != 1 || (machine != 3 && machine != 62))
        return error_set(err, -ENOEXEC, "kernel '%s': an ELF file for another machine (e_machine %u)",
                         k->path, k->file[5] == 1 ? machine : (unsigned)load_be(k->file + 18, 2));
    return error_set(err, -ENOEXEC, "kernel '%s': an ELF file without Multiboot header; Linux boots from its "
                     "bzImage", k->path);
}

static int parse_image(struct linux_image *k, struct error *err)
{
    const uint8_t *f = k->file;

    if (k->len < HEADER_MIN || load_le(f + BOOT_FLAG, 2) != 0xAA55 || memcmp(f + HEADER, "HdrS", 4))
        return not_a_kernel(k, err);
    k->version = (unsigned)load_le(f + VERSION, 2);
    if (k->version < 0x200)
        return error_set(err, -ENOEXEC, "kernel '%s': boot protocol %u.%02u is older than 2.00", k->path,
                         k->version >> 8, k->version & 0xFF);
    k->setup_len = ((f[SETUP_SECTS] ? f[SETUP_SECTS] : 4u) + 1) * SECTOR;
    uint64_t need = k->setup_len + (k->version >= 0x204 ? load_le(f + SYSSIZE, 4) * 16 : 1);
    if (k->len + 15 < need || k->len <= k->setup_len) /* the size counts paragraphs, rounded up */
        return error_set(err, -ENOEXEC, "kernel '%s': truncated: %zu bytes, its header says %llu", k->path,
                         k->len, (unsigned long long)need);
    if (k->setup_len > SETUP_MAX)
        return error_set(err, -ENOEXEC, "kernel '%s': real-mode part of %zu bytes is too large", k->path,
                         k->setup_len);
    k->kernel_len = k->len - k->setup_len;
    k->high = f[LOADFLAGS] & LOADED_HIGH;
    k->old = k->version < 0x202 || !k->high;
    return 0;
}

/* ---- where things go ---- */

static int place_kernel(struct linux_image *k, uint64_t ram_end, struct error *err)
{
    uint64_t addr = k->high ? KERNEL_HIGH : KERNEL_LOW;

    k->kernel_end = addr + k->kernel_len;
    if (!k->high && k->kernel_end > REAL_MODE_OLD)
        return error_set(err, -EFBIG, "kernel '%s': too large for a zImage", k->path);
    if (k->version >= 0x20A && k->len >= INIT_SIZE + 4) {
        uint64_t pref = MIN_OF(load_le(k->file + PREF_ADDRESS, 8), UINT32_MAX);
        k->kernel_end = MAX_OF(k->kernel_end, pref + load_le(k->file + INIT_SIZE, 4));
    }
    if (k->kernel_end > ram_end)
        return error_set(err, -EFBIG, "kernel '%s': needs %llu MiB of RAM", k->path,
                         (unsigned long long)((k->kernel_end + KERNEL_BOOT_RESERVED + 0xFFFFF) >> 20));
    return 0;
}

/* The highest page at which the initrd ends below both limits. */
static int place_initrd(const struct linux_image *k, const char *path, size_t len, uint64_t ram_end,
                        uint32_t *addr, struct error *err)
{
    uint64_t max = k->version >= 0x203 ? load_le(k->file + INITRD_ADDR_MAX, 4) : DEFAULT_INITRD_MAX;
    uint64_t end = MIN_OF(max + 1, ram_end), lowest = MAX_OF(k->kernel_end, KERNEL_HIGH);

    if (len > end || align_down(end - len, PAGE) < lowest)
        return error_set(err, -EFBIG, "initrd '%s': %zu bytes do not fit into memory above the kernel", path,
                         len);
    *addr = (uint32_t)align_down(end - len, PAGE);
    return 0;
}

static int add_initrd(struct fw_cfg *fw, struct linux_image *k, const char *path, uint64_t ram_end,
                      struct error *err)
{
    uint8_t *data;
    size_t len;
    uint32_t addr = 0;
    int ret = firmware_read("initrd", path, FILE_MAX, &data, &len, err);

    if (ret)
        return ret;
    ret = place_initrd(k, path, len, ram_end, &addr, err);
    if (ret) {
        free(data);
        return ret;
    }
    store_le(k->file + RAMDISK_IMAGE, 4, addr);
    store_le(k->file + RAMDISK_SIZE, 4, len);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_ADDR, addr);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_SIZE, (uint32_t)len);
    fw_cfg_take_bytes(fw, FW_CFG_INITRD_DATA, data, len);
    return 0;
}

/* ---- command line ---- */

static int check_cmdline(const struct linux_image *k, const char *cmdline, struct error *err)
{
    size_t max = CMDLINE_MAX_OLD;

    if (k->version >= 0x206 && k->len >= CMDLINE_SIZE + 4)
        max = MIN_OF((size_t)load_le(k->file + CMDLINE_SIZE, 4), CMDLINE_MAX - 1);
    if (strlen(cmdline) > max)
        return error_set(err, -E2BIG, "kernel '%s': its command line has at most %zu characters, not %zu",
                         k->path, max, strlen(cmdline));
    return 0;
}

/* "vga=" is the boot loader's to understand: a number or one of three names. */
static uint16_t video_mode(const char *cmdline)
{
    static const struct { const char *name; uint16_t mode; } names[] = {
        { "normal", 0xFFFF }, { "ext", 0xFFFE }, { "ask", 0xFFFD },
    };
    const char *p = cmdline;

    while ((p = strstr(p, "vga=")) && p != cmdline && p[-1] != ' ')
        p++;
    if (!p)
        return 0xFFFF;
    p += strlen("vga=");
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (!strncmp(p, names[i].name, strlen(names[i].name)))
            return names[i].mode;
    return (uint16_t)strtoul(p, NULL, 0);
}

static void add_cmdline(struct fw_cfg *fw, struct linux_image *k, const char *cmdline)
{
    uint32_t addr = k->old ? CMDLINE_OLD : CMDLINE;

    if (k->version >= 0x202) {
        store_le(k->file + CMD_LINE_PTR, 4, addr);
    } else {
        store_le(k->file + CL_MAGIC_AT, 2, CL_MAGIC);
        store_le(k->file + CL_OFFSET_AT, 2, CMDLINE_OLD - REAL_MODE_OLD);
    }
    store_le(k->file + VID_MODE, 2, video_mode(cmdline));
    fw_cfg_add_u32(fw, FW_CFG_CMDLINE_ADDR, addr);
    fw_cfg_add_u32(fw, FW_CFG_CMDLINE_SIZE, (uint32_t)strlen(cmdline) + 1);
    fw_cfg_add_bytes(fw, FW_CFG_CMDLINE_DATA, cmdline, strlen(cmdline) + 1);
}

/* ---- all together ---- */

static void add_kernel(struct fw_cfg *fw, struct linux_image *k)
{
    uint32_t real = k->old ? REAL_MODE_OLD : REAL_MODE, cmdline = k->old ? CMDLINE_OLD : CMDLINE;

    k->file[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    if (k->version >= 0x201) {
        k->file[LOADFLAGS] |= CAN_USE_HEAP;
        store_le(k->file + HEAP_END_PTR, 2, cmdline - real - HEAP_SLACK);
    }
    fw_cfg_add_u32(fw, FW_CFG_SETUP_ADDR, real);
    fw_cfg_add_u32(fw, FW_CFG_SETUP_SIZE, (uint32_t)k->setup_len);
    fw_cfg_add_bytes(fw, FW_CFG_SETUP_DATA, k->file, k->setup_len);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, k->high ? KERNEL_HIGH : KERNEL_LOW);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_SIZE, (uint32_t)k->kernel_len);
    fw_cfg_add_bytes(fw, FW_CFG_KERNEL_DATA, k->file + k->setup_len, k->kernel_len);
}

static int setup_image(struct fw_cfg *fw, struct linux_image *k, const char *initrd, const char *cmdline,
                       uint64_t ram_end, struct error *err)
{
    int ret = parse_image(k, err);

    if (!ret)
        ret = place_kernel(k, ram_end, err);
    if (!ret)
        ret = check_cmdline(k, cmdline, err);
    if (!ret && initrd)
        ret = add_initrd(fw, k, initrd, ram_end, err);
    if (!ret) {
        add_cmdline(fw, k, cmdline);
        add_kernel(fw, k);
    }
    return ret;
}

int linux_boot_setup(struct fw_cfg *fw, const char *kernel, const char *initrd, const char *cmdline,
                     uint64_t ram_below_4g, struct error *err)
{
    struct linux_image k = { .path = kernel };
    uint64_t ram_end = ram_below_4g > KERNEL_BOOT_RESERVED ? ram_below_4g - KERNEL_BOOT_RESERVED : 0;
    int ret = firmware_read("kernel", kernel, FILE_MAX, &k.file, &k.len, err);

    if (!ret)
        ret = setup_image(fw, &k, initrd, cmdline ? cmdline : "", ram_end, err);
    free(k.file);
    return ret;
}
