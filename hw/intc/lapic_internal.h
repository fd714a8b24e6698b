/* What the files of the local APIC share: registers, bits, the bus, and what each does for the others. */
#ifndef MIMUS_HW_INTC_LAPIC_INTERNAL_H
#define MIMUS_HW_INTC_LAPIC_INTERNAL_H

#include "base/bits.h"
#include "hw/intc/lapic.h"

/* Register numbers: MMIO offset >> 4 (SDM table 11-1). */
enum lapic_reg {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f, /* x2APIC mode only */
    REG_COUNT = 0x40,
};
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFMON, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum lvt_bit {
    LVT_DELIVERY_STATUS = 1 << 12,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
};
enum svr_bit {
    SVR_ENABLE = 1 << 8,
    SVR_NO_EOI_BROADCAST = 1 << 12,
    SVR_BITS = 0x3ff | SVR_NO_EOI_BROADCAST,
};
enum esr_bit { ESR_SEND_ILLEGAL = 1 << 5, ESR_RECEIVE_ILLEGAL = 1 << 6, ESR_ILLEGAL_REGISTER = 1 << 7 };
enum icr_bit { ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15, ICR_BITS = 0xccfff };
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_MODE (APIC_BASE_EXTD | APIC_BASE_ENABLE)
#define APIC_BASE_RESERVED (MASK(8) | BIT(9) | ~MASK(52))
#define APIC_BASE_ADDR (MASK(52) & ~MASK(12))
#define LAPIC_DEFAULT_BASE UINT64_C(0xfee00000)

struct lapic_regs {
    uint64_t base;          /* IA32_APIC_BASE */
    int64_t timer_start;    /* virtual ns at which the count was the initial count */
    uint64_t tsc_deadline;  /* IA32_TSC_DEADLINE; 0 = disarmed */
    int64_t tsc_when;       /* the same in virtual ns */
    uint32_t id;
    uint32_t tpr;
    uint32_t ldr;
    uint32_t dfr;
    uint32_t svr;
    uint32_t isr[8];
    uint32_t tmr[8];
    uint32_t irr[8];
    uint32_t esr;           /* as latched by the last write */
    uint32_t errors;        /* since then */
    uint32_t icr[2];
    uint32_t lvt[LVT_COUNT];
    uint32_t initial_count;
    uint32_t divide;
    uint8_t lint[2];        /* input levels */
    uint8_t extint;         /* an ExtINT message came while, or before, the 8259 asks */
    uint8_t pad;
};

struct lapic {
    struct lapic_regs regs;
    struct device dev;
    struct log *log;
    struct clock *clock;
    struct lapic_bus *bus;
    struct lapic_cpu cpu;
    struct timer timer;
    bool init_on_its_way; /* the processor has not served it yet */
    uint8_t initial_id;
    bool bsp;
};

struct lapic_bus_regs {
    uint32_t turn; /* whom a tie of priorities prefers: the first of those from this index on */
};

/* A page of registers. Which local APIC it shows depends on who looks. */
struct lapic_page {
    struct lapic_bus *bus;
    struct mem_region *region; /* NULL: never needed */
    uint64_t addr;
    bool mapped;
};

struct lapic_bus {
    struct lapic_bus_regs regs;
    struct device dev;
    struct log *log;
    struct hw_env *env;
    struct lapic *lapic[LAPIC_MAX];
    unsigned count;
    uint8_t first[256];      /* by APIC ID: the index of its first owner, LAPIC_MAX if nobody has it */
    uint8_t next[LAPIC_MAX]; /* another with the same ID, or LAPIC_MAX */
    struct lapic_page page[LAPIC_MAX];
    const unsigned *accessor;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    void (*ready)(void *opaque);
    void *ready_opaque;
};

extern const uint32_t lapic_lvt_writable[LVT_COUNT];

static inline bool lapic_hw_enabled(const struct lapic *l)
{
    return l->regs.base & APIC_BASE_ENABLE;
}

static inline bool lapic_x2apic(const struct lapic *l)
{
    return (l->regs.base & APIC_BASE_MODE) == APIC_BASE_MODE;
}

static inline bool lapic_sw_enabled(const struct lapic *l)
{
    return lapic_hw_enabled(l) && l->regs.svr & SVR_ENABLE;
}

/* In x2APIC mode (SDM 11.12.10.2): the cluster in 31:16, a bit of 15:0. */
static inline uint32_t lapic_x2apic_ldr(const struct lapic *l)
{
    return (uint32_t)l->initial_id >> 4 << 16 | UINT32_C(1) << (l->initial_id & 15);
}

/* ---- lapic.c ---- */

uint8_t lapic_ppr(const struct lapic *l);
uint8_t lapic_apr(const struct lapic *l);
/* The processor's INTR follows the registers. After each change of what it depends on. */
void lapic_update_irq(struct lapic *l);
/* Set bits of the ESR (SDM 11.5.3). */
void lapic_error(struct lapic *l, uint32_t bits);
/* An event of LVT entry n. */
void lapic_lvt_fire(struct lapic *l, enum lvt n);
/* A new value of any entry but the timer's. */
void lapic_lvt_write(struct lapic *l, enum lvt n, uint32_t value);
void lapic_eoi(struct lapic *l);
/* Take a message that was addressed to this APIC. False: not accepted. */
bool lapic_accept(struct lapic *l, const struct lapic_msg *m);

/* ---- lapic_timer.c ---- */

void lapic_timer_init(struct lapic *l);
/* Ask the clock for the next expiry that somebody would notice. `now`: when it was last looked for one; what
 * falls due between then and the call is not past. */
void lapic_timer_arm(struct lapic *l, int64_t now);
uint32_t lapic_timer_current(const struct lapic *l);
uint32_t lapic_timer_initial(const struct lapic *l);
void lapic_timer_write_lvt(struct lapic *l, uint32_t value);
void lapic_timer_write_initial(struct lapic *l, uint32_t value);
void lapic_timer_write_divide(struct lapic *l, uint32_t value);

/* ---- lapic_bus.c ---- */

/* An ID or a mode has changed. */
void lapic_bus_map_ids(struct lapic_bus *bus);
/* A base address or a mode has changed. */
void lapic_bus_place_pages(struct lapic_bus *bus);
/* An APIC takes what it refused before. */
void lapic_bus_retry(struct lapic_bus *bus);
/* The message that the ICR of `l` describes. */
void lapic_bus_send_ipi(struct lapic *l);

#endif
