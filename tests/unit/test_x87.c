/* x87 and MMX state through short programs on both engines: SDM vol. 1, chapter 8 (8.1.3-8.1.10, 8.5, 8.7),
 * 9.6 (MMX aliasing), vol. 2, FXSAVE. */
#include <check.h>

#include "cpu/x87.h"
#include "cpu_fixture.h"

enum { C = CF_CODE, AREA = 0x20000, AREA2 = 0x21000 };

static void engine(int i)
{
    cf_setup_engine(i & 1);
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT);
    cf.cpu->gpr[R_BX] = AREA;
}

#define RUN(...) \
    do { \
        CF_CODE_AT(C, __VA_ARGS__, CF_STOP); \
        cf_run(C); \
    } while (0)

#define FNINIT 0xdb, 0xe3
#define FLD1 0xd9, 0xe8
#define FLDZ 0xd9, 0xee
#define FNCLEX 0xdb, 0xe2
#define FWAIT 0x9b
#define FLDCW_BX 0xd9, 0x2b       /* fldcw [ebx] */
#define FNSTSW_AX 0xdf, 0xe0
#define AX (cf.cpu->gpr[R_AX] & 0xffff)

START_TEST(test_fninit)
{
    engine(_i);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0x5555); /* power-on */
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x40);
    RUN(FNINIT, FNSTSW_AX);
    ck_assert_uint_eq(AX, 0);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0xffff);
}
END_TEST

/* Tags: valid, zero, special, empty. */
START_TEST(test_tag_word)
{
    engine(_i);
    cf_poke(AREA, 1, 8); /* a denormal, as m80 */
    cf_poke(AREA + 8, 0, 2);
    RUN(FNINIT, FLD1, FLDZ, 0xdb, 0x2b); /* fld tword [ebx] */
    ck_assert_uint_eq(cf.cpu->fpu.top, 5);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0x1bff); /* 7: valid, 6: zero, 5: special */
}
END_TEST

START_TEST(test_stack_overflow)
{
    engine(_i);
    RUN(FNINIT, FLD1, FLD1, FLD1, FLD1, FLD1, FLD1, FLD1, FLD1, FLDZ, FNSTSW_AX);
    ck_assert_uint_eq(AX, FSW_IE | FSW_SF | FSW_C1 | 7 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, UINT64_C(0xc000000000000000)); /* masked: the default NaN */
    ck_assert_uint_eq(cf.cpu->fpu.st[7].exp, 0xffff);
}
END_TEST

START_TEST(test_stack_underflow)
{
    engine(_i);
    RUN(FNINIT, 0xd8, 0xc1, FNSTSW_AX); /* fadd st0,st1 */
    ck_assert_uint_eq(AX, FSW_IE | FSW_SF);
    ck_assert_uint_eq(cf.cpu->fpu.st[0].exp, 0xffff);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0xfe);
    RUN(FNINIT, 0xd9, 0x1b); /* fstp dword [ebx]: the indefinite, and the pop */
    ck_assert_uint_eq(cf_peek(AREA, 4), 0xffc00000);
    ck_assert_uint_eq(cf.cpu->fpu.top, 1);
}
END_TEST

START_TEST(test_divide_by_zero_masked)
{
    engine(_i);
    RUN(FNINIT, FLD1, FLDZ, 0xde, 0xf9, FNSTSW_AX); /* fdivp: 1 / 0 */
    ck_assert_uint_eq(AX, FSW_ZE | 7 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].exp, 0x7fff);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, BIT(63));
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0xbfff);
}
END_TEST

/* Unmasked: operands stay, the next waiting instruction raises #MF (CR0.NE = 1). */
START_TEST(test_divide_by_zero_unmasked)
{
    engine(_i);
    cf_poke(AREA, 0x37b, 2);
    RUN(FNINIT, FLDCW_BX, FLD1, FLDZ, 0xde, 0xf9, FNSTSW_AX, 0x40, FWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_MF);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 13);
    ck_assert_uint_eq(fpu_status_word(&cf.cpu->fpu), FSW_ZE | FSW_ES | FSW_B | 6 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0x3f);
    ck_assert_int_eq(cf.ferr, 0);
    RUN(0xdb, 0xe2, FWAIT, FLD1); /* fnclex */
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

/* CR0.NE = 0: FERR#, no exception. */
/* Flags that earlier operations left behind, cleared or masked since, are not those of a later one (SDM vol. 1,
 * 8.1.3.3): an exact quotient raises nothing, an inexact one raises PE again, and C1 tells how it was rounded. */
START_TEST(test_flags_are_of_the_operation)
{
    engine(_i);
    cf_poke(AREA, 3, 4);
    cf_poke(AREA + 8, 0x7f800001, 4); /* signalling NaN */
    RUN(FNINIT, FLD1, 0xda, 0x33, FNSTSW_AX); /* fidiv dword [ebx]: 1/3 is rounded up */
    ck_assert_uint_eq(AX, FSW_PE | FSW_C1 | 7 << 11);
    RUN(FNCLEX, FLD1, 0xd8, 0xf0, FNSTSW_AX); /* fdiv st0, st0 */
    ck_assert_uint_eq(AX, 6 << 11);
    RUN(FLD1, 0xda, 0x33, FNSTSW_AX);
    ck_assert_uint_eq(AX, FSW_PE | FSW_C1 | 5 << 11);
    RUN(0xd8, 0x43, 8, FNSTSW_AX); /* fadd dword [ebx+8] */
    ck_assert_uint_eq(AX, FSW_IE | FSW_PE | 5 << 11);
    RUN(FNINIT, FLD1, FLDZ, 0xd8, 0xc1, 0xdf, 0xf1, FNSTSW_AX); /* fadd st0, st1; fcomip st0, st1 */
    ck_assert_uint_eq(AX, 7 << 11);
}
END_TEST

/* With IE and ZE unmasked, what raises neither is carried out as ever; what raises one is not. */
START_TEST(test_unmasked_but_not_raised)
{
    engine(_i);
    cf_poke(AREA, 0x37a, 2);
    cf_poke(AREA + 8, 3, 4);
    RUN(FNINIT, FLDCW_BX, FLD1, 0xda, 0x73, 8, FNSTSW_AX); /* fidiv dword [ebx+8] */
    ck_assert_uint_eq(AX, FSW_PE | FSW_C1 | 7 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, UINT64_C(0xaaaaaaaaaaaaaaab));
    RUN(0xd9, 0xe0, 0xd9, 0xfa, FNSTSW_AX); /* fchs; fsqrt */
    ck_assert_uint_eq(AX, FSW_IE | FSW_PE | FSW_ES | FSW_B | 7 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, UINT64_C(0xaaaaaaaaaaaaaaab));
    ck_assert_uint_eq(cf.cpu->fpu.st[7].exp, 0xbffd);
}
END_TEST

/* Unmasked underflow is raised for an exact tiny result, whose exponent is biased by 24576 (SDM vol. 1, 8.5.5). */
START_TEST(test_unmasked_exact_underflow)
{
    engine(_i);
    cf_poke(AREA, 0x36f, 2);
    cf_poke(AREA + 8, UINT64_C(1) << 63, 8); /* the smallest normal number, as m80 */
    cf_poke(AREA + 16, 1, 2);
    cf_poke(AREA + 24, 2, 4);
    RUN(FNINIT, FLDCW_BX, 0xdb, 0x6b, 8, 0xda, 0x73, 24, FNSTSW_AX); /* fld tword [ebx+8]; fidiv dword [ebx+24] */
    ck_assert_uint_eq(AX, FSW_UE | FSW_ES | FSW_B | 7 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].exp, 24576);
}
END_TEST

/* Without CR0.NE a handler may go on with the flag set: what raises it again still stores nothing. */
START_TEST(test_unmasked_twice)
{
    engine(_i);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 & ~(uint64_t)CR0_NE);
    cf_poke(AREA, 0x37b, 2);
    RUN(FNINIT, FLDCW_BX, FLDZ, FLD1, 0xd8, 0xf1, 0xd8, 0xf1, FNSTSW_AX); /* fdiv st0, st1, twice */
    ck_assert_uint_eq(AX, FSW_ZE | FSW_ES | FSW_B | 6 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.st[6].exp, 0x3fff);
}
END_TEST

START_TEST(test_ferr)
{
    engine(_i);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 & ~(uint64_t)CR0_NE);
    cf_poke(AREA, 0x37b, 2);
    RUN(FNINIT, FLDCW_BX, FLD1, FLDZ, 0xde, 0xf9, FNSTSW_AX);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_int_eq(cf.ferr, 1);
    ck_assert_uint_eq(AX & FSW_ES, FSW_ES);
}
END_TEST

START_TEST(test_device_not_available)
{
    engine(_i);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_TS);
    RUN(FLD1);
    ck_assert_int_eq(cf_last_vector(), EX_NM);
    RUN(FWAIT);
    ck_assert_int_eq(cf_last_vector(), -1); /* MP = 0 */
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_MP);
    RUN(FWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_NM);
    RUN(0x0f, 0x06, FNINIT, FLD1); /* clts */
    ck_assert_int_eq(cf_last_vector(), -1);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_EM);
    RUN(FNINIT);
    ck_assert_int_eq(cf_last_vector(), EX_NM);
    RUN(0x0f, 0x77); /* emms: #UD with EM */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

/* ---- environment images: figures 8-9 to 8-12 ---- */

static void check_words(uint64_t addr, const uint32_t *w, unsigned size)
{
    for (unsigned i = 0; i < 7; i++)
        ck_assert_msg(cf_peek(addr + size * i, size) == w[i], "word %u: %x, not %x", i,
                      (unsigned)cf_peek(addr + size * i, size), w[i]);
}

static void known_environment(void)
{
    struct fpu *f = &cf.cpu->fpu;

    f->cw = 0x372;
    f->sw = FSW_PE | FSW_C3;
    f->top = 3;
    f->empty = 0xff;
    fpu_set_ip(f, 0x12345678);
    f->fdp = 0x9abcdef0;
    f->fcs = 0x1b;
    f->fds = 0x23;
    f->fop = 0x5c3;
}

START_TEST(test_fnstenv_protected)
{
    static const uint32_t w32[] = { 0xffff0372, 0xffff5820, 0xffffffff, 0x12345678, 0x05c3001b, 0x9abcdef0,
        0xffff0023 };
    static const uint32_t w16[] = { 0x0372, 0x5820, 0xffff, 0x5678, 0x001b, 0xdef0, 0x0023 };

    engine(_i);
    known_environment();
    RUN(0xd9, 0x33); /* fnstenv [ebx] */
    check_words(AREA, w32, 4);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f); /* all masked */
    known_environment();
    RUN(0x66, 0xd9, 0x33);
    check_words(AREA, w16, 2);
}
END_TEST

START_TEST(test_fldenv_round_trip)
{
    engine(_i);
    known_environment();
    RUN(0xd9, 0x33, FNINIT, 0xd9, 0x23);
    ck_assert_uint_eq(fpu_ip(&cf.cpu->fpu), 0x12345678);
    ck_assert_uint_eq(cf.cpu->fpu.fdp, 0x9abcdef0);
    ck_assert_uint_eq(cf.cpu->fpu.fcs, 0x1b);
    ck_assert_uint_eq(cf.cpu->fpu.fds, 0x23);
    ck_assert_uint_eq(cf.cpu->fpu.fop, 0x5c3);
    ck_assert_uint_eq(fpu_status_word(&cf.cpu->fpu), 0x5820);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0xff);
}
END_TEST

START_TEST(test_fnstenv_real)
{
    /* FIP 12345678 with FCS 0: linear addresses */
    static const uint32_t w32[] = { 0xffff0372, 0xffff5820, 0xffffffff, 0xffff5678, 0x012345c3, 0xffffdef0,
        0x09abc000 };
    static const uint32_t w16[] = { 0x0372, 0x5820, 0xffff, 0x5678, 0x45c3, 0xdef0, 0xc000 };

    engine(_i);
    cf_enter_real();
    cf.cpu->gpr[R_BX] = 0x6000;
    known_environment();
    cf.cpu->fpu.fcs = cf.cpu->fpu.fds = 0;
    CF_CODE_AT(0x5000, 0x66, 0xd9, 0x37, CF_STOP, 0xd9, 0x37, CF_STOP); /* fnstenv [bx] */
    cf_run(0x5000);
    check_words(0x6000, w32, 4);
    known_environment();
    cf.cpu->fpu.fcs = cf.cpu->fpu.fds = 0;
    cf_run(0x5007);
    check_words(0x6000, w16, 2);
}
END_TEST

START_TEST(test_fnsave_frstor)
{
    engine(_i);
    RUN(FNINIT, FLDZ, FLD1, 0xdd, 0x33); /* fnsave [ebx] */
    ck_assert_uint_eq(cf_peek(AREA + 8, 4), 0xffff4fff);                        /* 7: zero, 6: valid */
    ck_assert_uint_eq(cf_peek(AREA + 28, 8), BIT(63));                          /* ST(0) first */
    ck_assert_uint_eq(cf_peek(AREA + 36, 2), 0x3fff);
    ck_assert_uint_eq(cf_peek(AREA + 38, 8), 0);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0xffff);                      /* as FNINIT */
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f);
    RUN(0xdd, 0x23); /* frstor [ebx] */
    ck_assert_uint_eq(cf.cpu->fpu.top, 6);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0x4fff);
    ck_assert_uint_eq(cf.cpu->fpu.st[6].exp, 0x3fff);
}
END_TEST

/* A fault in the middle of the image stores nothing. */
START_TEST(test_fnsave_faults_before_it_stores)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(AREA + 0x1000), 0, 4);
    cf.cpu->gpr[R_BX] = AREA + 0xff0;
    cf_poke(AREA + 0xff0, 0x5a5a5a5a, 4);
    RUN(FNINIT, FLD1, 0xdd, 0x33);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, AREA + 0x1000);
    ck_assert_uint_eq(cf_peek(AREA + 0xff0, 4), 0x5a5a5a5a);
    ck_assert_uint_eq(cf.cpu->fpu.top, 7);
}
END_TEST

/* ---- FXSAVE, SDM vol. 1, table 10-2 ---- */

START_TEST(test_fxsave_image)
{
    engine(_i);
    memset(mem_region_host(cf.ram) + AREA, 0xee, 512);
    RUN(FNINIT, FLD1, FLDZ);
    for (unsigned i = 0; i < 8; i++)
        cf.cpu->xmm[i].u64[0] = cf.cpu->xmm[i].u64[1] = 0x1111 * (i + 1);
    fpu_set_ip(&cf.cpu->fpu, 0x11223344);
    cf.cpu->fpu.fcs = 8;
    cf.cpu->fpu.fdp = 0x55667788;
    cf.cpu->fpu.fds = 0x10;
    cf.cpu->fpu.fop = 0x123;
    RUN(0x0f, 0xae, 0x03); /* fxsave [ebx] */
    ck_assert_uint_eq(cf_peek(AREA, 2), 0x37f);
    ck_assert_uint_eq(cf_peek(AREA + 2, 2), 6 << 11);
    ck_assert_uint_eq(cf_peek(AREA + 4, 1), 0xc0); /* abridged tags: 1 is not empty */
    ck_assert_uint_eq(cf_peek(AREA + 6, 2), 0x123);
    ck_assert_uint_eq(cf_peek(AREA + 8, 4), 0x11223344);
    ck_assert_uint_eq(cf_peek(AREA + 12, 2), 8);
    ck_assert_uint_eq(cf_peek(AREA + 16, 4), 0x55667788);
    ck_assert_uint_eq(cf_peek(AREA + 20, 2), 0x10);
    ck_assert_uint_eq(cf_peek(AREA + 24, 4), 0x1f80);
    ck_assert_uint_eq(cf_peek(AREA + 28, 4), 0xffff); /* MXCSR_MASK: DAZ is there */
    ck_assert_uint_eq(cf_peek(AREA + 32, 8), 0);      /* ST(0) */
    ck_assert_uint_eq(cf_peek(AREA + 48, 8), BIT(63));
    ck_assert_uint_eq(cf_peek(AREA + 56, 2), 0x3fff);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(cf_peek(AREA + 160 + 16 * i + 8, 8), 0x1111 * (i + 1));
    ck_assert_uint_eq(cf_peek(AREA + 464, 8), 0xeeeeeeeeeeeeeeee); /* for software */
    RUN(FNINIT, 0x0f, 0x57, 0xc0, 0x0f, 0xae, 0x0b); /* xorps xmm0,xmm0; fxrstor [ebx] */
    ck_assert_uint_eq(cf.cpu->xmm[0].u64[1], 0x1111);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0x3f);
    ck_assert_uint_eq(fpu_tag_word(&cf.cpu->fpu), 0x1fff);
    ck_assert_uint_eq(cf.cpu->fpu.fip, 0x11223344);
}
END_TEST

START_TEST(test_fxsave_faults)
{
    engine(_i);
    cf.cpu->gpr[R_BX] = AREA + 8;
    RUN(0x0f, 0xae, 0x03);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cf.cpu->gpr[R_BX] = AREA;
    RUN(FNINIT, 0x0f, 0xae, 0x03);
    cf_poke(AREA + 24, 0x11f80, 4); /* a reserved MXCSR bit: nothing is loaded */
    cf_poke(AREA, 0x27f, 2);
    RUN(0x0f, 0xae, 0x0b);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x37f);
    /* an unmasked exception in the image waits for the next x87 instruction */
    cf_poke(AREA + 24, 0x1f80, 4);
    cf_poke(AREA, 0x37b, 2);
    cf_poke(AREA + 2, FSW_ZE, 2);
    RUN(0x0f, 0xae, 0x0b, 0x40, FWAIT);
    ck_assert_int_eq(cf_last_vector(), EX_MF);
}
END_TEST

START_TEST(test_fxsave64)
{
    engine(_i);
    cf_enter_long();
    cf.cpu->gpr[R_BX] = AREA;
    cf.cpu->xmm[15].u64[1] = 0xabc;
    fpu_set_ip(&cf.cpu->fpu, UINT64_C(0x1122334455667788));
    RUN(0x48, 0x0f, 0xae, 0x03);
    ck_assert_uint_eq(cf_peek(AREA + 8, 8), UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(cf_peek(AREA + 160 + 15 * 16 + 8, 8), 0xabc);
    cf.cpu->gpr[R_BX] = BIT(47);
    RUN(0x48, 0x0f, 0xae, 0x03);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    RUN(0xd9, 0x33); /* fnstenv [rbx] */
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    cf.cpu->gpr[R_BP] = BIT(47);
    RUN(0xdd, 0x75, 0x00); /* fnsave [rbp]: through SS */
    ck_assert_int_eq(cf_last_vector(), EX_SS);
}
END_TEST

/* ---- MMX ---- */

START_TEST(test_mmx_aliasing)
{
    struct fpu *f;

    engine(_i);
    f = &cf.cpu->fpu;
    cf_poke(AREA, 0x1122334455667788, 8);
    RUN(FNINIT, FLD1, FLD1, 0x0f, 0x6f, 0x13); /* movq mm2,[ebx] */
    ck_assert_uint_eq(f->top, 0);
    ck_assert_uint_eq(f->empty, 0);
    ck_assert_uint_eq(f->st[2].mant, 0x1122334455667788);
    ck_assert_uint_eq(f->st[2].exp, 0xffff);
    ck_assert_uint_eq(f->st[7].exp, 0x3fff); /* not written */
    RUN(0x0f, 0x77); /* emms */
    ck_assert_uint_eq(f->empty, 0xff);
    ck_assert_uint_eq(f->st[2].mant, 0x1122334455667788);
    RUN(0x0f, 0x7f, 0x53, 0x08); /* movq [ebx+8],mm2: reading enters MMX too */
    ck_assert_uint_eq(cf_peek(AREA + 8, 8), 0x1122334455667788);
    ck_assert_uint_eq(f->empty, 0);
}
END_TEST

/* A faulting MMX load changes nothing. */
START_TEST(test_mmx_fault)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(AREA), 0, 4);
    RUN(FNINIT, FLD1, 0x0f, 0x6f, 0x13);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->fpu.top, 7);
    ck_assert_uint_eq(cf.cpu->fpu.empty, 0x7f);
}
END_TEST

/* ---- the state is in the host's unit between instructions ---- */

#define FLD80_BX(disp) 0xdb, 0x6b, disp     /* fld tword [ebx+disp] */
#define FSTP80_BX(disp) 0xdb, 0x7b, disp    /* fstp tword [ebx+disp] */

/* A faulting operand leaves stack, status and pointers as they are after the instruction before it. */
START_TEST(test_fault_after_host_instructions)
{
    struct fpu *f;

    engine(_i);
    f = &cf.cpu->fpu;
    cf_page_32();
    cf_poke(CF_PTE(AREA + 0x1000), 0, 4);
    cf_poke(AREA + 0xffc, 0, 4);
    cf.cpu->gpr[R_BX] = AREA + 0xffc;
    RUN(FNINIT, FLD1, FLDZ, 0xde, 0xc1, FSTP80_BX(0)); /* faddp */
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(f->top, 7);
    ck_assert_uint_eq(f->empty, 0x7f);
    ck_assert_uint_eq(f->st[7].mant, UINT64_C(1) << 63);
    ck_assert_uint_eq(fpu_ip(f), C + 6);
    ck_assert_uint_eq(f->fop, 0x6c1);
    ck_assert_uint_eq(cf_peek(AREA + 0xffc, 4), 0);
    RUN(0xdd, 0x03); /* fld qword [ebx] */
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(f->top, 7);
    cf_poke(CF_PTE(AREA + 0x1000), (AREA + 0x1000) | 7, 4);
    cpu_write_cr3(cf.cpu, cf.cpu->cr3);
    RUN(FSTP80_BX(0), 0xdf, 0x2b); /* fild qword [ebx]: both cross the page */
    ck_assert_uint_eq(cf_peek(AREA + 0xffc, 8), UINT64_C(1) << 63);
    ck_assert_uint_eq(cf_peek(AREA + 0x1004, 2), 0x3fff);
    ck_assert_uint_eq(f->st[7].exp, 0xc03e);
}
END_TEST

/* x87, MMX and x87 again within one block, and in blocks of their own. */
START_TEST(test_host_and_mmx)
{
    static const uint8_t code[] = {
        FNINIT, FLD1, FLDZ, 0x0f, 0x7e, 0xf8,       /* movd eax,mm7: the fraction of 1 */
        0x0f, 0x6e, 0xe3,                           /* movd mm4,ebx */
        0x0f, 0x77, FLD1, 0xd9, 0xe0,               /* emms; fld1; fchs */
        0x0f, 0x73, 0xf7, 0x01,                     /* psllq mm7,1 */
        0xdb, 0x7b, 0x10,                           /* fstp tword [ebx+16]: ST(0) is mm0 */
    };

    for (unsigned apart = 0; apart < 2; apart++) {
        engine(_i);
        cf.cpu->fpu.st[0].mant = 0;
        cf_poke(AREA + 0x10, ~UINT64_C(0), 8);
        cf_code(C, code, sizeof(code));
        CF_CODE_AT(C + sizeof(code), CF_STOP);
        if (apart)
            cf.cpu->opt.one_insn = true;
        cf_run(C);
        ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0);
        ck_assert_uint_eq(cf.cpu->fpu.st[4].mant, AREA);
        ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, 0);
        ck_assert_uint_eq(cf.cpu->fpu.st[7].exp, 0xffff);
        ck_assert_uint_eq(cf_peek(AREA + 0x10, 8), 0);
        ck_assert_uint_eq(cf.cpu->fpu.top, 1);
        ck_assert_uint_eq(cf.cpu->fpu.empty, 1);
        cf_teardown();
    }
    engine(_i);
}
END_TEST

/* FLDCW that unmasks what is set makes the next waiting instruction raise #MF; not before, and not FNSTSW. */
START_TEST(test_host_unmasks)
{
    engine(_i);
    cf_poke(AREA, 0x37b, 2);
    cf_poke(AREA + 2, 0x77f, 2);
    RUN(FNINIT, FLD1, FLDZ, 0xdc, 0xf9, FLDCW_BX, FNSTSW_AX, FLDZ); /* fdiv st1,st0 */
    ck_assert_int_eq(cf_last_vector(), EX_MF);
    ck_assert_uint_eq(AX >> 8, (FSW_B | 6 << 11) >> 8); /* AL is the handler's */
    ck_assert_uint_eq(cf.cpu->fpu.sw, FSW_ZE | FSW_ES | FSW_B);
    ck_assert_uint_eq(cf.cpu->fpu.top, 6);
    RUN(FNCLEX, FLDZ, 0xd9, 0x6b, 0x02, FLD1, FNSTSW_AX); /* fldcw [ebx+2]: masks all */
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(AX, 4 << 11);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0x77f);
}
END_TEST

/* An unmasked exception is found after the instruction that makes it, in the middle of others. */
START_TEST(test_host_unmasked_exception)
{
    struct fpu *f;

    engine(_i);
    f = &cf.cpu->fpu;
    cf_poke(AREA, 0x37a, 2);
    RUN(FNINIT, FLDCW_BX, FLD1, FLDZ, 0xdc, 0xf1, FLD1); /* fdivr st1,st0: 0 / 1 */
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(f->top, 5);
    RUN(0xd8, 0xf1, 0xd9, 0xc0); /* fdiv st0,st1: 1 / 0; fld st0 */
    ck_assert_int_eq(cf_last_vector(), EX_MF);
    ck_assert_uint_eq(f->top, 5);
    ck_assert_uint_eq(f->sw, FSW_ZE | FSW_ES | FSW_B);
    ck_assert_uint_eq(fpu_ip(f), C);
    ck_assert_uint_eq(f->st[5].exp, 0x3fff);
    RUN(FNCLEX, 0xdb, 0xf7, 0x0f, 0x9a, 0xc0, FNCLEX); /* fcomi st0,st7 (empty); setp al */
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] & 0xff, 1);
    ck_assert_uint_eq(f->top, 5);
}
END_TEST

/* Devices, and whoever runs after the guest, find the host's unit as the ABI wants it. */
START_TEST(test_host_unit_is_clean_outside)
{
    struct { uint32_t cw, sw, tags, rest[4]; } env = { 0 };

    engine(_i);
    cf_poke(AREA, 0xe7f, 2);
    cf.cpu->gpr[R_SI] = CF_IO + 0x10;
    cf_poke(AREA + 8, 5, 4);
    cf.io_data[0x20] = 7;
    RUN(FNINIT, FLDCW_BX, 0xdb, 0x43, 8, 0xdb, 0x16, 0xda, 0x46, 0x10, FLD1); /* fild; fist [esi]; fiadd [esi+16] */
    ck_assert_uint_eq(cf.num_io, 2);
    ck_assert_uint_eq(cf.io_log[0].value, 5);
    ck_assert_uint_eq(cf.cpu->fpu.st[7].mant, UINT64_C(12) << 60);
    ck_assert_uint_eq(cf.cpu->fpu.cw, 0xe7f);
    ck_assert_uint_eq(cf.cpu->fpu.live, 0);
#ifdef __x86_64__
    __asm__ volatile("fnstenv %0" : "=m"(env));
    ck_assert_uint_eq(env.cw & 0xffff, 0x37f);
    ck_assert_uint_eq(env.tags & 0xffff, 0xffff);
#endif
}
END_TEST

Suite *x87_suite(void)
{
    const TTest *const tests[] = {
        test_fninit, test_tag_word, test_stack_overflow, test_stack_underflow, test_divide_by_zero_masked,
        test_divide_by_zero_unmasked, test_flags_are_of_the_operation, test_unmasked_but_not_raised,
        test_unmasked_exact_underflow, test_unmasked_twice, test_ferr, test_device_not_available, test_fnstenv_protected,
        test_fldenv_round_trip, test_fnstenv_real, test_fnsave_frstor, test_fnsave_faults_before_it_stores,
        test_fxsave_image, test_fxsave_faults, test_fxsave64, test_mmx_aliasing, test_mmx_fault,
        test_fault_after_host_instructions, test_host_and_mmx, test_host_unmasks, test_host_unmasked_exception,
        test_host_unit_is_clean_outside,
    };
    Suite *s = suite_create("x87");
    TCase *t = tcase_create("both engines");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    suite_add_tcase(s, t);
    return s;
}
