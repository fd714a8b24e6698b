/* IA-32e mode: segment registers, LDT and task register, LAR and its like, system calls, and what 64-bit mode
 * does not have. What is expected follows the "Operation" sections and the lists of exceptions of SDM volume
 * 2, written here as the order of their checks. */
#include "matrix64.h"

const char program_name[] = "sys64";

/* ---- segment registers ---- */

static struct ending load_ending(struct origin o, bool stack, u16 sel, u8 access)
{
    u32 rpl = sel & 3, dpl = dpl_of(access), next = CODE + 16;
    struct ending ok = { .vec = DONE, .cs = SEL_CODE(o.code64, o.cpl), .ss = stack ? sel : SEL_DATA(o.cpl),
                         .ip = next, .sp = TOP };

    if (!(sel & ~3))
        return !stack || (o.code64 && o.cpl < 3 && rpl == o.cpl) ? ok : fails(V_GP, 0);
    if (!(access & S))
        return fails(V_GP, sel);
    if (stack && (rpl != o.cpl || dpl != o.cpl || (access & (CODE_SEG | WRITABLE)) != WRITABLE))
        return fails(V_GP, sel);
    if (!stack && (access & (CODE_SEG | READABLE)) == CODE_SEG)
        return fails(V_GP, sel);
    if (!stack && !is_conforming(access) && (rpl > dpl || o.cpl > dpl))
        return fails(V_GP, sel);
    if (!(access & P))
        return fails(stack ? V_SS : V_NP, sel);
    return ok;
}

static void load_case(struct origin o, bool stack, u16 sel, u8 access)
{
    struct test t = start(LABEL(o.code64, o.cpl, stack, sel, access), o,
                          stack ? MACHINE(0x8e, 0xd1) : MACHINE(0x8e, 0xd9)); /* mov ss or ds, ecx */

    gdt_set(SEL_STACK, flat(access, D));
    t.cx = sel;
    end(&t, load_ending(o, stack, sel, access));
}

static void loads(void)
{
    group("segment loads: code64 cpl stack selector access");
    EACH_ORIGIN(o)
        for (u32 stack = 0; stack < 2; stack++) {
            for (u16 sel = 0; sel < 4; sel++)
                load_case(o, stack, sel, 0);
            for (u32 rpl = 0; rpl < 4; rpl++)
                for (u32 access = 0; access < 0x100; access += 2)
                    if (rpl == o.cpl || (access & (P | 7)) == (P | 2))
                        load_case(o, stack, (u16)(SEL_STACK | rpl), (u8)access);
        }
}

/* LLDT and LTR. The second half of the descriptor has a type of its own, which must be 0. */
static struct ending table_ending(struct origin o, bool tr, u16 sel, u8 access, u32 upper_type)
{
    struct ending ok = { .vec = DONE, .cs = SEL_CODE(o.code64, o.cpl), .ss = SEL_DATA(o.cpl), .ip = CODE + 16,
                         .sp = TOP };

    if (o.cpl)
        return fails(V_GP, 0);
    if (!(sel & ~3))
        return tr ? fails(V_GP, 0) : ok;
    if ((sel & 4) || sel >= SEL_LAST || (access & (S | 0xf)) != (tr ? 9 : 2))
        return fails(V_GP, sel);
    if (!(access & P))
        return fails(V_NP, sel);
    return upper_type ? fails(V_GP, sel) : ok;
}

static void table_case(struct origin o, bool tr, u16 sel, u8 access, u32 upper_type)
{
    struct test t = start(LABEL(o.code64, o.cpl, tr, sel, access, upper_type), o,
                          MACHINE(0x0f, 0x00, tr ? 0xd9 : 0xd1)); /* ecx */
    struct ending e = table_ending(o, tr, sel, access, upper_type);

    set_pair(SEL_SYSTEM, desc((u32)&tss64, sizeof tss64 - 1, access, 0), 0, upper_type);
    set_pair(SEL_LAST, desc((u32)&tss64, sizeof tss64 - 1, access, 0), 0, 0);
    t.cx = sel;
    end(&t, e);
    if (tr && e.vec == DONE)
        check("busy", gdt[SEL_SYSTEM / 8] >> 40 & 0xff, access | 2);
}

static void tables(void)
{
    static const u16 bad[] = { 0, 1, 2, 3, SEL_SYSTEM | 4, SEL_LAST, SEL_BEYOND, 0xfff8 };

    group("lldt and ltr: code64 cpl tr selector access upper");
    EACH_ORIGIN(o)
        for (u32 tr = 0; tr < 2; tr++) {
            u8 good = tr ? 0x89 : 0x82;
            for (u32 access = 0; access < 0x100; access++)
                if (!o.cpl || access == good)
                    table_case(o, tr, SEL_SYSTEM | (access >> 5 & 3), (u8)access, 0);
            for (u32 upper = 1; upper < 32; upper++)
                table_case(o, tr, SEL_SYSTEM, good, upper);
            for (u32 i = 0; i < ITEMS(bad); i++)
                table_case(o, tr, bad[i], good, 0);
        }
}

/* LAR, LSL, VERR, VERW; the second half of a system descriptor must have type 0. Whether LAR looks at the
 * descriptor of an LDT the manuals of the makers do not agree about. */
static void look_case(struct origin o, u32 rpl, u8 access, u32 upper_type, u16 sel)
{
    u32 type = access & 0xf, dpl = dpl_of(access);
    bool system = !(access & S);
    bool visible = is_conforming(access) || (dpl >= o.cpl && dpl >= rpl);
    bool table = sel == SEL_SYSTEM && !upper_type && (type == 2 || type == 9 || type == 0xb);
    bool lar = visible && (system ? table || (type == 0xc && !upper_type && sel == SEL_SYSTEM) : true);
    bool lsl = visible && (system ? table : true);
    bool verr = visible && !system && (!(access & CODE_SEG) || (access & READABLE));
    bool verw = visible && !system && (access & (CODE_SEG | WRITABLE)) == WRITABLE;
    static const u8 text[] = { 0x0f, 0x02, 0xc1, 0x0f, 0x94, 0xc2, 0x0f, 0x03, 0xf1, 0x0f, 0x94, 0xc6,
                               0x0f, 0x00, 0xe1, 0x0f, 0x94, 0xc3, 0x0f, 0x00, 0xe9, 0x0f, 0x94, 0xc7,
                               0xcd, 0x40 };
    static const struct code code = { text, text + sizeof text, text };
    struct test t = start(LABEL(o.code64, o.cpl, rpl, access, upper_type, sel), o, &code);

    if (system && type == 2 && !cpu_is_intel())
        return;
    if (system && type == 2)
        lar = false;
    set_pair(sel, desc(0x87654321, 0xbeef0, access, 0xd), 0, upper_type);
    t.cx = sel | rpl;
    t.bx = 0x8000;
    t.x[0] = (struct expect){ AX, lar ? (u32)access << 8 | 0xd00000 : 0, 0xfff0ffff };
    t.x[1] = (struct expect){ SI, lsl ? 0xbeef0fff : 0, 0 };
    t.x[2] = (struct expect){ DX, lar | lsl << 8, 0 };
    t.x[3] = (struct expect){ BX, verr | verw << 8, 0 };
    t.vec = DONE;
    test_run(&t);
}

static void looks(void)
{
    group("lar, lsl, verr, verw: code64 cpl rpl access upper selector");
    EACH_ORIGIN(o)
        for (u32 rpl = 0; rpl < 4; rpl++)
            for (u32 access = 0; access < 0x100; access++) {
                if ((rpl == o.cpl && (o.cpl == 0 || o.cpl == 3)) || (access & 0x8f) == 0x89)
                    look_case(o, rpl, (u8)access, 0, SEL_SYSTEM);
                if ((access & (P | S)) == P && rpl == 0) {
                    look_case(o, rpl, (u8)access, 1 << (access & 3), SEL_SYSTEM);
                    look_case(o, rpl, (u8)access, 16, SEL_SYSTEM);
                    look_case(o, rpl, (u8)access, 0, SEL_LAST);
                }
            }
}

/* ---- system calls ---- */

static void syscall_case(struct origin o, u16 star, u64 lstar, u32 fmask, u32 flags, bool enabled)
{
    struct test t = start(LABEL(o.code64, o.cpl, star, (u32)(lstar >> 32), fmask, flags, enabled), o,
                          MACHINE(0x0f, 0x05));
    struct ending e = lands(star & 0xfffc, (u16)(star + 8), TOP);
    u32 all = 0x3effd7;

    msr_set(M_STAR, (u64)star << 32 | (u64)0x1230 << 48);
    msr_set(M_LSTAR, lstar);
    msr_set(M_FMASK, fmask);
    lm_efer = enabled ? lm_efer | 1 : lm_efer & ~1u;
    e.ip = lstar + 2;
    t.fl = flags;
    t.r11 = t.cx = ~0ULL;
    t.x[4] = (struct expect){ FL, ((flags | 2) & ~fmask) | 2, all };
    t.x[5] = (struct expect){ CX, CODE + 2, 0 };
    t.x[6] = (struct expect){ R11, flags | 2, 0 };
    if (!o.code64 || !enabled) {
        e = (struct ending){ .vec = V_UD };
        t.x[4] = (struct expect){ FL, flags | 2, all };
        t.x[5] = (struct expect){ CX, o.code64 ? ~0ULL : 0xffffffff, o.code64 ? 0 : 0xffffffff };
        t.x[6] = (struct expect){ 0 };
    }
    end(&t, e);
    lm_efer |= 1;
}

static void sysret_case(struct origin o, u16 star, u64 cx, u64 r11, u32 size, bool enabled)
{
    struct test t = start(LABEL(o.code64, o.cpl, star, (u32)(cx >> 32), (u32)cx, (u32)r11, size, enabled), o,
                          size == 8 ? MACHINE(0x48, 0x0f, 0x07) : MACHINE(0x0f, 0x07));
    struct ending e = lands((u16)(size == 8 ? star + 16 : star) | 3, (u16)(star + 8) | 3, TOP);

    msr_set(M_STAR, (u64)star << 48 | (u64)0x1230 << 32);
    lm_efer = enabled ? lm_efer | 1 : lm_efer & ~1u;
    t.cx = cx;
    t.r11 = r11;
    e.ip = (size == 8 ? cx : (u32)cx) + 2;
    t.x[4] = (struct expect){ FL, (r11 & 0x3c7fd7) | 2, 0x3effd7 };
    if (!o.code64 || !enabled)
        e = (struct ending){ .vec = V_UD };
    else if (o.cpl || (size == 8 && !canonical(cx)))
        e = fails(V_GP, 0);
    if (e.vec != DONE)
        t.x[4] = (struct expect){ CX, o.code64 ? cx : (u32)cx, o.code64 ? 0 : 0xffffffff };
    if (o.code64 || size == 4) /* 48 is DEC in compatibility mode */
        end(&t, e);
    lm_efer |= 1;
}

static void syscalls(void)
{
    static const u16 star[] = { SEL_CS64, SEL_CS64 | 3, 0x5671, 0xfff8 };
    static const u64 lstar[] = { LANDING, HIGH | LANDING };
    static const u32 flags[] = { 0, CF | ZF | OF | DF, IF | NT | AC | IOPL3, VIF | VIP | 1 << 21 };
    static const u32 mask[] = { 0, 0xffffffff, CF | IF | NT, 0x47700 };
    static const u64 cx[] = { LANDING, HIGH | LANDING, NONCANON | LANDING, 0xffff000000000000ULL | LANDING,
                              0x8000000000000000ULL | LANDING };
    static const u64 r11[] = { 2, ~(u64)TF, 0x20000, 0x10244, VIF | VIP | IOPL3 | IF };

    if (!cpu_is_intel())
        return skip("syscall", "AMD's processors have it in compatibility mode too");
    group("syscall: code64 cpl star lstar fmask flags sce");
    EACH_ORIGIN(o)
        for (u32 i = 0; i < 4 * 2 * 4 * 4 * 2; i++)
            if (!(i & 1) || (i >> 4) % 8 == 0)
                syscall_case(o, star[i >> 6 & 3], lstar[i >> 1 & 1], mask[i >> 2 & 3], flags[i >> 4 & 3],
                             !(i & 1));
    group("sysret: code64 cpl star rcx r11 size sce");
    EACH_ORIGIN(o)
        for (u32 i = 0; i < 2 * 2 * 4 * ITEMS(cx) * ITEMS(r11); i++)
            if (!(i & 1) || !(i >> 2 & 3))
                sysret_case(o, star[i >> 2 & 3] & 0xfff7, cx[(i >> 4) % ITEMS(cx)], r11[(i >> 4) / ITEMS(cx)],
                            i & 2 ? 8 : 4, !(i & 1));
}

static void sysenter_case(struct origin o, u32 cs, u64 ip, u32 flags)
{
    struct test t = start(LABEL(o.code64, o.cpl, cs, (u32)(ip >> 32), flags), o, MACHINE(0x0f, 0x34));
    struct ending e = lands(cs & 0xfffc, (u16)((cs & 0xfffc) + 8), HIGH | (INNER_SP(1) + 3));

    msr_set(M_SYSENTER_CS, cs);
    msr_set(M_SYSENTER_ESP, e.sp);
    msr_set(M_SYSENTER_EIP, ip);
    e.ip = ip + 2;
    t.fl = flags;
    if (!(cs & 0xfffc)) {
        e = fails(V_GP, 0);
        flags |= IF & t.fl;
    } else {
        flags &= ~(u32)IF;
    }
    t.x[4] = (struct expect){ FL, flags | 2, 0x3effd7 };
    end(&t, e);
}

static void sysexit_case(struct origin o, u32 cs, u64 ip, u64 sp, u32 size)
{
    struct test t = start(LABEL(o.code64, o.cpl, cs, (u32)(ip >> 32), (u32)ip, (u32)(sp >> 32), size), o,
                          size == 8 ? MACHINE(0x48, 0x0f, 0x35) : MACHINE(0x0f, 0x35));
    u16 to = (u16)(cs + (size == 8 ? 32 : 16)) | 3;
    struct ending e = lands(to, (u16)(to + 8), cut(sp, size));

    msr_set(M_SYSENTER_CS, cs);
    t.dx = ip;
    t.cx = sp;
    e.ip = cut(ip, size) + 2;
    if (o.cpl || !(cs & 0xfffc) || (size == 8 && (!canonical(ip) || !canonical(sp))))
        e = fails(V_GP, 0);
    if (o.code64 || size == 4)
        end(&t, e);
}

static void sysenters(void)
{
    static const u32 cs[] = { 0, 3, SEL_CS64, SEL_CS64 | 3, 0x5672 };
    static const u64 ip[] = { LANDING, HIGH | LANDING };
    static const u32 flags[] = { 0, IF | CF | AC | NT | IOPL3, VIF | VIP | DF | 1 << 21 };
    static const u64 value[] = { LANDING, HIGH | LANDING, NONCANON | LANDING,
                                 0x8000000000000000ULL | LANDING };

    if (!cpu_is_intel())
        return skip("sysenter", "not in long mode on AMD's processors");
    group("sysenter: code64 cpl cs eip flags");
    EACH_ORIGIN(o)
        for (u32 i = 0; i < ITEMS(cs) * ITEMS(ip) * ITEMS(flags); i++)
            sysenter_case(o, cs[i % ITEMS(cs)], ip[i / ITEMS(cs) % 2], flags[i / ITEMS(cs) / 2]);
    group("sysexit: code64 cpl cs rdx rcx size");
    EACH_ORIGIN(o)
        for (u32 i = 0; i < ITEMS(cs) * 16 * 2; i++)
            sysexit_case(o, cs[i >> 5], value[i >> 1 & 3], value[i >> 3 & 3], i & 1 ? 8 : 4);
    msr_set(M_SYSENTER_CS, 0);
}

/* ---- what 64-bit mode does not have, and SWAPGS that only it has ---- */

static void undefined_case(u32 cpl, u8 prefix, const u8 *bytes, u32 n)
{
    u8 text[14];
    u32 prefixes = prefix ? 1 : 0;

    text[0] = prefix;
    memcpy(text + prefixes, bytes, n);
    run(LABEL(cpl, prefix, bytes[0], bytes[1]), (struct origin){ true, cpl }, machine(text, n + prefixes), 0,
        (struct ending){ .vec = V_UD });
}

static void undefined(void)
{
    static const u8 prefixes[] = { 0, 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x64, 0x40, 0x41, 0x48, 0x4f };
    static const u8 rows[][2] = {
        { 0x06 }, { 0x07 }, { 0x0e }, { 0x16 }, { 0x17 }, { 0x1e }, { 0x1f }, /* PUSH and POP of segments */
        { 0x27 }, { 0x2f }, { 0x37 }, { 0x3f },                               /* DAA, DAS, AAA, AAS */
        { 0x60 }, { 0x61 }, { 0x62, 0x03 },                                   /* PUSHA, POPA, BOUND */
        { 0x82, 0xc0 }, { 0x82, 0xd8 }, { 0x82, 0x3b },                       /* group 1 again */
        { 0x9a }, { 0xea }, { 0xce },                                         /* far CALL and JMP, INTO */
        { 0xd4, 10 }, { 0xd5, 10 }, { 0xd6 },                                 /* AAM, AAD, SALC */
        { 0x0f, 0xaa },                                                       /* RSM outside of SMM */
    };
    struct origin o = { true, 0 };

    group("undefined in 64-bit mode: cpl prefix opcode");
    for (u32 cpl = 0; cpl < 4; cpl++)
        for (u32 i = 0; i < ITEMS(rows); i++)
            for (u32 j = 0; j < ITEMS(prefixes); j++)
                undefined_case(cpl, prefixes[j], (const u8[]){ rows[i][0], rows[i][1], 0, 0, 0, 0, 0, 0 }, 8);
    group("swapgs: code64 cpl");
    EACH_ORIGIN(at) {
        struct ending e = { .vec = DONE, .cs = SEL_CODE(1, 0), .ss = SEL_DATA(0), .ip = CODE + 16,
                            .sp = TOP };
        if (!at.code64)
            e = (struct ending){ .vec = V_UD };
        else if (at.cpl)
            e = fails(V_GP, 0);
        run(LABEL(at.code64, at.cpl), at, MACHINE(0x0f, 0x01, 0xf8), 0, e);
    }
    group("defined in 64-bit mode");
    run("arpl's opcode is movsxd", o, MACHINE(0x63, 0xc1), 0,
        (struct ending){ .vec = DONE, .cs = SEL_CODE(1, 0), .ss = SEL_DATA(0), .ip = CODE + 16, .sp = TOP });
}

void program(const char *command_line)
{
    (void)command_line;
    if (!HAS_LM) {
        check("no long mode to test", HAS_LM, 0);
        return;
    }
    setup64();
    loads();
    tables();
    looks();
    syscalls();
    sysenters();
    undefined();
}
