/* The machine: everything hangs from here. machine.c runs and stops it, pc.c
 * wires the board, chardevs.c finds the terminals. */
#ifndef MIMUS_MACHINE_MACHINE_H
#define MIMUS_MACHINE_MACHINE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/lock.h"
#include "base/log.h"
#include "cpu/cpu.h"
#include "hw/device.h"
#include "machine/options.h"

struct error;

#define MACHINE_MAX_CHARDEVS 24

/* A character device with a name; ports of a multiplexer are handed out one by one. */
struct named_chardev {
    char id[32];
    struct chardev *chr;   /* backend or multiplexer */
    bool mux, taken;
};

/* A host thread that runs processors. */
struct vcpu_thread {
    struct machine *machine;
    unsigned index;                  /* of the processor it runs, the first of those that it runs in turn */
    pthread_t thread;
    int id;                          /* the kernel's number of it */
};

struct machine {
    const struct options *opt;
    struct log log;
    struct clock *clock;
    struct lock lock;                /* the machine lock: devices, memory tree, timers */
    struct loop *loop;
    struct roundrobin *rr;           /* NULL: each processor has a thread */
    struct hw_env env;
    struct pc *pc;                   /* the board */
    struct cpu *cpu[CPU_MAX];        /* [0] is the bootstrap processor */
    unsigned num_cpus;
    unsigned accessor;               /* processor that accesses devices; who takes the lock on another thread leaves it */
    struct monitor *monitor;

    struct named_chardev chardev[MACHINE_MAX_CHARDEVS];
    unsigned num_chardevs;
    struct chardev *port[MACHINE_MAX_CHARDEVS];    /* multiplexer ports, freed before their multiplexers */
    unsigned num_ports;
    struct chardev *serial[4], *monitor_chr;
    bool monitor_shared;             /* the monitor's device is a port of a multiplexer */

    struct vcpu_thread thread[CPU_MAX];
    unsigned num_threads;
    /* Under the lock. `held`: the main thread has been asked to reset, stop or leave, and processors wait for that. */
    pthread_cond_t run_cond, stopped_cond;
    unsigned num_ready, num_running; /* threads that have begun; that are in cpu_run() */
    unsigned num_due;                /* threads that have not been there since the machine was told to go on */
    bool want_run, held, ending;
    bool reset_pending, leaving;
    int signal_fd;
};

/* Build a machine from the options (borrowed). NULL with one line in `err`. */
struct machine *machine_new(const struct options *opt, struct error *err);
/* Run it until it is quit; returns the exit status. */
int machine_run(struct machine *m);
void machine_free(struct machine *m);

/* With the machine lock held, on the main thread. stop returns when all processors stand still. */
void machine_stop(struct machine *m);
void machine_cont(struct machine *m);
bool machine_running(struct machine *m);
/* With the machine lock held, on any thread. */
void machine_request_reset(struct machine *m);
void machine_request_poweroff(struct machine *m);
void machine_quit(struct machine *m, int status);

/* For threads that run processors, with the lock. enter waits until the machine runs, and says false when the thread
 * is to end; between enter and leave it may call cpu_run(), without the lock. */
bool machine_enter_run(struct machine *m);
void machine_leave_run(struct machine *m);
/* Set pins of all processors. Any thread. */
void machine_raise(struct machine *m, unsigned pins);

/* ---- roundrobin.c ---- */

/* With -icount it takes over the clock, which stands. Aborts when the host has no memory. */
struct roundrobin *roundrobin_new(struct machine *m);
/* After the devices, before the clock. */
void roundrobin_free(struct roundrobin *rr);
/* Thread that runs all processors in turn; `thread` is a struct vcpu_thread. */
void *roundrobin_thread(void *thread);
/* Something may have come for a processor that waits. Any thread. */
void roundrobin_wake(struct roundrobin *rr);

/* ---- chardevs.c ---- */

/* Open the character devices that the options name: -chardev, -serial, -monitor. */
int machine_open_chardevs(struct machine *m, struct error *err);
/* The device that `spec` describes ("stdio", "file:x", "chardev:ID" ...); NULL without error for "none". */
int machine_open_chardev(struct machine *m, const char *spec, const char *label, struct chardev **out, struct error *err);
void machine_close_chardevs(struct machine *m);

/* ---- pc.c ---- */

/* Create and connect all devices and processors in m. */
int pc_build(struct machine *m, struct error *err);
void pc_free(struct machine *m);
/* Let disk work in flight end; called before reset and at the end. */
void pc_drain(struct machine *m);
void pc_power_button(struct machine *m);
/* A key of the keyboard goes down or up: set 1 code, bit 7 stands for the E0 prefix. */
void pc_key(struct machine *m, uint8_t code, bool down);
/* The A20 gate of all processors. */
void pc_set_a20(struct machine *m, bool enabled);
const struct display_source *pc_display(struct machine *m);

#endif
