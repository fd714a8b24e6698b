/* Debug console: one port whose bytes go to a character backend. */
#ifndef MIMUS_HW_CHAR_DEBUGCON_H
#define MIMUS_HW_CHAR_DEBUGCON_H

#include "hw/device.h"

struct debugcon;
struct chardev;

/* At port `base` (0xe9 or 0x402). `chr` may be NULL; the caller keeps it. It has no guest-visible state. */
struct debugcon *debugcon_new(struct hw_env *env, uint16_t base, struct chardev *chr);
void debugcon_free(struct debugcon *d);

#endif
