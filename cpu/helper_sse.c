/* MMX and SSE instructions: masked stores, comparisons to flags, conversions to and from general registers.
 * Floating point runs on the host's SSE under the guest's MXCSR. */
#include "cpu/helper_int.h"
#include "cpu/helper_vec.h"
#include "cpu/helpers.h"
#include "cpu/strict.h"

#ifndef __x86_64__
#error "SSE needs an x86-64 host"
#endif

#include <emmintrin.h>

#define MXCSR_VALID 0xffffu

/* ---- masked stores ---- */

/* All bytes from the first selected one to the last may be written before any is. */
uint64_t helper_maskmov(struct cpu *cpu, uint64_t fields, uint64_t ea, uint64_t desc)
{
    const union vec128 *data = cpu_vec_first(cpu, fields), *mask = cpu_vec_second(cpu, fields);
    unsigned first = 0, last = desc & 0xff, seg = (unsigned)(desc >> 8);
    uint64_t addr;

    while (first < last && !(mask->u8[first] & 0x80))
        first++;
    if (first == last)
        return 0;
    while (!(mask->u8[last - 1] & 0x80))
        last--;
    addr = seg_address(cpu, seg, ea + first, last - first, true);
    mmu_probe(cpu, addr, last - first, ACC_WRITE, cpu_vec_mem(seg));
    for (unsigned i = first; i < last; i++)
        if (mask->u8[i] & 0x80)
            mmu_store(cpu, addr + i - first, data->u8[i], 1, cpu_vec_mem(seg));
    return 0;
}

/* ---- comparisons ---- */

/* ZF, PF, CF as the host's comparison leaves them; O, S, A clear. */
#define COMPARE(mnemonic, a, b, zf, pf, cf) \
    __asm__ volatile(mnemonic " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(a), "x"(b))
#define COMI(name, T, lanes) \
    uint64_t helper_##name(struct cpu *cpu, uint64_t fields, uint64_t unordered) \
    { \
        T a = cpu_vec_first(cpu, fields)->lanes[0], b = cpu_vec_second(cpu, fields)->lanes[0]; \
        bool zf, pf, cf; \
        if (unordered) \
            COMPARE("u" #name, a, b, zf, pf, cf); \
        else \
            COMPARE(#name, a, b, zf, pf, cf); \
        return (zf ? FL_ZF : 0) | (pf ? FL_PF : 0) | (cf ? FL_CF : 0); \
    }
COMI(comiss, float, f32)
COMI(comisd, double, f64)

/* ---- conversions ---- */

uint64_t helper_cvtsi2ss(struct cpu *cpu, uint64_t dst, uint64_t v, uint64_t bytes)
{
    __m128 r = _mm_load_ps(cpu_vec_first(cpu, dst)->f32);
    r = bytes == 8 ? _mm_cvtsi64_ss(r, (int64_t)v) : _mm_cvtsi32_ss(r, (int32_t)v);
    _mm_store_ps(cpu_vec_first(cpu, dst)->f32, r);
    return 0;
}

uint64_t helper_cvtsi2sd(struct cpu *cpu, uint64_t dst, uint64_t v, uint64_t bytes)
{
    __m128d r = _mm_load_pd(cpu_vec_first(cpu, dst)->f64);
    r = bytes == 8 ? _mm_cvtsi64_sd(r, (int64_t)v) : _mm_cvtsi32_sd(r, (int32_t)v);
    _mm_store_pd(cpu_vec_first(cpu, dst)->f64, r);
    return 0;
}

uint64_t helper_cvtss2si(struct cpu *cpu, uint64_t src, uint64_t bytes, uint64_t truncate)
{
    __m128 v = _mm_load_ss(cpu_vec_first(cpu, src)->f32);
    if (bytes == 8)
        return (uint64_t)(truncate ? _mm_cvttss_si64(v) : _mm_cvtss_si64(v));
    return (uint32_t)(truncate ? _mm_cvttss_si32(v) : _mm_cvtss_si32(v));
}

uint64_t helper_cvtsd2si(struct cpu *cpu, uint64_t src, uint64_t bytes, uint64_t truncate)
{
    __m128d v = _mm_load_sd(cpu_vec_first(cpu, src)->f64);
    if (bytes == 8)
        return (uint64_t)(truncate ? _mm_cvttsd_si64(v) : _mm_cvtsd_si64(v));
    return (uint32_t)(truncate ? _mm_cvttsd_si32(v) : _mm_cvtsd_si32(v));
}

uint64_t helper_cvtpi2ps(struct cpu *cpu, uint64_t fields)
{
    union vec128 in = { .u64 = { cpu_vec_second(cpu, fields)->u64[0], 0 } };
    __m128 r = _mm_cvtepi32_ps(_mm_load_si128((const __m128i *)&in));
    _mm_storel_pi((__m64 *)(void *)cpu_vec_first(cpu, fields), r);
    return 0;
}

uint64_t helper_cvtpi2pd(struct cpu *cpu, uint64_t fields)
{
    union vec128 in = { .u64 = { cpu_vec_second(cpu, fields)->u64[0], 0 } };
    _mm_store_pd(cpu_vec_first(cpu, fields)->f64, _mm_cvtepi32_pd(_mm_load_si128((const __m128i *)&in)));
    return 0;
}

uint64_t helper_cvtps2pi(struct cpu *cpu, uint64_t fields, uint64_t truncate)
{
    union vec128 in = { .u64 = { cpu_vec_second(cpu, fields)->u64[0], 0 } }, out;
    __m128 v = _mm_load_ps(in.f32);
    _mm_store_si128((__m128i *)&out, truncate ? _mm_cvttps_epi32(v) : _mm_cvtps_epi32(v));
    cpu_vec_first(cpu, fields)->u64[0] = out.u64[0];
    return 0;
}

uint64_t helper_cvtpd2pi(struct cpu *cpu, uint64_t fields, uint64_t truncate)
{
    union vec128 in = *cpu_vec_second(cpu, fields), out;
    __m128d v = _mm_load_pd(in.f64);
    _mm_store_si128((__m128i *)&out, truncate ? _mm_cvttpd_epi32(v) : _mm_cvtpd_epi32(v));
    cpu_vec_first(cpu, fields)->u64[0] = out.u64[0];
    return 0;
}

/* ---- MXCSR ---- */

uint64_t helper_ldmxcsr(struct cpu *cpu, uint64_t value)
{
    strict_reserved(cpu, "MXCSR", value, ~(uint64_t)MXCSR_VALID, true);
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
