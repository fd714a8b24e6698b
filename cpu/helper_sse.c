/* MMX and SSE instructions with immediates, masks, conversions to and from
 * general registers. Floating point runs on the host's SSE under the guest's MXCSR. */
#include "cpu/helpers.h"

#ifndef __x86_64__
#error "SSE needs an x86-64 host"
#endif

#include <emmintrin.h>

#define MXCSR_VALID 0xffffu

static union vec128 *field(struct cpu *cpu, uint64_t offset)
{
    return (union vec128 *)((char *)cpu + (offset & 0xffff));
}

static union vec128 *dst_of(struct cpu *cpu, uint64_t fields)
{
    return field(cpu, fields);
}

static const union vec128 *src_of(struct cpu *cpu, uint64_t fields)
{
    return field(cpu, fields >> 16);
}

/* ---- shuffles ---- */

uint64_t helper_pshufd(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    union vec128 s = *src_of(cpu, fields);
    for (unsigned i = 0; i < 4; i++)
        dst_of(cpu, fields)->u32[i] = s.u32[order >> (2 * i) & 3];
    return 0;
}

static void shuffle_words(uint16_t *d, const uint16_t *s, uint64_t order)
{
    uint16_t in[4];
    memcpy(in, s, 8);
    for (unsigned i = 0; i < 4; i++)
        d[i] = in[order >> (2 * i) & 3];
}

uint64_t helper_pshufhw(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    union vec128 s = *src_of(cpu, fields), *d = dst_of(cpu, fields);
    d->u64[0] = s.u64[0];
    shuffle_words(d->u16 + 4, s.u16 + 4, order);
    return 0;
}

uint64_t helper_pshuflw(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    union vec128 s = *src_of(cpu, fields), *d = dst_of(cpu, fields);
    d->u64[1] = s.u64[1];
    shuffle_words(d->u16, s.u16, order);
    return 0;
}

uint64_t helper_pshufw(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    shuffle_words(dst_of(cpu, fields)->u16, src_of(cpu, fields)->u16, order);
    return 0;
}

uint64_t helper_shufps(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    union vec128 *d = dst_of(cpu, fields), a = *d, b = *src_of(cpu, fields);
    for (unsigned i = 0; i < 4; i++)
        d->u32[i] = (i < 2 ? a : b).u32[order >> (2 * i) & 3];
    return 0;
}

uint64_t helper_shufpd(struct cpu *cpu, uint64_t fields, uint64_t order)
{
    union vec128 *d = dst_of(cpu, fields), a = *d, b = *src_of(cpu, fields);
    d->u64[0] = a.u64[order & 1];
    d->u64[1] = b.u64[order >> 1 & 1];
    return 0;
}

uint64_t helper_pslldq(struct cpu *cpu, uint64_t dst, uint64_t bytes)
{
    union vec128 s = *field(cpu, dst), *d = field(cpu, dst);
    for (unsigned i = 0; i < 16; i++)
        d->u8[i] = i >= bytes ? s.u8[i - bytes] : 0;
    return 0;
}

uint64_t helper_psrldq(struct cpu *cpu, uint64_t dst, uint64_t bytes)
{
    union vec128 s = *field(cpu, dst), *d = field(cpu, dst);
    for (unsigned i = 0; i < 16; i++)
        d->u8[i] = i + bytes < 16 ? s.u8[i + bytes] : 0;
    return 0;
}

/* ---- sign masks ---- */

static uint64_t byte_signs(const uint8_t *p, unsigned n)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < n; i++)
        mask |= (uint64_t)(p[i] >> 7) << i;
    return mask;
}

uint64_t helper_pmovmskb(struct cpu *cpu, uint64_t src)
{
    return byte_signs(field(cpu, src)->u8, 16);
}

uint64_t helper_pmovmskb_q(struct cpu *cpu, uint64_t src)
{
    return byte_signs(field(cpu, src)->u8, 8);
}

uint64_t helper_movmskps(struct cpu *cpu, uint64_t src)
{
    const union vec128 *v = field(cpu, src);
    return v->u32[0] >> 31 | v->u32[1] >> 31 << 1 | v->u32[2] >> 31 << 2 | v->u32[3] >> 31 << 3;
}

uint64_t helper_movmskpd(struct cpu *cpu, uint64_t src)
{
    const union vec128 *v = field(cpu, src);
    return v->u64[0] >> 63 | v->u64[1] >> 63 << 1;
}

uint64_t helper_maskmov(struct cpu *cpu, uint64_t fields, uint64_t addr, uint64_t bytes)
{
    const union vec128 *data = dst_of(cpu, fields), *mask = src_of(cpu, fields);
    unsigned first = 0, last = (unsigned)bytes;

    while (first < last && !(mask->u8[first] & 0x80))
        first++;
    if (first == last)
        return 0;
    while (!(mask->u8[last - 1] & 0x80))
        last--;
    mmu_probe(cpu, addr + first, last - first, ACC_WRITE, 0);
    for (unsigned i = first; i < last; i++)
        if (mask->u8[i] & 0x80)
            mmu_store(cpu, addr + i, data->u8[i], 1, 0);
    return 0;
}

/* ---- comparisons ---- */

/* CMPccPS and friends take their predicate as an immediate: one case each. */
#define COMPARE(fn, T, load, store, intrinsic) \
    uint64_t helper_##fn(struct cpu *cpu, uint64_t fields, uint64_t predicate) \
    { \
        T a = load(dst_of(cpu, fields)), b = load(src_of(cpu, fields)), r = a; \
        switch (predicate & 7) { \
        case 0: intrinsic(0); break; \
        case 1: intrinsic(1); break; \
        case 2: intrinsic(2); break; \
        case 3: intrinsic(3); break; \
        case 4: intrinsic(4); break; \
        case 5: intrinsic(5); break; \
        case 6: intrinsic(6); break; \
        default: intrinsic(7); \
        } \
        store(dst_of(cpu, fields), r); \
        return 0; \
    }

#define LOAD_PS(p) _mm_load_ps((p)->f32)
#define STORE_PS(p, v) _mm_store_ps((p)->f32, v)
#define CMP_ASM(mnemonic, n) __asm__ volatile(mnemonic " $" #n ", %1, %0" : "+x"(r) : "x"(b))
#define CMPPS(n) CMP_ASM("cmpps", n)
#define CMPPD(n) CMP_ASM("cmppd", n)
#define CMPSS(n) CMP_ASM("cmpss", n)
#define CMPSD(n) CMP_ASM("cmpsd", n)
COMPARE(cmpps, __m128, LOAD_PS, STORE_PS, CMPPS)
COMPARE(cmppd, __m128, LOAD_PS, STORE_PS, CMPPD)
COMPARE(cmpss, __m128, LOAD_PS, STORE_PS, CMPSS)
COMPARE(cmpsd, __m128, LOAD_PS, STORE_PS, CMPSD)

/* ZF, PF, CF as the host's comparison leaves them; O, S, A clear. */
#define COMI(mnemonic, a, b, word) \
    __asm__ volatile(mnemonic " %2, %1\n\tpushfq\n\tpopq %0" : "=r"(word) : "x"(a), "x"(b) : "cc")

uint64_t helper_comiss(struct cpu *cpu, uint64_t fields, uint64_t unordered)
{
    float a = dst_of(cpu, fields)->f32[0], b = src_of(cpu, fields)->f32[0];
    uint64_t word;

    if (unordered)
        COMI("ucomiss", a, b, word);
    else
        COMI("comiss", a, b, word);
    return word & IR_FLAGS6;
}

uint64_t helper_comisd(struct cpu *cpu, uint64_t fields, uint64_t unordered)
{
    double a = dst_of(cpu, fields)->f64[0], b = src_of(cpu, fields)->f64[0];
    uint64_t word;

    if (unordered)
        COMI("ucomisd", a, b, word);
    else
        COMI("comisd", a, b, word);
    return word & IR_FLAGS6;
}

/* ---- conversions ---- */

uint64_t helper_cvtsi2ss(struct cpu *cpu, uint64_t dst, uint64_t v, uint64_t bytes)
{
    __m128 r = _mm_load_ps(field(cpu, dst)->f32);
    r = bytes == 8 ? _mm_cvtsi64_ss(r, (int64_t)v) : _mm_cvtsi32_ss(r, (int32_t)v);
    _mm_store_ps(field(cpu, dst)->f32, r);
    return 0;
}

uint64_t helper_cvtsi2sd(struct cpu *cpu, uint64_t dst, uint64_t v, uint64_t bytes)
{
    __m128d r = _mm_load_pd(field(cpu, dst)->f64);
    r = bytes == 8 ? _mm_cvtsi64_sd(r, (int64_t)v) : _mm_cvtsi32_sd(r, (int32_t)v);
    _mm_store_pd(field(cpu, dst)->f64, r);
    return 0;
}

uint64_t helper_cvtss2si(struct cpu *cpu, uint64_t src, uint64_t bytes, uint64_t truncate)
{
    __m128 v = _mm_load_ss(field(cpu, src)->f32);
    if (bytes == 8)
        return (uint64_t)(truncate ? _mm_cvttss_si64(v) : _mm_cvtss_si64(v));
    return (uint32_t)(truncate ? _mm_cvttss_si32(v) : _mm_cvtss_si32(v));
}

uint64_t helper_cvtsd2si(struct cpu *cpu, uint64_t src, uint64_t bytes, uint64_t truncate)
{
    __m128d v = _mm_load_sd(field(cpu, src)->f64);
    if (bytes == 8)
        return (uint64_t)(truncate ? _mm_cvttsd_si64(v) : _mm_cvtsd_si64(v));
    return (uint32_t)(truncate ? _mm_cvttsd_si32(v) : _mm_cvtsd_si32(v));
}

uint64_t helper_cvtpi2ps(struct cpu *cpu, uint64_t fields)
{
    union vec128 in = { .u64 = { src_of(cpu, fields)->u64[0], 0 } };
    __m128 r = _mm_cvtepi32_ps(_mm_load_si128((const __m128i *)&in));
    _mm_storel_pi((__m64 *)(void *)dst_of(cpu, fields), r);
    return 0;
}

uint64_t helper_cvtpi2pd(struct cpu *cpu, uint64_t fields)
{
    union vec128 in = { .u64 = { src_of(cpu, fields)->u64[0], 0 } };
    _mm_store_pd(dst_of(cpu, fields)->f64, _mm_cvtepi32_pd(_mm_load_si128((const __m128i *)&in)));
    return 0;
}

uint64_t helper_cvtps2pi(struct cpu *cpu, uint64_t fields, uint64_t truncate)
{
    union vec128 in = { .u64 = { src_of(cpu, fields)->u64[0], 0 } }, out;
    __m128 v = _mm_load_ps(in.f32);
    _mm_store_si128((__m128i *)&out, truncate ? _mm_cvttps_epi32(v) : _mm_cvtps_epi32(v));
    dst_of(cpu, fields)->u64[0] = out.u64[0];
    return 0;
}

uint64_t helper_cvtpd2pi(struct cpu *cpu, uint64_t fields, uint64_t truncate)
{
    union vec128 in = *src_of(cpu, fields), out;
    __m128d v = _mm_load_pd(in.f64);
    _mm_store_si128((__m128i *)&out, truncate ? _mm_cvttpd_epi32(v) : _mm_cvtpd_epi32(v));
    dst_of(cpu, fields)->u64[0] = out.u64[0];
    return 0;
}

/* ---- MXCSR ---- */

uint64_t helper_ldmxcsr(struct cpu *cpu, uint64_t value)
{
    if (value & ~(uint64_t)MXCSR_VALID)
        cpu_raise_error(cpu, EX_GP, 0);
    cpu_set_mxcsr(cpu, (uint32_t)value);
    cpu_update_mode(cpu);
    return 0;
}

uint64_t helper_stmxcsr(struct cpu *cpu)
{
    return cpu_get_mxcsr(cpu);
}
