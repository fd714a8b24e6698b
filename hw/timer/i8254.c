/* Intel 8254 Programmable Interval Timer (data sheet 231164).
 *
 * Nothing counts here: a counter is the CLK tick at which it was loaded, and
 * count and OUT are functions of the present tick. */
#include "hw/timer/i8254.h"

#include <glib.h>

#include "base/bits.h"

enum { COUNTERS = 3, PORT_CONTROL = 3 };
/* Control word fields. RW: 0 counter latch, 1 LSB, 2 MSB, 3 LSB then MSB. SC 3: read-back. */
enum rw { RW_LATCH, RW_LSB, RW_MSB, RW_BOTH };
enum { SC_READ_BACK = 3, READ_BACK_NO_COUNT = 0x20, READ_BACK_NO_STATUS = 0x10 };
enum mode {
    MODE_TERMINAL_COUNT,
    MODE_ONE_SHOT,
    MODE_RATE,
    MODE_SQUARE,
    MODE_SOFT_STROBE,
    MODE_HARD_STROBE,
};
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };

/* No host delivers ticks faster; a guest that asks for it must not starve everything else. */
#define I8254_MIN_PERIOD_NS 20000

struct i8254_counter {
    int64_t start;       /* CLK tick at which the count was loaded */
    int64_t held;        /* ticks counted so far while GATE stops the count */
    uint32_t count;      /* 1..65536 */
    uint32_t next_count; /* written while modes 2 and 3 run; 0 = none */
    uint16_t latch;
    uint8_t control;     /* RW, mode, BCD as in the status byte */
    uint8_t gate;
    uint8_t loaded;      /* counting (modes 1, 5: has been triggered) */
    uint8_t ready;       /* modes 1, 5: a count waits for the trigger */
    uint8_t write_msb;   /* RW_BOTH: the next write is the MSB */
    uint8_t write_lsb;   /* RW_BOTH: the LSB written */
    uint8_t read_msb;    /* RW_BOTH: the next read is the MSB */
    uint8_t latched;     /* bytes of `latch` still to be read */
    uint8_t status;      /* latched status byte */
    uint8_t status_latched;
    uint8_t pad[4];
};

struct i8254_regs {
    struct i8254_counter counter[COUNTERS];
    uint8_t irq_cut;
    uint8_t pad[7];
};

#define COUNTER(n, member) STATE_FIELD(struct i8254_regs, counter[n].member)
#define COUNTER_FIELDS(n) \
    COUNTER(n, start), COUNTER(n, held), COUNTER(n, count), COUNTER(n, next_count), COUNTER(n, latch), \
    COUNTER(n, control), COUNTER(n, gate), COUNTER(n, loaded), COUNTER(n, ready), COUNTER(n, write_msb), \
    COUNTER(n, write_lsb), COUNTER(n, read_msb), COUNTER(n, latched), COUNTER(n, status), \
    COUNTER(n, status_latched), STATE_PAD(struct i8254_regs, counter[n].pad)

static const struct state_field i8254_fields[] = {
    COUNTER_FIELDS(0), COUNTER_FIELDS(1), COUNTER_FIELDS(2),
    STATE_FIELD(struct i8254_regs, irq_cut),
    STATE_PAD(struct i8254_regs, pad),
};
const struct state_table i8254_state_table = STATE_TABLE("i8254", 1, struct i8254_regs, i8254_fields);

/* Undefined until programmed (data sheet, "Programming the 8254"): silent, OUT high. */
static const struct i8254_regs i8254_power_on = {
    .counter = {
        { .count = 65536, .control = RW_BOTH << 4 | MODE_SQUARE << 1, .gate = 1 },
        { .count = 65536, .control = RW_BOTH << 4 | MODE_SQUARE << 1, .gate = 1 },
        { .count = 65536, .control = RW_BOTH << 4 | MODE_SQUARE << 1, .gate = 0 },
    },
};

struct i8254 {
    struct i8254_regs regs;
    struct device dev;
    struct clock *clock;
    struct irq_line irq0;
    struct timer timer;
    struct mem_region *io;
};

static enum mode counter_mode(const struct i8254_counter *c)
{
    return (enum mode)(c->control >> 1 & 7);
}

static enum rw counter_rw(const struct i8254_counter *c)
{
    return (enum rw)(c->control >> 4 & 3);
}

static bool counter_periodic(const struct i8254_counter *c)
{
    return counter_mode(c) == MODE_RATE || counter_mode(c) == MODE_SQUARE;
}

/* Does a rising GATE (re)start the count? In the other modes GATE only holds it. */
static bool counter_triggered(const struct i8254_counter *c)
{
    return counter_mode(c) != MODE_TERMINAL_COUNT && counter_mode(c) != MODE_SOFT_STROBE;
}

/* CLK ticks since power-on, and the time at which a tick begins. */
static int64_t tick_now(const struct i8254 *p)
{
    return muldiv64(clock_now(p->clock), I8254_HZ, NS_PER_SEC);
}

static int64_t tick_time(int64_t tick)
{
    return muldiv64(tick, NS_PER_SEC, I8254_HZ) + 1;
}

/* Ticks counted. The load itself takes the CLK pulse after the write. */
static int64_t counter_elapsed(const struct i8254_counter *c, int64_t now)
{
    bool stopped = !c->gate && counter_mode(c) != MODE_ONE_SHOT && counter_mode(c) != MODE_HARD_STROBE;
    return stopped ? c->held : MAX_OF(now - c->start, 0);
}

static int counter_out(const struct i8254_counter *c, int64_t now)
{
    int64_t n = c->count;
    int64_t e = counter_elapsed(c, now);
    switch (counter_mode(c)) {
    case MODE_TERMINAL_COUNT:
        return c->loaded && e >= n;
    case MODE_ONE_SHOT:
        return !c->loaded || e >= n;
    case MODE_RATE:
        return !c->loaded || !c->gate || e % n != n - 1;
    case MODE_SQUARE:
        return !c->loaded || !c->gate || e % n < (n + 1) / 2;
    case MODE_SOFT_STROBE:
    case MODE_HARD_STROBE:
        return !c->loaded || e != n;
    }
    return 1;
}

/* The square-wave generator counts by two, twice per period (odd counts: from n - 1). */
static int64_t square_value(int64_t n, int64_t m)
{
    int64_t high = (n + 1) / 2;
    return (n & ~INT64_C(1)) - 2 * (m < high ? m : m - high);
}

/* The counting element, as a number. */
static uint32_t counter_value(const struct i8254_counter *c, int64_t now)
{
    int64_t n = c->count;
    int64_t e = c->loaded ? counter_elapsed(c, now) : 0;
    int64_t wrap = c->control & 1 ? 10000 : 65536;
    int64_t v = n - e;
    if (counter_mode(c) == MODE_RATE)
        v = n - e % n;
    else if (counter_mode(c) == MODE_SQUARE)
        v = square_value(n, e % n);
    v %= wrap;
    return (uint32_t)(v < 0 ? v + wrap : v);
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12 & 15u) * 1000;
}

static uint16_t counter_read_value(const struct i8254_counter *c, int64_t now)
{
    uint32_t v = counter_value(c, now);
    return c->control & 1 ? to_bcd(v) : (uint16_t)v;
}

/* A count written to a running periodic counter takes over when the period ends. */
static void counter_sync(struct i8254_counter *c, int64_t now)
{
    if (!c->next_count || !counter_periodic(c) || counter_elapsed(c, now) < c->count)
        return;
    c->start += c->count;
    c->count = c->next_count;
    c->next_count = 0;
}

/* The next tick after `now` at which OUT rises, or -1. The low phases of a
 * periodic OUT are drawn together into that instant: the line has an edge to
 * give, and its rest is high. */
static int64_t counter_next_rise(const struct i8254_counter *c, int64_t now)
{
    if (!c->loaded || (!c->gate && counter_mode(c) != MODE_ONE_SHOT))
        return -1;
    int64_t e = counter_elapsed(c, now);
    int64_t rise = c->count;
    if (counter_periodic(c))
        rise = (e / c->count + 1) * c->count;
    else if (counter_mode(c) >= MODE_SOFT_STROBE)
        rise++;
    return e < rise ? c->start + rise : -1;
}

static int irq0_level(const struct i8254 *p, int64_t now)
{
    const struct i8254_counter *c = &p->regs.counter[0];
    return counter_mode(c) == MODE_TERMINAL_COUNT ? counter_out(c, now) : 1;
}

/* Counts from `now`, at which the caller has set the line: a rise that falls due meanwhile is not lost. */
static void i8254_arm(struct i8254 *p, int64_t now)
{
    int64_t rise = counter_next_rise(&p->regs.counter[0], now);
    if (rise < 0 || p->regs.irq_cut) {
        timer_cancel(&p->timer);
        return;
    }
    int64_t when = tick_time(rise);
    if (counter_periodic(&p->regs.counter[0]))
        when = MAX_OF(when, clock_now(p->clock) + I8254_MIN_PERIOD_NS);
    timer_arm(&p->timer, when);
}

static void i8254_update_irq(struct i8254 *p)
{
    int64_t now = tick_now(p);
    if (!p->regs.irq_cut)
        irq_set(&p->irq0, irq0_level(p, now));
    i8254_arm(p, now);
}

static void i8254_fire(void *opaque)
{
    struct i8254 *p = opaque;
    counter_sync(&p->regs.counter[0], tick_now(p));
    irq_set(&p->irq0, 0);
    i8254_update_irq(p);
}

int i8254_get_out(struct i8254 *p, int ch)
{
    int64_t now = tick_now(p);
    counter_sync(&p->regs.counter[ch], now);
    return counter_out(&p->regs.counter[ch], now);
}

int i8254_get_gate(const struct i8254 *p, int ch)
{
    return p->regs.counter[ch].gate;
}

static void counter_load(struct i8254_counter *c, int64_t now)
{
    c->start = now + 1;
    c->held = 0;
    c->loaded = 1;
    c->ready = 0;
}

void i8254_set_gate(struct i8254 *p, int ch, bool level)
{
    struct i8254_counter *c = &p->regs.counter[ch];
    int64_t now = tick_now(p);
    if (c->gate == level)
        return;
    counter_sync(c, now);
    if (!level) {
        c->held = counter_elapsed(c, now);
    } else if (!counter_triggered(c)) {
        c->start = now - c->held;
    } else if (c->loaded || c->ready) {
        if (c->next_count)
            c->count = c->next_count;
        c->next_count = 0;
        counter_load(c, now);
    }
    c->gate = level;
    if (ch == 0)
        i8254_update_irq(p);
}

void i8254_set_irq_cut(struct i8254 *p, bool cut)
{
    if (cut)
        irq_set(&p->irq0, 0);
    p->regs.irq_cut = cut;
    i8254_update_irq(p);
}

uint64_t i8254_get_millihertz(const struct i8254 *p, int ch)
{
    const struct i8254_counter *c = &p->regs.counter[ch];
    return c->loaded && counter_periodic(c) ? UINT64_C(1000) * I8254_HZ / c->count : 0;
}

static void counter_latch_count(struct i8254_counter *c, int64_t now)
{
    if (c->latched)
        return;
    c->latch = counter_read_value(c, now);
    c->latched = counter_rw(c) == RW_BOTH ? 2 : 1;
}

static void counter_latch_status(struct i8254_counter *c, int64_t now)
{
    if (c->status_latched)
        return;
    c->status_latched = 1;
    c->status = (uint8_t)(c->control | (counter_out(c, now) ? STATUS_OUT : 0) |
                          (!c->loaded || c->ready || c->next_count ? STATUS_NULL : 0));
}

static void write_read_back(struct i8254 *p, uint8_t v, int64_t now)
{
    for (int i = 0; i < COUNTERS; i++) {
        if (!(v & 2 << i))
            continue;
        counter_sync(&p->regs.counter[i], now);
        if (!(v & READ_BACK_NO_COUNT))
            counter_latch_count(&p->regs.counter[i], now);
        if (!(v & READ_BACK_NO_STATUS))
            counter_latch_status(&p->regs.counter[i], now);
    }
}

static void write_control(struct i8254 *p, uint8_t v)
{
    int64_t now = tick_now(p);
    int ch = v >> 6;
    if (ch == SC_READ_BACK) {
        write_read_back(p, v, now);
        return;
    }
    struct i8254_counter *c = &p->regs.counter[ch];
    counter_sync(c, now);
    if ((v >> 4 & 3) == RW_LATCH) {
        counter_latch_count(c, now);
        return;
    }
    if ((v >> 1 & 7) > MODE_HARD_STROBE)
        v &= 0x37; /* modes 6 and 7 are 2 and 3 */
    *c = (struct i8254_counter){ .control = v & 0x3f, .gate = c->gate, .count = c->count };
    if (ch == 0)
        i8254_update_irq(p);
}

static void write_count(struct i8254 *p, int ch, uint16_t v)
{
    struct i8254_counter *c = &p->regs.counter[ch];
    int64_t now = tick_now(p);
    uint32_t n = c->control & 1 ? from_bcd(v) : v;
    if (!n)
        n = c->control & 1 ? 10000 : 65536;
    counter_sync(c, now);
    if (counter_periodic(c) && c->loaded) {
        c->start += counter_elapsed(c, now) / c->count * c->count;
        c->next_count = n;
        return;
    }
    if (counter_mode(c) == MODE_ONE_SHOT || counter_mode(c) == MODE_HARD_STROBE) {
        if (c->loaded)
            c->next_count = n;
        else
            c->count = n;
        c->ready = 1;
        return;
    }
    c->count = n;
    counter_load(c, now);
    if (ch == 0)
        i8254_update_irq(p);
}

static void write_counter(struct i8254 *p, int ch, uint8_t v)
{
    struct i8254_counter *c = &p->regs.counter[ch];
    switch (counter_rw(c)) {
    case RW_LSB:
        write_count(p, ch, v);
        break;
    case RW_MSB:
        write_count(p, ch, (uint16_t)(v << 8));
        break;
    case RW_LATCH:
    case RW_BOTH:
        c->write_msb ^= 1;
        if (!c->write_msb) {
            write_count(p, ch, (uint16_t)(v << 8 | c->write_lsb));
            break;
        }
        c->write_lsb = v;
        if (counter_mode(c) == MODE_TERMINAL_COUNT) {
            c->loaded = 0; /* the first byte stops the count */
            if (ch == 0)
                i8254_update_irq(p);
        }
        break;
    }
}

static uint8_t read_latched(struct i8254_counter *c)
{
    bool msb = counter_rw(c) == RW_MSB || (counter_rw(c) == RW_BOTH && c->latched == 1);
    c->latched--;
    return (uint8_t)(msb ? c->latch >> 8 : c->latch);
}

static uint64_t i8254_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *p = opaque;
    int64_t now = tick_now(p);
    (void)size;
    if (offset == PORT_CONTROL)
        return 0xff;
    struct i8254_counter *c = &p->regs.counter[offset];
    counter_sync(c, now);
    if (c->status_latched) {
        c->status_latched = 0;
        return c->status;
    }
    if (c->latched)
        return read_latched(c);
    uint16_t v = counter_read_value(c, now);
    bool msb = counter_rw(c) == RW_MSB;
    if (counter_rw(c) == RW_BOTH) {
        msb = c->read_msb;
        c->read_msb ^= 1;
    }
    return (uint8_t)(msb ? v >> 8 : v);
}

static void i8254_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)size;
    if (offset == PORT_CONTROL)
        write_control(opaque, (uint8_t)v);
    else
        write_counter(opaque, (int)offset, (uint8_t)v);
}

static const struct mem_ops i8254_ops = { i8254_read, i8254_write, { 0 }, { .min = 1, .max = 1 } };

static void i8254_loaded(void *opaque)
{
    struct i8254 *p = opaque;
    for (int i = 0; i < COUNTERS; i++)
        p->regs.counter[i].count = MAX_OF(p->regs.counter[i].count, 1u);
    i8254_update_irq(p);
}

static void i8254_reset(void *opaque)
{
    struct i8254 *p = opaque;
    p->regs = i8254_power_on;
    i8254_update_irq(p);
}

struct i8254 *i8254_new(struct hw_env *env, const struct irq_line *irq0)
{
    struct i8254 *p = g_new0(struct i8254, 1);
    p->regs = i8254_power_on;
    p->clock = env->clock;
    p->irq0 = irq0 ? *irq0 : (struct irq_line){ 0 };
    timer_init(&p->timer, env->clock, i8254_fire, p);
    p->io = mem_io_new("i8254", 4, &i8254_ops, p);
    mem_region_add(env->io_root, 0x40, p->io, 0);
    p->dev = (struct device){
        .name = "i8254", .reset = i8254_reset, .state = &i8254_state_table, .regs = &p->regs,
        .loaded = i8254_loaded, .opaque = p,
    };
    device_register(env, &p->dev);
    return p;
}

void i8254_free(struct i8254 *p)
{
    if (!p)
        return;
    timer_cancel(&p->timer);
    mem_region_free(p->io);
    g_free(p);
}
