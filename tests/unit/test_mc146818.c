/* hw/timer/mc146818: calendar, formats, update, alarm and periodic interrupts, memory. */
#include "hw/timer/mc146818.h"
#include "tests/unit/device_fixture.h"

#define MS INT64_C(1000000)
#define EPOCH INT64_C(951782399) /* 2000-02-28 23:59:59, a Monday */

static struct device_fixture *f;
static struct mc146818 *rtc;

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line irq = dev_line(f, 8);
    rtc = mc146818_new(&f->env, EPOCH, &irq);
    dev_reset(f);
}

static void teardown(void)
{
    mc146818_free(rtc);
    device_fixture_free(f);
}

static uint8_t rd(uint8_t idx)
{
    dev_out(f, 0x70, idx);
    return dev_in(f, 0x71);
}

static void wr(uint8_t idx, uint8_t v)
{
    dev_out(f, 0x70, idx);
    dev_out(f, 0x71, v);
}

static void check_time(unsigned century, unsigned year, unsigned month, unsigned day, unsigned dow,
                       unsigned hour, unsigned min, unsigned sec)
{
    ck_assert_uint_eq(rd(0x32), century);
    ck_assert_uint_eq(rd(9), year);
    ck_assert_uint_eq(rd(8), month);
    ck_assert_uint_eq(rd(7), day);
    ck_assert_uint_eq(rd(6), dow);
    ck_assert_uint_eq(rd(4), hour);
    ck_assert_uint_eq(rd(2), min);
    ck_assert_uint_eq(rd(0), sec);
}

START_TEST(power_on)
{
    ck_assert_int_eq(state_table_gap(&mc146818_state_table), -1);
    ck_assert_uint_eq(rd(0x0a), 0x26);
    ck_assert_uint_eq(rd(0x0b), 0x02);
    ck_assert_uint_eq(rd(0x0c), 0x00);
    ck_assert_uint_eq(rd(0x0d), 0x80);
    ck_assert(clock_deadline(f->env.clock) == INT64_MAX);
}
END_TEST

START_TEST(calendar)
{
    check_time(0x20, 0x00, 0x02, 0x28, 2, 0x23, 0x59, 0x59);
    clock_advance(f->env.clock, 1000 * MS);
    check_time(0x20, 0x00, 0x02, 0x29, 3, 0x00, 0x00, 0x00); /* 2000 is a leap year */
    wr(0x0b, 0x04); /* binary, 12 hours */
    check_time(20, 0, 2, 29, 3, 12, 0, 0);
    clock_advance(f->env.clock, 13 * 3600 * 1000 * MS);
    ck_assert_uint_eq(rd(4), 0x81);
}
END_TEST

START_TEST(set)
{
    clock_advance(f->env.clock, 300 * MS);
    wr(0x0b, 0x92);
    ck_assert_uint_eq(rd(0x0b), 0x82); /* SET clears UIE */
    wr(0x32, 0x19);
    wr(9, 0x99);
    wr(8, 0x12);
    wr(7, 0x31);
    wr(4, 0x23);
    wr(2, 0x59);
    wr(0, 0x58);
    clock_advance(f->env.clock, 5000 * MS);
    ck_assert_uint_eq(rd(0), 0x58); /* stands still */
    wr(0x0b, 0x02);
    check_time(0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58);
    clock_advance(f->env.clock, 2000 * MS);
    check_time(0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00);
}
END_TEST

START_TEST(divider)
{
    wr(0x0a, 0x76); /* divider held in reset */
    clock_advance(f->env.clock, 1234 * MS);
    wr(0x0a, 0x26);
    uint8_t sec = rd(0);
    clock_advance(f->env.clock, 499 * MS); /* first update after half a second */
    ck_assert_uint_eq(rd(0), sec);
    clock_advance(f->env.clock, 1 * MS);
    ck_assert_uint_ne(rd(0), sec);
}
END_TEST

START_TEST(uip)
{
    clock_advance(f->env.clock, 999 * MS + 755000);
    ck_assert_uint_eq(rd(0x0a), 0x26);
    clock_advance(f->env.clock, 2000);
    ck_assert_uint_eq(rd(0x0a), 0xa6);
    clock_advance(f->env.clock, 243000);
    ck_assert_uint_eq(rd(0x0a), 0x26);
}
END_TEST

START_TEST(update_interrupt)
{
    wr(0x0b, 0x12);
    clock_advance(f->env.clock, 999 * MS);
    ck_assert_int_eq(f->level[8], 0);
    clock_advance(f->env.clock, 1 * MS);
    ck_assert_int_eq(f->level[8], 1);
    ck_assert_uint_eq(rd(0x0c) & 0x90, 0x90);
    ck_assert_int_eq(f->level[8], 0);
    ck_assert_uint_eq(rd(0x0c), 0);
    clock_advance(f->env.clock, 1000 * MS);
    ck_assert_int_eq(f->level[8], 1);
    dev_reset(f);
    ck_assert_int_eq(f->level[8], 0);
    ck_assert_uint_eq(rd(0x0b), 0x02);
}
END_TEST

START_TEST(alarm)
{
    wr(1, 0x03);
    wr(3, 0x00);
    wr(5, 0x00);
    wr(0x0b, 0x22);
    clock_advance(f->env.clock, 3999 * MS);
    ck_assert_int_eq(f->level[8], 0);
    clock_advance(f->env.clock, 1 * MS); /* 00:00:03 */
    ck_assert_int_eq(f->level[8], 1);
    ck_assert_uint_eq(rd(0x0c) & 0xa0, 0xa0);
    wr(1, 0xff);
    wr(3, 0xff);
    wr(5, 0xc0); /* don't care: every second */
    clock_advance(f->env.clock, 1000 * MS);
    ck_assert_int_eq(f->level[8], 1);
}
END_TEST

START_TEST(periodic)
{
    wr(0x0a, 0x2f); /* 2 Hz */
    wr(0x0b, 0x42);
    rd(0x0c);
    int before = f->rises[8];
    for (int i = 0; i < 4; i++) {
        clock_advance(f->env.clock, 500 * MS);
        rd(0x0c);
    }
    ck_assert_int_eq(f->rises[8], before + 4);
    wr(0x0a, 0x26); /* 1024 Hz, interrupt off: the flag comes all the same */
    wr(0x0b, 0x02);
    rd(0x0c);
    ck_assert(clock_deadline(f->env.clock) == INT64_MAX);
    clock_advance(f->env.clock, 1 * MS);
    ck_assert_uint_eq(rd(0x0c), 0x40);
    mc146818_set_irq_cut(rtc, true);
    wr(0x0b, 0x42);
    clock_advance(f->env.clock, 10 * MS);
    ck_assert_int_eq(f->level[8], 0);
    mc146818_set_irq_cut(rtc, false);
    ck_assert_int_eq(f->level[8], 1);
}
END_TEST

START_TEST(memory)
{
    mc146818_set_cmos(rtc, 0x34, 0xab);
    mc146818_set_cmos(rtc, 0x0d, 0); /* not memory */
    ck_assert_uint_eq(rd(0x34), 0xab);
    ck_assert_uint_eq(rd(0x0d), 0x80);
    wr(0x7f, 0x5a);
    ck_assert_uint_eq(mc146818_get_cmos(rtc, 0x7f), 0x5a);
    ck_assert(!mc146818_nmi_masked(rtc));
    wr(0xff, 0x5b);
    ck_assert(mc146818_nmi_masked(rtc));
    ck_assert_uint_eq(mc146818_get_cmos(rtc, 0x7f), 0x5b);
    dev_reset(f);
    ck_assert_uint_eq(rd(0x34), 0xab);
}
END_TEST

START_TEST(nonsense_time)
{
    wr(0x0b, 0x86);
    for (uint8_t i = 0; i < 10; i++)
        wr(i, 0xff);
    wr(0x32, 0xff);
    wr(0x0b, 0x06);
    clock_advance(f->env.clock, 5000 * MS);
    ck_assert_uint_lt(rd(0), 60);
    ck_assert_uint_le(rd(8), 12);
}
END_TEST

Suite *mc146818_suite(void)
{
    Suite *s = suite_create("mc146818");
    TCase *tc = tcase_create("mc146818");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, power_on);
    tcase_add_test(tc, calendar);
    tcase_add_test(tc, set);
    tcase_add_test(tc, divider);
    tcase_add_test(tc, uip);
    tcase_add_test(tc, update_interrupt);
    tcase_add_test(tc, alarm);
    tcase_add_test(tc, periodic);
    tcase_add_test(tc, memory);
    tcase_add_test(tc, nonsense_time);
    suite_add_tcase(s, tc);
    return s;
}
