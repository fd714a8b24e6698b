/* Atomic operations on guest memory: the probe of a store, then the host's own locked instruction. */
#include "tcg/host/x86_64/emit.h"

/* A locked instruction on the stack orders as MFENCE does and takes a fraction of its time. */
void emit_fence_op(struct emit *c, unsigned i)
{
    (void)i;
    enc_lock_alu_imm(&c->enc, ALU_OR, W32, mem_at(RSP, FRAME_WORD), 0);
}

static enum x86_alu alu_of(uint64_t kind)
{
    return kind == IR_ATOMIC_AND ? ALU_AND : kind == IR_ATOMIC_OR ? ALU_OR
         : kind == IR_ATOMIC_XOR ? ALU_XOR : ALU_ADD;
}

/* Nobody looks at the old value. */
static void atomic_blind(struct emit *c, const struct ir_insn *in, struct x86_mem host, unsigned value)
{
    if (in->imm == IR_ATOMIC_NEG)
        enc_lock_neg(&c->enc, in->type, host);
    else
        enc_lock_alu(&c->enc, alu_of(in->imm), in->type, host, value);
}

/* The old value to rax: until nobody has written between the load and the exchange. */
static void atomic_loop(struct emit *c, const struct ir_insn *in, struct x86_mem host, unsigned value,
                        unsigned temp)
{
    const uint8_t *again;

    enc_load(&c->enc, in->type, RAX, host);
    again = c->enc.at;
    enc_mov_rr(&c->enc, reg_width(in->type), temp, RAX);
    if (in->imm == IR_ATOMIC_NEG)
        enc_unary(&c->enc, UN_NEG, reg_width(in->type), temp);
    else
        enc_alu_rr(&c->enc, alu_of(in->imm), reg_width(in->type), temp, value);
    enc_lock_cmpxchg(&c->enc, in->type, host, temp);
    enc_jcc_to(&c->enc, CC_NE, again);
}

static void atomic_host(struct emit *c, const struct ir_insn *in, struct x86_mem host, unsigned value,
                        unsigned temp, bool used)
{
    if (in->op == IR_CAS) {
        enc_lock_cmpxchg(&c->enc, in->type, host, value);
    } else if (in->imm == IR_ATOMIC_XCHG || (in->imm == IR_ATOMIC_ADD && used)) {
        enc_mov_rr(&c->enc, reg_width(in->type), RAX, value);
        if (in->imm == IR_ATOMIC_XCHG)
            enc_xchg_mem(&c->enc, in->type, host, RAX);
        else
            enc_lock_xadd(&c->enc, in->type, host, RAX);
    } else if (used) {
        atomic_loop(c, in, host, value, temp);
    } else {
        atomic_blind(c, in, host, value);
    }
}

static void describe(struct emit *c, const struct ir_insn *in, const struct access *m, struct stub *s,
                     unsigned value)
{
    s->type = in->type;
    s->addr = (uint8_t)m->addr;
    s->addr_type = (uint8_t)m->w;
    s->scratch = (uint8_t)m->t1;
    s->word = WORD_MEM(m->size, in->aux | (uint32_t)in->imm << 8);
    s->pending = flags_describe(c, in->fl);
    s->vectors = (uint16_t)vec_snapshot(c);
    note_xlates(c, (unsigned)(in - c->insn), s);
    s->value = (struct loc){ .reg = RAX };
    s->desired = (uint8_t)value;
    s->target = c->thunks.cas;
    if (in->op == IR_ATOMIC) {
        s->value = (struct loc){ .reg = (uint8_t)value };
        s->target = c->thunks.atomic;
    }
}

/* rax is emptied before anything is placed, because CMPXCHG takes it: in front of the jump to the slow path
 * it holds the expected value, or nothing. Both ways leave the old value in rax. At most six temporaries are
 * locked at once: rax, the address, two values or one and a temporary, and the two of the probe. */
void emit_atomic_op(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool cas = in->op == IR_CAS, used = c->ra.val[i].last_use, loop;
    struct stub *s = stub_new(c, cas ? STUB_CAS : STUB_STORE);
    struct access m = { .w = reg_width(value_type(c, in->a)), .size = IR_BYTES(in->type), .writes = true };
    unsigned value = NO_REG, temp = NO_REG, result;

    loop = used && !cas && in->imm != IR_ATOMIC_ADD && in->imm != IR_ATOMIC_XCHG;
    ra_take(&c->ra, RAX);
    m.addr = ra_use(&c->ra, in->a);
    m.clean = m.w == W64 || c->ra.val[in->a].zbits <= 32;
    if (cas) {
        enc_mov_rr(&c->enc, reg_width(in->type), RAX, ra_use(&c->ra, in->b));
        value = ra_use(&c->ra, in->c);
    } else if (in->imm != IR_ATOMIC_NEG) {
        value = ra_use(&c->ra, in->b);
    }
    m.t1 = ra_temp(&c->ra);
    m.t2 = ra_temp(&c->ra);
    if (loop)
        temp = ra_temp(&c->ra);
    describe(c, in, &m, s, value);
    atomic_host(c, in, memory_probe(c, &m, s), value, temp, used);
    ra_kill(&c->ra, i);
    s->back = c->enc.at;
    if (!used)
        return;
    s->result = RAX;
    result = ra_def(&c->ra, (ir_ref)i, RAX, 0, in->type < IR_I32 ? 64 : IR_BITS(in->type));
    enc_mov_rr(&c->enc, W64, result, RAX);
}
