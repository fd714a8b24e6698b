/* Delivery of interrupts and exceptions: SDM vol. 3, chapter 6; INT n in vol. 2. */
#include "cpu/strict.h"

#include <inttypes.h>

#define DR7_GD (UINT64_C(1) << 13)

struct event {
    struct cpu *cpu;
    unsigned vector;
    bool has_code, soft;
    uint32_t code;
    unsigned ext;      /* EXT bit of error codes: 0 or 1 */
    uint64_t ret;      /* instruction pointer to push */
    uint32_t flags;    /* EFLAGS image to push */
};

/* A gate of the IDT and the code segment behind it. */
struct gate {
    struct descriptor d;       /* the gate */
    struct descriptor code;
    uint16_t selector;
    uint64_t offset;
    unsigned size;             /* of a pushed item: 2, 4, 8 */
    unsigned ist;
    unsigned cpl;              /* level of the handler */
};

static _Noreturn void raise_gate(const struct event *ev, unsigned vector)
{
    cpu_raise_error(ev->cpu, vector, ev->vector * 8 + 2 + ev->ext);
}

static _Noreturn void raise_code(const struct event *ev, unsigned vector, uint16_t selector)
{
    cpu_raise_error(ev->cpu, vector, sel_error(selector) | ev->ext);
}

/* ---- through the interrupt vector table ---- */

static void push_frame(struct stack *st, const struct event *ev, unsigned size)
{
    stack_push(st, ev->flags, size);
    stack_push(st, ev->cpu->seg[S_CS].selector, size);
    stack_push(st, ev->ret, size);
}

static void enter_vector(struct cpu *cpu, const struct stack *st, uint32_t entry, uint32_t clear)
{
    stack_commit(st);
    seg_load_real(cpu, S_CS, (uint16_t)(entry >> 16));
    cpu->eflags &= ~clear;
    cpu->rip = entry & 0xffff;
    cpu_update_level(cpu);
}

static void deliver_real(const struct event *ev)
{
    struct cpu *cpu = ev->cpu;
    struct stack st;
    uint32_t entry;

    if (ev->vector * 4 + 3 > cpu->idt.limit)
        raise_gate(ev, EX_GP);
    entry = (uint32_t)mmu_load_super(cpu, cpu->idt.base + ev->vector * 4, 4);
    stack_current(&st, cpu, true, ev->ext);
    push_frame(&st, ev, 2);
    enter_vector(cpu, &st, entry, FL_IF | FL_TF | FL_AC | FL_RF);
}

/* INT n that CR4.VME sends to the v86 program's own table, SDM vol. 3, 21.3.3.4: with IOPL < 3, VIF stands
 * for IF. */
static void deliver_redirected(struct event *ev)
{
    struct cpu *cpu = ev->cpu;
    bool virtual = cpu_iopl(cpu) < 3;
    struct stack st;
    uint32_t entry;

    if (virtual)
        ev->flags = (ev->flags & ~(uint32_t)FL_IF) | (ev->flags & FL_VIF ? FL_IF : 0) | FL_IOPL;
    entry = (uint32_t)mmu_load(cpu, ev->vector * 4, 4, 0);
    stack_current(&st, cpu, true, 0);
    push_frame(&st, ev, 2);
    enter_vector(cpu, &st, entry, FL_TF | FL_RF | (virtual ? FL_VIF : FL_IF));
}

/* ---- through the IDT ---- */

static void read_gate(const struct event *ev, struct gate *g)
{
    struct cpu *cpu = ev->cpu;
    unsigned size = cpu_long_mode(cpu) ? 16 : 8;
    uint64_t v;

    if (ev->vector * size + size - 1 > cpu->idt.limit)
        raise_gate(ev, EX_GP);
    v = mmu_load_super(cpu, cpu->idt.base + ev->vector * size, 8);
    desc_parse(&g->d, (uint32_t)v, (uint32_t)(v >> 32));
    g->offset = gate_offset(&g->d);
    v = size == 16 ? mmu_load_super(cpu, cpu->idt.base + ev->vector * size + 8, 8) : 0;
    g->offset |= v << 32;
    strict_gate(cpu, ev->vector, &g->d, v);
}

static bool valid_gate_type(const struct cpu *cpu, const struct descriptor *d)
{
    unsigned type = desc_type(d);

    if (d->attr & ATTR_S)
        return false;
    if (cpu_long_mode(cpu))
        return type == SYS_INT || type == SYS_TRAP;
    return type == SYS_TASK_GATE || type == SYS_INT16 || type == SYS_TRAP16 || type == SYS_INT ||
           type == SYS_TRAP;
}

static void check_gate(const struct event *ev, struct gate *g)
{
    read_gate(ev, g);
    if (!valid_gate_type(ev->cpu, &g->d))
        raise_gate(ev, EX_GP);
    if (ev->soft && desc_dpl(&g->d) < cpu_cpl(ev->cpu))
        raise_gate(ev, EX_GP);
    if (!(g->d.attr & ATTR_P))
        raise_gate(ev, EX_NP);
    g->selector = gate_selector(&g->d);
    g->ist = 0;
    g->size = desc_type(&g->d) & 8 ? 4 : 2;
    if (g->size == 2)
        g->offset &= 0xffff;
    if (cpu_long_mode(ev->cpu)) {
        g->size = 8;
        g->ist = g->d.hi & 7;
    }
}

static void check_code(const struct event *ev, struct gate *g)
{
    struct cpu *cpu = ev->cpu;
    struct descriptor *c = &g->code;

    if (sel_null(g->selector) || !desc_read(cpu, g->selector, c) || !desc_is_code(c) ||
        desc_dpl(c) > cpu_cpl(cpu))
        raise_code(ev, EX_GP, g->selector);
    if (cpu_long_mode(cpu) && (c->attr & (ATTR_L | ATTR_DB)) != ATTR_L)
        raise_code(ev, EX_GP, g->selector);
    if (!(c->attr & ATTR_P))
        raise_code(ev, EX_NP, g->selector);
    g->cpl = desc_conforming(c) ? cpu_cpl(cpu) : desc_dpl(c);
    if ((cpu->mode & MODE_VM) && g->cpl != 0)
        raise_code(ev, EX_GP, g->selector);
}

/* The last check, behind the room for a frame of `count` items. */
static void check_target(const struct event *ev, const struct gate *g, const struct stack *st, unsigned count)
{
    struct cpu *cpu = ev->cpu;
    bool bad;

    stack_check_room(st, g->size, count + ev->has_code);
    bad = cpu_long_mode(cpu) ? !cpu_canonical(cpu, g->offset) : g->offset > g->code.limit;
    if (bad && !cpu_long_mode(cpu))
        strict_code_limit(cpu, g->selector, g->code.limit, g->offset);
    if (bad)
        cpu_raise_error(cpu, EX_GP, ev->ext);
}

static void push_code(struct stack *st, const struct event *ev, unsigned size)
{
    if (ev->has_code)
        stack_push(st, ev->code, size);
}

/* CS:(R/E)IP and the flags of the handler; CPL and SS are already those of the handler's level. */
static void enter_gate(struct cpu *cpu, const struct gate *g)
{
    uint32_t clear = FL_TF | FL_NT | FL_RF | FL_VM;

    if (!(desc_type(&g->d) & 1))
        clear |= FL_IF;
    cpu->eflags &= ~clear;
    seg_commit_code(cpu, g->selector, &g->code, g->cpl);
    cpu->rip = g->offset;
    cpu_update_level(cpu);
}

static void push_v86_segments(struct stack *st, struct cpu *cpu, unsigned size)
{
    static const uint8_t order[] = { S_GS, S_FS, S_DS, S_ES };

    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        stack_push(st, cpu->seg[order[i]].selector, size);
}

static void deliver_inner(const struct event *ev, struct gate *g)
{
    struct cpu *cpu = ev->cpu;
    bool from_v86 = cpu->mode & MODE_VM;
    struct descriptor sd;
    struct stack st;
    uint64_t sp;
    uint16_t ss;

    tss_stack(cpu, g->cpl, ev->ext, &ss, &sp);
    seg_check_stack(cpu, ss, g->cpl, EX_TS, ev->ext, &sd);
    stack_inner(&st, cpu, &sd, sp, sel_error(ss) | ev->ext);
    check_target(ev, g, &st, from_v86 ? 9 : 5);
    if (from_v86)
        push_v86_segments(&st, cpu, g->size);
    stack_push(&st, cpu->seg[S_SS].selector, g->size);
    stack_push(&st, cpu->gpr[R_SP], g->size);
    push_frame(&st, ev, g->size);
    push_code(&st, ev, g->size);
    desc_set_accessed(cpu, &sd);
    desc_set_accessed(cpu, &g->code);
    if (from_v86)
        for (unsigned i = S_ES; i < S_NUM; i++)
            if (i != S_CS && i != S_SS)
                seg_set_null(cpu, i, 0);
    seg_set_desc(cpu, S_SS, ss, &sd);
    stack_commit(&st);
    enter_gate(cpu, g);
}

static void deliver_same(const struct event *ev, struct gate *g)
{
    struct stack st;

    stack_current(&st, ev->cpu, true, ev->ext);
    check_target(ev, g, &st, 3);
    push_frame(&st, ev, g->size);
    push_code(&st, ev, g->size);
    desc_set_accessed(ev->cpu, &g->code);
    stack_commit(&st);
    enter_gate(ev->cpu, g);
}

/* Long mode: SS:RSP is always pushed, on a stack aligned to 16 bytes. */
static void deliver_long(const struct event *ev, struct gate *g)
{
    struct cpu *cpu = ev->cpu;
    /* Of compatibility mode ESP: its upper half is not the program's. */
    uint64_t old = cpu_code64(cpu) ? cpu->gpr[R_SP] : (uint32_t)cpu->gpr[R_SP], sp = old;
    bool inner = g->cpl < cpu_cpl(cpu);
    struct stack st;

    if (g->ist || inner)
        sp = tss_stack64(cpu, g->cpl, g->ist, ev->ext);
    stack_flat(&st, cpu, g->cpl, sp & ~UINT64_C(15), ev->ext);
    check_target(ev, g, &st, 5);
    stack_push(&st, cpu->seg[S_SS].selector, 8);
    stack_push(&st, old, 8);
    push_frame(&st, ev, 8);
    push_code(&st, ev, 8);
    desc_set_accessed(cpu, &g->code);
    if (inner)
        seg_set_null(cpu, S_SS, (uint16_t)g->cpl);
    stack_commit(&st);
    enter_gate(cpu, g);
}

static void deliver_task(const struct event *ev, const struct gate *g)
{
    struct descriptor tss;
    uint16_t selector;

    task_gate_target(ev->cpu, &g->d, ev->ext, &selector, &tss);
    task_switch(ev->cpu, selector, &tss, TASK_INT, ev->ret);
    if (ev->has_code)
        task_push_error(ev->cpu, ev->code);
}

static void deliver_protected(const struct event *ev)
{
    struct gate g;

    check_gate(ev, &g);
    if (desc_type(&g.d) == SYS_TASK_GATE) {
        deliver_task(ev, &g);
        return;
    }
    check_code(ev, &g);
    if (cpu_long_mode(ev->cpu))
        deliver_long(ev, &g);
    else if (g.cpl < cpu_cpl(ev->cpu))
        deliver_inner(ev, &g);
    else
        deliver_same(ev, &g);
}

static void deliver(const struct event *ev)
{
    ev->cpu->no_step = true;
    ev->cpu->mode &= ~(uint32_t)MODE_SHADOW;
    ev->cpu->ss_shadow = 0;
    if (ev->vector == EX_DB && !ev->soft) { /* one #DB tells of all */
        ev->cpu->dr[6] |= ev->cpu->dr6_pending;
        ev->cpu->dr6_pending = 0;
    }
    if (ev->cpu->mode & MODE_PE)
        deliver_protected(ev);
    else
        deliver_real(ev);
    if (ev->vector == EX_DB && !ev->soft)
        ev->cpu->dr[7] &= ~DR7_GD;
}

/* EFLAGS of the image for a trap or interrupt: RF is set between two iterations of a string instruction
 * (SDM vol. 3, 17.3.1.1). */
static uint32_t image_flags(struct cpu *cpu)
{
    uint32_t flags = cpu_get_eflags(cpu) | (cpu->rep_partial ? FL_RF : 0);

    cpu->rep_partial = false;
    return flags;
}

void cpu_deliver(struct cpu *cpu, unsigned vector, bool has_code, uint32_t code, bool soft, bool ext)
{
    struct event ev = { .cpu = cpu,
                        .vector = vector,
                        .has_code = has_code,
                        .code = code,
                        .soft = soft,
                        .ext = ext,
                        .ret = cpu->rip,
                        .flags = image_flags(cpu) };

    deliver(&ev);
}

/* While translated code is on the stack, rip is the block's first pc. */
static void log_soft(struct cpu *cpu, unsigned vector)
{
    uint64_t rip = cpu->rip;

    if (!log_enabled(cpu->log, LOG_INT))
        return;
    if (cpu->in_block)
        rip += tcg_current_offset(cpu->tcg, cpu);
    log_printf(cpu->log, "int: software vector %02x at %04x:%016" PRIx64 "\n", vector, cpu->seg[S_CS].selector,
               rip);
}

void deliver_soft(struct cpu *cpu, unsigned vector, enum int_kind kind, uint64_t next)
{
    struct event ev = { .cpu = cpu,
                        .vector = vector,
                        .soft = kind != INT_1,
                        .ext = kind == INT_1,
                        .ret = next,
                        .flags = cpu_get_eflags(cpu) & ~(uint32_t)FL_RF };

    log_soft(cpu, vector);
    if ((cpu->mode & MODE_VM) && kind == INT_N) {
        if (int_redirected(cpu, vector)) {
            cpu->no_step = true;
            deliver_redirected(&ev);
            return;
        }
        if (cpu_iopl(cpu) < 3)
            cpu_raise_error(cpu, EX_GP, 0);
    }
    deliver(&ev);
}

/* ---- exceptions ---- */

enum exception_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE };

/* SDM vol. 3, table 6-4. */
static enum exception_class exception_class(int vector)
{
    switch (vector) {
    case EX_DE: case EX_TS: case EX_NP: case EX_SS: case EX_GP:
        return CLASS_CONTRIBUTORY;
    case EX_PF:
        return CLASS_PAGE_FAULT;
    case EX_DF:
        return CLASS_DOUBLE;
    default:
        return CLASS_BENIGN;
    }
}

/* SDM vol. 3, table 6-5: does `second`, raised while `first` was being delivered, make a double fault? */
static bool makes_double_fault(enum exception_class first, enum exception_class second)
{
    if (first == CLASS_CONTRIBUTORY)
        return second == CLASS_CONTRIBUTORY;
    return first == CLASS_PAGE_FAULT && second != CLASS_BENIGN;
}

/* Faults push RF = 1, so that a code breakpoint at the faulting instruction does not trigger twice. */
static bool is_fault(unsigned vector)
{
    return vector != EX_DB && vector != EX_NMI && vector != EX_BP && vector != EX_OF && vector != EX_DF &&
           vector != EX_MC;
}

void cpu_enter_shutdown(struct cpu *cpu, const char *why)
{
    log_guest(cpu->log, "cpu: %s at %04x:%016" PRIx64 "\n", why, cpu->seg[S_CS].selector, cpu->rip);
    cpu->delivering = -1;
    cpu->shutdown = 1;
    cpu_lock(cpu);
    cpu->bus.shutdown(cpu->bus.opaque);
    cpu_unlock(cpu);
}

void cpu_deliver_exception(struct cpu *cpu)
{
    enum exception_class first = cpu->delivering < 0 ? CLASS_BENIGN : exception_class(cpu->delivering);
    enum exception_class second = exception_class(cpu->ex.vector);
    struct event ev = { .cpu = cpu,
                        .vector = cpu->ex.vector,
                        .has_code = cpu->ex.has_code,
                        .code = cpu->ex.code,
                        .ext = 1,
                        .ret = cpu->rip,
                        .flags = image_flags(cpu) };

    if (second == CLASS_PAGE_FAULT)
        cpu->cr2 = cpu->ex.cr2;
    if (first == CLASS_DOUBLE && second != CLASS_BENIGN) {
        cpu_enter_shutdown(cpu, "triple fault");
        return;
    }
    if (makes_double_fault(first, second)) {
        ev.vector = EX_DF;
        ev.has_code = true;
        ev.code = 0;
    }
    if (is_fault(ev.vector))
        ev.flags |= FL_RF;
    cpu->delivering = (int)ev.vector;
    deliver(&ev);
    cpu->delivering = -1;
}
