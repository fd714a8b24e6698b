/* Hardware task switching (SDM volume 3, chapter 8): jump, call, interrupt and return, busy bits, links, the
 * 16-bit TSS, faults of bad TSSs, the T flag, CR3. */
#include "guest.h"

const char program_name[] = "task";

enum { TWO = 0x100, TSS16 = 0x108, GATE = 0x110, GATE3 = 0x118, SHORT = 0x120, ABSENT = 0x128,
GATE_BAD = 0x130,
       NPDATA = 0x138, GATE_ABSENT = 0x140, ONLY_LDT = 0x148 };

struct tss16 {
    u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};
static struct tss32 two;
static struct tss16 small;
static u32 dir_a[1024] __attribute__((aligned(4096))), dir_b[1024] __attribute__((aligned(4096)));

/* Everything as before a switch: the second task starts at CODE + 40h in ring 0 with telling registers. */
static void prepare(void)
{
    gdt_set(TWO, desc((u32)&two, 0x67, 0x89, 0));
    gdt_set(TSS16, desc((u32)&small, 0x2b, 0x81, 0));
    gdt_set(GATE, call_gate(TWO, 0, 0x85, 0));
    gdt_set(GATE3, call_gate(TWO, 0, 0xe5, 0));
    gdt_set(SHORT, desc((u32)&two, 0x66, 0x89, 0));
    gdt_set(ABSENT, desc((u32)&two, 0x67, 0x09, 0));
    gdt_set(GATE_BAD, call_gate(SEL_DS, 0, 0xe5, 0));
    gdt_set(GATE_ABSENT, call_gate(TWO, 0, 0x65, 0));
    gdt_set(NPDATA, desc(0, 0xfffff, 0x13, 12));
    gdt_set(ONLY_LDT, desc((u32)ldt, 0xff, 0x82, 0));
    memset(&two, 0, sizeof two);
    two.eip = CODE + 0x40;
    two.eflags = 0x3 | 0x40;
    two.eax = 0xa0a0a0a0;
    two.ecx = 0xc0c0c0c0;
    two.edx = 0xd0d0d0d0;
    two.ebx = DATA;
    two.esp = PLAY + 0x4000;
    two.esi = 0x51515151;
    two.es = two.ss = two.ds = two.fs = two.gs = SEL_DS;
    two.cs = SEL_CS32;
    two.cr3 = tss.cr3;
    two.iomap = 0x68;
    small = (struct tss16){ .ip = 0x40, .flags = 3, .ax = 0xa1a1, .cx = 0xc1c1, .sp = 0x4000, .di = 0xd1d1,
    .es = SEL_DS16,
                            .ss = SEL_SS16, .cs = SEL_CS16, .ds = SEL_DS16 };
    tss.link = 0x7777;
    tss.trap = 0;
    runtime_tss_available();
    __asm__ volatile("clts; ltr %w0" : : "r"(SEL_TSS) : "memory");
}

static bool busy(u16 sel)
{
    return gdt[sel / 8] >> 41 & 1;
}

static void jumps(void)
{
    group("jmp");
    prepare();
    T("loads the registers", P32, "nop; ljmp 0x100, 0; int 0x41\n" AT(0x40) "mov edi, cr0; str bp",
      .ax = 1, .dx = 2, .fl = CF,
      .x = { { AX, 0xa0a0a0a0 }, { CX, 0xc0c0c0c0 }, { DX, 0xd0d0d0d0 }, { SI, 0x51515151 }, { SP,
      PLAY + 0x4000 }, { BP, TWO },
      { FL, 0x41, NT | 0xd5 | DF }, { DI, 8, 8 } });
    check("old eip", tss.eip, CODE + 8);
    check("old eax", tss.eax, 1);
    check("old edx", tss.edx, 2);
    check("old esp", tss.esp, STACK + STACK_TOP);
    check("old flags", tss.eflags & 0xd5, CF);
    check("old segments", tss.ds << 16 | tss.cs, SEL_DS << 16 | SEL_CS32);
    check("old link untouched", tss.link, 0x7777);
    check("new link untouched", two.link, 0);
    check("old not busy", busy(SEL_TSS), 0);
    check("new busy", busy(TWO), 1);
    prepare();
    T("and back by jmp", P32, "ljmp 0x100, 0; inc ecx; jmp 1f\n" AT(0x40) "ljmp 0x70, 0; 1:", .cx = 5,
      .x = { { CX, 6 } });
    check("where the second stands", two.eip, CODE + 0x47);
    check("second not busy", busy(TWO), 0);
    prepare();
    T("through a task gate", P32, "ljmp 0x110, 0\n" AT(0x40) "str ax", .x = { { AX, 0xa0a00000 | TWO } });
    prepare();
    two.cs = SEL_UCS32 | 3;
    two.ss = two.ds = two.es = SEL_UDS | 3;
    two.ss0 = SEL_DS;
    two.esp0 = PLAY + 0x6000;
    two.fs = two.gs = 0;
    two.eflags = 2;
    T("to a task in ring 3", P32, "ljmp 0x100, 0\n" AT(0x40) "mov eax, cs; mov edx, ss", .x = { { AX,
      SEL_UCS32 | 3 }, { DX, SEL_UDS | 3 },
      { SS, SEL_UDS | 3 } });
    prepare();
    two.cs = CODE >> 4;
    two.ss = STACK >> 4;
    two.ds = two.es = two.fs = two.gs = DATA >> 4;
    two.ss0 = SEL_DS;
    two.esp0 = PLAY + 0x6000;
    two.eip = 0x40;
    two.esp = 0x4000;
    two.eflags = VM | IOPL3 | 2;
    T("to a virtual-8086 task", P32, "ljmp 0x100, 0\n" AT(0x40) ".code16; mov ax, cs; mov dl, [0]; "
      ".code32", .d = { 0x5c },
      .x = { { AX, 0xa0a00000 | CODE >> 4 }, { DX, 0xd0d0d05c }, { FL, VM, VM } });
    prepare();
    ldt[1] = desc(DATA, 0xff, 0x93, 4);
    two.ldt = ONLY_LDT;
    two.fs = 0xc;
    T("with its ldt", P32, "ljmp 0x100, 0\n" AT(0x40) "mov eax, fs:[4]; sldt cx", .d = { 0, 0x1d7 },
      .x = { { AX, 0x1d7 },
      { CX, 0xc0c00000 | ONLY_LDT } });
    __asm__ volatile("lldt %w0" : : "r"(0));
    prepare();
    two.trap = 1;
    T("t flag", P32, "ljmp 0x100, 0\n" AT(0x40) "99: nop", .vec = V_DB);
    check("dr6.bt", dr_get(6) & 0xe00f, 0x8000);
    dr_set(6, 0xffff0ff0);
}

static void calls(void)
{
    group("call and iret");
    prepare();
    T("call sets nt and link", P32, "lcall 0x100, 0\n" AT(0x40) "str bp", .x = { { BP, TWO }, { FL, NT,
      NT } });
    check("link", two.link, SEL_TSS);
    check("old stays busy", busy(SEL_TSS), 1);
    check("new busy", busy(TWO), 1);
    prepare();
    T("iret returns", P32, "lcall 0x100, 0; inc ecx; str bp; jmp 1f\n" AT(0x40) "iretd; 1:", .cx = 5,
      .dx = 9, .x = { { CX, 6 }, { DX, 9 }, { BP, SEL_TSS },
      { FL, 0, NT } });
    check("second not busy", busy(TWO), 0);
    check("first busy", busy(SEL_TSS), 1);
    check("nt cleared in the saved flags", two.eflags & NT, 0);
    check("second stands behind iret", two.eip, CODE + 0x41);
    prepare();
    T("call through a gate from ring 3", P32U, "lcall 0x118, 0; mov edx, cs; "
      "jmp 1f\n" AT(0x40) "mov eax, cs; iretd; 1:",
      .x = { { DX, SEL_UCS32 | 3 }, { AX, 0 } });
    check("eax of the second", two.eax, SEL_CS32);
    prepare();
    idt32_gate(0x50, TWO, 0, 0xe5);
    T("int through a task gate", P32U, "int 0x50; mov ecx, 7; jmp 1f\n" AT(0x40) "iretd; 1:", .x = { { CX,
      7 } });
    prepare();
    T("int again: the task goes on where it stood", P32, "int 0x50; int 0x50; jmp 1f\n" AT(0x40) "inc ebx; "
      "iretd; inc ebx; iretd; 1:", .x = { { BX, DATA } });
    check("ebx of the second", two.ebx, DATA + 2);
    prepare();
    struct gate keep = idt32[13];
    idt32_gate(13, TWO, 0, 0x85);
    T("error code on the new stack", P32, "mov ds, cx\n" AT(0x40) "pop eax; mov edx, [ebx]", .cx = 0x3f8,
      .d = { 5 },
      .x = { { AX, 0x3f8 }, { DX, 5 }, { SP, PLAY + 0x4000 } });
    check("eip of the faulting instruction", tss.eip, CODE);
    idt32[13] = keep;
    prepare();
    T("iret with nt, link beyond the gdt", P32, "pushfd; or byte ptr [esp+1], 0x40; popfd; 99: iretd",
      .vec = V_TS, .err = 0x7774);
    prepare();
    tss.link = TWO;
    T("iret with nt, link not busy", P32, "pushfd; or byte ptr [esp+1], 0x40; popfd; 99: iretd",
      .vec = V_TS, .err = TWO);
    tss.link = SEL_DS;
    T("iret with nt, link no tss", P32, "pushfd; or byte ptr [esp+1], 0x40; popfd; 99: iretd", .vec = V_TS,
      .err = SEL_DS);
    tss.link = 0xc;
    T("iret with nt, link in the ldt", P32, "pushfd; or byte ptr [esp+1], 0x40; popfd; 99: iretd",
      .vec = V_TS, .err = 0xc);
}

static void small_tss(void)
{
    group("16-bit tss");
    prepare();
    T("jmp", P32, "ljmp 0x108, 0\n" AT(0x40) ".code16; str bp; .code32", .ax = 0x11112222, .x = { { AX,
      0xa1a1, 0xffff }, { CX, 0xc1c1, 0xffff },
      { DI, 0xd1d1, 0xffff }, { BP, TSS16, 0xffff }, { CS, SEL_CS16 }, { FS, 0 }, { SP, 0x4000, 0xffff } });
    check("32-bit state is saved in the old one", tss.eax, 0x11112222);
    prepare();
    T("call and iret", P32, "lcall 0x108, 0; inc edx; jmp 1f\n" AT(0x40) ".code16; mov ax, 0x1357; iret; "
      ".code32; 1:", .dx = 0x10000,
      .x = { { DX, 0x10001 }, { FS, SEL_DS } });
    check("link", small.link, SEL_TSS);
    check("16-bit ax saved", small.ax, 0x1357);
    check("16-bit ip saved", small.ip, 0x44);
}

static void faults(void)
{
    group("faults in the old task");
    prepare();
    T("ring 3 to a tss of dpl 0", P32U, "ljmp 0x100, 0", .vec = V_GP, .err = TWO);
    T("ring 3 to a gate of dpl 0", P32U, "lcall 0x110, 0", .vec = V_GP, .err = GATE);
    T("busy by jmp", P32, "ljmp 0x70, 0", .vec = V_GP, .err = SEL_TSS);
    T("busy by call", P32, "lcall 0x70, 0", .vec = V_GP, .err = SEL_TSS);
    T("not present", P32, "ljmp 0x128, 0", .vec = V_NP, .err = ABSENT);
    T("too short", P32, "ljmp 0x120, 0", .vec = V_TS, .err = SHORT);
    T("gate to data", P32, "ljmp 0x130, 0", .vec = V_GP, .err = SEL_DS);
    T("gate not present", P32, "ljmp 0x140, 0", .vec = V_NP, .err = GATE_ABSENT);
    check("still in the first task", busy(TWO), 0);

    static const struct { const char *name; u32 offset; u16 value; enum vector vec; u32 err; } rows[] = {
        { "ds not present", offsetof(struct tss32, ds), NPDATA, V_NP, NPDATA },
        { "es beyond the gdt", offsetof(struct tss32, es), 0x7f8, V_TS, 0x7f8 },
        { "fs execute-only or system", offsetof(struct tss32, fs), SEL_TSS, V_TS, SEL_TSS },
        { "gs null is fine", offsetof(struct tss32, gs), 0, DONE, 0 },
    };
    group("faults in the new task");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        prepare();
        *(u32 *)((u8 *)&two + rows[i].offset) = rows[i].value;
        T(rows[i].name, P32, "ljmp 0x100, 0\n" AT(0x40) "99: str ax", .vec = rows[i].vec,
          .err = rows[i].err, .anyip = rows[i].vec == DONE);
        check("new task is busy", busy(TWO), 1);
        check("old task is not", busy(SEL_TSS), 0);
    }
    /* The faults of LDTR, CS and SS need a handler that is a task of its own. */
    static const struct { const char *name; u32 cs, ss, ldt; int vec; u32 err; } bad[] = {
        { "cs data", SEL_DS, SEL_DS, 0, 10, SEL_DS }, { "cs null", 0, SEL_DS, 0, 10, 0 },
        { "ss null", SEL_CS32, 0, 0, 10, 0 }, { "ss code", SEL_CS32, SEL_CS32, 0, 10, SEL_CS32 },
        { "ss not present", SEL_CS32, NPDATA, 0, 12, NPDATA }, { "ss rpl", SEL_CS32, SEL_DS | 3, 0, 10,
        SEL_DS },
        { "ldt no ldt", SEL_CS32, SEL_DS, SEL_DS, 10, SEL_DS }, { "ldt in the ldt", SEL_CS32, SEL_DS, 0xc,
        10, 0xc },
    };
    static struct tss32 handler;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        prepare();
        handler = two;
        handler.eip = CODE + 0x60;
        handler.esp = PLAY + 0x8000;
        gdt_set(0x150, desc((u32)&handler, 0x67, 0x89, 0));
        struct gate keep = idt32[bad[i].vec];
        idt32_gate(bad[i].vec, 0x150, 0, 0x85);
        two.cs = bad[i].cs;
        two.ss = bad[i].ss;
        two.ldt = bad[i].ldt;
        T(bad[i].name, P32, "ljmp 0x100, 0\n" AT(0x60) "pop eax; str bp", .x = { { AX, bad[i].err }, { BP,
          0x150 } });
        check("link to the second task", handler.link, TWO);
        idt32[bad[i].vec] = keep;
    }
}

static void paging(void)
{
    group("cr3");
    for (u32 i = 0; i < 16; i++)
        dir_a[i] = dir_b[i] = i << 22 | 0x87;
    dir_a[32] = 0x01000000 | 0x87;
    dir_b[32] = 0x01400000 | 0x87;
    poke32(0x01000000, 0xaaaa);
    poke32(0x01400000, 0xbbbb);
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir_a);
    cr0_set(cr0_get() | 0x80000000);
    tss.cr3 = (u32)dir_a;
    prepare();
    two.cr3 = (u32)dir_b;
    T("each task has its own", P32, "mov eax, [0x8000000]; lcall 0x100, 0; mov ecx, [0x8000000]; "
      "jmp 1f\n" AT(0x40)
      "mov eax, [0x8000000]; mov [ebx], eax; iretd; 1:", .x = { { AX, 0xaaaa }, { CX, 0xaaaa }, { M32,
      0xbbbb, DATA } });
    cr0_set(cr0_get() & 0x7fffffff);
    tss.cr3 = 0;
}

void program(const char *line)
{
    (void)line;
    jumps();
    calls();
    small_tss();
    faults();
    paging();
    prepare();
}
