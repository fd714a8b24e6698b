/* Several processors: each comes up, has its own registers, tables and interrupts, runs 32-bit and 64-bit
 * code, and passes barriers (SDM volume 3, 9.4). */
#include "smp.h"

const char program_name[] = "smp_boot";

static struct smp_barrier gate;
static volatile u32 shared;
static struct place {
    u32 me, apic_id, cpuid, cr0, cr3, flags, esp, r64, caught, cr2, error, rounds;
} places[SMP_MAX];

CODE64(double64, "lea rax, [rdi + rdi]; movabs r8, 0x100000000; add rax, r8; sub rax, r8; ret");
CODE64(fault64, "mov eax, [rdi]; ret");

static void look(void *arg)
{
    struct place *p = arg;
    u32 a = 1, b, flags;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b) : : "ecx", "edx");
    __asm__ volatile("pushfl; popl %0" : "=r"(flags));
    __asm__ volatile("movl %%esp, %0" : "=r"(p->esp));
    p->me = smp_me();
    p->cpuid = b >> 24;
    p->apic_id = apic_get(0x20) >> 24;
    p->cr0 = cr0_get();
    p->flags = flags;
    p->r64 = smp_call64(double64, 0x1000 + p->me, 0, 0, 0);
    p->caught = SMP_TRY("ud2");
}

static void registers(void)
{
    u64 ids = 0;

    group("each processor");
    smp_run_all(smp_count, look, places, sizeof places[0]);
    for (u32 i = 0; i < smp_count; i++) {
        struct place *p = &places[i];
        check(LABEL(i), p->me, i);
        check("cpuid and apic agree", p->cpuid, p->apic_id);
        check("only one has this id", ids >> (p->apic_id & 63) & 1, 0);
        ids |= 1ull << (p->apic_id & 63);
        check("caches on, protected, no paging", p->cr0 & 0xe0000001, 1);
        check("64-bit code", p->r64, 2 * (0x1000 + i));
        check("its own #UD", p->caught, 6);
        if (i)
            check("own stack", p->esp - places[i - 1].esp + SMP_STACK / 2 > SMP_STACK, 1);
    }
}

/* Own control registers and debug registers: all write their own, then all read. */
static void own(void *arg)
{
    struct place *p = arg;

    __asm__ volatile("mov %0, %%cr2" : : "r"(0x1000 * (smp_me() + 1)));
    cr3_set(0x100000 * (smp_me() + 1));
    dr_set(0, 0x123 + smp_me());
    smp_barrier(&gate);
    p->cr2 = cr2_get();
    p->cr3 = cr3_get();
    p->error = dr_get(0);
    dr_set(0, 0);
}

static void separate(void)
{
    group("own registers");
    gate.n = smp_count;
    smp_run_all(smp_count, own, places, sizeof places[0]);
    for (u32 i = 0; i < smp_count; i++) {
        check(LABEL(i), places[i].cr2, 0x1000 * (i + 1));
        check("cr3", places[i].cr3, 0x100000 * (i + 1));
        check("dr0", places[i].error, 0x123 + i);
    }
}

/* Everybody adds to a number between two barriers; between the same two nobody may see another's next
 * round. */
static void meet(void *arg)
{
    struct place *p = arg;
    u32 wrong = 0, rounds = smp_few || !smp_parallel ? 50 : 500;

    for (u32 i = 0; i < rounds; i++) {
        lock_xadd(&shared, 1);
        smp_barrier(&gate);
        wrong += shared != (i + 1) * smp_count;
        smp_barrier(&gate);
    }
    p->rounds = wrong;
}

static void barriers(void)
{
    group("barriers");
    shared = 0;
    smp_run_all(smp_count, meet, places, sizeof places[0]);
    for (u32 i = 0; i < smp_count; i++)
        check(LABEL(i), places[i].rounds, 0);
}

#define VECTOR 0x61

static void listen(void *arg)
{
    struct place *p = arg;
    u64 end = smp_in(20000);

    irq_on();
    lock_xadd(&shared, 1);
    while (smp_cpu[smp_me()].received[VECTOR] < 1 && tsc() < end)
        pause();
    irq_off();
    p->rounds = smp_cpu[smp_me()].received[VECTOR];
}

static void wait_listeners(void)
{
    u64 end = smp_in(20000);
    while (shared < smp_count - 1 && tsc() < end)
        pause();
}

/* An interrupt reaches the processor it names, and no other. */
static void interrupts(void)
{
    group("interprocessor interrupts");
    for (u32 i = 1; i < smp_count; i++) {
        u64 end = smp_in(20000);
        smp_ipi(i, VECTOR + i); /* to one that halts */
        while (!smp_cpu[i].received[VECTOR + i] && tsc() < end)
            pause();
        for (u32 j = 0; j < smp_count; j++)
            check(LABEL(i, j), smp_cpu[j].received[VECTOR + i], i == j);
    }
    shared = 0;
    for (u32 i = 1; i < smp_count; i++)
        smp_run_on(i, listen, &places[i]);
    wait_listeners();
    smp_icr(0, 0xc4000 | VECTOR);
    for (u32 i = 1; i < smp_count; i++) {
        smp_wait(i);
        check("to all but oneself", places[i].rounds, 1);
    }
    check("oneself", smp_cpu[0].received[VECTOR], 0);
}

/* A page fault in 64-bit code goes to the processor that has it. */
static void fault(void *arg)
{
    struct place *p = arg;
    struct smp_cpu *me = &smp_cpu[smp_me()];

    me->caught = NOT_CAUGHT;
    me->recover = (u32)double64; /* the rest of the call: it returns */
    smp_call64(fault64, WINDOW + 0x1234 + 0x1000 * smp_me(), 0, 0, 0);
    p->caught = me->caught;
    p->cr2 = me->cr2;
    p->error = me->error;
}

static void faults(void)
{
    group("page faults in 64-bit code");
    smp_run_all(smp_count, fault, places, sizeof places[0]);
    for (u32 i = 0; i < smp_count; i++) {
        check(LABEL(i), places[i].caught, 14);
        check("cr2", places[i].cr2, WINDOW + 0x1234 + 0x1000 * i);
        check("error code", places[i].error, 0);
    }
}

void program(const char *line)
{
    smp_start(line);
    registers();
    separate();
    barriers();
    interrupts();
    faults();
}
