/* A guest for tests of the translator. */
#include "tests/unit/fake_guest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tcg/atomic.h"

static _Noreturn void raise_fault(struct fake_env *env, uint64_t what)
{
    env->raised = what;
    ck_assert_ptr_nonnull(env->fault);
    tcg_commit_flags(env->tcg, env);
    longjmp(*env->fault, 1);
}

static uint64_t help_sum(void *env, uint64_t a, uint64_t b)
{
    ((struct fake_env *)env)->calls++;
    return a + b;
}

static uint64_t help_low(void *env, uint64_t a)
{
    (void)env;
    ck_assert_uint_le(a, UINT32_MAX);
    return (uint32_t)(a + 1);
}

static uint64_t help_raise(void *env, uint64_t a)
{
    raise_fault(env, a);
}

static uint64_t help_raise_at(void *env, uint64_t a, uint64_t b)
{
    raise_fault(env, a << 16 | b);
}

uint32_t fake_flags(const struct fake_env *env)
{
    const struct tcg_flags *f = &env->flags;

    return ir_flags_eval(f->op, f->type, f->a, f->b, f->c);
}

static uint64_t help_read_flags(void *env)
{
    return fake_flags(env);
}

static uint64_t help_write_flags(void *env, uint64_t v)
{
    ((struct fake_env *)env)->flags = (struct tcg_flags){ .a = v, .op = IR_FL_RAW, .type = IR_I32 };
    return 0;
}

static uint64_t help_sum_regs(void *env)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TCG_NUM_REGS; i++)
        sum = sum * 3 + ((struct fake_env *)env)->reg[i];
    return sum;
}

static uint64_t help_set_reg0(void *env, uint64_t v)
{
    ((struct fake_env *)env)->reg[0] = v;
    return 0;
}

static uint64_t help_set_field0(void *env, uint64_t v)
{
    ((struct fake_env *)env)->field[0] = v;
    return 0;
}

static uint64_t help_maybe(void *env, uint64_t v)
{
    if (v & 1)
        raise_fault(env, v);
    return 0;
}

static uint64_t help_four(void *env, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    (void)env;
    ck_assert(b <= UINT32_MAX && d <= UINT32_MAX);
    return a ^ b << 1 ^ c << 2 ^ d << 3;
}

static const struct tcg_helper helpers[FAKE_NUM_HELPERS] = {
    [FAKE_SUM] = { "sum", (void *)help_sum, '8', "88", H_PURE },
    [FAKE_LOW] = { "low", (void *)help_low, '4', "4", H_PURE },
    [FAKE_RAISE] = { "raise", (void *)help_raise, 'v', "4", H_NORETURN | H_FAULT },
    [FAKE_RAISE_AT] = { "raise_at", (void *)help_raise_at, 'v', "84", H_NORETURN | H_FAULT },
    [FAKE_READ_FLAGS] = { "read_flags", (void *)help_read_flags, '4', "", H_RFLAGS },
    [FAKE_WRITE_FLAGS] = { "write_flags", (void *)help_write_flags, 'v', "4", H_WFLAGS },
    [FAKE_SUM_REGS] = { "sum_regs", (void *)help_sum_regs, '8', "", H_RREGS },
    [FAKE_SET_REG0] = { "set_reg0", (void *)help_set_reg0, 'v', "8", H_WREGS },
    [FAKE_SET_FIELD0] = { "set_field0", (void *)help_set_field0, 'v', "8", H_WRITE },
    [FAKE_MAYBE] = { "maybe", (void *)help_maybe, 'v', "4", H_FAULT },
    [FAKE_FOUR] = { "four", (void *)help_four, '8', "8484", H_READ },
};

static void *slow_address(struct fake_env *env, uint64_t addr, uint32_t size)
{
    if (addr >= FAKE_RAM || addr + size > FAKE_RAM)
        raise_fault(env, addr);
    return env->ram + addr;
}

static uint64_t slow_load(void *env, uint64_t addr, uint32_t size, uint32_t mem)
{
    (void)mem;
    ((struct fake_env *)env)->slow_loads++;
    return load_le(slow_address(env, addr, size), size);
}

static void slow_store(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem)
{
    (void)mem;
    ((struct fake_env *)env)->slow_stores++;
    store_le(slow_address(env, addr, size), size, value);
}

static void slow_load16(void *env, uint64_t addr, void *field, uint32_t mem)
{
    (void)mem;
    ((struct fake_env *)env)->slow_loads++;
    memcpy(field, slow_address(env, addr, 16), 16);
}

static void slow_store16(void *env, uint64_t addr, const void *field, uint32_t mem)
{
    (void)mem;
    ((struct fake_env *)env)->slow_stores++;
    memcpy(slow_address(env, addr, 16), field, 16);
}

static uint64_t slow_atomic(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t what)
{
    ((struct fake_env *)env)->slow_atomics++;
    return atomic_rmw(slow_address(env, addr, size), size, (enum ir_atomic)(what >> 8), value);
}

static uint64_t slow_cas(void *env, uint64_t addr, uint64_t expected, uint64_t desired, uint32_t size, uint32_t mem)
{
    (void)mem;
    ((struct fake_env *)env)->slow_atomics++;
    return atomic_cas(slow_address(env, addr, size), size, expected, desired);
}

#define REG(n) offsetof(struct fake_env, reg) + 8 * (n)

const struct tcg_guest fake_guest = {
    .off_reg = { REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7),
                 REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14), REG(15) },
    .reg_name = { "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7",
                  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" },
    .off_pc = offsetof(struct fake_env, pc),
    .off_code_base = offsetof(struct fake_env, code_base),
    .off_jump_key = offsetof(struct fake_env, key),
    .off_flags = offsetof(struct fake_env, flags),
    .off_exit_request = offsetof(struct fake_env, exit_request),
    .off_tlb = offsetof(struct fake_env, tlb),
    .off_jump_cache = offsetof(struct fake_env, jump),
    .off_host_pc = offsetof(struct fake_env, host_pc),
    .off_mxcsr = offsetof(struct fake_env, mxcsr),
    .off_spill = offsetof(struct fake_env, spill),
    .num_mmu = 2,
    .tlb_mask = { 4095, TCG_TLB_SIZE - 1 },
    .helpers = helpers,
    .num_helpers = FAKE_NUM_HELPERS,
    .load = slow_load,
    .store = slow_store,
    .load16 = slow_load16,
    .store16 = slow_store16,
    .atomic = slow_atomic,
    .cas = slow_cas,
};

struct fake_env *fake_new(void)
{
    struct fake_env *env = aligned_alloc(64, align_up(sizeof(*env), 64));

    ck_assert_ptr_nonnull(env);
    memset(env, 0, sizeof(*env));
    env->flags.op = IR_FL_RAW;
    env->mxcsr = 0x1f80;
    for (unsigned m = 0; m < 2; m++)
        for (unsigned i = 0; i < TCG_TLB_SIZE; i++)
            env->tlb[m][i] = (struct tcg_tlb_entry){ UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
    for (unsigned i = 0; i < TCG_JC_SIZE; i++)
        env->jump[i].key = UINT64_MAX;
    return env;
}

void fake_map(struct fake_env *env, unsigned mmu, bool writable)
{
    for (uint64_t page = 0; page < FAKE_RAM; page += 1u << TCG_PAGE_BITS)
        env->tlb[mmu][page >> TCG_PAGE_BITS] =
            (struct tcg_tlb_entry){ page, writable ? page : page | 1, UINT64_MAX,
                                    (uint64_t)(uintptr_t)env->ram };
}

uint64_t fake_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t fake_operand(uint64_t *state)
{
    static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
                                      0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX };
    uint64_t r = fake_random(state);

    if (r & 1)
        return edges[(r >> 8) % ARRAY_LEN(edges)] + (r >> 4) % 3 - 1;
    return fake_random(state) >> (r >> 8 & 63);
}

unsigned block_count(const struct ir_block *blk, unsigned op)
{
    unsigned n = 0;

    for (unsigned i = 1; i < blk->num; i++)
        n += blk->insn[i].op == op;
    return n;
}

const struct ir_insn *block_find(const struct ir_block *blk, unsigned op)
{
    for (unsigned i = 1; i < blk->num; i++)
        if (blk->insn[i].op == op)
            return &blk->insn[i];
    ck_abort_msg("no %s in the block", ir_ops[op].name);
}
