/* Address spaces that come back: what was cached for a PCID stays while another one is current (SDM vol. 3, 4.10.1).
 *
 * The TLB holds the current space and global pages alone, so that translated code compares no PCID. A write to CR3 puts
 * the rest away and fetches what was put away for the new PCID. It is out of reach meanwhile: a page's flags and the
 * rights of protection keys are looked at when it comes back. Less than all may be put away and fetched, because a
 * processor may forget at any time. */
#include "cpu/exec.h"

#define PCID MASK(12)
#define EMPTY (~UINT64_C(0))

static unsigned pcid_of(const struct kept_space *s) { return s->cr3 & PCID; }

/* ---- putting away and fetching ---- */

static void keep_page(const struct cpu *cpu, struct kept_space *s, unsigned m, unsigned i)
{
    const struct tcg_tlb_entry *e = &cpu->tlb[m][i];

    if ((e->tag_read & e->tag_write & e->tag_exec) != EMPTY && s->pages < CPU_KEPT_PAGES)
        s->page[s->pages++] = (struct kept_page){ *e, cpu->tlb_phys[m][i], (uint16_t)i, (uint8_t)m, cpu->tlb_key[m][i] };
}

static void keep_set(const struct cpu *cpu, struct kept_space *s, unsigned m)
{
    for (unsigned w = 0; (w = bits_next(cpu->tlb_local[m], TLB_WORDS, w)) < TLB_WORDS; w++)
        for (uint64_t left = cpu->tlb_used[m][w] & ~cpu->tlb_global[m][w]; left; left &= left - 1)
            keep_page(cpu, s, m, 64 * w + (unsigned)__builtin_ctzll(left));
}

static void keep_space(const struct cpu *cpu, struct kept_space *s)
{
    s->cr3 = cpu->cr3;
    s->pkru = cpu->pkru;
    s->pages = 0;
    jumps_keep(cpu, &s->jumps);
    for (unsigned m = 0; m < MMU_NUM; m++)
        keep_set(cpu, s, m);
}

static void fetch_page(struct cpu *cpu, const struct kept_page *p, uint32_t changed_keys)
{
    unsigned m = p->mmu, w = p->slot / 64;
    uint64_t bit = BIT(p->slot % 64);

    if ((cpu->tlb_used[m][w] & bit) || (p->key < 16 && (changed_keys >> (2 * p->key) & 3)))
        return;
    cpu->tlb_used[m][w] |= bit;
    cpu->tlb_global[m][w] &= ~bit;
    cpu->tlb_some[m][w / 64] |= BIT(w % 64);
    cpu->tlb_local[m][w / 64] |= BIT(w % 64);
    cpu->tlb_phys[m][p->slot] = p->phys;
    cpu->tlb_key[m][p->slot] = p->key;
    cpu->tlb[m][p->slot] = p->e;
    mmu_check_stores(cpu, &cpu->tlb[m][p->slot]);
}

static void fetch_space(struct cpu *cpu, const struct kept_space *s)
{
    jumps_fetch(cpu, &s->jumps);
    for (unsigned i = 0; i < s->pages; i++)
        fetch_page(cpu, &s->page[i], s->pkru ^ cpu->pkru);
}

/* ---- which ---- */

static struct kept_space *find_kept(struct cpu *cpu, unsigned pcid)
{
    for (unsigned i = 0; i < CPU_SPACES; i++)
        if (cpu->space[i].valid && pcid_of(&cpu->space[i]) == pcid)
            return &cpu->space[i];
    return NULL;
}

/* An empty place, or that which was filled first. */
static struct kept_space *place_to_keep(struct cpu *cpu)
{
    for (unsigned i = 0; i < CPU_SPACES; i++)
        if (!cpu->space[i].valid)
            return &cpu->space[i];
    return &cpu->space[cpu->next_space++ % CPU_SPACES];
}

void spaces_forget(struct cpu *cpu, unsigned pcid)
{
    struct kept_space *s = find_kept(cpu, pcid);

    if (s)
        s->valid = false;
}

void spaces_forget_all(struct cpu *cpu)
{
    for (unsigned i = 0; i < CPU_SPACES; i++)
        cpu->space[i].valid = false;
}

/* What was kept of the space whose PCID comes back with another table is of no use, and the processor need not keep it. */
void spaces_switch(struct cpu *cpu, uint64_t cr3, bool keep)
{
    struct kept_space *old;

    if (keep && cr3 == cpu->cr3)
        return;
    if ((cr3 & PCID) != (cpu->cr3 & PCID)) {
        struct kept_space *s = place_to_keep(cpu);
        keep_space(cpu, s);
        s->valid = true;
    }
    mmu_flush(cpu, false);
    cpu->cr3 = cr3;
    old = find_kept(cpu, cr3 & PCID);
    if (!old)
        return;
    old->valid = false;
    if (keep && old->cr3 == cr3)
        fetch_space(cpu, old);
}
