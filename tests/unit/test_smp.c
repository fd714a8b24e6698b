/* cpu/smp.c: processors that wait for each other, start-up messages, APIC ids. */
#include <check.h>
#include <pthread.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/exec.h"
#include "cpu/smp.h"
#include "tests/unit/cpu_fixture.h"

enum { NUM = 4, ROUNDS = 2000 };

static struct cpu *cpus[NUM];
static uint32_t done;         /* atomic */
static unsigned inside, turns; /* of the exclusive section */
static uint32_t at_work[NUM];  /* within what stands for a block; atomic */

static void setup(void)
{
    struct error err = { "" };
    struct cpu_options opt = { .model = "max", .interp = true, .optimise = true };

    cf_setup(NULL);
    cpus[0] = cf.cpu;
    for (unsigned i = 1; i < NUM; i++) {
        opt.first = cf.cpu;
        opt.index = i;
        cpus[i] = cpu_new(&opt, &cf.cpu->bus, &err);
        ck_assert_ptr_nonnull(cpus[i]);
    }
    done = inside = turns = 0;
}

static void teardown(void)
{
    for (unsigned i = 1; i < NUM; i++)
        cpu_free(cpus[i]);
    cf_teardown();
}

/* A turn of a run loop: what it does between blocks, and a block. */
static void look(struct cpu *cpu)
{
    if (__atomic_exchange_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST))
        cpu_safe_point(cpu);
    cpu_end_turn(cpu);
    __atomic_store_n(&at_work[cpu->opt.index], 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&at_work[cpu->opt.index], 0, __ATOMIC_SEQ_CST);
}

/* A run loop without blocks. */
static void *loop(void *opaque)
{
    struct cpu *cpu = opaque;

    cpu_come_back(cpu);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < NUM - 1)
        look(cpu);
    cpu_go_outside(cpu);
    return NULL;
}

static void run_all(void *(*others)(void *))
{
    pthread_t thread[NUM];

    for (unsigned i = 0; i < NUM; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, i ? others : loop, cpus[i]), 0);
    for (unsigned i = 0; i < NUM; i++)
        pthread_join(thread[i], NULL);
}

/* ---- exclusive sections ---- */

static void *takes_the_machine(void *opaque)
{
    struct cpu *cpu = opaque;

    cpu_come_back(cpu);
    for (unsigned n = 0; n < ROUNDS; n++) {
        look(cpu);
        cpu_exclusive_begin(cpu, n & 1 ? EXCLUSIVE_INSN : EXCLUSIVE_CACHE);
        for (unsigned i = 0; i < NUM; i++)
            ck_assert_uint_eq(__atomic_load_n(&at_work[i], __ATOMIC_SEQ_CST), 0);
        ck_assert_uint_eq(inside++, 0);
        turns++;
        inside--;
        cpu_exclusive_end(cpu);
    }
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < NUM - 1)
        look(cpu);
    cpu_go_outside(cpu);
    return NULL;
}

START_TEST(one_has_the_machine_at_a_time)
{
    run_all(takes_the_machine);
    ck_assert_uint_eq(turns, (NUM - 1) * ROUNDS);
}
END_TEST

/* ---- sync ---- */

static void *asks_all(void *opaque)
{
    struct cpu *cpu = opaque;

    cpu_come_back(cpu);
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint32_t before = atomic_load(&cpus[0]->sync_done);
        look(cpu);
        if (n % 64 == 0) {
            cpu_lock(cpu);
            cpu_unlock(cpu);
        }
        cpu_sync_others(cpu);
        /* The first one runs all the time: it has answered. */
        ck_assert(atomic_load(&cpus[0]->sync_done) != before || atomic_load(&cpus[0]->where) != CPU_RUNS);
    }
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < NUM - 1)
        look(cpu);
    cpu_go_outside(cpu);
    return NULL;
}

START_TEST(all_answer)
{
    run_all(asks_all);
    for (unsigned i = 0; i < NUM; i++)
        ck_assert(atomic_load(&cpus[i]->where) == CPU_OUTSIDE);
}
END_TEST

/* Who is outside is not waited for, and answers when it comes back, before it can store. */
START_TEST(late_answer_takes_stores_back)
{
    struct cpu *late = cpus[1], *asks = cpus[0];
    uint64_t ram_off = mem_region_ram_off(cf.ram) + 0x5000;
    unsigned room;

    late->cr0 = asks->cr0;
    late->efer = asks->efer;
    for (unsigned s = 0; s < S_ALL; s++)
        late->seg[s] = asks->seg[s];
    cpu_update_mode(late);
    late->fault_jmp = &cf.jmp;
    cpu_come_back(late);
    mmu_store(late, 0x5000, 0x90, 1, 0);
    ck_assert_ptr_nonnull(mmu_host(late, 0x5000, ACC_WRITE, &room));
    cpu_go_outside(late);
    cpu_come_back(asks);
    mmu_watch_code(asks, ram_off);
    ck_assert_uint_eq(tcg_watch(asks->tcg, ram_off), 0); /* watched, without waiting */
    cpu_come_back(late);
    ck_assert_ptr_null(mmu_host(late, 0x5000, ACC_WRITE, &room));
    cpu_go_outside(late);
    cpu_go_outside(asks);
}
END_TEST

/* ---- halted processors ---- */

/* Halt until the other one raises a pin, then answer. Now and then late: the other one no longer looks, it sleeps. */
static void *answers(void *opaque)
{
    struct cpu *cpu = opaque, *other = cpus[!cpu->opt.index];

    cpu_come_back(cpu);
    for (unsigned n = 0; n < ROUNDS; n++) {
        cpu->halted = HALT_HLT;
        ck_assert_int_eq(cpu_serve_events(cpu), SERVED_STOP);
        cpu_lower(cpu, CPU_PIN_STOP);
        if (n % 16 == cpu->opt.index)
            usleep(200);
        cpu_raise(other, CPU_PIN_STOP);
    }
    cpu_go_outside(cpu);
    return NULL;
}

START_TEST(halted_ones_answer_each_other)
{
    pthread_t thread[2];

    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, answers, cpus[i]), 0);
    cpu_raise(cpus[0], CPU_PIN_STOP);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
}
END_TEST

/* Only while one runs who could end the wait, and the host has a core for both. */
START_TEST(who_may_look)
{
    struct cpu_group *g = cpus[0]->group;

    g->cores = 2;
    g->looking = 1;
    ck_assert(!cpu_may_look(cpus[0]));
    cpu_come_back(cpus[2]);
    ck_assert(cpu_may_look(cpus[0]) && !cpu_may_look(cpus[2]));
    g->looking = 2;
    ck_assert(!cpu_may_look(cpus[0]));
    g->cores = 3;
    ck_assert(cpu_may_look(cpus[0]));
    cpu_come_back(cpus[3]);
    ck_assert(!cpu_may_look(cpus[0]));
    g->looking = g->cores = 1;
    cpu_go_outside(cpus[3]);
    ck_assert(!cpu_may_look(cpus[0]));
    cpu_go_outside(cpus[2]);
}
END_TEST

/* ---- start-up ---- */

static void *run(void *opaque)
{
    cpu_run(opaque);
    return NULL;
}

/* Real mode at vector << 12; the code counts what it sees in memory, then halts. */
START_TEST(start_up_message)
{
    /* lock inc byte cs:[0x100]; mov cs:[0x102], cs; cli; hlt; jmp $-1 */
    static const uint8_t code[] = { 0xf0, 0x2e, 0xfe, 0x06, 0x00, 0x01, 0x2e, 0x8c, 0x0e, 0x02, 0x01, 0xfa, 0xf4, 0xeb, 0xfd };
    pthread_t thread;

    cf_code(0x9000, code, sizeof(code));
    cf_code(0xa000, code, sizeof(code));
    ck_assert_int_eq(cpus[0]->halted, HALT_NONE);
    ck_assert_int_eq(cpus[1]->halted, HALT_SIPI);
    cpu_raise(cpus[1], CPU_PIN_NMI | CPU_PIN_INTR); /* neither wakes it */
    ck_assert_int_eq(pthread_create(&thread, NULL, run, cpus[1]), 0);
    cpu_lower(cpus[1], CPU_PIN_NMI | CPU_PIN_INTR);
    cpu_sipi(cpus[1], 9);
    cpu_sipi(cpus[1], 10); /* only the first counts */
    while (!cf_peek(0x9102, 2))
        ;
    ck_assert_uint_eq(cf_peek(0x9100, 1), 1);
    ck_assert_uint_eq(cf_peek(0x9102, 2), 0x900);
    cpu_sipi(cpus[1], 10); /* it does not wait for one any more */
    cpu_raise(cpus[1], CPU_PIN_INIT);
    while (atomic_load(&cpus[1]->pins) & (CPU_PIN_INIT | CPU_PIN_SIPI))
        ;
    ck_assert_uint_eq(cf_peek(0xa100, 1), 0);
    cpu_sipi(cpus[1], 10);
    while (!cf_peek(0xa102, 2))
        ;
    cpu_raise(cpus[1], CPU_PIN_STOP);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(cf_peek(0xa100, 1), 1);
    ck_assert_uint_eq(cf_peek(0x9100, 1), 1);
    ck_assert_int_eq(cpus[1]->halted, HALT_HLT);
}
END_TEST

/* ---- topology: SDM vol. 3, 9.9.1: each field is as wide as its largest number needs ---- */

static const struct { struct cpu_topology t; unsigned index; uint32_t id; } ids[] = {
    { { 1, 1, 1 }, 0, 0 },  { { 64, 1, 1 }, 63, 63 }, { { 1, 4, 2 }, 7, 7 },    { { 2, 3, 1 }, 3, 4 },
    { { 2, 3, 2 }, 6, 8 },  { { 2, 3, 2 }, 11, 13 },  { { 1, 3, 3 }, 5, 1 * 4 + 2 }, { { 0, 0, 0 }, 0, 0 },
};

START_TEST(apic_ids)
{
    ck_assert_uint_eq(cpu_apic_id(&ids[_i].t, ids[_i].index), ids[_i].id);
}
END_TEST

Suite *smp_suite(void);
Suite *smp_suite(void)
{
    Suite *s = suite_create("smp");
    TCase *tc = tcase_create("smp");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, one_has_the_machine_at_a_time);
    tcase_add_test(tc, all_answer);
    tcase_add_test(tc, late_answer_takes_stores_back);
    tcase_add_test(tc, halted_ones_answer_each_other);
    tcase_add_test(tc, who_may_look);
    tcase_add_test(tc, start_up_message);
    tcase_add_loop_test(tc, apic_ids, 0, (int)(sizeof(ids) / sizeof(ids[0])));
    suite_add_tcase(s, tc);
    return s;
}
