/* The strict log: what is reported and what is not. SDM vol. 3, 4.10.4 (which changes of paging structures
 * need an invalidation, and what invalidates), 2.5, 3.4.5, 6.11 (reserved bits), vol. 1, 3.4.3 (EFLAGS). */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/helper_int.h"
#include "cpu/helpers.h"
#include "cpu/strict.h"
#include "cpu_fixture.h"

enum { X = 0x300000, OTHER = 0x500000, CODE_PAGE = 0x310000 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };

static char *text;
static size_t text_size;

/* The log goes to `text`. */
static void switch_on(uint32_t items)
{
    cf.log.mask |= items;
    cf.log.file = open_memstream(&text, &text_size);
    strict_init(cf.cpu);
    mmu_flush(cf.cpu, true);
}

static void setup(void)
{
    cf_setup(NULL);
    cf_page_32();
    switch_on(LOG_STRICT);
    cpu_write_cr3(cf.cpu, CF_TABLES);
}

static void setup_long(void)
{
    cf_setup(NULL);
    cf_enter_long();
    switch_on(LOG_STRICT);
}

static void teardown(void)
{
    log_close(&cf.log);
    free(text);
    text = NULL;
    cf_teardown();
}

static unsigned lines(void)
{
    unsigned n = 0;

    fflush(cf.log.file);
    for (const char *p = text; p && *p; p++)
        n += *p == '\n';
    return n;
}

/* Exactly `n` lines so far, the last of which has `part`. */
static void expect(unsigned n, const char *part)
{
    const char *last;

    ck_assert_msg(lines() == n, "%u lines instead of %u:\n%.2000s", lines(), n, text);
    if (!n)
        return;
    text[strlen(text) - 1] = 0;
    last = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    ck_assert_msg(strstr(last, part) != NULL, "no '%s' in '%s'", part, last);
    text[strlen(text)] = '\n';
}

static uint64_t load(uint64_t addr) { return mmu_load(cf.cpu, addr, 4, 0); }
static void store(uint64_t addr) { mmu_store(cf.cpu, addr, 0, 4, 0); }
static void map(uint64_t linear, uint64_t pte) { cf_poke(CF_PTE(linear), pte, 4); }

/* ---- translations ---- */

START_TEST(test_frame_changed)
{
    load(X);
    map(X, OTHER | P | W | U);
    load(X + 8);
    expect(1, "read of linear 0000000000300008 by a translation that was changed and not invalidated: "
              "was 0000000000300000 4K user rwx; is 0000000000500000 4K user rwx");
    load(X);
    load(X + 0xffc);
    expect(1, "");
    store(0x301000);
    expect(1, "");
}
END_TEST

START_TEST(test_present_cleared)
{
    load(X);
    map(X, X | W | U);
    load(X);
    expect(1, "is not present");
}
END_TEST

/* A right that is gone matters to the access that needs it. */
START_TEST(test_right_removed)
{
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    store(X);
    map(X, X | P | U);
    load(X);
    expect(0, "");
    store(X);
    expect(1, "write of linear 0000000000300000");
    expect(1, "was 0000000000300000 4K user rwx; is 0000000000300000 4K user r-x");
}
END_TEST

START_TEST(test_user_right_removed)
{
    cf_enter_user();
    load(X);
    map(X, X | P | W);
    load(X);
    expect(1, "is 0000000000300000 4K supervisor rwx");
}
END_TEST

/* SDM vol. 3, 4.10.4.3: changes that need no invalidation. */
START_TEST(test_harmless_changes)
{
    map(X, 0);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    map(X, X | P | U);
    load(X);
    map(X, X | P | W | U);
    store(X);
    map(X, X | P | W | U | A);
    store(X);
    map(X, X | P | W | U | A | D | 0xe00);
    store(X);
    map(X + 0x1000, OTHER | P);
    load(X + 0x1000);
    expect(0, "");
}
END_TEST

START_TEST(test_right_raised_and_removed)
{
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    map(X, X | P | U);
    load(X);
    map(X, X | P | W | U);
    store(X);
    map(X, X | P | U);
    store(X);
    expect(1, "write of linear");
}
END_TEST

START_TEST(test_invalidated)
{
    load(X);
    map(X, OTHER | P | W | U);
    helper_invlpg(cf.cpu, X + 0xabc);
    load(X);
    map(X, X | P | W | U);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    load(X);
    map(X, OTHER | P | W | U);
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 ^ CR4_PGE);
    load(X);
    expect(0, "");
    map(X, X | P | W | U);
    helper_invlpg(cf.cpu, X + 0x1000);
    load(X);
    expect(1, "linear 0000000000300000");
}
END_TEST

START_TEST(test_global_page)
{
    cpu_write_cr4(cf.cpu, CR4_PGE);
    map(X, X | P | W | U | G);
    load(X);
    map(X, OTHER | P | W | U | G);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    load(X);
    expect(1, "linear 0000000000300000");
    map(X + 0x1000, (X + 0x1000) | P | W | U | G);
    load(X + 0x1000);
    map(X + 0x1000, OTHER | P | W | U);
    helper_invlpg(cf.cpu, X + 0x1000);
    load(X + 0x1000);
    expect(1, "");
}
END_TEST

/* A page fault invalidates what is cached for its page (4.10.4.1). */
START_TEST(test_fault_invalidates)
{
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    map(X, X | P | U);
    load(X);
    ck_assert_int_eq(CF_RAISED(store(X)), EX_PF);
    map(X, OTHER | P | W | U);
    load(X);
    expect(0, "");
}
END_TEST

START_TEST(test_large_page)
{
    cpu_write_cr4(cf.cpu, CR4_PSE);
    cf_poke(CF_TABLES + 4, 0x400000 | P | W | U | PS, 4);
    load(0x400000);
    load(0x7ff000);
    cf_poke(CF_TABLES + 4, 0x800000 | P | W | U | PS, 4);
    helper_invlpg(cf.cpu, 0x512345);
    load(0x7ff000);
    expect(0, "");
    cf_poke(CF_TABLES + 4, 0x400000 | P | W | U | PS, 4);
    load(0x600000);
    expect(1, "was 0000000000a00000 4M user rwx; is 0000000000600000 4M user rwx");
}
END_TEST

/* The same memory by smaller pages: both translations give the same. */
START_TEST(test_split_page)
{
    cpu_write_cr4(cf.cpu, CR4_PSE);
    cf_poke(CF_TABLES + 4, 0x400000 | P | W | U | PS, 4);
    load(0x400000);
    cf_poke(CF_TABLES + 4, (CF_TABLES + 0x2000) | P | W | U, 4);
    load(0x400000);
    expect(0, "");
    cf_poke(CF_PTE(0x400000), OTHER | P | W | U, 4);
    helper_invlpg(cf.cpu, 0x400000);
    load(0x400000);
    expect(0, "");
}
END_TEST

START_TEST(test_reserved_bit_in_entry)
{
    cpu_write_cr4(cf.cpu, CR4_PSE);
    cf_poke(CF_TABLES + 4, 0x400000 | P | W | PS | 1 << 21, 4);
    ck_assert_int_eq(CF_RAISED(load(0x400000)), EX_PF);
    expect(1, "reserved bits in the paging entries of linear 0000000000400000: #PF(9) delivered");
}
END_TEST

#define PD_ENTRY (CF_TABLES + 0x2000 + 8)

static void pcid_on(uint64_t pcid)
{
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PCIDE);
    cpu_write_cr3(cf.cpu, CF_TABLES | pcid);
}

START_TEST(test_pcid_kept)
{
    pcid_on(1);
    load(0x200000);
    cf_poke(PD_ENTRY, 0x400087, 8);
    cpu_write_cr3(cf.cpu, CF_TABLES | 2 | BIT(63));
    load(0x200000);
    expect(0, "");
    cpu_write_cr3(cf.cpu, CF_TABLES | 1 | BIT(63));
    load(0x200000);
    expect(1, "was 0000000000200000 2M user rwx; is 0000000000400000 2M user rwx");
}
END_TEST

START_TEST(test_pcid_dropped)
{
    pcid_on(1);
    load(0x200000);
    cf_poke(PD_ENTRY, 0x400087, 8);
    cpu_write_cr3(cf.cpu, CF_TABLES | 1);
    load(0x200000);
    cf_poke(PD_ENTRY, 0x200087, 8);
    helper_invpcid(cf.cpu, 0, 1, 0x212345);
    load(0x200000);
    cf_poke(PD_ENTRY, 0x400087, 8);
    helper_invpcid(cf.cpu, 1, 1, 0);
    load(0x200000);
    cf_poke(PD_ENTRY, 0x200087, 8);
    helper_invpcid(cf.cpu, 3, 0, 0);
    load(0x200000);
    expect(0, "");
    cf_poke(PD_ENTRY, 0x400087, 8);
    helper_invpcid(cf.cpu, 1, 2, 0); /* of another context */
    load(0x200000);
    expect(1, "2M");
}
END_TEST

static void put_program(uint64_t addr) { CF_CODE_AT(addr, 0x90, CF_STOP); }

START_TEST(test_code)
{
    put_program(CODE_PAGE);
    put_program(OTHER);
    cf_run(CODE_PAGE);
    expect(0, "");
    map(CODE_PAGE, OTHER | P | W | U);
    cf_run(CODE_PAGE);
    expect(1, "strict: 0008:0000000000310000 fetch of linear 0000000000310000");
}
END_TEST

/* ---- values; each line names the instruction ---- */

START_TEST(test_place)
{
    cf_setup_engine(_i);
    switch_on(LOG_STRICT);
    CF_CODE_AT(CF_CODE, 0x90, 0xb8, 0x28, 0x80, 0, 0, /* mov eax, 0x8028 */
               0x50, 0x9d,                            /* push eax; popf */
               0xb9, 2, 0, 0, 0,                      /* mov ecx, 2 */
               0x50, 0x9d, 0xe2, 0xfc, CF_STOP);      /* again: push eax; popf; loop again */
    cf_run(CF_CODE);
    expect(2, "strict: 0008:000000000001000e EFLAGS: reserved bits 8028 in the value 8028, ignored here");
    ck_assert(strstr(text, "strict: 0008:0000000000010007 EFLAGS") != NULL);
    CF_CODE_AT(CF_CODE, 0x90, 0x90, 0xa1, 0, 0, 1, 0, CF_STOP); /* mov eax, [0x10000] */
    seg_load(cf.cpu, S_DS, CF_DATA16);
    cpu_update_mode(cf.cpu);
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), EX_GP);
    expect(3, "strict: 0008:0000000000010002 access to DS:00010000: beyond the limit (selector 0048, base 0, "
              "limit ffff): #GP(0) delivered");
    teardown();
}
END_TEST

START_TEST(test_registers)
{
    ck_assert_int_eq(CF_RAISED(cpu_write_cr4(cf.cpu, 1u << 31)), EX_GP);
    expect(1, "CR4: reserved bits 80000000 in the value 80000000: #GP(0) delivered");
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | 1 << 6);
    expect(2, "CR0: reserved bits 40 in");
    helper_write_dr(cf.cpu, 7, 0x400 | 1 << 12);
    expect(3, "DR7: reserved bits 1000 in the value 1400, ignored here");
    helper_write_dr(cf.cpu, 7, 0);
    helper_write_dr(cf.cpu, 6, 0);
    expect(3, "");
    ck_assert_int_eq(CF_RAISED(helper_ldmxcsr(cf.cpu, 0x11f80)), EX_GP);
    expect(4, "MXCSR: reserved bits 10000 in the value 11f80: #GP(0) delivered");
    ck_assert_int_eq(CF_RAISED(cpu_write_msr(cf.cpu, 0xc0000080, 2)), EX_GP);
    expect(5, "EFER: reserved bits 2 in the value 2: #GP(0) delivered");
}
END_TEST

START_TEST(test_msrs)
{
    ck_assert_int_eq(CF_RAISED(cpu_read_msr(cf.cpu, 0x12345)), EX_GP);
    expect(1, "RDMSR of MSR 00012345: the processor does not have it: #GP(0) delivered");
    ck_assert_int_eq(CF_RAISED(cpu_write_msr(cf.cpu, 0x12345, 0)), EX_GP);
    expect(2, "WRMSR to MSR 00012345: the processor does not have it");
    ck_assert_int_eq(CF_RAISED(cpu_write_msr(cf.cpu, 0xfe, 0)), EX_GP);
    expect(3, "WRMSR to MSR 000000fe: it is read-only");
    ck_assert_int_eq(CF_RAISED(cpu_write_msr(cf.cpu, 0x277, 2)), EX_GP);
    expect(4, "WRMSR to MSR 00000277: reserved bits, or a value that is not allowed");
    cpu_write_msr(cf.cpu, 0x277, UINT64_C(0x0007040600070406));
    cpu_write_msr(cf.cpu, 0xc0000080, EFER_NXE);
    expect(4, "");
}
END_TEST

/* ---- segments and descriptors ---- */

static void put_desc(unsigned selector, uint32_t hi)
{
    cf_poke(CF_GDT + selector, 0xffff, 4);
    cf_poke(CF_GDT + selector + 4, hi, 4);
}

START_TEST(test_segments)
{
    struct segment *ds = &cf.cpu->seg[S_DS];

    seg_load(cf.cpu, S_DS, 0);
    ck_assert_int_eq(CF_RAISED(seg_address(cf.cpu, S_DS, 4, 4, false)), EX_GP);
    expect(1, "access to DS:00000004: the selector is null");
    put_desc(CF_DATA16, 0x9000);
    cf.cpu->rip++;
    seg_load(cf.cpu, S_DS, CF_DATA16);
    ck_assert_int_eq(CF_RAISED(seg_address(cf.cpu, S_DS, 4, 4, true)), EX_GP);
    expect(2, "the segment may not be written");
    cf.cpu->rip++;
    ck_assert_int_eq(CF_RAISED(seg_address(cf.cpu, S_DS, 0xfffe, 4, false)), EX_GP);
    expect(3, "access to DS:0000fffe: beyond the limit");
    ck_assert_uint_eq(ds->limit, 0xffff);
    ck_assert_int_eq(CF_RAISED(seg_load(cf.cpu, S_DS, 0x50)), EX_GP);
    expect(4, "selector 0050 at CPL 0: beyond the limit 4f of the GDT: #GP(0050) delivered");
    put_desc(CF_DATA16, 0x1200);
    ck_assert_int_eq(CF_RAISED(seg_load(cf.cpu, S_DS, CF_DATA16)), EX_NP);
    expect(5, "GDT descriptor 000012000000ffff, segment type 2, DPL 0, not present: #NP(0048) delivered");
}
END_TEST

START_TEST(test_reserved_in_descriptors)
{
    put_desc(CF_DATA16, 0x9200 | 1 << 22);
    seg_load(cf.cpu, S_DS, CF_DATA16);
    expect(0, "");
    put_desc(CF_DATA16, 0x9200 | 1 << 21);
    seg_load(cf.cpu, S_DS, CF_DATA16);
    expect(1, "DS: descriptor 002092000000ffff of selector 0048 has reserved bits 00200000 in its upper "
              "half, ignored here");
    cf_poke(CF_IDT + 8 * 0x21 + 4, 0x8e80, 4);
    cpu_deliver(cf.cpu, 0x20, false, 0, false, true);
    expect(1, "");
    cpu_deliver(cf.cpu, 0x21, false, 0, false, true);
    expect(2, "IDT gate 21");
}
END_TEST

START_TEST(test_refused_instructions)
{
    CF_CODE_AT(CF_CODE, 0x0f, 0x28, 0xc1, CF_STOP); /* movaps xmm0, xmm1 */
    cf_run(CF_CODE);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    expect(1, "strict: 0008:0000000000010000 movaps: CR4.OSFXSR is clear: #UD delivered");
    CF_CODE_AT(CF_CODE + 16, 0x0f, 0x0b); /* ud2 */
    cf_run(CF_CODE + 16);
    ck_assert_int_eq(cf_last_vector(), EX_UD);
    expect(1, "");
    CF_CODE_AT(CF_CODE + 32, 0xd9, 0xe8); /* fld1 */
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_TS);
    cf_run(CF_CODE + 32);
    ck_assert_int_eq(cf_last_vector(), EX_NM);
    expect(1, "");
    cpu_write_cr0(cf.cpu, (cf.cpu->cr0 & ~(uint64_t)CR0_TS) | CR0_EM);
    cf_run(CF_CODE + 32);
    expect(2, "fld1: CR0.EM is set: #NM delivered");
}
END_TEST

/* ---- RAM never written ---- */

START_TEST(test_uninit)
{
    const uint8_t byte = 0;

    cf_setup_engine(_i);
    switch_on(LOG_UNINIT);
    memory_track_writes(cf.mem, mem_region_ram_off(cf.ram), CF_RAM_SIZE);
    memory_mark_written(cf.mem, mem_region_ram_off(cf.ram), CF_CODE); /* tables and stack */
    /* mov [0x300004], eax; mov eax, [0x300004], [0x300002], [0x300800]: the page is known by then */
    CF_CODE_AT(CF_CODE, 0xa3, 4, 0, 0x30, 0, 0xa1, 4, 0, 0x30, 0, 0xa1, 2, 0, 0x30, 0, 0xa1, 0, 8, 0x30, 0,
               CF_STOP);
    cf_run(CF_CODE);
    expect(1, "strict: 0008:000000000001000a read of RAM that nobody has written (4 bytes), linear "
              "0000000000300002 "
              "physical 0000000000300002");
    /* DMA, strings and ROM */
    for (unsigned i = 0; i < 0x1000; i++)
        mem_write_buf(cf.space, 0x400000 + i, &byte, 1);
    CF_CODE_AT(CF_CODE, 0xfc, 0xbe, 0, 0, 0x40, 0, 0xbf, 0, 0, 0x50, 0, 0xb9, 0, 4, 0, 0, 0xf3,
               0xa5, /* rep movsd */
               0xa1, 0xfc, 0x0f, 0x50, 0, 0xa1, 0, 0, 0x0f, 0, 0xa1, 0, 0x10, 0x50, 0, CF_STOP);
    cf_run(CF_CODE);
    expect(2, "physical 0000000000501000");
    seg_load(cf.cpu, S_DS, 0); /* add [eax], al there faults */
    cpu_update_mode(cf.cpu);
    cf_run(0x600000);
    expect(3, "fetch of RAM that nobody has written (1 bytes), linear 0000000000600000");
    teardown();
}
END_TEST

START_TEST(test_off)
{
    cf_setup(NULL);
    strict_init(cf.cpu);
    ck_assert_ptr_eq(cf.cpu->strict, NULL);
    ck_assert_int_eq(CF_RAISED(cpu_write_cr4(cf.cpu, 1u << 31)), EX_GP);
    cf_teardown();
}
END_TEST

static void add(TCase *t, const TTest *const tests[])
{
    for (unsigned i = 0; tests[i]; i++)
        tcase_add_test(t, tests[i]);
}

Suite *strict_suite(void)
{
    Suite *s = suite_create("strict");
    TCase *t = tcase_create("32-bit"), *l = tcase_create("64-bit"), *own = tcase_create("engines");

    tcase_add_checked_fixture(t, setup, teardown);
    add(t, (const TTest *const[]){
               test_frame_changed, test_present_cleared, test_right_removed, test_user_right_removed,
               test_harmless_changes, test_right_raised_and_removed, test_invalidated, test_global_page,
               test_fault_invalidates, test_large_page, test_split_page, test_reserved_bit_in_entry,
               test_code, test_registers, test_msrs, test_segments, test_reserved_in_descriptors,
               test_refused_instructions, NULL });
    tcase_add_checked_fixture(l, setup_long, teardown);
    add(l, (const TTest *const[]){ test_pcid_kept, test_pcid_dropped, NULL });
    tcase_add_loop_test(own, test_place, 0, 2);
    tcase_add_loop_test(own, test_uninit, 0, 2);
    tcase_add_test(own, test_off);
    suite_add_tcase(s, t);
    suite_add_tcase(s, l);
    suite_add_tcase(s, own);
    return s;
}
