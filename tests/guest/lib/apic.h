/* The local APIC of the processor that runs this, in either mode and wherever its page is, messages between
 * processors, and interrupts counted by processor and vector (SDM volume 3, chapter 11). */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "smp.h"

#define MSR_APIC_BASE 0x1bu
#define APIC_ON 0x800u
#define APIC_X2 0x400u
#define NMI 2u
#define MARK 0x21u /* of the lowest priority: who took it has taken everything else before */

/* Delivery modes and destinations, as in the lower half of the ICR; level assert. */
enum { FIXED = 0x4000, LOWEST = 0x4100, SEND_NMI = 0x4400, SEND_INIT = 0x4500, SEND_SIPI = 0x4600 };
enum { LOGICAL = 0x800, TO_SELF = 0x40000, TO_ALL = 0x80000, TO_OTHERS = 0xc0000 };
enum {
    REG_ID = 0x20, REG_TPR = 0x80, REG_PPR = 0xa0, REG_EOI = 0xb0, REG_LDR = 0xd0, REG_DFR = 0xe0,
    REG_SVR = 0xf0, REG_ISR = 0x100, REG_TMR = 0x180, REG_IRR = 0x200, REG_ESR = 0x280, REG_ICR = 0x300,
    REG_ICR_HIGH = 0x310,
    REG_LVT = 0x320, REG_LINT0 = 0x350, REG_LINT1 = 0x360, REG_INITIAL = 0x380, REG_CURRENT = 0x390,
    REG_DIVIDE = 0x3e0
};
#define LVT_MASK 0x10000u

static volatile u32 got[SMP_MAX][256]; /* interrupts that count() took */

static inline bool apic_is_x2(void) { return msr_get(MSR_APIC_BASE) & APIC_X2; }
static inline u32 apic_page(void) { return (u32)msr_get(MSR_APIC_BASE) & ~0xfffu; }
static inline u32 reg_get(u32 reg)
{
    return apic_is_x2() ? (u32)msr_get(0x800 + reg / 16) : peek32(apic_page() + reg);
}
static inline void reg_set(u32 reg, u32 v)
{
    if (apic_is_x2())
        msr_set(0x800 + reg / 16, v);
    else
        poke32(apic_page() + reg, v);
}
/* A vector in one of the sets ISR, TMR, IRR. */
static inline u32 reg_bit(u32 set, u32 vector)
{
    return reg_get(set + vector / 32 * 16) >> (vector & 31) & 1;
}

/* Any message; `dest` has 8 bits in xAPIC mode. */
static inline void send(u32 dest, u32 low)
{
    u32 flags;
    __asm__ volatile("pushfl; popl %0; cli" : "=r"(flags) : : "memory"); /* a handler may send, too */
    if (apic_is_x2()) {
        __asm__ volatile("mfence" : : : "memory"); /* that WRMSR does not overtake stores: 11.12.3 */
        msr_set(0x830, (u64)dest << 32 | low);
    } else {
        while (reg_get(REG_ICR) & 0x1000)
            pause();
        reg_set(REG_ICR_HIGH, dest << 24);
        reg_set(REG_ICR, low);
        while (reg_get(REG_ICR) & 0x1000)
            pause();
    }
    __asm__ volatile("pushl %0; popfl" : : "r"(flags) : "memory", "cc");
}
static inline void send_to(u32 n, u32 low) { send(smp_cpu[n].apic_id, low); }

static inline void count(u32 vector, u32 error, u64 *ip)
{
    (void)error, (void)ip;
    got[smp_me()][vector]++;
    if (vector != NMI && vector != SMP_SPURIOUS)
        reg_set(REG_EOI, 0);
}

/* count() becomes the handler of all interrupts and of NMIs of all processors. */
static inline void count_all(void)
{
    for (u32 n = 0; n < SMP_MAX; n++) {
        smp_cpu[n].handler[NMI] = count;
        for (u32 v = 32; v < 256; v++)
            smp_cpu[n].handler[v] = count;
    }
}

/* Waits, at most long enough to know that it will not be. */
static inline bool until(const volatile u32 *p, u32 at_least)
{
    u64 end = smp_in(20000);
    while ((int)(*p - at_least) < 0 && tsc() < end)
        pause();
    return (int)(*p - at_least) >= 0;
}

/* Like smp_run_on() and smp_wait(), in whatever mode the APICs are; processor 0 does it itself. */
static inline void run(u32 n, smp_work *work, void *arg)
{
    if (!n) {
        work(arg);
        return;
    }
    smp_cpu[n].arg = arg;
    smp_cpu[n].work = work;
    send_to(n, FIXED | SMP_WAKE);
}
static inline void run_wait(u32 n, smp_work *work, void *arg)
{
    run(n, work, arg);
    if (n)
        smp_wait(n);
}

/* On processor 0, the others idle: all have taken what was sent to them. */
static inline bool settle(void)
{
    u32 want[SMP_MAX];
    bool all = true;

    for (u32 n = 0; n < smp_count; n++) {
        want[n] = got[n][MARK] + 1;
        send_to(n, FIXED | MARK);
    }
    irq_on();
    for (u32 n = 0; n < smp_count; n++)
        all &= until(&got[n][MARK], want[n]);
    irq_off();
    return check("all are there", all, 1);
}

/* Who has taken `vector` since the last look: bit n once, bit n + 16 more often. */
static inline u32 takers(u32 vector)
{
    u32 mask = 0;
    for (u32 n = 0; n < smp_count; n++) {
        mask |= !got[n][vector] ? 0 : got[n][vector] == 1 ? 1u << n : 1u << (n + 16);
        got[n][vector] = 0;
    }
    return mask;
}

#endif
