/* hw/pci/i440fx: memory map, PAM, SMRAM (data sheet 290549). */
#include <check.h>

#include "hw/pci/i440fx.h"
#include "hw_fixture.h"

struct fixture {
    struct hw_fixture hw;
    struct mem_region *ram, *bios, *vga;
    struct i440fx *f;
};

static uint64_t vga_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0x77;
}

static void vga_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct mem_ops vga_ops = { vga_read, vga_write, { 1, 1, false }, { 1, 1, false } };

static void setup(struct fixture *f)
{
    hw_fixture_init(&f->hw);
    f->ram = mem_ram_new(f->hw.env.mem, "ram", HW_RAM_SIZE, NULL);
    f->bios = mem_rom_new(f->hw.env.mem, "bios", 256 << 10, NULL);
    memset(mem_region_host(f->bios), 0xB0, 128 << 10);
    memset(mem_region_host(f->bios) + (128 << 10), 0xB1, 128 << 10);
    f->f = i440fx_new(&f->hw.env, f->ram, f->bios);
    f->vga = mem_io_new("vga", 0x20000, &vga_ops, NULL);
    mem_region_add(i440fx_pci_memory(f->f), 0xA0000, f->vga, 0);
    hw_reset(&f->hw);
}

static void teardown(struct fixture *f)
{
    mem_region_remove(f->vga);
    mem_region_free(f->vga);
    i440fx_free(f->f);
    mem_region_free(f->ram);
    mem_region_free(f->bios);
    hw_fixture_destroy(&f->hw);
}

/* As a processor in system management mode sees it. */
static uint8_t smm_peek(struct fixture *f, uint64_t addr)
{
    return (uint8_t)mem_read(i440fx_smm_memory(f->f), addr, 1);
}

static uint8_t peek(struct fixture *f, uint64_t addr)
{
    return (uint8_t)mem_read(f->hw.env.memory, addr, 1);
}

static void poke(struct fixture *f, uint64_t addr, uint8_t value)
{
    mem_write(f->hw.env.memory, addr, value, 1);
}

START_TEST(identity)
{
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0, 4), 0x12378086);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 8, 4), 0x06000002);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 4, 4), 0x02800006);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0x72, 1), 0x02);
    ck_assert_ptr_nonnull(pci_bus_find(i440fx_bus(f.f), 0));
    teardown(&f);
}
END_TEST

START_TEST(map)
{
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(peek(&f, 0xFFFC0000), 0xB0);
    ck_assert_uint_eq(peek(&f, 0xFFFFFFF0), 0xB1);
    ck_assert_uint_eq(peek(&f, 0xE0000), 0xB1);
    ck_assert_uint_eq(peek(&f, 0xFFFFF), 0xB1);
    ck_assert_uint_eq(peek(&f, 0xC0000), 0xFF);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x77);
    poke(&f, 0x9FFFF, 1);
    poke(&f, HW_RAM_SIZE - 1, 2);
    ck_assert_uint_eq(mem_region_host(f.ram)[0x9FFFF], 1);
    ck_assert_uint_eq(mem_region_host(f.ram)[HW_RAM_SIZE - 1], 2);
    ck_assert_uint_eq(peek(&f, HW_RAM_SIZE), 0xFF);
    teardown(&f);
}
END_TEST

START_TEST(split)
{
    ck_assert_uint_eq(i440fx_ram_below_4g(0xDFFFFFFF), 0xDFFFFFFF);
    ck_assert_uint_eq(i440fx_ram_above_4g(0xDFFFFFFF), 0);
    ck_assert_uint_eq(i440fx_ram_below_4g(UINT64_C(0x200000000)), 0xC0000000);
    ck_assert_uint_eq(i440fx_ram_above_4g(UINT64_C(0x200000000)), UINT64_C(0x140000000));
}
END_TEST

START_TEST(pam)
{
    struct fixture f;
    setup(&f);
    hw_config_write(&f.hw, 0, 0x59, 0x20, 1); /* F0000: write RAM, read ROM */
    poke(&f, 0xF1234, 0x42);
    ck_assert_uint_eq(peek(&f, 0xF1234), 0xB1);
    ck_assert_uint_eq(mem_region_host(f.ram)[0xF1234], 0x42);
    hw_config_write(&f.hw, 0, 0x59, 0x10, 1); /* read RAM, writes go to PCI */
    poke(&f, 0xF1234, 0x43);
    ck_assert_uint_eq(peek(&f, 0xF1234), 0x42);
    hw_config_write(&f.hw, 0, 0x59, 0x30, 1);
    poke(&f, 0xF1234, 0x44);
    ck_assert_uint_eq(peek(&f, 0xF1234), 0x44);
    ck_assert_uint_eq(peek(&f, 0xE0000), 0xB1);
    hw_config_write(&f.hw, 0, 0x5A, 0x30, 1); /* C4000 only */
    poke(&f, 0xC0000, 5);
    poke(&f, 0xC4000, 6);
    ck_assert_uint_eq(peek(&f, 0xC0000), 0xFF);
    ck_assert_uint_eq(peek(&f, 0xC4000), 6);
    hw_config_write(&f.hw, 0, 0x5F, 0x33, 1); /* E8000-EFFFF */
    ck_assert_uint_eq(peek(&f, 0xE7FFF), 0xB1);
    ck_assert_uint_eq(peek(&f, 0xE8000), 0);
    ck_assert_uint_eq(peek(&f, 0xEFFFF), 0);
    hw_reset(&f.hw);
    ck_assert_uint_eq(peek(&f, 0xF1234), 0xB1);
    ck_assert_uint_eq(mem_region_host(f.ram)[0xF1234], 0x44);
    teardown(&f);
}
END_TEST

START_TEST(smram)
{
    struct fixture f;
    setup(&f);
    hw_config_write(&f.hw, 0, 0x72, 0x40, 1); /* D_OPEN without G_SMRAME */
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x77);
    hw_config_write(&f.hw, 0, 0x72, 0x48, 1);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0x72, 1), 0x4A);
    poke(&f, 0xA0000, 0x11);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x11);
    hw_config_write(&f.hw, 0, 0x72, 0x58, 1); /* D_LCK clears D_OPEN and freezes */
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0x72, 1), 0x1A);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x77);
    hw_config_write(&f.hw, 0, 0x72, 0x48, 1);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0x72, 1), 0x1A);
    hw_reset(&f.hw);
    ck_assert_uint_eq(hw_config_read(&f.hw, 0, 0x72, 1), 0x02);
    hw_config_write(&f.hw, 0, 0x72, 0x48, 1);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x11);
    teardown(&f);
}
END_TEST

/* Section 3.2.19: with G_SMRAME, system management mode finds RAM where all others find the display. */
START_TEST(smm_view)
{
    struct fixture f;
    setup(&f);
    mem_region_host(f.ram)[0xA0000] = 0x21;
    mem_region_host(f.ram)[0xBFFFF] = 0x22;
    ck_assert_uint_eq(smm_peek(&f, 0xA0000), 0x77);
    hw_config_write(&f.hw, 0, 0x72, 0x40, 1); /* D_OPEN alone opens nothing */
    ck_assert_uint_eq(smm_peek(&f, 0xA0000), 0x77);
    hw_config_write(&f.hw, 0, 0x72, 0x08, 1);
    ck_assert_uint_eq(smm_peek(&f, 0xA0000), 0x21);
    ck_assert_uint_eq(smm_peek(&f, 0xBFFFF), 0x22);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x77);
    hw_config_write(&f.hw, 0, 0x72, 0x18, 1); /* locked: open to this mode alone */
    hw_config_write(&f.hw, 0, 0x72, 0x00, 1);
    ck_assert_uint_eq(smm_peek(&f, 0xA0000), 0x21);
    ck_assert_uint_eq(peek(&f, 0xA0000), 0x77);
    mem_write(i440fx_smm_memory(f.f), 0xB0000, 0x23, 1);
    ck_assert_uint_eq(mem_region_host(f.ram)[0xB0000], 0x23);
    poke(&f, 0x5000, 0x24); /* the rest is one and the same */
    ck_assert_uint_eq(smm_peek(&f, 0x5000), 0x24);
    ck_assert_uint_eq(smm_peek(&f, 0xFFFFF), 0xB1);
    hw_config_write(&f.hw, 0, 0x59, 0x30, 1); /* PAM */
    ck_assert_uint_eq(smm_peek(&f, 0xF0000), 0);
    hw_reset(&f.hw);
    ck_assert_uint_eq(smm_peek(&f, 0xA0000), 0x77);
    teardown(&f);
}
END_TEST

Suite *i440fx_suite(void)
{
    Suite *s = suite_create("i440fx");
    TCase *t = tcase_create("core");
    tcase_add_test(t, identity);
    tcase_add_test(t, map);
    tcase_add_test(t, split);
    tcase_add_test(t, pam);
    tcase_add_test(t, smram);
    tcase_add_test(t, smm_view);
    suite_add_tcase(s, t);
    return s;
}
