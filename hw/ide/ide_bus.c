/* An ATA channel: registers, selection, resets, interrupt, and the data phases that disks and packet devices
 * have in common (ATA/ATAPI-6, T13 1410D, chapters 7 to 9). */
#include "hw/ide/ide_bus.h"

#include <assert.h>
#include <stdio.h>

#include "base/bits.h"

enum {
    CMD_DEVICE_RESET = 0x08,
    CMD_DIAGNOSTIC = 0x90,
    FLOATING = 0x7F, /* an empty channel: DD7 is pulled down */
};

static const struct state_field ide_drive_fields[] = {
    STATE_FIELD(struct ide_drive_regs, lba),
    STATE_FIELD(struct ide_drive_regs, left),
    STATE_FIELD(struct ide_drive_regs, chunk),
    STATE_FIELD(struct ide_drive_regs, buf_pos),
    STATE_FIELD(struct ide_drive_regs, buf_len),
    STATE_FIELD(struct ide_drive_regs, burst_end),
    STATE_FIELD(struct ide_drive_regs, burst),
    STATE_FIELD(struct ide_drive_regs, cylinders),
    STATE_FIELD(struct ide_drive_regs, heads),
    STATE_FIELD(struct ide_drive_regs, sectors),
    STATE_FIELD(struct ide_drive_regs, status),
    STATE_FIELD(struct ide_drive_regs, error),
    STATE_FIELD(struct ide_drive_regs, device),
    STATE_ARRAY(struct ide_drive_regs, file, uint8_t),
    STATE_ARRAY(struct ide_drive_regs, hob, uint8_t),
    STATE_FIELD(struct ide_drive_regs, command),
    STATE_FIELD(struct ide_drive_regs, phase),
    STATE_FIELD(struct ide_drive_regs, intrq),
    STATE_FIELD(struct ide_drive_regs, dma),
    STATE_FIELD(struct ide_drive_regs, multiple),
    STATE_FIELD(struct ide_drive_regs, write_cache),
    STATE_FIELD(struct ide_drive_regs, mwdma),
    STATE_FIELD(struct ide_drive_regs, udma),
    STATE_ARRAY(struct ide_drive_regs, packet, uint8_t),
    STATE_FIELD(struct ide_drive_regs, sense_key),
    STATE_FIELD(struct ide_drive_regs, asc),
    STATE_FIELD(struct ide_drive_regs, ascq),
    STATE_FIELD(struct ide_drive_regs, unit_attention),
    STATE_FIELD(struct ide_drive_regs, media_event),
    STATE_FIELD(struct ide_drive_regs, tray_open),
    STATE_FIELD(struct ide_drive_regs, locked),
    STATE_FIELD(struct ide_drive_regs, raw),
    STATE_FIELD(struct ide_drive_regs, verify),
    STATE_PAD(struct ide_drive_regs, pad),
    STATE_ARRAY(struct ide_drive_regs, buf, uint8_t),
};
const struct state_table ide_drive_state_table =
    STATE_TABLE("ide-drive", 1, struct ide_drive_regs, ide_drive_fields);

static const struct state_field ide_channel_fields[] = {
    STATE_FIELD(struct ide_channel_regs, control),
    STATE_FIELD(struct ide_channel_regs, selected),
};
const struct state_table ide_channel_state_table =
    STATE_TABLE("ide-channel", 1, struct ide_channel_regs, ide_channel_fields);

static struct ide_drive *selected(struct ide_channel *ch)
{
    return &ch->drive[ch->regs.selected];
}

/* The line shows the selected device's INTRQ unless nIEN releases it. */
static void ide_update_irq(struct ide_channel *ch)
{
    irq_set(&ch->irq, selected(ch)->regs.intrq && !(ch->regs.control & IDE_NIEN));
}

void ide_raise(struct ide_drive *d)
{
    d->regs.intrq = 1;
    ide_update_irq(d->channel);
}

static void ide_lower(struct ide_drive *d)
{
    d->regs.intrq = 0;
    ide_update_irq(d->channel);
}

void ide_finish(struct ide_drive *d, uint8_t status, bool irq)
{
    d->regs.phase = IDE_IDLE;
    d->regs.status = status;
    if (irq)
        ide_raise(d);
}

void ide_abort(struct ide_drive *d)
{
    if (d->request && d->request->busy) {
        disk_request_drop(d->request);
        d->request = NULL;
    }
    d->regs.phase = IDE_IDLE;
}

void ide_submit(struct ide_drive *d, enum block_op op, uint64_t offset, size_t len,
                void (*done)(void *drive, int ret))
{
    if (!d->request)
        d->request = disk_request_new(IDE_BUF_SIZE);
    assert(d->request && len <= IDE_BUF_SIZE);
    if (op == BLOCK_WRITE)
        memcpy(d->request->data, d->regs.buf, len);
    d->regs.phase = IDE_BUSY;
    d->regs.status = IDE_BSY;
    disk_request_submit(d->request, d->block, op, offset, len, done, d);
}

/* Offer the next DRQ block. */
static void burst_begin(struct ide_drive *d, bool irq)
{
    uint32_t len = MIN_OF(d->regs.burst, d->regs.buf_len - d->regs.buf_pos);

    d->regs.burst_end = d->regs.buf_pos + len;
    if (d->kind->burst)
        d->kind->burst(d, len);
    d->regs.status = IDE_DRDY | IDE_DSC | IDE_DRQ;
    if (irq)
        ide_raise(d);
}

/* Let the bus master take or bring what is left of the buffer. */
static void dma_run(struct ide_drive *d)
{
    struct ide_channel *ch = d->channel;
    uint32_t len = d->regs.buf_len - d->regs.buf_pos;
    bool to_memory = d->regs.phase == IDE_DMA_IN;

    if (!ch->dma.transfer)
        return;
    d->regs.buf_pos += (uint32_t)ch->dma.transfer(ch->dma.opaque, ch->n, d->regs.buf + d->regs.buf_pos, len,
                                                  to_memory);
    if (d->regs.buf_pos == d->regs.buf_len)
        d->kind->data_done(d);
}

static void data_begin(struct ide_drive *d, uint8_t phase, uint32_t len, uint32_t burst, bool irq)
{
    assert(len > 0 && len <= IDE_BUF_SIZE && burst > 0);
    d->regs.buf_pos = 0;
    d->regs.buf_len = len;
    d->regs.burst = burst;
    d->regs.phase = phase;
    if (phase == IDE_DMA_IN || phase == IDE_DMA_OUT) {
        d->regs.status = IDE_DRDY | IDE_DSC | IDE_DRQ;
        dma_run(d);
    } else {
        burst_begin(d, irq);
    }
}

void ide_data_in(struct ide_drive *d, uint32_t len, uint32_t burst, bool irq)
{
    data_begin(d, d->regs.dma ? IDE_DMA_IN : IDE_PIO_IN, len, burst, irq);
}

void ide_data_out(struct ide_drive *d, uint32_t len, uint32_t burst, bool irq)
{
    data_begin(d, d->regs.dma ? IDE_DMA_OUT : IDE_PIO_OUT, len, burst, irq);
}

void ide_channel_dma_started(struct ide_channel *ch)
{
    struct ide_drive *d = selected(ch);

    if (d->regs.phase == IDE_DMA_IN || d->regs.phase == IDE_DMA_OUT)
        dma_run(d);
}

/* Two bytes have gone over; a DRQ block of odd length ends with a pad byte. */
static void data_moved(struct ide_drive *d)
{
    d->regs.buf_pos = MIN_OF(d->regs.buf_pos + 2, d->regs.burst_end);
    if (d->regs.buf_pos < d->regs.burst_end)
        return;
    if (d->regs.buf_pos < d->regs.buf_len)
        burst_begin(d, true);
    else
        d->kind->data_done(d);
}

static uint16_t data_read(struct ide_drive *d)
{
    uint16_t word;

    if (d->regs.phase != IDE_PIO_IN)
        return 0;
    word = d->regs.buf[d->regs.buf_pos];
    if (d->regs.buf_pos + 1 < d->regs.burst_end)
        word |= (uint16_t)(d->regs.buf[d->regs.buf_pos + 1] << 8);
    data_moved(d);
    return word;
}

static void data_write(struct ide_drive *d, uint16_t word)
{
    if (d->regs.phase != IDE_PIO_OUT)
        return;
    d->regs.buf[d->regs.buf_pos] = (uint8_t)word;
    if (d->regs.buf_pos + 1 < d->regs.burst_end)
        d->regs.buf[d->regs.buf_pos + 1] = (uint8_t)(word >> 8);
    data_moved(d);
}

/* Device 0 answers for a missing device 1 with zeros; of an empty channel nobody answers. */
static bool absent_value(struct ide_channel *ch, uint8_t *value)
{
    if (selected(ch)->kind)
        return false;
    *value = ch->drive[0].kind || ch->drive[1].kind ? 0 : FLOATING;
    return true;
}

uint64_t ide_command_read(struct ide_channel *ch, uint64_t port, unsigned size)
{
    struct ide_drive *d = selected(ch);
    bool hob = ch->regs.control & IDE_HOB;
    uint8_t absent;

    if (port == IDE_DATA) {
        uint64_t value = 0;
        for (unsigned i = 0; i < size; i += 2)
            value |= (uint64_t)data_read(d) << (8 * i);
        return value & MASK(8 * size);
    }
    if (absent_value(ch, &absent))
        return absent;
    switch (port) {
    case IDE_ERROR:
        return d->regs.error;
    case IDE_DEVICE:
        return d->regs.device;
    case IDE_STATUS:
        ide_lower(d);
        return d->regs.status;
    default:
        return hob ? d->regs.hob[port] : d->regs.file[port];
    }
}

uint8_t ide_control_read(struct ide_channel *ch)
{
    uint8_t absent;

    return absent_value(ch, &absent) ? absent : selected(ch)->regs.status;
}

static void signature(struct ide_drive *d)
{
    if (!d->kind)
        return;
    ide_abort(d);
    d->regs.error = 0x01; /* diagnostic code: no error */
    d->regs.device &= IDE_DEVICE_DEV | IDE_DEVICE_OBS;
    memset(d->regs.hob, 0, sizeof(d->regs.hob));
    d->kind->signature(d);
}

/* Both devices take part in EXECUTE DEVICE DIAGNOSTIC; device 0 is selected and interrupts (section 8.11). */
static void diagnostic(struct ide_channel *ch)
{
    for (int i = 0; i < 2; i++)
        signature(&ch->drive[i]);
    ch->regs.selected = 0;
    for (int i = 0; i < 2; i++)
        ch->drive[i].regs.device = 0;
    if (ch->drive[0].kind)
        ide_raise(&ch->drive[0]);
}

static void command_write(struct ide_channel *ch, uint8_t command)
{
    struct ide_drive *d = selected(ch);

    if (command == CMD_DIAGNOSTIC && !(d->regs.status & (IDE_BSY | IDE_DRQ))) {
        diagnostic(ch);
        return;
    }
    if (!d->kind)
        return;
    if ((d->regs.status & (IDE_BSY | IDE_DRQ)) && !(command == CMD_DEVICE_RESET && d->kind->device_reset)) {
        log_guest(ch->env->log, "ide: %s: command 0x%02x while 0x%02x is in progress\n", d->name, command,
                  d->regs.command);
        return;
    }
    ide_lower(d);
    d->regs.command = command;
    d->regs.error = 0;
    d->kind->command(d, command);
}

static void device_select(struct ide_channel *ch, uint8_t value)
{
    for (int i = 0; i < 2; i++)
        ch->drive[i].regs.device = value;
    ch->regs.selected = (value & IDE_DEVICE_DEV) != 0;
    ide_update_irq(ch);
}

/* Both devices hear every write of the command block; one that is busy does not listen. */
void ide_command_write(struct ide_channel *ch, uint64_t port, uint64_t value, unsigned size)
{
    if (port == IDE_DATA) {
        for (unsigned i = 0; i < size; i += 2)
            data_write(selected(ch), (uint16_t)(value >> (8 * i)));
        return;
    }
    ch->regs.control &= (uint8_t)~IDE_HOB;
    if (port == IDE_STATUS) {
        command_write(ch, (uint8_t)value);
        return;
    }
    if (port == IDE_DEVICE) {
        device_select(ch, (uint8_t)value);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct ide_drive_regs *regs = &ch->drive[i].regs;
        if (regs->status & (IDE_BSY | IDE_DRQ))
            continue;
        regs->hob[port] = regs->file[port];
        regs->file[port] = (uint8_t)value;
    }
}

void ide_control_write(struct ide_channel *ch, uint8_t value)
{
    bool was_reset = ch->regs.control & IDE_SRST;

    ch->regs.control = value & (IDE_NIEN | IDE_SRST | IDE_HOB);
    for (int i = 0; i < 2; i++) {
        struct ide_drive *d = &ch->drive[i];
        if (!d->kind)
            continue;
        if ((value & IDE_SRST) && !was_reset) {
            ide_abort(d);
            d->regs.intrq = 0;
            d->regs.status = IDE_BSY;
        } else if (!(value & IDE_SRST) && was_reset) {
            signature(d);
        }
    }
    if (was_reset && !(value & IDE_SRST))
        device_select(ch, 0);
    ide_update_irq(ch);
}

void ide_put_string(uint8_t *word, unsigned words, const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < 2 * words; i++)
        word[i ^ 1] = i < len ? (uint8_t)text[i] : ' ';
}

void ide_put_dma_modes(struct ide_drive *d, uint8_t *identify)
{
    static const struct { uint8_t word; uint16_t value; } rows[] = {
        { 64, 0x0003 },                                           /* PIO modes 3, 4 */
        { 65, 120 }, { 66, 120 }, { 67, 120 }, { 68, 120 },       /* cycle times, ns */
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        store_le(&identify[2 * rows[i].word], 2, rows[i].value);
    store_le(&identify[2 * 63], 2, 0x07u | d->regs.mwdma << 8); /* multiword modes 0-2 */
    store_le(&identify[2 * 88], 2, 0x3Fu | d->regs.udma << 8);  /* ultra modes 0-5 */
}

bool ide_set_transfer_mode(struct ide_drive *d, uint8_t mode)
{
    unsigned n = mode & 7;

    switch (mode >> 3) {
    case 0: /* PIO default */
        return n <= 1;
    case 1: /* PIO flow control */
        return n <= 4;
    case 4:
        if (n > 2)
            return false;
        d->regs.mwdma = (uint8_t)BIT(n);
        d->regs.udma = 0;
        return true;
    case 8:
        if (n > 5)
            return false;
        d->regs.udma = (uint8_t)BIT(n);
        d->regs.mwdma = 0;
        return true;
    default:
        return false;
    }
}

static void ide_drive_reset(void *opaque)
{
    struct ide_drive *d = opaque;

    ide_abort(d);
    d->regs = (struct ide_drive_regs){ 0 };
    d->kind->reset(d);
    signature(d);
    ide_update_irq(d->channel);
}

static void ide_channel_reset(void *opaque)
{
    struct ide_channel *ch = opaque;

    ch->regs = (struct ide_channel_regs){ 0 };
    ide_update_irq(ch);
}

static void ide_channel_loaded(void *opaque)
{
    struct ide_channel *ch = opaque;

    ch->regs.selected &= 1;
    ide_update_irq(ch);
}

void ide_drive_attach(struct ide_channel *ch, int unit, const struct ide_kind *kind, struct block *block,
                      const char *serial)
{
    struct ide_drive *d = &ch->drive[unit];

    assert(!d->kind);
    d->kind = kind;
    d->block = block;
    snprintf(d->name, sizeof(d->name), "ide%d-%s", ch->n, unit ? "slave" : "master");
    if (serial)
        snprintf(d->serial, sizeof(d->serial), "%s", serial);
    else
        snprintf(d->serial, sizeof(d->serial), "MM%05d", 2 * ch->n + unit + 1);
    ide_drive_reset(d);
    d->dev = (struct device){ .name = d->name, .reset = ide_drive_reset, .state = &ide_drive_state_table,
                              .regs = &d->regs, .opaque = d };
    device_register(ch->env, &d->dev);
}

void ide_channel_init(struct ide_channel *ch, struct hw_env *env, int n, struct irq_line irq,
                      struct ide_dma dma)
{
    ch->env = env;
    ch->n = n;
    ch->irq = irq;
    ch->dma = dma;
    for (int i = 0; i < 2; i++)
        ch->drive[i].channel = ch;
    ch->dev = (struct device){ .name = n ? "ide1" : "ide0", .reset = ide_channel_reset,
                               .state = &ide_channel_state_table, .regs = &ch->regs,
                               .loaded = ide_channel_loaded, .opaque = ch };
    device_register(env, &ch->dev);
}

void ide_channel_destroy(struct ide_channel *ch)
{
    for (int i = 0; i < 2; i++) {
        disk_request_destroy(ch->drive[i].request, ch->drive[i].block);
        ch->drive[i].request = NULL;
    }
}
