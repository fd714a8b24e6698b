/* Intel 8254 interval timer: system tick, refresh, speaker. */
#ifndef MIMUS_HW_TIMER_I8254_H
#define MIMUS_HW_TIMER_I8254_H

#include <stdbool.h>

#include "hw/device.h"

struct i8254;

enum { I8254_HZ = 1193182 };

extern const struct state_table i8254_state_table;

/* Ports 0x40..0x43. `irq0` is OUT of counter 0. */
struct i8254 *i8254_new(struct hw_env *env, const struct irq_line *irq0);
void i8254_free(struct i8254 *p);
/* Level of OUT of counter `ch` (0..2) now. */
int i8254_get_out(struct i8254 *p, int ch);
/* GATE of counter `ch` (0..2); those of 0 and 1 are tied high on a PC. */
void i8254_set_gate(struct i8254 *p, int ch, bool level);
int i8254_get_gate(const struct i8254 *p, int ch);
/* HPET legacy replacement: while cut, OUT0 does not reach the line. */
void i8254_set_irq_cut(struct i8254 *p, bool cut);
/* For the speaker: frequency of counter `ch` in millihertz while it runs as a rate
 * or square-wave generator, else 0. */
uint64_t i8254_get_millihertz(const struct i8254 *p, int ch);

#endif
