/* Intel 82093AA I/O APIC: 24 inputs to local-APIC messages. */
#ifndef MIMUS_HW_INTC_IOAPIC_H
#define MIMUS_HW_INTC_IOAPIC_H

#include "hw/device.h"

struct ioapic;
struct lapic_bus;

enum { IOAPIC_PINS = 24 };

extern const struct state_table ioapic_state_table;

/* At guest-physical `base` (0xfec00000 on a PC). Becomes the EOI receiver of `bus`. */
struct ioapic *ioapic_new(struct hw_env *env, uint64_t base, struct lapic_bus *bus);
void ioapic_free(struct ioapic *io);
/* Drive input `n` (0..23): level 1 is "asserted", whatever the polarity on the
 * wire. `opaque` is the struct ioapic. */
void ioapic_set_irq(void *opaque, int n, int level);

#endif
