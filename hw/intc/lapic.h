/* Local APICs (xAPIC and x2APIC) and the bus between them, the I/O APIC and MSI. */
#ifndef MIMUS_HW_INTC_LAPIC_H
#define MIMUS_HW_INTC_LAPIC_H

#include <stdbool.h>

#include "hw/device.h"

struct lapic;
struct lapic_bus;

extern const struct state_table lapic_state_table;
extern const struct state_table lapic_bus_state_table;

enum { LAPIC_MAX = 64 };

/* The processor behind a local APIC. `intr` is a level, the others are events. All must be set. */
struct lapic_cpu {
    void (*intr)(void *opaque, int level);
    void (*nmi)(void *opaque);
    void (*smi)(void *opaque);
    void (*init)(void *opaque);
    void (*sipi)(void *opaque, uint8_t vector);
    void *opaque;
};

/* Delivery modes of ICR, LVT, RTE and MSI data (SDM 3A 11.5.1, 11.6.1). */
enum lapic_mode {
    LAPIC_FIXED,
    LAPIC_LOWEST,
    LAPIC_SMI,
    LAPIC_RESERVED,
    LAPIC_NMI,
    LAPIC_INIT,
    LAPIC_SIPI,
    LAPIC_EXTINT,
};

struct lapic_msg {
    uint32_t dest;   /* 8-bit APIC ID or logical destination; 0xff is everybody */
    uint8_t vector;
    uint8_t mode;    /* enum lapic_mode */
    bool logical;
    bool level;      /* level-triggered: the EOI is broadcast */
    bool x2apic;     /* dest has 32 bits, 0xffffffff is everybody */
};

/* The bus owns the pages of registers: one at each address that IA32_APIC_BASE of some APIC in xAPIC mode
 * names, 0xfee00000 after reset. A page shows the APIC of the processor that accesses it, and nothing (all
 * ones) to one whose APIC is somewhere else, disabled, or in x2APIC mode. */
struct lapic_bus *lapic_bus_new(struct hw_env *env);
/* After its APICs; nothing is sent while they are freed. */
void lapic_bus_free(struct lapic_bus *bus);
/* Where the index of the processor stands that accesses memory, in the order of lapic_new(). It is read in
 * accesses to a page only. Without one it is always the first that accesses. */
void lapic_bus_set_accessor(struct lapic_bus *bus, const unsigned *index);
/* Route a message of the board: not LAPIC_SIPI, which processors alone can send. False if no local APIC took
 * it. */
bool lapic_bus_send(struct lapic_bus *bus, const struct lapic_msg *msg);
/* A message-signalled interrupt: the write of `data` to `addr` in 0xfeexxxxx (SDM 3A 11.11). False if no
 * local APIC took it. */
bool lapic_bus_send_msi(struct lapic_bus *bus, uint64_t addr, uint32_t data);
/* `eoi(opaque, vector)` is called for each end of a level-triggered interrupt. One receiver. */
void lapic_bus_set_eoi(struct lapic_bus *bus, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
/* `ready(opaque)` is called when an APIC may take messages that it refused before. One receiver. */
void lapic_bus_set_ready(struct lapic_bus *bus, void (*ready)(void *opaque), void *opaque);

/* At most LAPIC_MAX on a bus; NULL beyond. The first is the bootstrap processor's. */
struct lapic *lapic_new(struct hw_env *env, struct lapic_bus *bus, uint8_t id, const struct lapic_cpu *cpu);
void lapic_free(struct lapic *l);

/* The processor has served the INIT that a message asked for. */
void lapic_init_taken(struct lapic *l);

/* The page of registers of this APIC. Only 4-byte accesses at multiples of 16 mean something. */
uint64_t lapic_mmio_read(struct lapic *l, uint64_t off, unsigned size);
void lapic_mmio_write(struct lapic *l, uint64_t off, uint64_t value, unsigned size);
/* One register by its number (MMIO offset >> 4). */
uint32_t lapic_reg_read(struct lapic *l, unsigned index);
void lapic_reg_write(struct lapic *l, unsigned index, uint32_t value);

/* The same in x2APIC mode, as RDMSR and WRMSR of 0x800 + index: all of ICR is index 0x30. False (nothing
 * changed) is #GP: not in that mode, no such register, no right, or reserved bits (SDM 3A 11.12.1). */
bool lapic_msr_read(struct lapic *l, unsigned index, uint64_t *value);
bool lapic_msr_write(struct lapic *l, unsigned index, uint64_t value);

/* Is the INTR output active (from this APIC or the 8259)? */
bool lapic_has_interrupt(const struct lapic *l);
/* Must the next INTA be answered by the 8259? Fixed interrupts go first. */
bool lapic_extint_pending(const struct lapic *l);
/* INTA: the vector, now in service; the spurious vector if the request is gone; -1 if the answer is not ours
 * (software-disabled with nothing pending, or lapic_extint_pending()). Several processors may see the one
 * request of the 8259: the first to answer takes it, the others have no interrupt any more. */
int lapic_ack(struct lapic *l);
/* LINT0: the 8259's INT output, connected to every local APIC. LINT1: the board's NMI. */
void lapic_set_extint(struct lapic *l, int level);
void lapic_set_nmi(struct lapic *l, int level);

/* CR8: bits 7..4 of the TPR, as 0..15. */
uint8_t lapic_get_tpr(const struct lapic *l);
void lapic_set_tpr(struct lapic *l, uint8_t cr8);
/* IA32_APIC_BASE. set: false (nothing changed) is #GP: reserved bits, or a forbidden change of mode. */
uint64_t lapic_get_base(const struct lapic *l);
bool lapic_set_base(struct lapic *l, uint64_t value);
/* IA32_TSC_DEADLINE: `tsc` as written and the virtual time in ns at which the
 * TSC reaches it. 0 disarms. Ignored unless the timer is in TSC-deadline mode.
 * get: 0 once it has fired. */
uint64_t lapic_get_tsc_deadline(const struct lapic *l);
void lapic_set_tsc_deadline(struct lapic *l, uint64_t tsc, int64_t when);

#endif
