/* Loops that never end on some processors, in a page that another one exchanges under them, or whose code it or a device
 * writes: after the shootdown that SDM volume 3, 4.10.5 prescribes only the new code runs; what is stored into code is
 * seen in the end without it (9.1.3). */
#include "smp.h"
#include "dma.h"

const char program_name[] = "smp_remap";

#define WIN 0x08000000u    /* two pages; the caller's and what is exchanged */
#define FRAME 0x01000000u  /* the caller's, then two for the other page */
#define FRAME_OF(n) (FRAME + 0x1000 + 0x1000 * ((n) & 1))
#define SHOT 0x62

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

/* ---- the loops ---- */

/* What a processor tells, at EDI in its loop. A cache line each. */
static volatile struct told { u32 value, turns, esp, fill[13]; } told[SMP_MAX] __attribute__((aligned(64)));

extern const u8 loop_direct[], loop_direct_value[], loop_indirect[], loop_indirect_value[], loop_called[],
    loop_called_value[], loop_called_end[], caller[], caller_end[];
void loop_enter(volatile struct told *t, u32 entry, u32 target);
extern u8 loop_exit[];

/* In each: mov eax, value; mov [edi], eax; inc dword ptr [edi+4]. */
#define BODY(name) #name ": movl $0, %eax\n .set " #name "_value, . - 4\n movl %eax, (%edi)\n incl 4(%edi)\n"
__asm__(".pushsection .text\n.balign 64\n" BODY(loop_direct) " jmp loop_direct\n"
        ".balign 64\n" BODY(loop_indirect) " jmp *%esi\n"
        ".balign 64\n" BODY(loop_called) " ret\nloop_called_end:\n"
        "caller: call *%esi\n jmp caller\ncaller_end:\n"
        ".globl loop_direct_value, loop_indirect_value, loop_called_value\n"
        "loop_enter: pushal\n movl 36(%esp), %edi\n movl 40(%esp), %eax\n movl 44(%esp), %esi\n movl %esp, 8(%edi)\n"
        " sti\n jmp *%eax\nloop_exit: cli\n movl 8(%edi), %esp\n popal\n ret\n.popsection\n");

static const struct kind {
    const char *name;
    const u8 *code, *value;
    u32 length;
    bool called;
} kinds[] = {
    { "jumps to itself", loop_direct, loop_direct_value, 0x40, false },
    { "jumps by a register", loop_indirect, loop_indirect_value, 0x40, false },
    { "called from another page", loop_called, loop_called_value, 0x20, true },
};
static const struct kind *kind;

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

/* Where the loop's constant is in physical memory: it lies aligned, so that it changes at once. */
static u32 entry_offset(void) { return 0x100 + (3 & -(u32)(kind->value - kind->code)); }
static u32 value_at(u32 n) { return FRAME_OF(n) + entry_offset() + (u32)(kind->value - kind->code); }

static void run_loop(void *arg)
{
    u32 target = WIN + 0x1000 + entry_offset();

    paging_on();
    loop_enter(arg, kind->called ? WIN : target, target);
    paging_off();
}

/* ---- shooting ---- */

static volatile u32 acknowledged;
static volatile bool over, by_cr3;

static void on_shot(u32 vector, u32 error, u64 *ip)
{
    (void)vector, (void)error;
    if (over)
        *ip = (u32)loop_exit;
    else if (by_cr3)
        cr3_set(cr3_get());
    else
        __asm__ volatile("invlpg (%0)" : : "r"(WIN + 0x1000) : "memory");
    lock_xadd(&acknowledged, 1);
    smp_eoi();
}

static bool shoot(void)
{
    u64 end = smp_in(20000);
    u32 spins = 0;

    acknowledged = 0;
    for (u32 n = 1; n < smp_count; n++)
        smp_ipi(n, SHOT);
    while (acknowledged < smp_count - 1 && tsc() < end)
        smp_spin(&spins);
    return acknowledged == smp_count - 1;
}

/* Each has gone around twice, or is late. */
static bool all_go_around(void)
{
    u64 end = smp_in(20000);
    u32 spins = 0;

    for (u32 n = 1; n < smp_count; n++)
        for (u32 from = told[n].turns; told[n].turns - from < 2; smp_spin(&spins))
            if (tsc() > end)
                return false;
    return true;
}

static u32 others_than(u32 value)
{
    u32 count = 0;
    for (u32 n = 1; n < smp_count; n++)
        count += told[n].value != value;
    return count;
}

static void begin(const struct kind *k)
{
    kind = k;
    over = false;
    memcpy((void *)at(FRAME), caller, caller_end - caller);
    for (u32 n = 0; n < 2; n++) {
        memcpy((void *)at(FRAME_OF(n) + entry_offset()), k->code, k->length);
        poke32(value_at(n), n);
    }
    table[0] = FRAME | 3;
    table[1] = FRAME_OF(0) | 3;
    for (u32 n = 1; n < smp_count; n++) {
        told[n].value = told[n].turns = 0;
        smp_run_on(n, run_loop, (void *)&told[n]);
    }
}

static void end(void)
{
    over = true;
    check("the last interrupts", shoot(), 1);
    for (u32 n = 1; n < smp_count; n++)
        smp_wait(n);
}

static u64 bound(void) { return smp_in(smp_few ? 300 : 600); }

/* In every second round the frame that has gone gets another constant, which nobody must see. */
static void exchange(const struct kind *k, bool cr3)
{
    u32 old = 0, lost = 0, stuck = 0, round = 1;
    u64 last = bound();

    group(k->name);
    begin(k);
    by_cr3 = cr3;
    stuck += !all_go_around();
    for (; round < 4 || (tsc() < last && round < 3000 && !stuck && !lost); round++) {
        poke32(value_at(round), round);
        table[1] = FRAME_OF(round) | 3;
        lost += !shoot();
        if (round & 2)
            poke32(value_at(round + 1), 0xdead0000 + round);
        for (u32 i = 0; i < 2; i++) {
            stuck += !all_go_around();
            old += others_than(round);
        }
    }
    end();
    print("%s: exchanged %d times by %s\n", k->name, round - 1, cr3 ? "cr3" : "invlpg");
    check("interrupts lost", lost, 0);
    check("stands still", stuck, 0);
    check("old code", old, 0);
}

/* ---- writing ---- */

static const u32 values[] = { 0x11111111, 0x22222222, 0x93939393, 0xffffffff, 0x12345678, 0, 0x80000000, 77 };

static bool all_tell(u32 value)
{
    u64 end = smp_in(20000);
    u32 spins = 0;

    for (u32 n = 1; n < smp_count; n++)
        for (; told[n].value != value; smp_spin(&spins))
            if (tsc() > end)
                return false;
    return true;
}

/* By the device, and in turn with it by this processor. */
static void written(const struct kind *k, bool stores_too)
{
    u32 never = 0, round = 0;
    u64 last = bound();

    group(k->name);
    begin(k);
    for (; round < 4 || (tsc() < last && round < 2000 && !never); round++) {
        const u32 *value = &values[round % (sizeof values / 4)];
        if (!dma_copy(value_at(0), value, 4))
            never++;
        never += !all_tell(*value);
        if (stores_too) {
            poke32(value_at(0), round);
            never += !all_tell(round);
        }
    }
    end();
    print("%s: written %d times\n", k->name, round);
    check(stores_too ? "by device and processor" : "by the device", never, 0);
}

void program(const char *line)
{
    smp_start(line);
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x83;
    dir[SMP_APIC >> 22] = (SMP_APIC & 0xffc00000) | 0x93;
    dir[WIN >> 22] = (u32)table | 3;
    for (u32 n = 1; n < smp_count; n++)
        smp_cpu[n].handler[SHOT] = on_shot;
    for (u32 i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        exchange(&kinds[i], false);
        exchange(&kinds[i], true);
        written(&kinds[i], false);
        written(&kinds[i], true);
    }
}
