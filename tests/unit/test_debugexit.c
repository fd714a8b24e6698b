/* hw/misc/debugexit: the status that a write makes. */
#include "hw/misc/debugexit.h"
#include "tests/unit/device_fixture.h"

static void leave(void *opaque, int status)
{
    *(int *)opaque = status;
}

START_TEST(status)
{
    struct device_fixture *f = device_fixture_new();
    int got = -1;
    struct debugexit *d = debugexit_new(&f->env, 0xf4, 4, leave, &got);
    dev_out(f, 0xf4, 0);
    ck_assert_int_eq(got, 1);
    mem_write(f->env.ports, 0xf4, 0x10, 4);
    ck_assert_int_eq(got, 0x21);
    mem_write(f->env.ports, 0xf4, 0x1234, 2);
    ck_assert_int_eq(got, 0x2469);
    debugexit_free(d);
    device_fixture_free(f);
}
END_TEST

Suite *debugexit_suite(void)
{
    Suite *s = suite_create("debugexit");
    TCase *tc = tcase_create("debugexit");
    tcase_add_test(tc, status);
    suite_add_tcase(s, tc);
    return s;
}
