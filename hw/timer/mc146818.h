/* Motorola MC146818: real-time clock and CMOS memory. */
#ifndef MIMUS_HW_TIMER_MC146818_H
#define MIMUS_HW_TIMER_MC146818_H

#include <stdbool.h>

#include "hw/device.h"

struct mc146818;

extern const struct state_table mc146818_state_table;

/* Ports 0x70/0x71, IRQ 8 on `irq`. `epoch` is what the calendar shows at virtual
 * time 0, in seconds since 1970 (any time zone: the chip knows none). */
struct mc146818 *mc146818_new(struct hw_env *env, int64_t epoch, const struct irq_line *irq);
void mc146818_free(struct mc146818 *rtc);
/* CMOS memory, for what the firmware looks up there: idx 14..127 (other than 0x32, the century). */
void mc146818_set_cmos(struct mc146818 *rtc, unsigned idx, uint8_t val);
uint8_t mc146818_get_cmos(const struct mc146818 *rtc, unsigned idx);
/* Bit 7 of port 0x70: NMI is masked. */
bool mc146818_nmi_masked(const struct mc146818 *rtc);
/* HPET legacy replacement: while cut, the interrupt does not reach the line. */
void mc146818_set_irq_cut(struct mc146818 *rtc, bool cut);

#endif
