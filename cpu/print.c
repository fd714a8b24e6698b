/* The processor as monitors show it: `info registers` (the layout that scripts parse) and `info jit`. */
#include "cpu/sys.h"

#include <inttypes.h>
#include <stdarg.h>

struct printer {
    cpu_print_fn *print;
    void *opaque;
};

static void line(const struct printer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(const struct printer *p, const char *fmt, ...)
{
    char buf[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    p->print(p->opaque, buf);
}

/* ---- registers ---- */

static void flag_letters(uint32_t flags, char out[8])
{
    static const struct { uint32_t bit; char letter; } map[] = {
        { FL_DF, 'D' }, { FL_OF, 'O' }, { FL_SF, 'S' }, { FL_ZF, 'Z' },
        { FL_AF, 'A' }, { FL_PF, 'P' }, { FL_CF, 'C' },
    };

    for (unsigned i = 0; i < ARRAY_LEN(map); i++)
        out[i] = flags & map[i].bit ? map[i].letter : '-';
    out[7] = '\0';
}

static void print_general(struct cpu *cpu, const struct printer *p)
{
    const uint64_t *r = cpu->gpr;

    if (!cpu_code64(cpu)) {
        line(p, "EAX=%08x EBX=%08x ECX=%08x EDX=%08x", (uint32_t)r[R_AX], (uint32_t)r[R_BX],
             (uint32_t)r[R_CX], (uint32_t)r[R_DX]);
        line(p, "ESI=%08x EDI=%08x EBP=%08x ESP=%08x", (uint32_t)r[R_SI], (uint32_t)r[R_DI],
             (uint32_t)r[R_BP], (uint32_t)r[R_SP]);
        return;
    }
    line(p, "RAX=%016" PRIx64 " RBX=%016" PRIx64 " RCX=%016" PRIx64 " RDX=%016" PRIx64, r[R_AX], r[R_BX],
         r[R_CX], r[R_DX]);
    line(p, "RSI=%016" PRIx64 " RDI=%016" PRIx64 " RBP=%016" PRIx64 " RSP=%016" PRIx64, r[R_SI], r[R_DI],
         r[R_BP], r[R_SP]);
    line(p, "R8 =%016" PRIx64 " R9 =%016" PRIx64 " R10=%016" PRIx64 " R11=%016" PRIx64, r[8], r[9], r[10],
         r[11]);
    line(p, "R12=%016" PRIx64 " R13=%016" PRIx64 " R14=%016" PRIx64 " R15=%016" PRIx64, r[12], r[13], r[14],
         r[15]);
}

static void print_pc(struct cpu *cpu, const struct printer *p)
{
    uint32_t flags = cpu_get_eflags(cpu);
    char letters[8];
    bool a20 = cpu->a20_mask & BIT(20);
    unsigned shadow = cpu->mode & MODE_SHADOW ? 1 : 0;

    flag_letters(flags, letters);
    if (cpu_code64(cpu))
        line(p, "RIP=%016" PRIx64 " RFL=%08x [%s] CPL=%u II=%u A20=%d SMM=0 HLT=%d", cpu->rip, flags, letters,
             cpu_cpl(cpu), shadow, a20, cpu->halted);
    else
        line(p, "EIP=%08x EFL=%08x [%s] CPL=%u II=%u A20=%d SMM=0 HLT=%d", (uint32_t)cpu->rip, flags, letters,
             cpu_cpl(cpu), shadow, a20, cpu->halted);
}

static const char *system_type(const struct cpu *cpu, unsigned type)
{
    static const char *const legacy[16] = {
        "Reserved",   "TSS16-avl",  "LDT",       "TSS16-busy", "CallGate16", "TaskGate",
        "IntGate16",  "TrapGate16", "Reserved",  "TSS32-avl",  "Reserved",   "TSS32-busy",
        "CallGate32", "Reserved",   "IntGate32", "TrapGate32",
    };
    static const char *const in_long[16] = {
        "<hiword>",   "Reserved", "LDT",       "Reserved",   "Reserved", "Reserved",
        "Reserved",   "Reserved", "Reserved",  "TSS64-avl",  "Reserved", "TSS64-busy",
        "CallGate64", "Reserved", "IntGate64", "TrapGate64",
    };

    return cpu_long_mode(cpu) ? in_long[type & 15] : legacy[type & 15];
}

/* What a present descriptor is, in words; empty in real mode. */
static void describe_segment(const struct cpu *cpu, const struct segment *s, char *out, size_t size)
{
    unsigned attr = s->attr, dpl = (attr & ATTR_DPL) >> ATTR_DPL_SHIFT;
    char accessed = attr & ATTR_A ? 'A' : '-';

    *out = '\0';
    if (!(cpu->cr0 & CR0_PE) || !(attr & ATTR_P))
        return;
    if (!(attr & ATTR_S))
        snprintf(out, size, " DPL=%u %s", dpl, system_type(cpu, attr & ATTR_TYPE));
    else if (attr & ATTR_CODE)
        snprintf(out, size, " DPL=%u %s [%c%c%c]", dpl,
                 attr & ATTR_L ? "CS64" : attr & ATTR_DB ? "CS32" : "CS16",
                 attr & ATTR_C ? 'C' : '-', attr & ATTR_R ? 'R' : '-', accessed);
    else
        snprintf(out, size, " DPL=%u %s [%c%c%c]", dpl,
                 (attr & ATTR_DB) || cpu_long_mode(cpu) ? "DS  " : "DS16", attr & ATTR_E ? 'E' : '-',
                 attr & ATTR_W ? 'W' : '-', accessed);
}

static void print_segment(const struct cpu *cpu, const struct printer *p, const char *name,
                          const struct segment *s)
{
    uint32_t raw = s->attr & ATTR_G ? s->limit >> 12 : s->limit;
    uint32_t hi = (uint32_t)s->attr << 8 | (raw & 0xf0000);
    char what[48];

    describe_segment(cpu, s, what, sizeof(what));
    if (cpu_long_mode(cpu))
        line(p, "%-3s=%04x %016" PRIx64 " %08x %08x%s", name, s->selector, s->base, s->limit, hi, what);
    else
        line(p, "%-3s=%04x %08x %08x %08x%s", name, s->selector, (uint32_t)s->base, s->limit, hi, what);
}

static void print_system(const struct cpu *cpu, const struct printer *p)
{
    static const char *const names[] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR" };

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        print_segment(cpu, p, names[i], &cpu->seg[i]);
    if (cpu_long_mode(cpu)) {
        line(p, "GDT=     %016" PRIx64 " %08x", cpu->gdt.base, cpu->gdt.limit);
        line(p, "IDT=     %016" PRIx64 " %08x", cpu->idt.base, cpu->idt.limit);
        line(p, "CR0=%08x CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08x", (uint32_t)cpu->cr0, cpu->cr2,
             cpu->cr3, (uint32_t)cpu->cr4);
    } else {
        line(p, "GDT=     %08x %08x", (uint32_t)cpu->gdt.base, cpu->gdt.limit);
        line(p, "IDT=     %08x %08x", (uint32_t)cpu->idt.base, cpu->idt.limit);
        line(p, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x", (uint32_t)cpu->cr0, (uint32_t)cpu->cr2,
             (uint32_t)cpu->cr3, (uint32_t)cpu->cr4);
    }
    line(p, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 " ", cpu->dr[0],
         cpu->dr[1], cpu->dr[2], cpu->dr[3]);
    line(p, "DR6=%016" PRIx64 " DR7=%016" PRIx64, cpu->dr[6], cpu->dr[7]);
    line(p, "EFER=%016" PRIx64, cpu->efer);
}

static void print_float(struct cpu *cpu, const struct printer *p)
{
    const struct fpu *f = &cpu->fpu;
    unsigned num_xmm = cpu_code64(cpu) ? 16 : 8;

    line(p, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x", f->cw, f->sw | f->top << 11, f->top,
         (uint8_t)~f->empty, cpu_get_mxcsr(cpu));
    for (unsigned i = 0; i < 8; i += 2)
        line(p, "FPR%u=%016" PRIx64 " %04x FPR%u=%016" PRIx64 " %04x", i, f->st[i].mant, f->st[i].exp, i + 1,
             f->st[i + 1].mant, f->st[i + 1].exp);
    for (unsigned i = 0; i < num_xmm && (cpu->mode & MODE_AVX); i++)
        line(p, "YMM%02u=%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64, i, cpu->ymmh[i].u64[1],
             cpu->ymmh[i].u64[0], cpu->xmm[i].u64[1], cpu->xmm[i].u64[0]);
    for (unsigned i = 0; i < num_xmm && !(cpu->mode & MODE_AVX); i += 2)
        line(p, "XMM%02u=%016" PRIx64 " %016" PRIx64 " XMM%02u=%016" PRIx64 " %016" PRIx64, i,
             cpu->xmm[i].u64[1], cpu->xmm[i].u64[0], i + 1, cpu->xmm[i + 1].u64[1], cpu->xmm[i + 1].u64[0]);
}

void cpu_print_registers(struct cpu *cpu, cpu_print_fn *print, void *opaque)
{
    struct printer p = { print, opaque };

    print_general(cpu, &p);
    print_pc(cpu, &p);
    print_system(cpu, &p);
    print_float(cpu, &p);
}

/* ---- translation statistics ---- */

void cpu_print_jit(struct cpu *cpu, cpu_print_fn *print, void *opaque)
{
    struct printer p = { print, opaque };
    struct tcg_stats s = tcg_get_stats(cpu->tcg);
    uint64_t insns = MAX_OF(s.guest_insns, 1);

    line(&p, "Translation cache:  %" PRIu64 " of %" PRIu64 " bytes", s.cache_used, s.cache_size);
    line(&p, "Blocks translated:  %" PRIu64, s.blocks);
    line(&p, "Guest instructions: %" PRIu64 " (%" PRIu64 " bytes)", s.guest_insns, s.guest_bytes);
    line(&p, "IR instructions:    %" PRIu64 " (%.1f per guest instruction)", s.ir_insns,
         (double)s.ir_insns / insns);
    line(&p, "Host code:          %" PRIu64 " bytes (%.1f per guest instruction)", s.host_bytes,
         (double)s.host_bytes / insns);
    line(&p, "Translation time:   %" PRIu64 " us (%" PRIu64 " ns per guest instruction)",
         s.translate_ns / 1000, s.translate_ns / insns);
    line(&p, "Chained exits:      %" PRIu64, s.chains);
    line(&p, "Invalidated blocks: %" PRIu64, s.invalidations);
    line(&p, "Cache flushes:      %" PRIu64, s.flushes);
    line(&p, "TLB fills:          %" PRIu64, cpu->tlb_fills);
    line(&p, "TLB flushes:        %" PRIu64, cpu->tlb_flushes);
}
