/* hw/input/ps2kbd: commands, scan code sets, overrun. */
#include "hw/input/ps2kbd.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct ps2kbd *k;

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line ready = dev_line(f, 0);
    k = ps2kbd_new(&f->env, &ready);
    dev_reset(f);
}

static void teardown(void)
{
    ps2kbd_free(k);
    device_fixture_free(f);
}

static void expect(const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        ck_assert(ps2kbd_pending(k));
        ck_assert_uint_eq(ps2kbd_read(k), bytes[i]);
    }
    ck_assert(!ps2kbd_pending(k));
    ck_assert_int_eq(f->level[0], 0);
}

#define EXPECT(...) \
    do { \
        static const uint8_t bytes_[] = { __VA_ARGS__ }; \
        expect(bytes_, sizeof(bytes_)); \
    } while (0)

START_TEST(commands)
{
    ck_assert_int_eq(state_table_gap(&ps2kbd_state_table), -1);
    ps2kbd_write(k, 0xff);
    ck_assert_int_eq(f->level[0], 1);
    EXPECT(0xfa, 0xaa);
    ps2kbd_write(k, 0xfe);
    EXPECT(0xaa);
    ps2kbd_write(k, 0xee);
    EXPECT(0xee);
    ps2kbd_write(k, 0xf2);
    EXPECT(0xfa, 0xab, 0x83);
    ps2kbd_write(k, 0xed);
    EXPECT(0xfa);
    ps2kbd_write(k, 0x05);
    EXPECT(0xfa);
    ck_assert_uint_eq(ps2kbd_get_leds(k), 5);
    ps2kbd_write(k, 0xf3);
    ps2kbd_write(k, 0x00);
    EXPECT(0xfa);
    ps2kbd_write(k, 0xed); /* a command in place of the argument */
    EXPECT(0xfa);
    ps2kbd_write(k, 0xf4);
    EXPECT(0xfa);
    ck_assert_uint_eq(ps2kbd_get_leds(k), 5);
    ps2kbd_write(k, 0x11);
    EXPECT(0xfe);
}
END_TEST

START_TEST(set2)
{
    ps2kbd_key(k, 0x1e, true); /* A */
    ps2kbd_key(k, 0x1e, false);
    EXPECT(0x1c, 0xf0, 0x1c);
    ps2kbd_key(k, 0x41, true); /* F7 */
    EXPECT(0x83);
    ps2kbd_key(k, 0xc8, true); /* cursor up */
    ps2kbd_key(k, 0xc8, false);
    EXPECT(0xe0, 0x75, 0xe0, 0xf0, 0x75);
    ps2kbd_key(k, PS2KBD_PRINT, true);
    EXPECT(0xe0, 0x12, 0xe0, 0x7c);
    ps2kbd_key(k, PS2KBD_PRINT, false);
    EXPECT(0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    ps2kbd_key(k, PS2KBD_PAUSE, true);
    EXPECT(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    ps2kbd_key(k, PS2KBD_PAUSE, false);
    ck_assert(!ps2kbd_pending(k));
}
END_TEST

START_TEST(sets_1_and_3)
{
    ps2kbd_write(k, 0xf0);
    ps2kbd_write(k, 0x01);
    EXPECT(0xfa);
    ps2kbd_key(k, 0xc8, true);
    ps2kbd_key(k, 0xc8, false);
    EXPECT(0xe0, 0x48, 0xe0, 0xc8);
    ps2kbd_key(k, PS2KBD_PAUSE, true);
    EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    ps2kbd_write(k, 0xf0);
    ps2kbd_write(k, 0x03);
    ps2kbd_write(k, 0xf0);
    EXPECT(0xfa);
    ps2kbd_write(k, 0x00);
    EXPECT(0xfa, 0x03);
    ps2kbd_key(k, 0xc8, true);
    ps2kbd_key(k, 0xc8, false);
    ps2kbd_key(k, 0x3b, true);
    ps2kbd_key(k, 0x1e, true);
    EXPECT(0x63, 0xf0, 0x63, 0x07, 0x1c);
    ps2kbd_write(k, 0xf6);
    EXPECT(0xfa);
    ps2kbd_key(k, 0x3b, true);
    EXPECT(0x05);
}
END_TEST

START_TEST(disabled_and_overrun)
{
    ps2kbd_write(k, 0xf5);
    EXPECT(0xfa);
    ps2kbd_key(k, 0x1e, true);
    ck_assert(!ps2kbd_pending(k));
    ps2kbd_write(k, 0xf4);
    EXPECT(0xfa);
    for (int i = 0; i < 40; i++)
        ps2kbd_key(k, 0x1e, true);
    ps2kbd_write(k, 0xee); /* an answer overtakes */
    ck_assert_uint_eq(ps2kbd_read(k), 0xee);
    for (int i = 0; i < 16; i++)
        ck_assert_uint_eq(ps2kbd_read(k), 0x1c);
    EXPECT(0x00);
}
END_TEST

START_TEST(translation)
{
    ck_assert_uint_eq(ps2kbd_translate(0x1c), 0x1e);
    ck_assert_uint_eq(ps2kbd_translate(0x76), 0x01);
    ck_assert_uint_eq(ps2kbd_translate(0x83), 0x41);
    ck_assert_uint_eq(ps2kbd_translate(0xfa), 0xfa);
    ck_assert_uint_eq(ps2kbd_translate(0xe0), 0xe0);
    for (int code = 1; code <= 0x58; code++) { /* every key comes back as itself */
        ps2kbd_key(k, (uint8_t)code, true);
        ck_assert_uint_eq(ps2kbd_translate(ps2kbd_read(k)), (uint8_t)code);
    }
}
END_TEST

Suite *ps2kbd_suite(void)
{
    Suite *s = suite_create("ps2kbd");
    TCase *tc = tcase_create("ps2kbd");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, commands);
    tcase_add_test(tc, set2);
    tcase_add_test(tc, sets_1_and_3);
    tcase_add_test(tc, disabled_and_overrun);
    tcase_add_test(tc, translation);
    suite_add_tcase(s, tc);
    return s;
}
