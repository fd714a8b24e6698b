/* What the tests of the small PC devices share: an environment on a manual clock,
 * empty address spaces, lines that record. */
#ifndef MIMUS_TESTS_UNIT_DEVICE_FIXTURE_H
#define MIMUS_TESTS_UNIT_DEVICE_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "hw/device.h"

enum { DEV_LINES = 64 };

struct device_fixture {
    struct hw_env env;
    struct log log;
    int level[DEV_LINES]; /* as driven last */
    int rises[DEV_LINES];
};

static inline void dev_line_set(void *opaque, int n, int level)
{
    struct device_fixture *f = opaque;
    f->rises[n] += level && !f->level[n];
    f->level[n] = level;
}

static inline struct irq_line dev_line(struct device_fixture *f, int n)
{
    return (struct irq_line){ .set = dev_line_set, .opaque = f, .n = n };
}

static inline struct device_fixture *device_fixture_new(void)
{
    struct device_fixture *f = calloc(1, sizeof(*f));
    struct error err = { "" };
    ck_assert_ptr_nonnull(f);
    log_init(&f->log);
    f->env.log = &f->log;
    f->env.clock = clock_new_manual();
    f->env.mem = memory_new(UINT64_C(16) << 20, &f->log, &err);
    ck_assert_msg(f->env.mem != NULL, "%s", err.msg);
    f->env.mem_root = mem_container_new("memory", UINT64_C(1) << 40);
    f->env.io_root = mem_container_new("ports", 65536);
    f->env.memory = mem_space_new("memory", f->env.mem_root, &f->log);
    f->env.ports = mem_space_new("ports", f->env.io_root, &f->log);
    return f;
}

/* After the devices have been freed. */
static inline void device_fixture_free(struct device_fixture *f)
{
    mem_space_free(f->env.memory);
    mem_space_free(f->env.ports);
    mem_region_free(f->env.mem_root);
    mem_region_free(f->env.io_root);
    memory_free(f->env.mem);
    clock_free(f->env.clock);
    free(f);
}

static inline void dev_reset(struct device_fixture *f)
{
    for (struct device *d = f->env.devices; d; d = d->next)
        d->reset(d->opaque);
}

static inline uint8_t dev_in(struct device_fixture *f, uint16_t port)
{
    return (uint8_t)mem_read(f->env.ports, port, 1);
}

static inline void dev_out(struct device_fixture *f, uint16_t port, uint8_t v)
{
    mem_write(f->env.ports, port, v, 1);
}

static inline uint32_t dev_readl(struct device_fixture *f, uint64_t addr)
{
    return (uint32_t)mem_read(f->env.memory, addr, 4);
}

static inline void dev_writel(struct device_fixture *f, uint64_t addr, uint32_t v)
{
    mem_write(f->env.memory, addr, v, 4);
}

#endif
