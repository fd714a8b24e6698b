/* The decoder: prefixes, opcode, ModRM, row of the opcode table, operands, immediates (SDM vol. 2, chapter
 * 2). */
#include "cpu/opcodes.h"

#include "base/bits.h"
#include "cpu/state.h"

/* ---- what an operand letter means ---- */

enum source { SRC_NONE, SRC_RM, SRC_REG, SRC_OPCODE, SRC_IMM, SRC_FAR, SRC_MOFFS, SRC_STRING, SRC_FIXED,
              SRC_ONE, SRC_VVVV, SRC_IS4, SRC_VSIB };
enum form { FORM_ANY, FORM_MEM, FORM_REG };
/* Sizes that depend on the operand size: v itself, y 4 or 8, z 2 or 4, p far pointer, a two v, s table
 * register, x 16 or 32 by VEX.L, h, f, e a half, a quarter, an eighth of x. */
enum { SZ_V = 0x80, SZ_Y, SZ_Z, SZ_P, SZ_A, SZ_S, SZ_ENV, SZ_STATE, SZ_X, SZ_H, SZ_F, SZ_E };

struct kind {
    uint8_t class, source, form;
    uint8_t size;     /* of the operand */
    uint8_t arg;      /* FIXED: register number; IMM: size in the encoding; STRING: 1 for ES:rDI */
};

#define RM(size) { OC_REG, SRC_RM, FORM_ANY, size, 0 }
#define RM_MEM(size) { OC_MEM, SRC_RM, FORM_MEM, size, 0 }
#define RM_REG(size) { OC_REG, SRC_RM, FORM_REG, size, 0 }
#define REG_FIELD(class, size) { class, SRC_REG, FORM_ANY, size, 0 }
#define IMM(enc, size) { OC_IMM, SRC_IMM, FORM_ANY, size, enc }
#define VEC_REG(size) { OC_XMM, SRC_REG, FORM_ANY, size, 0 }
#define VEC_RM(form, size) { OC_XMM, SRC_RM, form, size, 0 }
#define VEC_VVVV(size) { OC_XMM, SRC_VVVV, FORM_ANY, size, 0 }
#define VEC_IS4(size) { OC_XMM, SRC_IS4, FORM_ANY, size, 0 }
#define STRING(es, size) { OC_MEM, SRC_STRING, FORM_ANY, size, es }
#define FIXED(class, reg, size) { class, SRC_FIXED, FORM_ANY, size, reg }

static const struct kind kinds[O_NUM] = {
    [O_Eb] = RM(1), [O_Ew] = RM(2), [O_Ed] = RM(4), [O_Eq] = RM(8), [O_Ev] = RM(SZ_V), [O_Ey] = RM(SZ_Y),
    [O_Gb] = REG_FIELD(OC_REG, 1), [O_Gw] = REG_FIELD(OC_REG, 2), [O_Gd] = REG_FIELD(OC_REG, 4),
    [O_Gv] = REG_FIELD(OC_REG, SZ_V), [O_Gz] = REG_FIELD(OC_REG, SZ_Z), [O_Gy] = REG_FIELD(OC_REG, SZ_Y),
    [O_M] = RM_MEM(0), [O_Mb] = RM_MEM(1), [O_Mw] = RM_MEM(2), [O_Md] = RM_MEM(4), [O_Mq] = RM_MEM(8),
    [O_Mt] = RM_MEM(10), [O_Mdq] = RM_MEM(16), [O_Mp] = RM_MEM(SZ_P), [O_Ma] = RM_MEM(SZ_A),
    [O_Ms] = RM_MEM(SZ_S),
    [O_Rv] = RM_REG(SZ_V), [O_Ry] = RM_REG(SZ_Y), [O_Rw] = RM_REG(2), [O_Rd] = RM_REG(4),
    [O_Ib] = IMM(1, 1), [O_Ibs] = IMM(1, SZ_V), [O_Iw] = IMM(2, 2), [O_Iz] = IMM(SZ_Z, SZ_V),
    [O_Iv] = IMM(SZ_V, SZ_V),
    [O_Jb] = IMM(1, SZ_V), [O_Jz] = IMM(SZ_Z, SZ_V), [O_Ap] = { OC_IMM, SRC_FAR, FORM_ANY, SZ_V, 0 },
    [O_Ob] = { OC_MEM, SRC_MOFFS, FORM_ANY, 1, 0 }, [O_Ov] = { OC_MEM, SRC_MOFFS, FORM_ANY, SZ_V, 0 },
    [O_Xb] = STRING(0, 1), [O_Xw] = STRING(0, 2), [O_Xv] = STRING(0, SZ_V), [O_Xz] = STRING(0, SZ_Z),
    [O_Yb] = STRING(1, 1), [O_Yw] = STRING(1, 2), [O_Yv] = STRING(1, SZ_V), [O_Yz] = STRING(1, SZ_Z),
    [O_Zb] = { OC_REG, SRC_OPCODE, FORM_ANY, 1, 0 }, [O_Zw] = { OC_REG, SRC_OPCODE, FORM_ANY, 2, 0 },
    [O_Zv] = { OC_REG, SRC_OPCODE, FORM_ANY, SZ_V, 0 }, [O_Zy] = { OC_REG, SRC_OPCODE, FORM_ANY, SZ_Y, 0 },
    [O_Sw] = REG_FIELD(OC_SEG, 2), [O_Cy] = REG_FIELD(OC_CR, SZ_Y), [O_Dy] = REG_FIELD(OC_DR, SZ_Y),
    [O_AL] = FIXED(OC_REG, R_AX, 1), [O_CL] = FIXED(OC_REG, R_CX, 1), [O_AX] = FIXED(OC_REG, R_AX, 2),
    [O_rAX] = FIXED(OC_REG, R_AX, SZ_V), [O_eAX] = FIXED(OC_REG, R_AX, SZ_Z), [O_DX] = FIXED(OC_REG, R_DX, 2),
    [O_1] = { OC_IMM, SRC_ONE, FORM_ANY, 1, 1 }, [O_3] = { OC_IMM, SRC_ONE, FORM_ANY, 1, 3 },
    [O_ES] = FIXED(OC_SEG, S_ES, 2), [O_CS] = FIXED(OC_SEG, S_CS, 2), [O_SS] = FIXED(OC_SEG, S_SS, 2),
    [O_DS] = FIXED(OC_SEG, S_DS, 2), [O_FS] = FIXED(OC_SEG, S_FS, 2), [O_GS] = FIXED(OC_SEG, S_GS, 2),
    [O_Pq] = REG_FIELD(OC_MMX, 8), [O_Pd] = REG_FIELD(OC_MMX, 4),
    [O_Qq] = { OC_MMX, SRC_RM, FORM_ANY, 8, 0 }, [O_Qd] = { OC_MMX, SRC_RM, FORM_ANY, 4, 0 },
    [O_Nq] = { OC_MMX, SRC_RM, FORM_REG, 8, 0 },
    [O_Vx] = VEC_REG(SZ_X), [O_Vq] = VEC_REG(8), [O_Vd] = VEC_REG(4), [O_Vdq] = VEC_REG(16),
    [O_Vqq] = VEC_REG(32), [O_Wx] = VEC_RM(FORM_ANY, SZ_X), [O_Wq] = VEC_RM(FORM_ANY, 8),
    [O_Wd] = VEC_RM(FORM_ANY, 4), [O_Ww] = VEC_RM(FORM_ANY, 2), [O_Wb] = VEC_RM(FORM_ANY, 1),
    [O_Wdq] = VEC_RM(FORM_ANY, 16), [O_Wqq] = VEC_RM(FORM_ANY, 32), [O_Wh] = VEC_RM(FORM_ANY, SZ_H),
    [O_Wf] = VEC_RM(FORM_ANY, SZ_F), [O_We] = VEC_RM(FORM_ANY, SZ_E),
    [O_Ux] = VEC_RM(FORM_REG, SZ_X), [O_Uq] = VEC_RM(FORM_REG, 8), [O_Udq] = VEC_RM(FORM_REG, 16),
    [O_Uqq] = VEC_RM(FORM_REG, 32), [O_Mx] = RM_MEM(SZ_X), [O_Mqq] = RM_MEM(32),
    [O_Hx] = VEC_VVVV(SZ_X), [O_Hdq] = VEC_VVVV(16), [O_Hqq] = VEC_VVVV(32), [O_Hq] = VEC_VVVV(8),
    [O_Hd] = VEC_VVVV(4), [O_Lx] = VEC_IS4(SZ_X), [O_Ldq] = VEC_IS4(16),
    [O_By] = { OC_REG, SRC_VVVV, FORM_ANY, SZ_Y, 0 },
    [O_MGd] = { OC_MEM, SRC_VSIB, FORM_MEM, 4, 0 }, [O_MGq] = { OC_MEM, SRC_VSIB, FORM_MEM, 8, 0 },
    [O_ST0] = FIXED(OC_ST, 0, 10), [O_STi] = { OC_ST, SRC_RM, FORM_REG, 10, 0 },
    [O_Mf32] = RM_MEM(4), [O_Mf64] = RM_MEM(8), [O_Mf80] = RM_MEM(10), [O_Mi16] = RM_MEM(2),
    [O_Mi32] = RM_MEM(4),
    [O_Mi64] = RM_MEM(8), [O_Mbcd] = RM_MEM(10), [O_Menv] = RM_MEM(SZ_ENV), [O_Mstate] = RM_MEM(SZ_STATE),
};

/* By operand size 2, 4, 8, then the same with VEX.L. */
static const uint8_t sizes[][6] = {
    [SZ_V - SZ_V] = { 2, 4, 8, 2, 4, 8 }, [SZ_Y - SZ_V] = { 4, 4, 8, 4, 4, 8 },
    [SZ_Z - SZ_V] = { 2, 4, 4, 2, 4, 4 }, [SZ_P - SZ_V] = { 4, 6, 10, 4, 6, 10 },
    [SZ_A - SZ_V] = { 4, 8, 16, 4, 8, 16 }, [SZ_S - SZ_V] = { 6, 6, 6, 6, 6, 6 },
    [SZ_ENV - SZ_V] = { 14, 28, 28, 14, 28, 28 }, [SZ_STATE - SZ_V] = { 94, 108, 108, 94, 108, 108 },
    [SZ_X - SZ_V] = { 16, 16, 16, 32, 32, 32 }, [SZ_H - SZ_V] = { 8, 8, 8, 16, 16, 16 },
    [SZ_F - SZ_V] = { 4, 4, 4, 8, 8, 8 }, [SZ_E - SZ_V] = { 2, 2, 2, 4, 4, 4 },
};

static unsigned kind_size(const struct insn *insn, uint8_t size)
{
    if (size < SZ_V)
        return size;
    if (size == SZ_S && insn->bits == 64)
        return 10;
    return sizes[size - SZ_V][(insn->opsize >> 2) + 3 * insn->vex_l];
}

/* ---- bytes ---- */

struct reader {
    const uint8_t *code;
    size_t avail;
    unsigned pos;
    unsigned end;             /* the bytes before it can be read; 0 after a failure: from then on they read as 0 */
    enum decode_result err;   /* the first failure */
};

static uint8_t no_byte(struct reader *r)
{
    if (!r->err)
        r->err = r->pos >= INSN_MAX_LEN ? DECODE_TOO_LONG : DECODE_MORE;
    r->end = 0;
    return 0;
}

static uint8_t next_byte(struct reader *r)
{
    return r->pos < r->end ? r->code[r->pos++] : no_byte(r);
}

static uint64_t next_bytes(struct reader *r, unsigned size)
{
    uint64_t v = 0;

    if (r->pos + size > r->end) {
        for (unsigned i = 0; i < size; i++)
            v |= (uint64_t)next_byte(r) << (8 * i);
        return v;
    }
    switch (size) {
    case 1: v = r->code[r->pos]; break;
    case 2: v = load_le(r->code + r->pos, 2); break;
    case 4: v = load_le(r->code + r->pos, 4); break;
    default: v = load_le(r->code + r->pos, size); break;
    }
    r->pos += size;
    return v;
}

static int64_t next_signed(struct reader *r, unsigned size)
{
    return bits_sext(next_bytes(r, size), 8 * size);
}

/* ---- prefixes and opcode ---- */

static int segment_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26: return S_ES;
    case 0x2e: return S_CS;
    case 0x36: return S_SS;
    case 0x3e: return S_DS;
    case 0x64: return S_FS;
    case 0x65: return S_GS;
    default: return -1;
    }
}

/* A legacy prefix: note it. 64-bit code ignores overrides of ES, CS, SS, DS (SDM vol. 2, 2.1.1). */
static bool take_prefix(struct insn *insn, uint8_t byte)
{
    int seg = segment_prefix(byte);

    if (seg >= 0) {
        if (insn->bits != 64 || seg >= S_FS) {
            insn->prefix |= PFX_SEG;
            insn->seg = (uint8_t)seg;
        }
        return true;
    }
    switch (byte) {
    case 0x66: insn->prefix |= PFX_66; return true;
    case 0x67: insn->prefix |= PFX_67; return true;
    case 0xf0: insn->prefix |= PFX_LOCK; return true;
    case 0xf2: insn->prefix = (uint8_t)((insn->prefix & ~PFX_REP) | PFX_REPNE); return true;
    case 0xf3: insn->prefix = (uint8_t)((insn->prefix & ~PFX_REPNE) | PFX_REP); return true;
    default: return false;
    }
}

/* Bytes that may be a prefix; as an opcode none of them means anything, but for 40 to 4F outside 64-bit code. */
static bool may_be_prefix(uint8_t byte)
{
    static const uint32_t prefixes[8] = {
        [0x26 / 32] = 1u << 0x06 | 1u << 0x0e | 1u << 0x16 | 1u << 0x1e, [0x40 / 32] = 0xffff,
        [0x64 / 32] = 0xf0, [0xf0 / 32] = 1u << 0x10 | 1u << 0x12 | 1u << 0x13,
    };
    return prefixes[byte / 32] >> byte % 32 & 1;
}

/* Prefixes; returns the first byte behind them. A REX prefix counts only directly before the opcode. */
static uint8_t read_prefixes(struct insn *insn, struct reader *r)
{
    for (;;) {
        uint8_t byte = next_byte(r);
        if (!may_be_prefix(byte))
            return byte;
        if (insn->bits == 64 && (byte & 0xf0) == 0x40)
            insn->rex = byte;
        else if (take_prefix(insn, byte))
            insn->rex = 0;
        else
            return byte;
    }
}

static void set_sizes(struct insn *insn)
{
    bool p66 = insn->prefix & PFX_66, p67 = insn->prefix & PFX_67;

    if (insn->prefix & PFX_VEX)
        p66 = insn->bits == 16; /* the prefix selects a row, not a size */
    else if (insn->rex)
        insn->prefix |= PFX_REX;
    if (insn->bits == 64) {
        insn->opsize = insn->rex & REX_W ? 8 : p66 ? 2 : 4;
        insn->addrsize = p67 ? 4 : 8;
    } else {
        insn->opsize = (insn->bits == 32) != p66 ? 4 : 2;
        insn->addrsize = (insn->bits == 32) != p67 ? 4 : 2;
    }
}

/* C4 and C5 begin a VEX prefix in 64-bit code, and elsewhere where LES and LDS would name a register. */
static bool is_vex(const struct insn *insn, const struct reader *r, uint8_t byte)
{
    if (byte != 0xc4 && byte != 0xc5)
        return false;
    return insn->bits == 64 || (r->pos < r->avail && r->code[r->pos] >= 0xc0);
}

/* SDM vol. 2, 2.3.5: the bytes behind C4 or C5 and the opcode. False: #UD. */
static bool read_vex(struct insn *insn, struct reader *r, bool three)
{
    static const uint8_t implied[4] = { 0, PFX_66, PFX_REP, PFX_REPNE };
    static const uint16_t map_opcode[4] = { 0, 0x0f00, 0x3800, 0x3a00 };
    uint8_t bad = insn->prefix & (PFX_LOCK | PFX_66 | PFX_REP | PFX_REPNE), p = next_byte(r);
    bool had_rex = insn->rex;
    unsigned map = 1;

    insn->rex = p & 0x80 ? 0 : REX_R;
    if (three) {
        insn->rex |= (p & 0x40 ? 0 : REX_X) | (p & 0x20 ? 0 : REX_B);
        map = p & 0x1f;
        p = next_byte(r);
        insn->rex |= p & 0x80 ? REX_W : 0;
    }
    if (insn->bits != 64)
        insn->rex &= REX_W;
    insn->vvvv = ~p >> 3 & (insn->bits == 64 ? 15 : 7);
    insn->vex_l = p & 4;
    insn->prefix |= PFX_VEX | implied[p & 3];
    insn->opcode = next_byte(r);
    if (map < 1 || map > 3)
        return false;
    insn->map = (uint8_t)map;
    insn->opcode |= map_opcode[map];
    return !bad && !had_rex;
}

/* The opcode's last byte. *ud: the prefixes before it allow none. */
static uint8_t read_opcode(struct insn *insn, struct reader *r, bool *ud)
{
    uint8_t byte = read_prefixes(insn, r);

    *ud = false;
    if (!r->err && is_vex(insn, r, byte)) {
        *ud = !read_vex(insn, r, byte == 0xc4);
        return (uint8_t)insn->opcode;
    }
    if (byte == 0x0f) {
        byte = next_byte(r);
        insn->map = 1;
        if (byte == 0x38 || byte == 0x3a) {
            insn->map = byte == 0x38 ? 2 : 3;
            insn->opcode = (uint16_t)(byte << 8);
            byte = next_byte(r);
        } else {
            insn->opcode = 0x0f00;
        }
    }
    insn->opcode |= byte;
    return byte;
}

/* ---- ModRM, SIB, displacement ---- */

static void set_disp(struct insn *insn, struct reader *r, unsigned size)
{
    insn->disp = size ? next_signed(r, size) : 0;
}

/* SDM vol. 2, table 2-1. */
static void read_mem16(struct insn *insn, struct reader *r)
{
    static const uint8_t base[8] = { R_BX, R_BX, R_BP, R_BP, R_SI, R_DI, R_BP, R_BX };
    static const uint8_t index[8] = { R_SI, R_DI, R_SI, R_DI, REG_NONE, REG_NONE, REG_NONE, REG_NONE };
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    insn->base = base[rm];
    insn->index = index[rm];
    if (mod == 0 && rm == 6)
        insn->base = REG_NONE;
    set_disp(insn, r, mod == 1 ? 1 : mod == 2 || insn->base == REG_NONE ? 2 : 0);
}

/* SDM vol. 2, tables 2-2 and 2-3, with the REX bits. */
static void read_mem32(struct insn *insn, struct reader *r)
{
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
    uint8_t rex_b = insn->rex & REX_B ? 8 : 0;

    if (rm == 4) {
        uint8_t sib = next_byte(r);
        uint8_t index = (uint8_t)((sib >> 3 & 7) | (insn->rex & REX_X ? 8 : 0));
        insn->index = index == R_SP ? REG_NONE : index;
        insn->scale = (uint8_t)(1u << (sib >> 6));
        rm = sib & 7;
        insn->base = rm == 5 && mod == 0 ? REG_NONE : (uint8_t)(rm | rex_b);
    } else if (rm == 5 && mod == 0) {
        insn->base = insn->bits == 64 ? REG_RIP : REG_NONE;
    } else {
        insn->base = (uint8_t)(rm | rex_b);
    }
    set_disp(insn, r, mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0);
}

static void read_modrm(struct insn *insn, struct reader *r)
{
    insn->modrm = next_byte(r);
    insn->has_modrm = true;
    if (insn->map == 1 && (insn->opcode & 0xfc) == 0x20)
        insn->modrm |= 0xc0; /* MOV to and from CR, DR: mod is ignored */
    if (insn->modrm >> 6 == 3)
        return;
    insn->has_mem = true;
    if (insn->addrsize == 2)
        read_mem16(insn, r);
    else
        read_mem32(insn, r);
    if (!(insn->prefix & PFX_SEG) && (insn->base == R_SP || insn->base == R_BP))
        insn->seg = S_SS;
}

/* ---- the row ---- */

struct candidates {
    unsigned room, last_room;
    const struct opcode *first[ROOM_NUM], *last[ROOM_NUM];   /* of rooms `room` to `last_room`; first NULL: none */
};

static bool row_has_modrm(const struct opcode *row)
{
    if (row->reg != SEL_ANY || row->mod != SEL_ANY || row->rm != SEL_ANY)
        return true;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t source = kinds[row->op[i]].source;
        if (source == SRC_RM || source == SRC_REG || source == SRC_VSIB)
            return true;
    }
    return false;
}

/* All rows of the opcode; *modrm: they have a ModRM byte. Rows of one opcode in one file agree in that. */
static bool find_candidates(const struct insn *insn, uint8_t opcode, struct candidates *c, bool *modrm)
{
    *modrm = false;
    if (!opcode_rooms(insn->prefix & PFX_VEX, insn->map, opcode, &c->room, &c->last_room))
        return false;
    for (unsigned room = c->room; room <= c->last_room; room++) {
        c->first[room] = opcode_rows(room, insn->map, opcode, &c->last[room]);
        if (!c->first[room])
            continue;
        *modrm = *modrm || row_has_modrm(c->first[room]);
    }
    return true;
}

static bool prefix_matches(const struct insn *insn, const struct opcode *row)
{
    uint8_t rep = insn->prefix & (PFX_REP | PFX_REPNE);

    switch (row->pfx) {
    case PFXSEL_NP: return !rep && !(insn->prefix & PFX_66);
    case PFXSEL_66: return !rep && (insn->prefix & PFX_66);
    case PFXSEL_F3: return rep == PFX_REP;
    case PFXSEL_F2: return rep == PFX_REPNE;
    default: return true;
    }
}

static bool modrm_matches(const struct insn *insn, const struct opcode *row)
{
    bool reg = insn->modrm >> 6 == 3;

    if (row->rm != SEL_ANY && row->rm != (insn->modrm & 7))
        return false;
    if ((row->mod == SEL_MEM && reg) || (row->mod == SEL_REG && !reg))
        return false;
    for (unsigned i = 0; i < 4 && row->op[i]; i++) {
        uint8_t form = kinds[row->op[i]].form;
        if ((form == FORM_MEM && reg) || (form == FORM_REG && !reg))
            return false;
    }
    return true;
}

static bool uses_vvvv(const struct opcode *row)
{
    for (unsigned i = 0; i < 4; i++)
        if (kinds[row->op[i]].source == SRC_VVVV)
            return true;
    return false;
}

/* VEX.W, VEX.L, and VEX.vvvv = 1111B where it names nothing. */
static bool vex_matches(const struct insn *insn, const struct opcode *row)
{
    bool w = insn->rex & REX_W;

    if (!(row->flags & OPF_VEX))
        return true;
    if ((row->flags & (w ? OPF_W0 : OPF_W1)) || (row->flags & (insn->vex_l ? OPF_L0 : OPF_L1)))
        return false;
    return insn->vvvv == 0 || uses_vvvv(row);
}

static bool row_matches(const struct insn *insn, const struct opcode *row)
{
    if (row->flags & (insn->bits == 64 ? OPF_I64 : OPF_O64))
        return false;
    if (!vex_matches(insn, row))
        return false;
    /* 90 without operands is NOP or PAUSE, with REX.B it is an exchange with R8. */
    if (row->opcode == 0x90 && row->op[0] == O_NONE && (insn->rex & REX_B))
        return false;
    return prefix_matches(insn, row) && (!insn->has_modrm || modrm_matches(insn, row));
}

static const struct opcode *find_row(const struct insn *insn, const struct candidates *c)
{
    unsigned reg = insn->modrm >> 3 & 7;

    for (unsigned room = c->room; room <= c->last_room; room++)
        if (c->first[room])
            for (const struct opcode *row = c->first[room]; row <= c->last[room]; row++)
                if ((row->reg == reg || row->reg == SEL_ANY) && row_matches(insn, row))
                    return row;
    return NULL;
}

/* ---- operands ---- */

static void set_reg(const struct insn *insn, struct operand *op, unsigned reg, unsigned rex_bit)
{
    if (op->class == OC_REG || op->class == OC_XMM || op->class == OC_CR || op->class == OC_DR)
        reg |= insn->rex & rex_bit ? 8 : 0;
    op->reg = (uint8_t)reg;
    if (op->class == OC_REG && op->size == 1 && !insn->rex && reg >= 4) {
        op->high_byte = true;
        op->reg = (uint8_t)(reg - 4);
    }
}

static void set_imm(struct insn *insn, struct reader *r, unsigned size)
{
    int64_t v = next_signed(r, size);

    if (insn->imm_size) {
        insn->imm2 = (uint32_t)(v & (int64_t)MASK(8 * size));
        return;
    }
    insn->imm = v;
    insn->imm_size = (uint8_t)size;
}

static void set_rm(struct insn *insn, struct operand *op)
{
    if (!insn->has_mem) {
        set_reg(insn, op, insn->modrm & 7, REX_B);
        return;
    }
    op->class = OC_MEM;
    insn->mem_size = op->size;
}

static void set_operand(struct insn *insn, struct reader *r, unsigned n)
{
    const struct kind *k = &kinds[insn->row->op[n]];
    struct operand *op = &insn->op[n];

    op->class = k->class;
    op->size = (uint8_t)kind_size(insn, k->size);
    switch (k->source) {
    case SRC_RM: set_rm(insn, op); break;
    case SRC_REG: set_reg(insn, op, insn->modrm >> 3 & 7, REX_R); break;
    case SRC_OPCODE: set_reg(insn, op, insn->opcode & 7, REX_B); break;
    case SRC_FIXED: op->reg = k->arg; break;
    case SRC_IMM: set_imm(insn, r, kind_size(insn, k->arg)); break;
    case SRC_ONE: insn->imm = k->arg; break;
    case SRC_FAR:
        set_imm(insn, r, insn->opsize);
        set_imm(insn, r, 2);
        break;
    case SRC_MOFFS:
        insn->has_mem = true;
        insn->disp = (int64_t)next_bytes(r, insn->addrsize);
        insn->mem_size = op->size;
        break;
    case SRC_VVVV: op->reg = insn->vvvv; break;
    case SRC_IS4:
        set_imm(insn, r, 1);
        op->reg = (uint8_t)(insn->imm >> 4 & (insn->bits == 64 ? 15 : 7));
        break;
    case SRC_VSIB: insn->mem_size = op->size; break;
    case SRC_STRING:
        op->reg = k->arg ? R_DI : R_SI;
        insn->mem_size = op->size;
        break;
    default: break;
    }
}

/* LOCK needs an instruction that knows it and a memory destination. */
static bool lock_legal(const struct insn *insn)
{
    if (!(insn->prefix & PFX_LOCK))
        return true;
    return (insn->row->flags & OPF_LOCK) && insn->op[0].class == OC_MEM;
}

/* ModRM.reg names a register that exists: ES..GS; CR0, CR2, CR3, CR4, CR8; DR0..DR7. Another one is #UD whatever
 * the privilege level. */
static bool registers_legal(const struct insn *insn)
{
    static const uint32_t legal[] = { [OC_SEG] = 0x3f, [OC_CR] = 0x11d, [OC_DR] = 0xff };

    for (unsigned i = 0; i < 3 && insn->op[i].class; i++) {
        const struct operand *op = &insn->op[i];
        if (op->class >= OC_SEG && op->class <= OC_DR && !(legal[op->class] >> op->reg & 1))
            return false;
    }
    return true;
}

/* A gather needs a SIB byte, in which index 4 is a register like any other. */
static bool vsib_legal(struct insn *insn)
{
    if (kinds[insn->row->op[1]].source != SRC_VSIB)
        return true;
    if (insn->addrsize == 2 || (insn->modrm & 7) != 4)
        return false;
    if (insn->index == REG_NONE)
        insn->index = R_SP;
    return true;
}

/* Operand size of rows that have their own in 64-bit code. */
static void set_row_size(struct insn *insn)
{
    if (insn->bits != 64)
        return;
    if (insn->row->flags & OPF_F64)
        insn->opsize = 8;
    else if ((insn->row->flags & OPF_D64) && !(insn->rex & REX_W))
        insn->opsize = insn->prefix & PFX_66 ? 2 : 8;
}

enum decode_result insn_decode(struct insn *insn, const uint8_t *code, size_t avail, unsigned bits)
{
    struct reader r = { .code = code, .avail = avail, .end = (unsigned)MIN_OF(avail, (size_t)INSN_MAX_LEN) };
    struct candidates c;
    uint8_t opcode;
    bool modrm, ud;

    *insn = (struct insn){ .bits = (uint8_t)bits, .seg = S_DS, .base = REG_NONE, .index = REG_NONE,
                           .scale = 1 };
    opcode = read_opcode(insn, &r, &ud);
    insn->len = (uint8_t)r.pos;
    if (r.err)
        return r.err;
    set_sizes(insn);
    if (ud || !find_candidates(insn, opcode, &c, &modrm))
        return DECODE_UD;
    if (modrm)
        read_modrm(insn, &r);
    insn->len = (uint8_t)r.pos;
    if (r.err)
        return r.err;
    insn->row = find_row(insn, &c);
    if (!insn->row || !vsib_legal(insn))
        return DECODE_UD;
    set_row_size(insn);
    for (unsigned i = 0; i < 4 && insn->row->op[i]; i++)
        set_operand(insn, &r, i);
    insn->len = (uint8_t)r.pos;
    if (r.err)
        return r.err;
    return lock_legal(insn) && registers_legal(insn) ? DECODE_OK : DECODE_UD;
}
