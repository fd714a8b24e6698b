/* Processor models by name, and what -cpu adds and takes away. A model never has more than what works. */
#include <errno.h>

#include "base/error.h"
#include "cpu/sys.h"

/* ---- models ---- */

#define F(name) FEAT_##name,
#define FEATURES_486 F(FPU) F(VME)
#define FEATURES_PENTIUM FEATURES_486 F(DE) F(PSE) F(TSC) F(MSR) F(MCE) F(CX8) F(APIC) F(MMX)
#define FEATURES_PENTIUM2 \
    FEATURES_PENTIUM F(PAE) F(SEP) F(MTRR) F(PGE) F(MCA) F(CMOV) F(PAT) F(PSE36) F(FXSR)
#define FEATURES_PENTIUM3 FEATURES_PENTIUM2 F(SSE)
#define FEATURES_32 FEATURES_PENTIUM3 F(SSE2) F(CLFSH) F(HYPERVISOR)
#define FEATURES_64 FEATURES_32 F(SYSCALL) F(NX) F(LM) F(INVTSC)
#define FEATURES_QEMU32 FEATURES_32 F(SSE3)
#define FEATURES_QEMU64 FEATURES_64 F(SSE3) F(CX16) F(LAHF_LM)
#define FEATURES_CORE2DUO FEATURES_64 F(SSE3) F(MONITOR) F(SSSE3) F(CX16) F(LAHF_LM)
#define FEATURES_NEHALEM FEATURES_CORE2DUO F(SSE41) F(SSE42) F(POPCNT) F(RDTSCP)
/* The levels of the x86-64 psABI, 3.1.1; what they leave open is as in the first of them. */
#define FEATURES_V1 FEATURES_64
#define FEATURES_V2 FEATURES_V1 F(CX16) F(LAHF_LM) F(POPCNT) F(SSE3) F(SSE41) F(SSE42) F(SSSE3)
#define FEATURES_V3 \
    FEATURES_V2 F(AVX) F(AVX2) F(BMI1) F(BMI2) F(F16C) F(FMA) F(LZCNT) F(MOVBE) F(XSAVE)
/* Everything that works, except MONITOR: HLT is the cheaper way to wait. */
#define FEATURES_MAX \
    FEATURES_QEMU64 F(RDTSCP) F(SSE3) F(SSSE3) F(SSE41) F(SSE42) F(AES) F(PCLMULQDQ) F(SHA) \
    F(SMEP) F(SMAP) F(UMIP) F(PKU) F(LA57) F(PCID) F(INVPCID) F(PDPE1GB) \
    F(XSAVE) F(XSAVEOPT) F(XSAVEC) F(XGETBV1) F(XSAVES) F(FSGSBASE) F(RDPID) F(CLFLUSHOPT) F(CLWB) \
    F(TSC_ADJUST) \
    F(X2APIC) F(TSC_DEADLINE) \
    F(MOVBE) F(POPCNT) F(LZCNT) F(BMI1) F(BMI2) F(ADX) F(RDRAND) F(RDSEED) F(PREFETCHW) \
    F(AVX) F(AVX2) F(FMA) F(F16C) F(ERMS) F(FSRM)
#define FEATURES_WORKING FEATURES_MAX F(MONITOR)

#define LIST(name) static const uint8_t list_##name[] = { FEATURES_##name FEAT_NONE }
LIST(486);
LIST(PENTIUM);
LIST(PENTIUM2);
LIST(PENTIUM3);
LIST(QEMU32);
LIST(QEMU64);
LIST(CORE2DUO);
LIST(NEHALEM);
LIST(V1);
LIST(V2);
LIST(V3);
LIST(MAX);
LIST(WORKING);

/* The signature of "max" and of the levels is that of an in-order processor (Atom): systems then leave out
 * their costly measures against speculation, which do not apply to translated code. */
static const struct cpu_model models[] = {
    { "486", NULL, VENDOR_INTEL, 4, 8, 0, 1, 0, list_486 },
    { "pentium", NULL, VENDOR_INTEL, 5, 4, 3, 1, 0, list_PENTIUM },
    { "pentium2", NULL, VENDOR_INTEL, 6, 5, 2, 2, 0, list_PENTIUM2 },
    { "pentium3", NULL, VENDOR_INTEL, 6, 8, 3, 2, 0, list_PENTIUM3 },
    { "qemu32", "Mimus 32-bit processor", VENDOR_INTEL, 6, 6, 3, 4, 0x80000004, list_QEMU32 },
    { "qemu64", "Mimus 64-bit processor", VENDOR_AMD, 15, 107, 1, 13, 0x80000008, list_QEMU64 },
    { "core2duo", "Mimus Core 2 Duo", VENDOR_INTEL, 6, 15, 11, 10, 0x80000008, list_CORE2DUO },
    { "nehalem", "Mimus Nehalem", VENDOR_INTEL, 6, 26, 3, 11, 0x80000008, list_NEHALEM },
    { "x86-64-v1", "Mimus x86-64-v1 processor", VENDOR_INTEL, 6, 28, 10, 13, 0x80000008, list_V1 },
    { "x86-64-v2", "Mimus x86-64-v2 processor", VENDOR_INTEL, 6, 28, 10, 13, 0x80000008, list_V2 },
    { "x86-64-v3", "Mimus x86-64-v3 processor", VENDOR_INTEL, 6, 28, 10, 13, 0x80000008, list_V3 },
    { "max", "Mimus virtual processor", VENDOR_INTEL, 6, 28, 10, 0x16, 0x80000008, list_MAX },
};

/* ---- features ---- */

static const char *const spelling[FEAT_NUM] = {
#define FEAT_NAME(name, spelling, leaf, sub, reg, bit) [FEAT_##name] = spelling,
    CPU_FEATURES(FEAT_NAME)
#undef FEAT_NAME
};

static const struct { const char *name; uint8_t feature; } synonyms[] = {
    { "pni", FEAT_SSE3 }, { "abm", FEAT_LZCNT }, { "i64", FEAT_LM }, { "xd", FEAT_NX }, { "sha", FEAT_SHA },
    { "pclmuldq", FEAT_PCLMULQDQ }, { "clfsh", FEAT_CLFSH }, { "prefetchw", FEAT_PREFETCHW },
    { "cmpxchg8b", FEAT_CX8 }, { "cmpxchg16b", FEAT_CX16 }, { "osfxsr", FEAT_FXSR },
};

/* What a feature needs beside itself: more than one row where it needs more than one. */
#define NEEDS(feature, base) { FEAT_##feature, FEAT_##base }
static const struct { uint8_t feature, base; } needs[] = {
    NEEDS(MMX, FPU), NEEDS(FXSR, FPU), NEEDS(SSE, FXSR), NEEDS(SSE, MMX), NEEDS(SSE2, SSE), NEEDS(SSE3, SSE2),
    NEEDS(SSSE3, SSE3), NEEDS(SSE41, SSSE3), NEEDS(SSE42, SSE41), NEEDS(AES, SSE2), NEEDS(PCLMULQDQ, SSE2),
    NEEDS(SHA, SSSE3), NEEDS(XSAVE, FXSR), NEEDS(XSAVEOPT, XSAVE), NEEDS(XSAVEC, XSAVE),
    NEEDS(XGETBV1, XSAVE),
    NEEDS(XSAVES, XSAVEC), NEEDS(PKU, XSAVE), NEEDS(PKU, LM), NEEDS(AVX, XSAVE), NEEDS(AVX, SSE42),
    NEEDS(AVX2, AVX), NEEDS(FMA, AVX), NEEDS(F16C, AVX), NEEDS(CLFLUSHOPT, CLFSH), NEEDS(CLWB, CLFSH),
    NEEDS(PAE, CX8), NEEDS(NX, PAE), NEEDS(NX, MSR), NEEDS(SYSCALL, MSR), NEEDS(SEP, MSR), NEEDS(MTRR, MSR),
    NEEDS(PAT, MSR), NEEDS(MCA, MCE), NEEDS(MCA, MSR), NEEDS(RDTSCP, TSC), NEEDS(RDTSCP, MSR),
    NEEDS(RDPID, MSR), NEEDS(TSC_DEADLINE, APIC), NEEDS(TSC_DEADLINE, TSC), NEEDS(TSC_DEADLINE, MSR),
    NEEDS(X2APIC, APIC), NEEDS(X2APIC, MSR), NEEDS(TSC_ADJUST, TSC), NEEDS(TSC_ADJUST, MSR),
    NEEDS(INVTSC, TSC),
    NEEDS(LM, PAE), NEEDS(LM, PGE), NEEDS(LM, MSR), NEEDS(LM, SYSCALL), NEEDS(LM, CMOV), NEEDS(LM, SSE2),
    NEEDS(LAHF_LM, LM), NEEDS(CX16, LM), NEEDS(PDPE1GB, LM), NEEDS(PCID, LM), NEEDS(LA57, LM),
    NEEDS(FSGSBASE, LM),
};

static bool works(unsigned feature)
{
    for (const uint8_t *f = list_WORKING; *f != FEAT_NONE; f++)
        if (*f == feature)
            return true;
    return false;
}

/* '.', '-' and '_' are the same, and so are capitals and small letters. */
static char plain(char c)
{
    return c == '.' || c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const char *name, const char *text, size_t len)
{
    if (strlen(name) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (plain(name[i]) != plain(text[i]))
            return false;
    return true;
}

/* FEAT_NONE: there is no such feature, or not here. */
static unsigned find_feature(const char *text, size_t len)
{
    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++)
        if (same_name(spelling[f], text, len))
            return works(f) ? f : FEAT_NONE;
    for (unsigned i = 0; i < ARRAY_LEN(synonyms); i++)
        if (same_name(synonyms[i].name, text, len))
            return works(synonyms[i].feature) ? synonyms[i].feature : FEAT_NONE;
    return FEAT_NONE;
}

/* ---- the words of -cpu ---- */

static const struct cpu_model *find_model(const char *name, size_t len)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        if (same_name(models[i].name, name, len))
            return &models[i];
    return NULL;
}

const struct cpu_model *cpu_model_find(const char *name)
{
    return find_model(name ? name : "max", strlen(name ? name : "max"));
}

static void model_features(const struct cpu_model *model, struct cpu_features *features)
{
    *features = (struct cpu_features){ { 0 } };
    for (const uint8_t *f = model->features; *f != FEAT_NONE; f++)
        cpu_features_set(features, *f, works(*f));
}

/* +name, -name, name=on, name=off. False: something else. */
static bool split_word(const char **word, size_t *len, bool *on)
{
    size_t name = strcspn(*word, "=,");

    *on = **word != '-';
    if (**word == '+' || **word == '-') {
        ++*word;
        --*len;
        return *len > 0 && name == *len + 1;
    }
    *on = same_name("=on", *word + name, *len - name);
    if (!*on && !same_name("=off", *word + name, *len - name))
        return false;
    *len = name;
    return name > 0;
}

static int apply_word(struct cpu_spec *s, struct cpu_features *asked, const char *word, size_t len,
                      struct error *err)
{
    const char *name = word;
    size_t name_len = len;
    unsigned feature;
    bool on;

    if (!split_word(&name, &name_len, &on))
        return error_set(err, -EINVAL, "-cpu: '%.*s': expected +feature, -feature, feature=on or feature=off",
                         (int)len, word);
    feature = find_feature(name, name_len);
    if (feature == FEAT_NONE)
        return error_set(err, -EINVAL,
                         "-cpu: unknown or unsupported feature '%.*s'; -cpu help lists what there is",
                         (int)name_len, name);
    cpu_features_set(&s->features, feature, on);
    cpu_features_set(asked, feature, on);
    return 0;
}

static void note_dropped(struct cpu_spec *s, const char *name)
{
    size_t used = strlen(s->note);

    snprintf(s->note + used, sizeof(s->note) - used, "%s %s", used ? "," : "-cpu: switched off as well:",
             name);
}

/* A feature that lost what it needs goes too; one that was asked for is an error. */
static int settle(struct cpu_spec *s, const struct cpu_features *asked, struct error *err)
{
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < ARRAY_LEN(needs); i++) {
            unsigned f = needs[i].feature, base = needs[i].base;
            if (!cpu_features_has(&s->features, f) || cpu_features_has(&s->features, base))
                continue;
            if (cpu_features_has(asked, f))
                return error_set(err, -EINVAL, "-cpu: feature %s needs %s", spelling[f], spelling[base]);
            cpu_features_set(&s->features, f, false);
            note_dropped(s, spelling[f]);
            again = true;
        }
    }
    return 0;
}

int cpu_spec_parse(struct cpu_spec *s, const char *text, struct error *err)
{
    size_t len = strcspn(text, ",");
    struct cpu_features asked = { { 0 } };
    int ret = 0;

    s->note[0] = '\0';
    s->model = find_model(text, len);
    if (!s->model)
        return error_set(err, -EINVAL, "-cpu %.*s: unknown model; -cpu help lists what there is", (int)len,
                         text);
    model_features(s->model, &s->features);
    for (text += len; !ret && *text; text += len) {
        len = strcspn(++text, ",");
        ret = apply_word(s, &asked, text, len, err);
    }
    return ret ? ret : settle(s, &asked, err);
}

int cpu_model_check(const char *spec, char *notes, size_t size, struct error *err)
{
    struct cpu_spec s;
    int ret = cpu_spec_parse(&s, spec, err);

    snprintf(notes, size, "%s", s.note);
    return ret;
}

void cpu_model_help(FILE *out)
{
    int column = 0;

    fprintf(out, "Available CPUs:\n");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++)
        fprintf(out, "x86 %-12s %s\n", models[i].name, models[i].brand ? models[i].brand : "");
    fprintf(out, "\nRecognized features (NAME,+feature,-feature,feature=on|off):");
    for (unsigned f = FEAT_486 + 1; f < FEAT_NUM; f++) {
        if (!works(f))
            continue;
        if (column == 0 || column > 70)
            column = fprintf(out, "\n ") - 1;
        column += fprintf(out, " %s", spelling[f]);
    }
    fputc('\n', out);
}

/* ---- what a processor has ---- */

bool cpu_has(const struct cpu *cpu, unsigned feature)
{
    return feature <= FEAT_486 || cpu_features_has(&cpu->features, feature);
}

void cpu_set_model(struct cpu *cpu, const struct cpu_model *model)
{
    cpu->model = model;
    model_features(model, &cpu->features);
}

/* Families above 15 and models above 15 spill into the extended fields. */
uint32_t cpu_signature(const struct cpu_model *m)
{
    uint32_t base = MIN_OF(m->family, 15), extended = m->family - base;

    return extended << 20 | (uint32_t)(m->model >> 4) << 16 | base << 8 | (m->model & 15u) << 4 | m->stepping;
}
