/* The guest's page tables as monitors show them: `info tlb` page by page, `info mem` as ranges. */
#include "cpu/sys.h"

#include <inttypes.h>

#include "memory/memory.h"

enum { PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_PS = 1 << 7 };
#define PTE_NX BIT(63)
#define PTE_ADDR (MASK(40) & ~MASK(12))

/* One level of a paging mode, from the root down. */
struct level {
    uint8_t shift, bits;
    bool may_be_page;
};
static const struct level levels_32[] = { { 22, 10, true }, { 12, 10, false } };
static const struct level levels_pae[] = { { 21, 9, true }, { 12, 9, false } };
static const struct level levels_long[] = {
    { 48, 9, false }, { 39, 9, false }, { 30, 9, true }, { 21, 9, true }, { 12, 9, false }
};
#define MAX_LEVELS 5

struct visit {
    struct cpu *cpu;
    cpu_print_fn *print;
    void *opaque;
    void (*page)(struct visit *v, uint64_t linear, uint64_t size, uint64_t pte, unsigned rights);
    const struct level *level;
    unsigned num_levels, entry_size;
    /* info mem: the range being gathered; rights 0: none */
    uint64_t start, end;
    unsigned rights;
};

static uint64_t sign_extended(const struct visit *v, uint64_t linear)
{
    return cpu_long_mode(v->cpu) ? (uint64_t)bits_sext(linear, v->level[0].shift + v->level[0].bits) : linear;
}

static uint64_t read_entry(struct visit *v, uint64_t addr)
{
    return mem_read(v->cpu->bus.memory, addr & v->cpu->a20_mask, v->entry_size);
}

/* Rights are P, W and U of the whole path. */
static void visit_table(struct visit *v, unsigned depth, uint64_t table, uint64_t linear, unsigned rights)
{
    const struct level *l = &v->level[depth];
    bool pse = v->entry_size == 8 || (v->cpu->cr4 & CR4_PSE);

    for (uint64_t i = 0; i < BIT(l->bits); i++) {
        uint64_t pte = read_entry(v, table + i * v->entry_size), at = linear | i << l->shift;
        bool page = depth == v->num_levels - 1 || (l->may_be_page && pse && (pte & PTE_PS));
        if (!(pte & PTE_P))
            continue;
        if (page)
            v->page(v, sign_extended(v, at), BIT(l->shift), pte, rights & (unsigned)pte);
        else
            visit_table(v, depth + 1, pte & PTE_ADDR, at, rights & (unsigned)pte);
    }
}

static void visit_all(struct visit *v)
{
    struct cpu *cpu = v->cpu;
    unsigned all = PTE_P | PTE_W | PTE_U;

    v->entry_size = cpu->cr4 & CR4_PAE ? 8 : 4;
    v->num_levels = 2;
    if (!(cpu->cr4 & CR4_PAE)) {
        v->level = levels_32;
        visit_table(v, 0, cpu->cr3 & 0xfffff000, 0, all);
    } else if (cpu_long_mode(cpu)) {
        v->num_levels = cpu->cr4 & CR4_LA57 ? MAX_LEVELS : MAX_LEVELS - 1;
        v->level = levels_long + MAX_LEVELS - v->num_levels;
        visit_table(v, 0, cpu->cr3 & PTE_ADDR, 0, all);
    } else {
        v->level = levels_pae;
        for (uint64_t i = 0; i < 4; i++)
            if (cpu->pdpte[i] & PTE_P)
                visit_table(v, 0, cpu->pdpte[i] & PTE_ADDR, i << 30, all);
    }
}

static uint64_t page_address(const struct visit *v, uint64_t pte, uint64_t size)
{
    if (v->entry_size == 8)
        return pte & PTE_ADDR & ~(size - 1);
    return (pte & 0xfffff000 & ~(size - 1)) | (size > MEM_PAGE_SIZE ? bits_extract(pte, 13, 8) << 32 : 0);
}

static void print_page(struct visit *v, uint64_t linear, uint64_t size, uint64_t pte, unsigned rights)
{
    static const struct { uint64_t bit; char letter; } map[] = {
        { PTE_NX, 'X' }, { BIT(8), 'G' }, { BIT(7), 'P' }, { BIT(6), 'D' }, { BIT(5), 'A' },
        { BIT(4), 'C' }, { BIT(3), 'T' }, { PTE_U, 'U' }, { PTE_W, 'W' },
    };
    char flags[ARRAY_LEN(map) + 1], buf[64];

    (void)rights;
    for (unsigned i = 0; i < ARRAY_LEN(map); i++)
        flags[i] = pte & map[i].bit ? map[i].letter : '-';
    flags[ARRAY_LEN(map)] = '\0';
    snprintf(buf, sizeof(buf), "%016" PRIx64 ": %016" PRIx64 " %s", linear, page_address(v, pte, size),
             flags);
    v->print(v->opaque, buf);
}

static void print_range(struct visit *v)
{
    char buf[80];

    if (!v->rights)
        return;
    snprintf(buf, sizeof(buf), "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c", v->start, v->end,
             v->end - v->start, v->rights & PTE_U ? 'u' : '-', v->rights & PTE_W ? 'w' : '-');
    v->print(v->opaque, buf);
}

static void gather_page(struct visit *v, uint64_t linear, uint64_t size, uint64_t pte, unsigned rights)
{
    (void)pte;
    if (v->rights != rights || v->end != linear) {
        print_range(v);
        v->start = linear;
        v->rights = rights;
    }
    v->end = linear + size;
}

void cpu_print_tlb(struct cpu *cpu, cpu_print_fn *print, void *opaque)
{
    struct visit v = { .cpu = cpu, .print = print, .opaque = opaque, .page = print_page };

    if (!(cpu->cr0 & CR0_PG))
        print(opaque, "PG disabled");
    else
        visit_all(&v);
}

void cpu_print_mem(struct cpu *cpu, cpu_print_fn *print, void *opaque)
{
    struct visit v = { .cpu = cpu, .print = print, .opaque = opaque, .page = gather_page };

    if (!(cpu->cr0 & CR0_PG)) {
        print(opaque, "PG disabled");
        return;
    }
    visit_all(&v);
    print_range(&v);
}
