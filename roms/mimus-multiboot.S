/* Option ROM that starts a Multiboot kernel which machine/multiboot.c has put into fw_cfg. The Multiboot
 * information lacks only what the BIOS knows: sizes and map of memory. */
#include <fwcfg.inc>

.set MBI_MEM_LOWER, 4
.set MBI_MEM_UPPER, 8
.set MBI_MMAP_LENGTH, 44
.set MBI_MMAP_ADDR, 48
.set MMAP_ENTRIES, 64           /* the room in the information */
.set E820_SIZE, 20
.set SMAP, 0x534D4150
.set CODE32, 0x08
.set DATA32, 0x10
.set BOOTLOADER_MAGIC, 0x2BADB002

    ROM_HEADER multiboot_name

    LOAD_BLOB FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA
    LOAD_BLOB FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA
    LOAD_BLOB FW_CFG_SETUP_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA

    /* ES: segment of the information */
    movw    $FW_CFG_SETUP_ADDR, %ax
    call    fw_cfg_u32
    pushl   %eax
    movl    %eax, %edi
    shrl    $4, %eax
    movw    %ax, %es
    negl    %edi
    addl    %es:MBI_MMAP_ADDR, %edi

    /* Memory map: each entry is preceded by its size. */
    xorl    %ebx, %ebx
    movw    $MMAP_ENTRIES, %bp
next_entry:
    movl    $E820_SIZE, %es:(%di)
    addw    $4, %di
    movl    $0xE820, %eax
    movl    $E820_SIZE, %ecx
    movl    $SMAP, %edx
    int     $0x15
    jc      map_done
    cmpl    $SMAP, %eax
    jne     map_done
    addw    $E820_SIZE, %di
    addl    $E820_SIZE + 4, %es:MBI_MMAP_LENGTH
    testl   %ebx, %ebx
    jz      map_done
    decw    %bp
    jnz     next_entry
map_done:

    int     $0x12
    movzwl  %ax, %eax
    movl    %eax, %es:MBI_MEM_LOWER

    movw    $0xE801, %ax        /* KiB from 1 MiB to 16 MiB, 64 KiB blocks above */
    int     $0x15
    jc      memory_done
    movzwl  %ax, %eax
    movzwl  %bx, %ebx
    cmpl    $0x3C00, %eax
    jb      no_more             /* a hole below 16 MiB */
    shll    $6, %ebx
    addl    %ebx, %eax
no_more:
    movl    %eax, %es:MBI_MEM_UPPER
memory_done:

    /* Flat protected mode; CS:start32 and the descriptor table need their physical addresses. */
    movw    $FW_CFG_KERNEL_ENTRY, %ax
    call    fw_cfg_u32
    movl    %eax, %ecx
    popl    %ebx
    cli
    xorl    %esi, %esi
    movw    %cs, %si
    shll    $4, %esi
    leal    gdt(%esi), %eax
    pushl   %eax
    pushw   $gdt_end - gdt - 1
    movw    %sp, %bp
    lgdtl   (%bp)
    movl    %cr0, %eax
    orb     $1, %al
    movl    %eax, %cr0
    addl    $start32, %esi
    pushl   $CODE32
    pushl   %esi
    lretl

    .code32
start32:
    movl    $DATA32, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %eax, %ss
    movl    $BOOTLOADER_MAGIC, %eax
    jmp     *%ecx

    .code16
    FW_CFG_ROUTINES

    .balign 8
gdt:                            /* accessed already: the ROM cannot be written */
    .quad   0
    .quad   0x00CF9B000000FFFF
    .quad   0x00CF93000000FFFF
gdt_end:

multiboot_name:
    .asciz  "Multiboot kernel of -kernel"
