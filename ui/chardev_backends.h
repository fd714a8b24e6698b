/* The character backends by name, for who wires a machine. Every backend is freed with chardev_free(). */
#ifndef MIMUS_UI_CHARDEV_BACKENDS_H
#define MIMUS_UI_CHARDEV_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ui/chardev.h"

/* Takes everything, gives nothing. */
struct chardev *chardev_new_null(void);

/* The process's standard input and output. A terminal is put into raw mode until
 * chardev_free(), exit() or death by a signal. With `raw_signals` the terminal's
 * interrupt, quit and suspend keys are bytes like others. Only one at a time:
 * else NULL with `err` set. */
struct chardev *chardev_new_stdio(struct loop *loop, bool raw_signals, struct error *err);

/* Output to the file `path`, which is emptied first. NULL with `err` set on failure. */
struct chardev *chardev_new_file(struct loop *loop, const char *path, struct error *err);

/* A new pseudo-terminal. Says on standard output, as QEMU does, where it is:
 * "char device redirected to /dev/pts/N (label LABEL)". NULL with `err` set on failure. */
struct chardev *chardev_new_pty(struct loop *loop, const char *label, struct error *err);
/* The name of a pty's terminal side, for `info chardev`. */
const char *chardev_pty_name(struct chardev *pty);

/* Several front ends share one backend: all write, one has the keyboard. Control-A is
 * the escape: h help, x calls quit(opaque), c next front end, b break, s nothing,
 * Control-A itself. The multiplexer owns `backend`; free the ports before it. */
struct chardev *chardev_new_mux(struct chardev *backend, void (*quit)(void *opaque), void *opaque);
/* A further front end of `mux`, at most 4. The first one has the keyboard. NULL when there are too many. */
struct chardev *chardev_mux_port(struct chardev *mux);

/* For tests: input is fed by hand, output is collected. */
struct chardev *chardev_new_memory(void);
/* Offer `len` bytes to the front end; what it cannot take yet waits. */
void chardev_memory_feed(struct chardev *chr, const void *buf, size_t len);
/* A line break or other event as the outside would cause it. */
void chardev_memory_event(struct chardev *chr, enum chardev_event event);
/* All output so far, NUL-terminated; `len` (may be NULL) gets its length. Valid until the next output. */
const char *chardev_memory_output(struct chardev *chr, size_t *len);
/* Forget the output so far. */
void chardev_memory_clear(struct chardev *chr);

#endif
