/* The random differential test of instructions: what its parts share.
 *
 * A test case is code, registers and a page or two of data. It runs in a child
 * process on the host's processor (host.c) and on a Mimus processor set up like
 * a Linux user process (guest.c), at the same linear addresses. Both end at an
 * INT3 behind the code or at an exception; then everything is compared. */
#ifndef MIMUS_TESTS_INSN_H
#define MIMUS_TESTS_INSN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#undef REG_RIP /* <ucontext.h> has one of its own */
#include "base/bits.h"
#include "cpu/decode.h"
#include "cpu/state.h"

/* Linear addresses in both worlds. Around each area nothing is mapped. */
#define CODE_LIN UINT32_C(0x20010000)   /* readable, executable; filled with INT3 */
#define CODE_SIZE UINT32_C(0x2000)
#define DATA_LIN UINT32_C(0x20020000)   /* readable, writable */
#define DATA_SIZE UINT32_C(0x2000)
#define RO_LIN (DATA_LIN + DATA_SIZE)   /* readable, directly behind the data */
#define RO_SIZE UINT32_C(0x1000)
#define HOT_LIN (DATA_LIN + 0xf00)      /* where most operands lie: across a page boundary */
#define HOT_SIZE UINT32_C(0x200)

/* Byte `n` of the read-only page. */
static inline uint8_t ro_byte(unsigned n) { return (uint8_t)(n * 37 + (n >> 8)); }

/* ---- environments: code size and segments ---- */

enum env { ENV_64, ENV_32, ENV_32_SEGMENTED, ENV_16, ENV_NUM };

struct env_segment {
    uint16_t selector;
    uint32_t base, limit;   /* limit inclusive, in bytes */
    uint16_t attr;          /* as struct segment */
};
/* Segments of an environment by enum seg_reg. FS is used on hosts with FSGSBASE only, elsewhere it is null:
 * libc lives behind it, and nothing else brings it back in a signal handler. */
extern const struct env_segment env_segments[ENV_NUM][S_NUM];
unsigned env_bits(enum env env);
const char *env_name(enum env env);
/* Base that addresses through `seg` get: 0 in 64-bit code but for FS and GS. */
uint32_t env_base(enum env env, unsigned seg);
/* AMD's processors differ from the SDM in a few places, which are not compared on them. */
bool host_is_amd(void);
/* What the host's processor offers a process. */
struct host_cpu {
    uint64_t xcr0;           /* 0: no XSAVE */
    bool has[FEAT_NUM];      /* the CPUID bit, and the operating system provides what it needs */
};
void host_cpu_read(struct host_cpu *cpu);

/* ---- random values (random.c) ---- */

struct rng { uint64_t state; };
uint64_t rng_next(struct rng *r);
unsigned rng_below(struct rng *r, unsigned n);          /* 0..n-1 */
bool rng_percent(struct rng *r, unsigned percent);
uint64_t rng_int(struct rng *r);                  /* edge cases of all widths, small and random numbers */
void rng_fill(struct rng *r, uint8_t *p, size_t len); /* integers, floats of all formats; 16 bytes each */
void rng_f80(struct rng *r, uint8_t *p);                /* 10 bytes */

/* ---- a case ---- */

#define CASE_MAX_INSNS 64
#define CASE_MAX_CODE 640

/* The processor's state in a neutral form. */
struct image {
    uint64_t gpr[16];
    uint64_t rip;        /* offset in CS */
    uint32_t eflags;
    uint32_t vector;     /* how it ended: exception number, 3 is the regular end */
    uint32_t error;
    uint32_t pad;
    uint64_t cr2;        /* vector 14 only */
    uint64_t fs_base, gs_base;  /* 64-bit code at its end, on hosts with FSGSBASE; else 0 */
    uint8_t fx[512] __attribute__((aligned(16)));   /* as FXSAVE64 stores it */
    uint8_t ymmh[16][16];                           /* upper halves of the YMM registers */
};
enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FX_MXCSR = 24, FX_ST = 32,
       FX_XMM = 160, FX_END = 416 };
/* An XSAVE area in the standard format, up to the components that are compared. */
enum { XSTATE_BV = 512, XSTATE_YMM = 576, XSTATE_END = XSTATE_YMM + 256 };
#define VECTOR_HUNG 255

#define NO_TARGET 255

struct case_insn {
    uint16_t off;            /* from the start of the code */
    uint8_t len;
    uint8_t target;          /* branches: number of the instruction they go to, else NO_TARGET */
    const struct opcode *row;    /* NULL: an encoding that is invalid on purpose */
    uint32_t taint;          /* flags that are undefined before it */
};

struct test_case {
    uint64_t seed, index;
    enum env env;
    unsigned code_off;       /* from CODE_LIN */
    unsigned code_len;       /* without the INT3 behind it */
    unsigned num_insns;      /* insn[num_insns] is the end */
    struct case_insn insn[CASE_MAX_INSNS + 1];
    uint8_t code[CASE_MAX_CODE];
    /* Data bytes that are not compared: parts of stored x87 environments. */
    struct { unsigned off, len; } ignore[2];
    struct image in;
    uint8_t mem[DATA_SIZE];
};

struct outcome {
    struct image out;
    uint8_t mem[DATA_SIZE];
};

/* Offset in CS of the case's first byte. */
uint64_t case_rip(const struct test_case *c);

/* ---- encoding of one instruction (encode.c) ---- */

struct encoding {
    uint8_t code[INSN_MAX_LEN + 1];
    unsigned len;
    unsigned disp_off, disp_size;   /* place of the displacement or moffs, size 0: none */
    unsigned imm_off;               /* behind it: immediates */
    struct insn insn;
};
bool row_has_modrm(const struct opcode *row);
struct gen;
/* A random encoding that decodes to `row`. False when no attempt succeeded. */
bool encode_row(struct gen *g, const struct opcode *row, struct encoding *enc);
/* Store a new displacement of disp_size bytes, in code and insn. */
void encode_set_disp(struct encoding *enc, int64_t disp);
/* A VEX encoding made invalid: W, L or vvvv that the row does not have, or a prefix that may not stand before it.
 * False when it is valid whatever was tried; nothing is changed then. */
bool encode_spoil_vex(struct rng *r, struct encoding *enc, unsigned bits);

/* ---- flags (flags.c) ---- */

/* EFLAGS bits, and C1 of the x87 status word. */
struct flag_use { uint32_t reads, writes, undef; };
#define TAINT_C1 BIT(31)
/* `cl`: value of CL when it is known, else -1. */
struct flag_use flags_of_insn(const struct insn *insn, int cl);
/* Fill in the taint of every instruction, along all ways; false when one reads an undefined flag. */
bool flags_follow(struct test_case *c);

/* ---- operands (operands.c) ---- */

/* A case in the making. */
struct gen {
    struct rng r;
    const struct host_cpu *cpu;
    struct test_case *c;
    unsigned bits;
    bool single;            /* one instruction: every register still has its initial value */
    uint32_t written;       /* registers whose value is no longer known */
    uint32_t pinned;        /* registers whose initial value somebody counts on */
    uint32_t vec_written, vec_pinned;   /* the same of vector registers */
    uint64_t at;            /* offset in CS of the instruction in the making */
    uint64_t target;        /* linear address of its memory operand */
};
/* Registers, floating-point state, data (state.c); the environment and code_off are set. */
void state_random(struct gen *g);
void state_random_fx(struct gen *g, uint8_t *fx);
/* May the register get a new initial value? */
static inline bool settable(const struct gen *g, unsigned reg)
{
    return !((g->written | g->pinned) >> reg & 1);
}
/* Lead the memory operand and the implicit operands of `enc` to useful places, by register values or by
 * changing its displacement. False: try another encoding. */
bool operands_steer(struct gen *g, struct encoding *enc);

/* ---- generation (generate.c) ---- */

/* Case number `k` of a row in code of `env`; row NULL: a sequence. False: this row has no such encoding. */
bool generate_case(struct test_case *c, const struct host_cpu *cpu, uint64_t seed, uint64_t index,
                   const struct opcode *row, enum env env);
/* Why a row is left out in code of `bits`, or NULL. */
const char *row_excluded(const struct host_cpu *cpu, const struct opcode *row, unsigned bits);

/* ---- the host's processor (host.c) ---- */

struct host;
struct host_job {
    struct test_case c;
    struct outcome result;
};
#define HOST_BATCH 64
/* NULL with a message on stderr when the host cannot. */
struct host *host_new(void);
void host_free(struct host *h);
bool host_has_ldt(const struct host *h);                /* else only ENV_64 and ENV_32 without GS */
struct host_job *host_jobs(struct host *h);             /* HOST_BATCH of them, shared with the child */
/* Run the first `n` jobs. False: the child died or hung; *at is the job. A new child is started. */
bool host_run(struct host *h, unsigned n, unsigned *at);

/* ---- Mimus (guest.c) ---- */

struct guest;
struct guest_options {
    const char *name;
    bool interp, optimise, one_insn;
    uint32_t hot_after;      /* not 0: sequences only, three times each, so that all of their code becomes hot */
    uint32_t without_isa;
    bool parallel;           /* as if other processors ran at the same time */
};
struct guest *guest_new(const struct guest_options *opt);
void guest_free(struct guest *g);
void guest_run(struct guest *g, const struct test_case *c, struct outcome *result);
/* A processor without it, before the first run. */
void guest_remove_feature(struct guest *g, unsigned feature);

/* ---- comparison (compare.c) ---- */

/* Number of differences; printed to `out` unless it is NULL. */
unsigned compare_outcomes(FILE *out, const struct test_case *c, const struct outcome *host,
                          const struct outcome *guest);
void print_case(FILE *out, const struct test_case *c);

/* ---- the work and its processes (work.c, report.c) ---- */

enum { ENGINE_NUM = 6 };
extern const struct guest_options engines[ENGINE_NUM];

struct plan {
    uint64_t seed;
    unsigned count;          /* cases of each row in each environment */
    unsigned sequences;      /* sequences in each environment */
    uint64_t cases;          /* 0, or instead of the two: cases in all, a third of them sequences */
    unsigned jobs;           /* processes */
    unsigned max_printed;    /* failures printed for each row and environment */
    uint32_t engines;        /* bits by engines[] */
    uint32_t envs;           /* bits by enum env */
    bool parallel;           /* on all engines */
    bool *rows;              /* [cpu_num_opcodes]: chosen */
    struct host_cpu cpu;
};

/* A unit of work is a row, or behind the last row a part of the sequences, in one environment. */
enum { SEQUENCE_UNITS = 32 };
unsigned unit_of(unsigned row, enum env env);
unsigned num_units(void);

/* Results, in memory shared by all processes. */
struct results {
    _Atomic unsigned next_unit;
    _Atomic uint64_t cases, runs, failed;
    _Atomic bool no_ldt;
    struct unit_result { uint32_t cases, failed; } units[];
};

/* Where `cases` is set, count and sequences that make as many. */
void plan_cases(struct plan *plan);
/* Run all; results of num_units() units. NULL when the host cannot. */
struct results *work_run(const struct plan *plan);
/* One case again, with everything printed. True when no engine differs. */
bool work_replay(const struct plan *plan, uint64_t seed, uint64_t index);
/* The failing case with NOPs in place of all instructions that do not matter. */
void work_minimise(struct host *host, struct guest *guest, struct test_case *c, struct outcome *expected);

/* ---- rows whose feature the processor lacks (absent.c) ---- */

struct absent_results { uint64_t cases, failed; };
/* The chosen rows, each with plan->count cases in each environment, in this process. */
struct absent_results absent_run(const struct plan *plan);

/* Rows covered and rows not covered, with reasons. */
void report_coverage(FILE *out, const struct plan *plan, const struct results *res);

#endif
