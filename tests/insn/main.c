/* insn-test: random instructions on the host's processor and on Mimus, compared. */
#include <getopt.h>
#include <inttypes.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/insn/insn.h"

static const char usage[] =
    "usage: insn-test [option...]\n"
    "  --seed N          seed of all random numbers (1)\n"
    "  --count N         cases of each row in each code size (20)\n"
    "  --sequences N     random sequences in each code size (40 times the count)\n"
    "  --cases N         cases in all, instead of these two\n"
    "  --row REGEX       only rows whose opcode and mnemonic, as --list prints them, match; no sequences\n"
    "  --engine LIST     of jit, interp, noopt, oneinsn, hot, lowhost, all (all)\n"
    "  --parallel        the guest's LOCK by the host's atomic operations, as with several processors\n"
    "  --bits LIST       of 16, 32, 64, all (all)\n"
    "  --jobs N          processes (the number of host processors)\n"
    "  --failures N      failures printed for each row and code size (1)\n"
    "  --replay S:I      only this case, with everything printed\n"
    "  --absent          instead: rows on a processor that lacks their feature must get #UD\n"
    "  --coverage        print the cases of each row\n"
    "  --list            print the rows\n";

struct options {
    struct plan plan;
    const char *row, *replay;
    bool coverage, list, absent, sequences_set;
};

static _Noreturn void fail_usage(const char *what, const char *value)
{
    fprintf(stderr, "insn-test: %s '%s'\n%s", what, value, usage);
    exit(2);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 0);

    if (end == text || *end)
        fail_usage("not a number:", text);
    return v;
}

/* A list of words separated by commas, as bits by `word`. */
static uint32_t parse_list(const char *text, uint32_t (*word)(const char *))
{
    char *copy = strdup(text), *save = NULL;
    uint32_t bits = 0;

    for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
        bits |= word(w);
    free(copy);
    return bits;
}

static uint32_t engine_bit(const char *word)
{
    if (!strcmp(word, "all"))
        return (1u << ENGINE_NUM) - 1;
    for (unsigned i = 0; i < ENGINE_NUM; i++)
        if (!strcmp(word, engines[i].name))
            return 1u << i;
    fail_usage("unknown engine", word);
}

static uint32_t env_bit(const char *word)
{
    if (!strcmp(word, "all"))
        return (1u << ENV_NUM) - 1;
    if (!strcmp(word, "64"))
        return 1u << ENV_64;
    if (!strcmp(word, "32"))
        return 1u << ENV_32 | 1u << ENV_32_SEGMENTED;
    if (!strcmp(word, "16"))
        return 1u << ENV_16;
    fail_usage("unknown code size", word);
}

enum { OPT_SEED = 256, OPT_COUNT, OPT_CASES, OPT_SEQUENCES, OPT_ROW, OPT_ENGINE, OPT_PARALLEL, OPT_BITS, OPT_JOBS,
       OPT_FAILURES, OPT_REPLAY, OPT_ABSENT, OPT_COVERAGE, OPT_LIST, OPT_HELP };

static void set_option(struct options *o, int opt, const char *arg)
{
    struct plan *p = &o->plan;

    switch (opt) {
    case OPT_SEED: p->seed = parse_number(arg); break;
    case OPT_COUNT: p->count = (unsigned)parse_number(arg); break;
    case OPT_SEQUENCES: p->sequences = (unsigned)parse_number(arg); o->sequences_set = true; break;
    case OPT_CASES: p->cases = parse_number(arg); break;
    case OPT_ROW: o->row = arg; break;
    case OPT_ENGINE: p->engines = parse_list(arg, engine_bit); break;
    case OPT_PARALLEL: p->parallel = true; break;
    case OPT_BITS: p->envs = parse_list(arg, env_bit); break;
    case OPT_JOBS: p->jobs = (unsigned)parse_number(arg); break;
    case OPT_FAILURES: p->max_printed = (unsigned)parse_number(arg); break;
    case OPT_REPLAY: o->replay = arg; break;
    case OPT_ABSENT: o->absent = true; break;
    case OPT_COVERAGE: o->coverage = true; break;
    case OPT_LIST: o->list = true; break;
    case OPT_HELP: fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
}

static void parse_options(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        { "seed", 1, NULL, OPT_SEED }, { "count", 1, NULL, OPT_COUNT }, { "cases", 1, NULL, OPT_CASES },
        { "sequences", 1, NULL, OPT_SEQUENCES }, { "row", 1, NULL, OPT_ROW },
        { "engine", 1, NULL, OPT_ENGINE }, { "parallel", 0, NULL, OPT_PARALLEL },
        { "bits", 1, NULL, OPT_BITS },
        { "jobs", 1, NULL, OPT_JOBS }, { "failures", 1, NULL, OPT_FAILURES },
        { "replay", 1, NULL, OPT_REPLAY }, { "absent", 0, NULL, OPT_ABSENT },
        { "coverage", 0, NULL, OPT_COVERAGE }, { "list", 0, NULL, OPT_LIST }, { "help", 0, NULL, OPT_HELP },
        { NULL, 0, NULL, 0 },
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "", names, NULL)) != -1)
        set_option(o, opt, optarg);
    if (optind < argc)
        fail_usage("unexpected", argv[optind]);
    if (!o->sequences_set)
        o->plan.sequences = o->row ? 0 : 40 * o->plan.count;
    if (!o->plan.jobs)
        o->plan.jobs = 1;
}

static void row_name(char *buf, size_t size, const struct opcode *row)
{
    static const char *const prefixes[] = { "", " np", " 66", " f3", " f2" };

    snprintf(buf, size, "%02x%s %s", row->opcode, prefixes[row->pfx], row->mnemonic);
}

static void choose_rows(struct options *o)
{
    char name[128];
    regex_t re;

    if (regcomp(&re, o->row ? o->row : "", REG_EXTENDED | REG_NOSUB))
        fail_usage("not a regular expression:", o->row);
    o->plan.rows = calloc(cpu_num_opcodes, sizeof(bool));
    for (unsigned i = 0; i < cpu_num_opcodes; i++) {
        row_name(name, sizeof(name), &cpu_opcodes[i]);
        o->plan.rows[i] = regexec(&re, name, 0, NULL, 0) == 0;
        if (o->list && o->plan.rows[i])
            printf("%s\n", name);
    }
    regfree(&re);
}

static int replay(const struct options *o)
{
    uint64_t seed, index;

    if (sscanf(o->replay, "%" SCNu64 ":%" SCNu64, &seed, &index) != 2)
        fail_usage("not SEED:INDEX:", o->replay);
    return work_replay(&o->plan, seed, index) ? 0 : 1;
}

static int run_absent(const struct options *o)
{
    struct absent_results res = absent_run(&o->plan);

    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", res.cases - res.failed, res.failed);
    return res.failed ? 1 : 0;
}

static int run_all(const struct options *o)
{
    struct timespec start, end;
    struct results *res;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &start);
    res = work_run(&o->plan);
    if (!res) {
        fprintf(stderr, "insn-test: a test process could not do its work\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    if (o->coverage)
        report_coverage(stdout, &o->plan, res);
    if (res->no_ldt)
        printf("skipped: segmented 32-bit and 16-bit code, as this host has no modify_ldt()\n");
    printf("insn: seed %" PRIu64 ", %" PRIu64 " cases, %" PRIu64 " runs, %.1f s, %.0f cases/s, %.0f runs/s\n",
           o->plan.seed, (uint64_t)res->cases, (uint64_t)res->runs, seconds, (double)res->cases / seconds,
           (double)res->runs / seconds);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", (uint64_t)(res->cases - res->failed),
           (uint64_t)res->failed);
    return res->failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options o = { .plan = { .seed = 1, .count = 20, .max_printed = 1,
                                   .engines = (1u << ENGINE_NUM) - 1, .envs = (1u << ENV_NUM) - 1 } };
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int ret;

    o.plan.jobs = cpus > 0 ? (unsigned)cpus : 1;
    signal(SIGPIPE, SIG_IGN);
    parse_options(&o, argc, argv);
    choose_rows(&o);
    host_cpu_read(&o.plan.cpu);
    plan_cases(&o.plan);
    ret = o.list ? 0 : o.replay ? replay(&o) : o.absent ? run_absent(&o) : run_all(&o);
    free(o.plan.rows);
    return ret;
}
