/* Local APIC in xAPIC and x2APIC mode: Intel SDM volume 3A, chapter 11 ("APIC"). The
 * timer's input clock is 1 GHz: one tick before division is one nanosecond. */
#include "hw/intc/lapic.h"

#include <glib.h>

#include "base/bits.h"

/* Register numbers: MMIO offset >> 4 (SDM table 11-1). */
enum lapic_reg {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f, /* x2APIC mode only */
};
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFMON, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum lvt_bit {
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
    LVT_READ_ONLY = 1 << 12 | LVT_REMOTE_IRR,
};
enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };
enum svr_bit { SVR_ENABLE = 1 << 8, SVR_BITS = 0x3ff };
enum esr_bit { ESR_SEND_ILLEGAL = 1 << 5, ESR_RECEIVE_ILLEGAL = 1 << 6, ESR_ILLEGAL_REGISTER = 1 << 7 };
enum icr_bit { ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15, ICR_BITS = 0xccfff };
enum icr_shorthand { ICR_DEST, ICR_SELF, ICR_ALL, ICR_OTHERS };
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_MODE (APIC_BASE_EXTD | APIC_BASE_ENABLE)
#define APIC_BASE_RESERVED (MASK(8) | BIT(9) | ~MASK(52))
#define APIC_BASE_ADDR (MASK(52) & ~MASK(12))

#define LAPIC_DEFAULT_BASE UINT64_C(0xfee00000)
#define LAPIC_VERSION 0x00050014 /* integrated APIC, six LVT entries */
/* No host delivers faster; a guest that asks for it must not starve everything else. */
#define LAPIC_MIN_PERIOD_NS 10000

struct lapic_regs {
    uint64_t base;          /* IA32_APIC_BASE */
    int64_t timer_start;    /* virtual ns at which the count was the initial count */
    uint64_t tsc_deadline;  /* IA32_TSC_DEADLINE; 0 = disarmed */
    int64_t tsc_when;       /* the same in virtual ns */
    uint32_t id;
    uint32_t tpr;
    uint32_t ldr;
    uint32_t dfr;
    uint32_t svr;
    uint32_t isr[8];
    uint32_t tmr[8];
    uint32_t irr[8];
    uint32_t esr;           /* as latched by the last write */
    uint32_t errors;        /* since then */
    uint32_t icr[2];
    uint32_t lvt[LVT_COUNT];
    uint32_t initial_count;
    uint32_t divide;
    uint8_t lint[2];        /* input levels */
    uint8_t pad[2];
};

static const struct state_field lapic_fields[] = {
    STATE_FIELD(struct lapic_regs, base),
    STATE_FIELD(struct lapic_regs, timer_start),
    STATE_FIELD(struct lapic_regs, tsc_deadline),
    STATE_FIELD(struct lapic_regs, tsc_when),
    STATE_FIELD(struct lapic_regs, id),
    STATE_FIELD(struct lapic_regs, tpr),
    STATE_FIELD(struct lapic_regs, ldr),
    STATE_FIELD(struct lapic_regs, dfr),
    STATE_FIELD(struct lapic_regs, svr),
    STATE_ARRAY(struct lapic_regs, isr, uint32_t),
    STATE_ARRAY(struct lapic_regs, tmr, uint32_t),
    STATE_ARRAY(struct lapic_regs, irr, uint32_t),
    STATE_FIELD(struct lapic_regs, esr),
    STATE_FIELD(struct lapic_regs, errors),
    STATE_ARRAY(struct lapic_regs, icr, uint32_t),
    STATE_ARRAY(struct lapic_regs, lvt, uint32_t),
    STATE_FIELD(struct lapic_regs, initial_count),
    STATE_FIELD(struct lapic_regs, divide),
    STATE_ARRAY(struct lapic_regs, lint, uint8_t),
    STATE_PAD(struct lapic_regs, pad),
};
const struct state_table lapic_state_table = STATE_TABLE("lapic", 1, struct lapic_regs, lapic_fields);

static const struct lapic_regs lapic_power_on = {
    .base = LAPIC_DEFAULT_BASE | APIC_BASE_ENABLE,
    .dfr = 0xffffffff,
    .svr = 0xff,
    .lvt = { LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED },
};

/* Writable bits of the LVT entries (SDM figure 11-8). */
static const uint32_t lvt_writable[LVT_COUNT] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

struct lapic {
    struct lapic_regs regs;
    struct device dev;
    struct log *log;
    struct clock *clock;
    struct lapic_bus *bus;
    struct lapic_cpu cpu;
    struct timer timer;
    uint8_t initial_id;
    bool bsp;
};

struct lapic_bus {
    struct lapic *lapic[LAPIC_MAX];
    unsigned count;
    struct mem_region *page;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
};

static bool lapic_hw_enabled(const struct lapic *l)
{
    return l->regs.base & APIC_BASE_ENABLE;
}

static bool lapic_x2apic(const struct lapic *l)
{
    return (l->regs.base & APIC_BASE_MODE) == APIC_BASE_MODE;
}

static bool lapic_sw_enabled(const struct lapic *l)
{
    return lapic_hw_enabled(l) && l->regs.svr & SVR_ENABLE;
}

static enum lapic_mode lvt_mode(uint32_t lvt)
{
    return (enum lapic_mode)bits_extract(lvt, 8, 3);
}

static bool vector_test(const uint32_t *set, unsigned v)
{
    return set[v / 32] >> v % 32 & 1;
}

static void vector_put(uint32_t *set, unsigned v, bool on)
{
    set[v / 32] = (uint32_t)bits_deposit(set[v / 32], v % 32, 1, on);
}

/* The highest vector of a set, or -1. */
static int vector_highest(const uint32_t *set)
{
    for (int i = 7; i >= 0; i--)
        if (set[i])
            return i * 32 + 31 - __builtin_clz(set[i]);
    return -1;
}

/* Processor priority (SDM 11.8.3.1). */
static uint8_t lapic_ppr(const struct lapic *l)
{
    int isrv = vector_highest(l->regs.isr);
    uint8_t served = isrv < 0 ? 0 : (uint8_t)(isrv & 0xf0);
    return (l->regs.tpr & 0xf0) >= served ? (uint8_t)l->regs.tpr : served;
}

/* The fixed interrupt to be delivered, or -1. */
static int lapic_request(const struct lapic *l)
{
    if (!lapic_sw_enabled(l))
        return -1;
    int irrv = vector_highest(l->regs.irr);
    return irrv >= 0 && (irrv & 0xf0) > (lapic_ppr(l) & 0xf0) ? irrv : -1;
}

/* Does INT of the 8259 reach the processor: globally disabled (SDM 11.4.3) or virtual wire? */
static bool lapic_extint_active(const struct lapic *l)
{
    uint32_t lvt = l->regs.lvt[LVT_LINT0];
    return l->regs.lint[0] &&
           (!lapic_hw_enabled(l) || (!(lvt & LVT_MASKED) && lvt_mode(lvt) == LAPIC_EXTINT));
}

bool lapic_has_interrupt(const struct lapic *l)
{
    return lapic_request(l) >= 0 || lapic_extint_active(l);
}

bool lapic_extint_pending(const struct lapic *l)
{
    return lapic_request(l) < 0 && lapic_extint_active(l);
}

static void lapic_update_irq(struct lapic *l)
{
    l->cpu.intr(l->cpu.opaque, lapic_has_interrupt(l));
}

/* ---- acceptance ---- */

static void lapic_fixed(struct lapic *l, uint8_t vector, bool level);

static void lapic_error(struct lapic *l, uint32_t bits)
{
    uint32_t lvt = l->regs.lvt[LVT_ERROR];
    bool first = !(l->regs.errors & bits);
    l->regs.errors |= bits;
    if (first && !(lvt & LVT_MASKED) && (lvt & 0xff) >= 16)
        lapic_fixed(l, (uint8_t)lvt, false);
}

static void lapic_fixed(struct lapic *l, uint8_t vector, bool level)
{
    if (vector < 16) {
        lapic_error(l, ESR_RECEIVE_ILLEGAL);
        return;
    }
    vector_put(l->regs.irr, vector, true);
    vector_put(l->regs.tmr, vector, level);
    lapic_update_irq(l);
}

static void lapic_lvt_fire(struct lapic *l, enum lvt n)
{
    uint32_t lvt = l->regs.lvt[n];
    if (lvt & LVT_MASKED || !lapic_hw_enabled(l))
        return;
    switch (n == LVT_TIMER || n == LVT_ERROR ? LAPIC_FIXED : lvt_mode(lvt)) {
    case LAPIC_FIXED:
        lapic_fixed(l, (uint8_t)lvt, (n == LVT_LINT0 || n == LVT_LINT1) && lvt & LVT_LEVEL);
        break;
    case LAPIC_SMI:
        l->cpu.smi(l->cpu.opaque);
        break;
    case LAPIC_NMI:
        l->cpu.nmi(l->cpu.opaque);
        break;
    default:
        break;
    }
}

static void lapic_set_lint(struct lapic *l, int pin, int level)
{
    bool rise = level && !l->regs.lint[pin];
    l->regs.lint[pin] = !!level;
    if (rise && lapic_hw_enabled(l))
        lapic_lvt_fire(l, pin ? LVT_LINT1 : LVT_LINT0);
    else if (rise && pin)
        l->cpu.nmi(l->cpu.opaque);
}

void lapic_set_extint(struct lapic *l, int level)
{
    lapic_set_lint(l, 0, level);
    lapic_update_irq(l);
}

void lapic_set_nmi(struct lapic *l, int level)
{
    lapic_set_lint(l, 1, level);
}

int lapic_ack(struct lapic *l)
{
    int v = lapic_request(l);
    if (v < 0)
        return lapic_sw_enabled(l) && !lapic_extint_active(l) ? (int)(l->regs.svr & 0xff) : -1;
    vector_put(l->regs.irr, (unsigned)v, false);
    vector_put(l->regs.isr, (unsigned)v, true);
    lapic_update_irq(l);
    return v;
}

static void lapic_eoi(struct lapic *l)
{
    int v = vector_highest(l->regs.isr);
    if (v < 0)
        return;
    vector_put(l->regs.isr, (unsigned)v, false);
    if (vector_test(l->regs.tmr, (unsigned)v)) {
        /* A level LINT that is still active asks again. */
        for (int pin = 0; pin < 2; pin++) {
            uint32_t lvt = l->regs.lvt[LVT_LINT0 + pin];
            bool same = (int)(lvt & 0xff) == v && lvt_mode(lvt) == LAPIC_FIXED;
            if (l->regs.lint[pin] && lvt & LVT_LEVEL && same)
                lapic_lvt_fire(l, (enum lvt)(LVT_LINT0 + pin));
        }
        if (l->bus->eoi)
            l->bus->eoi(l->bus->eoi_opaque, (uint8_t)v);
    }
    lapic_update_irq(l);
}

/* ---- timer ---- */

static enum timer_mode lapic_timer_mode(const struct lapic *l)
{
    return (enum timer_mode)bits_extract(l->regs.lvt[LVT_TIMER], 17, 2);
}

/* Nanoseconds per count: bits 3, 1, 0 of the divide register select 2, 4, ..., 128, 1 (SDM figure 11-10). */
static int64_t lapic_timer_tick(const struct lapic *l)
{
    unsigned sel = (l->regs.divide & 3) | (l->regs.divide >> 1 & 4);
    return INT64_C(1) << ((sel + 1) & 7);
}

static int64_t lapic_timer_period(const struct lapic *l)
{
    return l->regs.initial_count * lapic_timer_tick(l);
}

static uint32_t lapic_timer_count(const struct lapic *l, int64_t now)
{
    if (!l->regs.initial_count || lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
        return 0;
    uint64_t ticks = (uint64_t)((now - l->regs.timer_start) / lapic_timer_tick(l));
    if (lapic_timer_mode(l) == TIMER_PERIODIC)
        return l->regs.initial_count - (uint32_t)(ticks % l->regs.initial_count);
    return ticks >= l->regs.initial_count ? 0 : l->regs.initial_count - (uint32_t)ticks;
}

/* The next time after `now` at which the count reaches zero, or INT64_MAX. */
static int64_t lapic_timer_next(const struct lapic *l, int64_t now)
{
    if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
        return l->regs.tsc_deadline ? l->regs.tsc_when : INT64_MAX;
    int64_t period = lapic_timer_period(l);
    int64_t next = l->regs.timer_start + period;
    if (!period || (next <= now && lapic_timer_mode(l) != TIMER_PERIODIC))
        return INT64_MAX;
    if (next <= now) {
        next += (now - l->regs.timer_start) / period * period;
        next = MAX_OF(next, now + LAPIC_MIN_PERIOD_NS);
    }
    return next;
}

/* `now` is the time at which the caller last looked for an expiry: what falls due between
 * then and here must not count as past, or its interrupt would be lost. */
static void lapic_timer_arm(struct lapic *l, int64_t now)
{
    int64_t next = lapic_timer_next(l, now);
    bool silent = l->regs.lvt[LVT_TIMER] & LVT_MASKED && lapic_timer_mode(l) != TIMER_TSC_DEADLINE;
    if (silent || next == INT64_MAX || !lapic_hw_enabled(l))
        timer_cancel(&l->timer);
    else
        timer_arm(&l->timer, next);
}

static void lapic_timer_expire(struct lapic *l, int64_t now)
{
    l->regs.tsc_deadline = 0;
    lapic_lvt_fire(l, LVT_TIMER);
    lapic_timer_arm(l, now);
}

static void lapic_timer_fire(void *opaque)
{
    struct lapic *l = opaque;
    lapic_timer_expire(l, clock_now(l->clock));
}

/* An expiry that is due but not yet served happens before the timer is written. Returns the time of the look. */
static int64_t lapic_timer_sync(struct lapic *l)
{
    int64_t now = clock_now(l->clock);
    if (l->timer.deadline <= now) {
        timer_cancel(&l->timer);
        lapic_timer_expire(l, now);
    }
    return now;
}

uint64_t lapic_get_tsc_deadline(const struct lapic *l)
{
    return l->regs.tsc_deadline;
}

void lapic_set_tsc_deadline(struct lapic *l, uint64_t tsc, int64_t when)
{
    if (lapic_timer_mode(l) != TIMER_TSC_DEADLINE)
        return;
    l->regs.tsc_deadline = tsc;
    l->regs.tsc_when = MAX_OF(when, 0);
    lapic_timer_arm(l, clock_now(l->clock));
}

static void lapic_write_lvt_timer(struct lapic *l, uint32_t v)
{
    enum timer_mode old = lapic_timer_mode(l);
    int64_t now = lapic_timer_sync(l);
    l->regs.lvt[LVT_TIMER] = v;
    /* Entering or leaving TSC-deadline mode disarms the timer (SDM 11.5.4.1). */
    if ((old == TIMER_TSC_DEADLINE) != (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)) {
        l->regs.tsc_deadline = 0;
        l->regs.initial_count = 0;
    }
    lapic_timer_arm(l, now);
}

static void lapic_write_initial_count(struct lapic *l, uint32_t v)
{
    if (lapic_timer_mode(l) == TIMER_TSC_DEADLINE)
        return;
    l->regs.timer_start = lapic_timer_sync(l);
    l->regs.initial_count = v;
    lapic_timer_arm(l, l->regs.timer_start);
}

/* The count goes on from where it is, at the new pace. */
static void lapic_write_divide(struct lapic *l, uint32_t v)
{
    int64_t now = lapic_timer_sync(l);
    uint32_t done = l->regs.initial_count - lapic_timer_count(l, now);
    l->regs.divide = v & 0xb;
    l->regs.timer_start = now - done * lapic_timer_tick(l);
    lapic_timer_arm(l, now);
}

/* ---- reset ---- */

/* Of x2APIC mode (SDM 11.12.10.2): the cluster in 31:16, a bit of 15:0. */
static uint32_t logical_x2apic_id(uint32_t id)
{
    return id >> 4 << 16 | UINT32_C(1) << (id & 15);
}

/* Hardware reset and INIT alike; ID, APIC base and the wires stay where they are. The bootstrap
 * processor comes up in virtual wire mode (MP specification 3.6.2.2). */
static void lapic_reset_state(struct lapic *l)
{
    struct lapic_regs old = l->regs;
    l->regs = lapic_power_on;
    l->regs.base = old.base;
    l->regs.id = old.id;
    memcpy(l->regs.lint, old.lint, sizeof(old.lint));
    if (l->bsp)
        l->regs.lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
    lapic_timer_arm(l, clock_now(l->clock));
    lapic_update_irq(l);
}

/* The page is the first APIC's: it follows that one's base. */
static void lapic_place(struct lapic *l)
{
    if (l != l->bus->lapic[0])
        return;
    mem_region_set_enabled(l->bus->page, lapic_hw_enabled(l) && !lapic_x2apic(l));
    mem_region_move(l->bus->page, l->regs.base & APIC_BASE_ADDR);
}

static void lapic_reset(void *opaque)
{
    struct lapic *l = opaque;
    l->regs.base = lapic_power_on.base | (l->bsp ? APIC_BASE_BSP : 0);
    l->regs.id = (uint32_t)l->initial_id << 24;
    lapic_reset_state(l);
    lapic_place(l);
}

uint64_t lapic_get_base(const struct lapic *l)
{
    return l->regs.base;
}

/* Modes are EN and EXTD. Into x2APIC mode only from xAPIC mode, out of it only by disabling (SDM 11.12.5). */
static bool mode_change_allowed(uint64_t from, uint64_t to)
{
    if (to == APIC_BASE_EXTD)
        return false;
    return to == APIC_BASE_MODE ? from != 0 : !(to == APIC_BASE_ENABLE && from == APIC_BASE_MODE);
}

bool lapic_set_base(struct lapic *l, uint64_t value)
{
    uint64_t was = l->regs.base & APIC_BASE_MODE, mode = value & APIC_BASE_MODE;

    if ((value & APIC_BASE_RESERVED) || !mode_change_allowed(was, mode))
        return false;
    l->regs.base = value;
    if (mode != was && mode == APIC_BASE_MODE) {
        l->regs.icr[1] = 0;
        lapic_update_irq(l);
    } else if (mode != was) {
        l->regs.id = (uint32_t)l->initial_id << 24;
        lapic_reset_state(l);
    }
    lapic_place(l);
    return true;
}

/* ---- messages ---- */

/* A destination of 8 bits is one of 32 bits with zeroes above to an APIC in x2APIC mode, apart from 0xff. */
static bool match_x2apic(const struct lapic *l, const struct lapic_msg *m)
{
    uint32_t ldr = logical_x2apic_id(l->initial_id);

    if (!m->logical)
        return m->dest == l->initial_id;
    return ldr >> 16 == m->dest >> 16 && (ldr & m->dest & 0xffff);
}

static bool lapic_match(const struct lapic *l, const struct lapic_msg *m)
{
    if (!lapic_hw_enabled(l))
        return false;
    if (m->dest == (m->x2apic ? UINT32_MAX : 0xff))
        return true;
    if (lapic_x2apic(l))
        return match_x2apic(l, m);
    if (m->dest > 0xff)
        return false;
    if (!m->logical)
        return l->regs.id >> 24 == m->dest;
    uint8_t ldr = (uint8_t)(l->regs.ldr >> 24);
    if (l->regs.dfr >> 28 == 0xf)
        return ldr & m->dest;
    return ldr >> 4 == m->dest >> 4 && ldr & m->dest & 0xf;
}

static bool lapic_accept(struct lapic *l, const struct lapic_msg *m)
{
    switch ((enum lapic_mode)m->mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        if (!lapic_sw_enabled(l))
            return false;
        lapic_fixed(l, m->vector, m->level);
        return true;
    case LAPIC_SMI:
        l->cpu.smi(l->cpu.opaque);
        return true;
    case LAPIC_NMI:
        l->cpu.nmi(l->cpu.opaque);
        return true;
    case LAPIC_INIT:
        lapic_reset_state(l);
        l->cpu.init(l->cpu.opaque);
        return true;
    case LAPIC_SIPI:
        l->cpu.sipi(l->cpu.opaque, m->vector);
        return true;
    case LAPIC_EXTINT:
    case LAPIC_RESERVED:
        break;
    }
    log_guest(l->log, "lapic: message with unsupported delivery mode %d\n", m->mode);
    return false;
}

static bool bus_send_lowest(struct lapic_bus *bus, const struct lapic_msg *m)
{
    struct lapic *best = NULL;
    for (unsigned i = 0; i < bus->count; i++) {
        struct lapic *l = bus->lapic[i];
        if (lapic_match(l, m) && lapic_sw_enabled(l) && (!best || lapic_ppr(l) < lapic_ppr(best)))
            best = l;
    }
    return best && lapic_accept(best, m);
}

bool lapic_bus_send(struct lapic_bus *bus, const struct lapic_msg *m)
{
    if (m->mode == LAPIC_LOWEST)
        return bus_send_lowest(bus, m);
    bool taken = false;
    for (unsigned i = 0; i < bus->count; i++)
        if (lapic_match(bus->lapic[i], m))
            taken |= lapic_accept(bus->lapic[i], m);
    return taken;
}

bool lapic_bus_send_msi(struct lapic_bus *bus, uint64_t addr, uint32_t data)
{
    struct lapic_msg m = {
        .dest = (uint8_t)(addr >> 12),
        .vector = (uint8_t)data,
        .mode = (uint8_t)bits_extract(data, 8, 3),
        .logical = addr & 4,
        .level = data >> 15 & 1,
    };
    return lapic_bus_send(bus, &m);
}

void lapic_bus_set_eoi(struct lapic_bus *bus, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    bus->eoi = eoi;
    bus->eoi_opaque = opaque;
}

static void lapic_send_ipi(struct lapic *l)
{
    uint32_t icr = l->regs.icr[0];
    struct lapic_msg m = {
        .dest = lapic_x2apic(l) ? l->regs.icr[1] : l->regs.icr[1] >> 24,
        .vector = (uint8_t)icr,
        .mode = (uint8_t)bits_extract(icr, 8, 3),
        .logical = icr & ICR_LOGICAL,
        .x2apic = lapic_x2apic(l),
    };
    if (m.mode == LAPIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return; /* INIT level de-assert only synchronises arbitration IDs */
    if (m.mode <= LAPIC_LOWEST && m.vector < 16) {
        lapic_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    switch ((enum icr_shorthand)bits_extract(icr, 18, 2)) {
    case ICR_DEST:
        lapic_bus_send(l->bus, &m);
        break;
    case ICR_SELF:
        lapic_accept(l, &m);
        break;
    case ICR_ALL:
    case ICR_OTHERS:
        for (unsigned i = 0; i < l->bus->count; i++) {
            struct lapic *to = l->bus->lapic[i];
            if (lapic_hw_enabled(to) && (to != l || bits_extract(icr, 18, 2) == ICR_ALL))
                lapic_accept(to, &m);
        }
        break;
    }
}

/* ---- registers ---- */

uint32_t lapic_reg_read(struct lapic *l, unsigned index)
{
    struct lapic_regs *r = &l->regs;
    if (index >= REG_ISR && index < REG_ESR) {
        const uint32_t *set = index < REG_TMR ? r->isr : index < REG_IRR ? r->tmr : r->irr;
        return set[index & 7];
    }
    if (index >= REG_LVT && index < REG_LVT + LVT_COUNT)
        return r->lvt[index - REG_LVT];
    switch (index) {
    case REG_ID: return r->id;
    case REG_VERSION: return LAPIC_VERSION;
    case REG_TPR: return r->tpr;
    case REG_APR:
    case REG_PPR: return lapic_ppr(l);
    case REG_EOI:
    case REG_RRD: return 0;
    case REG_LDR: return r->ldr;
    case REG_DFR: return r->dfr;
    case REG_SVR: return r->svr;
    case REG_ESR: return r->esr;
    case REG_ICR_LOW:
    case REG_ICR_HIGH: return r->icr[index - REG_ICR_LOW];
    case REG_INITIAL_COUNT: return lapic_timer_mode(l) == TIMER_TSC_DEADLINE ? 0 : r->initial_count;
    case REG_CURRENT_COUNT: return lapic_timer_count(l, clock_now(l->clock));
    case REG_DIVIDE: return r->divide;
    }
    log_guest(l->log, "lapic: read of reserved register 0x%x\n", index << 4);
    lapic_error(l, ESR_ILLEGAL_REGISTER);
    return 0;
}

static void lapic_write_lvt(struct lapic *l, unsigned n, uint32_t v)
{
    v &= lvt_writable[n];
    if (!lapic_sw_enabled(l))
        v |= LVT_MASKED;
    if (n == LVT_TIMER) {
        lapic_write_lvt_timer(l, v);
        return;
    }
    l->regs.lvt[n] = v;
    lapic_update_irq(l);
}

/* Software disable masks all LVT entries (SDM 11.4.7.2). */
static void lapic_write_svr(struct lapic *l, uint32_t v)
{
    l->regs.svr = v & SVR_BITS;
    if (!(v & SVR_ENABLE)) {
        for (int i = 0; i < LVT_COUNT; i++)
            l->regs.lvt[i] |= LVT_MASKED;
        lapic_timer_arm(l, clock_now(l->clock));
    }
    lapic_update_irq(l);
}

static void lapic_write_icr(struct lapic *l, uint32_t v)
{
    l->regs.icr[0] = v & ICR_BITS;
    lapic_send_ipi(l);
}

void lapic_reg_write(struct lapic *l, unsigned index, uint32_t v)
{
    struct lapic_regs *r = &l->regs;
    if (index >= REG_LVT && index < REG_LVT + LVT_COUNT) {
        lapic_write_lvt(l, index - REG_LVT, v);
        return;
    }
    switch (index) {
    case REG_ID: r->id = v & 0xff000000; break;
    case REG_TPR: r->tpr = v & 0xff; lapic_update_irq(l); break;
    case REG_EOI: lapic_eoi(l); break;
    case REG_LDR: r->ldr = v & 0xff000000; break;
    case REG_DFR: r->dfr = v | 0x0fffffff; break;
    case REG_SVR: lapic_write_svr(l, v); break;
    case REG_ESR: r->esr = r->errors; r->errors = 0; break;
    case REG_ICR_LOW: lapic_write_icr(l, v); break;
    case REG_ICR_HIGH: r->icr[1] = v & 0xff000000; break;
    case REG_INITIAL_COUNT: lapic_write_initial_count(l, v); break;
    case REG_DIVIDE: lapic_write_divide(l, v); break;
    default:
        log_guest(l->log, "lapic: write of 0x%x to register 0x%x\n", v, index << 4);
        if (index < 2 || index > REG_DIVIDE)
            lapic_error(l, ESR_ILLEGAL_REGISTER);
    }
}

/* ---- x2APIC mode (SDM 11.12.1) ---- */

enum { X2_READ = 1, X2_WRITE = 2 };

/* What may be done with a register; *valid: the bits that may be written. */
static unsigned x2apic_access(unsigned index, uint64_t *valid)
{
    *valid = UINT32_MAX;
    if (index >= REG_ISR && index < REG_ESR)
        return X2_READ;
    if (index >= REG_LVT && index < REG_LVT + LVT_COUNT) {
        *valid = lvt_writable[index - REG_LVT] | LVT_READ_ONLY;
        return X2_READ | X2_WRITE;
    }
    switch (index) {
    case REG_ID: case REG_VERSION: case REG_PPR: case REG_LDR: case REG_CURRENT_COUNT: return X2_READ;
    case REG_TPR: *valid = 0xff; return X2_READ | X2_WRITE;
    case REG_EOI: *valid = 0; return X2_WRITE;
    case REG_SVR: *valid = SVR_BITS; return X2_READ | X2_WRITE;
    case REG_ESR: *valid = 0; return X2_READ | X2_WRITE;
    case REG_ICR_LOW: *valid = ICR_BITS | ~MASK(32); return X2_READ | X2_WRITE;
    case REG_INITIAL_COUNT: return X2_READ | X2_WRITE;
    case REG_DIVIDE: *valid = 0xb; return X2_READ | X2_WRITE;
    case REG_SELF_IPI: *valid = 0xff; return X2_WRITE;
    }
    return 0;
}

bool lapic_msr_read(struct lapic *l, unsigned index, uint64_t *value)
{
    uint64_t valid;

    if (!lapic_x2apic(l) || !(x2apic_access(index, &valid) & X2_READ))
        return false;
    if (index == REG_ID)
        *value = l->initial_id;
    else if (index == REG_LDR)
        *value = logical_x2apic_id(l->initial_id);
    else if (index == REG_ICR_LOW)
        *value = (uint64_t)l->regs.icr[1] << 32 | l->regs.icr[0];
    else
        *value = lapic_reg_read(l, index);
    return true;
}

static void lapic_self_ipi(struct lapic *l, uint8_t vector)
{
    struct lapic_msg m = { .vector = vector, .mode = LAPIC_FIXED };

    if (vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    else
        lapic_accept(l, &m);
}

bool lapic_msr_write(struct lapic *l, unsigned index, uint64_t value)
{
    uint64_t valid;

    if (!lapic_x2apic(l) || !(x2apic_access(index, &valid) & X2_WRITE) || (value & ~valid))
        return false;
    if (index == REG_SELF_IPI) {
        lapic_self_ipi(l, (uint8_t)value);
        return true;
    }
    if (index == REG_ICR_LOW)
        l->regs.icr[1] = (uint32_t)(value >> 32);
    lapic_reg_write(l, index, (uint32_t)value);
    return true;
}

uint64_t lapic_mmio_read(struct lapic *l, uint64_t off, unsigned size)
{
    if (off & 0xf || off > 0x3f0 || size != 4)
        return 0;
    return lapic_reg_read(l, (unsigned)off >> 4);
}

void lapic_mmio_write(struct lapic *l, uint64_t off, uint64_t value, unsigned size)
{
    if (!(off & 0xf) && off <= 0x3f0 && size == 4)
        lapic_reg_write(l, (unsigned)off >> 4, (uint32_t)value);
}

uint8_t lapic_get_tpr(const struct lapic *l)
{
    return (uint8_t)(l->regs.tpr >> 4);
}

void lapic_set_tpr(struct lapic *l, uint8_t cr8)
{
    l->regs.tpr = (uint32_t)(cr8 & 0xf) << 4;
    lapic_update_irq(l);
}

/* ---- creation ---- */

static uint64_t bus_read(void *opaque, uint64_t off, unsigned size)
{
    struct lapic_bus *bus = opaque;
    return bus->count ? lapic_mmio_read(bus->lapic[0], off, size) : MASK(8 * size);
}

static void bus_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    struct lapic_bus *bus = opaque;
    if (bus->count)
        lapic_mmio_write(bus->lapic[0], off, value, size);
}

static const struct mem_ops bus_ops = {
    .read = bus_read, .write = bus_write,
    .valid = { .min = 1, .max = 8, .unaligned = true }, .impl = { .min = 1, .max = 8, .unaligned = true },
};

struct lapic_bus *lapic_bus_new(struct hw_env *env)
{
    struct lapic_bus *bus = g_new0(struct lapic_bus, 1);
    bus->page = mem_io_new("lapic", MEM_PAGE_SIZE, &bus_ops, bus);
    mem_region_add(env->mem_root, LAPIC_DEFAULT_BASE, bus->page, 1);
    return bus;
}

void lapic_bus_free(struct lapic_bus *bus)
{
    if (!bus)
        return;
    mem_region_free(bus->page);
    g_free(bus);
}

static void lapic_loaded(void *opaque)
{
    struct lapic *l = opaque;
    lapic_place(l);
    lapic_timer_arm(l, clock_now(l->clock));
    lapic_update_irq(l);
}

struct lapic *lapic_new(struct hw_env *env, struct lapic_bus *bus, uint8_t id, const struct lapic_cpu *cpu)
{
    if (bus->count == LAPIC_MAX)
        return NULL;
    struct lapic *l = g_new0(struct lapic, 1);
    l->regs = lapic_power_on;
    l->log = env->log;
    l->clock = env->clock;
    l->bus = bus;
    l->cpu = *cpu;
    l->initial_id = id;
    l->bsp = bus->count == 0;
    l->regs.id = (uint32_t)id << 24;
    bus->lapic[bus->count++] = l;
    timer_init(&l->timer, env->clock, lapic_timer_fire, l);
    l->dev = (struct device){
        .name = "lapic", .reset = lapic_reset, .state = &lapic_state_table, .regs = &l->regs,
        .loaded = lapic_loaded, .opaque = l,
    };
    device_register(env, &l->dev);
    return l;
}

void lapic_free(struct lapic *l)
{
    if (!l)
        return;
    timer_cancel(&l->timer);
    g_free(l);
}
