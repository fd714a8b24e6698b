/* Random initial state of a case. */
#include "tests/insn/insn.h"

static uint64_t random_pointer(struct gen *g, unsigned seg)
{
    uint64_t p = HOT_LIN + rng_below(&g->r, HOT_SIZE) - env_base(g->c->env, seg);

    return rng_percent(&g->r, 70) ? p & ~UINT64_C(7) : p;
}

/* Most cases find pointers where the ABI's habits, string instructions and the stack have them. */
static void random_gprs(struct gen *g)
{
    static const uint8_t pointers[] = { R_BX, R_BP, R_SI, R_DI };
    struct image *in = &g->c->in;
    unsigned regs = g->bits == 64 ? 16 : 8;

    for (unsigned i = 0; i < regs; i++)
        in->gpr[i] = rng_int(&g->r);
    for (unsigned i = 0; i < ARRAY_LEN(pointers); i++)
        if (rng_percent(&g->r, 60))
            in->gpr[pointers[i]] = random_pointer(g, pointers[i] == R_BP ? S_SS : S_DS);
    in->gpr[R_SP] = random_pointer(g, S_SS);
    if (g->bits == 16 && rng_percent(&g->r, 50))
        in->gpr[R_SP] |= rng_next(&g->r) << 16;
    if (g->bits != 64)
        for (unsigned i = 0; i < regs; i++)
            in->gpr[i] &= UINT32_MAX;
}

static unsigned random_fcw(struct gen *g)
{
    static const unsigned precision[4] = { 0x300, 0x300, 0x200, 0x000 };
    struct rng *r = &g->r;
    unsigned masks = rng_percent(r, g->single ? 85 : 97) ? 0x3f : rng_below(r, 0x40);

    if (rng_percent(r, 40))
        return 0x37f;
    return 0x40 | masks | precision[rng_below(r, 4)] | rng_below(r, 4) << 10;
}

/* ES and B follow from flags and masks; a pending exception is rare. */
static unsigned random_fsw(struct gen *g, unsigned fcw)
{
    struct rng *r = &g->r;
    unsigned flags = rng_percent(r, 40) ? rng_below(r, 0x40) : 0;
    unsigned sw = rng_percent(r, 50) ? rng_next(r) & 0x4700 : 0;

    if (!rng_percent(r, g->single ? 10 : 1))
        flags &= fcw & 0x3f;
    if ((flags & 1) && rng_percent(r, 30))
        sw |= 0x40;
    if (flags & ~fcw & 0x3f)
        sw |= 0x8080;
    return sw | flags | (rng_percent(r, 60) ? rng_below(r, 8) << 11 : 0);
}

static uint32_t random_mxcsr(struct gen *g)
{
    struct rng *r = &g->r;
    uint32_t v = rng_percent(r, g->single ? 85 : 97) ? 0x1f80 : rng_below(r, 0x40) << 7;

    if (rng_percent(r, 40))
        return 0x1f80;
    return v | rng_below(r, 4) << 13 | (rng_percent(r, 20) ? 0x8000 : 0) | (rng_percent(r, 20) ? 0x40 : 0) |
           (rng_percent(r, 40) ? rng_below(r, 0x40) : 0);
}

static unsigned random_tags(struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0: return 0;
    case 1: return 0xff;
    case 2: return rng_next(r) & rng_next(r) & 0xff;
    default: return (rng_next(r) | rng_next(r)) & 0xff;
    }
}

void state_random_fx(struct gen *g, uint8_t *fx)
{
    unsigned fcw = random_fcw(g);

    store_le(fx + FX_FCW, 2, fcw);
    store_le(fx + FX_FSW, 2, random_fsw(g, fcw));
    store_le(fx + FX_FTW, 1, random_tags(&g->r));
    store_le(fx + FX_FOP, 2, rng_below(&g->r, 0x800));
    store_le(fx + FX_FIP, 8, rng_next(&g->r) >> 17);
    store_le(fx + FX_FDP, 8, rng_next(&g->r) >> 17);
    store_le(fx + FX_MXCSR, 4, random_mxcsr(g));
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *st = fx + FX_ST + 16 * i;
        rng_fill(&g->r, st, 16);
        if (rng_percent(&g->r, 60))
            rng_f80(&g->r, st);
        memset(st + 10, 0, 6);
    }
    rng_fill(&g->r, fx + FX_XMM, FX_END - FX_XMM);
}

/* TF ends the case after its first instruction, AC at the first operand that is not aligned. */
static uint32_t random_eflags(struct gen *g)
{
    static const struct { uint32_t flag; unsigned percent, in_sequence; } seldom[] = {
        { FL_DF, 15, 15 }, { FL_NT, 10, 10 }, { FL_ID, 15, 15 },
        { FL_RF, 3, 3 }, { FL_TF, 3, 1 }, { FL_AC, 4, 2 },
    };
    uint32_t v = (uint32_t)(rng_next(&g->r) & IR_FLAGS6) | FL_IF | 2;

    for (unsigned i = 0; i < ARRAY_LEN(seldom); i++)
        if (rng_percent(&g->r, g->single ? seldom[i].percent : seldom[i].in_sequence))
            v |= seldom[i].flag;
    return v;
}

/* Numbers of all formats where most operands lie, any bytes elsewhere. */
static void random_data(struct gen *g)
{
    enum { FIRST = HOT_LIN - DATA_LIN - 0x80, LAST = HOT_LIN - DATA_LIN + HOT_SIZE + 0x100 };
    uint8_t *mem = g->c->mem;

    for (unsigned i = 0; i < DATA_SIZE; i += 8)
        store_le(mem + i, 8, rng_next(&g->r));
    rng_fill(&g->r, mem + FIRST, LAST - FIRST);
}

void state_random(struct gen *g)
{
    struct image *in = &g->c->in;

    random_gprs(g);
    in->rip = case_rip(g->c);
    in->eflags = random_eflags(g);
    state_random_fx(g, in->fx);
    if ((g->cpu->xcr0 & XCR0_AVX) && rng_percent(&g->r, 85))
        rng_fill(&g->r, in->ymmh[0], sizeof(in->ymmh));
    random_data(g);
}
