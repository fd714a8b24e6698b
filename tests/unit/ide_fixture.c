/* What the tests of hw/ide share. */
#include "ide_fixture.h"

#include <check.h>

#include "base/bits.h"

void ide_setup(struct ide_fixture *f)
{
    hw_fixture_init(&f->hw);
    f->ram = hw_add_ram(&f->hw);
    f->pci_memory = mem_container_new("pci", UINT64_C(1) << 32);
    f->bus = pci_bus_new(&f->hw.env, f->pci_memory);
    f->ide = piix_ide_new(&f->hw.env, f->bus, hw_line(&f->hw, IRQ14), hw_line(&f->hw, IRQ15));
    f->disk = hw_image(&f->hw, DISK_SECTORS * 512, false);
    f->cd = hw_image(&f->hw, CD_SECTORS * 2048, true);
    ide_attach(f->ide, 0, 0, f->disk, false, "DISK1");
    ide_attach(f->ide, 0, 1, f->cd, true, NULL);
    hw_reset(&f->hw);
    hw_config_write(&f->hw, IDE_FN, 0x20, BM, 4);
    hw_config_write(&f->hw, IDE_FN, 0x40, 0x80008000, 4);
    hw_config_write(&f->hw, IDE_FN, 4, 5, 2);
}

void ide_teardown(struct ide_fixture *f)
{
    piix_ide_free(f->ide);
    pci_bus_free(f->bus);
    block_close(f->disk);
    block_close(f->cd);
    mem_region_free(f->pci_memory);
    mem_region_remove(f->ram);
    mem_region_free(f->ram);
    hw_fixture_destroy(&f->hw);
}

void ide_wait(struct ide_fixture *f)
{
    block_drain(f->disk);
    block_drain(f->cd);
}

void ide_issue(struct ide_fixture *f, uint8_t device, uint8_t feature, uint8_t count, uint32_t lba,
               uint8_t command)
{
    hw_out(&f->hw, DEVICE, device, 1);
    hw_out(&f->hw, CMD + 1, feature, 1);
    hw_out(&f->hw, NSECTOR, count, 1);
    hw_out(&f->hw, LBA_LOW, lba & 0xFF, 1);
    hw_out(&f->hw, LBA_MID, lba >> 8 & 0xFF, 1);
    hw_out(&f->hw, LBA_HIGH, lba >> 16 & 0xFF, 1);
    hw_out(&f->hw, STATUS, command, 1);
}

void ide_pull(struct ide_fixture *f, void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++)
        store_le((uint8_t *)buf + 2 * i, 2, hw_in(&f->hw, CMD, 2));
}

void ide_push(struct ide_fixture *f, const void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++)
        hw_out(&f->hw, CMD, (uint32_t)load_le((const uint8_t *)buf + 2 * i, 2), 2);
}

void ide_start_dma(struct ide_fixture *f, uint32_t addr, uint16_t len, bool to_memory)
{
    mem_write(f->hw.env.memory, 0x8000, addr, 4);
    mem_write(f->hw.env.memory, 0x8004, len | 0x80000000u, 4);
    hw_out(&f->hw, BM + 4, 0x8000, 4);
    hw_out(&f->hw, BM, to_memory ? 8 : 0, 1);
    hw_out(&f->hw, BM + 2, 0x06, 1);
    hw_out(&f->hw, BM, to_memory ? 9 : 1, 1);
}
