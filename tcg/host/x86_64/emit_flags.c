/* Flags and conditions. Flags are never kept as such: a consumer makes the host's flags from the operands
 * that are at hand, or uses those that the operation itself has just left. Only GETFL and SETC exist as a
 * word of six bits. */
#include "tcg/host/x86_64/emit.h"

#include <assert.h>
#include <stddef.h>

/* ---- operands in memory ---- */

struct loc loc_of(const struct emit *c, ir_ref v)
{
    const struct ra_value *val = &c->ra.val[v];
    struct loc l = { .reg = val->reg, .slot = val->slot, .imm = 0 };

    if (c->insn[v].op == IR_CONST) {
        int32_t imm;
        l.reg = NO_REG;
        l.slot = NO_SLOT;
        l.imm = ra_imm(&c->ra, v, &imm) ? (uint64_t)(int64_t)imm : c->insn[v].imm;
    } else {
        assert(l.reg != NO_REG || l.slot != NO_SLOT);
    }
    return l;
}

/* Operand b, which may have to be made yet. */
static struct loc loc_of_second(const struct emit *c, const struct ir_insn *f)
{
    const struct ir_insn *x = &c->insn[f->b];
    const struct ra_value *val = &c->ra.val[f->b];
    struct loc l;

    if (!flags_late(c->insn, f) || val->reg != NO_REG || val->slot != NO_SLOT)
        return loc_of(c, f->b);
    l = loc_of(c, x->a);
    l.late = x->op;
    l.type = x->type;
    l.count = (uint8_t)c->insn[x->b].imm;
    return l;
}

static bool loc_needs_scratch(const struct loc *l)
{
    return l->late || (l->reg == NO_REG && (l->slot != NO_SLOT || !fits_int32((int64_t)l->imm)));
}

static void store_loc(struct emit *c, struct x86_mem to, const struct loc *from, unsigned scratch)
{
    unsigned reg = from->reg;

    if (reg == NO_REG && from->slot != NO_SLOT) {
        reg = scratch;
        enc_load(&c->enc, W64, reg, slot_mem(from->slot));
    } else if (reg == NO_REG && fits_int32((int64_t)from->imm)) {
        enc_store_imm(&c->enc, W64, to, (int32_t)from->imm);
        return;
    } else if (reg == NO_REG) {
        reg = scratch;
        enc_mov_ri(&c->enc, reg, from->imm);
    }
    if (from->late) {
        if (reg != scratch)
            enc_mov_rr(&c->enc, W64, scratch, reg);
        reg = scratch;
        emit_shift_by(c, from->late, reg_width(from->type), reg, from->count);
        c->flags_owner = 0;
    }
    enc_store(&c->enc, W64, to, reg);
}

static struct flag_operands locate_all(const struct emit *c, ir_ref f)
{
    const struct ir_insn *in = &c->insn[f];
    struct flag_operands o = { .op = in->op, .type = in->type };

    if (!f)
        return o;
    if (flags_in_word(in)) {
        o.op = IR_FL_RAW;
        o.type = IR_I32;
        o.v[o.num++] = loc_of(c, f);
        return o;
    }
    o.v[o.num++] = loc_of(c, in->a);
    if (in->b)
        o.v[o.num++] = loc_of_second(c, in);
    if (in->c)
        o.v[o.num++] = loc_of(c, in->c);
    return o;
}

struct flag_operands flags_locate(const struct emit *c, ir_ref f)
{
    const struct ir_insn *in = &c->insn[f];

    if (!flags_keep_carry(in))
        return locate_all(c, f);
    return (struct flag_operands){ .op = in->op, .type = in->type, .num = 1, .keeps_carry = true,
                                   .v = { loc_of(c, in->a) } };
}

bool flags_need_scratch(const struct flag_operands *f)
{
    for (unsigned k = 0; k < f->num; k++)
        if (loc_needs_scratch(&f->v[k]))
            return true;
    return false;
}

static void store_operands(struct emit *c, const struct flag_operands *f, unsigned base, uint32_t offset,
                           unsigned scratch)
{
    for (unsigned k = 0; k < f->num; k++)
        store_loc(c, mem_at(base, (int32_t)(offset + 8 * k)), &f->v[k], scratch);
}

/* The record's second operand := its C. It is that already when the kind is the same: in a loop that ends with DEC. */
static void carry_to_record(struct emit *c, const struct flag_operands *f)
{
    uint8_t *done;

    enc_alu_mi(&c->enc, ALU_CMP, W8, env_mem(c->guest->off_flags + (uint32_t)offsetof(struct tcg_flags, op)), f->op);
    done = enc_jcc8(&c->enc, CC_E);
    enc_call_to(&c->enc, c->thunks.carry);
    enc_patch8(done, c->enc.at);
}

void flags_commit(struct emit *c, const struct flag_operands *f, unsigned scratch)
{
    uint32_t record = c->guest->off_flags;

    if (!f->num)
        return;
    if (f->keeps_carry)
        carry_to_record(c, f);
    store_operands(c, f, RBP, record - ENV_BIAS, scratch);
    _Static_assert(offsetof(struct tcg_flags, type) == offsetof(struct tcg_flags, op) + 1, "one store");
    enc_store_imm(&c->enc, W16, env_mem(record + (uint32_t)offsetof(struct tcg_flags, op)),
                  (int16_t)(f->op | f->type << 8));
}

bool flags_are_late(const struct flag_operands *f)
{
    for (unsigned k = 0; k < f->num; k++)
        if (f->v[k].late)
            return true;
    return false;
}

static void emit_putfl(struct emit *c, unsigned i)
{
    struct flag_operands f = flags_locate(c, c->insn[i].a);
    unsigned scratch = NO_REG;

    if (flags_need_scratch(&f)) {
        scratch = ra_temp(&c->ra);
        f = flags_locate(c, c->insn[i].a);
    }
    flags_commit(c, &f, scratch);
    c->kept_flags = !f.keeps_carry && !flags_are_late(&f);
    ra_kill(&c->ra, i);
}

/* The stores leave the host's flags alone, and registers are chosen before the jump over them. */
static void emit_putflif(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    enum x86_cc cc = emit_test_bool(c, in->b);
    unsigned scratch = NO_REG;
    uint8_t *skip;
    struct flag_operands f;

    ra_unlock(&c->ra);
    f = locate_all(c, in->a);
    if (flags_need_scratch(&f)) {
        scratch = ra_temp(&c->ra);
        f = locate_all(c, in->a);
    }
    skip = enc_jcc8(&c->enc, cc ^ 1);
    flags_commit(c, &f, scratch);
    enc_patch8(skip, c->enc.at);
    ra_kill(&c->ra, i);
}

/* ---- the word of six bits, by the runtime ---- */

/* A thunk that leaves the word in eax, which is locked. */
static void call_for_word(struct emit *c, const uint8_t *thunk)
{
    enc_call_to(&c->enc, thunk);
    ra_unlock_reg(&c->ra, RCX);
    c->flags_owner = 0;
}

/* The word of flags f in eax, locked; made by code that is the same for all blocks. */
static void word_by_thunk(struct emit *c, ir_ref f)
{
    struct flag_operands o;

    ra_take(&c->ra, RAX);
    ra_take(&c->ra, RCX);
    o = locate_all(c, f);
    store_operands(c, &o, RSP, FRAME_ARG0, RAX);
    enc_store_imm(&c->enc, W32, mem_at(RSP, FRAME_WORD), WORD_FLAGS(o.op, o.type));
    call_for_word(c, c->thunks.flags);
}

/* Value i := eax. */
static void take_word(struct emit *c, unsigned i)
{
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, RAX, 0, 32);
    if (dst != RAX)
        enc_mov_rr(&c->enc, W32, dst, RAX);
}

/* ---- host instructions that make flags ---- */

static enum x86_cc test_value(struct emit *c, ir_ref v, unsigned w, unsigned cc)
{
    unsigned r = ra_use(&c->ra, v);

    enc_test_rr(&c->enc, w, r, r);
    return cc;
}

static enum x86_cc compare(struct emit *c, unsigned w, ir_ref a, ir_ref b, unsigned cc)
{
    unsigned ra = ra_use(&c->ra, a);
    int32_t imm;

    if (!ra_imm(&c->ra, b, &imm))
        enc_alu_rr(&c->enc, ALU_CMP, w, ra, ra_use(&c->ra, b));
    else if (imm)
        enc_alu_ri(&c->enc, ALU_CMP, w, ra, imm);
    else
        enc_test_rr(&c->enc, w, ra, ra);
    return cc;
}

/* Condition of a word of six bits (which may have others) in a register: appendix B of SDM vol. 1. */
static enum x86_cc test_word(struct emit *c, unsigned word, unsigned cc)
{
    static const uint16_t mask[8] = { IR_OF, IR_CF, IR_ZF, IR_CF | IR_ZF, IR_SF, IR_PF };
    unsigned what = cc & ~1u;

    if (what < CC_L) {
        enc_test_ri(&c->enc, W32, word, mask[cc >> 1]);
        return CC_NE ^ (cc & 1);
    }
    unsigned t = ra_temp(&c->ra);
    enc_mov_rr(&c->enc, W32, t, word);
    enc_alu_ri(&c->enc, ALU_AND, W32, t, IR_OF);
    enc_shift_ri(&c->enc, SH_SHR, W32, t, 4); /* O to the place of S */
    enc_alu_rr(&c->enc, ALU_XOR, W32, t, word);
    enc_test_ri(&c->enc, W32, t, what == CC_L ? IR_SF : IR_SF | IR_ZF);
    return CC_NE ^ (cc & 1);
}

/* t := v op w, at full register width. */
static void apply(struct emit *c, enum x86_alu op, unsigned w, unsigned t, ir_ref v)
{
    int32_t imm;

    if (ra_imm(&c->ra, v, &imm))
        enc_alu_ri(&c->enc, op, w, t, imm);
    else
        enc_alu_rr(&c->enc, op, w, t, ra_use(&c->ra, v));
}

static unsigned copy(struct emit *c, ir_ref v)
{
    unsigned r = ra_use(&c->ra, v), t = ra_temp(&c->ra);

    enc_mov_rr(&c->enc, W64, t, r);
    return t;
}

/* Undo the operation in a copy and do it again. */
static enum x86_cc redo(struct emit *c, const struct ir_insn *f, unsigned cc)
{
    unsigned w = f->type, t = copy(c, f->a);

    switch (f->op) {
    case IR_FL_ADD:
        apply(c, ALU_SUB, reg_width(w), t, f->b);
        apply(c, ALU_ADD, w, t, f->b);
        break;
    case IR_FL_SUB:
        apply(c, ALU_ADD, reg_width(w), t, f->b);
        apply(c, ALU_CMP, w, t, f->b);
        break;
    case IR_FL_INC:
        enc_step(&c->enc, STEP_DEC, W64, t);
        enc_step(&c->enc, STEP_INC, w, t);
        break;
    default:
        enc_step(&c->enc, STEP_INC, W64, t);
        enc_step(&c->enc, STEP_DEC, w, t);
        break;
    }
    return cc;
}

/* The same with a carry, which is put into the host's CF before the second time. */
static enum x86_cc redo_carry(struct emit *c, const struct ir_insn *f, unsigned cc)
{
    unsigned w = f->type, t = copy(c, f->a), carry = copy(c, f->c);
    bool add = f->op == IR_FL_ADC;
    enum x86_alu undo = add ? ALU_SUB : ALU_ADD;

    enc_alu_ri(&c->enc, ALU_AND, W32, carry, 1);
    enc_alu_rr(&c->enc, undo, W64, t, carry);
    apply(c, undo, reg_width(w), t, f->b);
    enc_bt_ri(&c->enc, W32, carry, 0);
    apply(c, add ? ALU_ADC : ALU_SBB, w, t, f->b);
    return cc;
}

/* ---- the word of six bits, by the host ---- */

/* Make the host's flags those of f, but for A of FL_LOGIC. False: the host has no instruction for them. */
static bool host_flags(struct emit *c, const struct ir_insn *f)
{
    switch (f->op) {
    case IR_FL_CMP:
        apply(c, ALU_CMP, f->type, copy(c, f->a), f->b);
        return true;
    case IR_FL_LOGIC:
        test_value(c, f->a, f->type, CC_E);
        return true;
    case IR_FL_ADD:
    case IR_FL_SUB:
        redo(c, f, CC_E);
        return true;
    case IR_FL_ADC:
    case IR_FL_SBB:
        redo_carry(c, f, CC_E);
        return true;
    default:
        return false;
    }
}

/* Value i := the bits of `mask` of the host's flags, whose places are those of the guest's. */
static void take_host_flags(struct emit *c, unsigned i, uint32_t mask)
{
    ra_unlock(&c->ra);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, 32);
    enc_pushf(&c->enc);
    enc_pop(&c->enc, dst);
    enc_alu_ri(&c->enc, ALU_AND, W32, dst, (int32_t)mask);
    c->flags_owner = 0;
}

/* Value i := the six bits of flags f, all other bits 0. */
static void make_word(struct emit *c, unsigned i, ir_ref f)
{
    const struct ir_insn *in = &c->insn[f];

    if (flags_in_word(in)) {
        ra_alias(&c->ra, (ir_ref)i, f, 32);
    } else if (in->op == IR_FL_RAW) {
        unsigned a = ra_use(&c->ra, in->a);
        ra_kill(&c->ra, i);
        unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, 32);
        if (dst != a)
            enc_mov_rr(&c->enc, W32, dst, a);
        enc_alu_ri(&c->enc, ALU_AND, W32, dst, IR_FLAGS6);
    } else if (host_flags(c, in)) {
        take_host_flags(c, i, in->op == IR_FL_LOGIC ? IR_FLAGS6 & ~(uint32_t)IR_AF : IR_FLAGS6);
    } else {
        word_by_thunk(c, f);
        take_word(c, i);
    }
}

/* The word of flags f, whose C does not matter, in a register, locked: a value's own, or one that may be written to,
 * which holds none. */
static unsigned word_to_reg(struct emit *c, ir_ref f)
{
    const struct ir_insn *from = &c->insn[f];

    if (flags_in_word(from))
        return ra_use(&c->ra, f);
    if (from->op == IR_FL_RAW)
        return ra_use(&c->ra, from->a);
    if (!host_flags(c, from)) {
        word_by_thunk(c, f);
        return RAX;
    }
    ra_unlock(&c->ra);
    unsigned t = ra_temp(&c->ra);
    enc_pushf(&c->enc);
    enc_pop(&c->enc, t);
    if (from->op == IR_FL_LOGIC)
        enc_alu_ri(&c->enc, ALU_AND, W32, t, ~IR_AF);
    c->flags_owner = 0;
    return t;
}

/* The word of the flags with bit C replaced. */
static void emit_setc(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned a = word_to_reg(c, in->a), b = NO_REG;
    int32_t imm;

    if (!ra_imm(&c->ra, in->b, &imm))
        b = ra_use(&c->ra, in->b);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, b == NO_REG ? 0 : BIT_REG(b), 32);
    if (dst != a)
        enc_mov_rr(&c->enc, W32, dst, a);
    enc_alu_ri(&c->enc, ALU_AND, W32, dst, IR_FLAGS6 & ~IR_CF);
    if (b != NO_REG)
        enc_alu_rr(&c->enc, ALU_OR, W32, dst, b);
    else if (imm & 1)
        enc_alu_ri(&c->enc, ALU_OR, W32, dst, IR_CF);
}

void emit_flags(struct emit *c, unsigned i)
{
    switch (c->insn[i].op) {
    case IR_GETFL:
        ra_take(&c->ra, RAX);
        ra_take(&c->ra, RCX);
        call_for_word(c, c->thunks.getfl);
        take_word(c, i);
        break;
    case IR_FL_SETC:
        emit_setc(c, i);
        break;
    case IR_PUTFL:
        emit_putfl(c, i);
        break;
    case IR_PUTFLIF:
        emit_putflif(c, i);
        break;
    default:
        make_word(c, i, c->insn[i].a);
        break;
    }
}

/* ---- conditions of flags ---- */

/* FL_SHL: C is the sign of x, FL_SHR: its lowest bit; O is the sign of x ^ res. */
static enum x86_cc shift_cond(struct emit *c, const struct ir_insn *f, unsigned cc)
{
    if ((cc & ~1u) == CC_O) {
        unsigned t = copy(c, f->b);
        enc_alu_rr(&c->enc, ALU_XOR, f->type, t, ra_use(&c->ra, f->a));
        return CC_S ^ (cc & 1);
    }
    if (f->op == IR_FL_SHL)
        return test_value(c, f->b, f->type, CC_S ^ (cc & 1));
    enc_test_ri(&c->enc, W8, ra_use(&c->ra, f->b), 1);
    return CC_NE ^ (cc & 1);
}

static enum x86_cc cond_by_thunk(struct emit *c, ir_ref f, unsigned cc)
{
    word_by_thunk(c, f);
    return test_word(c, RAX, cc);
}

static bool is_szp(unsigned cc)
{
    unsigned what = cc & ~1u;
    return what == CC_E || what == CC_S || what == CC_P;
}

static bool is_one(const struct emit *c, ir_ref v, int sign)
{
    int32_t imm;
    return ra_imm(&c->ra, v, &imm) && imm == sign;
}

/* Are the flags that the result's own host instruction has left good for this condition? */
static bool owner_serves(const struct emit *c, const struct ir_insn *f, unsigned cc)
{
    const struct ir_insn *res = &c->insn[f->a];
    unsigned what = cc & ~1u;

    if (!f->a || c->flags_owner != f->a || f->type != res->type || f->op == IR_FL_CMP || f->op == IR_FL_CO)
        return false;
    if (is_szp(cc))
        return true;
    switch (f->op) {
    case IR_FL_ADD:
        return res->op == IR_ADD && (res->b == f->b || res->a == f->b);
    case IR_FL_SUB:
        return (res->op == IR_SUB && res->b == f->b) || (res->op == IR_NEG && res->a == f->b);
    case IR_FL_ADC:
        return res->op == IR_ADC && res->b == f->b && res->c == f->c;
    case IR_FL_SBB:
        return res->op == IR_SBB && res->b == f->b && res->c == f->c;
    case IR_FL_LOGIC:
        return res->op == IR_AND || res->op == IR_OR || res->op == IR_XOR;
    case IR_FL_INC:
        return what != CC_BE && res->op == IR_ADD && is_one(c, res->b, 1);
    case IR_FL_DEC:
        return what != CC_BE && ((res->op == IR_SUB && is_one(c, res->b, 1)) ||
                                 (res->op == IR_ADD && is_one(c, res->b, -1)));
    default:
        return false;
    }
}

/* Condition cc of flags f as a host condition. C of INC, DEC, SETC, MUL and O of MUL are booleans: not
 * here. */
static enum x86_cc flags_cond(struct emit *c, ir_ref f, unsigned cc)
{
    const struct ir_insn *in = &c->insn[f];
    unsigned what = cc & ~1u;

    if (flags_in_word(in))
        return test_word(c, ra_use(&c->ra, f), cc);
    if (in->op == IR_FL_RAW && c->insn[in->a].op == IR_VCOM && c->flags_owner == in->a)
        return cc;
    if (in->op == IR_FL_RAW)
        return test_word(c, ra_use(&c->ra, in->a), cc);
    if (in->op == IR_FL_CMP)
        return compare(c, in->type, in->a, in->b, cc);
    if (owner_serves(c, in, cc))
        return cc;
    if (in->op == IR_FL_CO)
        return is_szp(cc) ? test_word(c, ra_use(&c->ra, in->a), cc) : cond_by_thunk(c, f, cc);
    if (is_szp(cc) || in->op == IR_FL_LOGIC)
        return test_value(c, in->a, in->type, cc);
    switch (in->op) {
    case IR_FL_ADD:
        return what == CC_B ? compare(c, in->type, in->a, in->b, cc) : redo(c, in, cc);
    case IR_FL_SUB:
        return redo(c, in, cc);
    case IR_FL_INC:
    case IR_FL_DEC:
        return what == CC_BE ? cond_by_thunk(c, f, cc) : redo(c, in, cc);
    case IR_FL_ADC:
    case IR_FL_SBB:
        return redo_carry(c, in, cc);
    case IR_FL_SHL:
    case IR_FL_SHR:
        return what == CC_B || what == CC_O ? shift_cond(c, in, cc) : cond_by_thunk(c, f, cc);
    default:
        return cond_by_thunk(c, f, cc);
    }
}

static enum x86_cc cond_value(struct emit *c, const struct ir_insn *in)
{
    ir_ref f = in->a, boolean = flags_resolve(c->insn, &f, in->cc);

    if (boolean)
        return test_value(c, boolean, W32, CC_NE ^ (in->cc & 1));
    return flags_cond(c, f, in->cc);
}

/* Has the subtraction or addition that the comparison is about left the host's flags? */
static bool compared_before(const struct emit *c, const struct ir_insn *in)
{
    const struct ir_insn *last = &c->insn[c->flags_owner];

    if (!c->flags_owner || last->type != in->type)
        return false;
    if (last->op == IR_SUB)
        return last->a == in->a && last->b == in->b;
    return last->op == IR_ADD && c->flags_owner == in->a && (last->b == in->b || last->a == in->b) &&
           (in->cc == IR_CMP_LTU || in->cc == IR_CMP_GEU);
}

static enum x86_cc cmp_value(struct emit *c, const struct ir_insn *in)
{
    static const uint8_t cc_of[] = {
        [IR_CMP_EQ] = CC_E, [IR_CMP_NE] = CC_NE, [IR_CMP_LTU] = CC_B, [IR_CMP_LEU] = CC_BE,
        [IR_CMP_GTU] = CC_A, [IR_CMP_GEU] = CC_AE, [IR_CMP_LTS] = CC_L, [IR_CMP_LES] = CC_LE,
        [IR_CMP_GTS] = CC_G, [IR_CMP_GES] = CC_GE,
    };
    bool equality = in->cc == IR_CMP_EQ || in->cc == IR_CMP_NE;

    if (compared_before(c, in))
        return cc_of[in->cc];
    if (equality && c->flags_owner == in->a && in->type == c->insn[in->a].type && is_one(c, in->b, 0))
        return cc_of[in->cc];
    return compare(c, in->type, in->a, in->b, cc_of[in->cc]);
}

enum x86_cc emit_test_bool(struct emit *c, ir_ref v)
{
    const struct ir_insn *in = &c->insn[v];

    if (!(c->ra.val[v].mark & RA_DEFERRED))
        return test_value(c, v, W32, CC_NE);
    return in->op == IR_COND ? cond_value(c, in) : cmp_value(c, in);
}

/* A condition as a value. */
void emit_boolean(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    enum x86_cc cc = in->op == IR_COND ? cond_value(c, in) : cmp_value(c, in);

    ra_unlock(&c->ra);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, 8);
    enc_setcc(&c->enc, cc, dst);
    enc_zext(&c->enc, W8, dst, dst);
    if (cc == CC_B)
        c->carry_is = (ir_ref)i;
}

void emit_select(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned w = reg_width(in->type);
    enum x86_cc cc = emit_test_bool(c, in->a);

    ra_unlock(&c->ra);
    unsigned yes = ra_use(&c->ra, in->b), no = ra_use(&c->ra, in->c);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, no, yes == no ? 0 : BIT_REG(yes), IR_BITS(w));
    if (dst != no)
        enc_mov_rr(&c->enc, w, dst, no);
    enc_cmov(&c->enc, cc, w, dst, yes);
}
