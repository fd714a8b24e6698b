/* QEMU's firmware configuration device, as its published interface description (docs/specs/fw_cfg) and the
 * drivers in SeaBIOS and Linux have it: selector, data port, DMA. Items are read-only for the guest. */
#include "hw/misc/fw_cfg.h"

#include <assert.h>
#include <glib.h>

#include "base/bits.h"

enum { PORT_SELECTOR = 0x510, PORT_DMA = 0x514, DMA_PORTS = 8 };
enum fw_cfg_id_bit { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum dma_control_bit {
    DMA_ERROR = 0x01, DMA_READ = 0x02, DMA_SKIP = 0x04, DMA_SELECT = 0x08, DMA_WRITE = 0x10
};
enum { ZERO_CHUNK = 4096, FILE_ENTRY = 64, FILE_NAME_AT = 8 };
#define DMA_SIGNATURE UINT64_C(0x51454D5520434647) /* "QEMU CFG" */

struct fw_cfg_regs {
    uint64_t dma_addr;  /* of the control structure, as far as it is written */
    uint32_t offset;    /* next byte of the selected item */
    uint16_t selector;
    uint8_t pad[2];
};

static const struct state_field fw_cfg_fields[] = {
    STATE_FIELD(struct fw_cfg_regs, dma_addr),
    STATE_FIELD(struct fw_cfg_regs, offset),
    STATE_FIELD(struct fw_cfg_regs, selector),
    STATE_PAD(struct fw_cfg_regs, pad),
};
const struct state_table fw_cfg_state_table = STATE_TABLE("fw_cfg", 1, struct fw_cfg_regs, fw_cfg_fields);

static const struct fw_cfg_regs fw_cfg_power_on = { .selector = FW_CFG_SIGNATURE };

struct fw_cfg_item {
    unsigned key;     /* of a file: set when the directory is built */
    char *name;       /* NULL: a numbered item */
    uint8_t *data;
    size_t len;
    void (*select)(void *opaque);
    void *opaque;
};

struct fw_cfg {
    struct fw_cfg_regs regs;
    struct hw_env *env;
    struct mem_region *ports, *dma;
    GPtrArray *items; /* numbered ones in any order, then files by name */
    struct device dev;
};

/* ---- items ---- */

static void item_free(void *p)
{
    struct fw_cfg_item *item = p;

    g_free(item->name);
    g_free(item->data);
    g_free(item);
}

static struct fw_cfg_item *item_find(const struct fw_cfg *f, unsigned key, const char *name)
{
    for (unsigned i = 0; i < f->items->len; i++) {
        struct fw_cfg_item *item = g_ptr_array_index(f->items, i);
        if (name ? item->name && !strcmp(item->name, name) : item->key == key)
            return item;
    }
    return NULL;
}

static int item_compare(const void *a, const void *b)
{
    const struct fw_cfg_item *x = *(struct fw_cfg_item *const *)a, *y = *(struct fw_cfg_item *const *)b;

    if (!x->name || !y->name)
        return (x->name != NULL) - (y->name != NULL);
    return strcmp(x->name, y->name);
}

static void item_set(struct fw_cfg *f, unsigned key, const char *name, void *data, size_t len)
{
    struct fw_cfg_item *item = item_find(f, key, name);

    if (!item) {
        item = g_new0(struct fw_cfg_item, 1);
        item->key = key;
        item->name = g_strdup(name);
        g_ptr_array_add(f->items, item);
    }
    g_free(item->data);
    item->data = data;
    item->len = len;
}

/* The directory: a count, then size, key, a reserved word and the name of each file, big-endian. */
static void build_directory(struct fw_cfg *f)
{
    unsigned count = 0;

    g_ptr_array_sort(f->items, item_compare);
    uint8_t *dir = g_malloc0(4 + (size_t)f->items->len * FILE_ENTRY), *at = dir + 4;
    for (unsigned i = 0; i < f->items->len; i++) {
        struct fw_cfg_item *item = g_ptr_array_index(f->items, i);
        if (!item->name)
            continue;
        item->key = FW_CFG_FILE_FIRST + count++;
        store_be(at, 4, item->len);
        store_be(at + 4, 2, item->key);
        memcpy(at + FILE_NAME_AT, item->name, strlen(item->name));
        at += FILE_ENTRY;
    }
    store_be(dir, 4, count);
    item_set(f, FW_CFG_FILE_DIR, NULL, dir, (size_t)(at - dir));
}

void fw_cfg_take_bytes(struct fw_cfg *f, unsigned key, void *data, size_t len)
{
    item_set(f, key, NULL, data, len);
}

void fw_cfg_add_bytes(struct fw_cfg *f, unsigned key, const void *data, size_t len)
{
    fw_cfg_take_bytes(f, key, g_memdup2(data, len), len);
}

static void add_integer(struct fw_cfg *f, unsigned key, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    store_le(bytes, size, value);
    fw_cfg_add_bytes(f, key, bytes, size);
}

void fw_cfg_add_u16(struct fw_cfg *f, unsigned key, uint16_t value)
{
    add_integer(f, key, value, 2);
}

void fw_cfg_add_u32(struct fw_cfg *f, unsigned key, uint32_t value)
{
    add_integer(f, key, value, 4);
}

void fw_cfg_add_u64(struct fw_cfg *f, unsigned key, uint64_t value)
{
    add_integer(f, key, value, 8);
}

void fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t len)
{
    assert(strlen(name) <= FW_CFG_NAME_MAX);
    item_set(f, 0, name, g_memdup2(data, len), len);
    build_directory(f);
}

void fw_cfg_set_select(struct fw_cfg *f, const char *name, void (*select)(void *opaque), void *opaque)
{
    struct fw_cfg_item *item = item_find(f, 0, name);

    assert(item);
    item->select = select;
    item->opaque = opaque;
}

static const void *item_contents(const struct fw_cfg_item *item, size_t *len)
{
    *len = item ? item->len : 0;
    return item ? item->data : NULL;
}

const void *fw_cfg_bytes(const struct fw_cfg *f, unsigned key, size_t *len)
{
    return item_contents(item_find(f, key, NULL), len);
}

const void *fw_cfg_file(const struct fw_cfg *f, const char *name, size_t *len)
{
    return item_contents(item_find(f, 0, name), len);
}

/* ---- the guest's side ---- */

static void select_item(struct fw_cfg *f, uint16_t key)
{
    struct fw_cfg_item *item = item_find(f, key, NULL);

    f->regs.selector = key;
    f->regs.offset = 0;
    if (item && item->select)
        item->select(item->opaque);
}

/* Where the selected item goes on, and how much of it is left. */
static const uint8_t *remaining(const struct fw_cfg *f, uint32_t *len)
{
    const struct fw_cfg_item *item = item_find(f, f->regs.selector, NULL);

    *len = item && f->regs.offset < item->len ? (uint32_t)MIN_OF(item->len - f->regs.offset, UINT32_MAX) : 0;
    return *len ? item->data + f->regs.offset : NULL;
}

/* The offset stops at the largest item size: reads beyond the end give zeros anyway. */
static void advance(struct fw_cfg *f, uint32_t len)
{
    f->regs.offset = len > UINT32_MAX - f->regs.offset ? UINT32_MAX : f->regs.offset + len;
}

static uint8_t read_byte(struct fw_cfg *f)
{
    uint32_t len;
    const uint8_t *data = remaining(f, &len);
    uint8_t value = data ? *data : 0;

    advance(f, 1);
    return value;
}

/* Zeros to guest memory; stops where there is no memory. */
static bool write_zeros(struct fw_cfg *f, uint64_t addr, uint64_t len)
{
    static const uint8_t zeros[ZERO_CHUNK];

    for (uint64_t done = 0; done < len; done += ZERO_CHUNK)
        if (!mem_write_buf(f->env->memory, addr + done, zeros, MIN_OF(len - done, ZERO_CHUNK)))
            return false;
    return true;
}

static bool dma_read(struct fw_cfg *f, uint64_t addr, uint32_t len)
{
    uint32_t have;
    const uint8_t *data = remaining(f, &have);
    uint32_t part = MIN_OF(have, len);

    advance(f, len);
    if (part && !mem_write_buf(f->env->memory, addr, data, part))
        return false;
    return write_zeros(f, addr + part, len - part);
}

static bool dma_execute(struct fw_cfg *f, uint32_t control, uint32_t len, uint64_t addr)
{
    if (control & DMA_SELECT)
        select_item(f, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        return dma_read(f, addr, len);
    if (control & DMA_WRITE)
        return false;
    if (control & DMA_SKIP)
        advance(f, len);
    return true;
}

/* The structure: control, length (32 bits each), address (64 bits), big-endian; control is written back. */
static void dma_run(struct fw_cfg *f)
{
    uint64_t at = f->regs.dma_addr;
    uint8_t desc[16], result[4];

    f->regs.dma_addr = 0;
    bool ok = mem_read_buf(f->env->memory, at, desc, sizeof(desc)) &&
              dma_execute(f, (uint32_t)load_be(desc, 4), (uint32_t)load_be(desc + 4, 4),
                          load_be(desc + 8, 8));
    if (!ok)
        log_guest(f->env->log, "fw_cfg: DMA with the structure at 0x%llx failed\n", (unsigned long long)at);
    store_be(result, 4, ok ? 0 : DMA_ERROR);
    mem_write_buf(f->env->memory, at, result, sizeof(result));
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fw_cfg *f = opaque;

    return offset == 1 && size == 1 ? read_byte(f) : 0;
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *f = opaque;

    if (!offset && size == 2)
        select_item(f, (uint16_t)value);
    else
        log_guest(f->env->log, "fw_cfg: write of %u bytes to port 0x%x ignored\n", size,
                  PORT_SELECTOR + (unsigned)offset);
}

static uint64_t dma_port_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t bytes[DMA_PORTS];

    (void)opaque;
    store_be(bytes, sizeof(bytes), DMA_SIGNATURE);
    return load_le(bytes + offset, size);
}

/* Two big-endian words; the lower half of the address starts the transfer. */
static void dma_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *f = opaque;
    uint8_t bytes[4];

    store_le(bytes, size, value);
    uint64_t word = load_be(bytes, size);
    if (!offset) {
        f->regs.dma_addr = word << 32;
    } else {
        f->regs.dma_addr |= word;
        dma_run(f);
    }
}

static const struct mem_ops ports_ops = { ports_read, ports_write, { 1, 2, true }, { 1, 2, false } };
static const struct mem_ops dma_ops = { dma_port_read, dma_port_write, { 4, 4, false }, { 4, 4, false } };

static void fw_cfg_reset(void *opaque)
{
    struct fw_cfg *f = opaque;

    f->regs = fw_cfg_power_on;
}

struct fw_cfg *fw_cfg_new(struct hw_env *env)
{
    struct fw_cfg *f = g_new0(struct fw_cfg, 1);

    f->env = env;
    f->regs = fw_cfg_power_on;
    f->items = g_ptr_array_new_with_free_func(item_free);
    fw_cfg_add_bytes(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_u32(f, FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    build_directory(f);
    f->ports = mem_io_new("fw_cfg", 2, &ports_ops, f);
    f->dma = mem_io_new("fw_cfg-dma", DMA_PORTS, &dma_ops, f);
    mem_region_add(env->io_root, PORT_SELECTOR, f->ports, 0);
    mem_region_add(env->io_root, PORT_DMA, f->dma, 0);
    f->dev = (struct device){ .name = "fw_cfg", .reset = fw_cfg_reset, .state = &fw_cfg_state_table,
                              .regs = &f->regs, .opaque = f };
    device_register(env, &f->dev);
    return f;
}

void fw_cfg_free(struct fw_cfg *f)
{
    if (!f)
        return;
    mem_region_free(f->ports);
    mem_region_free(f->dma);
    g_ptr_array_free(f->items, TRUE);
    g_free(f);
}
