/* The x86-64 host backend. */
#ifndef MIMUS_TCG_HOST_X86_64_TARGET_H
#define MIMUS_TCG_HOST_X86_64_TARGET_H

#include "tcg/tcg.h"

extern const struct tcg_host tcg_host_x86_64;

/* disas.c */
void x86_disassemble(FILE *out, const uint8_t *code, size_t len);

#endif
