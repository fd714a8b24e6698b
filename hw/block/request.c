/* A disk request that its device may abandon. */
#include "hw/block/request.h"

#include <assert.h>
#include <stdlib.h>

struct disk_request *disk_request_new(size_t size)
{
    struct disk_request *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->data = calloc(1, size);
    if (!r->data) {
        free(r);
        return NULL;
    }
    return r;
}

static void disk_request_free(struct disk_request *r)
{
    free(r->data);
    free(r);
}

static void disk_request_done(void *opaque, int ret)
{
    struct disk_request *r = opaque;

    r->busy = false;
    if (r->owner)
        r->done(r->owner, ret);
    else
        disk_request_free(r);
}

void disk_request_submit(struct disk_request *r, struct block *b, enum block_op op, uint64_t offset,
                         size_t len, void (*done)(void *owner, int ret), void *owner)
{
    assert(!r->busy && owner);
    r->busy = true;
    r->done = done;
    r->owner = owner;
    r->req = (struct block_req){ .op = op, .offset = offset, .buf = r->data, .len = len,
                                 .done = disk_request_done, .opaque = r };
    block_submit(b, &r->req);
}

void disk_request_drop(struct disk_request *r)
{
    if (!r)
        return;
    r->owner = NULL;
    if (!r->busy)
        disk_request_free(r);
}

void disk_request_destroy(struct disk_request *r, struct block *b)
{
    if (!r)
        return;
    if (r->busy)
        block_cancel(b, r);
    disk_request_free(r);
}
