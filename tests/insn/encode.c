/* Random encodings of a row: prefixes, opcode, ModRM and what follows, checked by decoding them again. */
#include "tests/insn/insn.h"

void emit_loop(struct emit *e);

struct writer {
    struct rng *r;
    bool fs;                 /* the segment FS may be used */
    uint8_t buf[64];
    unsigned len;
};

static void put(struct writer *w, unsigned byte)
{
    w->buf[w->len++] = (uint8_t)byte;
}

bool row_has_modrm(const struct opcode *row)
{
    if (row->reg != SEL_ANY || row->mod != SEL_ANY || row->rm != SEL_ANY)
        return true;
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = row->op[i];
        if ((kind >= O_Eb && kind <= O_Rd) || (kind >= O_Sw && kind <= O_Dy) ||
            (kind >= O_Pq && kind <= O_Mqq) || (kind >= O_MGd && kind <= O_MGq) ||
            (kind >= O_STi && kind <= O_Mstate))
            return true;
    }
    return false;
}

static bool has_vsib(const struct opcode *row)
{
    return row->op[1] == O_MGd || row->op[1] == O_MGq;
}

/* ---- prefixes ---- */

static bool is_map0(const struct opcode *row)
{
    return row->opcode < 0x100;
}

static void put_size_prefixes(struct writer *w, const struct opcode *row, unsigned bits)
{
    struct rng *r = w->r;

    switch (row->pfx) {
    case PFXSEL_66: put(w, 0x66); break;
    case PFXSEL_F3: case PFXSEL_F2:
        if (rng_percent(r, 3))
            put(w, 0x66);
        break;
    case PFXSEL_ANY:
        /* What 66 does to near branches in 64-bit code differs between makers. */
        if (rng_percent(r, 25) && !(bits == 64 && (row->flags & OPF_F64)))
            put(w, 0x66);
        break;
    default: break;
    }
}

/* A VSIB byte exists with 32-bit and 64-bit addresses only. */
static void put_address_prefix(struct writer *w, const struct opcode *row, unsigned bits)
{
    bool wanted = rng_percent(w->r, bits == 16 ? 25 : 8);

    if (has_vsib(row) && bits != 64)
        wanted = bits == 16;
    if (wanted)
        put(w, 0x67);
}

static void put_segment_prefix(struct writer *w, unsigned bits)
{
    static const uint8_t others[4] = { 0x26, 0x2e, 0x36, 0x3e };
    bool short_address = bits == 32 && w->len && w->buf[w->len - 1] == 0x67;

    if (rng_percent(w->r, short_address ? 85 : 8))
        put(w, w->fs && rng_percent(w->r, 50) ? 0x64 : 0x65);
    else if (rng_percent(w->r, bits == 16 ? 15 : 4))
        put(w, others[rng_below(w->r, 4)]);
}

/* F2 and F3 before opcodes of the 0F map would select newer instructions; before LOOPE and LOOPNE they decide
 * about the condition on AMD's processors. */
static bool ignores_repeat(const struct opcode *row)
{
    return row->pfx == PFXSEL_ANY && is_map0(row) && row->emit != emit_loop;
}

static void put_repeat_prefix(struct writer *w, const struct opcode *row)
{
    struct rng *r = w->r;

    if (row->pfx == PFXSEL_F3)
        put(w, 0xf3);
    else if (row->pfx == PFXSEL_F2)
        put(w, 0xf2);
    else if (row->flags & OPF_REP ? rng_percent(r, 60) : ignores_repeat(row) && rng_percent(r, 2))
        put(w, rng_percent(r, 60) ? 0xf3 : 0xf2);
}

static void shuffle(struct writer *w)
{
    for (unsigned i = w->len; i > 1; i--) {
        unsigned j = rng_below(w->r, i);
        uint8_t t = w->buf[i - 1];
        w->buf[i - 1] = w->buf[j];
        w->buf[j] = t;
    }
}

/* ---- VEX (SDM vol. 2, 2.3.5) ---- */

/* A bit that the row may demand; where it is free, any. */
static bool pick_bit(struct writer *w, const struct opcode *row, uint32_t zero, uint32_t one)
{
    return row->flags & one ? true : row->flags & zero ? false : rng_percent(w->r, 50);
}

static bool uses_vvvv(const struct opcode *row)
{
    for (unsigned i = 0; i < 4; i++)
        if ((row->op[i] >= O_Hx && row->op[i] <= O_Hd) || row->op[i] == O_By)
            return true;
    return false;
}

static void put_vex(struct writer *w, const struct opcode *row, unsigned bits)
{
    static const uint8_t pp[] = { [PFXSEL_NP] = 0, [PFXSEL_66] = 1, [PFXSEL_F3] = 2, [PFXSEL_F2] = 3 };
    unsigned map = row->opcode >> 8 == 0x0f ? 1 : row->opcode >> 8 == 0x0f38 ? 2 : 3;
    unsigned rex = bits == 64 ? rng_below(w->r, 8) : 0, vvvv = uses_vvvv(row) ? rng_below(w->r, 16) : 0;
    bool wide = pick_bit(w, row, OPF_W0, OPF_W1), l = pick_bit(w, row, OPF_L0, OPF_L1);
    bool three = map > 1 || wide || (rex & (REX_X | REX_B)) || rng_percent(w->r, 40);
    unsigned last = l << 2 | pp[row->pfx];

    /* Where C4 and C5 are LES and LDS too, R, X and the two-byte form's vvvv[3] tell which. */
    if (bits != 64 && !three)
        vvvv &= 7;
    last |= (~vvvv & 15) << 3;
    if (three) {
        put(w, 0xc4);
        put(w, (~rex & 7) << 5 | map);
        put(w, wide << 7 | last);
    } else {
        put(w, 0xc5);
        put(w, (rex & REX_R ? 0 : 0x80) | last);
    }
}

static unsigned find_vex(const struct encoding *enc)
{
    unsigned at = 0;

    while (enc->code[at] != 0xc4 && enc->code[at] != 0xc5)
        at++;
    return at;
}

static bool is_invalid(const struct encoding *enc, unsigned bits)
{
    struct insn insn;

    return insn_decode(&insn, enc->code, INSN_MAX_LEN, bits) == DECODE_UD;
}

enum { VEX_L = 0x04, VEX_W = 0x80 };

/* AES and PCLMULQDQ with L = 1 are VAES and VPCLMULQDQ, which the host may have; AMD's processors ignore W of
 * VPERMQ and VPERMPD. */
static bool host_may_take(const struct opcode *row, unsigned flip)
{
    if (flip == VEX_L)
        return row->feature == FEAT_AES || row->feature == FEAT_PCLMULQDQ;
    return flip == VEX_W && (row->opcode == 0x0f3a00 || row->opcode == 0x0f3a01) && host_is_amd();
}

bool encode_spoil_vex(struct rng *r, struct encoding *enc, unsigned bits)
{
    static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x48 };
    static const uint8_t flips[] = { VEX_L, VEX_W, 0x08, 0x10, 0x20 };
    struct encoding bad = *enc;
    unsigned at = find_vex(enc), pick = rng_below(r, 5);
    bool three = enc->code[at] == 0xc4;

    if (enc->len < 14 && rng_percent(r, 40)) {
        if (bits != 64 && prefixes[pick] == 0x48)
            return false;
        memmove(bad.code + at + 1, bad.code + at, enc->len - at);
        bad.code[at] = prefixes[pick];
        bad.len++;
    } else {
        if (host_may_take(enc->insn.row, flips[pick]) || (flips[pick] == VEX_W && !three))
            return false;
        bad.code[at + (three ? 2 : 1)] ^= flips[pick];
    }
    if (!is_invalid(&bad, bits))
        return false;
    *enc = bad;
    enc->insn.row = NULL;
    return true;
}

/* ---- all prefixes ---- */

static void put_prefixes(struct writer *w, const struct opcode *row, unsigned bits)
{
    struct rng *r = w->r;

    if (row->flags & OPF_VEX) {
        put_address_prefix(w, row, bits);
        put_segment_prefix(w, bits);
        shuffle(w);
        put_vex(w, row, bits);
        return;
    }
    put_size_prefixes(w, row, bits);
    put_address_prefix(w, row, bits);
    put_segment_prefix(w, bits);
    put_repeat_prefix(w, row);
    if ((row->flags & OPF_LOCK) && rng_percent(r, 15))
        put(w, 0xf0);
    shuffle(w);
    if (bits == 64 && rng_percent(r, 60))
        put(w, 0x40 | (rng_next(r) & 15));
}

/* ---- opcode and ModRM ---- */

static bool opcode_holds_register(const struct opcode *row)
{
    return (row->op[0] >= O_Zb && row->op[0] <= O_Zy) || (row->op[1] >= O_Zb && row->op[1] <= O_Zy);
}

static void put_opcode(struct writer *w, const struct opcode *row)
{
    unsigned low = opcode_holds_register(row) ? rng_below(w->r, 8) : 0;

    if (row->opcode > 0xffff && !(row->flags & OPF_VEX))
        put(w, row->opcode >> 16);
    if (row->opcode > 0xff && !(row->flags & OPF_VEX))
        put(w, row->opcode >> 8 & 0xff);
    put(w, (row->opcode & 0xff) + low);
}

static void put_modrm(struct writer *w, const struct opcode *row)
{
    struct rng *r = w->r;
    unsigned mod = row->mod == SEL_REG || (row->mod == SEL_ANY && rng_percent(r, 40)) ? 3 : rng_below(r, 3);
    unsigned reg = row->reg == SEL_ANY ? rng_below(r, 8) : row->reg;
    unsigned rm = has_vsib(row) ? 4 : row->rm == SEL_ANY ? rng_below(r, 8) : row->rm;

    if (has_vsib(row))
        mod = rng_below(r, 3);

    put(w, mod << 6 | reg << 3 | rm);
}

/* Where SDM vol. 2, tables 2-1 to 2-3 put the displacement; `at` is the place of the ModRM byte. */
static void find_disp(struct encoding *enc, unsigned at)
{
    unsigned mod = enc->code[at] >> 6, rm = enc->code[at] & 7;

    enc->imm_off = at + 1;
    enc->disp_size = 0;
    if (mod == 3)
        return;
    if (enc->insn.addrsize == 2) {
        enc->disp_size = mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    } else {
        if (rm == 4)
            rm = enc->code[enc->imm_off++] & 7;
        enc->disp_size = mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0;
    }
    enc->disp_off = enc->imm_off;
    enc->imm_off += enc->disp_size;
}

static bool is_moffs(const struct opcode *row)
{
    return row->op[0] == O_Ob || row->op[0] == O_Ov || row->op[1] == O_Ob || row->op[1] == O_Ov;
}

static bool try_encode(struct gen *g, const struct opcode *row, struct encoding *enc)
{
    struct rng *r = &g->r;
    struct writer w = { .r = r, .fs = g->cpu->has[FEAT_FSGSBASE] };
    unsigned modrm_at, bits = g->bits;

    put_prefixes(&w, row, bits);
    put_opcode(&w, row);
    modrm_at = w.len;
    if (row_has_modrm(row))
        put_modrm(&w, row);
    if (rng_percent(r, 70))
        put(&w, rng_next(r) & 0xff); /* SIB, or the first byte behind ModRM */
    store_le(w.buf + w.len, 8, rng_int(r));
    store_le(w.buf + w.len + 8, 8, rng_int(r));
    if (insn_decode(&enc->insn, w.buf, w.len + 16, bits) != DECODE_OK || enc->insn.row != row)
        return false;
    enc->len = enc->insn.len;
    memcpy(enc->code, w.buf, enc->len);
    enc->disp_size = 0;
    enc->imm_off = modrm_at;
    if (row_has_modrm(row)) {
        find_disp(enc, modrm_at);
    } else if (is_moffs(row)) {
        enc->disp_size = enc->insn.addrsize;
        enc->disp_off = enc->len - enc->disp_size;
    }
    return true;
}

bool encode_row(struct gen *g, const struct opcode *row, struct encoding *enc)
{
    for (unsigned i = 0; i < 100; i++)
        if (try_encode(g, row, enc))
            return true;
    return false;
}

void encode_set_disp(struct encoding *enc, int64_t disp)
{
    store_le(enc->code + enc->disp_off, enc->disp_size, (uint64_t)disp);
    enc->insn.disp = bits_sext((uint64_t)disp, 8 * enc->disp_size);
}
