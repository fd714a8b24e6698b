/* Interrupt delivery, far transfers and task switches on real descriptor tables. Expectations from SDM vol.
 * 3, chapters 5, 6, 8, 21 and the instructions' pseudo-code in vol. 2. */
#include <check.h>
#include <stdlib.h>

#include "base/lock.h"
#include "cpu/smp.h"
#include "cpu/sys.h"
#include "memory/memory.h"

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TSS2 = 0x4000, RAM = 0x100000 };
enum {
    KCODE = 0x08, KDATA = 0x10, UCODE = 0x1b, UDATA = 0x23,
    TR_SEL = 0x28, TR2_SEL = 0x30, GATE = 0x38, KCODE64 = 0x48,
};

static struct fixture {
    struct memory *mem;
    struct mem_region *root, *ram;
    struct mem_space *space;
    struct cpu *cpu;
    struct cpu_group group;
    struct log log;
    struct lock lock;
    jmp_buf jmp;
    unsigned shutdowns;
} fix;

static void on_shutdown(void *opaque)
{
    ((struct fixture *)opaque)->shutdowns++;
}

static void poke(uint64_t addr, uint64_t v, unsigned size)
{
    mem_write(fix.space, addr, v, size);
}

static uint64_t peek(uint64_t addr, unsigned size)
{
    return mem_read(fix.space, addr, size);
}

static void put_desc(unsigned selector, uint32_t base, uint32_t limit, uint8_t type, uint8_t flags)
{
    uint32_t lo = (limit & 0xffff) | base << 16;
    uint32_t hi = (base >> 16 & 0xff) | (uint32_t)type << 8 | (limit & 0xf0000) | (uint32_t)flags << 20 |
                  (base & 0xff000000);

    poke(GDT + (selector & ~7u), lo, 4);
    poke(GDT + (selector & ~7u) + 4, hi, 4);
}

static void put_gate(uint64_t at, uint16_t selector, uint32_t offset, uint8_t type, uint8_t count)
{
    poke(at, (uint32_t)selector << 16 | (offset & 0xffff), 4);
    poke(at + 4, (offset & 0xffff0000) | (uint32_t)type << 8 | count, 4);
}

static void make_tables(struct cpu *cpu)
{
    put_desc(KCODE, 0, 0xfffff, 0x9a, 0xc);
    put_desc(KDATA, 0, 0xfffff, 0x92, 0xc);
    put_desc(UCODE, 0, 0xfffff, 0xfa, 0xc);
    put_desc(UDATA, 0, 0xfffff, 0xf2, 0xc);
    put_desc(TR_SEL, TSS, 0x67, 0x89, 0);
    put_desc(TR2_SEL, TSS2, 0x67, 0x89, 0);
    put_gate(GDT + GATE, KCODE, 0x9000, 0xec, 1);
    put_desc(KCODE64, 0, 0xfffff, 0x9a, 0xa);
    poke(TSS + 4, 0x8000, 4);
    poke(TSS + 8, KDATA, 2);
    put_gate(IDT + 0x80 * 8, KCODE, 0x5000, 0xee, 0);
    put_gate(IDT + EX_GP * 8, KCODE, 0x6000, 0x8e, 0);
    put_gate(IDT + EX_DF * 8, KCODE, 0x6800, 0x8e, 0);
    cpu->gdt = (struct table_reg){ .base = GDT, .limit = 0x5f };
    cpu->idt = (struct table_reg){ .base = IDT, .limit = 0x7ff };
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu_update_mode(cpu);
}

static void load_level(struct cpu *cpu, uint16_t cs, uint16_t data)
{
    struct descriptor d;

    ck_assert(desc_read(cpu, cs, &d));
    seg_commit_code(cpu, cs, &d, cs & 3);
    cpu_update_mode(cpu);
    for (unsigned i = S_ES; i < S_NUM; i++)
        if (i != S_CS)
            seg_load(cpu, i, data);
    cpu_update_mode(cpu);
}

static void setup(void)
{
    struct cpu *cpu = aligned_alloc(64, align_up(sizeof(*cpu), 64));

    memset(cpu, 0, sizeof(*cpu));
    memset(&fix, 0, sizeof(fix));
    log_init(&fix.log);
    lock_init(&fix.lock);
    fix.mem = memory_new(16 << 20, &fix.log, NULL);
    fix.root = mem_container_new("root", UINT64_C(1) << 40);
    fix.ram = mem_ram_new(fix.mem, "ram", RAM, NULL);
    mem_region_add(fix.root, 0, fix.ram, 0);
    fix.space = mem_space_new("memory", fix.root, &fix.log);
    cpu->bus = (struct cpu_bus){ .memory = fix.space, .ram = fix.mem, .log = &fix.log, .lock = &fix.lock,
                                 .shutdown = on_shutdown, .opaque = &fix };
    cpu->log = &fix.log;
    fix.group.num = 1;
    cpu->group = &fix.group;
    cpu_set_model(cpu, cpu_model_find("max"));
    cpu->fault_jmp = &fix.jmp;
    cpu->a20_mask = UINT64_MAX;
    fix.cpu = cpu;
    cpu_reset(cpu);
    mmu_init(cpu);
    make_tables(cpu);
    load_level(cpu, KCODE, KDATA);
    seg_load_tr(cpu, TR_SEL);
    cpu->gpr[R_SP] = 0x7000;
    cpu->rip = 0x1234;
}

static void teardown(void)
{
    mem_space_free(fix.space);
    mem_region_remove(fix.ram);
    mem_region_free(fix.ram);
    mem_region_free(fix.root);
    memory_free(fix.mem);
    free(fix.cpu);
}

static void enter_user(void)
{
    load_level(fix.cpu, UCODE, UDATA);
    fix.cpu->gpr[R_SP] = 0xa000;
    ck_assert_uint_eq(cpu_cpl(fix.cpu), 3);
}

#define RAISED(expr) (setjmp(fix.jmp) ? (int)fix.cpu->ex.vector : ((void)(expr), -1))

START_TEST(test_interrupt_same_level)
{
    struct cpu *cpu = fix.cpu;

    cpu_set_eflags(cpu, FL_IF | FL_CF, FL_IF | FL_CF);
    cpu_deliver(cpu, 0x80, false, 0, false, true);
    ck_assert_uint_eq(cpu->rip, 0x5000);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x7000 - 12);
    ck_assert_uint_eq(peek(0x7000 - 12, 4), 0x1234);
    ck_assert_uint_eq(peek(0x7000 - 8, 4), KCODE);
    ck_assert_uint_eq(peek(0x7000 - 4, 4), 2 | FL_IF | FL_CF);
    ck_assert(!(cpu->eflags & FL_IF));
    far_iret(cpu, 4, 0);
    ck_assert_uint_eq(cpu->rip, 0x1234);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x7000);
    ck_assert_uint_eq(cpu_get_eflags(cpu), 2 | FL_IF | FL_CF);
}
END_TEST

START_TEST(test_interrupt_from_user_and_back)
{
    struct cpu *cpu = fix.cpu;

    enter_user();
    deliver_soft(cpu, 0x80, INT_N, 0x1236);
    ck_assert_uint_eq(cpu_cpl(cpu), 0);
    ck_assert_uint_eq(cpu->seg[S_SS].selector, KDATA);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x8000 - 20);
    ck_assert_uint_eq(peek(0x8000 - 4, 4), UDATA);
    ck_assert_uint_eq(peek(0x8000 - 8, 4), 0xa000);
    ck_assert_uint_eq(peek(0x8000 - 20, 4), 0x1236);
    seg_load(cpu, S_FS, KDATA);
    far_iret(cpu, 4, 0);
    ck_assert_uint_eq(cpu_cpl(cpu), 3);
    ck_assert_uint_eq(cpu->rip, 0x1236);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0xa000);
    ck_assert_uint_eq(cpu->seg[S_FS].selector, 0); /* an inner level's segment is not left behind */
    ck_assert_uint_eq(cpu->seg[S_DS].selector, UDATA);
}
END_TEST

START_TEST(test_soft_interrupt_needs_gate_privilege)
{
    enter_user();
    ck_assert_int_eq(RAISED(deliver_soft(fix.cpu, EX_GP, INT_N, 0)), EX_GP);
    ck_assert_uint_eq(fix.cpu->ex.code, EX_GP * 8 + 2);
    ck_assert_int_eq(RAISED(deliver_soft(fix.cpu, 0xff, INT_N, 0)), EX_GP);
    ck_assert_uint_eq(fix.cpu->ex.code, 0xff * 8 + 2);
}
END_TEST

START_TEST(test_error_code_and_rf)
{
    struct cpu *cpu = fix.cpu;

    cpu->ex.vector = EX_GP;
    cpu->ex.has_code = true;
    cpu->ex.code = 0x18;
    cpu_deliver_exception(cpu);
    ck_assert_uint_eq(cpu->rip, 0x6000);
    ck_assert_uint_eq(peek(cpu->gpr[R_SP], 4), 0x18);
    ck_assert_uint_eq(peek(cpu->gpr[R_SP] + 12, 4), 2 | FL_RF);
    ck_assert_int_eq(cpu->delivering, -1);
}
END_TEST

START_TEST(test_double_and_triple_fault)
{
    struct cpu *cpu = fix.cpu;

    poke(IDT + EX_NP * 8 + 4, 0, 4);
    cpu->ex.vector = EX_NP;
    cpu->ex.has_code = true;
    ck_assert_int_eq(RAISED(cpu_deliver_exception(cpu)), EX_GP);
    ck_assert_int_eq(cpu->delivering, EX_NP);
    ck_assert_uint_eq(cpu->ex.code, EX_NP * 8 + 2 + 1);
    cpu_deliver_exception(cpu);
    ck_assert_uint_eq(cpu->rip, 0x6800);
    ck_assert_uint_eq(peek(cpu->gpr[R_SP], 4), 0);

    cpu->idt.limit = 0;
    cpu->ex.vector = EX_GP;
    ck_assert_int_eq(RAISED(cpu_deliver_exception(cpu)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_deliver_exception(cpu)), EX_GP);
    cpu_deliver_exception(cpu);
    ck_assert_uint_eq(fix.shutdowns, 1);
    ck_assert_uint_eq(cpu->shutdown, 1);
}
END_TEST

START_TEST(test_call_gate_copies_parameters)
{
    struct cpu *cpu = fix.cpu;

    enter_user();
    poke(0xa000, 0x11223344, 4);
    far_transfer(cpu, FAR_CALL, GATE | 3, 0, 4, 0x2222);
    ck_assert_uint_eq(cpu_cpl(cpu), 0);
    ck_assert_uint_eq(cpu->rip, 0x9000);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x8000 - 20);
    ck_assert_uint_eq(peek(0x8000 - 12, 4), 0x11223344);
    ck_assert_uint_eq(peek(0x8000 - 16, 4), UCODE);
    far_return(cpu, 4, 4);
    ck_assert_uint_eq(cpu_cpl(cpu), 3);
    ck_assert_uint_eq(cpu->rip, 0x2222);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0xa004);
}
END_TEST

START_TEST(test_far_jump_checks)
{
    struct cpu *cpu = fix.cpu;

    ck_assert_int_eq(RAISED(far_transfer(cpu, FAR_JMP, 0, 0, 4, 0)), EX_GP);
    ck_assert_int_eq(RAISED(far_transfer(cpu, FAR_JMP, KDATA, 0, 4, 0)), EX_GP);
    ck_assert_uint_eq(cpu->ex.code, KDATA);
    ck_assert_int_eq(RAISED(far_transfer(cpu, FAR_JMP, UCODE, 0, 4, 0)), EX_GP);
    ck_assert_uint_eq(cpu->ex.code, UCODE & ~3);
    put_desc(KCODE, 0, 0xfff, 0x9a, 0x4);
    ck_assert_int_eq(RAISED(far_transfer(cpu, FAR_JMP, KCODE, 0x1000, 4, 0)), EX_GP);
    ck_assert_uint_eq(cpu->ex.code, 0);
    put_desc(KCODE, 0, 0xfffff, 0x1a, 0xc);
    ck_assert_int_eq(RAISED(far_transfer(cpu, FAR_JMP, KCODE, 0, 4, 0)), EX_NP);
    ck_assert_uint_eq(cpu->rip, 0x1234);
}
END_TEST

/* To v86 mode by IRET, and back through a gate with the segments on the inner stack. */
START_TEST(test_v86_round_trip)
{
    static const uint32_t frame[] = { 0x100,  0x2000, 2 | FL_VM | FL_IF, 0xfffe, 0x3000, 0x4000, 0x5000,
                                      0x6000, 0x7000 };
    struct cpu *cpu = fix.cpu;

    for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
        poke(0x7000 + 4 * i, frame[i], 4);
    far_iret(cpu, 4, 0);
    ck_assert(cpu->mode & MODE_VM);
    ck_assert_uint_eq(cpu_cpl(cpu), 3);
    ck_assert_uint_eq(cpu->seg[S_CS].base, 0x20000);
    ck_assert_uint_eq(cpu->seg[S_GS].base, 0x70000);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0xfffe);
    ck_assert_int_eq(RAISED(deliver_soft(cpu, 0x80, INT_N, 0x102)), EX_GP); /* IOPL 0 */
    cpu_deliver(cpu, 0x80, false, 0, false, true);
    ck_assert(!(cpu->mode & MODE_VM));
    ck_assert_uint_eq(cpu_cpl(cpu), 0);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x8000 - 36);
    ck_assert_uint_eq(peek(0x8000 - 4, 4), 0x7000);
    ck_assert_uint_eq(cpu->seg[S_DS].selector, 0);
    far_iret(cpu, 4, 0);
    ck_assert(cpu->mode & MODE_VM);
    ck_assert_uint_eq(cpu->seg[S_SS].selector, 0x3000);
    ck_assert_uint_eq(cpu->rip, 0x100);
}
END_TEST

static void make_task(void)
{
    poke(TSS2 + 32, 0x4321, 4);
    poke(TSS2 + 36, 2, 4);
    poke(TSS2 + 40, 0xabcd, 4);
    poke(TSS2 + 56, 0xb000, 4);
    for (unsigned i = 0; i < 6; i++)
        poke(TSS2 + 72 + 4 * i, i == 1 ? KCODE : KDATA, 4);
}

START_TEST(test_task_call_and_return)
{
    struct cpu *cpu = fix.cpu;

    make_task();
    cpu->gpr[R_AX] = 0x1111;
    far_transfer(cpu, FAR_CALL, TR2_SEL, 0, 4, 0x1239);
    ck_assert_uint_eq(cpu->rip, 0x4321);
    ck_assert_uint_eq(cpu->gpr[R_AX], 0xabcd);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0xb000);
    ck_assert(cpu->eflags & FL_NT);
    ck_assert(cpu->cr0 & CR0_TS);
    ck_assert_uint_eq(peek(TSS2, 2), TR_SEL);
    ck_assert_uint_eq(peek(TSS + 32, 4), 0x1239);
    ck_assert_uint_eq(peek(GDT + TR2_SEL + 5, 1), 0x8b);
    far_iret(cpu, 4, 0x5555);
    ck_assert_uint_eq(cpu->rip, 0x1239);
    ck_assert_uint_eq(cpu->gpr[R_AX], 0x1111);
    ck_assert_uint_eq(cpu->seg[S_TR].selector, TR_SEL);
    ck_assert(!(cpu->eflags & FL_NT));
    ck_assert_uint_eq(peek(GDT + TR2_SEL + 5, 1), 0x89);
    ck_assert_uint_eq(peek(TSS2 + 32, 4), 0x5555);
}
END_TEST

START_TEST(test_busy_task_is_refused)
{
    ck_assert_int_eq(RAISED(far_transfer(fix.cpu, FAR_JMP, TR_SEL, 0, 4, 0)), EX_GP);
    ck_assert_uint_eq(fix.cpu->ex.code, TR_SEL);
}
END_TEST

START_TEST(test_real_mode_vector)
{
    struct cpu *cpu = fix.cpu;

    cpu_write_cr0(cpu, CR0_ET);
    cpu->idt = (struct table_reg){ .limit = 0x3ff };
    poke(0x10 * 4, 0xf0001234, 4);
    cpu->rip = 0x77;
    deliver_soft(cpu, 0x10, INT_N, 0x79);
    ck_assert_uint_eq(cpu->rip, 0x1234);
    ck_assert_uint_eq(cpu->seg[S_CS].base, 0xf0000);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x7000 - 6);
    ck_assert_uint_eq(peek(0x7000 - 6, 2), 0x79);
    far_iret(cpu, 2, 0);
    ck_assert_uint_eq(cpu->rip, 0x79);
}
END_TEST

/* Four levels of tables that map the first 2 MiB onto themselves. */
static void enter_long_mode(struct cpu *cpu)
{
    poke(0x20000, 0x21003, 8);
    poke(0x21000, 0x22003, 8);
    poke(0x22000, 0x83, 8);
    cpu_write_cr4(cpu, CR4_PAE);
    cpu_write_cr3(cpu, 0x20000);
    cpu_write_msr(cpu, 0xc0000080, EFER_LME);
    cpu_write_cr0(cpu, CR0_PE | CR0_PG);
    ck_assert(cpu_long_mode(cpu) && !cpu_code64(cpu));
    far_transfer(cpu, FAR_JMP, KCODE64, 0x3333, 4, 0);
    ck_assert(cpu_code64(cpu));
}

START_TEST(test_long_mode_interrupt)
{
    struct cpu *cpu = fix.cpu;

    enter_long_mode(cpu);
    poke(IDT + 0x40 * 16, (uint64_t)0x8e01 << 32 | (uint32_t)KCODE64 << 16 | 0x5678, 8);
    poke(IDT + 0x40 * 16 + 8, 0, 8);
    poke(TSS + 36, 0xc008, 8); /* IST1 */
    cpu->gpr[R_SP] = 0x7003;
    cpu_deliver(cpu, 0x40, false, 0, false, true);
    ck_assert_uint_eq(cpu->rip, 0x5678);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0xc000 - 40);
    ck_assert_uint_eq(peek(0xc000 - 16, 8), 0x7003);
    ck_assert_uint_eq(peek(0xc000 - 8, 8), KDATA);
    far_iret(cpu, 8, 0);
    ck_assert_uint_eq(cpu->rip, 0x3333);
    ck_assert_uint_eq(cpu->gpr[R_SP], 0x7003);
    ck_assert_uint_eq(cpu->seg[S_SS].selector, KDATA);
}
END_TEST

START_TEST(test_long_mode_ends_only_outside_64_bit_code)
{
    struct cpu *cpu = fix.cpu;

    enter_long_mode(cpu);
    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, CR0_PE)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_cr4(cpu, 0)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0xc0000080, 0)), EX_GP);
    ck_assert(cpu_long_mode(cpu));
}
END_TEST

START_TEST(test_io_permission_map)
{
    struct cpu *cpu = fix.cpu;

    poke(TSS + 102, 0x68, 2);
    ck_assert_int_eq(RAISED(cpu_check_io(cpu, 0x60, 1)), -1);
    enter_user();
    ck_assert_int_eq(RAISED(cpu_check_io(cpu, 0x60, 1)), EX_GP); /* the map lies beyond the limit */
    cpu->seg[S_TR].limit = 0x68 + 0x20;
    poke(TSS + 0x68 + 0x60 / 8, 0xfc, 1);
    poke(TSS + 0x69 + 0x60 / 8, 0xff, 1);
    ck_assert_int_eq(RAISED(cpu_check_io(cpu, 0x60, 2)), -1);
    ck_assert_int_eq(RAISED(cpu_check_io(cpu, 0x61, 2)), EX_GP);
}
END_TEST

Suite *deliver_suite(void)
{
    Suite *s = suite_create("deliver");
    TCase *t = tcase_create("deliver");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_interrupt_same_level);
    tcase_add_test(t, test_interrupt_from_user_and_back);
    tcase_add_test(t, test_soft_interrupt_needs_gate_privilege);
    tcase_add_test(t, test_error_code_and_rf);
    tcase_add_test(t, test_double_and_triple_fault);
    tcase_add_test(t, test_call_gate_copies_parameters);
    tcase_add_test(t, test_far_jump_checks);
    tcase_add_test(t, test_v86_round_trip);
    tcase_add_test(t, test_task_call_and_return);
    tcase_add_test(t, test_busy_task_is_refused);
    tcase_add_test(t, test_real_mode_vector);
    tcase_add_test(t, test_long_mode_interrupt);
    tcase_add_test(t, test_long_mode_ends_only_outside_64_bit_code);
    tcase_add_test(t, test_io_permission_map);
    suite_add_tcase(s, t);
    return s;
}
