/* Runs in a guest: time never goes backwards between processors. Usage: clocks PROCESSORS SECONDS|forever
 *
 * One thread on each processor reads the others' last time, then its own clock: it must not be behind. Both the
 * TSC and CLOCK_MONOTONIC are looked at. Ends with "clocks: N looks, M news, K backwards" and status 0 when K
 * is 0 and every thread has seen news of every other one; SIGTERM ends a run that lasts forever. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { CPUS = 64, CLOCKS = 2 };

struct slot {
    _Alignas(64) _Atomic uint64_t time[CLOCKS];
};

struct thread {
    pthread_t id;
    int processor;
    uint64_t looks, backwards;
    uint64_t seen[CPUS][CLOCKS], news[CPUS];
};

static struct slot slots[CPUS];
static struct thread threads[CPUS];
static int processors;
static atomic_bool stop;

static uint64_t read_clock(int clock)
{
    struct timespec ts;

    if (clock == 0) {
        _mm_lfence();
        return __rdtsc();
    }
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void look(struct thread *t, int other, int clock)
{
    uint64_t theirs = atomic_load(&slots[other].time[clock]);
    uint64_t mine = read_clock(clock);

    t->looks++;
    if (mine < theirs && t->backwards++ < 5)
        printf("clocks: %s of processor %d is %llu behind that of %d\n", clock ? "CLOCK_MONOTONIC" : "TSC",
               t->processor, (unsigned long long)(theirs - mine), other);
    if (t->seen[other][clock] != theirs)
        t->news[other]++;
    t->seen[other][clock] = theirs;
    atomic_store(&slots[t->processor].time[clock], mine);
}

static void *watch(void *arg)
{
    struct thread *t = arg;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(t->processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        printf("clocks: there is no processor %d\n", t->processor);
        t->backwards++;
        return NULL;
    }
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        for (int other = 0; other < processors; other++)
            for (int clock = 0; clock < CLOCKS; clock++)
                look(t, other, clock);
    return NULL;
}

static void on_end(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

static int report(void)
{
    uint64_t looks = 0, news = 0, backwards = 0;
    int alone = 0;

    for (int i = 0; i < processors; i++) {
        looks += threads[i].looks;
        backwards += threads[i].backwards;
        for (int other = 0; other < processors; other++) {
            news += threads[i].news[other];
            alone += threads[i].news[other] == 0;
        }
    }
    if (alone)
        printf("clocks: %d times a processor saw nothing of another one\n", alone);
    printf("clocks: %llu looks, %llu news, %llu backwards\n", (unsigned long long)looks, (unsigned long long)news,
           (unsigned long long)backwards);
    return backwards || alone ? 1 : 0;
}

int main(int argc, char **argv)
{
    processors = argc == 3 ? atoi(argv[1]) : 0;
    if (processors < 1 || processors > CPUS) {
        fprintf(stderr, "usage: clocks PROCESSORS SECONDS|forever\n");
        return 2;
    }
    signal(SIGTERM, on_end);
    signal(SIGALRM, on_end);
    if (strcmp(argv[2], "forever"))
        alarm((unsigned)atoi(argv[2]));
    for (int i = 0; i < processors; i++) {
        threads[i].processor = i;
        if (pthread_create(&threads[i].id, NULL, watch, &threads[i]))
            return 2;
    }
    for (int i = 0; i < processors; i++)
        pthread_join(threads[i].id, NULL);
    return report();
}
