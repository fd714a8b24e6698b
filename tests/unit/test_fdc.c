/* hw/block/fdc: the 82077AA (data sheet 290166). */
#include <check.h>

#include "hw/block/fdc.h"
#include "hw_fixture.h"

enum { DOR = 0x3F2, MSR = 0x3F4, FIFO = 0x3F5, DIR = 0x3F7, IRQ6 = 6 };
enum { SIZE_144 = 1440 * 1024, DMA_MAX = 64 * 1024 };

struct fixture {
    struct hw_fixture hw;
    struct fdc *fdc;
    struct block *disk;
    uint8_t dma[DMA_MAX]; /* what the DMA channel moves */
    size_t dma_len, dma_pos;
};

static size_t dma_move(struct fixture *f, void *to, const void *from, size_t len, bool *tc)
{
    size_t n = f->dma_len - f->dma_pos < len ? f->dma_len - f->dma_pos : len;

    memcpy(to, from, n);
    f->dma_pos += n;
    *tc = n && f->dma_pos == f->dma_len;
    return n;
}

static size_t dma_read(void *opaque, void *buf, size_t len, bool *tc)
{
    struct fixture *f = opaque;
    return dma_move(f, buf, f->dma + f->dma_pos, len, tc);
}

static size_t dma_write(void *opaque, const void *buf, size_t len, bool *tc)
{
    struct fixture *f = opaque;
    return dma_move(f, f->dma + f->dma_pos, buf, len, tc);
}

static void step(struct fixture *f)
{
    clock_advance(f->hw.env.clock, 1000000);
    block_drain(f->disk);
}

/* A 1.44 MB diskette in drive A; the controller out of reset, its four reports taken. */
static void setup(struct fixture *f)
{
    hw_fixture_init(&f->hw);
    f->fdc = fdc_new(&f->hw.env, hw_line(&f->hw, IRQ6), (struct fdc_dma){ dma_read, dma_write, f });
    f->disk = hw_image(&f->hw, SIZE_144, false);
    f->dma_len = f->dma_pos = 0;
    fdc_attach(f->fdc, 0, f->disk);
    hw_reset(&f->hw);
    hw_out(&f->hw, DOR, 0x1C, 1);
    hw_out(&f->hw, DIR, 0, 1); /* 500 kb/s */
    step(f);
}

static void teardown(struct fixture *f)
{
    fdc_free(f->fdc);
    block_close(f->disk);
    hw_fixture_destroy(&f->hw);
}

static void command(struct fixture *f, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_eq(hw_in(&f->hw, MSR, 1) & 0xC0, 0x80);
        hw_out(&f->hw, FIFO, bytes[i], 1);
    }
}
#define COMMAND(f, ...) command(f, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void results(struct fixture *f, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_eq(hw_in(&f->hw, MSR, 1) & 0xD0, 0xD0);
        ck_assert_uint_eq(hw_in(&f->hw, FIFO, 1), bytes[i]);
    }
    ck_assert_uint_eq(hw_in(&f->hw, MSR, 1) & 0xF0, 0x80);
}
#define RESULTS(f, ...) results(f, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void take_reset_reports(struct fixture *f)
{
    for (uint8_t i = 0; i < 4; i++) {
        COMMAND(f, 0x08);
        RESULTS(f, 0xC0 | i, 0);
    }
}

static void seek(struct fixture *f, uint8_t cylinder)
{
    COMMAND(f, 0x0F, 0, cylinder);
    step(f);
    ck_assert_int_eq(f->hw.level[IRQ6], 1);
    COMMAND(f, 0x08);
    RESULTS(f, 0x20, cylinder);
    ck_assert_int_eq(f->hw.level[IRQ6], 0);
}

/* Let the command finish; returns the time that it took, at most 200 steps. */
static int wait_irq(struct fixture *f)
{
    int n = 0;

    while (!f->hw.level[IRQ6] && n++ < 200) {
        clock_advance(f->hw.env.clock, 100000);
        block_drain(f->disk);
    }
    ck_assert_int_eq(f->hw.level[IRQ6], 1);
    return n;
}

static void check_data(const uint8_t *data, unsigned lba, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        ck_assert_uint_eq(data[i], hw_pattern(lba + i / 512, i % 512));
}

START_TEST(reset)
{
    struct fixture f;
    setup(&f);
    ck_assert_int_eq(f.hw.level[IRQ6], 1);
    take_reset_reports(&f);
    ck_assert_int_eq(f.hw.level[IRQ6], 0);
    COMMAND(&f, 0x08); /* nothing more to report: invalid */
    RESULTS(&f, 0x80);
    hw_out(&f.hw, DOR, 0x08, 1);
    ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0);
    hw_out(&f.hw, DOR, 0x04, 1); /* interrupts gated */
    step(&f);
    ck_assert_int_eq(f.hw.level[IRQ6], 0);
    hw_out(&f.hw, DOR, 0x0C, 1);
    ck_assert_int_eq(f.hw.level[IRQ6], 1);
    hw_reset(&f.hw);
    ck_assert_int_eq(f.hw.level[IRQ6], 0);
    ck_assert_uint_eq(hw_in(&f.hw, DOR, 1), 0);
    teardown(&f);
}
END_TEST

START_TEST(configuration)
{
    struct fixture f;
    setup(&f);
    take_reset_reports(&f);
    COMMAND(&f, 0x10);
    RESULTS(&f, 0x90);
    COMMAND(&f, 0x13, 0, 0x57, 0x12);
    COMMAND(&f, 0x03, 0xDF, 0x02);
    COMMAND(&f, 0x12, 0x84);
    COMMAND(&f, 0x0E);
    RESULTS(&f, 0, 0, 0, 0, 0xDF, 0x02, 0, 0x04, 0x57, 0x12);
    COMMAND(&f, 0x94);
    RESULTS(&f, 0x10);
    hw_out(&f.hw, 0x3F4, 0x80, 1); /* software reset by DSR keeps what is locked */
    step(&f);
    take_reset_reports(&f);
    COMMAND(&f, 0x0E);
    RESULTS(&f, 0, 0, 0, 0, 0xDF, 0x02, 0, 0x84, 0x07, 0x12);
    COMMAND(&f, 0x1F);
    RESULTS(&f, 0x80);
    teardown(&f);
}
END_TEST

START_TEST(seeks)
{
    struct fixture f;
    setup(&f);
    take_reset_reports(&f);
    ck_assert_uint_eq(hw_in(&f.hw, DIR, 1), 0x80); /* changed since power-on */
    COMMAND(&f, 0x0F, 0, 40);
    ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0x81);
    step(&f);
    COMMAND(&f, 0x08);
    RESULTS(&f, 0x20, 40);
    ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0x80);
    ck_assert_uint_eq(hw_in(&f.hw, DIR, 1), 0);
    COMMAND(&f, 0x04, 4);
    RESULTS(&f, 0x2C); /* two sides, head 1, not at track 0 */
    COMMAND(&f, 0xCF, 0, 5);
    step(&f);
    COMMAND(&f, 0x08);
    RESULTS(&f, 0x20, 45);
    COMMAND(&f, 0x07, 0);
    step(&f);
    COMMAND(&f, 0x08);
    RESULTS(&f, 0x20, 0);
    COMMAND(&f, 0x04, 0);
    RESULTS(&f, 0x38);
    COMMAND(&f, 0x07, 1); /* no drive B */
    step(&f);
    COMMAND(&f, 0x08);
    RESULTS(&f, 0x71, 0);
    teardown(&f);
}
END_TEST

START_TEST(read_dma)
{
    struct fixture f;
    setup(&f);
    take_reset_reports(&f);
    seek(&f, 2);
    f.dma_len = 3 * 512;
    COMMAND(&f, 0xE6, 0, 2, 0, 17, 2, 18, 0x1B, 0xFF); /* multi-track: sectors 17, 18, then head 1 */
    ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0x10);
    ck_assert_int_ge(wait_irq(&f), 1);
    RESULTS(&f, 0x04, 0, 0, 2, 1, 2, 2);
    ck_assert_int_eq(f.hw.level[IRQ6], 0);
    check_data(f.dma, 2 * 36 + 16, 3 * 512);
    f.dma_pos = 0;
    COMMAND(&f, 0x46, 0, 2, 0, 16, 2, 18, 0x1B, 0xFF); /* terminal count at EOT */
    wait_irq(&f);
    RESULTS(&f, 0, 0, 0, 3, 0, 1, 2);
    f.dma_len = DMA_MAX;
    COMMAND(&f, 0x46, 0, 2, 0, 18, 2, 18, 0x1B, 0xFF); /* no terminal count: end of cylinder */
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x80, 0, 3, 0, 1, 2);
    teardown(&f);
}
END_TEST

START_TEST(errors)
{
    struct fixture f;
    setup(&f);
    take_reset_reports(&f);
    f.dma_len = 512;
    COMMAND(&f, 0x46, 0, 5, 0, 1, 2, 18, 0x1B, 0xFF); /* head is at cylinder 0 */
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x04, 0x10, 5, 0, 1, 2);
    COMMAND(&f, 0x46, 0, 0, 0, 19, 2, 36, 0x1B, 0xFF); /* no sector 19 */
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x04, 0, 0, 0, 19, 2);
    f.dma_len = 0;
    COMMAND(&f, 0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF); /* DMA does not answer: overrun */
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x10, 0, 0, 0, 1, 2);
    hw_out(&f.hw, DIR, 2, 1); /* wrong data rate: no address mark */
    COMMAND(&f, 0x4A, 0);
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x01, 0, 0, 0, 0, 0);
    hw_out(&f.hw, DIR, 0, 1);
    COMMAND(&f, 0x46, 1, 0, 0, 1, 2, 18, 0x1B, 0xFF); /* no drive B */
    wait_irq(&f);
    RESULTS(&f, 0x49, 0x01, 0, 0, 0, 1, 2);
    teardown(&f);
}
END_TEST

START_TEST(write_and_format)
{
    struct fixture f;
    uint8_t back[2 * 512];
    setup(&f);
    take_reset_reports(&f);
    seek(&f, 1);
    memset(f.dma, 0xAB, 700);
    f.dma_len = 700; /* the rest of the second sector becomes zeros */
    COMMAND(&f, 0x45, 4, 1, 1, 3, 2, 18, 0x1B, 0xFF);
    wait_irq(&f);
    RESULTS(&f, 0x04, 0, 0, 1, 1, 5, 2);
    ck_assert_int_eq(block_pread(f.disk, (36 + 18 + 2) * 512, back, sizeof(back)), 0);
    ck_assert_mem_eq(back, f.dma, 700);
    for (unsigned i = 700; i < sizeof(back); i++)
        ck_assert_uint_eq(back[i], 0);
    for (unsigned i = 0; i < 18; i++)
        memcpy(f.dma + 4 * i, (uint8_t[]){ 1, 0, (uint8_t)(i + 1), 2 }, 4);
    f.dma_pos = 0;
    f.dma_len = 72;
    COMMAND(&f, 0x4D, 0, 2, 18, 0x54, 0xF6);
    wait_irq(&f);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 0);
    for (unsigned i = 0; i < 6; i++)
        hw_in(&f.hw, FIFO, 1);
    ck_assert_int_eq(block_pread(f.disk, (36 + 17) * 512, back, sizeof(back)), 0);
    ck_assert_uint_eq(back[0], 0xF6);
    ck_assert_uint_eq(back[511], 0xF6);
    ck_assert_uint_eq(back[512], hw_pattern(54, 0)); /* the other head is untouched */
    teardown(&f);
}
END_TEST

START_TEST(non_dma)
{
    struct fixture f;
    uint8_t data[512];
    setup(&f);
    take_reset_reports(&f);
    COMMAND(&f, 0x03, 0xDF, 0x03);
    COMMAND(&f, 0x46, 0, 0, 0, 7, 2, 7, 0x1B, 0xFF);
    wait_irq(&f);
    for (unsigned i = 0; i < 512; i++) {
        ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0xF0);
        data[i] = (uint8_t)hw_in(&f.hw, FIFO, 1);
    }
    RESULTS(&f, 0x40, 0x80, 0, 1, 0, 1, 2);
    check_data(data, 6, 512);
    COMMAND(&f, 0x45, 0, 0, 0, 8, 2, 8, 0x1B, 0xFF);
    wait_irq(&f);
    for (unsigned i = 0; i < 512; i++) {
        ck_assert_uint_eq(hw_in(&f.hw, MSR, 1), 0xB0);
        hw_out(&f.hw, FIFO, 0x3C, 1);
    }
    wait_irq(&f);
    RESULTS(&f, 0x40, 0x80, 0, 1, 0, 1, 2);
    ck_assert_int_eq(block_pread(f.disk, 7 * 512, data, 512), 0);
    ck_assert_uint_eq(data[511], 0x3C);
    teardown(&f);
}
END_TEST

START_TEST(verify_read_track_read_id)
{
    struct fixture f;
    setup(&f);
    take_reset_reports(&f);
    COMMAND(&f, 0x56, 0x80, 0, 0, 1, 2, 18, 0x1B, 4); /* EC: four sectors */
    wait_irq(&f);
    RESULTS(&f, 0, 0, 0, 0, 0, 5, 2);
    f.dma_len = 18 * 512;
    COMMAND(&f, 0x42, 0, 0, 0, 9, 2, 18, 0x1B, 0xFF); /* from the index hole whatever R says */
    wait_irq(&f);
    RESULTS(&f, 0, 0, 0, 1, 0, 1, 2);
    check_data(f.dma, 0, 18 * 512);
    COMMAND(&f, 0x4A, 4);
    wait_irq(&f);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 0x04);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 0);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 0);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 0);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 1);
    ck_assert_uint_le(hw_in(&f.hw, FIFO, 1) - 1, 17);
    ck_assert_uint_eq(hw_in(&f.hw, FIFO, 1), 2);
    teardown(&f);
}
END_TEST

START_TEST(media)
{
    struct fixture f;
    struct block *small;
    setup(&f);
    take_reset_reports(&f);
    ck_assert_int_eq(fdc_drive_type(f.fdc, 0), 4);
    ck_assert_int_eq(fdc_drive_type(f.fdc, 1), 0);
    small = hw_image(&f.hw, 360 * 1024, true);
    fdc_attach(f.fdc, 1, small);
    ck_assert_int_eq(fdc_drive_type(f.fdc, 1), 1);
    seek(&f, 3);
    ck_assert_uint_eq(hw_in(&f.hw, DIR, 1), 0);
    fdc_set_media(f.fdc, 0, NULL);
    ck_assert_uint_eq(hw_in(&f.hw, DIR, 1), 0x80);
    seek(&f, 4); /* without a diskette the line stays */
    ck_assert_uint_eq(hw_in(&f.hw, DIR, 1), 0x80);
    hw_out(&f.hw, DOR, 0x2D, 1);
    hw_out(&f.hw, DIR, 2, 1);
    f.dma_len = 512;
    COMMAND(&f, 0x45, 1, 0, 0, 1, 2, 9, 0x2A, 0xFF); /* write-protected */
    wait_irq(&f);
    RESULTS(&f, 0x41, 0x02, 0, 0, 0, 1, 2);
    fdc_free(f.fdc);
    block_close(small);
    block_close(f.disk);
    hw_fixture_destroy(&f.hw);
}
END_TEST

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&fdc_state_table), -1);
}
END_TEST

Suite *fdc_suite(void)
{
    Suite *s = suite_create("fdc");
    TCase *t = tcase_create("core");
    tcase_add_test(t, reset);
    tcase_add_test(t, configuration);
    tcase_add_test(t, seeks);
    tcase_add_test(t, read_dma);
    tcase_add_test(t, errors);
    tcase_add_test(t, write_and_format);
    tcase_add_test(t, non_dma);
    tcase_add_test(t, verify_read_track_read_id);
    tcase_add_test(t, media);
    tcase_add_test(t, state);
    suite_add_tcase(s, t);
    return s;
}
