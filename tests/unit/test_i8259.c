/* hw/intc/i8259: initialisation, priorities, EOI forms, modes, ELCR (data sheet 231468). */
#include "hw/intc/i8259.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct i8259 *pic;

static void icw(uint16_t base, uint8_t vector, uint8_t icw3, uint8_t icw4)
{
    dev_out(f, base, 0x11);
    dev_out(f, base + 1, vector);
    dev_out(f, base + 1, icw3);
    dev_out(f, base + 1, icw4);
}

static void setup(void)
{
    f = device_fixture_new();
    struct irq_line intr = dev_line(f, 0);
    pic = i8259_new(&f->env, &intr);
    dev_reset(f);
    icw(0x20, 0x08, 0x04, 0x01);
    icw(0xa0, 0x70, 0x02, 0x01);
}

static void teardown(void)
{
    i8259_free(pic);
    device_fixture_free(f);
}

static void pulse(int n)
{
    i8259_set_irq(pic, n, 0);
    i8259_set_irq(pic, n, 1);
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&i8259_state_table), -1);
}
END_TEST

START_TEST(edge)
{
    pulse(1);
    ck_assert_int_eq(f->level[0], 1);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x02);
    ck_assert_int_eq(i8259_ack(pic), 0x09);
    ck_assert_int_eq(f->level[0], 0);
    dev_out(f, 0x20, 0x0b);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x02);
    dev_out(f, 0x20, 0x20);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x00);
    ck_assert_int_eq(f->level[0], 0); /* the level alone asks for nothing */
}
END_TEST

START_TEST(withdrawn_is_spurious)
{
    pulse(3);
    i8259_set_irq(pic, 3, 0);
    ck_assert_int_eq(f->level[0], 0);
    ck_assert_int_eq(i8259_ack(pic), 0x0f);
    dev_out(f, 0x20, 0x0b);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x00);
}
END_TEST

START_TEST(cascade)
{
    pulse(12);
    pulse(5);
    ck_assert_int_eq(i8259_ack(pic), 0x74);
    ck_assert_int_eq(f->level[0], 0);
    pulse(8); /* higher in the slave, but IR2 of the master is in service */
    ck_assert_int_eq(f->level[0], 0);
    dev_out(f, 0xa0, 0x20);
    dev_out(f, 0x20, 0x20);
    ck_assert_int_eq(f->level[0], 1);
    ck_assert_int_eq(i8259_ack(pic), 0x70);
    dev_out(f, 0xa0, 0x20);
    dev_out(f, 0x20, 0x20);
    ck_assert_int_eq(i8259_ack(pic), 0x0d);
}
END_TEST

START_TEST(special_fully_nested)
{
    icw(0x20, 0x08, 0x04, 0x11);
    pulse(12);
    ck_assert_int_eq(i8259_ack(pic), 0x74);
    pulse(8);
    ck_assert_int_eq(f->level[0], 1);
    ck_assert_int_eq(i8259_ack(pic), 0x70);
}
END_TEST

START_TEST(mask_and_special_mask)
{
    dev_out(f, 0x21, 0xff);
    ck_assert_uint_eq(dev_in(f, 0x21), 0xff);
    pulse(4);
    ck_assert_int_eq(f->level[0], 0);
    dev_out(f, 0x21, 0xef);
    ck_assert_int_eq(i8259_ack(pic), 0x0c);
    pulse(6);
    dev_out(f, 0x21, 0x10);
    ck_assert_int_eq(f->level[0], 0);
    dev_out(f, 0x20, 0x68); /* special mask mode: masked IS4 no longer blocks IR6 */
    ck_assert_int_eq(f->level[0], 1);
    ck_assert_int_eq(i8259_ack(pic), 0x0e);
    dev_out(f, 0x20, 0x20); /* a non-specific EOI leaves the masked IS4 */
    dev_out(f, 0x20, 0x0b);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x10);
}
END_TEST

START_TEST(rotation)
{
    dev_out(f, 0x20, 0xc3); /* IR3 lowest, IR4 highest */
    pulse(0);
    pulse(4);
    ck_assert_int_eq(i8259_ack(pic), 0x0c);
    dev_out(f, 0x20, 0xa0); /* rotate on non-specific EOI: IR4 lowest */
    pulse(4);
    ck_assert_int_eq(i8259_ack(pic), 0x08);
    dev_out(f, 0x20, 0x60); /* specific EOI of IR0 */
    ck_assert_int_eq(i8259_ack(pic), 0x0c);
}
END_TEST

START_TEST(auto_eoi)
{
    icw(0x20, 0x40, 0x04, 0x03);
    pulse(2 + 1);
    ck_assert_int_eq(i8259_ack(pic), 0x43);
    dev_out(f, 0x20, 0x0b);
    ck_assert_uint_eq(dev_in(f, 0x20), 0);
    dev_out(f, 0x20, 0x80); /* rotate in AEOI mode */
    pulse(0);
    ck_assert_int_eq(i8259_ack(pic), 0x40);
    pulse(0);
    pulse(7);
    ck_assert_int_eq(i8259_ack(pic), 0x47);
}
END_TEST

START_TEST(poll)
{
    pulse(6);
    dev_out(f, 0x20, 0x0c);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x86);
    dev_out(f, 0x20, 0x0c);
    ck_assert_uint_eq(dev_in(f, 0x20) & 0x80, 0);
    dev_out(f, 0x20, 0x0b);
    ck_assert_uint_eq(dev_in(f, 0x20), 0x40);
}
END_TEST

START_TEST(level)
{
    dev_out(f, 0x4d0, 0xff);
    dev_out(f, 0x4d1, 0xff);
    ck_assert_uint_eq(dev_in(f, 0x4d0), 0xf8);
    ck_assert_uint_eq(dev_in(f, 0x4d1), 0xde);
    i8259_set_irq(pic, 11, 1);
    ck_assert_int_eq(i8259_ack(pic), 0x73);
    dev_out(f, 0xa0, 0x20);
    dev_out(f, 0x20, 0x20);
    ck_assert_int_eq(f->level[0], 1); /* still asserted: asks again */
    i8259_set_irq(pic, 11, 0);
    ck_assert_int_eq(f->level[0], 0);
}
END_TEST

START_TEST(slave_spurious)
{
    dev_out(f, 0x4d1, 0x08);
    i8259_set_irq(pic, 11, 1);
    dev_out(f, 0xa1, 0xff);
    ck_assert_int_eq(f->level[0], 0);
    ck_assert_int_eq(i8259_ack(pic), 0x0f);
}
END_TEST

START_TEST(reset_clears)
{
    pulse(1);
    dev_reset(f);
    ck_assert_int_eq(f->level[0], 0);
    ck_assert_uint_eq(dev_in(f, 0x21), 0x00);
    dev_out(f, 0x4d0, 0x08);
    dev_reset(f);
    ck_assert_uint_eq(dev_in(f, 0x4d0), 0x00);
}
END_TEST

Suite *i8259_suite(void)
{
    Suite *s = suite_create("i8259");
    TCase *tc = tcase_create("i8259");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, edge);
    tcase_add_test(tc, withdrawn_is_spurious);
    tcase_add_test(tc, cascade);
    tcase_add_test(tc, special_fully_nested);
    tcase_add_test(tc, mask_and_special_mask);
    tcase_add_test(tc, rotation);
    tcase_add_test(tc, auto_eoi);
    tcase_add_test(tc, poll);
    tcase_add_test(tc, level);
    tcase_add_test(tc, slave_spurious);
    tcase_add_test(tc, reset_clears);
    suite_add_tcase(s, tc);
    return s;
}
