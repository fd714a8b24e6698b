/* Finds and loads firmware images and other files that go into the guest whole. */
#ifndef MIMUS_ROMS_FIRMWARE_H
#define MIMUS_ROMS_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct firmware_search {
    const char *const *dirs;  /* of -L, in order */
    unsigned num_dirs;
    bool user_named;          /* the user gave the name (-bios): the working directory comes first */
};

/* Read all of regular file `path`, `max` bytes at most, into `*data` (from malloc(), the caller frees
 * it). Returns 0 or -errno with one line in `err` that begins with `what` and names the file. */
int firmware_read(const char *what, const char *path, size_t max, uint8_t **data, size_t *len,
                  struct error *err);

/* Look for firmware image `name` in: the -L directories, the installed data directory, roms/ beside the
 * executable (a build tree), /usr/share/seabios, /usr/share/qemu; a name with a '/' is a path. Read it as
 * firmware_read() does. When it is nowhere, the message says where it was looked for and which Debian
 * package has it. */
int firmware_load(const struct firmware_search *s, const char *name, size_t max, uint8_t **data, size_t *len,
                  struct error *err);

/* Bring an option ROM into the form that a BIOS accepts: `*data` (from malloc()) grows to whole blocks of
 * 512 bytes, size byte and checksums are set. Returns 0, or -errno when it is no option ROM. */
int firmware_seal_option_rom(uint8_t **data, size_t *len, const char *name, struct error *err);

#endif
