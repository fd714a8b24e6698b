/* System management mode: entry, RSM and the state save area. SDM vol. 3, chapter 32, for processors without
 * long mode; AMD64 manual vol. 2, chapter 10, whose 64-bit save area firmware expects of the others. */
#include "cpu/helpers.h"
#include "cpu/strict.h"
#include "cpu/x87.h"

#include <inttypes.h>

#include "memory/memory.h"

#define SMBASE_RESET UINT32_C(0x30000)
#define ENTRY_OFFSET 0x8000
#define AREA_OFFSET 0xfe00      /* of the save area, from SMBASE */
#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_WRITABLE UINT64_C(0xe00f)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_WRITABLE UINT64_C(0xffff23ff)
#define CR3_RESERVED (~MASK(40))
#define FLAGS_VALID \
    (IR_FLAGS6 | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)
#define REAL_DATA (ATTR_P | ATTR_S | ATTR_W | ATTR_A)

/* ---- the save area ---- */

enum { AREA_SIZE = 0x200 };

/* What RSM may find changed, apart from `area`, which it is read from. */
struct smm_state {
    uint64_t gpr[16];
    uint64_t rip, flags, cr0, cr3, cr4, efer, dr6, dr7;
    struct segment seg[S_ALL];  /* selector, attr, limit, base */
    struct table_reg gdt, idt;
    uint64_t smbase, revision;
    uint64_t halted;            /* auto HALT restart: on entry, was it in HLT; for RSM, shall it be */
    uint64_t nmi_blocked, cpl;  /* in reserved fields */
};

/* A number in the area: where, bytes there, where in struct smm_state (uint64_t). */
struct area_field { uint16_t at, size, field; };
#define FIELD(at, size, name) { (at) - AREA_OFFSET, size, offsetof(struct smm_state, name) }
#define GPR(at, size, n) { (at) - AREA_OFFSET, size, offsetof(struct smm_state, gpr) + 8 * (n) }

/* SDM vol. 3, table 32-1. CR4 and what the table calls reserved is ours to arrange. */
static const struct area_field fields_32[] = {
    FIELD(0xfef8, 4, smbase), FIELD(0xfefc, 4, revision), FIELD(0xff02, 2, halted),
    FIELD(0xfee8, 8, efer), FIELD(0xfef0, 1, nmi_blocked), FIELD(0xfef1, 1, cpl), FIELD(0xfef4, 4, cr4),
    FIELD(0xffc8, 4, dr7), FIELD(0xffcc, 4, dr6),
    GPR(0xffd0, 4, R_AX), GPR(0xffd4, 4, R_CX), GPR(0xffd8, 4, R_DX), GPR(0xffdc, 4, R_BX),
    GPR(0xffe0, 4, R_SP), GPR(0xffe4, 4, R_BP), GPR(0xffe8, 4, R_SI), GPR(0xffec, 4, R_DI),
    FIELD(0xfff0, 4, rip), FIELD(0xfff4, 4, flags), FIELD(0xfff8, 4, cr3), FIELD(0xfffc, 4, cr0),
};

/* AMD64 manual vol. 2, table 10-1. */
static const struct area_field fields_64[] = {
    FIELD(0xfec9, 1, halted), FIELD(0xfeca, 1, nmi_blocked), FIELD(0xfecb, 1, cpl), FIELD(0xfed0, 8, efer),
    FIELD(0xfefc, 4, revision), FIELD(0xff00, 4, smbase), FIELD(0xff48, 8, cr4), FIELD(0xff50, 8, cr3),
    FIELD(0xff58, 8, cr0), FIELD(0xff60, 8, dr7), FIELD(0xff68, 8, dr6), FIELD(0xff70, 8, flags),
    FIELD(0xff78, 8, rip),
    GPR(0xff80, 8, 15), GPR(0xff88, 8, 14), GPR(0xff90, 8, 13), GPR(0xff98, 8, 12), GPR(0xffa0, 8, 11),
    GPR(0xffa8, 8, 10), GPR(0xffb0, 8, 9), GPR(0xffb8, 8, 8), GPR(0xffc0, 8, R_DI), GPR(0xffc8, 8, R_SI),
    GPR(0xffd0, 8, R_BP), GPR(0xffd8, 8, R_SP), GPR(0xffe0, 8, R_BX), GPR(0xffe8, 8, R_DX),
    GPR(0xfff0, 8, R_CX), GPR(0xfff8, 8, R_AX),
};

/* Where the parts of each segment register are; 0xffff: GDTR and IDTR have no selector and no attributes. */
struct area_segments {
    uint16_t selector[S_ALL], hidden[S_ALL];    /* hidden: attributes, limit, base */
    uint16_t gdt, idt;                          /* limit, base */
    uint8_t limit, base, base_size;             /* offsets in `hidden`, bytes of a base */
    uint8_t table_base;                         /* offset of a table's base from its limit */
};

static const struct area_segments segments_32 = {
    .selector = { 0x1a8, 0x1ac, 0x1b0, 0x1b4, 0x1b8, 0x1bc, 0x1c0, 0x1c4 },
    .hidden = { 0x00, 0x0c, 0x18, 0x24, 0x30, 0x3c, 0x48, 0x54 },
    .gdt = 0x60, .idt = 0x68, .limit = 4, .base = 8, .base_size = 4, .table_base = 4,
};
static const struct area_segments segments_64 = {
    .selector = { 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x70, 0x90 },
    .hidden = { 0x02, 0x12, 0x22, 0x32, 0x42, 0x52, 0x72, 0x92 },
    .gdt = 0x64, .idt = 0x84, .limit = 2, .base = 6, .base_size = 8, .table_base = 4,
};

/* The two forms of the area. Revision: SMBASE can be relocated (bit 17), no restart of I/O instructions. */
static const struct area_map {
    const struct area_field *fields;
    unsigned num_fields;
    const struct area_segments *segments;
    uint32_t revision;
} map_32 = { fields_32, ARRAY_LEN(fields_32), &segments_32, 0x20000 },
  map_64 = { fields_64, ARRAY_LEN(fields_64), &segments_64, 0x20064 };

static const struct area_map *area_map(const struct cpu *cpu)
{
    return cpu_has(cpu, FEAT_LM) ? &map_64 : &map_32;
}

/* Attributes in the area: bits 55:52 of the descriptor in 11:8, bits 47:40 in 7:0. */
static uint16_t attr_pack(uint16_t attr)
{
    return (uint16_t)((attr & 0xff) | (attr >> 4 & 0xf00));
}

static uint16_t attr_unpack(uint64_t packed)
{
    return (uint16_t)((packed & 0xff) | (packed & 0xf00) << 4);
}

static void pack_segments(uint8_t *area, const struct area_segments *m, const struct smm_state *s)
{
    for (unsigned i = 0; i < S_ALL; i++) {
        uint8_t *hidden = area + m->hidden[i];
        store_le(area + m->selector[i], 2, s->seg[i].selector);
        store_le(hidden, 2, attr_pack(s->seg[i].attr));
        store_le(hidden + m->limit, 4, s->seg[i].limit);
        store_le(hidden + m->base, m->base_size, s->seg[i].base);
    }
    store_le(area + m->gdt, 2, s->gdt.limit);
    store_le(area + m->gdt + m->table_base, m->base_size, s->gdt.base);
    store_le(area + m->idt, 2, s->idt.limit);
    store_le(area + m->idt + m->table_base, m->base_size, s->idt.base);
}

static void unpack_segments(const uint8_t *area, const struct area_segments *m, struct smm_state *s)
{
    for (unsigned i = 0; i < S_ALL; i++) {
        const uint8_t *hidden = area + m->hidden[i];
        s->seg[i].selector = (uint16_t)load_le(area + m->selector[i], 2);
        s->seg[i].attr = attr_unpack(load_le(hidden, 2));
        s->seg[i].limit = (uint32_t)load_le(hidden + m->limit, 4);
        s->seg[i].base = load_le(hidden + m->base, m->base_size);
    }
    s->gdt.limit = (uint16_t)load_le(area + m->gdt, 2);
    s->gdt.base = load_le(area + m->gdt + m->table_base, m->base_size);
    s->idt.limit = (uint16_t)load_le(area + m->idt, 2);
    s->idt.base = load_le(area + m->idt + m->table_base, m->base_size);
}

/* Physical address of the area: addresses from SMBASE wrap at 4 GiB. */
static uint64_t area_address(const struct cpu *cpu)
{
    return (uint32_t)(cpu->smbase + AREA_OFFSET) & cpu->a20_mask;
}

static void area_write(struct cpu *cpu, const struct smm_state *s)
{
    const struct area_map *m = area_map(cpu);
    uint8_t area[AREA_SIZE] = { 0 };

    for (unsigned i = 0; i < m->num_fields; i++) {
        const struct area_field *f = &m->fields[i];
        store_le(area + f->at, f->size, *(const uint64_t *)((const char *)s + f->field));
    }
    pack_segments(area, m->segments, s);
    cpu_lock(cpu);
    mem_write_buf(cpu->bus.memory, area_address(cpu), area, sizeof(area));
    cpu_unlock(cpu);
}

static void area_read(struct cpu *cpu, struct smm_state *s)
{
    const struct area_map *m = area_map(cpu);
    uint8_t area[AREA_SIZE];

    memset(s, 0, sizeof(*s));
    memset(area, 0xff, sizeof(area)); /* where no memory is */
    cpu_lock(cpu);
    mem_read_buf(cpu->bus.memory, area_address(cpu), area, sizeof(area));
    cpu_unlock(cpu);
    for (unsigned i = 0; i < m->num_fields; i++) {
        const struct area_field *f = &m->fields[i];
        *(uint64_t *)((char *)s + f->field) = load_le(area + f->at, f->size);
    }
    unpack_segments(area, m->segments, s);
}

/* ---- entry ---- */

static void smm_switch(struct cpu *cpu, bool on)
{
    struct mem_space *now = cpu->bus.memory;

    if (on == !!(cpu->mode & MODE_SMM))
        return;
    cpu->mode ^= MODE_SMM;
    if (cpu->other_memory) {
        cpu->bus.memory = cpu->other_memory;
        cpu->other_memory = now;
        cpu->range_known = false;
    }
}

void cpu_set_smm_memory(struct cpu *cpu, struct mem_space *space)
{
    smm_switch(cpu, false);
    cpu->other_memory = space;
}

void smm_reset(struct cpu *cpu, bool power_on)
{
    smm_switch(cpu, false);
    if (power_on)
        cpu->smbase = SMBASE_RESET;
}

static void collect_state(struct cpu *cpu, struct smm_state *s)
{
    *s = (struct smm_state){
        .rip = cpu->rip, .flags = cpu_get_eflags(cpu), .cr0 = cpu->cr0, .cr3 = cpu->cr3, .cr4 = cpu->cr4,
        .efer = cpu->efer, .dr6 = cpu->dr[6], .dr7 = cpu->dr[7], .gdt = cpu->gdt, .idt = cpu->idt,
        .smbase = cpu->smbase, .revision = area_map(cpu)->revision, .halted = cpu->halted == HALT_HLT,
        .nmi_blocked = cpu->nmi_blocked, .cpl = cpu_cpl(cpu),
    };
    memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
    memcpy(s->seg, cpu->seg, sizeof(s->seg));
}

/* SDM vol. 3, table 32-4: real-address mode with segments of 4 GiB; GDTR, IDTR, LDTR and TR stay. */
static void enter_state(struct cpu *cpu)
{
    cpu->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | (uint64_t)CR0_PG);
    cpu->cr4 = cpu->efer = 0;
    cpu->dr[7] = DR7_FIXED;
    cpu->mode &= MODE_SMM;
    cpu->eflags = 2;
    cpu_set_flags6(cpu, 0);
    for (unsigned i = S_ES; i < S_NUM; i++)
        seg_set_cache(cpu, i, 0, 0, UINT32_MAX, REAL_DATA | ATTR_G);
    seg_set_cache(cpu, S_CS, (uint16_t)(cpu->smbase >> 4), cpu->smbase, UINT32_MAX, REAL_DATA | ATTR_G);
    cpu->rip = ENTRY_OFFSET;
    cpu->halted = HALT_NONE;
    cpu->nmi_blocked = 1;
    cpu_update_mode(cpu);
    fpu_update_pending(cpu);
}

void smm_enter(struct cpu *cpu)
{
    struct smm_state s;

    collect_state(cpu, &s);
    smm_switch(cpu, true);
    area_write(cpu, &s);
    enter_state(cpu);
    mmu_flush(cpu, true);
    strict_flush(cpu);
}

/* ---- RSM ---- */

static uint64_t valid_efer(const struct cpu *cpu)
{
    return (cpu_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0) | (cpu_has(cpu, FEAT_NX) ? EFER_NXE : 0) |
           (cpu_has(cpu, FEAT_LM) ? EFER_LME | EFER_LMA : 0);
}

/* What RSM would load and the processor cannot be in: SDM vol. 3, 32.3.1 and AMD64 manual vol. 2, 10.3.4. */
static const char *find_invalid(struct cpu *cpu, const struct smm_state *s)
{
    bool paging = s->cr0 & CR0_PG, in_long = paging && (s->efer & EFER_LME);
    uint16_t code = s->seg[S_CS].attr & (ATTR_L | ATTR_DB);

    if (s->cr0 >> 32 || (paging && !(s->cr0 & CR0_PE)) || ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)))
        return "CR0";
    if (s->cr4 & ~cpu_cr4_writable(cpu))
        return "CR4";
    if ((s->cr3 & CR3_RESERVED) || (s->efer & ~valid_efer(cpu)) || (s->dr6 | s->dr7) >> 32)
        return "reserved bits";
    if ((in_long && !(s->cr4 & CR4_PAE)) || (!in_long && (s->cr4 & CR4_PCIDE)))
        return "paging";
    if (in_long && ((s->flags & FL_VM) || code == (ATTR_L | ATTR_DB)))
        return "mode";
    return NULL;
}

static void load_control(struct cpu *cpu, const struct smm_state *s)
{
    cpu->cr0 = s->cr0 | CR0_ET;
    cpu->cr3 = s->cr3;
    cpu->cr4 = s->cr4;
    cpu->efer = s->efer & ~(uint64_t)EFER_LMA;
    if ((s->cr0 & CR0_PG) && (s->efer & EFER_LME))
        cpu->efer |= EFER_LMA;
    cpu->dr[6] = (s->dr6 & DR6_WRITABLE) | DR6_FIXED;
    cpu->dr[7] = (s->dr7 & DR7_WRITABLE) | DR7_FIXED;
    cpu->gdt = s->gdt;
    cpu->idt = s->idt;
}

static void load_state(struct cpu *cpu, const struct smm_state *s)
{
    uint32_t flags = (uint32_t)s->flags & FLAGS_VALID;
    bool protect = s->cr0 & CR0_PE;

    memcpy(cpu->gpr, s->gpr, sizeof(cpu->gpr));
    load_control(cpu, s);
    for (unsigned i = 0; i < S_ALL; i++)
        seg_set_cache(cpu, i, s->seg[i].selector, s->seg[i].base, s->seg[i].limit, s->seg[i].attr);
    cpu->eflags = (flags & ~(uint32_t)(IR_FLAGS6 | (protect ? 0 : FL_VM))) | 2;
    cpu_set_flags6(cpu, flags);
    cpu->mode = 0;
    cpu_set_cpl(cpu, protect ? s->cpl & 3 : 0);
    cpu_update_mode(cpu);
    fpu_update_pending(cpu);
    cpu->smbase = (uint32_t)s->smbase;
    cpu->nmi_blocked = s->nmi_blocked & 1;
    cpu->halted = s->halted & 1 ? HALT_HLT : HALT_NONE;
    cpu->rip = cpu_code64(cpu) ? s->rip : (uint32_t)s->rip;
}

static bool load_pdptes(struct cpu *cpu, const struct smm_state *s)
{
    bool pae = (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LME);

    return !pae || mmu_try_load_pdptes(cpu, s->cr3);
}

/* What waited is looked at before the next instruction. */
uint64_t helper_rsm(struct cpu *cpu)
{
    const char *invalid;
    struct smm_state s;

    area_read(cpu, &s);
    smm_switch(cpu, false);
    invalid = find_invalid(cpu, &s);
    if (!invalid && !load_pdptes(cpu, &s))
        invalid = "PDPTE";
    if (invalid) {
        log_guest(cpu->log, "cpu: RSM with invalid state: %s\n", invalid);
        cpu_enter_shutdown(cpu, "RSM");
    } else {
        load_state(cpu, &s);
    }
    mmu_flush(cpu, true);
    strict_flush(cpu);
    cpu->no_step = true;
    __atomic_store_n(&cpu->exit_request, 1, __ATOMIC_SEQ_CST);
    return 0;
}
