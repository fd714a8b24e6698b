/* A guest for the x86-64 backend's tests; see x86_fixture.h. */
#include "tests/unit/x86_fixture.h"

#include "tcg/vec.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#define CODE_SIZE (4u << 20)

uint64_t bt_hash(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t hash_regs(const struct bt_env *e)
{
    uint64_t h = 0;
    for (unsigned r = 0; r < 16; r++)
        h = bt_hash(h, e->gpr[r]);
    return h;
}

static uint64_t hash_vectors(const struct bt_env *e)
{
    uint64_t h = 0;
    for (unsigned i = 0; i < sizeof(e->vec); i += 8)
        h = bt_hash(h, load_le((const uint8_t *)e->vec + i, 8));
    return h;
}

uint32_t bt_flags(const struct bt_env *e)
{
    return ir_flags_eval(e->fl.op, e->fl.type, e->fl.a, e->fl.b, e->fl.c);
}

/* And write the flags that are pending. */
static uint32_t guest_offset(struct bt_env *e)
{
    if (!e->blk)
        return e->reader_off;
    uint64_t off = e->host_pc - (uintptr_t)e->blk->code;
    for (unsigned i = 0; i < e->blk->num_map; i++) {
        const struct tcg_pc_entry *call = &e->blk->map[i];
        if (call->host_off != off)
            continue;
        if (call->pending)
            bt_host->commit(bt_state, e, e->blk, call);
        return call->guest_off;
    }
    ck_abort_msg("call at +%llx is not in the map", (unsigned long long)off);
    return 0;
}

static void log_event(struct bt_env *e, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem)
{
    uint32_t off = guest_offset(e);

    ck_assert_uint_lt(e->num_log, MAX_LOG);
    e->log[e->num_log++] = (struct bt_event){
        .addr = addr, .value = value,
        .regs = hash_regs(e), .vectors = hash_vectors(e), .size = size, .mem = mem, .flags = bt_flags(e),
        .guest_off = off,
    };
    if (e->num_log != e->stop_at)
        return;
    e->stopped = true;
    if (!e->closes)
        e->exit_request = 1;
    else if (e->blk)
        bt_host->close(bt_state, (struct tcg_block *)(uintptr_t)e->blk);
}

static void enter_page(struct bt_env *e, uint64_t page, bool writable)
{
    struct tcg_tlb_entry *t = &e->tlb[1][page >> 12 & (TCG_TLB_SIZE - 1)];

    t->tag_read = page;
    t->tag_write = writable ? page : page | 1;
    t->addend = (uintptr_t)e->mem + (page - BT_BASE) - page;
}

/* What a slow path may do besides the access: pages enter and leave the TLB, or lose the direct way for stores. */
static void disturb(struct bt_env *e, uint64_t addr)
{
    uint64_t h = bt_hash(addr, e->num_log), page = BT_BASE + (h >> 8) % (BT_MEM_SIZE >> 12) * 0x1000;

    if (!e->restless || (h & 1))
        return;
    if (h & 6)
        enter_page(e, page, h & 4);
    else
        e->tlb[1][page >> 12 & (TCG_TLB_SIZE - 1)] = (struct tcg_tlb_entry){ UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
}

static uint64_t slow_load(void *env, uint64_t addr, uint32_t size, uint32_t mem)
{
    struct bt_env *e = env;
    uint64_t v = 0;

    log_event(e, addr, 0, size, mem);
    disturb(e, addr);
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)e->mem[(addr + i) % BT_MEM_SIZE] << 8 * i;
    return v;
}

static void slow_store(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem)
{
    struct bt_env *e = env;

    log_event(e, addr, value, size, mem);
    disturb(e, addr);
    for (unsigned i = 0; i < size; i++)
        e->mem[(addr + i) % BT_MEM_SIZE] = (uint8_t)(value >> 8 * i);
}

static void slow_load16(void *env, uint64_t addr, void *field, uint32_t mem)
{
    struct bt_env *e = env;

    log_event(e, addr, (uint64_t)((uint8_t *)field - (uint8_t *)env), 16, mem);
    disturb(e, addr);
    for (unsigned i = 0; i < 16; i++)
        ((uint8_t *)field)[i] = e->mem[(addr + i) % BT_MEM_SIZE];
}

static void slow_store16(void *env, uint64_t addr, const void *field, uint32_t mem)
{
    struct bt_env *e = env;

    log_event(e, addr, (uint64_t)((const uint8_t *)field - (uint8_t *)env), 16, mem);
    disturb(e, addr);
    for (unsigned i = 0; i < 16; i++)
        e->mem[(addr + i) % BT_MEM_SIZE] = ((const uint8_t *)field)[i];
}

/* Alone, and byte by byte: an address at the end of the memory wraps. */
static uint64_t exchange(struct bt_env *e, uint64_t addr, unsigned size, const struct ir_insn *in, uint64_t b,
                         uint64_t c)
{
    uint64_t old = 0, v;

    for (unsigned i = 0; i < size; i++)
        old |= (uint64_t)e->mem[(addr + i) % BT_MEM_SIZE] << 8 * i;
    if (in->op == IR_CAS)
        v = old == b ? c : old;
    else
        v = in->imm == IR_ATOMIC_ADD ? old + b : in->imm == IR_ATOMIC_AND ? old & b
          : in->imm == IR_ATOMIC_OR ? old | b : in->imm == IR_ATOMIC_XOR ? old ^ b
          : in->imm == IR_ATOMIC_NEG ? 0 - old : b;
    for (unsigned i = 0; i < size; i++)
        e->mem[(addr + i) % BT_MEM_SIZE] = (uint8_t)(v >> 8 * i);
    return old;
}

static uint64_t slow_atomic(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t what)
{
    struct ir_insn in = { .op = IR_ATOMIC, .imm = what >> 8 };

    log_event(env, addr, value, size, what);
    disturb(env, addr);
    return exchange(env, addr, size, &in, value, 0);
}

static uint64_t slow_cas(void *env, uint64_t addr, uint64_t expected, uint64_t desired, uint32_t size, uint32_t mem)
{
    struct ir_insn in = { .op = IR_CAS };
    struct bt_env *e = env;

    log_event(e, addr, expected, size, mem);
    e->log[e->num_log - 1].word = desired;
    disturb(e, addr);
    return exchange(e, addr, size, &in, expected, desired);
}

static uint64_t helper_pure(void *env, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)env;
    ck_assert_uint_eq((uintptr_t)__builtin_frame_address(0) % 16, 0);
    return bt_hash(bt_hash(bt_hash(bt_hash(1, a), b), c), d);
}

static uint64_t helper_narrow(void *env, uint64_t a, uint64_t b, uint64_t c)
{
    (void)env;
    ck_assert_uint_le(a | b, UINT32_MAX);
    return bt_hash(bt_hash(bt_hash(2, a), b), c);
}

static uint64_t helper_read(void *env, uint64_t a)
{
    return bt_hash(hash_regs(env), a);
}

static uint64_t helper_write(void *env, uint64_t a, uint64_t b)
{
    struct bt_env *e = env;

    for (unsigned r = 0; r < 16; r += 3)
        e->gpr[r] = bt_hash(e->gpr[r] + a, b);
    return a - b;
}

/* Those without operand in memory pass no address. */
static uint64_t slow_x87(void *env, uint64_t addr, uint64_t imm, uint32_t load)
{
    if ((imm >> 8 & 0xff) >= 0xc0)
        addr = 0;
    log_event(env, addr, imm, 10, load);
    disturb(env, addr ^ imm);
    return TCG_X87_DONE | (uint32_t)bt_hash(addr, imm);
}

static uint64_t helper_fault(void *env, uint64_t a)
{
    log_event(env, a, 0, 99, 0);
    return 0;
}

static uint64_t helper_raise(void *env, uint64_t a, uint64_t b)
{
    log_event(env, a, b, 100, 0);
    longjmp(((struct bt_env *)env)->fault, 1);
}

static uint64_t helper_raise1(void *env, uint64_t a)
{
    log_event(env, a, 0, 101, 0);
    longjmp(((struct bt_env *)env)->fault, 1);
}

const struct tcg_helper bt_helpers[] = {
    { "pure", (void *)helper_pure, '8', "8888", H_PURE },
    { "narrow", (void *)helper_narrow, '4', "448", H_PURE },
    { "read", (void *)helper_read, '8', "8", H_READ | H_RREGS },
    { "write", (void *)helper_write, '8', "88", H_READ | H_WREGS },
    { "fault", (void *)helper_fault, 'v', "4", H_FAULT },
    { "raise", (void *)helper_raise, 'v', "84", H_FAULT | H_NORETURN },
    { "raise1", (void *)helper_raise1, 'v', "4", H_FAULT | H_NORETURN },
    { "x87m", (void *)helper_raise, 'v', "48", H_FAULT },
};

#define GPR(n) BT_OFF(gpr) + 8 * (n)
const struct tcg_guest bt_guest = {
    .off_reg = { GPR(0), GPR(1), GPR(2), GPR(3), GPR(4), GPR(5), GPR(6), GPR(7),
                 GPR(8), GPR(9), GPR(10), GPR(11), GPR(12), GPR(13), GPR(14), GPR(15) },
    .off_pc = BT_OFF(pc), .off_code_base = BT_OFF(code_base), .off_jump_key = BT_OFF(key),
    .off_flags = BT_OFF(fl),
    .off_exit_request = BT_OFF(exit_request), .off_heat = BT_OFF(heat), .off_tlb = BT_OFF(tlb), .off_jump_cache = BT_OFF(jump_cache),
    .off_host_pc = BT_OFF(host_pc), .off_mxcsr = BT_OFF(mxcsr), .off_spill = BT_OFF(spill), .num_mmu = 2,
    .tlb_mask = { 4095, TCG_TLB_SIZE - 1 },
    .vec_high = 8 * NUM_VECTORS,
    .helpers = bt_helpers, .num_helpers = ARRAY_LEN(bt_helpers),
    .load = slow_load, .store = slow_store, .load16 = slow_load16, .store16 = slow_store16,
    .atomic = slow_atomic, .cas = slow_cas, .x87 = slow_x87,
    .off_x87_st = BT_OFF(st), .off_x87_live = BT_OFF(x87_live), .off_x87_cw = BT_OFF(x87_cw),
};

/* ---- the machine under test ---- */

void *bt_state;
struct tcg_code_buf bt_buf;
struct bt_env *bt_jit, *bt_reader;
struct ir_insn bt_code[IR_MAX_INSNS];
struct ir_block bt_ir;
uint64_t bt_val[IR_MAX_INSNS];
static struct bt_env *new_env(void)
{
    struct bt_env *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

    memset(e, 0, sizeof(*e));
    e->mem = aligned_alloc(4096, BT_MEM_SIZE);
    return e;
}

/* Odd pages are not in the TLB; of the others every second is read-only. */
void bt_reset(struct bt_env *e, uint64_t seed)
{
    for (unsigned r = 0; r < 16; r++)
        e->gpr[r] = bt_hash(seed, r);
    for (unsigned i = 0; i < NUM_FIELDS; i++)
        e->field[i] = bt_hash(seed, 100 + i);
    for (unsigned i = 0; i < sizeof(e->vec); i++)
        e->vec[i / 16][i % 16] = (uint8_t)bt_hash(seed, 200 + i);
    for (unsigned i = 0; i < BT_MEM_SIZE; i++)
        e->mem[i] = (uint8_t)bt_hash(seed, i);
    memset(e->tlb, 0xff, sizeof(e->tlb));
    for (uint64_t page = BT_BASE; page < BT_BASE + BT_MEM_SIZE; page += 0x2000)
        enter_page(e, page, !(page & 0x2000));
    memset(e->jump_cache, 0xff, sizeof(e->jump_cache));
    e->pc = 0x1000;
    e->code_base = e->exit_request = e->num_log = e->reader_off = 0;
    e->stop_at = 0;
    e->closes = e->stopped = false;
    e->key = 5;
    e->heat[BT_HEAT] = 1000000;
    e->mxcsr = 0x1f80;
    e->fl = (struct tcg_flags){ .a = bt_hash(seed, 300), .b = bt_hash(seed, 301),
                                .op = IR_FL_SUB, .type = IR_I32 };
}

void bt_setup(void)
{
    bt_setup_isa(UINT32_MAX);
}

void bt_setup_isa(uint32_t isa)
{
    const int prot = PROT_READ | PROT_WRITE | PROT_EXEC;

    bt_buf.start = bt_buf.at = mmap(NULL, CODE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(bt_buf.start != MAP_FAILED);
    bt_buf.end = bt_buf.start + CODE_SIZE;
    bt_state = bt_host->init(&bt_guest, &bt_buf, tcg_host_isa() & isa);
    bt_jit = new_env();
    bt_reader = new_env();
    bt_ir = (struct ir_block){ .insn = bt_code, .num = 1, .mmu = 1, .phys2 = UINT64_MAX };
}

void bt_teardown(void)
{
    bt_host->free(bt_state);
    munmap(bt_buf.start, CODE_SIZE);
    free(bt_jit->mem);
    free(bt_reader->mem);
    free(bt_jit);
    free(bt_reader);
}

ir_ref bt_add(unsigned op, unsigned type, ir_ref a, ir_ref b, ir_ref c, uint64_t imm)
{
    bt_code[bt_ir.num] = (struct ir_insn){ .op = (uint8_t)op, .type = (uint8_t)type, .a = a, .b = b, .c = c,
                                     .imm = imm };
    return (ir_ref)bt_ir.num++;
}

ir_ref bt_const(unsigned type, uint64_t v) { return bt_add(IR_CONST, type, 0, 0, 0, v); }
ir_ref bt_field(unsigned type, unsigned n) { return bt_add(IR_LDE, type, 0, 0, 0, BT_FIELD(n)); }
void bt_set_field(unsigned type, unsigned n, ir_ref v) { bt_add(IR_STE, type, v, 0, 0, BT_FIELD(n)); }

/* Blocks that a test holds at the same time have exits of their own. */
static struct tcg_exit exits[8][TCG_MAX_EXITS];
static unsigned next_exits;

/* The latest blocks: where a test left host code. */
static struct made {
    uintptr_t code;
    uint32_t size;
    struct tcg_block *blk;
} made[8];
static unsigned num_made;

void bt_compile(struct tcg_block *blk)
{
    char err[200];

    memset(blk, 0, sizeof(*blk));
    blk->page_off = bt_ir.page_off;
    blk->warm = bt_ir.warm;
    blk->heat = BT_HEAT;
    blk->exit = exits[next_exits++ % ARRAY_LEN(exits)];
    blk->num_exits = bt_ir.num_exits + 2;
    for (unsigned n = 0; n < blk->num_exits; n++)
        blk->exit[n] = (struct tcg_exit){ .delta = -1 };
    const char *wrong = ir_verify(&bt_ir, &bt_guest, err, sizeof(err));
    ck_assert_msg(!wrong, "%s", wrong);
    ck_assert_int_eq(bt_host->compile(bt_state, &bt_ir, &bt_buf, blk), 0);
    ck_assert_uint_lt(blk->code_size + blk->num_map * sizeof(*blk->map), x86_room(&bt_ir));
    made[num_made++ % ARRAY_LEN(made)] = (struct made){ (uintptr_t)blk->code, blk->code_size, blk };
}

/* As the translator does it. */
uintptr_t bt_enter(struct bt_env *e, const void *code)
{
    uintptr_t left = bt_host->enter(bt_state, e, code);
    struct tcg_block *blk = NULL;
    unsigned n;

    if (!left)
        return 0;
    for (unsigned k = 1; k <= ARRAY_LEN(made) && !blk; k++) {
        const struct made *m = &made[(num_made - k) % ARRAY_LEN(made)];
        if (left - 1 - m->code < m->size)
            blk = m->blk;
    }
    ck_assert_ptr_nonnull(blk);
    n = bt_host->left(bt_state, e, blk, left);
    return n == TCG_EXIT_NONE ? 0 : (uintptr_t)blk | n;
}

void bt_run(struct tcg_block *blk)
{
    bt_jit->blk = blk;
    ck_assert_uint_eq(bt_enter(bt_jit, blk->code), 0);
}

/* ---- the reader: ir.def word by word ---- */

unsigned bt_type(ir_ref v)
{
    char r = bt_code[v].op == IR_CALL ? bt_helpers[bt_code[v].imm].result : ir_ops[bt_code[v].op].result;
    return r == 'T' ? bt_code[v].type : r == '8' ? IR_I64 : IR_I32;
}

static uint64_t masked(ir_ref v) { return bt_val[v] & MASK(IR_BITS(bt_type(v))); }

static void commit_raw(struct bt_env *e, ir_ref fl)
{
    if (fl)
        e->fl = (struct tcg_flags){ .a = bt_val[fl], .op = IR_FL_RAW, .type = IR_I32 };
}

static bool in_tlb(const struct bt_env *e, uint64_t addr, unsigned size, bool writes)
{
    uint64_t page = addr & ~UINT64_C(0xfff);
    const struct tcg_tlb_entry *t = &e->tlb[1][page >> 12 & (TCG_TLB_SIZE - 1)];

    return page == ((addr + size - 1) & ~UINT64_C(0xfff)) && page == (writes ? t->tag_write : t->tag_read);
}

/* Of LD, ST, LDV, STV. */
static uint64_t address_of(const struct ir_insn *in)
{
    return (bt_val[in->a] + (uint64_t)(int64_t)(int32_t)(in->imm >> 32)) & MASK(IR_BITS(bt_type(in->a)));
}

/* LDV, STV of 4 or 8 bytes: as LD and ST of the same size. */
static void read_scalar(struct bt_env *e, const struct ir_insn *in, uint8_t *field)
{
    uint64_t addr = address_of(in), v[2] = { 0 };
    unsigned size = (in->cc & IR_V_SIZE) == IR_V4 ? 4 : 8;
    bool fast = in_tlb(e, addr, size, in->op == IR_STV || (in->aux & IR_MEM_RMW)) && !(in->aux & IR_MEM_SUPER);

    if (!fast)
        commit_raw(e, in->fl);
    if (in->op == IR_STV && fast) {
        memcpy(e->mem + addr % BT_MEM_SIZE, field, size);
    } else if (in->op == IR_STV) {
        slow_store(e, addr, load_le(field, size), size, in->aux);
    } else {
        v[0] = fast ? load_le(e->mem + addr % BT_MEM_SIZE, size) : slow_load(e, addr, size, in->aux);
        memcpy(field, v, 16);
    }
}

/* 16 bytes; of 32 the lower ones, which are checked for all. */
static void read_half(struct bt_env *e, const struct ir_insn *in, uint64_t addr, uint8_t *field, bool fast, uint32_t aux)
{
    if (in->op == IR_LDV && fast)
        memcpy(field, e->mem + addr % BT_MEM_SIZE, 16);
    else if (in->op == IR_LDV)
        slow_load16(e, addr, field, aux);
    else if (fast)
        memcpy(e->mem + addr % BT_MEM_SIZE, field, 16);
    else
        slow_store16(e, addr, field, aux);
}

static void read_vector(struct bt_env *e, const struct ir_insn *in)
{
    uint8_t *field = (uint8_t *)e + (uint32_t)in->imm;
    bool wide = (in->cc & IR_V_SIZE) == IR_V32, writes = in->op == IR_STV || (in->aux & IR_MEM_RMW);
    uint64_t addr = address_of(in);
    unsigned size = wide ? 32 : 16;
    bool fast = in_tlb(e, addr, size, writes) && !(in->aux & IR_MEM_SUPER) &&
                !((in->aux & IR_MEM_ALIGN) && (addr & (size - 1)));

    if ((in->cc & IR_V_SIZE) == IR_V4 || (in->cc & IR_V_SIZE) == IR_V8) {
        read_scalar(e, in, field);
    } else {
        if (!fast)
            commit_raw(e, in->fl);
        read_half(e, in, addr, field, fast, in->aux | (wide ? IR_MEM_PAIR : 0u));
        if (wide)
            read_half(e, in, addr + 16, field + bt_guest.vec_high, fast, in->aux & ~(uint32_t)IR_MEM_ALIGN);
    }
    if (in->cc & IR_V_CLEAR)
        memset(field + bt_guest.vec_high, 0, 16);
}

static void read_memory(struct bt_env *e, const struct ir_insn *in, unsigned i)
{
    uint64_t addr = address_of(in), off = addr % BT_MEM_SIZE;
    unsigned size = IR_BYTES(in->type);

    if (!in_tlb(e, addr, size, in->op == IR_ST || (in->aux & IR_MEM_RMW)) || (in->aux & IR_MEM_SUPER)) {
        commit_raw(e, in->fl);
        if (in->op == IR_LD)
            bt_val[i] = slow_load(e, addr, size, in->aux);
        else
            slow_store(e, addr, masked(in->b), size, in->aux);
    } else if (in->op == IR_LD) {
        bt_val[i] = load_le(e->mem + off, size);
    } else {
        store_le(e->mem + off, size, bt_val[in->b]);
    }
}

static uint64_t read_atomic(struct bt_env *e, const struct ir_insn *in)
{
    uint64_t addr = masked(in->a), b = masked(in->b), c = in->c ? masked(in->c) : 0;
    unsigned size = IR_BYTES(in->type);

    if (in->op == IR_ATOMIC && in->imm == IR_ATOMIC_NEG)
        b = 0;
    if (in_tlb(e, addr, size, true))
        return exchange(e, addr, size, in, b, c);
    commit_raw(e, in->fl);
    return in->op == IR_CAS ? slow_cas(e, addr, b, c, size, in->aux)
                            : slow_atomic(e, addr, b, size, in->aux | (uint32_t)in->imm << 8);
}

static void read_call(struct bt_env *e, const struct ir_insn *in, unsigned i)
{
    uint64_t (*fn)(void *, uint64_t, uint64_t, uint64_t, uint64_t) =
        (uint64_t (*)(void *, uint64_t, uint64_t, uint64_t, uint64_t))(uintptr_t)bt_helpers[in->imm].fn;

    bt_val[i] = fn(e, in->a ? masked(in->a) : 0, in->b ? masked(in->b) : 0, in->c ? masked(in->c) : 0,
                in->d ? masked(in->d) : 0);
}

static uint64_t read_flags(const struct ir_insn *in)
{
    if (in->op == IR_FL_SETC)
        return (bt_val[in->a] & ~(uint64_t)IR_CF) | (bt_val[in->b] & 1);
    return ir_flags_eval(in->op, in->type, bt_val[in->a], bt_val[in->b], bt_val[in->c]);
}

static uint64_t read_x87(struct bt_env *e, const struct ir_insn *in)
{
    commit_raw(e, in->fl);
    return (uint32_t)slow_x87(e, in->a ? masked(in->a) : 0, in->imm, 1);
}

static void read_check(struct bt_env *e, const struct ir_insn *in)
{
    uint64_t a = masked(in->a), *bounds = (uint64_t *)(void *)((uint8_t *)e + (in->imm & 0xffff));
    unsigned __int128 end = (unsigned __int128)a + (in->imm >> 16 & 0xffff);

    if (in->op == IR_TRAPIF ? !(a & 1) : a >= bounds[0] && end <= bounds[1])
        return;
    commit_raw(e, in->fl);
    if (in->op == IR_TRAPIF)
        helper_raise1(e, in->imm >> 32);
    else
        helper_raise(e, a, in->imm >> 48);
}

static void read_vop(struct bt_env *e, const struct ir_insn *in)
{
    uint8_t *base = (uint8_t *)e;

    tcg_vop_run(in->imm & 0xffff, in->cc, in->aux, base + (in->imm >> 16 & 0xffff), base + (in->imm >> 32 & 0xffff),
                base + (in->imm >> 48), bt_guest.vec_high);
}

static uint64_t read_signs(const uint8_t *field, unsigned size)
{
    uint64_t signs = 0;

    for (unsigned at = 16; at; at -= size)
        signs = signs << 1 | (load_le(field + at - size, size) >> (8 * size - 1));
    return signs;
}

static uint64_t read_convert(struct bt_env *e, const struct ir_insn *in)
{
    uint8_t *dst = (uint8_t *)e + (in->imm >> 16 & 0xffff);
    const uint8_t *a = (uint8_t *)e + (in->imm >> 32 & 0xffff), *b = (uint8_t *)e + (in->imm >> 48);
    uint64_t v[2] = { in->a ? masked(in->a) : 0, 0 };

    switch (in->op) {
    case IR_VTOI: return vec_to_int(a, in->type == IR_I64, in->aux);
    case IR_VCOM: return vec_compare(a, b, in->aux);
    case IR_VFROMI: vec_from_int(dst, a, v[0], in->type == IR_I64, in->aux); break;
    default: memcpy(dst, v, 16); break;
    }
    if (in->cc & IR_V_CLEAR)
        memset(dst + bt_guest.vec_high, 0, 16);
    return 0;
}

/* The pc field is the pc of the page until then. */
static void read_jump(struct bt_env *e, const struct ir_insn *in, uint64_t delta)
{
    e->pc = (e->pc + bt_ir.page_off + (uint64_t)(int32_t)delta) & MASK(IR_BITS(in->type));
}

static bool read_side_exit(struct bt_env *e, const struct ir_insn *in)
{
    if (!(bt_val[in->a] & 1))
        return false;
    commit_raw(e, in->fl);
    if (in->op == IR_GOTOIF)
        e->pc = bt_val[in->b];
    else
        read_jump(e, in, in->imm);
    return true;
}

static void read_insn(struct bt_env *e, const struct ir_insn *in, unsigned i)
{
    uint8_t *base = (uint8_t *)e;

    switch (in->op) {
    case IR_GET: bt_val[i] = e->gpr[in->imm]; break;
    case IR_PUT: e->gpr[in->imm] = masked(in->a); break;
    case IR_LDE: bt_val[i] = load_le(base + in->imm, IR_BYTES(in->type)); break;
    case IR_STE: store_le(base + in->imm, IR_BYTES(in->type), bt_val[in->a]); break;
    case IR_VMASK:
        bt_val[i] = read_signs(base + in->imm, IR_BYTES(in->type));
        if (in->cc == IR_V32)
            bt_val[i] |= read_signs(base + in->imm + bt_guest.vec_high, IR_BYTES(in->type)) << 16 / IR_BYTES(in->type);
        break;
    case IR_PC: bt_val[i] = e->pc + bt_ir.page_off + in->imm; break;
    case IR_GETFL: bt_val[i] = bt_flags(e); break;
    case IR_PUTFL: commit_raw(e, in->a); break;
    case IR_EFLAGS: bt_val[i] = bt_val[in->a]; break;
    case IR_COND: bt_val[i] = ir_cond_eval(in->cc, (uint32_t)bt_val[in->a]); break;
    case IR_LD: case IR_ST: read_memory(e, in, i); break;
    case IR_LDV: case IR_STV: read_vector(e, in); break;
    case IR_ATOMIC: case IR_CAS: bt_val[i] = read_atomic(e, in); break;
    case IR_FENCE: case IR_XLATE: break; /* it promises nothing */
    case IR_X87: case IR_X87M: bt_val[i] = read_x87(e, in); break;
    case IR_BOUND: case IR_TRAPIF: read_check(e, in); break;
    case IR_CALL: read_call(e, in, i); break;
    case IR_VOP: read_vop(e, in); break;
    case IR_VZERO:
        memset(base + (in->imm >> 16 & 0xffff) + bt_guest.vec_high, 0, 16 * (in->imm >> 32 & 0xffff));
        break;
    case IR_VSET: case IR_VFROMI: case IR_VTOI: case IR_VCOM: bt_val[i] = read_convert(e, in); break;
    case IR_INSN: e->reader_off = (uint32_t)in->imm; break;
    case IR_GOTO: case IR_EXIT: read_jump(e, in, in->imm); break;
    case IR_BR: read_jump(e, in, bt_val[in->a] & 1 ? in->imm : in->imm >> 32); break;
    case IR_GOTOI: e->pc = bt_val[in->a]; break;
    default:
        if (ir_ops[in->op].result == 'F')
            bt_val[i] = read_flags(in);
        else
            bt_val[i] = ir_eval(in->op, in->type, in->cc, in->imm, in->a ? bt_type(in->a) : 0, bt_val[in->a],
                             bt_val[in->b], bt_val[in->c]);
        break;
    }
}

bool bt_taken(void)
{
    return bt_val[bt_code[bt_ir.num - 1].a] & 1;
}

const struct ir_insn *bt_read(struct bt_env *e)
{
    const struct ir_insn *in = NULL;

    e->blk = NULL;
    for (unsigned i = 1; i < bt_ir.num; i++) {
        in = &bt_code[i];
        if (in->op != IR_EXITIF && in->op != IR_GOTOIF)
            read_insn(e, in, i);
        else if (read_side_exit(e, in))
            break;
    }
    return in;
}

void bt_compare(unsigned long seed)
{
    ck_assert_msg(!memcmp(bt_jit->gpr, bt_reader->gpr, sizeof(bt_jit->gpr)), "registers, seed %lu", seed);
    ck_assert_msg(!memcmp(bt_jit->field, bt_reader->field, sizeof(bt_jit->field)), "fields, seed %lu", seed);
    ck_assert_msg(!memcmp(bt_jit->vec, bt_reader->vec, sizeof(bt_jit->vec)), "vectors, seed %lu", seed);
    ck_assert_msg(!memcmp(bt_jit->mem, bt_reader->mem, BT_MEM_SIZE), "memory, seed %lu", seed);
    ck_assert_msg(bt_jit->num_log == bt_reader->num_log, "slow paths, seed %lu", seed);
    for (unsigned i = 0; i < bt_jit->num_log; i++)
        ck_assert_msg(!memcmp(&bt_jit->log[i], &bt_reader->log[i], sizeof(bt_jit->log[i])),
                      "slow path %u, seed %lu", i, seed);
    ck_assert_msg(bt_flags(bt_jit) == bt_flags(bt_reader), "flags, seed %lu", seed);
    ck_assert_msg(bt_jit->pc == bt_reader->pc, "pc, seed %lu", seed);
}

/* As the run loop does it: a raised exception jumps out past the backend. */
static uintptr_t run_or_raise(struct tcg_block *blk)
{
    volatile uint32_t host_csr = _mm_getcsr();
    volatile uintptr_t left = 0;

    bt_jit->blk = blk;
    if (!setjmp(bt_jit->fault))
        left = bt_enter(bt_jit, blk->code);
    _mm_setcsr(host_csr);
    return left;
}

/* NULL: raised. */
static const struct ir_insn *read_or_raise(void)
{
    if (setjmp(bt_reader->fault))
        return NULL;
    return bt_read(bt_reader);
}

/* What leaving at `end` returns while nothing is chained and the jump cache is empty. */
static uintptr_t left_at(const struct tcg_block *blk, const struct ir_insn *end)
{
    if (end && end->op == IR_EXITIF && !(end->aux & IR_FAR(0)))
        return (uintptr_t)blk | end->imm >> 32;
    if (end && end->op == IR_BR)
        return (uintptr_t)blk | (bt_ir.num_exits + !(bt_val[end->a] & 1));
    return 0;
}

/* Run the block both ways from the same state. */
void bt_run_both(uint64_t seed)
{
    struct tcg_block blk __attribute__((aligned(64)));

    bt_reset(bt_jit, seed);
    bt_reset(bt_reader, seed);
    bt_compile(&blk);
    uintptr_t left = run_or_raise(&blk);
    ck_assert_uint_eq(left, left_at(&blk, read_or_raise()));
    bt_compare((unsigned long)seed);
    bt_buf.at = (uint8_t *)(uintptr_t)blk.code;
}
