/* The common x87 instructions without a stack fault and without an unmasked exception. Everything else goes
 * to the exact helpers of helper_x87.c, which take the same arguments and begin from the same state.
 *
 * The host runs with all exceptions masked. Its flags are sticky like the guest's and are not cleared before
 * an operation. If afterwards the host has no flag that the guest does not have, then the guest's word already
 * is what the operation makes of it, whatever was there before. A flag that the guest does not have may be new
 * or an old one of the host's: nothing has been written yet, so the exact helper, which clears the host's flags
 * first, does the whole instruction. The same if the guest does not mask the flag. What was not signalled does
 * not change the result by being unmasked, but underflow does: unmasked, it is signalled for exact tiny results
 * too (SDM vol. 1, 8.5.5). */
#include "cpu/helpers.h"
#include "cpu/x87.h"

static const uint16_t default_cw = 0x37f;

static inline uint16_t masked_cw(const struct fpu *f)
{
    return f->cw | FSW_EXCEPTIONS;
}

static inline unsigned phys(const struct fpu *f, uint64_t i)
{
    return (f->top + (unsigned)i) & 7;
}

static inline unsigned sti_of(const struct fpu *f, uint64_t spec)
{
    return phys(f, (spec & XS_STI) >> XS_STI_SHIFT);
}

static inline bool filled(const struct fpu *f, unsigned a, unsigned b)
{
    return !(f->empty & (1u << a | 1u << b));
}

/* May an operation on these registers be tried here? */
static inline bool plain(const struct fpu *f, unsigned a, unsigned b)
{
    return (f->cw & FSW_UE) && filled(f, a, b);
}

/* Exception flags that would be new to the guest or that it does not mask. */
static inline uint8_t fresh(const struct fpu *f)
{
    return (uint8_t)(~(f->sw & f->cw) & FSW_EXCEPTIONS);
}

static inline void pop(struct fpu *f)
{
    f->empty |= (uint8_t)(1u << f->top);
    f->top = (f->top + 1) & 7;
}

static inline void finish(struct fpu *f, uint16_t mask, uint16_t codes, uint64_t spec)
{
    f->sw = (uint16_t)((f->sw & ~mask) | (codes & mask));
    if (spec & (XS_POP | XS_POP2))
        pop(f);
    if (spec & XS_POP2)
        pop(f);
}

/* ---- arithmetic ---- */

/* `insn` on the host's stack; its top goes to `dest` if no flag is fresh. `drop` takes off the rest. */
#define COMPUTE(f, cw, sw, dest, x, y, insn, drop) \
    __asm__ volatile("fldcw %[cw]\n\t" insn "\n\tfnstsw %%ax\n\ttestb %[new], %%al\n\tjnz 1f\n\t" \
                     "fstpt %[d]\n\tjmp 2f\n1:\tfstp %%st(0)\n2:\t" drop "fldcw %[def]" \
                     : "=&a"(sw), [d] "+m"(*(dest)) \
                     : [cw] "m"(cw), [a] "m"(x), [b] "m"(y), [new] "q"(fresh(f)), [def] "m"(default_cw) \
                     : "cc")

#define ARITH_REG(name, insn) \
    uint64_t helper_x87_##name(struct cpu *cpu, uint64_t spec) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top, b = sti_of(f, spec); \
        uint16_t sw, cw = masked_cw(f); \
        if (!plain(f, a, b)) \
            return helper_x87_arith(cpu, spec, 0); \
        COMPUTE(f, cw, sw, &f->st[spec & XS_DEST_STI ? b : a], f->st[a], f->st[b], \
                "fldt %[b]\n\tfldt %[a]\n\t" insn " %%st(1), %%st", "fstp %%st(0)\n\t"); \
        if (sw & fresh(f)) \
            return helper_x87_arith(cpu, spec, 0); \
        finish(f, FSW_C1, sw, spec); \
        return 0; \
    }

#define ARITH_MEM(name, insn) \
    uint64_t helper_x87_##name(struct cpu *cpu, uint64_t spec, uint64_t mem) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top; \
        uint16_t sw, cw = masked_cw(f); \
        if (!plain(f, a, a)) \
            return helper_x87_arith(cpu, spec, mem); \
        COMPUTE(f, cw, sw, &f->st[a], f->st[a], mem, "fldt %[a]\n\t" insn " %[b]", ""); \
        if (sw & fresh(f)) \
            return helper_x87_arith(cpu, spec, mem); \
        finish(f, FSW_C1, sw, 0); \
        return 0; \
    }

#define ARITH(name) \
    ARITH_REG(name, "f" #name) \
    ARITH_MEM(name##_f32, "f" #name "s") \
    ARITH_MEM(name##_f64, "f" #name "l") \
    ARITH_MEM(name##_i16, "fi" #name "s") \
    ARITH_MEM(name##_i32, "fi" #name "l")

ARITH(add)
ARITH(mul)
ARITH(sub)
ARITH(subr)
ARITH(div)
ARITH(divr)

#define UNARY(name, op) \
    uint64_t helper_x87_##name(struct cpu *cpu) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top; \
        uint16_t sw, cw = masked_cw(f); \
        if (!plain(f, a, a)) \
            return helper_x87_unary(cpu, op); \
        COMPUTE(f, cw, sw, &f->st[a], f->st[a], f->st[a], "fldt %[a]\n\tf" #name, ""); \
        if (sw & fresh(f)) \
            return helper_x87_unary(cpu, op); \
        finish(f, FSW_C1, sw, 0); \
        return 0; \
    }

UNARY(sqrt, X87_SQRT)
UNARY(rndint, X87_RNDINT)

uint64_t helper_x87_chs(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;

    if (!filled(f, f->top, f->top))
        return helper_x87_unary(cpu, X87_CHS);
    f->st[f->top].exp ^= 0x8000;
    finish(f, FSW_C1, 0, 0);
    return 0;
}

uint64_t helper_x87_abs(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;

    if (!filled(f, f->top, f->top))
        return helper_x87_unary(cpu, X87_ABS);
    f->st[f->top].exp &= 0x7fff;
    finish(f, FSW_C1, 0, 0);
    return 0;
}

/* ---- comparison ---- */

/* The host's stack is empty again after `insn`. */
#define COMPARE(sw, x, y, insn) \
    __asm__ volatile(insn "\n\tfnstsw %%ax" : "=a"(sw) : [a] "m"(x), [b] "m"(y))

#define COMPARE_REG(name, insn) \
    uint64_t helper_x87_##name(struct cpu *cpu, uint64_t spec) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top, b = sti_of(f, spec); \
        uint16_t sw; \
        if (!plain(f, a, b)) \
            return helper_x87_arith(cpu, spec, 0); \
        COMPARE(sw, f->st[a], f->st[b], "fldt %[b]\n\tfldt %[a]\n\t" insn); \
        if (sw & fresh(f)) \
            return helper_x87_arith(cpu, spec, 0); \
        finish(f, FSW_CODES, sw, spec); \
        return 0; \
    } \
    /* Flags word (ZF, PF, CF). */ \
    uint64_t helper_x87_##name##i(struct cpu *cpu, uint64_t spec) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top, b = sti_of(f, spec); \
        uint16_t sw; \
        if (!plain(f, a, b)) \
            return helper_x87_compare(cpu, spec); \
        COMPARE(sw, f->st[a], f->st[b], "fldt %[b]\n\tfldt %[a]\n\t" insn); \
        if (sw & fresh(f)) \
            return helper_x87_compare(cpu, spec); \
        finish(f, FSW_C1, 0, spec); \
        return (unsigned)sw >> 8 & (IR_ZF | IR_PF | IR_CF); \
    }

#define COMPARE_MEM(name, insn) \
    uint64_t helper_x87_##name(struct cpu *cpu, uint64_t spec, uint64_t mem) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top; \
        uint16_t sw; \
        if (!plain(f, a, a)) \
            return helper_x87_arith(cpu, spec, mem); \
        COMPARE(sw, f->st[a], mem, "fldt %[a]\n\t" insn " %[b]"); \
        if (sw & fresh(f)) \
            return helper_x87_arith(cpu, spec, mem); \
        finish(f, FSW_CODES, sw, spec); \
        return 0; \
    }

_Static_assert(FSW_C3 >> 8 == IR_ZF && FSW_C2 >> 8 == IR_PF && FSW_C0 >> 8 == IR_CF, "codes lie like flags");
COMPARE_REG(com, "fcompp")
COMPARE_REG(ucom, "fucompp")
COMPARE_MEM(com_f32, "fcomps")
COMPARE_MEM(com_f64, "fcompl")
COMPARE_MEM(com_i16, "ficomps")
COMPARE_MEM(com_i32, "ficompl")

/* ---- loads ---- */

/* The register for a new ST(0), NULL on overflow. C1 is cleared, TOP moved. */
static inline union fpu_reg *push(struct fpu *f)
{
    unsigned top = (f->top - 1u) & 7;

    if (!(f->empty & 1u << top))
        return NULL;
    f->empty &= (uint8_t)~(1u << top);
    f->sw &= (uint16_t)~FSW_C1;
    f->top = (uint8_t)top;
    return &f->st[top];
}

/* Zero and normal numbers change their format exactly. `bits` of the fraction, `width` of the exponent. */
static inline bool widen(struct fpu *f, uint64_t mem, unsigned bits, unsigned width)
{
    unsigned max = (1u << width) - 1, e = (unsigned)(mem >> bits) & max;
    unsigned sign = (unsigned)(mem >> (bits + width)) << 15;
    uint64_t fraction = mem << (64 - bits) >> 1;
    union fpu_reg *r;

    if (e == max || (!e && fraction))
        return false;
    r = push(f);
    if (!r)
        return false;
    r->mant = e ? fraction | UINT64_C(1) << 63 : 0;
    r->exp = (uint16_t)(sign | (e ? e + 0x3fff - max / 2 : 0));
    return true;
}

uint64_t helper_x87_load_f32(struct cpu *cpu, uint64_t spec, uint64_t mem)
{
    return widen(&cpu->fpu, mem, 23, 8) ? 0 : helper_x87_load(cpu, spec, mem);
}

uint64_t helper_x87_load_f64(struct cpu *cpu, uint64_t spec, uint64_t mem)
{
    return widen(&cpu->fpu, mem, 52, 11) ? 0 : helper_x87_load(cpu, spec, mem);
}

/* Always exact, under any control word. */
#define LOAD_INT(name, insn) \
    uint64_t helper_x87_load_##name(struct cpu *cpu, uint64_t spec, uint64_t mem) \
    { \
        union fpu_reg *r = push(&cpu->fpu); \
        if (!r) \
            return helper_x87_load(cpu, spec, mem); \
        __asm__ volatile(insn " %[m]\n\tfstpt %[d]" : [d] "+m"(*r) : [m] "m"(mem)); \
        return 0; \
    }

LOAD_INT(i16, "filds")
LOAD_INT(i32, "fildl")
LOAD_INT(i64, "fildq")

/* ---- stores ---- */

/* The store may fault, so the status changes after it. */
#define STORE(name, insn, size) \
    uint64_t helper_x87_store_##name(struct cpu *cpu, uint64_t spec, uint64_t addr) \
    { \
        struct fpu *f = &cpu->fpu; \
        unsigned a = f->top; \
        uint16_t sw, cw = masked_cw(f) | (spec & XS_TRUNC ? 0xc00 : 0); \
        uint64_t mem = 0; \
        if (!plain(f, a, a)) \
            return helper_x87_store(cpu, spec, addr); \
        __asm__ volatile("fldcw %[cw]\n\tfldt %[a]\n\t" insn " %[m]\n\tfnstsw %%ax\n\tfldcw %[def]" \
                         : "=&a"(sw), [m] "+m"(mem) \
                         : [cw] "m"(cw), [a] "m"(f->st[a]), [def] "m"(default_cw)); \
        if (sw & fresh(f)) \
            return helper_x87_store(cpu, spec, addr); \
        mmu_store(cpu, addr, mem, size, xs_mem_flags(spec)); \
        finish(f, FSW_C1, sw, spec); \
        return 0; \
    }

STORE(f32, "fstps", 4)
STORE(f64, "fstpl", 8)
STORE(i16, "fistps", 2)
STORE(i32, "fistpl", 4)
STORE(i64, "fistpq", 8)
