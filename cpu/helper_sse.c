/* MMX and SSE instructions with masks, comparisons to flags, conversions to and from general registers.
 * Floating point runs on the host's SSE under the guest's MXCSR. */
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

uint64_t helper_maskmov(struct cpu *cpu, uint64_t fields, uint64_t addr, uint64_t desc)
{
    const union vec128 *data = dst_of(cpu, fields), *mask = src_of(cpu, fields);
    unsigned first = 0, last = desc & 0xff;
    uint32_t mem = (uint32_t)(desc >> 8);

    while (first < last && !(mask->u8[first] & 0x80))
        first++;
    if (first == last)
        return 0;
    while (!(mask->u8[last - 1] & 0x80))
        last--;
    mmu_probe(cpu, addr + first, last - first, ACC_WRITE, mem);
    for (unsigned i = first; i < last; i++)
        if (mask->u8[i] & 0x80)
            mmu_store(cpu, addr + i, data->u8[i], 1, mem);
    return 0;
}

/* ---- comparisons ---- */

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
