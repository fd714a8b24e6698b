/* hw/char/debugcon: output and the read-back value. */
#include "hw/char/debugcon.h"
#include "tests/unit/device_fixture.h"
#include "ui/chardev_backends.h"

START_TEST(output)
{
    struct device_fixture *f = device_fixture_new();
    struct chardev *chr = chardev_new_memory();
    struct debugcon *d = debugcon_new(&f->env, 0x402, chr);
    ck_assert_uint_eq(dev_in(f, 0x402), 0xe9);
    dev_out(f, 0x402, 'o');
    dev_out(f, 0x402, 'k');
    ck_assert_str_eq(chardev_memory_output(chr, NULL), "ok");
    debugcon_free(d);
    d = debugcon_new(&f->env, 0xe9, NULL);
    dev_out(f, 0xe9, 'x');
    debugcon_free(d);
    chardev_free(chr);
    device_fixture_free(f);
}
END_TEST

Suite *debugcon_suite(void)
{
    Suite *s = suite_create("debugcon");
    TCase *tc = tcase_create("debugcon");
    tcase_add_test(tc, output);
    suite_add_tcase(s, tc);
    return s;
}
