/* The page walk. Expectations from SDM vol. 3, chapter 4: figures 4-4, 4-7, 4-11, tables 4-4 to 4-19,
 * sections 4.6 (rights), 4.7 (error codes), 4.8 (accessed and dirty). */
#include "cpu/walk.h"

#include <check.h>
#include <pthread.h>

#include "cpu_fixture.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX BIT(63)
enum { T0 = CF_TABLES, T1 = T0 + 0x1000, T2 = T0 + 0x2000, T3 = T0 + 0x3000, PAGE = 0x345000,
    BIG = 0x400000 };

static struct walk w;
static uint32_t error;

static void setup(void)
{
    cf_setup(NULL);
    cf.cpu->cr3 = T0;
}

/* With what is remembered. */
static int go_on(uint64_t linear, enum mmu_access acc, unsigned mmu)
{
    return mmu_walk(cf.cpu, linear, acc, mmu, true, &w, &error);
}

/* From an empty cache of tables, as behind a flush. */
static int go(uint64_t linear, enum mmu_access acc, unsigned mmu)
{
    mmu_flush(cf.cpu, true);
    return mmu_walk(cf.cpu, linear, acc, mmu, true, &w, &error);
}

static void set_cr(uint64_t cr4, uint64_t efer)
{
    cf.cpu->cr0 |= CR0_PG | CR0_WP;
    cf.cpu->cr4 = cr4;
    cf.cpu->efer = efer;
}

/* Linear 0x12345678 onto PAGE + 0x678. */
#define LIN UINT64_C(0x12345678)

static void map_32(uint32_t pde, uint32_t pte)
{
    set_cr(cf.cpu->cr4, 0);
    cf_poke(T0 + (LIN >> 22) * 4, T1 | pde, 4);
    cf_poke(T1 + (LIN >> 12 & 0x3ff) * 4, PAGE | pte, 4);
}

static uint32_t pde_32(void) { return (uint32_t)cf_peek(T0 + (LIN >> 22) * 4, 4); }
static uint32_t pte_32(void) { return (uint32_t)cf_peek(T1 + (LIN >> 12 & 0x3ff) * 4, 4); }

static void map_pae(uint64_t pde, uint64_t pte)
{
    cf.cpu->pdpte[0] = T0 | P;
    cf_poke(T0 + (LIN >> 21 & 0x1ff) * 8, T1 | pde, 8);
    cf_poke(T1 + (LIN >> 12 & 0x1ff) * 8, PAGE | pte, 8);
}

static uint64_t long_entry[4]; /* addresses of the path's entries */

static void map_long(const uint64_t bits[4])
{
    static const uint64_t table[] = { T0, T1, T2, T3 }, next[] = { T1, T2, T3, PAGE };

    for (unsigned i = 0; i < 4; i++) {
        long_entry[i] = table[i] + (LIN >> (39 - 9 * i) & 0x1ff) * 8;
        cf_poke(long_entry[i], next[i] | bits[i], 8);
    }
}

START_TEST(test_paging_off)
{
    ck_assert_int_eq(go(0x123456789, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, 0x23456789);
    ck_assert(w.user && w.write && w.exec);
}
END_TEST

/* Every combination of U and W in both entries, access, level and WP, against the rules of 4.6. */
START_TEST(test_rights_of_the_path)
{
    for (unsigned n = 0; n < 16 * 2 * 3 * 2; n++) {
        unsigned pde = (n & 3) << 1, pte = (n >> 2 & 3) << 1, wp = n >> 4 & 1, user = n >> 5 & 1,
            acc = n >> 6;
        bool page_user = pde & pte & U, page_write = pde & pte & W;
        bool write_ok = acc != ACC_WRITE || page_write;
        bool ok = user ? page_user && write_ok : write_ok || !wp;
        map_32(P | pde, P | pte);
        cf.cpu->cr0 = wp ? cf.cpu->cr0 | CR0_WP : cf.cpu->cr0 & ~(uint64_t)CR0_WP;
        ck_assert_msg((go(LIN, acc, user) == 0) == ok, "case %u", n);
        if (ok)
            ck_assert_uint_eq(w.phys, PAGE | 0x678);
        else
            ck_assert_uint_eq(error, PFEC_P | (acc == ACC_WRITE ? PFEC_W : 0) | (user ? PFEC_U : 0));
        ck_assert_uint_eq(pde_32() & (A | D), ok ? A : 0);
        ck_assert_uint_eq(pte_32() & (A | D), ok ? A | (acc == ACC_WRITE ? D : 0) : 0);
    }
}
END_TEST

/* A table of the last level is remembered until a flush or an INVLPG of any address (SDM vol. 3, 4.10.3.1, 4.10.4.1).
 * What an entry above takes away since may still be used until then; what it gives is seen at once. */
START_TEST(test_remembered_table)
{
    map_32(P | W | U, P | W | U);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    cf_poke(T0 + (LIN >> 22) * 4, T2 | P | W | U, 4); /* another table, without LIN's page */
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, PAGE | 0x678);
    mmu_invlpg(cf.cpu, 0x400000);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), -1);
    cf_poke(T2 + (LIN >> 12 & 0x3ff) * 4, (PAGE + 0x1000) | P | U, 4); /* not present: never remembered */
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, (PAGE + 0x1000) | 0x678);
    ck_assert_int_eq(go_on(LIN, ACC_WRITE, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_W | PFEC_U);
    map_32(P | U, P | W | U); /* back, read-only above */
    mmu_flush(cf.cpu, false);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), 0);
    ck_assert_int_eq(go_on(LIN, ACC_WRITE, true), -1);
    cf_poke(T0 + (LIN >> 22) * 4, T1 | P | W | U, 4); /* more rights need no flush */
    ck_assert_int_eq(go_on(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(pte_32() & D, D);
    /* A walk without effect remembers nothing. */
    mmu_flush(cf.cpu, false);
    ck_assert_int_eq(mmu_walk(cf.cpu, LIN, ACC_READ, MMU_USER, false, &w, &error), 0);
    cf_poke(T0 + (LIN >> 22) * 4, 0, 4);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), -1);
}
END_TEST

static void poke_big(uint64_t v) { cf_poke(T0 + (LIN >> 22) * 4, v, 4); }

/* A large page is remembered, in pieces of 2 MiB, until a flush (4.10.2.2); unless it is global, until CR3 is written.
 * The dirty bit is set by the first store all the same, and rights that come are seen at once. */
START_TEST(test_remembered_large_page)
{
    set_cr(CR4_PSE | CR4_PGE, 0);
    poke_big(BIG | P | U | PS);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    poke_big(2 * BIG | P | W | U | PS | A);
    ck_assert_int_eq(go_on(LIN + 0x1000, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, BIG | ((LIN + 0x1000) & 0x3fffff));
    ck_assert_int_eq(go_on(LIN ^ 0x200000, ACC_READ, true), 0); /* the other piece was not used */
    ck_assert_uint_eq(w.phys, 2 * BIG | ((LIN ^ 0x200000) & 0x3fffff));
    ck_assert_int_eq(go_on(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, 2 * BIG | (LIN & 0x3fffff));
    ck_assert_uint_eq(pde_32() & D, D);
    poke_big(2 * BIG | P | W | U | PS);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(pde_32() & (A | D), A);
    ck_assert_int_eq(go_on(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(pde_32() & (A | D), A | D);
    poke_big(BIG | P | W | U | PS | A | D | G);
    mmu_flush(cf.cpu, false);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, BIG | (LIN & 0x3fffff));
    poke_big(0);
    mmu_flush(cf.cpu, false);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), 0);
    mmu_flush(cf.cpu, true);
    ck_assert_int_eq(go_on(LIN, ACC_READ, true), -1);
}
END_TEST

/* A gigabyte is 512 pieces; INVLPG anywhere in it drops all that were used. */
START_TEST(test_remembered_giant_page)
{
    const uint64_t entry = T1 + 8 * 1, giant = UINT64_C(1) << 30;

    cf_enter_long();
    cf_poke(entry, giant | P | W | U | PS, 8);
    mmu_flush(cf.cpu, true);
    for (unsigned i = 0; i < 2; i++) {
        cf_poke(0x600000, 0x11 + i, 1);
        cf_poke(0x812000, 0x21 + i, 1);
        cf_poke(entry, P | W | U | PS, 8);
        if (i)
            mmu_invlpg(cf.cpu, giant + 0x3fffffff);
        ck_assert_uint_eq(mmu_load(cf.cpu, giant + 0x600000, 1, 0), i ? 0x12 : 0x11);
        ck_assert_uint_eq(mmu_load(cf.cpu, giant + 0x812000, 1, 0), i ? 0x22 : 0x21);
        cf_poke(entry, giant | P | W | U | PS, 8); /* no memory there */
        ck_assert_uint_eq(mmu_load(cf.cpu, giant + 0x813000, 1, 0), 0);
    }
    mmu_invlpg(cf.cpu, giant);
    ck_assert_uint_eq(mmu_load(cf.cpu, giant + 0x600000, 1, 0), 0xff);
}
END_TEST

/* Through a remembered table: accessed and dirty bits, rights of all levels. */
START_TEST(test_bits_by_remembered_table)
{
    const uint64_t other = T1 + (LIN >> 12 & 0x3ff) * 4 + 4;

    map_32(P | U, P | W | U);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    cf_poke(other, (PAGE + 0x3000) | P | W | U, 4);
    ck_assert_int_eq(go_on(LIN + 0x1000, ACC_WRITE, true), -1); /* read-only above */
    ck_assert_uint_eq(cf_peek(other, 4) & (A | D), 0);
    ck_assert_int_eq(go_on(LIN + 0x1000, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, (PAGE + 0x3000) | (LIN & 0xfff));
    ck_assert_uint_eq(cf_peek(other, 4) & (A | D), A);
    ck_assert(!w.dirty && !w.write && w.user);
    cf.cpu->cr0 &= ~(uint64_t)CR0_WP;
    ck_assert_int_eq(go_on(LIN + 0x1000, ACC_WRITE, MMU_SUPER), 0);
    ck_assert_uint_eq(cf_peek(other, 4) & (A | D), A | D);
    cf_poke(other, PAGE | P, 4);
    ck_assert_int_eq(go_on(LIN + 0x1000, ACC_READ, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_U);
}
END_TEST

START_TEST(test_not_present)
{
    map_32(P | W | U, W | U);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), -1);
    ck_assert_uint_eq(error, PFEC_W | PFEC_U);
    ck_assert_uint_eq(pde_32() & A, 0);
    map_32(W | U, P | W | U);
    ck_assert_int_eq(go(LIN, ACC_FETCH, false), -1);
    ck_assert_uint_eq(error, 0); /* the I bit needs NXE */
}
END_TEST

START_TEST(test_no_update)
{
    map_32(P | W | U, P | W | U);
    ck_assert_int_eq(mmu_walk(cf.cpu, LIN, ACC_WRITE, true, false, &w, &error), 0);
    ck_assert_uint_eq(pde_32() & (A | D), 0);
    ck_assert_uint_eq(pte_32() & (A | D), 0);
    ck_assert(!w.dirty);
    map_32(P | W | U, P | W | U | D);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert(w.dirty);
    uint64_t phys;
    ck_assert(cpu_translate(cf.cpu, LIN, &phys));
    ck_assert_uint_eq(phys, PAGE | 0x678);
    ck_assert(!cpu_translate(cf.cpu, 0, &phys));
}
END_TEST

START_TEST(test_pse)
{
    map_32(P | W | U, P | W | U);
    cf_poke(T0 + (LIN >> 22) * 4, BIG | P | W | U | PS, 4);
    ck_assert_int_eq(go(LIN, ACC_READ, true), -1); /* without CR4.PSE a table lies at BIG */
    cf.cpu->cr4 = CR4_PSE;
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, BIG | (LIN & 0x3fffff));
    ck_assert_uint_eq(w.page_size, 4 << 20);
    ck_assert_uint_eq(pde_32(), BIG | P | W | U | PS | A);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(pde_32(), BIG | P | W | U | PS | A | D);
}
END_TEST

START_TEST(test_pse36)
{
    set_cr(CR4_PSE, 0);
    cf_poke(T0 + (LIN >> 22) * 4, BIG | P | W | U | PS | 0xa5 << 13 | 1 << 12, 4); /* bit 12 is PAT */
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.phys, UINT64_C(0xa500000000) | BIG | (LIN & 0x3fffff));
    cf_poke(T0 + (LIN >> 22) * 4, BIG | P | W | U | PS | 1 << 21, 4);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD | PFEC_W | PFEC_U);
    ck_assert_uint_eq(pde_32() & (A | D), 0);
}
END_TEST

START_TEST(test_global)
{
    map_32(P | W | U, P | W | U | G);
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert(!w.global);
    cf.cpu->cr4 = CR4_PGE;
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert(w.global);
    map_32(P | W | U | G, P | W | U); /* ignored in a directory entry */
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert(!w.global);
}
END_TEST

START_TEST(test_pae_walk)
{
    set_cr(CR4_PAE, 0);
    map_pae(P | W | U, P | W | U);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, PAGE | 0x678);
    ck_assert_uint_eq(cf_peek(T0 + (LIN >> 21 & 0x1ff) * 8, 8), T1 | P | W | U | A);
    ck_assert_uint_eq(cf_peek(T1 + (LIN >> 12 & 0x1ff) * 8, 8), PAGE | P | W | U | A | D);
    cf_poke(T1 + (LIN >> 12 & 0x1ff) * 8, UINT64_C(0xff00345000) | P, 8);
    ck_assert_int_eq(go(LIN, ACC_READ, false), 0);
    ck_assert_uint_eq(w.phys, UINT64_C(0xff00345678));
    cf.cpu->pdpte[0] = T0; /* not present */
    ck_assert_int_eq(go(LIN, ACC_READ, true), -1);
    ck_assert_uint_eq(error, PFEC_U);
    cf.cpu->pdpte[3] = T0 | P;
    ck_assert_int_eq(go(LIN | 0xc0000000, ACC_READ, false), 0);
}
END_TEST

START_TEST(test_pae_large)
{
    set_cr(CR4_PAE, 0); /* PS does not need CR4.PSE */
    map_pae(P, P);
    cf_poke(T0 + (LIN >> 21 & 0x1ff) * 8, UINT64_C(0x1200000000) | BIG | P | W | U | PS | 1 << 12, 8);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, UINT64_C(0x1200000000) | BIG | (LIN & 0x1fffff));
    ck_assert_uint_eq(w.page_size, 2 << 20);
    for (unsigned bit = 13; bit <= 20; bit++) {
        cf_poke(T0 + (LIN >> 21 & 0x1ff) * 8, BIG | P | W | U | PS | BIT(bit), 8);
        ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
    }
}
END_TEST

START_TEST(test_pae_reserved)
{
    uint32_t out[4];

    cpu_cpuid(cf.cpu, 0x80000008, 0, out);
    ck_assert_uint_eq(out[0] & 0xff, 40); /* MAXPHYADDR, on which the reserved bits depend */
    set_cr(CR4_PAE, EFER_NXE);
    for (unsigned bit = 40; bit < 63; bit++) {
        map_pae(P | W | U, P | W | U | BIT(bit));
        ck_assert_int_eq(go(LIN, ACC_READ, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD | PFEC_U);
        map_pae(P | W | U | BIT(bit), P | W | U);
        ck_assert_int_eq(go(LIN, ACC_FETCH, false), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD | PFEC_I);
        map_pae(P | W | U | BIT(bit), P | W | U);
        cf_poke(T0 + (LIN >> 21 & 0x1ff) * 8, 0, 8);
        ck_assert_int_eq(go(LIN, ACC_READ, false), -1); /* not present: the other bits do not count */
        ck_assert_uint_eq(error, 0);
    }
    set_cr(CR4_PAE, 0);
    map_pae(P | W | U, P | W | U | NX);
    ck_assert_int_eq(go(LIN, ACC_READ, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD | PFEC_U);
}
END_TEST

START_TEST(test_nx)
{
    set_cr(CR4_PAE, EFER_NXE);
    for (unsigned i = 0; i < 2; i++) {
        map_pae(P | W | U | (i ? NX : 0), P | W | U | (i ? 0 : NX));
        ck_assert_int_eq(go(LIN, ACC_FETCH, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_U | PFEC_I);
        ck_assert_uint_eq(cf_peek(T1 + (LIN >> 12 & 0x1ff) * 8, 8) & A, 0);
        ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
        ck_assert(!w.exec);
    }
    map_pae(P | W | U, P | W | U);
    ck_assert_int_eq(go(LIN, ACC_FETCH, true), 0);
    ck_assert(w.exec);
    map_pae(P, 0);
    ck_assert_int_eq(go(LIN, ACC_FETCH, false), -1);
    ck_assert_uint_eq(error, PFEC_I);
}
END_TEST

START_TEST(test_pdpte_load)
{
    struct cpu *cpu = cf.cpu;
    const uint64_t reserved[] = { BIT(1), BIT(2), BIT(5), BIT(6), BIT(7), BIT(8), BIT(40), BIT(52), BIT(63) };

    set_cr(CR4_PAE, 0);
    for (unsigned i = 0; i < 4; i++)
        cf_poke(0x5020 + 8 * i, (T0 + 0x1000 * i) | P | 0x18 | 0xe00, 8); /* PWT, PCD and 11:9 are free */
    cpu_write_cr3(cpu, 0x5020);
    ck_assert_uint_eq(cpu->pdpte[3], (T3) | P | 0x18 | 0xe00);
    for (unsigned i = 0; i < ARRAY_LEN(reserved); i++) {
        cf_poke(0x5040 + 8 * (i & 3), T1 | P | reserved[i], 8);
        ck_assert_int_eq(CF_RAISED(cpu_write_cr3(cpu, 0x5040)), EX_GP);
        ck_assert_uint_eq(cpu->ex.code, 0);
        ck_assert_uint_eq(cpu->cr3, 0x5020);
        ck_assert_uint_eq(cpu->pdpte[1], T1 | P | 0x18 | 0xe00);
        cf_poke(0x5040 + 8 * (i & 3), T1 | reserved[i], 8); /* not present: anything goes */
        cpu_write_cr3(cpu, 0x5040);
        cpu_write_cr3(cpu, 0x5020);
    }
}
END_TEST

START_TEST(test_long_walk)
{
    static const uint64_t all[4] = { P | W | U, P | W | U, P | W | U, P | W | U };

    set_cr(CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE);
    map_long(all);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, PAGE | 0x678);
    ck_assert_uint_eq(w.page_size, 4096);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(cf_peek(long_entry[i], 8) & (A | D), i == 3 ? A | D : A);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t bits[4] = { all[0], all[1], all[2], all[3] };
        bits[i] = P | W;
        map_long(bits);
        ck_assert_int_eq(go(LIN, ACC_READ, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_U);
        bits[i] = P | U;
        map_long(bits);
        ck_assert_int_eq(go(LIN, ACC_WRITE, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_U | PFEC_W);
        bits[i] = all[i] | NX;
        map_long(bits);
        ck_assert_int_eq(go(LIN, ACC_FETCH, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_U | PFEC_I);
        bits[i] = W | U;
        map_long(bits);
        ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
        ck_assert_uint_eq(error, 0);
    }
}
END_TEST

START_TEST(test_long_reserved)
{
    set_cr(CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned bit = 40; bit < 63; bit++) {
            uint64_t bits[4] = { P, P, P, P };
            bits[i] |= BIT(bit);
            map_long(bits);
            ck_assert_int_eq(go(LIN, ACC_READ, false), bit < 52 ? -1 : 0); /* 62:52 are ignored */
            if (bit < 52)
                ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
        }
    cpu_features_set(&cf.cpu->features, FEAT_PDPE1GB, false);
    for (unsigned i = 0; i < 2; i++) { /* PS: reserved in a PML4E; in a PDPTE without 1 GiB pages */
        uint64_t bits[4] = { P, P, P, P };
        bits[i] |= PS;
        map_long(bits);
        ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
    }
    cf.cpu->efer &= ~(uint64_t)EFER_NXE;
    map_long((const uint64_t[4]){ P | NX, P, P, P });
    ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
}
END_TEST

START_TEST(test_long_large)
{
    set_cr(CR4_PAE | CR4_PGE, EFER_LME | EFER_LMA | EFER_NXE);
    map_long((const uint64_t[4]){ P | W, P | W, P | W, 0 });
    cf_poke(long_entry[2], UINT64_C(0x8000000000) | BIG | P | W | PS | G | BIT(12) | BIT(58), 8);
    ck_assert_int_eq(go(LIN, ACC_WRITE, false), 0);
    ck_assert_uint_eq(w.phys, UINT64_C(0x8000000000) | BIG | (LIN & 0x1fffff));
    ck_assert_uint_eq(w.page_size, 2 << 20);
    ck_assert(w.global && !w.user);
    ck_assert_uint_eq(cf_peek(long_entry[2], 8) & (A | D), A | D);
    cf_poke(long_entry[2], BIG | P | W | PS | BIT(17), 8);
    ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
}
END_TEST

START_TEST(test_giant_page)
{
    set_cr(CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE);
    map_long((const uint64_t[4]){ P | W | U, 0, 0, 0 });
    cf_poke(long_entry[1], UINT64_C(0x8040000000) | P | W | U | PS | BIT(12), 8);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(w.phys, UINT64_C(0x8040000000) | (LIN & MASK(30)));
    ck_assert_uint_eq(w.page_size, 1 << 30);
    ck_assert_uint_eq(cf_peek(long_entry[0], 8) & (A | D), A);
    ck_assert_uint_eq(cf_peek(long_entry[1], 8) & (A | D), A | D);
    for (unsigned bit = 13; bit < 30; bit++) {
        cf_poke(long_entry[1], P | W | U | PS | BIT(bit), 8);
        ck_assert_int_eq(go(LIN, ACC_READ, true), -1);
        ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD | PFEC_U);
    }
}
END_TEST

START_TEST(test_five_levels)
{
    const uint64_t top = CF_TABLES + 0x8000, linear = LIN | UINT64_C(0x155) << 48;

    set_cr(CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA | EFER_NXE);
    map_long((const uint64_t[4]){ P | W | U, P | W | U, P | W | U, P | W | U });
    cf.cpu->cr3 = top;
    cf_poke(top + 0x155 * 8, T0 | P | W, 8);
    ck_assert_int_eq(go(linear, ACC_WRITE, false), 0);
    ck_assert_uint_eq(w.phys, PAGE | 0x678);
    ck_assert(!w.user);
    ck_assert_uint_eq(cf_peek(top + 0x155 * 8, 8), T0 | P | W | A);
    ck_assert_uint_eq(cf_peek(long_entry[3], 8) & (A | D), A | D);
    ck_assert_int_eq(go(linear, ACC_WRITE, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_W | PFEC_U);
    cf_poke(top + 0x155 * 8, T0 | P | W | PS, 8);
    ck_assert_int_eq(go(linear, ACC_READ, false), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
    ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
    ck_assert_uint_eq(error, 0);
}
END_TEST

enum { CAN_READ = 1 << ACC_READ, CAN_WRITE = 1 << ACC_WRITE, CAN_FETCH = 1 << ACC_FETCH };

/* One walk tells the rights of all three accesses, by the set that asks. */
START_TEST(test_smep_and_smap)
{
    map_32(P | W | U, P | W | U);
    cf.cpu->cr4 = CR4_SMEP | CR4_SMAP;
    ck_assert_int_eq(go(LIN, ACC_READ, MMU_USER), 0);
    ck_assert_uint_eq(w.allowed, CAN_READ | CAN_WRITE | CAN_FETCH);
    ck_assert_int_eq(go(LIN, ACC_READ, MMU_SUPER), 0);
    ck_assert_uint_eq(w.allowed, CAN_READ | CAN_WRITE);
    ck_assert_int_eq(mmu_walk(cf.cpu, LIN, ACC_WRITE, MMU_SMAP, true, &w, &error), -1);
    ck_assert_uint_eq(w.allowed, 0);
    ck_assert_uint_eq(error, PFEC_P | PFEC_W);
    ck_assert_int_eq(go(LIN, ACC_FETCH, MMU_SUPER), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_I);
    map_32(P | W | U, P | W);
    ck_assert_int_eq(mmu_walk(cf.cpu, LIN, ACC_WRITE, MMU_SMAP, true, &w, &error), 0);
    ck_assert_uint_eq(w.allowed, CAN_READ | CAN_WRITE | CAN_FETCH);
}
END_TEST

START_TEST(test_protection_keys)
{
    uint64_t bits[4] = { P | W | U, P | W | U, P | W | U, P | W | U | UINT64_C(9) << 59 }, phys;

    set_cr(CR4_PAE | CR4_PKE, EFER_LME | EFER_LMA | EFER_NXE);
    map_long(bits);
    cf.cpu->pkru = 2u << 18;
    ck_assert_int_eq(go(LIN, ACC_READ, true), 0);
    ck_assert_uint_eq(w.key, 9);
    ck_assert_uint_eq(w.allowed, CAN_READ | CAN_FETCH);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_W | PFEC_U | PFEC_PK);
    cf.cpu->cr0 &= ~(uint64_t)CR0_WP;
    ck_assert_int_eq(go(LIN, ACC_WRITE, false), 0);
    cf.cpu->pkru = 1u << 18;
    ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_PK);
    ck_assert_int_eq(go(LIN, ACC_FETCH, true), 0);
    ck_assert(cpu_translate(cf.cpu, LIN, &phys)); /* monitors see it */
    ck_assert_uint_eq(phys, PAGE | 0x678);
    bits[0] = P | W; /* no key for a page of the supervisor */
    map_long(bits);
    ck_assert_int_eq(go(LIN, ACC_READ, false), 0);
    ck_assert_uint_eq(w.key, WALK_NO_KEY);
}
END_TEST

/* Another processor changes an entry while walks set its accessed and dirty bits: neither is lost. */
enum { FLIPS = 200001 };

static void *flip_entry(void *entry)
{
    for (unsigned i = 0; i < FLIPS; i++)
        __atomic_fetch_xor((uint32_t *)entry, 0x200, __ATOMIC_SEQ_CST);
    return NULL;
}

START_TEST(test_entry_that_changes)
{
    uint64_t entry = T1 + (LIN >> 12 & 0x3ff) * 4;
    uint32_t *host = (uint32_t *)(memory_host(cf.mem, 0) + entry);
    pthread_t thread;

    map_32(P | W | U, P | W | U);
    ck_assert_int_eq(pthread_create(&thread, NULL, flip_entry, host), 0);
    for (unsigned i = 0; i < FLIPS; i++) {
        __atomic_fetch_and(host, ~(uint32_t)(A | D), __ATOMIC_SEQ_CST);
        ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
        ck_assert_uint_eq(__atomic_load_n(host, __ATOMIC_SEQ_CST) & (A | D), A | D);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(pte_32(), PAGE | P | W | U | A | D | 0x200);
}
END_TEST

/* With A20 off bit 20 of every physical address is 0: of the data's and of the tables'. */
START_TEST(test_a20)
{
    cf.cpu->a20_mask = ~BIT(20);
    ck_assert_int_eq(go(0x12345678 | 1 << 20, ACC_READ, false), 0);
    ck_assert_uint_eq(w.phys, 0x12245678 & ~(1 << 20));
    set_cr(0, 0);
    cf_poke(T0 - 0x100000 + (LIN >> 22) * 4, 0x700000 | P, 4); /* T0 seen without bit 20 is 0 */
    cf_poke(0x600000 + (LIN >> 12 & 0x3ff) * 4, 0x512000 | P, 4);
    ck_assert_int_eq(go(LIN, ACC_READ, false), 0);
    ck_assert_uint_eq(w.phys, 0x412678);
    ck_assert_uint_eq(cf_peek(0x600000 + (LIN >> 12 & 0x3ff) * 4, 4), 0x512000 | P | A);
}
END_TEST

/* Tables in ROM and behind the end of memory. */
START_TEST(test_odd_places)
{
    set_cr(0, 0);
    cf.cpu->cr3 = CF_ROM;
    store_le(mem_region_host(cf.rom) + (LIN >> 22) * 4, 4, T1 | P | W | U);
    cf_poke(T1 + (LIN >> 12 & 0x3ff) * 4, PAGE | P | W | U, 4);
    ck_assert_int_eq(go(LIN, ACC_WRITE, true), 0);
    ck_assert_uint_eq(cf_peek(CF_ROM + (LIN >> 22) * 4, 4), T1 | P | W | U);
    ck_assert_uint_eq(pte_32() & (A | D), A | D);
    cf.cpu->cr4 = CR4_PSE;
    cf.cpu->cr3 = 0x30000000; /* nothing there: all ones, a large page with a reserved bit */
    ck_assert_int_eq(go(LIN, ACC_READ, false), -1);
    ck_assert_uint_eq(error, PFEC_P | PFEC_RSVD);
}
END_TEST

Suite *walk_suite(void)
{
    Suite *s = suite_create("walk");
    TCase *t = tcase_create("walk");

    tcase_add_checked_fixture(t, setup, cf_teardown);
    tcase_add_test(t, test_paging_off);
    tcase_add_test(t, test_rights_of_the_path);
    tcase_add_test(t, test_not_present);
    tcase_add_test(t, test_remembered_table);
    tcase_add_test(t, test_remembered_large_page);
    tcase_add_test(t, test_remembered_giant_page);
    tcase_add_test(t, test_bits_by_remembered_table);
    tcase_add_test(t, test_no_update);
    tcase_add_test(t, test_pse);
    tcase_add_test(t, test_pse36);
    tcase_add_test(t, test_global);
    tcase_add_test(t, test_pae_walk);
    tcase_add_test(t, test_pae_large);
    tcase_add_test(t, test_pae_reserved);
    tcase_add_test(t, test_nx);
    tcase_add_test(t, test_pdpte_load);
    tcase_add_test(t, test_long_walk);
    tcase_add_test(t, test_long_reserved);
    tcase_add_test(t, test_long_large);
    tcase_add_test(t, test_giant_page);
    tcase_add_test(t, test_five_levels);
    tcase_add_test(t, test_smep_and_smap);
    tcase_add_test(t, test_protection_keys);
    tcase_add_test(t, test_entry_that_changes);
    tcase_add_test(t, test_a20);
    tcase_add_test(t, test_odd_places);
    suite_add_tcase(s, t);
    return s;
}
