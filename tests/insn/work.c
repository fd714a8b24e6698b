/* The work: units spread over processes, which run case by case on the host and on every engine. A process
 * that dies, because Mimus crashed, is reported and goes on behind the case. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/insn/insn.h"

const struct guest_options engines[ENGINE_NUM] = {
    { "jit", .interp = false, .optimise = true, .one_insn = false },
    { "interp", .interp = true, .optimise = true, .one_insn = false },
    { "noopt", .interp = false, .optimise = false, .one_insn = false },
    { "oneinsn", .interp = false, .optimise = true, .one_insn = true },
    { "hot", .interp = false, .optimise = true, .one_insn = false, .hot_after = 1 },
    { "lowhost", .interp = false, .optimise = true, .one_insn = false, .without_isa = ~0u },
};

/* Where a process is. */
struct position {
    unsigned unit, k;
    uint64_t index;          /* of the case in progress */
    unsigned engine;
    bool busy;
};

struct worker {
    const struct plan *plan;
    struct results *res;
    struct position *pos;
    struct host *host;
    struct guest *guest[ENGINE_NUM];
};

/* ---- numbering ---- */

unsigned unit_of(unsigned row, enum env env)
{
    return row * ENV_NUM + env;
}

unsigned num_units(void)
{
    return unit_of(cpu_num_opcodes + SEQUENCE_UNITS, 0);
}

static const struct opcode *unit_row(unsigned unit)
{
    unsigned row = unit / ENV_NUM;

    return row < cpu_num_opcodes ? &cpu_opcodes[row] : NULL;
}

static bool is_chosen(const struct plan *plan, const struct opcode *row, enum env env)
{
    return (plan->envs >> env & 1) && plan->rows[row - cpu_opcodes] &&
           !row_excluded(&plan->cpu, row, env_bits(env));
}

static unsigned unit_cases(const struct plan *plan, unsigned unit)
{
    enum env env = unit % ENV_NUM;
    const struct opcode *row = unit_row(unit);

    if (row)
        return is_chosen(plan, row, env) ? plan->count : 0;
    if (!(plan->envs >> env & 1))
        return 0;
    unit = unit / ENV_NUM - cpu_num_opcodes;
    return plan->sequences / SEQUENCE_UNITS + (unit < plan->sequences % SEQUENCE_UNITS);
}

void plan_cases(struct plan *plan)
{
    unsigned rows = 0, envs = (unsigned)__builtin_popcount(plan->envs);

    if (!plan->cases)
        return;
    for (unsigned i = 0; i < unit_of(cpu_num_opcodes, 0); i++)
        rows += is_chosen(plan, &cpu_opcodes[i / ENV_NUM], i % ENV_NUM);
    plan->sequences = (unsigned)(plan->cases / 3 / envs);
    plan->count = rows ? (unsigned)(plan->cases * 2 / 3 / rows) : 0;
}

static bool make_case(struct test_case *c, const struct plan *plan, uint64_t seed, uint64_t index)
{
    unsigned unit = (unsigned)(index % num_units());

    return generate_case(c, &plan->cpu, seed, index, unit_row(unit), unit % ENV_NUM);
}

/* ---- one case ---- */

static void start_engines(struct worker *w)
{
    for (unsigned i = 0; i < ENGINE_NUM; i++) {
        struct guest_options opt = engines[i];

        opt.parallel = w->plan->parallel;
        if (w->plan->engines >> i & 1)
            w->guest[i] = guest_new(&opt);
    }
}

static void print_failure(struct worker *w, const struct host_job *job, unsigned engine)
{
    const struct opcode *row = unit_row((unsigned)(job->c.index % num_units()));
    struct outcome expected = job->result, got;
    struct test_case c = job->c;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    work_minimise(w->host, w->guest[engine], &c, &expected);
    guest_run(w->guest[engine], &c, &got);
    fprintf(out, "FAILED %s on engine %s\n", row ? row->mnemonic : "sequence", engines[engine].name);
    print_case(out, &c);
    compare_outcomes(out, &c, &expected, &got);
    fclose(out);
    fwrite(text, 1, size, stdout);
    fflush(stdout);
    free(text);
}

/* Run on all engines; the first one that differs from the host, or -1. */
static int run_engines(struct worker *w, const struct host_job *job)
{
    bool sequence = !unit_row((unsigned)(job->c.index % num_units()));
    struct outcome got;
    int bad = -1;

    for (unsigned i = 0; i < ENGINE_NUM; i++) {
        if (!w->guest[i] || (engines[i].hot_after && !sequence))
            continue;
        w->pos->engine = i;
        guest_run(w->guest[i], &job->c, &got);
        w->res->runs++;
        if (bad < 0 && compare_outcomes(NULL, &job->c, &job->result, &got))
            bad = (int)i;
    }
    return bad;
}

/* AMD's processors lose the x87 pointers when the host's system switches tasks, so what the host says counts when
 * it says it twice. True when it said something else, which is in *job then. */
static bool host_hesitates(struct worker *w, struct host_job *job)
{
    struct host_job *again = host_jobs(w->host);
    unsigned at;
    bool other;

    again->c = job->c;
    if (!host_run(w->host, 1, &at))
        return false;
    other = compare_outcomes(NULL, &job->c, &job->result, &again->result);
    job->result = again->result;
    return other;
}

static void check_case(struct worker *w, struct host_job *job, struct unit_result *unit)
{
    int bad;

    w->pos->index = job->c.index;
    bad = run_engines(w, job);
    if (bad >= 0 && host_hesitates(w, job))
        bad = run_engines(w, job);
    w->res->cases++;
    unit->cases++;
    if (bad < 0)
        return;
    w->res->failed++;
    if (unit->failed++ < w->plan->max_printed) {
        struct host_job copy = *job;
        print_failure(w, &copy, (unsigned)bad);
    }
}

/* ---- minimising ---- */

static bool still_differs(struct host *host, struct guest *guest, const struct test_case *c,
                          struct outcome *expected)
{
    struct outcome got;
    unsigned at;

    host_jobs(host)[0].c = *c;
    if (!host_run(host, 1, &at))
        return false;
    *expected = host_jobs(host)[0].result;
    guest_run(guest, c, &got);
    return compare_outcomes(NULL, c, expected, &got);
}

static bool try_without(struct host *host, struct guest *guest, struct test_case *c, unsigned n)
{
    struct test_case smaller = *c;
    struct case_insn *ci = &smaller.insn[n];
    struct outcome expected;
    struct insn nop;

    memset(smaller.code + ci->off, 0x90, ci->len);
    insn_decode(&nop, smaller.code + ci->off, INSN_MAX_LEN, env_bits(c->env));
    ci->row = nop.row;
    ci->target = NO_TARGET;
    if (!flags_follow(&smaller) || !still_differs(host, guest, &smaller, &expected))
        return false;
    *c = smaller;
    return true;
}

void work_minimise(struct host *host, struct guest *guest, struct test_case *c, struct outcome *expected)
{
    bool again = c->num_insns > 1;

    while (again) {
        again = false;
        for (unsigned i = c->num_insns; i-- > 0;)
            if (c->code[c->insn[i].off] != 0x90)
                again |= try_without(host, guest, c, i);
    }
    if (c->num_insns > 1)
        still_differs(host, guest, c, expected);
}

/* ---- a unit ---- */

/* Up to HOST_BATCH cases from number k on; returns how many and moves k behind them. */
static unsigned fill_batch(struct worker *w, unsigned unit, unsigned *k, unsigned end)
{
    struct host_job *jobs = host_jobs(w->host);
    unsigned n = 0;

    for (; *k < end && n < HOST_BATCH; ++*k) {
        w->pos->index = (uint64_t)*k * num_units() + unit;
        if (make_case(&jobs[n].c, w->plan, w->plan->seed, w->pos->index))
            n++;
    }
    return n;
}

/* A sequence that overwrites its return address may come back to where it never ends: then Mimus does not come
 * to an end either. */
static bool never_ends(struct worker *w, const struct test_case *c)
{
    struct outcome got = { .out.vector = 0 };

    for (unsigned i = 0; i < ENGINE_NUM; i++) {
        if (!w->guest[i])
            continue;
        guest_run(w->guest[i], c, &got);
        break;
    }
    return got.out.vector == VECTOR_HUNG;
}

static void report_host_death(struct worker *w, unsigned at)
{
    const struct test_case *c = &host_jobs(w->host)[at < HOST_BATCH ? at : 0].c;

    if (at < HOST_BATCH && never_ends(w, c))
        return;
    printf("FAILED: the host's child died or hung\n");
    print_case(stdout, c);
    fflush(stdout);
    w->res->failed++;
}

static void run_unit(struct worker *w, unsigned unit)
{
    unsigned end = unit_cases(w->plan, unit), k = w->pos->k, at, n;
    struct host_job *jobs = host_jobs(w->host), *batch;

    batch = malloc(sizeof(*batch) * HOST_BATCH);
    while (k < end) {
        n = fill_batch(w, unit, &k, end);
        if (n && !host_run(w->host, n, &at)) {
            report_host_death(w, at);
            continue;
        }
        memcpy(batch, jobs, sizeof(*batch) * n); /* minimising reuses the jobs */
        for (unsigned i = 0; i < n; i++) {
            w->pos->k = (unsigned)(batch[i].c.index / num_units());
            check_case(w, &batch[i], &w->res->units[unit]);
        }
        w->pos->k = k;
    }
    free(batch);
}

static bool unit_possible(struct worker *w, unsigned unit)
{
    enum env env = unit % ENV_NUM;

    if (host_has_ldt(w->host) || env < ENV_32_SEGMENTED)
        return true;
    w->res->no_ldt = true;
    return false;
}

static _Noreturn void worker_main(const struct plan *plan, struct results *res, struct position *pos)
{
    struct worker w = { .plan = plan, .res = res, .pos = pos };

    w.host = host_new();
    if (!w.host)
        _exit(2);
    start_engines(&w);
    pos->busy = true;
    if (pos->unit == UINT32_MAX)
        pos->unit = res->next_unit++;
    while (pos->unit < num_units()) {
        if (unit_possible(&w, pos->unit))
            run_unit(&w, pos->unit);
        pos->k = 0;
        pos->unit = res->next_unit++;
    }
    host_free(w.host);
    for (unsigned i = 0; i < ENGINE_NUM; i++)
        if (w.guest[i])
            guest_free(w.guest[i]);
    fflush(stdout);
    _exit(0);
}

/* ---- processes ---- */

static void *shared_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static pid_t start_worker(const struct plan *plan, struct results *res, struct position *pos)
{
    pid_t pid;

    fflush(NULL);
    pos->busy = false;
    pid = fork();
    if (pid == 0)
        worker_main(plan, res, pos);
    return pid;
}

static void report_crash(const struct plan *plan, struct results *res, struct position *pos, int status)
{
    struct test_case *c = malloc(sizeof(*c));
    struct unit_result *unit = &res->units[pos->unit];

    res->failed++;
    if (unit->failed++ < plan->max_printed) {
        printf("FAILED: Mimus crashed (signal %d) on engine %s\n", WTERMSIG(status),
               engines[pos->engine].name);
        if (make_case(c, plan, plan->seed, pos->index))
            print_case(stdout, c);
        fflush(stdout);
    }
    free(c);
    pos->k = (unsigned)(pos->index / num_units()) + 1;
}

struct results *work_run(const struct plan *plan)
{
    struct results *res = shared_memory(sizeof(*res) + num_units() * sizeof(res->units[0]));
    struct position *pos = shared_memory(plan->jobs * sizeof(*pos));
    pid_t *pids = calloc(plan->jobs, sizeof(*pids));
    unsigned running = plan->jobs;
    bool able = true;

    for (unsigned i = 0; i < plan->jobs; i++) {
        pos[i].unit = UINT32_MAX;
        pids[i] = start_worker(plan, res, &pos[i]);
    }
    while (running) {
        int status;
        pid_t pid = wait(&status);
        for (unsigned i = 0; i < plan->jobs; i++) {
            if (pids[i] != pid)
                continue;
            if (WIFSIGNALED(status) && pos[i].busy) {
                report_crash(plan, res, &pos[i], status);
                pids[i] = start_worker(plan, res, &pos[i]);
            } else {
                running--;
                able &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
            }
        }
    }
    free(pids);
    munmap(pos, plan->jobs * sizeof(*pos));
    return able ? res : NULL;
}

bool work_replay(const struct plan *plan, uint64_t seed, uint64_t index)
{
    struct host *host = host_new();
    struct host_job *job;
    unsigned at, bad = 0;

    if (!host)
        return false;
    job = host_jobs(host);
    if (!make_case(&job->c, plan, seed, index)) {
        printf("There is no such case.\n");
        return false;
    }
    print_case(stdout, &job->c);
    if (!host_run(host, 1, &at)) {
        printf("    the host's child died or hung\n");
        return false;
    }
    printf("    host ended with vector %u at %08" PRIx64 "\n", job->result.out.vector, job->result.out.rip);
    fflush(stdout);
    for (unsigned i = 0; i < ENGINE_NUM; i++) {
        if (plan->engines >> i & 1) {
            struct guest *guest = guest_new(&engines[i]);
            struct outcome got;
            guest_run(guest, &job->c, &got);
            printf("  engine %s\n", engines[i].name);
            bad += compare_outcomes(stdout, &job->c, &job->result, &got);
            guest_free(guest);
        }
    }
    host_free(host);
    return bad == 0;
}
