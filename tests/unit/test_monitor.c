/* The human monitor over a character device kept in memory, on the fixture's processor. */
#include "monitor/monitor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_fixture.h"
#include "ui/chardev_backends.h"

#define PROMPT "(mimus) "

static struct chardev *chr;
static struct monitor *mon;
static struct { unsigned quit, stop, cont, reset, power_button; bool running; char keys[64]; } did;

static void on_quit(void *opaque) { (void)opaque, did.quit++; }
static void on_stop(void *opaque) { (void)opaque, did.stop++, did.running = false; }
static void on_cont(void *opaque) { (void)opaque, did.cont++, did.running = true; }
static void on_reset(void *opaque) { (void)opaque, did.reset++; }
static void on_power_button(void *opaque) { (void)opaque, did.power_button++; }
static bool on_running(void *opaque) { (void)opaque; return did.running; }

static void on_key(void *opaque, uint8_t code, bool down)
{
    size_t at = strlen(did.keys);

    (void)opaque;
    snprintf(did.keys + at, sizeof(did.keys) - at, "%c%02x", down ? '+' : '-', code);
}

static void setup(void)
{
    cf_setup(NULL);
    struct monitor_machine mm = { .cpu = cf.cpu, .memory = cf.space, .ports = cf.ports, .quit = on_quit,
                                  .stop = on_stop, .cont = on_cont, .reset = on_reset,
                                  .power_button = on_power_button, .key = on_key, .running = on_running };

    memset(&did, 0, sizeof(did));
    did.running = true;
    chr = chardev_new_memory();
    mon = monitor_new(chr, false, &mm);
}

static void teardown(void)
{
    monitor_free(mon);
    chardev_free(chr);
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
    tcase_add_test(t, test_line_editing);
    tcase_add_test(t, test_sendkey);
    suite_add_tcase(s, t);
    return s;
}
