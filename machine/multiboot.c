/* Loads a Multiboot kernel (Multiboot Specification 0.6.96): an a.out-style or ELF image and modules,
 * through the fw_cfg items from which the option ROM copies them to their places. The ROM adds the memory
 * map. */
#include "machine/multiboot.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/misc/fw_cfg.h"
#include "machine/kernel_boot.h"
#include "roms/firmware.h"

enum { SEARCH = 8192, HEADER_MAGIC = 0x1BADB002, HEADER_SIZE = 12, AOUT_HEADER_SIZE = 32 };
enum header_flag { MUST_UNDERSTAND = 0xFFF8, AOUT_KLUDGE = 0x10000 };
enum mbi_field {
    MBI_FLAGS = 0, MBI_CMDLINE = 16, MBI_MODS_COUNT = 20, MBI_MODS_ADDR = 24, MBI_MMAP_ADDR = 48,
    MBI_LOADER = 64, MBI_SIZE = 128
};
enum mbi_flag {
    MBI_HAS_MEMORY = 1, MBI_HAS_CMDLINE = 4, MBI_HAS_MODS = 8, MBI_HAS_MMAP = 64, MBI_HAS_LOADER = 512
};
enum {
    MBI_ADDR = 0x10000, MBI_MAX = 0xF000, MMAP_ROOM = 64 * 24, /* as many entries as the ROM fills in */
    MODULE_ENTRY = 16, MAX_MODULES = 256, PAGE = 4096, LOW_LIMIT = 0x100000,
};
enum elf { ELF32 = 1, ELF64 = 2, PT_LOAD = 1, EM_386 = 3, EM_X86_64 = 62 };
#define FILE_MAX (UINT64_C(2) << 30)

struct multiboot {
    const char *path;
    uint8_t *file;
    size_t len;
    uint32_t header;        /* offset in the file */
    uint64_t ram_end;
    uint8_t *image;         /* what goes to `addr`: the file's parts, zeros between and behind them */
    uint32_t addr, size, entry;
    GByteArray *modules;    /* what goes to `modules_addr` */
    uint32_t modules_addr;
};

struct module { uint32_t start, end; char *string; };

/* A part of the file that is loaded. */
struct segment { uint64_t offset, filesz, vaddr, paddr, memsz; };

/* Offset of the header in the first 8 KiB, or -1. */
static long find_header(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + HEADER_SIZE <= MIN_OF(len, SEARCH); i += 4)
        if (load_le(p + i, 4) == HEADER_MAGIC &&
            !(uint32_t)(load_le(p + i, 4) + load_le(p + i + 4, 4) + load_le(p + i + 8, 4)))
            return (long)i;
    return -1;
}

bool multiboot_probe(const char *kernel)
{
    uint8_t buf[SEARCH];
    FILE *f = fopen(kernel, "rb");

    if (!f)
        return false;
    size_t len = fread(buf, 1, sizeof(buf), f);
    fclose(f);
    return find_header(buf, len) >= 0;
}

/* ---- the image ---- */

static int bad(const struct multiboot *k, struct error *err, const char *why)
{
    return error_set(err, -ENOEXEC, "kernel '%s': %s", k->path, why);
}

/* Make room for [first, end); 0 or an error. */
static int image_alloc(struct multiboot *k, uint64_t first, uint64_t end, struct error *err)
{
    if (first < LOW_LIMIT)
        return bad(k, err, "Multiboot image wants to be loaded below 1 MiB");
    if (end <= first)
        return bad(k, err, "Multiboot image is empty");
    if (end > k->ram_end)
        return error_set(err, -EFBIG, "kernel '%s': needs %llu MiB of RAM", k->path,
                         (unsigned long long)((end + KERNEL_BOOT_RESERVED + 0xFFFFF) >> 20));
    k->addr = (uint32_t)first;
    k->size = (uint32_t)(end - first);
    k->image = calloc(1, k->size);
    return k->image ? 0 : error_set(err, -ENOMEM, "kernel '%s': no memory to load it", k->path);
}

/* The header itself says where the file goes (3.1.3). */
static int load_aout(struct multiboot *k, struct error *err)
{
    const uint8_t *h = k->file + k->header;

    if (k->len - k->header < AOUT_HEADER_SIZE)
        return bad(k, err, "truncated in its Multiboot header");
    uint64_t header_addr = load_le(h + 12, 4), load = load_le(h + 16, 4), load_end = load_le(h + 20, 4);
    uint64_t bss_end = load_le(h + 24, 4), before = header_addr - load;
    if (header_addr < load || before > k->header)
        return bad(k, err, "its Multiboot header has impossible addresses");
    uint64_t start = k->header - before, size = load_end ? load_end - load : k->len - start;
    if ((load_end && load_end < load) || size > k->len - start)
        return bad(k, err, "truncated: its Multiboot header asks for more than the file has");
    int ret = image_alloc(k, load, MAX_OF(load + size, bss_end), err);
    if (!ret)
        memcpy(k->image, k->file + start, size);
    k->entry = (uint32_t)load_le(h + 28, 4);
    return ret;
}

/* Segment `i` of the program header; false when it is not one to load. The caller has checked the table. */
static bool elf_segment(const struct multiboot *k, uint64_t table, unsigned entsize, unsigned i,
                        struct segment *s)
{
    const uint8_t *p = k->file + table + (uint64_t)i * entsize;

    if (k->file[4] == ELF64)
        *s = (struct segment){ load_le(p + 8, 8), load_le(p + 32, 8), load_le(p + 16, 8), load_le(p + 24, 8),
                               load_le(p + 40, 8) };
    else
        *s = (struct segment){ load_le(p + 4, 4), load_le(p + 16, 4), load_le(p + 8, 4), load_le(p + 12, 4),
                               load_le(p + 20, 4) };
    return load_le(p, 4) == PT_LOAD && s->memsz;
}

struct elf_table { uint64_t at, entry; unsigned entsize, count; };

static int elf_header(const struct multiboot *k, struct elf_table *t, struct error *err)
{
    const uint8_t *f = k->file;
    bool wide = k->len > 4 && f[4] == ELF64;

    if (k->len < 64 || memcmp(f, "\177ELF", 4) || (f[4] != ELF32 && f[4] != ELF64))
        return bad(k, err, "a Multiboot header, but neither load addresses nor an ELF file");
    unsigned machine = (unsigned)load_le(f + 18, 2);
    if (f[5] != 1 || (machine != EM_386 && machine != EM_X86_64))
        return bad(k, err, "an ELF file for another machine");
    *t = (struct elf_table){
        .at = wide ? load_le(f + 32, 8) : load_le(f + 28, 4),
        .entry = wide ? load_le(f + 24, 8) : load_le(f + 24, 4),
        .entsize = (unsigned)load_le(f + (wide ? 54 : 42), 2),
        .count = (unsigned)load_le(f + (wide ? 56 : 44), 2),
    };
    if (t->entsize < (wide ? 56u : 32u) || t->at > k->len || (uint64_t)t->count * t->entsize > k->len - t->at)
        return bad(k, err, "truncated or damaged ELF program header");
    return 0;
}

/* Bounds of all segments, each checked against the file and 4 GiB. */
static int elf_bounds(const struct multiboot *k, const struct elf_table *t, uint64_t *first, uint64_t *end,
                      struct error *err)
{
    struct segment s;

    *first = UINT64_MAX;
    *end = 0;
    for (unsigned i = 0; i < t->count; i++) {
        if (!elf_segment(k, t->at, t->entsize, i, &s))
            continue;
        if (s.offset > k->len || s.filesz > k->len - s.offset || s.filesz > s.memsz)
            return bad(k, err, "truncated: an ELF segment lies outside of the file");
        if (s.paddr > UINT32_MAX || s.memsz > UINT32_MAX)
            return bad(k, err, "an ELF segment lies above 4 GiB");
        *first = MIN_OF(*first, s.paddr);
        *end = MAX_OF(*end, s.paddr + s.memsz);
    }
    return 0;
}

/* Segments go to their physical addresses; an entry given as a virtual address follows its segment. */
static int load_elf(struct multiboot *k, struct error *err)
{
    struct elf_table t = { 0 };
    struct segment s;
    uint64_t first = 0, end = 0;
    int ret = elf_header(k, &t, err);

    if (!ret)
        ret = elf_bounds(k, &t, &first, &end, err);
    if (!ret)
        ret = image_alloc(k, first, end, err);
    if (ret)
        return ret;
    k->entry = (uint32_t)t.entry;
    for (unsigned i = 0; i < t.count; i++) {
        if (!elf_segment(k, t.at, t.entsize, i, &s))
            continue;
        memcpy(k->image + (s.paddr - k->addr), k->file + s.offset, s.filesz);
        if (t.entry >= s.vaddr && t.entry - s.vaddr < s.memsz)
            k->entry = (uint32_t)(t.entry - s.vaddr + s.paddr);
    }
    return 0;
}

static int load_kernel(struct multiboot *k, struct error *err)
{
    long header = find_header(k->file, k->len);

    if (header < 0)
        return bad(k, err, "no Multiboot header");
    k->header = (uint32_t)header;
    uint32_t flags = (uint32_t)load_le(k->file + header + 4, 4);
    if (flags & MUST_UNDERSTAND)
        return bad(k, err, "its Multiboot header asks for features that do not exist");
    return flags & AOUT_KLUDGE ? load_aout(k, err) : load_elf(k, err);
}

/* ---- modules ---- */

/* The next item of a comma-separated list, where ",," stands for a comma; NULL at the end. */
static char *next_item(const char **list)
{
    GString *item;

    if (!**list)
        return NULL;
    item = g_string_new(NULL);
    for (; **list; ++*list) {
        if (**list == ',' && *++*list != ',')
            break;
        g_string_append_c(item, **list);
    }
    return g_string_free(item, FALSE);
}

/* Append the file that `string` begins with, at a page boundary. */
static int add_module(struct multiboot *k, const char *string, struct module *m, struct error *err)
{
    char *path = g_strndup(string, strcspn(string, " "));
    uint8_t *data = NULL;
    size_t len;
    uint64_t room = k->ram_end - k->modules_addr;
    int ret = firmware_read("module", path, FILE_MAX, &data, &len, err);

    if (!ret && align_up(k->modules->len, PAGE) + len > MIN_OF(room, FILE_MAX))
        ret = error_set(err, -EFBIG, "module '%s': %zu bytes do not fit into memory", path, len);
    if (!ret) {
        guint at = (guint)align_up(k->modules->len, PAGE), old = k->modules->len;
        g_byte_array_set_size(k->modules, at + (guint)len);
        memset(k->modules->data + old, 0, at - old);
        memcpy(k->modules->data + at, data, len);
        m->start = k->modules_addr + at;
        m->end = m->start + (uint32_t)len;
    }
    free(data);
    g_free(path);
    return ret;
}

/* Fills `list` (struct module); what it holds so far is the caller's also on failure. */
static int load_modules(struct multiboot *k, const char *modules, GArray *list, struct error *err)
{
    char *string;
    int ret = 0;

    k->modules_addr = (uint32_t)MIN_OF(align_up(k->addr + (uint64_t)k->size, PAGE), k->ram_end);
    while (!ret && (string = next_item(&modules))) {
        struct module m = { .string = string };
        ret = list->len < MAX_MODULES ? add_module(k, string, &m, err)
                                      : error_set(err, -E2BIG, "more than %d modules", MAX_MODULES);
        g_array_append_val(list, m);
    }
    return ret;
}

static void module_clear(void *p)
{
    g_free(((struct module *)p)->string);
}

/* ---- the Multiboot information (3.3) ---- */

/* Append a string; returns its guest address. */
static uint32_t put_string(GByteArray *b, const char *s)
{
    uint32_t at = MBI_ADDR + b->len;

    g_byte_array_append(b, (const uint8_t *)s, (guint)strlen(s) + 1);
    return at;
}

static void set_field(GByteArray *b, unsigned at, uint32_t value)
{
    store_le(b->data + at, 4, value);
}

static GByteArray *build_info(const struct multiboot *k, const char *cmdline, const GArray *list)
{
    GByteArray *b = g_byte_array_new();
    guint entries = MBI_SIZE;
    char *line = g_strdup_printf("%s %s", k->path, cmdline);

    g_byte_array_set_size(b, MBI_SIZE + list->len * MODULE_ENTRY);
    memset(b->data, 0, b->len);
    set_field(b, MBI_FLAGS, MBI_HAS_MEMORY | MBI_HAS_CMDLINE | MBI_HAS_MODS | MBI_HAS_MMAP | MBI_HAS_LOADER);
    set_field(b, MBI_CMDLINE, put_string(b, line));
    set_field(b, MBI_LOADER, put_string(b, "mimus"));
    set_field(b, MBI_MODS_COUNT, list->len);
    set_field(b, MBI_MODS_ADDR, MBI_ADDR + MBI_SIZE);
    for (guint i = 0; i < list->len; i++, entries += MODULE_ENTRY) {
        const struct module *m = &g_array_index(list, struct module, i);
        set_field(b, entries, m->start);
        set_field(b, entries + 4, m->end);
        set_field(b, entries + 8, put_string(b, m->string));
    }
    g_free(line);
    guint end = b->len, map = (guint)align_up(end, 8);
    g_byte_array_set_size(b, map + MMAP_ROOM);
    memset(b->data + end, 0, b->len - end);
    set_field(b, MBI_MMAP_ADDR, MBI_ADDR + map);
    return b;
}

/* ---- all together ---- */

static int add_info(struct fw_cfg *fw, const struct multiboot *k, const char *cmdline, const GArray *list,
                    struct error *err)
{
    GByteArray *info = build_info(k, cmdline, list);
    int ret = 0;

    if (info->len > MBI_MAX) {
        ret = error_set(err, -E2BIG, "kernel '%s': the command lines of kernel and modules are too long",
                        k->path);
    } else {
        fw_cfg_add_u32(fw, FW_CFG_SETUP_ADDR, MBI_ADDR);
        fw_cfg_add_u32(fw, FW_CFG_SETUP_SIZE, info->len);
        fw_cfg_add_bytes(fw, FW_CFG_SETUP_DATA, info->data, info->len);
    }
    g_byte_array_free(info, TRUE);
    return ret;
}

static void add_images(struct fw_cfg *fw, struct multiboot *k)
{
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, k->addr);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_SIZE, k->size);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_ENTRY, k->entry);
    fw_cfg_take_bytes(fw, FW_CFG_KERNEL_DATA, k->image, k->size);
    k->image = NULL;
    fw_cfg_add_u32(fw, FW_CFG_INITRD_ADDR, k->modules_addr);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_SIZE, k->modules->len);
    fw_cfg_add_bytes(fw, FW_CFG_INITRD_DATA, k->modules->data, k->modules->len);
}

int multiboot_setup(struct fw_cfg *fw, const char *kernel, const char *modules, const char *cmdline,
                    uint64_t ram_below_4g, struct error *err)
{
    struct multiboot k = { .path = kernel, .modules = g_byte_array_new() };
    GArray *list = g_array_new(FALSE, TRUE, sizeof(struct module));
    int ret = firmware_read("kernel", kernel, FILE_MAX, &k.file, &k.len, err);

    g_array_set_clear_func(list, module_clear);
    k.ram_end = ram_below_4g > KERNEL_BOOT_RESERVED ? ram_below_4g - KERNEL_BOOT_RESERVED : 0;
    if (!ret)
        ret = load_kernel(&k, err);
    if (!ret)
        ret = load_modules(&k, modules ? modules : "", list, err);
    if (!ret)
        ret = add_info(fw, &k, cmdline ? cmdline : "", list, err);
    if (!ret)
        add_images(fw, &k);
    g_array_free(list, TRUE);
    g_byte_array_free(k.modules, TRUE);
    free(k.image);
    free(k.file);
    return ret;
}
