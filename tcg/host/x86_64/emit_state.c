/* Guest registers, CPU struct fields, the pc. Nothing here changes the host's flags. */
#include "tcg/host/x86_64/emit.h"

void emit_get(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];

    if (in->imm < NUM_PINNED) {
        ra_attach(&c->ra, (ir_ref)i, x86_pinned[in->imm], 64);
        return;
    }
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, IR_BITS(in->type));
    enc_load(&c->enc, in->type, dst, env_mem(c->guest->off_reg[in->imm]));
}

static uint64_t put_const(const struct ir_insn *put, const struct ir_insn *value)
{
    return put->type == IR_I64 ? value->imm : (uint32_t)value->imm;
}

/* `reg` := value a. When a is there already, only an I32 with bits above needs work. */
static void put_pinned(struct emit *c, const struct ir_insn *in, unsigned i)
{
    unsigned reg = x86_pinned[in->imm], src = ra_use(&c->ra, in->a), zbits = c->ra.val[in->a].zbits;
    bool clean = in->type == IR_I64 || zbits <= 32;

    ra_kill(&c->ra, i);
    if (src == reg && clean)
        return;
    ra_overwrite(&c->ra, reg, i);
    enc_mov_rr(&c->enc, in->type == IR_I64 && zbits > 32 ? W64 : W32, reg, src);
    if (c->ra.val[in->a].reg != NO_REG && src != reg)
        ra_rehouse(&c->ra, in->a, reg);
}

/* A sum that was left to be made here. */
static void put_sum(struct emit *c, const struct ir_insn *in, unsigned i)
{
    unsigned reg = x86_pinned[in->imm], src = ra_use(&c->ra, c->insn[in->a].a);
    int32_t imm = 0;

    ra_imm(&c->ra, c->insn[in->a].b, &imm);
    ra_kill(&c->ra, i);
    ra_overwrite(&c->ra, reg, i);
    enc_lea(&c->enc, reg_width(in->type), reg, mem_at(src, imm));
}

static void put_memory(struct emit *c, const struct ir_insn *in, unsigned i)
{
    struct x86_mem home = env_mem(c->guest->off_reg[in->imm]);
    const struct ir_insn *value = &c->insn[in->a];

    if (value->op == IR_CONST && fits_int32((int64_t)put_const(in, value))) {
        enc_store_imm(&c->enc, W64, home, (int32_t)put_const(in, value));
    } else {
        unsigned src = ra_use(&c->ra, in->a);
        if (in->type == IR_I32 && c->ra.val[in->a].zbits > 32) {
            unsigned t = ra_temp(&c->ra);
            enc_mov_rr(&c->enc, W32, t, src);
            src = t;
        }
        enc_store(&c->enc, W64, home, src);
    }
    ra_kill(&c->ra, i);
}

void emit_put(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i], *value = &c->insn[in->a];

    if (in->imm >= NUM_PINNED) {
        put_memory(c, in, i);
    } else if (value->op == IR_CONST && c->ra.val[in->a].reg == NO_REG) {
        ra_kill(&c->ra, i);
        ra_overwrite(&c->ra, x86_pinned[in->imm], i);
        enc_mov_ri(&c->enc, x86_pinned[in->imm], put_const(in, value));
    } else if (c->ra.val[in->a].mark & RA_DEFERRED) {
        put_sum(c, in, i);
    } else {
        put_pinned(c, in, i);
    }
}

/* Part of a vector field that only a register has: the low 4 or 8 bytes, or any element of SSE4.1's extractions.
 * Elsewhere the field is stored first. */
static bool extract(struct emit *c, const struct ir_insn *in, unsigned dst)
{
    static const unsigned op[] = { OP_PEXTRB, OP_PEXTRW, OP_PEXTRD, OP_PEXTRD };
    const struct vec_entry *e = vec_find_dirty(c, (uint32_t)in->imm, IR_BYTES(in->type));
    unsigned at = e ? (unsigned)in->imm - e->field : 0, w = in->type == IR_I64 ? VEX_W : 0;

    if (!e || at % IR_BYTES(in->type) || at >= 16)
        return false;
    if (!at && in->type >= IR_I32) {
        vec_op2(c, 0x66, w, OP_VMOVD_STORE, e->reg, dst);
        return true;
    }
    if (!(c->isa & TCG_ISA_SSE41))
        return false;
    vec_op2(c, 0x66, w, op[in->type], e->reg, dst);
    enc_imm8(&c->enc, (uint8_t)(at / IR_BYTES(in->type)));
    return true;
}

void emit_lde(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, IR_BITS(in->type));

    if (extract(c, in, dst))
        return;
    vec_sync(c, (uint32_t)in->imm, IR_BYTES(in->type));
    enc_load(&c->enc, in->type, dst, env_mem((uint32_t)in->imm));
}

/* Into a vector field that is in a register. */
static bool insert(struct emit *c, const struct ir_insn *in)
{
    static const unsigned op[] = { OP_PINSRB, OP_PINSRW, OP_PINSRD, OP_PINSRD };
    const struct vec_entry *e = vec_find(c, (uint32_t)in->imm, IR_BYTES(in->type));
    unsigned at = e ? (unsigned)in->imm - e->field : 0, size = e ? e->size : 0, old, dst, field;

    if (!e || at % IR_BYTES(in->type) || size != 16 || !(c->isa & TCG_ISA_SSE41))
        return false;
    field = e->field;
    old = vec_use(c, field, size);
    dst = vec_reg_for(c, field, size, 0);
    vec_op3(c, 0x66, in->type == IR_I64 ? VEX_W : 0, op[in->type], dst, old, ra_use(&c->ra, in->a));
    enc_imm8(&c->enc, (uint8_t)(at / IR_BYTES(in->type)));
    vec_bind(c, field, size, dst);
    return true;
}

void emit_ste(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    int32_t imm;

    if (insert(c, in)) {
        ra_kill(&c->ra, i);
        return;
    }
    vec_overwrite(c, (uint32_t)in->imm, IR_BYTES(in->type));
    if (ra_imm(&c->ra, in->a, &imm))
        enc_store_imm(&c->enc, in->type, env_mem((uint32_t)in->imm), imm);
    else
        enc_store(&c->enc, in->type, env_mem((uint32_t)in->imm), ra_use(&c->ra, in->a));
    ra_kill(&c->ra, i);
}

void emit_pc(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned w = reg_width(in->type), dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, IR_BITS(w));
    struct x86_mem pc = env_mem(c->guest->off_pc);
    uint64_t off = in->imm + c->blk->page_off;

    enc_load(&c->enc, w, dst, pc);
    if (w == W32 || fits_int32((int64_t)off)) {
        if ((int32_t)off)
            enc_lea(&c->enc, w, dst, mem_at(dst, (int32_t)off));
    } else {
        unsigned t = ra_temp(&c->ra);
        enc_mov_ri(&c->enc, t, off);
        enc_lea(&c->enc, w, dst, mem_indexed(dst, t, 0));
    }
}

void emit_code(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned dst = ra_def(&c->ra, (ir_ref)i, NO_REG, 0, IR_BITS(in->type));

    enc_mov_ri(&c->enc, dst, in->imm);
    enc_load(&c->enc, in->type, dst, mem_at(dst, 0));
}
