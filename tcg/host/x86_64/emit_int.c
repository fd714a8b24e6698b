/* Integer operations: two-address host arithmetic on 32 or 64 bits; narrow types are computed at 32 bits
 * where the bits above their width cannot reach the result, and extended first where they can. */
#include "tcg/host/x86_64/emit.h"

static bool is_const(const struct emit *c, ir_ref v) { return c->insn[v].op == IR_CONST; }

static unsigned min_bits(unsigned a, unsigned b) { return a < b ? a : b; }

/* dst := src unless it is the same register. */
static void move(struct emit *c, unsigned w, unsigned dst, unsigned src)
{
    if (dst != src)
        enc_mov_rr(&c->enc, w, dst, src);
}

/* ---- two results of one instruction ---- */

/* Is the next instruction one of these, of the same operands? Both values are then made at once. */
static bool has_partner(const struct emit *c, unsigned i, unsigned op, unsigned other)
{
    const struct ir_insn *in = &c->insn[i], *next = in + 1;

    return (next->op == op || next->op == other) && next->type == in->type && in->type >= IR_I32 &&
           next->a == in->a && next->b == in->b && next->c == in->c && !ra_is_silent(&c->ra, i + 1);
}

/* This one has been made with the one before it. */
static bool is_made(struct emit *c, unsigned i)
{
    c->kept_flags |= c->ra.val[i].reg != NO_REG;
    return c->ra.val[i].reg != NO_REG;
}

/* rdx:rax := a * b; the instruction after i has the high half. */
static void product_fixed(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned bits = IR_BITS(in->type);

    ra_take(&c->ra, RAX);
    ra_take(&c->ra, RDX);
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b);
    enc_mov_rr(&c->enc, in->type, RAX, a);
    enc_unary(&c->enc, in[1].op == IR_MULHU ? UN_MUL : UN_IMUL, in->type, b);
    ra_kill(&c->ra, i);
    ra_kill(&c->ra, i + 1);
    ra_attach(&c->ra, (ir_ref)i, RAX, bits);
    ra_attach(&c->ra, (ir_ref)(i + 1), RDX, bits);
}

static void emit_product(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned bits = IR_BITS(in->type);

    if (in[1].op != IR_MULHU || !(c->isa & TCG_ISA_BMI2)) {
        product_fixed(c, i);
        return;
    }
    ra_use_in(&c->ra, in->a, RDX);
    unsigned b = ra_use(&c->ra, in->b);
    ra_kill(&c->ra, i);
    ra_kill(&c->ra, i + 1);
    unsigned low = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, bits);
    unsigned high = ra_def(&c->ra, (ir_ref)(i + 1), NO_REG, 0, bits);
    enc_mulx(&c->enc, in->type, high, low, b);
    c->kept_flags = true;
}

/* rdx:rax by b; the instruction after i may have the other result. */
void emit_division(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool is_signed = in->op == IR_DIVS || in->op == IR_REMS, quotient = in->op == IR_DIVU || in->op == IR_DIVS;
    bool both = has_partner(c, i, quotient ? in->op + 1u : in->op - 1u, 0);
    unsigned w = in->type;

    if (is_made(c, i))
        return;
    ra_take(&c->ra, RAX);
    ra_take(&c->ra, RDX);
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b);
    enc_mov_rr(&c->enc, w, RAX, a);
    if (is_signed)
        enc_cwd(&c->enc, w);
    else if (is_const(c, in->c) && !c->insn[in->c].imm)
        enc_alu_rr(&c->enc, ALU_XOR, W32, RDX, RDX);
    else
        enc_mov_rr(&c->enc, w, RDX, ra_use(&c->ra, in->c));
    enc_unary(&c->enc, is_signed ? UN_IDIV : UN_DIV, w, b);
    ra_kill(&c->ra, i);
    if (both)
        ra_kill(&c->ra, i + 1);
    ra_attach(&c->ra, (ir_ref)i, quotient ? RAX : RDX, IR_BITS(w));
    if (both)
        ra_attach(&c->ra, (ir_ref)(i + 1), quotient ? RDX : RAX, IR_BITS(w));
}

/* ---- ADC SBB ---- */

/* CF := boolean v. Moves may follow. */
static void carry_to_host(struct emit *c, ir_ref v)
{
    if (c->ra.val[v].mark & RA_DEFERRED) {
        enum x86_cc cc = emit_test_bool(c, v);
        if (cc == CC_B)
            return;
        unsigned t = ra_temp(&c->ra);
        enc_setcc(&c->enc, cc, t);
        enc_bt_ri(&c->enc, W32, t, 0);
    } else if (c->carry_is != v) {
        enc_bt_ri(&c->enc, W32, ra_use(&c->ra, v), 0);
    }
}

void emit_add_carry(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool add = in->op == IR_ADC;
    unsigned w = reg_width(in->type);
    int32_t imm;

    carry_to_host(c, in->c);
    ra_unlock(&c->ra);
    unsigned a = ra_use(&c->ra, in->a), b = ra_imm(&c->ra, in->b, &imm) ? NO_REG : ra_use(&c->ra, in->b);
    ra_kill(&c->ra, i);
    bool keep_b = b != NO_REG && b != a && !add;
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, keep_b ? BIT_REG(b) : 0, IR_BITS(w));
    if (b != NO_REG && dst == b) {
        b = a;
        a = dst;
    }
    move(c, w, dst, a);
    if (b == NO_REG)
        enc_alu_ri(&c->enc, add ? ALU_ADC : ALU_SBB, w, dst, imm);
    else
        enc_alu_rr(&c->enc, add ? ALU_ADC : ALU_SBB, w, dst, b);
    c->flags_owner = in->type >= IR_I32 ? (ir_ref)i : 0;
}

/* ---- ADD SUB AND OR XOR MUL ---- */

struct binary {
    unsigned w, a, b, dst;
    bool has_imm;
    int32_t imm;
};

static const uint8_t alu_of[IR_NUM_OPS] = {
    [IR_ADD] = ALU_ADD, [IR_SUB] = ALU_SUB, [IR_AND] = ALU_AND, [IR_OR] = ALU_OR, [IR_XOR] = ALU_XOR,
};

static unsigned result_zbits(const struct emit *c, const struct ir_insn *in, const struct binary *o)
{
    unsigned bits = in->type == IR_I64 ? 64 : 32;

    if (in->op != IR_AND)
        return bits;
    unsigned a = c->ra.val[in->a].zbits, b = c->ra.val[in->b].zbits;
    if (o->has_imm)
        b = o->imm < 0 ? 64 : o->imm <= 0xff ? 8 : o->imm <= 0xffff ? 16 : 32;
    return min_bits(bits, min_bits(a, b));
}

static void binary_alu(struct emit *c, const struct ir_insn *in, const struct binary *o)
{
    if (o->has_imm)
        enc_alu_ri(&c->enc, alu_of[in->op], o->w, o->dst, o->imm);
    else
        enc_alu_rr(&c->enc, alu_of[in->op], o->w, o->dst, o->b);
}

static bool try_lea(struct emit *c, const struct ir_insn *in, const struct binary *o, unsigned i)
{
    if (o->dst == o->a || (c->ra.val[i].mark & RA_FLAGS_WANTED))
        return false;
    if (in->op == IR_SUB && (!o->has_imm || o->imm == INT32_MIN))
        return false;
    if (in->op != IR_ADD && in->op != IR_SUB)
        return false;
    if (o->has_imm)
        enc_lea(&c->enc, o->w, o->dst, mem_at(o->a, in->op == IR_SUB ? -o->imm : o->imm));
    else
        enc_lea(&c->enc, o->w, o->dst, mem_indexed(o->a, o->b, 0));
    return true;
}

static void binary_mul(struct emit *c, const struct binary *o)
{
    if (o->has_imm) {
        enc_imul_rri(&c->enc, o->w, o->dst, o->a, o->imm);
        return;
    }
    move(c, o->w, o->dst, o->a);
    enc_imul_rr(&c->enc, o->w, o->dst, o->b);
}

/* a + (x << 1, 2 or 3): no flags are wanted of it. */
static void add_scaled(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i], *shift = &c->insn[in->b];
    unsigned a = ra_use(&c->ra, in->a), x = ra_use(&c->ra, shift->a);

    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, IR_BITS(in->type));
    enc_lea(&c->enc, reg_width(in->type), dst, mem_scaled(a, x, (unsigned)c->insn[shift->b].imm));
}

void emit_arith(struct emit *c, unsigned i)
{
    if (adds_scaled(&c->ra, i)) {
        add_scaled(c, i);
        return;
    }
    const struct ir_insn *in = &c->insn[i];

    if (in->op == IR_MUL && has_partner(c, i, IR_MULHU, IR_MULHS)) {
        emit_product(c, i);
        return;
    }
    bool commutes = in->op != IR_SUB, swap = commutes && is_const(c, in->a);
    ir_ref a = swap ? in->b : in->a, b = swap ? in->a : in->b;
    struct binary o = { .w = reg_width(in->type), .a = ra_use(&c->ra, a) };

    o.has_imm = ra_imm(&c->ra, b, &o.imm);
    if (o.has_imm && in->op == IR_AND && in->type < IR_I32)
        o.imm = (int32_t)((uint32_t)o.imm & ((1u << IR_BITS(in->type)) - 1));
    o.b = o.has_imm ? NO_REG : ra_use(&c->ra, b);
    unsigned zbits = result_zbits(c, in, &o);
    ra_kill(&c->ra, i);
    bool keep_b = o.b != NO_REG && o.b != o.a && !commutes;
    o.dst = ra_def(&c->ra, (ir_ref)i, o.a, keep_b ? BIT_REG(o.b) : 0, zbits);
    if (!o.has_imm && o.dst == o.b && o.dst != o.a) {
        o.b = o.a;
        o.a = o.dst;
    }
    if (in->op == IR_MUL) {
        binary_mul(c, &o);
    } else if (!try_lea(c, in, &o, i)) {
        move(c, o.w, o.dst, o.a);
        binary_alu(c, in, &o);
        c->flags_owner = in->type >= IR_I32 ? (ir_ref)i : 0;
    }
}

/* ---- MULHU MULHS ---- */

/* The 64-bit product's high half appears in rdx. */
static void mulh_wide(struct emit *c, const struct ir_insn *in, unsigned i)
{
    ra_take(&c->ra, RAX);
    ra_take(&c->ra, RDX);
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b);

    enc_mov_rr(&c->enc, W64, RAX, a);
    enc_unary(&c->enc, in->op == IR_MULHU ? UN_MUL : UN_IMUL, W64, b);
    ra_kill(&c->ra, i);
    ra_attach(&c->ra, (ir_ref)i, RDX, 64);
}

void emit_mulh(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];

    if (is_made(c, i))
        return;
    if (in->type == IR_I64) {
        mulh_wide(c, in, i);
        return;
    }
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b), t = ra_temp(&c->ra);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, BIT_REG(a) | BIT_REG(b), 64);
    if (in->op == IR_MULHU) {
        enc_zext(&c->enc, in->type, dst, a);
        enc_zext(&c->enc, in->type, t, b);
    } else {
        enc_sext(&c->enc, in->type, W64, dst, a);
        enc_sext(&c->enc, in->type, W64, t, b);
    }
    enc_imul_rr(&c->enc, W64, dst, t);
    enc_shift_ri(&c->enc, SH_SHR, W64, dst, IR_BITS(in->type));
}

/* ---- one operand ---- */

void emit_unary(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned w = reg_width(in->type), a = ra_use(&c->ra, in->a);

    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, IR_BITS(w));
    move(c, w, dst, a);
    if (in->op == IR_BSWAP) {
        enc_bswap(&c->enc, w, dst);
    } else if (in->op == IR_NOT) {
        enc_unary(&c->enc, UN_NOT, w, dst);
    } else {
        enc_unary(&c->enc, UN_NEG, w, dst);
        c->flags_owner = in->type >= IR_I32 ? (ir_ref)i : 0;
    }
}

/* No more than 64. */
static void count_bits(struct emit *c, unsigned i, enum x86_opcode op, unsigned a)
{
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, 8);
    enc_count_bits(&c->enc, op, reg_width(c->insn[i].type), dst, a);
}

void emit_count_zeros(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool trailing = in->op == IR_CTZ;
    unsigned w = reg_width(in->type), a = ra_use(&c->ra, in->a), t, bits = IR_BITS(w);

    if (c->isa & (trailing ? TCG_ISA_BMI1 : TCG_ISA_LZCNT)) {
        count_bits(c, i, trailing ? OP_BSF : OP_BSR, a);
        return;
    }
    t = ra_temp(&c->ra);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, 8);
    enc_bit_scan(&c->enc, trailing ? OP_BSF : OP_BSR, w, dst, a);
    enc_mov_ri(&c->enc, t, trailing ? bits : 2 * bits - 1);
    enc_cmov(&c->enc, CC_E, w, dst, t);
    if (!trailing)
        enc_alu_ri(&c->enc, ALU_XOR, w, dst, (int32_t)bits - 1);
}

void emit_population(struct emit *c, unsigned i)
{
    count_bits(c, i, OP_POPCNT, ra_use(&c->ra, c->insn[i].a));
}

void emit_bit_field(struct emit *c, unsigned i)
{
    static const uint8_t prefix[IR_NUM_OPS] = { [IR_PDEP] = 0xf2, [IR_PEXT] = 0xf3 };
    const struct ir_insn *in = &c->insn[i];
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b);

    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, IR_BITS(in->type));
    enc_bit_field(&c->enc, prefix[in->op], in->op == IR_BEXTR ? OP_BEXTR : OP_BIT_FIELD, in->type, dst, a, b);
    c->kept_flags = prefix[in->op];
}

void emit_checksum(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b);

    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, a == b ? 0 : BIT_REG(b), 32);
    move(c, W32, dst, a);
    enc_crc32(&c->enc, in->type, dst, b);
    c->kept_flags = true;
}

void emit_resize(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned from = value_type(c, in->a);

    if (in->op == IR_TRUNC) {
        ra_alias(&c->ra, (ir_ref)i, in->a, 64);
        return;
    }
    unsigned a = ra_use(&c->ra, in->a);
    if (in->op == IR_ZEXT && c->ra.val[in->a].zbits <= IR_BITS(from)) {
        ra_alias(&c->ra, (ir_ref)i, in->a, 64);
        return;
    }
    ra_kill(&c->ra, i);
    unsigned zbits = in->op == IR_ZEXT ? IR_BITS(from) : IR_BITS(reg_width(in->type));
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, zbits);
    if (in->op == IR_ZEXT)
        enc_zext(&c->enc, from, dst, a);
    else
        enc_sext(&c->enc, from, reg_width(in->type), dst, a);
}

/* ---- shifts ---- */

static const uint8_t shift_of[IR_NUM_OPS] = {
    [IR_SHL] = SH_SHL, [IR_SHR] = SH_SHR, [IR_SAR] = SH_SAR, [IR_ROL] = SH_ROL, [IR_ROR] = SH_ROR,
};

void emit_shift_by(struct emit *c, unsigned op, unsigned w, unsigned reg, unsigned count)
{
    enc_shift_ri(&c->enc, shift_of[op], w, reg, count);
}

/* dst := a with defined bits above the width where the shift brings them in. Returns the width to shift
 * at. */
static unsigned shift_prepare(struct emit *c, const struct ir_insn *in, unsigned dst, unsigned a)
{
    bool rotate = in->op == IR_ROL || in->op == IR_ROR;

    if (in->type < IR_I32 && in->op == IR_SHR)
        enc_zext(&c->enc, in->type, dst, a);
    else if (in->type < IR_I32 && in->op == IR_SAR)
        enc_sext(&c->enc, in->type, W32, dst, a);
    else
        move(c, reg_width(in->type), dst, a);
    return rotate ? in->type : reg_width(in->type);
}

/* With BMI2: no register is given, no flag changes. */
static bool shift_by_any(struct emit *c, const struct ir_insn *in, unsigned i)
{
    static const uint8_t prefix[IR_NUM_OPS] = { [IR_SHL] = 0x66, [IR_SHR] = 0xf2, [IR_SAR] = 0xf3 };

    if (!(c->isa & TCG_ISA_BMI2) || in->type < IR_I32 || !prefix[in->op] || is_const(c, in->b))
        return false;
    unsigned a = ra_use(&c->ra, in->a), count = ra_use(&c->ra, shift_count(c->insn, in));
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, IR_BITS(in->type));
    enc_vex_rr(&c->enc, prefix[in->op], in->type == IR_I64 ? VEX_W : 0, OP_SHIFTX, dst, count, a);
    c->kept_flags = true;
    return true;
}

void emit_shift_op(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];

    if (shift_by_any(c, in, i))
        return;
    unsigned bits = in->op == IR_SHR || in->type >= IR_I32 ? IR_BITS(in->type) : 64;
    bool fixed = is_const(c, in->b);

    if (!fixed)
        ra_use_in(&c->ra, shift_count(c->insn, in), RCX);
    unsigned a = ra_use(&c->ra, in->a);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, fixed ? 0 : BIT_REG(RCX), bits);
    unsigned w = shift_prepare(c, in, dst, a), count = c->insn[in->b].imm & (IR_BITS(in->type) - 1);
    if (fixed)
        emit_shift_by(c, in->op, w, dst, count);
    else
        enc_shift_cl(&c->enc, shift_of[in->op], w, dst);
}

/* ---- bit fields ---- */

/* Keep the low `len` bits of reg. */
static void keep_low(struct emit *c, unsigned w, unsigned reg, unsigned len)
{
    if (len >= IR_BITS(w))
        return;
    if (len == 8 || len == 16 || len == 32) {
        enc_zext(&c->enc, len == 8 ? W8 : len == 16 ? W16 : W32, reg, reg);
    } else if (len < 32) {
        enc_alu_ri(&c->enc, ALU_AND, W32, reg, (int32_t)((1u << len) - 1));
    } else {
        enc_shift_ri(&c->enc, SH_SHL, w, reg, IR_BITS(w) - len);
        enc_shift_ri(&c->enc, SH_SHR, w, reg, IR_BITS(w) - len);
    }
}

void emit_extract(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned w = reg_width(in->type), pos = (in->imm >> 8) & 63, len = in->imm & 0xff;
    unsigned a = ra_use(&c->ra, in->a);

    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, 0, len);
    if (!pos && (len == 8 || len == 16)) {
        enc_zext(&c->enc, len == 8 ? W8 : W16, dst, a);
        return;
    }
    if (dst != a || len == IR_BITS(w))
        enc_mov_rr(&c->enc, w, dst, a);
    if (pos)
        enc_shift_ri(&c->enc, SH_SHR, w, dst, pos);
    if (pos + len < IR_BITS(w))
        keep_low(c, w, dst, len);
}

/* The low `len` bits of dst := those of b, where the host has no move of that size. */
static void deposit_low(struct emit *c, unsigned w, unsigned dst, unsigned b, unsigned t, unsigned len)
{
    enc_mov_rr(&c->enc, w, t, b);
    keep_low(c, w, t, len);
    enc_shift_ri(&c->enc, SH_SHR, w, dst, len);
    enc_shift_ri(&c->enc, SH_SHL, w, dst, len);
    enc_alu_rr(&c->enc, ALU_OR, w, dst, t);
}

/* Rotate the field to the bottom, replace it, rotate back. */
void emit_deposit(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned w = reg_width(in->type), pos = (in->imm >> 8) & 63, len = in->imm & 0xff;

    if (len == IR_BITS(w)) {
        ra_alias(&c->ra, (ir_ref)i, in->b, 64);
        return;
    }
    bool direct = len == 8 || len == 16;
    unsigned a = ra_use(&c->ra, in->a), b = ra_use(&c->ra, in->b), t = direct ? NO_REG : ra_temp(&c->ra);
    ra_kill(&c->ra, i);
    unsigned dst = ra_def(&c->ra, (ir_ref)i, a, BIT_REG(b), 64);
    move(c, w, dst, a);
    if (pos)
        enc_shift_ri(&c->enc, SH_ROR, w, dst, pos);
    if (direct)
        enc_mov_rr(&c->enc, len == 8 ? W8 : W16, dst, b);
    else
        deposit_low(c, w, dst, b, t, len);
    if (pos)
        enc_shift_ri(&c->enc, SH_ROL, w, dst, pos);
}
