/* Intel 8259A: the cascaded pair of interrupt controllers of the PC. */
#ifndef MIMUS_HW_INTC_I8259_H
#define MIMUS_HW_INTC_I8259_H

#include "hw/device.h"

struct i8259;

extern const struct state_table i8259_state_table;

/* Ports 0x20/0x21, 0xa0/0xa1, 0x4d0/0x4d1. `intr` is the master's INT output. */
struct i8259 *i8259_new(struct hw_env *env, const struct irq_line *intr);
void i8259_free(struct i8259 *p);
/* Drive input `n` (0..15; 2 is the cascade and ignored); `opaque` is the struct i8259. */
void i8259_set_irq(void *opaque, int n, int level);
/* The two INTA cycles: the vector, 0..255; a spurious one if no request is left. */
int i8259_ack(struct i8259 *p);

#endif
