/* Locked instructions of a processor beside which others run: what the host does atomically, what is done
 * alone, and two processors on two threads. */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "cpu_fixture.h"

#define DATA 0x50000u
#define LE32(v) (uint8_t)(v), (uint8_t)((v) >> 8), (uint8_t)((v) >> 16), (uint8_t)((v) >> 24)

static bool open_cpu(int engine)
{
    struct cpu_options opt = { .model = "max", .interp = !engine, .optimise = true, .verify = true,
                               .parallel = true };

    if (engine && !tcg_host_native())
        return false;
    cf_setup(&opt);
    return true;
}

/* ---- one processor ---- */

START_TEST(across_pages)
{
    if (!open_cpu(_i))
        return;
    cf_poke(DATA + 0xffd, 0x00ffffff, 4);
    CF_CODE_AT(CF_CODE, 0xf0, 0xff, 0x05, LE32(DATA + 0xffd),        /* lock inc dword [DATA + 0xffd] */
               0xb9, LE32(0x10000), 0xf0, 0x0f, 0xc1, 0x0d, LE32(DATA + 0xffd), /* lock xadd [...], ecx */
               CF_STOP);
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf_peek(DATA + 0xffd, 4), 0x01010000);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 0x01000000);
    ck_assert(!cf.cpu->exclusive);
    cf_teardown();
}
END_TEST

/* A device sees one read and one write; ROM stays what it is. */
START_TEST(where_no_ram_is)
{
    if (!open_cpu(_i))
        return;
    store_le(cf.io_data + 0x10, 4, 5);
    CF_CODE_AT(CF_CODE, 0xf0, 0x83, 0x05, LE32(CF_IO + 0x10), 3,     /* lock add dword [CF_IO + 0x10], 3 */
               0xb8, LE32(7), 0xf0, 0x0f, 0xb1, 0x0d, LE32(CF_IO + 0x10), /* lock cmpxchg: differs */
               0xf0, 0xff, 0x05, LE32(CF_ROM + 0x100), CF_STOP);     /* lock inc dword [CF_ROM + 0x100] */
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), -1);
    ck_assert_uint_eq(cf.num_io, 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert(cf.io_log[i].write == (i & 1));
        ck_assert_uint_eq(cf.io_log[i].offset, 0x10);
        ck_assert_uint_eq(cf.io_log[i].size, 4);
    }
    ck_assert_uint_eq(cf.io_log[1].value, 8);
    ck_assert_uint_eq(cf.io_log[3].value, 5);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 5);
    ck_assert_uint_eq(cf_peek(CF_ROM + 0x100, 4), 0);
    cf_teardown();
}
END_TEST

/* The instruction behind changes before it runs, in the first run and when it was translated long ago. */
START_TEST(onto_code)
{
    if (!open_cpu(_i))
        return;
    CF_CODE_AT(CF_CODE, 0xf0, 0x80, 0x05, LE32(CF_CODE + 9), 2,      /* lock add byte [the 0x40], 2 */
               0xb0, 0x40, CF_OUT_AL, CF_STOP);
    for (unsigned i = 1; i < 4; i++) {
        cf_run(CF_CODE);
        ck_assert_uint_eq(cf.num_out, 1);
        ck_assert_uint_eq(cf.out[0], 0x40 + 2 * i);
    }
    cf_teardown();
}
END_TEST

/* CMPXCHG needs the right to write though it finds another value. */
START_TEST(page_fault)
{
    if (!open_cpu(_i))
        return;
    cf_page_32();
    cf.cpu->cr0 |= CR0_WP;
    cf_poke(CF_PTE(DATA), DATA | 1, 4);
    mmu_flush(cf.cpu, true);
    cf_poke(DATA, 0x99, 4);
    CF_CODE_AT(CF_CODE, 0xb8, LE32(0x11223344), 0xb9, LE32(2), 0xa1, LE32(DATA), 0xb8, LE32(0x11223344),
               0xf0, 0x0f, 0xb1, 0x0d, LE32(DATA), CF_STOP);         /* lock cmpxchg [DATA], ecx */
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->cr2, DATA);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX] >> 8, 0x112233);
    ck_assert_uint_eq(cf_peek(DATA, 4), 0x99);
    CF_CODE_AT(CF_CODE + 0x100, 0xf0, 0x0f, 0xc1, 0x0d, LE32(DATA), CF_STOP); /* lock xadd [DATA], ecx */
    cf_run(CF_CODE + 0x100);
    ck_assert_int_eq(cf_last_vector(), EX_PF);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 2);
    cf_teardown();
}
END_TEST

/* Misaligned: as any access, an exception only where alignment is checked. */
START_TEST(alignment)
{
    if (!open_cpu(_i))
        return;
    CF_CODE_AT(CF_CODE, 0xf0, 0xff, 0x05, LE32(DATA + 1), CF_STOP);
    cf_run(CF_CODE);
    ck_assert_uint_eq(cf_peek(DATA + 1, 4), 1);
    cf_enter_user();
    cf.cpu->cr0 |= CR0_AM;
    cf.cpu->eflags |= FL_AC;
    cpu_update_mode(cf.cpu);
    mmu_flush(cf.cpu, true);
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), EX_AC);
    ck_assert_uint_eq(cf_peek(DATA + 1, 4), 1);
    cf_teardown();
}
END_TEST

/* Trap behind the instruction, which another one precedes in its block. */
START_TEST(data_breakpoint)
{
    if (!open_cpu(_i))
        return;
    cf.cpu->dr[0] = DATA;
    cf.cpu->dr[7] = 1 | 1 << 16 | 3 << 18; /* L0: writes, 4 bytes */
    mmu_flush(cf.cpu, true);
    CF_CODE_AT(CF_CODE, 0xb9, LE32(5), 0xf0, 0x0f, 0xc1, 0x0d, LE32(DATA), 0xb9, LE32(9), CF_STOP);
    cf_poke(DATA, 2, 4);
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), EX_DB);
    ck_assert_uint_eq(cf.cpu->dr[6] & 15, 1);
    ck_assert_uint_eq(cf_peek(DATA, 4), 7);
    ck_assert_uint_eq(cf.cpu->gpr[R_CX], 2);
    cf_teardown();
}
END_TEST

/* RAM beside code, then a device. */
START_TEST(sixteen_bytes)
{
    if (!open_cpu(_i))
        return;
    cf_enter_long();
    CF_CODE_AT(CF_CODE, 0xf0, 0x48, 0x0f, 0xc7, 0x0e, 0x0f, 0x94, 0xc0, CF_OUT_AL, CF_STOP); /* sete al */
    const uint64_t place[] = { CF_CODE + 0x800, CF_IO + 0x20 };
    for (unsigned i = 0; i < 2; i++) {
        cf.cpu->gpr[R_SI] = place[i];
        cf.cpu->gpr[R_AX] = cf.cpu->gpr[R_DX] = 0;
        cf.cpu->gpr[R_BX] = 0x1111111111111111;
        cf.cpu->gpr[R_CX] = 0x2222222222222222;
        cf_run(CF_CODE);
        ck_assert_uint_eq(cf.out[0], 1);
    }
    ck_assert_uint_eq(cf_peek(place[0], 8), 0x1111111111111111);
    ck_assert_uint_eq(cf_peek(place[0] + 8, 8), 0x2222222222222222);
    ck_assert_uint_eq(cf.num_io, 4);
    ck_assert_uint_eq(cf.io_log[2].value, 0x1111111111111111);
    ck_assert_uint_eq(cf.io_log[3].value, 0x2222222222222222);
    cf.cpu->gpr[R_SI] = place[0];
    cf.cpu->gpr[R_AX] = 5;
    cf_run(CF_CODE);
    ck_assert_uint_eq(cf.out[0], 0);
    ck_assert_uint_eq(cf.cpu->gpr[R_AX], 0x1111111111111100);
    ck_assert_uint_eq(cf.cpu->gpr[R_DX], 0x2222222222222222);
    cf_teardown();
}
END_TEST

START_TEST(descriptors)
{
    if (!open_cpu(_i))
        return;
    ck_assert_uint_eq(cf_peek(CF_GDT + CF_KDATA + 5, 1), 0x93);
    ck_assert_uint_eq(cf_peek(CF_GDT + CF_TR + 5, 1), 0x8b);
    cf.cpu->fault_jmp = &cf.jmp;
    desc_set_busy(cf.cpu, CF_TR, false);
    ck_assert_uint_eq(cf_peek(CF_GDT + CF_TR + 5, 1), 0x89);
    cf_teardown();
}
END_TEST

/* ---- two processors ---- */

#define ROUNDS 20000
/* Units that both change: direct, direct, across a page, in the page of the code, by comparing, under a
 * lock. */
enum { U_INC = DATA, U_XADD = DATA + 0x40, U_CROSS = DATA + 0xffe, U_CODE = CF_CODE + 0x800,
       U_CAS = DATA + 0x80, U_LOCK = DATA + 0xc0, U_LOCKED = DATA + 0x100, U_DONE = DATA + 0x2000 };

static void *run_cpu(void *cpu)
{
    cpu_run(cpu);
    return NULL;
}

static struct cpu *second_cpu(int engine)
{
    struct cpu_options opt = { .model = "max", .interp = !engine, .optimise = true, .verify = true,
                               .parallel = true, .first = cf.cpu, .index = 1 };
    struct error err = { "" };
    struct cpu *cpu = cpu_new(&opt, &cf.cpu->bus, &err), *first = cf.cpu;

    ck_assert_msg(cpu != NULL, "%s", err.msg);
    cpu->halted = HALT_NONE;
    cpu->cr0 = first->cr0;
    cpu->gdt = first->gdt;
    cpu->idt = first->idt;
    cpu_update_mode(cpu);
    for (unsigned i = 0; i < S_NUM; i++)
        cpu->seg[i] = first->seg[i];
    cpu_update_mode(cpu);
    return cpu;
}

static void put_shared_code(void)
{
    CF_CODE_AT(CF_CODE, 0xb9, LE32(ROUNDS),
               0xf0, 0xff, 0x05, LE32(U_INC),                          /* 5: lock inc dword [U_INC] */
               0xb8, LE32(1), 0xf0, 0x0f, 0xc1, 0x05, LE32(U_XADD),    /* mov eax, 1; lock xadd [], eax */
               0xf0, 0x83, 0x05, LE32(U_CROSS), 1,                     /* lock add dword [U_CROSS], 1 */
               0xf0, 0xff, 0x05, LE32(U_CODE),                         /* lock inc dword [U_CODE] */
               0xa1, LE32(U_CAS),                                      /* mov eax, [U_CAS] */
               0x8d, 0x50, 0x01, 0xf0, 0x0f, 0xb1, 0x15, LE32(U_CAS),  /* lea edx, [eax + 1]; lock cmpxchg */
               0x75, 0xf3,                                             /* jne lea */
               0xb8, LE32(1), 0x87, 0x05, LE32(U_LOCK),                /* mov eax, 1; xchg [U_LOCK], eax */
               0x85, 0xc0, 0x75, 0xf1,                                 /* test eax, eax; jne mov */
               0xff, 0x05, LE32(U_LOCKED),                             /* inc dword [U_LOCKED] */
               0xc7, 0x05, LE32(U_LOCK), LE32(0),                      /* mov dword [U_LOCK], 0 */
               0x49, 0x75, 0xa1,                                       /* dec ecx; jne 5 */
               0xc6, 0x83, LE32(U_DONE), 1,                            /* mov byte [ebx + U_DONE], 1 */
               0xeb, 0xfe);
}

START_TEST(two_processors)
{
    static const uint32_t unit[] = { U_INC, U_XADD, U_CROSS, U_CODE, U_CAS, U_LOCKED };
    const struct timespec nap = { .tv_nsec = 1000000 };
    struct cpu *cpu[2];
    pthread_t thread[2];

    if (!open_cpu(_i))
        return;
    cpu[0] = cf.cpu;
    cpu[1] = second_cpu(_i);
    put_shared_code();
    for (unsigned i = 0; i < 2; i++) {
        cpu[i]->rip = CF_CODE;
        cpu[i]->gpr[R_BX] = i;
        cpu_lower(cpu[i], CPU_PIN_STOP);
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_cpu, cpu[i]), 0);
    }
    while (cf_peek(U_DONE, 2) != 0x0101)
        nanosleep(&nap, NULL);
    for (unsigned i = 0; i < 2; i++)
        cpu_raise(cpu[i], CPU_PIN_STOP);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < ARRAY_LEN(unit); i++)
        ck_assert_msg(cf_peek(unit[i], 4) == 2 * ROUNDS, "unit %u: %u", i, (unsigned)cf_peek(unit[i], 4));
    cpu_free(cpu[1]);
    cf_teardown();
}
END_TEST

struct changer {
    struct cpu *cpu;
    uint8_t bit;
    pthread_barrier_t *start;
    pthread_t thread;
};

static void *change_bit(void *opaque)
{
    struct changer *c = opaque;

    pthread_barrier_wait(c->start);
    for (unsigned i = 0; i < 10 * ROUNDS; i++)
        mmu_change_super(c->cpu, DATA + 5, IR_ATOMIC_XOR, c->bit);
    return NULL;
}

/* Two processors change bits of one descriptor, an even number of times. */
START_TEST(one_descriptor)
{
    pthread_barrier_t together;
    struct changer c[2];

    open_cpu(0);
    cf_poke(DATA + 4, 0xa5a5a5, 4);
    pthread_barrier_init(&together, NULL, 2);
    for (unsigned i = 0; i < 2; i++)
        c[i] = (struct changer){ .cpu = i ? second_cpu(0) : cf.cpu, .bit = i ? 0xf0 : 0x0f, .start = &together };
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&c[i].thread, NULL, change_bit, &c[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(c[i].thread, NULL);
    pthread_barrier_destroy(&together);
    ck_assert_uint_eq(cf_peek(DATA + 4, 4), 0xa5a5a5);
    cpu_free(c[1].cpu);
    cf_teardown();
}
END_TEST

Suite *atomic_suite(void);

Suite *atomic_suite(void)
{
    Suite *s = suite_create("atomic");
    TCase *t = tcase_create("atomic");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, across_pages, 0, 2);
    tcase_add_loop_test(t, where_no_ram_is, 0, 2);
    tcase_add_loop_test(t, onto_code, 0, 2);
    tcase_add_loop_test(t, page_fault, 0, 2);
    tcase_add_loop_test(t, alignment, 0, 2);
    tcase_add_loop_test(t, data_breakpoint, 0, 2);
    tcase_add_loop_test(t, sixteen_bytes, 0, 2);
    tcase_add_loop_test(t, descriptors, 0, 2);
    tcase_add_loop_test(t, two_processors, 0, 2);
    tcase_add_test(t, one_descriptor);
    suite_add_tcase(s, t);
    return s;
}
