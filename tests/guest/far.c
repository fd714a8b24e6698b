/* Every combination of privilege levels, descriptor types and presence for far jumps, calls, returns and software
 * interrupts in 32-bit protected mode. What is expected follows the "Operation" sections of SDM volume 2 (CALL, JMP,
 * RET, IRET, INT n), written here as the order of their checks. */
#include "matrix.h"

const char program_name[] = "far";

/* What a case is about. */
#define SEL_TARGET SEL_OWN
#define SEL_GATE (SEL_OWN + 8)
#define SEL_STACK (SEL_OWN + 0x10)
#define LANDING (CODE + 0x40)       /* every target: INT 40h */
#define VEC_CASE 0x60               /* the IDT entry that cases change */
#define INNER_STACK (PLAY + 0x4000) /* level n: 4 KiB x n behind it */

enum { JMP, CALL };

/* How a case must end: error codes as the processor pushes them. */
struct ending { enum vector vec; u32 err; u32 cs; };

static struct ending fails(enum vector vec, u16 sel)
{
    return (struct ending){ vec, sel & 0xfffcu, 0 };
}

static u64 flat(u8 access)
{
    return desc(0, 0xfffff, access, 0xc);
}

/* One case at level `cpl` with the far pointer or frame in `d`; ends as `e` says. */
static void run(const struct code *code, u32 cpl, const u32 d[8], u32 sp, struct ending e)
{
    struct test t = at_level(cpl, code);

    t.sp = sp;
    t.vec = e.vec;
    t.err = e.err;
    memcpy(t.d, d, sizeof t.d);
    if (e.vec == DONE)
        t.x[0] = (struct expect){ CS, e.cs, 0 };
    else
        t.x[0] = (struct expect){ CS, SEL_CODE(cpl), 0 };
    test_run(&t);
}

static void setup(void)
{
    set_levels();
    tss.ss1 = SEL_DATA(1);
    tss.esp1 = INNER_STACK + 0x2000;
    tss.ss2 = SEL_DATA(2);
    tss.esp2 = INNER_STACK + 0x3000;
}

/* ---- direct far jumps and calls ---- */

static struct ending direct_ending(u32 cpl, u32 rpl, u8 access)
{
    u16 sel = (u16)(SEL_TARGET | rpl);
    u32 dpl = dpl_of(access);

    if (!is_code(access))
        return fails(V_GP, sel);
    if (is_conforming(access) ? dpl > cpl : rpl > cpl || dpl != cpl)
        return fails(V_GP, sel);
    if (!(access & P))
        return fails(V_NP, sel);
    return (struct ending){ DONE, 0, SEL_TARGET | cpl };
}

/* TSS descriptors, call gates and task gates lead elsewhere: they have their own cases. */
static bool leads_on(u8 access)
{
    u32 type = access & 0x1f;

    return type == 1 || type == 3 || type == 4 || type == 5 || type == 9 || type == 0xb || type == 0xc;
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
                for (u32 access = 0; access < 0x100; access++) {
                    if (leads_on((u8)access))
                        continue;
                    NAME(call, cpl, rpl, access);
                    gdt_set(SEL_TARGET, flat((u8)access));
                    run(code[call], cpl, (u32[8]){ LANDING, SEL_TARGET | rpl }, 0,
                        direct_ending(cpl, rpl, (u8)access));
                }
    group("direct: offset beyond the limit: call access");
    for (u32 call = 0; call < 2; call++)
        for (u32 type = CODE_SEG; type < 16; type++) {
            NAME(call, type);
            gdt_set(SEL_TARGET, desc(0, LANDING - 1, (u8)(P | S | type), 4));
            run(code[call], 0, (u32[8]){ LANDING, SEL_TARGET }, 0, fails(V_GP, 0));
        }
    group("direct: null selector: call rpl");
    for (u32 call = 0; call < 2; call++)
        for (u32 rpl = 0; rpl < 4; rpl++) {
            NAME(call, rpl);
            run(code[call], 3, (u32[8]){ LANDING, rpl }, 0, fails(V_GP, 0));
        }
}

/* ---- call gates ---- */

static struct ending gate_ending(u32 op, u32 cpl, u32 rpl, u8 gate, u8 access)
{
    u32 dpl = dpl_of(access);
    bool conforming = is_conforming(access);

    if (dpl_of(gate) < cpl || rpl > dpl_of(gate))
        return fails(V_GP, SEL_GATE);
    if (!(gate & P))
        return fails(V_NP, SEL_GATE);
    if (!is_code(access) || dpl > cpl || (op == JMP && !conforming && dpl != cpl))
        return fails(V_GP, SEL_TARGET);
    if (!(access & P))
        return fails(V_NP, SEL_TARGET);
    return (struct ending){ DONE, 0, SEL_TARGET | (conforming ? cpl : dpl) };
}

static void gates(void)
{
    static const u8 types[] = { S | CODE_SEG, S | CODE_SEG | READABLE, S | CODE_SEG | CONFORMING, S | WRITABLE, 2 };
    const struct code *code[2] = {
        SNIPPET(32, "ljmp [ebx]\n" AT(0x40) "int 0x40"), SNIPPET(32, "lcall [ebx]\n" AT(0x40) "int 0x40"),
    };
    group("call gates: op cpl rpl gate access");
    for (u32 op = 0; op < 2; op++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 gate = 0; gate < 8; gate++)
                    for (u32 i = 0; i < sizeof types; i++)
                        for (u32 dpl_p = 0; dpl_p < 8; dpl_p++) {
                            u8 access = (u8)(types[i] | dpl_p << 5);
                            u8 gate_access = (u8)(0xc | gate << 5);
                            NAME(op, cpl, rpl, gate_access, access);
                            gdt_set(SEL_TARGET, flat(access));
                            gdt_set(SEL_GATE, call_gate(SEL_TARGET | 3, LANDING, gate_access, 0));
                            run(code[op], cpl, (u32[8]){ 0x12345678, SEL_GATE | rpl }, 0,
                                gate_ending(op, cpl, rpl, gate_access, access));
                        }
    group("call gates: null target: op cpl");
    for (u32 op = 0; op < 2; op++)
        for (u32 cpl = 0; cpl < 4; cpl++) {
            NAME(op, cpl);
            gdt_set(SEL_GATE, call_gate(3, LANDING, 0xec, 0));
            run(code[op], cpl, (u32[8]){ 0, SEL_GATE | cpl }, 0, fails(V_GP, 0));
        }
}

/* The stack that the TSS names for an inner level, in all its faults. `vec_error`: #TS of calls and interrupts. */
static struct ending inner_stack_ending(u32 level, u16 ss, u8 access)
{
    if ((ss & 3) != level || dpl_of(access) != level || (access & (S | CODE_SEG | WRITABLE)) != (S | WRITABLE))
        return fails(V_TS, ss);
    if (!(access & P))
        return fails(V_SS, ss);
    return (struct ending){ DONE, 0, SEL_CODE(level) };
}

static void set_tss_stack(u32 level, u16 ss, u32 esp)
{
    if (level == 1) {
        tss.ss1 = ss;
        tss.esp1 = esp;
    } else {
        tss.ss2 = ss;
        tss.esp2 = esp;
    }
}

/* Levels 1 and 2, so that the handlers of the faults keep their own stack. */
static void inner_stacks(void)
{
    const struct code *call = SNIPPET(32, "lcall [ebx]\n" AT(0x40) "int 0x40");
    const struct code *interrupt = SNIPPET(32, "int 0x60\n" AT(0x40) "int 0x40");
    struct gate saved = idt32[VEC_CASE];

    group("inner stacks: by_int level rpl access");
    for (u32 by_int = 0; by_int < 2; by_int++)
        for (u32 level = 1; level < 3; level++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access++) {
                    u16 ss = (u16)(SEL_STACK | rpl);
                    NAME(by_int, level, rpl, access);
                    gdt_set(SEL_STACK, desc(0, 0xfffff, (u8)access, (access & EXPAND_DOWN) ? 0x4 : 0xc));
                    if ((access & (S | CODE_SEG | EXPAND_DOWN)) == (S | EXPAND_DOWN))
                        gdt_set(SEL_STACK, desc(0, 0, (u8)access, 0xc));
                    set_tss_stack(level, ss, INNER_STACK + 0x1000 + 0x1000 * level);
                    gdt_set(SEL_GATE, call_gate(SEL_CODE(level), LANDING, 0xec, 0));
                    idt32_gate(VEC_CASE, SEL_CODE(level), LANDING, 0xee);
                    run(by_int ? interrupt : call, 3, (u32[8]){ 0, SEL_GATE | 3 }, 0,
                        inner_stack_ending(level, ss, (u8)access));
                }
    group("inner stacks: null or beyond the table: by_int level ss");
    for (u32 by_int = 0; by_int < 2; by_int++)
        for (u32 level = 1; level < 3; level++)
            for (u32 ss = 0; ss < 4; ss++) {
                NAME(by_int, level, ss);
                gdt_set(SEL_GATE, call_gate(SEL_CODE(level), LANDING, 0xec, 0));
                idt32_gate(VEC_CASE, SEL_CODE(level), LANDING, 0xee);
                set_tss_stack(level, (u16)ss, INNER_STACK);
                run(by_int ? interrupt : call, 3, (u32[8]){ 0, SEL_GATE | 3 }, 0, fails(V_TS, 0));
                set_tss_stack(level, (u16)(0x3f8 + 0x400 + ss), INNER_STACK);
                run(by_int ? interrupt : call, 3, (u32[8]){ 0, SEL_GATE | 3 }, 0, fails(V_TS, 0x7f8));
            }
    idt32[VEC_CASE] = saved;
    setup();
}

/* ---- returns ---- */

static struct ending return_ending(u32 cpl, u32 rpl, u8 access)
{
    u16 sel = (u16)(SEL_TARGET | rpl);
    u32 dpl = dpl_of(access);

    if (rpl < cpl || !is_code(access) || (is_conforming(access) ? dpl > rpl : dpl != rpl))
        return fails(V_GP, sel);
    if (!(access & P))
        return fails(V_NP, sel);
    return (struct ending){ DONE, 0, sel };
}

/* The frame stands in DATA, to which the stack pointer is led: [EFLAGS,] then for outer levels ESP and SS. */
static void make_frame(u32 d[8], bool iret, u16 cs, u16 ss)
{
    u32 *p = d;
    *p++ = LANDING;
    *p++ = cs;
    if (iret)
        *p++ = 2;
    *p++ = STACK + STACK_TOP;
    *p++ = ss;
}

static void returns(void)
{
    const struct code *code[2] = {
        SNIPPET(32, "lret\n" AT(0x40) "int 0x40"), SNIPPET(32, "iretd\n" AT(0x40) "int 0x40"),
    };
    u32 d[8] = { 0 };

    group("returns: iret cpl rpl access");
    for (u32 iret = 0; iret < 2; iret++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access++) {
                    NAME(iret, cpl, rpl, access);
                    gdt_set(SEL_TARGET, flat((u8)access));
                    make_frame(d, iret, (u16)(SEL_TARGET | rpl), SEL_DATA(rpl));
                    run(code[iret], cpl, d, DATA, return_ending(cpl, rpl, (u8)access));
                }
}

static struct ending outer_stack_ending(u32 level, u16 ss, u8 access)
{
    if ((ss & 3) != level || dpl_of(access) != level || (access & (S | CODE_SEG | WRITABLE)) != (S | WRITABLE))
        return fails(V_GP, ss);
    if (!(access & P))
        return fails(V_SS, ss);
    return (struct ending){ DONE, 0, SEL_CODE(level) };
}

static void outer_stacks(void)
{
    const struct code *code[2] = {
        SNIPPET(32, "lret\n" AT(0x40) "int 0x40"), SNIPPET(32, "iretd\n" AT(0x40) "int 0x40"),
    };
    u32 d[8] = { 0 };

    group("outer stacks: iret level rpl access");
    for (u32 iret = 0; iret < 2; iret++)
        for (u32 level = 1; level < 4; level++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access++) {
                    u16 ss = (u16)(SEL_STACK | rpl);
                    NAME(iret, level, rpl, access);
                    gdt_set(SEL_STACK, flat((u8)access));
                    make_frame(d, iret, SEL_CODE(level), ss);
                    run(code[iret], 0, d, DATA, outer_stack_ending(level, ss, (u8)access));
                }
    group("outer stacks: null: iret ss");
    for (u32 iret = 0; iret < 2; iret++)
        for (u32 ss = 0; ss < 4; ss++) {
            NAME(iret, ss);
            make_frame(d, iret, SEL_CODE(3), (u16)ss);
            run(code[iret], 0, d, DATA, fails(V_GP, 0));
        }
}

/* ---- software interrupts ---- */

static struct ending int_ending(u32 cpl, u8 gate, u8 access)
{
    u32 type = gate & 0x1f, dpl = dpl_of(access);
    bool conforming = is_conforming(access);

    if ((type != 0xe && type != 0xf && type != 6 && type != 7) || dpl_of(gate) < cpl)
        return (struct ending){ V_GP, VEC_CASE * 8 + 2, 0 };
    if (!(gate & P))
        return (struct ending){ V_NP, VEC_CASE * 8 + 2, 0 };
    if (!is_code(access) || dpl > cpl)
        return fails(V_GP, SEL_TARGET);
    if (!(access & P))
        return fails(V_NP, SEL_TARGET);
    return (struct ending){ DONE, 0, SEL_TARGET | (conforming ? cpl : dpl) };
}

/* 16-bit gates have a 16-bit offset: their target lies there by its base. */
static void interrupts(void)
{
    static const u8 types[] = { S | CODE_SEG, S | CODE_SEG | CONFORMING, S | WRITABLE, 2 };
    const struct code *code = SNIPPET(32, "int 0x60\n" AT(0x40) "int 0x40");
    struct gate saved = idt32[VEC_CASE];

    group("interrupts: cpl gate access");
    for (u32 cpl = 0; cpl < 4; cpl++)
        for (u32 gate = 0; gate < 0x100; gate++) {
            bool wide = (gate & 0x1f) > 7;
            if ((gate & 0x1f) == 5)
                continue; /* a task gate */
            for (u32 i = 0; i < sizeof types; i++)
                for (u32 dpl_p = 0; dpl_p < 8; dpl_p++) {
                    u8 access = (u8)(types[i] | dpl_p << 5);
                    NAME(cpl, gate, access);
                    gdt_set(SEL_TARGET, desc(wide ? 0 : CODE, 0xfffff, access, 0xc));
                    idt32_gate(VEC_CASE, SEL_TARGET | 3, wide ? LANDING : LANDING - CODE, (u8)gate);
                    run(code, cpl, (u32[8]){ 0 }, 0, int_ending(cpl, (u8)gate, access));
                }
        }
    idt32[VEC_CASE] = saved;
}

/* The stack is looked at before the offset. */
static void order(void)
{
    const struct code *code[3] = {
        SNIPPET(32, "lcall [ebx]"), SNIPPET(32, "int 0x60"), SNIPPET(32, "lret"),
    };
    struct gate saved = idt32[VEC_CASE];
    u32 d[8] = { 0 };

    group("stack, then offset: int level room");
    gdt_set(SEL_STACK, desc(0, 0x1000, P | S | WRITABLE | 1 << 5, 4));
    gdt_set(SEL_TARGET, desc(0, LANDING - 1, P | S | CODE_SEG | 1 << 5, 4));
    gdt_set(SEL_GATE, call_gate(SEL_TARGET, LANDING, 0xec, 0));
    idt32_gate(VEC_CASE, SEL_TARGET, LANDING, 0xee);
    for (u32 by_int = 0; by_int < 2; by_int++)
        for (u32 room = 0; room < 24; room += 4) {
            bool enough = room >= (by_int ? 20 : 16);
            NAME(by_int, room);
            set_tss_stack(1, SEL_STACK | 1, room);
            run(code[by_int], 3, (u32[8]){ 0, SEL_GATE | 3 }, 0, enough ? fails(V_GP, 0) : fails(V_SS, SEL_STACK));
        }
    group("stack, then offset: ret rpl ss");
    for (u32 rpl = 1; rpl < 4; rpl++)
        for (u32 ss = 0; ss < 4; ss++) {
            NAME(rpl, ss);
            gdt_set(SEL_TARGET, desc(0, LANDING - 1, (u8)(P | S | CODE_SEG | rpl << 5), 4));
            make_frame(d, false, (u16)(SEL_TARGET | rpl), SEL_DATA(ss));
            run(code[2], 0, d, DATA, ss == rpl ? fails(V_GP, 0) : fails(V_GP, SEL_DATA(ss)));
        }
    idt32[VEC_CASE] = saved;
    setup();
}

void program(const char *command_line)
{
    (void)command_line;
    setup();
    direct();
    gates();
    inner_stacks();
    returns();
    outer_stacks();
    interrupts();
    order();
}
