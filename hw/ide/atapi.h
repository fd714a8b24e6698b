/* ATAPI CD-ROM drives on an IDE channel: the command set is `ide_atapi`, declared in hw/ide/ide_bus.h. */
#ifndef MIMUS_HW_IDE_ATAPI_H
#define MIMUS_HW_IDE_ATAPI_H

#include "hw/ide/ide_bus.h"

/* Put in a medium, or take it out (NULL). The block device is not owned; the one before is
 * free afterwards. */
void atapi_set_media(struct ide_drive *d, struct block *block);

#endif
