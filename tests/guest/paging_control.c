/* Paging and protection beside the tables: which bits CR3 and CR4 take, PCIDs and INVPCID, UMIP, AC against
 * SMAP, protection keys, 57-bit addresses, PDPTEs, tables outside RAM (SDM volume 3, 2.5, 4.1, 4.4.1, 4.6,
 * 4.10; volume 2 of the instructions). */
#include "guest.h"

const char program_name[] = "paging_control";

enum { P = 1, W = 2, U = 4, PS = 0x80, GLOBAL = 0x100 };
enum { CR4_PGE = 1 << 7, CR4_UMIP = 1 << 11, CR4_LA57 = 1 << 12, CR4_PCIDE = 1 << 17, CR4_SMEP = 1 << 20,
       CR4_SMAP = 1 << 21, CR4_PKE = 1 << 22 };
#define NX (1ULL << 63)

/* A page of the window for the user and its frames. */
#define WIN 0x08000000u
#define FRAME 0x01000000u
#define LM_CR4 0x620u

static u64 pml4[512] __attribute__((aligned(4096))), pml5[512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096)));
static u64 low[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));
static u64 pae_top[4] __attribute__((aligned(32)));

/* The identity map of low memory, all for the supervisor but the snippets' pages when asked, and the
 * window. */
static void build(bool user_snippets)
{
    for (u32 i = 0; i < 512; i++) {
        bool snippets = i >= CODE >> 12 && i < (PLAY >> 12) + 16;
        low[i] = i << 12 | P | W | (snippets && user_snippets ? U : 0);
    }
    for (u32 i = 1; i < 32; i++)
        pd[i] = i << 21 | P | W | PS;
    pd[0] = (u32)low | P | W | U;
    pd[WIN >> 21] = (u32)table | P | W | U;
    pdpt[0] = (u32)pd | P | W | U;
    pml4[0] = pml4[511] = (u32)pdpt | P | W | U;
    pml5[0] = pml5[511] = (u32)pml4 | P | W | U;
    for (u32 i = 0; i < 8; i++)
        table[i] = (FRAME + (i << 12)) | P | W | U;
    lm_cr3 = (u32)pml4;
    lm_cr4 = LM_CR4;
}

/* ---- registers ---- */

enum { NEVER = 0xff };

/* The feature that gives each bit of CR4: leaf, register, bit. */
static const struct { u8 bit; u32 leaf; u8 reg, feature; } cr4_bits[] = {
    { 0, 1, 3, 1 }, { 1, 1, 3, 1 }, { 2, 1, 3, 4 }, { 3, 1, 3, 2 }, { 4, 1, 3, 3 }, { 5, 1, 3, 6 },
    { 6, 1, 3, 7 }, { 7, 1, 3, 13 }, { 9, 1, 3, 24 }, { 10, 1, 3, 25 }, { 11, 7, 2, 2 }, { 12, 7, 2, 16 },
    { 15, 1, 0, NEVER }, { 16, 7, 1, 0 }, { 17, 1, 2, 17 }, { 18, 1, 2, 26 }, { 20, 7, 1, 7 },
    { 21, 7, 1, 20 }, { 22, 7, 2, 3 }, { 31, 1, 0, NEVER },
};

static void cr4_accepts(void)
{
    group("cr4");
    for (u32 i = 0; i < sizeof cr4_bits / sizeof cr4_bits[0]; i++) {
        u32 bit = 1u << cr4_bits[i].bit;
        bool has = cr4_bits[i].feature != NEVER &&
                   cpu_has(cr4_bits[i].leaf, cr4_bits[i].reg, cr4_bits[i].feature);
        T("32-bit mode", P32, "mov ecx, cr4; or eax, ecx; 99: mov cr4, eax; mov edx, cr4; mov cr4, ecx; "
          "xor edx, eax", .ax = bit, .vec = has && bit != CR4_PCIDE ? DONE : V_GP, .x = { { DX, 0 } });
        T("64-bit mode", L64, "mov rcx, cr4; or rax, rcx; 99: mov cr4, rax; mov rdx, cr4; mov cr4, rcx; "
          "xor rdx, rax", .ax = bit, .vec = has && bit != CR4_LA57 ? DONE : V_GP, .x = { { DX, 0 } });
    }
    for (u32 bit = 33; bit < 64; bit++)
        T("upper half", L64, "mov rcx, cr4; or rax, rcx; 99: mov cr4, rax", .ax = 1ULL << bit, .vec = V_GP);
    T("pae stays in 64-bit mode", L64, "mov rax, cr4; and al, 0xdf; 99: mov cr4, rax", .vec = V_GP);
    T("pae stays in compatibility mode", C32, "mov eax, cr4; and al, 0xdf; 99: mov cr4, eax", .vec = V_GP);
    if (cpu_has(7, 2, 16))
        T("la57 in compatibility mode", C32, "mov eax, cr4; or eax, 0x1000; 99: mov cr4, eax", .vec = V_GP);
    build(true);
    T("cr4 at level 3", L64U, "mov rax, cr4", .vec = V_GP);
}

static void cr3_accepts(u32 physical_bits)
{
    group("cr3");
    for (u32 bit = physical_bits; bit < 64; bit++)
        T("reserved", L64, "mov rcx, cr3; or rax, rcx; 99: mov cr3, rax", .ax = 1ULL << bit, .vec = V_GP);
    for (u32 bit = 0; bit < 12; bit++)
        T("ignored or caching", L64, "mov rcx, cr3; or rax, rcx; mov cr3, rax; mov rdx, cr3; mov cr3, rcx; "
          "xor rdx, rax", .ax = 1ULL << bit, .x = { { DX, 0, 0x18 } });
}

#define PCIDE_ON "mov rdx, cr4; mov r8, rdx; bts r8, 17; mov cr4, r8; "
#define PCIDE_OFF "; mov rax, cr3; and eax, 0xfffff000; mov cr3, rax; mov cr4, rdx"

static void pcids(void)
{
    group("pcid");
    if (!cpu_has(1, 2, 17))
        return skip("pcid", "not in CPUID");
    T("needs a cr3 without low bits", L64, "mov rax, cr3; or al, 8; mov cr3, rax; mov rdx, cr4; "
      "mov r8, rdx; bts r8, 17; 99: mov cr4, r8", .vec = V_GP);
    T("low bits are the pcid", L64, PCIDE_ON "mov rcx, cr3; lea rax, [rcx+0xabc]; mov cr3, rax; mov r9, cr3; "
      "sub r9, rcx" PCIDE_OFF, .x = { { R9, 0xabc } });
    T("bit 63 is not kept", L64, PCIDE_ON "mov rax, cr3; mov rcx, rax; inc rax; bts rax, 63; mov cr3, rax; "
      "mov r9, cr3; sub r9, rcx" PCIDE_OFF, .x = { { R9, 1 } });
    T("bit 62 is reserved", L64, PCIDE_ON "mov rax, cr3; mov r9, 1; bts rax, 62; mov cr4, rdx; "
      "99: mov cr3, rax", .vec = V_GP);
    poke32(FRAME, 0xaaaa);
    poke32(FRAME + 0x1000, 0xbbbb);
    T("another pcid has nothing cached", L64, PCIDE_ON "mov eax, [rsi]; mov r9, [rdi]; lea rax, [r9+0x1000]; "
      "mov [rdi], rax; mov rax, cr3; add rax, 5; bts rax, 63; mov cr3, rax; mov r10d, [rsi]; mov [rdi], r9"
      PCIDE_OFF, .si = WIN, .di = (u32)&table[0], .x = { { R10, 0xbbbb } });
    T("a flushing return sees the change", L64, PCIDE_ON "mov eax, [rsi]; mov rax, cr3; inc rax; "
      "mov cr3, rax; mov r9, [rdi]; lea rcx, [r9+0x1000]; mov [rdi], rcx; dec rax; mov cr3, rax; "
      "mov r10d, [rsi]; mov [rdi], r9" PCIDE_OFF, .si = WIN, .di = (u32)&table[0], .x = { { R10, 0xbbbb } });
    T("clearing it drops what was cached", L64, PCIDE_ON "mov eax, [rsi]; mov r9, [rdi]; "
      "lea rax, [r9+0x1000]; mov [rdi], rax" PCIDE_OFF "; mov r10d, [rsi]; mov [rdi], r9", .si = WIN,
      .di = (u32)&table[0], .x = { { R10, 0xbbbb } });
    /* From compatibility mode, where paging could be turned off but for the PCIDs. */
    T("paging stays on", L64, "mov rdx, cr4; bts rdx, 17; mov cr4, rdx; push 8; lea rax, [rip+2f]; push rax; "
      "lretq\n.code32\n2: mov eax, cr0; btr eax, 31; 99: mov cr0, eax\n"
      ".code64\n", .vec = V_GP, .anyend = stand_in);
}

static void invpcid(void)
{
    group("invpcid");
    if (!cpu_has(7, 1, 10))
        return skip("invpcid", "not in CPUID");
    for (u64 type = 0; type < 6; type++)
        T("types", L64, "invpcid rax, [rbx]", .ax = type, .vec = type < 4 ? DONE : V_GP);
    T("type of 64 bits", L64, "invpcid rax, [rbx]", .ax = 1ULL << 32, .vec = V_GP);
    T("type of 32 bits", P32, "invpcid eax, [ebx]", .ax = 3);
    T("bad type of 32 bits", P32, "invpcid eax, [ebx]", .ax = 4, .vec = V_GP);
    for (u32 bit = 0; bit < 64; bit++)
        T("descriptor", L64, "invpcid rax, [rbx]", .ax = 2, .vec = bit < 12 ? DONE : V_GP,
          .d = { bit < 32 ? 1u << bit : 0, bit < 32 ? 0 : 1u << (bit - 32) });
    T("a pcid without pcide", L64, "invpcid rax, [rbx]", .ax = 1, .d = { 5 }, .vec = V_GP);
    T("an address of one too", L64, "invpcid rax, [rbx]", .ax = 0, .d = { 5 }, .vec = V_GP);
    T("with pcide", L64, PCIDE_ON "xor eax, eax; invpcid rax, [rbx]; inc eax; invpcid rax, [rbx]" PCIDE_OFF,
      .d = { 5 });
    T("address not canonical", L64, "invpcid rax, [rbx]", .d = { 0, 0, 0, 1u << 25 }, .vec = V_GP);
    T("other types do not look at it", L64, "invpcid rax, [rbx]", .ax = 1, .d = { 0, 0, 0, 1u << 25 });
    T("level 3", L64U, "invpcid rax, [rbx]", .vec = V_GP);
    T("register form", L64, ".byte 0x66, 0x0f, 0x38, 0x82, 0xc0", .vec = V_UD);
    T("without 66", L64, ".byte 0x0f, 0x38, 0x82, 0x03", .vec = V_UD);
    T("descriptor on a missing page", L64, "invpcid rax, [rsi]", .si = WIN + 0x1ff000, .vec = V_PF);
    static const u64 flags[] = { 0, 0, GLOBAL, 0 };
    for (u32 type = 0; type < 4; type++) {
        lm_cr4 = LM_CR4 | CR4_PGE;
        table[2] = (FRAME + 0x2000) | P | W | U | flags[type];
        poke32(FRAME + 0x2000, 1);
        poke32(FRAME + 0x3000, 2);
        T("shows the new frame", L64, "mov ecx, [rsi]; add dword ptr [rdi], 0x1000; invpcid rax, [rbx]; "
          "mov edx, [rsi]", .ax = type, .si = WIN + 0x2000, .di = (u32)&table[2], .d = { 0, 0, WIN + 0x2000 },
          .x = { { CX, 1 }, { DX, 2 } });
        table[2] = (FRAME + 0x2000) | P | W | U;
        T("of another context", L64, PCIDE_ON "mov ecx, [rsi]; mov r9, cr3; lea r10, [r9+5]; bts r10, 63; "
          "mov cr3, r10; add dword ptr [rdi], 0x1000; invpcid rax, [rbx]; bts r9, 63; mov cr3, r9; "
          "mov r10d, [rsi]" PCIDE_OFF, .ax = type, .si = WIN + 0x2000, .di = (u32)&table[2],
          .d = { 0, 0, WIN + 0x2000 }, .x = { { CX, 1 }, { R10, 2 } });
    }
    build(true);
}

/* ---- UMIP ---- */

static void umip(void)
{
    group("umip");
    if (!cpu_has(7, 2, 2))
        return skip("umip", "not in CPUID");
    for (u32 on = 0; on < 2; on++) {
        enum vector v = on ? V_GP : DONE;
        lm_cr4 = LM_CR4 | (on ? CR4_UMIP : 0);
        cr4_set(on ? cr4_get() | CR4_UMIP : cr4_get() & ~CR4_UMIP);
        T("sgdt", L64U, "sgdt [rbx]", .vec = v);
        T("sidt", L64U, "sidt [rbx]", .vec = v);
        T("sldt", L64U, "sldt [rbx]", .vec = v);
        T("sldt register", L64U, "sldt eax", .vec = v);
        T("str", L64U, "str [rbx]", .vec = v);
        T("str register", L64U, "str eax", .vec = v);
        T("smsw", L64U, "smsw [rbx]", .vec = v);
        T("smsw register", L64U, "smsw eax", .vec = v);
        T("32-bit sgdt", P32U, "sgdt [ebx]", .vec = v);
        T("32-bit sidt", P32U, "sidt [ebx]", .vec = v);
        T("32-bit str", P32U, "str ecx", .vec = v);
        T("16-bit smsw", P16U, "smsw cx", .vec = v);
        T("v86 smsw", V86, "smsw cx", .vec = v);
        T("v86 sgdt", V86, "sgdt [bx]", .vec = v);
        T("v86 sldt", V86, ".byte 0x0f, 0x00, 0xc0", .vec = V_UD);
        T("lsl is free", P32U, "lsl eax, ecx", .cx = 0x18);
        T("supervisor", L64, "sgdt [rbx]; sidt [rbx]; sldt eax; str eax; smsw eax");
        T("real mode", REAL, "sgdt [bx]; sidt [bx]; smsw ax");
    }
    cr4_set(cr4_get() & ~CR4_UMIP);
    lm_cr4 = LM_CR4;
}

/* ---- AC and SMAP ---- */

static void alignment_flag(void)
{
    group("clac, stac");
    if (!cpu_has(7, 1, 20)) {
        T("stac is absent", P32, "stac", .vec = V_UD);
        return skip("smap", "not in CPUID");
    }
    T("stac", P32, "stac", .x = { { FL, AC, AC } });
    T("clac", P32, "clac", .fl = AC, .x = { { FL, 0, AC } });
    T("real mode", REAL, "stac; pushfd; pop eax; clac; pushfd; pop ecx",
      .x = { { AX, AC, AC }, { CX, 0, AC } });
    T("arithmetic flags stay", L64, "cmp eax, 1; stac; clac", .x = { { FL, CF | PF | AF | SF } });
    T("level 3", L64U, "stac", .vec = V_UD);
    T("level 3 clac", P32U, "clac", .vec = V_UD);
    T("v86", V86, "stac", .vec = V_UD);
    T("lock", L64, ".byte 0xf0, 0x0f, 0x01, 0xcb", .vec = V_UD);
    T("66", L64, ".byte 0x66, 0x0f, 0x01, 0xcb", .vec = V_UD);
    T("f3", L64, ".byte 0xf3, 0x0f, 0x01, 0xca", .vec = V_UD);
}

static void smap(void)
{
    group("smap");
    if (!cpu_has(7, 1, 20))
        return;
    lm_cr4 = LM_CR4 | CR4_SMAP | (cpu_has(7, 1, 7) ? CR4_SMEP : 0);
    poke32(FRAME, 0x77);
    T("stac opens, clac closes", L64, "stac; mov eax, [rsi]; clac; 99: mov ecx, [rsi]", .si = WIN, .cx = 5,
      .vec = V_PF, .err = 1, .x = { { AX, 0x77 }, { CX, 5 } });
    T("in a loop", L64, "mov ecx, 3000; 1: stac; add edx, [rsi]; clac; dec ecx; jnz 1b; 99: mov [rsi], eax",
      .si = WIN, .vec = V_PF, .err = 3, .x = { { DX, 3000 * 0x77 } });
    T("popf opens", L64, "push rcx; popfq; mov eax, [rsi]; push 2; popfq; 99: mov eax, [rsi]", .si = WIN,
      .cx = AC | 2, .vec = V_PF, .err = 1, .x = { { AX, 0x77 } });
    T("iret closes", L64, "stac; mov eax, [rsi]; mov rcx, rsp; push 0x10; push rcx; push 2; push 0x30; "
      "lea rdx, [rip+99f]; push rdx; iretq; 99: mov edx, [rsi]", .si = WIN, .vec = V_PF, .err = 1,
      .x = { { AX, 0x77 } });
    T("turned off in cr4", L64, "mov rdx, cr4; btr edx, 21; mov cr4, rdx; mov eax, [rsi]; clac; "
      "mov ecx, [rsi]; bts edx, 21; mov cr4, rdx; 99: mov eax, [rsi]", .si = WIN, .vec = V_PF, .err = 1,
      .x = { { CX, 0x77 } });
    T("push to a user stack", L64, "stac; mov rcx, rsp; mov rsp, rsi; push rsp; pop rdx; mov rsp, rcx",
      .si = WIN + 0x800, .x = { { DX, WIN + 0x800 } });
    T("string", L64, "mov ecx, 4; 99: rep movsb", .si = WIN, .di = DATA, .vec = V_PF, .err = 1,
      .x = { { CX, 4 } });
    T("string to the user", L64, "mov ecx, 4; stac; rep stosb; clac; mov ecx, 4; mov rdi, rsi; "
      "99: rep stosb", .si = WIN + 0x1000, .di = WIN, .vec = V_PF, .err = 3);
    T("supervisor pages are free", L64, "mov eax, [rbx]", .d = { 9 }, .x = { { AX, 9 } });
    poke32(FRAME, 0x77);
    T("closed among shared accesses", L64, "mov ecx, 3000; stac; 1: add edx, [rsi]; mov [rsi+8], edx; cmp ecx, 1; "
      "jne 2f; clac; 2: 99: mov edi, [rsi+4]; dec ecx; jnz 1b", .si = WIN, .vec = V_PF, .err = 1,
      .x = { { DX, 3000 * 0x77 }, { CX, 1 } });
    if (!cpu_has(7, 1, 7))
        return;
    lm_cr4 = LM_CR4;
    poke8(FRAME + 0x20, 0xc3);
    T("smep when it is hot", L64, "mov ecx, 3000; 1: call rsi; inc edx; dec ecx; jnz 1b; mov rax, cr4; bts eax, 20; "
      "mov cr4, rax; call rsi", .si = WIN + 0x20, .vec = V_PF, .err = 0x11, .anyip = true,
      .x = { { DX, 3000 }, { IP, WIN + 0x20 } });
}

/* Descriptor tables are read implicitly, as the supervisor whatever the level: AC opens nothing. The stack of
 * an inner level is written explicitly. */
static void smap_implicit(void)
{
    u64 rsp0;
    if (!cpu_has(7, 1, 20))
        return;
    memcpy(&rsp0, &tss64.rsp[0], 8);
    lm_cr4 = LM_CR4 | CR4_SMAP;
    gdt_set(SEL_TEST, desc(WIN + 0x4000, 0xff, 0x82, 0));
    gdt_set(SEL_TEST + 8, 0);
    poke64(FRAME + 0x4008, desc(0, 0xfffff, 0xf3, 0xc));
    T("ldt, with ac", L64, "mov ax, 0x100; lldt ax; stac; mov ax, 12; 99: mov fs, ax", .vec = V_PF, .err = 1);
    check("cr2", out->cr2, WIN + 0x4008);
    build(true);
    lm_cr4 = LM_CR4 | CR4_SMAP;
    T("ldt, level 3", L64U, "mov ax, 12; 99: mov fs, ax", .vec = V_PF, .err = 1);
    T("ldt, level 3, with ac", L64U, "mov ax, 12; 99: mov fs, ax", .fl = AC, .vec = V_PF, .err = 1);
    tss64.rsp[0] = WIN + 0x2000;
    tss64.rsp[1] = 0;
    idt64[0x50].ist = 0;
    T("inner stack", L64U, "int 0x50", .vec = V_PF, .err = 3);
    check("cr2", out->cr2, WIN + 0x1ff8);
    T("inner stack, with ac", L64U, "int 0x50; 99:", .fl = AC, .vec = INT(0x50));
    idt64[0x50].ist = 1;
    memcpy(&tss64.rsp[0], &rsp0, 8);
    T("ldt without smap", L64, "mov rax, cr4; btr eax, 21; mov cr4, rax; mov ax, 12; mov fs, ax; "
      "xor eax, eax; mov fs, ax; lldt ax");
    build(false);
}

/* ---- protection keys ---- */

#define RDPKRU ".byte 0x0f, 0x01, 0xee\n"
#define WRPKRU ".byte 0x0f, 0x01, 0xef\n"

/* For the snippet that follows: its accesses count before its own WRPKRU. */
static void pkru_clear(void)
{
    cr4_set(cr4_get() | CR4_PKE);
    __asm__ volatile(WRPKRU : : "a"(0), "c"(0), "d"(0) : "memory");
    cr4_set(cr4_get() & ~CR4_PKE);
}

static void keys(void)
{
    group("protection keys");
    if (!cpu_has(7, 2, 3))
        return skip("pku", "not in CPUID");
    T("rdpkru without pke", L64, RDPKRU, .vec = V_UD);
    T("wrpkru without pke", L64, WRPKRU, .vec = V_UD);
    lm_cr4 = LM_CR4 | CR4_PKE;
    T("os bit in cpuid", L64, "mov eax, 7; cpuid; shr ecx, 4; and ecx, 1", .x = { { CX, 1 } });
    T("write and read", L64, WRPKRU "xor eax, eax; dec rdx; dec rax\n" RDPKRU, .ax = 0xfffffffe12345678,
      .x = { { AX, 0x12345678 }, { DX, 0 } });
    T("ecx", L64, RDPKRU, .cx = 1, .vec = V_GP);
    T("upper half of rcx is ignored", L64, RDPKRU, .cx = 1ULL << 32, .x = { { AX, 0x12345678 } });
    T("ecx of wrpkru", L64, WRPKRU, .cx = 1, .vec = V_GP);
    T("edx of wrpkru", L64, WRPKRU, .dx = 1, .vec = V_GP);
    T("66", L64, ".byte 0x66, 0x0f, 0x01, 0xee", .vec = V_UD);
    T("lock", L64, ".byte 0xf0, 0x0f, 0x01, 0xef", .vec = V_UD);
    build(true);
    lm_cr4 = LM_CR4 | CR4_PKE;
    table[1] = (FRAME + 0x1000) | P | W | U | 7ULL << 59;
    poke32(FRAME + 0x1000, 0x1000);
    T("level 3 may change it", L64U, WRPKRU "mov ecx, [rsi]", .si = WIN + 0x1000, .x = { { CX, 0x1000 } });
    T("access disabled at once", L64U, "mov ebx, [rsi]\n" WRPKRU "99: mov ebx, [rsi]", .si = WIN + 0x1000,
      .ax = 1 << 14, .vec = V_PF, .err = 0x25);
    pkru_clear();
    T("write disabled at once", L64U, "mov [rsi], ebx\n" WRPKRU "mov ebx, [rsi]; 99: mov [rsi], ebx",
      .si = WIN + 0x1000, .ax = 2 << 14, .vec = V_PF, .err = 0x27);
    pkru_clear();
    T("and free again", L64U, "mov eax, 0x4000\n" WRPKRU "mov ebx, [rsp]; mov eax, 0x8000\n" WRPKRU
      "mov ebx, [rsi]; xor eax, eax\n" WRPKRU "mov [rsi], ebx", .si = WIN + 0x1000);
    pkru_clear();
    poke32(FRAME + 0x1000, 0x1000);
    T("write disabled among shared accesses", L64U, "mov r8d, 3000; 1: cmp r8d, 1; jne 2f; mov eax, 0x8000\n" WRPKRU
      "2: mov ebx, [rsi]; add edi, ebx; 99: mov [rsi+8], edi; mov r9d, [rsi+4]; dec r8d; jnz 1b", .si = WIN + 0x1000,
      .vec = V_PF, .err = 0x27, .x = { { DI, 3000 * 0x1000 }, { R8, 1 }, { M32, 2999 * 0x1000, FRAME + 0x1008 } });
    pkru_clear();
    T("access disabled and free again, in turn", L64U, "mov r8d, 3000; 1: mov eax, 0x4000\n" WRPKRU "mov ebx, [rsp]; "
      "xor eax, eax\n" WRPKRU "add edi, [rsi]; dec r8d; jnz 1b; mov eax, 0x4000\n" WRPKRU "99: mov ebx, [rsi]",
      .si = WIN + 0x1000, .vec = V_PF, .err = 0x25, .x = { { DI, 3000 * 0x1000 } });
    pkru_clear();
    T("another key's rights", L64U, "mov [rsi], ebx\n" WRPKRU "mov [rsi], ebx", .ax = 0xffff3fff & ~3u,
      .si = WIN + 0x1000);
    pkru_clear();
    T("supervisor with wp", L64, WRPKRU "99: mov [rsi], ebx", .ax = 2 << 14, .si = WIN + 0x1000, .vec = V_PF,
      .err = 0x23);
    pkru_clear();
    T("string", L64U, WRPKRU "mov ecx, 2; 99: rep stosd", .ax = 2 << 14, .di = WIN + 0x0ffc, .vec = V_PF,
      .err = 0x27, .x = { { CX, 1 }, { DI, WIN + 0x1000 } });
    pkru_clear();
    build(false);
}

/* ---- addresses of 57 bits ---- */

#define IN57 0x0080000000000000ULL  /* canonical with 57 bits only */
#define OUT57 0x0100000000000000ULL /* never */

static void wide_addresses(void)
{
    group("la57");
    if (!cpu_has(7, 2, 16))
        return skip("la57", "not in CPUID");
    for (u32 on = 0; on < 2; on++) {
        lm_cr3 = on ? (u32)pml5 : (u32)pml4;
        lm_cr4 = LM_CR4 | (on ? CR4_LA57 : 0);
        T("load", L64, "mov eax, [rsi]", .si = IN57, .vec = on ? V_PF : V_GP);
        T("last byte", L64, "mov rax, [rsi]", .si = OUT57 - 4, .vec = V_GP);
        T("stack", L64, "mov rsp, rsi; 99: push rax", .si = IN57 + 8, .vec = on ? V_PF : V_SS,
          .err = on ? 2 : 0);
        T("jump", L64, "jmp rsi", .si = IN57, .vec = on ? V_PF : V_GP, .err = on ? 16 : 0, .anyip = on);
        T("jump outside", L64, "jmp rsi", .si = OUT57, .vec = V_GP);
        T("call", L64, "call rsi", .si = OUT57, .vec = V_GP, .x = { { SP, STACK + STACK_TOP } });
        T("return", L64, "push rsi; 99: ret", .si = IN57, .vec = on ? V_PF : V_GP, .err = on ? 16 : 0,
          .anyip = on);
        T("iret", L64, "push 0x10; push rsp; push 2; push 0x30; push rsi; 99: iretq", .si = IN57,
          .vec = on ? V_PF : V_GP, .err = on ? 16 : 0, .anyip = true);
        T("sign extension", L64, "mov eax, [rsi]", .si = 0xff00000000000000ULL + DATA, .d = { 3 },
          .vec = on ? V_PF : V_GP);
        T("upper end", L64, "mov eax, [rsi]", .si = 0xffffff8000000000ULL + DATA, .d = { 3 },
          .x = { { AX, 3 } });
        T("invlpg of anything", L64, "invlpg [rsi]", .si = OUT57);
        if (!stand_in) { /* QEMU asks CR4.LA57 or nothing */
            T("gs base", L64, "mov ecx, 0xc0000101; xor eax, eax; mov edx, 0x800000; wrmsr; "
              "xor edx, edx; wrmsr");
            T("gs base outside", L64, "mov ecx, 0xc0000101; mov edx, 0x1000000; 99: wrmsr", .vec = V_GP);
            T("lgdt", L64, "sgdt [rbx]; lgdt [rbx+16]; lgdt [rbx]",
              .d = { 0, 0, 0, 0, 0xffff, 0x80u << 16 });
            T("lgdt outside", L64, "lgdt [rbx]", .d = { 0xffff, 0, 0x100 }, .vec = V_GP);
        }
    }
    build(false);
}

/* ---- PDPTEs ---- */

static void pdptes(u32 physical_bits)
{
    group("pdpte");
    pae_top[0] = (u32)pd | P;
    cr4_set(cr4_get() | 0x20);
    cr3_set((u32)pae_top);
    cr0_set(cr0_get() | 0x80000000);
    for (u32 bit = 1; bit < 64; bit++) {
        bool ignored = bit == 3 || bit == 4 || (bit >= 9 && bit <= 11);
        bool address = bit >= 12 && bit < physical_bits;
        pae_top[1] = 1ULL << bit | P;
        T("reserved", P32, "mov eax, cr3; 99: mov cr3, eax", .vec = ignored || address ? DONE : V_GP);
        pae_top[1] = 1ULL << bit;
        T("not present", P32, "mov eax, cr3; 99: mov cr3, eax");
    }
    pae_top[1] = pae_top[0];
    cr3_set(cr3_get());
    pae_top[1] = 2 | P;
    T("a refused load changes nothing", P32, "mov eax, cr3; mov cr3, eax", .vec = V_GP, .anyip = true);
    T("the old one serves", P32, "mov eax, [esi]", .si = 0x40000000 + DATA, .d = { 8 }, .x = { { AX, 8 } });
    T("pge loads them", P32, "mov eax, cr4; btc eax, 7; 99: mov cr4, eax", .vec = V_GP);
    T("cr0.cd loads them", P32, "mov eax, cr0; btc eax, 30; 99: mov cr0, eax", .vec = V_GP,
      .anyend = stand_in);
    pae_top[1] = 0;
    cr0_set(cr0_get() & 0x3fffffff);
    cr4_set(cr4_get() & ~0xa0u);
}

/* ---- tables where no RAM is ---- */

static void odd_tables(void)
{
    static const u32 places[] = { 0xf0000, 0xfffff000, 0xfee00000, 0xfec00000, 0xa0000, 0xd0000000 };
    group("tables outside RAM");
    for (u32 i = 0; i < sizeof places / sizeof places[0]; i++)
        for (u32 j = 0; j < 512; j += 73) {
            pd[65] = places[i] | P | W | U;
            T("read", L64, "mov eax, [rsi]", .si = (65 << 21) + (j << 12), .anyend = true);
            T("write through it", L64, "mov rax, [rsi]; mov [rsi], rax; mov [rsi], rax",
              .si = (65 << 21) + (j << 12) + 0xff8, .anyend = true);
        }
    /* The page itself is ROM: a write is lost, and so is the dirty bit of an entry in ROM. */
    pd[65] = 0;
    table[6] = 0xfffff000 | P | W | U;
    T("page of rom", L64, "mov eax, [rsi]; not eax; mov [rsi], eax; not eax; sub eax, [rsi]",
      .si = WIN + 0x6ff0, .x = { { AX, 0 } });
    check("dirty all the same", table[6] & 0x60, 0x60);
    build(false);
}

void program(const char *line)
{
    u32 leaf = 0x80000008;
    (void)line;
    if (!HAS_LM)
        return skip("all", "no long mode");
    __asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx");
    /* With AC set, C is never in SMAP's way. */
    __asm__ volatile("pushf; orl $0x40000, (%%esp); popf" : : : "memory", "cc");
    build(false);
    if (!stand_in) { /* QEMU checks few of these */
        cr4_accepts();
        cr3_accepts(leaf & 0xff);
    }
    pcids();
    build(true);
    invpcid();
    umip();
    alignment_flag();
    build(false);
    smap();
    smap_implicit();
    keys();
    wide_addresses();
    pdptes(leaf & 0xff);
    odd_tables();
}
