/* The intermediate representation: one block of typed values in a flat array.
 *
 * A block has one entry and ends with one E_END instruction; it has no
 * internal jumps. Operations are the rows of ir.def. */
#ifndef MIMUS_TCG_IR_H
#define MIMUS_TCG_IR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum ir_op {
#define IR_OP(name, r, a, b, c, d, eff) IR_##name,
#include "tcg/ir.def"
    IR_NUM_OPS
};

enum ir_type { IR_I8, IR_I16, IR_I32, IR_I64 };
/* Width in bytes and bits. */
#define IR_BYTES(t) (1u << (t))
#define IR_BITS(t) (8u << (t))

enum ir_effect { E_PURE = 1, E_READ = 2, E_WRITE = 4, E_FAULT = 8, E_END = 16 };

enum ir_cmp { IR_CMP_EQ, IR_CMP_NE, IR_CMP_LTU, IR_CMP_LEU, IR_CMP_GTU, IR_CMP_GEU,
              IR_CMP_LTS, IR_CMP_LES, IR_CMP_GTS, IR_CMP_GES };

/* aux of LD, ST, LDV, STV, ATOMIC, CAS. */
enum ir_mem {
    IR_MEM_RMW = 1,     /* LD that a store to the same place will follow: check for writing */
    IR_MEM_STACK = 2,   /* through SS: a non-canonical address is #SS, not #GP */
    IR_MEM_ALIGN = 4,   /* LDV, STV: an address that is not a multiple of 16 (V32: 32) goes to the slow path, which raises #GP */
    IR_MEM_SUPER = 8,   /* implicit supervisor access whatever the CPL */
    IR_MEM_PAIR = 16,   /* for load16 and store16 alone: the lower half of an access of 32 bytes, all of which are
                         * checked here (ALIGN: a multiple of 32), so that the other half raises nothing any more */
    IR_MEM_FLAT = 32,   /* through a segment of 4 GiB whose limit nobody else looks at: not to run over its end */
};
/* Operand d of an access is among the latest so many XLATEs. */
#define IR_OPEN_XLATES 8
/* imm of X87, X87V, X87M. */
#define IR_X87_IMM(opcode, modrm, helper, arg) \
    ((uint64_t)((opcode) & 0xff) | (uint64_t)((modrm) & 0xff) << 8 | (uint64_t)(helper) << 16 | (uint64_t)(arg) << 32)
/* cc of vector instructions: how much of the fields. A vector of 32 bytes is a field of 16 and its second half, a
 * field tcg_guest.vec_high behind it. */
enum ir_vec {
    IR_V16, IR_V4, IR_V8,   /* 4, 8: LDV and STV only; a load clears the rest of the 16 bytes */
    IR_V32,                 /* VOP: the same on each half, with tcg_vop_high_imm() */
    IR_V_SIZE = 3,
    IR_V_CLEAR = 4,         /* what writes 16 bytes or less clears the second half, too */
    IR_V_LOW_B = 8,         /* VOP with V32: the second source of both halves is its first half */
};
enum { IR_VF_DOUBLE = 1, IR_VF_TRUNCATE = 2, IR_VF_QUIET = 2 }; /* aux of VFROMI, VTOI, VCOM */
/* Displacement of LD, ST, LDV, STV: that of the last byte is one, too, and so may be an end of a range. */
#define IR_MAX_DISP (INT32_MAX - 63)
#define IR_FAR(n) (1u << (n)) /* aux of GOTO, BR */

/* What ATOMIC stores. NEG looks at the old value only; its operand arrives as anything at the slow path. */
enum ir_atomic { IR_ATOMIC_ADD, IR_ATOMIC_AND, IR_ATOMIC_OR, IR_ATOMIC_XOR, IR_ATOMIC_XCHG, IR_ATOMIC_NEG,
                 IR_NUM_ATOMICS };

/* EFLAGS places of the six arithmetic flags. */
enum { IR_CF = 0x001, IR_PF = 0x004, IR_AF = 0x010, IR_ZF = 0x040, IR_SF = 0x080, IR_OF = 0x800,
       IR_FLAGS6 = 0x8d5 };

/* aux of FL_INC and FL_DEC, if the builder sinks flags. */
enum { IR_KEEPS_C = 1, IR_CHANGES_C = 2 };

typedef uint16_t ir_ref; /* index into the block; 0 = none (insn[0] is never a value) */

struct ir_insn {
    uint8_t op;
    uint8_t type;   /* enum ir_type: the T of the row */
    uint8_t cc;     /* CMP: enum ir_cmp; COND: x86 condition number */
    uint8_t aux;    /* VOP: the immediate */
    ir_ref a, b, c, d;
    ir_ref fl;      /* E_FAULT instructions: the flags to be committed before leaving the block here; 0: the guest's flags are up to date */
    uint16_t uses;  /* number of references, kept by the passes */
    uint64_t imm;
};

/* Bytes of LD, ST, LDV, STV. */
static inline unsigned ir_access_size(const struct ir_insn *in)
{
    static const uint8_t vector_size[] = { [IR_V16] = 16, [IR_V4] = 4, [IR_V8] = 8, [IR_V32] = 32 };

    return in->op == IR_LDV || in->op == IR_STV ? vector_size[in->cc & IR_V_SIZE] : IR_BYTES(in->type);
}

#define IR_MAX_INSNS 2048  /* capacity of a block; emission stops in time (ir_room) */

/* Bytes of guest code that the block does not contain but reads when it runs, from its first byte on. */
struct ir_live { int16_t off; uint8_t len; };
#define IR_LIVES 5

struct ir_block {
    struct ir_insn *insn;   /* [1 .. num) are in use */
    unsigned num;
    /* What the block is a translation of. */
    uint64_t phys;          /* RAM offset of the first byte */
    uint64_t phys2;         /* RAM offset of the page that holds its tail when it crosses a page, else ~0 */
    uint64_t pc;            /* linear address, for logs and filters only: blocks are position-independent */
    uint32_t mode;          /* mode bits: part of the key */
    uint16_t page_off;      /* offset of the first byte within its page, also when it has no RAM offset */
    uint32_t guest_size;    /* bytes from the first one on */
    uint16_t guest_before;  /* bytes in front of it, as far as code of this block begins there */
    uint32_t guest_insns;
    unsigned num_exits;     /* EXITIFs */
    uint8_t mmu;            /* software TLB set used by LD and ST (0 .. guest->num_mmu-1) */
    uint8_t num_live;
    struct ir_live live[IR_LIVES];
    bool hot;               /* takes the place of one that was entered often; off_code_base is 0 where it runs */
    bool warm;              /* counts its entries; the last one leaves by TCG_EXIT_HOT */
    bool keep;              /* a block of one instruction is to be found again; its mode tells it from others */
};

/* One row of ir.def as data. */
struct ir_op_info {
    const char *name;
    char result, a, b, c, d; /* letters */
    uint8_t effects;
};
extern const struct ir_op_info ir_ops[IR_NUM_OPS];

/* ---- building (ir_build.c, ir_fold.c, ir_sink.c) ----
 *
 * With IR_FOLD the builder folds constants, simplifies, shares equal pure values and forwards guest-register reads
 * while building; with IR_SINK it delays writes of flags to where something can see them, and drops those of flags and
 * registers that nothing sees. With neither it appends what it is told, for the unoptimised engine. */
enum ir_build { IR_PLAIN, IR_FOLD = 1, IR_SINK = 2 };
struct ir_builder;
struct tcg_guest;

/* how: enum ir_build, joined by |. */
struct ir_builder *ir_builder_new(const struct tcg_guest *guest, unsigned how);
void ir_builder_free(struct ir_builder *b);
/* Start an empty block and return it; the builder owns it and reuses it at the next start. */
struct ir_block *ir_start(struct ir_builder *b);
struct ir_block *ir_block(struct ir_builder *b);
/* Instructions that still fit. */
unsigned ir_room(const struct ir_builder *b);

ir_ref ir_const(struct ir_builder *b, enum ir_type t, uint64_t v);
ir_ref ir_get(struct ir_builder *b, enum ir_type t, unsigned reg);            /* I32, I64 */
void   ir_put(struct ir_builder *b, enum ir_type t, unsigned reg, ir_ref v);  /* I32, I64 */
ir_ref ir_lde(struct ir_builder *b, enum ir_type t, unsigned offset);
void   ir_ste(struct ir_builder *b, enum ir_type t, unsigned offset, ir_ref v);
/* Signs of the elements (I8, I32, I64) of a field; cc: V16, V32. */
ir_ref ir_vmask(struct ir_builder *b, unsigned cc, enum ir_type element, unsigned offset);
/* The immediate of `t` at host address `host`, when it runs. */
ir_ref ir_code(struct ir_builder *b, enum ir_type t, const void *host);
ir_ref ir_pc(struct ir_builder *b, enum ir_type t, int64_t delta);
/* NOT NEG BSWAP CTZ CLZ POPCNT. */
ir_ref ir_un(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref a);
/* ADD .. MULHS, SHL .. ROR (shift count I32), PDEP .. CRC32. */
ir_ref ir_bin(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y);
ir_ref ir_bini(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, uint64_t imm);
/* Resize to `to`: zero- or sign-extend or truncate as the type of `a` asks; no-op when equal. */
ir_ref ir_zext(struct ir_builder *b, enum ir_type to, ir_ref a);
ir_ref ir_sext(struct ir_builder *b, enum ir_type to, ir_ref a);
ir_ref ir_extract(struct ir_builder *b, enum ir_type t, ir_ref a, unsigned pos, unsigned len);
ir_ref ir_deposit(struct ir_builder *b, enum ir_type t, ir_ref a, unsigned pos, unsigned len, ir_ref field);
ir_ref ir_cmp(struct ir_builder *b, enum ir_cmp cc, enum ir_type t, ir_ref x, ir_ref y);
ir_ref ir_select(struct ir_builder *b, enum ir_type t, ir_ref cond, ir_ref yes, ir_ref no);
/* ADC SBB (carry z: I32), DIVU REMU DIVS REMS (z: 0). */
ir_ref ir_tri(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y, ir_ref z);
/* Flags of kind op (FL_*); unused operands 0. t is the operation's width. */
ir_ref ir_flags(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y, ir_ref z);
ir_ref ir_getfl(struct ir_builder *b);
void   ir_putfl(struct ir_builder *b, ir_ref fl);
void   ir_putflif(struct ir_builder *b, ir_ref fl, ir_ref cond);
ir_ref ir_eflags(struct ir_builder *b, ir_ref fl);
ir_ref ir_cond(struct ir_builder *b, unsigned cc, ir_ref fl);
ir_ref ir_ld(struct ir_builder *b, enum ir_type t, ir_ref addr, unsigned mem);
void   ir_st(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref v, unsigned mem);
ir_ref ir_atomic(struct ir_builder *b, enum ir_atomic kind, enum ir_type t, ir_ref addr, ir_ref v,
                 unsigned mem);
ir_ref ir_cas(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref expected, ir_ref desired,
              unsigned mem);
void   ir_fence(struct ir_builder *b);
/* cc: enum ir_vec. */
void   ir_ldv(struct ir_builder *b, unsigned cc, ir_ref addr, unsigned offset, unsigned mem);
void   ir_stv(struct ir_builder *b, unsigned cc, ir_ref addr, unsigned offset, unsigned mem);
void   ir_bound(struct ir_builder *b, ir_ref a, unsigned offset, unsigned size, unsigned helper, unsigned arg);
void   ir_trapif(struct ir_builder *b, ir_ref cond, unsigned helper, uint32_t arg);
/* Unused arguments 0. Returns 0 for a void helper. */
ir_ref ir_call(struct ir_builder *b, unsigned helper, ir_ref a0, ir_ref a1, ir_ref a2, ir_ref a3);
void   ir_vop(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2);
void   ir_vopi(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2, uint8_t imm);
ir_ref ir_x87(struct ir_builder *b, uint64_t imm);                       /* imm: IR_X87_IMM() */
void   ir_x87v(struct ir_builder *b, uint64_t imm, ir_ref v);
void   ir_x87m(struct ir_builder *b, uint64_t imm, ir_ref addr, unsigned size, bool writes);
/* The same with cc. */
void   ir_vopw(struct ir_builder *b, unsigned cc, unsigned vop, unsigned dst, unsigned src1, unsigned src2, uint8_t imm);
void   ir_vzero(struct ir_builder *b, unsigned first, unsigned count);
/* Values are I32 or I64; what: IR_VF_*; cc: V16 or CLEAR. */
void   ir_vset(struct ir_builder *b, unsigned cc, unsigned dst, ir_ref v);
void   ir_vfromi(struct ir_builder *b, unsigned cc, unsigned dst, unsigned rest, ir_ref v, unsigned what);
ir_ref ir_vtoi(struct ir_builder *b, enum ir_type t, unsigned src, unsigned what);
ir_ref ir_vcom(struct ir_builder *b, unsigned src1, unsigned src2, unsigned what);
void   ir_insn_start(struct ir_builder *b, uint32_t offset, uint32_t len);
void   ir_exitif(struct ir_builder *b, enum ir_type ip, ir_ref cond, int32_t delta, bool far_exit);
void   ir_gotoif(struct ir_builder *b, ir_ref cond, ir_ref pc, uint32_t note);
void   ir_goto(struct ir_builder *b, enum ir_type ip, int32_t delta, bool far_exit);
void   ir_br(struct ir_builder *b, enum ir_type ip, ir_ref cond, int32_t taken, bool taken_far, int32_t next, bool next_far);
void   ir_gotoi(struct ir_builder *b, ir_ref pc, uint32_t note);
void   ir_lookup(struct ir_builder *b);
void   ir_exit(struct ir_builder *b, enum ir_type ip, int32_t delta);
void   ir_exit_dynamic(struct ir_builder *b);      /* a helper has set pc */
enum ir_type ir_type_of(const struct ir_builder *b, ir_ref v); /* of a value that is not flags */
bool   ir_is_const(const struct ir_builder *b, ir_ref v, uint64_t *value);
/* Which bits of an integer value, within its type, may be 1: an index of a byte is below 256. */
uint64_t ir_maybe_bits(const struct ir_insn *insn, ir_ref v);

/* ---- passes: each is one file with one function ---- */

/* Let accesses to memory near each other share a translation of the address. */
void ir_opt_share(struct ir_block *blk, const struct tcg_guest *guest);
/* Drop values that nobody uses; set `uses`. The last pass. */
void ir_opt_dead(struct ir_block *blk, const struct tcg_guest *guest);

/* Check every rule that ir.def states. Returns NULL, or a description of the first violation (static buffer of `err`). */
const char *ir_verify(const struct ir_block *blk, const struct tcg_guest *guest, char *err, size_t size);
void ir_print(FILE *out, const struct ir_block *blk, const struct tcg_guest *guest);

/* ---- meaning of flags, shared by folding, interpreter and CPU (flags.c) ---- */

/* The six flag bits made by operation `op` (IR_FL_ADD .. IR_FL_RAW; not SETC) of width t. */
uint32_t ir_flags_eval(unsigned op, unsigned t, uint64_t a, uint64_t b, uint64_t c);
/* Does x86 condition cc (0..15) hold in these flag bits? */
bool ir_cond_eval(unsigned cc, uint32_t flags);
/* Result of a pure integer operation on constants; operands may carry garbage above their width. */
uint64_t ir_eval(unsigned op, unsigned t, unsigned cc, uint64_t imm, unsigned src_type, uint64_t a, uint64_t b, uint64_t c);

#endif
