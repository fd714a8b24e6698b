/* Every descriptor type, privilege level and presence against loads of segment registers, LAR, LSL, VERR, VERW, and
 * segment limits of every kind against accesses around them (SDM volume 3, chapter 5; volume 2, the instructions'
 * "Operation" sections). */
#include "matrix.h"

const char program_name[] = "segload";

#define SEL_CASE SEL_OWN

static u32 larger(u32 a, u32 b)
{
    return a > b ? a : b;
}

static struct test query(u32 cpl, const struct code *code, u16 selector)
{
    struct test t = at_level(cpl, code);

    t.fs = t.gs = NULLSEL;
    t.cx = selector;
    return t;
}

/* ---- MOV to a segment register ---- */

static void expect_fault(struct test *t, enum vector vec, u32 sel)
{
    t->vec = vec;
    t->err = sel & 0xfffc;
}

/* FS stands for all data segment registers. */
static void expect_load(struct test *t, bool stack, u32 cpl, u32 rpl, u8 access)
{
    u32 dpl = dpl_of(access), sel = SEL_CASE | rpl;
    bool readable = is_data(access) || (is_code(access) && (access & READABLE));

    if (stack) {
        if (rpl != cpl || dpl != cpl || !is_data(access) || !(access & WRITABLE))
            expect_fault(t, V_GP, sel);
        else if (!(access & P))
            expect_fault(t, V_SS, sel);
    } else {
        if (!readable || (!is_conforming(access) && dpl < larger(cpl, rpl)))
            expect_fault(t, V_GP, sel);
        else if (!(access & P))
            expect_fault(t, V_NP, sel);
        else
            t->x[0] = (struct expect){ FS, sel, 0 };
    }
    if (t->vec) {
        t->x[0] = (struct expect){ FS, 0, 0 };
        t->x[1] = (struct expect){ SS, SEL_DATA(cpl), 0 };
    }
}

/* A load that succeeds sets the accessed bit, one that fails does not. */
static void check_accessed(const struct test *t, u8 access)
{
    u32 now = gdt[SEL_CASE / 8] >> 40 & 0xff;

    if ((access & S) && !(access & 1))
        check(case_name, now, t->vec ? access : access | 1u);
}

static void loads(void)
{
    const struct code *code[2] = { SNIPPET(32, "mov fs, ecx"), SNIPPET(32, "mov ss, ecx; mov ecx, [esp-4]") };

    group("load: stack cpl rpl access");
    for (u32 stack = 0; stack < 2; stack++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access++) {
                    struct test t = query(cpl, code[stack], (u16)(SEL_CASE | rpl));
                    bool down = is_data((u8)access) && (access & EXPAND_DOWN);
                    NAME(stack, cpl, rpl, access);
                    gdt_set(SEL_CASE, desc(0, down ? 0 : 0xfffff, (u8)access, 0xc));
                    expect_load(&t, stack, cpl, rpl, (u8)access);
                    test_run(&t);
                    check_accessed(&t, (u8)access);
                }
    group("load: null: stack cpl selector");
    for (u32 stack = 0; stack < 2; stack++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 sel = 0; sel < 4; sel++) {
                struct test t = query(cpl, code[stack], (u16)sel);
                NAME(stack, cpl, sel);
                if (stack)
                    expect_fault(&t, V_GP, 0);
                test_run(&t);
            }
    group("load: beyond the tables: selector");
    for (u32 sel = 0x400; sel < 0x10000; sel += 0x777) {
        struct test t = query(3, code[0], (u16)(sel & ~4u));
        NAME(sel & ~4u);
        expect_fault(&t, V_GP, sel & 0xfff8);
        test_run(&t);
    }
}

/* ---- LAR, LSL, VERR, VERW ---- */

enum { DO_LAR, DO_LSL, DO_VERR, DO_VERW, NUM_DO };

/* Types of system descriptors that LAR accepts (SDM vol. 2, table 3-53), and LSL (table 3-56). */
#define LAR_SYSTEM (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 0xb | 1u << 0xc)
#define LSL_SYSTEM (1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 0xb)

static bool visible(u32 op, u32 cpl, u32 rpl, u8 access)
{
    bool enough = dpl_of(access) >= larger(cpl, rpl);

    if (!(access & S)) {
        u32 types = op == DO_LAR ? LAR_SYSTEM : op == DO_LSL ? LSL_SYSTEM : 0;
        return (types >> (access & 15) & 1) && enough;
    }
    if (op == DO_VERW)
        return is_data(access) && (access & WRITABLE) && enough;
    if (op == DO_VERR && is_code(access) && !(access & READABLE))
        return false;
    return is_conforming(access) || enough;
}

static void queries(void)
{
    const struct code *code[NUM_DO] = {
        SNIPPET(32, "lar eax, ecx"), SNIPPET(32, "lsl eax, ecx"), SNIPPET(32, "verr cx"), SNIPPET(32, "verw cx"),
    };

    group("query: op cpl rpl access");
    for (u32 op = 0; op < NUM_DO; op++)
        for (u32 cpl = 0; cpl < 4; cpl++)
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access++) {
                    struct test t = query(cpl, code[op], (u16)(SEL_CASE | rpl));
                    bool yes = visible(op, cpl, rpl, (u8)access);
                    u64 result = op == DO_LAR ? 0xc00000 | access << 8 : 0x12345fff;
                    NAME(op, cpl, rpl, access);
                    gdt_set(SEL_CASE, desc(0x5a5a5a5a, 0x12345, (u8)access, 0xc));
                    t.ax = 0x77777777;
                    /* LAR of EAX shows bits 19:16 of the limit on some processors: undefined. */
                    t.x[0] = (struct expect){ FL, yes ? ZF : 0, ZF };
                    t.x[1] = (struct expect){ AX, yes && op < DO_VERR ? result : 0x77777777,
                                              yes && op == DO_LAR ? 0xf0ff00 : 0xffffffff };
                    test_run(&t);
                }
    group("query: null: op");
    for (u32 op = 0; op < NUM_DO; op++) {
        struct test t = query(3, code[op], 3);
        NAME(op);
        t.fl = ZF;
        t.x[0] = (struct expect){ FL, 0, ZF };
        test_run(&t);
    }
}

/* ---- limits ---- */

/* Offsets that a segment accepts: up to the limit, or for expand-down behind it up to 64 KiB or 4 GiB. */
static bool inside(u32 limit, bool down, bool big, u32 offset, u32 size)
{
    u64 last = (u64)offset + size - 1;

    if (!down)
        return last <= limit;
    return offset > limit && last <= (big ? 0xffffffffu : 0xffffu);
}

static void limit_case(const struct code *code, bool stack, u32 limit, bool down, bool big, u32 offset, u32 size)
{
    bool granular = limit > 0xfffff;
    u8 access = (u8)(P | S | WRITABLE | 1 | (down ? EXPAND_DOWN : 0));
    struct test t = query(0, code, SEL_CASE);

    NAME(stack, limit, down, big, offset, size);
    /* The byte at the offset is at PLAY wherever the offset is. */
    gdt_set(SEL_CASE, desc(PLAY - offset, granular ? limit >> 12 : limit, access,
                           (u8)((granular ? 8 : 0) | (big ? 4 : 0))));
    t.bp = stack ? offset : 0;
    t.di = offset;
    t.dx = SEL_DS;
    t.ax = 0x11223344;
    if (!inside(limit, down, big, offset, size)) {
        t.vec = stack ? V_SS : V_GP;
        t.err = 0;
    }
    test_run(&t);
}

static void limits(void)
{
    static const u32 limit[] = { 0, 1, 3, 0x7f, 0xfff, 0xfffe, 0xffff, 0x10000, 0xfffff, 0x1fffff, 0x7fffffff,
                                 0xffffffff };
    static const int around[] = { -9, -8, -4, -3, -2, -1, 0, 1, 2, 4 };
    const struct code *data[4] = {
        SNIPPET(32, "mov fs, ecx; mov al, fs:[edi]; mov fs:[edi], al"),
        SNIPPET(32, "mov fs, ecx; mov ax, fs:[edi]; mov fs:[edi], ax"),
        SNIPPET(32, "mov fs, ecx; mov eax, fs:[edi]; mov fs:[edi], eax"),
        SNIPPET(32, "mov fs, ecx; fild qword ptr fs:[edi]; fistp qword ptr fs:[edi]"),
    };
    const struct code *stack[4] = {
        SNIPPET(32, "mov ss, ecx; mov al, [ebp]; mov ss, edx"), SNIPPET(32, "mov ss, ecx; mov ax, [ebp]; mov ss, edx"),
        SNIPPET(32, "mov ss, ecx; mov eax, [ebp]; mov ss, edx"),
        SNIPPET(32, "mov ss, ecx; fild qword ptr [ebp]; fstp st(0); mov ss, edx"),
    };

    group("limit: stack limit down big offset size");
    for (u32 i = 0; i < sizeof limit / sizeof limit[0]; i++)
        for (u32 kind = 0; kind < 4; kind++)
            for (u32 k = 0; k < sizeof around / sizeof around[0]; k++)
                for (u32 size = 0; size < 4; size++) {
                    bool down = kind & 1, big = kind & 2;
                    u32 offset = limit[i] + (u32)around[k];
                    limit_case(data[size], false, limit[i], down, big, offset, 1u << size);
                    /* A fault with a stack that holds nothing would be none of the case's. */
                    if (inside(limit[i], down, big, offset, 1u << size))
                        limit_case(stack[size], true, limit[i], down, big, offset, 1u << size);
                }
}

void program(const char *command_line)
{
    (void)command_line;
    set_levels();
    loads();
    queries();
    limits();
}
