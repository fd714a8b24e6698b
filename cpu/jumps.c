/* The jump cache: entry points of blocks by linear pc, where translated code looks for what is next.
 *
 * An entry is a translation of an address and is forgotten like one: by INVLPG of its page (for a block across two
 * pages, of either), by a flush, and unless its pages are global by a write to CR3. Blocks that were dropped may stay,
 * because their code leads back to the run loop.
 *
 * Laws:
 * - An entry is good while its key is the processor's: mode bits, and the epoch of their level. A new epoch forgets all
 *   entries of the level at once. Programs (level 3) get one with each write to CR3, which is as if they had no global
 *   pages; for the others, entries that are not in global pages are few and listed.
 * - The epoch of programs is part of their address space: it may come back with it (spaces.c). What is in global pages
 *   is in all spaces for INVLPG, which looks at entries whatever their epoch.
 * - All entries that begin in one page are in one group of as many slots as a page has bytes. */
#include <string.h>

#include "cpu/decode.h"
#include "cpu/exec.h"

#define GROUP_PAIRS (MEM_PAGE_SIZE / 2)
_Static_assert(TCG_JC_BITS >= MEM_PAGE_SHIFT, "slots of a page are a group");

static bool get_bit(const uint64_t *map, unsigned i) { return map[i / 64] >> i % 64 & 1; }
static void set_bit(uint64_t *map, unsigned i) { map[i / 64] |= BIT(i % 64); }
static void clear_bit(uint64_t *map, unsigned i) { map[i / 64] &= ~BIT(i % 64); }

static unsigned is_program(uint32_t mode) { return (mode & MODE_CPL) == MODE_CPL; }

/* ---- which pages have entries: a filter that never says no wrongly ---- */

static unsigned filter_bit(uint64_t addr)
{
    uint64_t page = addr >> MEM_PAGE_SHIFT;

    return (page ^ page >> 14 ^ page >> 28) % CPU_JUMP_FILTER;
}

/* The address behind the longest instruction, as any mode sees it: in another page, the filter knows that too. */
static void note_pages(struct cpu *cpu, uint64_t pc, unsigned of_programs)
{
    uint64_t *filter = cpu->jump_filter[of_programs], end = pc + INSN_MAX_LEN;

    set_bit(filter, filter_bit(pc));
    if ((end ^ pc) >> MEM_PAGE_SHIFT)
        set_bit(filter, filter_bit(cpu_code64(cpu) ? end : (uint32_t)end));
}

/* ---- forgetting ---- */

static void update_key(struct cpu *cpu)
{
    jumps_set_mode(cpu, cpu->mode);
}

/* No entry has epoch 0: so zeroed memory is empty. */
static void begin_epoch(struct cpu *cpu, unsigned program)
{
    if (!++cpu->latest_epoch[program]) {
        memset(cpu->jump_cache, 0, sizeof(cpu->jump_cache));
        spaces_forget_all(cpu);
        cpu->latest_epoch[program] = 1;
    }
    cpu->jump_epochs[program] = cpu->latest_epoch[program];
    memset(cpu->jump_filter[program], 0, sizeof(cpu->jump_filter[program]));
    if (!program)
        cpu->num_local_jumps = 0;
}

static void forget_local(struct cpu *cpu)
{
    for (unsigned i = 0; i < cpu->num_local_jumps; i++)
        for (unsigned way = 0; way < 2; way++) {
            struct tcg_jump_entry *j = &cpu->jump_cache[cpu->local_jump[i] ^ way];
            if (j->note)
                j->key = 0;
        }
    cpu->num_local_jumps = 0;
}

void jumps_flush(struct cpu *cpu, bool global)
{
    begin_epoch(cpu, 1);
    if (global || cpu->num_local_jumps > CPU_LOCAL_JUMPS)
        begin_epoch(cpu, 0);
    else
        forget_local(cpu);
    if (global)
        memset(cpu->jump_used, 0, sizeof(cpu->jump_used));
    update_key(cpu);
}

void jumps_keep(const struct cpu *cpu, struct kept_jumps *k)
{
    k->epoch = cpu->jump_epochs[1];
    memcpy(k->filter, cpu->jump_filter[1], sizeof(k->filter));
}

void jumps_fetch(struct cpu *cpu, const struct kept_jumps *k)
{
    cpu->jump_epochs[1] = k->epoch;
    memcpy(cpu->jump_filter[1], k->filter, sizeof(k->filter));
    update_key(cpu);
}

/* Those of two slots that begin in the page. */
static void forget_pair(struct cpu *cpu, unsigned pair, uint64_t page)
{
    struct tcg_jump_entry *j = &cpu->jump_cache[2 * pair];
    unsigned left = 0;

    for (unsigned way = 0; way < 2; way++, j++) {
        if (align_down(j->pc, MEM_PAGE_SIZE) == page)
            j->key = 0;
        left += j->key != 0;
    }
    if (!left)
        clear_bit(cpu->jump_used, pair);
}

static void forget_at(struct cpu *cpu, uint64_t pc)
{
    forget_pair(cpu, tcg_jump_slot(pc) / 2, align_down(pc, MEM_PAGE_SIZE));
}

void jumps_drop_page(struct cpu *cpu, uint64_t addr)
{
    uint64_t page = align_down(addr, MEM_PAGE_SIZE);
    unsigned bit = filter_bit(addr), word = (unsigned)align_down(tcg_jump_slot(page) / 2, GROUP_PAIRS) / 64;

    if (!get_bit(cpu->jump_filter[0], bit) && !get_bit(cpu->jump_filter[1], bit))
        return;
    for (unsigned end = word + GROUP_PAIRS / 64; word < end; word++)
        for (uint64_t left = cpu->jump_used[word]; left; left &= left - 1)
            forget_pair(cpu, 64 * word + (unsigned)__builtin_ctzll(left), page);
    /* What reaches into it: pages wrap at 4 GiB too. */
    for (unsigned n = 1; n < INSN_MAX_LEN; n++) {
        forget_at(cpu, page - n);
        forget_at(cpu, (uint32_t)(page - n));
    }
}

/* ---- remembering and finding ---- */

/* Two slots of a cache line serve as two ways. Translated code looks at one of them: the latest found is there. */
static unsigned other_way(unsigned slot) { return slot ^ 1; }

static void swap_ways(struct cpu *cpu, unsigned slot)
{
    struct tcg_jump_entry j = cpu->jump_cache[slot];

    cpu->jump_cache[slot] = cpu->jump_cache[other_way(slot)];
    cpu->jump_cache[other_way(slot)] = j;
}

static bool holds(const struct cpu *cpu, unsigned slot, uint64_t pc)
{
    return cpu->jump_cache[slot].pc == pc && cpu->jump_cache[slot].key == cpu->jump_key;
}

static bool is_good(const struct cpu *cpu, const struct tcg_jump_entry *j)
{
    return j->key >> 32 == cpu->jump_epochs[is_program((uint32_t)j->key)];
}

static void note_local(struct cpu *cpu, unsigned slot)
{
    if (cpu->num_local_jumps < CPU_LOCAL_JUMPS)
        cpu->local_jump[cpu->num_local_jumps] = slot;
    cpu->num_local_jumps += cpu->num_local_jumps <= CPU_LOCAL_JUMPS;
}

void jumps_add(struct cpu *cpu, uint64_t pc, const struct tcg_block *blk)
{
    bool two_pages = blk->phys2 != UINT64_MAX, global = mmu_code_is_global(cpu, pc), program = is_program(cpu->mode);
    bool local = !program && (two_pages || !global);
    const void *code = cpu->opt.interp ? (const void *)blk : blk->code;
    unsigned slot = tcg_jump_slot(pc);
    struct tcg_jump_entry *j = &cpu->jump_cache[slot];

    if (!holds(cpu, slot, pc) && is_good(cpu, j))
        swap_ways(cpu, slot);
    *j = (struct tcg_jump_entry){ pc, cpu->jump_key, code, local };
    set_bit(cpu->jump_used, slot / 2);
    if (local)
        note_local(cpu, slot);
    note_pages(cpu, pc, program);
    if (program && (two_pages || global))
        note_pages(cpu, pc, false);
}

/* The block of an instruction that runs over the end of its page. */
static struct tcg_block *find_crossing(struct cpu *cpu, uint64_t pc, uint64_t ram_off)
{
    uint64_t next = align_down(pc, MEM_PAGE_SIZE) + MEM_PAGE_SIZE, second;

    if (next - pc >= INSN_MAX_LEN || !mmu_try_fetch(cpu, cpu_code64(cpu) ? next : (uint32_t)next, &second))
        return NULL;
    return tcg_find(cpu->tcg, ram_off, second, cpu->mode);
}

_Noreturn void jumps_refuse(struct cpu *cpu)
{
    cpu->gpr[R_SP] -= (cpu->refused_jump & ~JUMP_CHECK) >> JUMP_POPPED_SHIFT;
    cpu->refused_jump = 0;
    if (cpu->opt.counted)
        cpu->budget++;
    cpu_raise_error(cpu, EX_GP, 0);
}

const void *jumps_find(void *env, uint32_t note, uint64_t page)
{
    struct cpu *cpu = env;
    uint64_t pc = linear_pc(cpu), ram_off;
    unsigned slot = tcg_jump_slot(pc);
    struct tcg_block *blk;

    if ((note & JUMP_CHECK) && !cpu_canonical(cpu, pc)) {
        cpu->refused_jump = note;
        cpu->rip = page + (note & (MEM_PAGE_SIZE - 1));
        return NULL;
    }

    /* What a walk of page tables finds and marks must not depend on what the cache holds: that of a counted processor
     * comes when its slice is known to go on, in the run loop. */
    if (watching_blocks(cpu) || cpu->opt.counted)
        return NULL;
    if (holds(cpu, other_way(slot), pc)) {
        swap_ways(cpu, slot);
        return cpu->jump_cache[slot].code;
    }
    if (!mmu_try_fetch(cpu, pc, &ram_off))
        return NULL;
    blk = tcg_find(cpu->tcg, ram_off, UINT64_MAX, cpu->mode);
    if (!blk)
        blk = find_crossing(cpu, pc, ram_off);
    if (!blk || blk->one_insn || cpu->generation != tcg_generation(cpu->tcg))
        return NULL;
    jumps_add(cpu, pc, blk);
    return cpu->opt.interp ? (const void *)blk : blk->code;
}
