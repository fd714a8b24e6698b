/* 82441FX PCI and memory controller (PMC) of the Intel 440FX PCIset (data sheet 290549): PCI function 0:0.0,
 * programmable attribute maps (PAM), SMRAM control, and the PC's memory map. */
#include "hw/pci/i440fx.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

enum i440fx_reg {
    PMCCFG = 0x50,
    DETURBO = 0x52,
    DBC = 0x53,
    AXC = 0x54,
    DRT = 0x55,
    DRAMC = 0x57,
    DRAMT = 0x58,
    PAM0 = 0x59,
    PAM6 = 0x5F,
    DRB0 = 0x60,
    FDHC = 0x68,
    MTT = 0x70,
    CLT = 0x71,
    SMRAM = 0x72,
    ERRCMD = 0x90,
};

enum pam_bit { PAM_RE = 1, PAM_WE = 2 };

enum smram_bit {
    SMRAM_C_BASE_SEG = 0x02, /* the only value the PMC implements: A0000-BFFFF */
    SMRAM_G_SMRAME = 0x08,
    SMRAM_D_LCK = 0x10,
    SMRAM_D_CLS = 0x20,
    SMRAM_D_OPEN = 0x40,
};

enum {
    NUM_SEGMENTS = 13,
    KIB = 1024,
    SMRAM_START = 0xA0000,
    SMRAM_SIZE = 128 * KIB,
    BIOS_LOW_SIZE = 128 * KIB,
    PCI_PRIORITY = -1,  /* RAM wins over PCI */
    BIOS_PRIORITY = -1, /* whatever sits on PCI wins over the firmware's low alias */
};

#define GIB_4 UINT64_C(0x100000000)
#define RAM_LOW_SPLIT UINT64_C(0xE0000000) /* from this size on the PCI hole begins at 3 GiB */
#define RAM_LOW_MAX UINT64_C(0xC0000000)

/* The segments of C0000-FFFFF: register, position of its RE and WE bits, range (data sheet table 5). */
static const struct pam_segment {
    uint8_t reg, shift;
    uint32_t start, size;
} pam_segments[NUM_SEGMENTS] = {
    { PAM0, 4, 0xF0000, 64 * KIB },
    { PAM0 + 1, 0, 0xC0000, 16 * KIB }, { PAM0 + 1, 4, 0xC4000, 16 * KIB },
    { PAM0 + 2, 0, 0xC8000, 16 * KIB }, { PAM0 + 2, 4, 0xCC000, 16 * KIB },
    { PAM0 + 3, 0, 0xD0000, 16 * KIB }, { PAM0 + 3, 4, 0xD4000, 16 * KIB },
    { PAM0 + 4, 0, 0xD8000, 16 * KIB }, { PAM0 + 4, 4, 0xDC000, 16 * KIB },
    { PAM0 + 5, 0, 0xE0000, 16 * KIB }, { PAM0 + 5, 4, 0xE4000, 16 * KIB },
    { PAM0 + 6, 0, 0xE8000, 16 * KIB }, { PAM0 + 6, 4, 0xEC000, 16 * KIB },
};

/* A shadowed segment: one of the two regions, or none, lies over PCI. */
struct shadow {
    struct i440fx *f;
    uint32_t start;
    struct mem_region *ram;        /* RE, or RE and WE */
    struct mem_region *write_only; /* WE alone: reads from PCI, writes to RAM */
};

struct i440fx {
    struct pci_device pci;
    struct hw_env *env;
    struct pci_bus *bus;
    struct mem_region *ram;
    struct mem_region *bios;
    struct mem_region *pci_memory;
    struct mem_space *pci_space;
    struct mem_region *bios_low;
    struct mem_region *ram_dos, *ram_low, *ram_high; /* 0-9FFFF, 1 MiB to the hole, above 4 GiB */
    struct mem_region *smram;                        /* as everybody sees it while it is open */
    struct mem_region *smm_root, *smm_outside, *smm_smram; /* what system management mode sees */
    struct mem_space *smm_memory;
    struct shadow shadows[NUM_SEGMENTS];
};

uint64_t i440fx_ram_below_4g(uint64_t ram_size)
{
    return ram_size >= RAM_LOW_SPLIT ? RAM_LOW_MAX : ram_size;
}

uint64_t i440fx_ram_above_4g(uint64_t ram_size)
{
    return ram_size - i440fx_ram_below_4g(ram_size);
}

static unsigned pam_bits(const struct i440fx *f, unsigned n)
{
    return f->pci.regs.config[pam_segments[n].reg] >> pam_segments[n].shift & (PAM_RE | PAM_WE);
}

static bool smram_open(const struct i440fx *f)
{
    uint8_t smram = f->pci.regs.config[SMRAM];

    return (smram & SMRAM_G_SMRAME) && (smram & SMRAM_D_OPEN);
}

/* Section 3.2.19. The data accesses of system management mode, which D_CLS shuts out while code still comes
 * from there, go to SMRAM whatever it says. */
static bool smram_enabled(const struct i440fx *f)
{
    return f->pci.regs.config[SMRAM] & SMRAM_G_SMRAME;
}

/* Switch the shadows and the SMRAM window to what the registers say. */
static void i440fx_update_map(struct i440fx *f)
{
    mem_space_begin(f->env->memory);
    mem_space_begin(f->smm_memory);
    for (unsigned i = 0; i < NUM_SEGMENTS; i++) {
        unsigned bits = pam_bits(f, i);
        mem_region_set_readonly(f->shadows[i].ram, !(bits & PAM_WE));
        mem_region_set_enabled(f->shadows[i].ram, bits & PAM_RE);
        mem_region_set_enabled(f->shadows[i].write_only, bits == PAM_WE);
    }
    mem_region_set_enabled(f->smram, smram_open(f));
    mem_region_set_enabled(f->smm_smram, smram_enabled(f));
    mem_space_commit(f->smm_memory);
    mem_space_commit(f->env->memory);
}

/* D_LCK closes SMRAM and freezes its register until reset (section 3.2.19). */
static void i440fx_update_lock(struct i440fx *f)
{
    uint8_t *smram = &f->pci.regs.config[SMRAM];

    if (*smram & SMRAM_D_LCK)
        *smram &= (uint8_t)~SMRAM_D_OPEN;
    f->pci.wmask[SMRAM] = *smram & SMRAM_D_LCK ? SMRAM_D_CLS
                                               : SMRAM_G_SMRAME | SMRAM_D_LCK | SMRAM_D_CLS | SMRAM_D_OPEN;
}

static void i440fx_written(struct pci_device *d, unsigned reg, unsigned len)
{
    struct i440fx *f = container_of(d, struct i440fx, pci);

    if (reg > SMRAM || reg + len <= PAM0)
        return;
    i440fx_update_lock(f);
    i440fx_update_map(f);
}

static uint64_t write_only_read(void *opaque, uint64_t offset, unsigned size)
{
    struct shadow *s = opaque;

    return mem_read(s->f->pci_space, s->start + offset, size);
}

static void write_only_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct shadow *s = opaque;
    uint64_t addr = s->start + offset;
    uint64_t ram_off = mem_region_ram_off(s->f->ram) + addr;

    store_shared_le(mem_region_host(s->f->ram) + addr, size, value);
    mem_ram_written(s->f->env->mem, ram_off, size);
}

static const struct mem_ops write_only_ops = {
    .read = write_only_read,
    .write = write_only_write,
    .valid = { 1, 8, false },
    .impl = { 1, 8, false },
};

static struct mem_region *ram_window(struct i440fx *f, const char *name, uint64_t addr, uint64_t offset,
                                     uint64_t size)
{
    struct mem_region *r = mem_alias_new(name, f->ram, offset, size);

    mem_region_add(f->env->mem_root, addr, r, 0);
    return r;
}

static void build_ram(struct i440fx *f)
{
    uint64_t size = mem_region_size(f->ram);
    uint64_t low = i440fx_ram_below_4g(size);

    f->ram_dos = ram_window(f, "ram-dos", 0, 0, 0xA0000);
    if (low > 0x100000)
        f->ram_low = ram_window(f, "ram-low", 0x100000, 0x100000, low - 0x100000);
    if (size > low)
        f->ram_high = ram_window(f, "ram-high", GIB_4, low, size - low);
    f->smram = ram_window(f, "smram", SMRAM_START, SMRAM_START, SMRAM_SIZE);
    for (unsigned i = 0; i < NUM_SEGMENTS; i++) {
        const struct pam_segment *seg = &pam_segments[i];
        struct shadow *s = &f->shadows[i];
        s->f = f;
        s->start = seg->start;
        s->ram = ram_window(f, "shadow", seg->start, seg->start, seg->size);
        s->write_only = mem_io_new("shadow-write-only", seg->size, &write_only_ops, s);
        mem_region_add(f->env->mem_root, seg->start, s->write_only, 0);
    }
}

static void build_pci_side(struct i440fx *f)
{
    uint64_t size = mem_region_size(f->bios);
    uint64_t low = MIN_OF(size, (uint64_t)BIOS_LOW_SIZE);

    f->pci_memory = mem_container_new("pci-memory", mem_region_size(f->env->mem_root));
    f->pci_space = mem_space_new("pci", f->pci_memory, f->env->log);
    mem_region_add(f->env->mem_root, 0, f->pci_memory, PCI_PRIORITY);
    mem_region_add(f->pci_memory, GIB_4 - size, f->bios, 0);
    f->bios_low = mem_alias_new("bios-low", f->bios, size - low, low);
    mem_region_add(f->pci_memory, 0x100000 - low, f->bios_low, BIOS_PRIORITY);
}

static void build_smm_side(struct i440fx *f)
{
    uint64_t size = mem_region_size(f->env->mem_root);

    f->smm_root = mem_container_new("smm", size);
    f->smm_outside = mem_alias_new("smm-outside", f->env->mem_root, 0, size);
    f->smm_smram = mem_alias_new("smm-smram", f->ram, SMRAM_START, SMRAM_SIZE);
    mem_region_add(f->smm_root, 0, f->smm_outside, 0);
    mem_region_add(f->smm_root, SMRAM_START, f->smm_smram, 1);
    f->smm_memory = mem_space_new("smm", f->smm_root, f->env->log);
}

/* Defaults of section 3.2; the DRAM registers only remember what the firmware programs. */
static void init_config(struct i440fx *f)
{
    static const struct { uint8_t reg, power_on, wmask; } rows[] = {
        { PCI_COMMAND, 0x06, 0x40 }, { PCI_COMMAND + 1, 0, 0x01 }, { PCI_STATUS, 0x80, 0 },
        { PCI_STATUS + 1, 0x02, 0 }, { PCI_CACHE_LINE_SIZE, 0, 0 }, { PCI_INTERRUPT_LINE, 0, 0 },
        { PMCCFG, 0, 0xFF }, { PMCCFG + 1, 0, 0xFF }, { DETURBO, 0, 0xFF }, { DBC, 0x80, 0xFF },
        { AXC, 0, 0xFF }, { DRT, 0, 0xFF }, { DRT + 1, 0, 0xFF }, { DRAMC, 0x01, 0xFF },
        { DRAMT, 0x10, 0xFF },
        { PAM0, 0, 0x30 }, { PAM0 + 1, 0, 0x33 }, { PAM0 + 2, 0, 0x33 }, { PAM0 + 3, 0, 0x33 },
        { PAM0 + 4, 0, 0x33 }, { PAM0 + 5, 0, 0x33 }, { PAM6, 0, 0x33 },
        { DRB0, 1, 0xFF }, { DRB0 + 1, 1, 0xFF }, { DRB0 + 2, 1, 0xFF }, { DRB0 + 3, 1, 0xFF },
        { DRB0 + 4, 1, 0xFF }, { DRB0 + 5, 1, 0xFF }, { DRB0 + 6, 1, 0xFF }, { DRB0 + 7, 1, 0xFF },
        { FDHC, 0, 0xFF }, { MTT, 0x20, 0xFF }, { CLT, 0x10, 0xFF }, { SMRAM, SMRAM_C_BASE_SEG, 0x78 },
        { ERRCMD, 0, 0xFF },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        f->pci.power_on[rows[i].reg] = rows[i].power_on;
        f->pci.wmask[rows[i].reg] = rows[i].wmask;
    }
    memcpy(f->pci.regs.config, f->pci.power_on, sizeof(f->pci.power_on));
}

struct i440fx *i440fx_new(struct hw_env *env, struct mem_region *ram, struct mem_region *bios)
{
    static const struct pci_id id = {
        .vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000,
    };
    struct i440fx *f = calloc(1, sizeof(*f));

    assert(mem_region_size(ram) >= 0x100000 && mem_region_size(bios) <= 0x1000000);
    if (!f)
        return NULL;
    f->env = env;
    f->ram = ram;
    f->bios = bios;
    mem_space_begin(env->memory);
    build_pci_side(f);
    build_ram(f);
    build_smm_side(f);
    f->bus = pci_bus_new(env, f->pci_memory);
    pci_device_init(&f->pci, env, f->bus, PCI_DEVFN(0, 0), "i440fx", &id);
    init_config(f);
    f->pci.written = i440fx_written;
    i440fx_update_map(f);
    mem_space_commit(env->memory);
    return f;
}

static void drop_region(struct mem_region *r)
{
    if (!r)
        return;
    mem_region_remove(r);
    mem_region_free(r);
}

void i440fx_free(struct i440fx *f)
{
    if (!f)
        return;
    pci_device_remove(&f->pci);
    pci_bus_free(f->bus);
    mem_space_free(f->smm_memory);
    drop_region(f->smm_smram);
    drop_region(f->smm_outside);
    mem_region_free(f->smm_root);
    mem_space_begin(f->env->memory);
    for (unsigned i = 0; i < NUM_SEGMENTS; i++) {
        drop_region(f->shadows[i].ram);
        drop_region(f->shadows[i].write_only);
    }
    drop_region(f->smram);
    drop_region(f->ram_high);
    drop_region(f->ram_low);
    drop_region(f->ram_dos);
    drop_region(f->bios_low);
    mem_region_remove(f->bios);
    mem_region_remove(f->pci_memory);
    mem_space_commit(f->env->memory);
    mem_space_free(f->pci_space);
    mem_region_free(f->pci_memory);
    free(f);
}

struct pci_bus *i440fx_bus(struct i440fx *f)
{
    return f->bus;
}

struct mem_space *i440fx_smm_memory(struct i440fx *f)
{
    return f->smm_memory;
}

struct mem_region *i440fx_pci_memory(struct i440fx *f)
{
    return f->pci_memory;
}
