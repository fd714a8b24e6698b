/* The environments: segments as Linux gives them to processes, and some of our own from the LDT. */
#include <cpuid.h>
#include <asm/hwcap2.h>
#include <sys/auxv.h>

#include "tests/insn/insn.h"

#define CODE_ATTR (ATTR_P | ATTR_DPL | ATTR_S | ATTR_CODE | ATTR_R | ATTR_A)
#define DATA_ATTR (ATTR_P | ATTR_DPL | ATTR_S | ATTR_W | ATTR_A)
#define FLAT_ATTR (DATA_ATTR | ATTR_DB | ATTR_G)
#define LDT(n) ((n) << 3 | 7)
#define USER_DS { 0x2b, 0, UINT32_MAX, FLAT_ATTR }
/* Offsets of the data area differ from segment to segment, so that a wrong one is noticed. */
#define DATA_BASE (DATA_LIN - 0x4000)
#define GS_FLAT { LDT(0), DATA_BASE + 0x300, UINT32_MAX, FLAT_ATTR }
#define FS_FLAT { LDT(11), DATA_BASE + 0x400, UINT32_MAX, FLAT_ATTR }

const struct env_segment env_segments[ENV_NUM][S_NUM] = {
    [ENV_64] = { USER_DS, { 0x33, 0, UINT32_MAX, CODE_ATTR | ATTR_L | ATTR_G }, USER_DS, USER_DS,
                 FS_FLAT, GS_FLAT },
    [ENV_32] = { USER_DS, { 0x23, 0, UINT32_MAX, CODE_ATTR | ATTR_DB | ATTR_G }, USER_DS, USER_DS,
                 FS_FLAT, GS_FLAT },
    [ENV_32_SEGMENTED] = {
        { LDT(1), DATA_BASE + 0x100, 0x5eff, DATA_ATTR | ATTR_DB },
        { LDT(2), CODE_LIN - 0x8000, 0x1ffff, CODE_ATTR | ATTR_DB },
        { LDT(3), DATA_BASE + 0x200, 0x3dff, DATA_ATTR | ATTR_DB | ATTR_E },
        { LDT(4), DATA_BASE, 0x6fff, DATA_ATTR | ATTR_DB },
        { LDT(12), DATA_BASE + 0x400, 0x1fffff, DATA_ATTR | ATTR_DB | ATTR_G },
        { LDT(5), DATA_BASE + 0x300, 0xfffff, (DATA_ATTR & ~ATTR_W) | ATTR_DB } },
    [ENV_16] = {
        { LDT(6), DATA_BASE + 0x100, 0x5eff, DATA_ATTR },
        { LDT(7), CODE_LIN - 0x8000, 0xffff, CODE_ATTR },
        { LDT(8), DATA_BASE + 0x200, 0xffff, DATA_ATTR },
        { LDT(9), DATA_BASE, 0xffff, DATA_ATTR },
        { LDT(13), DATA_BASE + 0x400, 0xffff, DATA_ATTR },
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
    return env == ENV_64 && seg < S_FS ? 0 : env_segments[env][seg].base;
}

bool host_is_amd(void)
{
    return __builtin_cpu_is("amd");
}

static uint64_t read_xcr0(void)
{
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static bool needs_avx(unsigned feature)
{
    return feature == FEAT_AVX || feature == FEAT_AVX2 || feature == FEAT_FMA || feature == FEAT_F16C;
}

static bool is_enabled(const struct host_cpu *cpu, unsigned feature)
{
    if (feature == FEAT_FSGSBASE)
        return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
    return !needs_avx(feature) || (cpu->xcr0 & XCR0_AVX);
}

void host_cpu_read(struct host_cpu *cpu)
{
    static const struct { uint32_t leaf; uint8_t sub, reg, bit; } where[FEAT_NUM] = {
#define WHERE(name, spelling, leaf, sub, reg, bit) [FEAT_##name] = { leaf, sub, reg, bit },
        CPU_FEATURES(WHERE)
#undef WHERE
    };
    uint32_t r[4];

    cpu->xcr0 = read_xcr0();
    for (unsigned i = 0; i < FEAT_NUM; i++) {
        cpu->has[i] = true;
        if (where[i].leaf)
            cpu->has[i] = __get_cpuid_count(where[i].leaf, where[i].sub, &r[0], &r[1], &r[2], &r[3]) &&
                          (r[where[i].reg] >> where[i].bit & 1) && is_enabled(cpu, i);
    }
}

uint64_t case_rip(const struct test_case *c)
{
    return CODE_LIN + c->code_off - env_base(c->env, S_CS);
}
