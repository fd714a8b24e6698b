/* hw/char/serial: registers, FIFOs, interrupts, timeout, loopback (PC16550D data sheet). */
#include "hw/char/serial.h"
#include "tests/unit/device_fixture.h"
#include "ui/chardev_backends.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct device_fixture *f;
static struct serial *uart;
static struct chardev *chr;

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line irq = dev_line(f, 4);
    chr = chardev_new_memory();
    uart = serial_new(&f->env, 0x3f8, &irq, chr);
    dev_reset(f);
}

static void teardown(void)
{
    serial_free(uart);
    chardev_free(chr);
    device_fixture_free(f);
}

static uint8_t rd(int reg) { return dev_in(f, (uint16_t)(0x3f8 + reg)); }
static void wr(int reg, uint8_t v) { dev_out(f, (uint16_t)(0x3f8 + reg), v); }

START_TEST(registers)
{
    ck_assert_int_eq(state_table_gap(&serial_state_table), -1);
    ck_assert_uint_eq(rd(IER), 0);
    ck_assert_uint_eq(rd(IIR), 0x01);
    ck_assert_uint_eq(rd(LSR), 0x60);
    ck_assert_uint_eq(rd(MSR), 0xb0);
    wr(SCR, 0xa5);
    ck_assert_uint_eq(rd(SCR), 0xa5);
    wr(IER, 0xff);
    ck_assert_uint_eq(rd(IER), 0x0f);
    wr(LCR, 0x83);
    wr(RBR, 0x34);
    wr(IER, 0x12);
    ck_assert_uint_eq(rd(RBR), 0x34);
    ck_assert_uint_eq(rd(IER), 0x12);
    wr(LCR, 0x03);
    ck_assert_uint_eq(rd(IER), 0x0f);
    wr(IIR, 0x01);
    ck_assert_uint_eq(rd(IIR) & 0xc0, 0xc0);
}
END_TEST

START_TEST(transmit)
{
    wr(IER, 0x02);
    ck_assert_int_eq(f->level[4], 1); /* THR is empty */
    ck_assert_uint_eq(rd(IIR), 0x02);
    ck_assert_int_eq(f->level[4], 0); /* the read takes it back */
    int before = f->rises[4];
    wr(RBR, 'h');
    wr(RBR, 'i');
    ck_assert_int_eq(f->rises[4], before + 2);
    ck_assert_uint_eq(rd(LSR), 0x60);
    ck_assert_str_eq(chardev_memory_output(chr, NULL), "hi");
}
END_TEST

START_TEST(receive_16450)
{
    wr(IER, 0x01);
    chardev_memory_feed(chr, "ab", 2);
    ck_assert_int_eq(f->level[4], 1);
    ck_assert_uint_eq(rd(IIR), 0x04);
    ck_assert_uint_eq(rd(LSR), 0x61);
    ck_assert_uint_eq(rd(RBR), 'a');
    ck_assert_uint_eq(rd(RBR), 'b'); /* the backend was asked for more */
    ck_assert_uint_eq(rd(LSR), 0x60);
    ck_assert_int_eq(f->level[4], 0);
}
END_TEST

START_TEST(receive_fifo)
{
    wr(IIR, 0x41); /* trigger at 4 */
    wr(IER, 0x01);
    wr(LCR, 0x83);
    wr(RBR, 1); /* 115200 baud */
    wr(IER, 0);
    wr(LCR, 0x03);
    chardev_memory_feed(chr, "abc", 3);
    ck_assert_int_eq(f->level[4], 0);
    clock_advance(f->env.clock, 347000); /* four characters of ten bits: 347.2 us */
    ck_assert_int_eq(f->level[4], 0);
    clock_advance(f->env.clock, 1000);
    ck_assert_uint_eq(rd(IIR), 0xcc);
    ck_assert_uint_eq(rd(RBR), 'a');
    ck_assert_uint_eq(rd(IIR), 0xc1);
    chardev_memory_feed(chr, "de", 2);
    ck_assert_uint_eq(rd(IIR), 0xc4);
    chardev_memory_feed(chr, "0123456789abcdef", 16); /* fills it: no overrun, the rest waits */
    ck_assert_uint_eq(rd(LSR), 0x61);
    for (const char *c = "bcde0123456789abcdef"; *c; c++)
        ck_assert_uint_eq(rd(RBR), (uint8_t)*c);
    ck_assert_uint_eq(rd(IIR), 0xc1);
    wr(IIR, 0x43); /* receiver reset */
    ck_assert_uint_eq(rd(LSR), 0x60);
}
END_TEST

START_TEST(line_break)
{
    wr(IIR, 0x01);
    wr(IER, 0x05);
    chardev_memory_feed(chr, "x", 1);
    chardev_memory_event(chr, CHARDEV_BREAK);
    ck_assert_uint_eq(rd(LSR), 0xe1); /* an error is further down the FIFO */
    ck_assert_uint_eq(rd(RBR), 'x');
    ck_assert_uint_eq(rd(IIR), 0xc6);
    ck_assert_uint_eq(rd(LSR) & 0x11, 0x11);
    ck_assert_uint_eq(rd(LSR) & 0x10, 0x00);
    ck_assert_uint_eq(rd(RBR), 0);
}
END_TEST

START_TEST(loopback)
{
    wr(MCR, 0x10);
    ck_assert_uint_eq(rd(MSR), 0x0b); /* CTS, DSR, DCD went away */
    ck_assert_uint_eq(rd(MSR), 0x00);
    wr(MCR, 0x1f);
    ck_assert_uint_eq(rd(MSR), 0xfb); /* RI notes only its end */
    wr(IER, 0x08);
    wr(MCR, 0x1b);
    ck_assert_uint_eq(rd(IIR), 0x00);
    ck_assert_uint_eq(rd(MSR), 0xb4);
    ck_assert_uint_eq(rd(IIR), 0x01);
    wr(RBR, 'l');
    ck_assert_uint_eq(rd(LSR), 0x61);
    wr(RBR, 'm');
    ck_assert_uint_eq(rd(LSR), 0x63); /* overrun */
    ck_assert_uint_eq(rd(RBR), 'm');
    ck_assert_str_eq(chardev_memory_output(chr, NULL), "");
    chardev_memory_feed(chr, "z", 1);
    ck_assert_uint_eq(rd(LSR), 0x60);
    wr(MCR, 0x03);
    ck_assert_uint_eq(rd(RBR), 'z');
}
END_TEST

START_TEST(unconnected)
{
    struct serial *lone = serial_new(&f->env, 0x2f8, NULL, NULL);
    dev_out(f, 0x2f8, 'x');
    ck_assert_uint_eq(dev_in(f, 0x2fd), 0x60);
    serial_free(lone);
}
END_TEST

Suite *serial_suite(void)
{
    Suite *s = suite_create("serial");
    TCase *tc = tcase_create("serial");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, registers);
    tcase_add_test(tc, transmit);
    tcase_add_test(tc, receive_16450);
    tcase_add_test(tc, receive_fifo);
    tcase_add_test(tc, line_break);
    tcase_add_test(tc, loopback);
    tcase_add_test(tc, unconnected);
    suite_add_tcase(s, tc);
    return s;
}
