/* QEMU's option lists: "first,key=value,flag" with ",," for a comma in a value. */
#ifndef MIMUS_MACHINE_KEYVAL_H
#define MIMUS_MACHINE_KEYVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define KEYVAL_MAX 32

struct keyval {
    char *store;              /* the text, cut into pieces; owned */
    unsigned num;
    struct keyval_pair {
        const char *key;      /* "" for a first word without '=' */
        const char *value;    /* "on" for a later word without '=', "off" for "no..." is not implied */
        bool used;
    } pair[KEYVAL_MAX];
};

/* Split `text`. Returns 0 or -EINVAL with `err`. */
int keyval_parse(struct keyval *kv, const char *option, const char *text, struct error *err);
void keyval_free(struct keyval *kv);
/* The first word without '=', or NULL. */
const char *keyval_first(struct keyval *kv);
/* Value of `key`, marked as used, or NULL. */
const char *keyval_get(struct keyval *kv, const char *key);
/* on/off/yes/no/true/false into *out if present. */
int keyval_get_bool(struct keyval *kv, const char *option, const char *key, bool *out, struct error *err);
/* Number in C notation into *out if present. */
int keyval_get_number(struct keyval *kv, const char *option, const char *key, uint64_t *out, struct error *err);
/* -EINVAL naming the first key that nobody used. */
int keyval_check_used(const struct keyval *kv, const char *option, struct error *err);

/* Size with suffix K M G T (powers of 1024); without one it counts in `unit` bytes. */
int parse_size(const char *text, uint64_t unit, uint64_t *out);
/* A whole number, C notation. */
int parse_number(const char *text, uint64_t *out);

#endif
