/* Intel 8042 keyboard and mouse controller. */
#ifndef MIMUS_HW_INPUT_I8042_H
#define MIMUS_HW_INPUT_I8042_H

#include "hw/device.h"

struct i8042;
struct ps2kbd;
struct ps2mouse;

extern const struct state_table i8042_state_table;

struct i8042_lines {
    struct irq_line irq1;
    struct irq_line irq12;
    struct irq_line a20;   /* bit 1 of the output port; high after reset */
    struct irq_line reset; /* gets a pulse */
};

/* Ports 0x60 and 0x64. Brings its keyboard and mouse along and owns them. */
struct i8042 *i8042_new(struct hw_env *env, const struct i8042_lines *lines);
void i8042_free(struct i8042 *c);
struct ps2kbd *i8042_get_kbd(struct i8042 *c);
struct ps2mouse *i8042_get_mouse(struct i8042 *c);

#endif
