/* PS/2 keyboard: IBM PS/2 Hardware Interface Technical Reference, "Keyboards
 * (101- and 102-Key)"; scan codes after Microsoft's Keyboard Scan Code Specification. */
#include "hw/input/ps2kbd.h"

#include <glib.h>

#include "base/bits.h"

enum kbd_command {
    KBD_SET_LEDS = 0xed,
    KBD_ECHO = 0xee,
    KBD_SCAN_SET = 0xf0,
    KBD_READ_ID = 0xf2,
    KBD_SET_RATE = 0xf3,
    KBD_ENABLE = 0xf4,
    KBD_DISABLE = 0xf5,
    KBD_DEFAULTS = 0xf6,
    KBD_ALL_FIRST = 0xf7, /* set 3 key types, all keys: f7..fa */
    KBD_ALL_LAST = 0xfa,
    KBD_KEY_FIRST = 0xfb, /* set 3 key types, one key: fb..fd */
    KBD_KEY_LAST = 0xfd,
    KBD_RESEND = 0xfe,
    KBD_RESET = 0xff,
};
enum kbd_reply { KBD_BAT_OK = 0xaa, KBD_ACK = 0xfa, KBD_NAK = 0xfe };
enum { QUEUE_SIZE = 32, KEY_BYTES = 16, REPLY_SIZE = 8, RATE_DEFAULT = 0x2b };

struct ps2kbd_regs {
    uint8_t queue[QUEUE_SIZE];   /* scan codes */
    uint8_t reply[REPLY_SIZE];   /* answers to commands go first */
    uint8_t queue_count;
    uint8_t reply_count;
    uint8_t command;             /* waits for its argument; 0 = none */
    uint8_t last;                /* for RESEND */
    uint8_t scanning;
    uint8_t scan_set;            /* 1..3 */
    uint8_t leds;
    uint8_t rate;
};

static const struct state_field ps2kbd_fields[] = {
    STATE_ARRAY(struct ps2kbd_regs, queue, uint8_t),
    STATE_ARRAY(struct ps2kbd_regs, reply, uint8_t),
    STATE_FIELD(struct ps2kbd_regs, queue_count),
    STATE_FIELD(struct ps2kbd_regs, reply_count),
    STATE_FIELD(struct ps2kbd_regs, command),
    STATE_FIELD(struct ps2kbd_regs, last),
    STATE_FIELD(struct ps2kbd_regs, scanning),
    STATE_FIELD(struct ps2kbd_regs, scan_set),
    STATE_FIELD(struct ps2kbd_regs, leds),
    STATE_FIELD(struct ps2kbd_regs, rate),
};
const struct state_table ps2kbd_state_table = STATE_TABLE("ps2kbd", 1, struct ps2kbd_regs, ps2kbd_fields);

static const struct ps2kbd_regs ps2kbd_power_on = { .scanning = 1, .scan_set = 2, .rate = RATE_DEFAULT };

struct ps2kbd {
    struct ps2kbd_regs regs;
    struct device dev;
    struct log *log;
    struct irq_line ready;
};

/* Set 2 code -> set 1 code, 0x00..0x7f. Above, only 0x83 (F7) and 0x84 (SysRq) change. */
static const uint8_t set2_to_set1[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

/* Key code (set 1, bit 7 = E0) -> set 3 where it is not the set 2 code. Set 3 knows no prefixes. */
static const uint8_t set3_special[256] = {
    [0x01] = 0x08, [0x3b] = 0x07, [0x3c] = 0x0f, [0x3d] = 0x17, [0x3e] = 0x1f, [0x3f] = 0x27, [0x40] = 0x2f,
    [0x41] = 0x37, [0x42] = 0x3f, [0x43] = 0x47, [0x44] = 0x4f, [0x57] = 0x56, [0x58] = 0x5e, [0x46] = 0x5f,
    [0x2b] = 0x5c, [0x3a] = 0x14, [0x1d] = 0x11, [0x38] = 0x19, [0x56] = 0x13, [0x45] = 0x76, [0x37] = 0x7e,
    [0x4a] = 0x84, [0x4e] = 0x7c, [0x54] = 0x57, [0x9d] = 0x58, [0xb8] = 0x39, [0xd2] = 0x67, [0xd3] = 0x64,
    [0xcb] = 0x61, [0xc7] = 0x6e, [0xcf] = 0x65, [0xc8] = 0x63, [0xd0] = 0x60, [0xc9] = 0x6f, [0xd1] = 0x6d,
    [0xcd] = 0x6a, [0xb5] = 0x77, [0x9c] = 0x79, [0xdb] = 0x8b, [0xdc] = 0x8c, [0xdd] = 0x8d, [0xb7] = 0x57,
    [0xc6] = 0x62,
};

uint8_t ps2kbd_translate(uint8_t set2)
{
    if (set2 < 128)
        return set2_to_set1[set2];
    return set2 == 0x83 ? 0x41 : set2 == 0x84 ? 0x54 : set2;
}

/* The inverse; the two high codes are the real ones of their keys. */
static uint8_t set1_to_set2(uint8_t set1)
{
    for (int i = 0x84; i > 0; i--)
        if (ps2kbd_translate((uint8_t)i) == set1)
            return (uint8_t)i;
    return 0;
}

static uint8_t kbd_set3(uint8_t code)
{
    return set3_special[code] ? set3_special[code] : set1_to_set2(code & 0x7f);
}

static void kbd_update_ready(struct ps2kbd *k)
{
    irq_set(&k->ready, ps2kbd_pending(k));
}

bool ps2kbd_pending(const struct ps2kbd *k)
{
    return k->regs.queue_count || k->regs.reply_count;
}

static uint8_t take(uint8_t *bytes, uint8_t *count)
{
    uint8_t v = bytes[0];
    (*count)--;
    memmove(bytes, bytes + 1, *count);
    return v;
}

uint8_t ps2kbd_read(struct ps2kbd *k)
{
    struct ps2kbd_regs *r = &k->regs;
    if (!ps2kbd_pending(k))
        return 0;
    r->last = r->reply_count ? take(r->reply, &r->reply_count) : take(r->queue, &r->queue_count);
    kbd_update_ready(k);
    return r->last;
}

static void kbd_reply(struct ps2kbd *k, uint8_t v)
{
    if (k->regs.reply_count < REPLY_SIZE)
        k->regs.reply[k->regs.reply_count++] = v;
    kbd_update_ready(k);
}

/* The buffer holds 16 bytes of whole key codes; what comes beyond is replaced by one overrun code. */
static void kbd_queue(struct ps2kbd *k, const uint8_t *bytes, unsigned len)
{
    struct ps2kbd_regs *r = &k->regs;
    uint8_t overrun = r->scan_set == 1 ? 0xff : 0x00;
    if (r->queue_count + len <= KEY_BYTES) {
        memcpy(r->queue + r->queue_count, bytes, len);
        r->queue_count = (uint8_t)(r->queue_count + len);
    } else if (r->queue_count <= KEY_BYTES && (!r->queue_count || r->queue[r->queue_count - 1] != overrun)) {
        r->queue[r->queue_count++] = overrun;
    }
    kbd_update_ready(k);
}

struct sequence {
    uint8_t bytes[8];
    unsigned len;
};

static void put(struct sequence *s, uint8_t v)
{
    s->bytes[s->len++] = v;
}

/* One make or break code of set 1 or 2: [E0] code, with bit 7 or an F0 prefix for a break. */
static void put_code(struct sequence *s, int set, uint8_t code, bool down)
{
    if (code & PS2KBD_EXTENDED)
        put(s, 0xe0);
    if (set == 1) {
        put(s, (uint8_t)((code & 0x7f) | (down ? 0 : 0x80)));
        return;
    }
    if (!down)
        put(s, 0xf0);
    put(s, set1_to_set2(code & 0x7f));
}

/* Pause says make and break at once and nothing when released. */
static void put_pause(struct sequence *s, int set)
{
    static const uint8_t pause[2][8] = {
        { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 },
        { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 },
    };
    s->len = set == 1 ? 6 : 8;
    memcpy(s->bytes, pause[set - 1], 8);
}

void ps2kbd_key(struct ps2kbd *k, uint8_t code, bool down)
{
    enum { FAKE_SHIFT = PS2KBD_EXTENDED | 0x2a };
    struct sequence s = { .len = 0 };
    int set = k->regs.scan_set;
    if (!k->regs.scanning || !(code & 0x7f))
        return;
    if (set == 3) {
        if (!down)
            put(&s, 0xf0);
        put(&s, kbd_set3(code));
    } else if (code == PS2KBD_PAUSE) {
        if (down)
            put_pause(&s, set);
    } else if (code == PS2KBD_PRINT) {
        put_code(&s, set, down ? FAKE_SHIFT : code, down);
        put_code(&s, set, down ? code : FAKE_SHIFT, down);
    } else {
        put_code(&s, set, code, down);
    }
    kbd_queue(k, s.bytes, s.len);
}

uint8_t ps2kbd_get_leds(const struct ps2kbd *k)
{
    return k->regs.leds;
}

static void kbd_defaults(struct ps2kbd *k)
{
    k->regs.queue_count = 0;
    k->regs.scan_set = ps2kbd_power_on.scan_set;
    k->regs.rate = ps2kbd_power_on.rate;
}

static void kbd_write_argument(struct ps2kbd *k, uint8_t v)
{
    uint8_t command = k->regs.command;
    k->regs.command = 0;
    kbd_reply(k, KBD_ACK);
    switch (command) {
    case KBD_SET_LEDS:
        k->regs.leds = v & 7;
        break;
    case KBD_SET_RATE:
        k->regs.rate = v & 0x7f;
        break;
    case KBD_SCAN_SET:
        if (v == 0)
            kbd_reply(k, k->regs.scan_set);
        else if (v <= 3)
            k->regs.scan_set = v;
        break;
    }
}

static void kbd_write_command(struct ps2kbd *k, uint8_t v)
{
    switch (v) {
    case KBD_ECHO:
        kbd_reply(k, KBD_ECHO);
        return;
    case KBD_RESEND:
        kbd_reply(k, k->regs.last);
        return;
    case KBD_SET_LEDS:
    case KBD_SCAN_SET:
    case KBD_SET_RATE:
    case KBD_KEY_FIRST ... KBD_KEY_LAST:
        k->regs.command = v;
        break;
    case KBD_READ_ID:
        kbd_reply(k, KBD_ACK);
        kbd_reply(k, 0xab);
        kbd_reply(k, 0x83);
        return;
    case KBD_ENABLE:
        k->regs.queue_count = 0;
        k->regs.scanning = 1;
        break;
    case KBD_DISABLE:
        kbd_defaults(k);
        k->regs.scanning = 0;
        break;
    case KBD_DEFAULTS:
        kbd_defaults(k);
        break;
    case KBD_ALL_FIRST ... KBD_ALL_LAST:
        break;
    case KBD_RESET:
        k->regs = ps2kbd_power_on;
        kbd_reply(k, KBD_ACK);
        kbd_reply(k, KBD_BAT_OK);
        return;
    default:
        log_guest(k->log, "ps2kbd: unknown command 0x%02x\n", v);
        kbd_reply(k, KBD_NAK);
        return;
    }
    kbd_reply(k, KBD_ACK);
}

/* A command ends the wait for an argument, and answers of the command before are void. */
void ps2kbd_write(struct ps2kbd *k, uint8_t v)
{
    k->regs.reply_count = 0;
    if (k->regs.command && v < KBD_SET_LEDS) {
        kbd_write_argument(k, v);
        return;
    }
    k->regs.command = 0;
    kbd_write_command(k, v);
}

static void ps2kbd_loaded(void *opaque)
{
    struct ps2kbd *k = opaque;
    k->regs.queue_count = MIN_OF(k->regs.queue_count, KEY_BYTES + 1);
    k->regs.reply_count = MIN_OF(k->regs.reply_count, REPLY_SIZE);
    if (k->regs.scan_set < 1 || k->regs.scan_set > 3)
        k->regs.scan_set = 2;
    kbd_update_ready(k);
}

static void ps2kbd_reset(void *opaque)
{
    struct ps2kbd *k = opaque;
    k->regs = ps2kbd_power_on;
    kbd_update_ready(k);
}

struct ps2kbd *ps2kbd_new(struct hw_env *env, const struct irq_line *ready)
{
    struct ps2kbd *k = g_new0(struct ps2kbd, 1);
    k->regs = ps2kbd_power_on;
    k->log = env->log;
    k->ready = ready ? *ready : (struct irq_line){ 0 };
    k->dev = (struct device){
        .name = "ps2kbd", .reset = ps2kbd_reset, .state = &ps2kbd_state_table, .regs = &k->regs,
        .loaded = ps2kbd_loaded, .opaque = k,
    };
    device_register(env, &k->dev);
    return k;
}

void ps2kbd_free(struct ps2kbd *k)
{
    g_free(k);
}
