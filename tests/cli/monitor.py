"""The monitor on standard input and output."""

import time

import asm

# Known registers; paging with one identity-mapped 4 MiB page; a counter that moves.
PROGRAM = r'''
    mov $0x200000, %edi
    movl $0x11223344, (%edi)
    movl $0x55667788, 4(%edi)
    movl $0x00000083, 0x300000
    mov $0x300000, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    mov $0xcafe0123, %ebx
    puts "R"
1:  incl 0x200100
    jmp 1b
'''


def start(ctx, body=PROGRAM, *more):
    """A program with the monitor on our terminal and the debug console in a file."""
    program = asm.multiboot(ctx, 'program', body)
    log = ctx.path('log')
    vm = ctx.run('-display', 'none', '-serial', 'null', '-monitor', 'stdio', '-m', '64', *ctx.accel('jit'),
                 '-debugcon', 'file:' + log, '-kernel', program, *more)
    vm.monitor_start()
    return vm, log


def leave(vm, command='quit'):
    vm.send(command + '\n')
    vm.finish()


def check(vm, command, *parts):
    """The command's answer contains all these."""
    answer = vm.monitor(command)
    for part in parts:
        if part not in answer:
            vm.fail("'%s' does not say '%s' but:\n%s" % (command, part, answer))
    return answer


def test_info(ctx):
    vm, log = start(ctx)
    with vm:
        vm.wait_file(log, 'R')
        check(vm, 'info registers', 'EBX=cafe0123', 'EDI=00200000', 'CR3=00300000', 'EIP=')
        check(vm, 'info mem', '0000000000400000')
        check(vm, 'info tlb', '0000000000000000')
        check(vm, 'info mtree', 'ram', 'apic')
        check(vm, 'info status', 'running')
        if not ctx.stand_in:
            check(vm, 'info jit', 'Blocks translated', 'Guest instructions', 'ns per guest instruction')
            check(vm, 'help', 'quit', 'system_reset', 'screendump')
        leave(vm)


def test_examine(ctx):
    vm, log = start(ctx)
    with vm:
        vm.wait_file(log, 'R')
        check(vm, 'x/2xw 0x200000', '0x11223344 0x55667788')
        check(vm, 'x /4xb 0x200000', '0x44 0x33 0x22 0x11')
        check(vm, 'xp /1xg 0x200000', '0x5566778811223344')
        check(vm, 'xp /1dw 0x200000', '287454020')
        check(vm, 'x/1xw 0x40000000', 'annot')  # mapped nowhere
        check(vm, 'x/1i $pc', ':')
        leave(vm)


def test_nonsense(ctx):
    """Commands that make no sense are answered, and the next one works."""
    vm, _ = start(ctx)
    with vm:
        for command in ('frobnicate', 'info frobnicate', 'x/junk 0', 'x/99999999999xb 0', 'x', 'xp /', 'x/4xw here',
                        'xp /4xg 0xfffffffffffffff8', 'screendump', 'sendkey', 'sendkey -', 'q' * 1000):
            vm.monitor(command)
        check(vm, 'info status', 'running')
        leave(vm)


def counter(vm):
    return vm.monitor('xp /1xw 0x200100')


def test_stop_cont(ctx):
    vm, log = start(ctx)
    with vm:
        vm.wait_file(log, 'R')
        vm.monitor('stop')
        check(vm, 'info status', 'paused')
        before = counter(vm)
        time.sleep(0.1)
        if counter(vm) != before:
            vm.fail('the guest runs on after stop')
        vm.monitor('cont')
        check(vm, 'info status', 'running')
        for _ in range(500):
            if counter(vm) != before:
                break
        else:
            vm.fail('the guest does not run after cont')
        leave(vm)


def test_start_stopped(ctx):
    vm, log = start(ctx, PROGRAM, '-S')
    with vm:
        check(vm, 'info status', 'paused')
        time.sleep(0.3)
        with open(log) as printed:
            if printed.read():
                vm.fail('the guest runs in spite of -S')
        vm.monitor('cont')
        vm.wait_file(log, 'R')
        leave(vm, 'q')


def test_reset(ctx):
    vm, log = start(ctx)
    with vm:
        vm.wait_file(log, 'R')
        vm.monitor('system_reset')
        vm.wait_file(log, 'R', 2)
        leave(vm)


def test_screendump(ctx):
    vm, log = start(ctx, '''
    movw $0x1f41, 0xb8000
    puts "R"
''')
    with vm:
        vm.wait_file(log, 'R')
        path = ctx.path('screen.png')
        vm.monitor('screendump ' + path + (' -f png' if ctx.stand_in else ''))
        with open(path, 'rb') as image:
            if image.read(8) != b'\x89PNG\r\n\x1a\n':
                vm.fail('screen.png is no PNG')
        check(vm, 'screendump /nonexistent/screen.png', '/nonexistent/screen.png')
        leave(vm)


def test_sendkey(ctx):
    """The guest reads scan codes from the keyboard controller."""
    vm, log = start(ctx, r'''
    puts "R"
1:  in $0x64, %al
    test $1, %al
    jz 1b
    in $0x60, %al
    cmp $0x1e, %al
    jne 1b
    puts "A"
    jmp 1b
''')
    with vm:
        vm.wait_file(log, 'R')
        vm.monitor('sendkey a')
        vm.wait_file(log, 'A')
        check(vm, 'sendkey nosuchkey', 'nosuchkey')
        leave(vm)


TESTS = {'monitor/' + name: test for name, test in {
    'info': test_info, 'examine': test_examine, 'nonsense': test_nonsense, 'stop-cont': test_stop_cont,
    'start-stopped': test_start_stopped, 'reset': test_reset, 'screendump': test_screendump,
    'sendkey': test_sendkey}.items()}
