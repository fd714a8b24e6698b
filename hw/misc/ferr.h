/* The coprocessor error latch: FERR# to IRQ 13, cleared by port 0xF0. */
#ifndef MIMUS_HW_MISC_FERR_H
#define MIMUS_HW_MISC_FERR_H

#include "hw/device.h"

struct ferr;

extern const struct state_table ferr_state_table;

/* Port 0xF0. `irq` is ISA interrupt 13. */
struct ferr *ferr_new(struct hw_env *env, const struct irq_line *irq);
void ferr_free(struct ferr *f);
/* The processor's FERR# goes active (1) or inactive (0); `opaque` is the struct ferr. */
void ferr_set(void *opaque, int n, int level);

#endif
