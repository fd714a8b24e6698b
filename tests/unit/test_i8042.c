/* hw/input/i8042: commands, buffers, interrupts, translation, A20 and reset. */
#include "hw/input/i8042.h"
#include "hw/input/ps2kbd.h"
#include "hw/input/ps2mouse.h"
#include "tests/unit/device_fixture.h"

enum { IRQ1 = 1, IRQ12 = 12, A20 = 20, RESET = 21 };

static struct device_fixture *f;
static struct i8042 *c;

static void setup(void)
{
    f = device_fixture_new();
    struct i8042_lines lines = {
        dev_line(f, IRQ1), dev_line(f, IRQ12), dev_line(f, A20), dev_line(f, RESET),
    };
    c = i8042_new(&f->env, &lines);
    dev_reset(f);
}

static void teardown(void)
{
    i8042_free(c);
    device_fixture_free(f);
}

static uint8_t status(void) { return dev_in(f, 0x64); }

/* The next byte, as the wire brings it. */
static uint8_t next(void)
{
    clock_advance(f->env.clock, 2000000);
    ck_assert(status() & 1);
    return dev_in(f, 0x60);
}

static void set_ctr(uint8_t v)
{
    dev_out(f, 0x64, 0x60);
    dev_out(f, 0x60, v);
}

START_TEST(controller)
{
    ck_assert_int_eq(state_table_gap(&i8042_state_table), -1);
    ck_assert_uint_eq(status() & 0x37, 0x10);
    ck_assert_int_eq(f->level[A20], 1);
    dev_out(f, 0x64, 0xaa);
    ck_assert_uint_eq(status(), 0x1d);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x55);
    ck_assert_uint_eq(status(), 0x1c);
    dev_out(f, 0x64, 0xab);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x00);
    set_ctr(0x65);
    ck_assert_uint_eq(status() & 8, 0);
    dev_out(f, 0x64, 0xad);
    dev_out(f, 0x64, 0xa7);
    dev_out(f, 0x64, 0x20);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x75);
    dev_out(f, 0x64, 0xae);
    dev_out(f, 0x64, 0xa8);
    dev_out(f, 0x64, 0x20);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x45);
    dev_out(f, 0x64, 0xc0);
    ck_assert_uint_eq(dev_in(f, 0x60) & 0x80, 0x80);
    dev_out(f, 0x64, 0x65);
    dev_out(f, 0x60, 0x99);
    dev_out(f, 0x64, 0x25);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x99);
}
END_TEST

START_TEST(keyboard)
{
    set_ctr(0x41); /* interrupt, translation */
    ps2kbd_key(i8042_get_kbd(c), 0x1e, true);
    ps2kbd_key(i8042_get_kbd(c), 0x1e, false);
    ps2kbd_key(i8042_get_kbd(c), 0xc8, false);
    ck_assert_int_eq(f->level[IRQ1], 1);
    ck_assert_uint_eq(status() & 0x21, 0x01);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x1e);
    ck_assert_int_eq(f->level[IRQ1], 0);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x1e); /* the next byte is on the wire */
    ck_assert_uint_eq(next(), 0x9e);
    ck_assert_uint_eq(next(), 0xe0);
    ck_assert_uint_eq(next(), 0xc8);
    ck_assert_int_eq(f->rises[IRQ1], 4);
    set_ctr(0x00);
    ps2kbd_key(i8042_get_kbd(c), 0x1e, false);
    ck_assert_uint_eq(next(), 0xf0);
    ck_assert_uint_eq(next(), 0x1c);
    ck_assert_int_eq(f->rises[IRQ1], 4);
    set_ctr(0x10); /* disabled: the byte waits */
    ps2kbd_key(i8042_get_kbd(c), 0x1e, true);
    clock_advance(f->env.clock, 2000000);
    ck_assert_uint_eq(status() & 1, 0);
    dev_out(f, 0x64, 0xae);
    ck_assert_uint_eq(next(), 0x1c);
    dev_out(f, 0x60, 0xf2);
    ck_assert_uint_eq(next(), 0xfa);
    ck_assert_uint_eq(next(), 0xab);
    ck_assert_uint_eq(next(), 0x83);
}
END_TEST

START_TEST(mouse)
{
    set_ctr(0x03);
    dev_out(f, 0x64, 0xd4);
    dev_out(f, 0x60, 0xf4);
    ck_assert_int_eq(f->level[IRQ12], 1);
    ck_assert_int_eq(f->level[IRQ1], 0);
    ck_assert_uint_eq(status() & 0x21, 0x21);
    ck_assert_uint_eq(next(), 0xfa);
    ps2mouse_move(i8042_get_mouse(c), 1, -1, 0, 1);
    ps2mouse_move(i8042_get_mouse(c), 1, -1, 0, 1);
    ck_assert_uint_eq(next(), 0x09);
    ck_assert_uint_eq(next(), 1);
    ck_assert_uint_eq(next(), 1);
    ck_assert_uint_eq(next(), 0x09);
    ck_assert_uint_eq(next(), 1);
    ck_assert_uint_eq(next(), 1);
    ck_assert_int_eq(f->rises[IRQ12], 7);
    dev_out(f, 0x64, 0xd3);
    dev_out(f, 0x60, 0x42);
    ck_assert_uint_eq(status() & 0x21, 0x21);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x42);
    dev_out(f, 0x64, 0xd2);
    dev_out(f, 0x60, 0x43);
    ck_assert_uint_eq(status() & 0x21, 0x01);
    ck_assert_int_eq(f->level[IRQ1], 1);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x43);
}
END_TEST

START_TEST(lines)
{
    dev_out(f, 0x64, 0xd1);
    dev_out(f, 0x60, 0x01);
    ck_assert_int_eq(f->level[A20], 0);
    dev_out(f, 0x64, 0xd0);
    ck_assert_uint_eq(dev_in(f, 0x60), 0x01);
    dev_out(f, 0x64, 0xd1);
    dev_out(f, 0x60, 0x03);
    ck_assert_int_eq(f->level[A20], 1);
    dev_out(f, 0x64, 0xff);
    ck_assert_int_eq(f->rises[RESET], 0);
    dev_out(f, 0x64, 0xfe);
    ck_assert_int_eq(f->rises[RESET], 1);
    ck_assert_int_eq(f->level[RESET], 0);
}
END_TEST

Suite *i8042_suite(void)
{
    Suite *s = suite_create("i8042");
    TCase *tc = tcase_create("i8042");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, controller);
    tcase_add_test(tc, keyboard);
    tcase_add_test(tc, mouse);
    tcase_add_test(tc, lines);
    suite_add_tcase(s, tc);
    return s;
}
