/* CPUID: every model is consistent with itself and with SDM vol. 2, CPUID. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "cpu/sys.h"

static const char *const names[] = { "486",     "pentium",   "pentium2",  "pentium3",  "qemu32", "qemu64",
                                     "core2duo", "nehalem", "x86-64-v1", "x86-64-v2", "x86-64-v3", "max" };

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
    char notes[64];

    ck_assert_int_eq(cpu_model_check(names[_i], notes, sizeof(notes), NULL), 0);
    ck_assert_str_eq(notes, "");
    ck_assert_str_eq(cpu_model_find(names[_i])->name, names[_i]);
}
END_TEST

START_TEST(test_unknown_and_default_models)
{
    ck_assert_ptr_null(cpu_model_find("skylake"));
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
    ck_assert_uint_eq(cpu_signature(cpu_model_find("core2duo")), 0x6fb);
    ck_assert_uint_eq(cpu_signature(cpu_model_find("nehalem")), 0x106a3);
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
    ck_assert_uint_eq(r[0] & 0xffff, (cpu_has(cpu, FEAT_LA57) ? 57u : 48u) << 8 | 40);
    cpu_features_set(&cpu->features, FEAT_LA57, false);
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

static struct cpu_spec parsed(const char *text)
{
    struct error err = { "" };
    struct cpu_spec s;

    ck_assert_msg(cpu_spec_parse(&s, text, &err) == 0, "%s: %s", text, err.msg);
    return s;
}

static bool has(const struct cpu_spec *s, unsigned feature)
{
    return cpu_features_has(&s->features, feature);
}

/* The lists of the x86-64 psABI, 3.1.1: CPUID bits of Intel's manual, vol. 2, as leaf, register and bit. */
START_TEST(test_psabi_levels)
{
    static const struct { uint32_t leaf; unsigned reg, bit, level; } t[] = {
        { 1, 3, 15, 1 }, { 1, 3, 8, 1 }, { 1, 3, 0, 1 }, { 1, 3, 24, 1 }, { 1, 3, 23, 1 }, { 1, 3, 25, 1 },
        { 1, 3, 26, 1 }, { 0x80000001, 3, 29, 1 },
        { 1, 2, 13, 2 }, { 0x80000001, 2, 0, 2 }, { 1, 2, 23, 2 }, { 1, 2, 0, 2 }, { 1, 2, 19, 2 },
        { 1, 2, 20, 2 }, { 1, 2, 9, 2 },
        { 1, 2, 28, 3 }, { 7, 1, 5, 3 }, { 7, 1, 3, 3 }, { 7, 1, 8, 3 }, { 1, 2, 29, 3 }, { 1, 2, 12, 3 },
        { 0x80000001, 2, 5, 3 }, { 1, 2, 22, 3 }, { 1, 2, 26, 3 },
    };
    static const char *const level[] = { "x86-64-v1", "x86-64-v2", "x86-64-v3" };
    struct cpu *cpu = bare_cpu(level[_i]);
    uint32_t r[4];

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        cpu_cpuid(cpu, t[i].leaf, 0, r);
        ck_assert_msg((r[t[i].reg] >> t[i].bit & 1) == (t[i].level <= (unsigned)_i + 1), "%s: row %u", level[_i],
                      i);
    }
    free(cpu);
}
END_TEST

START_TEST(test_feature_words)
{
    struct cpu_spec s = parsed("x86-64-v1,+popcnt,abm=on,bmi1=ON,-nx,+sse3,pni=off");

    ck_assert(has(&s, FEAT_POPCNT) && has(&s, FEAT_LZCNT) && has(&s, FEAT_BMI1));
    ck_assert(!has(&s, FEAT_NX) && !has(&s, FEAT_SSE3));
    ck_assert_str_eq(s.note, "");
    s = parsed("MAX,-xd,lahf_lm=off,rdtscp=off,rdtscp=on");
    ck_assert(!has(&s, FEAT_NX) && !has(&s, FEAT_LAHF_LM) && has(&s, FEAT_RDTSCP));
    s = parsed("max,-lahf-lm,tsc_adjust=off");
    ck_assert(!has(&s, FEAT_LAHF_LM) && !has(&s, FEAT_TSC_ADJUST));
    s = parsed("max,+monitor");
    ck_assert(has(&s, FEAT_MONITOR));
}
END_TEST

/* What needs a feature that goes, goes with it, and is named. */
START_TEST(test_dependants)
{
    struct cpu_spec s = parsed("qemu64,-i64");

    ck_assert(!has(&s, FEAT_LM) && !has(&s, FEAT_LAHF_LM) && !has(&s, FEAT_CX16));
    ck_assert(has(&s, FEAT_SYSCALL) && has(&s, FEAT_SSE2));
    ck_assert_ptr_nonnull(strstr(s.note, "lahf-lm"));
    ck_assert_ptr_null(strchr(s.note, '\n'));
    s = parsed("max,-xsave");
    ck_assert(!has(&s, FEAT_XSAVES) && !has(&s, FEAT_XSAVEC) && !has(&s, FEAT_PKU) && !has(&s, FEAT_AVX));
    s = parsed("max,-fpu"); /* the longest note fits */
    ck_assert_uint_lt(strlen(s.note), sizeof(s.note) - 1);
    ck_assert(!has(&s, FEAT_SSE3) && !has(&s, FEAT_LM) && !has(&s, FEAT_CX16));
}
END_TEST

START_TEST(test_bad_words)
{
    static const struct { const char *text, *says; } bad[] = {
        { "z80", "z80" }, { "", "unknown model" }, { "max,", "''" }, { "max,,+sse", "''" },
        { "max,+", "'+'" },
        { "max,sse", "'sse'" }, { "max,sse=yes", "sse=yes" }, { "max,+sse=on", "+sse=on" },
        { "max,=on", "=on" },
        { "max,+3dnow", "3dnow" }, { "max,vmx=on", "vmx" }, { "pentium,+lm", "lm needs pae" },
        { "max,-xsave,+xsavec", "xsavec needs xsave" }, { "max,+xsavec,-xsave", "xsavec needs xsave" },
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = { "" };
        struct cpu_spec s;
        ck_assert_msg(cpu_spec_parse(&s, bad[i].text, &err) == -EINVAL, "%s", bad[i].text);
        ck_assert_msg(strstr(err.msg, bad[i].says) != NULL, "%s: '%s'", bad[i].text, err.msg);
    }
}
END_TEST

/* Leaf 0DH: SDM vol. 1, 13.2; offsets and sizes as on Intel's processors. */
START_TEST(test_xstate_leaf)
{
    struct cpu *cpu = bare_cpu("max");
    uint32_t r[4];

    cpu_features_set(&cpu->features, FEAT_AVX, true);
    cpu->xcr0 = 1;
    cpu_cpuid(cpu, 13, 0, r);
    ck_assert(r[0] == 0x207 && r[1] == 576 && r[2] == 2696 && r[3] == 0);
    cpu_cpuid(cpu, 13, 1, r);
    ck_assert(r[0] == 15 && r[1] == 576 && r[2] == 0 && r[3] == 0);
    cpu_cpuid(cpu, 13, 2, r);
    ck_assert(r[0] == 256 && r[1] == 576 && r[2] == 0 && r[3] == 0);
    cpu_cpuid(cpu, 13, 9, r);
    ck_assert(r[0] == 8 && r[1] == 2688 && r[2] == 0 && r[3] == 0);
    for (unsigned i = 3; i < 70; i++) {
        cpu_cpuid(cpu, 13, i, r);
        ck_assert(i == 9 || !(r[0] | r[1] | r[2] | r[3]));
    }
    cpu->xcr0 = 0x207;
    cpu_cpuid(cpu, 13, 0, r);
    ck_assert_uint_eq(r[1], 2696);
    cpu_cpuid(cpu, 13, 1, r);
    ck_assert_uint_eq(r[1], 576 + 256 + 8);
    cpu_features_set(&cpu->features, FEAT_AVX, false);
    cpu_features_set(&cpu->features, FEAT_PKU, false);
    cpu_cpuid(cpu, 13, 0, r);
    ck_assert(r[0] == 3 && r[2] == 576);
    cpu_cpuid(cpu, 13, 2, r);
    ck_assert_uint_eq(r[0] | r[1], 0);
    free(cpu);
}
END_TEST

/* Bits that show what CR4 enables. */
START_TEST(test_os_bits)
{
    struct cpu *cpu = bare_cpu("max");
    uint32_t r[4];

    for (unsigned on = 0; on < 2; on++) {
        cpu->cr4 = on ? CR4_OSXSAVE | CR4_PKE : 0;
        cpu_cpuid(cpu, 1, 0, r);
        ck_assert_uint_eq(r[2] >> 27 & 1, on);
        cpu_cpuid(cpu, 7, 0, r);
        ck_assert_uint_eq(r[2] >> 4 & 1, on);
        cpu_cpuid(cpu, 7, 1, r);
        ck_assert_uint_eq(r[0] | r[1] | r[2] | r[3], 0);
    }
    free(cpu);
}
END_TEST

/* One package, one core, one thread; no counters; MONITOR only where it is. */
START_TEST(test_small_leaves)
{
    struct cpu *cpu = bare_cpu("nehalem"), *max = bare_cpu("max");
    uint32_t r[4];

    cpu_cpuid(cpu, 11, 0, r);
    ck_assert(r[0] == 0 && r[1] == 1 && r[2] == 0x100 && r[3] == 0);
    cpu_cpuid(cpu, 11, 1, r);
    ck_assert(r[0] == 0 && r[1] == 1 && r[2] == 0x201 && r[3] == 0);
    cpu_cpuid(cpu, 11, 2, r);
    ck_assert(r[0] == 0 && r[1] == 0 && r[2] == 2 && r[3] == 0);
    cpu_cpuid(cpu, 10, 0, r);
    ck_assert_uint_eq(r[0] | r[1] | r[2] | r[3], 0);
    cpu_cpuid(cpu, 5, 0, r);
    ck_assert(r[0] == 64 && r[1] == 64 && r[2] == 3);
    cpu_cpuid(max, 5, 0, r);
    ck_assert_uint_eq(r[0] | r[1] | r[2] | r[3], 0);
    cpu_cpuid(max, 0x16, 0, r);
    ck_assert_uint_eq(r[0], CPU_TSC_HZ / 1000000);
    free(cpu);
    free(max);
}
END_TEST

/* ---- topology ---- */

/* What one processor's leaves lead to: where in its id the thread ends and the core, how many there are. */
struct decoded { uint32_t id; unsigned thread_bits, package_bits, threads, package_threads; };

static unsigned round_bits(unsigned n)
{
    unsigned bits = 0;

    while (1u << bits < n)
        bits++;
    return bits;
}

/* SDM vol. 3, 9.9.5: by leaf 0BH. */
static struct decoded decode_extended(struct cpu *cpu)
{
    struct decoded d = { 0 };
    uint32_t r[4];

    cpu_cpuid(cpu, 11, 0, r);
    ck_assert_uint_eq(r[2], 0x100);
    d.thread_bits = r[0];
    d.threads = r[1];
    d.id = r[3];
    cpu_cpuid(cpu, 11, 1, r);
    ck_assert_uint_eq(r[2], 0x201);
    d.package_bits = r[0];
    d.package_threads = r[1];
    ck_assert_uint_eq(r[3], d.id);
    cpu_cpuid(cpu, 11, 2, r);
    ck_assert(r[0] == 0 && r[1] == 0 && r[2] == 2 && r[3] == d.id);
    return d;
}

/* The same place: by leaves 1 and 4, which give numbers of ids, not of processors. */
static struct decoded decode_legacy(struct cpu *cpu)
{
    uint32_t r[4], cores;
    struct decoded d = { 0 };

    cpu_cpuid(cpu, 1, 0, r);
    d.id = r[1] >> 24;
    d.package_bits = r[3] >> 28 & 1 ? round_bits(r[1] >> 16 & 0xff) : 0;
    cpu_cpuid(cpu, 4, 0, r);
    cores = (r[0] >> 26) + 1;
    d.thread_bits = d.package_bits - round_bits(cores);
    ck_assert_uint_eq(r[0] >> 14 & 0xfff, (1u << d.thread_bits) - 1); /* level 1: of the core */
    cpu_cpuid(cpu, 4, 2, r);
    ck_assert_uint_eq(r[0] >> 14 & 0xfff, (1u << d.package_bits) - 1);
    ck_assert_uint_eq((r[0] >> 26) + 1, cores);
    return d;
}

static const struct cpu_topology topologies[] = {
    { 1, 1, 1 }, { 2, 1, 1 }, { 1, 2, 1 }, { 1, 1, 2 }, { 1, 4, 1 }, { 2, 2, 2 }, { 1, 3, 2 },
    { 2, 3, 1 }, { 3, 1, 3 }, { 4, 5, 3 }, { 2, 5, 5 }, { 1, 17, 3 }, { 64, 1, 1 },
    { 1, 64, 1 }, { 1, 1, 64 }, { 1, 32, 2 },
};

static void check_place(const struct decoded *d, const struct cpu_topology *t, unsigned index)
{
    unsigned core_mask = (1u << (d->package_bits - d->thread_bits)) - 1;

    ck_assert_uint_eq(d->id & ((1u << d->thread_bits) - 1), index % t->threads);
    ck_assert_uint_eq(d->id >> d->thread_bits & core_mask, index / t->threads % t->cores);
    ck_assert_uint_eq(d->id >> d->package_bits, index / (t->threads * t->cores));
}

START_TEST(test_topology)
{
    static const struct { const char *model; bool leaf_b; } models[] = {
        { "max", true }, { "nehalem", true }, { "x86-64-v1", true },
        { "core2duo", false }, { "qemu32", false },
    };
    const struct cpu_topology *t = &topologies[_i];

    for (unsigned m = 0; m < ARRAY_LEN(models); m++) {
        struct cpu *cpu = bare_cpu(models[m].model);
        cpu->opt.topology = *t;
        for (unsigned i = 0; i < t->sockets * t->cores * t->threads; i++) {
            cpu->opt.index = i;
            struct decoded legacy = decode_legacy(cpu), d = models[m].leaf_b ? decode_extended(cpu) : legacy;
            check_place(&legacy, t, i);
            check_place(&d, t, i);
            if (models[m].leaf_b)
                ck_assert(d.threads == t->threads && d.package_threads == t->threads * t->cores);
        }
        free(cpu);
    }
}
END_TEST

/* AMD64 manual vol. 3, E.5: NC, ApicIdSize, and no difference between threads and cores. */
START_TEST(test_amd_topology)
{
    const struct cpu_topology *t = &topologies[_i];
    unsigned package = t->threads * t->cores;
    struct cpu *cpu = bare_cpu("qemu64");
    uint32_t r[4], id;

    cpu->opt.topology = *t;
    for (unsigned i = 0; i < t->sockets * package; i++) {
        cpu->opt.index = i;
        cpu_cpuid(cpu, 1, 0, r);
        id = r[1] >> 24;
        ck_assert_uint_eq(r[3] >> 28 & 1, package > 1);
        ck_assert_uint_eq(r[1] >> 16 & 0xff, package > 1 ? package : 0);
        cpu_cpuid(cpu, 0x80000001, 0, r);
        ck_assert_uint_eq(r[2] >> 1 & 1, package > 1);
        cpu_cpuid(cpu, 0x80000008, 0, r);
        ck_assert_uint_eq(r[2] & 0xff, package - 1);
        ck_assert_uint_eq(id >> (r[2] >> 12), i / package);
        ck_assert_uint_eq(r[2] & 0xf00, 0);
    }
    free(cpu);
}
END_TEST

/* Models older than HTT show the APIC id alone. */
START_TEST(test_old_topology)
{
    static const char *const old[] = { "486", "pentium", "pentium2", "pentium3" };
    struct cpu *cpu = bare_cpu(old[_i]);
    uint32_t r[4];

    cpu->opt.topology = (struct cpu_topology){ 1, 4, 2 };
    cpu->opt.index = 5;
    cpu_cpuid(cpu, 1, 0, r);
    ck_assert_uint_eq(r[3] >> 28 & 1, 0);
    ck_assert_uint_eq(r[1], 5u << 24);
    free(cpu);
}
END_TEST

/* One processor: caches are its own, no HTT, id 0, nothing in the fields that several would fill. */
START_TEST(test_one_processor)
{
    static const struct { const char *model; uint32_t leaf, sub, reg, mask, value; } rows[] = {
        { "max", 1, 0, 1, UINT32_MAX, 0x800 },       { "max", 1, 0, 3, 1 << 28, 0 },
        { "qemu64", 1, 0, 1, UINT32_MAX, 0x800 },    { "qemu64", 1, 0, 3, 1 << 28, 0 },
        { "pentium", 1, 0, 1, UINT32_MAX, 0 },       { "core2duo", 1, 0, 1, UINT32_MAX, 0x800 },
        { "max", 4, 0, 0, UINT32_MAX, 0x121 },       { "max", 4, 1, 0, UINT32_MAX, 0x122 },
        { "max", 4, 2, 0, UINT32_MAX, 0x143 },       { "max", 4, 3, 0, UINT32_MAX, 0 },
        { "max", 4, 0, 1, UINT32_MAX, 0x01c0003f },  { "max", 4, 2, 2, UINT32_MAX, 4095 },
        { "qemu64", 0x80000001, 0, 2, 2, 0 },        { "qemu64", 0x80000008, 0, 2, UINT32_MAX, 0 },
        { "max", 0x80000001, 0, 2, 2, 0 },           { "max", 0x80000008, 0, 2, UINT32_MAX, 0 },
    };
    uint32_t r[4];

    for (unsigned i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        unsigned row = i / 2, reg = rows[row].reg;
        struct cpu *cpu = bare_cpu(rows[row].model);
        cpu->opt.topology = i & 1 ? (struct cpu_topology){ 1, 1, 1 } : (struct cpu_topology){ 0 };
        cpu_cpuid(cpu, rows[row].leaf, rows[row].sub, r);
        ck_assert_msg((r[reg] & rows[row].mask) == rows[row].value, "row %u: 0x%x", row, r[reg]);
        free(cpu);
    }
}
END_TEST

/* The firmware's tables say the same as leaf 1. */
START_TEST(test_identify)
{
    struct cpu *cpu = bare_cpu(names[_i]);
    uint32_t r[4], eax, edx;

    for (unsigned cores = 1; cores <= 2; cores++) {
        cpu->opt.topology = (struct cpu_topology){ 1, cores, 1 };
        cpu_identify(cpu, &eax, &edx);
        cpu_cpuid(cpu, 1, 0, r);
        ck_assert(eax == r[0] && edx == r[3]);
    }
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
    tcase_add_loop_test(t, test_psabi_levels, 0, 3);
    tcase_add_test(t, test_feature_words);
    tcase_add_test(t, test_dependants);
    tcase_add_test(t, test_bad_words);
    tcase_add_test(t, test_xstate_leaf);
    tcase_add_test(t, test_os_bits);
    tcase_add_test(t, test_small_leaves);
    tcase_add_loop_test(t, test_topology, 0, ARRAY_LEN(topologies));
    tcase_add_loop_test(t, test_amd_topology, 0, ARRAY_LEN(topologies));
    tcase_add_loop_test(t, test_old_topology, 0, 4);
    tcase_add_test(t, test_one_processor);
    tcase_add_loop_test(t, test_identify, 0, ARRAY_LEN(names));
    tcase_add_test(t, test_leaves_out_of_range);
    suite_add_tcase(s, t);
    return s;
}
