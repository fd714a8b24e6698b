/* The software TLB and the accesses that go through it: SDM vol. 3, 4.10 (caching), 4.6 (rights), 6.15 (#PF,
 * #AC), vol. 1, 3.3.7.1 (canonical addresses). */
#include <check.h>

#include "cpu_fixture.h"
#include "cpu/walk.h"

enum { X = 0x300000, Y = 0x301000 }; /* linear pages under test; X + 4K = Y */
enum { D = 0x40, G = 0x100 };
#define OTHER UINT64_C(0x500000)    /* another physical page */

static void setup(void)
{
    cf_setup(NULL);
    cf_page_32();
    cf_poke(X, 0x11111111, 4);
    cf_poke(OTHER, 0x55555555, 4);
}

static void setup_long(void)
{
    cf_setup(NULL);
    cf_enter_long();
}

static uint64_t load(uint64_t addr, unsigned size) { return mmu_load(cf.cpu, addr, size, 0); }
static void store(uint64_t addr, uint64_t v, unsigned size) { mmu_store(cf.cpu, addr, v, size, 0); }
static void map(uint64_t linear, uint64_t pte) { cf_poke(CF_PTE(linear), pte, 4); }

static void remap(uint64_t linear, uint64_t pte)
{
    map(linear, pte);
    mmu_invlpg(cf.cpu, linear);
}

static void set_user(bool user)
{
    cpu_set_cpl(cf.cpu, user ? 3 : 0);
    cpu_update_mode(cf.cpu);
}

static void check_pf(uint64_t cr2, uint32_t code)
{
    ck_assert_uint_eq(cf.cpu->ex.vector, EX_PF);
    ck_assert_uint_eq(cf.cpu->ex.cr2, cr2);
    ck_assert_uint_eq(cf.cpu->ex.code, code);
}

START_TEST(test_stale_until_invlpg)
{
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    map(X, OTHER | 7);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    mmu_invlpg(cf.cpu, X + 0x123);
    ck_assert_uint_eq(load(X, 4), 0x55555555);
    map(X, X | 7);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
}
END_TEST

START_TEST(test_refused_walks_are_not_cached)
{
    remap(X, X);
    ck_assert_int_eq(CF_RAISED(load(X + 4, 4)), EX_PF);
    check_pf(X + 4, 0);
    map(X, X | 5); /* from not present to present needs no INVLPG */
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    set_user(true);
    ck_assert_int_eq(CF_RAISED(store(X + 8, 0, 4)), EX_PF);
    check_pf(X + 8, PFEC_P | PFEC_W | PFEC_U);
    map(X, X | 7); /* more rights: the faulting access itself dropped what was cached */
    store(X, 0x22, 4);
    ck_assert_uint_eq(cf_peek(X, 4), 0x22);
}
END_TEST

/* SDM vol. 3, 4.10.4.1: a fault drops the translation of its address for all kinds of access. */
START_TEST(test_fault_drops_the_page)
{
    const uint8_t *host;

    remap(X, X | 5);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    ck_assert_uint_eq(mmu_fetch(cf.cpu, X, &host), X);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    map(X, OTHER | 5);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    ck_assert_int_eq(CF_RAISED(store(X, 0, 4)), EX_PF);
    ck_assert_uint_eq(load(X, 4), 0x55555555);
    ck_assert_uint_eq(mmu_fetch(cf.cpu, X, &host), OTHER);
}
END_TEST

/* A large page gives way to a table of small ones: its translation serves until a fault in this part of it. */
START_TEST(test_fault_drops_the_large_page)
{
    const uint64_t addr = 0x2000000;

    cpu_write_cr4(cf.cpu, CR4_PSE);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    cf_poke(0xc00000, 0x44444444, 4);
    cf_poke(CF_TABLES + 4 * 8, 0xc00000 | 0x85, 4);
    ck_assert_uint_eq(load(addr, 4), 0x44444444);
    cf_poke(CF_TABLES + 4 * 8, (CF_TABLES + 0x1000) | 7, 4);
    map(0, X | 5);
    map(0x1000, X | 5);
    ck_assert_uint_eq(load(addr, 4), 0x44444444);
    ck_assert_uint_eq(load(addr + 0x1000, 4), 0);
    ck_assert_int_eq(CF_RAISED(store(addr, 0, 4)), EX_PF);
    ck_assert_uint_eq(load(addr, 4), 0x11111111);
    ck_assert_uint_eq(load(addr + 0x2000, 4), cf_peek(0x2000, 4));
    map(0x3000, X | 7);
    store(addr + 0x3000, 0x99, 4);
    ck_assert_uint_eq(cf_peek(X, 4), 0x99);
}
END_TEST

START_TEST(test_global_pages_survive_cr3)
{
    cpu_write_cr4(cf.cpu, CR4_PGE);
    map(X, X | 7 | G);
    map(Y, Y | 7);
    cf_poke(Y, 0x66666666, 4);
    load(X, 4);
    load(Y, 4);
    map(X, OTHER | 7 | G);
    map(Y, OTHER | 7);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    ck_assert_uint_eq(load(Y, 4), 0x55555555);
    mmu_invlpg(cf.cpu, X); /* INVLPG drops them too */
    ck_assert_uint_eq(load(X, 4), 0x55555555);
    map(X, X | 7 | G);
    cpu_write_cr4(cf.cpu, 0); /* as does any change of CR4.PGE */
    ck_assert_uint_eq(load(X, 4), 0x11111111);
}
END_TEST

START_TEST(test_invlpg_inside_large_page)
{
    cpu_write_cr4(cf.cpu, CR4_PSE | CR4_PGE);
    cf_poke(CF_TABLES + 4 * 8, 0x400000 | 0x87 | G, 4);
    cf_poke(0x400000, 0x44444444, 4);
    cf_poke(0x7ff000, 0x77777777, 4);
    ck_assert_uint_eq(load(0x2000000, 4), 0x44444444);
    ck_assert_uint_eq(load(0x23ff000, 4), 0x77777777);
    cf_poke(CF_TABLES + 4 * 8, 0x800000 | 0x87 | G, 4);
    ck_assert_uint_eq(load(0x23ff000, 4), 0x77777777);
    mmu_invlpg(cf.cpu, 0x2123456);
    ck_assert_uint_eq(load(0x2000000, 4), 0);
    ck_assert_uint_eq(load(0x23ff000, 4), 0);
}
END_TEST

START_TEST(test_user_and_supervisor)
{
    remap(X, X | 3);
    load(X, 4);
    store(X, 1, 4);
    set_user(true);
    ck_assert_int_eq(CF_RAISED(load(X, 4)), EX_PF);
    check_pf(X, PFEC_P | PFEC_U);
    ck_assert_uint_eq(mmu_load_super(cf.cpu, X, 4), 1);
    ck_assert_uint_eq(mmu_load(cf.cpu, X, 4, IR_MEM_SUPER), 1);
    ck_assert_int_eq(CF_RAISED(mmu_fetch(cf.cpu, X, &(const uint8_t *){ NULL })), EX_PF);
    check_pf(X, PFEC_P | PFEC_U);
    set_user(false);
    ck_assert_uint_eq(load(X, 4), 1);
}
END_TEST

START_TEST(test_write_protect)
{
    remap(X, X | 5);
    store(X, 7, 4); /* CR0.WP = 0 */
    ck_assert_uint_eq(cf_peek(CF_PTE(X), 4) & D, D);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    ck_assert_int_eq(CF_RAISED(store(X + 4, 8, 4)), EX_PF);
    check_pf(X + 4, PFEC_P | PFEC_W);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 & ~(uint64_t)CR0_WP);
    store(X, 9, 4);
    set_user(true);
    ck_assert_int_eq(CF_RAISED(store(X, 8, 4)), EX_PF);
    check_pf(X, PFEC_P | PFEC_W | PFEC_U);
    ck_assert_uint_eq(cf_peek(X, 4), 9);
}
END_TEST

START_TEST(test_dirty_with_the_first_store)
{
    load(X, 4);
    ck_assert_uint_eq(cf_peek(CF_PTE(X), 4) & 0x60, 0x20);
    store(X, 1, 1);
    ck_assert_uint_eq(cf_peek(CF_PTE(X), 4) & 0x60, 0x60);
    map(X, X | 7); /* a cached translation sets it no more */
    store(X, 1, 1);
    ck_assert_uint_eq(cf_peek(CF_PTE(X), 4) & 0x60, 0);
    mmu_invlpg(cf.cpu, X);
    mmu_load(cf.cpu, X, 4, IR_MEM_RMW);
    ck_assert_uint_eq(cf_peek(CF_PTE(X), 4) & 0x60, 0x60);
}
END_TEST

START_TEST(test_rmw_load_is_checked_for_writing)
{
    remap(X, X | 5);
    set_user(true);
    load(X, 4);
    ck_assert_int_eq(CF_RAISED(mmu_load(cf.cpu, X + 1, 2, IR_MEM_RMW)), EX_PF);
    check_pf(X + 1, PFEC_P | PFEC_W | PFEC_U);
}
END_TEST

START_TEST(test_page_crossing)
{
    static uint8_t field[16];

    remap(Y, OTHER | 7); /* not behind X in memory */
    store(X + 0xffd, 0x8877665544332211, 8);
    ck_assert_uint_eq(cf_peek(X + 0xffd, 3), 0x332211);
    ck_assert_uint_eq(cf_peek(OTHER, 4), 0x77665544);
    ck_assert_uint_eq(load(X + 0xffd, 8), 0x8877665544332211);
    mmu_load16(cf.cpu, X + 0xffd, field, 0);
    ck_assert_uint_eq(load_le(field, 8), 0x8877665544332211);
    remap(Y, OTHER | 5);
    set_user(true);
    ck_assert_int_eq(CF_RAISED(store(X + 0xffe, 0, 4)), EX_PF);
    check_pf(Y, PFEC_P | PFEC_W | PFEC_U);
    ck_assert_int_eq(CF_RAISED(mmu_store16(cf.cpu, X + 0xff1, field, 0)), EX_PF);
    check_pf(Y, PFEC_P | PFEC_W | PFEC_U);
    remap(Y, 0);
    ck_assert_int_eq(CF_RAISED(store(X + 0xffe, 0, 4)), EX_PF);
    check_pf(Y, PFEC_W | PFEC_U);
    ck_assert_int_eq(CF_RAISED(load(X + 0xfff, 2)), EX_PF);
    check_pf(Y, PFEC_U);
    ck_assert_int_eq(CF_RAISED(mmu_load16(cf.cpu, X + 0xff8, field, 0)), EX_PF);
    ck_assert_uint_eq(load_le(field, 8), 0x8877665544332211);
    remap(X, 0);
    ck_assert_int_eq(CF_RAISED(load(X + 0xffe, 4)), EX_PF); /* the first page is reported first */
    check_pf(X + 0xffe, PFEC_U);
    ck_assert_uint_eq(cf_peek(X + 0xffd, 3), 0x332211);
    ck_assert_uint_eq(cf_peek(OTHER, 4), 0x77665544);
}
END_TEST

/* 4 GiB outside 64-bit code: the limit of a flat segment, else linear addresses wrap. */
static void check_wrap(void)
{
    ck_assert_int_eq(CF_RAISED(mmu_load(cf.cpu, 0xfffffffe, 4, IR_MEM_FLAT)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_load(cf.cpu, 0xfffffffe, 4, IR_MEM_FLAT | IR_MEM_STACK)), EX_SS);
    ck_assert_uint_eq(cf.cpu->ex.code, 0);
    ck_assert_int_eq(CF_RAISED(mmu_load(cf.cpu, 0xfffffffc, 4, IR_MEM_FLAT)), -1);
    store(0xfffffffe, 0x44332211, 4);
    ck_assert_uint_eq(load(0xfffffffe, 4), 0x44332211);
    ck_assert_uint_eq(cf_peek(X + 0xffe, 2), 0x2211);
    ck_assert_uint_eq(cf_peek(OTHER, 2), 0x4433);
    ck_assert_uint_eq(load(UINT64_C(0x700000000) + 0xfffffffe, 2), 0x2211);
    const uint8_t bytes[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    uint8_t back[16];
    for (unsigned i = 1; i < 16; i++) {
        mmu_store16(cf.cpu, UINT64_C(0x100000000) - i, bytes, 0);
        mmu_load16(cf.cpu, UINT64_C(0x100000000) - i, back, 0);
        ck_assert_mem_eq(bytes, back, 16);
        ck_assert_uint_eq(cf_peek(OTHER, 1), i + 1);
    }
}

START_TEST(test_wrap_at_4g)
{
    cf_poke(CF_TABLES + 4 * 1023, (CF_TABLES + 0x1000) | 7, 4);
    map(0x3ff000, X | 7);
    map(0, OTHER | 7);
    check_wrap();
}
END_TEST

static void map_compat_wrap(void)
{
    cf_poke(CF_TABLES + 0x2000, 0x110000 | 7, 8);              /* first 2 MiB by 4 KiB pages */
    cf_poke(CF_TABLES + 0x2000 + 8 * 2047, 0x111000 | 7, 8);   /* last 2 MiB of 4 GiB */
    for (unsigned i = 0; i < 512; i++)
        cf_poke(0x110000 + 8 * i, (uint64_t)i << 12 | 7, 8);
    cf_poke(0x110000, OTHER | 7, 8);
    cf_poke(0x111000 + 8 * 511, X | 7, 8);
    mmu_flush(cf.cpu, true);
}

START_TEST(test_wrap_in_compatibility_mode)
{
    map_compat_wrap();
    far_transfer(cf.cpu, FAR_JMP, CF_KCODE, 0x10000, 4, 0);
    ck_assert(cpu_long_mode(cf.cpu) && !cpu_code64(cf.cpu));
    check_wrap();
}
END_TEST

START_TEST(test_canonical)
{
    struct cpu *cpu = cf.cpu;
    static uint8_t field[16];
    const uint64_t low = UINT64_C(0x7fffffffffff), bad = low + 1, high = UINT64_C(0xffff7fffffffffff);

    ck_assert_int_eq(CF_RAISED(load(bad, 1)), EX_GP);
    ck_assert_uint_eq(cpu->ex.code, 0);
    ck_assert_int_eq(CF_RAISED(load(high, 1)), EX_GP);
    ck_assert_int_eq(CF_RAISED(load(low, 2)), EX_GP); /* its second byte */
    ck_assert_int_eq(CF_RAISED(load(low, 1)), EX_PF);
    ck_assert_int_eq(CF_RAISED(load(high + 1, 8)), EX_PF);
    check_pf(high + 1, 0);
    ck_assert_int_eq(CF_RAISED(store(bad, 0, 8)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_store(cpu, bad, 0, 8, IR_MEM_STACK)), EX_SS);
    ck_assert_uint_eq(cpu->ex.code, 0);
    ck_assert_int_eq(CF_RAISED(mmu_load16(cpu, low - 7, field, 0)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_store16(cpu, bad, field, IR_MEM_STACK)), EX_SS);
    ck_assert_int_eq(CF_RAISED(mmu_probe(cpu, bad, 28, ACC_WRITE, 0)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_probe(cpu, low - 7, 28, ACC_WRITE, IR_MEM_STACK)), EX_SS);
    ck_assert_int_eq(CF_RAISED(mmu_load_super(cpu, bad, 8)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_fetch(cpu, bad, &(const uint8_t *){ NULL })), EX_GP);
    ck_assert(!mmu_may_fetch(cpu, bad));
}
END_TEST

START_TEST(test_canonical_57)
{
    const uint64_t low = UINT64_C(0xffffffffffffff), in57 = UINT64_C(0x80000000000000);

    ck_assert_int_eq(CF_RAISED(load(in57, 1)), EX_GP);
    cf.cpu->cr4 |= CR4_LA57; /* which software may do outside long mode only */
    cpu_update_mode(cf.cpu);
    mmu_flush(cf.cpu, true);
    ck_assert_int_eq(CF_RAISED(load(in57, 1)), EX_PF);
    ck_assert_int_eq(CF_RAISED(load(low, 1)), EX_PF);
    ck_assert_int_eq(CF_RAISED(load(low, 2)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_store(cf.cpu, low + 1, 0, 8, IR_MEM_STACK)), EX_SS);
}
END_TEST

START_TEST(test_smap_has_its_own_set)
{
    cpu_write_cr4(cf.cpu, CR4_SMAP);
    ck_assert_uint_eq(cpu_mmu_set(cf.cpu), MMU_SMAP);
    ck_assert_int_eq(CF_RAISED(load(X, 4)), EX_PF);
    check_pf(X, PFEC_P);
    cpu_set_eflags(cf.cpu, FL_AC, FL_AC);
    ck_assert_uint_eq(cpu_mmu_set(cf.cpu), MMU_SUPER);
    ck_assert_uint_eq(load(X, 4), 0x11111111);
    ck_assert_int_eq(CF_RAISED(mmu_load_super(cf.cpu, X, 4)), EX_PF); /* implicit: AC does not count */
    ck_assert_uint_eq(mmu_load_stack(cf.cpu, X, 4), 0x11111111);
    cpu_set_eflags(cf.cpu, 0, FL_AC);
    ck_assert_int_eq(CF_RAISED(load(X, 4)), EX_PF);
    ck_assert_int_eq(CF_RAISED(mmu_load_stack(cf.cpu, X, 4)), EX_PF);
    set_user(true);
    ck_assert_uint_eq(cpu_mmu_set(cf.cpu), MMU_USER);
    ck_assert_int_eq(CF_RAISED(mmu_load_super(cf.cpu, X, 4)), EX_PF);
    check_pf(X, PFEC_P);
}
END_TEST

/* A page with a key in the tables of long mode, which map by 2 MiB pages: PKRU counts with the next
 * access. */
START_TEST(test_key_rights_change)
{
    const uint64_t entry = CF_TABLES + 0x2000 + 8 * (0x600000 >> 21);

    cf_poke(entry, 0x600000 | 0x87 | UINT64_C(3) << 59, 8);
    cpu_write_cr4(cf.cpu, cf.cpu->cr4 | CR4_PKE);
    store(0x600000, 1, 4);
    cpu_set_pkru(cf.cpu, 2 << 6);
    ck_assert_uint_eq(load(0x600000, 4), 1);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_WP);
    ck_assert_int_eq(CF_RAISED(store(0x600000, 2, 4)), EX_PF);
    check_pf(0x600000, PFEC_P | PFEC_W | PFEC_PK);
    cpu_set_pkru(cf.cpu, 1 << 6);
    ck_assert_int_eq(CF_RAISED(load(0x600000, 4)), EX_PF);
    check_pf(0x600000, PFEC_P | PFEC_PK);
    cpu_set_pkru(cf.cpu, 0xffffff3f);
    store(0x600000, 3, 4);
    ck_assert_uint_eq(load(0x600000, 4), 3);
}
END_TEST

START_TEST(test_rom_and_holes)
{
    unsigned room;

    mem_region_host(cf.rom)[5] = 0x99;
    ck_assert_uint_eq(load(CF_ROM + 5, 1), 0x99);
    store(CF_ROM + 5, 0x11, 1);
    store(CF_ROM + 4, 0x11, 8);
    ck_assert_uint_eq(load(CF_ROM + 5, 1), 0x99);
    ck_assert_ptr_null(mmu_host(cf.cpu, CF_ROM, ACC_WRITE, &room));
    ck_assert_ptr_eq(mmu_host(cf.cpu, CF_ROM + 5, ACC_READ, &room), mem_region_host(cf.rom) + 5);
    ck_assert_uint_eq(room, 0xffb);
    remap(X, 0x30000000 | 7);
    ck_assert_uint_eq(load(X, 4), 0xffffffff);
    store(X, 0, 4);
    ck_assert_uint_eq(load(X, 2), 0xffff);
}
END_TEST

static void check_io(unsigned i, bool write, uint64_t offset, unsigned size)
{
    ck_assert_uint_eq(cf.io_log[i].write, write);
    ck_assert_uint_eq(cf.io_log[i].offset, offset);
    ck_assert_uint_eq(cf.io_log[i].size, size);
}

START_TEST(test_io_regions)
{
    unsigned room;

    remap(X, CF_IO | 7);
    remap(Y, (CF_IO + 0x2000) | 7);
    for (unsigned i = 0; i < 4; i++) {
        store(X + 0x10, 0x8877665544332211, 1u << i);
        check_io(i, true, 0x10, 1u << i);
        ck_assert_uint_eq(cf.io_log[i].value, UINT64_C(0x8877665544332211) & MASK(8u << i));
    }
    cf.num_io = 0;
    store_le(cf.io_data + 0x20, 4, 0xdeadbeef);
    ck_assert_uint_eq(load(X + 0x20, 4), 0xdeadbeef);
    ck_assert_uint_eq(mmu_load(cf.cpu, X + 0x20, 2, IR_MEM_RMW), 0xbeef);
    ck_assert_uint_eq(cf.num_io, 2);
    check_io(0, false, 0x20, 4);
    check_io(1, false, 0x20, 2);
    cf.num_io = 0;
    load(X + 0xffe, 4);
    ck_assert_uint_eq(cf.num_io, 2);
    check_io(0, false, 0xffe, 2);
    check_io(1, false, 0x2000, 2);
    ck_assert_ptr_null(mmu_host(cf.cpu, X, ACC_READ, &room));
    remap(Y, 0); /* a fault on the second page comes before the device sees anything */
    cf.num_io = 0;
    ck_assert_int_eq(CF_RAISED(store(X + 0xffe, 0, 4)), EX_PF);
    ck_assert_uint_eq(cf.num_io, 0);
}
END_TEST

START_TEST(test_alignment_16)
{
    static uint8_t field[16];

    ck_assert_int_eq(CF_RAISED(mmu_load16(cf.cpu, X + 8, field, IR_MEM_ALIGN)), EX_GP);
    ck_assert_uint_eq(cf.cpu->ex.code, 0);
    ck_assert_int_eq(CF_RAISED(mmu_store16(cf.cpu, X + 1, field, IR_MEM_ALIGN)), EX_GP);
    ck_assert_int_eq(CF_RAISED(mmu_load16(cf.cpu, X + 8, field, 0)), -1);
    ck_assert_int_eq(CF_RAISED(mmu_load16(cf.cpu, X + 16, field, IR_MEM_ALIGN)), -1);
}
END_TEST

START_TEST(test_alignment_check)
{
    struct cpu *cpu = cf.cpu;

    load(X + 1, 4);
    cpu_write_cr0(cpu, cpu->cr0 | CR0_AM);
    cpu_set_eflags(cpu, FL_AC, FL_AC);
    ck_assert_int_eq(CF_RAISED(load(X + 1, 4)), -1); /* not at level 0 */
    set_user(true);
    for (volatile unsigned size = 2; size <= 8; size *= 2) {
        ck_assert_int_eq(CF_RAISED(load(X + size / 2, size)), EX_AC);
        ck_assert_uint_eq(cpu->ex.code, 0);
        ck_assert_int_eq(CF_RAISED(store(X + size + 1, 0, size)), EX_AC);
        ck_assert_int_eq(CF_RAISED(load(X + size, size)), -1);
    }
    ck_assert_int_eq(CF_RAISED(mmu_load_super(cpu, X + 1, 4)), -1);
    cpu_set_eflags(cpu, 0, FL_AC);
    ck_assert_int_eq(CF_RAISED(load(X + 1, 4)), -1);
}
END_TEST

START_TEST(test_watched_page)
{
    uint8_t *flags = memory_page_flags(cf.mem);
    unsigned room;

    store(X, 1, 4);
    ck_assert_ptr_nonnull(mmu_host(cf.cpu, X, ACC_WRITE, &room));
    mmu_watch_code(cf.cpu, X + 0x234);
    ck_assert_uint_eq(flags[X >> 12], MEM_PAGE_CODE);
    ck_assert_ptr_null(mmu_host(cf.cpu, X, ACC_WRITE, &room));
    ck_assert_ptr_nonnull(mmu_host(cf.cpu, X, ACC_READ, &room));
    for (unsigned n = 0; n < TCG_WATCH_IDLE; n++) { /* nothing is translated: the flag goes at last */
        ck_assert_uint_eq(flags[X >> 12], MEM_PAGE_CODE);
        store(X + 4, 2, 4);
    }
    ck_assert_uint_eq(flags[X >> 12], 0);
    ck_assert_uint_eq(cf_peek(X + 4, 4), 2);
    ck_assert_ptr_nonnull(mmu_host(cf.cpu, X, ACC_WRITE, &room));
}
END_TEST

/* The first 64 bytes are said to be code. */
START_TEST(test_store_beside_code)
{
    uint64_t *map = memory_code_map(cf.mem), rom = mem_region_ram_off(cf.rom) >> 12;
    uint8_t *flags = memory_page_flags(cf.mem);
    unsigned room;

    map[X >> 12] = map[rom] = 1;
    flags[X >> 12] = flags[rom] = MEM_PAGE_CODE;
    store(X + 0x3c, 0x1122334455667788, 8); /* half of it beside */
    for (unsigned size = 1; size <= 8; size *= 2) {
        store(X + 0x800, 0x1122334455667788, size);
        ck_assert_uint_eq(cf_peek(X + 0x800, size), 0x1122334455667788 & MASK(8 * size));
        store(X + 0x1000 - size, 0x77, size);
        ck_assert_uint_eq(cf_peek(X + 0x1000 - size, size), 0x77);
    }
    ck_assert_uint_eq(cf_peek(X + 0x3c, 8), 0x1122334455667788);
    ck_assert_ptr_null(mmu_host(cf.cpu, X, ACC_WRITE, &room));
    mem_region_host(cf.rom)[0x800] = 0x99;
    ck_assert_uint_eq(load(CF_ROM + 0x800, 1), 0x99);
    store(CF_ROM + 0x800, 0x11, 1);
    store(CF_ROM + 0x800, 0x11, 1);
    ck_assert_uint_eq(load(CF_ROM + 0x800, 1), 0x99);
}
END_TEST

/* A display has seen pages: those with code are told as written whenever stores to them may have been on their way. */
START_TEST(test_display_looks_at_code)
{
    uint8_t *flags = memory_page_flags(cf.mem);

    flags[X >> 12] = MEM_PAGE_CODE;
    flags[(X >> 12) + 1] = MEM_PAGE_CLEAN_VGA;
    store(X, 1, 4);
    store(X + 0x1000, 1, 4);
    ck_assert_uint_eq(flags[(X >> 12) + 1], 0);
    flags[X >> 12] |= MEM_PAGE_CLEAN_VGA;
    flags[(X >> 12) + 1] |= MEM_PAGE_CLEAN_VGA;
    mmu_revoke_stores(cf.cpu);
    ck_assert_uint_eq(flags[X >> 12], MEM_PAGE_CODE);
    ck_assert_uint_eq(flags[(X >> 12) + 1], 0); /* it had the direct way */
    flags[X >> 12] |= MEM_PAGE_CLEAN_VGA;
    flags[(X >> 12) + 1] |= MEM_PAGE_CLEAN_VGA;
    mmu_revoke_stores(cf.cpu);
    ck_assert_uint_eq(flags[X >> 12], MEM_PAGE_CODE);
    ck_assert_uint_eq(flags[(X >> 12) + 1], MEM_PAGE_CLEAN_VGA); /* and has not any more */
}
END_TEST

START_TEST(test_fetch)
{
    const uint8_t *host;

    ck_assert_uint_eq(mmu_fetch(cf.cpu, X + 5, &host), X + 5);
    ck_assert_ptr_eq(host, mem_region_host(cf.ram) + X + 5);
    remap(X, CF_IO | 7);
    ck_assert_uint_eq(mmu_fetch(cf.cpu, X + 5, &host), UINT64_MAX);
    ck_assert_uint_eq(mmu_fetch_phys(cf.cpu, X + 5), CF_IO + 5);
    remap(X, 0);
    ck_assert(!mmu_may_fetch(cf.cpu, X));
    ck_assert_int_eq(CF_RAISED(mmu_fetch(cf.cpu, X, &host)), EX_PF);
    check_pf(X, 0);
}
END_TEST

START_TEST(test_nx_fetch)
{
    const uint8_t *host;

    cpu_write_msr(cf.cpu, 0xc0000080, EFER_LME | EFER_NXE);
    cf_poke(CF_TABLES + 0x2000 + 8, UINT64_C(0x200087) | BIT(63), 8);
    ck_assert_uint_eq(load(0x200000, 4), 0);
    ck_assert_int_eq(CF_RAISED(mmu_fetch(cf.cpu, 0x200004, &host)), EX_PF);
    check_pf(0x200004, PFEC_P | PFEC_I);
    ck_assert_uint_eq(load(0x200000, 4), 0);
}
END_TEST

static void add(TCase *t, const TTest *const tests[])
{
    for (unsigned i = 0; tests[i]; i++)
        tcase_add_test(t, tests[i]);
}

Suite *mmu_suite(void)
{
    Suite *s = suite_create("mmu");
    TCase *t = tcase_create("32-bit"), *l = tcase_create("64-bit");

    tcase_add_checked_fixture(t, setup, cf_teardown);
    add(t, (const TTest *const[]){
        test_stale_until_invlpg, test_refused_walks_are_not_cached, test_fault_drops_the_page,
        test_fault_drops_the_large_page, test_global_pages_survive_cr3,
        test_invlpg_inside_large_page, test_user_and_supervisor, test_write_protect,
        test_dirty_with_the_first_store, test_rmw_load_is_checked_for_writing, test_page_crossing,
        test_wrap_at_4g, test_rom_and_holes, test_io_regions, test_alignment_16, test_alignment_check,
        test_watched_page, test_store_beside_code, test_display_looks_at_code, test_fetch,
        test_smap_has_its_own_set, NULL });
    tcase_add_checked_fixture(l, setup_long, cf_teardown);
    add(l, (const TTest *const[]){ test_wrap_in_compatibility_mode, test_canonical, test_nx_fetch,
                                   test_canonical_57, test_key_rights_change, NULL });
    suite_add_tcase(s, t);
    suite_add_tcase(s, l);
    return s;
}
