/* Model-specific registers: SDM vol. 4, chapter 2; vol. 3, 12.11 (memory types), 16.3 (machine check). */
#include <check.h>

#include "cpu_fixture.h"

static void setup(const char *model)
{
    struct cpu_options opt = { .model = model, .interp = true, .optimise = true };

    cf_setup(&opt);
}

/* The vector raised, or -1. */
static int try_read(uint32_t index)
{
    return CF_RAISED(cpu_read_msr(cf.cpu, index));
}

static int try_write(uint32_t index, uint64_t value)
{
    return CF_RAISED(cpu_write_msr(cf.cpu, index, value));
}

START_TEST(test_checked_values)
{
    static const struct { uint32_t index; uint64_t value; int vector; } t[] = {
        { 0x174, 0x10, -1 }, { 0x174, BIT(32), EX_GP },
        { 0x175, UINT64_C(0xffff800000000000), -1 }, { 0x175, BIT(60), EX_GP }, { 0x176, BIT(62), EX_GP },
        { 0xc0000082, UINT64_C(0xffff800000000000), -1 }, { 0xc0000082, BIT(60), EX_GP },
        { 0xc0000083, BIT(60), EX_GP }, { 0xc0000100, BIT(60), EX_GP }, { 0xc0000101, BIT(60), EX_GP },
        { 0xc0000102, BIT(60), EX_GP },
        { 0xc0000103, UINT32_MAX, -1 }, { 0xc0000103, BIT(32), EX_GP },
        { 0xda0, 0, -1 }, { 0xda0, 1, EX_GP }, { 0xda0, BIT(8), EX_GP },
        /* memory types: 2, 3 and above 7 are reserved, 7 is PAT's alone */
        { 0x277, UINT64_C(0x0007040600070406), -1 }, { 0x277, 2, EX_GP }, { 0x277, 3, EX_GP },
        { 0x277, 8, EX_GP },
        { 0x277, BIT(63), EX_GP },
        { 0x250, 2, EX_GP }, { 0x250, 7, EX_GP }, { 0x250, UINT64_C(0x0606060606060606), -1 },
        { 0x26f, UINT64_C(0x0200000000000000), EX_GP },
        { 0x200, UINT64_C(0xc0000006), -1 }, { 0x200, 2, EX_GP }, { 0x200, 0x100, EX_GP },
        { 0x200, BIT(40), EX_GP },
        { 0x201, UINT64_C(0xffc0000800), -1 }, { 0x201, 1, EX_GP }, { 0x20f, BIT(40), EX_GP },
        { 0x2ff, 0xc06, -1 }, { 0x2ff, 0xc02, EX_GP }, { 0x2ff, 0x1000, EX_GP }, { 0xfe, 0x508, EX_GP },
        /* machine check: controls are all or nothing, reports can only be cleared */
        { 0x179, 0, EX_GP }, { 0x17a, 7, -1 }, { 0x17a, 8, EX_GP }, { 0x17b, UINT64_MAX, -1 },
        { 0x17b, 1, EX_GP },
        { 0x400, UINT64_MAX, -1 }, { 0x400, 0, -1 }, { 0x400, 2, EX_GP }, { 0x401, 0, -1 },
        { 0x401, 1, EX_GP },
        { 0x40f, 0, -1 }, { 0x40f, BIT(63), EX_GP }, { 0x410, 0, EX_GP },
        { 0x17, 0, EX_GP }, { 0x8b, 0, -1 }, { 0x1d9, 0, -1 }, { 0x1d9, 1, EX_GP },
        { 0xc1, 0, EX_GP }, { 0x186, 0, EX_GP }, { 0x38f, 0, EX_GP }, /* there are no performance counters */
        { 0xc0010015, 0, EX_GP }, /* AMD's */
        { 0x12345, 0, EX_GP },
    };

    setup("max");
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        int got = try_write(t[i].index, t[i].value);
        ck_assert_msg(got == t[i].vector, "row %u, MSR %x: %d", i, t[i].index, got);
    }
}
END_TEST

START_TEST(test_read_back)
{
    setup("max");
    cpu_write_msr(cf.cpu, 0x40c, UINT64_MAX);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x40c), UINT64_MAX);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x408), 0);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x179), 0x104); /* four banks, IA32_MCG_CTL */
    ck_assert_int_eq(try_read(0x40f), -1);
    ck_assert_int_eq(try_read(0x410), EX_GP);
    cpu_write_msr(cf.cpu, 0x17a, 5);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x17a), 5);
    cpu_reset(cf.cpu);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x40c) | cpu_read_msr(cf.cpu, 0x17a), 0);
}
END_TEST

/* A register of a feature that the model lacks does not exist. */
START_TEST(test_absent)
{
    static const struct { const char *model; uint32_t index; } t[] = {
        { "max,-tsc-adjust", 0x3b }, { "max,-xsaves", 0xda0 }, { "max,-rdtscp,-rdpid", 0xc0000103 },
        { "max,-mca", 0x179 }, { "max,-mca", 0x400 }, { "max,-pat", 0x277 }, { "max,-mtrr", 0xfe },
        { "max,-mtrr", 0x200 }, { "max,-sep", 0x174 }, { "max,-lm", 0xc0000082 }, { "max,-lm", 0xc0000102 },
        { "max,-apic", 0x1b }, { "pentium", 0x174 }, { "pentium", 0xc0000080 }, { "pentium", 0x179 },
        { "pentium", 0x1a0 }, { "pentium3", 0xc0000080 }, { "qemu64", 0x17 }, { "qemu64", 0x1a0 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        setup(t[i].model);
        ck_assert_msg(try_read(t[i].index) == EX_GP, "%s: %x", t[i].model, t[i].index);
        ck_assert_msg(try_write(t[i].index, 0) == EX_GP, "%s: %x", t[i].model, t[i].index);
        cf_teardown();
    }
    setup("max,-rdtscp");
    ck_assert_int_eq(try_write(0xc0000103, 1), -1); /* RDPID reads it, too */
}
END_TEST

START_TEST(test_efer)
{
    static const struct { const char *model; uint64_t value; int vector; } t[] = {
        { "max", EFER_SCE | EFER_LME | EFER_NXE, -1 }, { "max,-nx", EFER_NXE, EX_GP },
        { "max,-nx", EFER_SCE, -1 },
        { "max,-lm", EFER_LME, EX_GP }, { "max,-lm", EFER_NXE, -1 }, { "max", BIT(12), EX_GP },
        { "max", BIT(14), EX_GP }, { "qemu64", BIT(14), EX_GP }, { "max,-lm,-syscall", EFER_SCE, EX_GP },
    };

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        setup(t[i].model);
        ck_assert_msg(try_write(0xc0000080, t[i].value) == t[i].vector, "row %u", i);
        ck_assert_uint_eq(cf.cpu->efer, t[i].vector < 0 ? t[i].value : 0);
        cf_teardown();
    }
    setup("max");
}
END_TEST

/* SDM vol. 3, 18.17.3: a write to either moves both. */
START_TEST(test_tsc_adjust)
{
    uint64_t before;

    setup("max");
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x3b), 0);
    before = cpu_read_msr(cf.cpu, 0x10);
    cpu_write_msr(cf.cpu, 0x3b, BIT(40));
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x3b), BIT(40));
    ck_assert_uint_eq((cpu_read_msr(cf.cpu, 0x10) - before) >> 36, 16);
    before = cpu_read_msr(cf.cpu, 0x10);
    cpu_write_msr(cf.cpu, 0x10, before + BIT(41));
    ck_assert_uint_eq((cpu_read_msr(cf.cpu, 0x3b) + BIT(35)) >> 36, 48);
    cpu_write_msr(cf.cpu, 0x3b, 0);
    ck_assert_uint_lt(cpu_read_msr(cf.cpu, 0x10), BIT(40));
}
END_TEST

START_TEST(test_misc_enable)
{
    setup("core2duo");
    ck_assert(cpu_read_msr(cf.cpu, 0x1a0) & BIT(18)); /* MONITOR */
    cpu_write_msr(cf.cpu, 0x1a0, 0);
    ck_assert_uint_eq(cpu_read_msr(cf.cpu, 0x1a0) & 1, 0);
    cf_teardown();
    setup("core2duo,-monitor");
    ck_assert(!(cpu_read_msr(cf.cpu, 0x1a0) & BIT(18)));
}
END_TEST

Suite *msr_suite(void)
{
    Suite *s = suite_create("msr");
    TCase *t = tcase_create("msr");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    tcase_add_test(t, test_checked_values);
    tcase_add_test(t, test_read_back);
    tcase_add_test(t, test_absent);
    tcase_add_test(t, test_efer);
    tcase_add_test(t, test_tsc_adjust);
    tcase_add_test(t, test_misc_enable);
    suite_add_tcase(s, t);
    return s;
}
