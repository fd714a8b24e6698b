/* x86-64 instruction encoder: Intel SDM volume 2, chapter 2 (prefixes, ModRM, SIB) and the opcode maps. */
#include "tcg/host/x86_64/enc.h"

#include <string.h>

enum { PREFIX_LOCK = 0xf0, PREFIX_OPSIZE = 0x66, PREFIX_REX = 0x40, ESCAPE_0F = 0x0f, SIB_NO_INDEX = 4,
       MOD_REG = 0xc0 };

static void put8(struct enc *e, unsigned v) { *e->at++ = (uint8_t)v; }
static void put32(struct enc *e, uint32_t v) { memcpy(e->at, &v, 4); e->at += 4; }
static void put64(struct enc *e, uint64_t v) { memcpy(e->at, &v, 8); e->at += 8; }

/* SPL, BPL, SIL, DIL exist only with a REX prefix. */
static bool byte_needs_rex(unsigned reg) { return reg >= RSP && reg <= RDI; }

/* What most instructions are made of. Each function takes where its bytes go and returns what is behind them: a pointer
 * that is no field stays in a register. Bytes that may be missing are written without asking, and then over. */
static inline uint8_t *prefixes(uint8_t *at, unsigned w, bool force, unsigned reg, unsigned index, unsigned base)
{
    unsigned rex = (w == W64 ? 8u : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;

    *at = PREFIX_OPSIZE;
    at += w == W16;
    *at = (uint8_t)(PREFIX_REX | rex);
    at += rex || force;
    return at;
}

static inline uint8_t *opcode(uint8_t *at, unsigned op)
{
    *at = ESCAPE_0F;
    at += op > 0xff;
    *at = (uint8_t)(op >> 8);
    at += op > 0xffff;
    *at = (uint8_t)op;
    return at + 1;
}

static inline uint8_t *modrm_mem(uint8_t *at, unsigned reg, struct x86_mem m)
{
    unsigned rm = m.base & 7, field = (reg & 7) << 3, index = m.index == NO_REG ? SIB_NO_INDEX : m.index & 7u;
    bool sib = m.index != NO_REG || rm == RSP;
    unsigned mod = !fits_int8(m.disp) ? 2 : m.disp != 0 || rm == RBP;

    *at++ = (uint8_t)(mod << 6 | field | (sib ? RSP : rm));
    *at = (uint8_t)((unsigned)m.shift << 6 | index << 3 | rm);
    at += sib;
    memcpy(at, &m.disp, 4);
    return at + mod * mod; /* 0, 1 or 4 bytes */
}

static void put_prefixes(struct enc *e, unsigned w, bool force, unsigned reg, unsigned index, unsigned base)
{
    e->at = prefixes(e->at, w, force, reg, index, base);
}

static void put_modrm_mem(struct enc *e, unsigned reg, struct x86_mem m)
{
    e->at = modrm_mem(e->at, reg, m);
}

static void reg_form(struct enc *e, unsigned w, bool force, unsigned op, unsigned reg, unsigned rm)
{
    uint8_t *at = opcode(prefixes(e->at, w, force, reg, 0, rm), op);

    *at = (uint8_t)(MOD_REG | (reg & 7) << 3 | (rm & 7));
    e->at = at + 1;
}

static void any_mem_form(struct enc *e, unsigned w, bool force, unsigned op, unsigned reg, struct x86_mem m)
{
    uint8_t *at = prefixes(e->at, w, force, reg, m.index == NO_REG ? 0 : m.index, m.base);

    e->at = modrm_mem(opcode(at, op), reg, m);
}

/* Most accesses are to the CPU structure, by an opcode of one byte: REX, opcode and ModRM are then one word. */
static inline void mem_form(struct enc *e, unsigned w, bool force, unsigned op, unsigned reg, struct x86_mem m)
{
    unsigned rex = (w == W64 ? 8u : 0) | (reg >> 3) << 2 | m.base >> 3, skip = rex || force;
    unsigned mod = fits_int8(m.disp) ? 1 : 2;
    uint32_t word;

    if (m.index != NO_REG || (m.base & 7) == RSP || op > 0xff || w == W16 || !m.disp) {
        any_mem_form(e, w, force, op, reg, m);
        return;
    }
    word = PREFIX_REX | rex | op << 8 | (mod << 6 | (reg & 7) << 3 | (m.base & 7)) << 16;
    word >>= skip ? 0 : 8;
    memcpy(e->at, &word, 4);
    e->at += 2 + skip;
    memcpy(e->at, &m.disp, 4);
    e->at += mod * mod; /* 1 or 4 bytes */
}

/* Two registers; `op` is the wide form. */
static void rr(struct enc *e, unsigned w, unsigned op, unsigned reg, unsigned rm)
{
    bool byte = w == W8;
    reg_form(e, w, byte && (byte_needs_rex(reg) || byte_needs_rex(rm)), op - byte, reg, rm);
}

/* One register and a /digit; `op` is the wide form. */
static void digit(struct enc *e, unsigned w, unsigned op, unsigned n, unsigned rm)
{
    bool byte = w == W8;
    reg_form(e, w, byte && byte_needs_rex(rm), op - byte, n, rm);
}

/* Immediate of the operand's width, at most four bytes. */
static void put_imm(struct enc *e, unsigned w, int32_t imm)
{
    memcpy(e->at, &imm, 4);
    e->at += w < W32 ? 1u << w : 4;
}

void enc_alu_rr(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, unsigned src)
{
    rr(e, w, op << 3 | 1, src, dst);
}

void enc_alu_ri(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, int32_t imm)
{
    bool small = w != W8 && fits_int8(imm);

    digit(e, w, small ? OP_ALU_IMM8 : OP_ALU_IMM32, op, dst);
    put_imm(e, small ? W8 : w, imm);
}

void enc_alu_rm(struct enc *e, enum x86_alu op, unsigned w, unsigned dst, struct x86_mem src)
{
    mem_form(e, w, w == W8 && byte_needs_rex(dst), (op << 3 | 3) - (w == W8), dst, src);
}

void enc_alu_mi(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, int32_t imm)
{
    bool small = w != W8 && fits_int8(imm);

    mem_form(e, w, false, small ? OP_ALU_IMM8 : OP_ALU_IMM32 - (w == W8), op, dst);
    put_imm(e, small ? W8 : w, imm);
}

/* Memory and one register; `op` is the wide form. */
static void mr(struct enc *e, unsigned w, unsigned op, struct x86_mem dst, unsigned reg)
{
    bool byte = w == W8;
    mem_form(e, w, byte && byte_needs_rex(reg), op - byte, reg, dst);
}

void enc_lock_alu(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, unsigned reg)
{
    put8(e, PREFIX_LOCK);
    mr(e, w, op << 3 | 1, dst, reg);
}

void enc_lock_alu_imm(struct enc *e, enum x86_alu op, unsigned w, struct x86_mem dst, int32_t imm)
{
    put8(e, PREFIX_LOCK);
    enc_alu_mi(e, op, w, dst, imm);
}

void enc_lock_neg(struct enc *e, unsigned w, struct x86_mem dst)
{
    put8(e, PREFIX_LOCK);
    mem_form(e, w, false, OP_GROUP3 - (w == W8), UN_NEG, dst);
}

void enc_lock_xadd(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg)
{
    put8(e, PREFIX_LOCK);
    mr(e, w, OP_XADD, dst, reg);
}

void enc_lock_cmpxchg(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg)
{
    put8(e, PREFIX_LOCK);
    mr(e, w, OP_CMPXCHG, dst, reg);
}

/* Locked without a prefix. */
void enc_xchg_mem(struct enc *e, unsigned w, struct x86_mem dst, unsigned reg)
{
    mr(e, w, OP_XCHG, dst, reg);
}

void enc_test_rr(struct enc *e, unsigned w, unsigned a, unsigned b)
{
    rr(e, w, OP_TEST, b, a);
}

void enc_test_ri(struct enc *e, unsigned w, unsigned a, int32_t imm)
{
    digit(e, w, OP_GROUP3, 0, a);
    put_imm(e, w, imm);
}

void enc_unary(struct enc *e, enum x86_unary op, unsigned w, unsigned reg)
{
    digit(e, w, OP_GROUP3, op, reg);
}

void enc_step(struct enc *e, enum x86_step op, unsigned w, unsigned reg)
{
    digit(e, w, OP_GROUP5, op, reg);
}

void enc_shift_ri(struct enc *e, enum x86_shift op, unsigned w, unsigned reg, unsigned count)
{
    digit(e, w, OP_SHIFT_IMM8, op, reg);
    put8(e, count);
}

void enc_shift_cl(struct enc *e, enum x86_shift op, unsigned w, unsigned reg)
{
    digit(e, w, OP_SHIFT_CL, op, reg);
}

void enc_imul_rr(struct enc *e, unsigned w, unsigned dst, unsigned src)
{
    reg_form(e, w, false, OP_IMUL, dst, src);
}

void enc_imul_rri(struct enc *e, unsigned w, unsigned dst, unsigned src, int32_t imm)
{
    reg_form(e, w, false, fits_int8(imm) ? OP_IMUL_IMM8 : OP_IMUL_IMM32, dst, src);
    if (fits_int8(imm))
        put8(e, (uint8_t)imm);
    else
        put_imm(e, w, imm);
}

void enc_bit_scan(struct enc *e, enum x86_opcode op, unsigned w, unsigned dst, unsigned src)
{
    reg_form(e, w, false, op, dst, src);
}

void enc_mulx(struct enc *e, unsigned w, unsigned dst_high, unsigned dst_low, unsigned src)
{
    enc_vex_rr(e, 0xf2, w == W64 ? VEX_W : 0, 0x0f38f6, dst_high, dst_low, src);
}

void enc_count_bits(struct enc *e, enum x86_opcode op, unsigned w, unsigned dst, unsigned src)
{
    put8(e, 0xf3);
    reg_form(e, w, false, op, dst, src);
}

/* BZHI and BEXTR have their second operand in VEX.vvvv, PDEP and PEXT their first one. */
void enc_bit_field(struct enc *e, uint8_t prefix, enum x86_opcode op, unsigned w, unsigned dst, unsigned a, unsigned b)
{
    enc_vex_rr(e, prefix, w == W64 ? VEX_W : 0, op, dst, prefix ? a : b, prefix ? b : a);
}

void enc_crc32(struct enc *e, unsigned w, unsigned crc, unsigned src)
{
    put8(e, 0xf2);
    reg_form(e, w, w == W8 && byte_needs_rex(src), OP_CRC32 - (w == W8), crc, src);
}

void enc_cwd(struct enc *e, unsigned w)
{
    put_prefixes(e, w, false, 0, 0, 0);
    put8(e, 0x99);
}

void enc_bt_ri(struct enc *e, unsigned w, unsigned reg, unsigned bit)
{
    reg_form(e, w, false, OP_GROUP8, 4, reg);
    put8(e, bit);
}

void enc_bswap(struct enc *e, unsigned w, unsigned reg)
{
    put_prefixes(e, w, false, 0, 0, reg);
    put8(e, ESCAPE_0F);
    put8(e, 0xc8 | (reg & 7));
}

void enc_setcc(struct enc *e, enum x86_cc cc, unsigned reg)
{
    reg_form(e, W8, byte_needs_rex(reg), OP_SETCC + cc, 0, reg);
}

void enc_cmov(struct enc *e, enum x86_cc cc, unsigned w, unsigned dst, unsigned src)
{
    reg_form(e, w, false, OP_CMOV + cc, dst, src);
}

void enc_mov_rr(struct enc *e, unsigned w, unsigned dst, unsigned src)
{
    rr(e, w, OP_STORE, src, dst);
}

void enc_mov_ri(struct enc *e, unsigned dst, uint64_t imm)
{
    if (imm <= UINT32_MAX) {
        put_prefixes(e, W32, false, 0, 0, dst);
        put8(e, 0xb8 | (dst & 7));
        put32(e, (uint32_t)imm);
    } else if (fits_int32((int64_t)imm)) {
        digit(e, W64, OP_STORE_IMM, 0, dst);
        put32(e, (uint32_t)imm);
    } else {
        put_prefixes(e, W64, false, 0, 0, dst);
        put8(e, 0xb8 | (dst & 7));
        put64(e, imm);
    }
}

void enc_xchg(struct enc *e, unsigned a, unsigned b)
{
    rr(e, W64, OP_XCHG, b, a);
}

void enc_zext(struct enc *e, unsigned w, unsigned dst, unsigned src)
{
    if (w == W8)
        reg_form(e, W32, byte_needs_rex(src), OP_MOVZX8, dst, src);
    else if (w == W16)
        reg_form(e, W32, false, OP_MOVZX16, dst, src);
    else
        enc_mov_rr(e, w, dst, src);
}

void enc_sext(struct enc *e, unsigned w, unsigned to, unsigned dst, unsigned src)
{
    if (w == W8)
        reg_form(e, to, byte_needs_rex(src), OP_MOVSX8, dst, src);
    else if (w == W16)
        reg_form(e, to, false, OP_MOVSX16, dst, src);
    else
        reg_form(e, to, false, OP_MOVSXD, dst, src);
}

void enc_load(struct enc *e, unsigned w, unsigned dst, struct x86_mem src)
{
    unsigned op = w == W8 ? OP_MOVZX8 : w == W16 ? OP_MOVZX16 : OP_LOAD;

    mem_form(e, w < W32 ? W32 : w, false, op, dst, src);
}

void enc_store(struct enc *e, unsigned w, struct x86_mem dst, unsigned src)
{
    mem_form(e, w, w == W8 && byte_needs_rex(src), OP_STORE - (w == W8), src, dst);
}

void enc_store_imm(struct enc *e, unsigned w, struct x86_mem dst, int32_t imm)
{
    mem_form(e, w, false, OP_STORE_IMM - (w == W8), 0, dst);
    put_imm(e, w, imm);
}

void enc_lea(struct enc *e, unsigned w, unsigned dst, struct x86_mem src)
{
    mem_form(e, w, false, OP_LEA, dst, src);
}

void enc_push(struct enc *e, unsigned reg)
{
    put_prefixes(e, W32, false, 0, 0, reg);
    put8(e, 0x50 | (reg & 7));
}

void enc_pop(struct enc *e, unsigned reg)
{
    put_prefixes(e, W32, false, 0, 0, reg);
    put8(e, 0x58 | (reg & 7));
}

void enc_pushf(struct enc *e)
{
    put8(e, 0x9c);
}

uint8_t *enc_jcc32(struct enc *e, enum x86_cc cc)
{
    uint8_t *at = e->at;

    at[0] = ESCAPE_0F;
    at[1] = (uint8_t)(0x80 | cc);
    memset(at + 2, 0, 4);
    e->at = at + 6;
    return at + 2;
}

uint8_t *enc_jcc8(struct enc *e, enum x86_cc cc)
{
    put8(e, 0x70 | cc);
    put8(e, 0);
    return e->at - 1;
}

uint8_t *enc_jmp32(struct enc *e)
{
    put8(e, 0xe9);
    put32(e, 0);
    return e->at - 4;
}

void enc_patch32(uint8_t *disp, const uint8_t *target)
{
    int32_t rel = (int32_t)(target - (disp + 4));
    memcpy(disp, &rel, 4);
}

void enc_patch8(uint8_t *disp, const uint8_t *target)
{
    *disp = (uint8_t)(target - (disp + 1));
}

void enc_jcc_to(struct enc *e, enum x86_cc cc, const uint8_t *target)
{
    enc_patch32(enc_jcc32(e, cc), target);
}

void enc_jmp_to(struct enc *e, const uint8_t *target)
{
    enc_patch32(enc_jmp32(e), target);
}

void enc_call_to(struct enc *e, const uint8_t *target)
{
    put8(e, 0xe8);
    put32(e, 0);
    enc_patch32(e->at - 4, target);
}

/* Near indirect jumps and calls are 64 bits wide without REX.W. */
void enc_jmp_mem(struct enc *e, struct x86_mem target) { mem_form(e, W32, false, OP_GROUP5, 4, target); }
void enc_jmp_reg(struct enc *e, unsigned reg) { digit(e, W32, OP_GROUP5, 4, reg); }
void enc_call_reg(struct enc *e, unsigned reg) { digit(e, W32, OP_GROUP5, 2, reg); }
void enc_ret(struct enc *e) { put8(e, 0xc3); }

void enc_ud2(struct enc *e)
{
    put8(e, ESCAPE_0F);
    put8(e, 0x0b);
}

/* lahf; movzx eax, ah */
void enc_lahf(struct enc *e)
{
    put8(e, 0x9f);
    put8(e, ESCAPE_0F);
    put8(e, OP_MOVZX8 & 0xff);
    put8(e, 0xc4);
}

/* The forms that the SDM recommends under NOP. */
void enc_nops(struct enc *e, unsigned n)
{
    static const uint8_t forms[8][7] = {
        { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0 },
        { 0x0f, 0x1f, 0x44, 0, 0 }, { 0x66, 0x0f, 0x1f, 0x44, 0, 0 }, { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 },
    };
    while (n) {
        unsigned len = n < 7 ? n : 7;
        memcpy(e->at, forms[len], len);
        e->at += len;
        n -= len;
    }
}

void enc_sse_rr(struct enc *e, uint8_t prefix, unsigned w, unsigned op, unsigned dst, unsigned src)
{
    if (prefix)
        put8(e, prefix);
    reg_form(e, w, false, op, dst, src);
}

void enc_sse_mem(struct enc *e, uint8_t prefix, unsigned op, unsigned reg, struct x86_mem mem)
{
    if (prefix)
        put8(e, prefix);
    mem_form(e, W32, false, op, reg, mem);
}

/* SDM vol. 2, 2.3.5: the two-byte form where it can say it. Register fields and vvvv are inverted. */
static void put_vex(struct enc *e, uint8_t prefix, unsigned flags, unsigned op, unsigned reg, unsigned src1,
                    unsigned index, unsigned base)
{
    unsigned map = op > 0xffff ? ((op >> 8 & 0xff) == 0x38 ? 2 : 3) : 1;
    unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
    unsigned last = (~src1 & 15) << 3 | (flags & VEX_L ? 4 : 0) | pp;

    if (map == 1 && !(flags & VEX_W) && index < R8 && base < R8) {
        put8(e, 0xc5);
        put8(e, (reg < R8 ? 0x80 : 0) | last);
    } else {
        put8(e, 0xc4);
        put8(e, (reg < R8 ? 0x80 : 0) | (index < R8 ? 0x40 : 0) | (base < R8 ? 0x20 : 0) | map);
        put8(e, (flags & VEX_W ? 0x80 : 0) | last);
    }
    put8(e, op & 0xff);
}

void enc_vex_rr(struct enc *e, uint8_t prefix, unsigned flags, unsigned op, unsigned dst, unsigned src1,
                unsigned src2)
{
    put_vex(e, prefix, flags, op, dst, src1, 0, src2);
    put8(e, MOD_REG | (dst & 7) << 3 | (src2 & 7));
}

void enc_rorx(struct enc *e, unsigned w, unsigned dst, unsigned src, unsigned count)
{
    enc_vex_rr(e, 0xf2, w == W64 ? VEX_W : 0, OP_RORX, dst, 0, src);
    put8(e, count);
}

void enc_vex_mem(struct enc *e, uint8_t prefix, unsigned flags, unsigned op, unsigned reg, unsigned src1,
                 struct x86_mem mem)
{
    put_vex(e, prefix, flags, op, reg, src1, mem.index == NO_REG ? 0 : mem.index, mem.base);
    put_modrm_mem(e, reg, mem);
}

void enc_vzeroupper(struct enc *e)
{
    put_vex(e, 0, 0, 0x0f77, 0, 0, 0, 0);
}

void enc_x87(struct enc *e, unsigned op, unsigned modrm)
{
    put8(e, op);
    put8(e, modrm);
}

void enc_x87_mem(struct enc *e, unsigned op, unsigned digit, struct x86_mem mem) { mem_form(e, W32, false, op, digit, mem); }

void enc_imm8(struct enc *e, uint8_t imm)
{
    put8(e, imm);
}

void enc_ldmxcsr(struct enc *e, struct x86_mem mem) { mem_form(e, W32, false, OP_GROUP15, 2, mem); }
void enc_stmxcsr(struct enc *e, struct x86_mem mem) { mem_form(e, W32, false, OP_GROUP15, 3, mem); }
