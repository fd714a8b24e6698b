/* What comes to a processor from outside: pins, requests of other threads, and events at an instruction boundary. */
#include <inttypes.h>
#include <time.h>

#include "base/spin.h"
#include "cpu/exec.h"
#include "cpu/smp.h"
#include "cpu/strict.h"

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
bool cpu_mwait_over(struct cpu *cpu)
{
    return in_mwait(cpu) && (cpu_line_changed(cpu) || (cpu->halted == HALT_MWAIT_MASKED &&
                                                       (atomic_load(&cpu->pins) & CPU_PIN_INTR)));
}

bool cpu_can_run(struct cpu *cpu)
{
    return (!cpu->halted && !cpu->shutdown) || event_pending(cpu) || cpu_mwait_over(cpu);
}

void cpu_leave_mwait(struct cpu *cpu)
{
    cpu->monitor_line = NULL;
    cpu->halted = HALT_NONE;
}

#define MWAIT_LIMIT_NS 1000000 /* a store to the monitored line is seen this late */

/* One wait, until it is woken, or for less than a second. With wait_lock held. */
static void wait_at_most(struct cpu *cpu, int64_t ns)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&cpu->wait_cond, &cpu->wait_lock, &until);
}

/* MWAIT: one wait, after which the processor goes on. With wait_lock held. */
static void wait_once(struct cpu *cpu)
{
    if (!event_pending(cpu) && !cpu_mwait_over(cpu))
        wait_at_most(cpu, MWAIT_LIMIT_NS);
    cpu_leave_mwait(cpu);
}

/* ---- looking for a while instead of sleeping ----
 *
 * Sleeping and being woken costs both threads some 20 us, while processors that work for each other often have an
 * answer in less. So who halts while another one runs first looks for POLL_NS. When nothing has come, the next halts
 * sleep at once, twice as many each time: where waits are long, one in POLL_MAX_SKIP is tried. The time is longer than a
 * sleeper needs to wake and answer, so that two find to each other if both sleep at first. */
#define POLL_NS 50000
#define POLL_MAX_SKIP 255
#define POLL_LOOKS 16 /* between two looks at the clock */

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool wait_is_over(struct cpu *cpu)
{
    return event_pending(cpu) || cpu_mwait_over(cpu);
}

/* Did what the processor waits for come while another one ran? */
static bool poll_for_event(struct cpu *cpu)
{
    int64_t end = now_ns() + POLL_NS;

    do {
        for (unsigned n = 0; n < POLL_LOOKS; n++) {
            if (wait_is_over(cpu))
                return true;
            spin_pause();
        }
    } while (cpu_may_look(cpu) && now_ns() < end);
    return false;
}

static void learn_from_look(struct cpu *cpu, bool paid)
{
    if (paid) {
        cpu->poll_backoff /= 2;
    } else {
        cpu->poll_backoff = (uint16_t)MIN_OF(2 * cpu->poll_backoff + 1, POLL_MAX_SKIP);
        cpu->poll_skip = cpu->poll_backoff;
    }
}

static void look_before_sleeping(struct cpu *cpu)
{
    if (cpu->group->num == 1 || wait_is_over(cpu))
        return;
    if (cpu->poll_skip) {
        cpu->poll_skip--;
        return;
    }
    atomic_fetch_add(&cpu->group->looking, 1);
    if (cpu_may_look(cpu))
        learn_from_look(cpu, poll_for_event(cpu));
    atomic_fetch_sub(&cpu->group->looking, 1);
}

void cpu_doze(struct cpu *cpu, int64_t ns)
{
    pthread_mutex_lock(&cpu->wait_lock);
    atomic_store(&cpu->sleeping, 1);
    if (!__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
        wait_at_most(cpu, ns);
    atomic_store(&cpu->sleeping, 0);
    pthread_mutex_unlock(&cpu->wait_lock);
}

static void wait_for_event(struct cpu *cpu)
{
    cpu_go_outside(cpu);
    look_before_sleeping(cpu);
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
enum served cpu_serve_events(struct cpu *cpu)
{
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
