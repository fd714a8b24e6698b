/* What device tests share: an environment with memory and ports, recorded interrupt lines, disk images. */
#ifndef MIMUS_TESTS_UNIT_HW_FIXTURE_H
#define MIMUS_TESTS_UNIT_HW_FIXTURE_H

#include <pthread.h>

#include "base/lock.h"
#include "base/loop.h"
#include "block/block.h"
#include "hw/device.h"

#define HW_RAM_SIZE (16 << 20)
#define HW_NUM_LINES 32

struct hw_fixture {
    struct log log;
    struct hw_env env;
    int level[HW_NUM_LINES];  /* of the recorded lines */
    int raised[HW_NUM_LINES]; /* how often */
    struct lock lock;
    struct clock *host_clock;
    struct loop *loop;
};

/* A clock set by hand, 64 MiB of backing, empty address spaces. */
void hw_fixture_init(struct hw_fixture *f);
void hw_fixture_destroy(struct hw_fixture *f);
/* Line n, recorded in level[n] and raised[n]. */
struct irq_line hw_line(struct hw_fixture *f, int n);
/* Reset all devices. */
void hw_reset(struct hw_fixture *f);
/* RAM of HW_RAM_SIZE at address 0; for devices tested without a host bridge. */
struct mem_region *hw_add_ram(struct hw_fixture *f);

uint32_t hw_in(struct hw_fixture *f, uint16_t port, unsigned size);
void hw_out(struct hw_fixture *f, uint16_t port, uint32_t value, unsigned size);
/* Configuration mechanism 1. */
uint32_t hw_config_read(struct hw_fixture *f, unsigned devfn, unsigned reg, unsigned size);
void hw_config_write(struct hw_fixture *f, unsigned devfn, unsigned reg, uint32_t value, unsigned size);

/* A temporary image of `size` bytes in which byte i of sector s (512 bytes) is (uint8_t)(s * 7 + i). */
struct block *hw_image(struct hw_fixture *f, uint64_t size, bool read_only);
uint8_t hw_pattern(uint64_t sector, unsigned i);

#endif
