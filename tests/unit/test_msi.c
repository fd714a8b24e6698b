/* hw/pci/msi: MSI and MSI-X through configuration space and memory (PCI Local Bus Specification 3.0, 6.8). */
#include "hw/pci/msi.h"

#include <check.h>

#include "base/bits.h"
#include "hw/pci/pci.h"
#include "hw_fixture.h"

enum { DEV = PCI_DEVFN(3, 0), MSI_CAP = 0x50, MSIX_CAP = 0x70, VECTORS = 70, PBA = 0x800, MAX_SENT = 64 };
#define BAR UINT32_C(0xe0000000)

struct message {
    uint64_t addr;
    uint32_t data;
};

static struct hw_fixture hw;
static struct mem_region *pci_memory, *container;
static struct pci_bus *bus;
static struct pci_device dev;
static struct message sent[MAX_SENT];
static unsigned num_sent;
static int pirq[4];

static void capture(void *opaque, uint64_t addr, uint32_t data)
{
    (void)opaque;
    ck_assert_uint_lt(num_sent, MAX_SENT);
    sent[num_sent++] = (struct message){ addr, data };
}

static void record_pirq(void *opaque, int n, int level)
{
    (void)opaque;
    pirq[n] = level;
}

static uint32_t cfg(unsigned reg, unsigned size) { return hw_config_read(&hw, DEV, reg, size); }
static void set_cfg(unsigned reg, uint32_t v, unsigned size) { hw_config_write(&hw, DEV, reg, v, size); }
static uint32_t mem(uint32_t off) { return (uint32_t)mem_read(hw.env.memory, BAR + off, 4); }
static void set_mem(uint32_t off, uint32_t v) { mem_write(hw.env.memory, BAR + off, v, 4); }

static void begin(void)
{
    static const struct pci_id id = { .vendor = 0x1234, .device = 0x5678, .interrupt_pin = 1 };

    hw_fixture_init(&hw);
    pci_memory = mem_container_new("pci", UINT64_C(1) << 40);
    container = mem_container_new("bar", 0x1000);
    mem_region_add(hw.env.mem_root, 0, pci_memory, 0);
    bus = pci_bus_new(&hw.env, pci_memory);
    pci_bus_set_router(bus, record_pirq, NULL);
    pci_bus_set_message(bus, capture, NULL);
    pci_device_init(&dev, &hw.env, bus, DEV, "probe", &id);
    num_sent = 0;
    memset(pirq, 0, sizeof(pirq));
}

/* After the capabilities have been added. */
static void power(void)
{
    pci_device_add_bar(&dev, 1, PCI_BAR_MEM32, container);
    hw_reset(&hw);
    set_cfg(PCI_BAR0 + 4, BAR, 4);
    set_cfg(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void setup(void)
{
    struct msix_place place = { .bar = 1, .table = 0, .pending = PBA };

    begin();
    msi_init(&dev, MSI_CAP, 8, MSI_64BIT | MSI_MASKABLE);
    place.container = container;
    msix_init(&dev, MSIX_CAP, VECTORS, &place);
    power();
}

static void teardown(void)
{
    pci_device_remove(&dev);
    msix_free(&dev);
    pci_bus_free(bus);
    mem_region_free(container);
    mem_region_free(pci_memory);
    hw_fixture_destroy(&hw);
}

static void check_sent(const char *what, uint64_t addr, uint32_t data)
{
    ck_assert_msg(num_sent == 1, "%s: %u messages", what, num_sent);
    ck_assert_msg(sent[0].addr == addr && sent[0].data == data, "%s: %llx, %x", what,
                  (unsigned long long)sent[0].addr, sent[0].data);
    num_sent = 0;
}

START_TEST(state)
{
    ck_assert_int_eq(state_table_gap(&msix_state_table), -1);
}
END_TEST

START_TEST(capability_list)
{
    ck_assert_uint_eq(cfg(PCI_STATUS, 2) & 0x10, 0x10);
    ck_assert_uint_eq(cfg(PCI_CAPABILITY_LIST, 1), MSIX_CAP);
    ck_assert_uint_eq(cfg(MSIX_CAP, 2), MSI_CAP << 8 | 0x11);
    ck_assert_uint_eq(cfg(MSI_CAP, 2), 0x0005);
    ck_assert_uint_eq(cfg(MSI_CAP + 2, 2), 0x0186); /* 8 vectors, 64 bits, mask bits */
    ck_assert_uint_eq(cfg(MSIX_CAP + 2, 2), VECTORS - 1);
    ck_assert_uint_eq(cfg(MSIX_CAP + 4, 4), 0x001);
    ck_assert_uint_eq(cfg(MSIX_CAP + 8, 4), PBA | 1);
}
END_TEST

/* What software may write of the capabilities. */
START_TEST(writable_bits)
{
    static const struct { uint8_t reg; uint32_t read; } t[] = {
        { MSI_CAP, 0x01f70005 }, { MSI_CAP + 4, 0xfffffffc }, { MSI_CAP + 8, 0xffffffff },
        { MSI_CAP + 12, 0x0000ffff }, { MSI_CAP + 16, 0x000000ff }, { MSI_CAP + 20, 0 },
        { MSIX_CAP, 0xc0000011 | MSI_CAP << 8 | (VECTORS - 1) << 16 }, { MSIX_CAP + 4, 1 },
        { MSIX_CAP + 8, PBA | 1 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        set_cfg(t[i].reg, 0xffffffff, 4);
        ck_assert_msg(cfg(t[i].reg, 4) == t[i].read, "%02x: %08x", t[i].reg, cfg(t[i].reg, 4));
    }
    hw_reset(&hw);
    ck_assert_uint_eq(cfg(MSI_CAP + 2, 2), 0x0186);
    ck_assert_uint_eq(cfg(MSI_CAP + 4, 4) | cfg(MSI_CAP + 16, 4), 0);
    ck_assert_uint_eq(cfg(MSIX_CAP + 2, 2), VECTORS - 1);
}
END_TEST

/* The layouts of figure 6-9: where data, mask and pending are, and how long it is. */
START_TEST(msi_layouts)
{
    static const struct { unsigned features, control, data, mask; } t[] = {
        { 0, 0x000a, 8, 0 }, { MSI_64BIT, 0x008a, 12, 0 }, { MSI_MASKABLE, 0x010a, 8, 12 },
        { MSI_64BIT | MSI_MASKABLE, 0x018a, 12, 16 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        bool wide = t[i].features & MSI_64BIT;
        teardown();
        begin();
        msi_init(&dev, MSI_CAP, 32, t[i].features);
        power();
        ck_assert_uint_eq(cfg(MSI_CAP + 2, 2), t[i].control);
        set_cfg(MSI_CAP + 4, 0xfee12004, 4);
        if (wide)
            set_cfg(MSI_CAP + 8, 0, 4);
        set_cfg(MSI_CAP + t[i].data, 0x4140, 2);
        set_cfg(MSI_CAP + 2, 0x51, 2); /* enabled, all 32 vectors */
        ck_assert(msi_notify(&dev, 31));
        check_sent("wide open", 0xfee12004, 0x415f);
        if (!t[i].mask)
            continue;
        set_cfg(MSI_CAP + t[i].mask, BIT(31), 4);
        msi_notify(&dev, 31);
        ck_assert_uint_eq(num_sent, 0);
        ck_assert_uint_eq(cfg(MSI_CAP + t[i].mask + 4, 4), BIT(31));
        set_cfg(MSI_CAP + t[i].mask, 0, 4);
        check_sent("unmasked", 0xfee12004, 0x415f);
        ck_assert_uint_eq(cfg(MSI_CAP + t[i].mask + 4, 4), 0);
    }
}
END_TEST

static void start_msi(unsigned allotted)
{
    set_cfg(MSI_CAP + 4, 0xfee01000, 4);
    set_cfg(MSI_CAP + 12, 0x0047, 2);
    set_cfg(MSI_CAP + 2, allotted << 4 | 1, 2);
}

/* The number takes the low bits of the data, as many as vectors are allotted; more than it has it does not
 * use. */
START_TEST(msi_vectors)
{
    static const struct { unsigned allotted, vector, data; } t[] = {
        { 0, 0, 0x47 }, { 0, 5, 0x47 }, { 1, 0, 0x46 }, { 1, 1, 0x47 }, { 1, 2, 0x46 }, { 2, 3, 0x47 },
        { 2, 6, 0x46 }, { 3, 0, 0x40 }, { 3, 7, 0x47 }, { 5, 7, 0x47 }, { 7, 2, 0x42 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        start_msi(t[i].allotted);
        ck_assert(msi_notify(&dev, t[i].vector));
        check_sent("vector", 0xfee01000, t[i].data);
    }
}
END_TEST

START_TEST(msi_masking)
{
    start_msi(3);
    set_cfg(MSI_CAP + 16, 0x0f, 4);
    for (unsigned v = 0; v < 6; v++) {
        msi_notify(&dev, v);
        msi_notify(&dev, v);
    }
    ck_assert_uint_eq(num_sent, 4); /* 4 and 5, twice */
    num_sent = 0;
    ck_assert_uint_eq(cfg(MSI_CAP + 20, 4), 0x0f);
    set_cfg(MSI_CAP + 16, 0x0b, 1);
    check_sent("2 unmasked", 0xfee01000, 0x42);
    ck_assert_uint_eq(cfg(MSI_CAP + 20, 4), 0x0b);
    set_cfg(MSI_CAP + 2, 0x30, 2);
    set_cfg(MSI_CAP + 16, 0x03, 4); /* disabled: waits */
    ck_assert_uint_eq(num_sent, 0);
    set_cfg(MSI_CAP + 2, 0x31, 2);
    check_sent("3 when enabled", 0xfee01000, 0x43);
    hw_reset(&hw);
    ck_assert_uint_eq(cfg(MSI_CAP + 20, 4), 0);
}
END_TEST

/* While messages are enabled the pin is let go; without them it is the device's business. */
START_TEST(pin)
{
    static const struct { uint8_t reg; uint16_t on; } t[] = { { MSI_CAP + 2, 1 }, { MSIX_CAP + 2, 0x8000 } };
    int *line = &pirq[2]; /* INTA of slot 3 */

    ck_assert(!msi_notify(&dev, 0));
    ck_assert(!msi_is_enabled(&dev));
    pci_device_set_irq(&dev, 1);
    ck_assert_int_eq(*line, 1);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        set_cfg(t[i].reg, t[i].on, 2);
        ck_assert(msi_is_enabled(&dev));
        ck_assert_int_eq(*line, 0);
        set_cfg(t[i].reg, 0, 2);
        ck_assert_int_eq(*line, 1);
    }
    ck_assert_uint_eq(num_sent, 0);
}
END_TEST

static void set_entry(unsigned n, uint32_t addr, uint32_t data, uint32_t control)
{
    set_mem(16 * n, addr);
    set_mem(16 * n + 4, 0);
    set_mem(16 * n + 8, data);
    set_mem(16 * n + 12, control);
}

START_TEST(msix_table)
{
    for (unsigned n = 0; n < VECTORS; n++) {
        ck_assert_uint_eq(mem(16 * n + 12), 1); /* masked after reset */
        set_entry(n, 0xfee00003 | n << 12, 0xaabb0000 + n, 0xffffffff);
    }
    for (unsigned n = 0; n < VECTORS; n++) {
        ck_assert_uint_eq(mem(16 * n), 0xfee00000 | n << 12);
        ck_assert_uint_eq(mem(16 * n + 8), 0xaabb0000 + n);
        ck_assert_uint_eq(mem(16 * n + 12), 1);
    }
    mem_write(hw.env.memory, BAR + 16, UINT64_C(0x00000000fee77000), 8);
    ck_assert_uint_eq(mem_read(hw.env.memory, BAR + 16, 8), 0xfee77000);
    mem_write(hw.env.memory, BAR + 16, 0x55, 1); /* only dwords and qwords */
    mem_write(hw.env.memory, BAR + 18, 0x5555, 2);
    ck_assert_uint_eq(mem(16), 0xfee77000);
    ck_assert_uint_eq(mem(16 * VECTORS), 0xffffffff); /* behind it */
    hw_reset(&hw);
    set_cfg(PCI_BAR0 + 4, BAR, 4);
    set_cfg(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    ck_assert_uint_eq(mem(0), 0);
    ck_assert_uint_eq(mem(12), 1);
}
END_TEST

START_TEST(msix_masking)
{
    static const unsigned probe[] = { 0, 31, 32, 63, 64, VECTORS - 1 };

    set_cfg(MSIX_CAP + 2, 0x8000, 2);
    for (unsigned i = 0; i < ARRAY_LEN(probe); i++) {
        unsigned v = probe[i];
        set_entry(v, 0xfee03000, 0x1000 + v, 1);
        ck_assert(msi_notify(&dev, v));
        ck_assert_uint_eq(num_sent, 0);
        ck_assert_uint_eq(mem(PBA + v / 32 * 4), 1u << v % 32);
        set_mem(16 * v + 12, 0);
        check_sent("unmasked", 0xfee03000, 0x1000 + v);
        ck_assert_uint_eq(mem(PBA + v / 32 * 4), 0);
        msi_notify(&dev, v);
        check_sent("open", 0xfee03000, 0x1000 + v);
    }
    set_cfg(MSIX_CAP + 2, 0xc000, 2); /* the whole function */
    msi_notify(&dev, 0);
    msi_notify(&dev, 64);
    set_mem(16 * 64 + 12, 1);
    set_mem(PBA, 0); /* read-only */
    ck_assert_uint_eq(mem_read(hw.env.memory, BAR + PBA, 8), 1);
    ck_assert_uint_eq(mem_read(hw.env.memory, BAR + PBA + 8, 8), 1);
    ck_assert_uint_eq(num_sent, 0);
    set_cfg(MSIX_CAP + 3, 0x80, 1);
    check_sent("0, not 64", 0xfee03000, 0x1000);
    ck_assert_uint_eq(mem(PBA + 8), 1);
    ck_assert(msi_notify(&dev, VECTORS)); /* nothing there */
    ck_assert(msi_notify(&dev, ~0u));
    ck_assert_uint_eq(num_sent, 0);
    set_cfg(MSIX_CAP + 2, 0, 2);
    ck_assert(!msi_notify(&dev, 0));
    start_msi(0); /* both: MSI-X */
    set_cfg(MSIX_CAP + 2, 0x8000, 2);
    msi_notify(&dev, 0);
    check_sent("both", 0xfee03000, 0x1000);
}
END_TEST

/* A message is a write of the device: to memory where the guest says so, and only as a bus master. It reaches
 * no other device. */
START_TEST(where_messages_go)
{
    static const struct { uint32_t upper, addr; bool interrupt; } t[] = {
        { 0, 0xfee00000, true }, { 0, 0xfeeffffc, true }, { 0, 0xfedffffc, false }, { 0, 0xfef00000, false },
        { 1, 0xfee00000, false }, { 0, BAR, false }, { 0, BAR + 12, false },
    };
    struct mem_region *ram = hw_add_ram(&hw);

    set_cfg(MSIX_CAP + 2, 0x8000, 2);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        set_entry(5, t[i].addr, 0x41, 0);
        set_mem(16 * 5 + 4, t[i].upper);
        msi_notify(&dev, 5);
        ck_assert_msg(num_sent == t[i].interrupt, "row %u", i);
        num_sent = 0;
    }
    ck_assert_uint_eq(mem(0), 0);
    set_entry(5, 0x2000, 0x12345678, 0);
    msi_notify(&dev, 5);
    ck_assert_uint_eq(mem_read(hw.env.memory, 0x2000, 4), 0x12345678);
    set_cfg(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set_entry(5, 0xfee00000, 0x41, 0);
    ck_assert(msi_notify(&dev, 5));
    ck_assert_uint_eq(num_sent, 0);
    mem_region_free(ram);
}
END_TEST

Suite *msi_suite(void)
{
    Suite *s = suite_create("msi");
    TCase *tc = tcase_create("msi");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, state);
    tcase_add_test(tc, capability_list);
    tcase_add_test(tc, writable_bits);
    tcase_add_test(tc, msi_layouts);
    tcase_add_test(tc, msi_vectors);
    tcase_add_test(tc, msi_masking);
    tcase_add_test(tc, pin);
    tcase_add_test(tc, msix_table);
    tcase_add_test(tc, msix_masking);
    tcase_add_test(tc, where_messages_go);
    suite_add_tcase(s, tc);
    return s;
}
