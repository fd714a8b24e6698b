/* Which flags an instruction reads, writes and leaves undefined, so that what is
 * undefined is neither compared nor used. */
#include "tests/insn/insn.h"

#define ALL6 (FL_OF | FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)

typedef void emit_fn(struct emit *e);
emit_fn emit_call, emit_ret;
emit_fn emit_alu, emit_neg, emit_test, emit_inc, emit_sahf, emit_lahf, emit_carry, emit_bt, emit_mul,
    emit_imul, emit_ucomi, emit_comi, emit_cmpxchg, emit_xadd, emit_jcc, emit_cmov, emit_setcc, emit_rotate,
    emit_rotate_carry, emit_shift, emit_double_shift, emit_loop, emit_salc, emit_decimal, emit_ascii,
    emit_x87_cmov, emit_aam, emit_aad, emit_pushf, emit_into, emit_x87_compare, emit_x87_ffree,
    emit_x87_stsw, emit_x87_env, emit_x87_arith, emit_x87_arith_mem, emit_x87_load, emit_x87_const,
    emit_x87_exchange, emit_adcx, emit_adox, emit_zero_count, emit_popcnt, emit_andn, emit_bls, emit_bzhi,
    emit_bextr;

static uint32_t condition_reads(unsigned cc)
{
    static const uint32_t reads[8] = { FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF, FL_SF | FL_OF,
                                       FL_SF | FL_OF | FL_ZF };

    return reads[cc >> 1 & 7];
}

static uint32_t flags_read(const struct opcode *row)
{
    emit_fn *f = row->emit;

    if (f == emit_jcc || f == emit_cmov || f == emit_setcc || f == emit_x87_cmov)
        return condition_reads(row->arg);
    if (f == emit_alu)
        return row->arg == 2 || row->arg == 3 ? FL_CF : 0;
    if (f == emit_rotate_carry || f == emit_salc || f == emit_adcx || (f == emit_carry && row->arg == 2))
        return FL_CF;
    if (f == emit_loop)
        return row->arg < 2 ? FL_ZF : 0;
    if (f == emit_lahf)
        return ALL6 & ~FL_OF;
    if (f == emit_into || f == emit_adox)
        return FL_OF;
    if (f == emit_pushf)
        return ALL6;
    if (f == emit_x87_stsw || f == emit_x87_env)
        return TAINT_C1;
    return f == emit_decimal || f == emit_ascii ? FL_AF | FL_CF : 0;
}

/* Only what is written whatever the operands; `undef` is taken off by the caller. */
static uint32_t flags_written(const struct opcode *row)
{
    emit_fn *f = row->emit;

    if (f == emit_alu || f == emit_neg || f == emit_test || f == emit_mul || f == emit_imul ||
        f == emit_ucomi || f == emit_comi || f == emit_cmpxchg || f == emit_xadd || f == emit_decimal ||
        f == emit_ascii || f == emit_aam || f == emit_aad || f == emit_zero_count || f == emit_popcnt ||
        f == emit_andn || f == emit_bls || f == emit_bzhi || f == emit_bextr)
        return ALL6;
    if (f == emit_inc)
        return ALL6 & ~FL_CF;
    if (f == emit_sahf)
        return ALL6 & ~FL_OF;
    if (f == emit_x87_arith || f == emit_x87_arith_mem || f == emit_x87_load || f == emit_x87_const ||
        f == emit_x87_exchange)
        return TAINT_C1;
    if (f == emit_adox)
        return FL_OF;
    return f == emit_carry || f == emit_bt || f == emit_adcx ? FL_CF : 0;
}

static bool is_any_shift(const struct opcode *row)
{
    return row->emit == emit_shift || row->emit == emit_rotate || row->emit == emit_rotate_carry ||
           row->emit == emit_double_shift;
}

/* The count as masked by the processor; -1: unknown. */
static int shift_count(const struct insn *insn, int cl)
{
    unsigned last = insn->row->emit == emit_double_shift ? 2 : 1;
    int count = insn->op[last].class == OC_IMM ? (int)(insn->imm & 0xff) : cl;

    return count < 0 ? -1 : count & (insn->op[0].size == 8 ? 63 : 31);
}

/* The table says what is undefined for some counts; here for this one. */
static uint32_t shift_undef(const struct insn *insn, int count)
{
    uint32_t undef = insn->row->undef;

    if (count < 0)
        return undef;
    if (count == 0)
        return 0;
    if (count == 1)
        undef &= ~(uint32_t)FL_OF;
    if (insn->row->emit == emit_shift && (count < 8 * insn->op[0].size || insn->row->arg == 7))
        undef &= ~(uint32_t)FL_CF;
    if (insn->row->emit == emit_double_shift && count <= 8 * insn->op[0].size)
        undef &= ~(uint32_t)FL_CF;
    return undef;
}

/* With a count that is known and not 0. */
static uint32_t shift_written(const struct insn *insn, int count)
{
    bool rotates = insn->row->emit == emit_rotate || insn->row->emit == emit_rotate_carry;

    return count <= 0 ? 0 : rotates ? FL_CF | FL_OF : ALL6;
}

/* FFREE leaves C1 undefined. The SDM has FCOMI clear it; AMD's processors leave it alone. */
static uint32_t c1_undef(const struct opcode *row)
{
    return row->emit == emit_x87_ffree || (row->emit == emit_x87_compare && host_is_amd()) ? TAINT_C1 : 0;
}

struct flag_use flags_of_insn(const struct insn *insn, int cl)
{
    const struct opcode *row = insn->row;
    struct flag_use use = { .reads = flags_read(row), .writes = flags_written(row),
                            .undef = row->undef | c1_undef(row) };

    if (is_any_shift(row)) {
        use.undef = shift_undef(insn, shift_count(insn, cl));
        use.writes = shift_written(insn, shift_count(insn, cl));
    }
    use.writes &= ~use.undef;
    return use;
}

/* RET may lead behind any call. */
static void follow_return(struct test_case *c, uint32_t taint)
{
    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->insn[i].row && c->insn[i].row->emit == emit_call)
            c->insn[i + 1].taint |= taint;
}

/* Once through the code. */
static bool follow_once(struct test_case *c)
{
    unsigned bits = env_bits(c->env);
    int cl = c->num_insns == 1 ? (int)(c->in.gpr[R_CX] & 0xff) : -1;
    struct flag_use use;
    struct insn insn;

    for (unsigned i = 0; i < c->num_insns; i++) {
        const struct case_insn *ci = &c->insn[i];
        uint32_t after = ci->taint;
        if (ci->row) {
            insn_decode(&insn, c->code + ci->off, INSN_MAX_LEN, bits);
            use = flags_of_insn(&insn, cl);
            if (use.reads & ci->taint)
                return false;
            after = (ci->taint & ~use.writes) | use.undef;
        }
        c->insn[i + 1].taint |= after;
        if (ci->target != NO_TARGET)
            c->insn[ci->target].taint |= after;
        if (ci->row && ci->row->emit == emit_ret)
            follow_return(c, after);
    }
    return true;
}

/* Three times: what a jump back brings goes through the loop, and round its end once more. */
bool flags_follow(struct test_case *c)
{
    for (unsigned i = 0; i <= c->num_insns; i++)
        c->insn[i].taint = 0;
    return follow_once(c) && follow_once(c) && follow_once(c);
}
