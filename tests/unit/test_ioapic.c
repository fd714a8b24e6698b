/* hw/intc/ioapic: registers, edge and level, remote IRR, EOI (data sheet 290566). */
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "tests/unit/device_fixture.h"

#define BASE UINT64_C(0xfec00000)

static struct device_fixture *f;
static struct lapic_bus *bus;
static struct lapic *l;
static struct ioapic *io;

static void no_intr(void *opaque, int level) { (void)opaque; (void)level; }
static void no_event(void *opaque) { (void)opaque; }
static void no_sipi(void *opaque, uint8_t vector) { (void)opaque; (void)vector; }

static void setup(void)
{
    f = device_fixture_new();
    bus = lapic_bus_new(&f->env);
    struct lapic_cpu cpu = { no_intr, no_event, no_event, no_event, no_sipi, NULL };
    l = lapic_new(&f->env, bus, 0, &cpu);
    io = ioapic_new(&f->env, BASE, bus);
    dev_reset(f);
    lapic_reg_write(l, 0x0f, 0x1ff);
}

static void teardown(void)
{
    ioapic_free(io);
    lapic_free(l);
    lapic_bus_free(bus);
    device_fixture_free(f);
}

static uint32_t rd(uint32_t reg)
{
    dev_writel(f, BASE, reg);
    return dev_readl(f, BASE + 0x10);
}

static void wr(uint32_t reg, uint32_t v)
{
    dev_writel(f, BASE, reg);
    dev_writel(f, BASE + 0x10, v);
}

START_TEST(registers)
{
    ck_assert_int_eq(state_table_gap(&ioapic_state_table), -1);
    ck_assert_uint_eq(rd(1), 0x00170020);
    wr(0, 0xffffffff);
    ck_assert_uint_eq(rd(0), 0x0f000000);
    ck_assert_uint_eq(rd(0x10), 0x10000);
    wr(0x10, 0xffffffff);
    ck_assert_uint_eq(rd(0x10), 0x1afff); /* delivery status and remote IRR are read-only */
    wr(0x3f, 0xaa000000);
    ck_assert_uint_eq(rd(0x3f), 0xaa000000);
    dev_reset(f);
    ck_assert_uint_eq(rd(0x3f), 0);
    ck_assert_uint_eq(rd(0x10), 0x10000);
}
END_TEST

START_TEST(edge)
{
    ioapic_set_irq(io, 4, 1); /* masked: lost */
    wr(0x18, 0x41);
    ck_assert(!lapic_has_interrupt(l));
    ioapic_set_irq(io, 4, 0);
    ioapic_set_irq(io, 4, 1);
    ck_assert_int_eq(lapic_ack(l), 0x41);
    ck_assert_uint_eq(rd(0x18), 0x41);
    lapic_reg_write(l, 0x0b, 0);
    ck_assert(!lapic_has_interrupt(l));
}
END_TEST

START_TEST(level)
{
    ioapic_set_irq(io, 10, 1);
    wr(0x24, 0x8052);
    ck_assert_uint_eq(rd(0x24), 0xc052); /* remote IRR */
    ck_assert_int_eq(lapic_ack(l), 0x52);
    lapic_reg_write(l, 0x0b, 0); /* still asserted: again */
    ck_assert_int_eq(lapic_ack(l), 0x52);
    ioapic_set_irq(io, 10, 0);
    ck_assert_uint_eq(rd(0x24), 0xc052);
    lapic_reg_write(l, 0x0b, 0);
    ck_assert_uint_eq(rd(0x24), 0x8052);
    ck_assert(!lapic_has_interrupt(l));
}
END_TEST

START_TEST(eoi_register)
{
    wr(0x24, 0x8052);
    ioapic_set_irq(io, 10, 1);
    ioapic_set_irq(io, 10, 0);
    dev_writel(f, BASE + 0x40, 0x51);
    ck_assert_uint_eq(rd(0x24), 0xc052);
    dev_writel(f, BASE + 0x40, 0x52);
    ck_assert_uint_eq(rd(0x24), 0x8052);
    ioapic_set_irq(io, 10, 1);
    wr(0x24, 0x10052); /* edge: remote IRR goes */
    ck_assert_uint_eq(rd(0x24), 0x10052);
}
END_TEST

Suite *ioapic_suite(void)
{
    Suite *s = suite_create("ioapic");
    TCase *tc = tcase_create("ioapic");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, registers);
    tcase_add_test(tc, edge);
    tcase_add_test(tc, level);
    tcase_add_test(tc, eoi_register);
    suite_add_tcase(s, tc);
    return s;
}
