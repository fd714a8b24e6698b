/* Several processors for the guest programs: started by INIT and SIPI, each with its own stack, task
 * register, handlers and work. The bootstrap processor is number 0, the others are numbered as they
 * arrive. Every processor is in 32-bit protected mode, flat, ring 0, paging off, xAPIC enabled, and waits
 * in HLT with interrupts on for work. check() and print() belong to processor 0. */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "guest.h"

#define SMP_MAX 8
#define SMP_WAKE 0xf0  /* the vector that wakes an idle processor */
#define SMP_SPURIOUS 0xff
#define NOT_CAUGHT 0xffffffffu

/* Runs with interrupts off, in 32-bit or compatibility mode; may change where the interrupted code goes on.
 * A handler of an interrupt says smp_eoi() itself. */
typedef void smp_handler(u32 vector, u32 error, u64 *ip);
typedef void smp_work(void *arg);

struct smp_cpu {
    u32 apic_id;
    smp_work *volatile work; /* null: idle */
    void *volatile arg;
    smp_handler *volatile handler[256];
    volatile u32 received[256]; /* interrupts without a handler, by vector */
    volatile u32 recover;       /* where the next exception without a handler leads; 0: the program fails */
    volatile u32 caught, error, cr2; /* the exception that took that road, or NOT_CAUGHT */
    volatile u64 ip;
} __attribute__((aligned(64)));

extern struct smp_cpu smp_cpu[SMP_MAX];
extern u32 smp_count;       /* processors, the bootstrap processor included */
extern bool smp_few;        /* "few" on the command line: a slow engine, fewer rounds */
extern bool smp_parallel;   /* false with "single" on the command line: processors run in turn */

/* Starts all other processors; "cpus=N" on the command line says how many there must be. Fails the program if
 * they do not come. Processor 0 has the handlers of this file from now on, no longer those of snippets. */
void smp_start(const char *command_line);
/* Test snippets on processor 0: their tables during `tests`, which must not wait for other processors. */
void smp_snippets(void (*tests)(void));

/* The processor that runs this. */
static inline u32 smp_me(void)
{
    u32 tr;
    __asm__ volatile("str %0" : "=r"(tr));
    return tr == SEL_TSS ? 0 : (tr - SEL_SMP_TSS) / 8;
}

/* Gives an idle processor other than 0 work; smp_wait() ends when it is done, and fails the program after a
 * minute. smp_run_all() gives it to all, also to processor 0, and waits. */
void smp_run_on(u32 n, smp_work *work, void *arg);
void smp_wait(u32 n);
void smp_run_all(u32 count, smp_work *work, void *args, size_t size); /* processor n gets args + n * size */

/* Calls 64-bit code (see CODE64) in long mode with the tables of guest.h: rdi, rsi, rdx, rcx; returns eax. */
u32 smp_call64(void *code, u32 a, u32 b, u32 c, u32 d);
/* A function in 64-bit code, Intel syntax; it keeps rbp and rsp and ends in ret. */
#define CODE64(name, text) extern u8 name[]; \
    __asm__(".pushsection .text\n.intel_syntax noprefix\n.code64\n" #name ":\n" text \
            "\n.att_syntax prefix\n.code32\n.popsection")

/* ---- the local APIC (xAPIC, not mapped anywhere else) ---- */

#define SMP_APIC 0xfee00000u
static inline u32 apic_get(u32 reg) { return peek32(SMP_APIC + reg); }
static inline void apic_set(u32 reg, u32 v) { poke32(SMP_APIC + reg, v); }
static inline void smp_eoi(void) { apic_set(0xb0, 0); }
void smp_ipi(u32 n, u32 vector);          /* fixed, physical destination */
void smp_icr(u32 apic_id, u32 low);       /* any message; returns when it is sent */

/* ---- waiting ---- */

#define pause() __asm__ volatile("pause" : : : "memory")
#define barrier_compiler() __asm__ volatile("" : : : "memory")
static inline void irq_on(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void irq_off(void) { __asm__ volatile("cli" : : : "memory"); }
static inline u64 tsc(void) { u64 v; __asm__ volatile("rdtsc" : "=A"(v)); return v; }
extern u32 smp_tsc_per_us;
void smp_delay(u32 us);
static inline u64 smp_in(u32 ms) { return tsc() + (u64)smp_tsc_per_us * 1000 * ms; } /* a time for tsc() */

/* All n processors go on when the last has come. All zero, but n, at first. */
struct smp_barrier {
    u32 n;
    volatile u32 count, phase;
};
void smp_barrier(struct smp_barrier *b);
/* A barrier behind which processors 0 and 1 run at the same time: they exchange numbers until that goes as
 * fast as only two cores of the host can. The waiting of a whole program is bounded; then it is a barrier. */
void smp_meet(struct smp_barrier *b);

/* For loops that wait: PAUSE may give the host's processor to another, so spin a while first. From 0. */
static inline void smp_spin(u32 *spins)
{
    if (++*spins > 5000)
        pause();
}

static inline u32 lock_xadd(volatile u32 *p, u32 v)
{
    __asm__ volatile("lock xaddl %0, %1" : "+r"(v), "+m"(*p) : : "memory", "cc");
    return v;
}

/* Runs AT&T text that may fault; smp_cpu[smp_me()].caught has the vector then, else NOT_CAUGHT. Operands are
 * inputs; eax, edx, ecx and the flags may change. */
#define SMP_TRY(text, ...) ({ struct smp_cpu *me_ = &smp_cpu[smp_me()]; me_->caught = NOT_CAUGHT; \
    __asm__ volatile("movl $79f, %[recover_]\n" text "\n79: movl $0, %[recover_]" \
                     : : [recover_] "m"(me_->recover), ##__VA_ARGS__ : "eax", "edx", "ecx", "memory", "cc"); \
    me_->caught; })

#endif
