/* Interrupts from outside: 8259 pair, 8254, RTC, local APIC, IO-APIC, HPET, and how the processor takes
 * them: HLT, the shadows of STI and MOV SS, priorities (data sheets of the devices; SDM volume 3, chapters 6
 * and 10). */
#include "guest.h"

const char program_name[] = "timer";

#define APIC 0xfee00000u
#define IOAPIC 0xfec00000u
#define HPET 0xfed00000u

static void pic_init(u8 mask1, u8 mask2)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, 1);
    outb(0xa0, 0x11);
    outb(0xa1, 0x28);
    outb(0xa1, 2);
    outb(0xa1, 1);
    outb(0x21, mask1);
    outb(0xa1, mask2);
}

static void pit(u8 mode, u16 count)
{
    outb(0x43, 0x30 | mode << 1);
    outb(0x40, count & 0xff);
    outb(0x40, count >> 8);
}

static void wait_us(u32 us)
{
    /* Channel 2 counts at 1.193182 MHz with the speaker off; port 61 bit 5 is its output. */
    outb(0x61, (inb(0x61) & 0xfc) | 1);
    outb(0x43, 0xb0);
    u32 ticks = us * 1193 / 1000;
    outb(0x42, ticks & 0xff);
    outb(0x42, ticks >> 8);
    while (!(inb(0x61) & 0x20))
        ;
}

static u32 pit_count(void)
{
    outb(0x43, 0x00);
    u32 low = inb(0x40);
    return low | inb(0x40) << 8;
}

static u8 pic_read(u16 port, u8 what) /* 0a IRR, 0b ISR */
{
    outb(port, what);
    return inb(port);
}

/* The request of a timer reaches the 8259 some host time after the count: wait up to a second for it. */
static bool irr_wait(u8 bit)
{
    for (u32 i = 0; i < 10000 && !(pic_read(0x20, 0x0a) & bit); i++)
        wait_us(100);
    return pic_read(0x20, 0x0a) & bit;
}

static void eoi(void)
{
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

#define WAIT_IRQ "sti; 1: hlt; 99: jmp 1b"

static void pic_and_pit(void)
{
    group("8259 and 8254");
    pic_init(0xff, 0xff);
    check("mask reads back", inb(0x21) | inb(0xa1) << 8, 0xffff);
    pit(0, 200);
    check("irr shows a masked request", irr_wait(1), 1);
    T("masked: no interrupt", P32, "sti; nop; nop; nop; cli");
    outb(0x21, 0xfe);
    T("unmasked: taken behind the shadow of sti", P32, "sti; nop; 99: nop; cli", .vec = INT(0x20));
    check("isr", pic_read(0x20, 0x0b), 1);
    check("irr is cleared", pic_read(0x20, 0x0a) & 1, 0);
    pit(0, 200);
    check("irr beside isr", irr_wait(1), 1);
    T("in service: the same level is held back", P32, "sti; nop; nop; cli");
    eoi();
    check("isr after eoi", pic_read(0x20, 0x0b), 0);
    T("after eoi it comes", P32, "sti; nop; 99: nop; cli", .vec = INT(0x20));
    eoi();
    pit(0, 0xffff); /* 55 ms: long after the processor has halted */
    T("hlt is woken and is behind", P32, WAIT_IRQ, .vec = INT(0x20));
    eoi();
    pit(2, 1000);
    T("rate generator: first", P32, WAIT_IRQ, .vec = INT(0x20), .anyip = true);
    eoi();
    T("rate generator: second", P32, WAIT_IRQ, .vec = INT(0x20), .anyip = true);
    eoi();
    T("in ring 3", P32U, "1: jmp 1b", .fl = IF, .vec = INT(0x20), .anyip = true);
    eoi();
    T("in v86 mode", V86, "1: jmp 1b", .fl = IF, .vec = INT(0x20), .anyip = true, .x = { { FL, VM, VM } });
    eoi();
    T("in real mode", REAL, "1: hlt; jmp 1b", .fl = IF, .vec = INT(0x20), .anyip = true);
    eoi();
    T("a rep instruction is interrupted and stands right", P32,
      "sti; 1: mov ecx, 0x4000; mov edi, 0x40000; rep stosd; jmp 1b", .vec = INT(0x20), .anyip = true);
    check("edi and ecx agree", out->r[7] == 0x40000 + 4 * (0x4000 - out->r[1]) || out->r[1] == 0x4000, 1);
    eoi();
    if (HAS_LM) {
        T("in 64-bit mode", L64, "sti; 1: hlt; jmp 1b", .vec = INT(0x20), .anyip = true);
        eoi();
        T("in compatibility mode", C32U, "1: jmp 1b", .fl = IF, .vec = INT(0x20), .anyip = true);
        eoi();
    }
    group("8254");
    bool down = false;
    for (int i = 0; i < 5 && !down; i++) { /* a slow host may let it wrap */
        pit(0, 0xffff);
        u32 first = pit_count();
        wait_us(500);
        u32 second = pit_count();
        down = first > second && first - second >= 590;
    }
    check("counts down", down, 1);
    outb(0x43, 0xe2);
    check("read-back status: null count, mode", inb(0x40) & 0x3f, 0x30);
    pit(3, 100);
    outb(0x43, 0xe2);
    check("mode 3", inb(0x40) & 0x3f, 0x36);
    pit(0, 0xffff);
    outb(0x21, 0xff);
}

static u8 cmos(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void cmos_set(u8 index, u8 v)
{
    outb(0x70, index);
    outb(0x71, v);
}

static void rtc(void)
{
    group("rtc");
    pic_init(0xfb, 0xfe);
    u8 b = cmos(0x0b);
    cmos(0x0c);
    cmos_set(0x0a, 0x26);
    cmos_set(0x0b, b | 0x40);
    T("periodic interrupt through the slave", P32, WAIT_IRQ, .vec = INT(0x28), .anyip = true);
    check("both in service", pic_read(0x20, 0x0b) << 8 | pic_read(0xa0, 0x0b), 0x0401);
    check("register c", cmos(0x0c) & 0xc0, 0xc0);
    u32 tries = 0;
    while (tries < 1000 && cmos(0x0c)) /* the next period may have come */
        tries++;
    check("register c is cleared by the read", tries < 1000, 1);
    eoi();
    T("and again", P32, WAIT_IRQ, .vec = INT(0x28), .anyip = true);
    cmos_set(0x0b, b);
    cmos(0x0c);
    eoi();
    check("battery is good", cmos(0x0d) & 0x80, 0x80);
    u32 seconds = cmos(0);
    check("seconds in BCD", (seconds & 15) < 10 && seconds >> 4 < 6, 1);
    u32 month = cmos(8);
    check("month", month >= 1 && month <= 0x12, 1);
    cmos_set(0x50, 0xa5);
    check("memory holds", cmos(0x50), 0xa5);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

static void apic_write(u32 reg, u32 v)
{
    poke32(APIC + reg, v);
}

static void self_ipi(u8 vector)
{
    apic_write(0x310, 0);
    apic_write(0x300, 0x40000 | vector);
}

static void apic(void)
{
    if (!cpu_has(1, 3, 9))
        return skip("local APIC", "not in CPUID");
    group("local apic");
    apic_write(0xf0, 0x1ff);
    apic_write(0x80, 0);
    check("version", peek32(APIC + 0x30) & 0xf0, 0x10);
    self_ipi(0x61);
    check("irr", peek32(APIC + 0x200 + 0x30) >> 1 & 1, 1);
    T("self ipi waits for if", P32, "nop; nop");
    T("popf takes it at once", P32, "push 0x202; popfd; 99: nop; nop; cli", .vec = INT(0x61));
    check("isr", peek32(APIC + 0x100 + 0x30) >> 1 & 1, 1);
    check("processor priority", peek32(APIC + 0xa0) & 0xf0, 0x60);
    self_ipi(0x62);
    T("same class is held back", P32, "sti; nop; nop; cli");
    self_ipi(0x71);
    T("higher class is not", P32, "sti; nop; 99: nop; cli", .vec = INT(0x71));
    apic_write(0xb0, 0);
    T("after eoi still class 6 in service", P32, "sti; nop; nop; cli");
    apic_write(0xb0, 0);
    T("then 62", P32, "sti; nop; 99: nop; cli", .vec = INT(0x62));
    apic_write(0xb0, 0);
    self_ipi(0x61);
    T("sti; cli leaves no window", P32, "sti; cli; nop; nop");
    T("sti with mov ss behind it: one more", P32, "sti; nop; 99: mov ss, ecx; nop; cli", .cx = SEL_DS,
      .vec = INT(0x61));
    apic_write(0xb0, 0);
    self_ipi(0x61);
    T("iret takes it at once", P32, "push 0x202; push 8; push 0x10020; iretd\n" AT(0x20) "99: nop; cli",
      .vec = INT(0x61));
    apic_write(0xb0, 0);
    T("if already set: mov ss holds it for one instruction", P32,
      "sti; nop; mov dword ptr [esi+0x300], 0x40061; mov ss, ecx; nop; nop; nop; cli",
      .si = APIC, .cx = SEL_DS, .vec = INT(0x61), .anyip = true);
    apic_write(0xb0, 0);
    T("drain", P32, "sti; nop; nop; cli", .anyend = true);
    apic_write(0xb0, 0);
    apic_write(0x80, 0x70);
    self_ipi(0x61);
    T("task priority holds it", P32, "sti; nop; nop; cli");
    T("lowered inside: comes", P32, "mov esi, 0xfee00000; sti; mov dword ptr [esi+0x80], 0; nop; nop; nop; "
      "cli", .vec = INT(0x61), .anyip = true);
    apic_write(0xb0, 0);
    if (HAS_LM) {
        self_ipi(0x61);
        T("cr8 holds it", L64, "mov eax, 7; mov cr8, rax; sti; nop; nop; cli");
        check("cr8 is the task priority", peek32(APIC + 0x80), 0x70);
        T("cr8 lowered", L64, "sti; nop; xor eax, eax; mov cr8, rax; nop; nop; cli", .vec = INT(0x61),
          .anyip = true);
        apic_write(0xb0, 0);
    }
    apic_write(0x3e0, 0xb); /* divide by 1 */
    apic_write(0x320, 0x63);
    apic_write(0x380, 100000);
    check("timer counts", peek32(APIC + 0x390) <= 100000, 1);
    T("timer, one shot", P32, WAIT_IRQ, .vec = INT(0x63), .anyip = true);
    check("stopped at 0", peek32(APIC + 0x390), 0);
    apic_write(0xb0, 0);
    apic_write(0x320, 0x20063);
    apic_write(0x380, 50000);
    T("timer, periodic", P32, WAIT_IRQ, .vec = INT(0x63), .anyip = true);
    apic_write(0xb0, 0);
    T("timer, periodic, again", P32, WAIT_IRQ, .vec = INT(0x63), .anyip = true);
    apic_write(0x320, 0x30063);
    apic_write(0x380, 0);
    apic_write(0xb0, 0);
    T("nothing is left", P32, "sti; nop; nop; cli", .anyend = true);
    apic_write(0xb0, 0);
    apic_write(0x300, 0x40000 | 0x0f);
    apic_write(0x280, 0);
    check("illegal vector is an error", peek32(APIC + 0x280) & 0x20, 0x20);
}

static void ioapic_write(u32 reg, u32 v)
{
    poke32(IOAPIC, reg);
    poke32(IOAPIC + 0x10, v);
}

static u32 ioapic_read(u32 reg)
{
    poke32(IOAPIC, reg);
    return peek32(IOAPIC + 0x10);
}

static void ioapic(void)
{
    if (!cpu_has(1, 3, 9))
        return;
    group("io-apic");
    check("24 pins", ioapic_read(1) >> 16 & 0xff, 23);
    ioapic_write(0x10 + 2 * 2 + 1, 0);
    ioapic_write(0x10 + 2 * 2, 0x65);
    check("entry reads back", ioapic_read(0x10 + 2 * 2) & 0x1afff, 0x65);
    pit(0, 3000);
    T("timer through pin 2", P32, WAIT_IRQ, .vec = INT(0x65), .anyip = true);
    apic_write(0xb0, 0);
    ioapic_write(0x10 + 2 * 2, 0x10065);
    pit(0, 100);
    wait_us(500);
    T("masked", P32, "sti; nop; nop; cli");
    ioapic_write(0x10 + 8 * 2 + 1, 0);
    ioapic_write(0x10 + 8 * 2, 0x66);
    u8 b = cmos(0x0b);
    cmos(0x0c);
    cmos_set(0x0b, b | 0x40);
    T("rtc through pin 8", P32, WAIT_IRQ, .vec = INT(0x66), .anyip = true);
    cmos_set(0x0b, b);
    cmos(0x0c);
    ioapic_write(0x10 + 8 * 2, 0x10000);
    apic_write(0xb0, 0);
    T("drain", P32, "sti; nop; nop; cli", .anyend = true);
    apic_write(0xb0, 0);
}

static void hpet(void)
{
    group("hpet");
    u32 capabilities = peek32(HPET);
    if (capabilities >> 16 != 0x8086)
        return skip("hpet", "none there");
    u32 period = peek32(HPET + 4);
    check("period is at most 100 ns", period && period <= 0x5f5e100, 1);
    check("main counter stands", peek32(HPET + 0xf0), peek32(HPET + 0xf0));
    poke32(HPET + 0xf0, 0);
    poke32(HPET + 0xf4, 0);
    poke32(HPET + 0x10, 1);
    wait_us(1000);
    u32 count = peek32(HPET + 0xf0);
    u64 expected = 1000000000000ULL;
    u32 low = 0;
    for (u64 t = 0; t < expected; t += (u64)period * 1000)
        low += 1000; /* ticks in a millisecond, without a division */
    check("a millisecond lasts no less", count >= low - low / 50 - 1000, 1);
    u32 pins = peek32(HPET + 0x104 + 0x20 * 0), pin = 0;
    while (pin < 23 && !(pins >> pin & 1))
        pin++;
    if (pins >> pin & 1) {
        poke32(HPET + 0x10, 0);
        poke32(HPET + 0xf0, 0);
        poke32(HPET + 0xf4, 0);
        poke32(HPET + 0x108, 200000);
        poke32(HPET + 0x10c, 0);
        ioapic_write(0x10 + pin * 2 + 1, 0);
        ioapic_write(0x10 + pin * 2, 0x67);
        poke32(HPET + 0x100, pin << 9 | 4);
        poke32(HPET + 0x10, 1);
        T("comparator 0 through the io-apic", P32, WAIT_IRQ, .vec = INT(0x67), .anyip = true);
        apic_write(0xb0, 0);
        poke32(HPET + 0x100, 0);
        ioapic_write(0x10 + pin * 2, 0x10000);
    }
    poke32(HPET + 0x10, 0);
    u32 first = peek32(HPET + 0xf0);
    wait_us(200);
    check("stopped", peek32(HPET + 0xf0), first);
}

void program(const char *line)
{
    (void)line;
    pic_and_pit();
    rtc();
    apic();
    ioapic();
    hpet();
}
