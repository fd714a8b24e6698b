/* Finds and loads firmware images. Option ROM headers: Plug and Play BIOS Specification 1.0A, section 3. */
#include "roms/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "base/bits.h"
#include "base/error.h"

enum { BLOCK = 512, MAX_BLOCKS = 255, ROM_BLOCKS = 2, ROM_PNP = 0x1A, PNP_SIZE = 32, PNP_CHECKSUM = 9 };

/* All `len` bytes; a file that has become shorter is an error. */
static int read_all(int fd, uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, data + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

static int check_kind(const struct stat *st, size_t max)
{
    if (S_ISDIR(st->st_mode))
        return -EISDIR;
    if (!S_ISREG(st->st_mode))
        return -EINVAL;
    return (uint64_t)st->st_size > max ? -EFBIG : 0;
}

int firmware_read(const char *what, const char *path, size_t max, uint8_t **data, size_t *len,
                  struct error *err)
{
    struct stat st;
    uint8_t *buf = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;

    if (fd < 0)
        return error_set(err, -errno, "%s: cannot open '%s': %s", what, path, strerror(errno));
    ret = fstat(fd, &st) < 0 ? -errno : check_kind(&st, max);
    if (!ret) {
        buf = malloc((size_t)st.st_size + 1);
        ret = buf ? read_all(fd, buf, (size_t)st.st_size) : -ENOMEM;
    }
    close(fd);
    if (ret) {
        free(buf);
        if (ret == -EFBIG)
            return error_set(err, ret, "%s: '%s' is too large: %lld bytes, at most %zu fit", what, path,
                             (long long)st.st_size, max);
        return error_set(err, ret, "%s: cannot read '%s': %s", what, path,
                         ret == -EINVAL ? "not a regular file" : strerror(-ret));
    }
    *data = buf;
    *len = (size_t)st.st_size;
    return 0;
}

/* The executable's directory with `suffix`; false when it cannot be known. */
static bool beside_executable(char *out, size_t size, const char *suffix)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n <= 0)
        return false;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return snprintf(out, size, "%s/%s", exe, suffix) < (int)size;
}

/* Directory number `i` of the search, "" where the host has none; false after the last. */
static bool search_dir(const struct firmware_search *s, unsigned i, char *out, size_t size)
{
    static const char *const system_dirs[] = { "/usr/share/seabios", "/usr/share/qemu" };
    static const char *const near_dirs[] = { "roms", "../roms" };
    const char *dir = NULL;

    out[0] = '\0';
    if (i == 0) {
        dir = s->user_named ? "." : "";
    } else if (i - 1 < s->num_dirs) {
        dir = s->dirs[i - 1];
    } else {
        i -= s->num_dirs + 1;
        if (i == 0)
            dir = DATADIR;
        else if (i - 1 < ARRAY_LEN(near_dirs))
            return beside_executable(out, size, near_dirs[i - 1]) || !(out[0] = '\0');
        else if (i - 1 - ARRAY_LEN(near_dirs) < ARRAY_LEN(system_dirs))
            dir = system_dirs[i - 1 - ARRAY_LEN(near_dirs)];
        else
            return false;
    }
    if (snprintf(out, size, "%s", dir) >= (int)size)
        out[0] = '\0';
    return true;
}

/* Our own option ROMs come with Mimus, everything else with SeaBIOS. */
static int not_found(const struct firmware_search *s, const char *name, struct error *err)
{
    char places[sizeof(err->msg)] = "", dir[PATH_MAX];
    size_t used = 0;
    bool ours = !strcmp(name, "mimus-linux.bin") || !strcmp(name, "mimus-multiboot.bin");

    for (unsigned i = 0; search_dir(s, i, dir, sizeof(dir)); i++) {
        size_t len = strlen(dir);
        if (!len || used + len + 3 > sizeof(places))
            continue;
        used += (size_t)sprintf(places + used, "%s", used ? ", " : "");
        memcpy(places + used, dir, len + 1);
        used += len;
    }
    return error_set(err, -ENOENT, "firmware '%s' not found (%s); looked in %s", name,
                     ours ? "it is installed with mimus" : "Debian package seabios has it", places);
}

int firmware_load(const struct firmware_search *s, const char *name, size_t max, uint8_t **data, size_t *len,
                  struct error *err)
{
    char dir[PATH_MAX], path[2 * PATH_MAX];

    if (strchr(name, '/'))
        return firmware_read("firmware", name, max, data, len, err);
    for (unsigned i = 0; search_dir(s, i, dir, sizeof(dir)); i++) {
        if (!dir[0])
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        if (!access(path, F_OK))
            return firmware_read("firmware", path, max, data, len, err);
    }
    return not_found(s, name, err);
}

/* Set the byte at `at` so that the `len` bytes of `p` sum up to 0. */
static void fix_checksum(uint8_t *p, size_t len, size_t at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    p[at] = (uint8_t)-sum;
}

int firmware_seal_option_rom(uint8_t **data, size_t *len, const char *name, struct error *err)
{
    size_t blocks = (*len + 1 + BLOCK - 1) / BLOCK, size = blocks * BLOCK; /* one byte more: the checksum */

    if (*len < ROM_PNP + 2 || (*data)[0] != 0x55 || (*data)[1] != 0xAA || blocks > MAX_BLOCKS)
        return error_set(err, -EINVAL, "firmware '%s' is not an option ROM", name);
    uint8_t *rom = realloc(*data, size);
    if (!rom)
        return error_set(err, -ENOMEM, "no memory for firmware '%s'", name);
    memset(rom + *len, 0, size - *len);
    *data = rom;
    *len = size;
    rom[ROM_BLOCKS] = (uint8_t)blocks;
    size_t pnp = (size_t)load_le(rom + ROM_PNP, 2);
    if (pnp <= size - PNP_SIZE && !memcmp(rom + pnp, "$PnP", 4))
        fix_checksum(rom + pnp, PNP_SIZE, PNP_CHECKSUM);
    fix_checksum(rom, size, size - 1);
    return 0;
}
