/* The memory and the selectors that the runtime's assembly and C agree on. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

/* Low memory, reachable from every mode: register images, then state that every mode can address. */
#define LOW_IN 0x7000
#define LOW_OUT 0x7100
#define LOW_HOST_ESP 0x7200
#define LOW_RUNNING 0x7204
#define LOW_SAVE_CR0 0x7208
#define LOW_SAVE_CR3 0x720c
#define LOW_SAVE_CR4 0x7210
#define LOW_SAVE_EFER 0x7214
#define LOW_LM_CR3 0x7218
#define LOW_LM_CR4 0x721c
#define LOW_LM_EFER 0x7220
#define LOW_LM_CR0 0x7224
#define LOW_GDTR 0x7230
#define LOW_IDTR32 0x7238
#define LOW_IDTR64 0x7240
#define LOW_IDTR16 0x7250
#define LOW_BACK64 0x7258
#define LOW_TR 0x7260
#define LOW_BLOB 0x8000
#define LOW_SMP 0x9000 /* where processors start */
#define SMP_PROCESSORS 8
#define SMP_STACK 0x4000

/* Where snippets are copied, and what they may use as memory. */
#define CODE 0x10000
#define DATA 0x20000
#define STACK 0x30000
#define STACK_TOP 0x8000
#define PLAY 0x40000 /* 64 KiB more to scribble on */

#define SEL_CS32 0x08
#define SEL_DS 0x10
#define SEL_UCS32 0x18
#define SEL_UDS 0x20
#define SEL_UCS64 0x28
#define SEL_CS64 0x30
#define SEL_DS64 0x38
#define SEL_CS16 0x40
#define SEL_DS16 0x48
#define SEL_SS16 0x50
#define SEL_UCS16 0x58
#define SEL_UDS16 0x60
#define SEL_USS16 0x68
#define SEL_TSS 0x70
#define SEL_TSS64 0x78 /* two entries */
#define SEL_LOWCS 0x88
#define SEL_LOWDS 0x90
#define SEL_LDT 0x98
#define SEL_DFTSS 0xa0
#define SEL_TEST 0x100 /* from here the programs' own */
#define SEL_SMP_TSS 0x3c0 /* to the end: a task of each processor but the first */
#define GDT_BYTES 0x400

#define R_RAX 0
#define R_RCX 8
#define R_RDX 16
#define R_RBX 24
#define R_RSP 32
#define R_RBP 40
#define R_RSI 48
#define R_RDI 56
#define R_R8 64
#define R_RIP 128
#define R_FLAGS 136
#define R_ES 144
#define R_CS 148
#define R_SS 152
#define R_DS 156
#define R_FS 160
#define R_GS 164
#define R_VECTOR 168
#define R_ERROR 172
#define R_CR2 176

#endif
