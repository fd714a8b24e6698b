/* Protected mode: segment limits and rights, descriptor instructions, gates, rings, I/O permission (SDM
 * volume 3, chapters 3, 5, 6 and volume 1, chapter 19). */
#include "guest.h"

const char program_name[] = "prot";

/* Selectors of this program's own descriptors. */
enum {
    SMALL = SEL_TEST, DOWN16 = 0x108, DOWN32 = 0x110, RODATA = 0x118, XONLY = 0x120, XREAD = 0x128,
      NPDATA = 0x130,
    NPCODE = 0x138, CONF = 0x140, DATA0 = 0x148, PAGED = 0x150, GATE32 = 0x158, GATE16 = 0x160,
    GATE_DPL0 = 0x168,
    GATE_NP = 0x170, GATE_NULL = 0x178, GATE_DATA = 0x180, CODE1 = 0x188, DATA1 = 0x190, GATE_SAME = 0x198,
    STACK_SMALL = 0x1a0, NPSTACK = 0x1a8, GATE_RING1 = 0x1b0, NPLDT = 0x1b8, NPTSS = 0x1c0, RODATA0 = 0x1c8,
    CONF3 = 0x1d0, CODE_SHORT = 0x1d8, GATE_NPCODE = 0x1e0, GATE_CONF = 0x1e8, DOWN32S = 0x1f0,
    BUSYTSS = 0x1f8
};

static void build(void)
{
    static const struct { u16 sel; u32 base, limit; u8 type, flags; } rows[] = {
        { SMALL, PLAY, 0xfff, 0xf3, 4 }, { DOWN16, PLAY, 0xfff, 0xf7, 0 }, { DOWN32, PLAY, 0xfff, 0xf7, 4 },
        { RODATA, PLAY, 0xffff, 0xf1, 4 }, { XONLY, CODE, 0xffff, 0xf9, 4 }, { XREAD, CODE, 0xffff, 0xfb, 4 },
        { NPDATA, PLAY, 0xffff, 0x73, 4 }, { NPCODE, 0, 0xfffff, 0x1b, 12 }, { CONF, 0, 0xfffff, 0x9f, 12 },
        { DATA0, PLAY, 0xffff, 0x93, 4 }, { PAGED, PLAY, 0, 0xf3, 12 }, { CODE1, 0, 0xfffff, 0xbb, 12 },
        { DATA1, 0, 0xfffff, 0xb3, 12 }, { STACK_SMALL, PLAY, 0xfff, 0x93, 4 }, { NPSTACK, 0, 0xfffff,
        0x13, 12 },
        { NPLDT, DATA, 0xff, 0x02, 0 }, { NPTSS, DATA, 0xff, 0x09, 0 }, { RODATA0, 0, 0xfffff, 0x91, 12 },
        { CONF3, 0, 0xfffff, 0xff, 12 }, { CODE_SHORT, CODE, 0xff, 0x9b, 4 }, { DOWN32S, 0, 0xff, 0x97, 12 },
        { BUSYTSS, DATA, 0xff, 0x8b, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        gdt_set(rows[i].sel, desc(rows[i].base, rows[i].limit, rows[i].type, rows[i].flags));
    gdt_set(GATE32, call_gate(SEL_CS32, CODE + 0x40, 0xec, 2));
    gdt_set(GATE16, call_gate(SEL_CS16, 0x40, 0xe4, 2));
    gdt_set(GATE_DPL0, call_gate(SEL_CS32, CODE + 0x40, 0x8c, 0));
    gdt_set(GATE_NP, call_gate(SEL_CS32, CODE + 0x40, 0x6c, 0));
    gdt_set(GATE_NULL, call_gate(0, CODE + 0x40, 0xec, 0));
    gdt_set(GATE_DATA, call_gate(SEL_DS, CODE + 0x40, 0xec, 0));
    gdt_set(GATE_SAME, call_gate(SEL_UCS32, CODE + 0x40, 0xec, 3));
    gdt_set(GATE_RING1, call_gate(CODE1, CODE + 0x40, 0xec, 1));
    gdt_set(GATE_NPCODE, call_gate(NPCODE, CODE + 0x40, 0xec, 0));
    gdt_set(GATE_CONF, call_gate(CONF, CODE + 0x40, 0xec, 1));
    tss.ss1 = DATA1 | 1;
    tss.esp1 = PLAY + 0x8000;
    tss.ss2 = 0;
}

static void limits(void)
{
    static const struct { const char *name; u16 sel; u32 offset; bool byte_ok, dword_ok; } rows[] = {
        { "first", SMALL, 0, true, true }, { "last dword", SMALL, 0xffc, true, true },
        { "across the limit", SMALL, 0xffd, true, false }, { "at the limit", SMALL, 0xfff, true, false },
        { "beyond", SMALL, 0x1000, false, false }, { "wrap of a dword", SMALL, 0xfffffffe, false, false },
        { "down 16: below", DOWN16, 0, false, false }, { "down 16: at the limit", DOWN16, 0xfff, false,
        false },
        { "down 16: first", DOWN16, 0x1000, true, true }, { "down 16: last dword", DOWN16, 0xfffc, true,
        true },
        { "down 16: last byte", DOWN16, 0xffff, true, false }, { "down 16: beyond", DOWN16, 0x10000, false,
        false },
        { "down 32: below", DOWN32, 0xffe, false, false }, { "down 32: first", DOWN32, 0x1000, true, true },
        { "down 32: beyond 64 KiB", DOWN32, 0x20000, true, true },
        { "page granular: last", PAGED, 0xffc, true, true }, { "page granular: across", PAGED, 0xffe, true,
        false },
        { "page granular: beyond", PAGED, 0x1000, false, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        group(rows[i].name);
        enum vector byte = rows[i].byte_ok ? DONE : V_GP, dword = rows[i].dword_ok ? DONE : V_GP;
        T("read byte", P32, "nop; 99: mov al, es:[esi]", .es = rows[i].sel, .si = rows[i].offset,
          .vec = byte, .anyip = rows[i].byte_ok);
        T("write byte", P32U, "nop; 99: mov es:[esi], al", .es = rows[i].sel, .si = rows[i].offset,
          .vec = byte, .anyip = rows[i].byte_ok);
        T("read dword", P32U, "nop; 99: mov eax, es:[esi]", .es = rows[i].sel, .si = rows[i].offset,
          .vec = dword, .anyip = rows[i].dword_ok);
        T("add to dword", P32, "nop; 99: add es:[esi], eax", .es = rows[i].sel, .si = rows[i].offset,
          .vec = dword, .anyip = rows[i].dword_ok);
    }
    group("limits");
    T("base wraps at 4 GiB", P32, "mov al, es:[esi]", .es = DOWN32, .si = (u32)(DATA - PLAY), .d = { 0x71 },
      .x = { { AX, 0x71 } });
    T("ss limit is #SS(0)", P32, "mov ss, cx; mov eax, ss:[0x1000]", .cx = STACK_SMALL, .sp = 0x800,
      .vec = V_SS, .anyip = true);
    T("ebp uses ss", P32, "mov ss, cx; 99: mov eax, [ebp]", .cx = STACK_SMALL, .sp = 0x800, .bp = 0x2000,
      .vec = V_SS);
    T("ds override of ebp", P32, "mov ss, cx; mov eax, ds:[ebp]", .cx = STACK_SMALL, .sp = 0x800,
      .bp = DATA, .d = { 5 },
      .x = { { AX, 5 } });
    T("push across the limit", P32U, "mov esp, 0x30002; push eax; mov ebp, esp", .x = { { BP, 0x2fffe } });
    T("jump beyond the code limit", P32, "push 0x1d8; push 0x20; lret\n" AT(0x20) "99: mov eax, 0x200; "
      "jmp eax",
      .vec = V_GP, .anyip = true);
    T("execution runs over the limit", P32, "push 0x1d8; push 0xfe; lret\n" AT(0xfe) "nop; 99: mov eax, 5",
      .vec = V_GP,
      .err = 0);
}

static void rights(void)
{
    group("rights");
    T("write to read-only", P32U, "99: mov es:[0], eax", .es = RODATA | 3, .vec = V_GP);
    T("read from read-only", P32U, "mov eax, es:[0]", .es = RODATA | 3);
    T("cmpxchg needs write", P32U, "cmpxchg es:[0], ecx", .es = RODATA | 3, .vec = V_GP, .ax = 1, .cx = 2);
    T("write to code", P32, "mov cs:[0x20000], eax", .vec = V_GP);
    T("read from code", P32, "mov eax, cs:[0x20000]", .d = { 3 }, .x = { { AX, 3 } });
    T("load readable code in ds", P32U, "mov ds, cx; mov al, [0]", .cx = XREAD | 3, .x = { { AX, 0x8e } });
    T("load execute-only in ds", P32U, "mov ds, cx", .cx = XONLY, .vec = V_GP, .err = XONLY);
    T("load read-only in ss", P32, "mov ss, cx", .cx = RODATA0, .vec = V_GP, .err = RODATA0);
    T("load code in ss", P32, "mov ss, cx", .cx = SEL_CS32, .vec = V_GP, .err = SEL_CS32);
    T("ss needs dpl = cpl", P32, "mov ss, cx", .cx = SEL_UDS, .vec = V_GP, .err = SEL_UDS);
    T("ss needs rpl = cpl", P32, "mov ss, cx", .cx = SEL_DS | 3, .vec = V_GP, .err = SEL_DS);
    T("ss not present", P32, "mov ss, cx", .cx = NPSTACK, .vec = V_SS, .err = NPSTACK);
    T("ss null", P32, "mov ss, cx", .cx = 0, .vec = V_GP);
    T("ds not present", P32, "mov ds, cx", .cx = NPDATA, .vec = V_NP, .err = NPDATA);
    T("ds beyond the gdt", P32, "mov ds, cx", .cx = 0xfff8, .vec = V_GP, .err = 0xfff8);
    T("ds too privileged", P32U, "mov ds, cx", .cx = DATA0, .vec = V_GP, .err = DATA0);
    T("rpl weakens", P32, "mov ds, cx", .cx = DATA0 | 3, .vec = V_GP, .err = DATA0);
    T("conforming code in ds from ring 3", P32U, "mov ds, cx; mov eax, [0x20000]", .cx = CONF | 3,
      .d = { 4 }, .x = { { AX, 4 } });
    T("system descriptor in es", P32, "mov es, cx", .cx = SEL_TSS, .vec = V_GP, .err = SEL_TSS);
    T("null in ds, no access", P32U, "mov ds, cx; mov es, cx; mov fs, cx; mov gs, cx", .x = { { DS, 0 },
      { GS, 0 } });
    T("null with rpl 3", P32, "mov ds, cx; mov ax, ds", .cx = 3, .x = { { AX, 3 } });
    T("access through null ds", P32, "mov ds, cx; 99: mov eax, [0]", .vec = V_GP);
    T("access through null fs", P32U, "mov fs, cx; 99: mov fs:[0], al", .vec = V_GP);
    T("rep movs with null es, count 0", P32, "mov es, ecx; rep movsb", .cx = 0, .x = { { CX, 0 } });
    T("lds bad selector keeps register", P32, "lds esi, [ebx]", .d = { 0x11111111, NPDATA }, .si = 7,
      .vec = V_NP,
      .err = NPDATA, .x = { { SI, 7 }, { DS, SEL_DS } });
    T("pop ds bad keeps esp", P32, "push 0xfff8; 99: pop ds", .vec = V_GP, .err = 0xfff8, .x = { { SP,
      STACK + STACK_TOP - 4 } });
    T("mov from segment zero extends", P32, "mov eax, ds", .ax = 0xffffffff, .x = { { AX, SEL_DS } });
    T("accessed bit is set", P32, "and byte ptr [edi+5], 0xfe; mov fs, cx; mov al, [edi+5]",
      .di = (u32)gdt + SMALL,
      .cx = SMALL, .x = { { AX, 0xf3 } });
}

static void ldt_tests(void)
{
    group("ldt");
    ldt[1] = desc(PLAY, 0xfff, 0xf3, 4);
    ldt_load();
    poke32(PLAY + 0x10, 0x1dd1dd1d);
    T("ldt segment", P32U, "mov fs, cx; mov eax, fs:[0x10]", .cx = 0xf, .x = { { AX, 0x1dd1dd1d } });
    T("ldt null entry is no null selector", P32U, "mov fs, cx", .cx = 4, .vec = V_GP, .err = 4);
    T("beyond the ldt limit", P32, "mov fs, cx", .cx = 0x104, .vec = V_GP, .err = 0x104);
    T("lldt null, then use", P32, "lldt cx; mov ecx, 0xc; 99: mov fs, cx", .cx = 0, .vec = V_GP, .err = 0xc);
    T("lldt of data", P32, "lldt cx", .cx = SEL_DS, .vec = V_GP, .err = SEL_DS);
    T("lldt not present", P32, "lldt cx", .cx = NPLDT, .vec = V_NP, .err = NPLDT);
    T("lldt from the ldt", P32, "lldt cx", .cx = 0xc, .vec = V_GP, .err = 0xc);
    T("lldt in ring 3", P32U, "lldt cx", .cx = SEL_LDT, .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 loads it */
        T("ltr null", P32, "ltr cx", .cx = 0, .vec = V_GP);
    T("ltr busy", P32, "ltr cx", .cx = BUSYTSS, .vec = V_GP, .err = BUSYTSS);
    T("ltr not present", P32, "ltr cx", .cx = NPTSS, .vec = V_NP, .err = NPTSS);
    T("str", P32U, "str eax", .x = { { AX, SEL_TSS } });
    ldt_load();
    T("sldt", P32U, "sldt ax", .ax = 0x10000, .x = { { AX, 0x10000 | SEL_LDT } });
    T("sldt 32-bit register", P32, "sldt eax", .ax = 0xffffffff, .x = { { AX, SEL_LDT } });
}

static void descriptor_instructions(void)
{
    static const struct { const char *name; u16 sel; bool lar0, lar3, lsl0, lsl3, verr3, verw3; u32 rights,
      limit; } rows[] = {
        { "null", 0, 0, 0, 0, 0, 0, 0, 0, 0 }, { "kernel code", SEL_CS32, 1, 0, 1, 0, 0, 0, 0xc09b00,
        0xffffffff },
        { "kernel data", SEL_DS, 1, 0, 1, 0, 0, 0, 0xc09300, 0xffffffff },
        { "user data", SEL_UDS, 1, 1, 1, 1, 1, 1, 0xc0f300, 0xffffffff },
        { "read-only", RODATA, 1, 1, 1, 1, 1, 0, 0x40f100, 0xffff },
        { "execute-only", XONLY, 1, 1, 1, 1, 0, 0, 0x40f900, 0xffff },
        { "readable code", XREAD, 1, 1, 1, 1, 1, 0, 0x40fb00, 0xffff },
        { "conforming", CONF, 1, 1, 1, 1, 1, 0, 0xc09f00, 0xffffffff },
        { "page granular", PAGED, 1, 1, 1, 1, 1, 1, 0xc0f300, 0xfff },
        { "not present", NPDATA, 1, 1, 1, 1, 1, 1, 0x407300, 0xffff },
        { "busy tss", SEL_TSS, 1, 0, 1, 0, 0, 0, 0x8b00, sizeof(struct tss32) - 1 },
        { "ldt", SEL_LDT, 1, 0, 1, 0, 0, 0, 0x8200, sizeof ldt - 1 },
        { "call gate", GATE32, 1, 1, 0, 0, 0, 0, 0xec00, 0 }, { "beyond", 0xffe8, 0, 0, 0, 0, 0, 0, 0, 0 },
    };
    ldt_load();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const u32 old = 0x5a5a5a5a;
        group(rows[i].name);
        T("lar ring 0", P32, "lar eax, ecx; setz dl; and eax, 0xf0ff00", .cx = rows[i].sel, .ax = 0,
          .x = { { DX, rows[i].lar0 }, { AX, rows[i].lar0 ? rows[i].rights : 0 } });
        T("lar ring 3", P32U, "lar eax, ecx; setz dl", .cx = rows[i].sel, .ax = old,
          .x = { { DX, rows[i].lar3 }, { AX, rows[i].lar3 ? rows[i].rights : old & 0xf0ff00, 0xf0ff00 } });
        T("lsl ring 0", P32, "lsl eax, ecx; setz dl", .cx = rows[i].sel, .ax = old,
          .x = { { DX, rows[i].lsl0 }, { AX, rows[i].lsl0 ? rows[i].limit : old } });
        T("lsl ring 3, 16-bit", P32U, "lsl ax, cx; setz dl", .cx = rows[i].sel, .ax = old,
          .x = { { DX, rows[i].lsl3 }, { AX,
          rows[i].lsl3 ? (old & 0xffff0000) | (rows[i].limit & 0xffff) : old } });
        T("verr, verw ring 3", P32U, "verr cx; setz dl; verw cx; setz dh", .cx = rows[i].sel,
          .x = { { DX, rows[i].verr3 | rows[i].verw3 << 8 } });
    }
    group("arpl");
    T("raises rpl", P32, "arpl ax, cx", .ax = 0x10, .cx = 3, .x = { { AX, 0x13 }, { FL, ZF, ZF } });
    T("keeps higher rpl", P32U, "arpl ax, cx", .ax = 0x12, .cx = 1, .x = { { AX, 0x12 }, { FL, 0, ZF } });
    T("memory", P32U, "arpl [ebx], cx", .d = { 0x20 }, .cx = 2, .x = { { M32, 0x22, DATA } });
}

static void far_transfers(void)
{
    group("far transfers");
    T("jmp to code", P32, "ljmp 0x8, 0x10020\n" AT(0x20) "mov eax, 1", .x = { { AX, 1 } });
    T("jmp to inner ring", P32U, "ljmp 0x8, 0x10020", .vec = V_GP, .err = 8);
    T("jmp to outer ring", P32, "ljmp 0x18, 0x10020", .vec = V_GP, .err = 0x18);
    T("jmp rpl above cpl", P32, "ljmp 0xb, 0x10020", .vec = V_GP, .err = 8);
    T("jmp to data", P32, "ljmp 0x10, 0x10020", .vec = V_GP, .err = 0x10);
    T("jmp to null", P32, "ljmp 0, 0x10020", .vec = V_GP);
    T("jmp not present", P32, "ljmp 0x138, 0x10020", .vec = V_NP, .err = NPCODE);
    T("jmp beyond limit", P32, "ljmp 0x1d8, 0x1000", .vec = V_GP, .err = 0, .anyip = true);
    T("jmp to conforming keeps cpl", P32U, "ljmp 0x140, 0x10020\n" AT(0x20) "mov eax, cs", .x = { { AX,
      CONF | 3 } });
    T("conforming of a lower ring", P32, "ljmp 0x1d0, 0x10020", .vec = V_GP, .err = CONF3);
    T("call to 16-bit code and back", P32, "mov ecx, esp; lcall 0x40, 0x20; jmp 1f\n" AT(0x20) ".code16; "
      "mov ax, cs; data32 lret;"
      ".code32; 1: sub ecx, esp", .x = { { AX, SEL_CS16 }, { CX, 0 } });
    T("far return to outer ring", P32, "push 0x23; push 0x34000; push 0x1b; push 0x10020; lret\n" AT(0x20)
      "mov eax, cs; mov ecx, ss; mov edx, esp; mov esi, ds", .fs = SEL_UDS | 3,
      .x = { { AX, 0x1b }, { CX, 0x23 }, { DX, 0x34000 }, { SI, 0 }, { FS, SEL_UDS | 3 } });
    T("far return with parameters", P32, "push 0x23; push 0x34000; push 1; push 2; push 0x1b; push 0x10020; "
      "lret 8\n" AT(0x20)
      "mov edx, esp", .x = { { DX, 0x34008 } });
    T("far return, bad ss", P32, "push 0x10; push 0x34000; push 0x1b; push 0x10020; 99: lret", .vec = V_GP,
      .err = 0x10);
    T("far return, null ss", P32, "push 0; push 0x34000; push 0x1b; push 0x10020; 99: lret", .vec = V_GP,
      .err = 0);
    T("far return to inner ring", P32U, "push 0x8; push 0x10020; 99: lret", .vec = V_GP, .err = 8);
    T("far return null cs", P32, "push 0; push 0x10020; 99: lret", .vec = V_GP);
    T("iret to outer ring", P32, "push 0x23; push 0x34000; push 0x3202; push 0x1b; push 0x10020; "
      "iretd\n" AT(0x20)
      "mov eax, cs; pushfd; pop ecx; cli", .x = { { AX, 0x1b }, { CX, 0x3202 }, { DS, 0 } });
    T("iret same ring", P32, "push 0x3002; push 0x8; push 0x10020; iretd\n" AT(0x20) "pushfd; pop eax",
      .x = { { AX, 0x3002 } });
    T("iret in ring 3 keeps if and iopl", P32U, "push 0x3203; push 0x1b; push 0x10020; "
      "iretd\n" AT(0x20) "pushfd; pop eax",
      .x = { { AX, 3 } });
    T("iret to ring 3 leaves null selectors without rpl", P32,
      "mov ecx, 3; mov ds, ecx; mov es, ecx; push 0x23; push 0x30100; push 2; push 0x1b; push 0x10040; "
      "iretd\n" AT(0x40) "mov eax, ds; mov edx, es", .x = { { AX, 0, 0xffff }, { DX, 0, 0xffff } });
    T("iret not present", P32, "push 2; push 0x138; push 0x10020; 99: iretd", .vec = V_NP, .err = NPCODE);
    T("16-bit iret", P32, "push 0; pushw 2; pushw 0x40; pushw 0x20; iretw\n" AT(0x20) ".code16; "
      "mov eax, 0x12345678; .code32",
      .x = { { AX, 0x12345678 }, { CS, SEL_CS16 } });
    T("mov to cs", P32, ".byte 0x8e, 0xc9", .vec = V_UD);
}

static void call_gates(void)
{
    group("call gates");
    T("32-bit gate to ring 0", P32U, "push 0x2222; push 0x1111; lcall 0x158, 0; nop\n" AT(0x40)
      "pop eax; pop ecx; pop edx; pop esi; pop edi; pop ebp", .x = { { AX, CODE + 17 }, { CX,
      SEL_UCS32 | 3 }, { DX, 0x1111 },
      { SI, 0x2222 }, { DI, STACK + STACK_TOP - 8 }, { BP, SEL_UDS | 3 }, { CS, SEL_CS32 } });
    check("esp0", out->r[4], tss.esp0);
    T("return through the gate", P32U, "push 0x2222; push 0x1111; lcall 0x158, 0; mov eax, esp; "
      "jmp 1f\n" AT(0x40)
      "mov edx, ds; lret 8; 1:", .x = { { AX, STACK + STACK_TOP }, { CS, SEL_UCS32 | 3 }, { DS,
      SEL_UDS | 3 } });
    T("16-bit gate to ring 0", P32U, "pushw 0x2222; pushw 0x1111; .byte 0x9a; .long 0; .word 0x160; "
      "nop\n" AT(0x40)
      ".code16; pop ax; pop cx; pop dx; pop si; pop di; pop bp; .code32", .x = { { AX, 15 + 0 }, { CX,
      SEL_UCS32 | 3 },
      { DX, 0x1111 }, { SI, 0x2222 }, { DI, STACK_TOP - 4 }, { BP, SEL_UDS | 3 }, { CS, SEL_CS16 } });
    T("gate to the same ring copies nothing", P32U, "push 5; lcall 0x198, 0; nop\n" AT(0x40) "pop eax; "
      "pop ecx; pop edx",
      .x = { { AX, CODE + 9 }, { CX, SEL_UCS32 | 3 }, { DX, 5 } });
    T("jmp through a gate to the same ring", P32U, "ljmp 0x198, 0\n" AT(0x40) "mov eax, esp", .x = { { AX,
      STACK + STACK_TOP } });
    T("jmp through a gate to an inner ring", P32U, "ljmp 0x158, 0", .vec = V_GP, .err = SEL_CS32);
    T("gate to conforming code", P32U, "lcall 0x1e8, 0\n" AT(0x40) "mov eax, cs; mov ecx, ss", .x = { { AX,
      CONF | 3 },
      { CX, SEL_UDS | 3 } });
    T("gate with dpl 0 from ring 3", P32U, "lcall 0x168, 0", .vec = V_GP, .err = GATE_DPL0);
    T("gate rpl above dpl", P32, "lcall 0x16b, 0", .vec = V_GP, .err = GATE_DPL0);
    T("gate in ring 0", P32, "lcall 0x168, 0\n" AT(0x40) "pop eax", .x = { { AX, CODE + 7 } });
    T("gate not present", P32U, "lcall 0x170, 0", .vec = V_NP, .err = GATE_NP);
    T("gate to null", P32U, "lcall 0x178, 0", .vec = V_GP, .err = 0);
    T("gate to data", P32U, "lcall 0x180, 0", .vec = V_GP, .err = SEL_DS);
    T("gate to code not present", P32, "lcall 0x1e0, 0", .vec = V_NP, .err = NPCODE);
    T("gate to ring 1", P32U, "push 0x77; lcall 0x1b0, 0\n" AT(0x40) "mov eax, cs; mov ecx, ss; "
      "mov edx, esp; add esp, 8; pop esi",
      .x = { { AX, CODE1 | 1 }, { CX, DATA1 | 1 }, { DX, PLAY + 0x8000 - 20 }, { SI, 0x77 } });
    tss.ss1 = 0;
    T("null stack of ring 1", P32U, "push 0; 99: lcall 0x1b0, 0", .vec = V_TS, .err = 0);
    tss.ss1 = SEL_DS | 1;
    T("stack of ring 1, wrong dpl", P32U, "push 0; 99: lcall 0x1b0, 0", .vec = V_TS, .err = SEL_DS);
    tss.ss1 = DATA1;
    T("stack of ring 1, wrong rpl", P32U, "push 0; 99: lcall 0x1b0, 0", .vec = V_TS, .err = DATA1);
    gdt_set(DATA1, desc(0, 0xfffff, 0x33, 12));
    tss.ss1 = DATA1 | 1;
    T("stack of ring 1, not present", P32U, "push 0; 99: lcall 0x1b0, 0", .vec = V_SS, .err = DATA1);
    gdt_set(DATA1, desc(0, 0x8, 0xb3, 4));
    T("stack of ring 1 too small", P32U, "push 0; 99: lcall 0x1b0, 0", .vec = V_SS, .err = DATA1);
    gdt_set(DATA1, desc(0, 0xfffff, 0xb3, 12));
    T("call to a tss not present", P32, "lcall 0x1c0, 0", .vec = V_NP, .err = NPTSS);
    T("call to an ldt", P32, "lcall 0x98, 0", .vec = V_GP, .err = SEL_LDT);
}

static void interrupt_gates(void)
{
    group("interrupt gates");
    T("int with dpl 0 from ring 3", P32U, "int 0x41", .vec = V_GP, .err = 0x41 * 8 + 2);
    T("int with dpl 0 from ring 0", P32, "int 0x41; 99:", .vec = INT(0x41));
    idt32_gate(0x50, SEL_CS32, CODE + 0x40, 0x6e);
    T("gate not present", P32, "int 0x50", .vec = V_NP, .err = 0x50 * 8 + 2);
    idt32_gate(0x50, SEL_CS32, CODE + 0x40, 0xec);
    T("call gate in the idt", P32, "int 0x50", .vec = V_GP, .err = 0x50 * 8 + 2);
    idt32_gate(0x50, 0, CODE + 0x40, 0xee);
    T("null code selector", P32, "int 0x50", .vec = V_GP, .err = 0);
    idt32_gate(0x50, SEL_UDS, CODE + 0x40, 0xee);
    T("data as code", P32, "int 0x50", .vec = V_GP, .err = SEL_UDS);
    idt32_gate(0x50, SEL_UCS32, CODE + 0x40, 0xee);
    T("outer code", P32, "int 0x50", .vec = V_GP, .err = SEL_UCS32);
    idt32_gate(0x50, NPCODE, CODE + 0x40, 0xee);
    T("code not present", P32, "int 0x50", .vec = V_NP, .err = NPCODE);
    idt32_gate(0x50, CONF, CODE + 0x40, 0xee);
    T("conforming handler", P32U, "int 0x50\n" AT(0x40) "mov eax, cs", .x = { { AX, CONF | 3 } });
    idt32_gate(0x50, SEL_CS32, CODE + 0x40, 0xef);
    T("trap gate keeps if", P32, "sti; int 0x50\n" AT(0x40) "pushfd; pop eax; cli; and eax, 0x200",
      .x = { { AX, IF } });
    idt32_gate(0x50, SEL_CS32, CODE + 0x40, 0xee);
    T("interrupt gate clears if", P32, "sti; int 0x50\n" AT(0x40) "pushfd; pop eax; and eax, 0x200",
      .x = { { AX, 0 } });
    T("interrupt gate clears tf and nt", P32, "pushfd; or byte ptr [esp+1], 0x40; popfd; int 0x50\n" AT(0x40)
      "pushfd; pop eax; and eax, 0x4100; mov ecx, [esp+8]; and ecx, 0x4100; and byte ptr [esp+9], 0xbf",
      .x = { { AX, 0 }, { CX, NT } });
    T("frame from ring 3", P32U, "int 0x50; nop\n" AT(0x40) "pop eax; pop ecx; pop edx; pop esi; pop edi",
      .fl = CF,
      .x = { { AX, CODE + 2 }, { CX, 0x1b }, { DX, 3 }, { SI, STACK + STACK_TOP }, { DI, 0x23 } });
    idt32_gate(0x50, CODE1, CODE + 0x40, 0xee);
    T("handler in ring 1", P32U, "int 0x50\n" AT(0x40) "mov eax, cs; mov ecx, esp", .x = { { AX,
      CODE1 | 1 }, { CX, PLAY + 0x8000 - 20 } });
    idt32_gate(0x50, SEL_CS16, 0x40, 0xe6);
    T("16-bit interrupt gate", P32U, "int 0x50\n" AT(0x40) ".code16; pop ax; pop cx; pop dx; pop si; "
      "pop di; .code32", .fl = CF,
      .x = { { AX, 2 }, { CX, 0x1b }, { DX, 3 }, { SI, STACK_TOP }, { DI, 0x23 }, { CS, SEL_CS16 } });
    T("idt limit", P32, "nop; lidt [ebx]; 99: int 0x50", .d = { 0x1ff | (u32)idt32 << 16, (u32)idt32 >> 16 },
      .vec = V_GP, .err = 0x50 * 8 + 2);
    poke16(LOW_IDTR32, sizeof idt32 - 1);
    __asm__ volatile("lidtl %0" : : "m"(*(char *)at(LOW_IDTR32)));
}

static void io_permission(void)
{
    group("i/o permission");
    T("iopl 3", P32U, "mov al, 0x11; out 0x80, al", .fl = IOPL3);
    T("iopl 0, bitmap forbids", P32U, "out 0x80, al", .vec = V_GP);
    T("ring 0 does not ask", P32, "out 0x80, al");
    tss.bitmap[0x80 / 8] = 0xfe;
    T("bitmap allows the byte", P32U, "out 0x80, al");
    T("neighbour is forbidden", P32U, "nop; 99: out 0x81, al", .vec = V_GP);
    T("word needs both bits", P32U, "nop; 99: out 0x80, ax", .vec = V_GP);
    tss.bitmap[0x80 / 8] = 0xf0;
    T("dword with four bits", P32U, "out 0x80, eax");
    T("dword one off", P32U, "mov edx, 0x81; 99: out dx, eax", .vec = V_GP);
    tss.bitmap[0x80 / 8] = 0x7f;
    tss.bitmap[0x80 / 8 + 1] = 0xfe;
    T("word across bitmap bytes", P32U, "mov edx, 0x87; out dx, ax");
    T("beyond the tss limit", P32U, "mov edx, 0xfff0; 99: in al, dx", .vec = V_GP);
    T("rep outsb forbidden", P32U, "mov edx, 0x81; mov ecx, 2; mov esi, ebx; 99: rep outsb", .vec = V_GP,
      .x = { { CX, 2 } });
    T("ins forbidden, memory first checked by port", P32U, "mov edx, 0x81; 99: insb", .vec = V_GP);
    u16 keep = tss.iomap;
    tss.iomap = sizeof tss;
    T("bitmap outside the tss", P32U, "mov edx, 0x87; 99: out dx, al", .vec = V_GP);
    tss.iomap = keep;
    memset(tss.bitmap, 0xff, sizeof tss.bitmap);
}

static void privileged(void)
{
#define FORBIDDEN(text) T(text, P32U, text, .vec = V_GP)
    group("privileged in ring 3");
    FORBIDDEN("hlt");
    FORBIDDEN("clts");
    FORBIDDEN("mov eax, cr0");
    FORBIDDEN("mov cr0, eax");
    FORBIDDEN("mov eax, cr3");
    FORBIDDEN("mov eax, dr0");
    FORBIDDEN("mov dr7, eax");
    FORBIDDEN("lgdt [ebx]");
    FORBIDDEN("lidt [ebx]");
    FORBIDDEN("lmsw ax");
    FORBIDDEN("ltr ax");
    FORBIDDEN("invd");
    FORBIDDEN("wbinvd");
    FORBIDDEN("invlpg [ebx]");
    FORBIDDEN("rdmsr");
    FORBIDDEN("wrmsr");
    FORBIDDEN("cli");
    FORBIDDEN("sti");
    T("smsw is allowed", P32U, "smsw ax; and ax, 1", .x = { { AX, 1 } });
    T("sgdt is allowed", P32U, "sgdt [ebx]", .x = { { M16, GDT_BYTES - 1, DATA }, { M32, (u32)gdt,
      DATA + 2 } });
    T("sidt is allowed", P32U, "sidt [ebx]", .x = { { M16, sizeof idt32 - 1, DATA }, { M32, (u32)idt32,
      DATA + 2 } });
    T("cli with iopl 3", P32U, "sti; cli", .fl = IOPL3);
    T("popf cannot set if", P32U, "pushfd; or byte ptr [esp+1], 2; popfd; pushfd; pop eax; and eax, 0x200",
      .x = { { AX, 0 } });
    T("popf with iopl 3 sets if", P32U, "pushfd; or byte ptr [esp+1], 2; popfd; pushfd; pop eax; cli; "
      "and eax, 0x200",
      .fl = IOPL3, .x = { { AX, IF } });
    T("popf cannot raise iopl", P32U, "push 0x3002; popfd; pushfd; pop eax", .x = { { AX, 2 } });
    T("popf in ring 0 sets iopl", P32, "push 0x3002; popfd; pushfd; pop eax", .x = { { AX, 0x3002 } });
    T("popf cannot set vm", P32, "push 0x20002; popfd; pushfd; pop eax", .x = { { AX, 2 } });
    T("popf sets ac and id", P32, "push 0x240002; popfd; pushfd; pop eax; push 2; popfd", .x = { { AX,
      0x240002 } });
    T("popf 16 keeps the high half", P32, "push 0x40002; popfd; pushw 0x3; popfw; pushfd; pop eax; push 2; "
      "popfd", .x = { { AX, 0x40003 } });
    T("pushf clears rf", P32, "pushfd; pop eax", .fl = RF, .x = { { AX, 2 } });
    cr4_set(cr4_get() | 4);
    T("rdtsc with tsd", P32U, "rdtsc", .vec = V_GP);
    T("rdtsc with tsd in ring 0", P32, "rdtsc; xor eax, eax", .x = { { AX, 0 } });
    cr4_set(cr4_get() & ~4u);
    T("rdtsc", P32U, "rdtsc; mov ecx, eax; mov esi, edx; rdtsc; sub eax, ecx; sbb edx, esi; setc al; "
      "movzx eax, al", .x = { { AX, 0 } });
    T("rdpmc without pce", P32U, "rdpmc", .vec = V_GP);
    T("lmsw cannot clear pe", P32, "smsw ax; and ax, 0xfffe; lmsw ax; smsw ax; and ax, 1", .x = { { AX,
      1 } });
    T("clts", P32, "mov eax, cr0; or al, 8; mov cr0, eax; clts; mov eax, cr0; and eax, 8", .x = { { AX,
      0 } });
    T("cr0: nw without cd", P32, "mov eax, cr0; and eax, 0x9fffffff; or eax, 0x20000000; 99: mov cr0, eax",
      .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 turns paging on */
        T("cr0: pg without pe", P32, "mov eax, 0x80000010; 99: mov cr0, eax", .vec = V_GP);
    if (!stand_in) /* QEMU 7.2 takes it and dies */
        T("cr4 reserved bit", P32, "mov eax, cr4; or eax, 0x80000000; 99: mov cr4, eax", .vec = V_GP);
    T("unknown msr", P32, "rdmsr", .cx = 0x12345, .vec = V_GP);
}

static void segments16(void)
{
    group("16-bit segments");
    T("16-bit code, sp only", P16, "mov esp, 0x12340000; push ax; mov ecx, esp; mov sp, 0x8000",
      .x = { { CX, 0x1234fffe } });
    T("operand prefix", P16, "mov eax, 0x11223344", .x = { { AX, 0x11223344 } });
    T("address prefix", P16, "mov al, [ebx+1]", .d = { 0x3400 }, .x = { { AX, 0x34 } });
    T("beyond the segment", P16U, "mov al, [ebx]", .bx = 0x10000, .vec = V_GP);
    T("word at ffff", P16U, "mov ax, [bx]", .bx = 0xffff, .vec = V_GP);
    T("ring 3 stack word at ffff", P16U, "mov ax, [bp]", .bp = 0xffff, .vec = V_SS);
    T("ring 3 push wraps", P16U, "xor sp, sp; push ax; mov cx, sp", .x = { { CX, 0xfffe } });
    T("ring 3 push at sp 1", P16U, "mov sp, 1; 99: push ax", .vec = V_SS, .x = { { SP, 1, 0xffff } });
    T("ip stays in 16 bits", P16, "mov eax, 0xffff0010; 99: jmp ax\n" AT(0x10) "mov cl, 1", .x = { { CX,
      1 } });
    T("enter with 16-bit frame", P16U, "enter 4, 1", .bp = 0x1234, .x = { { BP, STACK_TOP - 2 }, { SP,
      STACK_TOP - 8, 0xffff } });
    T("call rel16", P16U, "call 1f; 1: pop ax", .x = { { AX, 3 } });
    T("16-bit stack, 32-bit push", P16U, "push eax; mov cx, sp", .x = { { CX, STACK_TOP - 4 } });
}

void program(const char *line)
{
    (void)line;
    build();
    limits();
    rights();
    ldt_tests();
    descriptor_instructions();
    far_transfers();
    call_gates();
    interrupt_gates();
    io_permission();
    privileged();
    segments16();
}
