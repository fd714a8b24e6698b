/* The run loop with both engines on tiny programs: chaining, self-modifying code (SDM vol. 3, 8.1.3),
 * events at instruction boundaries (6.8, table 6-2), the code cache, code at odd places. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cpu/exec.h"
#include "cpu_fixture.h"

enum { C = CF_CODE, FAR_PAGE = 0x400000 };

static void engine(int i)
{
    cf_setup_engine(i & 1);
}

static void expect_out(unsigned n, const uint8_t *bytes)
{
    ck_assert_uint_eq(cf.num_out, n);
    ck_assert_mem_eq(cf.out, bytes, n);
}
#define EXPECT_OUT(...) expect_out(sizeof((uint8_t[]){ __VA_ARGS__ }), (const uint8_t[]){ __VA_ARGS__ })

/* mov ecx,100000; L: add eax,ecx; dec ecx; jnz L */
static void put_sum_loop(void)
{
    CF_CODE_AT(C, 0xb9, 0xa0, 0x86, 0x01, 0x00, 0x01, 0xc8, 0x49, 0x75, 0xfb, CF_STOP);
}
#define SUM ((uint32_t)UINT64_C(5000050000))

START_TEST(test_loop)
{
    engine(_i);
    put_sum_loop();
    cf_run(C);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], SUM);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0);
    ck_assert_uint_gt(tcg_get_stats(cf.cpu->tcg).chains, 0);
    ck_assert_uint_lt(tcg_get_stats(cf.cpu->tcg).blocks, 10);
}
END_TEST

START_TEST(test_one_insn_mode)
{
    struct cpu_options opt = { .model = "max", .interp = _i, .optimise = true, .one_insn = true };

    cf_setup(&opt);
    put_sum_loop();
    cf_run(C);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], SUM);
    ck_assert_uint_eq(tcg_get_stats(cf.cpu->tcg).blocks, tcg_get_stats(cf.cpu->tcg).guest_insns);
}
END_TEST

START_TEST(test_unoptimised)
{
    struct cpu_options opt = { .model = "max", .interp = _i };

    cf_setup(&opt);
    put_sum_loop();
    cf_run(C);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], SUM);
}
END_TEST

/* mov byte [C+8],0x55; mov al,0x11: the second is patched by the first, in the same block. */
START_TEST(test_smc_same_block)
{
    engine(_i);
    CF_CODE_AT(C, 0xc6, 0x05, 0x08, 0x00, 0x01, 0x00, 0x55, 0xb0, 0x11, CF_OUT_AL, CF_STOP);
    cf_run(C);
    EXPECT_OUT(0x55);
}
END_TEST

/* call S; out; mov byte [S+1],2; call S; out. S: mov al,1; ret, in the same page. */
START_TEST(test_smc_same_page)
{
    engine(_i);
    CF_CODE_AT(C, 0xe8, 0xfb, 0x00, 0x00, 0x00, CF_OUT_AL, 0xc6, 0x05, 0x01, 0x01, 0x01, 0x00, 0x02, 0xe8,
        0xed,
               0x00, 0x00, 0x00, CF_OUT_AL, CF_STOP);
    CF_CODE_AT(C + 0x100, 0xb0, 0x01, 0xc3);
    cf_run(C);
    EXPECT_OUT(1, 2);
    cf_run(C);
    EXPECT_OUT(2, 2);
}
END_TEST

/* A loop that increments its own immediate operand: L: mov al,N; out; inc byte [L+1]; cmp al,9; jb L */
START_TEST(test_smc_loop)
{
    engine(_i);
    CF_CODE_AT(C, 0xb0, 0x05, CF_OUT_AL, 0xfe, 0x05, 0x01, 0x00, 0x01, 0x00, 0x3c, 0x09, 0x72, 0xf2, CF_STOP);
    cf_run(C);
    EXPECT_OUT(5, 6, 7, 8, 9);
}
END_TEST

/* The linear page behind C lies elsewhere in memory. mov byte [C+0x1001],0x55 stands before a mov al,imm8
 * that crosses the page: its last byte is the one that is written. */
START_TEST(test_smc_crossing_pages)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(C + 0x1000), FAR_PAGE | 7, 4);
    CF_CODE_AT(C + 0xff8, 0xc6, 0x05, 0x00, 0x10, 0x01, 0x00, 0x55, 0xb0);
    CF_CODE_AT(FAR_PAGE, 0x11, CF_OUT_AL, CF_STOP);
    cf_run(C + 0xff8);
    EXPECT_OUT(0x55);
    cf_poke(FAR_PAGE, 0x22, 1);
    cf_poke(C + 0xffe, 0x33, 1);
    cf_run(C + 0xff8);
    EXPECT_OUT(0x33);
}
END_TEST

/* inc dword [C+0xffe] touches the last two bytes of the running block, 0xffff, and two of the next page: done
 * twice, the upper half would be incremented twice. */
START_TEST(test_rmw_over_own_code_happens_once)
{
    engine(_i);
    CF_CODE_AT(C + 0xff5, 0xff, 0x05, 0xfe, 0x0f, 0x01, 0x00, 0xe9, 0x00, 0x01, 0xff, 0xff, 0x40);
    CF_CODE_AT(C + 0x1100, CF_STOP); /* where the changed jump goes */
    cf_run(C + 0xff5);
    ck_assert_uint_eq(cf_peek(C + 0xffe, 4), 0x410000);
}
END_TEST

/* Code that the outside changes while the processor stands. */
START_TEST(test_code_written_from_outside)
{
    engine(_i);
    CF_CODE_AT(C, 0xb0, 0x11, CF_OUT_AL, CF_STOP);
    cf_run(C);
    EXPECT_OUT(0x11);
    cf_poke(C + 1, 0x22, 1);
    cf_run(C);
    EXPECT_OUT(0x22);
}
END_TEST

static uint32_t device_writes_to;

static void write_code(void)
{
    cf_poke(device_writes_to, 0x77, 1);
}

static void write_code_until_unwatched(void)
{
    for (unsigned i = 0; i < TCG_WATCH_IDLE + 8; i++)
        mmu_code_stored(cf.cpu, device_writes_to, 1);
}

/* mov eax,imm; mov [io],eax; an access; mov byte [imm8],0x55; mov al,0x11; out: the device changes the block's first
 * instruction and so drops it while it runs, and then the block stores into what it still has before it. The access
 * gives the TLB cause to look at the page's flags anew: a store beside the code, or another page at its place. */
static void own_store_in_a_dropped_block(bool another_block)
{
    static void (*const actions[])(void) = { write_code, write_code_until_unwatched };
    static const uint8_t accesses[][2] = { { 0x8a, 0x05 }, { 0x88, 0x05 }, { 0x8a, 0x05 } };
    static const uint32_t places[] = { 0x900, 0x900, TCG_TLB_SIZE << 12 };

    for (unsigned n = 0; n < ARRAY_LEN(actions) * ARRAY_LEN(accesses); n++) {
        uint32_t at = C + 0x1000 * n, access = n / ARRAY_LEN(actions);
        cf.num_out = cf.num_io = 0;
        if (another_block) {
            CF_CODE_AT(at + 0x800, CF_STOP);
            cf_run(at + 0x800);
        }
        device_writes_to = at + 1;
        cf.on_io_write = actions[n % ARRAY_LEN(actions)];
        CF_CODE_AT(at, 0xb8, 1, 0, 0, 0, 0xa3, 0, 0, 0, 0x20);
        cf_code(at + 10, accesses[access], 2);
        cf_poke(at + 12, at + places[access], 4);
        CF_CODE_AT(at + 0x10, 0xc6, 0x05, 0, 0, 0, 0, 0x55, 0xb0, 0x11, CF_OUT_AL, CF_STOP);
        cf_poke(at + 0x12, at + 0x18, 4);
        cf_run(at);
        EXPECT_OUT(0x55);
        ck_assert_uint_eq(cf.num_io, 1);
    }
}

START_TEST(test_own_store_in_a_dropped_block)
{
    engine(_i);
    own_store_in_a_dropped_block(false);
}
END_TEST

/* The page has code all the same, elsewhere: the store looks as one beside it. */
START_TEST(test_own_store_in_a_dropped_block_of_several)
{
    engine(_i);
    own_store_in_a_dropped_block(true);
}
END_TEST

START_TEST(test_store_clears_code_flag)
{
    engine(_i);
    CF_CODE_AT(C, 0xb0, 0x11, CF_OUT_AL, CF_STOP);
    cf_run(C);
    ck_assert(tcg_page_has_code(cf.cpu->tcg, C));
    ck_assert_uint_eq(memory_page_flags(cf.mem)[C >> 12], MEM_PAGE_CODE);
    cf.cpu->fault_jmp = &cf.jmp;
    mmu_store(cf.cpu, C + 0x800, 0, 4, 0); /* far from the code */
    ck_assert_uint_eq(memory_page_flags(cf.mem)[C >> 12], MEM_PAGE_CODE);
    for (unsigned i = 0; i < TCG_WATCH_IDLE + 16; i++)
        mmu_store(cf.cpu, C + i % 16, 0x90, 1, 0);
    ck_assert(!tcg_page_has_code(cf.cpu->tcg, C));
    for (unsigned i = 0; i < TCG_WATCH_IDLE; i++)
        mmu_store(cf.cpu, C, 0x90, 1, 0);
    ck_assert_uint_eq(memory_page_flags(cf.mem)[C >> 12], 0);
}
END_TEST

/* ---- events ---- */

struct later { unsigned us, pins; };

static void *raise_later(void *arg)
{
    const struct later *l = arg;

    usleep(l->us);
    cpu_raise(cf.cpu, l->pins);
    return NULL;
}

static void run_with(struct later l, uint64_t rip)
{
    pthread_t t;

    pthread_create(&t, NULL, raise_later, &l);
    cf_run(rip);
    pthread_join(t, NULL);
}

START_TEST(test_hlt_wakes)
{
    engine(_i);
    CF_CODE_AT(C, 0xfb, 0xf4, CF_STOP); /* sti; hlt */
    run_with((struct later){ 20000, CPU_PIN_INTR }, C);
    ck_assert_int_eq(cf_last_vector(), 0x20);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 2);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 8, 4) & FL_IF, FL_IF);
    ck_assert(!(cf.cpu->eflags & FL_IF));
}
END_TEST

START_TEST(test_hlt_stop_and_resume)
{
    engine(_i);
    CF_CODE_AT(C, 0xf4, CF_STOP); /* with interrupts off only NMI ends it */
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    run_with((struct later){ 10000, CPU_PIN_STOP }, C);
    ck_assert_uint_eq(cf.cpu->halted, 1);
    run_with((struct later){ 10000, CPU_PIN_NMI }, cf.cpu->rip);
    ck_assert_int_eq(cf_last_vector(), EX_NMI);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 1);
    ck_assert_uint_eq(cf.cpu->halted, 0);
}
END_TEST

/* A second NMI waits for the IRET of the first one's handler. */
START_TEST(test_nmi_is_blocked_until_iret)
{
    engine(_i);
    CF_CODE_AT(CF_HANDLERS + 16 * EX_NMI, 0xb0, EX_NMI, 0xe6, CF_PORT_VECTOR, CF_STOP);
    CF_CODE_AT(C, 0x90, 0xeb, 0xfd);
    cpu_raise(cf.cpu, CPU_PIN_NMI);
    cf_run(C);
    ck_assert_uint_eq(cf.num_vectors, 1);
    cpu_raise(cf.cpu, CPU_PIN_NMI);
    CF_CODE_AT(C + 0x100, 0x40, 0xb0, 0x77, CF_OUT_AL, 0xcf); /* inc eax; out; iret */
    cf_run(C + 0x100);
    EXPECT_OUT(0x77);
    ck_assert_uint_eq(cf.num_vectors, 1);
}
END_TEST

/* Interrupts after STI and MOV SS come one instruction late. */
START_TEST(test_interrupt_shadow)
{
    engine(_i);
    CF_CODE_AT(C, 0xfb, 0x40, 0x41, CF_STOP); /* sti; inc eax; inc ecx */
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), 0x20);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 2);
    cf.cpu->gpr[R_SP] = CF_STACK;
    /* cli; mov eax,ss; sti; mov ss,eax */
    CF_CODE_AT(C, 0xfa, 0x8c, 0xd0, 0xfb, 0x8e, 0xd0, 0x90, 0x90, CF_STOP);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), 0x20);
    ck_assert(cf_peek(cf.cpu->gpr[R_SP], 4) == C + 6 || cf_peek(cf.cpu->gpr[R_SP], 4) == C + 7);
}
END_TEST

START_TEST(test_interrupts_off)
{
    engine(_i);
    CF_CODE_AT(C, 0x40, 0x41, 0x90, CF_STOP);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    cf.intr_vector = -1; /* nothing pending after all */
    CF_CODE_AT(C, 0xfb, 0x40, 0x41, 0x90, CF_STOP);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
}
END_TEST

START_TEST(test_stop_and_resume)
{
    uint64_t before;

    engine(_i);
    CF_CODE_AT(C, 0xff, 0x05, 0x00, 0x90, 0x00, 0x00, 0xeb, 0xf8); /* L: inc dword [0x9000]; jmp L */
    run_with((struct later){ 10000, CPU_PIN_STOP }, C);
    before = cf_peek(0x9000, 4);
    ck_assert_uint_gt(before, 0);
    ck_assert(cf.cpu->rip == C || cf.cpu->rip == C + 6);
    run_with((struct later){ 10000, CPU_PIN_STOP }, cf.cpu->rip);
    ck_assert_uint_gt(cf_peek(0x9000, 4), before);
    cpu_run(cf.cpu); /* the pin is still raised */
}
END_TEST

START_TEST(test_reset_and_init)
{
    struct cpu *cpu;

    engine(_i);
    cpu = cf.cpu;
    cpu->gpr[R_BX] = 5;
    cpu->xmm[0].u64[0] = 7;
    cpu_raise(cpu, CPU_PIN_INIT);
    /* the reset vector is in a hole that reads as ones: #UD after #UD through a vector table of zeroes */
    cf_poke(4 * EX_UD, 0, 4);
    cf_poke(0, 0xfeeb, 2);
    for (unsigned v = 0; v < 32; v++)
        cf_poke(4 * v, 0x0500, 4);
    CF_CODE_AT(0x500, CF_STOP);
    cf_run(C);
    ck_assert_uint_eq(cpu->gpr[R_BX], 0);
    ck_assert_uint_eq(cpu->xmm[0].u64[0], 7); /* INIT leaves the FPU and XMM alone */
    ck_assert_uint_eq(cpu->cr0, CR0_ET);
    ck_assert_uint_eq(cf_peek(0xfffa, 2), 0xfff0);
    ck_assert_uint_eq(cf_peek(0xfffc, 2), 0xf000);
    cpu_raise(cpu, CPU_PIN_RESET);
    cf_run(0);
    ck_assert_uint_eq(cpu->xmm[0].u64[0], 0);
    ck_assert_uint_eq(cpu->cr0, CR0_CD | CR0_NW | CR0_ET);
}
END_TEST

START_TEST(test_a20_pin)
{
    engine(_i);
    cf_poke(0x9000, 0x11, 1);
    cf_poke(0x109000, 0x22, 1);
    CF_CODE_AT(C, 0xa0, 0x00, 0x90, 0x10, 0x00, CF_OUT_AL, CF_STOP); /* mov al,[0x109000] */
    cf_run(C);
    EXPECT_OUT(0x22);
    cpu_set_a20(cf.cpu, false);
    cf_run(C);
    EXPECT_OUT(0x11);
    cpu_set_a20(cf.cpu, true);
    cf_run(C);
    EXPECT_OUT(0x22);
}
END_TEST

/* ---- the code cache ---- */

/* Thousands of blocks through a cache that holds a part of them: inc eax; jmp next. */
START_TEST(test_eviction)
{
    enum { BLOCKS = 20000, AT = 0x200000 };
    struct cpu_options opt = { .model = "max", .interp = _i, .optimise = true, .cache_size = 1 << 20 };

    cf_setup(&opt);
    for (unsigned i = 0; i < BLOCKS; i++)
        CF_CODE_AT(AT + 16 * i, 0x40, 0xe9, 0x0a, 0x00, 0x00, 0x00);
    CF_CODE_AT(AT + 16 * BLOCKS, 0x49, 0x0f, 0x85); /* dec ecx; jnz AT */
    cf_poke(AT + 16 * BLOCKS + 3, (uint32_t)-(16 * BLOCKS + 7), 4);
    CF_CODE_AT(AT + 16 * BLOCKS + 7, CF_STOP);
    cf.cpu->gpr[R_CX] = 3;
    cf_run(AT);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 3 * BLOCKS);
    ck_assert_uint_gt(tcg_get_stats(cf.cpu->tcg).flushes, 0);
}
END_TEST

/* ---- code at odd places ---- */

/* mov eax,imm32 over a page end, the second page elsewhere, then missing, then exchanged. */
START_TEST(test_code_crossing_pages)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(C + 0x1000), FAR_PAGE | 7, 4);
    CF_CODE_AT(C + 0xffd, 0xb8, 0x44, 0x33);
    CF_CODE_AT(FAR_PAGE, 0x22, 0x11, CF_STOP);
    cf_run(C + 0xffd);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x11223344);
    cf_poke(CF_PTE(C + 0x1000), 0, 4);
    mmu_invlpg(cf.cpu, C + 0x1000);
    cf_run(C + 0xffd);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, C + 0x1000);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 4, 4), C + 0xffd);
    CF_CODE_AT(FAR_PAGE + 0x1000, 0x66, 0x55, CF_STOP);
    cf_poke(CF_PTE(C + 0x1000), (FAR_PAGE + 0x1000) | 7, 4);
    cf_run(C + 0xffd);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x55663344);
}
END_TEST

START_TEST(test_code_in_io_memory)
{
    engine(_i);
    memcpy(cf.io_data + 0xff0, (const uint8_t[]){ 0xb0, 0x77, CF_OUT_AL, 0xb8, 1, 2, 3, 4, CF_STOP }, 13);
    cf_run(CF_IO + 0xff0);
    EXPECT_OUT(0x77);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x04030201);
    cf_run(0x30000000); /* nothing there: FF FF is no instruction */
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), 0x30000000);
}
END_TEST

START_TEST(test_code_in_rom)
{
    engine(_i);
    memcpy(mem_region_host(cf.rom), (const uint8_t[]){ 0xc6, 0x05, 0x08, 0x00, 0x0f, 0x00, 0x55, 0xb0, 0x11,
        CF_OUT_AL, CF_STOP }, 15);
    cf_run(CF_ROM);
    EXPECT_OUT(0x11); /* the store to ROM is dropped */
}
END_TEST

/* A fault in the middle of a block: state as of that instruction. */
START_TEST(test_fault_is_precise)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(0x300000), 0, 4);
    /* inc eax; add ecx,5; mov [0x300000],ecx; inc eax */
    CF_CODE_AT(C, 0x40, 0x83, 0xc1, 0x05, 0x89, 0x0d, 0x00, 0x00, 0x30, 0x00, 0x40, CF_STOP);
    cf.cpu->gpr[R_CX] = 0xfffffffb;
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, 0x300000);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), 2 /* W */);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 4, 4), C + 4);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP] + 12, 4) & IR_FLAGS6, FL_CF | FL_ZF | FL_PF | FL_AF);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] & ~UINT64_C(0xff), 0);
}
END_TEST

START_TEST(test_single_step)
{
    engine(_i);
    CF_CODE_AT(C, 0x40, 0x40, CF_STOP);
    cpu_set_eflags(cf.cpu, FL_TF, FL_TF);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_DB);
    ck_assert_uint_eq(cf_peek(cf.cpu->gpr[R_SP], 4), C + 1);
    ck_assert_uint_eq(cf.cpu->dr[6] & BIT(14), BIT(14));
}
END_TEST

START_TEST(test_triple_fault)
{
    engine(_i);
    cf.cpu->idt.limit = 0;
    CF_CODE_AT(C, 0x0f, 0x0b); /* ud2 */
    cf_run(C);
    ck_assert_uint_eq(cf.shutdowns, 1);
    ck_assert_uint_eq(cf.cpu->shutdown, 1);
    run_with((struct later){ 10000, CPU_PIN_STOP }, cf.cpu->rip); /* stays shut down */
    ck_assert_uint_eq(cf.shutdowns, 1);
}
END_TEST

/* ---- rules of single instructions that need a whole processor ---- */

static void load_segment_base(unsigned seg, uint32_t base)
{
    seg_set_cache(cf.cpu, seg, CF_KDATA, base, UINT32_MAX, cf.cpu->seg[seg].attr);
    cpu_update_mode(cf.cpu);
}

/* An access must not run over the end of a flat segment, whatever DS is; through another segment linear
 * addresses wrap. */
START_TEST(test_wrap_at_4g)
{
    engine(_i);
    cf.cpu->gpr[R_BX] = cf.cpu->gpr[R_DI] = 0xfffffffe;
    CF_CODE_AT(C, 0x8b, 0x03, CF_STOP); /* mov eax,[ebx] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    load_segment_base(S_DS, 0x10);
    CF_CODE_AT(C, 0x26, 0x8b, 0x03, CF_STOP); /* mov eax,es:[ebx] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    CF_CODE_AT(C, 0xab, CF_STOP); /* stosd */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    CF_CODE_AT(C, 0x36, 0x8b, 0x03, CF_STOP); /* mov eax,ss:[ebx] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_SS);
    load_segment_base(S_DS, 0);
    load_segment_base(S_FS, 0xfffffff0);
    cf_poke(0, 0x1234, 2);
    cf.cpu->gpr[R_BX] = 0xe;
    CF_CODE_AT(C, 0x64, 0x8b, 0x03, CF_STOP); /* mov eax,fs:[ebx] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] >> 16, 0x1234);
}
END_TEST

/* REP INS and OUTS with count 0 look at the permission, as processors do. */
START_TEST(test_io_permission_of_nothing)
{
    static const uint8_t insn[] = { 0x6c, 0x6e };

    for (unsigned i = 0; i < 2 * ARRAY_LEN(insn); i++) {
        const uint8_t code[] = { 0xf3, insn[i / 2], CF_STOP };
        bool allowed = i & 1;
        engine(_i);
        cf_code(C, code, sizeof(code));
        cf_enter_user();
        cpu_set_eflags(cf.cpu, allowed ? FL_IOPL : 0, FL_IOPL);
        cf.cpu->gpr[R_DX] = 0x3f0;
        cf_run(C);
        ck_assert_int_eq(cf_last_vector(), allowed ? -1 : EX_GP);
        ck_assert_uint_eq(cf.cpu->gpr[R_DI], 0);
        if (i + 1 < 2 * ARRAY_LEN(insn))
            cf_teardown();
    }
}
END_TEST

/* A near call checks its target before it pushes (SDM vol. 2, CALL). The handlers have their own stack. */
START_TEST(test_call_target_before_push)
{
    static const uint8_t faults[] = { EX_GP, EX_PF, EX_SS };

    engine(_i);
    cf_enter_long();
    cf_poke(CF_TSS + 0x24, CF_STACK, 8);
    for (unsigned i = 0; i < ARRAY_LEN(faults); i++)
        cf_poke(CF_IDT + 16 * faults[i] + 4, 1, 1);
    CF_CODE_AT(C, 0xff, 0xd0, CF_STOP); /* call rax */
    cf.cpu->gpr[R_AX] = BIT(63);
    cf.cpu->gpr[R_SP] = UINT64_C(0x100000010);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    ck_assert_uint_eq(cf_peek(CF_STACK - 40, 8), C);
    cf.cpu->gpr[R_AX] = C;
    cf.cpu->gpr[R_SP] = UINT64_C(0x100000010);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, 0x100000008);
}
END_TEST

/* SGDT over a page that cannot be written leaves the page before it alone. */
START_TEST(test_sgdt_is_all_or_nothing)
{
    engine(_i);
    cf_page_32();
    cf_poke(CF_PTE(0x300000), 0x300000 | 7, 4);
    cf_poke(CF_PTE(0x301000), 0, 4);
    cf_poke(0x300ffc, 0x11111111, 4);
    CF_CODE_AT(C, 0x0f, 0x01, 0x05, 0xfc, 0x0f, 0x30, 0x00, CF_STOP); /* sgdt [0x300ffc] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, 0x301000);
    ck_assert_uint_eq(cf_peek(0x300ffc, 4), 0x11111111);
    cf_poke(CF_PTE(0x301000), 0x301000 | 7, 4);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(0x300ffc, 2), 0x4f);
    ck_assert_uint_eq(cf_peek(0x300ffe, 4), CF_GDT);
}
END_TEST

/* RF holds for the instruction behind the IRETD that loads it, also when IRETD itself began with RF set. */
START_TEST(test_iret_loads_rf)
{
    enum { TARGET = C + 0x100 };

    for (unsigned i = 0; i < 4; i++) {
        bool before = i & 1, loaded = i & 2;
        engine(_i);
        CF_CODE_AT(C, 0xcf); /* iretd */
        CF_CODE_AT(TARGET, 0x40, CF_STOP);
        cf_poke(CF_STACK, TARGET, 4);
        cf_poke(CF_STACK + 4, CF_KCODE, 4);
        cf_poke(CF_STACK + 8, 2 | (loaded ? FL_RF : 0), 4);
        cf.cpu->dr[0] = TARGET;
        cf.cpu->dr[7] = 0x401;
        cf.cpu->gpr[R_AX] = 0;
        cpu_set_eflags(cf.cpu, before ? FL_RF : 0, FL_RF);
        cpu_update_mode(cf.cpu);
        cf_run(C);
        ck_assert_int_eq(cf_last_vector(), loaded ? -1 : EX_DB);
        ck_assert_uint_eq(cf.cpu->gpr[R_AX], 1);
        ck_assert_uint_eq(cf.cpu->eflags & FL_RF, 0);
        if (i < 3)
            cf_teardown();
    }
}
END_TEST

/* inc eax; int 21h; and int3 alone: the log has the instruction's own address. */
START_TEST(test_soft_interrupts_are_logged)
{
    char *text = NULL;
    size_t size;

    engine(_i);
    cf.log.mask = LOG_INT;
    cf.log.file = open_memstream(&text, &size);
    CF_CODE_AT(C, 0x40, 0xcd, 0x21);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), 0x21);
    CF_CODE_AT(C, 0xcc);
    cf_run(C);
    fclose(cf.log.file);
    cf.log.mask = 0;
    ck_assert_str_eq(text, "int: software vector 21 at 0008:0000000000010001\n"
                           "int: software vector 03 at 0008:0000000000010000\n");
    free(text);
}
END_TEST

/* The jump saves GS into the code that it is part of: that must be found out before anything is saved. The
 * new task's EAX lies where the old one's EIP is saved, and is read before. */
START_TEST(test_task_state_over_own_code)
{
    enum { OLD = C - 92, NEW = OLD - 8, SELECTOR = 0x30, TARGET = C + 0x100 };

    engine(_i);
    cf_poke(CF_GDT + CF_TR, (uint32_t)(OLD & 0xffff) << 16 | 0x67, 4);
    cf_poke(CF_GDT + CF_TR + 4, 0x8900 | OLD >> 16, 4);
    cf_poke(CF_GDT + SELECTOR, (uint32_t)(NEW & 0xffff) << 16 | 0x67, 4);
    cf_poke(CF_GDT + SELECTOR + 4, 0x8900 | NEW >> 16, 4);
    seg_load_tr(cf.cpu, CF_TR);
    cf_poke(NEW + 32, TARGET, 4);
    cf_poke(NEW + 36, 2, 4);
    cf_poke(NEW + 40, 0x1234, 4);
    for (unsigned i = 0; i < S_NUM; i++)
        cf_poke(NEW + 72 + 4 * i, i == S_CS ? CF_KCODE : CF_KDATA, 4);
    cf_poke(NEW + 96, 0, 4);
    CF_CODE_AT(C, 0xea, 0, 0, 0, 0, SELECTOR, 0); /* jmp SELECTOR:0 */
    CF_CODE_AT(TARGET, CF_STOP);
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->seg[S_TR].selector, SELECTOR);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x1234);
    ck_assert_uint_eq(cf_peek(OLD + 32, 4), C + 7);
    ck_assert_uint_eq(cf_peek(C, 2), CF_KDATA);
}
END_TEST

/* ---- PAUSE of a processor that is alone ---- */

/* A clock that goes on by 1 us with each look at it: one at each 64th PAUSE, one more behind each doze. */
static int64_t pause_clock, pause_looks;

static int64_t look_at_clock(void *opaque)
{
    (void)opaque;
    pause_looks++;
    return pause_clock += 1000;
}

/* mov ecx,640; L: pause; dec ecx; jnz L */
static int64_t looks_in_ten(void)
{
    int64_t before = pause_looks;

    CF_CODE_AT(C, 0xb9, 0x80, 0x02, 0x00, 0x00, 0xf3, 0x90, 0x49, 0x75, 0xfb, CF_STOP);
    cf_run(C);
    return pause_looks - before;
}

/* A wait of 50 us is one to doze in; after a longer time without many PAUSEs another one begins. */
START_TEST(test_long_waits_doze)
{
    engine(_i);
    pause_clock = pause_looks = 0;
    cf.cpu->bus.now = look_at_clock;
    for (unsigned n = 0; n < 40; n += 10)
        ck_assert_int_eq(looks_in_ten(), 10);
    ck_assert_int_eq(looks_in_ten(), 11); /* the one at 50 us */
    ck_assert_int_eq(looks_in_ten(), 20);
    pause_clock += 250000;
    ck_assert_int_eq(looks_in_ten(), 10);
}
END_TEST

static int64_t host_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void *interrupt_soon(void *opaque)
{
    usleep(10000);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    return opaque;
}

/* Who is wanted does not doze, or no longer. */
START_TEST(test_interrupts_end_a_doze)
{
    pthread_t other;
    int64_t start = host_ms();

    engine(_i);
    cpu_raise(cf.cpu, CPU_PIN_INTR);
    cpu_doze(cf.cpu, 999000000);
    cf.cpu->exit_request = 0;
    cpu_lower(cf.cpu, CPU_PIN_INTR);
    pthread_create(&other, NULL, interrupt_soon, NULL);
    cpu_doze(cf.cpu, 999000000);
    pthread_join(other, NULL);
    ck_assert_int_lt(host_ms() - start, 990);
}
END_TEST

/* FS and GS change within a block: each access has the base and the limit of its moment. */
START_TEST(test_segments_within_a_block)
{
    enum { BASE = 0x300000 };

    engine(_i);
    cf_poke(CF_GDT + CF_DATA16, 0x00000013, 4); /* 20 bytes at BASE */
    cf_poke(CF_GDT + CF_DATA16 + 4, 0x00409330, 4);
    cf_poke(0x10, 0x11111111, 4);
    cf_poke(BASE + 0x10, 0x22222222, 4);
    cf.cpu->gpr[R_CX] = CF_DATA16;
    cf.cpu->gpr[R_DX] = CF_KDATA;
    CF_CODE_AT(C, 0x8e, 0xe2, 0x64, 0x8b, 0x2d, 0x10, 0, 0, 0, /* mov fs, edx; mov ebp, fs:[0x10] */
               0x8e, 0xe1, 0x64, 0x8b, 0x1d, 0x10, 0, 0, 0,    /* mov fs, ecx; mov ebx, fs:[0x10] */
               0x8e, 0xea, 0x65, 0x8b, 0x35, 0x10, 0, 0, 0,    /* mov gs, edx; mov esi, gs:[0x10] */
               0x64, 0x8b, 0x3d, 0x11, 0, 0, 0);               /* mov edi, fs:[0x11] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    ck_assert_uint_eq(cf.cpu->gpr[R_BP], 0x11111111);
    ck_assert_uint_eq(cf.cpu->gpr[R_BX], 0x22222222);
    ck_assert_uint_eq(cf.cpu->gpr[R_SI], 0x11111111);
}
END_TEST

/* ES and DS end it, because they are flat or not. */
START_TEST(test_flat_segments_come_and_go)
{
    enum { BASE = 0x300000 };

    engine(_i);
    cf_poke(CF_GDT + CF_DATA16, 0x00000013, 4);
    cf_poke(CF_GDT + CF_DATA16 + 4, 0x00409330, 4);
    cf_poke(0x10, 0x11111111, 4);
    cf_poke(BASE + 0x10, 0x22222222, 4);
    cf.cpu->gpr[R_CX] = CF_DATA16;
    cf.cpu->gpr[R_DX] = CF_KDATA;
    CF_CODE_AT(C, 0x8e, 0xd9, 0x8b, 0x05, 0x10, 0, 0, 0, /* mov ds, ecx; mov eax, [0x10] */
               0x8e, 0xc1, 0x8e, 0xda, 0x8b, 0x1d, 0x10, 0, 0, 0, /* mov es, ecx; mov ds, edx; mov ebx, [0x10] */
               0x26, 0x8b, 0x35, 0x10, 0, 0, 0, CF_STOP); /* mov esi, es:[0x10] */
    cf_run(C);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x22222222);
    ck_assert_uint_eq(cf.cpu->gpr[R_BX], 0x11111111);
    ck_assert_uint_eq(cf.cpu->gpr[R_SI], 0x22222222);
    ck_assert((cf.cpu->mode & (MODE_FLAT_DS | MODE_FLAT_ES)) == MODE_FLAT_DS);
}
END_TEST

static void add(TCase *t, const TTest *const tests[])
{
    for (unsigned i = 0; tests[i]; i++)
        tcase_add_loop_test(t, tests[i], 0, 2);
}

Suite *exec_suite(void)
{
    Suite *s = suite_create("exec");
    TCase *t = tcase_create("both engines");

    tcase_add_checked_fixture(t, NULL, cf_teardown);
    tcase_set_timeout(t, 10);
    add(t, (const TTest *const[]){
        test_loop, test_one_insn_mode, test_unoptimised, test_smc_same_block, test_smc_same_page,
        test_smc_loop,
        test_smc_crossing_pages, test_rmw_over_own_code_happens_once, test_code_written_from_outside,
        test_own_store_in_a_dropped_block, test_own_store_in_a_dropped_block_of_several,
        test_store_clears_code_flag, test_hlt_wakes, test_hlt_stop_and_resume, test_nmi_is_blocked_until_iret,
        test_interrupt_shadow, test_interrupts_off, test_stop_and_resume, test_reset_and_init, test_a20_pin,
        test_eviction, test_code_crossing_pages, test_code_in_io_memory, test_code_in_rom,
        test_fault_is_precise,
        test_long_waits_doze, test_interrupts_end_a_doze,
        test_single_step, test_triple_fault, test_wrap_at_4g, test_io_permission_of_nothing,
        test_call_target_before_push, test_sgdt_is_all_or_nothing, test_iret_loads_rf,
        test_soft_interrupts_are_logged, test_task_state_over_own_code,
        test_segments_within_a_block, test_flat_segments_come_and_go, NULL });
    suite_add_tcase(s, t);
    return s;
}
