/* The snapshot overlay: a sparse temporary file of the image's size, with a
 * bit per cluster that tells whether the cluster has been copied to it. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/error.h"
#include "block/internal.h"

#define CLUSTER_SHIFT 16
#define CLUSTER_SIZE (UINT64_C(1) << CLUSTER_SHIFT)

struct overlay {
    const struct raw *base;
    struct raw top;
    uint8_t *copied; /* bitmap: the cluster is in `top` */
    uint8_t *cluster; /* one cluster, for copies */
};

/* A file without a name on disk, or, where no directory can have one, in RAM. */
static int overlay_temp_file(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("mimus-snapshot", MFD_CLOEXEC);
}

struct overlay *overlay_new(const struct raw *base, struct error *err)
{
    struct overlay *o = calloc(1, sizeof(*o));
    assert(o);
    o->base = base;
    o->top.size = base->size;
    o->top.fd = overlay_temp_file();
    o->copied = calloc(1, (base->size >> (CLUSTER_SHIFT + 3)) + 1);
    o->cluster = malloc(CLUSTER_SIZE);
    if (o->top.fd < 0 || !o->copied || !o->cluster) {
        error_set(err, -errno, "cannot make a temporary file for snapshot=on: %s", strerror(errno));
        overlay_free(o);
        return NULL;
    }
    return o;
}

void overlay_free(struct overlay *o)
{
    if (!o)
        return;
    raw_close(&o->top);
    free(o->copied);
    free(o->cluster);
    free(o);
}

static bool cluster_copied(const struct overlay *o, uint64_t cluster)
{
    return o->copied[cluster / 8] >> (cluster % 8) & 1;
}

/* Bytes from `offset`, at most `len`, to the end of its cluster. */
static size_t cluster_rest(uint64_t offset, size_t len)
{
    uint64_t rest = CLUSTER_SIZE - (offset & (CLUSTER_SIZE - 1));
    return MIN_OF(len, rest);
}

int overlay_read(struct overlay *o, uint64_t offset, void *buf, size_t len)
{
    uint8_t *out = buf;
    while (len) {
        bool copied = cluster_copied(o, offset >> CLUSTER_SHIFT);
        size_t run = cluster_rest(offset, len);
        while (run < len && cluster_copied(o, (offset + run) >> CLUSTER_SHIFT) == copied)
            run += cluster_rest(offset + run, len - run);
        int ret = raw_read(copied ? &o->top : o->base, offset, out, run);
        if (ret)
            return ret;
        out += run;
        offset += run;
        len -= run;
    }
    return 0;
}

/* Write within one cluster that is not in `top` yet. */
static int overlay_copy(struct overlay *o, uint64_t offset, const void *buf, size_t len)
{
    uint64_t start = align_down(offset, CLUSTER_SIZE);
    size_t whole = MIN_OF(CLUSTER_SIZE, o->base->size - start);
    int ret = 0;
    if (len < whole)
        ret = raw_read(o->base, start, o->cluster, whole);
    if (ret)
        return ret;
    memcpy(o->cluster + (offset - start), buf, len);
    ret = raw_write(&o->top, start, o->cluster, whole);
    if (!ret)
        o->copied[(start >> CLUSTER_SHIFT) / 8] |= (uint8_t)(1 << (start >> CLUSTER_SHIFT) % 8);
    return ret;
}

int overlay_write(struct overlay *o, uint64_t offset, const void *buf, size_t len)
{
    const uint8_t *in = buf;
    for (size_t n; len; in += n, offset += n, len -= n) {
        n = cluster_rest(offset, len);
        int ret = cluster_copied(o, offset >> CLUSTER_SHIFT) ? raw_write(&o->top, offset, in, n)
                                                             : overlay_copy(o, offset, in, n);
        if (ret)
            return ret;
    }
    return 0;
}
