/* hw/intc/lapic, lapic_regs: registers, priorities, errors, local inputs, modes (SDM 3A chapter 11). */
#include "tests/unit/lapic_fixture.h"

static struct lapic_fixture x;

static void setup(void)
{
    lapics_setup(&x, 2, 0);
}

static void teardown(void)
{
    lapics_teardown(&x);
}

static uint32_t rd(unsigned reg) { return lapic_get(&x, 0, reg); }
static void wr(unsigned reg, uint32_t v) { lapic_put(&x, 0, reg, v); }
static void enable(int i) { lapic_put(&x, (unsigned)i, SVR, 0x1ff); }
static uint64_t msr(unsigned i, unsigned index) { return lapic_msr(&x, i, index); }

/* A fixed interrupt of the board for processor 0. */
static bool send(uint8_t vector, bool level)
{
    struct lapic_msg m = { .vector = vector, .mode = LAPIC_FIXED, .level = level };
    return lapic_bus_send(x.bus, &m);
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&lapic_state_table), -1);
}
END_TEST

START_TEST(power_on)
{
    ck_assert_uint_eq(rd(REG_ID), 0);
    ck_assert_uint_eq(lapic_get(&x, 1, REG_ID), 0x01000000);
    ck_assert_uint_eq(rd(VERSION) & 0xff, 0x14);
    ck_assert_uint_eq(rd(SVR), 0xff);
    ck_assert_uint_eq(rd(DFR), 0xffffffff);
    ck_assert_uint_eq(rd(LVT_TIMER), 0x10000);
    ck_assert_uint_eq(lapic_get_base(x.l[0]), 0xfee00900);
    ck_assert_uint_eq(lapic_get_base(x.l[1]), 0xfee00800);
    wr(LVT_TIMER, 0x30); /* software-disabled: the mask bit cannot be cleared */
    ck_assert_uint_eq(rd(LVT_TIMER), 0x10030);
    ck_assert(!send(0x40, false));
}
END_TEST

/* 11.8.3.1, 11.6.2.4: PPR and APR from the task priority, the vector in service and the one requested. */
START_TEST(priority_registers)
{
    static const struct { uint8_t tpr, isrv, irrv, ppr, apr; } t[] = {
        { 0x00, 0x00, 0x00, 0x00, 0x00 }, { 0x35, 0x00, 0x00, 0x35, 0x35 }, { 0x35, 0x41, 0x00, 0x40, 0x40 },
        { 0x51, 0x41, 0x00, 0x51, 0x51 }, { 0x00, 0x4f, 0x00, 0x40, 0x40 }, { 0x22, 0x00, 0x61, 0x22, 0x60 },
        { 0x00, 0x51, 0x63, 0x50, 0x60 }, { 0x72, 0x51, 0x63, 0x72, 0x72 }, { 0x00, 0x91, 0x63, 0x90, 0x90 },
        { 0x45, 0x41, 0x00, 0x45, 0x40 }, /* same class: the manual leaves PPR's subclass open, 5 or 0 */
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        dev_reset(x.f);
        enable(0);
        if (t[i].isrv) {
            send(t[i].isrv, false);
            ck_assert_int_eq(lapic_ack(x.l[0]), t[i].isrv);
        }
        if (t[i].irrv)
            send(t[i].irrv, false);
        wr(TPR, t[i].tpr);
        ck_assert_msg(rd(PPR) == t[i].ppr, "row %u: ppr %02x", i, rd(PPR));
        ck_assert_msg(rd(APR) == t[i].apr, "row %u: apr %02x", i, rd(APR));
        ck_assert_uint_eq(lapic_get_tpr(x.l[0]), t[i].tpr >> 4);
        ck_assert_int_eq(x.cpu[0].intr, (t[i].irrv & 0xf0) > (t[i].ppr & 0xf0));
    }
    lapic_set_tpr(x.l[0], 6); /* CR8 clears the subclass */
    ck_assert_uint_eq(rd(TPR), 0x60);
}
END_TEST

/* Each vector has its bit in IRR, then in ISR; TMR says how it came. Below 16 there is none. */
START_TEST(vectors)
{
    enable(0);
    for (unsigned v = 0; v < 256; v++) {
        unsigned reg = v / 32 * 0x10;
        uint32_t bit = 1u << v % 32, legal = v < 16 ? 0 : bit;
        send((uint8_t)v, v & 1);
        ck_assert_uint_eq(rd(IRR + reg) & bit, legal);
        ck_assert_uint_eq(rd(TMR + reg) & bit, v & 1 ? legal : 0);
        ck_assert_uint_eq(lapic_errors(&x, 0), v < 16 ? 0x40 : 0);
        if (v < 16)
            continue;
        ck_assert_int_eq(lapic_ack(x.l[0]), (int)v);
        ck_assert_uint_eq(rd(IRR + reg), 0);
        ck_assert_uint_eq(rd(ISR + reg), bit);
        x.eoi = -1;
        wr(EOI, 0);
        ck_assert_uint_eq(rd(ISR + reg), 0);
        ck_assert_int_eq(x.eoi, v & 1 ? (int)v : -1);
    }
    send(0x41, true);
    send(0x41, false); /* the last acceptance counts */
    ck_assert_uint_eq(rd(TMR + 0x20) & 1u << 1, 0);
}
END_TEST

/* One of each vector in service and one that waits (11.8.4). */
START_TEST(one_waits)
{
    enable(0);
    for (int i = 0; i < 3; i++)
        send(0x41, false);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x41);
    for (int i = 0; i < 3; i++)
        send(0x41, false);
    wr(EOI, 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x41);
    wr(EOI, 0);
    ck_assert_int_eq(x.cpu[0].intr, 0);
}
END_TEST

/* The version register says that broadcasts of EOI can be suppressed, bit 12 of SVR does it (11.8.5). */
START_TEST(eoi_suppression)
{
    ck_assert_uint_eq(rd(VERSION) >> 24 & 1, 1);
    wr(SVR, 0x11ff);
    ck_assert_uint_eq(rd(SVR), 0x11ff);
    send(0x51, true);
    lapics_take(&x);
    ck_assert_int_eq(x.eoi, -1);
    wr(SVR, 0xffffffff);
    ck_assert_uint_eq(rd(SVR), 0x13ff);
    wr(SVR, 0x1ff);
    send(0x51, true);
    lapics_take(&x);
    ck_assert_int_eq(x.eoi, 0x51);
}
END_TEST

/* 11.4.7.2: what was accepted stays and is delivered, no fixed interrupt is accepted, the LVT is masked; NMI,
 * SMI, INIT, start-up and the ICR work. */
START_TEST(software_disable)
{
    struct lapic_msg nmi = { .mode = LAPIC_NMI }, smi = { .mode = LAPIC_SMI };

    enable(0);
    enable(1);
    wr(LINT1, 0x400);
    send(0x61, false);
    send(0x71, false);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x71);
    wr(SVR, 0xff);
    for (unsigned lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 0x10) {
        ck_assert_uint_eq(rd(lvt) & 0x10000, 0x10000);
        wr(lvt, 0x400);
        ck_assert_uint_eq(rd(lvt) & 0x10000, 0x10000);
    }
    ck_assert(!send(0x81, false));
    lapic_set_nmi(x.l[0], 1);
    ck_assert_int_eq(x.cpu[0].nmi, 0);
    ck_assert_uint_eq(rd(IRR + 0x30) | rd(ISR + 0x30), 1u << 1 | 1u << 17);
    wr(EOI, 0);
    ck_assert_int_eq(x.cpu[0].intr, 1);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x61);
    wr(EOI, 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), -1);
    ck_assert(lapic_bus_send(x.bus, &nmi) && lapic_bus_send(x.bus, &smi));
    ck_assert_int_eq(x.cpu[0].nmi + x.cpu[0].smi, 2);
    wr(ICR2, 0x01000000);
    wr(ICR, 0x4041);
    ck_assert_int_eq(x.cpu[1].intr, 1);
    lapic_put(&x, 1, ICR2, 0);
    lapic_put(&x, 1, ICR, 0x4612);
    ck_assert_int_eq(x.cpu[0].sipi, 0x12);
}
END_TEST

/* Table 11-1: what is reserved is an error, what is read-only is not written, APR and remote read do no harm.
 * */
START_TEST(register_map)
{
    static const uint16_t reserved[] = { 0x000, 0x010, 0x040, 0x070, 0x290, 0x2e0, 0x2f0, 0x3a0, 0x3d0, 0x3f0,
                                         0x400, 0xff0 };
    static const uint16_t read_only[] = { VERSION, APR, PPR, RRD, ISR, TMR + 0x70, IRR, TMCCT };

    enable(0);
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++) {
        ck_assert_uint_eq(rd(reserved[i]), 0);
        ck_assert_msg(lapic_errors(&x, 0) == 0x80, "read of %03x", reserved[i]);
        wr(reserved[i], 0x44);
        ck_assert_msg(lapic_errors(&x, 0) == 0x80, "write of %03x", reserved[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(read_only); i++) {
        uint32_t v = rd(read_only[i]);
        wr(read_only[i], ~v);
        ck_assert_uint_eq(rd(read_only[i]), v);
        ck_assert_msg(lapic_errors(&x, 0) == 0, "%03x", read_only[i]);
    }
    ck_assert_uint_eq(rd(EOI), 0);
    mem_write(x.f->env.memory, LAPIC_PAGE + TPR, 0x50, 1);
    mem_write(x.f->env.memory, LAPIC_PAGE + TPR + 4, 0x50, 4);
    ck_assert_uint_eq(rd(TPR), 0);
    wr(LDR, 0xffffffff);
    ck_assert_uint_eq(rd(LDR), 0xff000000);
    wr(DFR, 0);
    ck_assert_uint_eq(rd(DFR), 0x0fffffff);
    wr(TPR, 0xffffffff);
    ck_assert_uint_eq(rd(TPR), 0xff);
}
END_TEST

/* Figure 11-8. */
START_TEST(lvt_bits)
{
    static const struct { uint16_t reg; uint32_t bits; } t[] = {
        { LVT_TIMER, 0x700ff }, { LVT_THERMAL, 0x107ff }, { LVT_PERFMON, 0x107ff }, { LINT0, 0x1a7ff },
        { LINT1, 0x1a7ff }, { LVT_ERROR, 0x100ff },
    };
    enable(0);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        wr(t[i].reg, 0xffffffff);
        ck_assert_msg(rd(t[i].reg) == t[i].bits, "%03x: %05x", t[i].reg, rd(t[i].reg));
        wr(t[i].reg, 0);
        ck_assert_uint_eq(rd(t[i].reg), 0);
    }
}
END_TEST

/* 11.5.3: errors show after a write of the ESR; one interrupt until then. */
START_TEST(errors)
{
    enable(0);
    wr(LVT_ERROR, 0x36);
    send(5, false);
    ck_assert_uint_eq(rd(ESR), 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x36);
    wr(EOI, 0);
    send(6, false);
    rd(0x40);
    ck_assert_int_eq(x.cpu[0].intr, 0); /* not armed */
    wr(ESR, 0xffffffff);
    ck_assert_uint_eq(rd(ESR), 0xc0);
    ck_assert_uint_eq(rd(ESR), 0xc0);
    rd(0x40);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x36);
    wr(EOI, 0);
    ck_assert_uint_eq(lapic_errors(&x, 0), 0x80);
    wr(LVT_ERROR, 0x10036);
    rd(0x40);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_uint_eq(lapic_errors(&x, 0), 0x80); /* noted while masked */
    wr(LVT_ERROR, 0x0f); /* itself an illegal vector */
    rd(0x40);
    ck_assert_uint_eq(lapic_errors(&x, 0), 0xc0);
    wr(LINT0, 0x08);
    lapic_set_extint(x.l[0], 1);
    ck_assert_uint_eq(lapic_errors(&x, 0), 0x40);
    ck_assert_int_eq(x.cpu[0].intr, 0);
}
END_TEST

START_TEST(priorities)
{
    enable(0);
    ck_assert(send(0x41, false));
    ck_assert_int_eq(x.cpu[0].intr, 1);
    ck_assert_uint_eq(rd(IRR + 0x20), 1u << 1);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x41);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_uint_eq(rd(ISR + 0x20), 1u << 1);
    ck_assert_uint_eq(rd(PPR), 0x40);
    send(0x45, false); /* same class: waits */
    ck_assert_int_eq(x.cpu[0].intr, 0);
    send(0x51, true);
    ck_assert_int_eq(x.cpu[0].intr, 1);
    lapic_set_tpr(x.l[0], 5);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_uint_eq(rd(TPR), 0x50);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0xff); /* gone: spurious */
    wr(TPR, 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x51);
    ck_assert_uint_eq(rd(TMR + 0x20), 1u << 17);
    wr(EOI, 0);
    ck_assert_int_eq(x.eoi, 0x51);
    x.eoi = -1;
    wr(EOI, 0);
    ck_assert_int_eq(x.eoi, -1); /* edge */
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x45);
}
END_TEST

START_TEST(virtual_wire)
{
    lapic_set_extint(x.l[0], 1); /* the power-on state of the bootstrap processor passes it */
    ck_assert_int_eq(x.cpu[0].intr, 1);
    ck_assert(lapic_extint_pending(x.l[0]));
    ck_assert_int_eq(lapic_ack(x.l[0]), -1);
    enable(0);
    send(0x40, false);
    ck_assert(!lapic_extint_pending(x.l[0])); /* fixed first */
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x40);
    ck_assert(lapic_extint_pending(x.l[0]));
    wr(LINT0, 0x10700);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert(lapic_set_base(x.l[0], 0xfee00100)); /* globally disabled: straight through */
    ck_assert_int_eq(x.cpu[0].intr, 1);
    ck_assert_uint_eq(rd(SVR), 0xffffffff); /* no page */
    lapic_set_extint(x.l[0], 0);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert(!lapic_set_base(x.l[0], 0xfee00901));
    ck_assert(lapic_set_base(x.l[0], 0xfec10900));
    ck_assert_uint_eq(dev_readl(x.f, 0xfec10000 + SVR), 0xff);
}
END_TEST

/* Each mode of both pins: a rising edge counts (11.5.1). */
START_TEST(lint_modes)
{
    static const struct { uint32_t lvt; int intr, nmi, smi, init; } t[] = {
        { 0x0035, 1, 0, 0, 0 }, { 0x0200, 0, 0, 1, 0 }, { 0x0400, 0, 1, 0, 0 }, { 0x0500, 0, 0, 0, 1 },
        { 0x8400, 0, 1, 0, 0 }, { 0x10035, 0, 0, 0, 0 }, { 0x10400, 0, 0, 0, 0 }, { 0x0100, 0, 0, 0, 0 },
        { 0x0300, 0, 0, 0, 0 }, { 0x0600, 0, 0, 0, 0 },
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(t); i++) {
        void (*set)(struct lapic *, int) = i & 1 ? lapic_set_nmi : lapic_set_extint;
        unsigned row = i / 2;
        dev_reset(x.f);
        enable(1);
        x.cpu[1] = (struct lapic_probe){ 0 };
        lapic_put(&x, 1, i & 1 ? LINT1 : LINT0, t[row].lvt);
        set(x.l[1], 1);
        set(x.l[1], 1);
        struct lapic_probe p = x.cpu[1];
        ck_assert_msg(p.intr == t[row].intr && p.nmi == t[row].nmi && p.smi == t[row].smi &&
                      p.init == t[row].init, "pin %u, row %u", i & 1, row);
        set(x.l[1], 0);
        lapics_take(&x);
        ck_assert_int_eq(x.eoi, -1);
    }
    lapic_set_base(x.l[0], 0xfee00100); /* globally disabled: NMI, as INTR, goes straight to the processor */
    x.cpu[0].nmi = 0;
    lapic_set_nmi(x.l[0], 1);
    ck_assert_int_eq(x.cpu[0].nmi, 1);
}
END_TEST

/* A level on LINT0 is in service until its EOI, and asks again if it is still there. */
START_TEST(lint_level)
{
    enable(0);
    wr(LINT0, 0x8035);
    lapic_set_extint(x.l[0], 1);
    ck_assert_uint_eq(rd(LINT0), 0xc035); /* remote IRR */
    wr(LINT0, 0x8035);
    ck_assert_uint_eq(rd(LINT0), 0xc035); /* read-only */
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x35);
    wr(LINT0, 0x8035);
    ck_assert_uint_eq(rd(IRR + 0x10), 0);
    lapic_set_extint(x.l[0], 0);
    lapic_set_extint(x.l[0], 1);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    wr(EOI, 0);
    ck_assert_int_eq(lapic_ack(x.l[0]), 0x35);
    lapic_set_extint(x.l[0], 0);
    wr(EOI, 0);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_uint_eq(rd(LINT0), 0x8035);
    wr(LINT0, 0x18035);
    lapic_set_extint(x.l[0], 1);
    ck_assert_int_eq(x.cpu[0].intr, 0);
    wr(LINT0, 0x8035); /* a level waits behind the mask */
    ck_assert_int_eq(x.cpu[0].intr, 1);
    wr(LINT1, 0x8036); /* LINT1 has edges only */
    lapic_set_nmi(x.l[0], 1);
    ck_assert_uint_eq(rd(LINT1), 0x8036);
    ck_assert_uint_eq(rd(TMR + 0x10), 1u << 21);
}
END_TEST

/* ---- x2APIC mode: SDM 3A 11.12 ---- */

#define X2APIC UINT64_C(0xfee00c00)

static void enter_x2apic(int i)
{
    uint64_t bsp = i ? 0 : 0x100;

    ck_assert(lapic_set_base(x.l[i], X2APIC | bsp));
    ck_assert(lapic_msr_write(x.l[i], 0x0f, 0x1ff));
}

/* Figure 11-27: every change of EN and EXTD. */
START_TEST(x2apic_transitions)
{
    static const struct { uint64_t from, to; bool allowed; } t[] = {
        { 0x800, 0x000, true }, { 0x800, 0x800, true }, { 0x800, 0xc00, true }, { 0x800, 0x400, false },
        { 0xc00, 0x000, true }, { 0xc00, 0x800, false }, { 0xc00, 0xc00, true }, { 0xc00, 0x400, false },
        { 0x000, 0x000, true }, { 0x000, 0x800, true }, { 0x000, 0xc00, false }, { 0x000, 0x400, false },
    };
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        dev_reset(x.f);
        ck_assert(lapic_set_base(x.l[0], 0xfee00100 | t[i].from));
        ck_assert_int_eq(lapic_set_base(x.l[0], 0xfee00100 | t[i].to), t[i].allowed);
        ck_assert_uint_eq(lapic_get_base(x.l[0]), 0xfee00100 | (t[i].allowed ? t[i].to : t[i].from));
    }
    dev_reset(x.f);
    ck_assert_uint_eq(lapic_get_base(x.l[0]), 0xfee00900);
    ck_assert(!lapic_msr_read(x.l[0], 0x02, &v)); /* no MSRs in xAPIC mode */
    ck_assert(!lapic_msr_write(x.l[0], 0x08, 0x20));
    wr(TPR, 0x30);
    enter_x2apic(0);
    ck_assert_uint_eq(msr(0, 0x08), 0x30); /* kept */
    ck_assert_uint_eq(rd(TPR), 0xffffffff); /* no page */
    lapic_set_base(x.l[0], 0xfee00100);
    lapic_set_base(x.l[0], 0xfee00900);
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
        ck_assert(!lapic_msr_write(x.l[0], ro[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(rw); i++) {
        msr(0, rw[i]);
        if (rw[i] != 0x30)
            ck_assert(lapic_msr_write(x.l[0], rw[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        ck_assert(!lapic_msr_read(x.l[0], none[i], &v));
        ck_assert(!lapic_msr_write(x.l[0], none[i], 0));
    }
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++)
        ck_assert_msg(!lapic_msr_write(x.l[0], reserved[i].index, reserved[i].bad), "row %u", i);
    ck_assert(!lapic_msr_read(x.l[0], 0x0b, &v)); /* EOI and SELF IPI: write-only */
    ck_assert(lapic_msr_write(x.l[0], 0x0b, 0));
    ck_assert(!lapic_msr_read(x.l[0], 0x3f, &v));
    ck_assert_uint_eq(msr(0, 0x02), 0);
    ck_assert_uint_eq(msr(0, 0x0d), 1);
    enter_x2apic(1);
    ck_assert_uint_eq(msr(1, 0x02), 1);
    ck_assert_uint_eq(msr(1, 0x0d), 2);
}
END_TEST

/* What x2APIC mode has of its own: one ICR, SELF IPI, an ID that cannot be written (11.12.9 to 11.12.11). */
START_TEST(x2apic_own)
{
    enter_x2apic(0);
    enter_x2apic(1);
    lapic_put_msr(&x, 0, 0x30, UINT64_C(0x100004041));
    ck_assert_uint_eq(msr(0, 0x30), UINT64_C(0x100004041));
    ck_assert_uint_eq(lapics_take(&x), 2);
    lapic_put_msr(&x, 1, 0x3f, 0x44); /* SELF IPI */
    ck_assert_int_eq(x.cpu[0].intr, 0);
    ck_assert_int_eq(lapic_ack(x.l[1]), 0x44);
    lapic_put_msr(&x, 1, 0x3f, 0x0f); /* no such vector: sent and received */
    lapic_put_msr(&x, 1, 0x28, 0);
    ck_assert_uint_eq(msr(1, 0x28), 0x60);
    lapic_set_base(x.l[0], 0xfee00100);
    lapic_set_base(x.l[0], 0xfee00900);
    enable(0);
    wr(REG_ID, 0x55000000);
    wr(LDR, 0x11000000);
    enter_x2apic(0); /* the ID is the one of reset, the logical ID follows from it */
    ck_assert_uint_eq(msr(0, 0x02), 0);
    ck_assert_uint_eq(msr(0, 0x0d), 1);
    ck_assert_uint_eq(msr(0, 0x30) >> 32, 0);
}
END_TEST

START_TEST(x2apic_logical_ids)
{
    static const struct { uint8_t id; uint32_t ldr; } t[] = {
        { 0, 0x00001 }, { 1, 0x00002 }, { 15, 0x08000 }, { 16, 0x10001 },
        { 0x25, 0x20020 }, { 0xfe, 0xf4000 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        teardown();
        lapics_setup(&x, 1, t[i].id);
        enter_x2apic(0);
        ck_assert_uint_eq(msr(0, 0x02), t[i].id);
        ck_assert_uint_eq(msr(0, 0x0d), t[i].ldr);
    }
}
END_TEST

Suite *lapic_suite(void)
{
    Suite *s = suite_create("lapic");
    TCase *tc = tcase_create("lapic");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, power_on);
    tcase_add_test(tc, priority_registers);
    tcase_add_test(tc, vectors);
    tcase_add_test(tc, one_waits);
    tcase_add_test(tc, eoi_suppression);
    tcase_add_test(tc, software_disable);
    tcase_add_test(tc, register_map);
    tcase_add_test(tc, lvt_bits);
    tcase_add_test(tc, errors);
    tcase_add_test(tc, priorities);
    tcase_add_test(tc, virtual_wire);
    tcase_add_test(tc, lint_modes);
    tcase_add_test(tc, lint_level);
    tcase_add_test(tc, x2apic_transitions);
    tcase_add_test(tc, x2apic_registers);
    tcase_add_test(tc, x2apic_own);
    tcase_add_test(tc, x2apic_logical_ids);
    suite_add_tcase(s, tc);
    return s;
}
