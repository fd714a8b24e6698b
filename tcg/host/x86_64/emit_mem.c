/* Guest memory: inline probe of the software TLB, access, and an out-of-line slow path; checks that raise. */
#include "tcg/host/x86_64/emit.h"

#include <stddef.h>
#include <string.h>

/* Byte offset of an entry = page number times its size, by one shift and one mask of the address. */
#define TLB_ENTRY_BITS 5
_Static_assert(sizeof(struct tcg_tlb_entry) == 1 << TLB_ENTRY_BITS, "the probe scales by shifting");
/* Of straight code that is repeated between two slow paths. */
#define MAX_COPY 48
#define PAGE_MASK (-(1 << TCG_PAGE_BITS))

struct stub *stub_new(struct emit *c, enum stub_kind kind)
{
    struct stub *s = &c->stubs[c->num_stubs++];

    *s = (struct stub){ .kind = (uint8_t)kind, .guest_off = c->guest_off, .guest_insn = c->guest_insn,
                        .result = NO_REG, .vreg = NO_REG, .vreg2 = NO_REG };
    return s;
}

static void slow_if(struct emit *c, struct stub *s, enum x86_cc cc)
{
    s->from[s->num_from++] = enc_jcc32(&c->enc, cc);
}

/* reg := address + `more`. */
static void add_displacement(struct emit *c, const struct access *m, unsigned reg, int32_t more)
{
    if (m->disp + more)
        enc_lea(&c->enc, m->w, reg, mem_at(m->addr, m->disp + more));
    else
        enc_mov_rr(&c->enc, m->w, reg, m->addr);
}

/* Host address from the addend in `addend`; `temp` takes a clean copy of the address where one is needed. */
static struct x86_mem host_address(struct emit *c, const struct access *m, unsigned addend, unsigned temp)
{
    if (m->clean && (m->w == W64 || !m->disp))
        return mem_indexed(addend, m->addr, m->disp);
    add_displacement(c, m, temp, 0);
    return mem_indexed(addend, temp, 0);
}

/* Byte offset of the first byte's entry to t1, page of the last byte to t2. */
static void probe_addresses(struct emit *c, const struct access *m)
{
    const unsigned shift = TCG_PAGE_BITS - TLB_ENTRY_BITS;
    bool one = c->isa & TCG_ISA_BMI2 && m->disp && m->size == 1;

    if (one) {
        add_displacement(c, m, m->t2, 0);
        enc_rorx(&c->enc, m->w, m->t1, m->t2, shift);
    } else if (c->isa & TCG_ISA_BMI2 && !m->disp) {
        enc_rorx(&c->enc, m->w, m->t1, m->addr, shift);
    } else {
        add_displacement(c, m, m->t1, 0);
        enc_shift_ri(&c->enc, SH_SHR, m->w, m->t1, shift);
    }
    enc_alu_ri(&c->enc, ALU_AND, W32, m->t1, (int32_t)(c->guest->tlb_mask[c->ir->mmu] << TLB_ENTRY_BITS));
    if (!one)
        add_displacement(c, m, m->t2, (int32_t)m->size - 1);
    enc_alu_ri(&c->enc, ALU_AND, m->w, m->t2, PAGE_MASK);
}

/* The addend of the first byte's page to t1. An access that crosses a page is compared by its last byte's page but
 * indexed by its first byte's, which cannot match. */
static void probe(struct emit *c, const struct access *m, struct stub *s)
{
    size_t tag = m->writes ? offsetof(struct tcg_tlb_entry, tag_write)
                           : offsetof(struct tcg_tlb_entry, tag_read);
    uint32_t set = c->guest->off_tlb + c->ir->mmu * TCG_TLB_SIZE * (uint32_t)sizeof(struct tcg_tlb_entry);
    struct x86_mem entry = env_indexed(m->t1, set + tag);

    probe_addresses(c, m);
    enc_alu_rm(&c->enc, ALU_CMP, W64, m->t2, entry);
    slow_if(c, s, CC_NE);
    entry = env_indexed(m->t1, set + offsetof(struct tcg_tlb_entry, addend));
    enc_load(&c->enc, W64, m->t1, entry);
}

/* The host address is [t1 + the address or its clean copy in t2]. */
struct x86_mem memory_probe(struct emit *c, const struct access *m, struct stub *s)
{
    probe(c, m, s);
    return host_address(c, m, m->t1, m->t2);
}

/* The slow path may change what memory means: translations that live on end with it. */
void note_xlates(struct emit *c, unsigned i, struct stub *s)
{
    for (unsigned k = 0; k < c->num_xlates && k < IR_OPEN_XLATES; k++) {
        const struct ra_value *x = &c->ra.val[c->xlate[k]];

        if (x->last_use <= i)
            continue;
        if (x->reg != NO_REG)
            s->xlate_regs |= (uint16_t)BIT_REG(x->reg);
        if (x->slot != NO_SLOT)
            s->xlate_slot[s->num_xlate_slots++] = x->slot;
    }
}

void forget_xlates(struct emit *c, const struct stub *s)
{
    for (unsigned r = 0; r < 16; r++)
        if (s->xlate_regs & BIT_REG(r))
            enc_alu_rr(&c->enc, ALU_XOR, W32, r, r);
    for (unsigned k = 0; k < s->num_xlate_slots; k++)
        enc_store_imm(&c->enc, W64, slot_mem(s->xlate_slot[k]), 0);
}

/* 32 bytes in one register, or in two. */
static void access_vector(struct emit *c, const struct stub *s, struct x86_mem host)
{
    unsigned size = s->vreg2 == NO_REG ? s->size : 16;

    if (s->loads_vector)
        vec_load_mem(c, size, s->vreg, host);
    else
        vec_store_mem(c, size, host, s->vreg);
    if (s->vreg2 == NO_REG)
        return;
    host.disp += 16;
    if (s->loads_vector)
        vec_load_mem(c, size, s->vreg2, host);
    else
        vec_store_mem(c, size, host, s->vreg2);
}

static void access_host(struct emit *c, const struct ir_insn *in, const struct stub *s, struct x86_mem host)
{
    int32_t imm;

    switch (in->op) {
    case IR_LD:
        enc_load(&c->enc, in->type, s->result == NO_REG ? s->scratch : s->result, host);
        break;
    case IR_ST:
        if (ra_imm(&c->ra, in->b, &imm))
            enc_store_imm(&c->enc, in->type, host, imm);
        else
            enc_store(&c->enc, in->type, host, s->value.reg);
        break;
    default:
        access_vector(c, s, host);
        break;
    }
}

static void describe_slow_path(struct emit *c, const struct ir_insn *in, const struct access *m,
                               struct stub *s)
{
    const struct x86_thunks *t = &c->thunks;

    s->type = in->type;
    s->addr = (uint8_t)m->addr;
    s->addr_type = (uint8_t)m->w;
    s->m = *m;
    s->scratch = (uint8_t)m->t1;
    s->word = WORD_MEM(m->size, in->aux | (m->size == 32 ? IR_MEM_PAIR : 0u));
    s->field = (uint32_t)in->imm;
    s->pending = flags_describe(c, in->fl);
    s->vectors = (uint16_t)vec_snapshot(c);
    note_xlates(c, s->insn, s);
    s->target = s->kind == STUB_LOAD ? t->load : s->kind == STUB_STORE ? t->store
              : in->op == IR_LDV ? t->load16 : t->store16;
}

static bool is_vector(const struct ir_insn *in)
{
    return in->op == IR_LDV || in->op == IR_STV;
}

/* 4 and 8 bytes of a vector register go the way of integers. */
static enum stub_kind stub_kind(const struct ir_insn *in)
{
    if (is_vector(in) && ir_access_size(in) >= 16)
        return STUB_VECTOR;
    return in->op == IR_LD || in->op == IR_LDV ? STUB_LOAD : STUB_STORE;
}

/* How many bytes of the field, from its beginning, a load's register holds: with AVX what is above is 0. */
static unsigned held_size(const struct emit *c, const struct ir_insn *in)
{
    bool whole = (in->cc & IR_V_CLEAR) || ir_access_size(in) == 32;

    return whole && c->isa & TCG_ISA_AVX ? 32 : 16;
}

static void choose_vectors(struct emit *c, const struct ir_insn *in, struct stub *s)
{
    uint32_t field = (uint32_t)in->imm, high = field + c->guest->vec_high;
    bool two = ir_access_size(in) == 32 && !(c->isa & TCG_ISA_AVX);

    s->size = (uint8_t)ir_access_size(in);
    s->loads_vector = in->op == IR_LDV;
    if (in->op == IR_LDV) {
        s->vreg = (uint8_t)vec_reg_for(c, field, held_size(c, in), 0);
        s->vreg2 = (uint8_t)(two ? vec_reg_for(c, high, 16, 0) : NO_REG);
    } else if (in->op == IR_STV) {
        s->vreg = (uint8_t)vec_use(c, field, two ? 16 : s->size < 8 ? 8 : s->size);
        s->vreg2 = (uint8_t)(two ? vec_use(c, high, 16) : NO_REG);
    }
}

/* May store a field to make room: all ways of the access come by here. */
static void bind_vectors(struct emit *c, const struct ir_insn *in, const struct stub *s)
{
    uint32_t field = (uint32_t)in->imm;

    vec_bind(c, field, held_size(c, in), s->vreg);
    if (s->vreg2 != NO_REG)
        vec_bind(c, field + c->guest->vec_high, 16, s->vreg2);
}

/* A probe takes two temporaries; with an XLATE one for its result, or for the address, does. */
static void take_registers(struct emit *c, const struct ir_insn *in, struct access *m, struct stub *s)
{
    s->shares = in->d;
    s->insn = (ir_ref)(in - c->insn);
    m->t1 = ra_temp(&c->ra);
    m->t2 = s->shares ? ra_use(&c->ra, in->d) : ra_temp(&c->ra);
}

/* Right behind the XLATE nobody asks for 0: its probe goes to the access's slow path when it fails, which leaves 0. */
static bool take_over_probe(struct emit *c, const struct ir_insn *in, struct stub *s)
{
    struct stub *x = s - 1;

    if (s == c->stubs || x->kind != STUB_XLATE || x->insn != in->d || x->back != c->enc.at)
        return false;
    while (x->num_from)
        s->from[s->num_from++] = x->from[--x->num_from];
    return true;
}

/* Right behind another access with the same XLATE, which was not 0 there, nobody asks either: where the other's slow
 * path was taken, this one's follows it out of line. */
static bool follow_last(struct emit *c, const struct ir_insn *in, struct stub *s)
{
    struct stub *p = c->last;

    if (!p || p + 1 != s || c->insn[p->insn].d != in->d || c->enc.at - p->back > MAX_COPY)
        return false;
    p->chained = true;
    p->between = (uint8_t)(c->enc.at - p->back);
    return true;
}

/* t2 is the XLATE's addend. */
static void access_shared(struct emit *c, const struct ir_insn *in, const struct access *m, struct stub *s)
{
    if (!take_over_probe(c, in, s) && !follow_last(c, in, s)) {
        enc_test_rr(&c->enc, W64, m->t2, m->t2);
        slow_if(c, s, CC_E);
    }
    access_host(c, in, s, host_address(c, m, m->t2, m->t1));
    c->last = s;
}

/* All registers are chosen before the first jump, so that both paths see the same. The result is never in
 * want of a register (t1 serves), so that no spill overwrites a slot that the slow path still reads. */
void emit_memory(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    bool load = in->op == IR_LD;
    struct stub *s;
    struct access m;
    int32_t imm;

    if (access_is_called(c, in)) {
        emit_called_access(c, i);
        return;
    }
    s = stub_new(c, stub_kind(in));
    m = (struct access){ .w = reg_width(value_type(c, in->a)), .addr = ra_use(&c->ra, in->a),
                        .size = ir_access_size(in) };
    m.writes = in->op == IR_ST || in->op == IR_STV || (in->aux & IR_MEM_RMW);
    m.clean = m.w == W64 || c->ra.val[in->a].zbits <= 32;
    m.disp = (int32_t)(in->imm >> 32);
    if (in->op == IR_ST && !ra_imm(&c->ra, in->b, &imm))
        ra_use(&c->ra, in->b);
    take_registers(c, in, &m, s);
    choose_vectors(c, in, s);
    describe_slow_path(c, in, &m, s);
    if (in->op == IR_ST) {
        s->value = loc_of(c, in->b);
        if (s->value.reg == NO_REG && !ra_imm(&c->ra, in->b, &imm))
            s->value.reg = (uint8_t)ra_use(&c->ra, in->b);
    }
    ra_kill(&c->ra, i);
    if (load && c->ra.val[i].last_use)
        s->result = (uint8_t)ra_def(&c->ra, (ir_ref)i, m.t1, 0, IR_BITS(in->type));
    if (s->shares) {
        access_shared(c, in, &m, s);
    } else if (in->aux & IR_MEM_SUPER) {
        s->from[s->num_from++] = enc_jmp32(&c->enc);
    } else {
        if (in->aux & IR_MEM_ALIGN) {
            enc_test_ri(&c->enc, W8, m.addr, (int32_t)m.size - 1);
            slow_if(c, s, CC_NE);
        }
        access_host(c, in, s, memory_probe(c, &m, s));
    }
    s->back = c->enc.at;
    if (in->op == IR_LDV)
        bind_vectors(c, in, s);
    if (in->op == IR_LDV && (in->cc & IR_V_CLEAR) && held_size(c, in) == 16)
        vec_clear_high(c, (uint32_t)in->imm);
}

/* ---- checks ---- */

static void emit_bound(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    uint32_t bounds = in->imm & 0xffff, last = in->imm >> 16 & 0xffff;
    unsigned w = reg_width(value_type(c, in->a)), addr = ra_use(&c->ra, in->a), t = ra_temp(&c->ra);
    struct stub *s = stub_new(c, STUB_RAISE);

    s->addr = (uint8_t)addr;
    s->addr_type = (uint8_t)w;
    s->scratch = (uint8_t)t;
    s->flags = flags_locate(c, in->fl);
    s->vectors = (uint16_t)vec_snapshot(c);
    s->target = c->guest->helpers[in->imm >> 32 & 0xffff].fn;
    s->word = (uint32_t)(in->imm >> 48);
    enc_mov_rr(&c->enc, w, t, addr);
    enc_alu_rm(&c->enc, ALU_CMP, W64, t, env_mem(bounds));
    slow_if(c, s, CC_B);
    if (last)
        enc_alu_ri(&c->enc, ALU_ADD, W64, t, (int32_t)last);
    if (last && w == W64)
        slow_if(c, s, CC_B);
    enc_alu_rm(&c->enc, ALU_CMP, W64, t, env_mem(bounds + 8));
    slow_if(c, s, CC_A);
    ra_kill(&c->ra, i);
}

static void emit_trapif(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    enum x86_cc cc = emit_test_bool(c, in->a);
    struct stub *s = stub_new(c, STUB_RAISE);

    ra_unlock(&c->ra);
    s->addr = NO_REG;
    s->scratch = NO_REG;
    s->flags = flags_locate(c, in->fl);
    if (flags_need_scratch(&s->flags)) {
        s->scratch = (uint8_t)ra_temp(&c->ra);
        s->flags = flags_locate(c, in->fl);
    }
    s->vectors = (uint16_t)vec_snapshot(c);
    s->target = c->guest->helpers[(uint32_t)in->imm].fn;
    s->word = (uint32_t)(in->imm >> 32);
    slow_if(c, s, cc);
    ra_kill(&c->ra, i);
}

void emit_check(struct emit *c, unsigned i)
{
    if (c->insn[i].op == IR_BOUND)
        emit_bound(c, i);
    else
        emit_trapif(c, i);
}

/* ---- translations shared by several accesses ---- */

void emit_xlate(struct emit *c, unsigned i)
{
    const struct ir_insn *in = &c->insn[i];
    int32_t lo = (int32_t)in->imm, hi = (int32_t)(in->imm >> 32);
    struct stub *s = stub_new(c, STUB_XLATE);
    struct access m = { .w = reg_width(value_type(c, in->a)), .addr = ra_use(&c->ra, in->a), .disp = lo,
                        .size = (unsigned)(hi - lo) + 1, .writes = in->aux };

    s->insn = (ir_ref)i;
    m.t1 = ra_temp(&c->ra);
    m.t2 = ra_temp(&c->ra);
    ra_kill(&c->ra, i);
    s->result = (uint8_t)ra_def(&c->ra, (ir_ref)i, m.t1, 0, 64);
    probe(c, &m, s);
    s->back = c->enc.at;
    c->xlate[c->num_xlates++ % IR_OPEN_XLATES] = (ir_ref)i;
}

/* ---- the slow paths ---- */

static void pass_address(struct emit *c, const struct stub *s)
{
    unsigned reg = s->addr;

    if (s->addr_type == W32 || s->m.disp) {
        reg = s->scratch;
        enc_lea(&c->enc, s->addr_type, reg, mem_at(s->addr, s->m.disp));
    }
    enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG0), reg);
}

static void pass_second(struct emit *c, const struct stub *s)
{
    if (s->kind == STUB_STORE && s->vreg != NO_REG) {
        enc_store_imm(&c->enc, W64, mem_at(RSP, FRAME_ARG1), 0);
        vec_store_mem(c, s->size, mem_at(RSP, FRAME_ARG1), s->vreg);
        return;
    }
    if (s->kind == STUB_VECTOR)
        enc_lea(&c->enc, W64, s->scratch, env_mem(s->field));
    else if (s->value.reg != NO_REG)
        enc_zext(&c->enc, s->type, s->scratch, s->value.reg);
    else
        enc_mov_ri(&c->enc, s->scratch, s->type == IR_I64 ? s->value.imm :
                   s->value.imm & ((UINT64_C(1) << IR_BITS(s->type)) - 1));
    enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG1), s->scratch);
}

static void call_slow(struct emit *c, const struct stub *s, uint32_t word)
{
    enc_store_imm(&c->enc, W32, mem_at(RSP, FRAME_WORD), (int32_t)word);
    enc_call_to(&c->enc, s->target);
    emit_map(c, s->guest_off, s->guest_insn, s->pending);
}

/* The upper 16 bytes, for which the first call has made sure that nothing happens. */
static void second_half(struct emit *c, const struct stub *s)
{
    add_displacement(c, &s->m, s->scratch, 16);
    enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG0), s->scratch);
    enc_lea(&c->enc, W64, s->scratch, env_mem(s->field + c->guest->vec_high));
    enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG1), s->scratch);
    call_slow(c, s, s->word & ~(uint32_t)WORD_MEM(0, IR_MEM_PAIR | IR_MEM_ALIGN));
}

static void load_result(struct emit *c, const struct stub *s)
{
    if (s->kind == STUB_LOAD) {
        vec_load_mem(c, s->size, s->vreg, mem_at(RSP, FRAME_RESULT));
        return;
    }
    vec_load_field(c, s->vreg2 == NO_REG ? s->size : 16, s->vreg, s->field);
    if (s->vreg2 != NO_REG)
        vec_load_field(c, 16, s->vreg2, s->field + c->guest->vec_high);
}

static void go_back(struct emit *c, const struct stub *s)
{
    if (!s->chained) {
        enc_jmp_to(&c->enc, s->back);
        return;
    }
    if (s->join)
        enc_patch32(s->join, c->enc.at);
    memcpy(c->enc.at, s->back, s->between);
    c->enc.at += s->between;
}

static void memory_stub(struct emit *c, const struct stub *s)
{
    pass_address(c, s);
    if (s->kind != STUB_LOAD)
        pass_second(c, s);
    if (s->vectors)
        enc_call_to(&c->enc, c->thunks.save_vectors);
    if (s->kind == STUB_CAS) {
        enc_zext(&c->enc, s->type, s->scratch, s->desired);
        enc_store(&c->enc, W64, mem_at(RSP, FRAME_ARG2), s->scratch);
    }
    call_slow(c, s, s->word);
    if (s->kind == STUB_VECTOR && s->size == 32)
        second_half(c, s);
    if (s->vectors)
        enc_call_to(&c->enc, c->thunks.restore_vectors);
    forget_xlates(c, s);
    if (s->result != NO_REG)
        enc_load(&c->enc, s->type, s->result, mem_at(RSP, FRAME_RESULT));
    if (s->loads_vector)
        load_result(c, s);
    go_back(c, s);
}

/* helper(env, address, number) or helper(env, number): does not return. */
static void raise_stub(struct emit *c, const struct stub *s)
{
    if (s->addr != NO_REG)
        enc_mov_rr(&c->enc, s->addr_type, RSI, s->addr);
    enc_mov_ri(&c->enc, s->addr != NO_REG ? RDX : RSI, s->word);
    enc_lea(&c->enc, W64, RDI, env_mem(0));
    enc_mov_ri(&c->enc, RAX, (uintptr_t)s->target);
    enc_call_to(&c->enc, c->thunks.call_read);
    emit_map(c, s->guest_off, s->guest_insn, 0);
    enc_ud2(&c->enc);
}

/* The XLATE's register is 0 before and after; the slow path sees to that itself. */
static void probe_out_of_line(struct emit *c, struct stub *s)
{
    struct x86_mem host;

    s->num_from = 0;
    host = memory_probe(c, &s->m, s);
    access_host(c, &c->insn[s->insn], s, host);
    enc_mov_ri(&c->enc, s->m.t2, 0);
    if (s->chained)
        s->join = enc_jmp32(&c->enc);
    else
        enc_jmp_to(&c->enc, s->back);
    for (unsigned n = 0; n < s->num_from; n++)
        enc_patch32(s->from[n], c->enc.at);
}

void emit_stubs(struct emit *c)
{
    for (unsigned k = 0; k < c->num_stubs; k++) {
        struct stub *s = &c->stubs[k];
        for (unsigned n = 0; n < s->num_from; n++)
            enc_patch32(s->from[n], c->enc.at);
        if (s->kind == STUB_XLATE && !s->num_from)
            continue;
        if (s->kind == STUB_XLATE) {
            enc_mov_ri(&c->enc, s->result, 0);
            enc_jmp_to(&c->enc, s->back);
            continue;
        }
        if (s->shares)
            probe_out_of_line(c, s);
        flags_commit(c, &s->flags, s->scratch);
        vec_store_snapshot(c, s->vectors, s->kind == STUB_RAISE || s->kind == STUB_EXIT);
        if (s->kind == STUB_RAISE)
            raise_stub(c, s);
        else if (s->kind == STUB_X87)
            emit_x87_stub(c, s);
        else if (s->kind == STUB_EXIT)
            emit_side_exit_taken(c, s);
        else
            memory_stub(c, s);
    }
}
