/* INIT and start-up messages: where and with what state a processor starts, what INIT keeps, who ignores
 * which of them; identities; the time-stamp counters agree (SDM volume 3, 9.4, table 10-1, 11.4.7.3,
 * 11.12.5.1, 18.17). */
#include "apic.h"

const char program_name[] = "smp_start";

/* ---- what a processor executes in real mode ---- */

/* A page that a start-up message can name: the code, what the processor found, and what it is to do. */
#define PAGE_A 0x50000u
#define PAGE_B 0x51000u
#define PAGE_C 0x9e000u
#define STARTED(page) ((volatile struct started *)at((page) + 0x400))
struct started {
    u32 gpr[8], cr0, cr2, cr3, cr4, flags, dr[6], cs, ss, ds, es, fs, gs, pad;
    u64 gdtr, idtr, tsc, apic_base, efer;
    u32 xcr0, pad2[3];
    u32 command, counter, arrived, nmis, ints, xsave, pad3[18];
    u8 fx[512];
    u32 reg[64];  /* of the local APIC, by number */
    u16 list[64]; /* these numbers are read; ends in 0 */
};
_Static_assert(offsetof(struct started, gdtr) == 0x68 && offsetof(struct started, command) == 0xa0, "below");
_Static_assert(offsetof(struct started, fx) == 0x100 && offsetof(struct started, reg) == 0x300, "below");
enum command { SPIN, HLT_OFF, HLT_ON };

extern u8 start_code[], start_nmi[], start_int[], start_end[];
__asm__(".pushsection .data\n.intel_syntax noprefix\n.code16\nstart_code:\n"
        "mov cs:[0x400], eax; mov cs:[0x404], ecx; mov cs:[0x408], edx; mov cs:[0x40c], ebx\n"
        "mov cs:[0x410], esp; mov cs:[0x414], ebp; mov cs:[0x418], esi; mov cs:[0x41c], edi\n"
        "mov cs:[0x44c], cs; mov cs:[0x450], ss; mov cs:[0x454], ds; mov cs:[0x458], es; mov cs:[0x45c], fs\n"
        "mov cs:[0x460], gs; mov ax, cs; mov ss, ax; mov sp, 0xff0; pushfd; pop eax; mov cs:[0x430], eax\n"
        "rdtsc; mov cs:[0x478], eax; mov cs:[0x47c], edx\n"
        "mov eax, cr0; mov cs:[0x420], eax; mov eax, cr2; mov cs:[0x424], eax\n"
        "mov eax, cr3; mov cs:[0x428], eax; mov eax, cr4; mov cs:[0x42c], eax\n"
        "mov eax, dr0; mov cs:[0x434], eax; mov eax, dr1; mov cs:[0x438], eax\n"
        "mov eax, dr2; mov cs:[0x43c], eax; mov eax, dr3; mov cs:[0x440], eax\n"
        "mov eax, dr6; mov cs:[0x444], eax; mov eax, dr7; mov cs:[0x448], eax\n"
        "data32 sgdt cs:[0x468]; data32 sidt cs:[0x470]\n"
        "mov ecx, 0x1b; rdmsr; mov cs:[0x480], eax; mov cs:[0x484], edx\n"
        "mov ecx, 0xc0000080; rdmsr; mov cs:[0x488], eax; mov cs:[0x48c], edx\n"
        "mov eax, 0x600; cmp dword ptr cs:[0x4b4], 0; je 1f; or eax, 0x40000\n"
        "1: mov cr4, eax; fxsave cs:[0x500]; test eax, 0x40000; jz 1f\n"
        "xor ecx, ecx; xgetbv; mov cs:[0x490], eax\n"
        /* a flat data segment in FS */
        "1: xor ax, ax; mov ds, ax; data32 lgdt [0x7230]; mov eax, cr0; mov edx, eax; or al, 1\n"
        "mov cr0, eax; mov bx, 0x10; mov fs, bx; mov cr0, edx; jmp 1f\n"
        "1: mov si, 0x800\n"
        "1: movzx ecx, word ptr cs:[si]; test cx, cx; jz 3f; add si, 2; mov edi, ecx\n"
        "test dword ptr cs:[0x480], 0x400; jnz 2f\n"
        "mov ebx, cs:[0x480]; and ebx, 0xfffff000; shl ecx, 4; mov eax, fs:[ebx + ecx]\n"
        "mov cs:[edi * 4 + 0x700], eax; jmp 1b\n"
        "2: add ecx, 0x800; rdmsr; mov cs:[edi * 4 + 0x700], eax; jmp 1b\n"
        /* back to xAPIC mode */
        "3: test dword ptr cs:[0x480], 0x400; jz 4f\n"
        "mov ecx, 0x1b; mov eax, 0xfee00000; xor edx, edx; wrmsr; mov eax, 0xfee00800; wrmsr\n"
        "4: lock inc dword ptr cs:[0x4a8]\n"
        "cmp dword ptr cs:[0x4a0], 1; je 5f; ja 6f\n"
        "1: lock inc dword ptr cs:[0x4a4]; pause; jmp 1b\n"
        "5: lock inc dword ptr cs:[0x4a4]; hlt; jmp 5b\n"
        "6: mov ebx, 0xfee00000; mov dword ptr fs:[ebx + 0xf0], 0x1ff\n"
        "7: lock inc dword ptr cs:[0x4a4]; sti; hlt; jmp 7b\n"
        "start_nmi: lock inc dword ptr cs:[0x4ac]; iret\n"
        "start_int: mov dword ptr fs:[ebx + 0xb0], 0; lock inc dword ptr cs:[0x4b0]; iret\n"
        "start_end:\n.code32\n.att_syntax prefix\n.popsection");
_Static_assert(LOW_GDTR == 0x7230 && SEL_DS == 0x10, "the code above");

#define VECTOR 0x71u

static const u16 xapic_list[] = {
    0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19,
    0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x30, 0x31, 0x32,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3e, 0
};

/* NMIs and VECTOR lead to this page, too. Somebody may still be running there. */
static void prepare(u32 page, enum command command)
{
    volatile struct started *s = STARTED(page);

    memset((void *)s, 0, sizeof *s);
    if (memcmp((void *)at(page), start_code, start_end - start_code))
        memcpy((void *)at(page), start_code, start_end - start_code);
    memcpy((void *)s->list, xapic_list, sizeof xapic_list);
    s->command = command;
    s->xsave = cpu_has(1, 2, 26);
    poke32(4 * NMI, page << 12 | (start_nmi - start_code));
    poke32(4 * VECTOR, page << 12 | (start_int - start_code));
}

static void init(u32 n)
{
    send_to(n, SEND_INIT);
}

static void sipi(u32 n, u32 page)
{
    send_to(n, SEND_SIPI | page >> 12);
}

/* At `page`; has it arrived there? */
static bool start(u32 n, u32 page)
{
    init(n);
    sipi(n, page);
    return until(&STARTED(page)->arrived, 1);
}

/* ---- back to the rest of the program ---- */

extern volatile u32 smp_arrived;
static volatile u32 alive;

static void say_alive(void *arg)
{
    (void)arg;
    alive = 1;
}

/* Processor n starts like the first time, with its old number, and does this work. */
static void start_to_work(u32 n, smp_work *work)
{
    smp_cpu[n].work = work;
    smp_arrived = n;
    gdt[(SEL_SMP_TSS + 8 * n) / 8] &= ~(2ull << 40); /* not busy */
    init(n);
    sipi(n, LOW_SMP);
}

static void bring_back(u32 n)
{
    alive = 0;
    start_to_work(n, say_alive);
    if (!check("comes back", until(&alive, 1), 1))
        finish();
    smp_wait(n);
}

/* ---- its state ---- */

enum before { SPIN_ON, SPIN_OFF, HALT_ON, HALT_OFF, IN_NMI, IN_HANDLER, IN_LONG_MODE, CACHE_OFF, APIC_WRITES,
              BEFORES };
static volatile u32 step;
static struct fill { u64 xmm[2], ymm[4]; u32 mxcsr, pad; double pi; } fill __attribute__((aligned(16)));

static const struct { u32 msr; u64 value; } msrs[] = {
    { 0x174, 0x1234 }, { 0x175, 0x12345678 }, { 0x176, 0x87654321 }, { 0x277, 0x0007040600070405 },
    { 0x20e, 0x40000006 }, { 0x20f, 0xffff000800 }, { 0xc0000081, 0x0123456789abcdef },
    { 0xc0000082, 0x1122334455 }, { 0xc0000083, 0x66778899 }, { 0xc0000084, 0x47700 },
    { 0xc0000102, 0xabcdef }, { 0xc0000103, 0x5a5a },
};
#define NUM_MSRS (sizeof msrs / sizeof msrs[0])
static u64 msrs_now[NUM_MSRS], old_msrs[NUM_MSRS];

CODE64(spin64, "mov dword ptr [rdi], 1; mov r9, -1; 1: pause; jmp 1b");

static void stay(u32 vector, u32 error, u64 *ip)
{
    (void)vector, (void)error, (void)ip;
    step = 2;
    for (;;)
        pause();
}

static void fill_apic(void)
{
    reg_set(REG_TPR, 0x30);
    reg_set(REG_LDR, 0x80000000);
    reg_set(REG_DFR, 0x0fffffff);
    for (u32 lvt = REG_LVT; lvt <= 0x370; lvt += 16)
        if (lvt != 0x330)
            reg_set(lvt, lvt == REG_LVT ? 0x300e1 : LVT_MASK | 0x30 | lvt >> 4);
    reg_set(REG_DIVIDE, 3);
    reg_set(REG_INITIAL, 100000000);
    send_to(smp_me(), FIXED | 0x29); /* waits behind TPR */
}

static void fill_registers(void)
{
    for (u32 i = 0; i < NUM_MSRS; i++) {
        old_msrs[i] = msr_get(msrs[i].msr);
        msr_set(msrs[i].msr, msrs[i].value);
    }
    cr4_set(cr4_get() | 0x600);
    __asm__ volatile("mov %0, %%cr2; mov %0, %%cr3" : : "r"(0x345000) : "memory");
    fill.xmm[0] = 0x0123456789abcdef;
    fill.xmm[1] = 0xfedcba9876543210;
    fill.mxcsr = 0x5fa1;
    __asm__ volatile("fninit; fldpi; fld1; fldcw %0" : : "m"((const u16){ 0x0a7f }));
    __asm__ volatile("ldmxcsr %0; movups %1, %%xmm3" : : "m"(fill.mxcsr), "m"(fill.xmm));
    if (cpu_has(1, 2, 28)) {
        cr4_set(cr4_get() | 0x40000);
        __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
        __asm__ volatile("vbroadcastf128 %0, %%ymm5" : : "m"(fill.xmm));
    }
    dr_set(0, 0x123456);
    dr_set(1, 0x223456);
    dr_set(2, 0x323456);
    dr_set(3, 0x423456);
    dr_set(6, 0xffff0ff1);
    dr_set(7, 0x403);
    gdt_set(SEL_LDT, desc((u32)ldt, sizeof ldt - 1, 0x82, 0));
    __asm__ volatile("lldt %w0" : : "r"(SEL_LDT) : "memory");
}

#define GARBAGE "movl $0x11111111, %%eax; movl %%eax, %%ebx; movl %%eax, %%ecx; movl %%eax, %%edx; " \
                "movl %%eax, %%esi; movl %%eax, %%edi; movl %%eax, %%ebp; stc; std; movl $1, %0\n"
#define FOREVER(text) __asm__ volatile(GARBAGE text : : "m"(step) : "memory", "cc")

static void be(void *arg)
{
    enum before before = *(enum before *)arg;

    fill_apic();
    fill_registers();
    switch (before) {
    case CACHE_OFF:
        cr0_set(cr0_get() | 0x40000000);
        FOREVER("1: pause; jmp 1b");
        break;
    case APIC_WRITES: /* the last before INIT is the last */
        FOREVER("movl $0xfee00000, %%ecx; 1: movl $0x1ff, 0xf0(%%ecx); movl $0x30, 0x80(%%ecx)\n"
                "movl $0x200e1, 0x320(%%ecx); jmp 1b");
        break;
    case SPIN_OFF: FOREVER("1: pause; jmp 1b"); break;
    case HALT_ON: FOREVER("1: sti; hlt; jmp 1b"); break;
    case HALT_OFF: FOREVER("1: hlt; jmp 1b"); break;
    case IN_LONG_MODE: smp_call64(spin64, (u32)&step, 0, 0, 0); break;
    default: FOREVER("sti; cld; 1: pause; jmp 1b"); break; /* stay() is called */
    }
}

static void check_core(const volatile struct started *s, u32 page, enum before before)
{
    static const u32 drs[] = { 0, 0, 0, 0, 0xffff0ff0, 0x400 };
    u32 signature = 1;

    __asm__ volatile("cpuid" : "+a"(signature) : : "ebx", "ecx", "edx");
    for (u32 i = 0; i < 8; i++)
        check(LABEL(before, i), s->gpr[i], i == 2 ? signature : 0);
    check("cs", s->cs & 0xffff, page >> 4);
    check("other segments", s->ss | s->ds | s->es | s->fs | s->gs, 0);
    check("flags", s->flags, 2);
    check("cr0", s->cr0, before == CACHE_OFF ? 0x40000010 : 0x10);
    check("cr2", s->cr2, 0);
    check("cr3", s->cr3, 0);
    check("cr4", s->cr4, 0);
    check("long mode is off", s->efer >> 10 & 1, 0);
    for (u32 i = 0; i < 6; i++)
        check(LABEL(before, 0xd0 + i), s->dr[i], drs[i]);
    check("gdtr", s->gdtr & 0xffffffffffff, 0xffff);
    check("idtr", s->idtr & 0xffffffffffff, 0xffff);
}

static void check_kept(const volatile struct started *s)
{
    static const u8 pi[10] = { 0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40 };
    const u8 *fx = (const u8 *)s->fx;

    check("x87 control word", peek16((u32)fx), 0x0a7f);
    check("x87 status word", peek16((u32)fx + 2), 0x3000);
    check("x87 tags", fx[4], 0xc0);
    check("x87 register", memcmp(fx + 48, pi, 10), 0);
    check("mxcsr", peek32((u32)fx + 24), 0x5fa1);
    check("xmm3", memcmp(fx + 160 + 48, fill.xmm, 16), 0);
    if (cpu_has(1, 2, 28))
        check("xcr0", s->xcr0, 7);
}

/* As after reset, but the ID; what was requested, in service and counting is gone. */
static void check_apic(const volatile struct started *s, u32 n, u64 apic_base)
{
    check("apic base", s->apic_base, apic_base);
    for (const u16 *p = xapic_list; *p; p++) {
        u32 expected = *p >= 0x32 && *p <= 0x37 ? LVT_MASK : 0;
        if (*p == 3)
            continue;
        if (*p == 2)
            expected = smp_cpu[n].apic_id << 24;
        else if (*p == 0x0e || *p == 0x0f)
            expected = *p == 0x0e ? 0xffffffff : 0xff;
        check(LABEL(0xa0000 | *p), s->reg[*p], expected);
    }
}

static void read_kept(void *arg)
{
    (void)arg;
    for (u32 i = 0; i < NUM_MSRS; i++) {
        msrs_now[i] = msr_get(msrs[i].msr);
        msr_set(msrs[i].msr, old_msrs[i]);
    }
    if (cpu_has(1, 2, 28)) {
        cr4_set(cr4_get() | 0x40600);
        __asm__ volatile("vmovups %%ymm5, %0" : "=m"(fill.ymm));
        __asm__ volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
        cr4_set(cr4_get() & ~0x40000u);
    }
}

static void state_after(u32 n, enum before before)
{
    const volatile struct started *s = STARTED(PAGE_A);
    u64 apic_base = SMP_APIC | APIC_ON, from;

    group("state");
    prepare(PAGE_A, SPIN);
    smp_cpu[n].handler[NMI] = before == IN_NMI ? stay : count;
    smp_cpu[n].handler[VECTOR] = before == IN_HANDLER ? stay : count;
    step = 0;
    run(n, be, &before);
    until(&step, 1);
    if (before == IN_NMI)
        send_to(n, SEND_NMI);
    if (before == IN_HANDLER)
        send_to(n, FIXED | VECTOR);
    if (before == IN_NMI || before == IN_HANDLER)
        check("in its handler", until(&step, 2), 1);
    from = tsc();
    check("starts", start(n, PAGE_A), 1);
    check_core(s, PAGE_A, before);
    check_kept(s);
    if (!stand_in) /* its SVR, LVT and DFR survive */
        check_apic(s, n, apic_base);
    check("counter runs on", s->tsc - from < tsc() - from, 1);
    if (before == IN_NMI) {
        u32 nmis = s->nmis;
        send_to(n, SEND_NMI);
        check("nmis are no longer blocked", until(&s->nmis, nmis + 1), 1);
    }
    smp_cpu[n].handler[NMI] = smp_cpu[n].handler[VECTOR] = count;
    bring_back(n);
    run_wait(n, read_kept, NULL);
    for (u32 i = 0; i < NUM_MSRS; i++)
        check(LABEL(msrs[i].msr), msrs_now[i], msrs[i].value);
    if (cpu_has(1, 2, 28))
        check("upper half of ymm5", memcmp(&fill.ymm[2], fill.xmm, 16), 0);
}

/* ---- who starts when ---- */

/* It executes what is at this page. */
static bool runs_at(u32 page)
{
    return until(&STARTED(page)->counter, STARTED(page)->counter + 3);
}

/* Nobody does, any more. */
static bool stands_at(u32 page)
{
    u32 before;
    smp_delay(200);
    before = STARTED(page)->counter;
    smp_delay(1000);
    return STARTED(page)->counter == before;
}

static void addresses(u32 n)
{
    static const u32 pages[] = { PAGE_A, PAGE_B, PAGE_C, 0x5f000, 0x80000 };

    group("start address");
    for (u32 i = 0; i < 5; i++) {
        prepare(pages[i], SPIN);
        check("arrives", start(n, pages[i]), 1);
        check(LABEL(pages[i]), STARTED(pages[i])->cs & 0xffff, pages[i] >> 4);
        check("runs", runs_at(pages[i]), 1);
        if (i)
            check("no longer at the one before", stands_at(pages[i - 1]), 1);
    }
}

/* Only the first message after INIT counts, also when they follow at once. */
static void second_message(u32 n)
{
    u32 turns = smp_few ? 10 : 30, other = 0, second = 0;

    group("second start-up message");
    for (u32 i = 0; i < turns; i++) {
        prepare(PAGE_A, i & 1 ? HLT_OFF : SPIN);
        prepare(PAGE_B, SPIN);
        init(n);
        if (i & 2)
            smp_delay(100);
        sipi(n, PAGE_A);
        if (i & 4)
            until(&STARTED(PAGE_A)->arrived, 1);
        sipi(n, PAGE_B);
        other += !until(&STARTED(PAGE_A)->arrived, 1);
        smp_delay(100);
        second += STARTED(PAGE_B)->arrived;
        if (other)
            break;
    }
    check("it starts where the first says", other, 0);
    check("not where the second says", second, 0);
    check("nor again", STARTED(PAGE_A)->arrived, 1);
}

static void not_waiting(u32 n)
{
    group("start-up message to one that does not wait");
    prepare(PAGE_A, SPIN);
    bring_back(n);
    sipi(n, PAGE_A);
    settle();
    alive = 0;
    run_wait(n, say_alive, NULL);
    check("goes on with its work", alive, 1);
    check("does not start", STARTED(PAGE_A)->arrived, 0);
    sipi(0, PAGE_A);
    check("nor does the sender", STARTED(PAGE_A)->arrived, 0);
}

/* INIT stops it; one that comes behind the start-up message, too. */
static void stops(u32 n)
{
    u32 turns = smp_few ? 4 : 12, runs = 0;

    group("init stops it");
    for (u32 i = 0; i < turns; i++) {
        prepare(PAGE_A, i & 1 ? HLT_ON : SPIN);
        init(n);
        sipi(n, PAGE_A);
        if (i & 2)
            until(&STARTED(PAGE_A)->arrived, 1);
        init(n);
        runs += !stands_at(PAGE_A);
        send_to(n, FIXED | VECTOR);
        smp_delay(100);
        runs += STARTED(PAGE_A)->ints;
    }
    check("runs on", runs, 0);
    group("init level de-assert");
    prepare(PAGE_A, SPIN);
    start(n, PAGE_A);
    send_to(n, 0x8500);
    send(0, 0x8500 | TO_ALL);
    check("has no effect", runs_at(PAGE_A), 1);
}

/* Messages to one that waits for its start: a fixed one has no receiver (the APIC is disabled); whether an
 * NMI is kept is up to the processor, it is not taken before the start. */
static void waiting(u32 n)
{
    volatile struct started *s = STARTED(PAGE_B);

    group("waiting for the start");
    prepare(PAGE_B, HLT_ON);
    init(n);
    send_to(n, SEND_NMI);
    send_to(n, FIXED | VECTOR);
    smp_delay(1000);
    check("does nothing", s->arrived | s->nmis | s->ints | s->counter, 0);
    sipi(n, PAGE_B);
    check("starts", until(&s->counter, 1), 1);
    check("as ever", (s->cs & 0xffff) == PAGE_B >> 4 && s->gpr[4] == 0 && s->flags == 2, 1);
    check("at most one nmi", s->nmis <= 1, 1);
    check("no interrupt", s->ints, 0);
    group("halted in real mode");
    for (u32 i = 1; i <= 5; i++) {
        u32 nmis = s->nmis;
        send_to(n, FIXED | VECTOR);
        check("interrupt", until(&s->ints, i), 1);
        send_to(n, SEND_NMI);
        check("nmi", until(&s->nmis, nmis + 1), 1);
        check("goes on", until(&s->counter, 2), 1);
    }
}

/* In x2APIC mode INIT does not change the mode (11.12.5.1); it comes back in xAPIC mode. */
static void to_x2apic(void *arg)
{
    (void)arg;
    msr_set(MSR_APIC_BASE, msr_get(MSR_APIC_BASE) | APIC_X2);
    msr_set(0x808, 0x30);
}

static void x2apic(u32 n)
{
    static const u16 list[] = { 2, 8, 0xd, 0xf, 0 };
    volatile struct started *s = STARTED(PAGE_A);
    u32 id = smp_cpu[n].apic_id;

    group("init in x2apic mode");
    bring_back(n);
    run_wait(n, to_x2apic, NULL);
    prepare(PAGE_A, SPIN);
    memcpy((void *)s->list, list, sizeof list);
    check("starts", start(n, PAGE_A), 1);
    check("mode", s->apic_base, SMP_APIC | APIC_ON | APIC_X2);
    check("id", s->reg[2], id);
    check("ldr", s->reg[0xd], id >> 4 << 16 | 1u << (id & 15));
    check("tpr", s->reg[8], 0);
    check("svr", s->reg[0xf], 0xff);
    bring_back(n);
}

/* Moved, the page stays where it is. */
static void move_page(void *arg)
{
    (void)arg;
    msr_set(MSR_APIC_BASE, 0xfea00000u | APIC_ON);
}

static void move_back(void *arg)
{
    (void)arg;
    msr_set(MSR_APIC_BASE, SMP_APIC | APIC_ON);
}

static void moved(u32 n)
{
    volatile struct started *s = STARTED(PAGE_A);
    u32 id = smp_cpu[n].apic_id;

    group("init with another apic base");
    run_wait(n, move_page, NULL);
    prepare(PAGE_A, SPIN);
    check("starts", start(n, PAGE_A), 1);
    check("base", s->apic_base, 0xfea00000u | APIC_ON);
    check("id is there", s->reg[2], id << 24);
    start_to_work(n, move_back); /* without its APIC, which it looks for where it was */
    smp_wait(n);
    smp_cpu[n].apic_id = id;
    bring_back(n);
}

/* ---- many ---- */

static volatile u32 stop_load;

static void load(void *arg)
{
    volatile u32 *mine = arg;
    irq_on();
    while (!stop_load) {
        lock_xadd(mine, 1);
        if (!(*mine & 0xff))
            send_to(smp_me() == 1 ? 0 : 1, FIXED | 0x55);
    }
    irq_off();
}

static void all_at_once(void)
{
    volatile struct started *s = STARTED(PAGE_B);

    group("all at once");
    for (u32 i = 0; i < 5; i++) {
        prepare(PAGE_B, i & 1 ? HLT_OFF : SPIN);
        send(0, SEND_INIT | TO_OTHERS);
        send(0, SEND_SIPI | TO_OTHERS | PAGE_B >> 12);
        check("all arrive", until(&s->arrived, smp_count - 1), 1);
        send(0, SEND_SIPI | TO_OTHERS | PAGE_B >> 12);
        smp_delay(100);
        check("once", s->arrived, smp_count - 1);
    }
    for (u32 n = 1; n < smp_count; n++)
        bring_back(n);
    settle();
}

/* One after the other is stopped and started while the others work and send messages. */
static void many(void)
{
    static u32 counters[SMP_MAX];
    u32 late = 0, wrong = 0, rounds = smp_few ? 40 : 100;

    group("many starts");
    for (u32 i = 0; i < rounds; i++) {
        u32 n = i % (smp_count - 1) + 1, page = 0x50000 + (i % 7 << 12);
        stop_load = 0;
        for (u32 k = 1; k < smp_count; k++)
            run(k, load, &counters[k]);
        irq_on();
        prepare(page, i & 1);
        if (i & 2)
            until(&counters[n], counters[n] + 1000);
        late += !start(n, page);
        wrong += (STARTED(page)->cs & 0xffff) != page >> 4 || STARTED(page)->arrived != 1;
        irq_off();
        stop_load = 1;
        for (u32 k = 1; k < smp_count; k++)
            if (k != n)
                smp_wait(k);
        bring_back(n);
    }
    settle();
    check("do not start", late, 0);
    check("start wrong", wrong, 0);
}

/* ---- identity and time ---- */

static struct identity { u32 cpuid, cpuid_b, apic; u64 base; } ids[SMP_MAX];

static void identify(void *arg)
{
    struct identity *id = arg;
    u32 a = 1, b, c, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    id->cpuid = b >> 24;
    a = 0xb;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    id->cpuid_b = d;
    id->apic = reg_get(REG_ID) >> 24;
    id->base = msr_get(MSR_APIC_BASE);
}

static void identities(void)
{
    group("identity");
    for (u32 n = 0; n < smp_count; n++) {
        run_wait(n, identify, &ids[n]);
        check(LABEL(n), ids[n].apic, smp_cpu[n].apic_id);
        check("cpuid leaf 1", ids[n].cpuid, ids[n].apic);
        check("cpuid leaf 0b", ids[n].cpuid_b, ids[n].apic);
        check("apic base, bootstrap processor", ids[n].base, SMP_APIC | APIC_ON | (n ? 0 : 0x100));
        for (u32 k = 0; k < n; k++)
            check("nobody else has this id", ids[k].apic != ids[n].apic, 1);
    }
}

static volatile u32 tsc_lock;
static u64 last_tsc;
static u32 tsc_turns, tsc_back, tsc_by[SMP_MAX];

static void exchange(void *arg)
{
    u64 end = smp_in(1000);
    u32 me = smp_me();

    (void)arg;
    for (;;) {
        u32 one = 1;
        __asm__ volatile("xchgl %0, %1" : "+r"(one), "+m"(tsc_lock) : : "memory");
        if (one) {
            pause();
            continue;
        }
        __asm__ volatile("lfence" : : : "memory");
        u64 now = tsc();
        bool done = tsc_turns >= 100000 || (now > end && tsc_by[me] > 100);
        tsc_back += now < last_tsc;
        last_tsc = now;
        tsc_turns++;
        tsc_by[me]++;
        __asm__ volatile("" : : : "memory");
        tsc_lock = 0;
        if (done)
            break;
    }
}

static void counters(void)
{
    group("time-stamp counters");
    tsc_turns = tsc_back = 0;
    last_tsc = 0;
    memset(tsc_by, 0, sizeof tsc_by);
    smp_run_all(smp_count, exchange, NULL, 0);
    print("%d turns\n", tsc_turns);
    check("went back", tsc_back, 0);
    for (u32 n = 0; n < smp_count; n++)
        check("took part", tsc_by[n] > 0, 1);
}

void program(const char *line)
{
    smp_start(line);
    count_all();
    identities();
    counters();
    for (u32 n = 1; n < smp_count; n++)
        for (u32 i = 0; i < BEFORES + 10; i++)
            state_after(n, i < BEFORES ? i : APIC_WRITES);
    for (u32 n = 1; n < smp_count; n++) {
        addresses(n);
        second_message(n);
        not_waiting(n);
        stops(n);
        waiting(n);
        bring_back(n);
    }
    if (!stand_in) {
        x2apic(1);
        moved(1);
    }
    all_at_once();
    many();
    identities();
    counters();
}
