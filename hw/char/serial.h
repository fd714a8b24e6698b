/* 16550A UART. */
#ifndef MIMUS_HW_CHAR_SERIAL_H
#define MIMUS_HW_CHAR_SERIAL_H

#include "hw/device.h"

struct serial;
struct chardev;

extern const struct state_table serial_state_table;

/* Eight ports at `base`. `chr` may be NULL: what is sent is lost, nothing comes. The caller keeps `chr`. */
struct serial *serial_new(struct hw_env *env, uint16_t base, const struct irq_line *irq, struct chardev *chr);
void serial_free(struct serial *s);

#endif
