/* hw/timer/i8254: modes, access, latches, gate, OUT0 (data sheet 231164). */
#include "hw/timer/i8254.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct i8254 *pit;
static int64_t ticks; /* CLK ticks gone by */

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line irq = dev_line(f, 0);
    pit = i8254_new(&f->env, &irq);
    dev_reset(f);
    ticks = 0;
}

static void teardown(void)
{
    i8254_free(pit);
    device_fixture_free(f);
}

/* Go to the middle of the n-th tick from here. */
static void tick(int64_t n)
{
    ticks += n;
    int64_t when = muldiv64(2 * ticks + 1, NS_PER_SEC, 2 * I8254_HZ);
    clock_advance(f->env.clock, when - clock_now(f->env.clock));
}

static void program(int ch, int mode, unsigned count)
{
    dev_out(f, 0x43, (uint8_t)(ch << 6 | 0x30 | mode << 1));
    dev_out(f, (uint16_t)(0x40 + ch), (uint8_t)count);
    dev_out(f, (uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}

static unsigned latched(int ch)
{
    dev_out(f, 0x43, (uint8_t)(ch << 6));
    unsigned v = dev_in(f, (uint16_t)(0x40 + ch));
    return v | (unsigned)dev_in(f, (uint16_t)(0x40 + ch)) << 8;
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&i8254_state_table), -1);
}
END_TEST

START_TEST(mode0)
{
    tick(0);
    program(0, 0, 100);
    ck_assert_int_eq(f->level[0], 0);
    tick(1);
    ck_assert_uint_eq(latched(0), 100);
    tick(99);
    ck_assert_uint_eq(latched(0), 1);
    ck_assert_int_eq(i8254_get_out(pit, 0), 0);
    tick(1); /* OUT rises N + 1 pulses after the count was written */
    ck_assert_int_eq(i8254_get_out(pit, 0), 1);
    ck_assert_int_eq(f->level[0], 1);
    tick(1);
    ck_assert_uint_eq(latched(0), 0xffff);
    ck_assert(clock_deadline(f->env.clock) == INT64_MAX);
}
END_TEST

START_TEST(mode2)
{
    tick(0);
    f->rises[0] = 0;
    program(0, 2, 1000);
    int before = f->rises[0];
    tick(1 + 999);
    ck_assert_int_eq(i8254_get_out(pit, 0), 0); /* low for the last tick */
    ck_assert_uint_eq(latched(0), 1);
    ck_assert_int_eq(f->rises[0], before);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 0), 1);
    ck_assert_int_eq(f->rises[0], before + 1);
    tick(5000);
    ck_assert_int_eq(f->rises[0], before + 6);
    dev_out(f, 0x40, 0xf4); /* 500: from the next period on */
    dev_out(f, 0x40, 0x01);
    tick(999);
    ck_assert_int_eq(f->rises[0], before + 6);
    tick(1);
    ck_assert_int_eq(f->rises[0], before + 7);
    tick(500);
    ck_assert_int_eq(f->rises[0], before + 8);
}
END_TEST

START_TEST(mode3)
{
    i8254_set_gate(pit, 2, true);
    tick(0);
    program(2, 3, 5);
    static const int out[10] = { 1, 1, 1, 0, 0, 1, 1, 1, 0, 0 };
    static const unsigned count[10] = { 4, 2, 0, 4, 2, 4, 2, 0, 4, 2 };
    for (int i = 0; i < 10; i++) {
        tick(1);
        ck_assert_int_eq(i8254_get_out(pit, 2), out[i]);
        ck_assert_uint_eq(latched(2), count[i]);
    }
    i8254_set_gate(pit, 2, false);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
    ck_assert_uint_eq(i8254_get_millihertz(pit, 2), 1193182u * 1000u / 5);
}
END_TEST

START_TEST(mode1_and_5)
{
    tick(0);
    program(2, 1, 3);
    tick(5);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
    i8254_set_gate(pit, 2, true);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 2), 0);
    i8254_set_gate(pit, 2, false); /* no effect on the pulse */
    tick(2);
    ck_assert_int_eq(i8254_get_out(pit, 2), 0);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
    program(2, 5, 3);
    i8254_set_gate(pit, 2, true);
    tick(3);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 2), 0);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
}
END_TEST

START_TEST(mode4_and_gate)
{
    i8254_set_gate(pit, 2, true);
    tick(0);
    program(2, 4, 10);
    tick(1 + 4);
    i8254_set_gate(pit, 2, false);
    tick(50);
    ck_assert_uint_eq(latched(2), 6);
    i8254_set_gate(pit, 2, true);
    tick(6);
    ck_assert_int_eq(i8254_get_out(pit, 2), 0);
    tick(1);
    ck_assert_int_eq(i8254_get_out(pit, 2), 1);
}
END_TEST

START_TEST(bcd_and_bytes)
{
    tick(0);
    dev_out(f, 0x43, 0x35); /* counter 0, mode 2, BCD */
    dev_out(f, 0x40, 0x00);
    dev_out(f, 0x40, 0x10);
    tick(2);
    ck_assert_uint_eq(latched(0), 0x0999);
    dev_out(f, 0x43, 0x54); /* counter 1, LSB only, mode 2 */
    dev_out(f, 0x41, 200);
    tick(2);
    ck_assert_uint_eq(dev_in(f, 0x41), 199);
    dev_out(f, 0x43, 0x64); /* MSB only */
    dev_out(f, 0x41, 2);
    tick(1);
    ck_assert_uint_eq(dev_in(f, 0x41), 2);
}
END_TEST

START_TEST(read_back)
{
    tick(0);
    program(0, 3, 0x1234);
    dev_out(f, 0x43, 0xe2); /* status of counter 0 */
    ck_assert_uint_eq(dev_in(f, 0x40), 0xb6);
    tick(1);
    dev_out(f, 0x43, 0xc2); /* count and status: status comes first */
    tick(100);
    ck_assert_uint_eq(dev_in(f, 0x40), 0xb6);
    ck_assert_uint_eq(dev_in(f, 0x40), 0x34);
    ck_assert_uint_eq(dev_in(f, 0x40), 0x12);
    dev_out(f, 0x43, 0x36);
    dev_out(f, 0x43, 0xe2);
    ck_assert_uint_eq(dev_in(f, 0x40), 0xf6); /* null count */
}
END_TEST

START_TEST(cut)
{
    tick(0);
    program(0, 2, 1000);
    i8254_set_irq_cut(pit, true);
    int before = f->rises[0];
    tick(5000);
    ck_assert_int_eq(f->level[0], 0);
    ck_assert_int_eq(f->rises[0], before);
    i8254_set_irq_cut(pit, false);
    tick(1000);
    ck_assert_int_gt(f->rises[0], before);
}
END_TEST

Suite *i8254_suite(void)
{
    Suite *s = suite_create("i8254");
    TCase *tc = tcase_create("i8254");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, mode0);
    tcase_add_test(tc, mode2);
    tcase_add_test(tc, mode3);
    tcase_add_test(tc, mode1_and_5);
    tcase_add_test(tc, mode4_and_gate);
    tcase_add_test(tc, bcd_and_bytes);
    tcase_add_test(tc, read_back);
    tcase_add_test(tc, cut);
    suite_add_tcase(s, tc);
    return s;
}
