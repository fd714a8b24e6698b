/* The run loop: one block after the other, and where exceptions land. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "cpu/exec.h"
#include "cpu/smp.h"
#include "cpu/strict.h"
#include "cpu/x87.h"
#include "memory/memory.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
static uint32_t host_mxcsr(void) { return _mm_getcsr(); }
static void set_host_mxcsr(uint32_t v) { _mm_setcsr(v); }
#else
static uint32_t host_mxcsr(void) { return 0x1f80; }
static void set_host_mxcsr(uint32_t v) { (void)v; }
#endif

/* What longjmp to cpu->fault_jmp says. */
enum { JMP_EXCEPTION = 1, JMP_RESTART_ONE = 2, JMP_RESTART_EXCLUSIVE = 3 };

static void log_to_file(void *opaque, const char *line)
{
    log_printf(opaque, "%s\n", line);
}

static void log_block(struct cpu *cpu, const struct tcg_block *blk)
{
    uint64_t pc = linear_pc(cpu);

    if (log_enabled_at(cpu->log, LOG_EXEC, pc))
        log_printf(cpu->log, "exec: %016" PRIx64 " mode %08x insns %u\n", pc, cpu->mode, blk->insns);
    if (log_enabled_at(cpu->log, LOG_CPU, pc))
        cpu_print_registers(cpu, log_to_file, cpu->log);
}

/* ---- after an instruction in a stepped mode ---- */

enum { DR6_BS = 1 << 14 };

static void after_step(struct cpu *cpu, uint32_t mode_before)
{
    if ((mode_before & MODE_SHADOW) && !cpu->ss_shadow)
        cpu->mode &= ~(uint32_t)MODE_SHADOW;
    if ((mode_before & MODE_RF) && !cpu->no_step && !cpu->rf_loaded)
        cpu_set_eflags(cpu, 0, FL_RF);
    if ((mode_before & MODE_TF) && !cpu->no_step && !cpu->ss_shadow) {
        cpu->dr[6] |= DR6_BS | cpu->dr6_pending;
        cpu_raise_exception(cpu, EX_DB);
    }
}

/* Data and I/O breakpoints are traps: the instruction that hit them is complete. Those of a load of SS wait for the
 * instruction behind it; when that calls a handler, the trap comes before the handler's first instruction, and when
 * it faults, they are lost. */
static void take_breakpoint_trap(struct cpu *cpu)
{
    cpu->dr[6] |= cpu->dr6_pending;
    cpu->dr6_pending = 0;
    cpu_raise_exception(cpu, EX_DB);
}

static bool code_breakpoint_hit(struct cpu *cpu)
{
    if ((cpu->mode & (MODE_DR | MODE_RF)) != MODE_DR || cpu->ss_shadow)
        return false;
    uint32_t hit = cpu_check_code_breakpoint(cpu, linear_pc(cpu));
    cpu->dr[6] |= hit;
    return hit;
}

/* ---- the loop ---- */

static void begin_exclusive(struct cpu *cpu)
{
    cpu->exclusive_next = false;
    cpu->one_insn_next = true;
    cpu_exclusive_begin(cpu, EXCLUSIVE_INSN);
    cpu->exclusive = true;
}

static void end_exclusive(struct cpu *cpu)
{
    cpu->exclusive = false;
    cpu_exclusive_end(cpu);
}

/* ---- counting ---- */

/* A block was left by its end. A repetition counts when it is complete; one that has not gone on, since the
 * block was left at its entry, still has some of its elements done. */
static void settle_budget(struct cpu *cpu, int64_t before, bool repeating)
{
    if (cpu->rep_partial)
        cpu->budget++;
    else if (cpu->budget == before)
        cpu->rep_partial = repeating;
    if (cpu->digest)
        digest_leave(cpu);
}

int64_t cpu_slice_left(struct cpu *cpu)
{
    return cpu->budget + (cpu->in_block ? tcg_current_left(cpu->tcg, cpu) : 0);
}

int64_t cpu_slice_cut(struct cpu *cpu, int64_t insns)
{
    int64_t left = cpu_slice_left(cpu), before = cpu->budget;

    if (insns < left)
        cpu->budget = MAX_OF(insns - (left - before), 0);
    return before - cpu->budget;
}

static bool slice_is_over(struct cpu *cpu, enum cpu_slice *why)
{
    bool paused = cpu->paused;

    cpu->paused = false;
    *why = cpu->budget <= 0 ? CPU_SLICE_USED : paused ? CPU_SLICE_PAUSED : CPU_SLICE_WAITS;
    if (cpu->budget <= 0 || paused || !cpu_can_run(cpu))
        return true;
    if (cpu_mwait_over(cpu))
        cpu_leave_mwait(cpu);
    return false;
}

/* ---- entering ---- */

/* Run from the current pc until something leaves translated code. `prev` was
 * left through its exit *exit_no to here; returns the same for the next call. */
static struct tcg_block *enter_block(struct cpu *cpu, struct tcg_block *prev, unsigned *exit_no)
{
    struct tcg_block *blk;
    uint32_t mode = cpu->mode;
    uint8_t ss_shadow = cpu->ss_shadow;
    uint32_t generation = cpu->generation;
    bool repeating = cpu->rep_partial;
    int64_t budget = cpu->budget;

    if (code_breakpoint_hit(cpu)) {
        cpu->eflags |= FL_RF; /* a fault: the saved image lets the instruction run once (SDM vol. 3, 17.3.1.1) */
        cpu_raise_exception(cpu, EX_DB);
    }
    if (cpu->exclusive_next)
        begin_exclusive(cpu);
    if (prev && *exit_no == TCG_EXIT_HOT) {
        cpu->hot_next = prev;
        prev = NULL;
    }
    blk = cpu_find_block(cpu);
    if (prev && generation == cpu->generation && !watching_blocks(cpu))
        tcg_chain(cpu->tcg, prev, *exit_no, blk);
    if (logging_blocks(cpu))
        log_block(cpu, blk);
    cpu->no_step = cpu->rf_loaded = cpu->stepped = false;
    if (!cpu->ss_shadow)
        cpu->dr6_pending = 0;
    cpu->ss_shadow = 0;
    if (cpu->digest)
        digest_enter(cpu);
    cpu->rep_partial = false;
    cpu->in_block = true;
    set_host_mxcsr(cpu->mxcsr_run);
    if (cpu->turn)
        cpu_end_turn(cpu);
    prev = tcg_run(cpu->tcg, cpu, blk, exit_no);
    cpu->in_block = false;
    if (cpu->refused_jump)
        jumps_refuse(cpu);
    if (cpu->opt.counted)
        settle_budget(cpu, budget, repeating);
    if (cpu->exclusive)
        end_exclusive(cpu);
    if (mode & MODE_STEPPED) {
        prev = NULL;
        if (cpu->stepped)
            after_step(cpu, mode);
        else
            cpu->ss_shadow = ss_shadow;
    }
    if (cpu->dr6_pending && !cpu->ss_shadow)
        take_breakpoint_trap(cpu);
    return prev;
}

/* A longjmp arrived: put pc on the instruction that caused it. */
static void locate_fault(struct cpu *cpu)
{
    struct tcg_block *blk = NULL;
    uint32_t offset;

    if (cpu->in_block && cpu->opt.counted)
        cpu->budget += tcg_current_left(cpu->tcg, cpu);
    if (cpu->digest)
        digest_leave(cpu);
    if (!cpu->in_block)
        return;
    cpu->in_block = false;
    cpu->mxcsr_run = host_mxcsr();
    offset = tcg_fault_offset(cpu->tcg, cpu, &blk);
    cpu->rip += offset;
    if (!cpu_code64(cpu))
        cpu->rip &= cpu->mode & MODE_CODE32 ? UINT32_MAX : UINT16_MAX;
}

static void log_exception(struct cpu *cpu)
{
    if (log_enabled(cpu->log, LOG_INT))
        log_printf(cpu->log, "int: exception %02x error %04x at %04x:%016" PRIx64 " cr2 %016" PRIx64 "\n",
                   cpu->ex.vector, cpu->ex.code, cpu->seg[S_CS].selector, cpu->rip, cpu->ex.cr2);
}

/* Until CPU_PIN_STOP or, of a counted processor, the end of its slice. Exceptions raised anywhere below
 * arrive in setjmp; an exception during delivery arrives there again, with cpu->delivering set. */
static enum cpu_slice run(struct cpu *cpu)
{
    struct tcg_block *volatile prev = NULL;
    enum cpu_slice end = CPU_SLICE_STOPPED;
    jmp_buf jmp;
    unsigned exit_no = 0;
    int why;

    __atomic_store_n(&cpu->thread, pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&cpu->thread_known, true, __ATOMIC_RELAXED);
    cpu->fault_jmp = &jmp;
    cpu_come_back(cpu);
    why = setjmp(jmp);
    fpu_sync(cpu);
    if (why) {
        prev = NULL;
        locate_fault(cpu);
        if (cpu->exclusive)
            end_exclusive(cpu);
        cpu_end_turn(cpu);
        if (why == JMP_RESTART_ONE) {
            cpu->one_insn_next = true;
        } else if (why == JMP_RESTART_EXCLUSIVE) {
            cpu->exclusive_next = true;
        } else {
            log_exception(cpu);
            cpu_deliver_exception(cpu);
            cpu->delivering = -1;
        }
    }
    while (!cpu->opt.counted || !slice_is_over(cpu, &end)) {
        enum served served = something_waits(cpu) ? cpu_serve_events(cpu) : SERVED_NOTHING;
        end = CPU_SLICE_STOPPED;
        if (served == SERVED_STOP)
            break;
        if (served == SERVED_EVENT)
            prev = NULL;
        if (!cpu->halted && !cpu->shutdown)
            prev = enter_block(cpu, prev, &exit_no);
    }
    cpu_go_outside(cpu);
    cpu->fault_jmp = NULL;
    __atomic_store_n(&cpu->thread_known, false, __ATOMIC_RELAXED);
    return end;
}

void cpu_run(struct cpu *cpu)
{
    run(cpu);
}

enum cpu_slice cpu_run_slice(struct cpu *cpu, int64_t insns)
{
    cpu->budget = insns;
    return run(cpu);
}

_Noreturn void cpu_restart_one(struct cpu *cpu)
{
    tcg_commit_flags(cpu->tcg, cpu);
    longjmp(*cpu->fault_jmp, JMP_RESTART_ONE);
}

_Noreturn void cpu_restart_exclusive(struct cpu *cpu)
{
    tcg_commit_flags(cpu->tcg, cpu);
    longjmp(*cpu->fault_jmp, JMP_RESTART_EXCLUSIVE);
}

uint64_t cpu_pc(struct cpu *cpu)
{
    return linear_pc(cpu);
}

unsigned cpu_code_bits(struct cpu *cpu)
{
    return cpu_code64(cpu) ? 64 : cpu->mode & MODE_CODE32 ? 32 : 16;
}

/* ---- life ---- */

struct cpu *cpu_new(const struct cpu_options *opt, const struct cpu_bus *bus, struct error *err)
{
    struct tcg_options topt = {
        .engine = opt->interp ? TCG_INTERP : TCG_JIT,
        .optimise = opt->optimise,
        .verify = opt->verify,
        .cache_size = opt->cache_size,
        .without_isa = opt->without_isa,
        .count = opt->counted,
        .hot_after = opt->hot_after,
        .page_flags = bus->ram ? memory_page_flags(bus->ram) : NULL,
        .code_map = bus->ram ? memory_code_map(bus->ram) : NULL,
    };
    struct cpu *cpu = aligned_alloc(64, align_up(sizeof(*cpu), 64));
    pthread_condattr_t clock;
    struct cpu_spec spec;

    if (!cpu) {
        error_set(err, -ENOMEM, "cpu: out of memory");
        return NULL;
    }
    memset(cpu, 0, sizeof(*cpu));
    cpu->bus = *bus;
    cpu->opt = *opt;
    cpu->host_isa = tcg_host_isa() & ~opt->without_isa;
    cpu->log = bus->log;
    cpu->page_flags = topt.page_flags;
    cpu->code_map = topt.code_map;
    cpu->quiet_flags = opt->parallel ? MEM_PAGE_CODE | MEM_PAGE_QUIET : MEM_PAGE_CODE;
    cpu->ram_start = bus->ram ? memory_host(bus->ram, 0) : NULL;
    if (cpu_spec_parse(&spec, opt->model ? opt->model : "max", err)) {
        free(cpu);
        return NULL;
    }
    cpu->model = spec.model;
    cpu->features = spec.features;
    if (opt->index && !cpu_has(cpu, FEAT_APIC)) {
        error_set(err, -EINVAL, "-smp: a processor of model '%s' has no local APIC and cannot be one of several",
                  opt->model);
        free(cpu);
        return NULL;
    }
    if (topt.engine == TCG_JIT && !tcg_host_native()) {
        topt.engine = TCG_INTERP;
        cpu->opt.interp = true;
    }
    cpu->tcg = opt->first ? tcg_join(opt->first->tcg, err) : tcg_new(&cpu_guest, &topt, bus->log, err);
    if (!cpu->tcg || cpu_group_join(cpu)) {
        tcg_free(cpu->tcg);
        free(cpu);
        return NULL;
    }
    pthread_mutex_init(&cpu->wait_lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&cpu->wait_cond, &clock);
    pthread_condattr_destroy(&clock);
    cpu->a20_mask = UINT64_MAX;
    cpu->delivering = -1;
    cpu->random = (uint64_t)opt->index << 32;
    for (unsigned i = 0; i < TCG_HEAT_SIZE; i++)
        cpu->heat[i] = opt->hot_after;
    digest_init(cpu);
    strict_init(cpu);
    cpu_reset(cpu);
    if (opt->index) {
        cpu->halted = HALT_SIPI;
        atomic_store(&cpu->awaits_sipi, 1);
    }
    mmu_init(cpu);
    return cpu;
}

void cpu_free(struct cpu *cpu)
{
    if (!cpu)
        return;
    digest_free(cpu);
    cpu_group_leave(cpu);
    tcg_free(cpu->tcg);
    strict_free(cpu);
    pthread_cond_destroy(&cpu->wait_cond);
    pthread_mutex_destroy(&cpu->wait_lock);
    free(cpu);
}
