/* The opcode table as data, and its index by opcode. */
#include "cpu/opcodes.h"

#include "cpu/emit.h"
#include "cpu/features.h"
#include "cpu/state.h"
#include "cpu/x87.h"

/* Names of the table's columns without their prefixes. */
enum {
    _ = 0,
    LOCK = OPF_LOCK, I64 = OPF_I64, O64 = OPF_O64, D64 = OPF_D64, F64 = OPF_F64, CPL0 = OPF_CPL0,
    PROT = OPF_PROT,
    END = OPF_END, REP = OPF_REP, FPU = OPF_FPU, NOWAIT = OPF_NOWAIT, MMX = OPF_MMX, SSE = OPF_SSE,
    ALIGN = OPF_ALIGN, HOST = OPF_HOST, B = OPF_B, VEX = OPF_VEX, W0 = OPF_W0, W1 = OPF_W1, L0 = OPF_L0,
    L1 = OPF_L1, AVX = OPF_AVX, UMIP = OPF_UMIP, SERIAL = OPF_SERIAL,
    LIVE = OPF_LIVE,
    FLU_O = FL_OF, FLU_S = FL_SF, FLU_Z = FL_ZF, FLU_A = FL_AF, FLU_P = FL_PF, FLU_C = FL_CF, FLU_NONE = 0,
};
#define O__ O_NONE
#define FLU_OR(a, b, c, d, e, f, ...) (FLU_##a | FLU_##b | FLU_##c | FLU_##d | FLU_##e | FLU_##f)
#define FLU(...) FLU_OR(__VA_ARGS__, NONE, NONE, NONE, NONE, NONE, NONE)

/* A selector is one number, which tables may pass through macros of their own: reg, mod, rm from the low
 * byte up. */
#define SEL(reg, mod, rm) ((reg) | (mod) << 8 | (rm) << 16)
#define NOSEL SEL(SEL_ANY, SEL_ANY, SEL_ANY)
#define G(n) SEL(n, SEL_ANY, SEL_ANY)
#define MEM SEL(SEL_ANY, SEL_MEM, SEL_ANY)
#define REG SEL(SEL_ANY, SEL_REG, SEL_ANY)
#define GM(n) SEL(n, SEL_MEM, SEL_ANY)
#define GR(n) SEL(n, SEL_REG, SEL_ANY)
#define GRM(n, m) SEL(n, SEL_REG, m)

#define OP4(opcode, prefix, sel, name, a, b, c, d, flags, feat, undef, emitter, arg) \
    void emit_##emitter(struct emit *e);
#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    void emit_##emitter(struct emit *e);
#include "cpu/opcodes.def"

#define OP4(opcode, prefix, sel, name, a, b, c, d, flags, feat, undef, emitter, arg) \
    { name, opcode, PFXSEL_##prefix, (sel) & 0xff, (sel) >> 8 & 0xff, (sel) >> 16, \
      { O_##a, O_##b, O_##c, O_##d }, flags, FEAT_##feat, undef, emit_##emitter, arg },
#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    OP4(opcode, prefix, sel, name, a, b, c, _, flags, feat, undef, emitter, arg)
const struct opcode cpu_opcodes[] = {
#include "cpu/opcodes.def"
};
const unsigned cpu_num_opcodes = ARRAY_LEN(cpu_opcodes);

/* The index: for each opcode the number (from 1) of its last row within each file, computed by the compiler:
 * later initialisers override earlier ones, and __COUNTER__ numbers the rows. */
#define NUM_SLOTS 0x400
#define SLOT(opcode) \
    (((opcode) >> 8 == 0 ? 0 : (opcode) >> 8 == 0x0f ? 0x100 : (opcode) >> 8 == 0x0f38 ? 0x200 : 0x300) | \
     ((opcode) & 0xff))
#define IS_Z(kind) ((kind) >= O_Zb && (kind) <= O_Zy)
#define SPAN(a, b) (IS_Z(a) || IS_Z(b) ? 7 : 0)
#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    [SLOT(opcode) ... SLOT(opcode) + SPAN(O_##a, O_##b)] = __COUNTER__ - ROOM_BASE,
#define OP4(opcode, prefix, sel, name, a, b, c, d, flags, feat, undef, emitter, arg) \
    OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
enum { BASE_INT = __COUNTER__ };
#define ROOM_BASE BASE_INT
static const uint16_t last_int[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_int.def"
};
#undef ROOM_BASE
enum { BASE_SYS = __COUNTER__ };
#define ROOM_BASE BASE_SYS
static const uint16_t last_sys[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_sys.def"
};
#undef ROOM_BASE
enum { BASE_X87 = __COUNTER__ };
#define ROOM_BASE BASE_X87
static const uint16_t last_x87[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_x87.def"
};
#undef ROOM_BASE
enum { BASE_SSE = __COUNTER__ };
#define ROOM_BASE BASE_SSE
static const uint16_t last_sse[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_sse.def"
};
#undef ROOM_BASE
enum { BASE_SSE4 = __COUNTER__ };
#define ROOM_BASE BASE_SSE4
static const uint16_t last_sse4[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_sse4.def"
};
#undef ROOM_BASE
enum { BASE_BMI = __COUNTER__ };
#define ROOM_BASE BASE_BMI
static const uint16_t last_bmi[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_bmi.def"
};
#undef ROOM_BASE
enum { BASE_XSTATE = __COUNTER__ };
#define ROOM_BASE BASE_XSTATE
static const uint16_t last_xstate[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_xstate.def"
};
#undef ROOM_BASE
enum { BASE_AVX = __COUNTER__ };
#define ROOM_BASE BASE_AVX
static const uint16_t last_avx[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_avx.def"
};
#undef ROOM_BASE
enum { BASE_AVX2 = __COUNTER__ };
#define ROOM_BASE BASE_AVX2
static const uint16_t last_avx2[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_avx2.def"
};
#undef ROOM_BASE
enum { BASE_BMI_VEX = __COUNTER__ };
#define ROOM_BASE BASE_BMI_VEX
static const uint16_t last_bmi_vex[NUM_SLOTS] = { [0] = 0,
#include "cpu/opcodes_bmi_vex.def"
};

/* For each opcode the first and the last room, from 1, that has rows of it: the order of the files tells which one
 * stays. */
#undef OP
#define OP(opcode, prefix, sel, name, a, b, c, flags, feat, undef, emitter, arg) \
    [SLOT(opcode) ... SLOT(opcode) + SPAN(O_##a, O_##b)] = ROOM + 1,
struct rooms {
    uint8_t plain[NUM_SLOTS], vex[NUM_SLOTS];
};
static const struct rooms first_room = {
    .plain = { [0] = 0,
#define ROOM ROOM_XSTATE
#include "cpu/opcodes_xstate.def"
#undef ROOM
#define ROOM ROOM_BMI
#include "cpu/opcodes_bmi.def"
#undef ROOM
#define ROOM ROOM_SSE4
#include "cpu/opcodes_sse4.def"
#undef ROOM
#define ROOM ROOM_SSE
#include "cpu/opcodes_sse.def"
#undef ROOM
#define ROOM ROOM_X87
#include "cpu/opcodes_x87.def"
#undef ROOM
#define ROOM ROOM_SYS
#include "cpu/opcodes_sys.def"
#undef ROOM
#define ROOM ROOM_INT
#include "cpu/opcodes_int.def"
#undef ROOM
    },
    .vex = { [0] = 0,
#define ROOM ROOM_BMI_VEX
#include "cpu/opcodes_bmi_vex.def"
#undef ROOM
#define ROOM ROOM_AVX2
#include "cpu/opcodes_avx2.def"
#undef ROOM
#define ROOM ROOM_AVX
#include "cpu/opcodes_avx.def"
#undef ROOM
    },
};
static const struct rooms last_room = {
    .plain = { [0] = 0,
#define ROOM ROOM_INT
#include "cpu/opcodes_int.def"
#undef ROOM
#define ROOM ROOM_SYS
#include "cpu/opcodes_sys.def"
#undef ROOM
#define ROOM ROOM_X87
#include "cpu/opcodes_x87.def"
#undef ROOM
#define ROOM ROOM_SSE
#include "cpu/opcodes_sse.def"
#undef ROOM
#define ROOM ROOM_SSE4
#include "cpu/opcodes_sse4.def"
#undef ROOM
#define ROOM ROOM_BMI
#include "cpu/opcodes_bmi.def"
#undef ROOM
#define ROOM ROOM_XSTATE
#include "cpu/opcodes_xstate.def"
#undef ROOM
    },
    .vex = { [0] = 0,
#define ROOM ROOM_AVX
#include "cpu/opcodes_avx.def"
#undef ROOM
#define ROOM ROOM_AVX2
#include "cpu/opcodes_avx2.def"
#undef ROOM
#define ROOM ROOM_BMI_VEX
#include "cpu/opcodes_bmi_vex.def"
#undef ROOM
    },
};
#pragma GCC diagnostic pop

bool opcode_rooms(bool vex, unsigned map, uint8_t opcode, unsigned *first, unsigned *last)
{
    unsigned slot = map << 8 | opcode, number = vex ? first_room.vex[slot] : first_room.plain[slot];

    *first = number - 1;
    *last = (vex ? last_room.vex[slot] : last_room.plain[slot]) - 1u;
    return number;
}

enum {
    START_INT = 0,
    START_SYS = START_INT + BASE_SYS - BASE_INT - 1,
    START_X87 = START_SYS + BASE_X87 - BASE_SYS - 1,
    START_SSE = START_X87 + BASE_SSE - BASE_X87 - 1,
    START_SSE4 = START_SSE + BASE_SSE4 - BASE_SSE - 1,
    START_BMI = START_SSE4 + BASE_BMI - BASE_SSE4 - 1,
    START_XSTATE = START_BMI + BASE_XSTATE - BASE_BMI - 1,
    START_AVX = START_XSTATE + BASE_AVX - BASE_XSTATE - 1,
    START_AVX2 = START_AVX + BASE_AVX2 - BASE_AVX - 1,
    START_BMI_VEX = START_AVX2 + BASE_BMI_VEX - BASE_AVX2 - 1,
};
static const uint16_t *const room_last[ROOM_NUM] = {
    last_int, last_sys, last_x87, last_sse, last_sse4, last_bmi,
    last_xstate, last_avx, last_avx2, last_bmi_vex,
};
static const uint16_t room_start[ROOM_NUM] = {
    START_INT, START_SYS, START_X87, START_SSE, START_SSE4, START_BMI,
    START_XSTATE, START_AVX, START_AVX2, START_BMI_VEX,
};

static bool covers(const struct opcode *row, unsigned slot)
{
    unsigned first = SLOT(row->opcode);
    return slot >= first && slot <= first + SPAN(row->op[0], row->op[1]);
}

const struct opcode *opcode_rows(enum opcode_room room, unsigned map, uint8_t opcode,
                                 const struct opcode **last)
{
    unsigned slot = map << 8 | opcode;
    unsigned number = room_last[room][slot];
    const struct opcode *start = cpu_opcodes + room_start[room], *row;
    bool exact;

    if (!number)
        return NULL;
    *last = row = start + number - 1;
    exact = SLOT(row->opcode) == slot; /* not one of the eight of a register in the opcode but the first */
    while (row > start && (exact ? row[-1].opcode == row->opcode : covers(row - 1, slot)))
        row--;
    return row;
}
