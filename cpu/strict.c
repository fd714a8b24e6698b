/* The strict log: the table of what was reported, and the rules about values, descriptors and segments. */
#include "cpu/strict_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cpu/decode.h"
#include "memory/memory.h"

#define NUM_SLOTS (2 * STRICT_MAX_PLACES)

void strict_init(struct cpu *cpu)
{
    struct strict *s;

    if (!log_enabled(cpu->log, LOG_STRICT | LOG_UNINIT))
        return;
    s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->uninit = log_enabled(cpu->log, LOG_UNINIT);
    if (log_enabled(cpu->log, LOG_STRICT) && !(s->tlb = strict_tlb_new()))
        abort();
    cpu->strict = s;
}

void strict_free(struct cpu *cpu)
{
    if (cpu->strict)
        free(cpu->strict->tlb);
    free(cpu->strict);
    cpu->strict = NULL;
}

/* ---- reports ---- */

/* Does the log have rules besides those of -d uninit? */
static bool rules(const struct cpu *cpu) { return cpu->strict && cpu->strict->tlb; }

static uint64_t current_ip(struct cpu *cpu)
{
    uint64_t ip = cpu->rip + (cpu->in_block ? tcg_current_offset(cpu->tcg, cpu) : 0);

    return cpu_code64(cpu) ? ip : ip & (cpu->mode & MODE_CODE32 ? UINT32_MAX : UINT16_MAX);
}

/* Note the place. False: it is there already, or there is no room. */
static bool new_place(struct cpu *cpu, enum strict_kind kind, uint64_t place, uint64_t detail)
{
    struct strict *s = cpu->strict;
    uint64_t hash = (place ^ detail * 31 ^ (uint64_t)kind << 20) * UINT64_C(0x9e3779b97f4a7c15);
    unsigned i = (unsigned)(hash >> 40) % NUM_SLOTS;

    for (; s->place[i].kind; i = (i + 1) % NUM_SLOTS)
        if (s->place[i].kind == kind + 1u && s->place[i].place == place && s->place[i].detail == detail)
            return false;
    if (s->num_places >= STRICT_MAX_PLACES)
        return false;
    s->place[i] = (struct strict_place){ place, detail, kind + 1u };
    if (++s->num_places == STRICT_MAX_PLACES)
        log_printf(cpu->log, "strict: %u places reported; this is the last\n", STRICT_MAX_PLACES);
    return true;
}

static void print(struct cpu *cpu, const char *fmt, va_list ap)
{
    char text[256];

    vsnprintf(text, sizeof(text), fmt, ap);
    log_printf(cpu->log, "strict: %04x:%016" PRIx64 " %s\n", cpu->seg[S_CS].selector, current_ip(cpu), text);
}

void strict_report(struct cpu *cpu, enum strict_kind kind, uint64_t detail, const char *fmt, ...)
{
    va_list ap;

    if (!cpu->strict || !new_place(cpu, kind, cpu->seg[S_CS].base + current_ip(cpu), detail))
        return;
    va_start(ap, fmt);
    print(cpu, fmt, ap);
    va_end(ap);
}

void strict_report_place(struct cpu *cpu, enum strict_kind kind, uint64_t place, const char *fmt, ...)
{
    va_list ap;

    if (!cpu->strict || !new_place(cpu, kind, place, 0))
        return;
    va_start(ap, fmt);
    print(cpu, fmt, ap);
    va_end(ap);
}

/* ---- RAM never written ---- */

void strict_read(struct cpu *cpu, uint64_t linear, uint64_t phys, unsigned size, bool fetch)
{
    struct mem_range r;

    if (!cpu->strict || !cpu->strict->uninit)
        return;
    r = mem_space_find(cpu->bus.memory, phys);
    if (!r.writable || memory_was_written(cpu->bus.ram, r.ram_off + (phys - r.start), size))
        return;
    strict_report_place(cpu, STRICT_UNINIT, align_down(phys, MEM_PAGE_SIZE),
                        "%s of RAM that nobody has written (%u bytes), linear %016" PRIx64
                        " physical %016" PRIx64,
                        fetch ? "fetch" : "read", size, linear, phys);
}

/* ---- values ---- */

void strict_reserved(struct cpu *cpu, const char *what, uint64_t value, uint64_t bad, bool faults)
{
    if (rules(cpu) && (value & bad))
        strict_report(cpu, STRICT_RESERVED, value & bad,
                      "%s: reserved bits %" PRIx64 " in the value %" PRIx64 "%s", what, value & bad, value,
                      faults ? ": #GP(0) delivered" : ", ignored here");
}

/* Bits 3, 5, 15 and 31:22, SDM vol. 1, figure 3-8. Bit 1 is 1 whatever is loaded. */
#define EFLAGS_RESERVED UINT32_C(0xffc08028)

void strict_eflags(struct cpu *cpu, uint32_t value)
{
    strict_reserved(cpu, "EFLAGS", value, EFLAGS_RESERVED, false);
}

void strict_msr(struct cpu *cpu, uint32_t index, bool write, const char *why)
{
    if (rules(cpu))
        strict_report(cpu, STRICT_MSR, (uint64_t)write << 32 | index,
                      "%s MSR %08" PRIx32 ": %s: #GP(0) delivered", write ? "WRMSR to" : "RDMSR of", index,
                      why);
}

void strict_msr_ignored(struct cpu *cpu, uint32_t index, uint64_t value, uint64_t ignored)
{
    if (rules(cpu) && ignored)
        strict_report(cpu, STRICT_MSR, UINT64_C(2) << 32 | index,
                      "WRMSR to MSR %08" PRIx32 ": bits %" PRIx64 " of the value %" PRIx64
                      " have no effect here",
                      index, ignored, value);
}

/* ---- segments ---- */

static const char *const seg_name[] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };

static const char *why_not(const struct cpu *cpu, const struct segment *s, uint64_t ea)
{
    bool inside = ea >= s->read_lo && ea <= s->read_hi && s->read_hi - ea >= 31;

    if (!(s->attr & ATTR_P))
        return cpu_protected(cpu) ? "the selector is null" : "the segment is not usable";
    if (s->read_lo > s->read_hi && s->write_lo > s->write_hi)
        return s->attr & ATTR_CODE ? "code that may not be read" : "no offset is inside the limit";
    if (inside && s->write_lo > s->write_hi)
        return "the segment may not be written";
    return "beyond the limit";
}

void strict_segment(struct cpu *cpu, unsigned seg, uint64_t ea)
{
    const struct segment *s = &cpu->seg[seg];

    if (rules(cpu))
        strict_report(cpu, STRICT_SEGMENT, seg,
                      "access to %s:%08" PRIx64 ": %s (selector %04x, base %" PRIx64 ", limit %" PRIx32
                      "%s): #%s(0) delivered",
                      seg_name[seg], ea, why_not(cpu, s, ea), s->selector, s->base, s->limit,
                      (s->attr & (ATTR_CODE | ATTR_E)) == ATTR_E ? ", expand-down" : "",
                      seg == S_SS ? "SS" : "GP");
}

void strict_stack(struct cpu *cpu, uint64_t offset, uint64_t lo, uint64_t hi)
{
    if (rules(cpu))
        strict_report(cpu, STRICT_SEGMENT, S_SS,
                      "push or pop at stack offset %08" PRIx64 ": the segment has %" PRIx64 " to %" PRIx64
                      ": #SS delivered",
                      offset, lo, hi);
}

void strict_code_limit(struct cpu *cpu, uint16_t selector, uint32_t limit, uint64_t ip)
{
    if (rules(cpu))
        strict_report(cpu, STRICT_SEGMENT, S_CS,
                      "code at offset %08" PRIx64 " is beyond the limit %" PRIx32
                      " of CS %04x: #GP(0) delivered",
                      ip, limit, selector);
}

/* ---- descriptors and gates ---- */

/* Reserved attributes, SDM vol. 3, 3.4.5 and figures 3-8, 8-3, 8-4: L outside code segments of long mode, D/B
 * of system descriptors. */
void strict_descriptor(struct cpu *cpu, unsigned seg, uint16_t selector, const struct descriptor *d)
{
    bool code64 = cpu_long_mode(cpu) && desc_is_code(d);
    unsigned bad = d->attr & (code64 ? 0 : d->attr & ATTR_S ? ATTR_L : ATTR_L | ATTR_DB);

    if (rules(cpu) && bad)
        strict_report(cpu, STRICT_SELECTOR, selector,
                      "%s: descriptor %08" PRIx32 "%08" PRIx32
                      " of selector %04x has reserved bits %08x in its upper half, ignored here",
                      seg_name[seg], d->hi, d->lo, selector, bad << 8);
}

/* SDM vol. 3, figures 6-2 and 6-8. Of a task gate only the selector and the attributes mean something. */
void strict_gate(struct cpu *cpu, unsigned vector, const struct descriptor *gate, uint64_t upper)
{
    uint32_t bad = gate->hi & (cpu_long_mode(cpu) ? 0xf8 : 0xe0);

    if (rules(cpu) && (bad || upper >> 32) && desc_type(gate) != SYS_TASK_GATE)
        strict_report_place(cpu, STRICT_SELECTOR, UINT64_C(1) << 32 | vector,
                            "IDT gate %02x %08" PRIx32 "%08" PRIx32 " has reserved bits set, ignored here",
                            vector, gate->hi, gate->lo);
}

/* Up to `size` bytes of RAM or ROM; returns how many are there. */
static unsigned read_quietly(struct cpu *cpu, uint64_t linear, uint8_t *buf, unsigned size)
{
    uint64_t phys;

    for (unsigned i = 0; i < size; i++) {
        struct mem_range r;
        if (!cpu_translate(cpu, linear + i, &phys))
            return i;
        r = mem_space_find(cpu->bus.memory, phys);
        if (!r.host)
            return i;
        buf[i] = r.host[phys - r.start];
    }
    return size;
}

/* What an error code's selector names, in words. */
static void describe_selector(struct cpu *cpu, uint32_t code, char *text, size_t size)
{
    bool idt = code & 2, ldt = !idt && (code & SEL_TI);
    unsigned width = idt && cpu_long_mode(cpu) ? 16 : 8, at = (code >> 3 & 0x1fff) * width;
    uint64_t base = idt ? cpu->idt.base : ldt ? cpu->seg[S_LDTR].base : cpu->gdt.base;
    uint32_t limit = idt ? cpu->idt.limit : ldt ? cpu->seg[S_LDTR].limit : cpu->gdt.limit;
    const char *table = idt ? "IDT" : ldt ? "LDT" : "GDT";
    struct descriptor d;
    uint8_t raw[8];

    if (at + width - 1 > limit || (ldt && !(cpu->seg[S_LDTR].attr & ATTR_P))) {
        snprintf(text, size, "beyond the limit %" PRIx32 " of the %s", limit, table);
        return;
    }
    if (read_quietly(cpu, base + at, raw, sizeof(raw)) < sizeof(raw)) {
        snprintf(text, size, "the %s is not mapped", table);
        return;
    }
    desc_parse(&d, (uint32_t)load_le(raw, 4), (uint32_t)load_le(raw + 4, 4));
    snprintf(text, size, "%s descriptor %08" PRIx32 "%08" PRIx32 ", %s type %x, DPL %u%s%s", table, d.hi,
             d.lo, d.attr & ATTR_S ? "segment" : "system", desc_type(&d), desc_dpl(&d),
             d.attr & ATTR_P ? "" : ", not present",
             !idt && cpu_long_mode(cpu) && !(~d.attr & (ATTR_L | ATTR_DB)) ? ", L and D set" : "");
}

static void report_selector(struct cpu *cpu, unsigned vector, uint32_t code)
{
    static const char *const name[] = { [EX_TS] = "TS", [EX_NP] = "NP", [EX_SS] = "SS", [EX_GP] = "GP" };
    char text[120];

    describe_selector(cpu, code, text, sizeof(text));
    strict_report(cpu, STRICT_SELECTOR, vector,
                  "%s %04" PRIx32 " at CPL %u: %s: #%s(%04" PRIx32 ") delivered",
                  code & 2 ? "vector" : "selector", code & 2 ? code >> 3 & 0xff : code & 0xfffc, cpu_cpl(cpu),
                  text, name[vector], code);
}

/* ---- instructions that the processor's state does not allow ---- */

/* Why `insn` raises #UD or #NM; NULL: it is not the state's doing, or it is what operating systems wait for
 * (#NM by CR0.TS). */
static const char *refused_by(const struct cpu *cpu, const struct opcode *row, unsigned vector)
{
    bool em = cpu->cr0 & CR0_EM;

    if (vector == EX_NM)
        return em ? "CR0.EM is set" : NULL;
    if (row->feature > FEAT_486 && !cpu_has(cpu, row->feature))
        return "the processor does not have it";
    if ((row->flags & OPF_AVX) && !(cpu->mode & MODE_AVX))
        return "CR4.OSXSAVE or XCR0[2:1] is clear";
    if ((row->flags & (OPF_SSE | OPF_MMX)) && em)
        return "CR0.EM is set";
    if ((row->flags & OPF_SSE) && !(cpu->cr4 & CR4_OSFXSR))
        return "CR4.OSFXSR is clear";
    return NULL;
}

static void report_refused(struct cpu *cpu, unsigned vector)
{
    uint8_t code[INSN_MAX_LEN] = { 0 };
    uint64_t pc = cpu->code_base + current_ip(cpu);
    const char *why;
    struct insn insn;
    unsigned n = read_quietly(cpu, cpu_code64(cpu) ? pc : (uint32_t)pc, code, sizeof(code));

    if (insn_decode(&insn, code, n, cpu_code_bits(cpu)) != DECODE_OK)
        return;
    why = refused_by(cpu, insn.row, vector);
    if (why)
        strict_report(cpu, STRICT_STATE, vector, "%s: %s: #%s delivered", insn.row->mnemonic, why,
                      vector == EX_NM ? "NM" : "UD");
}

void strict_exception(struct cpu *cpu, unsigned vector, uint32_t code)
{
    if (!rules(cpu))
        return;
    if (vector >= EX_TS && vector <= EX_GP && (code & 0xfffe))
        report_selector(cpu, vector, code);
    else if (vector == EX_UD || vector == EX_NM)
        report_refused(cpu, vector);
}
