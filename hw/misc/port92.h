/* System control port A (0x92): fast A20 and fast reset. */
#ifndef MIMUS_HW_MISC_PORT92_H
#define MIMUS_HW_MISC_PORT92_H

#include "hw/device.h"

struct port92;

extern const struct state_table port92_state_table;

/* `a20` carries bit 1 (the board ORs it with the keyboard controller's); `reset` gets a pulse. */
struct port92 *port92_new(struct hw_env *env, const struct irq_line *a20, const struct irq_line *reset);
void port92_free(struct port92 *p);

#endif
