/* Commands of the firmware's table loader, in the form that SeaBIOS's romfile_loader reads: 128 bytes each,
 * file names of 56 bytes, integers little-endian. */
#include "machine/table_loader.h"

#include <assert.h>
#include <string.h>

#include "base/bits.h"

enum { COMMAND_SIZE = 128, NAME_SIZE = 56 };
enum loader_command { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };

static void put_name(uint8_t *at, const char *name)
{
    size_t len = strlen(name);

    assert(len < NAME_SIZE);
    memcpy(at, name, len);
}

void table_loader_allocate(GByteArray *script, const char *file, uint32_t align, enum loader_zone zone)
{
    uint8_t c[COMMAND_SIZE] = { LOADER_ALLOCATE };

    put_name(c + 4, file);
    store_le(c + 60, 4, align);
    c[64] = (uint8_t)zone;
    g_byte_array_append(script, c, sizeof(c));
}

void table_loader_pointer(GByteArray *script, const char *dest, const char *src, uint32_t offset,
                          uint8_t size)
{
    uint8_t c[COMMAND_SIZE] = { LOADER_ADD_POINTER };

    put_name(c + 4, dest);
    put_name(c + 60, src);
    store_le(c + 116, 4, offset);
    c[120] = size;
    g_byte_array_append(script, c, sizeof(c));
}

void table_loader_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start,
                           uint32_t len)
{
    uint8_t c[COMMAND_SIZE] = { LOADER_ADD_CHECKSUM };

    put_name(c + 4, file);
    store_le(c + 60, 4, offset);
    store_le(c + 64, 4, start);
    store_le(c + 68, 4, len);
    g_byte_array_append(script, c, sizeof(c));
}
