/* Vector fields in host vector registers; see vecregs.h. */
#include "tcg/host/x86_64/vecregs.h"

#include <assert.h>
#include <string.h>

#include "tcg/host/x86_64/emit.h"

#define ALL_VECTOR_REGS 0xffffu
enum { OP_VINSERTF128 = 0x0f3a18, OP_VEXTRACTF128 = 0x0f3a19 };

static bool has_avx(const struct emit *c)
{
    return c->isa & TCG_ISA_AVX;
}

/* ---- instructions ---- */

void vec_op2(struct emit *c, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned b)
{
    if (has_avx(c))
        enc_vex_rr(&c->enc, prefix, flags, op, dst, 0, b);
    else
        enc_sse_rr(&c->enc, prefix, flags & VEX_W ? W64 : W32, op, dst, b);
}

void vec_op3(struct emit *c, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned a, unsigned b)
{
    if (has_avx(c)) {
        enc_vex_rr(&c->enc, prefix, flags, op, dst, a, b);
        return;
    }
    if (dst != a)
        vec_move(c, 16, dst, a);
    enc_sse_rr(&c->enc, prefix, flags & VEX_W ? W64 : W32, op, dst, b);
}

uint32_t vec_avoid(const struct emit *c, unsigned a, unsigned b)
{
    return has_avx(c) || a == b ? 0 : BIT_REG(b);
}

void vec_move(struct emit *c, unsigned size, unsigned dst, unsigned src)
{
    if (dst != src)
        vec_op2(c, 0, size == 32 ? VEX_L : 0, OP_MOVAPS_LOAD, dst, src);
}

/* MOVSS, MOVQ, MOVUPS. */
void vec_load_mem(struct emit *c, unsigned size, unsigned reg, struct x86_mem mem)
{
    uint8_t prefix = size < 16 ? 0xf3 : 0;
    unsigned op = size == 8 ? OP_MOVQ_LOAD : OP_MOVUPS_LOAD;

    if (has_avx(c))
        enc_vex_mem(&c->enc, prefix, size == 32 ? VEX_L : 0, op, reg, 0, mem);
    else
        enc_sse_mem(&c->enc, prefix, op, reg, mem);
}

void vec_store_mem(struct emit *c, unsigned size, struct x86_mem mem, unsigned reg)
{
    uint8_t prefix = size == 8 ? 0x66 : size == 4 ? 0xf3 : 0;
    unsigned op = size == 8 ? OP_MOVQ_STORE : OP_MOVUPS_STORE;

    if (has_avx(c))
        enc_vex_mem(&c->enc, prefix, size == 32 ? VEX_L : 0, op, reg, 0, mem);
    else
        enc_sse_mem(&c->enc, prefix, op, reg, mem);
}

void vec_load_field(struct emit *c, unsigned size, unsigned reg, uint32_t field)
{
    vec_load_mem(c, size < 16 ? size : 16, reg, env_mem(field));
    if (size < 32)
        return;
    enc_vex_mem(&c->enc, 0x66, VEX_L, OP_VINSERTF128, reg, reg, env_mem(field + c->guest->vec_high));
    enc_imm8(&c->enc, 1);
}

static void store_field(struct emit *c, unsigned size, uint32_t field, unsigned reg)
{
    vec_store_mem(c, size < 16 ? size : 16, env_mem(field), reg);
    if (size < 32)
        return;
    enc_vex_mem(&c->enc, 0x66, VEX_L, OP_VEXTRACTF128, reg, 0, env_mem(field + c->guest->vec_high));
    enc_imm8(&c->enc, 1);
}

/* ---- entries ---- */

/* The bytes of an entry in one piece: of a wide one, one half. */
static unsigned piece(unsigned size)
{
    return size < 16 ? size : 16;
}

static bool meets(const struct vec_entry *e, uint32_t at, uint32_t offset, unsigned len)
{
    return at < offset + len && offset < at + piece(e->size);
}

static bool overlaps(const struct emit *c, const struct vec_entry *e, uint32_t offset, unsigned len)
{
    return meets(e, e->field, offset, len) || (e->size == 32 && meets(e, e->field + c->guest->vec_high, offset, len));
}

/* A field of any size. */
static bool overlaps_field(const struct emit *c, const struct vec_entry *e, uint32_t field, unsigned size)
{
    return overlaps(c, e, field, piece(size)) || (size == 32 && overlaps(c, e, field + c->guest->vec_high, 16));
}

/* In its first half. */
static bool contains(const struct vec_entry *e, uint32_t offset, unsigned len)
{
    return e->field <= offset && offset + len <= e->field + piece(e->size);
}

/* Is it part of a field of any size? */
static bool is_within(const struct emit *c, const struct vec_entry *e, uint32_t field, unsigned size)
{
    if (e->size == 32)
        return size == 32 && e->field == field;
    if (size == 32 && e->field >= field + c->guest->vec_high)
        field += c->guest->vec_high;
    return e->field >= field && e->field + (uint32_t)e->size <= field + piece(size);
}

static bool is_temporary(const struct emit *c, const struct vec_entry *e)
{
    return e->field - c->guest->off_vtmp < c->guest->vtmp_size ||
           e->field - c->guest->off_vtmp - c->guest->vec_high < c->guest->vtmp_size;
}

static void store_entry(struct emit *c, const struct vec_entry *e)
{
    store_field(c, e->size, e->field, e->reg);
}

static void sync_entry(struct emit *c, struct vec_entry *e)
{
    if (!e->dirty)
        return;
    store_entry(c, e);
    e->dirty = false;
    c->vec.changed = true;
}

static void drop(struct emit *c, struct vec_entry *e)
{
    *e = c->vec.now.entry[--c->vec.now.num];
    c->vec.changed = true;
}

static void touch(struct emit *c, unsigned reg)
{
    c->vec.locked |= BIT_REG(reg);
    c->vec.used[reg] = ++c->vec.clock;
}

static struct vec_entry *find_field(struct emit *c, uint32_t field, unsigned size)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = 0; k < s->num; k++)
        if (s->entry[k].field == field && s->entry[k].size >= size)
            return &s->entry[k];
    return NULL;
}

const struct vec_entry *vec_find(const struct emit *c, uint32_t offset, unsigned len)
{
    const struct vec_state *s = &c->vec.now;

    for (unsigned k = 0; k < s->num; k++)
        if (contains(&s->entry[k], offset, len))
            return &s->entry[k];
    return NULL;
}

const struct vec_entry *vec_find_dirty(const struct emit *c, uint32_t offset, unsigned len)
{
    const struct vec_entry *e = vec_find(c, offset, len);

    return e && e->dirty ? e : NULL;
}

static unsigned holders(const struct emit *c, unsigned reg)
{
    const struct vec_state *s = &c->vec.now;
    unsigned n = 0;

    for (unsigned k = 0; k < s->num; k++)
        n += s->entry[k].reg == reg;
    return n;
}

/* ---- others look ---- */

void vec_sync(struct emit *c, uint32_t offset, unsigned len)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = 0; k < s->num; k++)
        if (overlaps(c, &s->entry[k], offset, len))
            sync_entry(c, &s->entry[k]);
}

void vec_overwrite(struct emit *c, uint32_t offset, unsigned len)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = s->num; k-- > 0;)
        if (overlaps(c, &s->entry[k], offset, len)) {
            sync_entry(c, &s->entry[k]);
            drop(c, &s->entry[k]);
        }
}

void vec_flush(struct emit *c)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = 0; k < s->num; k++)
        sync_entry(c, &s->entry[k]);
}

void vec_begin_insn(struct emit *c)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = s->num; k-- > 0;)
        if (is_temporary(c, &s->entry[k]))
            drop(c, &s->entry[k]);
}

/* C code, and code without VEX, is slow while there are bits above 128. */
static void clean_upper(struct emit *c)
{
    if (c->vec.upper)
        enc_vzeroupper(&c->enc);
    c->vec.upper = false;
}

void vec_flush_end(struct emit *c)
{
    vec_begin_insn(c);
    vec_flush(c);
    clean_upper(c);
}

void vec_before_call(struct emit *c)
{
    vec_flush(c);
    clean_upper(c);
    if (c->vec.now.num)
        c->vec.changed = true;
    c->vec.now.num = 0;
}

/* ---- registers ---- */

/* Long not used, and preferably not to be stored. */
static unsigned find_victim(const struct emit *c, uint32_t avoid)
{
    const struct vecregs *v = &c->vec;
    uint32_t age[16], best_age = 0, dirty = 0;
    unsigned best = NO_REG;

    for (unsigned k = 0; k < v->now.num; k++)
        if (v->now.entry[k].dirty)
            dirty |= BIT_REG(v->now.entry[k].reg);
    for (unsigned r = 0; r < 16; r++) {
        age[r] = v->clock - v->used[r] + 1 + (dirty & BIT_REG(r) ? 0 : 4);
        if (age[r] > best_age && !((v->locked | avoid) & BIT_REG(r))) {
            best_age = age[r];
            best = r;
        }
    }
    assert(best != NO_REG);
    return best;
}

static void empty(struct emit *c, unsigned reg)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = s->num; k-- > 0;)
        if (s->entry[k].reg == reg) {
            sync_entry(c, &s->entry[k]);
            drop(c, &s->entry[k]);
        }
}

static unsigned find_free(const struct emit *c, uint32_t avoid)
{
    uint32_t taken = c->vec.locked | avoid;

    for (unsigned k = 0; k < c->vec.now.num; k++)
        taken |= BIT_REG(c->vec.now.entry[k].reg);
    taken = ~taken & ALL_VECTOR_REGS;
    return taken ? (unsigned)__builtin_ctz(taken) : NO_REG;
}

static unsigned temp_avoiding(struct emit *c, uint32_t avoid)
{
    unsigned reg = find_free(c, avoid);

    if (reg == NO_REG) {
        reg = find_victim(c, avoid);
        empty(c, reg);
    }
    touch(c, reg);
    return reg;
}

unsigned vec_temp(struct emit *c)
{
    return temp_avoiding(c, 0);
}

void vec_take(struct emit *c, unsigned reg)
{
    assert(!(c->vec.locked & BIT_REG(reg)));
    empty(c, reg);
    touch(c, reg);
}

void vec_unlock(struct emit *c)
{
    c->vec.locked = 0;
}

static void add(struct emit *c, uint32_t field, unsigned size, unsigned reg, bool dirty)
{
    struct vecregs *v = &c->vec;

    if (v->now.num == VEC_ENTRIES) {
        struct vec_entry *oldest = &v->now.entry[0];
        for (unsigned k = 1; k < VEC_ENTRIES; k++)
            if (v->used[v->now.entry[k].reg] < v->used[oldest->reg])
                oldest = &v->now.entry[k];
        sync_entry(c, oldest);
        drop(c, oldest);
    }
    v->upper |= size == 32;
    v->ever_upper |= size == 32;
    v->now.entry[v->now.num++] = (struct vec_entry){ (uint16_t)field, (uint8_t)size, (uint8_t)reg, dirty };
    v->changed = true;
}

/* The second half of a wide entry: for reading, so that both stay. */
static unsigned use_high(struct emit *c, const struct vec_entry *wide)
{
    uint32_t field = wide->field + c->guest->vec_high;
    unsigned from = wide->reg, reg;

    touch(c, from);
    reg = vec_temp(c);
    enc_vex_rr(&c->enc, 0x66, VEX_L, OP_VEXTRACTF128, from, 0, reg);
    enc_imm8(&c->enc, 1);
    add(c, field, 16, reg, false);
    return reg;
}

unsigned vec_use(struct emit *c, uint32_t field, unsigned size)
{
    struct vec_entry *e = find_field(c, field, size);
    unsigned reg;

    if (e) {
        touch(c, e->reg);
        return e->reg;
    }
    e = size == 16 ? find_field(c, field - c->guest->vec_high, 32) : NULL;
    if (e)
        return use_high(c, e);
    vec_overwrite(c, field, piece(size));
    if (size == 32)
        vec_overwrite(c, field + c->guest->vec_high, 16);
    reg = vec_temp(c);
    vec_load_field(c, size, reg, field);
    add(c, field, size, reg, false);
    return reg;
}

/* Forget what a new value of these bytes covers only in part. */
static void leave_parts(struct emit *c, uint32_t field, unsigned size)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = s->num; k-- > 0;) {
        struct vec_entry *e = &s->entry[k];
        if (overlaps_field(c, e, field, size) && !is_within(c, e, field, size)) {
            sync_entry(c, e);
            drop(c, e);
        }
    }
}

unsigned vec_reg_for(struct emit *c, uint32_t field, unsigned size, uint32_t avoid)
{
    const struct vec_entry *e;

    leave_parts(c, field, size);
    e = find_field(c, field, 0);
    if (!e || (avoid & BIT_REG(e->reg)) || holders(c, e->reg) > 1)
        return temp_avoiding(c, avoid);
    touch(c, e->reg);
    return e->reg;
}

void vec_copy(struct emit *c, uint32_t dst, uint32_t src, unsigned size, bool clear)
{
    unsigned reg = vec_use(c, src, size), to;

    if (clear && has_avx(c)) {
        to = vec_reg_for(c, dst, 32, 0);
        vec_op2(c, 0, 0, OP_MOVAPS_LOAD, to, reg);
        vec_bind(c, dst, 32, to);
        return;
    }
    if (dst != src) {
        leave_parts(c, dst, size);
        vec_bind(c, dst, size, reg);
    }
    if (clear)
        vec_clear_high(c, dst);
}

/* Without AVX the second half is a field of its own; with it an instruction of 128 bits clears what is above. */
void vec_clear_high(struct emit *c, uint32_t field)
{
    uint32_t high = field + c->guest->vec_high;
    unsigned reg;

    if (has_avx(c)) {
        vec_copy(c, field, field, 16, true);
        return;
    }
    reg = vec_reg_for(c, high, 16, 0);
    vec_op3(c, 0x66, 0, OP_PXOR, reg, reg, reg);
    vec_bind(c, high, 16, reg);
}

/* The first half of a wide entry becomes one with a second half of 0; in other registers there is none. */
void vec_clear_all_high(struct emit *c, uint32_t field, unsigned count)
{
    uint32_t high = field + c->guest->vec_high, end = high + 16 * count;
    struct vec_state *s = &c->vec.now;
    unsigned zero, size = has_avx(c) ? 32 : 16;

    for (unsigned k = s->num; k-- > 0;) {
        struct vec_entry *e = &s->entry[k];
        if (e->size == 32 && e->field - field < 16 * count) {
            e->size = 16;
            c->vec.changed = true;
        } else if (e->field >= high && e->field < end) {
            drop(c, e);
        }
    }
    zero = vec_temp(c);
    vec_op3(c, 0x66, 0, OP_PXOR, zero, zero, zero);
    for (; high < end; high += size)
        vec_store_mem(c, size > end - high ? 16 : size, env_mem(high), zero);
}

void vec_bind(struct emit *c, uint32_t field, unsigned size, unsigned reg)
{
    struct vec_state *s = &c->vec.now;

    for (unsigned k = s->num; k-- > 0;)
        if (overlaps_field(c, &s->entry[k], field, size))
            drop(c, &s->entry[k]);
    add(c, field, size, reg, true);
    touch(c, reg);
}

/* ---- snapshots ---- */

void vec_begin(struct emit *c)
{
    struct vecregs *v = &c->vec;

    v->now.num = v->snapshot[0].num = 0;
    v->num_snapshots = 1;
    v->changed = v->upper = v->ever_upper = false;
    v->locked = v->clock = 0;
    memset(v->used, 0, sizeof(v->used));
}

unsigned vec_snapshot(struct emit *c)
{
    struct vecregs *v = &c->vec;

    if (!v->now.num)
        return 0;
    if (v->changed) {
        v->snapshot[v->num_snapshots++] = v->now;
        v->changed = false;
    }
    return v->num_snapshots - 1;
}

void vec_store_snapshot(struct emit *c, unsigned snapshot, bool leaves)
{
    const struct vec_state *s = &c->vec.snapshot[snapshot];

    for (unsigned k = 0; k < s->num; k++)
        if (s->entry[k].dirty)
            store_entry(c, &s->entry[k]);
    if (leaves && c->vec.ever_upper)
        enc_vzeroupper(&c->enc);
}

/* ---- loops ---- */

/* Registers 0 .. LOOP_REGS-1 are a plan's; the last one is free at the end of a turn. */
enum { LOOP_REGS = 12, LOOP_TEMP = 15 };

static bool meets_plan(const struct emit *c, const struct vec_state *plan, const struct vec_entry *e)
{
    for (unsigned k = 0; k < plan->num; k++)
        if (overlaps_field(c, e, plan->entry[k].field, plan->entry[k].size))
            return true;
    return false;
}

struct vec_state vec_plan_loop(struct emit *c)
{
    const struct vec_state *now = &c->vec.now;
    struct vec_state plan = { .num = 0 };

    vec_begin_insn(c);
    for (unsigned k = 0; k < now->num && plan.num < LOOP_REGS; k++) {
        if (meets_plan(c, &plan, &now->entry[k]))
            continue;
        plan.entry[plan.num] = now->entry[k];
        plan.entry[plan.num].reg = (uint8_t)plan.num;
        plan.num++;
    }
    return plan;
}

/* Fields that a turn may have written are dirty from the beginning: nobody knows which turn this is. */
void vec_enter_loop(struct emit *c, const struct vec_state *plan)
{
    for (unsigned k = 0; k < plan->num; k++) {
        vec_load_field(c, plan->entry[k].size, plan->entry[k].reg, plan->entry[k].field);
        c->vec.upper |= plan->entry[k].size == 32;
        c->vec.ever_upper |= plan->entry[k].size == 32;
    }
    c->vec.now = *plan;
    c->vec.changed = true;
}

/* Everything that is not as the plan says is stored; `from`: the registers of its fields, or NO_REG. */
static void leave_plan(struct emit *c, const struct vec_state *plan, uint8_t *from)
{
    struct vec_state *now = &c->vec.now;

    vec_begin_insn(c);
    for (unsigned n = 0; n < plan->num; n++)
        from[n] = NO_REG;
    for (unsigned k = 0; k < now->num; k++) {
        struct vec_entry *e = &now->entry[k];
        unsigned n = 0;
        while (n < plan->num && (plan->entry[n].field != e->field || plan->entry[n].size != e->size))
            n++;
        if (n == plan->num || !plan->entry[n].dirty)
            sync_entry(c, e);
        if (n < plan->num)
            from[n] = e->reg;
    }
}

/* One move into a register that no other move reads any more. */
static bool move_one(struct emit *c, const struct vec_state *plan, uint8_t *from)
{
    for (unsigned n = 0; n < plan->num; n++) {
        bool read = from[n] == NO_REG || from[n] == n;
        for (unsigned k = 0; k < plan->num && !read; k++)
            read = k != n && from[k] == n;
        if (read)
            continue;
        vec_move(c, plan->entry[n].size, n, from[n]);
        from[n] = (uint8_t)n;
        return true;
    }
    return false;
}

/* Only cycles are left, whose registers are all the plan's. */
static bool open_cycle(struct emit *c, const struct vec_state *plan, uint8_t *from)
{
    unsigned n = 0;

    while (n < plan->num && (from[n] == NO_REG || from[n] == n))
        n++;
    if (n == plan->num)
        return false;
    vec_move(c, has_avx(c) ? 32 : 16, LOOP_TEMP, n);
    for (unsigned k = 0; k < plan->num; k++)
        if (k != n && from[k] == n)
            from[k] = LOOP_TEMP;
    return true;
}

void vec_next_turn(struct emit *c, const struct vec_state *plan)
{
    uint8_t from[LOOP_REGS];
    uint32_t missing = 0;

    leave_plan(c, plan, from);
    for (unsigned n = 0; n < plan->num; n++)
        missing |= from[n] == NO_REG ? BIT_REG(n) : 0;
    while (move_one(c, plan, from) || open_cycle(c, plan, from))
        continue;
    for (unsigned n = 0; n < plan->num; n++)
        if (missing & BIT_REG(n))
            vec_load_field(c, plan->entry[n].size, n, plan->entry[n].field);
    c->vec.now = *plan;
    c->vec.changed = true;
}
