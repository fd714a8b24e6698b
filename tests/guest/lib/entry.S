/* Entry of the guest programs, and the roads between 32-bit protected mode, where the C code lives, and the
 * mode of a snippet. Every road loads the register image at LOW_IN; whatever exception or interrupt ends the
 * snippet stores the image at LOW_OUT and returns to C. */
#include "layout.h"
    .intel_syntax noprefix

    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .code32
    .global _start
_start:
    cli
    cld
    lea esp, [stack_top]
    push ebx
    push eax
    call runtime_main

/* lgdt and reload everything: called once by C. */
    .global load_tables
load_tables:
    lgdt [LOW_GDTR]
    lidt [LOW_IDTR32]
    ljmp SEL_CS32, offset 1f
1:  mov eax, SEL_DS
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov eax, SEL_TSS
    ltr ax
    ret

    .macro save_host
    push ebp
    push ebx
    push esi
    push edi
    pushfd
    mov [LOW_HOST_ESP], esp
    mov dword ptr [LOW_RUNNING], 1
    .endm

    .macro load_gprs prefix
    mov ecx, \prefix[LOW_IN + R_RCX]
    mov edx, \prefix[LOW_IN + R_RDX]
    mov ebx, \prefix[LOW_IN + R_RBX]
    mov ebp, \prefix[LOW_IN + R_RBP]
    mov esi, \prefix[LOW_IN + R_RSI]
    mov edi, \prefix[LOW_IN + R_RDI]
    .endm

/* void enter32(void): any protected-mode segment, ring 0 to 3, and virtual-8086 mode. */
    .global enter32
enter32:
    save_host
    test dword ptr [LOW_IN + R_FLAGS], 0x20000
    jnz 1f
    test byte ptr [LOW_IN + R_CS], 3
    jnz 2f
    mov ebx, [LOW_IN + R_FLAGS]
    mov ecx, [LOW_IN + R_CS]
    mov edx, [LOW_IN + R_RIP]
    mov ss, word ptr [LOW_IN + R_SS]
    mov esp, cs:[LOW_IN + R_RSP]
    push ebx
    push ecx
    push edx
    jmp 3f
1:  push [LOW_IN + R_GS]
    push [LOW_IN + R_FS]
    push [LOW_IN + R_DS]
    push [LOW_IN + R_ES]
2:  push [LOW_IN + R_SS]
    push [LOW_IN + R_RSP]
    push [LOW_IN + R_FLAGS]
    push [LOW_IN + R_CS]
    push [LOW_IN + R_RIP]
    test dword ptr [LOW_IN + R_FLAGS], 0x20000
    jnz 4f
3:  mov es, word ptr [LOW_IN + R_ES]
    mov fs, word ptr [LOW_IN + R_FS]
    mov gs, word ptr [LOW_IN + R_GS]
4:  load_gprs cs:
    mov eax, cs:[LOW_IN + R_RAX]
    test dword ptr cs:[LOW_IN + R_FLAGS], 0x20000
    jnz 5f
    mov ds, word ptr cs:[LOW_IN + R_DS]
5:  iretd

    .macro stub n
    .balign 16
    .if (\n == 8) || (\n >= 10 && \n <= 14) || (\n == 17) || (\n == 21)
    .else
    push 0
    .endif
    .byte 0x68
    .long \n
    .endm

    .balign 16
    .global stubs32
stubs32:
    .set i, 0
    .rept 256
    stub i
    jmp common32
    .set i, i + 1
    .endr

common32:
    push ds
    push eax
    mov eax, SEL_DS
    mov ds, eax
    pop dword ptr [LOW_OUT + R_RAX]
    pop dword ptr [LOW_OUT + R_DS]
    pop dword ptr [LOW_OUT + R_VECTOR]
    pop dword ptr [LOW_OUT + R_ERROR]
    pop dword ptr [LOW_OUT + R_RIP]
    pop dword ptr [LOW_OUT + R_CS]
    pop dword ptr [LOW_OUT + R_FLAGS]
    mov eax, cr2
    mov [LOW_OUT + R_CR2], eax
    mov [LOW_OUT + R_ES], es
    mov [LOW_OUT + R_FS], fs
    mov [LOW_OUT + R_GS], gs
    mov [LOW_OUT + R_RCX], ecx
    mov [LOW_OUT + R_RDX], edx
    mov [LOW_OUT + R_RBX], ebx
    mov [LOW_OUT + R_RBP], ebp
    mov [LOW_OUT + R_RSI], esi
    mov [LOW_OUT + R_RDI], edi
    test dword ptr [LOW_OUT + R_FLAGS], 0x20000
    jnz 1f
    test byte ptr [LOW_OUT + R_CS], 3
    jnz 2f
    mov [LOW_OUT + R_RSP], esp
    mov [LOW_OUT + R_SS], ss
    jmp back32
1:  pop dword ptr [LOW_OUT + R_RSP]
    pop dword ptr [LOW_OUT + R_SS]
    pop dword ptr [LOW_OUT + R_ES]
    pop dword ptr [LOW_OUT + R_DS]
    pop dword ptr [LOW_OUT + R_FS]
    pop dword ptr [LOW_OUT + R_GS]
    jmp back32
2:  pop dword ptr [LOW_OUT + R_RSP]
    pop dword ptr [LOW_OUT + R_SS]

    .global back32
back32:
    mov eax, SEL_DS
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    cmp dword ptr [LOW_RUNNING], 0
    jne 1f
    lea esp, [stack_top]
    call runtime_panic
1:  mov dword ptr [LOW_RUNNING], 0
    mov esp, [LOW_HOST_ESP]
    popfd
    pop edi
    pop esi
    pop ebx
    pop ebp
    ret

/* void enter16(void): real mode. Paging must be off. */
    .global enter16
enter16:
    save_host
    ljmp SEL_LOWCS, LOW_BLOB

back16:
    mov eax, SEL_DS
    mov ds, eax
    lidt [LOW_IDTR32]
    jmp back32

/* The part that runs in 16-bit segments, copied to LOW_BLOB. */
    .balign 16
    .global low_blob, low_blob_end
low_blob:
    .code16
    mov ax, SEL_LOWDS
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    ljmp 0, 1f - low_blob + LOW_BLOB
1:  xor ax, ax
    mov ds, ax
    lidt [LOW_IDTR16]
    mov ss, word ptr [LOW_IN + R_SS]
    mov esp, [LOW_IN + R_RSP]
    push word ptr [LOW_IN + R_FLAGS]
    push word ptr [LOW_IN + R_CS]
    push word ptr [LOW_IN + R_RIP]
    mov es, word ptr [LOW_IN + R_ES]
    mov fs, word ptr [LOW_IN + R_FS]
    mov gs, word ptr [LOW_IN + R_GS]
    load_gprs
    mov eax, [LOW_IN + R_RAX]
    mov ds, word ptr [LOW_IN + R_DS]
    iretw

    .balign 16
    .global stubs16
stubs16:
    .set i, 0
    .rept 256
    .balign 8
    .byte 0x68
    .word i
    .byte 0xe9
    .word common16 - . - 2
    .set i, i + 1
    .endr
common16:
    pop word ptr cs:[LOW_OUT + R_VECTOR]
    pop word ptr cs:[LOW_OUT + R_RIP]
    pop word ptr cs:[LOW_OUT + R_CS]
    pop word ptr cs:[LOW_OUT + R_FLAGS]
    mov cs:[LOW_OUT + R_RAX], eax
    mov cs:[LOW_OUT + R_RCX], ecx
    mov cs:[LOW_OUT + R_RDX], edx
    mov cs:[LOW_OUT + R_RBX], ebx
    mov cs:[LOW_OUT + R_RSP], esp
    mov cs:[LOW_OUT + R_RBP], ebp
    mov cs:[LOW_OUT + R_RSI], esi
    mov cs:[LOW_OUT + R_RDI], edi
    mov cs:[LOW_OUT + R_ES], es
    mov cs:[LOW_OUT + R_SS], ss
    mov cs:[LOW_OUT + R_DS], ds
    mov cs:[LOW_OUT + R_FS], fs
    mov cs:[LOW_OUT + R_GS], gs
    data32 lgdt cs:[LOW_GDTR]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea
    .long back16
    .word SEL_CS32
low_blob_end:

/* void enter64(void): any segment of long mode. The page tables at LOW_LM_CR3 map low memory to itself. */
    .code32
    .global enter64
enter64:
    save_host
    mov eax, cr0
    mov [LOW_SAVE_CR0], eax
    mov ecx, cr3
    mov [LOW_SAVE_CR3], ecx
    mov edx, cr4
    mov [LOW_SAVE_CR4], edx
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    mov [LOW_SAVE_EFER], eax
    mov eax, [LOW_LM_EFER]
    xor edx, edx
    wrmsr
    mov eax, [LOW_LM_CR4]
    mov cr4, eax
    mov eax, [LOW_LM_CR3]
    mov cr3, eax
    mov eax, [LOW_LM_CR0]
    mov cr0, eax
    ljmp SEL_CS64, offset 1f
    .code64
1:  lidt [LOW_IDTR64]
    mov eax, SEL_DS
    mov ss, eax
    mov eax, SEL_TSS64
    ltr ax
    mov eax, [LOW_IN + R_SS]
    push rax
    push qword ptr [LOW_IN + R_RSP]
    push qword ptr [LOW_IN + R_FLAGS]
    mov eax, [LOW_IN + R_CS]
    push rax
    push qword ptr [LOW_IN + R_RIP]
    mov es, word ptr [LOW_IN + R_ES]
    mov ds, word ptr [LOW_IN + R_DS]
    mov fs, word ptr [LOW_IN + R_FS]
    mov gs, word ptr [LOW_IN + R_GS]
    mov rax, [LOW_IN + R_RAX]
    mov rcx, [LOW_IN + R_RCX]
    mov rdx, [LOW_IN + R_RDX]
    mov rbx, [LOW_IN + R_RBX]
    mov rbp, [LOW_IN + R_RBP]
    mov rsi, [LOW_IN + R_RSI]
    mov rdi, [LOW_IN + R_RDI]
    mov r8, [LOW_IN + R_R8]
    mov r9, [LOW_IN + R_R8 + 8]
    mov r10, [LOW_IN + R_R8 + 16]
    mov r11, [LOW_IN + R_R8 + 24]
    mov r12, [LOW_IN + R_R8 + 32]
    mov r13, [LOW_IN + R_R8 + 40]
    mov r14, [LOW_IN + R_R8 + 48]
    mov r15, [LOW_IN + R_R8 + 56]
    iretq

    .balign 16
    .global stubs64
stubs64:
    .set i, 0
    .rept 256
    stub i
    jmp common64
    .set i, i + 1
    .endr
common64:
    mov [LOW_OUT + R_RAX], rax
    mov [LOW_OUT + R_RCX], rcx
    mov [LOW_OUT + R_RDX], rdx
    mov [LOW_OUT + R_RBX], rbx
    mov [LOW_OUT + R_RBP], rbp
    mov [LOW_OUT + R_RSI], rsi
    mov [LOW_OUT + R_RDI], rdi
    mov [LOW_OUT + R_R8], r8
    mov [LOW_OUT + R_R8 + 8], r9
    mov [LOW_OUT + R_R8 + 16], r10
    mov [LOW_OUT + R_R8 + 24], r11
    mov [LOW_OUT + R_R8 + 32], r12
    mov [LOW_OUT + R_R8 + 40], r13
    mov [LOW_OUT + R_R8 + 48], r14
    mov [LOW_OUT + R_R8 + 56], r15
    mov [LOW_OUT + R_ES], es
    mov [LOW_OUT + R_DS], ds
    mov [LOW_OUT + R_FS], fs
    mov [LOW_OUT + R_GS], gs
    mov rax, cr2
    mov [LOW_OUT + R_CR2], rax
    pop rax
    mov [LOW_OUT + R_VECTOR], eax
    pop rax
    mov [LOW_OUT + R_ERROR], eax
    pop qword ptr [LOW_OUT + R_RIP]
    pop rax
    mov [LOW_OUT + R_CS], eax
    pop qword ptr [LOW_OUT + R_FLAGS]
    pop qword ptr [LOW_OUT + R_RSP]
    pop rax
    mov [LOW_OUT + R_SS], eax
    jmp fword ptr [LOW_BACK64]

    .code32
    .global back64
back64:
    mov eax, SEL_DS
    mov ds, eax
    mov ss, eax
    mov eax, cr4
    and eax, 0xfffdffff /* PCIDE: paging cannot be turned off under it */
    mov cr4, eax
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov eax, [LOW_SAVE_EFER]
    xor edx, edx
    mov ecx, 0xc0000080
    wrmsr
    mov eax, [LOW_SAVE_CR4]
    mov cr4, eax
    mov eax, [LOW_SAVE_CR3]
    mov cr3, eax
    mov eax, [LOW_SAVE_CR0]
    mov cr0, eax
    lidt [LOW_IDTR32]
    mov esp, [LOW_HOST_ESP] /* the handler's stack may have been known to the tables only */
    call runtime_tss_available
    mov eax, SEL_TSS
    ltr ax
    jmp back32

    .bss
    .balign 16
    .skip 131072 /* the tables of tests are automatic: half a KiB for each in a function */
stack_top:
    .section .note.GNU-stack, "", @progbits
