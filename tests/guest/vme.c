/* Virtual-8086 mode with and without CR4.VME, and CR4.PVI: every state of the flags that matter for the
 * instructions that are sensitive to IOPL, entries and exits, ports. What is expected follows SDM volume 3,
 * "8086 Emulation", and the "Operation" sections of volume 2. */
#include "guest.h"

const char program_name[] = "vme";

#define ITEMS(a) (sizeof(a) / sizeof((a)[0]))
#define ID (1u << 21)
#define ALL_FLAGS 0x3e7fd5 /* without RF, which faults push as 1, and bit 1 */
#define LOW_FLAGS 0x4dd5   /* CF to TF, DF, OF, NT */
#define VEC 0x60
#define HANDLER 0x80       /* offset from CODE of the 8086 program's own handler */
#define TOP STACK_TOP      /* of the stack pointer, with SS at STACK */

static u32 vme; /* bit 0 of CR4 */

/* The instruction, then HLT. #GP(0) ends both: where tells whether the instruction was allowed. */
static const struct code *machine(const u8 *bytes, u32 n)
{
    static u8 text[HANDLER + 1];
    static struct code code = { text, text + sizeof text, text };

    memset(text, 0xf4, sizeof text);
    memcpy(text, bytes, n);
    return &code;
}
#define MACHINE(...) machine((const u8[]){ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ }))

/* How a case ends. */
struct ending {
    enum vector vec; /* V_GP: by HLT or by the instruction */
    u32 ip, flags, sp;
    u16 cs;
    u32 size, count; /* what was pushed, from the stack pointer up */
    u32 pushed[3];
};

static struct ending refused(u32 flags, u32 sp)
{
    return (struct ending){ .vec = V_GP, .flags = flags, .sp = sp, .cs = CODE >> 4 };
}

static struct ending passes(u32 length, u32 flags, u32 sp)
{
    return (struct ending){ .vec = V_GP, .ip = length, .flags = flags, .sp = sp, .cs = CODE >> 4 };
}

static u32 iopl_of(u32 flags)
{
    return flags >> 12 & 3;
}

static void run(const char *name, const struct code *code, u32 flags, u32 sp, const u32 *stack,
                struct ending e)
{
    struct test t = { .name = name, .mode = V86, .code = code, .iopl0 = 1, .fl = flags, .sp = sp,
                      .vec = e.vec, .anyip = true };
    struct expect *x = t.x;

    if (stack)
        memcpy((void *)(STACK + sp), stack, 12);
    *x++ = (struct expect){ IP, e.ip, 0 };
    *x++ = (struct expect){ CS, e.cs, 0 };
    *x++ = (struct expect){ SP, e.sp, 0 };
    *x++ = (struct expect){ FL, (e.flags | VM) & ALL_FLAGS, ALL_FLAGS };
    for (u32 i = 0; i < e.count; i++)
        *x++ = (struct expect){ e.size == 4 ? M32 : M16, e.pushed[i], STACK + e.sp + i * e.size };
    test_run(&t);
}

/* The flags of the cases: IOPL, then all combinations of IF, NT, VIF, VIP. Both VIF and VIP make a fault of
 * whatever comes next when they are in use: see pending(). */
#define EACH_STATE(flags) \
    for (u32 i_ = 0, flags; flags = state(i_), i_ < 64; i_++) \
        if (!(both_pending(flags)))

static u32 state(u32 i)
{
    return (i & 3) << 12 | (i & 4 ? IF : 0) | (i & 8 ? NT | AC : 0) | (i & 16 ? VIF : 0) |
           (i & 32 ? VIP | CF : 0);
}

static bool both_pending(u32 flags)
{
    return vme && iopl_of(flags) < 3 && (flags & (VIF | VIP)) == (VIF | VIP);
}

/* ---- CLI, STI, PUSHF ---- */

static struct ending cli_ending(u32 flags)
{
    if (iopl_of(flags) == 3)
        return passes(1, flags & ~(u32)IF, TOP);
    return vme ? passes(1, flags & ~(u32)VIF, TOP) : refused(flags, TOP);
}

static struct ending sti_ending(u32 flags)
{
    if (iopl_of(flags) == 3)
        return passes(1, flags | IF, TOP);
    return vme && !(flags & VIP) ? passes(1, flags | VIF, TOP) : refused(flags, TOP);
}

/* What a 16-bit push of the flags shows. */
static u32 shown(u32 flags)
{
    if (iopl_of(flags) < 3)
        flags = (flags & ~(u32)IF) | (flags & VIF ? IF : 0) | IOPL3;
    return (u16)flags | 2;
}

static struct ending pushf_ending(u32 flags, u32 size)
{
    struct ending e = passes(size == 4 ? 2 : 1, flags, TOP - size);

    if (iopl_of(flags) < 3 && (size == 4 || !vme))
        return refused(flags, TOP);
    e.size = size;
    e.count = 1;
    e.pushed[0] = size == 4 ? (flags | 2) & 0xfcffff : shown(flags);
    return e;
}

static void simple(void)
{
    group("cli: vme flags");
    EACH_STATE(flags)
        run(LABEL(vme, flags), MACHINE(0xfa), flags, TOP, 0, cli_ending(flags));
    group("sti: vme flags");
    EACH_STATE(flags)
        run(LABEL(vme, flags), MACHINE(0xfb), flags, TOP, 0, sti_ending(flags));
    group("pushf: vme flags");
    EACH_STATE(flags)
        run(LABEL(vme, flags), MACHINE(0x9c), flags, TOP, 0, pushf_ending(flags, 2));
    group("pushfd: vme flags");
    EACH_STATE(flags)
        run(LABEL(vme, flags), MACHINE(0x66, 0x9c), flags, TOP, 0, pushf_ending(flags, 4));
}

/* ---- POPF, IRET ---- */

static const u32 images[] = { 0, IF, TF, IF | TF, NT, IF | CF | ZF, IOPL3 | DF | OF, 0x7ed5, 0x7fd5, IF | VIF,
                              VIP | AC, ID | VM | IF, 0x3e7fd5, 0xffffffff };

/* The flags after a pop of `image`; false: #GP(0). */
static bool popped(u32 flags, u32 image, u32 size, u32 *result)
{
    u32 mask = LOW_FLAGS | (size == 4 ? AC | ID : 0);

    if (iopl_of(flags) == 3) {
        mask |= IF;
        *result = (flags & ~mask) | (image & mask);
        return true;
    }
    if (!vme || size == 4 || (image & TF) || ((image & IF) && (flags & VIP)))
        return false;
    *result = (flags & ~(mask | VIF)) | (image & mask) | (image & IF ? VIF : 0);
    return true;
}

static void popf_case(u32 flags, u32 image, u32 size)
{
    struct ending e = refused(flags, TOP - 16);
    u32 result;

    if (popped(flags, image, size, &result))
        e = passes(size == 4 ? 2 : 1, result, TOP - 16 + size);
    run(LABEL(vme, flags, image, size), size == 4 ? MACHINE(0x66, 0x9d) : MACHINE(0x9d), flags, TOP - 16,
        (u32[3]){ image }, e);
}

static void iret_case(u32 flags, u32 image, u32 size)
{
    u32 sp = TOP - 16, stack[3] = { 0x60, 0xabcd1000, image }, result;
    struct ending e = refused(flags, sp);

    if (size == 2) {
        stack[0] = 0x60 | 0x1000u << 16;
        stack[1] = image;
    }
    if (popped(flags, image, size, &result))
        e = passes(0x60, result, sp + 3 * size);
    run(LABEL(vme, flags, image, size), size == 4 ? MACHINE(0x66, 0xcf) : MACHINE(0xcf), flags, sp, stack, e);
}

static void pops(void)
{
    group("popf: vme flags image size");
    EACH_STATE(flags)
        for (u32 i = 0; i < ITEMS(images); i++)
            for (u32 size = 2; size <= 4; size += 2)
                popf_case(flags, images[i], size);
    group("iret: vme flags image size");
    EACH_STATE(flags)
        for (u32 i = 0; i < ITEMS(images); i++)
            for (u32 size = 2; size <= 4; size += 2)
                iret_case(flags, images[i], size);
    group("iret beyond the limit: vme flags");
    EACH_STATE(flags)
        run(LABEL(vme, flags), MACHINE(0x66, 0xcf), flags, TOP - 16, (u32[3]){ 0x10060, 0x1000, 2 },
            refused(flags, TOP - 16));
}

/* ---- INT n ---- */

/* The redirection bitmap is the 32 bytes below the I/O bitmap; a bit of 0 redirects to the own table. */
static void redirect(u32 vec, bool on)
{
    tss.bitmap[vec / 8] = (u8)(on ? ~(1 << (vec & 7)) : 0xff);
}

static void int_case(u32 flags, u32 vec, bool redirected, const struct code *code, u32 length)
{
    struct ending e = refused(flags, TOP);
    bool sensitive = length == 2; /* INT3 is not */

    redirect(vec, redirected);
    if (sensitive && vme && redirected) {
        e = passes(HANDLER, flags & ~(u32)(iopl_of(flags) == 3 ? IF : VIF), TOP - 6);
        e.size = 2;
        e.count = 3;
        e.pushed[0] = 2;
        e.pushed[1] = CODE >> 4;
        e.pushed[2] = shown(flags);
    } else if (!sensitive || iopl_of(flags) == 3) {
        e = passes(length, flags, TOP);
        e.vec = INT(vec);
    }
    run(LABEL(vme, flags, vec, redirected), code, flags, TOP, 0, e);
    redirect(vec, false);
}

static void interrupts(void)
{
    u32 keep = peek32(4 * VEC), keep3 = peek32(4 * 3);

    poke32(4 * VEC, (CODE >> 4) << 16 | HANDLER);
    poke32(4 * 3, (CODE >> 4) << 16 | HANDLER);
    group("int n: vme flags vector redirected");
    EACH_STATE(flags)
        for (u32 redirected = 0; redirected < 2; redirected++) {
            int_case(flags, VEC, redirected, MACHINE(0xcd, VEC), 2);
            int_case(flags, 3, redirected, MACHINE(0xcd, 3), 2);
            int_case(flags, 3, redirected, MACHINE(0xcc), 1);
        }
    poke32(4 * VEC, keep);
    poke32(4 * 3, keep3);
}

/* ---- into and out of virtual-8086 mode ---- */

/* From level 0 IRETD loads everything; the upper halves of the selectors' dwords are ignored. */
static void entries(void)
{
    static const u32 flag[] = { 0, IF, NT | ID, VIF | AC, VIP, IOPL3 | CF, 0x1000 | DF, 0x2000 | OF | TF,
                                ALL_FLAGS & ~(VM | VIF) };
    static const u16 selector[][5] = { { 0x3000, 0, 0, 0, 0 }, { 0x3001, 1, 2, 3, 4 },
                                       { 0xf000, 0xffff, 0xffff, 0xffff, 0xffff },
                                       { 0x2222, 0x1234, 0xa000, 7, 0x8001 } };

    group("iretd to v86: vme flags selectors esp");
    for (u32 i = 0; i < ITEMS(flag) * ITEMS(selector) * 2; i++) {
        u32 fl = flag[i / 2 % ITEMS(flag)], set = i / 2 / ITEMS(flag), sp = i & 1 ? 0x12347000 : 0x7000;
        const u16 *s = selector[set];
        struct test t = { .name = LABEL(vme, fl, set, sp), .mode = V86, .code = MACHINE(0xf4), .iopl0 = 1,
                          .fl = fl, .ss = s[0], .es = s[1] ? s[1] : NULLSEL, .ds = s[2] ? s[2] : NULLSEL,
                          .fs = s[3] ? s[3] : NULLSEL, .gs = s[4] ? s[4] : NULLSEL, .sp = sp, .vec = V_GP,
                          .x = { { FL, (fl | VM) & ALL_FLAGS, ALL_FLAGS }, { SS, s[0], 0 }, { ES, s[1], 0 },
                                 { DS, s[2], 0 }, { FS, s[3], 0 }, { GS, s[4], 0 }, { SP, sp, 0 } } };
        test_run(&t);
    }
    T("iretd to v86, ip beyond 64 KiB", P32, "push 0; push 0; push 0; push 0; push 0x3000; push 0x7000; "
      "push 0x20002; push 0x1000; push 0x10000; 99: iretd", .vec = V_GP,
      .x = { { SP, STACK + STACK_TOP - 36 } });
    for (u32 cpl = 1; cpl < 4; cpl++) {
        gdt_set(SEL_TEST, desc(0, 0xfffff, (u8)(0x9b | cpl << 5), 0xc));
        gdt_set(SEL_TEST + 8, desc(0, 0xfffff, (u8)(0x93 | cpl << 5), 0xc));
        T("vm in iretd of an outer level is ignored", P32U,
          "push eax; push ecx; push 0x10020; iretd\n" AT(0x20) "nop",
          .ax = 0x3e3002, .cx = SEL_TEST | cpl, .cs = SEL_TEST | cpl, .ss = (SEL_TEST + 8) | cpl,
          .x = { { FL, ID, VM | ID | VIF | VIP | IOPL3 }, { CS, SEL_TEST | cpl } });
    }
}

/* VIF and VIP together: the processor raises #GP at the beginning of the next instruction. */
static void pending(void)
{
    enum { CR4_OSFXSR = 0x200 };
    u32 mxcsr;

    group("vif and vip: vme flags");
    for (u32 i = 0; i < 64; i++)
        if (both_pending(state(i)))
            run(LABEL(vme, state(i)), MACHINE(0x90), state(i), TOP, 0, refused(state(i), TOP));
    if (!vme || !HAS_SSE)
        return;
    cr4_set(cr4_get() | CR4_OSFXSR);
    T("the fault keeps the flags of MXCSR", P32,
      "ldmxcsr [ebx+8]; movss xmm0, [ebx]; divss xmm0, [ebx+4]; push 0; push 0; push 0; push 0; push 0x3000;"
      "push 0x7000; push 0x1a0002; push 0x1000; push 0x70; iretd\n" AT(0x70) "nop",
      .d = { 0x3f800000, 0, 0x1f80 }, .vec = V_GP, .anyip = true,
      .x = { { IP, 0x70 }, { FL, VM | VIF | VIP, VM | VIF | VIP } });
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    check("mxcsr", mxcsr, 0x1f84);
    cr4_set(cr4_get() & ~(u32)CR4_OSFXSR);
}

/* An exit by a gate of either size: nine items on the stack of level 0, null data segments. */
static void exits(void)
{
    struct gate keep = idt32[0x50];
    static const u16 values[] = { 0, 1, 0x1234, 0xffff, 0x23 };
    static const u8 handler[] = { 0x8c, 0xd8, 0x8c, 0xc1, 0x8c, 0xe2, 0x8c, 0xee, 0xcd, 0x40 };

    gdt_set(SEL_TEST, desc(CODE, 0xffff, 0x9b, 4));
    group("exits: wide trap value flags");
    for (u32 i = 0; i < 2 * 2 * ITEMS(values) * 64; i++) {
        u32 wide = i & 1, trap = i >> 1 & 1, flags = state(i >> 2 & 63) | IOPL3, value = values[i >> 8];
        u32 seg = value ? value : NULLSEL, item = wide ? 4 : 2, at = tss.esp0 - 9 * item;
        enum what memory = wide ? M32 : M16;
        struct test t = { .name = LABEL(wide, trap, value, flags), .mode = V86, .code = MACHINE(0xcd, 0x50),
                          .fl = flags, .ds = seg, .es = seg, .fs = seg, .gs = seg,
                          .ax = 1, .cx = 1, .dx = 1, .si = 1,
                          .x = { { AX, 0, 0 }, { CX, 0, 0 }, { DX, 0, 0 }, { SI, 0, 0 }, { SP, at, 0 },
                                 { FL, (flags & ~(u32)(NT | (trap ? 0 : IF))) & ALL_FLAGS, ALL_FLAGS } } };
        idt32_gate(0x50, SEL_TEST, HANDLER - 0x40, (u8)(0xe6 | wide << 3 | trap));
        memcpy((u8 *)t.code->start + HANDLER - 0x40, handler, sizeof handler);
        t.x[6] = (struct expect){ memory, wide ? flags | VM | 2 : (u16)flags | 2, at + 2 * item };
        t.x[7] = (struct expect){ memory, value, at + 5 * item };
        t.x[8] = (struct expect){ memory, value, at + 8 * item };
        test_run(&t);
    }
    idt32[0x50] = keep;
}

/* ---- privilege and ports ---- */

static void privileged(void)
{
    static const u8 gp[][4] = {
        { 0x0f, 0x01, 0x17 }, { 0x0f, 0x01, 0x1f }, { 0x0f, 0x01, 0xf0 }, { 0x0f, 0x01, 0x3f },
        { 0x0f, 0x06 }, { 0x0f, 0x08 }, { 0x0f, 0x09 }, { 0x0f, 0x20, 0xc0 }, { 0x0f, 0x22, 0xc0 },
        { 0x0f, 0x21, 0xf8 }, { 0x0f, 0x23, 0xf8 }, { 0x0f, 0x30 }, { 0x0f, 0x32 }, { 0x0f, 0x33 },
        { 0x0f, 0x35 }, { 0xf4 },
    };
    static const u8 ud[][4] = {
        { 0x0f, 0x00, 0xc0 }, { 0x0f, 0x00, 0xc8 }, { 0x0f, 0x00, 0xd0 }, { 0x0f, 0x00, 0xd8 },
        { 0x0f, 0x00, 0xe0 }, { 0x0f, 0x00, 0xe8 }, { 0x0f, 0x02, 0xc0 }, { 0x0f, 0x03, 0xc0 },
        { 0x63, 0xc0 }, { 0x0f, 0xaa }, { 0x0f, 0x01, 0xf8 },
    };

    for (u32 iopl = 0; iopl < 4; iopl++) {
        group("#GP in v86: vme iopl row");
        for (u32 i = 0; i < ITEMS(gp); i++)
            run(LABEL(vme, iopl, i), machine(gp[i], 4), iopl << 12, TOP, 0, refused(iopl << 12, TOP));
        group("#UD in v86: vme iopl row");
        for (u32 i = 0; i < ITEMS(ud); i++) {
            struct ending e = refused(iopl << 12, TOP);
            e.vec = V_UD;
            run(LABEL(vme, iopl, i), machine(ud[i], 4), iopl << 12, TOP, 0, e);
        }
    }
}

#define PORT 0xe0 /* nothing answers */

static void load_tss(u32 limit)
{
    gdt_set(SEL_TSS, desc((u32)&tss, limit, 0x89, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
}

static void port_case(u32 cpl, u32 iopl, u32 port, u32 size, bool allowed)
{
    const u8 opcode = size == 1 ? 0xec : 0xed;
    bool prefix = cpl == 4 ? size == 4 : size == 2; /* cpl 4: virtual-8086 mode */
    struct test t = { .name = LABEL(cpl, iopl, port, size, allowed),
                      .mode = cpl == 4 ? V86 : cpl ? P32U : P32,
                      .code = MACHINE(prefix ? 0x66 : opcode, prefix ? opcode : 0xf4, 0xf4), .iopl0 = 1,
                      .fl = iopl << 12, .dx = port, .vec = V_GP, .anyip = true };
    u32 start = cpl == 4 ? 0 : CODE;

    if (cpl < 4) {
        t.cs = (SEL_TEST + 0x20 + 8 * cpl) | cpl;
        t.ss = (SEL_TEST + 0x40 + 8 * cpl) | cpl;
    }
    if (!cpl) { /* where HLT works */
        t.code = MACHINE(prefix ? 0x66 : opcode, prefix ? opcode : 0x90, 0x0f, 0x0b);
        t.vec = V_UD;
    }
    t.x[0] = (struct expect){ IP, start + (allowed ? prefix + 1 + (!cpl && !prefix) : 0), 0 };
    test_run(&t);
}

/* Only the bit of port PORT + denied is set in the map. */
static void ports_of(u32 cpl, u32 iopl)
{
    for (u32 denied = 0; denied < 16; denied++) {
        tss.bitmap[32 + PORT / 8] = (u8)(denied < 8 ? 1 << denied : 0);
        tss.bitmap[33 + PORT / 8] = (u8)(denied < 8 ? 0 : 1 << (denied - 8));
        for (u32 first = 0; first < 8; first++)
            for (u32 size = 1; size <= 4; size *= 2)
                port_case(cpl, iopl, PORT + first, size,
                          cpl <= iopl ? cpl < 4 : denied < first || denied >= first + size);
    }
}

static void ports(void)
{
    static const u16 limits[] = { 103, 103 + 32 + PORT / 8, 0 };

    for (u32 cpl = 0; cpl < 4; cpl++) {
        gdt_set((u16)(SEL_TEST + 0x20 + 8 * cpl), desc(0, 0xfffff, (u8)(0x9b | cpl << 5), 0xc));
        gdt_set((u16)(SEL_TEST + 0x40 + 8 * cpl), desc(0, 0xfffff, (u8)(0x93 | cpl << 5), 0xc));
    }
    group("ports: cpl iopl port size allowed");
    for (u32 cpl = 0; cpl < 5; cpl++)
        for (u32 iopl = 0; iopl < 4; iopl++)
            ports_of(cpl, iopl);
    memset(tss.bitmap + 32, 0, 0x20);
    group("ports beyond the map: cpl iopl port size allowed");
    for (u32 i = 0; i < 2 * 2 * ITEMS(limits); i++) {
        /* The map is read two bytes at a time. */
        u32 cpl = 3 + (i & 1), iopl = i & 2, base = tss.iomap, limit = base + PORT / 8 + i / 4;
        load_tss(limit);
        for (u32 size = 1; size <= 4; size *= 2)
            port_case(cpl, iopl, PORT, size, base + PORT / 8 + 1 <= limit);
    }
    load_tss(sizeof tss - 1);
    memset(tss.bitmap + 32, 0xff, 0x20);
}

/* ---- CR4.PVI ---- */

struct pvi_case { u32 cpl, pvi, flags; };

static u32 pvi_flag(const struct pvi_case *c)
{
    if (c->cpl <= iopl_of(c->flags))
        return IF;
    return c->pvi && c->cpl == 3 ? VIF : 0;
}

static void pvi_run(const struct pvi_case *c, enum mode mode, bool sti)
{
    u32 flag = pvi_flag(c), flags = sti ? c->flags | flag : c->flags & ~flag;
    bool fails = !flag || (sti && flag == VIF && (c->flags & VIP));
    struct test t = { .name = LABEL(c->pvi, c->cpl, c->flags, mode, sti), .mode = mode,
                      .code = MACHINE(sti ? 0xfb : 0xfa, 0x0f, 0x0b), .fl = c->flags,
                      .vec = fails ? V_GP : V_UD, .anyip = true };
    u32 start = mode == P16U || mode == C16U ? 0 : CODE;

    if (c->cpl < 3) {
        t.cs = (SEL_TEST + 0x20 + 8 * c->cpl) | c->cpl;
        t.ss = (SEL_TEST + 0x40 + 8 * c->cpl) | c->cpl;
    }
    t.x[0] = (struct expect){ FL, (fails ? c->flags : flags) & ALL_FLAGS, ALL_FLAGS };
    t.x[1] = (struct expect){ IP, start + !fails, 0 };
    test_run(&t);
}

/* PUSHF and POPF know nothing of VIF outside of virtual-8086 mode. */
static void pvi_flags(const struct pvi_case *c)
{
    for (u32 i = 0; i < ITEMS(images); i++) {
        u32 mask = LOW_FLAGS | AC | ID | (c->cpl <= iopl_of(c->flags) ? IF : 0);
        struct test t = { .name = LABEL(c->pvi, c->cpl, c->flags, images[i]), .mode = P32U,
                          /* pushf; pop eax; push ecx; popf */
                          .code = MACHINE(0x9c, 0x58, 0x51, 0x9d, 0x0f, 0x0b),
                          .fl = c->flags, .cx = images[i], .vec = V_UD, .anyip = true };
        if (images[i] & TF)
            continue; /* #DB is not what is asked here */
        t.cs = (SEL_TEST + 0x20 + 8 * c->cpl) | c->cpl;
        t.ss = (SEL_TEST + 0x40 + 8 * c->cpl) | c->cpl;
        t.x[0] = (struct expect){ AX, c->flags | 2, 0 };
        t.x[1] = (struct expect){ FL, ((c->flags & ~mask) | (images[i] & mask)) & ALL_FLAGS, ALL_FLAGS };
        test_run(&t);
    }
}

static void pvi(u32 on)
{
    u32 cr4 = lm_cr4;

    cr4_set((cr4_get() & ~3u) | on);
    lm_cr4 = (lm_cr4 & ~3u) | on;
    for (u32 i = 0; i < 64; i++) {
        struct pvi_case c = { 0, on >> 1, state(i) & ~(u32)NT };
        group("pvi: pvi cpl flags mode sti");
        for (u32 sti = 0; sti < 2; sti++) {
            for (c.cpl = 0; c.cpl < 3; c.cpl++)
                pvi_run(&c, c.cpl ? P32U : P32, sti);
            for (enum mode mode = P16U; mode <= L64U; mode++)
                if (mode != P32 && mode != C32 && mode != L64 && (mode < C16U || HAS_LM))
                    pvi_run(&c, mode, sti);
        }
        group("pvi: pvi cpl flags image");
        for (c.cpl = 1; c.cpl < 4; c.cpl++)
            pvi_flags(&c);
    }
    cr4_set(cr4_get() & ~3u);
    lm_cr4 = cr4;
}

void program(const char *command_line)
{
    (void)command_line;
    tss.iomap = offsetof(struct tss32, bitmap) + 32;
    for (vme = 0; vme <= HAS_VME; vme++) {
        cr4_set((cr4_get() & ~1u) | vme);
        simple();
        pops();
        interrupts();
        entries();
        pending();
        exits();
        privileged();
        ports();
        cr4_set(cr4_get() & ~1u);
    }
    if (!HAS_VME)
        skip("pvi", "not in CPUID");
    for (u32 on = 0; on <= (HAS_VME ? 3u : 0u); on++)
        pvi(on);
}
