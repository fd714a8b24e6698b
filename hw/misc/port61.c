/* NMI status and control register, port 0x61, of the PIIX (data sheet 290562, 2.5.6). */
#include "hw/misc/port61.h"

#include <glib.h>

#include "hw/timer/i8254.h"

enum port61_bit {
    TIM_CNT2_EN = 0x01,
    SPKR_DAT_EN = 0x02,
    PCI_SERR_DIS = 0x04,
    IOCHK_DIS = 0x08,
    REF_TOGGLE = 0x10,
    TMR2_OUT_STS = 0x20,
    WRITABLE = 0x0f,
};
#define REFRESH_NS 15000

struct port61_regs {
    uint8_t control; /* bits 3..0 */
};

static const struct state_field port61_fields[] = { STATE_FIELD(struct port61_regs, control) };
const struct state_table port61_state_table = STATE_TABLE("port61", 1, struct port61_regs, port61_fields);

static const struct port61_regs port61_power_on = { .control = 0 };

struct port61 {
    struct port61_regs regs;
    struct device dev;
    struct clock *clock;
    struct i8254 *pit;
    struct mem_region *io;
};

bool port61_speaker_on(const struct port61 *p)
{
    return p->regs.control & SPKR_DAT_EN;
}

bool port61_serr_nmi_enabled(const struct port61 *p)
{
    return !(p->regs.control & PCI_SERR_DIS);
}

bool port61_iochk_nmi_enabled(const struct port61 *p)
{
    return !(p->regs.control & IOCHK_DIS);
}

static uint64_t port61_read(void *opaque, uint64_t offset, unsigned size)
{
    struct port61 *p = opaque;
    (void)offset;
    (void)size;
    uint8_t v = p->regs.control;
    if (clock_now(p->clock) / REFRESH_NS & 1)
        v |= REF_TOGGLE;
    if (i8254_get_out(p->pit, 2))
        v |= TMR2_OUT_STS;
    return v;
}

static void port61_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    struct port61 *p = opaque;
    (void)offset;
    (void)size;
    p->regs.control = v & WRITABLE;
    i8254_set_gate(p->pit, 2, v & TIM_CNT2_EN);
}

static const struct mem_ops port61_ops = { port61_read, port61_write, { 0 }, { .min = 1, .max = 1 } };

static void port61_reset(void *opaque)
{
    struct port61 *p = opaque;
    p->regs = port61_power_on;
    i8254_set_gate(p->pit, 2, false);
}

struct port61 *port61_new(struct hw_env *env, struct i8254 *pit)
{
    struct port61 *p = g_new0(struct port61, 1);
    p->regs = port61_power_on;
    p->clock = env->clock;
    p->pit = pit;
    p->io = mem_io_new("port61", 1, &port61_ops, p);
    mem_region_add(env->io_root, 0x61, p->io, 0);
    p->dev = (struct device){
        .name = "port61", .reset = port61_reset, .state = &port61_state_table, .regs = &p->regs, .opaque = p,
    };
    device_register(env, &p->dev);
    return p;
}

void port61_free(struct port61 *p)
{
    if (!p)
        return;
    mem_region_free(p->io);
    g_free(p);
}
