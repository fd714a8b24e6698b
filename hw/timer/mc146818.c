/* Motorola MC146818 real-time clock plus RAM (data sheet ADI-856), with 128 bytes
 * of memory and the century at 0x32 as PCs have it.
 *
 * Nothing ticks here: the calendar is an offset to the virtual clock, and flags
 * that came up since the last look are worked out at the next one. A host timer
 * runs only while an enabled interrupt is due. */
#include "hw/timer/mc146818.h"

#include <glib.h>

#include "base/bits.h"

enum rtc_index {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_DAY_OF_WEEK,
    RTC_DAY_OF_MONTH,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_CENTURY = 0x32,
};
enum rtc_a { A_RS = 0x0f, A_DV = 0x70, A_DV_32KHZ = 0x20, A_UIP = 0x80 };
enum rtc_b {
    B_24H = 0x02,
    B_DM = 0x04,
    B_SQWE = 0x08,
    B_UIE = 0x10,
    B_AIE = 0x20,
    B_PIE = 0x40,
    B_SET = 0x80,
};
enum rtc_c { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80, C_FLAGS = 0x70 };
enum { D_VRT = 0x80, HOURS_PM = 0x80, ALARM_ANY = 0xc0, INDEX_NMI_MASK = 0x80 };
enum { CMOS_SIZE = 128, TIMEBASE_HZ = 32768 };

#define UIP_NS 244000 /* UIP rises this long before an update */
#define DAY_SEC 86400

struct mc146818_regs {
    int64_t offset_s;      /* the calendar is offset_s + (virtual time + frac_ns) / 10^9 while it runs */
    int64_t frac_ns;       /* 0..10^9 - 1 */
    int64_t seen_ns;       /* virtual time up to which the flags in register C are worked out */
    uint8_t cmos[CMOS_SIZE];
    uint8_t index;
    uint8_t irq_cut;
    uint8_t pad[6];
};

static const struct state_field mc146818_fields[] = {
    STATE_FIELD(struct mc146818_regs, offset_s),
    STATE_FIELD(struct mc146818_regs, frac_ns),
    STATE_FIELD(struct mc146818_regs, seen_ns),
    STATE_ARRAY(struct mc146818_regs, cmos, uint8_t),
    STATE_FIELD(struct mc146818_regs, index),
    STATE_FIELD(struct mc146818_regs, irq_cut),
    STATE_PAD(struct mc146818_regs, pad),
};
const struct state_table mc146818_state_table =
    STATE_TABLE("mc146818", 1, struct mc146818_regs, mc146818_fields);

/* What the battery keeps alive: divider on 32 kHz with a 1024 Hz rate, BCD, 24 hours. */
static const struct mc146818_regs mc146818_power_on = {
    .cmos = { [RTC_A] = A_DV_32KHZ | 6, [RTC_B] = B_24H, [RTC_D] = D_VRT },
};

struct mc146818 {
    struct mc146818_regs regs;
    struct device dev;
    struct clock *clock;
    struct irq_line irq;
    struct timer timer;
    struct mem_region *io;
};

/* ---- calendar ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970 of a proleptic Gregorian date; `day` may run over the month. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = floor_div(y, 400);
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

/* Numbers as the data mode (DM) bit wants them. */
static uint8_t rtc_encode(const struct mc146818 *rtc, int v)
{
    return (uint8_t)(rtc->regs.cmos[RTC_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static int rtc_decode(const struct mc146818 *rtc, uint8_t v)
{
    return rtc->regs.cmos[RTC_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t rtc_encode_hour(const struct mc146818 *rtc, int hour)
{
    if (rtc->regs.cmos[RTC_B] & B_24H)
        return rtc_encode(rtc, hour);
    return (uint8_t)(rtc_encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOURS_PM : 0));
}

static int rtc_decode_hour(const struct mc146818 *rtc, uint8_t v)
{
    if (rtc->regs.cmos[RTC_B] & B_24H)
        return rtc_decode(rtc, v);
    return rtc_decode(rtc, v & (uint8_t)~HOURS_PM) % 12 + (v & HOURS_PM ? 12 : 0);
}

/* The calendar stands still while it is being set and while the divider is not on 32 kHz. */
static bool rtc_running(const struct mc146818 *rtc)
{
    return !(rtc->regs.cmos[RTC_B] & B_SET) && (rtc->regs.cmos[RTC_A] & A_DV) == A_DV_32KHZ;
}

static int64_t rtc_seconds(const struct mc146818 *rtc, int64_t now)
{
    return rtc->regs.offset_s + (now + rtc->regs.frac_ns) / NS_PER_SEC;
}

/* Write the running calendar into the time registers. */
static void rtc_show(struct mc146818 *rtc, int64_t now)
{
    uint8_t *cmos = rtc->regs.cmos;
    int64_t t = rtc_seconds(rtc, now);
    int64_t days = floor_div(t, DAY_SEC);
    int sec = (int)(t - days * DAY_SEC);
    int year, month, day;
    date_of_days(days, &year, &month, &day);
    cmos[RTC_SECONDS] = rtc_encode(rtc, sec % 60);
    cmos[RTC_MINUTES] = rtc_encode(rtc, sec / 60 % 60);
    cmos[RTC_HOURS] = rtc_encode_hour(rtc, sec / 3600);
    cmos[RTC_DAY_OF_WEEK] = rtc_encode(rtc, (int)((days + 4) - floor_div(days + 4, 7) * 7) + 1);
    cmos[RTC_DAY_OF_MONTH] = rtc_encode(rtc, day);
    cmos[RTC_MONTH] = rtc_encode(rtc, month);
    cmos[RTC_YEAR] = rtc_encode(rtc, (year % 100 + 100) % 100);
    cmos[RTC_CENTURY] = rtc_encode(rtc, (int)(floor_div(year, 100) % 100 + 100) % 100);
}

/* Take the calendar from the time registers; the fraction of the second goes on. */
static void rtc_take(struct mc146818 *rtc, int64_t now)
{
    const uint8_t *cmos = rtc->regs.cmos;
    int64_t year = rtc_decode(rtc, cmos[RTC_CENTURY]) * 100 + rtc_decode(rtc, cmos[RTC_YEAR]);
    int month = rtc_decode(rtc, cmos[RTC_MONTH]);
    month = month < 1 ? 1 : MIN_OF(month, 12);
    int64_t t = days_of_date(year, month, rtc_decode(rtc, cmos[RTC_DAY_OF_MONTH])) * DAY_SEC +
                rtc_decode_hour(rtc, cmos[RTC_HOURS]) * 3600 + rtc_decode(rtc, cmos[RTC_MINUTES]) * 60 +
                rtc_decode(rtc, cmos[RTC_SECONDS]);
    rtc->regs.offset_s += t - rtc_seconds(rtc, now);
}

/* ---- events ---- */

static bool alarm_match(uint8_t alarm, int want, int have)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || want == have;
}

/* The first second after `t` (since 1970) at which the alarm matches, or INT64_MAX if it never does. */
static int64_t rtc_next_alarm(const struct mc146818 *rtc, int64_t t)
{
    const uint8_t *cmos = rtc->regs.cmos;
    int hour = rtc_decode_hour(rtc, cmos[RTC_HOURS_ALARM]);
    int min = rtc_decode(rtc, cmos[RTC_MINUTES_ALARM]);
    int sec = rtc_decode(rtc, cmos[RTC_SECONDS_ALARM]);
    int64_t last = t + DAY_SEC;
    for (t++; t <= last;) {
        int s = (int)(t - floor_div(t, DAY_SEC) * DAY_SEC);
        if (!alarm_match(cmos[RTC_HOURS_ALARM], hour, s / 3600))
            t += 3600 - s % 3600;
        else if (!alarm_match(cmos[RTC_MINUTES_ALARM], min, s / 60 % 60))
            t += 60 - s % 60;
        else if (!alarm_match(cmos[RTC_SECONDS_ALARM], sec, s % 60))
            t++;
        else
            return t;
    }
    return INT64_MAX;
}

/* Period in timebase ticks of the rate selector (data sheet table 5), or 0 when off. */
static int64_t rtc_period(const struct mc146818 *rtc)
{
    unsigned rs = rtc->regs.cmos[RTC_A] & A_RS;
    if (!rs || (rtc->regs.cmos[RTC_A] & A_DV) != A_DV_32KHZ)
        return 0;
    return INT64_C(1) << (rs <= 2 ? rs + 6 : rs - 1);
}

/* Virtual time of the first event of kind `flag` after `now`, or INT64_MAX. */
static int64_t rtc_next_event(const struct mc146818 *rtc, uint8_t flag, int64_t now)
{
    if (flag == C_PF) {
        int64_t period = rtc_period(rtc);
        if (!period)
            return INT64_MAX;
        int64_t tick = muldiv64(now, TIMEBASE_HZ, NS_PER_SEC) / period * period + period;
        int64_t when = muldiv64(tick, NS_PER_SEC, TIMEBASE_HZ);
        return when + (muldiv64(when, TIMEBASE_HZ, NS_PER_SEC) < tick);
    }
    if (!rtc_running(rtc))
        return INT64_MAX;
    int64_t t = rtc_seconds(rtc, now);
    int64_t next = flag == C_UF ? t + 1 : rtc_next_alarm(rtc, t);
    if (next == INT64_MAX)
        return next;
    return (next - rtc->regs.offset_s) * NS_PER_SEC - rtc->regs.frac_ns;
}

/* Raise the flags of everything that happened up to now. */
static void rtc_sync(struct mc146818 *rtc, int64_t now)
{
    for (uint8_t flag = C_UF; flag <= C_PF; flag = (uint8_t)(flag << 1))
        if (!(rtc->regs.cmos[RTC_C] & flag) && rtc_next_event(rtc, flag, rtc->regs.seen_ns) <= now)
            rtc->regs.cmos[RTC_C] |= flag;
    rtc->regs.seen_ns = now;
}

/* Flags and enable bits stand at the same places in C and B. */
static bool rtc_irq_active(const struct mc146818 *rtc)
{
    return rtc->regs.cmos[RTC_C] & rtc->regs.cmos[RTC_B] & C_FLAGS;
}

static void rtc_update_irq(struct mc146818 *rtc)
{
    const uint8_t *cmos = rtc->regs.cmos;
    bool active = rtc_irq_active(rtc);
    if (!rtc->regs.irq_cut)
        irq_set(&rtc->irq, active);
    int64_t next = INT64_MAX;
    for (uint8_t flag = C_UF; flag <= C_PF; flag = (uint8_t)(flag << 1)) {
        if (cmos[RTC_B] & flag && !(cmos[RTC_C] & flag)) {
            int64_t t = rtc_next_event(rtc, flag, rtc->regs.seen_ns);
            next = MIN_OF(next, t);
        }
    }
    if (next == INT64_MAX || active)
        timer_cancel(&rtc->timer);
    else
        timer_arm(&rtc->timer, next);
}

static void rtc_fire(void *opaque)
{
    struct mc146818 *rtc = opaque;
    rtc_sync(rtc, clock_now(rtc->clock));
    rtc_update_irq(rtc);
}

void mc146818_set_irq_cut(struct mc146818 *rtc, bool cut)
{
    if (cut)
        irq_set(&rtc->irq, 0);
    rtc->regs.irq_cut = cut;
    rtc_update_irq(rtc);
}

/* ---- registers ---- */

static bool rtc_is_time(unsigned idx)
{
    return idx == RTC_CENTURY || (idx <= RTC_YEAR && idx != RTC_SECONDS_ALARM && idx != RTC_MINUTES_ALARM &&
                                  idx != RTC_HOURS_ALARM);
}

static uint8_t rtc_read_a(const struct mc146818 *rtc, int64_t now)
{
    int64_t update = rtc_next_event(rtc, C_UF, now);
    bool uip = update != INT64_MAX && update - now <= UIP_NS;
    return (uint8_t)(rtc->regs.cmos[RTC_A] | (uip ? A_UIP : 0));
}

static uint8_t rtc_read_data(struct mc146818 *rtc)
{
    unsigned idx = rtc->regs.index & (CMOS_SIZE - 1);
    int64_t now = clock_now(rtc->clock);
    if (rtc_is_time(idx) && rtc_running(rtc))
        rtc_show(rtc, now);
    if (idx == RTC_A)
        return rtc_read_a(rtc, now);
    if (idx != RTC_C)
        return rtc->regs.cmos[idx];
    rtc_sync(rtc, now);
    uint8_t v = (uint8_t)(rtc->regs.cmos[RTC_C] | (rtc_irq_active(rtc) ? C_IRQF : 0));
    rtc->regs.cmos[RTC_C] = 0;
    rtc_update_irq(rtc);
    return v;
}

/* Registers A and B say whether the calendar runs. It starts from the time
 * registers, and out of a divider reset half a second before its first update. */
static void rtc_write_control(struct mc146818 *rtc, unsigned idx, uint8_t v, int64_t now)
{
    uint8_t *cmos = rtc->regs.cmos;
    bool was_running = rtc_running(rtc);
    bool was_divided = (cmos[RTC_A] & A_DV) == A_DV_32KHZ;
    if (was_running)
        rtc_show(rtc, now);
    if (idx == RTC_A)
        v &= (uint8_t)~A_UIP;
    else if (v & B_SET)
        v &= (uint8_t)~B_UIE;
    cmos[idx] = v;
    if (!was_divided && (cmos[RTC_A] & A_DV) == A_DV_32KHZ)
        rtc->regs.frac_ns = (NS_PER_SEC * 3 / 2 - now % NS_PER_SEC) % NS_PER_SEC;
    if (!was_running && rtc_running(rtc))
        rtc_take(rtc, now);
}

static void rtc_write_data(struct mc146818 *rtc, uint8_t v)
{
    unsigned idx = rtc->regs.index & (CMOS_SIZE - 1);
    int64_t now = clock_now(rtc->clock);
    rtc_sync(rtc, now);
    if (idx == RTC_A || idx == RTC_B) {
        rtc_write_control(rtc, idx, v, now);
    } else if (rtc_is_time(idx) && rtc_running(rtc)) {
        rtc_show(rtc, now);
        rtc->regs.cmos[idx] = v;
        rtc_take(rtc, now);
    } else if (idx != RTC_C && idx != RTC_D) {
        rtc->regs.cmos[idx] = v;
    }
    rtc_update_irq(rtc);
}

/* The index register cannot be read back. */
static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return offset ? rtc_read_data(opaque) : 0xff;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct mc146818 *rtc = opaque;
    (void)size;
    if (offset)
        rtc_write_data(rtc, (uint8_t)v);
    else
        rtc->regs.index = (uint8_t)v;
}

static const struct mem_ops rtc_ops = { rtc_read, rtc_write, { 0 }, { .min = 1, .max = 1 } };

void mc146818_set_cmos(struct mc146818 *rtc, unsigned idx, uint8_t val)
{
    if (idx > RTC_D && idx < CMOS_SIZE)
        rtc->regs.cmos[idx] = val;
}

uint8_t mc146818_get_cmos(const struct mc146818 *rtc, unsigned idx)
{
    return idx < CMOS_SIZE ? rtc->regs.cmos[idx] : 0xff;
}

bool mc146818_nmi_masked(const struct mc146818 *rtc)
{
    return rtc->regs.index & INDEX_NMI_MASK;
}

static void rtc_loaded(void *opaque)
{
    rtc_update_irq(opaque);
}

/* RESET clears interrupt enables and flags; memory and calendar live on a battery (data sheet, "RESET"). */
static void rtc_reset(void *opaque)
{
    struct mc146818 *rtc = opaque;
    rtc_sync(rtc, clock_now(rtc->clock));
    rtc->regs.cmos[RTC_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->regs.cmos[RTC_C] = 0;
    rtc->regs.index = 0;
    rtc->regs.irq_cut = 0;
    rtc_update_irq(rtc);
}

struct mc146818 *mc146818_new(struct hw_env *env, int64_t epoch, const struct irq_line *irq)
{
    struct mc146818 *rtc = g_new0(struct mc146818, 1);
    rtc->regs = mc146818_power_on;
    rtc->regs.offset_s = epoch;
    rtc->clock = env->clock;
    rtc->irq = irq ? *irq : (struct irq_line){ 0 };
    timer_init(&rtc->timer, env->clock, rtc_fire, rtc);
    rtc->io = mem_io_new("mc146818", 2, &rtc_ops, rtc);
    mem_region_add(env->io_root, 0x70, rtc->io, 0);
    rtc->dev = (struct device){
        .name = "mc146818", .reset = rtc_reset, .state = &mc146818_state_table, .regs = &rtc->regs,
        .loaded = rtc_loaded, .opaque = rtc,
    };
    device_register(env, &rtc->dev);
    return rtc;
}

void mc146818_free(struct mc146818 *rtc)
{
    if (!rtc)
        return;
    timer_cancel(&rtc->timer);
    mem_region_free(rtc->io);
    g_free(rtc);
}
