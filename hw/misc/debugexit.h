/* Debug exit: a port that ends the machine with a status. */
#ifndef MIMUS_HW_MISC_DEBUGEXIT_H
#define MIMUS_HW_MISC_DEBUGEXIT_H

#include "hw/device.h"

struct debugexit;

/* `iosize` (1..4) ports at `iobase`. A write of v calls
 * exit(opaque, (v << 1) | 1). No guest-visible state. */
struct debugexit *debugexit_new(struct hw_env *env, uint16_t iobase, unsigned iosize,
                                void (*exit)(void *opaque, int status), void *opaque);
void debugexit_free(struct debugexit *d);

#endif
