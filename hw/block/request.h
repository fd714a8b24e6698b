/* A disk request that its device may abandon: a guest can reset a controller while the image is being read,
 * and the buffer has to outlive that. One request at a time; the buffer belongs to the request. */
#ifndef MIMUS_HW_BLOCK_REQUEST_H
#define MIMUS_HW_BLOCK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/block.h"

struct disk_request {
    struct block_req req;
    void (*done)(void *owner, int ret);
    void *owner; /* NULL: nobody waits any more */
    bool busy;   /* with the block layer */
    uint8_t *data;
};

/* With a buffer of `size` bytes; NULL when out of memory. */
struct disk_request *disk_request_new(size_t size);
/* Submit; `done(owner, ret)` follows from the event loop with ret 0 or -errno, unless dropped before. */
void disk_request_submit(struct disk_request *r, struct block *b, enum block_op op, uint64_t offset,
                         size_t len, void (*done)(void *owner, int ret), void *owner);
/* Give the request up: freed now, or when the block layer is through with it. NULL is fine. */
void disk_request_drop(struct disk_request *r);
/* As drop, for a device that goes away: waits for the block layer. `b` is what the request
 * was submitted to. */
void disk_request_destroy(struct disk_request *r, struct block *b);

#endif
