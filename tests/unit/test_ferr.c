/* hw/misc/ferr: FERR# latch and port 0xF0. */
#include "hw/misc/ferr.h"
#include "tests/unit/device_fixture.h"

START_TEST(all)
{
    struct device_fixture *f = device_fixture_new();
    struct irq_line irq = dev_line(f, 13);
    struct ferr *p = ferr_new(&f->env, &irq);
    dev_reset(f);
    ck_assert_int_eq(state_table_gap(&ferr_state_table), -1);
    ferr_set(p, 0, 1);
    ck_assert_int_eq(f->level[13], 1);
    ferr_set(p, 0, 0); /* the latch holds */
    ck_assert_int_eq(f->level[13], 1);
    dev_out(f, 0xf0, 0);
    ck_assert_int_eq(f->level[13], 0);
    ferr_set(p, 0, 1); /* a second error is a second edge */
    ck_assert_int_eq(f->rises[13], 2);
    dev_reset(f);
    ck_assert_int_eq(f->level[13], 0);
    ferr_free(p);
    device_fixture_free(f);
}
END_TEST

Suite *ferr_suite(void)
{
    Suite *s = suite_create("ferr");
    TCase *tc = tcase_create("ferr");
    tcase_add_test(tc, all);
    suite_add_tcase(s, tc);
    return s;
}
