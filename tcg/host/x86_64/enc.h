/* x86-64 instruction encoder: writes single instructions at a byte pointer. Opcodes as in the Intel SDM,
 * volume 2. */
#ifndef MIMUS_TCG_HOST_X86_64_ENC_H
#define MIMUS_TCG_HOST_X86_64_ENC_H

#include <stdbool.h>
#include <stdint.h>

enum x86_reg {
    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
    NO_REG = 0xff,
};
/* Operand widths; the same numbers as enum ir_type. */
enum x86_width { W8, W16, W32, W64 };

/* Condition codes as in Jcc, SETcc, CMOVcc. cc ^ 1 is the opposite. */
enum x86_cc {
    CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G,
};

/* Numbers of the arithmetic family: opcode bits 5:3 and the /digit of group 1. */
enum x86_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
/* /digit of the shift group (C0, C1, D2, D3). */
enum x86_shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAR = 7 };
/* /digit of group 3 (F6, F7) and of group 4 and 5 (FE, FF). */
enum x86_unary { UN_NOT = 2, UN_NEG, UN_MUL, UN_IMUL, UN_DIV, UN_IDIV };
enum x86_step { STEP_INC, STEP_DEC };

/* Opcodes; above 0xff: with the 0F escape. Those with a byte form are the wide form, the byte form is one
 * less. */
enum x86_opcode {
    OP_MOVSXD = 0x63, OP_IMUL_IMM8 = 0x6b, OP_IMUL_IMM32 = 0x69, OP_ALU_IMM8 = 0x83, OP_ALU_IMM32 = 0x81,
    OP_TEST = 0x85, OP_XCHG = 0x87, OP_STORE = 0x89, OP_LOAD = 0x8b, OP_LEA = 0x8d, OP_SHIFT_IMM8 = 0xc1,
    OP_STORE_IMM = 0xc7, OP_SHIFT_CL = 0xd3, OP_CALL = 0xe8, OP_JMP = 0xe9, OP_GROUP3 = 0xf7, OP_GROUP5 = 0xff,
    OP_MOVUPS_LOAD = 0x0f10, OP_MOVUPS_STORE = 0x0f11, OP_MOVAPS_LOAD = 0x0f28,
    OP_CVTSI2S = 0x0f2a, OP_CVTTS2SI = 0x0f2c, OP_CVTS2SI = 0x0f2d, OP_UCOMIS = 0x0f2e, OP_COMIS = 0x0f2f,
    OP_VMOVD_LOAD = 0x0f6e, OP_VMOVD_STORE = 0x0f7e, OP_CMOV = 0x0f40, OP_SETCC = 0x0f90,
    OP_GROUP15 = 0x0fae, OP_IMUL = 0x0faf, OP_MOVZX8 = 0x0fb6, OP_MOVZX16 = 0x0fb7, OP_GROUP8 = 0x0fba,
    OP_POPCNT = 0x0fb8, OP_BSF = 0x0fbc, OP_BSR = 0x0fbd, OP_MOVSX8 = 0x0fbe, OP_MOVSX16 = 0x0fbf,
    OP_CMPXCHG = 0x0fb1, OP_XADD = 0x0fc1,
    OP_PEXTRB = 0x0f3a14, OP_PEXTRW = 0x0f3a15, OP_PEXTRD = 0x0f3a16, OP_PINSRB = 0x0f3a20, OP_PINSRW = 0x0fc4,
    OP_CRC32 = 0x0f38f1, OP_BIT_FIELD = 0x0f38f5, OP_BEXTR = 0x0f38f7, OP_SHIFTX = 0x0f38f7,
    OP_PINSRD = 0x0f3a22, OP_RORX = 0x0f3af0,
    OP_MOVQ_LOAD = 0x0f7e, OP_MOVQ_STORE = 0x0fd6, OP_MOVMSK = 0x0f50, OP_PMOVMSKB = 0x0fd7, OP_PXOR = 0x0fef,
};

/* [base + (index << shift) + disp], shift 0..3; index NO_REG: none. */
struct x86_mem {
    uint8_t base, index, shift;
    int32_t disp;
};

struct enc {
    uint8_t *at;    /* next byte; the caller guarantees room */
};

static inline struct x86_mem mem_at(unsigned base, int32_t disp)
{
    return (struct x86_mem){ (uint8_t)base, NO_REG, 0, disp };
}

static inline struct x86_mem mem_indexed(unsigned base, unsigned index, int32_t disp)
{
    return (struct x86_mem){ (uint8_t)base, (uint8_t)index, 0, disp };
}

static inline struct x86_mem mem_scaled(unsigned base, unsigned index, unsigned shift)
{
    return (struct x86_mem){ (uint8_t)base, (uint8_t)index, (uint8_t)shift, 0 };
}

static inline bool fits_int8(int64_t v) { return v == (int8_t)v; }
static inline bool fits_int32(int64_t v) { return v == (int32_t)v; }

/* Arithmetic at exactly the width given; at W32 the upper half of the destination becomes 0. */
void enc_alu_rr(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, unsigned src);
void enc_alu_ri(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, int32_t imm);
void enc_alu_rm(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, struct x86_mem src);
void enc_alu_mi(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, int32_t imm);
void enc_test_rr(struct enc *e, unsigned w, unsigned a, unsigned b);
void enc_test_ri(struct enc *e, unsigned w, unsigned a, int32_t imm);
void enc_unary(struct enc *e, enum x86_unary op, unsigned w, unsigned reg);
void enc_step(struct enc *e, enum x86_step op, unsigned w, unsigned reg);
void enc_shift_ri(struct enc *e, enum x86_shift op, unsigned w, unsigned reg, unsigned count);
/* dst := src rotated to the right; no flags. TCG_ISA_BMI2. */
void enc_rorx(struct enc *e, unsigned w, unsigned dst, unsigned src, unsigned count);
void enc_shift_cl(struct enc *e, enum x86_shift op, unsigned w, unsigned reg);
void enc_imul_rr(struct enc *e, unsigned w, unsigned dst, unsigned src);
void enc_imul_rri(struct enc *e, unsigned w, unsigned dst, unsigned src, int32_t imm);
void enc_bit_scan(struct enc *e, enum x86_opcode op, unsigned w, unsigned dst, unsigned src);
/* POPCNT; TZCNT and LZCNT are BSF and BSR with a prefix. TCG_ISA_POPCNT, BMI1, LZCNT. */
void enc_count_bits(struct enc *e, enum x86_opcode op, unsigned w, unsigned dst, unsigned src);
/* PDEP (0xf2), PEXT (0xf3), BZHI (0) by their prefix, at OP_BIT_FIELD, and BEXTR (0): dst := a, b. TCG_ISA_BMI2, BMI1. */
void enc_bit_field(struct enc *e, uint8_t prefix, enum x86_opcode op, unsigned w, unsigned dst, unsigned a, unsigned b);
/* `crc` continued with src of width w. TCG_ISA_SSE42. */
void enc_crc32(struct enc *e, unsigned w, unsigned crc, unsigned src);
/* dst_high:dst_low := rdx * src; flags stay. Needs BMI2. */
void enc_mulx(struct enc *e, unsigned w, unsigned dst_high, unsigned dst_low, unsigned src);
/* rdx := sign of rax, at W32 or W64. */
void enc_cwd(struct enc *e, unsigned w);
/* CF := bit `bit` of reg. */
void enc_bt_ri(struct enc *e, unsigned w, unsigned reg, unsigned bit);
void enc_bswap(struct enc *e, unsigned w, unsigned reg);
void enc_setcc(struct enc *e, enum x86_cc cc, unsigned reg);
void enc_cmov(struct enc *e, enum x86_cc cc, unsigned w, unsigned dst, unsigned src);

/* Atomic operations on memory; `reg` gets the old value from XADD and XCHG, RAX from CMPXCHG. */
void enc_lock_alu(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, unsigned reg);
void enc_lock_alu_imm(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, int32_t imm);
void enc_lock_neg(struct enc *e, unsigned w, struct x86_mem dst);
void enc_lock_xadd(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg);
void enc_lock_cmpxchg(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg);
void enc_xchg_mem(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg);

/* Moves. None changes the flags. mov_rr at W8 and W16 leaves the bits above unchanged. */
void enc_mov_rr(struct enc *e, unsigned w, unsigned dst, unsigned src);
void enc_mov_ri(struct enc *e, unsigned dst, uint64_t imm);
void enc_xchg(struct enc *e, unsigned a, unsigned b);
/* Zero-extend from width w to 64 bits. */
void enc_zext(struct enc *e, unsigned w, unsigned dst, unsigned src);
/* Sign-extend from width w to width `to` (W32: upper half 0). */
void enc_sext(struct enc *e, unsigned w, unsigned to, unsigned dst, unsigned src);
/* Load of width w, zero-extended to 64 bits. */
void enc_load(struct enc *e, unsigned w, unsigned dst, struct x86_mem src);
void enc_store(struct enc *e, unsigned w, struct x86_mem dst, unsigned src);
/* At W64 the immediate is sign-extended. */
void enc_store_imm(struct enc *e, unsigned w, struct x86_mem dst, int32_t imm);
void enc_lea(struct enc *e, unsigned w, unsigned dst, struct x86_mem src);
void enc_push(struct enc *e, unsigned reg);
void enc_pop(struct enc *e, unsigned reg);
void enc_pushf(struct enc *e);

/* Control flow. Forward jumps return the place of their displacement for enc_patch. */
uint8_t *enc_jcc32(struct enc *e, enum x86_cc cc);
uint8_t *enc_jcc8(struct enc *e, enum x86_cc cc);
uint8_t *enc_jmp32(struct enc *e);
void enc_patch32(uint8_t *disp, const uint8_t *target);
void enc_patch8(uint8_t *disp, const uint8_t *target);
void enc_jcc_to(struct enc *e, enum x86_cc cc, const uint8_t *target);
void enc_jmp_to(struct enc *e, const uint8_t *target);
void enc_call_to(struct enc *e, const uint8_t *target);
void enc_jmp_mem(struct enc *e, struct x86_mem target);
void enc_jmp_reg(struct enc *e, unsigned reg);
void enc_call_reg(struct enc *e, unsigned reg);
void enc_ret(struct enc *e);
void enc_ud2(struct enc *e);
/* The low byte of the flags to AL (by way of AH), zero-extended to RAX. */
void enc_lahf(struct enc *e);
/* `n` bytes (0..15) of no-operation. */
void enc_nops(struct enc *e, unsigned n);

/* Vector: prefix 0, 0x66, 0xf2, 0xf3; op 0x0fNN, 0x0f38NN, 0x0f3aNN. Some instructions have a general register as
 * one of the operands; `w` is then its width, elsewhere W32. */
void enc_sse_rr(struct enc *e, uint8_t prefix, unsigned w, unsigned op, unsigned dst, unsigned src);
void enc_sse_mem(struct enc *e, uint8_t prefix, unsigned op, unsigned reg, struct x86_mem mem);
/* Three operands with a VEX prefix. `src1` 0: unused when the instruction has only two. */
enum { VEX_W = 1, VEX_L = 2 /* 256 bits */ };
void enc_vex_rr(struct enc *e, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned src1,
                unsigned src2);
/* x87: opcode 0xd8..0xdf and a whole ModRM, or a digit and memory. */
void enc_x87(struct enc *e, unsigned op, unsigned modrm);
void enc_x87_mem(struct enc *e, unsigned op, unsigned digit, struct x86_mem mem);
void enc_vex_mem(struct enc *e, uint8_t prefix, unsigned flags, unsigned op, unsigned reg, unsigned src1,
                 struct x86_mem mem);
void enc_vzeroupper(struct enc *e);
void enc_imm8(struct enc *e, uint8_t imm);
void enc_ldmxcsr(struct enc *e, struct x86_mem mem);
void enc_stmxcsr(struct enc *e, struct x86_mem mem);

#endif
