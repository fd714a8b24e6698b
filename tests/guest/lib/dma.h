/* Copies that a device makes: the fw_cfg device's DMA out of the item that holds this program as it was loaded. One
 * processor at a time. */
#ifndef GUEST_DMA_H
#define GUEST_DMA_H

#include "guest.h"

enum { DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, FW_KERNEL_ADDR = 7, FW_KERNEL_DATA = 0x11 };

/* What the device reads: big-endian. It writes `control` when it is done: 0, or 1 for an error. */
struct dma {
    u32 control, length, upper, address;
};

static inline u32 big_endian(u32 v) { return __builtin_bswap32(v); }

static inline u32 dma_do(u32 control, u32 to, u32 length)
{
    static volatile struct dma d;

    d.length = big_endian(length);
    d.address = big_endian(to);
    d.control = big_endian(control);
    outl(0x518, big_endian((u32)&d));
    return d.control;
}

/* The next transfers give the bytes of constant data from here on. */
static inline void dma_from(const void *data)
{
    u32 loaded = 0;

    outw(0x510, FW_KERNEL_ADDR);
    for (u32 i = 0; i < 4; i++)
        loaded |= (u32)inb(0x511) << (8 * i);
    dma_do(FW_KERNEL_DATA << 16 | DMA_SELECT | DMA_SKIP, 0, (u32)data - loaded);
}

/* `length` of them to physical address `to`. */
static inline bool dma_to(u32 to, u32 length) { return !dma_do(DMA_READ, to, length); }

static inline bool dma_copy(u32 to, const void *data, u32 length)
{
    dma_from(data);
    return dma_to(to, length);
}

#endif
