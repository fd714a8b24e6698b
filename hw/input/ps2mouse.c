/* PS/2 mouse: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; wheel and
 * extra buttons after Microsoft's IntelliMouse specification. */
#include "hw/input/ps2mouse.h"

#include <glib.h>

#include "base/bits.h"

enum mouse_command {
    MOUSE_SCALE_1_1 = 0xe6,
    MOUSE_SCALE_2_1 = 0xe7,
    MOUSE_SET_RESOLUTION = 0xe8,
    MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea,
    MOUSE_READ_DATA = 0xeb,
    MOUSE_RESET_WRAP = 0xec,
    MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0,
    MOUSE_READ_ID = 0xf2,
    MOUSE_SET_RATE = 0xf3,
    MOUSE_ENABLE = 0xf4,
    MOUSE_DISABLE = 0xf5,
    MOUSE_DEFAULTS = 0xf6,
    MOUSE_RESEND = 0xfe,
    MOUSE_RESET = 0xff,
};
enum mouse_reply { MOUSE_BAT_OK = 0xaa, MOUSE_ACK = 0xfa, MOUSE_NAK = 0xfe };
enum mouse_id { ID_STANDARD = 0, ID_WHEEL = 3, ID_EXPLORER = 4 };
enum packet_bit { PACKET_ONE = 0x08, PACKET_XS = 0x10, PACKET_YS = 0x20 };
enum { QUEUE_SIZE = 16, MOVE_LIMIT = 1 << 16 };

struct ps2mouse_regs {
    int32_t dx;           /* counts not yet reported; y grows upwards */
    int32_t dy;
    int32_t dz;
    uint8_t queue[QUEUE_SIZE];
    uint8_t queue_count;
    uint8_t last[4];      /* the last packet or answer, for RESEND */
    uint8_t last_count;
    uint8_t command;      /* waits for its argument; 0 = none */
    uint8_t id;           /* enum mouse_id */
    uint8_t buttons;
    uint8_t reported;     /* buttons as last reported */
    uint8_t rate;         /* reports per second */
    uint8_t rates[2];     /* the two rates set before: the knock that wakes up wheel and buttons */
    uint8_t resolution;
    uint8_t scaling;      /* 2:1 */
    uint8_t remote;
    uint8_t wrap;
    uint8_t reporting;
    uint8_t pad[2];
};

static const struct state_field ps2mouse_fields[] = {
    STATE_FIELD(struct ps2mouse_regs, dx),
    STATE_FIELD(struct ps2mouse_regs, dy),
    STATE_FIELD(struct ps2mouse_regs, dz),
    STATE_ARRAY(struct ps2mouse_regs, queue, uint8_t),
    STATE_FIELD(struct ps2mouse_regs, queue_count),
    STATE_ARRAY(struct ps2mouse_regs, last, uint8_t),
    STATE_FIELD(struct ps2mouse_regs, last_count),
    STATE_FIELD(struct ps2mouse_regs, command),
    STATE_FIELD(struct ps2mouse_regs, id),
    STATE_FIELD(struct ps2mouse_regs, buttons),
    STATE_FIELD(struct ps2mouse_regs, reported),
    STATE_FIELD(struct ps2mouse_regs, rate),
    STATE_ARRAY(struct ps2mouse_regs, rates, uint8_t),
    STATE_FIELD(struct ps2mouse_regs, resolution),
    STATE_FIELD(struct ps2mouse_regs, scaling),
    STATE_FIELD(struct ps2mouse_regs, remote),
    STATE_FIELD(struct ps2mouse_regs, wrap),
    STATE_FIELD(struct ps2mouse_regs, reporting),
    STATE_PAD(struct ps2mouse_regs, pad),
};
const struct state_table ps2mouse_state_table =
    STATE_TABLE("ps2mouse", 1, struct ps2mouse_regs, ps2mouse_fields);

static const struct ps2mouse_regs ps2mouse_power_on = { .rate = 100, .resolution = 2 };

struct ps2mouse {
    struct ps2mouse_regs regs;
    struct device dev;
    struct log *log;
    struct irq_line ready;
};

static void mouse_update_ready(struct ps2mouse *m)
{
    irq_set(&m->ready, ps2mouse_pending(m));
}

bool ps2mouse_pending(const struct ps2mouse *m)
{
    return m->regs.queue_count;
}

static bool mouse_moved(const struct ps2mouse_regs *r)
{
    return r->dx || r->dy || (r->id != ID_STANDARD && r->dz) || r->buttons != r->reported;
}

/* Answers and packets: `bytes` go out together and are what RESEND repeats. */
static void mouse_send(struct ps2mouse *m, const uint8_t *bytes, unsigned len)
{
    struct ps2mouse_regs *r = &m->regs;
    for (unsigned i = 0; i < len && r->queue_count < QUEUE_SIZE; i++)
        r->queue[r->queue_count++] = bytes[i];
    r->last_count = (uint8_t)MIN_OF(len, sizeof(r->last));
    memcpy(r->last, bytes, r->last_count);
    mouse_update_ready(m);
}

static void mouse_send_byte(struct ps2mouse *m, uint8_t v)
{
    mouse_send(m, &v, 1);
}

/* 2:1 scaling of stream mode: 0 1 1 3 6 9, then double. */
static int mouse_scale(const struct ps2mouse_regs *r, int v)
{
    static const uint8_t small[6] = { 0, 1, 1, 3, 6, 9 };
    int mag = v < 0 ? -v : v;
    if (!r->scaling || r->remote)
        return v;
    mag = mag < 6 ? small[mag] : mag * 2;
    return v < 0 ? -mag : mag;
}

/* Take as many counts out of an accumulator as lie in [low, high]. */
static int take_counts(int32_t *acc, int low, int high)
{
    int v = *acc < low ? low : MIN_OF(*acc, high);
    *acc -= v;
    return v;
}

/* One report. What does not fit (nine bits, four for the wheel of an Explorer) stays for the next. */
static void mouse_send_packet(struct ps2mouse *m)
{
    struct ps2mouse_regs *r = &m->regs;
    int reach = r->scaling && !r->remote ? 127 : 255;
    int dx = mouse_scale(r, take_counts(&r->dx, -reach, reach));
    int dy = mouse_scale(r, take_counts(&r->dy, -reach, reach));
    int dz = r->id == ID_STANDARD ? 0 : take_counts(&r->dz, -8, 7);
    uint8_t packet[4] = {
        (uint8_t)(PACKET_ONE | (r->buttons & 7) | (dx < 0 ? PACKET_XS : 0) | (dy < 0 ? PACKET_YS : 0)),
        (uint8_t)dx,
        (uint8_t)dy,
        (uint8_t)dz,
    };
    if (r->id == ID_EXPLORER)
        packet[3] = (uint8_t)((dz & 0x0f) | (r->buttons & 0x18) << 1);
    r->reported = r->buttons;
    mouse_send(m, packet, r->id == ID_STANDARD ? 3 : 4);
}

/* In stream mode a report leaves when the one before has been taken. */
static void mouse_stream(struct ps2mouse *m)
{
    struct ps2mouse_regs *r = &m->regs;
    if (r->reporting && !r->remote && !r->wrap && !r->command && !r->queue_count && mouse_moved(r))
        mouse_send_packet(m);
}

static int32_t add_limited(int32_t acc, int d)
{
    int64_t v = (int64_t)acc + d;
    return (int32_t)(v < -MOVE_LIMIT ? -MOVE_LIMIT : MIN_OF(v, MOVE_LIMIT));
}

void ps2mouse_move(struct ps2mouse *m, int dx, int dy, int dz, unsigned buttons)
{
    struct ps2mouse_regs *r = &m->regs;
    r->buttons = buttons & 0x1f;
    if (!r->remote && !r->reporting)
        return;
    r->dx = add_limited(r->dx, dx);
    r->dy = add_limited(r->dy, dy == INT32_MIN ? INT32_MAX : -dy);
    r->dz = add_limited(r->dz, dz);
    mouse_stream(m);
}

uint8_t ps2mouse_read(struct ps2mouse *m)
{
    struct ps2mouse_regs *r = &m->regs;
    if (!r->queue_count)
        return 0;
    uint8_t v = r->queue[0];
    r->queue_count--;
    memmove(r->queue, r->queue + 1, r->queue_count);
    mouse_stream(m);
    mouse_update_ready(m);
    return v;
}

static void mouse_send_status(struct ps2mouse *m)
{
    const struct ps2mouse_regs *r = &m->regs;
    int left = !!(r->buttons & PS2MOUSE_LEFT);
    int middle = !!(r->buttons & PS2MOUSE_MIDDLE);
    int right = !!(r->buttons & PS2MOUSE_RIGHT);
    uint8_t status[3] = {
        (uint8_t)(r->remote << 6 | r->reporting << 5 | r->scaling << 4 | left << 2 | middle << 1 | right),
        r->resolution,
        r->rate,
    };
    mouse_send(m, status, 3);
}

/* The rates 200, 100, 80 turn on the wheel, 200, 200, 80 the fourth and fifth button as well. */
static void mouse_set_rate(struct ps2mouse *m, uint8_t rate)
{
    struct ps2mouse_regs *r = &m->regs;
    if (r->rates[0] == 200 && r->rates[1] == 100 && rate == 80)
        r->id = ID_WHEEL;
    if (r->rates[0] == 200 && r->rates[1] == 200 && rate == 80)
        r->id = ID_EXPLORER;
    r->rates[0] = r->rates[1];
    r->rates[1] = rate;
    r->rate = rate;
}

static void mouse_clear_counts(struct ps2mouse_regs *r)
{
    r->dx = r->dy = r->dz = 0;
    r->reported = r->buttons;
}

static void mouse_defaults(struct ps2mouse_regs *r)
{
    mouse_clear_counts(r);
    r->rate = ps2mouse_power_on.rate;
    r->resolution = ps2mouse_power_on.resolution;
    r->scaling = r->remote = r->wrap = r->reporting = 0;
}

static void mouse_write_argument(struct ps2mouse *m, uint8_t v)
{
    uint8_t command = m->regs.command;
    m->regs.command = 0;
    if (command == MOUSE_SET_RATE)
        mouse_set_rate(m, v);
    else
        m->regs.resolution = v & 3;
    mouse_send_byte(m, MOUSE_ACK);
}

static void mouse_reset_command(struct ps2mouse *m)
{
    static const uint8_t answer[3] = { MOUSE_ACK, MOUSE_BAT_OK, ID_STANDARD };
    uint8_t buttons = m->regs.buttons;
    m->regs = ps2mouse_power_on;
    m->regs.buttons = m->regs.reported = buttons;
    mouse_send(m, answer, 3);
}

static void mouse_write_command(struct ps2mouse *m, uint8_t v)
{
    struct ps2mouse_regs *r = &m->regs;
    if (v == MOUSE_RESET) {
        mouse_reset_command(m);
        return;
    }
    if (v == MOUSE_RESEND) {
        uint8_t last[sizeof(r->last)];
        memcpy(last, r->last, sizeof(last));
        mouse_send(m, last, r->last_count);
        return;
    }
    mouse_send_byte(m, MOUSE_ACK);
    switch ((enum mouse_command)v) {
    case MOUSE_SCALE_1_1:
    case MOUSE_SCALE_2_1: r->scaling = v & 1; break;
    case MOUSE_SET_RESOLUTION:
    case MOUSE_SET_RATE: r->command = v; break;
    case MOUSE_STATUS: mouse_send_status(m); break;
    case MOUSE_STREAM: r->remote = 0; mouse_clear_counts(r); break;
    case MOUSE_READ_DATA: mouse_send_packet(m); break;
    case MOUSE_RESET_WRAP: break;
    case MOUSE_WRAP: r->wrap = 1; mouse_clear_counts(r); break;
    case MOUSE_REMOTE: r->remote = 1; mouse_clear_counts(r); break;
    case MOUSE_READ_ID: mouse_send_byte(m, r->id); break;
    case MOUSE_ENABLE: r->reporting = 1; mouse_clear_counts(r); break;
    case MOUSE_DISABLE: r->reporting = 0; mouse_clear_counts(r); break;
    case MOUSE_DEFAULTS: mouse_defaults(r); break;
    case MOUSE_RESEND:
    case MOUSE_RESET: break;
    default:
        log_guest(m->log, "ps2mouse: unknown command 0x%02x\n", v);
        r->queue_count = 0;
        mouse_send_byte(m, MOUSE_NAK);
    }
}

/* Every byte from the controller voids what was still to be sent. In wrap mode it is echoed. */
void ps2mouse_write(struct ps2mouse *m, uint8_t v)
{
    struct ps2mouse_regs *r = &m->regs;
    r->queue_count = 0;
    if (r->wrap && v != MOUSE_RESET && v != MOUSE_RESET_WRAP) {
        mouse_send_byte(m, v);
        return;
    }
    r->wrap = 0;
    if (r->command)
        mouse_write_argument(m, v);
    else
        mouse_write_command(m, v);
}

static void ps2mouse_loaded(void *opaque)
{
    struct ps2mouse *m = opaque;
    m->regs.queue_count = MIN_OF(m->regs.queue_count, QUEUE_SIZE);
    m->regs.last_count = (uint8_t)MIN_OF(m->regs.last_count, sizeof(m->regs.last));
    mouse_update_ready(m);
}

static void ps2mouse_reset(void *opaque)
{
    struct ps2mouse *m = opaque;
    m->regs = ps2mouse_power_on;
    mouse_update_ready(m);
}

struct ps2mouse *ps2mouse_new(struct hw_env *env, const struct irq_line *ready)
{
    struct ps2mouse *m = g_new0(struct ps2mouse, 1);
    m->regs = ps2mouse_power_on;
    m->log = env->log;
    m->ready = ready ? *ready : (struct irq_line){ 0 };
    m->dev = (struct device){
        .name = "ps2mouse", .reset = ps2mouse_reset, .state = &ps2mouse_state_table, .regs = &m->regs,
        .loaded = ps2mouse_loaded, .opaque = m,
    };
    device_register(env, &m->dev);
    return m;
}

void ps2mouse_free(struct ps2mouse *m)
{
    g_free(m);
}
