/* The C half of the guest programs' runtime: tables, tests, reports. */
#include <stdarg.h>
#include "guest.h"

u64 gdt[GDT_BYTES / 8], ldt[32];
struct gate idt32[256];
struct gate64 idt64[256];
struct tss32 tss;
struct tss64 tss64;
u64 window64[512] __attribute__((aligned(4096)));

static u64 pml4[512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 pd[4][512] __attribute__((aligned(4096)));
static u8 ring0_stack[8192] __attribute__((aligned(16))), ist_stack[8192] __attribute__((aligned(16)));
static const char *group_name = "";
static u32 passed, failed, skipped;
static bool tracing;
bool stand_in;

extern u8 low_blob[], low_blob_end[], stubs16[], back64[];
void load_tables(void);
void enter16(void);
void enter32(void);
void enter64(void);
_Noreturn void runtime_main(u32 magic, const u32 *multiboot);
_Noreturn void runtime_panic(void);

/* ---- reports ---- */

void *memcpy(void *to, const void *from, size_t n)
{
    u8 *d = to;
    for (const u8 *s = from; n--;)
        *d++ = *s++;
    return to;
}

void *memset(void *to, int c, size_t n)
{
    for (u8 *d = to; n--;)
        *d++ = c;
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    for (const u8 *p = a, *q = b; n--; p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}

static void put(char c)
{
    outb(0xe9, c);
}

static void put_number(u64 v, u32 base)
{
    char text[20];
    int n = 0;
    do {
        u32 digit = base == 16 ? v & 15 : (u32)v % base;
        text[n++] = "0123456789abcdef"[digit];
        v = base == 16 ? v >> 4 : (u32)v / base;
    } while (v);
    while (n)
        put(text[--n]);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put(*p);
        } else if (*++p == 's') {
            for (const char *s = va_arg(args, const char *); *s;)
                put(*s++);
        } else if (*p == 'X') {
            put_number(va_arg(args, u64), 16);
        } else {
            put_number(va_arg(args, u32), *p == 'x' ? 16 : 10);
        }
    }
    va_end(args);
}

void group(const char *name)
{
    group_name = name;
}

const char *label(const u32 *numbers, int n)
{
    static char text[100];
    char *p = text;

    for (int i = 0; i < n; i++) {
        int shift = 28;
        while (shift && !(numbers[i] >> shift))
            shift -= 4;
        for (; shift >= 0; shift -= 4)
            *p++ = "0123456789abcdef"[numbers[i] >> shift & 15];
        *p++ = ' ';
    }
    p[-1] = 0;
    return text;
}

void skip(const char *name, const char *why)
{
    print("SKIP %s: %s: %s\n", program_name, name, why);
    skipped++;
}

static bool check_part(const char *name, const char *part, u64 got, u64 expected)
{
    if (got == expected) {
        passed++;
        return true;
    }
    failed++;
    print("FAIL %s: %s%s%s%s%s: got %X, expected %X\n", program_name, group_name, *group_name ? ": " : "",
    name,
          *part ? ": " : "", part, got, expected);
    return false;
}

bool check(const char *name, u64 got, u64 expected)
{
    return check_part(name, "", got, expected);
}

_Noreturn void finish(void)
{
    if (failed || !passed)
        print("FAIL %d of %d\n", failed, passed + failed);
    else
        print("PASS %d\n", passed);
    outl(0xf4, failed || !passed ? 0x11 : 0x10);
    for (;;)
        __asm__ volatile("cli; hlt");
}

_Noreturn void runtime_panic(void)
{
    print("FAIL %s: %s: unexpected vector %x error %x at %x:%X cr2 %x outside a snippet\n", program_name,
    group_name,
          out->vector, out->error, out->cs, out->rip, cr2_get());
    failed++;
    finish();
}

/* ---- tables ---- */

u64 desc(u32 base, u32 limit, u8 type, u8 flags)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 | (u64)(limit >> 16 & 15) << 48 |
           (u64)flags << 52 | (u64)(base >> 24) << 56;
}

void gdt_set(u16 sel, u64 d)
{
    gdt[sel / 8] = d;
}

u64 call_gate(u16 sel, u32 offset, u8 type, u8 count)
{
    u64 low = (offset & 0xffff) | (u64)sel << 16;
    return low | (u64)count << 32 | (u64)type << 40 | (u64)(offset >> 16) << 48;
}

void idt32_gate(int vec, u16 sel, u32 offset, u8 type)
{
    u64 gate = call_gate(sel, offset, type, 0);
    memcpy(&idt32[vec], &gate, 8);
}

void ldt_load(void)
{
    gdt_set(SEL_LDT, desc((u32)ldt, sizeof ldt - 1, 0x82, 0));
    __asm__ volatile("lldt %w0" : : "r"(SEL_LDT) : "memory");
}

u32 seg_base(u32 sel)
{
    u64 d = (sel & 4 ? ldt : gdt)[(sel & 0xffff) / 8];
    return (u32)(d >> 16 & 0xffffff) | (u32)(d >> 56) << 24;
}

void runtime_tss_available(void)
{
    gdt[SEL_TSS / 8] &= ~(2ULL << 40);
    gdt[SEL_TSS64 / 8] &= ~(2ULL << 40);
}

static void build_gdt(void)
{
    static const struct { u16 sel; u32 base, limit; u8 type, flags; } rows[] = {
        { SEL_CS32, 0, 0xfffff, 0x9b, 0xc }, { SEL_DS, 0, 0xfffff, 0x93, 0xc },
        { SEL_UCS32, 0, 0xfffff, 0xfb, 0xc }, { SEL_UDS, 0, 0xfffff, 0xf3, 0xc },
        { SEL_UCS64, 0, 0xfffff, 0xfb, 0xa }, { SEL_CS64, 0, 0xfffff, 0x9b, 0xa },
        { SEL_DS64, 0, 0xfffff, 0x93, 0xc }, { SEL_CS16, CODE, 0xffff, 0x9b, 0 },
        { SEL_DS16, DATA, 0xffff, 0x93, 0 }, { SEL_SS16, STACK, 0xffff, 0x93, 0 },
        { SEL_UCS16, CODE, 0xffff, 0xfb, 0 }, { SEL_UDS16, DATA, 0xffff, 0xf3, 0 },
        { SEL_USS16, STACK, 0xffff, 0xf3, 0 }, { SEL_LOWCS, 0, 0xffff, 0x9b, 0 },
        { SEL_LOWDS, 0, 0xffff, 0x93, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        gdt_set(rows[i].sel, desc(rows[i].base, rows[i].limit, rows[i].type, rows[i].flags));
    gdt_set(SEL_TSS, desc((u32)&tss, sizeof tss - 1, 0x89, 0));
    gdt_set(SEL_TSS64, desc((u32)&tss64, sizeof tss64 - 1, 0x89, 0));
    tss.ss0 = SEL_DS;
    tss.esp0 = (u32)(ring0_stack + sizeof ring0_stack);
    tss.iomap = offsetof(struct tss32, bitmap);
    memset(tss.bitmap, 0xff, sizeof tss.bitmap);
    tss64.rsp[0] = (u32)(ring0_stack + sizeof ring0_stack);
    tss64.ist[0] = (u32)(ist_stack + sizeof ist_stack);
    tss64.iomap = sizeof tss64;
}

static void put_pointer(u32 where, u16 limit, u32 base)
{
    poke16(where, limit);
    poke32(where + 2, base);
}

static void build_idts(void)
{
    for (int i = 0; i < 256; i++) {
        bool user = i == 3 || i == 4 || (i >= 0x40 && i != 0x41);
        idt32_gate(i, SEL_CS32, (u32)stubs32 + 16 * i, user ? 0xee : 0x8e);
        u32 target = (u32)stubs64 + 16 * i;
        idt64[i] = (struct gate64){ .lo = target, .hi = target >> 16, .sel = SEL_CS64, .ist = 1,
                                    .type = user ? 0xee : 0x8e };
        poke16(4 * i, LOW_BLOB + (stubs16 - low_blob) + 8 * i);
        poke16(4 * i + 2, 0);
    }
    memcpy((void *)at(LOW_BLOB), low_blob, low_blob_end - low_blob);
    put_pointer(LOW_GDTR, sizeof gdt - 1, (u32)gdt);
    put_pointer(LOW_IDTR32, sizeof idt32 - 1, (u32)idt32);
    put_pointer(LOW_IDTR64, sizeof idt64 - 1, (u32)idt64);
    poke32(LOW_IDTR64 + 6, 0);
    put_pointer(LOW_IDTR16, 0x3ff, 0);
    poke32(LOW_BACK64, (u32)back64);
    poke16(LOW_BACK64 + 4, SEL_CS32);
}

static void build_long_mode(void)
{
    pml4[0] = pml4[511] = (u32)pdpt | 7;
    for (u32 i = 0; i < 4; i++) {
        pdpt[i] = (u32)pd[i] | 7;
        for (u32 j = 0; j < 512; j++)
            pd[i][j] = (u64)(i << 30 | j << 21) | 0x87;
    }
    pd[WINDOW >> 30][WINDOW >> 21 & 511] = (u32)window64 | 7;
    lm_cr3 = (u32)pml4;
    lm_cr4 = 0x620;  /* PAE, OSFXSR, OSXMMEXCPT */
    lm_efer = HAS_NX ? 0x901 : 0x101;
    lm_cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
}

bool cpu_has(u32 leaf, int reg, int bit)
{
    u32 r[4], top;
    __asm__ volatile("cpuid" : "=a"(top), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf & 0x80000000));
    if (leaf > top || (top ^ leaf) >> 31)
        return false;
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
    return r[reg] >> bit & 1;
}

bool cpu_is_intel(void)
{
    u32 leaf = 0, b;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(b) : : "ecx", "edx");
    return b == 0x756e6547;
}

/* ---- tests ---- */

static const struct mode_defaults {
    u16 cs, ss, ds;
    u8 bits;
    u32 flags;
} modes[] = {
    [REAL] = { CODE >> 4, STACK >> 4, DATA >> 4, 16, 2 },
    [V86] = { CODE >> 4, STACK >> 4, DATA >> 4, 16, VM | IOPL3 | 2 },
    [P16] = { SEL_CS16, SEL_SS16, SEL_DS16, 16, 2 },
    [P16U] = { SEL_UCS16 | 3, SEL_USS16 | 3, SEL_UDS16 | 3, 16, 2 },
    [P32] = { SEL_CS32, SEL_DS, SEL_DS, 32, 2 },
    [P32U] = { SEL_UCS32 | 3, SEL_UDS | 3, SEL_UDS | 3, 32, 2 },
    [C16U] = { SEL_UCS16 | 3, SEL_USS16 | 3, SEL_UDS16 | 3, 16, 2 },
    [C32] = { SEL_CS32, SEL_DS, SEL_DS, 32, 2 },
    [C32U] = { SEL_UCS32 | 3, SEL_UDS | 3, SEL_UDS | 3, 32, 2 },
    [L64] = { SEL_CS64, SEL_DS, SEL_DS, 64, 2 },
    [L64U] = { SEL_UCS64 | 3, SEL_UDS | 3, SEL_UDS | 3, 64, 2 },
};

static u32 pick(u32 given, u32 normal)
{
    return given == NULLSEL ? 0 : given ? given : normal;
}

static void fill_image(const struct test *t, const struct mode_defaults *m)
{
    const u64 *given[] = { &t->ax, &t->cx, &t->dx, &t->bx, &t->sp, &t->bp, &t->si, &t->di,
                           &t->r8, &t->r9, &t->r10, &t->r11, &t->r12, &t->r13, &t->r14, &t->r15 };
    for (int i = 0; i < 16; i++)
        in->r[i] = *given[i];
    if (!t->bx)
        in->r[3] = m->bits == 16 ? 0 : DATA;
    if (!t->sp)
        in->r[4] = m->bits == 16 ? STACK_TOP : STACK + STACK_TOP;
    in->cs = pick(t->cs, m->cs);
    in->ss = pick(t->ss, m->ss);
    in->ds = pick(t->ds, m->ds);
    in->es = pick(t->es, m->ds);
    in->fs = pick(t->fs, m->ds);
    in->gs = pick(t->gs, m->ds);
    in->rip = m->bits == 16 ? 0 : CODE;
    in->rflags = (m->flags & (t->iopl0 ? ~(u32)IOPL3 : ~0u)) | t->fl;
}

/* Linear address where the snippet ended, relative to CODE. */
static u64 end_offset(const struct test *t)
{
    if (t->mode == REAL || out->rflags & VM)
        return (u32)(out->cs * 16 + out->rip - CODE);
    if (t->mode == L64 || t->mode == L64U)
        return out->rip - CODE;
    return (u32)(seg_base(out->cs) + out->rip - CODE);
}

static u64 actual(const struct expect *e)
{
    switch (e->what) {
    case IP: return out->rip;
    case FL: return out->rflags & (e->arg ? e->arg : ARITH);
    case ES: return out->es;
    case CS: return out->cs;
    case SS: return out->ss;
    case DS: return out->ds;
    case FS: return out->fs;
    case GS: return out->gs;
    case M8: return peek8(e->arg);
    case M16: return peek16(e->arg);
    case M32: return peek32(e->arg);
    case M64: return peek64(e->arg);
    default: return out->r[e->what - AX] & (e->arg ? e->arg : ~0ULL);
    }
}

static void compare(const struct test *t)
{
    static const char *const names[] = {
        "", "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
        "r15",
        "ip", "flags", "es", "cs", "ss", "ds", "fs", "gs", "byte", "word", "dword", "qword"
    };
    u32 vec = t->anyend ? out->vector : t->vec ? t->vec - 0x100 : 0x40;
    if (!check_part(t->name, "vector", out->vector, vec)) {
        print("    error %x at %x:%X flags %X cr2 %x\n", out->error, out->cs, out->rip, out->rflags,
        cr2_get());
        return;
    }
    if (!t->anyend && t->mode != REAL && ((vec >= 10 && vec <= 14) || vec == 8 || vec == 17))
        check_part(t->name, "error code", out->error, t->err);
    if (vec != 0x40 && !t->anyip && !t->anyend)
        check_part(t->name, "address", end_offset(t), (u32)(t->code->mark - t->code->start));
    for (const struct expect *e = t->x; e < t->x + 10 && e->what; e++)
        check_part(t->name, names[e->what], actual(e), e->value);
}

void test_run(const struct test *t)
{
    if (tracing)
        print("%s: %s\n", group_name, t->name);
    memset((void *)at(LOW_OUT), 0, sizeof *out);
    memcpy((void *)at(CODE), t->code->start, t->code->end - t->code->start);
    memcpy((void *)at(DATA), t->d, sizeof t->d);
    fill_image(t, &modes[t->mode]);
    __asm__ volatile("" : : : "memory");
    if (t->mode == REAL) {
        enter16();
    } else if (t->mode < C16U) {
        enter32();
    } else {
        runtime_tss_available();
        enter64();
    }
    __asm__ volatile("" : : : "memory");
    compare(t);
}

_Noreturn void runtime_main(u32 magic, const u32 *multiboot)
{
    const char *line = magic == 0x2badb002 && multiboot[0] & 4 ? (const char *)multiboot[4] : "";
    build_gdt();
    build_idts();
    build_long_mode();
    load_tables();
    outb(0x21, 0xff); /* no interrupt from the 8259s unless a program asks */
    outb(0xa1, 0xff);
    for (const char *p = line; *p; p++) {
        tracing |= !memcmp(p, "trace", 5); /* names each test before it runs */
        stand_in |= !memcmp(p, "stand-in", 8);
    }
    program(line);
    finish();
}
