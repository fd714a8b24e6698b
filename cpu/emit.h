/* From struct insn to IR: what all emitters share. */
#ifndef MIMUS_CPU_EMIT_H
#define MIMUS_CPU_EMIT_H

#include "cpu/decode.h"
#include "cpu/state.h"
#include "tcg/ir.h"

/* Helper numbers: rows of helpers.def. */
enum cpu_helper {
#define HELPER(name, n, result, args, effects) HELP_##name,
#include "cpu/helpers.def"
    HELP_NUM
};

/* Bytes of code that are rewritten again and again. Immediates among them are read when the block runs. */
struct emit_live {
    const uint8_t *host;        /* where the block's first byte is */
    unsigned num;
    struct ir_live at[IR_LIVES];
};

/* Emission of one block. */
struct emit {
    struct ir_builder *b;
    const struct cpu *cpu;      /* for model features only: nothing that is not in `mode` may be read */
    const struct insn *insn;    /* the instruction at hand */
    uint32_t mode;              /* enum cpu_mode */
    int32_t pc_off;             /* offset of this instruction from the block's first byte */
    uint32_t block_page_off;    /* offset of the block's first byte within its page */
    bool single;                /* translated alone: exits are looked up, never chained */
    bool ended;                 /* a block end was emitted */
    bool stop;                  /* end the block after this instruction (no end emitted yet) */
    const struct emit_live *live; /* NULL: everything is as it was copied */
    bool fpu_synced;            /* the x87 state is in the CPU structure here */
    bool fpu_based;             /* fpu.fip is the pc of the page's first byte here */
    struct trace *trace;        /* of a block along its hot path; NULL: it ends at the first branch */
    ir_ref sti;                 /* this instruction is an STI in the middle of a block: whether IF was clear; else 0 */
    bool in_shadow;             /* this instruction is behind it: MODE_SHADOW may be set until it is complete */
    uint8_t fpu_checked;        /* #NM/#MF check for x87, MMX, SSE already done in this block (bits OPF_FPU.. >> 9) */
};

/* IR type of an operand of `size` bytes (1, 2, 4, 8). */
enum ir_type emit_type(unsigned size);
/* Type of the instruction pointer: I16, I32, I64 by the mode's code size. */
enum ir_type emit_ip_type(const struct emit *e);

/* General registers at any size; partial writes merge as the architecture says
 * (32-bit writes clear the upper half). Values are of type emit_type(size). */
ir_ref emit_get_reg(struct emit *e, unsigned reg, unsigned size);
void emit_put_reg(struct emit *e, unsigned reg, unsigned size, ir_ref v);

/* Effective address of the memory operand, truncated to the address size, zero-extended (type I32, or I64 in 64-bit addressing). */
ir_ref emit_ea(struct emit *e);
/* Its lower half where it has 64 bits, for who wants no more. */
ir_ref emit_ea_low(struct emit *e);
/* Linear address for `size` bytes at effective address `ea` in segment `seg`, with limit and rights checks. */
ir_ref emit_linear(struct emit *e, unsigned seg, ir_ref ea, unsigned size, bool write);
/* Linear address of the memory operand for an access of `size` bytes at displacement `off` from it. */
ir_ref emit_mem(struct emit *e, unsigned off, unsigned size, bool write);
/* What IR_MEM_* an access through a segment has: STACK for SS, FLAT where emit_linear() looks at no limit. */
unsigned emit_seg_flags(const struct emit *e, unsigned seg);
/* The same for the memory operand's segment. */
unsigned emit_mem_flags(const struct emit *e);

/* Operand n of the instruction: read at its size (immediates included; sign-extended), write, or read for a write
 * that follows through emit_store with the same operand (checked for writing; the address is computed once). */
ir_ref emit_load(struct emit *e, unsigned n);
ir_ref emit_load_rmw(struct emit *e, unsigned n, ir_ref *addr);
void emit_store(struct emit *e, unsigned n, ir_ref v);
void emit_store_rmw(struct emit *e, unsigned n, ir_ref addr, ir_ref v);

/* Do other processors run at the same time? Then what the manual says to be atomic is so on the host. */
bool emit_parallel(const struct emit *e);
/* Is this a locked instruction with a memory destination, operand 0, that is to be changed in one atomic step? */
bool emit_locked(const struct emit *e);
/* That step at linear address `addr`, or at operand 0: its old value. */
ir_ref emit_atomic_at(struct emit *e, enum ir_atomic kind, ir_ref addr, ir_ref v);
ir_ref emit_atomic(struct emit *e, enum ir_atomic kind, ir_ref v);

/* Push and pop of `size` bytes with the stack's width. A pop changes (E)SP only in emit_pop_done (after everything that may fault). */
void emit_push(struct emit *e, unsigned size, ir_ref v);
ir_ref emit_pop(struct emit *e, unsigned size);
void emit_pop_done(struct emit *e, unsigned bytes);

/* Raise at this instruction; ends the block. */
void emit_raise(struct emit *e, unsigned vector);
void emit_raise_error(struct emit *e, unsigned vector, uint32_t code);
/* Continue at the next instruction in a new block (after what changes the mode): leaves by look-up. */
void emit_end_next(struct emit *e);
/* As emit_end_next but to the run loop, so that pending interrupts are seen. */
void emit_exit_next(struct emit *e);
/* STI in a block that can go on to the next instruction; `clear` (boolean): IF was clear. The block ends behind that
 * one, so that interrupts are looked for there. What waits already is left to the run loop: this instruction then runs
 * alone, as it does when this is false. Before anything is changed. */
bool emit_shadow(struct emit *e, ir_ref clear);
/* Block ends. Deltas are relative to the block's first pc. In the modes in which every instruction returns to the
 * run loop (TF, DR, RF, SHADOW) they leave to it; elsewhere they chain or look up. Targets are not checked here. */
void emit_goto(struct emit *e, int32_t delta);
void emit_jump(struct emit *e, int32_t delta);                  /* a branch of the program's: traces go on there */
void emit_return(struct emit *e, ir_ref pc, uint32_t note);     /* pc: I64; note: of emit_check_pc_late() */
void emit_branch(struct emit *e, ir_ref cond, int32_t delta);   /* not taken: the next instruction */
void emit_goto_indirect(struct emit *e, ir_ref pc);             /* pc: I64 */
void emit_goto_noted(struct emit *e, ir_ref pc, uint32_t note);
void emit_lookup(struct emit *e);                               /* a helper has set pc (and mode) */
/* #GP(0) at this instruction unless `pc` (I64) is within CS's limit, in 64-bit code canonical. */
void emit_check_pc(struct emit *e, ir_ref pc);
/* The same at an instruction that does nothing but pop `popped` bytes and jump to `pc`. In 64-bit code there is no check
 * but the note that the jump is to carry, because only canonical addresses are in the jump cache. */
uint32_t emit_check_pc_late(struct emit *e, ir_ref pc, unsigned popped);
/* What must happen before an x87 or MMX instruction once #UD and #NM are settled: pending #MF, entry into MMX state. */
void emit_fpu_checks(struct emit *e);
/* Before what finds x87 or MMX state in the CPU structure otherwise than by IR X87. */
void emit_fpu_sync(struct emit *e);
/* After an x87 instruction: what FNSTENV tells of the last one that was no control instruction. */
void emit_fpu_done(struct emit *e);
/* Value of the next instruction's pc (I64, truncated to the mode's width). While a block runs cpu->rip is the pc of
 * its page, because faults are located relative to it: a helper that pushes or changes pc gets the next pc
 * as an argument and writes cpu->rip last, when nothing can fault any more; then the block ends by ir_lookup()
 * or ir_exit_dynamic(). */
ir_ref emit_next_pc(struct emit *e);
/* All of EFLAGS without RF and VM, as an I32 (emit_sys.c). */
ir_ref emit_flags_image(struct emit *e);
/* The pc `delta` behind the block's first (I64), cut to the width of the instruction pointer. */
ir_ref emit_pc_value(struct emit *e, int32_t delta);

/* One block: decode from `code` (host pointer to the block's first byte; `avail` bytes to the page's end), emit
 * until a block end, the page's end or `max` instructions; 0: one that comes back to the run loop (MODE_ALONE). `tail` is the next page for an instruction that
 * crosses (NULL: fetching it faults, the fault is raised when that instruction is reached first). `live` may be
 * NULL. */
struct ir_block *emit_block(struct cpu *cpu, struct ir_builder *b, const uint8_t *code, size_t avail,
                            const uint8_t *tail, uint64_t pc, unsigned max, bool *crossed,
                            const struct emit_live *live);

/* ---- hot paths (trace.c) ---- */

#define TRACE_MAX_INSNS 128
#define TRACE_MAX_CALLS 8
#define TRACE_MAX_TURNS 4
#define TRACE_MAX_LOOP 64       /* instructions of all turns */

/* A block that goes on along branches within its page: the way that was taken most. The others leave it. */
struct trace {
    const struct emit_live *live;   /* NULL: everything is as it was copied */
    /* How much code at `delta` from the block's first byte has been executed, as far as is known; 0: nothing is. */
    uint32_t (*heat)(void *opaque, int32_t delta);
    void *opaque;
    /* Inside. */
    int32_t next;                       /* where it goes on */
    bool follows;                       /* the last instruction was a branch, and it goes on at `next` */
    int32_t lowest, end;                /* of the bytes that belong to it */
    unsigned num_seen, num_calls, turns;
    int32_t seen[TRACE_MAX_INSNS];      /* where the instructions of this turn begin */
    int32_t call[TRACE_MAX_CALLS];      /* where calls on the way return to */
};

/* Of the page that `code` lies in, all bytes can be read. In a code segment that is flat. */
struct ir_block *emit_hot_block(struct cpu *cpu, struct ir_builder *b, const uint8_t *code, size_t avail, uint64_t pc,
                                struct trace *t);
/* Nothing is known of it but its heat. */
void trace_start(struct trace *t);
/* The instruction at hand becomes a part of it. False: it is one already, the trace has come round to its middle, or to
 * its beginning often enough. */
bool trace_enter(struct emit *e);
/* Is the trace to go on at `delta`? */
bool trace_goto(struct emit *e, int32_t delta);
/* At a branch to `taken` if `cond`, else to `next`: true: it goes on along one of them, and the other leaves. */
bool trace_branch(struct emit *e, ir_ref cond, int32_t taken, int32_t next);
/* A call returns to `delta`. */
void trace_call(struct emit *e, int32_t delta);
/* At a return to `pc`: true: it goes on behind the call, and leaves when `pc` is another. */
bool trace_return(struct emit *e, ir_ref pc, uint32_t note);
/* Does the target of a direct branch lie in another page, or must it be looked up for another reason? */
bool emit_is_far(const struct emit *e, int32_t delta);

#endif
