/* The software TLB and every access of the guest processor to memory that
 * translated code does not do itself.
 *
 * Entry states per right: tag = page: translated code may access it directly;
 * tag = page | TLB_SLOW: allowed, but through here (I/O, ROM writes, RAM whose
 * writes must be noticed); other: not known, walk. */
#include "cpu/smp.h"
#include "cpu/strict.h"

#include <inttypes.h>
#include <string.h>

#include "base/barrier.h"
#include "memory/memory.h"
#include "tcg/atomic.h"

#define TLB_SLOW UINT64_C(1)
#define TLB_ROM UINT64_C(2)    /* with TLB_SLOW, of tag_write: the page is not RAM */
#define TLB_BITS (TLB_SLOW | TLB_ROM)
#define TLB_EMPTY (~UINT64_C(0))
#define PAGE_MASK (~(MEM_PAGE_SIZE - 1))

static inline uint64_t *tlb_tag(struct tcg_tlb_entry *e, enum mmu_access acc)
{
    return acc == ACC_READ ? &e->tag_read : acc == ACC_WRITE ? &e->tag_write : &e->tag_exec;
}

static void tlb_clear(struct tcg_tlb_entry *e)
{
    *e = (struct tcg_tlb_entry){ TLB_EMPTY, TLB_EMPTY, TLB_EMPTY, 0 };
}

/* An entry is about to go through which stores may have gone that the page's flags have not seen. The display sets a
 * flag, asks this processor to tell of its stores, and then reads the page: so it sees those that came before the look
 * at the requests, and the others are told here, because mmu_revoke_stores() will not find the entry. */
static void report_stores(struct cpu *cpu)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (atomic_load(&cpu->requests) & REQ_WATCH)
        mmu_revoke_stores(cpu);
}

/* The first entry of set `m` at or behind `from` that is not empty; TCG_TLB_SIZE: there is none. */
static unsigned next_used(const struct cpu *cpu, unsigned m, unsigned from)
{
    unsigned word = bits_next(cpu->tlb_some[m], TLB_WORDS, from / 64), bit;

    for (; word < TLB_WORDS; word = bits_next(cpu->tlb_some[m], TLB_WORDS, word + 1)) {
        bit = bits_next(&cpu->tlb_used[m][word], 64, word == from / 64 ? from % 64 : 0);
        if (bit < 64)
            return 64 * word + bit;
    }
    return TCG_TLB_SIZE;
}

#define FOR_EACH_USED(cpu, m, i) for (unsigned i = 0; (i = next_used((cpu), (m), i)) < TCG_TLB_SIZE; i++)

static void flush_set(struct cpu *cpu, unsigned m, bool global)
{
    const uint64_t *words = global ? cpu->tlb_some[m] : cpu->tlb_local[m];

    for (unsigned word = 0; (word = bits_next(words, TLB_WORDS, word)) < TLB_WORDS; word++) {
        uint64_t gone = cpu->tlb_used[m][word] & (global ? UINT64_MAX : ~cpu->tlb_global[m][word]);
        cpu->tlb_used[m][word] &= ~gone;
        for (; gone; gone &= gone - 1)
            tlb_clear(&cpu->tlb[m][64 * word + (unsigned)__builtin_ctzll(gone)]);
    }
    memset(cpu->tlb_local[m], 0, sizeof(cpu->tlb_local[m]));
    if (global)
        memset(cpu->tlb_some[m], 0, sizeof(cpu->tlb_some[m]));
}

/* A counter that comes around in 32 bits would bring back what is 2^32 flushes old. */
static void forget_leaf_tables(struct cpu *cpu)
{
    if (!++cpu->leaf_generation) {
        memset(cpu->leaf_table, 0, sizeof(cpu->leaf_table));
        cpu->leaf_generation = 1;
    }
}

static void forget_large_pages(struct cpu *cpu, bool global)
{
    if (!global && !cpu->large_local)
        return;
    cpu->large_local = false;
    for (unsigned i = 0; i < CPU_LARGE_PAGES; i++)
        cpu->large_page[i].valid &= cpu->large_page[i].global && !global;
}

void mmu_init(struct cpu *cpu)
{
    for (unsigned m = 0; m < MMU_NUM; m++)
        for (unsigned i = 0; i <= tlb_index(m, UINT64_MAX); i++)
            tlb_clear(&cpu->tlb[m][i]);
    mmu_flush(cpu, true);
}

void mmu_flush(struct cpu *cpu, bool global)
{
    cpu->tlb_flushes++;
    report_stores(cpu);
    forget_leaf_tables(cpu);
    forget_large_pages(cpu, global);
    for (unsigned m = 0; m < MMU_NUM; m++)
        flush_set(cpu, m, global);
    for (unsigned i = 0; global && i < 2; i++) {
        cpu->tlb_large[i].lo = UINT64_MAX;
        cpu->tlb_large[i].hi = 0;
    }
    if (global) {
        cpu->range_known = false;
        spaces_forget_all(cpu);
    }
    jumps_flush(cpu, global);
}

static void drop_entry(struct cpu *cpu, struct tcg_tlb_entry *e)
{
    if (e->tag_write != TLB_EMPTY)
        report_stores(cpu);
    tlb_clear(e);
}

static void drop_page(struct cpu *cpu, uint64_t addr)
{
    uint64_t page = addr & PAGE_MASK;

    for (unsigned m = 0; m < MMU_NUM; m++) {
        struct tcg_tlb_entry *e = &cpu->tlb[m][tlb_index(m, addr)];
        if ((e->tag_read & PAGE_MASK) == page || (e->tag_write & PAGE_MASK) == page ||
            (e->tag_exec & PAGE_MASK) == page)
            drop_entry(cpu, e);
    }
    jumps_drop_page(cpu, addr);
}

void mmu_invlpg(struct cpu *cpu, uint64_t addr)
{
    unsigned half = addr >> 63;

    forget_leaf_tables(cpu); /* all of them, whatever the address: SDM vol. 3, 4.10.4.1 */
    if (addr >= cpu->tlb_large[half].lo && addr <= cpu->tlb_large[half].hi) {
        mmu_flush(cpu, true);
        return;
    }
    drop_page(cpu, addr);
}

void mmu_keys_changed(struct cpu *cpu, uint32_t old_pkru)
{
    uint32_t changed = cpu->pkru ^ old_pkru;

    if (!changed)
        return;
    for (unsigned m = 0; m < MMU_NUM; m++)
        FOR_EACH_USED(cpu, m, i)
            if (cpu->tlb_key[m][i] != WALK_NO_KEY && (changed >> (2 * cpu->tlb_key[m][i]) & 3))
                drop_entry(cpu, &cpu->tlb[m][i]);
}

static void note_large_page(struct cpu *cpu, uint64_t addr, uint64_t size)
{
    unsigned half = addr >> 63;
    uint64_t lo = addr & ~(size - 1), hi = lo + size - 1;

    cpu->tlb_large[half].lo = MIN_OF(cpu->tlb_large[half].lo, lo);
    cpu->tlb_large[half].hi = MAX_OF(cpu->tlb_large[half].hi, hi);
}

/* Any processor and any device may change them. */
static uint8_t page_flags(struct cpu *cpu, uint64_t ram_off)
{
    return __atomic_load_n(&memory_page_flags(cpu->bus.ram)[ram_off >> MEM_PAGE_SHIFT], __ATOMIC_SEQ_CST);
}

/* Does a block with bytes in this page of RAM run that was dropped meanwhile? Its stores there have to be looked at even
 * when the page is watched no more. */
static bool runs_dropped_in(struct cpu *cpu, uint64_t ram_off)
{
    return cpu->in_block && !tcg_none_dropped(cpu->tcg) &&
           tcg_runs_at(cpu->tcg, cpu, ram_off & PAGE_MASK, MEM_PAGE_SIZE);
}

/* Tags of a fresh or widened entry from what the walk found and what the page is. */
static void tlb_set_tags(struct cpu *cpu, struct tcg_tlb_entry *e, uint64_t page, const struct walk *w)
{
    const struct mem_range *r = mmu_range(cpu, w->phys);
    uint64_t phys_page = w->phys & PAGE_MASK;
    bool whole = r->host && r->start <= phys_page && r->last >= phys_page + MEM_PAGE_SIZE - 1;
    bool write = w->dirty && (w->allowed >> ACC_WRITE & 1);
    bool traps = (cpu->dr[7] & DR7_ENABLES) && cpu_data_breakpoint_in(cpu, page, MEM_PAGE_SIZE);
    uint64_t slow = whole && !(cpu->mode & MODE_AC) && !traps && !cpu->strict ? 0 : TLB_SLOW;
    uint64_t ram_off = r->ram_off + phys_page - r->start;
    bool watched = !whole || !r->writable || page_flags(cpu, ram_off) || (write && runs_dropped_in(cpu, ram_off));

    e->addend = whole ? (uintptr_t)r->host + (phys_page - r->start) - page : 0;
    e->tag_read = w->allowed >> ACC_READ & 1 ? page | slow : TLB_EMPTY;
    e->tag_write = write ? page | slow | (watched ? TLB_SLOW : 0) | (r->writable ? 0 : TLB_ROM) : TLB_EMPTY;
    e->tag_exec = w->allowed >> ACC_FETCH & 1 ? page | (whole ? 0 : TLB_SLOW) : TLB_EMPTY;
}

/* A page fault drops what is cached for its address (SDM vol. 3, 4.10.4.1); of a large page, this part of it. */
static _Noreturn void raise_pf(struct cpu *cpu, uint64_t addr, uint32_t error)
{
    if (log_enabled(cpu->log, LOG_MMU))
        log_printf(cpu->log, "mmu: page fault at %016" PRIx64 " error %x cr3 %" PRIx64 "\n", addr, error, cpu->cr3);
    strict_page_fault(cpu, addr, error);
    drop_page(cpu, addr);
    mmu_forget_walk(cpu, addr);
    cpu_raise_pf(cpu, addr, error);
}

/* Bring the entry for `addr` up to an access of kind `acc`. False with *error: it faults. */
static bool tlb_fill(struct cpu *cpu, uint64_t addr, enum mmu_access acc, unsigned mmu, uint32_t *error)
{
    unsigned i = tlb_index(mmu, addr);
    struct walk w;

    if (mmu_walk(cpu, addr, acc, mmu, true, &w, error))
        return false;
    cpu->tlb_fills++;
    if (cpu->tlb[mmu][i].tag_write != TLB_EMPTY)
        report_stores(cpu);
    cpu->tlb_used[mmu][i / 64] |= BIT(i % 64);
    cpu->tlb_global[mmu][i / 64] = (cpu->tlb_global[mmu][i / 64] & ~BIT(i % 64)) | (uint64_t)w.global << i % 64;
    cpu->tlb_some[mmu][i / 64 / 64] |= BIT(i / 64 % 64);
    cpu->tlb_local[mmu][i / 64 / 64] |= (uint64_t)!w.global << i / 64 % 64;
    if (w.page_size > MEM_PAGE_SIZE)
        note_large_page(cpu, addr, w.page_size);
    cpu->tlb_phys[mmu][i] = w.phys & PAGE_MASK;
    cpu->tlb_key[mmu][i] = w.key;
    tlb_set_tags(cpu, &cpu->tlb[mmu][i], addr & PAGE_MASK, &w);
    return true;
}

/* The entry that allows `acc` at `addr`; raises #PF. */
static struct tcg_tlb_entry *tlb_get(struct cpu *cpu, uint64_t addr, enum mmu_access acc, unsigned mmu)
{
    struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];
    uint32_t error;

    if (cpu->strict)
        strict_use(cpu, addr, acc, mmu);
    if ((*tlb_tag(e, acc) & ~TLB_BITS) != (addr & PAGE_MASK) && !tlb_fill(cpu, addr, acc, mmu, &error))
        raise_pf(cpu, addr, error);
    return e;
}

static inline uint64_t tlb_phys_of(struct cpu *cpu, uint64_t addr, unsigned mmu)
{
    return cpu->tlb_phys[mmu][tlb_index(mmu, addr)] | (addr & ~PAGE_MASK);
}

/* ---- address checks before translation ---- */

/* The limit of a flat segment is looked at nowhere else. Through other segments linear addresses wrap. */
static void check_flat_limit(struct cpu *cpu, uint64_t addr, uint64_t size, uint32_t mem)
{
    if ((mem & IR_MEM_FLAT) && addr + size - 1 > UINT32_MAX) {
        strict_segment(cpu, mem & IR_MEM_STACK ? S_SS : S_DS, addr);
        cpu_raise_error(cpu, mem & IR_MEM_STACK ? EX_SS : EX_GP, 0);
    }
}

/* Linear address as the mode sees it: 32 bits outside 64-bit code. Raises for non-canonical ones. */
static uint64_t check_address(struct cpu *cpu, uint64_t addr, uint64_t size, uint32_t mem)
{
    if (!cpu_code64(cpu) && !(cpu_long_mode(cpu) && (mem & IR_MEM_SUPER))) {
        addr &= UINT32_MAX;
        check_flat_limit(cpu, addr, size, mem);
        return addr;
    }
    if (!cpu_canonical(cpu, addr) || !cpu_canonical(cpu, addr + size - 1))
        cpu_raise_error(cpu, mem & IR_MEM_STACK ? EX_SS : EX_GP, 0);
    return addr;
}

static unsigned mmu_set_of(const struct cpu *cpu, uint32_t mem)
{
    return mem & IR_MEM_SUPER ? cpu_mmu_set_implicit(cpu) : cpu_mmu_set(cpu);
}

static void check_alignment(struct cpu *cpu, uint64_t addr, uint32_t size, uint32_t mem)
{
    if ((cpu->mode & MODE_AC) && !(mem & IR_MEM_SUPER) && (addr & (size - 1)))
        cpu_raise_error(cpu, EX_AC, 0);
}

/* The address `n` bytes behind `addr`: wraps at 4 GiB outside 64-bit code. (Full width tells a system access of
 * compatibility mode; one that runs over 4 GiB itself would need a misaligned table there.) */
static uint64_t address_behind(struct cpu *cpu, uint64_t addr, uint64_t n)
{
    return cpu_code64(cpu) || addr > UINT32_MAX ? addr + n : (addr + n) & UINT32_MAX;
}

static uint64_t next_page(struct cpu *cpu, uint64_t addr)
{
    return address_behind(cpu, addr & PAGE_MASK, MEM_PAGE_SIZE);
}

/* ---- one access within a page ---- */

static uint64_t io_read(struct cpu *cpu, uint64_t phys, unsigned size)
{
    uint64_t v;

    cpu_lock(cpu);
    v = mem_read(cpu->bus.memory, phys, size);
    cpu_unlock(cpu);
    return v;
}

static uint64_t page_load(struct cpu *cpu, uint64_t addr, unsigned size, enum mmu_access acc, unsigned mmu)
{
    struct tcg_tlb_entry *e = tlb_get(cpu, addr, acc, mmu);

    strict_read(cpu, addr, tlb_phys_of(cpu, addr, mmu), size, false);
    if (e->addend)
        return load_shared_le((void *)(uintptr_t)(addr + e->addend), size);
    return io_read(cpu, tlb_phys_of(cpu, addr, mmu), size);
}

/* Bytes of RAM are about to change. Restarts the instruction as a block of its own when the running block is among
 * them. */
static void code_about_to_change(struct cpu *cpu, uint64_t ram_off, unsigned size)
{
    if (cpu->in_block && tcg_runs_at(cpu->tcg, cpu, ram_off, size))
        cpu_restart_one(cpu);
}

void mmu_code_stored(struct cpu *cpu, uint64_t ram_off, unsigned size)
{
    uint8_t *flags = &memory_page_flags(cpu->bus.ram)[ram_off >> MEM_PAGE_SHIFT];
    enum tcg_near near;

    memory_mark_written(cpu->bus.ram, ram_off, size);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!__atomic_load_n(flags, __ATOMIC_SEQ_CST))
        return;
    near = tcg_near(cpu->tcg, ram_off, size);
    if (near == TCG_NEAR_OTHERS && cpu->opt.parallel)
        tcg_beside(cpu->tcg, ram_off);
    if (near == TCG_NEAR_BLOCKS && tcg_invalidate(cpu->tcg, ram_off, size) && log_enabled(cpu->log, LOG_MMU))
        log_printf(cpu->log, "mmu: code written at RAM offset %" PRIx64 ", %u bytes\n", ram_off, size);
    if (near != TCG_NEAR_OTHERS && (page_flags(cpu, ram_off) & MEM_PAGE_CODE) &&
        !tcg_page_has_code(cpu->tcg, ram_off))
        tcg_unwatch(cpu->tcg, ram_off);
    if (page_flags(cpu, ram_off) & MEM_PAGE_CLEAN_VGA)
        __atomic_and_fetch(flags, (uint8_t)~MEM_PAGE_CLEAN_VGA, __ATOMIC_SEQ_CST);
}

/* A store to RAM whose writes are watched. */
static void watched_store(struct cpu *cpu, struct tcg_tlb_entry *e, uint64_t addr, uint64_t value, unsigned size,
                          const struct mem_range *r, uint64_t phys)
{
    uint64_t ram_off = r->ram_off + (phys - r->start);
    uint8_t *flags = &memory_page_flags(cpu->bus.ram)[ram_off >> MEM_PAGE_SHIFT];

    code_about_to_change(cpu, ram_off, size); /* the page may have lost its flag while the block runs */
    store_shared_le((void *)(uintptr_t)(addr + e->addend), size, value);
    mmu_code_stored(cpu, ram_off, size);
    if (!__atomic_load_n(flags, __ATOMIC_SEQ_CST) && !(e->tag_read & TLB_SLOW) && !runs_dropped_in(cpu, ram_off))
        e->tag_write &= ~TLB_SLOW;
}

static void page_store(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size, unsigned mmu)
{
    struct tcg_tlb_entry *e = tlb_get(cpu, addr, ACC_WRITE, mmu);
    const struct mem_range *r;
    uint64_t phys;

    if (!(e->tag_write & TLB_SLOW)) {
        store_shared_le((void *)(uintptr_t)(addr + e->addend), size, value);
        return;
    }
    phys = tlb_phys_of(cpu, addr, mmu);
    r = mmu_range(cpu, phys);
    if (e->addend && r->writable) {
        watched_store(cpu, e, addr, value, size, r, phys);
        return;
    }
    cpu_lock(cpu);
    mem_write(cpu->bus.memory, phys, value, size);
    cpu_unlock(cpu);
}

/* ---- accesses of any alignment ---- */

static unsigned room_in_page(uint64_t addr)
{
    return (unsigned)(MEM_PAGE_SIZE - (addr & ~PAGE_MASK));
}

/* Before the first part of a store in several parts: check the right to write `size` bytes within a page and drop
 * the code there, so that no later part restarts the instruction. */
static void prepare_store(struct cpu *cpu, uint64_t addr, unsigned size, unsigned mmu)
{
    struct tcg_tlb_entry *e = tlb_get(cpu, addr, ACC_WRITE, mmu);
    const struct mem_range *r;
    uint64_t phys, ram_off;

    if (!e->addend || !(e->tag_write & TLB_SLOW))
        return;
    phys = tlb_phys_of(cpu, addr, mmu);
    r = mmu_range(cpu, phys);
    ram_off = r->ram_off + (phys - r->start);
    if (r->writable)
        code_about_to_change(cpu, ram_off, size);
}

static void prepare_store_at(struct cpu *cpu, uint64_t addr, unsigned size, unsigned mmu)
{
    unsigned room = room_in_page(addr);

    if (size <= room) {
        prepare_store(cpu, addr, size, mmu);
        return;
    }
    tlb_get(cpu, addr, ACC_WRITE, mmu); /* the first page's fault comes first */
    prepare_store(cpu, next_page(cpu, addr), size - room, mmu);
    prepare_store(cpu, addr, room, mmu);
}

static uint64_t load_at(struct cpu *cpu, uint64_t addr, unsigned size, enum mmu_access acc, unsigned mmu)
{
    unsigned room = room_in_page(addr);
    uint64_t low;

    if (size <= room)
        return page_load(cpu, addr, size, acc, mmu);
    tlb_get(cpu, addr, acc, mmu);
    tlb_get(cpu, next_page(cpu, addr), acc, mmu);
    low = page_load(cpu, addr, room, acc, mmu);
    return low | page_load(cpu, next_page(cpu, addr), size - room, acc, mmu) << (8 * room);
}

/* Both pages are checked, and code on both is dropped, before the first byte is written. */
static void store_at(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size, unsigned mmu)
{
    unsigned room = room_in_page(addr);

    if (size <= room) {
        page_store(cpu, addr, value, size, mmu);
        return;
    }
    prepare_store_at(cpu, addr, size, mmu);
    page_store(cpu, next_page(cpu, addr), value >> (8 * room), size - room, mmu);
    page_store(cpu, addr, value, room, mmu);
}

uint64_t mmu_load(void *env, uint64_t addr, uint32_t size, uint32_t mem)
{
    struct cpu *cpu = env;

    addr = check_address(cpu, addr, size, mem);
    check_alignment(cpu, addr, size, mem);
    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_data_breakpoints(cpu, addr, size, false);
    return load_at(cpu, addr, size, mem & IR_MEM_RMW ? ACC_WRITE : ACC_READ, mmu_set_of(cpu, mem));
}

/* Is there nothing but flags of the page that keep stores from their direct way? The access is within a page, so that a
 * tag that matches says all of the address. */
static bool only_watched(const struct tcg_tlb_entry *e, uint64_t addr, unsigned size)
{
    uint64_t page = addr & PAGE_MASK;

    return e->tag_write == (page | TLB_SLOW) && e->tag_read == page && ((addr + size - 1) & PAGE_MASK) == page;
}

/* The common store to a page with code, beside the code: nobody else adds blocks to the page at the same time (there is
 * one processor), or who does makes a barrier for this thread (the page is quiet). The display needs none: see
 * mmu_revoke_stores(). False: it is another store. */
static inline bool store_beside_code(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size, unsigned mmu)
{
    const struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];
    uint8_t *host = (uint8_t *)(uintptr_t)(addr + e->addend);
    uint64_t page = (uint64_t)(host - cpu->ram_start) >> MEM_PAGE_SHIFT, used, touched;

    if (!only_watched(e, addr, size) || __atomic_load_n(&cpu->page_flags[page], __ATOMIC_RELAXED) != cpu->quiet_flags)
        return false;
    touched = tcg_granules(addr, addr + size - 1);
    used = __atomic_load_n(&cpu->code_map[page], __ATOMIC_RELAXED);
    if (!used || (used & touched) || !tcg_none_dropped(cpu->tcg)) /* without blocks the page may soon need no telling */
        return false;
    store_shared_le(host, size, value);
    barrier_be_reached();
    if (__atomic_load_n(&cpu->code_map[page], __ATOMIC_ACQUIRE) & touched)
        mmu_code_stored(cpu, (uint64_t)(host - cpu->ram_start), size);
    return true;
}

static __attribute__((noinline)) void store_slowly(struct cpu *cpu, uint64_t addr, uint64_t value, uint32_t size,
                                                   uint32_t mem)
{
    addr = check_address(cpu, addr, size, mem);
    check_alignment(cpu, addr, size, mem);
    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_data_breakpoints(cpu, addr, size, true);
    store_at(cpu, addr, value, size, mmu_set_of(cpu, mem));
}

void mmu_store(void *env, uint64_t addr, uint64_t value, uint32_t size, uint32_t mem)
{
    struct cpu *cpu = env;

    if (!store_beside_code(cpu, addr, value, size, mmu_set_of(cpu, mem)))
        store_slowly(cpu, addr, value, size, mem);
}

/* ---- many stores told at once ---- */

uint8_t *mmu_begin_told(struct cpu *cpu, uint64_t addr, unsigned size, struct mmu_told *told)
{
    unsigned mmu = cpu_mmu_set(cpu);
    struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];
    uint64_t phys = tlb_phys_of(cpu, addr, mmu);
    const struct mem_range *r;

    if (!only_watched(e, addr, size))
        return NULL;
    r = mmu_range(cpu, phys);
    if (!r->writable)
        return NULL;
    *told = (struct mmu_told){ .ram_off = r->ram_off + (phys - r->start), .size = size };
    code_about_to_change(cpu, told->ram_off, size);
    return (uint8_t *)(uintptr_t)(addr + e->addend);
}

void mmu_end_told(struct cpu *cpu, const struct mmu_told *told)
{
    if (told->size)
        mmu_code_stored(cpu, told->ram_off, told->size);
}

/* ---- atomic accesses ---- */

bool mmu_atomic_begin(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem, struct atomic_place *p)
{
    unsigned mmu = mmu_set_of(cpu, mem);
    struct tcg_tlb_entry *e;
    const struct mem_range *r;
    uint64_t phys;

    addr = check_address(cpu, addr, size, mem);
    check_alignment(cpu, addr, size, mem);
    if ((cpu->dr[7] & DR7_ENABLES) && !(mem & IR_MEM_SUPER))
        cpu_check_data_breakpoints(cpu, addr, size, true);
    if (size > room_in_page(addr))
        return false;
    e = tlb_get(cpu, addr, ACC_WRITE, mmu);
    phys = tlb_phys_of(cpu, addr, mmu);
    strict_read(cpu, addr, phys, size, false);
    *p = (struct atomic_place){ .host = (uint8_t *)(uintptr_t)(addr + e->addend),
                                .watched = e->tag_write & TLB_SLOW };
    if (p->watched) {
        r = mmu_range(cpu, phys);
        if (!e->addend || !r->writable)
            return false;
        p->ram_off = r->ram_off + (phys - r->start);
        code_about_to_change(cpu, p->ram_off, size);
    }
    return atomic_possible(p->host, size);
}

void mmu_atomic_end(struct cpu *cpu, const struct atomic_place *p, unsigned size)
{
    if (p->watched)
        mmu_code_stored(cpu, p->ram_off, size);
}

/* Bytes that a vector access checks. */
static unsigned checked_size(uint32_t mem)
{
    return mem & IR_MEM_PAIR ? 32 : 16;
}

static uint64_t check16(struct cpu *cpu, uint64_t addr, uint32_t mem)
{
    unsigned size = checked_size(mem);

    if ((mem & IR_MEM_ALIGN) && (addr & (size - 1)))
        cpu_raise_error(cpu, EX_GP, 0);
    addr = check_address(cpu, addr, size, mem);
    check_alignment(cpu, addr, 16, mem); /* of 32 bytes too */
    return addr;
}

void mmu_load16(void *env, uint64_t addr, void *field, uint32_t mem)
{
    struct cpu *cpu = env;
    unsigned mmu = mmu_set_of(cpu, mem);
    uint64_t low, high;

    addr = check16(cpu, addr, mem);
    mmu_probe(cpu, addr, checked_size(mem), ACC_READ, mem);
    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_data_breakpoints(cpu, addr, 16, false);
    low = load_at(cpu, addr, 8, ACC_READ, mmu);
    high = load_at(cpu, address_behind(cpu, addr, 8), 8, ACC_READ, mmu);
    store_le(field, 8, low);
    store_le((uint8_t *)field + 8, 8, high);
}

void mmu_store16(void *env, uint64_t addr, const void *field, uint32_t mem)
{
    struct cpu *cpu = env;
    unsigned mmu = mmu_set_of(cpu, mem);

    addr = check16(cpu, addr, mem);
    prepare_store_at(cpu, addr, checked_size(mem), mmu);
    if (cpu->dr[7] & DR7_ENABLES)
        cpu_check_data_breakpoints(cpu, addr, 16, true);
    store_at(cpu, addr, load_le(field, 8), 8, mmu);
    store_at(cpu, address_behind(cpu, addr, 8), load_le((const uint8_t *)field + 8, 8), 8, mmu);
}

/* Descriptor tables and task state lie at linear addresses of full width in long mode and of 32 bits elsewhere. */
static uint64_t super_address(struct cpu *cpu, uint64_t addr)
{
    return cpu_long_mode(cpu) ? addr : addr & UINT32_MAX;
}

uint64_t mmu_load_super(struct cpu *cpu, uint64_t addr, unsigned size)
{
    const uint8_t *host = mmu_direct(cpu, cpu_mmu_set_implicit(cpu), super_address(cpu, addr), size, false);

    if (host)
        return load_shared_le(host, size);
    addr = check_address(cpu, super_address(cpu, addr), size, IR_MEM_SUPER);
    return load_at(cpu, addr, size, ACC_READ, cpu_mmu_set_implicit(cpu));
}

void mmu_store_super(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size)
{
    addr = check_address(cpu, super_address(cpu, addr), size, IR_MEM_SUPER);
    store_at(cpu, addr, value, size, cpu_mmu_set_implicit(cpu));
}

static unsigned stack_set(const struct cpu *cpu)
{
    return (cpu->cr4 & CR4_SMAP) && !(cpu->eflags & FL_AC) ? MMU_SMAP : MMU_SUPER;
}

uint64_t mmu_load_stack(struct cpu *cpu, uint64_t addr, unsigned size)
{
    const uint8_t *host = mmu_direct(cpu, stack_set(cpu), addr, size, false);

    if (host)
        return load_shared_le(host, size);
    addr = check_address(cpu, super_address(cpu, addr), size, IR_MEM_SUPER);
    return load_at(cpu, addr, size, ACC_READ, stack_set(cpu));
}

void mmu_store_stack(struct cpu *cpu, uint64_t addr, uint64_t value, unsigned size)
{
    uint8_t *host = mmu_direct(cpu, stack_set(cpu), addr, size, true);

    if (host) {
        store_shared_le(host, size, value);
        return;
    }
    addr = check_address(cpu, super_address(cpu, addr), size, IR_MEM_SUPER);
    store_at(cpu, addr, value, size, stack_set(cpu));
}

void mmu_probe(struct cpu *cpu, uint64_t addr, uint64_t size, enum mmu_access acc, uint32_t mem)
{
    unsigned mmu = mmu_set_of(cpu, mem);
    uint64_t pages, n;

    addr = check_address(cpu, addr, size, mem);
    pages = ((addr & ~PAGE_MASK) + size - 1) >> MEM_PAGE_SHIFT;
    tlb_get(cpu, addr, acc, mmu);
    for (uint64_t i = 1; i <= pages; i++)
        tlb_get(cpu, address_behind(cpu, addr & PAGE_MASK, i << MEM_PAGE_SHIFT), acc, mmu);
    for (; acc == ACC_WRITE && size; size -= n, addr = address_behind(cpu, addr, n)) {
        n = MIN_OF(size, room_in_page(addr));
        prepare_store(cpu, addr, (unsigned)n, mmu);
    }
}

void mmu_probe_store(struct cpu *cpu, uint64_t addr, unsigned size, uint32_t mem)
{
    check_alignment(cpu, check_address(cpu, addr, size, mem), size == 10 ? 8 : size, mem);
    mmu_probe(cpu, addr, size, ACC_WRITE, mem);
}

uint8_t *mmu_host(struct cpu *cpu, uint64_t addr, enum mmu_access acc, unsigned *room)
{
    unsigned mmu = cpu_mmu_set(cpu);
    struct tcg_tlb_entry *e;

    addr = check_address(cpu, addr, 1, 0);
    e = tlb_get(cpu, addr, acc, mmu);
    *room = room_in_page(addr);
    if (!e->addend || (*tlb_tag(e, acc) & TLB_SLOW))
        return NULL;
    return (uint8_t *)(uintptr_t)(addr + e->addend);
}

/* ---- code ---- */

uint64_t mmu_fetch(struct cpu *cpu, uint64_t addr, const uint8_t **host)
{
    unsigned mmu = cpu_mmu_set(cpu);
    struct tcg_tlb_entry *e;

    if (cpu_code64(cpu) && !cpu_canonical(cpu, addr))
        cpu_raise_error(cpu, EX_GP, 0);
    e = tlb_get(cpu, addr, ACC_FETCH, mmu);
    if (e->tag_exec & TLB_SLOW)
        return UINT64_MAX;
    strict_read(cpu, addr, tlb_phys_of(cpu, addr, mmu), 1, true);
    *host = (const uint8_t *)(uintptr_t)(addr + e->addend);
    return (uint64_t)(*host - memory_host(cpu->bus.ram, 0)); /* all RAM and ROM is one piece of the host's memory */
}

uint64_t mmu_fetch_phys(struct cpu *cpu, uint64_t addr)
{
    tlb_get(cpu, addr, ACC_FETCH, cpu_mmu_set(cpu));
    return tlb_phys_of(cpu, addr, cpu_mmu_set(cpu));
}

bool mmu_may_fetch(struct cpu *cpu, uint64_t addr)
{
    unsigned mmu = cpu_mmu_set(cpu);
    struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];
    uint32_t error;

    if (cpu_code64(cpu) && !cpu_canonical(cpu, addr))
        return false;
    return (e->tag_exec & ~TLB_SLOW) == (addr & PAGE_MASK) || tlb_fill(cpu, addr, ACC_FETCH, mmu, &error);
}

bool mmu_try_fetch(struct cpu *cpu, uint64_t addr, uint64_t *ram_off)
{
    unsigned mmu = cpu_mmu_set(cpu);
    const struct tcg_tlb_entry *e = &cpu->tlb[mmu][tlb_index(mmu, addr)];

    if (e->tag_exec != (addr & PAGE_MASK) && (!mmu_may_fetch(cpu, addr) || e->tag_exec & TLB_SLOW))
        return false;
    *ram_off = addr + e->addend - (uintptr_t)memory_host(cpu->bus.ram, 0);
    return true;
}

bool mmu_code_is_global(const struct cpu *cpu, uint64_t addr)
{
    unsigned mmu = cpu_mmu_set(cpu), i = tlb_index(mmu, addr);

    return cpu->tlb_global[mmu][i / 64] >> i % 64 & 1;
}

_Static_assert((int)MEM_PAGE_CODE == TCG_PAGE_CODE && (int)MEM_PAGE_QUIET == TCG_PAGE_QUIET,
               "the translator sets these flags");

/* The page flags of the RAM that the entry stores to; NULL: there is none. */
static uint8_t *store_flags(struct cpu *cpu, const struct tcg_tlb_entry *e)
{
    uintptr_t host = (e->tag_write & PAGE_MASK) + e->addend;

    if (e->tag_write == TLB_EMPTY || !e->addend)
        return NULL;
    return &cpu->page_flags[(host - (uintptr_t)memory_host(cpu->bus.ram, 0)) >> MEM_PAGE_SHIFT];
}

/* The same for one page. */
static void revoke_stores_to(struct cpu *cpu, uint64_t ram_off)
{
    uint64_t host = (uintptr_t)memory_host(cpu->bus.ram, ram_off & PAGE_MASK);

    for (unsigned m = 0; m < MMU_NUM; m++)
        FOR_EACH_USED(cpu, m, i)
            if (cpu->tlb[m][i].tag_write + cpu->tlb[m][i].addend == host)
                cpu->tlb[m][i].tag_write |= TLB_SLOW;
}

/* A page that has turned clean for the display may have been written since: it is reported. So may one with code, where
 * stores pass no barrier before they look at the flags: that one is reported each time. */
void mmu_revoke_stores(struct cpu *cpu)
{
    for (unsigned m = 0; m < MMU_NUM; m++)
        FOR_EACH_USED(cpu, m, i) {
            struct tcg_tlb_entry *e = &cpu->tlb[m][i];
            uint8_t *flags = store_flags(cpu, e);
            uint8_t set = flags ? __atomic_load_n(flags, __ATOMIC_SEQ_CST) : 0;

            if (!set || ((e->tag_write & TLB_SLOW) && !(set & MEM_PAGE_CODE)))
                continue;
            e->tag_write |= TLB_SLOW;
            if (set & MEM_PAGE_CLEAN_VGA)
                __atomic_and_fetch(flags, (uint8_t)~MEM_PAGE_CLEAN_VGA, __ATOMIC_SEQ_CST);
        }
}

void mmu_check_stores(struct cpu *cpu, struct tcg_tlb_entry *e)
{
    const uint8_t *flags = store_flags(cpu, e);

    if (flags && __atomic_load_n(flags, __ATOMIC_SEQ_CST))
        e->tag_write |= TLB_SLOW;
}

void mmu_watch_code(struct cpu *cpu, uint64_t ram_off)
{
    uint32_t ticket = tcg_watch(cpu->tcg, ram_off);

    if (!ticket)
        return;
    revoke_stores_to(cpu, ram_off);
    cpu_sync_others(cpu);
    tcg_watch_done(cpu->tcg, ram_off, ticket);
}

void mmu_forget_blocks(struct cpu *cpu)
{
    cpu->generation = tcg_generation(cpu->tcg);
    jumps_flush(cpu, true);
    spaces_forget_all(cpu);
}
