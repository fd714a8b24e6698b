/* Intel 8237A: the PC's two DMA controllers and page registers. */
#ifndef MIMUS_HW_DMA_I8237_H
#define MIMUS_HW_DMA_I8237_H

#include <stdbool.h>

#include "hw/device.h"

struct i8237;

extern const struct state_table i8237_state_table;

/* Ports 0x00..0x0f, 0x80..0x8f (0x80: POST codes), 0xc0..0xdf. */
struct i8237 *i8237_new(struct hw_env *env);
void i8237_free(struct i8237 *d);
/* Would channel `ch` (0..3, 5..7) answer a DREQ now: unmasked and its controller enabled? */
bool i8237_channel_ready(const struct i8237 *d, int ch);
/* A device moves up to `len` bytes by channel `ch`: from guest memory into `buf`,
 * or from `buf` into guest memory. Returns the bytes moved, 0 while the channel is
 * not ready; `*tc` (may be NULL) tells whether the count ran out: the call ends
 * there. Channels 5..7 move 16-bit units: an odd byte is left. A channel programmed
 * for verify or for the other direction counts without touching memory; `buf` then
 * reads as zero. */
size_t i8237_read_memory(struct i8237 *d, int ch, void *buf, size_t len, bool *tc);
size_t i8237_write_memory(struct i8237 *d, int ch, const void *buf, size_t len, bool *tc);

#endif
