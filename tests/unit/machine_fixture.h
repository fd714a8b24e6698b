/* Fixture of the machine's tests: whole machines built from options, with a 64 KiB firmware made by the
 * test. */
#ifndef MIMUS_TESTS_UNIT_MACHINE_FIXTURE_H
#define MIMUS_TESTS_UNIT_MACHINE_FIXTURE_H

#include "base/error.h"
#include "machine/machine.h"

struct test_machine {
    char bios[64];           /* path of the image */
    char *argv[32];
    struct options opt;
    struct machine *m;
    struct error err;
    int status;              /* of machine_run */
};

/* Firmware from `len` bytes of 16-bit code at F000:0000, where the reset vector jumps. A NULL-terminated
 * list of further options follows. m is NULL when the machine could not be built. */
void mf_new(struct test_machine *t, const uint8_t *code, size_t len, ...) __attribute__((sentinel));
void mf_free(struct test_machine *t);
/* machine_run; `mf_thread` for a thread of its own. */
int mf_run(struct test_machine *t);
void *mf_thread(void *t);

#define MF_NEW(t, code, ...) mf_new((t), (code), sizeof(code), ##__VA_ARGS__, (char *)NULL)

/* mov dx,0x501; out dx,al; hlt: the exit status is AL * 2 + 1. */
#define MF_EXIT_AL 0xba, 0x01, 0x05, 0xee, 0xf4, 0xeb, 0xfd
#define MF_EXIT(n) 0xb0, (n), MF_EXIT_AL

#endif
