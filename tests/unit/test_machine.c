/* Life of a machine: run, exit, reset, power-off, failure to build; two of them in one process. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "cpu/cpu.h"
#include "machine_fixture.h"
#include "memory/memory.h"

static struct test_machine a, b;

static char *engine(int i)
{
    return (char *)(i ? "interp" : "jit");
}

START_TEST(test_exit_status)
{
    static const uint8_t code[] = { MF_EXIT(0x21) };

    MF_NEW(&a, code, "-accel", engine(_i));
    ck_assert_int_eq(mf_run(&a), 0x43);
    mf_free(&a);
}
END_TEST

START_TEST(test_free_without_run)
{
    static const uint8_t code[] = { MF_EXIT(1) };

    MF_NEW(&a, code);
    ck_assert_ptr_nonnull(a.m);
    ck_assert(!machine_running(a.m));
    mf_free(&a);
}
END_TEST

/* DS = 0; [0x1000] = id; 2,000,000 times: add [0x1001],[0x1000]; then leave with the sum of both. Each
 * machine keeps its own memory while both run. */
#define COUNTING(id) \
    0x31, 0xc0, 0x8e, 0xd8, 0xc6, 0x06, 0x00, 0x10, (id), 0x66, 0xb9, 0x80, 0x84, 0x1e, 0x00, \
    0xa0, 0x00, 0x10, 0x00, 0x06, 0x01, 0x10, 0x66, 0x49, 0x75, 0xf5, 0xa0, 0x01, 0x10, 0x00, 0x06, 0x00, \
    0x10, 0xa0, 0x00, 0x10, MF_EXIT_AL

START_TEST(test_two_machines)
{
    static const uint8_t code_a[] = { COUNTING(3) }, code_b[] = { COUNTING(5) };
    pthread_t ta, tb;

    MF_NEW(&a, code_a, "-accel", "jit");
    MF_NEW(&b, code_b, "-accel", engine(_i));
    pthread_create(&ta, NULL, mf_thread, &a);
    pthread_create(&tb, NULL, mf_thread, &b);
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    /* [1001] = id * 2,000,000 mod 256 = id * 0x80 mod 256; AL = that + id; a process has eight bits of
     * status */
    ck_assert_int_eq(a.status, (uint8_t)((0x80 + 3) * 2 + 1));
    ck_assert_int_eq(b.status, (uint8_t)((0x80 + 5) * 2 + 1));
    mf_free(&a);
    mf_free(&b);
}
END_TEST

/* RAM survives a reset: the firmware counts in [0x1000] and tries each way in turn: keyboard controller,
 * port 92, reset control register, triple fault; then it leaves with the count. */
static const uint8_t resets[] = {
    /* inc byte [0x1000]; mov al,[0x1000] */
    0x31, 0xc0, 0x8e, 0xd8, 0xfe, 0x06, 0x00, 0x10, 0xa0, 0x00, 0x10,
    0x3c, 0x01, 0x75, 0x06, 0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe,         /* 1: out 0x64,0xfe */
    0x3c, 0x02, 0x75, 0x06, 0xb0, 0x01, 0xe6, 0x92, 0xeb, 0xfe,         /* 2: out 0x92,1 */
    0x3c, 0x03, 0x75, 0x08, 0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, 0xeb, 0xfe, /* 3: out 0xcf9,6 */
    /* 4: lidt [0x2000] (zeroes); int3 */
    0x3c, 0x04, 0x75, 0x08, 0x0f, 0x01, 0x1e, 0x00, 0x20, 0xcc, 0xeb, 0xfe,
    MF_EXIT_AL,
};

START_TEST(test_resets)
{
    MF_NEW(&a, resets, "-accel", engine(_i));
    ck_assert_int_eq(mf_run(&a), 5 * 2 + 1);
    mf_free(&a);
}
END_TEST

/* lidt [0x2000]; int3 */
static const uint8_t triple_fault[] = { 0x31, 0xc0, 0x8e, 0xd8, 0x0f, 0x01, 0x1e, 0x00, 0x20, 0xcc,
    MF_EXIT(9) };

START_TEST(test_no_reboot)
{
    MF_NEW(&a, triple_fault, "-accel", engine(_i), "-no-reboot");
    ck_assert_int_eq(mf_run(&a), 0);
    mf_free(&a);
    MF_NEW(&a, resets, "-accel", engine(_i), "-no-reboot");
    ck_assert_int_eq(mf_run(&a), 0);
    mf_free(&a);
}
END_TEST

/* PCI 0:1.3: PMBASE = 0x600, PMREGMISC.PMIOSE = 1; then PM1a_CNT = SLP_EN with type 0, soft off. */
static const uint8_t poweroff[] = {
    0x66, 0xb8, 0x40, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,   /* out 0xcf8,0x80000b40 */
    0x66, 0xb8, 0x01, 0x06, 0x00, 0x00, 0xba, 0xfc, 0x0c, 0x66, 0xef,   /* out 0xcfc,0x601 */
    0x66, 0xb8, 0x80, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,
    0xb0, 0x01, 0xba, 0xfc, 0x0c, 0xee,
    0xb8, 0x00, 0x20, 0xba, 0x04, 0x06, 0xef,                           /* out 0x604,0x2000 */
    0x31, 0xc9, 0x41, 0x75, 0xfd, 0x41, 0x75, 0xfd, MF_EXIT(9),
};

START_TEST(test_poweroff)
{
    MF_NEW(&a, poweroff, "-accel", engine(_i));
    ck_assert_int_eq(mf_run(&a), 0);
    mf_free(&a);
}
END_TEST

/* Another thread waits until the machine stands, and then quits it. */
static void *quit_when_stopped(void *opaque)
{
    struct machine *m = opaque;

    for (bool running = true; running; usleep(1000)) {
        lock_take(&m->lock);
        running = machine_running(m);
        lock_release(&m->lock);
    }
    lock_take(&m->lock);
    machine_quit(m, 7);
    lock_release(&m->lock);
    return NULL;
}

static void start_watcher(void *opaque)
{
    pthread_t t;

    pthread_create(&t, NULL, quit_when_stopped, opaque);
    pthread_detach(t);
}

START_TEST(test_no_shutdown)
{
    MF_NEW(&a, poweroff, "-accel", engine(_i), "-no-shutdown");
    ck_assert_ptr_nonnull(a.m);
    loop_post(a.m->loop, start_watcher, a.m);
    ck_assert_int_eq(mf_run(&a), 7);
    mf_free(&a);
}
END_TEST

/* ---- stop and continue ---- */

static void stop_and_look(void *opaque)
{
    struct machine *m = opaque;
    uint64_t count;

    machine_stop(m);
    ck_assert(!machine_running(m));
    ck_assert(!clock_running(m->clock));
    count = mem_read(m->env.memory, 0x1000, 4);
    usleep(5000);
    ck_assert_uint_eq(mem_read(m->env.memory, 0x1000, 4), count);
    machine_cont(m);
    machine_cont(m);
    ck_assert(machine_running(m) && clock_running(m->clock));
    machine_stop(m); /* at once, before its thread may have woken */
    machine_cont(m);
    mem_write(m->env.memory, 0x1004, 1, 1);
}

START_TEST(test_stop_and_cont)
{
    /* xor ax,ax; mov ds,ax; L: inc dword [0x1000]; cmp byte [0x1004],0; je L; exit 4 */
    static const uint8_t code[] = { 0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xff, 0x06, 0x00, 0x10, 0x80, 0x3e, 0x04,
        0x10,
                                    0x00, 0x74, 0xf4, MF_EXIT(4) };

    MF_NEW(&a, code, "-accel", engine(_i));
    ck_assert_ptr_nonnull(a.m);
    loop_post(a.m->loop, stop_and_look, a.m);
    ck_assert_int_eq(mf_run(&a), 9);
    mf_free(&a);
}
END_TEST

static void continue_it(void *opaque)
{
    machine_cont(opaque);
}

START_TEST(test_start_stopped)
{
    static const uint8_t code[] = { MF_EXIT(4) };

    MF_NEW(&a, code, "-accel", engine(_i), "-S");
    ck_assert_ptr_nonnull(a.m);
    loop_post(a.m->loop, continue_it, a.m);
    ck_assert_int_eq(mf_run(&a), 9);
    mf_free(&a);
}
END_TEST

/* ---- several processors ---- */

/* Each processor counts in [0x1000 + 4 * its APIC id] until [0x1100] is set. */
static const uint8_t all_count[] = {
    MF_START_CPUS(0), 0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2, /* cpuid 1 */
    0x66, 0xc1, 0xeb, 0x16, 0x83, 0xe3, 0xfc,                                     /* shr ebx,22; and bx,-4 */
    0x66, 0xff, 0x87, 0x00, 0x10, 0x80, 0x3e, 0x00, 0x11, 0x00, 0x74, 0xf4,       /* inc dword [bx+0x1000] */
    MF_EXIT(4),
};
enum { CPUS = 4, STOPS = 50 };
static uint32_t seen[CPUS];
static unsigned stops;

/* Have all processors gone on since `seen`? */
static bool all_moved(struct machine *m)
{
    for (unsigned i = 0; i < CPUS; i++)
        if (mem_read(m->env.memory, 0x1000 + 4 * i, 4) == seen[i])
            return false;
    return true;
}

static void look_at_all(struct machine *m)
{
    for (unsigned i = 0; i < CPUS; i++)
        seen[i] = (uint32_t)mem_read(m->env.memory, 0x1000 + 4 * i, 4);
}

/* Whenever all have gone on: stop, see that they stand, go on. */
static void stop_all_and_look(void *opaque)
{
    struct machine *m = opaque;

    if (all_moved(m)) {
        machine_stop(m);
        look_at_all(m);
        usleep(100);
        for (unsigned i = 0; i < CPUS; i++)
            ck_assert_uint_eq(mem_read(m->env.memory, 0x1000 + 4 * i, 4), seen[i]);
        machine_cont(m);
        if (stops % 2) {
            machine_stop(m); /* at once, before any thread may have woken */
            machine_cont(m);
        }
        if (++stops == STOPS)
            mem_write(m->env.memory, 0x1100, 1, 1);
    }
    if (stops < STOPS)
        loop_post(m->loop, stop_all_and_look, m);
}

START_TEST(test_stop_all)
{
    memset(seen, 0, sizeof(seen));
    stops = 0;
    MF_NEW(&a, all_count, "-accel", engine(_i), "-smp", "4");
    ck_assert_msg(a.m != NULL, "%s", a.err.msg);
    loop_post(a.m->loop, stop_all_and_look, a.m);
    ck_assert_int_eq(mf_run(&a), 9);
    ck_assert_uint_eq(stops, STOPS);
    mf_free(&a);
}
END_TEST

/* The firmware counts its starts in [0x1000] and leaves at the 100th. Before that the bootstrap processor sets [0x1001]
 * and loops; then the other resets the machine, by the reset control register or, at odd counts, by a triple fault. */
static const uint8_t other_resets[] = {
    MF_START_CPUS(0x1b),
    0x31, 0xc0, 0x8e, 0xd8, 0xfe, 0x06, 0x00, 0x10, 0xa0, 0x00, 0x10, 0x3c, 0x64, 0x74, 0x07,
    0xc6, 0x06, 0x01, 0x10, 0x01, 0xeb, 0xfe, 0xba, 0x01, 0x05, 0xee, 0xf4,
    0x31, 0xc0, 0x8e, 0xd8, 0x80, 0x3e, 0x01, 0x10, 0x00, 0x74, 0xf9, 0xc6, 0x06, 0x01, 0x10, 0x00,
    0xf6, 0x06, 0x00, 0x10, 0x01, 0x75, 0x08, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xeb, 0xfe, /* out 0xcf9,6 */
    0x0f, 0x01, 0x1e, 0x00, 0x20, 0xcc,                                                        /* lidt [0x2000]; int3 */
};

START_TEST(test_other_resets)
{
    MF_NEW(&a, other_resets, "-accel", engine(_i), "-smp", "2");
    ck_assert_int_eq(mf_run(&a), 100 * 2 + 1);
    mf_free(&a);
    MF_NEW(&a, other_resets, "-accel", engine(_i), "-smp", "2", "-no-reboot");
    ck_assert_int_eq(mf_run(&a), 0);
    mf_free(&a);
}
END_TEST

/* The last processor of all leaves while the others halt or have never been started. */
START_TEST(test_other_leaves)
{
    /* cli; L: hlt; jmp L; the others: cpuid 1; shr ebx,24; cmp bl,63; jne to the hlt of the exit */
    static const uint8_t code[] = {
        MF_START_CPUS(4), 0xfa, 0xf4, 0xeb, 0xfd, 0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2,
        0x66, 0xc1, 0xeb, 0x18, 0x80, 0xfb, 63, 0x75, 0x06, 0x88, 0xd8, MF_EXIT_AL,
    };

    MF_NEW(&a, code, "-accel", engine(_i), "-smp", "64");
    ck_assert_int_eq(mf_run(&a), 63 * 2 + 1);
    mf_free(&a);
    MF_NEW(&a, code, "-smp", "8");
    ck_assert_msg(a.m != NULL, "%s", a.err.msg);
    mf_free(&a);
}
END_TEST

static pthread_t main_thread;

/* Threads are told from each other by name and number; the main one keeps its name. */
static void look_at_threads(void *opaque)
{
    struct machine *m = opaque;
    char name[16], want[16];

    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_getname_np(m->thread[i].thread, name, sizeof(name)), 0);
        snprintf(want, sizeof(want), "CPU %u", i);
        ck_assert_str_eq(name, want);
        ck_assert_int_gt(m->thread[i].id, 0);
        for (unsigned k = 0; k < i; k++)
            ck_assert_int_ne(m->thread[i].id, m->thread[k].id);
    }
    pthread_getname_np(main_thread, name, sizeof(name));
    ck_assert_int_ne(strncmp(name, "CPU", 3), 0);
    machine_quit(m, 3);
}

START_TEST(test_threads)
{
    static const uint8_t code[] = { 0xfa, 0xf4, 0xeb, 0xfd };

    main_thread = pthread_self();
    MF_NEW(&a, code, "-smp", "3");
    ck_assert_msg(a.m != NULL, "%s", a.err.msg);
    loop_post(a.m->loop, look_at_threads, a.m);
    ck_assert_int_eq(mf_run(&a), 3);
    mf_free(&a);
}
END_TEST

/* ---- what cannot be built ---- */

START_TEST(test_failures)
{
    static const uint8_t code[] = { MF_EXIT(4) };
    static const struct { const char *option, *arg, *says; } bad[] = {
        { "-bios", "/nonexistent/bios", "/nonexistent/bios" },
        { "-bios", "/etc/passwd", "64 KiB" },
        { "-drive", "file=/nonexistent/disk,format=raw", "/nonexistent/disk" },
        { "-d", "in,nonsense", "nonsense" },
        { "-dfilter", "xyz", "xyz" },
        { "-D", "/nonexistent/log", "/nonexistent/log" },
        { "-serial", "chardev:nobody", "nobody" },
        { "-serial", "carrier-pigeon", "carrier-pigeon" },
        { "-chardev", "null", "id" },
        { "-device", "isa-debug-exit,iosize=9", "iosize" },
        { "-device", "isa-debug-exit,colour=red", "colour" },
        { "-kernel", "/nonexistent/kernel", "/nonexistent/kernel" },
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        MF_NEW(&a, code, bad[i].option, bad[i].arg);
        ck_assert_msg(a.m == NULL, "%s %s", bad[i].option, bad[i].arg);
        ck_assert_msg(strstr(a.err.msg, bad[i].says) != NULL, "%s %s: '%s'", bad[i].option, bad[i].arg,
            a.err.msg);
        mf_free(&a);
    }
}
END_TEST

Suite *machine_suite(void)
{
    Suite *s = suite_create("machine");
    TCase *t = tcase_create("machine");

    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, test_exit_status, 0, 2);
    tcase_add_test(t, test_free_without_run);
    tcase_add_loop_test(t, test_two_machines, 0, 2);
    tcase_add_loop_test(t, test_resets, 0, 2);
    tcase_add_loop_test(t, test_no_reboot, 0, 2);
    tcase_add_loop_test(t, test_poweroff, 0, 2);
    tcase_add_loop_test(t, test_no_shutdown, 0, 2);
    tcase_add_loop_test(t, test_stop_and_cont, 0, 2);
    tcase_add_loop_test(t, test_start_stopped, 0, 2);
    tcase_add_loop_test(t, test_stop_all, 0, 2);
    tcase_add_loop_test(t, test_other_resets, 0, 2);
    tcase_add_loop_test(t, test_other_leaves, 0, 2);
    tcase_add_test(t, test_threads);
    tcase_add_test(t, test_failures);
    suite_add_tcase(s, t);
    return s;
}
