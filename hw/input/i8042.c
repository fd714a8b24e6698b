/* Intel 8042 as the PC's keyboard and auxiliary device controller: IBM PS/2
 * Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller". */
#include "hw/input/i8042.h"

#include <glib.h>
#include <stdbool.h>

#include "base/bits.h"
#include "hw/input/ps2kbd.h"
#include "hw/input/ps2mouse.h"

enum i8042_command {
    CMD_READ_RAM = 0x20,
    CMD_READ_RAM_LAST = 0x3f,
    CMD_WRITE_RAM = 0x60,
    CMD_WRITE_RAM_LAST = 0x7f,
    CMD_AUX_DISABLE = 0xa7,
    CMD_AUX_ENABLE = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KBD_TEST = 0xab,
    CMD_KBD_DISABLE = 0xad,
    CMD_KBD_ENABLE = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KBD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_PULSE = 0xf0,
    CMD_PULSE_LAST = 0xff,
};
enum status_bit {
    STATUS_OBF = 0x01,
    STATUS_SYS = 0x04,
    STATUS_CMD = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
};
/* Command byte: byte 0 of the controller's RAM. */
enum ctr_bit {
    CTR_KBD_INT = 0x01,
    CTR_AUX_INT = 0x02,
    CTR_SYS = 0x04,
    CTR_KBD_DISABLE = 0x10,
    CTR_AUX_DISABLE = 0x20,
    CTR_TRANSLATE = 0x40,
};
enum output_bit { OUTPUT_NO_RESET = 0x01, OUTPUT_A20 = 0x02, OUTPUT_KBD_FULL = 0x10, OUTPUT_AUX_FULL = 0x20 };
enum { INPUT_UNLOCKED = 0x80, SELF_TEST_OK = 0x55, LINE_TEST_OK = 0x00, BREAK_PREFIX = 0xf0 };

/* Time until the next byte of a device can be in the buffer once one was read.
 * The wire takes a millisecond; software only counts on "not at once". */
#define I8042_BYTE_NS 200000

struct i8042_regs {
    int64_t next_at;       /* virtual ns: no device byte is taken earlier */
    uint8_t ram[32];
    uint8_t data;          /* output buffer */
    uint8_t full;          /* OBF */
    uint8_t aux;           /* the byte is the mouse's */
    uint8_t reply;         /* byte of the controller that waits for the buffer */
    uint8_t reply_full;
    uint8_t reply_aux;
    uint8_t command;       /* waits for its argument in port 0x60; 0 = none */
    uint8_t last_was_command;
    uint8_t output;        /* output port, bits 1..0 */
    uint8_t release;       /* translation: a break prefix was seen */
    uint8_t pad[6];
};

static const struct state_field i8042_fields[] = {
    STATE_FIELD(struct i8042_regs, next_at),
    STATE_ARRAY(struct i8042_regs, ram, uint8_t),
    STATE_FIELD(struct i8042_regs, data),
    STATE_FIELD(struct i8042_regs, full),
    STATE_FIELD(struct i8042_regs, aux),
    STATE_FIELD(struct i8042_regs, reply),
    STATE_FIELD(struct i8042_regs, reply_full),
    STATE_FIELD(struct i8042_regs, reply_aux),
    STATE_FIELD(struct i8042_regs, command),
    STATE_FIELD(struct i8042_regs, last_was_command),
    STATE_FIELD(struct i8042_regs, output),
    STATE_FIELD(struct i8042_regs, release),
    STATE_PAD(struct i8042_regs, pad),
};
const struct state_table i8042_state_table = STATE_TABLE("i8042", 1, struct i8042_regs, i8042_fields);

static const struct i8042_regs i8042_power_on = {
    .last_was_command = 1, .output = OUTPUT_NO_RESET | OUTPUT_A20,
};

struct i8042 {
    struct i8042_regs regs;
    struct device dev;
    struct log *log;
    struct clock *clock;
    struct i8042_lines lines;
    struct timer timer;
    struct ps2kbd *kbd;
    struct ps2mouse *mouse;
    bool taking; /* a device is being asked for a byte: its ready line says nothing new */
    struct mem_region *data_port;
    struct mem_region *command_port;
};

static uint8_t i8042_status(const struct i8042 *c)
{
    const struct i8042_regs *r = &c->regs;
    return (uint8_t)(STATUS_UNLOCKED | (r->full ? STATUS_OBF : 0) | (r->full && r->aux ? STATUS_AUX : 0) |
                     (r->ram[0] & CTR_SYS ? STATUS_SYS : 0) | (r->last_was_command ? STATUS_CMD : 0));
}

static uint8_t i8042_output_port(const struct i8042 *c)
{
    const struct i8042_regs *r = &c->regs;
    return (uint8_t)(r->output | (!r->full ? 0 : r->aux ? OUTPUT_AUX_FULL : OUTPUT_KBD_FULL));
}

static void i8042_update_irq(struct i8042 *c)
{
    const struct i8042_regs *r = &c->regs;
    irq_set(&c->lines.irq1, r->full && !r->aux && r->ram[0] & CTR_KBD_INT);
    irq_set(&c->lines.irq12, r->full && r->aux && r->ram[0] & CTR_AUX_INT);
}

static void i8042_put(struct i8042 *c, uint8_t v, bool aux)
{
    c->regs.data = v;
    c->regs.aux = aux;
    c->regs.full = 1;
}

/* Scan codes of set 2 become set 1: a break prefix turns into bit 7 of what follows. */
static void i8042_take_kbd(struct i8042 *c)
{
    while (!c->regs.full && ps2kbd_pending(c->kbd)) {
        uint8_t v = ps2kbd_read(c->kbd);
        if (!(c->regs.ram[0] & CTR_TRANSLATE)) {
            i8042_put(c, v, false);
        } else if (v == BREAK_PREFIX) {
            c->regs.release = 0x80;
        } else {
            i8042_put(c, ps2kbd_translate(v) | c->regs.release, false);
            c->regs.release = 0;
        }
    }
}

/* Fill the empty output buffer: from the controller, the keyboard, the mouse. */
static void i8042_fill(struct i8042 *c)
{
    struct i8042_regs *r = &c->regs;
    bool kbd = ps2kbd_pending(c->kbd) && !(r->ram[0] & CTR_KBD_DISABLE);
    bool mouse = ps2mouse_pending(c->mouse) && !(r->ram[0] & CTR_AUX_DISABLE);
    if (r->full || c->taking)
        return;
    if (r->reply_full) {
        r->reply_full = 0;
        i8042_put(c, r->reply, r->reply_aux);
    } else if ((kbd || mouse) && clock_now(c->clock) < r->next_at) {
        timer_arm(&c->timer, r->next_at);
    } else {
        c->taking = true;
        if (kbd)
            i8042_take_kbd(c);
        if (mouse && !r->full)
            i8042_put(c, ps2mouse_read(c->mouse), true);
        c->taking = false;
    }
    i8042_update_irq(c);
}

static void i8042_timer(void *opaque)
{
    i8042_fill(opaque);
}

static void i8042_device_ready(void *opaque, int n, int level)
{
    (void)n;
    if (level)
        i8042_fill(opaque);
}

static void i8042_answer(struct i8042 *c, uint8_t v, bool aux)
{
    c->regs.reply = v;
    c->regs.reply_aux = aux;
    c->regs.reply_full = 1;
}

static void i8042_update_a20(struct i8042 *c)
{
    irq_set(&c->lines.a20, !!(c->regs.output & OUTPUT_A20));
}

static void i8042_pulse_reset(struct i8042 *c)
{
    irq_set(&c->lines.reset, 1);
    irq_set(&c->lines.reset, 0);
}

/* ---- ports ---- */

static void i8042_ctr_set(struct i8042 *c, uint8_t bits, bool on)
{
    c->regs.ram[0] = (uint8_t)((c->regs.ram[0] & ~bits) | (on ? bits : 0));
}

static void i8042_write_command(struct i8042 *c, uint8_t v)
{
    c->regs.last_was_command = 1;
    c->regs.command = 0;
    switch (v) {
    case CMD_READ_RAM ... CMD_READ_RAM_LAST:
        i8042_answer(c, c->regs.ram[v & 31], false);
        break;
    case CMD_WRITE_RAM ... CMD_WRITE_RAM_LAST:
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        c->regs.command = v;
        break;
    case CMD_AUX_DISABLE:
    case CMD_AUX_ENABLE:
        i8042_ctr_set(c, CTR_AUX_DISABLE, v == CMD_AUX_DISABLE);
        break;
    case CMD_KBD_DISABLE:
    case CMD_KBD_ENABLE:
        i8042_ctr_set(c, CTR_KBD_DISABLE, v == CMD_KBD_DISABLE);
        break;
    case CMD_SELF_TEST:
        i8042_ctr_set(c, CTR_SYS, true);
        i8042_answer(c, SELF_TEST_OK, false);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST:
        i8042_answer(c, LINE_TEST_OK, false);
        break;
    case CMD_READ_INPUT:
        i8042_answer(c, INPUT_UNLOCKED, false);
        break;
    case CMD_READ_OUTPUT:
        i8042_answer(c, i8042_output_port(c), false);
        break;
    case CMD_PULSE ... CMD_PULSE_LAST:
        if (!(v & OUTPUT_NO_RESET))
            i8042_pulse_reset(c);
        break;
    default:
        log_guest(c->log, "i8042: unknown command 0x%02x\n", v);
    }
    i8042_fill(c);
    i8042_update_irq(c);
}

static void i8042_write_output(struct i8042 *c, uint8_t v)
{
    c->regs.output = v & (OUTPUT_NO_RESET | OUTPUT_A20);
    i8042_update_a20(c);
    if (!(v & OUTPUT_NO_RESET))
        i8042_pulse_reset(c);
}

/* A byte for the keyboard enables its interface. */
static void i8042_write_data(struct i8042 *c, uint8_t v)
{
    uint8_t command = c->regs.command;
    c->regs.last_was_command = 0;
    c->regs.command = 0;
    switch (command) {
    case CMD_WRITE_RAM ... CMD_WRITE_RAM_LAST:
        c->regs.ram[command & 31] = v;
        break;
    case CMD_WRITE_OUTPUT:
        i8042_write_output(c, v);
        break;
    case CMD_WRITE_KBD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
        i8042_answer(c, v, command == CMD_WRITE_AUX_BUFFER);
        break;
    case CMD_WRITE_AUX:
        i8042_ctr_set(c, CTR_AUX_DISABLE, false);
        ps2mouse_write(c->mouse, v);
        break;
    default:
        i8042_ctr_set(c, CTR_KBD_DISABLE, false);
        ps2kbd_write(c->kbd, v);
    }
    i8042_fill(c);
    i8042_update_irq(c);
}

/* An empty buffer still shows the last byte. */
static uint8_t i8042_read_data(struct i8042 *c)
{
    if (c->regs.full) {
        c->regs.full = 0;
        c->regs.next_at = clock_now(c->clock) + I8042_BYTE_NS;
        i8042_update_irq(c);
    }
    uint8_t v = c->regs.data;
    i8042_fill(c);
    return v;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return i8042_read_data(opaque);
}

static void data_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)offset;
    (void)size;
    i8042_write_data(opaque, (uint8_t)v);
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return i8042_status(opaque);
}

static void command_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)offset;
    (void)size;
    i8042_write_command(opaque, (uint8_t)v);
}

static const struct mem_ops data_ops = { data_read, data_write, { 0 }, { .min = 1, .max = 1 } };
static const struct mem_ops command_ops = { command_read, command_write, { 0 }, { .min = 1, .max = 1 } };

static void i8042_loaded(void *opaque)
{
    struct i8042 *c = opaque;
    timer_cancel(&c->timer);
    i8042_fill(c);
    i8042_update_irq(c);
    i8042_update_a20(c);
}

static void i8042_reset(void *opaque)
{
    struct i8042 *c = opaque;
    c->regs = i8042_power_on;
    timer_cancel(&c->timer);
    i8042_update_irq(c);
    i8042_update_a20(c);
}

struct i8042 *i8042_new(struct hw_env *env, const struct i8042_lines *lines)
{
    struct i8042 *c = g_new0(struct i8042, 1);
    struct irq_line ready = { .set = i8042_device_ready, .opaque = c };
    c->regs = i8042_power_on;
    c->log = env->log;
    c->clock = env->clock;
    c->lines = *lines;
    timer_init(&c->timer, env->clock, i8042_timer, c);
    c->kbd = ps2kbd_new(env, &ready);
    c->mouse = ps2mouse_new(env, &ready);
    c->data_port = mem_io_new("i8042-data", 1, &data_ops, c);
    c->command_port = mem_io_new("i8042-command", 1, &command_ops, c);
    mem_region_add(env->io_root, 0x60, c->data_port, 0);
    mem_region_add(env->io_root, 0x64, c->command_port, 0);
    c->dev = (struct device){
        .name = "i8042", .reset = i8042_reset, .state = &i8042_state_table, .regs = &c->regs,
        .loaded = i8042_loaded, .opaque = c,
    };
    device_register(env, &c->dev);
    return c;
}

void i8042_free(struct i8042 *c)
{
    if (!c)
        return;
    timer_cancel(&c->timer);
    mem_region_free(c->data_port);
    mem_region_free(c->command_port);
    ps2kbd_free(c->kbd);
    ps2mouse_free(c->mouse);
    g_free(c);
}

struct ps2kbd *i8042_get_kbd(struct i8042 *c)
{
    return c->kbd;
}

struct ps2mouse *i8042_get_mouse(struct i8042 *c)
{
    return c->mouse;
}
