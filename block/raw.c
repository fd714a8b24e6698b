/* Raw images: regular files and block devices. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "block/internal.h"

/* Opening a FIFO by mistake must not wait for its other end; images do not care about O_NONBLOCK. */
#define RAW_FLAGS (O_CLOEXEC | O_NONBLOCK)

static int raw_open_error(const char *file, bool writable, int code, struct error *err)
{
    bool denied = code == EACCES || code == EPERM || code == EROFS || code == ETXTBSY;
    if (writable && denied) {
        int fd = open(file, O_RDONLY | RAW_FLAGS);
        if (fd >= 0) {
            close(fd);
            return error_set(err, -code, "%s: cannot be written (%s); use snapshot=on or readonly=on", file,
                             strerror(code));
        }
    }
    return error_set(err, -code, "%s: %s", file, strerror(code));
}

/* Is the open file something that can be a disk? Sets raw->size. */
static int raw_check(struct raw *raw, const char *file, struct error *err)
{
    struct stat st;
    if (fstat(raw->fd, &st) < 0)
        return error_set(err, -errno, "%s: %s", file, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(err, -EISDIR, "%s: is a directory", file);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, -EINVAL, "%s: is neither a regular file nor a block device", file);
    off_t end = lseek(raw->fd, 0, SEEK_END);
    if (end < 0)
        return error_set(err, -errno, "%s: cannot tell the size: %s", file, strerror(errno));
    if (end == 0)
        return error_set(err, -EINVAL, "%s: is empty", file);
    if (end < SECTOR_SIZE)
        return error_set(err, -EINVAL, "%s: is shorter than a sector (%" PRId64 " bytes)", file,
                         (int64_t)end);
    raw->size = align_up((uint64_t)end, SECTOR_SIZE);
    return 0;
}

int raw_open(struct raw *raw, const char *file, bool writable, struct error *err)
{
    raw->fd = open(file, (writable ? O_RDWR : O_RDONLY) | RAW_FLAGS);
    if (raw->fd < 0)
        return raw_open_error(file, writable, errno, err);
    int ret = raw_check(raw, file, err);
    if (ret)
        raw_close(raw);
    return ret;
}

void raw_close(struct raw *raw)
{
    if (raw->fd >= 0)
        close(raw->fd);
    raw->fd = -1;
}

int raw_read(const struct raw *raw, uint64_t offset, void *buf, size_t len)
{
    uint8_t *out = buf;
    while (len) {
        ssize_t n = pread(raw->fd, out, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            memset(out, 0, len);
            return 0;
        }
        out += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int raw_write(const struct raw *raw, uint64_t offset, const void *buf, size_t len)
{
    const uint8_t *in = buf;
    while (len) {
        ssize_t n = pwrite(raw->fd, in, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        in += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int raw_flush(const struct raw *raw)
{
    return fdatasync(raw->fd) < 0 ? -errno : 0;
}
