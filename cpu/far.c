/* Far JMP, CALL, RET and IRET: SDM vol. 2, pseudo-code of the instructions; vol. 3, 5.8. */
#include "cpu/strict.h"

static uint64_t truncate_ip(uint64_t ip, unsigned size)
{
    return ip & MASK(8 * size);
}

/* Is `d` 64-bit code? Only long mode looks at L. */
static bool is_code64(const struct cpu *cpu, const struct descriptor *d)
{
    return cpu_long_mode(cpu) && (d->attr & ATTR_L);
}

static void check_offset(struct cpu *cpu, uint16_t selector, const struct descriptor *code, uint64_t offset)
{
    bool code64 = is_code64(cpu, code);

    if (!code64 && offset > code->limit)
        strict_code_limit(cpu, selector, code->limit, offset);
    if (code64 ? !cpu_canonical(cpu, offset) : offset > code->limit)
        cpu_raise_error(cpu, EX_GP, 0);
}

/* A code segment with both L and D set is reserved in long mode. */
static void check_long_code(struct cpu *cpu, uint16_t selector, const struct descriptor *code)
{
    if (is_code64(cpu, code) && (code->attr & ATTR_DB))
        cpu_raise_error(cpu, EX_GP, sel_error(selector));
}

static void read_code(struct cpu *cpu, uint16_t selector, struct descriptor *code)
{
    if (sel_null(selector) || !desc_read(cpu, selector, code) || !desc_is_code(code))
        cpu_raise_error(cpu, EX_GP, sel_error(selector));
}

static void check_present(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    if (!(d->attr & ATTR_P))
        cpu_raise_error(cpu, EX_NP, sel_error(selector));
}

static void enter_code(struct cpu *cpu, uint16_t selector, const struct descriptor *code, unsigned cpl,
                       uint64_t ip)
{
    seg_commit_code(cpu, selector, code, cpl);
    cpu->rip = ip;
    cpu_update_level(cpu);
}

/* ---- JMP and CALL ---- */

struct transfer {
    struct cpu *cpu;
    enum far_kind kind;
    uint16_t selector;
    uint64_t offset;
    unsigned size;      /* of a pushed item */
    uint64_t next;      /* return address */
};

static void push_return(const struct transfer *t, struct stack *st)
{
    stack_push(st, t->cpu->seg[S_CS].selector, t->size);
    stack_push(st, t->next, t->size);
}

static void check_real_ip(struct cpu *cpu, uint64_t ip)
{
    if (ip <= cpu->seg[S_CS].limit)
        return;
    strict_code_limit(cpu, cpu->seg[S_CS].selector, cpu->seg[S_CS].limit, ip);
    cpu_raise_error(cpu, EX_GP, 0);
}

static void transfer_real(const struct transfer *t)
{
    struct cpu *cpu = t->cpu;
    struct stack st;

    if (t->kind == FAR_CALL) {
        stack_current(&st, cpu, true, 0);
        stack_check_room(&st, t->size, 2);
    }
    check_real_ip(cpu, t->offset);
    if (t->kind == FAR_CALL) {
        push_return(t, &st);
        stack_commit(&st);
    }
    seg_load_real(cpu, S_CS, t->selector);
    cpu->rip = t->offset;
    cpu_update_level(cpu);
}

/* Stay at the current level. A call through a 64-bit gate pushes on a 64-bit stack, whoever calls. */
static void transfer_same(const struct transfer *t, struct descriptor *code, bool long_gate)
{
    struct cpu *cpu = t->cpu;
    struct stack st;

    if (t->kind == FAR_CALL) {
        stack_current(&st, cpu, true, 0);
        if (long_gate)
            stack_flat(&st, cpu, cpu_cpl(cpu), cpu->gpr[R_SP], 0);
        stack_check_room(&st, t->size, 2);
    }
    check_offset(cpu, t->selector, code, t->offset);
    if (t->kind == FAR_CALL)
        push_return(t, &st);
    desc_set_accessed(cpu, code);
    if (t->kind == FAR_CALL)
        stack_commit(&st);
    enter_code(cpu, t->selector, code, cpu_cpl(cpu), t->offset);
}

static void transfer_code(const struct transfer *t, struct descriptor *code)
{
    struct cpu *cpu = t->cpu;
    unsigned cpl = cpu_cpl(cpu), dpl = desc_dpl(code);
    bool allowed = desc_conforming(code) ? dpl <= cpl : (t->selector & SEL_RPL) <= cpl && dpl == cpl;

    if (!desc_is_code(code) || !allowed)
        cpu_raise_error(cpu, EX_GP, sel_error(t->selector));
    check_long_code(cpu, t->selector, code);
    check_present(cpu, t->selector, code);
    transfer_same(t, code, false);
}

/* Parameters move from the caller's stack to the inner one, keeping their order. */
static void copy_parameters(struct stack *to, struct cpu *cpu, unsigned count, unsigned size)
{
    uint64_t value[31];
    struct stack from;

    stack_current(&from, cpu, false, 0);
    for (unsigned i = 0; i < count; i++)
        value[i] = stack_pop(&from, size);
    while (count--)
        stack_push(to, value[count], size);
}

static void call_inner(const struct transfer *t, struct descriptor *code, unsigned parameters)
{
    struct cpu *cpu = t->cpu;
    unsigned cpl = desc_dpl(code);
    struct descriptor sd;
    struct stack st;
    uint16_t ss;
    uint64_t sp;

    if (cpu_long_mode(cpu)) {
        ss = (uint16_t)cpl;
        stack_flat(&st, cpu, cpl, tss_stack64(cpu, cpl, 0, 0), 0);
    } else {
        tss_stack(cpu, cpl, 0, &ss, &sp);
        seg_check_stack(cpu, ss, cpl, EX_TS, 0, &sd);
        stack_inner(&st, cpu, &sd, sp, sel_error(ss));
    }
    if (cpu_long_mode(cpu))
        parameters = 0;
    stack_check_room(&st, t->size, parameters + 4);
    check_offset(cpu, t->selector, code, t->offset);
    stack_push(&st, cpu->seg[S_SS].selector, t->size);
    stack_push(&st, cpu->gpr[R_SP], t->size);
    copy_parameters(&st, cpu, parameters, t->size);
    push_return(t, &st);
    desc_set_accessed(cpu, code);
    if (cpu_long_mode(cpu)) {
        seg_set_null(cpu, S_SS, ss);
    } else {
        desc_set_accessed(cpu, &sd);
        seg_set_desc(cpu, S_SS, ss, &sd);
    }
    stack_commit(&st);
    enter_code(cpu, t->selector, code, cpl, t->offset);
}

static void transfer_gate(const struct transfer *caller, const struct descriptor *gate)
{
    struct transfer t = *caller;
    struct cpu *cpu = t.cpu;
    struct descriptor code;
    uint64_t upper = cpu_long_mode(cpu) ? desc_read_upper(cpu, caller->selector, gate) : 0;
    bool outward, inner;

    t.selector = gate_selector(gate);
    t.size = cpu_long_mode(cpu) ? 8 : desc_type(gate) & 8 ? 4 : 2;
    t.offset = upper << 32 | (t.size == 2 ? gate_offset(gate) & 0xffff : gate_offset(gate));
    read_code(cpu, t.selector, &code);
    inner = !desc_conforming(&code) && desc_dpl(&code) < cpu_cpl(cpu);
    outward = desc_dpl(&code) > cpu_cpl(cpu);
    if (outward || (t.kind == FAR_JMP && inner))
        cpu_raise_error(cpu, EX_GP, sel_error(t.selector));
    if (cpu_long_mode(cpu) && (code.attr & (ATTR_L | ATTR_DB)) != ATTR_L)
        cpu_raise_error(cpu, EX_GP, sel_error(t.selector));
    check_present(cpu, t.selector, &code);
    if (inner)
        call_inner(&t, &code, gate->hi & 31);
    else
        transfer_same(&t, &code, cpu_long_mode(cpu));
}

static void transfer_system(const struct transfer *t, struct descriptor *d)
{
    struct cpu *cpu = t->cpu;
    uint32_t error = sel_error(t->selector);
    enum task_reason reason = t->kind == FAR_CALL ? TASK_CALL : TASK_JMP;
    uint16_t selector = t->selector;
    unsigned type = desc_type(d);
    bool gate = type == SYS_CALL || (type == SYS_CALL16 && !cpu_long_mode(cpu));
    bool task = !cpu_long_mode(cpu) && (type == SYS_TASK_GATE || type == SYS_TSS || type == SYS_TSS16);
    struct descriptor tss = *d;

    if ((!gate && !task) || desc_dpl(d) < cpu_cpl(cpu) || desc_dpl(d) < (t->selector & SEL_RPL))
        cpu_raise_error(cpu, EX_GP, error);
    if (type != SYS_TASK_GATE && task && (t->selector & SEL_TI))
        cpu_raise_error(cpu, EX_GP, error);
    check_present(cpu, t->selector, d);
    if (gate) {
        transfer_gate(t, d);
        return;
    }
    if (type == SYS_TASK_GATE)
        task_gate_target(cpu, d, 0, &selector, &tss);
    task_switch(cpu, selector, &tss, reason, t->next);
}

void far_transfer(struct cpu *cpu, enum far_kind kind, uint16_t selector, uint64_t offset, unsigned size,
                  uint64_t next)
{
    struct transfer t = { cpu, kind, selector, truncate_ip(offset, size), size, next };
    struct descriptor d;

    if (!cpu_protected(cpu)) {
        transfer_real(&t);
        return;
    }
    if (sel_null(selector) || !desc_read(cpu, selector, &d))
        cpu_raise_error(cpu, EX_GP, sel_error(selector));
    if (d.attr & ATTR_S)
        transfer_code(&t, &d);
    else
        transfer_system(&t, &d);
}

/* ---- RET and IRET ---- */

struct comeback {
    struct cpu *cpu;
    struct stack st;
    unsigned size;      /* of a popped item */
    uint64_t ip;
    uint16_t cs;
    uint32_t flags;     /* IRET */
    uint32_t mask;      /* flags that IRET may change; 0: RET */
    struct descriptor code;
};

static void pop_target(struct comeback *r)
{
    r->ip = stack_pop(&r->st, r->size);
    r->cs = (uint16_t)stack_pop(&r->st, r->size);
}

static void check_return_code(struct comeback *r)
{
    struct cpu *cpu = r->cpu;
    unsigned rpl = r->cs & SEL_RPL, dpl;

    read_code(cpu, r->cs, &r->code);
    dpl = desc_dpl(&r->code);
    if (rpl < cpu_cpl(cpu) || (desc_conforming(&r->code) ? dpl > rpl : dpl != rpl))
        cpu_raise_error(cpu, EX_GP, sel_error(r->cs));
    check_long_code(cpu, r->cs, &r->code);
    check_present(cpu, r->cs, &r->code);
}

static void finish_return(struct comeback *r)
{
    seg_commit_code(r->cpu, r->cs, &r->code, r->cs & SEL_RPL);
    r->cpu->rip = r->ip;
    if (r->mask)
        cpu_set_eflags(r->cpu, r->flags, r->mask);
    cpu_update_level(r->cpu);
}

static void return_same(struct comeback *r, unsigned drop)
{
    check_offset(r->cpu, r->cs, &r->code, r->ip);
    r->st.sp = (r->st.sp + drop) & r->st.mask;
    desc_set_accessed(r->cpu, &r->code);
    stack_commit(&r->st);
    finish_return(r);
}

/* The stack pointer takes the width of the stack it names: a 16-bit SS leaves the upper half of ESP alone. */
static void set_outer_sp(struct comeback *r, uint16_t ss, const struct descriptor *sd, uint64_t sp,
                         unsigned drop)
{
    struct stack st = { .cpu = r->cpu, .mask = UINT64_MAX };

    if (!is_code64(r->cpu, &r->code))
        st.mask = !sel_null(ss) && !(sd->attr & ATTR_DB) ? UINT16_MAX : UINT32_MAX;
    st.sp = (sp + drop) & st.mask;
    stack_commit(&st);
}

/* Pop SS:(R/E)SP too, and look at it before the instruction pointer. A null SS is good for 64-bit code above
 * level 3. */
static void return_with_stack(struct comeback *r, unsigned drop)
{
    struct cpu *cpu = r->cpu;
    unsigned cpl = r->cs & SEL_RPL;
    bool outer = cpl > cpu_cpl(cpu), null;
    struct descriptor sd = { 0 };
    uint64_t sp;
    uint16_t ss;

    r->st.sp = (r->st.sp + drop) & r->st.mask;
    sp = stack_pop(&r->st, r->size);
    ss = (uint16_t)stack_pop(&r->st, r->size);
    null = sel_null(ss) && is_code64(cpu, &r->code) && cpl != 3;
    if (null && (ss & SEL_RPL) != cpl)
        cpu_raise_error(cpu, EX_GP, sel_error(ss));
    if (!null)
        seg_check_stack(cpu, ss, cpl, EX_GP, 0, &sd);
    check_offset(cpu, r->cs, &r->code, r->ip);
    if (!null)
        desc_set_accessed(cpu, &sd);
    desc_set_accessed(cpu, &r->code);
    if (null)
        seg_set_null(cpu, S_SS, ss);
    else
        seg_set_desc(cpu, S_SS, ss, &sd);
    set_outer_sp(r, ss, &sd, sp, drop);
    if (outer)
        seg_drop_inner(cpu, cpl);
    finish_return(r);
}

static void return_real(struct comeback *r, unsigned drop)
{
    struct cpu *cpu = r->cpu;

    check_real_ip(cpu, r->ip);
    r->st.sp = (r->st.sp + drop) & r->st.mask;
    stack_commit(&r->st);
    seg_load_real(cpu, S_CS, r->cs);
    cpu->rip = r->ip;
    cpu_update_level(cpu);
    if (r->mask)
        cpu_set_eflags(cpu, r->flags, r->mask);
}

void far_return(struct cpu *cpu, unsigned size, unsigned drop)
{
    struct comeback r = { .cpu = cpu, .size = size };

    stack_current(&r.st, cpu, false, 0);
    pop_target(&r);
    if (!cpu_protected(cpu)) {
        return_real(&r, drop);
        return;
    }
    check_return_code(&r);
    if ((r.cs & SEL_RPL) > cpu_cpl(cpu))
        return_with_stack(&r, drop);
    else
        return_same(&r, drop);
}

#define IRET_FLAGS (IR_FLAGS6 | FL_TF | FL_DF | FL_NT)

static uint32_t iret_mask(const struct cpu *cpu, unsigned size)
{
    uint32_t mask = IRET_FLAGS;

    if (size > 2)
        mask |= FL_RF | FL_AC | FL_ID;
    if (cpu_cpl(cpu) <= cpu_iopl(cpu))
        mask |= FL_IF;
    if (cpu_cpl(cpu) == 0)
        mask |= FL_IOPL | (size > 2 ? FL_VIF | FL_VIP : 0);
    return mask;
}

/* v86 mode with IOPL < 3: only CR4.VME makes a 16-bit IRET work, on VIF in place of IF. */
static void iret_virtual_if(struct comeback *r)
{
    bool sets_if = r->flags & FL_IF;

    if ((sets_if && (r->cpu->eflags & FL_VIP)) || (r->flags & FL_TF))
        cpu_raise_error(r->cpu, EX_GP, 0);
    r->flags = (r->flags & ~(uint32_t)FL_VIF) | (sets_if ? FL_VIF : 0);
    r->mask = IRET_FLAGS | FL_VIF;
}

static void iret_real(struct comeback *r)
{
    struct cpu *cpu = r->cpu;
    bool v86 = cpu->mode & MODE_VM;

    if (v86 && cpu_iopl(cpu) < 3 && (!(cpu->cr4 & CR4_VME) || r->size != 2))
        cpu_raise_error(cpu, EX_GP, 0);
    pop_target(r);
    r->flags = (uint32_t)stack_pop(&r->st, r->size);
    strict_eflags(cpu, r->flags);
    r->mask = IRET_FLAGS | FL_IF | (v86 ? 0 : FL_IOPL) | (r->size > 2 ? FL_RF | FL_AC | FL_ID : 0);
    if (v86 && cpu_iopl(cpu) < 3)
        iret_virtual_if(r);
    return_real(r, 0);
}

static void iret_to_v86(struct comeback *r)
{
    static const uint8_t order[] = { S_SS, S_ES, S_DS, S_FS, S_GS };
    struct cpu *cpu = r->cpu;
    uint16_t selector[ARRAY_LEN(order)];
    uint32_t sp = (uint32_t)stack_pop(&r->st, 4);

    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        selector[i] = (uint16_t)stack_pop(&r->st, 4);
    if (r->ip > 0xffff)
        cpu_raise_error(cpu, EX_GP, 0);
    cpu_set_eflags(cpu, r->flags, r->mask | FL_VM | FL_IF | FL_IOPL | FL_VIF | FL_VIP);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        seg_load_real(cpu, order[i], selector[i]);
    seg_load_real(cpu, S_CS, r->cs);
    cpu->gpr[R_SP] = sp;
    cpu->rip = r->ip;
    cpu_update_level(cpu);
}

static void iret_task(struct cpu *cpu, uint64_t next)
{
    struct descriptor d;
    uint16_t link = (uint16_t)mmu_load_super(cpu, cpu->seg[S_TR].base, 2);
    bool busy;

    if ((link & SEL_TI) || sel_null(link) || !desc_read(cpu, link, &d))
        cpu_raise_error(cpu, EX_TS, sel_error(link));
    busy = !(d.attr & ATTR_S) && (desc_type(&d) == SYS_TSS_BUSY || desc_type(&d) == SYS_TSS16_BUSY);
    if (!busy)
        cpu_raise_error(cpu, EX_TS, sel_error(link));
    check_present(cpu, link, &d);
    task_switch(cpu, link, &d, TASK_IRET, next);
}

static void iret_protected(struct comeback *r)
{
    struct cpu *cpu = r->cpu;

    pop_target(r);
    r->flags = (uint32_t)stack_pop(&r->st, r->size);
    strict_eflags(cpu, r->flags);
    r->mask = iret_mask(cpu, r->size);
    if ((r->flags & FL_VM) && r->size == 4 && cpu_cpl(cpu) == 0 && !cpu_long_mode(cpu)) {
        iret_to_v86(r);
        return;
    }
    check_return_code(r);
    if (cpu_code64(cpu) || (r->cs & SEL_RPL) > cpu_cpl(cpu))
        return_with_stack(r, 0);
    else
        return_same(r, 0);
}

void far_iret(struct cpu *cpu, unsigned size, uint64_t next)
{
    struct comeback r = { .cpu = cpu, .size = size };

    stack_current(&r.st, cpu, false, 0);
    if (!cpu_protected(cpu)) {
        iret_real(&r);
    } else if (!(cpu->eflags & FL_NT)) {
        iret_protected(&r);
    } else {
        if (cpu_long_mode(cpu))
            cpu_raise_error(cpu, EX_GP, 0);
        iret_task(cpu, next);
    }
    cpu->rf_loaded = size > 2;
    if (cpu->nmi_blocked) {
        cpu->nmi_blocked = 0;
        __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST); /* one may wait */
    }
    check_virtual_interrupt(cpu);
}
