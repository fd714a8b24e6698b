/* The IR builder: one function per kind of operation, value numbering, forwarding of what is known of the
 * guest's state.
 *
 * Laws:
 * - With `fold` off every call appends exactly what it is told.
 * - What is known of registers, flags and fields describes the guest's state at
 *   the end of what was appended so far. Whatever may change that state without
 *   saying how forgets it. Rewinding forgets everything.
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

struct ir_builder *ir_builder_new(const struct tcg_guest *guest, bool fold)
{
    struct ir_builder *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->guest = guest;
    b->fold = fold;
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

static void forget_all(struct ir_builder *b)
{
    b->fl = 0;
    memset(b->reg, 0, sizeof(b->reg));
    memset(b->field, 0, sizeof(b->field));
}

struct ir_block *ir_start(struct ir_builder *b)
{
    b->blk = (struct ir_block){ .insn = b->insn, .num = 1, .phys2 = UINT64_MAX };
    forget_all(b);
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

unsigned ir_mark(struct ir_builder *b)
{
    return b->blk.num;
}

void ir_rewind(struct ir_builder *b, unsigned mark)
{
    b->blk.num = mark;
    forget_all(b);
}

/* ---- appending and value numbering ---- */

ir_ref ir_append(struct ir_builder *b, const struct ir_insn *in)
{
    assert(b->blk.num < IR_MAX_INSNS);
    b->insn[b->blk.num] = *in;
    return (ir_ref)b->blk.num++;
}

static bool same_insn(const struct ir_insn *x, const struct ir_insn *y)
{
    return !memcmp(x, y, sizeof(*x));
}
_Static_assert(sizeof(struct ir_insn) == 24, "compared as bytes: no padding");

static unsigned hash_insn(const struct ir_insn *in)
{
    uint64_t w[2];

    memcpy(w, in, sizeof(w));
    w[0] ^= w[1] * UINT64_C(0x9e3779b97f4a7c15) ^ in->imm * UINT64_C(0xff51afd7ed558ccd);
    return (unsigned)(w[0] * UINT64_C(0xc2b2ae3d27d4eb4f) >> (64 - IR_NUMBER_BITS));
}

static ir_ref number(struct ir_builder *b, const struct ir_insn *in)
{
    ir_ref *slot = &b->number[hash_insn(in)];

    if (*slot && *slot < b->blk.num && same_insn(&b->insn[*slot], in))
        return *slot;
    return *slot = ir_append(b, in);
}

ir_ref ir_value(struct ir_builder *b, struct ir_insn in)
{
    ir_ref v;

    if (!b->fold)
        return ir_append(b, &in);
    v = ir_simplify(b, &in);
    return v ? v : number(b, &in);
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
    struct ir_insn in = { .op = IR_CONST, .type = t, .imm = v & MASK(IR_BITS(t)) };

    return b->fold ? number(b, &in) : ir_append(b, &in);
}

static ir_ref append_get(struct ir_builder *b, enum ir_type t, unsigned reg)
{
    return ir_append(b, &(struct ir_insn){ .op = IR_GET, .type = t, .imm = reg });
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
    ir_append(b, &(struct ir_insn){ .op = IR_PUT, .type = t, .a = v, .imm = reg });
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
    b->field[b->next_field++ % IR_FIELDS] = (struct ir_known_field){ offset, (uint8_t)t, v };
}

ir_ref ir_lde(struct ir_builder *b, enum ir_type t, unsigned offset)
{
    struct ir_insn in = { .op = IR_LDE, .type = t, .imm = offset };
    ir_ref v;

    if (!b->fold)
        return ir_append(b, &in);
    for (unsigned i = 0; i < IR_FIELDS; i++)
        if (b->field[i].ref && b->field[i].offset == offset && b->field[i].type == t)
            return b->field[i].ref;
    v = ir_append(b, &in);
    remember_field(b, t, offset, v);
    return v;
}

void ir_ste(struct ir_builder *b, enum ir_type t, unsigned offset, ir_ref v)
{
    if (b->fold) {
        forget_fields(b, offset, IR_BYTES(t));
        remember_field(b, t, offset, v);
    }
    ir_append(b, &(struct ir_insn){ .op = IR_STE, .type = t, .a = v, .imm = offset });
}

ir_ref ir_vmask(struct ir_builder *b, enum ir_type element, unsigned offset)
{
    return ir_append(b, &(struct ir_insn){ .op = IR_VMASK, .type = (uint8_t)element, .imm = offset });
}

/* The pc register keeps the block's first pc while the block runs, so equal reads are shared. */
ir_ref ir_pc(struct ir_builder *b, enum ir_type t, int64_t delta)
{
    return ir_value(b, (struct ir_insn){ .op = IR_PC, .type = t, .imm = (uint64_t)delta });
}

/* ---- pure operations ---- */

ir_ref ir_un(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref a)
{
    return ir_value(b, (struct ir_insn){ .op = op, .type = t, .a = a });
}

ir_ref ir_bin(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y)
{
    return ir_value(b, (struct ir_insn){ .op = op, .type = t, .a = x, .b = y });
}

ir_ref ir_bini(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, uint64_t imm)
{
    return ir_bin(b, op, t, x, ir_const(b, ir_ops[op].b == '4' ? IR_I32 : t, imm));
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
    return ir_value(b, (struct ir_insn){ .op = IR_EXTRACT, .type = t, .a = a, .imm = pos << 8 | len });
}

ir_ref ir_deposit(struct ir_builder *b, enum ir_type t, ir_ref a, unsigned pos, unsigned len, ir_ref field)
{
    return ir_value(b, (struct ir_insn){ .op = IR_DEPOSIT, .type = t, .a = a, .b = field,
                                         .imm = pos << 8 | len });
}

ir_ref ir_cmp(struct ir_builder *b, enum ir_cmp cc, enum ir_type t, ir_ref x, ir_ref y)
{
    return ir_value(b, (struct ir_insn){ .op = IR_CMP, .type = t, .cc = cc, .a = x, .b = y });
}

ir_ref ir_select(struct ir_builder *b, enum ir_type t, ir_ref cond, ir_ref yes, ir_ref no)
{
    return ir_value(b, (struct ir_insn){ .op = IR_SELECT, .type = t, .a = cond, .b = yes, .c = no });
}

/* ---- flags ---- */

ir_ref ir_flags(struct ir_builder *b, enum ir_op op, enum ir_type t, ir_ref x, ir_ref y, ir_ref z)
{
    return ir_value(b, (struct ir_insn){ .op = op, .type = t, .a = x, .b = y, .c = z });
}

ir_ref ir_getfl(struct ir_builder *b)
{
    struct ir_insn in = { .op = IR_GETFL, .type = IR_I32 };

    if (!b->fold)
        return ir_append(b, &in);
    if (!b->fl)
        b->fl = ir_append(b, &in);
    return b->fl;
}

void ir_putfl(struct ir_builder *b, ir_ref fl)
{
    if (b->fold) {
        if (b->fl == fl)
            return;
        b->fl = fl;
    }
    ir_append(b, &(struct ir_insn){ .op = IR_PUTFL, .type = IR_I32, .a = fl });
}

ir_ref ir_eflags(struct ir_builder *b, ir_ref fl)
{
    return ir_value(b, (struct ir_insn){ .op = IR_EFLAGS, .type = IR_I32, .a = fl });
}

ir_ref ir_cond(struct ir_builder *b, unsigned cc, ir_ref fl)
{
    return ir_value(b, (struct ir_insn){ .op = IR_COND, .type = IR_I32, .cc = (uint8_t)cc, .a = fl });
}

/* ---- memory ---- */

ir_ref ir_ld(struct ir_builder *b, enum ir_type t, ir_ref addr, unsigned mem)
{
    return ir_append(b, &(struct ir_insn){ .op = IR_LD, .type = t, .aux = (uint8_t)mem, .a = addr });
}

void ir_st(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref v, unsigned mem)
{
    ir_append(b, &(struct ir_insn){ .op = IR_ST, .type = t, .aux = (uint8_t)mem, .a = addr, .b = v });
}

ir_ref ir_atomic(struct ir_builder *b, enum ir_atomic kind, enum ir_type t, ir_ref addr, ir_ref v,
                 unsigned mem)
{
    return ir_append(b, &(struct ir_insn){ .op = IR_ATOMIC, .type = t, .aux = (uint8_t)mem, .a = addr, .b = v,
                                           .imm = kind });
}

ir_ref ir_cas(struct ir_builder *b, enum ir_type t, ir_ref addr, ir_ref expected, ir_ref desired,
              unsigned mem)
{
    return ir_append(b, &(struct ir_insn){ .op = IR_CAS, .type = t, .aux = (uint8_t)mem, .a = addr,
                                           .b = expected, .c = desired });
}

void ir_fence(struct ir_builder *b)
{
    ir_append(b, &(struct ir_insn){ .op = IR_FENCE, .type = IR_I64 });
}

/* The type of LDV and STV is unused and stays I64. */
void ir_ldv(struct ir_builder *b, ir_ref addr, unsigned offset, unsigned mem)
{
    if (b->fold)
        forget_fields(b, offset, 16);
    ir_append(b, &(struct ir_insn){ .op = IR_LDV, .type = IR_I64, .aux = (uint8_t)mem, .a = addr,
                                    .imm = offset });
}

void ir_stv(struct ir_builder *b, ir_ref addr, unsigned offset, unsigned mem)
{
    ir_append(b, &(struct ir_insn){ .op = IR_STV, .type = IR_I64, .aux = (uint8_t)mem, .a = addr,
                                    .imm = offset });
}

/* ---- checks, helpers, vectors ---- */

void ir_bound(struct ir_builder *b, ir_ref a, unsigned offset, unsigned size, unsigned helper, unsigned arg)
{
    uint64_t imm = (uint16_t)offset | (uint64_t)(uint16_t)(size - 1) << 16 |
                   (uint64_t)(uint16_t)helper << 32 | (uint64_t)arg << 48;

    ir_append(b, &(struct ir_insn){ .op = IR_BOUND, .type = IR_I64, .a = a, .imm = imm });
}

void ir_trapif(struct ir_builder *b, ir_ref cond, unsigned helper, uint32_t arg)
{
    uint64_t v;

    if (b->fold && ir_is_const(b, cond, &v) && !v)
        return;
    ir_append(b, &(struct ir_insn){ .op = IR_TRAPIF, .type = IR_I32, .a = cond,
                                    .imm = helper | (uint64_t)arg << 32 });
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
    struct ir_insn in = { .op = IR_CALL, .type = h->result == '8' ? IR_I64 : IR_I32, .a = a0, .b = a1,
                          .c = a2, .d = a3, .imm = helper };
    ir_ref v;

    if (b->fold)
        forget_call(b, h->effects);
    v = b->fold && h->effects == H_PURE ? number(b, &in) : ir_append(b, &in);
    return h->result == 'v' ? 0 : v;
}

void ir_vop(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2)
{
    ir_vopi(b, vop, dst, src1, src2, 0);
}

void ir_vopi(struct ir_builder *b, unsigned vop, unsigned dst, unsigned src1, unsigned src2, uint8_t imm8)
{
    uint64_t imm = (uint16_t)vop | (uint64_t)(uint16_t)dst << 16 | (uint64_t)(uint16_t)src1 << 32 |
                   (uint64_t)src2 << 48;

    if (b->fold)
        forget_fields(b, dst, 16);
    ir_append(b, &(struct ir_insn){ .op = IR_VOP, .type = IR_I64, .aux = imm8, .imm = imm });
}

/* ---- marks, ways out and ends ---- */

void ir_insn_start(struct ir_builder *b, uint32_t offset, uint32_t len)
{
    ir_append(b, &(struct ir_insn){ .op = IR_INSN, .type = IR_I64, .imm = offset | (uint64_t)len << 32 });
}

void ir_exitif(struct ir_builder *b, enum ir_type ip, ir_ref cond, int32_t delta, bool far_exit)
{
    uint64_t v, n = b->blk.num_exits;

    if (b->fold && ir_is_const(b, cond, &v) && !v)
        return;
    b->blk.num_exits++;
    ir_append(b, &(struct ir_insn){ .op = IR_EXITIF, .type = ip, .aux = far_exit ? IR_FAR(0) : 0, .a = cond,
                                    .imm = (uint32_t)delta | n << 32 });
}

void ir_gotoif(struct ir_builder *b, ir_ref cond, ir_ref pc)
{
    uint64_t v;

    if (b->fold && ir_is_const(b, cond, &v) && !v)
        return;
    ir_append(b, &(struct ir_insn){ .op = IR_GOTOIF, .type = IR_I64, .a = cond, .b = pc });
}

static void append_goto(struct ir_builder *b, enum ir_type ip, int32_t delta, unsigned aux)
{
    ir_append(b, &(struct ir_insn){ .op = IR_GOTO, .type = ip, .aux = (uint8_t)aux, .imm = (uint32_t)delta });
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
    ir_append(b, &(struct ir_insn){ .op = IR_BR, .type = ip, .aux = (uint8_t)aux, .a = cond,
                                    .imm = (uint32_t)taken | (uint64_t)(uint32_t)next << 32 });
}

void ir_gotoi(struct ir_builder *b, ir_ref pc)
{
    ir_append(b, &(struct ir_insn){ .op = IR_GOTOI, .type = IR_I64, .a = pc });
}

void ir_lookup(struct ir_builder *b)
{
    ir_append(b, &(struct ir_insn){ .op = IR_LOOKUP, .type = IR_I64 });
}

void ir_exit(struct ir_builder *b, enum ir_type ip, int32_t delta)
{
    ir_append(b, &(struct ir_insn){ .op = IR_EXIT, .type = ip, .imm = (uint32_t)delta });
}

void ir_exit_dynamic(struct ir_builder *b)
{
    ir_append(b, &(struct ir_insn){ .op = IR_EXIT, .type = IR_I64, .aux = 1 });
}
