/* The board's processors: how each is wired to its local APIC and to what all of them share. */
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/misc/ferr.h"
#include "hw/pci/pci.h"
#include "machine/pc.h"
#include "machine/topology.h"
#include "memory/memory.h"

/* ---- from the local APIC to the processor ---- */

static void lapic_intr(void *opaque, int level)
{
    struct pc_cpu *c = opaque;

    if (level)
        cpu_raise_locked(c->cpu, CPU_PIN_INTR);
    else
        cpu_lower(c->cpu, CPU_PIN_INTR);
}

static void lapic_nmi(void *opaque) { cpu_raise_locked(((struct pc_cpu *)opaque)->cpu, CPU_PIN_NMI); }
static void lapic_smi(void *opaque) { cpu_raise_locked(((struct pc_cpu *)opaque)->cpu, CPU_PIN_SMI); }
static void lapic_init(void *opaque) { cpu_raise_locked(((struct pc_cpu *)opaque)->cpu, CPU_PIN_INIT); }
static void lapic_sipi(void *opaque, uint8_t vector) { cpu_sipi(((struct pc_cpu *)opaque)->cpu, vector); }

/* LINT0 of every local APIC, and the I/O APIC's input 0 (MP specification 3.6.2.2: virtual wire by either). */
void pc_set_pic_intr(struct pc *pc, int level)
{
    ioapic_set_irq(pc->ioapic, 0, level);
    for (unsigned i = 0; i < pc->m->num_cpus; i++)
        lapic_set_extint(pc->cpu[i].lapic, level);
}

/* ---- from the processor to its local APIC and the board ---- */

static struct lapic *own_lapic(void *opaque)
{
    return ((struct pc_cpu *)opaque)->lapic;
}

static struct machine *own_machine(void *opaque)
{
    return ((struct pc_cpu *)opaque)->pc->m;
}

static int bus_ack(void *opaque)
{
    struct pc_cpu *c = opaque;

    if (!lapic_has_interrupt(c->lapic))
        return -1;
    return lapic_extint_pending(c->lapic) ? i8259_ack(c->pc->pic) : lapic_ack(c->lapic);
}

static uint64_t bus_get_apic_base(void *opaque) { return lapic_get_base(own_lapic(opaque)); }
static bool bus_set_apic_base(void *opaque, uint64_t v) { return lapic_set_base(own_lapic(opaque), v); }

static bool bus_read_x2apic(void *opaque, unsigned index, uint64_t *value)
{
    return lapic_msr_read(own_lapic(opaque), index, value);
}

static bool bus_write_x2apic(void *opaque, unsigned index, uint64_t value)
{
    return lapic_msr_write(own_lapic(opaque), index, value);
}

static uint64_t bus_get_deadline(void *opaque) { return lapic_get_tsc_deadline(own_lapic(opaque)); }

static void bus_set_deadline(void *opaque, uint64_t tsc, int64_t when)
{
    lapic_set_tsc_deadline(own_lapic(opaque), tsc, when);
}

static uint8_t bus_get_tpr(void *opaque) { return (uint8_t)(lapic_get_tpr(own_lapic(opaque)) << 4); }
static void bus_set_tpr(void *opaque, uint8_t tpr) { lapic_set_tpr(own_lapic(opaque), tpr >> 4); }
static void bus_init_taken(void *opaque) { lapic_init_taken(own_lapic(opaque)); }
static void bus_shutdown(void *opaque) { machine_request_reset(own_machine(opaque)); }

/* Readers of two processors may differ by some ten ns, which guests that compare their TSCs must not see. */
static int64_t bus_now(void *opaque)
{
    struct machine *m = own_machine(opaque);

    return m->num_cpus > 1 ? clock_now(m->clock) : clock_now_quickly(m->clock, &((struct pc_cpu *)opaque)->tsc);
}

static void bus_woken(void *opaque) { roundrobin_wake(own_machine(opaque)->rr); }

/* IRQ 13 reports the error of the bootstrap processor; the others' FERR# is connected to nothing. */
static void bus_ferr(void *opaque, int level)
{
    struct pc_cpu *c = opaque;

    if (c == c->pc->cpu)
        ferr_set(c->pc->ferr, 0, level);
}

static void send_message(void *opaque, uint64_t addr, uint32_t data)
{
    lapic_bus_send_msi(opaque, addr, data);
}

void pc_connect_messages(struct pc *pc, struct pci_bus *bus)
{
    pci_bus_set_message(bus, send_message, pc->lapic_bus);
}

/* ---- from memory to all processors ---- */

static void space_changed(void *opaque)
{
    struct machine *m = opaque;

    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_flush_tlb_async(m->cpu[i]);
}

static void pages_clean(void *opaque, uint64_t ram_off, uint64_t len)
{
    struct machine *m = opaque;

    (void)ram_off, (void)len;
    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_watch_async(m->cpu[i]);
}

/* Translations are shared: telling one processor is enough. */
static void code_written(void *opaque, uint64_t ram_off, uint64_t len)
{
    cpu_code_written(((struct machine *)opaque)->cpu[0], ram_off, len);
}

void pc_set_a20(struct machine *m, bool enabled)
{
    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_set_a20(m->cpu[i], enabled);
}

void pc_set_smm_memory(struct machine *m, struct mem_space *space)
{
    for (unsigned i = 0; i < m->num_cpus; i++)
        cpu_set_smm_memory(m->cpu[i], space);
    mem_space_set_listener(space, space_changed, m);
}

/* ---- life ---- */

static struct cpu *build_cpu(struct machine *m, unsigned index, struct error *err)
{
    const struct options *o = m->opt;
    struct cpu_bus bus = {
        .memory = m->env.memory, .ports = m->env.ports, .ram = m->env.mem, .log = &m->log, .lock = &m->lock,
        .accessor = &m->accessor, .ack_interrupt = bus_ack, .apic_base = bus_get_apic_base,
        .set_apic_base = bus_set_apic_base, .read_x2apic = bus_read_x2apic, .write_x2apic = bus_write_x2apic,
        .tsc_deadline = bus_get_deadline, .set_tsc_deadline = bus_set_deadline, .get_tpr = bus_get_tpr,
        .set_tpr = bus_set_tpr, .ferr = bus_ferr, .shutdown = bus_shutdown, .init_taken = bus_init_taken,
        .now = bus_now,
        .woken = m->rr ? bus_woken : NULL, .opaque = &m->pc->cpu[index],
    };
    struct cpu_options opt = {
        .model = o->cpu_model, .interp = o->interp, .optimise = o->optimise, .hot_after = o->hot_after, .one_insn = o->one_insn,
        .verify = o->verify, .cache_size = o->cache_size, .without_isa = o->host_isa_base ? UINT32_MAX : 0,
        .first = m->cpu[0], .index = index, .topology = o->topology,
        .parallel = topology_cpus(&o->topology) > 1 && !o->single_thread,
        .counted = o->single_thread, .seeded = o->icount,
    };

    return cpu_new(&opt, &bus, err);
}

int pc_build_cpus(struct machine *m, struct error *err)
{
    unsigned n = topology_cpus(&m->opt->topology);

    for (unsigned i = 0; i < n; i++) {
        m->pc->cpu[i].pc = m->pc;
        m->cpu[i] = m->pc->cpu[i].cpu = build_cpu(m, i, err);
        if (!m->cpu[i])
            return -EINVAL;
        m->num_cpus++;
    }
    memory_set_code_listener(m->env.mem, code_written, m);
    memory_set_clean_listener(m->env.mem, pages_clean, m);
    mem_space_set_listener(m->env.memory, space_changed, m);
    return 0;
}

/* The first owns what they share. */
void pc_free_cpus(struct machine *m)
{
    while (m->num_cpus)
        cpu_free(m->cpu[--m->num_cpus]);
}

void pc_build_lapics(struct machine *m)
{
    struct pc *pc = m->pc;

    pc->lapic_bus = lapic_bus_new(&m->env);
    lapic_bus_set_accessor(pc->lapic_bus, &m->accessor);
    for (unsigned i = 0; i < m->num_cpus; i++) {
        struct lapic_cpu cpu = { lapic_intr, lapic_nmi, lapic_smi, lapic_init, lapic_sipi, &pc->cpu[i] };
        uint32_t id = cpu_apic_id(&m->opt->topology, i);
        pc->cpu[i].lapic = lapic_new(&m->env, pc->lapic_bus, (uint8_t)id, &cpu);
    }
}

void pc_free_lapics(struct machine *m)
{
    for (unsigned i = m->num_cpus; i--; )
        lapic_free(m->pc->cpu[i].lapic);
    lapic_bus_free(m->pc->lapic_bus);
}
