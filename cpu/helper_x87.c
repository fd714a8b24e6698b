/* x87 instructions on struct fpu: stack, tags, exceptions (SDM vol. 1, chapter 8).
 * Values are computed by x87_host.c. */
#include "cpu/helpers.h"
#include "cpu/x87.h"

static const union fpu_reg default_nan = { { .mant = UINT64_C(0xc000000000000000), .exp = 0xffff } };

static inline unsigned phys(const struct fpu *f, unsigned i)
{
    return (f->top + i) & 7;
}

static inline union fpu_reg *st(struct fpu *f, unsigned i)
{
    return &f->st[phys(f, i)];
}

static inline bool is_empty(const struct fpu *f, unsigned i)
{
    return f->empty & (1u << phys(f, i));
}

static inline unsigned spec_sti(uint64_t spec)
{
    return (spec & XS_STI) >> XS_STI_SHIFT;
}

static inline enum x87_kind spec_kind(uint64_t spec)
{
    return (spec & XS_KIND) >> XS_KIND_SHIFT;
}

static void set_st(struct fpu *f, unsigned i, const union fpu_reg *v)
{
    st(f, i)->mant = v->mant;
    st(f, i)->exp = v->exp;
    f->empty &= (uint8_t)~(1u << phys(f, i));
}

static void pop(struct fpu *f)
{
    f->empty |= (uint8_t)(1u << f->top);
    f->top = (f->top + 1) & 7;
}

void fpu_update_pending(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;

    if (f->sw & ~f->cw & FSW_EXCEPTIONS)
        f->sw |= FSW_ES | FSW_B;
    else
        f->sw &= (uint16_t)~(FSW_ES | FSW_B);
    f->pending = (f->sw & FSW_ES) && (cpu->cr0 & CR0_NE);
    if ((f->sw & FSW_ES) && !(cpu->cr0 & CR0_NE) && cpu->bus.ferr) {
        cpu_lock(cpu);
        cpu->bus.ferr(cpu->bus.opaque, 1);
        cpu_unlock(cpu);
    }
}

/* Add exception flags; true when one of `blocking` among them is unmasked: the result is not to be stored. */
static bool signal_exceptions(struct cpu *cpu, uint16_t flags, uint16_t blocking)
{
    struct fpu *f = &cpu->fpu;

    if (!(flags & FSW_EXCEPTIONS))
        return false;
    f->sw |= flags & (FSW_EXCEPTIONS | FSW_SF);
    if (flags & ~f->cw & FSW_EXCEPTIONS)
        fpu_update_pending(cpu);
    return flags & ~f->cw & blocking;
}

enum { PRE_COMPUTATION = FSW_IE | FSW_DE | FSW_ZE };

static void set_codes(struct fpu *f, uint16_t mask, uint16_t codes)
{
    f->sw = (uint16_t)((f->sw & ~mask) | (codes & mask));
}

/* Stack fault: C1 tells overflow (1) from underflow (0). True when IE is unmasked. */
static bool stack_fault(struct cpu *cpu, bool overflow)
{
    set_codes(&cpu->fpu, FSW_C1, overflow ? FSW_C1 : 0);
    return signal_exceptions(cpu, FSW_IE | FSW_SF, FSW_IE);
}

/* Push a value; with an overflow the masked response is the default NaN. */
static void push(struct cpu *cpu, const union fpu_reg *v)
{
    struct fpu *f = &cpu->fpu;

    if (!is_empty(f, 7)) {
        if (stack_fault(cpu, true))
            return;
        v = &default_nan;
    } else {
        set_codes(f, FSW_C1, 0);
    }
    f->top = (f->top - 1) & 7;
    set_st(f, 0, v);
}

/* Operand in memory format to a register value. False when an unmasked exception forbids its use. */
static bool convert(struct cpu *cpu, enum x87_kind kind, uint64_t mem, union fpu_reg *out)
{
    struct x87_io io = { .mem = mem, .cw = cpu->fpu.cw };

    x87_host_load(kind, &io);
    *out = io.r0;
    return !signal_exceptions(cpu, io.sw & FSW_EXCEPTIONS, PRE_COMPUTATION);
}

uint64_t helper_fpu_error(struct cpu *cpu, uint64_t unused)
{
    (void)unused;
    cpu_raise_exception(cpu, EX_MF);
}

/* ---- arithmetic and comparison ---- */

/* ST(0) op b, or op mem where the operand is real. */
static void run_arith(enum x87_op op, enum x87_kind kind, struct x87_io *io)
{
    if (kind == XK_F32 || kind == XK_F64)
        x87_host_op_real(op, kind, io);
    else if (op == X87_COM || op == X87_COMP || op == X87_UCOM)
        x87_host_compare(io, op == X87_UCOM);
    else
        x87_host_op(op, io);
}

static uint16_t compare_codes(struct cpu *cpu, enum x87_op op, enum x87_kind kind, struct x87_io *io,
                              bool *blocked)
{
    run_arith(op, kind, io);
    *blocked = signal_exceptions(cpu, io->sw & FSW_EXCEPTIONS, PRE_COMPUTATION);
    return io->sw & (FSW_C0 | FSW_C2 | FSW_C3);
}

static void pops(struct cpu *cpu, uint64_t spec)
{
    if (spec & (XS_POP | XS_POP2))
        pop(&cpu->fpu);
    if (spec & XS_POP2)
        pop(&cpu->fpu);
}

static void compare(struct cpu *cpu, uint64_t spec, struct x87_io *io, bool underflow)
{
    struct fpu *f = &cpu->fpu;
    uint16_t codes = FSW_C0 | FSW_C2 | FSW_C3;
    bool blocked;

    set_codes(f, FSW_C1, 0);
    if (underflow)
        blocked = stack_fault(cpu, false);
    else
        codes = compare_codes(cpu, spec & XS_OP, spec_kind(spec), io, &blocked);
    set_codes(f, FSW_C0 | FSW_C2 | FSW_C3, codes);
    if (!blocked)
        pops(cpu, spec);
}

/* Second operand `mem` as it is in memory, or ST(i). */
static uint64_t arith(struct cpu *cpu, uint64_t spec, uint64_t mem)
{
    struct fpu *f = &cpu->fpu;
    enum x87_op op = spec & XS_OP;
    enum x87_kind kind = spec_kind(spec);
    unsigned i = spec_sti(spec), dest = spec & XS_DEST_STI ? i : 0;
    bool underflow = is_empty(f, 0) || (kind == XK_REG && is_empty(f, i));
    struct x87_io io = { .cw = f->cw, .a = *st(f, 0), .mem = mem };

    if (kind == XK_REG)
        io.b = *st(f, i);
    else if (kind == XK_I16 || kind == XK_I32)
        convert(cpu, kind, mem, &io.b); /* exact */
    if (op == X87_COM || op == X87_COMP || op == X87_UCOM) {
        compare(cpu, spec, &io, underflow);
        return 0;
    }
    if (underflow) {
        if (stack_fault(cpu, false))
            return 0;
        set_st(f, dest, &default_nan);
    } else {
        /* a op b with a = ST(0); the emitter has turned the operation round where ST(i) is the first operand. */
        run_arith(op, kind, &io);
        set_codes(f, FSW_C1, io.sw);
        if (signal_exceptions(cpu, io.sw & FSW_EXCEPTIONS, PRE_COMPUTATION))
            return 0;
        set_st(f, dest, &io.r0);
    }
    pops(cpu, spec);
    return 0;
}

uint64_t helper_x87_arith(struct cpu *cpu, uint64_t spec)
{
    return arith(cpu, spec, 0);
}

/* Flags word (ZF, PF, CF) of FCOMI and FUCOMI. */
uint64_t helper_x87_compare(struct cpu *cpu, uint64_t spec)
{
    struct fpu *f = &cpu->fpu;
    unsigned i = spec_sti(spec);
    struct x87_io io = { .cw = f->cw, .a = *st(f, 0), .b = *st(f, i) };
    uint16_t codes = FSW_C0 | FSW_C2 | FSW_C3;
    bool blocked;

    set_codes(f, FSW_C1, 0);
    if (is_empty(f, 0) || is_empty(f, i))
        blocked = stack_fault(cpu, false);
    else
        codes = compare_codes(cpu, spec & XS_OP, XK_REG, &io, &blocked);
    if (!blocked)
        pops(cpu, spec);
    return (codes & FSW_C3 ? IR_ZF : 0) | (codes & FSW_C2 ? IR_PF : 0) | (codes & FSW_C0 ? IR_CF : 0);
}

/* ---- operations on ST(0) (and ST(1)) ---- */

/* Condition codes that an operation defines besides C1. */
static uint16_t unary_codes(enum x87_op op)
{
    switch (op) {
    case X87_PREM:
    case X87_PREM1:
        return FSW_CODES;
    case X87_PTAN:
    case X87_SINCOS:
    case X87_SIN:
    case X87_COS:
        return FSW_C1 | FSW_C2;
    default:
        return FSW_C1;
    }
}

static bool uses_st1(enum x87_op op)
{
    return op == X87_YL2X || op == X87_PATAN || op == X87_PREM1 || op == X87_PREM || op == X87_YL2XP1 ||
           op == X87_SCALE;
}

/* Replace ST(0) by r1 and push r0: PTAN, XTRACT, SINCOS. */
static void store_pair(struct cpu *cpu, const union fpu_reg *low, const union fpu_reg *top)
{
    set_st(&cpu->fpu, 0, low);
    cpu->fpu.top = (cpu->fpu.top - 1) & 7;
    set_st(&cpu->fpu, 0, top);
}

/* C2, "incomplete", is cleared where the operation has it. */
static void unary_fault(struct cpu *cpu, enum x87_op op, bool pushes, bool overflow)
{
    set_codes(&cpu->fpu, unary_codes(op) & FSW_C2, 0);
    if (stack_fault(cpu, overflow))
        return;
    if (pushes) {
        store_pair(cpu, &default_nan, &default_nan);
        return;
    }
    if (op == X87_YL2X || op == X87_PATAN || op == X87_YL2XP1)
        pop(&cpu->fpu);
    set_st(&cpu->fpu, 0, &default_nan);
}

static bool is_nan(const union fpu_reg *r)
{
    return (r->exp & 0x7fff) == 0x7fff && r->mant << 1;
}

/* A remainder that is no number or was not computed has no quotient: C0 and C3 keep their values. */
static uint16_t result_codes(enum x87_op op, const struct x87_io *io)
{
    uint16_t codes = unary_codes(op);
    bool none = (io->sw & FSW_IE) || (io->sw & ~io->cw & PRE_COMPUTATION) || is_nan(&io->r0);

    return codes == FSW_CODES && none ? FSW_C1 | FSW_C2 : codes;
}

static void unary_result(struct cpu *cpu, enum x87_op op, bool pushes, const struct x87_io *io)
{
    struct fpu *f = &cpu->fpu;

    set_codes(f, result_codes(op, io), io->sw);
    if (signal_exceptions(cpu, io->sw & FSW_EXCEPTIONS, PRE_COMPUTATION))
        return;
    if (pushes && (io->sw & FSW_C2) && op != X87_XTRACT) /* out of range: nothing happens */
        return;
    if (pushes) {
        store_pair(cpu, &io->r1, &io->r0);
        return;
    }
    if (op == X87_YL2X || op == X87_PATAN || op == X87_YL2XP1)
        pop(f);
    set_st(f, 0, &io->r0);
}

uint64_t helper_x87_unary(struct cpu *cpu, uint64_t op)
{
    struct fpu *f = &cpu->fpu;
    bool pushes = op == X87_PTAN || op == X87_XTRACT || op == X87_SINCOS;
    struct x87_io io = { .a = *st(f, 0), .b = *st(f, 1), .cw = f->cw };

    if (op == X87_DECSTP || op == X87_INCSTP) {
        f->top = (f->top + (op == X87_INCSTP ? 1 : 7)) & 7;
        set_codes(f, FSW_C1, 0);
        return 0;
    }
    if (op == X87_TST) {
        io.b = (union fpu_reg){ { 0 } };
        compare(cpu, X87_COM, &io, is_empty(f, 0));
        return 0;
    }
    if (is_empty(f, 0) || (uses_st1((enum x87_op)op) && is_empty(f, 1))) {
        unary_fault(cpu, (enum x87_op)op, pushes, false);
        return 0;
    }
    if (pushes && !is_empty(f, 7)) {
        unary_fault(cpu, (enum x87_op)op, true, true);
        return 0;
    }
    if (op == X87_CHS || op == X87_ABS) {
        st(f, 0)->exp = op == X87_CHS ? io.a.exp ^ 0x8000 : io.a.exp & 0x7fff;
        set_codes(f, FSW_C1, 0);
        return 0;
    }
    x87_host_op((enum x87_op)op, &io);
    unary_result(cpu, (enum x87_op)op, pushes, &io);
    return 0;
}

uint64_t helper_x87_xam(struct cpu *cpu, uint64_t unused)
{
    struct fpu *f = &cpu->fpu;
    const union fpu_reg *r = st(f, 0);
    unsigned e = r->exp & 0x7fff;
    uint16_t codes;

    (void)unused;
    if (is_empty(f, 0))
        codes = FSW_C3 | FSW_C0;
    else if (e == 0x7fff)
        codes = !(r->mant >> 63) ? 0 : r->mant << 1 ? FSW_C0 : FSW_C2 | FSW_C0;
    else if (!e)
        codes = r->mant ? FSW_C3 | FSW_C2 : FSW_C3;
    else
        codes = r->mant >> 63 ? FSW_C2 : 0; /* unnormals are unsupported */
    set_codes(f, FSW_CODES, (uint16_t)(codes | (r->exp & 0x8000 ? FSW_C1 : 0)));
    return 0;
}

/* ---- loads and stores ---- */

static void load_value(struct cpu *cpu, uint64_t spec, uint64_t mem)
{
    union fpu_reg v = default_nan;

    /* A stack overflow comes before what is wrong with the operand. */
    if (is_empty(&cpu->fpu, 7) && !convert(cpu, spec_kind(spec), mem, &v)) {
        set_codes(&cpu->fpu, FSW_C1, 0);
        return;
    }
    push(cpu, &v);
}

uint64_t helper_x87_load80(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    uint32_t mem = xs_mem_flags(spec);
    uint64_t mant = mmu_load(cpu, addr, 8, mem);
    union fpu_reg v = { { .mant = mant, .exp = (uint16_t)mmu_load(cpu, addr + 8, 2, mem) } };

    push(cpu, &v);
    return 0;
}

uint64_t helper_x87_load_bcd(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    uint32_t mem = xs_mem_flags(spec);
    struct x87_io io = { .cw = cpu->fpu.cw };

    store_le(io.bcd, 8, mmu_load(cpu, addr, 8, mem));
    store_le(io.bcd + 8, 2, mmu_load(cpu, addr + 8, 2, mem));
    x87_host_load(XK_BCD, &io);
    push(cpu, &io.r0);
    return 0;
}

uint64_t helper_x87_load_sti(struct cpu *cpu, uint64_t i)
{
    struct fpu *f = &cpu->fpu;
    union fpu_reg v = *st(f, (unsigned)i);

    if (is_empty(f, (unsigned)i)) {
        /* The underflow hides an overflow. */
        if (stack_fault(cpu, false))
            return 0;
        f->top = (f->top - 1) & 7;
        set_st(f, 0, &default_nan);
        return 0;
    }
    push(cpu, &v);
    return 0;
}

uint64_t helper_x87_const(struct cpu *cpu, uint64_t n)
{
    struct x87_io io = { .cw = cpu->fpu.cw };

    x87_host_const((unsigned)n, &io);
    push(cpu, &io.r0);
    return 0;
}

/* Memory image of ST(0) when it is empty and IE is masked. */
static void indefinite(enum x87_kind kind, struct x87_io *io)
{
    static const uint8_t bcd[10] = { 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff };

    io->mem = kind == XK_F32 ? UINT32_C(0xffc00000) : kind == XK_F64 ? UINT64_C(0xfff8000000000000) :
              kind == XK_I16 ? 0x8000 : kind == XK_I32 ? UINT32_C(0x80000000) : UINT64_C(0x8000000000000000);
    if (kind == XK_F80) {
        store_le(io->bcd, 8, default_nan.mant);
        store_le(io->bcd + 8, 2, default_nan.exp);
    } else {
        memcpy(io->bcd, bcd, 10);
    }
}

static unsigned image_size(enum x87_kind kind)
{
    static const uint8_t sizes[] = { [XK_F32] = 4, [XK_F64] = 8, [XK_F80] = 10, [XK_I16] = 2, [XK_I32] = 4,
                                     [XK_I64] = 8, [XK_BCD] = 10 };

    return sizes[kind];
}

static void store_image(struct cpu *cpu, enum x87_kind kind, uint64_t addr, const struct x87_io *io, uint32_t mem)
{
    if (kind != XK_F80 && kind != XK_BCD) {
        mmu_store(cpu, addr, io->mem, image_size(kind), mem);
        return;
    }
    mmu_probe(cpu, addr, 10, ACC_WRITE, mem);
    mmu_store(cpu, addr, load_le(io->bcd, 8), 8, mem);
    mmu_store(cpu, addr + 8, load_le(io->bcd + 8, 2), 2, mem);
}

/* FST, FSTP, FIST, FISTP, FBSTP: the store may fault, so status changes come after it. */
uint64_t helper_x87_store(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    struct fpu *f = &cpu->fpu;
    enum x87_kind kind = spec_kind(spec);
    uint32_t mem = xs_mem_flags(spec);
    struct x87_io io = { .a = *st(f, 0), .cw = f->cw };

    if (is_empty(f, 0)) {
        indefinite(kind, &io);
        io.sw = FSW_IE | FSW_SF;
    } else if (kind == XK_F80) {
        store_le(io.bcd, 8, io.a.mant);
        store_le(io.bcd + 8, 2, io.a.exp);
    } else {
        x87_host_store(kind, spec & XS_TRUNC, &io);
    }
    /* Unmasked: IE stores nothing; for real formats OE and UE neither (SDM vol. 1, 8.5.4, 8.5.5). */
    uint16_t blocking = FSW_IE | (kind == XK_F32 || kind == XK_F64 ? FSW_OE | FSW_UE : 0);
    if (!(io.sw & ~f->cw & blocking))
        store_image(cpu, kind, addr, &io, mem);
    else
        mmu_probe_store(cpu, addr, image_size(kind), mem);
    set_codes(f, FSW_C1, io.sw & FSW_SF ? 0 : io.sw);
    if (!signal_exceptions(cpu, io.sw & (FSW_EXCEPTIONS | FSW_SF), blocking))
        pops(cpu, spec);
    return 0;
}

uint64_t helper_x87_store_sti(struct cpu *cpu, uint64_t spec)
{
    struct fpu *f = &cpu->fpu;
    union fpu_reg v = *st(f, 0);

    set_codes(f, FSW_C1, 0);
    if (is_empty(f, 0)) {
        if (stack_fault(cpu, false))
            return 0;
        v = default_nan;
    }
    set_st(f, spec_sti(spec), &v);
    pops(cpu, spec);
    return 0;
}

uint64_t helper_x87_exchange(struct cpu *cpu, uint64_t i)
{
    struct fpu *f = &cpu->fpu;
    union fpu_reg a, b;

    set_codes(f, FSW_C1, 0);
    if ((is_empty(f, 0) || is_empty(f, (unsigned)i)) && stack_fault(cpu, false))
        return 0;
    a = is_empty(f, 0) ? default_nan : *st(f, 0);
    b = is_empty(f, (unsigned)i) ? default_nan : *st(f, (unsigned)i);
    set_st(f, 0, &b);
    set_st(f, (unsigned)i, &a);
    return 0;
}

uint64_t helper_x87_cmov(struct cpu *cpu, uint64_t i, uint64_t cond)
{
    struct fpu *f = &cpu->fpu;

    /* An underflow shows whether or not the condition holds. */
    if (is_empty(f, 0) || is_empty(f, (unsigned)i)) {
        if (!stack_fault(cpu, false))
            set_st(f, 0, &default_nan);
    } else if (cond) {
        union fpu_reg v = *st(f, (unsigned)i);
        set_st(f, 0, &v);
    }
    return 0;
}

uint64_t helper_x87_ffree(struct cpu *cpu, uint64_t arg)
{
    cpu->fpu.empty |= (uint8_t)(1u << phys(&cpu->fpu, arg & 7));
    if (arg & 0x100)
        pop(&cpu->fpu);
    return 0;
}

/* ---- instructions with an integer or short real in memory ---- */

static uint64_t load_operand(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    return mmu_load(cpu, addr, image_size(spec_kind(spec)), xs_mem_flags(spec));
}

uint64_t helper_x87_arith_mem(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    return arith(cpu, spec, load_operand(cpu, spec, addr));
}

uint64_t helper_x87_load_mem(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    load_value(cpu, spec, load_operand(cpu, spec, addr));
    return 0;
}

/* ---- control ---- */

void fpu_init(struct cpu *cpu)
{
    struct fpu *f = &cpu->fpu;

    f->cw = 0x37f;
    f->sw = 0;
    f->top = 0;
    f->empty = 0xff;
    fpu_set_ip(f, 0);
    f->fdp = 0;
    f->fcs = f->fds = f->fop = 0;
    f->pending = 0;
}

uint64_t helper_x87_misc(struct cpu *cpu, uint64_t what)
{
    switch ((enum x87_misc)what) {
    case XM_NINIT:
        fpu_init(cpu);
        break;
    case XM_NCLEX:
        cpu->fpu.sw &= FSW_CODES;
        fpu_update_pending(cpu);
        break;
    case XM_EMMS:
        cpu->fpu.empty = 0xff;
        cpu->fpu.top = 0;
        break;
    }
    return 0;
}

uint64_t helper_x87_stsw(struct cpu *cpu, uint64_t unused)
{
    (void)unused;
    return fpu_status_word(&cpu->fpu);
}

uint64_t helper_x87_ldcw(struct cpu *cpu, uint64_t unused, uint64_t cw)
{
    (void)unused;
    cpu->fpu.cw = fpu_control_word(cw);
    fpu_update_pending(cpu);
    return 0;
}

uint16_t fpu_status_word(const struct fpu *f)
{
    return (uint16_t)(f->sw | f->top << FSW_TOP_SHIFT);
}

void fpu_set_status_word(struct cpu *cpu, uint16_t sw)
{
    cpu->fpu.top = (sw >> FSW_TOP_SHIFT) & 7;
    cpu->fpu.sw = sw & (FSW_EXCEPTIONS | FSW_SF | FSW_CODES);
    fpu_update_pending(cpu);
}
