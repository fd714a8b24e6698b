/* hw/ide: channel, ATA commands, bus master (ATA/ATAPI-6; Bus Master IDE 1.0; data sheet 290550). */
#include <check.h>

#include "base/bits.h"
#include "hw/ide/ide_bus.h"
#include "ide_fixture.h"

static void check_sectors(const uint8_t *data, uint64_t lba, unsigned count)
{
    for (unsigned i = 0; i < count * 512; i++)
        ck_assert_uint_eq(data[i], hw_pattern(lba + i / 512, i % 512));
}

START_TEST(identity)
{
    struct ide_fixture f;
    ide_setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, IDE_FN, 0, 4), 0x70108086);
    ck_assert_uint_eq(hw_config_read(&f.hw, IDE_FN, 9, 2), 0x0180);
    hw_config_write(&f.hw, IDE_FN, 0x20, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, IDE_FN, 0x20, 4), 0xFFFFFFF1);
    hw_config_write(&f.hw, IDE_FN, 0x41, 0, 1); /* IDE decode disable */
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0xFF);
    ide_teardown(&f);
}
END_TEST

START_TEST(identify)
{
    struct ide_fixture f;
    uint8_t id[512], sum = 0;
    ide_setup(&f);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ide_issue(&f, 0xA0, 0, 0, 0, 0xEC);
    ck_assert_int_eq(f.hw.level[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f.hw, CTL, 1), 0x58); /* alternate status keeps INTRQ */
    ck_assert_int_eq(f.hw.level[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ide_pull(&f, id, 256);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ck_assert_mem_eq(id + 20, "IDKS 1", 6); /* DISK1, bytes swapped */
    ck_assert_uint_eq(load_le(id + 120, 4), DISK_SECTORS);
    ck_assert_uint_eq(load_le(id + 200, 8), DISK_SECTORS);
    ck_assert_uint_eq(load_le(id + 98, 2) & 0x0300, 0x0300);
    ck_assert_uint_eq(load_le(id + 166, 2), 0x7400);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + id[i]);
    ck_assert_uint_eq(sum, 0);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_pio)
{
    struct ide_fixture f;
    uint8_t data[3 * 512];
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 3, 1000, 0x20);
    ck_assert_uint_eq(hw_in(&f.hw, CTL, 1) & 0x80, 0x80);
    ide_wait(&f);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(f.hw.level[IRQ14], 1);
        ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
        ide_pull(&f, data + 512 * i, 256);
    }
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ck_assert_int_eq(f.hw.raised[IRQ14], 3);
    check_sectors(data, 1000, 3);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_chs)
{
    struct ide_fixture f;
    uint8_t data[512];
    ide_setup(&f);
    /* cylinder 1, head 2, sector 3 of 16 heads, 63 sectors: (1 * 16 + 2) * 63 + 2 */
    ide_issue(&f, 0xA2, 0, 1, 1 << 8 | 3, 0x20);
    ide_wait(&f);
    ide_pull(&f, data, 256);
    check_sectors(data, 1136, 1);
    ide_issue(&f, 0xA0, 0, 1, 0, 0x20); /* there is no sector 0 */
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x51);
    ck_assert_uint_eq(hw_in(&f.hw, CMD + 1, 1), 0x10);
    ide_issue(&f, 0xA3, 0, 10, 0, 0x91); /* 4 heads, 10 sectors */
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ide_issue(&f, 0xA1, 0, 1, 2 << 8 | 10, 0x20);
    ide_wait(&f);
    ide_pull(&f, data, 256);
    check_sectors(data, (2 * 4 + 1) * 10 + 9, 1);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_multiple_ext)
{
    struct ide_fixture f;
    static uint8_t data[300 * 512];
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 8, 0, 0x29);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x51); /* no block size set */
    ide_issue(&f, 0xE0, 0, 3, 0, 0xC6);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x51); /* not a power of two */
    ide_issue(&f, 0xE0, 0, 16, 0, 0xC6);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    hw_out(&f.hw, NSECTOR, 1, 1); /* 300 = 0x12C sectors at 20 */
    hw_out(&f.hw, LBA_LOW, 0, 1);
    hw_out(&f.hw, LBA_MID, 0, 1);
    hw_out(&f.hw, LBA_HIGH, 0, 1);
    f.hw.raised[IRQ14] = 0;
    ide_issue(&f, 0x40, 0, 0x2C, 20, 0x29);
    for (unsigned at = 0; at < 300; at += 16) {
        ide_wait(&f);
        ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
        ide_pull(&f, data + at * 512, 256 * (300 - at < 16 ? 300 - at : 16));
        if (at + 16 == 256)
            ck_assert_uint_eq(hw_in(&f.hw, CTL, 1) & 0x80, 0x80);
    }
    ck_assert_int_eq(f.hw.raised[IRQ14], 19);
    check_sectors(data, 20, 300);
    ide_teardown(&f);
}
END_TEST

START_TEST(write_pio)
{
    struct ide_fixture f;
    uint8_t data[1024], back[1024];
    ide_setup(&f);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(3 * i + 1);
    ide_issue(&f, 0xE0, 0, 2, 77, 0x30);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
    ck_assert_int_eq(f.hw.raised[IRQ14], 0); /* the first block comes without interrupt */
    ide_push(&f, data, 256);
    ck_assert_int_eq(f.hw.raised[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
    ide_push(&f, data + 512, 256);
    ide_wait(&f);
    ck_assert_int_eq(f.hw.raised[IRQ14], 2);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ide_issue(&f, 0xE0, 0, 0, 0, 0xE7);
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ck_assert_int_eq(block_pread(f.disk, 77 * 512, back, 1024), 0);
    ck_assert_mem_eq(back, data, 1024);
    ide_teardown(&f);
}
END_TEST

START_TEST(beyond_the_end)
{
    struct ide_fixture f;
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 2, DISK_SECTORS - 1, 0x20);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x51);
    ck_assert_uint_eq(hw_in(&f.hw, CMD + 1, 1), 0x10); /* IDNF */
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1) | hw_in(&f.hw, LBA_MID, 1) << 8, DISK_SECTORS);
    ide_issue(&f, 0xE0, 0, 0, 0, 0xF8); /* READ NATIVE MAX */
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1) | hw_in(&f.hw, LBA_MID, 1) << 8, DISK_SECTORS - 1);
    ide_issue(&f, 0xE0, 0, 0, 0, 0x40); /* VERIFY 256 sectors */
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ide_issue(&f, 0xE0, 0xD0, 0, 0xC24F00, 0xB0); /* SMART */
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x51);
    ck_assert_uint_eq(hw_in(&f.hw, CMD + 1, 1), 0x04);
    ide_teardown(&f);
}
END_TEST

START_TEST(soft_reset)
{
    struct ide_fixture f;
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 1, 0, 0x20); /* abandoned in flight */
    hw_out(&f.hw, CTL, 4, 1);
    ck_assert_uint_eq(hw_in(&f.hw, CTL, 1), 0x80);
    hw_out(&f.hw, CTL, 0, 1);
    ck_assert_uint_eq(hw_in(&f.hw, CTL, 1), 0x50);
    ck_assert_uint_eq(hw_in(&f.hw, CMD + 1, 1), 0x01);
    ck_assert_uint_eq(hw_in(&f.hw, NSECTOR, 4), 0x00000101);
    hw_out(&f.hw, DEVICE, 0x10, 1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x00);
    ck_assert_uint_eq(hw_in(&f.hw, NSECTOR, 4), 0xEB140101);
    ide_wait(&f);
    ck_assert_int_eq(f.hw.raised[IRQ14], 0);
    hw_out(&f.hw, DEVICE, 0, 1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ide_teardown(&f);
}
END_TEST

START_TEST(commands_while_busy)
{
    struct ide_fixture f;
    uint8_t data[512];
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 1, 7, 0x20);
    hw_out(&f.hw, STATUS, 0xE7, 1); /* not heard, and DEVICE RESET is for packet devices */
    hw_out(&f.hw, STATUS, 0x08, 1);
    hw_out(&f.hw, LBA_LOW, 9, 1);
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x58);
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1), 7);
    ide_pull(&f, data, 256);
    check_sectors(data, 7, 1);
    ide_teardown(&f);
}
END_TEST

START_TEST(empty_channel)
{
    struct ide_fixture f;
    ide_setup(&f);
    ck_assert_uint_eq(hw_in(&f.hw, 0x177, 1), 0x7F);
    hw_out(&f.hw, 0x172, 0x55, 1);
    ck_assert_uint_eq(hw_in(&f.hw, 0x172, 1), 0x7F);
    hw_out(&f.hw, 0x177, 0xEC, 1);
    ck_assert_int_eq(f.hw.level[IRQ15], 0);
    ide_teardown(&f);
}
END_TEST

START_TEST(interrupt_disable)
{
    struct ide_fixture f;
    ide_setup(&f);
    hw_out(&f.hw, CTL, 2, 1); /* nIEN */
    ide_issue(&f, 0xA0, 0, 0, 0, 0xE5);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ck_assert_uint_eq(hw_in(&f.hw, NSECTOR, 1), 0xFF);
    hw_out(&f.hw, CTL, 0, 1);
    ck_assert_int_eq(f.hw.level[IRQ14], 1);
    hw_out(&f.hw, DEVICE, 0xB0, 1); /* the other device has none pending */
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    hw_out(&f.hw, DEVICE, 0xA0, 1);
    hw_in(&f.hw, STATUS, 1);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ide_teardown(&f);
}
END_TEST

START_TEST(hob)
{
    struct ide_fixture f;
    ide_setup(&f);
    hw_out(&f.hw, LBA_LOW, 0x12, 1);
    hw_out(&f.hw, LBA_LOW, 0x34, 1);
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1), 0x34);
    hw_out(&f.hw, CTL, 0x80, 1);
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1), 0x12);
    hw_out(&f.hw, NSECTOR, 1, 1); /* any write clears HOB */
    ck_assert_uint_eq(hw_in(&f.hw, LBA_LOW, 1), 0x34);
    ide_teardown(&f);
}
END_TEST

START_TEST(dma_read)
{
    struct ide_fixture f;
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 4, 500, 0xC8);
    ide_wait(&f);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ide_start_dma(&f, 0x20000, 2048, true);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0x04); /* table at its end, interrupt */
    ck_assert_int_eq(f.hw.level[IRQ14], 1);
    check_sectors(mem_region_host(f.ram) + 0x20000, 500, 4);
    ide_teardown(&f);
}
END_TEST

START_TEST(dma_write)
{
    struct ide_fixture f;
    uint8_t back[1024];
    ide_setup(&f);
    memset(mem_region_host(f.ram) + 0x30000, 0x5A, 1024);
    ide_issue(&f, 0xE0, 0, 2, 9, 0xCA);
    ide_start_dma(&f, 0x30000, 2048, false); /* longer than the transfer: stays active */
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0x05);
    ck_assert_int_eq(f.hw.level[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0x50);
    ck_assert_int_eq(block_pread(f.disk, 9 * 512, back, 1024), 0);
    ck_assert_mem_eq(back, mem_region_host(f.ram) + 0x30000, 1024);
    hw_out(&f.hw, BM, 0, 1);
    hw_out(&f.hw, BM + 2, 4, 1);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0);
    ide_teardown(&f);
}
END_TEST

START_TEST(dma_hostile)
{
    struct ide_fixture f;
    ide_setup(&f);
    ide_issue(&f, 0xE0, 0, 4, 0, 0xC8);
    ide_start_dma(&f, 0xF0000000, 2048, true); /* no memory there */
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0x02);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    hw_out(&f.hw, BM, 0, 1);
    hw_out(&f.hw, BM + 4, 0xFFFFFFFC, 4); /* no table there */
    hw_out(&f.hw, BM, 9, 1);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1) & 3, 2);
    ide_start_dma(&f, 0x20000, 512, true); /* too short: waits for more */
    ide_wait(&f);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0);
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    hw_reset(&f.hw);
    ck_assert_uint_eq(hw_in(&f.hw, BM + 2, 1), 0xFF);
    ide_teardown(&f);
}
END_TEST

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&ide_drive_state_table), -1);
    ck_assert_int_eq(state_table_gap(&ide_channel_state_table), -1);
    ck_assert_int_eq(state_table_gap(&piix_ide_state_table), -1);
}
END_TEST

Suite *ata_suite(void)
{
    Suite *s = suite_create("ata");
    TCase *t = tcase_create("core");
    tcase_add_test(t, identity);
    tcase_add_test(t, identify);
    tcase_add_test(t, read_pio);
    tcase_add_test(t, read_chs);
    tcase_add_test(t, read_multiple_ext);
    tcase_add_test(t, write_pio);
    tcase_add_test(t, beyond_the_end);
    tcase_add_test(t, soft_reset);
    tcase_add_test(t, commands_while_busy);
    tcase_add_test(t, empty_channel);
    tcase_add_test(t, interrupt_disable);
    tcase_add_test(t, hob);
    tcase_add_test(t, dma_read);
    tcase_add_test(t, dma_write);
    tcase_add_test(t, dma_hostile);
    tcase_add_test(t, state);
    suite_add_tcase(s, t);
    return s;
}
