/* Local register allocation in one forward walk; see regalloc.h. */
#include "tcg/host/x86_64/regalloc.h"

#include <assert.h>

const uint8_t x86_pinned[NUM_PINNED] = { R9, R10, R11, R12, RBX, R13, R14, R15 };
/* In order of preference: rcx, rdx and rax last, because shifts and multiplications need them. */
const uint8_t x86_temps[NUM_TEMPS] = { RSI, RDI, R8, RDX, RAX, RCX };

static bool is_temp(unsigned reg) { return reg != NO_REG && (TEMP_MASK & BIT_REG(reg)); }

static uint64_t const_value(const struct ir_insn *in)
{
    return in->type == IR_I64 ? in->imm : in->imm & ((UINT64_C(1) << IR_BITS(in->type)) - 1);
}

bool ra_imm(const struct regalloc *ra, ir_ref v, int32_t *imm)
{
    const struct ir_insn *in = &ra->insn[v];

    if (in->op != IR_CONST)
        return false;
    switch (in->type) {
    case IR_I8: *imm = (int8_t)in->imm; return true;
    case IR_I16: *imm = (int16_t)in->imm; return true;
    case IR_I32: *imm = (int32_t)in->imm; return true;
    default: *imm = (int32_t)in->imm; return fits_int32((int64_t)in->imm);
    }
}

/* ---- lists ---- */

void ra_attach(struct regalloc *ra, ir_ref v, unsigned reg, unsigned zbits)
{
    ra->val[v].reg = (uint8_t)reg;
    ra->val[v].zbits = (uint8_t)zbits;
    ra->val[v].next = ra->head[reg];
    ra->head[reg] = v;
}

static void detach(struct regalloc *ra, ir_ref v)
{
    ir_ref *p = &ra->head[ra->val[v].reg];

    while (*p != v)
        p = &ra->val[*p].next;
    *p = ra->val[v].next;
    ra->val[v].reg = NO_REG;
}

static void move_list(struct regalloc *ra, unsigned from, unsigned to)
{
    enc_mov_rr(ra->enc, W64, to, from);
    for (ir_ref v = ra->head[from]; v; v = ra->val[v].next)
        ra->val[v].reg = (uint8_t)to;
    ra->head[to] = ra->head[from];
    ra->head[from] = 0;
}

/* ---- slots ---- */

static unsigned slot_alloc(struct regalloc *ra)
{
    unsigned slot = ra->num_free ? ra->free_slot[--ra->num_free] : ra->num_slots++;

    assert(slot < IR_MAX_INSNS);
    ra->slot_users[slot] = 0;
    return slot;
}

static void slot_share(struct regalloc *ra, ir_ref v, unsigned slot)
{
    ra->val[v].slot = (uint16_t)slot;
    ra->slot_users[slot]++;
}

static void slot_release(struct regalloc *ra, ir_ref v)
{
    unsigned slot = ra->val[v].slot;

    ra->val[v].slot = NO_SLOT;
    if (--ra->slot_users[slot] == 0)
        ra->free_slot[ra->num_free++] = (uint16_t)slot;
}

static bool needs_slot(const struct regalloc *ra, ir_ref v)
{
    return ra->val[v].slot == NO_SLOT && ra->insn[v].op != IR_CONST;
}

/* All values of one register are the same bits and share one slot. */
static void save_list(struct regalloc *ra, unsigned reg, unsigned after)
{
    unsigned slot = NO_SLOT;

    for (ir_ref v = ra->head[reg]; v; v = ra->val[v].next) {
        if (ra->val[v].last_use <= after || !needs_slot(ra, v))
            continue;
        if (slot == NO_SLOT) {
            slot = slot_alloc(ra);
            enc_store(ra->enc, W64, slot_mem(slot), reg);
        }
        slot_share(ra, v, slot);
    }
}

static void lose_list(struct regalloc *ra, unsigned reg)
{
    while (ra->head[reg])
        detach(ra, ra->head[reg]);
}

void ra_save(struct regalloc *ra, uint32_t mask, unsigned i)
{
    for (unsigned r = 0; r < 16; r++)
        if (mask & BIT_REG(r))
            save_list(ra, r, i);
}

void ra_lose(struct regalloc *ra, uint32_t mask)
{
    for (unsigned r = 0; r < 16; r++)
        if (mask & BIT_REG(r))
            lose_list(ra, r);
}

/* ---- registers ---- */

static unsigned find_empty(const struct regalloc *ra, uint32_t avoid)
{
    for (unsigned k = 0; k < NUM_TEMPS; k++) {
        unsigned r = x86_temps[k];
        if (!ra->head[r] && !((ra->locked | avoid) & BIT_REG(r)))
            return r;
    }
    return NO_REG;
}

/* How good it is to give this register up: far next need, and no store. */
static unsigned victim_score(const struct regalloc *ra, unsigned reg)
{
    unsigned far = 0, dirty = 0;

    for (ir_ref v = ra->head[reg]; v; v = ra->val[v].next) {
        far = ra->val[v].last_use > far ? ra->val[v].last_use : far;
        dirty |= needs_slot(ra, v);
    }
    return far + (dirty ? 0 : 64) + 1;
}

static unsigned find_victim(const struct regalloc *ra, uint32_t avoid)
{
    unsigned best = NO_REG, best_score = 0;

    for (unsigned k = 0; k < NUM_TEMPS; k++) {
        unsigned r = x86_temps[k];
        if ((ra->locked | avoid) & BIT_REG(r))
            continue;
        unsigned score = victim_score(ra, r);
        if (score > best_score) {
            best_score = score;
            best = r;
        }
    }
    assert(best != NO_REG);
    return best;
}

static unsigned temp_avoiding(struct regalloc *ra, uint32_t avoid)
{
    unsigned r = find_empty(ra, avoid);

    if (r == NO_REG) {
        r = find_victim(ra, avoid);
        save_list(ra, r, 0);
        lose_list(ra, r);
    }
    ra->locked |= BIT_REG(r);
    return r;
}

unsigned ra_temp(struct regalloc *ra)
{
    return temp_avoiding(ra, 0);
}

static void fill(struct regalloc *ra, ir_ref v, unsigned reg)
{
    if (ra->insn[v].op == IR_CONST)
        enc_mov_ri(ra->enc, reg, const_value(&ra->insn[v]));
    else
        enc_load(ra->enc, W64, reg, slot_mem(ra->val[v].slot));
}

unsigned ra_fetch(struct regalloc *ra, ir_ref v)
{
    bool is_const = ra->insn[v].op == IR_CONST;
    unsigned reg;

    assert(is_const || ra->val[v].slot != NO_SLOT);
    reg = ra_temp(ra);
    fill(ra, v, reg);
    ra_attach(ra, v, reg, is_const ? IR_BITS(ra->insn[v].type) : ra->val[v].zbits);
    return reg;
}

void ra_empty(struct regalloc *ra, unsigned reg)
{
    unsigned to = find_empty(ra, 0);

    if (to != NO_REG) {
        move_list(ra, reg, to);
    } else {
        save_list(ra, reg, 0);
        lose_list(ra, reg);
    }
}

void ra_use_in(struct regalloc *ra, ir_ref v, unsigned reg)
{
    if (ra->val[v].reg == reg) {
        ra->locked |= BIT_REG(reg);
        return;
    }
    ra_take(ra, reg);
    if (ra->val[v].reg != NO_REG)
        enc_mov_rr(ra->enc, W64, reg, ra->val[v].reg);
    else
        fill(ra, v, reg);
}

void ra_kill(struct regalloc *ra, unsigned i)
{
    for (ir_ref v = ra->dies[i]; v; v = ra->val[v].dies_next) {
        if (ra->val[v].reg != NO_REG)
            detach(ra, v);
        if (ra->val[v].slot != NO_SLOT)
            slot_release(ra, v);
    }
}

/* Values that live on in the register that v is to be made in go to an empty one, which they would before the PUT. What
 * may fault has told its slow path already where everything is. */
static void make_way(struct regalloc *ra, ir_ref v, unsigned reg, uint32_t avoid)
{
    unsigned to;

    if (reg == NO_REG || !ra->head[reg] || (avoid & BIT_REG(reg)) || (ir_ops[ra->insn[v].op].effects & E_FAULT))
        return;
    to = find_empty(ra, avoid);
    if (to != NO_REG)
        move_list(ra, reg, to);
}

unsigned ra_def(struct regalloc *ra, ir_ref v, unsigned prefer, uint32_t avoid, unsigned zbits)
{
    unsigned reg = ra->val[v].hint;

    make_way(ra, v, reg, avoid);
    if (reg == NO_REG || ra->head[reg] || (avoid & BIT_REG(reg))) {
        if (is_temp(prefer) && !ra->head[prefer] && !(avoid & BIT_REG(prefer)))
            reg = prefer;
        else
            reg = temp_avoiding(ra, avoid);
    }
    ra->locked |= BIT_REG(reg);
    ra_attach(ra, v, reg, zbits);
    return reg;
}

void ra_alias(struct regalloc *ra, ir_ref v, ir_ref of, unsigned zbits)
{
    unsigned reg = ra_use(ra, of);

    ra_attach(ra, v, reg, zbits < ra->val[of].zbits ? zbits : ra->val[of].zbits);
    ra_kill(ra, v);
}

void ra_overwrite(struct regalloc *ra, unsigned reg, unsigned i)
{
    ir_ref v = ra->head[reg];

    while (v && ra->val[v].last_use <= i)
        v = ra->val[v].next;
    if (v)
        move_list(ra, reg, ra_temp(ra));
    else
        lose_list(ra, reg);
}

void ra_rehouse(struct regalloc *ra, ir_ref v, unsigned reg)
{
    if (!is_temp(ra->val[v].reg))
        return;
    detach(ra, v);
    ra_attach(ra, v, reg, ra->val[v].zbits);
}
