/* Intel 8237A DMA controllers (data sheet 231466), two as in the PC/AT, with the
 * page registers of the IBM PC/AT Technical Reference. */
#include "hw/dma/i8237.h"

#include <glib.h>

#include "base/bits.h"

/* Register numbers past the channels' address and count registers 0..7. */
enum i8237_reg {
    REG_COMMAND = 0x8,   /* read: status */
    REG_REQUEST = 0x9,
    REG_MASK_ONE = 0xa,
    REG_MODE = 0xb,
    REG_CLEAR_FF = 0xc,
    REG_MASTER_CLEAR = 0xd, /* read: temporary register */
    REG_CLEAR_MASK = 0xe,
    REG_MASK_ALL = 0xf,
};
enum { COMMAND_DISABLE = 0x04 };
enum mode_bit { MODE_TRANSFER = 0x0c, MODE_AUTO = 0x10, MODE_DECREMENT = 0x20 };
enum transfer { TRANSFER_VERIFY = 0x00, TRANSFER_WRITE = 0x04, TRANSFER_READ = 0x08 };
enum { CHANNELS = 4, CONTROLLERS = 2, CASCADE = 4 };

struct i8237_channel {
    uint16_t base_addr;
    uint16_t base_count;
    uint16_t addr;
    uint16_t count;
    uint8_t mode;
    uint8_t pad;
};

struct i8237_ctrl {
    struct i8237_channel ch[CHANNELS];
    uint8_t command;
    uint8_t tc;          /* status bits 3..0 */
    uint8_t request;     /* status bits 7..4 */
    uint8_t mask;
    uint8_t flip_flop;   /* the next byte is the high one */
    uint8_t pad[3];
};

struct i8237_regs {
    struct i8237_ctrl ctrl[CONTROLLERS];
    uint8_t page[16];
};

#define CH_FIELDS(c, n) \
    STATE_FIELD(struct i8237_regs, ctrl[c].ch[n].base_addr), \
    STATE_FIELD(struct i8237_regs, ctrl[c].ch[n].base_count), \
    STATE_FIELD(struct i8237_regs, ctrl[c].ch[n].addr), \
    STATE_FIELD(struct i8237_regs, ctrl[c].ch[n].count), \
    STATE_FIELD(struct i8237_regs, ctrl[c].ch[n].mode), \
    STATE_PAD(struct i8237_regs, ctrl[c].ch[n].pad)
#define CTRL_FIELDS(c) \
    CH_FIELDS(c, 0), CH_FIELDS(c, 1), CH_FIELDS(c, 2), CH_FIELDS(c, 3), \
    STATE_FIELD(struct i8237_regs, ctrl[c].command), \
    STATE_FIELD(struct i8237_regs, ctrl[c].tc), \
    STATE_FIELD(struct i8237_regs, ctrl[c].request), \
    STATE_FIELD(struct i8237_regs, ctrl[c].mask), \
    STATE_FIELD(struct i8237_regs, ctrl[c].flip_flop), \
    STATE_PAD(struct i8237_regs, ctrl[c].pad)

static const struct state_field i8237_fields[] = {
    CTRL_FIELDS(0), CTRL_FIELDS(1),
    STATE_ARRAY(struct i8237_regs, page, uint8_t),
};
const struct state_table i8237_state_table = STATE_TABLE("i8237", 1, struct i8237_regs, i8237_fields);

static const struct i8237_regs i8237_power_on = { .ctrl = { { .mask = 0xf }, { .mask = 0xf } } };

/* Page register (port - 0x80) of each channel. */
static const uint8_t page_index[8] = { 0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa };

struct i8237 {
    struct i8237_regs regs;
    struct device dev;
    struct log *log;
    struct mem_space *memory;
    struct mem_region *io[CONTROLLERS];
    struct mem_region *pages;
};

bool i8237_channel_ready(const struct i8237 *d, int ch)
{
    const struct i8237_ctrl *c = &d->regs.ctrl[ch / CHANNELS];
    return ch != CASCADE && !(c->command & COMMAND_DISABLE) && !(c->mask >> ch % CHANNELS & 1);
}

/* Bytes per count: the second controller's address lines are shifted by one. */
static unsigned channel_unit(int ch)
{
    return ch < CHANNELS ? 1 : 2;
}

static uint64_t channel_address(const struct i8237 *d, int ch)
{
    uint64_t page = d->regs.page[page_index[ch]];
    uint64_t addr = d->regs.ctrl[ch / CHANNELS].ch[ch % CHANNELS].addr;
    return ch < CHANNELS ? page << 16 | addr : (page & 0xfe) << 16 | addr << 1;
}

/* Units from the current address that lie in a row in memory; downwards they do not. */
static size_t channel_run(const struct i8237_channel *c)
{
    return c->mode & MODE_DECREMENT ? 1 : 0x10000u - c->addr;
}

/* The terminal count: the channel starts over by itself or masks itself. */
static void channel_finish(struct i8237_ctrl *ctrl, int n)
{
    struct i8237_channel *c = &ctrl->ch[n];
    ctrl->tc |= (uint8_t)(1u << n);
    ctrl->request &= (uint8_t)~(1u << n);
    if (c->mode & MODE_AUTO) {
        c->addr = c->base_addr;
        c->count = c->base_count;
    } else {
        ctrl->mask |= (uint8_t)(1u << n);
    }
}

/* Advance by `units`, at most what is left. True at the terminal count. */
static bool channel_advance(struct i8237_ctrl *ctrl, int n, size_t units)
{
    struct i8237_channel *c = &ctrl->ch[n];
    bool tc = units == (size_t)c->count + 1;
    c->addr = (uint16_t)(c->mode & MODE_DECREMENT ? c->addr - units : c->addr + units);
    c->count = (uint16_t)(c->count - units);
    if (tc)
        channel_finish(ctrl, n);
    return tc;
}

/* Move bytes by one channel; `from` and `to` are the device's buffer, one of them NULL. */
static size_t i8237_transfer(struct i8237 *d, int ch, const uint8_t *from, uint8_t *to, size_t len, bool *tc)
{
    struct i8237_ctrl *ctrl = &d->regs.ctrl[ch / CHANNELS];
    struct i8237_channel *c = &ctrl->ch[ch % CHANNELS];
    size_t unit = channel_unit(ch);
    size_t done = 0;
    bool end = !i8237_channel_ready(d, ch);
    bool touches = (c->mode & MODE_TRANSFER) == (from ? TRANSFER_WRITE : TRANSFER_READ);
    if (tc)
        *tc = false;
    if (!end && !touches && (c->mode & MODE_TRANSFER) != TRANSFER_VERIFY)
        log_guest(d->log, "i8237: channel %d, mode 0x%02x: wrong direction\n", ch, c->mode);
    while (!end && len - done >= unit) {
        size_t units = MIN_OF((len - done) / unit, (size_t)c->count + 1);
        units = MIN_OF(units, channel_run(c));
        if (!touches && to)
            memset(to + done, 0, units * unit);
        else if (touches && to)
            mem_read_buf(d->memory, channel_address(d, ch), to + done, units * unit);
        else if (touches)
            mem_write_buf(d->memory, channel_address(d, ch), from + done, units * unit);
        done += units * unit;
        end = channel_advance(ctrl, ch % CHANNELS, units);
        if (tc)
            *tc = end;
    }
    return done;
}

size_t i8237_read_memory(struct i8237 *d, int ch, void *buf, size_t len, bool *tc)
{
    return i8237_transfer(d, ch, NULL, buf, len, tc);
}

size_t i8237_write_memory(struct i8237 *d, int ch, const void *buf, size_t len, bool *tc)
{
    return i8237_transfer(d, ch, buf, NULL, len, tc);
}

/* ---- registers ---- */

static uint8_t ctrl_read(struct i8237_ctrl *c, unsigned reg)
{
    if (reg < REG_COMMAND) {
        const struct i8237_channel *ch = &c->ch[reg / 2];
        uint16_t v = reg & 1 ? ch->count : ch->addr;
        c->flip_flop ^= 1;
        return (uint8_t)(c->flip_flop ? v : v >> 8);
    }
    switch (reg) {
    case REG_COMMAND: {
        uint8_t status = (uint8_t)(c->tc | c->request << 4);
        c->tc = 0;
        return status;
    }
    case REG_MASK_ALL:
        return c->mask | 0xf0;
    case REG_MASTER_CLEAR:
        return 0; /* the temporary register serves memory-to-memory transfers, which PCs cannot do */
    }
    return 0xff;
}

/* A write reaches base and current register. */
static void ctrl_write_channel(struct i8237_ctrl *c, unsigned reg, uint8_t v)
{
    struct i8237_channel *ch = &c->ch[reg / 2];
    uint16_t *base = reg & 1 ? &ch->base_count : &ch->base_addr;
    *base = (uint16_t)bits_deposit(*base, c->flip_flop ? 8 : 0, 8, v);
    c->flip_flop ^= 1;
    if (reg & 1)
        ch->count = ch->base_count;
    else
        ch->addr = ch->base_addr;
}

static void ctrl_master_clear(struct i8237_ctrl *c)
{
    c->command = c->tc = c->request = c->flip_flop = 0;
    c->mask = 0xf;
}

static void ctrl_write(struct i8237_ctrl *c, unsigned reg, uint8_t v)
{
    uint8_t bit = (uint8_t)(1u << (v & 3));
    switch (reg) {
    case REG_COMMAND: c->command = v; break;
    case REG_REQUEST: c->request = (uint8_t)(v & 4 ? c->request | bit : c->request & ~bit); break;
    case REG_MASK_ONE: c->mask = (uint8_t)(v & 4 ? c->mask | bit : c->mask & ~bit); break;
    case REG_MODE: c->ch[v & 3].mode = v & 0xfc; break;
    case REG_CLEAR_FF: c->flip_flop = 0; break;
    case REG_MASTER_CLEAR: ctrl_master_clear(c); break;
    case REG_CLEAR_MASK: c->mask = 0; break;
    case REG_MASK_ALL: c->mask = v & 0xf; break;
    default: ctrl_write_channel(c, reg, v);
    }
}

static uint64_t dma1_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    return ctrl_read(&d->regs.ctrl[0], (unsigned)offset);
}

static void dma1_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    ctrl_write(&d->regs.ctrl[0], (unsigned)offset, (uint8_t)v);
}

/* The second controller decodes A1..A4. */
static uint64_t dma2_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    return offset & 1 ? 0xff : ctrl_read(&d->regs.ctrl[1], (unsigned)offset >> 1);
}

static void dma2_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    if (!(offset & 1))
        ctrl_write(&d->regs.ctrl[1], (unsigned)offset >> 1, (uint8_t)v);
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    return d->regs.page[offset];
}

static void page_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct i8237 *d = opaque;
    (void)size;
    d->regs.page[offset] = (uint8_t)v;
}

static const struct mem_ops dma1_ops = { dma1_read, dma1_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops dma2_ops = { dma2_read, dma2_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops page_ops = { page_read, page_write, { 0 }, { .min = 1, .max = 1 } };

static void i8237_reset(void *opaque)
{
    struct i8237 *d = opaque;
    d->regs = i8237_power_on;
}

struct i8237 *i8237_new(struct hw_env *env)
{
    struct i8237 *d = g_new0(struct i8237, 1);
    d->regs = i8237_power_on;
    d->log = env->log;
    d->memory = env->memory;
    d->io[0] = mem_io_new("i8237-1", 0x10, &dma1_ops, d);
    d->io[1] = mem_io_new("i8237-2", 0x20, &dma2_ops, d);
    d->pages = mem_io_new("i8237-pages", 0x10, &page_ops, d);
    mem_region_add(env->io_root, 0x00, d->io[0], 0);
    mem_region_add(env->io_root, 0xc0, d->io[1], 0);
    mem_region_add(env->io_root, 0x80, d->pages, 0);
    d->dev = (struct device){
        .name = "i8237", .reset = i8237_reset, .state = &i8237_state_table, .regs = &d->regs, .opaque = d,
    };
    device_register(env, &d->dev);
    return d;
}

void i8237_free(struct i8237 *d)
{
    if (!d)
        return;
    mem_region_free(d->io[0]);
    mem_region_free(d->io[1]);
    mem_region_free(d->pages);
    g_free(d);
}
