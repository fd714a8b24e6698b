/* AVX: VEX encodings against the host's processor, and by the SDM what a process cannot see: #UD, #NM,
 * #XM, alignment, faults that change nothing. */
#include <check.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/decode.h"
#include "cpu/features.h"
#include "cpu_fixture.h"

enum { C = CF_CODE, AREA = 0x20000, DEFAULT = 0x1f80 };
enum { IE = 1, ZE = 4, OE = 8 };

/* ---- state ---- */

struct ymm { uint64_t q[4]; };

static void set_ymm(unsigned n, struct ymm v)
{
    memcpy(&cf.cpu->xmm[n], v.q, 16);
    memcpy(&cf.cpu->ymmh[n], v.q + 2, 16);
}

static struct ymm get_ymm(unsigned n)
{
    struct ymm v;

    memcpy(v.q, &cf.cpu->xmm[n], 16);
    memcpy(v.q + 2, &cf.cpu->ymmh[n], 16);
    return v;
}

static void enable_avx(void)
{
    cpu_features_set(&cf.cpu->features, FEAT_XSAVE, true);
    cpu_features_set(&cf.cpu->features, FEAT_AVX, true);
    cpu_features_set(&cf.cpu->features, FEAT_AVX2, true);
    cpu_features_set(&cf.cpu->features, FEAT_FMA, true);
    cpu_features_set(&cf.cpu->features, FEAT_F16C, true);
    cf.cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu_write_cr4(cf.cpu, CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    cf.cpu->gpr[R_BX] = AREA;
}

static void engine(int i)
{
    cf_setup_engine(i & 1);
    enable_avx();
}

/* ---- every row against the host ---- */

/* What the code on the host loads and stores: rdi points here. */
struct host_frame {
    struct ymm reg[4];      /* ymm0..ymm3 */
    uint64_t rax, flags;
    uint32_t mxcsr, pad;
    uint8_t *area;
};

static uint64_t random_state;

static uint64_t random64(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state ^ random_state >> 29;
}

/* Integers small and large, floating-point numbers of every class in both formats. */
static uint64_t random_lane(void)
{
    static const uint32_t edges[8] = { 0, 0x80000000, 0x3f800000, 0x7f800000, 0xffc00001, 0x7f812345,
                                       0x00012345, 0x7f7fffff };
    uint64_t r = random64();

    switch (r >> 60 & 7) {
    case 0: return r >> 32 & 0xff;
    case 1: return edges[r & 7] | (uint64_t)edges[r >> 3 & 7] << 32;
    case 2: return (r & 0x80000000800fffff) | 0x3f8000003f800000;
    case 3: return (r & MASK(52)) | (r & 1 ? UINT64_C(0x3ff) : r & 2 ? UINT64_C(0x7ff) : 0) << 52;
    case 4: return UINT64_C(0x3ff0000000000000) + ((r & 0xff) << 48);
    case 5: return (r & 0x00ff00ff00ff00ff) ^ (r & 1 ? 0x8000800080008000 : 0);
    default: return r;
    }
}

static const uint8_t host_load[] = {
    0x53, 0x48, 0x8b, 0x9f, 0x98, 0, 0, 0,          /* push rbx; mov rbx, [rdi+0x98] */
    0x0f, 0xae, 0x97, 0x90, 0, 0, 0,                /* ldmxcsr [rdi+0x90] */
    0xc5, 0xfe, 0x6f, 0x07, 0xc5, 0xfe, 0x6f, 0x4f, 0x20, 0xc5, 0xfe, 0x6f, 0x57, 0x40,
    0xc5, 0xfe, 0x6f, 0x5f, 0x60,                   /* vmovdqu ymm0..ymm3, [rdi+...] */
    0x48, 0x8b, 0x87, 0x80, 0, 0, 0,                /* mov rax, [rdi+0x80] */
    0x48, 0xc7, 0xc2, 0x04, 0x03, 0x02, 0x01,       /* mov rdx, 0x01020304 */
    0x31, 0xc9,                                     /* xor ecx, ecx: flags known */
};
static const uint8_t host_store[] = {
    0x48, 0x89, 0x87, 0x80, 0, 0, 0,                /* mov [rdi+0x80], rax */
    0x9c, 0x8f, 0x87, 0x88, 0, 0, 0,                /* pushf; pop [rdi+0x88] */
    0xc5, 0xfe, 0x7f, 0x07, 0xc5, 0xfe, 0x7f, 0x4f, 0x20, 0xc5, 0xfe, 0x7f, 0x57, 0x40,
    0xc5, 0xfe, 0x7f, 0x5f, 0x60,                   /* vmovdqu [rdi+...], ymm0..ymm3 */
    0x0f, 0xae, 0x9f, 0x90, 0, 0, 0,                /* stmxcsr [rdi+0x90] */
    0xc5, 0xf8, 0x77, 0x5b, 0xc3,                   /* vzeroupper; pop rbx; ret */
};
_Static_assert(offsetof(struct host_frame, rax) == 0x80 && offsetof(struct host_frame, mxcsr) == 0x90 &&
               offsetof(struct host_frame, area) == 0x98, "as in the code");

static void run_on_host(uint8_t *page, const uint8_t *code, unsigned len, struct host_frame *f)
{
    uint8_t *at = page;

    memcpy(at, host_load, sizeof(host_load));
    at += sizeof(host_load);
    memcpy(at, code, len);
    memcpy(at + len, host_store, sizeof(host_store));
    ((void (*)(struct host_frame *))(uintptr_t)page)(f);
    __asm__ volatile("ldmxcsr %0" : : "m"((const uint32_t){ DEFAULT }));
}

/* Register forms have ymm0, ymm1 (vvvv), ymm2 (rm), ymm3 (is4), eax, edx; memory forms [rbx]. */
static unsigned encode(uint8_t *p, const struct opcode *row, bool memory, bool uses_vvvv)
{
    static const uint8_t pp[] = { 0, 0, 1, 2, 3 };
    unsigned map = row->opcode >> 8 == 0x0f ? 1 : row->opcode >> 8 == 0x0f38 ? 2 : 3, n = 0;
    bool l = !(row->flags & OPF_L0) && (row->flags & OPF_L1 || random64() & 1);
    unsigned w = row->flags & OPF_W1 ? 0x80 : 0, vvvv = uses_vvvv ? 14 : 15;

    p[n++] = 0xc4;
    p[n++] = (uint8_t)(0xe0 | map);
    p[n++] = (uint8_t)(w | vvvv << 3 | (l ? 4 : 0) | pp[row->pfx]);
    p[n++] = (uint8_t)row->opcode;
    p[n++] = (uint8_t)((memory ? 3 : 0xc2) | (row->reg != SEL_ANY ? row->reg << 3 : 0));
    for (unsigned i = 0; i < 4; i++) {
        if (row->op[i] == O_Ib)
            p[n++] = (uint8_t)random64();
        if (row->op[i] == O_Lx)
            p[n++] = 0x30;
    }
    return n;
}

static bool has_vvvv(const struct opcode *row)
{
    for (unsigned i = 0; i < 4; i++)
        if (row->op[i] >= O_Hx && row->op[i] <= O_Hd)
            return true;
    return false;
}

/* Instructions whose effect this frame holds: no gathers, masked and control stores, no ECX. */
static bool row_fits(const struct opcode *row)
{
    static const char *const out[] = { "vmaskmov", "vpmaskmov", "vpcmpestr", "vpcmpistr", "vldmxcsr",
                                       "vstmxcsr", "vzero" };

    if (!(row->flags & OPF_VEX) || !(row->flags & OPF_AVX) || !(row->flags & OPF_HOST))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(out); i++)
        if (!strncmp(row->mnemonic, out[i], strlen(out[i])))
            return false;
    return row->op[1] != O_MGd && row->op[1] != O_MGq;
}

static void fill(struct host_frame *f, uint8_t *area)
{
    *f = (struct host_frame){ .rax = random64(), .area = area };
    f->mxcsr = DEFAULT | (uint32_t)(random64() & 3) << 13 | (random64() & 0x8040);
    for (unsigned i = 0; i < 16; i++)
        f->reg[i / 4].q[i % 4] = random_lane();
    for (unsigned i = 0; i < 64; i += 8)
        store_le(area + i, 8, random_lane());
    for (unsigned i = 0; i < 4; i++)
        set_ymm(i, f->reg[i]);
    for (unsigned i = 0; i < 64; i++)
        cf_poke(AREA + i, area[i], 1);
    cf.cpu->gpr[R_AX] = f->rax;
    cf.cpu->gpr[R_DX] = 0x01020304;
    cpu_set_mxcsr(cf.cpu, f->mxcsr);
    cpu_set_flags6(cf.cpu, IR_ZF | IR_PF);
}

static void compare(const struct host_frame *f, const struct opcode *row, const uint8_t *code)
{
    char what[80];

    snprintf(what, sizeof(what), "%s: %02x %02x %02x %02x %02x %02x", row->mnemonic, code[0], code[1],
             code[2], code[3], code[4], code[5]);
    ck_assert_msg(cf_last_vector() == -1, "%s: exception %d", what, cf_last_vector());
    for (unsigned i = 0; i < 16; i++) {
        uint64_t v = get_ymm(i / 4).q[i % 4], expect = f->reg[i / 4].q[i % 4];
        ck_assert_msg(v == expect, "%s: ymm%u[%u] %016" PRIx64 ", not %016" PRIx64, what,
                      i / 4, i % 4, v, expect);
    }
    for (unsigned i = 0; i < 64; i++)
        ck_assert_msg(cf_peek(AREA + i, 1) == f->area[i], "%s: memory", what);
    ck_assert_msg(cf.cpu->gpr[R_AX] == (uint32_t)f->rax || cf.cpu->gpr[R_AX] == f->rax, "%s: eax", what);
    ck_assert_msg(cpu_get_mxcsr(cf.cpu) == f->mxcsr, "%s: mxcsr %x, not %x", what, cpu_get_mxcsr(cf.cpu),
                  f->mxcsr);
    ck_assert_msg(!((cpu_get_eflags(cf.cpu) ^ f->flags) & IR_FLAGS6 & ~(uint64_t)IR_AF), "%s: flags", what);
}

static void check_row(uint8_t *page, const struct opcode *row, bool memory)
{
    static uint8_t area[64] __attribute__((aligned(32)));
    struct host_frame f;
    uint8_t code[16];
    struct insn insn;
    unsigned len = encode(code, row, memory, has_vvvv(row));

    if (insn_decode(&insn, code, sizeof(code), 32) != DECODE_OK || insn.row != row)
        return;
    fill(&f, area);
    memcpy(code + len, (const uint8_t[]){ CF_STOP }, 4);
    cf_code(C, code, len + 4);
    cf_run(C);
    run_on_host(page, code, len, &f);
    compare(&f, row, code);
}

START_TEST(test_rows)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(page, MAP_FAILED);
    engine(_i);
    if (!__builtin_cpu_supports("avx2"))
        return;
    for (unsigned i = 0; i < cpu_num_opcodes; i++)
        for (unsigned n = 0; n < 60 && row_fits(&cpu_opcodes[i]); n++) {
            random_state = i * 1000 + n;
            cpu_features_set(&cf.cpu->features, cpu_opcodes[i].feature, true);
            check_row(page, &cpu_opcodes[i], n & 1);
        }
}
END_TEST

/* ---- by the manual ---- */

#define RUN(...) \
    do { \
        CF_CODE_AT(C, __VA_ARGS__, CF_STOP); \
        cf_run(C); \
    } while (0)

static const struct ymm ONES = { { ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0) } };
static const struct ymm COUNT = { { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908),
                                    UINT64_C(0x1716151413121110), UINT64_C(0x1f1e1d1c1b1a1918) } };

static struct ymm floats(uint32_t low, uint32_t others)
{
    uint64_t both = others | (uint64_t)others << 32;

    return (struct ymm){ { low | (uint64_t)others << 32, both, both, both } };
}

static void check_ymm(unsigned n, struct ymm expect)
{
    struct ymm v = get_ymm(n);

    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(v.q[i], expect.q[i]);
}

/* Legacy instructions leave the upper half alone, VEX.128 clears it. */
START_TEST(test_upper_half)
{
    struct ymm sum = floats(0x40000000, 0x40000000);

    engine(_i);
    for (unsigned i = 0; i < 3; i++)
        set_ymm(i, floats(0x3f800000, 0x3f800000));
    RUN(0x0f, 0x58, 0xc1); /* addps xmm0, xmm1 */
    check_ymm(0, (struct ymm){ { sum.q[0], sum.q[1], 0x3f8000003f800000, 0x3f8000003f800000 } });
    RUN(0xc5, 0xf4, 0x58, 0xc2); /* vaddps ymm0, ymm1, ymm2 */
    check_ymm(0, sum);
    RUN(0xc5, 0xf0, 0x58, 0xc2); /* vaddps xmm0, xmm1, xmm2 */
    check_ymm(0, (struct ymm){ { sum.q[0], sum.q[1], 0, 0 } });
    set_ymm(0, ONES);
    RUN(0xc5, 0xf2, 0x58, 0xc2); /* vaddss xmm0, xmm1, xmm2 */
    check_ymm(0, (struct ymm){ { 0x3f80000040000000, 0x3f8000003f800000, 0, 0 } });
    set_ymm(0, ONES);
    RUN(0xc5, 0xfb, 0x10, 0x03); /* vmovsd xmm0, [ebx] */
    check_ymm(0, (struct ymm){ { 0, 0, 0, 0 } });
}
END_TEST

static int vector_of(const uint8_t *code, size_t len)
{
    static const uint8_t stop[] = { CF_STOP };

    cf_code(C, code, len);
    cf_code(C + len, stop, sizeof(stop));
    cf_run(C);
    return cf_last_vector();
}
#define VECTOR_OF(...) vector_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

START_TEST(test_encodings)
{
    engine(_i);
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf4, 0x58, 0xc2), -1);            /* vaddps ymm0, ymm1, ymm2 */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf8, 0x28, 0xc2), -1);            /* vmovaps xmm0, xmm2 */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf0, 0x28, 0xc2), EX_UD);         /* vvvv */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf8, 0x12, 0x03), -1);            /* vmovlps xmm0, xmm0, [ebx] */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x12, 0x03), EX_UD);         /* VEX.L */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf6, 0x58, 0xc2), -1);            /* vaddss: VEX.L ignored */
    ck_assert_int_eq(VECTOR_OF(0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0x30), -1);     /* vblendvps */
    ck_assert_int_eq(VECTOR_OF(0xc4, 0xe3, 0xf1, 0x4a, 0xc2, 0x30), EX_UD);  /* VEX.W */
    ck_assert_int_eq(VECTOR_OF(0x66, 0xc5, 0xf4, 0x58, 0xc2), EX_UD);
    ck_assert_int_eq(VECTOR_OF(0xf0, 0xc5, 0xf4, 0x58, 0xc2), EX_UD);
}
END_TEST

START_TEST(test_availability)
{
    engine(_i);
    cpu_features_set(&cf.cpu->features, FEAT_AVX2, false);
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf1, 0xfe, 0xc2), -1);    /* vpaddd xmm0, xmm1, xmm2 */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf5, 0xfe, 0xc2), EX_UD); /* vpaddd ymm0, ymm1, ymm2 */
    cf.cpu->cr0 |= CR0_TS;
    cpu_update_mode(cf.cpu);
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf4, 0x58, 0xc2), EX_NM);
    cf.cpu->xcr0 = XCR0_X87 | XCR0_SSE;
    cpu_update_mode(cf.cpu);
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf4, 0x58, 0xc2), EX_UD);
    cf.cpu->cr0 &= ~(uint64_t)CR0_TS;
    enable_avx();
    cpu_write_cr4(cf.cpu, CR4_OSFXSR);
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf4, 0x58, 0xc2), EX_UD);
}
END_TEST

/* Aligned moves ask for a multiple of their size, all others for nothing. */
START_TEST(test_alignment)
{
    static const uint8_t aligned[][4] = { /* vmovaps, vmovapd, vmovdqa, their stores, vmovntps, ntpd, ntdq */
        { 0xc5, 0xfc, 0x28, 0x03 }, { 0xc5, 0xfd, 0x28, 0x03 }, { 0xc5, 0xfd, 0x6f, 0x03 },
        { 0xc5, 0xfc, 0x29, 0x03 }, { 0xc5, 0xfd, 0x29, 0x03 }, { 0xc5, 0xfd, 0x7f, 0x03 },
        { 0xc5, 0xfc, 0x2b, 0x03 }, { 0xc5, 0xfd, 0x2b, 0x03 }, { 0xc5, 0xfd, 0xe7, 0x03 },
    };

    engine(_i);
    for (unsigned i = 0; i < ARRAY_LEN(aligned); i++) {
        uint8_t narrow[4] = { aligned[i][0], aligned[i][1] & ~4, aligned[i][2], aligned[i][3] };
        cf.cpu->gpr[R_BX] = AREA + 16;
        ck_assert_int_eq(vector_of(aligned[i], 4), EX_GP);
        ck_assert_int_eq(vector_of(narrow, 4), -1);
        cf.cpu->gpr[R_BX] = AREA + 32;
        ck_assert_int_eq(vector_of(aligned[i], 4), -1);
    }
    cf.cpu->gpr[R_BX] = AREA + 1;
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x10, 0x03), -1); /* vmovups ymm0, [ebx] */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf4, 0x58, 0x03), -1); /* vaddps ymm0, ymm1, [ebx] */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xf0, 0x58, 0x03), -1); /* vaddps xmm0, xmm1, [ebx] */
}
END_TEST

/* An access of 32 bytes into a page that is not there changes nothing, wherever the border lies in it. */
START_TEST(test_crossing_fault)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(AREA + 0x1000), 0, 4);
    for (unsigned n = 1; n < 32; n++) {
        cf.cpu->gpr[R_BX] = AREA + 0x1000 - n;
        set_ymm(0, COUNT);
        for (unsigned i = 0; i < n; i++)
            cf_poke(AREA + 0x1000 - n + i, 0xee, 1);
        ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x11, 0x03), EX_PF); /* vmovups [ebx], ymm0 */
        ck_assert_uint_eq(cf.cpu->cr2, AREA + 0x1000);
        for (unsigned i = 0; i < n; i++)
            ck_assert_uint_eq(cf_peek(AREA + 0x1000 - n + i, 1), 0xee);
        ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x10, 0x03), EX_PF); /* vmovups ymm0, [ebx] */
        check_ymm(0, COUNT);
    }
    cf.cpu->gpr[R_BX] = AREA + 0x1000 - 16;
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x29, 0x03), EX_GP); /* vmovaps: misalignment comes first */
    cf.cpu->gpr[R_BX] = AREA + 0x1000 - 32;
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x29, 0x03), -1);
    ck_assert_uint_eq(cf_peek(AREA + 0x1000 - 8, 8), COUNT.q[3]);
}
END_TEST

/* A flat segment ends at 4 GiB for the access as a whole. */
START_TEST(test_limit)
{
    engine(_i);
    set_ymm(0, COUNT);
    cf.cpu->gpr[R_BX] = 0xfffffff0;
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x10, 0x03), EX_GP); /* vmovups ymm0, [ebx] */
    ck_assert_int_eq(VECTOR_OF(0xc5, 0xfc, 0x11, 0x03), EX_GP);
    check_ymm(0, COUNT);
}
END_TEST

#define VLDMXCSR 0xc5, 0xf8, 0xae, 0x13 /* vldmxcsr [ebx] */

/* #XM in either half leaves both halves of the destination. */
START_TEST(test_unmasked_exception)
{
    static const uint8_t code[] = { VLDMXCSR, 0xc5, 0xf4, 0x5e, 0xc2 }; /* vdivps ymm0, ymm1, ymm2 */
    struct ymm one = floats(0x3f800000, 0x3f800000), divisor = one;

    engine(_i);
    cf_poke(AREA, DEFAULT & ~(ZE << 7), 4);
    set_ymm(1, one);
    for (unsigned lane = 0; lane < 4; lane++) {
        set_ymm(0, COUNT);
        divisor = one;
        divisor.q[lane] = 0x3f800000;
        set_ymm(2, divisor);
        ck_assert_int_eq(vector_of(code, sizeof(code)), EX_XM);
        check_ymm(0, COUNT);
        ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu) & 0x3f, ZE);
    }
    set_ymm(2, one);
    ck_assert_int_eq(vector_of(code, sizeof(code)), -1);
    check_ymm(0, one);
    cf_poke(AREA, DEFAULT & ~(OE << 7), 4); /* 1 / 2^-126 does not overflow, 15 / 2^-126 does */
    set_ymm(2, floats(0x00800000, 0x00800000));
    ck_assert_int_eq(vector_of(code, sizeof(code)), -1);
    one.q[3] = 0x417000003f800000;
    set_ymm(1, one);
    ck_assert_int_eq(vector_of(code, sizeof(code)), EX_XM);
    ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu) & 0x3f, OE);
}
END_TEST

/* SDM vol. 2, table 3-1: the answers for a > b, a < b, a = b, unordered; does a quiet NaN raise the invalid
 * exception? */
START_TEST(test_predicates)
{
    static const struct { uint8_t gt, lt, eq, un, invalid; } table[32] = {
        { 0, 0, 1, 0, 0 }, { 0, 1, 0, 0, 1 }, { 0, 1, 1, 0, 1 }, { 0, 0, 0, 1, 0 }, { 1, 1, 0, 1, 0 },
        { 1, 0, 1, 1, 1 }, { 1, 0, 0, 1, 1 }, { 1, 1, 1, 0, 0 }, { 0, 0, 1, 1, 0 }, { 0, 1, 0, 1, 1 },
        { 0, 1, 1, 1, 1 }, { 0, 0, 0, 0, 0 }, { 1, 1, 0, 0, 0 }, { 1, 0, 1, 0, 1 }, { 1, 0, 0, 0, 1 },
        { 1, 1, 1, 1, 0 }, { 0, 0, 1, 0, 1 }, { 0, 1, 0, 0, 0 }, { 0, 1, 1, 0, 0 }, { 0, 0, 0, 1, 1 },
        { 1, 1, 0, 1, 1 }, { 1, 0, 1, 1, 0 }, { 1, 0, 0, 1, 0 }, { 1, 1, 1, 0, 1 }, { 0, 0, 1, 1, 1 },
        { 0, 1, 0, 1, 0 }, { 0, 1, 1, 1, 0 }, { 0, 0, 0, 0, 1 }, { 1, 1, 0, 0, 1 }, { 1, 0, 1, 0, 0 },
        { 1, 0, 0, 0, 0 }, { 1, 1, 1, 1, 1 },
    };
    static const uint32_t number[4] = { 0x40000000, 0x3f800000, 0x3fc00000, 0x7fc00000 };

    engine(_i);
    for (unsigned i = 0; i < 32; i++)
        for (unsigned relation = 0; relation < 4; relation++) {
            /* vcmpps ymm0, ymm1, ymm2, i */
            const uint8_t code[] = { VLDMXCSR, 0xc5, 0xf4, 0xc2, 0xc2, (uint8_t)i };
            bool holds = (&table[i].gt)[relation];
            cf_poke(AREA, DEFAULT, 4);
            set_ymm(1, floats(number[relation], number[relation]));
            set_ymm(2, floats(0x3fc00000, 0x3fc00000));
            ck_assert_int_eq(vector_of(code, sizeof(code)), -1);
            check_ymm(0, holds ? ONES : (struct ymm){ { 0, 0, 0, 0 } });
            ck_assert_uint_eq(cpu_get_mxcsr(cf.cpu), DEFAULT | (relation == 3 && table[i].invalid ? IE : 0));
        }
}
END_TEST

/* Halves do not mix: bytes of each half interleaved by itself. */
START_TEST(test_lanes)
{
    engine(_i);
    set_ymm(1, COUNT);
    set_ymm(2, (struct ymm){ { 0, 0, 0, 0 } });
    RUN(0xc5, 0xf5, 0x60, 0xc2); /* vpunpcklbw ymm0, ymm1, ymm2 */
    check_ymm(0, (struct ymm){ { 0x0003000200010000, 0x0007000600050004,
                                 0x0013001200110010, 0x0017001600150014 } });
    RUN(0xc5, 0xfd, 0x73, 0xf9, 0x09); /* vpslldq ymm0, ymm1, 9 */
    check_ymm(0, (struct ymm){ { 0, 0x0605040302010000, 0, 0x1615141312111000 } });
    set_ymm(2, (struct ymm){ { 8, 0, 99, 99 } });
    RUN(0xc5, 0xed, 0xd3, 0xc2); /* vpsrlq ymm0, ymm2, xmm2: the count is that of the low half */
    check_ymm(0, (struct ymm){ { 0, 0, 0, 0 } });
    RUN(0xc5, 0xf5, 0xd3, 0xd2); /* vpsrlq ymm2, ymm1, xmm2 */
    check_ymm(2, (struct ymm){ { 0x0007060504030201, 0x000f0e0d0c0b0a09,
                                 0x0017161514131211, 0x001f1e1d1c1b1a19 } });
    set_ymm(1, COUNT);
    RUN(0xc4, 0xe2, 0x7d, 0x31, 0xc9); /* vpmovzxbd ymm1, xmm1 */
    check_ymm(1, (struct ymm){ { 0x0000000100000000, 0x0000000300000002,
                                 0x0000000500000004, 0x0000000700000006 } });
}
END_TEST

Suite *avx_suite(void)
{
    const TTest *const tests[] = {
        test_rows, test_upper_half, test_encodings, test_availability, test_alignment, test_crossing_fault,
        test_limit, test_unmasked_exception, test_predicates, test_lanes,
    };
    Suite *s = suite_create("avx");
    TCase *t = tcase_create("both engines");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, NULL, cf_teardown);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    suite_add_tcase(s, t);
    return s;
}
