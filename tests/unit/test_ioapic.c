/* hw/intc/ioapic: registers, edge and level, remote IRR, EOI, destinations (data sheet 290566). */
#include "hw/intc/ioapic.h"
#include "tests/unit/lapic_fixture.h"

#define BASE UINT64_C(0xfec00000)

enum { CPUS = 4, RTE_PENDING = 0x1000, RTE_REMOTE = 0x4000, RTE_LEVEL = 0x8000, RTE_MASK = 0x10000 };

static struct lapic_fixture x;
static struct device_fixture *f;
static struct lapic *l; /* of the first processor */
static struct ioapic *io;

static void setup(void)
{
    lapics_setup(&x, CPUS, 0);
    f = x.f;
    l = x.l[0];
    io = ioapic_new(&f->env, BASE, x.bus);
    dev_reset(f);
    lapics_enable(&x);
}

static void teardown(void)
{
    ioapic_free(io);
    lapics_teardown(&x);
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

/* The entry of pin n. */
static void set_entry(unsigned n, uint32_t low, uint8_t dest)
{
    wr(0x11 + 2 * n, (uint32_t)dest << 24);
    wr(0x10 + 2 * n, low);
}

static uint32_t entry(unsigned n) { return rd(0x10 + 2 * n); }

static void pulse(int n)
{
    ioapic_set_irq(io, n, 1);
    ioapic_set_irq(io, n, 0);
}

/* 24 pins, ID and arbitration ID; registers only through whole words of the window (3.2.1 to 3.2.4). */
START_TEST(register_map)
{
    static const uint8_t none[] = { 0x03, 0x0f, 0x40, 0xff };

    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        ck_assert_uint_eq(rd(0x10 + 2 * n), 0x10000);
        ck_assert_uint_eq(rd(0x11 + 2 * n), 0);
        set_entry(n, RTE_MASK | (0x40 + n), (uint8_t)n);
    }
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        ck_assert_uint_eq(entry(n), RTE_MASK | (0x40 + n));
        ck_assert_uint_eq(rd(0x11 + 2 * n), n << 24);
    }
    wr(0x11, 0xffffffff); /* the destination alone */
    ck_assert_uint_eq(rd(0x11), 0xff000000);
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        wr(none[i], 0xffffffff);
        ck_assert_uint_eq(rd(none[i]), 0);
    }
    wr(0, 0x05000000);
    ck_assert_uint_eq(rd(2), 0x05000000); /* loaded with the ID */
    wr(2, 0x0a000000);
    wr(1, 0xffffffff);
    ck_assert_uint_eq(rd(2), 0x05000000);
    ck_assert_uint_eq(rd(1), 0x00170020);
    ck_assert_uint_eq(dev_readl(f, BASE), 1);
    ioapic_set_irq(io, -1, 1);
    ioapic_set_irq(io, IOAPIC_PINS, 1);
    ck_assert_uint_eq(lapics_take(&x), 0);
}
END_TEST

/* Both destination modes reach all processors. */
START_TEST(destinations)
{
    static const struct { uint32_t rte; uint8_t dest; unsigned who; } t[] = {
        { 0x041, 0, 0x1 }, { 0x041, 3, 0x8 }, { 0x041, 4, 0 }, { 0x041, 0xff, 0xf }, { 0x841, 0x05, 0x5 },
        { 0x841, 0xff, 0xf }, { 0x841, 0x10, 0 }, { 0x941, 0x0f, 0x1 }, { 0x941, 0x0f, 0x2 },
        { 0x941, 0x0c, 0x4 },
    };
    for (unsigned i = 0; i < CPUS; i++)
        lapic_put(&x, i, LDR, 1u << (24 + i));
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        for (unsigned level = 0; level < 2; level++) {
            dev_writel(f, BASE + 0x40, 0x41);
            set_entry(9, t[i].rte | (level ? RTE_LEVEL : 0), t[i].dest);
            if (level && t[i].rte & 0x100)
                continue;
            pulse(9);
            ck_assert_msg(lapics_take(&x) == t[i].who, "row %u, level %u", i, level);
        }
    }
}
END_TEST

/* Delivery modes; those but fixed and lowest priority are edges even where the entry says level. */
START_TEST(modes)
{
    static const struct { uint32_t mode; int nmi, smi, init; } t[] = {
        { 0x200, 0, 1, 0 }, { 0x400, 1, 0, 0 }, { 0x500, 0, 0, 1 }, { 0x300, 0, 0, 0 }, { 0x600, 0, 0, 0 },
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(t); i++) {
        unsigned row = i / 2;
        x.cpu[2] = (struct lapic_probe){ .sipi = -1 };
        set_entry(5, t[row].mode | (i & 1 ? RTE_LEVEL : 0), 2);
        ioapic_set_irq(io, 5, 1);
        ioapic_set_irq(io, 5, 1);
        ck_assert_uint_eq(entry(5) & (RTE_REMOTE | RTE_PENDING), 0);
        ioapic_set_irq(io, 5, 0);
        ck_assert_int_eq(x.cpu[2].nmi, t[row].nmi);
        ck_assert_int_eq(x.cpu[2].smi, t[row].smi);
        ck_assert_int_eq(x.cpu[2].init, t[row].init);
        ck_assert_int_eq(x.cpu[2].sipi, -1);
    }
}
END_TEST

/* The 8259 on a pin whose entry is ExtINT: the processors addressed ask it until its INT falls. */
START_TEST(extint)
{
    lapic_put(&x, 0, LINT0, 0x10700);
    set_entry(0, 0x700, 1);
    for (unsigned i = 0; i < CPUS; i++)
        lapic_set_extint(x.l[i], 1);
    ioapic_set_irq(io, 0, 1);
    ck_assert(lapic_extint_pending(x.l[1]));
    ck_assert_int_eq(x.cpu[0].intr | x.cpu[2].intr, 0);
    ioapic_set_irq(io, 0, 0);
    for (unsigned i = 0; i < CPUS; i++)
        lapic_set_extint(x.l[i], 0);
    ck_assert_int_eq(x.cpu[1].intr, 0);
}
END_TEST

/* A level that nobody takes is to be delivered (bit 12), and is when somebody can. */
START_TEST(delivery_status)
{
    lapic_put(&x, 1, SVR, 0xff);
    set_entry(10, RTE_LEVEL | 0x52, 1);
    ck_assert_uint_eq(entry(10), RTE_LEVEL | 0x52);
    ioapic_set_irq(io, 10, 1);
    ck_assert_uint_eq(entry(10), RTE_LEVEL | RTE_PENDING | 0x52);
    lapic_put(&x, 1, SVR, 0x1ff);
    ck_assert_uint_eq(entry(10), RTE_LEVEL | RTE_REMOTE | 0x52);
    ck_assert_int_eq(x.cpu[1].intr, 1);
    ioapic_set_irq(io, 10, 0);
    lapics_take(&x);
    set_entry(10, RTE_LEVEL | 0x52, 0x77);
    ioapic_set_irq(io, 10, 1);
    ck_assert_uint_eq(entry(10), RTE_LEVEL | RTE_PENDING | 0x52);
    lapic_put(&x, 3, REG_ID, 0x77000000);
    ioapic_set_irq(io, 10, 0);
    ck_assert_uint_eq(lapics_take(&x), 0x8);
    set_entry(10, RTE_LEVEL | 0x52, 0x66);
    ioapic_set_irq(io, 10, 1);
    ioapic_set_irq(io, 10, 0); /* withdrawn */
    ck_assert_uint_eq(entry(10) & RTE_PENDING, 0);
}
END_TEST

/* An EOI of any processor ends it; the mask neither loses a level nor keeps an edge (3.2.4). */
START_TEST(level_among_many)
{
    set_entry(10, RTE_LEVEL | 0x52, 2);
    set_entry(11, RTE_LEVEL | 0x52, 2); /* shares the vector */
    ioapic_set_irq(io, 10, 1);
    ioapic_set_irq(io, 11, 1);
    ck_assert_int_eq(lapic_ack(x.l[2]), 0x52);
    ioapic_set_irq(io, 11, 0);
    ck_assert_uint_eq(entry(11) & RTE_REMOTE, RTE_REMOTE);
    lapic_put(&x, 2, EOI, 0);
    ck_assert_uint_eq(entry(11) & RTE_REMOTE, 0);
    ck_assert_uint_eq(entry(10) & RTE_REMOTE, RTE_REMOTE); /* still asserted: sent again */
    ck_assert_int_eq(lapic_ack(x.l[2]), 0x52);
    set_entry(10, RTE_MASK | RTE_LEVEL | 0x52, 3);
    lapic_put(&x, 2, EOI, 0);
    ck_assert_uint_eq(entry(10), RTE_MASK | RTE_LEVEL | 0x52);
    ck_assert_uint_eq(lapics_take(&x), 0);
    set_entry(10, RTE_LEVEL | 0x52, 3);
    ioapic_set_irq(io, 10, 0); /* goes while in service */
    ck_assert_uint_eq(lapics_take(&x), 0x8);
    ck_assert_uint_eq(entry(10), RTE_LEVEL | 0x52);
    set_entry(10, RTE_LEVEL | 0x52, 0xff);
    ioapic_set_irq(io, 10, 1);
    ioapic_set_irq(io, 10, 0);
    ck_assert_uint_eq(lapics_take(&x), 0xf);
    set_entry(4, RTE_MASK | 0x43, 0);
    pulse(4);
    set_entry(4, 0x43, 0);
    ck_assert_uint_eq(lapics_take(&x), 0);
}
END_TEST

/* With the broadcast suppressed the EOI register ends it. */
START_TEST(directed_eoi)
{
    lapic_put(&x, 1, SVR, 0x11ff);
    set_entry(10, RTE_LEVEL | 0x52, 1);
    pulse(10);
    ck_assert_uint_eq(lapics_take(&x), 0x2);
    ck_assert_uint_eq(entry(10) & RTE_REMOTE, RTE_REMOTE);
    pulse(10);
    ck_assert_uint_eq(lapics_take(&x), 0);
    dev_writel(f, BASE + 0x40, 0x52);
    ck_assert_uint_eq(entry(10) & RTE_REMOTE, 0);
    pulse(10);
    ck_assert_uint_eq(lapics_take(&x), 0x2);
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
    tcase_add_test(tc, register_map);
    tcase_add_test(tc, destinations);
    tcase_add_test(tc, modes);
    tcase_add_test(tc, extint);
    tcase_add_test(tc, delivery_status);
    tcase_add_test(tc, level_among_many);
    tcase_add_test(tc, directed_eoi);
    suite_add_tcase(s, tc);
    return s;
}
