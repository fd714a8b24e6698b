/* A loop that is hot, and at each of its instructions in turn something that it does not expect: an interrupt whose
 * handler sets a breakpoint or TF, changes the tables, CR0.WP, SMEP, SMAP or the loop itself; an NMI; NMIs and SMIs
 * anywhere. A model of the loop says what registers and flags are at each event and at the end (SDM volume 3, sections
 * 4.6, 4.8, 4.10.4, 6.7.1, 6.8.1, 11.6 and chapters 17 and 32). */
#include "guest.h"

const char program_name[] = "hotpath";

#define APIC 0xfee00000u
#define IOAPIC 0xfec00000u
#define MESSAGE 0x50
#define WIN 0x08000000u     /* two pages: the loops, and what they use */
#define CODE_FRAME 0x01000000u
#define OTHER_CODE 0x01001000u
#define DATA_FRAME 0x01002000u
#define OTHER_DATA 0x01003000u
#define DATA_PAGE (WIN + 0x1000)
enum { P = 1, W = 2, U = 4, FETCH = 0x10, ACC = 0x20, DIRTY = 0x40, WP = 0x10000, SMEP = 1 << 20, SMAP = 1 << 21 };

/* ---- the loops ---- */

/* Number w has STI in front of instruction w, so that an interrupt comes behind it; the last one has none. */
enum { READ, ADD, WRITE, ADC, PUSH, CALL, POP, TEST, JZ, INC, DEC, JNZ, XOR, RET, STEPS, END_OF_PATH = STEPS };
#define LOOPS (STEPS + 1)
#define WARM 9000u

/* Two words a place: where the instruction or the STI in front of it stands, and where the instruction does. */
extern const u32 places[LOOPS][STEPS + 1][2];
extern const u8 blob[], blob_end[];
extern u32 run_entry, run_regs;
volatile u32 without_iret; /* the handler that ends next leaves NMIs blocked */

__asm__(".pushsection .rodata\n.balign 4\nplaces:\n.popsection\n"
        ".pushsection .data\nrun_entry: .long 0\nrun_regs: .long 0\n.popsection\n"
        ".macro place n\n .pushsection .rodata\n .long 64f - blob, 65f - blob\n .popsection\n"
        "64:\n .if \\n == where\n sti\n .endif\n65:\n.endm\n"
        ".macro loop w\n .set where, \\w\n .balign 128\n"
        "70: place 0; movl (%esi), %eax\n place 1; addl %ecx, %eax\n place 2; movl %eax, 4(%esi)\n"
        " place 3; adcl $0, %edx\n place 4; pushl %eax\n place 5; call 72f\n place 6; popl %ebx\n"
        " place 7; testb $1, %cl\n place 8; jz 71f\n place 9; incl %edi\n 71: place 10; decl %ecx\n"
        " place 11; jnz 70b\n jmp 73f\n 72: place 12; xorl %ecx, %ebp\n place 13; ret\n"
        " 73: .pushsection .rodata\n .long 73b + 1 - blob, 73b + 1 - blob\n .popsection\n cli\n ret\n.endm\n"
        ".pushsection .text\n.balign 4096\nblob:\n"
        ".irp w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14\n loop \\w\n.endr\nblob_end:\n"
        "run_loop: pushal\n movl 36(%esp), %eax\n movl 40(%esp), %edx\n movl %eax, run_regs\n movl %edx, run_entry\n"
        " movl 0(%eax), %edi\n movl 4(%eax), %esi\n movl 8(%eax), %ebp\n movl 16(%eax), %ebx\n movl 20(%eax), %edx\n"
        " movl 24(%eax), %ecx\n movl 28(%eax), %eax\n call *run_entry\n pushl %eax\n movl run_regs, %eax\n"
        " movl %edi, 0(%eax)\n movl %esi, 4(%eax)\n movl %ebp, 8(%eax)\n movl %ebx, 16(%eax)\n movl %edx, 20(%eax)\n"
        " movl %ecx, 24(%eax)\n popl 28(%eax)\n popal\n ret\n"
        ".irp v, 1, 2, 0x50\n stub_\\v: pushl $0; pushl $\\v; jmp stub\n.endr\n stub_14: pushl $14\n"
        "stub: pushal\n cld\n pushl %esp\n call on_event\n addl $4, %esp\n cmpl $0, without_iret\n popal\n"
        " leal 8(%esp), %esp\n jne 1f\n iretl\n"
        "1: movl $0, without_iret\n pushl 8(%esp)\n popfl\n ret $8\n"
        ".popsection\n");

struct regs { u32 edi, esi, ebp, esp, ebx, edx, ecx, eax; };
struct frame { struct regs r; u32 vector, error, eip, cs, fl; };
void run_loop(struct regs *r, u32 entry);
void on_event(struct frame *f);
extern u8 stub_1[], stub_2[], stub_14[], stub_0x50[];

static u32 place_of(u32 w, u32 n) { return WIN + places[w][n][1]; }

/* ---- the model ---- */

static struct model {
    struct regs r;
    u32 at, fl, defined;      /* the next instruction; flags, and which of them are known */
    u32 value, carry_in;      /* what the word in memory and the ADC's constant are */
    u32 done[STEPS + 1];      /* how often each instruction was executed */
} m;

static u32 parity_zero_sign(u32 v)
{
    u32 p = (v ^ v >> 4) & 15;
    return (0x6996 >> p & 1 ? 0 : PF) | (v ? 0 : ZF) | (v >> 31 ? SF : 0);
}

static u32 sum(u32 a, u32 b, u32 carry)
{
    u64 wide = (u64)a + b + carry;
    u32 v = (u32)wide;
    m.fl = parity_zero_sign(v) | (wide >> 32 ? CF : 0) | ((a ^ b ^ v) & AF) |
           (~(a ^ b) & (a ^ v) & 0x80000000 ? OF : 0);
    m.defined = ARITH;
    return v;
}

static void logical(u32 v)
{
    m.fl = parity_zero_sign(v);
    m.defined = ARITH & ~(u32)AF;
}

static u32 counted(u32 v, u32 by)
{
    u32 carry = m.fl & CF;
    v = by == 1 ? sum(v, 1, 0) : sum(v, 0xffffffff, 0);
    m.fl = (m.fl & ~(u32)(CF | AF)) | carry | (((v - by) ^ v) & 0x10 ? AF : 0);
    return v;
}

static void step(void)
{
    u32 next = m.at + 1;

    m.done[m.at]++;
    switch (m.at) {
    case READ: m.r.eax = m.value; break;
    case ADD: m.r.eax = sum(m.r.eax, m.r.ecx, 0); break;
    case ADC: m.r.edx = sum(m.r.edx, m.carry_in, m.fl & CF); break;
    case CALL: next = XOR; break;
    case POP: m.r.ebx = m.r.eax; break;
    case TEST: logical(m.r.ecx & 1); break;
    case JZ: next = m.fl & ZF ? DEC : INC; break;
    case INC: m.r.edi = counted(m.r.edi, 1); break;
    case DEC: m.r.ecx = counted(m.r.ecx, (u32)-1); break;
    case JNZ: next = m.fl & ZF ? (u32)END_OF_PATH : (u32)READ; break;
    case XOR: m.r.ebp ^= m.r.ecx; logical(m.r.ebp); break;
    case RET: next = POP; break;
    }
    m.at = next;
}

static struct { u32 nowhere, registers, flags, first, first_loop; } wrong;

static void is_wrong(u32 *count, u32 at)
{
    ++*count;
    if (!wrong.first)
        wrong.first = at + 1;
}

/* The model goes on to instruction `at`, ECX being `ecx`. Returns how far it went. */
static u32 follow(u32 at, u32 ecx)
{
    u32 n = 0;

    for (; (m.at != at || m.r.ecx != ecx) && n < 20 * WARM && m.at != END_OF_PATH; n++)
        step();
    if (m.at != at || m.r.ecx != ecx)
        is_wrong(&wrong.nowhere, at);
    return n;
}

static void compare(const struct regs *r, u32 fl)
{
    bool same = r->eax == m.r.eax && r->ebx == m.r.ebx && r->ecx == m.r.ecx && r->edx == m.r.edx && r->edi == m.r.edi &&
                r->ebp == m.r.ebp && r->esi == m.r.esi;
    if (!same)
        is_wrong(&wrong.registers, m.at);
    if ((fl ^ m.fl) & m.defined)
        is_wrong(&wrong.flags, m.at);
}

/* ---- events ---- */

static u32 dir[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static u32 loop_now;                      /* which one runs */
static u32 wait_for, left;                /* the action comes with so many interrupts; traps still to be taken */
static u32 traps, faults, places_wrong;
static const struct action *action;

static void invlpg(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }
static void send(u32 what) { poke32(APIC + 0x300, what); }

/* Number of the instruction at an address, STEPS + 1 if there is none. */
static u32 number_of(u32 eip)
{
    u32 n = 0;
    while (n <= STEPS && WIN + places[loop_now][n][0] != eip && place_of(loop_now, n) != eip)
        n++;
    return n;
}

/* What the interrupt's handler does when its time has come, and what follows from it. */
static const struct action {
    const char *name;
    void (*begin)(struct frame *f);
    u32 trap;                 /* instruction that a breakpoint is on; STEPS: none */
    u32 expected_faults;
    bool behind;              /* the trap comes when it is done */
    u8 user, feature;         /* pages that are the user's, and the bit of CPUID.7.EBX that it needs */
} actions[];

static void watch_code(struct frame *f)
{
    (void)f;
    dr_set(0, place_of(loop_now, action->trap));
    dr_set(7, 0x402);
}

static void watch_store(struct frame *f)
{
    (void)f;
    dr_set(0, DATA_PAGE + 4);
    dr_set(7, 0xd0402);
}

static void watch_load(struct frame *f)
{
    (void)f;
    dr_set(0, DATA_PAGE);
    dr_set(7, 0xf0402);
}

static void set_tf(struct frame *f)
{
    f->fl |= TF;
    left = 40;
}

static void entry(u32 page, u32 value)
{
    table[page] = value;
    invlpg(WIN + 0x1000 * page);
}

static void take_away(struct frame *f) { (void)f; entry(1, 0); }
static void make_read_only(struct frame *f) { (void)f; entry(1, DATA_FRAME | P); }
static void protect(struct frame *f) { (void)f; cr0_set(cr0_get() | WP); }
static void smep_on(struct frame *f) { (void)f; cr4_set(cr4_get() | SMEP); }
static void smap_on(struct frame *f) { (void)f; cr4_set(cr4_get() | SMAP); }

static void smap_on_with_ac(struct frame *f)
{
    smap_on(f);
    f->fl |= AC;
}

static void clear_bits(struct frame *f) { (void)f; entry(1, DATA_FRAME | P | W); }

/* One comes here, in the interrupt's handler, and ends without IRET; another comes meanwhile and waits for the IRET of
 * this handler. */
static volatile u32 nmis_here, nmi_at;

static void nmi_behind_iret(struct frame *f)
{
    nmi_at = f->eip;
    nmis_here = 1;
    send(0x4400);
    for (u32 n = 0; nmis_here && n < 1000000; n++)
        __asm__ volatile("pause");
    nmis_here = 0;
}

static void exchange_data(struct frame *f)
{
    (void)f;
    entry(1, OTHER_DATA | P | W);
    m.value = peek32(OTHER_DATA);
}

static void exchange_data_by_cr3(struct frame *f)
{
    (void)f;
    table[1] = OTHER_DATA | P | W;
    cr3_set((u32)dir);
    m.value = peek32(OTHER_DATA);
}

static void write_data(struct frame *f)
{
    (void)f;
    poke32(DATA_FRAME, m.value = 0x87654321);
}

static void exchange_code(struct frame *f)
{
    (void)f;
    entry(0, OTHER_CODE | P | W);
    m.carry_in = 1;
}

static void write_code(struct frame *f)
{
    (void)f;
    for (u32 w = 0; w < LOOPS; w++)
        poke8(CODE_FRAME + places[w][ADC][1] + 2, 3);
    m.carry_in = 3;
}

#define CODE_AT(n) { "breakpoint at instruction " #n, watch_code, n, 0, false, 0, 0 }
static const struct action actions[] = {
    { "nothing", NULL, STEPS, 0, false, 0, 0 },
    CODE_AT(0), CODE_AT(1), CODE_AT(2), CODE_AT(3), CODE_AT(4), CODE_AT(5), CODE_AT(6), CODE_AT(7), CODE_AT(8),
    CODE_AT(9), CODE_AT(10), CODE_AT(11), CODE_AT(12), CODE_AT(13),
    { "breakpoint on the store", watch_store, WRITE, 0, true, 0, 0 },
    { "breakpoint on the load", watch_load, READ, 0, true, 0, 0 },
    { "single step", set_tf, STEPS, 0, true, 0, 0 },
    { "page taken away", take_away, STEPS, 1, false, 0, 0 },
    { "page made read-only", make_read_only, STEPS, 1, false, 0, 0 },
    { "write protection on", protect, STEPS, 1, false, 0, 0 },
    { "smep", smep_on, STEPS, 1, false, 1, 7 },
    { "smap", smap_on, STEPS, 1, false, 2, 20 },
    { "smap with AC", smap_on_with_ac, STEPS, 0, false, 3, 20 },
    { "nmi", nmi_behind_iret, STEPS, 0, false, 0, 0 },
    { "accessed and dirty bits cleared", clear_bits, STEPS, 0, false, 0, 0 },
    { "data page exchanged", exchange_data, STEPS, 0, false, 0, 0 },
    { "data page exchanged by cr3", exchange_data_by_cr3, STEPS, 0, false, 0, 0 },
    { "data written", write_data, STEPS, 0, false, 0, 0 },
    { "code page exchanged", exchange_code, STEPS, 0, false, 0, 0 },
    { "code written", write_code, STEPS, 0, false, 0, 0 },
};

static u32 done_before;       /* of the instruction with the breakpoint, when that was set */

/* Behind the instruction that follows STI, and behind no other. IF stays off until the next STI. */
static void on_interrupt(struct frame *f, u32 at)
{
    static const u8 behind[STEPS] = { ADD, WRITE, ADC, PUSH, CALL, XOR, TEST, JZ, 0, DEC, JNZ, 0, RET, POP };
    u32 w = loop_now, zero = m.fl & ZF, expected = behind[w];

    if (w == JZ)
        expected = zero ? DEC : INC;
    if (w == JNZ)
        expected = zero ? END_OF_PATH : READ;
    if (!stand_in || (w != JZ && w != JNZ)) /* QEMU 7.2 looks a block later when that instruction is a branch */
        places_wrong += at != expected;
    f->fl &= ~(u32)IF;
    if (--wait_for) {
        send(0x40000 | MESSAGE);
    } else if (action->begin) {
        done_before = action->trap < STEPS ? m.done[action->trap] : 0;
        action->begin(f);
    }
    poke32(APIC + 0xb0, 0);
}

static void on_debug(struct frame *f, u32 at, u32 steps)
{
    traps++;
    if (f->fl & TF) {
        /* One instruction, or the STI in front of it. */
        places_wrong += steps > 1 || (!steps && f->eip != place_of(loop_now, at));
        if (!--left)
            f->fl &= ~(u32)TF;
    } else if (action->behind) {
        places_wrong += at != action->trap + 1;
    } else {
        places_wrong += f->eip != place_of(loop_now, action->trap) || (!(f->fl & RF) && !stand_in);
        f->fl |= RF; /* without it the trap comes again, for ever: QEMU 7.2 does not set it */
    }
    dr_set(6, 0);
}

static void on_fault(struct frame *f, u32 at)
{
    bool absent = action->begin == take_away, code = action->begin == smep_on;
    u32 error = code ? P | FETCH : (absent ? 0 : P) | (at == WRITE ? 2 : 0);

    faults++;
    places_wrong += f->error != error;
    if (code)
        places_wrong += cr2_get() != f->eip;
    else
        places_wrong += (at != READ && at != WRITE) || cr2_get() != DATA_PAGE + (at == WRITE ? 4 : 0) ||
                        (at == READ && !absent && action->begin != smap_on);
    cr4_set(cr4_get() & ~(u32)(SMEP | SMAP));
    entry(1, DATA_FRAME | P | W);
}

static void on_nmi(struct frame *f, u32 at)
{
    if (nmis_here) {
        send(0x4400);
        nmis_here = 0;
        without_iret = 1;
    } else if (at <= STEPS) {
        traps++;
        places_wrong += nmi_at && f->eip != nmi_at;
    }
}

void on_event(struct frame *f)
{
    u32 at = number_of(f->eip), steps = at <= STEPS ? follow(at, f->r.ecx) : 0;

    if (at <= STEPS)
        compare(&f->r, f->fl);
    else if (f->vector != 2) /* which comes between the runs, too */
        is_wrong(&wrong.nowhere, at);
    if (f->vector == MESSAGE)
        on_interrupt(f, at);
    else if (f->vector == 1)
        on_debug(f, at, steps);
    else if (f->vector == 14)
        on_fault(f, at);
    else
        on_nmi(f, at);
}

/* ---- runs ---- */

static bool warm[LOOPS];

static void put_code(void)
{
    memset(warm, 0, sizeof warm);
    memcpy((void *)at(CODE_FRAME), blob, blob_end - blob);
    memcpy((void *)at(OTHER_CODE), blob, blob_end - blob);
    for (u32 w = 0; w < LOOPS; w++)
        poke8(OTHER_CODE + places[w][ADC][1] + 2, 1);
}

static void prepare(void)
{
    if (peek8(CODE_FRAME + places[0][ADC][1] + 2))
        put_code();
    poke32(DATA_FRAME, 0xfffff800);
    poke32(OTHER_DATA, 0x12345678);
    table[0] = CODE_FRAME | P | W;
    table[1] = DATA_FRAME | P | W;
    cr3_set((u32)dir);
    cr0_set(cr0_get() | WP);
}

/* What SMIs found, in the order of their coming: a line each, from SMI_LINES on; where the next goes and the last may. */
#define SMBASE 0xa0000u
#define SMI_NEXT PLAY
#define SMI_END (PLAY + 4)
#define SMI_LINES (PLAY + 0x20)
struct smi_line { u32 eip, fl, eax, ebx, ecx, edx, esi, edi, ebp; };

static void follow_smis(void)
{
    volatile const struct smi_line *s = at(SMI_LINES), *end = at(peek32(SMI_NEXT));

    for (; s < end; s++) {
        struct regs r = { .eax = s->eax, .ebx = s->ebx, .ecx = s->ecx, .edx = s->edx, .esi = s->esi, .edi = s->edi,
                          .ebp = s->ebp };
        u32 n = number_of(s->eip);
        if (n > STEPS)
            continue;
        follow(n, r.ecx);
        compare(&r, s->fl);
        traps++;
    }
    poke32(SMI_NEXT, SMI_LINES);
}

/* A loop from its beginning to its end, as the model says. */
static void run(u32 w, u32 rounds)
{
    struct regs r = { .esi = DATA_PAGE, .ebp = 0x13572468, .ecx = rounds };

    loop_now = w;
    m = (struct model){ .r = r, .value = peek32(DATA_FRAME), .carry_in = peek8(CODE_FRAME + places[w][ADC][1] + 2) };
    run_loop(&r, WIN + places[w][0][0]);
    follow_smis();
    while (m.at != END_OF_PATH)
        step();
    compare(&r, m.fl);
    wrong.nowhere += peek32((table[1] & ~0xfffu) + 4) != m.r.ebx;
}

static void tell(const char *name)
{
    bool good = check(name, wrong.nowhere, 0);
    good &= check("registers", wrong.registers, 0);
    good &= check("flags", wrong.flags, 0);
    if (!good)
        print("    loop %d, the first at instruction %d\n", wrong.first_loop, wrong.first - 1);
    memset(&wrong, 0, sizeof wrong);
}

/* Action a in loop w, when that is hot. */
static void act(const struct action *a, u32 w)
{
    prepare();
    if (!warm[w])
        run(w, WARM);
    warm[w] = true;
    wrong.first_loop = wrong.first ? wrong.first_loop : w;
    action = a;
    if (a->user & 1)
        entry(0, CODE_FRAME | P | W | U);
    if (a->user & 2)
        entry(1, DATA_FRAME | P | W | U);
    if (a->begin == protect) {
        cr0_set(cr0_get() & ~WP);
        entry(1, DATA_FRAME | P);
    }
    wait_for = 20;
    traps = faults = places_wrong = nmi_at = 0;
    send(0x40000 | MESSAGE);
    run(w, 200);
    dr_set(7, 0x400);
    check("actions", wait_for, 0);
    check("places", places_wrong, 0);
    check("faults", faults, a->expected_faults);
    cr4_set(cr4_get() & ~(u32)(SMEP | SMAP));
    u32 expected = a->begin == set_tf ? 40 : a->begin == nmi_behind_iret ? 1 : a->trap < STEPS ? m.done[a->trap] - done_before : 0;
    check("traps", traps, expected);
    if (a->begin == clear_bits)
        check("accessed and dirty", table[1] & (ACC | DIRTY), ACC | DIRTY);
}

/* A breakpoint that is set before the loop runs and goes when it ends. */
static void before(void)
{
    static const struct action hit = { "breakpoint", NULL, 0, 0, false, 0, 0 };
    struct action a = hit;

    group("breakpoint set between runs");
    action = &a;
    prepare();
    run(STEPS, WARM);
    for (u32 n = 0; n < STEPS; n++) {
        run(STEPS, 50);
        traps = places_wrong = 0;
        a.trap = n;
        dr_set(0, place_of(STEPS, n));
        dr_set(7, 0x402);
        run(STEPS, 50);
        dr_set(7, 0x400);
        check(LABEL(n), traps, m.done[n]);
        check("place", places_wrong, 0);
    }
    tell("events");
}

/* The 8254 at input 2 of the I/O APIC, edges, makes such messages every 50 us while the loop is hot. */
static void messages(const char *name, u32 delivery)
{
    u32 rounds = 0;

    group(name);
    prepare();
    traps = nmi_at = 0;
    poke32(IOAPIC, 0x10 + 2 * 2 + 1);
    poke32(IOAPIC + 0x10, peek32(APIC + 0x20) & 0xff000000);
    poke32(IOAPIC, 0x10 + 2 * 2);
    poke32(IOAPIC + 0x10, delivery);
    outb(0x43, 0x34);
    outb(0x40, 60);
    outb(0x40, 0);
    for (; traps < 200 && rounds < 20000; rounds++)
        run(rounds % LOOPS, WARM / 9);
    poke32(IOAPIC + 0x10, 0x10000);
    check("came", traps >= 200, 1);
    tell("events");
}

/* The handler of SMIs writes a line. The save area is the AMD64 one (AMD64 manual volume 2, 10.2.3). */
static void take_smis(void)
{
    const struct code *c = SNIPPET(16, "mov ebx, 0x40000; mov edi, [ebx]; cmp edi, [ebx+4]; jae 1f; add dword ptr [ebx], 36;"
        "mov eax, cs:[0xff78]; mov [edi], eax; mov eax, cs:[0xff70]; mov [edi+4], eax;"
        "mov eax, cs:[0xfff8]; mov [edi+8], eax; mov eax, cs:[0xffe0]; mov [edi+12], eax;"
        "mov eax, cs:[0xfff0]; mov [edi+16], eax; mov eax, cs:[0xffe8]; mov [edi+20], eax;"
        "mov eax, cs:[0xffc8]; mov [edi+24], eax; mov eax, cs:[0xffc0]; mov [edi+28], eax;"
        "mov eax, cs:[0xffd0]; mov [edi+32], eax; 1: rsm");

    outl(0xcf8, 0x80000070);
    outb(0xcfe, 0x4a); /* the host bridge opens SMRAM, and closes it */
    memcpy((void *)at(SMBASE + 0x8000), c->start, c->end - c->start);
    outb(0xcfe, 0x0a);
    poke32(SMI_END, SMI_LINES + 1000 * sizeof(struct smi_line));
}

static void gates(bool on)
{
    static const struct { u8 vector; u8 *stub; } own[] = { { 1, stub_1 }, { 2, stub_2 }, { 14, stub_14 },
                                                           { MESSAGE, stub_0x50 } };
    for (u32 i = 0; i < sizeof own / sizeof own[0]; i++)
        idt32_gate(own[i].vector, SEL_CS32, on ? (u32)own[i].stub : (u32)stubs32 + 16 * own[i].vector, 0x8e);
}

void program(const char *line)
{
    (void)line;
    for (u32 i = 0; i < 16; i++)
        dir[i] = i << 22 | 0x83;
    dir[APIC >> 22] = (APIC & 0xffc00000) | 0x93;
    dir[IOAPIC >> 22] = (IOAPIC & 0xffc00000) | 0x93;
    dir[WIN >> 22] = (u32)table | P | W | U;
    cr4_set(cr4_get() | 0x10);
    cr3_set((u32)dir);
    cr0_set(cr0_get() | 0x80000000 | WP);
    poke32(APIC + 0xf0, 0x1ff);
    poke32(APIC + 0x80, 0);
    outb(0x21, 0xff);
    put_code();
    poke32(SMI_NEXT, SMI_LINES);
    gates(true);
    before();
    for (u32 i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        group(actions[i].name);
        if (actions[i].feature && !cpu_has(7, 1, actions[i].feature)) {
            skip(actions[i].name, "not in CPUID");
            continue;
        }
        for (u32 w = 0; w < STEPS; w++)
            act(&actions[i], w);
        tell("events");
    }
    messages("nmi at any time", 0x400);
    take_smis();
    messages("smi", 0x200);
    gates(false);
    cr0_set(cr0_get() & 0x7ffeffff);
}
