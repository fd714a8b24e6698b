/* IA-PC HPET: high precision event timers, three comparators. */
#ifndef MIMUS_HW_TIMER_HPET_H
#define MIMUS_HW_TIMER_HPET_H

#include <stdbool.h>

#include "hw/device.h"

struct hpet;

enum { HPET_LINES = 24 };

extern const struct state_table hpet_state_table;

/* The register block at guest-physical `base` (0xfed00000 on a PC). `irqs[n]` is
 * the line for interrupt route n (an I/O APIC input; 20..23 are offered), except
 * that irqs[0] and irqs[8] are ISA IRQ 0 and IRQ 8 for legacy replacement.
 * `legacy(opaque, on)` cuts the PIT's and the RTC's own lines while on. */
struct hpet *hpet_new(struct hw_env *env, uint64_t base, const struct irq_line irqs[HPET_LINES],
                      void (*legacy)(void *opaque, bool on), void *opaque);
void hpet_free(struct hpet *h);

#endif
