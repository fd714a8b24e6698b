/* hw/dma/i8237: registers, transfers, pages, modes (data sheet 231466). */
#include "hw/dma/i8237.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture *f;
static struct i8237 *d;
static struct mem_region *ram;
static uint8_t *host;

static void setup(void)
{
    f = device_fixture_new();
    struct error err = { "" };
    ram = mem_ram_new(f->env.mem, "ram", 0x100000, &err);
    ck_assert_ptr_nonnull(ram);
    mem_region_add(f->env.mem_root, 0, ram, 0);
    host = mem_region_host(ram);
    d = i8237_new(&f->env);
    dev_reset(f);
}

static void teardown(void)
{
    i8237_free(d);
    mem_region_free(ram);
    device_fixture_free(f);
}

/* Channel 2, page 3. */
static void program(uint8_t mode, uint16_t addr, uint16_t count)
{
    dev_out(f, 0x0c, 0);
    dev_out(f, 0x0b, mode | 2);
    dev_out(f, 0x04, (uint8_t)addr);
    dev_out(f, 0x04, (uint8_t)(addr >> 8));
    dev_out(f, 0x05, (uint8_t)count);
    dev_out(f, 0x05, (uint8_t)(count >> 8));
    dev_out(f, 0x81, 3);
    dev_out(f, 0x0a, 2);
}

static unsigned current(uint16_t port)
{
    dev_out(f, 0x0c, 0);
    unsigned v = dev_in(f, port);
    return v | (unsigned)dev_in(f, port) << 8;
}

START_TEST(registers)
{
    ck_assert_int_eq(state_table_gap(&i8237_state_table), -1);
    ck_assert_uint_eq(dev_in(f, 0x0f) & 0xf, 0xf);
    dev_out(f, 0x80, 0x5a);
    ck_assert_uint_eq(dev_in(f, 0x80), 0x5a);
    program(0x44, 0x1234, 0x01ff);
    ck_assert_uint_eq(current(0x04), 0x1234);
    ck_assert_uint_eq(current(0x05), 0x01ff);
    ck_assert(i8237_channel_ready(d, 2));
    dev_out(f, 0x08, 0x04);
    ck_assert(!i8237_channel_ready(d, 2));
    dev_out(f, 0x0d, 0);
    ck_assert_uint_eq(dev_in(f, 0x0f) & 0xf, 0xf);
    dev_out(f, 0x0e, 0);
    ck_assert(i8237_channel_ready(d, 2));
    dev_out(f, 0xd4, 0x02);
    ck_assert(i8237_channel_ready(d, 6));
}
END_TEST

START_TEST(write_memory)
{
    uint8_t buf[600];
    bool tc;
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i + 1);
    ck_assert_uint_eq(i8237_write_memory(d, 2, buf, 512, &tc), 0); /* masked */
    program(0x44, 0x1000, 511);
    ck_assert_uint_eq(i8237_write_memory(d, 2, buf, 100, &tc), 100);
    ck_assert(!tc);
    ck_assert_uint_eq(current(0x04), 0x1064);
    ck_assert_uint_eq(current(0x05), 411);
    ck_assert_uint_eq(i8237_write_memory(d, 2, buf + 100, 500, &tc), 412);
    ck_assert(tc);
    ck_assert_mem_eq(host + 0x31000, buf, 512);
    ck_assert_uint_eq(host[0x31200], 0);
    ck_assert_uint_eq(dev_in(f, 0x08), 0x04);
    ck_assert_uint_eq(dev_in(f, 0x08), 0x00);
    ck_assert(!i8237_channel_ready(d, 2)); /* the terminal count masks */
    ck_assert_uint_eq(current(0x05), 0xffff);
}
END_TEST

START_TEST(wraps_in_the_page)
{
    uint8_t buf[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    program(0x44, 0xfffc, 7);
    ck_assert_uint_eq(i8237_write_memory(d, 2, buf, 8, NULL), 8);
    ck_assert_mem_eq(host + 0x3fffc, buf, 4);
    ck_assert_mem_eq(host + 0x30000, buf + 4, 4);
    ck_assert_uint_eq(host[0x40000], 0);
}
END_TEST

START_TEST(read_auto_and_decrement)
{
    uint8_t buf[4];
    bool tc;
    memcpy(host + 0x30100, "abcd", 4);
    program(0x58, 0x0100, 3); /* read, auto-initialise */
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(i8237_read_memory(d, 2, buf, 4, &tc), 4);
        ck_assert(tc);
        ck_assert_mem_eq(buf, "abcd", 4);
        ck_assert_uint_eq(current(0x04), 0x0100);
    }
    program(0x68, 0x0103, 3); /* downwards */
    ck_assert_uint_eq(i8237_read_memory(d, 2, buf, 4, &tc), 4);
    ck_assert_mem_eq(buf, "dcba", 4);
}
END_TEST

START_TEST(verify_and_wrong_direction)
{
    uint8_t buf[4] = { 9, 9, 9, 9 };
    bool tc;
    program(0x40, 0x0100, 3);
    ck_assert_uint_eq(i8237_write_memory(d, 2, buf, 4, &tc), 4);
    ck_assert(tc);
    ck_assert_uint_eq(host[0x30100], 0);
    program(0x44, 0x0100, 3);
    ck_assert_uint_eq(i8237_read_memory(d, 2, buf, 4, &tc), 4);
    ck_assert_uint_eq(buf[0], 0);
}
END_TEST

START_TEST(sixteen_bits)
{
    uint8_t buf[5] = { 1, 2, 3, 4, 5 };
    bool tc;
    dev_out(f, 0xd8, 0);
    dev_out(f, 0xd6, 0x45); /* channel 5, write */
    dev_out(f, 0xc4, 0x00);
    dev_out(f, 0xc4, 0x40);
    dev_out(f, 0xc6, 2);
    dev_out(f, 0xc6, 0);
    dev_out(f, 0x8b, 0x05); /* A16 comes from the address register */
    dev_out(f, 0xd4, 0x01);
    ck_assert_uint_eq(i8237_write_memory(d, 5, buf, 5, &tc), 4);
    ck_assert(!tc);
    ck_assert_mem_eq(host + 0x48000, buf, 4);
    ck_assert_uint_eq(i8237_write_memory(d, 5, buf, 5, &tc), 2);
    ck_assert(tc);
    ck_assert(!i8237_channel_ready(d, 4));
}
END_TEST

Suite *i8237_suite(void)
{
    Suite *s = suite_create("i8237");
    TCase *tc = tcase_create("i8237");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, registers);
    tcase_add_test(tc, write_memory);
    tcase_add_test(tc, wraps_in_the_page);
    tcase_add_test(tc, read_auto_and_decrement);
    tcase_add_test(tc, verify_and_wrong_direction);
    tcase_add_test(tc, sixteen_bits);
    suite_add_tcase(s, tc);
    return s;
}
