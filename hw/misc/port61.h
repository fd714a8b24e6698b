/* System control port B (0x61): speaker, refresh toggle, NMI sources. */
#ifndef MIMUS_HW_MISC_PORT61_H
#define MIMUS_HW_MISC_PORT61_H

#include <stdbool.h>

#include "hw/device.h"

struct port61;
struct i8254;

extern const struct state_table port61_state_table;

struct port61 *port61_new(struct hw_env *env, struct i8254 *pit);
void port61_free(struct port61 *p);
/* Does OUT2 reach the speaker? */
bool port61_speaker_on(const struct port61 *p);
/* May SERR# / IOCHK# cause an NMI? */
bool port61_serr_nmi_enabled(const struct port61 *p);
bool port61_iochk_nmi_enabled(const struct port61 *p);

#endif
