/* AVX and AVX2 instructions on elements of memory: SDM vol. 2, chapter 5. */
#include "cpu/helper_avx2.h"

#include "cpu/helper_int.h"
#include "cpu/helper_vec.h"
#include "cpu/helpers.h"

/* ---- elements ---- */

/* Element i of vector register `reg`, of 4 or 8 bytes. */
static void *element(struct cpu *cpu, unsigned reg, unsigned i, unsigned size)
{
    unsigned at = i * size;

    return at < 16 ? &cpu->xmm[reg].u8[at] : &cpu->ymmh[reg].u8[at - 16];
}

static uint64_t get_element(struct cpu *cpu, unsigned reg, unsigned i, unsigned size)
{
    return load_le(element(cpu, reg, i, size), size);
}

static bool selected(struct cpu *cpu, unsigned mask, unsigned i, unsigned size)
{
    return get_element(cpu, mask, i, size) >> (8 * size - 1);
}

/* These instructions check no alignment: where the others do, a misaligned element goes by bytes. */
static bool by_bytes(const struct cpu *cpu, uint64_t addr, unsigned size)
{
    return (cpu->mode & MODE_AC) && (addr & (size - 1));
}

static uint64_t load_element(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem)
{
    uint64_t v = 0;

    if (!by_bytes(cpu, addr, size))
        return mmu_load(cpu, addr, size, mem);
    for (unsigned i = 0; i < size; i++)
        v |= mmu_load(cpu, addr + i, 1, mem) << (8 * i);
    return v;
}

static void store_element(struct cpu *cpu, uint64_t addr, uint64_t v, unsigned size, uint32_t mem)
{
    if (!by_bytes(cpu, addr, size)) {
        mmu_store(cpu, addr, v, size, mem);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        mmu_store(cpu, addr + i, v >> (8 * i) & 0xff, 1, mem);
}

/* ---- masked loads and stores ---- */

/* All selected elements are read before the register changes. */
uint64_t helper_vmask_load(struct cpu *cpu, uint64_t word, uint64_t ea)
{
    struct mask_word w = mask_word_unpack((uint32_t)word);
    unsigned n = (w.wide_vector ? 32u : 16u) / w.size;
    uint64_t v[8] = { 0 };

    for (unsigned i = 0; i < n; i++)
        if (selected(cpu, w.mask, i, w.size))
            v[i] = load_element(cpu, seg_address(cpu, w.seg, ea + i * w.size, w.size, false), w.size,
                                cpu_vec_mem(w.seg));
    for (unsigned i = 0; i < n; i++)
        store_le(element(cpu, w.reg, i, w.size), w.size, v[i]);
    if (!w.wide_vector)
        cpu->ymmh[w.reg] = (union vec128){ .u64 = { 0 } };
    return 0;
}

/* All selected elements may be written before the first is. */
uint64_t helper_vmask_store(struct cpu *cpu, uint64_t word, uint64_t ea)
{
    struct mask_word w = mask_word_unpack((uint32_t)word);
    unsigned n = (w.wide_vector ? 32u : 16u) / w.size;
    uint64_t addr[8];

    for (unsigned i = 0; i < n; i++)
        if (selected(cpu, w.mask, i, w.size)) {
            addr[i] = seg_address(cpu, w.seg, ea + i * w.size, w.size, true);
            mmu_probe(cpu, addr[i], w.size, ACC_WRITE, cpu_vec_mem(w.seg));
        }
    for (unsigned i = 0; i < n; i++)
        if (selected(cpu, w.mask, i, w.size))
            store_element(cpu, addr[i], get_element(cpu, w.reg, i, w.size), w.size, cpu_vec_mem(w.seg));
    return 0;
}

/* ---- gathers ---- */

static uint64_t gather_address(struct cpu *cpu, const struct gather_word *w, uint64_t base, unsigned i)
{
    uint64_t index = get_element(cpu, w->index, i, w->index_size);

    base += (uint64_t)bits_sext(index, 8 * w->index_size) << w->shift;
    return seg_address(cpu, w->seg, w->address64 ? base : (uint32_t)base, w->size, false);
}

/* Before the first element: masks are spread over their elements; what is beyond the vector is cleared. */
static void gather_begin(struct cpu *cpu, const struct gather_word *w, unsigned n)
{
    for (unsigned i = 0; i < 32 / w->size; i++)
        store_le(element(cpu, w->mask, i, w->size), w->size,
                 i < n && selected(cpu, w->mask, i, w->size) ? UINT64_MAX : 0);
}

/* Elements are done from the lowest on; each that is done leaves the mask, so that after a fault the
 * instruction continues where it stopped. */
uint64_t helper_vgather(struct cpu *cpu, uint64_t word, uint64_t base)
{
    struct gather_word w = gather_word_unpack((uint32_t)word);
    unsigned n = (w.wide_vector ? 32u : 16u) / (w.size > w.index_size ? w.size : w.index_size);

    gather_begin(cpu, &w, n);
    for (unsigned i = 0; i < n; i++) {
        if (selected(cpu, w.mask, i, w.size))
            store_le(element(cpu, w.reg, i, w.size), w.size,
                     load_element(cpu, gather_address(cpu, &w, base, i), w.size, cpu_vec_mem(w.seg)));
        store_le(element(cpu, w.mask, i, w.size), w.size, 0);
    }
    for (unsigned i = n; i < 32 / w.size; i++)
        store_le(element(cpu, w.reg, i, w.size), w.size, 0);
    return 0;
}

/* VCVTPS2PH changes MXCSR before it stores. */
uint64_t helper_probe_store(struct cpu *cpu, uint64_t addr, uint64_t size, uint64_t mem)
{
    mmu_probe_store(cpu, addr, (unsigned)size, (uint32_t)mem);
    return 0;
}
