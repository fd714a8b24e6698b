/* Paging: 32-bit tables, PSE, PAE and NX: permission of every combination, error codes, CR2, accessed and
 * dirty bits, changes of tables, accesses across pages (SDM volume 3, chapter 4). */
#include "guest.h"

const char program_name[] = "paging";

/* Four pages of the window stand at WIN; behind them are the physical pages from FRAME on. */
#define WIN 0x08000000u
#define FRAME 0x01000000u
enum { P = 1, W = 2, U = 4, ACC = 0x20, DIRTY = 0x40, LARGE = 0x80, GLOBAL = 0x100 };
#define NX (1ULL << 63)

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static u64 pae_top[4] __attribute__((aligned(4096)));
static u64 pae_dir[512] __attribute__((aligned(4096))), pae_table[512] __attribute__((aligned(4096)));
static bool pae, nx;

static void pte_set(u32 page, u64 v)
{
    if (pae)
        pae_table[page] = v;
    else
        table[page] = v;
}

static u64 pte(u32 page)
{
    return pae ? pae_table[page] : table[page];
}

static void pde_set(u64 v)
{
    if (pae)
        pae_dir[WIN >> 21] = v;
    else
        dir[WIN >> 22] = v;
}

static u64 pde(void)
{
    return pae ? pae_dir[WIN >> 21] : dir[WIN >> 22];
}

static u32 table_address(void)
{
    return pae ? (u32)pae_table : (u32)table;
}

static void flush(void)
{
    cr3_set(cr3_get());
}

/* Maps the window's pages to their frames with the given rights, forgetting everything else. */
static void window(u64 flags)
{
    pde_set(table_address() | P | W | U);
    for (u32 i = 0; i < 4; i++)
        pte_set(i, (FRAME + 0x1000 * i) | flags);
    flush();
}

static void paging_on(bool want_pae, bool want_nx)
{
    pae = want_pae;
    nx = want_nx;
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | LARGE | U | W | P;
    for (u32 i = 0; i < 32; i++)
        pae_dir[i] = i << 21 | LARGE | U | W | P;
    pae_top[0] = (u32)pae_dir | P;
    if (HAS_NX)
        msr_set(0xc0000080, (msr_get(0xc0000080) & ~0x800ULL) | (nx ? 0x800 : 0));
    cr4_set((cr4_get() & ~0xb0u) | 0x10 | (pae ? 0x20 : 0));
    cr3_set(pae ? (u32)pae_top : (u32)dir);
    cr0_set(cr0_get() | 0x80000000);
    window(P | W | U);
}

static void paging_off(void)
{
    cr0_set(cr0_get() & 0x7ffeffff);
    cr4_set(cr4_get() & ~0xb0u);
}

/* ---- every combination of rights ---- */

enum access { READ, WRITE, EXEC };

static void access_one(u64 d, u64 e, bool user, bool wp, enum access access)
{
    bool present = d & e & P, is_user = d & e & U, is_writable = d & e & W, forbidden_code = (d | e) & NX;
    bool ok = present && (!user || is_user) && (access != WRITE || is_writable || (!user && !wp)) &&
              (access != EXEC || !forbidden_code);
    u32 err = present | (access == WRITE ? 2 : 0) | (user ? 4 : 0) | (access == EXEC && nx ? 16 : 0);
    static const struct code *codes[3];
    if (!codes[0]) {
        codes[READ] = SNIPPET(32, "mov eax, [esi]");
        codes[WRITE] = SNIPPET(32, "mov [esi], eax");
        codes[EXEC] = SNIPPET(32, "jmp esi");
    }
    static const char *const names[] = { "read", "write", "execute" };
    cr0_set((cr0_get() & ~0x10000u) | (wp ? 0x10000 : 0));
    poke32(FRAME, 0x40cd);
    pde_set(table_address() | d);
    pte_set(0, FRAME | e);
    flush();
    test_run(&(struct test){ .name = names[access], .mode = user ? P32U : P32, .code = codes[access],
      .si = WIN,
                             .ax = 0x40cd, .vec = ok ? DONE : V_PF, .err = err,
                             .anyip = ok || access == EXEC });
    if (!ok) {
        check("cr2", cr2_get(), WIN);
        check("no dirty bit after a fault", pte(0) & DIRTY, e & DIRTY);
    } else {
        check("accessed and dirty", pte(0) & (ACC | DIRTY), access == WRITE ? ACC | DIRTY : ACC);
        check("directory accessed, not dirty", pde() & (ACC | DIRTY), ACC);
    }
}

static void all_rights(const char *name)
{
    group(name);
    for (u32 d = 0; d < 16; d++) {
        for (u32 e = 0; e < 16; e++) {
            if (((d | e) & 8) && !nx)
                continue;
            if (((d | e) & 8) && !(d & e & P))
                continue;
            u64 dn = (d & 7) | (d & 8 ? NX : 0), en = (e & 7) | (e & 8 ? NX : 0);
            for (u32 how = 0; how < 4; how++)
                for (enum access a = READ; a <= EXEC; a++)
                    access_one(dn, en, how & 1, how & 2, a);
        }
    }
    cr0_set(cr0_get() | 0x10000);
    window(P | W | U);
}

/* ---- instructions that fault ---- */

static void faults(const char *name)
{
    group(name);
    window(P | W | U);
    pte_set(1, 0);
    flush();
    poke32(FRAME + 0xffc, 0x11223344);
    T("write across two pages, second missing", P32U, "mov [esi], eax", .ax = 0x55667788,
      .si = WIN + 0xffe, .vec = V_PF,
      .err = 6, .x = { { M32, 0x11223344, FRAME + 0xffc } });
    check("cr2 is in the second page", cr2_get(), WIN + 0x1000);
    T("read across", P32, "mov eax, [esi]", .ax = 5, .si = WIN + 0xffd, .vec = V_PF, .err = 0, .x = { { AX,
      5 } });
    check("cr2 of the read", cr2_get(), WIN + 0x1000);
    T("add across", P32U, "add [esi], eax", .ax = 5, .si = WIN + 0xfff, .vec = V_PF, .err = 6, .fl = CF,
      .x = { { M32, 0x11223344, FRAME + 0xffc }, { FL, CF } });
    T("cmpxchg8b across", P32U, "cmpxchg8b [esi]", .si = WIN + 0xffc, .vec = V_PF, .err = 6,
      .x = { { M32, 0x11223344, FRAME + 0xffc } });
    T("xchg keeps the register", P32U, "xchg [esi], eax", .ax = 9, .si = WIN + 0x1004, .vec = V_PF,
      .err = 6, .x = { { AX, 9 } });
    check("cr2 is the exact address", cr2_get(), WIN + 0x1004);
    T("push keeps esp", P32U, "mov esp, esi; 99: push eax", .si = WIN + 0x1006, .vec = V_PF, .err = 6,
      .x = { { SP, WIN + 0x1006 } });
    check("cr2 of the push", cr2_get(), WIN + 0x1002);
    T("pop to a missing page", P32U, "99: pop dword ptr [esi]", .si = WIN + 0x1010, .vec = V_PF, .err = 6,
      .x = { { SP, STACK + STACK_TOP } });
    T("pop across", P32U, "mov esp, esi; 99: pop eax", .si = WIN + 0xffe, .ax = 3, .vec = V_PF, .err = 4,
      .x = { { SP, WIN + 0xffe }, { AX, 3 } });
    T("call keeps eip and esp", P32U, "mov esp, esi; 99: call 1f; 1:", .si = WIN + 0x1002, .vec = V_PF,
      .err = 6,
      .x = { { SP, WIN + 0x1002 } });
    T("leave from a missing page", P32U, "leave", .bp = WIN + 0x1100, .vec = V_PF, .err = 4,
      .x = { { SP, STACK + STACK_TOP }, { BP, WIN + 0x1100 } });
    T("bts checks write", P32U, "bts [esi], eax", .si = WIN, .ax = 0x8000, .vec = V_PF, .err = 6);
    check("cr2 of bts", cr2_get(), WIN + 0x1000);
    T("bt is a read", P32U, "bt [esi], eax", .si = WIN, .ax = 0x8000, .vec = V_PF, .err = 4);
    T("movsd: source fault", P32U, "movsd", .si = WIN + 0x1000, .di = DATA, .vec = V_PF, .err = 4,
      .x = { { SI, WIN + 0x1000 } });
    T("movsd: destination fault", P32U, "movsd", .di = WIN + 0x1000, .si = DATA, .vec = V_PF, .err = 6,
      .x = { { DI, WIN + 0x1000 } });
    T("div by memory", P32, "div dword ptr [esi]", .si = WIN + 0x1000, .ax = 7, .vec = V_PF, .err = 0,
      .x = { { AX, 7 } });
    T("prefetch does not fault", P32U, ".byte 0x0f, 0x18, 0x0e", .si = WIN + 0x1000);
    T("invlpg does not fault", P32, "invlpg [esi]", .si = WIN + 0x1000);
    T("lea does not fault", P32U, "lea eax, [esi]", .si = WIN + 0x1000, .x = { { AX, WIN + 0x1000 } });
    T("cmov reads always", P32U, "test eax, eax; 99: cmovnz ecx, [esi]", .si = WIN + 0x1000, .vec = V_PF,
      .err = 4);
    T("fld across", P32U, "fld qword ptr [esi]", .si = WIN + 0xffc, .vec = V_PF, .err = 4);
    T("fstp keeps the stack", P32U, "fninit; fld1; 99: fstp tbyte ptr [esi]", .si = WIN + 0xff8,
      .vec = V_PF, .err = 6,
      .x = { { M32, 0x11223344, FRAME + 0xffc } });
    memcpy((void *)at(FRAME + 0xffb), "\x90\xb8\x01\x02\x03", 5);
    T("fetch across: 5-byte mov at page end", P32U, "jmp esi", .si = WIN + 0xffb, .vec = V_PF,
      .err = 4 | (nx ? 16 : 0), .anyip = true,
      .x = { { IP, WIN + 0xffc } });
    check("cr2 of the fetch", cr2_get(), WIN + 0x1000);
    poke8(FRAME + 0xfff, 0xc3);
    T("fetch ends at the page", P32U, "push offset 0x1000f; push 0x10020; mov eax, esi; "
      "jmp eax\n" AT(0x20) "mov ecx, 7",
      .si = WIN + 0xfff, .x = { { CX, 7 } });
    poke8(FRAME + 0xfff, 0x90);
    T("runs into a missing page", P32U, "jmp esi", .si = WIN + 0xfff, .vec = V_PF,
      .err = 4 | (nx ? 16 : 0), .anyip = true,
      .x = { { IP, WIN + 0x1000 } });
    pte_set(1, (FRAME + 0x1000) | P | U);
    flush();
    T("across, second read-only", P32U, "mov [esi], eax", .si = WIN + 0xffe, .vec = V_PF, .err = 7);
    check("cr2 protection", cr2_get(), WIN + 0x1000);
    pte_set(0, 0);
    flush();
    T("across, first missing", P32U, "mov [esi], eax", .si = WIN + 0xffe, .vec = V_PF, .err = 6);
    check("cr2 is the first byte", cr2_get(), WIN + 0xffe);
    window(P | W | U);
    pte_set(1, (FRAME + 0x3000) | P | W | U);
    flush();
    T("across to a page elsewhere", P32U, "mov [esi], eax; mov ecx, [esi]", .ax = 0xa1b2c3d4,
      .si = WIN + 0xffe,
      .x = { { CX, 0xa1b2c3d4 }, { M16, 0xc3d4, FRAME + 0xffe }, { M16, 0xa1b2, FRAME + 0x3000 } });
    memcpy((void *)at(FRAME + 0xffc), "\xb8\x01\x02\x03", 4);
    memcpy((void *)at(FRAME + 0x3000), "\x04\xcd\x40", 3);
    T("execute across to a page elsewhere", P32U, "jmp esi", .si = WIN + 0xffc, .x = { { AX, 0x04030201 } });
}

/* The interrupt frame goes to a page that a ring-3 program may not touch; implicit accesses are the
 * supervisor's. */
static void implicit(const char *name)
{
    group(name);
    window(P | W);
    u32 esp0 = tss.esp0;
    tss.esp0 = WIN + 0x2000;
    T("frame on a supervisor page", P32U, "int 0x40; 99:", .vec = DONE);
    tss.esp0 = esp0;
    check("ss of the frame", peek32(FRAME + 0x1ffc), SEL_UDS | 3);
    memcpy((void *)at(FRAME), gdt, sizeof gdt);
    T("gdt on a supervisor page", P32U, "mov fs, cx", .cx = SEL_UDS | 3);
    pte_set(0, FRAME | P | W);
    flush();
    T("gdt moved to the window", P32, "sgdt [ebx]; lgdt [ebx+8]; mov cx, 0x23; mov fs, cx; lgdt [ebx]",
      .d = { 0, 0, (WIN & 0xffff) << 16 | 0x3ff, WIN >> 16 }, .x = { { FS, 0x23 } });
    check("descriptor read sets accessed", pte(0) & ACC, ACC);
    window(P | W | U);
}

static void changes(const char *name)
{
    group(name);
    window(P | W | U);
    poke32(FRAME, 0xaaaa);
    poke32(FRAME + 0x3000, 0xbbbb);
    pte_set(1, 0);
    flush();
    T("missing", P32U, "mov eax, [esi]", .si = WIN + 0x1000, .vec = V_PF, .err = 4);
    pte_set(1, FRAME | P | U);
    T("made present without a flush", P32U, "mov eax, [esi]", .si = WIN + 0x1000, .x = { { AX, 0xaaaa } });
    T("still read-only", P32U, "mov [esi], eax", .si = WIN + 0x1000, .vec = V_PF, .err = 7);
    pte_set(1, FRAME | P | U | W | ACC);
    T("made writable, after one fault", P32U, "mov dword ptr [esi], 0xaaab", .si = WIN + 0x1000,
      .x = { { M32, 0xaaab, FRAME } });
    pte_set(1, (FRAME + 0x3000) | P | U | W);
    T("invlpg shows the new frame", P32, "invlpg [esi]; mov eax, [esi]", .si = WIN + 0x1000, .x = { { AX,
      0xbbbb } });
    pte_set(1, FRAME | P | U | W);
    flush();
    T("mov cr3 shows the new frame", P32U, "mov eax, [esi]", .si = WIN + 0x1000, .x = { { AX, 0xaaab } });
    pte_set(1, 0);
    T("invlpg in the middle of the page", P32, "mov ecx, 1; invlpg [esi+0x123]; 99: mov eax, [esi]",
      .si = WIN + 0x1000, .vec = V_PF,
      .x = { { CX, 1 } });
    pte_set(1, FRAME | P | U | W);
    T("dirty bit is set again after it was cleared", P32, "mov [esi], eax; and byte ptr [edi], 0xbf; "
      "invlpg [esi]; mov [esi], eax; mov ecx, [edi]",
      .si = WIN + 0x1000, .di = pae ? (u32)&pae_table[1] : (u32)&table[1], .x = { { CX, DIRTY | ACC,
      DIRTY | ACC } });
    T("a read does not dirty", P32, "and byte ptr [edi], 0x9f; invlpg [esi]; mov eax, [esi]; mov ecx, [edi]",
      .si = WIN + 0x1000, .di = pae ? (u32)&pae_table[1] : (u32)&table[1], .x = { { CX, ACC, DIRTY | ACC } });
    T("read, then write dirties", P32, "and byte ptr [edi], 0x9f; invlpg [esi]; mov eax, [esi]; "
      "mov [esi], eax; mov ecx, [edi]",
      .si = WIN + 0x1000, .di = pae ? (u32)&pae_table[1] : (u32)&table[1], .x = { { CX, DIRTY | ACC,
      DIRTY | ACC } });
    pte_set(2, (FRAME + 0x2000) | P | U);
    flush();
    T("read-only page, wp off then on", P32, "mov eax, cr0; and eax, 0xfffeffff; mov cr0, eax; "
      "mov [esi], ecx; or eax, 0x10000;"
      "mov cr0, eax; 99: mov [esi], edx", .si = WIN + 0x2000, .cx = 0x33, .dx = 0x44, .vec = V_PF, .err = 3,
      .x = { { M32, 0x33, FRAME + 0x2000 } });
    window(P | W | U);
    T("paging off inside a snippet", P32, "mov eax, cr0; mov ecx, eax; and eax, 0x7fffffff; mov cr0, eax; "
      "mov edx, [edi]; mov cr0, ecx;"
      "mov eax, [esi]", .si = WIN, .di = FRAME, .x = { { AX, peek32(FRAME) }, { DX, peek32(FRAME) } });
}

static void global_pages(const char *name)
{
    if (!cpu_has(1, 3, 13))
        return skip(name, "no PGE");
    group(name);
    cr4_set(cr4_get() | 0x80);
    window(P | W | U | GLOBAL);
    poke32(FRAME, 0x1);
    poke32(FRAME + 0x1000, 0x2);
    T("fill", P32U, "mov eax, [esi]", .si = WIN, .x = { { AX, 1 } });
    pte_set(0, (FRAME + 0x1000) | P | W | U | GLOBAL);
    T("invlpg drops a global page", P32, "invlpg [esi]; mov eax, [esi]", .si = WIN, .x = { { AX, 2 } });
    pte_set(0, FRAME | P | W | U | GLOBAL);
    cr4_set(cr4_get() & ~0x80u);
    T("clearing pge drops global pages", P32U, "mov eax, [esi]", .si = WIN, .x = { { AX, 1 } });
}

static void large_pages(const char *name)
{
    group(name);
    u64 big = FRAME & ~0x3fffffu;
    window(P | W | U);
    poke32(FRAME + 0x12344, 0xb16);
    pde_set(big | P | W | U | LARGE);
    flush();
    T("large page", P32U, "mov eax, [esi]; mov [esi], eax", .si = WIN + (FRAME - big) + 0x12344,
      .x = { { AX, 0xb16 } });
    check("accessed and dirty", pde() & (ACC | DIRTY), ACC | DIRTY);
    pde_set(big | P | U | LARGE);
    flush();
    T("read-only large page", P32U, "mov [esi], eax", .si = WIN + 0x4000, .vec = V_PF, .err = 7);
    pde_set(big | P | W | LARGE);
    flush();
    T("supervisor large page", P32U, "mov eax, [esi]", .si = WIN, .vec = V_PF, .err = 5);
    pde_set(big | P | W | U | LARGE | (pae ? 1 << 13 : 1 << 21));
    flush();
    T("reserved bit", P32, "mov eax, [esi]", .si = WIN, .vec = V_PF, .err = 9);
    T("reserved bit, user write", P32U, "mov [esi], eax", .si = WIN, .vec = V_PF, .err = 0xf);
    pde_set(big | P | W | U | LARGE);
    flush();
    T("before the split", P32U, "mov eax, [esi]", .si = WIN + (FRAME - big) + 0x12344, .x = { { AX,
      0xb16 } });
    pde_set(table_address() | P | W | U);
    T("large page becomes small ones", P32, "invlpg [esi]; mov eax, [esi]", .si = WIN + 0x1000,
      .x = { { AX, peek32(FRAME + 0x1000) } });
    window(P | W | U);
}

static void pae_only(void)
{
    group("pae only");
    if (nx) {
        pte_set(0, FRAME | P | W | U | NX);
        flush();
        T("nx page reads", P32U, "mov eax, [esi]", .si = WIN);
        T("nx page does not run", P32U, "jmp esi", .si = WIN, .vec = V_PF, .err = 0x15, .anyip = true);
        memcpy((void *)at(FRAME + 0x1000), "\x05\xcd\x40", 3);
        pte_set(0, FRAME | P | W | U);
        pte_set(1, (FRAME + 0x1000) | P | W | U | NX);
        poke8(FRAME + 0xfff, 0xb8);
        flush();
        T("instruction runs into an nx page", P32U, "jmp esi", .si = WIN + 0xfff, .vec = V_PF, .err = 0x15,
          .anyip = true,
          .x = { { IP, WIN + 0xfff } });
        check("cr2 nx", cr2_get(), WIN + 0x1000);
    } else if (HAS_NX) {
        pte_set(0, FRAME | P | W | U | NX);
        flush();
        T("bit 63 is reserved without nxe", P32U, "mov eax, [esi]", .si = WIN, .vec = V_PF, .err = 0xd);
    }
    window(P | W | U);
    pte_set(0, FRAME | P | W | U | 1ULL << 51);
    flush();
    T("reserved address bit", P32U, "mov eax, [esi]", .si = WIN, .vec = V_PF, .err = 0xd);
    window(P | W | U);
    T("reserved bit in a pdpte", P32, "mov eax, cr3; or dword ptr [esi], 2; 99: mov cr3, eax",
      .si = (u32)&pae_top[0],
      .vec = V_GP, .x = { { M32, (u32)pae_dir | 3, (u32)&pae_top[0] } });
    pae_top[0] = (u32)pae_dir | P;
    T("missing pdpte", P32U, "mov eax, [esi]", .si = 0x40000000, .vec = V_PF, .err = 4);
    check("cr2 of the missing pdpte", cr2_get(), 0x40000000);
    pae_top[1] = pae_top[0];
    T("pdptes are loaded with cr3", P32, "mov eax, cr3; mov cr3, eax; mov eax, [esi]",
      .si = 0x40000000 + DATA, .d = { 0x77 },
      .x = { { AX, 0x77 } });
    pae_top[1] = 0;
    flush();
}

static void pse_off(void)
{
    group("pse off");
    /* Without PSE, bit 7 of a directory entry is ignored: the entry points to a table. The low 4 MiB get
     * one. */
    static u32 low[1024] __attribute__((aligned(4096)));
    for (u32 i = 0; i < 1024; i++)
        low[i] = i << 12 | U | W | P;
    dir[0] = (u32)low | U | W | P;
    dir[WIN >> 22] = (u32)low | U | W | P | LARGE;
    cr4_set(cr4_get() & ~0x10u);
    flush();
    T("bit 7 ignored", P32U, "mov eax, [esi]", .si = WIN + DATA, .d = { 0x99 }, .x = { { AX, 0x99 } });
    cr4_set(cr4_get() | 0x10);
    dir[0] = LARGE | U | W | P;
    window(P | W | U);
}

static void smep_smap(void)
{
    bool smep = cpu_has(7, 1, 7), smap = cpu_has(7, 1, 20);
    group("smep, smap");
    window(P | W | U);
    memcpy((void *)at(FRAME), "\xcd\x40", 2);
    if (!smep)
        return skip("smep", "not in CPUID");
    /* All of the identity map is the user's: the snippet itself must lie on a supervisor page. */
    for (u32 i = 0; i < 16; i++)
        dir[i] &= ~(u32)U;
    cr4_set(cr4_get() | 1 << 20 | (smap ? 1 << 21 : 0));
    flush();
    T("supervisor runs a user page", P32, "jmp esi", .si = WIN, .vec = V_PF, .err = 0x11, .anyip = true);
    if (smap) {
        T("supervisor reads a user page", P32, "mov eax, [esi]", .si = WIN, .vec = V_PF, .err = 1);
        T("with ac it may", P32, "mov eax, [esi]", .si = WIN, .fl = AC);
    }
    cr4_set(cr4_get() & ~(3u << 20));
    for (u32 i = 0; i < 16; i++)
        dir[i] |= U;
    flush();
}

void program(const char *line)
{
    static const struct { const char *name; bool pae, nx; } rows[] = {
        { "32-bit", false, false }, { "pae", true, false }, { "pae nx", true, true }
    };
    (void)line;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].nx && !HAS_NX)
            continue;
        paging_on(rows[i].pae, rows[i].nx);
        all_rights(rows[i].name);
        faults(rows[i].name);
        implicit(rows[i].name);
        changes(rows[i].name);
        global_pages(rows[i].name);
        large_pages(rows[i].name);
        if (pae) {
            pae_only();
        } else {
            pse_off();
            smep_smap();
        }
        paging_off();
    }
}
