/* hw/timer/hpet: counter, one-shot, periodic, level, legacy replacement (IA-PC HPET 1.0a). */
#include "hw/timer/hpet.h"
#include "tests/unit/device_fixture.h"

#define BASE UINT64_C(0xfed00000)
#define US INT64_C(1000)

static struct device_fixture *f;
static struct hpet *h;
static int legacy_on;

static void legacy(void *opaque, bool on)
{
    (void)opaque;
    legacy_on = on;
}

static void setup(void)
{
    struct irq_line lines[HPET_LINES];
    f = device_fixture_new();
    for (int i = 0; i < HPET_LINES; i++)
        lines[i] = dev_line(f, i);
    legacy_on = 0;
    h = hpet_new(&f->env, BASE, lines, legacy, NULL);
    dev_reset(f);
}

static void teardown(void)
{
    hpet_free(h);
    device_fixture_free(f);
}

static uint64_t rd(uint64_t reg) { return mem_read(f->env.memory, BASE + reg, 8); }
static void wr(uint64_t reg, uint64_t v) { mem_write(f->env.memory, BASE + reg, v, 8); }

START_TEST(registers)
{
    ck_assert_int_eq(state_table_gap(&hpet_state_table), -1);
    ck_assert(rd(0) == UINT64_C(0x009896808086a201));
    ck_assert_uint_eq(dev_readl(f, BASE + 4), 10000000); /* 10 ns in fs */
    ck_assert(rd(0x100) == UINT64_C(0x00f0000000000030));
    ck_assert(rd(0x108) == UINT64_MAX);
    ck_assert(rd(0xf0) == 0);
}
END_TEST

START_TEST(counter)
{
    wr(0xf0, UINT64_C(0xfffffffe));
    clock_advance(f->env.clock, 100);
    ck_assert(rd(0xf0) == UINT64_C(0xfffffffe)); /* halted */
    wr(0x10, 1);
    clock_advance(f->env.clock, 100);
    ck_assert(rd(0xf0) == UINT64_C(0x100000008));
    ck_assert_uint_eq(dev_readl(f, BASE + 0xf4), 1);
    wr(0x10, 0);
    clock_advance(f->env.clock, 100);
    ck_assert(rd(0xf0) == UINT64_C(0x100000008));
}
END_TEST

START_TEST(one_shot_edge)
{
    wr(0x120, 20 << 9 | 4);
    wr(0x128, 1000);
    wr(0x10, 1);
    clock_advance(f->env.clock, 9999);
    ck_assert_int_eq(f->rises[20], 0);
    clock_advance(f->env.clock, 1);
    ck_assert_int_eq(f->rises[20], 1);
    clock_advance(f->env.clock, 1000 * US);
    ck_assert_int_eq(f->rises[20], 1);
    ck_assert(rd(0x20) == 0);
}
END_TEST

START_TEST(one_shot_32bit_wraps)
{
    wr(0x120, 20 << 9 | 0x100 | 4);
    wr(0x128, 0x10);
    wr(0xf0, UINT64_C(0xfffffff0));
    wr(0x10, 1);
    clock_advance(f->env.clock, 319);
    ck_assert_int_eq(f->rises[20], 0);
    clock_advance(f->env.clock, 1);
    ck_assert_int_eq(f->rises[20], 1);
}
END_TEST

START_TEST(level)
{
    wr(0x140, 21 << 9 | 4 | 2);
    wr(0x148, 100);
    wr(0x10, 1);
    clock_advance(f->env.clock, 1 * US);
    ck_assert_int_eq(f->level[21], 1);
    ck_assert(rd(0x20) == 4);
    wr(0x20, 3);
    ck_assert_int_eq(f->level[21], 1);
    wr(0x20, 4);
    ck_assert_int_eq(f->level[21], 0);
    ck_assert(rd(0x20) == 0);
}
END_TEST

START_TEST(periodic_legacy)
{
    wr(0x10, 3);
    ck_assert_int_eq(legacy_on, 1);
    wr(0x100, 0x40 | 8 | 4); /* VAL_SET */
    dev_writel(f, BASE + 0x108, 100000);
    ck_assert((rd(0x100) & 0x40) == 0);
    dev_writel(f, BASE + 0x108, 50000);
    clock_advance(f->env.clock, 999 * US);
    ck_assert_int_eq(f->rises[0], 0);
    clock_advance(f->env.clock, 1 * US);
    ck_assert_int_eq(f->rises[0], 1);
    ck_assert(rd(0x108) == 150000);
    clock_advance(f->env.clock, 5000 * US);
    ck_assert_int_eq(f->rises[0], 11);
    wr(0x10, 1);
    ck_assert_int_eq(legacy_on, 0);
    ck_assert_int_eq(f->level[0], 0);
    wr(0x10, 3);
    dev_reset(f);
    ck_assert_int_eq(legacy_on, 0);
    ck_assert(clock_deadline(f->env.clock) == INT64_MAX);
}
END_TEST

START_TEST(foreign_lines)
{
    wr(0x100, 5 << 9 | 4); /* route 5 is not offered */
    wr(0x108, 10);
    wr(0x10, 1);
    clock_advance(f->env.clock, 10 * US);
    ck_assert_int_eq(f->rises[5], 0);
}
END_TEST

Suite *hpet_suite(void)
{
    Suite *s = suite_create("hpet");
    TCase *tc = tcase_create("hpet");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, registers);
    tcase_add_test(tc, counter);
    tcase_add_test(tc, one_shot_edge);
    tcase_add_test(tc, one_shot_32bit_wraps);
    tcase_add_test(tc, level);
    tcase_add_test(tc, periodic_legacy);
    tcase_add_test(tc, foreign_lines);
    suite_add_tcase(s, tc);
    return s;
}
