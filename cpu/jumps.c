/* The jump cache: entry points of blocks by linear pc, where translated code looks for what is next.
 *
 * An entry is a translation of an address and is forgotten like one: by INVLPG of its page (for a block across two
 * pages, of either), by a flush, and unless its pages are global by a write to CR3. Blocks that were dropped may stay,
 * because their code leads back to the run loop. */
#include <string.h>

#include "cpu/exec.h"

#define EMPTY UINT64_MAX /* a mode that does not exist */

static unsigned slot_of(uint64_t pc)
{
    return (pc ^ pc >> TCG_JC_BITS) & (TCG_JC_SIZE - 1);
}

static bool get_bit(const uint64_t *map, unsigned i) { return map[i / 64] >> i % 64 & 1; }
static void set_bit(uint64_t *map, unsigned i) { map[i / 64] |= BIT(i % 64); }
static void clear_bit(uint64_t *map, unsigned i) { map[i / 64] &= ~BIT(i % 64); }

/* ---- which pages have entries: a filter that never says no wrongly ---- */

static unsigned filter_bit(uint64_t addr)
{
    uint64_t page = addr >> MEM_PAGE_SHIFT;

    return (page ^ page >> 12 ^ page >> 24) % CPU_JUMP_FILTER;
}

/* The address behind the longest instruction, as any mode sees it: in another page, the filter knows that too. */
static void note_pages(struct cpu *cpu, uint64_t pc)
{
    set_bit(cpu->jump_filter, filter_bit(pc));
    set_bit(cpu->jump_filter, filter_bit(cpu_code64(cpu) ? pc + 15 : (uint32_t)(pc + 15)));
}

/* ---- forgetting ---- */

static void forget(struct cpu *cpu, unsigned word, uint64_t slots)
{
    cpu->jump_used[word] &= ~slots;
    for (; slots; slots &= slots - 1)
        cpu->jump_cache[64 * word + (unsigned)__builtin_ctzll(slots)].mode = EMPTY;
}

void jumps_init(struct cpu *cpu)
{
    for (unsigned i = 0; i < TCG_JC_SIZE; i++)
        cpu->jump_cache[i].mode = EMPTY;
}

void jumps_flush(struct cpu *cpu, bool global)
{
    for (unsigned i = 0; i < TCG_JC_SIZE / 64; i++)
        forget(cpu, i, global ? cpu->jump_used[i] : cpu->jump_used[i] & ~cpu->jump_global[i]);
    if (global)
        memset(cpu->jump_filter, 0, sizeof(cpu->jump_filter));
}

/* Does a block that begins at `pc` have bytes in the page? The upper half of an address is not looked at: pages wrap
 * at 4 GiB, where there are no others. */
static bool may_touch(uint64_t pc, uint64_t page)
{
    return (uint32_t)(pc - page + 14) < MEM_PAGE_SIZE + 14;
}

void jumps_drop_page(struct cpu *cpu, uint64_t addr)
{
    uint64_t page = align_down(addr, MEM_PAGE_SIZE);

    if (!get_bit(cpu->jump_filter, filter_bit(addr)))
        return;
    memset(cpu->jump_filter, 0, sizeof(cpu->jump_filter));
    for (unsigned i = 0; i < TCG_JC_SIZE / 64; i++)
        for (uint64_t left = cpu->jump_used[i]; left; left &= left - 1) {
            unsigned slot = 64 * i + (unsigned)__builtin_ctzll(left);
            if (may_touch(cpu->jump_cache[slot].pc, page))
                forget(cpu, i, left & -left);
            else
                note_pages(cpu, cpu->jump_cache[slot].pc);
        }
}

/* ---- remembering and finding ---- */

void jumps_add(struct cpu *cpu, uint64_t pc, const struct tcg_block *blk)
{
    unsigned slot = slot_of(pc);
    struct tcg_jump_entry *j = &cpu->jump_cache[slot];

    j->pc = pc;
    j->mode = cpu->mode;
    j->code = cpu->opt.interp ? (const void *)blk : blk->code;
    set_bit(cpu->jump_used, slot);
    if (blk->phys2 == UINT64_MAX && mmu_code_is_global(cpu, pc))
        set_bit(cpu->jump_global, slot);
    else
        clear_bit(cpu->jump_global, slot);
    note_pages(cpu, pc);
}

const void *jumps_find(void *env)
{
    struct cpu *cpu = env;
    uint64_t pc = linear_pc(cpu), ram_off;
    struct tcg_block *blk;

    if (watching_blocks(cpu) || !mmu_try_fetch(cpu, pc, &ram_off))
        return NULL;
    blk = tcg_find(cpu->tcg, ram_off, UINT64_MAX, cpu->mode);
    if (!blk || blk->one_insn || cpu->generation != tcg_generation(cpu->tcg))
        return NULL;
    jumps_add(cpu, pc, blk);
    return cpu->opt.interp ? (const void *)blk : blk->code;
}
