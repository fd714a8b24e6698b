/* hw/misc/port92: fast A20 and fast reset. */
#include "hw/misc/port92.h"
#include "tests/unit/device_fixture.h"

START_TEST(all)
{
    struct device_fixture *f = device_fixture_new();
    struct irq_line a20 = dev_line(f, 0), reset = dev_line(f, 1);
    struct port92 *p = port92_new(&f->env, &a20, &reset);
    dev_reset(f);
    ck_assert_int_eq(state_table_gap(&port92_state_table), -1);
    ck_assert_uint_eq(dev_in(f, 0x92), 0);
    dev_out(f, 0x92, 0x02);
    ck_assert_int_eq(f->level[0], 1);
    ck_assert_uint_eq(dev_in(f, 0x92), 0x02);
    dev_out(f, 0x92, 0x03);
    ck_assert_int_eq(f->rises[1], 1);
    ck_assert_int_eq(f->level[1], 0);
    dev_out(f, 0x92, 0x01); /* no edge */
    ck_assert_int_eq(f->rises[1], 1);
    ck_assert_int_eq(f->level[0], 0);
    port92_free(p);
    device_fixture_free(f);
}
END_TEST

Suite *port92_suite(void)
{
    Suite *s = suite_create("port92");
    TCase *tc = tcase_create("port92");
    tcase_add_test(tc, all);
    suite_add_tcase(s, tc);
    return s;
}
