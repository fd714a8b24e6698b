/* struct cpu: everything the guest processor is. Private to cpu/. */
#ifndef MIMUS_CPU_STATE_H
#define MIMUS_CPU_STATE_H

#include <setjmp.h>
#include <stdatomic.h>

#include "base/bits.h"
#include "base/log.h"
#include "cpu/cpu.h"
#include "cpu/features.h"
#include "memory/memory.h"
#include "tcg/tcg.h"

enum { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI };        /* GPR numbers */
enum seg_reg { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS, S_NUM, S_LDTR = 6, S_TR, S_ALL };

/* EFLAGS. The six arithmetic flags (IR_FLAGS6) live in cpu->fl, the rest in cpu->eflags. */
enum {
    FL_CF = 1 << 0, FL_PF = 1 << 2, FL_AF = 1 << 4, FL_ZF = 1 << 6, FL_SF = 1 << 7,
    FL_TF = 1 << 8, FL_IF = 1 << 9, FL_DF = 1 << 10, FL_OF = 1 << 11, FL_IOPL = 3 << 12,
    FL_NT = 1 << 14, FL_RF = 1 << 16, FL_VM = 1 << 17, FL_AC = 1 << 18, FL_VIF = 1 << 19,
    FL_VIP = 1 << 20, FL_ID = 1 << 21,
};
enum {
    CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_ET = 1 << 4, CR0_NE = 1 << 5,
    CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29, CR0_CD = 1 << 30,
};
#define CR0_PG UINT32_C(0x80000000)
enum {
    CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6, CR4_PGE = 1 << 7, CR4_PCE = 1 << 8, CR4_OSFXSR = 1 << 9, CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11, CR4_LA57 = 1 << 12, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21, CR4_PKE = 1 << 22,
};
/* State components of XCR0 and IA32_XSS (SDM vol. 1, 13.1). */
enum { XCR0_X87 = 1 << 0, XCR0_SSE = 1 << 1, XCR0_AVX = 1 << 2, XCR0_PKRU = 1 << 9 };
enum { EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11 };

/* Exception vectors. */
enum {
    EX_DE = 0, EX_DB = 1, EX_NMI = 2, EX_BP = 3, EX_OF = 4, EX_BR = 5, EX_UD = 6, EX_NM = 7, EX_DF = 8,
    EX_TS = 10, EX_NP = 11, EX_SS = 12, EX_GP = 13, EX_PF = 14, EX_MF = 16, EX_AC = 17, EX_MC = 18, EX_XM = 19,
};

/* Mode bits (cpu->mode): all of the state that the translation of an
 * instruction may depend on, recomputed by cpu_update_mode() whenever a part of it changes. */
enum cpu_mode {
    MODE_CODE32 = 1 << 0,   /* CS.D = 1, not 64-bit code */
    MODE_CODE64 = 1 << 1,   /* CS.L = 1 in long mode */
    MODE_SS32 = 1 << 2,     /* SS.B = 1 (stack pointer width outside 64-bit code) */
    MODE_PE = 1 << 3,
    MODE_VM = 1 << 4,
    MODE_LMA = 1 << 5,      /* long mode active (64-bit or compatibility) */
    MODE_CPL = 3 << 6,      /* shift MODE_CPL_SHIFT */
    MODE_IOPL = 3 << 8,
    MODE_FLAT_CS = 1 << 10, /* base 0, limit 4 GiB (or 64-bit code) */
    MODE_FLAT_DS = 1 << 11, /* base 0, limit 4 GiB, expand-up, readable and writable */
    MODE_FLAT_ES = 1 << 12,
    MODE_FLAT_SS = 1 << 13,
    MODE_TF = 1 << 14,      /* single step: blocks of one instruction, then #DB */
    MODE_SHADOW = 1 << 15,  /* interrupt shadow of STI / MOV SS: one instruction without interrupts, then clears */
    MODE_EM = 1 << 16,      /* CR0.EM */
    MODE_TS = 1 << 17,      /* CR0.TS */
    MODE_MP = 1 << 18,      /* CR0.MP */
    MODE_OSFXSR = 1 << 19,  /* CR4.OSFXSR */
    MODE_AC = 1 << 20,      /* alignment is checked: CR0.AM, EFLAGS.AC, CPL 3 */
    MODE_XM = 1 << 21,      /* an SSE exception is unmasked in MXCSR */
    MODE_DR = 1 << 22,      /* a code breakpoint is enabled in DR7: blocks of one instruction with a check */
    MODE_RF = 1 << 23,      /* EFLAGS.RF is set: a block of one instruction, which suppresses a code breakpoint, then clears RF */
    MODE_VME = 1 << 24,     /* CR4.VME (v86) or CR4.PVI (protected mode) matters for CLI, STI, PUSHF... */
    MODE_AVX = 1 << 25,     /* CR4.OSXSAVE is set and XCR0 enables SSE and AVX state */
    MODE_SMAP = 1 << 26,    /* supervisor accesses to user pages fault: CR4.SMAP, CPL < 3, EFLAGS.AC clear */
    MODE_SMM = 1 << 27,     /* system management mode */
    MODE_LA57 = 1 << 28,    /* linear addresses of long mode have 57 bits: CR4.LA57 */
    MODE_ALONE = 1 << 29,   /* only in the key of a block: one instruction, which comes back to the run loop */
};
/* What control registers, MSRs, DR7 and MXCSR decide. */
#define MODE_OF_CONTROL \
    (MODE_LMA | MODE_EM | MODE_TS | MODE_MP | MODE_OSFXSR | MODE_XM | MODE_DR | MODE_AVX | MODE_LA57)
/* The segments of 64-bit code. */
#define MODE_OF_CODE64 (MODE_CODE64 | MODE_FLAT_CS | MODE_FLAT_DS | MODE_FLAT_ES | MODE_FLAT_SS)
/* Modes in which the run loop has something to do after every instruction. */
#define MODE_STEPPED (MODE_TF | MODE_SHADOW | MODE_DR)
#define MODE_CPL_SHIFT 6
#define MODE_IOPL_SHIFT 8

/* Software TLB sets, by the rights of the access: level 3; levels below it; these with CR4.SMAP in force, to which
 * pages of the user are closed. */
enum cpu_mmu { MMU_SUPER, MMU_USER, MMU_SMAP, MMU_NUM };
/* Programs walk through more memory than a kernel, whose sets would only be colder in the host's caches. */
#define TLB_USER_MASK (TCG_TLB_SIZE - 1)
#define TLB_SUPER_MASK 4095u
#define TLB_WORDS (TCG_TLB_SIZE / 64)  /* with a bit for each entry of a set */
#define TLB_GROUPS (TLB_WORDS / 64)    /* with a bit for each of these words */

/* Segment register with its hidden part. attr holds descriptor bits 55:40 as
 * in the descriptor's high dword >> 8: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15. */
struct segment {
    uint64_t base;
    /* Accepted effective addresses, inclusive; lo > hi: none. For BOUND. */
    uint64_t read_lo, read_hi;
    uint64_t write_lo, write_hi;
    uint32_t limit;         /* in bytes, inclusive, scaled by G */
    uint16_t selector;
    uint16_t attr;
};
enum {
    ATTR_TYPE = 0xf, ATTR_A = 1, ATTR_W = 2, ATTR_R = 2, ATTR_E = 4, ATTR_C = 4, ATTR_CODE = 8,
    ATTR_S = 0x10, ATTR_DPL = 0x60, ATTR_P = 0x80, ATTR_AVL = 0x1000, ATTR_L = 0x2000, ATTR_DB = 0x4000, ATTR_G = 0x8000,
};
#define ATTR_DPL_SHIFT 5

/* Time-stamp counter frequency: one tick per virtual nanosecond. */
#define CPU_TSC_HZ INT64_C(1000000000)

struct table_reg { uint64_t base; uint16_t limit; uint16_t pad[3]; };   /* GDTR, IDTR */

union vec128 {
    uint8_t u8[16]; uint16_t u16[8]; uint32_t u32[4]; uint64_t u64[2];
    int8_t s8[16]; int16_t s16[8]; int32_t s32[4]; int64_t s64[2];
    float f32[4]; double f64[2];
} __attribute__((aligned(16)));

/* x87. st[] is physical register order: ST(i) = st[(top + i) & 7]. The MMX registers are the low 64 bits. */
struct fpu {
    union fpu_reg { struct { uint64_t mant; uint16_t exp; uint16_t pad[3]; }; uint64_t mmx; } st[8] __attribute__((aligned(16)));
    uint16_t cw;        /* FCW */
    uint16_t sw;        /* FSW without TOP (bits 13:11 are zero here) */
    uint8_t top;        /* 0..7 */
    uint8_t empty;      /* bit i set: physical register i is empty */
    uint8_t pending;    /* an unmasked exception waits and CR0.NE is set: the next waiting instruction raises #MF */
    uint8_t live;       /* enum tcg_x87_live: st, sw, top and empty are in the host's unit (x87_live.c); 0: here */
    uint16_t fip_off;   /* FIP = fip + fip_off; then fop, fcs, fds, so that one store writes two or all of them */
    uint16_t fop;
    uint16_t fcs, fds;
    uint64_t fip, fdp;
};
/* FIP is the sum of two fields. */
static inline uint64_t fpu_ip(const struct fpu *f) { return f->fip + f->fip_off; }
static inline void fpu_set_ip(struct fpu *f, uint64_t ip)
{
    f->fip = ip;
    f->fip_off = 0;
}

/* Entries of the caches of last-level page tables and of large pages; powers of 2. */
#define CPU_LEAF_TABLES 64
#define CPU_LARGE_PAGES 64

#define CPU_JUMP_FILTER 16384
#define CPU_LOCAL_JUMPS 256

/* Address spaces that are kept beside the current one, and how much of each (spaces.c). */
#define CPU_SPACES 6
#define CPU_KEPT_PAGES 256

/* An entry of TLB set `mmu`, with its place there. */
struct kept_page { struct tcg_tlb_entry e; uint64_t phys; uint16_t slot; uint8_t mmu, key; };
/* Of the jump cache: the epoch of its programs, and the pages that have entries. */
struct kept_jumps { uint32_t epoch; uint64_t filter[CPU_JUMP_FILTER / 64]; };
struct kept_space {
    uint64_t cr3;                   /* with the PCID */
    struct kept_jumps jumps;
    uint32_t pkru;                  /* under which the pages were entered */
    bool valid;
    uint16_t pages;
    struct kept_page page[CPU_KEPT_PAGES];
};

/* Banks of machine check registers. */
#define CPU_MC_BANKS 4

struct mtrr_state { uint64_t cap_fixed[11]; uint64_t base[8], mask[8]; uint64_t def_type; };

struct cpu {
    /* Hot fields first: translated code reaches them with 8-bit displacements. */
    uint64_t gpr[16];
    uint64_t rip;                   /* instruction pointer (offset in CS); in translated code that of the page */
    union {
        struct {
            uint32_t mode;          /* enum cpu_mode */
            uint32_t jump_epoch;    /* that of the level, jumps_set_mode() */
        };
        uint64_t jump_key;          /* of the entries of the jump cache that are good in this mode */
    };
    uint32_t exit_request;          /* not 0: leave translated code at the next block; atomic */
    uint32_t pkru;
    uint64_t code_base;             /* CS.base, 0 in 64-bit code */
    struct tcg_flags fl;
    uint32_t eflags;                /* the rest of EFLAGS; bit 1 set, arithmetic bits 0 */
    uint32_t mxcsr_run;             /* MXCSR in translated code: masks all set, flags sticky */
    uint64_t host_pc;
    int64_t budget;                 /* opt.counted: instructions of the slice that may still begin */
    struct segment seg[S_ALL];      /* + LDTR, TR */
    uint64_t spill[TCG_NUM_SPILL];
    union vec128 xmm[16];
    union vec128 vtmp[4];           /* operands of vector operations */
    union vec128 ymmh[16];          /* bits 255:128 of the YMM registers */
    union vec128 vtmph[4];          /* and of the operands, at the same distance */
    struct fpu fpu;
    uint32_t mxcsr;                 /* control and mask bits as the guest wrote them; flags: OR of both words */
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t xcr0, xss;
    struct table_reg gdt, idt;
    uint64_t dr[8];
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_offset, tsc_adjust, tsc_aux, misc_enable;
    uint64_t mcg_status, mcg_ctl, mc_ctl[CPU_MC_BANKS];
    struct mtrr_state mtrr;
    uint64_t a20_mask;              /* ANDed to physical addresses */
    uint64_t pdpte[4];              /* PAE page-directory-pointer registers, loaded with CR3 */

    /* Exception in flight (between raise and delivery). */
    struct { uint8_t vector; bool has_code; bool soft; uint8_t soft_len; uint32_t code; uint64_t cr2; } ex;
    int delivering;                 /* vector being delivered (for double faults), -1: none */
    uint8_t nmi_blocked, halted /* enum cpu_halt */, shutdown, pad0;
    const uint8_t *monitor_line;    /* 64 bytes that MONITOR watches, NULL: nothing */
    uint8_t monitor_copy[64];       /* their contents at that time */
    uint32_t smbase;
    struct mem_space *other_memory; /* the address space in SMM, and in it the one outside; NULL: the same */
    jmp_buf *fault_jmp;             /* where a raised exception goes */

    /* Threads: requests from outside (enum cpu_pin and REQ_*). */
    _Atomic uint32_t pins;
    _Atomic uint32_t requests;
    _Atomic uint32_t sleeping;      /* waits for wait_cond, or is about to look at the pins and then wait */
    _Atomic uint32_t awaits_sipi;   /* since INIT or a reset; the next start-up message counts */
    _Atomic uint32_t sipi_vector;   /* of CPU_PIN_SIPI */
    pthread_mutex_t wait_lock;
    pthread_cond_t wait_cond;
    pthread_t thread;
    bool thread_known;
    struct cpu_group *group;        /* this and the other processors of the machine (smp.h) */
    _Atomic uint32_t where;         /* enum cpu_where */
    _Atomic uint32_t sync_wanted, sync_done;    /* tickets of cpu_sync_others() */
    uint32_t generation;            /* of the translations that the jump cache and chains refer to */
    bool exclusive;                 /* all others stand while this instruction runs */
    bool turn;                      /* others wait until this one enters a block (smp.h) */
    bool exclusive_next;            /* the next block, of one instruction, is to run so */

    struct cpu_bus bus;
    struct cpu_options opt;
    struct tcg *tcg;
    uint8_t *page_flags;            /* memory_page_flags() */
    const uint64_t *code_map;       /* memory_code_map() */
    const uint8_t *ram_start;       /* memory_host() of offset 0 */
    uint8_t quiet_flags;            /* of a page with code where stores beside it need no barrier */
    const struct cpu_model *model;
    struct cpu_features features;   /* what CPUID shows and the opcode rows ask for */
    uint32_t host_isa;              /* enum tcg_host_isa: the host's extensions that helpers may use */
    struct log *log;
    struct strict *strict;          /* of -d strict and -d uninit; NULL: neither */
    bool one_insn_next;             /* the next block is to be translated as a single instruction, not entered in the cache */
    struct tcg_block *hot_next;     /* found hot: to be translated anew when it is entered next; NULL: none */
    bool in_block;                  /* translated code is on the stack: a raised exception is located by its block */
    uint8_t dr6_pending;            /* B0..B3 of data and I/O breakpoints that the instruction just executed has hit */
    uint8_t ss_shadow;              /* the instruction just executed loaded SS: no #DB before the next one is complete */
    bool no_step;                   /* an event was delivered by the instruction itself: no single-step trap after it */
    bool stepped;                   /* the block of a stepped mode has begun: it did not leave at its entry for a request */
    bool rep_partial;               /* rip stands at a repeated string instruction that has done some of its elements */
    bool paused;                    /* opt.counted: the block just run ended with PAUSE */
    uint16_t poll_skip, poll_backoff; /* so many halts more, and after the next vain look, that sleep without looking */
    uint32_t pauses;                /* unless opt.counted: PAUSEs so far */
    int64_t pause_since, pause_last; /* alone: when the wait at hand began, and when it was last seen to go on */
    uint64_t random;                /* opt.seeded: state of the generator */
    struct cpu_digest *digest;      /* of -d digest, the group's; NULL: not asked for */
    bool rf_loaded;                 /* the instruction itself loaded RF (IRET): it does not clear it when complete */
    uint64_t tlb_fills, tlb_flushes;
    /* Tables of the last level that walks came to, by the address bits that lead there: a cache of the paging structure
     * (SDM vol. 3, 4.10.3). What is of another generation than leaf_generation is empty. */
    struct leaf_table { uint64_t tag; uint8_t *host; uint64_t ram_off; uint32_t generation; bool user, write, exec; }
        leaf_table[CPU_LEAF_TABLES];
    uint32_t leaf_generation;
    /* The same for all of them, since a change of the paging mode flushes: address bits below the tag, size of an entry,
     * its reserved bits. */
    uint32_t leaf_shift, leaf_entry;
    uint64_t leaf_reserved;
    /* Translations of large pages in pieces of 2 MiB, entered into the TLB page by page. */
    struct large_page { uint64_t tag, phys, size; bool valid, user, write, exec, global, dirty; uint8_t key; }
        large_page[CPU_LARGE_PAGES];
    bool large_local;                               /* there may be some that a write to CR3 forgets */
    /* The range of memory that was looked at last. Stale as long as the TLB may be: until mmu_flush(cpu, true). */
    struct mem_range range;
    bool range_known;
    /* Linear ranges that cached large pages cover, lower and upper half of the address space: INVLPG there flushes all. */
    struct { uint64_t lo, hi; } tlb_large[2];
    uint64_t tlb_phys[MMU_NUM][TCG_TLB_SIZE];       /* physical page of each TLB entry */
    uint8_t tlb_key[MMU_NUM][TCG_TLB_SIZE];         /* protection key that the entry obeys, 16: none */
    /* Entries that are not empty, and those of them that survive a write to CR3. */
    uint64_t tlb_used[MMU_NUM][TLB_WORDS], tlb_global[MMU_NUM][TLB_WORDS];
    /* The words of these two where some are used, and where some of those are not global; perhaps more. */
    uint64_t tlb_some[MMU_NUM][TLB_GROUPS], tlb_local[MMU_NUM][TLB_GROUPS];
    struct kept_space space[CPU_SPACES];
    unsigned next_space;                            /* the one that gives way when all are in use */

    uint32_t heat[TCG_HEAT_SIZE];                   /* how often blocks may still be entered before they count as hot */
    /* Of the jump cache (jumps.c), [1] of level 3, [0] of the others: the epoch, and the latest that there was; by a hash
     * of the address the pages that have entries. */
    uint32_t jump_epochs[2], latest_epoch[2];
    uint64_t jump_filter[2][CPU_JUMP_FILTER / 64];
    uint64_t jump_used[TCG_JC_SIZE / 2 / 64];       /* pairs of slots that are not empty */
    /* Slots [0] has to forget at a write to CR3; when there are more than have room, it forgets all. */
    uint32_t num_local_jumps, local_jump[CPU_LOCAL_JUMPS];
    uint32_t refused_jump;                          /* note of a jump to an address that is not canonical, 0: none */
    struct tcg_jump_entry jump_cache[TCG_JC_SIZE];
    struct tcg_tlb_entry tlb[MMU_NUM][TCG_TLB_SIZE];
};
/* Why the processor does not run, and for MWAIT whether a masked interrupt wakes it. SIPI: after INIT, for a start-up
 * message. */
enum cpu_halt { HALT_NONE, HALT_HLT, HALT_MWAIT, HALT_MWAIT_MASKED, HALT_SIPI };
/* WATCH: flags of pages were set (memory/memory.h). */
enum cpu_request { REQ_FLUSH_TLB = 1, REQ_WATCH = 2, REQ_A20_ON = 4, REQ_A20_OFF = 8 };

static inline unsigned cpu_cpl(const struct cpu *cpu) { return (cpu->mode & MODE_CPL) >> MODE_CPL_SHIFT; }
static inline unsigned cpu_iopl(const struct cpu *cpu) { return (cpu->eflags >> 12) & 3; }
static inline bool cpu_long_mode(const struct cpu *cpu) { return cpu->mode & MODE_LMA; }
static inline bool cpu_code64(const struct cpu *cpu) { return cpu->mode & MODE_CODE64; }
/* Canonical in the current paging mode, SDM vol. 1, 3.3.7.1. */
static inline bool cpu_canonical(const struct cpu *cpu, uint64_t addr)
{
    return (uint64_t)bits_sext(addr, cpu->mode & MODE_LA57 ? 57 : 48) == addr;
}
/* Protected mode and not virtual-8086: selectors name descriptors. */
static inline bool cpu_protected(const struct cpu *cpu) { return (cpu->mode & (MODE_PE | MODE_VM)) == MODE_PE; }

/* ---- processors together (smp.c) ---- */
/* The machine lock. Others do not wait for this processor while it waits for the lock. */
void cpu_lock(struct cpu *cpu);
void cpu_unlock(struct cpu *cpu);
/* Something it may be sleeping for has happened. */
void cpu_wake_sleeper(struct cpu *cpu);

/* Is the line that MONITOR watches another one, or is there none? (helper_xstate.c) */
bool cpu_line_changed(const struct cpu *cpu);

/* ---- models and CPUID (models.c, cpuid.c) ---- */
const struct cpu_model *cpu_model_find(const char *name);
/* Take over the model's identity and features. */
void cpu_set_model(struct cpu *cpu, const struct cpu_model *model);
bool cpu_has(const struct cpu *cpu, unsigned feature);   /* enum cpu_feature in cpu/features.h */
/* Canonical at the widest that the processor knows: what registers that hold bases take whatever CR4.LA57. */
static inline bool cpu_canonical_base(const struct cpu *cpu, uint64_t addr)
{
    return (uint64_t)bits_sext(addr, cpu_has(cpu, FEAT_LA57) ? 57 : 48) == addr;
}
void cpu_cpuid(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* ---- state (state.c) ---- */
extern const struct tcg_guest cpu_guest;    /* the CPU struct for the translator (guest.c) */
void cpu_reset(struct cpu *cpu);            /* power-on values, SDM vol. 3 table 10-1 */
void cpu_init_signal(struct cpu *cpu);      /* INIT# */
void cpu_update_mode(struct cpu *cpu);
/* The same where nothing but EFLAGS, the level and segment registers has changed. */
void cpu_update_level(struct cpu *cpu);
/* And nothing but ES, SS and DS, in protected mode. */
void cpu_update_segments(struct cpu *cpu);
void cpu_set_cpl(struct cpu *cpu, unsigned cpl);  /* protected mode; the caller updates the mode after it */
uint32_t cpu_get_eflags(struct cpu *cpu);   /* all of EFLAGS */
void cpu_set_eflags(struct cpu *cpu, uint32_t value, uint32_t mask); /* write the bits of `mask`; the mode follows */
void cpu_set_flags6(struct cpu *cpu, uint32_t six);   /* arithmetic flags only */
uint32_t cpu_get_mxcsr(struct cpu *cpu);
void cpu_set_mxcsr(struct cpu *cpu, uint32_t value);  /* checked by the caller; also sets the host's word */
/* Within a helper that has loaded another rip: a fault from here on belongs to the instruction at rip, not to the one
 * that runs. */
void cpu_leave_block(struct cpu *cpu);
void cpu_set_pkru(struct cpu *cpu, uint32_t value);   /* WRPKRU, XRSTOR */

/* ---- exceptions (exception.c). These do not return. ---- */
_Noreturn void cpu_raise_exception(struct cpu *cpu, unsigned vector);
_Noreturn void cpu_raise_error(struct cpu *cpu, unsigned vector, uint32_t code);
_Noreturn void cpu_raise_pf(struct cpu *cpu, uint64_t linear, uint32_t code);
/* Leave translated code at the current instruction, state precise, and re-execute it as a block of its own. */
_Noreturn void cpu_restart_one(struct cpu *cpu);
/* The same while all other processors stand: cpu->exclusive is set then. */
_Noreturn void cpu_restart_exclusive(struct cpu *cpu);

/* ---- delivery (deliver.c) ---- */
/* Deliver an event through the IDT: state is at the instruction; rip is the address to be pushed. May raise
 * (nested) exceptions by the fault jump. `soft`: INT n, INT3, INTO (DPL checked); `ext`: external (EXT bit set in error codes). */
void cpu_deliver(struct cpu *cpu, unsigned vector, bool has_code, uint32_t code, bool soft, bool ext);
/* The exception in cpu->ex, with double- and triple-fault rules (SDM vol. 3 table 6-5). */
void cpu_deliver_exception(struct cpu *cpu);

/* Stop until reset. `why` is for the log. */
void cpu_enter_shutdown(struct cpu *cpu, const char *why);

/* ---- system management mode (smm.c) ---- */
/* Take an SMI at an instruction boundary; not in system management mode. */
void smm_enter(struct cpu *cpu);
/* Leave the mode; at power-on SMBASE gets its value too. */
void smm_reset(struct cpu *cpu, bool power_on);

/* DR6 bits B0..B3 of the enabled code breakpoints at `linear`; changes nothing. */
uint32_t cpu_check_code_breakpoint(const struct cpu *cpu, uint64_t linear);

/* ---- segments (segment.c) ---- */
void seg_load_real(struct cpu *cpu, unsigned seg, uint16_t selector);    /* real and v86 mode */
void seg_set_cache(struct cpu *cpu, unsigned seg, uint16_t selector, uint64_t base, uint32_t limit, uint16_t attr); /* recomputes bounds; caller updates mode */
void seg_load(struct cpu *cpu, unsigned seg, uint16_t selector);         /* MOV/POP Sreg, any mode, with all checks */

/* ---- MMU (mmu.c) ---- */
enum mmu_access { ACC_READ, ACC_WRITE, ACC_FETCH };
uint64_t mmu_load(void *env, uint64_t addr, uint32_t size, uint32_t mem);
void mmu_store(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem);
void mmu_load16(void *env, uint64_t addr, void *field, uint32_t mem);
void mmu_store16(void *env, uint64_t addr, const void *field, uint32_t mem);
/* Slow paths of ATOMIC and CAS (atomic.c): struct tcg_guest. */
uint64_t mmu_atomic(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t what);
uint64_t mmu_cas(void *env, uint64_t addr, uint64_t expected, uint64_t desired, uint32_t size, uint32_t mem);
/* A place in RAM for one atomic operation of the host on up to 16 bytes. */
struct atomic_place {
    uint8_t *host;
    uint64_t ram_off;
    bool watched;       /* somebody wants to know of writes to the page */
};
/* All that an access for writing checks, breakpoints of both directions included; raises. False: the host
 * cannot do it (I/O, ROM, across pages, misaligned for the host). mem: IR_MEM_*. */
bool mmu_atomic_begin(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem, struct atomic_place *p);
/* The operation is done. */
void mmu_atomic_end(struct cpu *cpu, const struct atomic_place *p, unsigned size);
/* A byte of a descriptor := byte <kind> value, as an implicit access; atomic while processors run at the same
 * time. */
void mmu_change_super(struct cpu *cpu, uint64_t addr, enum ir_atomic kind, uint8_t value);
/* Implicit accesses (descriptor tables, TSS, IDT): supervisor rights whatever the CPL, and no user page with
 * SMAP. */
uint64_t mmu_load_super(struct cpu *cpu, uint64_t addr, unsigned size);
void mmu_store_super(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size);
/* Pops and pushes of a far transfer on a stack of level 0 to 2: explicit, so that EFLAGS.AC opens user
 * pages. */
uint64_t mmu_load_stack(struct cpu *cpu, uint64_t addr, unsigned size);
void mmu_store_stack(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size);
/* Raise what a write (read) of [addr, addr+size) would raise; nothing is changed. Of bytes to be written also drops
 * the translations, so that no write after it restarts the instruction. mem: IR_MEM_*. */
void mmu_probe(struct cpu *cpu, uint64_t addr, uint64_t size, enum mmu_access acc, uint32_t mem);
/* Raise what a store of `size` bytes (2, 4, 8, 10, 16) that in the end stores nothing would raise, #AC included. */
void mmu_probe_store(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem);
/* Host pointer to linear address `addr` for bulk work up to the end of its page, or NULL when it is not plain RAM
 * (I/O, ROM for writes, page with code): then use mmu_load/mmu_store. Raises page faults. *room = bytes to the page's end. */
uint8_t *mmu_host(struct cpu *cpu, uint64_t addr, enum mmu_access acc, unsigned *room);
/* The same for `size` bytes that are going to be written in one page where nothing but its page flags forbids the direct
 * way, else NULL: mmu_end_told() then tells of all of them. May restart the instruction. */
struct mmu_told { uint64_t ram_off; unsigned size; };
uint8_t *mmu_begin_told(struct cpu *cpu, uint64_t addr, unsigned size, struct mmu_told *told);
void mmu_end_told(struct cpu *cpu, const struct mmu_told *told);  /* size 0: there is nothing to tell */
static inline unsigned tlb_index(unsigned mmu, uint64_t addr)
{
    return addr >> TCG_PAGE_BITS & (mmu == MMU_USER ? TLB_USER_MASK : TLB_SUPER_MASK);
}
/* Host pointer to `size` bytes (1 to a page) at linear `addr` of TLB set `mmu` where translated code may access them by
 * itself, else NULL. Raises nothing. */
static inline uint8_t *mmu_direct(struct cpu *cpu, unsigned mmu, uint64_t addr, unsigned size, bool write)
{
    const struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];
    uint64_t last_page = (addr + size - 1) >> TCG_PAGE_BITS << TCG_PAGE_BITS;

    return (write ? e->tag_write : e->tag_read) == last_page ? (uint8_t *)(uintptr_t)(addr + e->addend) : NULL;
}
/* RAM offset of code at linear `addr` for the current CPL; ~0: not RAM/ROM (I/O). Raises #PF on fetch. */
uint64_t mmu_fetch(struct cpu *cpu, uint64_t addr, const uint8_t **host);
/* Physical address of code that mmu_fetch() found to be no RAM. */
uint64_t mmu_fetch_phys(struct cpu *cpu, uint64_t addr);
/* Would a fetch at `addr` succeed? Raises nothing. */
bool mmu_may_fetch(struct cpu *cpu, uint64_t addr);
/* The RAM offset of code at `addr` if the current level may fetch it, and it is in RAM or ROM. Raises nothing. */
bool mmu_try_fetch(struct cpu *cpu, uint64_t addr, uint64_t *ram_off);
/* The page of `addr`, which was fetched from just now: does its translation survive a write to CR3? */
bool mmu_code_is_global(const struct cpu *cpu, uint64_t addr);
/* The page of RAM at `ram_off` is about to be translated: from now on its writes are noticed. Called in the run loop;
 * may let others' requests through. */
void mmu_watch_code(struct cpu *cpu, uint64_t ram_off);
/* The range of physical memory that holds `phys`: mem_space_find(), which readers share, without going there each time. */
static inline const struct mem_range *mmu_range(struct cpu *cpu, uint64_t phys)
{
    if (!cpu->range_known || phys < cpu->range.start || phys > cpu->range.last) {
        cpu->range = mem_space_find(cpu->bus.memory, phys);
        cpu->range_known = true;
    }
    return &cpu->range;
}
/* Take back the direct way of storing to pages that have got a flag. */
void mmu_revoke_stores(struct cpu *cpu);
/* The same for an entry of the TLB that was out of its reach. */
void mmu_check_stores(struct cpu *cpu, struct tcg_tlb_entry *e);
/* RAM at `ram_off`, `size` bytes of one page, was stored to by another way than mmu_store(), maybe where blocks are. */
void mmu_code_stored(struct cpu *cpu, uint64_t ram_off, unsigned size);
/* The translator's cache was emptied: forget entry points. */
void mmu_forget_blocks(struct cpu *cpu);
void mmu_init(struct cpu *cpu);                      /* of a new processor: nothing is cached */
/* global: also global pages and the spaces that are kept. */
void mmu_flush(struct cpu *cpu, bool global);
void mmu_invlpg(struct cpu *cpu, uint64_t addr);
bool mmu_try_load_pdptes(struct cpu *cpu, uint64_t cr3); /* as below; false instead of #GP(0) */
void mmu_load_pdptes(struct cpu *cpu, uint64_t cr3); /* PAE outside long mode; raises #GP(0) on reserved bits, changing nothing */
/* Protection keys whose rights in PKRU are other than they were: drop what was cached under them. */
void mmu_keys_changed(struct cpu *cpu, uint32_t old_pkru);
/* The set of the current level's accesses, and that of implicit supervisor accesses (SDM vol. 3, 4.6.1). */
static inline unsigned cpu_mmu_set(const struct cpu *cpu)
{
    return cpu_cpl(cpu) == 3 ? MMU_USER : cpu->mode & MODE_SMAP ? MMU_SMAP : MMU_SUPER;
}
static inline unsigned cpu_mmu_set_implicit(const struct cpu *cpu)
{
    return cpu->cr4 & CR4_SMAP ? MMU_SMAP : MMU_SUPER;
}

/* ---- spaces of other PCIDs (spaces.c) ---- */
/* A write to CR3 with CR4.PCIDE set: sets cpu->cr3. keep: what is cached for the new PCID may stay. */
void spaces_switch(struct cpu *cpu, uint64_t cr3, bool keep);
/* Nothing is kept any more of `pcid`, which is not the current one; of any. */
void spaces_forget(struct cpu *cpu, unsigned pcid);
void spaces_forget_all(struct cpu *cpu);

/* ---- the jump cache (jumps.c) ---- */
/* Set the mode, and the epoch of its level. One store: the next look-up reads both at once, and would wait for two. */
static inline void jumps_set_mode(struct cpu *cpu, uint32_t mode)
{
    cpu->jump_key = (uint64_t)cpu->jump_epochs[(mode & MODE_CPL) == MODE_CPL] << 32 | mode;
}
void jumps_flush(struct cpu *cpu, bool global);      /* global: also entries in global pages */
/* Put away what programs of this address space have, and fetch it, instead of what is there, if nothing was forgotten
 * meanwhile. */
void jumps_keep(const struct cpu *cpu, struct kept_jumps *k);
void jumps_fetch(struct cpu *cpu, const struct kept_jumps *k);
/* The translation of the page at `addr` is no more. */
void jumps_drop_page(struct cpu *cpu, uint64_t addr);
/* Block `blk` was found at linear `pc`, by a fetch. */
void jumps_add(struct cpu *cpu, uint64_t pc, const struct tcg_block *blk);
/* Translated code did not find the block at the current pc there: what struct tcg_guest calls lookup. */
const void *jumps_find(void *env, uint32_t note, uint64_t page);
/* Notes of jumps whose target is not checked before it: the offset of the instruction in its page (bits 11:0) and how
 * many bytes it has popped. */
#define JUMP_POPPED_SHIFT 12
#define JUMP_CHECK (UINT32_C(1) << 31)
/* Translated code was left by a jump to an address that is not canonical: #GP(0) at the instruction, undone. */
_Noreturn void jumps_refuse(struct cpu *cpu);

/* ---- data and I/O breakpoints (breakpoint.c); cheap to call only when DR7 enables something ---- */
bool cpu_data_breakpoint_in(const struct cpu *cpu, uint64_t addr, uint64_t size);
/* Before an access: records a hit for the run loop, or restarts the instruction as a block of its own. */
void cpu_check_data_breakpoints(struct cpu *cpu, uint64_t addr, uint64_t size, bool write);
void cpu_check_io_breakpoints(struct cpu *cpu, uint16_t port, unsigned size);
#define DR7_ENABLES 0xff

/* ---- ports and memory-mapped I/O under the machine lock (io.c) ---- */
uint64_t cpu_port_in(struct cpu *cpu, uint16_t port, unsigned size);
void cpu_port_out(struct cpu *cpu, uint16_t port, uint64_t value, unsigned size);
/* #GP(0) unless the I/O permission check passes (SDM vol. 1, 19.5.2). */
void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size);
uint64_t cpu_tsc(struct cpu *cpu);

#endif
