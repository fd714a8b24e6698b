/* PS/2 mouse with wheel (IntelliMouse) and five buttons (IntelliMouse Explorer). */
#ifndef MIMUS_HW_INPUT_PS2MOUSE_H
#define MIMUS_HW_INPUT_PS2MOUSE_H

#include <stdbool.h>

#include "hw/device.h"

struct ps2mouse;

enum ps2mouse_button {
    PS2MOUSE_LEFT = 1,
    PS2MOUSE_RIGHT = 2,
    PS2MOUSE_MIDDLE = 4,
    PS2MOUSE_FOURTH = 8,
    PS2MOUSE_FIFTH = 16,
};

extern const struct state_table ps2mouse_state_table;

/* `ready` is high while the mouse has a byte to send. */
struct ps2mouse *ps2mouse_new(struct hw_env *env, const struct irq_line *ready);
void ps2mouse_free(struct ps2mouse *m);
/* A byte from the controller: a command or its argument. */
void ps2mouse_write(struct ps2mouse *m, uint8_t v);
/* Take the next byte; 0 if there is none. */
uint8_t ps2mouse_read(struct ps2mouse *m);
bool ps2mouse_pending(const struct ps2mouse *m);
/* Movement since the last call as a screen counts it: x to the right, y down, z
 * wheel towards the user; and the buttons that are down now (enum ps2mouse_button). */
void ps2mouse_move(struct ps2mouse *m, int dx, int dy, int dz, unsigned buttons);

#endif
