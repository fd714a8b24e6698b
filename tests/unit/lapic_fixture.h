/* What the tests of local APICs share: a bus with any number of them, and processors that record. */
#ifndef MIMUS_TESTS_UNIT_LAPIC_FIXTURE_H
#define MIMUS_TESTS_UNIT_LAPIC_FIXTURE_H

#include "base/bits.h"
#include "hw/intc/lapic.h"
#include "tests/unit/device_fixture.h"

#define LAPIC_PAGE UINT64_C(0xfee00000)

/* Offsets in the page (SDM table 11-1). */
enum { REG_ID = 0x20, VERSION = 0x30, TPR = 0x80, APR = 0x90, PPR = 0xa0, EOI = 0xb0, RRD = 0xc0, LDR = 0xd0,
       DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310,
       LVT_TIMER = 0x320, LVT_THERMAL = 0x330, LVT_PERFMON = 0x340, LINT0 = 0x350, LINT1 = 0x360,
       LVT_ERROR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0, SELF_IPI = 0x3f0 };

/* What has come to a processor: the level of INTR, the number of each event, the vector of the last start-up.
 * */
struct lapic_probe {
    int intr, nmi, smi, init, sipi;
};

struct lapic_fixture {
    struct device_fixture *f;
    struct lapic_bus *bus;
    struct lapic *l[LAPIC_MAX];
    struct lapic_probe cpu[LAPIC_MAX];
    unsigned count, accessor;
    int eoi; /* vector of the last broadcast, or -1 */
};

static inline void probe_intr(void *opaque, int level) { ((struct lapic_probe *)opaque)->intr = level; }
static inline void probe_nmi(void *opaque) { ((struct lapic_probe *)opaque)->nmi++; }
static inline void probe_smi(void *opaque) { ((struct lapic_probe *)opaque)->smi++; }
static inline void probe_init(void *opaque) { ((struct lapic_probe *)opaque)->init++; }
static inline void probe_sipi(void *opaque, uint8_t vector) { ((struct lapic_probe *)opaque)->sipi = vector; }
static inline void probe_eoi(void *opaque, uint8_t vector) { ((struct lapic_fixture *)opaque)->eoi = vector; }

/* Processor i has APIC ID `first_id` + i. */
static inline void lapics_setup(struct lapic_fixture *x, unsigned count, unsigned first_id)
{
    *x = (struct lapic_fixture){ .f = device_fixture_new(), .count = count, .eoi = -1 };
    x->bus = lapic_bus_new(&x->f->env);
    lapic_bus_set_accessor(x->bus, &x->accessor);
    lapic_bus_set_eoi(x->bus, probe_eoi, x);
    for (unsigned i = 0; i < count; i++) {
        struct lapic_cpu cpu = { probe_intr, probe_nmi, probe_smi, probe_init, probe_sipi, &x->cpu[i] };
        x->cpu[i].sipi = -1;
        x->l[i] = lapic_new(&x->f->env, x->bus, (uint8_t)(first_id + i), &cpu);
    }
    dev_reset(x->f);
}

static inline void lapics_teardown(struct lapic_fixture *x)
{
    for (unsigned i = 0; i < x->count; i++)
        lapic_free(x->l[i]);
    lapic_bus_free(x->bus);
    device_fixture_free(x->f);
}

/* Register `reg` (its offset in the page) of processor i, as it sees it. */
static inline uint32_t lapic_get(struct lapic_fixture *x, unsigned i, unsigned reg)
{
    x->accessor = i;
    return dev_readl(x->f, LAPIC_PAGE + reg);
}

static inline void lapic_put(struct lapic_fixture *x, unsigned i, unsigned reg, uint32_t v)
{
    x->accessor = i;
    dev_writel(x->f, LAPIC_PAGE + reg, v);
}

static inline uint64_t lapic_msr(struct lapic_fixture *x, unsigned i, unsigned index)
{
    uint64_t v = 0;
    ck_assert_msg(lapic_msr_read(x->l[i], index, &v), "read of %03x refused", index);
    return v;
}

static inline void lapic_put_msr(struct lapic_fixture *x, unsigned i, unsigned index, uint64_t v)
{
    ck_assert_msg(lapic_msr_write(x->l[i], index, v), "write of %03x refused", index);
}

/* The latched errors of processor i since the last look. */
static inline uint32_t lapic_errors(struct lapic_fixture *x, unsigned i)
{
    lapic_put(x, i, ESR, 0);
    return lapic_get(x, i, ESR);
}

static inline void lapics_enable(struct lapic_fixture *x)
{
    for (unsigned i = 0; i < x->count; i++)
        lapic_put(x, i, SVR, 0x1ff);
}

/* All in x2APIC mode, and enabled. */
static inline void lapics_enter_x2apic(struct lapic_fixture *x)
{
    for (unsigned i = 0; i < x->count; i++) {
        ck_assert(lapic_set_base(x->l[i], lapic_get_base(x->l[i]) | 0xc00));
        lapic_put_msr(x, i, 0x0f, 0x1ff);
    }
}

/* Which processors have an interrupt waiting, as bits; each takes what it has and ends it. */
static inline uint64_t lapics_take(struct lapic_fixture *x)
{
    uint64_t who = 0;
    for (unsigned i = 0; i < x->count; i++) {
        bool one = x->cpu[i].intr;
        for (; x->cpu[i].intr; lapic_reg_write(x->l[i], EOI >> 4, 0))
            lapic_ack(x->l[i]);
        who |= (uint64_t)one << i;
    }
    return who;
}

#endif
