/* Names of keys, for `sendkey`. */
#ifndef MIMUS_MONITOR_KEYS_H
#define MIMUS_MONITOR_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* Set 1 code of the key called by the `len` characters at `name` (bit 7: E0 prefix), or 0. */
uint8_t key_code(const char *name, size_t len);

#endif
