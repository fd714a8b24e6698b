/* Fixture of the processor's tests, see cpu_fixture.h. */
#include "cpu_fixture.h"

#include <check.h>
#include <stdlib.h>

#include "base/error.h"

struct cpu_fixture cf;

/* ---- the neighbours ---- */

static void on_shutdown(void *opaque)
{
    (void)opaque;
    cf.shutdowns++;
    cpu_raise(cf.cpu, CPU_PIN_STOP);
}

static void on_ferr(void *opaque, int level)
{
    (void)opaque;
    cf.ferr = level;
}

static int on_ack(void *opaque)
{
    (void)opaque;
    cpu_lower(cf.cpu, CPU_PIN_INTR);
    return cf.intr_vector;
}

static int64_t on_now(void *opaque)
{
    (void)opaque;
    return 0;
}

static void on_code_written(void *opaque, uint64_t ram_off, uint64_t len)
{
    (void)opaque;
    cpu_code_written(cf.cpu, ram_off, len);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return 0;
}

static void port_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)opaque, (void)size;
    if (offset + CF_PORT_OUT == CF_PORT_OUT && cf.num_out < sizeof(cf.out))
        cf.out[cf.num_out++] = (uint8_t)v;
    if (offset + CF_PORT_OUT == CF_PORT_VECTOR && cf.num_vectors < sizeof(cf.vector))
        cf.vector[cf.num_vectors++] = (uint8_t)v;
    if (offset + CF_PORT_OUT == CF_PORT_STOP)
        cpu_raise(cf.cpu, CPU_PIN_STOP);
    if (offset + CF_PORT_OUT == CF_PORT_INTR)
        cpu_raise(cf.cpu, CPU_PIN_INTR);
}

static void note_io(bool write, uint64_t offset, uint64_t value, unsigned size)
{
    if (cf.num_io == ARRAY_LEN(cf.io_log))
        return;
    cf.io_log[cf.num_io].write = write;
    cf.io_log[cf.num_io].offset = offset;
    cf.io_log[cf.num_io].value = value;
    cf.io_log[cf.num_io++].size = size;
}

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    note_io(false, offset, 0, size);
    return load_le(cf.io_data + offset, size);
}

static void io_write(void *opaque, uint64_t offset, uint64_t v, unsigned size)
{
    (void)opaque;
    note_io(true, offset, v, size);
    if (cf.on_io_write)
        cf.on_io_write();
}

static const struct mem_ops port_ops = { .read = port_read, .write = port_write };
static const struct mem_ops io_ops = {
    .read = io_read, .write = io_write, .valid = { 1, 8, true }, .impl = { 1, 8, true },
};

/* ---- memory, tables, handlers ---- */

void cf_poke(uint64_t addr, uint64_t v, unsigned size)
{
    mem_write(cf.space, addr, v, size);
}

uint64_t cf_peek(uint64_t addr, unsigned size)
{
    return mem_read(cf.space, addr, size);
}

void cf_code(uint64_t addr, const void *bytes, size_t len)
{
    mem_write_buf(cf.space, addr, bytes, len);
}

static void put_desc(unsigned selector, uint32_t base, uint32_t limit, uint8_t type, uint8_t flags)
{
    uint64_t at = CF_GDT + (selector & ~7u);

    cf_poke(at, (limit & 0xffff) | base << 16, 4);
    cf_poke(at + 4, (base >> 16 & 0xff) | (uint32_t)type << 8 | (limit & 0xf0000) | (uint32_t)flags << 20 |
                        (base & 0xff000000), 4);
}

/* Handler of vector v: tell it, stop. IRET follows, for tests that go on. */
static void put_handler(unsigned v)
{
    const uint8_t code[] = { 0xb0, (uint8_t)v, 0xe6, CF_PORT_VECTOR, 0xe6, CF_PORT_STOP, 0xeb, 0xfe };

    cf_code(CF_HANDLERS + 16 * v, code, sizeof(code));
    cf_poke(CF_IDT + 8 * v, (uint32_t)CF_KCODE << 16 | (CF_HANDLERS + 16 * v), 4);
    cf_poke(CF_IDT + 8 * v + 4, 0x8e00, 4);
}

static void make_tables(void)
{
    put_desc(CF_KCODE, 0, 0xfffff, 0x9a, 0xc);
    put_desc(CF_KDATA, 0, 0xfffff, 0x92, 0xc);
    put_desc(CF_UCODE, 0, 0xfffff, 0xfa, 0xc);
    put_desc(CF_UDATA, 0, 0xfffff, 0xf2, 0xc);
    put_desc(CF_TR, CF_TSS, 0x67, 0x89, 0);
    put_desc(CF_CODE64, 0, 0xfffff, 0x9a, 0xa);
    put_desc(CF_CODE16, 0, 0xffff, 0x9a, 0);
    put_desc(CF_DATA16, 0, 0xffff, 0x92, 0);
    cf_poke(CF_TSS + 4, CF_STACK, 4);
    cf_poke(CF_TSS + 8, CF_KDATA, 2);
    for (unsigned v = 0; v < 0x40; v++)
        put_handler(v);
    cf.cpu->gdt = (struct table_reg){ .base = CF_GDT, .limit = 0x4f };
    cf.cpu->idt = (struct table_reg){ .base = CF_IDT, .limit = 0x1ff };
}

static void load_level(uint16_t cs, uint16_t data)
{
    struct cpu *cpu = cf.cpu;
    struct descriptor d;

    ck_assert(desc_read(cpu, cs, &d));
    seg_commit_code(cpu, cs, &d, cs & 3);
    cpu_update_mode(cpu);
    for (unsigned i = S_ES; i < S_NUM; i++)
        if (i != S_CS)
            seg_load(cpu, i, data);
    cpu_update_mode(cpu);
}

static void make_memory(void)
{
    cf.mem = memory_new(32 << 20, &cf.log, NULL);
    cf.root = mem_container_new("root", UINT64_C(1) << 40);
    cf.ram = mem_ram_new(cf.mem, "ram", CF_RAM_SIZE, NULL);
    cf.rom = mem_rom_new(cf.mem, "rom", 0x10000, NULL);
    cf.io = mem_io_new("io", CF_IO_SIZE, &io_ops, NULL);
    mem_region_add(cf.root, 0, cf.ram, 0);
    mem_region_add(cf.root, CF_ROM, cf.rom, 1);
    mem_region_add(cf.root, CF_IO, cf.io, 0);
    cf.space = mem_space_new("memory", cf.root, &cf.log);
    cf.port_root = mem_container_new("ports", 0x10000);
    cf.port_io = mem_io_new("test ports", 4, &port_ops, NULL);
    mem_region_add(cf.port_root, CF_PORT_OUT, cf.port_io, 0);
    cf.ports = mem_space_new("I/O", cf.port_root, &cf.log);
}

void cf_setup(const struct cpu_options *opt)
{
    static const struct cpu_options plain = { .model = "max", .interp = true, .optimise = true,
        .verify = true };
    struct error err = { "" };

    memset(&cf, 0, sizeof(cf));
    log_init(&cf.log);
    lock_init(&cf.lock);
    make_memory();
    struct cpu_bus bus = { .memory = cf.space, .ports = cf.ports, .ram = cf.mem, .log = &cf.log,
        .lock = &cf.lock,
                           .ack_interrupt = on_ack, .ferr = on_ferr, .shutdown = on_shutdown, .now = on_now };
    cf.cpu = cpu_new(opt ? opt : &plain, &bus, &err);
    ck_assert_msg(cf.cpu != NULL, "%s", err.msg);
    memory_set_code_listener(cf.mem, on_code_written, NULL);
    cf.cpu->fault_jmp = &cf.jmp;
    cf.intr_vector = 0x20;
    make_tables();
    cf.cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu_update_mode(cf.cpu);
    load_level(CF_KCODE, CF_KDATA);
    seg_load_tr(cf.cpu, CF_TR);
    cf.cpu->gpr[R_SP] = CF_STACK;
}

void cf_setup_engine(bool interp)
{
    struct cpu_options opt = { .model = "max", .interp = interp, .optimise = true, .verify = true };

    cf_setup(&opt);
}

void cf_teardown(void)
{
    cpu_free(cf.cpu);
    mem_space_free(cf.ports);
    mem_space_free(cf.space);
    mem_region_free(cf.port_io);
    mem_region_free(cf.port_root);
    mem_region_free(cf.io);
    mem_region_free(cf.rom);
    mem_region_free(cf.ram);
    mem_region_free(cf.root);
    memory_free(cf.mem);
    lock_destroy(&cf.lock);
}

/* ---- modes ---- */

void cf_enter_user(void)
{
    load_level(CF_UCODE, CF_UDATA);
    ck_assert_uint_eq(cpu_cpl(cf.cpu), 3);
}

void cf_enter_real(void)
{
    cf.cpu->cr0 &= ~(uint64_t)CR0_PE;
    cf.cpu->mode = 0;
    for (unsigned i = S_ES; i < S_NUM; i++)
        seg_set_cache(cf.cpu, i, 0, 0, 0xffff, ATTR_P | ATTR_S | ATTR_W | ATTR_A);
    cf.cpu->idt = (struct table_reg){ .limit = 0x3ff };
    for (unsigned v = 0; v < 0x40; v++)
        cf_poke(4 * v, CF_HANDLERS + 16 * v, 4);
    cpu_update_mode(cf.cpu);
}

void cf_enter_long(void)
{
    struct cpu *cpu = cf.cpu;

    cf_poke(CF_TABLES, (CF_TABLES + 0x1000) | 7, 8);
    for (unsigned i = 0; i < 4; i++)
        cf_poke(CF_TABLES + 0x1000 + 8 * i, (CF_TABLES + 0x2000 + 0x1000 * i) | 7, 8);
    for (unsigned i = 0; i < 2048; i++)
        cf_poke(CF_TABLES + 0x2000 + 8 * i, (uint64_t)i << 21 | 0x87, 8);
    for (unsigned v = 0; v < 0x20; v++) {
        cf_poke(CF_IDT + 16 * v, (uint64_t)0x8e00 << 32 | (uint32_t)CF_CODE64 << 16 | (CF_HANDLERS + 16 * v),
            8);
        cf_poke(CF_IDT + 16 * v + 8, 0, 8);
    }
    cpu_write_cr4(cpu, CR4_PAE | CR4_OSFXSR);
    cpu_write_cr3(cpu, CF_TABLES);
    cpu_write_msr(cpu, 0xc0000080, EFER_LME);
    cpu_write_cr0(cpu, cpu->cr0 | CR0_PG);
    far_transfer(cpu, FAR_JMP, CF_CODE64, CF_CODE, 4, 0);
    ck_assert(cpu_code64(cpu));
}

void cf_page_32(void)
{
    for (unsigned i = 0; i < 2; i++)
        cf_poke(CF_TABLES + 4 * i, (CF_TABLES + 0x1000 + 0x1000 * i) | 7, 4);
    for (uint64_t page = 0; page < 0x800000; page += 0x1000)
        cf_poke(CF_PTE(page), page | 7, 4);
    cpu_write_cr3(cf.cpu, CF_TABLES);
    cpu_write_cr0(cf.cpu, cf.cpu->cr0 | CR0_PG);
}

void cf_run(uint64_t rip)
{
    cf.cpu->rip = rip;
    cf.num_vectors = cf.num_out = 0;
    cpu_lower(cf.cpu, CPU_PIN_STOP);
    cpu_run(cf.cpu);
}

int cf_last_vector(void)
{
    return cf.num_vectors ? cf.vector[cf.num_vectors - 1] : -1;
}
