/* -smp: how many processors, and how they make up threads, cores and sockets. What is not given is computed: more
 * cores rather than more sockets, and more sockets rather than threads. */
#include "machine/topology.h"

#include <errno.h>

#include "base/bits.h"
#include "base/error.h"
#include "machine/keyval.h"

/* 0: not given. */
struct smp { uint64_t cpus, maxcpus, sockets, dies, cores, threads; };

static int parse_numbers(struct smp *s, struct keyval *kv, const char *text, struct error *err)
{
    const struct { const char *key; uint64_t *value; } rows[] = {
        { "", &s->cpus }, { "cpus", &s->cpus }, { "maxcpus", &s->maxcpus }, { "sockets", &s->sockets },
        { "dies", &s->dies }, { "cores", &s->cores }, { "threads", &s->threads },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const char *v = keyval_get(kv, rows[i].key);
        if (v && (parse_number(v, rows[i].value) || !*rows[i].value))
            return error_set(err, -EINVAL, "-smp %s: '%s' is not a number of 1 or more", text, v);
        if (v && *rows[i].value > CPU_MAX)
            return error_set(err, -EINVAL, "-smp %s: too many, at most %d processors", text, CPU_MAX);
    }
    if (s->dies > 1)
        return error_set(err, -EINVAL, "-smp %s: a socket of this machine has one die", text);
    return keyval_check_used(kv, "-smp", err);
}

/* The missing ones of sockets, cores and threads, so that their product is `cpus` if it can be. */
static void complete(struct smp *s)
{
    uint64_t cpus = s->cpus ? s->cpus : s->maxcpus;

    if (cpus && s->sockets && s->cores && !s->threads)
        s->threads = cpus / (s->sockets * s->cores);
    s->threads = MAX_OF(s->threads, 1u);
    if (!s->cores) {
        s->sockets = MAX_OF(s->sockets, 1u);
        s->cores = cpus / (s->sockets * s->threads);
    } else if (!s->sockets) {
        s->sockets = cpus / (s->cores * s->threads);
    }
    s->sockets = MAX_OF(s->sockets, 1u);
    s->cores = MAX_OF(s->cores, 1u);
    s->cpus = cpus ? cpus : s->sockets * s->cores * s->threads;
}

static int check(const struct smp *s, const char *text, struct error *err)
{
    if (s->cpus > CPU_MAX)
        return error_set(err, -EINVAL, "-smp %s: too many, at most %d processors", text, CPU_MAX);
    if (s->sockets * s->cores * s->threads != s->cpus)
        return error_set(err, -EINVAL, "-smp %s: sockets (%u) * cores (%u) * threads (%u) is not the number of "
                         "processors (%u)", text, (unsigned)s->sockets, (unsigned)s->cores, (unsigned)s->threads,
                         (unsigned)s->cpus);
    if (s->maxcpus && s->maxcpus != s->cpus)
        return error_set(err, -EINVAL, "-smp %s: maxcpus must be the number of processors; none can be added while "
                         "the machine runs", text);
    return 0;
}

int topology_parse(struct cpu_topology *t, const char *text, struct error *err)
{
    struct smp s = { 0 };
    struct keyval kv;
    int ret = keyval_parse(&kv, "-smp", text, err);

    if (ret)
        return ret;
    ret = parse_numbers(&s, &kv, text, err);
    keyval_free(&kv);
    if (ret)
        return ret;
    complete(&s);
    ret = check(&s, text, err);
    if (!ret)
        *t = (struct cpu_topology){ (unsigned)s.sockets, (unsigned)s.cores, (unsigned)s.threads };
    return ret;
}

unsigned topology_cpus(const struct cpu_topology *t)
{
    return t->sockets * t->cores * t->threads;
}
