/* Option lists, numbers and sizes as QEMU writes them. */
#include "machine/keyval.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

static struct keyval kv;
static struct error err;

static void parse(const char *text)
{
    memset(&err, 0, sizeof(err));
    ck_assert_int_eq(keyval_parse(&kv, "-x", text, &err), 0);
}

START_TEST(test_pairs)
{
    parse("first,a=1,flag,b=2=3,a=4,empty=");
    ck_assert_str_eq(keyval_first(&kv), "first");
    ck_assert_str_eq(keyval_get(&kv, "a"), "4"); /* the last one counts */
    ck_assert_str_eq(keyval_get(&kv, "flag"), "on");
    ck_assert_str_eq(keyval_get(&kv, "b"), "2=3");
    ck_assert_str_eq(keyval_get(&kv, "empty"), "");
    ck_assert_ptr_null(keyval_get(&kv, "c"));
    ck_assert_int_eq(keyval_check_used(&kv, "-x", &err), 0);
    keyval_free(&kv);
}
END_TEST

START_TEST(test_commas)
{
    parse("file=a,,b,,,c=1,d=,,,,");
    ck_assert_str_eq(keyval_get(&kv, "file"), "a,b,");
    ck_assert_str_eq(keyval_get(&kv, "c"), "1");
    ck_assert_str_eq(keyval_get(&kv, "d"), ",,");
    keyval_free(&kv);
    parse("a,,b");
    ck_assert_str_eq(keyval_first(&kv), "a,b");
    keyval_free(&kv);
    parse("");
    ck_assert_str_eq(keyval_first(&kv), "");
    keyval_free(&kv);
}
END_TEST

START_TEST(test_unused)
{
    parse("x,known=1,strange=2");
    keyval_first(&kv);
    keyval_get(&kv, "known");
    ck_assert_int_eq(keyval_check_used(&kv, "-x", &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "strange"));
    keyval_free(&kv);
    parse("word");
    ck_assert_int_eq(keyval_check_used(&kv, "-x", &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "word"));
    keyval_free(&kv);
}
END_TEST

START_TEST(test_too_many)
{
    char text[2 * KEYVAL_MAX + 4] = "";

    for (unsigned i = 0; i < KEYVAL_MAX; i++)
        strcat(text, i ? ",a" : "a");
    parse(text);
    keyval_free(&kv);
    strcat(text, ",a");
    ck_assert_int_eq(keyval_parse(&kv, "-x", text, &err), -EINVAL);
}
END_TEST

START_TEST(test_bool)
{
    static const struct { const char *text; int value; } cases[] = {
        { "on", 1 }, { "yes", 1 }, { "true", 1 }, { "off", 0 }, { "no", 0 }, { "false", 0 }, { "maybe", -1 },
        { "", -1 },
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32] = "v=";
        bool v = cases[i].value != 1;
        parse(strcat(text, cases[i].text));
        ck_assert_int_eq(keyval_get_bool(&kv, "-x", "v", &v, &err), cases[i].value < 0 ? -EINVAL : 0);
        if (cases[i].value >= 0)
            ck_assert_int_eq(v, cases[i].value);
        ck_assert_int_eq(keyval_get_bool(&kv, "-x", "absent", &v, &err), 0);
        keyval_free(&kv);
    }
}
END_TEST

START_TEST(test_numbers)
{
    uint64_t v;

    ck_assert_int_eq(parse_number("0x10", &v), 0);
    ck_assert_uint_eq(v, 16);
    ck_assert_int_eq(parse_number("18446744073709551615", &v), 0);
    ck_assert_uint_eq(v, UINT64_MAX);
    ck_assert_int_eq(parse_number("18446744073709551616", &v), -EINVAL);
    ck_assert_int_eq(parse_number("-1", &v), -EINVAL);
    ck_assert_int_eq(parse_number("", &v), -EINVAL);
    ck_assert_int_eq(parse_number("12x", &v), -EINVAL);
    ck_assert_int_eq(parse_number(" 1", &v), -EINVAL);
    parse("n=7,bad=x");
    v = 3;
    ck_assert_int_eq(keyval_get_number(&kv, "-x", "absent", &v, &err), 0);
    ck_assert_uint_eq(v, 3);
    ck_assert_int_eq(keyval_get_number(&kv, "-x", "n", &v, &err), 0);
    ck_assert_uint_eq(v, 7);
    ck_assert_int_eq(keyval_get_number(&kv, "-x", "bad", &v, &err), -EINVAL);
    keyval_free(&kv);
}
END_TEST

START_TEST(test_sizes)
{
    uint64_t v;

    ck_assert_int_eq(parse_size("128", 1 << 20, &v), 0);
    ck_assert_uint_eq(v, 128 << 20);
    ck_assert_int_eq(parse_size("4k", 1 << 20, &v), 0);
    ck_assert_uint_eq(v, 4096);
    ck_assert_int_eq(parse_size("1.5G", 1, &v), 0);
    ck_assert_uint_eq(v, UINT64_C(3) << 29);
    ck_assert_int_eq(parse_size("2T", 1, &v), 0);
    ck_assert_uint_eq(v, UINT64_C(2) << 40);
    ck_assert_int_eq(parse_size("7B", 1 << 20, &v), 0);
    ck_assert_uint_eq(v, 7);
    static const char *const bad[] = { "", "G", "-1", "1X", "1GB", "1 G", "99999999999999999999", "1e300" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(parse_size(bad[i], 1, &v) == -EINVAL, "'%s'", bad[i]);
}
END_TEST

Suite *keyval_suite(void)
{
    Suite *s = suite_create("keyval");
    TCase *t = tcase_create("keyval");

    tcase_add_test(t, test_pairs);
    tcase_add_test(t, test_commas);
    tcase_add_test(t, test_unused);
    tcase_add_test(t, test_too_many);
    tcase_add_test(t, test_bool);
    tcase_add_test(t, test_numbers);
    tcase_add_test(t, test_sizes);
    suite_add_tcase(s, t);
    return s;
}
