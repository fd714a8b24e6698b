/* hw/input/ps2mouse: commands, packets, wheel and buttons. */
#include "hw/input/ps2mouse.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct ps2mouse *m;

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line ready = dev_line(f, 0);
    m = ps2mouse_new(&f->env, &ready);
    dev_reset(f);
}

static void teardown(void)
{
    ps2mouse_free(m);
    device_fixture_free(f);
}

static void expect(const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        ck_assert(ps2mouse_pending(m));
        ck_assert_uint_eq(ps2mouse_read(m), bytes[i]);
    }
    ck_assert(!ps2mouse_pending(m));
    ck_assert_int_eq(f->level[0], 0);
}

#define EXPECT(...) \
    do { \
        static const uint8_t bytes_[] = { __VA_ARGS__ }; \
        expect(bytes_, sizeof(bytes_)); \
    } while (0)

static void command(uint8_t v)
{
    ps2mouse_write(m, v);
    EXPECT(0xfa);
}

static void knock(uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rate[3] = { a, b, c };
    for (int i = 0; i < 3; i++) {
        command(0xf3);
        command(rate[i]);
    }
}

START_TEST(commands)
{
    ck_assert_int_eq(state_table_gap(&ps2mouse_state_table), -1);
    ps2mouse_write(m, 0xff);
    ck_assert_int_eq(f->level[0], 1);
    EXPECT(0xfa, 0xaa, 0x00);
    ps2mouse_write(m, 0xf2);
    EXPECT(0xfa, 0x00);
    ps2mouse_write(m, 0xe9);
    EXPECT(0xfa, 0x00, 2, 100);
    command(0xe8);
    command(3);
    command(0xe7);
    command(0xf4);
    ps2mouse_write(m, 0xe9);
    EXPECT(0xfa, 0x30, 3, 100);
    command(0xf6);
    ps2mouse_write(m, 0xe9);
    EXPECT(0xfa, 0x00, 2, 100);
    ps2mouse_write(m, 0x12);
    EXPECT(0xfe);
}
END_TEST

START_TEST(stream)
{
    ps2mouse_move(m, 5, 5, 0, 0); /* not enabled */
    ck_assert(!ps2mouse_pending(m));
    command(0xf4);
    ps2mouse_move(m, 5, 3, 0, PS2MOUSE_LEFT);
    EXPECT(0x29, 5, 0xfd);
    ps2mouse_write(m, 0xfe);
    EXPECT(0x29, 5, 0xfd);
    ps2mouse_move(m, 0, 0, 7, PS2MOUSE_LEFT); /* no wheel */
    ck_assert(!ps2mouse_pending(m));
    ps2mouse_move(m, -300, 0, 0, 0);
    EXPECT(0x18, 0x01, 0x00, 0x18, 0xd3, 0x00); /* -255, then -45 */
    command(0xe7);
    ps2mouse_move(m, 4, -10, 0, 0);
    EXPECT(0x08, 6, 20);
}
END_TEST

START_TEST(wheel)
{
    knock(200, 100, 80);
    ps2mouse_write(m, 0xf2);
    EXPECT(0xfa, 0x03);
    command(0xf4);
    ps2mouse_move(m, 0, 0, -1, PS2MOUSE_MIDDLE);
    EXPECT(0x0c, 0, 0, 0xff);
    knock(200, 200, 80);
    ps2mouse_write(m, 0xf2);
    EXPECT(0xfa, 0x04);
    ps2mouse_move(m, 0, 0, 1, PS2MOUSE_FIFTH);
    EXPECT(0x08, 0, 0, 0x21);
    ps2mouse_write(m, 0xff);
    EXPECT(0xfa, 0xaa, 0x00);
    ps2mouse_write(m, 0xf2);
    EXPECT(0xfa, 0x00);
}
END_TEST

START_TEST(remote_and_wrap)
{
    command(0xf0);
    ps2mouse_move(m, 1, -2, 0, PS2MOUSE_RIGHT);
    ck_assert(!ps2mouse_pending(m));
    ps2mouse_write(m, 0xeb);
    EXPECT(0xfa, 0x0a, 1, 2);
    ps2mouse_write(m, 0xe9);
    EXPECT(0xfa, 0x41, 2, 100);
    command(0xea);
    command(0xee);
    ps2mouse_write(m, 0xf4);
    EXPECT(0xf4);
    command(0xec);
    ps2mouse_write(m, 0xe9);
    EXPECT(0xfa, 0x01, 2, 100);
}
END_TEST

START_TEST(flood)
{
    command(0xf4);
    for (int i = 0; i < 100000; i++)
        ps2mouse_move(m, INT32_MAX, INT32_MIN, INT32_MIN, (unsigned)i);
    for (int i = 0; i < 6; i++)
        ps2mouse_read(m);
    ck_assert(ps2mouse_pending(m));
}
END_TEST

Suite *ps2mouse_suite(void)
{
    Suite *s = suite_create("ps2mouse");
    TCase *tc = tcase_create("ps2mouse");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, commands);
    tcase_add_test(tc, stream);
    tcase_add_test(tc, wheel);
    tcase_add_test(tc, remote_and_wrap);
    tcase_add_test(tc, flood);
    suite_add_tcase(s, tc);
    return s;
}
