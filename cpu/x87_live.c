/* The guest's x87 state in the host's unit.
 *
 * While translated code runs, the guest's registers, tags, TOP, status and control word may be those of the host's unit
 * (fpu.live). Then the host's instruction does to them what the guest's does: values, rounding, flags, condition codes,
 * stack faults, and what an unmasked exception leaves. No exception waits in the host's unit while it is live: who
 * finds one brings the state back. The helpers (helper_x87.c) work on struct fpu. The control word is there in either
 * case, FIP and its kind are nowhere else. */
#include "cpu/emit.h"
#include "cpu/helpers.h"
#include "cpu/x87.h"

#define OPCODE_FNSTSW IR_X87_IMM(0xdf, 0xe0, 0, 0)
#define OPCODE_FLDCW IR_X87_IMM(0xd9, 5 << 3, 0, 0)
#define TAG_EMPTY 3

#ifdef __x86_64__

/* 32-bit format of FNSAVE, SDM vol. 1, figure 8-9 and 8.1.11. */
struct image { uint32_t cw, sw, tags, pointers[4]; uint8_t st[8][10]; } __attribute__((packed));

static uint8_t live_kind(uint16_t cw)
{
    return (cw & FSW_EXCEPTIONS) == FSW_EXCEPTIONS ? TCG_X87_MASKED : TCG_X87_UNMASKED;
}

static void load_host(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;
    struct image img = { .cw = f->cw, .sw = fpu_status_word(f) };

    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *r = &f->st[(f->top + i) & 7];

        if (f->empty >> i & 1)
            img.tags |= TAG_EMPTY << (2 * i); /* of the others the processor looks at the value */
        memcpy(img.st[i], &r->mant, 8);
        memcpy(img.st[i] + 8, &r->exp, 2);
    }
    __asm__ volatile("frstor %0" : : "m"(img));
    f->live = live_kind(f->cw);
}

/* FLDCW in the host's unit; false: an exception would wait. */
static bool set_host_control(struct fpu *f, uint16_t cw)
{
    uint16_t sw;

    cw = fpu_control_word(cw);
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    if (sw & ~cw & FSW_EXCEPTIONS)
        return false;
    __asm__ volatile("fldcw %0" : : "m"(cw));
    f->cw = cw;
    f->live = live_kind(cw);
    return true;
}

/* FNSAVE leaves the unit as C code expects it. */
void fpu_sync(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;
    struct image img;

    if (!f->live)
        return;
    __asm__ volatile("fnsave %0" : "=m"(img));
    f->live = 0;
    f->top = img.sw >> FSW_TOP_SHIFT & 7;
    f->sw = img.sw & (FSW_EXCEPTIONS | FSW_SF | FSW_CODES);
    f->empty = 0;
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg *r = &f->st[(f->top + i) & 7];

        if ((img.tags >> (2 * i) & 3) == TAG_EMPTY)
            f->empty |= (uint8_t)(1u << i);
        memcpy(&r->mant, img.st[i], 8);
        memcpy(&r->exp, img.st[i] + 8, 2);
    }
}

#else

static void load_host(struct cpu *cpu) { (void)cpu; }
static bool set_host_control(struct fpu *f, uint16_t cw) { return f->cw == cw && false; }
void fpu_sync(struct cpu *cpu) { (void)cpu; }

#endif

void cpu_x87_leave(void *env)
{
    fpu_sync(env);
}

static uint64_t call_helper(struct cpu *cpu, uint64_t imm, uint64_t a)
{
    const struct tcg_helper *h = &cpu_guest.helpers[imm >> 16 & 0xffff];

    if (h->args[1])
        return ((uint64_t (*)(void *, uint64_t, uint64_t))h->fn)(cpu, imm >> 32, a);
    return ((uint64_t (*)(void *, uint64_t))h->fn)(cpu, imm >> 32);
}

/* May the instruction be tried in the host's unit once the state is there? */
static bool is_loadable(const struct fpu *f, uint64_t opcode)
{
    return !f->live && opcode != OPCODE_FNSTSW && opcode != OPCODE_FLDCW && !(f->sw & ~f->cw & FSW_EXCEPTIONS);
}

uint64_t cpu_x87(void *env, uint64_t a, uint64_t imm, uint32_t load)
{
    struct cpu *cpu = env;
    struct fpu *f = &cpu->fpu;
    uint64_t opcode = imm & 0xffff;

    if (opcode <= TCG_X87_EXCEPTION) {
        fpu_sync(cpu);
        if (opcode)
            fpu_update_pending(cpu);
        return TCG_X87_DONE;
    }
    if (f->pending && opcode != OPCODE_FNSTSW)
        helper_fpu_error(cpu, 0);
    if (load && is_loadable(f, opcode)) {
        load_host(cpu);
        return 0;
    }
    if (f->live && opcode == OPCODE_FLDCW && set_host_control(f, (uint16_t)a))
        return TCG_X87_DONE;
    fpu_sync(cpu);
    return TCG_X87_DONE | (uint32_t)call_helper(cpu, imm, a);
}
