/* XSAVE and its family (SDM vol. 1, chapter 13), XCR0, FS and GS bases, MONITOR and MWAIT. */
#include "cpu/helpers.h"
#include "cpu/strict.h"
#include "cpu/sys.h"
#include "cpu/x87.h"

#define MXCSR_INIT 0x1f80u
#define XCOMP_COMPACT (UINT64_C(1) << 63)

enum { HEADER_AT = 512, HEADER_END = 576, XSTATE_BV = 0, XCOMP_BV = 8, HEADER_RESERVED = 16 };

/* ---- state components ---- */

const struct xstate_component xstate_components[] = {
    { XCR0_AVX, FEAT_AVX, 576, 256 },
    { XCR0_PKRU, FEAT_PKU, 2688, 8 },
};
const unsigned xstate_num_components = ARRAY_LEN(xstate_components);

#define FOR_COMPONENTS(c) \
    for (const struct xstate_component *c = xstate_components; \
         c < xstate_components + xstate_num_components; c++)

uint64_t xstate_supported(const struct cpu *cpu)
{
    uint64_t mask = 0;

    if (!cpu_has(cpu, FEAT_XSAVE))
        return 0;
    FOR_COMPONENTS(c)
        mask |= cpu_has(cpu, c->feature) ? c->bit : 0;
    return mask | XCR0_X87 | XCR0_SSE;
}

unsigned xstate_size(uint64_t mask, bool compact)
{
    unsigned size = HEADER_END;

    FOR_COMPONENTS(c)
        if (mask & c->bit)
            size = (compact ? size : c->offset) + c->size;
    return size;
}

/* Outside 64-bit code the upper eight registers are neither looked at nor changed. */
static unsigned num_vectors(const struct cpu *cpu)
{
    return cpu_code64(cpu) ? 16 : 8;
}

/* `len` is a multiple of 8, and at least that. */
static bool all_zero(const void *p, size_t len)
{
    return !load_le(p, 8) && !memcmp(p, (const uint8_t *)p + 8, len - 8);
}

static bool x87_in_use(const struct fpu *f)
{
    return f->cw != 0x37f || f->sw || f->top || f->empty != 0xff || f->fop || fpu_ip(f) || f->fdp || f->fcs ||
           f->fds || !all_zero(f->st, sizeof(f->st));
}

/* XINUSE, SDM vol. 1, 13.6. */
static uint64_t in_use(const struct cpu *cpu)
{
    size_t len = num_vectors(cpu) * sizeof(cpu->xmm[0]);

    return (x87_in_use(&cpu->fpu) ? XCR0_X87 : 0) | (all_zero(cpu->xmm, len) ? 0 : XCR0_SSE) |
           (all_zero(cpu->ymmh, len) ? 0 : XCR0_AVX) | (cpu->pkru ? XCR0_PKRU : 0);
}

/* ---- the area in memory ---- */

struct area {
    struct cpu *cpu;
    uint64_t ea;        /* effective address */
    unsigned seg;
    uint32_t mem;
    bool rex;
};

static void check_usable(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise_exception(cpu, EX_UD);
    if (cpu->cr0 & CR0_TS)
        cpu_raise_exception(cpu, EX_NM);
}

static uint64_t area_linear(const struct area *a, unsigned off)
{
    const struct segment *s = &a->cpu->seg[a->seg];

    if (cpu_code64(a->cpu))
        return a->ea + off + (a->seg >= S_FS ? s->base : 0);
    return (uint32_t)(a->ea + off + s->base);
}

/* Everything that an access to `len` bytes at `off` raises. */
static void area_probe(const struct area *a, unsigned off, unsigned len, enum mmu_access acc)
{
    const struct segment *s = &a->cpu->seg[a->seg];
    uint64_t lo = acc == ACC_WRITE ? s->write_lo : s->read_lo;
    uint64_t hi = acc == ACC_WRITE ? s->write_hi : s->read_hi;
    uint64_t first = a->ea + off;

    if (!cpu_code64(a->cpu) && (first < lo || first > hi || len - 1 > hi - first))
        cpu_raise_error(a->cpu, a->seg == S_SS ? EX_SS : EX_GP, 0);
    mmu_probe(a->cpu, area_linear(a, off), len, acc, a->mem);
}

static void area_open(struct area *a, struct cpu *cpu, uint64_t spec, uint64_t ea, enum mmu_access acc)
{
    unsigned seg = spec & XS_SEG;

    *a = (struct area){ cpu, ea, seg, seg == S_SS ? IR_MEM_STACK : 0, spec & XS_REX };
    if (area_linear(a, 0) & 63)
        cpu_raise_error(cpu, EX_GP, 0);
    area_probe(a, 0, HEADER_END, acc);
}

/* `off` and `len` are multiples of 8 and the range was probed. Pages are not crossed by eight bytes. */
static void area_write(const struct area *a, unsigned off, const uint8_t *from, unsigned len)
{
    for (unsigned done = 0, n; done < len; done += n) {
        uint64_t addr = area_linear(a, off + done);
        unsigned room;
        uint8_t *host = mmu_host(a->cpu, addr, ACC_WRITE, &room);
        n = host ? MIN_OF(room, len - done) : 8;
        if (host)
            copy_shared(host, from + done, n);
        else
            mmu_store(a->cpu, addr, load_le(from + done, 8), 8, a->mem);
    }
}

static void area_read(const struct area *a, unsigned off, uint8_t *to, unsigned len)
{
    for (unsigned done = 0, n; done < len; done += n) {
        uint64_t addr = area_linear(a, off + done);
        unsigned room;
        uint8_t *host = mmu_host(a->cpu, addr, ACC_READ, &room);
        n = host ? MIN_OF(room, len - done) : 8;
        if (host)
            copy_shared(to + done, host, n);
        else
            store_le(to + done, 8, mmu_load(a->cpu, addr, 8, a->mem));
    }
}

/* ---- saving ---- */

/* Bytes of a component that this mode saves and restores. */
static unsigned component_len(const struct cpu *cpu, const struct xstate_component *c)
{
    return c->bit == XCR0_AVX ? 16 * num_vectors(cpu) : c->size;
}

static void save_component(const struct area *a, const struct xstate_component *c, unsigned off)
{
    uint8_t pkru[8] = { 0 };

    store_le(pkru, 4, a->cpu->pkru);
    area_write(a, off, c->bit == XCR0_AVX ? a->cpu->ymmh[0].u8 : pkru, component_len(a->cpu, c));
}

static void save_legacy(const struct area *a, uint64_t save, bool mxcsr)
{
    uint8_t buf[FX_XMM];

    fpu_fx_save(&a->cpu->fpu, buf, a->rex);
    store_le(buf + FX_MXCSR, 4, cpu_get_mxcsr(a->cpu));
    store_le(buf + FX_MXCSR + 4, 4, MXCSR_MASK);
    if (save & XCR0_X87) {
        area_write(a, 0, buf, FX_MXCSR);
        area_write(a, FX_ST, buf + FX_ST, FX_XMM - FX_ST);
    }
    if (mxcsr)
        area_write(a, FX_MXCSR, buf + FX_MXCSR, 8);
    if (save & XCR0_SSE)
        area_write(a, FX_XMM, a->cpu->xmm[0].u8, 16 * num_vectors(a->cpu));
}

/* Write, or only probe, the components `save`, placed as in a format that holds `layout`. */
static void each_component(const struct area *a, uint64_t save, uint64_t layout, bool compact, bool write)
{
    FOR_COMPONENTS(c) {
        unsigned off = compact ? xstate_size(layout & (c->bit - 1), true) : c->offset;
        if (!(save & c->bit))
            continue;
        if (write)
            save_component(a, c, off);
        else
            area_probe(a, off, component_len(a->cpu, c), ACC_WRITE);
    }
}

/* XSAVE and XSAVEOPT: standard format. `unused`: components in their initial state are written, too. */
static void save_standard(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea, bool unused)
{
    uint64_t rfbm = cpu->xcr0 & mask, used = in_use(cpu), save = unused ? rfbm : rfbm & used, bv;
    uint8_t header[8];
    struct area a;

    check_usable(cpu);
    area_open(&a, cpu, spec, ea, ACC_WRITE);
    each_component(&a, save, save, false, false);
    area_read(&a, HEADER_AT + XSTATE_BV, header, 8);
    bv = (load_le(header, 8) & ~rfbm) | (rfbm & used);
    save_legacy(&a, save, rfbm & (XCR0_SSE | XCR0_AVX));
    each_component(&a, save, save, false, true);
    store_le(header, 8, bv);
    area_write(&a, HEADER_AT + XSTATE_BV, header, 8);
}

uint64_t helper_xsave(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    save_standard(cpu, spec, mask, ea, true);
    return 0;
}

uint64_t helper_xsaveopt(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    save_standard(cpu, spec, mask, ea, false);
    return 0;
}

static void save_compact(struct cpu *cpu, uint64_t spec, uint64_t rfbm, uint64_t ea)
{
    uint64_t save = rfbm & in_use(cpu);
    uint8_t header[16];
    struct area a;

    if ((rfbm & XCR0_SSE) && cpu_get_mxcsr(cpu) != MXCSR_INIT)
        save |= XCR0_SSE;
    area_open(&a, cpu, spec, ea, ACC_WRITE);
    each_component(&a, save, rfbm, true, false);
    save_legacy(&a, save, save & XCR0_SSE);
    each_component(&a, save, rfbm, true, true);
    store_le(header + XSTATE_BV, 8, save);
    store_le(header + XCOMP_BV, 8, rfbm | XCOMP_COMPACT);
    area_write(&a, HEADER_AT, header, sizeof(header));
}

uint64_t helper_xsavec(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    check_usable(cpu);
    save_compact(cpu, spec, cpu->xcr0 & mask, ea);
    return 0;
}

/* #UD is told before #GP by privilege, and that before #NM. */
static void check_supervisor(struct cpu *cpu)
{
    if ((cpu->cr4 & CR4_OSXSAVE) && cpu_cpl(cpu))
        cpu_raise_error(cpu, EX_GP, 0);
    check_usable(cpu);
}

uint64_t helper_xsaves(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    check_supervisor(cpu);
    save_compact(cpu, spec, (cpu->xcr0 | cpu->xss) & mask, ea);
    return 0;
}

/* ---- restoring ---- */

/* What an area says and what of it is to be taken over. */
struct restore {
    uint64_t load, init;    /* components to load, to set to their initial state */
    bool mxcsr;             /* MXCSR from the area, */
    bool mxcsr_init;        /* or its initial value */
    uint8_t head[HEADER_END];
    uint8_t ymmh[256], pkru[8];
};

static bool standard_header_valid(const struct cpu *cpu, const uint8_t *header)
{
    return !(load_le(header + XSTATE_BV, 8) & ~cpu->xcr0) && all_zero(header + XCOMP_BV, 16);
}

static bool compact_header_valid(const uint8_t *header, uint64_t allowed)
{
    uint64_t format = load_le(header + XCOMP_BV, 8) & ~XCOMP_COMPACT;

    return !(format & ~allowed) && !(load_le(header + XSTATE_BV, 8) & ~format) &&
           all_zero(header + HEADER_RESERVED, HEADER_END - HEADER_AT - HEADER_RESERVED);
}

static void load_components(const struct area *a, struct restore *r, bool compact)
{
    uint64_t format = load_le(r->head + HEADER_AT + XCOMP_BV, 8);

    FOR_COMPONENTS(c) {
        unsigned off = compact ? xstate_size(format & (c->bit - 1), true) : c->offset;
        unsigned len = component_len(a->cpu, c);
        if (!(r->load & c->bit))
            continue;
        area_probe(a, off, len, ACC_READ);
        area_read(a, off, c->bit == XCR0_AVX ? r->ymmh : r->pkru, len);
    }
}

static void restore_legacy(struct cpu *cpu, const struct restore *r, bool rex)
{
    if (r->load & XCR0_X87) {
        fpu_fx_restore(cpu, r->head, rex);
    } else if (r->init & XCR0_X87) {
        fpu_init(cpu);
        memset(cpu->fpu.st, 0, sizeof(cpu->fpu.st));
    }
    if (r->load & XCR0_SSE)
        memcpy(cpu->xmm, r->head + FX_XMM, 16 * num_vectors(cpu));
    else if (r->init & XCR0_SSE)
        memset(cpu->xmm, 0, 16 * num_vectors(cpu));
}

/* Everything was read: nothing faults from here on. */
static void restore(struct cpu *cpu, const struct restore *r, bool rex)
{
    restore_legacy(cpu, r, rex);
    if (r->load & XCR0_AVX)
        memcpy(cpu->ymmh, r->ymmh, 16 * num_vectors(cpu));
    else if (r->init & XCR0_AVX)
        memset(cpu->ymmh, 0, 16 * num_vectors(cpu));
    if ((r->load | r->init) & XCR0_PKRU)
        cpu_set_pkru(cpu, r->load & XCR0_PKRU ? (uint32_t)load_le(r->pkru, 4) : 0);
    if (r->mxcsr)
        cpu_set_mxcsr(cpu, (uint32_t)load_le(r->head + FX_MXCSR, 4));
    else if (r->mxcsr_init)
        cpu_set_mxcsr(cpu, MXCSR_INIT);
}

static void restore_from(struct cpu *cpu, uint64_t spec, uint64_t rfbm, uint64_t ea, bool supervisor)
{
    uint64_t bv, format;
    struct restore r; /* all but the large members are set below, those when they are loaded */
    struct area a;
    bool compact, valid;

    area_open(&a, cpu, spec, ea, ACC_READ);
    area_read(&a, 0, r.head, sizeof(r.head));
    bv = load_le(r.head + HEADER_AT + XSTATE_BV, 8);
    format = load_le(r.head + HEADER_AT + XCOMP_BV, 8);
    compact = format & XCOMP_COMPACT;
    if (compact)
        valid = (supervisor || cpu_has(cpu, FEAT_XSAVEC)) &&
                compact_header_valid(r.head + HEADER_AT, cpu->xcr0 | (supervisor ? cpu->xss : 0));
    else
        valid = !supervisor && standard_header_valid(cpu, r.head + HEADER_AT);
    r.load = rfbm & bv;
    r.init = rfbm & ~bv;
    r.mxcsr = compact ? r.load & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    r.mxcsr_init = compact && (r.init & XCR0_SSE);
    if (r.mxcsr)
        strict_reserved(cpu, "MXCSR", load_le(r.head + FX_MXCSR, 4), ~(uint64_t)MXCSR_MASK, true);
    if (!valid || (r.mxcsr && (load_le(r.head + FX_MXCSR, 4) & ~(uint64_t)MXCSR_MASK)))
        cpu_raise_error(cpu, EX_GP, 0);
    load_components(&a, &r, compact);
    restore(cpu, &r, a.rex);
}

uint64_t helper_xrstor(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    check_usable(cpu);
    restore_from(cpu, spec, cpu->xcr0 & mask, ea, false);
    return 0;
}

uint64_t helper_xrstors(struct cpu *cpu, uint64_t spec, uint64_t mask, uint64_t ea)
{
    check_supervisor(cpu);
    restore_from(cpu, spec, (cpu->xcr0 | cpu->xss) & mask, ea, true);
    return 0;
}

/* ---- XCR0 ---- */

static void check_xcr(struct cpu *cpu, bool valid)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise_exception(cpu, EX_UD);
    if (!valid)
        cpu_raise_error(cpu, EX_GP, 0);
}

uint64_t helper_xgetbv(struct cpu *cpu, uint64_t index)
{
    check_xcr(cpu, index == 0 || (index == 1 && cpu_has(cpu, FEAT_XGETBV1)));
    return index ? cpu->xcr0 & in_use(cpu) : cpu->xcr0;
}

uint64_t helper_xsetbv(struct cpu *cpu, uint64_t index, uint64_t value)
{
    bool sse_for_avx = !(value & XCR0_AVX) || (value & XCR0_SSE);

    check_xcr(cpu, !cpu_cpl(cpu) && index == 0 && (value & XCR0_X87) && sse_for_avx &&
                   !(value & ~xstate_supported(cpu)));
    cpu->xcr0 = value;
    cpu_update_mode(cpu);
    return 0;
}

/* ---- bases ---- */

uint64_t helper_write_base(struct cpu *cpu, uint64_t seg, uint64_t value)
{
    if (!cpu_canonical_base(cpu, value))
        cpu_raise_error(cpu, EX_GP, 0);
    cpu->seg[seg].base = value;
    return 0;
}

/* ---- MONITOR, MWAIT ---- */

#define MONITOR_LINE 64
#define MWAIT_MASKED_INTERRUPTS 1 /* ECX: a masked interrupt ends the wait, too */

bool cpu_line_changed(const struct cpu *cpu)
{
    return !cpu->monitor_line || !equal_shared(cpu->monitor_line, cpu->monitor_copy, MONITOR_LINE);
}

/* A line that is no RAM is never armed: MWAIT goes on at once. */
uint64_t helper_monitor(struct cpu *cpu, uint64_t linear, uint64_t ecx)
{
    unsigned room;

    if (ecx)
        cpu_raise_error(cpu, EX_GP, 0);
    mmu_load(cpu, linear, 1, 0);
    cpu->monitor_line = mmu_host(cpu, align_down(linear, MONITOR_LINE), ACC_READ, &room);
    if (cpu->monitor_line)
        copy_shared(cpu->monitor_copy, cpu->monitor_line, MONITOR_LINE);
    return 0;
}

/* The wait is over for any of many reasons, and for none: the guest looks again. Here it ends with an event, or
 * after a while, since a store to the line is not noticed otherwise (cpu/exec.c). */
uint64_t helper_mwait(struct cpu *cpu, uint64_t ecx)
{
    if (ecx & ~(uint64_t)MWAIT_MASKED_INTERRUPTS)
        cpu_raise_error(cpu, EX_GP, 0);
    if (cpu_line_changed(cpu))
        cpu->monitor_line = NULL;
    else
        cpu->halted = ecx ? HALT_MWAIT_MASKED : HALT_MWAIT;
    return 0;
}
