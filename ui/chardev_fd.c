/* Character backends over file descriptors: files and pseudo-terminals here, stdio in chardev_stdio.c.
 *
 * Input is watched only while the front end takes bytes, so that a full one
 * costs nothing; at its end it is watched no more. Output that the other side
 * does not take waits in a queue, up to OUT_BOUND bytes; more is dropped. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/loop.h"
#include "ui/chardev_internal.h"

#define OUT_BOUND (1 << 20)
#define FLUSH_MS 1000 /* how long free waits for the other side to take anything */

void chardev_fd_init(struct chardev_fd *c, const struct chardev_ops *ops, struct loop *loop, int in_fd,
                     int out_fd)
{
    *c = (struct chardev_fd){ .chr.ops = ops, .loop = loop, .in_fd = in_fd, .out_fd = out_fd };
}

static void fd_unwatch(struct chardev_fd *c, unsigned *watch)
{
    if (*watch)
        loop_unwatch(c->loop, *watch);
    *watch = 0;
}

/* The other side of the output is gone. */
static void fd_out_dead(struct chardev_fd *c)
{
    fd_unwatch(c, &c->out_watch);
    byte_queue_free(&c->out);
    if (c->out_fd != c->in_fd)
        close(c->out_fd);
    c->out_fd = -1;
}

/* Write what goes without waiting. Returns what was taken; 0 when the other side is slow or gone. */
static size_t fd_write_some(struct chardev_fd *c, const uint8_t *buf, size_t len)
{
    ssize_t n;
    do {
        n = write(c->out_fd, buf, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        fd_out_dead(c);
    return n > 0 ? (size_t)n : 0;
}

static void fd_flush_queue(struct chardev_fd *c)
{
    while (c->out.len) {
        size_t n = fd_write_some(c, byte_queue_data(&c->out), c->out.len);
        if (!n)
            return;
        byte_queue_drop(&c->out, n);
    }
}

static void fd_writable(void *opaque, unsigned events)
{
    struct chardev_fd *c = opaque;
    if (events & LOOP_WRITE)
        fd_flush_queue(c);
    else if (events & LOOP_HUP)
        fd_out_dead(c);
    if (!c->out.len)
        fd_unwatch(c, &c->out_watch);
}

void chardev_fd_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    struct chardev_fd *c = container_of(chr, struct chardev_fd, chr);
    while (len && c->out_fd >= 0 && !c->out.len) {
        size_t n = fd_write_some(c, buf, len);
        if (!n)
            break;
        buf += n;
        len -= n;
    }
    if (!len || c->out_fd < 0)
        return;
    byte_queue_put(&c->out, buf, len, OUT_BOUND);
    if (!c->out_watch)
        c->out_watch = loop_watch(c->loop, c->out_fd, LOOP_WRITE, fd_writable, c);
}

static void fd_in_end(struct chardev_fd *c)
{
    fd_unwatch(c, &c->in_watch);
    if (c->in_fd != c->out_fd)
        close(c->in_fd);
    c->in_fd = -1;
    chardev_send_event(&c->chr, CHARDEV_CLOSED);
}

static void fd_readable(void *opaque, unsigned events)
{
    struct chardev_fd *c = opaque;
    uint8_t buf[4096];
    size_t room = chardev_can_receive(&c->chr);
    (void)events;
    if (!room) {
        fd_unwatch(c, &c->in_watch);
        return;
    }
    ssize_t n = read(c->in_fd, buf, MIN_OF(room, sizeof(buf)));
    if (n > 0)
        chardev_receive(&c->chr, buf, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        fd_in_end(c);
}

void chardev_fd_accept(struct chardev *chr)
{
    struct chardev_fd *c = container_of(chr, struct chardev_fd, chr);
    if (c->in_fd >= 0 && !c->in_watch && chardev_can_receive(chr))
        c->in_watch = loop_watch(c->loop, c->in_fd, LOOP_READ, fd_readable, c);
}

void chardev_fd_destroy(struct chardev_fd *c)
{
    while (c->flush && c->out.len) {
        struct pollfd poller = { .fd = c->out_fd, .events = POLLOUT };
        int ready = poll(&poller, 1, FLUSH_MS);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            break;
        if (ready > 0)
            fd_flush_queue(c);
    }
    fd_unwatch(c, &c->in_watch);
    fd_unwatch(c, &c->out_watch);
    if (c->in_fd >= 0)
        close(c->in_fd);
    if (c->out_fd >= 0 && c->out_fd != c->in_fd)
        close(c->out_fd);
    byte_queue_free(&c->out);
}

/* ---- file ---- */

static void file_free(struct chardev *chr)
{
    struct chardev_fd *c = container_of(chr, struct chardev_fd, chr);
    chardev_fd_destroy(c);
    free(c);
}

static const struct chardev_ops file_ops = { .write = chardev_fd_write, .free = file_free };

struct chardev *chardev_new_file(struct loop *loop, const char *path, struct error *err)
{
    /* O_NONBLOCK is for FIFOs and terminals; it has no effect on a regular file. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0) {
        error_set(err, -errno, "%s: %s", path,
                  errno == ENXIO ? "nobody reads from this FIFO" : strerror(errno));
        return NULL;
    }
    struct chardev_fd *c = malloc(sizeof(*c));
    assert(c);
    chardev_fd_init(c, &file_ops, loop, -1, fd);
    c->flush = true;
    return &c->chr;
}

/* ---- pty ---- */

struct chardev_pty {
    struct chardev_fd fd;
    int terminal; /* the other side, held open: else the first to close it would end the device */
    char name[64];
};

static void pty_free(struct chardev *chr)
{
    struct chardev_pty *pty = container_of(chr, struct chardev_pty, fd.chr);
    chardev_fd_destroy(&pty->fd);
    if (pty->terminal >= 0)
        close(pty->terminal);
    free(pty);
}

static const struct chardev_ops pty_ops = {
    .write = chardev_fd_write, .accept = chardev_fd_accept, .free = pty_free,
};

static int pty_open(struct chardev_pty *pty, int fd)
{
    struct termios tio;
    if (grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, pty->name, sizeof(pty->name)))
        return -errno;
    pty->terminal = open(pty->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->terminal < 0 || tcgetattr(pty->terminal, &tio) < 0)
        return -errno;
    cfmakeraw(&tio);
    return tcsetattr(pty->terminal, TCSANOW, &tio) < 0 ? -errno : 0;
}

struct chardev *chardev_new_pty(struct loop *loop, const char *label, struct error *err)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        error_set(err, -errno, "cannot open a pseudo-terminal: %s", strerror(errno));
        return NULL;
    }
    struct chardev_pty *pty = calloc(1, sizeof(*pty));
    assert(pty);
    pty->terminal = -1;
    chardev_fd_init(&pty->fd, &pty_ops, loop, fd, fd);
    int ret = pty_open(pty, fd);
    if (ret) {
        error_set(err, ret, "cannot set up a pseudo-terminal: %s", strerror(-ret));
        pty_free(&pty->fd.chr);
        return NULL;
    }
    printf("char device redirected to %s (label %s)\n", pty->name, label);
    fflush(stdout);
    return &pty->fd.chr;
}

const char *chardev_pty_name(struct chardev *chr)
{
    return container_of(chr, struct chardev_pty, fd.chr)->name;
}
