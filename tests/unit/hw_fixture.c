/* What device tests share: an environment with memory and ports, recorded interrupt lines, disk images. */
#include "hw_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

static void line_set(void *opaque, int n, int level)
{
    struct hw_fixture *f = opaque;

    if (level && !f->level[n])
        f->raised[n]++;
    f->level[n] = level;
}

struct irq_line hw_line(struct hw_fixture *f, int n)
{
    return (struct irq_line){ line_set, f, n };
}

void hw_fixture_init(struct hw_fixture *f)
{
    struct error err = { "" };

    *f = (struct hw_fixture){ 0 };
    lock_init(&f->lock);
    log_init(&f->log);
    f->env.log = &f->log;
    f->env.clock = clock_new_manual();
    f->env.mem = memory_new(64 << 20, &f->log, &err);
    ck_assert_ptr_nonnull(f->env.mem);
    f->env.mem_root = mem_container_new("memory", UINT64_C(1) << 40);
    f->env.io_root = mem_container_new("ports", 65536);
    f->env.memory = mem_space_new("memory", f->env.mem_root, &f->log);
    f->env.ports = mem_space_new("ports", f->env.io_root, &f->log);
    f->host_clock = clock_new();
    f->loop = loop_new(f->host_clock, &f->lock);
}

void hw_fixture_destroy(struct hw_fixture *f)
{
    mem_space_free(f->env.memory);
    mem_space_free(f->env.ports);
    mem_region_free(f->env.mem_root);
    mem_region_free(f->env.io_root);
    memory_free(f->env.mem);
    clock_free(f->env.clock);
    loop_free(f->loop);
    clock_free(f->host_clock);
}

void hw_reset(struct hw_fixture *f)
{
    for (struct device *d = f->env.devices; d; d = d->next)
        d->reset(d->opaque);
}

struct mem_region *hw_add_ram(struct hw_fixture *f)
{
    struct mem_region *ram = mem_ram_new(f->env.mem, "ram", HW_RAM_SIZE, NULL);

    ck_assert_ptr_nonnull(ram);
    mem_region_add(f->env.mem_root, 0, ram, 0);
    return ram;
}

uint32_t hw_in(struct hw_fixture *f, uint16_t port, unsigned size)
{
    return (uint32_t)mem_read(f->env.ports, port, size);
}

void hw_out(struct hw_fixture *f, uint16_t port, uint32_t value, unsigned size)
{
    mem_write(f->env.ports, port, value, size);
}

uint32_t hw_config_read(struct hw_fixture *f, unsigned devfn, unsigned reg, unsigned size)
{
    hw_out(f, 0xCF8, 0x80000000u | devfn << 8 | (reg & 0xFC), 4);
    return hw_in(f, (uint16_t)(0xCFC + (reg & 3)), size);
}

void hw_config_write(struct hw_fixture *f, unsigned devfn, unsigned reg, uint32_t value, unsigned size)
{
    hw_out(f, 0xCF8, 0x80000000u | devfn << 8 | (reg & 0xFC), 4);
    hw_out(f, (uint16_t)(0xCFC + (reg & 3)), value, size);
}

uint8_t hw_pattern(uint64_t sector, unsigned i)
{
    return (uint8_t)(sector * 7 + i);
}

struct block *hw_image(struct hw_fixture *f, uint64_t size, bool read_only)
{
    char path[] = "/tmp/mimus-hw-XXXXXX";
    struct block_options opt = { .file = path, .format = "raw", .read_only = read_only };
    struct error err = { "" };
    uint8_t *data = malloc(size);
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_ptr_nonnull(data);
    for (uint64_t i = 0; i < size; i++)
        data[i] = hw_pattern(i / 512, i % 512);
    ck_assert_int_eq(write(fd, data, size), size);
    free(data);
    close(fd);
    struct block *b = block_open(&opt, f->loop, &err);
    ck_assert_msg(b != NULL, "%s", err.msg);
    unlink(path);
    return b;
}
