/* Intel 8259A Programmable Interrupt Controller, the PC's cascaded pair (data
 * sheet 231468), with the edge/level control registers of the PIIX (290562). */
#include "hw/intc/i8259.h"

#include <glib.h>

#include "base/bits.h"

enum { MASTER, SLAVE };
enum { CASCADE_IR = 2 };

enum icw1 { ICW1_IC4 = 0x01, ICW1_SNGL = 0x02, ICW1_INIT = 0x10 };
enum icw4 { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum ocw3 {
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_P = 0x04,
    OCW3_SELECT = 0x08,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
};
/* OCW2 bits 7..5: R, SL, EOI. */
enum ocw2 {
    OCW2_ROTATE_AEOI_CLEAR,
    OCW2_EOI,
    OCW2_NOP,
    OCW2_SPECIFIC_EOI,
    OCW2_ROTATE_AEOI_SET,
    OCW2_ROTATE_EOI,
    OCW2_SET_PRIORITY,
    OCW2_ROTATE_SPECIFIC_EOI,
};
/* The initialisation word that the chip waits for. */
enum init_state { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct i8259_chip {
    uint8_t pins;        /* levels of IR0..IR7 */
    uint8_t latch;       /* edges seen and not yet acknowledged or withdrawn */
    uint8_t isr;
    uint8_t imr;
    uint8_t elcr;        /* 1 = level-triggered input */
    uint8_t icw1;
    uint8_t icw2;        /* vector base */
    uint8_t icw3;
    uint8_t icw4;
    uint8_t init;        /* enum init_state */
    uint8_t lowest;      /* input with the lowest priority */
    uint8_t rotate_aeoi;
    uint8_t smm;         /* special mask mode */
    uint8_t read_isr;    /* OCW3: A0 = 0 reads ISR, not IRR */
    uint8_t poll;        /* OCW3: the next read is a poll */
    uint8_t pad;
};

struct i8259_regs {
    struct i8259_chip chip[2];
};

#define CHIP(n, member) STATE_FIELD(struct i8259_regs, chip[n].member)
#define CHIP_FIELDS(n) \
    CHIP(n, pins), CHIP(n, latch), CHIP(n, isr), CHIP(n, imr), CHIP(n, elcr), CHIP(n, icw1), CHIP(n, icw2), \
    CHIP(n, icw3), CHIP(n, icw4), CHIP(n, init), CHIP(n, lowest), CHIP(n, rotate_aeoi), CHIP(n, smm), \
    CHIP(n, read_isr), CHIP(n, poll), STATE_PAD(struct i8259_regs, chip[n].pad)

static const struct state_field i8259_fields[] = { CHIP_FIELDS(MASTER), CHIP_FIELDS(SLAVE) };
const struct state_table i8259_state_table = STATE_TABLE("i8259", 1, struct i8259_regs, i8259_fields);

static const struct i8259_regs i8259_power_on = { .chip = { { .lowest = 7 }, { .lowest = 7 } } };

/* Inputs of master and slave that can be level-triggered; the others are wired to board edges. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

struct i8259 {
    struct i8259_regs regs;
    struct device dev;
    struct log *log;
    struct irq_line intr;
    struct mem_region *io[2];
    struct mem_region *elcr;
};

/* Distance of the highest-priority bit of `mask` from the top, 0..7, or 8 if the mask is empty. */
static unsigned chip_priority(const struct i8259_chip *c, uint8_t mask)
{
    unsigned p = 0;
    while (p < 8 && !(mask & 1u << ((c->lowest + 1 + p) & 7)))
        p++;
    return p;
}

static unsigned chip_input(const struct i8259_chip *c, unsigned priority)
{
    return (c->lowest + 1 + priority) & 7;
}

static uint8_t chip_irr(const struct i8259_chip *c)
{
    uint8_t level = c->elcr;
    return (uint8_t)((c->latch & ~level) | (c->pins & level));
}

/* The input whose request is to be delivered, or -1. */
static int chip_request(const struct i8259_chip *c, uint8_t irr, bool master)
{
    if (c->init != INIT_DONE)
        return -1;
    uint8_t blocking = c->isr;
    if (c->smm)
        blocking &= (uint8_t)~c->imr;
    if (master && c->icw4 & ICW4_SFNM)
        blocking &= (uint8_t)~(1u << CASCADE_IR);
    unsigned p = chip_priority(c, irr & (uint8_t)~c->imr);
    return p < chip_priority(c, blocking) ? (int)chip_input(c, p) : -1;
}

static int slave_request(const struct i8259 *p)
{
    return chip_request(&p->regs.chip[SLAVE], chip_irr(&p->regs.chip[SLAVE]), false);
}

/* A slave's INT falls with every INTA and rises again while requests wait, so
 * the master's cascade input follows it like a level. */
static uint8_t pair_irr(const struct i8259 *p, int which)
{
    uint8_t irr = chip_irr(&p->regs.chip[which]);
    if (which == MASTER)
        irr = (uint8_t)bits_deposit(irr, CASCADE_IR, 1, slave_request(p) >= 0);
    return irr;
}

static int pair_request(const struct i8259 *p, int which)
{
    return chip_request(&p->regs.chip[which], pair_irr(p, which), which == MASTER);
}

static void i8259_update_irq(struct i8259 *p)
{
    irq_set(&p->intr, pair_request(p, MASTER) >= 0);
}

void i8259_set_irq(void *opaque, int n, int level)
{
    struct i8259 *p = opaque;
    if (n < 0 || n > 15 || n == CASCADE_IR)
        return;
    struct i8259_chip *c = &p->regs.chip[n >> 3];
    uint8_t bit = (uint8_t)(1u << (n & 7));
    if (!level) {
        c->pins &= (uint8_t)~bit;
        c->latch &= (uint8_t)~bit;
    } else if (!(c->pins & bit)) {
        c->pins |= bit;
        c->latch |= bit;
    }
    i8259_update_irq(p);
}

static void chip_ack(struct i8259_chip *c, int n)
{
    uint8_t bit = (uint8_t)(1u << n);
    c->latch &= (uint8_t)~bit;
    if (!(c->icw4 & ICW4_AEOI))
        c->isr |= bit;
    else if (c->rotate_aeoi)
        c->lowest = (uint8_t)n;
}

/* A request that went away between INT and INTA answers as input 7, without an ISR bit. */
int i8259_ack(struct i8259 *p)
{
    struct i8259_chip *c = &p->regs.chip[MASTER];
    int n = pair_request(p, MASTER);
    if (n == CASCADE_IR) {
        int slave = slave_request(p);
        chip_ack(c, CASCADE_IR);
        c = &p->regs.chip[SLAVE];
        n = slave;
    }
    if (n >= 0)
        chip_ack(c, n);
    else
        n = 7;
    i8259_update_irq(p);
    return (c->icw2 & 0xf8) | n;
}

static void chip_eoi(struct i8259_chip *c, int n, bool rotate)
{
    c->isr &= (uint8_t)~(1u << n);
    if (rotate)
        c->lowest = (uint8_t)n;
}

static void chip_eoi_nonspecific(struct i8259_chip *c, bool rotate)
{
    uint8_t served = c->smm ? c->isr & (uint8_t)~c->imr : c->isr;
    unsigned p = chip_priority(c, served);
    if (p < 8)
        chip_eoi(c, (int)chip_input(c, p), rotate);
}

static void chip_write_ocw2(struct i8259_chip *c, uint8_t v)
{
    int n = v & 7;
    switch ((enum ocw2)(v >> 5)) {
    case OCW2_ROTATE_AEOI_CLEAR:
    case OCW2_ROTATE_AEOI_SET:
        c->rotate_aeoi = v >> 7;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
        chip_eoi_nonspecific(c, v >> 7);
        break;
    case OCW2_SPECIFIC_EOI:
    case OCW2_ROTATE_SPECIFIC_EOI:
        chip_eoi(c, n, v >> 7);
        break;
    case OCW2_SET_PRIORITY:
        c->lowest = (uint8_t)n;
        break;
    case OCW2_NOP:
        break;
    }
}

static void chip_write_ocw3(struct i8259_chip *c, uint8_t v)
{
    c->poll = !!(v & OCW3_P);
    if (v & OCW3_RR)
        c->read_isr = v & OCW3_RIS;
    if (v & OCW3_ESMM)
        c->smm = !!(v & OCW3_SMM);
}

/* ICW1 keeps only what is outside the chip: pins and edge/level selection. */
static void chip_write_icw1(struct i8259_chip *c, uint8_t v)
{
    *c = (struct i8259_chip){
        .pins = c->pins, .elcr = c->elcr, .icw1 = v, .icw2 = c->icw2, .icw3 = c->icw3,
        .lowest = 7, .init = INIT_ICW2,
    };
}

static void chip_write_data(struct i8259_chip *c, uint8_t v)
{
    switch ((enum init_state)c->init) {
    case INIT_DONE:
        c->imr = v;
        break;
    case INIT_ICW2:
        c->icw2 = v;
        c->init = !(c->icw1 & ICW1_SNGL) ? INIT_ICW3 : c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3:
        c->icw3 = v;
        c->init = c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW4:
        c->icw4 = v;
        c->init = INIT_DONE;
        break;
    }
}

static uint8_t pair_poll(struct i8259 *p, int which)
{
    struct i8259_chip *c = &p->regs.chip[which];
    int n = pair_request(p, which);
    c->poll = 0;
    if (n < 0)
        return 7;
    chip_ack(c, n);
    i8259_update_irq(p);
    return (uint8_t)(0x80 | n);
}

static uint64_t pair_read(struct i8259 *p, int which, uint64_t offset)
{
    struct i8259_chip *c = &p->regs.chip[which];
    if (c->poll)
        return pair_poll(p, which);
    if (offset)
        return c->imr;
    return c->read_isr ? c->isr : pair_irr(p, which);
}

static void pair_write(struct i8259 *p, int which, uint64_t offset, uint8_t v)
{
    struct i8259_chip *c = &p->regs.chip[which];
    if (offset)
        chip_write_data(c, v);
    else if (v & ICW1_INIT)
        chip_write_icw1(c, v);
    else if (v & OCW3_SELECT)
        chip_write_ocw3(c, v);
    else
        chip_write_ocw2(c, v);
    i8259_update_irq(p);
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return pair_read(opaque, MASTER, offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)size;
    pair_write(opaque, MASTER, offset, (uint8_t)v);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return pair_read(opaque, SLAVE, offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)size;
    pair_write(opaque, SLAVE, offset, (uint8_t)v);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *p = opaque;
    (void)size;
    return p->regs.chip[offset & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct i8259 *p = opaque;
    (void)size;
    if (v & ~(uint64_t)elcr_mask[offset & 1])
        log_guest(p->log, "i8259: level trigger asked for a fixed edge input (ELCR%d = 0x%02x)\n",
                  (int)(offset & 1) + 1, (unsigned)v);
    p->regs.chip[offset & 1].elcr = (uint8_t)v & elcr_mask[offset & 1];
    i8259_update_irq(p);
}

static const struct mem_ops master_ops = { master_read, master_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops slave_ops = { slave_read, slave_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops elcr_ops = { elcr_read, elcr_write, { 0 }, { .min = 1, .max = 1 } };

static void i8259_loaded(void *opaque)
{
    i8259_update_irq(opaque);
}

/* The levels on the pins are the devices', not the chip's. */
static void i8259_reset(void *opaque)
{
    struct i8259 *p = opaque;
    struct i8259_regs old = p->regs;
    p->regs = i8259_power_on;
    for (int i = 0; i < 2; i++)
        p->regs.chip[i].pins = old.chip[i].pins;
    i8259_update_irq(p);
}

struct i8259 *i8259_new(struct hw_env *env, const struct irq_line *intr)
{
    struct i8259 *p = g_new0(struct i8259, 1);
    p->regs = i8259_power_on;
    p->log = env->log;
    p->intr = intr ? *intr : (struct irq_line){ 0 };
    p->io[MASTER] = mem_io_new("i8259-master", 2, &master_ops, p);
    p->io[SLAVE] = mem_io_new("i8259-slave", 2, &slave_ops, p);
    p->elcr = mem_io_new("i8259-elcr", 2, &elcr_ops, p);
    mem_region_add(env->io_root, 0x20, p->io[MASTER], 0);
    mem_region_add(env->io_root, 0xa0, p->io[SLAVE], 0);
    mem_region_add(env->io_root, 0x4d0, p->elcr, 0);
    p->dev = (struct device){
        .name = "i8259", .reset = i8259_reset, .state = &i8259_state_table, .regs = &p->regs,
        .loaded = i8259_loaded, .opaque = p,
    };
    device_register(env, &p->dev);
    return p;
}

void i8259_free(struct i8259 *p)
{
    if (!p)
        return;
    mem_region_free(p->io[MASTER]);
    mem_region_free(p->io[SLAVE]);
    mem_region_free(p->elcr);
    g_free(p);
}
