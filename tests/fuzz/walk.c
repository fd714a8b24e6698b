/* Fuzz target: the page walker over arbitrary tables. Input: control registers and the access, then pairs of a
 * 16-bit place and an 8-byte entry that are stored into the tables' memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/lock.h"
#include "cpu/sys.h"
#include "cpu/walk.h"
#include "memory/memory.h"
#include "tests/fuzz/fuzz.h"

#define RAM_SIZE 0x10000u      /* tables reach into it and beyond it */
#define ROM_AT 0x8000u         /* a page of it cannot be written */
#define PTE_A BIT(5)
#define PTE_D BIT(6)

struct target {
    struct cpu *cpu;
    struct log log;
    struct lock lock;
    struct memory *ram;
    struct mem_region *root, *ports_root, *region, *rom;
    struct mem_space *space, *ports;
};

static void fail(const char *what)
{
    fprintf(stderr, "fuzz walk: %s\n", what);
    abort();
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

static void no_shutdown(void *opaque)
{
    (void)opaque;
}

static void on_code_written(void *opaque, uint64_t ram_off, uint64_t len)
{
    struct target *t = opaque;

    cpu_code_written(t->cpu, ram_off, len);
}

static void target_open(struct target *t)
{
    struct cpu_options opt = { .model = "max", .interp = true, .cache_size = 1u << 20 };
    struct cpu_bus bus = { .lock = &t->lock, .ack_interrupt = no_interrupt, .now = no_time,
                           .shutdown = no_shutdown, .log = &t->log, .opaque = t };
    struct error err = { 0 };

    log_init(&t->log);
    lock_init(&t->lock);
    t->ram = memory_new(1u << 20, &t->log, &err);
    t->root = mem_container_new("memory", UINT64_C(1) << 52);
    t->ports_root = mem_container_new("ports", 0x10000);
    t->region = mem_ram_new(t->ram, "tables", RAM_SIZE, &err);
    t->rom = mem_rom_new(t->ram, "rom", MEM_PAGE_SIZE, &err);
    if (!t->region || !t->rom)
        fail(err.msg);
    mem_region_add(t->root, 0, t->region, 0);
    mem_region_add(t->root, ROM_AT, t->rom, 1);
    bus.memory = t->space = mem_space_new("memory", t->root, &t->log);
    bus.ports = t->ports = mem_space_new("ports", t->ports_root, &t->log);
    bus.ram = t->ram;
    t->cpu = cpu_new(&opt, &bus, &err);
    if (!t->cpu)
        fail(err.msg);
    memory_set_code_listener(t->ram, on_code_written, t);
}

static void load_registers(struct cpu *cpu, struct input *in)
{
    uint32_t cr4 = (uint32_t)input_take(in, 4);
    bool lma = input_take(in, 1) & 1;

    cpu->cr0 = CR0_PE | CR0_PG | CR0_ET | (input_take(in, 1) & 1 ? CR0_WP : 0);
    cpu->cr4 = cr4 & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PCIDE | CR4_LA57);
    if (lma)
        cpu->cr4 |= CR4_PAE;
    else
        cpu->cr4 &= ~(uint64_t)(CR4_LA57 | CR4_PCIDE);
    cpu->efer = (lma ? EFER_LMA | EFER_LME : 0) | (input_take(in, 1) & 1 ? EFER_NXE : 0);
    cpu->cr3 = input_take(in, 3);
    cpu->pkru = (uint32_t)input_take(in, 4);
    cpu->a20_mask = input_take(in, 1) & 1 ? ~BIT(20) : UINT64_MAX;
    cpu->eflags = 2 | (input_take(in, 1) & 1 ? FL_AC : 0);
    for (unsigned i = 0; i < ARRAY_LEN(cpu->pdpte); i++)
        cpu->pdpte[i] = input_take(in, 3);
    cpu_update_mode(cpu);
}

/* Of all memory only accessed and dirty bits may have changed. */
static void check_only_ad_changed(const uint8_t *before, const uint8_t *after, bool update)
{
    if (!memcmp(before, after, RAM_SIZE))
        return;
    for (unsigned i = 0; i < RAM_SIZE; i += 4) {
        uint64_t changed = load_le(before + i, 4) ^ load_le(after + i, 4);
        if (changed & ~(PTE_A | PTE_D) || (changed && !update))
            fail("a walk wrote more than accessed and dirty bits");
        if (load_le(before + i, 4) & changed)
            fail("a walk cleared a bit");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target *t;
    static uint8_t before[RAM_SIZE];
    struct input in = { data, data + size };
    struct walk quiet = { 0 }, loud = { 0 }, again = { 0 };
    uint32_t quiet_error = 0, loud_error = 0, again_error = 0;
    uint64_t linear;
    uint8_t *ram;
    int a, b, c;

    if (!t) {
        t = calloc(1, sizeof(*t));
        target_open(t);
    }
    ram = mem_region_host(t->region);
    load_registers(t->cpu, &in);
    mmu_flush(t->cpu, true); /* an input depends on no other; the third walk finds what the second remembers */
    linear = input_take(&in, 8);
    enum mmu_access acc = input_take(&in, 1) % 3;
    unsigned mmu = input_take(&in, 1) % MMU_NUM;
    memset(ram, 0, RAM_SIZE);
    while (in.at < in.end) {
        unsigned place = (unsigned)input_take(&in, 2) * 8 % (RAM_SIZE - 8);
        store_le(ram + place, 8, input_take(&in, 8));
    }
    memcpy(mem_region_host(t->rom), ram + ROM_AT, MEM_PAGE_SIZE);
    memcpy(before, ram, RAM_SIZE);
    a = mmu_walk(t->cpu, linear, acc, mmu, false, &quiet, &quiet_error);
    check_only_ad_changed(before, ram, false);
    b = mmu_walk(t->cpu, linear, acc, mmu, true, &loud, &loud_error);
    check_only_ad_changed(before, ram, true);
    c = mmu_walk(t->cpu, linear, acc, mmu, true, &again, &again_error);
    if (a != b || b != c || quiet.phys != loud.phys || loud.phys != again.phys ||
        (a && (quiet_error != loud_error || loud_error != again_error)))
        fail("walks with and without side effect differ");
    if (!a && (loud.phys & BIT(20) & ~t->cpu->a20_mask))
        fail("A20 was not applied");
    return 0;
}
