/* ISA and PCI devices seen from the guest: CMOS, port 61, port 92, 8237, keyboard controller, serial port,
 * PCI configuration mechanism 1 of the i440FX, PIIX3 and PIIX4, PAM (the data sheets). */
#include "guest.h"

const char program_name[] = "io";

static u32 pci_read(u32 dev, u32 fn, u32 reg)
{
    outl(0xcf8, 0x80000000 | dev << 11 | fn << 8 | (reg & 0xfc));
    return inl(0xcfc);
}

static void pci_write(u32 dev, u32 fn, u32 reg, u32 v)
{
    outl(0xcf8, 0x80000000 | dev << 11 | fn << 8 | (reg & 0xfc));
    outl(0xcfc, v);
}

static void pci_write8(u32 dev, u32 fn, u32 reg, u8 v)
{
    outl(0xcf8, 0x80000000 | dev << 11 | fn << 8 | (reg & 0xfc));
    outb(0xcfc + (reg & 3), v);
}

static void pci(void)
{
    static const struct { const char *name; u32 dev, fn, id, class; } rows[] = {
        { "i440FX", 0, 0, 0x12378086, 0x060000 }, { "PIIX3 ISA bridge", 1, 0, 0x70008086, 0x060100 },
        { "PIIX3 IDE", 1, 1, 0x70108086, 0x010180 }, { "PIIX4 power management", 1, 3, 0x71138086, 0x068000 },
    };
    group("pci");
    outl(0xcf8, 0x80000000);
    check("address register reads back", inl(0xcf8), 0x80000000);
    outl(0xcf8, 0xffffffff);
    check("reserved bits", inl(0xcf8) & 0x80fffffc, 0x80fffffc);
    outl(0xcf8, 0);
    check("disabled: no configuration cycle", inl(0xcfc), 0xffffffff);
    outl(0xcf8, 0x80000000);
    outb(0xcf8, 8); /* a byte is not the address register */
    check("only dwords reach cf8", inl(0xcf8), 0x80000000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        group(rows[i].name);
        check("id", pci_read(rows[i].dev, rows[i].fn, 0), rows[i].id);
        check("class", pci_read(rows[i].dev, rows[i].fn, 8) >> 8, rows[i].class);
        pci_write(rows[i].dev, rows[i].fn, 0, 0x12345678);
        check("id is read-only", pci_read(rows[i].dev, rows[i].fn, 0), rows[i].id);
        outl(0xcf8, 0x80000000 | rows[i].dev << 11 | rows[i].fn << 8);
        check("word at +2", inw(0xcfe), rows[i].id >> 16);
        check("byte at +1", inb(0xcfd), rows[i].id >> 8 & 0xff);
    }
    group("pci");
    check("PIIX3 is multifunction", pci_read(1, 0, 0xc) >> 16 & 0x80, 0x80);
    check("no device 31", pci_read(31, 0, 0), 0xffffffff);
    check("no function 7", pci_read(1, 7, 0), 0xffffffff);
    check("no bus 5", (outl(0xcf8, 0x80050000), inl(0xcfc)), 0xffffffff);
    u32 irq = pci_read(1, 1, 0x3c);
    pci_write(1, 0, 0x60, 0x80808080);
    check("PIRQ routes: off", pci_read(1, 0, 0x60), 0x80808080);
    pci_write8(1, 0, 0x61, 0x0b);
    check("PIRQ B", pci_read(1, 0, 0x60), 0x80800b80);
    pci_write(1, 0, 0x60, 0x0b0a0b0a);
    check("interrupt line of IDE is kept", pci_read(1, 1, 0x3c), irq);
    u32 bar = pci_read(1, 1, 0x20);
    pci_write(1, 1, 0x20, 0xffffffff);
    check("bus master base is 16 ports", pci_read(1, 1, 0x20) & 0xffff, 0xfff1);
    pci_write(1, 1, 0x20, bar);
}

static void pam(void)
{
    group("pam");
    u8 keep = (outl(0xcf8, 0x80000058), inb(0xcfd));
    pci_write8(0, 0, 0x59, 0x30);
    u32 was = peek32(0xf8000);
    poke32(0xf8000, 0x12345678);
    check("f0000 is RAM", peek32(0xf8000), 0x12345678);
    pci_write8(0, 0, 0x59, 0x10);
    poke32(0xf8000, 0x55555555);
    check("write-protected", peek32(0xf8000), 0x12345678);
    pci_write8(0, 0, 0x59, 0x00);
    u32 rom = peek32(0xf8000);
    check("ROM again", rom == peek32(0xffff8000), 1);
    poke32(0xf8000, 0x66666666);
    check("ROM is not written", peek32(0xf8000), rom);
    pci_write8(0, 0, 0x59, 0x20);
    poke32(0xf8000, 0x77777777);
    check("write-only: reads the ROM", peek32(0xf8000), rom);
    pci_write8(0, 0, 0x59, 0x30);
    check("and wrote the RAM", peek32(0xf8000), 0x77777777);
    /* Code in a segment that is remapped under it. */
    poke32(0xf8000, 0xc307b0);
    u32 got = 0;
    __asm__ volatile("xor %%eax, %%eax; call *%1" : "=&a"(got) : "r"(0xf8000) : "memory");
    check("code in shadow RAM", got, 7);
    poke32(0xf8000, 0xc309b0);
    __asm__ volatile("xor %%eax, %%eax; call *%1" : "=&a"(got) : "r"(0xf8000) : "memory");
    check("rewritten", got, 9);
    poke32(0xf8000, was);
    pci_write8(0, 0, 0x59, keep);
    keep = (outl(0xcf8, 0x8000005c), inb(0xcfc + 1));
    pci_write8(0, 0, 0x5d, 0x33);
    poke32(0xd8000, 0xabcdef);
    check("d8000 as RAM", peek32(0xd8000), 0xabcdef);
    pci_write8(0, 0, 0x5d, 0x30);
    check("d8000 off, dc000 on", (poke32(0xdc000, 5), peek32(0xdc000)), 5);
    pci_write8(0, 0, 0x5d, keep);
}

static void isa(void)
{
    group("cmos");
    for (u32 i = 0x40; i < 0x48; i++) {
        outb(0x70, i);
        u8 keep = inb(0x71);
        outb(0x70, i);
        outb(0x71, 0x5a + i);
        outb(0x70, i);
        check("byte", inb(0x71), (0x5a + i) & 0xff);
        outb(0x70, i);
        outb(0x71, keep);
    }
    outb(0x70, 0x0d);
    outb(0x71, 0);
    outb(0x70, 0x0d);
    check("register d is read-only", inb(0x71), 0x80);
    outb(0x70, 0x15);
    u32 base = inb(0x71);
    outb(0x70, 0x16);
    check("640 KiB of base memory", base | inb(0x71) << 8, 640);

    group("port 61");
    outb(0x61, 0);
    check("gate and data off", inb(0x61) & 3, 0);
    outb(0x61, 3);
    check("gate and data on", inb(0x61) & 3, 3);
    u8 a = inb(0x61), toggles = 0;
    for (u32 i = 0; i < 100000 && toggles < 4; i++) {
        u8 b = inb(0x61);
        toggles += (a ^ b) >> 4 & 1;
        a = b;
    }
    check("refresh bit toggles", toggles, 4);
    outb(0x61, 0);

    group("8237");
    outb(0x0d, 0);
    outb(0x0c, 0);
    outb(0x04, 0x34);
    outb(0x04, 0x12);
    outb(0x0c, 0);
    check("channel 2 address", inb(0x04) | inb(0x04) << 8, 0x1234);
    outb(0x0c, 0);
    outb(0x05, 0xff);
    outb(0x05, 0x01);
    outb(0x0c, 0);
    check("channel 2 count", inb(0x05) | inb(0x05) << 8, 0x1ff);
    outb(0x81, 0x0b);
    check("page of channel 2", inb(0x81), 0x0b);
    check("status: nothing ended", inb(0x08) & 0x0f, 0);
    outb(0x0f, 0x0f);
    outb(0xd8, 0);
    outb(0xc4, 0x78);
    outb(0xc4, 0x56);
    outb(0xd8, 0);
    check("channel 5 address", inb(0xc4) | inb(0xc4) << 8, 0x5678);

    group("8259");
    outb(0x21, 0xa5);
    check("mask of the master", inb(0x21), 0xa5);
    outb(0xa1, 0x5a);
    check("mask of the slave", inb(0xa1), 0x5a);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    outb(0x4d0, 0xf8);
    outb(0x4d1, 0x0c);
    check("edge/level registers, fixed bits clear", inb(0x4d0) | inb(0x4d1) << 8, 0x0cf8);
    outb(0x4d1, 0xff);
    check("irq 8 and 13 stay edge", inb(0x4d1) & 0x21, 0);
    outb(0x4d0, 0);
    outb(0x4d1, 0);
}

static u8 kbd_read(void)
{
    for (u32 i = 0; i < 1000000; i++)
        if (inb(0x64) & 1)
            return inb(0x60);
    return 0xee;
}

static void kbd_command(u8 v)
{
    while (inb(0x64) & 2)
        ;
    outb(0x64, v);
    while (inb(0x64) & 2)
        ;
}

static void keyboard(void)
{
    group("8042");
    while (inb(0x64) & 1)
        inb(0x60);
    kbd_command(0xaa);
    check("self test", kbd_read(), 0x55);
    kbd_command(0xab);
    check("interface test", kbd_read(), 0);
    kbd_command(0x20);
    u8 mode = kbd_read();
    kbd_command(0x60);
    outb(0x60, mode ^ 0x40);
    kbd_command(0x20);
    check("command byte", kbd_read(), mode ^ 0x40);
    kbd_command(0x60);
    outb(0x60, mode);
    kbd_command(0xae);
    outb(0x60, 0xee);
    check("keyboard echo", kbd_read(), 0xee);
    outb(0x60, 0xf2);
    check("identify: acknowledge", kbd_read(), 0xfa);
    check("identify: first", kbd_read(), 0xab);
    kbd_read();
    kbd_command(0xd4);
    outb(0x60, 0xf2);
    check("mouse identify: acknowledge", kbd_read(), 0xfa);
    check("mouse identify", kbd_read(), 0);
}

void program(const char *line)
{
    (void)line;
    pci();
    pam();
    isa();
    keyboard();
}
