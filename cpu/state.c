/* Reset state, EFLAGS, MXCSR and the mode word. SDM vol. 3, table 10-1. */
#include "cpu/sys.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
static uint32_t host_mxcsr(void) { return _mm_getcsr(); }
static void set_host_mxcsr(uint32_t v) { _mm_setcsr(v); }
#else
static uint32_t host_mxcsr(void) { return 0; }
static void set_host_mxcsr(uint32_t v) { (void)v; }
#endif

#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u
#define DR6_RESET 0xffff0ff0u
#define DR7_RESET 0x400u
#define PAT_RESET UINT64_C(0x0007040600070406)
#define MISC_ENABLE_RESET 0x1801u /* fast strings; no branch trace store, no precise event sampling */

/* ---- the mode word ---- */

static bool is_flat(const struct segment *s)
{
    return s->base == 0 && s->read_lo == 0 && s->read_hi == UINT32_MAX && s->write_lo == 0 &&
           s->write_hi == UINT32_MAX;
}

/* In 64-bit code bases and limits of the old four do not count: they are called flat, so that blocks are
 * shared. In real and v86 mode no segment is called flat, so that loading one does not change the mode. */
static uint32_t segment_bits(const struct cpu *cpu, uint32_t mode)
{
    const struct segment *s = cpu->seg;
    uint32_t m = s[S_SS].attr & ATTR_DB ? MODE_SS32 : 0;

    if ((mode & MODE_LMA) && (s[S_CS].attr & ATTR_L))
        return MODE_OF_CODE64;
    if (s[S_CS].attr & ATTR_DB)
        m |= MODE_CODE32;
    if ((mode & (MODE_PE | MODE_VM)) != MODE_PE)
        return m;
    return m | (s[S_CS].base == 0 && s[S_CS].limit == UINT32_MAX ? MODE_FLAT_CS : 0) |
           (is_flat(&s[S_DS]) ? MODE_FLAT_DS : 0) | (is_flat(&s[S_ES]) ? MODE_FLAT_ES : 0) |
           (is_flat(&s[S_SS]) ? MODE_FLAT_SS : 0);
}

static uint32_t level_bits(const struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PE))
        return 0;
    if (cpu->eflags & FL_VM)
        return MODE_PE | MODE_VM | MODE_CPL;
    return MODE_PE | (cpu->mode & MODE_CPL);
}

static bool code_breakpoint_enabled(const struct cpu *cpu)
{
    for (unsigned i = 0; i < 4; i++)
        if ((cpu->dr[7] >> (2 * i) & 3) && !(cpu->dr[7] >> (16 + 4 * i) & 15))
            return true;
    return false;
}

/* MODE_OF_CONTROL. */
static uint32_t control_bits(const struct cpu *cpu)
{
    uint32_t m = cpu->efer & EFER_LMA ? MODE_LMA : 0;

    m |= cpu->cr0 & CR0_EM ? MODE_EM : 0;
    m |= cpu->cr0 & CR0_TS ? MODE_TS : 0;
    m |= cpu->cr0 & CR0_MP ? MODE_MP : 0;
    m |= cpu->cr4 & CR4_OSFXSR ? MODE_OSFXSR : 0;
    m |= ~cpu->mxcsr & MXCSR_MASKS ? MODE_XM : 0;
    m |= (cpu->dr[7] & 0xff) && code_breakpoint_enabled(cpu) ? MODE_DR : 0;
    m |= (cpu->cr4 & CR4_OSXSAVE) && !(~cpu->xcr0 & (XCR0_SSE | XCR0_AVX)) ? MODE_AVX : 0;
    m |= (m & MODE_LMA) && (cpu->cr4 & CR4_LA57) ? MODE_LA57 : 0;
    return m;
}

/* The mode with these bits, those that stay, and what EFLAGS, the level and the segment registers decide, with the
 * control registers as they are. */
static void complete_mode(struct cpu *cpu, uint32_t control)
{
    uint32_t m = level_bits(cpu) | (cpu->mode & (MODE_SHADOW | MODE_SMM)) | control;
    uint64_t virtual_if = m & MODE_VM ? CR4_VME : (m & MODE_CPL) == MODE_CPL ? CR4_PVI : 0;

    m |= segment_bits(cpu, m);
    m |= (cpu->eflags & FL_IOPL) >> 12 << MODE_IOPL_SHIFT;
    m |= cpu->eflags & FL_TF ? MODE_TF : 0;
    m |= cpu->eflags & FL_RF ? MODE_RF : 0;
    m |= (cpu->cr0 & CR0_AM) && (cpu->eflags & FL_AC) && (m & MODE_CPL) == MODE_CPL ? MODE_AC : 0;
    m |= cpu->cr4 & virtual_if ? MODE_VME : 0;
    m |= (cpu->cr4 & CR4_SMAP) && (m & MODE_CPL) != MODE_CPL && !(cpu->eflags & FL_AC) ? MODE_SMAP : 0;
    if ((m ^ cpu->mode) & MODE_AC)
        mmu_flush(cpu, true); /* the fast path may be used only while alignment is not checked */
    jumps_set_mode(cpu, m);
    cpu->code_base = m & MODE_CODE64 ? 0 : cpu->seg[S_CS].base;
}

void cpu_update_mode(struct cpu *cpu)
{
    complete_mode(cpu, control_bits(cpu));
}

/* 64-bit code before and after the change, with no flags that bring in something rare. */
static bool is_plain64(const struct cpu *cpu)
{
    return (cpu->mode & (MODE_LMA | MODE_AC)) == MODE_LMA && (cpu->seg[S_CS].attr & ATTR_L) &&
           !(cpu->eflags & (FL_TF | FL_IOPL | FL_RF | FL_VM | FL_AC)) && !(cpu->cr4 & CR4_PVI);
}

/* The same as complete_mode() does then. */
static void complete_plain64(struct cpu *cpu)
{
    uint32_t m = cpu->mode & (MODE_OF_CONTROL | MODE_SHADOW | MODE_SMM | MODE_CPL);

    if ((cpu->cr4 & CR4_SMAP) && (m & MODE_CPL) != MODE_CPL)
        m |= MODE_SMAP;
    jumps_set_mode(cpu, m | MODE_PE | MODE_OF_CODE64);
    cpu->code_base = 0;
}

void cpu_update_level(struct cpu *cpu)
{
    if (is_plain64(cpu))
        complete_plain64(cpu);
    else
        complete_mode(cpu, cpu->mode & MODE_OF_CONTROL);
}

void cpu_update_segments(struct cpu *cpu)
{
    const uint32_t bits = MODE_CODE32 | MODE_CODE64 | MODE_SS32 | MODE_FLAT_CS | MODE_FLAT_DS | MODE_FLAT_ES |
                          MODE_FLAT_SS;

    cpu->mode = (cpu->mode & ~bits) | segment_bits(cpu, cpu->mode);
}

void cpu_set_cpl(struct cpu *cpu, unsigned cpl)
{
    cpu->mode = (cpu->mode & ~(uint32_t)MODE_CPL) | cpl << MODE_CPL_SHIFT;
}

/* ---- flags ---- */

uint32_t cpu_get_eflags(struct cpu *cpu)
{
    const struct tcg_flags *f = &cpu->fl;

    return cpu->eflags | ir_flags_eval(f->op, f->type, f->a, f->b, f->c);
}

void cpu_set_flags6(struct cpu *cpu, uint32_t six)
{
    cpu->fl = (struct tcg_flags){ .a = six & IR_FLAGS6, .op = IR_FL_RAW, .type = IR_I32 };
}

/* An interrupt that was refused so far must be looked at again. */
static void look_for_interrupts(struct cpu *cpu)
{
    if ((cpu->eflags & FL_IF) && atomic_load_explicit(&cpu->pins, memory_order_relaxed))
        __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
}

void cpu_set_eflags(struct cpu *cpu, uint32_t value, uint32_t mask)
{
    uint32_t old = cpu->eflags;

    if (!(~mask & IR_FLAGS6))
        cpu_set_flags6(cpu, value);
    else if (mask & IR_FLAGS6)
        cpu_set_flags6(cpu, (cpu_get_eflags(cpu) & ~mask) | (value & mask));
    cpu->eflags = (((cpu->eflags & ~mask) | (value & mask)) & ~(uint32_t)IR_FLAGS6) | 2;
    if ((cpu->eflags ^ old) & (FL_TF | FL_IOPL | FL_RF | FL_VM | FL_AC))
        cpu_update_level(cpu);
    look_for_interrupts(cpu);
}

/* While translated code is on the stack, the sticky flags are in the host's own register. */
uint32_t cpu_get_mxcsr(struct cpu *cpu)
{
    uint32_t run = cpu->in_block ? host_mxcsr() : cpu->mxcsr_run;

    return cpu->mxcsr | (run & MXCSR_FLAGS);
}

void cpu_leave_block(struct cpu *cpu)
{
    if (cpu->in_block)
        cpu->mxcsr_run = host_mxcsr();
    cpu->in_block = false;
}

void cpu_set_mxcsr(struct cpu *cpu, uint32_t value)
{
    cpu->mxcsr = value;
    cpu->mxcsr_run = (value & ~MXCSR_FLAGS) | MXCSR_MASKS;
    if (cpu->in_block)
        set_host_mxcsr(cpu->mxcsr_run);
    cpu_update_mode(cpu);
}

void cpu_set_pkru(struct cpu *cpu, uint32_t value)
{
    uint32_t old = cpu->pkru;

    cpu->pkru = value;
    mmu_keys_changed(cpu, old);
}

/* ---- reset ---- */

static void reset_segments(struct cpu *cpu)
{
    for (unsigned i = S_ES; i < S_NUM; i++)
        seg_set_cache(cpu, i, 0, 0, 0xffff, ATTR_P | ATTR_S | ATTR_W | ATTR_A);
    seg_set_cache(cpu, S_CS, 0xf000, 0xffff0000, 0xffff, ATTR_P | ATTR_S | ATTR_W | ATTR_A);
    seg_set_cache(cpu, S_LDTR, 0, 0, 0xffff, ATTR_P | SYS_LDT);
    seg_set_cache(cpu, S_TR, 0, 0, 0xffff, ATTR_P | SYS_TSS_BUSY);
    cpu->gdt = cpu->idt = (struct table_reg){ .limit = 0xffff };
}

/* What power-on and INIT have in common. */
static void reset_core(struct cpu *cpu)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[R_DX] = cpu_signature(cpu->model);
    cpu->rip = 0xfff0;
    cpu->eflags = 2;
    cpu_set_flags6(cpu, 0);
    smm_reset(cpu, false);
    cpu->mode = 0;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr[6] = DR6_RESET;
    cpu->dr[7] = DR7_RESET;
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    reset_segments(cpu);
    memset(&cpu->ex, 0, sizeof(cpu->ex));
    cpu->delivering = -1;
    cpu->nmi_blocked = cpu->halted = cpu->shutdown = 0;
    cpu->one_insn_next = cpu->no_step = false;
    cpu->ss_shadow = 0;
}

/* TLB and translations are the caller's to flush. */
void cpu_init_signal(struct cpu *cpu)
{
    reset_core(cpu);
    cpu->cr0 = (cpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    cpu_update_mode(cpu);
}

static void reset_msrs(struct cpu *cpu)
{
    cpu->star = cpu->lstar = cpu->cstar = cpu->sfmask = cpu->kernel_gs_base = 0;
    cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
    cpu->pat = PAT_RESET;
    cpu->tsc_aux = cpu->tsc_adjust = 0;
    cpu->mcg_status = cpu->mcg_ctl = 0;
    memset(cpu->mc_ctl, 0, sizeof(cpu->mc_ctl));
    cpu->misc_enable = MISC_ENABLE_RESET;
    memset(&cpu->mtrr, 0, sizeof(cpu->mtrr));
    if (cpu->bus.now)
        cpu->tsc_offset = -(uint64_t)cpu->bus.now(cpu->bus.opaque);
}

static void reset_fpu(struct cpu *cpu)
{
    memset(&cpu->fpu, 0, sizeof(cpu->fpu));
    cpu->fpu.cw = 0x40;
    memset(cpu->xmm, 0, sizeof(cpu->xmm));
    memset(cpu->ymmh, 0, sizeof(cpu->ymmh));
    cpu->xcr0 = XCR0_X87;
    cpu->xss = 0;
    cpu->pkru = 0;
    cpu_set_mxcsr(cpu, MXCSR_MASKS);
}

/* TLB and translations are the caller's to flush. */
void cpu_reset(struct cpu *cpu)
{
    reset_core(cpu);
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    smm_reset(cpu, true);
    reset_msrs(cpu);
    reset_fpu(cpu);
    cpu_update_mode(cpu);
}
