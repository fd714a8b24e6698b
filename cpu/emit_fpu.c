/* IR for x87: checks inline, the work in helpers on struct fpu. */
#include "cpu/emit.h"
#include "cpu/x87.h"

void emit_cvt_from_mmx(struct emit *e);

#define OFF_FPU(member) offsetof(struct cpu, fpu.member)

typedef void emit_function(struct emit *e);

emit_function emit_x87_env, emit_x87_ldcw, emit_x87_misc, emit_x87_nop;

static ir_ref c32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static unsigned sti(const struct emit *e)
{
    return e->insn->modrm & 7;
}

/* The instruction at hand as IR X87: `helper` with `spec` is its meaning. */
static uint64_t x87_imm(const struct emit *e, unsigned helper, uint32_t spec)
{
    return IR_X87_IMM(e->insn->opcode, e->insn->modrm, helper, spec);
}

static ir_ref emit_host_x87(struct emit *e, unsigned helper, uint32_t spec)
{
    e->fpu_synced = false;
    return ir_x87(e->b, x87_imm(e, helper, spec));
}

static uint32_t segment_bits(const struct emit *e)
{
    unsigned mem = emit_mem_flags(e);

    return (mem & IR_MEM_STACK ? XS_STACK : 0) | (mem & IR_MEM_FLAT ? XS_FLAT : 0);
}

static void emit_host_mem(struct emit *e, unsigned helper, uint32_t spec, unsigned size, bool write)
{
    ir_ref addr = emit_mem(e, 0, size, write);

    e->fpu_synced = false;
    ir_x87m(e->b, x87_imm(e, helper, spec | segment_bits(e)), addr, size, write);
}

/* What does not go through IR X87 finds the x87 state in the CPU structure. */
void emit_fpu_sync(struct emit *e)
{
    if (!e->fpu_synced)
        ir_x87(e->b, 0);
    e->fpu_synced = true;
}

static void check_pending(struct emit *e)
{
    ir_ref pending = ir_zext(e->b, IR_I32, ir_lde(e->b, IR_I8, OFF_FPU(pending)));

    ir_trapif(e->b, pending, HELP_fpu_error, 0);
}

/* IR X87 looks for a pending exception before anything else, except what is in its address. */
static bool checks_itself(const struct emit *e)
{
    emit_function *emit = e->insn->row->emit;

    if (emit == emit_x87_env || emit == emit_x87_misc || emit == emit_x87_nop || emit == emit_x87_ldcw)
        return false;
    return !e->insn->has_mem || (e->mode & MODE_CODE64) || (emit_mem_flags(e) & IR_MEM_FLAT);
}

/* A pending x87 exception before an x87 or MMX instruction that waits (SDM vol. 1, 8.7). */
void emit_fpu_checks(struct emit *e)
{
    const struct opcode *row = e->insn->row;

    /* CVTPI2PS and CVTPI2PD from memory do not enter MMX state. */
    if (row->emit == emit_cvt_from_mmx && e->insn->has_mem)
        return;
    if (row->flags & OPF_MMX)
        emit_fpu_sync(e);
    if (!(row->flags & OPF_NOWAIT) && ((row->flags & OPF_MMX) || !checks_itself(e)))
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

static ir_ref selector(struct emit *e, unsigned seg)
{
    return e->mode & MODE_CODE64 ? ir_const(e->b, IR_I16, 0)
                                 : ir_lde(e->b, IR_I16, (unsigned)offsetof(struct cpu, seg[seg].selector));
}

/* The first in a block stores the pc of the page's first byte; all store their offset in the page and FOP as one
 * word. */
void emit_fpu_done(struct emit *e)
{
    const struct insn *i = e->insn;
    uint32_t word = (e->block_page_off + e->pc_off) | (uint32_t)((i->opcode & 7u) << 8 | i->modrm) << 16;

    _Static_assert(offsetof(struct fpu, fop) == offsetof(struct fpu, fip_off) + 2, "one word");
    if ((i->row->flags & OPF_NOWAIT) || i->row->emit == emit_x87_env || i->row->emit == emit_x87_ldcw)
        return;
    if (!e->fpu_based) {
        enum ir_type ip = e->mode & MODE_CODE64 ? IR_I64 : IR_I32;
        ir_ref pc = ir_zext(e->b, IR_I64, ir_pc(e->b, ip, 0));
        ir_ste(e->b, IR_I64, OFF_FPU(fip), ir_bini(e->b, IR_SUB, IR_I64, pc, e->block_page_off));
        ir_ste(e->b, IR_I16, OFF_FPU(fcs), selector(e, S_CS));
        e->fpu_based = true;
    }
    ir_ste(e->b, IR_I32, OFF_FPU(fip_off), c32(e, word));
    if (i->has_mem) {
        ir_ste(e->b, IR_I64, OFF_FPU(fdp), ir_zext(e->b, IR_I64, emit_ea(e)));
        ir_ste(e->b, IR_I16, OFF_FPU(fds), selector(e, i->seg));
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

void emit_x87_arith_mem(struct emit *e)
{
    unsigned kind = kind_of_operand(e), op = e->insn->row->arg;
    uint32_t spec = op | (op == X87_COMP ? XS_POP : 0) | kind << XS_KIND_SHIFT;

    emit_host_mem(e, HELP_x87_arith_mem, spec, kind_size(kind), false);
}

void emit_x87_arith(struct emit *e)
{
    unsigned arg = e->insn->row->arg;
    bool pop = (arg & XS_OP) == X87_COMP;

    emit_host_x87(e, HELP_x87_arith, arg | sti(e) << XS_STI_SHIFT | (pop ? XS_POP : 0));
}

/* FCOMPP, FUCOMPP: always with ST(1). */
void emit_x87_compare_pop2(struct emit *e)
{
    emit_host_x87(e, HELP_x87_arith, e->insn->row->arg | 1 << XS_STI_SHIFT | XS_POP2);
}

void emit_x87_compare(struct emit *e)
{
    ir_ref fl = emit_host_x87(e, HELP_x87_compare, e->insn->row->arg | sti(e) << XS_STI_SHIFT);

    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, fl, 0, 0));
}

void emit_x87_unary(struct emit *e)
{
    emit_host_x87(e, HELP_x87_unary, e->insn->row->arg);
}

void emit_x87_xam(struct emit *e)
{
    emit_host_x87(e, HELP_x87_xam, 0);
}

void emit_x87_const(struct emit *e)
{
    emit_host_x87(e, HELP_x87_const, e->insn->row->arg);
}

void emit_x87_nop(struct emit *e)
{
    (void)e;
}

void emit_x87_load(struct emit *e)
{
    unsigned kind = e->insn->row->arg;

    emit_host_mem(e, HELP_x87_load_mem, kind << XS_KIND_SHIFT, kind_size(kind), false);
}

void emit_x87_load80(struct emit *e)
{
    emit_host_mem(e, HELP_x87_load80, 0, 10, false);
}

void emit_x87_load_bcd(struct emit *e)
{
    emit_host_mem(e, HELP_x87_load_bcd, 0, 10, false);
}

void emit_x87_load_sti(struct emit *e)
{
    emit_host_x87(e, HELP_x87_load_sti, sti(e));
}

void emit_x87_store(struct emit *e)
{
    unsigned kind = (e->insn->row->arg & XS_KIND) >> XS_KIND_SHIFT;
    unsigned size = kind == XK_F80 || kind == XK_BCD ? 10 : kind_size(kind);

    emit_host_mem(e, HELP_x87_store, e->insn->row->arg, size, true);
}

void emit_x87_store_sti(struct emit *e)
{
    emit_host_x87(e, HELP_x87_store_sti, e->insn->row->arg | sti(e) << XS_STI_SHIFT);
}

void emit_x87_exchange(struct emit *e)
{
    emit_host_x87(e, HELP_x87_exchange, sti(e));
}

/* Any condition as FCMOVNE of a boolean. */
void emit_x87_cmov(struct emit *e)
{
    ir_ref cond = ir_cond(e->b, e->insn->row->arg, ir_getfl(e->b));

    e->fpu_synced = false;
    ir_x87v(e->b, IR_X87_IMM(0xdb, 0xc8 | sti(e), HELP_x87_cmov, sti(e)), cond);
}

void emit_x87_ffree(struct emit *e)
{
    emit_host_x87(e, HELP_x87_ffree, sti(e) | e->insn->row->arg);
}

void emit_x87_misc(struct emit *e)
{
    emit_fpu_sync(e);
    ir_call(e->b, HELP_x87_misc, c32(e, e->insn->row->arg), 0, 0, 0);
    e->fpu_based = false;
}

void emit_x87_ldcw(struct emit *e)
{
    ir_ref cw = ir_ld(e->b, IR_I16, emit_mem(e, 0, 2, false), emit_mem_flags(e));

    e->fpu_synced = false;
    ir_x87v(e->b, IR_X87_IMM(0xd9, 5 << 3, HELP_x87_ldcw, 0), ir_zext(e->b, IR_I32, cw));
}

void emit_x87_stcw(struct emit *e)
{
    ir_ref cw = ir_lde(e->b, IR_I16, OFF_FPU(cw));

    ir_st(e->b, IR_I16, emit_mem(e, 0, 2, true), cw, emit_mem_flags(e));
}

/* To memory or AX. */
void emit_x87_stsw(struct emit *e)
{
    ir_ref sw = ir_zext(e->b, IR_I16, ir_x87(e->b, IR_X87_IMM(0xdf, 0xe0, HELP_x87_stsw, 0)));

    e->fpu_synced = false;
    if (e->insn->has_mem)
        ir_st(e->b, IR_I16, emit_mem(e, 0, 2, true), sw, emit_mem_flags(e));
    else
        emit_put_reg(e, R_AX, 2, sw);
}

static ir_ref addr64(struct emit *e, unsigned size, bool write)
{
    return ir_zext(e->b, IR_I64, emit_mem(e, 0, size, write));
}

/* FLDENV, FNSTENV, FRSTOR, FNSAVE: arg is the helper. */
void emit_x87_env(struct emit *e)
{
    bool op32 = e->insn->opsize != 2;
    bool write = e->insn->row->arg == HELP_x87_stenv || e->insn->row->arg == HELP_x87_save;
    unsigned size = (op32 ? 28 : 14) + (e->insn->row->op[0] == O_Mstate ? 80 : 0);

    emit_fpu_sync(e);
    ir_call(e->b, e->insn->row->arg, c32(e, (op32 ? XS_OP32 : 0) | segment_bits(e)), addr64(e, size, write), 0, 0);
    e->fpu_based = false;
}

/* FXSAVE, FXRSTOR: arg is the helper. */
void emit_fxstate(struct emit *e)
{
    uint32_t bits = (e->insn->rex & REX_W ? XS_REX : 0) | segment_bits(e);

    emit_fpu_sync(e);
    ir_call(e->b, e->insn->row->arg, c32(e, bits), addr64(e, 512, e->insn->row->arg == HELP_fxsave), 0, 0);
    if (e->insn->row->arg == HELP_fxrstor)
        emit_end_next(e); /* MXCSR's masks are part of the mode */
}
