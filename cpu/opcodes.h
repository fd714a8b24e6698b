/* Finding rows of the opcode table by opcode. Private to the decoder. */
#ifndef MIMUS_CPU_OPCODES_H
#define MIMUS_CPU_OPCODES_H

#include "cpu/decode.h"

/* The files of opcodes.def. Within one file all rows of an opcode stand together. */
enum opcode_room {
    ROOM_INT, ROOM_SYS, ROOM_X87, ROOM_SSE, ROOM_SSE4, ROOM_BMI, ROOM_XSTATE,
    ROOM_VEX, ROOM_AVX = ROOM_VEX, ROOM_AVX2, ROOM_BMI_VEX, /* from ROOM_VEX on: with a VEX prefix */
    ROOM_NUM
};

/* Rows of `room` for opcode NN of `map` (0: one byte, 1: 0F, 2: 0F38, 3: 0F3A), first to last; NULL when
 * there are none. */
const struct opcode *opcode_rows(enum opcode_room room, unsigned map, uint8_t opcode,
                                 const struct opcode **last);

/* Where the rows of an opcode stand: in rooms *first to *last, of those with or without a VEX prefix. False: it has
 * none. */
bool opcode_rooms(bool vex, unsigned map, uint8_t opcode, unsigned *first, unsigned *last);

#endif
