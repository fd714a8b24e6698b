/* Character backends: what is common to all, the null backend, the byte queue. */
#include "ui/chardev.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ui/chardev_internal.h"

void chardev_write(struct chardev *chr, const void *buf, size_t len)
{
    if (len)
        chr->ops->write(chr, buf, len);
}

void chardev_set_handler(struct chardev *chr, const struct chardev_handler *handler)
{
    chr->handler = handler ? *handler : (struct chardev_handler){ 0 };
    if (!handler)
        return;
    chardev_send_event(chr, CHARDEV_OPENED);
    chardev_accept_input(chr);
}

void chardev_accept_input(struct chardev *chr)
{
    if (chr->ops->accept)
        chr->ops->accept(chr);
}

void chardev_free(struct chardev *chr)
{
    if (chr)
        chr->ops->free(chr);
}

size_t chardev_can_receive(struct chardev *chr)
{
    int n = chr->handler.can_receive ? chr->handler.can_receive(chr->handler.opaque) : 0;
    return n > 0 ? (size_t)n : 0;
}

void chardev_receive(struct chardev *chr, const uint8_t *buf, size_t len)
{
    if (chr->handler.receive)
        chr->handler.receive(chr->handler.opaque, buf, len);
}

void chardev_send_event(struct chardev *chr, enum chardev_event event)
{
    if (chr->handler.event)
        chr->handler.event(chr->handler.opaque, event);
}

size_t byte_queue_put(struct byte_queue *q, const void *buf, size_t len, size_t bound)
{
    size_t n = MIN_OF(len, bound - MIN_OF(bound, q->len));
    if (!n)
        return 0;
    if (q->start + q->len + n > q->room) {
        if (q->len)
            memmove(q->data, q->data + q->start, q->len);
        q->start = 0;
        if (q->len + n > q->room) {
            q->room = MAX_OF(2 * q->room, q->len + n);
            q->data = realloc(q->data, q->room);
            assert(q->data);
        }
    }
    memcpy(q->data + q->start + q->len, buf, n);
    q->len += n;
    return n;
}

void byte_queue_drop(struct byte_queue *q, size_t len)
{
    q->len -= len;
    q->start = q->len ? q->start + len : 0;
}

void byte_queue_free(struct byte_queue *q)
{
    free(q->data);
    *q = (struct byte_queue){ 0 };
}

/* The bytes leave the queue before they are handed over: the front end may ask for more from inside. */
void byte_queue_deliver(struct byte_queue *q, struct chardev *chr)
{
    uint8_t chunk[256];
    for (size_t n; q->len && (n = chardev_can_receive(chr)) > 0;) {
        n = MIN_OF(MIN_OF(n, q->len), sizeof(chunk));
        memcpy(chunk, byte_queue_data(q), n);
        byte_queue_drop(q, n);
        chardev_receive(chr, chunk, n);
    }
}

static void null_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    (void)chr;
    (void)buf;
    (void)len;
}

static void null_free(struct chardev *chr)
{
    free(chr);
}

static const struct chardev_ops null_ops = { .write = null_write, .free = null_free };

struct chardev *chardev_new_null(void)
{
    struct chardev *chr = calloc(1, sizeof(*chr));
    assert(chr);
    chr->ops = &null_ops;
    return chr;
}
