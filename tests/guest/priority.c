/* Events that are due at the same instruction boundary, in every combination: the trap of a data breakpoint that the
 * instruction before has hit, an NMI, an interrupt, a code breakpoint, and every kind of fault of the instruction
 * itself (SDM volume 3, table 6-2). */
#include "guest.h"

const char program_name[] = "priority";

#define SEL_SHORT (SEL_TEST | 3)        /* code of level 3 that ends before the instruction */
#define WATCHED (PLAY + 0x100)
#define APIC 0xfee00000
#define APIC_EOI (APIC + 0xb0)
#define APIC_SVR (APIC + 0xf0)
#define APIC_ICR (APIC + 0x300)
#define ICR_SELF 0x44000                /* to self, asserted */
#define ICR_NMI 0x4400                  /* to the first processor, which this is: by shorthand it is no NMI */
#define VEC_INTR 0x50
#define BOUNDARY 0x20                   /* offset of the instruction from CODE */
#define DR7_CODE 0x002                  /* DR0: execution */
#define DR7_WATCH 0xd00008              /* DR1: writes of a dword */

enum { TRAP = 1, NMI = 2, INTR = 4, CODE_BP = 8, ALL = 16 };

/* What comes before the instruction, in this order: interrupts are enabled for its boundary and not before, as STI
 * holds them back over one instruction; that one writes to [ESI], the watched place or the interrupt command register. */
#define BEFORE ".skip 29 - (. - 98b), 0x90; sti; mov [esi], eax; 99: "

struct last {
    const char *name;
    const struct code *code;
    enum vector vec;
    u32 cs, cr0;         /* 0: the usual ones; bits set in CR0 */
};

/* An NMI that was taken keeps others away until IRET. */
static void unblock_nmi(void)
{
    __asm__ volatile("pushfl; pushl %%cs; pushl $1f; iret; 1:" : : : "memory");
}

/* Takes the interrupt that is still waiting. */
static void drain(void)
{
    T("waiting interrupt", P32, "sti; nop; nop", .vec = INT(VEC_INTR), .anyip = true);
    poke32(APIC_EOI, 0);
}

static void run_case(const struct last *x, u32 events)
{
    struct test t = { .name = x->name, .mode = P32U, .code = x->code, .cs = x->cs, .fs = NULLSEL, .fl = AC | IOPL3,
                      .vec = x->vec,
                      .ax = ICR_NMI, .si = events & NMI ? APIC_ICR : WATCHED, .dx = 0x101 };

    if (events & CODE_BP)
        t.vec = V_DB;
    if (events & INTR)
        t.vec = INT(VEC_INTR);
    if (events & NMI)
        t.vec = V_NMI;
    if (events & TRAP)
        t.vec = V_DB;
    if ((events & (TRAP | NMI)) == (TRAP | NMI)) { /* the NMI comes before the first instruction of the trap's handler */
        t.vec = V_NMI;
        t.anyip = true;
        t.x[0] = (struct expect){ IP, (u32)stubs32 + 16, 0 };
    }
    if (t.vec == V_TS || t.vec == V_GP || t.vec == V_AC)
        t.err = 0;
    if (events & INTR)
        poke32(APIC_ICR, ICR_SELF | VEC_INTR);
    dr_set(6, 0xffff0ff0);
    dr_set(0, CODE + BOUNDARY);
    dr_set(1, t.si);
    cr0_set(cr0_get() | x->cr0);
    dr_set(7, 0x400 | (events & TRAP ? DR7_WATCH : 0) | (events & CODE_BP ? DR7_CODE : 0));
    test_run(&t);
    dr_set(7, 0x400);
    cr0_set(cr0_get() & ~x->cr0);
    if (events & TRAP)
        check("dr6", dr_get(6) & 0xf, 2);
    else if (t.vec == V_DB)
        check("dr6", dr_get(6) & 0xf, 1);
    if (t.vec == V_NMI)
        unblock_nmi();
    if ((events & INTR) && t.vec == INT(VEC_INTR))
        poke32(APIC_EOI, 0);
    else if (events & INTR)
        drain();
}

static void combinations(void)
{
    const struct last last[] = {
        { "nothing", SNIPPET(32, BEFORE "int 0x40"), DONE, 0, 0 },
        { "beyond the limit", SNIPPET(32, BEFORE "nop"), V_GP, SEL_SHORT, 0 },
        { "undefined beyond the limit", SNIPPET(32, BEFORE "ud2"), V_GP, SEL_SHORT, 0 },
        { "undefined", SNIPPET(32, BEFORE "ud2"), V_UD, 0, 0 },
        { "lock, undefined, unaligned", SNIPPET(32, BEFORE ".byte 0xf0; mov eax, [edx]"), V_UD, 0, 1 << 18 },
        { "too long", SNIPPET(32, BEFORE ".fill 15, 1, 0x66; nop"), V_GP, 0, 0 },
        { "no fpu", SNIPPET(32, BEFORE "fld1"), V_NM, 0, 8 },
        { "no fpu, unaligned", SNIPPET(32, BEFORE "fld qword ptr [edx]"), V_NM, 0, 8 | 1 << 18 },
        { "privilege", SNIPPET(32, BEFORE "hlt"), V_GP, 0, 0 },
        { "privilege, bad selector", SNIPPET(32, BEFORE "lldt dx"), V_GP, 0, 0 },
        { "null segment", SNIPPET(32, BEFORE "mov eax, fs:[edx]"), V_GP, 0, 1 << 18 },
        { "unaligned", SNIPPET(32, BEFORE "mov eax, [edx]"), V_AC, 0, 1 << 18 },
        { "division", SNIPPET(32, BEFORE "div bh"), V_DE, 0, 0 },
        { "breakpoint", SNIPPET(32, BEFORE "int3; 99:"), V_BP, 0, 0 },
        { "software interrupt", SNIPPET(32, BEFORE "int 0x60; 99:"), INT(0x60), 0, 0 },
    };
    static char title[] = "trap 0 nmi 0 interrupt 0 breakpoint 0";

    gdt_set(SEL_SHORT & ~7, desc(0, CODE + BOUNDARY - 1, 0xfb, 4));
    for (u32 events = 0; events < ALL; events++) {
        title[5] = events & TRAP ? '1' : '0';
        title[11] = events & NMI ? '1' : '0';
        title[23] = events & INTR ? '1' : '0';
        title[36] = events & CODE_BP ? '1' : '0';
        group(title);
        for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
            struct last x = last[i];
            struct code boundary = *x.code;
            /* INT3 and INT n end behind themselves; whatever comes first ends before them. */
            if (events)
                boundary.mark = boundary.start + BOUNDARY;
            x.code = &boundary;
            if ((events & CODE_BP) && x.cs == SEL_SHORT)
                continue; /* a breakpoint beyond the limit: which comes first is not defined */
            run_case(&x, events);
        }
    }
}

void program(const char *command_line)
{
    (void)command_line;
    poke32(APIC_SVR, 0x1ff);
    combinations();
}
