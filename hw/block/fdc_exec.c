/* Intel 82077AA floppy disk controller (data sheet 290166, chapters 5 and 6): the execution phase of the
 * commands that move data. A sector takes SECTOR_NS of virtual time. */
#include <assert.h>

#include "hw/block/fdc_internal.h"

static bool is_write(const struct fdc *fdc)
{
    uint8_t kind = fdc_command_of(fdc)->kind;

    return kind == EXEC_WRITE || kind == EXEC_FORMAT;
}

/* Move the ID to the next sector (data sheet table 6-5). True when the last one of the command's range is
 * past. */
static bool advance_id(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    if (r->r != r->command[6]) {
        r->r++;
        return false;
    }
    r->r = 1;
    if (r->command[0] & CMD_MT) {
        r->h ^= 1;
        if (r->head == 0) {
            r->head = 1;
            return false;
        }
    }
    r->c++;
    return true;
}

static void next_sector(struct fdc *fdc)
{
    fdc->regs.wait = WAIT_SECTOR;
    fdc_arm(&fdc->timer, &fdc->regs.deadline, SECTOR_NS);
}

/* One sector is done: go on, or end by terminal count, by SC, or by the end of the cylinder. */
static void sector_over(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;
    uint8_t kind = fdc_command_of(fdc)->kind;
    bool end = advance_id(fdc);
    bool verify_count = kind == EXEC_VERIFY && (r->command[1] & VERIFY_EC);

    if (kind == EXEC_TRACK || kind == EXEC_FORMAT || verify_count)
        end = --r->left == 0;
    if (r->tc || (end && (kind == EXEC_FORMAT || kind == EXEC_VERIFY)))
        fdc_finish(fdc, 0, 0, 0);
    else if (end)
        fdc_finish(fdc, ST0_ABNORMAL, ST1_EN, 0);
    else
        next_sector(fdc);
}

static void host_phase(struct fdc *fdc, uint8_t wait, uint16_t len)
{
    fdc->regs.wait = wait;
    fdc->regs.data_pos = 0;
    fdc->regs.data_len = len;
    fdc_set_irq(fdc, 1);
}

/* regs.data has come from the disk. */
static void sector_to_host(struct fdc *fdc)
{
    bool tc = false;
    size_t n;

    if (fdc_command_of(fdc)->kind == EXEC_VERIFY) {
        sector_over(fdc);
        return;
    }
    if (fdc_non_dma(fdc)) {
        host_phase(fdc, WAIT_HOST_READ, SECTOR_LEN);
        return;
    }
    n = fdc->dma.write_memory ? fdc->dma.write_memory(fdc->dma.opaque, fdc->regs.data, SECTOR_LEN, &tc) : 0;
    fdc->regs.tc = tc;
    if (n < SECTOR_LEN && !tc)
        fdc_finish(fdc, ST0_ABNORMAL, ST1_OR, 0);
    else
        sector_over(fdc);
}

static struct disk_request *request_of(struct fdc *fdc)
{
    if (!fdc->request)
        fdc->request = disk_request_new(SECTOR_LEN);
    assert(fdc->request);
    return fdc->request;
}

void fdc_exec_abort(struct fdc *fdc)
{
    if (fdc->request && fdc->request->busy) {
        disk_request_drop(fdc->request);
        fdc->request = NULL;
    }
}

static void disk_done(void *opaque, int ret)
{
    struct fdc *fdc = opaque;

    if (ret < 0) {
        fdc_finish(fdc, ST0_ABNORMAL, is_write(fdc) ? ST1_NW : ST1_DE, is_write(fdc) ? 0 : ST2_DD);
    } else if (is_write(fdc)) {
        sector_over(fdc);
    } else {
        memcpy(fdc->regs.data, fdc->request->data, SECTOR_LEN);
        sector_to_host(fdc);
    }
}

/* Byte offset of the sector under the head that carries the ID in progress. */
static uint64_t sector_offset(struct fdc *fdc)
{
    const struct floppy_format *f = fdc_drive(fdc)->format;
    uint64_t track = (uint64_t)fdc->regs.track[fdc_unit(fdc)] * f->heads + fdc->regs.head;

    return (track * f->sectors + fdc->regs.r - 1) * SECTOR_LEN;
}

static void disk_submit(struct fdc *fdc, enum block_op op)
{
    struct block *b = fdc_drive(fdc)->block;
    uint64_t offset = sector_offset(fdc);

    if (op == BLOCK_READ && offset + SECTOR_LEN > block_size(b)) { /* an image shorter than its format */
        memset(fdc->regs.data, 0, SECTOR_LEN);
        sector_to_host(fdc);
        return;
    }
    fdc->regs.wait = WAIT_DISK;
    if (op == BLOCK_WRITE)
        memcpy(request_of(fdc)->data, fdc->regs.data, SECTOR_LEN);
    disk_request_submit(request_of(fdc), b, op, offset, SECTOR_LEN, disk_done, fdc);
}

/* The four ID bytes of FORMAT TRACK are in regs.data: fill that sector. An ID that does not fit the
 * diskette's format is not kept by the image. */
static void format_sector(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;
    const struct floppy_format *f = fdc_drive(fdc)->format;

    r->c = r->data[0];
    r->h = r->data[1];
    r->r = r->data[2];
    r->n = r->data[3];
    if (r->n != SECTOR_CODE || r->r == 0 || r->r > f->sectors) {
        log_guest(fdc->env->log, "fdc: format of sector %u with size code %u ignored\n", r->r, r->n);
        sector_over(fdc);
        return;
    }
    memset(r->data, r->command[5], SECTOR_LEN);
    disk_submit(fdc, BLOCK_WRITE);
}

/* regs.data has come from the host. */
static void sector_from_host(struct fdc *fdc)
{
    if (fdc_command_of(fdc)->kind == EXEC_FORMAT)
        format_sector(fdc);
    else
        disk_submit(fdc, BLOCK_WRITE);
}

static void host_to_sector(struct fdc *fdc)
{
    size_t len = fdc_command_of(fdc)->kind == EXEC_FORMAT ? 4 : SECTOR_LEN, n = 0;
    bool tc = false;

    if (fdc_non_dma(fdc)) {
        host_phase(fdc, WAIT_HOST_WRITE, (uint16_t)len);
        return;
    }
    memset(fdc->regs.data, 0, SECTOR_LEN); /* after terminal count the rest of the sector is zeros */
    if (fdc->dma.read_memory)
        n = fdc->dma.read_memory(fdc->dma.opaque, fdc->regs.data, len, &tc);
    fdc->regs.tc = tc && fdc_command_of(fdc)->kind != EXEC_FORMAT;
    if (n < len && !tc)
        fdc_finish(fdc, ST0_ABNORMAL, ST1_OR, 0);
    else
        sector_from_host(fdc);
}

/* May the track under the head be used at all? Else the command has ended. */
static bool medium_ready(struct fdc *fdc)
{
    const struct floppy *d = fdc_drive(fdc);

    if (!d || !d->block || !fdc_motor_on(fdc, fdc_unit(fdc)))
        fdc_finish(fdc, ST0_ABNORMAL | ST0_NOT_READY, ST1_MA, 0);
    else if (!(d->format->rates & BIT(fdc->regs.rate)) || fdc->regs.head >= d->format->heads ||
             fdc->regs.track[fdc_unit(fdc)] >= d->format->cylinders)
        fdc_finish(fdc, ST0_ABNORMAL, ST1_MA, 0); /* no address mark is found */
    else if (is_write(fdc) && block_read_only(d->block))
        fdc_finish(fdc, ST0_ABNORMAL, ST1_NW, 0);
    else
        return true;
    return false;
}

/* Is the wanted ID on this track? Else the command has ended. */
static bool id_found(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;
    const struct floppy *d = fdc_drive(fdc);

    if (r->c != r->track[fdc_unit(fdc)])
        fdc_finish(fdc, ST0_ABNORMAL, ST1_ND, ST2_WC);
    else if (r->h != r->head || r->r == 0 || r->r > d->format->sectors || r->n != SECTOR_CODE)
        fdc_finish(fdc, ST0_ABNORMAL, ST1_ND, 0);
    else
        return true;
    return false;
}

static void read_id_done(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    r->c = r->h = r->r = r->n = 0;
    if (!medium_ready(fdc))
        return;
    uint8_t sectors = fdc_drive(fdc)->format->sectors;
    r->c = r->track[fdc_unit(fdc)];
    r->h = r->head;
    r->r = (uint8_t)(clock_now(fdc->env->clock) % REVOLUTION_NS * sectors / REVOLUTION_NS + 1);
    r->n = SECTOR_CODE;
    fdc_finish(fdc, 0, 0, 0);
}

void fdc_exec_timer(void *opaque)
{
    struct fdc *fdc = opaque;

    fdc->regs.deadline = -1;
    if (fdc->regs.wait == WAIT_READ_ID) {
        read_id_done(fdc);
        return;
    }
    if (fdc->regs.wait != WAIT_SECTOR || !medium_ready(fdc))
        return;
    if (fdc_command_of(fdc)->kind == EXEC_FORMAT)
        host_to_sector(fdc);
    else if (!id_found(fdc))
        return;
    else if (is_write(fdc))
        host_to_sector(fdc);
    else
        disk_submit(fdc, BLOCK_READ);
}

static void start_execution(struct fdc *fdc, uint8_t wait)
{
    struct fdc_regs *r = &fdc->regs;

    r->phase = PHASE_EXECUTION;
    r->head = (r->command[1] & 4) != 0;
    r->tc = 0;
    r->wait = wait;
    fdc_arm(&fdc->timer, &r->deadline, SECTOR_NS);
}

/* READ, WRITE, VERIFY, READ TRACK: command, HDS/DS, C, H, R, N, EOT, GPL, DTL or SC. */
void fdc_exec_transfer(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    r->c = r->command[2];
    r->h = r->command[3];
    r->r = r->command[4];
    r->n = r->command[5];
    r->last_eot = r->command[6];
    r->left = r->command[8];
    if (fdc_command_of(fdc)->kind == EXEC_TRACK) { /* from the index hole, EOT sectors */
        r->r = 1;
        r->left = r->command[6];
    }
    if (r->config & CONFIG_EIS)
        fdc_move_heads(fdc, fdc_unit(fdc), r->c);
    start_execution(fdc, WAIT_SECTOR);
}

/* command, HDS/DS, N, SC, GPL, D */
void fdc_exec_format(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    r->left = r->last_eot = r->command[3];
    r->c = r->track[fdc_unit(fdc) % NUM_DRIVES];
    r->h = (r->command[1] & 4) != 0;
    r->r = 1;
    r->n = r->command[2];
    start_execution(fdc, WAIT_SECTOR);
}

void fdc_exec_read_id(struct fdc *fdc)
{
    start_execution(fdc, WAIT_READ_ID);
}

uint8_t fdc_exec_data_read(struct fdc *fdc)
{
    uint8_t value = fdc->regs.data[fdc->regs.data_pos++];

    if (fdc->regs.data_pos == fdc->regs.data_len) {
        fdc_set_irq(fdc, 0);
        sector_over(fdc);
    }
    return value;
}

void fdc_exec_data_write(struct fdc *fdc, uint8_t value)
{
    fdc->regs.data[fdc->regs.data_pos++] = value;
    if (fdc->regs.data_pos == fdc->regs.data_len) {
        fdc_set_irq(fdc, 0);
        sector_from_host(fdc);
    }
}
