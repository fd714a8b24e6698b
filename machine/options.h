/* The command line: QEMU's spelling where Mimus has the feature. */
#ifndef MIMUS_MACHINE_OPTIONS_H
#define MIMUS_MACHINE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/cpu.h"

struct error;

#define OPT_MAX_DRIVES 8
#define OPT_MAX_LIST 16

enum drive_bus { DRIVE_IDE, DRIVE_FLOPPY };

struct drive_option {
    char *file;              /* NULL: an empty CD drive */
    char *format;
    enum drive_bus bus;
    int index;               /* IDE: channel * 2 + unit; floppy: 0, 1; -1: the next free one */
    bool cdrom, snapshot, read_only;
};

struct device_option { char *driver; char *args; };

struct options {
    const char *program;
    uint64_t ram_size;                       /* bytes */
    const char *cpu_model;                   /* with its features, as given */
    bool interp, optimise, one_insn, verify;
    uint32_t hot_after;
    bool host_isa_base;                      /* no extensions of the host's instruction set */
    uint64_t cache_size;                     /* bytes, 0: default */
    struct cpu_topology topology;            /* its product is the number of processors */
    bool single_thread;                      /* all processors take turns on one host thread */
    bool multi_thread;                       /* thread=multi was given */
    bool icount;                             /* time is counted in instructions of 2^icount_shift ns; single_thread too */
    unsigned icount_shift;
    bool icount_sleep;                       /* a machine that waits lets the host's time pass */
    const char *kernel, *initrd, *append, *bios;
    const char *firmware_dirs[OPT_MAX_LIST];
    unsigned num_firmware_dirs;
    struct drive_option drive[OPT_MAX_DRIVES];
    unsigned num_drives;
    bool snapshot;
    char boot_order[8];                      /* "" : default */
    char boot_once[8];                       /* until the first reset; "": boot_order */
    bool boot_menu;
    const char *serial[4];
    unsigned num_serial;
    const char *monitor;                     /* NULL: default */
    const char *debugcon;
    const char *chardev[OPT_MAX_LIST];
    unsigned num_chardev;
    struct device_option device[OPT_MAX_LIST];
    unsigned num_devices;
    bool display_none;                       /* -display none was given */
    bool nographic, no_reboot, no_shutdown, nodefaults, start_stopped;
    const char *vga;                         /* "std", "none" */
    bool rtc_host, rtc_local;                /* the host's date was asked for; as local time */
    bool rtc_fixed;                          /* rtc_start is a date given by the user */
    int64_t rtc_start;                       /* seconds since 1970, as the guest's clock shows it */
    const char *log_items, *log_file, *log_filter;
    const char *name;
};

/* Fill `o` from the command line. Returns 0, 1 when the program is done
 * (-help, -version and the like were printed), or -errno with one line in `err`.
 * Strings point into argv or are owned by `o`. */
int options_parse(struct options *o, int argc, char **argv, struct error *err);
void options_free(struct options *o);

#endif
