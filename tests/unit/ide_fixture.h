/* What the tests of hw/ide share: a PIIX IDE function with a disk and a CD drive behind its legacy ports. */
#ifndef MIMUS_TESTS_UNIT_IDE_FIXTURE_H
#define MIMUS_TESTS_UNIT_IDE_FIXTURE_H

#include "hw/ide/piix_ide.h"
#include "hw_fixture.h"

enum { IDE_FN = PCI_DEVFN(1, 1), BM = 0xC000, CMD = 0x1F0, CTL = 0x3F6, IRQ14 = 14, IRQ15 = 15 };
enum { DISK_SECTORS = 3000, CD_SECTORS = 200 };
enum { NSECTOR = CMD + 2, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS };

struct ide_fixture {
    struct hw_fixture hw;
    struct mem_region *pci_memory, *ram;
    struct pci_bus *bus;
    struct piix_ide *ide;
    struct block *disk, *cd;
};

/* Disk: primary master; CD: primary slave; the secondary channel is empty. Decoding and bus
 * mastering are on. */
void ide_setup(struct ide_fixture *f);
void ide_teardown(struct ide_fixture *f);
/* Let the images finish. */
void ide_wait(struct ide_fixture *f);
/* Select, fill the command block, issue. */
void ide_issue(struct ide_fixture *f, uint8_t device, uint8_t feature, uint8_t count, uint32_t lba,
               uint8_t command);
/* `words` words from the data register into `buf`. */
void ide_pull(struct ide_fixture *f, void *buf, unsigned words);
void ide_push(struct ide_fixture *f, const void *buf, unsigned words);
/* A one-entry descriptor table at 0x8000 for `len` bytes at `addr`; start the primary bus master. */
void ide_start_dma(struct ide_fixture *f, uint32_t addr, uint16_t len, bool to_memory);

#endif
