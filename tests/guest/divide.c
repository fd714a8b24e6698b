/* DIV and IDIV of every size, where the manual says #DE and where not (SDM volume 2), with operands that are constants
 * of the code, and with ones that are not. */
#include "guest.h"

const char program_name[] = "divide";

static const struct row {
    u8 bits;
    bool is_signed;
    u64 high, low, divisor;
    bool fails;
    u64 quotient, rest;
} rows[] = {
    /* The edges, and numbers of any length. */
    { 8, 0, 0, 5, 0, 1, 0, 0 }, { 8, 0, 0, 0, 0, 1, 0, 0 }, { 8, 0, 0xff, 0xff, 0xff, 1, 0, 0 },
    { 8, 0, 0xff, 0x80, 0xff, 1, 0, 0 }, { 8, 0, 0, 0x80, 0xff, 0, 0, 0x80 },
    { 8, 0, 0xff, 0x80, 1, 1, 0, 0 }, { 8, 0, 0, 0x80, 1, 0, 0x80, 0 }, { 8, 0, 0, 0xff, 0xff, 0, 1, 0 },
    { 8, 0, 0xfe, 0xff, 0xff, 0, 0xff, 0xfe }, { 8, 0, 3, 7, 4, 0, 0xc1, 3 }, { 8, 0, 4, 0, 4, 1, 0, 0 },
    { 8, 0, 0x40, 0, 0x80, 0, 0x80, 0 }, { 8, 0, 0xff, 0xf9, 2, 1, 0, 0 },
    { 8, 0, 0, 0x64, 0xf9, 0, 0, 0x64 }, { 8, 0, 0xff, 0x9c, 7, 1, 0, 0 },
    { 8, 0, 9, 0xbd, 0x5b, 0, 0x1b, 0x24 }, { 8, 0, 1, 0xc6, 0x78, 0, 3, 0x5e },
    { 8, 0, 0xa6, 0xe6, 0x28, 1, 0, 0 }, { 8, 1, 0, 5, 0, 1, 0, 0 }, { 8, 1, 0, 0, 0, 1, 0, 0 },
    { 8, 1, 0xff, 0xff, 0xff, 0, 1, 0 }, { 8, 1, 0xff, 0x80, 0xff, 1, 0, 0 },
    { 8, 1, 0, 0x80, 0xff, 0, 0x80, 0 }, { 8, 1, 0xff, 0x80, 1, 0, 0x80, 0 }, { 8, 1, 0, 0x80, 1, 1, 0, 0 },
    { 8, 1, 0, 0xff, 0xff, 1, 0, 0 }, { 8, 1, 0xfe, 0xff, 0xff, 1, 0, 0 }, { 8, 1, 3, 7, 4, 1, 0, 0 },
    { 8, 1, 4, 0, 4, 1, 0, 0 }, { 8, 1, 0x40, 0, 0x80, 0, 0x80, 0 }, { 8, 1, 0xff, 0xf9, 2, 0, 0xfd, 0xff },
    { 8, 1, 0, 0x64, 0xf9, 0, 0xf2, 2 }, { 8, 1, 0xff, 0x9c, 7, 0, 0xf2, 0xfe },
    { 8, 1, 0, 0xde, 7, 0, 0x1f, 5 }, { 8, 1, 0x45, 0x92, 0x3f, 1, 0, 0 },
    { 8, 1, 0x17, 0x68, 0x23, 1, 0, 0 }, { 16, 0, 0, 5, 0, 1, 0, 0 }, { 16, 0, 0, 0, 0, 1, 0, 0 },
    { 16, 0, 0xffff, 0xffff, 0xffff, 1, 0, 0 }, { 16, 0, 0xffff, 0x8000, 0xffff, 1, 0, 0 },
    { 16, 0, 0, 0x8000, 0xffff, 0, 0, 0x8000 }, { 16, 0, 0xffff, 0x8000, 1, 1, 0, 0 },
    { 16, 0, 0, 0x8000, 1, 0, 0x8000, 0 }, { 16, 0, 0, 0xffff, 0xffff, 0, 1, 0 },
    { 16, 0, 0xfffe, 0xffff, 0xffff, 0, 0xffff, 0xfffe }, { 16, 0, 3, 7, 4, 0, 0xc001, 3 },
    { 16, 0, 4, 0, 4, 1, 0, 0 }, { 16, 0, 0x4000, 0, 0x8000, 0, 0x8000, 0 },
    { 16, 0, 0xffff, 0xfff9, 2, 1, 0, 0 }, { 16, 0, 0, 0x64, 0xfff9, 0, 0, 0x64 },
    { 16, 0, 0xffff, 0xff9c, 7, 1, 0, 0 }, { 16, 0, 0xe, 0x28db, 0x6186, 0, 0x25, 0x107d },
    { 16, 0, 0, 0x206f, 0x21da, 0, 0, 0x206f }, { 16, 0, 0xf8eb, 0x359e, 0x18c1, 1, 0, 0 },
    { 16, 1, 0, 5, 0, 1, 0, 0 }, { 16, 1, 0, 0, 0, 1, 0, 0 }, { 16, 1, 0xffff, 0xffff, 0xffff, 0, 1, 0 },
    { 16, 1, 0xffff, 0x8000, 0xffff, 1, 0, 0 }, { 16, 1, 0, 0x8000, 0xffff, 0, 0x8000, 0 },
    { 16, 1, 0xffff, 0x8000, 1, 0, 0x8000, 0 }, { 16, 1, 0, 0x8000, 1, 1, 0, 0 },
    { 16, 1, 0, 0xffff, 0xffff, 1, 0, 0 }, { 16, 1, 0xfffe, 0xffff, 0xffff, 1, 0, 0 },
    { 16, 1, 3, 7, 4, 1, 0, 0 }, { 16, 1, 4, 0, 4, 1, 0, 0 }, { 16, 1, 0x4000, 0, 0x8000, 0, 0x8000, 0 },
    { 16, 1, 0xffff, 0xfff9, 2, 0, 0xfffd, 0xffff }, { 16, 1, 0, 0x64, 0xfff9, 0, 0xfff2, 2 },
    { 16, 1, 0xffff, 0xff9c, 7, 0, 0xfff2, 0xfffe }, { 16, 1, 0x7ae, 0xdf56, 0x2a9, 1, 0, 0 },
    { 16, 1, 0x141, 0x8a0a, 0x1c09, 0, 0xb78, 0x2d2 }, { 16, 1, 0xba, 0xf770, 0x3dc, 0, 0x3071, 0x354 },
    { 32, 0, 0, 5, 0, 1, 0, 0 }, { 32, 0, 0, 0, 0, 1, 0, 0 },
    { 32, 0, 0xffffffff, 0xffffffff, 0xffffffff, 1, 0, 0 },
    { 32, 0, 0xffffffff, 0x80000000, 0xffffffff, 1, 0, 0 },
    { 32, 0, 0, 0x80000000, 0xffffffff, 0, 0, 0x80000000 }, { 32, 0, 0xffffffff, 0x80000000, 1, 1, 0, 0 },
    { 32, 0, 0, 0x80000000, 1, 0, 0x80000000, 0 }, { 32, 0, 0, 0xffffffff, 0xffffffff, 0, 1, 0 },
    { 32, 0, 0xfffffffe, 0xffffffff, 0xffffffff, 0, 0xffffffff, 0xfffffffe },
    { 32, 0, 3, 7, 4, 0, 0xc0000001, 3 }, { 32, 0, 4, 0, 4, 1, 0, 0 },
    { 32, 0, 0x40000000, 0, 0x80000000, 0, 0x80000000, 0 }, { 32, 0, 0xffffffff, 0xfffffff9, 2, 1, 0, 0 },
    { 32, 0, 0, 0x64, 0xfffffff9, 0, 0, 0x64 }, { 32, 0, 0xffffffff, 0xffffff9c, 7, 1, 0, 0 },
    { 32, 0, 0x263eb6f8, 0x5c76f18a, 0x351ba9c, 1, 0, 0 },
    { 32, 0, 0x77c80d, 0x43892dfc, 0x42b3f, 1, 0, 0 }, { 32, 0, 0x4d25deb3, 0x98921396, 0x2b6346, 1, 0, 0 },
    { 32, 1, 0, 5, 0, 1, 0, 0 }, { 32, 1, 0, 0, 0, 1, 0, 0 },
    { 32, 1, 0xffffffff, 0xffffffff, 0xffffffff, 0, 1, 0 },
    { 32, 1, 0xffffffff, 0x80000000, 0xffffffff, 1, 0, 0 },
    { 32, 1, 0, 0x80000000, 0xffffffff, 0, 0x80000000, 0 },
    { 32, 1, 0xffffffff, 0x80000000, 1, 0, 0x80000000, 0 }, { 32, 1, 0, 0x80000000, 1, 1, 0, 0 },
    { 32, 1, 0, 0xffffffff, 0xffffffff, 1, 0, 0 }, { 32, 1, 0xfffffffe, 0xffffffff, 0xffffffff, 1, 0, 0 },
    { 32, 1, 3, 7, 4, 1, 0, 0 }, { 32, 1, 4, 0, 4, 1, 0, 0 },
    { 32, 1, 0x40000000, 0, 0x80000000, 0, 0x80000000, 0 },
    { 32, 1, 0xffffffff, 0xfffffff9, 2, 0, 0xfffffffd, 0xffffffff },
    { 32, 1, 0, 0x64, 0xfffffff9, 0, 0xfffffff2, 2 },
    { 32, 1, 0xffffffff, 0xffffff9c, 7, 0, 0xfffffff2, 0xfffffffe },
    { 32, 1, 0x21c, 0x5af84e6b, 0x68c533, 0, 0x52853, 0x3166e2 },
    { 32, 1, 0x7b1, 0x2f4d4c86, 0xf662, 0, 0x7fe0c89, 0xda14 },
    { 32, 1, 0x168ca6, 0xe979cf3, 0x419521fe, 0, 0x580567, 0x129cf9c1 }, { 64, 0, 0, 5, 0, 1, 0, 0 },
    { 64, 0, 0, 0, 0, 1, 0, 0 },
    { 64, 0, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff, 1, 0, 0 },
    { 64, 0, 0xffffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 1, 0, 0 },
    { 64, 0, 0, 0x8000000000000000, 0xffffffffffffffff, 0, 0, 0x8000000000000000 },
    { 64, 0, 0xffffffffffffffff, 0x8000000000000000, 1, 1, 0, 0 },
    { 64, 0, 0, 0x8000000000000000, 1, 0, 0x8000000000000000, 0 },
    { 64, 0, 0, 0xffffffffffffffff, 0xffffffffffffffff, 0, 1, 0 },
    { 64, 0, 0xfffffffffffffffe, 0xffffffffffffffff, 0xffffffffffffffff, 0, 0xffffffffffffffff, 0xfffffffffffffffe },
    { 64, 0, 3, 7, 4, 0, 0xc000000000000001, 3 }, { 64, 0, 4, 0, 4, 1, 0, 0 },
    { 64, 0, 0x4000000000000000, 0, 0x8000000000000000, 0, 0x8000000000000000, 0 },
    { 64, 0, 0xffffffffffffffff, 0xfffffffffffffff9, 2, 1, 0, 0 },
    { 64, 0, 0, 0x64, 0xfffffffffffffff9, 0, 0, 0x64 },
    { 64, 0, 0xffffffffffffffff, 0xffffffffffffff9c, 7, 1, 0, 0 },
    { 64, 0, 0x5ff94, 0x677fd139d84a1d3a, 0x2323e57bc1, 0, 0x2bb2d9d13e16, 0x108d07bca4 },
    { 64, 0, 0x302cbdee2edf2204, 0xbf64ef773ec28d0, 0x2e50bd4eb52fa, 1, 0, 0 },
    { 64, 0, 0x182efe226, 0xd1ca4dc4edfde416, 0x1d94c5cdfc4, 0, 0xd149da46a721e3, 0x90adef354a },
    { 64, 1, 0, 5, 0, 1, 0, 0 }, { 64, 1, 0, 0, 0, 1, 0, 0 },
    { 64, 1, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff, 0, 1, 0 },
    { 64, 1, 0xffffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 1, 0, 0 },
    { 64, 1, 0, 0x8000000000000000, 0xffffffffffffffff, 0, 0x8000000000000000, 0 },
    { 64, 1, 0xffffffffffffffff, 0x8000000000000000, 1, 0, 0x8000000000000000, 0 },
    { 64, 1, 0, 0x8000000000000000, 1, 1, 0, 0 },
    { 64, 1, 0, 0xffffffffffffffff, 0xffffffffffffffff, 1, 0, 0 },
    { 64, 1, 0xfffffffffffffffe, 0xffffffffffffffff, 0xffffffffffffffff, 1, 0, 0 },
    { 64, 1, 3, 7, 4, 1, 0, 0 }, { 64, 1, 4, 0, 4, 1, 0, 0 },
    { 64, 1, 0x4000000000000000, 0, 0x8000000000000000, 0, 0x8000000000000000, 0 },
    { 64, 1, 0xffffffffffffffff, 0xfffffffffffffff9, 2, 0, 0xfffffffffffffffd, 0xffffffffffffffff },
    { 64, 1, 0, 0x64, 0xfffffffffffffff9, 0, 0xfffffffffffffff2, 2 },
    { 64, 1, 0xffffffffffffffff, 0xffffffffffffff9c, 7, 0, 0xfffffffffffffff2, 0xfffffffffffffffe },
    { 64, 1, 0x5ad3ba32, 0x767d5274c68deb5d, 0x12df576f637, 0, 0x4d00c27f800950, 0x1287e390b2d },
    { 64, 1, 0x4bbdbb01dc14ed5, 0xf21ff5eb6ed78f5d, 0xbabc82f7d3a4, 1, 0, 0 },
    { 64, 1, 0x20d30, 0x25f02628eb07c30d, 0x23495d01ab83cb3, 0, 0xee22da, 0x1ca181d43aa4c9f },
};

static u8 *put(u8 *p, u64 value, u32 bytes)
{
    memcpy(p, &value, bytes);
    return p + bytes;
}

/* mov register, value: in 64-bit code all 64 bits of it. */
static u8 *put_mov(u8 *p, u32 reg, u64 value, bool wide)
{
    if (wide)
        *p++ = 0x48;
    *p++ = (u8)(0xb8 + reg);
    return put(p, value, wide ? 8 : 4);
}

/* rAX, rDX or AX as the instruction has them; bits above its operands are others'. */
#define ABOVE 0x5a5a5a5a5a5a5a5aull

static u64 low_bits(u32 bits, u64 v) { return bits == 64 ? v : v & ((1ull << bits) - 1); }
static u64 in_register(u32 bits, u64 v) { return v | (ABOVE & ~low_bits(bits, ~0ull)); }
static u64 accumulator(u32 bits, u64 high, u64 low)
{
    return bits == 8 ? in_register(16, high << 8 | low) : in_register(bits, low);
}

/* A register of which `bits` were written: 32 of them clear the others. */
static u64 written(u32 bits, u64 v) { return bits == 32 ? (u32)v : v; }

static void divide(const struct row *r, bool wide, bool constants)
{
    u64 ax = accumulator(r->bits, r->high, r->low), dx = in_register(r->bits == 8 ? 64 : r->bits, r->high);
    u64 cx = in_register(r->bits, r->divisor), mask = wide ? ~0ull : 0xffffffff;
    u8 *p = (u8 *)at(PLAY);
    u64 quotient = ax, rest = dx;

    if (constants) {
        p = put_mov(p, 0, ax, wide);
        p = put_mov(p, 2, dx, wide);
        p = put_mov(p, 1, cx, wide);
    }
    u32 ip = (u32)p;
    if (r->bits == 16 || r->bits == 64)
        *p++ = r->bits == 16 ? 0x66 : 0x48;
    p = put(p, (r->bits == 8 ? 0xf6 : 0xf7) | (r->is_signed ? 0xf9 : 0xf1) << 8 | 0x40cd0000u, 4);
    if (!r->fails) {
        quotient = written(r->bits, accumulator(r->bits, r->rest, r->quotient));
        rest = r->bits == 8 ? dx : written(r->bits, in_register(r->bits, r->rest));
    }
    struct test t = { .name = constants ? "constants" : "registers", .mode = wide ? L64 : P32, .si = PLAY,
                      .anyip = true, .vec = r->fails ? V_DE : DONE, .ax = constants ? 0 : ax & mask,
                      .dx = constants ? 0 : dx & mask, .cx = constants ? 0 : cx & mask,
                      .x = { { AX, quotient & mask, mask }, { DX, rest & mask, mask }, { CX, cx & mask, mask },
                             { IP, r->fails ? ip : (u32)p } } };
    t.code = wide ? SNIPPET(64, "jmp rsi") : SNIPPET(32, "jmp esi");
    test_run(&t);
}

/* The sign of rAX is known to be in rDX. */
static void extended(void)
{
    group("behind cdq");
    T("minus one", P32, "cdq; idiv ecx", .ax = 7, .cx = 0xffffffff, .x = { { AX, (u32)-7 }, { DX, 0 } });
    T("the most negative", P32, "cdq; 99: idiv ecx", .ax = 0x80000000, .cx = 0xffffffff, .vec = V_DE,
      .x = { { AX, 0x80000000 }, { DX, 0xffffffff } });
    T("by zero", P32, "cdq; 99: idiv ecx", .ax = 1, .vec = V_DE, .x = { { DX, 0 } });
    T("the constant most negative", P32, "mov eax, 0x80000000; mov ecx, -1; cdq; 99: idiv ecx", .vec = V_DE);
    T("constant zero", P32, "mov eax, 9; xor ecx, ecx; cdq; 99: idiv ecx", .vec = V_DE);
    T("rest has the dividend's sign", P32, "cdq; idiv ecx", .ax = (u32)-7, .cx = 2, .x = { { AX, (u32)-3 },
      { DX, 0xffffffff } });
    T("16 bits", P32, "cwd; 99: idiv cx", .ax = 0x8000, .cx = 0xffff, .vec = V_DE);
    T("8 bits", P32, "cbw; 99: idiv cl", .ax = 0x80, .cx = 0xff, .vec = V_DE);
    if (!HAS_LM)
        return;
    T("the most negative of 64 bits", L64U, "cqo; 99: idiv rcx", .ax = 1ull << 63, .cx = ~0ull, .vec = V_DE);
    T("64 bits", L64U, "cqo; idiv rcx", .ax = -100ull, .cx = 7, .x = { { AX, -14ull }, { DX, -2ull } });
    T("nobody looks at the results", L64U, "cqo; 99: idiv rcx; mov eax, 1; mov edx, 2", .ax = 5, .vec = V_DE);
}

void program(const char *line)
{
    (void)line;
    for (u32 i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        group(LABEL(r->bits, r->is_signed, (u32)(r->high >> 32), (u32)r->high, (u32)(r->low >> 32), (u32)r->low,
                    (u32)(r->divisor >> 32), (u32)r->divisor));
        for (u32 constants = 0; constants < 2; constants++) {
            if (r->bits < 64)
                divide(r, false, constants);
            if (HAS_LM)
                divide(r, true, constants);
        }
    }
    extended();
}
