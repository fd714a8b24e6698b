/* Messages between processors: who is addressed in each mode, that each message arrives once, how they are
 * held back and wake a processor from HLT, NMIs, and storms of all of these (SDM volume 3, 7.7.1, 11.6,
 * 11.8, 11.12). */
#include "apic.h"

const char program_name[] = "smp_ipi";

/* ---- who is addressed ---- */

enum addressing { PHYSICAL, FLAT, CLUSTER, X2_PHYSICAL, X2_LOGICAL };
#define IS_X2(mode) ((mode) >= X2_PHYSICAL)
#define IS_LOGICAL(mode) ((mode) == FLAT || (mode) == CLUSTER || (mode) == X2_LOGICAL)
#define VECTOR 0x71u

static u32 ldr_of(enum addressing mode, u32 n)
{
    u32 id = smp_cpu[n].apic_id;
    if (mode == FLAT)
        return 1u << n;
    return mode == CLUSTER ? (n & 1) << 4 | 1u << (n >> 1) : id >> 4 << 16 | 1u << (id & 15);
}

static bool is_addressed(enum addressing mode, u32 n, u32 dest)
{
    u32 ldr = ldr_of(mode, n);

    if (dest == (IS_X2(mode) ? 0xffffffff : 0xff))
        return true;
    switch (mode) {
    case FLAT: return ldr & dest;
    case CLUSTER: return ldr >> 4 == dest >> 4 && (ldr & dest & 15);
    case X2_LOGICAL: return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
    default: return smp_cpu[n].apic_id == dest;
    }
}

static void set_addressing(void *arg)
{
    enum addressing mode = *(enum addressing *)arg;
    u64 base = msr_get(MSR_APIC_BASE);

    if (IS_X2(mode) && !(base & APIC_X2)) {
        msr_set(MSR_APIC_BASE, base | APIC_X2);
    } else if (!IS_X2(mode) && base & APIC_X2) {
        msr_set(MSR_APIC_BASE, base & ~(u64)(APIC_X2 | APIC_ON));
        msr_set(MSR_APIC_BASE, base & ~(u64)APIC_X2);
        reg_set(REG_SVR, 0x100 | SMP_SPURIOUS);
    }
    if (!IS_X2(mode)) {
        reg_set(REG_DFR, mode == CLUSTER ? 0x0fffffff : 0xffffffff);
        reg_set(REG_LDR, ldr_of(mode, smp_me()) << 24);
    }
}

static void everywhere(enum addressing mode)
{
    for (u32 n = smp_count; n--;)
        run_wait(n, set_addressing, &mode);
}

static struct message { u32 dest, low; } message;

static void send_message(void *arg)
{
    struct message *m = arg;
    send(m->dest, m->low);
}

/* Each sends in turn. */
static void send_from_next(u32 dest, u32 low)
{
    static u32 turn;
    message = (struct message){ dest, low };
    run_wait(turn++ % smp_count, send_message, &message);
    settle();
}

static void try_destination(enum addressing mode, u32 dest)
{
    u32 expected = 0, taken, logical = IS_LOGICAL(mode) ? LOGICAL : 0;

    for (u32 n = 0; n < smp_count; n++)
        expected |= (u32)is_addressed(mode, n, dest) << n;
    send_from_next(dest, FIXED | logical | VECTOR);
    check(LABEL(mode, dest), takers(VECTOR), expected);
    send_from_next(dest, SEND_NMI | logical);
    check("nmi", takers(NMI), expected);
    if (!logical)
        return; /* lowest priority among all, physically: up to the model */
    send_from_next(dest, LOWEST | logical | VECTOR);
    taken = takers(VECTOR);
    if (!check("lowest: one of them", taken && !(taken & (taken - 1)) && (taken & expected), expected != 0))
        print("    taken by %x of %x\n", taken, expected);
}

static void destinations(void)
{
    static const struct { enum addressing mode; u32 dest[8]; } more[] = {
        { PHYSICAL, { 0xff, 0x0f, 0x20, 0x08 } }, { FLAT, { 0xff, 0x80, 0xf0, 0 } },
        { CLUSTER, { 0xff, 0x11, 0x12, 0x13, 0x1f, 0x21, 0x24 } },
        { X2_PHYSICAL, { 0xffffffff, 0xff, 0x100, 0xffff, 0x7fffffff } },
        { X2_LOGICAL, { 0xffffffff, 0x10001, 0x1ffff, 0xffff, 0x8000ffff } },
    };

    for (u32 i = 0; i < sizeof more / sizeof more[0]; i++) {
        enum addressing mode = more[i].mode;
        if (IS_X2(mode) && stand_in) /* a virtual x2APIC in cluster 0 alone */
            continue;
        group("destinations");
        everywhere(mode);
        for (u32 d = 0; d < (IS_LOGICAL(mode) ? 1u << smp_count : smp_count); d++)
            try_destination(mode, IS_LOGICAL(mode) ? d : smp_cpu[d].apic_id);
        for (u32 k = 0; k < 8 && more[i].dest[k]; k++)
            try_destination(mode, more[i].dest[k]);
    }
}

/* The destination field has no part in these. */
static void shorthands(enum addressing mode)
{
    u32 all = (1u << smp_count) - 1;

    group(IS_X2(mode) ? "shorthands, x2apic" : "shorthands");
    everywhere(mode);
    for (u32 n = 0; n < smp_count; n++) {
        static const u32 kinds[] = { TO_SELF, TO_ALL, TO_OTHERS };
        for (u32 k = 0; k < 3; k++) {
            message = (struct message){ smp_cpu[(n + 1) % smp_count].apic_id, FIXED | kinds[k] | VECTOR };
            run_wait(n, send_message, &message);
            settle();
            check(LABEL(n, k), takers(VECTOR), k == 0 ? 1u << n : k == 1 ? all : all & ~(1u << n));
        }
        message = (struct message){ smp_cpu[n].apic_id, SEND_NMI | TO_OTHERS };
        run_wait(n, send_message, &message);
        settle();
        check("nmi to the others", takers(NMI), all & ~(1u << n));
    }
}

/* The one with the lowest task priority gets it. */
static void set_tpr(void *arg)
{
    reg_set(REG_TPR, *(u32 *)arg);
}

static void lowest(void)
{
    static u32 high = 0x15, low;

    group("lowest priority");
    everywhere(FLAT);
    for (u32 n = 0; n < smp_count; n++) {
        for (u32 i = 0; i < smp_count; i++)
            run_wait(i, set_tpr, i == n ? &low : &high);
        for (u32 i = 0; i < 4; i++) {
            send_from_next(0xff, LOWEST | LOGICAL | VECTOR);
            check(LABEL(n, i), takers(VECTOR), 1u << n);
        }
    }
    for (u32 i = 0; i < smp_count; i++)
        run_wait(i, set_tpr, &low);
}

/* ---- held back ---- */

static volatile u32 step, ahead; /* the target's progress, and how far it may go */
static u32 seen[16], num_seen;

static void see(u32 v)
{
    if (num_seen < 16)
        seen[num_seen++] = v;
}

static void reach(u32 n)
{
    step = n;
    until(&ahead, n);
}

static void begin(u32 n, smp_work *work)
{
    num_seen = step = ahead = 0;
    run(n, work, NULL);
}

static void count_and_see(u32 vector, u32 error, u64 *ip)
{
    see(vector);
    count(vector, error, ip);
}

/* With interrupts off messages wait, each vector once; then the highest goes first. */
static void spin_off(void *arg)
{
    (void)arg;
    reach(1);
    see(reg_bit(REG_IRR, 0x45) << 2 | reg_bit(REG_IRR, 0x61) << 1 | reg_bit(REG_IRR, 0x52));
    irq_on();
    __asm__ volatile("nop; nop");
    irq_off();
    see(reg_bit(REG_IRR, 0x45) << 2 | reg_bit(REG_IRR, 0x61) << 1 | reg_bit(REG_IRR, 0x52));
    reach(2);
}

static void interrupts_off(u32 n)
{
    static const u32 expected[] = { 7, 0x61, 0x52, 0x45, 0 };

    group("interrupts off");
    begin(n, spin_off);
    until(&step, 1);
    for (u32 i = 0; i < 3; i++) {
        send_to(n, FIXED | 0x45);
        send_to(n, FIXED | 0x61);
        send_to(n, FIXED | 0x52);
    }
    ahead = 2;
    smp_wait(n);
    check("all once, in order", num_seen == 5 && !memcmp(seen, expected, sizeof expected), 1);
    for (u32 i = 0; i < num_seen && i < 5; i++)
        check(LABEL(i), seen[i], expected[i]);
}

/* While a vector is in service it can be requested once more (11.8.4). */
static void serve_slowly(u32 vector, u32 error, u64 *ip)
{
    u32 n = ++num_seen;
    if (n == 1) {
        reach(1);
        seen[0] = reg_bit(REG_ISR, vector) << 1 | reg_bit(REG_IRR, vector);
    }
    count(vector, error, ip);
}

static void in_service(u32 n)
{
    group("in service");
    smp_cpu[n].handler[VECTOR] = serve_slowly;
    num_seen = step = ahead = 0;
    send_to(n, FIXED | VECTOR);
    until(&step, 1);
    for (u32 i = 0; i < 3; i++)
        send_to(n, FIXED | VECTOR);
    ahead = 1;
    settle();
    check("in service and requested", seen[0], 3);
    check("twice in all", num_seen, 2);
    smp_cpu[n].handler[VECTOR] = count;
    takers(VECTOR);
}

/* TPR holds back what would have woken it. */
static void halt_with_tpr(void *arg)
{
    (void)arg;
    reg_set(REG_TPR, 0x50);
    step = 1;
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    step = 2;
    see(reg_bit(REG_IRR, 0x45) << 1 | reg_bit(REG_IRR, 0x5f));
    irq_on();
    reg_set(REG_TPR, 0x40);
    __asm__ volatile("nop");
    irq_off();
    see(reg_bit(REG_IRR, 0x45) << 1 | reg_bit(REG_IRR, 0x5f));
    reg_set(REG_TPR, 0);
    irq_on();
    __asm__ volatile("nop");
    irq_off();
}

static void task_priority(u32 n)
{
    static const u32 expected[] = { 0x61, 3, 0x5f, 2, 0x45 };

    group("task priority");
    begin(n, halt_with_tpr);
    until(&step, 1);
    send_to(n, FIXED | 0x45);
    send_to(n, FIXED | 0x5f);
    smp_delay(2000);
    check("still halted", step, 1);
    check("nothing taken", num_seen, 0);
    send_to(n, FIXED | 0x61);
    smp_wait(n);
    for (u32 i = 0; i < 5; i++)
        check(LABEL(i), seen[i], expected[i]);
    check("no more", num_seen, 5);
}

static void held_back(void)
{
    static const u32 vectors[] = { 0x45, 0x52, 0x5f, 0x61 };

    for (u32 n = 1; n < smp_count; n++) {
        for (u32 i = 0; i < 4; i++)
            smp_cpu[n].handler[vectors[i]] = count_and_see;
        interrupts_off(n);
        task_priority(n);
        for (u32 i = 0; i < 4; i++) {
            smp_cpu[n].handler[vectors[i]] = count;
            takers(vectors[i]);
        }
        in_service(n);
    }
}

/* ---- NMI ---- */

static volatile u32 nmi_depth;

/* The first waits for more to come; with `seen[15]` it executes an IRET, which lets one in (7.7.1). */
static void on_nmi(u32 vector, u32 error, u64 *ip)
{
    u32 n = num_seen + 1;

    (void)error, (void)ip;
    num_seen = n;
    seen[n] = ++nmi_depth;
    if (n == 1) {
        reach(1);
        seen[8] = num_seen;
        if (seen[15])
            __asm__ volatile("pushfl; pushl %%cs; pushl $1f; iretl\n1: nop" : : : "memory", "cc");
        seen[9] = num_seen;
    }
    nmi_depth--;
    got[smp_me()][vector]++;
}

static void nmi_nesting(u32 n, bool by_iret)
{
    group(by_iret ? "nmi, iret inside" : "nmi");
    smp_cpu[n].handler[NMI] = on_nmi;
    num_seen = step = ahead = 0;
    seen[15] = by_iret;
    send_to(n, SEND_NMI);
    check("taken", until(&step, 1), 1);
    for (u32 i = 0; i < 3; i++)
        send_to(n, SEND_NMI);
    ahead = 1;
    settle();
    check("one more in all", num_seen, 2);
    check("blocked at first", seen[8], 1);
    check("by then", seen[9], by_iret ? 2 : 1);
    check("depth", seen[2], by_iret ? 2 : 1);
    smp_cpu[n].handler[NMI] = count;
    takers(NMI);
}

/* ---- HLT ---- */

/* Between the store, which tells that it is about to halt, and HLT an NMI must not get lost: its handler goes
 * on behind HLT then. */
enum halt { HALT, HALT_OFF, HALT_LONG, HALT_LONG_OFF, HALTS };
extern const u8 halt32[], halt_at[], halt_last[], halt32_off[], halt_off_at[], halt64_at[], halt64_last[],
    halt64_off_at[];
static volatile u32 woken;

__asm__(".pushsection .text\n.intel_syntax noprefix\n"
        "halt32: mov eax, [esp + 4]\n mov dword ptr [eax], 1\n sti\n hlt\nhalt_at: cli\nhalt_last: ret\n"
        "halt32_off: mov eax, [esp + 4]\n mov dword ptr [eax], 1\n hlt\nhalt_off_at: ret\n"
        ".att_syntax prefix\n.popsection");
/* What told it to begin may come late and end HLT; it stays then, because an NMI must not find it between two modes. */
CODE64(halt64, "1: mov dword ptr [rdi], 1; sti; hlt\nhalt64_at: cli; cmp dword ptr [rsi], 0; je 1b\nhalt64_last: ret");
CODE64(halt64_off, "mov dword ptr [rdi], 1; hlt\nhalt64_off_at: ret");

/* From the store on to the RET, and the instruction behind HLT. */
static const struct { const u8 *first, *end, *last; } halts[HALTS] = {
    [HALT] = { halt32, halt_at, halt_last },
    [HALT_OFF] = { halt32_off, halt_off_at, halt_off_at },
    [HALT_LONG] = { halt64, halt64_at, halt64_last },
    [HALT_LONG_OFF] = { halt64_off, halt64_off_at, halt64_off_at },
};

static void nmi_ends_halt(u32 vector, u32 error, u64 *ip)
{
    for (u32 i = 0; i < HALTS; i++)
        if (*ip >= (u32)halts[i].first && *ip <= (u32)halts[i].last)
            *ip = (u32)halts[i].end;
    woken = 1;
    count(vector, error, ip);
}

static void irq_ends_halt(u32 vector, u32 error, u64 *ip)
{
    woken = 1;
    count(vector, error, ip);
}

static void halt(void *arg)
{
    switch (*(u32 *)arg) {
    case HALT: ((void (*)(volatile u32 *))(u32)halt32)(&step); break;
    case HALT_OFF: ((void (*)(volatile u32 *))(u32)halt32_off)(&step); break;
    case HALT_LONG: smp_call64(halt64, (u32)&step, (u32)&woken, 0, 0); break;
    case HALT_LONG_OFF: smp_call64(halt64_off, (u32)&step, 0, 0, 0); break;
    }
    step = 2;
}

/* With and without time to fall asleep; with interrupts off only an NMI wakes it. */
static void wake_up(u32 n)
{
    static u32 how;

    group("hlt");
    smp_cpu[n].handler[NMI] = nmi_ends_halt;
    smp_cpu[n].handler[VECTOR] = irq_ends_halt;
    for (u32 i = 0; i < (smp_few ? 16u : 64u); i++) {
        how = i & 3;
        bool off = how == HALT_OFF || how == HALT_LONG_OFF;
        step = woken = 0;
        run(n, halt, &how);
        until(&step, 1);
        if (i & 4)
            smp_delay(i & 8 ? 1000 : 30);
        if (off) {
            send_to(n, FIXED | VECTOR);
            smp_delay(i & 8 ? 1000 : 30);
            check("a masked interrupt does not wake it", step, 1);
            send_to(n, SEND_NMI);
        } else {
            send_to(n, i & 0x10 ? SEND_NMI : FIXED | VECTOR);
        }
        smp_wait(n);
        settle();
        check(LABEL(i), takers(VECTOR), off || !(i & 0x10) ? 1u << n : 0);
        check("nmi", takers(NMI), off || (i & 0x10) ? 1u << n : 0);
    }
    smp_cpu[n].handler[NMI] = count;
    smp_cpu[n].handler[VECTOR] = count;
}

/* ---- ping-pong ---- */

#define BALL 0x55u
static u32 rallies;
static struct player { u32 partner, serves, halts, lost; } players[SMP_MAX];

/* Waits for the ball in HLT or with interrupts on. */
static bool receive(const struct player *p, u32 ball)
{
    volatile u32 *balls = &got[smp_me()][BALL];
    u64 end = smp_in(20000);
    bool here;

    if (!p->halts) {
        irq_on();
        here = until(balls, ball);
        irq_off();
        return here;
    }
    while (*balls < ball && tsc() < end)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    return *balls >= ball;
}

static void play(void *arg)
{
    struct player *p = arg;

    for (u32 i = 1; i <= rallies && !p->lost; i++) {
        if (p->serves)
            send_to(p->partner, FIXED | BALL);
        p->lost += !receive(p, i);
        if (!p->serves)
            send_to(p->partner, FIXED | BALL);
    }
}

static void ping_pong(u32 halts)
{
    u32 last = smp_count & ~1u;

    group(halts == 3 ? "ping-pong, both halt" : halts ? "ping-pong, one halts" : "ping-pong, both spin");
    rallies = smp_few ? 500 : halts ? 3000 : 10000;
    for (u32 n = 0; n < smp_count; n++)
        got[n][BALL] = 0;
    for (u32 n = 0; n < last; n++)
        players[n] = (struct player){ n ^ 1, n & 1, halts >> (n & 1) & 1, 0 };
    for (u32 n = 1; n < last; n++)
        run(n, play, &players[n]);
    play(&players[0]);
    for (u32 n = 0; n < last; n++) {
        if (n)
            smp_wait(n);
        check(LABEL(n), players[n].lost, 0);
        check("balls", got[n][BALL], rallies);
        got[n][BALL] = 0;
    }
}

/* ---- storm ---- */

#define KINDS 4u
#define STORM(kind, sender) (0x48 + 0x20 * (kind) + (sender)) /* four classes */
#define TICK 0xe1u

static struct smp_barrier gate;
static struct storm {
    u32 sent[SMP_MAX][KINDS], nmis, lost, random;
} storms[SMP_MAX] __attribute__((aligned(64)));
static u32 storm_rounds;

static u32 dice(struct storm *s)
{
    s->random = s->random * 1664525 + 1013904223;
    return s->random >> 24;
}

/* One message of each sender and vector is under way to each target at most, so that each must arrive. */
static u32 send_some(struct storm *s, u32 me)
{
    u32 n = 0, next = (me + 1) % smp_count;

    for (u32 to = 0; to < smp_count; to++)
        for (u32 k = 0; k < KINDS; k++)
            if (got[to][STORM(k, me)] == s->sent[to][k] && dice(s) < 128) {
                s->sent[to][k]++;
                send_to(to, FIXED | STORM(k, me));
                n++;
            }
    if (got[next][NMI] == s->nmis && dice(s) < 64) {
        s->nmis++;
        send_to(next, SEND_NMI);
        n++;
    }
    return n;
}

/* A timer that goes on ticking ends HLT when all others have finished. */
static void idle_somehow(struct storm *s)
{
    switch (dice(s) & 7) {
    case 0: __asm__ volatile("sti; hlt; cli" : : : "memory"); break;
    case 1: __asm__ volatile("sti; nop; cli" : : : "memory"); break;
    case 2: __asm__ volatile("sti; hlt" : : : "memory"); break;
    case 3: irq_on(); break;
    case 4: irq_off(); break;
    case 5:
        irq_off();
        for (u32 i = dice(s); i; i--)
            barrier_compiler();
        irq_on();
        break;
    default: break;
    }
}

static bool all_arrived(const struct storm *s, u32 me)
{
    bool all = true;
    for (u32 to = 0; to < smp_count; to++)
        for (u32 k = 0; k < KINDS; k++)
            all &= got[to][STORM(k, me)] == s->sent[to][k];
    return all && got[(me + 1) % smp_count][NMI] == s->nmis;
}

static void tick(bool on)
{
    reg_set(REG_DIVIDE, 0xb);
    reg_set(REG_LVT, on ? 0x20000 | TICK : LVT_MASK);
    reg_set(REG_INITIAL, on ? 1000000 : 0);
}

static void storm(void *arg)
{
    u32 me = smp_me();
    struct storm *s = arg;
    u64 stop = smp_in(smp_few ? 700 : 1000), end;

    smp_barrier(&gate);
    tick(true);
    for (u32 n = 0; n < storm_rounds && (n < 500 || tsc() < stop);) {
        n += send_some(s, me);
        idle_somehow(s);
    }
    irq_on();
    end = smp_in(20000);
    while (!all_arrived(s, me) && tsc() < end)
        pause();
    s->lost = !all_arrived(s, me);
    smp_barrier(&gate);
    irq_off();
    tick(false);
    smp_barrier(&gate);
}

static void storms_of(enum addressing mode)
{
    u32 total = 0;

    group(IS_X2(mode) ? "storm, x2apic" : "storm");
    everywhere(mode);
    for (u32 n = 0; n < SMP_MAX; n++) {
        storms[n] = (struct storm){ .random = 12345 + n };
        for (u32 v = 0; v < 256; v++)
            got[n][v] = 0;
    }
    gate.n = smp_count;
    storm_rounds = smp_few ? 2000 : 20000;
    for (u32 n = 1; n < smp_count; n++)
        run(n, storm, &storms[n]);
    storm(&storms[0]);
    for (u32 n = 0; n < smp_count; n++) {
        if (n)
            smp_wait(n);
        check(LABEL(n), storms[n].lost, 0);
        for (u32 to = 0; to < smp_count; to++)
            for (u32 k = 0; k < KINDS; k++) {
                check("arrived as often as sent", got[to][STORM(k, n)], storms[n].sent[to][k]);
                total += storms[n].sent[to][k];
            }
        check("nmis", got[(n + 1) % smp_count][NMI], storms[n].nmis);
        total += storms[n].nmis;
    }
    print("%d messages\n", total);
    settle();
    for (u32 v = 0; v < 256; v++)
        takers(v);
}

void program(const char *line)
{
    smp_start(line);
    count_all();
    destinations();
    if (!stand_in)
        shorthands(X2_PHYSICAL);
    shorthands(PHYSICAL);
    lowest();
    everywhere(PHYSICAL);
    held_back();
    for (u32 n = 1; n < smp_count; n++) {
        nmi_nesting(n, false);
        nmi_nesting(n, true);
        wake_up(n);
    }
    ping_pong(0);
    ping_pong(2);
    ping_pong(3);
    storms_of(PHYSICAL);
    if (!stand_in)
        storms_of(X2_PHYSICAL);
}
