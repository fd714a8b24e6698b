/* Where an interrupt that waits is taken: behind STI and what follows it, POPF, IRET, a load of SS (SDM vol. 2, STI;
 * vol. 3, 6.8), wherever in its page and in a block the instruction stands. */
#include <check.h>
#include <string.h>

#include "cpu_fixture.h"

enum { C = CF_CODE, ENGINES = 2, PLACES = 18 };

#define INTR 0xe6, CF_PORT_INTR /* out: from here on an interrupt waits */
#define STI 0xfb
#define CLI 0xfa
#define INC 0x40
#define IRET 0xcf
/* Return to what follows, with these flags. */
#define IRET_TO_NEXT(fl, fl16) 0x68, fl, 0x02, fl16, 0, 0x6a, CF_KCODE, 0xe8, 0, 0, 0, 0, 0x83, 0x04, 0x24, 5, IRET
#define RF 1 /* bit 16 */
#define PUSHF_POPF_ON 0x68, 0x02, 0x02, 0x00, 0x00, 0x9d /* push 0x202; popf */
#define PUSHF_POPF_TF 0x68, 0x02, 0x01, 0x00, 0x00, 0x9d /* push 0x102; popf */
#define MOV_AX_SS 0x8c, 0xd0
#define MOV_SS_AX 0x8e, 0xd0

#define WITH_RF 0x100 /* in the image of EFLAGS; faults always have it */

/* `at`: what the handler finds as return address, from the first byte. */
static const struct {
    const char *name;
    uint8_t code[32];
    int vector, at;
} row[] = {
    { "waits, one instruction later", { INTR, STI, INC, INC }, 0x20, 4 },
    { "comes in the shadow", { STI, INTR, INC }, 0x20, 3 },
    { "comes behind the shadow", { STI, INC, INTR, INC }, 0x20, 4 },
    { "sti; cli takes none", { INTR, STI, CLI, INC }, -1, 0 },
    { "sti; cli, from between", { STI, CLI, INTR, INC }, -1, 0 },
    { "sti; nop; cli takes it", { INTR, STI, 0x90, CLI, INC }, 0x20, 4 },
    { "a second sti holds nothing back", { INTR, STI, STI, INC, INC }, 0x20, 4 },
    { "sti with interrupts on", { STI, INC, INTR, STI, INC }, 0x20, 4 },
    { "sti with interrupts on, comes behind it", { STI, INC, STI, INTR, INC }, 0x20, 5 },
    { "behind a jump", { INTR, STI, 0xeb, 0x01, INC, INC, INC }, 0x20, 6 },
    { "behind a jump not taken", { INTR, 0x31, 0xc0, STI, 0x75, 0x01, INC, INC }, 0x20, 7 },
    { "behind a call and a return", { INTR, 0xe8, 1, 0, 0, 0, INC, STI, 0xc3 }, 0x20, 7 },
    { "hlt in the shadow", { INTR, STI, 0xf4, INC }, 0x20, 4 },
    { "hlt, from between", { STI, INC, CLI, INTR, STI, 0xf4, INC }, 0x20, 7 },
    { "the shadow goes on behind a load of ss", { MOV_AX_SS, STI, MOV_SS_AX, INTR, INC }, 0x20, 7 },
    { "ud2 in the shadow", { INTR, STI, 0x0f, 0x0b }, EX_UD, 3 },
    { "a fault in the middle of a block", { STI, 0x0f, 0x0b }, EX_UD, 1 },
    { "popf", { INTR, PUSHF_POPF_ON, INC }, 0x20, 8 },
    { "popf, from between", { PUSHF_POPF_ON, INTR, INC }, 0x20, 8 },
    { "a single step over sti", { PUSHF_POPF_TF, STI, INC, INC }, EX_DB, 7 },
    { "a single step before an interrupt", { INTR, PUSHF_POPF_TF, STI, INC, INC }, EX_DB, 9 },
    { "iret", { INTR, IRET_TO_NEXT(2, 0), INC }, 0x20, 19 },
    { "iret that loads rf", { INTR, IRET_TO_NEXT(2, RF), INC }, 0x20, 19 | WITH_RF },
    { "iret that loads rf, comes behind", { IRET_TO_NEXT(2, RF), INTR, INC }, 0x20, 19 },
    { "iret that loads rf, comes later", { IRET_TO_NEXT(2, RF), INC, INTR, INC }, 0x20, 20 },
    { "rf and a jump", { IRET_TO_NEXT(2, RF), 0xeb, 0, INTR }, 0x20, 21 },
    { "rf and sti in one", { IRET_TO_NEXT(2, RF), STI, INTR }, 0x20, 20 },
    { "rf and a call of a gate", { IRET_TO_NEXT(2, RF), 0xcd, 0x21 }, 0x21, 19 },
    { "rf and ud2", { IRET_TO_NEXT(2, RF), 0x0f, 0x0b }, EX_UD, 17 },
    { "rf and another ud2 later", { IRET_TO_NEXT(2, RF), 0x90, 0x0f, 0x0b }, EX_UD, 18 },
    { "rf and popf", { 0x68, 2, 2, 0, 0, IRET_TO_NEXT(2, RF), 0x9d, INTR }, 0x20, 25 },
    { "rf, and lodsb", { IRET_TO_NEXT(2, RF), 0xac, INTR }, 0x20, 20 },
    { "rf, and rep lodsb", { 0x6a, 3, 0x59, IRET_TO_NEXT(2, RF), 0xf3, 0xac, INTR }, 0x20, 24 },
    { "rf and tf", { 0x68, 2, 1, RF, 0, 0x6a, CF_KCODE, 0xe8, 0, 0, 0, 0, 0x83, 0x04, 0x24, 5, IRET, INC, INC },
      EX_DB, 18 },
};

/* At the end of a page and at the start of the next one: blocks end there. */
static uint64_t place(int n)
{
    return n ? C + 0x1000 - PLACES + (uint64_t)n : C;
}

START_TEST(test_interrupt_is_taken)
{
    unsigned i = (unsigned)_i / (ENGINES * PLACES);
    uint64_t pc = place(_i / ENGINES % PLACES);

    cf_setup_engine(_i % ENGINES);
    for (unsigned k = 0; k < 64; k++)
        cf_poke(pc + k, 0x90, 1);
    CF_CODE_AT(C + 0x1100, CF_STOP);
    cf_poke(pc + 64, 0xe9, 1);
    cf_poke(pc + 65, C + 0x1100 - (pc + 69), 4);
    cf_code(pc, row[i].code, sizeof(row[i].code));
    for (unsigned k = sizeof(row[i].code); k-- && !row[i].code[k];)
        cf_poke(pc + k, 0x90, 1);
    cf_run(pc);
    ck_assert_msg(cf_last_vector() == row[i].vector, "%s at %x: vector %d", row[i].name, (unsigned)pc,
                  cf_last_vector());
    if (row[i].vector >= 0)
        ck_assert_msg(cf_peek(cf.cpu->gpr[R_SP], 4) == pc + (row[i].at & 0xff), "%s at %x: at %d", row[i].name,
                      (unsigned)pc, (int)(cf_peek(cf.cpu->gpr[R_SP], 4) - pc));
    if (row[i].vector >= 0)
        ck_assert_msg((cf_peek(cf.cpu->gpr[R_SP] + 8, 4) & FL_RF) == (row[i].vector == EX_UD || (row[i].at & WITH_RF) ? FL_RF : 0),
                      "%s: RF", row[i].name);
    ck_assert(!(cf.cpu->mode & MODE_SHADOW));
}
END_TEST

/* A store into the running block takes the instruction behind STI out of it: the shadow is still over it. */
START_TEST(test_restart_keeps_shadow)
{
    cf_setup_engine(_i);
    /* sti; mov byte [C+9],0x41; inc eax (becomes inc ecx) */
    CF_CODE_AT(C, STI, 0xc6, 0x05, 0x09, 0x00, 0x01, 0x00, 0x41, 0x90, INC, CF_STOP);
    cf_run(C);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 1);
    ck_assert(cf.cpu->eflags & FL_IF);
    ck_assert(!(cf.cpu->mode & MODE_SHADOW));
}
END_TEST

Suite *shadow_suite(void)
{
    Suite *s = suite_create("shadow");
    TCase *tc = tcase_create("shadow");

    tcase_add_checked_fixture(tc, NULL, cf_teardown);
    tcase_add_loop_test(tc, test_interrupt_is_taken, 0, (int)(ENGINES * PLACES * sizeof(row) / sizeof(*row)));
    tcase_add_loop_test(tc, test_restart_keeps_shadow, 0, ENGINES);
    suite_add_tcase(s, tc);
    return s;
}
