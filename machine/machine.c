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

/* ---- the processor's thread ---- */

static void *cpu_thread(void *opaque)
{
    struct machine *m = opaque;

    lock_take(&m->lock);
    while (!m->ending) {
        if (!m->want_run) {
            m->parked = true;
            pthread_cond_broadcast(&m->parked_cond);
            lock_wait(&m->lock, &m->run_cond);
            continue;
        }
        m->parked = false;
        lock_release(&m->lock);
        cpu_run(m->cpu);
        lock_take(&m->lock);
    }
    m->parked = true;
    pthread_cond_broadcast(&m->parked_cond);
    lock_release(&m->lock);
    return NULL;
}

bool machine_running(struct machine *m)
{
    return m->want_run;
}

void machine_stop(struct machine *m)
{
    m->want_run = false;
    cpu_raise(m->cpu, CPU_PIN_STOP);
    while (!m->parked)
        lock_wait(&m->lock, &m->parked_cond);
    clock_stop(m->clock);
}

void machine_cont(struct machine *m)
{
    if (m->want_run)
        return;
    m->want_run = true;
    m->parked = false;
    cpu_lower(m->cpu, CPU_PIN_STOP);
    clock_start(m->clock);
    pthread_cond_broadcast(&m->run_cond);
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
    pc_drain(m);
    reset_devices(m);
    pc_boot_again(m);
    cpu_set_a20(m->cpu, true);
    cpu_raise(m->cpu, CPU_PIN_RESET);
    if (running)
        machine_cont(m);
}

/* The processor may be in the middle of an access to the device that asks:
 * it is stopped at its next block, and the reset happens on the main thread. */
void machine_request_reset(struct machine *m)
{
    if (m->opt->no_reboot) {
        machine_quit(m, 0);
        return;
    }
    if (m->reset_pending)
        return;
    m->reset_pending = true;
    cpu_raise(m->cpu, CPU_PIN_STOP);
    loop_post(m->loop, do_reset, m);
}

static void do_stop(void *opaque)
{
    machine_stop(opaque);
}

void machine_request_poweroff(struct machine *m)
{
    if (m->opt->no_shutdown) {
        cpu_raise(m->cpu, CPU_PIN_STOP);
        loop_post(m->loop, do_stop, m);
        return;
    }
    machine_quit(m, 0);
}

void machine_quit(struct machine *m, int status)
{
    cpu_raise(m->cpu, CPU_PIN_STOP);
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

/* Unlike the guest's own reset this one is not stopped by -no-reboot's exit: QEMU leaves there too, and so do we. */
static void mon_reset(void *opaque) { machine_request_reset(opaque); }

static void start_monitor(struct machine *m)
{
    struct monitor_machine mm = {
        .cpu = m->cpu, .memory = m->env.memory, .ports = m->env.ports, .display = pc_display(m),
        .quit = mon_quit, .stop = mon_stop, .cont = mon_cont, .reset = mon_reset,
        .power_button = mon_power_button, .key = mon_key, .running = mon_running, .opaque = m,
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
    ret = m->opt->log_file ? log_open(&m->log, m->opt->log_file) : 0;
    if (ret)
        return error_set(err, ret, "-D %s: %s", m->opt->log_file, strerror(-ret));
    return 0;
}

static int build(struct machine *m, struct error *err)
{
    int ret = open_log(m, err);

    if (ret)
        return ret;
    watch_signals(m);
    ret = machine_open_chardevs(m, err);
    if (!ret)
        ret = pc_build(m, err);
    if (ret)
        return ret;
    reset_devices(m);
    cpu_set_a20(m->cpu, true);
    start_monitor(m);
    cpu_raise(m->cpu, CPU_PIN_STOP);
    if (pthread_create(&m->cpu_thread, NULL, cpu_thread, m))
        return error_set(err, -EAGAIN, "cannot start the processor's thread");
    m->thread_started = true;
    return 0;
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
    pthread_cond_init(&m->parked_cond, NULL);
    m->clock = clock_new();
    m->loop = loop_new(m->clock, &m->lock);
    lock_take(&m->lock);
    ret = build(m, err);
    lock_release(&m->lock);
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
    if (m->thread_started) {
        lock_take(&m->lock);
        m->ending = true;
        m->want_run = false;
        cpu_raise(m->cpu, CPU_PIN_STOP);
        pthread_cond_broadcast(&m->run_cond);
        lock_release(&m->lock);
        pthread_join(m->cpu_thread, NULL);
    }
    lock_take(&m->lock);
    monitor_free(m->monitor);
    pc_free(m);
    machine_close_chardevs(m);
    lock_release(&m->lock);
    loop_free(m->loop);
    clock_free(m->clock);
    if (m->signal_fd >= 0)
        close(m->signal_fd);
    log_close(&m->log);
    pthread_cond_destroy(&m->run_cond);
    pthread_cond_destroy(&m->parked_cond);
    lock_destroy(&m->lock);
    free(m);
}
