/* What the files of the system instructions share: descriptors, stacks, models. Private to cpu/. */
#ifndef MIMUS_CPU_SYS_H
#define MIMUS_CPU_SYS_H

#include "cpu/features.h"
#include "cpu/state.h"

/* Types of system descriptors, SDM vol. 3, table 3-2. */
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
    SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS = 9, SYS_TSS_BUSY = 11, SYS_CALL = 12,
    SYS_INT = 14, SYS_TRAP = 15,
};
#define SYS_BUSY 2
#define SEL_RPL 3
#define SEL_TI 4

/* The error code that names a selector, without its EXT bit. */
static inline uint32_t sel_error(uint16_t selector) { return selector & 0xfffc; }
static inline bool sel_null(uint16_t selector) { return !(selector & 0xfffc); }

/* ---- descriptors (segment.c) ---- */

struct descriptor {
    uint64_t addr;      /* linear address */
    uint64_t base;      /* of a segment; 64 bits for LDT and TSS in long mode */
    uint32_t limit;     /* of a segment, in bytes */
    uint32_t lo, hi;    /* as in memory */
    uint16_t attr;      /* as in struct segment */
};

static inline unsigned desc_dpl(const struct descriptor *d) { return (d->attr & ATTR_DPL) >> ATTR_DPL_SHIFT; }
static inline unsigned desc_type(const struct descriptor *d) { return d->attr & ATTR_TYPE; }
static inline bool desc_is_code(const struct descriptor *d)
{
    return (d->attr & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE);
}
static inline bool desc_conforming(const struct descriptor *d) { return d->attr & ATTR_C; }
static inline uint16_t gate_selector(const struct descriptor *d) { return (uint16_t)(d->lo >> 16); }
static inline uint32_t gate_offset(const struct descriptor *d)
{
    return (d->lo & 0xffff) | (d->hi & 0xffff0000);
}

/* Read the 8-byte descriptor that a non-null selector names. False: outside its table. */
bool desc_read(struct cpu *cpu, uint16_t selector, struct descriptor *d);
/* The upper half of a 16-byte descriptor of long mode; raises #GP(selector) when it is outside or its type is
 * not 0. */
uint32_t desc_read_upper(struct cpu *cpu, uint16_t selector, const struct descriptor *d);
/* Would desc_read_upper() accept it? */
bool desc_upper_valid(struct cpu *cpu, uint16_t selector, const struct descriptor *d);
/* Split a descriptor's two words. */
void desc_parse(struct descriptor *d, uint32_t lo, uint32_t hi);
/* Set the accessed bit, in memory and in d. */
void desc_set_accessed(struct cpu *cpu, struct descriptor *d);
void desc_set_busy(struct cpu *cpu, uint16_t selector, bool busy);
/* Raise what desc_set_busy() would raise. */
void desc_probe_busy(struct cpu *cpu, uint16_t selector);
/* Load a segment register from an already checked descriptor. */
void seg_set_desc(struct cpu *cpu, unsigned seg, uint16_t selector, const struct descriptor *d);
void seg_set_null(struct cpu *cpu, unsigned seg, uint16_t selector);
/* ES, DS, FS, GS in protected mode with all checks; a bad selector raises `vector`. */
void seg_load_data(struct cpu *cpu, unsigned seg, uint16_t selector, unsigned vector);
/* Accepted effective addresses of a segment with these attributes. */
void seg_bounds(struct segment *s);
/* LDTR and TR. Raise what LLDT and LTR raise, with exception `vector` for a bad selector. */
void seg_load_ldt(struct cpu *cpu, uint16_t selector, unsigned vector);
void seg_load_tr(struct cpu *cpu, uint16_t selector);
/* On a return to an outer level: data segments that `cpl` may not use become null. */
void seg_drop_inner(struct cpu *cpu, unsigned cpl);
/* Data segments keep their limits when protection is turned off; unusable ones get 64 KiB. */
void seg_enter_real(struct cpu *cpu);
/* Checks of an SS that becomes the stack of level `cpl`: raises `vector` (selector | ext), #SS when not
 * present. */
void seg_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, unsigned vector, unsigned ext,
                     struct descriptor *d);
/* CS as a code segment for level `cpl`: the RPL field becomes the level. */
void seg_commit_code(struct cpu *cpu, uint16_t selector, const struct descriptor *d, unsigned cpl);

/* ---- segments that SYSCALL, SYSENTER and their returns load by rule: no descriptor is read ---- */

enum flat_kind { FLAT_STACK, FLAT_CODE32, FLAT_CODE64 };

static inline struct segment flat_segment(uint16_t selector, unsigned cpl, enum flat_kind kind)
{
    uint16_t attr = (uint16_t)(ATTR_P | ATTR_S | ATTR_A | ATTR_G | cpl << ATTR_DPL_SHIFT);
    bool code = kind != FLAT_STACK;

    attr |= (uint16_t)(code ? ATTR_CODE | ATTR_R : ATTR_W) | (kind == FLAT_CODE64 ? ATTR_L : ATTR_DB);
    return (struct segment){ .read_hi = UINT32_MAX, .write_lo = code ? UINT64_MAX : 0,
                             .write_hi = code ? 0 : UINT32_MAX, .limit = UINT32_MAX, .selector = selector,
                             .attr = attr };
}

/* Flags that SYSRET loads, SDM vol. 2. */
#define SYSRET_FLAGS \
    (uint32_t)(IR_FLAGS6 | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_VIF | FL_VIP | FL_ID)

/* ---- the stack of a far transfer (stack.c) ---- */

/* A stack pointer that is moved before anything is committed. */
struct stack {
    struct cpu *cpu;
    uint64_t base;
    uint64_t sp;
    uint64_t mask;         /* width of the stack pointer */
    uint64_t lo, hi;       /* accepted offsets */
    bool super;            /* supervisor rights: the stack of an inner level */
    uint32_t error;        /* code of #SS */
};

/* The stack in use, for pushes (write) or pops. */
void stack_current(struct stack *s, struct cpu *cpu, bool write, uint32_t error);
/* The stack of SS descriptor `d` at inner level `cpl`. */
void stack_inner(struct stack *s, struct cpu *cpu, const struct descriptor *d, uint64_t sp, uint32_t error);
/* A flat 64-bit stack for level `cpl`. */
void stack_flat(struct stack *s, struct cpu *cpu, unsigned cpl, uint64_t sp, uint32_t error);
/* #SS unless `count` items of `size` bytes can be pushed. Far transfers look at this before they look at their
 * target's offset. */
void stack_check_room(const struct stack *s, unsigned size, unsigned count);
void stack_push(struct stack *s, uint64_t value, unsigned size);
uint64_t stack_pop(struct stack *s, unsigned size);
/* (R/E)SP := the moved pointer, at its width. */
void stack_commit(const struct stack *s);

/* Where the TSS says the stack of inner level `cpl` is. Raises #TS. */
void tss_stack(struct cpu *cpu, unsigned cpl, unsigned ext, uint16_t *ss, uint64_t *sp);
/* Long mode: RSP of level `cpl` (ist 0) or IST entry 1..7. */
uint64_t tss_stack64(struct cpu *cpu, unsigned cpl, unsigned ist, unsigned ext);

/* ---- transfers (far.c, deliver.c, task.c) ---- */

enum far_kind { FAR_JMP, FAR_CALL };
void far_transfer(struct cpu *cpu, enum far_kind kind, uint16_t selector, uint64_t offset, unsigned size,
                  uint64_t next);
void far_return(struct cpu *cpu, unsigned size, unsigned drop);
void far_iret(struct cpu *cpu, unsigned size, uint64_t next);

enum int_kind { INT_N, INT_3_O, INT_1 };
/* INT n, INT3 / INTO, INT1 with the address of the next instruction. */
void deliver_soft(struct cpu *cpu, unsigned vector, enum int_kind kind, uint64_t next);

enum task_reason { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };
/* Switch to the task of TSS `selector`, whose descriptor `d` was checked for type and privilege; `next` is
 * the instruction pointer to save. From the point of no return on, faults belong to the new task. */
void task_switch(struct cpu *cpu, uint16_t selector, const struct descriptor *d, enum task_reason reason,
                 uint64_t next);
/* Read and check the TSS descriptor behind a task gate; raises #GP(selector | ext), #NP. */
void task_gate_target(struct cpu *cpu, const struct descriptor *gate, unsigned ext, uint16_t *selector,
                      struct descriptor *d);
/* Push an exception's error code on the new task's stack. */
void task_push_error(struct cpu *cpu, uint32_t code);

/* ---- I/O permission map and virtual interrupts (iocheck.c) ---- */

/* CR4.VME in v86 mode: does INT n go to the v86 program's own table? */
bool int_redirected(struct cpu *cpu, unsigned vector);
/* Behind an instruction that has entered v86 mode: #GP(0) at the next one, whose address rip holds, if a virtual
 * interrupt is pending and enabled. */
void check_virtual_interrupt(struct cpu *cpu);

/* ---- control registers and MSRs (control.c, msr.c) ---- */

void cpu_write_cr0(struct cpu *cpu, uint64_t value);
void cpu_write_cr3(struct cpu *cpu, uint64_t value);
void cpu_write_cr4(struct cpu *cpu, uint64_t value);
uint64_t cpu_cr4_writable(const struct cpu *cpu);   /* bits that the model has */
uint64_t cpu_read_msr(struct cpu *cpu, uint32_t index);              /* raises #GP(0) */
void cpu_write_msr(struct cpu *cpu, uint32_t index, uint64_t value); /* raises #GP(0) */

/* ---- state components of XSAVE beyond x87 and SSE (helper_xstate.c) ---- */

/* In ascending order of bits. Sizes are multiples of 8, and in the compacted format each stands behind the
 * one before. */
struct xstate_component {
    uint32_t bit;       /* XCR0_* */
    uint8_t feature;
    uint16_t offset;    /* in the standard format */
    uint16_t size;
};
extern const struct xstate_component xstate_components[];
extern const unsigned xstate_num_components;
/* Bits of XCR0 that the model has; 0 without XSAVE. */
uint64_t xstate_supported(const struct cpu *cpu);
/* Bytes of an area for the components of `mask`. */
unsigned xstate_size(uint64_t mask, bool compact);

/* ---- models (models.c) ---- */

enum cpu_vendor { VENDOR_INTEL, VENDOR_AMD };

struct cpu_model {
    const char *name;
    const char *brand;          /* leaves 80000002..4; NULL: none */
    enum cpu_vendor vendor;
    uint8_t family, model, stepping;
    uint8_t max_basic;
    uint32_t max_extended;      /* 0: no extended leaves */
    const uint8_t *features;    /* enum cpu_feature, ends with FEAT_NONE */
};

/* What -cpu asks for. */
struct cpu_spec {
    const struct cpu_model *model;
    struct cpu_features features;
    char note[500];             /* a line that names features that went with one switched off, "": none */
};

/* NAME[,+feature][,-feature][,feature=on|off]... -EINVAL with the
 * reason for an unknown word and for a feature without what it needs. */
int cpu_spec_parse(struct cpu_spec *s, const char *text, struct error *err);

/* CPUID.1:EAX, also EDX after reset. */
uint32_t cpu_signature(const struct cpu_model *m);

#endif
