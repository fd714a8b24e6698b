/* Registers of the local APIC, as memory in xAPIC mode (Intel SDM volume 3A, 11.4.1) and as model-specific
 * registers in x2APIC mode (11.12.1). */
#include "hw/intc/lapic_internal.h"

/* Integrated APIC, six LVT entries, suppression of EOI broadcasts. */
#define LAPIC_VERSION 0x01050014

/* What there is to read and write in the one mode and in the other (SDM tables 11-1 and 11-6). */
enum { R = 1, W = 2, X2R = 4, X2W = 8, RO = R | X2R, RW = R | W | X2R | X2W };

static const uint8_t reg_access[REG_COUNT] = {
    [REG_ID] = R | W | X2R,
    [REG_VERSION] = RO,
    [REG_TPR] = RW,
    [REG_APR] = R,
    [REG_PPR] = RO,
    [REG_EOI] = W | X2W,
    [REG_RRD] = R,
    [REG_LDR] = R | W | X2R,
    [REG_DFR] = R | W,
    [REG_SVR] = RW,
    [REG_ISR ... REG_ESR - 1] = RO,
    [REG_ESR] = RW,
    [REG_ICR_LOW] = RW,
    [REG_ICR_HIGH] = R | W,
    [REG_LVT ... REG_LVT + LVT_COUNT - 1] = RW,
    [REG_INITIAL_COUNT] = RW,
    [REG_CURRENT_COUNT] = RO,
    [REG_DIVIDE] = RW,
    [REG_SELF_IPI] = X2W,
};

static unsigned access_of(unsigned index)
{
    return index < REG_COUNT ? reg_access[index] : 0;
}

static bool is_lvt(unsigned index)
{
    return index >= REG_LVT && index < REG_LVT + LVT_COUNT;
}

/* A place where xAPIC mode has no register at all. */
static bool illegal_register(struct lapic *l, unsigned index)
{
    if (access_of(index) & (R | W))
        return false;
    log_guest(l->log, "lapic: access to reserved register 0x%x\n", index << 4);
    lapic_error(l, ESR_ILLEGAL_REGISTER);
    return true;
}

uint32_t lapic_reg_read(struct lapic *l, unsigned index)
{
    const struct lapic_regs *r = &l->regs;
    if (illegal_register(l, index))
        return 0;
    if (is_lvt(index))
        return r->lvt[index - REG_LVT];
    switch (index) {
    case REG_ID: return r->id;
    case REG_VERSION: return LAPIC_VERSION;
    case REG_TPR: return r->tpr;
    case REG_APR: return lapic_apr(l);
    case REG_PPR: return lapic_ppr(l);
    case REG_LDR: return r->ldr;
    case REG_DFR: return r->dfr;
    case REG_SVR: return r->svr;
    case REG_ISR ... REG_TMR - 1: return r->isr[index - REG_ISR];
    case REG_TMR ... REG_IRR - 1: return r->tmr[index - REG_TMR];
    case REG_IRR ... REG_ESR - 1: return r->irr[index - REG_IRR];
    case REG_ESR: return r->esr;
    case REG_ICR_LOW:
    case REG_ICR_HIGH: return r->icr[index - REG_ICR_LOW];
    case REG_INITIAL_COUNT: return lapic_timer_initial(l);
    case REG_CURRENT_COUNT: return lapic_timer_current(l);
    case REG_DIVIDE: return r->divide;
    }
    return 0; /* EOI; remote read, which no processor answers */
}

/* While the APIC is disabled by software the mask bits cannot be cleared (SDM 11.4.7.2). */
static void write_lvt(struct lapic *l, enum lvt n, uint32_t v)
{
    v &= lapic_lvt_writable[n];
    if (!lapic_sw_enabled(l))
        v |= LVT_MASKED;
    if (n == LVT_TIMER)
        lapic_timer_write_lvt(l, v);
    else
        lapic_lvt_write(l, n, v);
}

/* Software disable masks all LVT entries (SDM 11.4.7.2). */
static void write_svr(struct lapic *l, uint32_t v)
{
    bool was = lapic_sw_enabled(l);
    l->regs.svr = v & SVR_BITS;
    for (unsigned n = 0; n < LVT_COUNT && !(v & SVR_ENABLE); n++)
        write_lvt(l, (enum lvt)n, l->regs.lvt[n] | LVT_MASKED);
    if (!was && lapic_sw_enabled(l))
        lapic_bus_retry(l->bus);
}

static void write_icr(struct lapic *l, uint32_t v)
{
    l->regs.icr[0] = v & ICR_BITS;
    lapic_bus_send_ipi(l);
}

/* By which destinations the APIC is reached. */
static void write_address(struct lapic *l, uint32_t *reg, uint32_t v)
{
    *reg = v;
    lapic_bus_map_ids(l->bus);
    lapic_bus_retry(l->bus);
}

void lapic_reg_write(struct lapic *l, unsigned index, uint32_t v)
{
    struct lapic_regs *r = &l->regs;
    if (illegal_register(l, index))
        return;
    if (is_lvt(index)) {
        write_lvt(l, (enum lvt)(index - REG_LVT), v);
        return;
    }
    switch (index) {
    case REG_ID: write_address(l, &r->id, v & 0xff000000); break;
    case REG_TPR: r->tpr = v & 0xff; lapic_update_irq(l); break;
    case REG_EOI: lapic_eoi(l); break;
    case REG_LDR: write_address(l, &r->ldr, v & 0xff000000); break;
    case REG_DFR: write_address(l, &r->dfr, v | 0x0fffffff); break;
    case REG_SVR: write_svr(l, v); break;
    case REG_ESR: r->esr = r->errors; r->errors = 0; break;
    case REG_ICR_LOW: write_icr(l, v); break;
    case REG_ICR_HIGH: r->icr[1] = v & 0xff000000; break;
    case REG_INITIAL_COUNT: lapic_timer_write_initial(l, v); break;
    case REG_DIVIDE: lapic_timer_write_divide(l, v); break;
    default: log_guest(l->log, "lapic: write of 0x%x to read-only register 0x%x\n", v, index << 4);
    }
}

/* ---- xAPIC mode ---- */

/* Registers are 32 bits wide at addresses that are multiples of 16; other accesses mean nothing. */
static bool is_register_access(uint64_t off, unsigned size)
{
    return !(off & 0xf) && off < MEM_PAGE_SIZE && size == 4;
}

uint64_t lapic_mmio_read(struct lapic *l, uint64_t off, unsigned size)
{
    return is_register_access(off, size) ? lapic_reg_read(l, (unsigned)off >> 4) : 0;
}

void lapic_mmio_write(struct lapic *l, uint64_t off, uint64_t value, unsigned size)
{
    if (is_register_access(off, size))
        lapic_reg_write(l, (unsigned)off >> 4, (uint32_t)value);
}

/* ---- x2APIC mode ---- */

/* The bits that may be written; the read-only ones of the LVT are ignored. */
static uint64_t x2apic_writable(unsigned index)
{
    if (is_lvt(index))
        return lapic_lvt_writable[index - REG_LVT] | LVT_DELIVERY_STATUS |
               (index == REG_LVT + LVT_LINT0 || index == REG_LVT + LVT_LINT1 ? LVT_REMOTE_IRR : 0);
    switch (index) {
    case REG_EOI:
    case REG_ESR: return 0;
    case REG_TPR:
    case REG_SELF_IPI: return 0xff;
    case REG_SVR: return SVR_BITS;
    case REG_ICR_LOW: return ICR_BITS | ~MASK(32);
    case REG_DIVIDE: return 0xb;
    }
    return UINT32_MAX;
}

bool lapic_msr_read(struct lapic *l, unsigned index, uint64_t *value)
{
    if (!lapic_x2apic(l) || !(access_of(index) & X2R))
        return false;
    if (index == REG_ID)
        *value = l->initial_id;
    else if (index == REG_LDR)
        *value = lapic_x2apic_ldr(l);
    else if (index == REG_ICR_LOW)
        *value = (uint64_t)l->regs.icr[1] << 32 | l->regs.icr[0];
    else
        *value = lapic_reg_read(l, index);
    return true;
}

static void self_ipi(struct lapic *l, uint8_t vector)
{
    struct lapic_msg m = { .vector = vector, .mode = LAPIC_FIXED };

    if (vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    lapic_accept(l, &m);
}

bool lapic_msr_write(struct lapic *l, unsigned index, uint64_t value)
{
    if (!lapic_x2apic(l) || !(access_of(index) & X2W) || (value & ~x2apic_writable(index)))
        return false;
    if (index == REG_SELF_IPI) {
        self_ipi(l, (uint8_t)value);
        return true;
    }
    if (index == REG_ICR_LOW)
        l->regs.icr[1] = (uint32_t)(value >> 32);
    lapic_reg_write(l, index, (uint32_t)value);
    return true;
}
