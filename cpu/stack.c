/* Stacks of far transfers: pushes and pops before anything is committed; the stacks that a TSS names. */
#include "cpu/strict.h"

static void set_bounds(struct stack *s, const struct segment *seg, bool write)
{
    s->base = seg->base;
    s->mask = seg->attr & ATTR_DB ? UINT32_MAX : UINT16_MAX;
    s->lo = write ? seg->write_lo : seg->read_lo;
    s->hi = write ? seg->write_hi : seg->read_hi;
}

void stack_flat(struct stack *s, struct cpu *cpu, unsigned cpl, uint64_t sp, uint32_t error)
{
    *s = (struct stack){ .cpu = cpu, .sp = sp, .mask = UINT64_MAX, .hi = UINT64_MAX, .super = cpl < 3,
                         .error = error };
}

void stack_current(struct stack *s, struct cpu *cpu, bool write, uint32_t error)
{
    stack_flat(s, cpu, cpu_cpl(cpu), cpu->gpr[R_SP], error);
    if (!cpu_code64(cpu))
        set_bounds(s, &cpu->seg[S_SS], write);
    s->sp &= s->mask;
}

void stack_inner(struct stack *s, struct cpu *cpu, const struct descriptor *d, uint64_t sp, uint32_t error)
{
    struct segment seg = { .base = d->base, .limit = d->limit, .attr = d->attr };

    seg_bounds(&seg);
    stack_flat(s, cpu, desc_dpl(d), sp, error);
    set_bounds(s, &seg, true);
    s->sp &= s->mask;
}

/* Linear address of `size` bytes at the stack pointer; raises #SS. */
static uint64_t stack_address(const struct stack *s, unsigned size)
{
    uint64_t last = s->sp + size - 1;

    if (s->mask == UINT64_MAX) {
        if (!cpu_canonical(s->cpu, s->sp) || !cpu_canonical(s->cpu, last))
            cpu_raise_error(s->cpu, EX_SS, s->error);
        return s->sp;
    }
    if (s->sp < s->lo || last > s->hi) {
        strict_stack(s->cpu, s->sp, s->lo, s->hi);
        cpu_raise_error(s->cpu, EX_SS, s->error);
    }
    return (uint32_t)(s->base + s->sp);
}

/* All of the items lie within one range that is accepted as a whole. */
static bool whole_room(const struct stack *s, uint64_t bytes)
{
    if (s->sp < bytes)
        return false;
    if (s->mask == UINT64_MAX)
        return cpu_canonical(s->cpu, s->sp - bytes) && cpu_canonical(s->cpu, s->sp - 1);
    return s->sp - bytes >= s->lo && s->sp - 1 <= s->hi;
}

void stack_check_room(const struct stack *s, unsigned size, unsigned count)
{
    struct stack t = *s;

    if (whole_room(s, (uint64_t)size * count))
        return;
    while (count--) {
        t.sp = (t.sp - size) & t.mask;
        (void)stack_address(&t, size);
    }
}

void stack_push(struct stack *s, uint64_t value, unsigned size)
{
    uint64_t addr;

    s->sp = (s->sp - size) & s->mask;
    addr = stack_address(s, size);
    if (s->super)
        mmu_store_stack(s->cpu, addr, value & MASK(8 * size), size);
    else
        mmu_store(s->cpu, addr, value & MASK(8 * size), size, IR_MEM_STACK);
}

uint64_t stack_pop(struct stack *s, unsigned size)
{
    uint64_t addr = stack_address(s, size);
    uint64_t value =
        s->super ? mmu_load_stack(s->cpu, addr, size) : mmu_load(s->cpu, addr, size, IR_MEM_STACK);

    s->sp = (s->sp + size) & s->mask;
    return value;
}

void stack_commit(const struct stack *s)
{
    uint64_t *sp = &s->cpu->gpr[R_SP];

    *sp = s->mask == UINT16_MAX ? (*sp & ~s->mask) | s->sp : s->sp;
}

/* ---- the task-state segment's stacks, SDM vol. 3, 8.2 and 8.7 ---- */

void tss_stack(struct cpu *cpu, unsigned cpl, unsigned ext, uint16_t *ss, uint64_t *sp)
{
    const struct segment *tr = &cpu->seg[S_TR];
    bool wide = tr->attr & 8;
    unsigned at = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    unsigned size = wide ? 4 : 2;

    if (!(tr->attr & ATTR_P) || at + size + 1 > tr->limit)
        cpu_raise_error(cpu, EX_TS, sel_error(tr->selector) | ext);
    *sp = mmu_load_super(cpu, tr->base + at, size);
    *ss = (uint16_t)mmu_load_super(cpu, tr->base + at + size, 2);
}

uint64_t tss_stack64(struct cpu *cpu, unsigned cpl, unsigned ist, unsigned ext)
{
    const struct segment *tr = &cpu->seg[S_TR];
    unsigned at = ist ? 28 + 8 * ist : 4 + 8 * cpl;
    uint64_t sp;

    if (!(tr->attr & ATTR_P) || at + 7 > tr->limit)
        cpu_raise_error(cpu, EX_TS, sel_error(tr->selector) | ext);
    sp = mmu_load_super(cpu, tr->base + at, 8);
    if (!cpu_canonical(cpu, sp))
        cpu_raise_error(cpu, EX_SS, ext);
    return sp;
}
