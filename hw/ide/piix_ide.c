/* 82371SB (PIIX3) IDE controller, function 1 (data sheet 290550; Programming Interface for Bus Master IDE
 * Controller, revision 1.0): two channels at their legacy ports, each with a bus master. */
#include "hw/ide/piix_ide.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"
#include "hw/ide/ata.h"
#include "hw/ide/atapi.h"

enum piix_ide_reg {
    IDETIM = 0x40,         /* one word per channel */
    SIDETIM = 0x44,
    IDETIM_DECODE = 0x80,  /* in the upper byte: IDE decode enable */
};

enum bm_reg { BMIC = 0, BMIS = 2, BMIDTP = 4, BM_CHANNEL_PORTS = 8 };
enum bmic_bit { BMIC_SSBM = 0x01, BMIC_RWCON = 0x08 /* the bus master writes memory */ };

enum bmis_bit {
    BMIS_ACTIVE = 0x01,
    BMIS_ERROR = 0x02,
    BMIS_INTERRUPT = 0x04,
    BMIS_CAPABLE = 0x60, /* firmware's note for drivers */
};

enum { PRD_SIZE = 8, PRD_EOT = 0x8000, PRD_MAX = 65536 };

/* Of the bus masters, by channel. */
struct piix_ide_regs {
    uint32_t bmidtp[2];
    uint32_t next[2]; /* address of the next descriptor */
    uint32_t addr[2]; /* where in memory the transfer stands */
    uint32_t left[2]; /* bytes left of the current descriptor */
    uint8_t bmic[2];
    uint8_t bmis[2];
    uint8_t eot[2];   /* the current descriptor is the last */
    uint8_t intrq[2]; /* the channel's interrupt line */
};

static const struct state_field piix_ide_fields[] = {
    STATE_ARRAY(struct piix_ide_regs, bmidtp, uint32_t),
    STATE_ARRAY(struct piix_ide_regs, next, uint32_t),
    STATE_ARRAY(struct piix_ide_regs, addr, uint32_t),
    STATE_ARRAY(struct piix_ide_regs, left, uint32_t),
    STATE_ARRAY(struct piix_ide_regs, bmic, uint8_t),
    STATE_ARRAY(struct piix_ide_regs, bmis, uint8_t),
    STATE_ARRAY(struct piix_ide_regs, eot, uint8_t),
    STATE_ARRAY(struct piix_ide_regs, intrq, uint8_t),
};
const struct state_table piix_ide_state_table =
    STATE_TABLE("piix-ide", 1, struct piix_ide_regs, piix_ide_fields);

static const struct { uint16_t command, control; } legacy_ports[2] = { { 0x1F0, 0x3F6 }, { 0x170, 0x376 } };

struct piix_ide {
    struct pci_device pci;
    struct piix_ide_regs regs;
    struct hw_env *env;
    struct ide_channel channel[2];
    struct mem_region *command[2], *control[2], *bm;
    struct irq_line irq[2];
    struct device dev;
};

/* ---- bus master ---- */

static void bm_stop(struct piix_ide *s, int n, uint8_t bits)
{
    s->regs.bmis[n] &= (uint8_t)~BMIS_ACTIVE;
    s->regs.bmis[n] |= bits;
}

/* Read the next descriptor: dword address, word count (0 is 64 KiB), EOT in the last word. */
static bool prd_fetch(struct piix_ide *s, int n)
{
    uint8_t prd[PRD_SIZE];

    if (!mem_read_buf(s->env->memory, s->regs.next[n], prd, sizeof(prd))) {
        log_guest(s->env->log, "piix_ide: descriptor table at 0x%08x is not memory\n", s->regs.next[n]);
        bm_stop(s, n, BMIS_ERROR);
        return false;
    }
    s->regs.next[n] += PRD_SIZE;
    s->regs.addr[n] = (uint32_t)load_le(prd, 4) & ~1u;
    s->regs.left[n] = (uint32_t)load_le(prd + 4, 2) & ~1u;
    if (!s->regs.left[n])
        s->regs.left[n] = PRD_MAX;
    s->regs.eot[n] = (load_le(prd + 6, 2) & PRD_EOT) != 0;
    return true;
}

/* Each descriptor moves at least two bytes, so `len` bounds the walk whatever the table says. */
static size_t bm_transfer(void *opaque, int n, void *buf, size_t len, bool to_memory)
{
    struct piix_ide *s = opaque;
    size_t done = 0;

    if (!pci_device_is_master(&s->pci) || to_memory != ((s->regs.bmic[n] & BMIC_RWCON) != 0))
        return 0;
    while (done < len && (s->regs.bmis[n] & BMIS_ACTIVE)) {
        if (!s->regs.left[n] && !prd_fetch(s, n))
            break;
        uint32_t part = (uint32_t)MIN_OF(len - done, (size_t)s->regs.left[n]);
        uint8_t *p = (uint8_t *)buf + done;
        bool ok = to_memory ? mem_write_buf(s->env->memory, s->regs.addr[n], p, part)
                            : mem_read_buf(s->env->memory, s->regs.addr[n], p, part);
        if (!ok) {
            log_guest(s->env->log, "piix_ide: DMA at 0x%08x is not memory\n", s->regs.addr[n]);
            bm_stop(s, n, BMIS_ERROR);
            break;
        }
        done += part;
        s->regs.addr[n] += part;
        s->regs.left[n] -= part;
        if (!s->regs.left[n] && s->regs.eot[n])
            bm_stop(s, n, 0);
    }
    return done;
}

static void bmic_write(struct piix_ide *s, int n, uint8_t value)
{
    bool was_on = s->regs.bmic[n] & BMIC_SSBM;

    s->regs.bmic[n] = value & (BMIC_SSBM | BMIC_RWCON);
    if (!(value & BMIC_SSBM)) {
        bm_stop(s, n, 0);
    } else if (!was_on) {
        s->regs.bmis[n] |= BMIS_ACTIVE;
        s->regs.next[n] = s->regs.bmidtp[n];
        s->regs.left[n] = 0;
        s->regs.eot[n] = 0;
        ide_channel_dma_started(&s->channel[n]);
    }
}

static void bmis_write(struct piix_ide *s, int n, uint8_t value)
{
    uint8_t kept = s->regs.bmis[n] & (BMIS_ACTIVE | BMIS_ERROR | BMIS_INTERRUPT);

    kept &= (uint8_t)~(value & (BMIS_ERROR | BMIS_INTERRUPT));
    s->regs.bmis[n] = kept | (value & BMIS_CAPABLE);
}

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix_ide *s = opaque;
    int n = offset >= BM_CHANNEL_PORTS;
    unsigned reg = offset % BM_CHANNEL_PORTS;

    (void)size;
    switch (reg) {
    case BMIC:
        return s->regs.bmic[n];
    case BMIS:
        return s->regs.bmis[n];
    case 1:
    case 3:
        return 0;
    default:
        return s->regs.bmidtp[n] >> (8 * (reg - BMIDTP)) & 0xFF;
    }
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix_ide *s = opaque;
    int n = offset >= BM_CHANNEL_PORTS;
    unsigned reg = offset % BM_CHANNEL_PORTS;

    (void)size;
    switch (reg) {
    case BMIC:
        bmic_write(s, n, (uint8_t)value);
        break;
    case BMIS:
        bmis_write(s, n, (uint8_t)value);
        break;
    case 1:
    case 3:
        break;
    default:
        s->regs.bmidtp[n] = (uint32_t)bits_deposit(s->regs.bmidtp[n], 8 * (reg - BMIDTP), 8, value) & ~3u;
        break;
    }
}

/* BMIS remembers the rising edge of the channel's interrupt. */
static void channel_irq(void *opaque, int n, int level)
{
    struct piix_ide *s = opaque;

    if (level && !s->regs.intrq[n])
        s->regs.bmis[n] |= BMIS_INTERRUPT;
    s->regs.intrq[n] = level != 0;
    irq_set(&s->irq[n], level);
}

/* ---- legacy ports ---- */

/* Beside the data register everything is a byte: wider accesses take the ports one after the other. */
static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    if (offset == IDE_DATA)
        return ide_command_read(opaque, offset, size);
    for (unsigned i = 0; i < size; i++)
        value |= ide_command_read(opaque, offset + i, 1) << (8 * i);
    return value;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (offset == IDE_DATA) {
        ide_command_write(opaque, offset, value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        ide_command_write(opaque, offset + i, value >> (8 * i) & 0xFF, 1);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ide_control_read(opaque);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    ide_control_write(opaque, (uint8_t)value);
}

static const struct mem_ops command_ops = { command_read, command_write, { 1, 4, false }, { 1, 4, false } };
static const struct mem_ops control_ops = { control_read, control_write, { 1, 1, false }, { 1, 1, false } };
static const struct mem_ops bm_ops = { bm_read, bm_write, { 1, 4, false }, { 1, 1, false } };

static void update_decode(struct piix_ide *s)
{
    const uint8_t *config = s->pci.regs.config;

    mem_space_begin(s->env->ports);
    for (int n = 0; n < 2; n++) {
        bool on = (config[IDETIM + 2 * n + 1] & IDETIM_DECODE) && (config[PCI_COMMAND] & PCI_COMMAND_IO);
        mem_region_set_enabled(s->command[n], on);
        mem_region_set_enabled(s->control[n], on);
    }
    mem_space_commit(s->env->ports);
}

static void piix_ide_written(struct pci_device *d, unsigned reg, unsigned len)
{
    if (reg < IDETIM + 4 && reg + len > PCI_COMMAND)
        update_decode(container_of(d, struct piix_ide, pci));
}

static void piix_ide_reset(void *opaque)
{
    struct piix_ide *s = opaque;

    s->regs = (struct piix_ide_regs){ 0 };
    for (int n = 0; n < 2; n++)
        irq_set(&s->irq[n], 0);
}

/* ---- creation ---- */

static void init_config(struct piix_ide *s)
{
    s->pci.wmask[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
    s->pci.wmask[PCI_COMMAND + 1] = 0;
    s->pci.wmask[PCI_CACHE_LINE_SIZE] = 0;
    s->pci.wmask[PCI_INTERRUPT_LINE] = 0;
    s->pci.power_on[PCI_STATUS] = 0x80;
    s->pci.power_on[PCI_STATUS + 1] = 0x02;
    memset(&s->pci.wmask[IDETIM], 0xFF, 4);
    s->pci.wmask[SIDETIM] = 0xFF;
    memcpy(s->pci.regs.config, s->pci.power_on, sizeof(s->pci.power_on));
}

static void init_channel(struct piix_ide *s, int n)
{
    struct ide_channel *ch = &s->channel[n];

    ide_channel_init(ch, s->env, n, (struct irq_line){ channel_irq, s, n },
                     (struct ide_dma){ bm_transfer, s });
    s->command[n] = mem_io_new("ide-command", IDE_NUM_PORTS, &command_ops, ch);
    s->control[n] = mem_io_new("ide-control", 1, &control_ops, ch);
    mem_region_add(s->env->io_root, legacy_ports[n].command, s->command[n], 0);
    mem_region_add(s->env->io_root, legacy_ports[n].control, s->control[n], 0);
}

struct piix_ide *piix_ide_new(struct hw_env *env, struct pci_bus *bus, struct irq_line irq14,
                              struct irq_line irq15)
{
    static const struct pci_id id = { .vendor = 0x8086, .device = 0x7010, .class_code = 0x010180 };
    struct piix_ide *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->env = env;
    s->irq[0] = irq14;
    s->irq[1] = irq15;
    pci_device_init(&s->pci, env, bus, PCI_DEVFN(1, 1), "piix-ide-config", &id);
    init_config(s);
    s->bm = mem_io_new("ide-bus-master", 2 * BM_CHANNEL_PORTS, &bm_ops, s);
    pci_device_add_bar(&s->pci, 4, PCI_BAR_IO, s->bm);
    for (int n = 0; n < 2; n++)
        init_channel(s, n);
    s->pci.written = piix_ide_written;
    update_decode(s);
    s->dev = (struct device){ .name = "piix-ide", .reset = piix_ide_reset, .state = &piix_ide_state_table,
                              .regs = &s->regs, .opaque = s };
    device_register(env, &s->dev);
    return s;
}

void piix_ide_free(struct piix_ide *s)
{
    if (!s)
        return;
    pci_device_remove(&s->pci);
    for (int n = 0; n < 2; n++) {
        ide_channel_destroy(&s->channel[n]);
        mem_region_remove(s->command[n]);
        mem_region_remove(s->control[n]);
        mem_region_free(s->command[n]);
        mem_region_free(s->control[n]);
    }
    mem_region_free(s->bm);
    free(s);
}

void ide_attach(struct piix_ide *s, int channel, int unit, struct block *block, bool cdrom,
                const char *serial)
{
    assert(channel >= 0 && channel < 2 && unit >= 0 && unit < 2 && (block || cdrom));
    ide_drive_attach(&s->channel[channel], unit, cdrom ? &ide_atapi : &ide_ata, block, serial);
}

void ide_set_media(struct piix_ide *s, int channel, int unit, struct block *block)
{
    struct ide_drive *d = &s->channel[channel].drive[unit];

    assert(d->kind == &ide_atapi);
    atapi_set_media(d, block);
}
