/* A guest for tests of the translator: sixteen registers, some fields, 64 KiB of memory at address 0. */
#ifndef MIMUS_TESTS_FAKE_GUEST_H
#define MIMUS_TESTS_FAKE_GUEST_H

#include <setjmp.h>

#include "tcg/tcg.h"

#define FAKE_RAM 0x10000
#define FAKE_FIELDS 16

struct fake_env {
    uint64_t reg[TCG_NUM_REGS];
    uint64_t pc, code_base, host_pc;
    struct tcg_flags flags;
    uint64_t field[FAKE_FIELDS];
    uint64_t bound[2], key;
    uint32_t exit_request, mxcsr, slow_loads, slow_stores, slow_atomics, calls;
    uint64_t spill[TCG_NUM_SPILL];
    uint64_t raised;                 /* argument of fake_raise */
    struct tcg *tcg;                 /* whose it is */
    jmp_buf *fault;                  /* where it goes */
    struct tcg_tlb_entry tlb[2][TCG_TLB_SIZE];
    struct tcg_jump_entry jump[TCG_JC_SIZE];
    _Alignas(16) uint8_t ram[FAKE_RAM];
};

/* Helper numbers. Addresses from FAKE_RAM up fault in the slow path. */
enum fake_helper {
    FAKE_SUM,        /* '8' (8, 8): pure */
    FAKE_LOW,        /* '4' (4): pure; a + 1 */
    FAKE_RAISE,      /* 'v' (4): never returns */
    FAKE_RAISE_AT,   /* 'v' (8, 4): never returns */
    FAKE_READ_FLAGS, /* '4' (): the six bits */
    FAKE_WRITE_FLAGS,/* 'v' (4) */
    FAKE_SUM_REGS,   /* '8' (): reads registers */
    FAKE_SET_REG0,   /* 'v' (8): writes register 0 */
    FAKE_SET_FIELD0, /* 'v' (8): writes field 0 */
    FAKE_MAYBE,      /* 'v' (4): raises when its argument is odd */
    FAKE_FOUR,       /* '8' (8, 4, 8, 4) */
    FAKE_NUM_HELPERS
};

extern const struct tcg_guest fake_guest;

#define FAKE_FIELD(n) ((unsigned)(offsetof(struct fake_env, field) + 8 * (n)))

/* Zeroed, TLB and jump cache empty. */
struct fake_env *fake_new(void);
/* Let pages [0, FAKE_RAM) be accessed without the slow path. */
void fake_map(struct fake_env *env, unsigned mmu, bool writable);
uint32_t fake_flags(const struct fake_env *env);
/* A pseudo-random stream; good values for arithmetic: extremes are frequent. */
uint64_t fake_random(uint64_t *state);
uint64_t fake_operand(uint64_t *state);

/* How many instructions of this kind a block has; the first one, or the test fails. */
unsigned block_count(const struct ir_block *blk, unsigned op);
const struct ir_insn *block_find(const struct ir_block *blk, unsigned op);

#endif
