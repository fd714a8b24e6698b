/* SYSCALL and SYSRET between 64-bit code, in the middle of a block, against the helpers that are their meaning for all
 * other code: every part of the state that they change, hidden parts of segments and the mode word included. */
#include <check.h>
#include <string.h>

#include "cpu/helpers.h"
#include "cpu_fixture.h"

/* Code is in pages of the user, tables and stacks are not, because of CR4.SMAP. */
enum { C = 0x210000, TARGET = C + 0x400, ENGINES = 2, ROUNDS = 3000, STACK0 = CF_STACK - 0x800 };

static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static bool one_in(unsigned n) { return rnd() % n == 0; }

/* What a round begins with. */
struct start {
    uint64_t gpr[16], star, lstar, sfmask, cr0, cr4;
    uint32_t eflags;
    unsigned cpl;
    bool enabled;
};

/* What it ends with. */
struct end {
    struct segment cs, ss;
    uint64_t gpr[16], rip, code_base;
    uint32_t eflags, mode;
    bool epoch;     /* is that of the level */
    int vector;
};

static struct start random_start(bool sysret)
{
    static const uint64_t masks[] = { 0, 0xffffffff, 0x4700, 0x257fd5, FL_TF | FL_IF | FL_DF | FL_NT | FL_AC };
    uint32_t rare = one_in(4) ? FL_AC | FL_IOPL | FL_TF : 0;
    struct start s = { .star = rnd(), .lstar = TARGET, .sfmask = masks[rnd() % ARRAY_LEN(masks)],
                       .cpl = sysret ? 3 * one_in(8) : 3 * !one_in(4), .enabled = !one_in(8) };

    for (unsigned i = 0; i < 16; i++)
        s.gpr[i] = rnd();
    s.gpr[R_SP] = CF_STACK;
    s.gpr[R_CX] = one_in(8) ? rnd() : TARGET;
    s.gpr[11] = one_in(2) ? rnd() : rnd() & ~(uint64_t)(FL_TF | FL_IOPL | FL_AC);
    s.eflags = ((uint32_t)rnd() & (IR_FLAGS6 | FL_DF | FL_NT | FL_ID | FL_VIF | (rare & ~(uint32_t)FL_TF))) | 2;
    s.cr0 = one_in(2) ? CR0_AM : 0;
    s.cr4 = (one_in(2) ? CR4_SMAP : 0) | (one_in(8) ? CR4_PVI : 0);
    return s;
}

static void begin(const struct start *s)
{
    struct cpu *cpu = cf.cpu;

    memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
    cpu->star = s->star;
    cpu->lstar = s->lstar;
    cpu->sfmask = s->sfmask;
    cpu->cr0 = (cpu->cr0 & ~(uint64_t)CR0_AM) | s->cr0;
    cpu->cr4 = (cpu->cr4 & ~(uint64_t)(CR4_SMAP | CR4_PVI)) | s->cr4;
    cpu->efer = (cpu->efer & ~(uint64_t)EFER_SCE) | (s->enabled ? EFER_SCE : 0);
    cpu->seg[S_CS] = flat_segment((uint16_t)(CF_CODE64 | s->cpl), s->cpl, FLAT_CODE64);
    cpu->seg[S_CS].base = 0x1230000; /* 64-bit code does not look at it */
    cpu->seg[S_SS] = flat_segment(0, s->cpl, FLAT_STACK);
    cpu_set_cpl(cpu, s->cpl);
    cpu->eflags = s->eflags & ~(uint32_t)IR_FLAGS6;
    cpu_set_flags6(cpu, s->eflags);
    cpu_update_mode(cpu);
    cpu->rip = C;
    cpu->ex.vector = 0;
}

static struct end finish(int vector)
{
    struct cpu *cpu = cf.cpu;
    struct end e = { .cs = cpu->seg[S_CS], .ss = cpu->seg[S_SS], .rip = cpu->rip, .code_base = cpu->code_base,
                     .eflags = cpu_get_eflags(cpu), .mode = cpu->mode,
                     .epoch = cpu->jump_epoch == cpu->jump_epochs[cpu_cpl(cpu) == 3], .vector = vector };

    memcpy(e.gpr, cpu->gpr, sizeof(e.gpr));
    return e;
}

static struct end by_helper(const struct start *s, bool sysret)
{
    begin(s);
    return finish(CF_RAISED(sysret ? helper_sysret(cf.cpu, 8) : helper_syscall(cf.cpu, C + 3)));
}

/* The two instructions at C, and where an exception leads its handler's first. */
static struct end by_block(const struct start *s)
{
    begin(s);
    cpu_run_slice(cf.cpu, 2);
    return finish(cf.cpu->ex.vector ? cf.cpu->ex.vector : -1);
}

static void setup(bool interp, bool optimise)
{
    struct cpu_options opt = { .model = "max", .interp = interp, .optimise = optimise, .verify = true,
                               .counted = true };

    cf_setup(&opt);
    cf_enter_long();
    cf_poke(CF_TABLES + 0x2000, 0x83, 8);
    mmu_flush(cf.cpu, true);
    cf_poke(CF_TSS + 4, STACK0, 8);
    cpu_lower(cf.cpu, CPU_PIN_STOP);
}

static void check_same(const struct end *a, const struct end *b, const struct start *s, unsigned round)
{
    ck_assert_msg(a->vector == b->vector, "round %u: vector %d, not %d", round, b->vector, a->vector);
    if (a->vector >= 0)
        return;
    ck_assert_msg(!memcmp(&a->cs, &b->cs, sizeof(a->cs)), "round %u: CS", round);
    ck_assert_msg(!memcmp(&a->ss, &b->ss, sizeof(a->ss)), "round %u: SS", round);
    ck_assert_msg(!memcmp(a->gpr, b->gpr, sizeof(a->gpr)), "round %u: registers", round);
    ck_assert_msg(a->eflags == b->eflags, "round %u: flags %x, not %x", round, b->eflags, a->eflags);
    ck_assert_msg(a->mode == b->mode && a->epoch && b->epoch, "round %u: mode %x, not %x, from level %u",
                  round, b->mode, a->mode, s->cpl);
    ck_assert_uint_eq(a->rip, b->rip);
    ck_assert_uint_eq(a->code_base, b->code_base);
}

START_TEST(test_same_as_helper)
{
    bool sysret = _i / 4 % 2;

    setup(_i % 2, _i / 2 % 2);
    seed = 88172645463325252u + (unsigned)_i;
    if (sysret)
        CF_CODE_AT(C, 0x90, 0x48, 0x0f, 0x07);
    else
        CF_CODE_AT(C, 0x90, 0x0f, 0x05);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct start s = random_start(sysret);
        struct end a = by_helper(&s, sysret), b = by_block(&s);
        check_same(&a, &b, &s, i);
    }
}
END_TEST

/* An interrupt that waits with IF clear is taken at the program's first instruction. */
START_TEST(test_waiting_interrupt)
{
    struct start s = { .star = (uint64_t)CF_UDATA << 48, .eflags = 2, .enabled = true,
                       .gpr = { [R_CX] = TARGET, [11] = FL_IF | 2, [R_SP] = CF_STACK } };

    setup(_i, true);
    cf.intr_vector = 0x1f;
    CF_CODE_AT(C, 0x90, 0x48, 0x0f, 0x07);
    CF_CODE_AT(TARGET, 0x90, 0x90, 0xeb, 0xfe);
    begin(&s);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    cpu_run_slice(cf.cpu, 20);
    ck_assert_int_eq(cf_last_vector(), 0x1f);
    ck_assert_uint_eq(cf_peek(STACK0 - 40, 8), TARGET);
    ck_assert_uint_eq(cf_peek(STACK0 - 24, 8) & (FL_IF | FL_RF), FL_IF);
}
END_TEST

Suite *syscall_suite(void)
{
    Suite *s = suite_create("syscall");
    TCase *tc = tcase_create("syscall");

    tcase_add_checked_fixture(tc, NULL, cf_teardown);
    tcase_add_loop_test(tc, test_same_as_helper, 0, 8);
    tcase_add_loop_test(tc, test_waiting_interrupt, 0, ENGINES);
    suite_add_tcase(s, tc);
    return s;
}
