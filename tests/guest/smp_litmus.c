/* Litmus tests of the memory order: what SDM volume 3, 9.2.3 (examples 9-1 to 9-10; 8-n in older editions)
 * and total store order forbid is never seen, for operands of each size, within a cache line and across.
 * What is allowed must be seen once, for the plain store buffering tests: it shows that processors run at
 * the same time. */
#include "smp.h"

const char program_name[] = "smp_litmus";

#define CELLS 0x1000000u   /* each of STRIDE bytes: x at 0, y behind it */
#define RESULTS 0x1800000u /* of each thread, 16 bytes for each round */
#define VERDICTS 0x1c00000u /* of each outcome: a byte */
#define BATCH 4096u        /* rounds at most; a slow engine does fewer */
#define STRIDE "128"
#define STRIDE_N 128u
#define THREADS 4

struct job { /* the assembly below knows it */
    u32 x, y, results, rounds, mine, other, skew, code, bits;
} __attribute__((aligned(64)));

/* A thread does its body for each cell. Each 8 rounds it waits a while for the other thread to be as far,
 * then a little longer. In the body a and d are results (0 at first), c has the value 1, b the value 2, in
 * every byte; p is e or r; [pdi] is x, [psi] is y, or the other way round. */
#define RUN64(name, body) CODE64(name, \
    "push rbp; mov r15, rdi; mov edi, [r15]; mov esi, [r15+4]; mov ebx, [r15+8]; mov r14d, [r15+12]\n" \
    "1: test r14d, 7; jnz 2f; mov ecx, [r15+16]; test ecx, ecx; jz 2f; mov edx, [r15+20]\n" \
    "inc dword ptr [rcx]; mov ecx, [rcx]; mov r8d, 5000\n" \
    "3: mov eax, [rdx]; sub eax, ecx; jns 4f; dec r8d; jnz 3b\n" \
    "4: mov ecx, r14d; shr ecx, 3; and ecx, [r15+24]\n" \
    "5: jecxz 2f; dec ecx; jmp 5b\n" \
    "2: movabs rcx, 0x0101010101010101; movabs rbp, 0x0202020202020202; xor eax, eax; xor edx, edx\n" \
    body "\nmov [rbx], rax; mov [rbx+8], rdx; add rbx, 16; add rdi, " STRIDE "; add rsi, " STRIDE "\n" \
    "dec r14d; jnz 1b; pop rbp; ret")
#define RUN32(name, body) extern u8 name[]; \
    __asm__(".pushsection .text\n.intel_syntax noprefix\n" #name ":\n" \
    "push ebp; push ebx; push esi; push edi; mov eax, [esp+20]; push [eax+12]; push eax\n" \
    "mov edi, [eax]; mov esi, [eax+4]; mov ebx, [eax+8]\n" \
    "1: mov eax, [esp]; test dword ptr [esp+4], 7; jnz 2f; mov ecx, [eax+16]; test ecx, ecx; jz 2f\n" \
    "mov edx, [eax+20]; inc dword ptr [ecx]; mov ecx, [ecx]; mov eax, 5000\n" \
    "3: mov ebp, [edx]; sub ebp, ecx; jns 4f; dec eax; jnz 3b\n" \
    "4: mov eax, [esp]; mov ecx, [esp+4]; shr ecx, 3; and ecx, [eax+24]\n" \
    "5: jecxz 2f; dec ecx; jmp 5b\n" \
    "2: mov ecx, 0x01010101; mov ebp, 0x02020202; xor eax, eax; xor edx, edx\n" \
    body "\nmov [ebx], eax; mov [ebx+8], edx; add ebx, 16; add edi, " STRIDE "; add esi, " STRIDE "\n" \
    "dec dword ptr [esp+4]; jnz 1b; add esp, 8; pop edi; pop esi; pop ebx; pop ebp; ret\n" \
    ".att_syntax prefix\n.popsection")

/* One body in 32-bit code with 4 bytes, and in 64-bit code with 8, 4, 2, 1 bytes. */
enum { WIDTHS = 5 };
static const u8 bytes_of[WIDTHS] = { 4, 8, 4, 2, 1 };
#define BODY(name, text) \
    RUN32(name##_32, text("eax", "edx", "ecx", "ebp", "e")); \
    RUN64(name##_8, text("rax", "rdx", "rcx", "rbp", "r")); \
    RUN64(name##_4, text("eax", "edx", "ecx", "ebp", "r")); \
    RUN64(name##_2, text("ax", "dx", "cx", "bp", "r")); \
    RUN64(name##_1, text("al", "dl", "cl", "bpl", "r")); \
    static u8 *const name[WIDTHS] = { name##_32, name##_8, name##_4, name##_2, name##_1 }

#define X(p) "[" p "di]"
#define Y(p) "[" p "si]"
#define ST(to, value) "mov " to ", " value "\n"
#define LD(value, from) "mov " value ", " from "\n"
#define T_W(a, d, c, b, p) ST(X(p), c)
#define T_W2(a, d, c, b, p) ST(X(p), b)
#define T_XCHG(a, d, c, b, p) "xchg " X(p) ", " c
#define T_WR(a, d, c, b, p) ST(X(p), c) LD(a, Y(p))
#define T_WMR(a, d, c, b, p) ST(X(p), c) "mfence\n" LD(a, Y(p))
#define T_WLR(a, d, c, b, p) ST(X(p), c) "lock add dword ptr [" p "sp], 0\n" LD(a, Y(p))
#define T_WIR(a, d, c, b, p) ST(X(p), c) \
    "push " p "bx; xor eax, eax; cpuid; pop " p "bx; xor eax, eax; xor edx, edx\n" LD(a, Y(p))
#define T_XR(a, d, c, b, p) "xchg " X(p) ", " c "\n" LD(a, Y(p))
#define T_AR(a, d, c, b, p) "lock xadd " X(p) ", " c "\n" LD(a, Y(p))
#define T_OR(a, d, c, b, p) "lock or " X(p) ", " c "\n" LD(a, Y(p))
#define T_CR(a, d, c, b, p) "lock cmpxchg " X(p) ", " c "\n" LD(a, Y(p))
#define T_WW(a, d, c, b, p) ST(X(p), c) ST(Y(p), c)
#define T_WW2(a, d, c, b, p) ST(X(p), c) ST(Y(p), b)
#define T_W2W(a, d, c, b, p) ST(X(p), b) ST(Y(p), c)
#define T_XW(a, d, c, b, p) "mov " d ", " c "; xchg " X(p) ", " d "\n" ST(Y(p), c)
#define T_RR(a, d, c, b, p) LD(a, X(p)) LD(d, Y(p))
#define T_RW(a, d, c, b, p) LD(a, X(p)) ST(Y(p), c)
#define T_WRR(a, d, c, b, p) ST(X(p), c) LD(a, X(p)) LD(d, Y(p))
#define T_W12(a, d, c, b, p) ST(X(p), c) ST(X(p), b)
#define T_RRX(a, d, c, b, p) LD(a, X(p)) LD(d, X(p))
#define T_RWX(a, d, c, b, p) LD(a, X(p)) ST(X(p), c)
#define T_WRX(a, d, c, b, p) ST(X(p), c) LD(a, X(p))
#define T_W2R(a, d, c, b, p) ST(X(p), b) LD(a, Y(p))
#define T_W2MR(a, d, c, b, p) ST(X(p), b) "mfence\n" LD(a, Y(p))
/* At least the bytes of c, stored one by one. */
#define T_SW(a, d, c, b, p) "push " p "di; push " p "cx; mov eax, ecx; mov ecx, 8; rep stosb\n" \
    "pop " p "cx; pop " p "di; xor eax, eax\n" ST(Y(p), c)

BODY(w, T_W); BODY(w2, T_W2); BODY(xchg, T_XCHG); BODY(wr, T_WR); BODY(wmr, T_WMR); BODY(wlr, T_WLR);
BODY(wir, T_WIR); BODY(xr, T_XR); BODY(ar, T_AR); BODY(orr, T_OR); BODY(cr, T_CR); BODY(ww, T_WW);
BODY(ww2, T_WW2); BODY(w2w, T_W2W); BODY(xw, T_XW); BODY(sw, T_SW); BODY(rr, T_RR); BODY(rw, T_RW);
BODY(wrr, T_WRR); BODY(w12, T_W12); BODY(rrx, T_RRX); BODY(rwx, T_RWX); BODY(wrx, T_WRX); BODY(w2r, T_W2R);
BODY(w2mr, T_W2MR);

/* ---- verdicts ---- */

struct outcome { /* 0, 1, 2 */
    u32 a[THREADS], d[THREADS], x, y;
};
typedef bool verdict(const struct outcome *o);

static bool sb(const struct outcome *o) { return !o->a[0] && !o->a[1]; }
static bool mp(const struct outcome *o) { return o->a[1] == 1 && o->d[1] != 1; }
static bool lb(const struct outcome *o) { return o->a[0] == 1 && o->a[1] == 1; }
static bool s(const struct outcome *o) { return o->a[1] == 1 && o->x == 2; }
static bool r(const struct outcome *o) { return o->y == 2 && !o->a[1]; }
static bool two_two(const struct outcome *o) { return o->x == 1 && o->y == 1; }
static bool own_store(const struct outcome *o) { return o->a[0] != 1 || o->a[1] != 1; }
static bool forward(const struct outcome *o) { return !o->d[0] && !o->d[1]; }
static bool corr(const struct outcome *o) { return o->a[1] > o->d[1] || o->x != 2; }
static bool corw(const struct outcome *o) { return o->a[1] == 1 || (o->a[1] == 2 && o->x == 2); }
static bool cowr(const struct outcome *o) { return !o->a[1] || (o->a[1] == 2 && o->x == 1); }
static bool wrc(const struct outcome *o) { return o->a[1] == 1 && o->a[2] == 1 && !o->d[2]; }

static bool iriw(const struct outcome *o)
{
    return o->a[2] == 1 && !o->d[2] && o->a[3] == 1 && !o->d[3];
}

/* Two readers see two stores to one place in different orders, or one that is not the order of the end. */
static bool coherence(const struct outcome *o)
{
    u32 last = o->x;
    for (int t = 2; t < 4; t++)
        if ((o->a[t] && !o->d[t]) || (o->a[t] == last && o->d[t] != last))
            return true;
    return false;
}

/* A thread with swap has x and y exchanged. */
struct thread { u8 *const *code; bool swap; };
static const struct litmus {
    const char *name;
    u32 threads;
    struct thread t[THREADS];
    verdict *forbidden, *allowed;
    bool bytewise; /* a result may have part of the bytes */
} tests[] = {
    { "SB", 2, { { wr, 0 }, { wr, 1 } }, NULL, sb, 0 },
    { "SB, forwarded own stores", 2, { { wrr, 0 }, { wrr, 1 } }, own_store, forward, 0 },
    { "R", 2, { { ww, 0 }, { w2r, 1 } }, NULL, r, 0 },
    { "SB with MFENCE", 2, { { wmr, 0 }, { wmr, 1 } }, sb, NULL, 0 },
    { "SB with LOCK between", 2, { { wlr, 0 }, { wlr, 1 } }, sb, NULL, 0 },
    { "SB with CPUID", 2, { { wir, 0 }, { wir, 1 } }, sb, NULL, 0 },
    { "SB with XCHG", 2, { { xr, 0 }, { xr, 1 } }, sb, NULL, 0 },
    { "SB with XADD", 2, { { ar, 0 }, { ar, 1 } }, sb, NULL, 0 },
    { "SB with LOCK OR", 2, { { orr, 0 }, { orr, 1 } }, sb, NULL, 0 },
    { "SB with CMPXCHG", 2, { { cr, 0 }, { cr, 1 } }, sb, NULL, 0 },
    { "SB with XCHG and MFENCE", 2, { { xr, 0 }, { wmr, 1 } }, sb, NULL, 0 },
    { "R with MFENCE", 2, { { ww, 0 }, { w2mr, 1 } }, r, NULL, 0 },
    { "MP", 2, { { ww, 0 }, { rr, 1 } }, mp, NULL, 0 },
    { "MP with XCHG", 2, { { xw, 0 }, { rr, 1 } }, mp, NULL, 0 },
    { "MP with REP STOSB", 2, { { sw, 0 }, { rr, 1 } }, mp, NULL, 1 },
    { "LB", 2, { { rw, 0 }, { rw, 1 } }, lb, NULL, 0 },
    { "S", 2, { { w2w, 0 }, { rw, 1 } }, s, NULL, 0 },
    { "2+2W", 2, { { ww2, 0 }, { ww2, 1 } }, two_two, NULL, 0 },
    { "CoRR, CoWW", 2, { { w12, 0 }, { rrx, 0 } }, corr, NULL, 0 },
    { "CoRW", 2, { { w2, 0 }, { rwx, 0 } }, corw, NULL, 0 },
    { "CoWR", 2, { { w2, 0 }, { wrx, 0 } }, cowr, NULL, 0 },
    { "WRC", 3, { { w, 0 }, { rw, 0 }, { rr, 1 } }, wrc, NULL, 0 },
    { "IRIW", 4, { { w, 0 }, { w, 1 }, { rr, 0 }, { rr, 1 } }, iriw, NULL, 0 },
    { "IRIW with XCHG", 4, { { xchg, 0 }, { xchg, 1 }, { rr, 0 }, { rr, 1 } }, iriw, NULL, 0 },
    { "coherence", 4, { { w, 0 }, { w2, 0 }, { rrx, 0 }, { rrx, 0 } }, coherence, NULL, 0 },
};

/* ---- runs ---- */

static struct job jobs[THREADS];
static volatile u32 progress[2][16] __attribute__((aligned(64)));
static struct smp_barrier gate;
static struct {
    u32 rounds, forbidden, allowed, torn;
    struct outcome first; /* forbidden or torn */
} seen;

static void run_thread(void *arg)
{
    struct job *job = arg;

    smp_meet(&gate);
    if (job->bits == 64)
        smp_call64((void *)job->code, (u32)job, 0, 0, 0);
    else
        ((void (*)(struct job *))job->code)(job);
}

static void clear(u32 to, u32 bytes)
{
    u32 n = bytes / 4;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

static u32 batch_rounds(void) { return smp_few ? BATCH / 8 : BATCH; }

static void prepare(const struct litmus *test, u32 width, u32 apart, u32 batch)
{
    for (u32 t = 0; t < test->threads; t++) {
        u32 x = CELLS, y = CELLS + apart;
        jobs[t] = (struct job){
            .x = test->t[t].swap ? y : x, .y = test->t[t].swap ? x : y, .results = RESULTS + t * BATCH * 16,
            .rounds = batch_rounds(), .code = (u32)test->t[t].code[width], .bits = width ? 64 : 32,
        };
        if (test->threads == 2 && smp_parallel) {
            jobs[t].mine = (u32)progress[t];
            jobs[t].other = (u32)progress[!t];
            jobs[t].skew = (batch & 1) == t ? 15 : 0;
        }
    }
    progress[0][0] = progress[1][0] = 0;
    clear(CELLS, batch_rounds() * STRIDE_N);
    clear(RESULTS, test->threads * BATCH * 16);
}

enum { UNKNOWN, NOTHING, FORBIDDEN, ALLOWED };

/* The outcome is two bits for each result, those of the first thread on top, then x and y. */
static struct outcome decode(u32 key, u32 threads)
{
    struct outcome o = { .x = key >> 2 & 3, .y = key & 3 };
    for (u32 t = 0; t < threads; t++) {
        o.a[t] = key >> (4 * (threads - t) + 2) & 3;
        o.d[t] = key >> (4 * (threads - t)) & 3;
    }
    return o;
}

static u8 verdict_of(const struct litmus *test, u32 key)
{
    struct outcome o = decode(key, test->threads);
    u8 v = NOTHING;
    if (test->forbidden && test->forbidden(&o))
        v = FORBIDDEN;
    else if (test->allowed && test->allowed(&o))
        v = ALLOWED;
    ((volatile u8 *)at(VERDICTS))[key] = v;
    return v;
}

/* Almost all of the time goes here: no calls, and each outcome is judged once. */
static void judge(const struct litmus *test, u32 bytes, u32 apart)
{
    const u32 rounds = batch_rounds(), mask = bytes < 4 ? (1u << 8 * bytes) - 1 : ~0u;
    const u32 low[4] = { 0, 0x01010101 & mask, 0x02020202 & mask, 0x80 };
    const u8 *verdicts = (const u8 *)at(VERDICTS), *cell = (const u8 *)at(CELLS);
    const u32 *result = (const u32 *)at(RESULTS);

    for (u32 i = 0; i < rounds; i++, cell += STRIDE_N, result += 4) {
        const u32 *p = result;
        u32 torn = 0, key = 0;
        for (u32 t = test->threads; t--; p += BATCH * 4) {
            u32 a = p[0] & 3, d = p[2] & 3;
            torn |= (p[0] ^ low[a]) | (p[2] ^ low[d]);
            torn |= bytes == 8 ? (p[1] ^ low[a]) | (p[3] ^ low[d]) : p[1] | p[3];
            key = key << 4 | a << 2 | d;
        }
        key = key << 4 | (cell[0] & 3) << 2 | (cell[apart] & 3);
        u8 v = verdicts[key] ? verdicts[key] : verdict_of(test, key);
        seen.allowed += v == ALLOWED;
        if (v == FORBIDDEN || (torn && !test->bytewise)) {
            seen.first = seen.forbidden + seen.torn ? seen.first : decode(key, test->threads);
            seen.forbidden += v == FORBIDDEN;
            seen.torn += torn && !test->bytewise;
        }
    }
    seen.rounds += rounds;
}

static void run_width(const struct litmus *test, u32 width, u32 apart)
{
    u32 batches = smp_few ? 2 : smp_count > 2 && test->threads == 2 ? 4 : 25;
    u64 end = smp_in(smp_few ? 20 : 60);

    for (u32 i = 0; i < batches && (!i || tsc() < end); i++) {
        gate.n = test->threads;
        prepare(test, width, apart, i);
        smp_run_all(test->threads, run_thread, jobs, sizeof jobs[0]);
        judge(test, bytes_of[width], apart);
    }
}

static void report(const struct litmus *test)
{
    const struct outcome *o = &seen.first;

    print("%s: %d rounds, %d allowed\n", test->name, seen.rounds, seen.allowed);
    group(test->name);
    check("forbidden", seen.forbidden, 0);
    check("torn", seen.torn, 0);
    if (seen.forbidden || seen.torn)
        for (u32 t = 0; t < test->threads; t++)
            print("    the first: thread %d read %d, %d; at the end x %d y %d\n", t, o->a[t], o->d[t], o->x,
                  o->y);
}

/* Not a law, but without it the processors did not run at the same time and the rest proves little. A host
 * that has much else to do gets time. */
static void need_overlap(u32 allowed)
{
    u64 end = smp_in(30000);

    memset(&seen, 0, sizeof seen);
    clear(VERDICTS, 1u << 12);
    while (!allowed && !seen.allowed && tsc() < end)
        run_width(&tests[0], 1, 64);
    group("allowed reordering");
    check("was seen", allowed + seen.allowed > 0, 1);
}

void program(const char *line)
{
    u32 allowed = 0;

    smp_start(line);
    for (u32 i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (tests[i].threads > smp_count || (stand_in && tests[i].t[0].code == wir))
            continue;
        memset(&seen, 0, sizeof seen);
        clear(VERDICTS, 1u << (4 * tests[i].threads + 4));
        for (u32 width = 0; width < WIDTHS; width++) {
            run_width(&tests[i], width, 8);
            run_width(&tests[i], width, 64);
        }
        report(&tests[i]);
        allowed += seen.allowed;
    }
    if (smp_parallel && !smp_few)
        need_overlap(allowed);
}
