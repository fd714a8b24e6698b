/* Analysis of a block before code is emitted: one backward scan finds last uses, conditions to be made by their
 * consumers, and values that may be made in the guest register they go to. */
#include "tcg/host/x86_64/regalloc.h"

#include <string.h>

#include "base/bits.h"

/* Only B and BE (and their opposites) look at C. */
ir_ref flags_resolve(const struct ir_insn *insn, ir_ref *f, unsigned cc)
{
    unsigned what = cc & ~1u;

    while (insn[*f].op == IR_FL_SETC && what != CC_BE) {
        if (what == CC_B)
            return insn[*f].b;
        *f = insn[*f].a;
    }
    if (what == CC_B && (insn[*f].op == IR_FL_INC || insn[*f].op == IR_FL_DEC))
        return insn[*f].b;
    if ((what == CC_B || what == CC_O) && insn[*f].op == IR_FL_MUL)
        return insn[*f].b;
    if (what == CC_B && (insn[*f].op == IR_FL_BITS || insn[*f].op == IR_FL_CO))
        return insn[*f].b;
    if (what == CC_O && insn[*f].op == IR_FL_CO)
        return insn[*f].c;
    return 0;
}

/* Per block: the value that the nearest PUT below writes to a pinned register, until a barrier. */
struct scan {
    struct regalloc *ra;
    ir_ref put[NUM_PINNED];
};

static void clear_values(struct regalloc *ra)
{
    struct ra_value fresh = { .reg = NO_REG, .hint = NO_REG, .slot = NO_SLOT, .zbits = 64 };
    uint64_t words[2];

    _Static_assert(sizeof(fresh) == sizeof(words), "two stores");
    memcpy(words, &fresh, sizeof(words));
    for (unsigned i = 1; i < ra->num; i++)
        memcpy(&ra->val[i], words, sizeof(words));
    memset(ra->dies, 0, ra->num * sizeof(ra->dies[0]));
}

static void dies_at(struct regalloc *ra, ir_ref v, unsigned i)
{
    ra->val[v].last_use = (uint16_t)i;
    ra->val[v].dies_next = ra->dies[i];
    ra->dies[i] = v;
}

static void lives_on(struct regalloc *ra, ir_ref v)
{
    ir_ref *p = &ra->dies[ra->val[v].last_use];

    while (*p != v)
        p = &ra->val[*p].dies_next;
    *p = ra->val[v].dies_next;
}

static void use_again(struct regalloc *ra, ir_ref v, unsigned i)
{
    struct ra_value *val = &ra->val[v];

    if (val->mark & RA_DEFERRED) {
        val->mark &= (uint8_t)~RA_DEFERRED;
        dies_at(ra, v, MAX_OF(val->last_use, i));
    } else if (val->last_use < i) {
        lives_on(ra, v);
        dies_at(ra, v, i);
    }
}

/* The first use that the scan meets is the last one, but for operands of what a consumer makes later than it stands.
 * A value with a second user is made where it stands. */
static inline void use(struct regalloc *ra, ir_ref v, unsigned i)
{
    if (!ra->val[v].last_use)
        dies_at(ra, v, i);
    else if (v)
        use_again(ra, v, i);
}

/* The operands, or the word, that the bits of flags f are made of. */
static void use_flags(struct regalloc *ra, ir_ref f, unsigned i)
{
    const struct ir_insn *in = &ra->insn[f];

    if (!f)
        return;
    if (flags_in_word(in)) {
        ra->val[f].mark |= RA_WORD;
        use(ra, f, i);
        return;
    }
    use(ra, in->a, i);
    use(ra, flags_late(ra->insn, in) ? ra->insn[in->b].a : in->b, i);
    use(ra, in->c, i);
}

/* What writing flags f takes. */
static void use_committed(struct regalloc *ra, ir_ref f, unsigned i)
{
    if (flags_keep_carry(&ra->insn[f]))
        use(ra, ra->insn[f].a, i);
    else
        use_flags(ra, f, i);
}

static void use_cond(struct regalloc *ra, ir_ref f, unsigned cc, unsigned i)
{
    ir_ref boolean = flags_resolve(ra->insn, &f, cc);

    if (boolean) {
        use(ra, boolean, i);
        return;
    }
    use_flags(ra, f, i);
    if (flags_late(ra->insn, &ra->insn[f]) && (cc & ~1u) <= CC_B)
        use(ra, ra->insn[f].b, i);
    if (!flags_in_word(&ra->insn[f]))
        ra->val[ra->insn[f].a].mark |= RA_FLAGS_WANTED;
}

/* As long as no other user is found, `last_use` of a deferred value is its consumer, and it is in no list. */
static void use_bool(struct regalloc *ra, ir_ref v, unsigned i)
{
    const struct ir_insn *in = &ra->insn[v];

    if (ra->val[v].last_use || (in->op != IR_CMP && in->op != IR_COND)) {
        use(ra, v, i);
        return;
    }
    ra->val[v].mark |= RA_DEFERRED;
    ra->val[v].last_use = (uint16_t)i;
}

/* The carry of an addition has been folded into a comparison. */
static void want_carry(struct regalloc *ra, const struct ir_insn *cmp)
{
    if ((cmp->cc == IR_CMP_LTU || cmp->cc == IR_CMP_GEU) && ra->insn[cmp->a].op == IR_ADD)
        ra->val[cmp->a].mark |= RA_FLAGS_WANTED;
}

/* A carry is best made where the host's flags have it: by its user only if nothing but moves is between. */
static void use_carry(struct regalloc *ra, ir_ref v, unsigned i)
{
    for (unsigned k = v + 1u; k < i; k++) {
        unsigned op = ra->insn[k].op;
        if (op != IR_INSN && op != IR_CONST && op != IR_GET && op != IR_PUT && op != IR_TRUNC) {
            use(ra, v, i);
            return;
        }
    }
    use_bool(ra, v, i);
}

/* A sum that only a pinned register wants is made there: the stack pointer behind what a push stores. */
static void use_put(struct regalloc *ra, const struct ir_insn *put, unsigned i)
{
    const struct ir_insn *in = &ra->insn[put->a];
    int32_t imm;

    if (ra->val[put->a].last_use || put->imm >= NUM_PINNED || in->op != IR_ADD || !ra_imm(ra, in->b, &imm)) {
        use(ra, put->a, i);
        return;
    }
    ra->val[put->a].mark |= RA_DEFERRED;
    ra->val[put->a].last_use = (uint16_t)i;
}

/* All users of deferred v are known: its consumer makes it from v's operands. */
static void use_deferred(struct regalloc *ra, ir_ref v)
{
    const struct ir_insn *in = &ra->insn[v];
    unsigned consumer = ra->val[v].last_use;

    ra->val[v].last_use = 0;
    if (in->op == IR_COND) {
        use_cond(ra, in->a, in->cc, consumer);
    } else {
        use(ra, in->a, consumer);
        use(ra, in->b, consumer);
        want_carry(ra, in);
    }
}

static void use_call(struct regalloc *ra, const struct ir_insn *in, unsigned i)
{
    use(ra, in->a, i);
    use(ra, in->b, i);
    use(ra, in->c, i);
    use(ra, in->d, i);
}

static void use_operands(struct regalloc *ra, const struct ir_insn *in, unsigned i)
{
    use(ra, in->a, i);
    use(ra, in->b, i);
    if (in->c)
        use(ra, in->c, i);
    if (in->d)
        use(ra, in->d, i);
}

static void scan_uses(struct regalloc *ra, const struct ir_insn *in, unsigned i)
{
    switch (in->op) {
    case IR_COND:
        use_cond(ra, in->a, in->cc, i);
        break;
    case IR_EFLAGS:
        use_flags(ra, in->a, i);
        break;
    case IR_PUTFL:
        use_committed(ra, in->a, i);
        break;
    case IR_PUTFLIF:
        use_flags(ra, in->a, i);
        use_bool(ra, in->b, i);
        break;
    case IR_FL_SETC:
        use_flags(ra, in->a, i);
        use(ra, in->b, i);
        break;
    case IR_BR:
    case IR_TRAPIF:
    case IR_EXITIF:
        use_bool(ra, in->a, i);
        break;
    case IR_GOTOIF:
        use_bool(ra, in->a, i);
        use(ra, in->b, i);
        break;
    case IR_SELECT:
        use_bool(ra, in->a, i);
        use(ra, in->b, i);
        use(ra, in->c, i);
        break;
    case IR_ADC:
    case IR_SBB:
        use(ra, in->a, i);
        use(ra, in->b, i);
        use_carry(ra, in->c, i);
        break;
    case IR_CMP:
        use_operands(ra, in, i);
        want_carry(ra, in);
        break;
    case IR_CALL:
        use_call(ra, in, i);
        break;
    case IR_ADD:
        use(ra, in->a, i);
        use(ra, adds_scaled(ra, i) ? ra->insn[in->b].a : in->b, i);
        break;
    default:
        use_operands(ra, in, i);
        break;
    }
    if (in->fl)
        use_committed(ra, in->fl, i);
}

/* The value's hint was of a PUT that another one has replaced, or a barrier has, as seen from here. */
static inline void settle_hint(const struct scan *s, unsigned i)
{
    struct ra_value *val = &s->ra->val[i];

    val->hint = s->put[val->hint_of] == i ? val->hint : NO_REG; /* or never had one */
}

static inline void has_code(struct regalloc *ra, unsigned i)
{
    ra->made[--ra->first] = (ir_ref)i;
}

/* What the scan does with most operations, so that it looks at the kind once. A new block is new to the host's
 * predictor: each question costs. */
enum scan_kind { SCAN_ANY, SCAN_NOTHING, SCAN_MARK, SCAN_GET, SCAN_PUT, SCAN_VALUE, SCAN_SHIFT, SCAN_ZEXT, SCAN_ACCESS };

static const uint8_t scan_kind[IR_NUM_OPS] = {
    [IR_CONST] = SCAN_NOTHING, [IR_INSN] = SCAN_MARK, [IR_GET] = SCAN_GET, [IR_PUT] = SCAN_PUT,
    [IR_LDE] = SCAN_VALUE, [IR_PC] = SCAN_VALUE, [IR_CODE] = SCAN_VALUE, [IR_SUB] = SCAN_VALUE, [IR_AND] = SCAN_VALUE,
    [IR_OR] = SCAN_VALUE, [IR_XOR] = SCAN_VALUE, [IR_MUL] = SCAN_VALUE, [IR_NOT] = SCAN_VALUE, [IR_NEG] = SCAN_VALUE,
    [IR_SHL] = SCAN_SHIFT, [IR_SHR] = SCAN_SHIFT, [IR_SAR] = SCAN_SHIFT, [IR_ROL] = SCAN_SHIFT, [IR_ROR] = SCAN_SHIFT,
    [IR_ZEXT] = SCAN_ZEXT, [IR_SEXT] = SCAN_VALUE, [IR_TRUNC] = SCAN_VALUE, [IR_EXTRACT] = SCAN_VALUE,
    [IR_DEPOSIT] = SCAN_VALUE, [IR_LD] = SCAN_ACCESS, [IR_ST] = SCAN_ACCESS,
    /* Never a word: their users look at the operands. */
    [IR_FL_ADD] = SCAN_NOTHING, [IR_FL_ADC] = SCAN_NOTHING, [IR_FL_SUB] = SCAN_NOTHING, [IR_FL_SBB] = SCAN_NOTHING,
    [IR_FL_CMP] = SCAN_NOTHING, [IR_FL_LOGIC] = SCAN_NOTHING, [IR_FL_INC] = SCAN_NOTHING, [IR_FL_DEC] = SCAN_NOTHING,
    [IR_FL_SHL] = SCAN_NOTHING, [IR_FL_SHR] = SCAN_NOTHING, [IR_FL_MUL] = SCAN_NOTHING, [IR_FL_BITS] = SCAN_NOTHING,
    [IR_FL_CO] = SCAN_NOTHING, [IR_FL_RAW] = SCAN_NOTHING,
};

static void scan_get(struct scan *s, const struct ir_insn *in, unsigned i)
{
    settle_hint(s, i);
    if (in->imm < NUM_PINNED)
        s->put[in->imm] = 0;
    if (s->ra->val[i].last_use)
        has_code(s->ra, i);
}

/* Value v is best made in the host register of guest register n. */
static void wants(struct scan *s, ir_ref v, unsigned n)
{
    s->put[n] = v;
    s->ra->val[v].hint = x86_pinned[n];
    s->ra->val[v].hint_of = (uint16_t)n;
}

static void scan_put(struct scan *s, const struct ir_insn *in, unsigned i)
{
    if (in->imm < NUM_PINNED)
        wants(s, in->a, (unsigned)in->imm);
    has_code(s->ra, i);
    use_put(s->ra, in, i);
}

static void scan_value(struct scan *s, const struct ir_insn *in, unsigned i)
{
    if (!s->ra->val[i].last_use)
        return;
    settle_hint(s, i);
    has_code(s->ra, i);
    use_operands(s->ra, in, i);
}

static void scan_shift(struct scan *s, const struct ir_insn *in, unsigned i)
{
    if (!s->ra->val[i].last_use)
        return;
    settle_hint(s, i);
    has_code(s->ra, i);
    use(s->ra, in->a, i);
    use(s->ra, shift_count(s->ra->insn, in), i);
}

/* A load extends what it loads: both are made in the register that the extension goes to. */
static void scan_zext(struct scan *s, const struct ir_insn *in, unsigned i)
{
    const struct ra_value *val = &s->ra->val[i];

    scan_value(s, in, i);
    if (val->last_use && val->hint != NO_REG && s->ra->insn[in->a].op == IR_LD)
        wants(s, in->a, val->hint_of);
}

static void scan_access(struct scan *s, const struct ir_insn *in, unsigned i)
{
    settle_hint(s, i);
    memset(s->put, 0, sizeof(s->put));
    has_code(s->ra, i);
    use_operands(s->ra, in, i);
    if (in->fl)
        use_committed(s->ra, in->fl, i);
}

static void scan_any(struct scan *s, const struct ir_insn *in, unsigned i)
{
    struct regalloc *ra = s->ra;

    settle_hint(s, i);
    if (ir_ops[in->op].effects & (E_FAULT | E_END))
        memset(s->put, 0, sizeof(s->put));
    if (ra->val[i].mark & RA_DEFERRED) {
        use_deferred(ra, (ir_ref)i);
    } else if (!ra_is_silent(ra, i)) {
        has_code(ra, i);
        scan_uses(ra, in, i);
    }
}

static void scan(struct scan *s, const struct ir_insn *in, unsigned i)
{
    switch (scan_kind[in->op]) {
    case SCAN_NOTHING:
        break;
    case SCAN_MARK:
        has_code(s->ra, i);
        break;
    case SCAN_GET:
        scan_get(s, in, i);
        break;
    case SCAN_PUT:
        scan_put(s, in, i);
        break;
    case SCAN_VALUE:
        scan_value(s, in, i);
        break;
    case SCAN_SHIFT:
        scan_shift(s, in, i);
        break;
    case SCAN_ZEXT:
        scan_zext(s, in, i);
        break;
    case SCAN_ACCESS:
        scan_access(s, in, i);
        break;
    default:
        scan_any(s, in, i);
        break;
    }
}

void ra_analyse(struct regalloc *ra, struct enc *enc, const struct ir_insn *insn, unsigned num)
{
    struct scan s = { .ra = ra };

    ra->enc = enc;
    ra->insn = insn;
    ra->num = num;
    ra->locked = 0;
    ra->num_slots = ra->num_free = 0;
    ra->first = IR_MAX_INSNS;
    memset(ra->head, 0, sizeof(ra->head));
    ra->val[0] = (struct ra_value){ .last_use = UINT16_MAX }; /* no value: nothing can be said of its uses */
    clear_values(ra);
    for (unsigned i = num - 1; i > 0; i--)
        scan(&s, &insn[i], i);
}
