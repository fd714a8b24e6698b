/* ATA disk: the command set of a general feature set device with LBA48 and DMA (ATA/ATAPI-6, T13 1410D,
 * chapter 8). */
#include "hw/ide/ata.h"

#include "base/bits.h"

enum ata_feature {
    FEATURE_WRITE_CACHE_ON = 0x02,
    FEATURE_TRANSFER_MODE = 0x03,
    FEATURE_LOOK_AHEAD_OFF = 0x55,
    FEATURE_NO_REVERT = 0x66,
    FEATURE_WRITE_CACHE_OFF = 0x82,
    FEATURE_LOOK_AHEAD_ON = 0xAA,
    FEATURE_REVERT = 0xCC,
};

enum ata_command_flag {
    EXT = 1,      /* 48-bit addresses, 16-bit counts */
    DMA = 2,
    MULTIPLE = 4, /* DRQ blocks of regs.multiple sectors */
    VERIFY = 8,
    CHANGES = 16, /* writes to the medium */
};

enum {
    DEFAULT_HEADS = 16,
    DEFAULT_SECTORS = 63,
    MAX_CYLINDERS = 16383,
    MAX_MULTIPLE = 16,
    CHUNK = IDE_BUF_SIZE / ATA_SECTOR,
    STATUS_READY = IDE_DRDY | IDE_DSC,
};

#define MAX_LBA28 UINT64_C(0x0FFFFFFF)

struct ata_command {
    void (*run)(struct ide_drive *d, unsigned flags);
    uint8_t flags;
};

static const struct ata_command ata_commands[256];

uint16_t ata_default_cylinders(uint64_t sectors)
{
    uint64_t cylinders = sectors / (DEFAULT_HEADS * DEFAULT_SECTORS);

    return (uint16_t)MAX_OF(MIN_OF(cylinders, (uint64_t)MAX_CYLINDERS), (uint64_t)1);
}

static unsigned flags_of(const struct ide_drive *d)
{
    return ata_commands[d->regs.command].flags;
}

/* ---- addresses ---- */

static uint64_t get_lba28(const struct ide_drive_regs *r)
{
    return r->file[IDE_LBA_LOW] | (uint64_t)r->file[IDE_LBA_MID] << 8 |
           (uint64_t)r->file[IDE_LBA_HIGH] << 16 | (uint64_t)(r->device & 0x0F) << 24;
}

static uint64_t get_lba48(const struct ide_drive_regs *r)
{
    uint64_t high = r->hob[IDE_LBA_LOW] | (uint64_t)r->hob[IDE_LBA_MID] << 8 |
                    (uint64_t)r->hob[IDE_LBA_HIGH] << 16;

    return (get_lba28(r) & 0xFFFFFF) | high << 24;
}

/* The sector that cylinder, head, sector in the registers name; UINT64_MAX if none. */
static uint64_t get_chs(const struct ide_drive_regs *r)
{
    unsigned cylinder = r->file[IDE_LBA_MID] | (unsigned)r->file[IDE_LBA_HIGH] << 8;
    unsigned head = r->device & 0x0F, sector = r->file[IDE_LBA_LOW];

    if (head >= r->heads || sector == 0 || sector > r->sectors)
        return UINT64_MAX;
    return ((uint64_t)cylinder * r->heads + head) * r->sectors + sector - 1;
}

static uint64_t get_address(const struct ide_drive *d, unsigned flags)
{
    if (flags & EXT)
        return get_lba48(&d->regs);
    return d->regs.device & IDE_DEVICE_LBA ? get_lba28(&d->regs) : get_chs(&d->regs);
}

static uint32_t get_count(const struct ide_drive *d, unsigned flags)
{
    uint32_t count = d->regs.file[IDE_NSECTOR];

    if (flags & EXT) {
        count |= (uint32_t)d->regs.hob[IDE_NSECTOR] << 8;
        return count ? count : 65536;
    }
    return count ? count : 256;
}

static void put_lba(struct ide_drive *d, uint64_t lba, bool ext)
{
    for (unsigned i = 0; i < 3; i++) {
        d->regs.file[IDE_LBA_LOW + i] = (uint8_t)(lba >> (8 * i));
        if (ext)
            d->regs.hob[IDE_LBA_LOW + i] = (uint8_t)(lba >> (24 + 8 * i));
    }
    if (!ext)
        d->regs.device = (uint8_t)((d->regs.device & 0xF0) | (lba >> 24 & 0x0F));
}

static void put_chs(struct ide_drive *d, uint64_t lba)
{
    uint64_t track = lba / d->regs.sectors, cylinder = track / d->regs.heads;

    d->regs.file[IDE_LBA_LOW] = (uint8_t)(lba % d->regs.sectors + 1);
    d->regs.file[IDE_LBA_MID] = (uint8_t)cylinder;
    d->regs.file[IDE_LBA_HIGH] = (uint8_t)(cylinder >> 8);
    d->regs.device = (uint8_t)((d->regs.device & 0xF0) | (track % d->regs.heads & 0x0F));
}

/* ---- ends of commands ---- */

static void ata_fail(struct ide_drive *d, uint8_t error)
{
    d->regs.error = error;
    ide_finish(d, STATUS_READY | IDE_ERR, true);
}

/* A data command failed at sector regs.lba: the registers name it. */
static void ata_fail_here(struct ide_drive *d, uint8_t error)
{
    unsigned flags = flags_of(d);

    if ((flags & EXT) || (d->regs.device & IDE_DEVICE_LBA))
        put_lba(d, d->regs.lba, flags & EXT);
    else
        put_chs(d, d->regs.lba);
    ata_fail(d, error);
}

static void cmd_abort(struct ide_drive *d, unsigned flags)
{
    (void)flags;
    ata_fail(d, IDE_ABRT);
}

static void cmd_ok(struct ide_drive *d, unsigned flags)
{
    (void)flags;
    ide_finish(d, STATUS_READY, true);
}

/* ---- data commands ---- */

/* Take address and count from the registers. False: the command has failed. */
static bool transfer_setup(struct ide_drive *d, unsigned flags)
{
    uint64_t lba = get_address(d, flags);
    uint32_t count = get_count(d, flags);

    if ((flags & MULTIPLE) && !d->regs.multiple) {
        ata_fail(d, IDE_ABRT);
        return false;
    }
    if ((flags & CHANGES) && block_read_only(d->block)) {
        ata_fail(d, IDE_ABRT);
        return false;
    }
    d->regs.left = count;
    d->regs.dma = (flags & DMA) != 0;
    d->regs.verify = (flags & VERIFY) != 0;
    if (lba < d->capacity && count <= d->capacity - lba) {
        d->regs.lba = lba;
        return true;
    }
    log_guest(d->channel->env->log, "%s: command 0x%02x beyond the end of the disk\n", d->name,
              d->regs.command);
    if (lba == UINT64_MAX) { /* no such head or sector: the registers already name it */
        ata_fail(d, IDE_IDNF);
    } else {
        d->regs.lba = MAX_OF(lba, d->capacity);
        ata_fail_here(d, IDE_IDNF);
    }
    return false;
}

static uint32_t burst_size(const struct ide_drive *d)
{
    return flags_of(d) & MULTIPLE ? (uint32_t)d->regs.multiple * ATA_SECTOR : ATA_SECTOR;
}

static void next_chunk(struct ide_drive *d)
{
    d->regs.chunk = MIN_OF(d->regs.left, (uint32_t)CHUNK);
}

static void chunk_moved(struct ide_drive *d)
{
    d->regs.lba += d->regs.chunk;
    d->regs.left -= d->regs.chunk;
}

static void read_done(void *opaque, int ret);

static void read_chunk(struct ide_drive *d)
{
    next_chunk(d);
    ide_submit(d, BLOCK_READ, d->regs.lba * ATA_SECTOR, (size_t)d->regs.chunk * ATA_SECTOR, read_done);
}

static void read_done(void *opaque, int ret)
{
    struct ide_drive *d = opaque;
    uint32_t len = d->regs.chunk * ATA_SECTOR;

    if (ret < 0) {
        ata_fail_here(d, IDE_UNC);
        return;
    }
    chunk_moved(d);
    if (!d->regs.verify) {
        memcpy(d->regs.buf, d->request->data, len);
        ide_data_in(d, len, burst_size(d), true);
    } else if (d->regs.left) {
        read_chunk(d);
    } else {
        ide_finish(d, STATUS_READY, true);
    }
}

static void cmd_read(struct ide_drive *d, unsigned flags)
{
    if (transfer_setup(d, flags))
        read_chunk(d);
}

static void write_chunk(struct ide_drive *d, bool irq)
{
    next_chunk(d);
    ide_data_out(d, d->regs.chunk * ATA_SECTOR, burst_size(d), irq);
}

static void cmd_write(struct ide_drive *d, unsigned flags)
{
    if (transfer_setup(d, flags))
        write_chunk(d, false);
}

static void flush_done(void *opaque, int ret)
{
    struct ide_drive *d = opaque;

    if (ret < 0)
        ata_fail(d, IDE_ABRT);
    else
        ide_finish(d, STATUS_READY, true);
}

static void cmd_flush(struct ide_drive *d, unsigned flags)
{
    (void)flags;
    ide_submit(d, BLOCK_FLUSH, 0, 0, flush_done);
}

static void write_done(void *opaque, int ret)
{
    struct ide_drive *d = opaque;

    if (ret < 0) {
        ata_fail_here(d, IDE_ABRT);
        return;
    }
    chunk_moved(d);
    if (d->regs.left)
        write_chunk(d, true);
    else if (!d->regs.write_cache)
        cmd_flush(d, 0);
    else
        ide_finish(d, STATUS_READY, true);
}

static void ata_data_done(struct ide_drive *d)
{
    bool out = d->regs.phase == IDE_PIO_OUT || d->regs.phase == IDE_DMA_OUT;

    if (out)
        ide_submit(d, BLOCK_WRITE, d->regs.lba * ATA_SECTOR, (size_t)d->regs.chunk * ATA_SECTOR, write_done);
    else if (d->regs.left)
        read_chunk(d);
    else
        ide_finish(d, STATUS_READY, d->regs.dma);
}

/* ---- IDENTIFY DEVICE ---- */

static void put_words(uint8_t *id, const uint16_t (*rows)[2], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        store_le(&id[2 * rows[i][0]], 2, rows[i][1]);
}

static void identify_constants(uint8_t *id)
{
    static const uint16_t rows[][2] = {
        { 0, 0x0040 },             /* not removable */
        { 47, 0x8000 | MAX_MULTIPLE },
        { 49, 0x0B00 },            /* IORDY, LBA, DMA */
        { 50, 0x4000 },
        { 51, 0x0200 },            /* PIO mode 2 */
        { 53, 0x0007 },            /* words 54-58, 64-70, 88 are valid */
        { 80, 0x0070 },            /* ATA/ATAPI-4 to -6 */
        { 82, 0x4060 },            /* NOP, look-ahead, write cache */
        { 83, 0x7400 },            /* FLUSH CACHE (EXT), 48-bit addresses */
        { 84, 0x4000 },
        { 86, 0x3400 },
        { 87, 0x4000 },
    };

    put_words(id, rows, ARRAY_LEN(rows));
    ide_put_string(&id[2 * 23], 4, "1.0");
    ide_put_string(&id[2 * 27], 20, "MIMUS HARDDISK");
}

/* Sectors that the current translation reaches. */
static uint32_t chs_capacity(const struct ide_drive *d)
{
    return (uint32_t)d->regs.cylinders * d->regs.heads * d->regs.sectors;
}

static void identify_variables(struct ide_drive *d, uint8_t *id)
{
    const uint16_t rows[][2] = {
        { 1, d->phys_cylinders }, { 3, DEFAULT_HEADS }, { 6, DEFAULT_SECTORS },
        { 54, d->regs.cylinders }, { 55, d->regs.heads }, { 56, d->regs.sectors },
        { 59, d->regs.multiple ? 0x0100 | d->regs.multiple : 0 },
        { 85, (uint16_t)(0x4040 | (d->regs.write_cache ? 0x20 : 0)) },
        { 93, (uint16_t)(0x6001 | (d == &d->channel->drive[1] ? 0x0200 : 0x0008)) },
    };

    put_words(id, rows, ARRAY_LEN(rows));
    ide_put_string(&id[2 * 10], 10, d->serial);
    store_le(&id[2 * 57], 4, chs_capacity(d));
    store_le(&id[2 * 60], 4, MIN_OF(d->capacity, MAX_LBA28));
    store_le(&id[2 * 100], 8, d->capacity);
}

/* Word 255 makes the sum of all bytes zero. */
static void identify_checksum(uint8_t *id)
{
    uint8_t sum = 0;

    id[510] = 0xA5;
    for (unsigned i = 0; i < 511; i++)
        sum = (uint8_t)(sum + id[i]);
    id[511] = (uint8_t)-sum;
}

static void cmd_identify(struct ide_drive *d, unsigned flags)
{
    uint8_t *id = d->regs.buf;

    (void)flags;
    memset(id, 0, ATA_SECTOR);
    identify_constants(id);
    identify_variables(d, id);
    ide_put_dma_modes(d, id);
    identify_checksum(id);
    d->regs.left = 0;
    d->regs.dma = 0;
    ide_data_in(d, ATA_SECTOR, ATA_SECTOR, true);
}

/* ---- commands without data ---- */

static void cmd_init_parameters(struct ide_drive *d, unsigned flags)
{
    uint8_t heads = (d->regs.device & 0x0F) + 1, sectors = d->regs.file[IDE_NSECTOR];
    uint64_t cylinders;

    (void)flags;
    if (!sectors) {
        ata_fail(d, IDE_ABRT);
        return;
    }
    cylinders = MIN_OF(d->capacity, (uint64_t)MAX_CYLINDERS * DEFAULT_HEADS * DEFAULT_SECTORS) /
                ((uint64_t)heads * sectors);
    d->regs.heads = heads;
    d->regs.sectors = sectors;
    d->regs.cylinders = (uint16_t)MIN_OF(cylinders, (uint64_t)65535);
    ide_finish(d, STATUS_READY, true);
}

static void cmd_seek(struct ide_drive *d, unsigned flags)
{
    if (get_address(d, flags) >= d->capacity)
        ata_fail(d, IDE_IDNF);
    else
        ide_finish(d, STATUS_READY, true);
}

static void cmd_set_multiple(struct ide_drive *d, unsigned flags)
{
    uint8_t n = d->regs.file[IDE_NSECTOR];

    (void)flags;
    if (n > MAX_MULTIPLE || (n && !is_pow2(n))) {
        ata_fail(d, IDE_ABRT);
        return;
    }
    d->regs.multiple = n;
    ide_finish(d, STATUS_READY, true);
}

static void cmd_check_power(struct ide_drive *d, unsigned flags)
{
    (void)flags;
    d->regs.file[IDE_NSECTOR] = 0xFF; /* active or idle */
    ide_finish(d, STATUS_READY, true);
}

static void cmd_native_max(struct ide_drive *d, unsigned flags)
{
    uint64_t last = d->capacity ? d->capacity - 1 : 0;

    put_lba(d, flags & EXT ? last : MIN_OF(last, MAX_LBA28 - 1), flags & EXT);
    ide_finish(d, STATUS_READY, true);
}

static void cmd_set_features(struct ide_drive *d, unsigned flags)
{
    (void)flags;
    switch (d->regs.file[IDE_ERROR]) {
    case FEATURE_WRITE_CACHE_ON:
        d->regs.write_cache = 1;
        break;
    case FEATURE_WRITE_CACHE_OFF:
        d->regs.write_cache = 0;
        cmd_flush(d, 0);
        return;
    case FEATURE_TRANSFER_MODE:
        if (!ide_set_transfer_mode(d, d->regs.file[IDE_NSECTOR])) {
            ata_fail(d, IDE_ABRT);
            return;
        }
        break;
    case FEATURE_LOOK_AHEAD_OFF:
    case FEATURE_LOOK_AHEAD_ON:
    case FEATURE_NO_REVERT:
    case FEATURE_REVERT:
        break;
    default:
        ata_fail(d, IDE_ABRT);
        return;
    }
    ide_finish(d, STATUS_READY, true);
}

#define ROW4(op, fn) [op] = { fn, 0 }, [op + 1] = { fn, 0 }, [op + 2] = { fn, 0 }, [op + 3] = { fn, 0 }
#define ROW16(op, fn) ROW4(op, fn), ROW4(op + 4, fn), ROW4(op + 8, fn), ROW4(op + 12, fn)

/* Commands that are not in the table are aborted, as are NOP (0x00) by definition and SMART (0xB0). */
static const struct ata_command ata_commands[256] = {
    ROW16(0x10, cmd_ok), /* RECALIBRATE */
    [0x20] = { cmd_read, 0 },
    [0x21] = { cmd_read, 0 },
    [0x24] = { cmd_read, EXT },
    [0x25] = { cmd_read, EXT | DMA },
    [0x27] = { cmd_native_max, EXT },
    [0x29] = { cmd_read, EXT | MULTIPLE },
    [0x30] = { cmd_write, CHANGES },
    [0x31] = { cmd_write, CHANGES },
    [0x34] = { cmd_write, CHANGES | EXT },
    [0x35] = { cmd_write, CHANGES | EXT | DMA },
    [0x39] = { cmd_write, CHANGES | EXT | MULTIPLE },
    [0x40] = { cmd_read, VERIFY },
    [0x41] = { cmd_read, VERIFY },
    [0x42] = { cmd_read, VERIFY | EXT },
    ROW16(0x70, cmd_seek),
    [0x91] = { cmd_init_parameters, 0 },
    ROW4(0x94, cmd_ok), /* STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE: old codes */
    [0x98] = { cmd_check_power, 0 },
    [0x99] = { cmd_ok, 0 }, /* SLEEP */
    [0xC4] = { cmd_read, MULTIPLE },
    [0xC5] = { cmd_write, CHANGES | MULTIPLE },
    [0xC6] = { cmd_set_multiple, 0 },
    [0xC8] = { cmd_read, DMA },
    [0xC9] = { cmd_read, DMA },
    [0xCA] = { cmd_write, CHANGES | DMA },
    [0xCB] = { cmd_write, CHANGES | DMA },
    ROW4(0xE0, cmd_ok), /* STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE */
    [0xE5] = { cmd_check_power, 0 },
    [0xE6] = { cmd_ok, 0 }, /* SLEEP */
    [0xE7] = { cmd_flush, 0 },
    [0xEA] = { cmd_flush, EXT },
    [0xEC] = { cmd_identify, 0 },
    [0xEF] = { cmd_set_features, 0 },
    [0xF8] = { cmd_native_max, 0 },
};

static void ata_command(struct ide_drive *d, uint8_t command)
{
    const struct ata_command *c = &ata_commands[command];

    if (c->run) {
        c->run(d, c->flags);
        return;
    }
    log_guest(d->channel->env->log, "%s: command 0x%02x aborted\n", d->name, command);
    cmd_abort(d, 0);
}

static void ata_reset(struct ide_drive *d)
{
    d->capacity = block_size(d->block) / ATA_SECTOR;
    d->phys_cylinders = ata_default_cylinders(d->capacity);
    d->regs.cylinders = d->phys_cylinders;
    d->regs.heads = DEFAULT_HEADS;
    d->regs.sectors = DEFAULT_SECTORS;
    d->regs.write_cache = 1;
}

/* Signature of a device without the PACKET feature set (section 9.12). */
static void ata_signature(struct ide_drive *d)
{
    d->regs.file[IDE_NSECTOR] = 0x01;
    d->regs.file[IDE_LBA_LOW] = 0x01;
    d->regs.file[IDE_LBA_MID] = 0x00;
    d->regs.file[IDE_LBA_HIGH] = 0x00;
    d->regs.status = STATUS_READY;
}

const struct ide_kind ide_ata = {
    .reset = ata_reset,
    .signature = ata_signature,
    .command = ata_command,
    .data_done = ata_data_done,
};
