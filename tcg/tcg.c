/* The translator: life, from IR to a runnable block, running, and where an exception came from. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/error.h"
#include "base/log.h"
#include "tcg/cache.h"

#define DEFAULT_CACHE ((size_t)64 << 20)
#define MIN_CACHE ((size_t)1 << 20)   /* room for the thunks and some largest possible blocks */

/* ---- life ---- */

/* Address space that costs memory only where it is touched. */
static int reserve(struct tcg_arena *a, size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    a->start = a->at = p;
    a->end = a->start + size;
    return 0;
}

static void release(struct tcg_arena *a)
{
    if (a->start)
        munmap(a->start, (size_t)(a->end - a->start));
}

static int reserve_cache(struct tcg *t, struct error *err)
{
    size_t size = align_up(t->opt.cache_size ? MAX_OF(t->opt.cache_size, MIN_CACHE) : DEFAULT_CACHE, 65536);
    struct tcg_arena index = { 0 };
    int ret;

    ret = reserve(&t->data, size, PROT_READ | PROT_WRITE);
    if (!ret)
        ret = reserve(&index, TCG_MAX_BLOCKS * sizeof(*t->block), PROT_READ | PROT_WRITE);
    if (ret)
        return error_set(err, ret, "tcg: no memory for the translation cache: %s", strerror(-ret));
    t->block = (struct tcg_block **)(void *)index.start;
    t->stats.cache_size = size;
    if (!t->host)
        return 0;
    ret = reserve(&t->code_map, size, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (ret)
        return error_set(err, ret, "tcg: the host refuses executable memory: %s", strerror(-ret));
    t->code = (struct tcg_code_buf){ t->code_map.start, t->code_map.start, t->code_map.end };
    t->host_state = t->host->init(t->guest, &t->code, tcg_host_isa() & ~t->opt.without_isa);
    t->code.start = t->code.at;
    return t->host_state ? 0 : error_set(err, -ENOMEM, "tcg: out of memory");
}

struct tcg *tcg_new(const struct tcg_guest *guest, const struct tcg_options *opt, struct log *log,
                    struct error *err)
{
    struct tcg *t = calloc(1, sizeof(*t));

    if (!t) {
        error_set(err, -ENOMEM, "tcg: out of memory");
        return NULL;
    }
    t->guest = guest;
    t->opt = *opt;
    t->log = log;
    if (opt->engine == TCG_JIT)
        t->host = tcg_host_native();
    if (!t->host)
        t->opt.engine = TCG_INTERP;
    t->builder = ir_builder_new(guest, opt->optimise);
    if (!t->builder)
        error_set(err, -ENOMEM, "tcg: out of memory");
    if (!t->builder || reserve_cache(t, err)) {
        tcg_free(t);
        return NULL;
    }
    return t;
}

static void free_maps(struct tcg *t)
{
    for (unsigned i = 0; i < t->num_blocks; i++)
        free(t->block[i]->map);
}

void tcg_free(struct tcg *t)
{
    if (!t)
        return;
    free_maps(t);
    if (t->host_state)
        t->host->free(t->host_state);
    if (t->block)
        munmap(t->block, TCG_MAX_BLOCKS * sizeof(*t->block));
    release(&t->code_map);
    release(&t->data);
    ir_builder_free(t->builder);
    free(t);
}

struct ir_builder *tcg_builder(struct tcg *t)
{
    return t->builder;
}

const struct tcg_options *tcg_opts(struct tcg *t)
{
    return &t->opt;
}

void tcg_flush(struct tcg *t)
{
    assert(!t->running && !t->interp.block);
    free_maps(t);
    tcg_cache_clear(t);
    t->data.at = t->data.start;
    t->code.at = t->code.start;
    t->stats.flushes++;
}

struct tcg_stats tcg_get_stats(struct tcg *t)
{
    struct tcg_stats s = t->stats;

    s.cache_used = t->host ? (uint64_t)(t->code.at - t->code_map.start)
                           : (uint64_t)(t->data.at - t->data.start);
    return s;
}

void tcg_add_time(struct tcg *t, uint64_t ns)
{
    t->stats.translate_ns += ns;
}

/* ---- from IR to a runnable block ---- */

static void print_ir(struct tcg *t, const struct ir_block *ir, uint32_t item, const char *title)
{
    if (!log_enabled_at(t->log, item, ir->pc))
        return;
    flockfile(t->log->file);
    fprintf(t->log->file, "%s: ", title);
    ir_print(t->log->file, ir, t->guest);
    funlockfile(t->log->file);
}

static void print_code(struct tcg *t, const struct tcg_block *blk)
{
    if (!t->host || !log_enabled_at(t->log, LOG_OUT, blk->pc))
        return;
    flockfile(t->log->file);
    fprintf(t->log->file, "out: block pc %016llx: %u bytes at %p\n", (unsigned long long)blk->pc,
            blk->code_size, blk->code);
    t->host->disassemble(t->log->file, blk->code, blk->code_size);
    funlockfile(t->log->file);
}

/* A violation is a bug of ours: stop with the block in sight. */
static void verify(struct tcg *t, const struct ir_block *ir, const char *after)
{
    char err[128];

    if (!t->opt.verify || !ir_verify(ir, t->guest, err, sizeof(err)))
        return;
    fprintf(stderr, "tcg: bad IR after %s, block pc %016llx: %s\n", after, (unsigned long long)ir->pc, err);
    abort();
}

/* opt_dead always runs: backends need its counts. */
static void optimise(struct tcg *t, struct ir_block *ir)
{
    static const struct {
        const char *name;
        void (*run)(struct ir_block *blk, const struct tcg_guest *guest);
    } passes[] = {
        { "opt_flags", ir_opt_flags }, { "opt_regs", ir_opt_regs }, { "opt_dead", ir_opt_dead },
    };

    verify(t, ir, "emission");
    for (unsigned i = t->opt.optimise ? 0 : 2; i < ARRAY_LEN(passes); i++) {
        passes[i].run(ir, t->guest);
        verify(t, ir, passes[i].name);
    }
}

static struct tcg_block *describe(struct tcg *t, const struct ir_block *ir, bool one_insn)
{
    struct tcg_block *blk = t->num_blocks < TCG_MAX_BLOCKS ? tcg_arena_alloc(&t->data, sizeof(*blk)) : NULL;

    if (!blk)
        return NULL;
    blk->phys = ir->phys;
    blk->phys2 = ir->phys2;
    blk->mode = ir->mode;
    blk->mmu = ir->mmu;
    blk->size = (uint16_t)ir->guest_size;
    blk->insns = (uint16_t)ir->guest_insns;
    blk->pc = ir->pc;
    blk->one_insn = one_insn;
    blk->num_ir = ir->num;
    blk->jump_at[0] = blk->jump_at[1] = UINT32_MAX;
    return blk;
}

static int make_runnable(struct tcg *t, const struct ir_block *ir, struct tcg_block *blk)
{
    if (t->host)
        return t->host->compile(t->host_state, ir, &t->code, blk);
    blk->ir = tcg_arena_alloc(&t->data, ir->num * sizeof(*ir->insn));
    if (!blk->ir)
        return -1;
    memcpy(blk->ir, ir->insn, ir->num * sizeof(*ir->insn));
    return 0;
}

/* NULL when the cache is full. */
static struct tcg_block *try_translate(struct tcg *t, const struct ir_block *ir, bool one_insn)
{
    struct tcg_block *blk = describe(t, ir, one_insn);

    if (!blk || make_runnable(t, ir, blk))
        return NULL;
    t->block[t->num_blocks++] = blk;
    return one_insn || !tcg_cache_insert(t, blk) ? blk : NULL;
}

struct tcg_block *tcg_translate(struct tcg *t, struct ir_block *ir, bool one_insn, bool *flushed)
{
    struct tcg_block *blk;

    print_ir(t, ir, LOG_IR, "ir");
    t->stats.ir_insns += ir->num - 1;
    optimise(t, ir);
    print_ir(t, ir, LOG_OPT, "opt");
    *flushed = false;
    blk = try_translate(t, ir, one_insn);
    if (!blk) {
        tcg_flush(t);
        *flushed = true;
        blk = try_translate(t, ir, one_insn);
        assert(blk); /* the smallest cache holds the largest block */
    }
    print_code(t, blk);
    t->stats.blocks++;
    t->stats.guest_insns += blk->insns;
    t->stats.guest_bytes += blk->size;
    t->stats.host_bytes += blk->code_size;
    return blk;
}

/* ---- running ---- */

struct tcg_block *tcg_run(struct tcg *t, void *env, struct tcg_block *blk, unsigned *exit_no)
{
    uintptr_t left;

    if (t->host) {
        t->running = true;
        left = t->host->enter(t->host_state, env, blk->code);
        t->running = false;
    } else {
        left = tcg_interp_run(t, t->guest, env, blk);
    }
    *exit_no = left & 1;
    blk = (struct tcg_block *)(left & ~(uintptr_t)1);
    return blk && !blk->dropped && !blk->one_insn ? blk : NULL;
}

/* The block whose code holds `pc`: the last one that starts at or below it. */
static struct tcg_block *block_at(const struct tcg *t, uintptr_t pc)
{
    unsigned lo = 0, hi = t->num_blocks;
    struct tcg_block *blk;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if ((uintptr_t)t->block[mid]->code <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    blk = t->block[lo - 1];
    return pc - (uintptr_t)blk->code < blk->code_size ? blk : NULL;
}

/* A call may be a block's last instruction: its return address is then no longer in the block. */
static struct tcg_block *host_block(struct tcg *t, void *env, uint32_t *ret_off)
{
    uintptr_t ret = (uintptr_t)*(uint64_t *)tcg_field(env, t->guest->off_host_pc);
    struct tcg_block *blk = ret ? block_at(t, ret - 1) : NULL;

    if (blk)
        *ret_off = (uint32_t)(ret - (uintptr_t)blk->code);
    return blk;
}

static uint32_t host_guest_offset(const struct tcg_block *blk, uint32_t ret_off)
{
    unsigned lo = 0, hi = blk->num_map;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (blk->map[mid].host_off < ret_off)
            lo = mid + 1;
        else
            hi = mid;
    }
    assert(lo < blk->num_map && blk->map[lo].host_off == ret_off); /* every call is in the map */
    return blk->map[lo].guest_off;
}

static uint32_t interp_guest_offset(const struct tcg *t)
{
    const struct ir_insn *ir = t->interp.block->ir;
    unsigned i = t->interp.insn;

    while (i && ir[i].op != IR_INSN)
        i--;
    return i ? (uint32_t)ir[i].imm : 0;
}

uint32_t tcg_fault_offset(struct tcg *t, void *env, struct tcg_block **blk)
{
    uint32_t offset, ret_off = 0;

    if (t->host) {
        *blk = t->running ? host_block(t, env, &ret_off) : NULL;
        t->running = false;
        return *blk ? host_guest_offset(*blk, ret_off) : 0;
    }
    *blk = t->interp.block;
    if (!*blk)
        return 0;
    offset = interp_guest_offset(t);
    if ((*blk)->ir[t->interp.insn].fl)
        tcg_interp_commit(t, env, (*blk)->ir[t->interp.insn].fl);
    tcg_interp_leave(t, env);
    return offset;
}

struct tcg_block *tcg_current(struct tcg *t, void *env)
{
    uint32_t ret_off;

    if (!t->host)
        return t->interp.block;
    return t->running ? host_block(t, env, &ret_off) : NULL;
}

uint32_t tcg_current_offset(struct tcg *t, void *env)
{
    uint32_t ret_off = 0;
    struct tcg_block *blk;

    if (!t->host)
        return t->interp.block ? interp_guest_offset(t) : 0;
    blk = t->running ? host_block(t, env, &ret_off) : NULL;
    return blk ? host_guest_offset(blk, ret_off) : 0;
}
