/* IR for x87: checks inline, the work in helpers on struct fpu. */
#include "cpu/emit.h"
#include "cpu/x87.h"

void emit_cvt_from_mmx(struct emit *e);

#define OFF_FPU(member) offsetof(struct cpu, fpu.member)

void emit_x87_env(struct emit *e);
void emit_x87_ldcw(struct emit *e);

static ir_ref c32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static unsigned sti(const struct emit *e)
{
    return e->insn->modrm & 7;
}

static ir_ref spec(struct emit *e, uint32_t bits)
{
    return c32(e, bits | sti(e) << XS_STI_SHIFT);
}

static void check_pending(struct emit *e)
{
    ir_ref pending = ir_zext(e->b, IR_I32, ir_lde(e->b, IR_I8, OFF_FPU(pending)));

    ir_trapif(e->b, pending, HELP_fpu_error, 0);
}

/* A pending x87 exception before an x87 or MMX instruction that waits (SDM vol. 1, 8.7). */
void emit_fpu_checks(struct emit *e)
{
    const struct opcode *row = e->insn->row;

    /* CVTPI2PS and CVTPI2PD from memory do not enter MMX state. */
    if (row->emit == emit_cvt_from_mmx && e->insn->has_mem)
        return;
    if (!(row->flags & OPF_NOWAIT))
        check_pending(e);
}

/* WAIT: #NM by MP and TS, then the pending exception. */
void emit_x87_wait(struct emit *e)
{
    if ((e->mode & (MODE_MP | MODE_TS)) == (MODE_MP | MODE_TS)) {
        emit_raise(e, EX_NM);
        return;
    }
    check_pending(e);
}

static void store_selector(struct emit *e, unsigned field, unsigned seg)
{
    ir_ref sel = e->mode & MODE_CODE64 ? ir_const(e->b, IR_I16, 0)
                                       : ir_lde(e->b, IR_I16, (unsigned)offsetof(struct cpu, seg[seg].selector));

    ir_ste(e->b, IR_I16, field, sel);
}

void emit_fpu_done(struct emit *e)
{
    const struct insn *i = e->insn;
    enum ir_type ip = e->mode & MODE_CODE64 ? IR_I64 : IR_I32;
    ir_ref pc;

    if ((i->row->flags & OPF_NOWAIT) || i->row->emit == emit_x87_env || i->row->emit == emit_x87_ldcw)
        return;
    pc = ir_zext(e->b, IR_I64, ir_pc(e->b, ip, e->pc_off));
    ir_ste(e->b, IR_I64, OFF_FPU(fip), pc);
    store_selector(e, OFF_FPU(fcs), S_CS);
    ir_ste(e->b, IR_I16, OFF_FPU(fop), ir_const(e->b, IR_I16, (i->opcode & 7u) << 8 | i->modrm));
    if (i->has_mem) {
        ir_ste(e->b, IR_I64, OFF_FPU(fdp), ir_zext(e->b, IR_I64, emit_ea(e)));
        store_selector(e, OFF_FPU(fds), i->seg);
    }
}

static unsigned kind_of_operand(const struct emit *e)
{
    switch (e->insn->row->op[0]) {
    case O_Mf32:
        return XK_F32;
    case O_Mf64:
        return XK_F64;
    case O_Mi16:
        return XK_I16;
    case O_Mi32:
        return XK_I32;
    default:
        return XK_I64;
    }
}

static unsigned kind_size(unsigned kind)
{
    return kind == XK_I16 ? 2 : kind == XK_F32 || kind == XK_I32 ? 4 : 8;
}

/* The memory operand's raw bits, zero-extended to 64. */
static ir_ref load_raw(struct emit *e, unsigned kind)
{
    unsigned size = kind_size(kind);
    ir_ref addr = emit_mem(e, 0, size, false);

    return ir_zext(e->b, IR_I64, ir_ld(e->b, emit_type(size), addr, emit_mem_flags(e)));
}

static uint32_t segment_bits(const struct emit *e)
{
    unsigned mem = emit_mem_flags(e);

    return (mem & IR_MEM_STACK ? XS_STACK : 0) | (mem & IR_MEM_FLAT ? XS_FLAT : 0);
}

#define MEM_HELPERS(name) \
    { HELP_x87_##name##_f32, HELP_x87_##name##_f64, HELP_x87_##name##_i16, HELP_x87_##name##_i32 }

void emit_x87_arith_mem(struct emit *e)
{
    static const uint16_t helpers[8][4] = {
        MEM_HELPERS(add), MEM_HELPERS(mul), MEM_HELPERS(com), MEM_HELPERS(com),
        MEM_HELPERS(sub), MEM_HELPERS(subr), MEM_HELPERS(div), MEM_HELPERS(divr),
    };
    static const uint8_t column[] = { [XK_F32] = 0, [XK_F64] = 1, [XK_I16] = 2, [XK_I32] = 3 };
    unsigned kind = kind_of_operand(e), op = e->insn->row->arg;
    ir_ref raw = load_raw(e, kind);
    uint32_t bits = op | (op == X87_COMP ? XS_POP : 0) | kind << XS_KIND_SHIFT;

    ir_call(e->b, helpers[op][column[kind]], c32(e, bits), raw, 0, 0);
}

static unsigned arith_helper(unsigned op)
{
    static const uint16_t helpers[8] = {
        HELP_x87_add, HELP_x87_mul, HELP_x87_com, HELP_x87_com,
        HELP_x87_sub, HELP_x87_subr, HELP_x87_div, HELP_x87_divr,
    };

    return op == X87_UCOM ? HELP_x87_ucom : helpers[op];
}

void emit_x87_arith(struct emit *e)
{
    unsigned arg = e->insn->row->arg, op = arg & XS_OP;

    ir_call(e->b, arith_helper(op), spec(e, arg | (op == X87_COMP ? XS_POP : 0)), 0, 0, 0);
}

/* FCOMPP, FUCOMPP: always with ST(1). */
void emit_x87_compare_pop2(struct emit *e)
{
    unsigned arg = e->insn->row->arg;

    ir_call(e->b, arith_helper(arg), c32(e, arg | 1 << XS_STI_SHIFT | XS_POP2), 0, 0, 0);
}

void emit_x87_compare(struct emit *e)
{
    bool quiet = (e->insn->row->arg & XS_OP) == X87_UCOM;
    ir_ref fl = ir_call(e->b, quiet ? HELP_x87_ucomi : HELP_x87_comi, spec(e, e->insn->row->arg), 0, 0, 0);

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, fl, 0, 0));
}

void emit_x87_unary(struct emit *e)
{
    static const uint16_t fast[X87_NUM_OPS] = {
        [X87_SQRT] = HELP_x87_sqrt, [X87_RNDINT] = HELP_x87_rndint,
        [X87_CHS] = HELP_x87_chs, [X87_ABS] = HELP_x87_abs,
    };
    unsigned op = e->insn->row->arg;

    if (fast[op])
        ir_call(e->b, fast[op], 0, 0, 0, 0);
    else
        ir_call(e->b, HELP_x87_unary, c32(e, op), 0, 0, 0);
}

void emit_x87_xam(struct emit *e)
{
    ir_call(e->b, HELP_x87_xam, 0, 0, 0, 0);
}

void emit_x87_const(struct emit *e)
{
    ir_call(e->b, HELP_x87_const, c32(e, e->insn->row->arg), 0, 0, 0);
}

void emit_x87_nop(struct emit *e)
{
    (void)e;
}

void emit_x87_load(struct emit *e)
{
    static const uint16_t helpers[] = {
        [XK_F32] = HELP_x87_load_f32, [XK_F64] = HELP_x87_load_f64,
        [XK_I16] = HELP_x87_load_i16, [XK_I32] = HELP_x87_load_i32, [XK_I64] = HELP_x87_load_i64,
    };
    ir_ref raw = load_raw(e, e->insn->row->arg);

    ir_call(e->b, helpers[e->insn->row->arg], c32(e, e->insn->row->arg << XS_KIND_SHIFT), raw, 0, 0);
}

void emit_x87_load80(struct emit *e)
{
    ir_ref addr = emit_mem(e, 0, 10, false);
    ir_ref mant = ir_ld(e->b, IR_I64, addr, emit_mem_flags(e));
    ir_ref high = ir_bini(e->b, IR_ADD, ir_type_of(e->b, addr), addr, 8);
    ir_ref exp = ir_zext(e->b, IR_I32, ir_ld(e->b, IR_I16, high, emit_mem_flags(e)));

    ir_call(e->b, HELP_x87_load80, mant, exp, 0, 0);
}

static ir_ref addr64(struct emit *e, unsigned size, bool write)
{
    return ir_zext(e->b, IR_I64, emit_mem(e, 0, size, write));
}

void emit_x87_load_bcd(struct emit *e)
{
    ir_call(e->b, HELP_x87_load_bcd, c32(e, segment_bits(e)), addr64(e, 10, false), 0, 0);
}

void emit_x87_load_sti(struct emit *e)
{
    ir_call(e->b, HELP_x87_load_sti, c32(e, sti(e)), 0, 0, 0);
}

void emit_x87_store(struct emit *e)
{
    static const uint16_t helpers[] = {
        [XK_F32] = HELP_x87_store_f32, [XK_F64] = HELP_x87_store_f64, [XK_F80] = HELP_x87_store,
        [XK_I16] = HELP_x87_store_i16, [XK_I32] = HELP_x87_store_i32, [XK_I64] = HELP_x87_store_i64,
        [XK_BCD] = HELP_x87_store,
    };
    unsigned kind = (e->insn->row->arg & XS_KIND) >> XS_KIND_SHIFT;
    unsigned size = kind == XK_F80 || kind == XK_BCD ? 10 : kind_size(kind);

    ir_call(e->b, helpers[kind], c32(e, e->insn->row->arg | segment_bits(e)), addr64(e, size, true), 0, 0);
}

void emit_x87_store_sti(struct emit *e)
{
    ir_call(e->b, HELP_x87_store_sti, spec(e, e->insn->row->arg), 0, 0, 0);
}

void emit_x87_exchange(struct emit *e)
{
    ir_call(e->b, HELP_x87_exchange, c32(e, sti(e)), 0, 0, 0);
}

void emit_x87_cmov(struct emit *e)
{
    ir_ref cond = ir_cond(e->b, e->insn->row->arg, ir_getfl(e->b));

    ir_call(e->b, HELP_x87_cmov, c32(e, sti(e)), cond, 0, 0);
}

void emit_x87_ffree(struct emit *e)
{
    ir_call(e->b, HELP_x87_ffree, c32(e, sti(e) | e->insn->row->arg), 0, 0, 0);
}

void emit_x87_misc(struct emit *e)
{
    ir_call(e->b, HELP_x87_misc, c32(e, e->insn->row->arg), 0, 0, 0);
}

void emit_x87_ldcw(struct emit *e)
{
    ir_ref cw = ir_ld(e->b, IR_I16, emit_mem(e, 0, 2, false), emit_mem_flags(e));

    ir_call(e->b, HELP_x87_ldcw, ir_zext(e->b, IR_I32, cw), 0, 0, 0);
}

void emit_x87_stcw(struct emit *e)
{
    ir_ref cw = ir_lde(e->b, IR_I16, OFF_FPU(cw));

    ir_st(e->b, IR_I16, emit_mem(e, 0, 2, true), cw, emit_mem_flags(e));
}

/* To memory or AX. */
void emit_x87_stsw(struct emit *e)
{
    ir_ref top = ir_zext(e->b, IR_I32, ir_lde(e->b, IR_I8, OFF_FPU(top)));
    ir_ref rest = ir_zext(e->b, IR_I32, ir_lde(e->b, IR_I16, OFF_FPU(sw)));
    ir_ref sw = ir_zext(e->b, IR_I16, ir_deposit(e->b, IR_I32, rest, FSW_TOP_SHIFT, 3, top));

    if (e->insn->has_mem)
        ir_st(e->b, IR_I16, emit_mem(e, 0, 2, true), sw, emit_mem_flags(e));
    else
        emit_put_reg(e, R_AX, 2, sw);
}

/* FLDENV, FNSTENV, FRSTOR, FNSAVE: arg is the helper. */
void emit_x87_env(struct emit *e)
{
    bool op32 = e->insn->opsize != 2;
    bool write = e->insn->row->arg == HELP_x87_stenv || e->insn->row->arg == HELP_x87_save;
    unsigned size = (op32 ? 28 : 14) + (e->insn->row->op[0] == O_Mstate ? 80 : 0);

    ir_call(e->b, e->insn->row->arg, c32(e, (op32 ? XS_OP32 : 0) | segment_bits(e)), addr64(e, size, write), 0, 0);
}

/* FXSAVE, FXRSTOR: arg is the helper. */
void emit_fxstate(struct emit *e)
{
    uint32_t bits = (e->insn->rex & REX_W ? XS_REX : 0) | segment_bits(e);

    ir_call(e->b, e->insn->row->arg, c32(e, bits), addr64(e, 512, e->insn->row->arg == HELP_fxsave), 0, 0);
    if (e->insn->row->arg == HELP_fxrstor)
        emit_end_next(e); /* MXCSR's masks are part of the mode */
}
