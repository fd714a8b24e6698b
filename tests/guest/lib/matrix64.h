/* Matrices of cases in IA-32e mode: descriptors of every level, a case that starts as 64-bit or compatibility
 * code of a level, and how it must end. */
#ifndef GUEST_MATRIX64_H
#define GUEST_MATRIX64_H

#include "guest.h"

/* Own descriptors: code and data of each level, then what a case is about. */
#define SEL_CODE(code64, level) ((u16)(SEL_TEST + ((code64) ? 0 : 0x20) + 8 * (level) + (level)))
#define SEL_DATA(level) ((u16)(SEL_TEST + 0x40 + 8 * (level) + (level)))
#define SEL_TARGET (SEL_TEST + 0x60)
#define SEL_GATE (SEL_TEST + 0x70)   /* two entries */
#define SEL_STACK (SEL_TEST + 0x80)
#define SEL_SYSTEM (SEL_TEST + 0x90) /* two entries */
#define SEL_LAST (GDT_BYTES - 8)     /* its second half is beyond the table */
#define SEL_BEYOND (GDT_BYTES + 0x40)
#define LANDING 0x6000               /* every target: INT 40h, also within reach of 16-bit offsets */
#define FRAME (PLAY + 0x2000)        /* what returns pop */
#define OUTER_SP 0x5f00              /* the stack that they return to */
#define INNER_SP(level) (PLAY + 0x4000 + 0x1000 * (level))
#define IST_SP(ist) (PLAY + 0x9000 + 0x800 * (ist))
#define VEC_CASE 0x60                /* the IDT entry that cases change */
#define NONCANON 0x0000800000000000ULL
#define HIGH 0xffffff8000000000ULL   /* maps the same as 0 */
#define TOP (STACK + STACK_TOP)
#define ITEMS(a) (sizeof(a) / sizeof((a)[0]))

enum { P = 0x80, S = 0x10, CODE_SEG = 8, CONFORMING = 4, READABLE = 2, WRITABLE = 2 };
enum { JMP, CALL };
enum { RETF, IRET };
enum { G = 8, L = 2, D = 4 }; /* in the high nibble of a descriptor's attributes */
enum { M_EFER = 0xc0000080, M_STAR, M_LSTAR, M_CSTAR, M_FMASK, M_SYSENTER_CS = 0x174, M_SYSENTER_ESP,
       M_SYSENTER_EIP };

/* Where a case starts. */
struct origin { bool code64; u32 cpl; };
#define EACH_ORIGIN(o) \
    for (struct origin o = { 0, 0 }; o.cpl < 4; o.cpl += o.code64, o.code64 = !o.code64)

/* How it must end. After a fault everything is as before. */
struct ending {
    enum vector vec;
    u32 err;
    u32 cs, ss;
    u64 ip, sp;
    u32 size, count; /* what has been pushed: items of 2, 4 or 8 bytes, from the stack pointer up */
    u64 pushed[5];
};

static inline struct ending fails(enum vector vec, u16 sel)
{
    return (struct ending){ .vec = vec, .err = sel & 0xfffcu };
}

static inline struct ending lands(u32 cs, u32 ss, u64 sp)
{
    return (struct ending){ .vec = DONE, .cs = cs, .ss = ss, .sp = sp, .ip = LANDING + 2 };
}

static inline const struct code *machine(const u8 *bytes, u32 n)
{
    static u8 text[16];
    static struct code code = { text, text + sizeof text, text };

    memset(text, 0x90, sizeof text);
    memcpy(text, bytes, n);
    text[14] = 0xcd;
    text[15] = 0x40;
    return &code;
}
#define MACHINE(...) machine((const u8[]){ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ }))

static inline struct test start(const char *name, struct origin o, const struct code *code)
{
    return (struct test){ .name = name, .mode = o.code64 ? L64 : C32, .code = code, .anyip = true,
                          .cs = SEL_CODE(o.code64, o.cpl), .ss = SEL_DATA(o.cpl), .ds = SEL_UDS | 3,
                          .es = SEL_UDS | 3, .fs = SEL_UDS | 3, .gs = SEL_UDS | 3 };
}

static inline void end(struct test *t, struct ending e)
{
    struct expect *x = t->x;
    enum what memory = e.size == 8 ? M64 : e.size == 4 ? M32 : M16;

    if (e.vec != DONE) {
        e.cs = t->cs;
        e.ss = t->ss;
        e.ip = CODE;
        e.sp = t->sp ? t->sp : TOP;
    }
    t->vec = e.vec;
    t->err = e.err;
    *x++ = (struct expect){ CS, e.cs, 0 };
    *x++ = (struct expect){ SS, e.ss, 0 };
    *x++ = (struct expect){ IP, e.ip, 0 };
    *x++ = (struct expect){ SP, e.sp, 0 };
    for (u32 i = 0; i < e.count; i++)
        *x++ = (struct expect){ memory, e.pushed[i], e.sp + i * e.size };
    test_run(t);
}

static inline void run(const char *name, struct origin o, const struct code *code, const u32 *d,
                       struct ending e)
{
    struct test t = start(name, o, code);

    if (d)
        memcpy(t.d, d, sizeof t.d);
    end(&t, e);
}

static inline u64 flat(u8 access, u8 flags)
{
    return desc(0, 0xfffff, access, G | flags);
}

static inline u32 dpl_of(u8 access)
{
    return access >> 5 & 3;
}

static inline bool is_code(u8 access)
{
    return (access & (S | CODE_SEG)) == (S | CODE_SEG);
}

static inline bool is_conforming(u8 access)
{
    return is_code(access) && (access & CONFORMING);
}

static inline bool canonical(u64 v)
{
    return (u64)((long long)(v << 16) >> 16) == v;
}

static inline u64 cut(u64 v, u32 size)
{
    return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

/* A descriptor of 16 bytes. */
static inline void set_pair(u16 sel, u64 low, u32 upper, u32 upper_type)
{
    gdt_set(sel, low);
    if (sel != SEL_LAST)
        gdt_set(sel + 8, upper | (u64)upper_type << 40);
}

static inline u64 rsp_of(u32 level)
{
    return tss64.rsp[2 * level] | (u64)tss64.rsp[2 * level + 1] << 32;
}

static inline void set_rsp(u32 level, u64 sp)
{
    tss64.rsp[2 * level] = (u32)sp;
    tss64.rsp[2 * level + 1] = (u32)(sp >> 32);
}

static inline void setup64(void)
{
    for (u32 level = 0; level < 4; level++) {
        u8 access = (u8)(P | level << 5 | S | 1);
        gdt_set(SEL_CODE(1, level), flat(access | CODE_SEG | READABLE, L));
        gdt_set(SEL_CODE(0, level), flat(access | CODE_SEG | READABLE, D));
        gdt_set(SEL_DATA(level), flat(access | WRITABLE, D));
    }
    gdt_set(SEL_TARGET, flat(P | S | CODE_SEG | 3 << 5, L));
    set_rsp(1, INNER_SP(1));
    set_rsp(2, INNER_SP(2));
    for (u32 ist = 2; ist < 8; ist++)
        tss64.ist[2 * (ist - 1)] = IST_SP(ist);
    poke16(LANDING, 0x40cd);
}

#endif
