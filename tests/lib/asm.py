"""Tiny guest programs, assembled when a test needs them.

Both kinds have the macros `puts "text"` (to the debug console, port e9) and `leave N` (isa-debug-exit at f4: the
emulator's exit status is 2 * N + 1).
"""


import guest

MACROS = r'''
.macro puts text
    jmp 2f
1:  .asciz "\text"
2:  mov $1b, %\si
3:  lodsb
    test %al, %al
    jz 4f
    out %al, $0xe9
    jmp 3b
4:
.endm
.macro leave code
    mov $\code, %al
    out %al, $0xf4
.endm
'''

MULTIBOOT = r'''
.set HDR_MAGIC, 0x1badb002
.code32
.section .text
.globl _start
.align 4
.long HDR_MAGIC, 0, -HDR_MAGIC
_start:
    cld
    mov $0x80000, %esp
'''

# An IDT whose every entry prints F, the vector, and leaves with 9.
FAULTS = r'''
    lgdt gdtr
    ljmp $8, $1f
1:  mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    xor %ecx, %ecx
    mov $stubs, %eax
    mov $idt, %edi
1:  mov %ax, (%edi)
    movw $8, 2(%edi)
    movw $0x8e00, 4(%edi)
    mov %eax, %edx
    shr $16, %edx
    mov %dx, 6(%edi)
    add $8, %edi
    add $16, %eax
    inc %ecx
    cmp $32, %ecx
    jb 1b
    lidt idtr
    jmp program
.align 16
stubs:
.set vector, 0
.rept 32
    mov $vector, %ebx
    jmp caught
    .align 16
    .set vector, vector + 1
.endr
caught:
    mov $'F', %al
    out %al, $0xe9
    mov %ebx, %eax
    add $'A', %al
    out %al, $0xe9
    leave 9
.align 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23
    .long gdt
idtr: .word 255
    .long idt
idt: .fill 256, 1, 0
program:
'''


def _assemble(ctx, name, source, load):
    path = ctx.path(name)
    with open(path + '.S', 'w') as out:
        out.write(source)
    guest.command('as', '--32', '-o', path + '.o', path + '.S')
    guest.command('ld', '-m', 'elf_i386', '-N', '-Ttext', hex(load), '-o', path, path + '.o')
    return path


def multiboot(ctx, name, body, faults=False):
    """A multiboot ELF program of 32-bit code; returns its path."""
    macros = MACROS.replace('\\si', 'esi')
    return _assemble(ctx, name, macros + MULTIBOOT + (FAULTS if faults else '') + body + '\n1: hlt\njmp 1b\n', 0x100000)


def boot_sector(ctx, name, body):
    """512 bytes of 16-bit code that the BIOS loads to 7c00."""
    macros = MACROS.replace('\\si', 'si')
    source = macros + ('.code16\n.globl _start\n_start:\n xor %ax, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n'
                       ' mov $0x7c00, %sp\n cld\n ljmp $0, $1f\n1:\n' + body +
                       '\n1: hlt\njmp 1b\n.org 510\n.word 0xaa55\n')
    path = _assemble(ctx, name, source, 0x7c00)
    guest.command('objcopy', '-O', 'binary', '-j', '.text', path, path + '.bin')
    with open(path + '.bin', 'rb') as binary:
        return binary.read()


def exit_device():
    return ['-device', 'isa-debug-exit,iobase=0xf4,iosize=1']
