/* The A20 gate by port 92h and by the keyboard controller: address bit 20 wraps or does not. */
#include "guest.h"

const char program_name[] = "a20";

static void wait_input(void)
{
    while (inb(0x64) & 2)
        ;
}

static void by_port92(bool on)
{
    outb(0x92, (inb(0x92) & 0xfc) | (on ? 2 : 0));
}

static void by_8042(bool on)
{
    wait_input();
    outb(0x64, 0xd1);
    wait_input();
    outb(0x60, on ? 0xdf : 0xdd);
    wait_input();
}

static void gate(const char *name, void (*set)(bool))
{
    group(name);
    poke32(0x500, 0x11111111);
    poke32(0x100500, 0x22222222);
    check("open: two addresses", peek32(0x500) == 0x11111111 && peek32(0x100500) == 0x22222222, 1);
    T("open: ffff:0510", REAL, "mov eax, es:[bx]", .es = 0xffff, .bx = 0x510, .x = { { AX, 0x22222222 } });
    set(false);
    check("closed: 1 MiB is 0", peek32(0x100500), 0x11111111);
    poke32(0x100504, 0x33333333);
    check("closed: a write wraps", peek32(0x504), 0x33333333);
    check("closed: 3 MiB is 2 MiB", peek32(0x300000), peek32(0x200000));
    T("closed: ffff:0510", REAL, "mov eax, es:[bx]", .es = 0xffff, .bx = 0x510, .x = { { AX, 0x11111111 } });
    T("closed: code at ffff:0xxx runs from 0", REAL, "mov dword ptr es:[bx], 0xcb07b0; "
      "lcall 0xffff, 0x520", .es = NULLSEL, .bx = 0x510, .x = { { AX, 7 } });
    T("closed, v86", V86, "mov eax, es:[bx]", .es = 0xffff, .bx = 0x514, .x = { { AX, 0x33333333 } });
    set(true);
    check("open again", peek32(0x100500), 0x22222222);
    T("open again, real mode", REAL, "mov eax, es:[bx]", .es = 0xffff, .bx = 0x510, .x = { { AX,
      0x22222222 } });
    u32 wrong = 0;
    for (int i = 0; i < 20; i++) {
        set(i & 1);
        wrong += peek32(0x100500) != (i & 1 ? 0x22222222 : 0x11111111);
    }
    check("toggled", wrong, 0);
    set(true);
}

void program(const char *line)
{
    (void)line;
    gate("port 92", by_port92);
    gate("8042", by_8042);
    group("both");
    by_port92(true);
    check("port 92 reads back", inb(0x92) & 3, 2);
    by_port92(false);
    check("and closed", inb(0x92) & 3, 0);
    by_port92(true);
    wait_input();
    outb(0x64, 0xd0);
    for (int i = 0; i < 100000 && !(inb(0x64) & 1); i++)
        ;
    check("8042 output port shows A20", inb(0x60) & 3, 3);
    wait_input();
    outb(0x64, 0xdd); /* commands DDh and DFh of many controllers: A20 off and on */
    wait_input();
    outb(0x64, 0xdf);
    wait_input();
    check("open at the end", peek32(0x100500), 0x22222222);
}
