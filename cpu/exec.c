/* The run loop: events at instruction boundaries, finding and translating blocks, and where exceptions land. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "cpu/emit.h"
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
enum { JMP_EXCEPTION = 1, JMP_RESTART_ONE = 2 };

/* Modes in which the run loop has something to do after every instruction. */
#define MODE_STEPPED (MODE_TF | MODE_SHADOW | MODE_DR | MODE_RF)

/* ---- pins and requests from other threads ---- */

static void wake(struct cpu *cpu)
{
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&cpu->wait_lock);
    pthread_cond_signal(&cpu->wait_cond);
    pthread_mutex_unlock(&cpu->wait_lock);
}

void cpu_raise(struct cpu *cpu, unsigned pins)
{
    if ((atomic_fetch_or(&cpu->pins, pins) & pins) != pins)
        wake(cpu);
}

void cpu_lower(struct cpu *cpu, unsigned pins)
{
    atomic_fetch_and(&cpu->pins, ~pins);
}

void cpu_sipi(struct cpu *cpu, uint8_t vector)
{
    atomic_store(&cpu->sipi_vector, vector);
    cpu_raise(cpu, CPU_PIN_SIPI);
}

void cpu_flush_translations(struct cpu *cpu)
{
    tcg_flush(cpu->tcg);
    mmu_code_dropped(cpu);
}

static void request(struct cpu *cpu, uint32_t what)
{
    atomic_fetch_or(&cpu->requests, what);
    wake(cpu);
}

static bool on_own_thread(const struct cpu *cpu)
{
    return cpu->thread_known && pthread_equal(cpu->thread, pthread_self());
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

void cpu_code_written(struct cpu *cpu, uint64_t ram_off, uint64_t len)
{
    if (on_own_thread(cpu)) {
        if (tcg_invalidate(cpu->tcg, ram_off, len))
            mmu_code_dropped(cpu);
        return;
    }
    pthread_mutex_lock(&cpu->wait_lock);
    if (cpu->num_written == ARRAY_LEN(cpu->written)) {
        cpu->written_all = true;
    } else {
        cpu->written[cpu->num_written].off = ram_off;
        cpu->written[cpu->num_written++].len = len;
    }
    pthread_mutex_unlock(&cpu->wait_lock);
    request(cpu, REQ_CODE_WRITTEN);
}

static void drop_written_code(struct cpu *cpu)
{
    pthread_mutex_lock(&cpu->wait_lock);
    if (cpu->written_all)
        tcg_flush(cpu->tcg);
    else
        for (unsigned i = 0; i < cpu->num_written; i++)
            tcg_invalidate(cpu->tcg, cpu->written[i].off, cpu->written[i].len);
    cpu->num_written = 0;
    cpu->written_all = false;
    pthread_mutex_unlock(&cpu->wait_lock);
    mmu_code_dropped(cpu);
}

static void serve_requests(struct cpu *cpu)
{
    uint32_t req = atomic_exchange(&cpu->requests, 0);

    if (req & (REQ_A20_ON | REQ_A20_OFF))
        switch_a20(cpu, req & REQ_A20_ON);
    if (req & REQ_CODE_WRITTEN)
        drop_written_code(cpu);
    if (req & REQ_FLUSH_TLB)
        mmu_flush(cpu, true);
}

/* ---- events at an instruction boundary ---- */

static bool may_interrupt(const struct cpu *cpu)
{
    return (cpu->eflags & FL_IF) && !(cpu->mode & MODE_SHADOW);
}

/* An SMI waits for the end of system management mode and, by our choice, of an interrupt shadow. */
static bool may_enter_smm(const struct cpu *cpu)
{
    return !(cpu->mode & (MODE_SMM | MODE_SHADOW)) && !cpu->shutdown;
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
           ((pins & CPU_PIN_NMI) && !cpu->nmi_blocked && !cpu->shutdown) ||
           ((pins & CPU_PIN_INTR) && may_interrupt(cpu) && !cpu->shutdown) ||
           atomic_load(&cpu->requests);
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
    if (!event_pending(cpu) && !(cpu->halted == HALT_MWAIT_MASKED && (atomic_load(&cpu->pins) & CPU_PIN_INTR)))
        pthread_cond_timedwait(&cpu->wait_cond, &cpu->wait_lock, &until);
    cpu->halted = HALT_NONE;
}

static void wait_for_event(struct cpu *cpu)
{
    pthread_mutex_lock(&cpu->wait_lock);
    if (cpu->halted >= HALT_MWAIT && !cpu->shutdown)
        wait_once(cpu);
    while ((cpu->halted || cpu->shutdown) && !event_pending(cpu))
        pthread_cond_wait(&cpu->wait_cond, &cpu->wait_lock);
    pthread_mutex_unlock(&cpu->wait_lock);
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
    atomic_fetch_and(&cpu->pins, ~(uint32_t)(CPU_PIN_RESET | CPU_PIN_INIT | CPU_PIN_NMI));
    cpu->halted = cpu->shutdown = cpu->nmi_blocked = 0;
    if (pins & CPU_PIN_RESET) {
        cpu_lower(cpu, CPU_PIN_SMI);
        cpu_reset(cpu);
        tcg_flush(cpu->tcg);
        mmu_flush(cpu, true);
    } else {
        cpu_init_signal(cpu);
        mmu_flush(cpu, true);
    }
    strict_flush(cpu);
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
    else if ((pins & CPU_PIN_NMI) && !cpu->nmi_blocked && !(cpu->mode & MODE_SHADOW))
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
    if (atomic_load(&cpu->requests)) {
        serve_requests(cpu);
        return SERVED_EVENT; /* blocks may be gone; exit_request stays set, so the pins are looked at next */
    }
    __atomic_store_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST);
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
    uint8_t buf[INSN_MAX_LEN];
};

static void fetch_code(struct cpu *cpu, struct fetch *f)
{
    f->pc = linear_pc(cpu);
    f->phys = mmu_fetch(cpu, f->pc, &f->code);
    f->avail = MEM_PAGE_SIZE - (f->pc & (MEM_PAGE_SIZE - 1));
    f->tail_phys = UINT64_MAX;
    f->tail = NULL;
    if (f->avail < INSN_MAX_LEN)
        f->tail = tail_page(cpu, f->pc, &f->tail_phys);
    if (f->phys == UINT64_MAX || (f->avail < INSN_MAX_LEN && !f->tail && next_page_mapped(cpu, f->pc))) {
        f->phys = UINT64_MAX;
        f->avail = fetch_bytes(cpu, f->pc, f->buf);
        f->code = f->buf;
        f->tail = NULL;
    }
}

static struct tcg_block *translate(struct cpu *cpu, struct fetch *f, bool one_insn, bool *flushed)
{
    uint64_t start = now_ns();
    bool crossed = false;
    struct tcg_block *blk;
    struct ir_block *ir;

    one_insn |= f->phys == UINT64_MAX;
    if (f->phys != UINT64_MAX)
        mmu_watch_code(cpu, f->phys);
    if (f->tail)
        mmu_watch_code(cpu, f->tail_phys);
    ir = emit_block(cpu, tcg_builder(cpu->tcg), f->code, f->avail, f->tail, f->pc,
                    one_insn || cpu->opt.one_insn ? 1 : MAX_BLOCK_INSNS, &crossed);
    ir->phys = f->phys;
    ir->phys2 = crossed ? f->tail_phys : UINT64_MAX;
    ir->pc = f->pc;
    ir->mode = cpu->mode;
    ir->mmu = (uint8_t)cpu_mmu_set(cpu);
    if (crossed && !f->tail)
        one_insn = true; /* the fault depends on the mapping of the next page: not to be kept */
    blk = tcg_translate(cpu->tcg, ir, one_insn, flushed);
    if (*flushed)
        mmu_code_dropped(cpu);
    tcg_add_time(cpu->tcg, now_ns() - start);
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
    return (cpu->mode & MODE_STEPPED) || logging_blocks(cpu) || cpu->strict;
}

/* The block to run next. Raises what fetching its first instruction raises.
 * *flushed is set when the cache had to be emptied: pointers to blocks are stale. */
static struct tcg_block *find_block(struct cpu *cpu, bool *flushed)
{
    struct tcg_block *blk;
    struct fetch f;

    fetch_code(cpu, &f);
    if (cpu->one_insn_next) {
        cpu->one_insn_next = false;
        return translate(cpu, &f, true, flushed);
    }
    blk = NULL;
    if (f.phys != UINT64_MAX) {
        blk = tcg_find(cpu->tcg, f.phys, UINT64_MAX, cpu->mode);
        if (!blk && f.tail)
            blk = tcg_find(cpu->tcg, f.phys, f.tail_phys & ~(MEM_PAGE_SIZE - 1), cpu->mode);
    }
    if (!blk)
        blk = translate(cpu, &f, false, flushed);
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

/* Run from the current pc until something leaves translated code. `prev` was
 * left through its exit *exit_no to here; returns the same for the next call. */
static struct tcg_block *enter_block(struct cpu *cpu, struct tcg_block *prev, unsigned *exit_no)
{
    struct tcg_block *blk;
    uint32_t mode = cpu->mode;
    uint8_t ss_shadow = cpu->ss_shadow;
    bool flushed = false;

    if (code_breakpoint_hit(cpu)) {
        cpu->eflags |= FL_RF; /* a fault: the saved image lets the instruction run once (SDM vol. 3, 17.3.1.1) */
        cpu_raise_exception(cpu, EX_DB);
    }
    blk = find_block(cpu, &flushed);
    if (prev && !flushed && !blk->one_insn && !watching_blocks(cpu))
        tcg_chain(cpu->tcg, prev, *exit_no, blk);
    if (logging_blocks(cpu))
        log_block(cpu, blk);
    cpu->no_step = cpu->rf_loaded = cpu->stepped = false;
    if (!cpu->ss_shadow)
        cpu->dr6_pending = 0;
    cpu->ss_shadow = 0;
    cpu->rep_partial = false;
    cpu->in_block = true;
    set_host_mxcsr(cpu->mxcsr_run);
    prev = tcg_run(cpu->tcg, cpu, blk, exit_no);
    cpu->in_block = false;
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

/* Exceptions raised anywhere below arrive in setjmp; an exception during
 * delivery arrives there again, with cpu->delivering set. */
void cpu_run(struct cpu *cpu)
{
    struct tcg_block *volatile prev = NULL;
    jmp_buf jmp;
    unsigned exit_no = 0;
    int why;

    cpu->thread = pthread_self();
    cpu->thread_known = true;
    cpu->fault_jmp = &jmp;
    why = setjmp(jmp);
    if (why) {
        prev = NULL;
        locate_fault(cpu);
        if (why == JMP_RESTART_ONE) {
            cpu->one_insn_next = true;
        } else {
            log_exception(cpu);
            cpu_deliver_exception(cpu);
            cpu->delivering = -1;
        }
    }
    for (;;) {
        enum served served = serve_events(cpu);
        if (served == SERVED_STOP)
            break;
        if (served == SERVED_EVENT)
            prev = NULL;
        if (!cpu->halted && !cpu->shutdown)
            prev = enter_block(cpu, prev, &exit_no);
    }
    cpu->fault_jmp = NULL;
    cpu->thread_known = false;
}

_Noreturn void cpu_restart_one(struct cpu *cpu)
{
    longjmp(*cpu->fault_jmp, JMP_RESTART_ONE);
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
    cpu->tcg = tcg_new(&cpu_guest, &topt, bus->log, err);
    if (!cpu->tcg) {
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
    strict_init(cpu);
    cpu_reset(cpu);
    mmu_flush(cpu, true);
    return cpu;
}

void cpu_free(struct cpu *cpu)
{
    if (!cpu)
        return;
    tcg_free(cpu->tcg);
    strict_free(cpu);
    pthread_cond_destroy(&cpu->wait_cond);
    pthread_mutex_destroy(&cpu->wait_lock);
    free(cpu);
}
