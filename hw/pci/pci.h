/* PCI bus 0: configuration mechanism 1, configuration space, base addresses,
 * interrupt pins (PCI Local Bus Specification 2.3). */
#ifndef MIMUS_HW_PCI_PCI_H
#define MIMUS_HW_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"

#define PCI_DEVFN(slot, fn) ((slot) << 3 | (fn))
#define PCI_NUM_BARS 7
#define PCI_ROM_BAR 6 /* the expansion ROM base address at 0x30 */

enum pci_config_reg {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION_ID = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CACHE_LINE_SIZE = 0x0C,
    PCI_LATENCY_TIMER = 0x0D,
    PCI_HEADER_TYPE = 0x0E,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2C,
    PCI_SUBSYSTEM_ID = 0x2E,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITY_LIST = 0x34,
    PCI_INTERRUPT_LINE = 0x3C,
    PCI_INTERRUPT_PIN = 0x3D,
};

enum pci_command_bit {
    PCI_COMMAND_IO = 0x0001,
    PCI_COMMAND_MEMORY = 0x0002,
    PCI_COMMAND_MASTER = 0x0004,
    PCI_COMMAND_PARITY = 0x0040,
    PCI_COMMAND_SERR = 0x0100,
    PCI_COMMAND_INTX_DISABLE = 0x0400,
};

enum pci_bar_type {
    PCI_BAR_IO = 0x1,
    PCI_BAR_MEM32 = 0x0,
    PCI_BAR_MEM32_PREFETCH = 0x8,
    PCI_BAR_MEM64 = 0x4,           /* takes this base address and the next one */
    PCI_BAR_MEM64_PREFETCH = 0xC,
};

struct pci_bus;
struct msix;

/* What identifies a function; the interrupt pin is 0 (none) or 1..4 (INTA..INTD). */
struct pci_id {
    uint16_t vendor, device;
    uint8_t revision;
    uint32_t class_code; /* 24 bits: base class, subclass, programming interface */
    uint16_t subsystem_vendor, subsystem;
    uint8_t interrupt_pin;
};

/* Guest-visible state of every function. */
struct pci_regs {
    uint8_t config[256];
    uint8_t intx; /* level that the device drives on its pin, before INTX_DISABLE */
    uint8_t pad[3];
};

struct pci_bar {
    struct mem_region *region; /* the device's own; NULL: not implemented */
    uint64_t size;             /* a power of two */
    uint64_t addr;             /* where it is mapped, while it is */
    uint8_t type;
    bool mapped;
};

/* One function; embedded in a device. Between pci_device_init() and the first
 * reset a device edits power_on, wmask and w1c for its own registers. */
struct pci_device {
    struct pci_regs regs;
    uint8_t power_on[256]; /* configuration space after reset */
    uint8_t wmask[256];    /* bits that a write changes */
    uint8_t w1c[256];      /* bits that writing 1 clears */
    struct pci_bar bar[PCI_NUM_BARS];
    struct hw_env *env;
    struct pci_bus *bus;
    uint8_t devfn;
    uint8_t msi;           /* offset of the capability MSI, or 0; hw/pci/msi.h */
    struct msix *msix;     /* NULL: no MSI-X */
    /* Called after configuration bytes [reg, reg+len) may have changed: a write, a reset, a load. May be
     * NULL. */
    void (*written)(struct pci_device *d, unsigned reg, unsigned len);
    struct device dev;
};

extern const struct state_table pci_state_table;
extern const struct state_table pci_bus_state_table;

/* The bus with its ports 0xCF8-0xCFF in env's port space; `memory` is the container in which memory base
 * addresses are mapped. */
struct pci_bus *pci_bus_new(struct hw_env *env, struct mem_region *memory);
void pci_bus_free(struct pci_bus *bus);
/* `set(opaque, pirq, level)` gets the wired-OR of the interrupt pins, pirq 0..3 = PIRQA..PIRQD. */
void pci_bus_set_router(struct pci_bus *bus, void (*set)(void *opaque, int pirq, int level), void *opaque);
/* Byte accesses to port 0xCF9 go to these (the reset control register of the south bridge). */
void pci_bus_set_cf9(struct pci_bus *bus, uint8_t (*read)(void *opaque),
                     void (*write)(void *opaque, uint8_t value), void *opaque);
/* `send(opaque, addr, data)` gets the messages of the functions: writes of 4 bytes to 0xFEExxxxx. */
void pci_bus_set_message(struct pci_bus *bus, void (*send)(void *opaque, uint64_t addr, uint32_t data),
                         void *opaque);
/* devfn of function 0 of the first slot from 2 up that nobody uses, or -1. */
int pci_bus_free_slot(const struct pci_bus *bus);
/* The function at devfn 0..255, or NULL. */
struct pci_device *pci_bus_find(const struct pci_bus *bus, unsigned devfn);

/* Plug function `d` in at devfn (which must be free) and register its configuration space for reset, save and
 * load. `name` must outlive the device. */
void pci_device_init(struct pci_device *d, struct hw_env *env, struct pci_bus *bus, unsigned devfn,
                     const char *name, const struct pci_id *id);
/* Unmap and unplug; the device frees its regions afterwards. */
void pci_device_remove(struct pci_device *d);
/* Base address n (0..5, or PCI_ROM_BAR): `region`, owned by the device, whose size is a power of two (ports:
 * 4 to 256, memory: from 16, ROM: from 2048). */
void pci_device_add_bar(struct pci_device *d, unsigned n, enum pci_bar_type type, struct mem_region *region);
/* Link `len` bytes at `offset` (>= 0x40, dword-aligned) into the capability list as capability `id`. */
void pci_device_add_capability(struct pci_device *d, uint8_t id, unsigned offset, unsigned len);
/* Drive the interrupt pin. It is let go while INTX_DISABLE is set or MSI or MSI-X is enabled. */
void pci_device_set_irq(struct pci_device *d, int level);
/* Write a message, 4 bytes at a multiple of 4: an interrupt at 0xFEExxxxx, else only memory takes it. It is
 * lost while the device is no bus master. */
void pci_device_send_message(struct pci_device *d, uint64_t addr, uint32_t data);
/* May the device read and write memory? */
bool pci_device_is_master(const struct pci_device *d);

/* Configuration access; size 1, 2 or 4, within the 256 bytes. */
uint32_t pci_config_read(const struct pci_device *d, unsigned reg, unsigned size);
void pci_config_write(struct pci_device *d, unsigned reg, uint32_t value, unsigned size);

#endif
