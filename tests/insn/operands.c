/* Leading the operands of a random encoding to places where something happens. */
#include "tests/insn/insn.h"

typedef void emit_fn(struct emit *e);
emit_fn emit_xlat, emit_maskmov, emit_bt, emit_enter, emit_leave, emit_div, emit_shift, emit_rotate,
    emit_far_direct, emit_far_indirect, emit_far_ret, emit_iret, emit_mov_to_sreg, emit_pop_sreg,
    emit_load_far_pointer, emit_verify, emit_lar, emit_lsl, emit_rotate_carry, emit_double_shift,
    emit_loop, emit_jcxz, emit_ret, emit_call_indirect,
    emit_jmp_indirect, emit_cmpxchg, emit_cmpxchg8b, emit_fxstate, emit_ldmxcsr, emit_x87_ldcw,
    emit_x87_env, emit_xsave, emit_xrstor, emit_bound, emit_popf, emit_xchg, emit_jcc, emit_jmp, emit_call;

static bool known(const struct gen *g, unsigned reg)
{
    return !(g->written >> reg & 1);
}

/* The low `bits` of an initial register. */
static void set_reg(struct gen *g, unsigned reg, unsigned bits, uint64_t v)
{
    uint64_t *p = &g->c->in.gpr[reg];

    if (g->bits != 64 && bits > 32)
        bits = 32;
    *p = bits_deposit(*p, 0, bits, v);
    g->pinned |= 1u << reg;
}

static void try_set_reg(struct gen *g, unsigned reg, unsigned bits, uint64_t v)
{
    if (settable(g, reg))
        set_reg(g, reg, bits, v);
}

/* ---- where operands lie ---- */

static uint64_t pick_edge(struct gen *g, unsigned size)
{
    switch (rng_below(&g->r, 4)) {
    case 0: return DATA_LIN + rng_below(&g->r, 16) - size;       /* starts before the data */
    case 1: return RO_LIN + rng_below(&g->r, 16) - size;         /* runs into the read-only page */
    case 2: return RO_LIN + RO_SIZE + rng_below(&g->r, 16) - size;   /* runs out of it */
    default: return RO_LIN + rng_below(&g->r, RO_SIZE - 512);
    }
}

/* Linear address for an operand of `size` bytes; `strict`: aligned to its size. */
static uint64_t pick_target(struct gen *g, unsigned size, bool strict)
{
    uint64_t align = UINT64_C(1) << MIN_OF(31u - (unsigned)__builtin_clz(size), 6u);
    uint64_t t = HOT_LIN + rng_below(&g->r, HOT_SIZE);

    if (rng_percent(&g->r, g->single ? 6 : 1))
        t = pick_edge(g, size);
    else if (rng_percent(&g->r, 20))
        t = DATA_LIN + rng_below(&g->r, DATA_SIZE - 512);
    return strict || rng_percent(&g->r, 50) ? align_down(t, align) : t;
}

/* Bytes of data behind a linear address, or NULL when there are less than `size`. */
static uint8_t *data_at(struct gen *g, uint64_t linear, unsigned size)
{
    if (linear < DATA_LIN || linear > RO_LIN - size)
        return NULL;
    return g->c->mem + (linear - DATA_LIN);
}

static bool is_xstate(const struct opcode *row)
{
    return row->emit == emit_xsave || row->emit == emit_xrstor;
}

static unsigned operand_size(const struct insn *insn)
{
    if (is_xstate(insn->row))
        return XSTATE_END;
    return insn->row->emit == emit_fxstate ? 512 : insn->mem_size ? insn->mem_size : 16;
}

/* ---- memory operands through ModRM and moffs ---- */

static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;

    for (unsigned i = 0; i < 6; i++)
        x *= 2 - odd * x;
    return x;
}

static bool fits(int64_t v, unsigned bits)
{
    return v == bits_sext((uint64_t)v, bits);
}

/* All but the displacement. */
static uint64_t address_rest(struct gen *g, const struct insn *insn)
{
    uint64_t rest = 0;

    if (insn->base == REG_RIP)
        rest = g->at + insn->len;
    else if (insn->base != REG_NONE)
        rest = g->c->in.gpr[insn->base];
    if (insn->index != REG_NONE)
        rest += g->c->in.gpr[insn->index] * insn->scale;
    return rest;
}

static uint64_t effective_address(struct gen *g, const struct insn *insn)
{
    return address_rest(g, insn) + (uint64_t)insn->disp;
}

static bool steer_by_disp(struct gen *g, struct encoding *enc, uint64_t ea)
{
    const struct insn *insn = &enc->insn;
    unsigned bits = insn->addrsize * 8u;
    int64_t disp = bits_sext(ea - address_rest(g, insn), bits);

    if (!enc->disp_size || !fits(disp, 8 * enc->disp_size))
        return false;
    encode_set_disp(enc, disp);
    return true;
}

/* base + index * scale + disp = ea with base and index the same register; an even factor may miss by one. */
static void steer_same(struct gen *g, const struct insn *insn, uint64_t ea)
{
    uint64_t sum = ea - (uint64_t)insn->disp, factor = insn->scale + 1u;

    set_reg(g, insn->base, insn->addrsize * 8u, factor == 2 ? sum / 2 : sum * inverse(factor));
}

static bool steer_ea(struct gen *g, struct encoding *enc, uint64_t ea)
{
    const struct insn *insn = &enc->insn;
    unsigned base = insn->base, index = insn->index, bits = insn->addrsize * 8u;
    bool plain_base = base != REG_NONE && base != REG_RIP;
    uint64_t sum = ea - (uint64_t)insn->disp;
    const uint64_t *gpr = g->c->in.gpr;

    if ((plain_base && !known(g, base)) || (index != REG_NONE && !known(g, index)))
        return false;
    if (plain_base && base == index && settable(g, base)) {
        steer_same(g, insn, ea);
    } else if (plain_base && base != index && settable(g, base)) {
        set_reg(g, base, bits, sum - (index != REG_NONE ? gpr[index] * insn->scale : 0));
    } else if (index != REG_NONE && base != index && base != REG_RIP && settable(g, index)) {
        set_reg(g, index, bits, (sum - (plain_base ? gpr[base] : 0)) / insn->scale);
    } else {
        return steer_by_disp(g, enc, ea);
    }
    if (plain_base)
        g->pinned |= 1u << base;
    if (index != REG_NONE)
        g->pinned |= 1u << index;
    return true;
}

static bool needs_alignment(struct gen *g, const struct insn *insn)
{
    /* An atomic access across cache lines is slow on processors that detect it. */
    if ((insn->prefix & PFX_LOCK) || insn->row->emit == emit_xchg)
        return true;
    return ((insn->row->flags & OPF_ALIGN) || insn->row->emit == emit_fxstate || is_xstate(insn->row)) &&
           rng_percent(&g->r, 92);
}

static bool steer_memory(struct gen *g, struct encoding *enc)
{
    const struct insn *insn = &enc->insn;
    uint64_t ea, limit = MASK(insn->addrsize * 8u);

    g->target = pick_target(g, operand_size(insn), needs_alignment(g, insn));
    ea = g->target - env_base(g->c->env, insn->seg);
    if (ea > limit && g->bits != 64 && !rng_percent(&g->r, 10))
        return false; /* 16-bit addressing does not reach the data through a flat segment */
    return steer_ea(g, enc, ea & limit);
}

/* ---- gathers ---- */

/* Element `n` of `size` bytes in the initial value of a vector register. */
static uint8_t *vec_element(struct gen *g, unsigned reg, unsigned n, unsigned size)
{
    unsigned at = n * size;

    return at < 16 ? g->c->in.fx + FX_XMM + 16 * reg + at : g->c->in.ymmh[reg] + at - 16;
}

/* Small indices, so that most elements lie in the data, and a mask with every second element on the average.
 * From here on the operand is one at base + displacement. */
static bool steer_gather(struct gen *g, struct encoding *enc)
{
    struct insn *insn = &enc->insn;
    unsigned index = insn->index, mask = insn->op[2].reg, size = insn->row->opcode & 1 ? 8 : 4;
    uint32_t both = 1u << index | 1u << mask;

    insn->index = REG_NONE;
    if (g->vec_written & both || (g->vec_pinned & both && index != mask))
        return false;
    for (unsigned i = 0; i < 32 / size; i++) {
        uint64_t v = (uint64_t)(((int64_t)rng_below(&g->r, 0x400) - 0x200) / insn->scale);
        store_le(vec_element(g, mask, i, size), size, rng_next(&g->r));
        if (index != mask)
            store_le(vec_element(g, index, i, size), size, rng_percent(&g->r, 98) ? v : rng_next(&g->r));
    }
    g->vec_pinned |= both;
    return true;
}

/* ---- implicit operands ---- */

static void steer_string(struct gen *g, const struct insn *insn)
{
    unsigned bits = insn->addrsize * 8u, base_es = env_base(g->c->env, S_ES);
    unsigned base_src = env_base(g->c->env, insn->seg);

    for (unsigned i = 0; i < 2; i++) {
        unsigned kind = insn->row->op[i];
        if (kind >= O_Xb && kind <= O_Xz)
            try_set_reg(g, R_SI, bits, pick_target(g, insn->mem_size, false) - base_src);
        if (kind >= O_Yb && kind <= O_Yz)
            try_set_reg(g, R_DI, bits, pick_target(g, insn->mem_size, false) - base_es);
    }
    if (insn->prefix & (PFX_REP | PFX_REPNE))
        try_set_reg(g, R_CX, bits, rng_percent(&g->r, 85) ? rng_below(&g->r, 40) : rng_int(&g->r));
}

/* The bit offset reaches beyond the operand: keep it near. */
static void steer_bit(struct gen *g, const struct insn *insn)
{
    if (insn->op[1].class == OC_REG && insn->has_mem && rng_percent(&g->r, 90))
        try_set_reg(g, insn->op[1].reg, insn->opsize * 8u, rng_below(&g->r, 2048) - (uint64_t)1024);
}

static void steer_count(struct gen *g, struct encoding *enc)
{
    const struct insn *insn = &enc->insn;
    bool narrow = insn->row->emit == emit_double_shift && insn->opsize == 2;
    unsigned last = insn->row->emit == emit_double_shift ? 2 : 1;

    /* SHLD and SHRD of 16 bits by more than 16: the result is undefined. */
    if (insn->op[last].class == OC_IMM && narrow)
        enc->code[enc->len - 1] &= 15;
    else if (insn->op[last].class == OC_REG && (narrow || rng_percent(&g->r, 70)))
        set_reg(g, R_CX, 8, rng_below(&g->r, narrow ? 17 : 70));
}

/* Mostly no overflow: a small upper half. */
static void steer_division(struct gen *g, const struct insn *insn)
{
    uint64_t v = rng_below(&g->r, 4);

    if (!g->single || !rng_percent(&g->r, 70))
        return;
    if (insn->op[0].size == 1)
        set_reg(g, R_AX, 16, v << 8 | (rng_next(&g->r) & 0xff));
    else
        set_reg(g, R_DX, insn->opsize * 8u, insn->row->arg && rng_percent(&g->r, 50) ? UINT64_MAX : v);
}

/* Somewhere in the code area, not into the instruction itself, so that nothing loops. */
static uint64_t pick_landing(struct gen *g, const struct insn *insn)
{
    uint64_t base = CODE_LIN - env_base(g->c->env, S_CS), to;

    do
        to = base + rng_below(&g->r, CODE_SIZE);
    while (to + 16 > g->at && to < g->at + insn->len);
    return to;
}

/* Linear address of the stack's top. */
static uint64_t stack_top(const struct gen *g)
{
    uint64_t sp = g->c->in.gpr[R_SP];

    return (g->bits == 16 ? sp & 0xffff : sp) + env_base(g->c->env, S_SS);
}

static void steer_indirect_branch(struct gen *g, const struct insn *insn)
{
    uint64_t to = pick_landing(g, insn);
    uint8_t *data;

    if (insn->row->emit == emit_ret)
        data = data_at(g, stack_top(g), 8);
    else if (insn->has_mem)
        data = data_at(g, g->target, 8);
    else {
        set_reg(g, insn->op[0].reg, insn->opsize * 8u, to);
        return;
    }
    if (data)
        store_le(data, insn->opsize, to);
}

static void steer_relative_branch(struct gen *g, struct encoding *enc)
{
    unsigned size = enc->insn.row->op[0] == O_Jb ? 1 : enc->insn.opsize == 2 ? 2 : 4;
    uint64_t next = g->at + enc->len;
    uint64_t disp;

    if (size == 1) {
        do
            disp = (uint64_t)bits_sext(rng_next(&g->r), 8);
        while (disp >= -(uint64_t)enc->len);
    } else {
        disp = pick_landing(g, &enc->insn) - next;
    }
    store_le(enc->code + enc->len - size, size, disp);
    if (enc->insn.row->emit == emit_loop || enc->insn.row->emit == emit_jcxz)
        try_set_reg(g, R_CX, enc->insn.addrsize * 8u, rng_below(&g->r, 3));
}

/* The comparison succeeds half of the time. */
static void steer_cmpxchg(struct gen *g, const struct insn *insn)
{
    unsigned size = insn->op[0].size;
    const uint8_t *data;

    if (!g->single || rng_percent(&g->r, 50))
        return;
    if (!insn->has_mem) {
        if (!insn->op[0].high_byte)
            set_reg(g, R_AX, size * 8, g->c->in.gpr[insn->op[0].reg]);
        return;
    }
    data = data_at(g, g->target, size);
    if (!data || !settable(g, R_AX) || !settable(g, R_DX))
        return;
    if (insn->row->emit == emit_cmpxchg) {
        set_reg(g, R_AX, size * 8, load_le(data, size));
    } else {
        set_reg(g, R_AX, size * 4, load_le(data, size / 2));
        set_reg(g, R_DX, size * 4, load_le(data + size / 2, size / 2));
    }
}

/* Values that loads of control state accept. */
static void steer_control_state(struct gen *g, const struct insn *insn)
{
    uint8_t fx[512] __attribute__((aligned(16)));
    uint8_t *data = data_at(g, g->target, operand_size(insn));

    if (!data || !rng_percent(&g->r, 80))
        return;
    memcpy(fx, g->c->in.fx, sizeof(fx));
    state_random_fx(g, fx);
    if (insn->row->emit == emit_fxstate)
        memcpy(data, fx, FX_END);
    else if (insn->row->emit == emit_ldmxcsr)
        memcpy(data, fx + FX_MXCSR, 4);
    else if (insn->row->emit == emit_x87_ldcw)
        memcpy(data, fx + FX_FCW, 2);
    else {
        memcpy(data, fx + FX_FCW, 2);
        memcpy(data + (insn->opsize == 2 ? 2 : 4), fx + FX_FSW, 2);
    }
}

/* TF and AC, which soon end a case, are rare. */
static void steer_popf(struct gen *g)
{
    uint8_t *data = data_at(g, stack_top(g), 8);
    uint64_t mask = rng_percent(&g->r, 10) ? UINT64_MAX : ~(uint64_t)(FL_TF | FL_AC);

    if (data)
        store_le(data, 8, rng_next(&g->r) & mask);
}

/* Components that Mimus has and components that nobody has; what the host alone has would be saved too. */
static uint64_t random_components(struct gen *g)
{
    return rng_next(&g->r) & (~g->cpu->xcr0 | XCR0_X87 | XCR0_SSE | XCR0_AVX);
}

static void steer_components(struct gen *g)
{
    uint64_t mask = random_components(g);

    set_reg(g, R_AX, 32, mask);
    set_reg(g, R_DX, 32, mask >> 32);
}

/* An area that XRSTOR accepts, mostly: SDM vol. 1, 13.4 and 13.8. */
static void steer_xrstor(struct gen *g)
{
    uint8_t *data = data_at(g, g->target, XSTATE_END);
    uint64_t bv = rng_below(&g->r, 8);
    bool compact = g->cpu->has[FEAT_XSAVEC] && rng_percent(&g->r, 40);

    if (!data || rng_percent(&g->r, 5))
        return;
    state_random_fx(g, data);
    memset(data + XSTATE_BV, 0, XSTATE_YMM - XSTATE_BV);
    store_le(data + XSTATE_BV, 8, bv);
    if (compact)
        store_le(data + XSTATE_BV + 8, 8, bv | BIT(63) | rng_below(&g->r, 8));
    if (rng_percent(&g->r, 6))
        store_le(data + XSTATE_BV + 8 * rng_below(&g->r, 8), 8, random_components(g));
}

static void steer_bound(struct gen *g, const struct insn *insn)
{
    unsigned size = insn->opsize;
    uint8_t *data = data_at(g, g->target, 2 * size);
    uint64_t v = g->c->in.gpr[insn->op[0].reg];

    if (!data || rng_percent(&g->r, 30))
        return;
    store_le(data, size, v - rng_below(&g->r, 3) + 1);
    store_le(data + size, size, v + rng_below(&g->r, 3) - 1);
}

static void steer_enter(struct gen *g, struct encoding *enc)
{
    unsigned bits = g->bits == 16 ? 16 : g->bits;

    try_set_reg(g, R_BP, bits, pick_target(g, 8, false) - env_base(g->c->env, S_SS));
    if (enc->insn.row->emit == emit_leave)
        return;
    if (rng_percent(&g->r, 85))
        store_le(enc->code + enc->len - 3, 2, rng_below(&g->r, 128));
    if (rng_percent(&g->r, 70))
        enc->code[enc->len - 1] &= 0xe3;
}

/* Operands that must stand before the memory operand is led somewhere, as they take part in its address. */
static void steer_before(struct gen *g, struct encoding *enc)
{
    const struct insn *insn = &enc->insn;
    const struct opcode *row = insn->row;
    unsigned bits = insn->addrsize * 8u;

    if (row->flags & OPF_REP)
        steer_string(g, insn);
    else if (is_xstate(row))
        steer_components(g);
    else if (row->emit == emit_xlat)
        try_set_reg(g, R_BX, bits, pick_target(g, 1, false) - env_base(g->c->env, insn->seg) -
                    (g->c->in.gpr[R_AX] & 0xff));
    else if (row->emit == emit_maskmov)
        try_set_reg(g, R_DI, bits, pick_target(g, 16, false) - env_base(g->c->env, insn->seg));
    else if (row->emit == emit_bt)
        steer_bit(g, insn);
    else if (row->emit == emit_shift || row->emit == emit_rotate || row->emit == emit_rotate_carry ||
             row->emit == emit_double_shift)
        steer_count(g, enc);
    else if (row->emit == emit_div)
        steer_division(g, insn);
    else if (row->emit == emit_enter || row->emit == emit_leave)
        steer_enter(g, enc);
}

/* Selectors that both sides know: null, of the kernel, of processes, of the LDT, beyond the tables. */
static uint16_t pick_selector(struct gen *g)
{
    static const uint16_t gdt[] = { 0x10, 0x18, 0x20, 0x28, 0x30 };
    unsigned rpl = rng_percent(&g->r, 70) ? 3 : rng_below(&g->r, 4);

    switch (rng_below(&g->r, 8)) {
    case 0: return (uint16_t)rng_below(&g->r, 4);
    case 1: case 2: return (uint16_t)(gdt[rng_below(&g->r, ARRAY_LEN(gdt))] | rpl);
    case 3: return (uint16_t)((14 + rng_below(&g->r, 8)) << 3 | 4 | rpl);
    /* Not those of the thread-local and per-processor segments, which differ. */
    case 4: return (uint16_t)((0x100 + rng_below(&g->r, 0xfe00)) & ~4u);
    default: break;
    }
    const struct env_segment *own = &env_segments[rng_below(&g->r, ENV_NUM)][rng_below(&g->r, S_NUM)];
    return (uint16_t)((own->selector & ~3u) | rpl);
}

/* Operand `n` of the instruction, or what it pops, or the second half of the far pointer. False: it lies where
 * the case cannot choose it. */
static bool steer_selector(struct gen *g, const struct insn *insn, unsigned n)
{
    uint16_t selector = pick_selector(g);
    uint8_t *data;

    if (insn->row->emit == emit_pop_sreg)
        data = data_at(g, stack_top(g), 2);
    else if (insn->row->emit == emit_load_far_pointer)
        data = data_at(g, g->target + insn->opsize, 2);
    else if (insn->has_mem)
        data = data_at(g, g->target, 2);
    else {
        set_reg(g, insn->op[n].reg, 16, selector);
        return true;
    }
    if (data)
        store_le(data, 2, selector);
    return data;
}

/* ---- far transfers ---- */

static bool is_far(const struct insn *insn)
{
    emit_fn *f = insn->row->emit;

    return f == emit_far_direct || f == emit_far_indirect || f == emit_far_ret || f == emit_iret;
}

/* A code segment, mostly, and an address in it, not that of the instruction itself. */
static uint16_t pick_far_target(struct gen *g, const struct insn *insn, uint64_t *to)
{
    enum env env = rng_below(&g->r, ENV_NUM);
    const struct env_segment *cs = &env_segments[env][S_CS];
    uint64_t here = g->at + env_base(g->c->env, S_CS), linear;

    do
        linear = CODE_LIN + rng_below(&g->r, CODE_SIZE);
    while (linear + 16 > here && linear < here + insn->len);
    *to = linear - cs->base;
    uint16_t selector = rng_percent(&g->r, 70) ? cs->selector : pick_selector(g);
    /* On some processors the stack already has the width and base of the mode that a transfer leads to. */
    if (insn->row->emit == emit_iret)
        return selector;
    if (g->bits == 64 && g->c->in.gpr[R_SP] > UINT32_MAX)
        return 0x33;
    return (selector & ~3u) == 0x30 && g->c->env >= ENV_32_SEGMENTED ? 0x23 : selector;
}

/* What is popped: instruction pointer, CS; IRET: flags that do no harm; in 64-bit code, and for outer levels,
 * the stack. */
static void make_frame(struct gen *g, const struct insn *insn, uint8_t *frame, uint64_t to, uint16_t cs)
{
    unsigned size = insn->opsize;
    uint64_t flags = rng_next(&g->r) & ~(uint64_t)(FL_TF | FL_NT | FL_AC | FL_ID | FL_RF);

    store_le(frame, size, to);
    store_le(frame + size, size, cs);
    if (insn->row->emit != emit_iret)
        return;
    store_le(frame + 2 * size, size, flags);
    store_le(frame + 3 * size, size, HOT_LIN + rng_below(&g->r, 256));
    store_le(frame + 4 * size, size, rng_percent(&g->r, 70) ? 0x2b : pick_selector(g));
}

static bool steer_far(struct gen *g, struct encoding *enc)
{
    const struct insn *insn = &enc->insn;
    unsigned size = insn->opsize;
    uint64_t to;
    uint16_t cs = pick_far_target(g, insn, &to);
    uint8_t *data;

    if (insn->row->emit == emit_far_direct) {
        store_le(enc->code + enc->len - 2 - size, size, to);
        store_le(enc->code + enc->len - 2, 2, cs);
        return true;
    }
    data = data_at(g, insn->has_mem ? g->target : stack_top(g), 5 * size);
    if (data && insn->has_mem) {
        store_le(data, size, to);
        store_le(data + size, 2, cs);
    } else if (data) {
        make_frame(g, insn, data, to, cs);
    }
    return data;
}

static bool takes_selector(const struct insn *insn)
{
    emit_fn *f = insn->row->emit;

    return f == emit_mov_to_sreg || f == emit_pop_sreg || f == emit_load_far_pointer || f == emit_verify ||
           f == emit_lar || f == emit_lsl;
}

static void steer_after(struct gen *g, struct encoding *enc)
{
    const struct insn *insn = &enc->insn;
    emit_fn *f = insn->row->emit;

    if (insn->has_mem) /* where it really lies: scales may have made it miss */
        g->target = env_base(g->c->env, insn->seg) + (effective_address(g, insn) & MASK(insn->addrsize * 8u));
    if (f == emit_ret || f == emit_call_indirect || f == emit_jmp_indirect)
        steer_indirect_branch(g, insn);
    else if (insn->row->op[0] == O_Jb || insn->row->op[0] == O_Jz)
        steer_relative_branch(g, enc);
    else if (f == emit_cmpxchg || f == emit_cmpxchg8b)
        steer_cmpxchg(g, insn);
    else if (f == emit_fxstate || f == emit_ldmxcsr || f == emit_x87_ldcw || f == emit_x87_env)
        steer_control_state(g, insn);
    else if (f == emit_popf)
        steer_popf(g);
    else if (f == emit_xrstor)
        steer_xrstor(g);
    else if (f == emit_bound)
        steer_bound(g, insn);
}

bool operands_steer(struct gen *g, struct encoding *enc)
{
    unsigned kind = enc->insn.row->op[1];

    if ((kind == O_MGd || kind == O_MGq) && !steer_gather(g, enc))
        return false;
    steer_before(g, enc);
    if (enc->insn.has_mem && !(g->single && rng_percent(&g->r, 1)) && !steer_memory(g, enc))
        return false;
    steer_after(g, enc);
    if (is_far(&enc->insn))
        return steer_far(g, enc);
    return !takes_selector(&enc->insn) ||
           steer_selector(g, &enc->insn, enc->insn.row->emit == emit_verify ? 0 : 1);
}
