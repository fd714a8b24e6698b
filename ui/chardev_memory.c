/* A character backend for tests: input is fed by hand, output is collected. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ui/chardev_internal.h"

struct chardev_memory {
    struct chardev chr;
    struct byte_queue in, out; /* out ends with a NUL that out.len does not count */
};

static void memory_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    struct chardev_memory *c = container_of(chr, struct chardev_memory, chr);
    byte_queue_put(&c->out, buf, len, SIZE_MAX);
    byte_queue_put(&c->out, "", 1, SIZE_MAX);
    c->out.len--;
}

static void memory_accept(struct chardev *chr)
{
    byte_queue_deliver(&container_of(chr, struct chardev_memory, chr)->in, chr);
}

static void memory_free_chr(struct chardev *chr)
{
    struct chardev_memory *c = container_of(chr, struct chardev_memory, chr);
    byte_queue_free(&c->in);
    byte_queue_free(&c->out);
    free(c);
}

static const struct chardev_ops memory_ops = {
    .write = memory_write, .accept = memory_accept, .free = memory_free_chr,
};

struct chardev *chardev_new_memory(void)
{
    struct chardev_memory *c = calloc(1, sizeof(*c));
    assert(c);
    c->chr.ops = &memory_ops;
    return &c->chr;
}

void chardev_memory_feed(struct chardev *chr, const void *buf, size_t len)
{
    byte_queue_put(&container_of(chr, struct chardev_memory, chr)->in, buf, len, SIZE_MAX);
    memory_accept(chr);
}

void chardev_memory_event(struct chardev *chr, enum chardev_event event)
{
    chardev_send_event(chr, event);
}

const char *chardev_memory_output(struct chardev *chr, size_t *len)
{
    struct chardev_memory *c = container_of(chr, struct chardev_memory, chr);
    if (len)
        *len = c->out.len;
    return c->out.len ? (const char *)byte_queue_data(&c->out) : "";
}

void chardev_memory_clear(struct chardev *chr)
{
    struct chardev_memory *c = container_of(chr, struct chardev_memory, chr);
    byte_queue_drop(&c->out, c->out.len);
}
