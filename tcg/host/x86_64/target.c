/* The x86-64 host backend: compiles a block in two scans (live.c) and one emitting walk. */
#include "tcg/host/x86_64/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tcg/host/x86_64/emit.h"

_Static_assert((int)W8 == (int)IR_I8 && (int)W64 == (int)IR_I64, "IR types serve as host widths");

enum { THUNKS_SIZE = 49152, CODE_ALIGN = 16 };

typedef void emit_fn(struct emit *c, unsigned i);
typedef uintptr_t enter_fn(void *env, const void *code);

static void begin_insn(struct emit *c, unsigned i)
{
    c->guest_off = (int16_t)c->insn[i].imm;
    c->guest_insn++;
    vec_begin_insn(c);
}

static emit_fn *const emitters[IR_NUM_OPS] = {
    [IR_INSN] = begin_insn,
    [IR_GET] = emit_get, [IR_PUT] = emit_put, [IR_LDE] = emit_lde, [IR_STE] = emit_ste, [IR_PC] = emit_pc,
    [IR_CODE] = emit_code,
    [IR_ADD] = emit_arith, [IR_SUB] = emit_arith, [IR_AND] = emit_arith, [IR_OR] = emit_arith,
    [IR_XOR] = emit_arith, [IR_MUL] = emit_arith, [IR_MULHU] = emit_mulh, [IR_MULHS] = emit_mulh,
    [IR_ADC] = emit_add_carry, [IR_SBB] = emit_add_carry,
    [IR_DIVU] = emit_division, [IR_REMU] = emit_division, [IR_DIVS] = emit_division, [IR_REMS] = emit_division,
    [IR_NOT] = emit_unary, [IR_NEG] = emit_unary, [IR_BSWAP] = emit_unary,
    [IR_SHL] = emit_shift_op, [IR_SHR] = emit_shift_op, [IR_SAR] = emit_shift_op, [IR_ROL] = emit_shift_op,
    [IR_ROR] = emit_shift_op, [IR_CTZ] = emit_count_zeros, [IR_CLZ] = emit_count_zeros,
    [IR_POPCNT] = emit_population, [IR_PDEP] = emit_bit_field, [IR_PEXT] = emit_bit_field, [IR_BZHI] = emit_bit_field,
    [IR_BEXTR] = emit_bit_field, [IR_CRC32] = emit_checksum,
    [IR_ZEXT] = emit_resize, [IR_SEXT] = emit_resize, [IR_TRUNC] = emit_resize,
    [IR_EXTRACT] = emit_extract, [IR_DEPOSIT] = emit_deposit,
    [IR_CMP] = emit_boolean, [IR_COND] = emit_boolean, [IR_SELECT] = emit_select,
    [IR_FL_SETC] = emit_flags, [IR_GETFL] = emit_flags, [IR_PUTFL] = emit_flags, [IR_PUTFLIF] = emit_flags,
    [IR_EFLAGS] = emit_flags,
    [IR_LD] = emit_memory, [IR_ST] = emit_memory, [IR_LDV] = emit_memory, [IR_STV] = emit_memory,
    [IR_XLATE] = emit_xlate,
    [IR_ATOMIC] = emit_atomic_op, [IR_CAS] = emit_atomic_op, [IR_FENCE] = emit_fence_op,
    [IR_BOUND] = emit_check, [IR_TRAPIF] = emit_check, [IR_CALL] = emit_helper_call, [IR_VOP] = emit_vop,
    [IR_X87] = emit_x87_op, [IR_X87V] = emit_x87_op, [IR_X87M] = emit_x87_op,
    [IR_VMASK] = emit_vmask, [IR_VZERO] = emit_clear_high, [IR_VSET] = emit_vset, [IR_VFROMI] = emit_vfromi,
    [IR_VTOI] = emit_vtoi, [IR_VCOM] = emit_vcom, [IR_EXITIF] = emit_side_exit, [IR_GOTOIF] = emit_side_exit,
    [IR_GOTO] = emit_end, [IR_BR] = emit_end, [IR_GOTOI] = emit_end, [IR_LOOKUP] = emit_end,
    [IR_EXIT] = emit_end,
};

/* KEEPS_FLAGS: the code is moves only, which the host's flags survive. PLAIN: it calls nothing and jumps nowhere, so that
 * it may be copied. */
enum { KEEPS_FLAGS = 1, PLAIN = 2 };

static const uint8_t traits[IR_NUM_OPS] = {
    [IR_INSN] = KEEPS_FLAGS | PLAIN,
    [IR_GET] = KEEPS_FLAGS | PLAIN, [IR_PUT] = KEEPS_FLAGS | PLAIN, [IR_ZEXT] = KEEPS_FLAGS | PLAIN,
    [IR_SEXT] = KEEPS_FLAGS | PLAIN, [IR_TRUNC] = KEEPS_FLAGS | PLAIN, [IR_NOT] = KEEPS_FLAGS | PLAIN,
    [IR_LDE] = KEEPS_FLAGS, [IR_STE] = KEEPS_FLAGS, [IR_PC] = KEEPS_FLAGS, [IR_CODE] = KEEPS_FLAGS,
    [IR_PUTFL] = KEEPS_FLAGS, [IR_VMASK] = KEEPS_FLAGS, [IR_VOP] = KEEPS_FLAGS, [IR_VZERO] = KEEPS_FLAGS,
    [IR_VSET] = KEEPS_FLAGS, [IR_VFROMI] = KEEPS_FLAGS, [IR_VTOI] = KEEPS_FLAGS,
    [IR_ADD] = PLAIN, [IR_SUB] = PLAIN, [IR_AND] = PLAIN, [IR_OR] = PLAIN, [IR_XOR] = PLAIN, [IR_NEG] = PLAIN,
    [IR_SHL] = PLAIN, [IR_SHR] = PLAIN, [IR_SAR] = PLAIN, [IR_EXTRACT] = PLAIN, [IR_DEPOSIT] = PLAIN,
};

void emit_map(struct emit *c, int16_t off, uint16_t insn, uint16_t pending)
{
    _Static_assert(X86_ROOM_PER_BLOCK + IR_MAX_INSNS * X86_ROOM_PER_ACCESS < 1 << 21, "offsets in the map");
    _Static_assert(IR_MAX_INSNS <= 1 << 11, "numbers of instructions in the map");
    c->map[c->num_map++] = (struct tcg_pc_entry){ .host_off = (uint32_t)(c->enc.at - c->start) & 0x1fffff,
                                                  .guest_insn = (insn ? insn - 1u : 0u) & 0x7ff, .guest_off = off,
                                                  .pending = pending };
}

/* A constant is made by whoever needs it in a register: ra_analyse() leaves it out, as all that has no code. */
static void emit_block(struct emit *c)
{
    emit_entry(c);
    if (c->loop.num)
        vec_enter_loop(c, &c->loop);
    c->loop_at = c->enc.at;
    for (unsigned k = c->ra.first; k < IR_MAX_INSNS; k++) {
        unsigned i = c->ra.made[k], op = c->insn[i].op;
        const struct stub *last = c->last;

        c->kept_flags = traits[op] & KEEPS_FLAGS;
        emitters[op](c, i);
        if (c->last == last && !(traits[op] & PLAIN))
            c->last = NULL;
        ra_unlock(&c->ra);
        vec_unlock(c);
        c->flags_owner = c->kept_flags || c->flags_owner == i ? c->flags_owner : 0;
        c->carry_is = c->kept_flags || c->carry_is == i ? c->carry_is : 0;
    }
    emit_stubs(c);
}

/* ---- struct tcg_host ---- */

static void *x86_init(const struct tcg_guest *guest, struct tcg_code_buf *buf, uint32_t isa)
{
    struct emit *c = calloc(1, sizeof(*c));

    if (!c || buf->end - buf->at < THUNKS_SIZE) {
        free(c);
        return NULL;
    }
    c->guest = guest;
    c->isa = isa;
    c->enc.at = buf->at;
    x86_thunks_emit(&c->thunks, &c->enc, guest, isa & TCG_ISA_AVX);
    buf->at = c->enc.at;
    return c;
}

static void *x86_clone(void *host)
{
    const struct emit *other = host;
    struct emit *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->guest = other->guest;
    c->isa = other->isa;
    c->thunks = other->thunks;
    return c;
}

static void x86_free(void *host)
{
    free(host);
}

size_t x86_room(const struct ir_block *ir)
{
    size_t room = X86_ROOM_PER_BLOCK + (size_t)ir->num * X86_ROOM_PER_INSN;

    for (unsigned i = 1; i < ir->num; i++)
        if ((ir_ops[ir->insn[i].op].effects & E_FAULT) && ir->insn[i].op != IR_CALL)
            room += X86_ROOM_PER_ACCESS - X86_ROOM_PER_INSN;
    return room;
}

/* Mostly there is more than the longest block of so many instructions takes. */
static bool has_room(const struct ir_block *ir, size_t room)
{
    _Static_assert(X86_ROOM_PER_ACCESS >= X86_ROOM_PER_INSN, "the most that one instruction takes");
    return room >= X86_ROOM_PER_BLOCK + (size_t)ir->num * X86_ROOM_PER_ACCESS || room >= x86_room(ir);
}

/* A loop is known at its end: then the block is made again. */
static void compile_once(struct emit *c, const struct ir_block *ir)
{
    emit_front(c);
    c->guest_off = c->guest_insn = 0;
    c->flags_owner = c->carry_is = 0;
    c->last = NULL;
    c->num_stubs = c->num_map = c->num_xlates = c->num_pending = c->last_pending = 0;
    ra_analyse(&c->ra, &c->enc, ir->insn, ir->num);
    vec_begin(c);
    emit_block(c);
}

/* Behind the code, so that it comes and goes with it; behind the map what it says of pending flags. Eight bytes in which
 * there is an exit, to be patched, belong to this block alone. */
static void put_map(struct emit *c, struct tcg_block *blk)
{
    size_t size = c->num_map * sizeof(c->map[0]);

    c->enc.at += -(uintptr_t)c->enc.at & 7;
    blk->map = (struct tcg_pc_entry *)(void *)c->enc.at;
    blk->num_map = c->num_map;
    memcpy(blk->map, c->map, size);
    c->enc.at += size;
    memcpy(c->enc.at, c->pending, c->num_pending);
    c->enc.at += c->num_pending;
}

static int x86_compile(void *host, const struct ir_block *ir, struct tcg_code_buf *buf, struct tcg_block *blk)
{
    struct emit *c = host;
    size_t pad = -(uintptr_t)(buf->at + FRONT_SIZE) & (CODE_ALIGN - 1);

    if (!has_room(ir, (size_t)(buf->end - buf->at)))
        return -1;
    c->ir = ir;
    c->insn = ir->insn;
    c->blk = blk;
    c->start = buf->at + FRONT_SIZE + pad;
    c->loop.num = 0;
    blk->loop_at = 0;
    compile_once(c, ir);
    if (c->loop.num) {
        for (unsigned n = 0; n < blk->num_exits; n++)
            blk->exit[n].jump_at = 0;
        compile_once(c, ir);
    }
    blk->code = c->start;
    blk->code_size = (uint32_t)(c->enc.at - c->start);
    put_map(c, blk);
    buf->at = c->enc.at;
    return 0;
}

static uintptr_t x86_enter(void *host, void *env, const void *code)
{
    struct emit *c = host;
    enter_fn *enter = (enter_fn *)(uintptr_t)c->thunks.enter;

    return enter(env, code);
}

const struct tcg_host tcg_host_x86_64 = {
    .name = "x86_64",
    .init = x86_init,
    .clone = x86_clone,
    .free = x86_free,
    .compile = x86_compile,
    .link = x86_link,
    .close = x86_close,
    .enter = x86_enter,
    .left = x86_left,
    .commit = x86_commit,
    .disassemble = x86_disassemble,
};
