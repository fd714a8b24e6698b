/* The environments: segments as Linux gives them to processes, and some of our own from the LDT. */
#include "tests/insn/insn.h"

#define CODE_ATTR (ATTR_P | ATTR_DPL | ATTR_S | ATTR_CODE | ATTR_R | ATTR_A)
#define DATA_ATTR (ATTR_P | ATTR_DPL | ATTR_S | ATTR_W | ATTR_A)
#define FLAT_ATTR (DATA_ATTR | ATTR_DB | ATTR_G)
#define LDT(n) ((n) << 3 | 7)
#define NULL_SEGMENT { 0, 0, 0, 0 }
#define USER_DS { 0x2b, 0, UINT32_MAX, FLAT_ATTR }
/* Offsets of the data area differ from segment to segment, so that a wrong one is noticed. */
#define DATA_BASE (DATA_LIN - 0x4000)
#define GS_FLAT { LDT(0), DATA_BASE + 0x300, UINT32_MAX, FLAT_ATTR }

const struct env_segment env_segments[ENV_NUM][S_NUM] = {
    [ENV_64] = { USER_DS, { 0x33, 0, UINT32_MAX, CODE_ATTR | ATTR_L | ATTR_G }, USER_DS, USER_DS,
                 NULL_SEGMENT, GS_FLAT },
    [ENV_32] = { USER_DS, { 0x23, 0, UINT32_MAX, CODE_ATTR | ATTR_DB | ATTR_G }, USER_DS, USER_DS,
                 NULL_SEGMENT, GS_FLAT },
    [ENV_32_SEGMENTED] = {
        { LDT(1), DATA_BASE + 0x100, 0x5eff, DATA_ATTR | ATTR_DB },
        { LDT(2), CODE_LIN - 0x8000, 0x1ffff, CODE_ATTR | ATTR_DB },
        { LDT(3), DATA_BASE + 0x200, 0x3dff, DATA_ATTR | ATTR_DB | ATTR_E },
        { LDT(4), DATA_BASE, 0x6fff, DATA_ATTR | ATTR_DB },
        NULL_SEGMENT,
        { LDT(5), DATA_BASE + 0x300, 0xfffff, (DATA_ATTR & ~ATTR_W) | ATTR_DB } },
    [ENV_16] = {
        { LDT(6), DATA_BASE + 0x100, 0x5eff, DATA_ATTR },
        { LDT(7), CODE_LIN - 0x8000, 0xffff, CODE_ATTR },
        { LDT(8), DATA_BASE + 0x200, 0xffff, DATA_ATTR },
        { LDT(9), DATA_BASE, 0xffff, DATA_ATTR },
        NULL_SEGMENT,
        { LDT(10), DATA_BASE + 0x300, 0xffff, DATA_ATTR } },
};

unsigned env_bits(enum env env)
{
    return env == ENV_64 ? 64 : env == ENV_16 ? 16 : 32;
}

const char *env_name(enum env env)
{
    static const char *const names[ENV_NUM] = { "64-bit", "32-bit", "32-bit segmented", "16-bit" };

    return names[env];
}

uint32_t env_base(enum env env, unsigned seg)
{
    return env == ENV_64 && seg != S_GS ? 0 : env_segments[env][seg].base;
}

bool host_is_amd(void)
{
    return __builtin_cpu_is("amd");
}

uint64_t case_rip(const struct test_case *c)
{
    return CODE_LIN + c->code_off - env_base(c->env, S_CS);
}
