/* Devices that -device and -debugcon add: one row each. */
#include "machine/pc_isa.h"

#include <errno.h>

#include "base/bits.h"
#include "base/error.h"
#include "hw/char/debugcon.h"
#include "hw/char/serial.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/misc/debugexit.h"
#include "hw/misc/testdev.h"
#include "machine/keyval.h"
#include "machine/pc.h"

static void exit_machine(void *opaque, int status)
{
    machine_quit(opaque, status & 0xff);
}

/* Port number `key`, with a default; at most 0xffff. */
static int get_port(struct keyval *kv, const char *driver, const char *key, uint64_t *port, struct error *err)
{
    if (keyval_get_number(kv, driver, key, port, err))
        return -EINVAL;
    return *port <= 0xffff ? 0 : error_set(err, -EINVAL, "-device %s: %s is no port", driver, key);
}

/* The character device that chardev=ID names, or none. */
static int get_chardev(struct machine *m, struct keyval *kv, const char *driver, struct chardev **chr, struct error *err)
{
    const char *id = keyval_get(kv, "chardev");
    char spec[64];

    *chr = NULL;
    if (!id)
        return 0;
    snprintf(spec, sizeof(spec), "chardev:%s", id);
    return machine_open_chardev(m, spec, driver, chr, err);
}

static int build_debug_exit(struct machine *m, struct keyval *kv, unsigned n, struct error *err)
{
    uint64_t base = 0x501, size = 2;

    if (get_port(kv, "isa-debug-exit", "iobase", &base, err) || keyval_get_number(kv, "isa-debug-exit", "iosize", &size, err))
        return -EINVAL;
    if (size < 1 || size > 4)
        return error_set(err, -EINVAL, "-device isa-debug-exit: iosize is 1 to 4");
    m->pc->debugexit[n] = debugexit_new(&m->env, (uint16_t)base, (unsigned)size, exit_machine, m);
    return 0;
}

static int build_debugcon(struct machine *m, struct keyval *kv, unsigned n, struct error *err)
{
    uint64_t base = 0xe9;
    struct chardev *chr;

    if (get_port(kv, "isa-debugcon", "iobase", &base, err) || get_chardev(m, kv, "isa-debugcon", &chr, err))
        return -EINVAL;
    m->pc->debugcon[n] = debugcon_new(&m->env, (uint16_t)base, chr);
    return 0;
}

static int build_serial(struct machine *m, struct keyval *kv, unsigned n, struct error *err)
{
    uint64_t base = 0x3f8, irq = 4;
    struct chardev *chr;
    struct irq_line line;

    if (get_port(kv, "isa-serial", "iobase", &base, err) || keyval_get_number(kv, "isa-serial", "irq", &irq, err) ||
        get_chardev(m, kv, "isa-serial", &chr, err))
        return -EINVAL;
    if (irq > 15)
        return error_set(err, -EINVAL, "-device isa-serial: irq is 0 to 15");
    line = pc_gsi(m->pc, (int)irq);
    m->pc->extra_serial[n] = serial_new(&m->env, (uint16_t)base, &line, chr);
    return 0;
}

static int build_testdev(struct machine *m, struct keyval *kv, unsigned n, struct error *err)
{
    struct irq_line lines[TESTDEV_LINES];

    (void)kv, (void)n;
    if (m->pc->testdev)
        return error_set(err, -EINVAL, "-device pc-testdev: there can be only one");
    for (int i = 0; i < TESTDEV_LINES; i++)
        lines[i] = pc_gsi(m->pc, i);
    m->pc->testdev = testdev_new(&m->env, lines);
    return 0;
}

static const struct {
    const char *driver;
    int (*build)(struct machine *m, struct keyval *kv, unsigned n, struct error *err);
} drivers[] = {
    { "isa-debug-exit", build_debug_exit },
    { "isa-debugcon", build_debugcon },
    { "isa-serial", build_serial },
    { "pc-testdev", build_testdev },
};

static int build_one(struct machine *m, unsigned n, struct error *err)
{
    const struct device_option *d = &m->opt->device[n];
    struct keyval kv = { .num = 0 };
    int ret = 0;

    if (*d->args && keyval_parse(&kv, d->driver, d->args, err))
        return -EINVAL;
    for (unsigned i = 0; !ret && i < ARRAY_LEN(drivers); i++)
        if (!strcmp(drivers[i].driver, d->driver))
            ret = drivers[i].build(m, &kv, n, err);
    keyval_get(&kv, "id");
    if (!ret)
        ret = keyval_check_used(&kv, d->driver, err);
    keyval_free(&kv);
    return ret;
}

int pc_build_isa_devices(struct machine *m, struct error *err)
{
    int ret = 0;

    for (unsigned i = 0; !ret && i < m->opt->num_devices; i++)
        ret = build_one(m, i, err);
    if (!ret && m->opt->debugcon) {
        struct chardev *chr;
        ret = machine_open_chardev(m, m->opt->debugcon, "debugcon", &chr, err);
        if (!ret)
            m->pc->debugcon[OPT_MAX_LIST - 1] = debugcon_new(&m->env, 0xe9, chr);
    }
    return ret;
}

void pc_free_isa_devices(struct pc *pc)
{
    for (unsigned i = 0; i < OPT_MAX_LIST; i++) {
        debugcon_free(pc->debugcon[i]);
        debugexit_free(pc->debugexit[i]);
        serial_free(pc->extra_serial[i]);
    }
    testdev_free(pc->testdev);
}
