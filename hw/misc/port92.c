/* System control port A, port 0x92 (PS/2 hardware technical reference; PIIX data sheet 290562, 2.5.7). */
#include "hw/misc/port92.h"

#include <glib.h>

enum port92_bit { FAST_INIT = 0x01, FAST_A20 = 0x02, WRITABLE = 0x03 };

struct port92_regs {
    uint8_t control;
};

static const struct state_field port92_fields[] = { STATE_FIELD(struct port92_regs, control) };
const struct state_table port92_state_table = STATE_TABLE("port92", 1, struct port92_regs, port92_fields);

static const struct port92_regs port92_power_on = { .control = 0 };

struct port92 {
    struct port92_regs regs;
    struct device dev;
    struct irq_line a20;
    struct irq_line reset;
    struct mem_region *io;
};

static void port92_update_a20(struct port92 *p)
{
    irq_set(&p->a20, !!(p->regs.control & FAST_A20));
}

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    struct port92 *p = opaque;
    (void)offset;
    (void)size;
    return p->regs.control;
}

/* The reset happens when FAST_INIT goes from 0 to 1. */
static void port92_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct port92 *p = opaque;
    bool init = v & ~(uint64_t)p->regs.control & FAST_INIT;
    (void)offset;
    (void)size;
    p->regs.control = v & WRITABLE;
    port92_update_a20(p);
    if (init) {
        irq_set(&p->reset, 1);
        irq_set(&p->reset, 0);
    }
}

static const struct mem_ops port92_ops = { port92_read, port92_write, { 0 }, { .min = 1, .max = 1 } };

static void port92_loaded(void *opaque)
{
    port92_update_a20(opaque);
}

static void port92_reset(void *opaque)
{
    struct port92 *p = opaque;
    p->regs = port92_power_on;
    port92_update_a20(p);
}

struct port92 *port92_new(struct hw_env *env, const struct irq_line *a20, const struct irq_line *reset)
{
    struct port92 *p = g_new0(struct port92, 1);
    p->regs = port92_power_on;
    p->a20 = a20 ? *a20 : (struct irq_line){ 0 };
    p->reset = reset ? *reset : (struct irq_line){ 0 };
    p->io = mem_io_new("port92", 1, &port92_ops, p);
    mem_region_add(env->io_root, 0x92, p->io, 0);
    p->dev = (struct device){
        .name = "port92", .reset = port92_reset, .state = &port92_state_table, .regs = &p->regs,
        .loaded = port92_loaded, .opaque = p,
    };
    device_register(env, &p->dev);
    return p;
}

void port92_free(struct port92 *p)
{
    if (!p)
        return;
    mem_region_free(p->io);
    g_free(p);
}
