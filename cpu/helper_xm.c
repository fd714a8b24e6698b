/* SSE floating-point exceptions when one is unmasked (SDM vol. 1, 11.5). Operations run with all masked; here
 * follows which flags the processor would have set, and #XM. */
#include "cpu/helpers.h"
#include "cpu/x87.h"

#include <xmmintrin.h>

enum {
    CSR_DE = 0x02, CSR_OE = 0x08, CSR_UE = 0x10, CSR_PE = 0x20, CSR_FLAGS = 0x3f,
    CSR_BEFORE = 0x07,      /* IE, DE, ZE: found before the computation, which they prevent */
    CSR_DAZ = 0x40, CSR_MASKS = 0x1f80, CSR_MASK_SHIFT = 7, CSR_RC_SHIFT = 13,
};
#define X87_RC_SHIFT 10

/* Operations whose result may be too small or too large for its format. */
static const struct float_op {
    uint8_t vop, op;         /* enum tcg_vop, enum x87_op */
    uint8_t in, out, lanes;  /* bytes of a number, and how many */
} float_ops[] = {
#define FLOAT_OP(name) \
    { TCG_V_##name##PS, X87_##name, 4, 4, 4 }, { TCG_V_##name##PD, X87_##name, 8, 8, 2 }, \
    { TCG_V_##name##SS, X87_##name, 4, 4, 1 }, { TCG_V_##name##SD, X87_##name, 8, 8, 1 }
    FLOAT_OP(ADD), FLOAT_OP(MUL), FLOAT_OP(SUB), FLOAT_OP(DIV),
#undef FLOAT_OP
    { TCG_V_CVTPD2PS, X87_MUL, 8, 4, 2 }, { TCG_V_CVTSD2SS, X87_MUL, 8, 4, 1 },
};

uint64_t helper_xm_begin(struct cpu *cpu)
{
    cpu->mxcsr |= _mm_getcsr() & CSR_FLAGS;
    _mm_setcsr(_mm_getcsr() & ~(uint32_t)CSR_FLAGS);
    return 0;
}

static const struct float_op *find_float_op(uint64_t vop)
{
    for (unsigned i = 0; i < ARRAY_LEN(float_ops); i++)
        if (float_ops[i].vop == vop)
            return &float_ops[i];
    return NULL;
}

static bool is_denormal(uint64_t v, unsigned size)
{
    return size == 4 ? !(v & 0x7f800000) && v << 33 : !(v & UINT64_C(0x7ff0000000000000)) && v << 1;
}

static union fpu_reg extend(uint64_t v, unsigned size)
{
    struct x87_io io = { .mem = v, .cw = 0x37f };

    x87_host_load(size == 4 ? XK_F32 : XK_F64, &io);
    return io.r0;
}

/* The result with the format's precision and more range. *inexact: it was rounded. */
static int unlimited_exponent(const struct float_op *f, uint32_t csr, uint64_t a, uint64_t b, bool *inexact)
{
    unsigned precision = f->out == 4 ? 0 : 0x200, rounding = csr >> CSR_RC_SHIFT & 3;
    struct x87_io io = { .cw = (uint16_t)(0x3f | precision | rounding << X87_RC_SHIFT) };

    if (f->in != f->out) {
        io.a = extend(b, f->in);
        io.b = (union fpu_reg){ { .mant = UINT64_C(1) << 63, .exp = 0x3fff } };
    } else {
        io.a = extend(a, f->in);
        io.b = extend(b, f->in);
    }
    x87_host_op(f->op, &io);
    *inexact = io.sw & CSR_PE;
    if (!io.r0.mant || (io.r0.exp & 0x7fff) == 0x7fff)
        return 0;
    return (io.r0.exp & 0x7fff) - 0x3fff;
}

static union vec128 spread(uint64_t v, unsigned size)
{
    union vec128 r;

    for (unsigned i = 0; i < 16; i += size)
        store_le(&r.u8[i], size, v);
    return r;
}

/* Flags of one lane under `csr`. */
static uint32_t lane_flags(const struct float_op *f, uint32_t csr, uint64_t a, uint64_t b)
{
    union vec128 va = spread(a, f->in), vb = spread(b, f->in), d = va;
    int max = f->out == 4 ? 127 : 1023, exponent;
    uint32_t flags;
    bool inexact;

    _mm_setcsr((csr & ~(uint32_t)CSR_FLAGS) | CSR_MASKS);
    tcg_vops[f->vop].fn(&d, &va, &vb);
    flags = _mm_getcsr() & CSR_FLAGS;
    if ((csr & CSR_DAZ) && (is_denormal(a, f->in) || is_denormal(b, f->in)))
        return flags;
    exponent = unlimited_exponent(f, csr, a, b, &inexact);
    if (exponent < 1 - max && !(csr & CSR_UE << CSR_MASK_SHIFT))
        flags = (flags & ~(uint32_t)CSR_PE) | CSR_UE | (inexact ? CSR_PE : 0);
    else if (exponent > max && !(csr & CSR_OE << CSR_MASK_SHIFT))
        flags = (flags & ~(uint32_t)CSR_PE) | CSR_OE | (inexact ? CSR_PE : 0);
    return flags;
}

static uint32_t all_lanes_flags(const struct float_op *f, uint32_t csr, const union vec128 *a,
                                const union vec128 *b)
{
    uint32_t flags = 0;

    for (unsigned i = 0; i < f->lanes; i++)
        flags |= lane_flags(f, csr, load_le(&a->u8[i * f->in], f->in), load_le(&b->u8[i * f->in], f->in));
    return flags;
}

/* `vop`: the operation, TCG_NUM_VOPS for one that neither overflows nor underflows; `fields`: operands. */
uint64_t helper_xm_end(struct cpu *cpu, uint64_t vop, uint64_t fields)
{
    uint32_t csr = _mm_getcsr(), flags = csr & CSR_FLAGS;
    uint32_t enabled = ~(cpu->mxcsr >> CSR_MASK_SHIFT) & CSR_FLAGS;
    const struct float_op *f = enabled & (CSR_OE | CSR_UE) ? find_float_op(vop) : NULL;
    const union vec128 *a = (const union vec128 *)((const char *)cpu + (fields & 0xffff));
    const union vec128 *b = (const union vec128 *)((const char *)cpu + (fields >> 16));

    if (flags & enabled & CSR_BEFORE)
        flags &= CSR_BEFORE;
    else if (f)
        flags = all_lanes_flags(f, cpu->mxcsr & ~(uint32_t)CSR_FLAGS, a, b);
    _mm_setcsr((csr & ~(uint32_t)CSR_FLAGS) | flags);
    if (flags & enabled)
        cpu_raise_exception(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EX_XM : EX_UD);
    return 0;
}
