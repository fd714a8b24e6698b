"""The monitor on stdio: every command, before, during and after a stop."""

import os
import re
import time

import programs
from machine import content, expect_file
from programs import FOREVER, leave, say, status

# Prints "up", maps the first 4 MiB with one large page and counts at 300004.
COUNTER = say('up') + '''
    mov dword ptr [0x300000], 0xcafebabe
    mov edi, 0x200000
    xor eax, eax
    mov ecx, 1024
    rep stosd
    mov dword ptr [0x200000], 0x83
    mov eax, 0x10
    mov cr4, eax
    mov eax, 0x200000
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
''' + say('!') + '''
    mov ebp, 0x12345678
1:  inc dword ptr [0x300004]
    jmp 1b
'''

# command: pattern in its answer
ANSWERS = {
    'help': r'quit.*screendump',
    'info': r'registers.*tlb',
    'info cpus': r'^\* CPU #0: thread_id=[1-9]\d*\s*$',
    'info cpus x': r'extraneous',
    'cpu 0': r'^$',
    'cpu 1': r'invalid CPU index',
    'info registers -a': r'(?i)^\s*CPU#0\s.*EBP=12345678',
    'info registers 1': r'invalid CPU index',
    'info registers': r'(?i)^\s*CPU#0\s.*EBP=12345678.*EIP=0010.*CR0=8000001[01].*CR3=00200000',
    'info mem': r'(?m)^0000000000000000-0*400000 .*[r-][w-]',
    'info tlb': r'\b0*0: 0*0\b',
    'info mtree': r'(?i)ram.*(?:vga|rom)',
    'info jit': r'Guest instructions: +[1-9]',
    'info status': r'VM status: running',
    'x /1xw 0x300000': r'300000: +0xcafebabe',
    'x/4xb 0x300000': r': +0xbe 0xba 0xfe 0xca',
    'xp /2xh 0x300000': r'300000: +0xbabe 0xcafe',
    'xp /1dw 0x300000': r': +-889275714',
    'x /2i $pc': r'\binc\b|\bjmp\b',
    'x /1xw 0x500000': r'Cannot access',
    'x': r'usage',
    'x /9999999xw 0': r'usage',
    'xp /1xg 0xffffffffffffffff': r'0x',
    'info nonsense': r'unknown',
    'frobnicate': r'unknown command',
    'screendump': r'missing',
    'screendump /nonexistent/x.png': r'nonexistent',
    'sendkey nonsense': r'nonsense',
    '': r'^$',
}


def counter(ctx, *args):
    """A machine with COUNTER and its monitor; the second result is the file of the debug console."""
    log = ctx.path('log')
    vm = ctx.run('-m', 64, '-debugcon', 'file:' + log, '-monitor', 'stdio', *args,
                 '-kernel', programs.multiboot(ctx, COUNTER))
    vm.monitor_start()
    return vm, log


def quit_machine(vm):
    vm.send('quit\n')
    vm.finish()


def test_answers(ctx):
    vm, log = counter(ctx)
    with vm:
        expect_file(vm, log, b'up!')
        for command, pattern in ANSWERS.items():
            answer = vm.monitor(command)
            if not re.search(pattern, answer, re.DOTALL):
                vm.fail("'%s': no %r in the answer %r" % (command, pattern, answer))
        quit_machine(vm)


def count(vm):
    return int(vm.monitor('xp /1xw 0x300004').split()[-1], 16)


def test_stop(ctx):
    """A stopped guest stands still, a continued one goes on."""
    vm, log = counter(ctx)
    with vm:
        expect_file(vm, log, b'up!')
        vm.monitor('stop')
        first = count(vm)
        if 'paused' not in vm.monitor('info status') or count(vm) != first:
            vm.fail('it runs after stop')
        vm.monitor('stop')
        vm.monitor('cont')
        if 'running' not in vm.monitor('info status'):
            vm.fail('it does not run after cont')
        if not any(count(vm) != first for _ in range(100)):
            vm.fail('the counter stands still after cont')
        quit_machine(vm)


def test_reset(ctx):
    """The guest begins again, also when it was stopped."""
    vm, log = counter(ctx)
    with vm:
        expect_file(vm, log, b'up!')
        vm.monitor('system_reset')
        expect_file(vm, log, b'up!up!')
        vm.monitor('stop')
        vm.monitor('system_reset')
        if 'paused' not in vm.monitor('info status'):
            vm.fail('a reset started a stopped machine')
        vm.monitor('cont')
        expect_file(vm, log, b'up!up!up!')
        quit_machine(vm)


def test_processors(ctx):
    """Four processors, three of which wait to be started: each has a thread of its own, with a name, and registers."""
    vm, log = counter(ctx, '-smp', 4, *ctx.accel('jit'))
    with vm:
        expect_file(vm, log, b'up!')
        threads = re.findall(r'(?m)^([* ]) CPU #(\d): thread_id=(\d+)', vm.monitor('info cpus'))
        names = [content('/proc/%s/comm' % thread).strip() for _, _, thread in threads]
        if names != [b'CPU 0', b'CPU 1', b'CPU 2', b'CPU 3'] or [mark for mark, _, _ in threads] != ['*'] + 3 * [' ']:
            vm.fail('processors %r, threads %r' % (threads, names))
        registers = re.split(r'CPU#', vm.monitor('info registers -a'))[1:]
        if [r[0] for r in registers] != list('0123') or 'EBP=12345678' not in registers[0] or \
                any('EBP=00000000' not in r for r in registers[1:]):
            vm.fail('registers %r' % registers)
        vm.monitor('cpu 2')
        if 'CPU#2' not in vm.monitor('info registers') or '* CPU #2' not in vm.monitor('info cpus'):
            vm.fail('cpu 2 is not selected')
        quit_machine(vm)


# The bootstrap processor starts all others, by x2APIC, at f000:0000, and all halt.
ALL_HALT = '''
    mov ecx, 0x1b
    rdmsr
    test ah, 1
    jz 1f
    or ah, 0xc
    wrmsr
    xor edx, edx
    mov ecx, 0x830
    mov eax, 0xc4500
    wrmsr
    mov eax, 0xc46f0
    wrmsr
1:  cli
    hlt
    jmp 1b
'''


def processor_time(vm):
    """Of all threads, in clock ticks."""
    with open('/proc/%d/stat' % vm.process.pid) as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_idle(ctx):
    """Eight halted processors leave the host alone."""
    with ctx.run('-smp', 8, *ctx.accel('jit'), '-bios', programs.firmware(ctx, ALL_HALT), '-monitor', 'stdio') as vm:
        vm.monitor_start()
        while vm.monitor('info registers -a').count('HLT=1') < 8:
            time.sleep(0.01)
        begin = processor_time(vm)
        time.sleep(2)
        used = processor_time(vm) - begin
        if used > 0.02 * os.sysconf('SC_CLK_TCK'):
            vm.fail('%d clock ticks in two seconds of doing nothing' % used)
        quit_machine(vm)


def test_start_stopped(ctx):
    log = ctx.path('log')
    with ctx.run('-S', '-debugcon', 'file:' + log, '-device', 'isa-debug-exit,iobase=0xf4', '-monitor', 'stdio',
                 '-kernel', programs.multiboot(ctx, say('up') + leave(4))) as vm:
        vm.monitor_start()
        if 'paused' not in vm.monitor('info status') or content(log):
            vm.fail('it runs in spite of -S')
        if 'f000' not in vm.monitor('info registers').lower():
            vm.fail('the processor is not where a reset leaves it')
        vm.send('cont\n')
        vm.finish(status(4))
        if content(log) != b'up':
            vm.fail('the guest printed %r' % content(log))


def test_screendump(ctx):
    vm, log = counter(ctx)
    with vm:
        expect_file(vm, log, b'up!')
        for name, signature in (('a.png', b'\x89PNG\r\n\x1a\n'), ('a.ppm', b'P6\n')):
            vm.monitor('screendump ' + ctx.path(name))
            if not content(ctx.path(name)).startswith(signature):
                vm.fail('%s is %r' % (name, content(ctx.path(name))[:20]))
        quit_machine(vm)


def test_no_shutdown(ctx):
    """Power-off stops the machine; the monitor goes on."""
    log = ctx.path('log')
    body = say('off') + 'mov dx, 0x604\nmov ax, 0x2000\nout dx, ax\n' + FOREVER
    with ctx.run('-no-shutdown', '-debugcon', 'file:' + log, '-monitor', 'stdio',
                 '-kernel', programs.multiboot(ctx, body)) as vm:
        vm.monitor_start()
        expect_file(vm, log, b'off')
        if not any('paused' in vm.monitor('info status') for _ in range(100)):
            vm.fail('the machine runs after power-off')
        quit_machine(vm)


def test_editing(ctx):
    """Backspace and Ctrl-U; an overlong line is no accident."""
    vm, _ = counter(ctx)
    with vm:
        if 'VM status' not in vm.monitor('infx\x7fo status'):
            vm.fail('backspace does not rub out')
        if 'VM status' not in vm.monitor('rubbish\x15info status'):
            vm.fail('Ctrl-U does not forget the line')
        vm.send('z' * 2000 + '\n')
        vm.expect('unknown command')
        vm.expect(vm.PROMPT)
        quit_machine(vm)


def test_terminal(ctx):
    """Ctrl-A c switches between the guest and the monitor."""
    with ctx.run('-nographic', '-kernel', programs.multiboot(ctx, programs.say('x') + FOREVER)) as vm:
        vm.send('\x01c')
        vm.monitor_start()
        vm.monitor('info status')
        vm.send('\x01c\x01h')
        vm.expect(r'(?i)ctrl-a|c-a')
        vm.send('\x01x')
        vm.finish()


def test_hang_up(ctx):
    """SIGTERM ends it in order."""
    vm, _ = counter(ctx)
    with vm:
        os.kill(vm.process.pid, 15)
        vm.finish()


TESTS = {
    'monitor-answers': test_answers,
    'monitor-stop-cont': test_stop,
    'monitor-reset': test_reset,
    'monitor-screendump': test_screendump,
    'monitor-editing': test_editing,
    'monitor-terminal': test_terminal,
    'monitor-processors': test_processors,
    'idle-processors': test_idle,
    'start-stopped': test_start_stopped,
    'no-shutdown': test_no_shutdown,
    'sigterm': test_hang_up,
}
