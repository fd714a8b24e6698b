/* What the files of block/ share. Called on a device's worker thread, one call at a time. */
#ifndef MIMUS_BLOCK_INTERNAL_H
#define MIMUS_BLOCK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_SIZE 512

struct error;

/* An image in raw format: the file is the disk. */
struct raw {
    int fd;
    uint64_t size; /* bytes, whole sectors; the file may end within the last */
};

/* Returns 0, or -errno with `err` naming the file. */
int raw_open(struct raw *raw, const char *file, bool writable, struct error *err);
void raw_close(struct raw *raw);
/* All of `len` bytes; 0 or -errno. What lies behind the file's end reads as zeros. */
int raw_read(const struct raw *raw, uint64_t offset, void *buf, size_t len);
int raw_write(const struct raw *raw, uint64_t offset, const void *buf, size_t len);
int raw_flush(const struct raw *raw);

/* Writes to a temporary file in front of an image that is only read. */
struct overlay;

/* `base` is the caller's and outlives the overlay. NULL with `err` set on failure. */
struct overlay *overlay_new(const struct raw *base, struct error *err);
void overlay_free(struct overlay *o);
int overlay_read(struct overlay *o, uint64_t offset, void *buf, size_t len);
int overlay_write(struct overlay *o, uint64_t offset, const void *buf, size_t len);

#endif
