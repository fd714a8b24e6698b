/* cpu/smm: system management mode with both engines. SDM vol. 3, chapter 32 (32-bit save area: table 32-1);
 * AMD64 manual vol. 2, chapter 10 (64-bit save area: table 10-1). */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu_fixture.h"

enum { C = CF_CODE, SMBASE = 0x30000, ENTRY = SMBASE + 0x8000, NEW_BASE = 0x60000, AREA64 = SMBASE + 0xfe00 };
#define RSM 0x0f, 0xaa

static void engine_of(const char *model, int interp)
{
    struct cpu_options opt = { .model = model, .interp = interp, .optimise = true, .verify = true };

    cf_setup(&opt);
}

/* Run from `rip` with an SMI waiting: it is taken before the first instruction. */
static void run_smi(uint64_t rip)
{
    cpu_raise(cf.cpu, CPU_PIN_SMI);
    cf_run(rip);
}

static bool in_smm(void)
{
    return cf.cpu->mode & MODE_SMM;
}

START_TEST(test_entry)
{
    struct cpu *cpu;

    engine_of("max", _i);
    cpu = cf.cpu;
    CF_CODE_AT(ENTRY, CF_STOP);
    cpu->cr0 |= CR0_NE | CR0_WP | CR0_TS;
    cpu->cr4 = CR4_PSE;
    cpu->dr[7] = 0x401;
    cpu_set_eflags(cpu, FL_IF | FL_CF, FL_IF | FL_CF);
    cpu_update_mode(cpu);
    run_smi(C);
    ck_assert(in_smm());
    ck_assert_uint_eq(cpu->seg[S_CS].selector, 0x3000);
    ck_assert_uint_eq(cpu->seg[S_CS].base, SMBASE);
    ck_assert_uint_eq(cpu->seg[S_CS].limit, UINT32_MAX);
    for (unsigned i = 0; i < S_NUM; i++) {
        ck_assert_uint_eq(cpu->seg[i].limit, UINT32_MAX);
        ck_assert_uint_eq(i == S_CS ? 0 : cpu->seg[i].selector | cpu->seg[i].base, 0);
    }
    ck_assert_uint_eq(cpu->cr0, CR0_ET | CR0_NE | CR0_WP);
    ck_assert_uint_eq(cpu->cr4 | cpu->efer, 0);
    ck_assert_uint_eq(cpu->dr[7], 0x400);
    ck_assert_uint_eq(cpu_get_eflags(cpu), 2);
    ck_assert_uint_eq(cpu_cpl(cpu), 0);
    ck_assert_uint_eq(cpu->gdt.base, CF_GDT);
    ck_assert_uint_eq(cpu->seg[S_TR].selector, CF_TR);
    ck_assert(cpu->rip == 0x8000 || cpu->rip == 0x8002);
}
END_TEST

START_TEST(test_area_64)
{
    struct cpu *cpu;

    engine_of("max", _i);
    cpu = cf.cpu;
    CF_CODE_AT(ENTRY, CF_STOP);
    cf_enter_long();
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = UINT64_C(0x1111111100000000) + i;
    cpu_set_eflags(cpu, FL_ZF, FL_ZF);
    cpu->seg[S_FS].base = UINT64_C(0xffff800000001234);
    run_smi(C);
    ck_assert(in_smm());
    ck_assert_uint_eq(cf_peek(AREA64 + 0xfc, 4), 0x20064);      /* revision */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x100, 4), SMBASE);
    ck_assert_uint_eq(cf_peek(AREA64 + 0xc9, 1), 0);            /* not halted */
    ck_assert_uint_eq(cf_peek(AREA64 + 0xd0, 8), EFER_LME | EFER_LMA);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x148, 8), CR4_PAE | CR4_OSFXSR);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x150, 8), CF_TABLES);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x158, 8), CR0_PE | CR0_ET | CR0_NE | CR0_PG);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x160, 8), 0x400);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x170, 8), FL_ZF | 2);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x178, 8), C);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x180, 8), UINT64_C(0x111111110000000f)); /* R15 */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x1b8, 8), UINT64_C(0x1111111100000008));
    ck_assert_uint_eq(cf_peek(AREA64 + 0x1c0, 8), UINT64_C(0x1111111100000007)); /* RDI */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x1d8, 8), UINT64_C(0x1111111100000004)); /* RSP */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x1e0, 8), UINT64_C(0x1111111100000003)); /* RBX */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x1f8, 8), UINT64_C(0x1111111100000000)); /* RAX */
    ck_assert_uint_eq(cf_peek(AREA64 + 0x10, 2), CF_CODE64);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x12, 2), 0xa9b);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x14, 4), UINT32_MAX);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x48, 8), UINT64_C(0xffff800000001234));
    ck_assert_uint_eq(cf_peek(AREA64 + 0x64, 2), 0x4f);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x68, 8), CF_GDT);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x88, 8), CF_IDT);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x90, 2), CF_TR);
    ck_assert_uint_eq(cf_peek(AREA64 + 0x98, 8), CF_TSS);
}
END_TEST

START_TEST(test_area_32)
{
    static const struct { uint32_t at, value; } x[] = {
        { 0x7ffc, CR0_PE | CR0_ET | CR0_NE }, { 0x7ff8, 0x123000 }, { 0x7ff4, FL_CF | 2 }, { 0x7ff0, C },
        { 0x7fec, 0x107 }, { 0x7fe8, 0x106 }, { 0x7fe4, 0x105 }, { 0x7fe0, 0x104 }, { 0x7fdc, 0x103 },
        { 0x7fd8, 0x102 }, { 0x7fd4, 0x101 }, { 0x7fd0, 0x100 }, { 0x7fcc, 0xffff0ff1 }, { 0x7fc8, 0x400 },
        { 0x7fc4, CF_TR }, { 0x7fc0, 0 }, { 0x7fbc, CF_KDATA }, { 0x7fb8, CF_KDATA }, { 0x7fb4, CF_KDATA },
        { 0x7fb0, CF_KDATA }, { 0x7fac, CF_KCODE }, { 0x7fa8, CF_KDATA }, { 0x7f00, 0 }, { 0x7efc, 0x20000 },
        { 0x7ef8, SMBASE },
    };

    engine_of("pentium3", _i);
    CF_CODE_AT(ENTRY, CF_STOP);
    for (unsigned i = 0; i < 8; i++)
        cf.cpu->gpr[i] = 0x100 + i;
    cpu_set_eflags(cf.cpu, FL_CF, FL_CF);
    cf.cpu->cr3 = 0x123000;
    cf.cpu->dr[6] |= 1;
    run_smi(C);
    ck_assert(in_smm());
    for (unsigned i = 0; i < ARRAY_LEN(x); i++)
        ck_assert_msg(cf_peek(SMBASE + 0x8000 + x[i].at, 4) == x[i].value, "%x: %x, expected %x", x[i].at,
                      (unsigned)cf_peek(SMBASE + 0x8000 + x[i].at, 4), x[i].value);
}
END_TEST

/* Everything is as before, in a mode that real-address mode is far from. */
START_TEST(test_rsm_returns)
{
    struct cpu *cpu, *before = aligned_alloc(64, align_up(sizeof(*before), 64));

    engine_of(_i & 2 ? "pentium3" : "max", _i & 1);
    cpu = cf.cpu;
    cf_page_32();
    cf_enter_user();
    CF_CODE_AT(ENTRY, 0x66, 0xb8, 1, 2, 3, 4, RSM); /* mov eax,imm32 */
    CF_CODE_AT(C, 0x40, 0x75, 0x00, CF_STOP);       /* inc eax; jnz */
    cpu_set_eflags(cpu, FL_IF | FL_ZF | FL_IOPL, FL_IF | FL_ZF | FL_IOPL);
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = UINT32_C(0x87650000) + i;
    memcpy(before, cpu, sizeof(*cpu));
    run_smi(C);
    ck_assert(!in_smm());
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cpu->gpr[R_AX] & ~UINT64_C(0xff), UINT32_C(0x87650000));
    ck_assert_mem_eq(cpu->gpr + 1, before->gpr + 1, 7 * sizeof(before->gpr[0]));
    ck_assert_mem_eq(cpu->seg, before->seg, sizeof(before->seg));
    ck_assert_uint_eq(cpu->cr0, before->cr0);
    ck_assert_uint_eq(cpu->cr3, before->cr3);
    ck_assert_uint_eq(cpu->mode, before->mode);
    ck_assert_uint_eq(cpu->eflags, before->eflags);
    ck_assert_uint_eq(cpu->gdt.base + cpu->gdt.limit, before->gdt.base + before->gdt.limit);
    ck_assert_uint_eq(cpu->idt.base + cpu->idt.limit, before->idt.base + before->idt.limit);
    ck_assert_uint_eq(cpu_cpl(cpu), 3);
    free(before);
}
END_TEST

/* The handler changes what RSM loads: RAX, RIP, SMBASE. */
START_TEST(test_rsm_loads_changes)
{
    engine_of("max", _i);
    /* mov byte [0xfff8],0x5a; mov dword [0xff78],C+0x100; mov dword [0xff00],NEW_BASE, all through cs; rsm */
    CF_CODE_AT(ENTRY, 0x2e, 0xc6, 0x06, 0xf8, 0xff, 0x5a, 0x66, 0x2e, 0xc7, 0x06, 0x78, 0xff, 0x00, 0x01,
               0x01, 0x00, 0x66, 0x2e, 0xc7, 0x06, 0x00, 0xff, 0x00, 0x00, 0x06, 0x00, RSM);
    CF_CODE_AT(NEW_BASE + 0x8000, 0xb0, 0x66, CF_OUT_AL, RSM);
    CF_CODE_AT(C + 0x100, CF_OUT_AL, CF_STOP);
    run_smi(C);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_uint_eq(cf.out[0], 0x5a);
    ck_assert_uint_eq(cf.cpu->smbase, NEW_BASE);
    run_smi(C + 0x100);
    ck_assert_uint_eq(cf.num_out, 2);
    ck_assert_uint_eq(cf.out[0], 0x66);
    ck_assert_uint_eq(cf_peek(NEW_BASE + 0xff00, 4), NEW_BASE);
    cpu_raise(cf.cpu, CPU_PIN_RESET);
    cpu_raise(cf.cpu, CPU_PIN_STOP);
    cf.cpu->rip = C;
    cpu_run(cf.cpu); /* stops at once */
    cpu_reset(cf.cpu);
    ck_assert_uint_eq(cf.cpu->smbase, SMBASE);
}
END_TEST

START_TEST(test_rsm_outside)
{
    engine_of("max", _i);
    CF_CODE_AT(C, RSM, CF_STOP);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
}
END_TEST

START_TEST(test_long_mode_returns)
{
    engine_of("max", _i);
    cf_enter_long();
    CF_CODE_AT(ENTRY, RSM);
    /* mov rax,r8; shr rax,32; out */
    CF_CODE_AT(C, 0x4c, 0x89, 0xc0, 0x48, 0xc1, 0xe8, 0x20, CF_OUT_AL, CF_STOP);
    cf.cpu->gpr[8] = UINT64_C(0x4400000000);
    cf.cpu->kernel_gs_base = 0x77;
    run_smi(C);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_uint_eq(cf.out[0], 0x44);
    ck_assert(cpu_code64(cf.cpu));
    ck_assert_uint_eq(cf.cpu->efer, EFER_LME | EFER_LMA);
    ck_assert_uint_eq(cf.cpu->kernel_gs_base, 0x77);
}
END_TEST

/* ---- events ---- */

/* Auto HALT restart: field as found, then cleared. */
START_TEST(test_hlt)
{
    engine_of("max", _i);
    CF_CODE_AT(C, 0xf4, 0xb0, 0x31, CF_OUT_AL, CF_STOP);
    CF_CODE_AT(ENTRY, 0x2e, 0xa0, 0xc9, 0xfe, CF_OUT_AL, RSM); /* mov al,cs:[0xfec9]; out; rsm */
    cf.cpu->halted = 1;
    cpu_raise(cf.cpu, CPU_PIN_SMI | CPU_PIN_NMI);
    cf_run(C + 1); /* SMI first; back in HLT, the NMI ends it */
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_uint_eq(cf.out[0], 1);
    ck_assert_int_eq(cf_last_vector(), EX_NMI);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 1);
    cf.cpu->nmi_blocked = 0;
    CF_CODE_AT(ENTRY, 0x2e, 0xc6, 0x06, 0xc9, 0xfe, 0x00, RSM); /* mov byte cs:[0xfec9],0 */
    cf.cpu->halted = 1;
    run_smi(C + 1);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_uint_eq(cf.out[0], 0x31);
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

START_TEST(test_nmi_waits_for_rsm)
{
    engine_of("max", _i);
    CF_CODE_AT(ENTRY, 0xb0, 0x41, CF_OUT_AL, RSM);
    CF_CODE_AT(C, 0x90, CF_STOP);
    cpu_raise(cf.cpu, CPU_PIN_SMI | CPU_PIN_NMI);
    cf_run(C);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_int_eq(cf_last_vector(), EX_NMI);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C);
    ck_assert_uint_eq(cf.cpu->nmi_blocked, 1);
    cpu_raise(cf.cpu, CPU_PIN_SMI | CPU_PIN_NMI); /* blocked before, blocked after */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->nmi_blocked, 1);
}
END_TEST

/* IRET within the handler lets an NMI in; its vector is that of real-address mode. */
START_TEST(test_iret_opens_nmi)
{
    engine_of("max", _i);
    cf.cpu->idt = (struct table_reg){ .base = 0x9000, .limit = 0x3ff };
    cf_poke(0x9000 + 4 * EX_NMI, 0x0500, 4);
    CF_CODE_AT(0x500, 0xb0, 0x43, CF_OUT_AL, CF_STOP);
    /* mov sp,0x7000; pushf; push cs; push 0x8010; iret */
    CF_CODE_AT(ENTRY, 0xbc, 0x00, 0x70, 0x9c, 0x0e, 0x68, 0x10, 0x80, 0xcf);
    CF_CODE_AT(ENTRY + 0x10, 0xb0, 0x42, CF_OUT_AL, CF_STOP);
    cpu_raise(cf.cpu, CPU_PIN_SMI | CPU_PIN_NMI);
    cf_run(C);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert_uint_eq(cf.out[0], 0x43);
    ck_assert(in_smm());
}
END_TEST

/* One SMI waits for RSM, INIT# too; then the SMI goes first. */
START_TEST(test_smi_is_latched)
{
    engine_of("max", _i);
    CF_CODE_AT(ENTRY, 0xb0, 0x51, CF_OUT_AL, CF_STOP);
    run_smi(C);
    cpu_raise(cf.cpu, CPU_PIN_SMI);
    cpu_raise(cf.cpu, CPU_PIN_SMI | CPU_PIN_INIT);
    CF_CODE_AT(ENTRY + 0x100, 0xb0, 0x52, CF_OUT_AL, RSM);
    cf_run(0x8100); /* 52, then the handler again */
    ck_assert_uint_eq(cf.num_out, 2);
    ck_assert_uint_eq(cf.out[0], 0x52);
    ck_assert_uint_eq(cf.out[1], 0x51);
    ck_assert(in_smm());
    ck_assert_uint_eq(atomic_load(&cf.cpu->pins) & (CPU_PIN_SMI | CPU_PIN_INIT), CPU_PIN_INIT);
    cf_poke(4 * EX_UD, 0x0500, 4); /* the reset vector has no code */
    CF_CODE_AT(0x500, CF_STOP);
    cf_run(0x8100);
    ck_assert_uint_eq(cf.num_out, 1);
    ck_assert(!in_smm());
    ck_assert_uint_eq(cf.cpu->cr0, CR0_ET);
    ck_assert_uint_eq(cf.cpu->smbase, SMBASE);
}
END_TEST

START_TEST(test_address_space)
{
    struct mem_region *root = mem_container_new("smm", UINT64_C(1) << 32), *outside, *smram;
    struct mem_space *space;

    engine_of("max", _i);
    outside = mem_alias_new("outside", cf.root, 0, UINT64_C(1) << 32);
    smram = mem_alias_new("smram", cf.ram, 0x500000, 0x10000);
    mem_region_add(root, 0, outside, 0);
    mem_region_add(root, SMBASE, smram, 1);
    space = mem_space_new("smm", root, &cf.log);
    cpu_set_smm_memory(cf.cpu, space);
    CF_CODE_AT(ENTRY, 0xb0, 0x61, CF_OUT_AL, RSM);
    CF_CODE_AT(0x508000, 0xb0, 0x62, CF_OUT_AL, RSM);
    CF_CODE_AT(C, 0xa0, 0x00, 0x80, 0x03, 0x00, CF_OUT_AL, CF_STOP); /* mov al,[ENTRY]; out */
    run_smi(C);
    ck_assert_uint_eq(cf.num_out, 2);
    ck_assert_uint_eq(cf.out[0], 0x62);
    ck_assert_uint_eq(cf.out[1], 0xb0);
    ck_assert_uint_eq(cf_peek(0x50fefc, 4), 0x20064);
    ck_assert_uint_eq(cf_peek(AREA64 + 0xfc, 4), 0);
    cpu_set_smm_memory(cf.cpu, NULL);
    mem_space_free(space);
    mem_region_free(smram);
    mem_region_free(outside);
    mem_region_free(root);
}
END_TEST

/* ---- RSM of what cannot be ---- */

static const struct bad { bool from_long; uint16_t at; uint64_t value; } bad[] = {
    { false, 0x158, CR0_PG | CR0_ET },                  /* paging without protection */
    { false, 0x158, CR0_PE | CR0_NW },                  /* NW without CD */
    { false, 0x158, CR0_PE | BIT(32) },
    { false, 0x148, BIT(31) },                          /* CR4 reserved */
    { false, 0x148, BIT(40) },
    { false, 0x150, BIT(52) },                          /* CR3 reserved */
    { false, 0x160, BIT(32) },                          /* DR7 */
    { false, 0x168, BIT(32) },                          /* DR6 */
    { false, 0xd0, BIT(3) },                            /* EFER reserved */
    { true, 0x148, 0 },                                 /* long mode without PAE */
    { true, 0x12, 0xffffffff00000e9b },                 /* CS.L and CS.D */
    { true, 0x170, FL_VM | 2 },
};

START_TEST(test_invalid_state)
{
    const struct bad *b = &bad[_i / 2];

    engine_of("max", _i & 1);
    if (b->from_long)
        cf_enter_long();
    CF_CODE_AT(ENTRY, CF_STOP);
    CF_CODE_AT(ENTRY + 0x10, RSM);
    run_smi(C);
    cf_run(0x8010 - 0x10); /* the handler, still */
    cf_poke(AREA64 + b->at, b->value, 8);
    cf_run(0x8010);
    ck_assert_uint_eq(cf.shutdowns, 1);
    ck_assert_uint_eq(cf.cpu->shutdown, 1);
}
END_TEST

/* Again and again: the run clears the pin when it starts. */
static void *stop_soon(void *arg)
{
    _Atomic bool *returned = arg;

    while (!*returned) {
        usleep(500);
        cpu_raise(cf.cpu, CPU_PIN_STOP);
    }
    return NULL;
}

/* Whatever a handler leaves in the area: the processor shuts down, or runs on in a possible state. */
START_TEST(test_hostile_area)
{
    uint32_t random = 12345;
    _Atomic bool returned;
    pthread_t t;

    engine_of("max", _i);
    for (unsigned n = 0; n < 300; n++) {
        cpu_reset(cf.cpu);
        mmu_flush(cf.cpu, true);
        CF_CODE_AT(ENTRY, CF_STOP);
        CF_CODE_AT(ENTRY + 0x10, RSM);
        run_smi(0);
        ck_assert(in_smm());
        for (unsigned i = 0; i < n % 13 + 1; i++) {
            random = random * 1664525 + 1013904223;
            cf_poke(AREA64 + (random >> 8 & 0x1ff), random >> 20, 1);
        }
        returned = false;
        pthread_create(&t, NULL, stop_soon, &returned);
        cf_run(0x8010);
        returned = true;
        pthread_join(t, NULL);
        ck_assert(!in_smm());
        ck_assert(!(cf.cpu->mode & MODE_VM) || !(cf.cpu->mode & MODE_LMA));
    }
}
END_TEST

Suite *smm_suite(void)
{
    const TTest *const tests[] = {
        test_entry, test_area_64, test_area_32, test_rsm_loads_changes, test_rsm_outside,
        test_long_mode_returns, test_hlt, test_nmi_waits_for_rsm, test_iret_opens_nmi, test_smi_is_latched,
        test_address_space, test_hostile_area,
    };
    Suite *s = suite_create("smm");
    TCase *t = tcase_create("both engines");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    tcase_set_timeout(t, 10);
    for (unsigned i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
    tcase_add_loop_test(t, test_rsm_returns, 0, 4);
    tcase_add_loop_test(t, test_invalid_state, 0, 2 * (int)ARRAY_LEN(bad));
    suite_add_tcase(s, t);
    return s;
}
