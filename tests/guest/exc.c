/* Exceptions: every vector with its error code and address, double faults, single step, breakpoints, shadows,
 * undefined opcodes (SDM volume 3, chapters 6 and 17). */
#include "guest.h"

const char program_name[] = "exc";

static void vectors(void)
{
    group("vectors");
    T("#DE", P32U, "nop; 99: div ecx", .vec = V_DE);
    T("#DE keeps registers", P32, "div ecx", .ax = 5, .dx = 7, .cx = 7, .vec = V_DE, .x = { { AX, 5 },
      { DX, 7 } });
    T("#DE 8-bit idiv -128", P32, "idiv cl", .ax = 0xff00, .cx = 2, .x = { { AX, 0x80 } });
    T("#DE 8-bit idiv 128", P32, "idiv cl", .ax = 0x0100, .cx = 2, .vec = V_DE);
    T("#BP", P32U, "nop; int3; 99:", .vec = V_BP);
    T("#OF", P32U, "into; 99:", .fl = OF, .vec = V_OF);
    T("#BR", P32U, "nop; 99: bound eax, [ebx]", .ax = 9, .d = { 0, 8 }, .vec = V_BR);
    T("bound in the range", P32U, "bound eax, [ebx]", .ax = 8, .d = { 0, 8 });
    T("#UD", P32U, "nop; 99: ud2", .vec = V_UD);
    T("#GP with a selector", P32U, "mov ds, cx", .cx = 0x3f8 | 3, .vec = V_GP, .err = 0x3f8);
    T("int 80h", P32U, "int 0x80; 99:", .vec = INT(0x80));
    T("int ffh", P32, "int 0xff; 99:", .vec = INT(0xff));
    T("int 8 has no error code", P32, "nop; push 0x12345678; int 0x28; 99:", .vec = INT(0x28));
    T("icebp", P32, ".byte 0xf1; 99:", .vec = V_DB);
    cr0_set(cr0_get() | 8);
    T("#NM by ts", P32U, "nop; 99: fld1", .vec = V_NM);
    T("wait without mp", P32U, "fwait", .vec = DONE, .anyip = true);
    cr0_set(cr0_get() | 2);
    T("wait with mp and ts", P32U, "nop; 99: fwait", .vec = V_NM);
    cr0_set((cr0_get() & ~10u) | 4);
    T("#NM by em", P32U, "fld1", .vec = V_NM);
    T("wait with em", P32U, "fwait");
    T("movq with em", P32U, "movq mm0, [ebx]", .vec = V_UD);
    cr0_set(cr0_get() & ~4u);
    cr0_set(cr0_get() | 1 << 18);
    T("#AC dword", P32U, "mov eax, [ebx+2]", .fl = AC, .vec = V_AC, .err = 0);
    T("#AC word", P32U, "mov ax, [ebx+1]", .fl = AC, .vec = V_AC, .err = 0);
    T("#AC write keeps memory", P32U, "mov [ebx+1], eax", .fl = AC, .ax = -1, .vec = V_AC, .x = { { M32, 0,
      DATA } });
    T("#AC push", P32U, "mov esp, 0x30102; 99: push eax", .fl = AC, .vec = V_AC);
    T("#AC fld qword at 4", P32U, "fld qword ptr [ebx+4]", .fl = AC, .vec = V_AC);
    T("aligned is fine", P32U, "mov eax, [ebx+4]; mov cx, [ebx+2]; mov dl, [ebx+1]", .fl = AC);
    T("ring 0 is not checked", P32, "mov eax, [ebx+1]", .fl = AC);
    T("v86 is checked", V86, "mov ax, [bx+1]", .fl = AC, .vec = V_AC, .err = 0);
    cr0_set(cr0_get() & ~(1u << 18));
    T("am clear", P32U, "mov eax, [ebx+1]", .fl = AC);
}

static void undefined(void)
{
#define UD(bytes) T(bytes, P32U, ".byte " bytes, .vec = V_UD)
    group("undefined");
    UD("0x0f, 0x0b");
    UD("0x0f, 0xb9, 0xc0");
    UD("0x0f, 0xff, 0xc0");
    UD("0x0f, 0x0a");
    UD("0x0f, 0x04");
    UD("0x0f, 0x24, 0xc0");
        UD("0xfe, 0xd0");
    UD("0xfe, 0xf8");
    UD("0xff, 0xf8");
    UD("0xff, 0xd8"); /* far call through a register */
    UD("0xff, 0xe8");
    UD("0x8d, 0xc0"); /* lea */
    UD("0xc4, 0xc0"); /* les, or VEX when AVX is on: always undefined here */
    UD("0x62, 0xc0"); /* bound with a register */
    UD("0x0f, 0xb2, 0xc0"); /* lss */
    UD("0x0f, 0xc7, 0xc8"); /* cmpxchg8b */
    UD("0x0f, 0xba, 0xc0, 0");
    UD("0x8f, 0xc8"); /* pop /1 */
    UD("0xc6, 0xc8, 0");
    UD("0xc7, 0xc8, 0, 0, 0, 0");
    UD("0x8e, 0xc8"); /* mov cs */
    UD("0x8e, 0xf0");
    UD("0x8c, 0xf8");
    T("cr1", P32, ".byte 0x0f, 0x20, 0xc8", .vec = V_UD);
    UD("0xf0, 0x01, 0xc8"); /* lock add eax, ecx */
    UD("0xf0, 0x89, 0x03"); /* lock mov */
    UD("0xf0, 0x90");
    UD("0xf0, 0x39, 0x03"); /* lock cmp */
    UD("0xf0, 0x0f, 0xa3, 0x03"); /* lock bt */
    UD("0xf0, 0xf7, 0x03, 0, 0, 0, 0"); /* lock test */
    UD("0xf0, 0xff, 0x13"); /* lock call */
    UD("0xf0, 0xff, 0x33"); /* lock push */
    UD("0xf0, 0xd1, 0x03"); /* lock rol */
    UD("0xf0, 0x6b, 0x03, 1"); /* lock imul */
    UD("0xf0, 0x03, 0x03"); /* lock add eax, [ebx] */
    UD("0xf0, 0x9c");
    UD("0xf0, 0xa4"); /* lock movsb */
    UD("0x0f, 0x38, 0xff, 0xc0");
#define GOOD(bytes) T(bytes, P32U, ".byte " bytes)
    group("locked");
    GOOD("0xf0, 0x01, 0x03");
    GOOD("0xf0, 0x0f, 0xb1, 0x0b");
    GOOD("0xf0, 0x0f, 0xc1, 0x0b");
    GOOD("0xf0, 0x0f, 0xc7, 0x0b");
    GOOD("0xf0, 0x87, 0x03");
    GOOD("0xf0, 0xff, 0x03");
    GOOD("0xf0, 0xf7, 0x13");
    GOOD("0xf0, 0x0f, 0xab, 0x0b");
    GOOD("0xf0, 0x0f, 0xba, 0x2b, 1");
    GOOD("0xf0, 0x80, 0x0b, 1");
    group("length");
    T("15 bytes", P32U, ".fill 14, 1, 0x66; nop");
    T("16 bytes", P32U, ".fill 15, 1, 0x66; nop", .vec = V_GP);
    T("16 bytes, real mode", REAL, ".fill 15, 1, 0x67; nop", .vec = V_GP);
    T("15 bytes of mov", P32U, ".fill 9, 1, 0x2e; mov eax, 0x12345678", .x = { { AX, 0x12345678 } });
    T("long instruction with lock", P32U, ".fill 9, 1, 0x3e; .byte 0xf0, 0x81, 0x03; .long 0x11223344",
      .vec = V_GP);
    T("16 bytes of prefixes before ud2", P32U, ".fill 14, 1, 0xf3; ud2", .vec = V_GP);
}

static void double_faults(void)
{
    static const struct { const char *name; int first; enum vector vec; u32 err; } rows[] = {
        { "#DE then #NP", 0, V_DF, 0 }, { "#UD then #NP", 6, V_NP, 6 * 8 + 3 },
        { "#NM then #NP", 7, V_NP, 7 * 8 + 3 }, { "#NP then #NP", 11, V_DF, 0 },
        { "#GP then #NP", 13, V_DF, 0 }, { "#BR then #NP", 5, V_NP, 5 * 8 + 3 },
        { "#AC then #NP", 17, V_NP, 17 * 8 + 3 }, { "#BP then #NP", 3, V_NP, 3 * 8 + 2 },
        { "#OF then #NP", 4, V_NP, 4 * 8 + 2 }, { "icebp then #NP", 1, V_NP, 1 * 8 + 3 },
    };
    const struct code *codes[18] = {
        [0] = SNIPPET(32, "div ecx"), [1] = SNIPPET(32, ".byte 0xf1"), [3] = SNIPPET(32, "int3"),
        [4] = SNIPPET(32, "into"),
        [5] = SNIPPET(32, "bound eax, [ebx]"), [6] = SNIPPET(32, "ud2"), [7] = SNIPPET(32, "fld1"),
        [11] = SNIPPET(32, "mov ds, dx"),
        [13] = SNIPPET(32, "mov ds, si"), [17] = SNIPPET(32, "mov eax, [ebx+1]"),
    };
    group("a fault while delivering");
    gdt_set(0x100, desc(0, 0xfffff, 0x73, 12));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int n = rows[i].first;
        struct gate keep = idt32[n];
        idt32[n].type &= 0x7f;
        cr0_set(cr0_get() | (n == 7 ? 8 : 0) | 1 << 18);
        test_run(&(struct test){ .name = rows[i].name, .mode = P32U, .code = codes[n], .ax = 9,
          .dx = 0x103, .si = 0x3f8, .fl = AC | OF,
                                 .vec = rows[i].vec, .err = rows[i].err, .anyip = true });
        cr0_set(cr0_get() & ~(8u | 1 << 18));
        idt32[n] = keep;
    }
    struct gate keep = idt32[13];
    idt32_gate(13, 0x3f8, 0, 0x8e);
    T("#GP, gate with a bad selector", P32, "mov ds, si", .si = 0x3f8, .vec = V_DF, .err = 0, .anyip = true);
    idt32[13] = keep;
    keep = idt32[6];
    idt32_gate(6, 0x3f8, 0, 0x8e);
    T("#UD, gate with a bad selector", P32, "ud2", .vec = V_GP, .err = 0x3f9);
    idt32[6] = keep;
    T("int n, no external bit", P32, "int 0x41; 99:", .vec = INT(0x41));
    idt32[0x41].type &= 0x7f;
    T("int n, gate missing", P32, "int 0x41", .vec = V_NP, .err = 0x41 * 8 + 2);
    idt32[0x41].type |= 0x80;
}

static void page_fault_pairs(void)
{
    static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
    static struct gate moved[1024] __attribute__((aligned(4096)));
    group("page faults while delivering");
    for (u32 i = 0; i < 1024; i++)
        table[i] = i << 12 | 7;
    dir[0] = (u32)table | 7;
    dir[1] = 0x400000 | 0x87;
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
    struct gate keep = idt32[14];
    idt32[14].type &= 0x7f;
    T("#PF then #NP", P32, "mov eax, [esi]", .si = 0x2000000, .vec = V_DF, .err = 0);
    idt32[14] = keep;
    T("#PF alone", P32, "mov eax, [esi]", .si = 0x2000000, .vec = V_PF, .err = 0);
    /* Vectors 0 to 13 on a missing page, 14 and up on a present one. */
    memcpy((u8 *)moved + 0x1000 - 14 * 8, idt32, sizeof idt32);
    table[(u32)moved >> 12] = 0;
    cr3_set((u32)dir);
    u32 base = (u32)moved + 0x1000 - 14 * 8;
    T("#GP then #PF is #PF", P32, "lidt [ebx]; 99: mov ds, si", .si = 0x3f8, .d = { base << 16 | 0x7ff,
      base >> 16 }, .vec = V_PF, .err = 0);
    check("cr2 is the gate's", cr2_get(), base + 13 * 8);
    T("#UD then #PF is #PF", P32, "lidt [ebx]; 99: ud2", .d = { base << 16 | 0x7ff, base >> 16 },
      .vec = V_PF, .err = 0);
    poke16(LOW_IDTR32, sizeof idt32 - 1);
    __asm__ volatile("lidtl %0" : : "m"(*(char *)at(LOW_IDTR32)));
    cr0_set(cr0_get() & 0x7ffeffff);
}

/* After each of these, one #DB behind the instruction, DR6.BS set. */
static void single_step(void)
{
#define STEP(text, ...) T(text, P32, text "; 99: nop", .fl = TF, .vec = V_DB, __VA_ARGS__); \
    check("dr6.bs", dr_get(6) & 0xe00f, 0x4000); dr_set(6, 0xffff0ff0)
    group("single step");
    STEP("nop", .ax = 0);
    STEP("add eax, ecx", .cx = 5, .x = { { AX, 5 } });
    STEP("mov [ebx], eax", .ax = 7, .x = { { M32, 7, DATA } });
    STEP("push eax", .ax = 7, .x = { { SP, STACK + STACK_TOP - 4 } });
    STEP("cli", .ax = 0);
    STEP("cpuid", .ax = 0);
    STEP("mov eax, cr0", .ax = 0);
    STEP("mov ds, ecx", .cx = SEL_DS);
    STEP("fninit", .ax = 0);
    STEP("pushfd", .x = { { M32, 2 | TF, STACK + STACK_TOP - 4 } });
    STEP("jmp 1f; nop; 1:", .ax = 0);
    STEP("call 1f; 1:", .x = { { SP, STACK + STACK_TOP - 4 } });
    STEP("jz 1f; 1:", .ax = 0);
    STEP("lodsb", .si = DATA, .d = { 0x33 }, .x = { { AX, 0x33 } });
    STEP("rep movsb", .cx = 1, .si = DATA, .di = DATA + 4, .x = { { CX, 0 } });
    STEP("rep movsb", .cx = 0, .x = { { CX, 0 } });
    T("rep movsb stops after each iteration", P32, "99: rep movsb", .fl = TF, .cx = 3, .si = DATA,
      .di = DATA + 8, .vec = V_DB,
      .x = { { CX, 2 }, { SI, DATA + 1 }, { FL, RF, RF } });
    T("behind the last iteration rf is clear", P32, "rep movsb; 99: nop", .fl = TF, .cx = 1, .si = DATA,
      .di = DATA + 8, .vec = V_DB, .x = { { FL, 0, RF } });
    T("repne scasb", P32, "99: repne scasb", .fl = TF, .cx = 3, .di = DATA, .ax = 9, .vec = V_DB,
      .x = { { CX, 2 } });
    T("popf sets tf: the next instruction runs", P32, "push 0x102; popfd; nop; 99: nop", .vec = V_DB);
    T("popf clears tf: traps behind popf", P32, "popfd; 99: nop", .fl = TF, .sp = STACK + STACK_TOP - 4,
      .vec = V_DB);
    T("iret sets tf", P32, "push 0x102; push 8; push 0x10020; iretd\n" AT(0x20) "nop; 99: nop", .vec = V_DB);
    T("int clears tf, iret brings it back", P32, "99: int 0x55", .fl = TF, .vec = INT(0x55), .anyip = true,
      .x = { { FL, TF, TF },
      { IP, CODE + 2 } });
    T("mov ss shadows the step", P32, "mov ss, ecx; nop; 99: nop", .cx = SEL_DS, .fl = TF, .vec = V_DB);
    T("pop ss shadows the step", P32, "push 0x10; push 0x102; popfd; pop ss; nop; 99: nop", .vec = V_DB);
    T("fault before the step", P32, "ud2", .fl = TF, .vec = V_UD);
    T("ring 3", P32U, "inc eax; 99: nop", .fl = TF, .vec = V_DB);
    T("16-bit", P16, "inc ax; 99: nop", .fl = TF, .vec = V_DB);
    T("hlt is not reached", P32, "nop; 99: hlt", .fl = TF, .vec = V_DB);
    T("loop", P32, "1: loop 1f; 1: nop; 99:", .cx = 1, .fl = TF, .vec = V_DB, .anyip = true, .x = { { IP,
      CODE + 2 } });
    dr_set(6, 0xffff0ff0);
}

/* Breakpoints are switched on by the snippet itself (DR7 from EAX), so that preparing the test does not hit
 * them. */
static void breakpoints(void)
{
#define BP_ON "mov dr7, eax; "
    group("debug registers");
    dr_set(6, 0xffff0ff0);
    dr_set(0, CODE + 0x20);
    T("execute", P32, BP_ON "jmp 1f\n" AT(0x20) "99: 1: inc ecx", .ax = 0x401, .vec = V_DB, .x = { { CX,
      0 }, { FL, RF, RF } });
    check("dr6.b0", dr_get(6) & 0xe00f, 1);
    dr_set(7, 0x400);
    dr_set(6, 0xffff0ff0);
    T("rf suppresses once", P32, BP_ON "push 0x10002; push 8; push 0x10020; iretd\n" AT(0x20) "inc ecx; "
      "pushfd; pop edx; mov ebp, 0x400; mov dr7, ebp",
      .ax = 0x401, .x = { { CX, 1 }, { DX, 0, RF } });
    dr_set(7, 0x400);
    T("hits again after rf", P32, BP_ON "push 0x10002; push 8; push 0x10020; "
      "iretd\n" AT(0x20) "99: inc ecx; jmp 99b", .ax = 0x401,
      .vec = V_DB, .x = { { CX, 1 } });
    dr_set(7, 0x400);
    T("global enable", P32, BP_ON "jmp 1f\n" AT(0x20) "99: 1: nop", .ax = 0x402, .vec = V_DB);
    dr_set(7, 0x400);
    T("disabled", P32, BP_ON "jmp 1f\n" AT(0x20) "1: nop", .ax = 0x400);
    dr_set(0, CODE + 0x21);
    T("not at an instruction start", P32, BP_ON "jmp 1f\n" AT(0x20) "1: mov ecx, 1", .ax = 0x401,
      .x = { { CX, 1 } });
    dr_set(7, 0x400);
    dr_set(6, 0xffff0ff0);
    dr_set(1, DATA + 4);
    static const struct { const char *name; u32 dr7; bool hit_read, hit_write; u32 offset; } rows[] = {
        { "write, dword", 0xd00404, false, true, 4 }, { "read or write, dword", 0xf00404, true, true, 4 },
        { "write, dword, inside", 0xd00404, false, true, 6 }, { "beside", 0xf00404, false, false, 8 },
        { "read or write, byte", 0x300404, true, true, 4 }, { "byte beside", 0x300404, false, false, 5 },
        { "access that overlaps", 0x300404, true, true, 1 }, { "word", 0x700404, true, true, 5 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool size_long = rows[i].offset == 1; /* a dword at 1 overlaps byte 4 */
        group(rows[i].name);
        for (int write = 0; write < 2; write++) {
            bool hit = write ? rows[i].hit_write : rows[i].hit_read;
            const struct code *byte_read = SNIPPET(32, "mov dr7, eax; mov cl, [esi]; 99: nop; nop");
            const struct code *byte_write = SNIPPET(32, "mov dr7, eax; mov [esi], cl; 99: nop; nop");
            const struct code *long_read = SNIPPET(32, "mov dr7, eax; mov ecx, [esi]; 99: nop; nop");
            const struct code *long_write = SNIPPET(32, "mov dr7, eax; mov [esi], ecx; 99: nop; nop");
            const struct code *by_long = write ? long_write : long_read;
            const struct code *by_byte = write ? byte_write : byte_read;
            const struct code *code = size_long ? by_long : by_byte;
            test_run(&(struct test){ .name = write ? "write" : "read", .mode = P32, .code = code,
              .ax = rows[i].dr7,
                                     .si = DATA + rows[i].offset, .vec = hit ? V_DB : DONE, .anyip = !hit });
            if (hit)
                check("dr6.b1", dr_get(6) & 0xe00f, 2);
            dr_set(7, 0x400);
            dr_set(6, 0xffff0ff0);
        }
    }
}

static void other_breakpoints(void)
{
    group("debug registers");
    dr_set(1, DATA + 4);
    T("data hit in the middle of rep movs", P32, BP_ON "99: rep movsb", .ax = 0xd00404, .cx = 8,
      .si = DATA + 0x80, .di = DATA + 2, .vec = V_DB,
      .x = { { CX, 5 } });
    dr_set(7, 0x400);
    T("push hits", P32, BP_ON "mov esp, esi; push ecx; 99: nop", .ax = 0xd00404, .si = DATA + 8, .vec = V_DB);
    dr_set(7, 0x400);
    dr_set(6, 0xffff0ff0);
    T("gd", P32, BP_ON "nop; 99: mov ecx, dr3", .ax = 0x2400, .vec = V_DB);
    check("dr6.bd", dr_get(6) & 0xe00f, 0x2000);
    check("gd is cleared", dr_get(7), 0x400);
    dr_set(6, 0xffff0ff0);
    T("dr4 and dr5 are 6 and 7", P32, ".byte 0x0f, 0x21, 0xe1; .byte 0x0f, 0x21, 0xea", .x = { { CX,
      0xffff0ff0 }, { DX, 0x400 } });
    cr4_set(cr4_get() | 8);
    T("with cr4.de they are undefined", P32, ".byte 0x0f, 0x21, 0xe1", .vec = V_UD);
    dr_set(2, 0x80);
    T("i/o breakpoint", P32, BP_ON "out 0x80, al; 99: nop", .ax = 0x2000410, .vec = V_DB);
    dr_set(7, 0x400);
    dr_set(6, 0xffff0ff0);
    cr4_set(cr4_get() & ~8u);
    T("dr7 fixed bits", P32, "xor eax, eax; mov dr7, eax; mov ecx, dr7", .x = { { CX, 0x400 } });
    T("dr6 fixed bits", P32, "xor eax, eax; mov dr6, eax; mov ecx, dr6; dec eax; mov dr6, eax; "
      "mov edx, dr6", .x = { { CX, 0xffff0ff0 },
      { DX, 0xffffefff } });
    dr_set(6, 0xffff0ff0);
    dr_set(0, 0x12345678);
    T("dr0 holds", P32, "mov eax, dr0", .x = { { AX, 0x12345678 } });
    dr_set(0, 0);
    dr_set(1, 0);
}

/* A load of SS that hits a data breakpoint: its trap waits for the instruction behind it (SDM vol. 3, 6.8.3). */
static void breakpoints_of_mov_ss(void)
{
#define WATCHED_SS(name_, text, ...) \
    T(name_, P32, "mov dr7, eax; mov ss, [ebx]; " text, .ax = 0xf00404, .d = { SEL_DS }, __VA_ARGS__); \
    dr_set(7, 0x400)
    group("watched mov ss");
    dr_set(6, 0xffff0ff0);
    dr_set(1, DATA);
    WATCHED_SS("behind the next instruction", "inc ecx; 99: nop", .vec = V_DB, .x = { { CX, 1 } });
    check("dr6.b1", dr_get(6) & 0xe00f, 2);
    WATCHED_SS("before the handler of int n", "int 0x55", .vec = V_DB, .anyip = true,
               .x = { { SP, STACK + STACK_TOP - 12 } });
    WATCHED_SS("one #DB with icebp", ".byte 0xf1; 99:", .vec = V_DB);
    check("dr6.b1 with icebp", dr_get(6) & 0xf, 2);
    WATCHED_SS("lost at a fault", "99: ud2", .vec = V_UD);
    dr_set(2, CODE + 0x20);
    T("the next instruction's breakpoint is not seen", P32, "mov dr7, eax; jmp 1f\n" AT(0x1e)
      "1: mov ss, ecx; inc edx; 99: nop", .ax = 0x410, .cx = SEL_DS, .x = { { DX, 1 } });
    dr_set(7, 0x400);
    T("sti does not hold #DB back", P32, "sti; 99: nop", .fl = TF, .vec = V_DB);
    dr_set(6, 0xffff0ff0);
    dr_set(1, 0);
    dr_set(2, 0);
}

static void priorities(void)
{
    group("priorities");
    T("#UD before #NM", P32U, ".byte 0xf0; fld1", .vec = V_UD);
    T("#GP of a limit before #DE", P16U, "div word ptr [ebx]", .bx = 0x10000, .vec = V_GP);
    T("length before undefined", P32U, ".fill 15, 1, 0x66; ud2", .vec = V_GP);
    T("int3 in ring 3 has dpl 3", P32U, "int3; 99:", .vec = V_BP);
    T("privilege before selector", P32U, "lldt cx", .cx = 0x3f8, .vec = V_GP, .err = 0);
    T("hlt in ring 3", P32U, "hlt", .vec = V_GP);
    T("undefined group before memory", P32U, ".byte 0xfe, 0x13", .bx = 0, .vec = V_UD);
}

void program(const char *line)
{
    (void)line;
    vectors();
    undefined();
    double_faults();
    page_fault_pairs();
    single_step();
    breakpoints();
    other_breakpoints();
    breakpoints_of_mov_ss();
    priorities();
}
