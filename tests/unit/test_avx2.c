/* AVX2, FMA, F16C by the SDM, vol. 2: what comparison with a process cannot show. Masked accesses, gathers
 * and their faults, upper halves, unmasked exceptions. */
#include <check.h>

#include "cpu/decode.h"
#include "cpu/features.h"
#include "cpu_fixture.h"

enum { C = CF_CODE, AREA = 0x20000, ABSENT = 0x30000 };
enum { IE = 1, OE = 8, UE = 16, PE = 32, DEFAULT = 0x1f80 };

#define RUN(...) \
    do { \
        CF_CODE_AT(C, __VA_ARGS__, CF_STOP); \
        cf_run(C); \
    } while (0)

/* Three-byte VEX prefix in 32-bit code, W and L in the last argument's bits 7 and 2. */
#define VEX38(vvvv, wl) 0xc4, 0xe2, (wl) | (15 - (vvvv)) << 3 | 1
#define VEX3A(vvvv, wl) 0xc4, 0xe3, (wl) | (15 - (vvvv)) << 3 | 1
enum { W = 0x80, L = 4 };

static void engine(int i)
{
    static const uint8_t features[] = { FEAT_XSAVE, FEAT_AVX, FEAT_AVX2, FEAT_FMA, FEAT_F16C };

    cf_setup_engine(i & 1);
    for (unsigned f = 0; f < ARRAY_LEN(features); f++)
        cpu_features_set(&cf.cpu->features, features[f], true);
    cf.cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    cf.cpu->gpr[R_BX] = AREA;
}

static void set32(unsigned reg, const uint32_t v[8])
{
    memcpy(&cf.cpu->xmm[reg], v, 16);
    memcpy(&cf.cpu->ymmh[reg], v + 4, 16);
}

static uint32_t get32(unsigned reg, unsigned i)
{
    return i < 4 ? cf.cpu->xmm[reg].u32[i] : cf.cpu->ymmh[reg].u32[i - 4];
}

static void check32(unsigned reg, const uint32_t v[8])
{
    for (unsigned i = 0; i < 8; i++)
        ck_assert_msg(get32(reg, i) == v[i], "register %u, element %u: %08x, not %08x", reg, i, get32(reg, i),
                      v[i]);
}
#define SET(reg, ...) set32(reg, (const uint32_t[8]){ __VA_ARGS__ })
#define CHECK(reg, ...) check32(reg, (const uint32_t[8]){ __VA_ARGS__ })

/* A page that is not there, behind one whose last bytes are set. */
static void absent_page(void)
{
    cf_page_32();
    cf_poke(CF_PTE(ABSENT), 0, 4);
    for (unsigned i = 1; i <= 8; i++)
        cf_poke(ABSENT - 4 * i, 0x100 + i, 4);
}

#define ON 0x80000000u

/* ---- masked accesses ---- */

START_TEST(test_mask_load)
{
    engine(_i);
    absent_page();
    cf.cpu->gpr[R_BX] = ABSENT - 8;
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, 0x7fffffff, 1, 0, 0, 0, 0, 0);
    RUN(VEX38(1, L), 0x2c, 0x03); /* vmaskmovps ymm0,ymm1,[ebx] */
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x102, 0, 0, 0, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, 0, ON, 0, 0, 0, 0, 0, 0);
    RUN(VEX38(1, 0), 0x8c, 0x03); /* vpmaskmovd xmm0,xmm1,[ebx] */
    CHECK(0, 0, 0x101, 0, 0, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, 0, ON, 0, 0, 0, 0, 0);
    RUN(VEX38(1, L), 0x2c, 0x03);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, ABSENT);
    CHECK(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, 0, ON, 0, 0, 0, 0, 0, 0);
    RUN(VEX38(1, W), 0x8c, 0x03); /* vpmaskmovq */
    CHECK(0, 0x102, 0x101, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_mask_store)
{
    engine(_i);
    absent_page();
    cf.cpu->gpr[R_BX] = ABSENT - 16;
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, 0, ON, 0x7fffffff, ON, 0, 0, 0, 0);
    RUN(VEX38(1, L), 0x8e, 0x03); /* vpmaskmovd [ebx],ymm1,ymm0 */
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(ABSENT - 16, 8), UINT64_C(0x200000104));
    ck_assert_uint_eq(cf_peek(ABSENT - 8, 8), UINT64_C(0x400000102));
    SET(0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18);
    SET(1, ON, ON, ON, ON, 0, 0, 0, ON);
    RUN(VEX38(1, L), 0x2e, 0x03); /* vmaskmovps */
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, ABSENT + 12);
    ck_assert_uint_eq(cf_peek(ABSENT - 16, 8), UINT64_C(0x200000104));
    ck_assert_uint_eq(cf_peek(ABSENT - 8, 8), UINT64_C(0x400000102));
    SET(1, 0, 0, 0, ON, 0, 0, 0, 0);
    RUN(VEX38(1, 0), 0x2f, 0x03); /* vmaskmovpd [ebx],xmm1,xmm0 */
    ck_assert_uint_eq(cf_peek(ABSENT - 16, 8), UINT64_C(0x200000104));
    ck_assert_uint_eq(cf_peek(ABSENT - 8, 8), UINT64_C(0x1400000013));
}
END_TEST

/* Neither masked accesses nor gathers check alignment (SDM vol. 2, VMASKMOV, VPGATHERDD). */
START_TEST(test_no_alignment)
{
    engine(_i);
    cf_page_32();
    cf.cpu->cr0 |= CR0_AM;
    cf_enter_user();
    cpu_set_eflags(cf.cpu, FL_AC | FL_IOPL, FL_AC | FL_IOPL);
    cf_poke(AREA + 1, 0x12345678, 4);
    cf.cpu->gpr[R_BX] = AREA + 1;
    SET(1, ON, 0, 0, 0, 0, 0, 0, 0);
    SET(2, 0);
    RUN(VEX38(1, 0), 0x2c, 0x03);
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x12345678, 0, 0, 0, 0, 0, 0, 0);
    SET(0, 0x9abcdef0);
    RUN(VEX38(1, 0), 0x2e, 0x03);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(AREA + 1, 4), 0x9abcdef0);
    RUN(VEX38(1, 0), 0x90, 0x04, 0x13); /* vpgatherdd xmm0,[ebx+xmm2],xmm1 */
    ck_assert_int_eq(cf_last_vector(), -1);
    RUN(0x8b, 0x03); /* mov eax,[ebx] */
    ck_assert_int_eq(cf_last_vector(), EX_AC);
}
END_TEST

/* ---- gathers ---- */

START_TEST(test_gather)
{
    engine(_i);
    for (unsigned i = 0; i < 32; i++)
        cf_poke(AREA + 4 * i, 0x100 + i, 4);
    cf.cpu->gpr[R_BX] = AREA + 64;
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, 0, ON, 0xffffffff, ON, 0x7fffffff, ON, ON);
    SET(2, 0, 1, UINT32_MAX, 2, 3, 4, -16u, 7);
    RUN(VEX38(1, L), 0x90, 0x04, 0x93); /* vpgatherdd ymm0,[ebx+ymm2*4],ymm1 */
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x110, 2, 0x10f, 0x112, 0x113, 6, 0x100, 0x117);
    CHECK(1, 0, 0, 0, 0, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, 0, ON, 0, ON, 0, ON, 0);
    RUN(VEX38(1, 0), 0x92, 0x44, 0x53, 0x04); /* vgatherdps xmm0,[ebx+xmm2*2+4],xmm1 */
    CHECK(0, 0x111, 2, 0x01110000, 4, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, 0, ON, 0, ON, 0, 0, 0, ON);
    RUN(VEX38(1, L | W), 0x92, 0x04, 0xd3); /* vgatherdpd ymm0,[ebx+xmm2*8],ymm1 */
    CHECK(0, 0x110, 0x111, 0x112, 0x113, 5, 6, 0x114, 0x115);
}
END_TEST

/* Indices of 8 bytes: elements of 4 bytes fill half of what the indices do, the rest is cleared. */
START_TEST(test_gather_quads)
{
    engine(_i);
    for (unsigned i = 0; i < 32; i++)
        cf_poke(AREA + 4 * i, 0x100 + i, 4);
    SET(2, 1, 0x80000000, 3, 0, UINT32_MAX, UINT32_MAX, 5, 7);
    cf.cpu->gpr[R_BX] = AREA + 8;
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, ON, 0, ON, ON, ON, ON, ON);
    RUN(VEX38(1, L), 0x91, 0x04, 0x93); /* vpgatherqd xmm0,[ebx+ymm2*4],xmm1: addresses have 32 bits */
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x103, 0x105, 3, 0x107, 0, 0, 0, 0);
    CHECK(1, 0, 0, 0, 0, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, 0, ON, ON, ON, ON, ON, ON, ON);
    RUN(VEX38(1, 0), 0x93, 0x04, 0x93); /* vgatherqps xmm0,[ebx+xmm2*4],xmm1 */
    CHECK(0, 1, 0x105, 0, 0, 0, 0, 0, 0);
    CHECK(1, 0, 0, 0, 0, 0, 0, 0, 0);
    SET(1, 0, ON, ON, 0, ON, 0, 0, ON);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(VEX38(1, L | W), 0x91, 0x04, 0x93); /* vpgatherqq ymm0,[ebx+ymm2*4],ymm1 */
    CHECK(0, 0x103, 0x104, 3, 4, 5, 6, 0x107, 0x108);
}
END_TEST

/* A fault leaves what was done done, and the mask tells what remains. */
START_TEST(test_gather_fault)
{
    engine(_i);
    absent_page();
    cf.cpu->gpr[R_BX] = ABSENT - 4;
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    SET(1, ON, 0, ON, ON, ON, ON, ON, ON);
    SET(2, 0, 1, UINT32_MAX, 1, 0, 0, 0, 0);
    RUN(VEX38(1, 0), 0x90, 0x04, 0x93);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, ABSENT);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 4, 4), C);
    CHECK(1, 0, 0, 0, UINT32_MAX, 0, 0, 0, 0);
    CHECK(0, 0x101, 2, 0x102, 4, 5, 6, 7, 8);
    cf_poke(CF_PTE(ABSENT), ABSENT | 7, 4);
    cf_poke(ABSENT, 0x99, 4);
    cf_poke(ABSENT - 4, 0, 4); /* is not read again */
    RUN(VEX38(1, 0), 0x90, 0x04, 0x93);
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x101, 2, 0x102, 0x99, 0, 0, 0, 0);
    CHECK(1, 0, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

/* Destination, index and mask must differ; elements are checked against the segment one by one. */
START_TEST(test_gather_checks)
{
    engine(_i);
    RUN(VEX38(1, 0), 0x90, 0x04, 0x03); /* index = destination */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(VEX38(0, 0), 0x90, 0x04, 0x13); /* mask = destination */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(VEX38(2, 0), 0x90, 0x04, 0x13); /* mask = index */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(VEX38(1, 0), 0x90, 0x03); /* no SIB byte */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    seg_set_cache(cf.cpu, S_DS, CF_KDATA, 0, AREA + 7, ATTR_P | ATTR_S | ATTR_W | ATTR_A | ATTR_DB);
    cpu_update_mode(cf.cpu);
    SET(0, 0);
    SET(1, ON, ON, ON, 0, 0, 0, 0, 0);
    SET(2, 0, 1, 2, 3, 0, 0, 0, 0);
    cf_poke(AREA, UINT64_C(0x2222222211111111), 8);
    RUN(VEX38(1, 0), 0x90, 0x04, 0x93);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    ck_assert_uint_eq(get32(0, 1), 0x22222222);
    ck_assert_uint_eq(get32(1, 1), 0);
    ck_assert_uint_eq(get32(1, 2), UINT32_MAX);
    SET(1, 0, ON, 0, 0, 0, 0, 0, 0);
    RUN(VEX38(1, 0), 0x2c, 0x03); /* vmaskmovps: the elements beyond the limit are not selected */
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0, 0x22222222, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_gather_print)
{
    static const struct { uint8_t code[8]; const char *text; } cases[] = {
        { { 0xc4, 0xe2, 0x75, 0x90, 0x04, 0x93 }, "vpgatherdd ymm0,DWORD PTR [ebx+ymm2*4],ymm1" },
        { { 0xc4, 0xe2, 0xf5, 0x92, 0x04, 0xd3 }, "vgatherdpd ymm0,QWORD PTR [ebx+xmm2*8],ymm1" },
        { { 0xc4, 0xe2, 0x75, 0x91, 0x04, 0x93 }, "vpgatherqd xmm0,DWORD PTR [ebx+ymm2*4],xmm1" },
    };
    char text[80];

    engine(_i);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        FILE *f = fmemopen(text, sizeof(text), "w");
        struct insn insn;

        ck_assert_int_eq(insn_decode(&insn, cases[i].code, sizeof(cases[i].code), 32), DECODE_OK);
        insn_print(f, &insn, 0);
        fclose(f);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

/* ---- registers ---- */

/* Outside 64-bit code the upper eight registers stay. */
START_TEST(test_vzero)
{
    engine(_i);
    for (unsigned n = 0; n < 16; n++)
        SET(n, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(0xc5, 0xf8, 0x77); /* vzeroupper */
    CHECK(0, 1, 2, 3, 4, 0, 0, 0, 0);
    CHECK(7, 1, 2, 3, 4, 0, 0, 0, 0);
    CHECK(8, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(0xc5, 0xfc, 0x77); /* vzeroall */
    CHECK(0, 0, 0, 0, 0, 0, 0, 0, 0);
    CHECK(7, 0, 0, 0, 0, 0, 0, 0, 0);
    CHECK(8, 1, 2, 3, 4, 5, 6, 7, 8);
    cf_enter_long();
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_OSFXSR | CR4_OSXSAVE);
    RUN(0xc5, 0xf8, 0x77);
    CHECK(15, 1, 2, 3, 4, 0, 0, 0, 0);
    RUN(0xc5, 0xfc, 0x77);
    CHECK(15, 0, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

/* Destination and sources are one register. */
START_TEST(test_halves)
{
    engine(_i);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(VEX3A(0, L), 0x06, 0xc0, 0x01); /* vperm2f128 ymm0,ymm0,ymm0,1 */
    CHECK(0, 5, 6, 7, 8, 1, 2, 3, 4);
    RUN(VEX3A(0, L), 0x46, 0xc0, 0x80); /* vperm2i128: the high half is zero */
    CHECK(0, 5, 6, 7, 8, 0, 0, 0, 0);
    RUN(VEX3A(0, L), 0x18, 0xc0, 0x01); /* vinsertf128 ymm0,ymm0,xmm0,1 */
    CHECK(0, 5, 6, 7, 8, 5, 6, 7, 8);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(VEX3A(0, L), 0x39, 0xc0, 0x01); /* vextracti128 xmm0,ymm0,1 */
    CHECK(0, 5, 6, 7, 8, 0, 0, 0, 0);
    SET(0, 1, 2, 3, 4, 5, 6, 7, 8);
    RUN(VEX3A(0, W | L), 0x00, 0xc0, 0x1b); /* vpermq ymm0,ymm0,1bh */
    CHECK(0, 7, 8, 5, 6, 3, 4, 1, 2);
    RUN(VEX38(0, L), 0x36, 0xc0); /* vpermd ymm0,ymm0,ymm0 */
    CHECK(0, 2, 7, 4, 1, 6, 3, 8, 5);
}
END_TEST

/* A 128-bit row of AVX that needs AVX2 in its register form. */
START_TEST(test_features)
{
    engine(_i);
    cpu_features_set(&cf.cpu->features, FEAT_AVX2, false);
    cpu_features_set(&cf.cpu->features, FEAT_FMA, false);
    cpu_features_set(&cf.cpu->features, FEAT_F16C, false);
    RUN(VEX38(0, 0), 0x18, 0x03); /* vbroadcastss xmm0,[ebx] */
    ck_assert_int_eq(cf_last_vector(), -1);
    RUN(VEX38(0, 0), 0x18, 0xc1);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(VEX38(1, 0), 0x98, 0xc2);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    RUN(VEX38(0, 0), 0x13, 0xc1);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

/* ---- unmasked exceptions ---- */

START_TEST(test_fma_unmasked)
{
    engine(_i);
    cpu_set_mxcsr(cf.cpu, DEFAULT & ~(UE << 7));
    cpu_update_mode(cf.cpu);
    SET(0, 0, 0, 0, 0, 0, 0, 0, 0);
    SET(1, 0, 0, 0, 0, 0, 0, 0, 0x00800000);
    SET(2, 0, 0, 0, 0, 0, 0, 0, 0x3f000000);
    RUN(VEX38(1, L), 0xb8, 0xc2); /* vfmadd231ps ymm0,ymm1,ymm2: exact, but tiny */
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), (DEFAULT & ~(UE << 7)) | UE);
    CHECK(0, 0, 0, 0, 0, 0, 0, 0, 0);
    cpu_set_mxcsr(cf.cpu, DEFAULT & ~(UE << 7));
    RUN(VEX38(1, 0), 0xb8, 0xc2); /* the high half has no part in it */
    ck_assert_int_eq(cf_last_vector(), -1);
    SET(0, 0x3f800000, 0, 0, 0, 0, 0, 0, 9);
    SET(1, 0x7f800001);
    SET(2, 0x3f800000);
    cpu_set_mxcsr(cf.cpu, DEFAULT & ~(IE << 7));
    RUN(VEX38(1, 0), 0xb9, 0xc2); /* vfmadd231ss */
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), (DEFAULT & ~(IE << 7)) | IE);
    CHECK(0, 0x3f800000, 0, 0, 0, 0, 0, 0, 9);
    SET(1, 0x40000000);
    RUN(VEX38(1, 0), 0xb9, 0xc2);
    ck_assert_int_eq(cf_last_vector(), -1);
    CHECK(0, 0x40400000, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_half_unmasked)
{
    engine(_i);
    cpu_set_mxcsr(cf.cpu, DEFAULT & ~(OE << 7));
    cpu_update_mode(cf.cpu);
    cf_poke(AREA, UINT64_C(0x1122334455667788), 8);
    SET(0, 0x47800000, 0, 0, 0, 0, 0, 0, 0); /* 65536 */
    RUN(VEX3A(0, 0), 0x1d, 0x03, 0x04); /* vcvtps2ph [ebx],xmm0,4 */
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), (DEFAULT & ~(OE << 7)) | OE);
    ck_assert_uint_eq(cf_peek(AREA, 8), UINT64_C(0x1122334455667788));
    SET(0, 0x3f800000, 0x40000000, 0xc0000000, 0x477fe000, 0, 0, 0, 0x3f800000);
    RUN(VEX3A(0, L), 0x1d, 0x03, 0x04);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(AREA, 8), UINT64_C(0x7bffc00040003c00));
    ck_assert_uint_eq(cf_peek(AREA + 8, 8), UINT64_C(0x3c00000000000000));
    cpu_set_mxcsr(cf.cpu, DEFAULT & ~(IE << 7));
    cpu_update_mode(cf.cpu);
    cf_poke(AREA, UINT64_C(0x7c01), 8); /* signalling */
    RUN(VEX38(0, 0), 0x13, 0x03); /* vcvtph2ps xmm0,[ebx] */
    ck_assert_int_eq(cf_last_vector(), EX_XM);
    ck_assert_uint_eq(get32(0, 0), 0x3f800000);
}
END_TEST

/* A store that faults leaves no flag. */
START_TEST(test_half_store_fault)
{
    engine(_i);
    absent_page();
    cf.cpu->gpr[R_BX] = ABSENT - 8;
    SET(0, 0x3f800001, 0, 0, 0, 0, 0, 0, 0);
    RUN(VEX3A(0, L), 0x1d, 0x03, 0x00);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), DEFAULT);
    ck_assert_uint_eq(cf_peek(ABSENT - 8, 8), UINT64_C(0x10100000102));
    RUN(VEX3A(0, 0), 0x1d, 0x03, 0x00);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), DEFAULT | PE);
    ck_assert_uint_eq(cf_peek(ABSENT - 8, 8), 0x3c00);
}
END_TEST

START_TEST(test_half_store_alignment)
{
    engine(_i);
    cf_page_32();
    cf.cpu->cr0 |= CR0_AM;
    cf_enter_user();
    cpu_set_eflags(cf.cpu, FL_AC | FL_IOPL, FL_AC | FL_IOPL);
    cf.cpu->gpr[R_BX] = AREA + 8;
    SET(0, 0x3f800001, 0, 0, 0, 0, 0, 0, 0);
    RUN(VEX3A(0, L), 0x1d, 0x03, 0x00);
    ck_assert_int_eq(cf_last_vector(), EX_AC);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), DEFAULT);
}
END_TEST

Suite *avx2_suite(void)
{
    const TTest *const tests[] = {
        test_mask_load, test_mask_store, test_no_alignment, test_gather, test_gather_quads, test_gather_fault,
        test_gather_checks, test_gather_print, test_vzero, test_halves, test_features, test_fma_unmasked,
        test_half_unmasked, test_half_store_fault, test_half_store_alignment,
    };
    Suite *s = suite_create("avx2");
    TCase *t = tcase_create("both engines");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    suite_add_tcase(s, t);
    return s;
}
