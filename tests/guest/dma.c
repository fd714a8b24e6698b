/* What a device writes into code that runs and into page tables that are in use, is what runs next and where accesses
 * go (SDM volume 3, sections 4.10.2 to 4.10.4 and 11.6: other agents are as other processors, and the instruction that
 * started them has completed). */
#include "dma.h"

const char program_name[] = "dma";

#define WIN 0x08000000u
#define FRAME 0x01000000u
#define ROUNDS 64u
typedef u32 function(void);

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static u32 other_table[1024] __attribute__((aligned(4096)));

#define VALUES(n) n * 0x01030507u + 0x100u, ~(n * 0x01030507u), n, 0x80000000u >> (n % 32)
static const u32 values[ROUNDS] = {
    VALUES(0), VALUES(1), VALUES(2), VALUES(3), VALUES(4), VALUES(5), VALUES(6), VALUES(7), VALUES(8), VALUES(9),
    VALUES(10), VALUES(11), VALUES(12), VALUES(13), VALUES(14), VALUES(15)
};

static u32 call(u32 where) { return ((function *)where)(); }
static void invlpg(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/* mov eax, value; mov ecx, 30; 1: dec ecx; jnz 1b; ret */
static void put_function(u32 where, u32 value)
{
    static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xb9, 30, 0, 0, 0, 0x49, 0x75, 0xfd, 0xc3 };

    memcpy((void *)at(where), code, sizeof code);
    poke32(where + 1, value);
}

static u32 wrong_calls(u32 where, u32 expected, u32 times)
{
    u32 wrong = 0;
    while (times--)
        wrong += call(where) != expected;
    return wrong;
}

/* ---- code ---- */

static void immediates(u32 write, u32 run)
{
    u32 wrong = 0, mixed = 0, bytes = 0;

    put_function(write, 7);
    check("hot", wrong_calls(run, 7, 6000), 0);
    dma_from(values);
    for (u32 i = 0; i < ROUNDS; i++) {
        dma_to(write + 1, 4);
        wrong += wrong_calls(run, values[i], 3);
    }
    check("immediate", wrong, 0);
    dma_from(values);
    for (u32 i = 0; i < ROUNDS; i++) {
        poke32(write + 1, ~i);
        mixed += call(run) != ~i;
        dma_to(write + 1, 4);
        mixed += call(run) != values[i];
    }
    check("immediate, also by stores", mixed, 0);
    dma_from(values);
    for (u32 i = 0; i < ROUNDS; i++) {
        poke32(write + 1, 0x55555555);
        dma_to(write + 2, 1);
        bytes += wrong_calls(run, 0x55550055 | (values[i / 4] >> (i % 4 * 8) & 0xff) << 8, 2);
    }
    check("a byte of it", bytes, 0);
}

static void whole_functions(u32 write, u32 run)
{
    static const u8 codes[2][14] = { { 0xb8, 1, 0, 0, 0, 0xb9, 9, 0, 0, 0, 0x40, 0xe2, 0xfd, 0xc3 },
                                     { 0xb9, 9, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x48, 0xe2, 0xfd, 0xc3 } };
    u32 wrong = 0;

    for (u32 i = 0; i < 60; i++) {
        dma_copy(write, codes[i & 1], sizeof codes[0]);
        wrong += wrong_calls(run, i & 1 ? 1 - 9 : 1 + 9, 40);
    }
    check("whole functions", wrong, 0);
}

/* A loop whose OUT makes the device write the constant of the next instruction. */
static void own_order(void)
{
    u32 total = 0;

    group("ordered by the loop itself");
    for (u32 i = 0; i < ROUNDS; i++)
        total += values[i];
    for (u32 i = 0; i < 20; i++) {
        dma_from(values);
        T("constant behind the out", P32, "mov edx, 0x518; mov ecx, 64; 1: mov dword ptr [ebx], 0x02000000; "
          "mov eax, esi; out dx, eax; jmp 2f\n" AT(0x40) "2: mov ebp, 0x12345678; add edi, ebp; dec ecx; jnz 1b",
          .si = big_endian(DATA), .d = { 0, big_endian(4), 0, big_endian(CODE + 0x41) },
          .x = { { DI, total }, { CX, 0 } });
    }
}

/* ---- page tables ---- */

static void map(u32 page, u32 entry)
{
    table[page] = entry;
    invlpg(WIN + page * 4096);
}

static void tables(void)
{
    static const u32 entries[] = { (FRAME + 0x3000) | 7, (FRAME + 0x4000) | 7, (FRAME + 0x5000) | 7,
                                   (FRAME + 0x6000) | 7 };
    u32 wrong = 0;

    group("page tables");
    for (u32 i = 3; i < 7; i++)
        poke32(FRAME + 0x1000 * i, i);
    map(8, FRAME | 7);
    peek32(WIN + 0x8000); /* the table is known */
    dma_from(entries);
    for (u32 i = 0; i < 4; i++) {
        dma_to((u32)&table[9 + i], 4); /* was not present: needs no INVLPG */
        wrong += peek32(WIN + 0x1000 * (9 + i)) != 3 + i;
    }
    check("entries that appear", wrong, 0);
    check("accessed", table[9] & table[12] & 0x60, 0x20);
    for (u32 i = 0; i < 200; i++) {
        dma_copy((u32)&table[9], &entries[i & 3], 4);
        invlpg(WIN + 0x9000);
        wrong += peek32(WIN + 0x9000) != 3 + (i & 3);
        poke32(WIN + 0x9004, i);
        wrong += peek32(FRAME + 0x3004 + 0x1000 * (i & 3)) != i || table[9] != (entries[i & 3] | 0x60);
    }
    check("entries that change", wrong, 0);
    for (u32 i = 0; i < 1024; i++)
        other_table[i] = (FRAME + 0x3000) | 7;
    table[9] = (FRAME + 0x5000) | 7;
    for (u32 i = 0; i < 50; i++) {
        dir[WIN >> 22] = (i & 1 ? (u32)other_table : (u32)table) | 7;
        invlpg(0); /* any: the caches of paging structures are forgotten, and no entry of the page is */
        invlpg(WIN + 0x9000);
        wrong += peek32(WIN + 0x9000) != (i & 1 ? 3 : 5);
    }
    check("tables that change", wrong, 0);
    dir[WIN >> 22] = (u32)table | 7;
    cr3_set((u32)dir);
}

/* Functions in frames that take turns at one address, of which the absent one is written. */
static void turns(void)
{
    u32 wrong = 0;

    group("frames that take turns");
    put_function(FRAME + 0x7010, 1);
    put_function(FRAME + 0x8010, 2);
    for (u32 n = 0; n < 2; n++) {
        map(2, (FRAME + 0x7000 + 0x1000 * n) | 7);
        wrong += wrong_calls(WIN + 0x2010, n + 1, 5000);
    }
    dma_from(values);
    for (u32 i = 0; i < ROUNDS; i++) {
        dma_to(FRAME + 0x7011 + 0x1000 * (i & 1), 4);
        wrong += call(WIN + 0x2010) != (i ? values[i - 1] : 2);
        map(2, (FRAME + 0x7000 + 0x1000 * (i & 1)) | 7);
        wrong += wrong_calls(WIN + 0x2010, values[i], 2);
    }
    check("values", wrong, 0);
}

void program(const char *line)
{
    (void)line;
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x87;
    dir[WIN >> 22] = (u32)table | 7;
    table[0] = table[1] = FRAME | 7;
    if (!check("the device copies", dma_copy(FRAME, values, sizeof values) &&
               !memcmp((void *)at(FRAME), values, sizeof values), 1))
        return;
    own_order();
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
    group("code");
    immediates(FRAME + 0x1013, FRAME + 0x1013);
    whole_functions(FRAME + 0x1100, FRAME + 0x1100);
    group("code in another mapping");
    map(1, (FRAME + 0x1000) | 7);
    immediates(FRAME + 0x1213, WIN + 0x1213);
    whole_functions(FRAME + 0x1300, WIN + 0x1300);
    group("code across pages");
    map(3, (FRAME + 0x2000) | 7);
    map(4, (FRAME + 0x9000) | 7);
    immediates(FRAME + 0x2ffd, FRAME + 0x2ffd);
    tables();
    turns();
    cr0_set(cr0_get() & 0x7ffeffff);
}
