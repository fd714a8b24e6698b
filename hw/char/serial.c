/* National PC16550D UART with FIFOs (data sheet TL/C/8652), 1.8432 MHz clock.
 *
 * The backend buffers, so a character leaves the moment it is written and the
 * transmitter is always empty. The modem inputs are those of a connected
 * terminal: CTS, DSR and DCD active. */
#include "hw/char/serial.h"

#include <glib.h>

#include "base/bits.h"
#include "ui/chardev.h"

/* DLAB = 1 replaces RBR/THR and IER by the divisor latches. */
enum serial_reg { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum ier_bit { IER_ERBFI = 0x01, IER_ETBEI = 0x02, IER_ELSI = 0x04, IER_EDSSI = 0x08 };
enum iir_value {
    IIR_MODEM = 0x00,
    IIR_NONE = 0x01,
    IIR_THRE = 0x02,
    IIR_RDA = 0x04,
    IIR_RLS = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,
};
enum fcr_bit { FCR_ENABLE = 0x01, FCR_RX_RESET = 0x02 };
enum lcr_bit { LCR_WLS = 0x03, LCR_STB = 0x04, LCR_PEN = 0x08, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum mcr_bit {
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    MCR_BITS = 0x1f,
};
enum lsr_bit {
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,
    LSR_ERRORS = 0x1e,
};
enum msr_bit {
    MSR_DELTAS = 0x0f,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};
enum { FIFO_SIZE = 16, BAUD_BASE = 115200 };

struct serial_regs {
    uint8_t fifo[FIFO_SIZE];
    uint8_t fifo_error[FIFO_SIZE]; /* LSR bits that belong to the character */
    uint8_t fifo_head;
    uint8_t fifo_count;
    uint8_t ier;
    uint8_t fcr;
    uint8_t lcr;
    uint8_t mcr;
    uint8_t errors;       /* LSR error bits since its last read */
    uint8_t msr;
    uint8_t scr;
    uint8_t dll;
    uint8_t dlm;
    uint8_t thre_pending; /* the transmitter interrupt */
    uint8_t timeout;      /* the character timeout interrupt */
    uint8_t pad[3];
};

static const struct state_field serial_fields[] = {
    STATE_ARRAY(struct serial_regs, fifo, uint8_t),
    STATE_ARRAY(struct serial_regs, fifo_error, uint8_t),
    STATE_FIELD(struct serial_regs, fifo_head),
    STATE_FIELD(struct serial_regs, fifo_count),
    STATE_FIELD(struct serial_regs, ier),
    STATE_FIELD(struct serial_regs, fcr),
    STATE_FIELD(struct serial_regs, lcr),
    STATE_FIELD(struct serial_regs, mcr),
    STATE_FIELD(struct serial_regs, errors),
    STATE_FIELD(struct serial_regs, msr),
    STATE_FIELD(struct serial_regs, scr),
    STATE_FIELD(struct serial_regs, dll),
    STATE_FIELD(struct serial_regs, dlm),
    STATE_FIELD(struct serial_regs, thre_pending),
    STATE_FIELD(struct serial_regs, timeout),
    STATE_PAD(struct serial_regs, pad),
};
const struct state_table serial_state_table = STATE_TABLE("serial", 1, struct serial_regs, serial_fields);

static const struct serial_regs serial_power_on = { .msr = MSR_CTS | MSR_DSR | MSR_DCD, .dll = 12 };

struct serial {
    struct serial_regs regs;
    struct device dev;
    struct clock *clock;
    struct irq_line irq;
    struct chardev *chr;
    struct timer timer;
    struct mem_region *io;
};

static unsigned serial_capacity(const struct serial *s)
{
    return s->regs.fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/* Characters that raise the received-data interrupt. */
static unsigned serial_trigger(const struct serial *s)
{
    static const uint8_t level[4] = { 1, 4, 8, 14 };
    return s->regs.fcr & FCR_ENABLE ? level[s->regs.fcr >> 6] : 1;
}

/* Time of one character on the wire: start, data, parity and stop bits. */
static int64_t serial_char_ns(const struct serial *s)
{
    uint8_t lcr = s->regs.lcr;
    int bits = 1 + 5 + (lcr & LCR_WLS) + !!(lcr & LCR_PEN) + 1 + !!(lcr & LCR_STB);
    int divisor = s->regs.dlm << 8 | s->regs.dll;
    return muldiv64((int64_t)bits * MAX_OF(divisor, 1), NS_PER_SEC, BAUD_BASE);
}

static uint8_t serial_lsr(const struct serial *s)
{
    const struct serial_regs *r = &s->regs;
    uint8_t lsr = (uint8_t)(LSR_THRE | LSR_TEMT | r->errors | (r->fifo_count ? LSR_DR : 0));
    if (r->fcr & FCR_ENABLE)
        for (unsigned i = 0; i < r->fifo_count; i++)
            lsr |= r->fifo_error[(r->fifo_head + i) % FIFO_SIZE] ? LSR_FIFO_ERROR : 0;
    return lsr;
}

/* The highest interrupt pending (data sheet table IV). */
static enum iir_value serial_iir(const struct serial *s)
{
    const struct serial_regs *r = &s->regs;
    if (r->ier & IER_ELSI && r->errors)
        return IIR_RLS;
    if (r->ier & IER_ERBFI && r->fifo_count >= serial_trigger(s))
        return IIR_RDA;
    if (r->ier & IER_ERBFI && r->timeout)
        return IIR_TIMEOUT;
    if (r->ier & IER_ETBEI && r->thre_pending)
        return IIR_THRE;
    if (r->ier & IER_EDSSI && r->msr & MSR_DELTAS)
        return IIR_MODEM;
    return IIR_NONE;
}

static void serial_update_irq(struct serial *s)
{
    irq_set(&s->irq, serial_iir(s) != IIR_NONE);
}

/* ---- receiver ---- */

/* Four character times without a character moving, with some below the trigger level. */
static void serial_restart_timeout(struct serial *s)
{
    s->regs.timeout = 0;
    if (s->regs.fcr & FCR_ENABLE && s->regs.fifo_count)
        timer_arm(&s->timer, clock_now(s->clock) + 4 * serial_char_ns(s));
    else
        timer_cancel(&s->timer);
}

static void serial_timeout(void *opaque)
{
    struct serial *s = opaque;
    s->regs.timeout = 1;
    serial_update_irq(s);
}

/* The errors of a character show when it is the next to be read. */
static void serial_show_head(struct serial *s)
{
    if (!s->regs.fifo_count)
        return;
    s->regs.errors |= s->regs.fifo_error[s->regs.fifo_head];
}

static void serial_receive_char(struct serial *s, uint8_t c, uint8_t error)
{
    struct serial_regs *r = &s->regs;
    if (r->fifo_count >= serial_capacity(s)) {
        r->errors |= LSR_OE;
        if (!(r->fcr & FCR_ENABLE))
            r->fifo[r->fifo_head] = c; /* without FIFOs the old character is lost, with them the new one */
        return;
    }
    unsigned tail = (r->fifo_head + r->fifo_count) % FIFO_SIZE;
    r->fifo[tail] = c;
    r->fifo_error[tail] = error;
    r->fifo_count++;
    if (r->fifo_count == 1)
        serial_show_head(s);
}

static uint8_t serial_read_rbr(struct serial *s)
{
    struct serial_regs *r = &s->regs;
    uint8_t c = r->fifo[r->fifo_head];
    if (r->fifo_count) {
        r->fifo_error[r->fifo_head] = 0;
        r->fifo_head = (r->fifo_head + 1) % FIFO_SIZE;
        r->fifo_count--;
        serial_show_head(s);
    }
    serial_restart_timeout(s);
    serial_update_irq(s);
    if (s->chr && !(r->mcr & MCR_LOOP))
        chardev_accept_input(s->chr);
    return c;
}

static int serial_can_receive(void *opaque)
{
    struct serial *s = opaque;
    if (s->regs.mcr & MCR_LOOP)
        return 0;
    return (int)(serial_capacity(s) - MIN_OF(s->regs.fifo_count, serial_capacity(s)));
}

static void serial_receive(void *opaque, const uint8_t *buf, size_t len)
{
    struct serial *s = opaque;
    for (size_t i = 0; i < len; i++)
        serial_receive_char(s, buf[i], 0);
    serial_restart_timeout(s);
    serial_update_irq(s);
}

static void serial_event(void *opaque, enum chardev_event event)
{
    struct serial *s = opaque;
    if (event != CHARDEV_BREAK || s->regs.mcr & MCR_LOOP)
        return;
    serial_receive_char(s, 0, LSR_BI);
    serial_restart_timeout(s);
    serial_update_irq(s);
}

/* ---- transmitter and modem ---- */

/* The interrupt falls with the write and rises as the character leaves: an edge for the 8259. */
static void serial_transmit(struct serial *s, uint8_t c)
{
    s->regs.thre_pending = 0;
    serial_update_irq(s);
    if (s->regs.mcr & MCR_LOOP) {
        serial_receive_char(s, c, 0);
        serial_restart_timeout(s);
    } else if (s->chr) {
        chardev_write(s->chr, &c, 1);
    }
    s->regs.thre_pending = 1;
    serial_update_irq(s);
}

/* Modem inputs: the terminal's, or in loopback our own outputs (data sheet 8.8). */
static uint8_t serial_modem_inputs(const struct serial *s)
{
    uint8_t mcr = s->regs.mcr;
    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* RI has only a trailing-edge bit, the other inputs note every change. */
static void serial_update_modem(struct serial *s)
{
    uint8_t inputs = serial_modem_inputs(s);
    uint8_t changed = (uint8_t)((inputs ^ s->regs.msr) & ~MSR_DELTAS);
    if (inputs & MSR_RI)
        changed &= (uint8_t)~MSR_RI;
    s->regs.msr = (uint8_t)(inputs | (s->regs.msr & MSR_DELTAS) | changed >> 4);
}

/* ---- registers ---- */

static void serial_write_ier(struct serial *s, uint8_t v)
{
    /* Enabling the interrupt while THR is empty raises it. */
    if (v & ~s->regs.ier & IER_ETBEI)
        s->regs.thre_pending = 1;
    s->regs.ier = v & 0x0f;
}

static void serial_write_fcr(struct serial *s, uint8_t v)
{
    bool toggled = (v ^ s->regs.fcr) & FCR_ENABLE;
    if (toggled || (v & FCR_ENABLE && v & FCR_RX_RESET)) {
        s->regs.fifo_count = 0;
        memset(s->regs.fifo_error, 0, sizeof(s->regs.fifo_error));
    }
    s->regs.fcr = v & FCR_ENABLE ? v & 0xc9 : 0;
    serial_restart_timeout(s);
    if (s->chr)
        chardev_accept_input(s->chr);
}

static void serial_write_mcr(struct serial *s, uint8_t v)
{
    s->regs.mcr = v & MCR_BITS;
    serial_update_modem(s);
    if (s->chr && !(v & MCR_LOOP))
        chardev_accept_input(s->chr);
}

static void serial_write_lcr(struct serial *s, uint8_t v)
{
    bool begins = v & ~s->regs.lcr & LCR_BREAK;
    s->regs.lcr = v;
    if (begins && s->regs.mcr & MCR_LOOP)
        serial_receive_char(s, 0, LSR_BI);
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct serial *s = opaque;
    uint8_t v = (uint8_t)value;
    bool dlab = s->regs.lcr & LCR_DLAB;
    (void)size;
    switch ((enum serial_reg)offset) {
    case RBR_THR_DLL:
        if (!dlab) {
            serial_transmit(s, v);
            return;
        }
        s->regs.dll = v;
        break;
    case IER_DLM:
        if (dlab)
            s->regs.dlm = v;
        else
            serial_write_ier(s, v);
        break;
    case IIR_FCR:
        serial_write_fcr(s, v);
        break;
    case LCR:
        serial_write_lcr(s, v);
        break;
    case MCR:
        serial_write_mcr(s, v);
        break;
    case SCR:
        s->regs.scr = v;
        break;
    case LSR:
    case MSR:
        break;
    }
    serial_update_irq(s);
}

/* Reading IIR takes back the transmitter interrupt if that is what it reports. */
static uint8_t serial_read_iir(struct serial *s)
{
    enum iir_value iir = serial_iir(s);
    if (iir == IIR_THRE)
        s->regs.thre_pending = 0;
    return (uint8_t)(iir | (s->regs.fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *s = opaque;
    bool dlab = s->regs.lcr & LCR_DLAB;
    uint8_t v = 0;
    (void)size;
    switch ((enum serial_reg)offset) {
    case RBR_THR_DLL:
        return dlab ? s->regs.dll : serial_read_rbr(s);
    case IER_DLM:
        return dlab ? s->regs.dlm : s->regs.ier;
    case IIR_FCR:
        v = serial_read_iir(s);
        break;
    case LCR:
        return s->regs.lcr;
    case MCR:
        return s->regs.mcr;
    case LSR:
        v = serial_lsr(s);
        s->regs.errors = 0;
        break;
    case MSR:
        v = s->regs.msr;
        s->regs.msr &= (uint8_t)~MSR_DELTAS;
        break;
    case SCR:
        return s->regs.scr;
    }
    serial_update_irq(s);
    return v;
}

static const struct mem_ops serial_ops = { serial_read, serial_write, { 0 }, { .min = 1, .max = 1 } };

static void serial_loaded(void *opaque)
{
    struct serial *s = opaque;
    s->regs.fifo_head %= FIFO_SIZE;
    s->regs.fifo_count = MIN_OF(s->regs.fifo_count, FIFO_SIZE);
    if (!s->regs.timeout)
        serial_restart_timeout(s);
    serial_update_irq(s);
}

static void serial_reset(void *opaque)
{
    struct serial *s = opaque;
    s->regs = serial_power_on;
    serial_restart_timeout(s);
    serial_update_irq(s);
}

struct serial *serial_new(struct hw_env *env, uint16_t base, const struct irq_line *irq, struct chardev *chr)
{
    struct serial *s = g_new0(struct serial, 1);
    s->regs = serial_power_on;
    s->clock = env->clock;
    s->irq = irq ? *irq : (struct irq_line){ 0 };
    s->chr = chr;
    timer_init(&s->timer, env->clock, serial_timeout, s);
    s->io = mem_io_new("serial", 8, &serial_ops, s);
    mem_region_add(env->io_root, base, s->io, 0);
    s->dev = (struct device){
        .name = "serial", .reset = serial_reset, .state = &serial_state_table, .regs = &s->regs,
        .loaded = serial_loaded, .opaque = s,
    };
    device_register(env, &s->dev);
    if (chr)
        chardev_set_handler(chr, &(struct chardev_handler){
            .can_receive = serial_can_receive, .receive = serial_receive, .event = serial_event, .opaque = s,
        });
    return s;
}

void serial_free(struct serial *s)
{
    if (!s)
        return;
    if (s->chr)
        chardev_set_handler(s->chr, NULL);
    timer_cancel(&s->timer);
    mem_region_free(s->io);
    g_free(s);
}
