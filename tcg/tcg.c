/* The translator: life, from IR to a runnable block, running, and where an exception came from. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/bits.h"
#include "base/error.h"
#include "base/log.h"
#include "tcg/cache.h"

/* Units of a view's span of code, and of one in which a largest possible block finds room. */
enum { SPAN_SMALL = 4, SPAN = 8, SPAN_LARGEST = 24 };

/* ---- life ---- */

static struct tcg_cache *cache_new(const struct tcg_guest *guest, const struct tcg_options *opt, struct log *log,
                                   struct error *err)
{
    struct tcg_cache *c = calloc(1, sizeof(*c));

    if (!c) {
        error_set(err, -ENOMEM, "tcg: out of memory");
        return NULL;
    }
    c->guest = guest;
    c->opt = *opt;
    c->log = log;
    c->next_unit = 1;
    pthread_mutex_init(&c->views_lock, NULL);
    if (opt->engine == TCG_JIT)
        c->host = tcg_host_native();
    if (!c->host)
        c->opt.engine = TCG_INTERP;
    if (tcg_space_init(c, err)) {
        tcg_space_free(c);
        free(c);
        return NULL;
    }
    return c;
}

static void *host_state(struct tcg_cache *c)
{
    struct tcg_code_buf thunks = { c->code.start, c->code.start, c->code.start + TCG_UNIT_SIZE };

    if (c->views)
        return c->host->clone(c->views->host_state);
    return c->host->init(c->guest, &thunks, tcg_host_isa() & ~c->opt.without_isa);
}

/* With views_lock held. */
static struct tcg *view_new(struct tcg_cache *c, struct error *err)
{
    struct tcg *t = calloc(1, sizeof(*t));

    if (t) {
        t->cache = c;
        t->guest = c->guest;
        t->host = c->host;
        t->builder = ir_builder_new(c->guest, c->opt.optimise ? IR_FOLD | IR_SINK : IR_PLAIN);
        t->host_state = c->host ? host_state(c) : NULL;
        t->generation = c->generation;
    }
    if (!t || !t->builder || (c->host && !t->host_state)) {
        error_set(err, -ENOMEM, "tcg: out of memory");
        if (t)
            ir_builder_free(t->builder);
        free(t);
        return NULL;
    }
    t->next = c->views;
    c->views = t;
    return t;
}

static void cache_free(struct tcg_cache *c)
{
    tcg_space_free(c);
    pthread_mutex_destroy(&c->views_lock);
    free(c);
}

struct tcg *tcg_new(const struct tcg_guest *guest, const struct tcg_options *opt, struct log *log,
                    struct error *err)
{
    struct tcg_cache *c = cache_new(guest, opt, log, err);
    struct tcg *t = c ? view_new(c, err) : NULL;

    if (c && !t)
        cache_free(c);
    return t;
}

struct tcg *tcg_join(struct tcg *other, struct error *err)
{
    struct tcg_cache *c = other->cache;
    struct tcg *t;

    pthread_mutex_lock(&c->views_lock);
    if (!c->may_be_quiet)
        c->may_be_quiet = c->opt.page_flags && barrier_can_reach_all();
    t = view_new(c, err);
    pthread_mutex_unlock(&c->views_lock);
    return t;
}

void tcg_free(struct tcg *t)
{
    struct tcg_cache *c;
    struct tcg **at;
    bool last;

    if (!t)
        return;
    c = t->cache;
    pthread_mutex_lock(&c->views_lock);
    for (at = &c->views; *at != t; at = &(*at)->next)
        ;
    *at = t->next;
    last = !c->views;
    pthread_mutex_unlock(&c->views_lock);
    if (t->host_state)
        t->host->free(t->host_state);
    ir_builder_free(t->builder);
    free(t);
    if (last)
        cache_free(c);
}

struct ir_builder *tcg_builder(struct tcg *t)
{
    return t->builder;
}

const struct tcg_options *tcg_opts(struct tcg *t)
{
    return &t->cache->opt;
}

uint32_t tcg_generation(struct tcg *t)
{
    return __atomic_load_n(&t->cache->generation, __ATOMIC_ACQUIRE);
}

void tcg_flush(struct tcg *t)
{
    assert(!t->running && !t->interp.block);
    tcg_cache_clear(t->cache);
    tcg_space_clear(t->cache);
    __atomic_add_fetch(&t->cache->generation, 1, __ATOMIC_RELEASE);
}

/* After a flush the spans are somebody else's. */
static void follow_flush(struct tcg *t)
{
    if (t->generation == tcg_generation(t))
        return;
    t->generation = tcg_generation(t);
    memset(&t->code, 0, sizeof(t->code));
    memset(&t->data, 0, sizeof(t->data));
}

struct tcg_stats tcg_get_stats(struct tcg *t)
{
    struct tcg_cache *c = t->cache;
    struct tcg_stats s = { .flushes = c->generation, .cache_size = c->opt.cache_size,
                           .invalidations = __atomic_load_n(&c->invalidations, __ATOMIC_RELAXED) };

    s.cache_used = c->host ? (uint64_t)c->next_unit << TCG_UNIT_BITS : (uint64_t)(c->data.at - c->data.start);
    pthread_mutex_lock(&c->views_lock);
    for (const struct tcg *v = c->views; v; v = v->next) {
        s.blocks += v->stats.blocks;
        s.hot_blocks += v->stats.hot_blocks;
        s.guest_insns += v->stats.guest_insns;
        s.guest_bytes += v->stats.guest_bytes;
        s.host_bytes += v->stats.host_bytes;
        s.ir_insns += v->stats.ir_insns;
        s.translate_ns += v->stats.translate_ns;
        s.chains += v->stats.chains;
        if (c->host && v->generation == c->generation)
            s.cache_used -= (uint64_t)(v->code.end - v->code.at);
    }
    pthread_mutex_unlock(&c->views_lock);
    return s;
}

bool tcg_is_timed(struct tcg *t)
{
    return t->stats.blocks % TCG_TIMED == 0;
}

void tcg_add_time(struct tcg *t, uint64_t ns)
{
    t->stats.translate_ns += ns * TCG_TIMED;
}

/* ---- from IR to a runnable block ---- */

static void print_ir(struct tcg *t, const struct ir_block *ir, uint32_t item, const char *title)
{
    if (!log_enabled_at(t->cache->log, item, ir->pc))
        return;
    flockfile(t->cache->log->file);
    fprintf(t->cache->log->file, "%s: ", title);
    ir_print(t->cache->log->file, ir, t->guest);
    funlockfile(t->cache->log->file);
}

static void print_code(struct tcg *t, const struct tcg_block *blk, uint64_t pc)
{
    if (!t->host || !log_enabled_at(t->cache->log, LOG_OUT, pc))
        return;
    flockfile(t->cache->log->file);
    fprintf(t->cache->log->file, "out: block pc %016llx: %u bytes at %p\n", (unsigned long long)pc,
            blk->code_size, blk->code);
    t->host->disassemble(t->cache->log->file, blk->code, blk->code_size);
    funlockfile(t->cache->log->file);
}

/* A violation is a bug of ours: stop with the block in sight. */
static void verify(struct tcg *t, const struct ir_block *ir, const char *after)
{
    char err[128];

    if (!t->cache->opt.verify || !ir_verify(ir, t->guest, err, sizeof(err)))
        return;
    fprintf(stderr, "tcg: bad IR after %s, block pc %016llx: %s\n", after, (unsigned long long)ir->pc, err);
    abort();
}

/* Backends see for themselves what nobody uses; the interpreter is not to run it. Hot blocks pay for what others do not. */
static void optimise(struct tcg *t, struct ir_block *ir)
{
    const struct {
        const char *name;
        void (*run)(struct ir_block *blk, const struct tcg_guest *guest);
        bool wanted;
    } passes[] = {
        { "opt_share", ir_opt_share, t->cache->opt.optimise && ir->hot }, { "opt_dead", ir_opt_dead, !t->host },
    };

    verify(t, ir, "emission");
    for (unsigned i = 0; i < ARRAY_LEN(passes); i++) {
        if (!passes[i].wanted)
            continue;
        passes[i].run(ir, t->guest);
        verify(t, ir, passes[i].name);
    }
}

static struct tcg_block *describe(struct tcg *t, const struct ir_block *ir, bool one_insn)
{
    uint32_t num_exits = ir->num_exits + 2;
    struct tcg_block *blk = tcg_space_alloc(t, sizeof(*blk) + num_exits * sizeof(*blk->exit));

    if (!blk)
        return NULL;
    blk->exit = (struct tcg_exit *)(blk + 1);
    blk->num_exits = num_exits;
    blk->phys = ir->phys;
    blk->phys2 = ir->phys2;
    blk->mode = ir->mode;
    blk->mmu = ir->mmu;
    blk->size = (uint16_t)ir->guest_size;
    blk->before = ir->guest_before;
    blk->insns = (uint16_t)ir->guest_insns;
    blk->page_off = ir->page_off;
    blk->one_insn = one_insn;
    blk->num_live = ir->num_live;
    memcpy(blk->live, ir->live, sizeof(blk->live));
    blk->hot = ir->hot;
    blk->warm = ir->warm && t->host;
    if (ir->warm)
        blk->heat = (uint16_t)__atomic_fetch_add(&t->cache->next_heat, 1, __ATOMIC_RELAXED);
    blk->counted = t->cache->opt.count;
    return blk;
}

/* Compile into the view's span, or into a new one. */
static bool compile(struct tcg *t, const struct ir_block *ir, struct tcg_block *blk)
{
    unsigned span = t->cache->num_units < 64 * SPAN ? SPAN_SMALL : SPAN;
    bool done = !t->host->compile(t->host_state, ir, &t->code, blk) ||
                (tcg_space_span(t, span) && !t->host->compile(t->host_state, ir, &t->code, blk)) ||
                (tcg_space_span(t, SPAN_LARGEST) && !t->host->compile(t->host_state, ir, &t->code, blk));

    if (done)
        tcg_space_enter(t, blk);
    return done;
}

static bool make_runnable(struct tcg *t, const struct ir_block *ir, struct tcg_block *blk)
{
    if (t->host)
        return compile(t, ir, blk);
    blk->ir = tcg_space_alloc(t, ir->num * sizeof(*ir->insn));
    blk->num_ir = ir->num;
    if (blk->ir)
        memcpy(blk->ir, ir->insn, ir->num * sizeof(*ir->insn));
    return blk->ir;
}

static void count(struct tcg *t, const struct tcg_block *blk)
{
    t->stats.blocks++;
    t->stats.guest_insns += blk->insns;
    t->stats.guest_bytes += blk->before + blk->size;
    t->stats.hot_blocks += blk->hot;
    t->stats.host_bytes += blk->code_size;
}

/* It is complete. Who comes to it through translated code looks at `dropped` before anything else of it. */
static void publish(struct tcg_block *blk)
{
    __atomic_store_n(&blk->dropped, false, __ATOMIC_RELEASE);
}

struct tcg_block *tcg_translate(struct tcg *t, struct ir_block *ir, bool one_insn, const struct tcg_source *src,
                                enum tcg_miss *why)
{
    struct tcg_block *blk, *other;

    follow_flush(t);
    print_ir(t, ir, LOG_IR, "ir");
    t->stats.ir_insns += ir->num - 1;
    optimise(t, ir);
    print_ir(t, ir, LOG_OPT, "opt");
    *why = TCG_FULL;
    blk = describe(t, ir, one_insn);
    if (!blk || !make_runnable(t, ir, blk))
        return NULL;
    print_code(t, blk, ir->pc);
    count(t, blk);
    publish(blk);
    if (!one_insn)
        return tcg_cache_insert(t, blk, src, why);
    other = ir->keep ? tcg_cache_insert(t, blk, src, why) : NULL;
    return other ? other : blk;
}

/* ---- running ---- */

static struct tcg_block *run_host(struct tcg *t, void *env, const void *code, unsigned *exit_no)
{
    uintptr_t left;
    struct tcg_block *blk;

    t->running = true;
    left = t->host->enter(t->host_state, env, code);
    t->running = false;
    if (!left)
        return NULL;
    blk = tcg_space_block_at(t->cache, left - 1);
    *exit_no = t->host->left(t->host_state, env, blk, left);
    return *exit_no == TCG_EXIT_NONE ? NULL : blk;
}

static struct tcg_block *run_interp(struct tcg *t, void *env, struct tcg_block *blk, unsigned *exit_no)
{
    uintptr_t left = tcg_interp_run(t, t->guest, env, blk);

    *exit_no = left & MASK(TCG_EXIT_BITS);
    return (struct tcg_block *)(left & ~(uintptr_t)MASK(TCG_EXIT_BITS));
}

struct tcg_block *tcg_run(struct tcg *t, void *env, struct tcg_block *blk, unsigned *exit_no)
{
    *(uint64_t *)tcg_field(env, t->guest->off_pc) -= blk->page_off;
    if (t->host)
        blk = run_host(t, env, blk->code, exit_no);
    else
        blk = run_interp(t, env, blk, exit_no);
    return blk && !tcg_is_dropped(blk) && !blk->one_insn ? blk : NULL;
}

/* A call may be a block's last instruction: its return address is then no longer in the block. */
static struct tcg_block *host_block(struct tcg *t, void *env, uint32_t *ret_off)
{
    uintptr_t ret = (uintptr_t)*(uint64_t *)tcg_field(env, t->guest->off_host_pc);
    struct tcg_block *blk = ret ? tcg_space_block_at(t->cache, ret - 1) : NULL;

    if (blk)
        *ret_off = (uint32_t)(ret - (uintptr_t)blk->code);
    return blk;
}

static const struct tcg_pc_entry *host_entry(const struct tcg_block *blk, uint32_t ret_off)
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
    return &blk->map[lo];
}

static uint32_t host_guest_offset(const struct tcg_block *blk, uint32_t ret_off)
{
    return (uint32_t)(blk->page_off + host_entry(blk, ret_off)->guest_off);
}

static uint32_t interp_guest_offset(const struct tcg *t)
{
    const struct ir_insn *ir = t->interp.block->ir;
    unsigned i = t->interp.insn;

    while (i && ir[i].op != IR_INSN)
        i--;
    return t->interp.block->page_off + (i ? (uint32_t)ir[i].imm : 0);
}

/* Instructions of the interpreter's block before the one at hand. */
static unsigned interp_guest_insn(const struct tcg *t)
{
    const struct ir_insn *ir = t->interp.block->ir;
    unsigned begun = 0;

    for (unsigned i = 1; i <= t->interp.insn; i++)
        begun += ir[i].op == IR_INSN;
    return begun ? begun - 1 : 0;
}

static void commit_host(struct tcg *t, void *env)
{
    uint32_t ret_off = 0;
    const struct tcg_block *blk = t->running ? host_block(t, env, &ret_off) : NULL;
    const struct tcg_pc_entry *call = blk ? host_entry(blk, ret_off) : NULL;

    if (call && call->pending)
        t->host->commit(t->host_state, env, blk, call);
}

void tcg_commit_flags(struct tcg *t, void *env)
{
    const struct tcg_interp *in = &t->interp;

    if (t->host)
        commit_host(t, env);
    else if (in->block && in->block->ir[in->insn].fl)
        tcg_interp_commit(t, env, in->block->ir[in->insn].fl);
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

unsigned tcg_current_left(struct tcg *t, void *env)
{
    uint32_t ret_off = 0;
    struct tcg_block *blk;

    if (!t->host)
        return t->interp.block ? t->interp.block->insns - interp_guest_insn(t) : 0;
    blk = t->running ? host_block(t, env, &ret_off) : NULL;
    return blk ? (unsigned)(blk->insns - host_entry(blk, ret_off)->guest_insn) : 0;
}
