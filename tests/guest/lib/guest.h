/* What every guest program uses: snippets of machine code run in any mode of the processor, and checks. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

struct image { /* as laid out by layout.h */
    u64 r[16], rip, rflags;
    u32 es, cs, ss, ds, fs, gs, vector, error;
    u64 cr2; /* after protected and long mode */
};
#define in ((struct image *)LOW_IN)
#define out ((struct image *)LOW_OUT)

/* Modes of a snippet: 16- and 32-bit protected mode, long and compatibility mode, U with CPL 3. */
enum mode { REAL, V86, P16, P16U, P32, P32U, C16U, C32, C32U, L64, L64U };
#define BITS_REAL 16
#define BITS_V86 16
#define BITS_P16 16
#define BITS_P16U 16
#define BITS_P32 32
#define BITS_P32U 32
#define BITS_C16U 16
#define BITS_C32 32
#define BITS_C32U 32
#define BITS_L64 64
#define BITS_L64U 64

enum vector {
    V_DE = 0x100, V_DB, V_NMI, V_BP, V_OF, V_BR, V_UD, V_NM, V_DF, V_CSO, V_TS, V_NP, V_SS, V_GP, V_PF, V_15,
    V_MF, V_AC, V_MC, V_XM
};
#define INT(n) (0x100 + (n))
#define DONE INT(0x40) /* every snippet ends with INT 40h */

/* What a test expects of a register (value, mask) or of memory (value, linear address). */
enum what {
    END, AX, CX, DX, BX, SP, BP, SI, DI, R8, R9, R10, R11, R12, R13, R14, R15, IP, FL, ES, CS, SS, DS, FS, GS,
    M8, M16, M32, M64
};
struct expect {
    enum what what;
    u64 value, arg;
};
#define ARITH 0x8d5 /* the flags that FL compares when no mask is given */
enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, TF = 0x100, IF = 0x200, DF = 0x400, OF = 0x800,
       IOPL3 = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000, AC = 0x40000, VIF = 0x80000, VIP = 0x100000 };

struct code { /* label 99 in the snippet marks the instruction that is expected to stop it */
    const u8 *start, *end, *mark;
};

/* A snippet: Intel syntax, copied to CODE and run there. CS base is CODE in 16-bit segments, 0 else. */
#define SNIPPET_(bits, text) ({ const struct code *code_; __asm__ volatile( \
    ".pushsection .snippets, \"awx\", @progbits\n.intel_syntax noprefix\n.code" #bits "\n98:99:\n" text \
    "\nint 0x40\n97:\n.att_syntax prefix\n.code32\n.balign 4\n96: .long 98b, 97b, 99b\n.popsection\n" \
    "movl $96b, %0" : "=r"(code_)); code_; })
#define SNIPPET(bits, text) SNIPPET_(bits, text)
#define AT(offset) ".skip " #offset "-(.-98b), 0x90\n" /* what follows stands at CODE + offset */

/* One test. Members not given: registers 0, RBX the address of DATA in the mode, valid segments, RSP in
 * STACK, IF clear, IOPL 0 (3 in virtual-8086 mode), ends by INT 40h. .fl is or-ed to the flags, .d is stored
 * at DATA. Selector members: 0 is the default, NULLSEL a null selector. */
struct test {
    const char *name;
    enum mode mode;
    const struct code *code;
    u64 ax, cx, dx, bx, sp, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15;
    u32 fl, iopl0, cs, ss, ds, es, fs, gs;
    enum vector vec;   /* the exception or interrupt that ends it; 0: DONE */
    u32 err;           /* its error code */
    bool anyip;        /* the address where it ends is not compared with label 99 */
    bool anyend;       /* it ends somehow: nothing is compared but .x */
    u32 d[8];
    struct expect x[10];
};
#define NULLSEL 0x80000000u

/* Runs a test: T("name", P32, "add eax, 1", .ax = 1, .x = { { AX, 2 } }); */
#define T(name_, mode_, text, ...) \
    test_run(&(struct test){ .name = (name_), .mode = (mode_), \
                             .code = SNIPPET(BITS_##mode_, text), __VA_ARGS__ })
void test_run(const struct test *t);

/* Prints a line if got is not expected; counts. */
bool check(const char *name, u64 got, u64 expected);
void group(const char *name); /* prefix of the failure lines that follow */
/* The name of a case of a matrix: LABEL(a, b, ...) gives its numbers in hexadecimal, until the next LABEL. */
const char *label(const u32 *numbers, int n);
#define LABEL(...) label((const u32[]){ __VA_ARGS__ }, sizeof((u32[]){ __VA_ARGS__ }) / 4)
void skip(const char *name, const char *why);

/* The program: what main is elsewhere. Its name is in the summary line. */
extern const char program_name[];
void program(const char *command_line);
/* Prints the summary and leaves by isa-debug-exit; also at the end of program(). */
_Noreturn void finish(void);

/* QEMU stands in for Mimus during development: leave out what its deviations from the manual turn into a
 * hang. */
extern bool stand_in;

void print(const char *format, ...); /* %s %x (u32) %X (u64) %d */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* ---- descriptors ---- */

struct gate { u16 lo, sel; u8 count, type; u16 hi; };
struct gate64 { u16 lo, sel; u8 ist, type; u16 hi; u32 top, zero; };
struct tss32 {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt;
    u16 trap, iomap;
    u8 bitmap[0x401 + 31];
};
struct tss64 {
    u32 r0, rsp[6], r1[2], ist[14], r2[2];
    u16 r3, iomap;
} __attribute__((packed));

extern u64 gdt[GDT_BYTES / 8], ldt[32];
extern struct gate idt32[256];
extern struct gate64 idt64[256];
extern struct tss32 tss;
extern struct tss64 tss64;
extern u8 stubs32[], stubs64[];

/* A descriptor; type is the access byte (P, DPL, S, type), flags the high nibble G D L AVL. */
u64 desc(u32 base, u32 limit, u8 type, u8 flags);
void gdt_set(u16 sel, u64 d);
u64 call_gate(u16 sel, u32 offset, u8 type, u8 count); /* any system gate */
void idt32_gate(int vec, u16 sel, u32 offset, u8 type);
void ldt_load(void); /* LDTR := SEL_LDT */
u32 seg_base(u32 sel);
void runtime_tss_available(void);

/* ---- registers of the processor ---- */

static inline u32 cr0_get(void) { u32 v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u32 cr2_get(void) { u32 v; __asm__ volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline u32 cr3_get(void) { u32 v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u32 cr4_get(void) { u32 v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void cr0_set(u32 v) { __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
static inline void cr3_set(u32 v) { __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static inline void cr4_set(u32 v) { __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
static inline u64 msr_get(u32 n) { u64 v; __asm__ volatile("rdmsr" : "=A"(v) : "c"(n)); return v; }
static inline void msr_set(u32 n, u64 v) { __asm__ volatile("wrmsr" : : "A"(v), "c"(n) : "memory"); }
#define dr_get(n) ({ u32 v_; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_)); v_; })
#define dr_set(n, v) __asm__ volatile("mov %0, %%dr" #n : : "r"((u32)(v)))

/* Bit of a CPUID register, 0 a to 3 d; false if the leaf does not exist. */
bool cpu_has(u32 leaf, int reg, int bit);
bool cpu_is_intel(void);
#define HAS_VME cpu_has(1, 3, 1)
#define HAS_SSE cpu_has(1, 3, 25)
#define HAS_NX cpu_has(0x80000001, 3, 20)
#define HAS_LM cpu_has(0x80000001, 3, 29)

#define PORT_ACCESS(suffix, type) \
    static inline void out##suffix(u16 p, type v) \
    { \
        __asm__ volatile("out" #suffix " %0, %1" : : "a"(v), "Nd"(p) : "memory"); \
    } \
    static inline type in##suffix(u16 p) \
    { \
        type v; \
        __asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(p) : "memory"); \
        return v; \
    }
PORT_ACCESS(b, u8)
PORT_ACCESS(w, u16)
PORT_ACCESS(l, u32)

/* ---- memory ---- */

/* Any address, also a low constant one that the compiler must not reason about. */
static inline volatile void *at(u32 a) { __asm__("" : "+r"(a)); return (volatile void *)a; }
static inline u8 peek8(u32 a) { return *(volatile u8 *)at(a); }
static inline u16 peek16(u32 a) { return *(volatile u16 *)at(a); }
static inline u32 peek32(u32 a) { return *(volatile u32 *)at(a); }
static inline u64 peek64(u32 a) { return *(volatile u64 *)at(a); }
static inline void poke8(u32 a, u8 v) { *(volatile u8 *)at(a) = v; }
static inline void poke16(u32 a, u16 v) { *(volatile u16 *)at(a) = v; }
static inline void poke32(u32 a, u32 v) { *(volatile u32 *)at(a) = v; }
static inline void poke64(u32 a, u64 v) { *(volatile u64 *)at(a) = v; }

/* Long-mode tables: 0 to 4 GiB maps to itself, user and writable, also at ffffff80_00000000; window64 (512
 * entries of 4 KiB pages) stands at virtual address WINDOW and is empty at first. lm_* are what a snippet
 * starts with. */
#define WINDOW 0x50000000
extern u64 window64[512];
#define lm_cr3 (*(volatile u32 *)at(LOW_LM_CR3))
#define lm_cr4 (*(volatile u32 *)at(LOW_LM_CR4))
#define lm_efer (*(volatile u32 *)at(LOW_LM_EFER))
#define lm_cr0 (*(volatile u32 *)at(LOW_LM_CR0))

#endif
