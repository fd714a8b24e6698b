/* ATA disks on an IDE channel: the command set is `ide_ata`, declared in hw/ide/ide_bus.h. */
#ifndef MIMUS_HW_IDE_ATA_H
#define MIMUS_HW_IDE_ATA_H

#include "hw/ide/ide_bus.h"

/* Default translation of a disk of `sectors` sectors: 16 heads, 63 sectors a track, at most
 * 16383 cylinders. */
uint16_t ata_default_cylinders(uint64_t sectors);

#endif
