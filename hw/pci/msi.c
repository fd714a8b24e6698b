/* Interrupts of PCI functions as messages: MSI and MSI-X (PCI Local Bus Specification 3.0, section 6.8). The
 * registers of MSI are bytes of configuration space; the table and the pending bits of MSI-X are memory. */
#include "hw/pci/msi.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"
#include "hw/pci/pci.h"

enum { CAP_MSI = 0x05, CAP_MSIX = 0x11 };
/* Offsets in the capabilities (figures 6-9 and 6-10). Data, mask and pending of MSI with 64 bits are 4
 * further. */
enum cap_reg {
    CAP_CONTROL = 2,
    MSI_ADDRESS = 4,
    MSI_DATA = 8,
    MSI_MASK = 12,
    MSI_PENDING = 16,
    MSIX_TABLE = 4,
    MSIX_PBA = 8,
    MSIX_LENGTH = 12,
};
enum msi_control { MSI_ENABLE = 0x0001, MSI_ALLOTTED = 0x0070 };
enum msix_control { MSIX_FUNCTION_MASK = 0x4000, MSIX_ENABLE = 0x8000 };
/* The dwords of an entry of the MSI-X table (figure 6-11), and its mask bit. */
enum msix_entry { ENTRY_ADDRESS, ENTRY_UPPER, ENTRY_DATA, ENTRY_CONTROL, ENTRY_DWORDS };
enum { ENTRY_MASKED = 1 };

struct msix_regs {
    uint32_t table[MSIX_MAX_VECTORS][ENTRY_DWORDS];
    uint32_t pending[MSIX_MAX_VECTORS / 32];
};

static const struct state_field msix_fields[] = {
    STATE_ARRAY(struct msix_regs, table, uint32_t),
    STATE_ARRAY(struct msix_regs, pending, uint32_t),
};
const struct state_table msix_state_table = STATE_TABLE("msix", 1, struct msix_regs, msix_fields);

struct msix {
    struct msix_regs regs;
    struct device dev;
    struct pci_device *d;
    unsigned vectors;
    uint8_t offset; /* of the capability */
    struct mem_region *table, *pba;
};

static uint16_t control_of(const struct pci_device *d, unsigned cap)
{
    return (uint16_t)load_le(&d->regs.config[cap + CAP_CONTROL], 2);
}

/* ---- MSI ---- */

static bool msi_enabled(const struct pci_device *d)
{
    return d->msi && control_of(d, d->msi) & MSI_ENABLE;
}

/* Where a register behind the address is. */
static unsigned msi_reg(const struct pci_device *d, enum cap_reg reg)
{
    return d->msi + (unsigned)reg + (control_of(d, d->msi) & MSI_64BIT ? 4 : 0);
}

/* Vectors in use: what software allots, if the function has that many. */
static unsigned msi_vectors(const struct pci_device *d)
{
    uint16_t control = control_of(d, d->msi);
    return 1u << MIN_OF(bits_extract(control, 4, 3), bits_extract(control, 1, 3));
}

/* The low bits of the data are the number of the vector (section 6.8.1.6). */
static void msi_send(struct pci_device *d, unsigned vector)
{
    bool wide = control_of(d, d->msi) & MSI_64BIT;
    uint64_t addr = load_le(&d->regs.config[d->msi + MSI_ADDRESS], wide ? 8 : 4);
    uint32_t data = (uint32_t)load_le(&d->regs.config[msi_reg(d, MSI_DATA)], 2);

    pci_device_send_message(d, addr, (data & ~(msi_vectors(d) - 1)) | vector);
}

static void msi_raise(struct pci_device *d, unsigned vector)
{
    bool maskable = control_of(d, d->msi) & MSI_MASKABLE;

    vector &= msi_vectors(d) - 1;
    if (maskable && load_le(&d->regs.config[msi_reg(d, MSI_MASK)], 4) >> vector & 1)
        d->regs.config[msi_reg(d, MSI_PENDING) + vector / 8] |= (uint8_t)(1u << vector % 8);
    else
        msi_send(d, vector);
}

/* Send what is pending and not masked any more. */
static void msi_flush(struct pci_device *d)
{
    if (!msi_enabled(d) || !(control_of(d, d->msi) & MSI_MASKABLE))
        return;
    uint8_t *bits = &d->regs.config[msi_reg(d, MSI_PENDING)];
    uint32_t pending = (uint32_t)load_le(bits, 4);
    uint32_t due = pending & ~(uint32_t)load_le(&d->regs.config[msi_reg(d, MSI_MASK)], 4);
    store_le(bits, 4, pending & ~due);
    for (; due; due &= due - 1)
        msi_send(d, (unsigned)__builtin_ctz(due) & (msi_vectors(d) - 1));
}

static unsigned msi_length(unsigned features)
{
    return 10 + (features & MSI_64BIT ? 4 : 0) + (features & MSI_MASKABLE ? 10 : 0);
}

void msi_init(struct pci_device *d, unsigned offset, unsigned vectors, unsigned features)
{
    unsigned data = offset + MSI_DATA + (features & MSI_64BIT ? 4 : 0);

    assert(is_pow2(vectors) && vectors <= MSI_MAX_VECTORS && !(features & ~(MSI_64BIT | MSI_MASKABLE)));
    d->msi = (uint8_t)offset;
    store_le(&d->power_on[offset + CAP_CONTROL], 2, features | (unsigned)__builtin_ctz(vectors) << 1);
    store_le(&d->wmask[offset + CAP_CONTROL], 2, MSI_ENABLE | MSI_ALLOTTED);
    store_le(&d->wmask[offset + MSI_ADDRESS], 4, 0xFFFFFFFC);
    if (features & MSI_64BIT)
        store_le(&d->wmask[offset + MSI_ADDRESS + 4], 4, 0xFFFFFFFF);
    store_le(&d->wmask[data], 2, 0xFFFF);
    if (features & MSI_MASKABLE)
        store_le(&d->wmask[data + MSI_MASK - MSI_DATA], 4, MASK(vectors));
    pci_device_add_capability(d, CAP_MSI, offset, msi_length(features));
}

/* ---- MSI-X ---- */

static bool msix_enabled(const struct pci_device *d)
{
    return d->msix && control_of(d, d->msix->offset) & MSIX_ENABLE;
}

static bool msix_masked(const struct msix *x, unsigned vector)
{
    return control_of(x->d, x->offset) & MSIX_FUNCTION_MASK ||
           x->regs.table[vector][ENTRY_CONTROL] & ENTRY_MASKED;
}

static void msix_send(struct msix *x, unsigned vector)
{
    const uint32_t *entry = x->regs.table[vector];
    uint64_t addr = (uint64_t)entry[ENTRY_UPPER] << 32 | entry[ENTRY_ADDRESS];

    pci_device_send_message(x->d, addr, entry[ENTRY_DATA]);
}

static void msix_raise(struct msix *x, unsigned vector)
{
    if (vector >= x->vectors)
        return;
    if (msix_masked(x, vector))
        x->regs.pending[vector / 32] |= 1u << vector % 32;
    else
        msix_send(x, vector);
}

static void msix_flush(struct msix *x)
{
    if (!msix_enabled(x->d))
        return;
    for (unsigned word = 0; word < MSIX_MAX_VECTORS / 32; word++) {
        for (uint32_t due = x->regs.pending[word]; due; due &= due - 1) {
            unsigned vector = word * 32 + (unsigned)__builtin_ctz(due);
            if (msix_masked(x, vector))
                continue;
            x->regs.pending[word] &= ~(due & -due);
            msix_send(x, vector);
        }
    }
}

static uint64_t table_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct msix *x = opaque;
    (void)size;
    return x->regs.table[offset / 16][offset / 4 % ENTRY_DWORDS];
}

static void table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    static const uint32_t writable[ENTRY_DWORDS] = { 0xFFFFFFFC, 0xFFFFFFFF, 0xFFFFFFFF, ENTRY_MASKED };
    struct msix *x = opaque;
    unsigned dword = offset / 4 % ENTRY_DWORDS;
    (void)size;
    x->regs.table[offset / 16][dword] = (uint32_t)value & writable[dword];
    if (dword == ENTRY_CONTROL)
        msix_flush(x);
}

static uint64_t pba_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct msix *x = opaque;
    (void)size;
    return x->regs.pending[offset / 4];
}

static void pba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const struct msix *x = opaque;
    log_guest(x->d->env->log, "msix: write of 0x%llx (%u bytes) to pending bits at 0x%llx\n",
              (unsigned long long)value, size, (unsigned long long)offset);
}

/* Aligned dwords and qwords only (section 6.8.2). */
static const struct mem_ops table_ops = { table_read, table_write, { 4, 8, false }, { 4, 4, false } };
static const struct mem_ops pba_ops = { pba_read, pba_write, { 4, 8, false }, { 4, 4, false } };

static void msix_reset(void *opaque)
{
    struct msix *x = opaque;
    x->regs = (struct msix_regs){ 0 };
    for (unsigned i = 0; i < MSIX_MAX_VECTORS; i++)
        x->regs.table[i][ENTRY_CONTROL] = ENTRY_MASKED;
}

static struct mem_region *add_region(const char *name, struct msix *x, const struct mem_ops *ops,
                                     struct mem_region *container, uint64_t at, uint64_t size)
{
    struct mem_region *r = mem_io_new(name, size, ops, x);
    assert(!(at & 7) && at + size <= mem_region_size(container));
    mem_region_add(container, at, r, 1);
    return r;
}

void msix_init(struct pci_device *d, unsigned offset, unsigned vectors, const struct msix_place *place)
{
    struct msix *x = calloc(1, sizeof(*x));

    assert(x && vectors && vectors <= MSIX_MAX_VECTORS && place->bar < PCI_ROM_BAR);
    x->d = d;
    x->vectors = vectors;
    x->offset = (uint8_t)offset;
    d->msix = x;
    x->table = add_region("msix-table", x, &table_ops, place->container, place->table, 16 * vectors);
    x->pba = add_region("msix-pba", x, &pba_ops, place->container, place->pending, (vectors + 63) / 64 * 8);
    msix_reset(x);
    store_le(&d->power_on[offset + CAP_CONTROL], 2, vectors - 1);
    store_le(&d->power_on[offset + MSIX_TABLE], 4, place->table | place->bar);
    store_le(&d->power_on[offset + MSIX_PBA], 4, place->pending | place->bar);
    store_le(&d->wmask[offset + CAP_CONTROL], 2, MSIX_ENABLE | MSIX_FUNCTION_MASK);
    pci_device_add_capability(d, CAP_MSIX, offset, MSIX_LENGTH);
    x->dev = (struct device){ .name = "msix", .reset = msix_reset, .state = &msix_state_table,
                              .regs = &x->regs, .opaque = x };
    device_register(d->env, &x->dev);
}

void msix_free(struct pci_device *d)
{
    if (!d->msix)
        return;
    mem_region_free(d->msix->table);
    mem_region_free(d->msix->pba);
    free(d->msix);
    d->msix = NULL;
}

/* ---- both ---- */

bool msi_is_enabled(const struct pci_device *d)
{
    return msi_enabled(d) || msix_enabled(d);
}

/* To enable both is forbidden (section 6.8); MSI-X wins. */
bool msi_notify(struct pci_device *d, unsigned vector)
{
    if (msix_enabled(d))
        msix_raise(d->msix, vector);
    else if (msi_enabled(d))
        msi_raise(d, vector);
    else
        return false;
    return true;
}

static bool covers_control(unsigned cap, unsigned reg, unsigned len)
{
    return cap && reg < cap + CAP_CONTROL + 2 && reg + len > cap + CAP_CONTROL;
}

bool msi_config_written(struct pci_device *d, unsigned reg, unsigned len)
{
    unsigned msix = d->msix ? d->msix->offset : 0;

    if (d->msi && reg < d->msi + msi_length(control_of(d, d->msi)) && reg + len > d->msi)
        msi_flush(d);
    if (covers_control(msix, reg, len))
        msix_flush(d->msix);
    return covers_control(d->msi, reg, len) || covers_control(msix, reg, len);
}
