/* Interrupts of PCI functions as messages: the capabilities MSI and MSI-X (PCI Local Bus Specification 3.0,
 * section 6.8). */
#ifndef MIMUS_HW_PCI_MSI_H
#define MIMUS_HW_PCI_MSI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/state.h"

struct mem_region;
struct pci_device;
struct msix;

enum { MSI_MAX_VECTORS = 32, MSIX_MAX_VECTORS = 128 };

/* What an MSI capability may have: bits of its message control register. */
enum msi_feature {
    MSI_64BIT = 0x0080,    /* an address of 64 bits */
    MSI_MASKABLE = 0x0100, /* a mask bit and a pending bit for each vector */
};

extern const struct state_table msix_state_table;

/* Give `d` the capability MSI at `offset` of its configuration space, with 1, 2, 4 ... MSI_MAX_VECTORS
 * vectors and the features (enum msi_feature). It takes 10 bytes, 4 more with MSI_64BIT, 10 more with
 * MSI_MASKABLE. As all capabilities it comes before the first reset. */
void msi_init(struct pci_device *d, unsigned offset, unsigned vectors, unsigned features);

/* Where MSI-X keeps its table and its pending bits: in the memory of one base address, at offsets that are
 * multiples of 8. */
struct msix_place {
    unsigned bar;
    struct mem_region *container; /* what the device gives pci_device_add_bar() for that base address */
    uint64_t table;               /* 16 bytes for each vector */
    uint64_t pending;             /* a bit for each vector, rounded up to 8 bytes */
};

/* Give `d` the capability MSI-X, of 12 bytes at `offset` of its configuration space, with 1 to
 * MSIX_MAX_VECTORS vectors. The device frees it with msix_free() after pci_device_remove() and before the
 * container. */
void msix_init(struct pci_device *d, unsigned offset, unsigned vectors, const struct msix_place *place);
void msix_free(struct pci_device *d);

/* The event of vector `vector` of `d`: send its message, or note it as pending while it is masked. Software
 * that allots fewer MSI vectors than there are gets them folded: the number modulo that of vectors. A number
 * that MSI-X has no entry for is ignored. False: neither capability is enabled, and the device drives its
 * pin. */
bool msi_notify(struct pci_device *d, unsigned vector);
/* Is one of the capabilities enabled? The function's interrupt pin is not driven then. */
bool msi_is_enabled(const struct pci_device *d);

/* Bytes [reg, reg+len) of configuration space may have changed; from the PCI bus. True if they held the
 * message control of a capability. */
bool msi_config_written(struct pci_device *d, unsigned reg, unsigned len);

#endif
