/* Fixture of the processor's tests: a whole processor on a small memory map, with tables, handlers and ports
 * that tell the test what happened. */
#ifndef MIMUS_TESTS_UNIT_CPU_FIXTURE_H
#define MIMUS_TESTS_UNIT_CPU_FIXTURE_H

#include <setjmp.h>

#include "base/lock.h"
#include "cpu/sys.h"
#include "memory/memory.h"

/* Physical map: 16 MiB of RAM with ROM over its 0xf0000, I/O behind it. */
enum {
    CF_GDT = 0x1000, CF_IDT = 0x2000, CF_TSS = 0x3000, CF_STACK = 0x7000, CF_HANDLERS = 0x8000,
    CF_CODE = 0x10000, CF_ROM = 0xf0000, CF_TABLES = 0x100000, CF_RAM_SIZE = 0x1000000, CF_IO = 0x20000000,
    CF_IO_SIZE = 0x3000,
};
enum { CF_KCODE = 0x08, CF_KDATA = 0x10, CF_UCODE = 0x1b, CF_UDATA = 0x23, CF_TR = 0x28, CF_CODE64 = 0x38,
       CF_CODE16 = 0x40, CF_DATA16 = 0x48 };

/* Ports: a byte for the test, the end of the run, the vector that a handler serves, an interrupt that waits from now
 * on. */
enum { CF_PORT_OUT = 0x10, CF_PORT_STOP = 0x11, CF_PORT_VECTOR = 0x12, CF_PORT_INTR = 0x13 };

/* Code that ends a run. */
#define CF_STOP 0xe6, CF_PORT_STOP, 0xeb, 0xfe
#define CF_OUT_AL 0xe6, CF_PORT_OUT

struct cpu_fixture {
    struct memory *mem;
    struct mem_region *root, *ram, *rom, *io, *port_root, *port_io;
    struct mem_space *space, *ports;
    struct cpu *cpu;
    struct log log;
    struct lock lock;
    jmp_buf jmp;                   /* where helpers called by the test raise to */
    unsigned shutdowns;
    int ferr, intr_vector;         /* intr_vector: what the interrupt controller answers */
    uint8_t out[64], vector[64];   /* bytes written to the ports */
    unsigned num_out, num_vectors;
    struct { bool write; uint64_t offset, value; unsigned size; } io_log[64];
    unsigned num_io;
    void (*on_io_write)(void);     /* the device acts while the processor waits for it; NULL: it does nothing */
    uint8_t io_data[CF_IO_SIZE];   /* what reads of the I/O region give */
};

extern struct cpu_fixture cf;

/* A processor with these options (NULL: interpreter, model max), in flat 32-bit protected mode at level 0. */
void cf_setup(const struct cpu_options *opt);
void cf_setup_engine(bool interp);
void cf_teardown(void);

void cf_poke(uint64_t addr, uint64_t v, unsigned size);
uint64_t cf_peek(uint64_t addr, unsigned size);
void cf_code(uint64_t addr, const void *bytes, size_t len);
/* Code from the array `bytes` to `addr`. */
#define CF_CODE_AT(addr, ...) \
    do { \
        static const uint8_t bytes_[] = { __VA_ARGS__ }; \
        cf_code((addr), bytes_, sizeof(bytes_)); \
    } while (0)

void cf_enter_user(void);      /* level 3, flat */
void cf_enter_real(void);      /* CS.base and all others 0, SP at CF_STACK */
void cf_enter_long(void);      /* 64-bit code, first 4 GiB of linear space on themselves by 2 MiB pages */
/* 32-bit paging, first 8 MiB on themselves: directory at CF_TABLES, tables behind */
void cf_page_32(void);
#define CF_PTE(linear) (CF_TABLES + 0x1000 + ((linear) >> 12) * 4)

/* Run from `rip` until something stops. */
void cf_run(uint64_t rip);
/* The vector that stopped the last run, -1: none. */
int cf_last_vector(void);

/* Vector that `expr` raises, or -1. */
#define CF_RAISED(expr) (cf.cpu->fault_jmp = &cf.jmp, \
                         setjmp(cf.jmp) ? (int)cf.cpu->ex.vector : ((void)(expr), -1))

#endif
