/* The bus between the local APICs, the I/O APIC and MSI: who is addressed (Intel SDM volume 3A, 11.6), who
 * gets a lowest-priority interrupt, and the page at which a processor finds its own APIC. A message is
 * delivered when it is sent: delivery status is idle always. */
#include "hw/intc/lapic_internal.h"

#include <glib.h>

enum icr_shorthand { ICR_DEST, ICR_SELF, ICR_ALL, ICR_OTHERS };
/* MSI address and data (SDM 3A 11.11). */
enum msi_bit { MSI_LOGICAL = 1 << 2, MSI_REDIRECT = 1 << 3, MSI_ASSERT = 1 << 14, MSI_LEVEL = 1 << 15 };

static const struct state_field lapic_bus_fields[] = { STATE_FIELD(struct lapic_bus_regs, turn) };
const struct state_table lapic_bus_state_table =
    STATE_TABLE("lapic-bus", 1, struct lapic_bus_regs, lapic_bus_fields);

/* ---- who is addressed ---- */

void lapic_bus_map_ids(struct lapic_bus *bus)
{
    memset(bus->first, LAPIC_MAX, sizeof(bus->first));
    for (unsigned i = bus->count; i--;) {
        const struct lapic *l = bus->lapic[i];
        unsigned id = lapic_x2apic(l) ? l->initial_id : l->regs.id >> 24;
        bus->next[i] = bus->first[id];
        bus->first[id] = (uint8_t)i;
    }
}

static bool is_broadcast(const struct lapic_msg *m)
{
    return m->dest == (m->x2apic ? UINT32_MAX : 0xff);
}

/* A logical destination of 8 bits is one of 32 bits with zeroes above to an APIC in x2APIC mode. */
static bool match_logical(const struct lapic *l, uint32_t dest)
{
    uint32_t ldr = lapic_x2apic(l) ? lapic_x2apic_ldr(l) : l->regs.ldr >> 24;
    if (lapic_x2apic(l))
        return ldr >> 16 == dest >> 16 && ldr & dest & 0xffff;
    if (dest > 0xff)
        return false;
    if (l->regs.dfr >> 28 == 0xf)
        return ldr & dest;
    return ldr >> 4 == dest >> 4 && ldr & dest & 0xf;
}

/* Apart from physical destinations of a single APIC. */
static bool is_addressed(const struct lapic *l, const struct lapic_msg *m)
{
    return lapic_hw_enabled(l) && (is_broadcast(m) || match_logical(l, m->dest));
}

/* ---- delivery ---- */

static bool send_physical(struct lapic_bus *bus, const struct lapic_msg *m)
{
    bool taken = false;
    for (unsigned i = m->dest > 0xff ? LAPIC_MAX : bus->first[m->dest]; i < LAPIC_MAX; i = bus->next[i])
        if (lapic_hw_enabled(bus->lapic[i]))
            taken |= lapic_accept(bus->lapic[i], m);
    return taken;
}

/* To the processor with the lowest priority; processors of the same priority take turns. */
static bool send_lowest(struct lapic_bus *bus, const struct lapic_msg *m)
{
    struct lapic *best = NULL;
    unsigned at = 0;
    for (unsigned n = 0; n < bus->count; n++) {
        unsigned i = (bus->regs.turn + n) % bus->count;
        struct lapic *l = bus->lapic[i];
        if (!lapic_sw_enabled(l) || !is_addressed(l, m) || (best && lapic_ppr(l) >= lapic_ppr(best)))
            continue;
        best = l;
        at = i;
    }
    if (!best)
        return false;
    bus->regs.turn = (at + 1) % bus->count;
    return lapic_accept(best, m);
}

static bool send_many(struct lapic_bus *bus, const struct lapic_msg *m, const struct lapic *except)
{
    bool taken = false;
    for (unsigned i = 0; i < bus->count; i++)
        if (bus->lapic[i] != except && is_addressed(bus->lapic[i], m))
            taken |= lapic_accept(bus->lapic[i], m);
    return taken;
}

static bool send(struct lapic_bus *bus, const struct lapic_msg *m)
{
    if (!m->logical && !is_broadcast(m))
        return send_physical(bus, m);
    return m->mode == LAPIC_LOWEST ? send_lowest(bus, m) : send_many(bus, m, NULL);
}

bool lapic_bus_send(struct lapic_bus *bus, const struct lapic_msg *m)
{
    if (m->mode == LAPIC_RESERVED || m->mode == LAPIC_SIPI) {
        log_guest(bus->log, "lapic: message with reserved delivery mode %d\n", m->mode);
        return false;
    }
    return send(bus, m);
}

/* A redirection hint asks for one of the processors addressed. A level that is de-asserted tells nobody
 * anything. */
bool lapic_bus_send_msi(struct lapic_bus *bus, uint64_t addr, uint32_t data)
{
    struct lapic_msg m = {
        .dest = (uint8_t)(addr >> 12),
        .vector = (uint8_t)data,
        .mode = (uint8_t)bits_extract(data, 8, 3),
        .logical = addr & MSI_LOGICAL,
        .level = data & MSI_LEVEL,
    };
    if (m.level && !(data & MSI_ASSERT))
        return false;
    if (m.mode == LAPIC_FIXED && addr & MSI_REDIRECT)
        m.mode = LAPIC_LOWEST;
    return lapic_bus_send(bus, &m);
}

/* ---- interprocessor interrupts ---- */

/* What the processor can say (SDM table 11-3): to itself, alone or with the others, fixed interrupts only. */
static bool icr_is_valid(enum icr_shorthand shorthand, unsigned mode)
{
    if (mode == LAPIC_RESERVED || mode == LAPIC_EXTINT)
        return false;
    return mode == LAPIC_FIXED || shorthand == ICR_DEST || shorthand == ICR_OTHERS;
}

/* All are edge-triggered, whatever the ICR says. Lowest priority among all others may come back to the
 * sender. */
static void send_shorthand(struct lapic *l, struct lapic_msg *m, enum icr_shorthand shorthand)
{
    m->dest = UINT32_MAX;
    m->x2apic = true;
    if (shorthand == ICR_SELF)
        lapic_accept(l, m);
    else if (m->mode == LAPIC_LOWEST)
        send_lowest(l->bus, m);
    else
        send_many(l->bus, m, shorthand == ICR_OTHERS ? l : NULL);
}

void lapic_bus_send_ipi(struct lapic *l)
{
    uint32_t icr = l->regs.icr[0];
    enum icr_shorthand shorthand = (enum icr_shorthand)bits_extract(icr, 18, 2);
    struct lapic_msg m = {
        .dest = lapic_x2apic(l) ? l->regs.icr[1] : l->regs.icr[1] >> 24,
        .vector = (uint8_t)icr,
        .mode = (uint8_t)bits_extract(icr, 8, 3),
        .logical = icr & ICR_LOGICAL,
        .x2apic = lapic_x2apic(l),
    };
    if (m.mode == LAPIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return; /* INIT level de-assert: not supported from Pentium 4 on */
    if (!icr_is_valid(shorthand, m.mode)) {
        log_guest(l->log, "lapic: invalid ICR 0x%x\n", icr);
        return;
    }
    if (m.mode <= LAPIC_LOWEST && m.vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    if (shorthand == ICR_DEST)
        send(l->bus, &m);
    else
        send_shorthand(l, &m, shorthand);
}

/* ---- the page ---- */

static bool has_page(const struct lapic *l)
{
    return lapic_hw_enabled(l) && !lapic_x2apic(l);
}

/* The APIC of the processor that accesses, or NULL if it has none at this page. */
static struct lapic *page_owner(const struct lapic_page *page)
{
    const struct lapic_bus *bus = page->bus;
    unsigned index = bus->accessor ? *bus->accessor : 0;
    struct lapic *l = index < bus->count ? bus->lapic[index] : NULL;
    return l && has_page(l) && (l->regs.base & APIC_BASE_ADDR) == page->addr ? l : NULL;
}

static uint64_t page_read(void *opaque, uint64_t off, unsigned size)
{
    struct lapic *l = page_owner(opaque);
    return l ? lapic_mmio_read(l, off, size) : MASK(8 * size);
}

static void page_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    struct lapic *l = page_owner(opaque);
    if (l)
        lapic_mmio_write(l, off, value, size);
}

static const struct mem_ops page_ops = {
    .read = page_read, .write = page_write,
    .valid = { .min = 1, .max = 8, .unaligned = true }, .impl = { .min = 1, .max = 8, .unaligned = true },
};

static bool page_is_used(const struct lapic_bus *bus, uint64_t addr)
{
    bool used = false;
    for (unsigned i = 0; i < bus->count; i++)
        used |= has_page(bus->lapic[i]) && (bus->lapic[i]->regs.base & APIC_BASE_ADDR) == addr;
    return used;
}

static void page_map(struct lapic_bus *bus, uint64_t addr)
{
    struct lapic_page *page = NULL;
    for (unsigned i = LAPIC_MAX; i--;) {
        if (bus->page[i].mapped && bus->page[i].addr == addr)
            return;
        page = bus->page[i].mapped ? page : &bus->page[i];
    }
    page->bus = bus;
    page->addr = addr;
    page->mapped = true;
    if (!page->region)
        page->region = mem_io_new("lapic", MEM_PAGE_SIZE, &page_ops, page);
    mem_region_add(bus->env->mem_root, addr, page->region, 1);
}

static void page_unmap(struct lapic_page *page)
{
    page->mapped = false;
    mem_region_remove(page->region);
}

/* One page for each address at which at least one APIC in xAPIC mode wants to be: there are enough of them,
 * one for each APIC. */
void lapic_bus_place_pages(struct lapic_bus *bus)
{
    mem_space_begin(bus->env->memory);
    for (unsigned i = 0; i < LAPIC_MAX; i++)
        if (bus->page[i].mapped && !page_is_used(bus, bus->page[i].addr))
            page_unmap(&bus->page[i]);
    for (unsigned i = 0; i < bus->count; i++)
        if (has_page(bus->lapic[i]))
            page_map(bus, bus->lapic[i]->regs.base & APIC_BASE_ADDR);
    mem_space_commit(bus->env->memory);
}

/* ---- the board's side ---- */

void lapic_bus_set_accessor(struct lapic_bus *bus, const unsigned *index)
{
    bus->accessor = index;
}

void lapic_bus_set_eoi(struct lapic_bus *bus, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    bus->eoi = eoi;
    bus->eoi_opaque = opaque;
}

void lapic_bus_set_ready(struct lapic_bus *bus, void (*ready)(void *opaque), void *opaque)
{
    bus->ready = ready;
    bus->ready_opaque = opaque;
}

void lapic_bus_retry(struct lapic_bus *bus)
{
    if (bus->ready)
        bus->ready(bus->ready_opaque);
}

static void lapic_bus_reset(void *opaque)
{
    struct lapic_bus *bus = opaque;
    bus->regs = (struct lapic_bus_regs){ 0 };
}

struct lapic_bus *lapic_bus_new(struct hw_env *env)
{
    struct lapic_bus *bus = g_new0(struct lapic_bus, 1);
    bus->log = env->log;
    bus->env = env;
    lapic_bus_map_ids(bus);
    bus->dev = (struct device){
        .name = "lapic-bus", .reset = lapic_bus_reset, .state = &lapic_bus_state_table, .regs = &bus->regs,
        .opaque = bus,
    };
    device_register(env, &bus->dev);
    return bus;
}

void lapic_bus_free(struct lapic_bus *bus)
{
    if (!bus)
        return;
    for (unsigned i = 0; i < LAPIC_MAX; i++)
        mem_region_free(bus->page[i].region);
    g_free(bus);
}
