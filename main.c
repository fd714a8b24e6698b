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
    if (!opt.nographic && !opt.display_none)
        fputs("mimus: there is no window in this version: -nographic puts the guest's console on this terminal, "
              "-display none leaves this line out\n", stderr);
    ret = machine_run(m);
    machine_free(m);
    options_free(&opt);
    return ret;
}
