/* Task switches: every combination of privilege levels, types and presence of TSS and task gate, and of the new
 * task's code, stack and data segments and LDT (SDM volume 3, 8.2 to 8.4 and table 8-1). */
#include "matrix.h"

const char program_name[] = "taskrights";

#define SEL_NEW SEL_OWN               /* the TSS of the new task */
#define SEL_GATE (SEL_OWN + 8)
#define SEL_CASE (SEL_OWN + 0x10)     /* what the new task's registers name */
#define SEL_HANDLER(vec) (SEL_OWN + 0x18 + 8 * ((vec) - 10)) /* vectors 10 to 13 */
#define LANDING (CODE + 0x40)

enum { TSS_AVAILABLE = 9, TSS_BUSY = 0xb };

static struct tss32 new, handler[4];

/* The new task at level `cpl`, at LANDING; the first task is the running one. */
static void prepare(u32 cpl)
{
    set_levels();
    gdt_set(SEL_NEW, desc((u32)&new, 0x67, P | TSS_AVAILABLE, 0));
    new = (struct tss32){ .eip = LANDING, .eflags = 2, .ebx = DATA, .esp = PLAY + 0x4000, .ss0 = SEL_DS,
                          .esp0 = PLAY + 0x6000, .cs = SEL_CODE(cpl), .ss = SEL_DATA(cpl), .ds = SEL_UDS | 3,
                          .es = SEL_UDS | 3, .cr3 = tss.cr3, .iomap = 0x68 };
    runtime_tss_available();
    __asm__ volatile("clts; ltr %w0" : : "r"(SEL_TSS) : "memory");
}

static u32 tss_type(u16 sel)
{
    return gdt[sel / 8] >> 40 & 0xf;
}

/* ---- who may switch ---- */

static void expect(struct test *t, enum vector vec, u32 sel)
{
    t->vec = vec;
    t->err = sel & 0xfffc;
}

/* Nothing has changed when the switch was refused; after it both TSSs say who is busy. */
static void check_busy(const struct test *t, bool call, u8 access)
{
    if (t->vec) {
        check(case_name, tss_type(SEL_NEW), access & 0xf);
        check(case_name, tss_type(SEL_TSS), TSS_BUSY);
    } else {
        check(case_name, tss_type(SEL_NEW), TSS_BUSY);
        check(case_name, tss_type(SEL_TSS), call ? TSS_BUSY : TSS_AVAILABLE);
        check(case_name, new.link, call ? SEL_TSS : 0);
    }
}

static void direct(void)
{
    const struct code *code[2] = {
        SNIPPET(32, "ljmp [ebx]\n" AT(0x40) "int 0x40"), SNIPPET(32, "lcall [ebx]\n" AT(0x40) "int 0x40"),
    };
    group("direct: call cpl rpl access");
    for (u32 call = 0; call < 2; call++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 dpl_p = 0; dpl_p < 8; dpl_p++)
                    for (u32 busy = 0; busy < 2; busy++) {
                        u8 access = (u8)((busy ? TSS_BUSY : TSS_AVAILABLE) | dpl_p << 5);
                        struct test t = at_level(cpl, code[call]);
                        NAME(call, cpl, rpl, access);
                        prepare(0);
                        gdt_set(SEL_NEW, desc((u32)&new, 0x67, access, 0));
                        t.d[1] = SEL_NEW | rpl;
                        if (dpl_of(access) < cpl || dpl_of(access) < rpl || busy)
                            expect(&t, V_GP, SEL_NEW);
                        else if (!(access & P))
                            expect(&t, V_NP, SEL_NEW);
                        else
                            t.x[0] = (struct expect){ FL, call ? NT : 0, NT };
                        test_run(&t);
                        check_busy(&t, call, access);
                    }
}

enum { BY_JMP, BY_CALL, BY_INT, NUM_BY };

/* Task gates: the DPL of the gate decides, that of the TSS does not matter. */
static void gates(void)
{
    const struct code *code[NUM_BY] = {
        SNIPPET(32, "ljmp [ebx]\n" AT(0x40) "int 0x40"), SNIPPET(32, "lcall [ebx]\n" AT(0x40) "int 0x40"),
        SNIPPET(32, "int 0x60\n" AT(0x40) "int 0x40"),
    };
    struct gate saved = idt32[0x60];

    group("gates: by cpl rpl gate access");
    for (u32 by = 0; by < NUM_BY; by++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < (by == BY_INT ? 1 : 4); rpl++)
                for (u32 gate_bits = 0; gate_bits < 8; gate_bits++)
                    for (u32 i = 0; i < 16; i++) {
                        u8 access = (u8)((i & 1 ? TSS_BUSY : TSS_AVAILABLE) | (i & 0xe) << 4);
                        u8 gate = (u8)(5 | gate_bits << 5);
                        struct test t = at_level(cpl, code[by]);
                        NAME(by, cpl, rpl, gate, access);
                        prepare(0);
                        gdt_set(SEL_NEW, desc((u32)&new, 0x67, access, 0));
                        gdt_set(SEL_GATE, call_gate(SEL_NEW | 3, 0, gate, 0));
                        idt32_gate(0x60, SEL_NEW | 3, 0, gate);
                        t.d[1] = SEL_GATE | rpl;
                        u32 self = by == BY_INT ? 0x60 * 8 + 2 : SEL_GATE;
                        if (dpl_of(gate) < cpl || dpl_of(gate) < rpl)
                            t.vec = V_GP, t.err = self;
                        else if (!(gate & P))
                            t.vec = V_NP, t.err = self;
                        else if (i & 1)
                            expect(&t, V_GP, SEL_NEW);
                        else if (!(access & P))
                            expect(&t, V_NP, SEL_NEW);
                        test_run(&t);
                        check_busy(&t, by != BY_JMP, access);
                    }
    idt32[0x60] = saved;
}

/* ---- what the new task's registers name ---- */

/* CS and SS of a task at level 3, DS of one at level 0 and 3: the faults belong to the new task. */
enum { CASE_CS, CASE_SS, CASE_DS, CASE_LDT, NUM_CASE };

static enum vector new_fault(u32 which, u32 cpl, u32 rpl, u8 access)
{
    u32 dpl = dpl_of(access), both = cpl > rpl ? cpl : rpl;

    switch (which) {
    case CASE_CS:
        if (!is_code(access) || (is_conforming(access) ? dpl > rpl : dpl != rpl))
            return V_TS;
        return access & P ? 0 : V_NP;
    case CASE_SS:
        if (!is_data(access) || !(access & WRITABLE) || dpl != cpl || rpl != cpl)
            return V_TS;
        return access & P ? 0 : V_SS;
    case CASE_DS:
        if (!(is_data(access) || (is_code(access) && (access & READABLE))) || (!is_conforming(access) && dpl < both))
            return V_TS;
        return access & P ? 0 : V_NP;
    default: /* an LDT, present; its DPL does not matter */
        return (access & 0x1f) == 2 && (access & P) ? 0 : V_TS;
    }
}

/* Faults go to a handler that is a task of its own: it tells the error code and who was interrupted. */
static void handler_task(u32 vec)
{
    struct tss32 *h = &handler[vec - 10];

    gdt_set(SEL_HANDLER(vec), desc((u32)h, 0x67, P | TSS_AVAILABLE, 0));
    *h = new;
    h->cs = SEL_CS32;
    h->ss = h->ds = h->es = SEL_DS;
    h->eip = CODE + 0x60;
    h->esp = PLAY + 0x8000;
    h->edx = vec;
}

static void new_task_case(const struct code *code, u32 which, u32 cpl, u32 rpl, u8 access)
{
    enum vector vec = new_fault(which, cpl, rpl, access);
    struct test t = at_level(0, code);
    u16 sel = (u16)(SEL_CASE | rpl);

    NAME(which, cpl, rpl, access);
    prepare(cpl);
    gdt_set(SEL_CASE, desc(0, 0xfffff, access, 0xc));
    for (u32 v = 10; v < 14; v++)
        handler_task(v);
    if (which == CASE_CS)
        new.cs = sel;
    else if (which == CASE_SS)
        new.ss = sel;
    else if (which == CASE_DS)
        new.ds = sel;
    else
        new.ldt = SEL_CASE;
    t.d[1] = SEL_NEW;
    if (vec) {
        t.x[0] = (struct expect){ AX, SEL_CASE & 0xfffc, 0 };
        t.x[1] = (struct expect){ DX, vec - 0x100, 0xff };
        t.x[2] = (struct expect){ BP, SEL_HANDLER(vec - 0x100), 0xffff };
    } else {
        t.x[0] = (struct expect){ BP, SEL_NEW, 0xffff };
    }
    test_run(&t);
    if (vec)
        check(case_name, handler[vec - V_TS].link, SEL_NEW);
}

static void new_tasks(void)
{
    const struct code *code = SNIPPET(32, "ljmp [ebx]\n" AT(0x40) "str bp; int 0x40\n" AT(0x60) "pop eax; str bp");
    struct gate saved[4];

    for (u32 i = 0; i < 4; i++) {
        saved[i] = idt32[10 + i];
        idt32_gate((int)(10 + i), SEL_HANDLER(10 + i), 0, 0x85);
    }
    group("new task: which cpl rpl access");
    for (u32 access = 0; access < 0x100; access++) {
        for (u32 rpl = 0; rpl < 4; rpl++) {
            new_task_case(code, CASE_SS, 3, rpl, (u8)access);
            new_task_case(code, CASE_DS, 0, rpl, (u8)access);
            new_task_case(code, CASE_DS, 3, rpl, (u8)access);
        }
        new_task_case(code, CASE_CS, 3, 3, (u8)access);
        new_task_case(code, CASE_LDT, 0, 0, (u8)access);
    }
    for (int i = 0; i < 4; i++)
        idt32[10 + i] = saved[i];
    __asm__ volatile("lldt %w0" : : "r"(0));
}

void program(const char *command_line)
{
    (void)command_line;
    prepare(0);
    direct();
    gates();
    new_tasks();
    prepare(0);
}
