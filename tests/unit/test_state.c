/* Reset state, EFLAGS, the mode word, control registers and MSRs. Values from SDM vol. 3, tables 10-1
 * and 2.5, vol. 4. */
#include <check.h>
#include <stdlib.h>

#include "cpu/sys.h"

struct fixture {
    struct cpu *cpu;
    struct log log;
    jmp_buf jmp;
};
static struct fixture fix;

static void setup(void)
{
    struct cpu *cpu = aligned_alloc(64, align_up(sizeof(*cpu), 64));

    memset(cpu, 0, sizeof(*cpu));
    log_init(&fix.log);
    cpu->log = &fix.log;
    cpu_set_model(cpu, cpu_model_find("max"));
    cpu->fault_jmp = &fix.jmp;
    cpu->a20_mask = UINT64_MAX;
    cpu_reset(cpu);
    fix.cpu = cpu;
}

static void teardown(void)
{
    free(fix.cpu);
}

/* The exception that an expression raises, -1: none. */
#define RAISED(expr) (setjmp(fix.jmp) ? (int)fix.cpu->ex.vector : ((void)(expr), -1))

START_TEST(test_power_on)
{
    const struct cpu *cpu = fix.cpu;

    ck_assert_uint_eq(cpu->rip, 0xfff0);
    ck_assert_uint_eq(cpu->seg[S_CS].selector, 0xf000);
    ck_assert_uint_eq(cpu->seg[S_CS].base, 0xffff0000);
    ck_assert_uint_eq(cpu->code_base, 0xffff0000);
    ck_assert_uint_eq(cpu->cr0, 0x60000010);
    ck_assert_uint_eq(cpu->dr[6], 0xffff0ff0);
    ck_assert_uint_eq(cpu->dr[7], 0x400);
    ck_assert_uint_eq(cpu->gpr[R_DX], cpu_signature(cpu->model));
    ck_assert_uint_eq(cpu->idt.limit, 0xffff);
    ck_assert_uint_eq(cpu->fpu.cw, 0x40);
    ck_assert_uint_eq(cpu_get_eflags(fix.cpu), 2);
    ck_assert_uint_eq(cpu_get_mxcsr(fix.cpu), 0x1f80);
    ck_assert_uint_eq(cpu->mode, 0);
}
END_TEST

START_TEST(test_init_keeps_floating_point_and_msrs)
{
    struct cpu *cpu = fix.cpu;

    cpu->fpu.cw = 0x37f;
    cpu->xmm[3].u64[0] = 5;
    cpu->lstar = 0x1000;
    cpu->cr0 = CR0_PE | CR0_ET | CR0_CD;
    cpu->gpr[R_BX] = 1;
    cpu_init_signal(cpu);
    ck_assert_uint_eq(cpu->fpu.cw, 0x37f);
    ck_assert_uint_eq(cpu->xmm[3].u64[0], 5);
    ck_assert_uint_eq(cpu->lstar, 0x1000);
    ck_assert_uint_eq(cpu->cr0, CR0_ET | CR0_CD);
    ck_assert_uint_eq(cpu->gpr[R_BX], 0);
    ck_assert_uint_eq(cpu->rip, 0xfff0);
}
END_TEST

START_TEST(test_eflags)
{
    struct cpu *cpu = fix.cpu;

    cpu_set_eflags(cpu, 0xffffffff, FL_CF | FL_ZF | FL_IF | FL_TF | FL_IOPL);
    ck_assert_uint_eq(cpu_get_eflags(cpu), 2 | FL_CF | FL_ZF | FL_IF | FL_TF | FL_IOPL);
    ck_assert_uint_eq(cpu->eflags & IR_FLAGS6, 0);
    ck_assert(cpu->mode & MODE_TF);
    ck_assert_uint_eq(cpu->mode & MODE_IOPL, MODE_IOPL);
    cpu_set_eflags(cpu, 0, FL_ZF | FL_TF);
    ck_assert_uint_eq(cpu_get_eflags(cpu), 2 | FL_CF | FL_IF | FL_IOPL);
    ck_assert(!(cpu->mode & MODE_TF));
}
END_TEST

/* A waiting interrupt is looked at again when IF becomes set. */
START_TEST(test_if_asks_for_exit)
{
    struct cpu *cpu = fix.cpu;

    atomic_store(&cpu->pins, CPU_PIN_INTR);
    cpu_set_eflags(cpu, 0, FL_IF);
    ck_assert_uint_eq(cpu->exit_request, 0);
    cpu_set_eflags(cpu, FL_IF, FL_IF);
    ck_assert_uint_eq(cpu->exit_request, 1);
}
END_TEST

START_TEST(test_mode_levels)
{
    struct cpu *cpu = fix.cpu;

    cpu->cr0 |= CR0_PE;
    cpu_set_cpl(cpu, 2);
    cpu_update_mode(cpu);
    ck_assert_uint_eq(cpu_cpl(cpu), 2);
    ck_assert(cpu_protected(cpu));
    cpu_set_eflags(cpu, FL_VM, FL_VM);
    ck_assert_uint_eq(cpu_cpl(cpu), 3);
    ck_assert(!cpu_protected(cpu));
    cpu->cr0 &= ~(uint64_t)CR0_PE;
    cpu->eflags = 2;
    cpu_update_mode(cpu);
    ck_assert_uint_eq(cpu_cpl(cpu), 0);
}
END_TEST

START_TEST(test_mode_flat)
{
    struct cpu *cpu = fix.cpu;
    uint16_t data = ATTR_P | ATTR_S | ATTR_W | ATTR_DB | ATTR_G;

    seg_set_cache(cpu, S_DS, 0x10, 0, UINT32_MAX, data);
    cpu_update_mode(cpu);
    ck_assert(!(cpu->mode & MODE_FLAT_DS)); /* real mode */
    cpu->cr0 |= CR0_PE;
    cpu_update_mode(cpu);
    ck_assert(cpu->mode & MODE_FLAT_DS);
    ck_assert(!(cpu->mode & (MODE_FLAT_ES | MODE_FLAT_SS | MODE_FLAT_CS | MODE_SS32)));
    seg_set_cache(cpu, S_DS, 0x10, 0, UINT32_MAX, data & ~ATTR_W);
    cpu_update_mode(cpu);
    ck_assert(!(cpu->mode & MODE_FLAT_DS));
}
END_TEST

START_TEST(test_mode_long)
{
    struct cpu *cpu = fix.cpu;

    cpu->cr0 |= CR0_PE;
    cpu->efer = EFER_LME | EFER_LMA;
    seg_set_cache(cpu, S_CS, 8, 0x1000, UINT32_MAX, ATTR_P | ATTR_S | ATTR_CODE | ATTR_R | ATTR_L);
    cpu_update_mode(cpu);
    ck_assert(cpu_code64(cpu) && cpu_long_mode(cpu));
    ck_assert_uint_eq(cpu->code_base, 0);
    ck_assert(!(cpu->mode & (MODE_CODE32 | MODE_SS32)));
    seg_set_cache(cpu, S_CS, 8, 0x1000, UINT32_MAX, ATTR_P | ATTR_S | ATTR_CODE | ATTR_R | ATTR_DB);
    cpu_update_mode(cpu);
    ck_assert(!cpu_code64(cpu) && (cpu->mode & MODE_CODE32));
    ck_assert_uint_eq(cpu->code_base, 0x1000);
}
END_TEST

START_TEST(test_mxcsr)
{
    struct cpu *cpu = fix.cpu;

    cpu_set_mxcsr(cpu, 0x1d81);
    ck_assert(cpu->mode & MODE_XM);
    ck_assert_uint_eq(cpu->mxcsr_run & 0x1f80, 0x1f80);
    cpu->mxcsr_run |= 0x20;
    ck_assert_uint_eq(cpu_get_mxcsr(cpu), 0x1da1);
    cpu_set_mxcsr(cpu, 0x1f80);
    ck_assert(!(cpu->mode & MODE_XM));
    ck_assert_uint_eq(cpu_get_mxcsr(cpu), 0x1f80);
}
END_TEST

START_TEST(test_code_breakpoints)
{
    struct cpu *cpu = fix.cpu;

    cpu->dr[1] = 0x1234;
    cpu->dr[7] = 0x400 | 1 << 2;
    cpu_update_mode(cpu);
    ck_assert(cpu->mode & MODE_DR);
    ck_assert_uint_eq(cpu_check_code_breakpoint(cpu, 0x1234), 2);
    ck_assert_uint_eq(cpu_check_code_breakpoint(cpu, 0x1235), 0);
    cpu->dr[7] |= 1 << 20; /* R/W1: data writes */
    cpu_update_mode(cpu);
    ck_assert(!(cpu->mode & MODE_DR));
    ck_assert_uint_eq(cpu_check_code_breakpoint(cpu, 0x1234), 0);
}
END_TEST

START_TEST(test_cr0_reserved)
{
    struct cpu *cpu = fix.cpu;

    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, CR0_PG)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, CR0_NW)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, BIT(32))), EX_GP);
    ck_assert_uint_eq(cpu->cr0, 0x60000010);
    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, 0)), -1);
    ck_assert_uint_eq(cpu->cr0, CR0_ET);
}
END_TEST

START_TEST(test_cr4_reserved)
{
    struct cpu *cpu = fix.cpu;

    ck_assert_int_eq(RAISED(cpu_write_cr4(cpu, BIT(13))), EX_GP); /* VMXE is not there */
    ck_assert_int_eq(RAISED(cpu_write_cr4(cpu, CR4_TSD | CR4_OSFXSR)), -1);
    ck_assert(cpu->mode & MODE_OSFXSR);
    cpu_set_model(cpu, cpu_model_find("pentium"));
    ck_assert_int_eq(RAISED(cpu_write_cr4(cpu, CR4_OSFXSR)), EX_GP);
}
END_TEST

START_TEST(test_long_mode_needs_pae)
{
    struct cpu *cpu = fix.cpu;

    cpu->efer = EFER_LME;
    ck_assert_int_eq(RAISED(cpu_write_cr0(cpu, CR0_PG | CR0_PE)), EX_GP);
    ck_assert(!(cpu->efer & EFER_LMA));
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0xc0000080, BIT(9))), EX_GP);
}
END_TEST

START_TEST(test_msr_plain)
{
    struct cpu *cpu = fix.cpu;

    cpu_write_msr(cpu, 0xc0000081, UINT64_C(0x0023001000000000));
    ck_assert_uint_eq(cpu->star, UINT64_C(0x0023001000000000));
    cpu_write_msr(cpu, 0xc0000101, UINT64_C(0xffff888000000000));
    ck_assert_uint_eq(cpu->seg[S_GS].base, UINT64_C(0xffff888000000000));
    ck_assert_uint_eq(cpu_read_msr(cpu, 0xc0000101), UINT64_C(0xffff888000000000));
    ck_assert_uint_eq(cpu_read_msr(cpu, 0x277), UINT64_C(0x0007040600070406));
    ck_assert_uint_eq(cpu_read_msr(cpu, 0xfe) & 0xff, 8);
}
END_TEST

START_TEST(test_msr_checks)
{
    struct cpu *cpu = fix.cpu;

    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0xc0000082, BIT(60))), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x277, 2)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x277, UINT64_C(0x0706050401000007))), -1);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0xc0000103, BIT(32))), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x2ff, 0x1000)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x2ff, 0xc06)), -1);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x200, 7)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0x201, BIT(40))), EX_GP);
    ck_assert_int_eq(RAISED(cpu_write_msr(cpu, 0xfe, 0)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_read_msr(cpu, 0x12345)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_read_msr(cpu, 0x8b)), -1);
}
END_TEST

/* A model without a feature does not have its MSRs either. */
START_TEST(test_msr_features)
{
    struct cpu *cpu = fix.cpu;

    cpu_set_model(cpu, cpu_model_find("pentium"));
    ck_assert_int_eq(RAISED(cpu_read_msr(cpu, 0x174)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_read_msr(cpu, 0xc0000080)), EX_GP);
    ck_assert_int_eq(RAISED(cpu_read_msr(cpu, 0x250)), EX_GP);
}
END_TEST

Suite *state_suite(void)
{
    Suite *s = suite_create("state");
    TCase *t = tcase_create("state");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_power_on);
    tcase_add_test(t, test_init_keeps_floating_point_and_msrs);
    tcase_add_test(t, test_eflags);
    tcase_add_test(t, test_if_asks_for_exit);
    tcase_add_test(t, test_mode_levels);
    tcase_add_test(t, test_mode_flat);
    tcase_add_test(t, test_mode_long);
    tcase_add_test(t, test_mxcsr);
    tcase_add_test(t, test_code_breakpoints);
    tcase_add_test(t, test_cr0_reserved);
    tcase_add_test(t, test_cr4_reserved);
    tcase_add_test(t, test_long_mode_needs_pae);
    tcase_add_test(t, test_msr_plain);
    tcase_add_test(t, test_msr_checks);
    tcase_add_test(t, test_msr_features);
    suite_add_tcase(s, t);
    return s;
}
