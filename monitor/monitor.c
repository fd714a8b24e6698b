/* The human monitor: line editing and the command table. */
#include "monitor/monitor.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/lock.h"
#include "cpu/cpu.h"
#include "memory/memory.h"
#include "monitor/examine.h"
#include "monitor/keys.h"
#include "ui/chardev.h"
#include "ui/display.h"
#include "ui/screendump.h"

#define LINE_MAX_LEN 256
#define KEYS_MAX 8
#define PROMPT "(mimus) "

struct monitor {
    struct chardev *chr;
    struct monitor_machine m;
    unsigned selected;   /* the processor that commands mean */
    char line[LINE_MAX_LEN];
    unsigned len;
    bool greeted, shared;
};

void monitor_puts(struct monitor *mon, const char *text)
{
    for (const char *nl; (nl = strchr(text, '\n')); text = nl + 1) {
        chardev_write(mon->chr, text, (size_t)(nl - text));
        chardev_write(mon->chr, "\r\n", 2);
    }
    chardev_write(mon->chr, text, strlen(text));
}

void monitor_printf(struct monitor *mon, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    monitor_puts(mon, buf);
}

static void print_line(void *opaque, const char *line)
{
    monitor_puts(opaque, line);
    monitor_puts(opaque, "\n");
}

/* ---- commands: each gets the rest of its line ---- */

static void cmd_quit(struct monitor *mon, char *arg)
{
    (void)arg;
    mon->m.quit(mon->m.opaque);
}

static void cmd_stop(struct monitor *mon, char *arg)
{
    (void)arg;
    mon->m.stop(mon->m.opaque);
}

static void cmd_cont(struct monitor *mon, char *arg)
{
    (void)arg;
    mon->m.cont(mon->m.opaque);
}

static void cmd_reset(struct monitor *mon, char *arg)
{
    (void)arg;
    mon->m.reset(mon->m.opaque);
}

static void cmd_powerdown(struct monitor *mon, char *arg)
{
    (void)arg;
    mon->m.power_button(mon->m.opaque);
}

/* The picture stays as it is until the main thread, which is this one, asks for the next: the processors need not wait
 * for the file. */
static void screendump(struct monitor *mon, const char *path)
{
    size_t len = strlen(path);
    const char *format = len > 4 && !strcmp(path + len - 4, ".ppm") ? "ppm" : "png";
    const struct display_surface *picture = mon->m.display->render(mon->m.display->opaque);
    struct error err = { "" };
    int ret;

    lock_release(mon->m.lock);
    ret = screendump_write(picture, path, format, &err);
    lock_take(mon->m.lock);
    if (ret)
        monitor_printf(mon, "%s\n", err.msg);
}

static void cmd_screendump(struct monitor *mon, char *arg)
{
    if (!*arg)
        monitor_puts(mon, "screendump: a file name is missing\n");
    else if (!mon->m.display)
        monitor_puts(mon, "screendump: this machine has no display\n");
    else
        screendump(mon, arg);
}

/* ctrl-alt-delete: down from left to right, up from right to left. */
static void cmd_sendkey(struct monitor *mon, char *arg)
{
    uint8_t codes[KEYS_MAX];
    unsigned n = 0;
    size_t len;

    for (const char *p = arg; *p; p += len + (p[len] == '-')) {
        len = strcspn(p, "-");
        if (n == KEYS_MAX) {
            monitor_printf(mon, "sendkey: at most %d keys at once\n", KEYS_MAX);
            return;
        }
        codes[n] = key_code(p, len);
        if (!codes[n++]) {
            monitor_printf(mon, "sendkey %s: '%.*s' is not the name of a key\n", arg, (int)len, p);
            return;
        }
    }
    for (unsigned i = 0; i < n; i++)
        mon->m.key(mon->m.opaque, codes[i], true);
    while (n--)
        mon->m.key(mon->m.opaque, codes[n], false);
}

static struct cpu *selected_cpu(struct monitor *mon)
{
    return mon->m.cpu[mon->selected];
}

static bool parse_cpu_index(struct monitor *mon, const char *arg, unsigned *index)
{
    char *end;
    unsigned long n = strtoul(arg, &end, 0);

    if (!isdigit((unsigned char)*arg) || *end || n >= mon->m.num_cpus) {
        monitor_puts(mon, "invalid CPU index\n");
        return false;
    }
    *index = (unsigned)n;
    return true;
}

static void cmd_cpu(struct monitor *mon, char *arg)
{
    parse_cpu_index(mon, arg, &mon->selected);
}

static void info_cpus(struct monitor *mon, const char *arg)
{
    (void)arg;
    for (unsigned i = 0; i < mon->m.num_cpus; i++)
        monitor_printf(mon, "%c CPU #%u: thread_id=%d\n", i == mon->selected ? '*' : ' ', i,
                       mon->m.thread_id(mon->m.opaque, i));
}

/* Of the selected processor, of the one whose number is given, with -a of all. */
static void info_registers(struct monitor *mon, const char *arg)
{
    unsigned first = mon->selected, last;

    if (*arg && strcmp(arg, "-a") && !parse_cpu_index(mon, arg, &first))
        return;
    last = first;
    if (!strcmp(arg, "-a")) {
        first = 0;
        last = mon->m.num_cpus - 1;
    }
    for (unsigned i = first; i <= last; i++) {
        monitor_printf(mon, "\nCPU#%u\n", i);
        cpu_print_registers(mon->m.cpu[i], print_line, mon);
    }
}

static void info_mem(struct monitor *mon, const char *arg)
{
    (void)arg;
    cpu_print_mem(selected_cpu(mon), print_line, mon);
}

static void info_tlb(struct monitor *mon, const char *arg)
{
    (void)arg;
    cpu_print_tlb(selected_cpu(mon), print_line, mon);
}

static void info_jit(struct monitor *mon, const char *arg)
{
    (void)arg;
    cpu_print_jit(selected_cpu(mon), print_line, mon);
}

static void info_mtree(struct monitor *mon, const char *arg)
{
    (void)arg;
    mem_space_print(mon->m.memory, print_line, mon);
    mem_space_print(mon->m.ports, print_line, mon);
}

static void info_status(struct monitor *mon, const char *arg)
{
    (void)arg;
    monitor_printf(mon, "VM status: %s\n", mon->m.running(mon->m.opaque) ? "running" : "paused");
}

/* `args`: NULL when there are none. `live`: it is shown without stopping the processors. */
static const struct info {
    const char *name, *args;
    bool live;
    void (*show)(struct monitor *mon, const char *arg);
    const char *help;
} infos[] = {
    { "cpus", NULL, true, info_cpus, "processors and their threads; * is the selected one" },
    { "jit", NULL, false, info_jit, "translation statistics" },
    { "mem", NULL, false, info_mem, "linear memory ranges and their rights" },
    { "mtree", NULL, false, info_mtree, "memory and port map" },
    { "registers", "[-a|N]", false, info_registers, "processor registers; -a: of all processors, N: of number N" },
    { "status", NULL, true, info_status, "running or paused" },
    { "tlb", NULL, false, info_tlb, "linear to physical pages" },
};

/* The processors stand still while they are looked at. */
static void show_info(struct monitor *mon, const struct info *info, const char *arg)
{
    bool stop = !info->live && mon->m.running(mon->m.opaque);

    if (*arg && !info->args) {
        monitor_printf(mon, "info %s: extraneous characters at the end of line\n", info->name);
        return;
    }
    if (stop)
        mon->m.stop(mon->m.opaque);
    info->show(mon, arg);
    if (stop)
        mon->m.cont(mon->m.opaque);
}

static void cmd_info(struct monitor *mon, char *arg)
{
    size_t len = strcspn(arg, " \t");

    for (unsigned i = 0; i < ARRAY_LEN(infos); i++)
        if (strlen(infos[i].name) == len && !memcmp(infos[i].name, arg, len)) {
            show_info(mon, &infos[i], arg + len + strspn(arg + len, " \t"));
            return;
        }
    if (*arg)
        monitor_printf(mon, "info %s: unknown; there is:\n", arg);
    for (unsigned i = 0; i < ARRAY_LEN(infos); i++) {
        const char *args = infos[i].args ? infos[i].args : "";
        monitor_printf(mon, "info %s %-*s %s\n", infos[i].name, 16 - (int)strlen(infos[i].name), args, infos[i].help);
    }
}

static void examine(struct monitor *mon, char *arg, bool physical)
{
    bool running = mon->m.running(mon->m.opaque);

    if (running)
        mon->m.stop(mon->m.opaque);
    mon->m.access_as(mon->m.opaque, mon->selected);
    examine_memory(selected_cpu(mon), mon->m.memory, arg, physical, print_line, mon);
    if (running)
        mon->m.cont(mon->m.opaque);
}

static void cmd_x(struct monitor *mon, char *arg)
{
    examine(mon, arg, false);
}

static void cmd_xp(struct monitor *mon, char *arg)
{
    examine(mon, arg, true);
}

static void cmd_help(struct monitor *mon, char *arg);

static const struct command { const char *name, *alias; void (*run)(struct monitor *mon, char *arg); const char *help; } commands[] = {
    { "help", "?", cmd_help, "this text" },
    { "quit", "q", cmd_quit, "end the emulator" },
    { "info", NULL, cmd_info, "SUBJECT  show something; info alone lists the subjects" },
    { "stop", "s", cmd_stop, "stop the processors" },
    { "cont", "c", cmd_cont, "go on" },
    { "cpu", NULL, cmd_cpu, "N  commands that follow mean processor N" },
    { "system_reset", NULL, cmd_reset, "press the reset button" },
    { "system_powerdown", NULL, cmd_powerdown, "press the power button" },
    { "sendkey", NULL, cmd_sendkey, "KEY[-KEY...]  press keys together, as in ctrl-alt-delete" },
    { "x", NULL, cmd_x, "/FMT ADDR  linear memory; FMT: count, format x d u o c i, size b h w g" },
    { "xp", NULL, cmd_xp, "/FMT ADDR  physical memory" },
    { "screendump", NULL, cmd_screendump, "FILE  save the screen as PNG" },
};

static void cmd_help(struct monitor *mon, char *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        monitor_printf(mon, "%-16s %s\n", commands[i].name, commands[i].help);
}

static void run_line(struct monitor *mon, char *line)
{
    char *word, *arg;
    size_t len;

    word = line + strspn(line, " \t");
    len = strcspn(word, " \t/");
    if (!len)
        return;
    arg = word + len;
    if (*arg == ' ' || *arg == '\t')
        *arg++ = '\0';
    arg += strspn(arg, " \t");
    for (size_t n = strlen(arg); n && (arg[n - 1] == ' ' || arg[n - 1] == '\t'); n--)
        arg[n - 1] = '\0';
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *c = &commands[i];
        if ((strlen(c->name) == len && !memcmp(c->name, word, len)) ||
            (c->alias && strlen(c->alias) == len && !memcmp(c->alias, word, len))) {
            c->run(mon, arg);
            return;
        }
    }
    monitor_printf(mon, "unknown command: '%.*s'; help lists them\n", (int)len, word);
}

/* ---- line editing ---- */

static void greet(struct monitor *mon)
{
    if (!mon->greeted)
        monitor_puts(mon, "Mimus monitor - type 'help' for more information\n");
    mon->greeted = true;
    monitor_puts(mon, PROMPT);
}

static void take_char(struct monitor *mon, uint8_t c)
{
    if (c == '\r' || c == '\n') {
        monitor_puts(mon, "\n");
        mon->line[mon->len] = '\0';
        mon->len = 0;
        run_line(mon, mon->line);
        monitor_puts(mon, PROMPT);
    } else if (c == 8 || c == 127) {
        if (mon->len) {
            mon->len--;
            monitor_puts(mon, "\b \b");
        }
    } else if (c == 21) { /* Ctrl-U: forget the line */
        while (mon->len--)
            monitor_puts(mon, "\b \b");
        mon->len = 0;
    } else if (c >= 32 && mon->len < LINE_MAX_LEN - 1) {
        mon->line[mon->len++] = (char)c;
        chardev_write(mon->chr, &c, 1);
    }
}

static int can_receive(void *opaque)
{
    (void)opaque;
    return LINE_MAX_LEN;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        take_char(opaque, buf[i]);
}

static void event(void *opaque, enum chardev_event ev)
{
    struct monitor *mon = opaque;

    if (ev == CHARDEV_FOCUS_IN || (ev == CHARDEV_OPENED && !mon->shared))
        greet(mon);
}

struct monitor *monitor_new(struct chardev *chr, bool shared, const struct monitor_machine *m)
{
    struct monitor *mon = calloc(1, sizeof(*mon));
    struct chardev_handler handler = { can_receive, receive, event, mon };

    if (!mon)
        abort();
    mon->chr = chr;
    mon->m = *m;
    mon->shared = shared;
    chardev_set_handler(chr, &handler);
    return mon;
}

void monitor_free(struct monitor *mon)
{
    free(mon);
}
