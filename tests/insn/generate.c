/* From a row (or none: a sequence) and a seed to a test case. */
#include "tests/insn/insn.h"

typedef void emit_fn(struct emit *e);
emit_fn emit_ret, emit_call_indirect, emit_jmp_indirect, emit_fxstate, emit_x87_env, emit_double_shift, emit_enter,
    emit_leave, emit_popa, emit_loop, emit_nop;

/* ---- what is left out ---- */

const char *row_excluded(const struct opcode *row, unsigned bits)
{
    if (!(row->flags & OPF_HOST))
        return "not for user processes";
    if (row->flags & (bits == 64 ? OPF_I64 : OPF_O64))
        return "does not exist there";
    return NULL;
}

static bool is_relative_branch(const struct opcode *row)
{
    return row->op[0] == O_Jb || row->op[0] == O_Jz;
}

/* Rows that only stand alone: what they store is not all compared, or they leave the sequence. */
static bool fits_sequence(const struct opcode *row)
{
    emit_fn *f = row->emit;

    return f != emit_ret && f != emit_call_indirect && f != emit_jmp_indirect && f != emit_fxstate &&
           f != emit_x87_env && f != emit_enter && f != emit_leave && f != emit_popa;
}

/* ---- appending ---- */

static void append(struct gen *g, const struct encoding *enc)
{
    struct test_case *c = g->c;
    struct case_insn *ci = &c->insn[c->num_insns++];

    *ci = (struct case_insn){ .off = (uint16_t)c->code_len, .len = (uint8_t)enc->len, .row = enc->insn.row };
    memcpy(c->code + c->code_len, enc->code, enc->len);
    c->code_len += enc->len;
    c->insn[c->num_insns] = (struct case_insn){ .off = (uint16_t)c->code_len };
}

static void drop_last(struct test_case *c)
{
    c->code_len = c->insn[--c->num_insns].off;
    c->insn[c->num_insns] = (struct case_insn){ .off = (uint16_t)c->code_len };
}

/* ---- one instruction ---- */

static void ignore(struct test_case *c, unsigned n, uint64_t linear, unsigned len)
{
    if (linear >= DATA_LIN && linear < RO_LIN) {
        c->ignore[n].off = (unsigned)(linear - DATA_LIN);
        c->ignore[n].len = len;
    }
}

/* Where instruction and operand pointers are stored, and MXCSR_MASK. */
static void ignore_pointers(struct gen *g, const struct insn *insn)
{
    if (insn->row->emit == emit_fxstate) {
        ignore(g->c, 0, g->target + 6, 18);
        ignore(g->c, 1, g->target + 28, 4);
    } else if (insn->row->emit == emit_x87_env) {
        if (insn->opsize == 2)
            ignore(g->c, 0, g->target + 6, 8);
        else
            ignore(g->c, 0, g->target + 12, 16);
    }
}

/* LOCK where it is not allowed, or too many prefixes. */
static void spoil(struct gen *g, struct encoding *enc)
{
    unsigned n = rng_percent(&g->r, 50) ? 1 : 15 - enc->len + rng_below(&g->r, 2);
    uint8_t byte = n == 1 ? 0xf0 : 0x3e;

    memmove(enc->code + n, enc->code, sizeof(enc->code) - n);
    memset(enc->code, byte, n);
    enc->len += n;
    if (insn_decode(&enc->insn, enc->code, enc->len, g->bits) != DECODE_OK)
        enc->insn.row = NULL;
}

/* What processors of different makers do differently. */
static bool comparable(const struct insn *insn)
{
    return insn->has_mem || insn->row->opcode != 0x0f0d; /* AMD's refuse PREFETCHW of a register */
}

static bool generate_single(struct gen *g, const struct opcode *row)
{
    struct encoding enc;
    unsigned attempts = 0;

    do {
        if (++attempts > 20 || !encode_row(&g->r, row, g->bits, &enc))
            return false;
        g->pinned = 0;
    } while (!comparable(&enc.insn) || !operands_steer(g, &enc));
    ignore_pointers(g, &enc.insn);
    if (enc.len < 14 && !enc.insn.has_mem && !is_relative_branch(row) && rng_percent(&g->r, 1))
        spoil(g, &enc);
    append(g, &enc);
    return true;
}

/* ---- sequences ---- */

static void note_written(struct gen *g, const struct insn *insn)
{
    for (unsigned i = 0; i < 3; i++)
        if (insn->op[i].class == OC_REG)
            g->written |= 1u << insn->op[i].reg;
    g->written |= 1u << R_AX | 1u << R_CX | 1u << R_DX;
}

static bool writes_stack_pointer(const struct insn *insn)
{
    return (insn->op[0].class == OC_REG && insn->op[0].reg == R_SP && !insn->op[0].high_byte) ||
           (insn->op[1].class == OC_REG && insn->op[1].reg == R_SP && !insn->op[1].high_byte);
}

static bool encode_step(struct gen *g, const struct opcode *row, struct encoding *enc)
{
    for (unsigned i = 0; i < 20; i++) {
        struct image saved = g->c->in;
        uint32_t pinned = g->pinned;
        if (!encode_row(&g->r, row, g->bits, enc))
            return false;
        if (!comparable(&enc->insn))
            continue;
        if (row->emit == emit_double_shift && enc->insn.opsize == 2 && enc->insn.op[2].class == OC_REG)
            continue;
        if ((!writes_stack_pointer(&enc->insn) || rng_percent(&g->r, 3)) && operands_steer(g, enc))
            return true;
        g->c->in = saved;
        g->pinned = pinned;
    }
    return false;
}

static const struct opcode *pick_row(struct gen *g)
{
    const struct opcode *row;

    do
        row = &cpu_opcodes[rng_below(&g->r, cpu_num_opcodes)];
    while (row_excluded(row, g->bits) || !fits_sequence(row));
    return row;
}

/* CMP AL, imm8 defines every flag and changes nothing else. */
static void append_compare(struct gen *g)
{
    struct encoding enc = { .code = { 0x3c, (uint8_t)rng_next(&g->r) }, .len = 2 };

    insn_decode(&enc.insn, enc.code, 2, g->bits);
    append(g, &enc);
}

static void append_step(struct gen *g)
{
    struct encoding enc;

    g->at = case_rip(g->c) + g->c->code_len;
    if (!encode_step(g, pick_row(g), &enc))
        return;
    append(g, &enc);
    if (!flags_follow(g->c)) {
        /* The second encoding is two bytes further on: only what does not depend on its own address may move. */
        drop_last(g->c);
        append_compare(g);
        if (enc.insn.base == REG_RIP)
            return;
        append(g, &enc);
        if (!flags_follow(g->c)) {
            drop_last(g->c);
            return;
        }
    }
    note_written(g, &enc.insn);
}

/* Jumps go forward, to the start of an instruction or to the end. */
static void set_target(struct test_case *c, unsigned n, unsigned to)
{
    struct case_insn *ci = &c->insn[n];
    struct insn insn;
    int disp = c->insn[to].off - (ci->off + ci->len);
    unsigned size;

    insn_decode(&insn, c->code + ci->off, INSN_MAX_LEN, env_bits(c->env));
    size = ci->row->op[0] == O_Jb ? 1 : insn.opsize == 2 ? 2 : 4;
    if (size == 1 && disp > 127) {
        disp = 0;
        to = n + 1;
    }
    store_le(c->code + ci->off + ci->len - size, size, (uint64_t)(int64_t)disp);
    ci->target = (uint8_t)to;
}

static void set_targets(struct gen *g, bool all_next)
{
    struct test_case *c = g->c;

    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->insn[i].row && is_relative_branch(c->insn[i].row))
            set_target(c, i, all_next ? i + 1 : i + 1 + rng_below(&g->r, MIN_OF(c->num_insns - i, 4u)));
}

static bool generate_sequence(struct gen *g)
{
    unsigned steps = 2 + rng_below(&g->r, 19);

    for (unsigned i = 0; i < steps && g->c->num_insns + 2 < CASE_MAX_INSNS; i++)
        append_step(g);
    set_targets(g, false);
    if (!flags_follow(g->c))
        set_targets(g, true);
    return g->c->num_insns > 0;
}

/* ---- all ---- */

/* Some code crosses from the first page into the second, some runs out of the area. */
static unsigned pick_code_offset(struct rng *r)
{
    unsigned n = rng_below(r, 100);

    if (n < 8)
        return 0x1000 - 1 - rng_below(r, 12);
    if (n < 9)
        return CODE_SIZE - 1 - rng_below(r, 12);
    return 16 + rng_below(r, CODE_SIZE - CASE_MAX_CODE - 32);
}

bool generate_case(struct test_case *c, uint64_t seed, uint64_t index, const struct opcode *row, enum env env)
{
    struct gen g = { .c = c, .single = row, .bits = env_bits(env) };

    memset(c, 0, sizeof(*c));
    g.r.state = seed ^ index * UINT64_C(0xd1342543de82ef95);
    rng_next(&g.r);
    c->seed = seed;
    c->index = index;
    c->env = env;
    c->code_off = pick_code_offset(&g.r);
    g.at = case_rip(c);
    state_random(&g);
    if (row ? !generate_single(&g, row) : !generate_sequence(&g))
        return false;
    flags_follow(c);
    return true;
}
