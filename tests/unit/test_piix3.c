/* hw/pci/piix3: interrupt routing and the reset control register (data sheet 290550). */
#include <check.h>

#include "hw/pci/piix3.h"
#include "hw_fixture.h"

enum { PIIX3 = PCI_DEVFN(1, 0), RESET_LINE = 16 };

struct fixture {
    struct hw_fixture hw;
    struct mem_region *pci_memory;
    struct pci_bus *bus;
    struct piix3 *piix3;
    struct pci_device a, b; /* INTA in slots 1 + 4k: PIRQA, and the next */
};

static void setup(struct fixture *f)
{
    static const struct pci_id id = { .vendor = 1, .device = 2, .interrupt_pin = 1 };
    struct irq_line isa[16];

    hw_fixture_init(&f->hw);
    f->pci_memory = mem_container_new("pci", UINT64_C(1) << 32);
    f->bus = pci_bus_new(&f->hw.env, f->pci_memory);
    for (int i = 0; i < 16; i++)
        isa[i] = hw_line(&f->hw, i);
    f->piix3 = piix3_new(&f->hw.env, f->bus, isa, hw_line(&f->hw, RESET_LINE));
    pci_device_init(&f->a, &f->hw.env, f->bus, PCI_DEVFN(5, 0), "a", &id);
    pci_device_init(&f->b, &f->hw.env, f->bus, PCI_DEVFN(6, 0), "b", &id);
    hw_reset(&f->hw);
}

static void teardown(struct fixture *f)
{
    pci_device_remove(&f->a);
    pci_device_remove(&f->b);
    piix3_free(f->piix3);
    pci_bus_free(f->bus);
    mem_region_free(f->pci_memory);
    hw_fixture_destroy(&f->hw);
}

START_TEST(identity)
{
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, PIIX3, 0, 4), 0x70008086);
    ck_assert_uint_eq(hw_config_read(&f.hw, PIIX3, 8, 4), 0x06010000);
    ck_assert_uint_eq(hw_config_read(&f.hw, PIIX3, 0x60, 4), 0x80808080);
    teardown(&f);
}
END_TEST

START_TEST(routing)
{
    struct fixture f;
    setup(&f);
    pci_device_set_irq(&f.a, 1);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(f.hw.level[i], 0);
    hw_config_write(&f.hw, PIIX3, 0x60, 11, 1); /* a level that is up appears at once */
    ck_assert_int_eq(f.hw.level[11], 1);
    hw_config_write(&f.hw, PIIX3, 0x60, 10, 1);
    ck_assert_int_eq(f.hw.level[11], 0);
    ck_assert_int_eq(f.hw.level[10], 1);
    hw_config_write(&f.hw, PIIX3, 0x60, 13, 1); /* IRQ 13 cannot be routed to */
    ck_assert_int_eq(f.hw.level[10] | f.hw.level[13], 0);
    teardown(&f);
}
END_TEST

START_TEST(sharing)
{
    struct fixture f;
    setup(&f);
    struct irq_line sci = piix3_shared_irq(f.piix3, 9);
    hw_config_write(&f.hw, PIIX3, 0x60, 0x0909, 2);
    pci_device_set_irq(&f.a, 1);
    pci_device_set_irq(&f.b, 1);
    irq_set(&sci, 1);
    ck_assert_int_eq(f.hw.level[9], 1);
    pci_device_set_irq(&f.a, 0);
    pci_device_set_irq(&f.b, 0);
    ck_assert_int_eq(f.hw.level[9], 1);
    irq_set(&sci, 0);
    ck_assert_int_eq(f.hw.level[9], 0);
    ck_assert_int_eq(f.hw.raised[9], 1);
    teardown(&f);
}
END_TEST

START_TEST(reset_control)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, 0xCF9, 0x02, 1);
    ck_assert_uint_eq(hw_in(&f.hw, 0xCF9, 1), 0x02);
    ck_assert_int_eq(f.hw.raised[RESET_LINE], 0);
    hw_out(&f.hw, 0xCF9, 0x06, 1);
    ck_assert_int_eq(f.hw.raised[RESET_LINE], 1);
    ck_assert_int_eq(f.hw.level[RESET_LINE], 0);
    hw_out(&f.hw, 0xCF9, 0x06, 1); /* no transition of RCPU */
    ck_assert_int_eq(f.hw.raised[RESET_LINE], 1);
    hw_reset(&f.hw);
    ck_assert_uint_eq(hw_in(&f.hw, 0xCF9, 1), 0);
    teardown(&f);
}
END_TEST

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&piix3_state_table), -1);
}
END_TEST

Suite *piix3_suite(void)
{
    Suite *s = suite_create("piix3");
    TCase *t = tcase_create("core");
    tcase_add_test(t, identity);
    tcase_add_test(t, routing);
    tcase_add_test(t, sharing);
    tcase_add_test(t, reset_control);
    tcase_add_test(t, state);
    suite_add_tcase(s, t);
    return s;
}
