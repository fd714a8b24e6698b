/* ui/chardev*: back pressure, slow and dead outputs, the multiplexer, terminals. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/loop.h"
#include "ui/chardev_backends.h"

struct front {
    struct fixture *f;
    struct chardev *chr;
    int room;        /* bytes it takes */
    char got[4096];
    size_t len;
    char events[16]; /* a letter each: b break, o opened, c closed, i focus in, u focus out */
    size_t quit_at;  /* quit the loop with so many bytes; 0: never */
};

struct fixture {
    struct lock lock;
    struct clock *clock;
    struct loop *loop;
    struct error err;
    struct front front;
};

static int can_receive(void *opaque)
{
    return ((struct front *)opaque)->room;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    struct front *front = opaque;
    ck_assert_int_le(len, front->room);
    memcpy(front->got + front->len, buf, len);
    front->len += len;
    front->room -= (int)len;
    if (front->quit_at && front->len >= front->quit_at)
        loop_quit(front->f->loop, 0);
}

static void event(void *opaque, enum chardev_event event)
{
    struct front *front = opaque;
    static const char letters[] = {
        [CHARDEV_BREAK] = 'b', [CHARDEV_OPENED] = 'o', [CHARDEV_CLOSED] = 'c',
        [CHARDEV_FOCUS_IN] = 'i', [CHARDEV_FOCUS_OUT] = 'u',
    };
    front->events[strlen(front->events)] = letters[event];
    if (event == CHARDEV_CLOSED && front->f)
        loop_quit(front->f->loop, 1);
}

static void attach(struct front *front, struct chardev *chr, int room)
{
    front->chr = chr;
    front->room = room;
    chardev_set_handler(chr, &(struct chardev_handler){ can_receive, receive, event, front });
}

static void take_more(struct front *front, int room)
{
    front->room = room;
    chardev_accept_input(front->chr);
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    lock_init(&f->lock);
    f->clock = clock_new();
    f->loop = loop_new(f->clock, &f->lock);
    f->front.f = f;
    signal(SIGPIPE, SIG_IGN);
}

static void teardown(struct fixture *f)
{
    loop_free(f->loop);
    clock_free(f->clock);
}

static void quit_two(void *opaque)
{
    struct fixture *f = opaque;
    loop_quit(f->loop, 2);
}


/* Run the loop for `ms`; returns the host CPU time used, in ms. */
static long run_for(struct fixture *f, int ms)
{
    struct timer t;
    clock_t before = clock();
    timer_init(&t, f->clock, quit_two, f);
    clock_start(f->clock);
    timer_arm(&t, clock_now(f->clock) + ms * INT64_C(1000000));
    loop_run(f->loop);
    timer_cancel(&t);
    return (long)((clock() - before) * 1000 / CLOCKS_PER_SEC);
}

START_TEST(null_takes_everything)
{
    struct chardev *chr = chardev_new_null();
    struct front front = { 0 };
    attach(&front, chr, 10);
    chardev_write(chr, "abc", 3);
    chardev_accept_input(chr);
    ck_assert_uint_eq(front.len, 0);
    ck_assert_str_eq(front.events, "o");
    chardev_free(chr);
}
END_TEST

START_TEST(memory)
{
    struct chardev *chr = chardev_new_memory();
    struct front front = { 0 };
    size_t len;
    chardev_memory_feed(chr, "ab", 2);
    attach(&front, chr, 3);
    chardev_memory_feed(chr, "cdef", 4);
    ck_assert_str_eq(front.got, "abc");
    take_more(&front, 2);
    ck_assert_str_eq(front.got, "abcde");
    ck_assert_str_eq(chardev_memory_output(chr, NULL), "");
    chardev_write(chr, "hello ", 6);
    chardev_write(chr, "world", 5);
    ck_assert_str_eq(chardev_memory_output(chr, &len), "hello world");
    ck_assert_uint_eq(len, 11);
    chardev_memory_clear(chr);
    chardev_write(chr, "x", 1);
    ck_assert_str_eq(chardev_memory_output(chr, &len), "x");
    chardev_memory_event(chr, CHARDEV_BREAK);
    ck_assert_str_eq(front.events, "ob");
    chardev_set_handler(chr, NULL);
    chardev_memory_feed(chr, "z", 1);
    chardev_free(chr);
}
END_TEST

START_TEST(file)
{
    struct fixture f;
    char path[] = "/tmp/mimus-chardev-XXXXXX", buf[16] = "";
    setup(&f);
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "old contents", 12), 12);
    struct chardev *chr = chardev_new_file(f.loop, path, &f.err);
    ck_assert_ptr_nonnull(chr);
    chardev_write(chr, "new", 3);
    chardev_free(chr);
    ck_assert_int_eq(pread(fd, buf, sizeof(buf), 0), 3);
    ck_assert_str_eq(buf, "new");
    close(fd);
    unlink(path);
    ck_assert_ptr_null(chardev_new_file(f.loop, "/nonexistent/file", &f.err));
    ck_assert_ptr_nonnull(strstr(f.err.msg, "/nonexistent/file: No such"));
    teardown(&f);
}
END_TEST

/* ---- stdio over pipes ---- */

struct pipes {
    int in, out; /* our ends */
    int saved[2];
};

static void redirect(struct pipes *p)
{
    int in[2], out[2];
    ck_assert_int_eq(pipe(in), 0);
    ck_assert_int_eq(pipe(out), 0);
    fflush(stdout);
    p->saved[0] = dup(0);
    p->saved[1] = dup(1);
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[0]);
    close(out[1]);
    p->in = in[1];
    p->out = out[0];
}

static void restore(struct pipes *p)
{
    dup2(p->saved[0], 0);
    dup2(p->saved[1], 1);
    close(p->saved[0]);
    close(p->saved[1]);
    close(p->out);
}

START_TEST(stdio_echo_and_end)
{
    struct fixture f;
    struct pipes p;
    char buf[16] = "";
    setup(&f);
    redirect(&p);
    struct chardev *chr = chardev_new_stdio(f.loop, true, &f.err);
    ck_assert_ptr_nonnull(chr);
    ck_assert_ptr_null(chardev_new_stdio(f.loop, true, &f.err));
    attach(&f.front, chr, 3);
    ck_assert_int_eq(write(p.in, "abcdef", 6), 6);
    long cpu = run_for(&f, 60);
    ck_assert_str_eq(f.front.got, "abc");
    ck_assert_int_lt(cpu, 30);
    f.front.quit_at = 6;
    take_more(&f.front, 100);
    loop_run(f.loop);
    ck_assert_str_eq(f.front.got, "abcdef");
    chardev_write(chr, "out", 3);
    ck_assert_int_eq(read(p.out, buf, sizeof(buf)), 3);
    ck_assert_str_eq(buf, "out");
    f.front.quit_at = 0;
    close(p.in);
    ck_assert_int_eq(loop_run(f.loop), 1);
    ck_assert_str_eq(f.front.events, "oc");
    ck_assert_int_lt(run_for(&f, 60), 30);
    chardev_free(chr);
    ck_assert_int_eq(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
    restore(&p);
    teardown(&f);
}
END_TEST

static void *slow_reader(void *opaque)
{
    static char buf[1 << 20];
    int fd = *(int *)opaque;
    size_t total = 0;
    usleep(20000);
    for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
        for (ssize_t i = 0; i < n; i++, total++)
            if (buf[i] != (char)(total * 31 / 7))
                return NULL;
    return (void *)total;
}

START_TEST(slow_output_does_not_block)
{
    enum { SIZE = 600000 };
    struct fixture f;
    struct pipes p;
    pthread_t thread;
    void *total;
    setup(&f);
    redirect(&p);
    struct chardev *chr = chardev_new_stdio(f.loop, true, &f.err);
    char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 / 7);
    chardev_write(chr, data, SIZE / 2);
    chardev_write(chr, data + SIZE / 2, SIZE / 2);
    pthread_create(&thread, NULL, slow_reader, &p.out);
    run_for(&f, 25);
    chardev_free(chr);
    fflush(stdout);
    dup2(p.saved[1], 1);
    pthread_join(thread, &total);
    ck_assert_uint_eq((size_t)total, SIZE);
    free(data);
    close(p.in);
    restore(&p);
    teardown(&f);
}
END_TEST

START_TEST(dead_output)
{
    struct fixture f;
    struct pipes p;
    setup(&f);
    redirect(&p);
    struct chardev *chr = chardev_new_stdio(f.loop, true, &f.err);
    static char data[200000];
    chardev_write(chr, data, sizeof(data));
    close(p.out);
    p.out = -1;
    ck_assert_int_lt(run_for(&f, 60), 30);
    chardev_write(chr, data, sizeof(data));
    chardev_free(chr);
    close(p.in);
    restore(&p);
    teardown(&f);
}
END_TEST

/* ---- stdio over a terminal ---- */

static int open_terminal(int *master)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_eq(grantpt(*master), 0);
    ck_assert_int_eq(unlockpt(*master), 0);
    return open(ptsname(*master), O_RDWR | O_NOCTTY);
}

/* In a child: a machine on the terminal that ends as `how` says. */
static void child_on_terminal(int tty, char how)
{
    struct fixture f;
    struct termios tio;
    setup(&f);
    signal(SIGTERM, SIG_DFL);
    dup2(tty, 0);
    dup2(tty, 1);
    struct chardev *chr = chardev_new_stdio(f.loop, true, &f.err);
    tcgetattr(0, &tio);
    if (tio.c_lflag & (ICANON | ECHO | ISIG))
        _exit(3);
    chardev_write(chr, "x", 1);
    if (how == 'f')
        chardev_free(chr);
    else if (how == 's')
        raise(SIGTERM);
    exit(0);
}

START_TEST(terminal_is_restored)
{
    static const char ways[] = { 'f', 's', 'e' };
    struct termios before, after;
    int master, status, tty = open_terminal(&master);
    ck_assert_int_eq(tcgetattr(tty, &before), 0);
    pid_t pid = fork();
    if (pid == 0)
        child_on_terminal(tty, ways[_i]);
    waitpid(pid, &status, 0);
    if (ways[_i] == 's')
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    else
        ck_assert_int_eq(status, 0);
    ck_assert_int_eq(tcgetattr(tty, &after), 0);
    ck_assert_uint_eq(after.c_lflag, before.c_lflag);
    ck_assert_uint_eq(after.c_iflag, before.c_iflag);
    ck_assert_int_eq(fcntl(tty, F_GETFL) & O_NONBLOCK, 0);
    close(tty);
    close(master);
}
END_TEST

START_TEST(pty)
{
    struct fixture f;
    struct pipes p;
    char line[128] = "", expected[128], buf[8] = "";
    setup(&f);
    redirect(&p);
    struct chardev *chr = chardev_new_pty(f.loop, "serial0", &f.err);
    ck_assert_ptr_nonnull(chr);
    ck_assert_int_gt(read(p.out, line, sizeof(line) - 1), 0);
    snprintf(expected, sizeof(expected), "char device redirected to %s (label serial0)\n",
             chardev_pty_name(chr));
    ck_assert_str_eq(line, expected);
    attach(&f.front, chr, 100);
    int tty = open(chardev_pty_name(chr), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(tty, 0);
    ck_assert_int_eq(write(tty, "a\rb", 3), 3);
    f.front.quit_at = 3;
    loop_run(f.loop);
    ck_assert_str_eq(f.front.got, "a\rb");
    chardev_write(chr, "\n1", 2);
    ck_assert_int_eq(read(tty, buf, sizeof(buf)), 2);
    ck_assert_str_eq(buf, "\n1");
    close(tty);
    f.front.quit_at = 0;
    ck_assert_int_lt(run_for(&f, 60), 30);
    static const char flood[4096];
    for (int i = 0; i < 1000; i++)
        chardev_write(chr, flood, sizeof(flood));
    chardev_free(chr);
    close(p.in);
    restore(&p);
    teardown(&f);
}
END_TEST

/* ---- multiplexer ---- */

static void count(void *opaque)
{
    ++*(int *)opaque;
}

START_TEST(mux)
{
    struct chardev *out = chardev_new_memory();
    struct front a = { 0 }, b = { 0 };
    int quits = 0;
    struct chardev *m = chardev_new_mux(out, count, &quits);
    attach(&a, chardev_mux_port(m), 100);
    attach(&b, chardev_mux_port(m), 100);
    chardev_memory_feed(out, "one\1c" "two\1c\1\1three", 17);
    ck_assert_str_eq(a.got, "one\1three");
    ck_assert_str_eq(b.got, "two");
    ck_assert_str_eq(a.events, "oui");
    ck_assert_str_eq(b.events, "oiu");
    chardev_memory_feed(out, "\1b\1s\1z", 6);
    ck_assert_str_eq(a.events, "ouib");
    ck_assert_uint_eq(a.len, 9);
    chardev_memory_feed(out, "\1", 1);
    ck_assert_int_eq(quits, 0);
    chardev_memory_feed(out, "x", 1);
    ck_assert_int_eq(quits, 1);
    chardev_write(a.chr, "A", 1);
    chardev_write(b.chr, "B", 1);
    ck_assert_str_eq(chardev_memory_output(out, NULL), "AB");
    chardev_memory_clear(out);
    chardev_memory_feed(out, "\1h", 2);
    ck_assert_ptr_nonnull(strstr(chardev_memory_output(out, NULL), "C-a x"));
    chardev_free(a.chr);
    chardev_memory_feed(out, "four", 4);
    ck_assert_str_eq(b.got, "twofour");
    chardev_free(b.chr);
    chardev_free(m);
}
END_TEST

START_TEST(mux_escape_reaches_past_a_full_front)
{
    struct chardev *out = chardev_new_memory();
    struct front a = { 0 };
    int quits = 0;
    struct chardev *m = chardev_new_mux(out, count, &quits);
    attach(&a, chardev_mux_port(m), 2);
    chardev_memory_feed(out, "abcd\1x", 6);
    ck_assert_int_eq(quits, 1);
    ck_assert_str_eq(a.got, "ab");
    take_more(&a, 10);
    ck_assert_str_eq(a.got, "abcd");
    char flood[10000];
    memset(flood, 'f', sizeof(flood));
    a.len = 0;
    a.room = 0;
    chardev_memory_feed(out, flood, sizeof(flood));
    for (size_t total = 0; total < sizeof(flood); total += a.len) {
        a.len = 0;
        take_more(&a, 1000);
        ck_assert_uint_gt(a.len, 0);
    }
    chardev_free(a.chr);
    chardev_free(m);
}
END_TEST

START_TEST(mux_ports_run_out)
{
    struct chardev *m = chardev_new_mux(chardev_new_null(), NULL, NULL);
    struct chardev *last = NULL;
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(last = chardev_mux_port(m));
    ck_assert_ptr_null(chardev_mux_port(m));
    chardev_free(last);
    ck_assert_ptr_eq(chardev_mux_port(m), last);
    chardev_free(m);
}
END_TEST

Suite *chardev_suite(void)
{
    Suite *s = suite_create("chardev");
    TCase *tc = tcase_create("chardev");
    tcase_add_test(tc, null_takes_everything);
    tcase_add_test(tc, memory);
    tcase_add_test(tc, file);
    tcase_add_test(tc, stdio_echo_and_end);
    tcase_add_test(tc, slow_output_does_not_block);
    tcase_add_test(tc, dead_output);
    tcase_add_loop_test(tc, terminal_is_restored, 0, 3);
    tcase_add_test(tc, pty);
    tcase_add_test(tc, mux);
    tcase_add_test(tc, mux_escape_reaches_past_a_full_front);
    tcase_add_test(tc, mux_ports_run_out);
    suite_add_tcase(s, tc);
    return s;
}
