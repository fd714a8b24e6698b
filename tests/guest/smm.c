/* System management mode: entry, state save area, RSM into every mode, relocation, HLT, NMI, and SMRAM of the
 * host bridge (AMD64 manual volume 2, chapter 10; SDM volume 3, chapter 32; data sheets 82441FX, 82371AB). */
#include "guest.h"

const char program_name[] = "smm";

/* The handler copies the save area to SAVED, tells what it found in NOTES, changes the area as ORDERS say. */
#define SAVED PLAY
#define NOTES (PLAY + 0x600)
#define ORDERS (PLAY + 0x800)
#define SMBASE 0xa0000u
#define OTHER_BASE 0x50000u
#define IOAPIC 0xfec00000u
#define APIC 0xfee00000u

struct notes { u32 count, cr0, cr4, dr7, eflags, cs, after_nmi, halts, halt_rip; };
struct orders {
    struct { u32 at, value; } patch[2]; /* at: offset from SMBASE, 0 for none */
    u32 wake_at;                        /* the entry from HLT that clears the auto HALT restart field */
    u32 nmi;                            /* not 0: send an NMI to oneself */
    u32 again;                          /* not 0: ask for one more SMI */
};
#define notes ((volatile struct notes *)at(NOTES))
#define orders ((volatile struct orders *)at(ORDERS))

/* Runs with CS = SMBASE >> 4 at 8000h. EBX = NOTES, ORDERS at EBX + 200h. */
#define HANDLER \
    "mov ebx, 0x40600; inc dword ptr [ebx]; mov eax, cr0; mov [ebx+4], eax; mov eax, cr4; mov [ebx+8], eax;" \
    "mov eax, dr7; mov [ebx+12], eax; mov sp, 0x8000; pushf; pop ax; movzx eax, ax; mov [ebx+16], eax;" \
    "mov ax, cs; mov [ebx+20], eax;" \
    "mov esi, 0xfe00; mov edi, 0x40000; mov ecx, 128;" \
    "1: mov eax, cs:[esi]; mov [edi], eax; add esi, 4; add edi, 4; dec ecx; jnz 1b;" \
    "mov edi, [ebx+0x200]; test edi, edi; jz 2f; mov eax, [ebx+0x204]; mov cs:[edi], eax;" \
    "2: mov edi, [ebx+0x208]; test edi, edi; jz 3f; mov eax, [ebx+0x20c]; mov cs:[edi], eax;" \
    "3: cmp byte ptr cs:[0xfec9], 1; jne 4f; inc dword ptr [ebx+28]; mov eax, cs:[0xff78];" \
    "mov [ebx+32], eax; mov eax, [ebx+28]; cmp eax, [ebx+0x210]; jne 4f; mov byte ptr cs:[0xfec9], 0;" \
    "4: cmp dword ptr [ebx+0x214], 0; je 5f; mov edi, 0xfee00300; mov dword ptr [edi], 0x4400; nop; nop;" \
    "mov dword ptr [ebx+24], 1;" \
    "5: cmp dword ptr [ebx+0x218], 0; je 6f; mov dword ptr [ebx+0x218], 0; out 0xb2, al; nop; nop;" \
    "6: rsm"

static void config_set8(u8 devfn, u8 reg, u8 v)
{
    outl(0xcf8, 0x80000000 | devfn << 8 | (reg & 0xfc));
    outb(0xcfc + (reg & 3), v);
}

static u32 config_get32(u8 devfn, u8 reg)
{
    outl(0xcf8, 0x80000000 | devfn << 8 | reg);
    return inl(0xcfc);
}

static void smram(u8 v)
{
    config_set8(0, 0x72, v);
}

static void fresh(void)
{
    memset((void *)at(PLAY), 0, 0x1000);
}

/* Field of the copied save area, by its offset from SMBASE. */
static u64 saved(u32 offset)
{
    return peek64(SAVED + offset - 0xfe00);
}

static void install(void)
{
    const struct code *c = SNIPPET(16, HANDLER);
    const u8 *s = c->start;
    u32 n = c->end - c->start;

    smram(0x4a);
    memcpy((void *)at(SMBASE + 0x8000), s, n);
    memcpy((void *)at(OTHER_BASE + 0x8000), s, n);
    check("open SMRAM is memory", peek32(SMBASE + 0x8000) == *(const u32 *)s, 1);
    smram(0x0a);
    check("closed SMRAM is not", peek32(SMBASE + 0x8000) == *(const u32 *)s, 0);
}

static void entry(void)
{
    group("entry");
    fresh();
    dr_set(7, 0x401);
    T("state", P32, "out 0xb2, al; nop", .ax = 0x12345678, .fl = CF | DF);
    dr_set(7, 0x400);
    check("count", notes->count, 1);
    check("cr0", notes->cr0 & 0x8000000d, 0);
    check("cr0 keeps the rest", notes->cr0 & 0x32, cr0_get() & 0x32);
    check("cr4", notes->cr4, 0);
    check("dr7", notes->dr7, 0x400);
    check("flags", notes->eflags, 2);
    check("cs", notes->cs & 0xffff, SMBASE >> 4);
    check("revision", (u32)saved(0xfefc), 0x20064);
    check("smbase", (u32)saved(0xff00), SMBASE);
    check("rip", saved(0xff78), CODE + 2);
    check("rflags", saved(0xff70) & (CF | DF | IF), CF | DF);
    check("rax", saved(0xfff8), 0x12345678);
    check("rbx", saved(0xffe0), DATA);
    check("cr0 saved", saved(0xff58), cr0_get());
    check("cr3 saved", saved(0xff50), cr3_get());
    check("dr7 saved", saved(0xff60), 0x401);
    check("cs saved", (u16)saved(0xfe10), SEL_CS32);
    check("ss saved", (u16)saved(0xfe20), SEL_DS);
    check("tr saved", (u16)saved(0xfe90), SEL_TSS);
    check("gdt saved", saved(0xfe68), (u32)gdt);
    check("not halted", saved(0xfec8) >> 8 & 0xff, 0);
}

/* The mode goes on as if nothing had been: registers, flags, segments, paging. */
static void back_to_modes(void)
{
    group("back to");
    fresh();
#define REGS .d = { 0xcafe }, .ax = 0x1122, .cx = 0x3344, .dx = 0x5566, .bp = 0x778, .si = 0x99a, .di = 0xbbc
#define KEPT \
    { AX, 0x1122 }, { CX, 0xcafe, 0xffff }, { DX, 0x5566 }, { BP, 0x778 }, { SI, 0x99a }, { DI, 0xbbc }
    T("real mode", REAL, "stc; out 0xb2, al; mov cx, [bx]", REGS, .x = { KEPT, { FL, CF, CF } });
    T("virtual-8086 mode", V86, "stc; out 0xb2, al; mov cx, [bx]", REGS,
      .x = { KEPT, { FL, CF | VM, CF | VM } });
    T("16-bit segments", P16, "stc; out 0xb2, al; mov cx, [bx]", REGS, .x = { KEPT, { FL, CF, CF } });
    T("segment limits", P16, "out 0xb2, al; 99: mov cl, [ebx]", .bx = 0x10000, .vec = V_GP);
    T("32-bit segments", P32, "stc; out 0xb2, al; mov cx, [ebx]", REGS, .x = { KEPT, { FL, CF, CF } });
    T("ring 3", P32U, "stc; out 0xb2, al; mov cx, [ebx]; mov es, edx", REGS, .fl = IOPL3,
      .vec = V_GP, .err = 0x5564, .anyip = true, .x = { { CX, 0xcafe, 0xffff } });
    T("compatibility mode", C32U, "stc; out 0xb2, al; mov cx, [ebx]", REGS, .fl = IOPL3,
      .x = { KEPT, { CS, SEL_UCS32 | 3 } });
    T("64-bit mode", L64, "out 0xb2, al; mov cx, [rbx]; shl r8, 1", REGS, .r8 = 0x4000000000000001,
      .x = { KEPT, { R8, 0x8000000000000002 } });
    T("64-bit mode, ring 3", L64U, "out 0xb2, al; mov cx, [rbx]; mov rax, cr0", REGS, .fl = IOPL3,
      .r15 = ~0ULL, .vec = V_GP, .anyip = true, .x = { { CX, 0xcafe, 0xffff }, { R15, ~0ULL } });
    check("count", notes->count, 9);
    check("efer saved", saved(0xfed0) & 0x500, 0x500);
    check("cpl in the copy", (u16)saved(0xfe10), SEL_UCS64 | 3);
    fresh();
    T("single step", P32, "out 0xb2, al; 99:", .fl = TF, .vec = V_DB);
    check("count with single step", notes->count, 1);
}

static void changes(void)
{
    group("changed state");
    fresh();
    orders->patch[0].at = 0xfff8;
    orders->patch[0].value = 0xabcdef01;
    T("rax", L64, "out 0xb2, al", .ax = 0x500000000, .x = { { AX, 0x5abcdef01 } });
    orders->patch[0].at = 0xff70;
    orders->patch[0].value = CF | ZF | 2;
    T("rflags", P32, "out 0xb2, al; setc al; setz ah", .x = { { AX, 0x101, 0xffff } });
    orders->patch[0].at = 0xff78;
    orders->patch[0].value = CODE + 0x20;
    T("rip", P32, "out 0xb2, al; ud2\n" AT(0x20) "mov ecx, 7", .x = { { CX, 7 } });
    orders->patch[0].at = 0xff00;
    orders->patch[0].value = OTHER_BASE;
    T("smbase", P32, "out 0xb2, al");
    orders->patch[0].value = SMBASE;
    T("entry at the new smbase", P32, "out 0xb2, al");
    check("cs there", notes->cs & 0xffff, OTHER_BASE >> 4);
    check("smbase in the area", (u32)saved(0xff00), OTHER_BASE);
    check("area in memory", peek32(OTHER_BASE + 0xfefc), 0x20064);
    orders->patch[0].at = 0;
    T("and back", P32, "out 0xb2, al");
    check("cs here", notes->cs & 0xffff, SMBASE >> 4);
}

static void outside(void)
{
    group("rsm outside");
    T("real mode", REAL, "rsm", .vec = V_UD);
    T("32 bits", P32, "rsm", .vec = V_UD);
    T("ring 3", P32U, "rsm", .vec = V_UD);
    T("64 bits", L64, "rsm", .vec = V_UD);
}

static void pit(u8 mode, u16 count)
{
    outb(0x43, 0x30 | mode << 1);
    outb(0x40, count & 0xff);
    outb(0x40, count >> 8);
}

/* Pin 2 of the I/O APIC, where the 8254 is, becomes a source of SMIs. */
static void pit_smi(bool on)
{
    poke32(IOAPIC, 0x15);
    poke32(IOAPIC + 0x10, 0);
    poke32(IOAPIC, 0x14);
    poke32(IOAPIC + 0x10, on ? 0x200 : 0x10000);
}

static void halted(void)
{
    group("hlt");
    fresh();
    orders->wake_at = 1;
    pit(2, 5000);
    pit_smi(true);
    T("field cleared: on after hlt", P32, "hlt; mov ecx, 5", .x = { { CX, 5 } });
    pit_smi(false);
    check("entries from hlt", notes->halts, 1);
    check("rip", notes->halt_rip, CODE + 1);
    fresh();
    orders->wake_at = 3;
    pit_smi(true);
    T("field left: back to hlt", P32, "hlt; mov ecx, 6", .x = { { CX, 6 } });
    pit_smi(false);
    check("three entries from hlt", notes->halts, 3);
}

static void blocking(void)
{
    group("blocking");
    fresh();
    orders->nmi = 1;
    T("nmi waits for rsm", P32, "out 0xb2, al; 99: nop", .vec = V_NMI);
    check("handler was not interrupted", notes->after_nmi, 1);
    check("one entry", notes->count, 1);
    fresh();
    orders->again = 1;
    T("an smi waits for rsm", P32, "out 0xb2, al; nop");
    check("two entries", notes->count, 2);
    check("rip of the second", saved(0xff78), CODE + 2);
    fresh();
    T("not between mov ss and the next", P32, "mov ss, cx; out 0xb2, al; mov edx, 3", .cx = SEL_DS,
      .x = { { DX, 3 } });
    check("entry after it", notes->count, 1);
    T("by message to oneself", P32, "mov dword ptr [edi], 0x4200; nop; mov edx, 4", .di = APIC + 0x300,
      .x = { { DX, 4 } });
    check("entry by message", notes->count, 2);
}

/* D_LCK: the window stays shut, the handler stays. Last: only a reset unlocks. */
static void locked(void)
{
    group("lock");
    fresh();
    smram(0x1a);
    smram(0x4a);
    check("register", config_get32(0, 0x70) >> 16 & 0xff, 0x1a);
    check("window", peek32(SMBASE + 0x8000), 0xffffffff);
    T("smi", P32, "out 0xb2, al");
    check("count", notes->count, 1);
}

void program(const char *line)
{
    (void)line;
    if (!HAS_LM) {
        check("no long mode: another save area", HAS_LM, 0);
        return;
    }
    tss.bitmap[0xb2 / 8] &= (u8)~(1 << (0xb2 & 7));
    check("firmware has enabled SMIs", config_get32(0x0b, 0x58) >> 25 & 1, 1);
    install();
    entry();
    back_to_modes();
    changes();
    outside();
    halted();
    blocking();
    locked();
}
