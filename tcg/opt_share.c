/* One translation for several accesses to memory through the same base.
 *
 * Accesses whose addresses are the same value plus constants form a group, if they lie near each other and no helper is
 * called between them. In front of the first one comes an XLATE of the whole range, and all of them get it as operand: if
 * the range lies in one page with a direct way, none needs a probe of its own. One that writes makes the group one for
 * writing: a program that reads a structure and stores to it has done both before. Addresses that are constants away
 * from the pc are all taken from the first such one. Where an index says by itself that it is small, the accesses are
 * to a table, and the range is all of it. */
#include "base/bits.h"
#include "tcg/tcg.h"

/* Bytes from the first to the last of a group. The wider, the more often it lies in two pages and gains nothing. */
#define MAX_RANGE 256
#define MAX_TABLE 1024

/* What an access may touch. */
struct place {
    ir_ref base;
    bool table;
    int64_t lo, hi;
};

struct group {
    ir_ref base, first;
    bool writes, table;
    uint16_t members;
    int32_t lo, hi;
};

struct share {
    struct ir_block *blk;
    unsigned num_groups, first_open;
    struct group group[IR_MAX_INSNS];
    ir_ref group_of[IR_MAX_INSNS];      /* number of the group + 1; 0: none */
    ir_ref map[IR_MAX_INSNS];           /* old number -> new number */
    ir_ref pc;                          /* the first PC that is an address; 0: none */
};

static bool is_access(const struct ir_insn *in)
{
    return (in->op == IR_LD || in->op == IR_ST || in->op == IR_LDV || in->op == IR_STV) &&
           !(in->aux & (IR_MEM_SUPER | IR_MEM_ALIGN));
}

static int32_t last_of(const struct ir_insn *in)
{
    return (int32_t)(in->imm >> 32) + (int32_t)ir_access_size(in) - 1;
}

static struct place place_of(const struct ir_insn *insn, const struct ir_insn *in)
{
    const struct ir_insn *sum = &insn[in->a];
    struct place p = { .base = in->a, .lo = (int32_t)(in->imm >> 32), .hi = last_of(in) };
    uint64_t index;

    if (sum->op != IR_ADD)
        return p;
    index = ir_maybe_bits(insn, sum->b);
    if (p.hi - p.lo + (int64_t)MIN_OF(index, MAX_TABLE) >= MAX_TABLE || p.hi + (int64_t)index > INT32_MAX)
        return p;
    return (struct place){ .base = sum->a, .table = true, .lo = p.lo, .hi = p.hi + (int64_t)index };
}

static bool may_join(const struct group *g, const struct place *p)
{
    int64_t lo = p->lo < g->lo ? p->lo : g->lo, hi = p->hi > g->hi ? p->hi : g->hi;

    return g->base == p->base && g->table == p->table && hi - lo < (p->table ? MAX_TABLE : MAX_RANGE);
}

static void join(struct group *g, const struct ir_insn *in, const struct place *p)
{
    g->writes |= in->op == IR_ST || in->op == IR_STV || (in->aux & IR_MEM_RMW);
    g->lo = (int32_t)(p->lo < g->lo ? p->lo : g->lo);
    g->hi = (int32_t)(p->hi > g->hi ? p->hi : g->hi);
    g->members++;
}

static void add_access(struct share *s, unsigned i)
{
    const struct ir_insn *in = &s->blk->insn[i];
    unsigned n = s->num_groups, stop = s->first_open;
    struct place p = place_of(s->blk->insn, in);

    if (n > IR_OPEN_XLATES && stop < n - IR_OPEN_XLATES)
        stop = n - IR_OPEN_XLATES;
    while (n > stop && !may_join(&s->group[n - 1], &p))
        n--;
    if (n == stop) {
        n = ++s->num_groups;
        s->group[n - 1] = (struct group){ .base = p.base, .first = (ir_ref)i, .table = p.table, .lo = (int32_t)p.lo,
                                          .hi = (int32_t)p.hi };
    }
    join(&s->group[n - 1], in, &p);
    s->group_of[i] = (ir_ref)n;
}

/* An access at a PC becomes one at the first such PC, if the distance is a displacement. */
static void take_first_pc(struct share *s, struct ir_insn *in)
{
    const struct ir_insn *insn = s->blk->insn;
    int64_t disp;

    if (insn[in->a].op != IR_PC || insn[in->a].type != IR_I64)
        return;
    if (!s->pc)
        s->pc = in->a;
    disp = (int64_t)(insn[in->a].imm - insn[s->pc].imm + (uint64_t)(int64_t)(int32_t)(in->imm >> 32));
    if (disp < INT32_MIN || disp > IR_MAX_DISP)
        return;
    in->a = s->pc;
    in->imm = (uint32_t)in->imm | (uint64_t)disp << 32;
}

static void find_groups(struct share *s, const struct tcg_guest *guest)
{
    for (unsigned i = 1; i < s->blk->num; i++) {
        struct ir_insn *in = &s->blk->insn[i];

        s->group_of[i] = 0;
        if (is_access(in)) {
            take_first_pc(s, in);
            add_access(s, i);
        } else if (in->op == IR_CALL && !tcg_helper_only_reads(&guest->helpers[in->imm])) {
            s->first_open = s->num_groups;
        }
    }
}

/* New numbers: a group of two or more has its XLATE right before its first member. Returns how many there are. */
static unsigned number(struct share *s)
{
    unsigned n = 0, added = 0;

    s->map[0] = 0;
    for (unsigned i = 1; i < s->blk->num; i++) {
        for (; n < s->num_groups && s->group[n].first == i; n++)
            added += s->group[n].members > 1;
        s->map[i] = (ir_ref)(i + added);
    }
    return added;
}

static struct ir_insn xlate_of(const struct share *s, const struct group *g)
{
    return (struct ir_insn){ .op = IR_XLATE, .type = IR_I64, .aux = g->writes, .a = s->map[g->base],
                             .imm = (uint32_t)g->lo | (uint64_t)(uint32_t)g->hi << 32 };
}

static struct ir_insn renumbered(const struct share *s, unsigned i)
{
    struct ir_insn in = s->blk->insn[i];
    const struct group *g = s->group_of[i] ? &s->group[s->group_of[i] - 1] : NULL;

    in.a = s->map[in.a];
    in.b = s->map[in.b];
    in.c = s->map[in.c];
    in.d = s->map[in.d];
    in.fl = s->map[in.fl];
    if (g && g->members > 1)
        in.d = (ir_ref)(s->map[g->first] - 1);
    return in;
}

void ir_opt_share(struct ir_block *blk, const struct tcg_guest *guest)
{
    struct share s;
    unsigned added;

    s.blk = blk;
    s.num_groups = s.first_open = 0;
    s.pc = 0;
    find_groups(&s, guest);
    added = number(&s);
    if (!added || blk->num + added > IR_MAX_INSNS)
        return;
    for (unsigned i = blk->num - 1; i > 0; i--) {
        unsigned n = s.group_of[i];

        blk->insn[s.map[i]] = renumbered(&s, i);
        if (n && s.group[n - 1].first == i && s.group[n - 1].members > 1)
            blk->insn[s.map[i] - 1] = xlate_of(&s, &s.group[n - 1]);
    }
    blk->num += added;
}
