/* High precision event timers: IA-PC HPET specification 1.0a. Three
 * comparators, 64 bits, 100 MHz, legacy replacement; no FSB delivery. */
#include "hw/timer/hpet.h"

#include <glib.h>

#include "base/bits.h"

enum hpet_reg {
    HPET_ID = 0x000,
    HPET_CONFIG = 0x010,
    HPET_STATUS = 0x020,
    HPET_COUNTER = 0x0f0,
    HPET_TIMER = 0x100,
};
enum hpet_timer_reg { TN_CONFIG = 0x00, TN_CMP = 0x08, TN_FSB = 0x10, TN_STRIDE = 0x20 };
enum hpet_config { CONFIG_ENABLE = 1, CONFIG_LEGACY = 2 };
enum tn_config {
    TN_LEVEL = 1 << 1,
    TN_INT_ENB = 1 << 2,
    TN_PERIODIC = 1 << 3,
    TN_PER_CAP = 1 << 4,
    TN_SIZE_CAP = 1 << 5,
    TN_VAL_SET = 1 << 6,
    TN_32MODE = 1 << 8,
    TN_ROUTE_SHIFT = 9,
    TN_WRITABLE = 0x3f4e,
};

#define HPET_TICK_NS 10
#define HPET_TIMERS 3
/* Period 10^7 fs, vendor 8086, legacy capable, 64 bits, three timers, revision 1. */
#define HPET_ID_VALUE (UINT64_C(10000000) << 32 | 0x8086a201)
#define TN_ROUTES UINT64_C(0x00f00000)
/* No host delivers ticks faster; a guest that asks for it must not starve everything else. */
#define HPET_MIN_PERIOD_NS 20000

struct hpet_timer_regs {
    uint64_t config;
    uint64_t cmp;
    uint64_t period;
};

struct hpet_regs {
    uint64_t config;
    uint64_t status;
    uint64_t counter;     /* main counter at virtual time `counted_at` */
    int64_t counted_at;
    struct hpet_timer_regs timer[HPET_TIMERS];
};

#define TIMER_FIELDS(n) \
    STATE_FIELD(struct hpet_regs, timer[n].config), STATE_FIELD(struct hpet_regs, timer[n].cmp), \
    STATE_FIELD(struct hpet_regs, timer[n].period)

static const struct state_field hpet_fields[] = {
    STATE_FIELD(struct hpet_regs, config),
    STATE_FIELD(struct hpet_regs, status),
    STATE_FIELD(struct hpet_regs, counter),
    STATE_FIELD(struct hpet_regs, counted_at),
    TIMER_FIELDS(0), TIMER_FIELDS(1), TIMER_FIELDS(2),
};
const struct state_table hpet_state_table = STATE_TABLE("hpet", 1, struct hpet_regs, hpet_fields);

#define TN_POWER_ON { .config = TN_ROUTES << 32 | TN_PER_CAP | TN_SIZE_CAP, .cmp = UINT64_MAX }
static const struct hpet_regs hpet_power_on = { .timer = { TN_POWER_ON, TN_POWER_ON, TN_POWER_ON } };

struct hpet_timer {
    struct hpet *hpet;
    struct timer timer;
    int line; /* the line driven last, or -1 */
};

struct hpet {
    struct hpet_regs regs;
    struct device dev;
    struct log *log;
    struct clock *clock;
    struct irq_line irqs[HPET_LINES];
    void (*legacy)(void *opaque, bool on);
    void *legacy_opaque;
    bool legacy_on;
    struct hpet_timer timer[HPET_TIMERS];
    struct mem_region *io;
};

static uint64_t hpet_count(const struct hpet *h)
{
    if (!(h->regs.config & CONFIG_ENABLE))
        return h->regs.counter;
    return h->regs.counter + (uint64_t)(clock_now(h->clock) - h->regs.counted_at) / HPET_TICK_NS;
}

/* Bits that take part in the comparison. */
static uint64_t tn_mask(const struct hpet_timer_regs *t)
{
    return t->config & TN_32MODE ? MASK(32) : UINT64_MAX;
}

static bool hpet_legacy_active(const struct hpet *h)
{
    return (h->regs.config & (CONFIG_ENABLE | CONFIG_LEGACY)) == (CONFIG_ENABLE | CONFIG_LEGACY);
}

/* The line that timer `n` drives, or -1: lines that are not offered belong to others. */
static int tn_route(const struct hpet *h, int n)
{
    if (hpet_legacy_active(h) && n < 2)
        return n ? 8 : 0;
    int route = (int)bits_extract(h->regs.timer[n].config, TN_ROUTE_SHIFT, 5);
    return TN_ROUTES >> route & 1 ? route : -1;
}

/* Is the comparator at or behind the counter? Behind is the nearer half of the circle. */
static bool tn_behind(const struct hpet_timer_regs *t, uint64_t count)
{
    uint64_t ahead = (t->cmp - count) & tn_mask(t);
    return ahead == 0 || ahead > tn_mask(t) / 2;
}

/* Move a periodic comparator past the counter, as if every match had been served. */
static void tn_advance(struct hpet_timer_regs *t, uint64_t count)
{
    uint64_t mask = tn_mask(t);
    uint64_t period = t->period & mask;
    if (!(t->config & TN_PERIODIC) || !period || !tn_behind(t, count))
        return;
    uint64_t behind = (count - t->cmp) & mask;
    t->cmp = (t->cmp + (behind / period + 1) * period) & mask;
}

static void tn_release(struct hpet *h, int n)
{
    if (h->timer[n].line >= 0)
        irq_set(&h->irqs[h->timer[n].line], 0);
    h->timer[n].line = -1;
}

static void tn_drive(struct hpet *h, int n, int level)
{
    int route = tn_route(h, n);
    if (h->timer[n].line != route)
        tn_release(h, n);
    h->timer[n].line = route;
    if (route >= 0)
        irq_set(&h->irqs[route], level);
}

/* A level line follows the status bit. An edge line falls and rises with each
 * match and rests high; it is low while the timer may not interrupt. */
static void tn_update_irq(struct hpet *h, int n)
{
    uint64_t config = h->regs.timer[n].config;
    bool enabled = h->regs.config & CONFIG_ENABLE && config & TN_INT_ENB;
    if (config & TN_LEVEL || !enabled)
        tn_drive(h, n, enabled && h->regs.status >> n & 1);
}

/* Arm for the next match. With `again` a match at this very count has been served. */
static void tn_arm(struct hpet *h, int n, bool again)
{
    struct hpet_timer_regs *t = &h->regs.timer[n];
    struct timer *timer = &h->timer[n].timer;
    timer_cancel(timer);
    if (!(h->regs.config & CONFIG_ENABLE) || !(t->config & TN_INT_ENB))
        return;
    uint64_t count = hpet_count(h);
    uint64_t ticks = (t->cmp - count - again) & tn_mask(t);
    if (ticks > INT64_MAX / HPET_TICK_NS / 2)
        return;
    ticks += again;
    int64_t now = clock_now(h->clock);
    int64_t phase = (now - h->regs.counted_at) % HPET_TICK_NS;
    int64_t when = now - phase + (int64_t)ticks * HPET_TICK_NS;
    if (t->config & TN_PERIODIC && again)
        when = MAX_OF(when, now + HPET_MIN_PERIOD_NS);
    timer_arm(timer, when);
}

static void tn_fire(struct hpet *h, int n)
{
    struct hpet_timer_regs *t = &h->regs.timer[n];
    tn_advance(t, hpet_count(h));
    if (t->config & TN_LEVEL) {
        h->regs.status |= BIT(n);
        tn_update_irq(h, n);
    } else {
        tn_drive(h, n, 0);
        tn_drive(h, n, 1);
    }
    tn_arm(h, n, true);
}

static void hpet_timer_fire(void *opaque)
{
    struct hpet_timer *t = opaque;
    tn_fire(t->hpet, (int)(t - t->hpet->timer));
}

/* A match that is due but not yet served happens before registers change. */
static void hpet_sync(struct hpet *h)
{
    for (int n = 0; n < HPET_TIMERS; n++) {
        if (h->timer[n].timer.deadline <= clock_now(h->clock)) {
            timer_cancel(&h->timer[n].timer);
            tn_fire(h, n);
        }
    }
}

static void hpet_update_all(struct hpet *h)
{
    if (h->legacy_on != hpet_legacy_active(h)) {
        h->legacy_on = hpet_legacy_active(h);
        for (int n = 0; n < HPET_TIMERS; n++)
            tn_release(h, n);
        if (h->legacy)
            h->legacy(h->legacy_opaque, h->legacy_on);
    }
    for (int n = 0; n < HPET_TIMERS; n++) {
        tn_update_irq(h, n);
        tn_arm(h, n, false);
    }
}

/* ---- registers ---- */

static uint64_t tn_read(struct hpet *h, unsigned n, unsigned reg)
{
    struct hpet_timer_regs *t = &h->regs.timer[n];
    switch (reg) {
    case TN_CONFIG:
        return t->config;
    case TN_CMP:
        tn_advance(t, hpet_count(h));
        return t->cmp & tn_mask(t);
    case TN_FSB:
        return 0;
    }
    return 0;
}

static uint64_t hpet_read_reg(struct hpet *h, unsigned reg)
{
    switch (reg) {
    case HPET_ID:
        return HPET_ID_VALUE;
    case HPET_CONFIG:
        return h->regs.config;
    case HPET_STATUS:
        return h->regs.status;
    case HPET_COUNTER:
        return hpet_count(h);
    }
    if (reg >= HPET_TIMER && reg < HPET_TIMER + HPET_TIMERS * TN_STRIDE)
        return tn_read(h, (reg - HPET_TIMER) / TN_STRIDE, reg % TN_STRIDE);
    return 0;
}

static void hpet_write_config(struct hpet *h, uint64_t v)
{
    h->regs.counter = hpet_count(h);
    h->regs.counted_at = clock_now(h->clock);
    h->regs.config = v & (CONFIG_ENABLE | CONFIG_LEGACY);
    hpet_update_all(h);
}

static void hpet_write_counter(struct hpet *h, uint64_t v)
{
    if (h->regs.config & CONFIG_ENABLE)
        log_guest(h->log, "hpet: main counter written while it runs\n");
    h->regs.counter = v;
    h->regs.counted_at = clock_now(h->clock);
    hpet_update_all(h);
}

/* Status bits are cleared by writing one. */
static void hpet_write_status(struct hpet *h, uint64_t v)
{
    h->regs.status &= ~v;
    for (int n = 0; n < HPET_TIMERS; n++)
        tn_update_irq(h, n);
}

static void tn_write_config(struct hpet *h, int n, uint64_t v)
{
    struct hpet_timer_regs *t = &h->regs.timer[n];
    tn_release(h, n);
    t->config = (t->config & ~(uint64_t)TN_WRITABLE) | (v & TN_WRITABLE);
    if (t->config & TN_32MODE) {
        t->cmp &= MASK(32);
        t->period &= MASK(32);
    }
    if (!(t->config & TN_LEVEL))
        h->regs.status &= ~BIT(n);
    tn_update_irq(h, n);
    tn_arm(h, n, false);
}

/* Periodic: the value is the period, and with VAL_SET the next match as well (2.3.9.2.2). */
static void tn_write_cmp(struct hpet *h, int n, uint64_t v)
{
    struct hpet_timer_regs *t = &h->regs.timer[n];
    v &= tn_mask(t);
    if (t->config & TN_PERIODIC)
        t->period = v;
    if (!(t->config & TN_PERIODIC) || t->config & TN_VAL_SET)
        t->cmp = v;
    t->config &= ~(uint64_t)TN_VAL_SET;
    tn_arm(h, n, false);
}

static void hpet_write_reg(struct hpet *h, unsigned reg, uint64_t v)
{
    switch (reg) {
    case HPET_CONFIG:
        hpet_write_config(h, v);
        return;
    case HPET_STATUS:
        hpet_write_status(h, v);
        return;
    case HPET_COUNTER:
        hpet_write_counter(h, v);
        return;
    }
    if (reg < HPET_TIMER || reg >= HPET_TIMER + HPET_TIMERS * TN_STRIDE)
        return;
    int n = (int)(reg - HPET_TIMER) / TN_STRIDE;
    if (reg % TN_STRIDE == TN_CONFIG)
        tn_write_config(h, n, v);
    else if (reg % TN_STRIDE == TN_CMP)
        tn_write_cmp(h, n, v);
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    struct hpet *h = opaque;
    uint64_t v = hpet_read_reg(h, (unsigned)(offset & ~UINT64_C(7)));
    return bits_extract(v, (offset & 4) * 8, size * 8);
}

/* Half a register leaves the other half; but bits cleared by writing one need zeros there. */
static void hpet_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct hpet *h = opaque;
    unsigned reg = (unsigned)(offset & ~UINT64_C(7));
    hpet_sync(h);
    uint64_t old = reg == HPET_STATUS ? 0 : hpet_read_reg(h, reg);
    if (size == 4 && reg >= HPET_TIMER && reg % TN_STRIDE == TN_CMP) {
        const struct hpet_timer_regs *t = &h->regs.timer[(reg - HPET_TIMER) / TN_STRIDE % HPET_TIMERS];
        if (t->config & TN_PERIODIC)
            old = t->period;
    }
    hpet_write_reg(h, reg, bits_deposit(old, (offset & 4) * 8, size * 8, v));
}

static const struct mem_ops hpet_ops = {
    .read = hpet_read, .write = hpet_write,
    .valid = { .min = 4, .max = 8 }, .impl = { .min = 4, .max = 8 },
};

static void hpet_loaded(void *opaque)
{
    hpet_update_all(opaque);
}

static void hpet_reset(void *opaque)
{
    struct hpet *h = opaque;
    for (int n = 0; n < HPET_TIMERS; n++)
        tn_release(h, n);
    h->regs = hpet_power_on;
    hpet_update_all(h);
}

struct hpet *hpet_new(struct hw_env *env, uint64_t base, const struct irq_line irqs[HPET_LINES],
                      void (*legacy)(void *opaque, bool on), void *opaque)
{
    struct hpet *h = g_new0(struct hpet, 1);
    h->regs = hpet_power_on;
    h->log = env->log;
    h->clock = env->clock;
    memcpy(h->irqs, irqs, sizeof(h->irqs));
    h->legacy = legacy;
    h->legacy_opaque = opaque;
    for (int n = 0; n < HPET_TIMERS; n++) {
        h->timer[n].hpet = h;
        h->timer[n].line = -1;
        timer_init(&h->timer[n].timer, env->clock, hpet_timer_fire, &h->timer[n]);
    }
    h->io = mem_io_new("hpet", 0x400, &hpet_ops, h);
    mem_region_add(env->mem_root, base, h->io, 0);
    h->dev = (struct device){
        .name = "hpet", .reset = hpet_reset, .state = &hpet_state_table, .regs = &h->regs,
        .loaded = hpet_loaded, .opaque = h,
    };
    device_register(env, &h->dev);
    return h;
}

void hpet_free(struct hpet *h)
{
    if (!h)
        return;
    for (int n = 0; n < HPET_TIMERS; n++)
        timer_cancel(&h->timer[n].timer);
    mem_region_free(h->io);
    g_free(h);
}
