/* Changes of page tables seen by other processors: after the shootdown that SDM volume 3, 4.10.5
 * prescribes (interrupt, INVLPG or load of CR3, acknowledgement) nobody uses what was there before;
 * accessed and dirty bits are set by locked accesses (4.8), so none is lost, nor another's update of the
 * same entry. */
#include "smp.h"

const char program_name[] = "smp_tlb";

#define FRAMES 0x01000000u
#define SHOT 0x62
#define A 0x20u
#define D 0x40u
#define FREE 0x200u /* a bit of an entry that the processor ignores */
#define PAGES 256u

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

static void paging_on(void)
{
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
}

static void paging_off(void)
{
    cr0_set(cr0_get() & 0x7ffeffff);
}

static void invlpg(u32 address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void build_tables(void)
{
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x83;
    dir[SMP_APIC >> 22] = (SMP_APIC & 0xffc00000) | 0x93;
    dir[WINDOW >> 22] = (u32)table | 3;
}

/* ---- shootdown ---- */

/* What the page at WINDOW is in a round: WRITABLE, READ_ONLY, ABSENT by its entry, or NO_WRITE, NO_TABLE
 * by that of the directory. The round's frame has the number of the round in its first word. */
enum { WRITABLE, READ_ONLY, ABSENT, NO_WRITE, NO_TABLE, KINDS };
#define CHANGING 0xffffffffu
#define POISON 0xdead0000u
#define FRAME(round) (FRAMES + ((round) & 7) * 0x1000)
#define SLOT(n) (0x100 + 0x40 * (n)) /* processor n writes there */

static volatile u32 state, stop, acknowledged;
static bool by_cr3;
static struct user {
    u32 reads, writes, stale, faults_missed, faults_wrong, codes_wrong, first_read, first_state;
} users[SMP_MAX];

static void on_shot(u32 vector, u32 error, u64 *ip)
{
    (void)vector, (void)error, (void)ip;
    if (by_cr3)
        cr3_set(cr3_get());
    else
        invlpg(WINDOW);
    lock_xadd(&acknowledged, 1);
    smp_eoi();
}

static bool readable(u32 kind) { return kind != ABSENT && kind != NO_TABLE; }

/* Reads or writes once; what it sees counts if the state was the same before and after. */
static void use(struct user *u, bool write)
{
    struct smp_cpu *me = &smp_cpu[smp_me()];
    volatile u32 got = 0;
    u32 before = state, kind = before % KINDS;

    if (write)
        SMP_TRY("movl %[value], %[to]", [value] "r"(before), [to] "m"(*(u32 *)(WINDOW + SLOT(smp_me()))));
    else
        SMP_TRY("movl %[from], %%eax; movl %%eax, %[got]", [from] "m"(*(u32 *)WINDOW), [got] "m"(got));
    if (before == CHANGING || state != before)
        return;
    bool allowed = write ? kind == WRITABLE : readable(kind);
    *(write ? &u->writes : &u->reads) += 1;
    u->faults_missed += !allowed && me->caught == NOT_CAUGHT;
    u->faults_wrong += allowed && me->caught != NOT_CAUGHT;
    if (!allowed && me->caught == 14)
        u->codes_wrong += me->error != (readable(kind) ? 3u : write * 2u) || (me->cr2 & ~0xfffu) != WINDOW;
    if (!write && allowed && got != before) {
        if (!u->stale++) {
            u->first_read = got;
            u->first_state = before;
        }
    }
}

static void use_page(void *arg)
{
    struct user *u = arg;

    paging_on();
    irq_on();
    while (!stop) {
        use(u, false);
        use(u, true);
    }
    irq_off();
    paging_off();
}

static void shoot(void)
{
    u64 end = smp_in(20000);

    acknowledged = 0;
    for (u32 n = 1; n < smp_count; n++)
        smp_ipi(n, SHOT);
    while (acknowledged < smp_count - 1 && tsc() < end)
        pause();
}

/* The frame of an earlier round: nobody has written to it since it was retired. */
static u32 written_late(u32 round)
{
    u32 late = 0;
    for (u32 n = 1; n < smp_count; n++)
        late += peek32(FRAME(round) + SLOT(n)) != POISON + n;
    return late;
}

static void retire(u32 round)
{
    poke32(FRAME(round), POISON);
    for (u32 n = 1; n < smp_count; n++)
        poke32(FRAME(round) + SLOT(n), POISON + n);
}

static u32 change(u32 round)
{
    u32 kind = round % KINDS, late = round > 8 ? written_late(round) : 0;

    poke32(FRAME(round), round);
    state = CHANGING;
    table[0] = FRAME(round) | (kind == ABSENT ? 0 : kind == READ_ONLY ? 1 : 3);
    dir[WINDOW >> 22] = (u32)table | (kind == NO_TABLE ? 0 : kind == NO_WRITE ? 1 : 3);
    shoot();
    retire(round - 1);
    state = round;
    u64 end = tsc() + smp_tsc_per_us * 5;
    while (tsc() < end)
        pause();
    return late;
}

/* Who gets no time from a host with fewer processors uses nothing: one is enough. */
static bool somebody_used(void)
{
    for (u32 n = 1; n < smp_count; n++)
        if (*(volatile u32 *)&users[n].reads)
            return true;
    return false;
}

static void shootdown(const char *name, bool cr3)
{
    u64 end = smp_in(smp_few ? 1000 : 2000), last = smp_in(20000);
    u32 late = 0, lost = 0, round = 1, all = smp_few ? 500 : 10000;

    group(name);
    by_cr3 = cr3;
    stop = 0;
    state = CHANGING;
    memset(users, 0, sizeof users);
    table[0] = FRAME(0) | 3;
    dir[WINDOW >> 22] = (u32)table | 3;
    for (u32 n = 1; n < smp_count; n++)
        smp_run_on(n, use_page, &users[n]);
    for (; tsc() < last && (!somebody_used() || (round <= all && (tsc() < end || round < 20))); round++) {
        late += change(round);
        lost += acknowledged != smp_count - 1;
    }
    stop = 1;
    print("%s: %d rounds\n", name, round - 1);
    check("interrupts lost", lost, 0);
    check("stores to a page after its end", late, 0);
    for (u32 n = 1; n < smp_count; n++) {
        struct user *u = &users[n];
        smp_wait(n);
        print("processor %d: %d reads and %d writes counted\n", n, u->reads, u->writes);
        if (!check("old page read", u->stale, 0))
            print("    the first: read %x in round %x\n", u->first_read, u->first_state);
        check("fault missed", u->faults_missed, 0);
        check("fault out of place", u->faults_wrong, 0);
        check("error code or address", u->codes_wrong, 0);
    }
    check("used the page", somebody_used(), 1);
}

/* ---- accessed and dirty ---- */

static struct smp_barrier gate;
static volatile u32 turns;
static volatile u32 cursor;   /* the page that processor 1 touches next */
static volatile u32 finished; /* processors that have touched all */

static void entries(u32 flags)
{
    dir[WINDOW >> 22] = (u32)table | 3;
    for (u32 i = 0; i < PAGES; i++)
        table[i] = (FRAMES + i * 0x1000) | flags;
}

/* At the turn's last barrier: it is the last turn when the time is over. */
static void end_turn(u32 turn, u64 end)
{
    if (tsc() > end)
        turns = turn + 1;
    smp_barrier(&gate);
}

/* The first accesses after CR3 was loaded: all read, and write every second page. */
static void touch(void *arg)
{
    (void)arg;
    for (u32 turn = 0; turn < turns; turn++) {
        smp_barrier(&gate);
        paging_on();
        smp_meet(&gate);
        for (u32 i = 0; i < PAGES; i++) {
            if (smp_me() == 1)
                cursor = i;
            if (i & 1)
                poke8(WINDOW + i * 0x1000 + smp_me(), (u8)turn);
            else
                peek8(WINDOW + i * 0x1000);
        }
        lock_xadd(&finished, 1);
        paging_off();
        smp_barrier(&gate);
    }
}

/* Changes bits 9 and 11 each time, and bit 10 for good. */
static void update(volatile u32 *entry, u32 times)
{
    __asm__ volatile("lock xorl %1, %0" : "+m"(*entry) : "i"(FREE) : "memory", "cc");
    __asm__ volatile("lock btsl $10, %0" : "+m"(*entry) : : "memory", "cc");
    lock_xadd(entry, times & 1 ? -0x800u : 0x800u);
}

/* Updates the entries about to be touched, or just touched, until all are; counts the updates of each. */
static void update_entries(u32 *count)
{
    u64 end = smp_in(20000);

    memset(count, 0, PAGES * sizeof *count);
    while (finished < smp_count - 1 && tsc() < end) {
        u32 near = cursor;
        for (u32 i = near; i < near + 3 && i < PAGES; i++)
            update(&table[i], count[i]++);
    }
}

static void bits(void)
{
    static u32 count[PAGES];
    u32 accessed = 0, dirty = 0, clean = 0, other = 0, updates = 0;
    u64 end = smp_in(10000);

    group("accessed and dirty bits");
    turns = smp_few ? 4 : smp_count > 2 ? 20 : 100;
    gate.n = smp_count;
    for (u32 n = 1; n < smp_count; n++)
        smp_run_on(n, touch, NULL);
    for (u32 turn = 0; turn < turns; turn++) {
        entries(3);
        cursor = finished = 0;
        smp_barrier(&gate);
        smp_meet(&gate);
        update_entries(count);
        end_turn(turn, end);
        for (u32 i = 0; i < PAGES; i++) {
            u32 own = (count[i] & 1 ? FREE | 0x800 : 0) | (count[i] ? 0x400 : 0);
            accessed += !(table[i] & A);
            dirty += (i & 1) && !(table[i] & D);
            clean += !(i & 1) && (table[i] & D);
            other += (table[i] & ~(A | D)) != ((FRAMES + i * 0x1000) | 3 | own);
            updates += count[i];
        }
    }
    for (u32 n = 1; n < smp_count; n++)
        smp_wait(n);
    print("accessed and dirty bits: %d turns, %d updates\n", turns, updates);
    check("accessed lost", accessed, 0);
    check("dirty lost", dirty, 0);
    check("dirty without a write", clean, 0);
    check("other bits", other, 0);
}

/* Processor 1 writes to clean pages that processor 0 takes away by XCHG: either the write is done and the
 * entry that was taken is dirty, or it faults and the entry is clean. */
static volatile u8 outcome[PAGES];

static void write_or_fault(void *arg)
{
    (void)arg;
    for (u32 turn = 0; turn < turns; turn++) {
        smp_barrier(&gate);
        paging_on();
        smp_meet(&gate);
        for (u32 i = 0; i < PAGES; i++)
            outcome[i] = SMP_TRY("incl %[to]", [to] "m"(*(u32 *)(WINDOW + i * 0x1000))) != NOT_CAUGHT;
        paging_off();
        smp_barrier(&gate);
    }
}

static void taken(void)
{
    static u32 old[PAGES];
    u32 lost = 0, ghost = 0, undone = 0, faults = 0;
    u64 end = smp_in(10000);

    group("entries taken away");
    gate.n = 2;
    smp_run_on(1, write_or_fault, NULL);
    for (u32 turn = 0; turn < turns; turn++) {
        entries(3);
        for (u32 i = 0; i < PAGES; i++)
            poke32(FRAMES + i * 0x1000, 7);
        smp_barrier(&gate);
        smp_meet(&gate);
        for (u32 i = PAGES; i--;) { /* slowly: they meet in the middle */
            old[i] = 0;
            for (volatile u32 delay = turn % 40; delay; delay--)
                ;
            __asm__ volatile("xchgl %0, %1" : "+r"(old[i]), "+m"(*(volatile u32 *)&table[i]) : : "memory");
        }
        end_turn(turn, end);
        for (u32 i = 0; i < PAGES; i++) {
            faults += outcome[i];
            lost += !outcome[i] && !(old[i] & D);
            ghost += (outcome[i] && (old[i] & D)) || table[i];
            undone += peek32(FRAMES + i * 0x1000) != (outcome[i] ? 7u : 8u);
        }
    }
    smp_wait(1);
    print("%d faults of %d\n", faults, turns * PAGES);
    check("written but not dirty", lost, 0);
    check("faulted but dirty", ghost, 0);
    check("faulted but written, or the reverse", undone, 0);
}

void program(const char *line)
{
    smp_start(line);
    build_tables();
    for (u32 n = 1; n < smp_count; n++)
        smp_cpu[n].handler[SHOT] = on_shot;
    paging_on();
    shootdown("shootdown by invlpg", false);
    shootdown("shootdown by cr3", true);
    paging_off();
    bits();
    taken();
}
