/* hw/intc/lapic_timer: one-shot, periodic, TSC-deadline mode, and what they cost the host (SDM 3A 11.5.4). */
#include "tests/unit/lapic_fixture.h"

enum { ONE_SHOT = 0, PERIODIC = 0x20000, DEADLINE = 0x40000, MASKED = 0x10000, BY_1 = 0xb };

static struct lapic_fixture x;

static void setup(void)
{
    lapics_setup(&x, 2, 0);
    lapics_enable(&x);
}

static void teardown(void)
{
    lapics_teardown(&x);
}

static uint32_t rd(unsigned reg) { return lapic_get(&x, 0, reg); }
static void wr(unsigned reg, uint32_t v) { lapic_put(&x, 0, reg, v); }
static void pass(int64_t ns) { clock_advance(x.f->env.clock, ns); }
static bool host_sleeps(void) { return clock_deadline(x.f->env.clock) == INT64_MAX; }

START_TEST(one_shot)
{
    wr(TDCR, BY_1);
    wr(LVT_TIMER, 0x30);
    wr(TMICT, 1000);
    pass(400);
    ck_assert_uint_eq(rd(TMCCT), 600);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(600);
    ck_assert_uint_eq(rd(TMCCT), 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x30);
    wr(EOI, 0);
    pass(100000);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    wr(TMICT, 1000);
    pass(400);
    wr(TMICT, 0); /* stops it */
    ck_assert_uint_eq(rd(TMCCT), 0);
    ck_assert(host_sleeps());
    pass(1000);
    ck_assert_int_eq(x.cpu[0].intr, 0);
}
END_TEST

/* Figure 11-10. */
START_TEST(divisors)
{
    static const struct { uint32_t tdcr; int by; } t[] = {
        { 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 }, { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
    };
    wr(LVT_TIMER, 0x30);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        wr(TDCR, t[i].tdcr | 0xfffffff4);
        ck_assert_uint_eq(rd(TDCR), t[i].tdcr);
        wr(TMICT, 1000);
        pass(1000 * t[i].by - 1);
        ck_assert_msg(x.cpu[0].intr == 0, "row %u: early", i);
        pass(1);
        ck_assert_msg(x.cpu[0].intr == 1, "row %u: late", i);
        lapics_take(&x);
    }
    wr(TDCR, BY_1);
    wr(TMICT, 1000);
    pass(400);
    wr(TDCR, 0); /* goes on from 600, at half the pace */
    ck_assert_uint_eq(rd(TMCCT), 600);
    pass(1199);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(1);
    ck_assert_int_eq(x.cpu[0].intr, 1);
}
END_TEST

START_TEST(periodic)
{
    wr(TDCR, BY_1);
    wr(LVT_TIMER, PERIODIC | 0x30);
    wr(TMICT, 50000);
    for (int i = 0; i < 3; i++) {
        pass(49999);
        ck_assert_int_eq(x.cpu[0].intr, 0);
        pass(1);
        ck_assert_int_eq(lapic_ack(x.l[0]), 0x30);
        wr(EOI, 0);
        ck_assert_uint_eq(rd(TMCCT), 50000);
    }
    wr(LVT_TIMER, PERIODIC | MASKED | 0x30); /* counts, asks no timer of the host */
    ck_assert(host_sleeps());
    pass(60000);
    ck_assert_uint_eq(rd(TMCCT), 40000);
    wr(LVT_TIMER, PERIODIC | 0x30); /* what has passed is gone, the next comes at its time */
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(39999);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(1);
    ck_assert_int_eq(x.cpu[0].intr, 1);
}
END_TEST

START_TEST(tsc_deadline)
{
    lapic_set_tsc_deadline(x.l[0], 99, 500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0); /* not in that mode */
    wr(LVT_TIMER, DEADLINE | 0x30);
    wr(TMICT, 1000);
    ck_assert_uint_eq(rd(TMICT), 0);
    lapic_set_tsc_deadline(x.l[0], 99, 500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 99);
    ck_assert_uint_eq(rd(TMCCT), 0);
    pass(499);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(1);
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x30);
    wr(EOI, 0);
    lapic_set_tsc_deadline(x.l[0], 99, 500); /* passed: at once */
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0);
    ck_assert_int_eq(x.cpu[0].intr, 1);
    lapics_take(&x);
    lapic_set_tsc_deadline(x.l[0], 99, 5000);
    lapic_set_tsc_deadline(x.l[0], 0, 0); /* disarms */
    pass(10000);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    lapic_set_tsc_deadline(x.l[0], 99, 50000);
    wr(LVT_TIMER, 0x30); /* leaving the mode disarms */
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0);
    ck_assert(host_sleeps());
}
END_TEST

START_TEST(masked_tsc_deadline)
{
    wr(LVT_TIMER, DEADLINE | MASKED | 0x30);
    lapic_set_tsc_deadline(x.l[0], 99, 500);
    ck_assert(host_sleeps());
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 99);
    pass(500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0); /* it has passed, without an interrupt */
    wr(LVT_TIMER, DEADLINE | 0x30);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_uint_eq(lapic_get_tsc_deadline(x.l[0]), 0);
    wr(LVT_TIMER, DEADLINE | MASKED | 0x30);
    lapic_set_tsc_deadline(x.l[0], 99, 1500);
    pass(500);
    wr(LVT_TIMER, DEADLINE | 0x30); /* in time */
    pass(499);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    pass(1);
    ck_assert_int_eq(x.cpu[0].intr, 1);
}
END_TEST

/* Disabled by software, globally, by INIT: the host hears no more of it. */
START_TEST(disabled)
{
    wr(LVT_TIMER, PERIODIC | 0x30);
    wr(TMICT, 100000);
    ck_assert(!host_sleeps());
    wr(SVR, 0xff);
    ck_assert(host_sleeps());
    ck_assert_uint_eq(rd(LVT_TIMER), PERIODIC | MASKED | 0x30);
    wr(SVR, 0x1ff);
    wr(LVT_TIMER, PERIODIC | 0x30);
    ck_assert(!host_sleeps());
    lapic_set_base(x.l[0], 0xfee00100);
    ck_assert(host_sleeps());
    lapic_set_base(x.l[0], 0xfee00900);
    wr(SVR, 0x1ff);
    ck_assert_uint_eq(rd(TMICT), 0);
    wr(LVT_TIMER, PERIODIC | 0x30);
    wr(TMICT, 100000);
    lapic_put(&x, 1, ICR2, 0);
    lapic_put(&x, 1, ICR, 0x4500);
    ck_assert(host_sleeps());
    ck_assert_uint_eq(rd(TMICT), 0);
}
END_TEST

START_TEST(each_its_own)
{
    teardown();
    lapics_setup(&x, LAPIC_MAX, 0);
    lapics_enable(&x);
    for (unsigned i = 0; i < LAPIC_MAX; i++) {
        lapic_put(&x, i, TDCR, BY_1);
        lapic_put(&x, i, LVT_TIMER, (i & 1 ? PERIODIC : ONE_SHOT) | 0x30);
        lapic_put(&x, i, TMICT, 20000 + 100 * i);
    }
    for (unsigned i = 0; i < LAPIC_MAX; i++) {
        pass(i ? 99 : 19999);
        ck_assert_uint_eq(lapics_take(&x), 0);
        pass(1);
        ck_assert_uint_eq(lapics_take(&x), UINT64_C(1) << i);
    }
    pass(40000);
    ck_assert_uint_eq(lapics_take(&x), UINT64_C(0xaaaaaaaaaaaaaaaa));
}
END_TEST

Suite *lapic_timer_suite(void)
{
    Suite *s = suite_create("lapic_timer");
    TCase *tc = tcase_create("lapic_timer");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_shot);
    tcase_add_test(tc, divisors);
    tcase_add_test(tc, periodic);
    tcase_add_test(tc, tsc_deadline);
    tcase_add_test(tc, masked_tsc_deadline);
    tcase_add_test(tc, disabled);
    tcase_add_test(tc, each_its_own);
    suite_add_tcase(s, tc);
    return s;
}
