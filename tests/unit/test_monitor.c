/* The human monitor over a character device kept in memory, on the fixture's processor. */
#include "monitor/monitor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu_fixture.h"
#include "ui/chardev_backends.h"
#include "ui/display.h"

#define PROMPT "(mimus) "

static struct chardev *chr;
static struct monitor *mon;
static struct { unsigned quit, stop, cont, reset, power_button, access_as; bool running; char keys[64]; } did;
static struct cpu *cpus[2];

static void on_quit(void *opaque) { (void)opaque, did.quit++; }
static void on_stop(void *opaque) { (void)opaque, did.stop++, did.running = false; }
static void on_cont(void *opaque) { (void)opaque, did.cont++, did.running = true; }
static void on_reset(void *opaque) { (void)opaque, did.reset++; }
static void on_power_button(void *opaque) { (void)opaque, did.power_button++; }
static bool on_running(void *opaque) { (void)opaque; return did.running; }

static int on_thread_id(void *opaque, unsigned cpu) { (void)opaque; return 1000 + (int)cpu; }
static void on_access_as(void *opaque, unsigned cpu) { (void)opaque, did.access_as = cpu; }

static void on_key(void *opaque, uint8_t code, bool down)
{
    size_t at = strlen(did.keys);

    (void)opaque;
    snprintf(did.keys + at, sizeof(did.keys) - at, "%c%02x", down ? '+' : '-', code);
}

static struct cpu *second_cpu(void)
{
    struct cpu_options opt = { .optimise = true, .first = cf.cpu, .index = 1, .topology = { 1, 2, 1 } };
    struct error err = { "" };
    struct cpu *cpu = cpu_new(&opt, &cf.cpu->bus, &err);

    ck_assert_msg(cpu != NULL, "%s", err.msg);
    return cpu;
}

static void setup(void)
{
    cf_setup(NULL);
    struct monitor_machine mm = { .lock = &cf.lock, .cpu = cpus, .num_cpus = 2, .memory = cf.space, .ports = cf.ports, .quit = on_quit,
                                  .stop = on_stop, .cont = on_cont, .reset = on_reset,
                                  .power_button = on_power_button, .key = on_key, .running = on_running,
                                  .thread_id = on_thread_id, .access_as = on_access_as };

    cpus[0] = cf.cpu;
    cpus[1] = second_cpu();
    memset(&did, 0, sizeof(did));
    did.running = true;
    chr = chardev_new_memory();
    mon = monitor_new(chr, false, &mm);
}

static void teardown(void)
{
    monitor_free(mon);
    chardev_free(chr);
    cpu_free(cpus[1]);
    cf_teardown();
}

static const char *output(void)
{
    return chardev_memory_output(chr, NULL);
}

/* What a command says, without its echo and the prompt behind it. */
static const char *command(const char *line)
{
    static char text[1 << 20];
    char *end;

    chardev_memory_clear(chr);
    chardev_memory_feed(chr, line, strlen(line));
    ck_assert_str_eq(strstr(output(), line), output());
    chardev_memory_clear(chr);
    chardev_memory_feed(chr, "\r", 1);
    ck_assert_uint_lt(strlen(output()), sizeof(text));
    ck_assert_int_eq(strncmp(output(), "\r\n", 2), 0);
    strcpy(text, output() + 2);
    end = text + strlen(text) - strlen(PROMPT);
    ck_assert(end >= text);
    ck_assert_str_eq(end, PROMPT);
    *end = '\0';
    return text;
}

START_TEST(test_greeting)
{
    chardev_memory_event(chr, CHARDEV_OPENED);
    ck_assert_ptr_nonnull(strstr(output(), "Mimus"));
    ck_assert_ptr_nonnull(strstr(output(), PROMPT));
}
END_TEST

START_TEST(test_run_state)
{
    ck_assert_str_eq(command("info status"), "VM status: running\r\n");
    ck_assert_uint_eq(did.stop, 0);
    command("stop");
    ck_assert_str_eq(command("info status"), "VM status: paused\r\n");
    command("  c  ");
    ck_assert_uint_eq(did.cont, 1);
    command("system_reset");
    command("system_powerdown");
    ck_assert_uint_eq(did.reset, 1);
    ck_assert_uint_eq(did.power_button, 1);
    command("q");
    ck_assert_uint_eq(did.quit, 1);
    ck_assert_str_eq(command(""), "");
}
END_TEST

START_TEST(test_unknown)
{
    ck_assert_ptr_nonnull(strstr(command("frobnicate now"), "frobnicate"));
    ck_assert_ptr_nonnull(strstr(command("info nothing"), "registers"));
    ck_assert_ptr_nonnull(strstr(command("info"), "mtree"));
    ck_assert_ptr_nonnull(strstr(command("help"), "screendump"));
    ck_assert_ptr_nonnull(strstr(command("screendump"), "file name"));
    ck_assert_ptr_nonnull(strstr(command("screendump /tmp/x.png"), "no display"));
}
END_TEST

/* Subjects stop a running processor while they look, and leave a stopped one alone. */
START_TEST(test_info)
{
    static const struct { const char *subject, *says; } subjects[] = {
        { "info registers", "12345678" }, { "info mtree", "test ports" }, { "info jit", "" },
    };

    cf.cpu->gpr[R_CX] = 0x12345678;
    for (unsigned i = 0; i < ARRAY_LEN(subjects); i++) {
        const char *said = command(subjects[i].subject);
        ck_assert_ptr_nonnull(strstr(said, subjects[i].says));
        ck_assert_str_ne(said, "");
    }
    ck_assert_uint_eq(did.stop, 3);
    ck_assert_uint_eq(did.cont, 3);
    did.running = false;
    command("info registers");
    ck_assert_uint_eq(did.cont, 3);
    cf_page_32();
    cf_poke(CF_PTE(0x300000), 0, 4);
    ck_assert_ptr_nonnull(strstr(command("info mem"), "300000"));
    ck_assert_ptr_nonnull(strstr(command("info tlb"), "2ff000"));
}
END_TEST

START_TEST(test_examine)
{
    cf_poke(0x9000, 0x8877665544332211, 8);
    ck_assert_ptr_nonnull(strstr(command("x 0x9000"), "0x44332211"));
    ck_assert_ptr_nonnull(strstr(command("xp/2xb 0x9000"), " 0x11 0x22\r\n"));
    ck_assert_ptr_nonnull(strstr(command("x/1xg 0x9000"), "0x8877665544332211"));
    ck_assert_ptr_nonnull(strstr(command("x/1dh 0x9006"), "-30601"));
    ck_assert_ptr_nonnull(strstr(command("x/uh 36870"), "34935"));
    cf_poke(0x9000, 0x90, 1);
    ck_assert_ptr_nonnull(strstr(command("x/i 0x9000"), "nop"));
    cf.cpu->rip = 0x9000;
    ck_assert_ptr_nonnull(strstr(command("x/1i $pc"), "nop"));
    ck_assert_uint_eq(did.stop, did.cont);
    static const char *const bad[] = { "x", "x/", "x/8", "x/5000xw 0", "x/q 0", "x/i", "x -1",
        "x 0x9000 junk", "xp" };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(strstr(command(bad[i]), "usage") != NULL, "%s", bad[i]);
}
END_TEST

/* ---- screendump ---- */

static const struct display_surface *render(void *opaque)
{
    static uint32_t pixels[2] = { 0x010203, 0x040506 };
    static const struct display_surface surface = { pixels, 2, 1 };

    (void)opaque;
    ck_assert(!lock_try(&cf.lock));
    return &surface;
}

static char picture[32];

/* The reader of a named pipe, who wants the machine lock before. */
static void *read_picture(void *path)
{
    FILE *f;

    lock_take(&cf.lock);
    lock_release(&cf.lock);
    f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    picture[fread(picture, 1, sizeof(picture) - 1, f)] = '\0';
    fclose(f);
    return NULL;
}

/* Processors do not wait until the file is written. */
START_TEST(test_screendump)
{
    static const struct display_source display = { .render = render };
    struct monitor_machine mm = { .lock = &cf.lock, .display = &display };
    char dir[] = "/tmp/mimus-monitor-XXXXXX", path[64], line[96];
    pthread_t reader;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s.ppm", dir);
    snprintf(line, sizeof(line), "screendump %s", path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    monitor_free(mon);
    mon = monitor_new(chr, false, &mm);
    lock_take(&cf.lock);
    pthread_create(&reader, NULL, read_picture, path);
    ck_assert_str_eq(command(line), "");
    ck_assert(!lock_try(&cf.lock));
    lock_release(&cf.lock);
    pthread_join(reader, NULL);
    ck_assert_mem_eq(picture, "P6\n2 1\n255\n\1\2\3\4\5\6", 17);
    unlink(path);
    rmdir(dir);
}
END_TEST

/* ---- several processors ---- */

static bool names_cpu(const char *said, unsigned n)
{
    char head[16];

    snprintf(head, sizeof(head), "CPU#%u\r\n", n);
    return strstr(said, head) != NULL;
}

START_TEST(test_select_cpu)
{
    static const char *const bad[] = { "cpu 2", "cpu", "cpu -1", "cpu x", "cpu 1 1", "info registers 2", "info registers -b" };

    ck_assert_str_eq(command("info cpus"), "* CPU #0: thread_id=1000\r\n  CPU #1: thread_id=1001\r\n");
    ck_assert_str_eq(command("cpu 1"), "");
    ck_assert_str_eq(command("info cpus"), "  CPU #0: thread_id=1000\r\n* CPU #1: thread_id=1001\r\n");
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!strcmp(command(bad[i]), "invalid CPU index\r\n"), "%s", bad[i]);
    ck_assert_ptr_nonnull(strstr(command("info cpus"), "* CPU #1"));
    ck_assert_ptr_nonnull(strstr(command("info cpus -a"), "extraneous"));
    ck_assert_uint_eq(did.stop, did.cont);
}
END_TEST

START_TEST(test_registers_of_cpus)
{
    const char *said;

    cpus[0]->gpr[R_CX] = 0x11223344;
    cpus[1]->gpr[R_CX] = 0x55667788;
    said = command("info registers");
    ck_assert(names_cpu(said, 0) && !names_cpu(said, 1));
    ck_assert(strstr(said, "11223344") && !strstr(said, "55667788"));
    said = command("info registers 1");
    ck_assert(!names_cpu(said, 0) && names_cpu(said, 1));
    ck_assert(!strstr(said, "11223344") && strstr(said, "55667788"));
    command("cpu 1");
    said = command("info registers");
    ck_assert(names_cpu(said, 1) && strstr(said, "55667788"));
    said = command("info registers  -a");
    ck_assert(names_cpu(said, 0) && names_cpu(said, 1));
    ck_assert(strstr(said, "11223344") && strstr(said, "55667788"));
}
END_TEST

/* Memory is seen through the selected processor's page tables and registers, physical memory as accessed by it. */
START_TEST(test_examine_as_cpu)
{
    cf_page_32();
    cf_poke(CF_PTE(0x300000), 0x9000 | 1, 4);
    cf_poke(0x9000, 0x90, 4);
    cf_poke(0x300000, 0xf4, 4);
    cpus[1]->rip = 0x9000; /* from its base after reset */
    ck_assert_ptr_nonnull(strstr(command("x 0x300000"), "0x00000090"));
    ck_assert_uint_eq(did.access_as, 0);
    command("cpu 1"); /* it does not page */
    ck_assert_ptr_nonnull(strstr(command("x 0x300000"), "0x000000f4"));
    ck_assert_ptr_nonnull(strstr(command("x/i $pc"), "ffff9000:"));
    ck_assert_uint_eq(did.access_as, 1);
}
END_TEST

/* x goes through the page tables and says where it cannot; xp does not. */
START_TEST(test_examine_paged)
{
    cf_page_32();
    cf_poke(0x9ffc, 0xaabbccdd, 4);
    cf_poke(CF_PTE(0x300000), 0x9000 | 1, 4);
    cf_poke(CF_PTE(0x301000), 0, 4);
    ck_assert_ptr_nonnull(strstr(command("x/xw 0x300ffc"), "0xaabbccdd"));
    ck_assert_ptr_nonnull(strstr(command("x/2xw 0x300ffc"), "Cannot access memory at address 0x301000"));
    ck_assert_ptr_nonnull(strstr(command("xp/xw 0x9ffc"), "0xaabbccdd"));
    ck_assert_uint_eq(cf_peek(CF_PTE(0x300000), 4), 0x9000 | 1); /* no accessed bit */
}
END_TEST

START_TEST(test_line_editing)
{
    chardev_memory_feed(chr, "abc\b\b\x7f\b\b", 8);
    ck_assert_str_eq(command("stop"), "");
    ck_assert_uint_eq(did.stop, 1);
    chardev_memory_feed(chr, "quit\x15", 5);
    ck_assert_str_eq(command("stop"), "");
    ck_assert_uint_eq(did.stop, 2);
    ck_assert_uint_eq(did.quit, 0);
    for (unsigned i = 0; i < 1000; i++)
        chardev_memory_feed(chr, "y", 1);
    chardev_memory_feed(chr, "\x01\x02\xff\n", 4);
    ck_assert_ptr_nonnull(strstr(output(), "unknown command"));
}
END_TEST

START_TEST(test_sendkey)
{
    ck_assert_str_eq(command("sendkey ctrl-alt-delete"), "");
    ck_assert_str_eq(did.keys, "+1d+38+d3-d3-38-1d"); /* set 1: 1D, 38, E0 53 */
    did.keys[0] = '\0';
    ck_assert_ptr_nonnull(strstr(command("sendkey ctrl-nokey"), "nokey"));
    ck_assert_str_eq(did.keys, "");
}
END_TEST

Suite *monitor_suite(void)
{
    Suite *s = suite_create("monitor");
    TCase *t = tcase_create("monitor");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_greeting);
    tcase_add_test(t, test_run_state);
    tcase_add_test(t, test_unknown);
    tcase_add_test(t, test_info);
    tcase_add_test(t, test_examine);
    tcase_add_test(t, test_examine_paged);
    tcase_add_test(t, test_screendump);
    tcase_add_test(t, test_select_cpu);
    tcase_add_test(t, test_registers_of_cpus);
    tcase_add_test(t, test_examine_as_cpu);
    tcase_add_test(t, test_line_editing);
    tcase_add_test(t, test_sendkey);
    suite_add_tcase(s, t);
    return s;
}
