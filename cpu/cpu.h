/* The guest processor as the machine sees it. Knows no device: everything
 * outside comes through struct cpu_bus. */
#ifndef MIMUS_CPU_CPU_H
#define MIMUS_CPU_CPU_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct cpu;
struct log;
struct error;
struct memory;
struct mem_space;
struct lock;

/* The processor's pins and neighbours. Callbacks run on the processor's thread with the machine lock held. */
struct cpu_bus {
    struct mem_space *memory;
    struct mem_space *ports;
    struct memory *ram;
    struct log *log;
    struct lock *lock;                            /* the machine lock */
    unsigned *accessor;                           /* NULL, or set to this processor's index whenever it has taken the lock */
    int (*ack_interrupt)(void *opaque);           /* INTA cycle: vector, or -1: nothing pending any more */
    uint64_t (*apic_base)(void *opaque);          /* IA32_APIC_BASE */
    bool (*set_apic_base)(void *opaque, uint64_t value);  /* false: #GP */
    /* x2APIC registers, index = MSR - 0x800; false: #GP. NULL: no local APIC */
    bool (*read_x2apic)(void *opaque, unsigned index, uint64_t *value);
    bool (*write_x2apic)(void *opaque, unsigned index, uint64_t value);
    /* IA32_TSC_DEADLINE; `when`: the virtual ns at which the counter gets there */
    uint64_t (*tsc_deadline)(void *opaque);
    void (*set_tsc_deadline)(void *opaque, uint64_t tsc, int64_t when);
    uint8_t (*get_tpr)(void *opaque);             /* CR8 */
    void (*set_tpr)(void *opaque, uint8_t tpr);
    void (*ferr)(void *opaque, int level);        /* FERR#: x87 error to IRQ 13 */
    void (*shutdown)(void *opaque);               /* triple fault */
    void (*init_taken)(void *opaque);             /* NULL, or: INIT or RESET was served; its local APIC is reset with it */
    int64_t (*now)(void *opaque);                 /* virtual ns, no lock needed: time-stamp counter */
    void (*woken)(void *opaque);                  /* NULL, or: a pin or a request came. Any thread */
    void *opaque;
};

/* Threads of a core, cores of a socket, sockets; each 1 or more. */
struct cpu_topology { unsigned sockets, cores, threads; };

#define CPU_MAX 64
/* Entries of a block before it counts as hot: enough to know which way its branches go. */
#define CPU_HOT_AFTER 4000

struct cpu_options {
    const char *model;      /* NAME[,+feature][,-feature]..., NULL: the widest; see cpu_model_check() */
    bool interp;            /* engine: IR interpreter instead of the native backend */
    bool optimise;
    uint32_t hot_after;          /* entries after which a block is translated along its hot path; 0: never */
    bool one_insn;          /* blocks of one instruction */
    bool verify;
    size_t cache_size;      /* bytes of host code, 0: default */
    uint32_t without_isa;   /* enum tcg_host_isa: extensions of the host that are not to be used */
    struct cpu *first;      /* the processor with which it shares memory and translations; NULL: this is the first */
    unsigned index;         /* 0 is the bootstrap processor; the others wait for SIPI after reset */
    bool parallel;          /* others run at the same time, each on a host thread of its own: LOCK is atomic on the host */
    struct cpu_topology topology;   /* all zero: one processor */
    bool counted;           /* instructions are counted: to be run by cpu_run_slice() */
    bool seeded;            /* random numbers are the same in each run */
};

/* Is this a model with its features? -EINVAL with the reason, else 0. `notes` gets one line about features that went
 * because what they need was switched off, "" when there is nothing to say. */
int cpu_model_check(const char *spec, char *notes, size_t size, struct error *err);
void cpu_model_help(FILE *out);

/* A processor in its reset state, owned by the caller. NULL with `err` on failure. */
struct cpu *cpu_new(const struct cpu_options *opt, const struct cpu_bus *bus, struct error *err);
void cpu_free(struct cpu *cpu);

/* The address space of system management mode; NULL (as after creation): that of cpu_bus. The processor stands. */
void cpu_set_smm_memory(struct cpu *cpu, struct mem_space *space);

/* Pins; any thread. */
enum cpu_pin {
    CPU_PIN_INTR = 1,   /* level: a maskable interrupt waits */
    CPU_PIN_NMI = 2,    /* edge */
    CPU_PIN_SMI = 4,    /* edge */
    CPU_PIN_INIT = 8,   /* edge */
    CPU_PIN_RESET = 16, /* edge: power-on reset */
    CPU_PIN_STOP = 32,  /* level: cpu_run() returns as long as it is set */
    CPU_PIN_SIPI = 64,  /* edge: by cpu_sipi() */
};
void cpu_raise(struct cpu *cpu, unsigned pins);
void cpu_lower(struct cpu *cpu, unsigned pins);
/* cpu_raise() with the machine lock held: if another processor holds it, the wake-up comes when it lets go, so that the
 * woken one does not have to wait for it. Not for CPU_PIN_RESET. */
void cpu_raise_locked(struct cpu *cpu, unsigned pins);
void cpu_set_a20(struct cpu *cpu, bool enabled);       /* any thread; takes effect at the next block */
/* Guest-physical layout changed: drop cached translations of addresses. Any thread. */
void cpu_flush_tlb_async(struct cpu *cpu);
/* Pages have got a flag: stores to them have to be told from now on. Any thread. */
void cpu_watch_async(struct cpu *cpu);
/* Somebody has written bytes of RAM that hold translated code: drop them, for all processors. Any thread. */
void cpu_code_written(struct cpu *cpu, uint64_t ram_off, uint64_t len);

/* A start-up message: a processor that waits for one starts in real mode at vector << 12 (SDM vol. 3, 9.4). Any thread. */
void cpu_sipi(struct cpu *cpu, uint8_t vector);
/* APIC id of processor `index`, composed as CPUID leaf 0BH tells (SDM vol. 3, 9.9). */
uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index);
/* The translator's cache is emptied. All processors are stopped. */
void cpu_flush_translations(struct cpu *cpu);

/* Run the guest on the calling thread, without the machine lock, until
 * CPU_PIN_STOP. HLT waits without using the host's processor. */
void cpu_run(struct cpu *cpu);

/* ---- processors that take turns: those with `counted`, all on one thread ---- */

enum cpu_slice {
    CPU_SLICE_USED,         /* the instructions were executed */
    CPU_SLICE_WAITS,        /* HLT and the like, until cpu_can_run() */
    CPU_SLICE_PAUSED,       /* PAUSE: it waits for another processor */
    CPU_SLICE_STOPPED,      /* CPU_PIN_STOP */
};
/* Run the guest on the calling thread, without the machine lock, until `insns` instructions (> 0) are
 * complete, or another reason. Faults, interrupts and what requests do to the run loop count nothing. */
enum cpu_slice cpu_run_slice(struct cpu *cpu, int64_t insns);
/* How many of them are not complete: exact between instructions and within one. */
int64_t cpu_slice_left(struct cpu *cpu);
/* From within an instruction: let at most `insns` be complete after those that are; the block that runs is
 * finished in any case. Returns by how many the slice is now shorter. */
int64_t cpu_slice_cut(struct cpu *cpu, int64_t insns);
/* Is there something to run or to serve? On the thread that runs them. */
bool cpu_can_run(struct cpu *cpu);

/* For monitors, while the processor is stopped. */
typedef void cpu_print_fn(void *opaque, const char *line);
void cpu_print_registers(struct cpu *cpu, cpu_print_fn *print, void *opaque);  /* info registers */
void cpu_print_mem(struct cpu *cpu, cpu_print_fn *print, void *opaque);        /* info mem: linear ranges and rights */
void cpu_print_tlb(struct cpu *cpu, cpu_print_fn *print, void *opaque);        /* info tlb: page by page */
void cpu_print_jit(struct cpu *cpu, cpu_print_fn *print, void *opaque);        /* info jit: translation statistics */
/* Linear to physical with the current page tables, no side effects. False: not mapped. */
bool cpu_translate(struct cpu *cpu, uint64_t linear, uint64_t *phys);
uint64_t cpu_pc(struct cpu *cpu);   /* linear address of the next instruction */
/* EAX and EDX of CPUID leaf 1, for the firmware's tables. */
void cpu_identify(struct cpu *cpu, uint32_t *eax, uint32_t *edx);
unsigned cpu_code_bits(struct cpu *cpu);  /* 16, 32, 64: for disassembly */

#endif
