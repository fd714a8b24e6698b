/* Coprocessor error latch (PIIX data sheet 290550, 4.1.10: port F0, "coprocessor error register").
 * FERR# sets the latch, which holds IRQ 13 until a write of any value to port 0xF0. IGNNE# is not modelled. */
#include "hw/misc/ferr.h"

#include <glib.h>

struct ferr_regs {
    uint8_t latched; /* IRQ 13 is active */
};

static const struct state_field ferr_fields[] = { STATE_FIELD(struct ferr_regs, latched) };
const struct state_table ferr_state_table = STATE_TABLE("ferr", 1, struct ferr_regs, ferr_fields);

static const struct ferr_regs ferr_power_on = { .latched = 0 };

struct ferr {
    struct ferr_regs regs;
    struct device dev;
    struct irq_line irq;
    struct mem_region *io;
};

static void ferr_update_irq(struct ferr *f)
{
    irq_set(&f->irq, f->regs.latched);
}

void ferr_set(void *opaque, int n, int level)
{
    struct ferr *f = opaque;

    (void)n;
    if (!level)
        return;
    f->regs.latched = 1;
    ferr_update_irq(f);
}

static uint64_t ferr_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return 0xff; /* write-only */
}

static void ferr_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct ferr *f = opaque;

    (void)offset, (void)v, (void)size;
    f->regs.latched = 0;
    ferr_update_irq(f);
}

static const struct mem_ops ferr_ops = { ferr_read, ferr_write, { 0 }, { .min = 1, .max = 1 } };

static void ferr_loaded(void *opaque)
{
    ferr_update_irq(opaque);
}

static void ferr_reset(void *opaque)
{
    struct ferr *f = opaque;

    f->regs = ferr_power_on;
    ferr_update_irq(f);
}

struct ferr *ferr_new(struct hw_env *env, const struct irq_line *irq)
{
    struct ferr *f = g_new0(struct ferr, 1);

    f->regs = ferr_power_on;
    f->irq = irq ? *irq : (struct irq_line){ 0 };
    f->io = mem_io_new("ferr", 1, &ferr_ops, f);
    mem_region_add(env->io_root, 0xf0, f->io, 0);
    f->dev = (struct device){
        .name = "ferr", .reset = ferr_reset, .state = &ferr_state_table, .regs = &f->regs,
        .loaded = ferr_loaded, .opaque = f,
    };
    device_register(env, &f->dev);
    return f;
}

void ferr_free(struct ferr *f)
{
    if (!f)
        return;
    mem_region_free(f->io);
    g_free(f);
}
