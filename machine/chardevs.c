/* From -serial, -monitor, -chardev and friends to character backends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "machine/keyval.h"
#include "machine/machine.h"
#include "ui/chardev.h"
#include "ui/chardev_backends.h"

static void mux_quit(void *opaque)
{
    machine_quit(opaque, 0);
}

static struct named_chardev *remember(struct machine *m, const char *id, struct chardev *chr, bool mux)
{
    struct named_chardev *n = &m->chardev[m->num_chardevs++];

    snprintf(n->id, sizeof(n->id), "%s", id);
    n->chr = mux ? chardev_new_mux(chr, mux_quit, m) : chr;
    n->mux = mux;
    return n;
}

static struct named_chardev *find(struct machine *m, const char *id)
{
    for (unsigned i = 0; i < m->num_chardevs; i++)
        if (!strcmp(m->chardev[i].id, id))
            return &m->chardev[i];
    return NULL;
}

/* A front end's end of a named device. */
static struct chardev *take(struct machine *m, struct named_chardev *n, const char *label, struct error *err)
{
    struct chardev *port;

    if (!n->mux) {
        if (n->taken) {
            error_set(err, -EBUSY, "%s: character device '%s' is already in use", label, n->id);
            return NULL;
        }
        n->taken = true;
        return n->chr;
    }
    port = m->num_ports < MACHINE_MAX_CHARDEVS ? chardev_mux_port(n->chr) : NULL;
    if (!port)
        error_set(err, -EBUSY, "%s: too many users of character device '%s'", label, n->id);
    else
        m->port[m->num_ports++] = port;
    return port;
}

/* Backend by kind; `path` only for file. */
static struct chardev *open_backend(struct machine *m, const char *kind, const char *path, const char *label,
                                    bool raw_signals, struct error *err)
{
    if (m->num_chardevs == MACHINE_MAX_CHARDEVS)
        error_set(err, -EINVAL, "%s: too many character devices", label);
    else if (!strcmp(kind, "null"))
        return chardev_new_null();
    else if (!strcmp(kind, "stdio"))
        return chardev_new_stdio(m->loop, raw_signals, err);
    else if (!strcmp(kind, "pty"))
        return chardev_new_pty(m->loop, label, err);
    else if (!strcmp(kind, "file") && path && *path)
        return chardev_new_file(m->loop, path, err);
    else if (!strcmp(kind, "file"))
        error_set(err, -EINVAL, "%s: file needs a path", label);
    else
        error_set(err, -EINVAL, "%s: no character device '%s'; there is stdio, null, none, file:PATH, pty, mon:stdio, "
                  "chardev:ID", label, kind);
    return NULL;
}

int machine_open_chardev(struct machine *m, const char *spec, const char *label, struct chardev **out, struct error *err)
{
    bool mon = !strncmp(spec, "mon:", 4);
    const char *kind = mon ? spec + 4 : spec;
    struct named_chardev *n;
    struct chardev *chr;

    *out = NULL;
    if (!strcmp(spec, "none"))
        return 0;
    if (!strncmp(spec, "chardev:", 8)) {
        n = find(m, spec + 8);
        if (!n)
            return error_set(err, -ENOENT, "%s: there is no character device '%s'", label, spec + 8);
    } else {
        bool file = !strncmp(kind, "file:", 5);
        chr = open_backend(m, file ? "file" : kind, file ? kind + 5 : NULL, label, mon, err);
        if (!chr)
            return -EINVAL;
        n = remember(m, label, chr, mon);
    }
    *out = take(m, n, label, err);
    if (*out && mon && !m->monitor_chr) {
        m->monitor_chr = take(m, n, label, err);
        m->monitor_shared = true;
    }
    return *out && (!mon || m->monitor_chr) ? 0 : -EINVAL;
}

/* -chardev KIND,id=ID[,path=PATH][,mux=on][,signal=off] */
static int open_named(struct machine *m, const char *text, struct error *err)
{
    static const char name[] = "-chardev";
    bool mux = false, signals = true;
    struct chardev *chr = NULL;
    struct keyval kv;
    const char *kind, *id, *path;
    int ret = keyval_parse(&kv, name, text, err);

    if (ret)
        return ret;
    kind = keyval_first(&kv);
    id = keyval_get(&kv, "id");
    path = keyval_get(&kv, "path");
    ret = -EINVAL;
    if (!kind || !id)
        error_set(err, -EINVAL, "-chardev %s: expected KIND,id=ID", text);
    else if (find(m, id))
        error_set(err, -EEXIST, "-chardev %s: the name '%s' is used already", text, id);
    else if (!keyval_get_bool(&kv, name, "mux", &mux, err) && !keyval_get_bool(&kv, name, "signal", &signals, err) &&
             !keyval_check_used(&kv, name, err))
        chr = open_backend(m, kind, path, id, mux || !signals, err);
    if (chr) {
        remember(m, id, chr, mux);
        ret = 0;
    }
    keyval_free(&kv);
    return ret;
}

/* What -serial and -monitor are when not given. */
static void defaults(const struct options *o, const char **serial, const char **monitor)
{
    *serial = *monitor = "none";
    if (o->nodefaults)
        return;
    if (o->nographic) {
        *serial = o->monitor ? "stdio" : "mon:stdio";
        *monitor = o->num_serial ? "stdio" : "none"; /* mon:stdio brings it */
        if (o->num_serial)
            for (unsigned i = 0; i < o->num_serial; i++)
                if (strstr(o->serial[i], "stdio"))
                    *monitor = "none";
        if (o->monitor && strstr(o->monitor, "stdio"))
            *serial = "null";
    } else {
        *serial = "null";
    }
}

/* -monitor chardev:ID may name a multiplexer. */
static int open_monitor(struct machine *m, const char *spec, struct error *err)
{
    unsigned ports = m->num_ports;
    int ret = machine_open_chardev(m, spec, "monitor", &m->monitor_chr, err);

    m->monitor_shared |= m->num_ports > ports;
    return ret;
}

int machine_open_chardevs(struct machine *m, struct error *err)
{
    static const char *const labels[] = { "serial0", "serial1", "serial2", "serial3" };
    const struct options *o = m->opt;
    const char *serial, *monitor;
    int ret = 0;

    defaults(o, &serial, &monitor);
    for (unsigned i = 0; !ret && i < o->num_chardev; i++)
        ret = open_named(m, o->chardev[i], err);
    for (unsigned i = 0; !ret && i < o->num_serial; i++)
        ret = machine_open_chardev(m, o->serial[i], labels[i], &m->serial[i], err);
    if (!ret && !o->num_serial)
        ret = machine_open_chardev(m, serial, labels[0], &m->serial[0], err);
    if (!ret && !m->monitor_chr)
        ret = open_monitor(m, o->monitor ? o->monitor : monitor, err);
    return ret;
}

void machine_close_chardevs(struct machine *m)
{
    while (m->num_ports)
        chardev_free(m->port[--m->num_ports]);
    while (m->num_chardevs)
        chardev_free(m->chardev[--m->num_chardevs].chr);
}
