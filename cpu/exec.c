/* The run loop: events at instruction boundaries, finding and translating blocks, and where exceptions land. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "cpu/emit.h"
#include "cpu/smp.h"
#include "cpu/digest.h"
#include "cpu/strict.h"
#include "memory/memory.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
static uint32_t host_mxcsr(void) { return _mm_getcsr(); }
static void set_host_mxcsr(uint32_t v) { _mm_setcsr(v); }
#else
static uint32_t host_mxcsr(void) { return 0x1f80; }
static void set_host_mxcsr(uint32_t v) { (void)v; }
#endif

#define MAX_BLOCK_INSNS 64

/* What longjmp to cpu->fault_jmp says. */
enum { JMP_EXCEPTION = 1, JMP_RESTART_ONE = 2, JMP_RESTART_EXCLUSIVE = 3 };

/* Modes in which the run loop has something to do after every instruction. */
#define MODE_STEPPED (MODE_TF | MODE_SHADOW | MODE_DR | MODE_RF)

/* ---- pins and requests from other threads ---- */

static void wake(struct cpu *cpu)
{
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
    cpu_wake_sleeper(cpu);
}

void cpu_wake_sleeper(struct cpu *cpu)
{
    if (atomic_load(&cpu->sleeping)) {
        pthread_mutex_lock(&cpu->wait_lock); /* it has begun to wait, or has not looked yet */
        pthread_mutex_unlock(&cpu->wait_lock);
        pthread_cond_signal(&cpu->wait_cond);
    }
    if (cpu->bus.woken)
        cpu->bus.woken(cpu->bus.opaque);
}

/* A reset forgets what came before it, not what comes before it is served: another processor, quicker, may have sent
 * the start-up message already. */
static void begin_reset(struct cpu *cpu, unsigned pins)
{
    if (pins & CPU_PIN_RESET)
        cpu_lower(cpu, CPU_PIN_SMI);
    if (pins & (CPU_PIN_RESET | CPU_PIN_INIT)) {
        cpu_lower(cpu, CPU_PIN_SIPI);
        atomic_store(&cpu->awaits_sipi, cpu->opt.index != 0);
    }
}

void cpu_raise(struct cpu *cpu, unsigned pins)
{
    begin_reset(cpu, pins);
    if ((atomic_fetch_or(&cpu->pins, pins) & pins) != pins)
        wake(cpu);
}

void cpu_raise_locked(struct cpu *cpu, unsigned pins)
{
    begin_reset(cpu, pins);
    if ((atomic_fetch_or(&cpu->pins, pins) & pins) == pins)
        return;
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
    if (cpu->group->lock_owner)
        cpu->group->to_wake |= UINT64_C(1) << cpu->opt.index;
    else
        cpu_wake_sleeper(cpu);
}

void cpu_lower(struct cpu *cpu, unsigned pins)
{
    atomic_fetch_and(&cpu->pins, ~pins);
}

/* Only the first message after INIT or a reset counts. */
void cpu_sipi(struct cpu *cpu, uint8_t vector)
{
    if (!atomic_exchange(&cpu->awaits_sipi, 0))
        return;
    atomic_store(&cpu->sipi_vector, vector);
    cpu_raise(cpu, CPU_PIN_SIPI);
}

void cpu_flush_translations(struct cpu *cpu)
{
    tcg_flush(cpu->tcg);
}

static void request(struct cpu *cpu, uint32_t what)
{
    atomic_fetch_or(&cpu->requests, what);
    wake(cpu);
}

/* Only the processor's own thread can find itself there. */
static bool on_own_thread(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->thread_known, __ATOMIC_RELAXED) &&
           pthread_equal(__atomic_load_n(&cpu->thread, __ATOMIC_RELAXED), pthread_self());
}

static void switch_a20(struct cpu *cpu, bool enabled)
{
    cpu->a20_mask = enabled ? UINT64_MAX : ~BIT(20);
    mmu_flush(cpu, true);
    strict_flush(cpu);
}

void cpu_set_a20(struct cpu *cpu, bool enabled)
{
    if (on_own_thread(cpu)) {
        atomic_fetch_and(&cpu->requests, ~(uint32_t)(REQ_A20_ON | REQ_A20_OFF));
        switch_a20(cpu, enabled);
        return;
    }
    atomic_fetch_and(&cpu->requests, ~(uint32_t)(REQ_A20_ON | REQ_A20_OFF));
    request(cpu, enabled ? REQ_A20_ON : REQ_A20_OFF);
}

void cpu_flush_tlb_async(struct cpu *cpu)
{
    if (on_own_thread(cpu))
        mmu_flush(cpu, true);
    else
        request(cpu, REQ_FLUSH_TLB);
}

void cpu_watch_async(struct cpu *cpu)
{
    if (on_own_thread(cpu))
        mmu_revoke_stores(cpu);
    else
        request(cpu, REQ_WATCH);
}

void cpu_code_written(struct cpu *cpu, uint64_t ram_off, uint64_t len)
{
    tcg_invalidate(cpu->tcg, ram_off, len);
}

static void serve_requests(struct cpu *cpu)
{
    uint32_t req = atomic_fetch_and(&cpu->requests, REQ_WATCH); /* that one is the safe point's */

    if (req & (REQ_A20_ON | REQ_A20_OFF))
        switch_a20(cpu, req & REQ_A20_ON);
    if (req & REQ_FLUSH_TLB)
        mmu_flush(cpu, true);
}

/* ---- events at an instruction boundary ---- */

static bool may_interrupt(const struct cpu *cpu)
{
    return (cpu->eflags & FL_IF) && !(cpu->mode & MODE_SHADOW) && cpu->halted != HALT_SIPI;
}

/* Who waits for a start-up message takes nothing but that, INIT and RESET (SDM vol. 3, 9.4.1). An SMI waits for the end
 * of system management mode and, by our choice, of an interrupt shadow. */
static bool may_enter_smm(const struct cpu *cpu)
{
    return !(cpu->mode & (MODE_SMM | MODE_SHADOW)) && !cpu->shutdown && cpu->halted != HALT_SIPI;
}

static bool may_take_nmi(const struct cpu *cpu)
{
    return !cpu->nmi_blocked && !(cpu->mode & MODE_SHADOW) && !cpu->shutdown && cpu->halted != HALT_SIPI;
}

/* The pins of a reset that nothing holds off: INIT# waits for RSM (SDM vol. 3, 32.3). */
static uint32_t reset_pins(const struct cpu *cpu)
{
    return CPU_PIN_RESET | (cpu->mode & MODE_SMM ? 0 : CPU_PIN_INIT);
}

/* Something that ends HLT or is to be served before the next instruction. */
static bool event_pending(struct cpu *cpu)
{
    uint32_t pins = atomic_load(&cpu->pins);

    return (pins & (CPU_PIN_STOP | reset_pins(cpu))) || ((pins & CPU_PIN_SMI) && may_enter_smm(cpu)) ||
           ((pins & CPU_PIN_NMI) && may_take_nmi(cpu)) || (pins & CPU_PIN_SIPI) ||
           ((pins & CPU_PIN_INTR) && may_interrupt(cpu) && !cpu->shutdown) ||
           atomic_load(&cpu->requests);
}

static bool in_mwait(const struct cpu *cpu)
{
    return (cpu->halted == HALT_MWAIT || cpu->halted == HALT_MWAIT_MASKED) && !cpu->shutdown;
}

/* Something that ends MWAIT but not HLT. */
static bool mwait_over(struct cpu *cpu)
{
    return in_mwait(cpu) && (cpu_line_changed(cpu) || (cpu->halted == HALT_MWAIT_MASKED &&
                                                       (atomic_load(&cpu->pins) & CPU_PIN_INTR)));
}

bool cpu_can_run(struct cpu *cpu)
{
    return (!cpu->halted && !cpu->shutdown) || event_pending(cpu) || mwait_over(cpu);
}

static void leave_mwait(struct cpu *cpu)
{
    cpu->monitor_line = NULL;
    cpu->halted = HALT_NONE;
}

#define MWAIT_LIMIT_NS 1000000 /* a store to the monitored line is seen this late */

/* MWAIT: one wait, after which the processor goes on. With wait_lock held. */
static void wait_once(struct cpu *cpu)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += MWAIT_LIMIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (!event_pending(cpu) && !mwait_over(cpu))
        pthread_cond_timedwait(&cpu->wait_cond, &cpu->wait_lock, &until);
    leave_mwait(cpu);
}

static void wait_for_event(struct cpu *cpu)
{
    cpu_go_outside(cpu);
    pthread_mutex_lock(&cpu->wait_lock);
    atomic_store(&cpu->sleeping, 1);
    if (in_mwait(cpu))
        wait_once(cpu);
    while ((cpu->halted || cpu->shutdown) && !event_pending(cpu))
        pthread_cond_wait(&cpu->wait_cond, &cpu->wait_lock);
    atomic_store(&cpu->sleeping, 0);
    pthread_mutex_unlock(&cpu->wait_lock);
    cpu_come_back(cpu);
}

static void log_interrupt(struct cpu *cpu, const char *what, int vector)
{
    if (log_enabled(cpu->log, LOG_INT))
        log_printf(cpu->log, "int: %s vector %02x at %04x:%016" PRIx64 "\n", what, (unsigned)vector,
                   cpu->seg[S_CS].selector, cpu->rip);
}

/* External events are benign whatever their vector: an exception on the way is served first (SDM vol. 3, table 6-4). */
static void deliver_external(struct cpu *cpu, unsigned vector)
{
    cpu->delivering = EX_NMI;
    cpu_deliver(cpu, vector, false, 0, false, true);
    cpu->delivering = -1;
}

static void take_interrupt(struct cpu *cpu)
{
    int vector;

    cpu_lock(cpu);
    vector = cpu->bus.ack_interrupt(cpu->bus.opaque);
    cpu_unlock(cpu);
    if (vector < 0)
        return;
    cpu->halted = 0;
    log_interrupt(cpu, "interrupt", vector);
    deliver_external(cpu, (unsigned)vector);
}

static void take_nmi(struct cpu *cpu)
{
    atomic_fetch_and(&cpu->pins, ~(uint32_t)CPU_PIN_NMI);
    cpu->halted = 0;
    cpu->nmi_blocked = 1;
    log_interrupt(cpu, "nmi", EX_NMI);
    deliver_external(cpu, EX_NMI);
}

static void take_smi(struct cpu *cpu)
{
    atomic_fetch_and(&cpu->pins, ~(uint32_t)CPU_PIN_SMI);
    log_interrupt(cpu, "smi", 0);
    smm_enter(cpu);
}

static void take_reset(struct cpu *cpu, uint32_t pins)
{
    pins |= atomic_fetch_and(&cpu->pins, ~(uint32_t)(CPU_PIN_RESET | CPU_PIN_INIT | CPU_PIN_NMI));
    cpu->halted = cpu->shutdown = cpu->nmi_blocked = 0;
    if (pins & CPU_PIN_RESET)
        cpu_reset(cpu);
    else
        cpu_init_signal(cpu);
    if (cpu->opt.index)
        cpu->halted = HALT_SIPI;
    if (cpu->bus.init_taken) {
        cpu_lock(cpu);
        cpu->bus.init_taken(cpu->bus.opaque);
        cpu_unlock(cpu);
    }
    mmu_flush(cpu, true);
    strict_flush(cpu);
}

/* Real mode at vector << 12; everything else is as INIT left it (SDM vol. 3, 9.4.4.2). A processor that does not wait
 * ignores the message. */
static void take_sipi(struct cpu *cpu)
{
    struct segment *cs = &cpu->seg[S_CS];

    atomic_fetch_and(&cpu->pins, ~(uint32_t)CPU_PIN_SIPI);
    if (cpu->halted != HALT_SIPI)
        return;
    cpu->halted = HALT_NONE;
    cs->selector = (uint16_t)(atomic_load(&cpu->sipi_vector) << 8);
    cs->base = (uint64_t)cs->selector << 4;
    cpu->rip = 0;
    cpu_update_mode(cpu);
    log_interrupt(cpu, "start-up", (int)atomic_load(&cpu->sipi_vector));
}

enum served { SERVED_NOTHING, SERVED_EVENT, SERVED_STOP };

static enum served serve_pins(struct cpu *cpu, uint32_t pins)
{
    if (pins & CPU_PIN_STOP)
        return SERVED_STOP;
    if (pins & CPU_PIN_RESET)
        take_reset(cpu, pins);
    else if ((pins & CPU_PIN_SMI) && may_enter_smm(cpu))
        take_smi(cpu);
    else if (pins & reset_pins(cpu))
        take_reset(cpu, pins);
    else if (cpu->shutdown)
        return SERVED_EVENT;
    else if (pins & CPU_PIN_SIPI)
        take_sipi(cpu);
    else if ((pins & CPU_PIN_NMI) && may_take_nmi(cpu))
        take_nmi(cpu);
    else if ((pins & CPU_PIN_INTR) && may_interrupt(cpu))
        take_interrupt(cpu);
    else
        return SERVED_NOTHING;
    return SERVED_EVENT;
}

/* Serve what waits at an instruction boundary, in the order of SDM vol. 3, table 6-2. */
static enum served serve_events(struct cpu *cpu)
{
    if (!__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) && !cpu->halted && !cpu->shutdown &&
        !atomic_load_explicit(&cpu->pins, memory_order_relaxed))
        return SERVED_NOTHING;
    if (cpu->halted || cpu->shutdown)
        wait_for_event(cpu);
    __atomic_store_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST); /* before all that it stands for is looked at */
    cpu_safe_point(cpu);
    if (cpu->turn) /* set for the section that it has sat out */
        __atomic_store_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST);
    if (atomic_load(&cpu->requests)) {
        serve_requests(cpu);
        __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
        return SERVED_EVENT; /* blocks may be gone; the pins are looked at next */
    }
    return serve_pins(cpu, atomic_load(&cpu->pins));
}

/* ---- blocks ---- */

static uint64_t linear_pc(const struct cpu *cpu)
{
    uint64_t pc = cpu->code_base + cpu->rip;
    return cpu_code64(cpu) ? pc : pc & UINT32_MAX;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_page(const struct cpu *cpu, uint64_t pc)
{
    uint64_t next = align_down(pc, MEM_PAGE_SIZE) + MEM_PAGE_SIZE;

    return cpu_code64(cpu) ? next : next & UINT32_MAX;
}

static bool next_page_mapped(struct cpu *cpu, uint64_t pc)
{
    return mmu_may_fetch(cpu, next_page(cpu, pc));
}

/* Bytes of the page behind `pc`, and their RAM offset; NULL when a fetch there faults or it is no RAM. */
static const uint8_t *tail_page(struct cpu *cpu, uint64_t pc, uint64_t *ram_off)
{
    uint64_t next = next_page(cpu, pc);
    const uint8_t *host = NULL;

    *ram_off = UINT64_MAX;
    if (!mmu_may_fetch(cpu, next))
        return NULL;
    *ram_off = mmu_fetch(cpu, next, &host);
    return *ram_off == UINT64_MAX ? NULL : host;
}

/* Code outside RAM, or running into it: read what one instruction may need byte by byte. Returns how many bytes
 * can be fetched. */
static unsigned fetch_bytes(struct cpu *cpu, uint64_t pc, uint8_t *buf)
{
    for (unsigned i = 0; i < INSN_MAX_LEN; i++) {
        uint64_t addr = cpu_code64(cpu) ? pc + i : (uint32_t)(pc + i);
        if (i && !mmu_may_fetch(cpu, addr))
            return i;
        uint64_t phys = mmu_fetch_phys(cpu, addr);
        cpu_lock(cpu);
        buf[i] = (uint8_t)mem_read(cpu->bus.memory, phys, 1);
        cpu_unlock(cpu);
    }
    return INSN_MAX_LEN;
}

/* What is known about the code at the current pc. */
struct fetch {
    uint64_t pc;              /* linear */
    uint64_t phys;            /* RAM offset, ~0: not RAM */
    const uint8_t *code;
    size_t avail;             /* bytes to the page's end */
    uint64_t tail_phys;       /* RAM offset of the next page when the block may cross, else ~0 */
    const uint8_t *tail;
    /* What is translated: copies, because others may write there meanwhile. */
    uint8_t copy[MAX_BLOCK_INSNS * INSN_MAX_LEN], tail_copy[INSN_MAX_LEN];
    unsigned limit;           /* instructions at most, when the slice has no more; else 0 */
};

static void fetch_code(struct cpu *cpu, struct fetch *f)
{
    f->pc = linear_pc(cpu);
    f->phys = mmu_fetch(cpu, f->pc, &f->code);
    f->avail = MEM_PAGE_SIZE - (f->pc & (MEM_PAGE_SIZE - 1));
    f->tail_phys = UINT64_MAX;
    f->tail = NULL;
    f->limit = 0;
    if (f->avail < INSN_MAX_LEN)
        f->tail = tail_page(cpu, f->pc, &f->tail_phys);
    if (f->phys == UINT64_MAX || (f->avail < INSN_MAX_LEN && !f->tail && next_page_mapped(cpu, f->pc))) {
        f->phys = UINT64_MAX;
        f->avail = fetch_bytes(cpu, f->pc, f->copy);
        f->code = NULL;
        f->tail = NULL;
    }
}

/* Copies of the code's bytes, made after others have been told to report their stores. */
static void watch_and_copy(struct cpu *cpu, struct fetch *f)
{
    if (f->phys == UINT64_MAX)
        return; /* fetched byte by byte */
    mmu_watch_code(cpu, f->phys);
    if (f->tail)
        mmu_watch_code(cpu, f->tail_phys);
    f->avail = MIN_OF(f->avail, sizeof(f->copy));
    copy_shared(f->copy, f->code, f->avail);
    if (f->tail)
        copy_shared(f->tail_copy, f->tail, sizeof(f->tail_copy));
}

/* NULL with *why: see tcg_translate(). */
static struct tcg_block *translate(struct cpu *cpu, struct fetch *f, bool one_insn, enum tcg_miss *why)
{
    uint64_t start = now_ns();
    bool crossed = false;
    struct tcg_block *blk;
    struct tcg_source src = { { f->code, f->tail }, { f->copy, f->tail_copy } };
    struct ir_block *ir;

    one_insn |= f->phys == UINT64_MAX;
    watch_and_copy(cpu, f);
    ir = emit_block(cpu, tcg_builder(cpu->tcg), f->copy, f->avail, f->tail ? f->tail_copy : NULL, f->pc,
                    one_insn ? 0 : cpu->opt.one_insn ? 1 : f->limit ? f->limit : MAX_BLOCK_INSNS, &crossed);
    ir->phys = f->phys;
    ir->phys2 = crossed ? f->tail_phys : UINT64_MAX;
    if (f->limit || (crossed && !f->tail))
        one_insn = true; /* cut short, or the fault depends on the mapping of the next page: not to be kept */
    else
        ir->keep = one_insn && f->phys != UINT64_MAX;
    blk = tcg_translate(cpu->tcg, ir, one_insn, &src, why);
    tcg_add_time(cpu->tcg, now_ns() - start);
    return blk;
}

/* The cache is full. Nobody is in it but devices that drop blocks, with the machine lock. An exclusive section for an
 * instruction cannot hold another one: it ends and begins anew. */
static void flush_cache(struct cpu *cpu)
{
    if (cpu->exclusive)
        cpu_exclusive_end(cpu);
    cpu_exclusive_begin(cpu, EXCLUSIVE_CACHE);
    cpu_lock(cpu);
    tcg_flush(cpu->tcg);
    cpu_unlock(cpu);
    cpu_exclusive_end(cpu);
    if (cpu->exclusive)
        cpu_exclusive_begin(cpu, EXCLUSIVE_INSN);
}

/* A block of one instruction serves where code changes while it is being translated. */
static struct tcg_block *make_block(struct cpu *cpu, struct fetch *f, bool one_insn)
{
    struct tcg_block *blk;
    enum tcg_miss why;

    while (!(blk = translate(cpu, f, one_insn, &why))) {
        if (why == TCG_STALE) {
            one_insn = true;
        } else {
            flush_cache(cpu);
        }
    }
    return blk;
}

static void remember_entry(struct cpu *cpu, uint64_t pc, const struct tcg_block *blk)
{
    struct tcg_jump_entry *j = &cpu->jump_cache[(pc ^ pc >> TCG_JC_BITS) & (TCG_JC_SIZE - 1)];

    j->pc = pc;
    j->mode = cpu->mode;
    j->code = cpu->opt.interp ? (const void *)blk : blk->code;
}

/* With blocks logged one by one, each must come back to the run loop. */
static bool logging_blocks(const struct cpu *cpu)
{
    return log_enabled(cpu->log, LOG_EXEC | LOG_CPU);
}

/* The run loop has something to do after each block, in a stepped mode in after_step(), or before it: translated code
 * must not find its way into this one by itself. */
static bool watching_blocks(const struct cpu *cpu)
{
    return (cpu->mode & MODE_STEPPED) || logging_blocks(cpu) || cpu->strict || cpu->digest;
}

/* The block to run next. Raises what fetching its first instruction raises. */
static struct tcg_block *find_block(struct cpu *cpu)
{
    uint32_t mode = cpu->mode | (cpu->one_insn_next ? MODE_ALONE : 0);
    struct tcg_block *blk = NULL;
    struct fetch f;

    fetch_code(cpu, &f);
    cpu->one_insn_next = false;
    if (f.phys != UINT64_MAX) {
        blk = tcg_find(cpu->tcg, f.phys, UINT64_MAX, mode);
        if (!blk && f.tail)
            blk = tcg_find(cpu->tcg, f.phys, f.tail_phys & ~(MEM_PAGE_SIZE - 1), mode);
    }
    if (!blk)
        blk = make_block(cpu, &f, mode & MODE_ALONE);
    if (cpu->opt.counted && blk->insns > cpu->budget) {
        f.limit = (unsigned)cpu->budget;
        blk = make_block(cpu, &f, false);
    }
    if (cpu->generation != tcg_generation(cpu->tcg))
        mmu_forget_blocks(cpu);
    if (!watching_blocks(cpu) && !blk->one_insn)
        remember_entry(cpu, f.pc, blk);
    return blk;
}

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
    if (!cpu->opt.counted)
        return;
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
    if (mwait_over(cpu))
        leave_mwait(cpu);
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
    blk = find_block(cpu);
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
    cpu_end_turn(cpu);
    prev = tcg_run(cpu->tcg, cpu, blk, exit_no);
    cpu->in_block = false;
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
        enum served served = serve_events(cpu);
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
    longjmp(*cpu->fault_jmp, JMP_RESTART_ONE);
}

_Noreturn void cpu_restart_exclusive(struct cpu *cpu)
{
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
        .page_flags = bus->ram ? memory_page_flags(bus->ram) : NULL,
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
    if (cpu_spec_parse(&spec, opt->model ? opt->model : "max", err)) {
        free(cpu);
        return NULL;
    }
    cpu->model = spec.model;
    cpu->features = spec.features;
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
    digest_init(cpu);
    strict_init(cpu);
    cpu_reset(cpu);
    if (opt->index) {
        cpu->halted = HALT_SIPI;
        atomic_store(&cpu->awaits_sipi, 1);
    }
    mmu_flush(cpu, true);
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
