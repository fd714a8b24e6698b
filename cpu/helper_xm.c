/* SSE floating-point exceptions when one is unmasked (SDM vol. 1, 11.5). Operations run with all masked; here
 * follows which flags the processor would have set, and #XM. */
#include "cpu/helper_vec.h"
#include "cpu/helpers.h"
#include "cpu/x87.h"
#include "tcg/vec_f16c.h"
#include "tcg/vec_fma.h"

#include <xmmintrin.h>

enum {
    CSR_DE = 0x02, CSR_OE = 0x08, CSR_UE = 0x10, CSR_PE = 0x20, CSR_FLAGS = 0x3f,
    CSR_BEFORE = 0x07,      /* IE, DE, ZE: found before the computation, which they prevent */
    CSR_DAZ = 0x40, CSR_MASKS = 0x1f80, CSR_MASK_SHIFT = 7, CSR_RC_SHIFT = 13,
};
#define X87_RC_SHIFT 10

/* Operations whose result may be too small or too large for its format. */
static const struct float_op {
    uint16_t vop;            /* enum tcg_vop */
    uint8_t op;              /* enum x87_op */
    uint8_t in, out, lanes;  /* bytes of a number, and how many */
} float_ops[] = {
#define FLOAT_OP(name) \
    { TCG_V_##name##PS, X87_##name, 4, 4, 4 }, { TCG_V_##name##PD, X87_##name, 8, 8, 2 }, \
    { TCG_V_##name##SS, X87_##name, 4, 4, 1 }, { TCG_V_##name##SD, X87_##name, 8, 8, 1 }
    FLOAT_OP(ADD), FLOAT_OP(MUL), FLOAT_OP(SUB), FLOAT_OP(DIV),
#undef FLOAT_OP
    { TCG_V_CVTPD2PS, X87_MUL, 8, 4, 2 }, { TCG_V_CVTSD2SS, X87_MUL, 8, 4, 1 },
};

/* Operations that do others in their even and odd lanes. */
static const struct mixed_op {
    uint16_t vop, even, odd;
    bool neighbours;         /* operands are even and odd elements of a, then of b */
} mixed_ops[] = {
    { TCG_V_HADDPS, TCG_V_ADDPS, TCG_V_ADDPS, true }, { TCG_V_HADDPD, TCG_V_ADDPD, TCG_V_ADDPD, true },
    { TCG_V_HSUBPS, TCG_V_SUBPS, TCG_V_SUBPS, true }, { TCG_V_HSUBPD, TCG_V_SUBPD, TCG_V_SUBPD, true },
    { TCG_V_ADDSUBPS, TCG_V_SUBPS, TCG_V_ADDPS, false }, { TCG_V_ADDSUBPD, TCG_V_SUBPD, TCG_V_ADDPD, false },
};

uint64_t helper_xm_begin(struct cpu *cpu)
{
    fpu_sync(cpu); /* unlimited_exponent() needs the host's x87 unit */
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

static const struct mixed_op *find_mixed_op(uint64_t vop)
{
    for (unsigned i = 0; i < ARRAY_LEN(mixed_ops); i++)
        if (mixed_ops[i].vop == vop)
            return &mixed_ops[i];
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
    bool converts = f->in != f->out; /* `a` is no operand then */
    bool inexact;

    _mm_setcsr((csr & ~(uint32_t)CSR_FLAGS) | CSR_MASKS);
    tcg_vops[f->vop].fn(&d, &va, &vb);
    flags = _mm_getcsr() & CSR_FLAGS;
    if ((csr & CSR_DAZ) && ((!converts && is_denormal(a, f->in)) || is_denormal(b, f->in)))
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

static uint32_t mixed_flags(const struct mixed_op *m, uint32_t csr, const union vec128 *a,
                            const union vec128 *b)
{
    const struct float_op *op[2] = { find_float_op(m->even), find_float_op(m->odd) };
    unsigned size = op[0]->in, n = 16 / size;
    uint8_t pair[32];
    uint32_t flags = 0;

    memcpy(pair, a, 16);
    memcpy(pair + 16, b, 16);
    for (unsigned i = 0; i < n; i++) {
        unsigned x = m->neighbours ? 2 * i : i, y = m->neighbours ? 2 * i + 1 : i + n;
        flags |= lane_flags(op[i & 1], csr, load_le(pair + x * size, size), load_le(pair + y * size, size));
    }
    return flags;
}

/* Flags of the operation, which may overflow or underflow, on the operands in `fields`. */
static uint32_t half_flags(struct cpu *cpu, uint64_t vop, uint64_t fields)
{
    const union vec128 *a = cpu_vec_first(cpu, fields), *b = cpu_vec_second(cpu, fields);
    const struct mixed_op *mixed = find_mixed_op(vop);
    uint32_t csr = cpu->mxcsr & ~(uint32_t)CSR_FLAGS;

    return mixed ? mixed_flags(mixed, csr, a, b) : all_lanes_flags(find_float_op(vop), csr, a, b);
}

static uint32_t enabled_exceptions(const struct cpu *cpu)
{
    return ~(cpu->mxcsr >> CSR_MASK_SHIFT) & CSR_FLAGS;
}

/* Do the results have to be looked at for overflow and underflow? Not when an exception prevented the
 * computation; and when both are masked the flags tell it. */
static bool look_at_results(const struct cpu *cpu)
{
    uint32_t enabled = enabled_exceptions(cpu);

    return !(_mm_getcsr() & enabled & CSR_BEFORE) && (enabled & (CSR_OE | CSR_UE));
}

/* The operation's flags are settled: take effect, and raise if one is unmasked. */
static void raise_enabled(struct cpu *cpu, uint32_t flags)
{
    uint32_t enabled = enabled_exceptions(cpu);

    if (flags & enabled & CSR_BEFORE)
        flags &= CSR_BEFORE;
    _mm_setcsr((_mm_getcsr() & ~(uint32_t)CSR_FLAGS) | flags);
    if (flags & enabled)
        cpu_raise_exception(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EX_XM : EX_UD);
}

/* `vop`: the operation, TCG_NUM_VOPS for one that neither overflows nor underflows; `low`, `high`: operands
 * of its halves, `high` 0 when it has one only. */
uint64_t helper_xm_end(struct cpu *cpu, uint64_t vop, uint64_t low, uint64_t high)
{
    uint32_t csr = _mm_getcsr(), flags = csr & CSR_FLAGS;

    if (look_at_results(cpu) && (find_float_op(vop) || find_mixed_op(vop)))
        flags = half_flags(cpu, vop, low) | (high ? half_flags(cpu, vop, high) : 0);
    _mm_setcsr(csr);
    raise_enabled(cpu, flags);
    return 0;
}

/* `dst`: the fields of the old destination, the third operand. */
uint64_t helper_xm_end_fma(struct cpu *cpu, uint64_t vop, uint64_t low, uint64_t high, uint64_t dst)
{
    uint32_t flags = _mm_getcsr() & CSR_FLAGS;

    if (look_at_results(cpu)) {
        flags = vec_fma_flags((unsigned)vop, cpu->mxcsr, cpu_vec_first(cpu, dst), cpu_vec_first(cpu, low),
                              cpu_vec_second(cpu, low));
        if (high)
            flags |= vec_fma_flags((unsigned)vop, cpu->mxcsr, cpu_vec_second(cpu, dst),
                                   cpu_vec_first(cpu, high), cpu_vec_second(cpu, high));
    }
    raise_enabled(cpu, flags);
    return 0;
}

uint64_t helper_xm_end_half(struct cpu *cpu, uint64_t low, uint64_t high, uint64_t imm)
{
    uint32_t flags = _mm_getcsr() & CSR_FLAGS;
    uint16_t out[4];

    if (look_at_results(cpu)) {
        flags = vec_f16c_flags(cpu->mxcsr, cpu_vec_first(cpu, low), (unsigned)imm, out);
        if (high)
            flags |= vec_f16c_flags(cpu->mxcsr, cpu_vec_first(cpu, high), (unsigned)imm, out);
    }
    raise_enabled(cpu, flags);
    return 0;
}

/* ---- dot products ---- */

/* One step: its exceptions are settled before it is done. */
static void dot_step(struct cpu *cpu, unsigned vop, union vec128 *a, const union vec128 *b, unsigned halves)
{
    uint32_t csr = cpu->mxcsr & ~(uint32_t)CSR_FLAGS, flags = 0;

    helper_xm_begin(cpu);
    for (unsigned i = 0; i < halves; i++)
        flags |= all_lanes_flags(find_float_op(vop), csr, &a[i], &b[i]);
    raise_enabled(cpu, flags);
    for (unsigned i = 0; i < halves; i++)
        tcg_vops[vop].fn(&a[i], &a[i], &b[i]);
}

/* Elements of `size` bytes whose bit in `lanes` is set; the others are zero. */
static union vec128 select_lanes(const union vec128 *v, unsigned size, unsigned lanes)
{
    union vec128 r = *v;

    for (unsigned i = 0; i < 16; i += size)
        if (!(lanes >> i / size & 1))
            store_le(&r.u8[i], size, 0);
    return r;
}

/* Element i of the result is element (i & keep) | set of v. */
static union vec128 shuffled(const union vec128 *v, unsigned size, unsigned keep, unsigned set)
{
    union vec128 r;

    for (unsigned i = 0; i < 16 / size; i++)
        store_le(&r.u8[i * size], size, load_le(&v->u8[((i & keep) | set) * size], size));
    return r;
}

static void dot_add(struct cpu *cpu, unsigned size, unsigned keep, unsigned set, union vec128 *sum,
                    unsigned halves)
{
    union vec128 b[2];

    for (unsigned i = 0; i < halves; i++) {
        b[i] = shuffled(&sum[i], size, keep, set);
        sum[i] = shuffled(&sum[i], size, keep, 0);
    }
    dot_step(cpu, size == 4 ? TCG_V_ADDPS : TCG_V_ADDPD, sum, b, halves);
}

/* Raises what DPPS or DPPD (`vop`) would raise on operands `low` and, unless it is 0, `high`: products, sums
 * of neighbours, sum of sums. Without an exception the operation itself follows. */
uint64_t helper_xm_dot(struct cpu *cpu, uint64_t vop, uint64_t low, uint64_t high, uint64_t imm)
{
    unsigned size = vop == TCG_V_DPPS ? 4 : 8, halves = high ? 2 : 1, lanes = (unsigned)imm >> 4;
    uint64_t fields[2] = { low, high };
    union vec128 a[2], b[2];

    for (unsigned i = 0; i < halves; i++) {
        a[i] = select_lanes(cpu_vec_first(cpu, fields[i]), size, lanes);
        b[i] = select_lanes(cpu_vec_second(cpu, fields[i]), size, lanes);
    }
    dot_step(cpu, size == 4 ? TCG_V_MULPS : TCG_V_MULPD, a, b, halves);
    if (size == 4)
        dot_add(cpu, size, 2, 1, a, halves);
    dot_add(cpu, size, 0, size == 4 ? 2 : 1, a, halves);
    return 0;
}
