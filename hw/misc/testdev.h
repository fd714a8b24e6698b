/* The test device of kvm-unit-tests: scratch port, interrupt injection, scratch MMIO. */
#ifndef MIMUS_HW_MISC_TESTDEV_H
#define MIMUS_HW_MISC_TESTDEV_H

#include "hw/device.h"

struct testdev;

enum { TESTDEV_LINES = 24 };

extern const struct state_table testdev_state_table;

/* Ports 0xe0..0xe7 and 0x2000..0x2017, 64 KiB of MMIO at 0xff000000. A write of v
 * to port 0x2000 + n drives irqs[n]. */
struct testdev *testdev_new(struct hw_env *env, const struct irq_line irqs[TESTDEV_LINES]);
void testdev_free(struct testdev *t);

#endif
