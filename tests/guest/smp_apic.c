/* The local APIC of each processor is its own: registers, modes, base address, priorities, timers; and where
 * the I/O APIC sends interrupts, edge- and level-triggered, with the end of the latter told by the processor
 * that took it (SDM volume 3, chapter 11; data sheets of the 82093AA, 8254 and HPET). */
#include "apic.h"

const char program_name[] = "smp_apic";

#define IOAPIC 0xfec00000u
#define HPET 0xfed00000u
#define VECTOR 0x71u

static struct smp_barrier gate;

/* ---- registers ---- */

static const u16 regs[] = { 0x80, 0xd0, 0xe0, 0xf0, 0x310, 0x320, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0 };
#define NUM_REGS (sizeof regs / sizeof regs[0])

/* What processor n writes in this round; it reads back as it is. */
static u32 value_of(u32 i, u32 n, u32 round)
{
    u32 seed = (n + 1) * 5 + round * 3;

    switch (regs[i]) {
    case 0x80: return seed & 0x7f;
    case 0xd0: return seed << 24;
    case 0xe0: return seed & 1 ? 0xffffffff : 0x0fffffff;
    case 0xf0: return 0x100 | 0xe0 | (seed & 15);
    case 0x310: return (seed * 3 & 0xff) << 24;
    case 0x380: return 0x40000000 + seed;
    case 0x3e0: return (seed & 3) | (seed & 4) << 1;
    default: return LVT_MASK | (seed & 1 ? 0x8000 : 0) * (regs[i] == 0x350) | (0x40 + seed + i);
    }
}

static struct snapshot { u32 value[NUM_REGS], id, version; } snapshots[SMP_MAX];
static u32 write_round;

static void write_all(void *arg)
{
    (void)arg;
    for (u32 i = 0; i < NUM_REGS; i++)
        reg_set(regs[i], value_of(i, smp_me(), write_round));
}

static void read_all(void *arg)
{
    struct snapshot *s = arg;
    for (u32 i = 0; i < NUM_REGS; i++)
        s->value[i] = reg_get(regs[i]);
    s->id = reg_get(REG_ID);
    s->version = reg_get(0x30);
}

/* As smp_start() leaves it. */
static void normal(void *arg)
{
    (void)arg;
    for (u32 lvt = REG_LVT; lvt <= 0x370; lvt += 16)
        if (lvt != 0x330)
            reg_set(lvt, LVT_MASK);
    reg_set(REG_INITIAL, 0);
    reg_set(REG_SVR, 0x100 | SMP_SPURIOUS);
    reg_set(REG_TPR, 0);
    if (!apic_is_x2()) {
        reg_set(REG_DFR, 0xffffffff);
        reg_set(REG_LDR, 1u << (24 + smp_me()));
    }
}

static void everywhere(smp_work *work)
{
    for (u32 n = smp_count; n--;)
        run_wait(n, work, NULL);
}

static void check_registers(const u32 *round)
{
    for (u32 n = 0; n < smp_count; n++) {
        run_wait(n, read_all, &snapshots[n]);
        check(LABEL(n), snapshots[n].id, smp_cpu[n].apic_id << 24);
        check("version", snapshots[n].version, snapshots[0].version);
        for (u32 i = 0; i < NUM_REGS; i++)
            if (n || regs[i] != REG_ICR_HIGH) /* it sends messages all the time */
                check(LABEL(n, regs[i]), snapshots[n].value[i], value_of(i, n, round[n]));
    }
}

static void registers(void)
{
    u32 round[SMP_MAX] = { 0 };

    group("registers");
    everywhere(write_all);
    check_registers(round);
    for (u32 n = 0; n < smp_count; n++) {
        write_round = round[n] = n + 1;
        run_wait(n, write_all, NULL);
        check_registers(round);
    }
    everywhere(normal);
}

/* ---- priorities, on all at once ---- */

#define EVENTS 32
static struct trace { u32 n, event[EVENTS]; } traces[SMP_MAX];

static void note(u32 v)
{
    struct trace *t = &traces[smp_me()];
    if (t->n < EVENTS)
        t->event[t->n++] = v;
}

static void nap(void)
{
    irq_on();
    __asm__ volatile("nop; nop" : : : "memory");
    irq_off();
}

static void self(u32 vector)
{
    send(0, FIXED | TO_SELF | vector);
}

static u32 state_of(u32 vector)
{
    return reg_bit(REG_ISR, vector) << 2 | reg_bit(REG_TMR, vector) << 1 | reg_bit(REG_IRR, vector);
}

/* 51h lets 71h in and holds back 54h and, by TPR, 65h. */
static void on_51(u32 vector, u32 error, u64 *ip)
{
    (void)error, (void)ip;
    note(vector);
    note(state_of(vector));
    note(reg_get(REG_PPR));
    reg_set(REG_TPR, 0x6f);
    note(reg_get(REG_PPR));
    self(0x54);
    self(0x65);
    self(0x71);
    nap();
    note(state_of(0x71));
    note(reg_get(REG_PPR));
    reg_set(REG_EOI, 0); /* of 71h, which is still in service */
    note(state_of(0x71));
    note(state_of(vector));
    reg_set(REG_TPR, 0);
    nap();               /* 65h */
    reg_set(REG_EOI, 0); /* of 51h: now 54h */
    note(state_of(vector));
    note(state_of(0x54));
    note(reg_get(REG_PPR));
}

static void on_71(u32 vector, u32 error, u64 *ip)
{
    (void)error, (void)ip;
    note(vector);
    note(reg_get(REG_PPR));
    note(state_of(0x51) << 4 | state_of(0x54));
}

static void on_other(u32 vector, u32 error, u64 *ip)
{
    (void)error, (void)ip;
    note(vector);
    reg_set(REG_EOI, 0);
}

static void priorities_of(void *arg)
{
    (void)arg;
    traces[smp_me()].n = 0;
    smp_barrier(&gate);
    reg_set(REG_TPR, 0x42);
    note(reg_get(REG_PPR));
    self(0x4f);
    self(0x51);
    nap();
    note(0x1000);
    nap();
    smp_barrier(&gate);
}

static void priorities(void)
{
    static const u32 expected[] = {
        0x42, 0x51, 4, 0x50, 0x6f,                     /* in 51h */
        0x71, 0x70, 0x41, 4, 0x70, 0, 4,               /* 71h inside, and its EOI */
        0x65, 0, 1, 0,                                 /* 65h inside, EOI of 51h */
        0x54, 0x4f, 0x1000,
    };

    group("priorities");
    for (u32 n = 0; n < smp_count; n++) {
        smp_cpu[n].handler[0x51] = on_51;
        smp_cpu[n].handler[0x71] = on_71;
        smp_cpu[n].handler[0x54] = smp_cpu[n].handler[0x65] = smp_cpu[n].handler[0x4f] = on_other;
    }
    gate.n = smp_count;
    smp_run_all(smp_count, priorities_of, NULL, 0);
    for (u32 n = 0; n < smp_count; n++) {
        check("events", traces[n].n, sizeof expected / 4);
        for (u32 i = 0; i < sizeof expected / 4; i++)
            check(LABEL(n, i), traces[n].event[i], expected[i]);
    }
    count_all();
}

/* ---- timers ---- */

static struct timing {
    u32 one, after_one, periodic, masked, count_masked, deadline, early;
} timings[SMP_MAX];

#define TIMER(n) (0x90 + (n))

/* Waits with interrupts on, in HLT on odd processors. */
static void wait_ticks(volatile u32 *ticks, u32 n)
{
    u64 end = smp_in(20000);
    while (*ticks < n && tsc() < end) {
        if (smp_me() & 1)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        else
            nap();
    }
}

static void use_timer(void *arg)
{
    struct timing *t = arg;
    u32 me = smp_me(), vector = TIMER(me);
    volatile u32 *ticks = &got[me][vector];
    u64 end, late;

    smp_barrier(&gate);
    reg_set(REG_DIVIDE, 0xb);
    reg_set(REG_LVT, vector);
    reg_set(REG_INITIAL, 300000 + 100000 * me);
    wait_ticks(ticks, 1);
    t->one = *ticks;
    t->count_masked = reg_get(REG_CURRENT); /* it stands at 0 */
    irq_on();
    smp_delay(2000);
    t->after_one = *ticks;
    irq_off();
    reg_set(REG_LVT, 0x20000 | vector);
    reg_set(REG_INITIAL, 100000 + 50000 * me);
    wait_ticks(ticks, 11);
    t->periodic = *ticks - 1;
    reg_set(REG_LVT, 0x30000 | vector);
    nap(); /* what was requested before */
    late = *ticks;
    irq_on();
    smp_delay(1000);
    irq_off();
    t->masked = *ticks - (u32)late;
    t->count_masked |= reg_get(REG_CURRENT) > 100000 + 50000 * me;
    reg_set(REG_LVT, vector | LVT_MASK);
    reg_set(REG_INITIAL, 0);
    if (cpu_has(1, 2, 24)) {
        reg_set(REG_LVT, 0x40000 | vector);
        for (u32 i = 0; i < 5; i++) {
            u32 before = *ticks;
            end = tsc() + smp_tsc_per_us * (100 + 50 * me);
            msr_set(0x6e0, end);
            wait_ticks(ticks, before + 1);
            t->early += tsc() < end;
            t->deadline += *ticks - before;
        }
        reg_set(REG_LVT, LVT_MASK);
    }
    smp_barrier(&gate);
}

static void timers(void)
{
    group("timers");
    for (u32 n = 0; n < smp_count; n++)
        memset((void *)got[n], 0, sizeof got[n]);
    gate.n = smp_count;
    smp_run_all(smp_count, use_timer, timings, sizeof timings[0]);
    for (u32 n = 0; n < smp_count; n++) {
        struct timing *t = &timings[n];
        check(LABEL(n), t->one, 1);
        check("one shot is one", t->after_one, 1);
        check("periodic", t->periodic >= 10, 1);
        check("masked", t->masked, 0);
        check("counts", t->count_masked, 0);
        if (cpu_has(1, 2, 24)) {
            check("deadlines", t->deadline, 5);
            check("none early", t->early, 0);
        }
        for (u32 k = 0; k < smp_count; k++)
            if (k != n)
                check("nobody else's", got[n][TIMER(k)], 0);
    }
}

/* ---- software disable ---- */

static struct disabled { u32 lvt, held, after, nmi, lvt_after; } disabled;
static volatile u32 step, ahead;

static void disable(void *arg)
{
    struct disabled *d = arg;

    reg_set(REG_LINT0, 0x8b);
    self(0x61);
    reg_set(REG_SVR, SMP_SPURIOUS);
    d->lvt = reg_get(REG_LINT0);
    d->held = reg_bit(REG_IRR, 0x61);
    reg_set(REG_LINT0, 0x8b);
    step = 1;
    until(&ahead, 1);
    d->after = reg_bit(REG_IRR, VECTOR);
    d->lvt_after = reg_get(REG_LINT0);
    d->nmi = got[smp_me()][NMI];
    send_to(0, FIXED | 0x62); /* it can still send */
    reg_set(REG_SVR, 0x100 | SMP_SPURIOUS);
    nap();
    reg_set(REG_LINT0, LVT_MASK);
}

static void software_disable(u32 n)
{
    group("software disable");
    step = ahead = 0;
    memset(&disabled, 0, sizeof disabled);
    run(n, disable, &disabled);
    until(&step, 1);
    send_to(n, FIXED | VECTOR);
    send(0, FIXED | TO_OTHERS | 0x51);
    send_to(n, SEND_NMI);
    until(&got[n][NMI], 1);
    ahead = 1;
    smp_wait(n);
    settle();
    check("masks the lvt", disabled.lvt, LVT_MASK | 0x8b);
    check("which cannot be undone", disabled.lvt_after, LVT_MASK | 0x8b);
    check("what was requested stays", disabled.held, 1);
    check("and is taken at last", takers(0x61), 1u << n);
    check("no fixed interrupt", disabled.after, 0);
    check("nor later", takers(VECTOR), 0);
    check("the others", takers(0x51), ((1u << smp_count) - 2) & ~(1u << n));
    check("nmi", disabled.nmi, 1);
    check("sends", takers(0x62), 1);
    takers(NMI);
}

/* ---- one in another mode, or at another place ---- */

static void to_x2apic(void *arg)
{
    (void)arg;
    msr_set(MSR_APIC_BASE, msr_get(MSR_APIC_BASE) | APIC_X2);
}

static void from_x2apic(void *arg)
{
    u64 base = msr_get(MSR_APIC_BASE);
    u32 *cpuid = arg;

    msr_set(MSR_APIC_BASE, base & ~(u64)(APIC_X2 | APIC_ON));
    *cpuid = cpu_has(1, 3, 9);
    msr_set(MSR_APIC_BASE, base & ~(u64)APIC_X2);
    *cpuid |= cpu_has(1, 3, 9) << 1;
    normal(NULL);
}

static u32 x2_values[4];

static void look_x2(void *arg)
{
    (void)arg;
    x2_values[0] = (u32)msr_get(0x802);
    x2_values[1] = (u32)msr_get(0x80d);
    msr_set(0x808, 0x57);
    x2_values[2] = (u32)msr_get(0x808);
    poke32(SMP_APIC + REG_TPR, 0x11); /* not mapped */
    x2_values[3] = (u32)msr_get(0x808);
    msr_set(0x808, 0);
}

static u32 all_but(u32 n) { return ((1u << smp_count) - 1) & ~(1u << n); }

static struct message { u32 dest, low; } message;

static void send_message(void *arg)
{
    struct message *m = arg;
    send(m->dest, m->low);
}

/* Physical messages from all to all, and to all others. */
static void exchange(void)
{
    for (u32 from = 0; from < smp_count; from++) {
        for (u32 to = 0; to < smp_count; to++) {
            message = (struct message){ smp_cpu[to].apic_id, FIXED | VECTOR };
            run_wait(from, send_message, &message);
            settle();
            check(LABEL(from, to), takers(VECTOR), 1u << to);
        }
        message = (struct message){ 0, FIXED | TO_OTHERS | VECTOR };
        run_wait(from, send_message, &message);
        settle();
        check("others", takers(VECTOR), all_but(from));
    }
}

/* The rounds of registers() without n, whose page is not where the others' are. */
static void registers_of_others(u32 n)
{
    for (u32 i = 0; i < smp_count; i++)
        if (i != n) {
            write_round = i;
            run_wait(i, write_all, NULL);
            run_wait(i, read_all, &snapshots[i]);
            for (u32 k = 0; k < NUM_REGS; k++)
                check(LABEL(i, regs[k]), snapshots[i].value[k], value_of(k, i, i));
            run_wait(i, normal, NULL);
        }
}

static void one_in_x2apic(u32 n)
{
    u32 id = smp_cpu[n].apic_id, cpuid = 0;

    group("one in x2apic mode");
    run_wait(n, to_x2apic, NULL);
    registers_of_others(n);
    run_wait(n, look_x2, NULL);
    check("id", x2_values[0], id);
    check("ldr", x2_values[1], id >> 4 << 16 | 1u << (id & 15));
    check("tpr", x2_values[2], 0x57);
    check("no page", x2_values[3], 0x57);
    exchange();
    run_wait(n, from_x2apic, &cpuid);
    check("cpuid: off, on", cpuid, 2);
    registers_of_others(smp_count);
    exchange();
}

#define MOVED 0xfea00000u

static void move(void *arg)
{
    msr_set(MSR_APIC_BASE, (msr_get(MSR_APIC_BASE) & 0xfff) | *(u32 *)arg);
}

/* The register here, and after a write to where it is not. */
static void look_moved(void *arg)
{
    reg_set(REG_TPR, 0x33);
    poke32(*(u32 *)arg + REG_TPR, 0x44);
    x2_values[0] = reg_get(REG_TPR);
    x2_values[1] = reg_get(REG_ID);
    reg_set(REG_TPR, 0);
}

static void one_moved(u32 n)
{
    static u32 place = MOVED, normal_place = SMP_APIC;

    group("one moved");
    run_wait(n, move, &place);
    registers_of_others(n);
    run_wait(n, look_moved, &normal_place);
    check("not at the old place", x2_values[0], 0x33);
    check("id", x2_values[1], smp_cpu[n].apic_id << 24);
    run_wait(n ? 0 : 1, look_moved, &place);
    check("another's is not there", x2_values[0], 0x33);
    exchange();
    run_wait(n, move, &normal_place);
    registers_of_others(smp_count);
    exchange();
}

/* ---- the I/O APIC ---- */

static void ioapic_set(u32 reg, u32 v)
{
    poke32(IOAPIC, reg);
    poke32(IOAPIC + 0x10, v);
}

static u32 ioapic_get(u32 reg)
{
    poke32(IOAPIC, reg);
    return peek32(IOAPIC + 0x10);
}

static void route(u32 pin, u32 dest, u32 low)
{
    ioapic_set(0x10 + 2 * pin, LVT_MASK);
    ioapic_set(0x11 + 2 * pin, dest << 24);
    ioapic_set(0x10 + 2 * pin, low);
}

/* The output of counter 0 of the 8254, pin 2, goes up once; returns when it has. */
static void edge(void)
{
    outb(0x43, 0x30);
    outb(0x40, 30);
    outb(0x40, 0);
    do
        outb(0x43, 0xe2);
    while (!(inb(0x40) & 0x80));
}

static bool arrived(u32 vector, u32 how_many)
{
    u64 end = smp_in(20000);
    u32 sum = 0;

    while (sum < how_many && tsc() < end) {
        sum = 0;
        for (u32 n = 0; n < smp_count; n++)
            sum += got[n][vector];
        nap();
        pause();
    }
    return sum >= how_many;
}

static u32 bits_in(u32 v)
{
    u32 n = 0;
    for (; v; v &= v - 1)
        n++;
    return n;
}

/* An edge comes to all of `expected`, or to one of them. */
static void one_edge(u32 dest, u32 low, u32 expected, bool one)
{
    u32 vector = (low & 0x700) == 0x400 ? NMI : VECTOR, taken;

    route(2, dest, low | VECTOR);
    edge();
    if (expected)
        check("arrives", arrived(vector, one ? 1 : bits_in(expected)), 1);
    settle();
    taken = takers(vector);
    check(LABEL(dest, low), one ? (taken & expected) && bits_in(taken) == 1 : taken == expected, 1);
    if (!one)
        check("taken by", taken, expected);
}

static void to_cluster(void *arg)
{
    u32 me = smp_me();
    (void)arg;
    reg_set(REG_DFR, 0x0fffffff);
    reg_set(REG_LDR, ((me & 1) << 4 | 1u << (me >> 1)) << 24);
}

static void routing(void)
{
    u32 all = (1u << smp_count) - 1;

    group("i/o apic, physical");
    for (u32 n = 0; n < smp_count; n++) {
        one_edge(smp_cpu[n].apic_id, 0, 1u << n, false);
        one_edge(smp_cpu[n].apic_id, 0x100, 1u << n, false);
        one_edge(smp_cpu[n].apic_id, 0x400, 1u << n, false);
    }
    one_edge(0xff, 0, all, false);
    one_edge(0x0d, 0, 0, false);
    group("i/o apic, flat");
    for (u32 mask = 1; mask <= all; mask++) {
        one_edge(mask, 0x800, mask, false);
        one_edge(mask, 0x900, mask, true);
        one_edge(mask, 0xc00, mask, false);
    }
    one_edge(0xff, 0x800, all, false);
    if (smp_count < 8)
        one_edge(0x80, 0x800, 0, false);
    group("i/o apic, cluster");
    everywhere(to_cluster);
    for (u32 n = 0; n < smp_count; n++) {
        one_edge((n & 1) << 4 | 1u << (n >> 1), 0x800, 1u << n, false);
        one_edge((n & 1) << 4 | 15, 0x800, all & (n & 1 ? 0xaa : 0x55), false);
        one_edge((n & 1) << 4 | 15, 0x900, all & (n & 1 ? 0xaa : 0x55), true);
    }
    one_edge(0x21, 0x800, 0, false);
    everywhere(normal);
}

/* Many edges of lowest priority: each is taken once, by somebody. */
static void many_edges(void)
{
    u32 sum = 0, edges = smp_few ? 200 : 2000;

    group("i/o apic, lowest priority");
    route(2, 0xff, 0x900 | VECTOR);
    for (u32 i = 1; i <= edges; i++) {
        edge();
        if (!check("arrives", arrived(VECTOR, i), 1))
            break;
    }
    settle();
    for (u32 n = 0; n < smp_count; n++)
        sum += got[n][VECTOR];
    check("each once", sum, edges);
    takers(VECTOR);
    route(2, 0, LVT_MASK);
}

/* ---- level-triggered ---- */

static u32 level_pin;
static struct level { u32 times, remote[4], bits[4], after[4], hold, no_broadcast; } level;

static u32 remote_irr(void)
{
    return ioapic_get(0x10 + 2 * level_pin) >> 14 & 1;
}

/* The first time without a look at its source, which then asks again. */
static void on_level(u32 vector, u32 error, u64 *ip)
{
    u32 i = level.times & 3;

    (void)error, (void)ip;
    level.remote[i] = remote_irr();
    if (level.hold && !i) {
        step = 1;
        until(&ahead, 1);
    }
    level.bits[i] = state_of(vector);
    if (level.times || level.no_broadcast)
        poke32(HPET + 0x20, 1);
    reg_set(REG_EOI, 0);
    level.after[i] = remote_irr();
    if (level.no_broadcast)
        poke32(IOAPIC + 0x40, vector);
    barrier_compiler();
    *(volatile u32 *)&level.times = level.times + 1;
}

/* Timer 0 of the HPET, in level mode. */
static void hpet_fire(void)
{
    poke32(HPET + 0x10, 0);
    poke32(HPET + 0x20, 1);
    poke32(HPET + 0xf0, 0);
    poke32(HPET + 0xf4, 0);
    poke32(HPET + 0x100, level_pin << 9 | 1 << 2 | 1 << 1);
    poke32(HPET + 0x108, 2000);
    poke32(HPET + 0x10c, 0);
    poke32(HPET + 0x10, 1);
}

static void hpet_stop(void)
{
    poke32(HPET + 0x10, 0);
    poke32(HPET + 0x100, 0);
    poke32(HPET + 0x20, 1);
}

static bool find_pin(void)
{
    u32 pins = peek32(HPET + 0x104);
    for (level_pin = 23; level_pin > 15; level_pin--)
        if (pins >> level_pin & 1)
            return true;
    return false;
}

static void level_to(u32 n)
{
    group("level-triggered");
    smp_cpu[n].handler[0x81] = on_level;
    memset(&level, 0, sizeof level);
    route(level_pin, smp_cpu[n].apic_id, 0x8000 | 0x81);
    hpet_fire();
    irq_on();
    check("taken until its source is served", until(&level.times, 2), 1);
    irq_off();
    settle();
    check(LABEL(n), level.times, 2);
    check("not by others", takers(0x81), 0);
    for (u32 i = 0; i < 2; i++) {
        check("remote irr", level.remote[i], 1);
        check("in service, level-triggered", level.bits[i], 6);
    }
    check("asks again at once", level.after[0], 1);
    check("then not", level.after[1], 0);
    hpet_stop();
}

/* The end of an edge-triggered interrupt with the same vector, by another, means nothing. */
static void foreign_eoi(u32 n, u32 other)
{
    group("end of another's");
    step = ahead = 0;
    memset(&level, 0, sizeof level);
    level.hold = 1;
    smp_cpu[other].handler[0x81] = count;
    route(level_pin, smp_cpu[n].apic_id, 0x8000 | 0x81);
    hpet_fire();
    check("in service", until(&step, 1), 1);
    send_to(other, FIXED | 0x81);
    if (!other)
        nap();
    check("the other takes its own", until(&got[other][0x81], 1), 1);
    check("remote irr", remote_irr(), 1);
    ahead = 1;
    until(&level.times, 2);
    settle();
    check("nothing came again meanwhile", level.bits[0], 6);
    check("twice", level.times, 2);
    check("remote irr at last", remote_irr(), 0);
    takers(0x81);
    hpet_stop();
}

/* Without broadcast the I/O APIC's own register ends it (11.8.5). */
static void suppress(void *arg)
{
    reg_set(REG_SVR, *(u32 *)arg | 0x100 | SMP_SPURIOUS);
}

static void no_broadcast(u32 n)
{
    static u32 on = 0x1000, off = 0;

    if (!(reg_get(0x30) >> 24 & 1) || (ioapic_get(1) & 0xff) < 0x20)
        return skip("suppressed broadcast", "not there");
    group("suppressed broadcast");
    run_wait(n, suppress, &on);
    memset(&level, 0, sizeof level);
    level.no_broadcast = 1;
    route(level_pin, smp_cpu[n].apic_id, 0x8000 | 0x81);
    for (u32 i = 1; i <= 2; i++) {
        hpet_fire();
        irq_on();
        check("taken", until(&level.times, i), 1);
        irq_off();
        settle();
        check("still waits for its end", level.after[i - 1], 1);
        check("which comes", remote_irr(), 0);
        check("once", level.times, i);
        hpet_stop();
    }
    run_wait(n, suppress, &off);
}

static void levels(void)
{
    if (!find_pin())
        return skip("level-triggered", "no pin");
    for (u32 n = 0; n < smp_count; n++) {
        level_to(n);
        if (n)
            foreign_eoi(n, n == 1 ? 0 : 1);
        smp_cpu[n].handler[0x81] = on_level;
        no_broadcast(n);
        smp_cpu[n].handler[0x81] = count;
    }
    route(level_pin, 0, LVT_MASK);
}

void program(const char *line)
{
    smp_start(line);
    count_all();
    everywhere(normal);
    registers();
    priorities();
    timers();
    for (u32 n = 1; n < smp_count; n++)
        software_disable(n);
    if (!stand_in) {
        for (u32 n = 0; n < smp_count; n += smp_count - 1) {
            one_in_x2apic(n);
            one_moved(n);
        }
    }
    routing();
    many_edges();
    levels();
}
