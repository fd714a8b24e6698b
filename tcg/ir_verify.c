/* Check a block against the rules that ir.def states. Only for what the table cannot say is there code by
 * operation. */
#include <string.h>

#include "base/bits.h"
#include "tcg/build.h"

struct check {
    const struct ir_block *blk;
    const struct tcg_guest *guest;
    unsigned i;                   /* the instruction at hand */
    const struct ir_insn *in;
    unsigned num_exits;           /* so far */
    const char *bad;              /* the first violation */
};

static void require(struct check *c, bool holds, const char *rule)
{
    if (!holds && !c->bad)
        c->bad = rule;
}

static const struct tcg_helper *helper_at(const struct check *c, uint64_t n)
{
    return n < c->guest->num_helpers ? &c->guest->helpers[n] : NULL;
}

/* Letter of the value that instruction v makes: '-', 'F', or 'V' for an integer. */
static char result_kind(const struct check *c, ir_ref v)
{
    const struct ir_insn *d = &c->blk->insn[v];
    const struct tcg_helper *h;

    if (d->op != IR_CALL)
        return ir_ops[d->op].result == '-' ? '-' : ir_ops[d->op].result == 'F' ? 'F' : 'V';
    h = helper_at(c, d->imm);
    return h && h->result != 'v' ? 'V' : '-';
}

static void check_type(struct check *c, ir_ref v, char letter)
{
    unsigned t = ir_result_type(&c->blk->insn[v]), own = c->in->type;

    switch (letter) {
    case 'T':
        require(c, t == own, "operand is not of the instruction's type");
        break;
    case '4':
        require(c, t == IR_I32, "operand is not I32");
        break;
    case '8':
        require(c, t == IR_I64, "operand is not I64");
        break;
    case 'A':
        require(c, t == IR_I32 || t == IR_I64, "address is neither I32 nor I64");
        break;
    default: /* S */
        require(c, c->in->op == IR_TRUNC ? t > own : t < own, "source is not of the other size");
        break;
    }
}

static void check_operand(struct check *c, ir_ref v, char letter)
{
    if (letter == '-') {
        require(c, !v, "operand where none belongs");
        return;
    }
    if (letter == 'X') {
        require(c, !v || (v < c->i && c->blk->insn[v].op == IR_XLATE), "operand is no XLATE");
        return;
    }
    require(c, v, "operand is missing");
    require(c, v < c->i, "operand is not defined before its use");
    if (c->bad)
        return;
    require(c, c->blk->insn[v].op != IR_XLATE, "operand is an XLATE");
    require(c, result_kind(c, v) == (letter == 'F' ? 'F' : 'V'),
            letter == 'F' ? "operand is no flags value" : "operand is no integer value");
    if (letter != 'F' && !c->bad)
        check_type(c, v, letter);
}

/* ---- what the letters do not say ---- */

static void check_call(struct check *c)
{
    const struct tcg_helper *h = helper_at(c, c->in->imm);
    const ir_ref arg[4] = { c->in->a, c->in->b, c->in->c, c->in->d };

    require(c, h, "no such helper");
    if (!h)
        return;
    require(c, c->in->type == (h->result == '8' ? IR_I64 : IR_I32), "call's type is not the helper's");
    for (unsigned n = 0, len = (unsigned)strlen(h->args); n < 4; n++)
        check_operand(c, arg[n], n < len ? h->args[n] : '-');
}

static void check_exit_helper(struct check *c, uint64_t n, size_t args)
{
    const struct tcg_helper *h = helper_at(c, n);

    require(c, h, "no such helper");
    require(c, !h || (h->effects & H_NORETURN), "helper of a check returns");
    require(c, !h || strlen(h->args) == args, "helper of a check takes other arguments");
}

static void check_field_at(struct check *c, uint64_t off, unsigned len)
{
    const struct tcg_guest *g = c->guest;

    require(c, off <= INT32_MAX, "CPU field offset out of range");
    for (unsigned r = 0; r < TCG_NUM_REGS; r++)
        require(c, off + len <= g->off_reg[r] || off >= g->off_reg[r] + 8u, "CPU field is a guest register");
    require(c, off + len <= g->off_flags || off >= g->off_flags + sizeof(struct tcg_flags),
            "CPU field is the guest's flags");
}

static void check_field(struct check *c, unsigned len)
{
    check_field_at(c, c->in->imm, len);
}

static void check_bits(struct check *c)
{
    uint64_t pos = c->in->imm >> 8, len = c->in->imm & 0xff;

    require(c, c->in->type >= IR_I32, "type is neither I32 nor I64");
    require(c, len && pos < 64 && pos + len <= IR_BITS(c->in->type), "bit field out of range");
}

static void check_shift(struct check *c)
{
    const struct ir_insn *n = &c->blk->insn[c->in->b];

    require(c, n->op != IR_CONST || n->imm < IR_BITS(c->in->type), "shift count not less than the width");
}

/* How far the access may be from where the XLATE's base and its own displacement say. */
static uint64_t index_of_shared(struct check *c, const struct ir_insn *x)
{
    const struct ir_insn *sum = &c->blk->insn[c->in->a];

    if (x->a == c->in->a)
        return 0;
    require(c, sum->op == IR_ADD && (sum->a == x->a || sum->b == x->a), "XLATE of another address");
    return c->bad ? 0 : ir_maybe_bits(c->blk->insn, sum->a == x->a ? sum->b : sum->a);
}

/* The XLATE says something of this access, and still does. */
static void check_shared(struct check *c, unsigned size, bool writes)
{
    const struct ir_insn *in = c->in, *x = &c->blk->insn[in->d];
    int64_t disp = (int32_t)(in->imm >> 32), lo = (int32_t)x->imm, hi = (int32_t)(x->imm >> 32);
    uint64_t index = index_of_shared(c, x);
    unsigned later = 0;

    require(c, disp >= lo && index <= INT32_MAX && disp + size - 1 + (int64_t)index <= hi,
            "access is not in the XLATE's range");
    require(c, x->aux || !writes, "XLATE is not for writing");
    require(c, !(in->aux & (IR_MEM_ALIGN | IR_MEM_SUPER)), "XLATE of an access that never uses one");
    for (const struct ir_insn *p = x + 1; p < in; p++) {
        later += p->op == IR_XLATE;
        require(c, p->op != IR_CALL || tcg_helper_only_reads(&c->guest->helpers[p->imm]), "XLATE from before a helper");
    }
    require(c, later < IR_OPEN_XLATES, "too many XLATEs in between");
}

/* `allowed`: bits of enum ir_vec. */
static void check_vector(struct check *c, unsigned allowed)
{
    unsigned cc = c->in->cc;

    require(c, !(cc & ~allowed), "vector form where it does not belong");
    require(c, (cc & IR_V_SIZE) != IR_V32 || !(cc & IR_V_CLEAR), "nothing is left to clear");
    require(c, (cc & IR_V_SIZE) == IR_V32 || !(cc & IR_V_LOW_B), "halves of a vector that has none");
}

static void check_memory(struct check *c)
{
    bool vector = c->in->op == IR_LDV || c->in->op == IR_STV;
    unsigned known = IR_MEM_RMW | IR_MEM_STACK | IR_MEM_ALIGN | IR_MEM_SUPER | IR_MEM_FLAT;
    unsigned size = c->in->cc & IR_V_SIZE;

    require(c, !(c->in->aux & ~known), "unknown memory flags");
    require(c, c->blk->mmu < c->guest->num_mmu, "no such TLB set");
    if (vector) {
        check_vector(c, c->in->op == IR_LDV ? IR_V_CLEAR | IR_V_SIZE : IR_V_SIZE);
        require(c, size == IR_V16 || size == IR_V32 || !(c->in->aux & IR_MEM_ALIGN), "flags of 16 bytes");
        check_field_at(c, (uint32_t)c->in->imm, 16);
    }
    require(c, !(c->in->aux & IR_MEM_ALIGN) || !(c->in->imm >> 32), "displacement of an aligned access");
    require(c, (int32_t)(c->in->imm >> 32) <= IR_MAX_DISP, "displacement too large");
    if (c->in->d)
        check_shared(c, ir_access_size(c->in), c->in->op == IR_ST || c->in->op == IR_STV || (c->in->aux & IR_MEM_RMW));
}

static void check_xlate(struct check *c)
{
    int64_t lo = (int32_t)c->in->imm, hi = (int32_t)(c->in->imm >> 32);

    require(c, lo <= hi, "range is empty");
    require(c, hi - lo < 1 << TCG_PAGE_BITS, "range larger than a page");
    require(c, c->in->aux <= 1, "unknown memory flags");
    require(c, c->blk->mmu < c->guest->num_mmu, "no such TLB set");
}

/* Explicit accesses of the program only. */
static void check_atomic(struct check *c)
{
    require(c, !(c->in->aux & ~(IR_MEM_STACK | IR_MEM_FLAT)), "unknown memory flags");
    require(c, c->blk->mmu < c->guest->num_mmu, "no such TLB set");
}

static void check_pc(struct check *c)
{
    unsigned known = c->in->op == IR_BR ? IR_FAR(0) | IR_FAR(1) : c->in->op == IR_EXIT ? 1 : IR_FAR(0);

    require(c, c->in->type >= IR_I16, "pc is not I16, I32 or I64");
    require(c, !(c->in->aux & ~known), "unknown exit flags");
}

static void check_exitif(struct check *c)
{
    check_pc(c);
    require(c, c->in->imm >> 32 == c->num_exits, "exits are not numbered in order");
    require(c, ++c->num_exits <= c->blk->num_exits && c->num_exits + 2 <= TCG_MAX_EXITS, "too many exits");
}

static void check_vop(struct check *c)
{
    const struct tcg_vop_info *op = &tcg_vops[c->in->imm & 0xffff];
    unsigned size = c->in->cc & IR_V_SIZE;

    check_vector(c, IR_V_CLEAR | IR_V_SIZE | IR_V_LOW_B);
    require(c, size == IR_V16 || size == IR_V32, "vector form where it does not belong");
    require(c, c->bad || size == IR_V32 || (op->kind != VK_L && op->kind != VK_L1), "operation across halves of 16 bytes");
    require(c, c->bad || !c->in->cc || (op->kind != VK_Q && op->kind != VK_Q1), "halves of 8 bytes");
}

static void check_x87(struct check *c)
{
    const struct tcg_helper *h = helper_at(c, c->in->imm >> 16 & 0xffff);
    unsigned opcode = c->in->imm & 0xff;

    if (c->in->op == IR_X87 && !opcode)
        return;
    require(c, opcode >= 0xd8 && opcode <= 0xdf, "no x87 opcode");
    require(c, h, "no such helper");
    if (!h)
        return;
    if (c->in->op == IR_X87)
        require(c, !strcmp(h->args, "4"), "arguments do not fit the helper");
    else
        require(c, !strcmp(h->args, c->in->op == IR_X87M ? "48" : "44"), "arguments do not fit the helper");
    require(c, c->in->op != IR_X87M || (c->in->cc && c->in->cc <= 10), "size of an x87 operand");
    require(c, !(c->in->aux & ~IR_MEM_RMW), "unknown memory flags");
}

static void check_special(struct check *c)
{
    const struct ir_insn *in = c->in;

    switch (in->op) {
    case IR_GET:
    case IR_PUT:
        require(c, in->imm < TCG_NUM_REGS, "no such register");
        /* fall through */
    case IR_BSWAP:
    case IR_CTZ:
    case IR_CLZ:
    case IR_POPCNT: case IR_PDEP: case IR_PEXT: case IR_BZHI: case IR_BEXTR:
        require(c, in->type >= IR_I32, "type is neither I32 nor I64");
        break;
    case IR_LDE:
    case IR_STE:
        check_field(c, IR_BYTES(in->type));
        break;
    case IR_VMASK:
        require(c, in->type != IR_I16, "elements are I16");
        require(c, in->cc == IR_V16 || in->cc == IR_V32, "vector form where it does not belong");
        check_field(c, 16);
        break;
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROL: case IR_ROR:
        check_shift(c);
        break;
    case IR_EXTRACT:
    case IR_DEPOSIT:
        check_bits(c);
        break;
    case IR_CMP:
        require(c, in->cc <= IR_CMP_GES, "no such comparison");
        break;
    case IR_COND:
        require(c, in->cc < 16, "no such condition");
        break;
    case IR_LD: case IR_ST: case IR_LDV: case IR_STV:
        check_memory(c);
        break;
    case IR_XLATE:
        check_xlate(c);
        break;
    case IR_ATOMIC:
        require(c, in->imm < IR_NUM_ATOMICS, "no such atomic operation");
        /* fall through */
    case IR_CAS:
        check_atomic(c);
        break;
    case IR_BOUND:
        check_exit_helper(c, in->imm >> 32 & 0xffff, 2);
        break;
    case IR_TRAPIF:
        check_exit_helper(c, in->imm & UINT32_MAX, 1);
        break;
    case IR_CALL:
        check_call(c);
        break;
    case IR_VOP:
        require(c, (in->imm & 0xffff) < TCG_NUM_VOPS, "no such vector operation");
        if (!c->bad)
            check_vop(c);
        break;
    case IR_X87: case IR_X87V: case IR_X87M:
        check_x87(c);
        break;
    case IR_VSET: case IR_VFROMI: case IR_VTOI:
        require(c, in->type >= IR_I32, "type is neither I32 nor I64");
        /* fall through */
    case IR_VCOM:
        require(c, in->aux <= (IR_VF_DOUBLE | IR_VF_TRUNCATE), "unknown conversion");
        require(c, !(in->cc & ~(unsigned)IR_V_CLEAR), "vector form where it does not belong");
        break;
    case IR_EXITIF:
        check_exitif(c);
        break;
    case IR_GOTO: case IR_BR: case IR_EXIT:
        check_pc(c);
        break;
    }
}

static void check_fl(struct check *c)
{
    if (!c->in->fl)
        return;
    require(c, (ir_ops[c->in->op].effects & E_FAULT) && c->in->op != IR_CALL, "fl on what does not fault");
    check_operand(c, c->in->fl, 'F');
}

static void check_insn(struct check *c)
{
    const struct ir_op_info *op;

    require(c, c->in->op < IR_NUM_OPS, "no such operation");
    require(c, c->in->type <= IR_I64, "no such type");
    if (c->bad)
        return;
    op = &ir_ops[c->in->op];
    require(c, !(op->effects & E_END) == (c->i + 1 < c->blk->num), op->effects & E_END ?
            "block end before the last instruction" : "last instruction is no block end");
    if (c->in->op != IR_CALL) {
        check_operand(c, c->in->a, op->a);
        check_operand(c, c->in->b, op->b);
        check_operand(c, c->in->c, op->c);
        check_operand(c, c->in->d, op->d);
    }
    if (!c->bad)
        check_special(c);
    check_fl(c);
}

const char *ir_verify(const struct ir_block *blk, const struct tcg_guest *guest, char *err, size_t size)
{
    struct check c = { .blk = blk, .guest = guest };

    if (blk->num < 2 || blk->num > IR_MAX_INSNS) {
        snprintf(err, size, "block of %u instructions", blk->num);
        return err;
    }
    for (c.i = 1; c.i < blk->num && !c.bad; c.i++) {
        c.in = &blk->insn[c.i];
        check_insn(&c);
        if (c.bad)
            snprintf(err, size, "v%u %s: %s", c.i, c.in->op < IR_NUM_OPS ? ir_ops[c.in->op].name : "?",
                     c.bad);
    }
    return c.bad ? err : NULL;
}
