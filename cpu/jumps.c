/* The jump cache: entry points of blocks by linear pc, where translated code looks for what is next.
 *
 * An entry is a translation of an address and is forgotten like one: by INVLPG of its page (for a block across two
 * pages, of either), by a flush, and unless its pages are global by a write to CR3. Blocks that were dropped may stay,
 * because their code leads back to the run loop. */
#include <string.h>

#include "cpu/decode.h"
#include "cpu/exec.h"

#define EMPTY UINT64_MAX /* a mode that does not exist */

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
    set_bit(cpu->jump_filter, filter_bit(cpu_code64(cpu) ? pc + INSN_MAX_LEN : (uint32_t)(pc + INSN_MAX_LEN)));
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
    return (uint32_t)(pc - page + INSN_MAX_LEN - 1) < MEM_PAGE_SIZE + INSN_MAX_LEN - 1;
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

/* Two slots of a cache line serve as two ways. Translated code looks at one of them: the latest found is there. */
static unsigned other_way(unsigned slot) { return slot ^ 1; }

static void swap_bits(uint64_t *map, unsigned slot)
{
    unsigned low = slot % 64 & ~1u;
    uint64_t pair = map[slot / 64] >> low & 3;

    map[slot / 64] = (map[slot / 64] & ~(UINT64_C(3) << low)) | (pair >> 1 | (pair & 1) << 1) << low;
}

static void swap_ways(struct cpu *cpu, unsigned slot)
{
    struct tcg_jump_entry j = cpu->jump_cache[slot];

    cpu->jump_cache[slot] = cpu->jump_cache[other_way(slot)];
    cpu->jump_cache[other_way(slot)] = j;
    swap_bits(cpu->jump_used, slot);
    swap_bits(cpu->jump_global, slot);
}

static bool holds(const struct cpu *cpu, unsigned slot, uint64_t pc)
{
    return cpu->jump_cache[slot].pc == pc && cpu->jump_cache[slot].mode == cpu->mode;
}

void jumps_add(struct cpu *cpu, uint64_t pc, const struct tcg_block *blk)
{
    unsigned slot = tcg_jump_slot(pc);
    struct tcg_jump_entry *j = &cpu->jump_cache[slot];

    if (!holds(cpu, slot, pc))
        swap_ways(cpu, slot);
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

/* The block of an instruction that runs over the end of its page. */
static struct tcg_block *find_crossing(struct cpu *cpu, uint64_t pc, uint64_t ram_off)
{
    uint64_t next = align_down(pc, MEM_PAGE_SIZE) + MEM_PAGE_SIZE, second;

    if (next - pc >= INSN_MAX_LEN || !mmu_try_fetch(cpu, cpu_code64(cpu) ? next : (uint32_t)next, &second))
        return NULL;
    return tcg_find(cpu->tcg, ram_off, second, cpu->mode);
}

const void *jumps_find(void *env)
{
    struct cpu *cpu = env;
    uint64_t pc = linear_pc(cpu), ram_off;
    unsigned slot = tcg_jump_slot(pc);
    struct tcg_block *blk;

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
