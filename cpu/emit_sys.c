/* Emission of the system instructions. What the mode word decides is decided here, at translation; what needs
 * descriptors or other state is a helper's (helper_sys.c). */
#include "cpu/emit.h"
#include "cpu/helper_int.h"
#include "cpu/sys.h"

#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    void emit_##emitter(struct emit *e);
#include "cpu/opcodes_sys.def"
#undef OP

#define OFF(field) offsetof(struct cpu, field)

static ir_ref const32(struct emit *e, uint32_t v)
{
    return ir_const(e->b, IR_I32, v);
}

static ir_ref call(struct emit *e, enum cpu_helper h, ir_ref a, ir_ref b, ir_ref c, ir_ref d)
{
    return ir_call(e->b, h, a, b, c, d);
}

static bool in_code64(const struct emit *e) { return e->mode & MODE_CODE64; }
static bool in_v86(const struct emit *e) { return e->mode & MODE_VM; }
static bool in_protected(const struct emit *e) { return (e->mode & (MODE_PE | MODE_VM)) == MODE_PE; }
static unsigned cpl(const struct emit *e) { return (e->mode & MODE_CPL) >> MODE_CPL_SHIFT; }
static unsigned iopl(const struct emit *e) { return (e->mode & MODE_IOPL) >> MODE_IOPL_SHIFT; }

/* A helper has set rip, and mode when that changed: go on there. */
static void end_transfer(struct emit *e)
{
    emit_lookup(e);
}

void emit_rsm(struct emit *e)
{
    if (!(e->mode & MODE_SMM)) {
        emit_raise(e, EX_UD);
        return;
    }
    call(e, HELP_rsm, 0, 0, 0, 0);
    end_transfer(e);
}

/* ---- segment registers ---- */

/* In real and v86 mode a load only moves the base: limits, rights and mode stay. */
static void load_segment(struct emit *e, unsigned seg, ir_ref selector)
{
    size_t at = OFF(seg) + seg * sizeof(struct segment);

    if (in_protected(e)) {
        call(e, HELP_load_seg, const32(e, seg), ir_zext(e->b, IR_I32, selector), 0, 0);
        return;
    }
    ir_ste(e->b, IR_I16, (unsigned)(at + offsetof(struct segment, selector)), selector);
    ir_ste(e->b, IR_I64, (unsigned)(at + offsetof(struct segment, base)),
           ir_bin(e->b, IR_SHL, IR_I64, ir_zext(e->b, IR_I64, selector), const32(e, 4)));
}

/* Neither interrupt nor #DB between a load of SS and the instruction behind it (SDM vol. 3, 6.8.3). */
static void end_with_shadow(struct emit *e)
{
    ir_ref mode = ir_lde(e->b, IR_I32, OFF(mode));

    e->in_shadow = false; /* that of an STI before goes on */
    ir_ste(e->b, IR_I8, OFF(ss_shadow), ir_const(e->b, IR_I8, 1));
    ir_ste(e->b, IR_I32, OFF(mode), ir_bini(e->b, IR_OR, IR_I32, mode, MODE_SHADOW));
    emit_end_next(e);
}

/* The mode changes with the load in 16- and 32-bit protected code only, and not with FS and GS. */
static void end_segment_load(struct emit *e, unsigned seg, bool shadow)
{
    if (seg == S_SS && shadow)
        end_with_shadow(e);
    else if (in_protected(e) && (seg == S_SS || (!in_code64(e) && seg < S_FS)))
        emit_end_next(e);
}

void emit_mov_from_sreg(struct emit *e)
{
    unsigned seg = e->insn->op[1].reg, size = e->insn->op[0].size;
    ir_ref v;

    if (seg >= S_NUM) {
        emit_raise(e, EX_UD);
        return;
    }
    v = ir_lde(e->b, IR_I16, OFF(seg[0].selector) + seg * sizeof(struct segment));
    emit_store(e, 0, ir_zext(e->b, emit_type(size), v));
}

void emit_mov_to_sreg(struct emit *e)
{
    unsigned seg = e->insn->op[0].reg;

    if (seg >= S_NUM || seg == S_CS) {
        emit_raise(e, EX_UD);
        return;
    }
    load_segment(e, seg, emit_load(e, 1));
    end_segment_load(e, seg, true);
}

void emit_push_sreg(struct emit *e)
{
    unsigned seg = e->insn->op[0].reg, size = e->insn->opsize;
    ir_ref v = ir_lde(e->b, IR_I16, OFF(seg[0].selector) + seg * sizeof(struct segment));

    emit_push(e, size, ir_zext(e->b, emit_type(size), v));
}

void emit_pop_sreg(struct emit *e)
{
    unsigned seg = e->insn->op[0].reg, size = e->insn->opsize;
    ir_ref v = emit_pop(e, size);

    load_segment(e, seg, ir_zext(e->b, IR_I16, v));
    emit_pop_done(e, size);
    end_segment_load(e, seg, true);
}

/* A far pointer in memory: offset of operand size, then the selector. */
static void load_far(struct emit *e, ir_ref *offset, ir_ref *selector)
{
    unsigned size = e->insn->opsize, mem = emit_mem_flags(e);

    *offset = ir_ld(e->b, emit_type(size), emit_mem(e, 0, size, false), mem);
    *selector = ir_ld(e->b, IR_I16, emit_mem(e, size, 2, false), mem);
}

void emit_load_far_pointer(struct emit *e)
{
    unsigned seg = e->insn->row->arg;
    ir_ref offset, selector;

    load_far(e, &offset, &selector);
    load_segment(e, seg, selector);
    emit_put_reg(e, e->insn->op[0].reg, e->insn->opsize, offset);
    end_segment_load(e, seg, false);
}

/* ---- far transfers ---- */

static void far_transfer_to(struct emit *e, ir_ref selector, ir_ref offset)
{
    enum cpu_helper h = e->insn->row->arg ? HELP_far_call : HELP_far_jmp;

    call(e, h, selector, offset, const32(e, e->insn->opsize), emit_next_pc(e));
    end_transfer(e);
}

void emit_far_direct(struct emit *e)
{
    uint64_t offset = (uint64_t)e->insn->imm & MASK(8 * e->insn->opsize);

    far_transfer_to(e, const32(e, e->insn->imm2), ir_const(e->b, IR_I64, offset));
}

void emit_far_indirect(struct emit *e)
{
    ir_ref offset, selector;

    load_far(e, &offset, &selector);
    far_transfer_to(e, ir_zext(e->b, IR_I32, selector), ir_zext(e->b, IR_I64, offset));
}

void emit_far_ret(struct emit *e)
{
    uint32_t drop = e->insn->op[0].class == OC_IMM ? (uint32_t)e->insn->imm & 0xffff : 0;

    call(e, HELP_far_ret, const32(e, e->insn->opsize), const32(e, drop), 0, 0);
    end_transfer(e);
}

void emit_iret(struct emit *e)
{
    if (in_v86(e) && iopl(e) < 3 && !((e->mode & MODE_VME) && e->insn->opsize == 2)) {
        emit_raise_error(e, EX_GP, 0);
        return;
    }
    call(e, HELP_iret, const32(e, e->insn->opsize), emit_next_pc(e), 0, 0);
    end_transfer(e);
}

static void interrupt(struct emit *e, ir_ref vector, enum int_kind kind)
{
    call(e, HELP_int, vector, const32(e, kind), emit_next_pc(e), 0);
    end_transfer(e);
}

void emit_int3(struct emit *e)
{
    interrupt(e, const32(e, EX_BP), INT_3_O);
}

void emit_int1(struct emit *e)
{
    interrupt(e, const32(e, EX_DB), INT_1);
}

void emit_int_n(struct emit *e)
{
    interrupt(e, ir_zext(e->b, IR_I32, emit_load(e, 0)), INT_N);
}

void emit_into(struct emit *e)
{
    call(e, HELP_into, emit_next_pc(e), 0, 0, 0);
    end_transfer(e);
}

/* ---- flags ---- */

ir_ref emit_flags_image(struct emit *e)
{
    ir_ref rest = ir_lde(e->b, IR_I32, OFF(eflags));
    ir_ref six = ir_eflags(e->b, ir_getfl(e->b));

    rest = ir_bini(e->b, IR_AND, IR_I32, rest, ~(uint32_t)(FL_RF | FL_VM));
    return ir_bin(e->b, IR_OR, IR_I32, rest, six);
}

/* v86 mode with IOPL < 3 and CR4.VME: IF shows VIF and IOPL shows 3. */
static ir_ref virtual_flags(struct emit *e, ir_ref flags)
{
    ir_ref vif = ir_extract(e->b, IR_I32, flags, 19, 1);

    flags = ir_deposit(e->b, IR_I32, flags, 9, 1, vif);
    return ir_bini(e->b, IR_OR, IR_I32, flags, FL_IOPL);
}

/* In v86 mode with IOPL < 3 only CR4.VME lets 16-bit PUSHF and POPF work. */
static bool flags_denied(const struct emit *e)
{
    return in_v86(e) && iopl(e) < 3 && !((e->mode & MODE_VME) && e->insn->opsize == 2);
}

void emit_pushf(struct emit *e)
{
    unsigned size = e->insn->opsize;
    ir_ref flags;

    if (flags_denied(e)) {
        emit_raise_error(e, EX_GP, 0);
        return;
    }
    flags = emit_flags_image(e);
    if (in_v86(e) && iopl(e) < 3)
        flags = virtual_flags(e, flags);
    emit_push(e, size, ir_zext(e->b, emit_type(size), flags));
}

void emit_popf(struct emit *e)
{
    unsigned size = e->insn->opsize;
    ir_ref v;

    if (flags_denied(e)) {
        emit_raise_error(e, EX_GP, 0);
        return;
    }
    v = emit_pop(e, size);
    call(e, HELP_popf, ir_zext(e->b, IR_I32, v), const32(e, size), 0, 0);
    emit_pop_done(e, size);
    emit_end_next(e);
}

/* Which flag CLI and STI change: IF, VIF, or none (#GP). */
static uint32_t interrupt_flag(const struct emit *e)
{
    if (!(e->mode & MODE_PE) || cpl(e) <= iopl(e))
        return FL_IF;
    return (e->mode & MODE_VME) && cpl(e) == 3 ? FL_VIF : 0;
}

void emit_cli(struct emit *e)
{
    uint32_t flag = interrupt_flag(e);
    ir_ref v;

    if (!flag) {
        emit_raise_error(e, EX_GP, 0);
        return;
    }
    v = ir_lde(e->b, IR_I32, OFF(eflags));
    ir_ste(e->b, IR_I32, OFF(eflags), ir_bini(e->b, IR_AND, IR_I32, v, ~flag));
}

static bool sti_inline(struct emit *e)
{
    ir_ref flags = ir_lde(e->b, IR_I32, OFF(eflags));
    ir_ref clear = ir_bini(e->b, IR_XOR, IR_I32, ir_extract(e->b, IR_I32, flags, 9, 1), 1);

    if (!emit_shadow(e, clear))
        return false;
    ir_ste(e->b, IR_I32, OFF(eflags), ir_bini(e->b, IR_OR, IR_I32, flags, FL_IF));
    return true;
}

void emit_sti(struct emit *e)
{
    uint32_t flag = interrupt_flag(e);

    if (!flag) {
        emit_raise_error(e, EX_GP, 0);
        return;
    }
    if (flag == FL_IF && sti_inline(e))
        return;
    call(e, flag == FL_IF ? HELP_sti : HELP_sti_virtual, 0, 0, 0, 0);
    emit_end_next(e);
}

void emit_hlt(struct emit *e)
{
    call(e, HELP_hlt, 0, 0, 0, 0);
    emit_exit_next(e);
}

/* ---- ports ---- */

/* The port as an I32, permission checked. */
static ir_ref checked_port(struct emit *e, unsigned n, unsigned size)
{
    const struct operand *op = &e->insn->op[n];
    ir_ref port;

    if (op->class == OC_IMM)
        port = const32(e, (uint8_t)e->insn->imm);
    else
        port = ir_zext(e->b, IR_I32, emit_get_reg(e, R_DX, 2));
    if ((e->mode & MODE_PE) && (in_v86(e) || cpl(e) > iopl(e)))
        call(e, HELP_check_io, port, const32(e, size), 0, 0);
    return port;
}

void emit_in(struct emit *e)
{
    unsigned size = e->insn->op[0].size;
    ir_ref v = call(e, HELP_in, checked_port(e, 1, size), const32(e, size), 0, 0);

    emit_put_reg(e, R_AX, size, ir_zext(e->b, emit_type(size), v));
}

/* A write may raise an interrupt, move the A20 gate or reset the machine: that is seen at the next block. */
void emit_out(struct emit *e)
{
    unsigned size = e->insn->op[1].size;
    ir_ref port = checked_port(e, 0, size);

    call(e, HELP_out, port, ir_zext(e->b, IR_I32, emit_get_reg(e, R_AX, size)), const32(e, size), 0);
    e->stop = true;
}

/* ---- descriptor tables ---- */

/* SLDT, STR, SMSW: a word to memory, or to a register at operand size (SMSW then gives all of CR0). arg:
 * S_LDTR, S_TR, or 0 for CR0. */
void emit_store_word(struct emit *e)
{
    unsigned seg = e->insn->row->arg, size = e->insn->op[0].size;
    ir_ref v;

    if (seg)
        v = ir_lde(e->b, IR_I16, OFF(seg[0].selector) + seg * sizeof(struct segment));
    else
        v = ir_lde(e->b, emit_type(size), OFF(cr0));
    emit_store(e, 0, ir_zext(e->b, emit_type(size), v));
}

static unsigned table_base_size(const struct emit *e)
{
    return in_code64(e) ? 8 : 4;
}

/* arg 0: GDTR, 1: IDTR. Nothing is written when the second of the two stores would fault. */
void emit_store_table(struct emit *e)
{
    size_t at = e->insn->row->arg ? OFF(idt) : OFF(gdt);
    unsigned size = table_base_size(e), mem = emit_mem_flags(e);
    enum ir_type t = emit_type(size);
    ir_ref limit_at = emit_mem(e, 0, 2, true), base_at = emit_mem(e, 2, size, true);

    call(e, HELP_probe_store, ir_zext(e->b, IR_I64, limit_at), const32(e, 2 + size), const32(e, mem), 0);
    ir_st(e->b, IR_I16, limit_at, ir_lde(e->b, IR_I16, (unsigned)(at + offsetof(struct table_reg, limit))),
          mem);
    ir_st(e->b, t, base_at, ir_lde(e->b, t, (unsigned)(at + offsetof(struct table_reg, base))), mem);
}

void emit_load_table(struct emit *e)
{
    unsigned size = table_base_size(e), mem = emit_mem_flags(e);
    ir_ref limit = ir_ld(e->b, IR_I16, emit_mem(e, 0, 2, false), mem);
    ir_ref base = ir_zext(e->b, IR_I64, ir_ld(e->b, emit_type(size), emit_mem(e, 2, size, false), mem));

    if (size == 4 && e->insn->opsize == 2)
        base = ir_bini(e->b, IR_AND, IR_I64, base, 0xffffff);
    call(e, e->insn->row->arg ? HELP_load_idt : HELP_load_gdt, ir_zext(e->b, IR_I32, limit), base, 0, 0);
}

static ir_ref load_selector(struct emit *e, unsigned n)
{
    return ir_zext(e->b, IR_I32, emit_load(e, n));
}

void emit_lldt(struct emit *e)
{
    call(e, HELP_lldt, load_selector(e, 0), 0, 0, 0);
}

void emit_ltr(struct emit *e)
{
    call(e, HELP_ltr, load_selector(e, 0), 0, 0, 0);
}

static void put_zf(struct emit *e, ir_ref condition)
{
    ir_ref six = ir_eflags(e->b, ir_getfl(e->b));

    six = ir_deposit(e->b, IR_I32, six, 6, 1, condition);
    ir_putfl(e->b, ir_flags(e->b, IR_FL_RAW, IR_I32, six, 0, 0));
}

void emit_verify(struct emit *e)
{
    put_zf(e, call(e, HELP_verify, load_selector(e, 0), const32(e, e->insn->row->arg), 0, 0));
}

/* The helper's result: the value, and bit 32 when it may be seen; else the register keeps its own. */
/* A destination of 32 bits keeps its upper half too when nothing is seen. */
static void look_at(struct emit *e, enum cpu_helper h)
{
    unsigned reg = e->insn->op[0].reg, size = e->insn->opsize == 4 && in_code64(e) ? 8 : e->insn->opsize;
    enum ir_type t = emit_type(size);
    ir_ref v = call(e, h, load_selector(e, 1), 0, 0, 0);
    ir_ref seen = ir_zext(e->b, IR_I32, ir_extract(e->b, IR_I64, v, 32, 1));
    ir_ref value = ir_zext(e->b, IR_I32, v);

    put_zf(e, seen);
    emit_put_reg(e, reg, size, ir_select(e->b, t, seen, ir_zext(e->b, t, value), emit_get_reg(e, reg, size)));
}

void emit_lar(struct emit *e)
{
    look_at(e, HELP_lar);
}

void emit_lsl(struct emit *e)
{
    look_at(e, HELP_lsl);
}

/* Memory is written, and the right to write looked at, only when RPL is raised. */
void emit_arpl(struct emit *e)
{
    ir_ref dst = emit_load(e, 0);
    ir_ref mine = ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, dst), 3);
    ir_ref theirs = ir_bini(e->b, IR_AND, IR_I32, ir_zext(e->b, IR_I32, emit_load(e, 1)), 3);
    ir_ref lower = ir_cmp(e->b, IR_CMP_LTU, IR_I32, mine, theirs);
    ir_ref rpl = ir_select(e->b, IR_I32, lower, theirs, mine);
    ir_ref v = ir_deposit(e->b, IR_I32, ir_zext(e->b, IR_I32, dst), 0, 2, rpl);

    if (e->insn->has_mem)
        call(e, HELP_store_if, ir_bini(e->b, IR_OR, IR_I32, lower, e->insn->seg << 8), emit_ea(e), v, 0);
    else
        emit_store(e, 0, ir_zext(e->b, IR_I16, v));
    put_zf(e, lower);
}

/* ---- control and debug registers ---- */

void emit_lmsw(struct emit *e)
{
    call(e, HELP_lmsw, load_selector(e, 0), 0, 0, 0);
    emit_end_next(e);
}

void emit_clts(struct emit *e)
{
    call(e, HELP_clts, 0, 0, 0, 0);
    emit_end_next(e);
}

void emit_mov_from_cr(struct emit *e)
{
    static const size_t offset[] = { [0] = OFF(cr0), [2] = OFF(cr2), [3] = OFF(cr3), [4] = OFF(cr4) };
    unsigned n = e->insn->op[1].reg, size = e->insn->op[0].size;
    ir_ref v;

    if (n == 8 && in_code64(e)) {
        v = call(e, HELP_read_cr8, 0, 0, 0, 0);
    } else if (n < ARRAY_LEN(offset) && n != 1) {
        v = ir_lde(e->b, IR_I64, (unsigned)offset[n]);
    } else {
        emit_raise(e, EX_UD);
        return;
    }
    emit_store(e, 0, ir_zext(e->b, emit_type(size), v));
}

void emit_mov_to_cr(struct emit *e)
{
    unsigned n = e->insn->op[0].reg;

    if (n == 1 || (n > 4 && !(n == 8 && in_code64(e)))) {
        emit_raise(e, EX_UD);
        return;
    }
    call(e, HELP_write_cr, const32(e, n), ir_zext(e->b, IR_I64, emit_load(e, 1)), 0, 0);
    emit_end_next(e);
}

void emit_mov_from_dr(struct emit *e)
{
    ir_ref v = call(e, HELP_read_dr, const32(e, e->insn->op[1].reg), 0, 0, 0);

    emit_store(e, 0, ir_zext(e->b, emit_type(e->insn->op[0].size), v));
}

void emit_mov_to_dr(struct emit *e)
{
    call(e, HELP_write_dr, const32(e, e->insn->op[0].reg), ir_zext(e->b, IR_I64, emit_load(e, 1)), 0, 0);
    emit_end_next(e);
}

/* INVLPG checks neither limit nor canonical form. */
void emit_invlpg(struct emit *e)
{
    unsigned seg = e->insn->seg;
    ir_ref addr = ir_zext(e->b, IR_I64, emit_ea(e));

    if (!in_code64(e) || seg >= S_FS)
        addr = ir_bin(e->b, IR_ADD, IR_I64, addr,
                      ir_lde(e->b, IR_I64, OFF(seg[0].base) + seg * sizeof(struct segment)));
    if (!in_code64(e))
        addr = ir_bini(e->b, IR_AND, IR_I64, addr, UINT32_MAX);
    call(e, HELP_invlpg, addr, 0, 0, 0);
    emit_end_next(e);
}

/* Both halves of the descriptor are read before anything is checked. */
void emit_invpcid(struct emit *e)
{
    unsigned mem = emit_mem_flags(e);
    ir_ref low = ir_ld(e->b, IR_I64, emit_mem(e, 0, 8, false), mem);
    ir_ref high = ir_ld(e->b, IR_I64, emit_mem(e, 8, 8, false), mem);

    call(e, HELP_invpcid, ir_zext(e->b, IR_I64, emit_load(e, 0)), low, high, 0);
    emit_end_next(e);
}

/* ---- EFLAGS.AC against SMAP, protection keys ---- */

/* MODE_SMAP tells that AC is clear and CR4.SMAP set. Without it one of them is not so, which one is not known
 * here. */
void emit_stac(struct emit *e)
{
    if (e->mode & MODE_CPL) {
        emit_raise(e, EX_UD);
        return;
    }
    ir_ste(e->b, IR_I32, OFF(eflags), ir_bini(e->b, IR_OR, IR_I32, ir_lde(e->b, IR_I32, OFF(eflags)), FL_AC));
    if (!(e->mode & MODE_SMAP))
        return;
    ir_ste(e->b, IR_I32, OFF(mode),
           ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, OFF(mode)), ~(uint32_t)MODE_SMAP));
    emit_goto(e, e->pc_off + e->insn->len);
}

void emit_clac(struct emit *e)
{
    ir_ref smap, mode;

    if (e->mode & MODE_CPL) {
        emit_raise(e, EX_UD);
        return;
    }
    if (e->mode & MODE_SMAP)
        return;
    ir_ste(e->b, IR_I32, OFF(eflags),
           ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, OFF(eflags)), ~(uint32_t)FL_AC));
    smap = ir_extract(e->b, IR_I32, ir_lde(e->b, IR_I32, OFF(cr4)), __builtin_ctz(CR4_SMAP), 1);
    mode = ir_lde(e->b, IR_I32, OFF(mode));
    ir_ste(e->b, IR_I32, OFF(mode), ir_deposit(e->b, IR_I32, mode, __builtin_ctz(MODE_SMAP), 1, smap));
    emit_end_next(e);
}

void emit_rdpkru(struct emit *e)
{
    ir_ref v = call(e, HELP_rdpkru, emit_get_reg(e, R_CX, 4), 0, 0, 0);

    emit_put_reg(e, R_AX, 4, v);
    emit_put_reg(e, R_DX, 4, const32(e, 0));
}

void emit_wrpkru(struct emit *e)
{
    call(e, HELP_wrpkru, emit_get_reg(e, R_AX, 4), emit_get_reg(e, R_CX, 4), emit_get_reg(e, R_DX, 4), 0);
}

/* INVD, WBINVD: no cache is modelled. */
void emit_cache_nop(struct emit *e)
{
    (void)e;
}

/* ---- MSRs, time, identification ---- */

void emit_swapgs(struct emit *e)
{
    unsigned base = OFF(seg[S_GS].base), kernel = OFF(kernel_gs_base);
    ir_ref b = ir_lde(e->b, IR_I64, base), k = ir_lde(e->b, IR_I64, kernel);

    ir_ste(e->b, IR_I64, base, k);
    ir_ste(e->b, IR_I64, kernel, b);
}

/* CR4.TSD closes it to levels above 0. */
void emit_rdtsc(struct emit *e)
{
    ir_ref v, high;

    if (e->mode & MODE_CPL)
        ir_trapif(e->b, ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, OFF(cr4)), CR4_TSD), HELP_raise,
                  raise_arg_code(EX_GP, 0));
    v = call(e, HELP_rdtsc, 0, 0, 0, 0);
    high = ir_extract(e->b, IR_I64, v, 32, 32);

    emit_put_reg(e, R_AX, 4, ir_zext(e->b, IR_I32, v));
    emit_put_reg(e, R_DX, 4, ir_zext(e->b, IR_I32, high));
}

void emit_rdtscp(struct emit *e)
{
    emit_rdtsc(e);
    emit_put_reg(e, R_CX, 4, ir_lde(e->b, IR_I32, OFF(tsc_aux)));
}

/* No performance counters: whatever ECX names does not exist. */
void emit_rdpmc(struct emit *e)
{
    emit_raise_error(e, EX_GP, 0);
}

void emit_rdmsr(struct emit *e)
{
    call(e, HELP_rdmsr, 0, 0, 0, 0);
}

void emit_wrmsr(struct emit *e)
{
    call(e, HELP_wrmsr, 0, 0, 0, 0);
    emit_end_next(e);
}

void emit_cpuid(struct emit *e)
{
    call(e, HELP_cpuid, 0, 0, 0, 0);
}
