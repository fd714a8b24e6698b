/* x87 instructions: the host's own, while its unit holds the guest's state. */
#include "tcg/host/x86_64/emit.h"

#define OP_STORE_STATUS 0xdd
#define DIGIT_STORE_STATUS 7
#define OP_LOAD_CONTROL 0xd9
#define DIGIT_LOAD_CONTROL 5
#define MASKS 0x3f              /* of the control word */
#define CONTROL_BITS 0x1f7f     /* that can be written; bit 6 reads as 1 */
#define CONTROL_ONE 0x40
#define FLAGS_OF_COMPARE 0x45   /* ZF, PF, CF */

static unsigned opcode_of(const struct ir_insn *in) { return in->imm & 0xff; }
static unsigned modrm_of(const struct ir_insn *in) { return in->imm >> 8 & 0xff; }

static void slow_if(struct emit *c, struct stub *s, enum x86_cc cc)
{
    s->from[s->num_from++] = enc_jcc32(&c->enc, cc);
}

/* All registers have been chosen. `masked`: only with all exceptions masked. */
static struct stub *begin(struct emit *c, unsigned i, unsigned addr, unsigned addr_type, unsigned scratch, bool masked)
{
    const struct ir_insn *in = &c->insn[i];
    struct stub *s = stub_new(c, STUB_X87);

    s->addr = (uint8_t)addr;
    s->addr_type = (uint8_t)addr_type;
    s->scratch = (uint8_t)scratch;
    s->pending = flags_describe(c, in->fl);
    vec_overwrite(c, c->guest->off_x87_st, TCG_X87_ST_SIZE);
    s->vectors = (uint16_t)vec_snapshot(c);
    note_xlates(c, i, s);
    s->imm = in->imm;
    ra_kill(&c->ra, i);
    if (in->op == IR_X87 && c->ra.val[i].last_use)
        s->result = (uint8_t)ra_def(&c->ra, (ir_ref)i, scratch, 0, 32);
    s->retry = c->enc.at;
    enc_alu_mi(&c->enc, ALU_CMP, W8, env_mem(c->guest->off_x87_live), masked ? TCG_X87_MASKED : 0);
    slow_if(c, s, opcode_of(in) && !masked ? CC_E : CC_NE);
    return s;
}

/* With exceptions unmasked the host must not come to its next instruction with one pending. */
static void end(struct emit *c, struct stub *s)
{
    enc_alu_mi(&c->enc, ALU_CMP, W8, env_mem(c->guest->off_x87_live), TCG_X87_MASKED);
    s->late = enc_jcc32(&c->enc, CC_NE);
    s->back = c->enc.at;
}

static void take_status(struct emit *c, unsigned result)
{
    enc_x87_mem(&c->enc, OP_STORE_STATUS, DIGIT_STORE_STATUS, mem_at(RSP, FRAME_RESULT));
    enc_load(&c->enc, W16, result, mem_at(RSP, FRAME_RESULT));
}

static void take_flags(struct emit *c, unsigned result)
{
    enc_pushf(&c->enc);
    enc_pop(&c->enc, result);
    enc_alu_ri(&c->enc, ALU_AND, W32, result, FLAGS_OF_COMPARE);
}

static void emit_register_form(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool status = opcode_of(in) == 0xdf && modrm_of(in) == 0xe0;
    struct stub *s = begin(c, i, NO_REG, W64, ra_temp(&c->ra), false);

    if (status && s->result != NO_REG)
        take_status(c, s->result);
    if (status || !opcode_of(in)) {
        s->back = c->enc.at;
        return;
    }
    enc_x87(&c->enc, opcode_of(in), modrm_of(in));
    if (s->result != NO_REG)
        take_flags(c, s->result);
    end(c, s);
}

/* A word with an exception unmasked is not for the host's unit. */
static void load_control(struct emit *c, struct stub *s)
{
    unsigned a = s->addr, t = s->scratch;

    enc_mov_rr(&c->enc, W32, t, a);
    enc_alu_ri(&c->enc, ALU_AND, W32, t, MASKS);
    enc_alu_ri(&c->enc, ALU_CMP, W32, t, MASKS);
    slow_if(c, s, CC_NE);
    enc_mov_rr(&c->enc, W32, t, a);
    enc_alu_ri(&c->enc, ALU_AND, W32, t, CONTROL_BITS);
    enc_alu_ri(&c->enc, ALU_OR, W32, t, CONTROL_ONE);
    enc_store(&c->enc, W16, env_mem(c->guest->off_x87_cw), t);
    enc_x87_mem(&c->enc, OP_LOAD_CONTROL, DIGIT_LOAD_CONTROL, env_mem(c->guest->off_x87_cw));
}

static void emit_value_form(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    unsigned a = ra_use(&c->ra, in->a);
    bool control = opcode_of(in) == OP_LOAD_CONTROL;
    struct stub *s = begin(c, i, a, W32, ra_temp(&c->ra), control);

    if (control) {
        load_control(c, s);
        s->back = c->enc.at;
    } else {
        enc_test_rr(&c->enc, W32, a, a);
        enc_x87(&c->enc, opcode_of(in), modrm_of(in));
        end(c, s);
    }
}

static void emit_memory_form(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    struct access m = { .w = reg_width(value_type(c, in->a)), .addr = ra_use(&c->ra, in->a), .size = in->cc,
                        .writes = in->aux & IR_MEM_RMW };
    struct stub *s;

    m.clean = m.w == W64 || c->ra.val[in->a].zbits <= 32;
    m.t1 = ra_temp(&c->ra);
    m.t2 = ra_temp(&c->ra);
    s = begin(c, i, m.addr, m.w, m.t1, false);
    enc_x87_mem(&c->enc, opcode_of(in), modrm_of(in) >> 3 & 7, memory_probe(c, &m, s));
    end(c, s);
}

void emit_x87_op(struct emit *c, unsigned i)
{
    switch (c->insn[i].op) {
    case IR_X87:
        emit_register_form(c, i);
        break;
    case IR_X87V:
        emit_value_form(c, i);
        break;
    default:
        emit_memory_form(c, i);
        break;
    }
}

static void call_thunk(struct emit *c, const struct stub *s, uint64_t imm)
{
    enc_store_imm(&c->enc, W32, mem_at(RSP, FRAME_ARG1), (int32_t)imm);
    enc_store_imm(&c->enc, W32, mem_at(RSP, FRAME_ARG1 + 4), (int32_t)(imm >> 32));
    enc_store_imm(&c->enc, W32, mem_at(RSP, FRAME_WORD), 1 << 8); /* it may load */
    if (s->vectors)
        enc_call_to(&c->enc, c->thunks.save_vectors);
    enc_call_to(&c->enc, c->thunks.x87);
    emit_map(c, s->guest_off, s->guest_insn, s->pending);
    if (s->vectors)
        enc_call_to(&c->enc, c->thunks.restore_vectors);
    forget_xlates(c, s);
}

/* Bit 7 of the status word says that an exception is unmasked and waits. */
static void late_stub(struct emit *c, const struct stub *s)
{
    enc_patch32(s->late, c->enc.at);
    enc_x87_mem(&c->enc, OP_STORE_STATUS, DIGIT_STORE_STATUS, mem_at(RSP, FRAME_ARG0));
    enc_alu_mi(&c->enc, ALU_CMP, W8, mem_at(RSP, FRAME_ARG0), 0);
    enc_jcc_to(&c->enc, CC_NS, s->back);
    call_thunk(c, s, TCG_X87_EXCEPTION);
    enc_jmp_to(&c->enc, s->back);
}

void emit_x87_stub(struct emit *c, const struct stub *s)
{
    unsigned reg = s->addr;

    if (reg != NO_REG) {
        if (s->addr_type == W32)
            enc_mov_rr(&c->enc, W32, reg = s->scratch, s->addr);
        enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG0), reg);
    }
    call_thunk(c, s, s->imm);
    enc_alu_mi(&c->enc, ALU_CMP, W32, mem_at(RSP, FRAME_RESULT + 4), 0);
    enc_jcc_to(&c->enc, CC_E, s->retry);
    if (s->result != NO_REG)
        enc_load(&c->enc, W32, s->result, mem_at(RSP, FRAME_RESULT));
    enc_jmp_to(&c->enc, s->back);
    if (s->late)
        late_stub(c, s);
}
