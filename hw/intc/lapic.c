/* Local APIC: priorities, acceptance of interrupts, local inputs, reset and modes. Intel SDM volume 3A,
 * chapter 11 ("APIC"), as from Pentium 4 on. */
#include "hw/intc/lapic_internal.h"

#include <glib.h>

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
    STATE_FIELD(struct lapic_regs, extint),
    STATE_PAD(struct lapic_regs, pad),
};
const struct state_table lapic_state_table = STATE_TABLE("lapic", 2, struct lapic_regs, lapic_fields);

static const struct lapic_regs lapic_power_on = {
    .base = LAPIC_DEFAULT_BASE | APIC_BASE_ENABLE,
    .dfr = 0xffffffff,
    .svr = 0xff,
    .lvt = { LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED, LVT_MASKED },
};

/* Writable bits of the LVT entries (SDM figure 11-8). */
const uint32_t lapic_lvt_writable[LVT_COUNT] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

static enum lapic_mode lvt_mode(uint32_t lvt)
{
    return (enum lapic_mode)bits_extract(lvt, 8, 3);
}

/* Only LINT0 in fixed mode can be level-triggered (SDM 11.5.1). */
static bool lint0_is_level(uint32_t lvt)
{
    return lvt & LVT_LEVEL && lvt_mode(lvt) == LAPIC_FIXED;
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

/* The priority class of the highest vector of a set, in bits 7:4; 0 if it is empty. */
static uint8_t vector_class(const uint32_t *set)
{
    int v = vector_highest(set);
    return v < 0 ? 0 : (uint8_t)(v & 0xf0);
}

/* Processor priority (SDM 11.8.3.1). */
uint8_t lapic_ppr(const struct lapic *l)
{
    uint8_t served = vector_class(l->regs.isr);
    return (l->regs.tpr & 0xf0) >= served ? (uint8_t)l->regs.tpr : served;
}

/* Arbitration priority (SDM 11.6.2.4). */
uint8_t lapic_apr(const struct lapic *l)
{
    uint8_t tpr = l->regs.tpr & 0xf0, asked = vector_class(l->regs.irr), served = vector_class(l->regs.isr);
    if (tpr >= asked && tpr > served)
        return (uint8_t)l->regs.tpr;
    return MAX_OF(MAX_OF(tpr, asked), served);
}

/* The fixed interrupt to be delivered, or -1. One that was accepted before software disabled the APIC is
 * still delivered (SDM 11.4.7.2). */
static int lapic_request(const struct lapic *l)
{
    int irrv = lapic_hw_enabled(l) ? vector_highest(l->regs.irr) : -1;
    return irrv >= 0 && (irrv & 0xf0) > (lapic_ppr(l) & 0xf0) ? irrv : -1;
}

/* Does INT of the 8259 reach the processor: globally disabled (SDM 11.4.3), virtual wire, or by a message? */
static bool lapic_extint_active(const struct lapic *l)
{
    uint32_t lvt = l->regs.lvt[LVT_LINT0];
    if (!l->regs.lint[0])
        return false;
    return !lapic_hw_enabled(l) || l->regs.extint || (!(lvt & LVT_MASKED) && lvt_mode(lvt) == LAPIC_EXTINT);
}

bool lapic_has_interrupt(const struct lapic *l)
{
    return lapic_request(l) >= 0 || lapic_extint_active(l);
}

bool lapic_extint_pending(const struct lapic *l)
{
    return lapic_request(l) < 0 && lapic_extint_active(l);
}

void lapic_update_irq(struct lapic *l)
{
    l->cpu.intr(l->cpu.opaque, lapic_has_interrupt(l));
}

/* ---- acceptance ---- */

static void lapic_request_vector(struct lapic *l, uint8_t vector, bool level)
{
    vector_put(l->regs.irr, vector, true);
    vector_put(l->regs.tmr, vector, level);
    lapic_update_irq(l);
}

/* The first error since the last write of the ESR interrupts; that write arms it again. */
void lapic_error(struct lapic *l, uint32_t bits)
{
    uint32_t lvt = l->regs.lvt[LVT_ERROR];
    bool first = !l->regs.errors;
    l->regs.errors |= bits;
    if (!first || lvt & LVT_MASKED)
        return;
    if ((lvt & 0xff) < 16)
        l->regs.errors |= ESR_RECEIVE_ILLEGAL;
    else
        lapic_request_vector(l, (uint8_t)lvt, false);
}

static void lapic_fixed(struct lapic *l, uint8_t vector, bool level)
{
    if (vector < 16)
        lapic_error(l, ESR_RECEIVE_ILLEGAL);
    else
        lapic_request_vector(l, vector, level);
}

static void lapic_init_processor(struct lapic *l);

bool lapic_accept(struct lapic *l, const struct lapic_msg *m)
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
        lapic_init_processor(l);
        return true;
    case LAPIC_SIPI:
        l->cpu.sipi(l->cpu.opaque, m->vector);
        return true;
    case LAPIC_EXTINT:
        l->regs.extint = 1;
        lapic_update_irq(l);
        return true;
    case LAPIC_RESERVED:
        break;
    }
    return false;
}

/* ---- local inputs ---- */

void lapic_lvt_fire(struct lapic *l, enum lvt n)
{
    uint32_t lvt = l->regs.lvt[n];
    if (lvt & LVT_MASKED || !lapic_hw_enabled(l))
        return;
    switch (n == LVT_TIMER ? LAPIC_FIXED : lvt_mode(lvt)) {
    case LAPIC_FIXED:
        lapic_fixed(l, (uint8_t)lvt, false);
        break;
    case LAPIC_SMI:
        l->cpu.smi(l->cpu.opaque);
        break;
    case LAPIC_NMI:
        l->cpu.nmi(l->cpu.opaque);
        break;
    case LAPIC_INIT:
        lapic_init_processor(l);
        break;
    default:
        break;
    }
}

/* A level-triggered LINT0 asks while it is asserted and not in service. */
static void lapic_update_lint0(struct lapic *l)
{
    uint32_t *lvt = &l->regs.lvt[LVT_LINT0];
    bool waits = *lvt & (LVT_MASKED | LVT_REMOTE_IRR) || !lapic_hw_enabled(l);
    if (waits || !l->regs.lint[0] || !lint0_is_level(*lvt))
        return;
    if ((*lvt & 0xff) >= 16)
        *lvt |= LVT_REMOTE_IRR;
    lapic_fixed(l, (uint8_t)*lvt, true);
}

void lapic_lvt_write(struct lapic *l, enum lvt n, uint32_t v)
{
    uint32_t remote = l->regs.lvt[n] & LVT_REMOTE_IRR;
    l->regs.lvt[n] = v;
    if (n == LVT_LINT0 && lint0_is_level(v))
        l->regs.lvt[n] |= remote;
    lapic_update_lint0(l);
    lapic_update_irq(l);
}

void lapic_set_extint(struct lapic *l, int level)
{
    bool rise = level && !l->regs.lint[0];
    if (!!level == l->regs.lint[0])
        return;
    l->regs.lint[0] = !!level;
    l->regs.extint = level && l->regs.extint;
    if (rise && lint0_is_level(l->regs.lvt[LVT_LINT0]))
        lapic_update_lint0(l);
    else if (rise)
        lapic_lvt_fire(l, LVT_LINT0);
    lapic_update_irq(l);
}

void lapic_set_nmi(struct lapic *l, int level)
{
    bool rise = level && !l->regs.lint[1];
    l->regs.lint[1] = !!level;
    if (rise && lapic_hw_enabled(l))
        lapic_lvt_fire(l, LVT_LINT1);
    else if (rise)
        l->cpu.nmi(l->cpu.opaque);
}

/* ---- service ---- */

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

static void lapic_eoi_level(struct lapic *l, unsigned v)
{
    uint32_t *lvt = &l->regs.lvt[LVT_LINT0];
    if (*lvt & LVT_REMOTE_IRR && (*lvt & 0xff) == v) {
        *lvt &= ~(uint32_t)LVT_REMOTE_IRR;
        lapic_update_lint0(l);
    }
    if (l->bus->eoi && !(l->regs.svr & SVR_NO_EOI_BROADCAST))
        l->bus->eoi(l->bus->eoi_opaque, (uint8_t)v);
}

void lapic_eoi(struct lapic *l)
{
    int v = vector_highest(l->regs.isr);
    if (v < 0)
        return;
    vector_put(l->regs.isr, (unsigned)v, false);
    if (vector_test(l->regs.tmr, (unsigned)v))
        lapic_eoi_level(l, (unsigned)v);
    lapic_update_irq(l);
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

/* ---- reset and modes ---- */

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

static void lapic_init_processor(struct lapic *l)
{
    lapic_reset_state(l);
    l->init_on_its_way = true;
    l->cpu.init(l->cpu.opaque);
}

/* What the processor wrote between the message and its own INIT came before both. */
void lapic_init_taken(struct lapic *l)
{
    if (l->init_on_its_way)
        lapic_reset_state(l);
    l->init_on_its_way = false;
}

static void lapic_moved(struct lapic *l)
{
    lapic_bus_map_ids(l->bus);
    lapic_bus_place_pages(l->bus);
}

static void lapic_reset(void *opaque)
{
    struct lapic *l = opaque;
    l->regs.base = lapic_power_on.base | (l->bsp ? APIC_BASE_BSP : 0);
    l->regs.id = (uint32_t)l->initial_id << 24;
    lapic_reset_state(l);
    lapic_moved(l);
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
    lapic_moved(l);
    return true;
}

/* ---- creation ---- */

static void lapic_loaded(void *opaque)
{
    struct lapic *l = opaque;
    lapic_moved(l);
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
    lapic_moved(l);
    lapic_timer_init(l);
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
