/* Fuzz target: arbitrary bytes in any mode of the processor are decoded, printed, emitted, verified after every
 * pass and compiled. Nothing is run. Input: 4 bytes of mode, 1 flags, 2 the place within a page, then code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cpu/emit.h"
#include "cpu/sys.h"
#include "tests/fuzz/fuzz.h"

#define PAGE 4096u
enum { FLAG_NOOPT = 1, FLAG_TAIL = 2, FLAG_ONE = 4, FLAG_OLD_MODEL = 8, FLAG_BASE_ISA = 16 };

struct target {
    struct cpu *cpu;
    struct log log;
    struct tcg *tcg[4];     /* by FLAG_NOOPT and FLAG_BASE_ISA */
    FILE *nowhere;
};

static void fail(const char *what)
{
    fprintf(stderr, "fuzz translate: %s\n", what);
    abort();
}

static void target_open(struct target *t)
{
    struct error err = { 0 };

    log_init(&t->log);
    t->cpu = aligned_alloc(64, align_up(sizeof(struct cpu), 64));
    t->nowhere = fopen("/dev/null", "w");
    if (!t->cpu || !t->nowhere)
        fail("no memory");
    memset(t->cpu, 0, sizeof(*t->cpu));
    t->cpu->log = &t->log;
    for (unsigned i = 0; i < ARRAY_LEN(t->tcg); i++) {
        struct tcg_options opt = { .engine = tcg_host_native() ? TCG_JIT : TCG_INTERP, .optimise = !(i & 1),
                                   .verify = true, .cache_size = 8u << 20, .without_isa = i & 2 ? UINT32_MAX : 0 };
        t->tcg[i] = tcg_new(&cpu_guest, &opt, &t->log, &err);
        if (!t->tcg[i])
            fail(err.msg);
    }
}

/* Bits that contradict each other are made to agree as cpu_update_mode() would. */
static uint32_t legal_mode(uint32_t m)
{
    if (!(m & MODE_PE))
        m &= ~(uint32_t)(MODE_LMA | MODE_VM | MODE_CPL | MODE_CODE32 | MODE_CODE64);
    if (m & MODE_LMA)
        m &= ~(uint32_t)MODE_VM;
    else
        m &= ~(uint32_t)MODE_CODE64;
    if (m & MODE_VM)
        m = (m | MODE_CPL) & ~(uint32_t)(MODE_CODE32 | MODE_SS32);
    if (m & MODE_CODE64)
        m = (m | MODE_FLAT_CS | MODE_FLAT_DS | MODE_FLAT_ES | MODE_FLAT_SS) & ~(uint32_t)MODE_CODE32;
    return m;
}

/* The decoder alone, at every size of code; it must not read behind `size`, tell a length beyond it, or give up
 * on complete bytes. */
static void try_decoder(struct target *t, const uint8_t *code, size_t size)
{
    static const uint8_t bits[] = { 16, 32, 64 };
    struct insn insn;

    for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
        enum decode_result result = insn_decode(&insn, code, size, bits[i]);
        if (insn.len > INSN_MAX_LEN || insn.len > size)
            fail("an instruction that is longer than its bytes");
        if (result == DECODE_MORE && size >= INSN_MAX_LEN)
            fail("15 bytes are not enough");
        if (result == DECODE_OK && !insn.row)
            fail("decoded, but to no row");
        if (result == DECODE_OK)
            insn_print(t->nowhere, &insn, 0x1000);
    }
}

static void try_translation(struct target *t, uint32_t mode, unsigned flags, unsigned place, const uint8_t *code,
                            size_t size)
{
    struct cpu *cpu = t->cpu;
    struct tcg *tcg = t->tcg[(flags & FLAG_NOOPT ? 1 : 0) | (flags & FLAG_BASE_ISA ? 2 : 0)];
    size_t avail = PAGE - place;
    uint8_t page[PAGE + INSN_MAX_LEN], *exact;
    bool crossed;
    enum tcg_miss why;
    struct ir_block *ir;

    memset(page, 0x90, sizeof(page));
    memcpy(page + place, code, MIN_OF(size, sizeof(page) - place));
    exact = malloc(avail); /* of its own, so that a read behind the page is noticed */
    memcpy(exact, page + place, avail);
    cpu->mode = mode;
    cpu->tcg = tcg;
    cpu_set_model(cpu, cpu_model_find(flags & FLAG_OLD_MODEL ? "pentium" : "max"));
    ir = emit_block(cpu, tcg_builder(tcg), exact, avail, flags & FLAG_TAIL ? page + PAGE : NULL, 0x10000 + place,
                    flags & FLAG_ONE ? 1 : 64, &crossed, NULL);
    ir->phys = place;
    ir->phys2 = UINT64_MAX;
    if (!ir->guest_insns || ir->guest_size > avail + INSN_MAX_LEN)
        fail("a block of impossible size");
    tcg_translate(tcg, ir, true, NULL, &why);
    tcg_flush(tcg); /* an input depends on no other */
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target *t;
    struct input in = { data, data + size };
    uint32_t mode = legal_mode((uint32_t)input_take(&in, 4));
    unsigned flags = (unsigned)input_take(&in, 1), place = input_take(&in, 2) & (PAGE - 1);

    if (!t) {
        t = calloc(1, sizeof(*t));
        target_open(t);
    }
    size = (size_t)(in.end - in.at);
    if (size) {
        uint8_t *exact = malloc(size);
        memcpy(exact, in.at, size);
        try_decoder(t, exact, size);
        free(exact);
    }
    try_translation(t, mode, flags, place, in.at, size);
    return 0;
}
