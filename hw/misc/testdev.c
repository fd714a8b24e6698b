/* Test device "pc-testdev" as kvm-unit-tests (x86/emulator.c, x86/ioapic.c) uses it. */
#include "hw/misc/testdev.h"

#include <glib.h>

#include "base/bits.h"

enum { PORT_SCRATCH = 0xe0, PORT_FLUSH = 0xe4, PORT_IRQ = 0x2000 };
enum { IOMEM_SIZE = 0x10000 };
#define IOMEM_BASE UINT64_C(0xff000000)

struct testdev_regs {
    uint8_t scratch[4];
    uint8_t iomem[IOMEM_SIZE];
};

static const struct state_field testdev_fields[] = {
    STATE_ARRAY(struct testdev_regs, scratch, uint8_t),
    STATE_ARRAY(struct testdev_regs, iomem, uint8_t),
};
const struct state_table testdev_state_table = STATE_TABLE("testdev", 1, struct testdev_regs, testdev_fields);

struct testdev {
    struct testdev_regs regs;
    struct device dev;
    struct irq_line irqs[TESTDEV_LINES];
    struct mem_region *scratch;
    struct mem_region *flush;
    struct mem_region *irq;
    struct mem_region *iomem;
};

static uint64_t scratch_read(void *opaque, uint64_t offset, unsigned size)
{
    struct testdev *t = opaque;
    return load_le(t->regs.scratch + offset, size);
}

static void scratch_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct testdev *t = opaque;
    store_le(t->regs.scratch + offset, size, v);
}

static uint64_t zero_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

/* The host's page tables are nothing that a translator has to flush. */
static void flush_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)v;
    (void)size;
}

static void irq_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct testdev *t = opaque;
    (void)size;
    irq_set(&t->irqs[offset], v != 0);
}

static uint64_t iomem_read(void *opaque, uint64_t offset, unsigned size)
{
    struct testdev *t = opaque;
    return load_le(t->regs.iomem + offset, size);
}

static void iomem_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct testdev *t = opaque;
    store_le(t->regs.iomem + offset, size, v);
}

static const struct mem_ops scratch_ops = {
    .read = scratch_read, .write = scratch_write,
    .valid = { .min = 1, .max = 4 }, .impl = { .min = 1, .max = 4 },
};
static const struct mem_ops flush_ops = {
    .read = zero_read, .write = flush_write, .valid = { .min = 1, .max = 4 }, .impl = { .min = 1, .max = 4 },
};
static const struct mem_ops irq_ops = { zero_read, irq_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops iomem_ops = {
    .read = iomem_read, .write = iomem_write, .valid = { .min = 1, .max = 8 }, .impl = { .min = 1, .max = 8 },
};

static void testdev_reset(void *opaque)
{
    struct testdev *t = opaque;
    memset(&t->regs, 0, sizeof(t->regs));
}

struct testdev *testdev_new(struct hw_env *env, const struct irq_line irqs[TESTDEV_LINES])
{
    struct testdev *t = g_new0(struct testdev, 1);
    memcpy(t->irqs, irqs, sizeof(t->irqs));
    t->scratch = mem_io_new("testdev-scratch", 4, &scratch_ops, t);
    t->flush = mem_io_new("testdev-flush", 4, &flush_ops, t);
    t->irq = mem_io_new("testdev-irq", TESTDEV_LINES, &irq_ops, t);
    t->iomem = mem_io_new("testdev-iomem", IOMEM_SIZE, &iomem_ops, t);
    mem_region_add(env->io_root, PORT_SCRATCH, t->scratch, 0);
    mem_region_add(env->io_root, PORT_FLUSH, t->flush, 0);
    mem_region_add(env->io_root, PORT_IRQ, t->irq, 0);
    mem_region_add(env->mem_root, IOMEM_BASE, t->iomem, 0);
    t->dev = (struct device){
        .name = "testdev", .reset = testdev_reset, .state = &testdev_state_table, .regs = &t->regs,
        .opaque = t,
    };
    device_register(env, &t->dev);
    return t;
}

void testdev_free(struct testdev *t)
{
    if (!t)
        return;
    mem_region_free(t->scratch);
    mem_region_free(t->flush);
    mem_region_free(t->irq);
    mem_region_free(t->iomem);
    g_free(t);
}
