/* Debug exit port, as QEMU's documentation of "isa-debug-exit" describes it. */
#include "hw/misc/debugexit.h"

#include <glib.h>

struct debugexit {
    struct mem_region *io;
    void (*exit)(void *opaque, int status);
    void *opaque;
};

static uint64_t debugexit_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void debugexit_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct debugexit *d = opaque;
    (void)offset;
    (void)size;
    d->exit(d->opaque, (int)((uint32_t)v << 1 | 1));
}

static const struct mem_ops debugexit_ops = {
    .read = debugexit_read, .write = debugexit_write,
    .valid = { .min = 1, .max = 4, .unaligned = true }, .impl = { .min = 1, .max = 4, .unaligned = true },
};

struct debugexit *debugexit_new(struct hw_env *env, uint16_t iobase, unsigned iosize,
                                void (*exit)(void *opaque, int status), void *opaque)
{
    struct debugexit *d = g_new0(struct debugexit, 1);
    d->exit = exit;
    d->opaque = opaque;
    d->io = mem_io_new("debugexit", iosize, &debugexit_ops, d);
    mem_region_add(env->io_root, iobase, d->io, 0);
    return d;
}

void debugexit_free(struct debugexit *d)
{
    if (!d)
        return;
    mem_region_free(d->io);
    g_free(d);
}
