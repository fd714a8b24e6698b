/* What the character backends share: the base struct, a byte queue, and the file-descriptor backend. */
#ifndef MIMUS_UI_CHARDEV_INTERNAL_H
#define MIMUS_UI_CHARDEV_INTERNAL_H

#include <stdbool.h>

#include "ui/chardev_backends.h"

struct chardev_ops {
    void (*write)(struct chardev *chr, const uint8_t *buf, size_t len);
    void (*accept)(struct chardev *chr);       /* input may flow; also after a new handler; may be NULL */
    void (*free)(struct chardev *chr);         /* frees what embeds `chr` too */
};

struct chardev {
    const struct chardev_ops *ops;
    struct chardev_handler handler; /* all NULL: nobody listens */
};

/* Towards the front end. */
size_t chardev_can_receive(struct chardev *chr);
void chardev_receive(struct chardev *chr, const uint8_t *buf, size_t len);
void chardev_send_event(struct chardev *chr, enum chardev_event event);

/* Bytes that wait. */
struct byte_queue {
    uint8_t *data;
    size_t start, len, room;
};

/* Append what fits below `bound` bytes in all; returns how much that was. */
size_t byte_queue_put(struct byte_queue *q, const void *buf, size_t len, size_t bound);
void byte_queue_drop(struct byte_queue *q, size_t len);
static inline const uint8_t *byte_queue_data(const struct byte_queue *q) { return q->data + q->start; }
void byte_queue_free(struct byte_queue *q);
/* Give the front end of `chr` as much of the queue as it takes. */
void byte_queue_deliver(struct byte_queue *q, struct chardev *chr);

/* A backend over file descriptors. Embedded by stdio, file and pty. */
struct chardev_fd {
    struct chardev chr;
    struct loop *loop;
    int in_fd, out_fd;  /* -1: none; owned */
    unsigned in_watch, out_watch; /* 0: not watched */
    bool flush;         /* wait for the other side at free */
    struct byte_queue out;
};

void chardev_fd_init(struct chardev_fd *c, const struct chardev_ops *ops, struct loop *loop, int in_fd,
                     int out_fd);
/* Flush, unwatch, close. Does not free `c`. */
void chardev_fd_destroy(struct chardev_fd *c);
void chardev_fd_write(struct chardev *chr, const uint8_t *buf, size_t len);
void chardev_fd_accept(struct chardev *chr);

#endif
