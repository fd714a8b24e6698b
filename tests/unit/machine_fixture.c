/* Fixture of the machine's tests, see machine_fixture.h. */
#include "machine_fixture.h"

#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_bios(struct test_machine *t, const uint8_t *code, size_t len)
{
    static const uint8_t reset[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
    uint8_t *image = calloc(1, 0x10000);
    int fd;

    memcpy(image, code, len);
    memcpy(image + 0xfff0, reset, sizeof(reset));
    strcpy(t->bios, "/tmp/mimus-test-bios-XXXXXX");
    fd = mkstemp(t->bios);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image, 0x10000), 0x10000);
    close(fd);
    free(image);
}

void mf_new(struct test_machine *t, const uint8_t *code, size_t len, ...)
{
    static const char *const common[] = { "mimus", "-nodefaults", "-display", "none", "-vga", "none", "-m",
        "4M",
                                          "-device", "isa-debug-exit", "-bios" };
    unsigned n = 0;
    va_list ap;

    memset(t, 0, sizeof(*t));
    t->status = -1;
    write_bios(t, code, len);
    for (unsigned i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        t->argv[n++] = (char *)common[i];
    t->argv[n++] = t->bios;
    va_start(ap, len);
    while ((t->argv[n] = va_arg(ap, char *)))
        n++;
    va_end(ap);
    ck_assert_msg(options_parse(&t->opt, (int)n, t->argv, &t->err) == 0, "%s", t->err.msg);
    t->m = machine_new(&t->opt, &t->err);
    unlink(t->bios); /* it is in the machine's ROM now */
}

void mf_free(struct test_machine *t)
{
    if (t->m)
        machine_free(t->m);
    options_free(&t->opt);
}

int mf_run(struct test_machine *t)
{
    ck_assert_msg(t->m != NULL, "%s", t->err.msg);
    t->status = machine_run(t->m);
    return t->status;
}

void *mf_thread(void *opaque)
{
    mf_run(opaque);
    return NULL;
}
