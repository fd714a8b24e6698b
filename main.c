/* mimus: a full-system x86 PC emulator. */
#include <stdio.h>

#include "base/error.h"
#include "machine/machine.h"
#include "machine/options.h"

int main(int argc, char **argv)
{
    struct error err = { "" };
    struct options opt;
    struct machine *m;
    int ret = options_parse(&opt, argc, argv, &err);

    if (ret > 0)
        return 0;
    if (ret < 0) {
        fprintf(stderr, "mimus: %s\n", err.msg);
        return 1;
    }
    m = machine_new(&opt, &err);
    if (!m) {
        fprintf(stderr, "mimus: %s\n", err.msg);
        options_free(&opt);
        return 1;
    }
    ret = machine_run(m);
    machine_free(m);
    options_free(&opt);
    return ret;
}
