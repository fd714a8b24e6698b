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

/* The bootstrap processor starts all others, by x2APIC, and goes on with the `n` (below 90) bytes that follow; the others
 * come by the same way, F000:0000, and go on behind these bytes. */
#define MF_START_CPUS(n) \
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f, 0x32,   /* rdmsr IA32_APIC_BASE */ \
    0xf6, 0xc4, 0x01, 0x74, 30 + (n),                 /* test ah,1; jz: not the bootstrap processor */ \
    0x80, 0xcc, 0x0c, 0x0f, 0x30, 0x66, 0x31, 0xd2,   /* or ah,0xc; wrmsr; xor edx,edx */ \
    0x66, 0xb9, 0x30, 0x08, 0x00, 0x00, \
    0x66, 0xb8, 0x00, 0x45, 0x0c, 0x00, 0x0f, 0x30,   /* ICR: INIT to all but this one */ \
    0x66, 0xb8, 0xf0, 0x46, 0x0c, 0x00, 0x0f, 0x30    /* SIPI, vector F0 */

#endif
