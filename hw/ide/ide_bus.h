/* What the files of hw/ide share: one ATA channel with two devices (ATA/ATAPI-6, T13 1410D). Devices on the
 * board see hw/ide/piix_ide.h only. */
#ifndef MIMUS_HW_IDE_IDE_BUS_H
#define MIMUS_HW_IDE_IDE_BUS_H

#include "block/block.h"
#include "hw/block/request.h"
#include "hw/device.h"

enum {
    ATA_SECTOR = 512,
    CD_SECTOR = 2048,
    IDE_BUF_SIZE = 128 * 1024, /* data between host and image moves in pieces of at most this */
};

enum ide_status_bit {
    IDE_ERR = 0x01, /* CHK for packet devices */
    IDE_DRQ = 0x08,
    IDE_DSC = 0x10,
    IDE_DF = 0x20,
    IDE_DRDY = 0x40,
    IDE_BSY = 0x80,
};

enum ide_error_bit {
    IDE_ABRT = 0x04,
    IDE_IDNF = 0x10,
    IDE_UNC = 0x40,
};

enum ide_device_bit {
    IDE_DEVICE_DEV = 0x10,
    IDE_DEVICE_LBA = 0x40,
    IDE_DEVICE_OBS = 0xA0, /* obsolete, read as written */
};

enum ide_control_bit { IDE_NIEN = 0x02, IDE_SRST = 0x04, IDE_HOB = 0x80 };

/* Interrupt reason of a packet device, in the sector count register. */
enum ide_reason_bit { IDE_CD = 0x01, IDE_IO = 0x02 };

/* Command block registers by offset. */
enum ide_port {
    IDE_DATA,
    IDE_ERROR, /* write: features */
    IDE_NSECTOR,
    IDE_LBA_LOW,
    IDE_LBA_MID,
    IDE_LBA_HIGH,
    IDE_DEVICE,
    IDE_STATUS, /* write: command */
    IDE_NUM_PORTS,
};

enum ide_phase {
    IDE_IDLE,
    IDE_BUSY,    /* the image is at work */
    IDE_PIO_IN,  /* to the host, through the data register */
    IDE_PIO_OUT,
    IDE_DMA_IN,  /* to the host, when the bus master runs */
    IDE_DMA_OUT,
};

/* Guest-visible state of one device. */
struct ide_drive_regs {
    uint64_t lba;       /* next sector (of the device's own size) of the command in progress */
    uint32_t left;      /* sectors not yet moved from or to the image */
    uint32_t chunk;     /* sectors in `buf` */
    uint32_t buf_pos;   /* bytes of `buf` that have gone over */
    uint32_t buf_len;
    uint32_t burst_end; /* where this DRQ block ends in `buf` */
    uint32_t burst;     /* bytes of a DRQ block */
    uint16_t cylinders; /* current translation */
    uint8_t heads, sectors;
    uint8_t status, error, device;
    uint8_t file[8], hob[8]; /* as written by the host, by port; hob: the writes before */
    uint8_t command;
    uint8_t phase;
    uint8_t intrq;
    uint8_t dma;        /* this command's data goes by DMA */
    uint8_t multiple;   /* sectors per DRQ block of READ and WRITE MULTIPLE; 0: not set */
    uint8_t write_cache;
    uint8_t mwdma, udma;/* selected modes, as bits; 0: none */
    uint8_t packet[12];
    uint8_t sense_key, asc, ascq;
    uint8_t unit_attention; /* the medium has changed */
    uint8_t media_event;    /* event code not yet reported */
    uint8_t tray_open, locked;
    uint8_t raw;        /* READ CD: 2352-byte sectors */
    uint8_t verify;     /* read, but transfer nothing */
    uint8_t pad[4];
    uint8_t buf[IDE_BUF_SIZE];
};

struct ide_drive;

/* A kind of device: ATA disk or ATAPI CD. */
struct ide_kind {
    void (*reset)(struct ide_drive *d);                  /* registers after power-on; regs are zero before */
    void (*signature)(struct ide_drive *d);              /* after SRST, diagnostics, DEVICE RESET */
    void (*command)(struct ide_drive *d, uint8_t command);
    void (*burst)(struct ide_drive *d, uint32_t len);    /* a DRQ block of `len` bytes comes; or NULL */
    void (*data_done)(struct ide_drive *d);              /* all of buf_len bytes have gone over */
    bool device_reset;                                   /* knows DEVICE RESET, which works while busy */
};

struct ide_channel;

struct ide_drive {
    const struct ide_kind *kind; /* NULL: not there */
    struct ide_channel *channel;
    struct block *block;         /* medium; NULL: none. Not owned */
    struct disk_request *request;
    struct ide_drive_regs regs;
    uint64_t capacity;           /* sectors of the medium */
    uint16_t phys_cylinders;     /* default translation */
    char serial[21];
    char name[24];
    struct device dev;
};

/* The bus master: moves up to `len` bytes of the channel's transfer between `buf` and memory. Returns bytes
 * moved; fewer when it is stopped or its table ends. */
struct ide_dma {
    size_t (*transfer)(void *opaque, int channel, void *buf, size_t len, bool to_memory);
    void *opaque;
};

struct ide_channel_regs {
    uint8_t control;  /* device control register */
    uint8_t selected; /* device 0 or 1 */
};

struct ide_channel {
    struct ide_channel_regs regs;
    struct ide_drive drive[2];
    struct hw_env *env;
    struct irq_line irq;
    struct ide_dma dma;
    int n;
    struct device dev;
};

extern const struct state_table ide_drive_state_table;
extern const struct state_table ide_channel_state_table;
extern const struct ide_kind ide_ata;
extern const struct ide_kind ide_atapi;

/* Channel n (0, 1). Ports are driven through the four functions below. */
void ide_channel_init(struct ide_channel *ch, struct hw_env *env, int n, struct irq_line irq,
                      struct ide_dma dma);
void ide_channel_destroy(struct ide_channel *ch);
uint64_t ide_command_read(struct ide_channel *ch, uint64_t port, unsigned size);
void ide_command_write(struct ide_channel *ch, uint64_t port, uint64_t value, unsigned size);
uint8_t ide_control_read(struct ide_channel *ch);
void ide_control_write(struct ide_channel *ch, uint8_t value);
/* The bus master has been started. */
void ide_channel_dma_started(struct ide_channel *ch);
/* Plug in a device. */
void ide_drive_attach(struct ide_channel *ch, int unit, const struct ide_kind *kind, struct block *block,
                      const char *serial);

/* ---- for the kinds of device ---- */

/* Set INTRQ. */
void ide_raise(struct ide_drive *d);
/* End of command: status, no data phase; interrupt if `irq`. */
void ide_finish(struct ide_drive *d, uint8_t status, bool irq);
/* buf[0, len) goes to (comes from) the host, by DMA if regs.dma, else in DRQ blocks of at most `burst` bytes.
 * An interrupt precedes the first block if `irq`. */
void ide_data_in(struct ide_drive *d, uint32_t len, uint32_t burst, bool irq);
void ide_data_out(struct ide_drive *d, uint32_t len, uint32_t burst, bool irq);
/* Ask the image; BSY until `done`. A write takes its data from regs.buf, a read leaves it in
 * request->data. */
void ide_submit(struct ide_drive *d, enum block_op op, uint64_t offset, size_t len,
                void (*done)(void *drive, int ret));
/* Forget a command in progress. */
void ide_abort(struct ide_drive *d);
/* Put `text` into an IDENTIFY string of `words` words: bytes swapped, padded with blanks. */
void ide_put_string(uint8_t *word, unsigned words, const char *text);
/* IDENTIFY words 62..88 that say which DMA modes there are and which is selected. */
void ide_put_dma_modes(struct ide_drive *d, uint8_t *identify);
/* SET FEATURES, transfer mode; false if it is not one of ours. */
bool ide_set_transfer_mode(struct ide_drive *d, uint8_t mode);

#endif
