/* Saving and restoring x87 and SSE state: FNSTENV, FNSAVE, FXSAVE and back (SDM vol. 1, 8.1.10, 10.5). */
#include "cpu/helpers.h"
#include "cpu/strict.h"
#include "cpu/x87.h"

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const union fpu_reg *r)
{
    unsigned e = r->exp & 0x7fff;

    if (!e && !r->mant)
        return TAG_ZERO;
    return !e || e == 0x7fff || !(r->mant >> 63) ? TAG_SPECIAL : TAG_VALID;
}

uint16_t fpu_tag_word(const struct fpu *f)
{
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++)
        tags |= (uint16_t)((f->empty & (1u << i) ? TAG_EMPTY : tag_of(&f->st[i])) << (2 * i));
    return tags;
}

void fpu_set_tag_word(struct fpu *f, uint16_t tags)
{
    f->empty = 0;
    for (unsigned i = 0; i < 8; i++)
        if (((tags >> (2 * i)) & 3) == TAG_EMPTY)
            f->empty |= (uint8_t)(1u << i);
}

static bool protected_format(const struct cpu *cpu)
{
    return (cpu->mode & MODE_PE) && !(cpu->mode & MODE_VM);
}

/* The environment as seven words (SDM vol. 1, figures 8-9 to 8-12). With 32-bit
 * operand size the unused upper halves read as ones. */
static void env_words(const struct cpu *cpu, uint32_t w[7], bool op32)
{
    const struct fpu *f = &cpu->fpu;
    uint32_t high = op32 ? UINT32_C(0xffff0000) : 0;

    w[0] = high | f->cw;
    w[1] = high | fpu_status_word(f);
    w[2] = high | fpu_tag_word(f);
    if (protected_format(cpu)) {
        w[3] = (uint32_t)fpu_ip(f);
        w[4] = f->fcs | (uint32_t)(f->fop & 0x7ff) << 16;
        w[5] = (uint32_t)f->fdp;
        w[6] = high | f->fds;
    } else {
        uint32_t ip = (uint32_t)fpu_ip(f) + ((uint32_t)f->fcs << 4), dp = (uint32_t)f->fdp + ((uint32_t)f->fds << 4);
        uint32_t upper = op32 ? 0xffff : 0xf; /* address bits above 15 that the format has room for */
        w[3] = high | (ip & 0xffff);
        w[4] = (ip >> 16 & upper) << 12 | (f->fop & 0x7ff);
        w[5] = high | (dp & 0xffff);
        w[6] = (dp >> 16 & upper) << 12;
    }
}

static void env_store(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    unsigned size = spec & XS_OP32 ? 4 : 2;
    uint32_t w[7];

    env_words(cpu, w, size == 4);
    for (unsigned i = 0; i < 7; i++)
        mmu_store(cpu, addr + i * size, w[i], size, xs_mem_flags(spec));
}

struct env { uint16_t cw, sw, tags, fcs, fds, fop; uint32_t fip, fdp; };

static struct env env_load(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    unsigned size = spec & XS_OP32 ? 4 : 2;
    uint32_t w[7];
    struct env e;

    for (unsigned i = 0; i < 7; i++)
        w[i] = (uint32_t)mmu_load(cpu, addr + i * size, size, xs_mem_flags(spec));
    e = (struct env){ .cw = (uint16_t)w[0], .sw = (uint16_t)w[1], .tags = (uint16_t)w[2] };
    if (protected_format(cpu)) {
        e.fip = w[3];
        e.fcs = (uint16_t)w[4];
        e.fop = size == 4 ? w[4] >> 16 & 0x7ff : 0;
        e.fdp = w[5];
        e.fds = (uint16_t)w[6];
    } else {
        e.fip = (w[3] & 0xffff) | (w[4] >> 12) << 16;
        e.fop = w[4] & 0x7ff;
        e.fdp = (w[5] & 0xffff) | (w[6] >> 12) << 16;
    }
    return e;
}

static void env_set(struct cpu *cpu, const struct env *e)
{
    struct fpu *f = &cpu->fpu;

    f->cw = fpu_control_word(e->cw);
    fpu_set_ip(f, e->fip);
    f->fdp = e->fdp;
    f->fcs = e->fcs;
    f->fds = e->fds;
    f->fop = e->fop;
    fpu_set_tag_word(f, e->tags);
    fpu_set_status_word(cpu, e->sw);
}

uint64_t helper_x87_stenv(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    mmu_probe(cpu, addr, spec & XS_OP32 ? 28 : 14, ACC_WRITE, xs_mem_flags(spec));
    env_store(cpu, spec, addr);
    cpu->fpu.cw |= FSW_EXCEPTIONS;
    fpu_update_pending(cpu);
    return 0;
}

uint64_t helper_x87_ldenv(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    struct env e = env_load(cpu, spec, addr);

    env_set(cpu, &e);
    return 0;
}

/* The alignment that FNSAVE and FRSTOR check is that of the environment's words (SDM vol. 3, table 6-7), so registers
 * go in parts of 2 bytes when it is checked. */
static unsigned reg_part(const struct cpu *cpu)
{
    return cpu->mode & MODE_AC ? 2 : 8;
}

static void reg_store(struct cpu *cpu, uint64_t spec, uint64_t addr, const union fpu_reg *r)
{
    unsigned part = reg_part(cpu);

    for (unsigned i = 0; i < 8; i += part)
        mmu_store(cpu, addr + i, r->mant >> (8 * i), part, xs_mem_flags(spec));
    mmu_store(cpu, addr + 8, r->exp, 2, xs_mem_flags(spec));
}

static union fpu_reg reg_load(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    unsigned part = reg_part(cpu);
    union fpu_reg r = { .mmx = 0 };

    for (unsigned i = 0; i < 8; i += part)
        r.mant |= mmu_load(cpu, addr + i, part, xs_mem_flags(spec)) << (8 * i);
    r.exp = (uint16_t)mmu_load(cpu, addr + 8, 2, xs_mem_flags(spec));
    return r;
}

uint64_t helper_x87_save(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    unsigned env_size = spec & XS_OP32 ? 28 : 14;

    mmu_probe(cpu, addr, env_size + 80, ACC_WRITE, xs_mem_flags(spec));
    env_store(cpu, spec, addr);
    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *r = &cpu->fpu.st[(cpu->fpu.top + i) & 7];
        reg_store(cpu, spec, addr + env_size + 10 * i, r);
    }
    fpu_init(cpu);
    return 0;
}

uint64_t helper_x87_rstor(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    unsigned env_size = spec & XS_OP32 ? 28 : 14;
    struct env e = env_load(cpu, spec, addr);
    union fpu_reg st[8];

    for (unsigned i = 0; i < 8; i++)
        st[i] = reg_load(cpu, spec, addr + env_size + 10 * i);
    env_set(cpu, &e);
    for (unsigned i = 0; i < 8; i++) {
        cpu->fpu.st[(cpu->fpu.top + i) & 7].mant = st[i].mant;
        cpu->fpu.st[(cpu->fpu.top + i) & 7].exp = st[i].exp;
    }
    return 0;
}

/* ---- FXSAVE area ---- */


static void check_fx_address(struct cpu *cpu, uint64_t addr)
{
    if (addr & 15)
        cpu_raise_error(cpu, EX_GP, 0);
}

static unsigned num_xmm(const struct cpu *cpu)
{
    return cpu_code64(cpu) ? 16 : 8;
}

void fpu_fx_save(const struct fpu *f, uint8_t *area, bool rex)
{
    memset(area, 0, FX_MXCSR);
    store_le(area, 2, f->cw);
    store_le(area + 2, 2, fpu_status_word(f));
    area[4] = (uint8_t)~f->empty;
    store_le(area + 6, 2, f->fop);
    store_le(area + 8, rex ? 8 : 4, fpu_ip(f));
    store_le(area + 16, rex ? 8 : 4, f->fdp);
    if (!rex) {
        store_le(area + 12, 2, f->fcs);
        store_le(area + 20, 2, f->fds);
    }
    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *r = &f->st[(f->top + i) & 7];
        store_le(area + FX_ST + 16 * i, 8, r->mant);
        store_le(area + FX_ST + 16 * i + 8, 8, r->exp);
    }
}

uint64_t helper_fxsave(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    uint8_t area[FX_XMM_END];
    unsigned len = FX_XMM + 16 * num_xmm(cpu);

    check_fx_address(cpu, addr);
    mmu_probe(cpu, addr, FX_SIZE, ACC_WRITE, xs_mem_flags(spec));
    fpu_fx_save(&cpu->fpu, area, spec & XS_REX);
    store_le(area + FX_MXCSR, 4, cpu_get_mxcsr(cpu));
    store_le(area + FX_MXCSR + 4, 4, MXCSR_MASK);
    for (unsigned i = 0; i < num_xmm(cpu); i++)
        memcpy(area + FX_XMM + 16 * i, &cpu->xmm[i], 16);
    for (unsigned i = 0; i < len; i += 8)
        mmu_store(cpu, addr + i, load_le(area + i, 8), 8, xs_mem_flags(spec));
    return 0;
}

void fpu_fx_restore(struct cpu *cpu, const uint8_t *area, bool rex)
{
    struct fpu *f = &cpu->fpu;

    f->cw = fpu_control_word(load_le(area, 2));
    f->empty = (uint8_t)~area[4];
    f->fop = load_le(area + 6, 2) & 0x7ff;
    fpu_set_ip(f, load_le(area + 8, rex ? 8 : 4));
    f->fdp = load_le(area + 16, rex ? 8 : 4);
    f->fcs = rex ? 0 : (uint16_t)load_le(area + 12, 2);
    f->fds = rex ? 0 : (uint16_t)load_le(area + 20, 2);
    fpu_set_status_word(cpu, (uint16_t)load_le(area + 2, 2));
    for (unsigned i = 0; i < 8; i++) {
        f->st[(f->top + i) & 7].mant = load_le(area + FX_ST + 16 * i, 8);
        f->st[(f->top + i) & 7].exp = (uint16_t)load_le(area + FX_ST + 16 * i + 8, 2);
    }
}

uint64_t helper_fxrstor(struct cpu *cpu, uint64_t spec, uint64_t addr)
{
    uint8_t area[FX_XMM_END];
    unsigned len = FX_XMM + 16 * num_xmm(cpu);
    uint32_t mxcsr;

    check_fx_address(cpu, addr);
    mmu_probe(cpu, addr, FX_SIZE, ACC_READ, xs_mem_flags(spec));
    for (unsigned i = 0; i < len; i += 8)
        store_le(area + i, 8, mmu_load(cpu, addr + i, 8, xs_mem_flags(spec)));
    mxcsr = (uint32_t)load_le(area + FX_MXCSR, 4);
    strict_reserved(cpu, "MXCSR", mxcsr, ~(uint32_t)MXCSR_MASK, true);
    if (mxcsr & ~(uint32_t)MXCSR_MASK)
        cpu_raise_error(cpu, EX_GP, 0);
    fpu_fx_restore(cpu, area, spec & XS_REX);
    cpu_set_mxcsr(cpu, mxcsr);
    for (unsigned i = 0; i < num_xmm(cpu); i++)
        memcpy(&cpu->xmm[i], area + FX_XMM + 16 * i, 16);
    cpu_update_mode(cpu);
    return 0;
}
