/* ATAPI CD-ROM/DVD-ROM drive: the PACKET feature set (ATA/ATAPI-6, T13 1410D) with the commands of MMC-3 (T10
 * 1363-D) and SPC-2. */
#include "hw/ide/atapi.h"

#include "base/bits.h"

enum atapi_ata_command {
    CMD_DEVICE_RESET = 0x08,
    CMD_READ_SECTORS = 0x20,
    CMD_PACKET = 0xA0,
    CMD_IDENTIFY_PACKET = 0xA1,
    CMD_STANDBY_IMMEDIATE = 0xE0,
    CMD_IDLE_IMMEDIATE = 0xE1,
    CMD_CHECK_POWER = 0xE5,
    CMD_SLEEP = 0xE6,
    CMD_IDENTIFY = 0xEC,
    CMD_SET_FEATURES = 0xEF,
    FEATURE_DMA = 0x01,
    SET_TRANSFER_MODE = 0x03,
    PACKET_LEN = 12,
};

enum sense_key { NOT_READY = 2, MEDIUM_ERROR = 3, ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6 };

/* Additional sense code and qualifier. */
enum sense_code {
    ASC_READ_ERROR = 0x1100,
    ASC_INVALID_OPCODE = 0x2000,
    ASC_LBA_OUT_OF_RANGE = 0x2100,
    ASC_INVALID_FIELD = 0x2400,
    ASC_MEDIUM_CHANGED = 0x2800,
    ASC_NO_SAVED_PARAMETERS = 0x3900,
    ASC_NO_MEDIUM = 0x3A00,
    ASC_REMOVAL_PREVENTED = 0x5302,
};

enum { EVENT_NONE = 0, EVENT_NEW_MEDIA = 2, EVENT_MEDIA_REMOVAL = 3 };

enum {
    STATUS_READY = IDE_DRDY | IDE_DSC,
    CD_RAW_SECTOR = 2352,
    CD_MAX_SECTORS = 80 * 60 * 75, /* more than that is a DVD */
    LEAD_IN_FRAMES = 150,
    PROFILE_CD = 0x08,
    PROFILE_DVD = 0x10,
    CHUNK = IDE_BUF_SIZE / CD_RAW_SECTOR,
};

enum packet_flag {
    ALLOW_UA = 1,   /* works, and leaves the unit attention, while one is pending */
    NEED_MEDIA = 2,
};

struct packet_command {
    void (*run)(struct ide_drive *d, const uint8_t *packet);
    uint8_t flags;
};

static bool medium_present(const struct ide_drive *d)
{
    return d->block && !d->regs.tray_open;
}

/* ---- replies ---- */

static void set_sense(struct ide_drive *d, uint8_t key, unsigned code)
{
    d->regs.sense_key = key;
    d->regs.asc = (uint8_t)(code >> 8);
    d->regs.ascq = (uint8_t)code;
}

static void packet_ok(struct ide_drive *d)
{
    d->regs.file[IDE_NSECTOR] = IDE_IO | IDE_CD;
    d->regs.error = 0;
    ide_finish(d, STATUS_READY, true);
}

static void packet_fail(struct ide_drive *d, uint8_t key, unsigned code)
{
    set_sense(d, key, code);
    d->regs.file[IDE_NSECTOR] = IDE_IO | IDE_CD;
    d->regs.error = (uint8_t)(key << 4 | IDE_ABRT);
    ide_finish(d, STATUS_READY | IDE_ERR, true);
}

/* Largest DRQ block: the host's byte count limit, even unless all fits into one. */
static uint32_t byte_limit(const struct ide_drive *d, uint32_t len)
{
    uint32_t limit = d->regs.file[IDE_LBA_MID] | (uint32_t)d->regs.file[IDE_LBA_HIGH] << 8;

    if (limit == 0 || limit == 0xFFFF)
        limit = 0xFFFE;
    if ((limit & 1) && len > limit)
        limit--;
    return limit ? limit : 2;
}

static void atapi_burst(struct ide_drive *d, uint32_t len)
{
    if (d->regs.phase == IDE_PIO_OUT || d->regs.command != CMD_PACKET)
        return;
    d->regs.file[IDE_NSECTOR] = IDE_IO;
    d->regs.file[IDE_LBA_MID] = (uint8_t)len;
    d->regs.file[IDE_LBA_HIGH] = (uint8_t)(len >> 8);
}

/* regs.buf[0, len) to the host. The limit stays that of the command: a shorter first block
 * must not lower it. */
static void send_buffer(struct ide_drive *d, uint32_t len)
{
    ide_data_in(d, len, d->regs.burst, true);
}

/* A reply of `len` bytes in regs.buf, cut to the packet's allocation length. */
static void reply(struct ide_drive *d, uint32_t len, uint32_t allocation)
{
    len = MIN_OF(len, allocation);
    d->regs.left = 0;
    if (!len) {
        packet_ok(d);
        return;
    }
    d->regs.burst = byte_limit(d, len);
    send_buffer(d, len);
}

static uint8_t *reply_buffer(struct ide_drive *d, size_t len)
{
    return memset(d->regs.buf, 0, len);
}

/* ---- reading ---- */

static void store_msf(uint8_t *p, uint32_t lba)
{
    uint32_t frame = lba + LEAD_IN_FRAMES;

    p[0] = (uint8_t)(frame / (60 * 75));
    p[1] = (uint8_t)(frame / 75 % 60);
    p[2] = (uint8_t)(frame % 75);
}

static uint8_t to_bcd(uint8_t v)
{
    return (uint8_t)(v / 10 << 4 | v % 10);
}

/* A mode 1 sector around its user data; error correction is left zero. */
static void store_raw_sector(uint8_t *raw, uint32_t lba, const uint8_t *user)
{
    memset(raw, 0, CD_RAW_SECTOR);
    memset(raw + 1, 0xFF, 10);
    store_msf(raw + 12, lba);
    for (unsigned i = 12; i < 15; i++)
        raw[i] = to_bcd(raw[i]);
    raw[15] = 1;
    memcpy(raw + 16, user, CD_SECTOR);
}

static void read_done(void *opaque, int ret);

static void read_chunk(struct ide_drive *d)
{
    d->regs.chunk = MIN_OF(d->regs.left, (uint32_t)CHUNK);
    ide_submit(d, BLOCK_READ, d->regs.lba * CD_SECTOR, (size_t)d->regs.chunk * CD_SECTOR, read_done);
}

static void read_done(void *opaque, int ret)
{
    struct ide_drive *d = opaque;
    uint32_t size = d->regs.raw ? CD_RAW_SECTOR : CD_SECTOR;

    if (ret < 0) {
        packet_fail(d, MEDIUM_ERROR, ASC_READ_ERROR);
        return;
    }
    if (!d->regs.raw)
        memcpy(d->regs.buf, d->request->data, (size_t)d->regs.chunk * CD_SECTOR);
    for (uint32_t i = 0; d->regs.raw && i < d->regs.chunk; i++)
        store_raw_sector(d->regs.buf + i * CD_RAW_SECTOR, (uint32_t)(d->regs.lba + i),
                         d->request->data + i * CD_SECTOR);
    d->regs.lba += d->regs.chunk;
    d->regs.left -= d->regs.chunk;
    send_buffer(d, d->regs.chunk * size);
}

static void start_read(struct ide_drive *d, uint32_t lba, uint32_t count, bool raw)
{
    if (lba > d->capacity || count > d->capacity - lba) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        return;
    }
    if (!count) {
        packet_ok(d);
        return;
    }
    d->regs.lba = lba;
    d->regs.left = count;
    d->regs.raw = raw;
    d->regs.burst = byte_limit(d, UINT32_MAX);
    read_chunk(d);
}

static void read_10(struct ide_drive *d, const uint8_t *p)
{
    start_read(d, (uint32_t)load_be(p + 2, 4), (uint32_t)load_be(p + 7, 2), false);
}

static void read_12(struct ide_drive *d, const uint8_t *p)
{
    start_read(d, (uint32_t)load_be(p + 2, 4), (uint32_t)load_be(p + 6, 4), false);
}

/* Byte 9: which parts of a sector. User data alone, or all of it, are served. */
static void read_cd(struct ide_drive *d, const uint8_t *p)
{
    uint32_t lba = (uint32_t)load_be(p + 2, 4), count = (uint32_t)load_be(p + 6, 3);

    switch (p[9] & 0xF8) {
    case 0x00:
        packet_ok(d);
        break;
    case 0x10:
        start_read(d, lba, count, false);
        break;
    case 0xF8:
        start_read(d, lba, count, true);
        break;
    default:
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        break;
    }
}

/* ---- the other packet commands ---- */

static void test_unit_ready(struct ide_drive *d, const uint8_t *p)
{
    (void)p;
    packet_ok(d);
}

static void request_sense(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 18);

    if (d->regs.unit_attention && !d->regs.sense_key) {
        set_sense(d, UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
        d->regs.unit_attention = 0;
    }
    buf[0] = 0xF0; /* current error, valid */
    buf[2] = d->regs.sense_key;
    buf[7] = 10;
    buf[12] = d->regs.asc;
    buf[13] = d->regs.ascq;
    set_sense(d, 0, 0);
    reply(d, 18, p[4]);
}

static void put_text(uint8_t *p, size_t len, const char *text)
{
    size_t n = MIN_OF(strlen(text), len);

    memset(p, ' ', len);
    memcpy(p, text, n);
}

static void inquiry(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 36);

    if (p[1] & 1) { /* vital product data */
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    buf[0] = 0x05; /* CD-ROM */
    buf[1] = 0x80; /* removable */
    buf[3] = 0x21; /* ATAPI response format */
    buf[4] = 31;
    put_text(buf + 8, 8, "MIMUS");
    put_text(buf + 16, 16, "MIMUS DVD-ROM");
    put_text(buf + 32, 4, "1.0");
    reply(d, 36, (uint32_t)load_be(p + 3, 2));
}

static void start_stop_unit(struct ide_drive *d, const uint8_t *p)
{
    bool start = p[4] & 1, load_eject = p[4] & 2;

    if (load_eject && !start && d->regs.locked) {
        packet_fail(d, d->block ? ILLEGAL_REQUEST : NOT_READY, ASC_REMOVAL_PREVENTED);
        return;
    }
    if (load_eject && d->regs.tray_open == start) {
        d->regs.tray_open = !start;
        if (d->block) {
            d->regs.media_event = start ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
            d->regs.unit_attention = start;
        }
    }
    packet_ok(d);
}

static void prevent_allow(struct ide_drive *d, const uint8_t *p)
{
    d->regs.locked = p[4] & 1;
    packet_ok(d);
}

static void read_capacity(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 8);

    (void)p;
    store_be(buf, 4, d->capacity ? d->capacity - 1 : 0);
    store_be(buf + 4, 4, CD_SECTOR);
    reply(d, 8, 8);
}

static void seek(struct ide_drive *d, const uint8_t *p)
{
    if (load_be(p + 2, 4) >= d->capacity)
        packet_fail(d, ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    else
        packet_ok(d);
}

static void store_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (!msf) {
        store_be(p, 4, lba);
        return;
    }
    p[0] = 0;
    store_msf(p + 1, lba);
}

/* Formats 0 (track 1 and lead-out) and 1 (one session). */
static uint32_t toc_tracks(struct ide_drive *d, uint8_t *buf, bool sessions, bool msf, uint8_t first)
{
    uint32_t len = 4;

    buf[2] = buf[3] = 1;
    if (sessions || first <= 1) {
        buf[len + 1] = 0x14; /* data track, position in Q */
        buf[len + 2] = 1;
        store_address(buf + len + 4, 0, msf);
        len += 8;
    }
    if (!sessions) {
        buf[len + 1] = 0x16;
        buf[len + 2] = 0xAA;
        store_address(buf + len + 4, (uint32_t)d->capacity, msf);
        len += 8;
    }
    return len;
}

/* Format 2: the lead-in's Q channel: first track, last track, lead-out, track 1. */
static uint32_t toc_raw(struct ide_drive *d, uint8_t *buf)
{
    static const uint8_t points[] = { 0xA0, 0xA1, 0xA2, 0x01 };
    uint32_t len = 4;

    buf[2] = buf[3] = 1;
    for (unsigned i = 0; i < ARRAY_LEN(points); i++, len += 11) {
        buf[len] = 1;
        buf[len + 1] = 0x14;
        buf[len + 3] = points[i];
        if (points[i] == 0xA0 || points[i] == 0xA1)
            buf[len + 8] = 1;
        else
            store_msf(buf + len + 8, points[i] == 0xA2 ? (uint32_t)d->capacity : 0);
    }
    return len;
}

static void read_toc(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 64);
    unsigned format = p[2] & 0x0F ? p[2] & 0x0F : p[9] >> 6; /* SFF-8020i has it in byte 9 */
    bool msf = p[1] & 2;
    uint32_t len;

    if (format > 2 || (format == 0 && p[6] > 1 && p[6] != 0xAA)) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    len = format == 2 ? toc_raw(d, buf) : toc_tracks(d, buf, format == 1, msf, p[6]);
    store_be(buf, 2, len - 2);
    reply(d, len, (uint32_t)load_be(p + 7, 2));
}

static void get_configuration(struct ide_drive *d, const uint8_t *p)
{
    static const uint8_t features[] = {
        0x00, 0x00, 0x03, 8, 0, PROFILE_DVD, 0, 0, 0, PROFILE_CD, 0, 0, /* profile list */
        0x00, 0x01, 0x03, 4, 0, 0, 0, 2,                               /* core: ATAPI */
        0x00, 0x03, 0x03, 4, 0x29, 0, 0, 0,                            /* removable: tray, eject, lock */
    };
    uint8_t *buf = reply_buffer(d, 8 + sizeof(features));
    unsigned profile = d->capacity > CD_MAX_SECTORS ? PROFILE_DVD : PROFILE_CD;

    if ((p[1] & 3) == 3) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    store_be(buf, 4, 4 + sizeof(features));
    if (medium_present(d)) {
        store_be(buf + 6, 2, profile);
        buf[8 + (profile == PROFILE_DVD ? 6 : 10)] = 1; /* current */
    }
    for (unsigned i = 0; i < sizeof(features); i++)
        buf[8 + i] |= features[i];
    reply(d, 8 + sizeof(features), (uint32_t)load_be(p + 7, 2));
}

static void get_event_status(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 8);
    bool media_class = p[4] & 0x10;

    if (!(p[1] & 1)) { /* asynchronous notification is not there */
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    buf[1] = media_class ? 6 : 2;
    buf[2] = media_class ? 4 : 0x80;
    buf[3] = 0x10; /* the media class is supported */
    if (media_class) {
        buf[4] = d->regs.media_event;
        buf[5] = (uint8_t)((d->regs.tray_open ? 1 : 0) | (medium_present(d) ? 2 : 0));
        d->regs.media_event = EVENT_NONE;
    }
    reply(d, media_class ? 8 : 4, (uint32_t)load_be(p + 7, 2));
}

static void read_disc_information(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 34);

    if (p[1] & 7) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    store_be(buf, 2, 32);
    buf[2] = 0x0E; /* complete: last session, disc */
    buf[3] = buf[4] = buf[5] = buf[6] = 1;
    buf[7] = 0x20; /* unrestricted use */
    reply(d, 34, (uint32_t)load_be(p + 7, 2));
}

static void mechanism_status(struct ide_drive *d, const uint8_t *p)
{
    uint8_t *buf = reply_buffer(d, 8);

    buf[1] = d->regs.tray_open ? 0x10 : 0;
    buf[5] = 1; /* slots that the following table would describe: a plain drive has none listed */
    reply(d, 8, (uint32_t)load_be(p + 8, 2));
}

/* Mode pages as in MMC-3 section 6.3: read error recovery, CD audio control, capabilities. */
static uint32_t mode_pages(struct ide_drive *d, uint8_t page, uint8_t *buf)
{
    static const uint8_t recovery[] = { 0x01, 6, 0x00, 5, 0, 0, 0, 0 };
    static const uint8_t audio[] = { 0x0E, 14, 0x04, 0, 0, 0, 0, 75, 1, 0xFF, 2, 0xFF, 0, 0, 0, 0 };
    static const uint8_t capabilities[] = {
        0x2A, 18, 0x3B, 0, 0x70, 0x60, 0x29, 0, 0x02, 0xC2, 0x01, 0x00, 0x02, 0x00, 0x02, 0xC2, 0, 0, 0, 0,
    };
    const struct { uint8_t code; const uint8_t *data; uint8_t len; } pages[] = {
        { 0x01, recovery, sizeof(recovery) },
        { 0x0E, audio, sizeof(audio) },
        { 0x2A, capabilities, sizeof(capabilities) },
    };
    uint32_t len = 0;

    for (unsigned i = 0; i < ARRAY_LEN(pages); i++) {
        if (page != pages[i].code && page != 0x3F)
            continue;
        memcpy(buf + len, pages[i].data, pages[i].len);
        if (pages[i].code == 0x2A && d->regs.locked)
            buf[len + 6] |= 0x02;
        len += pages[i].len;
    }
    return len;
}

static uint8_t medium_type(const struct ide_drive *d)
{
    if (d->regs.tray_open)
        return 0x71;
    return d->block ? 0x01 : 0x70;
}

static void mode_sense(struct ide_drive *d, const uint8_t *p, uint32_t header, uint32_t allocation)
{
    uint8_t *buf = reply_buffer(d, 64);
    uint32_t len = mode_pages(d, p[2] & 0x3F, buf + header);
    uint8_t control = p[2] >> 6;

    if (control == 3) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_NO_SAVED_PARAMETERS);
        return;
    }
    if (!len) {
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (control == 1) { /* changeable values: none */
        for (uint32_t at = header; at < header + len; at += 2 + buf[at + 1])
            memset(buf + at + 2, 0, buf[at + 1]);
    }
    if (header == 8) {
        store_be(buf, 2, len + header - 2);
        buf[2] = medium_type(d);
    } else {
        buf[0] = (uint8_t)(len + header - 1);
        buf[1] = medium_type(d);
    }
    reply(d, len + header, allocation);
}

static void mode_sense_6(struct ide_drive *d, const uint8_t *p)
{
    mode_sense(d, p, 4, p[4]);
}

static void mode_sense_10(struct ide_drive *d, const uint8_t *p)
{
    mode_sense(d, p, 8, (uint32_t)load_be(p + 7, 2));
}

static const struct packet_command packet_commands[256] = {
    [0x00] = { test_unit_ready, NEED_MEDIA },
    [0x03] = { request_sense, ALLOW_UA },
    [0x12] = { inquiry, ALLOW_UA },
    [0x1A] = { mode_sense_6, 0 },
    [0x1B] = { start_stop_unit, 0 },
    [0x1E] = { prevent_allow, 0 },
    [0x25] = { read_capacity, NEED_MEDIA },
    [0x28] = { read_10, NEED_MEDIA },
    [0x2B] = { seek, NEED_MEDIA },
    [0x43] = { read_toc, NEED_MEDIA },
    [0x46] = { get_configuration, ALLOW_UA },
    [0x4A] = { get_event_status, ALLOW_UA },
    [0x51] = { read_disc_information, NEED_MEDIA },
    [0x5A] = { mode_sense_10, 0 },
    [0xA8] = { read_12, NEED_MEDIA },
    [0xBD] = { mechanism_status, 0 },
    [0xBE] = { read_cd, NEED_MEDIA },
};

static void packet_run(struct ide_drive *d)
{
    const uint8_t *p = d->regs.packet;
    const struct packet_command *c = &packet_commands[p[0]];

    d->regs.dma = d->regs.file[IDE_ERROR] & FEATURE_DMA;
    d->regs.raw = 0;
    if (d->regs.unit_attention && !(c->flags & ALLOW_UA)) {
        d->regs.unit_attention = 0;
        packet_fail(d, UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
        return;
    }
    if (!c->run) {
        log_guest(d->channel->env->log, "%s: packet command 0x%02x not implemented\n", d->name, p[0]);
        packet_fail(d, ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
        return;
    }
    if ((c->flags & NEED_MEDIA) && !medium_present(d)) {
        packet_fail(d, NOT_READY, ASC_NO_MEDIUM);
        return;
    }
    if (p[0] != 0x03) /* sense data lasts until the next command */
        set_sense(d, 0, 0);
    c->run(d, p);
}

static void atapi_data_done(struct ide_drive *d)
{
    if (d->regs.phase == IDE_PIO_OUT) {
        memcpy(d->regs.packet, d->regs.buf, PACKET_LEN);
        packet_run(d);
    } else if (d->regs.command == CMD_IDENTIFY_PACKET) {
        ide_finish(d, STATUS_READY, false);
    } else if (d->regs.left) {
        read_chunk(d);
    } else {
        packet_ok(d);
    }
}

/* ---- the ATA side ---- */

static void identify_packet(struct ide_drive *d)
{
    static const uint16_t rows[][2] = {
        { 0, 0x85C0 },  /* CD-ROM, removable, DRQ within 50 us, 12-byte packets */
        { 49, 0x0B00 }, /* IORDY, LBA, DMA */
        { 50, 0x4000 }, { 51, 0x0200 }, { 53, 0x0006 },
        { 71, 30 }, { 72, 30 },
        { 80, 0x0070 },
        { 82, 0x0210 }, /* DEVICE RESET, PACKET */
        { 83, 0x4000 }, { 84, 0x4000 }, { 85, 0x0210 }, { 87, 0x4000 }, { 93, 0x6001 },
    };
    uint8_t *id = reply_buffer(d, ATA_SECTOR);

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        store_le(&id[2 * rows[i][0]], 2, rows[i][1]);
    ide_put_string(&id[2 * 10], 10, d->serial);
    ide_put_string(&id[2 * 23], 4, "1.0");
    ide_put_string(&id[2 * 27], 20, "MIMUS DVD-ROM");
    ide_put_dma_modes(d, id);
    d->regs.dma = 0;
    d->regs.left = 0;
    ide_data_in(d, ATA_SECTOR, ATA_SECTOR, true);
}

/* Registers after reset or after a command that only disks have (section 9.12). */
static void put_signature(struct ide_drive *d)
{
    d->regs.file[IDE_NSECTOR] = 0x01;
    d->regs.file[IDE_LBA_LOW] = 0x01;
    d->regs.file[IDE_LBA_MID] = 0x14;
    d->regs.file[IDE_LBA_HIGH] = 0xEB;
}

static void atapi_signature(struct ide_drive *d)
{
    put_signature(d);
    d->regs.status = 0;
}

static void abort_command(struct ide_drive *d)
{
    d->regs.error = IDE_ABRT;
    ide_finish(d, STATUS_READY | IDE_ERR, true);
}

static void set_features(struct ide_drive *d)
{
    bool known = d->regs.file[IDE_ERROR] != SET_TRANSFER_MODE ||
                 ide_set_transfer_mode(d, d->regs.file[IDE_NSECTOR]);

    if (known)
        ide_finish(d, STATUS_READY, true);
    else
        abort_command(d);
}

static void start_packet(struct ide_drive *d)
{
    d->regs.dma = 0; /* the packet itself always goes through the data register */
    d->regs.file[IDE_NSECTOR] = IDE_CD;
    ide_data_out(d, PACKET_LEN, PACKET_LEN, false);
}

static void atapi_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case CMD_DEVICE_RESET:
        ide_abort(d);
        d->regs.error = 0x01;
        atapi_signature(d);
        break;
    case CMD_PACKET:
        start_packet(d);
        break;
    case CMD_IDENTIFY_PACKET:
        identify_packet(d);
        break;
    case CMD_IDENTIFY:
    case CMD_READ_SECTORS:
        put_signature(d);
        abort_command(d);
        break;
    case CMD_SET_FEATURES:
        set_features(d);
        break;
    case CMD_CHECK_POWER:
        d->regs.file[IDE_NSECTOR] = 0xFF;
        ide_finish(d, STATUS_READY, true);
        break;
    case CMD_STANDBY_IMMEDIATE:
    case CMD_IDLE_IMMEDIATE:
    case CMD_SLEEP:
        ide_finish(d, STATUS_READY, true);
        break;
    default:
        log_guest(d->channel->env->log, "%s: command 0x%02x aborted\n", d->name, command);
        abort_command(d);
        break;
    }
}

static void update_capacity(struct ide_drive *d)
{
    uint64_t sectors = d->block ? block_size(d->block) / CD_SECTOR : 0;

    d->capacity = MIN_OF(sectors, (uint64_t)UINT32_MAX);
}

void atapi_set_media(struct ide_drive *d, struct block *block)
{
    bool sending = d->regs.phase == IDE_PIO_IN || d->regs.phase == IDE_DMA_IN;

    if (d->regs.phase == IDE_BUSY || (sending && d->regs.left)) {
        ide_abort(d);
        packet_fail(d, NOT_READY, ASC_NO_MEDIUM);
    }
    d->block = block;
    d->regs.tray_open = 0;
    d->regs.left = 0;
    d->regs.unit_attention = block != NULL;
    d->regs.media_event = block ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
    update_capacity(d);
}

const struct ide_kind ide_atapi = {
    .reset = update_capacity,
    .signature = atapi_signature,
    .command = atapi_command,
    .burst = atapi_burst,
    .data_done = atapi_data_done,
    .device_reset = true,
};
