/* Vector fields of the CPU struct in host vector registers, within a block.
 *
 * A field (an offset and 8, 16 or 32 bytes, of which the last 16 are its second half) that an instruction uses is
 * loaded once; what it writes stays in its
 * register, `dirty`, until somebody else may look at the field. So a value that is overwritten before is never
 * stored. A register may hold several fields: a copy is no instruction. Who looks at fields otherwise than by these
 * functions says so first: vec_sync(), vec_overwrite(), vec_flush(). C calls keep no vector register:
 * vec_before_call(), or the thunks that save and restore all of them. Slow paths and other code out of line store what
 * was dirty at their place in the code: vec_snapshot(). All code emitted here is moves: the host's flags survive it. */
#ifndef MIMUS_TCG_HOST_X86_64_VECREGS_H
#define MIMUS_TCG_HOST_X86_64_VECREGS_H

#include "tcg/host/x86_64/enc.h"
#include "tcg/ir.h"

struct emit;

/* Fields at the same time. It bounds the code of a flush: see x86_room(). */
#define VEC_ENTRIES 16

struct vec_entry {
    uint16_t field;
    uint8_t size, reg;
    bool dirty;         /* the field in memory is stale */
};

struct vec_state {
    unsigned num;
    struct vec_entry entry[VEC_ENTRIES];
};

struct vecregs {
    struct vec_state now;
    uint32_t locked;            /* registers in use by the current instruction */
    uint32_t clock, used[16];   /* when each register was used last */
    bool changed;               /* `now` differs from the latest snapshot */
    bool upper;                 /* registers may have bits above 128, which slow down C code */
    bool ever_upper;            /* anywhere in the block */
    unsigned num_snapshots;
    struct vec_state snapshot[IR_MAX_INSNS + 1];
};

/* Start a block: nothing is in registers, snapshot 0 is of that. */
void vec_begin(struct emit *c);
/* A guest instruction begins: its predecessor's temporaries (tcg_guest.off_vtmp) are dead. */
void vec_begin_insn(struct emit *c);

/* The field in a register, for reading only; locked until vec_unlock(). Bits above `size` bytes are undefined. */
unsigned vec_use(struct emit *c, uint32_t field, unsigned size);
/* A register, none of `avoid` (mask), for the field's new value, locked; until vec_bind() it may hold the old one. */
unsigned vec_reg_for(struct emit *c, uint32_t field, unsigned size, uint32_t avoid);
/* A free register, locked. */
unsigned vec_temp(struct emit *c);
/* This register, emptied and locked. */
void vec_take(struct emit *c, unsigned reg);
/* From here on the field's value is in `reg`. */
void vec_bind(struct emit *c, uint32_t field, unsigned size, unsigned reg);
/* One field := another; `clear`: with a second half of 0. */
void vec_copy(struct emit *c, uint32_t dst, uint32_t src, unsigned size, bool clear);
/* The second half of a field := 0. */
void vec_clear_high(struct emit *c, uint32_t field);
/* Those of `count` adjoining fields. */
void vec_clear_all_high(struct emit *c, uint32_t field, unsigned count);
void vec_unlock(struct emit *c);
/* The field of which these bytes are part and whose register alone has them, or NULL. */
const struct vec_entry *vec_find_dirty(const struct emit *c, uint32_t offset, unsigned len);
/* The field, in a register, of which these bytes are part, or NULL. */
const struct vec_entry *vec_find(const struct emit *c, uint32_t offset, unsigned len);

/* Somebody reads these bytes of the CPU struct: they are stored. */
void vec_sync(struct emit *c, uint32_t offset, unsigned len);
/* Somebody writes these bytes: what overlaps them is stored and forgotten. */
void vec_overwrite(struct emit *c, uint32_t offset, unsigned len);
/* Store all that is dirty. Temporaries are not stored at a block's end. */
void vec_flush(struct emit *c);
void vec_flush_end(struct emit *c);
/* Before a call of C: store all, forget all. */
void vec_before_call(struct emit *c);

/* What is in registers here, by number; 0: nothing. Good until the block's end. */
unsigned vec_snapshot(struct emit *c);
/* Store what was dirty then, from the registers of then; `leaves`: they are not needed any more. */
void vec_store_snapshot(struct emit *c, unsigned snapshot, bool leaves);

/* ---- loops: a block that jumps to itself keeps its fields in registers ---- */

/* What is in registers at the end of a turn, as the next one may find it: every field in a register of its own. */
struct vec_state vec_plan_loop(struct emit *c);
/* Load the fields of a plan; from here on they are in its registers. */
void vec_enter_loop(struct emit *c, const struct vec_state *plan);
/* At the end of a turn: store what is not in the plan, bring the fields into its registers. */
void vec_next_turn(struct emit *c, const struct vec_state *plan);

/* ---- instructions, in VEX form where the host has AVX ---- */

/* 4, 8, 16, 32 bytes between register and memory; a load clears what is above. */
void vec_load_mem(struct emit *c, unsigned size, unsigned reg, struct x86_mem mem);
void vec_store_mem(struct emit *c, unsigned size, struct x86_mem mem, unsigned reg);
void vec_move(struct emit *c, unsigned size, unsigned dst, unsigned src);
/* A field of any size from its place in the CPU struct. */
void vec_load_field(struct emit *c, unsigned size, unsigned reg, uint32_t field);
/* dst := op(b). `flags`: VEX_W; VEX_L with AVX only. Either may be a general register, where the instruction says so. */
void vec_op2(struct emit *c, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned b);
/* dst := a op b; without AVX dst is not b unless a is b. */
void vec_op3(struct emit *c, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned a, unsigned b);
/* Registers that the destination of such an instruction cannot be. */
uint32_t vec_avoid(const struct emit *c, unsigned a, unsigned b);

#endif
