/* From decoded instructions to IR: operands, addresses, the stack, block ends, and the block itself. */
#include "cpu/emit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cpu/features.h"
#include "cpu/helper_int.h"

/* Free IR instructions that any guest instruction makes do with. */
#define IR_RESERVE 256
/* Offset of a PC value that is set when the block's size is known. No instruction can make it. */
#define EXTENT_UNKNOWN INT64_C(0x7fff0000)

static bool code64(const struct emit *e)
{
    return e->mode & MODE_CODE64;
}

enum ir_type emit_type(unsigned size)
{
    return size == 8 ? IR_I64 : size == 4 ? IR_I32 : size == 2 ? IR_I16 : IR_I8;
}

enum ir_type emit_ip_type(const struct emit *e)
{
    return code64(e) ? IR_I64 : e->mode & MODE_CODE32 ? IR_I32 : IR_I16;
}

static unsigned code_bits(const struct emit *e)
{
    return IR_BITS(emit_ip_type(e));
}

/* ---- registers ---- */

/* Outside 64-bit code the upper halves are not architecturally visible. */
static enum ir_type full_type(const struct emit *e)
{
    return code64(e) ? IR_I64 : IR_I32;
}

static void put_field(struct emit *e, unsigned reg, unsigned pos, unsigned len, ir_ref v)
{
    enum ir_type full = full_type(e);
    ir_ref old = ir_get(e->b, full, reg);

    ir_put(e->b, full, reg, ir_deposit(e->b, full, old, pos, len, ir_zext(e->b, full, v)));
}

ir_ref emit_get_reg(struct emit *e, unsigned reg, unsigned size)
{
    if (size == 8)
        return ir_get(e->b, IR_I64, reg);
    return ir_zext(e->b, emit_type(size), ir_get(e->b, IR_I32, reg));
}

void emit_put_reg(struct emit *e, unsigned reg, unsigned size, ir_ref v)
{
    if (size >= 4)
        ir_put(e->b, emit_type(size), reg, v);
    else
        put_field(e, reg, 0, 8 * size, v);
}

static ir_ref get_reg_operand(struct emit *e, const struct operand *op)
{
    if (!op->high_byte)
        return emit_get_reg(e, op->reg, op->size);
    return ir_zext(e->b, IR_I8, ir_extract(e->b, IR_I32, ir_get(e->b, IR_I32, op->reg), 8, 8));
}

static void put_reg_operand(struct emit *e, const struct operand *op, ir_ref v)
{
    if (op->high_byte)
        put_field(e, op->reg, 8, 8, v);
    else
        emit_put_reg(e, op->reg, op->size, v);
}

/* ---- addresses ---- */

static enum ir_type addr_type(const struct insn *insn)
{
    return insn->addrsize == 8 ? IR_I64 : IR_I32;
}

/* Cut an address computed in addr_type() to the address size. */
static ir_ref cut_address(struct emit *e, ir_ref ea)
{
    return e->insn->addrsize == 2 ? ir_bini(e->b, IR_AND, IR_I32, ea, 0xffff) : ea;
}

/* The address modulo the width of t, before it is cut. */
static ir_ref sum_address(struct emit *e, enum ir_type t)
{
    const struct insn *insn = e->insn;
    ir_ref ea = 0, index;

    if (insn->base == REG_RIP)
        return ir_pc(e->b, t, (int64_t)e->pc_off + insn->len + insn->disp);
    if (insn->base != REG_NONE)
        ea = ir_get(e->b, t, insn->base);
    if (insn->index != REG_NONE) {
        index = ir_get(e->b, t, insn->index);
        if (insn->scale > 1)
            index = ir_bini(e->b, IR_SHL, t, index, (unsigned)__builtin_ctz(insn->scale));
        ea = ea ? ir_bin(e->b, IR_ADD, t, ea, index) : index;
    }
    if (!ea)
        return ir_const(e->b, t, (uint64_t)insn->disp & MASK(8 * insn->addrsize));
    return insn->disp ? ir_bini(e->b, IR_ADD, t, ea, (uint64_t)insn->disp) : ea;
}

ir_ref emit_ea(struct emit *e)
{
    return cut_address(e, sum_address(e, addr_type(e->insn)));
}

ir_ref emit_ea_low(struct emit *e)
{
    return e->insn->addrsize == 8 ? sum_address(e, IR_I32) : emit_ea(e);
}

static bool seg_is_flat(const struct emit *e, unsigned seg)
{
    static const uint32_t flat[S_NUM] = { [S_ES] = MODE_FLAT_ES, [S_CS] = MODE_FLAT_CS,
                                          [S_SS] = MODE_FLAT_SS, [S_DS] = MODE_FLAT_DS };
    return e->mode & flat[seg];
}

static unsigned seg_offset(unsigned seg, size_t field)
{
    return (unsigned)(offsetof(struct cpu, seg) + seg * sizeof(struct segment) + field);
}

/* MODE_FLAT_CS says nothing of the rights to read or write through CS. */
static bool seg_needs_bound(const struct emit *e, unsigned seg)
{
    return seg == S_CS || !seg_is_flat(e, seg);
}

ir_ref emit_linear(struct emit *e, unsigned seg, ir_ref ea, unsigned size, bool write)
{
    unsigned base = seg_offset(seg, offsetof(struct segment, base));
    size_t lo = write ? offsetof(struct segment, write_lo) : offsetof(struct segment, read_lo);

    if (code64(e)) {
        ea = ir_zext(e->b, IR_I64, ea);
        return seg < S_FS ? ea : ir_bin(e->b, IR_ADD, IR_I64, ea, ir_lde(e->b, IR_I64, base));
    }
    if (size && seg_needs_bound(e, seg))
        ir_bound(e->b, ea, seg_offset(seg, lo), size, HELP_seg_fault, seg);
    return seg_is_flat(e, seg) ? ea : ir_bin(e->b, IR_ADD, IR_I32, ea, ir_lde(e->b, IR_I32, base));
}

ir_ref emit_mem(struct emit *e, unsigned off, unsigned size, bool write)
{
    ir_ref ea = emit_ea(e);

    if (off)
        ea = cut_address(e, ir_bini(e->b, IR_ADD, addr_type(e->insn), ea, off));
    return emit_linear(e, e->insn->seg, ea, size, write);
}

unsigned emit_seg_flags(const struct emit *e, unsigned seg)
{
    bool flat = !code64(e) && !seg_needs_bound(e, seg);

    return (seg == S_SS ? IR_MEM_STACK : 0) | (flat ? IR_MEM_FLAT : 0);
}

unsigned emit_mem_flags(const struct emit *e)
{
    return emit_seg_flags(e, e->insn->seg);
}

/* ---- operands ---- */

/* The immediate lies at the instruction's end. Returns 0 when it is not rewritten. */
static ir_ref live_immediate(struct emit *e, const struct operand *op)
{
    const struct insn *insn = e->insn;
    struct ir_block *blk = ir_block(e->b);
    int32_t at = e->pc_off + insn->len - insn->imm_size;
    unsigned k = 0;

    if (!(insn->row->flags & OPF_LIVE) || blk->num_live == IR_LIVES)
        return 0;
    while (k < e->live->num && (e->live->at[k].off < at ||
                                e->live->at[k].off + e->live->at[k].len > at + insn->imm_size))
        k++;
    if (k == e->live->num)
        return 0;
    blk->live[blk->num_live++] = (struct ir_live){ (int16_t)at, insn->imm_size };
    return ir_sext(e->b, emit_type(op->size), ir_code(e->b, emit_type(insn->imm_size), e->live->host + at));
}

static ir_ref immediate(struct emit *e, const struct operand *op)
{
    ir_ref v = e->live ? live_immediate(e, op) : 0;

    return v ? v : ir_const(e->b, emit_type(op->size), (uint64_t)e->insn->imm & MASK(8 * op->size));
}

ir_ref emit_load(struct emit *e, unsigned n)
{
    const struct operand *op = &e->insn->op[n];

    switch (op->class) {
    case OC_REG: return get_reg_operand(e, op);
    case OC_MEM: return ir_ld(e->b, emit_type(op->size), emit_mem(e, 0, op->size, false), emit_mem_flags(e));
    default:
        assert(op->class == OC_IMM);
        return immediate(e, op);
    }
}

ir_ref emit_load_rmw(struct emit *e, unsigned n, ir_ref *addr)
{
    const struct operand *op = &e->insn->op[n];

    *addr = 0;
    if (op->class == OC_REG)
        return get_reg_operand(e, op);
    *addr = emit_mem(e, 0, op->size, true);
    return ir_ld(e->b, emit_type(op->size), *addr, IR_MEM_RMW | emit_mem_flags(e));
}

void emit_store(struct emit *e, unsigned n, ir_ref v)
{
    const struct operand *op = &e->insn->op[n];

    emit_store_rmw(e, n, op->class == OC_MEM ? emit_mem(e, 0, op->size, true) : 0, v);
}

void emit_store_rmw(struct emit *e, unsigned n, ir_ref addr, ir_ref v)
{
    const struct operand *op = &e->insn->op[n];

    if (op->class == OC_MEM)
        ir_st(e->b, emit_type(op->size), addr, v, emit_mem_flags(e));
    else
        put_reg_operand(e, op, v);
}

/* ---- atomic operations ---- */

bool emit_parallel(const struct emit *e)
{
    return e->cpu->opt.parallel;
}

bool emit_locked(const struct emit *e)
{
    return (e->insn->prefix & PFX_LOCK) && emit_parallel(e);
}

ir_ref emit_atomic_at(struct emit *e, enum ir_atomic kind, ir_ref addr, ir_ref v)
{
    return ir_atomic(e->b, kind, emit_type(e->insn->op[0].size), addr, v, emit_mem_flags(e));
}

ir_ref emit_atomic(struct emit *e, enum ir_atomic kind, ir_ref v)
{
    return emit_atomic_at(e, kind, emit_mem(e, 0, e->insn->op[0].size, true), v);
}

/* ---- the stack ---- */

static unsigned stack_size(const struct emit *e)
{
    return code64(e) ? 8 : e->mode & MODE_SS32 ? 4 : 2;
}

/* The stack pointer moved by `delta`, as an address (I32 or I64, cut to the stack's width). */
static ir_ref stack_pointer(struct emit *e, int64_t delta)
{
    enum ir_type t = full_type(e);
    ir_ref sp = ir_get(e->b, t, R_SP);

    if (delta)
        sp = ir_bini(e->b, IR_ADD, t, sp, (uint64_t)delta);
    return stack_size(e) == 2 ? ir_bini(e->b, IR_AND, IR_I32, sp, 0xffff) : sp;
}

static void put_stack_pointer(struct emit *e, ir_ref sp)
{
    emit_put_reg(e, R_SP, stack_size(e), sp);
}

void emit_push(struct emit *e, unsigned size, ir_ref v)
{
    ir_ref sp = stack_pointer(e, -(int64_t)size);

    ir_st(e->b, emit_type(size), emit_linear(e, S_SS, sp, size, true), v, emit_seg_flags(e, S_SS));
    put_stack_pointer(e, sp);
}

ir_ref emit_pop(struct emit *e, unsigned size)
{
    ir_ref addr = emit_linear(e, S_SS, stack_pointer(e, 0), size, false);

    return ir_ld(e->b, emit_type(size), addr, emit_seg_flags(e, S_SS));
}

void emit_pop_done(struct emit *e, unsigned bytes)
{
    put_stack_pointer(e, stack_pointer(e, bytes));
}

/* ---- block ends ---- */

/* Comes back to the run loop whatever its end: an exclusive section is for one instruction. */
static bool stepped(const struct emit *e)
{
    return e->mode & (MODE_STEPPED | MODE_ALONE);
}

/* EFLAGS.RF is set, and nobody has to see it cleared: the block of one instruction does it and looks up the next. */
static bool clears_rf(const struct emit *e)
{
    return (e->mode & MODE_RF) && !(e->mode & MODE_STEPPED);
}

/* Is the target in another page than the block's first byte, or so near to the end of it that it may be an instruction
 * that crosses, or not to be chained at all? */
bool emit_is_far(const struct emit *e, int32_t delta)
{
    int64_t off = (int64_t)e->block_page_off + delta;

    return e->single || off < 0 || off > (1 << TCG_PAGE_BITS) - INSN_MAX_LEN;
}

static int32_t next_delta(const struct emit *e)
{
    return e->pc_off + e->insn->len;
}

ir_ref emit_pc_value(struct emit *e, int32_t delta)
{
    ir_ref pc;

    if (code64(e))
        return ir_pc(e->b, IR_I64, delta);
    pc = ir_pc(e->b, IR_I32, delta);
    if (emit_ip_type(e) == IR_I16)
        pc = ir_bini(e->b, IR_AND, IR_I32, pc, 0xffff);
    return ir_zext(e->b, IR_I64, pc);
}

ir_ref emit_next_pc(struct emit *e)
{
    return emit_pc_value(e, next_delta(e));
}

/* MODE_SHADOW as a value: `set` is a boolean. */
static void put_shadow(struct emit *e, ir_ref set)
{
    ir_ref mode = ir_lde(e->b, IR_I32, offsetof(struct cpu, mode));

    ir_ste(e->b, IR_I32, offsetof(struct cpu, mode),
           ir_deposit(e->b, IR_I32, mode, __builtin_ctz(MODE_SHADOW), 1, set));
}

bool emit_shadow(struct emit *e, ir_ref clear)
{
    if (stepped(e) || e->single)
        return false;
    ir_trapif(e->b, ir_lde(e->b, IR_I32, offsetof(struct cpu, pins)), HELP_restart_one, 0);
    put_shadow(e, clear);
    e->sti = clear;
    return true;
}

static void clear_bits(struct emit *e, unsigned field, uint32_t bits)
{
    ir_ste(e->b, IR_I32, field, ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, field), ~bits));
}

/* The instruction is complete: the shadow of an STI before it ends, RF is cleared. */
static void leave_insn(struct emit *e)
{
    if (e->in_shadow)
        put_shadow(e, ir_const(e->b, IR_I32, 0));
    e->in_shadow = false;
    if (!clears_rf(e))
        return;
    clear_bits(e, offsetof(struct cpu, eflags), FL_RF);
    clear_bits(e, offsetof(struct cpu, mode), MODE_RF);
}

void emit_goto(struct emit *e, int32_t delta)
{
    leave_insn(e);
    if (stepped(e))
        ir_exit(e->b, emit_ip_type(e), delta);
    else
        ir_goto(e->b, emit_ip_type(e), delta, emit_is_far(e, delta));
    e->ended = true;
}

void emit_jump(struct emit *e, int32_t delta)
{
    leave_insn(e);
    if (!e->trace || !trace_goto(e, delta))
        emit_goto(e, delta);
}

void emit_return(struct emit *e, ir_ref pc, uint32_t note)
{
    leave_insn(e);
    if (!e->trace || !trace_return(e, pc, note))
        emit_goto_noted(e, pc, note);
}

void emit_branch(struct emit *e, ir_ref cond, int32_t delta)
{
    int32_t next = next_delta(e);

    leave_insn(e);
    if (e->trace && trace_branch(e, cond, delta, next))
        return;
    if (stepped(e))
        emit_goto_indirect(e, ir_select(e->b, IR_I64, cond, emit_pc_value(e, delta), emit_pc_value(e, next)));
    else
        ir_br(e->b, emit_ip_type(e), cond, delta, emit_is_far(e, delta), next, emit_is_far(e, next));
    e->ended = true;
}

void emit_goto_noted(struct emit *e, ir_ref pc, uint32_t note)
{
    leave_insn(e);
    if (stepped(e)) {
        ir_ste(e->b, IR_I64, offsetof(struct cpu, rip), pc);
        ir_exit_dynamic(e->b);
    } else {
        ir_gotoi(e->b, pc, note);
    }
    e->ended = true;
}

void emit_goto_indirect(struct emit *e, ir_ref pc)
{
    emit_goto_noted(e, pc, 0);
}

/* The helper may have loaded another RF. */
void emit_lookup(struct emit *e)
{
    if (clears_rf(e))
        ir_call(e->b, HELP_clear_rf, 0, 0, 0, 0);
    else
        leave_insn(e);
    if (stepped(e))
        ir_exit_dynamic(e->b);
    else
        ir_lookup(e->b);
    e->ended = true;
}

void emit_end_next(struct emit *e)
{
    emit_goto_indirect(e, emit_next_pc(e));
}

void emit_exit_next(struct emit *e)
{
    leave_insn(e);
    ir_exit(e->b, emit_ip_type(e), next_delta(e));
    e->ended = true;
}

static void raise_exception(struct emit *e, uint32_t arg)
{
    ir_call(e->b, HELP_raise, ir_const(e->b, IR_I32, arg), 0, 0, 0);
    ir_exit_dynamic(e->b);
    e->ended = true;
}

void emit_raise(struct emit *e, unsigned vector)
{
    raise_exception(e, raise_arg(vector));
}

void emit_raise_error(struct emit *e, unsigned vector, uint32_t code)
{
    raise_exception(e, raise_arg_code(vector, code));
}

uint32_t emit_check_pc_late(struct emit *e, ir_ref pc, unsigned popped)
{
    if (code64(e) && !stepped(e))
        return JUMP_CHECK | popped << JUMP_POPPED_SHIFT | (e->block_page_off + (uint32_t)e->pc_off);
    emit_check_pc(e, pc);
    return 0;
}

void emit_check_pc(struct emit *e, ir_ref pc)
{
    ir_ref bad;

    if (code64(e)) {
        unsigned above = e->mode & MODE_LA57 ? 7 : 16; /* bits that repeat the one below them */
        ir_ref upper = ir_bini(e->b, IR_SAR, IR_I64, ir_bini(e->b, IR_SHL, IR_I64, pc, above), above);
        bad = ir_cmp(e->b, IR_CMP_NE, IR_I64, upper, pc);
    } else if (e->mode & MODE_FLAT_CS) {
        return;
    } else {
        ir_ref limit = ir_lde(e->b, IR_I32, seg_offset(S_CS, offsetof(struct segment, limit)));
        bad = ir_cmp(e->b, IR_CMP_GTU, IR_I32, ir_zext(e->b, IR_I32, pc), limit);
    }
    ir_trapif(e->b, bad, HELP_raise, raise_arg_code(EX_GP, 0));
}

/* ---- one instruction ---- */

/* #UD and #NM of the FPU, MMX and SSE rows (SDM vol. 3, 2.5, table 9-1, 12.1, 13.1.4). False: raised. */
static bool emit_unit_checks(struct emit *e)
{
    uint32_t flags = e->insn->row->flags;
    bool ud = ((flags & OPF_MMX) && (e->mode & MODE_EM)) ||
              ((flags & OPF_SSE) && (e->mode & (MODE_EM | MODE_OSFXSR)) != MODE_OSFXSR);
    bool nm = (e->mode & MODE_TS) || ((flags & OPF_FPU) && (e->mode & MODE_EM));

    if (!(flags & (OPF_FPU | OPF_MMX | OPF_SSE | OPF_AVX)))
        return true;
    if ((flags & OPF_AVX) && !(e->mode & MODE_AVX))
        ud = true;
    if (ud || nm) {
        emit_raise(e, ud ? EX_UD : EX_NM);
        return false;
    }
    if (flags & (OPF_FPU | OPF_MMX))
        emit_fpu_checks(e);
    return true;
}

static bool row_available(const struct emit *e)
{
    const struct opcode *row = e->insn->row;

    if (row->feature > FEAT_486 && !cpu_has(e->cpu, row->feature))
        return false;
    return !(row->flags & (OPF_PROT | OPF_VEX)) || (e->mode & (MODE_PE | MODE_VM)) == MODE_PE;
}

/* The instructions that CR4.UMIP closes to the user. */
static void emit_umip_check(struct emit *e)
{
    ir_ref umip = ir_bini(e->b, IR_AND, IR_I32, ir_lde(e->b, IR_I32, offsetof(struct cpu, cr4)), CR4_UMIP);

    umip = ir_cmp(e->b, IR_CMP_NE, IR_I32, umip, ir_const(e->b, IR_I32, 0));
    ir_trapif(e->b, umip, HELP_raise, raise_arg_code(EX_GP, 0));
}

static void emit_insn(struct emit *e)
{
    const struct opcode *row = e->insn->row;

    if (!row_available(e))
        emit_raise(e, EX_UD);
    else if ((row->flags & OPF_CPL0) && (e->mode & MODE_CPL))
        emit_raise_error(e, EX_GP, 0);
    else if (emit_unit_checks(e)) {
        if ((row->flags & OPF_UMIP) && (e->mode & MODE_CPL))
            emit_umip_check(e);
        if ((row->flags & OPF_SERIAL) && emit_parallel(e))
            ir_fence(e->b);
        row->emit(e);
        if ((row->flags & OPF_FPU) && !e->ended)
            emit_fpu_done(e);
    }
}

/* ---- blocks ---- */

struct block_source {
    const uint8_t *code;
    size_t avail;
    const uint8_t *tail;
    uint64_t pc;
};

/* Outside flat code segments: one check of the whole block against CS's limit. Returns the value to be
 * completed by set_extent(), or 0. */
static ir_ref check_extent(struct emit *e)
{
    ir_ref last, limit;

    if (e->mode & (MODE_FLAT_CS | MODE_CODE64))
        return 0;
    last = ir_pc(e->b, IR_I32, EXTENT_UNKNOWN);
    limit = ir_lde(e->b, IR_I32, seg_offset(S_CS, offsetof(struct segment, limit)));
    ir_trapif(e->b, ir_cmp(e->b, IR_CMP_GTU, IR_I32, last, limit), HELP_cs_limit, e->insn->len);
    return last;
}

static void set_extent(struct emit *e, ir_ref extent, uint32_t size)
{
    if (extent)
        ir_block(e->b)->insn[extent].imm = size - 1;
}

static void log_insn(struct emit *e, const struct block_source *src, const uint8_t *bytes)
{
    char *text = NULL;
    size_t size;
    FILE *out;
    uint64_t pc = src->pc + (uint64_t)(int64_t)e->pc_off;

    if (!log_enabled_at(e->cpu->log, LOG_IN, src->pc))
        return;
    out = open_memstream(&text, &size);
    if (!out)
        return;
    fprintf(out, "%016" PRIx64 ": ", pc);
    for (unsigned i = 0; i < e->insn->len; i++)
        fprintf(out, " %02x", bytes[i]);
    fprintf(out, "%*s", 3 * (INSN_MAX_LEN - e->insn->len) + 2, "");
    if (e->insn->row)
        insn_print(out, e->insn, pc);
    else
        fputs("(bad)", out);
    fclose(out);
    log_printf(e->cpu->log, "in: %s\n", text);
    free(text);
}

/* An instruction that begins in this page and cannot be fetched to its end. */
static void emit_fetch_fault(struct emit *e, unsigned room)
{
    ir_ref pc = ir_zext(e->b, IR_I64, code64(e) ? ir_pc(e->b, IR_I64, room) : ir_pc(e->b, IR_I32, room));
    ir_ref addr = ir_bin(e->b, IR_ADD, IR_I64, pc, ir_lde(e->b, IR_I64, offsetof(struct cpu, code_base)));

    ir_insn_start(e->b, 0, room);
    ir_call(e->b, HELP_fetch_fault, addr, 0, 0, 0);
    ir_exit_dynamic(e->b);
    e->ended = true;
}

/* Emit a decoded or undecodable instruction of insn->len bytes. */
static void emit_decoded(struct emit *e, enum decode_result result, ir_ref *extent)
{
    ir_insn_start(e->b, (uint32_t)e->pc_off, e->insn->len);
    e->in_shadow = e->stop = e->sti != 0;
    e->sti = 0;
    if (stepped(e))
        ir_ste(e->b, IR_I8, offsetof(struct cpu, stepped), ir_const(e->b, IR_I8, 1));
    if (clears_rf(e)) {
        ir_ste(e->b, IR_I8, offsetof(struct cpu, no_step), ir_const(e->b, IR_I8, 0));
        ir_ste(e->b, IR_I8, offsetof(struct cpu, rf_loaded), ir_const(e->b, IR_I8, 0));
    }
    if (e->pc_off == 0)
        *extent = check_extent(e);
    if (result == DECODE_UD)
        emit_raise(e, EX_UD);
    else if (result == DECODE_TOO_LONG)
        emit_raise_error(e, EX_GP, 0);
    else
        emit_insn(e);
}

/* The block's first instruction reaches into the next page: a block of its own. Returns its length in
 * *size. */
static void emit_crossing(struct emit *e, struct insn *insn, const struct block_source *src, ir_ref *extent,
                          bool *crossed)
{
    uint8_t buf[2 * INSN_MAX_LEN];
    enum decode_result result;

    *crossed = true;
    e->live = NULL;
    if (!src->tail) {
        insn->len = (uint8_t)src->avail;
        emit_fetch_fault(e, insn->len);
        return;
    }
    memcpy(buf, src->code, src->avail);
    memcpy(buf + src->avail, src->tail, INSN_MAX_LEN);
    result = insn_decode(insn, buf, src->avail + INSN_MAX_LEN, code_bits(e));
    log_insn(e, src, buf);
    e->single = true;
    emit_decoded(e, result, extent);
    *crossed = insn->len > src->avail;
}

/* Behind the last instruction. */
static void end_block(struct emit *e)
{
    if (!e->ended && e->sti)
        emit_goto_indirect(e, emit_pc_value(e, e->pc_off)); /* MODE_SHADOW stays for the next instruction */
    else if (!e->ended)
        emit_goto(e, e->pc_off);
}

/* Emit instructions until the block ends; returns its size in bytes, with the number of instructions in
 * *num. */
static uint32_t emit_insns(struct emit *e, const struct block_source *src, unsigned max, uint32_t *num,
                           bool *crossed)
{
    ir_ref extent = 0;
    struct insn insn;

    e->insn = &insn;
    for (*num = 0; *num < max && !e->ended && !e->stop && ir_room(e->b) >= IR_RESERVE;) {
        enum decode_result result = insn_decode(&insn, src->code + e->pc_off, src->avail - (size_t)e->pc_off,
                                                code_bits(e));
        if (result == DECODE_MORE && e->pc_off)
            break;
        if (result == DECODE_MORE) {
            emit_crossing(e, &insn, src, &extent, crossed);
            e->stop = true;
        } else {
            log_insn(e, src, src->code + e->pc_off);
            emit_decoded(e, result, &extent);
        }
        e->pc_off += insn.len;
        (*num)++;
    }
    end_block(e);
    set_extent(e, extent, (uint32_t)e->pc_off);
    e->insn = NULL;
    return (uint32_t)e->pc_off;
}

/* The same along a hot path. */
static void emit_trace(struct emit *e, const struct block_source *src, uint32_t *num)
{
    struct trace *t = e->trace;
    struct insn insn;
    ir_ref extent;

    e->insn = &insn;
    for (*num = 0; *num < TRACE_MAX_INSNS && !e->ended && !e->stop && ir_room(e->b) >= IR_RESERVE;) {
        enum decode_result result = insn_decode(&insn, src->code + e->pc_off, src->avail - (size_t)e->pc_off,
                                                code_bits(e));
        if (result == DECODE_MORE || !trace_enter(e))
            break;
        log_insn(e, src, src->code + e->pc_off);
        emit_decoded(e, result, &extent);
        e->pc_off = t->follows ? t->next : e->pc_off + insn.len;
        (*num)++;
    }
    end_block(e);
    e->insn = NULL;
}

static struct ir_block *start_block(struct emit *e, struct cpu *cpu, uint64_t pc)
{
    struct ir_block *blk = ir_start(e->b);

    e->cpu = cpu;
    e->block_page_off = (uint32_t)(pc & ((1u << TCG_PAGE_BITS) - 1));
    blk->pc = pc;
    blk->page_off = (uint16_t)e->block_page_off;
    blk->mode = e->mode;
    blk->mmu = (uint8_t)cpu_mmu_set(cpu);
    return blk;
}

struct ir_block *emit_block(struct cpu *cpu, struct ir_builder *b, const uint8_t *code, size_t avail,
                            const uint8_t *tail, uint64_t pc, unsigned max, bool *crossed,
                            const struct emit_live *live)
{
    struct block_source src = { .code = code, .avail = avail, .tail = tail, .pc = pc };
    struct emit e = { .b = b, .mode = cpu->mode | (max ? 0 : MODE_ALONE) };
    struct ir_block *blk = start_block(&e, cpu, pc);

    *crossed = false;
    if (stepped(&e) || clears_rf(&e))
        max = 1;
    e.single = max == 1;
    e.live = live && live->num ? live : NULL;
    blk->guest_size = emit_insns(&e, &src, max, &blk->guest_insns, crossed);
    return blk;
}

struct ir_block *emit_hot_block(struct cpu *cpu, struct ir_builder *b, const uint8_t *code, size_t avail, uint64_t pc,
                                struct trace *t)
{
    struct block_source src = { .code = code, .avail = avail, .pc = pc };
    struct emit e = { .b = b, .mode = cpu->mode, .trace = t,
                      .live = t->live && t->live->num ? t->live : NULL };
    struct ir_block *blk = start_block(&e, cpu, pc);

    trace_start(t);
    emit_trace(&e, &src, &blk->guest_insns);
    blk->guest_size = (uint32_t)t->end;
    blk->guest_before = (uint16_t)-t->lowest;
    blk->hot = true;
    return blk;
}
