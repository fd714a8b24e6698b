/* The map of RAM that the firmware is told. */
#ifndef MIMUS_MACHINE_E820_H
#define MIMUS_MACHINE_E820_H

#include <stdint.h>

struct fw_cfg;

/* Adds the file etc/e820: RAM of `below_4g` bytes from 0, and of `above_4g` bytes from 4 GiB. */
void e820_setup(struct fw_cfg *fw, uint64_t below_4g, uint64_t above_4g);

#endif
