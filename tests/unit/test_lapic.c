/* hw/intc/lapic: registers, priorities, timer, messages, virtual wire (SDM 3A chapter 11). */
#include "hw/intc/lapic.h"

#include "base/bits.h"
#include "tests/unit/device_fixture.h"

#define BASE UINT64_C(0xfee00000)

enum { REG_ID = 0x20, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100,
       TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, LVT_TIMER = 0x320, LINT0 = 0x350,
       LINT1 = 0x360, LVT_ERROR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };

struct cpu {
    int intr, nmi, smi, init, sipi;
};

static struct device_fixture *f;
static struct lapic_bus *bus;
static struct lapic *l[2];
static struct cpu cpus[2];
static int eoi_vector;

static void cpu_intr(void *opaque, int level) { ((struct cpu *)opaque)->intr = level; }
static void cpu_nmi(void *opaque) { ((struct cpu *)opaque)->nmi++; }
static void cpu_smi(void *opaque) { ((struct cpu *)opaque)->smi++; }
static void cpu_init(void *opaque) { ((struct cpu *)opaque)->init++; }
static void cpu_sipi(void *opaque, uint8_t vector) { ((struct cpu *)opaque)->sipi = vector; }

static void eoi(void *opaque, uint8_t vector)
{
    (void)opaque;
    eoi_vector = vector;
}

static void setup(void)
{
    f = device_fixture_new();
    bus = lapic_bus_new(&f->env);
    lapic_bus_set_eoi(bus, eoi, NULL);
    eoi_vector = -1;
    for (int i = 0; i < 2; i++) {
        cpus[i] = (struct cpu){ .sipi = -1 };
        struct lapic_cpu cpu = { cpu_intr, cpu_nmi, cpu_smi, cpu_init, cpu_sipi, &cpus[i] };
        l[i] = lapic_new(&f->env, bus, (uint8_t)i, &cpu);
    }
    dev_reset(f);
}

static void teardown(void)
{
    lapic_free(l[0]);
    lapic_free(l[1]);
    lapic_bus_free(bus);
    device_fixture_free(f);
}

static uint32_t rd(unsigned reg) { return dev_readl(f, BASE + reg); }
static void wr(unsigned reg, uint32_t v) { dev_writel(f, BASE + reg, v); }

static void enable(int i)
{
    lapic_reg_write(l[i], SVR >> 4, 0x1ff);
}

static bool send(uint8_t dest, uint8_t vector, enum lapic_mode mode, bool logical, bool level)
{
    struct lapic_msg m = {
        .dest = dest, .vector = vector, .mode = (uint8_t)mode, .logical = logical, .level = level,
    };
    return lapic_bus_send(bus, &m);
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&lapic_state_table), -1);
}
END_TEST

START_TEST(power_on)
{
    ck_assert_uint_eq(rd(REG_ID), 0);
    ck_assert_uint_eq(lapic_reg_read(l[1], REG_ID >> 4), 0x01000000);
    ck_assert_uint_eq(rd(0x30) & 0xff, 0x14);
    ck_assert_uint_eq(rd(SVR), 0xff);
    ck_assert_uint_eq(rd(DFR), 0xffffffff);
    ck_assert_uint_eq(rd(LVT_TIMER), 0x10000);
    ck_assert_uint_eq(lapic_get_base(l[0]), 0xfee00900);
    ck_assert_uint_eq(lapic_get_base(l[1]), 0xfee00800);
    wr(LVT_TIMER, 0x30); /* software-disabled: the mask bit cannot be cleared */
    ck_assert_uint_eq(rd(LVT_TIMER), 0x10030);
    ck_assert(!send(0, 0x40, LAPIC_FIXED, false, false));
}
END_TEST

START_TEST(priorities)
{
    enable(0);
    ck_assert(send(0, 0x41, LAPIC_FIXED, false, false));
    ck_assert_int_eq(cpus[0].intr, 1);
    ck_assert_uint_eq(rd(IRR + 0x20), 1u << 1);
    ck_assert_int_eq(lapic_ack(l[0]), 0x41);
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert_uint_eq(rd(ISR + 0x20), 1u << 1);
    ck_assert_uint_eq(rd(PPR), 0x40);
    send(0, 0x45, LAPIC_FIXED, false, false); /* same class: waits */
    ck_assert_int_eq(cpus[0].intr, 0);
    send(0, 0x51, LAPIC_FIXED, false, true);
    ck_assert_int_eq(cpus[0].intr, 1);
    lapic_set_tpr(l[0], 5);
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert_uint_eq(rd(TPR), 0x50);
    ck_assert_int_eq(lapic_ack(l[0]), 0xff); /* gone: spurious */
    wr(TPR, 0);
    ck_assert_int_eq(lapic_ack(l[0]), 0x51);
    ck_assert_uint_eq(rd(TMR + 0x20), 1u << 17);
    wr(EOI, 0);
    ck_assert_int_eq(eoi_vector, 0x51);
    eoi_vector = -1;
    wr(EOI, 0);
    ck_assert_int_eq(eoi_vector, -1); /* edge */
    ck_assert_int_eq(lapic_ack(l[0]), 0x45);
}
END_TEST

START_TEST(timer_one_shot)
{
    enable(0);
    wr(TDCR, 0xb); /* by 1 */
    wr(LVT_TIMER, 0x30);
    wr(TMICT, 1000);
    clock_advance(f->env.clock, 400);
    ck_assert_uint_eq(rd(TMCCT), 600);
    ck_assert_int_eq(cpus[0].intr, 0);
    clock_advance(f->env.clock, 600);
    ck_assert_uint_eq(rd(TMCCT), 0);
    ck_assert_int_eq(lapic_ack(l[0]), 0x30);
    wr(EOI, 0);
    clock_advance(f->env.clock, 100000);
    ck_assert_int_eq(cpus[0].intr, 0);
    wr(TDCR, 0x3); /* by 16 */
    wr(TMICT, 1000);
    clock_advance(f->env.clock, 15999);
    ck_assert_int_eq(cpus[0].intr, 0);
    clock_advance(f->env.clock, 1);
    ck_assert_int_eq(cpus[0].intr, 1);
}
END_TEST

START_TEST(timer_periodic)
{
    enable(0);
    wr(TDCR, 0xb);
    wr(LVT_TIMER, 0x20030);
    wr(TMICT, 50000);
    for (int i = 0; i < 3; i++) {
        clock_advance(f->env.clock, 49999);
        ck_assert_int_eq(cpus[0].intr, 0);
        clock_advance(f->env.clock, 1);
        ck_assert_int_eq(lapic_ack(l[0]), 0x30);
        wr(EOI, 0);
        ck_assert_uint_eq(rd(TMCCT), 50000);
    }
    wr(LVT_TIMER, 0x30030); /* masked: counts, asks no host timer */
    ck_assert(clock_deadline(f->env.clock) == INT64_MAX);
    clock_advance(f->env.clock, 60000);
    ck_assert_uint_eq(rd(TMCCT), 40000);
}
END_TEST

START_TEST(timer_tsc_deadline)
{
    enable(0);
    lapic_set_tsc_deadline(l[0], 99, 500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(l[0]), 0); /* not in that mode */
    wr(LVT_TIMER, 0x40030);
    wr(TMICT, 1000);
    ck_assert_uint_eq(rd(TMICT), 0);
    lapic_set_tsc_deadline(l[0], 99, 500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(l[0]), 99);
    clock_advance(f->env.clock, 500);
    ck_assert_uint_eq(lapic_get_tsc_deadline(l[0]), 0);
    ck_assert_int_eq(lapic_ack(l[0]), 0x30);
    lapic_set_tsc_deadline(l[0], 99, 5000);
    wr(LVT_TIMER, 0x30); /* leaving the mode disarms */
    ck_assert_uint_eq(lapic_get_tsc_deadline(l[0]), 0);
}
END_TEST

START_TEST(ipis)
{
    enable(0);
    enable(1);
    wr(ICR2, 0x01000000);
    wr(ICR, 0x00004061); /* fixed, physical */
    ck_assert_int_eq(cpus[1].intr, 1);
    ck_assert_int_eq(lapic_ack(l[1]), 0x61);
    wr(ICR, 0x00040062); /* self */
    ck_assert_int_eq(lapic_ack(l[0]), 0x62);
    wr(ICR, 0x000c4400); /* NMI, all but self */
    ck_assert_int_eq(cpus[0].nmi, 0);
    ck_assert_int_eq(cpus[1].nmi, 1);
    wr(ICR, 0x000c4200); /* SMI */
    ck_assert_int_eq(cpus[1].smi, 1);
    wr(ICR, 0x0000c500); /* INIT assert */
    ck_assert_int_eq(cpus[1].init, 1);
    ck_assert_uint_eq(lapic_reg_read(l[1], SVR >> 4), 0xff);
    ck_assert_uint_eq(lapic_reg_read(l[1], REG_ID >> 4), 0x01000000);
    wr(ICR, 0x00008500); /* de-assert: nothing */
    ck_assert_int_eq(cpus[1].init, 1);
    wr(ICR, 0x0000469a); /* SIPI */
    ck_assert_int_eq(cpus[1].sipi, 0x9a);
    wr(ICR, 0x00004005); /* illegal vector */
    ck_assert_uint_eq(rd(ESR), 0);
    wr(ESR, 0);
    ck_assert_uint_eq(rd(ESR), 0x20);
    wr(ESR, 0);
    ck_assert_uint_eq(rd(ESR), 0);
}
END_TEST

START_TEST(logical)
{
    enable(0);
    enable(1);
    wr(LDR, 0x01000000);
    lapic_reg_write(l[1], LDR >> 4, 0x02000000);
    send(0x02, 0x40, LAPIC_FIXED, true, false);
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert_int_eq(lapic_ack(l[1]), 0x40);
    lapic_reg_write(l[1], EOI >> 4, 0);
    wr(TPR, 0x20);
    send(0x03, 0x50, LAPIC_LOWEST, true, false); /* the one with the lower priority */
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert_int_eq(cpus[1].intr, 1);
    wr(DFR, 0x0fffffff); /* cluster model: cluster 1, member 1 */
    wr(LDR, 0x11000000);
    send(0x11, 0x61, LAPIC_FIXED, true, false);
    ck_assert_int_eq(lapic_ack(l[0]), 0x61);
    ck_assert(!send(0x21, 0x61, LAPIC_FIXED, true, false));
    ck_assert(lapic_bus_send_msi(bus, 0xfee00000, 0x0071));
    ck_assert_int_eq(lapic_ack(l[0]), 0x71);
}
END_TEST

START_TEST(virtual_wire)
{
    lapic_set_extint(l[0], 1); /* the power-on state of the bootstrap processor passes it */
    ck_assert_int_eq(cpus[0].intr, 1);
    ck_assert(lapic_extint_pending(l[0]));
    ck_assert_int_eq(lapic_ack(l[0]), -1);
    enable(0);
    send(0, 0x40, LAPIC_FIXED, false, false);
    ck_assert(!lapic_extint_pending(l[0])); /* fixed first */
    ck_assert_int_eq(lapic_ack(l[0]), 0x40);
    ck_assert(lapic_extint_pending(l[0]));
    wr(LINT0, 0x10700);
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert(lapic_set_base(l[0], 0xfee00100)); /* globally disabled: straight through */
    ck_assert_int_eq(cpus[0].intr, 1);
    ck_assert_uint_eq(rd(SVR), 0xffffffff); /* no page */
    lapic_set_extint(l[0], 0);
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert(!lapic_set_base(l[0], 0xfee00901));
    ck_assert(lapic_set_base(l[0], 0xfec10900));
    ck_assert_uint_eq(dev_readl(f, 0xfec10000 + SVR), 0xff);
}
END_TEST

START_TEST(lint_modes)
{
    enable(0);
    wr(LINT1, 0x400);
    lapic_set_nmi(l[0], 1);
    lapic_set_nmi(l[0], 1);
    ck_assert_int_eq(cpus[0].nmi, 1);
    wr(LINT0, 0x35); /* fixed, edge */
    lapic_set_extint(l[0], 1);
    ck_assert_int_eq(lapic_ack(l[0]), 0x35);
    wr(LVT_ERROR, 0x36);
    wr(EOI, 0);
    send(0, 5, LAPIC_FIXED, false, false);
    ck_assert_int_eq(lapic_ack(l[0]), 0x36);
}
END_TEST

/* ---- x2APIC mode: SDM 3A 11.12 ---- */

#define X2APIC UINT64_C(0xfee00c00)

static uint64_t msr(int i, unsigned index)
{
    uint64_t v = 0;

    ck_assert_msg(lapic_msr_read(l[i], index, &v), "read of %03x refused", index);
    return v;
}

static void enter_x2apic(int i)
{
    uint64_t bsp = i ? 0 : 0x100;

    ck_assert(lapic_set_base(l[i], X2APIC | bsp));
    ck_assert(lapic_msr_write(l[i], 0x0f, 0x1ff));
}

/* Figure 11-27: every change of EN and EXTD. */
START_TEST(x2apic_transitions)
{
    static const struct { uint64_t from, to; bool allowed; } x[] = {
        { 0x800, 0x000, true }, { 0x800, 0x800, true }, { 0x800, 0xc00, true }, { 0x800, 0x400, false },
        { 0xc00, 0x000, true }, { 0xc00, 0x800, false }, { 0xc00, 0xc00, true }, { 0xc00, 0x400, false },
        { 0x000, 0x000, true }, { 0x000, 0x800, true }, { 0x000, 0xc00, false }, { 0x000, 0x400, false },
    };
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_LEN(x); i++) {
        dev_reset(f);
        ck_assert(lapic_set_base(l[0], 0xfee00100 | x[i].from));
        ck_assert_int_eq(lapic_set_base(l[0], 0xfee00100 | x[i].to), x[i].allowed);
        ck_assert_uint_eq(lapic_get_base(l[0]), 0xfee00100 | (x[i].allowed ? x[i].to : x[i].from));
    }
    dev_reset(f);
    ck_assert_uint_eq(lapic_get_base(l[0]), 0xfee00900);
    ck_assert(!lapic_msr_read(l[0], 0x02, &v)); /* no MSRs in xAPIC mode */
    ck_assert(!lapic_msr_write(l[0], 0x08, 0x20));
    wr(TPR, 0x30);
    enter_x2apic(0);
    ck_assert_uint_eq(msr(0, 0x08), 0x30); /* kept */
    ck_assert_uint_eq(rd(TPR), 0xffffffff); /* no page */
    lapic_set_base(l[0], 0xfee00100);
    lapic_set_base(l[0], 0xfee00900);
    ck_assert_uint_eq(rd(TPR), 0);
}
END_TEST

/* Table 11-6, for what is there; what is not in it and what it reserves is #GP. */
START_TEST(x2apic_registers)
{
    static const uint8_t ro[] = { 0x02, 0x03, 0x0a, 0x0d, 0x10, 0x17, 0x18, 0x1f, 0x20, 0x27, 0x39 };
    static const uint8_t rw[] = { 0x08, 0x0f, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e };
    static const uint8_t none[] = { 0x00, 0x04, 0x09, 0x0c, 0x0e, 0x29, 0x31, 0x3a, 0x40, 0xff };
    static const struct { uint8_t index; uint64_t bad; } reserved[] = {
        { 0x08, 0x100 }, { 0x0b, 1 }, { 0x0f, 0x10000 }, { 0x28, 1 }, { 0x30, 0x2000 }, { 0x30, 0x100000 },
        { 0x32, 0x80000 }, { 0x32, 0x8000 }, { 0x35, 0x20000 }, { 0x37, 0x100 }, { 0x38, BIT(32) },
        { 0x3e, 4 },
        { 0x3f, 0x100 }, { 0x08, BIT(63) },
    };
    uint64_t v;

    enter_x2apic(0);
    for (unsigned i = 0; i < ARRAY_LEN(ro); i++) {
        msr(0, ro[i]);
        ck_assert(!lapic_msr_write(l[0], ro[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(rw); i++) {
        msr(0, rw[i]);
        if (rw[i] != 0x30)
            ck_assert(lapic_msr_write(l[0], rw[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        ck_assert(!lapic_msr_read(l[0], none[i], &v));
        ck_assert(!lapic_msr_write(l[0], none[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++)
        ck_assert_msg(!lapic_msr_write(l[0], reserved[i].index, reserved[i].bad), "row %u", i);
    ck_assert(!lapic_msr_read(l[0], 0x0b, &v)); /* EOI and SELF IPI: write-only */
    ck_assert(lapic_msr_write(l[0], 0x0b, 0));
    ck_assert(!lapic_msr_read(l[0], 0x3f, &v));
    ck_assert_uint_eq(msr(0, 0x02), 0);
    ck_assert_uint_eq(msr(0, 0x0d), 1);
    enter_x2apic(1);
    ck_assert_uint_eq(msr(1, 0x02), 1);
    ck_assert_uint_eq(msr(1, 0x0d), 2);
}
END_TEST

START_TEST(x2apic_logical_id)
{
    struct lapic_cpu cpu = { cpu_intr, cpu_nmi, cpu_smi, cpu_init, cpu_sipi, &cpus[1] };
    struct lapic *far_one = lapic_new(&f->env, bus, 0x25, &cpu);
    uint64_t v;

    ck_assert(lapic_set_base(far_one, X2APIC));
    ck_assert(lapic_msr_read(far_one, 0x0d, &v));
    ck_assert_uint_eq(v, 0x20020);
    lapic_free(far_one);
}
END_TEST

START_TEST(x2apic_ipis)
{
    enter_x2apic(0);
    enter_x2apic(1);
    ck_assert(lapic_msr_write(l[0], 0x30, UINT64_C(0x100004041))); /* to id 1 */
    ck_assert_uint_eq(msr(0, 0x30), UINT64_C(0x100004041));
    ck_assert_int_eq(lapic_ack(l[1]), 0x41);
    ck_assert_int_eq(cpus[0].intr, 0);
    lapic_msr_write(l[1], 0x0b, 0);
    lapic_msr_write(l[0], 0x30, UINT64_C(0x300004842)); /* logical, cluster 0: ids 0 and 1 */
    ck_assert_int_eq(lapic_ack(l[0]), 0x42);
    ck_assert_int_eq(lapic_ack(l[1]), 0x42);
    lapic_msr_write(l[0], 0x0b, 0);
    lapic_msr_write(l[1], 0x0b, 0);
    lapic_msr_write(l[0], 0x30, UINT64_C(0x1000300004842)); /* cluster 1: nobody */
    lapic_msr_write(l[0], 0x30, UINT64_C(0xff00004043));   /* id 255: nobody */
    ck_assert_int_eq(cpus[0].intr + cpus[1].intr, 0);
    lapic_msr_write(l[0], 0x30, UINT64_C(0xffffffff00004043)); /* everybody */
    ck_assert_int_eq(lapic_ack(l[0]), 0x43);
    ck_assert_int_eq(lapic_ack(l[1]), 0x43);
    lapic_msr_write(l[0], 0x0b, 0);
    lapic_msr_write(l[1], 0x0b, 0);
    lapic_msr_write(l[1], 0x3f, 0x44); /* SELF IPI */
    ck_assert_int_eq(cpus[0].intr, 0);
    ck_assert_int_eq(lapic_ack(l[1]), 0x44);
    lapic_msr_write(l[1], 0x3f, 0x0f); /* no such vector */
    lapic_msr_write(l[1], 0x28, 0);
    ck_assert_uint_eq(msr(1, 0x28), 0x20);
    send(0, 0x51, LAPIC_FIXED, false, false); /* as from an I/O APIC */
    ck_assert_int_eq(lapic_ack(l[0]), 0x51);
    lapic_msr_write(l[0], 0x30, UINT64_C(0x100004500)); /* INIT leaves the mode alone */
    ck_assert_int_eq(cpus[1].init, 1);
    ck_assert_uint_eq(lapic_get_base(l[1]), X2APIC);
    ck_assert_uint_eq(msr(1, 0x02), 1);
    ck_assert_uint_eq(msr(1, 0x0f), 0xff);
}
END_TEST

Suite *lapic_suite(void)
{
    Suite *s = suite_create("lapic");
    TCase *tc = tcase_create("lapic");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, power_on);
    tcase_add_test(tc, priorities);
    tcase_add_test(tc, timer_one_shot);
    tcase_add_test(tc, timer_periodic);
    tcase_add_test(tc, timer_tsc_deadline);
    tcase_add_test(tc, ipis);
    tcase_add_test(tc, logical);
    tcase_add_test(tc, virtual_wire);
    tcase_add_test(tc, lint_modes);
    tcase_add_test(tc, x2apic_transitions);
    tcase_add_test(tc, x2apic_registers);
    tcase_add_test(tc, x2apic_logical_id);
    tcase_add_test(tc, x2apic_ipis);
    suite_add_tcase(s, tc);
    return s;
}
