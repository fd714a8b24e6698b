/* The translator's public face: what the guest CPU tells it about itself, and
 * the cache of translated blocks. Knows no x86 guest and no device. */
#ifndef MIMUS_TCG_TCG_H
#define MIMUS_TCG_TCG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcg/ir.h"

struct log;
struct error;

/* ---- helpers ---- */

enum tcg_helper_effect {
    H_PURE = 0,        /* depends on its arguments alone */
    H_READ = 1,        /* reads guest registers, flags or other state */
    H_WRITE = 2,       /* writes state other than guest registers and flags (CPU struct, guest memory) */
    H_WREGS = 4,       /* writes guest general registers */
    H_RFLAGS = 8,      /* reads the guest's arithmetic flags (they are committed first) */
    H_WFLAGS = 16,     /* writes them */
    H_FAULT = 32,      /* may raise a guest exception, i.e. not return: everything is committed first */
    H_NORETURN = 64,   /* never returns */
    H_RREGS = 128,     /* reads guest general registers (they are committed first) */
};

struct tcg_helper {
    const char *name;
    void *fn;           /* uint64_t fn(void *env, uint64_t, ...): as many arguments as `args` has letters */
    char result;        /* 'v' none, '4' I32, '8' I64 */
    const char *args;   /* of '4' and '8', up to four; I32 arguments arrive zero-extended */
    uint32_t effects;
};

/* It neither changes the guest's state nor raises; so neither does what memory means. */
static inline bool tcg_helper_only_reads(const struct tcg_helper *h)
{
    return !(h->effects & ~(uint32_t)(H_READ | H_RFLAGS | H_RREGS));
}

/* ---- the guest as the translator sees it ---- */

#define TCG_NUM_REGS 16

/* Lazy flags in the CPU struct. op = enum ir_op FL_* (not SETC), type = ir_type: flags = ir_flags_eval(op, type, a, b, c). */
struct tcg_flags {
    uint64_t a, b, c;
    uint8_t op, type;
    uint8_t pad[6];
};

/* One entry of the software TLB. A tag holds the page's linear address; bits
 * below the page size make the inline compare fail and force the slow path.
 * An empty tag is ~0. Host address = linear address + addend. */
struct tcg_tlb_entry {
    uint64_t tag_read, tag_write, tag_exec;
    uint64_t addend;
};
#define TCG_TLB_BITS 15
#define TCG_TLB_SIZE (1u << TCG_TLB_BITS)  /* entries per set, direct-mapped by page number: at most */
#define TCG_MAX_MMU 3
#define TCG_PAGE_BITS 12

/* Cache of block entries by linear pc, for look-up in translated code:
 * slot = tcg_jump_slot(pc). The guest forgets what is in it when address mappings change. */
struct tcg_jump_entry {
    uint64_t pc;       /* linear: code_base + pc register */
    uint64_t key;      /* good while the guest's key is this one */
    const void *code;  /* host entry point; interpreter: struct tcg_block * */
    uint64_t note;     /* the guest's own */
};
#define TCG_JC_BITS 16
#define TCG_JC_SIZE (1u << TCG_JC_BITS)
static inline unsigned tcg_jump_slot(uint64_t pc) { return (pc ^ pc >> TCG_JC_BITS) & (TCG_JC_SIZE - 1); }
#define TCG_HEAT_SIZE (1u << 16)

/* Offsets are into the CPU struct (`env`). */
struct tcg_guest {
    uint32_t off_reg[TCG_NUM_REGS];   /* uint64_t each */
    const char *reg_name[TCG_NUM_REGS];
    /* uint64_t; while translated code runs, the pc that the first byte of the block's page has or would have, so that
     * jumps within a page leave it alone; outside, and when a helper has set it before LOOKUP or EXIT, the pc. */
    uint32_t off_pc;
    uint32_t off_code_base;           /* uint64_t added to pc for its linear address */
    uint32_t off_jump_key;            /* uint64_t; follows from the mode */
    uint32_t off_flags;               /* struct tcg_flags */
    uint32_t off_exit_request;        /* uint32_t; not 0: leave at the next block entry */
    uint32_t off_heat;                /* uint32_t [TCG_HEAT_SIZE]: how often warm blocks may still be entered, by their `heat` */
    uint32_t off_budget;              /* int64_t; counted blocks: how many instructions may still begin */
    uint32_t off_tlb;                 /* struct tcg_tlb_entry [num_mmu][TCG_TLB_SIZE] */
    uint32_t off_jump_cache;          /* struct tcg_jump_entry [TCG_JC_SIZE] */
    uint32_t off_host_pc;             /* uint64_t: return address of the latest call out of translated code */
    uint32_t off_mxcsr;               /* uint32_t: vector control word while in translated code, with all exceptions masked; sticky flags return here */
    uint32_t vec_high;                /* distance of a vector field's second half from its first */
    uint32_t off_vtmp, vtmp_size;     /* vector fields whose values, like their second halves', end with the guest
                                       * instruction that wrote them */
    uint32_t off_spill;               /* uint64_t [TCG_NUM_SPILL], the backend's own */
    uint32_t num_mmu;                 /* TCG_MAX_MMU at most */
    uint32_t tlb_mask[TCG_MAX_MMU];   /* bits of the page number that choose an entry of the set: below TCG_TLB_SIZE */
    const struct tcg_helper *helpers;
    uint32_t num_helpers;
    /* Called by translated code that does not find the block at the pc in the jump cache. What it could have found there,
     * or NULL: leave to the run loop. Raises nothing. `note`: that of the jump, 0: none; `page`: the pc field before it.
     * NULL: there is no such function. */
    const void *(*lookup)(void *env, uint32_t note, uint64_t page);
    /* Guest memory, the slow path: any address and alignment; may raise a
     * guest exception (not return). size is in bytes: 1, 2, 4, 8. mem: IR_MEM_*. */
    uint64_t (*load)(void *env, uint64_t addr, uint32_t size, uint32_t mem);
    void (*store)(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem);
    void (*load16)(void *env, uint64_t addr, void *field, uint32_t mem);        /* LDV */
    void (*store16)(void *env, uint64_t addr, const void *field, uint32_t mem); /* STV */
    /* ATOMIC and CAS: the old value. what: IR_MEM_* | enum ir_atomic << 8. */
    uint64_t (*atomic)(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t what);
    uint64_t (*cas)(void *env, uint64_t addr, uint64_t expected, uint64_t desired, uint32_t size,
                    uint32_t mem);
    /* X87, X87V, X87M: operand and imm; may raise. While the byte off_x87_live is not 0, the guest's x87 state is in the
     * host's unit, and translated code runs the host's instruction there. When it is 0, or the instruction cannot do,
     * this function executes it and returns its result | TCG_X87_DONE. With `load` it may instead bring the state to
     * the host's unit and return 0, if it was not there: then the instruction is tried again. x87_leave brings it back;
     * C code outside of helpers never runs with it. Unless the byte is TCG_X87_MASKED, a waiting exception is told with
     * imm TCG_X87_EXCEPTION after the instruction that caused it. */
    uint64_t (*x87)(void *env, uint64_t a, uint64_t imm, uint32_t load);
    void (*x87_leave)(void *env);
    uint32_t off_x87_st;              /* registers when they are not there: TCG_X87_ST_SIZE bytes */
    uint32_t off_x87_live;            /* uint8_t */
    uint32_t off_x87_cw;              /* uint16_t: the guest's control word, here in either case */
};
#define TCG_X87_DONE (UINT64_C(1) << 32)
#define TCG_X87_ST_SIZE 128
#define TCG_X87_EXCEPTION 1
enum tcg_x87_live { TCG_X87_MASKED = 1, TCG_X87_UNMASKED };
#define TCG_NUM_SPILL 64

/* ---- translated blocks ---- */

enum tcg_engine { TCG_JIT, TCG_INTERP };

struct tcg_options {
    enum tcg_engine engine;
    bool optimise;          /* run folding and passes */
    bool verify;            /* ir_verify between passes (debug builds and tests) */
    size_t cache_size;      /* bytes of host code; 0: default */
    uint32_t without_isa;   /* bits of enum tcg_host_isa that are not to be used */
    /* A byte for each page of RAM, of which TCG_PAGE_CODE says that stores must be told to tcg_invalidate(); NULL: all
     * are told anyway. */
    uint8_t *page_flags;
    /* With page_flags: a word for each page, in which tcg_granules() that blocks may touch are kept. Zero at first. */
    uint64_t *code_map;
    bool count;             /* blocks count their instructions */
    uint32_t hot_after;     /* entries of a warm block; 0: no block is warm */
};
#define TCG_PAGE_CODE 1
#define TCG_PAGE_QUIET 4   /* with TCG_PAGE_CODE: see tcg_beside() */

/* The number of an exit stands in the low bits of a pointer to its block. HOT is none of them: a warm block was to be
 * entered once more. */
#define TCG_EXIT_BITS 6
#define TCG_MAX_EXITS 48
#define TCG_JUMP_MASK 0x3fffffff
#define TCG_EXIT_HOT 63
#define TCG_EXIT_NONE 62

struct tcg_exit {
    uint32_t jump_at : 30;       /* jit: offset of its jump, a call before it is chained, 0: it has none. With one: */
    uint32_t type : 2;           /* of the pc that it leads to */
    int32_t delta;               /* which is so far behind the block's first byte */
    struct tcg_block *target;    /* chained to; atomic */
    struct tcg_block *next_in;   /* list of exits chained to the same target, see incoming */
};

struct tcg_block {
    /* What finding and dropping look at, in one cache line of the host's. Key: phys, phys2, mode. */
    uint64_t phys, phys2;
    struct tcg_block *next_hash;
    struct tcg_block *next_page[2]; /* lists by RAM page: [0] of phys, [1] of phys2 */
    uint32_t mode;
    uint16_t size, insns;       /* guest bytes from the first one on, and instructions */
    uint16_t before;            /* guest bytes in front of the first one */
    uint16_t page_off;          /* of the first byte */
    bool dropped;               /* invalidated: never enter or chain to it again; atomic */
    bool one_insn;              /* made by a one-instruction translation: not found by tcg_find */
    bool hot, warm;             /* as in struct ir_block */
    bool counted;               /* takes `insns` from the guest's budget at its entry, or leaves there */
    uint8_t mmu;                /* software TLB set of its loads and stores */
    uint8_t num_live;           /* as in struct ir_block */
    uint16_t heat;              /* of a warm one: where it counts its entries; sooner or later others count there, too */
    struct ir_live live[IR_LIVES];
    uint32_t code_size;
    const void *code;           /* host entry point (jit) */
    union {
        struct tcg_pc_entry *map;   /* jit: return address offset -> guest offset, sorted */
        struct ir_insn *ir;         /* interpreter: the block's own copy */
    };
    union {
        uint32_t num_map;
        uint32_t num_ir;
    };
    uint32_t loop_at;           /* jit: offset of the displacement of a jump that stays within the block, 0: none */
    uint32_t num_exits;
    struct tcg_exit *exit;
    struct tcg_block *incoming;     /* first exit chained to this block: its block and, in the low bits, its number; atomic */
    struct tcg_block *next_gone;    /* while being dropped */
};
_Static_assert(offsetof(struct tcg_block, live) <= 64 && sizeof(struct tcg_block) + 2 * sizeof(struct tcg_exit) <= 192,
               "most blocks take three cache lines, and looking at one takes one");

struct tcg_pc_entry {
    uint32_t host_off : 21;     /* return address - code */
    uint32_t guest_insn : 11;   /* how many instructions of the block are before it */
    int16_t guest_off;          /* offset of the guest instruction from the block's first byte */
    uint16_t pending;           /* the backend's: where flags are that it has not written yet, 0: none */
};

struct tcg_stats {
    uint64_t blocks, hot_blocks, guest_insns, guest_bytes, host_bytes, ir_insns;
    uint64_t translate_ns;      /* from decode to runnable code, from the blocks that were timed */
    uint64_t flushes, invalidations, chains, cache_used, cache_size;
};

/* One processor's view of a cache of blocks, to be used by its thread. The cache belongs to all its views; what is said
 * to be for any thread may be asked through any view. */
struct tcg;

/* A view with a cache of its own. `guest` must outlive it. NULL with `err` when executable memory is refused. */
struct tcg *tcg_new(const struct tcg_guest *guest, const struct tcg_options *opt, struct log *log, struct error *err);
/* Another view of the same cache. */
struct tcg *tcg_join(struct tcg *other, struct error *err);
/* The cache goes with its last view. */
void tcg_free(struct tcg *t);
struct ir_builder *tcg_builder(struct tcg *t);
const struct tcg_options *tcg_opts(struct tcg *t);

/* A live block for this key, or NULL. Any thread. */
struct tcg_block *tcg_find(struct tcg *t, uint64_t phys, uint64_t phys2, uint32_t mode);
/* Where a block's bytes live and the copy from which it was translated: [0] those in its first page, from the lowest on,
 * [1] in its second. */
struct tcg_source { const uint8_t *host[2], *copy[2]; };
/* Why there is no block. FULL: everybody has to leave translated code, tcg_flush(), and again. STALE: the bytes changed
 * meanwhile or stores to the page are not told: translate one instruction, or again. */
enum tcg_miss { TCG_FULL, TCG_STALE };
/* Optimise, verify, print as the log asks, compile, enter into the cache; `src` NULL: nobody else can change the bytes.
 * Returns the block to be run (somebody else's if he was faster), or NULL with *why. */
struct tcg_block *tcg_translate(struct tcg *t, struct ir_block *ir, bool one_insn, const struct tcg_source *src,
                                enum tcg_miss *why);
/* Drop all blocks; pointers to them, also in jump caches, are stale afterwards. Nobody is within translated code. */
void tcg_flush(struct tcg *t);
/* Counts flushes: pointers to blocks are good for one generation. */
uint32_t tcg_generation(struct tcg *t);
/* A page is going to have blocks. 0: stores to it are told already. Else TCG_PAGE_CODE is set, and the caller makes
 * all others give up their ways of storing without telling, and hands the ticket to tcg_watch_done(). Until then
 * blocks of the page come back STALE. Any thread. */
uint32_t tcg_watch(struct tcg *t, uint64_t ram_off);
void tcg_watch_done(struct tcg *t, uint64_t ram_off, uint32_t ticket);
/* A store to the page was told, and it has no blocks. When that was so TCG_WATCH_IDLE times since it had any, stores
 * need not be told any more: code that is rewritten again and again is not watched anew each time. Any thread. */
#define TCG_WATCH_IDLE 64
void tcg_unwatch(struct tcg *t, uint64_t ram_off);
/* Bytes behind `ram_off` in its page that stores have rewritten so that blocks were dropped more than once. Returns how
 * many ranges. Any thread. */
unsigned tcg_rewritten(struct tcg *t, uint64_t ram_off, struct ir_live live[IR_LIVES]);
/* The pieces of 64 bytes of a page, one bit each, that bytes [first, last] of RAM, of one page, touch. */
static inline uint64_t tcg_granules(uint64_t first, uint64_t last)
{
    unsigned lo = first >> 6 & 63, hi = last >> 6 & 63;

    return (UINT64_C(2) << hi) - (UINT64_C(1) << lo);
}
/* What is near these bytes, all of one page: no blocks in the page, blocks in other granules of it, or blocks that may
 * overlap them. Any thread. */
enum tcg_near { TCG_NEAR_NOTHING, TCG_NEAR_OTHERS, TCG_NEAR_BLOCKS };
enum tcg_near tcg_near(struct tcg *t, uint64_t ram_off, unsigned size);
/* A store was told to a page that has blocks, and was beside them. After TCG_QUIET_AFTER such stores without a new block
 * the page gets TCG_PAGE_QUIET, if the host can do what that needs: until then, a full barrier is between a store and
 * the look for blocks behind it; afterwards barrier_be_reached() will do, and who adds a block to the page takes the flag
 * back and makes the barrier for all. So many because that costs as much as hundreds of barriers. Any thread. */
#define TCG_QUIET_AFTER 255
void tcg_beside(struct tcg *t, uint64_t ram_off);
/* Drop the blocks that overlap bytes [ram_off, ram_off + len). To be called after the bytes have changed, with a full
 * barrier between. Returns how many; memory of code stays until the next flush. Any thread. */
unsigned tcg_invalidate(struct tcg *t, uint64_t ram_off, uint64_t len);
/* Does any live block overlap these bytes / this page? Any thread. */
bool tcg_has_code(struct tcg *t, uint64_t ram_off, uint64_t len);
bool tcg_page_has_code(struct tcg *t, uint64_t ram_off);
/* Direct chaining: exit `n` of `from` goes to `to` from now on, until `to` is dropped (not when either is dropped or
 * one_insn, `to` crosses a page, or the exit is chained already). */
void tcg_chain(struct tcg *t, struct tcg_block *from, unsigned n, struct tcg_block *to);

/* Do the block's bytes meet RAM [ram_off, ram_off + len)? */
bool tcg_block_holds(const struct tcg_block *blk, uint64_t ram_off, uint64_t len);

/* Enter at `blk` and run until something leaves. Returns the block that was
 * left through an unchained exit with its number in *exit_no, so that the caller
 * may chain it; TCG_EXIT_HOT: it was not entered any more, but should be translated
 * anew, hot; NULL when there is nothing to chain. */
struct tcg_block *tcg_run(struct tcg *t, void *env, struct tcg_block *blk, unsigned *exit_no);

/* Flags that the guest instruction at hand has left pending become those in the CPU structure. To be called by memory
 * slow paths and helpers, while what called them is still on the stack: before a longjmp past tcg_run, and before they
 * look at the flags. Outside it does nothing. */
void tcg_commit_flags(struct tcg *t, void *env);
/* After a guest exception was raised below tcg_run (by longjmp past it, behind tcg_commit_flags):
 * returns the offset of the guest instruction from the pc field's value, and the block it is in. */
uint32_t tcg_fault_offset(struct tcg *t, void *env, struct tcg_block **blk);
/* The block that is executing now, as seen from a helper or memory slow path; NULL outside. */
struct tcg_block *tcg_current(struct tcg *t, void *env);
/* Does that block, which has more than one instruction, hold bytes of RAM [ram_off, ram_off + size)? Others may have
 * dropped it while it runs: then lists do not tell, and it is looked at itself. */
bool tcg_runs_at(struct tcg *t, void *env, uint64_t ram_off, unsigned size);
/* Has no block been dropped since that function last found the running one live? Then lists do tell. */
bool tcg_none_dropped(const struct tcg *t);
/* Offset of its instruction from the pc field's value: 0 outside. Changes nothing. */
uint32_t tcg_current_offset(struct tcg *t, void *env);
/* Instructions of that block that are not complete, this one included: 0 outside. At a fault, before
 * tcg_fault_offset(), what is to be given back to the budget. */
unsigned tcg_current_left(struct tcg *t, void *env);

/* Of all views of the cache. */
struct tcg_stats tcg_get_stats(struct tcg *t);
/* Reading the clock costs as much as a guest instruction: one block in TCG_TIMED stands for all. Is it the next? Then
 * tcg_add_time() takes what it cost. */
#define TCG_TIMED 16
bool tcg_is_timed(struct tcg *t);
void tcg_add_time(struct tcg *t, uint64_t ns);

/* ---- a host backend: one const struct ---- */

struct tcg_code_buf { uint8_t *start, *at, *end; };

struct tcg_host {
    const char *name;
    /* `isa`: enum tcg_host_isa bits to be used. Emit the thunks shared by all blocks (enter, leave, slow paths, look-up). */
    void *(*init)(const struct tcg_guest *guest, struct tcg_code_buf *buf, uint32_t isa);
    /* For another view: the same thunks. */
    void *(*clone)(void *host);
    void (*free)(void *host);
    /* Compile `ir` into buf; fill blk's code, map, exits. The map lies in buf too. Returns 0, or -1 when buf has no room
     * (nothing is kept). */
    int (*compile)(void *host, const struct ir_block *ir, struct tcg_code_buf *buf, struct tcg_block *blk);
    /* Redirect exit n of `from` to `to`'s entry, or back to its own leave stub when `to` is NULL. */
    void (*link)(void *host, struct tcg_block *from, unsigned n, const void *to);
    /* From now on the block's entry leads to the run loop. Others may be entering it. */
    void (*close)(void *host, struct tcg_block *blk);
    /* Run from `code`. Returns 0, or an address within or just behind the code of the block that was left. */
    uintptr_t (*enter)(void *host, void *env, const void *code);
    /* Which exit of `blk`, TCG_EXIT_HOT or TCG_EXIT_NONE, that was: sets the pc. */
    unsigned (*left)(void *host, void *env, const struct tcg_block *blk, uintptr_t left);
    /* The flags that are pending at the latest call out of translated code, which is still on the stack, `call` of blk's
     * map, become those in the CPU structure. */
    void (*commit)(void *host, void *env, const struct tcg_block *blk, const struct tcg_pc_entry *call);
    void (*disassemble)(FILE *out, const uint8_t *code, size_t len);
};
/* NULL when this host has no backend: the interpreter serves. */
const struct tcg_host *tcg_host_native(void);

/* ---- the interpreter of optimised IR ---- */
uintptr_t tcg_interp_run(struct tcg *t, const struct tcg_guest *guest, void *env, struct tcg_block *blk);

/* ---- vector operations ---- */

/* Rows of vec.def. Operands are 16-byte fields. */
enum tcg_vop {
#define VOP(name, fn, kind, host, prefix, opcode) TCG_V_##name,
#define VOPI(name, fn, kind, host, prefix, opcode) TCG_V_##name,
#include "tcg/vec.def"
    TCG_NUM_VOPS
};
struct tcg_vop_info {
    const char *name;
    /* The meaning, in C, for the interpreter and for hosts without the instruction; fn_imm in rows with an immediate. */
    void (*fn)(void *dst, const void *a, const void *b);
    void (*fn_imm)(void *dst, const void *a, const void *b, unsigned imm);
    uint8_t kind;      /* enum tcg_vop_kind */
    uint16_t prefix;   /* x86 encoding of the same operation: 0, 0x66, 0xf2, 0xf3; TCG_VEX_W: VEX.W = 1 */
    uint16_t opcode;   /* 0xNN in map 0F, 0x38NN, 0x3aNN; 0: none */
    uint16_t isa;      /* enum tcg_host_isa: needed */
};
#define TCG_VEX_W 0x100
/* What an x86-64 host's processor may have beyond SSE2; others have BASE alone. */
enum tcg_host_isa {
    TCG_ISA_BASE = 0,
    TCG_ISA_SSE3 = 1 << 0, TCG_ISA_SSSE3 = 1 << 1, TCG_ISA_SSE41 = 1 << 2, TCG_ISA_SSE42 = 1 << 3,
    TCG_ISA_AES = 1 << 4, TCG_ISA_PCLMUL = 1 << 5, TCG_ISA_SHA = 1 << 6, TCG_ISA_AVX = 1 << 7,
    TCG_ISA_AVX2 = 1 << 8, TCG_ISA_FMA = 1 << 9, TCG_ISA_F16C = 1 << 10, TCG_ISA_POPCNT = 1 << 11,
    TCG_ISA_LZCNT = 1 << 12, TCG_ISA_BMI1 = 1 << 13, TCG_ISA_BMI2 = 1 << 14,
};
/* Bits of enum tcg_host_isa that this host has. */
uint32_t tcg_host_isa(void);
enum tcg_vop_kind {
    VK_X,      /* 128-bit integer or logical: dst = a op b */
    VK_XF,     /* as X, floating point: depends on and accumulates in MXCSR */
    VK_X1,     /* one source: dst = op(b), all of it */
    VK_XF1,    /* one source, floating point; lanes that the operation leaves alone come from a */
    VK_Q,      /* 64-bit (MMX) form of an integer operation on the low 8 bytes */
    VK_Q1,     /* 64-bit, one source */
    VK_C,      /* no host instruction: call fn */
    /* dst's old value is a third source. On the host: */
    VK_MASK0,  /* legacy encoding with it implied in XMM0: BLENDV (dst = dst ? b : a), SHA256RNDS2 */
    VK_V3,     /* VEX encoding, destination = first source: FMA */
    VK_V,      /* VEX encoding of three operands: dst = a op b */
    VK_V1,     /* VEX encoding of two: dst = op(b) */
    VK_V1R,    /* the same with the destination in the encoding's r/m */
    VK_L,      /* across the halves of 32 bytes, which the function gets in one piece; VEX: dst = a op b */
    VK_L1,     /* dst = op(b) */
    VK_GROUP,  /* and up to VK_GROUP + 7: dst = op(b), the difference is the opcode's extension in ModRM.reg */
};
extern const struct tcg_vop_info tcg_vops[TCG_NUM_VOPS + 1]; /* the last row is empty */
/* The immediate of an operation's second half in an instruction of 32 bytes with this one. */
uint8_t tcg_vop_high_imm(unsigned vop, uint8_t imm);
/* An operation of any size and form (cc) on fields and their second halves, which are `high` behind them. */
void tcg_vop_run(unsigned vop, unsigned cc, uint8_t imm, void *dst, const void *a, const void *b, uint32_t high);
/* A VK_L or VK_L1 row on such fields. */
void tcg_vop_across(void *dst, const void *a, const void *b, unsigned vop_imm, size_t high);

#endif
