/* The decoder: bytes to struct insn, by the opcode table. No side effects. */
#ifndef MIMUS_CPU_DECODE_H
#define MIMUS_CPU_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct emit;

/* Operand letters as in the SDM's opcode maps (vol. 2, appendix A.2): first the
 * addressing method, then the size. The head of opcodes.def tells where we differ. */
enum operand_kind {
    O_NONE,
    /* ModRM r/m, register or memory */
    O_Eb, O_Ew, O_Ed, O_Eq, O_Ev, O_Ey,
    /* ModRM reg, general register */
    O_Gb, O_Gw, O_Gd, O_Gv, O_Gz, O_Gy,
    /* ModRM r/m must be memory; M: address only. Md..Mx: that size */
    O_M, O_Mb, O_Mw, O_Md, O_Mq, O_Mt, O_Mdq, O_Mp, O_Ma, O_Ms,
    /* ModRM r/m must be a general register */
    O_Rv, O_Ry, O_Rw, O_Rd,
    /* immediates, displacement, far pointer, moffs */
    O_Ib, O_Ibs /* sign-extended to operand size */, O_Iw, O_Iz, O_Iv, O_Jb, O_Jz, O_Ap, O_Ob, O_Ov,
    /* string operands */
    O_Xb, O_Xw, O_Xv, O_Xz, O_Yb, O_Yw, O_Yv, O_Yz,
    /* register in the opcode's low three bits */
    O_Zb, O_Zw, O_Zv, O_Zy,
    /* segment, control, debug */
    O_Sw, O_Cy, O_Dy,
    /* fixed */
    O_AL, O_CL, O_AX, O_rAX /* operand size */, O_eAX /* 16 or 32 bits */, O_DX, O_1, O_3,
    O_ES, O_CS, O_SS, O_DS, O_FS, O_GS,
    /* MMX: P reg, Q r/m, N r/m register only; SSE: V reg, W r/m, U r/m register only */
    O_Pq, O_Pd, O_Qq, O_Qd, O_Nq, O_Vx, O_Vq, O_Vd, O_Wx, O_Wq, O_Wd, O_Ww, O_Ux, O_Uq,
    /* x is 16 bytes, with VEX.L = 1 it is 32; dq is 16, qq 32 whatever VEX.L; h the half of x, f the quarter, e the
     * eighth. H: register in VEX.vvvv. L: register in imm8[7:4]. By: general register in VEX.vvvv. */
    O_Vdq, O_Vqq, O_Wdq, O_Wqq, O_Wh, O_Wf, O_We, O_Wb, O_Udq, O_Uqq, O_Mx, O_Mqq,
    O_Hx, O_Hdq, O_Hqq, O_Hq, O_Hd, O_Lx, O_Ldq, O_By,
    /* Memory operand of a gather (VSIB): elements of 4 or 8 bytes; indices in insn->index (a vector register). */
    O_MGd, O_MGq,
    /* x87 */
    O_ST0, O_STi, O_Mf32, O_Mf64, O_Mf80, O_Mi16, O_Mi32, O_Mi64, O_Mbcd, O_Menv, O_Mstate,
    O_NUM
};

enum operand_class { OC_NONE, OC_REG, OC_MEM, OC_IMM, OC_SEG, OC_CR, OC_DR, OC_MMX, OC_XMM, OC_ST };

struct operand {
    uint8_t class; /* enum operand_class */
    uint8_t reg;   /* number; for byte registers without REX 4..7 mean AH CH DH BH: high_byte is set and reg is 0..3 */
    uint8_t size;  /* bytes: 1 2 4 8 10 16 ...; 0: address only */
    bool high_byte;
};

enum insn_prefix { PFX_LOCK = 1, PFX_REPNE = 2, PFX_REP = 4, PFX_66 = 8, PFX_67 = 16, PFX_SEG = 32, PFX_REX = 64,
                   PFX_VEX = 128 };
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 }; /* with a VEX prefix rex holds its R, X, B, W, not inverted */

#define INSN_MAX_LEN 15
#define REG_NONE 0xff
#define REG_RIP 0xfe

struct insn {
    const struct opcode *row;
    uint8_t len;
    uint8_t bits;        /* 16, 32, 64: code size */
    uint8_t opsize;      /* operand size in bytes: 2, 4, 8 */
    uint8_t addrsize;    /* address size in bytes: 2, 4, 8 */
    uint8_t prefix;      /* enum insn_prefix */
    uint8_t rex;
    uint8_t vvvv;        /* VEX.vvvv, not inverted: register number; 0 when unused */
    bool vex_l;          /* VEX.L */
    uint16_t opcode;     /* as in the table: 0x00.., 0x0f00.., 0x0f3800.. >> see map */
    uint8_t map;         /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    uint8_t modrm;
    bool has_modrm, has_mem;
    uint8_t seg;         /* effective segment of the memory operand (defaults and overrides applied) */
    uint8_t base, index; /* GPR numbers, REG_RIP, REG_NONE */
    uint8_t scale;       /* 1 2 4 8 */
    uint8_t imm_size;    /* bytes */
    int64_t disp;        /* displacement or moffs address */
    int64_t imm;         /* sign-extended immediate or branch displacement */
    uint32_t imm2;       /* second immediate: ENTER level, far pointer's selector */
    uint32_t mem_size;   /* bytes accessed at the memory operand; 0: address only */
    struct operand op[4];
};

enum opcode_flags {
    OPF_LOCK = 1 << 0,     /* LOCK allowed with a memory destination */
    OPF_I64 = 1 << 1,      /* invalid in 64-bit code */
    OPF_O64 = 1 << 2,      /* only in 64-bit code */
    OPF_D64 = 1 << 3,      /* 64-bit code: operand size defaults to 64 (66 makes it 16) */
    OPF_F64 = 1 << 4,      /* 64-bit code: operand size is 64 whatever the prefixes */
    OPF_CPL0 = 1 << 5,     /* #GP(0) unless CPL 0 */
    OPF_PROT = 1 << 6,     /* #UD in real and v86 mode */
    OPF_END = 1 << 7,      /* ends the block (control flow or mode change) */
    OPF_REP = 1 << 8,      /* REP prefixes mean repetition */
    OPF_FPU = 1 << 9,      /* x87: #NM by CR0.EM or TS; waits for pending #MF unless OPF_NOWAIT */
    OPF_NOWAIT = 1 << 10,  /* x87 control instruction that does not check for pending exceptions */
    OPF_MMX = 1 << 11,     /* #UD by CR0.EM, #NM by TS, pending #MF; enters MMX state */
    OPF_SSE = 1 << 12,     /* #UD by CR0.EM or no CR4.OSFXSR, #NM by TS */
    OPF_ALIGN = 1 << 13,   /* 16-byte memory operand must be aligned: #GP(0) */
    OPF_HOST = 1 << 14,    /* a user-mode process can run it: the differential test covers it */
    OPF_B = 1 << 15,       /* byte form: operand size is 1 (set for rows whose operands are all b) */
    OPF_VEX = 1 << 16,     /* VEX encoding; #UD in real and v86 mode, with LOCK, 66, F2, F3 or REX before it */
    OPF_W0 = 1 << 17,      /* VEX.W must be 0 / 1; neither: ignored */
    OPF_W1 = 1 << 18,
    OPF_L0 = 1 << 19,      /* VEX.L must be 0 / 1; neither: either is good */
    OPF_L1 = 1 << 20,
    OPF_AVX = 1 << 21,     /* needs AVX state: #UD unless CR4.OSXSAVE and XCR0[2:1] = 3, #NM by CR0.TS */
    OPF_UMIP = 1 << 22,    /* #GP(0) when CR4.UMIP is set and CPL > 0 */
    OPF_SERIAL = 1 << 23,  /* serialising (SDM vol. 3, 9.3), MFENCE: earlier stores are seen by all before later loads */
    OPF_LIVE = 1 << 24,    /* the emitter knows the immediate only by emit_load(): a block may read it when it runs */
};

/* What the encoding must look like besides the opcode byte: SEL(reg, mod, rm), built by the macros in opcodes.def. */
struct opcode {
    const char *mnemonic;
    uint32_t opcode;       /* 0xNN, 0x0fNN, 0x0f38NN, 0x0f3aNN */
    uint8_t pfx;           /* enum opcode_pfx */
    uint8_t reg, mod, rm;  /* required ModRM fields; SEL_ANY: any. mod: SEL_MEM (not 3) or SEL_REG (3) */
    uint8_t op[4];         /* enum operand_kind */
    uint32_t flags;
    uint8_t feature;       /* enum cpu_feature */
    uint32_t undef;        /* EFLAGS bits left undefined */
    void (*emit)(struct emit *e);
    uint32_t arg;          /* for the emitter: ALU operation, condition, vector operation ... */
};
enum { SEL_ANY = 0xff, SEL_MEM = 0xfe, SEL_REG = 0xfd };
enum opcode_pfx { PFXSEL_ANY, PFXSEL_NP, PFXSEL_66, PFXSEL_F3, PFXSEL_F2 };

extern const struct opcode cpu_opcodes[];
extern const unsigned cpu_num_opcodes;

enum decode_result {
    DECODE_OK,
    DECODE_UD,        /* no row matches: #UD */
    DECODE_TOO_LONG,  /* more than 15 bytes: #GP(0) */
    DECODE_MORE,      /* `avail` bytes are not enough */
};

/* Decode the instruction at `code`, of which `avail` bytes may be read, in code
 * of `bits` (16, 32, 64). Checks everything that makes an encoding invalid in
 * itself (LOCK, I64/O64, ModRM forms) but neither privilege nor features. On
 * DECODE_UD insn->len is still the length as far as it could be told. */
enum decode_result insn_decode(struct insn *insn, const uint8_t *code, size_t avail, unsigned bits);

/* One line of Intel syntax as objdump writes it, without line end; `pc` is the instruction's address. */
void insn_print(FILE *out, const struct insn *insn, uint64_t pc);

#endif
