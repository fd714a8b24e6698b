/* Emission of XSAVE and its family, XGETBV, XSETBV, FSGSBASE, RDPID, MONITOR, MWAIT: SDM vol. 2. */
#include "cpu/emit.h"
#include "cpu/helper_int.h"
#include "cpu/x87.h"

#define OFF(field) offsetof(struct cpu, field)

static ir_ref const32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

/* EDX:EAX */
static ir_ref edx_eax(struct emit *e)
{
    ir_ref low = ir_zext(e->b, IR_I64, ir_get(e->b, IR_I32, R_AX));

    return ir_deposit(e->b, IR_I64, low, 32, 32, ir_zext(e->b, IR_I64, ir_get(e->b, IR_I32, R_DX)));
}

/* The helper checks and addresses the area: how large it is depends on XCR0. arg is the helper. */
void emit_xsave(struct emit *e)
{
    uint32_t spec = e->insn->seg | (e->insn->rex & REX_W ? XS_REX : 0);

    emit_fpu_sync(e);
    ir_call(e->b, e->insn->row->arg, const32(e, spec), edx_eax(e), ir_zext(e->b, IR_I64, emit_ea(e)), 0);
}

/* MXCSR's masks are part of the mode, and a pending x87 exception may have come or gone. */
void emit_xrstor(struct emit *e)
{
    emit_xsave(e);
    emit_end_next(e);
}

void emit_xgetbv(struct emit *e)
{
    ir_ref v = ir_call(e->b, HELP_xgetbv, ir_get(e->b, IR_I32, R_CX), 0, 0, 0);

    emit_put_reg(e, R_AX, 4, ir_zext(e->b, IR_I32, v));
    emit_put_reg(e, R_DX, 4, ir_zext(e->b, IR_I32, ir_extract(e->b, IR_I64, v, 32, 32)));
}

void emit_xsetbv(struct emit *e)
{
    ir_call(e->b, HELP_xsetbv, ir_get(e->b, IR_I32, R_CX), edx_eax(e), 0, 0);
    emit_end_next(e);
}

/* ---- bases of FS and GS ---- */

static void check_fsgsbase(struct emit *e)
{
    ir_ref bit = ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, OFF(cr4)), CR4_FSGSBASE);

    ir_trapif(e->b, ir_cmp(e->b, IR_CMP_EQ, IR_I32, bit, const32(e, 0)), HELP_raise, raise_arg(EX_UD));
}

/* arg: S_FS or S_GS */
void emit_rdbase(struct emit *e)
{
    unsigned at = (unsigned)(OFF(seg[0].base) + e->insn->row->arg * sizeof(struct segment));

    check_fsgsbase(e);
    emit_store(e, 0, ir_lde(e->b, emit_type(e->insn->op[0].size), at));
}

void emit_wrbase(struct emit *e)
{
    ir_ref base = ir_zext(e->b, IR_I64, emit_load(e, 0));

    check_fsgsbase(e);
    ir_call(e->b, HELP_write_base, const32(e, e->insn->row->arg), base, 0, 0);
}

void emit_rdpid(struct emit *e)
{
    ir_ref v = ir_lde(e->b, IR_I32, OFF(tsc_aux));

    emit_store(e, 0, ir_zext(e->b, emit_type(e->insn->op[0].size), v));
}

/* ---- MONITOR, MWAIT ---- */

void emit_monitor(struct emit *e)
{
    unsigned size = e->insn->addrsize;
    ir_ref ea = emit_get_reg(e, R_AX, size);

    if (e->mode & MODE_CPL) {
        emit_raise(e, EX_UD);
        return;
    }
    ea = ir_zext(e->b, size == 8 ? IR_I64 : IR_I32, ea);
    ea = emit_linear(e, e->insn->seg, ea, 1, false);
    ir_call(e->b, HELP_monitor, ir_zext(e->b, IR_I64, ea), ir_get(e->b, IR_I32, R_CX), 0, 0);
}

void emit_mwait(struct emit *e)
{
    if (e->mode & MODE_CPL) {
        emit_raise(e, EX_UD);
        return;
    }
    ir_call(e->b, HELP_mwait, ir_get(e->b, IR_I32, R_CX), 0, 0, 0);
    emit_exit_next(e);
}
