/* The machine lock: one at a time, and a turn for everybody. */
#include "base/lock.h"

#include <check.h>
#include <unistd.h>

#define ROUNDS 20000
#define HAMMERS 4

static struct lock lock;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned count;       /* times that a worker had the lock; under the lock */
static unsigned inside;      /* workers that believe that they have it */
static int go_on;

static void setup(void)
{
    lock_init(&lock);
    count = inside = 0;
    __atomic_store_n(&go_on, 1, __ATOMIC_SEQ_CST);
}

static void teardown(void)
{
    lock_destroy(&lock);
}

static void visit(void)
{
    unsigned others = __atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED);

    if (others)
        ck_abort_msg("%u others have the lock", others);
    count++;
    __atomic_fetch_sub(&inside, 1, __ATOMIC_RELAXED);
}

static void *take_often(void *opaque)
{
    (void)opaque;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 3 || !lock_try(&lock))
            lock_take(&lock);
        visit();
        lock_release(&lock);
    }
    return NULL;
}

START_TEST(test_exclusion)
{
    pthread_t t[HAMMERS];

    for (unsigned i = 0; i < HAMMERS; i++)
        pthread_create(&t[i], NULL, take_often, NULL);
    for (unsigned i = 0; i < HAMMERS; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(count, HAMMERS * ROUNDS);
}
END_TEST

static void *try_once(void *got)
{
    if (lock_try(&lock)) {
        *(bool *)got = true;
        lock_release(&lock);
    }
    return NULL;
}

static bool another_thread_gets_it(void)
{
    bool got = false;
    pthread_t t;

    pthread_create(&t, NULL, try_once, &got);
    pthread_join(t, NULL);
    return got;
}

START_TEST(test_try)
{
    ck_assert(another_thread_gets_it());
    ck_assert(lock_try(&lock));
    ck_assert(!another_thread_gets_it());
    lock_release(&lock);
    ck_assert(another_thread_gets_it());
}
END_TEST

/* ---- the queue ---- */

struct visitor {
    pthread_t thread;
    unsigned before;   /* workers that had the lock before */
};

static void *visit_once(void *opaque)
{
    struct visitor *v = opaque;

    lock_take(&lock);
    v->before = count++;
    lock_release(&lock);
    return NULL;
}

static void *hammer(void *opaque)
{
    (void)opaque;
    while (__atomic_load_n(&go_on, __ATOMIC_SEQ_CST)) {
        lock_take(&lock);
        count++;
        lock_release(&lock);
    }
    return NULL;
}

static void wait_for_queue(unsigned n)
{
    while (__atomic_load_n(&lock.queued, __ATOMIC_SEQ_CST) < n)
        usleep(100);
}

/* Those who have waited long get it in the order in which they came, and nobody who comes later is before them,
 * however often it asks. */
START_TEST(test_queue)
{
    struct visitor v[HAMMERS];
    pthread_t t[HAMMERS];
    bool got;

    lock_take(&lock);
    for (unsigned i = 0; i < HAMMERS; i++) {
        pthread_create(&v[i].thread, NULL, visit_once, &v[i]);
        wait_for_queue(i + 1);
    }
    for (unsigned i = 0; i < HAMMERS; i++)
        pthread_create(&t[i], NULL, hammer, NULL);
    lock_release(&lock);
    got = lock_try(&lock); /* free at this moment or not: it is not for newcomers, unless all have been there */
    ck_assert(!got || count >= HAMMERS);
    if (got)
        lock_release(&lock);
    for (unsigned i = 0; i < HAMMERS; i++) {
        pthread_join(v[i].thread, NULL);
        ck_assert_uint_eq(v[i].before, i);
    }
    __atomic_store_n(&go_on, 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < HAMMERS; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(lock.queued, 0);
    ck_assert(another_thread_gets_it());
}
END_TEST

/* ---- waiting ---- */

static void *wait_for_count(void *opaque)
{
    lock_take(&lock);
    ++*(unsigned *)opaque;
    while (!count)
        lock_wait(&lock, &cond);
    lock_release(&lock);
    return NULL;
}

static unsigned look(const unsigned *n)
{
    unsigned v;

    lock_take(&lock);
    v = *n;
    lock_release(&lock);
    return v;
}

/* Whoever waits does not hold the lock, and no call is missed. */
START_TEST(test_wait)
{
    for (unsigned round = 0; round < 200; round++) {
        unsigned waiting = 0;
        pthread_t t[2];

        for (unsigned i = 0; i < 2; i++)
            pthread_create(&t[i], NULL, wait_for_count, &waiting);
        while (look(&waiting) < 2)
            ;
        lock_take(&lock);
        count = 1;
        lock_wake(&lock, &cond);
        lock_release(&lock);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(t[i], NULL);
        count = 0;
    }
}
END_TEST

Suite *lock_suite(void)
{
    Suite *s = suite_create("lock");
    TCase *t = tcase_create("lock");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_exclusion);
    tcase_add_test(t, test_try);
    tcase_add_test(t, test_queue);
    tcase_add_test(t, test_wait);
    suite_add_tcase(s, t);
    return s;
}
