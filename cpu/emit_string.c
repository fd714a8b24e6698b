/* Emission of string instructions: one element inline, repetitions and port I/O through a helper. */
#include "cpu/emit.h"
#include "cpu/helper_int.h"

static unsigned element_size(const struct emit *e)
{
    return e->insn->mem_size;
}

static bool repeated(const struct emit *e)
{
    return e->insn->prefix & (PFX_REP | PFX_REPNE);
}

/* Single-stepping sees every element; interrupts wait for one behind an STI. */
static uint32_t string_desc(const struct emit *e)
{
    uint32_t desc = element_size(e) | (uint32_t)e->insn->addrsize << STR_ADDR_SHIFT |
                    (uint32_t)e->insn->seg << STR_SEG_SHIFT;

    if (repeated(e))
        desc |= STR_REP;
    if (e->insn->prefix & PFX_REPNE)
        desc |= STR_REPNE;
    if ((e->mode & (MODE_STEPPED | MODE_RF)) || e->in_shadow)
        desc |= STR_ONE;
    return desc;
}

/* Through the helper; it says 0 when the instruction is to be entered again. */
static void emit_repeat(struct emit *e, enum cpu_helper helper)
{
    ir_ref done = ir_call(e->b, helper, ir_const(e->b, IR_I32, string_desc(e)), 0, 0, 0);
    ir_ref again = ir_cmp(e->b, IR_CMP_EQ, IR_I32, done, ir_const(e->b, IR_I32, 0));

    emit_branch(e, again, e->pc_off);
}

/* rSI or rDI as an effective address. */
static ir_ref index_reg(struct emit *e, unsigned reg)
{
    unsigned size = e->insn->addrsize;

    return ir_zext(e->b, size == 8 ? IR_I64 : IR_I32, emit_get_reg(e, reg, size));
}

/* May a helper of whole repetitions leave the registers to the code here? An address size of 4 in 64-bit code clears
 * upper halves only where something was done. */
static bool plain_repeat(const struct emit *e)
{
    bool narrow = (e->mode & MODE_CODE64) && e->insn->addrsize != 8;

    return repeated(e) && !(e->mode & MODE_STEPPED) && !narrow;
}

static bool is_linear(const struct emit *e, unsigned seg)
{
    static const uint32_t flat[S_NUM] = { [S_ES] = MODE_FLAT_ES, [S_SS] = MODE_FLAT_SS, [S_DS] = MODE_FLAT_DS };

    return e->mode & MODE_CODE64 ? seg < S_FS : (e->mode & flat[seg]) != 0;
}

static void move_index(struct emit *e, unsigned reg, ir_ref index, ir_ref bytes)
{
    unsigned width = e->insn->addrsize;
    ir_ref v = ir_bin(e->b, IR_ADD, IR_I64, index, bytes);

    emit_put_reg(e, reg, width, ir_zext(e->b, emit_type(width), v));
}

/* A helper does elements and says how many; registers that it changes are changed here. `other`: rSI or the
 * accumulator. */
static void emit_plain_repeat(struct emit *e, enum cpu_helper helper, bool source, ir_ref other)
{
    unsigned width = e->insn->addrsize;
    bool linear = is_linear(e, S_ES) && (!source || is_linear(e, e->insn->seg));
    ir_ref desc = ir_const(e->b, IR_I32, string_desc(e) | (linear ? STR_LINEAR : 0));
    ir_ref count = ir_zext(e->b, IR_I64, emit_get_reg(e, R_CX, width));
    ir_ref di = ir_zext(e->b, IR_I64, index_reg(e, R_DI));
    ir_ref done = ir_call(e->b, helper, desc, count, di, other);
    ir_ref left = ir_bin(e->b, IR_SUB, IR_I64, count, done), bytes, back;

    back = ir_bini(e->b, IR_SHL, IR_I32, ir_lde(e->b, IR_I32, offsetof(struct cpu, eflags)), 31 - 10);
    back = ir_sext(e->b, IR_I64, ir_bini(e->b, IR_SAR, IR_I32, back, 31));
    bytes = ir_bini(e->b, IR_SHL, IR_I64, done, (unsigned)__builtin_ctz(element_size(e)));
    bytes = ir_bin(e->b, IR_SUB, IR_I64, ir_bin(e->b, IR_XOR, IR_I64, bytes, back), back);
    if (source)
        move_index(e, R_SI, other, bytes);
    move_index(e, R_DI, di, bytes);
    emit_put_reg(e, R_CX, width, ir_zext(e->b, emit_type(width), left));
    emit_branch(e, ir_cmp(e->b, IR_CMP_NE, IR_I64, left, ir_const(e->b, IR_I64, 0)), (int32_t)e->pc_off);
}

static ir_ref source_addr(struct emit *e)
{
    return emit_linear(e, e->insn->seg, index_reg(e, R_SI), element_size(e), false);
}

static ir_ref dest_addr(struct emit *e, bool write)
{
    return emit_linear(e, S_ES, index_reg(e, R_DI), element_size(e), write);
}

static ir_ref load_source(struct emit *e)
{
    return ir_ld(e->b, emit_type(element_size(e)), source_addr(e), emit_mem_flags(e));
}

static ir_ref load_dest(struct emit *e)
{
    return ir_ld(e->b, emit_type(element_size(e)), dest_addr(e, false), emit_seg_flags(e, S_ES));
}

/* Move rSI or rDI by one element: + size, with DF - size. */
static void advance(struct emit *e, unsigned reg)
{
    unsigned size = element_size(e), width = e->insn->addrsize;
    enum ir_type t = emit_type(width);
    ir_ref df = ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, offsetof(struct cpu, eflags)), FL_DF);
    ir_ref back = ir_bini(e->b, IR_SHR, IR_I32, df, 10 - 1 - (unsigned)__builtin_ctz(size));
    ir_ref v = ir_bini(e->b, IR_ADD, t, emit_get_reg(e, reg, width), size);

    emit_put_reg(e, reg, width, ir_bin(e->b, IR_SUB, t, v, ir_zext(e->b, t, back)));
}

void emit_movs(struct emit *e)
{
    ir_ref v;

    if (plain_repeat(e)) {
        emit_plain_repeat(e, HELP_movs_run, true, ir_zext(e->b, IR_I64, index_reg(e, R_SI)));
        return;
    }
    if (repeated(e)) {
        emit_repeat(e, HELP_movs);
        return;
    }
    v = load_source(e);
    ir_st(e->b, emit_type(element_size(e)), dest_addr(e, true), v, emit_seg_flags(e, S_ES));
    advance(e, R_SI);
    advance(e, R_DI);
}

void emit_stos(struct emit *e)
{
    unsigned size = element_size(e);

    if (plain_repeat(e)) {
        emit_plain_repeat(e, HELP_stos_run, false, ir_zext(e->b, IR_I64, emit_get_reg(e, R_AX, size)));
        return;
    }
    if (repeated(e)) {
        emit_repeat(e, HELP_stos);
        return;
    }
    ir_st(e->b, emit_type(size), dest_addr(e, true), emit_get_reg(e, R_AX, size), emit_seg_flags(e, S_ES));
    advance(e, R_DI);
}

void emit_lods(struct emit *e)
{
    if (repeated(e)) {
        emit_repeat(e, HELP_lods);
        return;
    }
    emit_put_reg(e, R_AX, element_size(e), load_source(e));
    advance(e, R_SI);
}

void emit_cmps(struct emit *e)
{
    ir_ref x, y;

    if (repeated(e)) {
        emit_repeat(e, HELP_cmps);
        return;
    }
    x = load_source(e);
    y = load_dest(e);
    advance(e, R_SI);
    advance(e, R_DI);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_CMP, emit_type(element_size(e)), x, y, 0));
}

void emit_scas(struct emit *e)
{
    unsigned size = element_size(e);
    ir_ref y;

    if (repeated(e)) {
        emit_repeat(e, HELP_scas);
        return;
    }
    y = load_dest(e);
    advance(e, R_DI);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_CMP, emit_type(size), emit_get_reg(e, R_AX, size), y, 0));
}

/* A device may have anything to say to the run loop: the block ends behind port I/O, hot paths too. */
static void emit_port_string(struct emit *e, enum cpu_helper helper)
{
    e->trace = NULL;
    emit_repeat(e, helper);
}

void emit_ins(struct emit *e)
{
    emit_port_string(e, HELP_ins);
}

void emit_outs(struct emit *e)
{
    emit_port_string(e, HELP_outs);
}
