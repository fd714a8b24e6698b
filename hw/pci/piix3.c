/* 82371SB PCI ISA IDE Xcelerator (PIIX3), function 0 (data sheet 290550): PCI-to-ISA bridge with the routing
 * of PIRQA#-PIRQD# and the reset control register. */
#include "hw/pci/piix3.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

enum piix3_reg {
    IORT = 0x4C,
    XBCS = 0x4E,
    PIRQRCA = 0x60,
    TOM = 0x69,
    MSTAT = 0x6A,
    MBIRQ0 = 0x70,
    MBIRQ1 = 0x71,
    MBDMA0 = 0x76,
    MBDMA1 = 0x77,
    PCSC = 0x78,
    APICBASE = 0x80,
    DLC = 0x82,
    SMICNTL = 0xA0,
    SMIEN = 0xA2,
    SEE = 0xA4,
    FTMR = 0xA8,
    SMIREQ = 0xAA,
    CTLTMR = 0xAC,
    CTHTMR = 0xAE,
};

enum {
    PIRQRC_DISABLE = 0x80,
    PIRQRC_IRQ = 0x0F,
    RCR_SRST = 0x02, /* hard reset rather than soft */
    RCR_RCPU = 0x04, /* 0 to 1: reset */
    ROUTABLE = 0xDEF8, /* IRQ 3-7, 9-12, 14, 15 */
    NUM_PIRQS = 4,
};

struct piix3_regs {
    uint8_t rcr;
    uint8_t pirq;    /* levels of PIRQA..D, bits 0..3 */
    uint16_t shared; /* levels of the shared inputs, by ISA interrupt */
};

static const struct state_field piix3_fields[] = {
    STATE_FIELD(struct piix3_regs, rcr),
    STATE_FIELD(struct piix3_regs, pirq),
    STATE_FIELD(struct piix3_regs, shared),
};
const struct state_table piix3_state_table = STATE_TABLE("piix3", 1, struct piix3_regs, piix3_fields);

struct piix3 {
    struct pci_device pci;
    struct piix3_regs regs;
    struct irq_line isa_irq[16];
    struct irq_line reset_line;
    uint16_t driven; /* levels as last sent to isa_irq */
    struct device dev;
};

/* Levels that the 16 lines should have. */
static uint16_t wanted_levels(const struct piix3 *s)
{
    uint16_t levels = s->regs.shared;

    for (unsigned i = 0; i < NUM_PIRQS; i++) {
        uint8_t route = s->pci.regs.config[PIRQRCA + i];
        if ((s->regs.pirq & BIT(i)) && !(route & PIRQRC_DISABLE))
            levels |= (uint16_t)(BIT(route & PIRQRC_IRQ) & ROUTABLE);
    }
    return levels;
}

static void piix3_update_irq(struct piix3 *s)
{
    uint16_t levels = wanted_levels(s);
    uint16_t changed = levels ^ s->driven;

    s->driven = levels;
    for (unsigned n = 0; n < 16; n++)
        if (changed & BIT(n))
            irq_set(&s->isa_irq[n], (levels & BIT(n)) != 0);
}

static void piix3_set_pirq(void *opaque, int pirq, int level)
{
    struct piix3 *s = opaque;

    s->regs.pirq = (uint8_t)bits_deposit(s->regs.pirq, (unsigned)pirq, 1, level != 0);
    piix3_update_irq(s);
}

static void piix3_set_shared(void *opaque, int irq, int level)
{
    struct piix3 *s = opaque;

    s->regs.shared = (uint16_t)bits_deposit(s->regs.shared, (unsigned)irq, 1, level != 0);
    piix3_update_irq(s);
}

struct irq_line piix3_shared_irq(struct piix3 *s, int irq)
{
    assert(irq >= 0 && irq < 16 && (ROUTABLE & BIT(irq)));
    return (struct irq_line){ piix3_set_shared, s, irq };
}

static void piix3_written(struct pci_device *d, unsigned reg, unsigned len)
{
    if (reg < PIRQRCA + NUM_PIRQS && reg + len > PIRQRCA)
        piix3_update_irq(container_of(d, struct piix3, pci));
}

static uint8_t rcr_read(void *opaque)
{
    struct piix3 *s = opaque;

    return s->regs.rcr;
}

static void rcr_write(void *opaque, uint8_t value)
{
    struct piix3 *s = opaque;
    bool reset = (value & RCR_RCPU) && !(s->regs.rcr & RCR_RCPU);

    s->regs.rcr = value & (RCR_SRST | RCR_RCPU);
    if (reset) {
        irq_set(&s->reset_line, 1);
        irq_set(&s->reset_line, 0);
    }
}

/* The pins' levels belong to the devices, which lower them by their own reset. */
static void piix3_reset(void *opaque)
{
    struct piix3 *s = opaque;

    s->regs.rcr = 0;
    piix3_update_irq(s);
}

static void piix3_loaded(void *opaque)
{
    piix3_update_irq(opaque);
}

/* Defaults of section 3.1. Timings, decode enables and SMI sources only remember what the
 * firmware programs. */
static void init_config(struct piix3 *s)
{
    static const struct { uint8_t reg, power_on, wmask; } rows[] = {
        { PCI_COMMAND, 0x07, 0x08 }, { PCI_COMMAND + 1, 0, 0x01 }, { PCI_STATUS + 1, 0x02, 0 },
        { PCI_CACHE_LINE_SIZE, 0, 0 }, { PCI_LATENCY_TIMER, 0, 0 }, { PCI_INTERRUPT_LINE, 0, 0 },
        { IORT, 0x4D, 0x7F }, { XBCS, 0x03, 0xFF }, { XBCS + 1, 0x00, 0x01 },
        { PIRQRCA, 0x80, 0x8F }, { PIRQRCA + 1, 0x80, 0x8F }, { PIRQRCA + 2, 0x80, 0x8F },
        { PIRQRCA + 3, 0x80, 0x8F }, { TOM, 0x02, 0xFE }, { MSTAT, 0, 0xFF }, { MSTAT + 1, 0, 0x80 },
        { MBIRQ0, 0x80, 0xEF }, { MBIRQ1, 0x80, 0xEF }, { MBDMA0, 0x04, 0x87 }, { MBDMA1, 0x04, 0x87 },
        { PCSC, 0x02, 0xFF }, { PCSC + 1, 0, 0xFF }, { APICBASE, 0, 0x7F }, { DLC, 0, 0x0F },
        { SMICNTL, 0x08, 0x1F }, { SMIEN, 0, 0xFF }, { SMIEN + 1, 0, 0x01 }, { SEE, 0, 0xFF },
        { SEE + 1, 0, 0xFF }, { SEE + 2, 0, 0xFF }, { SEE + 3, 0, 0xFF }, { FTMR, 0x0F, 0xFF },
        { SMIREQ, 0, 0 }, { CTLTMR, 0, 0xFF }, { CTHTMR, 0, 0xFF },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        s->pci.power_on[rows[i].reg] = rows[i].power_on;
        s->pci.wmask[rows[i].reg] = rows[i].wmask;
    }
    memcpy(s->pci.regs.config, s->pci.power_on, sizeof(s->pci.power_on));
}

struct piix3 *piix3_new(struct hw_env *env, struct pci_bus *bus, const struct irq_line isa_irq[16],
                        struct irq_line reset)
{
    static const struct pci_id id = { .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100 };
    struct piix3 *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    memcpy(s->isa_irq, isa_irq, sizeof(s->isa_irq));
    s->reset_line = reset;
    pci_device_init(&s->pci, env, bus, PCI_DEVFN(1, 0), "piix3", &id);
    init_config(s);
    s->pci.written = piix3_written;
    s->dev = (struct device){ .name = "piix3-isa", .reset = piix3_reset, .state = &piix3_state_table,
                              .regs = &s->regs, .loaded = piix3_loaded, .opaque = s };
    device_register(env, &s->dev);
    pci_bus_set_router(bus, piix3_set_pirq, s);
    pci_bus_set_cf9(bus, rcr_read, rcr_write, s);
    return s;
}

void piix3_free(struct piix3 *s)
{
    if (!s)
        return;
    pci_bus_set_router(s->pci.bus, NULL, NULL);
    pci_bus_set_cf9(s->pci.bus, NULL, NULL, NULL);
    pci_device_remove(&s->pci);
    free(s);
}
