"""Options that work: consoles, clock, logs, the ways to the end."""

import os
import re
import subprocess
import time

import asm
from emulator import Failure

# COM1 echoes what it gets, after a greeting.
ECHO = r'''
    mov $greeting, %esi
1:  lodsb
    test %al, %al
    jz 2f
    call send
    jmp 1b
2:  mov $0x3fd, %dx
    in %dx, %al
    test $1, %al
    jz 2b
    mov $0x3f8, %dx
    in %dx, %al
    call send
    jmp 2b
send:
    mov %al, %bl
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov %bl, %al
    mov $0x3f8, %dx
    out %al, %dx
    ret
greeting: .asciz "greeting"
'''

POWER_OFF = r'''
    puts "off"
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
'''


def echo(ctx, *args):
    return ctx.run('-m', '64', *ctx.accel('jit'), '-kernel', asm.multiboot(ctx, 'echo', ECHO), *args)


def bare(ctx, program, *args):
    """A machine without defaults running this multiboot program."""
    return ctx.run('-nodefaults', '-display', 'none', '-m', '64', *asm.exit_device(),
                   '-kernel', asm.multiboot(ctx, 'program', program), *args)


def output(ctx, *args):
    """Standard output of a run that ends at once with status 0 and no error."""
    done = subprocess.run([ctx.mimus, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    if done.returncode or done.stderr:
        raise Failure('%s: status %d, %s' % (' '.join(args), done.returncode, done.stderr))
    return done.stdout.decode()


def test_version(ctx):
    text = output(ctx, '-version')
    if not re.search(r'version \d+\.\d+', text):
        raise Failure('-version says %r' % text)
    if output(ctx, '--version') != text:
        raise Failure('--version is not -version')


def test_help(ctx):
    text = output(ctx, '-help')
    for option in ('-m', '-cpu', '-M', '-accel', '-smp', '-kernel', '-initrd', '-append', '-hda', '-fda', '-cdrom',
                   '-drive', '-snapshot', '-boot', '-bios', '-L', '-serial', '-monitor', '-chardev', '-debugcon',
                   '-device', '-nodefaults', '-nographic', '-display', '-no-reboot', '-no-shutdown', '-rtc', '-S',
                   '-d', '-D', '-dfilter', '-name', '-version'):
        if not re.search(r'(?m)^%s\b' % re.escape(option), text):
            raise Failure('-help does not list ' + option)
    for option in ('-cpu', '-device', '-d', '-M'):
        output(ctx, option, 'help')


def test_nographic(ctx):
    """Console and monitor on one terminal, with Ctrl-A as the escape."""
    with echo(ctx, '-nographic') as vm:
        vm.expect('greeting')
        vm.send('one')
        vm.expect('one')
        vm.send('\x01h')
        vm.expect('C-a h.*C-a x.*C-a c')
        vm.send('\x01\x01')
        vm.expect('\x01')
        vm.send('\x01c')
        vm.monitor_start()
        vm.monitor('info status')
        vm.send('\x01ctwo')
        vm.expect('two')
        vm.send('\x01x')
        vm.finish()


def test_mon_stdio(ctx):
    with echo(ctx, '-display', 'none', '-serial', 'mon:stdio') as vm:
        vm.expect('greeting')
        vm.send('\x01x')
        vm.finish()


def test_serial_stdio(ctx):
    """Without mon: Ctrl-A is a byte like others."""
    with echo(ctx, '-display', 'none', '-monitor', 'null', '-serial', 'stdio') as vm:
        vm.expect('greeting')
        vm.send('\x01x')
        vm.expect('\x01x')


def test_serial_pty(ctx):
    with echo(ctx, '-display', 'none', '-monitor', 'stdio', '-serial', 'pty') as vm:
        path = vm.expect(r'char device redirected to (/dev/pts/\d+) \(label serial0\)').group(1)
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            subprocess.run(['stty', '-F', path, 'raw', '-echo'], check=True)
            got = b''
            deadline = time.monotonic() + 60
            while b'xyz' not in got and time.monotonic() < deadline:
                os.write(terminal, b'xyz')
                time.sleep(0.2)
                try:
                    got += os.read(terminal, 1000)
                except BlockingIOError:
                    pass
        finally:
            os.close(terminal)
        if b'xyz' not in got:
            vm.fail('nothing came back through the pseudo-terminal: %r' % got)
        vm.send('quit\n')
        vm.finish()


def test_serial_file(ctx):
    path = ctx.path('serial.out')
    with echo(ctx, '-display', 'none', '-monitor', 'null', '-serial', 'file:' + path) as vm:
        vm.wait_file(path, 'greeting')


def test_serial_second(ctx):
    """The second -serial is COM2; null takes everything."""
    with ctx.run('-m', '64', *ctx.accel('jit'), '-display', 'none', '-monitor', 'null', '-serial', 'null',
                 '-serial', 'stdio', '-kernel', asm.multiboot(ctx, 'echo', ECHO.replace('0x3f', '0x2f'))) as vm:
        vm.expect('greeting')


def test_debugcon_device(ctx):
    path = ctx.path('other.out')
    with bare(ctx, 'puts "console"\n mov $0x41, %al\n out %al, $0xf0\n leave 7\n', '-debugcon', 'stdio',
              '-chardev', 'file,id=other,path=' + path, '-device', 'isa-debugcon,iobase=0xf0,chardev=other') as vm:
        vm.expect('console')
        vm.finish(15)
        vm.wait_file(path, 'A')


def test_rtc(ctx):
    """The clock starts at the given date: century, year, month, day, hour from the CMOS, in BCD."""
    read = ''.join('mov $%#x, %%al\n out %%al, $0x70\n in $0x71, %%al\n mov %%al, %%bl\n call hex\n' % register
                   for register in (0x32, 9, 8, 7, 4))
    with bare(ctx, read + r'''
    leave 7
hex:
    mov %bl, %al
    shr $4, %al
    add $'0', %al
    out %al, $0xe9
    mov %bl, %al
    and $15, %al
    add $'0', %al
    out %al, $0xe9
    ret
''', '-debugcon', 'stdio', '-rtc', 'base=2006-06-17T16:01:21') as vm:
        vm.expect('2006061716')
        vm.finish(15)


def test_power_off(ctx):
    with bare(ctx, POWER_OFF, '-debugcon', 'stdio') as vm:
        vm.expect('off')
        vm.finish()


def test_no_shutdown(ctx):
    path = ctx.path('log')
    with bare(ctx, POWER_OFF, '-no-shutdown', '-monitor', 'stdio', '-debugcon', 'file:' + path) as vm:
        vm.monitor_start()
        vm.wait_file(path, 'off')
        for _ in range(300):
            if 'paused' in vm.monitor('info status'):
                break
            time.sleep(0.02)
        else:
            vm.fail('the machine is not paused after power-off with -no-shutdown')
        vm.send('quit\n')
        vm.finish()


def test_signal(ctx):
    """SIGTERM is a clean end."""
    with echo(ctx, '-nographic') as vm:
        vm.expect('greeting')
        os.kill(vm.process.pid, 15)
        vm.finish()


def test_log(items, expected):
    def run(ctx):
        path = ctx.path('log')
        with bare(ctx, 'puts "x"\n leave 7\n', '-d', items, '-D', path) as vm:
            vm.finish(15)
            with open(path, errors='replace') as log:
                text = log.read()
            if not re.search(expected, text):
                vm.fail('the log has no line like %s but %d bytes: %s' % (expected, len(text), text[:500]))
    return run


def test_cpu_models(ctx):
    models = re.findall(r'(?m)^ *([\w-]+)', output(ctx, '-cpu', 'help'))
    known = [m for m in ('486', 'pentium', 'pentium3', 'core2duo', 'x86-64-v2', 'x86-64-v3') if m in models]
    for model in known + ['max']:
        with bare(ctx, 'leave 7\n', '-cpu', model) as vm:
            vm.finish(15)


def test_memory_suffixes(ctx):
    for size in ('64', '64M', '65536K', '1G', 'size=64M'):
        with ctx.run('-nodefaults', '-display', 'none', '-m', size, *asm.exit_device(),
                     '-kernel', asm.multiboot(ctx, 'program', 'leave 7\n')) as vm:
            vm.finish(15)


TESTS = {'option/' + name: test for name, test in {
    'version': test_version, 'help': test_help, 'nographic': test_nographic, 'mon-stdio': test_mon_stdio,
    'serial-stdio': test_serial_stdio, 'serial-pty': test_serial_pty, 'serial-file': test_serial_file,
    'serial-second': test_serial_second, 'debugcon-device': test_debugcon_device, 'rtc': test_rtc,
    'power-off': test_power_off, 'no-shutdown': test_no_shutdown, 'signal': test_signal,
    'log-in': test_log('in', r'out\b'), 'log-exec': test_log('exec', r'(?i)exec'),
    'log-all': test_log('in,ir,opt,out,int,mmu,guest_errors', r'out\b'),
    'cpu-models': test_cpu_models, 'memory-suffixes': test_memory_suffixes}.items()}
