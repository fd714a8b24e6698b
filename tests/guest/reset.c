/* Ways to reset the machine; run with -no-reboot, so that a reset ends the emulator with status 0. The kernel
 * command line names the way. PASS is printed before, FAIL after if the machine is still there. */
#include "guest.h"

const char program_name[] = "reset";

static bool wanted(const char *line, const char *way)
{
    size_t n = 0;
    while (way[n])
        n++;
    for (; *line; line++)
        if (!memcmp(line, way, n) && (line[n] == 0 || line[n] == ' '))
            return true;
    return false;
}

static void load_idt(u16 limit)
{
    static struct { u16 limit; u32 base; } __attribute__((packed)) empty;
    empty.limit = limit;
    empty.base = (u32)idt32;
    __asm__ volatile("lidt %0" : : "m"(empty));
}

void program(const char *line)
{
    print("PASS 1\n");
    if (wanted(line, "triple")) { /* no gate for #UD, none for #GP, none for #DF */
        load_idt(0);
        __asm__ volatile("ud2");
    } else if (wanted(line, "triple-idt")) { /* gates not present */
        for (int i = 0; i < 32; i++)
            idt32[i].type = 0;
        __asm__ volatile("ud2");
    } else if (wanted(line, "triple-long")) {
        for (int i = 0; i < 32; i++)
            idt64[i].type = 0;
        T("triple fault in long mode", L64, "ud2");
    } else if (wanted(line, "port92")) {
        outb(0x92, inb(0x92) | 1);
    } else if (wanted(line, "kbd")) {
        outb(0x64, 0xfe);
    } else if (wanted(line, "cf9")) {
        outb(0xcf9, 2);
        outb(0xcf9, 6);
    }
    for (u32 i = 0; i < 20000000; i++)
        inb(0x61);
    print("FAIL 1 of 1\n");
    outl(0xf4, 0x11);
}
