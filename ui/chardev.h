/* Character backends: where a serial port's or a console's bytes go.
 * Machine lock held on all calls; handlers run on the main thread. */
#ifndef MIMUS_UI_CHARDEV_H
#define MIMUS_UI_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

struct chardev;
struct loop;
struct error;

enum chardev_event {
    CHARDEV_BREAK,   /* line break received */
    CHARDEV_OPENED,
    CHARDEV_CLOSED,
    CHARDEV_FOCUS_IN,  /* this front end of a multiplexer has got the keyboard */
    CHARDEV_FOCUS_OUT, /* and has lost it */
};

/* The front end's (the device's) side. */
struct chardev_handler {
    int (*can_receive)(void *opaque);                              /* bytes it can take now, 0 = none */
    void (*receive)(void *opaque, const uint8_t *buf, size_t len); /* len <= can_receive() */
    void (*event)(void *opaque, enum chardev_event event);         /* may be NULL */
    void *opaque;
};

/* Bytes to the outside; everything is taken (buffered while the host side is
 * slow, up to a bound, then dropped). */
void chardev_write(struct chardev *chr, const void *buf, size_t len);
void chardev_set_handler(struct chardev *chr, const struct chardev_handler *handler);
/* The front end can take bytes again. */
void chardev_accept_input(struct chardev *chr);
void chardev_free(struct chardev *chr);

#endif
