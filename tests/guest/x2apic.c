/* The local APIC by MSR: modes of IA32_APIC_BASE, x2APIC registers, and the timer's TSC-deadline mode (SDM
 * volume 3, 11.4.4, 11.5.4.1, 11.12). */
#include "guest.h"

const char program_name[] = "x2apic";

#define M_TSC 0x10
#define M_APIC_BASE 0x1b
#define M_TSC_DEADLINE 0x6e0
#define X2(n) (0x800 + (n))
#define APIC 0xfee00000u
#define BSP 0x900
#define VECTOR 0x41 /* not 40h, which ends a snippet */

static u64 tsc(void)
{
    u64 v;
    __asm__ volatile("rdtsc" : "=A"(v));
    return v;
}

/* In x2APIC mode: is `vector` requested? */
static bool requested(u32 vector)
{
    return msr_get(X2(0x20 + vector / 32)) >> (vector & 31) & 1;
}

/* Interrupts stay off: a request is taken by a snippet that turns them on, so that the next can be seen. */
static void take(u32 vector)
{
    T("interrupt", P32, "sti; nop; nop", .vec = INT(0) + vector, .anyip = true);
    msr_set(X2(0x0b), 0);
}

static void base(void)
{
    group("base");
    check("power on", msr_get(M_APIC_BASE), APIC | BSP);
    T("extd alone", P32, "wrmsr", .cx = M_APIC_BASE, .ax = APIC | 0x500, .vec = V_GP);
    T("reserved bit 9", P32, "wrmsr", .cx = M_APIC_BASE, .ax = APIC | BSP | 0x200, .vec = V_GP);
    T("reserved high bits", P32, "wrmsr", .cx = M_APIC_BASE, .ax = APIC | BSP, .dx = 1u << 20, .vec = V_GP);
    T("registers outside the mode", P32, "rdmsr", .cx = X2(2), .vec = V_GP);
    poke32(APIC + 0xf0, 0x1ff);
    poke32(APIC + 0x80, 0x20);
    msr_set(M_APIC_BASE, APIC | BSP | 0x400);
    check("x2apic", msr_get(M_APIC_BASE), APIC | BSP | 0x400);
    check("tpr is kept", msr_get(X2(8)), 0x20);
    check("no page", peek32(APIC + 0x80), 0xffffffff);
    msr_set(X2(8), 0);
    T("back to xapic", P32, "wrmsr", .cx = M_APIC_BASE, .ax = APIC | BSP, .vec = V_GP);
}

static void registers(void)
{
    u32 a, b, c, id;

    group("registers");
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(id) : "a"(0xb), "c"(0));
    check("id as by cpuid", msr_get(X2(2)), id);
    check("ldr", msr_get(X2(0xd)), (u64)(id >> 4) << 16 | 1u << (id & 15));
    check("svr", msr_get(X2(0xf)), 0x1ff);
    T("id is read-only", P32, "wrmsr", .cx = X2(2), .vec = V_GP);
    T("ldr is read-only", P32, "wrmsr", .cx = X2(0xd), .vec = V_GP);
    T("eoi is write-only", P32, "rdmsr", .cx = X2(0xb), .vec = V_GP);
    T("eoi takes 0", P32, "wrmsr", .cx = X2(0xb), .ax = 1, .vec = V_GP);
    T("dfr is none", P32, "rdmsr", .cx = X2(0xe), .vec = V_GP);
    T("no upper icr", P32, "rdmsr", .cx = X2(0x31), .vec = V_GP);
    T("tpr reserved bits", P32, "wrmsr", .cx = X2(8), .ax = 0x100, .vec = V_GP);
    T("upper half", P32, "wrmsr", .cx = X2(8), .dx = 1, .vec = V_GP);
    T("last of the range", P32, "rdmsr", .cx = 0x8ff, .vec = V_GP);
    T("ring 3", P32U, "rdmsr", .cx = X2(2), .vec = V_GP);
    T("tpr is cr8", L64, "mov eax, 5; mov cr8, rax; xor eax, eax; rdmsr; xor ecx, ecx; mov cr8, rcx",
      .cx = X2(8), .x = { { AX, 0x50 } });
}

static void ipis(void)
{
    u64 id = msr_get(X2(2));

    group("messages");
    msr_set(X2(0x30), id << 32 | 0x4000 | VECTOR);
    check("icr", msr_get(X2(0x30)), id << 32 | 0x4000 | VECTOR);
    check("physical", requested(VECTOR), 1);
    take(VECTOR);
    msr_set(X2(0x30), (msr_get(X2(0xd)) << 32) | 0x4800 | VECTOR);
    check("logical", requested(VECTOR), 1);
    take(VECTOR);
    msr_set(X2(0x30), 0xffffffffull << 32 | 0x4000 | VECTOR);
    check("to everybody", requested(VECTOR), 1);
    take(VECTOR);
    msr_set(X2(0x30), (id + 1) << 32 | 0x4000 | VECTOR);
    check("to somebody else", requested(VECTOR), 0);
    msr_set(X2(0x3f), VECTOR);
    check("to oneself", requested(VECTOR), 1);
    take(VECTOR);
}

static void wait_for(u64 until)
{
    while (tsc() < until)
        ;
}

/* The request comes some time of the host after the deadline. */
static bool arrives(u32 vector)
{
    u64 end = tsc() + 1000000000;
    while (!requested(vector))
        if (tsc() > end)
            return false;
    return true;
}

static void deadline(void)
{
    u64 at;

    group("tsc deadline");
    msr_set(X2(0x32), VECTOR);
    msr_set(M_TSC_DEADLINE, tsc() + 1000);
    check("ignored in another mode", msr_get(M_TSC_DEADLINE), 0);
    msr_set(X2(0x32), 0x40000 | VECTOR);
    msr_set(X2(0x38), 1000);
    check("no initial count", msr_get(X2(0x38)), 0);
    at = tsc() + 20000000;
    msr_set(M_TSC_DEADLINE, at);
    check("armed", msr_get(M_TSC_DEADLINE), at);
    check("no current count", msr_get(X2(0x39)), 0);
    check("arrives", arrives(VECTOR), 1);
    check("not early", tsc() >= at, 1);
    check("reads 0 then", msr_get(M_TSC_DEADLINE), 0);
    take(VECTOR);
    msr_set(M_TSC_DEADLINE, 1);
    check("in the past", arrives(VECTOR), 1);
    take(VECTOR);
    msr_set(M_TSC_DEADLINE, tsc() + 10000000);
    msr_set(M_TSC_DEADLINE, 0);
    wait_for(tsc() + 20000000);
    check("disarmed by 0", requested(VECTOR), 0);
    msr_set(M_TSC_DEADLINE, tsc() + 10000000);
    msr_set(X2(0x32), VECTOR);
    wait_for(tsc() + 20000000);
    check("disarmed by another mode", requested(VECTOR), 0);
    msr_set(X2(0x32), 0x40000 | VECTOR);
    msr_set(M_TSC_DEADLINE, tsc() + 1000000000000ull);
    msr_set(M_TSC, tsc() + 2000000000000ull);
    check("by a move of the counter", arrives(VECTOR), 1);
    take(VECTOR);
    msr_set(X2(0x32), 0x50000 | VECTOR);
    msr_set(M_TSC_DEADLINE, tsc() + 1000000);
    wait_for(tsc() + 20000000);
    check("masked: no request", requested(VECTOR), 0);
    check("masked: fired", msr_get(M_TSC_DEADLINE), 0);
}

static void off(void)
{
    group("off");
    msr_set(M_APIC_BASE, APIC | 0x100);
    check("cpuid", cpu_has(1, 3, 9), 0);
    T("not straight to x2apic", P32, "wrmsr", .cx = M_APIC_BASE, .ax = APIC | BSP | 0x400, .vec = V_GP);
    msr_set(M_APIC_BASE, APIC | BSP);
    check("xapic", peek32(APIC + 0xf0), 0xff);
}

void program(const char *line)
{
    (void)line;
    if (!cpu_has(1, 2, 21) || !cpu_has(1, 2, 24)) {
        check("no x2apic or tsc deadline to test", 0, 1);
        return;
    }
    base();
    registers();
    ipis();
    deadline();
    off();
}
