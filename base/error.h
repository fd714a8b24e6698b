/* Host-side errors: `-errno` goes up, and one message where the user can act. */
#ifndef MIMUS_BASE_ERROR_H
#define MIMUS_BASE_ERROR_H

/* Holds one line for the user; empty means no error. Owned by the caller. */
struct error {
    char msg[512];
};

/* Store a formatted message (no trailing newline) and return `code`, a
 * negative errno. An earlier message in `err` is kept: the first cause wins.
 * `err` may be NULL. */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
