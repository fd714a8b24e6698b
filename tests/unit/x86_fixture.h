/* Fixture of the x86-64 backend's tests: a small guest with memory and helpers, run as host code
 * (`bt_jit`) and by a direct reading of ir.def (`bt_reader`). */
#ifndef MIMUS_TESTS_UNIT_X86_FIXTURE_H
#define MIMUS_TESTS_UNIT_X86_FIXTURE_H

#include <setjmp.h>

#include "base/bits.h"
#include "tcg/host/x86_64/target.h"

/* Guest memory: 64 KiB at BT_BASE, half of it known to the TLB. */
#define BT_BASE UINT64_C(0x40000)
#define BT_MEM_SIZE 0x10000u
#define NUM_FIELDS 16
#define NUM_VECTORS 40 /* the upper half of them are second halves of the others */
#define MAX_LOG 512
#define BT_HEAT 300 /* where warm blocks count */

struct bt_event {
    uint64_t addr, value, word, regs, vectors;
    uint32_t size, mem, flags, guest_off;
};

struct bt_env {
    uint64_t gpr[16];
    uint64_t pc, code_base, key;
    uint32_t exit_request;
    struct tcg_flags fl;
    uint64_t host_pc;
    uint32_t mxcsr, pad;
    uint64_t bounds[2];
    uint64_t field[NUM_FIELDS];
    uint64_t spill[TCG_NUM_SPILL];
    uint8_t vec[NUM_VECTORS][16] __attribute__((aligned(16)));
    uint8_t st[TCG_X87_ST_SIZE];
    uint16_t x87_cw;
    uint8_t x87_live;               /* 0: every x87 instruction takes the slow path */
    uint8_t *mem;
    const struct tcg_block *blk;    /* NULL: run by the reader */
    uint32_t reader_off;
    bool restless;                  /* slow paths change the TLB */
    struct bt_event log[MAX_LOG];
    unsigned num_log;
    unsigned stop_at;               /* after so many events somebody wants the processor, */
    bool closes, stopped;           /* or drops the block; it has happened */
    jmp_buf fault;
    uint32_t heat[BT_HEAT + 1];
    struct tcg_jump_entry jump_cache[TCG_JC_SIZE];
    struct tcg_tlb_entry tlb[2][TCG_TLB_SIZE];
};

#define BT_OFF(f) offsetof(struct bt_env, f)
#define BT_FIELD(n) (BT_OFF(field) + 8 * (n))

enum { HELP_PURE, HELP_NARROW, HELP_READ, HELP_WRITE, HELP_FAULT, HELP_RAISE, HELP_RAISE1, HELP_X87M,
       NUM_FUZZ_HELPERS = HELP_RAISE };

extern const struct tcg_helper bt_helpers[];
extern const struct tcg_guest bt_guest;

/* The machine under test, of one test process at a time. */
extern void *bt_state;
extern struct tcg_code_buf bt_buf;
extern struct bt_env *bt_jit, *bt_reader;
extern struct ir_insn bt_code[IR_MAX_INSNS];
extern struct ir_block bt_ir;
extern uint64_t bt_val[IR_MAX_INSNS];      /* the reader's values */
#define bt_host (&tcg_host_x86_64)

void bt_setup(void);
/* The same for a host that has no more than this (enum tcg_host_isa). */
void bt_setup_isa(uint32_t isa);
void bt_teardown(void);
void bt_reset(struct bt_env *e, uint64_t seed);
uint64_t bt_hash(uint64_t h, uint64_t v);
uint32_t bt_flags(const struct bt_env *e);

/* Building the block `bt_ir`. */
ir_ref bt_add(unsigned op, unsigned type, ir_ref a, ir_ref b, ir_ref c, uint64_t imm);
ir_ref bt_const(unsigned type, uint64_t v);
ir_ref bt_field(unsigned type, unsigned n);
void bt_set_field(unsigned type, unsigned n, ir_ref v);
unsigned bt_type(ir_ref v);

/* Check the block by ir_verify and compile it. */
void bt_compile(struct tcg_block *blk);
/* From `code` on until something leaves: the block with its exit or TCG_EXIT_HOT, or 0. */
uintptr_t bt_enter(struct bt_env *e, const void *code);
void bt_run(struct tcg_block *blk);
/* Returns the instruction that left the block. */
const struct ir_insn *bt_read(struct bt_env *e);
/* Of the end, a BR: did the last reading leave by its first exit? */
bool bt_taken(void);
void bt_compare(unsigned long seed);
/* Run the block both ways from the same state and compare. */
void bt_run_both(uint64_t seed);

#endif
