/* The log of one machine. Each log_printf() is one stdio call, and stdio locks
 * its stream for the length of a call, so that lines of threads do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

struct log_name {
    const char *name;
    uint32_t items;
    const char *help; /* NULL: another spelling of an item above */
};

static const struct log_name log_names[] = {
    { "in", LOG_IN, "guest instructions as they are translated" },
    { "ir", LOG_IR, "intermediate representation as emitted" },
    { "opt", LOG_OPT, "intermediate representation after the optimiser" },
    { "out", LOG_OUT, "generated host code" },
    { "exec", LOG_EXEC, "every block entered" },
    { "cpu", LOG_CPU, "registers at every block entered (with exec)" },
    { "int", LOG_INT, "interrupts and exceptions" },
    { "mmu", LOG_MMU, "page faults and writes to translated code" },
    { "guest_errors", LOG_GUEST, "what the guest does wrong" },
    { "strict", LOG_STRICT, "what may fail on hardware: stale translations, segments, reserved bits, MSRs (slow)" },
    { "uninit", LOG_UNINIT, "reads of RAM that nobody has written since power-on (slow)" },
    { "digest", LOG_DIGEST, "with -icount: a sum of all blocks and registers, to compare runs (slow)" },
    { "in_asm", LOG_IN, NULL },
    { "op", LOG_IR, NULL },
    { "op_opt", LOG_OPT, NULL },
    { "out_asm", LOG_OUT, NULL },
};

void log_init(struct log *log)
{
    *log = (struct log){ .file = stderr, .filter_hi = UINT64_MAX };
}

/* The items that the `len` characters at `word` name, or 0. */
static uint32_t log_lookup(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(log_names); i++)
        if (strlen(log_names[i].name) == len && !memcmp(log_names[i].name, word, len))
            return log_names[i].items;
    return 0;
}

int log_parse(struct log *log, const char *items, const char **bad)
{
    static _Thread_local char word[64]; /* what *bad points at: good until the thread's next call */
    uint32_t mask = 0;
    for (const char *p = items;; p++) {
        size_t len = strcspn(p, ",");
        uint32_t item = log_lookup(p, len);
        if (!item) {
            snprintf(word, sizeof(word), "%.*s", (int)MIN_OF(len, sizeof(word) - 1), p);
            *bad = word;
            return -EINVAL;
        }
        mask |= item;
        p += len;
        if (!*p)
            break;
    }
    log->mask |= mask;
    return 0;
}

/* A number in C notation at *p; moves *p behind it. */
static int log_parse_number(const char **p, uint64_t *v)
{
    char *end;
    if (**p < '0' || **p > '9')
        return -EINVAL;
    errno = 0;
    *v = strtoull(*p, &end, 0);
    *p = end;
    return errno ? -EINVAL : 0;
}

int log_parse_filter(struct log *log, const char *range)
{
    const char *p = range;
    uint64_t a, b;
    if (log_parse_number(&p, &a))
        return -EINVAL;
    char op = *p;
    if (op != '+' && op != '-' && strncmp(p, "..", 2))
        return -EINVAL;
    p += op == '.' ? 2 : 1;
    if (log_parse_number(&p, &b) || *p)
        return -EINVAL;
    uint64_t lo = a, hi = b;
    if (op != '.') {
        if (b == 0 || (op == '+' ? a + (b - 1) < a : a < b - 1))
            return -EINVAL;
        lo = op == '+' ? a : a - (b - 1);
        hi = op == '+' ? a + (b - 1) : a;
    }
    if (lo > hi)
        return -EINVAL;
    log->filter_lo = lo;
    log->filter_hi = hi;
    return 0;
}

int log_open(struct log *log, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -errno;
    log_close(log);
    setvbuf(file, NULL, _IOLBF, 0);
    log->file = file;
    return 0;
}

void log_close(struct log *log)
{
    if (log->file && log->file != stderr)
        fclose(log->file);
    log->file = stderr;
}

void log_help(FILE *out)
{
    fprintf(out, "Log items (comma separated):\n");
    for (size_t i = 0; i < ARRAY_LEN(log_names); i++)
        if (log_names[i].help)
            fprintf(out, "%-14s %s\n", log_names[i].name, log_names[i].help);
}

void log_printf(struct log *log, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(log->file, fmt, ap);
    va_end(ap);
}
