/* Standard input and output as a character backend.
 *
 * O_NONBLOCK belongs to the open file, which a terminal's standard input,
 * output and error share with each other and with the shell. So output goes to
 * a second opening of the same terminal or pipe, found through /proc; only
 * where that fails is the flag set on the shared one, and taken back at free. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "ui/chardev_internal.h"

struct chardev_stdio {
    struct chardev_fd fd;
    int old_flags; /* of standard output, or -1: not changed */
};

/* The one thing in Mimus that is not part of a machine: a process has one
 * terminal, and exit() and signal handlers can reach no machine. */
static struct {
    bool in_use;             /* there is a stdio backend */
    bool at_exit;            /* terminal_restore() is registered */
    volatile sig_atomic_t raw; /* saved is to be restored */
    struct termios saved;
} terminal;

static const int fatal_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGABRT, SIGBUS,
                                     SIGFPE, SIGILL, SIGSEGV };

static void terminal_restore(void)
{
    if (terminal.raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
    terminal.raw = 0;
}

/* The handler is one-shot: the signal raised again has its default effect on return. */
static void terminal_fatal(int sig)
{
    terminal_restore();
    raise(sig);
}

/* Signals that somebody else handles are left to them. */
static void terminal_hook_signals(void (*expected)(int), void (*handler)(int))
{
    for (size_t i = 0; i < ARRAY_LEN(fatal_signals); i++) {
        struct sigaction act;
        sigaction(fatal_signals[i], NULL, &act);
        if (act.sa_flags & SA_SIGINFO || act.sa_handler != expected)
            continue;
        memset(&act, 0, sizeof(act));
        act.sa_handler = handler;
        act.sa_flags = handler == SIG_DFL ? 0 : (int)SA_RESETHAND;
        sigaction(fatal_signals[i], &act, NULL);
    }
}

static void terminal_make_raw(bool raw_signals)
{
    struct termios tio;
    if (tcgetattr(STDIN_FILENO, &tio) < 0)
        return;
    terminal.saved = tio;
    tio.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    tio.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (raw_signals ? ISIG : 0));
    tio.c_cflag = (tio.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    tio.c_cc[VMIN] = 1;
    tio.c_cc[VTIME] = 0;
    terminal.raw = 1;
    if (!terminal.at_exit)
        atexit(terminal_restore);
    terminal.at_exit = true;
    terminal_hook_signals(SIG_DFL, terminal_fatal);
    tcsetattr(STDIN_FILENO, TCSANOW, &tio);
}

static void stdio_free(struct chardev *chr)
{
    struct chardev_stdio *c = container_of(chr, struct chardev_stdio, fd.chr);
    chardev_fd_destroy(&c->fd);
    if (c->old_flags >= 0)
        fcntl(STDOUT_FILENO, F_SETFL, c->old_flags);
    terminal_restore();
    terminal_hook_signals(terminal_fatal, SIG_DFL);
    terminal.in_use = false;
    free(c);
}

static const struct chardev_ops stdio_ops = {
    .write = chardev_fd_write, .accept = chardev_fd_accept, .free = stdio_free,
};

/* A descriptor for standard output on which write() does not wait. */
static int stdio_open_output(struct chardev_stdio *c)
{
    struct stat st;
    int fd = -1;
    if (fstat(STDOUT_FILENO, &st) < 0)
        return -1;
    if (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO))
        fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (!S_ISREG(st.st_mode)) {
        c->old_flags = fcntl(STDOUT_FILENO, F_GETFL);
        fcntl(STDOUT_FILENO, F_SETFL, c->old_flags | O_NONBLOCK);
    }
    return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

struct chardev *chardev_new_stdio(struct loop *loop, bool raw_signals, struct error *err)
{
    if (terminal.in_use) {
        error_set(err, -EBUSY, "stdio is in use by another character device; share it with mon:stdio");
        return NULL;
    }
    struct chardev_stdio *c = malloc(sizeof(*c));
    assert(c);
    terminal.in_use = true;
    c->old_flags = -1;
    int out = stdio_open_output(c);
    chardev_fd_init(&c->fd, &stdio_ops, loop, fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), out);
    c->fd.flush = true;
    if (isatty(STDIN_FILENO))
        terminal_make_raw(raw_signals);
    return &c->fd.chr;
}
