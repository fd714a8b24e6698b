/* Hardware task switching: SDM vol. 3, chapter 8. */
#include "cpu/strict.h"

#define DR6_BT (UINT64_C(1) << 15)
#define NUM_TSS_SEGS 6 /* ES CS SS DS FS GS, in the order of enum seg_reg */

/* Where a TSS keeps things: 32-bit (SDM vol. 3, figure 8-2) and 16-bit (figure 8-10). */
struct tss_layout {
    uint8_t min_limit;
    uint8_t word;           /* bytes of a register */
    uint8_t ip, flags, gpr;
    uint8_t seg, seg_step, num_segs;
    uint8_t ldt;
};

static const struct tss_layout layout32 = { 103, 4, 32, 36, 40, 72, 4, 6, 96 };
static const struct tss_layout layout16 = { 43, 2, 14, 16, 18, 34, 2, 4, 42 };

enum { TSS_CR3 = 28, TSS_TRAP = 100 };

/* The state that a TSS holds. */
struct task_image {
    uint32_t cr3, ip, flags;
    uint32_t gpr[8];
    uint16_t seg[NUM_TSS_SEGS];
    uint16_t ldt;
    bool wide, trap;
};

static const struct tss_layout *tss_layout(uint16_t attr)
{
    return attr & 8 ? &layout32 : &layout16;
}

static void read_image(struct cpu *cpu, const struct descriptor *d, struct task_image *t)
{
    const struct tss_layout *l = tss_layout(d->attr);

    memset(t, 0, sizeof(*t));
    t->wide = l == &layout32;
    t->ip = (uint32_t)mmu_load_super(cpu, d->base + l->ip, l->word);
    t->flags = (uint32_t)mmu_load_super(cpu, d->base + l->flags, l->word);
    strict_eflags(cpu, t->flags);
    for (unsigned i = 0; i < 8; i++)
        t->gpr[i] = (uint32_t)mmu_load_super(cpu, d->base + l->gpr + i * l->word, l->word);
    for (unsigned i = 0; i < l->num_segs; i++)
        t->seg[i] = (uint16_t)mmu_load_super(cpu, d->base + l->seg + i * l->seg_step, 2);
    t->ldt = (uint16_t)mmu_load_super(cpu, d->base + l->ldt, 2);
    if (!t->wide) {
        for (unsigned i = 0; i < 8; i++)
            t->gpr[i] |= 0xffff0000;
        return;
    }
    t->cr3 = (uint32_t)mmu_load_super(cpu, d->base + TSS_CR3, 4);
    t->trap = mmu_load_super(cpu, d->base + TSS_TRAP, 1) & 1;
}

/* A task that leaves by IRET saves NT clear: it is no longer nested. */
static void save_state(struct cpu *cpu, enum task_reason reason, uint64_t next)
{
    uint64_t base = cpu->seg[S_TR].base;
    const struct tss_layout *l = tss_layout(cpu->seg[S_TR].attr);
    uint32_t flags = cpu_get_eflags(cpu);

    if (reason == TASK_IRET)
        flags &= ~(uint32_t)FL_NT;
    mmu_store_super(cpu, base + l->ip, next & MASK(8 * l->word), l->word);
    mmu_store_super(cpu, base + l->flags, flags & MASK(8 * l->word), l->word);
    for (unsigned i = 0; i < 8; i++)
        mmu_store_super(cpu, base + l->gpr + i * l->word, cpu->gpr[i] & MASK(8 * l->word), l->word);
    for (unsigned i = 0; i < l->num_segs; i++)
        mmu_store_super(cpu, base + l->seg + i * l->seg_step, cpu->seg[i].selector, 2);
}

/* ---- the new task's segments: errors are its own ---- */

static void load_code(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;
    unsigned rpl = selector & SEL_RPL;

    if (sel_null(selector) || !desc_read(cpu, selector, &d) || !desc_is_code(&d) ||
        (desc_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
        cpu_raise_error(cpu, EX_TS, sel_error(selector));
    if (!(d.attr & ATTR_P))
        cpu_raise_error(cpu, EX_NP, sel_error(selector));
    desc_set_accessed(cpu, &d);
    seg_commit_code(cpu, selector, &d, rpl);
}

static void load_stack(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;

    seg_check_stack(cpu, selector, cpu_cpl(cpu), EX_TS, 0, &d);
    desc_set_accessed(cpu, &d);
    seg_set_desc(cpu, S_SS, selector, &d);
}

static void load_segments(struct cpu *cpu, const struct task_image *t)
{
    static const uint8_t data[] = { S_ES, S_DS, S_FS, S_GS };

    seg_load_ldt(cpu, t->ldt, EX_TS);
    if (cpu->mode & MODE_VM)
        return;
    load_code(cpu, t->seg[S_CS]);
    cpu_update_mode(cpu);
    load_stack(cpu, t->seg[S_SS]);
    for (unsigned i = 0; i < ARRAY_LEN(data); i++)
        seg_load_data(cpu, data[i], t->seg[data[i]], EX_TS);
    cpu_update_mode(cpu);
    if (cpu->rip > cpu->seg[S_CS].limit)
        cpu_raise_error(cpu, EX_GP, 0);
}

/* Everything that cannot fault; selectors are visible before their descriptors are. */
static void load_registers(struct cpu *cpu, const struct task_image *t)
{
    uint32_t settable = IR_FLAGS6 | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT |
                        FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID;

    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = t->gpr[i];
    for (unsigned i = 0; i < NUM_TSS_SEGS; i++)
        seg_set_null(cpu, i, t->seg[i]);
    seg_set_null(cpu, S_LDTR, t->ldt);
    cpu_set_cpl(cpu, t->seg[S_CS] & SEL_RPL);
    cpu_set_eflags(cpu, t->wide ? t->flags : t->flags & 0xffff, settable);
    cpu->rip = t->ip;
    if (cpu->mode & MODE_VM)
        for (unsigned i = 0; i < NUM_TSS_SEGS; i++)
            seg_load_real(cpu, i, t->seg[i]);
    cpu_update_mode(cpu);
}

static void switch_tr(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    struct descriptor busy = *d;

    busy.attr |= SYS_BUSY;
    seg_set_desc(cpu, S_TR, selector, &busy);
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~UINT64_C(0x55); /* local breakpoints */
}

/* What may be wrong with the two segments. Nothing that is written later faults, or restarts the instruction,
 * which would then find half of the task saved. */
static void check_tss(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    const struct segment *tr = &cpu->seg[S_TR];
    unsigned old_size = tss_layout(tr->attr)->min_limit + 1;

    if (d->limit < tss_layout(d->attr)->min_limit)
        cpu_raise_error(cpu, EX_TS, sel_error(selector));
    if (!(tr->attr & ATTR_P) || tr->limit < old_size - 1)
        cpu_raise_error(cpu, EX_TS, sel_error(tr->selector));
    mmu_probe(cpu, tr->base, old_size, ACC_WRITE, IR_MEM_SUPER);
    mmu_probe(cpu, d->base, tss_layout(d->attr)->min_limit + 1, ACC_WRITE, IR_MEM_SUPER);
    desc_probe_busy(cpu, tr->selector);
    desc_probe_busy(cpu, selector);
}

void task_switch(struct cpu *cpu, uint16_t selector, const struct descriptor *d, enum task_reason reason,
                 uint64_t next)
{
    uint16_t old = cpu->seg[S_TR].selector;
    bool nested = reason == TASK_CALL || reason == TASK_INT;
    bool in_block = cpu->in_block;
    struct task_image t;

    check_tss(cpu, selector, d);
    read_image(cpu, d, &t);
    if (!nested)
        desc_set_busy(cpu, old, false);
    save_state(cpu, reason, next);
    if (nested) {
        mmu_store_super(cpu, d->base, old, 2);
        t.flags |= FL_NT;
    }
    if (reason != TASK_IRET)
        desc_set_busy(cpu, selector, true);
    /* The point of no return: rip is the new task's own, not relative to the running block. */
    cpu_leave_block(cpu);
    cpu->no_step = true;
    switch_tr(cpu, selector, d);
    load_registers(cpu, &t);
    if (t.wide && (cpu->cr0 & CR0_PG))
        cpu_write_cr3(cpu, t.cr3);
    load_segments(cpu, &t);
    if (t.trap) {
        cpu->dr[6] |= DR6_BT;
        cpu_raise_exception(cpu, EX_DB);
    }
    check_virtual_interrupt(cpu);
    cpu->in_block = in_block;
}

void task_gate_target(struct cpu *cpu, const struct descriptor *gate, unsigned ext, uint16_t *selector,
                      struct descriptor *d)
{
    uint16_t sel = gate_selector(gate);
    bool available;

    if ((sel & SEL_TI) || sel_null(sel) || !desc_read(cpu, sel, d))
        cpu_raise_error(cpu, EX_GP, sel_error(sel) | ext);
    available = !(d->attr & ATTR_S) && (desc_type(d) == SYS_TSS || desc_type(d) == SYS_TSS16);
    if (!available)
        cpu_raise_error(cpu, EX_GP, sel_error(sel) | ext);
    if (!(d->attr & ATTR_P))
        cpu_raise_error(cpu, EX_NP, sel_error(sel) | ext);
    *selector = sel;
}

void task_push_error(struct cpu *cpu, uint32_t code)
{
    unsigned size = cpu->seg[S_TR].attr & 8 ? 4 : 2;
    struct stack st;

    stack_current(&st, cpu, true, 1);
    stack_push(&st, code, size);
    stack_commit(&st);
}
