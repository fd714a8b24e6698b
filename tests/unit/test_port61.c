/* hw/misc/port61: gate and output of counter 2, refresh toggle, enables. */
#include "hw/misc/port61.h"
#include "hw/timer/i8254.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct i8254 *pit;
static struct port61 *p;

static void setup(void)
{
    f = device_fixture_new();
    pit = i8254_new(&f->env, NULL);
    p = port61_new(&f->env, pit);
    dev_reset(f);
}

static void teardown(void)
{
    port61_free(p);
    i8254_free(pit);
    device_fixture_free(f);
}

START_TEST(bits)
{
    ck_assert_int_eq(state_table_gap(&port61_state_table), -1);
    dev_out(f, 0x61, 0xff);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0xcf, 0x0f);
    ck_assert(port61_speaker_on(p));
    ck_assert(!port61_serr_nmi_enabled(p));
    ck_assert(!port61_iochk_nmi_enabled(p));
    dev_reset(f);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0x0f, 0);
    ck_assert(port61_serr_nmi_enabled(p));
    ck_assert(port61_iochk_nmi_enabled(p));
}
END_TEST

START_TEST(refresh)
{
    uint8_t before = dev_in(f, 0x61) & 0x10;
    clock_advance(f->env.clock, 15000);
    ck_assert_uint_ne(dev_in(f, 0x61) & 0x10, before);
    clock_advance(f->env.clock, 15000);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0x10, before);
}
END_TEST

START_TEST(counter2)
{
    dev_out(f, 0x61, 0x01);
    ck_assert_int_eq(i8254_get_gate(pit, 2), 1);
    dev_out(f, 0x43, 0xb0);
    dev_out(f, 0x42, 0xa9); /* 1193 ticks: a millisecond */
    dev_out(f, 0x42, 0x04);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0x20, 0);
    clock_advance(f->env.clock, 998000);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0x20, 0);
    clock_advance(f->env.clock, 3000);
    ck_assert_uint_eq(dev_in(f, 0x61) & 0x20, 0x20);
}
END_TEST

Suite *port61_suite(void)
{
    Suite *s = suite_create("port61");
    TCase *tc = tcase_create("port61");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bits);
    tcase_add_test(tc, refresh);
    tcase_add_test(tc, counter2);
    suite_add_tcase(s, tc);
    return s;
}
