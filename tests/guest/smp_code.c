/* Code that one processor writes and others run (SDM volume 3, 9.1.3): with a flag and a serialising
 * instruction new code is what runs; an aligned store into running code is seen in the end and never in
 * part; data beside code and pages that become code lose no store, nor does code that appears beside data. */
#include "smp.h"

const char program_name[] = "smp_code";

#define AREA 0x01000000u
#define WIN 0x08000000u /* AREA once more */
#define BATCH 16u

static u32 dir[1024] __attribute__((aligned(4096)));
static struct smp_barrier gate;
typedef u32 function(void);

static inline u32 call(u32 where) { return ((function *)where)(); }
static void serialise(void)
{
    u32 leaf = 0;
    __asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx", "memory");
}

static u64 bound(void) { return smp_in(smp_few ? 400 : 800); }
static u32 scaled(u32 rounds) { return smp_few ? rounds / 50 : smp_count > 2 ? rounds / 4 : rounds; }

static void paging_on(void)
{
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
}

static void paging_off(void)
{
    cr0_set(cr0_get() & 0x7ffeffff);
}

/* mov eax, value; ret: in one of several lengths, with other instructions around. */
static void write_function(u32 where, u32 value, u32 form)
{
    u32 p = where;

    for (u32 i = 0; i < form % 3; i++)
        poke8(p++, 0x90);
    if (form & 4) { /* mov eax, value - 1; inc eax */
        poke8(p, 0xb8);
        poke32(p + 1, value - 1);
        poke16(p + 5, 0xc0ff);
        poke8(p + 7, 0xc3);
    } else {
        poke8(p, 0xb8);
        poke32(p + 1, value);
        poke8(p + 5, 0xc3);
    }
}

/* ---- cross-modifying code by the book ---- */

/* Where the functions are, as the writer and as those who run them see it. `whole`: each time new
 * instructions, else only the immediate changes. */
static const struct book {
    const char *name;
    u32 write, run, stride;
    bool whole;
} books[] = {
    { "immediate", AREA + 0x101, AREA + 0x101, 0x20, false },
    { "immediate, page by page", AREA + 0x10000, AREA + 0x10000, 0x1000, false },
    { "whole functions", AREA + 0x21000, AREA + 0x21000, 0x33, true },
    { "across pages", AREA + 0x30ffd, AREA + 0x30ffd, 0x1000, false },
    { "whole functions across pages", AREA + 0x48ffe, AREA + 0x48ffe, 0x1000, true },
    { "immediate, by another mapping", WIN + 0x61040, AREA + 0x61040, 0x40, false },
    { "whole functions, by another mapping", AREA + 0x72000, WIN + 0x72000, 0x11, true },
};

static const struct book *book;
static volatile u32 turn, done;
static struct reader { u32 wrong, calls, got, expected; } readers[SMP_MAX];

static u32 value_of(u32 round, u32 i) { return round * 0x01000193 ^ i * 0x10001; }

static void write_book(u32 round)
{
    for (u32 i = 0; i < BATCH; i++) {
        u32 where = book->write + i * book->stride;
        if (book->whole || round == 1)
            write_function(where, value_of(round, i), book->whole ? round + i : 0);
        else
            poke32(where + 1, value_of(round, i));
    }
}

static void run_book(void *arg)
{
    struct reader *r = arg;
    u32 seen = 0;

    paging_on();
    for (;;) {
        u32 spins = 0;
        while (turn == seen)
            smp_spin(&spins);
        seen = turn;
        if (seen == ~0u)
            break;
        serialise();
        for (u32 i = 0; i < BATCH; i++) {
            u32 got = call(book->run + i * book->stride);
            r->calls++;
            if (got != value_of(seen, i) && !r->wrong++) {
                r->got = got;
                r->expected = value_of(seen, i);
            }
        }
        lock_xadd(&done, 1);
    }
    paging_off();
}

static void by_the_book(const struct book *b)
{
    u32 round = 1, all = scaled(100000 / BATCH);
    u64 end = bound();

    group(b->name);
    book = b;
    turn = 0;
    memset(readers, 0, sizeof readers);
    paging_on();
    for (u32 n = 1; n < smp_count; n++)
        smp_run_on(n, run_book, &readers[n]);
    for (; round <= all && (round < 4 || tsc() < end); round++) {
        done = 0;
        write_book(round);
        turn = round;
        u32 spins = 0;
        while (done < smp_count - 1)
            smp_spin(&spins);
    }
    turn = ~0u;
    paging_off();
    print("%s: %d rounds\n", b->name, round - 1);
    for (u32 n = 1; n < smp_count; n++) {
        struct reader *r = &readers[n];
        smp_wait(n);
        if (!check("old code", r->wrong, 0))
            print("    processor %d, the first: %x instead of %x\n", n, r->got, r->expected);
        check("calls", r->calls, (round - 1) * BATCH);
    }
}

/* ---- stores into code that runs ---- */

#define PATCHED (AREA + 0x80000)
_Static_assert(PATCHED == 0x01080000, "one of the patches knows it");
static volatile u32 stop, reported[SMP_MAX][16];

/* Calls it all the time and reports what it returns; values with unequal bytes are garbage. */
static void run_patched(void *arg)
{
    struct reader *r = arg;
    u32 me = smp_me();

    while (!stop) {
        u32 got = call(PATCHED);
        if (got != (got & 0xff) * 0x01010101 && !r->wrong++)
            r->got = got;
        reported[me][0] = got;
        r->calls++;
    }
}

static bool all_report(u32 value)
{
    u64 end = smp_in(20000);

    for (u32 n = 1; n < smp_count; n++) {
        while (reported[n][0] != value) {
            if (tsc() > end)
                return false;
            pause();
        }
    }
    return true;
}

/* The code, the place in it that changes, how many bytes, and the values in turn; what is returned is
 * always value number k of `returns`. */
static const struct patch {
    const char *name;
    u8 code[24], length, at, bytes;
    u32 values[4], returns[4];
} patches[] = {
    { "4 bytes of an immediate", { 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3 }, 9, 4, 4,
      { 0x11111111, 0x22222222, 0x93939393, 0xffffffff },
      { 0x11111111, 0x22222222, 0x93939393, 0xffffffff } },
    { "1 byte of an immediate", { 0x6a, 0, 0x58, 0x69, 0xc0, 1, 1, 1, 1, 0xc3 }, 10, 1, 1,
      { 0x11, 0x22, 0x33, 0x44 }, { 0x11111111, 0x22222222, 0x33333333, 0x44444444 } },
    /* mov eax, imm32; jmp short +n: over mov eax, imm32 or not */
    { "the distance of a jump",
      { 0xb8, 0x21, 0x21, 0x21, 0x21, 0xeb, 0, 0xb8, 0x42, 0x42, 0x42, 0x42, 0xc3 }, 13, 6, 1,
      { 0, 5, 0, 5 }, { 0x42424242, 0x21212121, 0x42424242, 0x21212121 } },
    /* xor eax, eax; jmp short $+2 or nop; nop, aligned; sub eax, 1 */
    { "2 bytes that are an instruction", { 0x31, 0xc0, 0xeb, 3, 0x83, 0xe8, 1, 0xc3 }, 8, 2, 2,
      { 0x03eb, 0x9066, 0x03eb, 0x9066 }, { 0, 0xffffffff, 0, 0xffffffff } },
    /* mov eax, it + 20; call eax; ret; nop; nop; nop; mov eax, imm32; ret; nops; 20: jmp to 8 */
    { "4 bytes in front of where a path begins",
      { 0xb8, 20, 0, 8, 1, 0xff, 0xd0, 0xc3, 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3, 0x90, 0x90, 0x90, 0xeb, 0xf2 },
      22, 12, 4, { 0x11111111, 0x22222222, 0x93939393, 0xffffffff },
      { 0x11111111, 0x22222222, 0x93939393, 0xffffffff } },
    { "the opcode", { 0x31, 0xc0, 0xf8, 0x19, 0xc0, 0xc3 }, 6, 2, 1, /* clc or stc; sbb eax, eax */
      { 0xf8, 0xf9, 0xf8, 0xf9 }, { 0, 0xffffffff, 0, 0xffffffff } },
};

static void store_patch(const struct patch *p, u32 value)
{
    if (p->bytes == 4)
        poke32(PATCHED + p->at, value);
    else if (p->bytes == 2)
        poke16(PATCHED + p->at, (u16)value);
    else
        poke8(PATCHED + p->at, (u8)value);
}

static void running(const struct patch *p)
{
    u32 rounds = scaled(2000), missed = 0, i = 0;
    u64 end = bound();

    group(p->name);
    memset(readers, 0, sizeof readers);
    memcpy((void *)at(PATCHED), p->code, p->length);
    store_patch(p, p->values[3]);
    stop = 0;
    for (u32 n = 1; n < smp_count; n++)
        smp_run_on(n, run_patched, &readers[n]);
    for (; i < rounds && !missed && (i < 4 || tsc() < end); i++) {
        store_patch(p, p->values[i & 3]);
        missed += !all_report(p->returns[i & 3]);
    }
    stop = 1;
    print("%s: %d rounds\n", p->name, i);
    check("never seen", missed, 0);
    for (u32 n = 1; n < smp_count; n++) {
        smp_wait(n);
        if (!check("garbage", readers[n].wrong, 0))
            print("    processor %d, the first: %x\n", n, readers[n].got);
    }
}

/* A loop that never leaves its block: inc eax; 1: inc eax; nop; jmp 1b; ret. The store ends it by making
 * the jump go to the ret. */
static volatile u32 turning;

static void run_loop(void *arg)
{
    (void)arg;
    lock_xadd(&turning, 1);
    call(PATCHED + 0x1000);
}

static void endless(void)
{
    static const u8 code[] = { 0x40, 0x40, 0x90, 0xeb, 0xfc, 0xc3 };
    u64 end;

    group("endless loop");
    for (u32 i = 0; i < scaled(200) + 2; i++) {
        memcpy((void *)at(PATCHED + 0x1000), code, sizeof code);
        turning = 0;
        for (u32 n = 1; n < smp_count; n++)
            smp_run_on(n, run_loop, NULL);
        end = smp_in(20000);
        while (turning < smp_count - 1 && tsc() < end)
            pause();
        smp_delay(50);
        poke8(PATCHED + 0x1004, 0);
        for (u32 n = 1; n < smp_count; n++)
            smp_wait(n);
    }
    check("ended", turning, smp_count - 1);
}

/* ---- data beside code ---- */

#define BESIDE (AREA + 0x90000)

static struct beside { u32 wrong, rounds; } beside[SMP_MAX];

/* A function, a counter of its own, and one for all, on one page. */
static void run_beside(void *arg)
{
    struct beside *b = arg;
    u32 me = smp_me(), mine = BESIDE + 0x800 + 64 * me, code = BESIDE + 0x40 * me;

    smp_meet(&gate);
    for (u32 i = 0; i < b->rounds; i++) {
        poke32(mine, i);
        lock_xadd((volatile u32 *)at(BESIDE + 0xc00), 1);
        b->wrong += call(code) != me + 77;
        b->wrong += peek32(mine) != i;
    }
}

static void data_beside(void)
{
    group("data beside code");
    poke32(BESIDE + 0xc00, 0);
    for (u32 n = 0; n < smp_count; n++) {
        write_function(BESIDE + 0x40 * n, n + 77, 0);
        beside[n] = (struct beside){ 0, scaled(20000) };
    }
    gate.n = smp_count;
    smp_run_all(smp_count, run_beside, beside, sizeof beside[0]);
    for (u32 n = 0; n < smp_count; n++)
        check(LABEL(n), beside[n].wrong, 0);
    check("sum", peek32(BESIDE + 0xc00), smp_count * scaled(20000));
}

/* ---- code that appears where many stores were beside code ---- */

#define QUIET (AREA + 0xa0000)
#define CHANGING (QUIET + 0x100)
enum { STORES_BESIDE = 1200 };

static volatile u32 begun, stored;

/* Call it while it changes, then when it has changed. */
static void run_changing(void *arg)
{
    struct reader *r = arg;

    for (u32 seen = 1;; seen++) {
        u32 spins = 0, got, first;
        while (begun != seen && begun != ~0u)
            smp_spin(&spins);
        if (begun == ~0u)
            return;
        first = call(CHANGING);
        for (spins = 0; stored != seen;)
            smp_spin(&spins);
        serialise();
        got = call(CHANGING);
        if ((got != -(seen & 1) || first + 1 > 1) && !r->wrong++)
            r->got = got, r->calls = seen;
        lock_xadd(&done, 1);
    }
}

/* xor eax, eax; jmp short $+5 or a nop of 2 bytes; sub eax, 1; ret. The same bytes again drop what was made of them. */
static void change(void)
{
    static const u8 code[] = { 0x31, 0xc0, 0xeb, 3, 0x83, 0xe8, 1, 0xc3 };
    static const u16 ways[] = { 0x03eb, 0x9066 };
    u32 rounds = scaled(2000) + 2, round = 1;
    u64 end = bound();

    group("code that appears beside data");
    memset(readers, 0, sizeof readers);
    memcpy((void *)at(CHANGING), code, sizeof code);
    write_function(QUIET, 5, 0);
    begun = stored = 0;
    for (u32 n = 1; n < smp_count; n++)
        smp_run_on(n, run_changing, &readers[n]);
    for (; round <= rounds && (round < 4 || tsc() < end); round++) {
        done = 0;
        check("the other function", call(QUIET), 5);
        poke16(CHANGING + 2, ways[~round & 1]);
        for (u32 i = 0; i < STORES_BESIDE; i++)
            poke32(QUIET + 0x800, i);
        begun = round;
        for (u32 i = 0; i < round % 256; i++)
            poke32(QUIET + 0x800, i);
        poke16(CHANGING + 2, ways[round & 1]);
        stored = round;
        for (u32 spins = 0; done < smp_count - 1;)
            smp_spin(&spins);
    }
    begun = ~0u;
    print("%d rounds\n", round - 1);
    for (u32 n = 1; n < smp_count; n++) {
        smp_wait(n);
        if (!check("old code", readers[n].wrong, 0))
            print("    processor %d, the first in round %d: %x\n", n, readers[n].calls, readers[n].got);
    }
}

/* ---- pages that become code ---- */

#define FRESH (AREA + 0x100000)
#define FRESH_PAGES 64u

/* Each writes numbers to its place of a page, then a function beside, which makes the page code while
 * others write. */
static void run_fresh(void *arg)
{
    struct beside *b = arg;
    u32 me = smp_me();

    smp_meet(&gate);
    for (u32 page = FRESH; page < FRESH + FRESH_PAGES * 0x1000; page += 0x1000) {
        u32 code = page + 0x20 * me, mine = page + 0x400 + 0x40 * me;
        for (u32 i = 0; i < 8 + me * 8; i++)
            poke32(mine, b->rounds + i);
        write_function(code, page + me, b->rounds);
        b->wrong += call(code) != page + me;
        for (u32 i = 0; i < 8; i++) {
            poke32(mine + 4 * i, b->rounds + 100 + i);
            lock_xadd((volatile u32 *)at(page + 0x800), 1);
        }
        write_function(code, page + me + 1, b->rounds + 1);
        b->wrong += call(code) != page + me + 1;
    }
}

static void fresh_pages(void)
{
    u32 rounds = scaled(100) + 2, lost = 0, wrong = 0, sums = 0;

    group("pages that become code");
    for (u32 round = 0; round < rounds; round++) {
        u32 to = FRESH, words = FRESH_PAGES * 1024;
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(0) : "memory");
        for (u32 n = 0; n < smp_count; n++)
            beside[n] = (struct beside){ 0, round };
        smp_run_all(smp_count, run_fresh, beside, sizeof beside[0]);
        for (u32 n = 0; n < smp_count; n++) {
            wrong += beside[n].wrong;
            for (u32 i = 0; i < FRESH_PAGES * 8; i++)
                lost += peek32(FRESH + i / 8 * 0x1000 + 0x400 + 0x40 * n + 4 * (i & 7)) !=
                        round + 100 + (i & 7);
        }
        for (u32 i = 0; i < FRESH_PAGES; i++)
            sums += peek32(FRESH + i * 0x1000 + 0x800) != 8 * smp_count;
    }
    check("own functions", wrong, 0);
    check("stores lost", lost, 0);
    check("sums", sums, 0);
}

void program(const char *line)
{
    smp_start(line);
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x83;
    dir[SMP_APIC >> 22] = (SMP_APIC & 0xffc00000) | 0x93;
    dir[WIN >> 22] = AREA | 0x83;
    for (u32 i = 0; i < sizeof books / sizeof books[0]; i++)
        by_the_book(&books[i]);
    if (!stand_in || !smp_parallel) { /* it keeps old code now and then */
        for (u32 i = 0; i < sizeof patches / sizeof patches[0]; i++)
            running(&patches[i]);
        endless();
    }
    data_beside();
    change();
    fresh_pages();
}
