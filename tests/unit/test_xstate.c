/* XSAVE and its family, XCR0, FS and GS bases: SDM vol. 1, chapter 13, and vol. 2. */
#include <check.h>

#include "cpu/x87.h"
#include "cpu_fixture.h"

enum { C = CF_CODE, AREA = 0x20000, FILL = 0xcc, BV = AREA + 512, COMP = AREA + 520, AVX_AT = AREA + 576,
       PKRU_AT = AREA + 2688 };

static void give(unsigned feature)
{
    cpu_features_set(&cf.cpu->features, feature, true);
}

/* All components, enabled; the area filled with FILL under an empty header. */
static void engine(int i)
{
    static const uint8_t features[] = { FEAT_XSAVE, FEAT_XSAVEOPT, FEAT_XSAVEC, FEAT_XGETBV1, FEAT_XSAVES,
                                        FEAT_AVX, FEAT_PKU, FEAT_FSGSBASE, FEAT_RDPID };

    cf_setup_engine(i & 1);
    for (unsigned f = 0; f < ARRAY_LEN(features); f++)
        give(features[f]);
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    cf.cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_PKRU;
    fpu_init(cf.cpu);
    for (unsigned n = 0; n < 3072; n++)
        cf_poke(AREA + n, FILL, 1);
    for (unsigned n = 0; n < 64; n++)
        cf_poke(BV + n, 0, 1);
    cf.cpu->gpr[R_BX] = AREA;
    cf.cpu->gpr[R_AX] = UINT32_MAX;
    cf.cpu->gpr[R_DX] = UINT32_MAX;
}

static void some_state(void)
{
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 16; j++) {
            cf.cpu->xmm[i].u8[j] = (uint8_t)(16 * i + j);
            cf.cpu->ymmh[i].u8[j] = (uint8_t)(0xff - 16 * i - j);
        }
    cf.cpu->fpu.cw = 0x27f;
    cf.cpu->fpu.top = 6;
    cf.cpu->fpu.empty = 0x3f;
    cf.cpu->fpu.st[6].mant = UINT64_C(0x8000000000000001);
    cf.cpu->fpu.st[6].exp = 0x3fff;
    cf.cpu->pkru = 0x12345678;
    cpu_set_mxcsr(cf.cpu, 0x1fa1);
}

static void clear_state(void)
{
    memset(cf.cpu->xmm, 0xee, sizeof(cf.cpu->xmm));
    memset(cf.cpu->ymmh, 0xee, sizeof(cf.cpu->ymmh));
    fpu_init(cf.cpu);
    cf.cpu->pkru = 1;
    cpu_set_mxcsr(cf.cpu, 0x1f80);
}

#define RUN(...) \
    do { \
        CF_CODE_AT(C, __VA_ARGS__, CF_STOP); \
        cf_run(C); \
    } while (0)

#define XGETBV 0x0f, 0x01, 0xd0
#define XSETBV 0x0f, 0x01, 0xd1
#define XSAVE 0x0f, 0xae, 0x23      /* all with [ebx] */
#define XRSTOR 0x0f, 0xae, 0x2b
#define XSAVEOPT 0x0f, 0xae, 0x33
#define XSAVEC 0x0f, 0xc7, 0x23
#define XSAVES 0x0f, 0xc7, 0x2b
#define XRSTORS 0x0f, 0xc7, 0x1b

static void put_insn(const uint8_t insn[3])
{
    static const uint8_t stop[] = { CF_STOP };

    cf_code(C, insn, 3);
    cf_code(C + 3, stop, sizeof(stop));
}

/* Run one instruction with EDX:EAX = mask; the vector it raised, or -1. */
static int run_one(const uint8_t insn[3], uint64_t mask)
{
    put_insn(insn);
    cf.cpu->gpr[R_AX] = (uint32_t)mask;
    cf.cpu->gpr[R_DX] = mask >> 32;
    cf_run(C);
    return cf_last_vector();
}
#define ONE(insn, mask) run_one((const uint8_t[]){ insn }, mask)

static const uint8_t all_insns[][3] = {
    { XGETBV }, { XSAVE }, { XRSTOR }, { XSAVEOPT }, { XSAVEC }, { XSAVES }, { XRSTORS }, { XSETBV },
};

START_TEST(test_undefined_without_osxsave)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_OSFXSR);
    cf.cpu->cr0 |= CR0_TS;
    cpu_update_mode(cf.cpu);
    for (unsigned i = 0; i < ARRAY_LEN(all_insns); i++)
        ck_assert_int_eq(run_one(all_insns[i], 7), EX_UD);
}
END_TEST

START_TEST(test_not_available)
{
    engine(_i);
    cf.cpu->cr0 |= CR0_TS;
    cpu_update_mode(cf.cpu);
    for (unsigned i = 1; i < ARRAY_LEN(all_insns) - 1; i++)
        ck_assert_int_eq(run_one(all_insns[i], 7), EX_NM);
    ck_assert_int_eq(ONE(XGETBV, 0), -1);
}
END_TEST

START_TEST(test_absent_features)
{
    static const uint8_t feature[] = { FEAT_XSAVE, FEAT_XSAVE, FEAT_XSAVE, FEAT_XSAVEOPT, FEAT_XSAVEC,
                                       FEAT_XSAVES, FEAT_XSAVES, FEAT_XSAVE };

    for (unsigned i = 0; i < ARRAY_LEN(all_insns); i++) {
        engine(_i);
        cpu_features_set(&cf.cpu->features, feature[i], false);
        ck_assert_int_eq(run_one(all_insns[i], 7), EX_UD);
        cf_teardown();
    }
    engine(_i);
}
END_TEST

START_TEST(test_xsetbv)
{
    static const struct { uint64_t value; bool good; } t[] = {
        { 1, true }, { 3, true }, { 7, true }, { 0x207, true }, { 0x203, true }, { 0x201, true },
        { 0, false }, { 2, false }, { 6, false }, { 5, false }, { 0xb, false }, { 0xe7, false },
        { 0x107, false }, { 0x8000000000000007, false },
    };

    engine(_i);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        cf.cpu->xcr0 = 1;
        cf.cpu->gpr[R_CX] = 0;
        ck_assert_int_eq(ONE(XSETBV, t[i].value), t[i].good ? -1 : EX_GP);
        ck_assert_uint_eq(cf.cpu->xcr0, t[i].good ? t[i].value : 1);
        ck_assert_uint_eq(!!(cf.cpu->mode & MODE_AVX), t[i].good && (t[i].value & 4));
    }
    cf.cpu->gpr[R_CX] = 1;
    ck_assert_int_eq(ONE(XSETBV, 7), EX_GP);
    cf.cpu->gpr[R_CX] = 0;
    cpu_features_set(&cf.cpu->features, FEAT_AVX, false);
    ck_assert_int_eq(ONE(XSETBV, 7), EX_GP);
    cf_enter_user();
    ck_assert_int_eq(ONE(XSETBV, 3), EX_GP);
}
END_TEST

START_TEST(test_xgetbv)
{
    engine(_i);
    cf.cpu->gpr[R_CX] = 0;
    ck_assert_int_eq(ONE(XGETBV, UINT64_MAX), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x207);
    ck_assert_uint_eq(cf.cpu->gpr[R_DX], 0);
    cf.cpu->gpr[R_CX] = 1;
    ck_assert_int_eq(ONE(XGETBV, 0), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0);
    cf.cpu->ymmh[7].u8[15] = 1;
    cf.cpu->xmm[0].u8[0] = 1;
    ck_assert_int_eq(ONE(XGETBV, 0), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 6);
    cf.cpu->gpr[R_CX] = 2;
    ck_assert_int_eq(ONE(XGETBV, 0), EX_GP);
}
END_TEST

/* Where everything lies in the standard format, and that nothing else is written. */
START_TEST(test_xsave_layout)
{
    engine(_i);
    some_state();
    for (unsigned i = 0; i < 16; i++)
        cf_poke(BV + 8 + i, FILL, 1);
    ck_assert_int_eq(ONE(XSAVE, UINT64_MAX), -1);
    ck_assert_uint_eq(cf_peek(AREA, 2), 0x27f);
    ck_assert_uint_eq(cf_peek(AREA + 2, 2), 6 << 11);
    ck_assert_uint_eq(cf_peek(AREA + 4, 2), 0xc0);
    ck_assert_uint_eq(cf_peek(AREA + 24, 4), 0x1fa1);
    ck_assert_uint_eq(cf_peek(AREA + 28, 4), 0xffff);
    ck_assert_uint_eq(cf_peek(AREA + 32, 8), UINT64_C(0x8000000000000001));
    ck_assert_uint_eq(cf_peek(AREA + 40, 2), 0x3fff);
    ck_assert_uint_eq(cf_peek(AREA + 160 + 16, 8), UINT64_C(0x1716151413121110));
    ck_assert_uint_eq(cf_peek(AREA + 160 + 128, 1), FILL); /* 32-bit code: XMM0 to XMM7 */
    ck_assert_uint_eq(cf_peek(AREA + 416, 1), FILL);
    ck_assert_uint_eq(cf_peek(BV, 8), 0x207);
    ck_assert_uint_eq(cf_peek(COMP, 8), UINT64_C(0xcccccccccccccccc));
    ck_assert_uint_eq(cf_peek(AVX_AT, 8), UINT64_C(0xf8f9fafbfcfdfeff));
    ck_assert_uint_eq(cf_peek(AVX_AT + 127, 1), 0x80);
    ck_assert_uint_eq(cf_peek(AVX_AT + 128, 1), FILL);
    ck_assert_uint_eq(cf_peek(PKRU_AT - 1, 1), FILL);
    ck_assert_uint_eq(cf_peek(PKRU_AT, 8), 0x12345678);
    ck_assert_uint_eq(cf_peek(PKRU_AT + 8, 1), FILL);
}
END_TEST

START_TEST(test_xsave_parts)
{
    engine(_i);
    some_state();
    cf_poke(BV, 0x7, 8);
    cpu_set_mxcsr(cf.cpu, 0x1f80);
    memset(cf.cpu->ymmh, 0, sizeof(cf.cpu->ymmh));
    ck_assert_int_eq(ONE(XSAVE, XCR0_AVX), -1); /* written, but in its initial state */
    ck_assert_uint_eq(cf_peek(BV, 8), 3);
    ck_assert_uint_eq(cf_peek(AVX_AT, 8), 0);
    ck_assert_uint_eq(cf_peek(AREA + 24, 8), UINT64_C(0xffff00001f80));
    ck_assert_uint_eq(cf_peek(AREA, 1), FILL);
    ck_assert_uint_eq(cf_peek(AREA + 160, 1), FILL);
    ck_assert_int_eq(ONE(XSAVE, XCR0_X87 | 0xfc00), -1);
    ck_assert_uint_eq(cf_peek(AREA, 2), 0x27f);
    ck_assert_uint_eq(cf_peek(AREA + 160, 1), FILL);
    ck_assert_uint_eq(cf_peek(PKRU_AT, 1), FILL);
}
END_TEST

/* Components in their initial state are not written; MXCSR is. */
START_TEST(test_xsaveopt)
{
    engine(_i);
    cf.cpu->xmm[3].u8[0] = 1;
    cpu_set_mxcsr(cf.cpu, 0x1fa0);
    cf_poke(BV, 0x205, 8);
    ck_assert_int_eq(ONE(XSAVEOPT, 7), -1);
    ck_assert_uint_eq(cf_peek(BV, 8), 0x202);
    ck_assert_uint_eq(cf_peek(AREA, 1), FILL);
    ck_assert_uint_eq(cf_peek(AREA + 24, 4), 0x1fa0);
    ck_assert_uint_eq(cf_peek(AREA + 160, 1), 0);
    ck_assert_uint_eq(cf_peek(AREA + 160 + 48, 1), 1);
    ck_assert_uint_eq(cf_peek(AVX_AT, 1), FILL);
    ck_assert_uint_eq(cf_peek(PKRU_AT, 1), FILL);
}
END_TEST

/* The header and format of XSAVEC and XSAVES: PKRU stands behind AVX, or where that would be. */
START_TEST(test_compact_format)
{
    static const uint8_t insn[2][3] = { { XSAVEC }, { XSAVES } };

    engine(_i);
    some_state();
    memset(cf.cpu->xmm, 0, sizeof(cf.cpu->xmm));
    cpu_set_mxcsr(cf.cpu, 0x1f80);
    cf_poke(BV, UINT64_MAX, 8);
    cf_poke(BV + 16, FILL, 1);
    ck_assert_int_eq(run_one(insn[_i / 2], 0x206), -1);
    ck_assert_uint_eq(cf_peek(BV, 8), 0x204);
    ck_assert_uint_eq(cf_peek(COMP, 8), UINT64_C(0x8000000000000206));
    ck_assert_uint_eq(cf_peek(BV + 16, 1), FILL);
    ck_assert_uint_eq(cf_peek(AREA + 24, 1), FILL); /* SSE is in its initial state, with MXCSR */
    ck_assert_uint_eq(cf_peek(AREA + 160, 1), FILL);
    ck_assert_uint_eq(cf_peek(AVX_AT, 1), 0xff);
    ck_assert_uint_eq(cf_peek(AVX_AT + 256, 8), 0x12345678);
    cpu_set_mxcsr(cf.cpu, 0x1f81);
    ck_assert_int_eq(run_one(insn[_i / 2], 0x202), -1);
    ck_assert_uint_eq(cf_peek(BV, 8), 0x202);
    ck_assert_uint_eq(cf_peek(AREA + 24, 4), 0x1f81);
    ck_assert_uint_eq(cf_peek(AREA + 160, 1), 0);
    ck_assert_uint_eq(cf_peek(AVX_AT, 8), 0x12345678);
    /* AVX in the format, but unused: its place is kept and left alone */
    memset(cf.cpu->ymmh, 0, sizeof(cf.cpu->ymmh));
    cf_poke(AVX_AT, FILL, 1);
    cf_poke(AVX_AT + 256, 0, 8);
    ck_assert_int_eq(run_one(insn[_i / 2], 0x204), -1);
    ck_assert_uint_eq(cf_peek(AVX_AT, 1), FILL);
    ck_assert_uint_eq(cf_peek(AVX_AT + 256, 4), 0x12345678);
}
END_TEST

/* What each of the four stores, its load brings back. */
START_TEST(test_round_trip)
{
    static const uint8_t pair[][2][3] = { { { XSAVE }, { XRSTOR } }, { { XSAVEOPT }, { XRSTOR } },
                                          { { XSAVEC }, { XRSTOR } }, { { XSAVES }, { XRSTORS } } };
    union vec128 xmm[16], ymmh[16];
    struct fpu fpu;

    engine(_i);
    some_state();
    memcpy(xmm, cf.cpu->xmm, sizeof(xmm));
    memcpy(ymmh, cf.cpu->ymmh, sizeof(ymmh));
    fpu = cf.cpu->fpu;
    ck_assert_int_eq(run_one(pair[_i / 2][0], UINT64_MAX), -1);
    clear_state();
    ck_assert_int_eq(run_one(pair[_i / 2][1], UINT64_MAX), -1);
    ck_assert_mem_eq(xmm, cf.cpu->xmm, 128);
    ck_assert_mem_eq(ymmh, cf.cpu->ymmh, 128);
    ck_assert_uint_eq(cf.cpu->xmm[8].u8[0], 0xee);
    ck_assert_uint_eq(cf.cpu->ymmh[8].u8[0], 0xee);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), 0x1fa1);
    ck_assert_uint_eq(cf.cpu->pkru, 0x12345678);
    ck_assert_uint_eq(cf.cpu->fpu.cw, fpu.cw);
    ck_assert_uint_eq(cf.cpu->fpu.top, fpu.top);
    ck_assert_uint_eq(cf.cpu->fpu.empty, fpu.empty);
    ck_assert_mem_eq(cf.cpu->fpu.st, fpu.st, sizeof(fpu.st));
}
END_TEST

START_TEST(test_restore_initial)
{
    engine(_i);
    some_state();
    cf_poke(AREA + 24, 0x1fbf, 4);
    ck_assert_int_eq(ONE(XRSTOR, XCR0_X87 | XCR0_AVX), -1);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0xff);
    ck_assert_uint_eq(cf.cpu->fpu.st[6].mant, 0);
    ck_assert_uint_eq(cf.cpu->xmm[1].u8[0], 0x10);
    ck_assert_uint_eq(cf.cpu->ymmh[1].u8[0], 0);
    ck_assert_uint_eq(cf.cpu->pkru, 0x12345678);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), 0x1fbf); /* standard format: from memory, whatever XSTATE_BV */
    ck_assert_int_eq(ONE(XRSTOR, XCR0_SSE | XCR0_PKRU), -1);
    ck_assert_uint_eq(cf.cpu->xmm[1].u8[0], 0);
    ck_assert_uint_eq(cf.cpu->pkru, 0);
    some_state();
    cf_poke(COMP, UINT64_C(0x8000000000000001), 8);
    ck_assert_int_eq(ONE(XRSTOR, XCR0_AVX), -1); /* compacted format: MXCSR belongs to SSE alone */
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), 0x1fa1);
    ck_assert_int_eq(ONE(XRSTOR, XCR0_SSE), -1);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), 0x1f80);
}
END_TEST

/* A bad header or MXCSR: #GP, and nothing changes. */
START_TEST(test_bad_areas)
{
    static const struct {
        bool s;
        uint64_t bv, comp, third, last;
        uint32_t mxcsr;
        uint64_t mask;
        int vector;
    } t[] = {
        { false, 7, 0, 0, 0, 0x1f80, 7, -1 },
        { false, 0xf, 0, 0, 0, 0x1f80, 7, EX_GP },
        { false, UINT64_C(1) << 63, 0, 0, 0, 0x1f80, 7, EX_GP },
        { false, 7, 1, 0, 0, 0x1f80, 7, EX_GP },
        { false, 7, 0, 1, 0, 0x1f80, 7, EX_GP },
        { false, 7, 0, 0, 1, 0x1f80, 7, -1 },               /* standard format: only bytes 23:8 must be 0 */
        { false, 7, 0, 0, 0, 0x11f80, 7, EX_GP },
        { false, 0, 0, 0, 0, 0x11f80, 4, EX_GP },
        { false, 7, 0, 0, 0, 0x11f80, 1, -1 },
        { false, 3, UINT64_C(0x8000000000000007), 0, 0, 0x1f80, 7, -1 },
        { false, 7, UINT64_C(0x8000000000000003), 0, 0, 0x1f80, 7, EX_GP },
        { false, 3, UINT64_C(0x800000000000000f), 0, 0, 0x1f80, 7, EX_GP },
        { false, 3, UINT64_C(0x8000000000000007), 1, 0, 0x1f80, 7, EX_GP },
        { false, 3, UINT64_C(0x8000000000000007), 0, 1, 0x1f80, 7, EX_GP },
        { false, 2, UINT64_C(0x8000000000000007), 0, 0, 0x11f80, 7, EX_GP },
        { false, 4, UINT64_C(0x8000000000000007), 0, 0, 0x11f80, 7, -1 },
        { true, 7, 0, 0, 0, 0x1f80, 7, EX_GP },
        { true, 7, UINT64_C(0x8000000000000007), 0, 0, 0x1f80, 7, -1 },
        { true, 7, UINT64_C(0x8000000000000107), 0, 0, 0x1f80, 7, EX_GP },
    };

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        engine(_i);
        some_state();
        cf_poke(AREA + 24, t[i].mxcsr, 4);
        cf_poke(BV, t[i].bv, 8);
        cf_poke(COMP, t[i].comp, 8);
        cf_poke(COMP + 8, t[i].third, 8);
        cf_poke(BV + 56, t[i].last, 8);
        int got = t[i].s ? ONE(XRSTORS, t[i].mask) : ONE(XRSTOR, t[i].mask);
        ck_assert_msg(got == t[i].vector, "row %u: %d", i, got);
        if (got == EX_GP) {
            ck_assert_uint_eq(cf.cpu->fpu.cw, 0x27f);
            ck_assert_uint_eq(cf.cpu->xmm[1].u8[0], 0x10);
            ck_assert_uint_eq(cf.cpu->ymmh[0].u8[0], 0xff);
            ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), 0x1fa1);
        }
        cf_teardown();
    }
    engine(_i);
}
END_TEST

START_TEST(test_alignment)
{
    engine(_i);
    for (unsigned i = 1; i < ARRAY_LEN(all_insns) - 1; i++) {
        cf.cpu->gpr[R_BX] = AREA + 32;
        ck_assert_int_eq(run_one(all_insns[i], 7), EX_GP);
    }
    seg_set_cache(cf.cpu, S_DS, CF_KDATA, 32, UINT32_MAX, cf.cpu->seg[S_DS].attr);
    cpu_update_mode(cf.cpu);
    ck_assert_int_eq(ONE(XSAVE, 7), -1); /* the linear address counts */
}
END_TEST

START_TEST(test_supervisor_only)
{
    engine(_i);
    cf_enter_user();
    ck_assert_int_eq(ONE(XSAVES, 7), EX_GP);
    ck_assert_int_eq(ONE(XRSTORS, 7), EX_GP);
    ck_assert_int_eq(ONE(XSAVEC, 7), -1);
    ck_assert_int_eq(ONE(XRSTOR, 7), -1);
}
END_TEST

START_TEST(test_segment_limit)
{
    engine(_i);
    cf.cpu->gpr[R_BX] = 0;
    seg_set_cache(cf.cpu, S_DS, CF_KDATA, AREA, 831, ATTR_P | ATTR_S | ATTR_W | ATTR_A | ATTR_DB);
    cpu_update_mode(cf.cpu);
    ck_assert_int_eq(ONE(XSAVE, 7), -1);
    ck_assert_int_eq(ONE(XRSTOR, 7), -1);
    seg_set_cache(cf.cpu, S_DS, CF_KDATA, AREA, 575 + 127, ATTR_P | ATTR_S | ATTR_W | ATTR_A | ATTR_DB);
    cf_poke(AREA, FILL, 1);
    ck_assert_int_eq(ONE(XSAVE, 7), EX_GP);
    ck_assert_uint_eq(cf_peek(AREA, 1), FILL);
    ck_assert_int_eq(ONE(XSAVE, 3), -1);
    cf_poke(BV, 4, 8);
    ck_assert_int_eq(ONE(XRSTOR, 7), EX_GP);
}
END_TEST

/* A fault in the last component: nothing was written, nothing was loaded. */
START_TEST(test_page_fault)
{
    engine(_i);
    some_state();
    cf_page_32();
    cf.cpu->gpr[R_BX] = AREA + 0x1000 - 576;
    cf_poke(AREA + 0x1000 - 576, FILL, 1);
    cf_poke(CF_PTE(AREA + 0x1000), 0, 4);
    for (unsigned n = 0; n < 64; n++)
        cf_poke(AREA + 0x1000 - 64 + n, 0, 1);
    ck_assert_int_eq(ONE(XSAVE, 7), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, AREA + 0x1000);
    ck_assert_uint_eq(cf_peek(AREA + 0x1000 - 576, 1), FILL);
    ck_assert_uint_eq(cf_peek(AREA + 0x1000 - 64, 8), 0);
    ck_assert_int_eq(ONE(XSAVE, 3), -1);
    clear_state();
    cf_poke(AREA + 0x1000 - 64, 7, 8);
    ck_assert_int_eq(ONE(XRSTOR, 7), EX_PF);
    ck_assert_uint_eq(cf.cpu->xmm[0].u8[0], 0xee);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f);
    ck_assert_int_eq(ONE(XRSTOR, 3), -1);
    ck_assert_uint_eq(cf.cpu->xmm[0].u8[1], 1);
}
END_TEST

static void engine64(int i)
{
    engine(i);
    cf_enter_long();
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_OSXSAVE | CR4_FSGSBASE);
}

START_TEST(test_64_bit)
{
    engine64(_i);
    some_state();
    cf.cpu->fpu.fip = UINT64_C(0x123456789abc);
    cf.cpu->fpu.fcs = 0x33;
    ck_assert_int_eq(ONE(XSAVE, 7), -1);
    ck_assert_uint_eq(cf_peek(AREA + 160 + 15 * 16, 1), 0xf0);
    ck_assert_uint_eq(cf_peek(AVX_AT + 15 * 16, 1), 0x0f);
    ck_assert_uint_eq(cf_peek(AREA + 8, 8), UINT64_C(0x3356789abc)); /* FCS and 32 bits */
    RUN(0x48, XSAVE);
    ck_assert_uint_eq(cf_peek(AREA + 8, 8), UINT64_C(0x123456789abc));
    clear_state();
    RUN(0x48, XRSTOR);
    ck_assert_uint_eq(cf.cpu->xmm[15].u8[0], 0xf0);
    ck_assert_uint_eq(cf.cpu->ymmh[15].u8[0], 0x0f);
    ck_assert_uint_eq(cf.cpu->fpu.fip, UINT64_C(0x123456789abc));
    cf.cpu->gpr[R_BX] = UINT64_C(0x0000800000000000);
    ck_assert_int_eq(ONE(XSAVE, 7), EX_GP);
}
END_TEST

#define REX_W 0x48

START_TEST(test_fsgsbase)
{
    engine64(_i);
    cf.cpu->gpr[R_AX] = UINT64_C(0xffff8123456789ab);
    RUN(REX_W, 0xf3, 0x0f, 0xae, 0xd0); /* a REX prefix before another prefix does not count */
    ck_assert_uint_eq(cf.cpu->seg[S_FS].base, 0x456789ab);
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xd0); /* wrfsbase rax */
    ck_assert_uint_eq(cf.cpu->seg[S_FS].base, UINT64_C(0xffff8123456789ab));
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xc1, 0xf3, 0x0f, 0xae, 0xc2); /* rdfsbase rcx; rdfsbase edx */
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], UINT64_C(0xffff8123456789ab));
    ck_assert_uint_eq(cf.cpu->gpr[R_DX], 0x456789ab);
    cf.cpu->gpr[R_SI] = 0x7000;
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xde, 0xf3, REX_W, 0x0f, 0xae, 0xcf); /* wrgsbase rsi; rdgsbase rdi */
    ck_assert_uint_eq(cf.cpu->gpr[R_DI], 0x7000);
    cf.cpu->gpr[R_AX] = BIT(60);
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xd0);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 & ~(uint64_t)CR4_FSGSBASE);
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xd0);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(0xf3, REX_W, 0x0f, 0xae, 0xc0);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

START_TEST(test_fsgsbase_32)
{
    engine(_i);
    cpu_write_cr4(cf.cpu, CR4_FSGSBASE);
    RUN(0xf3, 0x0f, 0xae, 0xc0);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

START_TEST(test_rdpid)
{
    engine(_i);
    cf.cpu->tsc_aux = 0x12345;
    RUN(0xf3, 0x0f, 0xc7, 0xf9); /* rdpid ecx */
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0x12345);
    cf_teardown();
    engine64(_i);
    cf.cpu->tsc_aux = 0x54321;
    cf.cpu->gpr[R_CX] = UINT64_MAX;
    RUN(0xf3, 0x0f, 0xc7, 0xf9);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0x54321);
}
END_TEST

/* ---- MONITOR, MWAIT ---- */

#define MONITOR 0x0f, 0x01, 0xc8
#define MWAIT 0x0f, 0x01, 0xc9

static void monitor_engine(int i)
{
    engine(i);
    give(FEAT_MONITOR);
    cf.cpu->gpr[R_AX] = AREA + 5;
    cf.cpu->gpr[R_CX] = cf.cpu->gpr[R_DX] = 0;
}

START_TEST(test_monitor_refused)
{
    monitor_engine(_i);
    cf.cpu->gpr[R_CX] = 1;
    RUN(MONITOR);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cf.cpu->gpr[R_CX] = 2;
    RUN(MWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cf_enter_user();
    RUN(MONITOR);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    cf_enter_user();
    RUN(MWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    cf_teardown();
    monitor_engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(AREA), 0, 4);
    RUN(MONITOR);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    cpu_features_set(&cf.cpu->features, FEAT_MONITOR, false);
    RUN(0x90, MWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

/* Every way out of MWAIT leads to the next instruction. */
START_TEST(test_mwait_ends)
{
    monitor_engine(_i);
    RUN(MWAIT, 0x41); /* nothing is watched; inc ecx */
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
    cf.cpu->gpr[R_CX] = 0;
    RUN(MONITOR, 0xc6, 0x03, 0x55, MWAIT, 0x41); /* the line was written */
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
    cf.cpu->gpr[R_CX] = 0;
    RUN(MONITOR, MWAIT, 0x41); /* after a while */
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
    ck_assert_uint_eq(cf.cpu->halted, HALT_NONE);
}
END_TEST

/* STI, MWAIT: the interrupt is taken between MWAIT and the next instruction. */
START_TEST(test_mwait_interrupt)
{
    monitor_engine(_i);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    RUN(MONITOR, 0xfb, MWAIT);
    ck_assert_int_eq(cf_last_vector(), 0x20);
    cpu_lower(cf.cpu, CPU_PIN_INTR);
}
END_TEST

Suite *xstate_suite(void)
{
    Suite *s = suite_create("xstate");
    TCase *t = tcase_create("xstate");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    tcase_add_loop_test(t, test_undefined_without_osxsave, 0, 2);
    tcase_add_loop_test(t, test_not_available, 0, 2);
    tcase_add_loop_test(t, test_absent_features, 0, 2);
    tcase_add_loop_test(t, test_xsetbv, 0, 2);
    tcase_add_loop_test(t, test_xgetbv, 0, 2);
    tcase_add_loop_test(t, test_xsave_layout, 0, 2);
    tcase_add_loop_test(t, test_xsave_parts, 0, 2);
    tcase_add_loop_test(t, test_xsaveopt, 0, 2);
    tcase_add_loop_test(t, test_compact_format, 0, 4);
    tcase_add_loop_test(t, test_round_trip, 0, 8);
    tcase_add_loop_test(t, test_restore_initial, 0, 2);
    tcase_add_loop_test(t, test_bad_areas, 0, 2);
    tcase_add_loop_test(t, test_alignment, 0, 2);
    tcase_add_loop_test(t, test_supervisor_only, 0, 2);
    tcase_add_loop_test(t, test_segment_limit, 0, 2);
    tcase_add_loop_test(t, test_page_fault, 0, 2);
    tcase_add_loop_test(t, test_64_bit, 0, 2);
    tcase_add_loop_test(t, test_fsgsbase, 0, 2);
    tcase_add_loop_test(t, test_fsgsbase_32, 0, 2);
    tcase_add_loop_test(t, test_rdpid, 0, 2);
    tcase_add_loop_test(t, test_monitor_refused, 0, 2);
    tcase_add_loop_test(t, test_mwait_ends, 0, 2);
    tcase_add_loop_test(t, test_mwait_interrupt, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
