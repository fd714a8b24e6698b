/* Accesses through one base whose pages differ: absent, read-only, somewhere else, I/O or code behind the
 * first one; exact state at faults among them, accessed and dirty bits of the pages that are touched and of no
 * other, changes of the tables between them (SDM volume 3, sections 4.8, 4.10.4 and 11.6). */
#include "guest.h"

const char program_name[] = "share";

/* Four pages at WIN; behind them are the frames from FRAME on. ESI of the tests is MID, where the second page
 * begins. */
#define WIN 0x08000000u
#define FRAME 0x01000000u
#define MID (WIN + 0x1000)
#define LAPIC 0xfee00000u
enum { P = 1, W = 2, U = 4, ACC = 0x20, DIRTY = 0x40, LARGE = 0x80 };

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

static void paging_on(void)
{
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | LARGE | U | W | P;
    dir[WIN >> 22] = (u32)table | U | W | P;
    cr4_set(cr4_get() | 0x10 | (HAS_SSE ? 0x200 : 0));
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
}

/* The first two pages' entries, the others are theirs; frames hold n << 28 | offset. */
static void window(u32 first, u32 second)
{
    for (u32 n = 0; n < 4; n++)
        for (u32 at = 0; at < 0x1000; at += 4)
            poke32(FRAME + 0x1000 * n + at, n << 28 | at);
    for (u32 n = 0; n < 4; n++)
        table[n] = (FRAME + 0x1000 * n) | P | W | U;
    table[0] = first;
    table[1] = second;
    cr3_set(cr3_get());
}

#define FIRST (FRAME | P | W | U)
#define SECOND ((FRAME + 0x1000) | P | W | U)

/* Accessed and dirty bits of both pages. */
static void bits(const char *name, u32 first, u32 second)
{
    check(name, table[0] & (ACC | DIRTY), first);
    check(name, table[1] & (ACC | DIRTY), second);
}

static void absent(void)
{
    group("second page absent");
    window(FIRST, 0);
    T("loads", P32, "mov eax, [esi-8]; mov ecx, [esi-4]; add edx, 0x7fffffff; 99: mov ebx, [esi]; "
      "mov edi, [esi-12]",
      .si = MID, .bx = 5, .dx = 1, .vec = V_PF, .err = 0,
      .x = { { AX, 0xff8 }, { CX, 0xffc }, { DX, 0x80000000 }, { BX, 5 }, { DI, 0 },
      { FL, SF | OF | PF | 0x10 } });
    check("cr2", cr2_get(), MID);
    bits("bits", ACC, 0);
    window(FIRST, 0);
    T("stores", P32U, "mov [esi-8], eax; inc eax; 99: mov [esi], eax; mov [esi-4], eax", .si = MID,
      .ax = 0x77,
      .vec = V_PF, .err = 6,
      .x = { { AX, 0x78 }, { M32, 0x77, FRAME + 0xff8 }, { M32, 0xffc, FRAME + 0xffc } });
    bits("bits", ACC | DIRTY, 0);
    T("a store across the end", P32U, "mov [esi-8], eax; mov ecx, [esi-4]; 99: mov [esi-2], eax", .si = MID,
      .ax = 9,
      .vec = V_PF, .err = 6, .x = { { CX, 0xffc }, { M32, 9, FRAME + 0xff8 },
      { M32, 0xffc, FRAME + 0xffc } });
    check("cr2 is the second page", cr2_get(), MID);
    T("pushes", P32U, "mov esp, esi; push eax; push ecx; 99: pop dword ptr [esi+4]", .si = MID, .ax = 1,
      .cx = 2,
      .vec = V_PF, .err = 6,
      .x = { { SP, MID - 8 }, { M32, 1, FRAME + 0xffc }, { M32, 2, FRAME + 0xff8 } });
    T("pops", P32U, "lea esp, [esi-8]; pop eax; pop ecx; 99: pop edx", .si = MID, .dx = 3, .vec = V_PF,
      .err = 4,
      .x = { { SP, MID }, { AX, 2 }, { CX, 1 }, { DX, 3 } });
    window(FIRST, 0);
    if (HAS_SSE)
        T("sixteen bytes", P32, "movups xmm0, [esi-16]; movups [esi-32], xmm0; 99: movups xmm0, [esi-15]",
          .si = MID,
          .vec = V_PF, .x = { { M32, 0xff0, FRAME + 0xfe0 }, { M32, 0xffc, FRAME + 0xfec } });
    window(FIRST, 0);
    T("a table's end", P32, "movzx eax, bl; mov ecx, [esi+eax*4-512]; movzx eax, bh; add edx, 0x7fffffff; "
      "99: mov edi, [esi+eax*4-512]", .si = MID, .bx = 0x8001, .dx = 1, .vec = V_PF, .err = 0,
      .x = { { CX, 0xe04 }, { AX, 0x80 }, { DX, 0x80000000 }, { DI, 0 }, { FL, SF | OF | PF | 0x10 } });
    bits("only its beginning", ACC, 0);
    window(FIRST, SECOND);
    T("a table in two pages", P32, "movzx eax, bl; mov ecx, [esi+eax*4-512]; movzx eax, bh; mov edi, [esi+eax*4-512]; "
      "and edx, 0xfc; mov [esi+edx-512], ecx", .si = MID, .bx = 0x8001, .dx = 0x1208,
      .x = { { CX, 0xe04 }, { DI, 0x10000000 }, { M32, 0xe04, FRAME + 0xe08 } });
    bits("of both", ACC | DIRTY, ACC);
    window(0, SECOND);
    T("pushes down into it", P32U, "lea esp, [esi+8]; push eax; push ecx; 99: push edx", .si = MID, .ax = 1,
      .cx = 2,
      .vec = V_PF, .err = 6,
      .x = { { SP, MID }, { M32, 1, FRAME + 0x1004 }, { M32, 2, FRAME + 0x1000 } });
    check("cr2 of the third", cr2_get(), MID - 4);
    bits("bits", 0, ACC | DIRTY);
}

/* What is in the group but not in the way of the program touches nothing. */
static void not_touched(void)
{
    group("accesses that are not made");
    window(FIRST, SECOND);
    T("behind a branch", P32, "mov eax, [esi+8]; mov ecx, [esi+12]; test eax, eax; jnz 1f; mov [esi-4], eax; "
      "mov edx, [esi-8]; 1:", .si = MID, .x = { { AX, 0x10000008 }, { DX, 0 } });
    bits("bits", 0, ACC);
    window(0, SECOND);
    T("the same, page absent", P32, "mov [esi+8], eax; mov ecx, [esi+12]; test eax, eax; jnz 1f; "
      "mov [esi-4], eax; "
      "mov edx, [esi-8]; 1:", .si = MID, .ax = 4, .x = { { CX, 0x1000000c }, { DX, 0 } });
    bits("bits", 0, ACC | DIRTY);
    window(FIRST, SECOND);
    T("a store that does not come", P32, "mov eax, [esi]; mov ecx, [esi+4]; test eax, eax; jnz 1f; "
      "mov [esi], ecx; "
      "mov [esi+4], eax; 1:", .si = MID, .x = { { AX, 0x10000000 } });
    bits("bits", 0, ACC);
    window(FIRST, SECOND);
    T("a loop that stores the last time", P32, "mov edx, 1500; 1: mov eax, [esi+4]; mov ecx, [esi]; "
      "dec edx; jnz 1b; "
      "mov edi, [ebx]; mov [esi+8], eax", .si = MID, .bx = (u32)&table[1],
      .x = { { DI, ACC, DIRTY | ACC }, { M32, 0x10000004, FRAME + 0x1008 } });
    bits("bits", 0, ACC | DIRTY);
    window(FIRST, SECOND);
    T("reads, then writes", P32U, "mov eax, [esi]; mov ecx, [esi+4]; mov [esi+8], eax; mov [esi+12], ecx; "
      "mov edx, [esi-4]",
      .si = MID, .x = { { DX, 0xffc }, { M32, 0x10000000, FRAME + 0x1008 },
      { M32, 0x10000004, FRAME + 0x100c } });
    bits("bits", ACC, ACC | DIRTY);
}

static void read_only(void)
{
    group("read-only");
    window(FIRST, SECOND & ~(u32)W);
    T("store to the second page", P32, "mov [esi-8], eax; mov ecx, [esi]; mov [esi-4], ecx; "
      "99: mov [esi+4], ecx",
      .si = MID, .vec = V_PF, .err = 3,
      .x = { { CX, 0x10000000 }, { M32, 0x10000000, FRAME + 0xffc }, { M32, 0x10000004, FRAME + 0x1004 } });
    bits("bits", ACC | DIRTY, ACC);
    window(FIRST & ~(u32)W, SECOND);
    T("loads from it among stores", P32U, "mov [esi+4], eax; mov ecx, [esi-4]; add [esi], ecx; "
      "mov edx, [esi-8]",
      .si = MID, .ax = 7, .x = { { CX, 0xffc }, { DX, 0xff8 }, { M32, 7, FRAME + 0x1004 },
                                 { M32, 0x10000ffc, FRAME + 0x1000 } });
    bits("bits", ACC, ACC | DIRTY);
    T("loads, then a store in one page", P32U, "mov eax, [esi-8]; mov ecx, [esi-4]; 99: mov [esi-12], eax; "
      "mov edx, 1",
      .si = MID, .vec = V_PF, .err = 7, .x = { { AX, 0xff8 }, { CX, 0xffc }, { DX, 0 } });
    T("inc keeps flags at its fault", P32U, "mov eax, [esi-8]; stc; 99: adc dword ptr [esi-4], eax",
      .si = MID,
      .vec = V_PF, .err = 7, .x = { { FL, CF, CF } });
}

static void elsewhere(void)
{
    group("frames");
    window((FRAME + 0x3000) | P | W | U, FIRST);
    T("not in a row", P32U, "mov [esi-4], eax; mov [esi], ecx; mov [esi+4], eax; mov edx, [esi-6]; "
      "mov [esi-10], edx",
      .si = MID, .ax = 0x11223344, .cx = 0x55667788,
      .x = { { M32, 0x11223344, FRAME + 0x3ffc }, { M32, 0x55667788, FRAME }, { M32, 0x11223344, FRAME + 4 },
             { DX, 0x33443000 }, { M32, 0x33443000, FRAME + 0x3ff6 } });
    window(FIRST, FIRST);
    T("the same twice", P32U, "mov [esi], eax; mov ecx, [esi-0x1000]; mov [esi-4], eax; "
      "mov edx, [esi+0xffc]; "
      "mov eax, [esi+4]", .si = MID, .ax = 0x99, .x = { { CX, 0x99 }, { DX, 0x99 }, { AX, 4 } });
}

/* The task priority is bits 7..0 of the register at 80h of the local APIC's page. */
static void io(void)
{
    group("I/O behind it");
    window(FIRST, LAPIC | P | W | 0x18);
    T("reads and writes", P32, "mov [esi-4], eax; mov [esi+0x80], ecx; mov edx, [esi+0x80]; "
      "mov eax, [esi-4]; "
      "mov [esi+0x80], edx; mov [esi-8], edx", .si = MID, .ax = 0x1234, .cx = 0x20,
      .x = { { AX, 0x1234 }, { DX, 0x20 }, { M32, 0x20, FRAME + 0xff8 } });
    T("in one page, many times", P32, "mov ecx, 1500; 1: mov eax, ecx; and eax, 0x70; mov [esi+0x80], eax; "
      "mov edx, [esi+0x80]; sub edx, eax; or ebp, edx; mov eax, [esi+0x30]; dec ecx; jnz 1b; "
      "mov [esi+0x80], ecx",
      .si = MID, .x = { { BP, 0 } });
}

static void code(void)
{
    group("code behind it");
    window(FIRST, SECOND);
    memcpy((void *)at(FRAME + 0x1000), "\xb8\x00\x00\x00\x00\xc3", 6);
    T("function in the second page", P32, "mov ecx, 1500; 1: mov [esi-4], ecx; mov [esi+1], ecx; "
      "mov edx, [esi-4]; "
      "call esi; sub eax, edx; or ebp, eax; dec ecx; jnz 1b", .si = MID, .x = { { BP, 0 }, { DX, 1 } });
    T("data beside it", P32, "mov ecx, 1500; 1: mov [esi+0x80], ecx; mov [esi+1], ecx; call esi; "
      "sub eax, [esi+0x80]; "
      "or ebp, eax; dec ecx; jnz 1b", .si = MID, .x = { { BP, 0 } });
    T("the running block", P32, "mov [edi+0x80], eax; mov byte ptr [edi+0x41], 5; jmp 1f\n" AT(0x40)
      "1: mov cl, 1; mov edx, [edi+0x80]", .di = CODE, .ax = 0x123, .x = { { CX, 5 }, { DX, 0x123 } });
    T("the running loop", P32, "mov eax, 100; 1: mov [edi+0x80], eax; mov [edi+0x41], al; jmp 2f\n" AT(0x40)
      "2: mov cl, 0; add edx, ecx; sub ecx, [edi+0x80]; or ebp, ecx; xor ecx, ecx; dec eax; jnz 1b",
      .di = CODE,
      .x = { { DX, 5050 }, { BP, 0 } });
    memcpy((void *)at(FRAME + 0xffd), "\xb8\x00\x00\x00\x00\xc3", 6);
    T("an instruction across two pages", P32, "mov ecx, 1500; 1: mov [esi+0x20], ecx; mov [esi+1], ecx; "
      "call esi; "
      "sub eax, [esi+0x20]; or ebp, eax; dec ecx; jnz 1b", .si = MID - 3, .x = { { BP, 0 } });
}

static void changes(void)
{
    group("tables change");
    window(FIRST, SECOND);
    T("made read-only", P32, "mov [esi], eax; mov ecx, [esi+4]; and dword ptr [edi], ~2; invlpg [esi]; "
      "mov edx, [esi+8]; "
      "99: mov [esi+12], eax", .si = MID, .di = (u32)&table[1], .ax = 3, .vec = V_PF, .err = 3,
      .x = { { CX, 0x10000004 }, { DX, 0x10000008 }, { M32, 3, FRAME + 0x1000 },
      { M32, 0x1000000c, FRAME + 0x100c } });
    window(FIRST, SECOND);
    T("absent the last time of a loop", P32, "mov ecx, 1500; 1: mov [esi], ecx; mov eax, [esi+4]; "
      "cmp ecx, 1; jne 2f; "
      "mov dword ptr [edi], 0; 2: invlpg [esi]; 99: mov edx, [esi+8]; mov [esi+12], ecx; dec ecx; jnz 1b",
      .si = MID, .di = (u32)&table[1], .vec = V_PF, .err = 0,
      .x = { { CX, 1 }, { M32, 1, FRAME + 0x1000 }, { M32, 2, FRAME + 0x100c } });
    window(FIRST, SECOND);
    T("two frames in turn by invlpg", P32, "mov ecx, 1501; 1: mov [esi], ecx; mov [esi+4], ecx; "
      "xor dword ptr [edi], 0x3000; "
      "invlpg [esi]; mov [esi+8], ecx; mov eax, [esi+12]; dec ecx; jnz 1b", .si = MID, .di = (u32)&table[1],
      .x = { { M32, 1, FRAME + 0x1000 }, { M32, 2, FRAME + 0x2000 }, { M32, 1, FRAME + 0x2008 },
             { M32, 2, FRAME + 0x1008 }, { AX, 0x2000000c } });
    window(FIRST, SECOND);
    T("and by mov cr3", P32, "mov ecx, 101; mov edx, cr3; 1: mov [esi], ecx; mov [esi+4], ecx; "
      "xor dword ptr [edi], 0x3000; "
      "mov cr3, edx; mov [esi+8], ecx; mov eax, [esi+12]; dec ecx; jnz 1b", .si = MID, .di = (u32)&table[1],
      .x = { { M32, 1, FRAME + 0x1000 }, { M32, 2, FRAME + 0x2000 }, { M32, 1, FRAME + 0x2008 },
             { M32, 2, FRAME + 0x1008 }, { AX, 0x2000000c } });
    window(FIRST, SECOND);
    T("dirty again", P32, "mov [esi], eax; mov [esi+4], eax; and dword ptr [edi], ~0x60; invlpg [esi]; "
      "mov ecx, [esi]; "
      "mov edx, [edi]; mov [esi+4], eax; mov eax, [edi]", .si = MID, .di = (u32)&table[1],
      .x = { { DX, ACC, ACC | DIRTY }, { AX, ACC | DIRTY, ACC | DIRTY } });
}

static void wraps(void)
{
    group("around 4 GiB");
    dir[1023] = (u32)table | P | W;
    window(FIRST, SECOND);
    table[1023] = (FRAME + 0x2000) | P | W | U;
    cr3_set(cr3_get());
    poke32(0x500, 0x1234);
    T("base at the top", P32, "mov eax, [esi]; mov ecx, [esi+0x600]; mov [esi+4], eax; mov edx, [esi+0x5fc]; "
      "mov [esi+8], ecx", .si = 0xffffff00,
      .x = { { AX, 0x20000f00 }, { CX, 0x1234 }, { M32, 0x20000f00, FRAME + 0x2f04 },
      { M32, 0x1234, FRAME + 0x2f08 } });
    T("base at the bottom", P32, "mov eax, [esi-0x20]; mov ecx, [esi+0x4f0]; mov [esi-0x1c], ecx; "
      "mov edx, [esi-0x18]",
      .si = 0x10, .x = { { AX, 0x20000ff0 }, { CX, 0x1234 }, { DX, 0x20000ff8 },
      { M32, 0x1234, FRAME + 0x2ff4 } });
    table[1023] = 0;
    dir[1023] = 0;
    cr3_set(cr3_get());
}

static void long_mode(void)
{
    const u64 far = 0x100000000ull + WINDOW;

    group("64 bits");
    window64[0] = FRAME | P | W | U;
    window64[1] = 0;
    for (u32 n = 0; n < 0x1000; n += 8)
        poke64(FRAME + n, n);
    T("second page absent", L64, "mov rax, [r8-8]; mov [r8-16], rax; mov rcx, [r8-24]; 99: mov [r8], rcx",
      .r8 = WINDOW + 0x1000, .vec = V_PF, .err = 2,
      .x = { { AX, 0xff8 }, { CX, 0xfe8 }, { M64, 0xff8, FRAME + 0xff0 } });
    check("cr2", out->cr2, WINDOW + 0x1000);
    T("largest displacement, 4 GiB above what is known", L64, "mov rax, [rcx]; 99: mov rdx, [r8+0x7ffffffc]",
      .cx = WINDOW, .r8 = far + 4 - 0x7ffffffc, .vec = V_PF, .err = 0, .x = { { DX, 0 } });
    check("cr2", out->cr2, far + 4);
    T("and 4 GiB below", L64, "mov rdx, [r8-0x80000000]; mov rcx, [r8-0x7ffffff8]",
      .r8 = WINDOW + 0x80000000u,
      .x = { { DX, 0 }, { CX, 8 } });
    T("the address wraps", L64, "mov rax, [r8+0x40]; mov rcx, [r8+0x48]", .r8 = (u64)0 - 0x40 + 0x500,
      .x = { { AX, peek64(0x500) }, { CX, peek64(0x508) } });
    T("32-bit addresses wrap", L64, "mov rax, [r8d+0x40]; mov rcx, [r8d+0x48]; mov [r8d+0x48], rax",
      .r8 = 0xabcd00000000 +
      (u32)(WINDOW - 0x40), .x = { { AX, 0 }, { CX, 8 }, { M64, 0, FRAME + 8 } });
    T("out of canonical space", L64, "mov rax, [rcx]; 99: mov rdx, [r8+8]", .cx = WINDOW,
      .r8 = 0x7ffffffffff8,
      .vec = V_GP);
    window64[0] = 0;
}

void program(const char *line)
{
    (void)line;
    paging_on();
    absent();
    not_touched();
    read_only();
    elsewhere();
    io();
    code();
    changes();
    wraps();
    cr0_set(cr0_get() & 0x7ffeffff);
    if (HAS_LM)
        long_mode();
}
