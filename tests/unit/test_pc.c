/* The PC's board: what sits where, what the firmware is told, which wire goes where. Addresses from the
 * PIIX3 and i440FX data sheets, CMOS places as PC firmware reads them. */
#include <check.h>
#include <string.h>

#include "cpu/cpu.h"
#include "hw/intc/lapic.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/pci.h"
#include "machine/pc.h"
#include "machine_fixture.h"
#include "memory/memory.h"

static struct test_machine t;

/* ---- the board from outside: the machine does not run ---- */

static const uint8_t idle[] = { 0xf4, 0xeb, 0xfd };

static void out(uint16_t port, uint64_t v, unsigned size)
{
    lock_take(&t.m->lock);
    mem_write(t.m->env.ports, port, v, size);
    lock_release(&t.m->lock);
}

static uint64_t in(uint16_t port, unsigned size)
{
    uint64_t v;

    lock_take(&t.m->lock);
    v = mem_read(t.m->env.ports, port, size);
    lock_release(&t.m->lock);
    return v;
}

static uint32_t pci(unsigned dev, unsigned fn, unsigned reg)
{
    out(0xcf8, 0x80000000 | dev << 11 | fn << 8 | reg, 4);
    return (uint32_t)in(0xcfc, 4);
}

static unsigned cmos(unsigned i)
{
    out(0x70, i, 1);
    return (unsigned)in(0x71, 1);
}

static unsigned cmos2(unsigned i)
{
    return cmos(i) | cmos(i + 1) << 8;
}

START_TEST(test_pci_functions)
{
    MF_NEW(&t, idle);
    ck_assert_msg(t.m != NULL, "%s", t.err.msg);
    ck_assert_uint_eq(pci(0, 0, 0), 0x12378086); /* 82441FX */
    ck_assert_uint_eq(pci(1, 0, 0), 0x70008086); /* PIIX3 ISA */
    ck_assert_uint_eq(pci(1, 1, 0), 0x70108086); /* IDE */
    ck_assert_uint_eq(pci(1, 3, 0), 0x71138086); /* power management */
    ck_assert_uint_eq(pci(2, 0, 0), 0xffffffff); /* -vga none */
    mf_free(&t);
}
END_TEST

/* A function's message and the 8259 pair's output reach the local APIC: IRR of vector 0x41, and the ExtINT entry of the
 * I/O APIC's input 0 (82093AA: redirection entry 0 is registers 0x10 and 0x11; SDM vol. 3, 11.11.1 and 11.11.2). */
START_TEST(test_messages_and_virtual_wire)
{
    struct lapic *l;

    MF_NEW(&t, idle);
    ck_assert_ptr_nonnull(t.m);
    lock_take(&t.m->lock);
    l = t.m->pc->cpu[0].lapic;
    lapic_reg_write(l, 0x0f, 0x1ff); /* SVR: enabled */
    pci_device_send_message(pci_bus_find(i440fx_bus(t.m->pc->host), 1 << 3), 0xfee00000, 0x41);
    ck_assert_uint_eq(lapic_reg_read(l, 0x22), 2);
    lapic_reg_write(l, 0x35, 1 << 16);   /* LVT LINT0: masked */
    mem_write(t.m->env.memory, 0xfec00000, 0x10, 4);
    mem_write(t.m->env.memory, 0xfec00010, 7 << 8, 4); /* ExtINT, not masked */
    ck_assert(!lapic_extint_pending(l));
    lapic_reg_write(l, 0x08, 0xff); /* TPR: the fixed one waits */
    pc_set_pic_intr(t.m->pc, 1);
    ck_assert(lapic_extint_pending(l));
    pc_set_pic_intr(t.m->pc, 0);
    ck_assert(!lapic_extint_pending(l));
    lock_release(&t.m->lock);
    mf_free(&t);
}
END_TEST

START_TEST(test_firmware_places)
{
    static const uint8_t far_jump[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
    uint8_t low[5], high[5];

    MF_NEW(&t, idle);
    ck_assert_ptr_nonnull(t.m);
    ck_assert(mem_read_buf(t.m->env.memory, 0xffff0, low, 5));
    ck_assert(mem_read_buf(t.m->env.memory, 0xfffffff0, high, 5));
    ck_assert_mem_eq(low, far_jump, 5);
    ck_assert_mem_eq(high, far_jump, 5);
    mem_write(t.m->env.memory, 0xffff0, 0, 4);
    mem_write(t.m->env.memory, 0xfffffff0, 0, 4);
    ck_assert_uint_eq(mem_read(t.m->env.memory, 0xfffffff0, 1), 0xea);
    ck_assert_uint_eq(mem_read(t.m->env.memory, 0x3ffffc, 4), 0);          /* the end of 4 MiB */
    ck_assert_uint_eq(mem_read(t.m->env.memory, 0x400000, 4), 0xffffffff);
    ck_assert_uint_eq(mem_read(t.m->env.memory, 0xfec00000, 4), 0);        /* I/O APIC: IOREGSEL */
    ck_assert_uint_eq(mem_read(t.m->env.memory, 0xfed00000, 4) >> 16, 0x8086); /* HPET: vendor */
    mf_free(&t);
}
END_TEST

START_TEST(test_cmos)
{
    MF_NEW(&t, idle, "-m", "80M", "-boot", "dca");
    ck_assert_ptr_nonnull(t.m);
    ck_assert_uint_eq(cmos2(0x15), 640);
    ck_assert_uint_eq(cmos2(0x17), 0xffff); /* KiB above 1 MiB, as many as fit */
    ck_assert_uint_eq(cmos2(0x30), 0xffff);
    ck_assert_uint_eq(cmos2(0x34), 64 << 20 >> 16); /* 64 KiB units above 16 MiB */
    ck_assert_uint_eq(cmos2(0x5b) | cmos(0x5d) << 16, 0);
    ck_assert_uint_eq(cmos(0x3d), 0x23); /* first CD (3), then disk (2) */
    ck_assert_uint_eq(cmos(0x38) >> 4, 1);
    ck_assert_uint_eq(cmos(0x14) & 2, 2); /* coprocessor */
    mf_free(&t);
    MF_NEW(&t, idle, "-m", "4G");
    ck_assert_ptr_nonnull(t.m);
    unsigned low = cmos2(0x34) + 256, high = cmos2(0x5b) | cmos(0x5d) << 16;
    ck_assert_uint_eq((uint64_t)(low + high) << 16, UINT64_C(4) << 30);
    ck_assert_uint_eq(mem_read(t.m->env.memory, (UINT64_C(1) << 32) + ((uint64_t)high << 16) - 4, 4), 0);
    mf_free(&t);
}
END_TEST

START_TEST(test_fw_cfg)
{
    char id[5] = "";

    MF_NEW(&t, idle);
    ck_assert_ptr_nonnull(t.m);
    out(0x510, 0, 2);
    for (unsigned i = 0; i < 4; i++)
        id[i] = (char)in(0x511, 1);
    ck_assert_str_eq(id, "QEMU");
    out(0x510, 3, 2); /* RAM size */
    uint64_t size = 0;
    for (unsigned i = 0; i < 8; i++)
        size |= in(0x511, 1) << (8 * i);
    ck_assert_uint_eq(size, 4 << 20);
    out(0x510, 0x8002, 2); /* the firmware's MP table: IRQ 0 at input 2, as it is wired */
    ck_assert_uint_eq(in(0x511, 1), 1);
    mf_free(&t);
}
END_TEST

static unsigned fw_cfg_word(unsigned key)
{
    out(0x510, key, 2);
    unsigned low = (unsigned)in(0x511, 1);
    return low | (unsigned)in(0x511, 1) << 8;
}

/* Processors, and where their APIC ids end: the firmware numbers them up to there. */
START_TEST(test_processor_counts)
{
    static const struct { const char *smp; unsigned cpus, ids; } rows[] = {
        { "1", 1, 1 }, { "4", 4, 4 }, { "6,sockets=2,cores=3", 6, 7 },
        { "9,sockets=1,cores=3,threads=3", 9, 11 },
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        MF_NEW(&t, idle, "-smp", rows[i].smp);
        ck_assert_msg(t.m != NULL, "%s", t.err.msg);
        ck_assert_uint_eq(cmos(0x5f), rows[i].cpus - 1);
        ck_assert_uint_eq(fw_cfg_word(5), rows[i].cpus);
        ck_assert_uint_eq(fw_cfg_word(0xf), rows[i].ids);
        mf_free(&t);
    }
}
END_TEST

/* Each processor sees its own local APIC at the same address; register 20 has its id, with gaps behind sockets of three. */
START_TEST(test_local_apics)
{
    static const unsigned id[] = { 0, 1, 2, 4, 5, 6 };

    MF_NEW(&t, idle, "-smp", "6,sockets=2,cores=3");
    ck_assert_msg(t.m != NULL, "%s", t.err.msg);
    lock_take(&t.m->lock);
    for (unsigned i = 0; i < 6; i++) {
        t.m->accessor = i;
        ck_assert_uint_eq(mem_read(t.m->env.memory, 0xfee00020, 4) >> 24, id[i]);
    }
    lock_release(&t.m->lock);
    mf_free(&t);
}
END_TEST

/* ---- wires, seen by the guest ---- */

/* A20 follows the last write to the keyboard controller's output port or to port 92, from the next access
 * on. */
START_TEST(test_a20_gates)
{
    static const uint8_t code[] = {
        0x31, 0xc0, 0x8e, 0xd8, 0x48, 0x8e, 0xc0,             /* DS = 0, ES = FFFF: ES:10 is 1 MiB */
        0xb0, 0xd1, 0xe6, 0x64, 0xb0, 0xdd, 0xe6, 0x60,       /* keyboard controller: off */
        0xc6, 0x06, 0x00, 0x00, 0x11, 0x26, 0xc6, 0x06, 0x10, 0x00, 0x22,
        0x8a, 0x1e, 0x00, 0x00,                               /* BL = 22: one byte */
        0xb0, 0x02, 0xe6, 0x92,                               /* port 92: on */
        0x26, 0xc6, 0x06, 0x10, 0x00, 0x33,
        0x8a, 0x0e, 0x00, 0x00, 0x26, 0x8a, 0x16, 0x10, 0x00, /* CL = 22, DL = 33: two */
        0x88, 0xd8, 0x28, 0xc8, 0x00, 0xd0,                   /* BL - CL + DL */
        MF_EXIT_AL,
    };

    MF_NEW(&t, code, "-accel", _i ? "interp" : "jit");
    ck_assert_int_eq(mf_run(&t), 0x33 * 2 + 1);
    mf_free(&t);
}
END_TEST

/* Prelude: real mode tables, APIC off (pins go straight through), both 8259 at 08 and 70. */
#define PICS(mask1, mask2) \
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x80, \
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x66, 0xb8, 0x00, 0x01, 0xe0, 0xfe, 0x66, 0x31, 0xd2, 0x0f, 0x30, \
    0xb0, 0x11, 0xe6, 0x20, 0xe6, 0xa0, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x70, 0xe6, 0xa1, \
    0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x02, 0xe6, 0xa1, 0xb0, 0x01, 0xe6, 0x21, 0xe6, 0xa1, \
    0xb0, (mask1), 0xe6, 0x21, 0xb0, (mask2), 0xe6, 0xa1
/* mov word [4 * v],0x200; mov word [4 * v + 2],0xf000 */
#define VECTOR(v) \
    0xc7, 0x06, (4 * (v)) & 0xff, (4 * (v)) >> 8, 0x00, 0x02, 0xc7, 0x06, (4 * (v) + 2) & 0xff, \
    (4 * (v) + 2) >> 8, 0x00, 0xf0
#define STI_HLT 0xfb, 0xf4, MF_EXIT(1)

/* Firmware with its interrupt handler, which leaves with `status`, at F000:0200. */
static void run_with_handler(const uint8_t *code, size_t len, uint8_t status, int interp, const char *cpus)
{
    static uint8_t image[0x300];
    const uint8_t handler[] = { MF_EXIT(status) };

    memset(image, 0x90, sizeof(image));
    memcpy(image, code, len);
    memcpy(image + 0x200, handler, sizeof(handler));
    MF_NEW(&t, image, "-accel", interp ? "interp" : "jit", "-smp", cpus);
    ck_assert_int_eq(mf_run(&t), status * 2 + 1);
    mf_free(&t);
}

START_TEST(test_timer_interrupt)
{
    static const uint8_t code[] = {
        PICS(0xfe, 0xff), VECTOR(8), 0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x00, 0xe6, 0x40, 0xb0, 0x10, 0xe6, 0x40,
        STI_HLT,
    };

    run_with_handler(code, sizeof(code), 0x33, _i, "1");
}
END_TEST

/* An unmasked x87 error with CR0.NE = 0 goes out by FERR# and comes back as IRQ 13. */
START_TEST(test_fpu_interrupt)
{
    static const uint8_t code[] = {
        /* fninit; fldcw 0 */
        PICS(0xfb, 0xdf), VECTOR(0x75), 0xdb, 0xe3, 0x31, 0xc0, 0x50, 0x89, 0xe5, 0xd9, 0x6e, 0x00,
        /* fld1; fldz; fdivp: 1 / 0 */
        0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, STI_HLT,
    };

    run_with_handler(code, sizeof(code), 0x34, _i, "1");
}
END_TEST

/* Command D2 puts a byte into the keyboard controller's output buffer: IRQ 1 when the command byte says so.
 * */
START_TEST(test_keyboard_interrupt)
{
    static const uint8_t code[] = {
        PICS(0xfd, 0xff), VECTOR(9), 0xb0, 0x60, 0xe6, 0x64, 0xb0, 0x01, 0xe6, 0x60, 0xb0, 0xd2, 0xe6, 0x64,
        0xb0, 0x55, 0xe6, 0x60, STI_HLT,
    };

    run_with_handler(code, sizeof(code), 0x35, _i, "1");
}
END_TEST

/* The 8259's output reaches all processors: one that the bootstrap processor has started takes the timer's interrupt. */
START_TEST(test_interrupt_of_another)
{
    static const uint8_t code[] = {
        MF_START_CPUS(4), 0xfa, 0xf4, 0xeb, 0xfd, /* cli; L: hlt; jmp L */
        PICS(0xfe, 0xff), VECTOR(8), 0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x00, 0xe6, 0x40, 0xb0, 0x10, 0xe6, 0x40,
        STI_HLT,
    };

    run_with_handler(code, sizeof(code), 0x36, _i, "2");
}
END_TEST

/* One A20 gate for all. The bootstrap processor closes it by port 92 and sets [0x500] = 11. Another, that has waited for
 * this, stores 22 at 0x100500 and leaves with [0x500]. */
START_TEST(test_a20_of_all)
{
    static const uint8_t code[] = {
        MF_START_CPUS(13),
        0x31, 0xc0, 0x8e, 0xd8, 0xe6, 0x92, 0xc6, 0x06, 0x00, 0x05, 0x11, 0xeb, 0xfe, 0x31, 0xc0, 0x8e,
        0xd8, 0x48, 0x8e, 0xc0, 0x80, 0x3e, 0x00, 0x05, 0x11, 0x75, 0xf9, 0xea, 0x4b, 0x00, 0x00, 0xf0,
        0x26, 0xc6, 0x06, 0x10, 0x05, 0x22, 0xa0, 0x00, 0x05, 0xba, 0x01, 0x05, 0xee,
    };

    MF_NEW(&t, code, "-accel", _i ? "interp" : "jit", "-smp", "2");
    ck_assert_int_eq(mf_run(&t), 0x22 * 2 + 1);
    mf_free(&t);
}
END_TEST

/* A system management interrupt goes to the processor that writes to the APM port. The handler, copied to 38000, leaves
 * with the APIC id of whom it runs on. */
START_TEST(test_smi_of_another)
{
    static const uint8_t code[] = {
        MF_START_CPUS(4), /* cli; L: hlt; jmp L; another: copy, PMBASE = 600, PMIOSE, APMC_EN, SMI_EN, out 0xb2 */
        0xfa, 0xf4, 0xeb, 0xfd, 0xb8, 0x00, 0x30, 0x8e, 0xc0, 0xbe, 0x8c, 0x00, 0xbf, 0x00, 0x80, 0xb9,
        0x12, 0x00, 0x2e, 0xf3, 0xa4, 0x66, 0xb8, 0x40, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,
        0x66, 0xb8, 0x01, 0x06, 0x00, 0x00, 0xba, 0xfc, 0x0c, 0x66, 0xef, 0x66, 0xb8, 0x80, 0x0b, 0x00,
        0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef, 0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xba, 0xfc, 0x0c, 0x66,
        0xef, 0x66, 0xb8, 0x58, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef, 0x66, 0xb8, 0x00, 0x00,
        0x00, 0x02, 0xba, 0xfc, 0x0c, 0x66, 0xef, 0xba, 0x28, 0x06, 0xb0, 0x01, 0xee, 0xe6, 0xb2, 0xeb,
        0xfe, 0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2, 0x66, 0xc1, 0xeb, 0x18, 0x89, 0xd8, 0xba,
        0x01, 0x05, 0xee,
    };

    MF_NEW(&t, code, "-accel", _i ? "interp" : "jit", "-smp", "2");
    ck_assert_int_eq(mf_run(&t), 1 * 2 + 1);
    mf_free(&t);
}
END_TEST

Suite *pc_suite(void)
{
    Suite *s = suite_create("pc");
    TCase *c = tcase_create("pc");

    tcase_set_timeout(c, 20);
    tcase_add_test(c, test_pci_functions);
    tcase_add_test(c, test_messages_and_virtual_wire);
    tcase_add_test(c, test_firmware_places);
    tcase_add_test(c, test_cmos);
    tcase_add_test(c, test_fw_cfg);
    tcase_add_test(c, test_processor_counts);
    tcase_add_test(c, test_local_apics);
    tcase_add_loop_test(c, test_a20_gates, 0, 2);
    tcase_add_loop_test(c, test_timer_interrupt, 0, 2);
    tcase_add_loop_test(c, test_fpu_interrupt, 0, 2);
    tcase_add_loop_test(c, test_keyboard_interrupt, 0, 2);
    tcase_add_loop_test(c, test_interrupt_of_another, 0, 2);
    tcase_add_loop_test(c, test_a20_of_all, 0, 2);
    tcase_add_loop_test(c, test_smi_of_another, 0, 2);
    suite_add_tcase(s, c);
    return s;
}
