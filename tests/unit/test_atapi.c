/* hw/ide/atapi: the PACKET feature set (ATA/ATAPI-6) and its commands (MMC-3, SPC-2). */
#include <check.h>

#include "base/bits.h"
#include "hw/ide/ide_bus.h"
#include "ide_fixture.h"

/* Issue a packet to the CD drive with a byte count limit. */
static void packet(struct ide_fixture *f, uint8_t feature, uint16_t limit, const uint8_t p[12])
{
    ide_issue(f, 0xB0, feature, 0, (uint32_t)limit << 8, 0xA0);
    ck_assert_uint_eq(hw_in(&f->hw, STATUS, 1) & 0x88, 0x08);
    ck_assert_uint_eq(hw_in(&f->hw, NSECTOR, 1) & 3, 1); /* C/D, to the device */
    ide_push(f, p, 6);
    ide_wait(f);
}

/* Take one DRQ block; returns its bytes. */
static unsigned block_in(struct ide_fixture *f, uint8_t *buf)
{
    ck_assert_int_eq(f->hw.level[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f->hw, STATUS, 1) & 0x89, 0x08);
    ck_assert_uint_eq(hw_in(&f->hw, NSECTOR, 1) & 3, 2);
    unsigned len = hw_in(&f->hw, LBA_MID, 2);
    ide_pull(f, buf, (len + 1) / 2);
    ide_wait(f);
    return len;
}

static void check_good(struct ide_fixture *f)
{
    ck_assert_int_eq(f->hw.level[IRQ14], 1);
    ck_assert_uint_eq(hw_in(&f->hw, STATUS, 1) & 0xC9, 0x40);
    ck_assert_uint_eq(hw_in(&f->hw, NSECTOR, 1) & 3, 3);
}

static unsigned reply(struct ide_fixture *f, uint8_t *buf, const uint8_t p[12])
{
    packet(f, 0, 0xFFFE, p);
    unsigned len = block_in(f, buf);
    check_good(f);
    return len;
}

static void check_failed(struct ide_fixture *f, const uint8_t p[12], uint8_t key, uint8_t asc)
{
    uint8_t sense[18];
    packet(f, 0, 0xFFFE, p);
    ck_assert_uint_eq(hw_in(&f->hw, STATUS, 1) & 0x89, 0x01);
    ck_assert_uint_eq(hw_in(&f->hw, CMD + 1, 1) >> 4, key);
    ck_assert_uint_eq(reply(f, sense, (const uint8_t[12]){ 0x03, 0, 0, 0, 18 }), 18);
    ck_assert_uint_eq(sense[2], key);
    ck_assert_uint_eq(sense[12], asc);
}

static void check_cd(const uint8_t *data, unsigned lba, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        ck_assert_uint_eq(data[i], hw_pattern(lba * 4 + i / 512, i % 512));
}

START_TEST(identify)
{
    struct ide_fixture f;
    uint8_t id[512];
    ide_setup(&f);
    ide_issue(&f, 0xB0, 0, 0, 0, 0xEC);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1) & 0x89, 0x01);
    ck_assert_uint_eq(hw_in(&f.hw, LBA_MID, 2), 0xEB14);
    ide_issue(&f, 0xB0, 0, 0, 0, 0xA1);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1) & 0x89, 0x08);
    ide_pull(&f, id, 256);
    ck_assert_uint_eq(load_le(id, 2), 0x85C0);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1) & 0x89, 0);
    ide_issue(&f, 0xB0, 0, 0, 0, 0x08);
    ck_assert_uint_eq(hw_in(&f.hw, STATUS, 1), 0);
    ck_assert_uint_eq(hw_in(&f.hw, NSECTOR, 4), 0xEB140101);
    ide_teardown(&f);
}
END_TEST

START_TEST(inquiry)
{
    struct ide_fixture f;
    uint8_t buf[64];
    ide_setup(&f);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x12, 0, 0, 0, 36 }), 36);
    ck_assert_uint_eq(buf[0], 5);
    ck_assert_uint_eq(buf[1], 0x80);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x12, 0, 0, 0, 5 }), 5);
    packet(&f, 0, 0xFFFE, (const uint8_t[12]){ 0x12 }); /* allocation length 0 */
    check_good(&f);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_pio)
{
    struct ide_fixture f;
    static uint8_t data[100 * 2048];
    unsigned at = 0;
    ide_setup(&f);
    packet(&f, 0, 2048, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 10, 0, 0, 100 });
    while (at < sizeof(data)) {
        unsigned n = block_in(&f, data + at);
        ck_assert_uint_eq(n, 2048);
        at += n;
    }
    check_good(&f);
    check_cd(data, 10, sizeof(data));
    packet(&f, 0, 0, (const uint8_t[12]){ 0xA8, 0, 0, 0, 0, CD_SECTORS - 1, 0, 0, 0, 1 });
    ck_assert_uint_eq(block_in(&f, data), 2048);
    check_cd(data, CD_SECTORS - 1, 2048);
    check_good(&f);
    check_failed(&f, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, CD_SECTORS - 1, 0, 0, 2 }, 5, 0x21);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_dma)
{
    struct ide_fixture f;
    ide_setup(&f);
    packet(&f, 1, 0, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 3, 0, 0, 2 });
    ck_assert_int_eq(f.hw.level[IRQ14], 0);
    ide_start_dma(&f, 0x20000, 4096, true);
    ide_wait(&f);
    check_good(&f);
    check_cd(mem_region_host(f.ram) + 0x20000, 3, 4096);
    ide_teardown(&f);
}
END_TEST

START_TEST(read_raw)
{
    struct ide_fixture f;
    uint8_t raw[2352];
    ide_setup(&f);
    ck_assert_uint_eq(reply(&f, raw, (const uint8_t[12]){ 0xBE, 0, 0, 0, 0, 20, 0, 0, 1, 0xF8 }), 2352);
    ck_assert_mem_eq(raw, "\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00", 12);
    ck_assert_mem_eq(raw + 12, "\x00\x02\x20\x01", 4); /* 00:02:20, mode 1 */
    check_cd(raw + 16, 20, 2048);
    ide_teardown(&f);
}
END_TEST

START_TEST(capacity_and_toc)
{
    struct ide_fixture f;
    uint8_t buf[64];
    ide_setup(&f);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x25 }), 8);
    ck_assert_uint_eq(load_be(buf, 4), CD_SECTORS - 1);
    ck_assert_uint_eq(load_be(buf + 4, 4), 2048);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x43, 0, 0, 0, 0, 0, 0, 0, 64 }), 20);
    ck_assert_uint_eq(load_be(buf, 2), 18);
    ck_assert_uint_eq(buf[5], 0x14);
    ck_assert_uint_eq(buf[14], 0xAA);
    ck_assert_uint_eq(load_be(buf + 16, 4), CD_SECTORS);
    reply(&f, buf, (const uint8_t[12]){ 0x43, 2, 0, 0, 0, 0, 0xAA, 0, 64 }); /* lead-out in MSF: 350 frames */
    ck_assert_uint_eq(load_be(buf + 8, 4), 0x00000432);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x43, 0, 1, 0, 0, 0, 0, 0, 64 }), 12);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x43, 0, 2, 0, 0, 0, 0, 0, 64 }), 48);
    check_failed(&f, (const uint8_t[12]){ 0x43, 0, 5, 0, 0, 0, 0, 0, 64 }, 5, 0x24);
    ide_teardown(&f);
}
END_TEST

START_TEST(mode_sense)
{
    struct ide_fixture f;
    uint8_t buf[64];
    ide_setup(&f);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 64 }), 28);
    ck_assert_uint_eq(load_be(buf, 2), 26);
    ck_assert_uint_eq(buf[8], 0x2A);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x1A, 0, 0x3F, 0, 64 }), 4 + 8 + 16 + 20);
    check_failed(&f, (const uint8_t[12]){ 0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 64 }, 5, 0x39);
    check_failed(&f, (const uint8_t[12]){ 0x5A, 0, 0x05, 0, 0, 0, 0, 0, 64 }, 5, 0x24);
    ide_teardown(&f);
}
END_TEST

START_TEST(other_replies)
{
    struct ide_fixture f;
    uint8_t buf[64];
    ide_setup(&f);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x46, 0, 0, 0, 0, 0, 0, 0, 64 }), 36);
    ck_assert_uint_eq(load_be(buf, 4), 32);
    ck_assert_uint_eq(load_be(buf + 6, 2), 0x08);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0x51, 0, 0, 0, 0, 0, 0, 0, 64 }), 34);
    ck_assert_uint_eq(buf[2], 0x0E);
    ck_assert_uint_eq(reply(&f, buf, (const uint8_t[12]){ 0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 64 }), 8);
    check_failed(&f, (const uint8_t[12]){ 0x5B }, 5, 0x20);
    ide_teardown(&f);
}
END_TEST

START_TEST(media_change)
{
    static const uint8_t ready[12] = { 0 };
    static const uint8_t event[12] = { 0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    struct ide_fixture f;
    uint8_t buf[64];
    ide_setup(&f);
    packet(&f, 0, 0, ready);
    check_good(&f);
    ide_set_media(f.ide, 0, 1, NULL);
    check_failed(&f, ready, 2, 0x3A);
    ck_assert_uint_eq(reply(&f, buf, event), 8);
    ck_assert_uint_eq(load_be(buf + 4, 2), 0x0300);
    ide_set_media(f.ide, 0, 1, f.cd);
    check_failed(&f, ready, 6, 0x28);
    packet(&f, 0, 0, ready);
    check_good(&f);
    reply(&f, buf, event);
    ck_assert_uint_eq(load_be(buf + 4, 2), 0x0202);
    reply(&f, buf, event);
    ck_assert_uint_eq(load_be(buf + 4, 2), 0x0002);
    ide_teardown(&f);
}
END_TEST

START_TEST(tray)
{
    static const uint8_t eject[12] = { 0x1B, 0, 0, 0, 2 };
    struct ide_fixture f;
    ide_setup(&f);
    packet(&f, 0, 0, (const uint8_t[12]){ 0x1E, 0, 0, 0, 1 });
    check_good(&f);
    check_failed(&f, eject, 5, 0x53);
    packet(&f, 0, 0, (const uint8_t[12]){ 0x1E });
    packet(&f, 0, 0, eject);
    check_good(&f);
    check_failed(&f, (const uint8_t[12]){ 0 }, 2, 0x3A);
    packet(&f, 0, 0, (const uint8_t[12]){ 0x1B, 0, 0, 0, 3 });
    check_good(&f);
    check_failed(&f, (const uint8_t[12]){ 0 }, 6, 0x28);
    ide_teardown(&f);
}
END_TEST

Suite *atapi_suite(void)
{
    Suite *s = suite_create("atapi");
    TCase *t = tcase_create("core");
    tcase_add_test(t, identify);
    tcase_add_test(t, inquiry);
    tcase_add_test(t, read_pio);
    tcase_add_test(t, read_dma);
    tcase_add_test(t, read_raw);
    tcase_add_test(t, capacity_and_toc);
    tcase_add_test(t, mode_sense);
    tcase_add_test(t, other_replies);
    tcase_add_test(t, media_change);
    tcase_add_test(t, tray);
    suite_add_tcase(s, t);
    return s;
}
