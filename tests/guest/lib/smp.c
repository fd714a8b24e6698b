/* Starting processors, giving them work, their interrupts and barriers (SDM volume 3, 9.4.4, 11.6.1,
 * 11.5.1). */
#include "smp.h"

_Static_assert(SMP_MAX == SMP_PROCESSORS, "the stacks of smp_entry.S");

struct smp_cpu smp_cpu[SMP_MAX];
u32 smp_count = 1, smp_tsc_per_us;
bool smp_few, smp_parallel = true;
volatile u32 smp_arrived = 1; /* counted by smp_entry.S: the number of the next to come */

static volatile u32 ready = 1;
static u32 tss_of[SMP_MAX][26];
static struct gate idt_smp32[256];
static struct gate64 idt_smp64[256];
struct __attribute__((packed)) { u16 limit; u64 base; } smp_idtr64;

extern u8 smp_blob[], smp_blob_end[], smp_stubs32[], smp_stubs64[];
void smp_main(u32 index);
void smp_dispatch32(u32 *frame);
void smp_dispatch64(u64 *frame);

/* ---- interrupts ---- */

static void dispatch(u32 vector, u32 error, u64 *ip)
{
    struct smp_cpu *me = &smp_cpu[smp_me()];

    if (me->handler[vector]) {
        me->handler[vector](vector, error, ip);
    } else if (vector >= 32) {
        me->received[vector]++;
        if (vector != SMP_SPURIOUS)
            smp_eoi();
    } else if (me->recover) {
        me->caught = vector;
        me->error = error;
        me->cr2 = cr2_get();
        me->ip = *ip;
        *ip = me->recover;
        me->recover = 0;
    } else {
        print("FAIL %s: processor %d: unexpected vector %x error %x at %X cr2 %x\n", program_name, smp_me(),
              vector, error, *ip, cr2_get());
        check("unexpected exception", vector, NOT_CAUGHT);
        finish();
    }
}

/* Eight registers, vector, error code, EIP. */
void smp_dispatch32(u32 *frame)
{
    u64 ip = frame[10];
    dispatch(frame[8], frame[9], &ip);
    frame[10] = (u32)ip;
}

/* Fifteen registers, vector, error code, RIP. */
void smp_dispatch64(u64 *frame)
{
    dispatch((u32)frame[15], (u32)frame[16], &frame[17]);
}

static void build_gates(void)
{
    for (u32 i = 0; i < 256; i++) {
        u32 target = (u32)smp_stubs64 + 16 * i;
        u64 gate = call_gate(SEL_CS32, (u32)smp_stubs32 + 16 * i, 0x8e, 0);
        memcpy(&idt_smp32[i], &gate, 8);
        idt_smp64[i] = (struct gate64){ .lo = target, .hi = target >> 16, .sel = SEL_CS64, .type = 0x8e };
    }
    smp_idtr64.limit = sizeof idt_smp64 - 1;
    smp_idtr64.base = (u32)idt_smp64;
}

static void load_gates(void)
{
    struct __attribute__((packed)) { u16 limit; u32 base; } idtr = { sizeof idt_smp32 - 1, (u32)idt_smp32 };
    __asm__ volatile("lidt %0" : : "m"(idtr));
}

void smp_snippets(void (*tests)(void))
{
    __asm__ volatile("lidt %0" : : "m"(*(const volatile u8 *)at(LOW_IDTR32)));
    tests();
    load_gates();
}

/* ---- messages ---- */

void smp_icr(u32 apic_id, u32 low)
{
    u32 flags;
    __asm__ volatile("pushfl; popl %0; cli" : "=r"(flags) : : "memory"); /* a handler may send, too */
    while (apic_get(0x300) & 0x1000)
        pause();
    apic_set(0x310, apic_id << 24);
    apic_set(0x300, low);
    while (apic_get(0x300) & 0x1000)
        pause();
    __asm__ volatile("pushl %0; popfl" : : "r"(flags) : "memory", "cc");
}

void smp_ipi(u32 n, u32 vector)
{
    smp_icr(smp_cpu[n].apic_id, 0x4000 | vector);
}

/* ---- time ---- */

/* Counter 2 of the 8254 in mode 0 counts 10 ms. */
static u32 tsc_of_10_ms(void)
{
    u64 from;

    outb(0x61, (inb(0x61) & 0xfc) | 1);
    outb(0x43, 0xb0);
    outb(0x42, 11932 & 0xff);
    outb(0x42, 11932 >> 8);
    from = tsc();
    while (!(inb(0x61) & 0x20))
        ;
    return (u32)(tsc() - from);
}

/* The least of some: a host that is busy with others shows the end of the count late, and all times of the program
 * would be as much longer. */
static void measure_tsc(void)
{
    u32 least = tsc_of_10_ms();

    for (u32 n = 0; n < 4; n++) {
        u32 more = tsc_of_10_ms();
        least = more < least ? more : least;
    }
    smp_tsc_per_us = least / 10000 + 1;
}

void smp_delay(u32 us)
{
    u64 end = tsc() + (u64)us * smp_tsc_per_us;
    while (tsc() < end)
        pause();
}

void smp_barrier(struct smp_barrier *b)
{
    u32 phase = b->phase, spins = smp_parallel ? 0 : 5000;

    if (lock_xadd(&b->count, 1) + 1 == b->n) {
        b->count = 0;
        b->phase = phase + 1;
    } else {
        while (b->phase == phase)
            smp_spin(&spins);
    }
}

#define EXCHANGES 16u
static volatile u32 ping[16] __attribute__((aligned(64))), pong[16] __attribute__((aligned(64)));
static u32 meeting_us = 6000000; /* left for all meetings of the program */

/* Processor 0: waits for the answer; false when it is too late. */
static bool answered(u32 number, u64 end)
{
    u32 spins = 0;
    while (pong[0] != number) {
        if (tsc() > end)
            return false;
        smp_spin(&spins);
    }
    return true;
}

static void ask(void)
{
    u64 begin = tsc(), end = begin + (u64)meeting_us * smp_tsc_per_us;
    u32 number = ping[0], limit = smp_tsc_per_us * (smp_few ? 200 : 50);

    while (tsc() < end) {
        u64 start = tsc();
        for (u32 i = 0; i < EXCHANGES && answered(number, end); i++)
            ping[0] = ++number;
        if (tsc() - start < limit)
            break;
    }
    u32 used = (u32)((tsc() - begin) >> 8) / smp_tsc_per_us * 256;
    meeting_us -= used < meeting_us ? used : meeting_us;
    ping[0] = 0x80000000; /* go */
}

static void answer(void)
{
    u32 spins = 0, last = ping[0];

    while (!(ping[0] >> 31)) {
        if (ping[0] != last)
            spins = 0;
        last = pong[0] = ping[0];
        smp_spin(&spins);
    }
}

void smp_meet(struct smp_barrier *b)
{
    u32 me = smp_me();

    if (!me)
        ping[0] = 1;
    smp_barrier(b);
    if (smp_parallel && me == 0)
        ask();
    else if (smp_parallel && me == 1)
        answer();
}

/* ---- work ---- */

static void enable_apic(u32 index)
{
    apic_set(0xf0, 0x100 | SMP_SPURIOUS);
    apic_set(0x80, 0);
    smp_cpu[index].apic_id = apic_get(0x20) >> 24;
}

/* Work that came before HLT has its interrupt pending: STI lets it in only behind HLT. */
void smp_main(u32 index)
{
    struct smp_cpu *me = &smp_cpu[index];

    __asm__ volatile("ltr %w0" : : "r"(SEL_SMP_TSS + 8 * index));
    load_gates();
    enable_apic(index);
    lock_xadd(&ready, 1);
    for (;;) {
        irq_off();
        if (me->work) {
            me->work(me->arg);
            me->work = NULL;
        } else {
            __asm__ volatile("sti; hlt" : : : "memory");
        }
    }
}

void smp_run_on(u32 n, smp_work *work, void *arg)
{
    smp_cpu[n].arg = arg;
    smp_cpu[n].work = work;
    smp_ipi(n, SMP_WAKE);
}

void smp_wait(u32 n)
{
    u64 end = smp_in(60000);

    while (smp_cpu[n].work) {
        if (tsc() > end) {
            print("FAIL %s: processor %d does not finish its work at %x\n", program_name, n,
                  (u32)smp_cpu[n].work);
            check("finished", 0, 1);
            finish();
        }
        pause();
    }
}

void smp_run_all(u32 count, smp_work *work, void *args, size_t size)
{
    for (u32 n = 1; n < count; n++)
        smp_run_on(n, work, (u8 *)args + n * size);
    work(args);
    for (u32 n = 1; n < count; n++)
        smp_wait(n);
}

/* ---- start ---- */

static bool word_in(const char *line, const char *word, size_t n, u32 *digit)
{
    for (; *line; line++) {
        if (!memcmp(line, word, n)) {
            *digit = line[n] - '0';
            return true;
        }
    }
    return false;
}

void smp_start(const char *line)
{
    u32 expected = 1, unused;
    u64 end;

    if (!word_in(line, "cpus=", 5, &expected))
        print("no cpus=N on the command line: whoever comes within a second\n");
    smp_few = word_in(line, "few", 3, &unused);
    smp_parallel = !word_in(line, "single", 6, &unused);
    for (u32 i = 1; i < SMP_MAX; i++)
        gdt_set(SEL_SMP_TSS + 8 * i, desc((u32)tss_of[i], sizeof tss_of[i] - 1, 0x89, 0));
    memcpy((void *)at(LOW_SMP), smp_blob, smp_blob_end - smp_blob);
    build_gates();
    load_gates();
    measure_tsc();
    enable_apic(0);
    smp_icr(0, 0xc4500); /* INIT, then SIPI twice, to all but oneself */
    smp_delay(10000);
    for (int i = 0; i < 2; i++) {
        smp_icr(0, 0xc4600 | LOW_SMP >> 12);
        smp_delay(200);
    }
    end = smp_in(expected > 1 ? 20000 : 1000);
    while (ready < expected + (expected == 1) * SMP_MAX && tsc() < end)
        pause();
    smp_delay(1000);
    smp_count = ready;
    if (expected > 1 && !check("processors started", ready, expected))
        finish();
}
