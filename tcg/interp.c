/* The interpreter of IR: serves hosts without a backend and is the oracle for passes and backends.
 *
 * An integer value is a uint64_t whose bits above the value's type are garbage,
 * as ir.def allows; who needs them extends. A flags value is not computed when
 * it is made: who uses it evaluates the instruction that made it, whose
 * operands are all still there. Only GETFL is evaluated where it stands.
 * Leaving by an exception costs nothing on the straight way: what
 * tcg_fault_offset needs is the index of the instruction that called out. */
#include <string.h>

#include "base/bits.h"
#include "tcg/atomic.h"
#include "tcg/build.h"
#include "tcg/cache.h"
#include "tcg/vec.h"

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE__))
#include <xmmintrin.h>
static uint32_t host_mxcsr(void) { return _mm_getcsr(); }
static void set_host_mxcsr(uint32_t v) { _mm_setcsr(v); }
#else
/* No unit that understands MXCSR: vector operations in C use the host's default environment. */
static uint32_t host_mxcsr(void) { return 0x1f80; }
static void set_host_mxcsr(uint32_t v) { (void)v; }
#endif

/* One block being interpreted. */
struct run {
    struct tcg *t;
    const struct tcg_guest *guest;
    void *env;
    struct tcg_block *blk;
    uint64_t *v;
    struct tcg_block *next;   /* after the block's end: where to go on; NULL: leave */
    uintptr_t result;         /* then: what tcg_interp_run returns */
};

static uint64_t mask_to(uint64_t v, unsigned type)
{
    return v & MASK(IR_BITS(type));
}

static uint64_t load_typed(const void *p, unsigned type)
{
    switch (type) {
    case IR_I8: return load_shared_le(p, 1);
    case IR_I16: return load_shared_le(p, 2);
    case IR_I32: return load_shared_le(p, 4);
    default: return load_shared_le(p, 8);
    }
}

static void store_typed(void *p, unsigned type, uint64_t v)
{
    switch (type) {
    case IR_I8: store_shared_le(p, 1, v); break;
    case IR_I16: store_shared_le(p, 2, v); break;
    case IR_I32: store_shared_le(p, 4, v); break;
    default: store_shared_le(p, 8, v); break;
    }
}

/* CPU struct fields have the host's byte order, and any alignment. Words that other threads change are aligned. */
static uint64_t load_field(void *env, uint64_t offset, unsigned type)
{
    const void *p = tcg_field(env, offset);
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (type) {
    case IR_I8: return *(const uint8_t *)p;
    case IR_I16: return memcpy(&v16, p, 2), v16;
    case IR_I32:
        if (!((uintptr_t)p & 3))
            return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
        return memcpy(&v32, p, 4), v32;
    default: return memcpy(&v64, p, 8), v64;
    }
}

static void store_field(void *env, uint64_t offset, unsigned type, uint64_t v)
{
    void *p = tcg_field(env, offset);
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;

    switch (type) {
    case IR_I8: *(uint8_t *)p = (uint8_t)v; break;
    case IR_I16: memcpy(p, &v16, 2); break;
    case IR_I32: memcpy(p, &v32, 4); break;
    default: memcpy(p, &v, 8); break;
    }
}

/* ---- flags ---- */

static uint32_t flags_of(const struct ir_insn *ir, const uint64_t *v, ir_ref fl)
{
    const struct ir_insn *in = &ir[fl];

    if (in->op == IR_GETFL)
        return (uint32_t)v[fl];
    if (in->op == IR_FL_SETC)
        return (flags_of(ir, v, in->a) & ~(uint32_t)IR_CF) | (v[in->b] & IR_CF);
    return ir_flags_eval(in->op, in->type, v[in->a], v[in->b], v[in->c]);
}

void tcg_interp_commit(struct tcg *t, void *env, ir_ref fl)
{
    const struct ir_insn *ir = t->interp.block->ir, *in = &ir[fl];
    const uint64_t *v = t->interp.value;
    struct tcg_flags *f = tcg_field(env, t->guest->off_flags);

    if (in->op == IR_GETFL || in->op == IR_FL_SETC)
        *f = (struct tcg_flags){ .a = flags_of(ir, v, fl), .op = IR_FL_RAW, .type = IR_I32 };
    else
        *f = (struct tcg_flags){ .a = v[in->a], .b = v[in->b], .c = v[in->c], .op = in->op,
                                 .type = in->type };
}

static uint32_t guest_flags(const struct run *r)
{
    const struct tcg_flags *f = tcg_field(r->env, r->guest->off_flags);

    return ir_flags_eval(f->op, f->type, f->a, f->b, f->c);
}

/* ---- guest memory: the inline probe as host code does it ---- */

/* Host address of `size` bytes at `addr`, or NULL for the slow path. An access that crosses a page has its
 * last byte under another tag, so the one compare finds that too. */
static void *probe(const struct run *r, const struct ir_insn *in, uint64_t addr, unsigned size, bool write)
{
    const uint64_t page_mask = ~MASK(TCG_PAGE_BITS);
    unsigned align = size - 1;
    const struct tcg_tlb_entry *e = tcg_field(r->env, r->guest->off_tlb);

    e += (size_t)r->blk->mmu * TCG_TLB_SIZE + ((addr >> TCG_PAGE_BITS) & r->guest->tlb_mask[r->blk->mmu]);
    if (((addr + size - 1) & page_mask) != (write || (in->aux & IR_MEM_RMW) ? e->tag_write : e->tag_read))
        return NULL;
    if ((in->aux & IR_MEM_SUPER) || ((in->aux & IR_MEM_ALIGN) && (addr & align)))
        return NULL;
    return (void *)(uintptr_t)(addr + e->addend);
}

static uint64_t address(const struct run *r, ir_ref a)
{
    return mask_to(r->v[a], ir_result_type(&r->blk->ir[a]));
}

/* Of LD, ST, LDV, STV. */
static uint64_t displaced(const struct run *r, const struct ir_insn *in)
{
    int64_t disp = (int32_t)(in->imm >> 32);

    return mask_to(r->v[in->a] + (uint64_t)disp, ir_result_type(&r->blk->ir[in->a]));
}

static uint64_t do_load(const struct run *r, const struct ir_insn *in)
{
    uint64_t addr = displaced(r, in);
    unsigned size = IR_BYTES(in->type);
    const void *p = probe(r, in, addr, size, false);

    return p ? load_typed(p, in->type) : r->guest->load(r->env, addr, size, in->aux);
}

static void store_value(const struct run *r, const struct ir_insn *in, unsigned type, uint64_t v)
{
    uint64_t addr = displaced(r, in);
    unsigned size = IR_BYTES(type);
    void *p = probe(r, in, addr, size, true);

    if (p)
        store_typed(p, type, v);
    else
        r->guest->store(r->env, addr, mask_to(v, type), size, in->aux);
}

static uint64_t do_atomic(const struct run *r, const struct ir_insn *in)
{
    uint64_t addr = address(r, in->a), v = mask_to(r->v[in->b], in->type);
    unsigned size = IR_BYTES(in->type);
    void *p = probe(r, in, addr, size, true);

    if (p && atomic_possible(p, size))
        return atomic_rmw(p, size, (enum ir_atomic)in->imm, v);
    return r->guest->atomic(r->env, addr, v, size, in->aux | (uint32_t)in->imm << 8);
}

static uint64_t do_cas(const struct run *r, const struct ir_insn *in)
{
    uint64_t addr = address(r, in->a);
    uint64_t expected = mask_to(r->v[in->b], in->type), desired = mask_to(r->v[in->c], in->type);
    unsigned size = IR_BYTES(in->type);
    void *p = probe(r, in, addr, size, true);

    if (p && atomic_possible(p, size))
        return atomic_cas(p, size, expected, desired);
    return r->guest->cas(r->env, addr, expected, desired, size, in->aux);
}

static const uint8_t scalar_type[] = { [IR_V32] = 0, [IR_V4] = IR_I32, [IR_V8] = IR_I64 };

/* LDV of 4 or 8 bytes. */
static void load_scalar(const struct run *r, const struct ir_insn *in)
{
    struct ir_insn load = *in;
    uint64_t v[2] = { 0 };

    load.type = scalar_type[in->cc & IR_V_SIZE];
    v[0] = mask_to(do_load(r, &load), load.type);
    memcpy(tcg_field(r->env, (uint32_t)in->imm), v, 16);
}

/* 32 bytes are two halves, of which the first is checked for both. */
static bool is_wide(const struct ir_insn *in)
{
    return (in->cc & IR_V_SIZE) == IR_V32;
}

static uint64_t second_address(const struct run *r, const struct ir_insn *in)
{
    return mask_to(displaced(r, in) + 16, ir_result_type(&r->blk->ir[in->a]));
}

static void load_wide(const struct run *r, const struct ir_insn *in)
{
    uint64_t addr = displaced(r, in);
    const uint8_t *p = probe(r, in, addr, is_wide(in) ? 32 : 16, false);
    void *field = tcg_field(r->env, (uint32_t)in->imm), *second = tcg_field(r->env, (uint32_t)in->imm + r->guest->vec_high);

    if (p)
        copy_shared(field, p, 16);
    else
        r->guest->load16(r->env, addr, field, in->aux | (is_wide(in) ? IR_MEM_PAIR : 0));
    if (is_wide(in) && p)
        copy_shared(second, p + 16, 16);
    else if (is_wide(in))
        r->guest->load16(r->env, second_address(r, in), second, in->aux & ~(unsigned)IR_MEM_ALIGN);
}

static void store_wide(const struct run *r, const struct ir_insn *in)
{
    uint64_t addr = displaced(r, in);
    uint8_t *p = probe(r, in, addr, is_wide(in) ? 32 : 16, true);
    const void *field = tcg_field(r->env, (uint32_t)in->imm), *second = tcg_field(r->env, (uint32_t)in->imm + r->guest->vec_high);

    if (p)
        copy_shared(p, field, 16);
    else
        r->guest->store16(r->env, addr, field, in->aux | (is_wide(in) ? IR_MEM_PAIR : 0));
    if (is_wide(in) && p)
        copy_shared(p + 16, second, 16);
    else if (is_wide(in))
        r->guest->store16(r->env, second_address(r, in), second, in->aux & ~(unsigned)IR_MEM_ALIGN);
}

static void clear_second(const struct run *r, const struct ir_insn *in, uint64_t field)
{
    if (in->cc & IR_V_CLEAR)
        memset(tcg_field(r->env, field + r->guest->vec_high), 0, 16);
}

static void do_load_vector(const struct run *r, const struct ir_insn *in)
{
    if (scalar_type[in->cc & IR_V_SIZE])
        load_scalar(r, in);
    else
        load_wide(r, in);
    clear_second(r, in, (uint32_t)in->imm);
}

static void do_store_vector(const struct run *r, const struct ir_insn *in)
{
    unsigned type = scalar_type[in->cc & IR_V_SIZE];

    if (type)
        store_value(r, in, type, load_field(r->env, (uint32_t)in->imm, type));
    else
        store_wide(r, in);
}

/* ---- helpers ---- */

typedef uint64_t helper0(void *env);
typedef uint64_t helper1(void *env, uint64_t a);
typedef uint64_t helper2(void *env, uint64_t a, uint64_t b);
typedef uint64_t helper3(void *env, uint64_t a, uint64_t b, uint64_t c);
typedef uint64_t helper4(void *env, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

static uint64_t call(void *env, const struct tcg_helper *h, const uint64_t arg[4])
{
    switch (strlen(h->args)) {
    case 0: return ((helper0 *)h->fn)(env);
    case 1: return ((helper1 *)h->fn)(env, arg[0]);
    case 2: return ((helper2 *)h->fn)(env, arg[0], arg[1]);
    case 3: return ((helper3 *)h->fn)(env, arg[0], arg[1], arg[2]);
    default: return ((helper4 *)h->fn)(env, arg[0], arg[1], arg[2], arg[3]);
    }
}

static uint64_t do_call(const struct run *r, const struct ir_insn *in)
{
    const struct tcg_helper *h = &r->guest->helpers[in->imm];
    const ir_ref ref[4] = { in->a, in->b, in->c, in->d };
    uint64_t arg[4] = { 0 };

    for (unsigned n = 0; h->args[n]; n++)
        arg[n] = h->args[n] == '4' ? (uint32_t)r->v[ref[n]] : r->v[ref[n]];
    return call(r->env, h, arg);
}

static uint64_t do_x87(const struct run *r, const struct ir_insn *in)
{
    uint64_t a = in->op == IR_X87M ? address(r, in->a) : (uint32_t)r->v[in->a];

    return r->guest->x87(r->env, a, in->imm, false);
}

static void do_bound(const struct run *r, const struct ir_insn *in)
{
    uint64_t a = address(r, in->a), more = in->imm >> 16 & 0xffff;
    const uint64_t *range = tcg_field(r->env, in->imm & 0xffff);

    if (a < range[0] || a > range[1] || range[1] - a < more)
        call(r->env, &r->guest->helpers[in->imm >> 32 & 0xffff], (const uint64_t[4]){ a, in->imm >> 48 });
}

static void do_vop(const struct run *r, const struct ir_insn *in)
{
    void *dst = tcg_field(r->env, in->imm >> 16 & 0xffff);
    const void *a = tcg_field(r->env, in->imm >> 32 & 0xffff), *b = tcg_field(r->env, in->imm >> 48);

    tcg_vop_run(in->imm & 0xffff, in->cc, in->aux, dst, a, b, r->guest->vec_high);
}

/* Between fields and integers. */
static uint64_t do_convert(const struct run *r, const struct ir_insn *in)
{
    void *dst = tcg_field(r->env, in->imm >> 16 & 0xffff);
    const void *a = tcg_field(r->env, in->imm >> 32 & 0xffff), *b = tcg_field(r->env, in->imm >> 48);
    uint64_t v[2] = { mask_to(r->v[in->a], in->type), 0 };

    switch (in->op) {
    case IR_VTOI:
        return vec_to_int(a, in->type == IR_I64, in->aux);
    case IR_VCOM:
        return vec_compare(a, b, in->aux);
    case IR_VFROMI:
        vec_from_int(dst, a, v[0], in->type == IR_I64, in->aux);
        break;
    default:
        memcpy(dst, v, 16);
        break;
    }
    clear_second(r, in, in->imm >> 16 & 0xffff);
    return 0;
}

/* Signs of the elements of 16 bytes. */
static uint64_t sign_mask(const uint8_t *field, unsigned element)
{
    unsigned size = IR_BYTES(element);
    uint64_t mask = 0;

    for (unsigned i = 0; i < 16 / size; i++)
        mask |= (uint64_t)(field[(i + 1) * size - 1] >> 7) << i;
    return mask;
}

static uint64_t vector_signs(const struct run *r, const struct ir_insn *in)
{
    uint64_t mask = sign_mask(tcg_field(r->env, in->imm), in->type);

    if (is_wide(in))
        mask |= sign_mask(tcg_field(r->env, in->imm + r->guest->vec_high), in->type) << 16 / IR_BYTES(in->type);
    return mask;
}

/* ---- block ends ---- */

static uint64_t *guest_pc(const struct run *r)
{
    return tcg_field(r->env, r->guest->off_pc);
}

/* From the pc of the page to that of `delta` behind the block's first byte. */
static void set_pc(const struct run *r, unsigned type, uint64_t delta)
{
    uint64_t *pc = guest_pc(r);

    *pc = mask_to(*pc + r->blk->page_off + (uint64_t)(int32_t)delta, type);
}

/* `page` was the pc field. */
static void look_up(struct run *r, uint64_t note, uint64_t page)
{
    uint64_t pc = *guest_pc(r) + *(uint64_t *)tcg_field(r->env, r->guest->off_code_base);
    const struct tcg_jump_entry *e = tcg_field(r->env, r->guest->off_jump_cache);

    e += tcg_jump_slot(pc);
    if (e->pc == pc && e->key == *(uint64_t *)tcg_field(r->env, r->guest->off_jump_key))
        r->next = (struct tcg_block *)(uintptr_t)e->code;
    else if (r->guest->lookup)
        r->next = (struct tcg_block *)(uintptr_t)r->guest->lookup(r->env, (uint32_t)note, page);
    if (r->next)
        *guest_pc(r) -= pc & MASK(TCG_PAGE_BITS);
}

static void go_to(struct run *r, uint64_t pc, uint64_t note)
{
    uint64_t page = *guest_pc(r);

    *guest_pc(r) = pc;
    look_up(r, note, page);
}

/* Exit n of the block, to `delta`. */
static void take_exit(struct run *r, unsigned type, uint64_t delta, bool far_exit, unsigned n)
{
    r->next = far_exit ? NULL : __atomic_load_n(&r->blk->exit[n].target, __ATOMIC_ACQUIRE);
    if (r->next)
        return;
    set_pc(r, type, delta);
    if (far_exit)
        look_up(r, 0, 0);
    else
        r->result = (uintptr_t)r->blk | n;
}

/* A way out in the middle was taken. */
static void do_side_exit(struct run *r, const struct ir_insn *in)
{
    r->next = NULL;
    r->result = 0;
    if (in->fl)
        tcg_interp_commit(r->t, r->env, in->fl);
    if (in->op == IR_EXITIF) {
        take_exit(r, in->type, in->imm, in->aux & IR_FAR(0), (unsigned)(in->imm >> 32));
    } else {
        go_to(r, r->v[in->b], in->imm);
    }
}

static void do_end(struct run *r, const struct ir_insn *in)
{
    unsigned n = 0;

    r->next = NULL;
    r->result = 0;
    switch (in->op) {
    case IR_BR:
        n = (uint32_t)r->v[in->a] == 0;
        /* fall through */
    case IR_GOTO:
        take_exit(r, in->type, in->imm >> (32 * n), in->aux & IR_FAR(n), r->blk->num_exits - 2 + n);
        break;
    case IR_GOTOI:
        go_to(r, r->v[in->a], in->imm);
        break;
    case IR_LOOKUP:
        look_up(r, 0, 0);
        break;
    default: /* EXIT */
        if (!in->aux)
            set_pc(r, in->type, in->imm);
        break;
    }
}

/* ---- the loop ---- */

/* Operations with effects on, or use of, the guest's state; pure ones go to ir_eval. */
static uint64_t step(struct run *r, const struct ir_insn *in, unsigned i)
{
    uint64_t *v = r->v;

    switch (in->op) {
    case IR_GET:
        return *(uint64_t *)tcg_field(r->env, r->guest->off_reg[in->imm]);
    case IR_PUT:
        *(uint64_t *)tcg_field(r->env, r->guest->off_reg[in->imm]) = mask_to(v[in->a], in->type);
        return 0;
    case IR_LDE:
        return load_field(r->env, in->imm, in->type);
    case IR_STE:
        store_field(r->env, in->imm, in->type, v[in->a]);
        return 0;
    case IR_VMASK:
        return vector_signs(r, in);
    case IR_VZERO:
        memset(tcg_field(r->env, (in->imm >> 16 & 0xffff) + r->guest->vec_high), 0, 16 * (in->imm >> 32 & 0xffff));
        return 0;
    case IR_XLATE:
        return 0;
    case IR_CODE:
        return load_typed((const void *)(uintptr_t)in->imm, in->type);
    case IR_PC:
        return *guest_pc(r) + r->blk->page_off + in->imm;
    case IR_GETFL:
        return guest_flags(r);
    case IR_PUTFL:
        tcg_interp_commit(r->t, r->env, in->a);
        return 0;
    case IR_PUTFLIF:
        if ((uint32_t)v[in->b])
            tcg_interp_commit(r->t, r->env, in->a);
        return 0;
    case IR_EFLAGS:
        return flags_of(r->blk->ir, v, in->a);
    case IR_COND:
        return ir_cond_eval(in->cc, flags_of(r->blk->ir, v, in->a));
    case IR_VOP:
        do_vop(r, in);
        return 0;
    case IR_VSET: case IR_VFROMI: case IR_VTOI: case IR_VCOM:
        return do_convert(r, in);
    case IR_FENCE:
        atomic_fence();
        return 0;
    case IR_INSN:
        return 0;
    }
    r->t->interp.insn = i; /* the rest may be left by an exception */
    switch (in->op) {
    case IR_LD:
        return do_load(r, in);
    case IR_ST:
        store_value(r, in, in->type, r->v[in->b]);
        return 0;
    case IR_ATOMIC:
        return do_atomic(r, in);
    case IR_CAS:
        return do_cas(r, in);
    case IR_LDV:
        do_load_vector(r, in);
        return 0;
    case IR_STV:
        do_store_vector(r, in);
        return 0;
    case IR_BOUND:
        do_bound(r, in);
        return 0;
    case IR_TRAPIF:
        if ((uint32_t)v[in->a])
            call(r->env, &r->guest->helpers[in->imm & UINT32_MAX], (const uint64_t[4]){ in->imm >> 32 });
        return 0;
    case IR_X87: case IR_X87V: case IR_X87M:
        return do_x87(r, in);
    default: /* CALL */
        return do_call(r, in);
    }
}

/* From the first instruction to a way out. */
static void run_block(struct run *r)
{
    const struct ir_insn *ir = r->blk->ir;
    uint64_t *v = r->v;

    for (unsigned i = 1;; i++) {
        const struct ir_insn *in = &ir[i];

        if (in->op == IR_CONST)
            v[i] = in->imm;
        else if (in->op == IR_ADD)
            v[i] = v[in->a] + v[in->b];
        else if (in->op > IR_ADD && in->op <= IR_SELECT)
            v[i] = ir_eval(in->op, in->type, in->cc, in->imm, ir_result_type(&ir[in->a]), v[in->a], v[in->b],
                           v[in->c]);
        else if (in->op >= IR_FL_ADD && in->op <= IR_FL_SETC)
            continue;
        else if (in->op >= IR_GOTO)
            break;
        else if (in->op >= IR_EXITIF) {
            if ((uint32_t)v[in->a]) {
                do_side_exit(r, in);
                return;
            }
        } else
            v[i] = step(r, in, i);
    }
    do_end(r, &ir[r->blk->num_ir - 1]);
}

/* A counted block for which too few instructions are left is not begun. */
static bool take_budget(const struct run *r)
{
    int64_t *budget = tcg_field(r->env, r->guest->off_budget);

    if (!r->blk->counted)
        return true;
    if (*budget < r->blk->insns)
        return false;
    *budget -= r->blk->insns;
    return true;
}

void tcg_interp_leave(struct tcg *t, void *env)
{
    *(uint32_t *)tcg_field(env, t->guest->off_mxcsr) = host_mxcsr();
    set_host_mxcsr(t->interp.host_mxcsr);
    t->interp.block = NULL;
}

uintptr_t tcg_interp_run(struct tcg *t, const struct tcg_guest *guest, void *env, struct tcg_block *blk)
{
    struct run r = { .t = t, .guest = guest, .env = env, .v = t->interp.value, .next = blk };
    const uint32_t *exit_request = tcg_field(env, guest->off_exit_request);

    t->interp.value[0] = 0;
    t->interp.host_mxcsr = host_mxcsr();
    set_host_mxcsr(*(uint32_t *)tcg_field(env, guest->off_mxcsr));
    while (r.next) {
        r.blk = r.next;
        if (__atomic_load_n(exit_request, __ATOMIC_RELAXED) || tcg_is_dropped(r.blk) || !take_budget(&r)) {
            r.result = 0;
            *guest_pc(&r) += r.blk->page_off;
            break;
        }
        t->interp.block = r.blk;
        run_block(&r);
    }
    tcg_interp_leave(t, env);
    return r.result;
}
