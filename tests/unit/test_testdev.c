/* hw/misc/testdev: scratch port, interrupt injection, scratch MMIO. */
#include "hw/misc/testdev.h"
#include "tests/unit/device_fixture.h"

START_TEST(all)
{
    struct device_fixture *f = device_fixture_new();
    struct irq_line lines[TESTDEV_LINES];
    for (int i = 0; i < TESTDEV_LINES; i++)
        lines[i] = dev_line(f, i);
    struct testdev *t = testdev_new(&f->env, lines);
    ck_assert_int_eq(state_table_gap(&testdev_state_table), -1);
    mem_write(f->env.ports, 0xe0, 0x12345678, 4);
    ck_assert_uint_eq(mem_read(f->env.ports, 0xe0, 4), 0x12345678);
    ck_assert_uint_eq(mem_read(f->env.ports, 0xe1, 1), 0x56);
    ck_assert_uint_eq(mem_read(f->env.ports, 0xe2, 2), 0x1234);
    dev_out(f, 0x2017, 1);
    ck_assert_int_eq(f->level[23], 1);
    dev_out(f, 0x2017, 0);
    ck_assert_int_eq(f->level[23], 0);
    mem_write(f->env.memory, 0xff00fff8, UINT64_C(0x1122334455667788), 8);
    ck_assert(mem_read(f->env.memory, 0xff00fff8, 8) == UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(mem_read(f->env.memory, 0xff00ffff, 1), 0x11);
    dev_reset(f);
    ck_assert_uint_eq(mem_read(f->env.ports, 0xe0, 4), 0);
    testdev_free(t);
    device_fixture_free(f);
}
END_TEST

Suite *testdev_suite(void)
{
    Suite *s = suite_create("testdev");
    TCase *tc = tcase_create("testdev");
    tcase_add_test(tc, all);
    suite_add_tcase(s, tc);
    return s;
}
