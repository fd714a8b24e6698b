/* The x86-64 backend's own declarations: shared thunks, and the state of one block's compilation. */
#ifndef MIMUS_TCG_HOST_X86_64_EMIT_H
#define MIMUS_TCG_HOST_X86_64_EMIT_H

#include "tcg/host/x86_64/regalloc.h"
#include "tcg/host/x86_64/vecregs.h"

/* An access to guest memory that is a thunk of its own. */
struct x86_probe {
    unsigned mmu, type, mem;    /* mem: of IR_MEM_RMW, STACK, FLAT */
    bool store;
};
#define NUM_PROBES 32   /* of one TLB set and direction */

/* Entry points of the code that all blocks share (thunks.c). */
struct x86_thunks {
    const uint8_t *enter;       /* C function: uintptr_t enter(void *env, const void *code) */
    const uint8_t *leave_none;  /* jump here: the result is 0 */
    const uint8_t *leave_here;  /* call: the result is the return address */
    const uint8_t *leave_front; /* call: it is LEFT_BIAS more */
    const uint8_t *lookup;      /* jump here: next block by the pc field, or leave */
    const uint8_t *lookup_rax;  /* the same with the pc in rax */
    const uint8_t *lookup_noted;    /* the same with a note for the guest in edi */
    const uint8_t *lookup_far[4];   /* the same with its distance from the pc field in eax; by its type, not I8 */
    /* Memory slow paths: arguments in the frame, nothing but rsp's frame and the host's flags is changed. */
    const uint8_t *load, *store, *load16, *store16, *atomic, *cas, *x87;
    const uint8_t *probe[TCG_MAX_MMU][2][NUM_PROBES];   /* emit_called.c; loads, stores */
    const uint8_t *ask_load, *ask_store;            /* where they go when the TLB does not know */
    /* Vector registers to the frame and back, around the slow paths. Moves only. */
    const uint8_t *save_vectors, *restore_vectors;
    /* The word of six flags to eax, from a record in the frame or the lazy one. rcx and the host's flags are lost. */
    const uint8_t *flags, *getfl;
    const uint8_t *carry;       /* makes the lazy record's second operand its C, leaving the rest to the caller */
    /* Calls of the C function in rax with its arguments in place. All record the return address. */
    const uint8_t *call_plain;  /* reads and writes no guest register */
    const uint8_t *call_read;   /* all guest registers are in the CPU struct during the call */
    const uint8_t *call_write;  /* and are loaded from there afterwards */
};

/* What stands in front of a block; what is added to the return addresses of its calls. */
enum { FRONT_SIZE = 10, LEFT_BIAS = 8 };

/* Word at FRAME_WORD: what the thunks need to know besides values. */
#define WORD_MEM(size, what) ((size) | (what) << 8) /* what: IR_MEM_* | enum ir_atomic << 8 */
#define WORD_FLAGS(op, type) ((op) | (type) << 8)   /* the frame is then a struct tcg_flags */

/* Where a value was at some point of the code. */
struct loc {
    uint8_t reg;        /* NO_REG: `slot`, or `imm` if that is NO_SLOT */
    uint8_t late;       /* a shift is still to be made: enum ir_op, else 0 */
    uint8_t type, count;    /* of it */
    uint16_t slot;
    uint64_t imm;
};

/* Flags as three operands: what the lazy record takes. num = 0: none. */
struct flag_operands {
    uint8_t op, type, num;
    bool keeps_carry;           /* v[1], which is not here, is the C of the record that is replaced */
    struct loc v[3];
};

/* An access to guest memory. */
struct access {
    unsigned w;             /* of the address */
    unsigned addr, t1, t2;  /* registers */
    int32_t disp;           /* from the address to the first byte */
    unsigned size;
    bool writes;            /* or will: compare the tag for writing */
    bool clean;             /* the address register has no bits above w */
};

/* STORE: ATOMIC too. EXIT: of EXITIF and GOTOIF. */
enum stub_kind { STUB_LOAD, STUB_STORE, STUB_CAS, STUB_VECTOR, STUB_RAISE, STUB_EXIT, STUB_XLATE,
                 STUB_X87 };

/* Code that is emitted behind the block because it is rarely run. */
struct stub {
    uint8_t kind;
    uint8_t type;       /* of the access */
    uint8_t addr_type;
    uint8_t addr;       /* register; GOTOIF: the pc */
    uint8_t result;     /* LOAD, ATOMIC, CAS: register, or NO_REG */
    uint8_t scratch;
    bool shares;        /* has an XLATE that turned out to be 0, in m.t2: it probes for itself */
    struct access m;    /* memory */
    uint8_t num_from;
    uint8_t *from[4];   /* jumps that lead here */
    uint8_t *back;      /* where it continues */
    bool chained;       /* from here the next stub follows, behind a copy of the code in between: */
    uint8_t between;    /* bytes from `back` on */
    uint8_t *join;      /* the jump to that copy, when it has one of its own */
    uint8_t *retry;     /* X87: where it begins again */
    uint8_t *late;      /* X87: jump to what follows the instruction when exceptions are unmasked; or NULL */
    int16_t guest_off;
    uint16_t guest_insn;
    ir_ref insn;        /* EXIT, memory */
    uint32_t word;      /* memory: for the thunk; RAISE: helper's last argument */
    const void *target; /* memory: the thunk; RAISE: C function */
    uint64_t imm;       /* X87 */
    struct loc value;   /* STORE; CAS: the expected one */
    uint8_t desired;    /* CAS: register */
    uint32_t field;     /* LDV, STV */
    uint8_t vreg, vreg2;    /* LDV, STV: register of all or of the first half, of the second; else NO_REG */
    bool loads_vector;  /* into it */
    uint8_t size;       /* LDV, STV: bytes */
    uint16_t vectors;   /* vec_snapshot() of the place */
    uint16_t xlate_regs;    /* where XLATEs are that live on: mask of registers, and slots */
    uint8_t num_xlate_slots;
    uint16_t xlate_slot[IR_OPEN_XLATES];
    struct flag_operands flags; /* RAISE, EXIT: written by code */
    uint16_t pending;   /* others: described */
};

#define PENDING_MAX (2 + 3 * 9) /* bytes of a description of pending flags */

struct emit {
    struct enc enc;
    const struct tcg_guest *guest;
    uint32_t isa;               /* enum tcg_host_isa: what the code may use */
    struct x86_thunks thunks;
    struct regalloc ra;
    struct vecregs vec;
    /* The block. */
    const struct ir_block *ir;
    const struct ir_insn *insn;
    struct tcg_block *blk;
    uint8_t *start;
    int16_t guest_off;          /* of the current guest instruction */
    uint16_t guest_insn;        /* its number, from 1 */
    ir_ref flags_owner;         /* the host's flags are those of this result at full width; 0: unknown */
    ir_ref carry_is;            /* the host's CF is this boolean; 0: unknown */
    bool kept_flags;            /* this instruction has left the host's flags alone, though its kind need not */
    struct stub *last;          /* an access with an XLATE that is not 0, only moves and arithmetic since; or NULL */
    ir_ref xlate[IR_OPEN_XLATES];   /* the latest, in no order */
    unsigned num_xlates;
    struct vec_state loop;      /* a block that jumps to itself: what is in registers between its turns; none: no loop */
    const uint8_t *loop_at;     /* where a turn begins */
    unsigned num_stubs, num_map;
    uint32_t num_pending, last_pending; /* bytes, and where the latest description begins */
    uint8_t pending[IR_MAX_INSNS * PENDING_MAX];
    struct stub stubs[IR_MAX_INSNS];
    struct tcg_pc_entry map[2 * IR_MAX_INSNS];  /* the halves of a vector may be two calls */
};

/* rbp is so far into the CPU structure that twice as much of it is within reach of one byte. */
#define ENV_BIAS 128
static inline struct x86_mem env_mem(uint32_t offset) { return mem_at(RBP, (int32_t)(offset - ENV_BIAS)); }
static inline struct x86_mem env_indexed(unsigned index, size_t offset)
{
    return mem_indexed(RBP, index, (int32_t)offset - ENV_BIAS);
}
/* Host registers are worked on at 32 or 64 bits; the bits above a narrow value's width are undefined. */
static inline unsigned reg_width(unsigned type) { return type == IR_I64 ? W64 : W32; }

/* Type of a value that is not flags: the result letter of its row. */
static inline unsigned value_type(const struct emit *c, ir_ref v)
{
    const struct ir_insn *in = &c->insn[v];
    char letter = in->op == IR_CALL ? c->guest->helpers[in->imm].result : ir_ops[in->op].result;

    return letter == 'T' ? in->type : letter == '8' ? IR_I64 : IR_I32;
}

/* Record that the call that has just been emitted belongs to guest instruction number `insn` at `off`, and which flags
 * are pending then: flags_describe(). */
void emit_map(struct emit *c, int16_t off, uint16_t insn, uint16_t pending);

/* One function per group of operations: emit instruction i. Each unlocks and kills on its own. */
void emit_get(struct emit *c, unsigned i);
void emit_put(struct emit *c, unsigned i);
void emit_lde(struct emit *c, unsigned i);
void emit_ste(struct emit *c, unsigned i);
void emit_pc(struct emit *c, unsigned i);
void emit_code(struct emit *c, unsigned i);
void emit_arith(struct emit *c, unsigned i);        /* ADD .. SUB, AND OR XOR, MUL */
void emit_mulh(struct emit *c, unsigned i);
void emit_add_carry(struct emit *c, unsigned i);          /* ADC SBB */
void emit_division(struct emit *c, unsigned i);          /* DIVU REMU DIVS REMS */
void emit_unary(struct emit *c, unsigned i);        /* NOT NEG BSWAP */
void emit_count_zeros(struct emit *c, unsigned i);  /* CTZ CLZ */
void emit_population(struct emit *c, unsigned i);
void emit_bit_field(struct emit *c, unsigned i);    /* PDEP PEXT BZHI BEXTR */
void emit_checksum(struct emit *c, unsigned i);
void emit_shift_op(struct emit *c, unsigned i);
/* reg := reg shifted by SHL, SHR or SAR. */
void emit_shift_by(struct emit *c, unsigned op, unsigned w, unsigned reg, unsigned count);
void emit_resize(struct emit *c, unsigned i);       /* ZEXT SEXT TRUNC */
void emit_extract(struct emit *c, unsigned i);
void emit_deposit(struct emit *c, unsigned i);
void emit_boolean(struct emit *c, unsigned i);      /* CMP COND */
void emit_select(struct emit *c, unsigned i);
void emit_flags(struct emit *c, unsigned i);        /* SETC GETFL PUTFL EFLAGS */
void emit_memory(struct emit *c, unsigned i);       /* LD ST LDV STV */
void emit_xlate(struct emit *c, unsigned i);
void emit_atomic_op(struct emit *c, unsigned i);       /* ATOMIC CAS */
void emit_fence_op(struct emit *c, unsigned i);
void emit_check(struct emit *c, unsigned i);        /* BOUND TRAPIF */
void emit_helper_call(struct emit *c, unsigned i);
/* Call C function `fn`, whose arguments are in place, through `thunk`; vector registers are empty. */
void emit_c_call(struct emit *c, const void *fn, const uint8_t *thunk);
void emit_vop(struct emit *c, unsigned i);
void emit_x87_op(struct emit *c, unsigned i);       /* X87 X87V X87M */
void emit_x87_stub(struct emit *c, const struct stub *s);
void emit_vmask(struct emit *c, unsigned i);
void emit_clear_high(struct emit *c, unsigned i);
void emit_vset(struct emit *c, unsigned i);
void emit_vfromi(struct emit *c, unsigned i);
void emit_vtoi(struct emit *c, unsigned i);
void emit_vcom(struct emit *c, unsigned i);
void emit_end(struct emit *c, unsigned i);          /* GOTO BR GOTOI LOOKUP EXIT */
void emit_side_exit(struct emit *c, unsigned i);    /* EXITIF GOTOIF */
/* Out of line: what a side exit does when it is taken, its flags being written. */
void emit_side_exit_taken(struct emit *c, const struct stub *s);
void emit_entry(struct emit *c);
/* In front of c->start, FRONT_SIZE bytes. */
void emit_front(struct emit *c);
/* struct tcg_host */
void x86_link(void *host, struct tcg_block *from, unsigned n, const void *to);
void x86_close(void *host, struct tcg_block *blk);
unsigned x86_left(void *host, void *env, const struct tcg_block *blk, uintptr_t ret);
void emit_stubs(struct emit *c);

/* ---- access to guest memory ---- */

struct stub *stub_new(struct emit *c, enum stub_kind kind);
/* Leaves the host address in the registers of the result, or goes to the slow path. */
struct x86_mem memory_probe(struct emit *c, const struct access *m, struct stub *s);

/* Is this access a call of a thunk? */
bool access_is_called(const struct emit *c, const struct ir_insn *in);
void emit_called_access(struct emit *c, unsigned i);

/* Remember in a slow path's stub which XLATEs live after instruction i. */
void note_xlates(struct emit *c, unsigned i, struct stub *s);
/* Set them to 0, where it continues. Ends what the host's flags are. */
void forget_xlates(struct emit *c, const struct stub *s);

/* Make the host's flags so that the returned condition is boolean v. Moves may follow before its use. */
enum x86_cc emit_test_bool(struct emit *c, ir_ref v);
/* Where the operands of flags f are now, for writing them; f = 0: none. */
struct flag_operands flags_locate(const struct emit *c, ir_ref f);
/* Does writing them take a scratch register? */
bool flags_need_scratch(const struct flag_operands *f);
/* Is one of them made by a shift only when they are written? */
bool flags_are_late(const struct flag_operands *f);
/* Write operands, operation and type to the lazy record. Changes no register but `scratch`, and no host flags unless
 * C is kept or flags_are_late(). */
void flags_commit(struct emit *c, const struct flag_operands *f, unsigned scratch);
/* Note for the map where the operands of flags f (0: none) are at the call of a thunk that keeps every register, which is
 * emitted with no change to them between here and there. */
uint16_t flags_describe(struct emit *c, ir_ref f);
/* struct tcg_host */
void x86_commit(void *host, void *env, const struct tcg_block *blk, const struct tcg_pc_entry *call);
struct loc loc_of(const struct emit *c, ir_ref v);

/* Write the thunks at enc->at; `avx`: vector registers have 256 bits. */
void x86_thunks_emit(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g, bool avx);

/* The accesses that are thunks. */
void x86_probes_emit(struct x86_thunks *t, struct enc *e, const struct tcg_guest *g);
/* A thunk: the word of six flags of the struct tcg_flags at `record` (as seen from inside) to eax; rcx is lost. */
const uint8_t *x86_flags_emit(struct enc *e, struct x86_mem record);
/* Where those thunks have saved a register, from rsp of the code that called them. */
int32_t x86_kept_at(unsigned reg);

/* Look in the jump cache for the linear pc in rax and the mode of the moment, which the block may have changed: rcx is
 * then what x86_jump_found() goes by. `miss`: jumps to be patched (32 bits), when it is not there. Loses rdx. */
void x86_find_jump(struct enc *e, const struct tcg_guest *g, uint8_t *miss[2]);
void x86_jump_found(struct enc *e, const struct tcg_guest *g);

#endif
