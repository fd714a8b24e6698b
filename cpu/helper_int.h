/* What emitters and helpers of the general instructions share. Private to cpu/. */
#ifndef MIMUS_CPU_HELPER_INT_H
#define MIMUS_CPU_HELPER_INT_H

#include "cpu/state.h"

/* The string instruction that a string helper is to run. */
enum string_desc {
    STR_SIZE = 0xf,        /* bytes of an element */
    STR_ADDR_SHIFT = 4,    /* 4 bits: bytes of the address size */
    STR_SEG_SHIFT = 8,     /* 3 bits: segment of rSI */
    STR_REP = 1 << 11,     /* rCX counts */
    STR_REPNE = 1 << 12,   /* CMPS, SCAS: stop at equality instead of inequality */
    STR_ONE = 1 << 13,     /* one element, then give the run loop its turn */
    STR_LINEAR = 1 << 14,  /* effective addresses are linear addresses, and nobody else checks them */
};

/* Argument of HELP_raise. */
static inline uint32_t raise_arg(unsigned vector) { return vector; }
static inline uint32_t raise_arg_code(unsigned vector, uint32_t code) { return vector | 0x100 | code << 16; }

/* Linear address of `size` bytes at effective address `ea` in segment `seg`; raises #SS(0) or #GP(0) by its
 * limit and rights. Non-canonical addresses are found by the access itself. */
uint64_t seg_address(struct cpu *cpu, unsigned seg, uint64_t ea, unsigned size, bool write);

#endif
