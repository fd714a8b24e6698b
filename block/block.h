/* Disk images: the one header that devices see. Machine lock held on all calls. */
#ifndef MIMUS_BLOCK_BLOCK_H
#define MIMUS_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block;
struct loop;
struct error;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

/* One request. The struct and the buffer are the caller's and stay untouched
 * by it until `done`, which runs on the main thread or in block_drain(), with the machine lock held,
 * never from inside block_submit(). */
struct block_req {
    enum block_op op;
    uint64_t offset; /* bytes; within the image, else -EIO */
    void *buf;
    size_t len;      /* bytes */
    void (*done)(void *opaque, int ret); /* 0 or -errno */
    void *opaque;
    struct block_req *next; /* block layer's own */
    int ret;                /* block layer's own */
};

struct block_options {
    const char *file;
    const char *format; /* "raw", or NULL: raw */
    bool read_only;     /* refuse writes; the file is opened read-only */
    bool snapshot;      /* writes go to a temporary overlay and are lost at close */
};

/* Open an image. The file is checked (regular file or block device, readable,
 * writable when it must be). NULL with `err` naming the file on failure.
 * Without a `loop`, requests are finished by block_drain() alone. */
struct block *block_open(const struct block_options *opt, struct loop *loop, struct error *err);
/* Finish what was submitted, flush, close. No callback runs any more. */
void block_close(struct block *b);
uint64_t block_size(struct block *b);      /* bytes; a tail shorter than a sector reads as zeros */
bool block_read_only(struct block *b);
const char *block_name(struct block *b);   /* the file's name, for messages */
void block_submit(struct block *b, struct block_req *req);
/* Forget the requests' callbacks that belong to `opaque` (device reset): data
 * already submitted still goes through. Waits for the transfers of these
 * requests, so that requests and buffers are the caller's again at return. */
void block_cancel(struct block *b, void *opaque);
/* Wait until nothing is in flight, and run the callbacks: at reset and at exit; without a loop also at
 * points of the machine's choice. */
void block_drain(struct block *b);
/* Synchronous access for start-up code only (kernel probing, tests). 0 or -errno. */
int block_pread(struct block *b, uint64_t offset, void *buf, size_t len);

#endif
