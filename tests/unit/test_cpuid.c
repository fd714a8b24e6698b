/* CPUID: every model is consistent with itself and with SDM vol. 2, CPUID. */
#include <check.h>
#include <stdlib.h>

#include "cpu/sys.h"

static const char *const names[] = { "486",    "pentium", "pentium2",  "pentium3",
                                     "qemu32", "qemu64",  "x86-64-v1", "max" };

static struct cpu *bare_cpu(const char *model)
{
    struct cpu *cpu = aligned_alloc(64, align_up(sizeof(*cpu), 64));

    memset(cpu, 0, sizeof(*cpu));
    cpu_set_model(cpu, cpu_model_find(model));
    ck_assert_ptr_nonnull(cpu->model);
    return cpu;
}

START_TEST(test_models_are_known)
{
    ck_assert(cpu_model_known(names[_i]));
    ck_assert_str_eq(cpu_model_find(names[_i])->name, names[_i]);
}
END_TEST

START_TEST(test_unknown_and_default_models)
{
    ck_assert(!cpu_model_known("skylake"));
    ck_assert_str_eq(cpu_model_find(NULL)->name, "max");
}
END_TEST

START_TEST(test_leaf_0)
{
    struct cpu *cpu = bare_cpu(names[_i]);
    uint32_t r[4];
    char vendor[13] = { 0 };

    cpu_cpuid(cpu, 0, 0, r);
    store_le(vendor, 4, r[1]);
    store_le(vendor + 4, 4, r[3]);
    store_le(vendor + 8, 4, r[2]);
    ck_assert(!strcmp(vendor, "GenuineIntel") || !strcmp(vendor, "AuthenticAMD"));
    ck_assert_uint_ge(r[0], 1);
    free(cpu);
}
END_TEST

START_TEST(test_signature)
{
    struct cpu *cpu = bare_cpu("qemu64");
    uint32_t r[4];

    cpu_cpuid(cpu, 1, 0, r);
    ck_assert_uint_eq(r[0], 0x00060fb1); /* family 15, model 107, stepping 1 */
    ck_assert_uint_eq(cpu_signature(cpu_model_find("pentium")), 0x543);
    ck_assert_uint_eq(cpu_signature(cpu_model_find("max")), 0x106ca);
    free(cpu);
}
END_TEST

/* A feature is shown if and only if instructions that need it work. */
START_TEST(test_bits_match_features)
{
    static const struct { unsigned feature, reg, bit; } leaf1[] = {
        { FEAT_FPU, 3, 0 },   { FEAT_TSC, 3, 4 },    { FEAT_MSR, 3, 5 },   { FEAT_CX8, 3, 8 },
        { FEAT_CMOV, 3, 15 }, { FEAT_CLFSH, 3, 19 }, { FEAT_MMX, 3, 23 },  { FEAT_FXSR, 3, 24 },
        { FEAT_SSE, 3, 25 },  { FEAT_SSE2, 3, 26 },  { FEAT_CX16, 2, 13 }, { FEAT_HYPERVISOR, 2, 31 },
    };
    struct cpu *cpu = bare_cpu(names[_i]);
    uint32_t r[4];

    cpu_cpuid(cpu, 1, 0, r);
    for (unsigned i = 0; i < ARRAY_LEN(leaf1); i++)
        ck_assert_uint_eq(r[leaf1[i].reg] >> leaf1[i].bit & 1, cpu_has(cpu, leaf1[i].feature));
    free(cpu);
}
END_TEST

/* What one feature needs of another. */
START_TEST(test_dependencies)
{
    struct cpu *cpu = bare_cpu(names[_i]);

    ck_assert(cpu_has(cpu, FEAT_NONE) && cpu_has(cpu, FEAT_486));
    if (cpu_has(cpu, FEAT_SSE2))
        ck_assert(cpu_has(cpu, FEAT_SSE));
    if (cpu_has(cpu, FEAT_SSE))
        ck_assert(cpu_has(cpu, FEAT_FXSR) && cpu_has(cpu, FEAT_MMX));
    if (cpu_has(cpu, FEAT_LM))
        ck_assert(cpu_has(cpu, FEAT_PAE) && cpu_has(cpu, FEAT_MSR) && cpu_has(cpu, FEAT_SYSCALL) &&
                  cpu_has(cpu, FEAT_SSE2) && cpu_has(cpu, FEAT_CX8) && cpu_has(cpu, FEAT_PGE));
    free(cpu);
}
END_TEST

START_TEST(test_extended_leaves)
{
    struct cpu *cpu = bare_cpu("max");
    uint32_t r[4];

    cpu_cpuid(cpu, 0x80000000, 0, r);
    ck_assert_uint_eq(r[0], 0x80000008);
    cpu_cpuid(cpu, 0x80000001, 0, r);
    ck_assert(r[3] & BIT(29));
    ck_assert(!(r[3] & BIT(11))); /* SYSCALL: Intel shows it to 64-bit code only */
    cpu->mode |= MODE_CODE64;
    cpu_cpuid(cpu, 0x80000001, 0, r);
    ck_assert(r[3] & BIT(11));
    cpu_cpuid(cpu, 0x80000008, 0, r);
    ck_assert_uint_eq(r[0] & 0xffff, 48 << 8 | 40);
    cpu_cpuid(cpu, 0x80000002, 0, r);
    ck_assert_uint_eq(r[0], load_le("Mimu", 4));
    free(cpu);
}
END_TEST

START_TEST(test_tsc_frequency)
{
    struct cpu *cpu = bare_cpu("max");
    uint32_t r[4];

    cpu_cpuid(cpu, 0x15, 0, r);
    ck_assert_uint_eq((uint64_t)r[2] * r[1] / r[0], CPU_TSC_HZ);
    cpu_cpuid(cpu, 0x40000000, 0, r);
    ck_assert_uint_ge(r[0], 0x40000010);
    cpu_cpuid(cpu, 0x40000010, 0, r);
    ck_assert_uint_eq(r[0], CPU_TSC_HZ / 1000);
    free(cpu);
}
END_TEST

START_TEST(test_leaves_out_of_range)
{
    struct cpu *intel = bare_cpu("pentium"), *amd = bare_cpu("qemu64");
    uint32_t r[4], last[4];

    cpu_cpuid(intel, 1, 0, last);
    cpu_cpuid(intel, 0x80000000, 0, r);
    ck_assert_mem_eq(r, last, sizeof(r));
    ck_assert_uint_lt(r[0], 0x80000000);
    cpu_cpuid(amd, 0x7fffffff, 0, r);
    ck_assert_uint_eq(r[0] | r[1] | r[2] | r[3], 0);
    free(intel);
    free(amd);
}
END_TEST

Suite *cpuid_suite(void)
{
    Suite *s = suite_create("cpuid");
    TCase *t = tcase_create("cpuid");

    tcase_add_loop_test(t, test_models_are_known, 0, ARRAY_LEN(names));
    tcase_add_test(t, test_unknown_and_default_models);
    tcase_add_loop_test(t, test_leaf_0, 0, ARRAY_LEN(names));
    tcase_add_test(t, test_signature);
    tcase_add_loop_test(t, test_bits_match_features, 0, ARRAY_LEN(names));
    tcase_add_loop_test(t, test_dependencies, 0, ARRAY_LEN(names));
    tcase_add_test(t, test_extended_leaves);
    tcase_add_test(t, test_tsc_frequency);
    tcase_add_test(t, test_leaves_out_of_range);
    suite_add_tcase(s, t);
    return s;
}
