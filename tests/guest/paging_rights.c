/* Paging: what the entries of every level, CR0.WP, CR4.SMEP, SMAP and PKE, EFLAGS.AC and PKRU allow, in every
 * paging mode and page size; error codes, CR2, accessed and dirty bits. Expectations: SDM volume 3, 4.6
 * (rights), 4.7 (error code), 4.8 (accessed and dirty), tables 4-3 to 4-20 (entries). */
#include "guest.h"

const char program_name[] = "paging_rights";

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ULL << 63)
#define BITS(high, low) (((2ULL << ((high) - (low))) - 1) << (low))

/* Every window shows this address; its bytes are INT 40h, NOP, NOP. */
#define SPOT 0x02345678u
#define SPOT_CODE 0x909040cdu
#define WRITTEN 0x1234abcdu
#define RAM_2M 32

static u32 dir[1024] __attribute__((aligned(4096)));
static u32 low32[2][1024] __attribute__((aligned(4096)));
static u64 low64[2][512] __attribute__((aligned(4096)));
static u64 pd[512] __attribute__((aligned(4096))), pdpt[512] __attribute__((aligned(4096)));
static u64 pml4[512] __attribute__((aligned(4096))), pml5[512] __attribute__((aligned(4096)));
static u64 own[5][512] __attribute__((aligned(4096))); /* the window's tables below the root */

/* A paging mode with a page size. shift: of each level's index, the last one the page's size. */
static const struct kind {
    const char *name;
    u8 levels, shift[5];
    bool pae, lm, la57;
    void *root;
    u64 nonleaf_bad[5], leaf_bad; /* reserved below bit 32, by level */
} kinds[] = {
    { "32-bit", 2, { 22, 12 }, false, false, false, dir, { 0 }, 0 },
    { "32-bit, 4 MiB", 1, { 22 }, false, false, false, dir, { 0 }, 1 << 21 },
    { "pae", 2, { 21, 12 }, true, false, false, pd, { 0 }, 0 },
    { "pae, 2 MiB", 1, { 21 }, true, false, false, pd, { 0 }, BITS(20, 13) },
    { "4-level", 4, { 39, 30, 21, 12 }, true, true, false, pml4, { PS }, 0 },
    { "4-level, 2 MiB", 3, { 39, 30, 21 }, true, true, false, pml4, { PS }, BITS(20, 13) },
    { "4-level, 1 GiB", 2, { 39, 30 }, true, true, false, pml4, { PS }, BITS(29, 13) },
    { "5-level", 5, { 48, 39, 30, 21, 12 }, true, true, true, pml5, { PS, PS }, 0 },
    { "5-level, 2 MiB", 4, { 48, 39, 30, 21 }, true, true, true, pml5, { PS, PS }, BITS(20, 13) },
    { "5-level, 1 GiB", 3, { 48, 39, 30 }, true, true, true, pml5, { PS, PS }, BITS(29, 13) },
};
static const struct kind *k;

/* Index of the window's entry at each level from the root down; no table of the identity map uses them. */
static const u16 window_index[5] = { 45, 3, 260, 77, 511 };

enum access { READ, WRITE, EXEC };

/* One case: the entries' bits beside their addresses, and what the access meets. */
struct setup {
    u64 bits[5];
    enum access access;
    bool user, wp, smep, smap, ac, nxe, pke;
    u32 pkru;
};

static bool has_nx, has_smep, has_smap, has_pku;
static u32 physical_bits;

/* ---- tables ---- */

/* The identity map. Its low part stands twice: where snippets live, pages are the supervisor's or the
 * user's. */
static void build_identity(void)
{
    for (u32 user = 0; user < 2; user++)
        for (u32 i = 0; i < 1024; i++) {
            bool snippets = i >= CODE >> 12 && i < (PLAY >> 12) + 16;
            u32 e = i << 12 | P | W | (user && snippets ? U : 0);
            low32[user][i] = e;
            if (i < 512)
                low64[user][i] = e;
        }
    for (u32 i = 1; i < RAM_2M; i++) {
        pd[i] = i << 21 | P | W | PS;
        if (i < RAM_2M / 2)
            dir[i] = i << 22 | P | W | PS;
    }
    pdpt[0] = (u32)pd | P; /* as PDPTE: no more bits */
    pml5[0] = (u32)pml4 | P | W | U;
}

static void identity_for(const struct setup *s)
{
    dir[0] = (u32)low32[s->user] | P | W | U;
    pd[0] = (u32)low64[s->user] | P | W | U;
    pdpt[0] = (u32)pd | P | (k->lm ? W | U : 0);
    pml4[0] = (u32)pdpt | P | W | U;
}

static u64 entry_get(u32 level)
{
    if (!k->pae)
        return (level ? (u32 *)own[level] : (u32 *)k->root)[window_index[level]];
    return (level ? own[level] : (u64 *)k->root)[window_index[level]];
}

static void entry_set(u32 level, u64 v)
{
    if (k->pae)
        (level ? own[level] : (u64 *)k->root)[window_index[level]] = v;
    else
        (level ? (u32 *)own[level] : (u32 *)k->root)[window_index[level]] = v;
}

static u64 page_mask(void)
{
    return (1ULL << k->shift[k->levels - 1]) - 1;
}

static bool is_large(void)
{
    return k->shift[k->levels - 1] > 12;
}

/* An entry's address, with PS where the page is large. */
static u64 entry_base(u32 level)
{
    if (level < k->levels - 1u)
        return (u32)own[level + 1];
    return (SPOT & ~page_mask()) | (is_large() ? PS : 0);
}

static u64 window(void)
{
    u64 linear = SPOT & page_mask();
    for (u32 i = 0; i < k->levels; i++)
        linear |= (u64)window_index[i] << k->shift[i];
    u32 sign = k->la57 ? 56 : 47;
    return linear >> sign & 1 ? linear | ~0ULL << sign : linear;
}

/* ---- the manual's rules ---- */

static u64 reserved(u32 level, const struct setup *s)
{
    bool leaf = level == k->levels - 1u;
    u64 r = leaf ? k->leaf_bad : k->nonleaf_bad[level];
    if (!k->pae)
        return r;
    r |= BITS(51, physical_bits);
    if (!k->lm)
        r |= BITS(62, 52);
    return r | (s->nxe ? 0 : NX);
}

/* Error code of the page fault, or -1 when the access is allowed. */
static int expected(const struct setup *s)
{
    u64 all = ~0ULL, any = 0;
    u32 leaf = k->levels - 1;
    u32 access = (s->access == WRITE ? 2 : 0) | (s->user ? 4 : 0) |
                 (s->access == EXEC && ((k->pae && s->nxe) || s->smep) ? 16 : 0);
    for (u32 i = 0; i <= leaf; i++) {
        if (!(s->bits[i] & P))
            return access;
        if (s->bits[i] & reserved(i, s))
            return access | 9;
        all &= s->bits[i];
        any |= s->bits[i];
    }
    bool user_page = all & U, guarded = s->user || s->wp;
    u32 rights = s->pkru >> (2 * (s->bits[leaf] >> 59 & 15)) & 3;
    bool pk = k->lm && s->pke && user_page && s->access != EXEC &&
              (rights & 1 || (rights & 2 && s->access == WRITE && guarded));
    bool bad = (s->user && !user_page) ||
               (s->access == WRITE && guarded && !(all & W)) ||
               (s->access == EXEC && k->pae && any & NX) ||
               (s->access == EXEC && !s->user && user_page && s->smep) ||
               (s->access != EXEC && !s->user && user_page && s->smap && !s->ac);
    return bad || pk ? (int)(access | 1 | (pk ? 32 : 0)) : -1;
}

/* ---- one case ---- */

static u32 shown;

static void show(const struct setup *s)
{
    print("    %s user %d wp %d smep %d smap %d ac %d nxe %d pke %d pkru %x linear %X\n",
          s->access == READ ? "read" : s->access == WRITE ? "write" : "execute", s->user, s->wp, s->smep,
          s->smap, s->ac, s->nxe, s->pke, s->pkru, window());
    for (u32 i = 0; i < k->levels; i++)
        print("    level %d: %X, now %X\n", i, s->bits[i] | entry_base(i), entry_get(i));
}

static void load_pkru(u32 v)
{
    if (!has_pku)
        return;
    cr4_set(cr4_get() | 1 << 22);
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(v), "c"(0), "d"(0) : "memory");
    cr4_set(cr4_get() & ~(1u << 22));
}

/* Control registers for the case; the long modes' are loaded on the way to the snippet. */
static void set_registers(const struct setup *s)
{
    u32 cr4 = (s->smep ? 1 << 20 : 0) | (s->smap ? 1 << 21 : 0) | (s->pke ? 1 << 22 : 0);
    identity_for(s);
    if (k->lm) {
        lm_cr3 = (u32)k->root;
        lm_cr4 = 0x620 | cr4 | (k->la57 ? 1 << 12 : 0);
        lm_efer = 0x101 | (s->nxe ? 0x800 : 0);
        lm_cr0 = 0x80000033 | (s->wp ? 0x10000 : 0);
        return;
    }
    if (has_nx)
        msr_set(0xc0000080, s->nxe ? 0x800 : 0);
    cr4_set((cr4_get() & ~0x700030u) | (k->pae ? 0x20 : 0x10) | cr4);
    cr3_set(k->pae ? (u32)pdpt : (u32)dir);
    cr0_set((cr0_get() & ~0x10000u) | 0x80000000 | (s->wp ? 0x10000 : 0));
}

static void paging_off(void)
{
    cr0_set((cr0_get() & 0x7fffffff) | 0x10000);
    cr4_set(cr4_get() & ~0x700030u);
}

static const struct code *snippet(enum access a)
{
    static const struct code *wide[3], *narrow[3];
    if (!wide[0]) {
        wide[READ] = SNIPPET(64, "mov eax, [rsi]");
        wide[WRITE] = SNIPPET(64, "mov [rsi], eax");
        wide[EXEC] = SNIPPET(64, "jmp rsi");
        narrow[READ] = SNIPPET(32, "mov eax, [esi]");
        narrow[WRITE] = SNIPPET(32, "mov [esi], eax");
        narrow[EXEC] = SNIPPET(32, "jmp esi");
    }
    return (k->lm ? wide : narrow)[a];
}

static void compare(const struct setup *s, int code)
{
    if (stand_in && code >= 0 && code & 8)
        code &= ~1; /* QEMU forgets P beside RSVD */
    bool good = check("vector", out->vector, code < 0 ? 0x40 : 14);
    if (code >= 0) {
        good &= check("error code", out->error, (u32)code);
        good &= check("cr2", out->cr2, window());
    } else if (s->access == READ) {
        good &= check("value", (u32)out->r[0], SPOT_CODE);
    }
    good &= check("memory", peek32(SPOT), code < 0 && s->access == WRITE ? WRITTEN : SPOT_CODE);
    for (u32 i = 0; i < k->levels; i++) {
        u64 e = s->bits[i] | entry_base(i);
        if (code < 0)
            e |= A | (s->access == WRITE && i == k->levels - 1u ? D : 0);
        else if (stand_in)
            continue; /* QEMU sets accessed bits on the way down to a fault */
        good &= check("entry", entry_get(i), e);
    }
    if (!good && shown++ < 20)
        show(s);
}

static void run(const struct setup *given)
{
    struct setup s = *given;
    s.nxe &= has_nx && k->pae;
    s.smep &= has_smep;
    s.smap &= has_smap;
    s.pke &= has_pku;
    for (u32 i = 0; i < k->levels; i++) {
        s.bits[i] &= k->pae ? ~0ULL : 0xffffffff;
        entry_set(i, s.bits[i] | entry_base(i));
    }
    poke32(SPOT, SPOT_CODE);
    load_pkru(s.pkru);
    set_registers(&s);
    test_run(&(struct test){ .name = "ends", .mode = k->lm ? s.user ? L64U : L64 : s.user ? P32U : P32,
                             .code = snippet(s.access), .ax = WRITTEN, .si = window(),
                             .fl = s.ac ? AC : 0, .anyend = true });
    paging_off();
    compare(&s, expected(&s));
}

/* ---- which cases ---- */

static u64 four_bits(u32 n)
{
    return (n & 7) | (n & 8 ? NX : 0);
}

/* At one level every P, W, U and NX, the others allowing all, against every access and register. n counts
 * through access, user, wp, smep, smap, ac, and in long modes no key, a free key, AD, WD. */
static void every_bit(u32 level)
{
    u32 keys = k->lm && has_pku ? 4 : 1;
    for (u32 b = 0; b < (k->pae ? 16 : 8); b++)
        for (u32 n = 0; n < 3 * 32 * keys; n++) {
            u32 flags = n / 3 % 32, pk = n / 96;
            struct setup s = { .bits = { 7, 7, 7, 7, 7 }, .access = n % 3, .user = flags & 1, .wp = flags & 2,
                               .smep = flags & 4, .smap = flags & 8, .ac = flags & 16,
                               .nxe = true, .pke = pk, .pkru = pk ? (pk - 1) << 10 : 0 };
            if (!(b & P) && (flags & ~5u || pk))
                continue;
            s.bits[level] = four_bits(b);
            if (k->lm)
                s.bits[k->levels - 1] |= 5ULL << 59;
            run(&s);
        }
}

static u64 seed = 1;

static u32 chance(u32 n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (u32)(seed >> 33) % n;
}

/* An entry that mostly lets the access through; everything that is ignored or a flag is random. */
static u64 random_bits(u32 level)
{
    bool leaf = level == k->levels - 1u;
    u64 b = (chance(24) ? P : 0) | (chance(6) ? W : 0) | (chance(6) ? U : 0) | (chance(2) ? A : 0);
    b |= (u64)chance(4) << 3 | (u64)chance(8) << 9 | (chance(2) ? 0x100 : 0);
    b |= chance(2) ? D : 0;
    if (leaf) /* PAT */
        b |= !chance(2) ? 0 : is_large() ? 1 << 12 : PS;
    if (k->pae)
        b |= chance(8) ? 0 : NX;
    if (k->lm)
        b |= (u64)chance(128) << 52 | (u64)chance(16) << 59;
    if (!chance(40)) {
        static const struct setup plain = { .nxe = true };
        u64 bad = reserved(level, &plain), one = 1ULL << chance(64);
        for (u32 i = 0; i < 64 && bad && !(one & bad); i++)
            one = one << 1 | one >> 63;
        b |= one & bad;
    }
    return b;
}

static void random_cases(u32 count)
{
    while (count--) {
        u32 flags = chance(256);
        struct setup s = { .access = chance(3), .user = flags & 1, .wp = flags & 2, .smep = flags & 4,
                           .smap = flags & 8, .ac = flags & 16, .nxe = flags & 96, .pke = flags & 128 };
        if (chance(2))
            s.pkru = chance(0x10000) << 16 | chance(0x10000);
        for (u32 i = 0; i < k->levels; i++)
            s.bits[i] = random_bits(i);
        run(&s);
    }
}

void program(const char *line)
{
    u32 leaf = 0x80000008;
    (void)line;
    has_nx = HAS_NX;
    has_smep = cpu_has(7, 1, 7);
    has_smap = cpu_has(7, 1, 20);
    has_pku = cpu_has(7, 2, 3);
    if (cpu_has(0x80000008, 0, 0) || HAS_LM)
        __asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx");
    physical_bits = leaf & 0xff;
    build_identity();
    /* With AC set, C may write to the user's pages under SMAP. */
    __asm__ volatile("pushf; orl $0x40000, (%%esp); popf" : : : "memory", "cc");
    for (k = kinds; k < kinds + sizeof kinds / sizeof kinds[0]; k++) {
        bool giant = k->shift[k->levels - 1] == 30;
        if ((k->lm && !HAS_LM) || (k->la57 && !cpu_has(7, 2, 16)) || (giant && !cpu_has(0x80000001, 3, 26))) {
            skip(k->name, "not in CPUID");
            continue;
        }
        group(k->name);
        memset(dir + RAM_2M / 2, 0, sizeof dir - RAM_2M * 2);
        memset(pd + RAM_2M, 0, sizeof pd - RAM_2M * 8);
        if (k->la57 || is_large())
            every_bit(k->levels - 1);
        else
            for (u32 i = 0; i < k->levels; i++)
                every_bit(i);
        random_cases(800);
    }
}
