/* PCI bus 0: configuration mechanism 1, configuration space, base addresses,
 * interrupt pins (PCI Local Bus Specification 2.3, sections 3.2.2.3.2 and 6). */
#include "hw/pci/pci.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"
#include "hw/pci/msi.h"

enum {
    CONFADD = 0xCF8,              /* ports 0xCF8-0xCFB address, 0xCFC-0xCFF data */
    CONFADD_ENABLE = 1u << 31,
    CONFADD_WRITABLE = 0x00FFFFFC,
    PORT_CF9 = 1,                 /* offset of port 0xCF9 in the region */
    PORT_CONFDATA = 4,
    STATUS_INTERRUPT = 0x08,
    STATUS_CAP_LIST = 0x10,
    HEADER_MULTI_FUNCTION = 0x80,
    ROM_ENABLE = 1,
    BAR_PRIORITY = 1,             /* above the firmware's low alias */
    NUM_PIRQS = 4,
    NUM_DEVFNS = 256,
    FIRST_FREE_SLOT = 2,
    MESSAGE_BASE = 0xFEE,         /* bits 31:20 of the address of a message that is an interrupt */
};

struct pci_bus_regs {
    uint32_t confadd;
};

static const struct state_field pci_bus_fields[] = {
    STATE_FIELD(struct pci_bus_regs, confadd),
};
const struct state_table pci_bus_state_table = STATE_TABLE("pci-bus", 1, struct pci_bus_regs, pci_bus_fields);

static const struct state_field pci_fields[] = {
    STATE_ARRAY(struct pci_regs, config, uint8_t),
    STATE_FIELD(struct pci_regs, intx),
    STATE_PAD(struct pci_regs, pad),
};
const struct state_table pci_state_table = STATE_TABLE("pci", 1, struct pci_regs, pci_fields);

struct pci_bus {
    struct pci_bus_regs regs;
    struct hw_env *env;
    struct mem_region *memory;
    struct mem_region *ports;
    struct pci_device *functions[NUM_DEVFNS];
    int level[NUM_PIRQS]; /* as last told to the router */
    void (*route)(void *opaque, int pirq, int level);
    void *route_opaque;
    void (*message)(void *opaque, uint64_t addr, uint32_t data);
    void *message_opaque;
    uint8_t (*cf9_read)(void *opaque);
    void (*cf9_write)(void *opaque, uint8_t value);
    void *cf9_opaque;
    struct device dev;
};

static uint16_t command_of(const struct pci_device *d)
{
    return (uint16_t)load_le(&d->regs.config[PCI_COMMAND], 2);
}

static unsigned bar_reg(unsigned n)
{
    return n == PCI_ROM_BAR ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * n;
}

static bool bar_is_64(const struct pci_bar *bar)
{
    return bar->type == PCI_BAR_MEM64 || bar->type == PCI_BAR_MEM64_PREFETCH;
}

static bool bar_decoded(const struct pci_device *d, unsigned n)
{
    uint16_t command = command_of(d);

    if (d->bar[n].type == PCI_BAR_IO)
        return command & PCI_COMMAND_IO;
    if (n == PCI_ROM_BAR && !(d->regs.config[PCI_ROM_ADDRESS] & ROM_ENABLE))
        return false;
    return command & PCI_COMMAND_MEMORY;
}

/* Where base address n wants to be; false when it decodes nothing. Address 0 and ranges that end at the top
 * of their space are what firmware writes while it sizes, so they decode nothing: else the BIOS ROM would
 * vanish. */
static bool bar_wanted(const struct pci_device *d, unsigned n, uint64_t *addr)
{
    const struct pci_bar *bar = &d->bar[n];
    uint64_t limit = bar->type == PCI_BAR_IO ? 0xFFFF : 0xFFFFFFFF;
    uint64_t base = load_le(&d->regs.config[bar_reg(n)], bar_is_64(bar) ? 8 : 4) & ~(bar->size - 1);

    if (bar_is_64(bar))
        limit = mem_region_size(d->bus->memory) - 1;
    if (!bar_decoded(d, n) || !base || base > limit || limit - base < bar->size)
        return false;
    *addr = base;
    return true;
}

static void bar_update(struct pci_device *d, unsigned n)
{
    struct pci_bar *bar = &d->bar[n];
    uint64_t addr = 0;
    bool want = bar->region && bar_wanted(d, n, &addr);

    if (bar->mapped == want && (!want || bar->addr == addr))
        return;
    if (bar->mapped)
        mem_region_remove(bar->region);
    if (want)
        mem_region_add(bar->type == PCI_BAR_IO ? d->env->io_root : d->bus->memory, addr, bar->region,
                       BAR_PRIORITY);
    bar->mapped = want;
    bar->addr = addr;
}

static void bars_update(struct pci_device *d)
{
    mem_space_begin(d->env->memory);
    mem_space_begin(d->env->ports);
    for (unsigned n = 0; n < PCI_NUM_BARS; n++)
        bar_update(d, n);
    mem_space_commit(d->env->ports);
    mem_space_commit(d->env->memory);
}

static bool intx_asserted(const struct pci_device *d)
{
    return d->regs.intx && !(command_of(d) & PCI_COMMAND_INTX_DISABLE) && !msi_is_enabled(d);
}

/* The board's wiring: INTA of slot 1 is PIRQA, each further slot or pin moves on by one. */
static int pirq_of(const struct pci_device *d)
{
    return ((d->devfn >> 3) - 1 + d->power_on[PCI_INTERRUPT_PIN] - 1) & (NUM_PIRQS - 1);
}

/* Drive PIRQs from all pins. */
static void pci_bus_update_irq(struct pci_bus *bus)
{
    int level[NUM_PIRQS] = { 0 };

    for (unsigned i = 0; i < NUM_DEVFNS; i++) {
        struct pci_device *d = bus->functions[i];
        if (d && d->power_on[PCI_INTERRUPT_PIN] && intx_asserted(d))
            level[pirq_of(d)] = 1;
    }
    for (int i = 0; i < NUM_PIRQS; i++) {
        if (level[i] == bus->level[i])
            continue;
        bus->level[i] = level[i];
        if (bus->route)
            bus->route(bus->route_opaque, i, level[i]);
    }
}

void pci_device_set_irq(struct pci_device *d, int level)
{
    d->regs.intx = level != 0;
    d->regs.config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
    if (level)
        d->regs.config[PCI_STATUS] |= STATUS_INTERRUPT;
    pci_bus_update_irq(d->bus);
}

/* Whatever else the address leads to is not told: a message never makes a device send another. */
void pci_device_send_message(struct pci_device *d, uint64_t addr, uint32_t data)
{
    struct mem_range range;

    if (!pci_device_is_master(d))
        return;
    if (addr >> 20 == MESSAGE_BASE) {
        if (d->bus->message)
            d->bus->message(d->bus->message_opaque, addr, data);
        return;
    }
    range = mem_space_find(d->env->memory, addr);
    if (range.writable && range.last - addr >= 3)
        mem_write(d->env->memory, addr, data, 4);
    else
        log_guest(d->env->log, "pci: %s sends a message to 0x%llx\n", d->dev.name, (unsigned long long)addr);
}

bool pci_device_is_master(const struct pci_device *d)
{
    return command_of(d) & PCI_COMMAND_MASTER;
}

uint32_t pci_config_read(const struct pci_device *d, unsigned reg, unsigned size)
{
    assert(reg + size <= sizeof(d->regs.config));
    return (uint32_t)load_le(&d->regs.config[reg], size);
}

/* Everything that derives from configuration bytes [reg, reg+len). */
static void config_changed(struct pci_device *d, unsigned reg, unsigned len)
{
    if (reg < PCI_ROM_ADDRESS + 4 && reg + len > PCI_COMMAND) {
        bars_update(d);
        pci_bus_update_irq(d->bus);
    }
    if (msi_config_written(d, reg, len))
        pci_bus_update_irq(d->bus);
    if (d->written)
        d->written(d, reg, len);
}

void pci_config_write(struct pci_device *d, unsigned reg, uint32_t value, unsigned size)
{
    assert(reg + size <= sizeof(d->regs.config));
    for (unsigned i = 0; i < size; i++) {
        uint8_t *byte = &d->regs.config[reg + i];
        uint8_t in = (uint8_t)(value >> (8 * i));
        uint8_t mask = d->wmask[reg + i];
        *byte = (uint8_t)((*byte & ~mask) | (in & mask));
        *byte &= (uint8_t)~(in & d->w1c[reg + i]);
    }
    config_changed(d, reg, size);
}

static void pci_device_reset(void *opaque)
{
    struct pci_device *d = opaque;

    memcpy(d->regs.config, d->power_on, sizeof(d->regs.config));
    d->regs.intx = 0;
    config_changed(d, 0, sizeof(d->regs.config));
}

static void pci_device_loaded(void *opaque)
{
    config_changed(opaque, 0, sizeof(((struct pci_regs *)0)->config));
}

/* The function that the address register selects, or NULL. */
static struct pci_device *selected(const struct pci_bus *bus)
{
    uint32_t confadd = bus->regs.confadd;

    if (!(confadd & CONFADD_ENABLE) || bits_extract(confadd, 16, 8) != 0)
        return NULL;
    return bus->functions[bits_extract(confadd, 8, 8)];
}

static unsigned selected_reg(const struct pci_bus *bus, uint64_t offset)
{
    return (bus->regs.confadd & 0xFC) + (offset & 3);
}

static uint64_t pci_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bus *bus = opaque;
    struct pci_device *d = selected(bus);

    if (offset == 0 && size == 4)
        return bus->regs.confadd;
    if (offset == PORT_CF9 && size == 1 && bus->cf9_read)
        return bus->cf9_read(bus->cf9_opaque);
    if (offset < PORT_CONFDATA || !d || (offset & 3) + size > 4)
        return MASK(8 * size);
    return pci_config_read(d, selected_reg(bus, offset), size);
}

static void pci_ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pci_bus *bus = opaque;
    struct pci_device *d = selected(bus);

    if (offset == 0 && size == 4)
        bus->regs.confadd = (uint32_t)value & (CONFADD_ENABLE | CONFADD_WRITABLE);
    else if (offset == PORT_CF9 && size == 1 && bus->cf9_write)
        bus->cf9_write(bus->cf9_opaque, (uint8_t)value);
    else if (offset >= PORT_CONFDATA && d && (offset & 3) + size <= 4)
        pci_config_write(d, selected_reg(bus, offset), (uint32_t)value, size);
}

/* One region for all eight ports: only a full dword access reaches the address register, and the byte at
 * 0xCF9 within it is the reset control register. */
static const struct mem_ops pci_ports_ops = {
    .read = pci_ports_read,
    .write = pci_ports_write,
    .valid = { 1, 4, true },
    .impl = { 1, 4, true },
};

static void pci_bus_reset(void *opaque)
{
    struct pci_bus *bus = opaque;

    bus->regs = (struct pci_bus_regs){ 0 };
}

struct pci_bus *pci_bus_new(struct hw_env *env, struct mem_region *memory)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));

    if (!bus)
        return NULL;
    bus->env = env;
    bus->memory = memory;
    bus->ports = mem_io_new("pci-config", 8, &pci_ports_ops, bus);
    mem_region_add(env->io_root, CONFADD, bus->ports, 0);
    bus->dev = (struct device){ .name = "pci-bus", .reset = pci_bus_reset, .state = &pci_bus_state_table,
                                .regs = &bus->regs, .opaque = bus };
    device_register(env, &bus->dev);
    return bus;
}

void pci_bus_free(struct pci_bus *bus)
{
    if (!bus)
        return;
    mem_region_remove(bus->ports);
    mem_region_free(bus->ports);
    free(bus);
}

void pci_bus_set_router(struct pci_bus *bus, void (*set)(void *opaque, int pirq, int level), void *opaque)
{
    bus->route = set;
    bus->route_opaque = opaque;
}

void pci_bus_set_cf9(struct pci_bus *bus, uint8_t (*read)(void *opaque),
                     void (*write)(void *opaque, uint8_t value), void *opaque)
{
    bus->cf9_read = read;
    bus->cf9_write = write;
    bus->cf9_opaque = opaque;
}

void pci_bus_set_message(struct pci_bus *bus, void (*send)(void *opaque, uint64_t addr, uint32_t data),
                         void *opaque)
{
    bus->message = send;
    bus->message_opaque = opaque;
}

int pci_bus_free_slot(const struct pci_bus *bus)
{
    for (unsigned slot = FIRST_FREE_SLOT; slot < 32; slot++) {
        bool used = false;
        for (unsigned fn = 0; fn < 8; fn++)
            used |= bus->functions[PCI_DEVFN(slot, fn)] != NULL;
        if (!used)
            return (int)PCI_DEVFN(slot, 0);
    }
    return -1;
}

struct pci_device *pci_bus_find(const struct pci_bus *bus, unsigned devfn)
{
    return devfn < NUM_DEVFNS ? bus->functions[devfn] : NULL;
}

/* Function 0 of a slot says whether there are others (section 6.2.1). */
static void mark_multi_function(struct pci_bus *bus, unsigned devfn)
{
    struct pci_device *first = bus->functions[devfn & ~7u];

    for (unsigned fn = 1; first && fn < 8; fn++)
        if (bus->functions[(devfn & ~7u) | fn])
            first->power_on[PCI_HEADER_TYPE] = first->regs.config[PCI_HEADER_TYPE] = HEADER_MULTI_FUNCTION;
}

static void fill_header(struct pci_device *d, const struct pci_id *id)
{
    store_le(&d->power_on[PCI_VENDOR_ID], 2, id->vendor);
    store_le(&d->power_on[PCI_DEVICE_ID], 2, id->device);
    d->power_on[PCI_REVISION_ID] = id->revision;
    store_le(&d->power_on[PCI_CLASS_PROG], 3, id->class_code);
    store_le(&d->power_on[PCI_SUBSYSTEM_VENDOR_ID], 2, id->subsystem_vendor);
    store_le(&d->power_on[PCI_SUBSYSTEM_ID], 2, id->subsystem);
    d->power_on[PCI_INTERRUPT_PIN] = id->interrupt_pin;
    store_le(&d->wmask[PCI_COMMAND], 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
             PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    d->w1c[PCI_STATUS + 1] = 0xF9; /* bits 15..11 and 8 record errors */
    d->wmask[PCI_CACHE_LINE_SIZE] = 0xFF;
    d->wmask[PCI_LATENCY_TIMER] = 0xFF;
    d->wmask[PCI_INTERRUPT_LINE] = 0xFF;
}

void pci_device_init(struct pci_device *d, struct hw_env *env, struct pci_bus *bus, unsigned devfn,
                     const char *name, const struct pci_id *id)
{
    assert(devfn < NUM_DEVFNS && !bus->functions[devfn]);
    *d = (struct pci_device){ .env = env, .bus = bus, .devfn = (uint8_t)devfn };
    fill_header(d, id);
    memcpy(d->regs.config, d->power_on, sizeof(d->regs.config));
    bus->functions[devfn] = d;
    mark_multi_function(bus, devfn);
    d->dev = (struct device){ .name = name, .reset = pci_device_reset, .state = &pci_state_table,
                              .regs = &d->regs, .loaded = pci_device_loaded, .opaque = d };
    device_register(env, &d->dev);
}

void pci_device_remove(struct pci_device *d)
{
    d->power_on[PCI_COMMAND] = 0;
    d->written = NULL;
    pci_device_reset(d);
    for (unsigned n = 0; n < PCI_NUM_BARS; n++)
        assert(!d->bar[n].mapped);
    d->bus->functions[d->devfn] = NULL;
}

void pci_device_add_bar(struct pci_device *d, unsigned n, enum pci_bar_type type, struct mem_region *region)
{
    uint64_t size = mem_region_size(region);
    unsigned reg = bar_reg(n);

    assert(n < PCI_NUM_BARS && is_pow2(size) && size >= (type == PCI_BAR_IO ? 4 : 16));
    d->bar[n] = (struct pci_bar){ .region = region, .size = size, .type = (uint8_t)type };
    if (n != PCI_ROM_BAR)
        d->power_on[reg] = d->regs.config[reg] = (uint8_t)type;
    store_le(&d->wmask[reg], bar_is_64(&d->bar[n]) ? 8 : 4, ~(size - 1));
    if (n == PCI_ROM_BAR)
        d->wmask[reg] |= ROM_ENABLE;
}

void pci_device_add_capability(struct pci_device *d, uint8_t id, unsigned offset, unsigned len)
{
    assert(offset >= 0x40 && !(offset & 3) && len >= 2 && offset + len <= sizeof(d->power_on));
    d->power_on[offset] = id;
    d->power_on[offset + 1] = d->power_on[PCI_CAPABILITY_LIST];
    d->power_on[PCI_CAPABILITY_LIST] = (uint8_t)offset;
    d->power_on[PCI_STATUS] |= STATUS_CAP_LIST;
    memcpy(d->regs.config, d->power_on, sizeof(d->regs.config));
}
