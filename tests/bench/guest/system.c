/* system.c: what goes through the kernel: calls, pipes, processes, memory, signals, programs. */

#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_getppid(struct bench *b)
{
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        syscall(SYS_getppid);
    bench_end(b, 0);
}

/* ---- two processes and two pipes: a unit is a byte there and back ---- */

static void answer(int in, int out)
{
    char byte;
    while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
        ;
    _exit(0);
}

static void run_pipe(struct bench *b)
{
    int there[2], back[2];
    if (pipe(there) || pipe(back))
        bench_fail(b, "pipe");
    pid_t child = fork();
    if (child < 0)
        bench_fail(b, "fork");
    if (child == 0) {
        close(there[1]);
        answer(there[0], back[1]);
    }
    char byte = 'x';
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            bench_fail(b, "ping-pong");
    bench_end(b, 0);
    close(there[1]);
    waitpid(child, NULL, 0);
}

/* ---- programs ---- */

static const char output_name[] = "/tmp/bench.output";

/* In place of the terminal: nothing to read, a file for what is printed. */
static void redirect(void)
{
    int in = open("/dev/null", O_RDONLY), out = open(output_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    close(in);
    close(out);
}

/* Runs the program of these words and waits for its end. */
static void run_program(const struct bench *b, const char *path, char **words, bool quiet)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        bench_fail(b, "fork");
    if (child == 0) {
        if (quiet)
            redirect();
        execvp(path, words);
        _exit(127);
    }
    if (waitpid(child, &status, 0) != child || status)
        bench_fail(b, path);
}

/* A unit is a program that starts and ends. */
static void run_fork_exec(struct bench *b)
{
    char *words[] = { "bench", "nothing", NULL };
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        run_program(b, "/proc/self/exe", words, false);
    bench_end(b, 0);
}

/* A number for what the program printed (FNV-1a). */
static uint64_t sum_output(const struct bench *b)
{
    FILE *in = fopen(output_name, "r");
    uint64_t sum = 0xcbf29ce484222325;
    if (!in)
        bench_fail(b, "the output");
    for (int byte; (byte = getc(in)) != EOF;)
        sum = (sum ^ (uint64_t)byte) * 0x100000001b3;
    fclose(in);
    remove(output_name);
    return sum;
}

/* A unit is a run of the given program. What it printed is the result, in a line behind the measurement. */
static void run_exec(struct bench *b)
{
    if (!b->words[0])
        bench_fail(b, "no program");
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        run_program(b, b->words[0], b->words, true);
    bench_end(b, 0);
    printf("bench: output %llx\n", (unsigned long long)sum_output(b));
}

/* SIZE bytes of text that a packer finds work in, into the given file. */
static void run_text(struct bench *b)
{
    const char *const words[] = { "page ", "table ", "of ", "the ", "register\n", "bit ", "when ", "is ",
                                  "set, ", "clear; ", "a ", "store ", "0x", "load ", "to ", "memory.\n" };
    FILE *out = b->words[0] ? fopen(b->words[0], "w") : NULL;
    if (!out)
        bench_fail(b, "the file");
    uint32_t x = 1;
    bench_begin(b);
    while (ftell(out) < (long)b->size) {
        x = bench_next(x);
        fputs(words[x >> 28], out);
        if (x >> 20 & 1)
            fprintf(out, "%x ", x >> 16 & 0xfff);
    }
    if (fclose(out))
        bench_fail(b, "the file");
    bench_end(b, 0);
}

/* ---- memory and signals ---- */

/* A unit is SIZE bytes mapped, touched on every page and unmapped. */
static void run_mmap(struct bench *b)
{
    bench_begin(b);
    for (long i = 0; i < b->count; i++) {
        char *memory = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            bench_fail(b, "mmap");
        for (size_t at = 0; at < b->size; at += 4096)
            memory[at] = 1;
        munmap(memory, b->size);
    }
    bench_end(b, 0);
}

static void ignore(int number)
{
    (void)number;
}

/* A unit is a signal that is sent, handled and returned from. */
static void run_signal(struct bench *b)
{
    struct sigaction action = { .sa_handler = ignore };
    pid_t self = getpid();
    sigaction(SIGUSR1, &action, NULL);
    bench_begin(b);
    for (long i = 0; i < b->count; i++)
        kill(self, SIGUSR1);
    bench_end(b, 0);
}

const struct bench_row system_rows[] = {
    { "getppid", run_getppid },
    { "pipe", run_pipe },
    { "fork-exec", run_fork_exec },
    { "exec", run_exec },
    { "text", run_text },
    { "mmap", run_mmap },
    { "signal", run_signal },
    { NULL, NULL },
};
