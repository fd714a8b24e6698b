/* Real mode: what the 8086 part of the manual promises (SDM volume 3, chapter 21 "8086 emulation"), seen
 * from a 32-bit processor. */
#include "guest.h"

const char program_name[] = "real";

static void segments(void)
{
    group("segments");
    T("base is selector * 16", REAL, "mov [bx], ax", .ax = 0x1234, .x = { { M16, 0x1234, DATA } });
    T("segment override", REAL, "mov es:[bx+4], ax", .ax = 0x55aa, .es = 0x2001, .x = { { M16, 0x55aa,
      DATA + 0x14 } });
    T("16-bit address wraps within the segment", REAL, "mov al, [bx+si+0x10]", .bx = 0xfff0, .si = 4,
      .d = { 0, 0x77 },
      .x = { { AX, 0x77 } });
    T("bp addresses through ss", REAL, "mov [bp+2], al", .ax = 0x5a, .bp = 0x100, .x = { { M8, 0x5a,
      STACK + 0x102 } });
    T("bp+di with ds override", REAL, "mov ds:[bp+di+2], al", .ax = 0x5b, .bp = 0x10, .di = 1,
      .x = { { M8, 0x5b, DATA + 0x13 } });
    T("word at offset ffff", REAL, "mov ax, [bx]", .bx = 0xffff, .vec = V_GP);
    T("dword at offset fffd", REAL, "mov eax, [bx]", .bx = 0xfffd, .vec = V_GP);
    T("byte at offset ffff", REAL, "mov byte ptr [bx], 0x66", .bx = 0xffff, .x = { { M8, 0x66,
      DATA + 0xffff } });
    T("stack word at offset ffff", REAL, "mov ax, [bp]", .bp = 0xffff, .vec = V_SS);
    T("32-bit address beyond 64 KiB", REAL, "mov al, [ebx]", .bx = 0x10000, .vec = V_GP);
    T("32-bit address within", REAL, "mov al, [ebx+ecx*4]", .bx = 4, .cx = 2, .d = { 0, 0, 0, 0x42 },
      .x = { { AX, 0x42 } });
    T("push at sp 0 wraps", REAL, "mov sp, bx; push ax; mov cx, sp; mov sp, 0x8000", .bx = 0, .ax = 0xbeef,
      .x = { { CX, 0xfffe }, { M16, 0xbeef, STACK + 0xfffe } });
    T("push at sp 1 faults", REAL, "mov ax, sp; mov sp, 1; mov bp, sp; .byte 0x90; mov sp, ax",
      .x = { { BP, 1 } });
    T("pop at sp fffe wraps", REAL, "mov sp, 0xfffe; pop cx; mov dx, sp; mov sp, 0x8000", .x = { { DX, 0 } });
    T("push sp pushes the old value", REAL, "push sp; pop ax", .x = { { AX, STACK_TOP } });
    T("pop sp", REAL, "push 0x7000; pop sp", .x = { { SP, 0x7000 } });
    T("pushf pushes iopl as written", REAL, "push 0x3002; popf; pushf; pop ax", .x = { { AX, 0x3002 } });
    T("popf keeps bit 15 clear", REAL, "push 0xf002; popf; pushf; pop ax; push 2; popf", .x = { { AX,
      0x7002 } });
    T("mov ds any value", REAL, "mov ax, 0x4001; mov ds, ax; mov [2], cl", .cx = 9, .x = { { M8, 9,
      PLAY + 0x12 },
      { DS, 0x4001 } });
    T("les", REAL, "les di, [bx]", .d = { 0x40003344 }, .x = { { ES, 0x4000 }, { DI, 0x3344 } });
    T("lss", REAL, "lss sp, [bx]", .d = { 0x30006000 }, .x = { { SS, 0x3000 }, { SP, 0x6000 } });
    T("lfs 32", REAL, "lfs edx, [bx]", .d = { 0x11223344, 0x1234 }, .x = { { FS, 0x1234 }, { DX,
      0x11223344 } });
    T("mov to cs is undefined", REAL, ".byte 0x8e, 0xc8", .vec = V_UD);
    T("mov seg 6 is undefined", REAL, ".byte 0x8e, 0xf0", .vec = V_UD);
    T("pusha order", REAL, "pusha; pop di; pop si; add sp, 10; pop ax", .ax = 0x99, .si = 5, .di = 6,
      .x = { { DI, 6 }, { SI, 5 }, { AX, 0x99 } });
    T("popa skips sp", REAL, "push 1;push 2;push 3;push 4;push 5;push 6;push 7;push 8;popa", .x = { { AX,
      1 }, { CX, 2 },
      { DX, 3 }, { BX, 4 }, { BP, 6 }, { SI, 7 }, { DI, 8 }, { SP, STACK_TOP } });
    T("enter nests", REAL, "enter 8, 2", .bp = 0x7000, .x = { { BP, STACK_TOP - 2 }, { SP, STACK_TOP - 14 },
      { M16, 0x7000, STACK + STACK_TOP - 2 } });
    T("leave", REAL, "enter 8, 0; leave", .bp = 0x7000, .x = { { BP, 0x7000 }, { SP, STACK_TOP } });
}

static void transfers(void)
{
    group("control transfer");
    T("far call and return", REAL, "lcall 0x1001, 0x10\n jmp 1f\n" AT(0x20) "mov ax, cs; lret\n1:",
      .x = { { AX, 0x1001 }, { CS, 0x1000 }, { SP, STACK_TOP } });
    T("far call pushes cs:ip", REAL, "lcall 0x1001, 0x10\n" AT(0x20) "", .x = { { M16, 5,
      STACK + STACK_TOP - 4 },
      { M16, 0x1000, STACK + STACK_TOP - 2 } });
    T("far jump indirect", REAL, "jmp dword ptr [bx]\n" AT(0x30) "mov ax, cs", .d = { 0x10020010 },
      .x = { { AX, 0x1002 } });
    T("far return pops", REAL, "push ax; push 0x1001; push 0x10; lret 2\n" AT(0x20) "mov ax, cs",
      .x = { { AX, 0x1001 }, { SP, STACK_TOP } });
    T("near jump beyond the limit", REAL, "mov eax, 0x10000; 99: jmp eax", .d = { 0x40cd }, .vec = V_GP);
    T("ret with 32-bit operand", REAL, "push 0; push 0x20; retd\n" AT(0x20) "mov ax, 7", .x = { { AX, 7 } });
    T("loop uses cx", REAL, "1: inc ax; loop 1b", .cx = 5, .x = { { AX, 5 }, { CX, 0 } });
    T("loop with ecx", REAL, "1: inc ax; addr32 loop 1b", .cx = 5, .x = { { AX, 5 }, { CX, 0 } });
    T("jcxz ignores the high half", REAL, "jcxz 1f; mov ax, 1; 1:", .cx = 0x10000, .x = { { AX, 0 } });
    T("jecxz sees the high half", REAL, "jecxz 1f; mov ax, 1; 1:", .cx = 0x10000, .x = { { AX, 1 } });
    T("loope", REAL, "1: inc ax; cmp ax, ax; loope 1b", .cx = 3, .x = { { AX, 3 } });
    T("loopne stops at equal", REAL, "1: inc ax; cmp ax, 2; loopne 1b", .cx = 9, .x = { { AX, 2 }, { CX,
      7 } });
}

static void interrupts(void)
{
    group("interrupts");
    T("int n", REAL, "int 0x55; 99:", .vec = INT(0x55), .x = { { SP, STACK_TOP } });
    T("int3", REAL, "int3; 99:", .vec = V_BP);
    T("int 3, two bytes", REAL, ".byte 0xcd, 3; 99:", .vec = V_BP);
    T("into without overflow", REAL, "into", .x = { { AX, 0 } });
    T("into with overflow", REAL, "into; 99:", .fl = OF, .vec = V_OF);
    T("frame in memory", REAL, "nop; int 0x55; 99:", .fl = CF, .vec = INT(0x55),
      .x = { { M16, 3, STACK + STACK_TOP - 6 }, { M16, 0x1000, STACK + STACK_TOP - 4 }, { M16, 3,
      STACK + STACK_TOP - 2 } });
    T("int clears if and tf, iret restores", REAL, "xor ax, ax; mov ds, ax; "
      "mov dword ptr [0x66*4], 0x10000020; sti;"
      "int 0x66; pushf; pop cx; cli; jmp 1f\n" AT(0x20) "pushf; pop dx; iret\n" AT(0x30) "1:",
      .x = { { DX, 0, IF }, { CX, IF, IF } });
    T("iret to a segment", REAL, "push 0x0003; push 0x1002; push 0; iret\n" AT(0x20) "mov ax, cs",
      .x = { { AX, 0x1002 }, { FL, 1 } });
    T("iretd", REAL, "push 0; push 0x0001; push 0; push 0x1002; push 0; push 0; "
      "iretd\n" AT(0x20) "mov ax, cs",
      .x = { { AX, 0x1002 }, { FL, 1 } });
    T("divide error points at div", REAL, "nop; 99: div cl", .ax = 5, .vec = V_DE);
    T("divide overflow", REAL, "nop; 99: div cl", .ax = 0x1000, .cx = 1, .vec = V_DE, .x = { { AX,
      0x1000 } });
    T("idiv overflow", REAL, "idiv cx", .ax = 0x8000, .dx = 0xffff, .cx = 0xffff, .vec = V_DE);
    T("idiv lowest quotient", REAL, "idiv cx", .ax = 0x8000, .dx = 0xffff, .cx = 1, .x = { { AX, 0x8000 },
      { DX, 0 } });
    T("aam 0", REAL, "aam 0", .ax = 5, .vec = V_DE);
    T("bound inside", REAL, "bound ax, [bx]", .ax = 5, .d = { 0x00050005 }, .x = { { AX, 5 } });
    T("bound below", REAL, "bound ax, [bx]", .ax = 4, .d = { 0x00050005 }, .vec = V_BR);
    T("bound is signed", REAL, "bound ax, [bx]", .ax = 0xffff, .d = { 0x0005fffe }, .x = { { AX, 0xffff } });
    T("single step", REAL, "nop; 99: nop", .fl = TF, .vec = V_DB);
    T("idt limit", REAL, "lidt [bx]; 99: int 0x55", .d = { 0x3f | 0 << 16 }, .vec = V_GP, .anyip = true);
    T("relocated ivt", REAL, "lidt [bx]; int 2; 99:", .d = { 0x3ff, 0, 0, 0 }, .vec = V_NMI);
    T("undefined opcode", REAL, "ud2", .vec = V_UD);
    T("arpl is undefined", REAL, "arpl ax, cx", .vec = V_UD);
    T("lar is undefined", REAL, "lar ax, cx", .vec = V_UD);
    T("lldt is undefined", REAL, "lldt ax", .vec = V_UD);
    T("str is undefined", REAL, "str ax", .vec = V_UD);
    T("sysenter faults", REAL, "sysenter", .vec = V_GP);
    T("cli with lock", REAL, ".byte 0xf0, 0xfa", .vec = V_UD);
    T("mov cr1", REAL, ".byte 0x0f, 0x20, 0xc8", .vec = V_UD);
    if (!stand_in) /* QEMU 7.2 turns paging on */
        T("paging without protection", REAL, "mov eax, cr0; mov ecx, eax; or eax, 0x80000000; "
          "99: mov cr0, eax", .vec = V_GP);
    T("smsw", REAL, "smsw ax; and ax, 1", .x = { { AX, 0 } });
}

static void arithmetic(void)
{
    static const struct { u8 op; u16 a, b; u32 fl; u16 want; u32 flags; } rows[] = {
        /* ADD OR ADC SBB AND SUB XOR CMP ax, cx as opcode 01 + 8n */
        { 0x01, 0xffff, 1, 0, 0, CF | PF | AF | ZF }, { 0x01, 0x7fff, 1, 0, 0x8000, PF | AF | SF | OF },
        { 0x09, 0x1200, 0x34, CF, 0x1234, 0 }, { 0x11, 0xffff, 0, CF, 0, CF | PF | AF | ZF },
        { 0x19, 0, 0, CF, 0xffff, CF | PF | AF | SF }, { 0x21, 0xf0f0, 0x0ff0, CF, 0x00f0, PF },
        { 0x29, 0x8000, 1, 0, 0x7fff, PF | AF | OF }, { 0x29, 5, 5, 0, 0, PF | ZF },
        { 0x31, 0xaaaa, 0xaaaa, CF, 0, PF | ZF }, { 0x39, 1, 2, 0, 1, CF | PF | AF | SF },
    };
    group("arithmetic");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        u32 mask = rows[i].op == 0x09 || rows[i].op == 0x21 || rows[i].op == 0x31 ? ARITH & ~AF : ARITH;
        static u8 text[] = { 0x01, 0xc8, 0xcd, 0x40 };
        struct code code = { text, text + 4, text };
        text[0] = rows[i].op;
        test_run(&(struct test){ .name = "alu ax, cx", .mode = REAL, .code = &code, .ax = rows[i].a,
          .cx = rows[i].b,
                                 .fl = rows[i].fl, .x = { { AX, rows[i].want }, { FL, rows[i].flags,
                                 mask } } });
    }
    T("daa", REAL, "add al, cl; daa", .ax = 0x79, .cx = 0x35, .x = { { AX, 0x14 }, { FL, CF | AF | PF,
      ARITH & ~OF } });
    T("das", REAL, "sub al, cl; das", .ax = 0x35, .cx = 0x47, .x = { { AX, 0x88 }, { FL, CF | AF | PF | SF,
      ARITH & ~OF } });
    T("aaa", REAL, "aaa", .ax = 0x0f, .x = { { AX, 0x105 }, { FL, CF | AF, CF | AF } });
    T("aas", REAL, "aas", .ax = 0x20f, .x = { { AX, 0x109 }, { FL, CF | AF, CF | AF } });
    T("aam", REAL, "aam", .ax = 63, .x = { { AX, 0x603 }, { FL, PF, PF | SF | ZF } });
    T("aam 16", REAL, "aam 16", .ax = 0x5a, .x = { { AX, 0x50a } });
    T("aad", REAL, "aad", .ax = 0x603, .x = { { AX, 63 } });
    T("salc with carry", REAL, ".byte 0xd6", .fl = CF, .x = { { AX, 0xff } });
    T("shift count is masked to 5 bits", REAL, "shl ax, cl", .ax = 0x1234, .cx = 32, .fl = CF,
      .x = { { AX, 0x1234 }, { FL, CF } });
    T("shl 16-bit by 17", REAL, "shl ax, cl", .ax = 0xffff, .cx = 17, .x = { { AX, 0 }, { FL, ZF, ZF } });
    T("shr by 1", REAL, "shr ax, 1", .ax = 0x8001, .x = { { AX, 0x4000 }, { FL, CF | OF | PF,
      ARITH & ~AF } });
    T("sar by 1", REAL, "sar ax, 1", .ax = 0x8001, .x = { { AX, 0xc000 }, { FL, CF | SF | PF,
      ARITH & ~AF } });
    T("rol by 4", REAL, "rol ax, 4", .ax = 0x1234, .x = { { AX, 0x2341 }, { FL, CF, CF } });
    T("rcl 8-bit by 9 is nothing", REAL, "rcl al, cl", .ax = 0x5a, .cx = 9, .fl = CF, .x = { { AX, 0x5a },
      { FL, CF, CF } });
    T("rcl by 1", REAL, "rcl ax, 1", .ax = 0x8000, .fl = CF, .x = { { AX, 1 }, { FL, CF | OF, CF | OF } });
    T("rcr by 3", REAL, "rcr ax, cl", .ax = 0b1011, .cx = 3, .x = { { AX, 0xc001, 0xffff }, { FL, 0, CF } });
    T("shld", REAL, "shld ax, dx, 4", .ax = 0x1234, .dx = 0xabcd, .x = { { AX, 0x234a }, { FL, CF, CF } });
    T("shrd 32", REAL, "shrd eax, edx, cl", .ax = 0x12345678, .dx = 0xf, .cx = 4, .x = { { AX,
      0xf1234567 } });
    T("mul", REAL, "mul cx", .ax = 0x1000, .cx = 0x10, .x = { { AX, 0 }, { DX, 1 }, { FL, CF | OF,
      CF | OF } });
    T("imul three operands", REAL, "imul ax, cx, -3", .cx = 7, .x = { { AX, 0xffeb }, { FL, 0, CF | OF } });
    T("xlat", REAL, "xlatb", .ax = 5, .d = { 0, 0x2200 }, .x = { { AX, 0x22 } });
    T("cbw cwd", REAL, "cbw; cwd", .ax = 0x80, .x = { { AX, 0xff80 }, { DX, 0xffff } });
    T("32-bit operands", REAL, "mov eax, 0x12345678; movzx ecx, ax; movsx edx, al; bswap eax",
      .x = { { AX, 0x78563412 }, { CX, 0x5678 }, { DX, 0x78 } });
    T("16-bit write keeps the high half", REAL, "mov ax, 0x9999", .ax = 0x12340000, .x = { { AX,
      0x12349999 } });
    T("bt with a register offset reaches memory", REAL, "bts [bx], ax", .ax = 37, .x = { { M32, 32,
      DATA + 4 },
      { FL, 0, CF } });
    T("bt with a negative offset", REAL, "btc [bx+4], ax", .ax = 0xffff, .x = { { M16, 0x8000, DATA + 2 } });
    T("bsf of zero", REAL, "bsf ax, cx", .x = { { FL, ZF, ZF } });
    T("bsr", REAL, "bsr ax, cx", .cx = 0x0810, .x = { { AX, 11 }, { FL, 0, ZF } });
    T("cmpxchg hit", REAL, "cmpxchg [bx], cx", .ax = 7, .cx = 9, .d = { 7 }, .x = { { M16, 9, DATA }, { FL,
      ZF, ZF } });
    T("cmpxchg miss", REAL, "cmpxchg [bx], cx", .ax = 8, .cx = 9, .d = { 7 }, .x = { { M16, 7, DATA },
      { AX, 7 } });
    T("xadd", REAL, "xadd [bx], cx", .cx = 9, .d = { 7 }, .x = { { M16, 16, DATA }, { CX, 7 } });
    T("lahf sahf", REAL, "mov ah, 0xd5; sahf; lahf", .x = { { AX, 0xd700 }, { FL, CF | PF | AF | ZF | SF,
      0xd5 } });
    T("cmc stc clc", REAL, "stc; cmc; setc al; stc; setc cl", .x = { { AX, 0 }, { CX, 1 } });
}

static void strings(void)
{
    group("strings");
    T("movsb wraps si and di", REAL, "mov byte ptr [0xffff], 0x5c; rep movsb", .si = 0xffff, .di = 0xfffe,
      .cx = 2,
      .d = { 0x5d }, .x = { { SI, 1 }, { DI, 0 }, { M8, 0x5c, DATA + 0xfffe }, { M8, 0x5d, DATA + 0xffff } });
    T("stosw down", REAL, "std; rep stosw; cld", .ax = 0x1111, .di = 4, .cx = 2, .d = { 0x99 },
      .x = { { DI, 0 }, { M32, 0x11110099, DATA }, { M16, 0x1111, DATA + 4 } });
    T("segment override of the source", REAL, "rep movs byte ptr es:[di], byte ptr ss:[si]",
      .si = STACK_TOP - 2, .cx = 0,
      .x = { { SI, STACK_TOP - 2 } });
    T("repne scasb", REAL, "repne scasb", .ax = 3, .cx = 9, .d = { 0x04030201 }, .x = { { DI, 3 }, { CX, 6 },
      { FL, ZF, ZF } });
    T("repe cmpsw", REAL, "repe cmpsw", .si = 0, .di = 8, .cx = 4, .d = { 0x00020001, 0, 0x00030001 },
      .x = { { SI, 4 }, { DI, 12 }, { CX, 2 }, { FL, CF, CF | ZF } });
    T("cx 0 does nothing", REAL, "rep stosb", .di = 0, .ax = 5, .cx = 0x10000, .x = { { M8, 0, DATA },
      { CX, 0x10000 } });
    T("addr32 uses ecx", REAL, "addr32 rep stosb", .di = 0, .ax = 5, .cx = 3, .x = { { M32, 0x00050505,
      DATA } });
    T("word at the segment end", REAL, "movsw", .si = 0xffff, .vec = V_GP, .x = { { SI, 0xffff } });
    T("lodsd", REAL, "lodsd", .d = { 0xcafebabe }, .x = { { AX, 0xcafebabe }, { SI, 4 } });
}

static void unreal(void)
{
    group("unreal mode");
    gdt_set(SEL_TEST, desc(0, 0xfffff, 0x93, 0x8));
    T("limit stays after protected mode", REAL,
      "mov eax, cr0; or al, 1; mov cr0, eax; jmp 1f; 1: mov cx, 0x100; mov es, cx; and al, 0xfe; "
      "mov cr0, eax;"
      "jmp 2f; 2: xor cx, cx; mov es, cx; mov esi, 0x300000; mov dword ptr es:[esi], 0x11223344; "
      "mov edx, es:[esi]",
      .x = { { DX, 0x11223344 }, { M32, 0x11223344, 0x300000 } });
    T("each segment keeps its own limit", REAL,
      "mov eax, cr0; or al, 1; mov cr0, eax; jmp 1f; 1: mov cx, 0x100; mov gs, cx; and al, 0xfe; "
      "mov cr0, eax;"
      "jmp 2f; 2: xor cx, cx; mov gs, cx; mov esi, 0x10ffe0; mov byte ptr gs:[esi], 7; mov ax, 0xffff; "
      "mov fs, ax;"
      "mov dl, fs:[0xfff0]", .x = { { DX, 7 } });
    T("ff ff:10 is 1 MiB", REAL, "mov ax, 0xffff; mov es, ax; mov dl, es:[0x10]", .x = { { DX,
      peek8(0x100000) } });
    T("protected mode and back, base kept until reload", REAL,
      "mov eax, cr0; or al, 1; mov cr0, eax; mov [bx], al; and al, 0xfe; mov cr0, eax; mov dl, [bx]; "
      "and dl, 1",
      .x = { { DX, 1 } });
}

void program(const char *line)
{
    (void)line;
    segments();
    transfers();
    interrupts();
    arithmetic();
    strings();
    unreal();
}
