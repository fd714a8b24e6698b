/* x86-64 encoder: bytes of every kind of instruction against those of GNU as. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tcg/host/x86_64/enc.h"

/* Each row: what `as` makes of the instruction, and the call that must make the same. */
#define CHECK(hex, call) do { \
        uint8_t buf[16]; \
        struct enc enc = { buf }, *e = &enc; \
        call; \
        check_bytes(hex, buf, (unsigned)(enc.at - buf), #call); \
    } while (0)

static void check_bytes(const char *hex, const uint8_t *buf, unsigned len, const char *call)
{
    char text[40] = "";

    for (unsigned i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", buf[i]);
    ck_assert_msg(!strcmp(text, hex), "%s: %s, expected %s", call, text, hex);
}

/* At 16 bits `as` puts 66 first. */
START_TEST(test_locked)
{
    CHECK("f040003c31", enc_lock_alu(e, ALU_ADD, W8, mem_indexed(RCX, RSI, 0), RDI));
    CHECK("f06644095c2418", enc_lock_alu(e, ALU_OR, W16, mem_at(RSP, 0x18), R11));
    CHECK("f044210406", enc_lock_alu(e, ALU_AND, W32, mem_indexed(RSI, RAX, 0), R8));
    CHECK("f04c31b900010000", enc_lock_alu(e, ALU_XOR, W64, mem_at(RCX, 0x100), R15));
    CHECK("f0834c241800", enc_lock_alu_imm(e, ALU_OR, W32, mem_at(RSP, 0x18), 0));
    CHECK("f080217f", enc_lock_alu_imm(e, ALU_AND, W8, mem_at(RCX, 0), 0x7f));
    CHECK("f0f61c31", enc_lock_neg(e, W8, mem_indexed(RCX, RSI, 0)));
    CHECK("f048f719", enc_lock_neg(e, W64, mem_at(RCX, 0)));
    CHECK("f0400fc03431", enc_lock_xadd(e, W8, mem_indexed(RCX, RSI, 0), RSI));
    CHECK("f0660fc10431", enc_lock_xadd(e, W16, mem_indexed(RCX, RSI, 0), RAX));
    CHECK("f0470fc12408", enc_lock_xadd(e, W32, mem_indexed(R8, R9, 0), R12));
    CHECK("f0480fc101", enc_lock_xadd(e, W64, mem_at(RCX, 0), RAX));
    CHECK("f00fb01c31", enc_lock_cmpxchg(e, W8, mem_indexed(RCX, RSI, 0), RBX));
    CHECK("f0660fb11431", enc_lock_cmpxchg(e, W16, mem_indexed(RCX, RSI, 0), RDX));
    CHECK("f0440fb13431", enc_lock_cmpxchg(e, W32, mem_indexed(RCX, RSI, 0), R14));
    CHECK("f04c0fb10c31", enc_lock_cmpxchg(e, W64, mem_indexed(RCX, RSI, 0), R9));
    CHECK("40863c31", enc_xchg_mem(e, W8, mem_indexed(RCX, RSI, 0), RDI));
    CHECK("66870431", enc_xchg_mem(e, W16, mem_indexed(RCX, RSI, 0), RAX));
    CHECK("44871431", enc_xchg_mem(e, W32, mem_indexed(RCX, RSI, 0), R10));
    CHECK("48870431", enc_xchg_mem(e, W64, mem_indexed(RCX, RSI, 0), RAX));
}
END_TEST

START_TEST(test_alu)
{
    CHECK("00d8", enc_alu_rr(e, ALU_ADD, W8, RAX, RBX));
    CHECK("664401de", enc_alu_rr(e, ALU_ADD, W16, RSI, R11));
    CHECK("4101fc", enc_alu_rr(e, ALU_ADD, W32, R12, RDI));
    CHECK("4d01f8", enc_alu_rr(e, ALU_ADD, W64, R8, R15));
    CHECK("4408de", enc_alu_rr(e, ALU_OR, W8, RSI, R11));
    CHECK("664109fc", enc_alu_rr(e, ALU_OR, W16, R12, RDI));
    CHECK("4509f8", enc_alu_rr(e, ALU_OR, W32, R8, R15));
    CHECK("4809d8", enc_alu_rr(e, ALU_OR, W64, RAX, RBX));
    CHECK("4110fc", enc_alu_rr(e, ALU_ADC, W8, R12, RDI));
    CHECK("664511f8", enc_alu_rr(e, ALU_ADC, W16, R8, R15));
    CHECK("11d8", enc_alu_rr(e, ALU_ADC, W32, RAX, RBX));
    CHECK("4c11de", enc_alu_rr(e, ALU_ADC, W64, RSI, R11));
    CHECK("4518f8", enc_alu_rr(e, ALU_SBB, W8, R8, R15));
    CHECK("6619d8", enc_alu_rr(e, ALU_SBB, W16, RAX, RBX));
    CHECK("4419de", enc_alu_rr(e, ALU_SBB, W32, RSI, R11));
    CHECK("4919fc", enc_alu_rr(e, ALU_SBB, W64, R12, RDI));
    CHECK("20d8", enc_alu_rr(e, ALU_AND, W8, RAX, RBX));
    CHECK("664421de", enc_alu_rr(e, ALU_AND, W16, RSI, R11));
    CHECK("4121fc", enc_alu_rr(e, ALU_AND, W32, R12, RDI));
    CHECK("4d21f8", enc_alu_rr(e, ALU_AND, W64, R8, R15));
    CHECK("4428de", enc_alu_rr(e, ALU_SUB, W8, RSI, R11));
    CHECK("664129fc", enc_alu_rr(e, ALU_SUB, W16, R12, RDI));
    CHECK("4529f8", enc_alu_rr(e, ALU_SUB, W32, R8, R15));
    CHECK("4829d8", enc_alu_rr(e, ALU_SUB, W64, RAX, RBX));
    CHECK("4130fc", enc_alu_rr(e, ALU_XOR, W8, R12, RDI));
    CHECK("664531f8", enc_alu_rr(e, ALU_XOR, W16, R8, R15));
    CHECK("31d8", enc_alu_rr(e, ALU_XOR, W32, RAX, RBX));
    CHECK("4c31de", enc_alu_rr(e, ALU_XOR, W64, RSI, R11));
    CHECK("4538f8", enc_alu_rr(e, ALU_CMP, W8, R8, R15));
    CHECK("6639d8", enc_alu_rr(e, ALU_CMP, W16, RAX, RBX));
    CHECK("4439de", enc_alu_rr(e, ALU_CMP, W32, RSI, R11));
    CHECK("4939fc", enc_alu_rr(e, ALU_CMP, W64, R12, RDI));
    CHECK("4080ef05", enc_alu_ri(e, ALU_SUB, W8, RDI, 5));
    CHECK("4180e264", enc_alu_ri(e, ALU_AND, W8, R10, 100));
    CHECK("403a7508", enc_alu_rm(e, ALU_CMP, W8, RSI, mem_at(RBP, 8)));
}
END_TEST

START_TEST(test_width_forms_a)
{
    CHECK("47024c2500", enc_alu_rm(e, ALU_ADD, W8, R9, mem_indexed(R13, R12, 0)));
    CHECK("808580000000fd", enc_alu_mi(e, ALU_ADD, W8, mem_at(RBP, 128), -3));
    CHECK("4084ff", enc_test_rr(e, W8, RDI, RDI));
    CHECK("41f6c340", enc_test_ri(e, W8, R11, 64));
    CHECK("40f6d6", enc_unary(e, UN_NOT, W8, RSI));
    CHECK("41f6d8", enc_unary(e, UN_NEG, W8, R8));
    CHECK("fec2", enc_step(e, STEP_INC, W8, RDX));
    CHECK("41fece", enc_step(e, STEP_DEC, W8, R14));
    CHECK("40c0cf03", enc_shift_ri(e, SH_ROR, W8, RDI, 3));
    CHECK("41d2f9", enc_shift_cl(e, SH_SAR, W8, R9));
    CHECK("4488de", enc_mov_rr(e, W8, RSI, R11));
    CHECK("40887c2410", enc_store(e, W8, mem_at(RSP, 16), RDI));
    CHECK("46883c08", enc_store(e, W8, mem_indexed(RAX, R9, 0), R15));
    CHECK("41c64424fc4d", enc_store_imm(e, W8, mem_at(R12, -4), 77));
    CHECK("440fb69500100000", enc_load(e, W8, R10, mem_at(RBP, 4096)));
    CHECK("450fb65500", enc_load(e, W8, R10, mem_at(R13, 0)));
    CHECK("6683ef05", enc_alu_ri(e, ALU_SUB, W16, RDI, 5));
    CHECK("664181e2e803", enc_alu_ri(e, ALU_AND, W16, R10, 1000));
    CHECK("663b7508", enc_alu_rm(e, ALU_CMP, W16, RSI, mem_at(RBP, 8)));
    CHECK("6647034c2500", enc_alu_rm(e, ALU_ADD, W16, R9, mem_indexed(R13, R12, 0)));
    CHECK("66838580000000fd", enc_alu_mi(e, ALU_ADD, W16, mem_at(RBP, 128), -3));
    CHECK("6685ff", enc_test_rr(e, W16, RDI, RDI));
    CHECK("6641f7c34000", enc_test_ri(e, W16, R11, 64));
    CHECK("66f7d6", enc_unary(e, UN_NOT, W16, RSI));
    CHECK("6641f7d8", enc_unary(e, UN_NEG, W16, R8));
    CHECK("66ffc2", enc_step(e, STEP_INC, W16, RDX));
    CHECK("6641ffce", enc_step(e, STEP_DEC, W16, R14));
    CHECK("66c1cf03", enc_shift_ri(e, SH_ROR, W16, RDI, 3));
    CHECK("6641d3f9", enc_shift_cl(e, SH_SAR, W16, R9));
    CHECK("664489de", enc_mov_rr(e, W16, RSI, R11));
    CHECK("66897c2410", enc_store(e, W16, mem_at(RSP, 16), RDI));
    CHECK("6646893c08", enc_store(e, W16, mem_indexed(RAX, R9, 0), R15));
    CHECK("6641c74424fc4d00", enc_store_imm(e, W16, mem_at(R12, -4), 77));
    CHECK("440fb79500100000", enc_load(e, W16, R10, mem_at(RBP, 4096)));
    CHECK("450fb75500", enc_load(e, W16, R10, mem_at(R13, 0)));
}
END_TEST

START_TEST(test_width_forms_b)
{
    CHECK("83ef05", enc_alu_ri(e, ALU_SUB, W32, RDI, 5));
    CHECK("4181e2e8030000", enc_alu_ri(e, ALU_AND, W32, R10, 1000));
    CHECK("3b7508", enc_alu_rm(e, ALU_CMP, W32, RSI, mem_at(RBP, 8)));
    CHECK("47034c2500", enc_alu_rm(e, ALU_ADD, W32, R9, mem_indexed(R13, R12, 0)));
    CHECK("838580000000fd", enc_alu_mi(e, ALU_ADD, W32, mem_at(RBP, 128), -3));
    CHECK("85ff", enc_test_rr(e, W32, RDI, RDI));
    CHECK("41f7c340000000", enc_test_ri(e, W32, R11, 64));
    CHECK("f7d6", enc_unary(e, UN_NOT, W32, RSI));
    CHECK("41f7d8", enc_unary(e, UN_NEG, W32, R8));
    CHECK("ffc2", enc_step(e, STEP_INC, W32, RDX));
    CHECK("41ffce", enc_step(e, STEP_DEC, W32, R14));
    CHECK("c1cf03", enc_shift_ri(e, SH_ROR, W32, RDI, 3));
    CHECK("41d3f9", enc_shift_cl(e, SH_SAR, W32, R9));
    CHECK("4489de", enc_mov_rr(e, W32, RSI, R11));
    CHECK("897c2410", enc_store(e, W32, mem_at(RSP, 16), RDI));
    CHECK("46893c08", enc_store(e, W32, mem_indexed(RAX, R9, 0), R15));
    CHECK("41c74424fc4d000000", enc_store_imm(e, W32, mem_at(R12, -4), 77));
    CHECK("448b9500100000", enc_load(e, W32, R10, mem_at(RBP, 4096)));
    CHECK("458b5500", enc_load(e, W32, R10, mem_at(R13, 0)));
    CHECK("4883ef05", enc_alu_ri(e, ALU_SUB, W64, RDI, 5));
    CHECK("4981e2e8030000", enc_alu_ri(e, ALU_AND, W64, R10, 1000));
    CHECK("483b7508", enc_alu_rm(e, ALU_CMP, W64, RSI, mem_at(RBP, 8)));
    CHECK("4f034c2500", enc_alu_rm(e, ALU_ADD, W64, R9, mem_indexed(R13, R12, 0)));
    CHECK("48838580000000fd", enc_alu_mi(e, ALU_ADD, W64, mem_at(RBP, 128), -3));
    CHECK("4885ff", enc_test_rr(e, W64, RDI, RDI));
    CHECK("49f7c340000000", enc_test_ri(e, W64, R11, 64));
    CHECK("48f7d6", enc_unary(e, UN_NOT, W64, RSI));
    CHECK("49f7d8", enc_unary(e, UN_NEG, W64, R8));
    CHECK("48ffc2", enc_step(e, STEP_INC, W64, RDX));
    CHECK("49ffce", enc_step(e, STEP_DEC, W64, R14));
    CHECK("48c1cf03", enc_shift_ri(e, SH_ROR, W64, RDI, 3));
    CHECK("49d3f9", enc_shift_cl(e, SH_SAR, W64, R9));
    CHECK("4c89de", enc_mov_rr(e, W64, RSI, R11));
    CHECK("48897c2410", enc_store(e, W64, mem_at(RSP, 16), RDI));
    CHECK("4e893c08", enc_store(e, W64, mem_indexed(RAX, R9, 0), R15));
}
END_TEST

START_TEST(test_width_forms_c)
{
    CHECK("49c74424fc4d000000", enc_store_imm(e, W64, mem_at(R12, -4), 77));
    CHECK("4c8b9500100000", enc_load(e, W64, R10, mem_at(RBP, 4096)));
    CHECK("4d8b5500", enc_load(e, W64, R10, mem_at(R13, 0)));
    CHECK("66440fafc7", enc_imul_rr(e, W16, R8, RDI));
    CHECK("66416bc9f9", enc_imul_rri(e, W16, RCX, R9, -7));
    CHECK("664169c90903", enc_imul_rri(e, W16, RCX, R9, 777));
    CHECK("66440f4ed8", enc_cmov(e, CC_LE, W16, R11, RAX));
    CHECK("440fafc7", enc_imul_rr(e, W32, R8, RDI));
    CHECK("416bc9f9", enc_imul_rri(e, W32, RCX, R9, -7));
    CHECK("4169c909030000", enc_imul_rri(e, W32, RCX, R9, 777));
    CHECK("440f4ed8", enc_cmov(e, CC_LE, W32, R11, RAX));
    CHECK("4c0fafc7", enc_imul_rr(e, W64, R8, RDI));
    CHECK("496bc9f9", enc_imul_rri(e, W64, RCX, R9, -7));
    CHECK("4969c909030000", enc_imul_rri(e, W64, RCX, R9, 777));
    CHECK("4c0f4ed8", enc_cmov(e, CC_LE, W64, R11, RAX));
    CHECK("41f7e1", enc_unary(e, UN_MUL, W32, R9));
    CHECK("f7ef", enc_unary(e, UN_IMUL, W32, RDI));
    CHECK("440fbcc2", enc_bit_scan(e, OP_BSF, W32, R8, RDX));
    CHECK("410fbdf7", enc_bit_scan(e, OP_BSR, W32, RSI, R15));
    CHECK("f3440fb8c2", enc_count_bits(e, OP_POPCNT, W32, R8, RDX));
    CHECK("f3490fbcf7", enc_count_bits(e, OP_BSF, W64, RSI, R15));
    CHECK("f3410fbdc1", enc_count_bits(e, OP_BSR, W32, RAX, R9));
    CHECK("c442cbf5ca", enc_bit_field(e, 0xf2, OP_BIT_FIELD, W64, R9, RSI, R10));
    CHECK("c4e222f5c7", enc_bit_field(e, 0xf3, OP_BIT_FIELD, W32, RAX, R11, RDI));
    CHECK("c4e298f5d0", enc_bit_field(e, 0, OP_BIT_FIELD, W64, RDX, RAX, R12));
    CHECK("c46260f7c1", enc_bit_field(e, 0, OP_BEXTR, W32, R8, RCX, RBX));
    CHECK("f2400f38f0c6", enc_crc32(e, W8, RAX, RSI));
    CHECK("f2440f38f0ca", enc_crc32(e, W8, R9, RDX));
    CHECK("f266410f38f1ca", enc_crc32(e, W16, RCX, R10));
    CHECK("f2440f38f1c7", enc_crc32(e, W32, R8, RDI));
    CHECK("f2480f38f1d3", enc_crc32(e, W64, RDX, RBX));
    CHECK("410fbae207", enc_bt_ri(e, W32, R10, 7));
    CHECK("c4c2b3f6c0", enc_mulx(e, W64, RAX, R9, R8));
    CHECK("c46253f6c6", enc_mulx(e, W32, R8, RBP, RSI));
    CHECK("99", enc_cwd(e, W32));
    CHECK("4899", enc_cwd(e, W64));
    CHECK("49f7f1", enc_unary(e, UN_DIV, W64, R9));
    CHECK("f7fe", enc_unary(e, UN_IDIV, W32, RSI));
    CHECK("410fcb", enc_bswap(e, W32, R11));
    CHECK("0fcf", enc_bswap(e, W32, RDI));
    CHECK("428d94267fffffff", enc_lea(e, W32, RDX, mem_indexed(RSI, R12, -129)));
    CHECK("458d0c24", enc_lea(e, W32, R9, mem_at(R12, 0)));
    CHECK("c4e3fbf0fe07", enc_rorx(e, W64, RDI, RSI, 7));
    CHECK("c4437bf0c407", enc_rorx(e, W32, R8, R12, 7));
    CHECK("c4e3fbf0c307", enc_rorx(e, W64, RAX, RBX, 7));
    CHECK("4a8d14e6", enc_lea(e, W64, RDX, mem_scaled(RSI, R12, 3)));
    CHECK("458d4c4500", enc_lea(e, W32, R9, mem_scaled(R13, RAX, 1)));
    CHECK("488d049c", enc_lea(e, W64, RAX, mem_scaled(RSP, RBX, 2)));
    CHECK("49f7e1", enc_unary(e, UN_MUL, W64, R9));
    CHECK("48f7ef", enc_unary(e, UN_IMUL, W64, RDI));
    CHECK("4c0fbcc2", enc_bit_scan(e, OP_BSF, W64, R8, RDX));
    CHECK("490fbdf7", enc_bit_scan(e, OP_BSR, W64, RSI, R15));
    CHECK("490fbae207", enc_bt_ri(e, W64, R10, 7));
    CHECK("490fcb", enc_bswap(e, W64, R11));
    CHECK("480fcf", enc_bswap(e, W64, RDI));
    CHECK("4a8d94267fffffff", enc_lea(e, W64, RDX, mem_indexed(RSI, R12, -129)));
    CHECK("4d8d0c24", enc_lea(e, W64, R9, mem_at(R12, 0)));
    CHECK("400f92c7", enc_setcc(e, CC_B, RDI));
    CHECK("410f9fc1", enc_setcc(e, CC_G, R9));
}
END_TEST

START_TEST(test_rest)
{
    CHECK("0f9bc0", enc_setcc(e, CC_NP, RAX));
    CHECK("4c87c2", enc_xchg(e, RDX, R8));
    CHECK("b800000000", enc_mov_ri(e, RAX, 0));
    CHECK("41b9ffffffff", enc_mov_ri(e, R9, 0xffffffff));
    CHECK("49c7c100ffffff", enc_mov_ri(e, R9, UINT64_C(0xffffffffffffff00)));
    CHECK("48bff0debc9a78563412", enc_mov_ri(e, RDI, UINT64_C(0x123456789abcdef0)));
    CHECK("440fb6c6", enc_zext(e, W8, R8, RSI));
    CHECK("440fb7c6", enc_zext(e, W16, R8, RSI));
    CHECK("440fbec6", enc_sext(e, W8, W32, R8, RSI));
    CHECK("440fbfc6", enc_sext(e, W16, W32, R8, RSI));
    CHECK("4c0fbec6", enc_sext(e, W8, W64, R8, RSI));
    CHECK("4c0fbfc6", enc_sext(e, W16, W64, R8, RSI));
    CHECK("4489cf", enc_zext(e, W32, RDI, R9));
    CHECK("4963c4", enc_sext(e, W32, W64, RAX, R12));
    CHECK("4154", enc_push(e, R12));
    CHECK("55", enc_push(e, RBP));
    CHECK("415f", enc_pop(e, R15));
    CHECK("5b", enc_pop(e, RBX));
    CHECK("9c", enc_pushf(e));
    CHECK("ffa40d00020000", enc_jmp_mem(e, mem_indexed(RBP, RCX, 512)));
    CHECK("ffe6", enc_jmp_reg(e, RSI));
    CHECK("41ffe3", enc_jmp_reg(e, R11));
    CHECK("ffd0", enc_call_reg(e, RAX));
    CHECK("c3", enc_ret(e));
    CHECK("0f0b", enc_ud2(e));
    CHECK("0f104d40", enc_sse_mem(e, 0, OP_MOVUPS_LOAD, 1, mem_at(RBP, 64)));
    CHECK("430f11040b", enc_sse_mem(e, 0, OP_MOVUPS_STORE, 0, mem_indexed(R11, R9, 0)));
    CHECK("f3410f7e4008", enc_sse_mem(e, 0xf3, OP_MOVQ_LOAD, 0, mem_at(R8, 8)));
    CHECK("660fd64d08", enc_sse_mem(e, 0x66, OP_MOVQ_STORE, 1, mem_at(RBP, 8)));
    CHECK("660fd4c1", enc_sse_rr(e, 0x66, W32, 0x0fd4, 0, 1));
    CHECK("f20f5ad3", enc_sse_rr(e, 0xf2, W32, 0x0f5a, 2, 3));
    CHECK("0fae952c010000", enc_ldmxcsr(e, mem_at(RBP, 300)));
    CHECK("0fae5c2428", enc_stmxcsr(e, mem_at(RSP, 40)));
}
END_TEST

START_TEST(test_jumps)
{
    uint8_t buf[64];
    struct enc e = { buf };
    uint8_t *far = enc_jcc32(&e, CC_NE), *near = enc_jcc8(&e, CC_L);

    enc_patch32(far, e.at);
    enc_patch8(near, buf);
    enc_jmp_to(&e, buf);
    enc_call_to(&e, buf);
    enc_jcc_to(&e, CC_B, buf);
    static const uint8_t expected[] = {
        0x0f, 0x85, 2, 0, 0, 0, 0x7c, 0xf8, 0xe9, 0xf3, 0xff, 0xff, 0xff, 0xe8, 0xee, 0xff, 0xff, 0xff,
        0x0f, 0x82, 0xe8, 0xff, 0xff, 0xff,
    };
    ck_assert_uint_eq((unsigned)(e.at - buf), sizeof(expected));
    ck_assert_mem_eq(buf, expected, sizeof(expected));
}
END_TEST

/* Each length is that many bytes, made of the forms of the SDM: none longer than seven. */
START_TEST(test_nops)
{
    for (unsigned n = 0; n < 16; n++) {
        uint8_t buf[16];
        struct enc e = { buf };
        enc_nops(&e, n);
        ck_assert_uint_eq((unsigned)(e.at - buf), n);
        ck_assert(n == 0 || buf[0] == 0x90 || buf[0] == 0x66 || buf[0] == 0x0f);
    }
}
END_TEST

Suite *x86_enc_suite(void)
{
    Suite *s = suite_create("x86_enc");
    TCase *t = tcase_create("bytes");
    tcase_add_test(t, test_alu);
    tcase_add_test(t, test_locked);
    tcase_add_test(t, test_width_forms_a);
    tcase_add_test(t, test_width_forms_b);
    tcase_add_test(t, test_width_forms_c);
    tcase_add_test(t, test_rest);
    tcase_add_test(t, test_jumps);
    tcase_add_test(t, test_nops);
    suite_add_tcase(s, t);
    return s;
}
