/* MMX and SSE instructions: masked stores, conversions to and from MMX registers.
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

/* ---- conversions ---- */

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
