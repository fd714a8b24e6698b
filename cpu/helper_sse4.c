/* The string comparisons of SSE4.2 (SDM vol. 2, 4.1). */
#include "cpu/helper_sse4.h"
#include "cpu/helper_vec.h"
#include "cpu/helpers.h"

/* Fields of the immediate byte. */
enum {
    STR_WORDS = 0x01, STR_SIGNED = 0x02, STR_NEGATE = 0x10, STR_ONLY_VALID = 0x20,
    STR_LAST = 0x40,     /* index: of the highest bit set */
    STR_EXPAND = 0x40,   /* mask: a whole element per bit */
};
enum string_mode { EQUAL_ANY, RANGES, EQUAL_EACH, EQUAL_ORDERED };

/* Elements of a string, `valid` of which count. */
struct string { int32_t at[16]; unsigned valid; };

static unsigned elements(uint64_t imm)
{
    return imm & STR_WORDS ? 8 : 16;
}

static void load_elements(struct string *s, const union vec128 *v, uint64_t imm)
{
    for (unsigned i = 0; i < elements(imm); i++) {
        if (imm & STR_WORDS)
            s->at[i] = imm & STR_SIGNED ? v->s16[i] : v->u16[i];
        else
            s->at[i] = imm & STR_SIGNED ? v->s8[i] : v->u8[i];
    }
}

/* Up to the first zero element. */
static void implicit_length(struct string *s, uint64_t imm)
{
    for (s->valid = 0; s->valid < elements(imm) && s->at[s->valid]; s->valid++)
        ;
}

/* The register's magnitude, as far as there are elements. */
static unsigned explicit_length(uint64_t reg, uint64_t imm)
{
    int64_t length = imm & STRING_LENGTH64 ? (int64_t)reg : (int32_t)reg;
    uint64_t magnitude = length < 0 ? -(uint64_t)length : (uint64_t)length;

    return magnitude < elements(imm) ? (unsigned)magnitude : elements(imm);
}

static bool in_set(const struct string *set, int32_t v)
{
    for (unsigned j = 0; j < set->valid; j++)
        if (set->at[j] == v)
            return true;
    return false;
}

static bool in_ranges(const struct string *ranges, int32_t v)
{
    for (unsigned j = 0; j + 1 < ranges->valid; j += 2)
        if (v >= ranges->at[j] && v <= ranges->at[j + 1])
            return true;
    return false;
}

/* Does `a` stand in `b` from element i on, as far as the elements go? */
static bool found_at(const struct string *a, const struct string *b, unsigned i, unsigned n)
{
    for (unsigned j = 0; j < a->valid && i + j < n; j++)
        if (i + j >= b->valid || a->at[j] != b->at[i + j])
            return false;
    return true;
}

/* SDM table 4-7 is in the conditions on validity. */
static bool element_result(const struct string *a, const struct string *b, unsigned i, uint64_t imm)
{
    switch ((enum string_mode)(imm >> 2 & 3)) {
    case EQUAL_ANY:
        return i < b->valid && in_set(a, b->at[i]);
    case RANGES:
        return i < b->valid && in_ranges(a, b->at[i]);
    case EQUAL_EACH:
        if (i >= a->valid || i >= b->valid)
            return i >= a->valid && i >= b->valid;
        return a->at[i] == b->at[i];
    case EQUAL_ORDERED:
        break;
    }
    return found_at(a, b, i, elements(imm));
}

/* One bit per element of b. */
static uint32_t compare(const struct string *a, const struct string *b, uint64_t imm)
{
    uint32_t result = 0;

    for (unsigned i = 0; i < elements(imm); i++) {
        bool negate = (imm & STR_NEGATE) && (!(imm & STR_ONLY_VALID) || i < b->valid);
        result |= (uint32_t)(element_result(a, b, i, imm) != negate) << i;
    }
    return result;
}

static uint64_t flags_and_index(const struct string_result *r, uint64_t imm)
{
    unsigned index = elements(imm);

    if (r->bits)
        index = imm & STR_LAST ? 31 - (unsigned)__builtin_clz(r->bits) : (unsigned)__builtin_ctz(r->bits);
    return (uint64_t)index << STRING_INDEX_SHIFT | (r->bits ? FL_CF : 0) | r->ends | (r->bits & 1 ? FL_OF : 0);
}

static void put_mask(union vec128 *dst, uint64_t imm, uint32_t result)
{
    union vec128 r = { .u64 = { result, 0 } };

    for (unsigned i = 0; imm & STR_EXPAND && i < elements(imm); i++) {
        if (imm & STR_WORDS)
            r.u16[i] = result >> i & 1 ? 0xffff : 0;
        else
            r.u8[i] = result >> i & 1 ? 0xff : 0;
    }
    *dst = r;
}

/* As explicit_length() gives them, or NULL: up to the first zero element. */
static struct string_result compare_elements(const union vec128 *x, const union vec128 *y, uint64_t imm,
                                             const unsigned lengths[2])
{
    struct string a, b;
    uint32_t bits;

    load_elements(&a, x, imm);
    load_elements(&b, y, imm);
    implicit_length(&a, imm);
    implicit_length(&b, imm);
    if (lengths) {
        a.valid = lengths[0];
        b.valid = lengths[1];
    }
    bits = compare(&a, &b, imm);
    return (struct string_result){ bits, (b.valid < elements(imm) ? FL_ZF : 0) | (a.valid < elements(imm) ? FL_SF : 0) };
}

static uint64_t compare_strings(struct cpu *cpu, uint64_t fields, uint64_t imm, bool explicit, bool mask)
{
    const union vec128 *a = cpu_vec_first(cpu, fields), *b = cpu_vec_second(cpu, fields);
    unsigned lengths[2] = { explicit_length(cpu->gpr[R_AX], imm), explicit_length(cpu->gpr[R_DX], imm) };
    struct string_result r;

    if (!(cpu->host_isa & TCG_ISA_SSE42))
        r = compare_elements(a, b, imm, explicit ? lengths : NULL);
    else if (explicit)
        r = compare_by_length(a, b, (unsigned)imm, (int)lengths[0], (int)lengths[1]);
    else
        r = compare_by_zero(a, b, (unsigned)imm);
    if (mask)
        put_mask(&cpu->xmm[0], imm, r.bits);
    return flags_and_index(&r, imm);
}

uint64_t helper_pcmpestri(struct cpu *cpu, uint64_t fields, uint64_t imm)
{
    return compare_strings(cpu, fields, imm, true, false);
}

uint64_t helper_pcmpestrm(struct cpu *cpu, uint64_t fields, uint64_t imm)
{
    return compare_strings(cpu, fields, imm, true, true);
}

uint64_t helper_pcmpistri(struct cpu *cpu, uint64_t fields, uint64_t imm)
{
    return compare_strings(cpu, fields, imm, false, false);
}

uint64_t helper_pcmpistrm(struct cpu *cpu, uint64_t fields, uint64_t imm)
{
    return compare_strings(cpu, fields, imm, false, true);
}
