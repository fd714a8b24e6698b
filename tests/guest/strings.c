/* String instructions: faults in the middle and restart, overlap, direction, address sizes, page crossings,
 * count 0 (SDM volume 2, REP and the instructions' own pages). */
#include "guest.h"

const char program_name[] = "strings";

/* Eight pages of the window; their frames do not follow one another, so that bulk code cannot run straight
 * through. */
#define WIN 0x08000000u
static const u32 frames[8] = { 0x1000000, 0x1004000, 0x1002000, 0x1009000, 0x1006000, 0x1001000, 0x100b000,
  0x1008000 };
static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

static void page_set(u32 page, bool present)
{
    table[page] = present ? frames[page] | 7 : 0;
    cr3_set((u32)dir);
}

static u8 *window_byte(u32 offset)
{
    return (u8 *)at(frames[offset >> 12] + (offset & 0xfff));
}

static void fill(void)
{
    for (u32 i = 0; i < 0x8000; i++)
        *window_byte(i) = (u8)(i * 7 + (i >> 8));
}

enum op { MOVS, STOS, LODS, SCAS, CMPS, OPS };

static const struct code *code_of(enum op op, u32 size)
{
    switch (op * 8 + size) {
    case MOVS * 8 + 1: return SNIPPET(32, "rep movsb");
    case MOVS * 8 + 2: return SNIPPET(32, "rep movsw");
    case MOVS * 8 + 4: return SNIPPET(32, "rep movsd");
    case STOS * 8 + 1: return SNIPPET(32, "rep stosb");
    case STOS * 8 + 2: return SNIPPET(32, "rep stosw");
    case STOS * 8 + 4: return SNIPPET(32, "rep stosd");
    case LODS * 8 + 1: return SNIPPET(32, "rep lodsb");
    case LODS * 8 + 2: return SNIPPET(32, "rep lodsw");
    case LODS * 8 + 4: return SNIPPET(32, "rep lodsd");
    case SCAS * 8 + 1: return SNIPPET(32, "repne scasb");
    case SCAS * 8 + 2: return SNIPPET(32, "repne scasw");
    case SCAS * 8 + 4: return SNIPPET(32, "repne scasd");
    case CMPS * 8 + 1: return SNIPPET(32, "repe cmpsb");
    case CMPS * 8 + 2: return SNIPPET(32, "repe cmpsw");
    default: return SNIPPET(32, "repe cmpsd");
    }
}

/* Runs until the missing page, checks where it stands, maps the page, and lets it end. */
static void fault_and_restart(enum op op, u32 size, bool down, u32 start)
{
    static const char *const names[] = { "rep movs", "rep stos", "rep lods", "repne scas", "repe cmps" };
    bool uses_si = op == MOVS || op == LODS || op == CMPS, uses_di = op != LODS;
    u32 count = 0x1800 / size, step = down ? -size : size;
    u32 si = uses_si ? WIN + start : 0,
    di = uses_di ? (uses_si ? WIN + 0x4000 + (start & 0xfff) : WIN + start) : 0;
    u32 missing = 0;
    fill();
    for (u32 i = 0; i < 0x8000 && op == SCAS; i++)
        *window_byte(i) &= 0xbf; /* what it looks for is not there */
    for (u32 i = 0; i < 0x4000 && op == CMPS; i++)
        *window_byte(0x4000 + i) = *window_byte(i);
    if (op == CMPS)
        di = WIN + 0x4000 + start;
    /* The page that the run reaches second in the source, or in the destination if there is none. */
    u32 walked = uses_si ? si : di;
    missing = (walked - WIN) / 0x1000 + (down ? -1 : 1);
    page_set(missing, false);
    u32 before = 0;
    for (u32 p = walked; before < count; before++, p += step) {
        u32 last = p + size - 1;
        if ((p - WIN) >> 12 == missing || (last - WIN) >> 12 == missing)
            break;
    }
    struct test t = { .name = names[op], .mode = P32U, .code = code_of(op, size), .ax = 0x5e5e5e5e,
      .cx = count, .si = si, .di = di,
                      .fl = down ? DF : 0, .vec = V_PF, .err = op == STOS ? 6 : 4,
                      .x = { { CX, count - before }, { SI, uses_si ? si + before * step : si },
                             { DI, uses_di ? di + before * step : di } } };
    test_run(&t);
    page_set(missing, true);
    t.vec = DONE;
    t.cx = out->r[1];
    t.si = out->r[6];
    t.di = out->r[7];
    t.ax = op == LODS ? out->r[0] : t.ax;
    t.x[0] = (struct expect){ CX, 0, 0 };
    t.x[1] = (struct expect){ SI, uses_si ? si + count * step : si, 0 };
    t.x[2] = (struct expect){ DI, uses_di ? di + count * step : di, 0 };
    test_run(&t);
    u32 wrong = 0, low = down ? (di - WIN) + size - count * size : di - WIN;
    u32 source = down ? (si - WIN) + size - count * size : si - WIN;
    for (u32 i = 0; i < count * size; i++) {
        if (op == MOVS)
            wrong += *window_byte(low + i) != (u8)((source + i) * 7 + ((source + i) >> 8));
        if (op == STOS)
            wrong += *window_byte(low + i) != 0x5e;
    }
    check("bytes that differ", wrong, 0);
}

static void faults(void)
{
    static const u32 up[] = { 0x0c00, 0x0ffd, 0x0001, 0x0fff }, down[] = { 0x2400, 0x2001, 0x2ff8, 0x2003 };
    for (enum op op = MOVS; op < OPS; op++) {
        for (u32 size = 1; size <= 4; size *= 2) {
            for (u32 i = 0; i < 4; i++) {
                group("up");
                fault_and_restart(op, size, false, up[i]);
                group("down");
                fault_and_restart(op, size, true, down[i]);
            }
        }
    }
    group("faults");
    fill();
    page_set(5, false);
    T("movs: the destination is missing", P32U, "rep movsd", .cx = 0x800, .si = WIN + 0x100,
      .di = WIN + 0x4800, .vec = V_PF, .err = 6,
      .x = { { CX, 0x600 }, { SI, WIN + 0x900 }, { DI, WIN + 0x5000 } });
    check("cr2", cr2_get(), WIN + 0x5000);
    T("movs: the element crosses into the missing page", P32U, "rep movsd", .cx = 0x800, .si = WIN + 0x100,
      .di = WIN + 0x4ffe, .vec = V_PF, .err = 6,
      .x = { { CX, 0x800 }, { M16, peek16(frames[4] + 0xffe), frames[4] + 0xffe } });
    check("cr2 of the crossing", cr2_get(), WIN + 0x5000);
    T("cmps: the second operand is missing", P32U, "repe cmpsb", .cx = 9, .si = WIN, .di = WIN + 0x5000,
      .vec = V_PF, .err = 4, .x = { { CX, 9 } });
    T("scas ends before the missing page", P32U, "repne scasb", .cx = 9, .di = WIN + 0x4fff,
      .ax = *window_byte(0x4fff),
      .x = { { CX, 8 }, { DI, WIN + 0x5000 }, { FL, ZF, ZF } });
    T("count 0 touches nothing", P32U, "rep movsb; rep stosd; rep lodsb", .cx = 0, .si = WIN + 0x5000,
      .di = WIN + 0x5000);
    T("count 0 keeps flags", P32U, "repe cmpsb; repne scasb", .cx = 0, .si = WIN + 0x5000,
      .di = WIN + 0x5000, .fl = CF | ZF, .x = { { FL, CF | ZF } });
    T("insb to a missing page keeps ecx", P32, "mov edx, 0x80; 99: rep insb", .cx = 3, .di = WIN + 0x5000,
      .vec = V_PF, .err = 2, .x = { { CX, 3 } });
    T("outsb from a missing page", P32, "mov edx, 0x80; 99: rep outsb", .cx = 3, .si = WIN + 0x4fff,
      .vec = V_PF, .err = 0, .x = { { CX, 2 } });
    table[5] = frames[5] | 5;
    cr3_set((u32)dir);
    T("stos to a read-only page", P32U, "rep stosd", .cx = 0x100, .di = WIN + 0x4f00, .vec = V_PF,
      .err = 7, .x = { { CX, 0xc0 } });
    page_set(5, true);
}

/* Long fills: every element whole, nothing before them and behind. */
static void fill_at(u32 size, u32 start, u32 bytes)
{
    u32 count = bytes / size, wrong = 0, end = start + count * size;
    u32 first = start < 64 ? 0 : start - 64, last = end + 64;

    for (u32 i = first; i < last; i++)
        *window_byte(i) = (u8)i;
    test_run(&(struct test){ .name = "rep stos, long", .mode = P32U, .code = code_of(STOS, size), .ax = 0x84838281,
      .cx = count, .di = WIN + start, .x = { { CX, 0 }, { DI, WIN + end } } });
    for (u32 i = first; i < last; i++)
        wrong += *window_byte(i) != (i >= start && i < end ? 0x81 + (i - start) % size : (u8)i);
    check("bytes that differ", wrong, 0);
}

static void fills(void)
{
    static const u32 starts[] = { 0, 1, 4, 0x1e, 0xe3c, 0xfff }, lengths[] = { 0x200, 0x27c, 0x1804 };

    group("fills");
    for (u32 size = 1; size <= 4; size *= 2)
        for (u32 i = 0; i < sizeof(starts) / 4; i++)
            for (u32 j = 0; j < sizeof(lengths) / 4; j++)
                fill_at(size, starts[i], lengths[j]);
}

static void overlaps(void)
{
    static const struct { u32 si, di, count; bool down; } rows[] = {
        { 0, 1, 40, false }, { 1, 0, 40, false }, { 0, 3, 100, false }, { 0, 8, 100, false }, { 100, 99,
        90, true },
        { 99, 100, 90, true }, { 5, 5, 50, false }, { 0, 16, 200, false }, { 200, 190, 180, true },
        { 0x7f0, 0x7f1, 0x1000, false },
        { 0x1800, 0x1801, 0x1000, true }, { 0, 0x1000, 0x1000, false },
    };
    static u8 model[0x4000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (u32 size = 1; size <= 4; size *= 4) {
            group(size == 1 ? "overlap, bytes" : "overlap, dwords");
            fill();
            for (u32 j = 0; j < sizeof model; j++)
                model[j] = *window_byte(j);
            int count = rows[i].count / size, step = rows[i].down ? -(int)size : (int)size;
            u32 s = rows[i].si, d = rows[i].di;
            for (int n = 0; n < count; n++, s += step, d += step) {
                u8 element[4];
                memcpy(element, model + s, size);
                memcpy(model + d, element, size);
            }
            test_run(&(struct test){ .name = "rep movs", .mode = P32U, .code = code_of(MOVS, size),
              .cx = count, .si = WIN + rows[i].si,
                                     .di = WIN + rows[i].di, .fl = rows[i].down ? DF : 0,
                                     .x = { { SI, WIN + s }, { DI, WIN + d }, { CX, 0 } } });
            u32 wrong = 0;
            for (u32 j = 0; j < sizeof model; j++)
                wrong += model[j] != *window_byte(j);
            check("bytes that differ", wrong, 0);
        }
    }
}

static void flags_and_ends(void)
{
    group("ends");
    fill();
    for (u32 i = 0; i < 0x3000; i++)
        *window_byte(i) = 0x11, *window_byte(0x4000 + i) = 0x11;
    *window_byte(0x2345) = 0x22;
    T("repne scasb finds across pages", P32U, "repne scasb", .ax = 0x22, .cx = 0x3000, .di = WIN,
      .x = { { DI, WIN + 0x2346 },
      { CX, 0x3000 - 0x2346 }, { FL, PF | ZF } });
    T("repe scasb stops at a difference", P32U, "repe scasb", .ax = 0x11, .cx = 0x3000, .di = WIN,
      .x = { { DI, WIN + 0x2346 },
      { FL, CF | SF | AF } });
    T("repne scasb does not find", P32U, "repne scasb", .ax = 0x33, .cx = 0x1800, .di = WIN, .x = { { CX,
      0 }, { DI, WIN + 0x1800 }, { FL, 0, ZF | CF } });
    T("repe cmpsb stops", P32U, "repe cmpsb", .cx = 0x3000, .si = WIN, .di = WIN + 0x4000, .x = { { SI,
      WIN + 0x2346 }, { DI, WIN + 0x6346 },
      { CX, 0x3000 - 0x2346 }, { FL, 0, ZF | CF | SF } });
    T("repne cmpsb stops at the first equal", P32U, "repne cmpsb", .cx = 5, .si = WIN, .di = WIN + 0x4000,
      .x = { { CX, 4 }, { FL, PF | ZF } });
    T("repe cmpsd", P32U, "repe cmpsd", .cx = 0xc00, .si = WIN, .di = WIN + 0x4000, .x = { { SI,
      WIN + 0x2348 }, { FL, 0, ZF } });
    T("scasd down", P32U, "repe scasd", .ax = 0x11111111, .cx = 0x100, .di = WIN + 0x2360, .fl = DF,
      .x = { { DI, WIN + 0x2340 }, { FL, 0, ZF } });
    T("repne before movs repeats", P32U, ".byte 0xf2, 0xa4", .cx = 3, .si = WIN + 0x2343, .di = DATA,
      .x = { { CX, 0 }, { M32, 0x00221111, DATA } });
    T("last of f2 and f3 counts", P32U, ".byte 0xf3, 0xf2, 0xae", .ax = 0x22, .cx = 0x3000, .di = WIN,
      .x = { { DI, WIN + 0x2346 } });
    T("rep lodsd leaves the last", P32U, "rep lodsd", .cx = 3, .si = DATA, .d = { 1, 2, 3 }, .x = { { AX,
      3 }, { SI, DATA + 12 } });
    T("rep lodsw keeps the high half", P32U, "rep lodsw", .ax = -1, .cx = 2, .si = DATA,
      .d = { 0x00050004 }, .x = { { AX, 0xffff0005 } });
    T("single forms", P32U, "movsb; stosw; lodsb; scasb; cmpsb", .si = DATA, .di = DATA + 16,
      .d = { 0x04030201 }, .x = { { SI, DATA + 3 },
      { DI, DATA + 21 } });
    T("movsw 16-bit addresses", P32U, "addr16 rep movsw", .cx = 0x70002, .si = 0x50010, .di = 0x60020,
      .ds = SEL_UDS16 | 3, .es = SEL_UDS16 | 3,
      .x = { { CX, 0x70000 }, { SI, 0x50014 }, { DI, 0x60024 } });
    T("si wraps in 16 bits", P16, "rep lodsb", .cx = 3, .si = 0xfffe, .x = { { SI, 1 }, { CX, 0 } });
    T("32-bit addresses in 16-bit code", P16, "addr32 rep stosb", .ax = 0x66, .cx = 3, .di = 0x40,
      .x = { { DI, 0x43 }, { CX, 0 },
      { M32, 0x666666, DATA + 0x40 } });
    T("fs override", P32U, "rep movs byte ptr es:[edi], byte ptr fs:[esi]", .cx = 2, .si = 0,
      .di = DATA + 8, .fs = SEL_UDS16 | 3, .d = { 0xbbaa },
      .x = { { M16, 0xbbaa, DATA + 8 } });
    T("code as data: rep movsb over the next instruction", P32U, "rep movsb; mov al, 1", .cx = 1,
      .si = DATA, .di = CODE + 3, .d = { 0x77 },
      .x = { { AX, 0x77 } });
    T("rep stosb over what follows", P32U, "rep stosb; inc edx; inc edx", .ax = 0x90, .cx = 2,
      .di = CODE + 2, .x = { { DX, 0 }, { CX, 0 } });
}

static void long_mode(void)
{
    if (!HAS_LM)
        return skip("long mode", "not in CPUID");
    group("long mode");
    for (u32 i = 0; i < 4; i++)
        window64[i] = frames[i] | 7;
    fill();
    u64 keep = window64[2];
    window64[2] = 0;
    T("rep movsq faults and stops", L64U, "rep movsq", .cx = 0x400, .si = DATA, .di = WINDOW + 0x1800,
      .vec = V_PF, .err = 6,
      .x = { { CX, 0x300 }, { DI, WINDOW + 0x2000 }, { SI, DATA + 0x800 } });
    T("rep stosq crosses", L64U, "rep stosq", .ax = 1, .cx = 4, .di = WINDOW + 0x1ffc, .vec = V_PF,
      .err = 6, .x = { { CX, 4 } });
    T("repe cmpsq", L64U, "repe cmpsq", .cx = 0x1000, .si = WINDOW, .di = WINDOW, .vec = V_PF, .err = 4,
      .x = { { CX, 0x1000 - 0x400 } });
    window64[2] = keep;
    T("rep lodsq", L64U, "rep lodsq", .cx = 2, .si = DATA, .d = { 1, 2, 3, 4 }, .x = { { AX, 0x400000003 } });
    T("rep lodsd clears the high half", L64U, "rep lodsd", .ax = ~0ULL, .cx = 1, .si = DATA, .d = { 5 },
      .x = { { AX, 5 } });
    T("rep lodsd of count 0 keeps it", L64U, "rep lodsd", .ax = ~0ULL, .cx = 0, .x = { { AX, ~0ULL } });
    T("repne scasq", L64U, "repne scasq", .ax = 0x200000001, .cx = 3, .di = DATA, .d = { 3, 4, 1, 2 },
      .x = { { CX, 1 }, { DI, DATA + 16 } });
    T("32-bit addresses clear the high halves", L64U, "addr32 rep movsb", .cx = 1, .si = 1ULL << 40 | DATA,
      .di = 1ULL << 40 | (DATA + 8), .d = { 9 },
      .x = { { SI, DATA + 1 }, { DI, DATA + 9 }, { CX, 0 }, { M8, 9, DATA + 8 } });
    T("32-bit addresses, count 0", L64U, "addr32 rep stosb", .cx = 0, .di = DATA, .x = { { DI, DATA },
      { CX, 0 } });
    T("64-bit count", L64U, "repne scasb", .cx = 1ULL << 33, .di = DATA, .ax = 7, .d = { 0, 7 },
      .x = { { CX, (1ULL << 33) - 5 } });
    for (u32 i = 0; i < 4; i++)
        window64[i] = 0;
}

void program(const char *line)
{
    (void)line;
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x87;
    dir[WIN >> 22] = (u32)table | 7;
    for (u32 i = 0; i < 8; i++)
        table[i] = frames[i] | 7;
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80010000);
    faults();
    fills();
    overlaps();
    flags_and_ends();
    cr0_set(cr0_get() & 0x7fffffff);
    long_mode();
}
