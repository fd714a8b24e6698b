/* Locked instructions of several processors at once: no update is lost, at any alignment, across cache
 * lines and pages, through different mappings (SDM volume 3, 9.1.2.2); accesses within a cache line of up
 * to 8 bytes and CMPXCHG8B/16B are never seen half done (9.1.1); a locked access that faults on one of its
 * pages changes nothing. */
#include "smp.h"

const char program_name[] = "smp_atomic";

/* Processor n reaches FRAME and OTHER, one after the other, at PLACE(n) only. */
#define FRAME 0x01100000u
#define OTHER 0x01105000u
#define PLACE(n) (WINDOW + (n) * 0x2000u)
#define HOLE (WINDOW + 0x40000u)

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static struct smp_barrier gate;
static struct work {
    u8 *code;
    bool long_mode;
    u32 where, argument, rounds, result;
} work[SMP_MAX];

/* Loops: rdi the place, rsi an argument, edx the number of rounds, kept in ecx; in the text ebp counts
 * errors, which are returned, eax and edx are free. */
#define LOOP64(name, text) \
    CODE64(name, "push rbp; xor ebp, ebp; mov ecx, edx\n1: " text \
           "\ndec ecx; jnz 1b; mov eax, ebp; pop rbp; ret")
#define LOOP32(name, text) extern u8 name[]; \
    __asm__(".pushsection .text\n.intel_syntax noprefix\n" #name ":\n" \
    "push ebp; push ebx; push esi; push edi; mov edi, [esp+20]; mov esi, [esp+24]; mov ecx, [esp+28]\n" \
    "xor ebp, ebp\n1: " text "\ndec ecx; jnz 1b; mov eax, ebp; pop edi; pop esi; pop ebx; pop ebp; ret\n" \
    ".att_syntax prefix\n.popsection")

/* An operation in 32-bit code with 1, 2, 4 bytes and in 64-bit code with 4 and 8. T(s, a, d, p): the word
 * for the size, rax and rdx of the size, rdi as an address. */
enum { CODES = 5 };
static const u8 code_bytes[CODES] = { 1, 2, 4, 4, 8 };
#define OP(id, T) \
    LOOP32(id##_1, T("byte", "al", "dl", "edi")); LOOP32(id##_2, T("word", "ax", "dx", "edi")); \
    LOOP32(id##_4, T("dword", "eax", "edx", "edi")); LOOP64(id##_q4, T("dword", "eax", "edx", "rdi")); \
    LOOP64(id##_8, T("qword", "rax", "rdx", "rdi")); \
    static u8 *const id[CODES] = { id##_1, id##_2, id##_4, id##_q4, id##_8 }
#define OP_NO_BYTE(id, T) \
    LOOP32(id##_2, T("word", "ax", "dx", "edi")); LOOP32(id##_4, T("dword", "eax", "edx", "edi")); \
    LOOP64(id##_q4, T("dword", "eax", "edx", "rdi")); LOOP64(id##_8, T("qword", "rax", "rdx", "rdi")); \
    static u8 *const id[CODES] = { NULL, id##_2, id##_4, id##_q4, id##_8 }

#define ADDR(s, p) s " ptr [" p "]"
/* These add one. */
#define T_INC(s, a, d, p) "lock inc " ADDR(s, p)
#define T_ADD(s, a, d, p) "mov edx, 1; lock add " ADDR(s, p) ", " d
#define T_ADDI(s, a, d, p) "lock add " ADDR(s, p) ", 1"
#define T_XADD(s, a, d, p) "mov eax, 1; lock xadd " ADDR(s, p) ", " a
#define T_SUBI(s, a, d, p) "lock sub " ADDR(s, p) ", -1"
#define T_DEC(s, a, d, p) "lock add " ADDR(s, p) ", 2; lock dec " ADDR(s, p)
#define T_ADC(s, a, d, p) "stc; lock adc " ADDR(s, p) ", 0"
#define T_SBB(s, a, d, p) "stc; lock sbb " ADDR(s, p) ", -2"
#define T_CMPXCHG(s, a, d, p) "mov " a ", " ADDR(s, p) "\n2: mov edx, 1; add " d ", " a "\n" \
    "lock cmpxchg " ADDR(s, p) ", " d "; jnz 2b"
/* A lock by XCHG; what it protects is not atomic. Four million turns of waiting: the
 * release was lost, an error. */
#define T_XCHG(s, a, d, p) "mov edx, 0x400000\n" \
    "2: mov eax, 1; xchg " ADDR(s, p) ", " a "; test " a ", " a "; jz 3f; pause; dec edx; jnz 2b; inc ebp\n" \
    "3: mov eax, [" p "+128]; inc eax; mov [" p "+128], eax; mov " ADDR(s, p) ", 0"
/* Bit rsi belongs to this processor alone: it must read as last written. */
#define MASK(a) "xchg ecx, esi; xor eax, eax; inc eax; shl " a ", cl; xchg ecx, esi\n"
#define SET(s, a, p) "test " ADDR(s, p) ", " a "; jnz 2f; inc ebp; 2:\n"
#define CLEAR(s, a, p) "test " ADDR(s, p) ", " a "; jz 2f; inc ebp; 2:\n"
#define T_OR(s, a, d, p) MASK(a) "lock or " ADDR(s, p) ", " a "\n" SET(s, a, p) \
    "not " a "; lock and " ADDR(s, p) ", " a "; not " a "\n" CLEAR(s, a, p)
#define T_XOR(s, a, d, p) MASK(a) "lock xor " ADDR(s, p) ", " a "\n" SET(s, a, p) \
    "lock xor " ADDR(s, p) ", " a "\n" CLEAR(s, a, p)
#define T_BTS(s, a, d, p) "mov eax, esi; lock bts " ADDR(s, p) ", " a "; adc ebp, 0\n" \
    "lock btr " ADDR(s, p) ", " a "; cmc; adc ebp, 0"
#define T_BTC(s, a, d, p) "mov eax, esi; lock btc " ADDR(s, p) ", " a "; adc ebp, 0\n" \
    "lock btc " ADDR(s, p) ", " a "; cmc; adc ebp, 0"
/* All of it changes, an odd number of times for each processor. */
#define T_NOT(s, a, d, p) "lock not " ADDR(s, p)
#define T_NEG(s, a, d, p) "lock neg " ADDR(s, p)

OP(inc, T_INC); OP(add, T_ADD); OP(addi, T_ADDI); OP(xadd, T_XADD); OP(subi, T_SUBI); OP(dec, T_DEC);
OP(adc, T_ADC); OP(sbb, T_SBB); OP(cmpxchg, T_CMPXCHG); OP(xchg, T_XCHG); OP(or, T_OR); OP(xor, T_XOR);
OP_NO_BYTE(bts, T_BTS); OP_NO_BYTE(btc, T_BTC); OP(not, T_NOT); OP(neg, T_NEG);

/* What is at the place after `updates`, of `bits` bits, 0 at first; or 1 for neg. */
typedef u64 final(u32 updates);
static u64 count(u32 updates) { return updates; }
static u64 zero(u32 updates) { (void)updates; return 0; }
static u64 flipped(u32 updates) { return updates & 1 ? ~0ull : 0; }
static u64 negated(u32 updates) { return updates & 1 ? ~0ull : 1; }

static const struct op {
    const char *name;
    u8 *const *code;
    final *end;
} ops[] = {
    { "inc", inc, count }, { "add", add, count }, { "add immediate", addi, count }, { "xadd", xadd, count },
    { "sub immediate", subi, count }, { "add, dec", dec, count }, { "adc", adc, count },
    { "sbb", sbb, count },
    { "cmpxchg", cmpxchg, count }, { "xchg", xchg, zero }, { "or, and", or, zero }, { "xor", xor, zero },
    { "bts, btr", bts, zero }, { "btc", btc, zero }, { "not", not, flipped }, { "neg", neg, negated },
};

/* ---- runs ---- */

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

static void run_work(void *arg)
{
    struct work *w = arg;

    smp_meet(&gate);
    if (w->long_mode) {
        w->result = smp_call64(w->code, w->where, w->argument, w->rounds, 0);
    } else {
        paging_on();
        w->result = ((u32 (*)(u32, u32, u32))w->code)(w->where, w->argument, w->rounds);
        paging_off();
    }
}

/* The byte of the place at an offset from FRAME, as no processor maps it. */
static volatile u8 *byte_at(u32 offset)
{
    return at((offset < 0x1000 ? FRAME : OTHER - 0x1000) + offset);
}

static u64 value_at(u32 offset, u32 bytes)
{
    u64 v = 0;
    for (u32 i = bytes; i--;)
        v = v << 8 | *byte_at(offset + i);
    return v;
}

/* Everybody does rounds of it at the offset. */
static void together(const struct op *op, u32 code, u32 offset, u32 rounds)
{
    u32 bytes = code_bytes[code], errors = 0;
    u64 mask = bytes == 8 ? ~0ull : (1ull << 8 * bytes) - 1;

    for (u32 i = 0; i < 16; i++)
        *byte_at(offset - 4 + i) = *byte_at(offset + 128 + i) = i < 4 || i >= 4 + bytes ? 0x5a : 0;
    if (op->end == negated)
        *byte_at(offset) = 1;
    for (u32 i = 0; i < 4; i++)
        *byte_at(offset + 128 + i) = 0;
    gate.n = smp_count;
    for (u32 n = 0; n < smp_count; n++)
        work[n] = (struct work){ op->code[code], code >= 3, PLACE(n) + offset, n * (8 * bytes / smp_count),
                                 rounds, 0 };
    smp_run_all(smp_count, run_work, work, sizeof work[0]);
    for (u32 n = 0; n < smp_count; n++)
        errors += work[n].result;
    check(LABEL(code, offset), value_at(offset, bytes), op->end(rounds * smp_count) & mask);
    if (!check("own bit, or release of the lock", errors, 0))
        print("    code %x, offset %x\n", code, offset);
    check("neighbours", *byte_at(offset - 1) << 8 | *byte_at(offset + bytes), 0x5a5a);
    if (op->code == xchg)
        check("critical sections", value_at(offset + 128, 4), rounds * smp_count);
}

static u32 scaled(u32 rounds)
{
    return (smp_few ? rounds / 20 : smp_count > 2 ? rounds / 4 : rounds) | 1;
}

static void read_modify_write(void)
{
    for (u32 i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        group(ops[i].name);
        for (u32 code = 0; code < CODES; code++) {
            u32 bytes = code_bytes[code];
            if (!ops[i].code[code])
                continue;
            together(&ops[i], code, 0x40, scaled(50000));
            if (bytes == 1)
                continue;
            together(&ops[i], code, 0x43, scaled(30000));
            together(&ops[i], code, 0x80 - bytes / 2, scaled(3000));
            together(&ops[i], code, 0x1000 - bytes / 2, scaled(500));
        }
    }
}

/* ---- CMPXCHG8B, CMPXCHG16B ---- */

/* The high half is three times the low one. Each adds one to the low one, and counts what it reads that is
 * not so. */
CODE64(inc16, "push rbp; mov r9d, edx; xor ebp, ebp\n"
       "1: xor eax, eax; xor edx, edx; jmp 3f\n"
       "2: lea r8, [rax + rax*2]; cmp r8, rdx; je 3f; inc ebp\n"
       "3: lea rbx, [rax+1]; lea rcx, [rdx+3]; lock cmpxchg16b [rdi]; jnz 2b\n"
       "dec r9d; jnz 1b; mov eax, ebp; pop rbp; ret");
CODE64(inc8, "push rbp; mov r9d, edx; xor ebp, ebp\n"
       "1: xor eax, eax; xor edx, edx; jmp 3f\n"
       "2: lea r8d, [rax + rax*2]; cmp r8d, edx; je 3f; inc ebp\n"
       "3: lea ebx, [rax+1]; lea ecx, [rdx+3]; lock cmpxchg8b [rdi]; jnz 2b\n"
       "dec r9d; jnz 1b; mov eax, ebp; pop rbp; ret");
extern u8 inc8_32[];
__asm__(".pushsection .text\n.intel_syntax noprefix\ninc8_32:\n"
        "push ebp; push ebx; push esi; push edi; mov edi, [esp+20]; push [esp+28]; xor ebp, ebp\n"
        "1: xor eax, eax; xor edx, edx; jmp 3f\n"
        "2: lea esi, [eax + eax*2]; cmp esi, edx; je 3f; inc ebp\n"
        "3: lea ebx, [eax+1]; lea ecx, [edx+3]; lock cmpxchg8b [edi]; jnz 2b\n"
        "dec dword ptr [esp]; jnz 1b; pop eax; mov eax, ebp; pop edi; pop esi; pop ebx; pop ebp; ret\n"
        ".att_syntax prefix\n.popsection");

static void wide(const char *name, u8 *code, bool long_mode, u32 half, u32 offset, u32 rounds)
{
    u32 torn = 0;

    for (u32 i = 0; i < 2 * half; i++)
        *byte_at(offset + i) = 0;
    for (u32 n = 0; n < smp_count; n++)
        work[n] = (struct work){ code, long_mode, PLACE(n) + offset, 0, rounds, 0 };
    smp_run_all(smp_count, run_work, work, sizeof work[0]);
    for (u32 n = 0; n < smp_count; n++)
        torn += work[n].result;
    group(name);
    check(LABEL(offset), value_at(offset, half), rounds * smp_count);
    check("high half", value_at(offset + half, half), 3 * rounds * smp_count);
    check("read torn", torn, 0);
}

static void pairs(void)
{
    static const u16 offsets[] = { 0x40, 0x44, 0x43, 0x7c, 0xffc };
    for (u32 i = 0; i < 5; i++) {
        u32 rounds = scaled(i < 3 ? 20000 : i == 3 ? 3000 : 500);
        wide("cmpxchg8b", inc8_32, false, 4, offsets[i], rounds);
        wide("cmpxchg8b in 64-bit code", inc8, true, 4, offsets[i], rounds);
    }
    wide("cmpxchg16b", inc16, true, 8, 0x40, scaled(50000));
    wide("cmpxchg16b", inc16, true, 8, 0xff0, scaled(50000));
}

/* ---- plain accesses ---- */

/* Processor 0 reads, the others write values with equal bytes. */
CODE64(write8, "1: mov eax, edx; and eax, 0x7f; movabs r8, 0x0101010101010101; imul rax, r8; mov [rdi], rax\n"
       "dec edx; jnz 1b; xor eax, eax; ret");
CODE64(read8, "xor r8d, r8d\n1: mov rax, [rdi]; mov rcx, rax; rol rcx, 8; cmp rax, rcx; je 2f; inc r8d\n"
       "2: dec edx; jnz 1b; mov eax, r8d; ret");
LOOP32(write8_32, "movzx eax, cl; and eax, 0x7f; imul eax, eax, 0x01010101; push eax; push eax\n"
       "fninit; fild qword ptr [esp]; fistp qword ptr [edi]; add esp, 8");
LOOP32(read8_32, "sub esp, 8; fninit; fild qword ptr [edi]; fistp qword ptr [esp]; pop eax; pop edx\n"
       "mov ebx, eax; rol ebx, 8; cmp eax, ebx; jne 2f; cmp eax, edx; je 3f; 2: inc ebp; 3:");
LOOP32(write4_32, "movzx eax, cl; imul eax, eax, 0x01010101; mov [edi], eax");
LOOP32(read4_32, "mov eax, [edi]; mov edx, eax; rol edx, 8; cmp eax, edx; je 2f; inc ebp; 2:");
LOOP32(write2_32, "mov al, cl; mov ah, cl; mov [edi], ax");
LOOP32(read2_32, "mov ax, [edi]; cmp al, ah; je 2f; inc ebp; 2:");
/* A compare-exchange that fails reads as well, and one that succeeds writes as well, as plain accesses. */
CODE64(read16, "push rbp; mov r9d, edx; xor ebp, ebp\n1: mov eax, 1; mov edx, 0; mov ebx, eax; mov ecx, edx\n"
       "lock cmpxchg16b [rdi]; cmp rax, rdx; je 2f; inc ebp\n2: dec r9d; jnz 1b; mov eax, ebp; pop rbp; ret");
CODE64(write16, "mov r9d, edx\n1: mov rax, [rdi]; mov rdx, [rdi+8]\n"
       "2: mov rbx, r9; mov rcx, r9; lock cmpxchg16b [rdi]; jnz 2b; dec r9d; jnz 1b; xor eax, eax; ret");

static const struct plain {
    const char *name;
    u8 *write, *read;
    bool long_mode;
    u16 offsets[4];
} plains[] = {
    { "8 bytes, 64-bit code", write8, read8, true, { 0x40, 0x44, 0x43, 0x78 } },
    { "8 bytes, x87", write8_32, read8_32, false, { 0x40, 0x44, 0x43, 0x78 } },
    { "4 bytes", write4_32, read4_32, false, { 0x40, 0x42, 0x43, 0xffc } },
    { "2 bytes", write2_32, read2_32, false, { 0x40, 0x41, 0x43, 0xffe } },
    { "cmpxchg16b", write16, read16, true, { 0x40, 0x80, 0xff0, 0 } },
};

static void torn(void)
{
    for (u32 i = 0; i < sizeof plains / sizeof plains[0]; i++) {
        const struct plain *p = &plains[i];
        group(p->name);
        for (u32 j = 0; j < 4 && p->offsets[j]; j++) {
            for (u32 k = 0; k < 16; k++)
                *byte_at(p->offsets[j] + k) = 0;
            for (u32 n = 0; n < smp_count; n++)
                work[n] = (struct work){ n ? p->write : p->read, p->long_mode, PLACE(n) + p->offsets[j], 0,
                                         scaled(100000), 0 };
            smp_run_all(smp_count, run_work, work, sizeof work[0]);
            check(LABEL(p->offsets[j]), work[0].result, 0);
        }
    }
}

/* ---- faults ---- */

static volatile u32 stop;
LOOP32(inc_end, "lock inc dword ptr [edi]");

/* Increments the last 4 bytes of FRAME until told. */
static void hammer(void *arg)
{
    struct work *w = arg;

    paging_on();
    while (!stop) {
        ((u32 (*)(u32, u32, u32))(u32)inc_end)(w->where, 0, 100);
        w->result += 100;
    }
    paging_off();
}

struct faults { u32 vector, address, error, registers, count; };

#define FAULT(text) do { \
    u32 caught_ = SMP_TRY("movl %[where], %%ecx; movl $0x11, %%eax; movl $0x22, %%edx\n" text "\n79:" \
                          "movl %%eax, %[eax_]; movl %%edx, %[edx_]\njmp 79f", \
                          [where] "r"(where), [eax_] "m"(after[0]), [edx_] "m"(after[1])); \
    f->vector += caught_ == 14; \
    f->address += me->cr2 == address; \
    f->error += me->error == error; \
    f->registers += after[0] == 0x11 && after[1] == 0x22; \
    f->count++; \
} while (0)

static void locked_faults(struct faults *f, u32 where, u32 address, u32 error)
{
    struct smp_cpu *me = &smp_cpu[smp_me()];
    volatile u32 after[2];

    FAULT("lock addl $5, (%%ecx)");
    FAULT("lock incl (%%ecx)");
    FAULT("lock xaddl %%eax, (%%ecx)");
    FAULT("xchgl %%eax, (%%ecx)");
    FAULT("lock orl %%eax, (%%ecx)");
    FAULT("lock notl (%%ecx)");
    FAULT("lock btsl $3, (%%ecx)");
    FAULT("lock cmpxchgl %%edx, (%%ecx)");
    FAULT("lock cmpxchg8b (%%ecx)");
    FAULT("lock subl $1, (%%ecx)");
}

static void fault_case(const char *name, u32 where, u32 address, u32 error)
{
    struct faults f = { 0 };
    u32 rounds = scaled(200);

    group(name);
    for (u32 i = 0; i < 16; i++)
        *byte_at(0xff0 + i) = *byte_at(0x1000 + i) = 0;
    stop = 0;
    for (u32 n = 1; n < smp_count; n++) {
        work[n] = (struct work){ .where = PLACE(n) + 0xffc };
        smp_run_on(n, hammer, &work[n]);
    }
    paging_on();
    for (u32 i = 0; i < rounds; i++)
        locked_faults(&f, where, address, error);
    stop = 1;
    paging_off();
    u32 sum = 0;
    for (u32 n = 1; n < smp_count; n++) {
        smp_wait(n);
        sum += work[n].result;
    }
    check("#PF", f.vector, f.count);
    check("cr2", f.address, f.count);
    if (!stand_in)
        check("error code", f.error, f.count);
    check("eax, edx unchanged", f.registers, f.count);
    check("the others' sum", value_at(0xffc, 4), sum);
    check("the other page", value_at(0x1000, 4), 0);
}

static void faults(void)
{
    /* Page 0 of the hole is FRAME, page 1 none, page 2 OTHER, page 3 FRAME, page 4 OTHER read-only. */
    fault_case("second page not present", HOLE + 0xffe, HOLE + 0x1000, 2);
    fault_case("first page not present", HOLE + 0x1ffe, HOLE + 0x1ffe, 2);
    fault_case("second page read-only", HOLE + 0x3ffe, HOLE + 0x4000, 3);
}

/* ---- tables ---- */

static void map(u32 address, u32 frame, u32 flags)
{
    table[(address - WINDOW) >> 12] = frame | flags;
    window64[(address - WINDOW) >> 12] = frame | flags;
}

static void build_tables(void)
{
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x83;
    dir[SMP_APIC >> 22] = (SMP_APIC & 0xffc00000) | 0x93;
    dir[WINDOW >> 22] = (u32)table | 3;
    for (u32 n = 0; n < SMP_MAX; n++) {
        map(PLACE(n), FRAME, 3);
        map(PLACE(n) + 0x1000, OTHER, 3);
    }
    map(HOLE, FRAME, 3);
    map(HOLE + 0x2000, OTHER, 3);
    map(HOLE + 0x3000, FRAME, 3);
    map(HOLE + 0x4000, OTHER, 1);
}

void program(const char *line)
{
    smp_start(line);
    build_tables();
    gate.n = smp_count;
    read_modify_write();
    pairs();
    torn();
    faults();
}
