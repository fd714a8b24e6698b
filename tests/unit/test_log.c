/* base/log.h and base/error.h. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

START_TEST(items)
{
    struct log log;
    const char *bad = NULL;
    log_init(&log);
    ck_assert_int_eq(log_parse(&log, "in,guest_errors", &bad), 0);
    ck_assert_uint_eq(log.mask, LOG_IN | LOG_GUEST);
    ck_assert_int_eq(log_parse(&log, "int", &bad), 0);
    ck_assert_uint_eq(log.mask, LOG_IN | LOG_GUEST | LOG_INT);
    ck_assert_int_eq(log_parse(&log, "mmu,nonsense,cpu", &bad), -EINVAL);
    ck_assert_str_eq(bad, "nonsense");
    ck_assert_uint_eq(log.mask, LOG_IN | LOG_GUEST | LOG_INT);
    ck_assert_int_eq(log_parse(&log, "", &bad), -EINVAL);
    ck_assert_int_eq(log_parse(&log, "in,", &bad), -EINVAL);
}
END_TEST

START_TEST(filter)
{
    struct log log;
    log_init(&log);
    ck_assert_int_eq(log_parse_filter(&log, "0x1000+0x20"), 0);
    ck_assert_uint_eq(log.filter_lo, 0x1000);
    ck_assert_uint_eq(log.filter_hi, 0x101f);
    ck_assert_int_eq(log_parse_filter(&log, "0x1000-0x20"), 0);
    ck_assert_uint_eq(log.filter_lo, 0xfe1);
    ck_assert_uint_eq(log.filter_hi, 0x1000);
    ck_assert_int_eq(log_parse_filter(&log, "16..0xffffffffffffffff"), 0);
    ck_assert_uint_eq(log.filter_lo, 16);
    ck_assert_uint_eq(log.filter_hi, UINT64_MAX);
    log.mask = LOG_IN;
    ck_assert(log_enabled_at(&log, LOG_IN, 16) && !log_enabled_at(&log, LOG_IN, 15));
    static const char *const bad[] = { "", "1", "1+", "1+0", "0-2", "5..4", "1.2", "1+2x", "-1+2",
                                       "0xffffffffffffffff+2", "0x10000000000000000+1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(log_parse_filter(&log, bad[i]) == -EINVAL, "'%s' accepted", bad[i]);
}
END_TEST

START_TEST(file)
{
    char path[] = "/tmp/mimus-log-XXXXXX", line[64];
    struct log log;
    close(mkstemp(path));
    log_init(&log);
    ck_assert_int_eq(log_open(&log, "/nonexistent/log"), -ENOENT);
    ck_assert_ptr_eq(log.file, stderr);
    ck_assert_int_eq(log_open(&log, path), 0);
    log_guest(&log, "not enabled\n");
    log.mask = LOG_GUEST;
    log_guest(&log, "device: %d\n", 42);
    log_close(&log);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
    ck_assert_str_eq(line, "device: 42\n");
    ck_assert_ptr_null(fgets(line, sizeof(line), f));
    fclose(f);
    unlink(path);
}
END_TEST

START_TEST(first_error_wins)
{
    struct error err = { 0 };
    ck_assert_int_eq(error_set(&err, -ENOENT, "%s: missing", "a"), -ENOENT);
    ck_assert_int_eq(error_set(&err, -EIO, "later"), -EIO);
    ck_assert_str_eq(err.msg, "a: missing");
    ck_assert_int_eq(error_set(NULL, -EIO, "nobody listens"), -EIO);
}
END_TEST

Suite *log_suite(void)
{
    Suite *s = suite_create("log");
    TCase *tc = tcase_create("log");
    tcase_add_test(tc, items);
    tcase_add_test(tc, filter);
    tcase_add_test(tc, file);
    tcase_add_test(tc, first_error_wins);
    suite_add_tcase(s, tc);
    return s;
}
