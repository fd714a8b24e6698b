/* Commands of the firmware's table loader: where tables go, which pointers and checksums it fixes there. */
#ifndef MIMUS_MACHINE_TABLE_LOADER_H
#define MIMUS_MACHINE_TABLE_LOADER_H

#include <glib.h>
#include <stdint.h>

enum loader_zone { LOADER_ZONE_HIGH = 1, LOADER_ZONE_FSEG = 2 };

/* Each appends one command to `script`. Place fw_cfg file `file`, aligned to `align` (a power of two). */
void table_loader_allocate(GByteArray *script, const char *file, uint32_t align, enum loader_zone zone);
/* Add the address of `src` to the `size` (1..8) bytes at `offset` of `dest`. */
void table_loader_pointer(GByteArray *script, const char *dest, const char *src, uint32_t offset,
                          uint8_t size);
/* Make bytes [start, start+len) of `file` sum up to 0 by the byte at `offset`, which is 0 so far. */
void table_loader_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start,
                           uint32_t len);

#endif
