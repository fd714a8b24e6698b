/* The floppy disk controller of the PC with two drives. */
#ifndef MIMUS_HW_BLOCK_FDC_H
#define MIMUS_HW_BLOCK_FDC_H

#include "block/block.h"
#include "hw/device.h"

struct fdc;
extern const struct state_table fdc_state_table;

/* The controller's DMA channel. Both move up to `len` bytes, return how many, and set `*tc` when the
 * channel's terminal count has been reached; less than `len` without `*tc` means that the channel does not
 * serve. */
struct fdc_dma {
    size_t (*read_memory)(void *opaque, void *buf, size_t len, bool *tc);        /* memory to disk */
    size_t (*write_memory)(void *opaque, const void *buf, size_t len, bool *tc); /* disk to memory */
    void *opaque;
};

/* At ports 0x3F0-0x3F5 and 0x3F7; `irq` is ISA interrupt 6. No drive is there yet. */
struct fdc *fdc_new(struct hw_env *env, struct irq_line irq, struct fdc_dma dma);
/* To be called while the images are still open. */
void fdc_free(struct fdc *fdc);
/* Connect drive n (0, 1); its type follows from the size of the image `block` (NULL: empty,
 * 1.44 MB drive). */
void fdc_attach(struct fdc *fdc, int n, struct block *block);
/* Change the diskette; NULL takes it out. Images are not owned. */
void fdc_set_media(struct fdc *fdc, int n, struct block *block);
/* CMOS type of drive n for byte 0x10: 0 none, 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M. */
int fdc_drive_type(const struct fdc *fdc, int n);

#endif
