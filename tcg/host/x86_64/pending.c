/* Pending flags of accesses to memory: where they are is written down, not coded. Only a fault looks. */
#include "tcg/host/x86_64/emit.h"

#include <string.h>

/* A description: operation, type and number of operands, then for each operand a register, or one of these with a
 * number behind it. LATE: behind it come operation, type and count of a shift, and then the operand that it takes. */
enum { KEEPS_CARRY = 1 << 7 };
enum { PLACE_SLOT = 16, PLACE_IMM8, PLACE_IMM32, PLACE_IMM64, PLACE_LATE };

static uint8_t *put_number(uint8_t *p, unsigned place, uint64_t value, unsigned size)
{
    *p++ = (uint8_t)place;
    memcpy(p, &value, size);
    return p + size;
}

static uint8_t *put_place(uint8_t *p, const struct loc *l)
{
    int64_t imm = (int64_t)l->imm;

    if (l->late) {
        *p++ = PLACE_LATE;
        *p++ = l->late;
        *p++ = l->type;
        *p++ = l->count;
    }
    if (l->reg != NO_REG) {
        *p++ = l->reg;
        return p;
    }
    if (l->slot != NO_SLOT)
        return put_number(p, PLACE_SLOT, l->slot, 2);
    return fits_int8(imm) ? put_number(p, PLACE_IMM8, l->imm, 1)
         : fits_int32(imm) ? put_number(p, PLACE_IMM32, l->imm, 4) : put_number(p, PLACE_IMM64, l->imm, 8);
}

uint16_t flags_describe(struct emit *c, ir_ref f)
{
    struct flag_operands o = flags_locate(c, f);
    uint8_t *start = c->pending + c->num_pending, *p = start;

    if (!f)
        return 0;
    *p++ = o.op;
    *p++ = (uint8_t)(o.type | o.num << 4 | (o.keeps_carry ? KEEPS_CARRY : 0));
    for (unsigned k = 0; k < o.num; k++)
        p = put_place(p, &o.v[k]);
    if ((size_t)(p - start) == c->num_pending - c->last_pending &&
        !memcmp(start, c->pending + c->last_pending, (size_t)(p - start)))
        return (uint16_t)(c->last_pending + 1);
    c->last_pending = c->num_pending;
    c->num_pending = (uint32_t)(p - c->pending);
    return (uint16_t)(c->last_pending + 1);
}

/* ---- at a fault ---- */

struct reader {
    const struct tcg_guest *guest;
    const uint8_t *env, *at, *frame;
};

static uint64_t read_bytes(const uint8_t *from, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, from, size);
    return v;
}

static int64_t read_number(struct reader *r, unsigned size)
{
    unsigned unused = 64 - 8 * size;
    uint64_t v = read_bytes(r->at, size);

    r->at += size;
    return (int64_t)(v << unused) >> unused;
}

static uint64_t read_register(const struct reader *r, unsigned reg)
{
    for (unsigned k = 0; k < NUM_PINNED; k++)
        if (x86_pinned[k] == reg)
            return read_bytes(r->env + r->guest->off_reg[k], 8);
    return read_bytes(r->frame + x86_kept_at(reg), 8);
}

static uint64_t read_operand(struct reader *r);

static uint64_t read_late(struct reader *r)
{
    unsigned op = r->at[0], type = r->at[1], count = r->at[2];

    r->at += 3;
    return ir_eval(op, type, 0, 0, type, read_operand(r), count, 0);
}

static uint64_t read_operand(struct reader *r)
{
    unsigned place = *r->at++;

    switch (place) {
    case PLACE_SLOT: return read_bytes(r->frame + slot_mem((uint16_t)read_number(r, 2)).disp, 8);
    case PLACE_IMM8: return (uint64_t)read_number(r, 1);
    case PLACE_IMM32: return (uint64_t)read_number(r, 4);
    case PLACE_IMM64: return (uint64_t)read_number(r, 8);
    case PLACE_LATE: return read_late(r);
    default: return read_register(r, place);
    }
}

void x86_commit(void *host, void *env, const struct tcg_block *blk, const struct tcg_pc_entry *call)
{
    const struct emit *c = host;
    struct reader r = { c->guest, env, (const uint8_t *)(blk->map + blk->num_map) + call->pending - 1, NULL };
    struct tcg_flags f = { .op = *r.at++ }, old;
    unsigned what = *r.at++, num = what >> 4 & 7;
    uint64_t *operand[] = { &f.a, &f.b, &f.c };

    r.frame = (const uint8_t *)(uintptr_t)read_bytes(r.env + c->guest->off_spill, 8);
    f.type = what & 15;
    for (unsigned k = 0; k < num; k++)
        *operand[k] = read_operand(&r);
    memcpy(&old, (uint8_t *)env + c->guest->off_flags, sizeof(old));
    if (what & KEEPS_CARRY)
        f.b = ir_flags_eval(old.op, old.type, old.a, old.b, old.c) & IR_CF;
    memcpy((uint8_t *)env + c->guest->off_flags, &f, sizeof(f));
}
