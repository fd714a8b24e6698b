/* Vector operations in C against the host's instructions, row by row of vec.def: results and MXCSR flags on
 * random and edge operands, under every rounding and denormal mode. Known answers for AES. */
#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#include "base/bits.h"
#include "tcg/tcg.h"

enum { CSR_FLAGS = 0x3f, CSR_DAZ = 0x40, CSR_MASKS = 0x1f80, CSR_RC_SHIFT = 13, CSR_FTZ = 0x8000 };

union vector {
    uint8_t u8[16];
    uint32_t u32[4];
    uint64_t u64[2];
};

/* ---- operands ---- */

static uint64_t random_state;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static const uint32_t singles[] = {
    0, 1, 0x3f000000, 0x3f000001, 0x3effffff, 0x3f800000, 0x3fc00000, 0x40200000, 0x4affffff, 0x4b000001,
    0x00400000, 0x007fffff, 0x00800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7fc12345,
    0x7fffffff,
};
static const uint64_t doubles[] = {
    0, 1, 0x3fe0000000000000, 0x3fe0000000000001, 0x3fdfffffffffffff, 0x3ff0000000000000, 0x3ff8000000000000,
    0x4004000000000000, 0x432fffffffffffff, 0x4330000000000001, 0x0008000000000000, 0x000fffffffffffff,
    0x0010000000000000, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000,
    0x7ff8123456789abc, 0x7fffffffffffffff,
};

/* An edge, or any number whose exponent is near that of 1, or any bits. */
static uint32_t random_single(void)
{
    uint32_t v = (uint32_t)random64(), sign = v & 0x80000000;

    switch (random64() % 3) {
    case 0: return singles[random64() % ARRAY_LEN(singles)] | sign;
    case 1: return (v & 0x007fffff) | sign | (uint32_t)(0x70 + random64() % 40) << 23;
    default: return v;
    }
}

static uint64_t random_double(void)
{
    uint64_t v = random64(), sign = v & UINT64_C(1) << 63;

    switch (random64() % 3) {
    case 0: return doubles[random64() % ARRAY_LEN(doubles)] | sign;
    case 1: return (v & 0x000fffffffffffff) | sign | (0x3f0 + random64() % 72) << 52;
    default: return v;
    }
}

static union vector random_vector(void)
{
    union vector v;
    unsigned kind = (unsigned)(random64() % 4);

    for (unsigned i = 0; i < 2; i++)
        v.u64[i] = random64();
    for (unsigned i = 0; kind == 1 && i < 4; i++)
        v.u32[i] = random_single();
    for (unsigned i = 0; kind == 2 && i < 2; i++)
        v.u64[i] = random_double();
    for (unsigned i = 0; kind == 3 && i < 16; i++)
        v.u8[i] = (uint8_t)(v.u8[i] & 1 ? v.u8[i] : "\x00\x7f\x80\xff"[v.u8[i] >> 1 & 3]);
    return v;
}

/* ---- the host's instruction ---- */

typedef void vec_fn(void *dst, const void *a, const void *b);

#define LOAD_A_XMM0 0x0f, 0x10, 0x06   /* movups xmm0, [rsi] */
#define LOAD_A_XMM2 0x0f, 0x10, 0x16
#define LOAD_B_XMM1 0x0f, 0x10, 0x0a   /* movups xmm1, [rdx] */
#define LOAD_DST_XMM0 0x0f, 0x10, 0x07 /* movups xmm0, [rdi] */

/* A function around the instruction, in `code`. */
static vec_fn *build(uint8_t *code, const struct tcg_vop_info *op, unsigned imm)
{
    static const uint8_t loads[] = { LOAD_A_XMM0, LOAD_B_XMM1 };
    static const uint8_t loads_mask[] = { LOAD_A_XMM2, LOAD_B_XMM1, LOAD_DST_XMM0 };
    bool mask = op->kind == VK_MASK0, group = op->kind >= VK_GROUP;
    unsigned reg = mask ? 2 : group ? op->kind - VK_GROUP : 0, result = group ? 1 : reg;
    size_t n = mask ? sizeof(loads_mask) : sizeof(loads);

    memcpy(code, mask ? loads_mask : loads, n);
    if (op->prefix)
        code[n++] = (uint8_t)op->prefix;
    code[n++] = 0x0f;
    if (op->opcode > 0xff)
        code[n++] = (uint8_t)(op->opcode >> 8);
    code[n++] = (uint8_t)op->opcode;
    code[n++] = (uint8_t)(0xc1 | reg << 3);
    if (op->fn_imm)
        code[n++] = (uint8_t)imm;
    memcpy(code + n, (const uint8_t[]){ 0x0f, 0x11, (uint8_t)(0x07 | result << 3), 0xc3 }, 4);
    return (vec_fn *)(uintptr_t)code;
}

static bool comparable(const struct tcg_vop_info *op)
{
    bool vex = op->kind == VK_V3 || op->kind == VK_V || op->kind == VK_V1 || op->kind == VK_V1R;

    vex |= op->kind == VK_L || op->kind == VK_L1;
    return op->opcode && op->kind != VK_C && !vex && !(op->isa & ~tcg_host_isa());
}

/* ---- one row ---- */

struct outcome {
    union vector value;
    uint32_t flags;
};

static struct outcome run(const struct tcg_vop_info *op, vec_fn *host, const union vector in[3], unsigned imm,
                          uint32_t csr)
{
    struct outcome r = { .value = in[0] };
    uint32_t saved = _mm_getcsr();

    _mm_setcsr(csr);
    if (host)
        host(&r.value, &in[1], &in[2]);
    else if (op->fn_imm)
        op->fn_imm(&r.value, &in[1], &in[2], imm);
    else
        op->fn(&r.value, &in[1], &in[2]);
    r.flags = _mm_getcsr() & CSR_FLAGS;
    _mm_setcsr(saved);
    return r;
}

static void compare(const struct tcg_vop_info *op, uint8_t *code, unsigned imm, uint32_t csr)
{
    union vector in[3] = { random_vector(), random_vector(), random_vector() };
    bool narrow = op->kind == VK_Q || op->kind == VK_Q1;
    struct outcome want, got;

    if (narrow) /* the host's form sees zeros above */
        in[1].u64[1] = in[2].u64[1] = 0;
    want = run(op, build(code, op, imm), in, imm, csr);
    got = run(op, NULL, in, imm, csr);
    ck_assert_msg(!memcmp(&got.value, &want.value, narrow ? 8 : 16) && got.flags == want.flags,
                  "%s imm %02x mxcsr %04x dst %016lx%016lx a %016lx%016lx b %016lx%016lx:"
                  " %016lx%016lx flags %02x, host %016lx%016lx flags %02x",
                  op->name, imm, csr, in[0].u64[1], in[0].u64[0], in[1].u64[1], in[1].u64[0], in[2].u64[1],
                  in[2].u64[0], got.value.u64[1], got.value.u64[0], got.flags, want.value.u64[1],
                  want.value.u64[0], want.flags);
}

START_TEST(test_against_host)
{
    const struct tcg_vop_info *op = &tcg_vops[_i];
    uint8_t *code;

    if (!comparable(op))
        return;
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(code != MAP_FAILED);
    random_state = UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)_i;
    for (unsigned i = 0; i < 8192; i++) {
        /* Predicates above 7 have no legacy encoding. */
        unsigned imm = op->opcode == 0xc2 ? i & 7 : i & 255, modes = (unsigned)random64();
        uint32_t csr = CSR_MASKS | (modes & 3) << CSR_RC_SHIFT | (modes & 4 ? CSR_DAZ : 0) |
                       (modes & 8 ? CSR_FTZ : 0);
        compare(op, code, imm, csr);
    }
    munmap(code, 4096);
}
END_TEST

/* ---- known answers ---- */

static union vector from_hex(uint64_t high, uint64_t low)
{
    return (union vector){ .u64 = { low, high } };
}

/* The examples of Intel's white papers on AES-NI and PCLMULQDQ. */
START_TEST(test_known_answers)
{
    static const struct { unsigned vop, imm; uint64_t want[2]; } rows[] = {
        { TCG_V_AESENC, 0, { 0xa8311c2f9fdba3c5, 0x8b104b58ded7e595 } },
        { TCG_V_AESENCLAST, 0, { 0xc7fb881e938c5964, 0x177ec42553fdc611 } },
        { TCG_V_AESDEC, 0, { 0x138ac342faea2787, 0xb58eb95eb730392a } },
        { TCG_V_AESDECLAST, 0, { 0xc5a391ef6b317f95, 0xd410637b72a593d0 } },
        { TCG_V_PCLMULQDQ, 0x00, { 0x1d4d84c85c3440c0, 0x929633d5d36f0451 } },
        { TCG_V_PCLMULQDQ, 0x01, { 0x1a2bf6db3a30862f, 0xbabf262df4b7d5c9 } },
        { TCG_V_PCLMULQDQ, 0x10, { 0x1bd17c8d556ab5a1, 0x7fa540ac2a281315 } },
        { TCG_V_PCLMULQDQ, 0x11, { 0x1d1e1f2c592e7c45, 0xd66ee03e410fd4ed } },
    };
    union vector a = from_hex(0x7b5b546573745665, 0x63746f725d53475d), r;
    union vector b = from_hex(0x4869285368617929, 0x5b477565726f6e5d);

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct tcg_vop_info *op = &tcg_vops[rows[i].vop];
        if (op->fn_imm)
            op->fn_imm(&r, &a, &b, rows[i].imm);
        else
            op->fn(&r, &a, &b);
        ck_assert_msg(r.u64[1] == rows[i].want[0] && r.u64[0] == rows[i].want[1],
                      "%s %02x: %016lx%016lx", op->name, rows[i].imm, r.u64[1], r.u64[0]);
    }
    tcg_vops[TCG_V_AESIMC].fn(&r, &b, &a);
    ck_assert_uint_eq(r.u64[1], 0x627a6f6644b109c8);
    ck_assert_uint_eq(r.u64[0], 0x2b18330a81c3b3e5);
    b = from_hex(0x3c4fcf098815f7ab, 0xa6d2ae2816157e2b);
    tcg_vops[TCG_V_AESKEYGENASSIST].fn_imm(&r, &a, &b, 1);
    ck_assert_uint_eq(r.u64[1], 0x01eb848beb848a01);
    ck_assert_uint_eq(r.u64[0], 0x3424b5e524b5e434);
}
END_TEST

Suite *sse4_suite(void)
{
    Suite *s = suite_create("sse4");
    TCase *t = tcase_create("vectors");

    tcase_add_loop_test(t, test_against_host, 0, TCG_NUM_VOPS);
    tcase_add_test(t, test_known_answers);
    suite_add_tcase(s, t);
    return s;
}
