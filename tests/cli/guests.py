"""Guests that misbehave: the architectural effect, never a crash. And what boot sectors can check of drives."""

import asm

ENGINES = ('jit', 'interp')


def console(ctx, *args):
    """The emulator with the debug console on our terminal and nothing else there."""
    return ctx.run('-display', 'none', '-serial', 'null', '-monitor', 'null', '-m', '64', '-debugcon', 'stdio',
                   *asm.exit_device(), *args)


def runs(body, printed, status=2 * 7 + 1, faults=False):
    """A test: this program prints that text and leaves with the status."""
    def test(engine):
        def run(ctx):
            program = asm.multiboot(ctx, 'program', body, faults)
            with console(ctx, *ctx.accel(engine), '-kernel', program) as vm:
                vm.expect(printed)
                vm.finish(status)
        return run
    return test


def rom_write(address):
    return r'''
    mov $%#x, %%edi
    mov (%%edi), %%ebx
    mov %%ebx, %%eax
    not %%eax
    mov %%eax, (%%edi)
    cmp %%ebx, (%%edi)
    jne 1f
    lock incl (%%edi)
    cmp %%ebx, (%%edi)
    jne 1f
    mov $1, %%ecx
    rep stosl
    cmp %%ebx, -4(%%edi)
    jne 1f
    puts "unchanged"
    leave 7
1:  puts "changed"
    leave 1
''' % address


BEYOND = r'''
    mov $0x20000000, %edi
    movl $0x12345678, (%edi)
    cmpl $-1, (%edi)
    jne 1f
    cmpl $-1, 0x04000000
    jne 1f
    cmpl $-1, 0x7ffffffd
    jne 1f
    mov $0x20000000, %esi
    mov $0x200000, %edi
    mov $4096, %ecx
    rep movsb
    cmpb $0xff, 0x200fff
    jne 1f
    puts "ones"
    leave 7
1:  puts "other"
    leave 1
'''

STACK = r'''
    mov $0x20000000, %esp
    push $5
    pop %eax
    cmp $-1, %eax
    jne 1f
    puts "ones"
    leave 7
1:  leave 1
'''


def jump(address):
    return 'puts "go"\n mov $%#x, %%eax\n jmp *%%eax\n' % address


PROGRAMS = {
    'rom-write-top': runs(rom_write(0xfffffe00), 'unchanged'),
    'rom-write-shadow': runs(rom_write(0xfff00), 'unchanged'),
    'beyond-memory': runs(BEYOND, 'ones'),
    'stack-nowhere': runs(STACK, 'ones'),
    # FF FF, what nothing reads as, is an invalid opcode: vector 6, printed as G.
    'jump-nowhere': runs(jump(0xe0000000), 'goFG', 19, True),
    'jump-beyond-memory': runs(jump(0x20000000), 'goFG', 19, True),
    # The last byte of memory runs, the one behind it is not there.
    'run-off-memory': runs('movb $0x90, 0x3ffffff\n' + jump(0x3ffffff), 'goFG', 19, True),
    # What the registers read as decides which fault ends it.
    'jump-ioapic': runs(jump(0xfec00000), 'goF[A-Z]', 19, True),
    'jump-hpet': runs(jump(0xfed00000), 'goF[A-Z]', 19, True),
}

TRIPLE = r'''
    puts "T"
    lidt 1f
    int3
.align 4
1:  .word 0
    .long 0
'''


def test_triple_exit(engine):
    """-no-reboot turns the reset into the end."""
    def run(ctx):
        program = asm.multiboot(ctx, 'program', TRIPLE)
        with console(ctx, *ctx.accel(engine), '-no-reboot', '-kernel', program) as vm:
            vm.expect('T')
            vm.finish()
            if vm.text.count('T') != 1:
                vm.fail('ran more than once')
    return run


def test_triple_loop(engine):
    """Without it the machine starts again and again, and can still be left."""
    def run(ctx):
        program = asm.multiboot(ctx, 'program', TRIPLE)
        log = ctx.path('log')
        with ctx.run('-display', 'none', '-serial', 'null', '-monitor', 'stdio', '-m', '64', *ctx.accel(engine),
                     '-debugcon', 'file:' + log, '-kernel', program) as vm:
            vm.monitor_start()
            vm.wait_file(log, 'T', 3)
            vm.monitor('info status')
            vm.send('quit\n')
            vm.finish()
    return run


# ---- drives ----

FLOPPY = r'''
    # CH, CL: last cylinder and sector; DH: last head
    mov $8, %ah
    xor %di, %di
    int $0x13
    jc 1f
    xor %ax, %ax
    mov %ax, %es
    xor %dl, %dl
    mov $0x0201, %ax
    mov $0x8000, %bx
    int $0x13
    jc 1f
    cmpl $0x21646e65, 0x8000
    jne 1f
    puts "floppy ok"
    leave 7
1:  puts "wrong"
    leave 1
'''


def test_floppy(kilobytes):
    """The BIOS boots it, and finds the last sector where the format has it."""
    def run(ctx):
        image = bytearray(kilobytes << 10)
        image[:512] = asm.boot_sector(ctx, 'boot', FLOPPY)
        image[-512:-508] = b'end!'
        path = ctx.write('floppy.img', bytes(image))
        with console(ctx, *ctx.accel('jit'), '-drive', 'file=%s,format=raw,if=floppy' % path, '-boot', 'a') as vm:
            vm.expect('floppy ok')
            vm.finish(15)
    return run


WRITE = r'''
    movl $0x4b534944, 0x8000
    mov $0x0301, %ax
    mov $0x8000, %bx
    mov $3, %cx
    xor %dh, %dh
    int $0x13
    jc 1f
    mov $0x0201, %ax
    mov $0x9000, %bx
    mov $3, %cx
    xor %dh, %dh
    int $0x13
    jc 1f
    cmpl $0x4b534944, 0x9000
    jne 1f
    puts "written"
    leave 7
1:  puts "wrong"
    leave 1
'''


def test_disk_write(drive_options, options, kept):
    """What the guest writes is on the image, or in the overlay only."""
    def run(ctx):
        path = ctx.write('disk.img', asm.boot_sector(ctx, 'boot', WRITE) + bytes((1 << 20) - 512))
        drive = 'file=%s,format=raw,if=ide%s' % (path, drive_options)
        with console(ctx, *ctx.accel('jit'), '-drive', drive, *options, '-boot', 'c') as vm:
            vm.expect('written')
            vm.finish(15)
            with open(path, 'rb') as image:
                content = image.read()[1024:1028]
            if (content == b'DISK') != kept:
                vm.fail('sector 3 of the image holds %r' % content)
    return run


def test_boot_order(order, expected):
    def run(ctx):
        disk = asm.boot_sector(ctx, 'c', 'puts "disk"\nleave 7') + bytes((1 << 20) - 512)
        floppy = asm.boot_sector(ctx, 'a', 'puts "floppy"\nleave 7') + bytes((1440 << 10) - 512)
        with console(ctx, *ctx.accel('jit'), '-hda', ctx.write('disk.img', disk),
                     '-fda', ctx.write('floppy.img', floppy), '-boot', order) as vm:
            vm.expect(expected)
            vm.finish(15)
    return run


TESTS = {
    **{'guest/%s-%s' % (name, engine): test(engine) for name, test in PROGRAMS.items() for engine in ENGINES},
    **{'guest/triple-exit-' + engine: test_triple_exit(engine) for engine in ENGINES},
    **{'guest/triple-loop-' + engine: test_triple_loop(engine) for engine in ENGINES},
    **{'guest/floppy-%d' % size: test_floppy(size) for size in (160, 180, 320, 360, 720, 1200, 1440, 2880)},
    'guest/disk-write': test_disk_write('', [], True),
    'guest/disk-write-snapshot': test_disk_write('', ['-snapshot'], False),
    'guest/disk-write-drive-snapshot': test_disk_write(',snapshot=on', [], False),
    'guest/boot-order-a': test_boot_order('a', 'floppy'),
    'guest/boot-order-c': test_boot_order('order=c', 'disk'),
    'guest/boot-order-ac': test_boot_order('order=ac', 'floppy'),
}
