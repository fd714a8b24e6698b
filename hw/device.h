/* What every device gets when it is created, and what the machine does to all
 * of them alike: reset, state. Devices know offsets, lines, a clock and their
 * backends; never the CPU or the board. All calls come with the machine lock held. */
#ifndef MIMUS_HW_DEVICE_H
#define MIMUS_HW_DEVICE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/state.h"
#include "hw/irq.h"
#include "memory/memory.h"

/* A device as the machine's list sees it. Embedded in or owned by the device. */
struct device {
    const char *name;
    void (*reset)(void *opaque);         /* power-on and hardware reset alike */
    const struct state_table *state;     /* covers *regs; NULL only for devices without guest-visible state */
    void *regs;
    void (*loaded)(void *opaque);        /* recompute what derives from regs after a load; may be NULL */
    void *opaque;
    struct device *next;
};

/* The surroundings in which devices are built. */
struct hw_env {
    struct log *log;
    struct clock *clock;
    struct memory *mem;           /* RAM backing */
    struct mem_space *memory;     /* guest-physical space: for DMA */
    struct mem_space *ports;      /* port space */
    struct mem_region *mem_root;  /* container of the memory space */
    struct mem_region *io_root;   /* container of the port space */
    struct device *devices;       /* list, newest first */
};

/* Add `dev` to the list. */
static inline void device_register(struct hw_env *env, struct device *dev)
{
    dev->next = env->devices;
    env->devices = dev;
}

#endif
