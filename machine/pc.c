/* The PC's board: one function creates, places and connects everything, in order. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/bits.h"
#include "base/error.h"
#include "block/block.h"
#include "cpu/cpu.h"
#include "hw/block/fdc.h"
#include "hw/char/serial.h"
#include "hw/display/vga_pci.h"
#include "hw/dma/i8237.h"
#include "hw/ide/piix_ide.h"
#include "hw/input/i8042.h"
#include "hw/input/ps2kbd.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/misc/ferr.h"
#include "hw/misc/fw_cfg.h"
#include "hw/misc/port61.h"
#include "hw/misc/port92.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/pci.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4_pm.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818.h"
#include "machine/machine.h"
#include "machine/pc.h"
#include "machine/pc_firmware.h"
#include "machine/pc_isa.h"

enum { IRQ_TIMER = 0, IRQ_KEYBOARD = 1, IRQ_COM2 = 3, IRQ_COM1 = 4, IRQ_FLOPPY = 6, IRQ_RTC = 8, IRQ_SCI = 9,
       IRQ_MOUSE = 12, IRQ_FPU = 13, IRQ_IDE0 = 14, IRQ_IDE1 = 15 };
#define IOAPIC_BASE 0xfec00000u
#define HPET_BASE 0xfed00000u
#define COUNTED_DATE INT64_C(1577836800)   /* the RTC's start with -icount: 2020-01-01 00:00:00 */
#define ROM_ROOM (UINT64_C(64) << 20)   /* firmware, video memory and their slack in the mapping of RAM */

/* ---- wires ---- */

/* Interrupt n of the board: an ISA interrupt (n < 16) reaches the 8259 pair and the I/O APIC, where IRQ 0 is pin 2. */
static void set_gsi(void *opaque, int n, int level)
{
    struct pc *pc = opaque;

    if (n < 16)
        i8259_set_irq(pc->pic, n, level);
    ioapic_set_irq(pc->ioapic, n == 0 ? 2 : n, level);
}

struct irq_line pc_gsi(struct pc *pc, int n)
{
    return (struct irq_line){ set_gsi, pc, n };
}

static void set_pic_intr(void *opaque, int n, int level)
{
    (void)n;
    pc_set_pic_intr(opaque, level);
}

/* The keyboard controller and port 92 move one A20 gate: the last write to either decides. */
static void set_a20(void *opaque, int n, int level)
{
    (void)n;
    pc_set_a20(((struct pc *)opaque)->m, level);
}

static void set_reset(void *opaque, int n, int level)
{
    (void)n;
    if (level)
        machine_request_reset(((struct pc *)opaque)->m);
}

static void set_poweroff(void *opaque, int n, int level)
{
    (void)n;
    if (level)
        machine_request_poweroff(((struct pc *)opaque)->m);
}

/* To the processor whose OUT to the APM port it is: its registers are the handler's arguments. */
static void set_smi(void *opaque, int n, int level)
{
    struct machine *m = ((struct pc *)opaque)->m;

    (void)n;
    if (level)
        cpu_raise(m->cpu[m->accessor], CPU_PIN_SMI);
}

static struct irq_line wire(struct pc *pc, void (*set)(void *opaque, int n, int level), int n)
{
    return (struct irq_line){ set, pc, n };
}

static void hpet_legacy(void *opaque, bool on)
{
    struct pc *pc = opaque;

    i8254_set_irq_cut(pc->pit, on);
    mc146818_set_irq_cut(pc->rtc, on);
}

/* ---- memory ---- */

static int build_memory(struct machine *m, struct error *err)
{
    struct pc *pc = m->pc;
    struct hw_env *env = &m->env;

    env->log = &m->log;
    env->clock = m->clock;
    env->mem = memory_new(m->opt->ram_size + ROM_ROOM, &m->log, err);
    if (!env->mem)
        return -ENOMEM;
    env->mem_root = mem_container_new("system", UINT64_C(1) << 40);
    env->io_root = mem_container_new("io", 0x10000);
    env->memory = mem_space_new("memory", env->mem_root, &m->log);
    env->ports = mem_space_new("I/O", env->io_root, &m->log);
    pc->ram = mem_ram_new(env->mem, "ram", m->opt->ram_size, err);
    if (!pc->ram)
        return -ENOMEM;
    if (log_enabled(&m->log, LOG_UNINIT) &&
        memory_track_writes(env->mem, mem_region_ram_off(pc->ram), m->opt->ram_size))
        return error_set(err, -ENOMEM, "-d uninit: no memory to note what is written");
    return pc_load_bios(m, err);
}

/* ---- devices ---- */

static void build_interrupts(struct machine *m)
{
    struct pc *pc = m->pc;
    struct hw_env *env = &m->env;
    struct irq_line pic_intr = wire(pc, set_pic_intr, 0);

    pc_build_lapics(m);
    pc->ioapic = ioapic_new(env, IOAPIC_BASE, pc->lapic_bus);
    pc->pic = i8259_new(env, &pic_intr);
}

static int64_t rtc_epoch(const struct options *o)
{
    time_t now = time(NULL);
    struct tm tm;

    if (o->rtc_fixed)
        return o->rtc_start;
    if (o->icount && !o->rtc_host)
        return COUNTED_DATE;
    return o->rtc_local && localtime_r(&now, &tm) ? (int64_t)now + tm.tm_gmtoff : (int64_t)now;
}

static void build_timers(struct machine *m)
{
    struct pc *pc = m->pc;
    struct irq_line irq0 = pc_gsi(pc, IRQ_TIMER), irq8 = pc_gsi(pc, IRQ_RTC), lines[HPET_LINES];

    for (int i = 0; i < HPET_LINES; i++)
        lines[i] = pc_gsi(pc, i);
    pc->pit = i8254_new(&m->env, &irq0);
    pc->rtc = mc146818_new(&m->env, rtc_epoch(m->opt), &irq8);
    pc->hpet = hpet_new(&m->env, HPET_BASE, lines, hpet_legacy, pc);
    pc->port61 = port61_new(&m->env, pc->pit);
}

static void build_chipset(struct machine *m)
{
    struct pc *pc = m->pc;
    struct hw_env *env = &m->env;
    struct irq_line isa[16];
    unsigned coms = (m->serial[0] ? PIIX4_COMA : 0) | (m->serial[1] ? PIIX4_COMB : 0);

    for (int i = 0; i < 16; i++)
        isa[i] = pc_gsi(pc, i);
    pc->host = i440fx_new(env, pc->ram, pc->bios);
    pc_connect_messages(pc, i440fx_bus(pc->host));
    pc->isa = piix3_new(env, i440fx_bus(pc->host), isa, wire(pc, set_reset, 0));
    pc->ide = piix_ide_new(env, i440fx_bus(pc->host), pc_gsi(pc, IRQ_IDE0), pc_gsi(pc, IRQ_IDE1));
    pc->pm = piix4_pm_new(env, i440fx_bus(pc->host), piix3_shared_irq(pc->isa, IRQ_SCI),
                          wire(pc, set_poweroff, 0), wire(pc, set_smi, 0), coms);
    pc_set_smm_memory(m, i440fx_smm_memory(pc->host));
}

static size_t dma2_read(void *opaque, void *buf, size_t len, bool *tc)
{
    return i8237_read_memory(((struct pc *)opaque)->dma, 2, buf, len, tc);
}

static size_t dma2_write(void *opaque, const void *buf, size_t len, bool *tc)
{
    return i8237_write_memory(((struct pc *)opaque)->dma, 2, buf, len, tc);
}

static void build_legacy(struct machine *m)
{
    static const uint16_t com_base[4] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    struct pc *pc = m->pc;
    struct hw_env *env = &m->env;
    struct i8042_lines kbc = { pc_gsi(pc, IRQ_KEYBOARD), pc_gsi(pc, IRQ_MOUSE), wire(pc, set_a20, 0), wire(pc, set_reset, 0) };
    struct irq_line a20 = wire(pc, set_a20, 1), reset = wire(pc, set_reset, 0), fpu = pc_gsi(pc, IRQ_FPU);

    pc->kbc = i8042_new(env, &kbc);
    pc->port92 = port92_new(env, &a20, &reset);
    pc->ferr = ferr_new(env, &fpu);
    pc->dma = i8237_new(env);
    pc->fdc = fdc_new(env, pc_gsi(pc, IRQ_FLOPPY), (struct fdc_dma){ dma2_read, dma2_write, pc });
    pc->fw_cfg = fw_cfg_new(env);
    for (unsigned i = 0; i < 4; i++)
        if (m->serial[i]) {
            struct irq_line irq = pc_gsi(pc, i & 1 ? IRQ_COM2 : IRQ_COM1);
            pc->com[i] = serial_new(env, com_base[i], &irq, m->serial[i]);
        }
}

/* The adapter comes up in slot 2, where the firmware looks first. */
static int build_display(struct machine *m, struct error *err)
{
    struct pc *pc = m->pc;
    size_t len = 0;
    void *rom;

    if (!strcmp(m->opt->vga, "none"))
        return 0;
    rom = pc_load_vga_bios(m, &len, err);
    if (!rom)
        return -ENOENT;
    pc->vga = vga_pci_new(&m->env, i440fx_bus(pc->host), 2 << 3, i440fx_pci_memory(pc->host), rom, len, err);
    free(rom);
    return pc->vga ? 0 : -ENOMEM;
}

/* ---- drives ---- */

static struct block *open_image(struct machine *m, const struct drive_option *d, struct error *err)
{
    struct pc *pc = m->pc;
    struct block_options o = { .file = d->file, .format = d->format, .read_only = d->read_only || d->cdrom,
                               .snapshot = (d->snapshot || m->opt->snapshot) && !d->cdrom };
    /* With instructions counted, requests finish when roundrobin.c says so. */
    struct block *b = block_open(&o, m->opt->icount ? NULL : m->loop, err);

    if (b)
        pc->image[pc->num_images++] = b;
    return b;
}

/* Where a drive without an index goes: the first free place. */
static int free_place(const bool *taken, int n)
{
    for (int i = 0; i < n; i++)
        if (!taken[i])
            return i;
    return -1;
}

static int attach_drive(struct machine *m, const struct drive_option *d, bool ide_taken[4], bool floppy_taken[2],
                        struct error *err)
{
    struct pc *pc = m->pc;
    bool floppy = d->bus == DRIVE_FLOPPY;
    bool *taken = floppy ? floppy_taken : ide_taken;
    int places = floppy ? 2 : 4, i = d->index;
    struct block *b = NULL;

    if (i < 0)
        i = d->cdrom && !taken[2] ? 2 : free_place(taken, places);
    if (i < 0 || taken[i])
        return error_set(err, -EBUSY, "drive %s: its place is taken already", d->file ? d->file : "(empty)");
    taken[i] = true;
    if (d->file) {
        b = open_image(m, d, err);
        if (!b)
            return -EINVAL;
    }
    if (floppy)
        fdc_attach(pc->fdc, i, b);
    else
        ide_attach(pc->ide, i / 2, i % 2, b, d->cdrom, NULL);
    return 0;
}

static int build_drives(struct machine *m, struct error *err)
{
    bool ide_taken[4] = { false }, floppy_taken[2] = { false };
    const struct options *o = m->opt;

    /* Those with a place of their own first. */
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < o->num_drives; i++)
            if ((o->drive[i].index < 0) == (pass == 1)) {
                int ret = attach_drive(m, &o->drive[i], ide_taken, floppy_taken, err);
                if (ret)
                    return ret;
            }
    if (!o->nodefaults && !ide_taken[2])
        ide_attach(m->pc->ide, 1, 0, NULL, true, NULL);
    if (!o->nodefaults && !floppy_taken[0])
        fdc_attach(m->pc->fdc, 0, NULL);
    return 0;
}

int pc_build(struct machine *m, struct error *err)
{
    int ret;

    m->pc = calloc(1, sizeof(*m->pc));
    if (!m->pc)
        abort();
    m->pc->m = m;
    ret = build_memory(m, err);
    if (!ret)
        ret = pc_build_cpus(m, err);
    if (ret)
        return ret;
    build_interrupts(m);
    build_timers(m);
    build_chipset(m);
    build_legacy(m);
    ret = build_display(m, err);
    if (!ret)
        ret = build_drives(m, err);
    if (!ret)
        ret = pc_build_isa_devices(m, err);
    if (!ret)
        ret = pc_setup_firmware(m, err);
    return ret;
}

void pc_drain(struct machine *m)
{
    for (unsigned i = 0; i < m->pc->num_images; i++)
        block_drain(m->pc->image[i]);
}

void pc_key(struct machine *m, uint8_t code, bool down)
{
    ps2kbd_key(i8042_get_kbd(m->pc->kbc), code, down);
}

void pc_power_button(struct machine *m)
{
    piix4_pm_power_button(m->pc->pm);
}

const struct display_source *pc_display(struct machine *m)
{
    return m->pc->vga ? vga_pci_display(m->pc->vga) : NULL;
}

static void free_devices(struct pc *pc)
{
    pc_free_isa_devices(pc);
    for (unsigned i = 0; i < 4; i++)
        serial_free(pc->com[i]);
    vga_pci_free(pc->vga);
    fw_cfg_free(pc->fw_cfg);
    fdc_free(pc->fdc);
    i8237_free(pc->dma);
    ferr_free(pc->ferr);
    port92_free(pc->port92);
    i8042_free(pc->kbc);
    piix4_pm_free(pc->pm);
    piix_ide_free(pc->ide);
    piix3_free(pc->isa);
    i440fx_free(pc->host);
    port61_free(pc->port61);
    hpet_free(pc->hpet);
    mc146818_free(pc->rtc);
    i8254_free(pc->pit);
    i8259_free(pc->pic);
    ioapic_free(pc->ioapic);
}

void pc_free(struct machine *m)
{
    struct pc *pc = m->pc;
    struct hw_env *env = &m->env;

    if (!pc)
        return;
    if (env->memory)
        mem_space_set_listener(env->memory, NULL, NULL);
    free_devices(pc);
    pc_free_lapics(m);
    for (unsigned i = 0; i < pc->num_images; i++)
        block_close(pc->image[i]);
    pc_free_cpus(m);
    mem_space_free(env->ports);
    mem_space_free(env->memory);
    mem_region_free(pc->bios);
    mem_region_free(pc->ram);
    mem_region_free(env->io_root);
    mem_region_free(env->mem_root);
    memory_free(env->mem);
    free(pc);
    m->pc = NULL;
}
