/* Segment caches: descriptor fields, bounds, real and v86 loads. Values from SDM vol. 3, 3.4.5 and 21.1. */
#include <check.h>
#include <stdlib.h>

#include "cpu/sys.h"

static struct cpu *bare_cpu(void)
{
    struct cpu *cpu = aligned_alloc(64, align_up(sizeof(*cpu), 64));

    memset(cpu, 0, sizeof(*cpu));
    cpu_set_model(cpu, cpu_model_find("max"));
    cpu->delivering = -1;
    cpu_reset(cpu);
    return cpu;
}

START_TEST(test_parse_flat_code)
{
    struct descriptor d;

    desc_parse(&d, 0x0000ffff, 0x00cf9a00);
    ck_assert_uint_eq(d.base, 0);
    ck_assert_uint_eq(d.limit, 0xffffffff);
    ck_assert_uint_eq(d.attr, ATTR_G | ATTR_DB | ATTR_P | ATTR_S | ATTR_CODE | ATTR_R);
    ck_assert(desc_is_code(&d));
    ck_assert_uint_eq(desc_dpl(&d), 0);
}
END_TEST

START_TEST(test_parse_scattered_fields)
{
    struct descriptor d;

    desc_parse(&d, 0x56781234, 0xaa05f2bb);
    ck_assert_uint_eq(d.base, 0xaabb5678);
    ck_assert_uint_eq(d.limit, 0x51234);
    ck_assert_uint_eq(desc_dpl(&d), 3);
    ck_assert(!desc_is_code(&d));
}
END_TEST

START_TEST(test_parse_gate)
{
    struct descriptor d;

    desc_parse(&d, 0x00081234, 0x5678ee00);
    ck_assert_uint_eq(gate_selector(&d), 8);
    ck_assert_uint_eq(gate_offset(&d), 0x56781234);
    ck_assert_uint_eq(desc_type(&d), SYS_INT);
    ck_assert_uint_eq(desc_dpl(&d), 3);
}
END_TEST

#define DATA (ATTR_P | ATTR_S)

/* Rows: attributes, limit, then the accepted ranges for reads and for writes; lo > hi: none. */
static const struct {
    uint16_t attr;
    uint32_t limit;
    uint64_t read_lo, read_hi, write_lo, write_hi;
} bounds[] = {
    { DATA | ATTR_W, 0xffff, 0, 0xffff, 0, 0xffff },
    { DATA, 0xffff, 0, 0xffff, 1, 0 },
    { DATA | ATTR_W, 0, 0, 0, 0, 0 },
    { DATA | ATTR_W | ATTR_E, 0xfff, 0x1000, 0xffff, 0x1000, 0xffff },
    { DATA | ATTR_W | ATTR_E | ATTR_DB, 0xfff, 0x1000, 0xffffffff, 0x1000, 0xffffffff },
    { DATA | ATTR_E | ATTR_DB, 0xfff, 0x1000, 0xffffffff, 1, 0 },
    { DATA | ATTR_W | ATTR_E | ATTR_DB, 0xffffffff, 1, 0, 1, 0 },
    { DATA | ATTR_CODE | ATTR_R, 0xffffffff, 0, 0xffffffff, 1, 0 },
    { DATA | ATTR_CODE, 0xffffffff, 1, 0, 1, 0 },
    { DATA | ATTR_CODE | ATTR_C | ATTR_R, 0xff, 0, 0xff, 1, 0 },
    { ATTR_S | ATTR_W, 0xffff, 1, 0, 1, 0 },
    { 0, 0, 1, 0, 1, 0 },
};

static void assert_range(uint64_t lo, uint64_t hi, uint64_t want_lo, uint64_t want_hi)
{
    if (want_lo > want_hi) {
        ck_assert_uint_gt(lo, hi);
        return;
    }
    ck_assert_uint_eq(lo, want_lo);
    ck_assert_uint_eq(hi, want_hi);
}

START_TEST(test_bounds)
{
    struct segment s = { .attr = bounds[_i].attr, .limit = bounds[_i].limit };

    seg_bounds(&s);
    assert_range(s.read_lo, s.read_hi, bounds[_i].read_lo, bounds[_i].read_hi);
    assert_range(s.write_lo, s.write_hi, bounds[_i].write_lo, bounds[_i].write_hi);
}
END_TEST

START_TEST(test_real_load_keeps_limit)
{
    struct cpu *cpu = bare_cpu();

    seg_set_cache(cpu, S_DS, 8, 0, UINT32_MAX, DATA | ATTR_W | ATTR_DB | ATTR_G);
    seg_load_real(cpu, S_DS, 0x1234);
    ck_assert_uint_eq(cpu->seg[S_DS].selector, 0x1234);
    ck_assert_uint_eq(cpu->seg[S_DS].base, 0x12340);
    ck_assert_uint_eq(cpu->seg[S_DS].write_hi, UINT32_MAX);
    free(cpu);
}
END_TEST

START_TEST(test_v86_load_has_64k)
{
    struct cpu *cpu = bare_cpu();

    seg_set_cache(cpu, S_DS, 8, 0, UINT32_MAX, DATA | ATTR_W | ATTR_DB | ATTR_G);
    cpu->cr0 |= CR0_PE;
    cpu->eflags |= FL_VM;
    cpu_update_mode(cpu);
    seg_load(cpu, S_DS, 0xf000);
    ck_assert_uint_eq(cpu->seg[S_DS].base, 0xf0000);
    ck_assert_uint_eq(cpu->seg[S_DS].limit, 0xffff);
    ck_assert_uint_eq(cpu->seg[S_DS].attr, 0xf3);
    free(cpu);
}
END_TEST

START_TEST(test_leaving_protection_makes_null_usable)
{
    struct cpu *cpu = bare_cpu();

    seg_set_null(cpu, S_GS, 0);
    seg_enter_real(cpu);
    ck_assert_uint_eq(cpu->seg[S_GS].write_lo, 0);
    ck_assert_uint_eq(cpu->seg[S_GS].write_hi, 0xffff);
    free(cpu);
}
END_TEST

START_TEST(test_null_stack_is_gp0)
{
    struct cpu *cpu = bare_cpu();
    jmp_buf jmp;

    cpu->cr0 |= CR0_PE;
    cpu_update_mode(cpu);
    cpu->fault_jmp = &jmp;
    if (!setjmp(jmp)) {
        seg_load(cpu, S_SS, 0);
        ck_abort_msg("null SS was accepted");
    }
    ck_assert_uint_eq(cpu->ex.vector, EX_GP);
    ck_assert_uint_eq(cpu->ex.code, 0);
    seg_load(cpu, S_DS, 3);
    ck_assert_uint_eq(cpu->seg[S_DS].selector, 3);
    ck_assert_uint_gt(cpu->seg[S_DS].read_lo, cpu->seg[S_DS].read_hi);
    free(cpu);
}
END_TEST

START_TEST(test_selector_beyond_table)
{
    struct cpu *cpu = bare_cpu();
    jmp_buf jmp;

    cpu->cr0 |= CR0_PE;
    cpu->gdt.limit = 0x17;
    cpu_update_mode(cpu);
    cpu->fault_jmp = &jmp;
    if (!setjmp(jmp)) {
        seg_load(cpu, S_ES, 0x1b);
        ck_abort_msg("selector beyond the table was accepted");
    }
    ck_assert_uint_eq(cpu->ex.vector, EX_GP);
    ck_assert_uint_eq(cpu->ex.code, 0x18);
    free(cpu);
}
END_TEST

Suite *segment_suite(void)
{
    Suite *s = suite_create("segment");
    TCase *t = tcase_create("segment");

    tcase_add_test(t, test_parse_flat_code);
    tcase_add_test(t, test_parse_scattered_fields);
    tcase_add_test(t, test_parse_gate);
    tcase_add_loop_test(t, test_bounds, 0, ARRAY_LEN(bounds));
    tcase_add_test(t, test_real_load_keeps_limit);
    tcase_add_test(t, test_v86_load_has_64k);
    tcase_add_test(t, test_leaving_protection_makes_null_usable);
    tcase_add_test(t, test_null_stack_is_gp0);
    tcase_add_test(t, test_selector_beyond_table);
    suite_add_tcase(s, t);
    return s;
}
