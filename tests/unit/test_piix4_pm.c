/* hw/pci/piix4_pm: ACPI registers, PM timer, SMI command port, SMBus (data sheet 290562). */
#include <check.h>

#include "hw/pci/piix4_pm.h"
#include "hw_fixture.h"

enum { PM = PCI_DEVFN(1, 3), BASE = 0x600, SCI = 9, POWEROFF = 10, SMI = 11 };

struct fixture {
    struct hw_fixture hw;
    struct mem_region *pci_memory;
    struct pci_bus *bus;
    struct piix4_pm *pm;
};

static void setup(struct fixture *f)
{
    hw_fixture_init(&f->hw);
    f->pci_memory = mem_container_new("pci", UINT64_C(1) << 32);
    f->bus = pci_bus_new(&f->hw.env, f->pci_memory);
    f->pm = piix4_pm_new(&f->hw.env, f->bus, hw_line(&f->hw, SCI), hw_line(&f->hw, POWEROFF),
                         hw_line(&f->hw, SMI), PIIX4_COMA);
    hw_reset(&f->hw);
    hw_config_write(&f->hw, PM, 0x40, BASE | 1, 4);
    hw_config_write(&f->hw, PM, 0x80, 1, 1);
}

static void teardown(struct fixture *f)
{
    piix4_pm_free(f->pm);
    pci_bus_free(f->bus);
    mem_region_free(f->pci_memory);
    hw_fixture_destroy(&f->hw);
}

START_TEST(config)
{
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, PM, 0, 4), 0x71138086);
    ck_assert_uint_eq(hw_config_read(&f.hw, PM, 8, 4), 0x06800003);
    ck_assert_uint_eq(hw_config_read(&f.hw, PM, 0x40, 4), BASE | 1);
    ck_assert_uint_eq(hw_config_read(&f.hw, PM, 0x67, 1), 0x08);
    ck_assert_uint_eq(hw_config_read(&f.hw, PM, 0x5B, 1) & 2, 0); /* SMI is connected */
    hw_config_write(&f.hw, PM, 0x80, 0, 1);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 4, 2), 0xFFFF);
    teardown(&f);
}
END_TEST

START_TEST(timer)
{
    struct fixture f;
    setup(&f);
    clock_advance(f.hw.env.clock, NS_PER_SEC);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 8, 4), 3579545);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 9, 1), 3579545 >> 8 & 0xFF);
    clock_advance(f.hw.env.clock, 4 * NS_PER_SEC);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 8, 4), 5 * 3579545 & 0xFFFFFF);
    teardown(&f);
}
END_TEST

START_TEST(timer_overflow)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, BASE + 4, 1, 2); /* SCI_EN */
    hw_out(&f.hw, BASE + 2, 1, 2); /* TMROF_EN */
    clock_advance(f.hw.env.clock, 2343000000); /* bit 23 changes after 2^23 / 3.579545 MHz = 2.3435 s */
    ck_assert_int_eq(f.hw.level[SCI], 0);
    ck_assert_uint_eq(hw_in(&f.hw, BASE, 2), 0);
    clock_advance(f.hw.env.clock, 1000000);
    ck_assert_int_eq(f.hw.level[SCI], 1);
    ck_assert_uint_eq(hw_in(&f.hw, BASE, 2), 1);
    hw_out(&f.hw, BASE, 1, 2);
    ck_assert_int_eq(f.hw.level[SCI], 0);
    clock_advance(f.hw.env.clock, 2343500000);
    ck_assert_int_eq(f.hw.level[SCI], 1);
    hw_reset(&f.hw);
    ck_assert_int_eq(f.hw.level[SCI], 0);
    teardown(&f);
}
END_TEST

START_TEST(power_button)
{
    struct fixture f;
    setup(&f);
    piix4_pm_power_button(f.pm);
    ck_assert_uint_eq(hw_in(&f.hw, BASE, 2), 0x100);
    hw_out(&f.hw, BASE + 3, 1, 1); /* PWRBTN_EN */
    ck_assert_int_eq(f.hw.level[SCI], 0);
    hw_out(&f.hw, 0xB2, 0xF1, 1); /* ACPI enable */
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 4, 2), 1);
    ck_assert_int_eq(f.hw.level[SCI], 1);
    hw_out(&f.hw, BASE, 0x100, 2);
    ck_assert_int_eq(f.hw.level[SCI], 0);
    hw_out(&f.hw, 0xB2, 0xF0, 1);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 4, 2), 0);
    teardown(&f);
}
END_TEST

START_TEST(soft_off)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, BASE + 4, 5 << 10 | 0x2000, 2); /* working: nothing */
    ck_assert_int_eq(f.hw.level[POWEROFF], 0);
    hw_out(&f.hw, BASE + 4, 0, 2);
    ck_assert_int_eq(f.hw.level[POWEROFF], 0);
    hw_out(&f.hw, BASE + 4, 0x2000, 2);
    ck_assert_int_eq(f.hw.level[POWEROFF], 1);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 4, 2), 0); /* SUS_EN is write-only */
    teardown(&f);
}
END_TEST

START_TEST(smi_command)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, 0xB3, 0x5A, 1);
    hw_out(&f.hw, 0xB2, 0x12, 1);
    ck_assert_int_eq(f.hw.raised[SMI], 0);
    hw_config_write(&f.hw, PM, 0x5B, 2, 1); /* APMC_EN */
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 0x18, 2), 0);
    hw_out(&f.hw, 0xB2, 0x33, 1);
    ck_assert_int_eq(f.hw.raised[SMI], 0);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 0x18, 2), 0x20); /* APM_STS */
    hw_out(&f.hw, BASE + 0x18, 0x20, 2);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 0x18, 2), 0);
    hw_out(&f.hw, BASE + 0x28, 1, 4); /* SMI_EN */
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 0x28, 4), 1);
    hw_out(&f.hw, 0xB2, 0x34, 1);
    ck_assert_int_eq(f.hw.raised[SMI], 1);
    ck_assert_uint_eq(hw_in(&f.hw, BASE + 0x18, 2), 0x20);
    ck_assert_uint_eq(hw_in(&f.hw, 0xB2, 2), 0x5A34);
    teardown(&f);
}
END_TEST

START_TEST(gpe0)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, 0xAFE2, 0x1234, 2);
    ck_assert_uint_eq(hw_in(&f.hw, 0xAFE0, 4), 0x12340000);
    hw_out(&f.hw, 0xAFE0, 0xFFFF, 2);
    ck_assert_uint_eq(hw_in(&f.hw, 0xAFE3, 1), 0x12);
    ck_assert_int_eq(f.hw.level[SCI], 0);
    teardown(&f);
}
END_TEST

START_TEST(smbus)
{
    struct fixture f;
    setup(&f);
    hw_config_write(&f.hw, PM, 0x90, 0x701, 4);
    hw_config_write(&f.hw, PM, 0xD2, 1, 1);
    hw_config_write(&f.hw, PM, 4, 1, 2);
    ck_assert_uint_eq(hw_in(&f.hw, 0x700, 1), 0);
    hw_out(&f.hw, 0x704, 0xA1, 1);
    hw_out(&f.hw, 0x702, 0x44, 1); /* START, byte data */
    ck_assert_uint_eq(hw_in(&f.hw, 0x700, 1), 0x04); /* DEV_ERR, not busy */
    hw_out(&f.hw, 0x700, 0x1E, 1);
    ck_assert_uint_eq(hw_in(&f.hw, 0x700, 1), 0);
    teardown(&f);
}
END_TEST

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&piix4_pm_state_table), -1);
}
END_TEST

Suite *piix4_pm_suite(void)
{
    Suite *s = suite_create("piix4_pm");
    TCase *t = tcase_create("core");
    tcase_add_test(t, config);
    tcase_add_test(t, timer);
    tcase_add_test(t, timer_overflow);
    tcase_add_test(t, power_button);
    tcase_add_test(t, soft_off);
    tcase_add_test(t, smi_command);
    tcase_add_test(t, gpe0);
    tcase_add_test(t, smbus);
    tcase_add_test(t, state);
    suite_add_tcase(s, t);
    return s;
}
