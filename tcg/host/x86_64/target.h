/* The x86-64 host backend. */
#ifndef MIMUS_TCG_HOST_X86_64_TARGET_H
#define MIMUS_TCG_HOST_X86_64_TARGET_H

#include "tcg/tcg.h"

extern const struct tcg_host tcg_host_x86_64;

/* Room that is asked for before compiling: the longest sequence for one IR instruction with its out-of-line part and its
 * entries of the map is below 586 bytes (of which 288 store 16 wide vector fields), for what may fault, whose slow path
 * stores flags, too, and ends translations, below 800 with what is copied behind it; entry and exits are below
 * 4 KiB. */
enum { X86_ROOM_PER_INSN = 586, X86_ROOM_PER_ACCESS = 800, X86_ROOM_PER_BLOCK = 4096 };
size_t x86_room(const struct ir_block *ir);

/* disas.c */
void x86_disassemble(FILE *out, const uint8_t *code, size_t len);

#endif
