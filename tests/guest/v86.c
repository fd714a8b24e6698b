/* Virtual-8086 mode: entry, segments, IOPL-sensitive instructions, faults to the monitor, VME (SDM volume 3,
 * chapter 21). */
#include "guest.h"

const char program_name[] = "v86";

static void basics(void)
{
    group("basics");
    T("base is selector * 16", V86, "mov [bx], ax", .ax = 0x1234, .x = { { M16, 0x1234, DATA }, { CS,
      CODE >> 4 } });
    T("selectors are plain numbers", V86, "mov ds, cx; mov al, [2]", .cx = (DATA >> 4) + 1, .d = { 0, 0, 0,
      0, 0x770000 },
      .x = { { AX, 0x77 }, { DS, (DATA >> 4) + 1 } });
    T("vm is set in the frame", V86, "nop", .x = { { FL, VM | IOPL3, VM | IOPL3 } });
    T("pushf does not show vm", V86, "pushfd; pop eax", .x = { { AX, 0x3002 } });
    T("32-bit operands", V86, "mov eax, 0x12345678; mov [bx], eax", .x = { { M32, 0x12345678, DATA } });
    T("limit of 64 KiB", V86, "mov al, [ebx]", .bx = 0x10000, .vec = V_GP, .err = 0);
    T("word at ffff", V86, "mov ax, [bx]", .bx = 0xffff, .vec = V_GP, .err = 0);
    T("stack word at ffff", V86, "mov ax, [bp]", .bp = 0xffff, .vec = V_SS, .err = 0);
    T("far call and return", V86, "lcall 0x1001, 0x10; jmp 1f\n" AT(0x20) "mov ax, cs; lret; 1:",
      .x = { { AX, 0x1001 }, { CS, 0x1000 } });
    T("far jump", V86, "ljmp 0x1002, 0\n" AT(0x20) "mov ax, cs", .x = { { AX, 0x1002 } });
    T("les", V86, "les di, [bx]", .d = { 0x40003344 }, .x = { { ES, 0x4000 }, { DI, 0x3344 } });
    T("pop ss", V86, "push 0x3001; pop ss; mov ax, ss", .x = { { SS, 0x3001 }, { AX, 0x3001 } });
    T("divide error", V86, "div cl", .vec = V_DE);
    T("ud2", V86, "ud2", .vec = V_UD);
    T("bound", V86, "bound ax, [bx]", .ax = 1, .vec = V_BR);
    T("into", V86, "into; 99:", .fl = OF, .vec = V_OF);
    T("int3", V86, "int3; 99:", .vec = V_BP);
    T("single step", V86, "nop; 99: nop", .fl = TF, .vec = V_DB);
    T("ds after the interrupt is null in the handler, v86 value in the frame", V86,
      "mov ax, 0x2345; mov ds, ax; mov fs, ax",
      .x = { { DS, 0x2345 }, { FS, 0x2345 } });
    T("stack wraps", V86, "xor sp, sp; push ax; mov cx, sp", .x = { { CX, 0xfffe } });
    T("ffff:10 with a20", V86, "mov ax, 0xffff; mov es, ax; mov dl, es:[0x10]", .x = { { DX,
      peek8(0x100000) } });
    T("smsw", V86, "smsw ax; and ax, 1", .x = { { AX, 1 } });
    T("sgdt", V86, "sgdt [bx]", .x = { { M16, GDT_BYTES - 1, DATA } });
}

static void privileged(void)
{
#define FORBIDDEN(text) T(text, V86, text, .vec = V_GP, .err = 0)
#define UNDEFINED(text) T(text, V86, text, .vec = V_UD)
    group("privileged");
    FORBIDDEN("hlt");
    FORBIDDEN("mov eax, cr0");
    FORBIDDEN("mov cr3, eax");
    FORBIDDEN("mov eax, dr7");
    FORBIDDEN("clts");
    FORBIDDEN("lmsw ax");
    FORBIDDEN("lgdt [bx]");
    FORBIDDEN("lidt [bx]");
    FORBIDDEN("invd");
    FORBIDDEN("invlpg [bx]");
    FORBIDDEN("wrmsr");
    FORBIDDEN("rdmsr");
    FORBIDDEN("sysexit");
    UNDEFINED("lldt ax");
    UNDEFINED("ltr ax");
    UNDEFINED("sldt ax");
    UNDEFINED("str ax");
    UNDEFINED("lar ax, cx");
    UNDEFINED("lsl ax, cx");
    UNDEFINED("verr ax");
    UNDEFINED("arpl ax, cx");
    T("cpl is 3: supervisor page rules, i/o bitmap", V86, "out 0x80, al", .vec = V_GP, .err = 0);
    tss.bitmap[0x80 / 8] = 0xfe;
    T("bitmap allows, whatever iopl", V86, "out 0x80, al; 99: hlt", .iopl0 = 1, .vec = V_GP, .err = 0);
    memset(tss.bitmap, 0xff, sizeof tss.bitmap);
}

static void sensitive(void)
{
#define TRAPS(text) T(text, V86, text, .iopl0 = 1, .vec = V_GP, .err = 0)
    group("iopl below 3");
    TRAPS("cli");
    TRAPS("sti");
    TRAPS("pushf");
    TRAPS("popf");
    TRAPS("pushfd");
    TRAPS("popfd");
    TRAPS("iret");
    TRAPS("int 0x55");
    T("int3 is not sensitive", V86, "int3; 99:", .iopl0 = 1, .vec = V_BP);
    T("into is not sensitive", V86, "into; 99:", .iopl0 = 1, .fl = OF, .vec = V_OF);
    group("iopl 3");
    T("cli and sti change if", V86, "sti; pushf; pop ax; cli; pushf; pop cx", .x = { { AX, 0x3202 }, { CX,
      0x3002 } });
    T("popf cannot change iopl", V86, "push 0x0203; popf; pushf; pop ax; cli", .x = { { AX, 0x3203 } });
    T("popfd cannot clear vm", V86, "push 0; push 3; popfd; pushfd; pop eax", .x = { { AX, 0x3003 }, { FL,
      VM, VM } });
    T("iret stays in v86", V86, "push 0x0003; push 0x1002; push 0; iret\n" AT(0x20) "pushf; pop ax; "
      "mov cx, cs",
      .x = { { AX, 0x3003 }, { CX, 0x1002 } });
    T("iretd", V86, "push 0; push 0x0003; push 0; push 0x1002; push 0; push 0; iretd\n" AT(0x20) "mov cx, cs",
      .x = { { CX, 0x1002 }, { FL, VM, VM } });
    T("int n goes to the protected-mode idt", V86, "int 0x55; 99:", .vec = INT(0x55));
    T("int n with gate dpl 0", V86, "int 0x41", .vec = V_GP, .err = 0x41 * 8 + 2);
    idt32_gate(0x50, 0x140, CODE + 0x40, 0xee);
    T("conforming handler is refused", V86, "int 0x50", .vec = V_GP, .err = 0x140);
    idt32_gate(0x50, SEL_UCS32, CODE + 0x40, 0xee);
    T("handler in ring 3 is refused", V86, "int 0x50", .vec = V_GP, .err = SEL_UCS32);
    idt32_gate(0x50, SEL_CS32, CODE + 0x40, 0xee);
    T("frame of nine", V86, "int 0x50\n" AT(0x40) ".code32; mov esi, esp; mov eax, ds; "
      "mov ecx, ss:[esi+16]; mov edx, ss:[esi+24];"
      "mov ebx, ss:[esi+32]; mov edi, ss:[esi+8]; .code16", .ds = 0x1111, .es = 0x2222, .gs = 0x3333,
      .x = { { AX, 0 }, { CX, STACK >> 4 }, { DX, 0x1111 }, { BX, 0x3333 }, { DI, VM | 0x3002 }, { SI,
      tss.esp0 - 36 } });
    T("iretd from the monitor enters v86", P32, "push 0x3333; push 0x4444; push 0x1111; push 0x2222; "
      "push 0x3000; push 0x7000;"
      "push 0x23002; push 0x1000; push 0x60; iretd\n" AT(0x60) ".code16; mov ax, ss; mov cx, sp; "
      "mov dx, es; .code32",
      .x = { { AX, 0x3000 }, { CX, 0x7000 }, { DX, 0x2222 }, { GS, 0x3333 } });
    T("vm in iretd of ring 3 is ignored", P32U, "push 0x23002; push 0x1b; push 0x10020; "
      "iretd\n" AT(0x20) "mov eax, cs", .x = { { AX, 0x1b },
      { FL, 0, VM } });
}

static void vme(void)
{
    if (!HAS_VME)
        return skip("vme", "not in CPUID");
    /* The redirection bitmap is the 32 bytes below the I/O bitmap; a bit of 0 redirects to the program's
     * table. */
    tss.iomap = offsetof(struct tss32, bitmap) + 32;
    memset(tss.bitmap, 0xff, 32);
    cr4_set(cr4_get() | 1);
    group("vme");
    tss.bitmap[0x60 / 8] = 0xfe; /* int 60h goes through the program's own table,
    which leads to int 40h's code */
    u32 keep = peek32(4 * 0x60);
    poke32(4 * 0x60, (CODE >> 4) << 16 | 0x80);
    T("redirected int", V86, "int 0x60\n" AT(0x80) "pop ax; pop cx; pop dx; mov si, sp; 99: hlt",
      .vec = V_GP, .err = 0, .iopl0 = 1, .fl = VIF | CF,
      .x = { { AX, 2 }, { CX, CODE >> 4 }, { DX, 0x3203 }, { FL, 0, VIF }, { SI, STACK_TOP } });
    T("redirected int with iopl 3", V86, "sti; int 0x60\n" AT(0x80) "pop ax; pop cx; pop dx", .x = { { AX,
      3 }, { DX, 0x3202 }, { FL, 0, IF } });
    T("int not redirected, iopl 0", V86, "int 0x61", .iopl0 = 1, .vec = V_GP, .err = 0);
    T("int not redirected, iopl 3", V86, "int 0x61; 99:", .vec = INT(0x61));
    poke32(4 * 0x60, keep);
    T("sti sets vif", V86, "sti; 99: hlt", .iopl0 = 1, .vec = V_GP, .err = 0, .x = { { FL, VIF, VIF | IF } });
    T("cli then hlt", V86, "cli; 99: hlt", .iopl0 = 1, .fl = VIF, .vec = V_GP, .err = 0, .x = { { FL, 0,
      VIF } });
    T("sti with vip pending", V86, "sti", .iopl0 = 1, .fl = VIP, .vec = V_GP, .err = 0);
    T("pushf shows vif as if, iopl 3", V86, "pushf; pop ax; 99: hlt", .iopl0 = 1, .fl = VIF, .vec = V_GP,
      .err = 0, .x = { { AX, 0x3202 } });
    T("popf sets vif", V86, "push 0x202; popf; 99: hlt", .iopl0 = 1, .vec = V_GP, .err = 0, .x = { { FL,
      VIF, VIF | IF } });
    T("popf with vip and if", V86, "push 0x202; 99: popf", .iopl0 = 1, .fl = VIP, .vec = V_GP, .err = 0);
    T("popf with tf", V86, "push 0x102; 99: popf", .iopl0 = 1, .vec = V_GP, .err = 0);
    T("pushfd still traps", V86, "pushfd", .iopl0 = 1, .vec = V_GP, .err = 0);
    T("iret sets vif", V86, "push 0x202; push 0x1002; push 0; iret\n" AT(0x20) "99: hlt", .iopl0 = 1,
      .vec = V_GP, .err = 0,
      .x = { { FL, VIF, VIF | IF }, { CS, 0x1002 } });
    cr4_set((cr4_get() & ~1u) | 2);
    group("pvi");
    T("cli in ring 3 clears vif", P32U, "cli; pushfd; pop eax", .fl = VIF, .x = { { AX, 2 } });
    T("sti in ring 3 sets vif", P32U, "sti; pushfd; pop eax", .x = { { AX, VIF | 2 } });
    T("sti with vip", P32U, "sti", .fl = VIP, .vec = V_GP, .err = 0);
    cr4_set(cr4_get() & ~3u);
    tss.iomap = offsetof(struct tss32, bitmap);
}

void program(const char *line)
{
    (void)line;
    gdt_set(0x140, desc(0, 0xfffff, 0x9f, 12));
    basics();
    privileged();
    sensitive();
    vme();
}
