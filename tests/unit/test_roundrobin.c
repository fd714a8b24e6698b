/* Processors in turn by counted instructions: what counts and what does not (cpu_run_slice), and machines
 * with -icount (machine/roundrobin.c): exact time, equal runs. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_fixture.h"
#include "machine_fixture.h"

enum { C = CF_CODE, N = 1000 };

static void setup(bool interp, unsigned processors)
{
    struct cpu_options opt = { .model = "max,+monitor", .interp = interp, .optimise = true, .verify = true,
                               .counted = true, .seeded = true, .topology = { 1, processors, 1 } };

    cf_setup(&opt);
    cf.cpu->rip = C;
}

/* The slice ends with `left` instructions left. */
static void expect_slice(int64_t insns, enum cpu_slice why, int64_t left)
{
    cpu_lower(cf.cpu, CPU_PIN_STOP);
    ck_assert_int_eq(cpu_run_slice(cf.cpu, insns), why);
    ck_assert_int_eq(cpu_slice_left(cf.cpu), left);
}

/* Slices end within blocks: thirty times inc eax, and jump to itself. */
START_TEST(test_exact)
{
    uint8_t code[32];

    setup(_i, 1);
    memset(code, 0x40, 30);
    memcpy(code + 30, (uint8_t[]){ 0xeb, 0xfe }, 2);
    cf_code(C, code, sizeof(code));
    expect_slice(7, CPU_SLICE_USED, 0);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 7);
    ck_assert_uint_eq(cf.cpu->rip, C + 7);
    expect_slice(1, CPU_SLICE_USED, 0);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 8);
    expect_slice(30, CPU_SLICE_USED, 0);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 30);
    ck_assert_uint_eq(cf.cpu->rip, C + 30);
}
END_TEST

/* mov ecx,1000; L: inc eax; nop; dec ecx; jnz L; hlt: 4002 instructions through chained blocks, in slices
 * of 7. */
START_TEST(test_loop)
{
    int64_t n = 0;

    setup(_i, 1);
    CF_CODE_AT(C, 0xb9, 0xe8, 0x03, 0x00, 0x00, 0x40, 0x90, 0x49, 0x75, 0xfb, 0xf4);
    while (cpu_run_slice(cf.cpu, 7) == CPU_SLICE_USED)
        n += 7;
    n += 7 - cpu_slice_left(cf.cpu);
    ck_assert_int_eq(n, 4002);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 1000);
}
END_TEST

/* inc eax; inc eax; div ecx (by 0); inc eax: the handler's three instructions, the last of which stops,
 * and the two before the fault are complete. */
START_TEST(test_fault)
{
    setup(_i, 1);
    CF_CODE_AT(C, 0x40, 0x40, 0xf7, 0xf1, 0x40, 0x40, CF_STOP);
    expect_slice(N, CPU_SLICE_STOPPED, N - 5);
    ck_assert_int_eq(cf.vector[0], EX_DE);
}
END_TEST

/* The slice ends just before the instruction that faults, and just behind the one before the handler's
 * last. */
START_TEST(test_fault_at_the_end)
{
    setup(_i, 1);
    CF_CODE_AT(C, 0x40, 0x40, 0xf7, 0xf1, 0x40, 0x40, CF_STOP);
    expect_slice(2, CPU_SLICE_USED, 0);
    ck_assert_uint_eq(cf.cpu->rip, C + 2);
    expect_slice(2, CPU_SLICE_USED, 0);
    ck_assert_uint_eq(cf.num_vectors, 1);
    expect_slice(N, CPU_SLICE_STOPPED, N - 1);
}
END_TEST

/* mov byte [C+8],0x55; mov al,0x11: the first is run again on its own, and counts once. */
START_TEST(test_restart)
{
    setup(_i, 1);
    CF_CODE_AT(C, 0xc6, 0x05, 0x08, 0x00, 0x01, 0x00, 0x55, 0xb0, 0x11, 0x90, 0xf4);
    expect_slice(N, CPU_SLICE_WAITS, N - 4);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] & 0xff, 0x55);
}
END_TEST

/* mov edx,STOP; mov ecx,3; nop; rep outsb; hlt: each element stops the processor, and the instruction
 * counts when it is complete. */
START_TEST(test_repetition)
{
    setup(_i, 1);
    CF_CODE_AT(C, 0xba, CF_PORT_STOP, 0, 0, 0, 0xb9, 3, 0, 0, 0, 0x90, 0xf3, 0x6e, 0xf4);
    expect_slice(N, CPU_SLICE_STOPPED, N - 3);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 2);
    expect_slice(N - 3, CPU_SLICE_STOPPED, N - 3);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
    expect_slice(N - 3, CPU_SLICE_STOPPED, N - 4);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0);
    expect_slice(N - 4, CPU_SLICE_WAITS, N - 5);
}
END_TEST

/* nop; hlt; inc eax; hlt */
START_TEST(test_halt)
{
    setup(_i, 1);
    CF_CODE_AT(C, 0x90, 0xf4, 0x40, 0xf4);
    ck_assert(cpu_can_run(cf.cpu));
    expect_slice(N, CPU_SLICE_WAITS, N - 2);
    ck_assert(!cpu_can_run(cf.cpu));
    expect_slice(N, CPU_SLICE_WAITS, N);
    cpu_raise(cf.cpu, CPU_PIN_NMI);
    ck_assert(cpu_can_run(cf.cpu));
    expect_slice(N, CPU_SLICE_STOPPED, N - 3); /* in the handler */
    ck_assert_int_eq(cf.vector[0], EX_NMI);
}
END_TEST

/* MONITOR and MWAIT: the wait ends when the line changes. mov eax,0x5000; xor ecx,ecx; xor edx,edx;
 * monitor; xor eax,eax; mwait; hlt */
START_TEST(test_mwait)
{
    setup(_i, 2);
    CF_CODE_AT(C, 0xb8, 0x00, 0x50, 0, 0, 0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xc8, 0x31, 0xc0, 0x0f, 0x01,
               0xc9, 0xf4);
    expect_slice(N, CPU_SLICE_WAITS, N - 6);
    ck_assert(!cpu_can_run(cf.cpu));
    cf_poke(0x5008, 1, 1);
    ck_assert(cpu_can_run(cf.cpu));
    expect_slice(N, CPU_SLICE_WAITS, N - 1);
    ck_assert_uint_eq(cf.cpu->halted, HALT_HLT);
}
END_TEST

/* pause; inc eax; hlt */
START_TEST(test_pause)
{
    setup(_i & 1, 1 + (_i >> 1));
    CF_CODE_AT(C, 0xf3, 0x90, 0x40, 0xf4);
    if (_i >> 1) {
        expect_slice(N, CPU_SLICE_PAUSED, N - 1);
        ck_assert_uint_eq(cf.cpu->rip, C + 2);
        expect_slice(N, CPU_SLICE_WAITS, N - 2);
    } else {
        expect_slice(N, CPU_SLICE_WAITS, N - 3);
    }
}
END_TEST

/* rdrand eax; rdrand ecx; hlt */
START_TEST(test_random)
{
    uint64_t first;

    setup(_i, 1);
    CF_CODE_AT(C, 0x0f, 0xc7, 0xf0, 0x0f, 0xc7, 0xf1, 0xf4);
    expect_slice(N, CPU_SLICE_WAITS, N - 3);
    first = cf.cpu->gpr[R_AX];
    ck_assert_uint_ne(first, cf.cpu->gpr[R_CX]);
    cf_teardown();
    setup(_i, 1);
    CF_CODE_AT(C, 0x0f, 0xc7, 0xf0, 0x0f, 0xc7, 0xf1, 0xf4);
    expect_slice(N, CPU_SLICE_WAITS, N - 3);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], first);
}
END_TEST

/* ---- machines ---- */

static struct test_machine t;

static char *engine(int i)
{
    return (char *)(i ? "interp" : "jit");
}

static uint32_t result(unsigned n)
{
    return (uint32_t)mem_read(t.m->env.memory, 0x1000 + 4 * n, 4);
}

/* Set up the PIC; counter 0 in mode 0 with 20 ticks; [0x1000] = TSC; count in ECX until the interrupt,
 * whose handler puts the TSC to [0x1004]; counter 0 again with 16384 ticks, [0x1008] = TSC; sti; hlt; the
 * second handler puts the TSC to [0x100c] and leaves. */
static const uint8_t pit[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0xc7, 0x06, 0x20, 0x00, 0x48, 0x00, 0xc7,
    0x06, 0x22, 0x00, 0x00, 0xf0, 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6,
    0x21, 0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xfe, 0xe6, 0x21, 0xb0, 0x30, 0xe6, 0x43, 0xfb, 0xb0, 0x14,
    0xe6, 0x40, 0x30, 0xc0, 0xe6, 0x40, 0x0f, 0x31, 0x66, 0xa3, 0x00, 0x10, 0x66, 0x41, 0x66, 0x41,
    0x66, 0x41, 0x66, 0x41, 0x66, 0x41, 0xeb, 0xf4, 0x0f, 0x31, 0x66, 0xa3, 0x04, 0x10, 0xb0, 0x20,
    0xe6, 0x20, 0xb0, 0x30, 0xe6, 0x43, 0xc7, 0x06, 0x20, 0x00, 0x6c, 0x00, 0xb0, 0x00, 0xe6, 0x40,
    0xb0, 0x40, 0xe6, 0x40, 0x0f, 0x31, 0x66, 0xa3, 0x08, 0x10, 0xfb, 0xf4, 0x0f, 0x31, 0x66, 0xa3,
    0x0c, 0x10, 0xb0, 0x07, 0xba, 0x01, 0x05, 0xee, 0xf4,
};
#define PIT_NS(ticks) ((ticks) * 1000000000.0 / 1193182)

/* Virtual time by instructions: a timer that is armed in the middle of a slice interrupts at the first
 * instruction at which it is due; a machine that waits jumps to the deadline. The first reading of the TSC
 * comes one instruction after the OUT that starts the counter; each instruction takes 16 ns. A counter in
 * mode 0 is done one tick after its last count, and starts with the tick after it was written. */
START_TEST(test_time)
{
    double busy, waited;

    MF_NEW(&t, pit, "-accel", engine(_i & 1), "-icount", _i & 2 ? "shift=4,sleep=off" : "shift=4");
    ck_assert_int_eq(mf_run(&t), 7 * 2 + 1);
    busy = (double)(result(1) - result(0));
    waited = (double)(result(3) - result(2));
    ck_assert_msg(busy > PIT_NS(20) - 32 && busy < PIT_NS(22) + 32, "%f", busy);
    ck_assert_msg(waited > PIT_NS(16384) - 32 && waited < PIT_NS(16386) + 32, "%f", waited);
    mf_free(&t);
}
END_TEST

/* Both processors enable the x2APIC. The first starts the other and counts in [0x1000], with PAUSE and
 * RDRAND, until the other, which spins in between and mixes its TSC into [0x100c], has counted to 500 in
 * [0x1004]. */
static const uint8_t two[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f, 0x32, 0x80, 0xcc, 0x04, 0x0f,
    0x30, 0xf6, 0xc4, 0x01, 0x74, 0x3c, 0x66, 0xb9, 0x30, 0x08, 0x00, 0x00, 0x66, 0x31, 0xd2, 0x66,
    0xb8, 0x00, 0x45, 0x0c, 0x00, 0x0f, 0x30, 0x66, 0xb8, 0xf0, 0x46, 0x0c, 0x00, 0x0f, 0x30, 0x66,
    0xf0, 0xff, 0x06, 0x00, 0x10, 0xf3, 0x90, 0x66, 0x0f, 0xc7, 0xf0, 0x66, 0x31, 0x06, 0x08, 0x10,
    0x66, 0x81, 0x3e, 0x04, 0x10, 0xf4, 0x01, 0x00, 0x00, 0x72, 0xe4, 0xb0, 0x09, 0xba, 0x01, 0x05,
    0xee, 0xf4, 0xb9, 0x07, 0x00, 0xe2, 0xfe, 0x0f, 0x31, 0x66, 0x31, 0x06, 0x0c, 0x10, 0x66, 0xf0,
    0xff, 0x06, 0x04, 0x10, 0xf3, 0x90, 0xeb, 0xea,
};

START_TEST(test_single_thread)
{
    MF_NEW(&t, two, "-smp", "2", "-accel", (char *)(_i ? "interp,thread=single" : "jit,thread=single"));
    ck_assert_int_eq(mf_run(&t), 9 * 2 + 1);
    ck_assert_uint_ge(result(1), 500);
    mf_free(&t);
}
END_TEST

/* The last line of a run's digest and what the guest has left in memory. */
struct outcome {
    char line[128];
    uint32_t result[4];
};

/* Stop the machine and let it go on, again and again, as long as it runs. */
static void *disturb(void *opaque)
{
    struct machine *m = t.m;

    while (!__atomic_load_n((bool *)opaque, __ATOMIC_ACQUIRE)) {
        lock_take(&m->lock);
        if (m->want_run && !m->held) {
            machine_stop(m);
            machine_cont(m);
        }
        lock_release(&m->lock);
        usleep(200);
    }
    return NULL;
}

static void run_disturbed(void)
{
    bool over = false;
    pthread_t thread;

    pthread_create(&thread, NULL, disturb, &over);
    mf_run(&t);
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

static struct outcome run_counted(const uint8_t *code, size_t len, char *accel, char *processors,
                                  bool disturbed)
{
    char path[] = "/tmp/mimus-test-digest-XXXXXX";
    struct outcome o = { .line = "" };
    int fd = mkstemp(path);
    FILE *f;

    ck_assert_int_ge(fd, 0);
    close(fd);
    mf_new(&t, code, len, "-smp", processors, "-accel", accel, "-icount", "shift=2,sleep=off", "-d", "digest",
           "-D", path, (char *)NULL);
    if (disturbed)
        run_disturbed();
    else
        mf_run(&t);
    for (unsigned i = 0; i < 4; i++)
        o.result[i] = result(i);
    mf_free(&t);
    f = fopen(path, "r");
    while (fgets(o.line, sizeof(o.line), f))
        continue;
    fclose(f);
    unlink(path);
    return o;
}

/* mov ecx,3000000; L: inc eax; push eax; pop ebx; dec ecx; jnz L; leave. With SP at 0x7000. */
static const uint8_t busy[] = {
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0x66, 0xb9, 0xc0, 0xc6, 0x2d, 0x00, 0x66,
    0x40, 0x66, 0x50, 0x66, 0x5b, 0x66, 0x49, 0x75, 0xf6, MF_EXIT(3),
};

/* Stops leave no trace. */
START_TEST(test_stops)
{
    char *processors = (char *)(_i ? "2" : "1");
    struct outcome first = run_counted(busy, sizeof(busy), (char *)"jit", processors, false);

    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(run_counted(busy, sizeof(busy), (char *)"jit", processors, true).line, first.line);
}
END_TEST

/* Two runs are the same, on the same engine or the other. */
START_TEST(test_equal_runs)
{
    static const struct guest { const uint8_t *code; size_t len; char *processors; } guests[] = {
        { pit, sizeof(pit), (char *)"1" }, { pit, sizeof(pit), (char *)"2" },
        { two, sizeof(two), (char *)"2" },
    };
    const struct guest *g = &guests[_i];
    struct outcome first = run_counted(g->code, g->len, (char *)"jit", g->processors, false);

    ck_assert_int_eq(strncmp(first.line, "digest: ", 8), 0);
    for (int i = 0; i < 3; i++) {
        struct outcome again = run_counted(g->code, g->len, engine(i & 1), g->processors, i == 2);
        ck_assert_str_eq(again.line, first.line);
        ck_assert_mem_eq(again.result, first.result, sizeof(first.result));
    }
}
END_TEST

/* mov cx,N; L: loop L; leave: a run with one instruction more has another digest. */
START_TEST(test_digest_tells)
{
    static const uint8_t a[] = { 0xb9, 0x10, 0x00, 0xe2, 0xfe, MF_EXIT(1) };
    static const uint8_t b[] = { 0xb9, 0x11, 0x00, 0xe2, 0xfe, MF_EXIT(1) };
    struct outcome one = run_counted(a, sizeof(a), (char *)"jit", (char *)"1", false);
    struct outcome other = run_counted(b, sizeof(b), (char *)"jit", (char *)"1", false);
    unsigned long long na, nb;

    ck_assert_int_eq(sscanf(one.line, "digest: %llu", &na), 1);
    ck_assert_int_eq(sscanf(other.line, "digest: %llu", &nb), 1);
    ck_assert_uint_eq(nb, na + 1);
    ck_assert_str_ne(strchr(one.line, 'x'), strchr(other.line, 'x'));
}
END_TEST

START_TEST(test_digest_needs_icount)
{
    static const uint8_t code[] = { MF_EXIT(1) };

    MF_NEW(&t, code, "-d", "digest");
    ck_assert_ptr_null(t.m);
    ck_assert_ptr_nonnull(strstr(t.err.msg, "-icount"));
    mf_free(&t);
}
END_TEST

Suite *roundrobin_suite(void)
{
    Suite *s = suite_create("roundrobin");
    TCase *slices = tcase_create("slices"), *machines = tcase_create("machines");

    tcase_add_checked_fixture(slices, NULL, cf_teardown);
    tcase_add_loop_test(slices, test_exact, 0, 2);
    tcase_add_loop_test(slices, test_loop, 0, 2);
    tcase_add_loop_test(slices, test_fault, 0, 2);
    tcase_add_loop_test(slices, test_fault_at_the_end, 0, 2);
    tcase_add_loop_test(slices, test_restart, 0, 2);
    tcase_add_loop_test(slices, test_repetition, 0, 2);
    tcase_add_loop_test(slices, test_halt, 0, 2);
    tcase_add_loop_test(slices, test_mwait, 0, 2);
    tcase_add_loop_test(slices, test_pause, 0, 4);
    tcase_add_loop_test(slices, test_random, 0, 2);
    suite_add_tcase(s, slices);
    tcase_set_timeout(machines, 60);
    tcase_add_loop_test(machines, test_time, 0, 4);
    tcase_add_loop_test(machines, test_single_thread, 0, 2);
    tcase_add_loop_test(machines, test_equal_runs, 0, 3);
    tcase_add_loop_test(machines, test_stops, 0, 2);
    tcase_add_test(machines, test_digest_tells);
    tcase_add_test(machines, test_digest_needs_icount);
    suite_add_tcase(s, machines);
    return s;
}
