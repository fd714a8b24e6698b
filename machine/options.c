/* The command line: one table row per option. */
#include "machine/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "config.h"
#include "cpu/cpu.h"
#include "machine/keyval.h"
#include "machine/topology.h"

#define RAM_MAX (UINT64_C(64) << 30)
#define ICOUNT_SHIFT_MAX 10

struct option_row {
    const char *name;
    bool has_arg;
    int (*parse)(struct options *o, const char *name, const char *arg, struct error *err);
    const char *help; /* argument and meaning, or NULL: another spelling of the row above */
};
static const struct option_row rows[];

static int opt_m(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    const char *size;
    int ret = keyval_parse(&kv, name, arg, err);

    if (ret)
        return ret;
    size = keyval_first(&kv);
    if (!size)
        size = keyval_get(&kv, "size");
    if (!size || parse_size(size, 1 << 20, &o->ram_size) || o->ram_size < 1 << 20)
        ret = error_set(err, -EINVAL, "-m %s: not a memory size of at least 1M", arg);
    else if (o->ram_size > RAM_MAX)
        ret = error_set(err, -EINVAL, "-m %s: too much memory, at most %u GiB", arg, (unsigned)(RAM_MAX >> 30));
    else
        ret = keyval_check_used(&kv, name, err);
    o->ram_size &= ~UINT64_C(0xfff);
    keyval_free(&kv);
    return ret;
}

static int opt_cpu(struct options *o, const char *name, const char *arg, struct error *err)
{
    char notes[512];
    int ret;

    (void)name;
    if (!strcmp(arg, "help")) {
        cpu_model_help(stdout);
        return 1;
    }
    ret = cpu_model_check(arg, notes, sizeof(notes), err);
    if (!ret && *notes)
        fprintf(stderr, "mimus: warning: %s\n", notes);
    o->cpu_model = arg;
    return ret;
}

/* host-isa=native|base: may translated code use all that the host has, or the least common part of its kind only? */
static int parse_host_isa(struct options *o, struct keyval *kv, const char *name, struct error *err)
{
    const char *isa = keyval_get(kv, "host-isa");

    if (isa && strcmp(isa, "native") && strcmp(isa, "base"))
        return error_set(err, -EINVAL, "%s: host-isa=%s: expected native or base", name, isa);
    if (isa)
        o->host_isa_base = !strcmp(isa, "base");
    return 0;
}

static int parse_accel(struct options *o, struct keyval *kv, const char *name, struct error *err)
{
    const char *engine = keyval_first(kv);
    bool one = false;
    uint64_t mib = 0, hot = o->hot_after;

    if (!engine)
        engine = keyval_get(kv, "accel");
    if (!engine || (strcmp(engine, "jit") && strcmp(engine, "tcg") && strcmp(engine, "interp")))
        return error_set(err, -EINVAL, "%s %s: no such accelerator; there is jit (also called tcg) and interp", name,
                         engine ? engine : "");
    o->interp = !strcmp(engine, "interp");
    if (keyval_get_bool(kv, name, "opt", &o->optimise, err) || keyval_get_bool(kv, name, "verify", &o->verify, err) ||
        keyval_get_bool(kv, name, "one-insn-per-tb", &one, err) || keyval_get_number(kv, name, "tb-size", &mib, err) ||
        keyval_get_number(kv, name, "hot-after", &hot, err) ||
        parse_host_isa(o, kv, name, err))
        return -EINVAL;
    if (mib > 1024)
        return error_set(err, -EINVAL, "%s: tb-size=%llu: at most 1024 MiB", name, (unsigned long long)mib);
    if (hot > UINT32_MAX / 2)
        return error_set(err, -EINVAL, "%s: hot-after=%llu: too many", name, (unsigned long long)hot);
    o->hot_after = (uint32_t)hot;
    o->one_insn = one;
    o->cache_size = mib << 20;
    const char *thread = keyval_get(kv, "thread");
    if (thread && strcmp(thread, "single") && strcmp(thread, "multi"))
        return error_set(err, -EINVAL, "%s: thread=%s: expected single or multi", name, thread);
    o->single_thread = thread && !strcmp(thread, "single");
    o->multi_thread = thread && !o->single_thread;
    return keyval_check_used(kv, name, err);
}

static int opt_accel(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    int ret = keyval_parse(&kv, name, arg, err);

    if (!ret)
        ret = parse_accel(o, &kv, name, err);
    keyval_free(&kv);
    return ret;
}

/* shift=N[,sleep=on|off][,align=off]. */
static int parse_icount(struct options *o, struct keyval *kv, struct error *err)
{
    static const char name[] = "-icount";
    const char *shift = keyval_first(kv);
    bool align = false;
    uint64_t n = 0;

    if (!shift)
        shift = keyval_get(kv, "shift");
    if (!shift || parse_number(shift, &n) || n > ICOUNT_SHIFT_MAX)
        return error_set(err, -EINVAL, "-icount shift=%s: expected a number from 0 to %d; there is no "
                         "shift=auto", shift ? shift : "", ICOUNT_SHIFT_MAX);
    if (keyval_get(kv, "rr"))
        return error_set(err, -EINVAL, "-icount rr=: recording and replaying are not supported");
    if (keyval_get_bool(kv, name, "sleep", &o->icount_sleep, err) ||
        keyval_get_bool(kv, name, "align", &align, err))
        return -EINVAL;
    if (align)
        return error_set(err, -EINVAL, "-icount align=on: not supported");
    o->icount = true;
    o->icount_shift = (unsigned)n;
    return keyval_check_used(kv, name, err);
}

static int opt_icount(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    int ret = keyval_parse(&kv, name, arg, err);

    if (!ret)
        ret = parse_icount(o, &kv, err);
    keyval_free(&kv);
    return ret;
}

static int opt_machine(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    const char *type, *accel;
    int ret;

    if (!strcmp(arg, "help")) {
        puts("Supported machines are:\npc    PC of 1996 (i440FX + PIIX3) (default)");
        return 1;
    }
    ret = keyval_parse(&kv, name, arg, err);
    if (ret)
        return ret;
    type = keyval_first(&kv);
    if (!type)
        type = keyval_get(&kv, "type");
    if (type && strcmp(type, "pc"))
        ret = error_set(err, -EINVAL, "%s %s: unknown machine; there is pc", name, type);
    accel = keyval_get(&kv, "accel");
    if (!ret && accel)
        ret = opt_accel(o, "-accel", accel, err);
    if (!ret)
        ret = keyval_check_used(&kv, name, err);
    keyval_free(&kv);
    return ret;
}

static int opt_smp(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)name;
    if (!strcmp(arg, "help")) {
        puts("smp-opts options:\n  cores=<num>\n  cpus=<num>\n  maxcpus=<num>\n  sockets=<num>\n  threads=<num>");
        return 1;
    }
    return topology_parse(&o->topology, arg, err);
}

static struct drive_option *add_drive(struct options *o, const char *name, struct error *err)
{
    struct drive_option *d = &o->drive[o->num_drives];

    if (o->num_drives == OPT_MAX_DRIVES) {
        error_set(err, -EINVAL, "%s: too many drives, at most %d", name, OPT_MAX_DRIVES);
        return NULL;
    }
    o->num_drives++;
    *d = (struct drive_option){ .index = -1 };
    return d;
}

/* -hda .. -hdd, -fda, -fdb, -cdrom FILE. */
static int opt_disk(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct drive_option *d = add_drive(o, name, err);

    if (!d)
        return -EINVAL;
    d->file = strdup(arg);
    if (!strcmp(name, "-cdrom")) {
        d->cdrom = true;
        d->index = 2;
    } else {
        d->bus = name[1] == 'f' ? DRIVE_FLOPPY : DRIVE_IDE;
        d->index = name[3] - 'a';
    }
    return 0;
}

/* index=N, or bus=CHANNEL,unit=0|1, where each is 0 unless given; none of them: the next free place. */
static int parse_drive_place(struct drive_option *d, struct keyval *kv, const char *name, struct error *err)
{
    uint64_t index = UINT64_MAX, chan = UINT64_MAX, unit = UINT64_MAX, places = d->bus == DRIVE_IDE ? 4 : 2;

    if (keyval_get_number(kv, name, "index", &index, err) || keyval_get_number(kv, name, "bus", &chan, err) ||
        keyval_get_number(kv, name, "unit", &unit, err))
        return -EINVAL;
    if (unit != UINT64_MAX && unit > 1)
        return error_set(err, -EINVAL, "-drive unit=%llu: there is 0 and 1", (unsigned long long)unit);
    if (chan != UINT64_MAX && chan >= places / 2)
        return error_set(err, -EINVAL, "-drive bus=%llu: there is no such channel", (unsigned long long)chan);
    if (chan != UINT64_MAX || unit != UINT64_MAX)
        index = (chan != UINT64_MAX ? chan * 2 : 0) + (unit != UINT64_MAX ? unit : 0);
    if (index != UINT64_MAX && index >= places)
        return error_set(err, -EINVAL, "-drive: there is no %s drive %llu", d->bus == DRIVE_IDE ? "IDE" : "floppy",
                         (unsigned long long)index);
    d->index = index == UINT64_MAX ? -1 : (int)index;
    return 0;
}

static int parse_drive(struct drive_option *d, struct keyval *kv, struct error *err)
{
    static const char name[] = "-drive";
    const char *bus = keyval_get(kv, "if"), *media = keyval_get(kv, "media"), *file = keyval_get(kv, "file");
    const char *format = keyval_get(kv, "format");

    if (bus && strcmp(bus, "ide") && strcmp(bus, "floppy"))
        return error_set(err, -EINVAL, "-drive if=%s: not supported; there is ide and floppy", bus);
    d->bus = bus && !strcmp(bus, "floppy") ? DRIVE_FLOPPY : DRIVE_IDE;
    if (media && strcmp(media, "cdrom") && strcmp(media, "disk"))
        return error_set(err, -EINVAL, "-drive media=%s: there is disk and cdrom", media);
    d->cdrom = media && !strcmp(media, "cdrom");
    if (format && strcmp(format, "raw"))
        return error_set(err, -EINVAL, "-drive format=%s: not supported; there is raw", format);
    if (parse_drive_place(d, kv, name, err) || keyval_get_bool(kv, name, "snapshot", &d->snapshot, err) ||
        keyval_get_bool(kv, name, "readonly", &d->read_only, err) || keyval_get_bool(kv, name, "read-only", &d->read_only, err))
        return -EINVAL;
    if (!file && !d->cdrom)
        return error_set(err, -EINVAL, "-drive: file= is missing");
    d->file = file && *file ? strdup(file) : NULL;
    return keyval_check_used(kv, name, err);
}

static int opt_drive(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct drive_option *d = add_drive(o, name, err);
    struct keyval kv;
    int ret;

    if (!d)
        return -EINVAL;
    ret = keyval_parse(&kv, name, arg, err);
    if (!ret)
        ret = parse_drive(d, &kv, err);
    keyval_free(&kv);
    return ret;
}

static int copy_boot_order(char *to, const char *order, struct error *err)
{
    if (!order)
        return 0;
    if (strlen(order) > 4 || strspn(order, "acd") != strlen(order))
        return error_set(err, -EINVAL, "-boot %s: the order is made of a (floppy), c (disk) and d (CD); "
                         "there is no network boot", order);
    strcpy(to, order);
    return 0;
}

static int opt_boot(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    const char *order;
    int ret = keyval_parse(&kv, name, arg, err);

    if (ret)
        return ret;
    order = keyval_first(&kv);
    if (!order)
        order = keyval_get(&kv, "order");
    ret = copy_boot_order(o->boot_order, order, err);
    if (!ret)
        ret = copy_boot_order(o->boot_once, keyval_get(&kv, "once"), err);
    if (!ret)
        ret = keyval_get_bool(&kv, name, "menu", &o->boot_menu, err);
    if (!ret)
        ret = keyval_check_used(&kv, name, err);
    keyval_free(&kv);
    return ret;
}

/* 2006-06-17T16:01:21 or 2006-06-17. */
static int parse_date(const char *text, int64_t *out)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!end) {
        tm = (struct tm){ 0 };
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (!end || *end)
        return -EINVAL;
    *out = timegm(&tm);
    return 0;
}

static int opt_rtc(struct options *o, const char *name, const char *arg, struct error *err)
{
    struct keyval kv;
    const char *base, *clock;
    int ret = keyval_parse(&kv, name, arg, err);

    if (ret)
        return ret;
    base = keyval_get(&kv, "base");
    clock = keyval_get(&kv, "clock");
    o->rtc_host = base != NULL;
    if (base && strcmp(base, "utc")) {
        o->rtc_local = !strcmp(base, "localtime");
        o->rtc_fixed = !o->rtc_local;
        if (o->rtc_fixed && parse_date(base, &o->rtc_start))
            ret = error_set(err, -EINVAL, "-rtc base=%s: expected utc, localtime or a date like 2006-06-17T16:01:21", base);
    }
    if (!ret && clock && strcmp(clock, "vm") && strcmp(clock, "host"))
        ret = error_set(err, -EINVAL, "-rtc clock=%s: not supported", clock);
    if (!ret)
        ret = keyval_check_used(&kv, name, err);
    keyval_free(&kv);
    return ret;
}

static int add_to_list(const char **list, unsigned *num, unsigned max, const char *name, const char *arg, struct error *err)
{
    if (*num == max)
        return error_set(err, -EINVAL, "%s: given too often, at most %u times", name, max);
    list[(*num)++] = arg;
    return 0;
}

static int opt_serial(struct options *o, const char *name, const char *arg, struct error *err)
{
    return add_to_list(o->serial, &o->num_serial, 4, name, arg, err);
}

static int opt_chardev(struct options *o, const char *name, const char *arg, struct error *err)
{
    return add_to_list(o->chardev, &o->num_chardev, OPT_MAX_LIST, name, arg, err);
}

static int opt_L(struct options *o, const char *name, const char *arg, struct error *err)
{
    return add_to_list(o->firmware_dirs, &o->num_firmware_dirs, OPT_MAX_LIST, name, arg, err);
}

static int opt_device(struct options *o, const char *name, const char *arg, struct error *err)
{
    static const char *const known[] = { "isa-debug-exit", "isa-debugcon", "pc-testdev", "isa-serial" };
    size_t len = strcspn(arg, ",");
    struct device_option *d = &o->device[o->num_devices];

    if (!strcmp(arg, "help")) {
        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            printf("name \"%s\", bus ISA\n", known[i]);
        return 1;
    }
    if (o->num_devices == OPT_MAX_LIST)
        return error_set(err, -EINVAL, "%s: given too often", name);
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == len && !memcmp(known[i], arg, len)) {
            o->num_devices++;
            d->driver = strndup(arg, len);
            d->args = strdup(arg[len] ? arg + len + 1 : "");
            return 0;
        }
    return error_set(err, -EINVAL, "-device %.*s: no such device; -device help lists what there is", (int)len, arg);
}

static int opt_display(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)name;
    o->display_none = !strcmp(arg, "none");
    if (o->display_none)
        return 0;
    return error_set(err, -EINVAL, "-display %s: not supported; there is none", arg);
}

static int opt_vga(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)name;
    if (strcmp(arg, "std") && strcmp(arg, "none"))
        return error_set(err, -EINVAL, "-vga %s: not supported; there is std and none", arg);
    o->vga = arg;
    return 0;
}

/* -nic, -net: a machine without a network card is all there is. */
static int opt_net(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)o;
    if (!strcmp(arg, "none"))
        return 0;
    return error_set(err, -EINVAL, "%s %s: network cards are not supported yet; use none", name, arg);
}

/* Options that are a word or a switch in struct options. */
static int opt_flag(struct options *o, const char *name, const char *arg, struct error *err)
{
    const struct { const char *name; bool *flag; } flags[] = {
        { "-nographic", &o->nographic }, { "-no-reboot", &o->no_reboot }, { "-no-shutdown", &o->no_shutdown },
        { "-nodefaults", &o->nodefaults }, { "-snapshot", &o->snapshot }, { "-S", &o->start_stopped },
        { "-singlestep", &o->one_insn },
    };
    (void)arg, (void)err;
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcmp(flags[i].name, name))
            *flags[i].flag = true;
    return 0;
}

static int opt_word(struct options *o, const char *name, const char *arg, struct error *err)
{
    const struct { const char *name; const char **word; } words[] = {
        { "-kernel", &o->kernel }, { "-initrd", &o->initrd }, { "-append", &o->append }, { "-bios", &o->bios },
        { "-monitor", &o->monitor }, { "-debugcon", &o->debugcon }, { "-d", &o->log_items }, { "-D", &o->log_file },
        { "-dfilter", &o->log_filter }, { "-name", &o->name },
    };
    (void)err;
    if (!strcmp(name, "-d") && !strcmp(arg, "help")) {
        log_help(stdout);
        return 1;
    }
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i].name, name))
            *words[i].word = arg;
    return 0;
}

static int opt_version(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)o, (void)name, (void)arg, (void)err;
    puts("Mimus PC emulator version " MIMUS_VERSION);
    return 1;
}

static int opt_help(struct options *o, const char *name, const char *arg, struct error *err)
{
    (void)name, (void)arg, (void)err;
    printf("usage: %s [options] [disk_image]\n\n", o->program);
    for (const struct option_row *r = rows; r->name; r++)
        if (r->help)
            printf("%s %s\n", r->name, r->help);
    return 1;
}

static const struct option_row rows[] = {
    { "-help", false, opt_help, "                 this text" },
    { "-h", false, opt_help, NULL },
    { "-version", false, opt_version, "              print the version" },
    { "-M", true, opt_machine, "pc                 machine type; accel=ENGINE" },
    { "-machine", true, opt_machine, NULL },
    { "-m", true, opt_m, "SIZE               memory in MiB, or with suffix K M G (default 128M)" },
    { "-cpu", true, opt_cpu, "MODEL[,+FEATURE][,-FEATURE]  processor model; -cpu help lists both" },
    { "-accel", true, opt_accel, "jit|interp[,opt=on|off][,one-insn-per-tb=on][,verify=on][,tb-size=MiB][,hot-after=N]\n"
      "                      [,host-isa=native|base][,thread=multi|single]\n"
      "                      engine: translator (tcg is another name) or IR interpreter" },
    { "-smp", true, opt_smp, "[cpus=]N[,sockets=S][,cores=C][,threads=T]  processors (default 1) and how they are grouped" },
    { "-icount", true, opt_icount, "shift=N[,sleep=on|off]  time by instructions, 2^N ns each: runs repeat exactly" },
    { "-kernel", true, opt_word, "FILE          boot a Linux bzImage or multiboot ELF directly" },
    { "-initrd", true, opt_word, "FILE          initial RAM disk; multiboot: modules FILE[ ARGS],FILE..." },
    { "-append", true, opt_word, "TEXT          kernel command line" },
    { "-hda", true, opt_disk, "FILE             IDE disk image, primary master; -hdb -hdc -hdd likewise" },
    { "-hdb", true, opt_disk, NULL }, { "-hdc", true, opt_disk, NULL }, { "-hdd", true, opt_disk, NULL },
    { "-fda", true, opt_disk, "FILE             floppy image 160 KB .. 2.88 MB; -fdb likewise" },
    { "-fdb", true, opt_disk, NULL },
    { "-cdrom", true, opt_disk, "FILE           CD image, secondary master" },
    { "-drive", true, opt_drive, "file=FILE[,format=raw][,if=ide|floppy][,index=N][,media=disk|cdrom]\n"
      "                      [,snapshot=on][,readonly=on]" },
    { "-snapshot", false, opt_flag, "             write to temporary overlays, leave the images alone" },
    { "-boot", true, opt_boot, "[order=]acd[,once=acd][,menu=on]  boot order: a floppy, c disk, d CD" },
    { "-bios", true, opt_word, "FILE            firmware image instead of SeaBIOS" },
    { "-L", true, opt_L, "DIR                look for firmware there first" },
    { "-vga", true, opt_vga, "std|none         display adapter" },
    { "-display", true, opt_display, "none         no window" },
    { "-nographic", false, opt_flag, "            no display; console and monitor on this terminal (Ctrl-A h helps)" },
    { "-serial", true, opt_serial, "stdio|null|none|file:PATH|pty|mon:stdio|chardev:ID   COM1, then COM2 ..." },
    { "-monitor", true, opt_word, "stdio|null|none|pty|file:PATH  where the monitor talks" },
    { "-debugcon", true, opt_word, "DEV          debug console port 0xe9" },
    { "-chardev", true, opt_chardev, "stdio|null|file|pty,id=ID[,path=PATH][,mux=on]  a named character device" },
    { "-device", true, opt_device, "DRIVER[,...]    add a device; -device help lists them" },
    { "-nodefaults", false, opt_flag, "           no default serial port, CD drive and floppy drive" },
    { "-nic", true, opt_net, "none" }, { "-net", true, opt_net, NULL },
    { "-rtc", true, opt_rtc, "base=utc|localtime|DATE  what the battery clock shows at start" },
    { "-no-reboot", false, opt_flag, "            leave instead of rebooting" },
    { "-no-shutdown", false, opt_flag, "          stop instead of leaving at power-off" },
    { "-S", false, opt_flag, "                    start stopped; `cont` in the monitor runs" },
    { "-d", true, opt_word, "ITEM,...           log; -d help lists the items" },
    { "-D", true, opt_word, "FILE               where the log goes (default: stderr)" },
    { "-dfilter", true, opt_word, "RANGE         log only these guest addresses (START+LEN, START-LEN, START..END)" },
    { "-singlestep", false, opt_flag, "           blocks of one instruction" },
    { "-name", true, opt_word, "TEXT            name of this machine" },
    { NULL, false, NULL, NULL },
};

static int parse_one(struct options *o, char **argv, int argc, int *i, struct error *err)
{
    const char *given = argv[*i], *name = given;

    if (name[0] == '-' && name[1] == '-')
        name++; /* --help is -help */
    for (const struct option_row *r = rows; r->name; r++) {
        if (strcmp(r->name, name))
            continue;
        if (r->has_arg && ++*i == argc)
            return error_set(err, -EINVAL, "%s: requires an argument", given);
        return r->parse(o, r->name, r->has_arg ? argv[*i] : NULL, err);
    }
    return error_set(err, -EINVAL, "%s: unknown or unsupported option; -help lists what there is", given);
}

/* Who counts instructions runs its processors in turn. One that does not count has its thread in any case. */
static int choose_threads(struct options *o, struct error *err)
{
    if (o->icount && o->multi_thread)
        return error_set(err, -EINVAL, "-icount: needs -accel thread=single");
    o->single_thread = o->icount || (o->single_thread && topology_cpus(&o->topology) > 1);
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct error *err)
{
    *o = (struct options){ .program = argv[0], .ram_size = UINT64_C(128) << 20, .cpu_model = "max",
                           .optimise = true, .hot_after = CPU_HOT_AFTER, .vga = "std", .topology = { 1, 1, 1 },
                           .icount_sleep = true };
    for (int i = 1; i < argc; i++) {
        int ret = argv[i][0] == '-' && argv[i][1] ? parse_one(o, argv, argc, &i, err)
                                                  : opt_disk(o, "-hda", argv[i], err);
        if (ret)
            return ret;
    }
    if ((o->initrd || o->append) && !o->kernel)
        return error_set(err, -EINVAL, "%s: needs -kernel", o->initrd ? "-initrd" : "-append");
    return choose_threads(o, err);
}

void options_free(struct options *o)
{
    for (unsigned i = 0; i < o->num_drives; i++) {
        free(o->drive[i].file);
        free(o->drive[i].format);
    }
    for (unsigned i = 0; i < o->num_devices; i++) {
        free(o->device[i].driver);
        free(o->device[i].args);
    }
}
