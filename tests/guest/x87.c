/* The x87 unit: values with all 80 bits, status word, rounding, masked and unmasked exceptions, environment
 * images (SDM volume 1, chapter 8). */
#include "guest.h"

const char program_name[] = "x87";

enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32, C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000 };
#define ONE 0x8000000000000000ULL

/* ST(0) after the text: sign and exponent, significand; the status bits 4700h and 3fh. */
#define X(name_, text, exponent, significand, status, ...) \
    T(name_, P32, "fninit; " text "; fnstsw ax; fstp tbyte ptr [ebx+0x40]", \
      .x = { { M64, significand, DATA + 0x40 }, { M16, exponent, DATA + 0x48 }, { AX, status, 0x473f } }, \
      __VA_ARGS__)
/* The result alone. */
#define R(name_, text, exponent, significand, ...) \
    T(name_, P32, "fninit; " text "; fstp tbyte ptr [ebx+0x40]", \
      .x = { { M64, significand, DATA + 0x40 }, { M16, exponent, DATA + 0x48 } }, __VA_ARGS__)
/* The status word alone, with TOP. */
#define S(name_, text, status, mask, ...) \
    T(name_, P32, "fninit; " text "; fnstsw ax", .x = { { AX, status, mask } }, __VA_ARGS__)
#define F32(x) ((union { float f; u32 u; }){ .f = (x) }).u
#define F64LO(x) (u32)((union { double f; u64 u; }){ .f = (x) }).u
#define F64HI(x) (u32)(((union { double f; u64 u; }){ .f = (x) }).u >> 32)

static void constants(void)
{
    group("constants");
    X("fld1", "fld1", 0x3fff, ONE, 0, .ax = 0);
    X("fldz", "fldz", 0, 0, 0, .ax = 0);
    X("fldpi", "fldpi", 0x4000, 0xc90fdaa22168c235, 0, .ax = 0);
    X("fldl2t", "fldl2t", 0x4000, 0xd49a784bcd1b8afe, 0, .ax = 0);
    X("fldl2e", "fldl2e", 0x3fff, 0xb8aa3b295c17f0bc, 0, .ax = 0);
    X("fldlg2", "fldlg2", 0x3ffd, 0x9a209a84fbcff799, 0, .ax = 0);
    X("fldln2", "fldln2", 0x3ffe, 0xb17217f7d1cf79ac, 0, .ax = 0);
    X("fldpi rounded down", "fldcw [ebx]; fldpi", 0x4000, 0xc90fdaa22168c234, 0, .d = { 0x77f });
    X("fldl2t rounded up", "fldcw [ebx]; fldl2t", 0x4000, 0xd49a784bcd1b8aff, 0, .d = { 0xb7f });
}

static void arithmetic(void)
{
    group("arithmetic");
    X("1 / 3", "fld1; fidiv dword ptr [ebx]", 0x3ffd, 0xaaaaaaaaaaaaaaab, PE | C1, .d = { 3 });
    X("1 / 3, down", "fldcw [ebx+4]; fld1; fidiv dword ptr [ebx]", 0x3ffd, 0xaaaaaaaaaaaaaaaa, PE,
      .d = { 3, 0x77f });
    X("1 / 3, 53 bits", "fldcw [ebx+4]; fld1; fidiv dword ptr [ebx]", 0x3ffd, 0xaaaaaaaaaaaaa800, PE,
      .d = { 3, 0x27f });
    X("1 / 3, 24 bits", "fldcw [ebx+4]; fld1; fidiv dword ptr [ebx]", 0x3ffd, 0xaaaaab0000000000, PE | C1,
      .d = { 3, 0x07f });
    X("sqrt 2", "fild dword ptr [ebx]; fsqrt", 0x3fff, 0xb504f333f9de6484, PE, .d = { 2 });
    X("sqrt -1", "fld1; fchs; fsqrt", 0xffff, 0xc000000000000000, IE, .ax = 0);
    X("sqrt -0", "fldz; fchs; fsqrt", 0x8000, 0, 0, .ax = 0);
    X("1 / 0", "fld1; fdiv dword ptr [ebx]", 0x7fff, ONE, ZE, .ax = 0);
    X("0 / 0", "fldz; fdiv dword ptr [ebx]", 0xffff, 0xc000000000000000, IE, .ax = 0);
    X("inf - inf", "fld dword ptr [ebx]; fsub st, st(0)", 0xffff, 0xc000000000000000, IE,
      .d = { 0x7f800000 });
    X("1 - 1", "fld1; fsub st, st(0)", 0, 0, 0, .ax = 0);
    X("1 - 1, down", "fldcw [ebx]; fld1; fsub st, st(0)", 0x8000, 0, 0, .d = { 0x77f });
    X("signalling nan", "fld dword ptr [ebx]", 0x7fff, 0xc000010000000000, IE, .d = { 0x7f800001 });
    X("quiet nan passes", "fld dword ptr [ebx]; fld1; faddp", 0x7fff, 0xc000010000000000, 0,
      .d = { 0x7fc00001 });
    X("denormal operand", "fld tbyte ptr [ebx]; fld1; faddp", 0x3fff, ONE, DE | PE, .d = { 1 });
    X("float denormal", "fld dword ptr [ebx]", 0x3f6a, ONE, DE, .d = { 1 });
    X("pseudo-denormal", "fld tbyte ptr [ebx]; fld1; fmulp", 1, ONE, DE, .d = { 0, 0x80000000, 0 });
    X("unnormal is invalid", "fld tbyte ptr [ebx]; fld1; faddp", 0xffff, 0xc000000000000000, IE, .d = { 1,
      0, 0x3fff });
    X("overflow", "fld tbyte ptr [ebx]; fadd st, st(0)", 0x7fff, ONE, OE | PE | C1, .d = { -1, -1, 0x7ffe });
    X("overflow, towards zero", "fldcw [ebx+12]; fld tbyte ptr [ebx]; fadd st, st(0)", 0x7ffe, ~0ULL,
      OE | PE, .d = { -1, -1, 0x7ffe, 0xf7f });
    X("underflow", "fld tbyte ptr [ebx]; fmul st, st(0)", 0, 0, UE | PE, .d = { 0, 0x80000000, 1 });
    X("tiny and exact", "fld tbyte ptr [ebx]; fld1; fchs; fscale; fstp st(0); fmul dword ptr [ebx+12]", 0,
      0x4000000000000000, 0,
      .d = { 0, 0x80000000, 1, F32(0.5f) });
    X("fild qword", "fild qword ptr [ebx]", 0xc03e, ONE, 0, .d = { 0, 0x80000000 });
    X("fild word", "fild word ptr [ebx]", 0xbfff, ONE, 0, .d = { 0xffff });
    X("fsubr", "fld1; fisubr dword ptr [ebx]", 0x4000, ONE, 0, .d = { 3 });
    X("fdivrp", "fild dword ptr [ebx]; fild dword ptr [ebx+4]; fdivrp", 0x4000, ONE, 0, .d = { 3, 6 });
    X("fmul qword", "fld1; fmul qword ptr [ebx]", 0x3fff, 0xc000000000000000, 0, .d = { 0, 0x3ff80000 });
    X("fabs fchs", "fld1; fchs; fabs; fchs", 0xbfff, ONE, 0, .ax = 0);
    X("fscale", "fild dword ptr [ebx]; fld1; fscale", 0x4009, ONE, 0, .d = { 10 });
    X("fscale by -inf", "fld dword ptr [ebx]; fld1; fscale", 0, 0, 0, .d = { 0xff800000 });
    X("frndint even", "fld dword ptr [ebx]; frndint", 0x4000, ONE, PE, .d = { F32(2.5f) });
    X("frndint up", "fldcw [ebx+4]; fld dword ptr [ebx]; frndint", 0x4000, 0xc000000000000000, PE | C1,
      .d = { F32(2.5f), 0xb7f });
    X("fxtract: significand", "fild dword ptr [ebx]; fxtract", 0x3fff, 0xa000000000000000, 0, .d = { 20 });
    X("fxtract: exponent", "fild dword ptr [ebx]; fxtract; fstp st(0)", 0x4001, ONE, 0, .d = { 20 });
    X("fprem", "fild dword ptr [ebx]; fild dword ptr [ebx+4]; fprem", 0x4000, ONE, C1, .d = { 3, 5 });
    X("fprem quotient bits", "fild dword ptr [ebx]; fild dword ptr [ebx+4]; fprem", 0x3fff, ONE,
      C0 | C1 | C3, .d = { 3, 22 });
    X("fprem1 rounds to nearest", "fild dword ptr [ebx]; fild dword ptr [ebx+4]; fprem1", 0xbfff, ONE, C3,
      .d = { 3, 5 });
    X("fsin 0", "fldz; fsin", 0, 0, 0, .ax = 0);
    X("fcos 0", "fldz; fcos", 0x3fff, ONE, 0, .ax = 0);
    X("fsin out of range", "fld dword ptr [ebx]; fsin", 0x403f, ONE, C2,
      .d = { F32(18446744073709551616.0f) });
    /* Transcendental results are within one unit in the last place and may be flagged inexact: the value
     * alone. */
    R("f2xm1 of 1", "fld1; f2xm1", 0x3fff, ONE, .ax = 0);
    R("fyl2x: 3 * log2 8", "fild dword ptr [ebx]; fild dword ptr [ebx+4]; fyl2x", 0x4002,
      0x9000000000000000, .d = { 3, 8 });
    R("fpatan 1, 1", "fld1; fld1; fpatan", 0x3ffe, 0xc90fdaa22168c235, .ax = 0);
    X("fyl2x of 0", "fld1; fldz; fyl2x", 0xffff, ONE, ZE, .ax = 0);
    X("fptan pushes 1", "fldz; fptan", 0x3fff, ONE, 0, .ax = 0);
    X("fbld", "fbld [ebx]", 0xc005, 0xf600000000000000, 0, .d = { 0x123, 0, 0x8000 });
}

static void conversions(void)
{
#define STORE(name_, text, what_, expected, status, ...) T(name_, P32, "fninit; " text "; fnstsw ax", \
    .x = { { what_, expected, DATA + 0x10 }, { AX, status, 0x3f } }, __VA_ARGS__)
    group("stores");
    STORE("fist to nearest even", "fld dword ptr [ebx]; fistp dword ptr [ebx+16]", M32, 2, PE,
      .d = { F32(2.5f) });
    STORE("fist down", "fldcw [ebx+4]; fld dword ptr [ebx]; fistp dword ptr [ebx+16]", M32, (u32)-3, PE,
      .d = { F32(-2.5f), 0x77f });
    STORE("fist up", "fldcw [ebx+4]; fld dword ptr [ebx]; fistp dword ptr [ebx+16]", M32, (u32)-2, PE,
      .d = { F32(-2.5f), 0xb7f });
    STORE("fist towards zero", "fldcw [ebx+4]; fld dword ptr [ebx]; fistp word ptr [ebx+16]", M16, 2, PE,
      .d = { F32(2.9f), 0xf7f });
    STORE("fist word overflow", "fild dword ptr [ebx]; fistp word ptr [ebx+16]", M16, 0x8000, IE,
      .d = { 40000 });
    STORE("fist dword overflow", "fld dword ptr [ebx]; fistp dword ptr [ebx+16]", M32, 0x80000000, IE,
      .d = { F32(3e9f) });
    STORE("fistp qword of nan", "fld dword ptr [ebx]; fistp qword ptr [ebx+16]", M64, ONE, IE,
      .d = { 0x7fc00000 });
    STORE("fst float rounds", "fldpi; fstp dword ptr [ebx+16]", M32, 0x40490fdb, PE, .ax = 0);
    STORE("fst double rounds", "fldpi; fstp qword ptr [ebx+16]", M64, 0x400921fb54442d18, PE, .ax = 0);
    STORE("fst float overflow", "fld tbyte ptr [ebx]; fstp dword ptr [ebx+16]", M32, 0x7f800000, OE | PE,
      .d = { 0, 0x80000000, 0x5000 });
    STORE("fst float underflow", "fld tbyte ptr [ebx]; fstp dword ptr [ebx+16]", M32, 0, UE | PE, .d = { 0,
      0x80000000, 0x3000 });
    STORE("fst float denormal, exact", "fld tbyte ptr [ebx]; fstp dword ptr [ebx+16]", M32, 0x00400000, 0,
      .d = { 0, 0x80000000, 0x3f80 });
    STORE("fbstp", "fild dword ptr [ebx]; fbstp [ebx+16]", M64, 0x12345678, 0, .d = { 12345678 });
    STORE("fbstp sign", "fild dword ptr [ebx]; fbstp [ebx+8]", M16, 0x8000, 0, .d = { (u32)-5 });
    STORE("fbstp overflow", "fld tbyte ptr [ebx]; fbstp [ebx+12]; nop", M32, 0xc0000000, IE, .d = { 0,
      0x80000000, 0x4050 });
}

static void stack_and_compare(void)
{
    group("stack");
    S("fninit", "nop", 0, 0xffff, .ax = 0);
    S("top after a load", "fld1", 0x3800, 0x3800, .ax = 0);
    S("underflow", "fadd st, st(1)", IE | 0x40, 0x27f, .ax = 0);
    S("overflow sets c1", "fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1", IE | 0x40 | C1 | 0x3800, 0x3a7f,
      .ax = 0);
    S("fincstp fdecstp", "fdecstp; fdecstp; fincstp", 0x3800, 0x3800, .ax = 0);
    X("overflow gives indefinite", "fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1;fldpi", 0xffff,
      0xc000000000000000, IE | C1, .ax = 0);
    X("fxch", "fld1; fldz; fxch", 0x3fff, ONE, 0, .ax = 0);
    X("ffree leaves a hole", "fld1; ffree st(0); fadd st, st(0)", 0xffff, 0xc000000000000000, IE, .ax = 0);
    X("fld st(1)", "fldpi; fld1; fld st(1)", 0x4000, 0xc90fdaa22168c235, 0, .ax = 0);
    X("fcmove taken", "fldpi; fld1; cmp eax, eax; fcmove st, st(1)", 0x4000, 0xc90fdaa22168c235, 0, .ax = 0);
    X("fcmovne not taken", "fldpi; fld1; cmp eax, eax; fcmovne st, st(1)", 0x3fff, ONE, 0, .ax = 0);
    group("compare");
    S("less", "fldpi; fld1; fcom st(1)", C0, C0 | C2 | C3, .ax = 0);
    S("greater", "fld1; fldpi; fcom st(1)", 0, C0 | C2 | C3, .ax = 0);
    S("equal", "fld1; fld1; fcompp", C3, C0 | C2 | C3 | 0x3800, .ax = 0);
    S("nan", "fld dword ptr [ebx]; fcom st(0)", C0 | C2 | C3 | IE, C0 | C2 | C3 | IE, .d = { 0x7fc00000 });
    S("fucom quiet nan", "fld dword ptr [ebx]; fucom st(0)", C0 | C2 | C3, C0 | C2 | C3 | IE,
      .d = { 0x7fc00000 });
    S("ftst", "fld1; fchs; ftst", C0, C0 | C2 | C3, .ax = 0);
    S("ficom", "fld1; ficom dword ptr [ebx]", C3, C0 | C2 | C3, .d = { 1 });
    S("fxam normal", "fld1; fxam", C2, C0 | C1 | C2 | C3, .ax = 0);
    S("fxam -0", "fldz; fchs; fxam", C3 | C1, C0 | C1 | C2 | C3, .ax = 0);
    S("fxam infinity", "fld dword ptr [ebx]; fxam", C0 | C2, C0 | C1 | C2 | C3, .d = { 0x7f800000 });
    S("fxam nan", "fld dword ptr [ebx]; fxam", C0, C0 | C1 | C2 | C3, .d = { 0x7fc00000 });
    S("fxam denormal", "fld tbyte ptr [ebx]; fxam", C2 | C3, C0 | C1 | C2 | C3, .d = { 1 });
    S("fxam empty", "fxam", C0 | C3, C0 | C2 | C3, .ax = 0);
    T("fcomi", P32, "fninit; fldpi; fld1; fcomi st, st(1); setb al; setz ah; setp cl", .x = { { AX, 1 },
      { CX, 0 } });
    T("fucomip nan", P32, "fninit; fld dword ptr [ebx]; fld1; fucomip st, st(1); setb al; setz ah; "
      "setp cl", .d = { 0x7fc00000 },
      .x = { { AX, 0x101 }, { CX, 1 } });
}

static void environment(void)
{
    group("environment");
    T("fnstcw after fninit", P32, "fninit; fnstcw [ebx]", .x = { { M16, 0x37f, DATA } });
    T("fldcw", P32, "fldcw [ebx]; fnstcw [ebx+4]", .d = { 0xf7f }, .x = { { M16, 0xf7f, DATA + 4 } });
    T("fnstenv, 32-bit protected mode", P32, "fninit; fld1; fldz; fnstenv [ebx]", .x = { { M32, 0xffff037f,
      DATA }, { M16, 0x3000, DATA + 4 },
      { M32, 0xffff1fff, DATA + 8 }, { M32, CODE + 4, DATA + 12 } });
    T("fnstenv masks exceptions", P32, "fninit; fldcw [ebx]; fnstenv [ebx+4]; fnstcw [ebx]",
      .d = { 0x340 }, .x = { { M16, 0x37f, DATA },
      { M16, 0x340, DATA + 4 } });
    if (!cpu_has(7, 1, 6)) /* else the data pointer moves only with an unmasked exception */
        T("fnstenv data pointer", P32, "fninit; fld dword ptr [ebx]; fnstenv [ebx+4]", .x = { { M32, DATA,
          DATA + 24 } });
    T("fnstenv 16-bit", P16, "fninit; fld1; fnstenv [bx]", .x = { { M16, 0x37f, DATA }, { M16, 0x3800,
      DATA + 2 }, { M16, 0x3fff, DATA + 4 },
      { M16, 2, DATA + 6 }, { M16, cpu_has(7, 1, 13) ? 0 : SEL_CS16, DATA + 8 } });
    /* The opcode beside it is stored by some processors only after an unmasked exception. */
    T("fnstenv real mode: linear address", REAL, "fninit; fld1; fnstenv [bx]; mov ax, [bx+8]; "
      "and ax, 0xf000", .x = { { M16, 2, DATA + 6 },
      { AX, 0x1000 } });
    T("fldenv", P32, "fninit; fnstenv [ebx]; mov word ptr [ebx+8], 0x3fff; mov word ptr [ebx+4], 0x3800; "
      "fldenv [ebx]; fnstsw ax",
      .x = { { AX, 0x3800 } });
    T("fnsave resets", P32, "fninit; fld1; fnsave [ebx]; fnstsw ax; fnstcw [ebx+0x80]", .x = { { AX, 0 },
      { M16, 0x37f, DATA + 0x80 },
      { M64, ONE, DATA + 28 }, { M16, 0x3fff, DATA + 36 }, { M16, 0x3800, DATA + 4 } });
    T("frstor", P32, "fninit; fldpi; fldl2e; fnsave [ebx]; frstor [ebx]; faddp; fstp tbyte ptr [ebx+0x80]; "
      "fnstsw ax",
      .x = { { AX, 0, 0x3800 }, { M16, 0x4001, DATA + 0x88 } });
    T("fxsave: tag is abridged", P32, "fninit; fld1; fldz; fxsave [ebx]", .x = { { M16, 0x37f, DATA },
      { M16, 0x3000, DATA + 2 }, { M8, 0xc0, DATA + 4 },
      { M64, 0, DATA + 32 }, { M64, ONE, DATA + 48 }, { M16, 0x3fff, DATA + 56 } });
    T("fxsave not aligned", P32, "fxsave [ebx+8]", .vec = V_GP);
    T("fxrstor", P32, "fninit; fldpi; fxsave [ebx]; fninit; fxrstor [ebx]; fstp tbyte ptr [ebx+0x200]",
      .x = { { M64, 0xc90fdaa22168c235, DATA + 0x200 } });
    T("mmx aliases the registers", P32, "fninit; mov eax, 0x12345678; movd mm3, eax; fxsave [ebx]; emms",
      .x = { { M64, 0x12345678, DATA + 32 + 48 },
      { M16, 0xffff, DATA + 32 + 56 }, { M8, 0xff, DATA + 4 } });
    T("emms empties", P32, "movd mm0, eax; emms; fxsave [ebx]", .x = { { M8, 0, DATA + 4 } });
}

static void exceptions(void)
{
    cr0_set((cr0_get() & ~12u) | 0x22); /* NE, MP */
    group("exceptions");
    T("#MF at the next waiting instruction", P32, "fninit; fldcw [ebx]; fld1; fldz; fdivp; nop; 99: fld1",
      .d = { 0x37b }, .vec = V_MF);
    T("#MF at fwait", P32U, "fninit; fldcw [ebx]; fld1; fldz; fdivp; 99: fwait", .d = { 0x37b }, .vec = V_MF);
    T("control instructions do not wait", P32, "fninit; fldcw [ebx]; fld1; fldz; fdivp; fnstsw ax; "
      "fnstcw [ebx+4]; fnclex; fld1", .d = { 0x37b },
      .x = { { AX, 0x8084, 0x80bf } });
    T("operands are kept", P32, "fninit; fldcw [ebx]; fld1; fldz; fdiv st, st(1); fnclex; "
      "fstp tbyte ptr [ebx+16]; fldz", .d = { 0x37e },
      .x = { { M64, 0, DATA + 16 } });
    T("unmasking raises at the next instruction", P32, "fninit; fld1; fdiv dword ptr [ebx+4]; fldcw [ebx]; "
      "99: fld1", .d = { 0x37b }, .vec = V_MF);
    T("movd waits too", P32, "fninit; fldcw [ebx]; fld1; fldz; fdivp; 99: movd mm0, eax", .d = { 0x37b },
      .vec = V_MF);
    T("invalid, unmasked: nothing stored", P32, "fninit; fldcw [ebx]; fld dword ptr [ebx+4]; "
      "fistp dword ptr [ebx+8]; 99: fwait",
      .d = { 0x37e, F32(1e20f), 0x5a5a5a5a }, .vec = V_MF, .x = { { M32, 0x5a5a5a5a, DATA + 8 } });
    T("fninit forgets it", P32, "fninit; fldcw [ebx]; fld1; fldz; fdivp; fninit; fld1", .d = { 0x37b });
    T("#NM by ts", P32, "mov eax, cr0; or al, 8; mov cr0, eax; 99: fnop", .vec = V_NM);
    cr0_set(cr0_get() & ~8u);
    T("clean up", P32, "fninit");
}

void program(const char *line)
{
    (void)line;
    cr0_set((cr0_get() & ~12u) | 0x22);
    cr4_set(cr4_get() | 0x600);
    constants();
    arithmetic();
    conversions();
    stack_and_compare();
    environment();
    exceptions();
}
