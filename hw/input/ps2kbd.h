/* PS/2 keyboard (the device at the other end of the cable from the i8042). */
#ifndef MIMUS_HW_INPUT_PS2KBD_H
#define MIMUS_HW_INPUT_PS2KBD_H

#include <stdbool.h>

#include "hw/device.h"

struct ps2kbd;

/* Key codes are set 1 codes; bit 7 stands for the E0 prefix. */
enum { PS2KBD_EXTENDED = 0x80, PS2KBD_SYSRQ = 0x54, PS2KBD_PRINT = 0xb7, PS2KBD_PAUSE = 0xc6 };

extern const struct state_table ps2kbd_state_table;

/* `ready` is high while the keyboard has a byte to send. */
struct ps2kbd *ps2kbd_new(struct hw_env *env, const struct irq_line *ready);
void ps2kbd_free(struct ps2kbd *k);
/* A byte from the controller: a command or its argument. */
void ps2kbd_write(struct ps2kbd *k, uint8_t v);
/* Take the next byte; 0 if there is none. */
uint8_t ps2kbd_read(struct ps2kbd *k);
bool ps2kbd_pending(const struct ps2kbd *k);
/* A key goes down or up. Auto-repeat is the caller's: more downs. */
void ps2kbd_key(struct ps2kbd *k, uint8_t code, bool down);
/* Lamps: bit 0 scroll, 1 num, 2 caps lock. */
uint8_t ps2kbd_get_leds(const struct ps2kbd *k);
/* The translation of one set 2 byte into set 1 that the i8042 does. */
uint8_t ps2kbd_translate(uint8_t set2);

#endif
