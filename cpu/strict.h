/* The strict log (-d strict, -d uninit): what the guest did that works here by luck and fails, or may fail,
 * on hardware. Private to cpu/.
 *
 * cpu->strict is NULL unless one of the items is on when the processor is created; every function returns at
 * once then. While it is on, no memory access takes the fast path and no block finds its successor by itself,
 * so that each comes by here. What the guest sees is the same as without. A report is one line, `strict:
 * CS:IP ...`, once for each kind and place; the table of places is bounded and says when it is full. */
#ifndef MIMUS_CPU_STRICT_H
#define MIMUS_CPU_STRICT_H

#include "cpu/sys.h"
#include "cpu/walk.h"

enum strict_kind {
    STRICT_STALE,    /* a translation was changed and not invalidated */
    STRICT_SEGMENT,  /* limit, null selector, rights */
    STRICT_SELECTOR, /* what a selector or a gate names */
    STRICT_RESERVED, /* reserved bits */
    STRICT_MSR,      /* a register that is not there, or not for writing */
    STRICT_STATE,    /* an instruction that the state of CR0, CR4 or the model does not allow */
    STRICT_UNINIT,   /* RAM that nobody has written */
    STRICT_PAGING,   /* reserved bits of paging entries */
};

/* Does what the log asks for: sets cpu->strict. */
void strict_init(struct cpu *cpu);
void strict_free(struct cpu *cpu);

/* One line, unless `kind` was reported at this instruction with this `detail`. */
void strict_report(struct cpu *cpu, enum strict_kind kind, uint64_t detail, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, once for each `place` wherever the instruction is. */
void strict_report_place(struct cpu *cpu, enum strict_kind kind, uint64_t place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- translations (strict_tlb.c): SDM vol. 3, 4.10 ---- */

/* Before each use of a translation, faulting ones too. */
void strict_use(struct cpu *cpu, uint64_t linear, enum mmu_access acc, unsigned mmu);
/* A page fault at `linear` with this error code is about to be raised; it invalidates too (4.10.4.1). */
void strict_page_fault(struct cpu *cpu, uint64_t linear, uint32_t error);
/* Invalidations as the guest asked for them: all; those of a PCID that are not global; one page of a PCID,
 * `global`: also if it is a global one; INVLPG. */
void strict_flush(struct cpu *cpu);
void strict_flush_pcid(struct cpu *cpu, unsigned pcid);
void strict_flush_page(struct cpu *cpu, uint64_t linear, unsigned pcid, bool global);
void strict_invlpg(struct cpu *cpu, uint64_t linear);
void strict_invpcid(struct cpu *cpu, unsigned type, unsigned pcid, uint64_t linear);
/* CR3 := value: drops what was cached for the PCID unless bit 63 says no. After the write. */
void strict_cr3(struct cpu *cpu, uint64_t value);

/* ---- RAM never written ---- */

/* A read of `size` bytes within one page, or the fetch of an instruction that begins there. */
void strict_read(struct cpu *cpu, uint64_t linear, uint64_t phys, unsigned size, bool fetch);

/* ---- values and descriptors ---- */

/* Bits of `value` in `bad` are reserved. `faults`: #GP(0) follows; else they are ignored. */
void strict_reserved(struct cpu *cpu, const char *what, uint64_t value, uint64_t bad, bool faults);
/* An EFLAGS image that POPF or IRET takes. */
void strict_eflags(struct cpu *cpu, uint32_t value);
/* RDMSR or WRMSR ends in #GP(0), `why`. */
void strict_msr(struct cpu *cpu, uint32_t index, bool write, const char *why);
/* WRMSR whose value has no effect. */
void strict_msr_ignored(struct cpu *cpu, uint32_t index, uint64_t value, uint64_t ignored);
/* An access at offset `ea` that segment `seg` does not allow: #SS(0) or #GP(0) follows. */
void strict_segment(struct cpu *cpu, unsigned seg, uint64_t ea);
/* A far transfer pushes or pops at `offset`, and the stack segment has [lo, hi]: #SS follows. */
void strict_stack(struct cpu *cpu, uint64_t offset, uint64_t lo, uint64_t hi);
/* The instruction pointer `ip` is beyond `limit`, that of code segment `selector`: #GP(0) follows. */
void strict_code_limit(struct cpu *cpu, uint16_t selector, uint32_t limit, uint64_t ip);
/* A descriptor that becomes segment register `seg`. */
void strict_descriptor(struct cpu *cpu, unsigned seg, uint16_t selector, const struct descriptor *d);
/* A gate of the IDT that is entered; `upper`: its second half in long mode. */
void strict_gate(struct cpu *cpu, unsigned vector, const struct descriptor *gate, uint64_t upper);
/* An exception is about to be raised. */
void strict_exception(struct cpu *cpu, unsigned vector, uint32_t code);

#endif
