/* The edges of the machine: ROM, holes, MMIO as code, ports that nobody answers, LOCK on everything, odd bus
 * accesses. None of it may hurt the emulator. */
#include "guest.h"

const char program_name[] = "misc";

#define HOLE 0x30000000u /* far above RAM, below every device */

static void memory(void)
{
    group("memory");
    u32 rom = peek32(0xfffffff0);
    poke32(0xfffffff0, ~rom);
    check("write to the flash ROM is ignored", peek32(0xfffffff0), rom);
    check("the ROM is also below 1 MiB or shadowed there", peek8(0xffff0), 0xea);
    check("reset vector is a far jump", rom & 0xff, 0xea);
    check("beyond RAM reads ones", peek32(HOLE), 0xffffffff);
    check("a byte too", peek8(HOLE + 3), 0xff);
    check("a word across", peek16(HOLE + 0xfff), 0xffff);
    poke32(HOLE, 0x12345678);
    check("a write beyond RAM is lost", peek32(HOLE), 0xffffffff);
    check("last dword of RAM", (poke32(0x3fffffc, 0x600d), peek32(0x3fffffc)), 0x600d);
    check("behind it, nothing", peek32(0x4000000), 0xffffffff);
    poke32(0x3fffffe, 0x44332211);
    check("across the end of RAM: first half", peek16(0x3fffffe), 0x2211);
    check("across the end of RAM: read", peek32(0x3fffffe) & 0xffff, 0x2211);
    T("rep stos over the end of RAM", P32, "rep stosd", .ax = 0x77, .cx = 16, .di = 0x4000000 - 32,
      .x = { { CX, 0 }, { M32, 0x77, 0x3fffffc } });
    T("rep movs from the hole", P32, "rep movsb", .cx = 8, .si = HOLE, .di = DATA, .x = { { M64, ~0ULL,
      DATA } });
    T("locked add in the hole", P32, "lock add dword ptr [esi], 1", .si = HOLE, .x = { { FL,
      CF | PF | AF | ZF } });
    T("cmpxchg8b in the hole", P32, "cmpxchg8b [esi]", .si = HOLE, .ax = -1, .dx = -1, .x = { { FL, ZF,
      ZF } });
    T("xchg with ROM", P32, "xchg [esi], eax", .si = 0xfffffff0, .ax = 1, .x = { { AX, rom } });
    T("fld from the hole", P32, "fninit; fld qword ptr [esi]; fstp qword ptr [ebx]", .si = HOLE,
      .x = { { M64, ~0ULL, DATA } });
    T("stack in the hole", P32, "mov ebp, esp; mov esp, esi; push 5; pop eax; mov esp, ebp",
      .si = HOLE + 0x100, .x = { { AX, 0xffffffff } });
    T("addresses wrap at 4 GiB", P32, "mov eax, [esi+0x20]", .si = DATA - 0x20, .d = { 0x55 }, .x = { { AX,
      0x55 } });
    T("base plus index wraps", P32, "mov eax, [esi+edi*4]", .si = 0xfffffffc, .di = (DATA + 4) / 4,
      .d = { 0x56 }, .x = { { AX, 0x56 } });
}

static void code_outside(void)
{
    static const struct { const char *name; u32 address; } rows[] = {
        { "hole", HOLE }, { "end of the address space", 0xfffffff0 }, { "local APIC", 0xfee00000 },
        { "IO-APIC", 0xfec00000 }, { "HPET", 0xfed00000 },
        { "VGA window", 0xa0000 }, { "end of RAM", 0x3ffffff }, { "option ROM hole", 0xd8000 },
        { "LAPIC, odd", 0xfee00ff1 },
    };
    group("code outside RAM");
    /* With TF set, whatever is there runs for one instruction at most or faults; it must come back. */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (stand_in && i) /* the stand-in gives up when it executes devices */
            continue;
        T(rows[i].name, P32, "push 0x102; push 8; push esi; iretd", .si = rows[i].address, .anyend = true);
    }
    if (!stand_in) /* it reads zeros there and runs on and on */
        T("ones are undefined", P32, "jmp esi", .si = HOLE, .vec = V_UD, .anyip = true, .x = { { IP,
          HOLE } });
}

static void ports(void)
{
    group("ports");
    check("nobody: byte", inb(0x2e8 - 0x100), 0xff);
    check("nobody: word", inw(0x1e6), 0xffff);
    check("nobody: dword", inl(0x1e4), 0xffffffff);
    outl(0x1e4, 1);
    outw(0xffff, 1);
    check("last port, dword", (inl(0xfffd), 0), 0);
    T("insb from nobody", P32, "mov edx, 0x1e8; mov ecx, 8; cld; rep insb", .di = DATA, .x = { { M64,
      ~0ULL, DATA } });
    T("outsd to nobody", P32, "mov edx, 0x1e8; mov ecx, 4; rep outsd", .si = DATA, .x = { { SI,
      DATA + 16 }, { CX, 0 } });
    T("insd, direction down", P32, "mov edx, 0x1e8; mov ecx, 2; std; rep insd; cld", .di = DATA + 4,
      .x = { { M64, ~0ULL, DATA }, { DI, DATA - 4 } });
}

static void cpuid(void)
{
    group("cpuid");
    u32 a = 0, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    check("highest basic leaf is sensible", a >= 1 && a < 0x40, 1);
    bool intel = b == 0x756e6547 && d == 0x49656e69 && c == 0x6c65746e;
    bool amd = b == 0x68747541 && d == 0x69746e65 && c == 0x444d4163;
    check("vendor is one that systems know", intel || amd, 1);
    check("fpu, tsc, msr, cx8, cmov", cpu_has(1, 3, 0) && cpu_has(1, 3, 4) && cpu_has(1, 3,
      5) && cpu_has(1, 3, 8) && cpu_has(1, 3, 15), 1);
    T("id flag can be toggled", P32, "pushfd; pop eax; xor eax, 0x200000; push eax; popfd; pushfd; pop ecx; "
      "xor ecx, eax; and ecx, 0x200000",
      .x = { { CX, 0 } });
    T("mtrr default type reads", P32, "mov ecx, 0x2ff; rdmsr; and eax, 0xfffff300", .x = { { AX, 0 } });
    T("apic base", P32, "mov ecx, 0x1b; rdmsr; and eax, 0xfffff900", .x = { { AX, 0xfee00900 } });
    T("tsc moves", P32, "rdtsc; mov esi, eax; mov ecx, 1000; 1: loop 1b; rdtsc; sub eax, esi; setnz al; "
      "movzx eax, al", .x = { { AX, 1 } });
    T("tsc can be written", P32, "mov ecx, 0x10; xor eax, eax; mov edx, 0x1234; wrmsr; rdtsc; "
      "mov eax, edx", .x = { { AX, 0x1234 } });
    T("pat after reset", P32, "mov ecx, 0x277; rdmsr", .x = { { AX, 0x00070406 }, { DX, 0x00070406 } });
    T("pat with a bad type", P32, "mov ecx, 0x277; mov eax, 2; 99: wrmsr", .vec = V_GP);
}

/* Unusual but defined encodings. */
static void encodings(void)
{
    group("encodings");
    T("opposite directions of mov", P32, ".byte 0x89, 0xc8; .byte 0x8b, 0xd0", .cx = 7, .x = { { AX, 7 },
      { DX, 7 } });
    T("82 is 80", P32, ".byte 0x82, 0xc0, 5", .x = { { AX, 5 } });
    T("d6 salc", P32, "stc; .byte 0xd6", .x = { { AX, 0xff } });
    T("test group 3 /1", P32, ".byte 0xf6, 0xc8, 0xff", .x = { { FL, PF | ZF, ARITH & ~AF } });
    T("sal is shl", P32, ".byte 0xd1, 0xf0", .ax = 0x40000001, .x = { { AX, 0x80000002 } });
    T("esp as base, no index", P32, ".byte 0x8b, 0x04, 0x24", .vec = DONE);
    T("ebp base without displacement is disp32", P32, ".byte 0x8b, 0x04, 0x0d; .long 0x20000", .cx = 4,
      .d = { 1, 2 }, .x = { { AX, 2 } });
    T("sib with no base and no index", P32, ".byte 0x8b, 0x04, 0x25; .long 0x20004", .d = { 1, 2 },
      .x = { { AX, 2 } });
    T("addr16 in 32-bit code", P32, "mov eax, [bx+si+4]", .bx = 0xffff0010, .si = 0xfff0, .vec = DONE,
      .anyip = true);
    T("two segment overrides, last wins", P32, ".byte 0x2e, 0x64, 0x8b, 0x03", .bx = 4, .fs = SEL_DS16,
      .d = { 1, 2 }, .x = { { AX, 2 } });
    T("66 repeated", P32, ".byte 0x66, 0x66, 0xb8, 1, 0", .ax = 0x10000, .x = { { AX, 0x10001 } });
    T("branch hints", P32, ".byte 0x3e, 0x74, 0; .byte 0x2e, 0x75, 0");
    T("repz ret", P32, "call 1f; jmp 2f; 1: rep ret; 2:");
    T("pause", P32, "pause");
    T("multi-byte nops", P32, ".byte 0x0f, 0x1f, 0; .byte 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0; "
      ".byte 0x0f, 0x19, 0xc0; .byte 0x0f, 0x0d, 0x03");
    T("rep nop with xchg", P32, "xchg eax, eax");
    T("bswap 16-bit is undefined but harmless", P32, ".byte 0x66, 0x0f, 0xc8");
    T("movzx 16 to 16", P32, ".byte 0x66, 0x0f, 0xb7, 0xc1", .ax = 0x50000, .cx = 9, .x = { { AX,
      0x50009 } });
    u32 keep = peek32(3);
    poke32(3, 0x40cd);
    T("66 before a short jump cuts eip", P32, ".byte 0x66, 0xeb, 0", .x = { { IP, 5 } });
    poke32(3, keep);
    T("loop with 16-bit count", P32, "addr16 loop 1f; 1:", .cx = 0x10001, .x = { { CX, 0x10000 } });
    T("push imm8 16-bit", P32, ".byte 0x66, 0x6a, 0xff; pop ax", .x = { { AX, 0xffff }, { SP,
      STACK + STACK_TOP } });
    T("push segment is a dword", P32, "push ds; pop eax", .x = { { AX, SEL_DS, 0xffff }, { SP,
      STACK + STACK_TOP } });
    T("imul sign", P32, "imul ecx, edx, 0x7fffffff", .dx = 2, .x = { { CX, 0xfffffffe }, { FL, CF | OF,
      CF | OF } });
    T("enter level 31 is taken modulo 32", P32, "enter 0, 32", .bp = STACK, .x = { { SP,
      STACK + STACK_TOP - 4 } });
    T("shift by 32 changes nothing", P32, "shl eax, 32", .ax = 5, .fl = CF | ZF, .x = { { AX, 5 }, { FL,
      CF | ZF } });
    T("rcr by 33 is by 1", P32, "mov cl, 33; rcr eax, cl", .ax = 2, .x = { { AX, 1 } });
    T("shld 16 by 20 does not crash", P32, "shld ax, dx, 20");
}

void program(const char *line)
{
    (void)line;
    memory();
    code_outside();
    ports();
    cpuid();
    encodings();
}
