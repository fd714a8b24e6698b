/* 82371AB (PIIX4) power management, function 3 (data sheet 290562, chapter 7; ACPI specification 1.0b,
 * chapter 4). The GPE0 block at 0xAFE0 is the PC board's, where the firmware's FADT says it is. */
#include "hw/pci/piix4_pm.h"

#include <stdlib.h>

#include "base/bits.h"

enum piix4_config_reg {
    PMBA = 0x40,
    CNTA = 0x44,
    CNTB = 0x48,
    GPICTL = 0x4C,
    DEVRESD = 0x50,
    DEVACTA = 0x54,
    DEVACTB = 0x58,
    DEVRESA = 0x5C,
    DEVRESB = 0x60,
    DEVRESC = 0x64,
    DEVRESJ = 0x7C,
    PMREGMISC = 0x80,
    SMBBA = 0x90,
    SMBHSTCFG = 0xD2,
    SMBREV = 0xD6,
};

enum piix4_pm_reg { /* dwords from PMBA */
    PMSTS = 0x00,   /* PMEN in the upper half */
    PMCNTRL = 0x04,
    PMTMR = 0x08,
    GLBSTS = 0x18,
    GLBEN = 0x20,
    GLBCTL = 0x28,
};

enum pmsts_bit {
    TMROF_STS = 0x0001,
    BM_STS = 0x0010,
    GBL_STS = 0x0020,
    PWRBTN_STS = 0x0100,
    RTC_STS = 0x0400,
    PWRBTNOR_STS = 0x0800,
    RSM_STS = 0x8000,
    PMSTS_W1C = 0x8D31,
    PMEN_BITS = 0x0521, /* TMROF, GBL, PWRBTN, RTC */
};

enum pmcntrl_bit {
    SCI_EN = 0x0001,
    BRLD_EN_BM = 0x0002,
    SUS_TYP_SHIFT = 10,
    SUS_TYP_BITS = 0x1C00,
    SUS_EN = 0x2000,
};

enum { GLBSTS_APM_STS = 0x20, GLBCTL_SMI_EN = 0x01 };

enum sus_typ { SUS_SOFT_OFF = 0, SUS_TO_RAM = 1, SUS_DISK = 2 }; /* as the firmware's _S5, _S3, _S4 */

enum smb_reg { SMBHSTSTS = 0, SMBSLVSTS = 1, SMBHSTCNT = 2, SMB_PORTS = 16 };
enum { SMBHSTSTS_W1C = 0x1E, SMB_DEV_ERR = 0x04, SMB_START = 0x40 };

enum {
    PMREGMISC_PMIOSE = 0x01,
    SMB_HST_EN = 0x01,
    DEVACTB_APMC_EN = 0x02, /* in byte 3 */
    PM_PORTS = 64,
    GPE0_PORT = 0xAFE0,
    APM_PORT = 0xB2,
    APM_ACPI_DISABLE = 0xF0,
    APM_ACPI_ENABLE = 0xF1,
    TMR_MSB = 23,
};

#define PMTMR_HZ INT64_C(3579545)

struct piix4_pm_regs {
    int64_t tmr_seen; /* half periods of the timer that TMROF_STS has been cleared for */
    uint32_t glbctl;
    uint16_t pmsts;   /* without TMROF_STS */
    uint16_t pmen;
    uint16_t pmcntrl;
    uint16_t gpe_sts;
    uint16_t gpe_en;
    uint16_t glbsts;
    uint16_t glben;
    uint8_t apmc, apms;
    uint8_t smb[SMB_PORTS];
    uint8_t pad[4];
};

static const struct state_field piix4_pm_fields[] = {
    STATE_FIELD(struct piix4_pm_regs, tmr_seen),
    STATE_FIELD(struct piix4_pm_regs, glbctl),
    STATE_FIELD(struct piix4_pm_regs, pmsts),
    STATE_FIELD(struct piix4_pm_regs, pmen),
    STATE_FIELD(struct piix4_pm_regs, pmcntrl),
    STATE_FIELD(struct piix4_pm_regs, gpe_sts),
    STATE_FIELD(struct piix4_pm_regs, gpe_en),
    STATE_FIELD(struct piix4_pm_regs, glbsts),
    STATE_FIELD(struct piix4_pm_regs, glben),
    STATE_FIELD(struct piix4_pm_regs, apmc),
    STATE_FIELD(struct piix4_pm_regs, apms),
    STATE_ARRAY(struct piix4_pm_regs, smb, uint8_t),
    STATE_PAD(struct piix4_pm_regs, pad),
};
const struct state_table piix4_pm_state_table =
    STATE_TABLE("piix4-pm", 1, struct piix4_pm_regs, piix4_pm_fields);

/* A block of ports that configuration space places. */
struct port_block {
    struct mem_region *region;
    bool mapped;
    uint16_t base;
};

struct piix4_pm {
    struct pci_device pci;
    struct piix4_pm_regs regs;
    struct hw_env *env;
    struct irq_line sci, poweroff, smi;
    struct port_block pm, smbus;
    struct mem_region *gpe0, *apm;
    struct timer overflow;
    struct device dev;
};

/* Ticks of the PM timer since power-on; the register shows the low 24 bits. */
static int64_t tmr_ticks(const struct piix4_pm *s)
{
    return muldiv64(clock_now(s->env->clock), PMTMR_HZ, NS_PER_SEC);
}

/* TMROF_STS is set whenever bit 23 changes. */
static uint16_t pmsts_of(const struct piix4_pm *s)
{
    return s->regs.pmsts | (tmr_ticks(s) >> TMR_MSB != s->regs.tmr_seen ? TMROF_STS : 0);
}

static bool sci_level(const struct piix4_pm *s)
{
    bool pm1 = (pmsts_of(s) & s->regs.pmen & PMEN_BITS) && (s->regs.pmcntrl & SCI_EN);

    return pm1 || (s->regs.gpe_sts & s->regs.gpe_en);
}

/* Drive SCI, and watch for the next timer overflow while somebody waits for it. */
static void piix4_pm_update_irq(struct piix4_pm *s)
{
    int64_t next = (s->regs.tmr_seen + 1) << TMR_MSB;

    irq_set(&s->sci, sci_level(s));
    if ((s->regs.pmen & TMROF_STS) && !(pmsts_of(s) & TMROF_STS))
        timer_arm(&s->overflow, muldiv64(next, NS_PER_SEC, PMTMR_HZ) + 1);
    else
        timer_cancel(&s->overflow);
}

static void overflow_fire(void *opaque)
{
    piix4_pm_update_irq(opaque);
}

void piix4_pm_power_button(struct piix4_pm *s)
{
    s->regs.pmsts |= PWRBTN_STS;
    piix4_pm_update_irq(s);
}

static void enter_sleep(struct piix4_pm *s)
{
    switch ((s->regs.pmcntrl & SUS_TYP_BITS) >> SUS_TYP_SHIFT) {
    case SUS_SOFT_OFF:
    case SUS_DISK:
        irq_set(&s->poweroff, 1);
        break;
    default: /* the machine wakes at once: no context is lost */
        log_guest(s->env->log, "piix4_pm: sleep type of PMCNTRL 0x%04x has no effect\n", s->regs.pmcntrl);
        s->regs.pmsts |= RSM_STS;
        break;
    }
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    unsigned shift = 8 * (offset & 3);
    uint64_t value = 0;

    switch (offset & ~UINT64_C(3)) {
    case PMSTS:
        value = pmsts_of(s) | (uint64_t)s->regs.pmen << 16;
        break;
    case PMCNTRL:
        value = s->regs.pmcntrl;
        break;
    case PMTMR:
        value = (uint64_t)tmr_ticks(s) & MASK(24);
        break;
    case GLBSTS:
        value = s->regs.glbsts;
        break;
    case GLBEN:
        value = s->regs.glben;
        break;
    case GLBCTL:
        value = s->regs.glbctl;
        break;
    }
    return value >> shift & MASK(8 * size);
}

static void pmsts_write(struct piix4_pm *s, uint32_t value, uint32_t mask)
{
    uint32_t en = s->regs.pmen;

    s->regs.pmsts &= (uint16_t)~(value & mask & PMSTS_W1C);
    if (value & mask & TMROF_STS)
        s->regs.tmr_seen = tmr_ticks(s) >> TMR_MSB;
    en = (en & ~(mask >> 16)) | (value & mask) >> 16;
    s->regs.pmen = en & PMEN_BITS;
}

static void pmcntrl_write(struct piix4_pm *s, uint32_t value, uint32_t mask)
{
    uint16_t stored = SCI_EN | BRLD_EN_BM | SUS_TYP_BITS; /* SUS_EN and GBL_RLS read as 0 */

    s->regs.pmcntrl = (uint16_t)((s->regs.pmcntrl & ~mask) | (value & mask & stored));
    if (value & mask & SUS_EN)
        enter_sleep(s);
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    unsigned shift = 8 * (offset & 3);
    uint32_t mask = (uint32_t)(MASK(8 * size) << shift);
    uint32_t v = (uint32_t)(value << shift);

    switch (offset & ~UINT64_C(3)) {
    case PMSTS:
        pmsts_write(s, v, mask);
        break;
    case PMCNTRL:
        pmcntrl_write(s, v, mask);
        break;
    case GLBSTS: /* write 1 to clear */
        s->regs.glbsts &= (uint16_t)~(v & mask);
        break;
    case GLBEN:
        s->regs.glben = (uint16_t)((s->regs.glben & ~mask) | (v & mask));
        break;
    case GLBCTL:
        s->regs.glbctl = (s->regs.glbctl & ~mask) | (v & mask);
        break;
    default:
        log_guest(s->env->log, "piix4_pm: write to register 0x%02x ignored\n", (unsigned)offset);
        return;
    }
    piix4_pm_update_irq(s);
}

/* GPE0_STS (two bytes, write 1 to clear), GPE0_EN (two bytes). */
static uint64_t gpe0_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;

    return (s->regs.gpe_sts | (uint32_t)s->regs.gpe_en << 16) >> (8 * offset) & MASK(8 * size);
}

static void gpe0_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    uint32_t mask = (uint32_t)(MASK(8 * size) << (8 * offset));
    uint32_t v = (uint32_t)(value << (8 * offset)) & mask;

    s->regs.gpe_sts &= (uint16_t)~v;
    s->regs.gpe_en = (uint16_t)((s->regs.gpe_en & ~(mask >> 16)) | v >> 16);
    piix4_pm_update_irq(s);
}

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;

    (void)size;
    return offset ? s->regs.apms : s->regs.apmc;
}

/* A write to APMC asks for an SMI. EOS need not be set again after one: firmware for emulators does not. */
static void request_smi(struct piix4_pm *s)
{
    if (!(s->pci.regs.config[DEVACTB + 3] & DEVACTB_APMC_EN))
        return;
    s->regs.glbsts |= GLBSTS_APM_STS;
    if (s->regs.glbctl & GLBCTL_SMI_EN) {
        irq_set(&s->smi, 1);
        irq_set(&s->smi, 0);
    }
}

/* The two ACPI commands do here what an SMM handler does for them. */
static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;

    (void)size;
    if (offset) {
        s->regs.apms = (uint8_t)value;
        return;
    }
    s->regs.apmc = (uint8_t)value;
    if (value == APM_ACPI_ENABLE)
        s->regs.pmcntrl |= SCI_EN;
    else if (value == APM_ACPI_DISABLE)
        s->regs.pmcntrl &= (uint16_t)~SCI_EN;
    piix4_pm_update_irq(s);
    request_smi(s);
}

static uint64_t smb_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;

    (void)size;
    return s->regs.smb[offset];
}

/* Nothing is on the SMBus: every transaction ends with the address not acknowledged. */
static void smb_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;

    (void)size;
    switch (offset) {
    case SMBHSTSTS:
        s->regs.smb[SMBHSTSTS] &= (uint8_t)~(value & SMBHSTSTS_W1C);
        break;
    case SMBSLVSTS:
        break;
    case SMBHSTCNT:
        s->regs.smb[SMBHSTCNT] = (uint8_t)value & 0x1F;
        if (value & SMB_START)
            s->regs.smb[SMBHSTSTS] |= SMB_DEV_ERR;
        break;
    default:
        s->regs.smb[offset] = (uint8_t)value;
        break;
    }
}

static const struct mem_ops pm_ops = { pm_read, pm_write, { 1, 4, false }, { 1, 4, false } };
static const struct mem_ops gpe0_ops = { gpe0_read, gpe0_write, { 1, 4, false }, { 1, 4, false } };
static const struct mem_ops apm_ops = { apm_read, apm_write, { 1, 4, false }, { 1, 1, false } };
static const struct mem_ops smb_ops = { smb_read, smb_write, { 1, 4, false }, { 1, 1, false } };

static void block_place(struct piix4_pm *s, struct port_block *b, uint16_t base, bool enabled)
{
    bool want = enabled && base;

    if (b->mapped == want && b->base == base)
        return;
    mem_space_begin(s->env->ports);
    if (b->mapped)
        mem_region_remove(b->region);
    if (want)
        mem_region_add(s->env->io_root, base, b->region, 0);
    mem_space_commit(s->env->ports);
    b->mapped = want;
    b->base = base;
}

static void piix4_pm_written(struct pci_device *d, unsigned reg, unsigned len)
{
    struct piix4_pm *s = container_of(d, struct piix4_pm, pci);
    const uint8_t *config = d->regs.config;

    (void)reg;
    (void)len;
    block_place(s, &s->pm, (uint16_t)load_le(&config[PMBA], 2) & 0xFFC0,
                config[PMREGMISC] & PMREGMISC_PMIOSE);
    block_place(s, &s->smbus, (uint16_t)load_le(&config[SMBBA], 2) & 0xFFF0,
                (config[SMBHSTCFG] & SMB_HST_EN) && (config[PCI_COMMAND] & PCI_COMMAND_IO));
}

static void piix4_pm_reset(void *opaque)
{
    struct piix4_pm *s = opaque;

    s->regs = (struct piix4_pm_regs){ .tmr_seen = tmr_ticks(s) >> TMR_MSB };
    piix4_pm_update_irq(s);
}

static void piix4_pm_loaded(void *opaque)
{
    piix4_pm_update_irq(opaque);
}

/* Defaults of section 7.1. Idle timers and device monitors only remember what the firmware programs. */
static void init_config(struct piix4_pm *s, unsigned isa_devices)
{
    uint8_t *config = s->pci.power_on, *wmask = s->pci.wmask;

    wmask[PCI_COMMAND] = PCI_COMMAND_IO;
    wmask[PCI_COMMAND + 1] = 0;
    wmask[PCI_CACHE_LINE_SIZE] = wmask[PCI_LATENCY_TIMER] = 0;
    config[PCI_STATUS] = 0x80;
    config[PCI_STATUS + 1] = 0x02;
    config[PMBA] = 0x01;
    store_le(&wmask[PMBA], 2, 0xFFC0);
    memset(&wmask[CNTA], 0xFF, PMREGMISC - CNTA);
    if (!s->smi.set)
        config[DEVACTB + 3] = DEVACTB_APMC_EN;
    config[DEVRESA + 3] = 0x10 | (isa_devices & PIIX4_LPT ? 0x80 : 0);
    config[DEVRESB + 3] = 0x60;
    config[DEVRESC + 3] = (uint8_t)((isa_devices & PIIX4_COMA ? 0x08 : 0) |
                                    (isa_devices & PIIX4_COMB ? 0x90 : 0));
    wmask[PMREGMISC] = PMREGMISC_PMIOSE;
    config[SMBBA] = 0x01;
    store_le(&wmask[SMBBA], 2, 0xFFF0);
    wmask[SMBHSTCFG] = 0x0F;
    memcpy(s->pci.regs.config, config, sizeof(s->pci.power_on));
}

struct piix4_pm *piix4_pm_new(struct hw_env *env, struct pci_bus *bus, struct irq_line sci,
                              struct irq_line poweroff, struct irq_line smi, unsigned isa_devices)
{
    static const struct pci_id id = {
        .vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .interrupt_pin = 1,
    };
    struct piix4_pm *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->env = env;
    s->sci = sci;
    s->poweroff = poweroff;
    s->smi = smi;
    s->pm.region = mem_io_new("piix4-pm", PM_PORTS, &pm_ops, s);
    s->smbus.region = mem_io_new("piix4-smbus", SMB_PORTS, &smb_ops, s);
    s->gpe0 = mem_io_new("acpi-gpe0", 4, &gpe0_ops, s);
    s->apm = mem_io_new("piix4-apm", 2, &apm_ops, s);
    mem_region_add(env->io_root, GPE0_PORT, s->gpe0, 0);
    mem_region_add(env->io_root, APM_PORT, s->apm, 0);
    timer_init(&s->overflow, env->clock, overflow_fire, s);
    pci_device_init(&s->pci, env, bus, PCI_DEVFN(1, 3), "piix4-pm-config", &id);
    init_config(s, isa_devices);
    s->pci.written = piix4_pm_written;
    s->dev = (struct device){ .name = "piix4-pm", .reset = piix4_pm_reset, .state = &piix4_pm_state_table,
                              .regs = &s->regs, .loaded = piix4_pm_loaded, .opaque = s };
    device_register(env, &s->dev);
    return s;
}

void piix4_pm_free(struct piix4_pm *s)
{
    if (!s)
        return;
    timer_cancel(&s->overflow);
    block_place(s, &s->pm, 0, false);
    block_place(s, &s->smbus, 0, false);
    pci_device_remove(&s->pci);
    mem_region_remove(s->gpe0);
    mem_region_remove(s->apm);
    mem_region_free(s->gpe0);
    mem_region_free(s->apm);
    mem_region_free(s->pm.region);
    mem_region_free(s->smbus.region);
    free(s);
}
