/* Running cases on the host's processor.
 *
 * The child maps the areas at their addresses and then lives in its signal
 * handler: each trap stores the state that the kernel saved for the signal,
 * writes the next case's state in its place, and returns into the case. So a
 * case costs one signal, and any code size and segment works, as the kernel
 * restores CS and SS. All that the child may still do as a system call is to
 * wait for work. */
#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/insn/insn.h"
#undef REG_RIP /* here it is the one of <ucontext.h> */

/* Where the signal handler finds its data: no address that edge cases of operands add up to. */
#define SHARED_LIN UINT64_C(0x5a1b9cd6e000)
#define HANG_SECONDS 20

struct shared {
    struct host_job jobs[HOST_BATCH];
    volatile unsigned count, running;   /* running: number of the job in progress, ~0 before the first */
    uint8_t *code;                      /* the code area, writable */
    uint32_t has_ldt, has_bases;        /* has_bases: RDFSBASE and its like */
    uint64_t fs_base, gs_base;          /* at the end of the case */
    uint64_t home_fs;                   /* base of FS, where libc keeps what belongs to the thread */
    uint32_t ymm_off;                   /* of the YMM registers' upper halves in the frame; 0: not there */
    gregset_t home;                     /* where to go on after the last job */
    uint8_t home_fx[FX_END];
    uint8_t stack[256 * 1024] __attribute__((aligned(64)));
};
#define SHARED ((struct shared *)SHARED_LIN)

struct host {
    pid_t child;
    int to, from;
};

/* ---- in the child: state in and out of the signal frame ---- */

static const uint8_t greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

enum { UC_STRICT_SS = 4 };

/* SDM vol. 1, 13.4: XSTATE_BV of the header; a component whose bit is 0 is all zero. */
static void store_ymm(struct image *out, const uint8_t *frame)
{
    if (SHARED->ymm_off && (frame[XSTATE_BV] & XCR0_AVX))
        memcpy(out->ymmh, frame + SHARED->ymm_off, sizeof(out->ymmh));
    else
        memset(out->ymmh, 0, sizeof(out->ymmh));
}

static void load_ymm(ucontext_t *uc, const struct image *in)
{
    uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs;

    if (!SHARED->ymm_off)
        return;
    memcpy(frame + SHARED->ymm_off, in->ymmh, sizeof(in->ymmh));
    frame[XSTATE_BV] |= XCR0_AVX;
}

static void store_outcome(struct host_job *job, const ucontext_t *uc)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    struct image *out = &job->result.out;

    for (unsigned i = 0; i < 16; i++)
        out->gpr[i] = (uint64_t)g[greg_of[i]];
    out->rip = (uint64_t)g[REG_RIP];
    out->eflags = (uint32_t)g[REG_EFL];
    out->vector = (uint32_t)g[REG_TRAPNO];
    out->error = (uint32_t)g[REG_ERR];
    out->cr2 = (uint64_t)g[REG_CR2];
    out->fs_base = job->c.env == ENV_64 ? SHARED->fs_base : 0;
    out->gs_base = job->c.env == ENV_64 ? SHARED->gs_base : 0;
    memcpy(out->fx, uc->uc_mcontext.fpregs, FX_END);
    store_ymm(out, (const uint8_t *)uc->uc_mcontext.fpregs);
    memcpy(job->result.mem, (void *)(uintptr_t)DATA_LIN, DATA_SIZE);
}

/* All of the image but MXCSR_MASK; the kernel's own words behind FX_END stay. */
static void load_fx(ucontext_t *uc, const uint8_t *fx)
{
    uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs;

    memcpy(frame, fx, FX_MXCSR + 4);
    memcpy(frame + FX_ST, fx + FX_ST, FX_END - FX_ST);
    frame[XSTATE_BV] |= XCR0_X87 | XCR0_SSE;
}

static void load_code(const struct test_case *c, bool remove)
{
    unsigned len = MIN_OF(c->code_len, CODE_SIZE - c->code_off);

    if (remove)
        memset(SHARED->code + c->code_off, 0xcc, len);
    else
        memcpy(SHARED->code + c->code_off, c->code, len);
}

static void load_segments(const struct env_segment *s)
{
    __asm__ volatile("mov %w0, %%ds" : : "r"(s[S_DS].selector));
    __asm__ volatile("mov %w0, %%es" : : "r"(s[S_ES].selector));
    if (SHARED->has_ldt)
        __asm__ volatile("mov %w0, %%gs" : : "r"(s[S_GS].selector));
}

/* The flags of the handler itself. Those that sigreturn does not restore, ID and NT, stay as they are here. */
static inline void change_flags(uint64_t clear, uint64_t set)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq %0, (%%rsp)\n\torq %1, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp" : : "r"(~clear), "r"(set) : "cc", "memory");
}

static void load_case(const struct test_case *c, ucontext_t *uc)
{
    const struct env_segment *s = env_segments[c->env];
    greg_t *g = uc->uc_mcontext.gregs;

    load_code(c, false);
    memcpy((void *)(uintptr_t)DATA_LIN, c->mem, DATA_SIZE);
    for (unsigned i = 0; i < 16; i++)
        g[greg_of[i]] = (greg_t)c->in.gpr[i];
    g[REG_RIP] = (greg_t)c->in.rip;
    g[REG_EFL] = c->in.eflags;
    g[REG_CSGSFS] = (greg_t)((uint64_t)s[S_SS].selector << 48 | s[S_CS].selector);
    uc->uc_flags |= UC_STRICT_SS;
    load_fx(uc, c->in.fx);
    load_ymm(uc, &c->in);
    load_segments(s);
}

static void next_case(ucontext_t *uc)
{
    struct shared *s = SHARED;

    if (s->running == UINT32_MAX) {
        memcpy(s->home, uc->uc_mcontext.gregs, sizeof(s->home));
        memcpy(s->home_fx, uc->uc_mcontext.fpregs, FX_END);
    } else {
        store_outcome(&s->jobs[s->running], uc);
        load_code(&s->jobs[s->running].c, true);
    }
    s->running++;
    if (s->running < s->count) {
        load_case(&s->jobs[s->running].c, uc);
    } else {
        memcpy(uc->uc_mcontext.gregs, s->home, sizeof(s->home));
        load_fx(uc, s->home_fx);
        uc->uc_flags |= UC_STRICT_SS;
    }
}

/* The case's bases of FS and GS; from here on libc works. */
static void take_bases(struct shared *s)
{
    if (!s->has_bases)
        return;
    __asm__ volatile("rdfsbase %0" : "=r"(s->fs_base));
    __asm__ volatile("rdgsbase %0" : "=r"(s->gs_base));
    __asm__ volatile("wrfsbase %0" : : "r"(s->home_fs));
}

/* In the case, or at home where it is null and the base remains. */
static void give_fs(const struct shared *s)
{
    bool home = s->running >= s->count;
    unsigned selector = home ? 0 : env_segments[s->jobs[s->running].c.env][S_FS].selector;

    if (!s->has_bases)
        return;
    __asm__ volatile("mov %w0, %%fs" : : "r"(selector));
    if (home)
        __asm__ volatile("wrfsbase %0" : : "r"(s->home_fs));
}

/* Nothing here may need FS before take_bases() and behind give_fs(), or meet AC before it is cleared. */
__attribute__((no_stack_protector)) static void on_trap(int sig, siginfo_t *info, void *context)
{
    struct shared *s = SHARED;

    (void)sig;
    (void)info;
    change_flags(FL_AC | FL_ID | FL_NT, 0);
    take_bases(s);
    next_case(context);
    change_flags(0, s->running < s->count ? s->jobs[s->running].c.in.eflags & (FL_ID | FL_NT) : 0);
    give_fs(s);
}

/* ---- in the child: preparation ---- */

static void prepare_bases(struct shared *s)
{
    struct host_cpu cpu;

    host_cpu_read(&cpu);
    s->has_bases = cpu.has[FEAT_FSGSBASE];
    if (s->has_bases)
        __asm__ volatile("rdfsbase %0" : "=r"(s->home_fs));
}

/* CPUID leaf 0DH, subleaf 2. */
static uint32_t find_ymm(void)
{
    struct host_cpu cpu;
    uint32_t a, b, c, d;

    host_cpu_read(&cpu);
    return (cpu.xcr0 & XCR0_AVX) && __get_cpuid_count(13, 2, &a, &b, &c, &d) ? b : 0;
}

static bool set_ldt_entry(const struct env_segment *s)
{
    bool code = s->attr & ATTR_CODE;
    struct user_desc d = {
        .entry_number = s->selector >> 3,
        .base_addr = s->base,
        .limit = s->attr & ATTR_G ? s->limit >> 12 : s->limit,
        .seg_32bit = !!(s->attr & ATTR_DB),
        .contents = s->attr >> 2 & 3,
        .read_exec_only = code ? !(s->attr & ATTR_R) : !(s->attr & ATTR_W),
        .limit_in_pages = !!(s->attr & ATTR_G),
        .useable = 1,
    };

    return !(s->selector & 4) || syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

static bool set_ldt(void)
{
    for (unsigned env = 0; env < ENV_NUM; env++)
        for (unsigned i = 0; i < S_NUM; i++)
            if (!set_ldt_entry(&env_segments[env][i]))
                return false;
    return true;
}

static void *map_at(uint32_t addr, size_t size, int prot, int flags, int fd)
{
    void *p = mmap((void *)(uintptr_t)addr, size, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);

    if (p == MAP_FAILED) {
        perror("insn-test: cannot map the areas of the tests");
        _exit(2);
    }
    return p;
}

static void map_areas(void)
{
    int fd = memfd_create("insn-test", 0);
    uint8_t *ro;

    if (fd < 0 || ftruncate(fd, CODE_SIZE))
        _exit(2);
    map_at(CODE_LIN, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    SHARED->code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (SHARED->code == MAP_FAILED)
        _exit(2);
    memset(SHARED->code, 0xcc, CODE_SIZE);
    map_at(DATA_LIN, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    ro = map_at(RO_LIN, RO_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (unsigned i = 0; i < RO_SIZE; i++)
        ro[i] = ro_byte(i);
    mprotect(ro, RO_SIZE, PROT_READ);
}

static void catch_signals(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    stack_t stack = { .ss_sp = SHARED->stack, .ss_size = sizeof(SHARED->stack) };
    struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &action, NULL);
}

/* From here on: read, write, return from signals, exit. */
static void close_sandbox(void)
{
    static const uint32_t allowed[] = { SYS_read, SYS_write, SYS_rt_sigreturn, SYS_exit_group };
    struct sock_filter f[4 + 2 * ARRAY_LEN(allowed)] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2 * ARRAY_LEN(allowed) + 1),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    struct sock_fprog prog = { .len = ARRAY_LEN(f), .filter = f };
    struct rlimit none = { 0, 0 };
    unsigned n = 3;

    for (unsigned i = 0; i < ARRAY_LEN(allowed); i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    f[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
        fprintf(stderr, "insn-test: no seccomp: %s\n", strerror(errno));
}

static _Noreturn void child_main(int from, int to)
{
    char byte = 0;

    map_areas();
    SHARED->has_ldt = set_ldt();
    SHARED->ymm_off = find_ymm();
    prepare_bases(SHARED);
    catch_signals();
    close_sandbox();
    while (write(to, &byte, 1) == 1 && read(from, &byte, 1) == 1) {
        SHARED->running = UINT32_MAX;
        __asm__ volatile("int3" : : : "memory");
    }
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

/* ---- in the parent ---- */

static bool wait_for_child(struct host *h)
{
    struct pollfd p = { .fd = h->from, .events = POLLIN };
    char byte;

    return poll(&p, 1, HANG_SECONDS * 1000) == 1 && read(h->from, &byte, 1) == 1;
}

static bool start_child(struct host *h)
{
    int down[2], up[2];

    if (pipe(down) || pipe(up))
        return false;
    fflush(NULL);
    h->child = fork();
    if (h->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(down[1]);
        close(up[0]);
        child_main(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    h->to = down[1];
    h->from = up[0];
    return h->child > 0 && wait_for_child(h);
}

static void stop_child(struct host *h)
{
    close(h->to);
    close(h->from);
    if (h->child > 0) {
        kill(h->child, SIGKILL);
        waitpid(h->child, NULL, 0);
    }
}

struct host *host_new(void)
{
    struct host *h = calloc(1, sizeof(*h));
    void *p = mmap((void *)SHARED_LIN, sizeof(struct shared), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED || !h || !start_child(h)) {
        fprintf(stderr, "insn-test: cannot start the child that runs instructions on the host\n");
        free(h);
        return NULL;
    }
    return h;
}

void host_free(struct host *h)
{
    stop_child(h);
    munmap(SHARED, sizeof(struct shared));
    free(h);
}

bool host_has_ldt(const struct host *h)
{
    (void)h;
    return SHARED->has_ldt;
}

struct host_job *host_jobs(struct host *h)
{
    (void)h;
    return SHARED->jobs;
}

bool host_run(struct host *h, unsigned n, unsigned *at)
{
    char byte = 0;

    SHARED->count = n;
    if (write(h->to, &byte, 1) == 1 && wait_for_child(h))
        return true;
    *at = SHARED->running;
    stop_child(h);
    if (!start_child(h))
        exit(2);
    return false;
}
