/* Tests of emission: single instructions run in both engines against values worked out from the SDM, and
 * random
 * bytes whose IR must obey the rules of ir.def. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cpu/emit.h"
#include "cpu/sys.h"

/* 64 KiB of memory at linear MEM_BASE, present in the software TLB; what lies elsewhere must not be touched.
 * */
#define MEM_BASE 0x10000u
#define MEM_SIZE 0x10000u
#define CODE 0x1000u         /* offsets in it */
#define DATA 0x4000u
#define STACK 0x8000u
#define NO_EXCEPTION 0xff

struct rig {
    struct cpu *cpu;
    struct tcg *tcg;
    struct tcg_guest guest; /* without the run loop's ways of finding blocks */
    uint8_t *mem;
    struct log log;
    jmp_buf fault;
};

static void fill_tlb(struct rig *r)
{
    for (unsigned m = 0; m < MMU_NUM; m++)
        for (unsigned off = 0; off < MEM_SIZE; off += 4096) {
            uint64_t page = MEM_BASE + off;
            r->cpu->tlb[m][tlb_index(m, page)] =
                (struct tcg_tlb_entry){ page, page, page, (uintptr_t)r->mem - MEM_BASE };
        }
}

static void rig_open(struct rig *r, bool interp, bool optimise)
{
    struct tcg_options opt = { .engine = interp ? TCG_INTERP : TCG_JIT, .optimise = optimise,
                               .verify = true };
    struct error err = { 0 };

    memset(r, 0, sizeof(*r));
    log_init(&r->log);
    r->cpu = aligned_alloc(64, align_up(sizeof(struct cpu), 64));
    memset(r->cpu, 0, sizeof(struct cpu));
    r->mem = aligned_alloc(4096, MEM_SIZE);
    cpu_set_model(r->cpu, cpu_model_find("max"));
    r->cpu->log = &r->log;
    r->cpu->fault_jmp = &r->fault;
    r->cpu->mxcsr_run = 0x1f80;
    r->guest = cpu_guest;
    r->guest.lookup = NULL;
    r->tcg = r->cpu->tcg = tcg_new(&r->guest, &opt, &r->log, &err);
    ck_assert_ptr_nonnull(r->tcg);
    mmu_forget_blocks(r->cpu);
    fill_tlb(r);
}

static void rig_close(struct rig *r)
{
    tcg_free(r->tcg);
    free(r->mem);
    free(r->cpu);
}

/* 64: long mode; 32: flat protected mode; 16: real mode with all segments at MEM_BASE. */
static void set_mode(struct cpu *cpu, unsigned bits)
{
    uint32_t flat = MODE_PE | MODE_FLAT_CS | MODE_FLAT_DS | MODE_FLAT_ES | MODE_FLAT_SS;
    uint32_t limit = bits == 16 ? 0xffff : UINT32_MAX;

    cpu->mode = bits == 64 ? flat | MODE_CODE64 | MODE_LMA : bits == 32 ? flat | MODE_CODE32 | MODE_SS32 : 0;
    for (unsigned i = 0; i < S_NUM; i++)
        cpu->seg[i] = (struct segment){ .base = bits == 16 ? MEM_BASE : 0, .limit = limit,
                                        .read_hi = limit, .write_hi = limit };
    cpu->code_base = cpu->seg[S_CS].base;
}

/* Offset of the data and so on as the mode's addresses. */
static uint64_t at(unsigned bits, uint32_t offset)
{
    return bits == 16 ? offset : MEM_BASE + offset;
}

static size_t parse_hex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

/* Translate and run one block of at most `max` instructions over `len` bytes at CODE. */
static void run_block(struct rig *r, unsigned bits, size_t len, unsigned max)
{
    bool crossed;
    enum tcg_miss why;
    unsigned exit_no;
    struct ir_block *ir;

    r->cpu->rip = at(bits, CODE);
    ir = emit_block(r->cpu, tcg_builder(r->tcg), r->mem + CODE, len, NULL, MEM_BASE + CODE, max, &crossed,
                    NULL);
    ir->phys = CODE;
    ir->phys2 = UINT64_MAX;
    tcg_run(r->tcg, r->cpu, tcg_translate(r->tcg, ir, true, NULL, &why), &exit_no);
}

/* Returns the exception's vector, or NO_EXCEPTION. A restart runs the first instruction alone, as the run
 * loop does. */
static unsigned run_code(struct rig *r, unsigned bits, size_t len)
{
    enum { EXCEPTION = 1, RESTART_ONE };
    struct tcg_block *blk;

    r->cpu->in_block = true;
    switch (setjmp(r->fault)) {
    case 0:
        run_block(r, bits, len, 64);
        break;
    case EXCEPTION:
        tcg_fault_offset(r->tcg, r->cpu, &blk);
        r->cpu->in_block = false;
        return r->cpu->ex.vector;
    case RESTART_ONE:
        tcg_fault_offset(r->tcg, r->cpu, &blk);
        run_block(r, bits, len, 1);
        break;
    }
    r->cpu->in_block = false;
    return NO_EXCEPTION;
}

static uint32_t flags_of(const struct cpu *cpu)
{
    return ir_flags_eval(cpu->fl.op, cpu->fl.type, cpu->fl.a, cpu->fl.b, cpu->fl.c);
}

static void set_flags(struct cpu *cpu, uint32_t six)
{
    cpu->fl = (struct tcg_flags){ .a = six, .op = IR_FL_RAW, .type = IR_I32 };
}

struct change { uint8_t reg; uint64_t value; };

/* Registers not named are 0, but rSP = STACK, rSI = DATA, rDI = DATA + 0x100. */
struct sample {
    const char *name;
    unsigned bits;
    const char *hex;
    struct change in[5];
    uint32_t fl_in;
    uint64_t mem_in;           /* at DATA */
    struct change out[5];      /* registers that differ afterwards */
    uint32_t fl_out, fl_mask;  /* mask 0: not looked at */
    uint64_t mem_out;
    bool raises;
    uint8_t vector;
};

#define C FL_CF
#define P FL_PF
#define A FL_AF
#define Z FL_ZF
#define S FL_SF
#define O FL_OF
#define ALL IR_FLAGS6
#define END { 0xff, 0 }

static const struct sample samples[] = {
    { "add", 32, "01d8", { { R_AX, 0x7fffffff }, { R_BX, 1 }, END }, 0, 0, { { R_AX, 0x80000000 }, END },
      O | S | A | P, ALL, 0, false, 0 },
    { "adc 8 high", 64, "10dc", { { R_AX, 0xff00 }, { R_BX, 0 }, END }, C, 0, { { R_AX, 0 }, END },
      C | Z | A | P, ALL, 0, false, 0 },
    { "sbb", 64, "4819d8", { { R_AX, 0 }, { R_BX, 0 }, END }, C, 0, { { R_AX, UINT64_MAX }, END },
      C | S | A | P, ALL, 0, false, 0 },
    { "inc keeps C", 32, "fec0", { { R_AX, 0x7f }, END }, C, 0, { { R_AX, 0x80 }, END }, C | O | S | A,
      ALL, 0, false, 0 },
    { "neg memory", 32, "f61e", { END }, 0, 0x1180, { END }, C | O | S, ALL, 0x1180, false, 0 },
    { "32-bit write clears", 64, "89d8", { { R_AX, UINT64_MAX }, { R_BX, 5 }, END }, 0, 0,
      { { R_AX, 5 }, END }, 0, 0, 0, false, 0 },
    { "cmov false clears", 64, "0f44c3", { { R_AX, UINT64_MAX }, { R_BX, 5 }, END }, 0, 0,
      { { R_AX, 0xffffffff }, END }, 0, ALL, 0, false, 0 },
    { "mul 8", 16, "f6e3", { { R_AX, 0x80 }, { R_BX, 4 }, END }, 0, 0, { { R_AX, 0x200 }, END }, O | C,
      O | C, 0, false, 0 },
    { "imul 64", 64, "48f7eb", { { R_AX, (uint64_t)-2 }, { R_BX, 3 }, END }, 0, 0,
      { { R_AX, (uint64_t)-6 }, { R_DX, UINT64_MAX }, END }, 0, O | C, 0, false, 0 },
    { "div 8", 32, "f6f3", { { R_AX, 0x105 }, { R_BX, 0x10 }, END }, 0, 0, { { R_AX, 0x510 }, END }, 0,
      0, 0, false, 0 },
    { "div by 0", 32, "f7f3", { { R_AX, 1 }, END }, C, 0, { END }, C, ALL, 0, true, EX_DE },
    { "idiv overflow", 64, "48f7fb", { { R_DX, (uint64_t)1 << 63 }, { R_BX, UINT64_MAX }, END }, 0, 0,
      { END }, 0, 0, 0, true, EX_DE },
    { "idiv 64", 64, "48f7fb", { { R_AX, (uint64_t)-7 }, { R_DX, UINT64_MAX }, { R_BX, 2 }, END }, 0, 0,
      { { R_AX, (uint64_t)-3 }, { R_DX, UINT64_MAX }, END }, 0, 0, 0, false, 0 },
    { "idiv overflow behind cdq", 32, "01c999f7fb",
      { { R_AX, 0x80000000 }, { R_BX, 0xffffffff }, { R_CX, 0x40000000 }, END }, C, 0,
      { { R_CX, 0x80000000 }, { R_DX, 0xffffffff }, END }, O | S | P, ALL, 0, true, EX_DE },
    { "idiv by 0 behind cqo", 64, "4801c9489948f7fb", { { R_AX, 5 }, { R_CX, 1 }, { R_DX, 9 }, END }, C, 0,
      { { R_CX, 2 }, { R_DX, 0 }, END }, 0, ALL, 0, true, EX_DE },
    { "idiv by -1 behind cdq", 64, "99f7fb", { { R_AX, 0x80000001 }, { R_BX, 0xffffffff }, END }, 0, 0,
      { { R_AX, 0x7fffffff }, { R_DX, 0 }, END }, 0, 0, 0, false, 0 },
    { "idiv overflow 32", 64, "f7fb", { { R_AX, 0 }, { R_BX, 1 }, { R_DX, 1 }, END }, C, 0, { END }, C, ALL, 0, true,
      EX_DE },
    { "idiv least quotient 16", 32, "66f7fb", { { R_AX, 0 }, { R_BX, 2 }, { R_DX, 0xffff }, END }, 0, 0,
      { { R_AX, 0x8000 }, { R_DX, 0 }, END }, 0, 0, 0, false, 0 },
    { "div overflow", 32, "01c9f7f3", { { R_AX, 0 }, { R_BX, 7 }, { R_CX, 1 }, { R_DX, 7 }, END }, C, 0,
      { { R_CX, 2 }, END }, 0, ALL, 0, true, EX_DE },
    { "div 64", 64, "48f7f3", { { R_AX, 5 }, { R_BX, (uint64_t)1 << 63 }, { R_DX, 3 }, END }, 0, 0,
      { { R_AX, 6 }, { R_DX, 5 }, END }, 0, 0, 0, false, 0 },
    { "adcx keeps O", 64, "66480f38f6c3", { { R_AX, UINT64_MAX }, END }, C | O | Z, 0, { { R_AX, 0 }, END }, C | O | Z,
      ALL, 0, false, 0 },
    { "adox, adcx", 64, "f3480f38f6c366480f38f6cb", { { R_AX, UINT64_MAX }, { R_BX, 1 }, { R_CX, 5 }, END },
      C | S | A, 0, { { R_AX, 0 }, { R_CX, 7 }, END }, O | S | A, ALL, 0, false, 0 },
    { "shl 0 keeps flags", 32, "d3e0", { { R_AX, 1 }, { R_CX, 32 }, END }, C | O | Z, 0, { END },
      C | O | Z, ALL, 0, false, 0 },
    { "sar cl", 32, "d3f8", { { R_AX, 0x80000004 }, { R_CX, 3 }, END }, 0, 0,
      { { R_AX, 0xf0000000 }, END }, C | S | P, C | S | Z | P, 0, false, 0 },
    { "rcl 1", 16, "d1d0", { { R_AX, 0x8000 }, END }, C, 0, { { R_AX, 1 }, END }, C | O, C | O, 0, false,
      0 },
    { "rcr 9 of 8", 32, "c0d809", { { R_AX, 0x5a }, END }, C, 0, { END }, C, C, 0, false, 0 },
    { "rol by 8", 32, "c0c008", { { R_AX, 0x81 }, END }, Z, 0, { END }, C | Z, C | Z, 0, false, 0 },
    { "shld", 64, "480fa4d804", { { R_AX, 0xf000000000000001 }, { R_BX, 0xa000000000000000 }, END }, 0,
      0, { { R_AX, 0x1a }, END }, C, C | Z | S, 0, false, 0 },
    { "bts beyond", 32, "0fab06", { { R_AX, 33 }, END }, C, 0, { END }, 0, C, (uint64_t)2 << 32, false,
      0 },
    { "bt negative", 64, "480fa306", { { R_AX, (uint64_t)-1 }, { R_SI, MEM_BASE + DATA + 8 }, END }, 0,
      (uint64_t)1 << 63, { END }, C, C, (uint64_t)1 << 63, false, 0 },
    { "bsf of 0", 64, "0fbcc3", { { R_AX, UINT64_MAX }, END }, 0, 0, { END }, Z, Z, 0, false, 0 },
    { "bsr", 32, "0fbdc3", { { R_BX, 0x10 }, END }, Z, 0, { { R_AX, 4 }, END }, 0, Z, 0, false, 0 },
    { "cmpxchg no", 64, "0fb11e", { { R_AX, UINT64_MAX }, { R_BX, 7 }, END }, 0, 5, { { R_AX, 5 }, END },
      0, Z, 5, false, 0 },
    { "cmpxchg yes", 64, "0fb11e", { { R_AX, 0x100000005 }, { R_BX, 7 }, END }, 0, 5, { END }, Z | P,
      ALL, 7, false, 0 },
    { "cmpxchg8b", 32, "0fc70e", { { R_AX, 5 }, { R_DX, 1 }, { R_BX, 8 }, { R_CX, 9 }, END }, C | S,
      0x100000005, { END }, C | S | Z, ALL, 0x900000008, false, 0 },
    { "cmpxchg16b misaligned", 64, "480fc74e08", { END }, 0, 0, { END }, 0, 0, 0, true, EX_GP },
    { "xadd same", 32, "0fc1c0", { { R_AX, 3 }, END }, 0, 0, { { R_AX, 6 }, END }, P, ALL, 0, false, 0 },
    { "xchg memory", 32, "861e", { { R_BX, 0x55 }, END }, 0, 0xaa, { { R_BX, 0xaa }, END }, 0, 0, 0x55,
      false, 0 },
    { "daa", 32, "27", { { R_AX, 0x9a }, END }, 0, 0, { { R_AX, 0 }, END }, C | Z | P | A,
      C | Z | P | A | S, 0, false, 0 },
    { "das", 32, "2f", { { R_AX, 0 }, END }, A, 0, { { R_AX, 0xfa }, END }, C | A | S | P,
      C | A | S | P | Z, 0, false, 0 },
    { "aaa", 32, "37", { { R_AX, 0x0f }, END }, 0, 0, { { R_AX, 0x105 }, END }, C | A, C | A, 0, false,
      0 },
    { "aam 0", 32, "d400", { { R_AX, 5 }, END }, 0, 0, { END }, 0, 0, 0, true, EX_DE },
    { "aad", 16, "d50a", { { R_AX, 0x0203 }, END }, 0, 0, { { R_AX, 23 }, END }, P, S | Z | P, 0, false,
      0 },
    { "bound", 32, "6206", { { R_AX, 3 }, END }, 0, 0x200000000, { END }, 0, 0, 0x200000000, true, EX_BR },
    { "bswap", 64, "480fc8", { { R_AX, 0x1122334455667788 }, END }, 0, 0,
      { { R_AX, 0x8877665544332211 }, END }, 0, 0, 0, false, 0 },
    { "lahf", 32, "9f", { END }, C | Z | O, 0, { { R_AX, 0x4300 }, END }, C | Z | O, ALL, 0, false, 0 },
    { "salc", 32, "d6", { END }, C, 0, { { R_AX, 0xff }, END }, C, ALL, 0, false, 0 },
    { "xlat", 32, "d7", { { R_AX, 0x104 }, { R_BX, MEM_BASE + DATA }, END }, 0, 0x9900000000,
      { { R_AX, 0x199 }, END }, 0, 0, 0x9900000000, false, 0 },
    { "push sp", 16, "54", { END }, 0, 0, { { R_SP, STACK - 2 }, END }, 0, 0, 0, false, 0 },
    { "pop [sp]", 32, "8f0424", { { R_SP, MEM_BASE + DATA }, END }, 0, 0x1122334455667788,
      { { R_SP, MEM_BASE + DATA + 4 }, END }, 0, 0, 0x5566778855667788, false, 0 },
    { "limit", 16, "8b04", { { R_SI, 0xffff }, END }, 0, 0, { END }, 0, 0, 0, true, EX_GP },
    { "limit of stack", 16, "8b02", { { R_BP, 0xffff }, { R_SI, 0 }, END }, 0, 0, { END }, 0, 0, 0, true,
      EX_SS },
    { "lock register", 32, "f001c0", { END }, 0, 0, { END }, 0, 0, 0, true, EX_UD },
    { "call not canonical", 64, "ff16", { { R_SP, MEM_BASE + DATA }, END }, 0, 0x800000000000, { END }, 0,
      0, 0x800000000000, true, EX_GP },
    { "rep stosd", 32, "f3ab", { { R_AX, 0x01020304 }, { R_CX, 2 }, { R_DI, MEM_BASE + DATA }, END }, 0,
      0, { { R_CX, 0 }, { R_DI, MEM_BASE + DATA + 8 }, END }, 0, 0, 0x0102030401020304, false, 0 },
    { "rep movsb feeds itself", 64, "f3a4", { { R_CX, 7 }, { R_DI, MEM_BASE + DATA + 1 }, END }, 0, 0xab,
      { { R_CX, 0 }, { R_SI, MEM_BASE + DATA + 7 }, { R_DI, MEM_BASE + DATA + 8 }, END }, 0, 0,
      0xabababababababab, false, 0 },
    { "repne scasb", 16, "f2ae", { { R_AX, 3 }, { R_CX, 0x10009 }, { R_DI, DATA }, END }, 0,
      0x0504030201, { { R_CX, 0x10006 }, { R_DI, DATA + 3 }, END }, Z | P, ALL, 0x0504030201, false, 0 },
    { "repe cmpsb", 32, "f3a6", { { R_CX, 5 }, { R_DI, MEM_BASE + DATA + 3 }, END }, 0, 0x0201060201,
      { { R_CX, 2 }, { R_SI, MEM_BASE + DATA + 3 }, { R_DI, MEM_BASE + DATA + 6 }, END }, 0, Z,
      0x0201060201, false, 0 },
    { "rep of nothing", 32, "f3a6", { END }, C | O, 0, { END }, C | O, ALL, 0, false, 0 },
    { "lodsw", 32, "66ad", { END }, 0, 0x1234, { { R_AX, 0x1234 }, { R_SI, MEM_BASE + DATA + 2 }, END },
      0, 0, 0x1234, false, 0 },
    { "loop 16", 32, "67e2fe", { { R_CX, 0x10001 }, END }, 0, 0, { { R_CX, 0x10000 }, END }, 0, 0, 0,
      false, 0 },
    { "leave", 32, "c9", { { R_BP, MEM_BASE + DATA }, END }, 0, 0x42,
      { { R_BP, 0x42 }, { R_SP, MEM_BASE + DATA + 4 }, END }, 0, 0, 0x42, false, 0 },
};

/* Each is an ATOMIC of `kind`, a CAS or a CALL when processors run at the same time, else a load and a store. */
static const struct { struct sample s; uint8_t op, kind; } locked[] = {
    { { "lock add", 32, "f0011e", { { R_BX, 0x80000001 }, END }, 0, 0x80000000, { END }, C | O, ALL, 1, false,
        0 }, IR_ATOMIC, IR_ATOMIC_ADD },
    { { "lock adc", 64, "f048111e", { { R_BX, 1 }, END }, C, UINT64_MAX - 1, { END }, C | P | Z | A, ALL, 0,
        false, 0 }, IR_ATOMIC, IR_ATOMIC_ADD },
    { { "lock sub", 32, "f0802e01", { END }, 0, 0x1100, { END }, C | S | P | A, ALL, 0x11ff, false, 0 },
      IR_ATOMIC, IR_ATOMIC_ADD },
    { { "lock sbb", 16, "f0191c", { { R_BX, 0xffff }, END }, C, 5, { END }, C | A | P, ALL, 5, false, 0 },
      IR_ATOMIC, IR_ATOMIC_ADD },
    { { "lock inc keeps C", 32, "f0ff06", { END }, C, 0x7fffffff, { END }, C | O | S | A | P, ALL, 0x80000000,
        false, 0 }, IR_ATOMIC, IR_ATOMIC_ADD },
    { { "lock dec", 32, "f0fe0e", { END }, 0, 0x1201, { END }, Z | P, ALL, 0x1200, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_ADD },
    { { "lock and", 32, "f02106", { { R_AX, 0xf0 }, END }, C | O, 0x99, { END }, P, ALL & ~A, 0x90, false, 0 },
      IR_ATOMIC, IR_ATOMIC_AND },
    { { "lock or", 64, "f0480906", { { R_AX, (uint64_t)1 << 63 }, END }, C, 1, { END }, S, ALL & ~A,
        ((uint64_t)1 << 63) + 1, false, 0 }, IR_ATOMIC, IR_ATOMIC_OR },
    { { "lock xor", 32, "f066833611", { END }, C, 0xab0011, { END }, Z | P, ALL & ~A, 0xab0000, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_XOR },
    { { "lock not", 32, "f0f616", { END }, C | Z, 0x1234, { END }, C | Z, ALL, 0x12cb, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_XOR },
    { { "lock neg", 32, "f0f61e", { END }, 0, 0x1180, { END }, C | O | S, ALL, 0x1180, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_NEG },
    { { "lock xadd", 32, "f00fc11e", { { R_BX, 3 }, END }, 0, 4, { { R_BX, 4 }, END }, 0, ALL, 7, false, 0 },
      IR_ATOMIC, IR_ATOMIC_ADD },
    { { "xchg", 32, "871e", { { R_BX, 3 }, END }, C, 4, { { R_BX, 4 }, END }, C, ALL, 3, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_XCHG },
    { { "lock bts beyond", 32, "f00fab06", { { R_AX, 33 }, END }, C, 0, { END }, 0, C, (uint64_t)2 << 32, false,
        0 }, IR_ATOMIC, IR_ATOMIC_OR },
    { { "lock btr negative", 64, "f0480fb306", { { R_AX, (uint64_t)-1 }, { R_SI, MEM_BASE + DATA + 8 }, END }, 0,
        (uint64_t)1 << 63, { END }, C, C, 0, false, 0 }, IR_ATOMIC, IR_ATOMIC_AND },
    { { "lock btc", 32, "f00fba3e28", { END }, 0, 0x1ff, { END }, C, C, 0xff, false, 0 }, IR_ATOMIC,
      IR_ATOMIC_XOR },
    { { "lock cmpxchg no", 64, "f00fb11e", { { R_AX, UINT64_MAX }, { R_BX, 7 }, END }, 0, 5, { { R_AX, 5 }, END },
        0, Z, 5, false, 0 }, IR_CAS, 0 },
    { { "lock cmpxchg yes", 64, "f00fb11e", { { R_AX, 0x100000005 }, { R_BX, 7 }, END }, 0, 5, { END }, Z | P,
        ALL, 7, false, 0 }, IR_CAS, 0 },
    { { "lock cmpxchg 8", 32, "f00fb01e", { { R_AX, 0x1234 }, { R_BX, 7 }, END }, 0, 0xa5, { { R_AX, 0x12a5 }, END },
        C, C | Z, 0xa5, false, 0 }, IR_CAS, 0 },
    { { "lock cmpxchg8b", 32, "f00fc70e", { { R_AX, 5 }, { R_DX, 1 }, { R_BX, 8 }, { R_CX, 9 }, END }, C | S,
        0x100000005, { END }, C | S | Z, ALL, 0x900000008, false, 0 }, IR_CAS, 0 },
    { { "lock cmpxchg8b no", 32, "f00fc70e", { { R_AX, 6 }, { R_DX, 1 }, { R_BX, 8 }, { R_CX, 9 }, END }, Z,
        0x200000007, { { R_AX, 7 }, { R_DX, 2 }, END }, 0, ALL, 0x200000007, false, 0 }, IR_CAS, 0 },
    { { "lock cmpxchg16b", 64, "f0480fc70e", { { R_AX, 5 }, { R_BX, 8 }, { R_CX, 9 }, END }, C, 5, { END }, C | Z,
        ALL, 8, false, 0 }, IR_CALL, 0 },
    { { "lock cmpxchg16b no", 64, "f0480fc70e", { { R_AX, 5 }, { R_DX, 1 }, END }, C, 5, { { R_DX, 0 }, END }, C,
        ALL, 5, false, 0 }, IR_CALL, 0 },
    { { "mfence", 64, "0faef0", { END }, 0, 0, { END }, 0, ALL, 0, false, 0 }, IR_FENCE, 0 },
};

#undef C
#undef P
#undef A
#undef Z
#undef S
#undef O

static void set_registers(struct cpu *cpu, const struct sample *s)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[R_SP] = at(s->bits, STACK);
    cpu->gpr[R_SI] = at(s->bits, DATA);
    cpu->gpr[R_DI] = at(s->bits, DATA + 0x100);
    for (const struct change *c = s->in; c->reg != 0xff; c++)
        cpu->gpr[c->reg] = c->value;
}

static void check_sample(const struct sample *s, bool interp, bool optimise, bool parallel)
{
    uint64_t want[16];
    unsigned vector;
    struct rig r;
    size_t len;

    rig_open(&r, interp, optimise);
    r.cpu->opt.parallel = parallel;
    memset(r.mem, 0, MEM_SIZE);
    set_mode(r.cpu, s->bits);
    set_registers(r.cpu, s);
    memcpy(want, r.cpu->gpr, sizeof(want));
    for (const struct change *c = s->out; c->reg != 0xff; c++)
        want[c->reg] = c->value;
    set_flags(r.cpu, s->fl_in);
    r.cpu->eflags = 2;
    store_le(r.mem + DATA, 8, s->mem_in);
    len = parse_hex(s->hex, r.mem + CODE);

    vector = run_code(&r, s->bits, len);
    ck_assert_msg(vector == (s->raises ? s->vector : NO_EXCEPTION), "%s: vector %u", s->name, vector);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_msg(r.cpu->gpr[i] == want[i], "%s: register %u is %llx, not %llx", s->name, i,
                      (unsigned long long)r.cpu->gpr[i], (unsigned long long)want[i]);
    ck_assert_msg(!((flags_of(r.cpu) ^ s->fl_out) & s->fl_mask), "%s: flags %x, not %x", s->name,
                  flags_of(r.cpu),
                  s->fl_out);
    ck_assert_msg(s->raises || load_le(r.mem + DATA, 8) == s->mem_out, "%s: memory %llx", s->name,
                  (unsigned long long)load_le(r.mem + DATA, 8));
    rig_close(&r);
}

static void check_engines(const struct sample *s, bool parallel)
{
    check_sample(s, true, false, parallel);
    check_sample(s, true, true, parallel);
    if (tcg_host_native())
        check_sample(s, false, true, parallel);
}

START_TEST(test_samples)
{
    check_engines(&samples[_i], false);
    check_engines(&samples[_i], true);
}
END_TEST

/* How many instructions of the block are what atomic operations are made of; the last one's kind. */
static unsigned count_atomics(const struct sample *s, bool parallel, uint8_t op, uint8_t *kind)
{
    unsigned num = 0;
    struct ir_block *blk;
    bool crossed;
    struct rig r;
    size_t len;

    rig_open(&r, true, true);
    r.cpu->opt.parallel = parallel;
    set_mode(r.cpu, s->bits);
    len = parse_hex(s->hex, r.mem + CODE);
    blk = emit_block(r.cpu, tcg_builder(r.tcg), r.mem + CODE, len, NULL, MEM_BASE + CODE, 1, &crossed, NULL);
    for (unsigned i = 1; i < blk->num; i++)
        if (blk->insn[i].op == op && (op != IR_CALL || blk->insn[i].imm == HELP_cmpxchg16b)) {
            *kind = (uint8_t)blk->insn[i].imm;
            num++;
        } else {
            ck_assert(!parallel || (blk->insn[i].op != IR_LD && blk->insn[i].op != IR_ST));
        }
    rig_close(&r);
    return num;
}

START_TEST(test_locked)
{
    uint8_t kind = 0;

    ck_assert_uint_eq(count_atomics(&locked[_i].s, false, locked[_i].op, &kind), 0);
    ck_assert_uint_eq(count_atomics(&locked[_i].s, true, locked[_i].op, &kind), 1);
    if (locked[_i].op == IR_ATOMIC)
        ck_assert_uint_eq(kind, locked[_i].kind);
    check_engines(&locked[_i].s, false);
    check_engines(&locked[_i].s, true);
}
END_TEST

/* Where control goes, by the pc that the block leaves behind. */
static const struct { unsigned bits; const char *hex; uint64_t cx; uint32_t fl; uint64_t pc; } jumps[] = {
    { 64, "7410", 0, FL_ZF, MEM_BASE + CODE + 0x12 },
    { 64, "7410", 0, 0, MEM_BASE + CODE + 2 },
    { 32, "66e90080", 0, 0, (MEM_BASE + CODE + 4 - 0x8000) & 0xffff },
    { 64, "90e9ffffff7f", 0, 0, MEM_BASE + CODE + 6 + UINT64_C(0x7fffffff) },
    { 64, "e900000080", 0, 0, MEM_BASE + CODE + 5 - UINT64_C(0x80000000) },
    { 64, "0f84f0ffff7f", 0, FL_ZF, MEM_BASE + CODE + 6 + UINT64_C(0x7ffffff0) },
    { 64, "0f84ffffff7f", 0, 0, MEM_BASE + CODE + 6 },
    { 64, "0f85ffffff7f", 0, 0, MEM_BASE + CODE + 6 + UINT64_C(0x7fffffff) },
    { 64, "e8ffffff7f", 0, 0, MEM_BASE + CODE + 5 + UINT64_C(0x7fffffff) },
    { 32, "90e9ffffff7f", 0, 0, (MEM_BASE + CODE + 6 + 0x7fffffffu) & UINT32_MAX },
    { 16, "e90080", 0, 0, (CODE + 3 + 0x8000) & 0xffff },
    { 16, "66e900100000", 0, 0, CODE + 6 + 0x1000 },
    { 64, "e3f0", 0, 0, MEM_BASE + CODE + 2 - 0x10 },
    { 64, "e3f0", 1, 0, MEM_BASE + CODE + 2 },
    { 64, "67e3f0", UINT64_C(0x100000000), 0, MEM_BASE + CODE + 3 - 0x10 },
    { 32, "ffe1", 0x1234, 0, 0x1234 },
    { 32, "66ffe1", 0x123456, 0, 0x3456 },
    { 64, "9090", 0, 0, MEM_BASE + CODE + 2 },
};

START_TEST(test_jumps)
{
    struct rig r;
    size_t len;

    rig_open(&r, true, true);
    set_mode(r.cpu, jumps[_i].bits);
    r.cpu->gpr[R_CX] = jumps[_i].cx;
    r.cpu->gpr[R_SP] = at(jumps[_i].bits, STACK);
    set_flags(r.cpu, jumps[_i].fl);
    len = parse_hex(jumps[_i].hex, r.mem + CODE);
    ck_assert_uint_eq(run_code(&r, jumps[_i].bits, len), NO_EXCEPTION);
    ck_assert_uint_eq(r.cpu->rip, jumps[_i].pc);
    rig_close(&r);
}
END_TEST

/* The run loop asked for its turn: a repetition stops between elements with its registers in step, and
 * resumes. */
START_TEST(test_repeat_interrupted)
{
    struct rig r;
    size_t len;

    rig_open(&r, true, true);
    set_mode(r.cpu, 32);
    r.cpu->mode |= MODE_TF;
    r.cpu->gpr[R_DI] = MEM_BASE + DATA;
    r.cpu->gpr[R_CX] = 2;
    len = parse_hex("f3aa", r.mem + CODE);
    ck_assert_uint_eq(run_code(&r, 32, len), NO_EXCEPTION);
    ck_assert_uint_eq(r.cpu->gpr[R_CX], 1);
    ck_assert_uint_eq(r.cpu->rip, MEM_BASE + CODE);
    ck_assert_uint_eq(run_code(&r, 32, len), NO_EXCEPTION);
    ck_assert_uint_eq(r.cpu->gpr[R_CX], 0);
    ck_assert_uint_eq(r.cpu->gpr[R_DI], MEM_BASE + DATA + 2);
    ck_assert_uint_eq(r.cpu->rip, MEM_BASE + CODE + 2);
    rig_close(&r);
}
END_TEST

static const struct { uint32_t mode; const char *hex; uint32_t size, insns; } extents[] = {
    { 0, "90909090", 4, 4 },              /* to the end of the page */
    { 0, "90eb0090", 3, 2 },              /* to a jump */
    { 0, "9081c0", 1, 1 },                /* not into an instruction that crosses */
    { MODE_TF, "9090", 1, 1 },
    { 0, "900fff", 1, 1 },
    { 0, "900f0b90", 3, 2 },
};

START_TEST(test_extent)
{
    struct ir_block *blk;
    bool crossed;
    struct rig r;
    size_t len;

    rig_open(&r, true, true);
    set_mode(r.cpu, 32);
    r.cpu->mode |= extents[_i].mode;
    len = parse_hex(extents[_i].hex, r.mem);
    blk = emit_block(r.cpu, tcg_builder(r.tcg), r.mem, len, NULL, 0x5000 - len, 64, &crossed, NULL);
    ck_assert_uint_eq(blk->guest_size, extents[_i].size);
    ck_assert_uint_eq(blk->guest_insns, extents[_i].insns);
    ck_assert(!crossed);
    rig_close(&r);
}
END_TEST

static uint64_t run_again(struct rig *r, struct tcg_block *blk, uint8_t *imm, uint32_t value)
{
    unsigned exit_no;

    memcpy(imm, &value, sizeof(value));
    r->cpu->rip = MEM_BASE + CODE;
    tcg_run(r->tcg, r->cpu, blk, &exit_no);
    return r->cpu->gpr[R_AX];
}

/* An immediate that is rewritten is read when the block runs, if its instruction reads it in no other way. */
START_TEST(test_live)
{
    struct ir_block *ir;
    struct tcg_block *blk;
    struct rig r;
    size_t len;
    bool crossed;
    enum tcg_miss why;

    rig_open(&r, _i & 1, _i & 2);
    set_mode(r.cpu, 64);
    len = parse_hex("b8112233446683c0ffc1e008", r.mem + CODE); /* mov eax; add ax, -1; shl eax, 8 */
    struct emit_live live = { .host = r.mem + CODE, .num = 4, .at = { { 1, 4 }, { 8, 1 }, { 11, 1 }, { 0, 2 } } };
    ir = emit_block(r.cpu, tcg_builder(r.tcg), r.mem + CODE, len, NULL, MEM_BASE + CODE, 64, &crossed, &live);
    ck_assert_uint_eq(ir->num_live, 2);
    ck_assert(ir->live[0].off == 1 && ir->live[0].len == 4 && ir->live[1].off == 8 && ir->live[1].len == 1);
    ir->phys = CODE;
    blk = tcg_translate(r.tcg, ir, false, NULL, &why);
    ck_assert_uint_eq(run_again(&r, blk, r.mem + CODE + 1, 0x44332211), 0x33221000);
    ck_assert_uint_eq(run_again(&r, blk, r.mem + CODE + 1, 0x99880000), 0x88ffff00);
    r.mem[CODE + 8] = 0x7f;
    ck_assert_uint_eq(run_again(&r, blk, r.mem + CODE + 1, 1), 0x8000);
    live.at[0] = (struct ir_live){ 2, 1 };
    len = parse_hex("90cd10", r.mem + CODE); /* nop; int 10h */
    ir = emit_block(r.cpu, tcg_builder(r.tcg), r.mem + CODE, len, NULL, MEM_BASE + CODE, 64, &crossed, &live);
    ck_assert(ir->num_live == 1 && ir->live[0].off == 2 && ir->live[0].len == 1);
    rig_close(&r);
}
END_TEST

/* An instruction across the page's end: with the next page it is a block, without it is a fetch fault. */
START_TEST(test_crossing)
{
    struct ir_block *blk;
    uint8_t tail[16] = { 0x44, 0x33, 0x22, 0x11 };
    bool crossed;
    struct rig r;
    size_t len;

    rig_open(&r, true, true);
    set_mode(r.cpu, 32);
    len = parse_hex("81c0", r.mem);
    blk = emit_block(r.cpu, tcg_builder(r.tcg), r.mem, len, tail, 0x5000 - len, 64, &crossed, NULL);
    ck_assert(crossed);
    ck_assert_uint_eq(blk->guest_size, 6);
    ck_assert_uint_eq(blk->guest_insns, 1);
    blk = emit_block(r.cpu, tcg_builder(r.tcg), r.mem, len, NULL, 0x5000 - len, 64, &crossed, NULL);
    ck_assert(crossed);
    ck_assert_uint_eq(blk->guest_size, 2);
    rig_close(&r);
}
END_TEST

/* ---- hot paths ---- */

enum { LIST_END = INT16_MIN, MAX_LISTED = 5 };

/* A page of 0xf4 with `hex` so many times at `at`, entered there + `entry`. All numbers are relative to the entry. */
static const struct trace_sample {
    const char *name, *hex;
    unsigned bits, at, times;
    int16_t entry, hot[2];      /* what was executed a lot */
    int16_t insn[MAX_LISTED];   /* the first ones that belong to it, in order; END: no more */
    int16_t exit[3];            /* the first EXITIFs lead there */
    unsigned insns, exits, gotoifs;
    uint8_t end;                /* enum ir_op */
    int32_t end_delta;          /* GOTO */
    uint32_t size, before;
} traces[] = {
#define E LIST_END
    { "cold branch", "85c07402ffc0c3", 64, 0x100, 1, 0, { E }, { 0, 2, 4, 6, E }, { 6 }, 4, 1, 0, IR_GOTOI, 0, 7, 0 },
    { "hot branch", "85c07402ffc0c3", 64, 0x100, 1, 0, { 6, E }, { 0, 2, 6, E }, { 4 }, 3, 1, 0, IR_GOTOI, 0, 7, 0 },
    { "hot both ways", "85c07402ffc0c3", 64, 0x100, 1, 0, { 6, 4 }, { 0, 2, 4, 6, E }, { 6 }, 4, 1, 0, IR_GOTOI, 0, 7,
      0 },
    { "loop", "ffc875fcc3", 64, 0x100, 1, 0, { 0, E }, { 0, 2, 0, 2, 0 }, { 4, 4, 4 }, 2 * TRACE_MAX_TURNS,
      TRACE_MAX_TURNS - 1, 0, IR_BR, 0, 4, 0 },
    { "long loop", "ffc848ffc348ffc14883c20148ffc648ffc74883c00149ffc049ffc149ffc249ffc34983c401"
      "ffc8ffc9ffcaffcbffceffcfffc5ffc0ffc1ffc2ffc3ffc6ffc775bec3", 64, 0x100, 1, 0, { 0, E }, { 0, 2, 5, 8, 12 }, { 66 }, 2 * 26, 1, 0,
      IR_BR, 0, 66, 0 },
    { "loop with many exits", "7400740074007400740074007400740074007400740075e8", 64, 0x100, 1, 0, { 0, E },
      { 0, 2, 4, 6, 8 }, { 2, 4, 6 }, 3 * 12, 3 * 12 - 1, 0, IR_BR, 0, 24, 0 },
    { "loop that ends", "ffc875fcc3", 64, 0x100, 1, 0, { 4, E }, { 0, 2, 4, E }, { 0 }, 3, 1, 0, IR_GOTOI, 0, 5, 0 },
    { "jump to itself", "ebfe", 64, 0x100, 1, 0, { E }, { 0, 0, 0, 0, E }, { 0 }, TRACE_MAX_TURNS, 0, 0, IR_GOTO, 0, 2,
      0 },
    { "jump forth", "eb0190c3", 32, 0x100, 1, 0, { E }, { 0, 3, E }, { 0 }, 2, 0, 0, IR_GOTOI, 0, 4, 0 },
    { "jump back", "ffc0c390ebfa", 64, 0x100, 1, 4, { E }, { 0, -4, -2, E }, { 0 }, 3, 0, 0, IR_GOTOI, 0, 2, 4 },
    { "round by falling", "9090ebfc", 64, 0x100, 1, 1, { E }, { 0, 1, -1, E }, { 0 }, 3, 0, 0, IR_GOTO, 0, 3, 1 },
    { "call and return", "e801000000c3ffc0c3", 64, 0x100, 1, 0, { E }, { 0, 6, 8, 5, E }, { 0 }, 4, 0, 1, IR_GOTOI, 0,
      9, 0 },
    { "call and return, 32", "e801000000c340c3", 32, 0x100, 1, 0, { E }, { 0, 6, 7, 5, E }, { 0 }, 4, 0, 1, IR_GOTOI,
      0, 8, 0 },
    { "ret imm16", "e801000000c3c20800", 32, 0x100, 1, 0, { E }, { 0, 6, 5, E }, { 0 }, 3, 0, 1, IR_GOTOI, 0, 9, 0 },
    { "call of 16 bits", "66e8010090c3", 32, 0x100, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_GOTOI, 0, 4, 0 },
    { "call far away", "e800100000c3", 64, 0x100, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_GOTO, 0x1005, 5, 0 },
    { "return near the page's end", "c390909090e8f6ffffff", 64, 0xfe8, 1, 5, { E }, { 0, -5, E }, { 0 }, 2, 0, 0, IR_GOTOI,
      0, 5, 5 },
    { "return to the beginning", "e80500000090ebf89090c3", 64, 0x100, 1, 5, { E }, { 0, 1, -5, 5, 0 }, { 0 },
      4 * TRACE_MAX_TURNS, 0, TRACE_MAX_TURNS - 1, IR_GOTOI, 0, 6, 5 },
    { "return to what was seen", "e80500000090ebf89090c3ebf8", 64, 0x100, 1, 11, { E }, { 0, -6, -5, -11, -1 }, { 0 }, 5, 0,
      0, IR_GOTOI, 0, 2, 11 },
    { "cold branch elsewhere", "0f8400100000c3", 64, 0x100, 1, 0, { E }, { 0, 6, E }, { 0x1006 }, 2, 1, 0, IR_GOTOI, 0,
      7, 0 },
    { "hot branch elsewhere", "0f8400100000c3", 64, 0x100, 1, 0, { 0x1006, E }, { 0, E }, { 0 }, 1, 0, 0, IR_BR, 0, 6,
      0 },
    { "jrcxz", "e301c3c3", 64, 0x100, 1, 0, { E }, { 0, 2, E }, { 3 }, 2, 1, 0, IR_GOTOI, 0, 3, 0 },
    { "loop instruction", "90e2fdc3", 32, 0x100, 1, 1, { E }, { 0, 2, E }, { -1 }, 2, 1, 0, IR_GOTOI, 0, 3, 0 },
    { "repetition", "f3aaffc0c3", 64, 0x100, 1, 0, { E }, { 0, 2, 4, E }, { 0 }, 3, 1, 0, IR_GOTOI, 0, 5, 0 },
    { "port string", "6cffc0c3", 64, 0x100, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_BR, 0, 1, 0 },
    { "repeated port string", "f36effc0c3", 64, 0x100, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_BR, 0, 2, 0 },
    { "out", "90e680ffc0c3", 64, 0x100, 1, 0, { E }, { 0, 1, E }, { 0 }, 2, 0, 0, IR_GOTO, 3, 3, 0 },
    { "undefined", "eb000f0bc3", 64, 0x100, 1, 0, { E }, { 0, 2, E }, { 0 }, 2, 0, 0, IR_EXIT, 0, 4, 0 },
    { "too long", "eb006666666666666666666666666666666690", 64, 0x100, 1, 0, { E }, { 0, 2, E }, { 0 }, 2, 0, 0,
      IR_EXIT, 0, 17, 0 },
    { "to the page's end", "90", 64, 0xffe, 2, 0, { E }, { 0, 1, E }, { 0 }, 2, 0, 0, IR_GOTO, 2, 2, 0 },
    { "not across it", "90b8", 64, 0xffe, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_GOTO, 1, 1, 0 },
    { "not near it by a jump", "eb04", 64, 0xff9, 1, 0, { E }, { 0, E }, { 0 }, 1, 0, 0, IR_GOTO, 6, 2, 0 },
    { "nothing", "b8", 64, 0xfff, 1, 0, { E }, { E }, { 0 }, 0, 0, 0, IR_GOTO, 0, 0, 0 },
    { "many instructions", "90", 64, 0x100, 200, 0, { E }, { 0, 1, 2, 3, 4 }, { 0 }, TRACE_MAX_INSNS, 0, 0, IR_GOTO,
      TRACE_MAX_INSNS, TRACE_MAX_INSNS, 0 },
    { "many exits", "7400", 64, 0x100, 100, 0, { E }, { 0, 2, 4, 6, 8 }, { 2, 4, 6 }, TCG_MAX_EXITS - 1,
      TCG_MAX_EXITS - 2, 0, IR_BR, 0, 2 * (TCG_MAX_EXITS - 1), 0 },
#undef E
};

static uint32_t sample_heat(void *opaque, int32_t delta)
{
    const struct trace_sample *s = opaque;

    for (unsigned i = 0; i < ARRAY_LEN(s->hot) && s->hot[i] != LIST_END; i++)
        if (s->hot[i] == delta)
            return 100;
    return 0;
}

static void check_trace(const struct trace_sample *s, const struct ir_block *blk)
{
    unsigned insns = 0, exits = 0, gotoifs = 0;
    bool more = true;

    for (unsigned i = 1; i < blk->num; i++) {
        const struct ir_insn *in = &blk->insn[i];
        if (in->op == IR_INSN && insns < MAX_LISTED && more) {
            more = s->insn[insns] != LIST_END;
            ck_assert_msg(more && (int32_t)in->imm == s->insn[insns], "%s: at %d", s->name, (int32_t)in->imm);
        }
        if (in->op == IR_EXITIF && exits < ARRAY_LEN(s->exit))
            ck_assert_msg((int32_t)in->imm == s->exit[exits], "%s: exit to %d", s->name, (int32_t)in->imm);
        insns += in->op == IR_INSN;
        exits += in->op == IR_EXITIF;
        gotoifs += in->op == IR_GOTOIF;
    }
    ck_assert_msg(insns == s->insns && blk->guest_insns == insns, "%s: %u instructions", s->name, insns);
    ck_assert_msg(exits == s->exits && blk->num_exits == exits, "%s: %u exits", s->name, exits);
    ck_assert_msg(gotoifs == s->gotoifs, "%s: %u returns", s->name, gotoifs);
    ck_assert_msg(blk->guest_size == s->size && blk->guest_before == s->before, "%s: %u bytes, %u in front", s->name,
                  blk->guest_size, blk->guest_before);
    ck_assert_msg(blk->insn[blk->num - 1].op == s->end, "%s: ends with %s", s->name,
                  ir_ops[blk->insn[blk->num - 1].op].name);
    ck_assert(s->end != IR_GOTO || (int32_t)blk->insn[blk->num - 1].imm == s->end_delta);
}

START_TEST(test_traces)
{
    const struct trace_sample *s = &traces[_i / 2];
    struct trace trace = { .heat = sample_heat, .opaque = (void *)(uintptr_t)s };
    struct ir_block *blk;
    const char *bad;
    char err[256];
    struct rig r;
    size_t len;

    rig_open(&r, true, _i % 2);
    set_mode(r.cpu, s->bits);
    memset(r.mem, 0xf4, MEM_SIZE);
    for (unsigned n = 0; n < s->times; n++) {
        len = parse_hex(s->hex, r.mem + CODE + s->at + n * strlen(s->hex) / 2);
        ck_assert_uint_gt(len, 0);
    }
    blk = emit_hot_block(r.cpu, tcg_builder(r.tcg), r.mem + CODE + s->at + s->entry, 0x1000 - s->at - (size_t)s->entry,
                         MEM_BASE + CODE + s->at + (uint64_t)s->entry, &trace);
    bad = ir_verify(blk, &cpu_guest, err, sizeof(err));
    ck_assert_msg(!bad, "%s: %s", s->name, bad);
    ck_assert(blk->hot && !blk->warm);
    ck_assert_uint_eq(blk->page_off, s->at + (unsigned)s->entry);
    check_trace(s, blk);
    rig_close(&r);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Whatever the bytes and the mode, the IR obeys ir.def. */
static void check_random_blocks(bool optimise, uint32_t state)
{
    static const unsigned widths[] = { 16, 32, 64 };
    static const uint32_t modes = MODE_TF | MODE_FLAT_DS | MODE_SS32 | MODE_OSFXSR | MODE_CPL | MODE_PE;
    uint8_t tail[16];
    char err[256];
    struct rig r;

    rig_open(&r, true, optimise);
    for (unsigned i = 0; i < 4000; i++) {
        size_t len = 1 + next_random(&state) % 64;
        struct ir_block *blk;
        const char *bad;
        bool crossed;
        set_mode(r.cpu, widths[i % 3]);
        r.cpu->mode ^= next_random(&state) & modes;
        for (size_t j = 0; j < len; j++)
            r.mem[j] = (uint8_t)next_random(&state);
        for (size_t j = 0; j < sizeof(tail); j++)
            tail[j] = (uint8_t)next_random(&state);
        blk = emit_block(r.cpu, tcg_builder(r.tcg), r.mem, len, i % 2 ? tail : NULL, 0x5000 - len, 64,
                         &crossed, NULL);
        bad = ir_verify(blk, &cpu_guest, err, sizeof(err));
        ck_assert_msg(!bad, "%u bits, bytes %02x %02x %02x %02x: %s", widths[i % 3], r.mem[0], r.mem[1],
                      r.mem[2],
                      r.mem[3], bad);
        ck_assert_uint_gt(blk->guest_insns, 0);
    }
    rig_close(&r);
}

static uint32_t random_heat(void *opaque, int32_t delta)
{
    return (uint32_t)delta * *(uint32_t *)opaque >> 13;
}

/* No instruction more often than there are turns; all of them in the page, within the bytes that the block says are its own. */
static void check_extent(const struct ir_block *blk)
{
    static uint8_t seen[4096];
    unsigned insns = 0;

    memset(seen, 0, sizeof(seen));
    for (unsigned i = 1; i < blk->num; i++) {
        int32_t delta = (int32_t)blk->insn[i].imm, at = blk->page_off + delta;
        int32_t end = delta + (int32_t)(blk->insn[i].imm >> 32);
        if (blk->insn[i].op != IR_INSN)
            continue;
        ck_assert(delta >= -(int32_t)blk->guest_before && end <= (int32_t)blk->guest_size);
        ck_assert(at >= 0 && at < 4096 && seen[at] < TRACE_MAX_TURNS);
        seen[at]++;
        insns++;
    }
    ck_assert_uint_eq(blk->guest_insns, insns);
    ck_assert(insns && insns <= TRACE_MAX_INSNS && blk->page_off + blk->guest_size <= 4096);
    ck_assert_uint_ge(blk->page_off, blk->guest_before);
}

/* Random bytes with many short branches in a page: the IR obeys ir.def, and can be made host code. */
START_TEST(test_random_traces)
{
    static const uint32_t modes = MODE_FLAT_DS | MODE_SS32 | MODE_OSFXSR | MODE_CPL;
    uint32_t state = (uint32_t)_i, salt;
    struct trace trace = { .heat = random_heat, .opaque = &salt };
    char err[256];
    struct rig r;

    rig_open(&r, _i & 2, _i & 1);
    for (unsigned i = 0; i < 600; i++) {
        unsigned off = next_random(&state) % 0xff0;
        enum tcg_miss why;
        struct ir_block *blk;
        const char *bad;
        set_mode(r.cpu, i % 2 ? 64 : 32);
        r.cpu->mode ^= next_random(&state) & modes;
        salt = next_random(&state) | 1;
        for (unsigned j = 0; j < 4096; j++)
            r.mem[j] = (uint8_t)(next_random(&state) % 4 ? next_random(&state) : 0x70 + next_random(&state) % 16);
        for (unsigned j = 1; j < 4096; j++)
            if ((r.mem[j - 1] & 0xf0) == 0x70 && next_random(&state) % 2)
                r.mem[j] = (uint8_t)(next_random(&state) % 64 - 32);
        blk = emit_hot_block(r.cpu, tcg_builder(r.tcg), r.mem + off, 4096 - off, 0x5000 + off, &trace);
        bad = ir_verify(blk, &cpu_guest, err, sizeof(err));
        ck_assert_msg(!bad, "round %u: %s", i, bad);
        check_extent(blk);
        blk->phys = off;
        if (!tcg_translate(r.tcg, blk, true, NULL, &why))
            tcg_flush(r.tcg);
    }
    rig_close(&r);
}
END_TEST

START_TEST(test_random_blocks)
{
    check_random_blocks(_i % 2, (uint32_t)_i);
}
END_TEST

Suite *emit_suite(void);

Suite *emit_suite(void)
{
    Suite *s = suite_create("emit");
    TCase *t = tcase_create("emit");

    tcase_add_loop_test(t, test_samples, 0, (int)ARRAY_LEN(samples));
    tcase_add_loop_test(t, test_locked, 0, (int)ARRAY_LEN(locked));
    tcase_add_loop_test(t, test_jumps, 0, (int)ARRAY_LEN(jumps));
    tcase_add_test(t, test_repeat_interrupted);
    tcase_add_loop_test(t, test_extent, 0, (int)ARRAY_LEN(extents));
    tcase_add_loop_test(t, test_live, 0, 4);
    tcase_add_test(t, test_crossing);
    tcase_add_loop_test(t, test_random_blocks, 0, 4);
    tcase_add_loop_test(t, test_traces, 0, 2 * (int)ARRAY_LEN(traces));
    tcase_add_loop_test(t, test_random_traces, 0, 4);
    suite_add_tcase(s, t);
    return s;
}
