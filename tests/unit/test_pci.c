/* hw/pci/pci: configuration mechanism 1, base addresses, interrupt pins (PCI 2.3). */
#include <check.h>

#include "hw/pci/pci.h"
#include "hw_fixture.h"

enum { DEV = PCI_DEVFN(3, 0) };

struct fixture {
    struct hw_fixture hw;
    struct mem_region *pci_memory, *io, *mem, *rom;
    struct pci_bus *bus;
    struct pci_device dev;
    int pirq[4];
};

static uint64_t probe_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return 0xA0 + offset;
}

static void probe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct mem_ops probe_ops = { probe_read, probe_write, { 1, 1, false }, { 1, 1, false } };

static void record_pirq(void *opaque, int pirq, int level)
{
    ((struct fixture *)opaque)->pirq[pirq] = level;
}

static void setup(struct fixture *f)
{
    static const struct pci_id id = {
        .vendor = 0x1234, .device = 0x5678, .revision = 9, .class_code = 0x020000,
        .subsystem_vendor = 0x1AF4, .subsystem = 0x1100, .interrupt_pin = 1,
    };

    *f = (struct fixture){ 0 };
    hw_fixture_init(&f->hw);
    f->pci_memory = mem_container_new("pci", UINT64_C(1) << 40);
    mem_region_add(f->hw.env.mem_root, 0, f->pci_memory, 0);
    f->bus = pci_bus_new(&f->hw.env, f->pci_memory);
    pci_bus_set_router(f->bus, record_pirq, f);
    pci_device_init(&f->dev, &f->hw.env, f->bus, DEV, "probe", &id);
    f->io = mem_io_new("io", 32, &probe_ops, NULL);
    f->mem = mem_io_new("mem", 4096, &probe_ops, NULL);
    f->rom = mem_rom_new(f->hw.env.mem, "rom", 65536, NULL);
    pci_device_add_bar(&f->dev, 0, PCI_BAR_IO, f->io);
    pci_device_add_bar(&f->dev, 2, PCI_BAR_MEM64_PREFETCH, f->mem);
    pci_device_add_bar(&f->dev, PCI_ROM_BAR, PCI_BAR_MEM32, f->rom);
    pci_device_add_capability(&f->dev, 0x05, 0x50, 10);
    hw_reset(&f->hw);
}

static void teardown(struct fixture *f)
{
    pci_device_remove(&f->dev);
    pci_bus_free(f->bus);
    mem_region_remove(f->pci_memory);
    mem_region_free(f->pci_memory);
    mem_region_free(f->io);
    mem_region_free(f->mem);
    mem_region_free(f->rom);
    hw_fixture_destroy(&f->hw);
}

START_TEST(header)
{
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0, 4), 0x56781234);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 8, 4), 0x02000009);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 3, 1), 0x56);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x2C, 4), 0x11001AF4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x34, 1), 0x50);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 6, 2) & 0x10, 0x10);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x50, 2), 0x0005);
    hw_config_write(&f.hw, DEV, 0, 0, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0, 4), 0x56781234);
    teardown(&f);
}
END_TEST

START_TEST(address_register)
{
    struct fixture f;
    setup(&f);
    hw_out(&f.hw, 0xCF8, 0x80001800, 4);
    ck_assert_uint_eq(hw_in(&f.hw, 0xCF8, 4), 0x80001800);
    hw_out(&f.hw, 0xCF8, 0xFF, 1); /* only a dword access reaches it */
    hw_out(&f.hw, 0xCF8, 0xFFFF, 2);
    ck_assert_uint_eq(hw_in(&f.hw, 0xCF8, 4), 0x80001800);
    hw_out(&f.hw, 0xCF8, 0x00001800, 4); /* not enabled */
    ck_assert_uint_eq(hw_in(&f.hw, 0xCFC, 4), 0xFFFFFFFF);
    hw_out(&f.hw, 0xCF8, 0x80011800, 4); /* bus 1 */
    ck_assert_uint_eq(hw_in(&f.hw, 0xCFC, 4), 0xFFFFFFFF);
    ck_assert_uint_eq(hw_config_read(&f.hw, PCI_DEVFN(4, 0), 0, 4), 0xFFFFFFFF);
    ck_assert_uint_eq(hw_config_read(&f.hw, PCI_DEVFN(3, 1), 0, 2), 0xFFFF);
    teardown(&f);
}
END_TEST

START_TEST(sizing)
{
    struct fixture f;
    setup(&f);
    hw_config_write(&f.hw, DEV, 0x10, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x10, 4), 0xFFFFFFE1);
    hw_config_write(&f.hw, DEV, 0x14, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x14, 4), 0);
    hw_config_write(&f.hw, DEV, 0x18, 0xFFFFFFFF, 4);
    hw_config_write(&f.hw, DEV, 0x1C, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x18, 4), 0xFFFFF00C);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x1C, 4), 0xFFFFFFFF);
    hw_config_write(&f.hw, DEV, 0x30, 0xFFFFFFFE, 4);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x30, 4), 0xFFFF0000);
    teardown(&f);
}
END_TEST

START_TEST(mapping)
{
    struct fixture f;
    setup(&f);
    hw_config_write(&f.hw, DEV, 0x10, 0xC000, 4);
    hw_config_write(&f.hw, DEV, 0x18, 0xE0000000, 4);
    hw_config_write(&f.hw, DEV, 0x1C, 1, 4);
    ck_assert_uint_eq(hw_in(&f.hw, 0xC003, 1), 0xFF);
    hw_config_write(&f.hw, DEV, 4, 1, 2);
    ck_assert_uint_eq(hw_in(&f.hw, 0xC003, 1), 0xA3);
    ck_assert_uint_eq(mem_read(f.hw.env.memory, 0x1E0000002, 1), 0xFF);
    hw_config_write(&f.hw, DEV, 4, 3, 2);
    ck_assert_uint_eq(mem_read(f.hw.env.memory, 0x1E0000002, 1), 0xA2);
    hw_config_write(&f.hw, DEV, 0x10, 0xD000, 4);
    ck_assert_uint_eq(hw_in(&f.hw, 0xC003, 1), 0xFF);
    ck_assert_uint_eq(hw_in(&f.hw, 0xD003, 1), 0xA3);
    hw_config_write(&f.hw, DEV, 0x30, 0xF0000001, 4);
    ck_assert_uint_eq(mem_read(f.hw.env.memory, 0xF0000000, 1), 0);
    hw_config_write(&f.hw, DEV, 0x30, 0xF0000000, 4);
    ck_assert_uint_eq(mem_read(f.hw.env.memory, 0xF0000000, 1), 0xFF);
    hw_reset(&f.hw);
    ck_assert_uint_eq(hw_in(&f.hw, 0xD003, 1), 0xFF);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x10, 4), 1);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 4, 2), 0);
    teardown(&f);
}
END_TEST

START_TEST(interrupt_pin)
{
    struct fixture f;
    setup(&f);
    pci_device_set_irq(&f.dev, 1); /* slot 3, INTA: two slots on from PIRQA */
    ck_assert_int_eq(f.pirq[2], 1);
    ck_assert_int_eq(f.pirq[0] | f.pirq[1] | f.pirq[3], 0);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 6, 2) & 8, 8);
    hw_config_write(&f.hw, DEV, 4, 0x400, 2);
    ck_assert_int_eq(f.pirq[2], 0);
    hw_config_write(&f.hw, DEV, 4, 0, 2);
    ck_assert_int_eq(f.pirq[2], 1);
    hw_reset(&f.hw);
    ck_assert_int_eq(f.pirq[2], 0);
    teardown(&f);
}
END_TEST

START_TEST(multi_function_and_slots)
{
    static const struct pci_id id = { .vendor = 1, .device = 2 };
    struct fixture f;
    struct pci_device second;
    setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x0E, 1), 0);
    ck_assert_int_eq(pci_bus_free_slot(f.bus), PCI_DEVFN(2, 0));
    pci_device_init(&second, &f.hw.env, f.bus, PCI_DEVFN(3, 2), "second", &id);
    ck_assert_uint_eq(hw_config_read(&f.hw, DEV, 0x0E, 1), 0x80);
    ck_assert_ptr_eq(pci_bus_find(f.bus, PCI_DEVFN(3, 2)), &second);
    pci_device_remove(&second);
    teardown(&f);
}
END_TEST

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&pci_state_table), -1);
    ck_assert_int_eq(state_table_gap(&pci_bus_state_table), -1);
}
END_TEST

Suite *pci_suite(void)
{
    Suite *s = suite_create("pci");
    TCase *t = tcase_create("core");
    tcase_add_test(t, header);
    tcase_add_test(t, address_register);
    tcase_add_test(t, sizing);
    tcase_add_test(t, mapping);
    tcase_add_test(t, interrupt_pin);
    tcase_add_test(t, multi_function_and_slots);
    tcase_add_test(t, state);
    suite_add_tcase(s, t);
    return s;
}
