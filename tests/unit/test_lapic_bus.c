/* hw/intc/lapic_bus: several local APICs: destinations, lowest priority, IPIs, MSI, pages (SDM 3A 11.6,
 * 11.11). */
#include "hw/intc/i8259.h"
#include "tests/unit/lapic_fixture.h"

enum { CPUS = 6 };

static struct lapic_fixture x;

static void setup(void)
{
    lapics_setup(&x, CPUS, 0);
    lapics_enable(&x);
}

static void teardown(void)
{
    lapics_teardown(&x);
}

static bool send(uint32_t dest, enum lapic_mode mode, bool logical)
{
    struct lapic_msg m = { .dest = dest, .vector = 0x41, .mode = (uint8_t)mode, .logical = logical };
    return lapic_bus_send(x.bus, &m);
}

static void write_icr(unsigned from, uint32_t high, uint32_t low)
{
    lapic_put(&x, from, ICR2, high);
    lapic_put(&x, from, ICR, low);
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&lapic_bus_state_table), -1);
}
END_TEST

/* ---- destinations ---- */

/* Logical IDs: in the flat model a bit each; in the cluster model 11, 12, 14, 21, 22, 24. */
static void set_ldrs(bool cluster)
{
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_put(&x, i, LDR, cluster ? (i / 3 + 1) << 28 | 1u << (24 + i % 3) : 1u << (24 + i));
        lapic_put(&x, i, DFR, cluster ? 0 : 0xffffffff);
    }
}

START_TEST(destinations)
{
    enum { PHYS, FLAT, CLUSTER };
    static const struct { uint8_t how, dest; unsigned who; } t[] = {
        { PHYS, 0, 0x01 }, { PHYS, 5, 0x20 }, { PHYS, 6, 0 }, { PHYS, 0xfe, 0 }, { PHYS, 0xff, 0x3f },
        { FLAT, 0x01, 0x01 }, { FLAT, 0x20, 0x20 }, { FLAT, 0x2a, 0x2a }, { FLAT, 0xc0, 0 }, { FLAT, 0, 0 },
        { FLAT, 0xff, 0x3f },
        { CLUSTER, 0x11, 0x01 }, { CLUSTER, 0x16, 0x06 }, { CLUSTER, 0x1f, 0x07 }, { CLUSTER, 0x24, 0x20 },
        { CLUSTER, 0x2f, 0x38 }, { CLUSTER, 0x31, 0 }, { CLUSTER, 0x10, 0 }, { CLUSTER, 0x18, 0 },
        { CLUSTER, 0xff, 0x3f },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        set_ldrs(t[i].how == CLUSTER);
        ck_assert_msg(send(t[i].dest, LAPIC_FIXED, t[i].how != PHYS) == (t[i].who != 0), "row %u", i);
        ck_assert_msg(lapics_take(&x) == t[i].who, "row %u", i);
        write_icr(2, (uint32_t)t[i].dest << 24, (t[i].how == PHYS ? 0 : 0x800) | 0x4041);
        ck_assert_msg(lapics_take(&x) == t[i].who, "row %u from the ICR", i);
    }
}
END_TEST

/* Logical IDs follow from the x2APIC ID: its upper bits the cluster, the lower four a bit (SDM 11.12.10.2).
 * */
START_TEST(x2apic_destinations)
{
    static const struct { bool logical; uint32_t dest; unsigned who; } t[] = {
        { false, 14, 0x01 }, { false, 17, 0x08 }, { false, 20, 0 }, { false, 0xff, 0 },
        { false, 0x100000e, 0 }, { false, 0xffffffff, 0x3f },
        { true, 0x0000c000, 0x03 }, { true, 0x00004000, 0x01 }, { true, 0x00010001, 0x04 },
        { true, 0x0001000f, 0x3c }, { true, 0x0001fff0, 0 }, { true, 0x0002ffff, 0 }, { true, 0x4000, 0x01 },
        { true, 0xffffffff, 0x3f },
    };
    teardown();
    lapics_setup(&x, CPUS, 14); /* 14 and 15 in cluster 0, 16 to 19 in cluster 1 */
    lapics_enter_x2apic(&x);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        lapic_put_msr(&x, 1, 0x30, (uint64_t)t[i].dest << 32 | (t[i].logical ? 0x800 : 0) | 0x4041);
        ck_assert_msg(lapics_take(&x) == t[i].who, "row %u", i);
    }
    send(0xff, LAPIC_FIXED, false); /* 8 bits, of the board: everybody */
    ck_assert_uint_eq(lapics_take(&x), 0x3f);
    send(17, LAPIC_FIXED, false);
    ck_assert_uint_eq(lapics_take(&x), 0x08);
    send(0x01, LAPIC_FIXED, true); /* cluster 0, bit 0: nobody here */
    ck_assert_uint_eq(lapics_take(&x), 0);
}
END_TEST

/* One in x2APIC mode among others that are not: each is addressed in its own way. */
START_TEST(mixed_modes)
{
    set_ldrs(false);
    lapic_set_base(x.l[5], 0xfee00c00);
    lapic_put_msr(&x, 5, 0x0f, 0x1ff);
    lapic_put_msr(&x, 5, 0x30, UINT64_C(0x200004041)); /* physical */
    ck_assert_uint_eq(lapics_take(&x), 0x04);
    write_icr(0, 0x05000000, 0x4041);
    ck_assert_uint_eq(lapics_take(&x), 0x20);
    write_icr(0, 0x21000000, 0x4841); /* logical: bits 0 and 5; also the bit of x2APIC ID 5 */
    ck_assert_uint_eq(lapics_take(&x), 0x21);
    lapic_put_msr(&x, 5, 0x30, UINT64_C(0x1000100004841)); /* a cluster of x2APIC IDs, nobody's */
    ck_assert_uint_eq(lapics_take(&x), 0);
    lapic_put_msr(&x, 5, 0x30, UINT64_C(0xffffffff00004041));
    ck_assert_uint_eq(lapics_take(&x), 0x3f);
    write_icr(0, 0xff000000, 0x4041);
    ck_assert_uint_eq(lapics_take(&x), 0x3f);
}
END_TEST

/* Messages go by the ID as it is now. */
START_TEST(changed_ids)
{
    lapic_put(&x, 3, REG_ID, 0x80ffffff);
    ck_assert_uint_eq(lapic_get(&x, 3, REG_ID), 0x80000000);
    ck_assert(!send(3, LAPIC_FIXED, false));
    ck_assert(send(0x80, LAPIC_FIXED, false));
    ck_assert_uint_eq(lapics_take(&x), 0x08);
    lapic_put(&x, 4, REG_ID, 0x01000000); /* two of a name */
    send(1, LAPIC_FIXED, false);
    ck_assert_uint_eq(lapics_take(&x), 0x12);
    lapic_set_base(x.l[4], 0xfee00c00); /* the x2APIC ID cannot be changed */
    lapic_put_msr(&x, 4, 0x0f, 0x1ff);
    send(4, LAPIC_FIXED, false);
    ck_assert_uint_eq(lapics_take(&x), 0x10);
    lapic_set_base(x.l[2], 0xfee00000); /* globally disabled: not there */
    ck_assert(!send(2, LAPIC_NMI, false));
    dev_reset(x.f);
    lapics_enable(&x);
    send(3, LAPIC_FIXED, false);
    ck_assert_uint_eq(lapics_take(&x), 0x08);
}
END_TEST

/* ---- delivery modes ---- */

/* Table 11-3 and figure 11-12, from processor 1: who gets what. `events`: 1 for each NMI, 10 SMI, 100 INIT,
 * 1000 fixed interrupt; start-up counts 10000. */
static int events_of(unsigned i)
{
    struct lapic_probe p = x.cpu[i];
    int fixed = 0;
    for (; x.cpu[i].intr; fixed++) {
        lapic_ack(x.l[i]);
        lapic_reg_write(x.l[i], EOI >> 4, 0);
    }
    x.cpu[i] = (struct lapic_probe){ .sipi = -1 };
    return p.nmi + 10 * p.smi + 100 * p.init + 1000 * fixed + 10000 * (p.sipi >= 0);
}

START_TEST(icr_modes)
{
    enum { FIXED = 0x000, LOWEST = 0x100, SMI = 0x200, REMOTE = 0x300, NMI = 0x400, INIT = 0x500,
           SIPI = 0x600, RESERVED = 0x700, DEST = 0, SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18,
           LEVEL = 1 << 15, ASSERT = 1 << 14 };
    static const struct { uint32_t icr; int dest, self, other; } t[] = { /* dest: processor 3, of ICR2 */
        { DEST | FIXED, 1000, 0, 0 }, { DEST | LOWEST, 1000, 0, 0 }, { DEST | SMI, 10, 0, 0 },
        { DEST | REMOTE, 0, 0, 0 }, { DEST | NMI, 1, 0, 0 }, { DEST | INIT | ASSERT, 100, 0, 0 },
        { DEST | INIT, 100, 0, 0 }, { DEST | SIPI, 10000, 0, 0 }, { DEST | RESERVED, 0, 0, 0 },
        { DEST | INIT | LEVEL | ASSERT, 100, 0, 0 }, { DEST | INIT | LEVEL, 0, 0, 0 }, /* de-assert */
        { DEST | FIXED | LEVEL | ASSERT, 1000, 0, 0 },
        { SELF | FIXED, 0, 1000, 0 }, { SELF | LOWEST, 0, 0, 0 }, { SELF | SMI, 0, 0, 0 },
        { SELF | NMI, 0, 0, 0 }, { SELF | INIT | ASSERT, 0, 0, 0 }, { SELF | SIPI, 0, 0, 0 },
        { ALL | FIXED, 1000, 1000, 1000 }, { ALL | LOWEST, 0, 0, 0 }, { ALL | SMI, 0, 0, 0 },
        { ALL | NMI, 0, 0, 0 }, { ALL | INIT | ASSERT, 0, 0, 0 }, { ALL | INIT | LEVEL, 0, 0, 0 },
        { ALL | SIPI, 0, 0, 0 },
        { OTHERS | FIXED, 1000, 0, 1000 }, { OTHERS | SMI, 10, 0, 10 }, { OTHERS | NMI, 1, 0, 1 },
        { OTHERS | INIT | ASSERT, 100, 0, 100 }, { OTHERS | SIPI, 10000, 0, 10000 },
        { OTHERS | INIT | LEVEL, 0, 0, 0 }, { OTHERS | RESERVED, 0, 0, 0 }, { OTHERS | REMOTE, 0, 0, 0 },
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(t); i++) {
        unsigned row = i / 2;
        bool x2apic = i & 1;
        dev_reset(x.f);
        lapics_enable(&x);
        if (x2apic)
            lapics_enter_x2apic(&x);
        if (x2apic)
            lapic_put_msr(&x, 1, 0x30, UINT64_C(0x300000000) | t[row].icr | 0x41);
        else
            write_icr(1, 0x03000000, t[row].icr | 0x41);
        ck_assert_msg(events_of(3) == t[row].dest, "row %u: destination", i);
        ck_assert_msg(events_of(1) == t[row].self, "row %u: self", i);
        for (unsigned n = 0; n < CPUS; n++)
            ck_assert_msg(n == 1 || n == 3 || events_of(n) == t[row].other, "row %u: other %u", i, n);
    }
}
END_TEST

/* What the ICR asks to be level-triggered goes as an edge (note to table 11-3): no EOI is broadcast. */
START_TEST(icr_level)
{
    write_icr(0, 0x02000000, 0xc041);
    ck_assert_uint_eq(lapic_get(&x, 2, TMR + 0x20), 0);
    ck_assert_uint_eq(lapics_take(&x), 0x04);
    ck_assert_int_eq(x.eoi, -1);
    ck_assert_uint_eq(lapic_get(&x, 0, ICR), 0xc041);
    ck_assert_uint_eq(lapic_get(&x, 0, ICR2), 0x02000000);
    write_icr(0, 0xffffffff, 0xffff3fff & ~0x7ffu); /* reserved bits and delivery status read 0 */
    ck_assert_uint_eq(lapic_get(&x, 0, ICR), 0xc0800);
    ck_assert_uint_eq(lapic_get(&x, 0, ICR2), 0xff000000);
}
END_TEST

/* An illegal vector: bit 5 of the sender's ESR, bit 6 of the receiver's (SDM 11.5.3). */
START_TEST(illegal_vectors)
{
    write_icr(0, 0x02000000, 0x400f);
    ck_assert_uint_eq(lapic_errors(&x, 0), 0x20);
    ck_assert_uint_eq(lapic_errors(&x, 2), 0x40);
    ck_assert_uint_eq(lapic_errors(&x, 1), 0);
    write_icr(0, 0, 0x44000); /* to itself */
    ck_assert_uint_eq(lapic_errors(&x, 0), 0x60);
    write_icr(0, 0x02000000, 0x4010);
    ck_assert_uint_eq(lapic_errors(&x, 0) | lapic_errors(&x, 2), 0);
    write_icr(0, 0x02000000, 0x4405); /* no vector in an NMI */
    ck_assert_uint_eq(lapic_errors(&x, 0) | lapic_errors(&x, 2), 0);
    ck_assert_uint_eq(lapics_take(&x), 0x04); /* vector 0x10 */
    lapic_bus_send_msi(x.bus, 0xfee03000, 0x0f);
    ck_assert_uint_eq(lapic_errors(&x, 3), 0x40);
}
END_TEST

/* INIT: registers as after reset; ID, base and their mode stay (SDM 11.4.7.3). Software disabled: still
 * heard. */
START_TEST(init_and_startup)
{
    lapic_put(&x, 3, REG_ID, 0x33000000);
    lapic_put(&x, 3, LVT_TIMER, 0x20050);
    lapic_put(&x, 3, TMICT, 100000);
    lapic_put(&x, 3, LINT1, 0x400);
    lapic_put(&x, 3, LDR, 0x08000000);
    lapic_put(&x, 3, TPR, 0x30);
    send(0x33, LAPIC_FIXED, false);
    write_icr(0, 0x33000000, 0xc500);
    ck_assert_int_eq(x.cpu[3].init, 1);
    ck_assert_int_eq(x.cpu[3].intr, 0);
    ck_assert_uint_eq(lapic_get(&x, 3, REG_ID), 0x33000000);
    ck_assert_uint_eq(lapic_get_base(x.l[3]), 0xfee00800);
    ck_assert_uint_eq(lapic_get(&x, 3, SVR), 0xff);
    ck_assert_uint_eq(lapic_get(&x, 3, DFR), 0xffffffff);
    for (unsigned lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 0x10)
        ck_assert_uint_eq(lapic_get(&x, 3, lvt), 0x10000);
    ck_assert_uint_eq(lapic_get(&x, 3, LDR) | lapic_get(&x, 3, TPR) | lapic_get(&x, 3, TMICT) |
                      lapic_get(&x, 3, IRR + 0x20), 0);
    ck_assert(clock_deadline(x.f->env.clock) == INT64_MAX);
    write_icr(0, 0x33000000, 0x4699);
    ck_assert_int_eq(x.cpu[3].sipi, 0x99);
    ck_assert(!send(0x33, LAPIC_SIPI, false)); /* the board cannot */
    lapic_set_base(x.l[4], 0xfee00c00);
    lapic_put_msr(&x, 4, 0x08, 0x30);
    write_icr(0, 0x04000000, 0x4500);
    ck_assert_uint_eq(lapic_get_base(x.l[4]), 0xfee00c00);
    ck_assert_uint_eq(lapic_msr(&x, 4, 0x02), 4);
    ck_assert_uint_eq(lapic_msr(&x, 4, 0x0d), 0x10);
    ck_assert_uint_eq(lapic_msr(&x, 4, 0x08), 0);
}
END_TEST

/* ---- lowest priority ---- */

START_TEST(lowest_by_priority)
{
    static const struct { uint8_t tpr[CPUS]; uint8_t dest; unsigned who; } t[] = {
        { { 0x50, 0x40, 0x30, 0x20, 0x30, 0x40 }, 0x3f, 0x08 },
        { { 0x50, 0x40, 0x30, 0x20, 0x30, 0x40 }, 0x27, 0x04 },
        { { 0x35, 0x34, 0x33, 0x34, 0x35, 0x36 }, 0x3f, 0x04 }, /* the subclass counts */
        { { 0x00, 0x10, 0x10, 0x10, 0x10, 0x10 }, 0xff, 0x01 },
        { { 0x10, 0x10, 0x10, 0x10, 0x10, 0x00 }, 0x01, 0x01 },
    };
    set_ldrs(false);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        for (unsigned n = 0; n < CPUS; n++)
            lapic_put(&x, n, TPR, t[i].tpr[n]);
        ck_assert(send(t[i].dest, LAPIC_LOWEST, true));
        for (unsigned n = 0; n < CPUS; n++)
            lapic_put(&x, n, TPR, 0);
        ck_assert_msg(lapics_take(&x) == t[i].who, "row %u", i);
    }
    send(0x01, LAPIC_FIXED, true);
    lapic_ack(x.l[0]); /* in service: class 4 */
    lapic_put(&x, 1, TPR, 0x30);
    send(0x03, LAPIC_LOWEST, true);
    ck_assert_int_eq(x.cpu[1].intr, 1);
}
END_TEST

START_TEST(lowest_takes_turns)
{
    set_ldrs(false);
    for (unsigned i = 0; i < 12; i++) {
        ck_assert(send(0x3f, LAPIC_LOWEST, true));
        ck_assert_uint_eq(lapics_take(&x), 1u << i % CPUS);
    }
    for (unsigned i = 0; i < 6; i++) {
        send(0x2a, LAPIC_LOWEST, true);
        ck_assert_uint_eq(lapics_take(&x), 2u << 2 * (i % 3));
    }
    lapic_put(&x, 2, SVR, 0xff); /* a disabled one is left out */
    for (unsigned i = 0; i < 4; i++) {
        send(0x06, LAPIC_LOWEST, true);
        ck_assert_uint_eq(lapics_take(&x), 0x02);
    }
    ck_assert(!send(0x04, LAPIC_LOWEST, true));
    ck_assert(!send(0xc0, LAPIC_LOWEST, true));
    for (unsigned i = 0; i < CPUS; i++)
        lapic_put(&x, i, TPR, i == 3 ? 0 : 0x20);
    write_icr(3, 0, 0xc4141); /* all but self: may come back (note to table 11-3) */
    ck_assert_uint_eq(lapics_take(&x), 0x08);
}
END_TEST

/* ---- message-signalled interrupts ---- */

START_TEST(msi)
{
    static const struct { uint32_t addr, data; unsigned who; } t[] = {
        { 0xfee00000, 0x0041, 0x01 }, { 0xfee05000, 0x0041, 0x20 }, { 0xfeeff000, 0x0041, 0x3f },
        { 0xfee06000, 0x0041, 0 }, { 0xfee12004, 0x0041, 0x12 }, { 0xfee0100c, 0x0041, 0x01 },
        { 0xfee01000, 0xc041, 0x02 }, { 0xfee01000, 0x8041, 0 }, /* a level that goes */
        { 0xfee01000, 0x0341, 0 }, { 0xfee01000, 0x0641, 0 },    /* reserved modes */
        { 0xfee01008, 0x0041, 0x02 },                            /* physical: no redirection */
    };
    set_ldrs(false);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        ck_assert_msg(lapic_bus_send_msi(x.bus, t[i].addr, t[i].data) == (t[i].who != 0), "row %u", i);
        ck_assert_msg(lapics_take(&x) == t[i].who, "row %u", i);
    }
    lapic_bus_send_msi(x.bus, 0xfee02000, 0x0400);
    lapic_bus_send_msi(x.bus, 0xfee02000, 0x0200);
    lapic_bus_send_msi(x.bus, 0xfee02000, 0x0500);
    ck_assert_int_eq(x.cpu[2].nmi, 1);
    ck_assert_int_eq(x.cpu[2].smi, 1);
    ck_assert_int_eq(x.cpu[2].init, 1);
    lapic_put(&x, 1, TPR, 0x10);
    lapic_bus_send_msi(x.bus, 0xfee1200c, 0x41); /* a hint: one of 1 and 4 */
    ck_assert_uint_eq(lapics_take(&x), 0x10);
    lapic_bus_send_msi(x.bus, 0xfee12004, 0x141); /* lowest priority */
    ck_assert_uint_eq(lapics_take(&x), 0x10);
    lapic_bus_send_msi(x.bus, 0xfee03000, 0xc055);
    lapics_take(&x);
    ck_assert_int_eq(x.eoi, 0x55);
}
END_TEST

/* ---- pages ---- */

START_TEST(own_page)
{
    for (unsigned i = 0; i < CPUS; i++)
        lapic_put(&x, i, TPR, 0x10 * i);
    for (unsigned i = 0; i < CPUS; i++) {
        ck_assert_uint_eq(lapic_get(&x, i, REG_ID), i << 24);
        ck_assert_uint_eq(lapic_get(&x, i, TPR), 0x10 * i);
    }
    ck_assert_uint_eq(lapic_get(&x, CPUS, TPR), 0xffffffff); /* no such processor */
    lapic_set_base(x.l[0], 0xfee00100); /* of the first: its page goes, the others' stays */
    lapic_set_base(x.l[1], 0xfee00c00);
    for (unsigned i = 0; i < CPUS; i++)
        ck_assert_uint_eq(lapic_get(&x, i, TPR), i < 2 ? 0xffffffff : 0x10 * i);
    lapic_put(&x, 1, TPR, 0x70); /* dropped */
    lapic_put(&x, 0, TPR, 0x70);
    ck_assert_uint_eq(lapic_msr(&x, 1, 0x08), 0x10);
    ck_assert_uint_eq(lapic_get(&x, 2, TPR), 0x20);
    lapic_bus_set_accessor(x.bus, NULL);
    ck_assert_uint_eq(lapic_get(&x, 2, TPR), 0xffffffff); /* always the first */
    lapic_set_base(x.l[0], 0xfee00900);
    ck_assert_uint_eq(lapic_get(&x, 2, REG_ID), 0);
}
END_TEST

START_TEST(moved_pages)
{
    enum { ELSEWHERE = 0x10000 };
    ck_assert(lapic_set_base(x.l[2], ELSEWHERE | 0x800));
    ck_assert(lapic_set_base(x.l[3], ELSEWHERE | 0x800));
    for (unsigned i = 0; i < 5; i++) {
        bool moved = i == 2 || i == 3;
        ck_assert_uint_eq(lapic_get(&x, i, REG_ID), moved ? 0xffffffff : i << 24);
        ck_assert_uint_eq(dev_readl(x.f, ELSEWHERE + REG_ID), moved ? i << 24 : 0xffffffff);
    }
    lapic_set_base(x.l[2], 0xfee00800);
    ck_assert_uint_eq(lapic_get(&x, 2, REG_ID), 2u << 24);
    x.accessor = 3;
    ck_assert_uint_eq(dev_readl(x.f, ELSEWHERE + REG_ID), 3u << 24);
    dev_reset(x.f);
    x.accessor = 3;
    ck_assert_uint_eq(dev_readl(x.f, ELSEWHERE + REG_ID), 0xffffffff);
    ck_assert_uint_eq(lapic_get(&x, 3, REG_ID), 3u << 24);
    for (unsigned i = 0; i < CPUS; i++) { /* as many pages as APICs, again and again */
        for (unsigned n = 0; n < CPUS; n++)
            lapic_set_base(x.l[n], (i * CPUS + n + 1) << 16 | 0x800);
        for (unsigned n = 0; n < CPUS; n++) {
            x.accessor = n;
            ck_assert_uint_eq(dev_readl(x.f, ((i * CPUS + n + 1) << 16) + REG_ID), n << 24);
        }
    }
}
END_TEST

/* ---- the 8259 ---- */

static void intr_to_all(void *opaque, int n, int level)
{
    (void)opaque, (void)n;
    for (unsigned i = 0; i < CPUS; i++)
        lapic_set_extint(x.l[i], level);
}

/* What a board does for the acknowledge cycle of processor i. */
static int inta(struct i8259 *pic, unsigned i)
{
    if (!lapic_has_interrupt(x.l[i]))
        return -1;
    return lapic_extint_pending(x.l[i]) ? i8259_ack(pic) : lapic_ack(x.l[i]);
}

/* Every LINT0 sees its INT; who answers first gets the vector, for the others it is gone. */
START_TEST(one_8259)
{
    struct irq_line line = { intr_to_all, NULL, 0 };
    struct i8259 *pic = i8259_new(&x.f->env, &line);

    dev_out(x.f, 0x20, 0x11);
    dev_out(x.f, 0x21, 0x20);
    dev_out(x.f, 0x21, 0x04);
    dev_out(x.f, 0x21, 0x01);
    lapic_put(&x, 0, LINT0, 0x10700);
    lapic_put(&x, 1, LINT0, 0x700);
    lapic_put(&x, 4, LINT0, 0x700);
    i8259_set_irq(pic, 3, 1);
    ck_assert_int_eq(x.cpu[0].intr, 0); /* masked */
    ck_assert_int_eq(x.cpu[1].intr & x.cpu[4].intr, 1);
    ck_assert_int_eq(inta(pic, 4), 0x23);
    ck_assert_int_eq(x.cpu[1].intr | x.cpu[4].intr, 0);
    ck_assert_int_eq(inta(pic, 1), -1);
    i8259_set_irq(pic, 1, 1); /* of higher priority */
    ck_assert_int_eq(inta(pic, 1), 0x21);
    ck_assert_int_eq(inta(pic, 4), -1);
    i8259_set_irq(pic, 0, 1);
    i8259_set_irq(pic, 0, 0); /* withdrawn before anybody answers */
    ck_assert_int_eq(x.cpu[1].intr | x.cpu[4].intr, 0);
    i8259_free(pic);
}
END_TEST

/* A message of mode ExtINT makes the processors addressed ask the 8259, whatever their LINT0 says, until its
 * INT falls. */
START_TEST(extint_message)
{
    lapic_put(&x, 0, LINT0, 0x10700);
    intr_to_all(NULL, 0, 1);
    ck_assert(send(2, LAPIC_EXTINT, false));
    ck_assert_int_eq(x.cpu[2].intr, 1);
    ck_assert_int_eq(x.cpu[0].intr | x.cpu[1].intr, 0);
    ck_assert(lapic_extint_pending(x.l[2]));
    ck_assert_int_eq(lapic_ack(x.l[2]), -1);
    intr_to_all(NULL, 0, 0);
    ck_assert_int_eq(x.cpu[2].intr, 0);
    intr_to_all(NULL, 0, 1);
    ck_assert_int_eq(x.cpu[2].intr, 0); /* each message for itself */
}
END_TEST

/* ---- many ---- */

START_TEST(as_many_as_fit)
{
    struct lapic_cpu cpu = { probe_intr, probe_nmi, probe_smi, probe_init, probe_sipi, &x.cpu[0] };

    teardown();
    lapics_setup(&x, LAPIC_MAX, 0);
    ck_assert_ptr_null(lapic_new(&x.f->env, x.bus, LAPIC_MAX, &cpu));
    lapics_enable(&x);
    for (unsigned i = 0; i < LAPIC_MAX; i++) {
        ck_assert_uint_eq(lapic_get_base(x.l[i]), i ? 0xfee00800 : 0xfee00900);
        send(i, LAPIC_FIXED, false);
        ck_assert_uint_eq(lapics_take(&x), UINT64_C(1) << i);
    }
    write_icr(7, 0, 0xc4041);
    ck_assert_uint_eq(lapics_take(&x), ~(UINT64_C(1) << 7));
    lapics_enter_x2apic(&x);
    lapic_put_msr(&x, 7, 0x30, UINT64_C(0x3ffff00004841));
    ck_assert_uint_eq(lapics_take(&x), UINT64_C(0xffff) << 48);
}
END_TEST

Suite *lapic_bus_suite(void)
{
    Suite *s = suite_create("lapic_bus");
    TCase *tc = tcase_create("lapic_bus");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, destinations);
    tcase_add_test(tc, x2apic_destinations);
    tcase_add_test(tc, mixed_modes);
    tcase_add_test(tc, changed_ids);
    tcase_add_test(tc, icr_modes);
    tcase_add_test(tc, icr_level);
    tcase_add_test(tc, illegal_vectors);
    tcase_add_test(tc, init_and_startup);
    tcase_add_test(tc, lowest_by_priority);
    tcase_add_test(tc, lowest_takes_turns);
    tcase_add_test(tc, msi);
    tcase_add_test(tc, own_page);
    tcase_add_test(tc, moved_pages);
    tcase_add_test(tc, one_8259);
    tcase_add_test(tc, extint_message);
    tcase_add_test(tc, as_many_as_fit);
    suite_add_tcase(s, tc);
    return s;
}
