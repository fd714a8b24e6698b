/* The IR builder: one function per kind of operation, value numbering, forwarding of what is known of the
 * guest's state.
 *
 * Laws:
 * - With `fold` off every call appends exactly what it is told.
 * - What is known of registers, flags and fields describes the guest's state at
 *   the end of what was appended so far. Whatever may change that state without
 *   saying how forgets it.
 * - A field is remembered only between appends that cannot write it: a store to
 *   an overlapping field, a vector operation or load onto it, and every helper
 *   that writes anything. Guest memory accesses never change a CPU field that
 *   translated code reads, other than by an exception. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tcg/build.h"

/* ---- life ---- */

struct ir_builder *ir_builder_new(const struct tcg_guest *guest, unsigned how)
{
    struct ir_builder *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->guest = guest;
    b->fold = how & IR_FOLD;
    b->sinks = how & IR_SINK;
    b->regs_lo = UINT32_MAX;
    for (unsigned r = 0; r < TCG_NUM_REGS; r++) {
        b->regs_lo = MIN_OF(b->regs_lo, guest->off_reg[r]);
        b->regs_hi = MAX_OF(b->regs_hi, guest->off_reg[r] + 8);
    }
    ir_start(b);
    return b;
}

void ir_builder_free(struct ir_builder *b)
{
    free(b);
}

struct ir_block *ir_start(struct ir_builder *b)
{
    b->blk = (struct ir_block){ .insn = b->insn, .num = 1, .phys2 = UINT64_MAX };
    b->fl = b->untrapped = 0;
    memset(b->reg, 0, sizeof(b->reg));
    memset(b->field, 0, sizeof(b->field));
    memset(&b->sink, 0, sizeof(b->sink));
    return &b->blk;
}

struct ir_block *ir_block(struct ir_builder *b)
{
    return &b->blk;
}

unsigned ir_room(const struct ir_builder *b)
{
    return IR_MAX_INSNS - b->blk.num;
}

/* ---- appending and value numbering ---- */

/* Pure instructions have no aux but what is found out later of INC and DEC. */
static inline bool same_words(const struct ir_insn *in, uint64_t low, uint64_t high, uint64_t imm)
{
    uint64_t w[2];

    memcpy(&w[0], in, 8);
    memcpy(&w[1], (const uint8_t *)in + 8, 8);
    return !((w[0] ^ low) & ~ir_low(0, 0, 0, 0xff, 0, 0)) && w[1] == high && in->imm == imm;
}

/* What may leave the block: it carries the flags that are pending. */
static ir_ref append_fault(struct ir_builder *b, uint64_t low, uint64_t high, uint64_t imm)
{
    if (b->sinks)
        high |= ir_high_fl(ir_sink_fault(b));
    return ir_append(b, low, high, imm);
}

/* The block's end. */
static void append_end(struct ir_builder *b, uint64_t low, uint64_t imm)
{
    if (b->sinks)
        ir_sink_commit(b);
    ir_append(b, low, 0, imm);
}

static inline unsigned hash_words(uint64_t low, uint64_t high, uint64_t imm)
{
    low ^= high * UINT64_C(0x9e3779b97f4a7c15) ^ imm * UINT64_C(0xff51afd7ed558ccd);
    return (unsigned)(low * UINT64_C(0xc2b2ae3d27d4eb4f) >> (64 - IR_NUMBER_BITS));
}

static inline ir_ref number(struct ir_builder *b, uint64_t low, uint64_t high, uint64_t imm)
{
    ir_ref *slot = &b->number[hash_words(low, high, imm)];

    if (*slot && *slot < b->blk.num && same_words(&b->insn[*slot], low, high, imm))
        return *slot;
    return *slot = ir_append(b, low, high, imm);
}

ir_ref ir_value(struct ir_builder *b, uint64_t low, uint64_t high, uint64_t imm)
{
    struct ir_insn in;
    ir_ref v;

    if (!b->fold)
        return ir_append(b, low, high, imm);
    ir_write_words(&in, low, high, imm);
    v = ir_simplify(b, &in);
    if (v)
        return v;
    memcpy(&low, &in, 8);
    memcpy(&high, (uint8_t *)&in + 8, 8);
    return number(b, low, high, in.imm);
}

enum ir_type ir_result_type(const struct ir_insn *in)
{
    switch (ir_ops[in->op].result) {
    case '4': return IR_I32;
    case '8': return IR_I64;
    default: return in->type;
    }
}

enum ir_type ir_type_of(const struct ir_builder *b, ir_ref v)
{
    return ir_result_type(&b->insn[v]);
}

bool ir_is_const(const struct ir_builder *b, ir_ref v, uint64_t *value)
{
    if (b->insn[v].op != IR_CONST)
        return false;
    *value = b->insn[v].imm;
    return true;
}

/* ---- guest registers ---- */

/* Constants never simplify further. */
ir_ref ir_const(struct ir_builder *b, enum ir_type t, uint64_t v)
{
    uint64_t low = ir_low(IR_CONST, t, 0, 0, 0, 0);

    v &= MASK(IR_BITS(t));
    return b->fold ? number(b, low, 0, v) : ir_append(b, low, 0, v);
}

static ir_ref append_get(struct ir_builder *b, enum ir_type t, unsigned reg)
{
    b->sink.put[reg] = 0;
    return ir_append(b, ir_low(IR_GET, t, 0, 0, 0, 0), 0, reg);
}

ir_ref ir_get(struct ir_builder *b, enum ir_type t, unsigned reg)
{
    struct ir_known_reg *k = &b->reg[reg];

    if (!b->fold)
        return append_get(b, t, reg);
    if (t == IR_I64) {
        if (!k->v64)
            k->v64 = k->upper_zero ? ir_zext(b, IR_I64, k->v32) : append_get(b, t, reg);
        return k->v64;
    }
    if (!k->v32)
        k->v32 = k->v64 ? ir_zext(b, IR_I32, k->v64) : append_get(b, t, reg);
    return k->v32;
}

void ir_put(struct ir_builder *b, enum ir_type t, unsigned reg, ir_ref v)
{
    struct ir_known_reg *k = &b->reg[reg];

    if (b->fold) {
        if (t == IR_I64 ? k->v64 == v : k->v32 == v && k->upper_zero)
            return;
        *k = t == IR_I64 ? (struct ir_known_reg){ .v64 = v }
                         : (struct ir_known_reg){ .v32 = v, .upper_zero = true };
    }
    if (b->sinks)
        ir_sink_put(b, reg);
    ir_append(b, ir_low(IR_PUT, t, 0, 0, v, 0), 0, reg);
}

/* ---- CPU fields ---- */

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static void forget_fields(struct ir_builder *b, uint32_t offset, uint32_t len)
{
    for (unsigned i = 0; i < IR_FIELDS; i++)
        if (overlap(b->field[i].offset, IR_BYTES(b->field[i].type), offset, len))
            b->field[i].ref = 0;
}

static void remember_field(struct ir_builder *b, enum ir_type t, uint32_t offset, ir_ref v)
{
    if (overlap(offset, IR_BYTES(t), b->regs_lo, b->regs_hi - b->regs_lo) ||
        overlap(offset, IR_BYTES(t), b->guest->off_flags, sizeof(struct tcg_flags)))
        return;
    for (unsigned i = 0; i < IR_FIELDS; i++)
        if (!b->field[i].ref) {
            b->field[i] = (struct ir_known_field){ offset, (uint8_t)t, v };
            return;
        }
    b->field[b->next_field++ % IR_FIELDS] = (struct ir_known_field){ offset, (uint8_t)t, v };
}

/* The value that the field is known to have; 0: none. */
static ir_ref known_field(const struct ir_builder *b, enum ir_type t, unsigned offset)
{
    for (unsigned i = 0; i < IR_FIELDS; i++)
        if (b->field[i].ref && b->field[i].offset == offset && b->field[i].type == t)
            return b->field[i].ref;
    return 0;
}

ir_ref ir_lde(struct ir_builder *b, enum ir_type t, unsigned offset)
{
    uint64_t low = ir_low(IR_LDE, t, 0, 0, 0, 0);
    ir_ref v;

    if (!b->fold)
        return ir_append(b, low, 0, offset);
    v = known_field(b, t, offset);
    if (v)
        return v;
    v = ir_append(b, low, 0, offset);
    remember_field(b, t, offset, v);
    return v;
}

void ir_ste(struct ir_builder *b, enum ir_type t, unsigned offset, ir_ref v)
{
    if (b->fold) {
        if (known_field(b, t, offset) == v)
            return;
        forget_fields(b, offset, IR_BYTES(t));
        remember_field(b, t, offset, v);
    }
    ir_append(b, ir_low(IR_STE, t, 0, 0, v, 0), 0, offset);
}

ir_ref ir_vmask(struct ir_builder *b, unsigned cc, enum ir_type element, unsigned offset)
{
    return ir_append(b, ir_low(IR_VMASK, element, cc, 0, 0, 0), 0, offset);
}

ir_ref ir_code(struct ir_builder *b, enum ir_type t, const void *host)
{
    return ir_append(b, ir_low(IR_CODE, t, 0, 0, 0, 0), 0, (uintptr_t)host);
}

/* The pc register keeps the block's first pc while the block runs, so equal reads are shared. */
ir_ref ir_pc(struct ir_builder *b, enum ir_type t, int64_t delta)
{
    return ir_value(b, ir_low(IR_PC, t, 0, 0, 0, 0), 0, (uint64_t)delta);
}

/* ---- pure operations ---- */

ir_ref ir_un(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref a)
{
    return ir_value(b, ir_low(op, t, 0, 0, a, 0), 0, 0);
}

ir_ref ir_bin(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y)
{
    return ir_value(b, ir_low(op, t, 0, 0, x, y), 0, 0);
}

ir_ref ir_bini(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, uint64_t imm)
{
    return ir_bin(b, op, t, x, ir_const(b, ir_ops[op].b == '4' ? IR_I32 : t, imm));
}

ir_ref ir_tri(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y, ir_ref z)
{
    return ir_value(b, ir_low(op, t, 0, 0, x, y), ir_high(z, 0), 0);
}

static ir_ref resize(struct ir_builder *b, enum ir_op wider, enum ir_type to, ir_ref a)
{
    enum ir_type from = ir_type_of(b, a);

    if (from == to)
        return a;
    return ir_un(b, from < to ? wider : IR_TRUNC, to, a);
}

ir_ref ir_zext(struct ir_builder *b, enum ir_type to, ir_ref a)
{
    return resize(b, IR_ZEXT, to, a);
}

ir_ref ir_sext(struct ir_builder *b, enum ir_type to, ir_ref a)
{
    return resize(b, IR_SEXT, to, a);
}

ir_ref ir_extract(struct ir_builder *b, enum ir_type t, ir_ref a, unsigned pos, unsigned len)
{
    return ir_value(b, ir_low(IR_EXTRACT, t, 0, 0, a, 0), 0, pos << 8 | len);
}

ir_ref ir_deposit(struct ir_builder *b, enum ir_type t, ir_ref a, unsigned pos, unsigned len, ir_ref field)
{
    return ir_value(b, ir_low(IR_DEPOSIT, t, 0, 0, a, field), 0, pos << 8 | len);
}

ir_ref ir_cmp(struct ir_builder *b, enum ir_cmp cc, enum ir_type t, ir_ref x, ir_ref y)
{
    return ir_value(b, ir_low(IR_CMP, t, cc, 0, x, y), 0, 0);
}

ir_ref ir_select(struct ir_builder *b, enum ir_type t, ir_ref cond, ir_ref yes, ir_ref no)
{
    return ir_value(b, ir_low(IR_SELECT, t, 0, 0, cond, yes), ir_high(no, 0), 0);
}

/* ---- flags ---- */

ir_ref ir_flags(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y, ir_ref z)
{
    return ir_value(b, ir_low(op, t, 0, 0, x, y), ir_high(z, 0), 0);
}

ir_ref ir_getfl(struct ir_builder *b)
{
    if (b->fold && b->fl)
        return b->fl;
    if (b->sinks)
        ir_sink_commit(b);
    return b->fl = ir_append(b, ir_low(IR_GETFL, IR_I32, 0, 0, 0, 0), 0, 0);
}

void ir_putfl(struct ir_builder *b, ir_ref fl)
{
    if (b->fold) {
        if (b->fl == fl)
            return;
        b->fl = fl;
    }
    if (b->sinks)
        ir_sink_flags(b, fl);
    else
        ir_append(b, ir_low(IR_PUTFL, IR_I32, 0, 0, fl, 0), 0, 0);
}

void ir_putflif(struct ir_builder *b, ir_ref fl, ir_ref cond)
{
    b->fl = 0;
    if (b->sinks)
        ir_sink_flags_if(b, fl, cond);
    else
        ir_append(b, ir_low(IR_PUTFLIF, IR_I32, 0, 0, fl, cond), 0, 0);
}

ir_ref ir_eflags(struct ir_builder *b, ir_ref fl)
{
    return ir_value(b, ir_low(IR_EFLAGS, IR_I32, 0, 0, fl, 0), 0, 0);
}

ir_ref ir_cond(struct ir_builder *b, unsigned cc, ir_ref fl)
{
    return ir_value(b, ir_low(IR_COND, IR_I32, cc, 0, fl, 0), 0, 0);
}

/* ---- memory ---- */

/* The displacement of an access, in place, where `addr` is the sum of a value and a constant: then it becomes the
 * value. A check of alignment takes the address as it is. */
static uint64_t take_displacement(struct ir_builder *b, ir_ref *addr, unsigned mem)
{
    const struct ir_insn *sum = &b->insn[*addr], *disp = &b->insn[sum->b];
    int64_t d = (int64_t)disp->imm;

    if (!b->fold || (mem & IR_MEM_ALIGN) || sum->op != IR_ADD || disp->op != IR_CONST)
        return 0;
    if (sum->type == IR_I32)
        d = (int32_t)d;
    if (d < INT32_MIN || d > IR_MAX_DISP)
        return 0;
    *addr = sum->a;
    return (uint64_t)d << 32;
}

ir_ref ir_ld(struct ir_builder *b, enum ir_type t, ir_ref addr, unsigned mem)
{
    uint64_t disp = take_displacement(b, &addr, mem);

    return append_fault(b, ir_low(IR_LD, t, 0, mem, addr, 0), 0, disp);
}

void ir_st(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref v, unsigned mem)
{
    uint64_t disp = take_displacement(b, &addr, mem);

    append_fault(b, ir_low(IR_ST, t, 0, mem, addr, v), 0, disp);
}

ir_ref ir_atomic(struct ir_builder *b, enum ir_atomic kind, enum ir_type t, ir_ref addr, ir_ref v,
                 unsigned mem)
{
    return append_fault(b, ir_low(IR_ATOMIC, t, 0, mem, addr, v), 0, kind);
}

ir_ref ir_cas(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref expected, ir_ref desired,
              unsigned mem)
{
    return append_fault(b, ir_low(IR_CAS, t, 0, mem, addr, expected), ir_high(desired, 0), 0);
}

void ir_fence(struct ir_builder *b)
{
    ir_append(b, ir_low(IR_FENCE, IR_I64, 0, 0, 0, 0), 0, 0);
}

/* A vector of size and form cc at `dst` is written. */
static void forget_vector(struct ir_builder *b, unsigned cc, unsigned dst)
{
    if (!b->fold)
        return;
    forget_fields(b, dst, 16);
    if (cc & IR_V_CLEAR || (cc & IR_V_SIZE) == IR_V32)
        forget_fields(b, dst + b->guest->vec_high, 16);
}

/* The type of LDV and STV is unused and stays I64. */
void ir_ldv(struct ir_builder *b, unsigned cc, ir_ref addr, unsigned offset, unsigned mem)
{
    uint64_t disp = take_displacement(b, &addr, mem);

    forget_vector(b, cc, offset);
    append_fault(b, ir_low(IR_LDV, IR_I64, cc, mem, addr, 0), 0, offset | disp);
}

void ir_stv(struct ir_builder *b, unsigned cc, ir_ref addr, unsigned offset, unsigned mem)
{
    uint64_t disp = take_displacement(b, &addr, mem);

    append_fault(b, ir_low(IR_STV, IR_I64, cc, mem, addr, 0), 0, offset | disp);
}

/* ---- checks, helpers, vectors ---- */

void ir_bound(struct ir_builder *b, ir_ref a, unsigned offset, unsigned size, unsigned helper, unsigned arg)
{
    uint64_t imm = (uint16_t)offset | (uint64_t)(uint16_t)(size - 1) << 16 |
                   (uint64_t)(uint16_t)helper << 32 | (uint64_t)arg << 48;

    append_fault(b, ir_low(IR_BOUND, IR_I64, 0, 0, a, 0), 0, imm);
}

void ir_trapif(struct ir_builder *b, ir_ref cond, unsigned helper, uint32_t arg)
{
    uint64_t v;

    if (b->fold && ((ir_is_const(b, cond, &v) && !v) || cond == b->untrapped))
        return;
    b->untrapped = cond;
    append_fault(b, ir_low(IR_TRAPIF, IR_I32, 0, 0, cond, 0), 0, helper | (uint64_t)arg << 32);
}

/* Forget what a helper with these effects may change. */
static void forget_call(struct ir_builder *b, uint32_t effects)
{
    if (effects & H_WREGS)
        memset(b->reg, 0, sizeof(b->reg));
    if (effects & H_WFLAGS)
        b->fl = 0;
    if (effects & (H_WRITE | H_WREGS | H_WFLAGS))
        memset(b->field, 0, sizeof(b->field));
}

ir_ref ir_call(struct ir_builder *b, unsigned helper, ir_ref a0, ir_ref a1, ir_ref a2, ir_ref a3)
{
    const struct tcg_helper *h = &b->guest->helpers[helper];
    uint64_t low = ir_low(IR_CALL, h->result == '8' ? IR_I64 : IR_I32, 0, 0, a0, a1), high = ir_high(a2, a3);
    ir_ref v;

    if (b->fold)
        forget_call(b, h->effects);
    if (b->sinks)
        ir_sink_call(b, h->effects);
    v = b->fold && h->effects == H_PURE ? number(b, low, high, helper) : ir_append(b, low, high, helper);
    return h->result == 'v' ? 0 : v;
}

void ir_vop(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2)
{
    ir_vopi(b, vop, dst, src1, src2, 0);
}

static uint64_t vector_fields(unsigned dst, unsigned src1, unsigned src2)
{
    return (uint64_t)(uint16_t)dst << 16 | (uint64_t)(uint16_t)src1 << 32 | (uint64_t)src2 << 48;
}

void ir_vset(struct ir_builder *b, unsigned cc, unsigned dst, ir_ref v)
{
    forget_vector(b, cc, dst);
    ir_append(b, ir_low(IR_VSET, ir_type_of(b, v), cc, 0, v, 0), 0, vector_fields(dst, 0, 0));
}

void ir_vfromi(struct ir_builder *b, unsigned cc, unsigned dst, unsigned rest, ir_ref v, unsigned what)
{
    forget_vector(b, cc, dst);
    ir_append(b, ir_low(IR_VFROMI, ir_type_of(b, v), cc, what, v, 0), 0, vector_fields(dst, rest, 0));
}

ir_ref ir_vtoi(struct ir_builder *b, enum ir_type t, unsigned src, unsigned what)
{
    return ir_append(b, ir_low(IR_VTOI, t, 0, what, 0, 0), 0, vector_fields(0, src, 0));
}

ir_ref ir_vcom(struct ir_builder *b, unsigned src1, unsigned src2, unsigned what)
{
    return ir_append(b, ir_low(IR_VCOM, IR_I32, 0, what, 0, 0), 0, vector_fields(0, src1, src2));
}

void ir_vzero(struct ir_builder *b, unsigned first, unsigned count)
{
    if (b->fold)
        forget_fields(b, first + b->guest->vec_high, 16 * count);
    ir_append(b, ir_low(IR_VZERO, IR_I64, 0, 0, 0, 0), 0, vector_fields(first, count, 0));
}

void ir_vopi(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2, uint8_t imm8)
{
    ir_vopw(b, IR_V16, vop, dst, src1, src2, imm8);
}

void ir_vopw(struct ir_builder *b, unsigned cc, unsigned vop, unsigned dst, unsigned src1, unsigned src2, uint8_t imm8)
{
    uint64_t imm = (uint16_t)vop | vector_fields(dst, src1, src2);

    if (tcg_vops[vop].kind != VK_Q && tcg_vops[vop].kind != VK_Q1)
        forget_vector(b, cc, dst);
    else if (b->fold)
        forget_fields(b, dst, 8);
    ir_append(b, ir_low(IR_VOP, IR_I64, cc, imm8, 0, 0), 0, imm);
}

/* ---- x87 ---- */

static ir_ref append_x87(struct ir_builder *b, uint64_t low, uint64_t imm)
{
    if (b->fold)
        forget_call(b, H_WRITE);
    return append_fault(b, low, 0, imm);
}

ir_ref ir_x87(struct ir_builder *b, uint64_t imm)
{
    return append_x87(b, ir_low(IR_X87, IR_I32, 0, 0, 0, 0), imm);
}

void ir_x87v(struct ir_builder *b, uint64_t imm, ir_ref v)
{
    append_x87(b, ir_low(IR_X87V, IR_I32, 0, 0, v, 0), imm);
}

void ir_x87m(struct ir_builder *b, uint64_t imm, ir_ref addr, unsigned size, bool writes)
{
    append_x87(b, ir_low(IR_X87M, IR_I64, size, writes ? IR_MEM_RMW : 0, addr, 0), imm);
}

/* ---- marks, ways out and ends ---- */

void ir_insn_start(struct ir_builder *b, uint32_t offset, uint32_t len)
{
    ir_append(b, ir_low(IR_INSN, IR_I64, 0, 0, 0, 0), 0, offset | (uint64_t)len << 32);
}

void ir_exitif(struct ir_builder *b, enum ir_type ip, ir_ref cond, int32_t delta, bool far_exit)
{
    uint64_t v, n = b->blk.num_exits;

    if (b->fold && ir_is_const(b, cond, &v) && !v)
        return;
    b->blk.num_exits++;
    append_fault(b, ir_low(IR_EXITIF, ip, 0, far_exit ? IR_FAR(0) : 0, cond, 0), 0, (uint32_t)delta | n << 32);
}

void ir_gotoif(struct ir_builder *b, ir_ref cond, ir_ref pc, uint32_t note)
{
    uint64_t v;

    if (b->fold && ir_is_const(b, cond, &v) && !v)
        return;
    append_fault(b, ir_low(IR_GOTOIF, IR_I64, 0, 0, cond, pc), 0, note);
}

static void append_goto(struct ir_builder *b, enum ir_type ip, int32_t delta, unsigned aux)
{
    append_end(b, ir_low(IR_GOTO, ip, 0, aux, 0, 0), (uint32_t)delta);
}

void ir_goto(struct ir_builder *b, enum ir_type ip, int32_t delta, bool far_exit)
{
    append_goto(b, ip, delta, far_exit ? IR_FAR(0) : 0);
}

void ir_br(struct ir_builder *b, enum ir_type ip, ir_ref cond, int32_t taken, bool taken_far, int32_t next,
           bool next_far)
{
    unsigned aux = (taken_far ? IR_FAR(0) : 0) | (next_far ? IR_FAR(1) : 0);
    uint64_t v;

    if (b->fold && ir_is_const(b, cond, &v)) {
        ir_goto(b, ip, v ? taken : next, v ? taken_far : next_far);
        return;
    }
    append_end(b, ir_low(IR_BR, ip, 0, aux, cond, 0), (uint32_t)taken | (uint64_t)(uint32_t)next << 32);
}

void ir_gotoi(struct ir_builder *b, ir_ref pc, uint32_t note)
{
    append_end(b, ir_low(IR_GOTOI, IR_I64, 0, 0, pc, 0), note);
}

void ir_lookup(struct ir_builder *b)
{
    append_end(b, ir_low(IR_LOOKUP, IR_I64, 0, 0, 0, 0), 0);
}

void ir_exit(struct ir_builder *b, enum ir_type ip, int32_t delta)
{
    append_end(b, ir_low(IR_EXIT, ip, 0, 0, 0, 0), (uint32_t)delta);
}

void ir_exit_dynamic(struct ir_builder *b)
{
    append_end(b, ir_low(IR_EXIT, IR_I64, 0, 1, 0, 0), 0);
}
