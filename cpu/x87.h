/* What the x87 emitters and helpers agree on. */
#ifndef MIMUS_CPU_X87_H
#define MIMUS_CPU_X87_H

#include "cpu/state.h"

/* FSW bits. TOP is kept apart in struct fpu. */
enum {
    FSW_IE = 0x01, FSW_DE = 0x02, FSW_ZE = 0x04, FSW_OE = 0x08, FSW_UE = 0x10, FSW_PE = 0x20,
    FSW_SF = 0x40, FSW_ES = 0x80, FSW_C0 = 0x100, FSW_C1 = 0x200, FSW_C2 = 0x400, FSW_C3 = 0x4000, FSW_B = 0x8000,
    FSW_EXCEPTIONS = 0x3f, FSW_CODES = 0x4700,
};
#define FSW_TOP_SHIFT 11

/* Operations in the order of the opcodes' reg field, then those of D9 F0..FF. */
enum x87_op {
    X87_ADD, X87_MUL, X87_COM, X87_COMP, X87_SUB, X87_SUBR, X87_DIV, X87_DIVR,
    X87_2XM1, X87_YL2X, X87_PTAN, X87_PATAN, X87_XTRACT, X87_PREM1, X87_DECSTP, X87_INCSTP,
    X87_PREM, X87_YL2XP1, X87_SQRT, X87_SINCOS, X87_RNDINT, X87_SCALE, X87_SIN, X87_COS,
    X87_CHS, X87_ABS, X87_TST, X87_UCOM,
    X87_NUM_OPS
};

/* Bits of `spec`. */
enum x87_spec {
    XS_OP = 0x1f,           /* enum x87_op */
    XS_STI = 7 << 5,        /* i of ST(i) */
    XS_DEST_STI = 1 << 8,   /* result to ST(i), else ST(0) */
    XS_POP = 1 << 9,
    XS_POP2 = 1 << 10,
    XS_KIND = 7 << 11,      /* enum x87_kind of the memory operand, 0: register */
    XS_TRUNC = 1 << 14,     /* FISTTP */
    XS_STACK = 1 << 15,     /* memory operand through SS */
    XS_OP32 = 1 << 16,      /* environment: 32-bit operand size */
    XS_REX = 1 << 17,       /* FXSAVE64, XSAVE64 */
    XS_SEG = 7,             /* XSAVE: segment of the memory operand */
    XS_FLAT = 1 << 18,      /* memory operand through a flat segment */
};
/* IR_MEM_* of the memory operand. */
static inline uint32_t xs_mem_flags(uint64_t spec)
{
    return (spec & XS_STACK ? IR_MEM_STACK : 0) | (spec & XS_FLAT ? IR_MEM_FLAT : 0);
}
#define XS_STI_SHIFT 5
#define XS_KIND_SHIFT 11

enum x87_kind { XK_REG, XK_F32, XK_F64, XK_F80, XK_I16, XK_I32, XK_I64, XK_BCD };

enum x87_misc { XM_NINIT, XM_NCLEX, XM_EMMS };

/* Bring the guest's x87 state from the host's unit to struct fpu, if it is there (x87_live.c). */
void fpu_sync(struct cpu *cpu);
/* The translator's way to x87 instructions: tcg_guest.x87 and x87_leave. */
uint64_t cpu_x87(void *env, uint64_t a, uint64_t imm, uint32_t load);
void cpu_x87_leave(void *env);

/* What becomes of a value that is written to the control word. */
static inline uint16_t fpu_control_word(uint64_t cw) { return (uint16_t)((cw & 0x1f7f) | 0x40); }
/* Recompute whether the next waiting instruction raises #MF; after changes of FSW, FCW or CR0.NE. */
void fpu_update_pending(struct cpu *cpu);
/* FTW as FNSTENV stores it (two bits a register). */
uint16_t fpu_tag_word(const struct fpu *f);
void fpu_set_tag_word(struct fpu *f, uint16_t tags);
uint16_t fpu_status_word(const struct fpu *f);
void fpu_set_status_word(struct cpu *cpu, uint16_t sw);
void fpu_init(struct cpu *cpu);

/* ---- the FXSAVE area (helper_fpu_env.c), which is also the legacy region of XSAVE; SDM vol. 1, table 10-2 ---- */

enum { FX_MXCSR = 24, FX_ST = 32, FX_XMM = 160, FX_XMM_END = 416, FX_SIZE = 512 };
#define MXCSR_MASK 0xffffu   /* bits that may be set */

/* x87 state to bytes 0..23 and 32..159 of `area`; `rex`: 64-bit instruction and operand pointers. */
void fpu_fx_save(const struct fpu *f, uint8_t *area, bool rex);
void fpu_fx_restore(struct cpu *cpu, const uint8_t *area, bool rex);

/* ---- operations on the host's x87 (x87_host.c) ---- */

struct x87_io {
    union fpu_reg a, b;      /* ST(0) and the other operand */
    union fpu_reg r0, r1;    /* results: new ST(0) and, for PTAN and SINCOS and XTRACT, the one below */
    uint64_t mem;            /* integer or short real in memory format */
    uint8_t bcd[16];
    uint16_t cw;             /* guest's control word */
    uint16_t sw;             /* status after the operation */
};

/* r0 (r1) := operation; for unmasked exceptions the results are what the processor leaves. */
void x87_host_op(enum x87_op op, struct x87_io *io);
/* The same for ADD .. DIVR with io->mem as second operand: what the conversion raises is part of the operation. */
void x87_host_op_real(enum x87_op op, enum x87_kind kind, struct x87_io *io);
/* Compare a with b, codes in sw. `quiet`: quiet NaNs are no exception. */
void x87_host_compare(struct x87_io *io, bool quiet);
void x87_host_load(enum x87_kind kind, struct x87_io *io);             /* mem (bcd) -> r0 */
void x87_host_store(enum x87_kind kind, bool truncate, struct x87_io *io);  /* a -> mem (bcd) */
void x87_host_const(unsigned n, struct x87_io *io);                    /* -> r0 */

#endif
