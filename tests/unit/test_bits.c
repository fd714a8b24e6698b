/* base/bits.h: fields, alignment, byte order. */
#include <check.h>

#include "base/bits.h"

START_TEST(next_bit)
{
    static const uint64_t map[3] = { UINT64_C(1) << 63 | 2, 0, 4 };
    static const struct { unsigned num, from, next; } rows[] = {
        { 192, 0, 1 }, { 192, 1, 1 }, { 192, 2, 63 }, { 192, 63, 63 }, { 192, 64, 130 }, { 192, 130, 130 },
        { 192, 131, 192 }, { 192, 192, 192 }, { 128, 64, 128 }, { 64, 64, 64 }, { 0, 0, 0 },
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_uint_eq(bits_next(map, rows[i].num, rows[i].from), rows[i].next);
}
END_TEST

START_TEST(masks)
{
    ck_assert_uint_eq(MASK(1), 1);
    ck_assert_uint_eq(MASK(63), UINT64_MAX >> 1);
    ck_assert_uint_eq(MASK(64), UINT64_MAX);
    ck_assert_uint_eq(BIT(63), UINT64_C(0x8000000000000000));
}
END_TEST

START_TEST(fields)
{
    ck_assert_uint_eq(bits_extract(0x12345678, 8, 8), 0x56);
    ck_assert_uint_eq(bits_extract(UINT64_MAX, 0, 64), UINT64_MAX);
    ck_assert_uint_eq(bits_deposit(0xffff, 4, 8, 0x1ab), 0xfabf);
    ck_assert_uint_eq(bits_deposit(7, 0, 64, 5), 5);
    ck_assert_int_eq(bits_sext(0x80, 8), -128);
    ck_assert_int_eq(bits_sext(0x17f, 8), 127);
    ck_assert_int_eq(bits_sext(UINT64_MAX, 64), -1);
}
END_TEST

START_TEST(alignment)
{
    ck_assert_uint_eq(align_down(0x1fff, 0x1000), 0x1000);
    ck_assert_uint_eq(align_up(0x1001, 0x1000), 0x2000);
    ck_assert_uint_eq(align_up(0x1000, 0x1000), 0x1000);
    ck_assert(is_pow2(1) && is_pow2(BIT(63)) && !is_pow2(0) && !is_pow2(6));
}
END_TEST

START_TEST(byte_order)
{
    uint8_t b[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    ck_assert_uint_eq(load_le(b + 1, 4), 0x04030201);
    ck_assert_uint_eq(load_be(b + 1, 4), 0x01020304);
    ck_assert_uint_eq(load_le(b + 1, 8), UINT64_C(0x0807060504030201));
    store_be(b, 3, 0xaabbcc);
    ck_assert_uint_eq(load_le(b, 4), 0x03ccbbaa);
    store_le(b, 2, 0x11223344);
    ck_assert_uint_eq(load_le(b, 4), 0x03cc3344);
}
END_TEST

Suite *bits_suite(void)
{
    Suite *s = suite_create("bits");
    TCase *tc = tcase_create("bits");
    tcase_add_test(tc, masks);
    tcase_add_test(tc, fields);
    tcase_add_test(tc, alignment);
    tcase_add_test(tc, byte_order);
    tcase_add_test(tc, next_bit);
    suite_add_tcase(s, tc);
    return s;
}
