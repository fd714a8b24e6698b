/* Option ROM that starts a Linux kernel which machine/linux_boot.c has put into fw_cfg. */
#include <fwcfg.inc>

    ROM_HEADER linux_name

    LOAD_BLOB FW_CFG_SETUP_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA
    LOAD_BLOB FW_CFG_CMDLINE_ADDR, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA
    LOAD_BLOB FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA
    LOAD_BLOB FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA

    /* The stack of the kernel's real-mode part ends where the command line begins. */
    movw    $FW_CFG_SETUP_ADDR, %ax
    call    fw_cfg_u32
    movl    %eax, %ebx
    movw    $FW_CFG_CMDLINE_ADDR, %ax
    call    fw_cfg_u32
    subl    %ebx, %eax
    subl    $16, %eax
    shrl    $4, %ebx
    movw    %bx, %ds
    movw    %bx, %es
    movw    %bx, %fs
    movw    %bx, %gs
    movw    %bx, %ss
    movl    %eax, %esp
    addw    $0x20, %bx          /* the entry is 512 bytes into it, at offset 0 of that segment */
    pushw   %bx
    pushw   $0
    xorl    %eax, %eax
    xorl    %ebx, %ebx
    xorl    %ecx, %ecx
    xorl    %edx, %edx
    xorl    %esi, %esi
    xorl    %edi, %edi
    xorl    %ebp, %ebp
    lret

    FW_CFG_ROUTINES

linux_name:
    .asciz  "Linux kernel of -kernel"
