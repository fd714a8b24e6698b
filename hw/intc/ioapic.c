/* Intel 82093AA I/O APIC (data sheet 290566), with the EOI register of its
 * successors (version 0x20).
 *
 * A line carries "asserted", not a voltage: the board has taken care of the
 * sense of the wire, so the polarity bits are kept but change nothing. A message
 * arrives when it is sent; only a level that nobody took is still to be delivered. */
#include "hw/intc/ioapic.h"

#include <glib.h>

#include "base/bits.h"
#include "hw/intc/lapic.h"

enum ioapic_mmio { IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40 };
enum ioapic_reg { IOAPICID = 0x00, IOAPICVER = 0x01, IOAPICARB = 0x02, IOREDTBL = 0x10 };
enum rte_bit {
    RTE_LOGICAL = 1 << 11,
    RTE_SEND_PENDING = 1 << 12,
    RTE_REMOTE_IRR = 1 << 14,
    RTE_LEVEL = 1 << 15,
    RTE_MASKED = 1 << 16,
};
#define RTE_WRITABLE (UINT64_C(0xff00000000000000) | 0x1afff)
#define IOAPIC_VERSION (0x20 | (IOAPIC_PINS - 1) << 16)

struct ioapic_regs {
    uint64_t redtbl[IOAPIC_PINS];
    uint32_t pins;      /* input levels */
    uint32_t id;
    uint8_t select;
    uint8_t pad[7];
};

static const struct state_field ioapic_fields[] = {
    STATE_ARRAY(struct ioapic_regs, redtbl, uint64_t),
    STATE_FIELD(struct ioapic_regs, pins),
    STATE_FIELD(struct ioapic_regs, id),
    STATE_FIELD(struct ioapic_regs, select),
    STATE_PAD(struct ioapic_regs, pad),
};
const struct state_table ioapic_state_table = STATE_TABLE("ioapic", 1, struct ioapic_regs, ioapic_fields);

static const struct ioapic_regs ioapic_power_on = {
    .redtbl = { [0 ... IOAPIC_PINS - 1] = RTE_MASKED },
};

struct ioapic {
    struct ioapic_regs regs;
    struct device dev;
    struct log *log;
    struct lapic_bus *bus;
    struct mem_region *io;
};

/* SMI, NMI, INIT and ExtINT are edge-triggered whatever the entry says (data sheet 3.2.4). */
static bool rte_is_level(uint64_t rte)
{
    return rte & RTE_LEVEL && bits_extract(rte, 8, 3) <= LAPIC_LOWEST;
}

static bool ioapic_send(struct ioapic *io, uint64_t rte)
{
    struct lapic_msg m = {
        .dest = (uint32_t)(rte >> 56),
        .vector = (uint8_t)rte,
        .mode = (uint8_t)bits_extract(rte, 8, 3),
        .logical = rte & RTE_LOGICAL,
        .level = rte_is_level(rte),
    };
    return lapic_bus_send(io->bus, &m);
}

/* A level input asks while it is asserted and no message of it is in service. */
static bool pin_asks(const struct ioapic *io, int n)
{
    uint64_t rte = io->regs.redtbl[n];
    return rte_is_level(rte) && !(rte & (RTE_MASKED | RTE_REMOTE_IRR)) && io->regs.pins >> n & 1;
}

static void ioapic_update_pin(struct ioapic *io, int n)
{
    if (pin_asks(io, n) && ioapic_send(io, io->regs.redtbl[n]))
        io->regs.redtbl[n] |= RTE_REMOTE_IRR;
}

static void ioapic_retry(void *opaque)
{
    for (int n = 0; n < IOAPIC_PINS; n++)
        ioapic_update_pin(opaque, n);
}

/* An edge on a masked input is lost (data sheet 3.2.4). */
void ioapic_set_irq(void *opaque, int n, int level)
{
    struct ioapic *io = opaque;
    if (n < 0 || n >= IOAPIC_PINS)
        return;
    bool rise = level && !(io->regs.pins >> n & 1);
    io->regs.pins = (uint32_t)bits_deposit(io->regs.pins, (unsigned)n, 1, !!level);
    uint64_t rte = io->regs.redtbl[n];
    if (rte_is_level(rte))
        ioapic_update_pin(io, n);
    else if (rise && !(rte & RTE_MASKED))
        ioapic_send(io, rte);
}

static void ioapic_eoi(void *opaque, uint8_t vector)
{
    struct ioapic *io = opaque;
    for (int n = 0; n < IOAPIC_PINS; n++) {
        uint64_t *rte = &io->regs.redtbl[n];
        if (!(*rte & RTE_REMOTE_IRR) || (uint8_t)*rte != vector)
            continue;
        *rte &= ~(uint64_t)RTE_REMOTE_IRR;
        ioapic_update_pin(io, n);
    }
}

static uint32_t ioapic_read_rte(const struct ioapic *io, int n, bool high)
{
    uint64_t rte = io->regs.redtbl[n] | (pin_asks(io, n) ? RTE_SEND_PENDING : 0);
    return (uint32_t)(rte >> (high ? 32 : 0));
}

static uint32_t ioapic_read_reg(struct ioapic *io)
{
    uint8_t sel = io->regs.select;
    if (sel >= IOREDTBL && sel < IOREDTBL + 2 * IOAPIC_PINS)
        return ioapic_read_rte(io, (sel - IOREDTBL) / 2, sel & 1);
    switch (sel) {
    case IOAPICID:
    case IOAPICARB:
        return io->regs.id;
    case IOAPICVER:
        return IOAPIC_VERSION;
    }
    log_guest(io->log, "ioapic: read of register 0x%x\n", sel);
    return 0;
}

static void ioapic_write_rte(struct ioapic *io, int n, bool high, uint32_t v)
{
    uint64_t old = io->regs.redtbl[n];
    uint64_t rte = bits_deposit(old, high ? 32 : 0, 32, v);
    rte = (rte & RTE_WRITABLE) | (old & ~RTE_WRITABLE);
    if (!rte_is_level(rte))
        rte &= ~(uint64_t)RTE_REMOTE_IRR;
    io->regs.redtbl[n] = rte;
    ioapic_update_pin(io, n);
}

static void ioapic_write_reg(struct ioapic *io, uint32_t v)
{
    uint8_t sel = io->regs.select;
    if (sel >= IOREDTBL && sel < IOREDTBL + 2 * IOAPIC_PINS)
        ioapic_write_rte(io, (sel - IOREDTBL) / 2, sel & 1, v);
    else if (sel == IOAPICID)
        io->regs.id = v & 0x0f000000;
    else
        log_guest(io->log, "ioapic: write to register 0x%x\n", sel);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ioapic *io = opaque;
    if (offset == IOREGSEL)
        return io->regs.select;
    if (offset == IOWIN && size == 4)
        return ioapic_read_reg(io);
    return 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct ioapic *io = opaque;
    if (offset == IOREGSEL)
        io->regs.select = (uint8_t)v;
    else if (offset == IOWIN && size == 4)
        ioapic_write_reg(io, (uint32_t)v);
    else if (offset == IOEOI)
        ioapic_eoi(io, (uint8_t)v);
}

static const struct mem_ops ioapic_ops = {
    .read = ioapic_read, .write = ioapic_write,
    .valid = { .min = 1, .max = 4 }, .impl = { .min = 1, .max = 4 },
};

/* The levels on the pins are the devices', not the chip's. */
static void ioapic_reset(void *opaque)
{
    struct ioapic *io = opaque;
    uint32_t pins = io->regs.pins;
    io->regs = ioapic_power_on;
    io->regs.pins = pins;
}

struct ioapic *ioapic_new(struct hw_env *env, uint64_t base, struct lapic_bus *bus)
{
    struct ioapic *io = g_new0(struct ioapic, 1);
    io->regs = ioapic_power_on;
    io->log = env->log;
    io->bus = bus;
    io->io = mem_io_new("ioapic", MEM_PAGE_SIZE, &ioapic_ops, io);
    mem_region_add(env->mem_root, base, io->io, 0);
    lapic_bus_set_eoi(bus, ioapic_eoi, io);
    lapic_bus_set_ready(bus, ioapic_retry, io);
    io->dev = (struct device){
        .name = "ioapic", .reset = ioapic_reset, .state = &ioapic_state_table, .regs = &io->regs,
        .opaque = io,
    };
    device_register(env, &io->dev);
    return io;
}

void ioapic_free(struct ioapic *io)
{
    if (!io)
        return;
    mem_region_free(io->io);
    g_free(io);
}
