/* Segment registers and descriptor tables: SDM vol. 3, 3.4 and 5.2-5.8. */
#include "cpu/strict.h"

/* ---- descriptors ---- */

void desc_parse(struct descriptor *d, uint32_t lo, uint32_t hi)
{
    d->lo = lo;
    d->hi = hi;
    d->attr = (hi >> 8) & 0xf0ff;
    d->base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000);
    d->limit = (lo & 0xffff) | (hi & 0xf0000);
    if (d->attr & ATTR_G)
        d->limit = d->limit << 12 | 0xfff;
}

/* Linear address of `size` bytes of the descriptor. False: not within the table. */
static bool desc_address(const struct cpu *cpu, uint16_t selector, unsigned size, uint64_t *addr)
{
    uint32_t at = selector & 0xfff8;
    const struct segment *ldt = &cpu->seg[S_LDTR];

    if (!(selector & SEL_TI)) {
        *addr = cpu->gdt.base + at;
        return at + size - 1 <= cpu->gdt.limit;
    }
    *addr = ldt->base + at;
    return (ldt->attr & ATTR_P) && at + size - 1 <= ldt->limit;
}

bool desc_read(struct cpu *cpu, uint16_t selector, struct descriptor *d)
{
    uint64_t v;

    if (!desc_address(cpu, selector, 8, &d->addr))
        return false;
    v = mmu_load_super(cpu, d->addr, 8);
    desc_parse(d, (uint32_t)v, (uint32_t)(v >> 32));
    return true;
}

/* False: not within the table, or of another type than 0. */
static bool read_upper(struct cpu *cpu, uint16_t selector, const struct descriptor *d, uint32_t *base)
{
    uint64_t addr, v;

    if (!desc_address(cpu, selector, 16, &addr))
        return false;
    v = mmu_load_super(cpu, d->addr + 8, 8);
    *base = (uint32_t)v;
    return !bits_extract(v, 40, 5);
}

uint32_t desc_read_upper(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    uint32_t base;

    if (!read_upper(cpu, selector, d, &base))
        cpu_raise_error(cpu, EX_GP, sel_error(selector));
    return base;
}

bool desc_upper_valid(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    uint32_t base;

    return read_upper(cpu, selector, d, &base);
}

void desc_set_accessed(struct cpu *cpu, struct descriptor *d)
{
    if (d->attr & ATTR_A)
        return;
    d->attr |= ATTR_A;
    mmu_change_super(cpu, d->addr + 5, IR_ATOMIC_OR, ATTR_A);
}

static uint64_t busy_address(const struct cpu *cpu, uint16_t selector)
{
    return cpu->gdt.base + (selector & 0xfff8) + 5;
}

void desc_probe_busy(struct cpu *cpu, uint16_t selector)
{
    mmu_probe(cpu, busy_address(cpu, selector), 1, ACC_WRITE, IR_MEM_SUPER);
}

void desc_set_busy(struct cpu *cpu, uint16_t selector, bool busy)
{
    if (busy)
        mmu_change_super(cpu, busy_address(cpu, selector), IR_ATOMIC_OR, SYS_BUSY);
    else
        mmu_change_super(cpu, busy_address(cpu, selector), IR_ATOMIC_AND, (uint8_t)~SYS_BUSY);
}

/* ---- segment caches ---- */

void seg_bounds(struct segment *s)
{
    uint64_t lo = 0, hi = s->limit;
    bool code = s->attr & ATTR_CODE;
    bool usable = (s->attr & (ATTR_P | ATTR_S)) == (ATTR_P | ATTR_S);

    if (!code && (s->attr & ATTR_E)) {
        lo = (uint64_t)s->limit + 1;
        hi = s->attr & ATTR_DB ? UINT32_MAX : UINT16_MAX;
    }
    s->read_lo = s->write_lo = UINT64_MAX;
    s->read_hi = s->write_hi = 0;
    if (!usable || lo > hi)
        return;
    if (!code || (s->attr & ATTR_R)) {
        s->read_lo = lo;
        s->read_hi = hi;
    }
    if (!code && (s->attr & ATTR_W)) {
        s->write_lo = lo;
        s->write_hi = hi;
    }
}

void seg_set_cache(struct cpu *cpu, unsigned seg, uint16_t selector, uint64_t base, uint32_t limit,
                   uint16_t attr)
{
    struct segment *s = &cpu->seg[seg];

    s->selector = selector;
    s->base = base;
    s->limit = limit;
    s->attr = attr;
    seg_bounds(s);
}

void seg_set_desc(struct cpu *cpu, unsigned seg, uint16_t selector, const struct descriptor *d)
{
    strict_descriptor(cpu, seg, selector, d);
    seg_set_cache(cpu, seg, selector, d->base, d->limit, d->attr);
}

void seg_set_null(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    seg_set_cache(cpu, seg, selector, 0, 0, 0);
}

/* In real mode a load leaves the limit alone: one set in protected mode stays in force ("unreal" mode). */
void seg_load_real(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    const struct segment *s = &cpu->seg[seg];
    uint16_t rw = ATTR_P | ATTR_S | ATTR_W | ATTR_A;

    if (cpu->mode & MODE_VM)
        seg_set_cache(cpu, seg, selector, (uint32_t)selector << 4, 0xffff, rw | ATTR_DPL);
    else
        seg_set_cache(cpu, seg, selector, (uint32_t)selector << 4, s->limit,
                      rw | (s->attr & (ATTR_DB | ATTR_G)));
}

void seg_enter_real(struct cpu *cpu)
{
    for (unsigned i = S_ES; i < S_NUM; i++) {
        struct segment *s = &cpu->seg[i];
        uint32_t limit = s->attr & ATTR_P ? s->limit : 0xffff;
        if (i != S_CS)
            seg_set_cache(cpu, i, s->selector, s->base, limit,
                          (s->attr & (ATTR_DB | ATTR_G)) | ATTR_P | ATTR_S | ATTR_W | ATTR_A);
    }
}

void seg_commit_code(struct cpu *cpu, uint16_t selector, const struct descriptor *d, unsigned cpl)
{
    seg_set_desc(cpu, S_CS, (uint16_t)((selector & ~SEL_RPL) | cpl), d);
    cpu_set_cpl(cpu, cpl);
}

/* ---- loads with all checks ---- */

void seg_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector, unsigned ext,
                     struct descriptor *d)
{
    uint32_t error = sel_error(selector) | ext;

    if (sel_null(selector) || (selector & SEL_RPL) != cpl || !desc_read(cpu, selector, d) ||
        (d->attr & (ATTR_S | ATTR_CODE | ATTR_W)) != (ATTR_S | ATTR_W) || desc_dpl(d) != cpl)
        cpu_raise_error(cpu, vector, error);
    if (!(d->attr & ATTR_P))
        cpu_raise_error(cpu, EX_SS, error);
}

static void load_null_stack(struct cpu *cpu, uint16_t selector)
{
    if (!cpu_code64(cpu) || cpu_cpl(cpu) == 3 || (selector & SEL_RPL) != cpu_cpl(cpu))
        cpu_raise_error(cpu, EX_GP, 0);
    seg_set_null(cpu, S_SS, selector);
}

static void check_data(struct cpu *cpu, uint16_t selector, unsigned vector, struct descriptor *d)
{
    uint32_t error = sel_error(selector);
    bool code, conforming;

    if (!desc_read(cpu, selector, d) || !(d->attr & ATTR_S))
        cpu_raise_error(cpu, vector, error);
    code = d->attr & ATTR_CODE;
    conforming = code && (d->attr & ATTR_C);
    if (code && !(d->attr & ATTR_R))
        cpu_raise_error(cpu, vector, error);
    if (!conforming && ((selector & SEL_RPL) > desc_dpl(d) || cpu_cpl(cpu) > desc_dpl(d)))
        cpu_raise_error(cpu, vector, error);
    if (!(d->attr & ATTR_P))
        cpu_raise_error(cpu, EX_NP, error);
}

void seg_load_data(struct cpu *cpu, unsigned seg, uint16_t selector, unsigned vector)
{
    struct descriptor d;

    if (sel_null(selector)) {
        seg_set_null(cpu, seg, selector);
        return;
    }
    check_data(cpu, selector, vector, &d);
    desc_set_accessed(cpu, &d);
    seg_set_desc(cpu, seg, selector, &d);
}

void seg_load(struct cpu *cpu, unsigned seg, uint16_t selector)
{
    struct descriptor d;

    if (!cpu_protected(cpu)) {
        seg_load_real(cpu, seg, selector);
    } else if (seg != S_SS) {
        seg_load_data(cpu, seg, selector, EX_GP);
    } else if (sel_null(selector)) {
        load_null_stack(cpu, selector);
    } else {
        seg_check_stack(cpu, selector, cpu_cpl(cpu), EX_GP, 0, &d);
        desc_set_accessed(cpu, &d);
        seg_set_desc(cpu, S_SS, selector, &d);
    }
}

/* LDT and TSS descriptors have 16 bytes in long mode. */
static void widen_base(struct cpu *cpu, uint16_t selector, struct descriptor *d)
{
    if (!cpu_long_mode(cpu))
        return;
    d->base |= (uint64_t)desc_read_upper(cpu, selector, d) << 32;
    if (!cpu_canonical_base(cpu, d->base))
        cpu_raise_error(cpu, EX_GP, sel_error(selector));
}

void seg_load_ldt(struct cpu *cpu, uint16_t selector, unsigned vector)
{
    struct descriptor d;
    uint32_t error = sel_error(selector);

    if (sel_null(selector)) {
        seg_set_null(cpu, S_LDTR, selector);
        return;
    }
    if ((selector & SEL_TI) || !desc_read(cpu, selector, &d) || (d.attr & (ATTR_S | ATTR_TYPE)) != SYS_LDT)
        cpu_raise_error(cpu, vector, error);
    if (!(d.attr & ATTR_P))
        cpu_raise_error(cpu, vector == EX_TS ? EX_TS : EX_NP, error);
    widen_base(cpu, selector, &d);
    seg_set_desc(cpu, S_LDTR, selector, &d);
}

void seg_load_tr(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;
    uint32_t error = sel_error(selector);
    bool available;

    if (sel_null(selector))
        cpu_raise_error(cpu, EX_GP, 0);
    if ((selector & SEL_TI) || !desc_read(cpu, selector, &d))
        cpu_raise_error(cpu, EX_GP, error);
    available = desc_type(&d) == SYS_TSS || (desc_type(&d) == SYS_TSS16 && !cpu_long_mode(cpu));
    if ((d.attr & ATTR_S) || !available)
        cpu_raise_error(cpu, EX_GP, error);
    if (!(d.attr & ATTR_P))
        cpu_raise_error(cpu, EX_NP, error);
    widen_base(cpu, selector, &d);
    desc_set_busy(cpu, selector, true);
    d.attr |= SYS_BUSY;
    seg_set_desc(cpu, S_TR, selector, &d);
}

/* A segment that was null already keeps its base, as 64-bit programs use FS and GS that way, but not the RPL of its
 * selector: processors leave 0. */
void seg_drop_inner(struct cpu *cpu, unsigned cpl)
{
    static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };

    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        struct segment *s = &cpu->seg[data[i]];
        unsigned dpl = (s->attr & ATTR_DPL) >> ATTR_DPL_SHIFT;
        bool conforming = (s->attr & (ATTR_CODE | ATTR_C)) == (ATTR_CODE | ATTR_C);
        if (sel_null(s->selector))
            s->selector = 0;
        else if ((s->attr & ATTR_P) && dpl < cpl && !conforming)
            seg_set_null(cpu, data[i], 0);
    }
}
