/* Parser for QEMU's option lists and sizes. */
#include "machine/keyval.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Cut the next piece off at a single comma; ",," stands for a comma. Returns the rest or NULL. */
static char *cut_piece(char *p)
{
    char *out = p;

    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                *out = '\0';
                return p + 1;
            }
            p++;
        }
        *out++ = *p;
    }
    *out = '\0';
    return NULL;
}

int keyval_parse(struct keyval *kv, const char *option, const char *text, struct error *err)
{
    char *p;

    *kv = (struct keyval){ .store = strdup(text) };
    if (!kv->store)
        return error_set(err, -ENOMEM, "%s: out of memory", option);
    for (p = kv->store; p; ) {
        char *next = cut_piece(p), *eq = strchr(p, '=');
        if (kv->num == KEYVAL_MAX) {
            keyval_free(kv);
            return error_set(err, -EINVAL, "%s %s: too many settings", option, text);
        }
        struct keyval_pair *pair = &kv->pair[kv->num++];
        if (eq) {
            *eq = '\0';
            pair->key = p;
            pair->value = eq + 1;
        } else {
            pair->key = kv->num == 1 ? "" : p;
            pair->value = kv->num == 1 ? p : "on";
        }
        p = next;
    }
    return 0;
}

void keyval_free(struct keyval *kv)
{
    free(kv->store);
    kv->store = NULL;
    kv->num = 0;
}

const char *keyval_get(struct keyval *kv, const char *key)
{
    const char *value = NULL;

    for (unsigned i = 0; i < kv->num; i++)
        if (!strcmp(kv->pair[i].key, key)) {
            kv->pair[i].used = true;
            value = kv->pair[i].value;
        }
    return value;
}

const char *keyval_first(struct keyval *kv)
{
    return keyval_get(kv, "");
}

int keyval_get_bool(struct keyval *kv, const char *option, const char *key, bool *out, struct error *err)
{
    static const char *const yes[] = { "on", "yes", "true", "y" }, *const no[] = { "off", "no", "false", "n" };
    const char *v = keyval_get(kv, key);

    if (!v)
        return 0;
    for (unsigned i = 0; i < 4; i++) {
        if (!strcmp(v, yes[i]) || !strcmp(v, no[i])) {
            *out = !strcmp(v, yes[i]);
            return 0;
        }
    }
    return error_set(err, -EINVAL, "%s: %s=%s: expected on or off", option, key, v);
}

int keyval_get_number(struct keyval *kv, const char *option, const char *key, uint64_t *out, struct error *err)
{
    const char *v = keyval_get(kv, key);

    if (v && parse_number(v, out))
        return error_set(err, -EINVAL, "%s: %s=%s: expected a number", option, key, v);
    return 0;
}

int keyval_check_used(const struct keyval *kv, const char *option, struct error *err)
{
    for (unsigned i = 0; i < kv->num; i++)
        if (!kv->pair[i].used)
            return error_set(err, -EINVAL, "%s: '%s' is not supported here", option,
                             *kv->pair[i].key ? kv->pair[i].key : kv->pair[i].value);
    return 0;
}

int parse_number(const char *text, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno || *end ? -EINVAL : 0;
}

int parse_size(const char *text, uint64_t unit, uint64_t *out)
{
    static const char suffixes[] = "BKMGTP";
    const char *s;
    char *end;
    double v;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    v = strtod(text, &end);
    if (*end) {
        s = strchr(suffixes, toupper((unsigned char)*end));
        if (!s || !*s || end[1])
            return -EINVAL;
        unit = UINT64_C(1) << (10 * (unsigned)(s - suffixes));
    }
    v *= (double)unit;
    if (!(v >= 0 && v < 9.0e18))
        return -EINVAL;
    *out = (uint64_t)v;
    return 0;
}
