/* The map of RAM for the firmware: entries of address, length (64 bits each), type, as SeaBIOS reads them. */
#include "machine/e820.h"

#include "base/bits.h"
#include "hw/misc/fw_cfg.h"

enum { ENTRY_SIZE = 20, E820_RAM = 1 };
#define FOUR_GIB (UINT64_C(1) << 32)

static void put_ram(uint8_t *entry, uint64_t base, uint64_t size)
{
    store_le(entry, 8, base);
    store_le(entry + 8, 8, size);
    store_le(entry + 16, 4, E820_RAM);
}

void e820_setup(struct fw_cfg *fw, uint64_t below_4g, uint64_t above_4g)
{
    uint8_t map[2 * ENTRY_SIZE];

    put_ram(map, 0, below_4g);
    put_ram(map + ENTRY_SIZE, FOUR_GIB, above_4g);
    fw_cfg_add_file(fw, "etc/e820", map, above_4g ? 2 * ENTRY_SIZE : ENTRY_SIZE);
}
