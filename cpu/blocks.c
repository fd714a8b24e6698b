/* Blocks for the run loop: fetching code, having it translated, finding what was translated before. */
#include <string.h>
#include <time.h>

#include "cpu/emit.h"
#include "cpu/exec.h"
#include "cpu/smp.h"
#include "cpu/strict.h"
#include "memory/memory.h"

#define MAX_BLOCK_INSNS 64
/* Most blocks have 20: what is copied for each is not to be much more, since it may be in no cache of the host's. */
#define MAX_BLOCK_BYTES 256

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_page(const struct cpu *cpu, uint64_t pc)
{
    uint64_t next = align_down(pc, MEM_PAGE_SIZE) + MEM_PAGE_SIZE;

    return cpu_code64(cpu) ? next : next & UINT32_MAX;
}

static bool next_page_mapped(struct cpu *cpu, uint64_t pc)
{
    return mmu_may_fetch(cpu, next_page(cpu, pc));
}

/* Bytes of the page behind `pc`, and their RAM offset; NULL when a fetch there faults or it is no RAM. */
static const uint8_t *tail_page(struct cpu *cpu, uint64_t pc, uint64_t *ram_off)
{
    uint64_t next = next_page(cpu, pc);
    const uint8_t *host = NULL;

    *ram_off = UINT64_MAX;
    if (!mmu_may_fetch(cpu, next))
        return NULL;
    *ram_off = mmu_fetch(cpu, next, &host);
    return *ram_off == UINT64_MAX ? NULL : host;
}

/* Code outside RAM, or running into it: read what one instruction may need byte by byte. Returns how many bytes
 * can be fetched. */
static unsigned fetch_bytes(struct cpu *cpu, uint64_t pc, uint8_t *buf)
{
    for (unsigned i = 0; i < INSN_MAX_LEN; i++) {
        uint64_t addr = cpu_code64(cpu) ? pc + i : (uint32_t)(pc + i);
        if (i && !mmu_may_fetch(cpu, addr))
            return i;
        uint64_t phys = mmu_fetch_phys(cpu, addr);
        cpu_lock(cpu);
        buf[i] = (uint8_t)mem_read(cpu->bus.memory, phys, 1);
        cpu_unlock(cpu);
    }
    return INSN_MAX_LEN;
}

/* What is known about the code at the current pc. */
struct fetch {
    uint64_t pc;              /* linear */
    uint64_t phys;            /* RAM offset, ~0: not RAM */
    const uint8_t *code;
    size_t avail;             /* bytes to the page's end */
    uint64_t tail_phys;       /* RAM offset of the next page when the block may cross, else ~0 */
    const uint8_t *tail;
    /* What is translated: copies, because others may write there meanwhile. */
    uint8_t copy[MEM_PAGE_SIZE], tail_copy[INSN_MAX_LEN];
    unsigned limit;           /* instructions at most, when the slice has no more; else 0 */
};

static void fetch_code(struct cpu *cpu, struct fetch *f)
{
    f->pc = linear_pc(cpu);
    f->phys = mmu_fetch(cpu, f->pc, &f->code);
    f->avail = MEM_PAGE_SIZE - (f->pc & (MEM_PAGE_SIZE - 1));
    f->tail_phys = UINT64_MAX;
    f->tail = NULL;
    f->limit = 0;
    if (f->avail < INSN_MAX_LEN)
        f->tail = tail_page(cpu, f->pc, &f->tail_phys);
    if (f->phys == UINT64_MAX || (f->avail < INSN_MAX_LEN && !f->tail && next_page_mapped(cpu, f->pc))) {
        f->phys = UINT64_MAX;
        f->avail = fetch_bytes(cpu, f->pc, f->copy);
        f->code = NULL;
        f->tail = NULL;
    }
}

/* Copies of the code's bytes, made after others have been told to report their stores. */
static void watch_and_copy(struct cpu *cpu, struct fetch *f)
{
    if (f->phys == UINT64_MAX)
        return; /* fetched byte by byte */
    mmu_watch_code(cpu, f->phys);
    if (f->tail)
        mmu_watch_code(cpu, f->tail_phys);
    f->avail = MIN_OF(f->avail, (size_t)MAX_BLOCK_BYTES);
    copy_shared(f->copy, f->code, f->avail);
    if (f->tail)
        copy_shared(f->tail_copy, f->tail, sizeof(f->tail_copy));
}

/* In code segments that are not flat, blocks end at branches. */
static bool may_be_hot(const struct cpu *cpu)
{
    return cpu->opt.hot_after && (cpu->mode & (MODE_CODE64 | MODE_FLAT_CS)) &&
           !(cpu->mode & (MODE_STEPPED | MODE_RF)) &&
           !cpu->opt.counted && !cpu->opt.one_insn;
}

/* NULL with *why: see tcg_translate(). */
static struct tcg_block *translate(struct cpu *cpu, struct fetch *f, bool one_insn, enum tcg_miss *why)
{
    uint64_t start = tcg_is_timed(cpu->tcg) ? now_ns() : 0;
    bool crossed = false;
    struct tcg_block *blk;
    struct tcg_source src = { { f->code, f->tail }, { f->copy, f->tail_copy } };
    struct emit_live live = { .host = f->code };
    struct ir_block *ir;

    one_insn |= f->phys == UINT64_MAX;
    watch_and_copy(cpu, f);
    if (f->phys != UINT64_MAX && !cpu->opt.counted) /* whose blocks follow from the code alone */
        live.num = tcg_rewritten(cpu->tcg, f->phys, live.at);
    ir = emit_block(cpu, tcg_builder(cpu->tcg), f->copy, f->avail, f->tail ? f->tail_copy : NULL, f->pc,
                    one_insn ? 0 : cpu->opt.one_insn ? 1 : f->limit ? f->limit : MAX_BLOCK_INSNS, &crossed, &live);
    ir->phys = f->phys;
    ir->phys2 = crossed ? f->tail_phys : UINT64_MAX;
    if (f->limit || (crossed && !f->tail))
        one_insn = true; /* cut short, or the fault depends on the mapping of the next page: not to be kept */
    else
        ir->keep = one_insn && f->phys != UINT64_MAX;
    ir->warm = may_be_hot(cpu) && !one_insn && !crossed;
    blk = tcg_translate(cpu->tcg, ir, one_insn, &src, why);
    if (start)
        tcg_add_time(cpu->tcg, now_ns() - start);
    return blk;
}

/* The cache is full. Nobody is in it but devices that drop blocks, with the machine lock. An exclusive section for an
 * instruction cannot hold another one: it ends and begins anew. */
static void flush_cache(struct cpu *cpu)
{
    if (cpu->exclusive)
        cpu_exclusive_end(cpu);
    cpu_exclusive_begin(cpu, EXCLUSIVE_CACHE);
    cpu_lock(cpu);
    tcg_flush(cpu->tcg);
    cpu_unlock(cpu);
    cpu_exclusive_end(cpu);
    if (cpu->exclusive)
        cpu_exclusive_begin(cpu, EXCLUSIVE_INSN);
}

/* A block of one instruction serves where code changes while it is being translated. */
static struct tcg_block *make_block(struct cpu *cpu, struct fetch *f, bool one_insn)
{
    struct tcg_block *blk;
    enum tcg_miss why;

    while (!(blk = translate(cpu, f, one_insn, &why))) {
        if (why == TCG_STALE) {
            one_insn = true;
        } else {
            flush_cache(cpu);
        }
    }
    return blk;
}

/* ---- hot paths ---- */

struct heat_source { struct cpu *cpu; uint64_t phys; };

/* Of blocks that are hot, and of the one at hand, nothing is counted any more: they were entered most. */
static uint32_t heat_of(void *opaque, int32_t delta)
{
    const struct heat_source *s = opaque;
    uint64_t phys = s->phys + (uint64_t)(int64_t)delta;
    const struct tcg_block *blk;

    if (phys >> MEM_PAGE_SHIFT != s->phys >> MEM_PAGE_SHIFT)
        return 0;
    blk = tcg_find(s->cpu->tcg, phys, UINT64_MAX, s->cpu->mode);
    if (!blk || blk->hot || !delta)
        return blk ? UINT32_MAX : 0;
    return blk->warm ? 1 + s->cpu->opt.hot_after - MIN_OF(s->cpu->heat[blk->heat], s->cpu->opt.hot_after) : 1;
}

/* The block at hand was entered often: another one in its place. NULL: it stays, because the cache is full or others
 * are changing its bytes, which may even make its first instruction cross the page. */
static struct tcg_block *translate_hot(struct cpu *cpu, struct fetch *f)
{
    uint64_t start = tcg_is_timed(cpu->tcg) ? now_ns() : 0, page_off = f->pc & (MEM_PAGE_SIZE - 1);
    struct heat_source source = { cpu, f->phys };
    struct emit_live live = { .host = f->code };
    struct trace trace = { .live = &live, .heat = heat_of, .opaque = &source };
    struct tcg_source src = { { NULL, NULL }, { NULL, NULL } };
    struct tcg_block *blk;
    struct ir_block *ir;
    enum tcg_miss why;

    mmu_watch_code(cpu, f->phys);
    copy_shared(f->copy, f->code - page_off, MEM_PAGE_SIZE);
    live.num = tcg_rewritten(cpu->tcg, f->phys - page_off, live.at);
    for (unsigned n = 0; n < live.num; n++)
        live.at[n].off = (int16_t)(live.at[n].off - (int)page_off);
    ir = emit_hot_block(cpu, tcg_builder(cpu->tcg), f->copy + page_off, f->avail, f->pc, &trace);
    if (!ir->guest_insns)
        return NULL;
    ir->phys = f->phys;
    ir->phys2 = UINT64_MAX;
    src.host[0] = f->code - ir->guest_before;
    src.copy[0] = f->copy + page_off - ir->guest_before;
    blk = tcg_translate(cpu->tcg, ir, false, &src, &why);
    if (start)
        tcg_add_time(cpu->tcg, now_ns() - start);
    return blk;
}

/* The block that is about to run, or the one that takes its place. */
static struct tcg_block *heat_up(struct cpu *cpu, struct fetch *f, struct tcg_block *blk)
{
    struct tcg_block *hot;

    cpu->hot_next = NULL;
    cpu->heat[blk->heat] = cpu->opt.hot_after;
    hot = translate_hot(cpu, f);
    return hot ? hot : blk;
}

/* ---- finding ---- */

struct tcg_block *cpu_find_block(struct cpu *cpu)
{
    uint32_t mode = cpu->mode | (cpu->one_insn_next ? MODE_ALONE : 0);
    struct tcg_block *blk = NULL;
    struct fetch f;

    fetch_code(cpu, &f);
    cpu->one_insn_next = false;
    if (f.phys != UINT64_MAX) {
        blk = tcg_find(cpu->tcg, f.phys, UINT64_MAX, mode);
        if (!blk && f.tail)
            blk = tcg_find(cpu->tcg, f.phys, f.tail_phys & ~(MEM_PAGE_SIZE - 1), mode);
    }
    if (blk && blk == cpu->hot_next)
        blk = heat_up(cpu, &f, blk);
    if (!blk)
        blk = make_block(cpu, &f, mode & MODE_ALONE);
    if (cpu->opt.counted && blk->insns > cpu->budget) {
        f.limit = (unsigned)cpu->budget;
        blk = make_block(cpu, &f, false);
    }
    if (cpu->generation != tcg_generation(cpu->tcg))
        mmu_forget_blocks(cpu);
    if (!watching_blocks(cpu) && !blk->one_insn)
        jumps_add(cpu, f.pc, blk);
    return blk;
}
