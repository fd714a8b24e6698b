/* Helpers of the system instructions, SDM vol. 2. What the mode word decides is checked at translation. */
#include <sched.h>

#include "cpu/exec.h"
#include "cpu/helper_int.h"
#include "cpu/helpers.h"
#include "cpu/strict.h"

#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0xe00f)
#define DR6_BD (UINT64_C(1) << 13)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_WRITABLE UINT64_C(0xffff23ff)
#define DR7_GD (UINT64_C(1) << 13)
#define VALID BIT(32) /* LAR, LSL: the selector may be looked at */

static _Noreturn void raise_gp(struct cpu *cpu)
{
    cpu_raise_error(cpu, EX_GP, 0);
}

/* ---- segments and far transfers ---- */

uint64_t helper_load_seg(struct cpu *cpu, uint64_t seg, uint64_t selector)
{
    seg_load(cpu, (unsigned)seg, (uint16_t)selector);
    if (seg < S_FS)
        cpu_update_segments(cpu);
    return 0;
}

uint64_t helper_far_jmp(struct cpu *cpu, uint64_t selector, uint64_t offset, uint64_t size, uint64_t next)
{
    far_transfer(cpu, FAR_JMP, (uint16_t)selector, offset, (unsigned)size, next);
    return 0;
}

uint64_t helper_far_call(struct cpu *cpu, uint64_t selector, uint64_t offset, uint64_t size, uint64_t next)
{
    far_transfer(cpu, FAR_CALL, (uint16_t)selector, offset, (unsigned)size, next);
    return 0;
}

uint64_t helper_far_ret(struct cpu *cpu, uint64_t size, uint64_t drop)
{
    far_return(cpu, (unsigned)size, (unsigned)drop);
    return 0;
}

uint64_t helper_iret(struct cpu *cpu, uint64_t size, uint64_t next)
{
    far_iret(cpu, (unsigned)size, next);
    return 0;
}

uint64_t helper_int(struct cpu *cpu, uint64_t vector, uint64_t kind, uint64_t next)
{
    deliver_soft(cpu, (unsigned)vector, (enum int_kind)kind, next);
    return 0;
}

uint64_t helper_into(struct cpu *cpu, uint64_t next)
{
    if (cpu_get_eflags(cpu) & FL_OF)
        deliver_soft(cpu, EX_OF, INT_3_O, next);
    else
        cpu->rip = next;
    return 0;
}

/* A transfer that was begun with RF set is complete: one that has delivered an event or is an IRET has set RF itself. */
uint64_t helper_clear_rf(struct cpu *cpu)
{
    if (!cpu->no_step && !cpu->rf_loaded)
        cpu_set_eflags(cpu, 0, FL_RF);
    return 0;
}

/* ---- SYSCALL, SYSENTER: flat segments by rule, no descriptor is read ---- */

/* The caller updates the mode. */
static void flat_segments(struct cpu *cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool code64)
{
    cpu->seg[S_CS] = flat_segment(cs, cpl, code64 ? FLAT_CODE64 : FLAT_CODE32);
    cpu->seg[S_SS] = flat_segment(ss, cpl, FLAT_STACK);
    cpu_set_cpl(cpu, cpl);
}

static bool is_amd(const struct cpu *cpu)
{
    return cpu->model->vendor == VENDOR_AMD;
}

uint64_t helper_syscall(struct cpu *cpu, uint64_t next)
{
    uint16_t cs = cpu->star >> 32 & 0xfffc, ss = (uint16_t)((cpu->star >> 32) + 8);
    bool long_mode = cpu_long_mode(cpu), from64 = cpu_code64(cpu);

    if (!(cpu->efer & EFER_SCE) || !(cpu->mode & MODE_PE) || (!from64 && !is_amd(cpu)))
        cpu_raise_exception(cpu, EX_UD);
    cpu->gpr[R_CX] = next;
    flat_segments(cpu, cs, ss, 0, long_mode);
    if (long_mode) {
        uint32_t flags = cpu_get_eflags(cpu);
        cpu->gpr[11] = flags & ~(uint32_t)FL_RF;
        cpu->rip = from64 ? cpu->lstar : cpu->cstar;
        cpu_set_eflags(cpu, flags & ~(uint32_t)cpu->sfmask & ~(uint32_t)(FL_RF | FL_VM), UINT32_MAX);
    } else {
        cpu->rip = (uint32_t)cpu->star;
        cpu_set_eflags(cpu, 0, FL_IF | FL_VM | FL_RF);
    }
    cpu_update_level(cpu);
    cpu->no_step = true;
    return 0;
}

uint64_t helper_sysret(struct cpu *cpu, uint64_t size)
{
    uint16_t cs = cpu->star >> 48 & 0xfffc;
    bool long_mode = cpu_long_mode(cpu);

    if (!(cpu->efer & EFER_SCE) || !(cpu->mode & MODE_PE) || (!cpu_code64(cpu) && !is_amd(cpu)))
        cpu_raise_exception(cpu, EX_UD);
    if (cpu_cpl(cpu) || (size == 8 && !cpu_canonical(cpu, cpu->gpr[R_CX])))
        raise_gp(cpu);
    flat_segments(cpu, (uint16_t)((size == 8 ? cs + 16 : cs) | 3), (uint16_t)((cs + 8) | 3), 3, size == 8);
    cpu->rip = size == 8 ? cpu->gpr[R_CX] : (uint32_t)cpu->gpr[R_CX];
    if (long_mode)
        cpu_set_eflags(cpu, (uint32_t)cpu->gpr[11] & SYSRET_FLAGS, SYSRET_FLAGS | FL_RF);
    else
        cpu_set_eflags(cpu, FL_IF, FL_IF);
    cpu_update_level(cpu);
    return 0;
}

/* AMD's processors do not know SYSENTER and SYSEXIT in long mode. */
static void check_sysenter(struct cpu *cpu)
{
    if (is_amd(cpu) && cpu_long_mode(cpu))
        cpu_raise_exception(cpu, EX_UD);
    if (!(cpu->mode & MODE_PE) || !(cpu->sysenter_cs & 0xfffc))
        raise_gp(cpu);
}

uint64_t helper_sysenter(struct cpu *cpu)
{
    uint16_t cs = cpu->sysenter_cs & 0xfffc;
    bool long_mode = cpu_long_mode(cpu);

    check_sysenter(cpu);
    cpu->eflags &= ~(uint32_t)(FL_VM | FL_IF | FL_RF);
    flat_segments(cpu, cs, (uint16_t)(cs + 8), 0, long_mode);
    cpu->gpr[R_SP] = long_mode ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
    cpu->rip = long_mode ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip;
    cpu_update_level(cpu);
    cpu->no_step = true;
    return 0;
}

uint64_t helper_sysexit(struct cpu *cpu, uint64_t size)
{
    uint16_t cs = cpu->sysenter_cs & 0xfffc;
    bool to64 = size == 8;
    uint64_t ip = cpu->gpr[R_DX], sp = cpu->gpr[R_CX];

    check_sysenter(cpu);
    if (cpu_cpl(cpu) || (to64 && (!cpu_canonical(cpu, ip) || !cpu_canonical(cpu, sp))))
        raise_gp(cpu);
    cs += to64 ? 32 : 16;
    flat_segments(cpu, cs | 3, (uint16_t)((cs + 8) | 3), 3, to64);
    cpu->gpr[R_SP] = to64 ? sp : (uint32_t)sp;
    cpu->rip = to64 ? ip : (uint32_t)ip;
    cpu_update_level(cpu);
    return 0;
}

/* ---- flags ---- */

/* v86 mode with CR4.VME and IOPL < 3: VIF stands for IF. */
static void popf_virtual(struct cpu *cpu, uint32_t value, uint32_t mask)
{
    bool sets_if = value & FL_IF;

    if ((value & FL_TF) || (sets_if && (cpu->eflags & FL_VIP)))
        raise_gp(cpu);
    cpu_set_eflags(cpu, (value & ~(uint32_t)FL_VIF) | (sets_if ? FL_VIF : 0), mask | FL_VIF);
}

uint64_t helper_popf(struct cpu *cpu, uint64_t value, uint64_t size)
{
    uint32_t mask = IR_FLAGS6 | FL_TF | FL_DF | FL_NT | (size > 2 ? FL_AC | FL_ID | FL_RF : 0);
    uint32_t v = (uint32_t)value & ~(uint32_t)FL_RF;

    strict_eflags(cpu, v);
    if ((cpu->mode & MODE_VM) && cpu_iopl(cpu) < 3) {
        popf_virtual(cpu, v, mask);
        return 0;
    }
    if (cpu_cpl(cpu) <= cpu_iopl(cpu))
        mask |= FL_IF;
    if (cpu_cpl(cpu) == 0)
        mask |= FL_IOPL;
    cpu_set_eflags(cpu, v, mask);
    return 0;
}

/* An STI that enables interrupts keeps them off for one more instruction. */
uint64_t helper_sti(struct cpu *cpu)
{
    if (!(cpu->eflags & FL_IF))
        cpu->mode |= MODE_SHADOW;
    cpu_set_eflags(cpu, FL_IF, FL_IF);
    return 0;
}

uint64_t helper_sti_virtual(struct cpu *cpu)
{
    if (cpu->eflags & FL_VIP)
        raise_gp(cpu);
    cpu->eflags |= FL_VIF;
    return 0;
}

uint64_t helper_hlt(struct cpu *cpu)
{
    cpu->halted = 1;
    return 0;
}

#define PAUSES_TO_YIELD 64 /* a few times what a short wait takes */
/* Of a processor that is alone, in ns: so many PAUSEs in this time are one wait; how long it waits before it dozes; a
 * doze. */
enum { PAUSES_APART = 200000, WAIT_AWAKE = 50000, DOZE_MIN = 20000, DOZE_MAX = 50000 };

/* There is nobody else who could end the wait: it is for time to go by, or for a device. It may become longer by a
 * sixteenth, or by what the host takes to wake a thread, and costs the host little. */
static void pause_alone(struct cpu *cpu)
{
    int64_t now = cpu->bus.now(cpu->bus.opaque), waited;

    if (now - cpu->pause_last > PAUSES_APART)
        cpu->pause_since = now;
    waited = now - cpu->pause_since;
    if (waited >= WAIT_AWAKE) {
        cpu_doze(cpu, MIN_OF(MAX_OF(waited / 16, (int64_t)DOZE_MIN), (int64_t)DOZE_MAX));
        now = cpu->bus.now(cpu->bus.opaque);
    }
    cpu->pause_last = now;
}

/* A host with fewer cores than the guest has processors may have taken the core of the one that is waited for. */
uint64_t helper_pause(struct cpu *cpu)
{
    if (cpu->opt.counted)
        cpu->paused = true;
    else if (++cpu->pauses % PAUSES_TO_YIELD)
        return 0;
    else if (cpu->opt.parallel)
        sched_yield();
    else
        pause_alone(cpu);
    return 0;
}

/* ---- ports ---- */

uint64_t helper_check_io(struct cpu *cpu, uint64_t port, uint64_t size)
{
    cpu_check_io(cpu, (uint16_t)port, (unsigned)size);
    return 0;
}

uint64_t helper_in(struct cpu *cpu, uint64_t port, uint64_t size)
{
    return cpu_port_in(cpu, (uint16_t)port, (unsigned)size) & MASK(8 * size);
}

uint64_t helper_out(struct cpu *cpu, uint64_t port, uint64_t value, uint64_t size)
{
    cpu_port_out(cpu, (uint16_t)port, value & MASK(8 * size), (unsigned)size);
    return 0;
}

/* ---- tables ---- */

static void load_table(struct cpu *cpu, struct table_reg *t, uint64_t limit, uint64_t base)
{
    if (cpu_code64(cpu) && !cpu_canonical_base(cpu, base))
        raise_gp(cpu);
    t->limit = (uint16_t)limit;
    t->base = base;
}

uint64_t helper_load_gdt(struct cpu *cpu, uint64_t limit, uint64_t base)
{
    load_table(cpu, &cpu->gdt, limit, base);
    return 0;
}

uint64_t helper_load_idt(struct cpu *cpu, uint64_t limit, uint64_t base)
{
    load_table(cpu, &cpu->idt, limit, base);
    return 0;
}

uint64_t helper_lldt(struct cpu *cpu, uint64_t selector)
{
    seg_load_ldt(cpu, (uint16_t)selector, EX_GP);
    return 0;
}

uint64_t helper_ltr(struct cpu *cpu, uint64_t selector)
{
    seg_load_tr(cpu, (uint16_t)selector);
    return 0;
}

/* Types of system descriptors that LAR and LSL look at, one bit each. In long mode LAR sees an LDT on AMD's
 * processors only. */
#define LAR_LEGACY \
    (1 << SYS_TSS16 | 1 << SYS_LDT | 1 << SYS_TSS16_BUSY | 1 << SYS_CALL16 | 1 << SYS_TASK_GATE | \
     1 << SYS_TSS | 1 << SYS_TSS_BUSY | 1 << SYS_CALL)
#define LAR_LONG (1 << SYS_TSS | 1 << SYS_TSS_BUSY | 1 << SYS_CALL)
#define LSL_LEGACY (1 << SYS_TSS16 | 1 << SYS_LDT | 1 << SYS_TSS16_BUSY | 1 << SYS_TSS | 1 << SYS_TSS_BUSY)
#define LSL_LONG (1 << SYS_LDT | 1 << SYS_TSS | 1 << SYS_TSS_BUSY)

/* Is the descriptor there, of a type that may be looked at, and visible at CPL and RPL? */
static bool may_look(struct cpu *cpu, uint16_t selector, unsigned legacy, unsigned in_long,
                     struct descriptor *d)
{
    unsigned system = cpu_long_mode(cpu) ? in_long : legacy;

    if (sel_null(selector) || !desc_read(cpu, selector, d))
        return false;
    if (!(d->attr & ATTR_S) && !(system >> desc_type(d) & 1))
        return false;
    if (!(d->attr & ATTR_S) && cpu_long_mode(cpu) && !desc_upper_valid(cpu, selector, d))
        return false;
    if (desc_is_code(d) && desc_conforming(d))
        return true;
    return desc_dpl(d) >= cpu_cpl(cpu) && desc_dpl(d) >= (selector & SEL_RPL);
}

/* The manual leaves bits 19:16 open: processors show the limit's. */
uint64_t helper_lar(struct cpu *cpu, uint64_t selector)
{
    struct descriptor d;

    unsigned in_long = LAR_LONG | (is_amd(cpu) ? 1 << SYS_LDT : 0);

    return may_look(cpu, (uint16_t)selector, LAR_LEGACY, in_long, &d) ? VALID | (d.hi & 0x00ffff00) : 0;
}

uint64_t helper_lsl(struct cpu *cpu, uint64_t selector)
{
    struct descriptor d;

    return may_look(cpu, (uint16_t)selector, LSL_LEGACY, LSL_LONG, &d) ? VALID | d.limit : 0;
}

uint64_t helper_verify(struct cpu *cpu, uint64_t selector, uint64_t write)
{
    struct descriptor d;

    if (!may_look(cpu, (uint16_t)selector, 0, 0, &d))
        return 0;
    if (write)
        return !(d.attr & ATTR_CODE) && (d.attr & ATTR_W);
    return !(d.attr & ATTR_CODE) || (d.attr & ATTR_R);
}

/* ARPL. */
uint64_t helper_store_if(struct cpu *cpu, uint64_t desc, uint64_t ea, uint64_t word)
{
    unsigned seg = desc >> 8 & 7;

    if (desc & 1)
        mmu_store(cpu, seg_address(cpu, seg, ea, 2, true), word & 0xffff, 2, seg == S_SS ? IR_MEM_STACK : 0);
    return 0;
}

/* ---- control and debug registers ---- */

/* LMSW sets PE but cannot clear it. */
uint64_t helper_lmsw(struct cpu *cpu, uint64_t value)
{
    cpu_write_cr0(cpu, (cpu->cr0 & ~UINT64_C(0xe)) | (value & 0xf));
    return 0;
}

uint64_t helper_clts(struct cpu *cpu)
{
    cpu->cr0 &= ~(uint64_t)CR0_TS;
    cpu_update_mode(cpu);
    return 0;
}

uint64_t helper_read_cr8(struct cpu *cpu)
{
    uint64_t v;

    cpu_lock(cpu);
    v = cpu->bus.get_tpr(cpu->bus.opaque);
    cpu_unlock(cpu);
    return v >> 4;
}

static void write_cr8(struct cpu *cpu, uint64_t value)
{
    strict_reserved(cpu, "CR8", value, ~UINT64_C(15), true);
    if (value > 15)
        raise_gp(cpu);
    cpu_lock(cpu);
    cpu->bus.set_tpr(cpu->bus.opaque, (uint8_t)(value << 4));
    cpu_unlock(cpu);
}

uint64_t helper_write_cr(struct cpu *cpu, uint64_t number, uint64_t value)
{
    switch (number) {
    case 0:
        cpu_write_cr0(cpu, value);
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        cpu_write_cr3(cpu, value);
        break;
    case 4:
        cpu_write_cr4(cpu, value);
        break;
    default:
        write_cr8(cpu, value);
        break;
    }
    return 0;
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; DR7.GD protects them all. */
static unsigned debug_register(struct cpu *cpu, uint64_t number)
{
    if (number > 7 || ((number == 4 || number == 5) && (cpu->cr4 & CR4_DE)))
        cpu_raise_exception(cpu, EX_UD);
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[6] |= DR6_BD;
        cpu_raise_exception(cpu, EX_DB);
    }
    return (unsigned)(number == 4 || number == 5 ? number + 2 : number);
}

uint64_t helper_read_dr(struct cpu *cpu, uint64_t number)
{
    return cpu->dr[debug_register(cpu, number)];
}

uint64_t helper_write_dr(struct cpu *cpu, uint64_t number, uint64_t value)
{
    unsigned n = debug_register(cpu, number);
    uint64_t enabled = cpu->dr[7] & DR7_ENABLES;

    if (n >= 6)
        strict_reserved(cpu, n == 6 ? "DR6" : "DR7", value,
                        ~(n == 6 ? DR6_WRITABLE | DR6_FIXED : DR7_WRITABLE | DR7_FIXED), value >> 32);
    if (n >= 6 && value >> 32)
        raise_gp(cpu);
    if (n == 6)
        value = (value & DR6_WRITABLE) | DR6_FIXED;
    if (n == 7)
        value = (value & DR7_WRITABLE) | DR7_FIXED;
    cpu->dr[n] = value;
    if (n != 6 && (enabled | (cpu->dr[7] & DR7_ENABLES)))
        mmu_flush(cpu, true); /* pages with a data breakpoint leave the fast path, or come back */
    cpu_update_mode(cpu);
    return 0;
}

uint64_t helper_invlpg(struct cpu *cpu, uint64_t linear)
{
    mmu_invlpg(cpu, linear);
    strict_invlpg(cpu, linear);
    return 0;
}

/* ---- MSRs, time, CPUID ---- */

uint64_t helper_rdmsr(struct cpu *cpu)
{
    uint64_t v = cpu_read_msr(cpu, (uint32_t)cpu->gpr[R_CX]);

    cpu->gpr[R_AX] = (uint32_t)v;
    cpu->gpr[R_DX] = v >> 32;
    return 0;
}

uint64_t helper_wrmsr(struct cpu *cpu)
{
    cpu_write_msr(cpu, (uint32_t)cpu->gpr[R_CX], cpu->gpr[R_DX] << 32 | (uint32_t)cpu->gpr[R_AX]);
    return 0;
}

uint64_t helper_rdtsc(struct cpu *cpu)
{
    return cpu_tsc(cpu);
}

uint64_t helper_cpuid(struct cpu *cpu)
{
    uint32_t out[4];

    cpu_cpuid(cpu, (uint32_t)cpu->gpr[R_AX], (uint32_t)cpu->gpr[R_CX], out);
    cpu->gpr[R_AX] = out[0];
    cpu->gpr[R_BX] = out[1];
    cpu->gpr[R_CX] = out[2];
    cpu->gpr[R_DX] = out[3];
    return 0;
}
