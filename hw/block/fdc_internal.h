/* What the files of the 82077AA model share: registers, state, and who calls whom. */
#ifndef MIMUS_HW_BLOCK_FDC_INTERNAL_H
#define MIMUS_HW_BLOCK_FDC_INTERNAL_H

#include "base/bits.h"
#include "hw/block/fdc.h"
#include "hw/block/request.h"

enum fdc_port { SRA, SRB, DOR, TDR, MSR, FIFO, PORT_IDE, DIR, DSR = MSR, CCR = DIR };

enum dor_bit { DOR_DRIVE = 0x03, DOR_NRESET = 0x04, DOR_DMAEN = 0x08, DOR_MOTOR = 0x10 };
enum msr_bit { MSR_CMD_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_DIO = 0x40, MSR_RQM = 0x80 };
enum { DSR_SW_RESET = 0x80, DIR_DSKCHG = 0x80 };

enum st0_bit {
    ST0_HEAD = 0x04,
    ST0_NOT_READY = 0x08,
    ST0_EQUIPMENT_CHECK = 0x10,
    ST0_SEEK_END = 0x20,
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_POLLING = 0xC0,
};
enum st1_bit { ST1_MA = 0x01, ST1_NW = 0x02, ST1_ND = 0x04, ST1_OR = 0x10, ST1_DE = 0x20, ST1_EN = 0x80 };
enum st2_bit { ST2_WC = 0x10, ST2_DD = 0x20 };
enum st3_bit { ST3_TWO_SIDE = 0x08, ST3_TRACK0 = 0x10, ST3_ONE = 0x20, ST3_WP = 0x40 };

enum { CONFIG_EIS = 0x40, CONFIG_EFIFO = 0x20, CONFIG_POLL = 0x10, SPECIFY_ND = 0x01 };
enum { CMD_MT = 0x80, VERIFY_EC = 0x80 };

enum fdc_phase { PHASE_COMMAND, PHASE_EXECUTION, PHASE_RESULT };

/* What the execution phase waits for. */
enum fdc_wait {
    WAIT_NONE,
    WAIT_SECTOR,     /* the timer: the sector comes under the head */
    WAIT_DISK,       /* the image */
    WAIT_HOST_READ,  /* non-DMA: the host takes bytes from the FIFO */
    WAIT_HOST_WRITE,
    WAIT_READ_ID,
};

enum {
    NUM_DRIVES = 2,
    SECTOR_LEN = 512,
    SECTOR_CODE = 2, /* N of 512-byte sectors */
    MAX_PARAMS = 9,
    MAX_RESULTS = 10,
    TYPE_144 = 4,
    RESULT_LEN = 7,
    VERSION_82077 = 0x90,
};

#define SECTOR_NS INT64_C(150000)
#define SEEK_NS INT64_C(1000000)
#define RESET_NS INT64_C(250000)
#define REVOLUTION_NS INT64_C(200000000)

/* A diskette format; `rates`: mask of DSR/CCR data rate codes (0: 500, 1: 300, 2: 250, 3: 1000 kb/s). */
struct floppy_format {
    uint32_t kib;
    uint8_t cylinders, heads, sectors;
    uint8_t type;
    uint8_t rates;
};

/* Guest-visible state. */
struct fdc_regs {
    int64_t deadline;      /* of the operation timer; -1: not armed */
    int64_t seek_deadline; /* of seeks and of the interrupt after reset; -1: none */
    uint16_t data_pos;     /* bytes of `data` moved by the host in non-DMA mode */
    uint16_t data_len;
    uint8_t dor, tdr, dsr, rate;
    uint8_t phase, wait;
    uint8_t irq;           /* INT, before DOR's gate */
    uint8_t command[MAX_PARAMS];
    uint8_t command_len, command_pos;
    uint8_t result[MAX_RESULTS];
    uint8_t result_len, result_pos;
    uint8_t c, h, r, n;    /* sector ID in progress */
    uint8_t head;          /* physical head in progress */
    uint8_t left;          /* sectors that READ TRACK, VERIFY with SC, FORMAT still have */
    uint8_t tc;            /* terminal count seen */
    uint8_t config, pretrk, lock, perpendicular;
    uint8_t specify[2];
    uint8_t last_eot;
    uint8_t int_pending;   /* SENSE INTERRUPT results waiting, by drive number */
    uint8_t int_st0[4];
    uint8_t pcn[4];        /* cylinder that the controller believes in */
    uint8_t target[4];     /* of seeks in progress */
    uint8_t seeking;       /* by drive number: also the busy bits of MSR */
    uint8_t resetting;     /* the reset's interrupt is to come */
    uint8_t track[NUM_DRIVES]; /* where the heads are */
    uint8_t changed[NUM_DRIVES];
    uint8_t data[SECTOR_LEN];
    uint8_t pad[5];
};

struct floppy {
    bool present;
    uint8_t type;
    struct block *block;                /* NULL: empty */
    const struct floppy_format *format; /* of the medium */
};

struct fdc {
    struct fdc_regs regs;
    struct hw_env *env;
    struct irq_line irq;
    struct fdc_dma dma;
    struct floppy floppy[NUM_DRIVES];
    struct disk_request *request;
    struct timer timer;      /* sectors */
    struct timer seek_timer; /* seeks and the interrupt after reset */
    struct mem_region *ports, *dir;
    struct device dev;
};

/* How a command's execution phase treats sectors. */
enum exec_kind { EXEC_READ, EXEC_WRITE, EXEC_VERIFY, EXEC_TRACK, EXEC_FORMAT };

struct fdc_command {
    uint8_t mask, code; /* matches when (byte & mask) == code */
    uint8_t len;        /* bytes including the command byte */
    void (*run)(struct fdc *fdc);
    uint8_t kind;
};

/* ---- fdc.c ---- */

/* The row of the command in regs.command[0]. */
const struct fdc_command *fdc_command_of(const struct fdc *fdc);
/* The drive number (0..3) that the command names, and the drive, or NULL. */
unsigned fdc_unit(const struct fdc *fdc);
struct floppy *fdc_drive(struct fdc *fdc);
bool fdc_motor_on(const struct fdc *fdc, unsigned unit);
void fdc_set_irq(struct fdc *fdc, uint8_t level);
/* Arm `t` for `delay` ns from now and note when that is. */
void fdc_arm(struct timer *t, int64_t *deadline, int64_t delay);
/* ST0-ST2 and the sector ID: the end of every data command. */
void fdc_finish(struct fdc *fdc, uint8_t st0, uint8_t st1, uint8_t st2);
/* Heads move: with a diskette in, that also resets the disk change line. */
void fdc_move_heads(struct fdc *fdc, unsigned unit, uint8_t track);
/* Does the host move the data itself? */
static inline bool fdc_non_dma(const struct fdc *fdc)
{
    return fdc->regs.specify[1] & SPECIFY_ND;
}

/* ---- fdc_exec.c ---- */

/* READ DATA, WRITE DATA, READ TRACK, VERIFY; FORMAT TRACK; READ ID: start of the execution phase. */
void fdc_exec_transfer(struct fdc *fdc);
void fdc_exec_format(struct fdc *fdc);
void fdc_exec_read_id(struct fdc *fdc);
/* The sector has come under the head. */
void fdc_exec_timer(void *opaque);
/* Non-DMA: a byte from and to the FIFO. */
uint8_t fdc_exec_data_read(struct fdc *fdc);
void fdc_exec_data_write(struct fdc *fdc, uint8_t value);
/* Forget the image's answer. */
void fdc_exec_abort(struct fdc *fdc);

#endif
