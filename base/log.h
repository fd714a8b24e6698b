/* The log of one machine: `-d` items, `-D` file. Thread-safe. */
#ifndef MIMUS_BASE_LOG_H
#define MIMUS_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum log_item {
    LOG_IN = 1 << 0,    /* guest instructions as translated */
    LOG_IR = 1 << 1,    /* IR as emitted */
    LOG_OPT = 1 << 2,   /* IR after the optimiser */
    LOG_OUT = 1 << 3,   /* host code */
    LOG_EXEC = 1 << 4,  /* every block entered */
    LOG_INT = 1 << 5,   /* interrupts and exceptions */
    LOG_MMU = 1 << 6,   /* page faults and writes to translated code */
    LOG_GUEST = 1 << 7, /* guest_errors: what the guest does wrong */
    LOG_CPU = 1 << 8,   /* registers at every block entered (with exec) */
    LOG_STRICT = 1 << 9,  /* what works here by luck and may fail on hardware; from the processor's creation on */
    LOG_UNINIT = 1 << 10, /* reads of RAM that nobody has written; as above */
    LOG_DIGEST = 1 << 11, /* a sum of all blocks entered, to compare runs that count instructions */
};

struct log {
    uint32_t mask;           /* enabled items; read without a lock */
    FILE *file;              /* stderr or the -D file */
    uint64_t filter_lo;      /* -dfilter: only blocks in [lo, hi] are logged */
    uint64_t filter_hi;
};

/* mask 0, stderr, filter wide open. */
void log_init(struct log *log);
/* Parse a comma-separated `-d` list. Returns 0, or -EINVAL with `*bad` the
 * offending word (good until the thread's next call). */
int log_parse(struct log *log, const char *items, const char **bad);
/* Parse `-dfilter` ranges as QEMU writes them: START+LEN, START-LEN or START..END. Returns 0 or -EINVAL. */
int log_parse_filter(struct log *log, const char *range);
/* Send the log to `path`. Returns 0 or -errno. */
int log_open(struct log *log, const char *path);
void log_close(struct log *log);
/* Print the table of item names, for `-d help`. */
void log_help(FILE *out);

static inline bool log_enabled(const struct log *log, uint32_t items)
{
    return __builtin_expect(log->mask & items, 0) != 0;
}

/* Is an item enabled for guest address `pc`? */
static inline bool log_enabled_at(const struct log *log, uint32_t items, uint64_t pc)
{
    return log_enabled(log, items) && pc >= log->filter_lo && pc <= log->filter_hi;
}

void log_printf(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One line about guest misbehaviour, when guest_errors is on. */
#define log_guest(log, ...) \
    do { \
        if (log_enabled((log), LOG_GUEST)) \
            log_printf((log), __VA_ARGS__); \
    } while (0)

#endif
