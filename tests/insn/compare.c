/* What both processors did, side by side; and cases as listings. */
#include <inttypes.h>

#include "tests/insn/insn.h"

/* RF is 1 in the image that a fault pushes; IF and IOPL are the operating system's. */
#define FLAGS_COMPARED (IR_FLAGS6 | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID)

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

/* What the manual leaves to the processor when an instruction faults. */
enum freedom {
    FREE_DATA = 1,       /* a part of several stores may have been done */
    FREE_FLAGS = 2,      /* REP CMPS and SCAS: Intel's restore the flags, AMD's do not */
    FREE_CR2 = 4,        /* any byte of a large operand that cannot be accessed */
    FREE_X87 = 8,        /* an unmasked denormal operand of FLD, see loads_unmasked_denormal() */
    FREE_RF = 32,        /* single-step trap within a REP instruction: 1 in the SDM, AMD's leave it */
    FREE_ALL = 16,       /* MASKMOVQ: unselected bytes may fault; one of two possible faults */
};

struct diff {
    FILE *out;
    const struct test_case *c;
    unsigned num;
    unsigned freedom;
    uint32_t undefined;  /* flags */
    /* A gather that faulted. Of the mask's elements that are not done, the sign is what counts: the manual's
     * pseudocode smears it first, AMD's processors leave the element. */
    unsigned gather_mask;    /* register, 16: none */
    uint64_t gather_signs;   /* sign bits of the elements in 8 bytes */
    unsigned gather_bytes;   /* of the mask that take part */
};

typedef void emit_fn(struct emit *e);
emit_fn emit_enter, emit_pusha, emit_movs, emit_cmps, emit_scas, emit_maskmov,
    emit_x87_load, emit_call_indirect, emit_xsave, emit_xrstor,
    emit_far_direct, emit_far_indirect, emit_far_ret, emit_iret;

static void differ(struct diff *d, const char *name, unsigned n, uint64_t before, uint64_t host,
                   uint64_t guest)
{
    d->num++;
    if (!d->out || d->num > 24)
        return;
    fprintf(d->out, "    %s", name);
    if (n != ~0u)
        fprintf(d->out, "%u", n);
    fprintf(d->out, ": before %" PRIx64 ", host %" PRIx64 ", mimus %" PRIx64 "\n", before, host, guest);
}

static void check(struct diff *d, const char *name, uint64_t before, uint64_t host, uint64_t guest)
{
    if (host != guest)
        differ(d, name, ~0u, before, host, guest);
}

static void check_gprs(struct diff *d, const struct image *h, const struct image *m)
{
    bool wide = d->c->env == ENV_64;
    uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;

    for (unsigned i = 0; i < (wide ? 16 : 8); i++)
        check(d, gpr_names[i], d->c->in.gpr[i], h->gpr[i] & mask, m->gpr[i] & mask);
    check(d, "base of fs", env_base(d->c->env, S_FS), h->fs_base, m->fs_base);
    check(d, "base of gs", env_base(d->c->env, S_GS), h->gs_base, m->gs_base);
}

/* FLD of a denormal number with DE unmasked: the SDM keeps the stack as it was, AMD's processors push. */
static bool loads_unmasked_denormal(const struct test_case *c, const struct image *h)
{
    unsigned unmasked = (unsigned)(~load_le(h->fx + FX_FCW, 2) & load_le(h->fx + FX_FSW, 2));

    if (!(unmasked & 2) || !host_is_amd())
        return false;
    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->insn[i].row && c->insn[i].row->emit == emit_x87_load)
            return true;
    return false;
}

static bool has_many_operands(const struct opcode *row)
{
    return row->emit == emit_enter || row->emit == emit_pusha || row->emit == emit_movs ||
           row->emit == emit_cmps || row->emit == emit_far_direct || row->emit == emit_far_indirect ||
           row->emit == emit_far_ret || row->emit == emit_iret;
}

/* Several stores or loads in an order of the processor's choice. */
static bool is_multiple(const struct opcode *row)
{
    unsigned kind = row->op[0];

    return kind == O_M || kind == O_Menv || kind == O_Mstate || kind == O_Mf80 || kind == O_Mbcd;
}

/* Which of two faults comes first: within a large operand, of ENTER's many, of both operands of a string
 * instruction, of limit and alignment, of a call's push and target, of the parts of a far transfer. */
static bool order_of_faults_open(const struct opcode *row)
{
    return is_multiple(row) || has_many_operands(row) || (row->flags & (OPF_ALIGN | OPF_REP)) ||
           row->emit == emit_call_indirect;
}

static bool is_memory_fault(const struct image *o)
{
    return o->vector == EX_GP || o->vector == EX_SS || o->vector == EX_PF || o->vector == EX_AC;
}

/* MXCSR.MM of AMD's processors, which Mimus does not have. */
static bool loads_mxcsr_mm(const struct image *h)
{
    return load_le(h->fx + FX_MXCSR, 4) & BIT(17);
}

/* The SDM has SHA instructions refuse operands that are not aligned; AMD's processors take them. */
static bool unaligned_sha(const struct test_case *c, const struct image *m)
{
    if (m->vector != EX_GP || !host_is_amd())
        return false;
    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->insn[i].off == m->rip - case_rip(c) && c->insn[i].row)
            return c->insn[i].row->feature == FEAT_SHA;
    return false;
}

static bool either_fault(const struct opcode *row, const struct image *h, const struct image *m)
{
    return order_of_faults_open(row) && is_memory_fault(h) && is_memory_fault(m) &&
           (h->vector != m->vector || (has_many_operands(row) && h->cr2 != m->cr2));
}

/* A gather whose elements are partly done when another one faults may take the single-step trap first. */
static bool steps_within(const struct test_case *c, const struct opcode *row, const struct image *h,
                         const struct image *m)
{
    bool gather = row->op[1] == O_MGd || row->op[1] == O_MGq;

    return gather && (c->in.eflags & FL_TF) && h->vector == EX_DB && is_memory_fault(m);
}

/* AMD's processors check the alignment of the stack pointer that ENTER leaves. */
static bool checks_new_top(const struct opcode *row, const struct image *h)
{
    return row->emit == emit_enter && h->vector == EX_AC && host_is_amd();
}

/* XSAVE and XRSTOR may check parts of the area that they do not access. */
static bool checks_whole_area(const struct opcode *row, const struct image *h, const struct image *m)
{
    return (row->emit == emit_xsave || row->emit == emit_xrstor) && is_memory_fault(h) &&
           (h->vector != m->vector || h->rip != m->rip);
}

/* Did it end at a byte of the code that is no instruction's first? */
static bool ended_within(const struct test_case *c, const struct image *h)
{
    uint64_t at = h->rip - case_rip(c);

    for (unsigned i = 0; i < c->num_insns; i++)
        if (at > c->insn[i].off && at < c->insn[i].off + (unsigned)c->insn[i].len)
            return true;
    return false;
}

/* The child of a build with AddressSanitizer has its shadow memory where nothing is mapped otherwise. */
static bool faults_in_shadow(const struct image *m)
{
#ifdef __SANITIZE_ADDRESS__
    return m->vector == EX_PF && m->cr2 >= UINT64_C(0x7fff7000) && m->cr2 < UINT64_C(0x10007fff8000);
#else
    (void)m;
    return false;
#endif
}

/* AMD's processors push what a far call leaves before they compare its target with the limit. */
static bool pushes_first(const struct opcode *row, const struct image *h)
{
    return (row->emit == emit_far_direct || row->emit == emit_far_indirect) && h->vector == EX_GP &&
           host_is_amd();
}

static unsigned freedom_of(const struct test_case *c, const struct image *h, const struct image *m)
{
    const struct opcode *row = NULL;
    unsigned x87 = loads_unmasked_denormal(c, h) ? FREE_X87 : loads_mxcsr_mm(h) ? FREE_ALL : 0;

    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->insn[i].off == h->rip - case_rip(c))
            row = c->insn[i].row;
    if (unaligned_sha(c, m) || faults_in_shadow(m))
        return FREE_ALL;
    /* A wrong return address makes any bytes instructions, also such as are left out otherwise. */
    if (ended_within(c, h) || ended_within(c, m))
        return FREE_ALL;
    if (!row || h->vector == EX_BP)
        return x87;
    if (steps_within(c, row, h, m) || checks_new_top(row, h) || checks_whole_area(row, h, m))
        return FREE_ALL;
    if (row->emit == emit_maskmov || either_fault(row, h, m))
        return FREE_ALL;
    bool stores_more = row->emit == emit_enter || row->emit == emit_pusha || pushes_first(row, h);
    return x87 | (stores_more ? FREE_DATA : 0) |
           (row->emit == emit_cmps || row->emit == emit_scas ? FREE_FLAGS : 0) |
           (h->vector == EX_DB && (row->flags & OPF_REP) ? FREE_RF : 0) | (is_multiple(row) ? FREE_CR2 : 0);
}

/* Undefined flags at the instruction that the run ended at; elsewhere all that was undefined anywhere. */
static uint32_t undefined_flags(const struct test_case *c, const struct image *h)
{
    uint64_t at = h->rip - case_rip(c) - (h->vector == EX_BP);
    uint32_t all = 0;

    for (unsigned i = 0; i <= c->num_insns; i++) {
        if (c->insn[i].off == at)
            return c->insn[i].taint;
        all |= c->insn[i].taint;
    }
    return all;
}

/* Linux has processes end a page below the middle of the address space. */
static bool above_process(uint64_t linear)
{
    return linear >= UINT64_C(0x7ffffffff000);
}

static void check_end(struct diff *d, const struct image *h, const struct image *m)
{
    uint32_t open = (d->freedom & FREE_FLAGS ? IR_FLAGS6 : 0) | (d->freedom & FREE_RF ? FL_RF : 0);
    uint32_t flags = FLAGS_COMPARED & ~(d->undefined | open);

    check(d, "vector", EX_BP, h->vector, m->vector);
    check(d, "rip", d->c->in.rip, h->rip, m->rip);
    check(d, "eflags", d->c->in.eflags & flags, h->eflags & flags, m->eflags & flags);
    if (h->vector != m->vector)
        return;
    if (h->vector == EX_PF) {
        /* Linux tells no process whether a page that cannot be its own is present. */
        uint32_t hidden = above_process(h->cr2) ? 1 : 0;
        if (!(d->freedom & FREE_CR2) || h->cr2 - m->cr2 + 512 > 1024)
            check(d, "cr2", 0, h->cr2, m->cr2);
        check(d, "error code", 0, h->error | hidden, m->error | hidden);
    } else if (h->vector >= EX_TS && h->vector <= EX_GP) {
        check(d, "error code", 0, h->error, m->error);
    }
}

static void check_field(struct diff *d, const char *name, unsigned off, unsigned size, uint64_t mask,
                        const uint8_t *h, const uint8_t *m)
{
    check(d, name, load_le(d->c->in.fx + off, size), load_le(h + off, size) & mask,
          load_le(m + off, size) & mask);
}

static void check_x87(struct diff *d, const uint8_t *h, const uint8_t *m)
{
    const uint8_t *in = d->c->in.fx;

    check_field(d, "fcw", FX_FCW, 2, UINT64_MAX, h, m);
    check_field(d, "fsw", FX_FSW, 2, d->undefined & TAINT_C1 ? ~UINT64_C(0x200) : UINT64_MAX, h, m);
    check_field(d, "valid", FX_FTW, 1, UINT64_MAX, h, m);
    /* AMD's processors save the pointers for a pending exception only. */
    if (!host_is_amd() || (load_le(h + FX_FSW, 2) & 0x80)) {
        check_field(d, "fop", FX_FOP, 2, UINT64_MAX, h, m);
        check_field(d, "fip", FX_FIP, 8, MASK(48), h, m);    /* some make it canonical */
        check_field(d, "fdp", FX_FDP, 8, MASK(48), h, m);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = FX_ST + 16 * i;
        if (memcmp(h + at, m + at, 8))
            differ(d, "mantissa of st", i, load_le(in + at, 8), load_le(h + at, 8), load_le(m + at, 8));
        if (memcmp(h + at + 8, m + at + 8, 2))
            differ(d, "exponent of st", i, load_le(in + at + 8, 2), load_le(h + at + 8, 2),
                   load_le(m + at + 8, 2));
    }
}

static void find_gather(struct diff *d, const struct image *h)
{
    const struct test_case *c = d->c;
    struct insn insn;
    unsigned kind;

    d->gather_mask = 16;
    for (unsigned i = 0; i < c->num_insns && h->vector != EX_BP; i++) {
        if (c->insn[i].off != h->rip - case_rip(c) || !c->insn[i].row)
            continue;
        kind = c->insn[i].row->op[1];
        if (kind != O_MGd && kind != O_MGq)
            continue;
        insn_decode(&insn, c->code + c->insn[i].off, INSN_MAX_LEN, env_bits(c->env));
        d->gather_mask = insn.op[2].reg;
        d->gather_signs = kind == O_MGd ? UINT64_C(0x8000000080000000) : UINT64_C(0x8000000000000000);
        d->gather_bytes = insn.vex_l ? 32 : 16;
        if (kind == O_MGd && (insn.row->opcode & 1))
            d->gather_bytes /= 2;    /* as many as there are 64-bit indices */
    }
}

/* Eight bytes of vector register `n`, from byte `at` on. */
static void check_vector(struct diff *d, const char *name, unsigned n, unsigned at, const uint8_t *in,
                         const uint8_t *h, const uint8_t *m)
{
    uint64_t host = load_le(h, 8), mimus = load_le(m, 8);

    if (n == d->gather_mask) {
        uint64_t signs = at < d->gather_bytes ? d->gather_signs : 0;
        host &= signs;
        mimus &= signs;
    }
    if (host != mimus)
        differ(d, name, n, load_le(in, 8), host, mimus);
}

static void check_sse(struct diff *d, const uint8_t *h, const uint8_t *m)
{
    const uint8_t *in = d->c->in.fx;

    check_field(d, "mxcsr", FX_MXCSR, 4, UINT64_MAX, h, m);
    for (unsigned i = 0; i < 32; i++) {
        unsigned at = FX_XMM + 8 * i;
        check_vector(d, i & 1 ? "upper half of xmm" : "lower half of xmm", i / 2, i % 2 * 8, in + at, h + at,
                     m + at);
    }
}

static void check_ymm(struct diff *d, const struct image *h, const struct image *m)
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned n = i / 2, at = i % 2 * 8;
        check_vector(d, i & 1 ? "bits 255:192 of ymm" : "bits 191:128 of ymm", n, 16 + at,
                     d->c->in.ymmh[n] + at, h->ymmh[n] + at, m->ymmh[n] + at);
    }
}

static bool ignored(const struct test_case *c, unsigned off)
{
    for (unsigned i = 0; i < ARRAY_LEN(c->ignore); i++)
        if (off - c->ignore[i].off < c->ignore[i].len)
            return true;
    return false;
}

static void check_data(struct diff *d, const uint8_t *h, const uint8_t *m)
{
    if (!memcmp(h, m, DATA_SIZE))
        return;
    for (unsigned i = 0; i < DATA_SIZE; i++)
        if (h[i] != m[i] && !ignored(d->c, i))
            differ(d, "byte of data at offset ", i, d->c->mem[i], h[i], m[i]);
}

/* The subroutine of a sequence has overwritten its return address and come back amid other instructions, of
 * whose undefined flags nobody knows. */
static bool return_overwritten(const struct test_case *c, const struct outcome *host)
{
    bool calls = c->num_insns > 1 && c->code[0] == 0xe8;
    unsigned size = env_bits(c->env) / 8;
    uint64_t sp = c->in.gpr[R_SP] & MASK(8 * size), at = sp - size + env_base(c->env, S_SS) - DATA_LIN;

    return calls && at <= DATA_SIZE - size &&
           load_le(host->mem + at, size) != ((case_rip(c) + c->insn[0].len) & MASK(8 * size));
}

unsigned compare_outcomes(FILE *out, const struct test_case *c, const struct outcome *host,
                          const struct outcome *guest)
{
    struct diff d = { .out = out, .c = c, .freedom = freedom_of(c, &host->out, &guest->out),
                      .undefined = undefined_flags(c, &host->out) };

    if (return_overwritten(c, host))
        d.undefined |= IR_FLAGS6;
    if (d.freedom & FREE_ALL)
        return 0;
    find_gather(&d, &host->out);
    check_end(&d, &host->out, &guest->out);
    check_gprs(&d, &host->out, &guest->out);
    if (!(d.freedom & FREE_X87))
        check_x87(&d, host->out.fx, guest->out.fx);
    check_sse(&d, host->out.fx, guest->out.fx);
    check_ymm(&d, &host->out, &guest->out);
    if (!(d.freedom & FREE_DATA))
        check_data(&d, host->mem, guest->mem);
    return d.num;
}

/* ---- listings ---- */

static void print_insn(FILE *out, const struct test_case *c, unsigned n)
{
    const struct case_insn *ci = &c->insn[n];
    struct insn insn;
    unsigned i;

    fprintf(out, "    %08" PRIx64 ": ", case_rip(c) + ci->off);
    for (i = 0; i < ci->len; i++)
        fprintf(out, "%02x ", c->code[ci->off + i]);
    for (; i < 12; i++)
        fprintf(out, "   ");
    if (ci->row && insn_decode(&insn, c->code + ci->off, INSN_MAX_LEN, env_bits(c->env)) == DECODE_OK)
        insn_print(out, &insn, case_rip(c) + ci->off);
    else
        fprintf(out, "(invalid)");
    fputc('\n', out);
}

static void print_registers(FILE *out, const struct test_case *c)
{
    unsigned regs = c->env == ENV_64 ? 16 : 8;

    for (unsigned i = 0; i < regs; i++)
        fprintf(out, "%s%s %0*" PRIx64 "%s", i % 4 ? "  " : "    ", gpr_names[i], regs, c->in.gpr[i],
                i % 4 == 3 ? "\n" : "");
    fprintf(out, "    eflags %x  fcw %x  fsw %x  valid %x  mxcsr %x\n", c->in.eflags,
            (unsigned)load_le(c->in.fx + FX_FCW, 2), (unsigned)load_le(c->in.fx + FX_FSW, 2),
            c->in.fx[FX_FTW], (unsigned)load_le(c->in.fx + FX_MXCSR, 4));
}

/* NOPs that took the place of instructions without a part in the failure are left out. */
void print_case(FILE *out, const struct test_case *c)
{
    fprintf(out, "    replay %" PRIu64 ":%" PRIu64 ", %s code\n", c->seed, c->index, env_name(c->env));
    for (unsigned i = 0; i < c->num_insns; i++)
        if (c->num_insns == 1 || c->code[c->insn[i].off] != 0x90)
            print_insn(out, c, i);
    print_registers(out, c);
}
