/* Debug console as in Bochs and QEMU's "isa-debugcon": writes are output, reads
 * answer 0xe9 so that firmware can tell that somebody listens. */
#include "hw/char/debugcon.h"

#include <glib.h>

#include "ui/chardev.h"

enum { DEBUGCON_READBACK = 0xe9 };

struct debugcon {
    struct chardev *chr;
    struct mem_region *io;
};

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return DEBUGCON_READBACK;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct debugcon *d = opaque;
    uint8_t c = (uint8_t)v;
    (void)offset;
    (void)size;
    if (d->chr)
        chardev_write(d->chr, &c, 1);
}

static const struct mem_ops debugcon_ops = { debugcon_read, debugcon_write, { 0 }, { .min = 1, .max = 1 } };

struct debugcon *debugcon_new(struct hw_env *env, uint16_t base, struct chardev *chr)
{
    struct debugcon *d = g_new0(struct debugcon, 1);
    d->chr = chr;
    d->io = mem_io_new("debugcon", 1, &debugcon_ops, d);
    mem_region_add(env->io_root, base, d->io, 0);
    return d;
}

void debugcon_free(struct debugcon *d)
{
    if (!d)
        return;
    mem_region_free(d->io);
    g_free(d);
}
