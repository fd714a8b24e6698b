/* From a row (or none: a sequence) and a seed to a test case. */
#include "tests/insn/insn.h"

typedef void emit_fn(struct emit *e);
emit_fn emit_ret, emit_call_indirect, emit_jmp_indirect, emit_fxstate, emit_x87_env, emit_double_shift,
    emit_mov_to_sreg, emit_pop_sreg, emit_load_far_pointer, emit_far_direct, emit_far_indirect, emit_far_ret,
    emit_iret, emit_verify, emit_lar, emit_lsl,
    emit_enter, emit_leave, emit_popa, emit_in, emit_out, emit_ins, emit_outs, emit_cli, emit_sti, emit_hlt,
    emit_mov_from_sreg, emit_push_sreg, emit_pushf, emit_popf, emit_into,
    emit_wrbase, emit_xsave, emit_xrstor;

/* ---- what is left out ---- */

/* System rows that always fault in a process, or show it only what is the same on both sides. */
static bool runs_nevertheless(const struct opcode *row)
{
    static emit_fn *const fns[] = { emit_in, emit_out, emit_ins, emit_outs, emit_cli, emit_sti, emit_hlt,
                                    emit_mov_from_sreg, emit_push_sreg, emit_pushf, emit_popf, emit_into };

    for (unsigned i = 0; i < ARRAY_LEN(fns); i++)
        if (row->emit == fns[i])
            return true;
    /* Of UD0 and UD1 not all processors read the ModRM byte. */
    return (row->flags & OPF_CPL0) || row->opcode == 0x0f0b;
}

const char *row_excluded(const struct host_cpu *cpu, const struct opcode *row, unsigned bits)
{
    if (!(row->flags & OPF_HOST) && !runs_nevertheless(row))
        return "depends on the operating system's tables, time or model";
    if (!cpu->has[row->feature])
        return "the host lacks it";
    if (row->flags & (bits == 64 ? OPF_I64 : OPF_O64))
        return "does not exist there";
    return NULL;
}

static bool is_relative_branch(const struct opcode *row)
{
    return row->op[0] == O_Jb || row->op[0] == O_Jz;
}

/* Rows that only stand alone: what they store is not all compared, they leave the sequence, or they take selectors,
 * of which not all of the host's are known. */
static bool fits_sequence(const struct opcode *row, unsigned bits)
{
    static emit_fn *const alone[] = {
        emit_ret, emit_call_indirect, emit_jmp_indirect, emit_fxstate, emit_wrbase, emit_xsave, emit_xrstor,
        emit_enter, emit_leave, emit_popa, emit_verify, emit_lar, emit_lsl, emit_mov_to_sreg, emit_pop_sreg,
        emit_load_far_pointer, emit_far_direct, emit_far_indirect, emit_far_ret, emit_iret,
    };

    for (unsigned i = 0; i < ARRAY_LEN(alone); i++)
        if (row->emit == alone[i])
            return false;
    return (row->flags & OPF_HOST) && !(row->emit == emit_x87_env && bits == 64);
}

/* ---- appending ---- */

static void append(struct gen *g, const struct encoding *enc)
{
    struct test_case *c = g->c;
    struct case_insn *ci = &c->insn[c->num_insns++];

    *ci = (struct case_insn){ .off = (uint16_t)c->code_len, .len = (uint8_t)enc->len, .target = NO_TARGET,
                              .row = enc->insn.row };
    memcpy(c->code + c->code_len, enc->code, enc->len);
    c->code_len += enc->len;
    c->insn[c->num_insns] = (struct case_insn){ .off = (uint16_t)c->code_len, .target = NO_TARGET };
}

static void drop_last(struct test_case *c)
{
    c->code_len = c->insn[--c->num_insns].off;
    c->insn[c->num_insns] = (struct case_insn){ .off = (uint16_t)c->code_len, .target = NO_TARGET };
}

/* ---- one instruction ---- */

static void ignore(struct test_case *c, unsigned n, uint64_t linear, unsigned len)
{
    if (linear >= DATA_LIN && linear < RO_LIN) {
        c->ignore[n].off = (unsigned)(linear - DATA_LIN);
        c->ignore[n].len = len;
    }
}

/* MXCSR_MASK, and the x87 pointers, which AMD's processors save for a pending exception only. */
static void ignore_pointers(struct gen *g, const struct insn *insn)
{
    if (insn->row->emit != emit_fxstate && insn->row->emit != emit_xsave)
        return;
    if (host_is_amd() && !(load_le(g->c->in.fx + FX_FSW, 2) & 0x80))
        ignore(g->c, 0, g->target + FX_FOP, FX_MXCSR - FX_FOP);
    ignore(g->c, 1, g->target + FX_MXCSR + 4, 4);
}

/* A branch would go elsewhere; LOCK before MOV CR0 means CR8 on AMD's processors. */
static bool can_spoil(const struct opcode *row)
{
    return !is_relative_branch(row) && row->op[0] != O_Cy && row->op[1] != O_Cy;
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
    unsigned opcode = insn->row->opcode;
    bool far_pointer64 = (insn->row->emit == emit_load_far_pointer || insn->row->emit == emit_far_indirect) &&
                         insn->opsize == 8;
    bool moves_dword = (insn->row->flags & OPF_VEX) && (opcode == 0x0f3a22 || opcode == 0x0f3a16);

    /* AMD's refuse PREFETCHW of a register, and VPINSRD and VPEXTRD with VEX.W = 1 outside 64-bit code. For
     * MOVSXD to 16 bits they read 32, and they have no far pointers with an offset of 64 bits. */
    return !(opcode == 0x0f0d && !insn->has_mem) && !far_pointer64 &&
           !(opcode == 0x63 && insn->bits == 64 && insn->has_mem && insn->opsize == 2) &&
           !(moves_dword && insn->bits != 64 && (insn->rex & REX_W));
}

static bool generate_single(struct gen *g, const struct opcode *row)
{
    struct encoding enc;
    unsigned attempts = 0;
    bool inside;

    do {
        if (++attempts > 20 || !encode_row(g, row, &enc))
            return false;
        g->pinned = 0;
    } while (!comparable(&enc.insn) || !operands_steer(g, &enc));
    ignore_pointers(g, &enc.insn);
    /* At the area's end the fetch fault or #UD may come first. */
    inside = g->c->code_off < CODE_SIZE - 32;
    if (inside && enc.len < 14 && !enc.insn.has_mem && can_spoil(row) && rng_percent(&g->r, 1))
        spoil(g, &enc);
    else if (inside && (row->flags & OPF_VEX) && rng_percent(&g->r, 3))
        encode_spoil_vex(&g->r, &enc, g->bits);
    append(g, &enc);
    return true;
}

/* ---- sequences ---- */

static void note_written(struct gen *g, const struct insn *insn)
{
    for (unsigned i = 0; i < 4; i++) {
        if (insn->op[i].class == OC_REG)
            g->written |= 1u << insn->op[i].reg;
        if (insn->op[i].class == OC_XMM)
            g->vec_written |= 1u << insn->op[i].reg;
    }
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
        if (!encode_row(g, row, enc))
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
    while (row_excluded(g->cpu, row, g->bits) || !fits_sequence(row, g->bits));
    return row;
}

static void append_bytes(struct gen *g, const uint8_t *code, unsigned len)
{
    struct encoding enc = { .len = len };

    memcpy(enc.code, code, len);
    insn_decode(&enc.insn, enc.code, len, g->bits);
    append(g, &enc);
}

/* CMP AL, imm8 defines every flag and changes nothing else. */
static void append_compare(struct gen *g)
{
    append_bytes(g, (uint8_t[]){ 0x3c, (uint8_t)rng_next(&g->r) }, 2);
}

static void append_step(struct gen *g)
{
    struct encoding enc;

    g->at = case_rip(g->c) + g->c->code_len;
    if (!encode_step(g, pick_row(g), &enc))
        return;
    append(g, &enc);
    if (!flags_follow(g->c)) {
        /* It moves by two bytes: only what does not depend on its own address may. */
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

/* To the start of an instruction or the end. */
static void set_target(struct test_case *c, unsigned n, unsigned to)
{
    struct case_insn *ci = &c->insn[n];
    struct insn insn;
    int disp = c->insn[to].off - (ci->off + ci->len);
    unsigned size;

    insn_decode(&insn, c->code + ci->off, INSN_MAX_LEN, env_bits(c->env));
    size = ci->row->op[0] == O_Jb ? 1 : insn.opsize == 2 ? 2 : 4;
    if (size == 1 && disp != (int8_t)disp) {
        disp = 0;
        to = n + 1;
    }
    store_le(c->code + ci->off + ci->len - size, size, (uint64_t)(int64_t)disp);
    ci->target = (uint8_t)to;
}

/* Jumps in [from, to) go forward, at most to `to`. */
static void set_targets(struct gen *g, unsigned from, unsigned to, bool all_next)
{
    struct test_case *c = g->c;

    for (unsigned i = from; i < to; i++)
        if (c->insn[i].row && is_relative_branch(c->insn[i].row))
            set_target(c, i, all_next ? i + 1 : i + 1 + rng_below(&g->r, MIN_OF(to - i, 4u)));
}

/* A piece of straight code with jumps forward. */
static void append_piece(struct gen *g, unsigned steps)
{
    unsigned from = g->c->num_insns;

    for (unsigned i = 0; i < steps && g->c->num_insns + 6 < CASE_MAX_INSNS; i++)
        append_step(g);
    set_targets(g, from, g->c->num_insns, false);
    if (!flags_follow(g->c))
        set_targets(g, from, g->c->num_insns, true);
}

/* A register that the code so far neither writes nor counts on; R_SP: there is none. */
static unsigned free_register(struct gen *g)
{
    static const uint8_t candidates[] = { 15, 14, 13, 12, 11, 10, 9, 8, R_BX, R_BP };

    for (unsigned i = g->bits == 64 ? 0 : 8; i < ARRAY_LEN(candidates); i++)
        if (settable(g, candidates[i]))
            return candidates[i];
    return R_SP;
}

/* What stands there again, a few times or often enough to become hot: DEC reg; JNZ to its start. */
static void append_loop(struct gen *g)
{
    struct test_case *c = g->c;
    unsigned reg = free_register(g);

    if (reg == R_SP || !c->num_insns)
        return;
    c->in.gpr[reg] = rng_percent(&g->r, 90) ? 1 + rng_below(&g->r, 6) : 200;
    g->written |= 1u << reg;
    if (g->bits == 64)
        append_bytes(g, (uint8_t[]){ 0x48 | reg >> 3, 0xff, 0xc8 | (reg & 7) }, 3);
    else
        append_bytes(g, (uint8_t[]){ 0xff, 0xc8 | (reg & 7) }, 2);
    append_bytes(g, (uint8_t[]){ 0x0f, 0x85, 0, 0, 0, 0 }, g->bits == 16 ? 4 : 6);
    set_target(c, c->num_insns - 1, 0);
    if (!flags_follow(c)) {
        /* The code's start reads what its end leaves undefined. */
        drop_last(c);
        append_compare(g);
    }
}

static void generate_loop(struct gen *g)
{
    append_piece(g, 1 + rng_below(&g->r, rng_percent(&g->r, 70) ? 8 : 40));
    append_loop(g);
}

/* CALL over a piece to a subroutine, which is another piece and returns; perhaps in a loop. */
static void generate_call(struct gen *g)
{
    struct test_case *c = g->c;
    unsigned call = 0, jump, end_of_first;

    append_bytes(g, (uint8_t[]){ 0xe8, 0, 0, 0, 0 }, g->bits == 16 ? 3 : 5);
    append_piece(g, rng_below(&g->r, 6));
    end_of_first = jump = c->num_insns;
    append_bytes(g, (uint8_t[]){ 0xe9, 0, 0, 0, 0 }, g->bits == 16 ? 3 : 5);
    set_target(c, call, c->num_insns);
    append_piece(g, rng_below(&g->r, 6));
    append_bytes(g, (uint8_t[]){ 0xc3 }, 1);
    c->insn[c->num_insns - 1].target = 1;
    set_target(c, jump, c->num_insns);
    if (!flags_follow(c)) {
        set_targets(g, 1, end_of_first, true);
        drop_last(c);
        set_target(c, jump, c->num_insns);
    } else if (rng_percent(&g->r, 50)) {
        append_loop(g);
    }
}

static bool generate_sequence(struct gen *g)
{
    unsigned shape = rng_below(&g->r, 10);

    if (shape < 3)
        generate_loop(g);
    else if (shape < 5)
        generate_call(g);
    else
        append_piece(g, 2 + rng_below(&g->r, rng_percent(&g->r, 60) ? 12 : 49));
    return g->c->num_insns && flags_follow(g->c);
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

bool generate_case(struct test_case *c, const struct host_cpu *cpu, uint64_t seed, uint64_t index,
                   const struct opcode *row, enum env env)
{
    struct gen g = { .c = c, .cpu = cpu, .single = row, .bits = env_bits(env) };

    memset(c, 0, sizeof(*c));
    c->insn[0].target = NO_TARGET;
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
