/* Running cases on Mimus: a processor in long mode with the selectors of a Linux process at CPL 3, and IDT
 * handlers at ring 0 that do nothing but stop the machine, so that the vector can be told from
 * where it stopped. */
#include <stdlib.h>

#include "base/error.h"
#include "base/lock.h"
#include "cpu/sys.h"
#include "memory/memory.h"
#include "tests/insn/insn.h"

/* The system area: physical address 0, linear in the kernel half. */
#define SYS_LIN UINT64_C(0xffff800000000000)
#define SYS_SIZE 0x10000u
enum {
    AT_PML4 = 0x1000, AT_USER = 0x2000 /* PDPT, PD, PT */, AT_KERNEL = 0x5000 /* PDPT, PD, PT */,
    AT_GDT = 0x8000, AT_IDT = 0x9000, AT_TSS = 0xa000, AT_LDT = 0xa400,
    AT_HANDLERS = 0xb000, AT_STACK_END = 0xe000,
};
#define HANDLER_SIZE 16
#define LDT_ENTRIES 14
#define STOP_PORT 0xf4
/* All areas of a case in one region of RAM at their linear addresses. */
#define AREA_LIN CODE_LIN
#define AREA_SIZE (RO_LIN + RO_SIZE - CODE_LIN)
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_AD (BIT(5) | BIT(6))
#define PTE_NX BIT(63)

struct guest {
    struct cpu *cpu;
    struct host_cpu host;
    struct log log;
    struct lock lock;
    struct memory *ram;
    struct mem_region *memory_root, *port_root, *stop_port, *sys, *area;
    struct mem_space *memory, *ports;
    unsigned rounds;         /* of each case */
    /* A thread that stops a processor which does not come to an end. */
    pthread_t watchdog;
    _Atomic uint32_t runs;
    _Atomic bool running, hung, quit;
};

static uint8_t *sys_at(struct guest *g, unsigned offset)
{
    return mem_region_host(g->sys) + offset;
}

static uint8_t *area_at(struct guest *g, uint64_t linear)
{
    return mem_region_host(g->area) + (linear - AREA_LIN);
}

/* ---- building the machine ---- */

static void put_entry(struct guest *g, unsigned table, unsigned index, uint64_t v)
{
    store_le(sys_at(g, table + 8 * index), 8, v);
}

static void map_pages(struct guest *g, unsigned table, uint64_t linear, uint64_t phys, unsigned size,
                      uint64_t rights)
{
    for (unsigned off = 0; off < size; off += MEM_PAGE_SIZE)
        put_entry(g, table, (linear + off) >> 12 & 511, (phys + off) | rights | PTE_AD);
}

static void chain_tables(struct guest *g, unsigned first, uint64_t linear)
{
    uint64_t all = PTE_P | PTE_W | PTE_U | PTE_AD;

    put_entry(g, AT_PML4, linear >> 39 & 511, first | all);
    put_entry(g, first, linear >> 30 & 511, (first + 0x1000) | all);
    put_entry(g, first + 0x1000, linear >> 21 & 511, (first + 0x2000) | all);
}

static void build_page_tables(struct guest *g)
{
    chain_tables(g, AT_USER, CODE_LIN);
    chain_tables(g, AT_KERNEL, SYS_LIN);
    map_pages(g, AT_USER + 0x2000, CODE_LIN, CODE_LIN, CODE_SIZE, PTE_P | PTE_U);
    map_pages(g, AT_USER + 0x2000, DATA_LIN, DATA_LIN, DATA_SIZE, PTE_P | PTE_U | PTE_W | PTE_NX);
    map_pages(g, AT_USER + 0x2000, RO_LIN, RO_LIN, RO_SIZE, PTE_P | PTE_U | PTE_NX);
    map_pages(g, AT_KERNEL + 0x2000, SYS_LIN, 0, SYS_SIZE, PTE_P | PTE_W);
}

/* As Linux makes it from what modify_ldt() is told. */
static void put_ldt_entry(struct guest *g, const struct env_segment *s)
{
    uint64_t limit = s->attr & ATTR_G ? s->limit >> 12 : s->limit, attr = s->attr;

    if (s->selector & 4)
        put_entry(g, AT_LDT, s->selector >> 3, (limit & 0xffff) | (uint64_t)(s->base & 0xffffff) << 16 |
                  (attr & 0xf0ff) << 40 | (limit >> 16 & 15) << 48 | (uint64_t)(s->base >> 24) << 56);
}

static void build_descriptors(struct guest *g)
{
    static const uint64_t gdt[7] = { 0, 0, UINT64_C(0x00af9b000000ffff), UINT64_C(0x00cf93000000ffff),
                                     UINT64_C(0x00cffb000000ffff), UINT64_C(0x00cff3000000ffff),
                                     UINT64_C(0x00affb000000ffff) };

    for (unsigned i = 0; i < ARRAY_LEN(gdt); i++)
        put_entry(g, AT_GDT, i, gdt[i]);
    for (unsigned i = 0; i < ENV_NUM * S_NUM; i++)
        put_ldt_entry(g, &env_segments[i / S_NUM][i % S_NUM]);
    store_le(sys_at(g, AT_TSS + 4), 8, SYS_LIN + AT_STACK_END); /* RSP0 */
    store_le(sys_at(g, AT_TSS + 0x66), 2, 0x68);                /* no I/O permission bitmap */
    for (unsigned v = 0; v < 256; v++) {
        uint64_t handler = SYS_LIN + AT_HANDLERS + v * HANDLER_SIZE;
        unsigned dpl = v == EX_BP || v == EX_OF ? 3 : 0;
        uint64_t attr = ATTR_P | dpl << ATTR_DPL_SHIFT | SYS_INT;
        put_entry(g, AT_IDT, 2 * v, (handler & 0xffff) | 0x10 << 16 | attr << 40 |
                  (handler >> 16 & 0xffff) << 48);
        put_entry(g, AT_IDT, 2 * v + 1, handler >> 32);
        memcpy(sys_at(g, AT_HANDLERS + v * HANDLER_SIZE), (uint8_t[]){ 0xe6, STOP_PORT, 0xeb, 0xfe }, 4);
    }
}

static void on_stop(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct guest *g = opaque;

    (void)offset;
    (void)value;
    (void)size;
    cpu_raise(g->cpu, CPU_PIN_STOP);
}

static uint64_t on_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void on_code_written(void *opaque, uint64_t ram_off, uint64_t len)
{
    struct guest *g = opaque;

    cpu_code_written(g->cpu, ram_off, len);
}

static bool build_memory(struct guest *g, struct error *err)
{
    static const struct mem_ops ops = { .read = on_read, .write = on_stop };

    g->ram = memory_new(1u << 20, &g->log, err);
    if (!g->ram)
        return false;
    g->memory_root = mem_container_new("memory", UINT64_C(1) << 40);
    g->port_root = mem_container_new("ports", 0x10000);
    g->stop_port = mem_io_new("stop", 1, &ops, g);
    g->sys = mem_ram_new(g->ram, "system", SYS_SIZE, err);
    g->area = mem_ram_new(g->ram, "area", AREA_SIZE, err);
    if (!g->sys || !g->area)
        return false;
    mem_region_add(g->memory_root, 0, g->sys, 0);
    mem_region_add(g->memory_root, AREA_LIN, g->area, 0);
    mem_region_add(g->port_root, STOP_PORT, g->stop_port, 0);
    g->memory = mem_space_new("memory", g->memory_root, &g->log);
    g->ports = mem_space_new("ports", g->port_root, &g->log);
    memory_set_code_listener(g->ram, on_code_written, g);
    memset(area_at(g, CODE_LIN), 0xcc, CODE_SIZE);
    for (unsigned i = 0; i < RO_SIZE; i++)
        *area_at(g, RO_LIN + i) = ro_byte(i);
    return true;
}

static int no_interrupt(void *opaque)
{
    (void)opaque;
    return -1;
}

static int64_t no_time(void *opaque)
{
    (void)opaque;
    return 0;
}

/* What the host has, whether or not the widest model shows it. */
static void set_features(struct guest *g)
{
    for (unsigned i = 0; i < FEAT_NUM; i++)
        cpu_features_set(&g->cpu->features, i, g->host.has[i]);
}

/* A triple fault: the run ends with a vector that no processor has. */
static void on_shutdown(void *opaque)
{
    struct guest *g = opaque;

    g->hung = true;
    cpu_raise(g->cpu, CPU_PIN_STOP);
}

static void set_control_state(struct guest *g)
{
    struct cpu *cpu = g->cpu;

    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr3 = AT_PML4;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    if (g->host.has[FEAT_FSGSBASE])
        cpu->cr4 |= CR4_FSGSBASE;
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->gdt.base = SYS_LIN + AT_GDT;
    cpu->gdt.limit = 0x67;
    cpu->idt.base = SYS_LIN + AT_IDT;
    cpu->idt.limit = 0xfff;
    seg_set_cache(cpu, S_TR, 0x40, SYS_LIN + AT_TSS, 0x67, ATTR_P | SYS_TSS_BUSY);
    seg_set_cache(cpu, S_LDTR, 0x50, SYS_LIN + AT_LDT, LDT_ENTRIES * 8 - 1, ATTR_P | SYS_LDT);
    mmu_flush(cpu, true);
}

static void *watch(void *opaque)
{
    struct guest *g = opaque;
    uint32_t last = 0, count = 0;

    while (!g->quit) {
        struct timespec t = { .tv_nsec = 100000000 };
        nanosleep(&t, NULL);
        count = g->running && g->runs == last ? count + 1 : 0;
        last = g->runs;
        if (count >= 30) {
            g->hung = true;
            cpu_raise(g->cpu, CPU_PIN_STOP);
        }
    }
    return NULL;
}

struct guest *guest_new(const struct guest_options *opt)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct cpu_options copt = { .model = "max", .interp = opt->interp, .optimise = opt->optimise,
                                .one_insn = opt->one_insn, .hot_after = opt->hot_after, .verify = true,
                                .cache_size = 4u << 20,
                                .without_isa = opt->without_isa, .parallel = opt->parallel };
    struct error err = { "" };
    struct cpu_bus bus = { .lock = &g->lock, .ack_interrupt = no_interrupt, .now = no_time,
                           .shutdown = on_shutdown, .log = &g->log, .opaque = g };

    host_cpu_read(&g->host);
    log_init(&g->log);
    lock_init(&g->lock);
    if (build_memory(g, &err)) {
        bus.memory = g->memory;
        bus.ports = g->ports;
        bus.ram = g->ram;
        g->cpu = cpu_new(&copt, &bus, &err);
    }
    if (!g->cpu) {
        fprintf(stderr, "insn-test: %s\n", err.msg);
        exit(2);
    }
    build_page_tables(g);
    build_descriptors(g);
    set_features(g);
    set_control_state(g);
    g->rounds = opt->hot_after ? 3 : 1;
    pthread_create(&g->watchdog, NULL, watch, g);
    return g;
}

void guest_remove_feature(struct guest *g, unsigned feature)
{
    cpu_features_set(&g->cpu->features, feature, false);
}

void guest_free(struct guest *g)
{
    g->quit = true;
    pthread_join(g->watchdog, NULL);
    cpu_free(g->cpu);
    mem_space_free(g->memory);
    mem_space_free(g->ports);
    mem_region_free(g->stop_port);
    mem_region_free(g->sys);
    mem_region_free(g->area);
    mem_region_free(g->memory_root);
    mem_region_free(g->port_root);
    memory_free(g->ram);
    lock_destroy(&g->lock);
    free(g);
}

/* ---- a case ---- */

static void load_fx(struct cpu *cpu, const uint8_t *fx)
{
    struct fpu *f = &cpu->fpu;
    uint16_t sw = (uint16_t)load_le(fx + FX_FSW, 2);

    f->cw = (uint16_t)load_le(fx + FX_FCW, 2);
    f->top = sw >> 11 & 7;
    f->sw = sw & ~0x3800;
    f->empty = (uint8_t)~fx[FX_FTW];
    f->fop = (uint16_t)load_le(fx + FX_FOP, 2);
    fpu_set_ip(f, load_le(fx + FX_FIP, 8));
    f->fdp = load_le(fx + FX_FDP, 8);
    f->fcs = f->fds = 0;
    f->pending = sw >> 7 & 1;
    for (unsigned i = 0; i < 8; i++) {
        union fpu_reg *st = &f->st[(f->top + i) & 7];
        st->mant = load_le(fx + FX_ST + 16 * i, 8);
        st->exp = (uint16_t)load_le(fx + FX_ST + 16 * i + 8, 2);
    }
    memcpy(cpu->xmm, fx + FX_XMM, sizeof(cpu->xmm));
    cpu_set_mxcsr(cpu, (uint32_t)load_le(fx + FX_MXCSR, 4));
}

static void store_fx(struct cpu *cpu, uint8_t *fx)
{
    const struct fpu *f = &cpu->fpu;

    store_le(fx + FX_FCW, 2, f->cw);
    store_le(fx + FX_FSW, 2, f->sw | (unsigned)f->top << 11);
    fx[FX_FTW] = (uint8_t)~f->empty;
    store_le(fx + FX_FOP, 2, f->fop);
    store_le(fx + FX_FIP, 8, fpu_ip(f));
    store_le(fx + FX_FDP, 8, f->fdp);
    store_le(fx + FX_MXCSR, 4, cpu_get_mxcsr(cpu));
    for (unsigned i = 0; i < 8; i++) {
        const union fpu_reg *st = &f->st[(f->top + i) & 7];
        store_le(fx + FX_ST + 16 * i, 8, st->mant);
        store_le(fx + FX_ST + 16 * i + 8, 2, st->exp);
    }
    memcpy(fx + FX_XMM, cpu->xmm, sizeof(cpu->xmm));
}

static void load_segments(struct guest *g, enum env env)
{
    struct cpu *cpu = g->cpu;

    for (unsigned i = 0; i < S_NUM; i++) {
        const struct env_segment *s = &env_segments[env][i];
        if (i == S_FS && !g->host.has[FEAT_FSGSBASE])
            seg_set_cache(cpu, i, 0, 0, 0, 0);
        else
            seg_set_cache(cpu, i, s->selector, s->base, s->limit, s->attr);
    }
}

/* The INT3 behind the code goes as well: blocks that nobody needs make dropping others slow. */
static void load_code(struct guest *g, const struct test_case *c, bool remove)
{
    unsigned len = MIN_OF(c->code_len, CODE_SIZE - c->code_off);
    unsigned dropped = MIN_OF(c->code_len + 1, CODE_SIZE - c->code_off);
    uint8_t *at = area_at(g, CODE_LIN + c->code_off);

    mem_ram_written(g->ram, mem_region_ram_off(g->area) + c->code_off, dropped);
    if (remove)
        memset(at, 0xcc, len);
    else
        memcpy(at, c->code, len);
}

/* All but its code. */
static void load_case(struct guest *g, const struct test_case *c)
{
    struct cpu *cpu = g->cpu;

    memcpy(area_at(g, DATA_LIN), c->mem, DATA_SIZE);
    memcpy(cpu->gpr, c->in.gpr, sizeof(cpu->gpr));
    cpu->rip = c->in.rip;
    cpu->halted = cpu->shutdown = 0;
    cpu->delivering = -1;
    load_segments(g, c->env);
    cpu_set_cpl(cpu, 3);
    cpu_set_eflags(cpu, c->in.eflags, UINT32_MAX);
    load_fx(cpu, c->in.fx);
    memcpy(cpu->ymmh, c->in.ymmh, sizeof(cpu->ymmh));
    cpu_update_mode(cpu);
    cpu_lower(cpu, CPU_PIN_STOP);
}

static bool has_error_code(unsigned vector)
{
    return vector == EX_DF || (vector >= EX_TS && vector <= EX_PF) || vector == EX_AC;
}

/* The exception frame at the stack's end: SS, RSP, RFLAGS, CS, RIP and the error code. */
static void store_outcome(struct guest *g, const struct test_case *c, struct outcome *o)
{
    bool bases = c->env == ENV_64 && g->host.has[FEAT_FSGSBASE];
    struct cpu *cpu = g->cpu;
    const uint8_t *end = sys_at(g, AT_STACK_END);
    uint64_t handler = cpu->rip - (SYS_LIN + AT_HANDLERS);

    memcpy(o->out.gpr, cpu->gpr, sizeof(cpu->gpr));
    o->out.gpr[R_SP] = load_le(end - 16, 8);
    o->out.eflags = (uint32_t)load_le(end - 24, 8);
    o->out.rip = load_le(end - 40, 8);
    o->out.vector = VECTOR_HUNG;
    if (!g->hung && handler < 256 * HANDLER_SIZE)
        o->out.vector = (uint32_t)(handler / HANDLER_SIZE);
    o->out.error = has_error_code(o->out.vector) ? (uint32_t)load_le(end - 48, 8) : 0;
    o->out.cr2 = cpu->cr2;
    o->out.fs_base = bases ? cpu->seg[S_FS].base : 0;
    o->out.gs_base = bases ? cpu->seg[S_GS].base : 0;
    store_fx(cpu, o->out.fx);
    memcpy(o->out.ymmh, cpu->ymmh, sizeof(cpu->ymmh));
    memcpy(o->mem, area_at(g, DATA_LIN), DATA_SIZE);
}

void guest_run(struct guest *g, const struct test_case *c, struct outcome *result)
{
    load_code(g, c, false);
    g->hung = false;
    for (unsigned n = 0; n < g->rounds && !g->hung; n++) {
        load_case(g, c);
        g->runs++;
        g->running = true;
        cpu_run(g->cpu);
        g->running = false;
    }
    store_outcome(g, c, result);
    load_code(g, c, true);
}
