/* The assembly of several processors: where a started one begins, its interrupts, and calls of 64-bit
 * code. */
#include "layout.h"
    .intel_syntax noprefix

    .text
/* Copied to LOW_SMP, an address that a SIPI can name: real mode, CS * 16 = LOW_SMP. */
    .global smp_blob, smp_blob_end
smp_blob:
    .code16
    cli
    xor ax, ax
    mov ds, ax
    data32 lgdt [LOW_GDTR]
    mov eax, 0x31 /* NE, ET, PE; the caches on */
    mov cr0, eax
    .byte 0x66, 0xea
    .long smp_entry
    .word SEL_CS32
smp_blob_end:

    .code32
smp_entry:
    mov eax, SEL_DS
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov eax, 1
    lock xadd [smp_arrived], eax
    cmp eax, SMP_PROCESSORS
    jae 1f
    lea ecx, [eax + 1]
    imul ecx, ecx, SMP_STACK
    lea esp, [smp_stacks + ecx]
    push eax
    call smp_main
1:  cli
    hlt
    jmp 1b

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
    .global smp_stubs32
smp_stubs32:
    .set i, 0
    .rept 256
    stub i
    jmp 1f
    .set i, i + 1
    .endr
1:  pushad
    cld
    push esp
    call smp_dispatch32
    add esp, 4
    popad
    add esp, 8
    iretd

    .code64
    .balign 16
    .global smp_stubs64
smp_stubs64:
    .set i, 0
    .rept 256
    stub i
    jmp 1f
    .set i, i + 1
    .endr
1:  push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rbx, rsp
    and rsp, -16
    sub rsp, 16
    mov [rsp], ebx
    mov ecx, offset to_dispatch64
    call fword ptr [rcx] /* in compatibility mode */
    mov rsp, rbx
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

    .code32
dispatch64:
    push [esp + 8]
    call smp_dispatch64
    add esp, 4
    retf

to_dispatch64:
    .long dispatch64
    .word SEL_CS32
to_legacy:
    .long legacy
    .word SEL_CS32

/* u32 smp_call64(code, a, b, c, d) */
    .global smp_call64
smp_call64:
    push ebp
    push ebx
    push esi
    push edi
    pushfd
    cli
    mov ebp, esp
    sub esp, 8
    sidt [esp]
    mov eax, cr0
    push eax
    mov ebx, cr3
    push ebx
    mov ebx, cr4
    push ebx
    mov ecx, 0xc0000080
    mov ebx, eax
    rdmsr
    push eax
    and ebx, 0x7fffffff
    mov cr0, ebx
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
1:  mov ecx, offset smp_idtr64
    lidt [rcx]
    mov ebp, ebp
    mov esp, esp
    mov r8d, [rbp]
    mov eax, [rbp + 24]
    mov edi, [rbp + 28]
    mov esi, [rbp + 32]
    mov edx, [rbp + 36]
    mov ecx, [rbp + 40]
    and rsp, -16
    push r8
    popfq /* interrupts as before */
    call rax
    cli
    mov esi, eax
    mov ecx, offset to_legacy
    jmp fword ptr [rcx]
    .code32
legacy:
    lea esp, [ebp - 24]
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    pop eax
    xor edx, edx
    mov ecx, 0xc0000080
    wrmsr
    pop eax
    mov cr4, eax
    pop eax
    mov cr3, eax
    pop eax
    mov cr0, eax
    lidt [esp]
    mov eax, esi
    mov esp, ebp
    popfd
    pop edi
    pop esi
    pop ebx
    pop ebp
    ret

    .bss
    .balign 4096
    .global smp_stacks
smp_stacks:
    .skip SMP_STACK * SMP_PROCESSORS
    .section .note.GNU-stack, "", @progbits
