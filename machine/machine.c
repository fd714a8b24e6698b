/* Life of a machine: threads, run state, reset, the way out. */
#include "machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "cpu/cpu.h"
#include "machine/pc_firmware.h"
#include "monitor/monitor.h"
#include "ui/chardev.h"

/* ---- the processors' threads ---- */

void machine_raise(struct machine *m, unsigned pins)
{
    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_raise(m->cpu[i], pins);
}

bool machine_enter_run(struct machine *m)
{
    while (!m->ending && (!m->want_run || m->held))
        lock_wait(&m->lock, &m->run_cond);
    if (m->ending)
        return false;
    m->num_running++;
    if (m->num_due && !--m->num_due)
        lock_wake(&m->lock, &m->stopped_cond);
    return true;
}

void machine_leave_run(struct machine *m)
{
    if (!--m->num_running)
        lock_wake(&m->lock, &m->stopped_cond);
}

/* One thread, one processor. */
static void *vcpu_thread(void *opaque)
{
    struct vcpu_thread *t = opaque;
    struct machine *m = t->machine;

    lock_take(&m->lock);
    while (machine_enter_run(m)) {
        lock_release(&m->lock);
        cpu_run(m->cpu[t->index]);
        lock_take(&m->lock);
        machine_leave_run(m);
    }
    lock_release(&m->lock);
    return NULL;
}

static void *begin_thread(void *opaque)
{
    struct vcpu_thread *t = opaque;
    struct machine *m = t->machine;
    char name[16];

    snprintf(name, sizeof(name), "CPU %u", t->index);
    pthread_setname_np(pthread_self(), name);
    lock_take(&m->lock);
    t->id = gettid();
    m->num_ready++;
    lock_wake(&m->lock, &m->stopped_cond);
    lock_release(&m->lock);
    return m->opt->single_thread ? roundrobin_thread(t) : vcpu_thread(t);
}

/* Returns when the threads are known by their numbers. */
static int start_threads(struct machine *m, struct error *err)
{
    unsigned n = m->opt->single_thread ? 1 : m->num_cpus;

    for (unsigned i = 0; i < n; i++) {
        m->thread[i].machine = m;
        m->thread[i].index = i;
        if (pthread_create(&m->thread[i].thread, NULL, begin_thread, &m->thread[i]))
            return error_set(err, -EAGAIN, "cannot start a thread for processor %u", i);
        m->num_threads++;
    }
    while (m->num_ready < m->num_threads)
        lock_wait(&m->lock, &m->stopped_cond);
    return 0;
}

/* Without the lock. */
static void end_threads(struct machine *m)
{
    lock_take(&m->lock);
    m->ending = true;
    machine_raise(m, CPU_PIN_STOP);
    lock_wake(&m->lock, &m->run_cond);
    lock_release(&m->lock);
    for (unsigned i = 0; i < m->num_threads; i++)
        pthread_join(m->thread[i].thread, NULL);
}

bool machine_running(struct machine *m)
{
    return m->want_run;
}

/* A machine that goes on and is stopped again and again gets somewhere: each processor has its turn first. */
void machine_stop(struct machine *m)
{
    while (m->num_due && !m->held)
        lock_wait(&m->lock, &m->stopped_cond);
    m->want_run = false;
    m->num_due = 0;
    machine_raise(m, CPU_PIN_STOP);
    while (m->num_running)
        lock_wait(&m->lock, &m->stopped_cond);
    clock_stop(m->clock);
}

/* Processors run, unless they have to wait for the main thread. */
static void release_processors(struct machine *m)
{
    if (!m->want_run || m->held)
        return;
    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_lower(m->cpu[i], CPU_PIN_STOP);
    lock_wake(&m->lock, &m->run_cond);
}

/* Any thread: the main thread will reset, stop or leave. */
static void hold_processors(struct machine *m)
{
    m->held = true;
    machine_raise(m, CPU_PIN_STOP);
    lock_wake(&m->lock, &m->stopped_cond);
}

void machine_cont(struct machine *m)
{
    if (m->want_run)
        return;
    m->want_run = true;
    m->num_due = m->num_threads;
    clock_start(m->clock);
    release_processors(m);
}

/* ---- reset and the end ---- */

static void reset_devices(struct machine *m)
{
    for (struct device *d = m->env.devices; d; d = d->next)
        if (d->reset)
            d->reset(d->opaque);
}

static void do_reset(void *opaque)
{
    struct machine *m = opaque;
    bool running = m->want_run;

    machine_stop(m);
    m->reset_pending = false;
    m->held = m->leaving;
    pc_drain(m);
    reset_devices(m);
    pc_boot_again(m);
    pc_set_a20(m, true);
    machine_raise(m, CPU_PIN_RESET);
    cpu_flush_translations(m->cpu[0]);
    m->accessor = 0;
    if (running)
        machine_cont(m);
}

/* A processor may be in the middle of an access to the device that asks: all are held at their next blocks, and the
 * reset happens on the main thread. */
void machine_request_reset(struct machine *m)
{
    if (m->opt->no_reboot) {
        machine_quit(m, 0);
        return;
    }
    if (m->reset_pending)
        return;
    m->reset_pending = true;
    hold_processors(m);
    loop_post(m->loop, do_reset, m);
}

static void do_stop(void *opaque)
{
    struct machine *m = opaque;

    machine_stop(m);
    m->held = m->leaving || m->reset_pending;
}

void machine_request_poweroff(struct machine *m)
{
    if (m->opt->no_shutdown) {
        hold_processors(m);
        loop_post(m->loop, do_stop, m);
        return;
    }
    machine_quit(m, 0);
}

void machine_quit(struct machine *m, int status)
{
    m->leaving = true;
    hold_processors(m);
    loop_quit(m->loop, status);
}

static void on_signal(void *opaque, unsigned events)
{
    struct machine *m = opaque;
    struct signalfd_siginfo info;

    (void)events;
    if (read(m->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        fprintf(stderr, "mimus: terminating on signal %u\n", info.ssi_signo);
        machine_quit(m, 0);
    }
}

static void watch_signals(struct machine *m)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signal_fd >= 0)
        loop_watch(m->loop, m->signal_fd, LOOP_READ, on_signal, m);
}

/* ---- the monitor's view ---- */

static void mon_quit(void *opaque) { machine_quit(opaque, 0); }
static void mon_stop(void *opaque) { machine_stop(opaque); }
static void mon_cont(void *opaque) { machine_cont(opaque); }
static void mon_power_button(void *opaque) { pc_power_button(opaque); }
static void mon_key(void *opaque, uint8_t code, bool down) { pc_key(opaque, code, down); }
static bool mon_running(void *opaque) { return machine_running(opaque); }

static int mon_thread_id(void *opaque, unsigned cpu)
{
    struct machine *m = opaque;

    return m->thread[m->opt->single_thread ? 0 : cpu].id;
}

static void mon_access_as(void *opaque, unsigned cpu)
{
    ((struct machine *)opaque)->accessor = cpu;
}

/* Unlike the guest's own reset this one is not stopped by -no-reboot's exit: QEMU leaves there too, and so do we. */
static void mon_reset(void *opaque) { machine_request_reset(opaque); }

static void start_monitor(struct machine *m)
{
    struct monitor_machine mm = {
        .lock = &m->lock, .cpu = m->cpu, .num_cpus = m->num_cpus, .memory = m->env.memory, .ports = m->env.ports,
        .display = pc_display(m), .quit = mon_quit, .stop = mon_stop, .cont = mon_cont, .reset = mon_reset,
        .power_button = mon_power_button, .key = mon_key, .running = mon_running, .thread_id = mon_thread_id,
        .access_as = mon_access_as, .opaque = m,
    };

    if (m->monitor_chr)
        m->monitor = monitor_new(m->monitor_chr, m->monitor_shared, &mm);
}

/* ---- life ---- */

static int open_log(struct machine *m, struct error *err)
{
    const char *bad;
    int ret;

    log_init(&m->log);
    if (m->opt->log_items && log_parse(&m->log, m->opt->log_items, &bad))
        return error_set(err, -EINVAL, "-d %s: unknown item; -d help lists what there is", bad);
    if (m->opt->log_filter && log_parse_filter(&m->log, m->opt->log_filter))
        return error_set(err, -EINVAL, "-dfilter %s: expected START+LEN, START-LEN or START..END", m->opt->log_filter);
    if (log_enabled(&m->log, LOG_DIGEST) && !m->opt->icount)
        return error_set(err, -EINVAL, "-d digest: needs -icount; other runs are never the same");
    ret = m->opt->log_file ? log_open(&m->log, m->opt->log_file) : 0;
    if (ret)
        return error_set(err, ret, "-D %s: %s", m->opt->log_file, strerror(-ret));
    return 0;
}

/* Without the lock: nobody else is there before the processors' threads are. */
static int build(struct machine *m, struct error *err)
{
    int ret = open_log(m, err);

    if (ret)
        return ret;
    watch_signals(m);
    m->rr = m->opt->single_thread ? roundrobin_new(m) : NULL;
    ret = machine_open_chardevs(m, err);
    if (!ret)
        ret = pc_build(m, err);
    if (ret)
        return ret;
    reset_devices(m);
    pc_set_a20(m, true);
    machine_raise(m, CPU_PIN_STOP);
    start_monitor(m);
    lock_take(&m->lock);
    ret = start_threads(m, err);
    lock_release(&m->lock);
    return ret;
}

struct machine *machine_new(const struct options *opt, struct error *err)
{
    struct machine *m = calloc(1, sizeof(*m));
    int ret;

    if (!m)
        abort();
    m->opt = opt;
    m->signal_fd = -1;
    lock_init(&m->lock);
    pthread_cond_init(&m->run_cond, NULL);
    pthread_cond_init(&m->stopped_cond, NULL);
    m->clock = clock_new();
    m->loop = loop_new(m->clock, &m->lock);
    ret = build(m, err);
    if (ret) {
        machine_free(m);
        return NULL;
    }
    return m;
}

int machine_run(struct machine *m)
{
    int status;

    if (!m->opt->start_stopped) {
        lock_take(&m->lock);
        machine_cont(m);
        lock_release(&m->lock);
    }
    status = loop_run(m->loop);
    lock_take(&m->lock);
    machine_stop(m);
    pc_drain(m);
    lock_release(&m->lock);
    return status;
}

void machine_free(struct machine *m)
{
    end_threads(m);
    monitor_free(m->monitor);
    pc_free(m);
    machine_close_chardevs(m);
    roundrobin_free(m->rr);
    loop_free(m->loop);
    clock_free(m->clock);
    if (m->signal_fd >= 0)
        close(m->signal_fd);
    log_close(&m->log);
    pthread_cond_destroy(&m->run_cond);
    pthread_cond_destroy(&m->stopped_cond);
    lock_destroy(&m->lock);
    free(m);
}
