/* The multiplexer: several front ends over one backend, with Control-A as the escape. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "ui/chardev_internal.h"

#define MUX_PORTS 4
#define MUX_ESCAPE 0x01 /* Control-A */
/* What a front end that takes nothing may pile up. Only then does input stop,
 * and with it the escape: nobody types that much at a guest that hangs. */
#define MUX_INPUT 4096

struct mux;

struct mux_port {
    struct chardev chr;
    struct mux *mux;
    struct byte_queue input;
    bool used;
};

struct mux {
    struct chardev chr;
    struct chardev *backend;
    void (*quit)(void *opaque);
    void *quit_opaque;
    unsigned focus;   /* index of the port that has the keyboard */
    bool escaped;     /* the last byte was the escape */
    struct mux_port ports[MUX_PORTS];
};

static const char mux_help[] =
    "\r\n"
    "C-a h    this help\r\n"
    "C-a x    leave the emulator\r\n"
    "C-a c    switch between console and monitor\r\n"
    "C-a b    send a break\r\n"
    "C-a s    write snapshot data back (nothing to do here)\r\n"
    "C-a C-a  send C-a\r\n";

static void mux_switch(struct mux *m)
{
    unsigned next = m->focus;
    do {
        next = (next + 1) % MUX_PORTS;
    } while (next != m->focus && !m->ports[next].used);
    if (next == m->focus)
        return;
    chardev_send_event(&m->ports[m->focus].chr, CHARDEV_FOCUS_OUT);
    m->focus = next;
    chardev_send_event(&m->ports[next].chr, CHARDEV_FOCUS_IN);
}

static void mux_command(struct mux *m, uint8_t key)
{
    switch (key) {
    case 'h':
    case '?':
        chardev_write(m->backend, mux_help, sizeof(mux_help) - 1);
        break;
    case 'x':
        if (m->quit)
            m->quit(m->quit_opaque);
        break;
    case 'c':
        mux_switch(m);
        break;
    case 'b':
        chardev_send_event(&m->ports[m->focus].chr, CHARDEV_BREAK);
        break;
    case MUX_ESCAPE:
        byte_queue_put(&m->ports[m->focus].input, &key, 1, MUX_INPUT);
        break;
    default:
        break;
    }
}

static int mux_can_receive(void *opaque)
{
    struct mux *m = opaque;
    size_t most = 0;
    for (unsigned i = 0; i < MUX_PORTS; i++)
        most = MAX_OF(most, m->ports[i].input.len);
    return (int)(MUX_INPUT - most);
}

static void mux_receive(void *opaque, const uint8_t *buf, size_t len)
{
    struct mux *m = opaque;
    for (size_t i = 0; i < len; i++) {
        if (m->escaped) {
            m->escaped = false;
            mux_command(m, buf[i]);
        } else if (buf[i] == MUX_ESCAPE) {
            m->escaped = true;
        } else {
            byte_queue_put(&m->ports[m->focus].input, &buf[i], 1, MUX_INPUT);
        }
    }
    for (unsigned i = 0; i < MUX_PORTS; i++)
        byte_queue_deliver(&m->ports[i].input, &m->ports[i].chr);
}

static void mux_event(void *opaque, enum chardev_event event)
{
    struct mux *m = opaque;
    for (unsigned i = 0; i < MUX_PORTS; i++)
        if (m->ports[i].used && (event != CHARDEV_BREAK || i == m->focus))
            chardev_send_event(&m->ports[i].chr, event);
}

static void port_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    struct mux_port *port = container_of(chr, struct mux_port, chr);
    chardev_write(port->mux->backend, buf, len);
}

static void port_accept(struct chardev *chr)
{
    struct mux_port *port = container_of(chr, struct mux_port, chr);
    byte_queue_deliver(&port->input, chr);
    chardev_accept_input(port->mux->backend);
}

/* A port's memory is the multiplexer's: it only becomes free for another. */
static void port_free(struct chardev *chr)
{
    struct mux_port *port = container_of(chr, struct mux_port, chr);
    port->chr.handler = (struct chardev_handler){ 0 };
    if (&port->mux->ports[port->mux->focus] == port)
        mux_switch(port->mux);
    port->used = false;
    byte_queue_free(&port->input);
}

static void mux_write(struct chardev *chr, const uint8_t *buf, size_t len)
{
    chardev_write(container_of(chr, struct mux, chr)->backend, buf, len);
}

static void mux_free(struct chardev *chr)
{
    struct mux *m = container_of(chr, struct mux, chr);
    for (unsigned i = 0; i < MUX_PORTS; i++)
        byte_queue_free(&m->ports[i].input);
    chardev_free(m->backend);
    free(m);
}

static const struct chardev_ops mux_ops = { .write = mux_write, .free = mux_free };
static const struct chardev_ops port_ops = { .write = port_write, .accept = port_accept, .free = port_free };

struct chardev *chardev_new_mux(struct chardev *backend, void (*quit)(void *opaque), void *opaque)
{
    struct mux *m = calloc(1, sizeof(*m));
    assert(m);
    m->chr.ops = &mux_ops;
    m->backend = backend;
    m->quit = quit;
    m->quit_opaque = opaque;
    for (unsigned i = 0; i < MUX_PORTS; i++)
        m->ports[i] = (struct mux_port){ .chr.ops = &port_ops, .mux = m };
    chardev_set_handler(backend, &(struct chardev_handler){ mux_can_receive, mux_receive, mux_event, m });
    return &m->chr;
}

struct chardev *chardev_mux_port(struct chardev *chr)
{
    struct mux *m = container_of(chr, struct mux, chr);
    for (unsigned i = 0; i < MUX_PORTS; i++) {
        if (!m->ports[i].used) {
            m->ports[i].used = true;
            if (!m->ports[m->focus].used)
                m->focus = i;
            return &m->ports[i].chr;
        }
    }
    return NULL;
}
