/* Intel 82077AA floppy disk controller (data sheet 290166) with two drives, as wired in a PC/AT: registers,
 * resets, seeks, and the commands without a data transfer. fdc_exec.c has the others. */
#include "hw/block/fdc.h"

#include <assert.h>
#include <stdlib.h>

#include "hw/block/fdc_internal.h"

static const struct floppy_format formats[] = {
    { 160, 40, 1, 8, 1, 0x06 }, { 180, 40, 1, 9, 1, 0x06 }, { 320, 40, 2, 8, 1, 0x06 },
    { 360, 40, 2, 9, 1, 0x06 }, { 720, 80, 2, 9, 3, 0x04 }, { 1200, 80, 2, 15, 2, 0x01 },
    { 1440, 80, 2, 18, 4, 0x01 }, { 1680, 80, 2, 21, 4, 0x01 }, { 2880, 80, 2, 36, 5, 0x08 },
};

static const struct state_field fdc_fields[] = {
    STATE_FIELD(struct fdc_regs, deadline),
    STATE_FIELD(struct fdc_regs, seek_deadline),
    STATE_FIELD(struct fdc_regs, dor),
    STATE_FIELD(struct fdc_regs, tdr),
    STATE_FIELD(struct fdc_regs, dsr),
    STATE_FIELD(struct fdc_regs, rate),
    STATE_FIELD(struct fdc_regs, phase),
    STATE_FIELD(struct fdc_regs, wait),
    STATE_FIELD(struct fdc_regs, irq),
    STATE_ARRAY(struct fdc_regs, command, uint8_t),
    STATE_FIELD(struct fdc_regs, command_len),
    STATE_FIELD(struct fdc_regs, command_pos),
    STATE_ARRAY(struct fdc_regs, result, uint8_t),
    STATE_FIELD(struct fdc_regs, result_len),
    STATE_FIELD(struct fdc_regs, result_pos),
    STATE_FIELD(struct fdc_regs, c),
    STATE_FIELD(struct fdc_regs, h),
    STATE_FIELD(struct fdc_regs, r),
    STATE_FIELD(struct fdc_regs, n),
    STATE_FIELD(struct fdc_regs, head),
    STATE_FIELD(struct fdc_regs, left),
    STATE_FIELD(struct fdc_regs, tc),
    STATE_FIELD(struct fdc_regs, config),
    STATE_FIELD(struct fdc_regs, pretrk),
    STATE_FIELD(struct fdc_regs, lock),
    STATE_FIELD(struct fdc_regs, perpendicular),
    STATE_ARRAY(struct fdc_regs, specify, uint8_t),
    STATE_FIELD(struct fdc_regs, last_eot),
    STATE_FIELD(struct fdc_regs, int_pending),
    STATE_ARRAY(struct fdc_regs, int_st0, uint8_t),
    STATE_ARRAY(struct fdc_regs, pcn, uint8_t),
    STATE_ARRAY(struct fdc_regs, target, uint8_t),
    STATE_FIELD(struct fdc_regs, seeking),
    STATE_FIELD(struct fdc_regs, resetting),
    STATE_ARRAY(struct fdc_regs, track, uint8_t),
    STATE_ARRAY(struct fdc_regs, changed, uint8_t),
    STATE_FIELD(struct fdc_regs, data_pos),
    STATE_FIELD(struct fdc_regs, data_len),
    STATE_ARRAY(struct fdc_regs, data, uint8_t),
    STATE_PAD(struct fdc_regs, pad),
};
const struct state_table fdc_state_table = STATE_TABLE("fdc", 1, struct fdc_regs, fdc_fields);

static const struct fdc_regs fdc_power_on = {
    .deadline = -1,
    .seek_deadline = -1,
    .rate = 2,
    .config = CONFIG_EFIFO,
    .changed = { 1, 1 },
};

/* ---- derived values ---- */

unsigned fdc_unit(const struct fdc *fdc)
{
    return fdc->regs.command[1] & 3;
}

struct floppy *fdc_drive(struct fdc *fdc)
{
    unsigned unit = fdc_unit(fdc);

    return unit < NUM_DRIVES && fdc->floppy[unit].present ? &fdc->floppy[unit] : NULL;
}

bool fdc_motor_on(const struct fdc *fdc, unsigned unit)
{
    return fdc->regs.dor & DOR_MOTOR << unit;
}

static uint8_t msr_of(const struct fdc *fdc)
{
    const struct fdc_regs *r = &fdc->regs;
    uint8_t msr = r->seeking;

    if (!(r->dor & DOR_NRESET))
        return 0;
    if (r->phase != PHASE_COMMAND || r->command_pos)
        msr |= MSR_CMD_BUSY;
    if (r->phase == PHASE_EXECUTION && fdc_non_dma(fdc))
        msr |= MSR_NON_DMA;
    if (r->phase == PHASE_RESULT || r->wait == WAIT_HOST_READ)
        msr |= MSR_DIO;
    if (r->phase != PHASE_EXECUTION || r->wait == WAIT_HOST_READ || r->wait == WAIT_HOST_WRITE)
        msr |= MSR_RQM;
    return msr;
}

static uint8_t st3_of(const struct fdc *fdc, unsigned unit, uint8_t head_bit)
{
    uint8_t st3 = (uint8_t)(ST3_ONE | head_bit | unit);

    if (unit >= NUM_DRIVES || !fdc->floppy[unit].present)
        return st3;
    st3 |= ST3_TWO_SIDE;
    if (fdc->regs.track[unit] == 0)
        st3 |= ST3_TRACK0;
    if (fdc->floppy[unit].block && block_read_only(fdc->floppy[unit].block))
        st3 |= ST3_WP;
    return st3;
}

static uint8_t dir_of(const struct fdc *fdc)
{
    unsigned unit = fdc->regs.dor & DOR_DRIVE;
    bool answers = unit < NUM_DRIVES && fdc->floppy[unit].present && fdc_motor_on(fdc, unit);

    return answers && fdc->regs.changed[unit] ? DIR_DSKCHG : 0;
}

static uint8_t sra_of(const struct fdc *fdc)
{
    unsigned unit = fdc->regs.dor & DOR_DRIVE;
    uint8_t st3 = st3_of(fdc, unit, 0);

    return (uint8_t)((fdc->regs.irq ? 0x80 : 0) | (fdc->floppy[1].present ? 0 : 0x40) |
                     (st3 & ST3_TRACK0 ? 0 : 0x10) | (fdc->regs.head ? 0x08 : 0) | (st3 & ST3_WP ? 0 : 0x02));
}

static uint8_t srb_of(const struct fdc *fdc)
{
    return (uint8_t)(0xC0 | (fdc->regs.dor & 1 ? 0x20 : 0) | (fdc->regs.dor >> 4 & 3));
}

static const struct floppy_format *format_for(uint64_t bytes)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++)
        if (bytes <= (uint64_t)formats[i].kib * 1024)
            return &formats[i];
    return &formats[ARRAY_LEN(formats) - 1];
}

/* ---- interrupt and timers ---- */

static void fdc_update_irq(struct fdc *fdc)
{
    irq_set(&fdc->irq, fdc->regs.irq && (fdc->regs.dor & DOR_DMAEN));
}

void fdc_set_irq(struct fdc *fdc, uint8_t level)
{
    fdc->regs.irq = level;
    fdc_update_irq(fdc);
}

/* Does the end of a seek wait for SENSE INTERRUPT? It holds INT; the reset's four reports do so only once. */
static bool seek_reported(const struct fdc *fdc)
{
    for (unsigned unit = 0; unit < 4; unit++)
        if ((fdc->regs.int_pending & BIT(unit)) && (fdc->regs.int_st0[unit] & ST0_POLLING) != ST0_POLLING)
            return true;
    return false;
}

void fdc_arm(struct timer *t, int64_t *deadline, int64_t delay)
{
    *deadline = clock_now(t->clock) + delay;
    timer_arm(t, *deadline);
}

/* ---- result phase ---- */

static void enter_command_phase(struct fdc *fdc)
{
    fdc->regs.phase = PHASE_COMMAND;
    fdc->regs.wait = WAIT_NONE;
    fdc->regs.command_pos = 0;
}

static void enter_result_phase(struct fdc *fdc, unsigned len, bool irq)
{
    fdc->regs.phase = PHASE_RESULT;
    fdc->regs.wait = WAIT_NONE;
    fdc->regs.result_len = (uint8_t)len;
    fdc->regs.result_pos = 0;
    if (irq)
        fdc_set_irq(fdc, 1);
}

void fdc_finish(struct fdc *fdc, uint8_t st0, uint8_t st1, uint8_t st2)
{
    struct fdc_regs *r = &fdc->regs;
    const uint8_t result[RESULT_LEN] = {
        (uint8_t)(st0 | (r->head ? ST0_HEAD : 0) | fdc_unit(fdc)), st1, st2, r->c, r->h, r->r, r->n,
    };

    memcpy(r->result, result, sizeof(result));
    enter_result_phase(fdc, RESULT_LEN, true);
}

static void result_1(struct fdc *fdc, uint8_t value)
{
    fdc->regs.result[0] = value;
    enter_result_phase(fdc, 1, false);
}

/* ---- seeks ---- */

void fdc_move_heads(struct fdc *fdc, unsigned unit, uint8_t track)
{
    fdc->regs.pcn[unit] = track;
    if (unit >= NUM_DRIVES || !fdc->floppy[unit].present)
        return;
    fdc->regs.track[unit] = track;
    if (fdc->floppy[unit].block)
        fdc->regs.changed[unit] = 0;
}

static void seek_over(struct fdc *fdc, unsigned unit)
{
    struct fdc_regs *r = &fdc->regs;
    bool there = unit < NUM_DRIVES && fdc->floppy[unit].present;

    fdc_move_heads(fdc, unit, r->target[unit]);
    r->int_st0[unit] = (uint8_t)(ST0_SEEK_END | unit);
    if (!there && r->target[unit] == 0) /* no TRACK 0 signal after all step pulses */
        r->int_st0[unit] |= ST0_ABNORMAL | ST0_EQUIPMENT_CHECK;
    r->int_pending |= (uint8_t)BIT(unit);
}

static void seek_fire(void *opaque)
{
    struct fdc *fdc = opaque;
    struct fdc_regs *r = &fdc->regs;

    r->seek_deadline = -1;
    for (unsigned unit = 0; unit < 4; unit++) {
        if (r->resetting && !(r->config & CONFIG_POLL)) {
            r->int_st0[unit] = (uint8_t)(ST0_POLLING | unit);
            r->int_pending |= (uint8_t)BIT(unit);
        } else if (r->seeking & BIT(unit)) {
            seek_over(fdc, unit);
        }
    }
    r->seeking = 0;
    r->resetting = 0;
    if (r->int_pending)
        fdc_set_irq(fdc, 1);
}

static void start_seek(struct fdc *fdc, uint8_t target)
{
    unsigned unit = fdc_unit(fdc);

    fdc->regs.target[unit] = target;
    fdc->regs.seeking |= (uint8_t)BIT(unit);
    fdc_arm(&fdc->seek_timer, &fdc->regs.seek_deadline, SEEK_NS);
    enter_command_phase(fdc);
}

static void cmd_recalibrate(struct fdc *fdc)
{
    start_seek(fdc, 0);
}

static void cmd_seek(struct fdc *fdc)
{
    start_seek(fdc, fdc->regs.command[2]);
}

/* Bit 6 of the command: towards higher cylinders. */
static void cmd_relative_seek(struct fdc *fdc)
{
    int at = fdc->regs.pcn[fdc_unit(fdc)], by = fdc->regs.command[2];
    int target = fdc->regs.command[0] & 0x40 ? at + by : at - by;

    start_seek(fdc, (uint8_t)MAX_OF(0, MIN_OF(target, 255)));
}

/* ---- status and configuration commands ---- */

static void cmd_invalid(struct fdc *fdc)
{
    log_guest(fdc->env->log, "fdc: invalid command 0x%02x\n", fdc->regs.command[0]);
    result_1(fdc, ST0_INVALID);
}

static void cmd_sense_interrupt(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    for (unsigned unit = 0; unit < 4; unit++) {
        if (!(r->int_pending & BIT(unit)))
            continue;
        r->int_pending &= (uint8_t)~BIT(unit);
        fdc_set_irq(fdc, seek_reported(fdc));
        r->result[0] = r->int_st0[unit];
        r->result[1] = r->pcn[unit];
        enter_result_phase(fdc, 2, false);
        return;
    }
    result_1(fdc, ST0_INVALID);
}

static void cmd_sense_drive(struct fdc *fdc)
{
    result_1(fdc, st3_of(fdc, fdc_unit(fdc), fdc->regs.command[1] & 4));
}

static void cmd_specify(struct fdc *fdc)
{
    memcpy(fdc->regs.specify, &fdc->regs.command[1], 2);
    enter_command_phase(fdc);
}

static void cmd_configure(struct fdc *fdc)
{
    fdc->regs.config = fdc->regs.command[2] & 0x7F;
    fdc->regs.pretrk = fdc->regs.command[3];
    enter_command_phase(fdc);
}

static void cmd_dumpreg(struct fdc *fdc)
{
    struct fdc_regs *r = &fdc->regs;

    memcpy(r->result, r->pcn, 4);
    memcpy(r->result + 4, r->specify, 2);
    r->result[6] = r->last_eot;
    r->result[7] = (uint8_t)(r->lock << 7 | (r->perpendicular & 0x3F));
    r->result[8] = r->config;
    r->result[9] = r->pretrk;
    enter_result_phase(fdc, MAX_RESULTS, false);
}

static void cmd_version(struct fdc *fdc)
{
    result_1(fdc, VERSION_82077);
}

/* OW (bit 7) lets D0-D3 be written as well as GAP and WGATE. */
static void cmd_perpendicular(struct fdc *fdc)
{
    uint8_t mask = fdc->regs.command[1] & 0x80 ? 0x3F : 0x03;

    fdc->regs.perpendicular = (uint8_t)((fdc->regs.perpendicular & ~mask) | (fdc->regs.command[1] & mask));
    enter_command_phase(fdc);
}

static void cmd_lock(struct fdc *fdc)
{
    fdc->regs.lock = fdc->regs.command[0] >> 7;
    result_1(fdc, (uint8_t)(fdc->regs.lock << 4));
}

/* Data sheet chapter 5. The last row matches everything. */
static const struct fdc_command commands[] = {
    { 0x1F, 0x06, 9, fdc_exec_transfer, EXEC_READ },
    { 0x3F, 0x05, 9, fdc_exec_transfer, EXEC_WRITE },
    { 0x9F, 0x02, 9, fdc_exec_transfer, EXEC_TRACK },
    { 0x1F, 0x16, 9, fdc_exec_transfer, EXEC_VERIFY },
    { 0xBF, 0x0D, 6, fdc_exec_format, EXEC_FORMAT },
    { 0xBF, 0x0A, 2, fdc_exec_read_id, EXEC_READ },
    { 0xFF, 0x07, 2, cmd_recalibrate, 0 },
    { 0xFF, 0x08, 1, cmd_sense_interrupt, 0 },
    { 0xFF, 0x03, 3, cmd_specify, 0 },
    { 0xFF, 0x04, 2, cmd_sense_drive, 0 },
    { 0xFF, 0x0F, 3, cmd_seek, 0 },
    { 0xBF, 0x8F, 3, cmd_relative_seek, 0 },
    { 0xFF, 0x13, 4, cmd_configure, 0 },
    { 0xFF, 0x0E, 1, cmd_dumpreg, 0 },
    { 0xFF, 0x10, 1, cmd_version, 0 },
    { 0xFF, 0x12, 2, cmd_perpendicular, 0 },
    { 0x7F, 0x14, 1, cmd_lock, 0 },
    { 0x00, 0x00, 1, cmd_invalid, 0 },
};

const struct fdc_command *fdc_command_of(const struct fdc *fdc)
{
    const struct fdc_command *c = commands;

    while ((fdc->regs.command[0] & c->mask) != c->code)
        c++;
    return c;
}

/* ---- resets ---- */

static void load_timers(struct fdc *fdc)
{
    timer_cancel(&fdc->timer);
    timer_cancel(&fdc->seek_timer);
    if (fdc->regs.deadline >= 0)
        timer_arm(&fdc->timer, fdc->regs.deadline);
    if (fdc->regs.seek_deadline >= 0)
        timer_arm(&fdc->seek_timer, fdc->regs.seek_deadline);
}

/* By DOR or DSR: what LOCK protects survives, and the drives keep their places. */
static void software_reset(struct fdc *fdc)
{
    struct fdc_regs old = fdc->regs;
    struct fdc_regs *r = &fdc->regs;

    fdc_exec_abort(fdc);
    *r = fdc_power_on;
    r->dor = old.dor;
    r->tdr = old.tdr;
    r->dsr = old.dsr;
    r->rate = old.rate;
    r->lock = old.lock;
    memcpy(r->specify, old.specify, sizeof(r->specify));
    memcpy(r->track, old.track, sizeof(r->track));
    memcpy(r->changed, old.changed, sizeof(r->changed));
    r->perpendicular = old.perpendicular & 0x3C;
    if (old.lock) {
        r->config = old.config & (CONFIG_EFIFO | 0x0F);
        r->pretrk = old.pretrk;
    }
    load_timers(fdc);
    fdc_update_irq(fdc);
}

/* The controller leaves reset: it polls the drives and reports that they have become ready. */
static void reset_released(struct fdc *fdc)
{
    fdc->regs.resetting = 1;
    fdc_arm(&fdc->seek_timer, &fdc->regs.seek_deadline, RESET_NS);
}

static void dor_write(struct fdc *fdc, uint8_t value)
{
    uint8_t old = fdc->regs.dor;

    fdc->regs.dor = value;
    if (!(value & DOR_NRESET) && (old & DOR_NRESET))
        software_reset(fdc);
    else if ((value & DOR_NRESET) && !(old & DOR_NRESET))
        reset_released(fdc);
    fdc_update_irq(fdc);
}

static void dsr_write(struct fdc *fdc, uint8_t value)
{
    fdc->regs.dsr = value & 0x7F;
    fdc->regs.rate = value & 3;
    if ((value & DSR_SW_RESET) && (fdc->regs.dor & DOR_NRESET)) {
        software_reset(fdc);
        reset_released(fdc);
    }
}

/* ---- FIFO ---- */

static uint8_t result_read(struct fdc *fdc)
{
    uint8_t value = fdc->regs.result[fdc->regs.result_pos++];

    if (fdc->regs.result_pos == 1 && !seek_reported(fdc))
        fdc_set_irq(fdc, 0);
    if (fdc->regs.result_pos == fdc->regs.result_len)
        enter_command_phase(fdc);
    return value;
}

static uint8_t fifo_read(struct fdc *fdc)
{
    if (fdc->regs.phase == PHASE_RESULT)
        return result_read(fdc);
    if (fdc->regs.wait == WAIT_HOST_READ)
        return fdc_exec_data_read(fdc);
    log_guest(fdc->env->log, "fdc: FIFO read without data\n");
    return 0;
}

static void fifo_write(struct fdc *fdc, uint8_t value)
{
    struct fdc_regs *r = &fdc->regs;

    if (!(r->dor & DOR_NRESET))
        return;
    if (r->wait == WAIT_HOST_WRITE) {
        fdc_exec_data_write(fdc, value);
        return;
    }
    if (r->phase != PHASE_COMMAND) {
        log_guest(fdc->env->log, "fdc: FIFO write outside the command phase\n");
        return;
    }
    if (r->command_pos == 0) {
        memset(r->command, 0, sizeof(r->command));
        r->command[0] = value;
        r->command_len = fdc_command_of(fdc)->len;
    }
    r->command[r->command_pos++] = value;
    if (r->command_pos == r->command_len)
        fdc_command_of(fdc)->run(fdc);
}

/* ---- ports ---- */

static uint64_t fdc_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fdc *fdc = opaque;

    (void)size;
    switch (offset) {
    case SRA:
        return sra_of(fdc);
    case SRB:
        return srb_of(fdc);
    case DOR:
        return fdc->regs.dor;
    case TDR:
        return fdc->regs.tdr;
    case MSR:
        return msr_of(fdc);
    default:
        return fifo_read(fdc);
    }
}

static void fdc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fdc *fdc = opaque;

    (void)size;
    switch (offset) {
    case DOR:
        dor_write(fdc, (uint8_t)value);
        break;
    case TDR:
        fdc->regs.tdr = value & 3;
        break;
    case DSR:
        dsr_write(fdc, (uint8_t)value);
        break;
    case FIFO:
        fifo_write(fdc, (uint8_t)value);
        break;
    }
}

static uint64_t dir_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return dir_of(opaque);
}

static void ccr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fdc *fdc = opaque;

    (void)offset;
    (void)size;
    fdc->regs.rate = value & 3;
}

static const struct mem_ops fdc_ops = { fdc_read, fdc_write, { 1, 4, false }, { 1, 1, false } };
static const struct mem_ops dir_ops = { dir_read, ccr_write, { 1, 1, false }, { 1, 1, false } };

/* ---- creation ---- */

static void fdc_reset(void *opaque)
{
    struct fdc *fdc = opaque;

    fdc_exec_abort(fdc);
    fdc->regs = fdc_power_on;
    load_timers(fdc);
    fdc_update_irq(fdc);
}

static void fdc_loaded(void *opaque)
{
    struct fdc *fdc = opaque;

    load_timers(fdc);
    fdc_update_irq(fdc);
}

struct fdc *fdc_new(struct hw_env *env, struct irq_line irq, struct fdc_dma dma)
{
    struct fdc *fdc = calloc(1, sizeof(*fdc));

    if (!fdc)
        return NULL;
    fdc->env = env;
    fdc->irq = irq;
    fdc->dma = dma;
    fdc->regs = fdc_power_on;
    timer_init(&fdc->timer, env->clock, fdc_exec_timer, fdc);
    timer_init(&fdc->seek_timer, env->clock, seek_fire, fdc);
    fdc->ports = mem_io_new("fdc", PORT_IDE, &fdc_ops, fdc);
    fdc->dir = mem_io_new("fdc-dir", 1, &dir_ops, fdc);
    mem_region_add(env->io_root, 0x3F0, fdc->ports, 0);
    mem_region_add(env->io_root, 0x3F0 + DIR, fdc->dir, 0);
    fdc->dev = (struct device){ .name = "fdc", .reset = fdc_reset, .state = &fdc_state_table,
                                .regs = &fdc->regs, .loaded = fdc_loaded, .opaque = fdc };
    device_register(env, &fdc->dev);
    return fdc;
}

void fdc_free(struct fdc *fdc)
{
    if (!fdc)
        return;
    timer_cancel(&fdc->timer);
    timer_cancel(&fdc->seek_timer);
    if (fdc->request && fdc->request->busy)
        disk_request_destroy(fdc->request, fdc_drive(fdc)->block);
    else
        disk_request_drop(fdc->request);
    mem_region_remove(fdc->ports);
    mem_region_remove(fdc->dir);
    mem_region_free(fdc->ports);
    mem_region_free(fdc->dir);
    free(fdc);
}

void fdc_attach(struct fdc *fdc, int n, struct block *block)
{
    struct floppy *d = &fdc->floppy[n];

    assert(n >= 0 && n < NUM_DRIVES && !d->present);
    d->present = true;
    d->block = block;
    d->format = block ? format_for(block_size(block)) : NULL;
    d->type = block ? d->format->type : TYPE_144;
}

void fdc_set_media(struct fdc *fdc, int n, struct block *block)
{
    struct floppy *d = &fdc->floppy[n];

    assert(n >= 0 && n < NUM_DRIVES && d->present);
    if (fdc->regs.phase == PHASE_EXECUTION && fdc_drive(fdc) == d) {
        fdc_exec_abort(fdc);
        timer_cancel(&fdc->timer);
        fdc->regs.deadline = -1;
        fdc_finish(fdc, ST0_ABNORMAL | ST0_NOT_READY, ST1_MA, 0);
    }
    d->block = block;
    d->format = block ? format_for(block_size(block)) : NULL;
    fdc->regs.changed[n] = 1;
}

int fdc_drive_type(const struct fdc *fdc, int n)
{
    return fdc->floppy[n].present ? fdc->floppy[n].type : 0;
}
