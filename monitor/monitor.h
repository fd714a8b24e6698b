/* The human monitor: a command line over a character device. */
#ifndef MIMUS_MONITOR_MONITOR_H
#define MIMUS_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

struct chardev;
struct cpu;
struct display_source;
struct lock;
struct mem_space;

/* What the monitor may do to the machine. Called with the machine lock held. */
struct monitor_machine {
    struct lock *lock;
    struct cpu *const *cpu;                   /* num_cpus of them */
    unsigned num_cpus;
    struct mem_space *memory, *ports;
    const struct display_source *display;     /* NULL: no display */
    void (*quit)(void *opaque);
    void (*stop)(void *opaque);               /* returns when all processors stand still */
    void (*cont)(void *opaque);
    void (*reset)(void *opaque);
    void (*power_button)(void *opaque);
    void (*key)(void *opaque, uint8_t code, bool down); /* set 1 code, bit 7: E0 prefix */
    bool (*running)(void *opaque);
    int (*thread_id)(void *opaque, unsigned cpu);       /* the kernel's number of the thread that runs a processor */
    void (*access_as)(void *opaque, unsigned cpu);      /* accesses that follow are those of this processor */
    void *opaque;
};

struct monitor;

/* A monitor that talks through `chr` (borrowed) and copies *m. `shared`: `chr` is a port of a multiplexer, so
 * the monitor says nothing before it has the keyboard. */
struct monitor *monitor_new(struct chardev *chr, bool shared, const struct monitor_machine *m);
void monitor_free(struct monitor *mon);

#endif
