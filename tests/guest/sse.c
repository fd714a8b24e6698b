/* SSE and SSE2: values, MXCSR flags, unmasked exceptions, alignment, #NM and #UD by CR0 and CR4, the FXSAVE
 * image (SDM volume 1, chapters 10 to 11). */
#include "guest.h"

const char program_name[] = "sse";

enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32 };
#define OUT (DATA + 0x40)
/* xmm0 from DATA, xmm1 from DATA + 16; what xmm0 is afterwards and the six flags of MXCSR. */
#define V(name_, text, low, high, flags, ...) \
    T(name_, P32, "ldmxcsr [ebx+0x60]; movups xmm0, [ebx]; movups xmm1, [ebx+16]; " text "; " \
      "movups [ebx+0x40], xmm0; stmxcsr [ebx+0x50]; mov ecx, [ebx+0x50]", \
      .x = { { M64, low, OUT }, { M64, high, OUT + 8 }, { CX, flags, 0x3f } }, .d = { __VA_ARGS__ })
#define LL(high, low) ((u64)(high) << 32 | (low))

static void set_mxcsr(u32 v)
{
    poke32(DATA + 0x60, v);
}

static void values(void)
{
    enum { P1 = 0x3f800000, P2 = 0x40000000, P3 = 0x40400000, P4 = 0x40800000, N1 = 0xbf800000,
    INF = 0x7f800000, QNAN = 0xffc00000 };
    group("float");
    set_mxcsr(0x1f80);
    V("addps", "addps xmm0, xmm1", LL(P3, P2), LL(P4, P4), 0, P1, P1, P2, P3, P1, P2, P2, P1);
    V("addss keeps the rest", "addss xmm0, xmm1", LL(P1, P2), LL(P3, P2), 0, P1, P1, P2, P3, P1, P2, P2, P1);
    V("subss", "subss xmm0, xmm1", N1, 0, 0, P1, 0, 0, 0, P2);
    V("mulps", "mulps xmm0, xmm1", LL(0, P4), 0, 0, P2, 0, 0, 0, P2);
    V("divss 1/3", "divss xmm0, xmm1", 0x3eaaaaab, 0, PE, P1, 0, 0, 0, P3);
    V("divss by 0", "divss xmm0, xmm1", INF, 0, ZE, P1);
    V("0/0", "divss xmm0, xmm1", QNAN, 0, IE, 0);
    V("sqrtss", "sqrtss xmm0, xmm1", 0x3fb504f3, 0, PE, 0, 0, 0, 0, P2);
    V("sqrtss -1", "sqrtss xmm0, xmm1", QNAN, 0, IE, 0, 0, 0, 0, N1);
    V("overflow", "mulss xmm0, xmm1", INF, 0, OE | PE, 0x7f7fffff, 0, 0, 0, P2);
    V("underflow", "mulss xmm0, xmm1", 0, 0, UE | PE, 0x00800000, 0, 0, 0, 0x00800000);
    V("denormal", "addss xmm0, xmm1", 2, 0, DE, 1, 0, 0, 0, 1);
    V("signalling nan", "addss xmm0, xmm1", 0x7fc00001, 0, IE, 0x7f800001, 0, 0, 0, P1);
    V("first nan wins", "addss xmm0, xmm1", 0x7fc00002, 0, 0, 0x7fc00002, 0, 0, 0, 0x7fc00003);
    V("minss of equal zeros is the second", "minss xmm0, xmm1", 0x80000000, 0, 0, 0, 0, 0, 0, 0x80000000);
    V("maxss with nan is the second", "maxss xmm0, xmm1", P1, 0, IE, 0x7fc00000, 0, 0, 0, P1);
    V("cmpltps", "cmpltps xmm0, xmm1", LL(0, ~0u), 0, 0, P1, P2, 0, 0, P2, P1);
    V("cmpunordss quiet", "cmpunordss xmm0, xmm1", 0xffffffff, 0, 0, 0x7fc00000);
    V("shufps", "shufps xmm0, xmm1, 0x1b", LL(3, 4), LL(6, 5), 0, 1, 2, 3, 4, 6, 5, 7, 8);
    V("unpcklps", "unpcklps xmm0, xmm1", LL(5, 1), LL(6, 2), 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("andnps", "andnps xmm0, xmm1", LL(0, 0xf0), 0, 0, 0x0f, 0, 0, 0, 0xff);
    V("movhlps", "movhlps xmm0, xmm1", LL(8, 7), LL(4, 3), 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("movss register keeps", "movss xmm0, xmm1", LL(2, 5), LL(4, 3), 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("movss memory clears", "movss xmm0, [ebx+16]", 5, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("cvtsi2ss", "mov eax, 16777217; cvtsi2ss xmm0, eax", 0x4b800000, 0, PE, 0);
    group("double");
    V("addpd", "addpd xmm0, xmm1", 0x4008000000000000, 0x4000000000000000, 0, 0, 0x3ff00000, 0, 0x3ff00000,
      0, 0x40000000, 0, 0x3ff00000);
    V("divsd 1/3", "divsd xmm0, xmm1", 0x3fd5555555555555, 0, PE, 0, 0x3ff00000, 0, 0, 0, 0x40080000);
    V("sqrtsd 2", "sqrtsd xmm0, xmm1", 0x3ff6a09e667f3bcd, 0, PE, 0, 0, 0, 0, 0, 0x40000000);
    V("cvtss2sd", "cvtss2sd xmm0, xmm1", 0x3ff8000000000000, 0, 0, 0, 0, 0, 0, 0x3fc00000);
    V("cvtsd2ss rounds", "cvtsd2ss xmm0, xmm1", 0x40490fdb, 0, PE, 0, 0, 0, 0, 0x54442d18, 0x400921fb);
    V("cvtdq2pd", "cvtdq2pd xmm0, xmm1", 0x3ff0000000000000, 0xc000000000000000, 0, 0, 0, 0, 0, 1, (u32)-2);
    V("cvttps2dq", "cvttps2dq xmm0, xmm1", LL(0x80000000, 1), LL(0, 0xffffffff), IE | PE, 0, 0, 0, 0,
      0x3fe00000, 0x7f800000, 0xbf800000, 0);
    group("integer");
    V("paddb wraps", "paddb xmm0, xmm1", 0x00ff, 0, 0, 0xfffe, 0, 0, 0, 0x0101);
    V("paddsb saturates", "paddsb xmm0, xmm1", 0x807f, 0, 0, 0x807f, 0, 0, 0, 0xff01);
    V("psubusw", "psubusw xmm0, xmm1", 0x00010000, 0, 0, 0x00020001, 0, 0, 0, 0x00010002);
    V("pmullw pmulhw", "pmulhw xmm0, xmm1", 0xffff, 0, 0, 0x8000, 0, 0, 0, 2);
    V("pmuludq", "pmuludq xmm0, xmm1", 0xfffffffe00000001, 4, 0, ~0u, 0, 2, 0, ~0u, 0, 2);
    V("pmaddwd", "pmaddwd xmm0, xmm1", 11, 0, 0, 0x00020001, 0, 0, 0, 0x00040003);
    V("packsswb", "packsswb xmm0, xmm1", 0x807f, 0x01, 0, 0x80007fff, 0, 0, 0, 1);
    V("punpckhbw", "punpckhbw xmm0, xmm1", 0x0804070306020501, 0, 0, 0, 0, 0x04030201, 0, 0, 0, 0x08070605,
      0);
    V("pshufd", "pshufd xmm0, xmm1, 0x1b", LL(7, 8), LL(5, 6), 0, 0, 0, 0, 0, 5, 6, 7, 8);
    V("psllq by 64", "movd xmm1, [ebx+16]; psllq xmm0, xmm1", 0, 0, 0, 1, 0, 1, 0, 64);
    V("psrad by 40", "movd xmm1, [ebx+16]; psrad xmm0, xmm1", LL(0, ~0u), 0, 0, 0x80000000, 1, 0, 0, 40);
    V("pslldq", "pslldq xmm0, 5", 0x0302010000000000, 0x0000000000000004, 0, 0x04030201);
    V("psrldq 16", "psrldq xmm0, 16", 0, 0, 0, 1, 2, 3, 4);
    V("pmovmskb", "pmovmskb eax, xmm0; movd xmm0, eax", 0x8001, 0, 0, 0x80, 0, 0, 0x80000000);
    V("pcmpgtb signed", "pcmpgtb xmm0, xmm1", 0xff00, 0, 0, 0x0180, 0, 0, 0, 0x0000);
    V("pavgb", "pavgb xmm0, xmm1", 0x02, 0, 0, 1, 0, 0, 0, 2);
    V("psadbw", "psadbw xmm0, xmm1", 3, 0, 0, 0x0201, 0, 0, 0, 0);
    V("pextrw pinsrw", "pextrw eax, xmm1, 2; pinsrw xmm0, eax, 7", 0, 0x0006000000000000, 0, 0, 0, 0, 0, 5,
      6);
    V("movq register clears the high half", "movq xmm0, xmm1", LL(6, 5), 0, 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("movdqa", "movdqa xmm0, [ebx+16]", LL(6, 5), LL(8, 7), 0, 1, 2, 3, 4, 5, 6, 7, 8);
    V("movnti, maskmovdqu", "mov edi, ebx; maskmovdqu xmm0, xmm1; movups xmm0, [ebx]", LL(2, 1), LL(4, 3),
      0, 1, 2, 3, 4, 0x80);
}

static void rounding(void)
{
    group("rounding");
    static const struct { const char *name; u32 mxcsr, plus, minus, third; } rows[] = {
        { "nearest", 0x1f80, 2, (u32)-2, 0x3eaaaaab }, { "down", 0x3f80, 2, (u32)-3, 0x3eaaaaaa },
        { "up", 0x5f80, 3, (u32)-2, 0x3eaaaaab }, { "zero", 0x7f80, 2, (u32)-2, 0x3eaaaaaa },
    };
    for (size_t i = 0; i < 4; i++) {
        set_mxcsr(rows[i].mxcsr);
        T(rows[i].name, P32, "ldmxcsr [ebx+0x60]; cvtss2si eax, [ebx]; cvtss2si ecx, [ebx+4]; "
          "movss xmm0, [ebx+8]; divss xmm0, [ebx+12]; movd edx, xmm0",
          .d = { 0x40200000, 0xc0200000, 0x3f800000, 0x40400000 }, .x = { { AX, rows[i].plus }, { CX,
          rows[i].minus }, { DX, rows[i].third } });
    }
    set_mxcsr(0x9f80);
    T("flush to zero", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; mulss xmm0, [ebx+4]; movd eax, xmm0; "
      "stmxcsr [ebx+8]", .d = { 0x00800000, 0xbf000000 },
      .x = { { AX, 0x80000000 }, { M32, 0x9fb0, DATA + 8 } });
    set_mxcsr(0x1fc0);
    T("denormals are zero", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; addss xmm0, xmm0; movd eax, xmm0; "
      "stmxcsr [ebx+8]", .d = { 0x00400000 },
      .x = { { AX, 0 }, { M32, 0x1fc0, DATA + 8 } });
    set_mxcsr(0x1f80);
    T("flags are sticky", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; divss xmm0, [ebx+4]; "
      "addss xmm0, xmm0; stmxcsr [ebx+8]", .d = { 0x3f800000, 0 },
      .x = { { M32, 0x1f84, DATA + 8 } });
    T("cvttsd2si out of range", P32, "cvttsd2si eax, [ebx]", .d = { 0, 0x43e00000 }, .x = { { AX,
      0x80000000 } });
    T("comiss", P32, "movss xmm0, [ebx]; comiss xmm0, [ebx+4]; setb al; setz ah", .d = { 0x3f800000,
      0x40000000 }, .x = { { AX, 1 } });
    T("ucomisd nan, other flags cleared", P32, "movsd xmm0, [ebx]; ucomisd xmm0, xmm0; pushfd; pop eax; "
      "and eax, 0x8d5", .fl = OF | SF | AF,
      .d = { 0, 0x7ff80000 }, .x = { { AX, CF | PF | ZF } });
}

static void exceptions(void)
{
    group("exceptions");
    set_mxcsr(0x1f80 & ~0x200);
    T("#XM by a division by zero", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; 99: divss xmm0, [ebx+4]",
      .d = { 0x3f800000, 0 }, .vec = V_XM);
    T("destination is kept, flag set", P32, "ldmxcsr [ebx+0x60]; fninit; movss xmm0, [ebx]; "
      "99: divss xmm0, [ebx+4]", .d = { 0x40000000, 0 }, .vec = V_XM);
    T("the flag", P32, "movd eax, xmm0; stmxcsr [ebx]; mov ecx, [ebx]", .x = { { AX, 0x40000000 }, { CX,
      0x1d84 } });
    T("other exceptions stay masked", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; divss xmm0, [ebx+4]",
      .d = { 0x3f800000, 0x40400000 });
    cr4_set(cr4_get() & ~0x400u);
    T("#UD without osxmmexcpt", P32, "ldmxcsr [ebx+0x60]; movss xmm0, [ebx]; 99: divss xmm0, [ebx+4]",
      .d = { 0x3f800000, 0 }, .vec = V_UD);
    cr4_set(cr4_get() | 0x400);
    set_mxcsr(0x1f80);
    T("ldmxcsr reserved bits", P32, "ldmxcsr [ebx+0x60]; 99: ldmxcsr [ebx]", .d = { 0x80000000 },
      .vec = V_GP);
    T("movaps not aligned", P32, "movaps xmm0, [ebx+4]", .vec = V_GP);
    T("movaps store not aligned", P32U, "movaps [ebx+8], xmm0", .vec = V_GP);
    T("addps memory not aligned", P32, "addps xmm0, [ebx+4]", .vec = V_GP);
    T("movups anywhere", P32, "movups xmm0, [ebx+1]; movdqu [ebx+0x43], xmm0");
    T("movlps anywhere", P32, "movlps xmm0, [ebx+1]");
    T("movntps not aligned", P32, "movntps [ebx+4], xmm0", .vec = V_GP);
    T("limit before alignment", P16U, "movaps xmm0, [ebx]", .bx = 0xfff8, .vec = V_GP);
    cr0_set(cr0_get() | 8);
    T("#NM by ts", P32U, "addps xmm0, xmm1", .vec = V_NM);
    T("#NM for ldmxcsr", P32U, "ldmxcsr [ebx]", .d = { 0x1f80 }, .vec = V_NM);
    T("#NM for fxsave", P32, "fxsave [ebx]", .vec = V_NM);
    T("prefetch and sfence do not care", P32U, "prefetchnta [ebx]; sfence; lfence; mfence; "
      "movnti [ebx], eax; pause; clflush [ebx]");
    cr0_set((cr0_get() & ~8u) | 4);
    T("#UD by em", P32U, "addps xmm0, xmm1", .vec = V_UD);
    cr0_set(cr0_get() & ~4u);
    cr4_set(cr4_get() & ~0x200u);
    T("#UD without osfxsr", P32U, "addps xmm0, xmm1", .vec = V_UD);
    T("#UD movdqa without osfxsr", P32U, "movdqa xmm0, xmm1", .vec = V_UD);
    cr4_set(cr4_get() | 0x200);
    T("lock", P32U, ".byte 0xf0, 0x0f, 0x58, 0x03", .vec = V_UD);
}

static void images(void)
{
    group("fxsave");
    set_mxcsr(0x1f80);
    T("xmm registers and mxcsr", P32, "ldmxcsr [ebx+0x60]; movups xmm0, [ebx]; movaps xmm7, xmm0; fninit; "
      "fxsave [ebx+0x100]; xorps xmm7, xmm7;"
      "fxrstor [ebx+0x100]; movups [ebx+0x40], xmm7", .d = { 1, 2, 3, 4 }, .x = { { M64, LL(2, 1),
      DATA + 0x100 + 160 + 112 },
      { M32, 0x1f80, DATA + 0x100 + 24 }, { M64, LL(4, 3), OUT + 8 } });
    T("fxrstor with a bad mxcsr", P32, "fxsave [ebx+0x100]; mov dword ptr [ebx+0x118], 0x80000000; "
      "99: fxrstor [ebx+0x100]", .vec = V_GP);
    if (!HAS_LM)
        return;
    T("xmm15 in long mode", L64U, "movups xmm15, [rbx]; movaps xmm8, xmm15; fxsave [rbx+0x100]; "
      "pxor xmm15, xmm15; fxrstor [rbx+0x100]; movups [rbx+0x40], xmm15",
      .d = { 5, 6, 7, 8 }, .x = { { M64, LL(6, 5), OUT }, { M64, LL(8, 7), DATA + 0x100 + 160 + 128 + 8 } });
    T("movq with rex.w", L64U, "mov rax, 0x1122334455667788; movq xmm9, rax; movq rcx, xmm9", .x = { { CX,
      0x1122334455667788 } });
    T("cvtsi2sd 64", L64U, "mov rax, 0x20000000000001; cvtsi2sd xmm0, rax; movq rcx, xmm0; "
      "cvttsd2si rdx, xmm0", .x = { { CX, 0x4340000000000000 },
      { DX, 0x20000000000000 } });
}

void program(const char *line)
{
    (void)line;
    if (!cpu_has(1, 3, 26)) {
        check("no SSE2 to test", cpu_has(1, 3, 26), 0);
        return;
    }
    cr0_set((cr0_get() & ~12u) | 0x22);
    cr4_set(cr4_get() | 0x600);
    values();
    rounding();
    exceptions();
    images();
}
