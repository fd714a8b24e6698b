"""What the machine does with small guests: exits, resets, media, strange addresses, consoles, logs."""

import datetime
import os
import re
import shutil
import subprocess
import time

import guest
import programs
from bad import finish
from emulator import Failure, HANG
from programs import DEVICES, FOREVER, TRIPLE_FAULT, leave, say, status
from suite import Skip


def content(path):
    """Of a file that may not exist yet."""
    try:
        with open(path, 'rb') as data:
            return data.read()
    except FileNotFoundError:
        return b''


def expect_file(vm, path, pattern, timeout=HANG):
    """Wait until the pattern is in the file."""
    deadline = time.monotonic() + timeout
    while not re.search(pattern, content(path), re.DOTALL):
        if time.monotonic() > deadline:
            vm.fail('%s: no %r in %r' % (path, pattern, content(path)[-1000:]))
        time.sleep(0.05)


def require(text, pattern, what):
    if not re.search(pattern, text, re.DOTALL):
        raise Failure('%s: no %r in %r' % (what, pattern, text[-2000:]))


def cmos(index):
    """Print a CMOS byte as two hexadecimal digits (they are decimal ones for BCD)."""
    return 'mov al, %d\nout 0x70, al\nin al, 0x71\nmov ah, al\nshr al, 4\nadd al, 48\nout 0xe9, al\n' \
           'mov al, ah\nand al, 15\nadd al, 48\nout 0xe9, al\n' % index


def check_equal(left, right, letter):
    """Print the letter when both dwords are equal, else a dash."""
    return 'mov ebx, %s\ncmp ebx, %s\nmov al, \'%s\'\nje 1f\nmov al, \'-\'\n1: out 0xe9, al\n' % (left, right, letter)


def rom_write(address):
    return 'mov edx, [%s]\nmov ecx, edx\nnot ecx\nmov [%s], ecx\n' % (address, address) + \
        check_equal('[%s]' % address, 'edx', 'k')


BEYOND = 0x20000000  # 512 MiB, where these guests have 64

# name: (body of a multiboot program, options, exit status, debug console); each on both engines
PROGRAMS = {
    'exit-0': (leave(0), [], 1, ''),
    'exit-42': (say('hi\n') + leave(42), [], 85, 'hi\n'),
    'exit-dword': ('mov eax, 0x12345678\nout 0xf4, eax\n' + FOREVER, [], status(0x12345678), ''),
    'exit-other-port': ('mov al, 5\nmov dx, 0x501\nout dx, al\n' + FOREVER, ['-device', 'isa-debug-exit'], 11, ''),
    'debugcon-present': ('in al, 0xe9\ncmp al, 0xe9\nmov al, 3\nje 1f\nmov al, 4\n1: out 0xf4, al\n' + FOREVER,
                         [], status(3), ''),
    'triple-fault': (say('t') + TRIPLE_FAULT, ['-no-reboot'], 0, 't'),
    'reset-keyboard-controller': ('mov al, 0xfe\nout 0x64, al\n' + FOREVER, ['-no-reboot'], 0, ''),
    'reset-cf9': ('mov dx, 0xcf9\nmov al, 2\nout dx, al\nmov al, 6\nout dx, al\n' + FOREVER,
                  ['-no-reboot'], 0, ''),
    'reset-port92': ('mov al, 1\nout 0x92, al\n' + FOREVER, ['-no-reboot'], 0, ''),
    'power-off': ('mov dx, 0x604\nmov ax, 0x2000\nout dx, ax\n' + FOREVER, [], 0, ''),
    'rom-write': (rom_write('0xfffffff0') + rom_write('0xffff0000') + rom_write('0xffff0') + leave(1), [],
                  status(1), 'kkk'),
    'read-beyond-ram': (check_equal('[%d]' % BEYOND, '0xffffffff', 'k') + 'mov dword ptr [%d], 1234\n' % BEYOND +
                        check_equal('[%d]' % BEYOND, '0xffffffff', 'k') +
                        'mov ax, [0x3ffffff]\n' +  # half of it in RAM
                        check_equal('[0xd0000000]', '0xffffffff', 'k') + leave(1), [], status(1), 'kkk'),
    'copy-beyond-ram': ('mov esi, 0x200000\nmov edi, 0x3ff0000\nmov ecx, 0x40000\nrep movsb\n' +
                        'mov esi, 0x3ff0000\nmov edi, 0x200000\nmov ecx, 0x40000\nrep movsd\n' +
                        say('k') + leave(1), [], status(1), 'k'),
    'name': (leave(7), ['-name', 'a machine'], status(7), ''),
    'modules': ('cmp dword ptr [ebx + 20], 1\njne 2f\nmov esi, [ebx + 24]\nmov esi, [esi]\nmov al, [esi]\n'
                'out 0xe9, al\n2: ' + leave(2), ['-initrd', '{sector}'], status(2), 'M'),
    'append': ('mov esi, [ebx + 16]\n1: lodsb\ntest al, al\njz 2f\nmov dl, al\njmp 1b\n2: mov al, dl\nout 0xe9, al\n'
               + leave(2), ['-append', 'some words Z'], status(2), 'Z'),
}


def test_program(body, options, want, printed, engine):
    def run(ctx):
        kernel = programs.multiboot(ctx, body)
        args = [a.format(sector=ctx.write('module', b'M')) for a in options]
        out, _ = finish(ctx, '-m', 64, *ctx.accel(engine), *DEVICES, '-kernel', kernel, *args, want=want)
        if out != printed:
            raise Failure('the debug console shows %r instead of %r' % (out, printed))
    return run


# Places that are no memory, or not always: what the processor finds there is not said, but it goes on or resets.
JUMPS = {'vga': 0xa0000, 'pci-hole': 0xe0000000, 'ioapic': 0xfec00000, 'hpet': 0xfed00000, 'lapic': 0xfee00000,
         'beyond-ram': BEYOND, 'last-bytes': 0xfffffffe, 'end-of-ram': 0x3fffffe}


def test_jump(address, engine):
    def run(ctx):
        kernel = programs.multiboot(ctx, say('j') + 'xor eax, eax\nmov ecx, %d\njmp ecx\n' % address)
        log = ctx.path('log')
        with ctx.run('-m', 64, *ctx.accel(engine), '-no-reboot', '-debugcon', 'file:' + log, '-monitor', 'stdio',
                     '-kernel', kernel) as vm:
            vm.monitor_start()
            expect_file(vm, log, b'j')
            time.sleep(0.5)
            try:
                vm.send('quit\n')
            except OSError:
                pass  # it has reset and ended already
            vm.finish()
    return run


def test_triple_fault_loop(ctx):
    """Without -no-reboot the machine starts again and again, and still listens."""
    log = ctx.path('log')
    rom = programs.firmware(ctx, say('t') + 'lidt cs:[9f]\nint3\n9: .space 6\n')
    with ctx.run('-bios', rom, '-debugcon', 'file:' + log, '-monitor', 'stdio') as vm:
        vm.monitor_start()
        expect_file(vm, log, b't' * 20)
        vm.send('quit\n')
        vm.finish()


# ---- media ----

def boots(letter):
    return say(letter) + leave(1)


def require_boot(ctx, letter, *args):
    out, _ = finish(ctx, '-m', 64, *DEVICES, *args, want=status(1))
    if out != letter:
        raise Failure('booted %r instead of %r' % (out, letter))


def test_floppy(kib):
    def run(ctx):
        require_boot(ctx, 'F', '-boot', 'a', '-fda', programs.boot_sector(ctx, boots('F'), size=kib * 1024))
    return run


def media(ctx):
    """A floppy, a disk and a CD that print a, c and d; without xorriso there is no CD."""
    made = {letter: programs.boot_sector(ctx, boots(letter), name=letter, size=1440 * 1024) for letter in 'acd'}
    made['d'] = programs.cd_image(ctx, made['d']) if shutil.which('xorriso') else None
    return made


# name: (what boots, drives and order)
BOOTS = {
    'hda': ('c', '-hda {c}'),
    'hdb': ('c', '-hdb {c}'),
    'hdd': ('c', '-hdd {c}'),
    'positional': ('c', '{c}'),
    'drive': ('c', '-drive file={c},format=raw,if=ide'),
    'drive-floppy': ('a', '-drive file={a},if=floppy,format=raw -boot a'),
    'drive-cdrom': ('d', '-drive file={d},media=cdrom -boot d'),
    'cdrom': ('d', '-cdrom {d}'),
    'a': ('a', '-boot a -fda {a} -hda {c} -cdrom {d}'),
    'c': ('c', '-boot c -fda {a} -hda {c} -cdrom {d}'),
    'd': ('d', '-boot d -fda {a} -hda {c} -cdrom {d}'),
    'order-dc': ('d', '-boot order=dc -hda {c} -cdrom {d}'),
    'order-ca': ('c', '-boot order=ca -fda {a} -hda {c}'),
    'order-dca': ('c', '-boot dca -fda {a} -hda {c}'),
    'order-ac-no-boot-sector': ('c', '-boot ac -fda {blank} -hda {c}'),
    'menu': ('c', '-boot menu=on,order=c -hda {c}'),
}


def test_boot(letter, line):
    def run(ctx):
        made = media(ctx)
        if '{d}' in line and not made['d']:
            raise Skip('there is no xorriso')
        made['blank'] = ctx.write('blank', bytes(1440 * 1024))
        require_boot(ctx, letter, *line.format_map(made).split())
    return run


# Writes 512 bytes of its own code to the second sector of the drive it was booted from.
WRITER = ('mov ax, 0x0301\nmov bx, 0x7c00\nmov cx, 2\nmov dh, 0\nint 0x13\njc 1f\n' + say('w') + leave(1) +
          '1: ' + say('e') + leave(1))


def test_write(kept, line):
    """Whether the sector is on the image afterwards; the guest sees it written in both cases."""
    def run(ctx):
        image = programs.boot_sector(ctx, WRITER, size=1440 * 1024)
        before = content(image)
        require_boot(ctx, 'w', *line.format(image).split())
        after = content(image)
        if kept and after != before[:512] * 2 + before[1024:]:
            raise Failure('the sector is not on the image')
        if not kept and after != before:
            raise Failure('the image was changed')
    return run


WRITES = {
    'hda': (True, '-hda {}'),
    'fda': (True, '-fda {} -boot a'),
    'drive': (True, '-drive file={},format=raw,snapshot=off'),
    'snapshot-hda': (False, '-snapshot -hda {}'),
    'snapshot-fda': (False, '-snapshot -fda {} -boot a'),
    'snapshot-drive': (False, '-drive file={},format=raw,snapshot=on'),
}


# ---- clock ----

CLOCK = ''.join(cmos(i) for i in (0x32, 9, 8, 7, 4, 2)) + leave(1)  # century, year, month, day, hour, minute


def guest_clock(ctx, *args, **env):
    out, _ = finish(ctx, '-m', 64, *DEVICES, '-kernel', programs.multiboot(ctx, CLOCK), *args, want=status(1), env=env)
    return out


def test_rtc_date(ctx):
    for base, want in (('2001-02-03T04:05:06', '200102030405'), ('1999-12-31', '199912310000')):
        clock = guest_clock(ctx, '-rtc', 'base=' + base)
        if clock != want:
            raise Failure('the clock shows %s instead of %s' % (clock, want))


def test_rtc_zone(ctx):
    """UTC is the default; localtime follows the host's zone."""
    for args, hours in ((['-rtc', 'base=utc'], 0), ([], 0), (['-rtc', 'base=localtime'], 5)):
        clock = guest_clock(ctx, *args, TZ='XXX-5')
        shown = datetime.datetime.strptime(clock, '%Y%m%d%H%M')
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        if abs(shown - now - datetime.timedelta(hours=hours)) > datetime.timedelta(minutes=5):
            raise Failure('%s: the clock shows %s at %s UTC' % (args, shown, now))


# ---- consoles ----

SERIAL = ''.join('mov dx, 0x3f8\nmov al, %d\nout dx, al\n' % ord(c) for c in 'serial\n')
SERIAL2 = SERIAL.replace('0x3f8', '0x2f8').replace('%d\n' % ord('s'), '%d\n' % ord('S'))
REPEAT_SERIAL = '7: ' + SERIAL + 'mov ecx, 1000000\n8: loop 8b\njmp 7b\n'


def test_debugcon_file(ctx):
    log = ctx.path('log')
    kernel = programs.multiboot(ctx, say('one') + 'mov al, 50\nmov dx, 0x402\nout dx, al\n' + leave(1))
    finish(ctx, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-debugcon', 'file:' + log, '-kernel', kernel,
           want=status(1))
    if content(log) != b'one':
        raise Failure('the file holds %r' % content(log))


def test_isa_debugcon(ctx):
    """At another port, through a named character device."""
    log = ctx.path('log')
    kernel = programs.multiboot(ctx, say('two').replace('0xe9', '0xea') + leave(1))
    finish(ctx, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-chardev', 'file,id=c,path=' + log,
           '-device', 'isa-debugcon,iobase=0xea,chardev=c', '-kernel', kernel, want=status(1))
    if content(log) != b'two':
        raise Failure('the file holds %r' % content(log))


def test_serial_file(ctx):
    """Two ports in two files, the second by a named character device."""
    one, two = ctx.path('one'), ctx.path('two')
    kernel = programs.multiboot(ctx, SERIAL + SERIAL2 + leave(1))
    finish(ctx, *DEVICES, '-kernel', kernel, '-serial', 'file:' + one, '-chardev', 'file,id=f,path=' + two,
           '-serial', 'chardev:f', want=status(1))
    require(content(one).decode('latin-1'), r'serial\n$', 'COM1')
    require(content(two).decode('latin-1'), r'Serial\n$', 'COM2')


def test_serial_stdio(ctx):
    kernel = programs.multiboot(ctx, SERIAL + leave(1))
    out, _ = finish(ctx, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', kernel, '-serial', 'stdio',
                    want=status(1))
    require(out, r'serial\n$', 'stdio')


def test_serial_pty(ctx):
    kernel = programs.multiboot(ctx, REPEAT_SERIAL)
    with ctx.run('-kernel', kernel, '-serial', 'pty', '-monitor', 'stdio') as vm:
        vm.monitor_start()
        said = re.search(r'char device redirected to (/dev/pts/\d+)', vm.text + vm.errors())
        if not said:
            vm.fail('the name of the terminal was not printed')
        terminal = os.open(said.group(1), os.O_RDWR | os.O_NOCTTY)
        try:
            seen = b''
            while b'serial' not in seen:
                seen += os.read(terminal, 100)
        finally:
            os.close(terminal)
        vm.send('quit\n')
        vm.finish()


def test_ctrl_a(keys, pattern, want=0):
    """Keys on a pipe, after the guest has printed its first line."""
    def run(ctx):
        argv = [ctx.mimus, '-nographic', '-kernel', programs.multiboot(ctx, SERIAL + FOREVER)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            try:
                line = b''
                while b'serial' not in line:
                    line = child.stdout.readline()
                    if not line:
                        raise Failure('ended before the guest printed anything')
                out, _ = child.communicate(keys, timeout=HANG)
            except subprocess.TimeoutExpired as late:
                raise Failure('did not end: %r' % late.stdout) from late
            finally:
                child.kill()
            require(out.decode('latin-1'), pattern, 'stdout')
            if child.returncode != want:
                raise Failure('exit status %d' % child.returncode)
    return run


# ---- logs ----

# A loop and an invalid opcode, whose handler steps over it.
LOGGED = ('mov word ptr [0x18], offset 5f\nmov word ptr [0x1a], 0xf000\nmov cx, 5\n1: add bx, cx\nloop 1b\n'
          'ud2\nmov eax, [0x18]\n' + leave(1) + '5: pop ax\nadd ax, 2\npush ax\niret\n')

# item: pattern in the log
LOGS = {
    'in': r'\badd\b.*\bloop\b.*\biret', 'ir': r'\w', 'opt': r'\w', 'out': r'\w', 'exec': r'f0000|f000:',
    'int': r'\b(0x)?06\b', 'in_asm,op,op_opt,out_asm': r'\badd\b',
    'in,ir,opt,out,exec,int,mmu,guest_errors,cpu': r'\badd\b',
}


def logged(ctx, *args):
    """The log of a run of LOGGED."""
    log = ctx.path('log')
    finish(ctx, '-bios', programs.firmware(ctx, LOGGED), *DEVICES, '-D', log, *args, want=status(1))
    return content(log).decode('latin-1')


def test_log(items, pattern):
    def run(ctx):
        require(logged(ctx, '-d', items), pattern, items)
    return run


def test_log_stderr(ctx):
    _, err = finish(ctx, '-bios', programs.firmware(ctx, LOGGED), *DEVICES, '-d', 'in', want=status(1))
    require(err, r'\badd\b', 'standard error')


def test_log_filter(ctx):
    """A filter keeps what is inside of it; one elsewhere keeps nothing."""
    everything = logged(ctx, '-d', 'in')
    inside = logged(ctx, '-d', 'in', '-dfilter', '0xf0000+0x1000')
    outside = logged(ctx, '-d', 'in', '-dfilter', '0x500000..0x600000')
    require(inside, r'\badd\b', 'inside')
    if outside or not len(inside) < len(everything):
        raise Failure('all %d, inside %d, outside %d characters' % (len(everything), len(inside), len(outside)))


TESTS = {}
for _engine in ('jit', 'interp'):
    TESTS.update({'%s-%s' % (name, _engine): test_program(*row, _engine) for name, row in PROGRAMS.items()})
    TESTS.update({'jump-%s-%s' % (name, _engine): test_jump(at, _engine) for name, at in JUMPS.items()})
TESTS.update({'floppy-%dk' % kib: test_floppy(kib) for kib in (160, 180, 320, 360, 720, 1200, 1440, 2880)})
TESTS.update({'boot-' + name: test_boot(*row) for name, row in BOOTS.items()})
TESTS.update({'write-' + name: test_write(*row) for name, row in WRITES.items()})
TESTS.update({'log-' + items.replace(',', '-'): test_log(items, pattern) for items, pattern in LOGS.items()})
TESTS.update({
    'triple-fault-loop': test_triple_fault_loop,
    'rtc-date': test_rtc_date,
    'rtc-zone': test_rtc_zone,
    'debugcon-file': test_debugcon_file,
    'isa-debugcon': test_isa_debugcon,
    'serial-file': test_serial_file,
    'serial-stdio': test_serial_stdio,
    'serial-pty': test_serial_pty,
    'ctrl-a-x': test_ctrl_a(b'\x01x', ''),
    'ctrl-a-h': test_ctrl_a(b'\x01h\x01x', r'(?i)c-a|ctrl-a'),
    'ctrl-a-c': test_ctrl_a(b'\x01cinfo status\nquit\n', r'VM status: running'),
    'log-stderr': test_log_stderr,
    'log-filter': test_log_filter,
})
